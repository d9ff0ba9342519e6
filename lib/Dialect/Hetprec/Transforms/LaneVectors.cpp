//===- LaneVectors.cpp - Building blocks of vectorized lanes --------------===//

#include "LaneVectors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

#include <functional>
#include <tuple>

using namespace mlir;
using namespace sysmol::hetprec;

Value LaneVectors::index(int64_t value) {
  return arith::ConstantIndexOp::create(b, loc, value);
}

Value LaneVectors::add(Value x, Value y) {
  return arith::AddIOp::create(b, loc, x, y);
}

Value LaneVectors::times(Value x, int64_t factor) {
  return arith::MulIOp::create(b, loc, x, index(factor));
}

SmallVector<Value>
LaneVectors::repeat(Value first, int64_t count, int64_t step,
                    ValueRange carried,
                    function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  if (count == 0)
    return llvm::to_vector(carried);
  if (count == 1)
    return body(first, carried);
  Value last = arith::AddIOp::create(b, loc, first, index(count * step));
  // In its place before it has a body, which may take scratch memory.
  auto loop = scf::ForOp::create(b, loc, first, last, index(step), carried);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  SmallVector<Value> next =
      body(loop.getInductionVar(), loop.getRegionIterArgs());
  if (!carried.empty())
    scf::YieldOp::create(b, loc, next);
  return llvm::to_vector(ValueRange(loop.getResults()));
}

Value LaneVectors::splat(VectorType type, int64_t value) {
  return arith::ConstantOp::create(
      b, loc,
      DenseElementsAttr::get(type,
                             b.getIntegerAttr(type.getElementType(), value)));
}

Value LaneVectors::splatReal(VectorType type, float value) {
  return arith::ConstantOp::create(
      b, loc, DenseElementsAttr::get(type, b.getF32FloatAttr(value)));
}

Value LaneVectors::broadcast(Value scalar, int64_t lanes) {
  return vector::BroadcastOp::create(
      b, loc, VectorType::get({lanes}, scalar.getType()), scalar);
}

Value LaneVectors::loadScalar(Value table, Value row, Value column) {
  SmallVector<Value> indices = {row};
  if (column)
    indices.push_back(column);
  return memref::LoadOp::create(b, loc, table, indices);
}

Value LaneVectors::loadVector(Value memref, Value row, Value lane,
                              int64_t lanes) {
  auto type = cast<MemRefType>(memref.getType());
  SmallVector<Value> indices;
  if (type.getRank() == 2)
    indices.push_back(row);
  indices.push_back(lane);
  return vector::LoadOp::create(
      b, loc, VectorType::get({lanes}, type.getElementType()), memref, indices);
}

void LaneVectors::storeVector(Value vector, Value memref, Value row,
                              Value lane) {
  vector::StoreOp::create(b, loc, vector, memref, ValueRange{row, lane});
}

LanePair LaneVectors::loadPair(Value plane, Value row, int64_t block) {
  constexpr int64_t half = kLaneBlock / 2;
  return {loadVector(plane, row, index(block * kLaneBlock), half),
          loadVector(plane, row, index(block * kLaneBlock + half), half)};
}

LanePair LaneVectors::loadPairInTurn(Value plane, Value row, int64_t block,
                                     int64_t bits) {
  constexpr int64_t half = kLaneBlock / 2;
  Value low = loadVector(plane, row, index(block * kLaneBlock), half);
  Value high = loadVector(plane, row, index(block * kLaneBlock + half), half);
  if (cast<MemRefType>(plane.getType()).getElementTypeBitWidth() == 16 &&
      bits == 32) {
    // Two lanes are the halves of 32 bits: no shuffle.
    auto pairs = VectorType::get({half / 2}, b.getI32Type());
    auto join = [&](function_ref<Value(Value)> f) -> Value {
      Value parts[2];
      for (auto [part, lanes] : llvm::zip_equal(parts, ArrayRef{low, high}))
        part = f(vector::BitCastOp::create(b, loc, pairs, lanes));
      return vector::ShuffleOp::create(
          b, loc, parts[0], parts[1],
          llvm::to_vector(llvm::seq<int64_t>(half)));
    };
    return {join([&](Value x) -> Value {
              return arith::AndIOp::create(b, loc, x, splat(pairs, 0xFFFF));
            }),
            join([&](Value x) -> Value {
              return arith::ShRUIOp::create(b, loc, x, splat(pairs, 16));
            })};
  }
  return deinterleave(low, high);
}

