//===- KernelBuilder.cpp - Short names for what kernels are made of -------===//

#include "KernelBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

Value KernelBuilder::index(int64_t value) {
  return arith::ConstantIndexOp::create(b, loc, value);
}

Value KernelBuilder::i32(int64_t value) {
  return arith::ConstantIntOp::create(b, loc, b.getI32Type(), value);
}

/// A constant of the type of `like`.
static Value constantLike(KernelBuilder &k, Value like, int64_t value) {
  return like.getType().isIndex() ? k.index(value) : k.i32(value);
}

Value KernelBuilder::add(Value lhs, Value rhs) {
  return arith::AddIOp::create(b, loc, lhs, rhs);
}

Value KernelBuilder::add(Value lhs, int64_t rhs) {
  return rhs == 0 ? lhs : add(lhs, constantLike(*this, lhs, rhs));
}

Value KernelBuilder::sub(Value lhs, Value rhs) {
  return arith::SubIOp::create(b, loc, lhs, rhs);
}

Value KernelBuilder::mul(Value lhs, int64_t rhs) {
  return rhs == 1
             ? lhs
             : arith::MulIOp::create(b, loc, lhs, constantLike(*this, lhs, rhs))
                   .getResult();
}

Value KernelBuilder::div(Value lhs, int64_t rhs) {
  return arith::DivUIOp::create(b, loc, lhs, constantLike(*this, lhs, rhs));
}

Value KernelBuilder::rem(Value lhs, int64_t rhs) {
  return arith::RemUIOp::create(b, loc, lhs, constantLike(*this, lhs, rhs));
}

Value KernelBuilder::min(Value lhs, int64_t rhs) {
  return arith::MinUIOp::create(b, loc, lhs, constantLike(*this, lhs, rhs));
}

Value KernelBuilder::less(Value lhs, int64_t rhs) {
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, lhs,
                               constantLike(*this, lhs, rhs));
}

Value KernelBuilder::select(Value condition, Value then, Value otherwise) {
  return arith::SelectOp::create(b, loc, condition, then, otherwise);
}

Value KernelBuilder::toI32(Value value) {
  return arith::IndexCastOp::create(b, loc, b.getI32Type(), value);
}

Value KernelBuilder::toIndex(Value value) {
  return arith::IndexCastOp::create(b, loc, b.getIndexType(), value);
}

SmallVector<Value> KernelBuilder::load(Value buffer, Value at, int64_t words) {
  auto type = VectorType::get(words, b.getI32Type());
  Value all = vector::LoadOp::create(b, loc, type, buffer, at,
                                     /*nontemporal=*/false,
                                     llvm::MaybeAlign(4 * words));
  SmallVector<Value> result;
  for (int64_t i = 0; i < words; ++i)
    result.push_back(vector::ExtractOp::create(b, loc, all, i));
  return result;
}

static SmallVector<Value> emitMMA(OpBuilder &b, Location loc, ValueRange a,
                                  ValueRange operandB, ValueRange c, int64_t k,
                                  std::array<NVVM::MMATypes, 2> types,
                                  std::optional<NVVM::MMAB1Op> op,
                                  std::optional<NVVM::MMAIntOverflow> wrap) {
  SmallVector<Type> words(4, b.getI32Type());
  auto result = LLVM::LLVMStructType::getLiteral(b.getContext(), words);
  std::array<NVVM::MMALayout, 2> layouts = {NVVM::MMALayout::row,
                                            NVVM::MMALayout::col};
  std::array<int64_t, 3> shape = {kFragmentRows, kFragmentColumns, k};
  Value all = NVVM::MmaOp::create(b, loc, result, a, operandB, c, shape, op,
                                  wrap, types, layouts);
  SmallVector<Value> values;
  for (int64_t i = 0; i < 4; ++i)
    values.push_back(LLVM::ExtractValueOp::create(b, loc, all, i));
  return values;
}

SmallVector<Value> KernelBuilder::byteMMA(ValueRange a, ValueRange operandB,
                                          ValueRange c) {
  return emitMMA(b, loc, a, operandB, c, /*k=*/32,
                 {NVVM::MMATypes::u8, NVVM::MMATypes::u8}, std::nullopt,
                 NVVM::MMAIntOverflow::wrapped);
}

