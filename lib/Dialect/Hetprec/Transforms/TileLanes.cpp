//===- TileLanes.cpp - Tile packed ops to registers -----------------------===//

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/SCF/Transforms/TileUsingInterface.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"

namespace sysmol::hetprec {
#define GEN_PASS_DEF_TILELANESPASS
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"
} // namespace sysmol::hetprec

using namespace mlir;
using namespace sysmol::hetprec;

/// Whether every `rows` rows on end read the same groups.
static bool haveSharedStarts(ContractOp op, int64_t rows) {
  for (Value starts : op.getStarts()) {
    DenseIntElementsAttr values;
    if (!matchPattern(starts, m_Constant(&values)))
      return rows == 1;
    auto all = llvm::to_vector(values.getValues<int32_t>());
    for (auto [r, start] : llvm::enumerate(all))
      if (start != all[r / rows * rows])
        return false;
  }
  return true;
}

/// Words (or planes) of a tile, such that tiles divide the op evenly.
static int64_t getWordTile(Operation *op, int64_t words, int64_t rowTile) {
  auto contract = dyn_cast<ContractOp>(op);
  if (!contract || contract.getEpilogue() == Epilogue::Codes)
    return 1; // a word of codes is a tile
  while (words % rowTile != 0 || !haveSharedStarts(contract, rowTile))
    --rowTile;
  return rowTile;
}

/// Lanes of a tile: two blocks load each row word once for both, unless the
/// eight rows of a 1-bit word fill the registers with one.
static int64_t getLaneTile(Operation *op, int64_t lanes, int64_t blocks) {
  auto contract = dyn_cast<ContractOp>(op);
  if (contract && contract.getRowsPerWord() > 4)
    blocks = 1;
  while (lanes % (blocks * kLaneBlock) != 0)
    --blocks;
  return blocks * kLaneBlock;
}

namespace {
struct TileLanesPass : sysmol::hetprec::impl::TileLanesPassBase<TileLanesPass> {
  using TileLanesPassBase::TileLanesPassBase;

  void runOnOperation() override {
    if (rowTile < 1 || laneBlocks < 1) {
      getOperation().emitError("row-tile and lane-blocks must be at least 1");
      return signalPassFailure();
    }
    IRRewriter rewriter(&getContext());
    SmallVector<TilingInterface> ops;
    getOperation().walk([&](TilingInterface op) {
      if (isa<ContractOp, RequantizeLanesOp>(op))
        ops.push_back(op);
    });
    for (TilingInterface op : ops) {
      rewriter.setInsertionPoint(op);
      SmallVector<Range> domain = op.getIterationDomain(rewriter);
      int64_t words = *getConstantIntValue(domain[0].size);
      int64_t lanes = *getConstantIntValue(domain[1].size);
      int64_t laneTile = getLaneTile(op, lanes, laneBlocks);
      auto contract = dyn_cast<ContractOp>(op.getOperation());
      int64_t wordTile = getWordTile(op, words, rowTile);
      if (contract && !contract.getStarts().empty())
        contract.setSharedStarts(
            haveSharedStarts(contract, wordTile * contract.getRowsPerWord()));
      scf::SCFTilingOptions options;
      options.setTileSizes(
          {rewriter.getIndexAttr(wordTile), rewriter.getIndexAttr(laneTile)});
      FailureOr<scf::SCFTilingResult> result =
          scf::tileUsingSCF(rewriter, op, options);
      if (failed(result)) {
        op->emitOpError("could not be tiled");
        return signalPassFailure();
      }
      for (LoopLikeOpInterface loop : result->loops)
        loop->setAttr(kParallelAttrName, rewriter.getUnitAttr());
      rewriter.replaceOp(op, result->replacements);
    }
  }
};
} // namespace