LanePair LaneVectors::deinterleave(Value low, Value high) {
  auto everyOther = [&](int64_t first) -> Value {
    SmallVector<int64_t> picks;
    for (int64_t lane = first; lane < kLaneBlock; lane += 2)
      picks.push_back(lane);
    return vector::ShuffleOp::create(b, loc, low, high, picks);
  };
  return {everyOther(0), everyOther(1)};
}

void LaneVectors::storePair(LanePair pair, Value plane, Value row,
                            int64_t block) {
  storeVector(pair.even, plane, row, index(block * kLaneBlock));
  storeVector(pair.odd, plane, row, index(block * kLaneBlock + kLaneBlock / 2));
}

Value LaneVectors::resize(Value value, int64_t bits) {
  Type element = getElementTypeOrSelf(value.getType());
  int64_t from = element.getIntOrFloatBitWidth();
  if (from == bits)
    return value;
  Type type = b.getIntegerType(bits);
  if (auto vector = dyn_cast<VectorType>(value.getType()))
    type = vector.clone(type);
  if (from < bits)
    return arith::ExtSIOp::create(b, loc, type, value);
  return arith::TruncIOp::create(b, loc, type, value);
}

Value LaneVectors::spreadNibbles(Value words) {
  auto type = cast<VectorType>(words.getType());
  // Bits 0-3 and 8-11 are in place; 4-7 and 12-15 move to 16 and 24.
  Value moved = arith::ShLIOp::create(b, loc, words, splat(type, 12));
  Value both = arith::OrIOp::create(b, loc, words, moved);
  return arith::AndIOp::create(b, loc, both, splat(type, 0x0F0F0F0F));
}

Value LaneVectors::toReal(Value value) {
  auto type = cast<VectorType>(value.getType());
  return arith::SIToFPOp::create(b, loc, type.clone(b.getF32Type()),
                                 resize(value, 32));
}

Value LaneVectors::clampReal(Value value, float lo, float hi) {
  auto type = cast<VectorType>(value.getType());
  // No NaN comes here: sums and multipliers are finite.
  auto nnan = arith::FastMathFlags::nnan;
  value = arith::MaxNumFOp::create(b, loc, value, splatReal(type, lo), nnan);
  return arith::MinNumFOp::create(b, loc, value, splatReal(type, hi), nnan);
}

Value LaneVectors::roundReal(Value value) {
  // Behind 1.5 * 2^23 binary32 has no fraction: the addition rounds half to
  // even, and the low bits are the integer's.
  auto type = cast<VectorType>(value.getType());
  Value moved =
      arith::AddFOp::create(b, loc, value, splatReal(type, 0x1.8p23f));
  return arith::BitcastOp::create(b, loc, type.clone(b.getI32Type()), moved);
}

Value LaneVectors::roundToInt(Value value) {
  Value bits = roundReal(value);
  return arith::SubIOp::create(b, loc, bits,
                               splat(cast<VectorType>(bits.getType()),
                                     llvm::bit_cast<int32_t>(0x1.8p23f)));
}

Value LaneVectors::floorToInt(Value value) {
  // math.floor is a call of the C library on machines that lack the
  // instruction. The conversion cuts off, which is one too high below 0.
  auto type = cast<VectorType>(value.getType()).clone(b.getI32Type());
  Value cut = arith::FPToSIOp::create(b, loc, type, value);
  Value back = arith::SIToFPOp::create(b, loc, value.getType(), cut);
  Value above =
      arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, back, value);
  // True is -1.
  return arith::AddIOp::create(b, loc, cut,
                               arith::ExtSIOp::create(b, loc, type, above));
}

Value LaneVectors::getShift(int64_t level, Value slot, int64_t width) {
  Type type = b.getIntegerType(width);
  Value shift = arith::IndexCastUIOp::create(b, loc, type, slot);
  return arith::MulIOp::create(
      b, loc, shift,
      arith::ConstantOp::create(b, loc, b.getIntegerAttr(type, level)));
}

