//===- VectorizeLanes.cpp - Tiles on memrefs to vectors and mac -----------===//

#include "LaneLoops.h"
#include "LaneVectors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"
#include "llvm/ADT/TypeSwitch.h"

namespace sysmol::hetprec {
#define GEN_PASS_DEF_VECTORIZELANESPASS
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"
} // namespace sysmol::hetprec

using namespace mlir;
using namespace sysmol::hetprec;

void sysmol::hetprec::vectorizeRequantizeLanes(OpBuilder &b,
                                               RequantizeLanesOp op) {
  b.setInsertionPoint(op);
  Location loc = op.getLoc();
  LaneVectors v(b, loc);
  int64_t level = op.getOutLevel(), perWord = getChannelsPerWord(level);
  int64_t numWords = cast<MemRefType>(op.getInit().getType()).getDimSize(0);
  for (int64_t word = 0; word < numWords; ++word) {
    for (int64_t block = 0; block < int64_t(op.getLaneCount()) / kLaneBlock;
         ++block) {
      LanePair words;
      SmallVector<Value, 4> even, odd;
      for (int64_t slot = 0; slot < perWord; ++slot) {
        Value row = v.index(word * perWord + slot);
        Value channel = arith::IndexCastUIOp::create(
            b, loc, b.getIndexType(), v.loadScalar(op.getChannels(), row));
        LanePair x = v.loadPair(op.getPlanes(), channel, block);
        LanePair codes;
        if (level > 2 && op.getInRange()) {
          codes = x.map([&](Value value) {
            return v.roundByRule(value, op.getMultiplier(), op.getOffset(), row,
                                 level, op.getOutSigned());
          });
          even.push_back(codes.even);
          odd.push_back(codes.odd);
          continue;
        }
        if (level > 2) {
          codes = v.shiftToSlot(x.map([&](Value value) {
            return v.requantizeByRule(value, op.getMultiplier(), op.getOffset(),
                                      row, level, op.getOutSigned());
          }),
                                level, v.index(slot));
        } else {
          Value sign =
              v.broadcast(v.loadScalar(op.getSigns(), row), kLaneBlock / 2);
          codes =
              v.countThresholds(x.map([&](Value value) -> Value {
                return arith::MulIOp::create(b, loc, value, sign);
              }),
                                op.getThresholds(), row, level, v.index(slot));
        }
        if (slot == 0) {
          words = codes;
          continue;
        }
        words = {arith::OrIOp::create(b, loc, words.even, codes.even),
                 arith::OrIOp::create(b, loc, words.odd, codes.odd)};
      }
      if (!even.empty())
        words = {v.joinCodes(even, level), v.joinCodes(odd, level)};
      v.storeWords(words, level, op.getMask(), op.getInit(), v.index(word),
                   block);
    }
  }
  op.erase();
}

//===----------------------------------------------------------------------===//
// Moving codes in and out
//===----------------------------------------------------------------------===//

namespace {
/// The pixel loops of pack_lanes and unpack_lanes, and what they index.
struct PixelLoops {
  Value n, y, x, lane;
  bool isImage;

  PixelLoops(OpBuilder &b, Location loc, LanesAttr layout, bool isImage)
      : isImage(isImage) {
    n = openLoop(b, loc, 0, layout.getImages());
    y = openLoop(b, loc, 0, layout.getHeight());
    x = openLoop(b, loc, 0, layout.getWidth());
    lane = makeIndex(b, loc, {n, y, x},
                     {layout.getImageStride(), layout.getRowStride(), 1},
                     layout.getBase());
  }
  SmallVector<Value> at(Value channel) const {
    if (isImage)
      return {n, channel, y, x};
    return {n, channel};
  }
  /// Where a wide plane keeps the lane.
  Value getWidePosition(OpBuilder &b, Location loc) const {
    auto index = [&](int64_t i) -> Value {
      return arith::ConstantIndexOp::create(b, loc, i);
    };
    Value block = arith::AndIOp::create(b, loc, lane, index(~(kLaneBlock - 1)));
    Value odd = arith::AndIOp::create(b, loc, lane, index(1));
    Value within = arith::AndIOp::create(b, loc, lane, index(kLaneBlock - 1));
    return arith::OrIOp::create(
        b, loc,
        arith::OrIOp::create(b, loc, block,
                             arith::ShLIOp::create(b, loc, odd, index(5))),
        arith::ShRUIOp::create(b, loc, within, index(1)));
  }
};
} // namespace