SmallVector<Value> KernelBuilder::mma(Grid grid, int8_t level, ValueRange a,
                                      ValueRange operandB, ValueRange c) {
  if (level == 8) // weights are symmetric, and so are mid-rise activations
    return emitMMA(b, loc, a, operandB, c, /*k=*/32,
                   {NVVM::MMATypes::s8, grid == Grid::Midrise
                                            ? NVVM::MMATypes::s8
                                            : NVVM::MMATypes::u8},
                   std::nullopt, NVVM::MMAIntOverflow::wrapped);
  // XOR is emulated from sm_90 on; AND is native everywhere.
  if (level <= 2)
    return emitMMA(b, loc, a, operandB, c, /*k=*/256,
                   {NVVM::MMATypes::b1, NVVM::MMATypes::b1},
                   NVVM::MMAB1Op::and_popc, std::nullopt);
  if (nibbleMMA)
    return emitMMA(b, loc, a, operandB, c, /*k=*/64,
                   {NVVM::MMATypes::u4, NVVM::MMATypes::u4}, std::nullopt,
                   NVVM::MMAIntOverflow::wrapped);
  auto nibbles = [&](ValueRange words, bool high) {
    SmallVector<Value> bytes;
    for (Value word : words)
      bytes.push_back(bitAnd(high ? shiftRight(word, 4) : word, 0x0f0f0f0f));
    return bytes;
  };
  SmallVector<Value> sums(c);
  for (bool high : {false, true})
    sums = byteMMA(nibbles(a, high), nibbles(operandB, high), sums);
  return sums;
}

Value KernelBuilder::bitAnd(Value lhs, int64_t rhs) {
  return arith::AndIOp::create(b, loc, lhs, constantLike(*this, lhs, rhs));
}

Value KernelBuilder::shiftRight(Value lhs, int64_t rhs) {
  return arith::ShRUIOp::create(b, loc, lhs, constantLike(*this, lhs, rhs));
}

Value KernelBuilder::shiftLeft(Value lhs, int64_t rhs) {
  return rhs == 0
             ? lhs
             : arith::ShLIOp::create(b, loc, lhs, constantLike(*this, lhs, rhs))
                   .getResult();
}

Value KernelBuilder::sumCodes(int8_t level, Value word) {
  if (level <= 2)
    return math::CtPopOp::create(b, loc, word);
  // Bytes of two nibbles each, at most 30; the product's top byte is their sum.
  Value bytes =
      add(bitAnd(word, 0x0f0f0f0f), bitAnd(shiftRight(word, 4), 0x0f0f0f0f));
  return shiftRight(mul(bytes, 0x01010101), 24);
}

SmallVector<Value> KernelBuilder::ones(int8_t level) {
  Value word = i32(level == 4 ? 0x11111111 : -1);
  return SmallVector<Value>(4, word);
}

Value KernelBuilder::correct(Grid grid, const FragmentSegment &segment,
                             Value products, Value sums) {
  if (!segment.hasSums())
    return mul(products, segment.productCount);
  // sum a (2k + 1 - 2^p) = 2 sum a k - (2^p - 1) sum a; mid-rise activations
  // 2a + 1 - 2^p double both and leave over a number a row, the row bias.
  int64_t factor = grid == Grid::Midrise ? 2 : 1;
  int64_t count = segment.productCount * factor;
  return sub(mul(products, 2 * count),
             mul(sums, count * ((1 << segment.level) - 1)));
}

Value KernelBuilder::real(float value) {
  return arith::ConstantFloatOp::create(b, loc, b.getF32Type(),
                                        llvm::APFloat(value));
}

Value KernelBuilder::clamp(Value real, arith::CmpFPredicate keeps,
                           Value bound) {
  // As a compare: maxnum and minnum would be calls of a library.
  return select(arith::CmpFOp::create(b, loc, keeps, real, bound), real, bound);
}