LanePair LaneVectors::countThresholds(LanePair values, Value thresholds,
                                      Value row, int64_t level, Value slot) {
  int64_t count = cast<MemRefType>(thresholds.getType()).getDimSize(1);
  VectorType codeType = half(b.getI16Type());
  // What a threshold counts in this slot.
  Value one = arith::ConstantOp::create(b, loc, b.getI16IntegerAttr(1));
  Value unit =
      broadcast(arith::ShLIOp::create(b, loc, one, getShift(level, slot, 16)),
                codeType.getDimSize(0));
  LanePair codes;
  for (int64_t t = 0; t < count; ++t) {
    Value threshold = broadcast(loadScalar(thresholds, row, index(t)),
                                codeType.getDimSize(0));
    auto add = [&](Value value, Value code) -> Value {
      Value above = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sgt,
                                          value, threshold);
      if (!code)
        return arith::SelectOp::create(b, loc, above, unit, splat(codeType, 0));
      // A masked addition where there are masks.
      Value more = arith::AddIOp::create(b, loc, code, unit);
      return arith::SelectOp::create(b, loc, above, more, code);
    };
    codes = {add(values.even, codes.even), add(values.odd, codes.odd)};
  }
  return codes;
}

Value LaneVectors::countThresholdsInTurn(Value values, Value thresholds,
                                         Value row, int64_t level,
                                         int64_t slot) {
  int64_t count = cast<MemRefType>(thresholds.getType()).getDimSize(1);
  int64_t lanes = cast<VectorType>(values.getType()).getDimSize(0);
  VectorType codeType = VectorType::get({lanes}, b.getI8Type());
  Value unit = splat(codeType, int8_t(1 << (level * slot)));
  Value codes;
  for (int64_t t = 0; t < count; ++t) {
    Value threshold = broadcast(loadScalar(thresholds, row, index(t)), lanes);
    Value above = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sgt,
                                        values, threshold);
    if (codes) {
      // A masked addition where there are masks.
      Value more = arith::AddIOp::create(b, loc, codes, unit);
      codes = arith::SelectOp::create(b, loc, above, more, codes);
    } else {
      codes = arith::SelectOp::create(b, loc, above, unit, splat(codeType, 0));
    }
  }
  return codes;
}

Value LaneVectors::scaleByRule(Value value, Value multiplier, Value offset,
                               Value row) {
  Value x = toReal(value);
  int64_t lanes = cast<VectorType>(x.getType()).getDimSize(0);
  x = arith::MulFOp::create(b, loc, x,
                            broadcast(loadScalar(multiplier, row), lanes));
  if (!offset)
    return x;
  return arith::AddFOp::create(b, loc, x,
                               broadcast(loadScalar(offset, row), lanes));
}

Value LaneVectors::requantizeByRule(Value value, Value multiplier, Value offset,
                                    Value row, int64_t level, bool isSigned) {
  Value x = scaleByRule(value, multiplier, offset, row);
  // Rounding is monotone and the bounds are integers: clamping first is the
  // same, and keeps the conversion in range.
  int64_t highest = (int64_t(1) << level) - 1, shift = 0;
  bool floors = false;
  if (isSigned && level == 8) {
    x = clampReal(x, -127, 127);
    shift = 128;
  } else if (isSigned) {
    shift = int64_t(1) << (level - 1);
    x = clampReal(x, -shift, highest - shift);
    floors = true;
  } else {
    x = clampReal(x, 0, highest);
  }
  auto type = cast<VectorType>(x.getType()).clone(b.getI32Type());
  Value code;
  if (floors) {
    code = floorToInt(x);
  } else {
    code = roundReal(x);
  }
  if (shift)
    code = arith::AddIOp::create(b, loc, code, splat(type, shift));
  if (!floors) // bits of the mantissa above the integer
    code = arith::AndIOp::create(b, loc, code, splat(type, 255));
  return code;
}

Value LaneVectors::roundByRule(Value value, Value multiplier, Value offset,
                               Value row, int64_t level, bool isSigned) {
  Value x = scaleByRule(value, multiplier, offset, row);
  auto type = cast<VectorType>(x.getType()).clone(b.getI32Type());
  if (isSigned && level == 4)
    return arith::AddIOp::create(b, loc, floorToInt(x), splat(type, 8));
  Value code = LLVM::LrintOp::create(b, loc, type, x);
  if (!isSigned)
    return code;
  // -128 is no code.
  code = arith::MaxSIOp::create(b, loc, code, splat(type, -127));
  return arith::AddIOp::create(b, loc, code, splat(type, 128));
}

