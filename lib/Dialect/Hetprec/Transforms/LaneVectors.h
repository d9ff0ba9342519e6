//===- LaneVectors.h - Building blocks of vectorized lanes ------*- C++ -*-===//
//
// Private to hetprec-vectorize-lanes. A block of 64 lanes in words wider than a
// byte is a pair of vectors: the even lanes and the odd ones.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_LANEVECTORS_H
#define SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_LANEVECTORS_H

#include "LaneLoops.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/PatternMatch.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"
#include "llvm/ADT/MapVector.h"

namespace sysmol::hetprec {

/// The even and the odd lanes of a block: two `vector<32xT>`.
struct LanePair {
  mlir::Value even, odd;
  LanePair map(llvm::function_ref<mlir::Value(mlir::Value)> f) const {
    return {f(even), f(odd)};
  }
};

class LaneVectors {
public:
  LaneVectors(mlir::OpBuilder &builder, mlir::Location loc)
      : b(builder), loc(loc) {}

  mlir::Value index(int64_t value);
  mlir::Value add(mlir::Value x, mlir::Value y);
  mlir::Value times(mlir::Value x, int64_t factor);
  mlir::Value splat(mlir::VectorType type, int64_t value);
  mlir::Value splatReal(mlir::VectorType type, float value);
  mlir::Value broadcast(mlir::Value scalar, int64_t lanes);
  mlir::VectorType half(mlir::Type element) {
    return mlir::VectorType::get({kLaneBlock / 2}, element);
  }

  /// `carried`, after `body` ran for `first, first + step, ...`, `count` times:
  /// in a loop where that is more than once.
  llvm::SmallVector<mlir::Value>
  repeat(mlir::Value first, int64_t count, int64_t step,
         mlir::ValueRange carried,
         llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value,
                                                           mlir::ValueRange)>
             body);

  /// Element `[row, column]` or `[row]` of a table.
  mlir::Value loadScalar(mlir::Value table, mlir::Value row,
                         mlir::Value column = {});
  mlir::Value loadVector(mlir::Value memref, mlir::Value row, mlir::Value lane,
                         int64_t lanes);
  void storeVector(mlir::Value vector, mlir::Value memref, mlir::Value row,
                   mlir::Value lane);
  /// Block `block` of a wide plane.
  LanePair loadPair(mlir::Value plane, mlir::Value row, int64_t block);
  /// Block `block` of a plane whose lanes follow one another; 16 bits may come
  /// widened to 32, without sign, where `bits` are wanted.
  LanePair loadPairInTurn(mlir::Value plane, mlir::Value row, int64_t block,
                          int64_t bits);
  void storePair(LanePair pair, mlir::Value plane, mlir::Value row,
                 int64_t block);

  /// `value` with its elements sign-extended or truncated to `bits`.
  mlir::Value resize(mlir::Value value, int64_t bits);
  /// Nibbles 0, 2, 1, 3 of 16 bits in 32 to the low halves of four bytes: the
  /// order in which rows are packed.
  mlir::Value spreadNibbles(mlir::Value words);
  mlir::Value toReal(mlir::Value value);
  /// Clamps reals, none of them NaN, to [lo, hi].
  mlir::Value clampReal(mlir::Value value, float lo, float hi);
  /// Rounds reals of magnitude below 2^22 half to even; the low 22 bits of the
  /// i32 results are the integers', the others are not.
  mlir::Value roundReal(mlir::Value value);
  /// The same, and the whole i32 is the integer's.
  mlir::Value roundToInt(mlir::Value value);
  /// Rounds reals of magnitude below 2^31 down, to i32.
  mlir::Value floorToInt(mlir::Value value);

