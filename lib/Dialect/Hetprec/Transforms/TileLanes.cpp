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

/// Blocks of a tile. An op's last block that would leave a tile short is split
/// off: the tiles before it keep their width.
static int64_t getBlockTile(int64_t lanes, int64_t blocks) {
  return std::min(blocks, lanes / kLaneBlock);
}

/// Splits the lanes of `op` behind the last whole tile.
static void splitLanes(OpBuilder &b, ContractOp op, int64_t laneTile,
                       SmallVectorImpl<TilingInterface> &ops) {
  int64_t rest = op.getLaneCount() % laneTile;
  if (rest == 0)
    return;
  b.setInsertionPointAfter(op);
  auto last = cast<ContractOp>(b.clone(*op));
  op->getResult(0).replaceAllUsesExcept(last->getResult(0), last);
  op.setLaneCount(op.getLaneCount() - rest);
  last.setLaneBegin(op.getLaneBegin() + op.getLaneCount());
  last.setLaneCount(rest);
  last.getInitMutable().assign(op->getResult(0));
  ops.push_back(last);
}

/// Splits off the last word of `op`, for which there are too few rows: a loop's
/// tiles are alike. Gives what is before it.
static ContractOp splitLastWord(RewriterBase &b, ContractOp op,
                                SmallVectorImpl<TilingInterface> &ops) {
  int64_t words = cast<ShapedType>(op.getInit().getType()).getDimSize(0);
  b.setInsertionPoint(op);
  ContractOp parts[2];
  Value init = op.getInit();
  int64_t first = 0, counts[2] = {words - 1, 1};
  for (auto [part, count] : llvm::zip_equal(parts, counts)) {
    SmallVector<OpFoldResult> offsets = {b.getIndexAttr(first),
                                         b.getIndexAttr(0)};
    SmallVector<OpFoldResult> sizes = {b.getIndexAttr(count),
                                       b.getIndexAttr(op.getLaneCount())};
    op.getInitMutable().assign(init);
    FailureOr<TilingResult> tile = op.getTiledImplementation(b, offsets, sizes);
    assert(succeeded(tile) && "a static tile of whole blocks");
    part = cast<ContractOp>(tile->tiledOps.front());
    SmallVector<OpFoldResult> at, extents, strides(2, b.getIndexAttr(1));
    LogicalResult found =
        op.getResultTilePosition(b, 0, offsets, sizes, at, extents);
    assert(succeeded(found));
    (void)found;
    init = tensor::InsertSliceOp::create(
        b, op.getLoc(), tile->tiledValues.front(), init, at, extents, strides);
    first += count;
  }
  b.replaceOp(op, init);
  ops.push_back(parts[1]);
  return parts[0];
}

/// Words (or planes) of a tile of at most `rows` rows (one word at least), such
/// that tiles divide the op evenly.
static int64_t getWordTile(Operation *op, int64_t words, int64_t rows) {
  auto contract = dyn_cast<ContractOp>(op);
  if (!contract)
    return 1;
  int64_t perWord = contract.getRowsPerWord();
  if (contract.getNumRows() % perWord != 0)
    return words; // few rows: see splitLastWord
  int64_t tile = std::max<int64_t>(1, rows / perWord);
  while (tile > 1 &&
         (words % tile != 0 || !haveSharedStarts(contract, tile * perWord)))
    --tile;
  return tile;
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
      if (isa<ContractOp, ContractOutputsOp, RequantizeLanesOp, GemvOp,
              WinogradContractOp>(op))
        ops.push_back(op);
    });
    for (size_t i = 0; i < ops.size(); ++i) {
      TilingInterface op = ops[i];
      auto contract = dyn_cast<ContractOp>(op.getOperation());
      int64_t mostBlocks = contract && contract.isWindowSum()
                               ? contract.getWindowSumLanes() / kLaneBlock
                               : laneBlocks;
      if (contract) {
        int64_t blocks = getBlockTile(contract.getLaneCount(), mostBlocks);
        int64_t perWord = contract.getRowsPerWord();
        if (contract.getNumRows() % perWord != 0 &&
            contract.getNumRows() >
                std::max(perWord, rowTile * laneBlocks / blocks)) {
          contract = splitLastWord(rewriter, contract, ops);
          op = contract;
        }
        splitLanes(rewriter, contract, blocks * kLaneBlock, ops);
      }
      rewriter.setInsertionPoint(op);
      scf::SCFTilingOptions options;
      auto gemv = dyn_cast<GemvOp>(op.getOperation());
      auto sums = dyn_cast<ContractOutputsOp>(op.getOperation());
      auto winograd = dyn_cast<WinogradContractOp>(op.getOperation());
      if (gemv || sums || winograd) {
        int64_t tiles = gemv   ? gemv.getNumTiles()
                        : sums ? sums.getNumTiles()
                               : winograd.getNumTiles();
        if (tiles == 1)
          continue;
        options.setTileSizes({rewriter.getIndexAttr(1)});
      } else {
        SmallVector<Range> domain = op.getIterationDomain(rewriter);
        int64_t words = *getConstantIntValue(domain[0].size);
        int64_t lanes = *getConstantIntValue(domain[1].size);
        int64_t blocks = getBlockTile(lanes, mostBlocks);
        while (lanes % (blocks * kLaneBlock) != 0)
          --blocks; // requantize_lanes
        int64_t laneTile = blocks * kLaneBlock;
        // As many sums as the options ask for, with fewer blocks in more rows.
        int64_t wordTile =
            getWordTile(op, words, rowTile * laneBlocks / blocks);
        if (contract && !contract.getStarts().empty())
          contract.setSharedStarts(
              haveSharedStarts(contract, wordTile * contract.getRowsPerWord()));
        // Rows that many tiles of lanes read come from the first level cache.
        constexpr int64_t kFewTiles = 2;
        if (contract && !contract.getUniformRows() && !contract.getSums())
          contract.setPrefetchRows(words > wordTile &&
                                   lanes <= kFewTiles * laneTile);
        // What is one tile already needs no loop, whose offset would be
        // unknown.
        options.setTileSizes(
            {rewriter.getIndexAttr(wordTile < words ? wordTile : 0),
             rewriter.getIndexAttr(laneTile)});
      }
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
