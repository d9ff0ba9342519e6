//===- VectorizeLanes.cpp - Tiles on memrefs to vectors and mac -----------===//

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
      for (int64_t slot = 0; slot < perWord; ++slot) {
        Value row = v.index(word * perWord + slot);
        Value channel = arith::IndexCastUIOp::create(
            b, loc, b.getIndexType(), v.loadScalar(op.getChannels(), row));
        LanePair x = v.loadPair(op.getPlanes(), channel, block);
        LanePair codes;
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
      v.storeWords(words, level, op.getMask(), op.getInit(), v.index(word),
                   block);
    }
  }
  op.erase();
}

//===----------------------------------------------------------------------===//
// Moving codes in and out
//===----------------------------------------------------------------------===//

/// A loop over `[lower, upper)` whose body stays open for what follows; each
/// iteration writes words of its own.
static Value openLoop(OpBuilder &b, Location loc, int64_t lower,
                      int64_t upper) {
  auto index = [&](int64_t i) -> Value {
    return arith::ConstantIndexOp::create(b, loc, i);
  };
  auto loop = scf::ForOp::create(b, loc, index(lower), index(upper), index(1));
  loop->setAttr(kParallelAttrName, b.getUnitAttr());
  b.setInsertionPointToStart(loop.getBody());
  return loop.getInductionVar();
}

/// `sum of values[i] * factors[i] + constant`.
static Value makeIndex(OpBuilder &b, Location loc, ArrayRef<Value> values,
                       ArrayRef<int64_t> factors, int64_t constant) {
  Value sum = arith::ConstantIndexOp::create(b, loc, constant);
  for (auto [value, factor] : llvm::zip_equal(values, factors)) {
    Value f = arith::ConstantIndexOp::create(b, loc, factor);
    sum = arith::AddIOp::create(b, loc, sum,
                                arith::MulIOp::create(b, loc, value, f));
  }
  return sum;
}

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

namespace {
/// The channels of one word: of slot `slot`, or null where it is empty.
using ChannelOf = llvm::function_ref<Value(int64_t slot)>;
} // namespace

/// Runs `body` for every word. Words whose channels just count on share a loop;
/// a permutation's are written out.
static void forWords(OpBuilder &b, Location loc, ArrayRef<int64_t> channels,
                     int64_t perWord,
                     llvm::function_ref<void(Value word, ChannelOf)> body) {
  constexpr int64_t kShortestLoop = 4;
  int64_t numWords = channels.size() / perWord;
  auto countsOn = [&](int64_t word) {
    return llvm::all_of(llvm::seq(perWord), [&](int64_t slot) {
      int64_t channel = channels[word * perWord + slot];
      return channel >= 0 &&
             channels[(word + 1) * perWord + slot] == channel + perWord;
    });
  };
  for (int64_t first = 0; first < numWords;) {
    int64_t last = first + 1;
    while (last < numWords && countsOn(last - 1))
      ++last;
    if (last - first < kShortestLoop)
      last = first + 1;
    OpBuilder::InsertionGuard guard(b);
    Value word;
    if (last - first == 1)
      word = arith::ConstantIndexOp::create(b, loc, first);
    else
      word = openLoop(b, loc, first, last);
    body(word, [&](int64_t slot) -> Value {
      int64_t channel = channels[first * perWord + slot];
      if (channel < 0)
        return {};
      if (last - first == 1)
        return arith::ConstantIndexOp::create(b, loc, channel);
      return makeIndex(b, loc, {word}, {perWord}, channel - first * perWord);
    });
    first = last;
  }
}