  /// HP15 by thresholds: the number of `thresholds[row, ...]` below each value,
  /// in slot `slot` of i16 lanes.
  LanePair countThresholds(LanePair values, mlir::Value thresholds,
                           mlir::Value row, int64_t level, mlir::Value slot);
  /// The same of lanes in turn, in bytes.
  mlir::Value countThresholdsInTurn(mlir::Value values, mlir::Value thresholds,
                                    mlir::Value row, int64_t level,
                                    int64_t slot);
  /// `value * multiplier[row] + offset[row]` (no offset: the product) as reals:
  /// what the float rule rounds, and HP18.
  mlir::Value scaleByRule(mlir::Value value, mlir::Value multiplier,
                          mlir::Value offset, mlir::Value row);
  /// HP15 by the float rule, 4 or 8 bits: what the lane's word holds, in 32
  /// bits (symmetric codes with 128 added).
  mlir::Value requantizeByRule(mlir::Value value, mlir::Value multiplier,
                               mlir::Value offset, mlir::Value row,
                               int64_t level, bool isSigned);
  /// HP15 by the float rule, 4 or 8 bits, where that is in range (see
  /// `contract`): what `joinCodes` clamps to the lane's codes.
  mlir::Value roundByRule(mlir::Value value, mlir::Value multiplier,
                          mlir::Value offset, mlir::Value row, int64_t level,
                          bool isSigned);
  /// Words of level 4 or 8 whose first slots these are; the others are 0.
  mlir::Value joinCodes(llvm::ArrayRef<mlir::Value> slots, int64_t level);
  /// HP17: 16-bit residual values of `value`, none below `lowest`; without or
  /// with an offset. `inRange`: see `contract`.
  mlir::Value toCarrier(mlir::Value value, mlir::Value multiplier,
                        mlir::Value offset, mlir::Value row, bool inRange,
                        int64_t lowest);

  /// The same of 32 lanes in turn, even ones first.
  mlir::Value toSortedCarrier(mlir::Value value, mlir::Value multiplier,
                              mlir::Value offset, mlir::Value row, bool inRange,
                              int64_t lowest);
  /// Lanes in turn, even ones first.
  mlir::Value sort(mlir::Value x);

  /// The columns of a square: as many registers as each has elements.
  void transpose(llvm::MutableArrayRef<mlir::Value> rows);

  /// Codes in the lowest slot, moved to slot `slot` of their words of 16 or 32
  /// bits.
  LanePair shiftToSlot(LanePair codes, int64_t level, mlir::Value slot);
  /// Writes a block of finished words, those outside the mask as 0.
  void storeWords(LanePair words, int64_t level, mlir::Value mask,
                  mlir::Value init, mlir::Value word, int64_t block);
  /// The same for words from `lane` on, in turn.
  void storeWordsInTurn(mlir::Value words, mlir::Value mask, mlir::Value init,
                        mlir::Value word, mlir::Value lane);
  /// Even and odd lanes in turn.
  mlir::Value interleave(LanePair pair);
  /// The even and the odd lanes of a block in turn, given as its halves.
  LanePair deinterleave(mlir::Value low, mlir::Value high);
  /// `count` lanes from `first` on.
  mlir::Value slice(mlir::Value x, int64_t first, int64_t count);
  /// The lanes of both.
  mlir::Value concatenate(mlir::Value x, mlir::Value y);

private:
  /// `slot * level`, as an integer of `width` bits.
  mlir::Value getShift(int64_t level, mlir::Value slot, int64_t width);

  mlir::OpBuilder &b;
  mlir::Location loc;
};

/// The taps of a window as few that are written out, and loops around them over
/// all others. Points are at (lane, phase, row of the image).
struct WindowLoops {
  llvm::SmallVector<LoopPart, 1> parts;

  /// All taps written out.
  static WindowLoops unroll(int64_t taps) { return {{LoopPart{0, taps}}}; }
  /// Taps that are written out at most, if that is possible: compile time grows
  /// faster than their number.
  static constexpr int64_t kMostTaps = 32;
  /// `tapPhases` has one entry for each tap, `tapKinds` and `tapRows` as well,
  /// or none; taps of several kinds share no loop.
  static WindowLoops find(llvm::ArrayRef<int64_t> taps,
                          llvm::ArrayRef<int64_t> tapPhases,
                          llvm::ArrayRef<int64_t> tapKinds = {},
                          int64_t most = kMostTaps,
                          llvm::ArrayRef<int64_t> tapRows = {});

  /// Taps that are written out together, `[first, last)`, and how far on: in
  /// taps, lanes, phases and rows of the image (null: none).
  struct Place {
    int64_t first, last;
    mlir::Value tap, lane, phase, row = {};
  };
  /// `carried`, after `body` ran for every place.
  llvm::SmallVector<mlir::Value>
  forPlaces(LaneVectors &v, mlir::ValueRange carried,
            llvm::function_ref<llvm::SmallVector<mlir::Value>(const Place &,
                                                              mlir::ValueRange)>
                body) const;
};

/// The taps that a segment of a `contract` or `contract_outputs` reads.
struct SegmentWindow {
  llvm::SmallVector<int64_t> taps, tapPhases;
  WindowLoops loops;

