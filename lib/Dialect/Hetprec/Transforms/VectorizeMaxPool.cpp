//===- VectorizeMaxPool.cpp - Largest codes, 64 lanes at a time -----------===//

#include "LaneLoops.h"
#include "LaneVectors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sysmol::hetprec;

/// Taps that are written out; of more, loops run over rows of them.
static constexpr int64_t kUnrolledTaps = 16;
/// The most of these: each is few instructions.
static constexpr int64_t kMostTaps = 128;

namespace {
class MaxPoolVectorizer {
public:
  MaxPoolVectorizer(OpBuilder &b, MaxPoolLanesOp op)
      : b(b), op(op), loc(op.getLoc()), v(b, loc),
        wordType(cast<MemRefType>(op.getInit().getType()).getElementType()),
        byteType(
            VectorType::get({kLaneBlock * wordType.getIntOrFloatBitWidth() / 8},
                            b.getI8Type())) {
    // A code alone in its byte compares as its byte does.
    int64_t level = op.getLevel();
    int64_t perByte =
        level == 1 ? 1
                   : std::min<int64_t>(8 / level, getChannelsPerWord(level));
    for (int64_t slot = 0; slot < perByte; ++slot)
      masks.push_back(((1 << level) - 1) << slot * level);
    tapPhases.assign(op.getTapPhases().begin(), op.getTapPhases().end());
    tapPhases.resize(op.getTaps().size(), 0);
    if (int64_t(tapPhases.size()) > kUnrolledTaps)
      window = WindowLoops::find(op.getTaps(), tapPhases, /*tapKinds=*/{},
                                 kMostTaps);
    else
      window = WindowLoops::unroll(tapPhases.size());
  }

  void run();

private:
  /// The largest codes so far, of each of `masks` its own, and those of tap
  /// `tap` of a place of the window.
  SmallVector<Value> reduce(ValueRange largest, Value plane, Value lane,
                            int64_t tap);

  OpBuilder &b;
  MaxPoolLanesOp op;
  Location loc;
  LaneVectors v;
  Type wordType;
  VectorType byteType;
  SmallVector<int64_t> masks, tapPhases;
  WindowLoops window;
};
} // namespace

SmallVector<Value> MaxPoolVectorizer::reduce(ValueRange largest, Value plane,
                                             Value lane, int64_t tap) {
  int64_t planes = cast<MemRefType>(op.getInit().getType()).getDimSize(0);
  Value codes = v.loadVector(
      op.getInput(), makeIndex(b, loc, {plane}, {1}, tapPhases[tap] * planes),
      makeIndex(b, loc, {lane}, {1},
                int64_t(op.getOrigin()) + op.getTaps()[tap]),
      kLaneBlock);
  codes = vector::BitCastOp::create(b, loc, byteType, codes);
  SmallVector<Value> next;
  for (auto [before, mask] : llvm::zip_equal(largest, masks)) {
    if (op.getLevel() == 1) {
      next.push_back(arith::OrIOp::create(b, loc, before, codes));
      continue;
    }
    // Of the highest slot what is below it does not matter until the end.
    Value own = codes;
    if (mask != masks.back())
      own = arith::AndIOp::create(b, loc, own, v.splat(byteType, mask));
    next.push_back(arith::MaxUIOp::create(b, loc, before, own));
  }
  return next;
}

void MaxPoolVectorizer::run() {
  int64_t planes = cast<MemRefType>(op.getInit().getType()).getDimSize(0);
  OpBuilder::InsertionGuard guard(b);
  Value plane = openLoop(b, loc, 0, planes);
  Value block = openLoop(b, loc, 0, int64_t(op.getLaneCount()) / kLaneBlock);
  Value lane = makeIndex(b, loc, {block}, {kLaneBlock}, op.getLaneBegin());
  // No code is less than 0.
  SmallVector<Value> largest(masks.size(), v.splat(byteType, 0));
  largest = window.forPlaces(
      v, largest, [&](const WindowLoops::Place &place, ValueRange before) {
        SmallVector<Value> after(before);
        Value placePlane = plane;
        if (place.phase)
          placePlane = v.add(plane, v.times(place.phase, planes));
        Value placeLane = v.add(lane, place.lane);
        for (int64_t tap = place.first; tap < place.last; ++tap)
          after = reduce(after, placePlane, placeLane, tap);
        return after;
      });
  if (masks.size() > 1)
    largest.back() = arith::AndIOp::create(b, loc, largest.back(),
                                           v.splat(byteType, masks.back()));
  Value words = largest.front();
  for (Value other : ArrayRef(largest).drop_front())
    words = arith::OrIOp::create(b, loc, words, other);
  words = vector::BitCastOp::create(
      b, loc, VectorType::get({kLaneBlock}, wordType), words);
  v.storeWordsInTurn(words, op.getMask(), op.getInit(), plane, lane);
}

void sysmol::hetprec::vectorizeMaxPool(OpBuilder &b, MaxPoolLanesOp op) {
  b.setInsertionPoint(op);
  MaxPoolVectorizer(b, op).run();
  op.erase();
}