void sysmol::hetprec::lowerPackLanes(OpBuilder &b, PackLanesOp op) {
  b.setInsertionPoint(op);
  Location loc = op.getLoc();
  int64_t level = op.getLevel(), perWord = getChannelsPerWord(level);
  Type wordType = cast<MemRefType>(op.getInit().getType()).getElementType();
  auto inputType = cast<MemRefType>(op.getInput().getType());
  PixelLoops loops(b, loc, op.getLayout(), inputType.getRank() == 4);
  if (level == 0) {
    Value position = loops.getWidePosition(b, loc);
    forWords(b, loc, op.getChannels(), /*perWord=*/1,
             [&](Value plane, ChannelOf channelOf) {
               Value value = memref::LoadOp::create(b, loc, op.getInput(),
                                                    loops.at(channelOf(0)));
               memref::StoreOp::create(b, loc, value, op.getInit(),
                                       ValueRange{plane, position});
             });
    op.erase();
    return;
  }
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantOp::create(b, loc, b.getIntegerAttr(wordType, value));
  };
  forWords(
      b, loc, op.getChannels(), perWord, [&](Value plane, ChannelOf channelOf) {
        Value word = constant(0);
        for (int64_t slot = 0; slot < perWord; ++slot) {
          Value channel = channelOf(slot);
          if (!channel)
            continue;
          Value code =
              memref::LoadOp::create(b, loc, op.getInput(), loops.at(channel));
          // HP24: what comes from outside may lie outside its level.
          auto byte = [&](int64_t value) -> Value {
            return arith::ConstantOp::create(b, loc, b.getI8IntegerAttr(value));
          };
          if (level < 8) {
            code = arith::AndIOp::create(b, loc, code, byte((1 << level) - 1));
          } else if (op.getIsSigned()) {
            code = arith::MaxSIOp::create(b, loc, code, byte(-127));
            code = arith::XOrIOp::create(b, loc, code, byte(-128)); // + 128
          }
          if (wordType != code.getType())
            code = arith::ExtUIOp::create(b, loc, wordType, code);
          code = arith::ShLIOp::create(b, loc, code, constant(level * slot));
          word = arith::OrIOp::create(b, loc, word, code);
        }
        memref::StoreOp::create(b, loc, word, op.getInit(),
                                ValueRange{plane, loops.lane});
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
               [&](Value plane, ChannelOf channelOf) {
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
  forWords(
      b, loc, op.getChannels(), perWord, [&](Value plane, ChannelOf channelOf) {
        Value word = memref::LoadOp::create(b, loc, op.getInput(),
                                            ValueRange{plane, loops.lane});
        for (int64_t slot = 0; slot < perWord; ++slot) {
          Value channel = channelOf(slot);
          if (!channel)
            continue;
          Value code =
              arith::ShRUIOp::create(b, loc, word, constant(level * slot));
          code =
              arith::AndIOp::create(b, loc, code, constant((1 << level) - 1));
          if (wordType != b.getI8Type())
            code = arith::TruncIOp::create(b, loc, b.getI8Type(), code);
          if (level == 8 && op.getIsSigned()) {
            Value offset =
                arith::ConstantOp::create(b, loc, b.getI8IntegerAttr(-128));
            code = arith::XOrIOp::create(b, loc, code, offset);
          }
          memref::StoreOp::create(b, loc, code, op.getInit(),
                                  loops.at(channel));
        }
      });
  op.erase();
}

/// Every `stride`-th lane, 1 or 2, of `count` from `lane` on.
static Value loadEveryOther(OpBuilder &b, Location loc, Value source,
                            Value plane, Value lane, int64_t stride,
                            int64_t count) {
  LaneVectors v(b, loc);
  Value first = v.loadVector(source, plane, lane, count);
  if (stride == 1)
    return first;
  // The second half begins at the last lane of the first: nothing is read
  // behind the last lane that counts.
  Value next = arith::AddIOp::create(b, loc, lane, v.index(count - 1));
  Value second = v.loadVector(source, plane, next, count);
  SmallVector<int64_t> picks;
  for (int64_t i = 0; i < count; ++i)
    picks.push_back(2 * i < count ? 2 * i : 2 * i + 1);
  return vector::ShuffleOp::create(b, loc, first, second, picks);
}

void sysmol::hetprec::lowerSplitPhases(OpBuilder &b, SplitPhasesOp op) {
  Location loc = op.getLoc();
  LanesAttr from = op.getFrom(), to = op.getTo();
  int64_t planes = cast<MemRefType>(op.getInput().getType()).getDimSize(0);
  int64_t strideY = op.getStrides()[0], strideX = op.getStrides()[1];
  int64_t padTop = op.getPads()[0], padLeft = op.getPads()[1];
  // The rows (or columns) of a phase that lie inside the image.
  auto inside = [](int64_t phase, int64_t stride, int64_t pad, int64_t size,
                   int64_t phaseSize) {
    int64_t first = std::max<int64_t>(
        0, llvm::divideCeil(std::max<int64_t>(0, pad - phase), stride));
    int64_t last = std::min(
        phaseSize, size + pad - phase <= 0
                       ? 0
                       : int64_t(llvm::divideCeil(size + pad - phase, stride)));
    return std::pair(first, std::max(first, last));
  };
  constexpr int64_t kLeastVector = 4;
  int64_t perRegister =
      8 * kLaneBlock /
      cast<MemRefType>(op.getInit().getType()).getElementTypeBitWidth();
  for (auto [i, phase] : llvm::enumerate(op.getPhases())) {
    b.setInsertionPoint(op);
    int64_t py = phase / strideX, px = phase % strideX;
    auto [y0, y1] =
        inside(py, strideY, padTop, from.getHeight(), to.getHeight());
    auto [x0, x1] =
        inside(px, strideX, padLeft, from.getWidth(), to.getWidth());
    Value g = openLoop(b, loc, 0, planes);
    Value n = openLoop(b, loc, 0, from.getImages());
    Value y = openLoop(b, loc, y0, y1);
    Value plane = makeIndex(b, loc, {g}, {1}, int64_t(i) * planes);
    auto getSource = [&](Value x) {
      return makeIndex(
          b, loc, {n, y, x},
          {from.getImageStride(), strideY * from.getRowStride(), strideX},
          from.getBase() + (py - padTop) * from.getRowStride() + px - padLeft);
    };
    auto getTarget = [&](Value x) {
      return makeIndex(b, loc, {n, y, x},
                       {to.getImageStride(), to.getRowStride(), 1},
                       to.getBase());
    };
    int64_t count = x1 - x0;
    if (strideX > 2 || count < kLeastVector) {
      Value x = openLoop(b, loc, x0, x1);
      Value word = memref::LoadOp::create(b, loc, op.getInput(),
                                          ValueRange{g, getSource(x)});
      memref::StoreOp::create(b, loc, word, op.getInit(),
                              ValueRange{plane, getTarget(x)});
      continue;
    }
    // Whole registers; the last one ends with the row and may repeat lanes of
    // the one before.
    int64_t lanes = llvm::bit_floor<uint64_t>(std::min(count, perRegister));
    auto copy = [&](Value x) {
      LaneVectors(b, loc).storeVector(loadEveryOther(b, loc, op.getInput(), g,
                                                     getSource(x), strideX,
                                                     lanes),
                                      op.getInit(), plane, getTarget(x));
    };
    LaneVectors v(b, loc);
    if (count % lanes)
      copy(v.index(x1 - lanes));
    Value chunk = openLoop(b, loc, 0, count / lanes);
    copy(makeIndex(b, loc, {chunk}, {lanes}, x0));
  }
  op.erase();
}

/// The codes in slot `s` of 64 words, one a byte, for every slot.
static SmallVector<Value> spreadSlots(OpBuilder &b, Location loc, Value words,
                                      int64_t level) {
  LaneVectors v(b, loc);
  auto bytes = VectorType::get({kLaneBlock}, b.getI8Type());
  auto pairs = VectorType::get({kLaneBlock / 2}, b.getI16Type());
  // One register for each byte of a word.
  SmallVector<Value> ofByte;
  for (int64_t i = 0, count = getWordBits(level) / 8; i < count; ++i) {
    Value all = vector::BitCastOp::create(
        b, loc, VectorType::get({count * kLaneBlock}, b.getI8Type()), words);
    SmallVector<int64_t> picks;
    for (int64_t lane = 0; lane < kLaneBlock; ++lane)
      picks.push_back(lane * count + i);
    ofByte.push_back(
        count == 1 ? all : vector::ShuffleOp::create(b, loc, all, all, picks));
  }
  if (level == 8)
    return ofByte;
  SmallVector<Value> slots;
  int64_t mask = (1 << level) - 1;
  for (int64_t slot = 0; slot < getChannelsPerWord(level); ++slot) {
    // Codes do not cross bytes; machines shift no single ones.
    Value x =
        vector::BitCastOp::create(b, loc, pairs, ofByte[slot * level / 8]);
    if (int64_t by = slot * level % 8)
      x = arith::ShRUIOp::create(b, loc, x, v.splat(pairs, by));
    x = arith::AndIOp::create(b, loc, x, v.splat(pairs, mask | mask << 8));
    slots.push_back(vector::BitCastOp::create(b, loc, bytes, x));
  }
  return slots;
}

void sysmol::hetprec::lowerSpreadLanes(OpBuilder &b, SpreadLanesOp op) {
  Location loc = op.getLoc();
  int64_t level = op.getLevel(), phases = op.getPhases();
  int64_t perWord = getChannelsPerWord(level), channels = op.getChannels();
  auto initType = cast<MemRefType>(op.getInit().getType());
  int64_t words = llvm::divideCeil(channels, perWord);
  int64_t planes = initType.getDimSize(0) / phases;
  // Words `[first, last)`, the first `slots` slots of them.
  auto spread = [&](int64_t first, int64_t last, int64_t slots) {
    if (first == last)
      return;
    b.setInsertionPoint(op);
    Value phase = openLoop(b, loc, 0, phases);
    Value word = openLoop(b, loc, first, last);
    Value block = openLoop(b, loc, 0, initType.getDimSize(1) / kLaneBlock);
    LaneVectors v(b, loc);
    Value lane = makeIndex(b, loc, {block}, {kLaneBlock}, 0);
    Value codes = v.loadVector(op.getInput(),
                               makeIndex(b, loc, {phase, word}, {words, 1}, 0),
                               lane, kLaneBlock);
    SmallVector<Value> bytes = spreadSlots(b, loc, codes, level);
    for (int64_t slot = 0; slot < slots; ++slot)
      v.storeVector(bytes[slot], op.getInit(),
                    makeIndex(b, loc, {phase, word}, {planes, perWord},
                              int64_t(op.getFirst()) + slot),
                    lane);
  };
  spread(0, channels / perWord, perWord);
  spread(channels / perWord, words, channels % perWord);
  op.erase();
}

namespace {
struct VectorizeLanesPass
    : sysmol::hetprec::impl::VectorizeLanesPassBase<VectorizeLanesPass> {
  void runOnOperation() override {
    OpBuilder b(&getContext());
    LaneScratch scratch;
    SmallVector<Operation *> ops;
    WalkResult walk = getOperation().walk([&](Operation *op) {
      if (!isa<ContractOp, ContractOutputsOp, RequantizeLanesOp, PackLanesOp,
               UnpackLanesOp, SplitPhasesOp, SpreadLanesOp, FoldTapsOp, GemvOp,
               PackRowsOp, SumRowsOp>(op))
        return WalkResult::advance();
      if (op->getNumResults() != 0) {
        op->emitOpError("must be on memrefs to be vectorized; bufferize first");
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
          .Case<GemvOp>([&](auto o) { vectorizeGemv(b, o); })
          .Case<PackRowsOp>([&](auto o) { lowerPackRows(b, o); })
          .Case<SumRowsOp>([&](auto o) { lowerSumRows(b, o); });
    scratch.finish();
  }
};
} // namespace