Value LaneVectors::joinCodes(ArrayRef<Value> slots, int64_t level) {
  auto type = cast<VectorType>(slots.front().getType());
  SmallVector<Value, 4> all(slots);
  while (all.size() < 4)
    all.push_back(splat(type, 0));
  return JoinCodesOp::create(b, loc,
                             type.clone(b.getIntegerType(getWordBits(level))),
                             all[0], all[1], all[2], all[3], level);
}

Value LaneVectors::toCarrier(Value value, Value multiplier, Value offset,
                             Value row, bool inRange, int64_t lowest) {
  Value x = scaleByRule(value, multiplier, offset, row);
  int64_t lanes = cast<VectorType>(x.getType()).getDimSize(0);
  if (!inRange)
    return resize(roundReal(clampReal(x, lowest, 32767)), 16);
  // Saturating truncation is one instruction; its lowest value is one less
  // than HP17's.
  auto type = VectorType::get({lanes}, b.getI32Type());
  Value rounded = LLVM::LrintOp::create(b, loc, type, x);
  rounded = arith::MaxSIOp::create(b, loc, rounded, splat(type, -32768));
  rounded = arith::MinSIOp::create(b, loc, rounded, splat(type, 32767));
  Value narrow = resize(rounded, 16);
  return arith::MaxSIOp::create(
      b, loc, narrow, splat(cast<VectorType>(narrow.getType()), lowest));
}

Value LaneVectors::toSortedCarrier(Value value, Value multiplier, Value offset,
                                   Value row, bool inRange, int64_t lowest) {
  if (!inRange)
    return sort(toCarrier(value, multiplier, offset, row, inRange, lowest));
  Value x = scaleByRule(value, multiplier, offset, row);
  int64_t lanes = cast<VectorType>(x.getType()).getDimSize(0);
  Value rounded = LLVM::LrintOp::create(
      b, loc, VectorType::get({lanes}, b.getI32Type()), x);
  auto type = VectorType::get({lanes}, b.getI16Type());
  Value narrow =
      NarrowLanesOp::create(b, loc, type, slice(rounded, 0, lanes / 2),
                            slice(rounded, lanes / 2, lanes / 2));
  // The lowest value is one less than HP17's.
  return arith::MaxSIOp::create(b, loc, narrow, splat(type, lowest));
}

Value LaneVectors::sort(Value x) {
  SmallVector<int64_t> evenFirst;
  for (int64_t first : {0, 1})
    for (int64_t i = first; i < cast<VectorType>(x.getType()).getDimSize(0);
         i += 2)
      evenFirst.push_back(i);
  return vector::ShuffleOp::create(b, loc, x, x, evenFirst);
}

void LaneVectors::transpose(MutableArrayRef<Value> rows) {
  int64_t count = rows.size();
  // Blocks off the diagonal change places: of 8 x 8, then 4 x 4 ...
  for (int64_t size = count / 2; size > 0; size /= 2)
    for (int64_t i = 0; i < count; ++i) {
      if (i & size)
        continue;
      SmallVector<int64_t> low, high;
      for (int64_t j = 0; j < count; ++j) {
        low.push_back(j & size ? count + j - size : j);
        high.push_back(j & size ? count + j : j + size);
      }
      Value x = rows[i], y = rows[i + size];
      rows[i] = vector::ShuffleOp::create(b, loc, x, y, low);
      rows[i + size] = vector::ShuffleOp::create(b, loc, x, y, high);
    }
}

LanePair LaneVectors::shiftToSlot(LanePair codes, int64_t level, Value slot) {
  codes = codes.map([&](Value x) { return resize(x, getWordBits(level)); });
  auto type = cast<VectorType>(codes.even.getType());
  Value shift = broadcast(getShift(level, slot, type.getElementTypeBitWidth()),
                          type.getDimSize(0));
  return codes.map([&](Value code) -> Value {
    return arith::ShLIOp::create(b, loc, code, shift);
  });
}

