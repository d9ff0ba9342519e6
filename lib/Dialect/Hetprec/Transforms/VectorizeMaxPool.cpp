//===- VectorizeMaxPool.cpp - Largest codes, 64 lanes at a time -----------===//

#include "LaneLoops.h"
#include "LaneVectors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sysmol::hetprec;

/// Taps that are written out; of more a loop runs over the rows of the window.
static constexpr int64_t kUnrolledTaps = 16;

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
    window.taps = op.getTaps().size();
    if (window.taps > kUnrolledTaps)
      window = WindowRows::find(op.getTaps(), getTapPhases());
  }

  void run();

private:
  SmallVector<int64_t> getTapPhases() {
    SmallVector<int64_t> phases(op.getTapPhases());
    phases.resize(op.getTaps().size(), 0);
    return phases;
  }
  /// The largest codes so far, of each of `masks` its own, and those of tap
  /// `tap` of a row of the window.
  SmallVector<Value> reduce(ValueRange largest, Value plane, Value lane,
                            Value windowRow, int64_t tap);

  OpBuilder &b;
  MaxPoolLanesOp op;
  Location loc;
  LaneVectors v;
  Type wordType;
  VectorType byteType;
  SmallVector<int64_t> masks;
  WindowRows window;
};
} // namespace

SmallVector<Value> MaxPoolVectorizer::reduce(ValueRange largest, Value plane,
                                             Value lane, Value windowRow,
                                             int64_t tap) {
  int64_t planes = cast<MemRefType>(op.getInit().getType()).getDimSize(0);
  Value codes = v.loadVector(
      op.getInput(),
      makeIndex(b, loc, {plane, windowRow}, {1, window.phaseStep * planes},
                getTapPhases()[tap] * planes),
      makeIndex(b, loc, {lane, windowRow}, {1, window.laneStep},
                int64_t(op.getOrigin()) + op.getTaps()[tap]),
      kLaneBlock);
  codes = vector::BitCastOp::create(b, loc, byteType, codes);
  SmallVector<Value> next;
  for (auto [before, mask] : llvm::zip_equal(largest, masks)) {
    if (op.getLevel() == 1) {
      next.push_back(arith::OrIOp::create(b, loc, before, codes));
      continue;
    }
    Value own = codes;
    if (masks.size() > 1)
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
  auto addRow = [&](Value windowRow, ValueRange before) {
    SmallVector<Value> after(before);
    for (int64_t tap = 0; tap < window.taps; ++tap)
      after = reduce(after, plane, lane, windowRow, tap);
    return after;
  };
  if (window.rows == 1) {
    largest = addRow(v.index(0), largest);
  } else {
    auto rows = scf::ForOp::create(
        b, loc, v.index(0), v.index(window.rows), v.index(1), largest,
        [&](OpBuilder &, Location, Value row, ValueRange before) {
          scf::YieldOp::create(b, loc, addRow(row, before));
        });
    largest.assign(rows.result_begin(), rows.result_end());
  }
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
