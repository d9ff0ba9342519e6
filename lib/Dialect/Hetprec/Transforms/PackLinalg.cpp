//===- PackLinalg.cpp - What is elementwise, as linalg --------------------===//

#include "Packer.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace sysmol::hetprec;

/// `x` to the nearest integer, ties to even, where |x| is at most 2^22: behind
/// 1.5 * 2^23 binary32 has no fraction. No call of the C library, which
/// math.roundeven is on machines that lack the instruction.
static Value roundEven(OpBuilder &b, Location loc, Value x) {
  Value far = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0x1.8p23f));
  x = arith::AddFOp::create(b, loc, x, far);
  return arith::SubFOp::create(b, loc, x, far);
}

/// Codes of `values`, reals or sums, [N, C] or [N, C, H, W], times one
/// multiplier a channel, plus one offset a channel (none: empty).
static Value roundToGrid(OpBuilder &b, Location loc, Value values,
                         ArrayRef<float> multiplier, ArrayRef<float> offset,
                         ChannelsAttr encoding) {
  auto type = cast<RankedTensorType>(values.getType());
  bool isUnsigned = encoding.getGrid() == Grid::Unsigned;
  SmallVector<float> lowest, highest;
  for (int8_t p : encoding.getBits()) {
    bool symmetric = !isUnsigned && p == 8;
    lowest.push_back(isUnsigned ? 0 : symmetric ? -127 : -(1 << (p - 1)));
    highest.push_back(isUnsigned  ? (1 << p) - 1
                      : symmetric ? 127
                                  : (1 << (p - 1)) - 1);
  }
  int64_t channels = encoding.getBits().size();
  SmallVector<Value> inputs = {values};
  for (ArrayRef<float> table :
       {multiplier, ArrayRef<float>(lowest), ArrayRef<float>(highest), offset})
    if (!table.empty())
      inputs.push_back(makeTable<float>(b, loc, {channels}, table));
  AffineMap identity = b.getMultiDimIdentityMap(type.getRank());
  AffineMap channel = AffineMap::get(type.getRank(), 0, b.getAffineDimExpr(1));
  SmallVector<AffineMap> maps(inputs.size() + 1, channel);
  maps.front() = maps.back() = identity;
  Value empty = tensor::EmptyOp::create(b, loc, type.getShape(), b.getI8Type());
  // Only a symmetric channel's zero code is not its lowest one (HP10).
  bool hasSymmetric = !isUnsigned && encoding.getNumChannels(8) > 0;
  auto generic = linalg::GenericOp::create(
      b, loc, TypeRange{empty.getType()}, inputs, ValueRange{empty}, maps,
      SmallVector<utils::IteratorType>(type.getRank(),
                                       utils::IteratorType::parallel),
      [&](OpBuilder &nb, Location loc, ValueRange args) {
        auto select = [&](arith::CmpFPredicate predicate, Value a, Value c,
                          Value otherwise) -> Value {
          Value test = arith::CmpFOp::create(nb, loc, predicate, a, c);
          return arith::SelectOp::create(nb, loc, test, a, otherwise);
        };
        Value lo = args[2], hi = args[3], x = args[0];
        if (!isa<FloatType>(x.getType()))
          x = arith::SIToFPOp::create(nb, loc, nb.getF32Type(), x);
        x = arith::MulFOp::create(nb, loc, x, args[1]);
        if (!offset.empty())
          x = arith::AddFOp::create(nb, loc, x, args[4]);
        Value isSymmetric;
        if (hasSymmetric) {
          Value symmetricLow =
              arith::ConstantOp::create(nb, loc, nb.getF32FloatAttr(-127));
          isSymmetric = arith::CmpFOp::create(
              nb, loc, arith::CmpFPredicate::OEQ, lo, symmetricLow);
          Value zero =
              arith::ConstantOp::create(nb, loc, nb.getF32FloatAttr(0));
          Value ordered = select(arith::CmpFPredicate::OEQ, x, x, zero);
          x = arith::SelectOp::create(nb, loc, isSymmetric, ordered, x);
        }
        // The bounds are integers: clamping before rounding is the same. NaN
        // compares false and takes the lowest code (HP10).
        x = select(arith::CmpFPredicate::OGT, x, lo, lo);
        x = select(arith::CmpFPredicate::OLT, x, hi, hi);
        Value rounded = roundEven(nb, loc, x);
        if (!isUnsigned) {
          // Mid-rise channels round down.
          Value above = arith::CmpFOp::create(
              nb, loc, arith::CmpFPredicate::OGT, rounded, x);
          Value one = arith::ConstantOp::create(nb, loc, nb.getF32FloatAttr(1));
          Value below = arith::SelectOp::create(
              nb, loc, above, arith::SubFOp::create(nb, loc, rounded, one),
              rounded);
          rounded = hasSymmetric ? arith::SelectOp::create(nb, loc, isSymmetric,
                                                           rounded, below)
                                       .getResult()
                                 : below;
        }
        Value code = arith::FPToSIOp::create(nb, loc, nb.getI32Type(), rounded);
        if (!isUnsigned) {
          // Mid-rise codes count from 0; the symmetric ones are signed.
          Value low = arith::FPToSIOp::create(nb, loc, nb.getI32Type(), lo);
          Value shifted = arith::SubIOp::create(nb, loc, code, low);
          code = hasSymmetric ? arith::SelectOp::create(nb, loc, isSymmetric,
                                                        code, shifted)
                                    .getResult()
                              : shifted;
        }
        Value narrow = arith::TruncIOp::create(nb, loc, nb.getI8Type(), code);
        linalg::YieldOp::create(nb, loc, narrow);
      });
  return generic.getResult(0);
}