void LaneVectors::storeWords(LanePair words, int64_t level, Value mask,
                             Value init, Value word, int64_t block) {
  Value lane = index(block * kLaneBlock);
  Value bytes = loadVector(mask, {}, lane, kLaneBlock);
  Value all;
  if (level <= 2) {
    // Two lanes' words are the two bytes of 16 bits: no shuffle.
    auto type = cast<VectorType>(words.odd.getType());
    Value high = arith::ShLIOp::create(b, loc, words.odd, splat(type, 8));
    Value both = arith::OrIOp::create(b, loc, words.even, high);
    all = vector::BitCastOp::create(
        b, loc, VectorType::get({kLaneBlock}, b.getI8Type()), both);
  } else {
    all = interleave(words);
  }
  all = arith::AndIOp::create(b, loc, all, resize(bytes, getWordBits(level)));
  storeVector(all, init, word, lane);
}

void LaneVectors::storeWordsInTurn(Value words, Value mask, Value init,
                                   Value word, Value lane) {
  auto type = cast<VectorType>(words.getType());
  Value bytes = loadVector(mask, {}, lane, type.getDimSize(0));
  words = arith::AndIOp::create(b, loc, words,
                                resize(bytes, type.getElementTypeBitWidth()));
  storeVector(words, init, word, lane);
}

Value LaneVectors::interleave(LanePair pair) {
  return vector::InterleaveOp::create(b, loc, pair.even, pair.odd);
}

Value LaneVectors::slice(Value x, int64_t first, int64_t count) {
  return vector::ExtractStridedSliceOp::create(
      b, loc, x, ArrayRef<int64_t>{first}, ArrayRef<int64_t>{count},
      ArrayRef<int64_t>{1});
}

Value LaneVectors::concatenate(Value x, Value y) {
  int64_t lanes = cast<VectorType>(x.getType()).getDimSize(0) +
                  cast<VectorType>(y.getType()).getDimSize(0);
  return vector::ShuffleOp::create(b, loc, x, y,
                                   llvm::to_vector(llvm::seq(lanes)));
}

//===----------------------------------------------------------------------===//
// WindowLoops
//===----------------------------------------------------------------------===//

/// Taps that a loop body unrolls at most, where rows of a window are alike.
static constexpr int64_t kUnrolledTaps = 3;
/// Taps that a loop counts as.
static constexpr int64_t kLoopTaps = 2;
/// Most taps that may share an innermost loop.
static constexpr int64_t kMostInner = 4096;

/// A loop over rows of taps: the longest not longer than what is unrolled; else
/// the shortest. All taps where rows are not alike.
static LoopPart findRows(ArrayRef<LoopPoint> taps) {
  int64_t count = taps.size();
  LoopPart found{0, count};
  for (int64_t inner = 1; inner < count; ++inner) {
    if (count % inner != 0 || (inner > kUnrolledTaps && found.points != count))
      continue;
    SmallVector<LoopPart> parts = splitIntoLoops(taps, inner);
    if (parts.size() == 1 && parts[0].loops.size() == 1)
      found = std::move(parts[0]);
  }
  return found;
}

/// Whether the taps are rows of `inner` that differ only in where they begin.
static bool haveRows(ArrayRef<LoopPoint> taps, int64_t inner) {
  return llvm::all_of(llvm::seq<int64_t>(taps.size()), [&](int64_t t) {
    const LoopPoint &first = taps[t % inner];
    return taps[t].kind == first.kind &&
           taps[t] - taps[t - t % inner] == first - taps[0];
  });
}

/// The loops of `rows` around those of `columns`, for all pairs.
static SmallVector<LoopPart, 1>
nest(ArrayRef<LoopPart> rows, ArrayRef<LoopPart> columns, int64_t inner) {
  SmallVector<LoopPart, 1> parts;
  for (const LoopPart &row : rows)
    for (const LoopPart &column : columns) {
      LoopPart part{row.first * inner + column.first, column.points, row.loops};
      for (LoopPart::Loop &loop : part.loops)
        loop.points *= inner;
      llvm::append_range(part.loops, column.loops);
      parts.push_back(std::move(part));
    }
  return parts;
}