void sysmol::hetprec::lowerPackLanes(OpBuilder &b, PackLanesOp op) {
  if (op.getLevel() != 0)
    return vectorizePackLanes(b, op);
  b.setInsertionPoint(op);
  Location loc = op.getLoc();
  auto inputType = cast<MemRefType>(op.getInput().getType());
  PixelLoops loops(b, loc, op.getLayout(), inputType.getRank() == 4);
  Value position = loops.getWidePosition(b, loc);
  forWords(b, loc, op.getChannels(), /*perWord=*/1,
           [&](Value plane, function_ref<Value(int64_t)> channelOf) {
             Value value = memref::LoadOp::create(b, loc, op.getInput(),
                                                  loops.at(channelOf(0)));
             memref::StoreOp::create(b, loc, value, op.getInit(),
                                     ValueRange{plane, position});
           });
  op.erase();
}

void sysmol::hetprec::lowerUnpackLanes(OpBuilder &b, UnpackLanesOp op) {
  b.setInsertionPoint(op);
  Location loc = op.getLoc();
  int64_t level = op.getLevel();
  bool isImage = cast<MemRefType>(op.getInit().getType()).getRank() == 4;
  if (level == 0) {
    SmallVector<int64_t> left = vectorizeUnpackLanes(b, op);
    if (llvm::any_of(left, [](int64_t channel) { return channel >= 0; })) {
      PixelLoops loops(b, loc, op.getLayout(), isImage);
      Value position = loops.getWidePosition(b, loc);
      forWords(b, loc, left, /*perWord=*/1,
               [&](Value plane, function_ref<Value(int64_t)> channelOf) {
                 Value channel = channelOf(0);
                 if (!channel)
                   return;
                 Value value = memref::LoadOp::create(
                     b, loc, op.getInput(), ValueRange{plane, position});
                 memref::StoreOp::create(b, loc, value, op.getInit(),
                                         loops.at(channel));
               });
    }
    op.erase();
    return;
  }
  PixelLoops loops(b, loc, op.getLayout(), isImage);
  int64_t perWord = getChannelsPerWord(level);
  Type wordType = cast<MemRefType>(op.getInput().getType()).getElementType();
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantOp::create(b, loc, b.getIntegerAttr(wordType, value));
  };
  forWords(b, loc, op.getChannels(), perWord,
           [&](Value plane, function_ref<Value(int64_t)> channelOf) {
             Value word = memref::LoadOp::create(b, loc, op.getInput(),
                                                 ValueRange{plane, loops.lane});
             for (int64_t slot = 0; slot < perWord; ++slot) {
               Value channel = channelOf(slot);
               if (!channel)
                 continue;
               Value code =
                   arith::ShRUIOp::create(b, loc, word, constant(level * slot));
               code = arith::AndIOp::create(b, loc, code,
                                            constant((1 << level) - 1));
               if (wordType != b.getI8Type())
                 code = arith::TruncIOp::create(b, loc, b.getI8Type(), code);
               if (level == 8 && op.getIsSigned()) {
                 Value offset = arith::ConstantOp::create(
                     b, loc, b.getI8IntegerAttr(-128));
                 code = arith::XOrIOp::create(b, loc, code, offset);
               }
               memref::StoreOp::create(b, loc, code, op.getInit(),
                                       loops.at(channel));
             }
           });
  op.erase();
}