bool sysmol::hetprec::areInRange(int64_t bound, ArrayRef<float> multiplier,
                                 ArrayRef<float> offset) {
  auto largest = [](ArrayRef<float> values) {
    double most = 0;
    for (float value : values)
      most = std::max(most, std::abs(double(value)));
    return most;
  };
  constexpr double kRange = 1 << 30;
  return double(bound) * largest(multiplier) + largest(offset) < kRange;
}

Value sysmol::hetprec::quantizeReals(OpBuilder &b, QuantizeOp op) {
  ChannelsAttr encoding = getChannels(op.getResult().getType());
  SmallVector<float> multiplier;
  for (int8_t p : encoding.getBits())
    multiplier.push_back(getQuantizeMultiplier(encoding, p));
  return roundToGrid(b, op.getLoc(), op.getInput(), multiplier, /*offset=*/{},
                     encoding);
}

Value sysmol::hetprec::requantizeRows(OpBuilder &b, RequantizeOp op,
                                      Value rows) {
  // HP15.
  ChannelsAttr encoding = getChannels(op.getResult().getType());
  auto spread = [&](ArrayRef<float> values) {
    if (values.size() == 1)
      return SmallVector<float>(encoding.getBits().size(), values.front());
    return SmallVector<float>(values);
  };
  return roundToGrid(b, op.getLoc(), rows, spread(op.getMultiplier()),
                     spread(op.getOffset()), encoding);
}

Value sysmol::hetprec::dequantizeCodes(OpBuilder &b, DequantizeOp op,
                                       Value codes) {
  // A code has at most 256 values: look them up (HP3-HP5, rounded once). One
  // table of 2^p reals for all channels of a level.
  Location loc = op.getLoc();
  RankedTensorType type = op.getResult().getType();
  ChannelsAttr encoding = getChannels(op.getInput().getType());
  SmallVector<float> values;
  int16_t firstOf[9] = {};
  for (int8_t p : encoding.getLevels()) {
    firstOf[p] = values.size();
    llvm::append_range(values, getLevelReals(encoding, p));
  }
  // Where a channel's reals begin, and which bits of a byte are its code.
  SmallVector<int16_t> first;
  SmallVector<int8_t> mask;
  for (int8_t p : encoding.getBits()) {
    first.push_back(firstOf[p]);
    mask.push_back(int8_t((1 << p) - 1));
  }
  int64_t channels = encoding.getBits().size();
  Value table = makeTable<float>(b, loc, {int64_t(values.size())}, values);
  AffineMap identity = b.getMultiDimIdentityMap(type.getRank());
  AffineMap channel = AffineMap::get(type.getRank(), 0, b.getAffineDimExpr(1));
  Value empty =
      tensor::EmptyOp::create(b, loc, type.getShape(), b.getF32Type());
  auto generic = linalg::GenericOp::create(
      b, loc, TypeRange{empty.getType()},
      ValueRange{codes, makeTable<int16_t>(b, loc, {channels}, first),
                 makeTable<int8_t>(b, loc, {channels}, mask)},
      ValueRange{empty}, {identity, channel, channel, identity},
      SmallVector<utils::IteratorType>(type.getRank(),
                                       utils::IteratorType::parallel),
      [&](OpBuilder &nb, Location loc, ValueRange args) {
        Value code = arith::AndIOp::create(nb, loc, args[0], args[2]);
        code = arith::ExtUIOp::create(nb, loc, nb.getI16Type(), code);
        code = arith::AddIOp::create(nb, loc, code, args[1]);
        code = arith::IndexCastUIOp::create(nb, loc, nb.getIndexType(), code);
        Value value = tensor::ExtractOp::create(nb, loc, table, code);
        linalg::YieldOp::create(nb, loc, value);
      });
  return generic.getResult(0);
}