WindowLoops WindowLoops::find(ArrayRef<int64_t> taps,
                              ArrayRef<int64_t> tapPhases,
                              ArrayRef<int64_t> tapKinds, int64_t most,
                              ArrayRef<int64_t> tapRows) {
  auto count = int64_t(taps.size());
  SmallVector<LoopPoint> points;
  for (int64_t t = 0; t < count; ++t)
    points.push_back({{taps[t], tapPhases[t], tapRows.empty() ? 0 : tapRows[t]},
                      tapKinds.empty() ? 0 : tapKinds[t]});
  LoopPart rows = findRows(points);
  if (rows.points <= most)
    return {{rows}};
  // A strided window: rows, and columns, of one phase lie in every n-th. What
  // is left over has loops of its own.
  WindowLoops best = unroll(count);
  auto fewest = std::tuple(true, count, count);
  for (int64_t inner = 1; inner <= std::min(count, kMostInner); ++inner) {
    if (count % inner != 0 || !haveRows(points, inner))
      continue;
    SmallVector<LoopPoint> starts;
    for (int64_t t = 0; t < count; t += inner)
      starts.push_back(points[t]);
    SmallVector<LoopPart> rowLoops = splitIntoLoops(starts, /*unit=*/1);
    for (int64_t unit = 1; unit <= std::min(inner, most); ++unit) {
      WindowLoops next{nest(
          rowLoops, splitIntoLoops(ArrayRef(points).take_front(inner), unit),
          inner)};
      int64_t size = 0, runs = 0;
      for (const LoopPart &part : next.parts) {
        size += part.points + kLoopTaps * int64_t(part.loops.size());
        runs += part.getNumRuns();
      }
      bool isLarge = size > most;
      auto cost = std::tuple(isLarge, isLarge ? size : runs, size);
      if (cost >= fewest)
        continue;
      fewest = cost;
      best = std::move(next);
    }
  }
  return best;
}

SmallVector<Value> WindowLoops::forPlaces(
    LaneVectors &v, ValueRange carried,
    function_ref<SmallVector<Value>(const Place &, ValueRange)> body) const {
  using Loops = ArrayRef<LoopPart::Loop>;
  std::function<SmallVector<Value>(Loops, Place, ValueRange)> run =
      [&](Loops loops, Place place, ValueRange args) {
        if (loops.empty()) {
          for (Value *value : {&place.tap, &place.lane})
            if (!*value)
              *value = v.index(0);
          return body(place, args);
        }
        const LoopPart::Loop &loop = loops.front();
        return v.repeat(v.index(0), loop.count, 1, args,
                        [&](Value i, ValueRange inner) {
                          Place next = place;
                          auto move = [&](Value &value, int64_t step) {
                            if (step == 0)
                              return;
                            Value by = v.times(i, step);
                            value = value ? v.add(value, by) : by;
                          };
                          move(next.tap, loop.points);
                          move(next.lane, loop.step[0]);
                          move(next.phase, loop.step[1]);
                          move(next.row, loop.step[2]);
                          return run(loops.drop_front(), next, inner);
                        });
      };
  SmallVector<Value> values(carried);
  for (const LoopPart &part : parts)
    values = run(part.loops, {part.first, part.first + part.points, {}, {}, {}},
                 values);
  return values;
}

//===----------------------------------------------------------------------===//
// LaneScratch
//===----------------------------------------------------------------------===//

Value LaneScratch::take(OpBuilder &b, Location loc, int64_t rows, int64_t lanes,
                        Type element) {
  // Where a thread begins: the body of a parallel loop, or the function.
  Block *block = b.getInsertionBlock();
  while (!isa<FunctionOpInterface, scf::ForallOp, scf::ParallelOp>(
      block->getParentOp()))
    block = block->getParentOp()->getBlock();
  Region &region = regions[block];
  if (!region.memory) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(block);
    region.memory = memref::AllocaOp::create(
        b, loc, MemRefType::get({0}, b.getI8Type()), b.getI64IntegerAttr(64));
  }
  Value offset = arith::ConstantIndexOp::create(b, loc, used);
  used += llvm::alignTo(rows * lanes * element.getIntOrFloatBitWidth() / 8, 64);
  region.size = std::max(region.size, used);
  return memref::ViewOp::create(b, loc, MemRefType::get({rows, lanes}, element),
                                region.memory, offset, ValueRange());
}

void LaneScratch::finish() {
  for (auto &[block, region] : regions)
    region.memory.getResult().setType(MemRefType::get(
        {region.size},
        cast<MemRefType>(region.memory.getType()).getElementType()));
}