  template <typename Op>
  SegmentWindow(Op op, int64_t segment)
      : taps(op.getTaps().take_front(op.getNumTaps(segment))),
        tapPhases(taps.size(), 0) {
    if (op.getNumPhases(segment) > 1 && !op.getTapPhases().empty())
      tapPhases.assign(op.getTapPhases().begin(), op.getTapPhases().end());
    loops = WindowLoops::find(taps, tapPhases);
  }
};

/// Two products of 4-bit codes: `pair_bound` of what was spread to bytes.
inline constexpr int64_t kNibblePairBound = 2 * 15 * 15;
/// The most that rows of 4-bit codes are multiplied with where they are spread
/// to bytes.
inline constexpr int64_t kMostRowFactor = 4;

/// How many words of a segment of level 1 or 2 a byte holds the sums of.
template <typename OpTy> int64_t getWordsPerByte(OpTy op, int64_t segment) {
  return op.getByteWords().empty()
             ? 255 / MacOp::getLargestProduct(op.getLevels()[segment],
                                              op.getCentred())
             : op.getByteWords()[segment];
}

/// How many of them are summed before they are widened. Windows with phases are
/// 4 to 5 % slower where chunks have a loop over words of their own.
template <typename OpTy> int64_t getWordsPerChunk(OpTy op, int64_t segment) {
  if (op.getNumPhases(segment) == 1)
    return getWordsPerByte(op, segment);
  return 255 /
         MacOp::getLargestProduct(op.getLevels()[segment], op.getCentred());
}

/// The most that `macs` words of a segment of level 1 or 2 can add up to.
template <typename OpTy>
int64_t getLargestSum(OpTy op, int64_t segment, int64_t macs) {
  return macs *
         MacOp::getLargestProduct(op.getLevels()[segment], op.getCentred());
}

/// Sums that a target's registers hold at once, beside what is added to them.
struct SumLimits {
  int64_t bytes = 8; ///< registers of 64, of levels 1 and 2
  int64_t dots = 16; ///< registers of 16, of levels 4 and 8
};

/// Memory of a function (or of a parallel loop's body) for the sums of one tile
/// at a time: on the stack, so that every thread has its own.
class LaneScratch {
public:
  explicit LaneScratch(SumLimits limits) : limits(limits) {}

  const SumLimits limits;

  /// Begins the next tile.
  void reset() { used = 0; }
  /// `rows x lanes` elements that belong to the tile.
  mlir::Value take(mlir::OpBuilder &b, mlir::Location loc, int64_t rows,
                   int64_t lanes, mlir::Type element);
  /// Makes the memory as large as the largest tile needs.
  void finish();

private:
  struct Region {
    mlir::memref::AllocaOp memory;
    int64_t size = 0;
  };
  llvm::MapVector<mlir::Block *, Region> regions;
  int64_t used = 0;
};

/// Lowerings of one op each; the op is replaced.
void vectorizeContract(mlir::OpBuilder &b, ContractOp op, LaneScratch &scratch);
void vectorizeContractOutputs(mlir::OpBuilder &b, ContractOutputsOp op,
                              LaneScratch &scratch);
void vectorizeRequantizeLanes(mlir::OpBuilder &b, RequantizeLanesOp op);
void lowerPackLanes(mlir::OpBuilder &b, PackLanesOp op);
/// Codes of level 1, 2, 4 or 8.
void vectorizePackLanes(mlir::OpBuilder &b, PackLanesOp op);
/// Rows of a product out of wide planes, 16 channels of 64 rows at a time.
/// Gives the op's channels, -1 for those that are done.
llvm::SmallVector<int64_t> vectorizeUnpackLanes(mlir::OpBuilder &b,
                                                UnpackLanesOp op);
void lowerUnpackLanes(mlir::OpBuilder &b, UnpackLanesOp op);
void vectorizeGemv(mlir::OpBuilder &b, GemvOp op);
void lowerPackRows(mlir::OpBuilder &b, PackRowsOp op);
void lowerSumRows(mlir::OpBuilder &b, SumRowsOp op);
void lowerSplitPhases(mlir::OpBuilder &b, SplitPhasesOp op);
void lowerSpreadLanes(mlir::OpBuilder &b, SpreadLanesOp op);
void vectorizeFoldTaps(mlir::OpBuilder &b, FoldTapsOp op);
void vectorizeMaxPool(mlir::OpBuilder &b, MaxPoolLanesOp op);
void vectorizeWinogradInput(mlir::OpBuilder &b, WinogradInputOp op);
void vectorizeWinogradContract(mlir::OpBuilder &b, WinogradContractOp op,
                               LaneScratch &scratch);

} // namespace sysmol::hetprec

#endif // SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_LANEVECTORS_H