namespace {
struct VectorizeLanesPass
    : sysmol::hetprec::impl::VectorizeLanesPassBase<VectorizeLanesPass> {
  using VectorizeLanesPassBase::VectorizeLanesPassBase;

  void runOnOperation() override {
    OpBuilder b(&getContext());
    if (byteSums < 1 || dotSums < 4) {
      getOperation().emitError("byte-sums must be at least 1, dot-sums 4");
      return signalPassFailure();
    }
    LaneScratch scratch({byteSums, dotSums});
    SmallVector<Operation *> ops;
    WalkResult walk = getOperation().walk([&](Operation *op) {
      if (!isa<ContractOp, ContractOutputsOp, RequantizeLanesOp, PackLanesOp,
               UnpackLanesOp, SplitPhasesOp, SpreadLanesOp, FoldTapsOp,
               MaxPoolLanesOp, GemvOp, PackRowsOp, SumRowsOp, WinogradInputOp,
               WinogradContractOp>(op))
        return WalkResult::advance();
      if (op->getNumResults() != 0) {
        op->emitOpError("must be on memrefs to be vectorized; bufferize first");
        return WalkResult::interrupt();
      }
      // A tile's operands begin with its own lanes.
      if (auto contract = dyn_cast<ContractOp>(op);
          contract &&
          (contract.getLaneBegin() != 0 || contract.getOrigin() != 0 ||
           ShapedType::isDynamic(contract.getNumRows()))) {
        op->emitOpError("must be a tile of known rows whose lane_begin and "
                        "origin are 0; run hetprec-tile-lanes first");
        return WalkResult::interrupt();
      }
      if (auto requantize = dyn_cast<RequantizeLanesOp>(op);
          requantize && requantize.getLaneBegin() != 0) {
        op->emitOpError("must be a tile whose lane_begin is 0; run "
                        "hetprec-tile-lanes first");
        return WalkResult::interrupt();
      }
      auto isTile = llvm::TypeSwitch<Operation *, bool>(op)
                        .Case<ContractOutputsOp, GemvOp, WinogradContractOp>(
                            [](auto tiles) { return tiles.getNumTiles() == 1; })
                        .Default(true);
      if (!isTile) {
        op->emitOpError("must be one tile of outputs; run hetprec-tile-lanes "
                        "first");
        return WalkResult::interrupt();
      }
      ops.push_back(op);
      return WalkResult::advance();
    });
    if (walk.wasInterrupted())
      return signalPassFailure();
    for (Operation *op : ops)
      llvm::TypeSwitch<Operation *>(op)
          .Case<ContractOp>([&](auto o) { vectorizeContract(b, o, scratch); })
          .Case<ContractOutputsOp>(
              [&](auto o) { vectorizeContractOutputs(b, o, scratch); })
          .Case<RequantizeLanesOp>(
              [&](auto o) { vectorizeRequantizeLanes(b, o); })
          .Case<PackLanesOp>([&](auto o) { lowerPackLanes(b, o); })
          .Case<UnpackLanesOp>([&](auto o) { lowerUnpackLanes(b, o); })
          .Case<SplitPhasesOp>([&](auto o) { lowerSplitPhases(b, o); })
          .Case<SpreadLanesOp>([&](auto o) { lowerSpreadLanes(b, o); })
          .Case<FoldTapsOp>([&](auto o) { vectorizeFoldTaps(b, o); })
          .Case<MaxPoolLanesOp>([&](auto o) { vectorizeMaxPool(b, o); })
          .Case<GemvOp>([&](auto o) { vectorizeGemv(b, o); })
          .Case<PackRowsOp>([&](auto o) { lowerPackRows(b, o); })
          .Case<SumRowsOp>([&](auto o) { lowerSumRows(b, o); })
          .Case<WinogradInputOp>([&](auto o) { vectorizeWinogradInput(b, o); })
          .Case<WinogradContractOp>(
              [&](auto o) { vectorizeWinogradContract(b, o, scratch); });
    scratch.finish();
  }
};
} // namespace