Value sysmol::hetprec::maskCodes(OpBuilder &b, Location loc, Value codes,
                                 ChannelsAttr encoding) {
  bool isUnsigned = encoding.getGrid() == Grid::Unsigned;
  SmallVector<int8_t> mask;
  for (int8_t p : encoding.getBits())
    mask.push_back(int8_t((1 << p) - 1));
  if (isUnsigned && llvm::all_of(mask, [](int8_t m) { return m == -1; }))
    return codes; // every byte is a code
  auto type = cast<RankedTensorType>(codes.getType());
  AffineMap identity = b.getMultiDimIdentityMap(type.getRank());
  AffineMap channel = AffineMap::get(type.getRank(), 0, b.getAffineDimExpr(1));
  Value empty = tensor::EmptyOp::create(b, loc, type.getShape(), b.getI8Type());
  auto generic = linalg::GenericOp::create(
      b, loc, TypeRange{empty.getType()},
      ValueRange{codes,
                 makeTable<int8_t>(b, loc, {int64_t(mask.size())}, mask)},
      ValueRange{empty}, {identity, channel, identity},
      SmallVector<utils::IteratorType>(type.getRank(),
                                       utils::IteratorType::parallel),
      [&](OpBuilder &nb, Location loc, ValueRange args) {
        Value code = arith::AndIOp::create(nb, loc, args[0], args[1]);
        if (!isUnsigned) {
          // Of the symmetric level; mid-rise codes are no less than 0.
          Value least =
              arith::ConstantOp::create(nb, loc, nb.getI8IntegerAttr(-127));
          code = arith::MaxSIOp::create(nb, loc, code, least);
        }
        linalg::YieldOp::create(nb, loc, code);
      });
  return generic.getResult(0);
}

/// Each plane times its channel's multiplier, plus its offset unless there are
/// none, through `finish`, as elements of type `element`.
static Value
scalePlanes(OpBuilder &b, Location loc, const WidePlanes &wide,
            ArrayRef<float> multiplier, ArrayRef<float> offset, Type element,
            function_ref<Value(OpBuilder &, Location, Value)> finish) {
  auto type = cast<RankedTensorType>(wide.plane.getType());
  int64_t numPlanes = type.getDimSize(0);
  SmallVector<Value> inputs = {wide.plane};
  SmallVector<AffineMap> maps(2, b.getMultiDimIdentityMap(2));
  for (ArrayRef<float> values : {multiplier, offset}) {
    if (values.empty())
      continue;
    SmallVector<float> ofPlane(numPlanes);
    for (auto [channel, plane] : llvm::enumerate(wide.planeOf))
      ofPlane[plane] = values.size() == 1 ? values[0] : values[channel];
    inputs.push_back(makeTable<float>(b, loc, {numPlanes}, ofPlane));
    maps.insert(maps.end() - 1, AffineMap::get(2, 0, b.getAffineDimExpr(0)));
  }
  Value empty = tensor::EmptyOp::create(b, loc, type.getShape(), element);
  SmallVector<utils::IteratorType> parallel(2, utils::IteratorType::parallel);
  auto scaled = linalg::GenericOp::create(
      b, loc, TypeRange{empty.getType()}, inputs, ValueRange{empty}, maps,
      parallel, [&](OpBuilder &nb, Location loc, ValueRange args) {
        Value x = arith::SIToFPOp::create(nb, loc, nb.getF32Type(), args[0]);
        x = arith::MulFOp::create(nb, loc, x, args[1]);
        if (!offset.empty())
          x = arith::AddFOp::create(nb, loc, x, args[2]);
        linalg::YieldOp::create(nb, loc, finish(nb, loc, x));
      });
  return scaled.getResult(0);
}

