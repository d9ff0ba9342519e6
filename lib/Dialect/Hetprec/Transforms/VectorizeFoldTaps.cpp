//===- VectorizeFoldTaps.cpp - Taps side by side, 64 lanes at a time ------===//

#include "LaneLoops.h"
#include "LaneVectors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sysmol::hetprec;

namespace {
class FoldVectorizer {
public:
  FoldVectorizer(OpBuilder &b, FoldTapsOp op)
      : b(b), op(op), loc(op.getLoc()), v(b, loc), level(op.getLevel()),
        perWord(getChannelsPerWord(level)) {
    int64_t slots = 0;
    for (int64_t channels : op.getChannels()) {
      firstSlots.push_back(slots);
      slots += channels;
    }
    Type word = cast<MemRefType>(op.getInit().getType()).getElementType();
    wordType = VectorType::get({kLaneBlock}, word);
    // Machines shift no single bytes; codes do not leave theirs.
    shiftType = word.isInteger(8)
                    ? VectorType::get({kLaneBlock / 2}, b.getI16Type())
                    : wordType;
  }

  void run();

private:
  /// The codes of the slots that tap `tap` has in word `word`, or null.
  Value getSlots(ArrayRef<Value> lanes, int64_t word, int64_t tap);
  /// `bits` in each word, of a register to shift.
  Value splatMask(int64_t bits) {
    if (shiftType != wordType)
      bits |= bits << 8;
    return v.splat(shiftType, bits);
  }

  OpBuilder &b;
  FoldTapsOp op;
  Location loc;
  LaneVectors v;
  int64_t level, perWord;
  SmallVector<int64_t> firstSlots; // of each tap
  VectorType wordType, shiftType;
};
} // namespace

Value FoldVectorizer::getSlots(ArrayRef<Value> lanes, int64_t word,
                               int64_t tap) {
  // Slots of the word that the tap's first and last channel take.
  int64_t move = firstSlots[tap] - word * perWord;
  int64_t first = std::max<int64_t>(0, move);
  int64_t last = std::min(perWord, move + op.getChannels()[tap]);
  if (first >= last)
    return {};
  Value codes = vector::BitCastOp::create(b, loc, shiftType, lanes[tap]);
  if (move > 0)
    codes =
        arith::ShLIOp::create(b, loc, codes, v.splat(shiftType, move * level));
  else if (move < 0)
    codes = arith::ShRUIOp::create(b, loc, codes,
                                   v.splat(shiftType, -move * level));
  int64_t bits = ((int64_t(1) << (last - first) * level) - 1) << first * level;
  return arith::AndIOp::create(b, loc, codes, splatMask(bits));
}

void FoldVectorizer::run() {
  int64_t words = cast<MemRefType>(op.getInit().getType()).getDimSize(0);
  ArrayRef<int64_t> taps = op.getTaps(), tapPhases = op.getTapPhases();
  OpBuilder::InsertionGuard guard(b);
  Value block = openLoop(b, loc, 0, int64_t(op.getLaneCount()) / kLaneBlock);
  Value lane = makeIndex(b, loc, {block}, {kLaneBlock}, op.getLaneBegin());
  SmallVector<Value> lanes;
  for (auto [t, tap] : llvm::enumerate(taps))
    lanes.push_back(v.loadVector(
        op.getInput(), v.index(tapPhases.empty() ? 0 : tapPhases[t]),
        arith::AddIOp::create(b, loc, lane, v.index(tap)), kLaneBlock));
  for (int64_t word = 0; word < words; ++word) {
    Value all;
    for (int64_t tap = 0; tap < int64_t(taps.size()); ++tap)
      if (Value slots = getSlots(lanes, word, tap))
        all = all ? arith::OrIOp::create(b, loc, all, slots) : slots;
    v.storeVector(vector::BitCastOp::create(b, loc, wordType, all),
                  op.getInit(), v.index(word), lane);
  }
}

void sysmol::hetprec::vectorizeFoldTaps(OpBuilder &b, FoldTapsOp op) {
  b.setInsertionPoint(op);
  FoldVectorizer(b, op).run();
  op.erase();
}