/// Rounds half to even, |real| < 2^22: behind 0x1.8p23 a sum's last bit counts
/// 1.
static Value roundToEven(KernelBuilder &k, Value real) {
  Value magic = k.real(0x1.8p23f);
  return arith::SubFOp::create(
      k.b, k.loc, arith::AddFOp::create(k.b, k.loc, real, magic), magic);
}

Value KernelBuilder::toCode(
    Grid grid, Value real,
    llvm::function_ref<Value(llvm::function_ref<float(int8_t level)>)> pick) {
  bool isMidrise = grid == Grid::Midrise;
  // Clamped first, which is the same for monotone roundings that keep integers.
  real =
      clamp(real, arith::CmpFPredicate::OGT, pick([&](int8_t level) -> float {
              return !isMidrise ? 0 : level == 8 ? -127 : -(1 << (level - 1));
            }));
  real =
      clamp(real, arith::CmpFPredicate::OLT, pick([&](int8_t level) -> float {
              return !isMidrise   ? (1 << level) - 1
                     : level == 8 ? 127
                                  : (1 << (level - 1)) - 1;
            }));
  Value code = roundToEven(*this, real);
  if (isMidrise) {
    // Levels below 8 take the floor, and their codes begin at 0.
    Value isAbove =
        arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, code, real);
    auto first = [](int8_t level) -> float {
      return level == 8 ? 0 : 1 << (level - 1);
    };
    auto floored = [&](int8_t level) -> float {
      return level == 8 ? 0 : first(level) - 1;
    };
    code = arith::AddFOp::create(b, loc, code,
                                 select(isAbove, pick(floored), pick(first)));
  }
  return arith::FPToSIOp::create(b, loc, b.getI32Type(), code);
}

Value KernelBuilder::toCarrier(Value value, int64_t lowest) {
  value = clamp(value, arith::CmpFPredicate::OGT, real(lowest));
  value = clamp(value, arith::CmpFPredicate::OLT, real(kHighestCarrier));
  return arith::FPToSIOp::create(b, loc, b.getI32Type(),
                                 roundToEven(*this, value));
}

Value KernelBuilder::addCarriers(Value lhs, Value rhs, int64_t lowest) {
  Value sum = add(lhs, rhs);
  sum = arith::MaxSIOp::create(b, loc, sum, i32(lowest));
  return arith::MinSIOp::create(b, loc, sum, i32(kHighestCarrier));
}

Value KernelBuilder::scale(const KernelArguments &args, Value acc, Value row) {
  // One rounding an operation: no contraction.
  Value real = arith::SIToFPOp::create(b, loc, b.getF32Type(), acc);
  Value m = memref::LoadOp::create(b, loc, args.multiplier, row);
  Value scaled = arith::MulFOp::create(b, loc, real, m);
  if (!args.offset)
    return scaled;
  Value o = memref::LoadOp::create(b, loc, args.offset, row);
  return arith::AddFOp::create(b, loc, scaled, o);
}

Value KernelBuilder::store(const FragmentLayout &layout,
                           const KernelArguments &args, KernelResult result,
                           Value acc, Value batch, Value row) {
  if (args.rowBias)
    acc = add(acc, memref::LoadOp::create(b, loc, args.rowBias, row));
  Value at = add(mul(batch, layout.rows), row);
  if (result == KernelResult::Real)
    acc = scale(args, acc, row);
  if (result == KernelResult::Carrier) {
    int64_t lowest = args.relu ? 0 : kLowestCarrier;
    acc =
        toCarrier(scale(args, acc, row), args.addend ? kLowestCarrier : lowest);
    if (args.addend) {
      Value addend = memref::LoadOp::create(b, loc, args.addend, at);
      addend = arith::ExtSIOp::create(b, loc, b.getI32Type(), addend);
      acc = addCarriers(acc, addend, lowest);
    }
  }
  if (!args.output)
    return acc;
  Value stored = acc;
  if (result == KernelResult::Carrier)
    stored = arith::TruncIOp::create(b, loc, b.getI16Type(), acc);
  memref::StoreOp::create(b, loc, stored, args.output, at);
  return acc;
}