Value sysmol::hetprec::scaleToCarrier(OpBuilder &b, Location loc,
                                      const WidePlanes &wide,
                                      ArrayRef<float> multiplier,
                                      ArrayRef<float> offset, bool relu) {
  return scalePlanes(
      b, loc, wide, multiplier, offset, b.getI16Type(),
      [&](OpBuilder &nb, Location loc, Value x) -> Value {
        // The bounds are integers: clamping before rounding is the same.
        auto bound = [&](float limit) -> Value {
          return arith::ConstantOp::create(nb, loc, nb.getF32FloatAttr(limit));
        };
        x = arith::MaximumFOp::create(nb, loc, x, bound(relu ? 0 : -32767));
        x = arith::MinimumFOp::create(nb, loc, x, bound(32767));
        x = roundEven(nb, loc, x);
        return arith::FPToSIOp::create(nb, loc, nb.getI16Type(), x);
      });
}

Value sysmol::hetprec::scaleToReal(OpBuilder &b, Location loc,
                                   const WidePlanes &wide,
                                   ArrayRef<float> multiplier,
                                   ArrayRef<float> offset) {
  return scalePlanes(b, loc, wide, multiplier, offset, b.getF32Type(),
                     [](OpBuilder &, Location, Value x) { return x; });
}

Value sysmol::hetprec::addPlanes(OpBuilder &b, Location loc,
                                 const WidePlanes &base, const WidePlanes &rhs,
                                 bool relu) {
  // Plane by plane (HP17), the right one's found by number where the orders
  // differ.
  bool inOrder = rhs.planeOf == base.planeOf;
  SmallVector<Value> inputs = {base.plane};
  SmallVector<int64_t> rhsPlane;
  for (int64_t channel : base.getChannelOfPlanes())
    rhsPlane.push_back(rhs.planeOf[channel]);
  Value numbers;
  if (inOrder)
    inputs.push_back(rhs.plane);
  else
    numbers = makeIntTable(b, loc, {int64_t(rhsPlane.size())}, rhsPlane,
                           /*bits=*/32);
  auto type = cast<RankedTensorType>(base.plane.getType());
  AffineMap identity = b.getMultiDimIdentityMap(2);
  SmallVector<utils::IteratorType> parallel(2, utils::IteratorType::parallel);
  Value empty =
      tensor::EmptyOp::create(b, loc, type.getShape(), b.getI16Type());
  auto sum = linalg::GenericOp::create(
      b, loc, TypeRange{type}, inputs, ValueRange{empty},
      SmallVector<AffineMap>(inputs.size() + 1, identity), parallel,
      [&](OpBuilder &nb, Location loc, ValueRange args) {
        Value other = args[1];
        if (!inOrder) {
          Value plane = linalg::IndexOp::create(nb, loc, 0);
          Value lane = linalg::IndexOp::create(nb, loc, 1);
          Value number =
              tensor::ExtractOp::create(nb, loc, numbers, ValueRange{plane});
          number =
              arith::IndexCastUIOp::create(nb, loc, nb.getIndexType(), number);
          other = tensor::ExtractOp::create(nb, loc, rhs.plane,
                                            ValueRange{number, lane});
        }
        Type wide = nb.getI32Type();
        auto constant = [&](int64_t v) -> Value {
          return arith::ConstantOp::create(nb, loc, nb.getI32IntegerAttr(v));
        };
        Value lhs = arith::ExtSIOp::create(nb, loc, wide, args[0]);
        Value sum = arith::AddIOp::create(
            nb, loc, lhs, arith::ExtSIOp::create(nb, loc, wide, other));
        sum = arith::MaxSIOp::create(nb, loc, sum, constant(relu ? 0 : -32767));
        sum = arith::MinSIOp::create(nb, loc, sum, constant(32767));
        Value narrow = arith::TruncIOp::create(nb, loc, nb.getI16Type(), sum);
        linalg::YieldOp::create(nb, loc, narrow);
      });
  return sum.getResult(0);
}
