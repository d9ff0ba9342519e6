//===- LaneVectors.cpp - Building blocks of vectorized lanes --------------===//

#include "LaneVectors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sysmol::hetprec;

Value LaneVectors::index(int64_t value) {
  return arith::ConstantIndexOp::create(b, loc, value);
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

Value LaneVectors::toReal(Value value) {
  auto type = cast<VectorType>(value.getType());
  return arith::SIToFPOp::create(b, loc, type.clone(b.getF32Type()),
                                 resize(value, 32));
}

Value LaneVectors::clampReal(Value value, float lo, float hi) {
  auto type = cast<VectorType>(value.getType());
  auto bound = [&](arith::CmpFPredicate predicate, float limit) {
    Value l = splatReal(type, limit);
    Value inside = arith::CmpFOp::create(b, loc, predicate, value, l);
    value = arith::SelectOp::create(b, loc, inside, value, l);
  };
  bound(arith::CmpFPredicate::OGT, lo);
  bound(arith::CmpFPredicate::OLT, hi);
  return value;
}

Value LaneVectors::countThresholds(Value value, Value thresholds, Value row) {
  auto type = cast<VectorType>(value.getType());
  int64_t count = cast<MemRefType>(thresholds.getType()).getDimSize(1);
  VectorType codeType = type.clone(b.getI16Type());
  Value code, one = splat(codeType, 1);
  for (int64_t t = 0; t < count; ++t) {
    Value threshold =
        broadcast(loadScalar(thresholds, row, index(t)), type.getDimSize(0));
    Value above = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sgt,
                                        value, threshold);
    if (!code) {
      code = arith::ExtUIOp::create(b, loc, codeType, above);
      continue;
    }
    // A masked addition where there are masks.
    Value more = arith::AddIOp::create(b, loc, code, one);
    code = arith::SelectOp::create(b, loc, above, more, code);
  }
  return code;
}

Value LaneVectors::requantizeByRule(Value value, Value multiplier, Value offset,
                                    Value row, int64_t level, bool isSigned) {
  Value x = toReal(value);
  int64_t lanes = cast<VectorType>(x.getType()).getDimSize(0);
  x = arith::MulFOp::create(b, loc, x,
                            broadcast(loadScalar(multiplier, row), lanes));
  x = arith::AddFOp::create(b, loc, x,
                            broadcast(loadScalar(offset, row), lanes));
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
  x = floors ? math::FloorOp::create(b, loc, x).getResult()
             : math::RoundEvenOp::create(b, loc, x).getResult();
  auto type = cast<VectorType>(x.getType()).clone(b.getI32Type());
  Value code = arith::FPToSIOp::create(b, loc, type, x);
  if (shift)
    code = arith::AddIOp::create(b, loc, code, splat(type, shift));
  return resize(code, getWordBits(level));
}

Value LaneVectors::toCarrier(Value value, Value multiplier, Value row) {
  Value x = toReal(value);
  int64_t lanes = cast<VectorType>(x.getType()).getDimSize(0);
  x = arith::MulFOp::create(b, loc, x,
                            broadcast(loadScalar(multiplier, row), lanes));
  x = math::RoundEvenOp::create(b, loc, clampReal(x, -32767, 32767));
  auto type = cast<VectorType>(x.getType()).clone(b.getI32Type());
  return resize(arith::FPToSIOp::create(b, loc, type, x), 16);
}

LanePair LaneVectors::insertSlot(LanePair words, LanePair codes, int64_t level,
                                 int64_t slot) {
  auto insert = [&](Value word, Value code) -> Value {
    if (slot > 0) {
      auto type = cast<VectorType>(code.getType());
      code = arith::ShLIOp::create(b, loc, code, splat(type, level * slot));
    }
    return word ? arith::OrIOp::create(b, loc, word, code).getResult() : code;
  };
  return {insert(words.even, codes.even), insert(words.odd, codes.odd)};
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
    all = vector::InterleaveOp::create(b, loc, words.even, words.odd);
  }
  all = arith::AndIOp::create(b, loc, all, resize(bytes, getWordBits(level)));
  storeVector(all, init, word, lane);
}
