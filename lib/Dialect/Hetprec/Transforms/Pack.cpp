//===- Pack.cpp - Model ops on channels to packed ops on lanes ------------===//

#include "PackUtils.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "sysmol/Analysis/Thresholds.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"
#include "llvm/ADT/TypeSwitch.h"

namespace sysmol::hetprec {
#define GEN_PASS_DEF_PACKPASS
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"
} // namespace sysmol::hetprec

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

namespace {

/// Rewrites one function, op by op in program order.
class Packer {
public:
  Packer(func::FuncOp function)
      : function(function), layouts(function), b(function.getContext()) {}

  LogicalResult run();
  int64_t numContracts = 0, numRepacked = 0;

private:
  // Operands, as packed before.
  FailureOr<PackedCodes> getCodes(Operation *user, Value value);
  FailureOr<WidePlanes> getPlanes(Operation *user, Value value);

  LogicalResult visit(Operation *op);
  LogicalResult visitQuantize(QuantizeOp op);
  LogicalResult visitDotProduct(Operation *op);
  LogicalResult visitRequantize(RequantizeOp op);
  LogicalResult visitToCarrier(ToCarrierOp op);
  LogicalResult visitToReal(ToRealOp op);
  LogicalResult visitAdd(AddOp op);
  LogicalResult visitDequantize(DequantizeOp op);
  LogicalResult visitPermute(PermuteOp op);
  LogicalResult visitFlatten(FlattenOp op);
  LogicalResult visitReturn(func::ReturnOp op);

  /// The dot product that computes `acc`, if this is its only reader: then
  /// what the reader does is fused into it.
  Operation *getFusibleDot(Value acc);
  /// Its builder, with the input packed (and split into phases).
  FailureOr<ContractBuilder> makeBuilder(const DotProduct &dot);

  PackedCodes packCodes(Location loc, Value codes, ChannelsAttr encoding,
                        LanesAttr layout);
  Value unpackCodes(Location loc, const PackedCodes &codes, ArrayRef<int64_t>);
  /// HP17 (no `offset`) or HP18 of planes that have other readers, too.
  WidePlanes scalePlanes(Location loc, const WidePlanes &wide,
                         ArrayRef<float> multiplier, ArrayRef<float> offset,
                         Value result);
  Value unpackPlanes(Location loc, const WidePlanes &wide, ArrayRef<int64_t>);
  Value makeMask(Location loc, LanesAttr layout);
  Value makeZeroPlanes(Location loc, int64_t words, int64_t lanes,
                       int64_t level);
  /// Planes for codes of `value`: zero where no op writes them.
  Value makeCodePlanes(Location loc, int64_t words, Value value, int64_t level);
  Value makeEmpty(Location loc, int64_t planes, int64_t lanes, Type element) {
    return tensor::EmptyOp::create(b, loc, {planes, lanes}, element);
  }
  void setPlanes(Value value, Value plane) {
    SmallVector<int64_t> identity = llvm::to_vector(
        llvm::seq(cast<RankedTensorType>(plane.getType()).getDimSize(0)));
    planes[value] = {plane, identity, layouts.getLayout(value)};
  }
  StringAttr getLayer(Operation *op);

  func::FuncOp function;
  LaneLayout layouts;
  OpBuilder b;
  DenseMap<Value, PackedCodes> codes;
  DenseMap<Value, WidePlanes> planes;
  DenseMap<std::pair<Value, Attribute>, PackedCodes> phases;
};

struct PackPass : sysmol::hetprec::impl::PackPassBase<PackPass> {
  void runOnOperation() override {
    Packer packer(getOperation());
    if (failed(packer.run()))
      return signalPassFailure();
    numContracts += packer.numContracts;
    numRepacked += packer.numRepacked;
  }
};

} // namespace

static Type stripEncoding(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !tensor.getEncoding())
    return type;
  return RankedTensorType::get(tensor.getShape(), tensor.getElementType());
}

static bool isDot(Operation *op) {
  return isa_and_present<Conv2DOp, MatmulOp, SumPool2DOp>(op);
}

StringAttr Packer::getLayer(Operation *op) {
  if (auto name = dyn_cast<NameLoc>(op->getLoc()))
    return name.getName();
  return b.getStringAttr(op->getName().stripDialect());
}

//===----------------------------------------------------------------------===//
// Operands and packing
//===----------------------------------------------------------------------===//

FailureOr<PackedCodes> Packer::getCodes(Operation *user, Value value) {
  auto found = codes.find(value);
  if (found != codes.end())
    return found->second;
  // Codes that come from outside as [N, C, H, W]: an argument or a constant.
  Operation *producer = value.getDefiningOp();
  if (producer && !isa<arith::ConstantOp>(producer)) {
    user->emitOpError("reads codes of '")
        << producer->getName() << "', which hetprec-pack does not know";
    return failure();
  }
  OpBuilder::InsertionGuard guard(b);
  Value plain = value;
  if (auto constant = dyn_cast_or_null<arith::ConstantOp>(producer)) {
    b.setInsertionPointAfter(producer);
    auto elements = cast<DenseElementsAttr>(constant.getValue());
    plain = arith::ConstantOp::create(
        b, constant.getLoc(),
        elements.reshape(cast<ShapedType>(stripEncoding(value.getType()))));
  } else {
    b.setInsertionPointToStart(&function.getBody().front());
  }
  PackedCodes packed =
      packCodes(value.getLoc(), plain, getChannels(value.getType()),
                layouts.getLayout(value));
  codes[value] = packed;
  return packed;
}

FailureOr<WidePlanes> Packer::getPlanes(Operation *user, Value value) {
  auto found = planes.find(value);
  if (found != planes.end())
    return found->second;
  user->emitOpError("reads accumulators or carrier that no packed op computes; "
                    "they cannot be arguments");
  return failure();
}

Value Packer::makeZeroPlanes(Location loc, int64_t words, int64_t lanes,
                             int64_t level) {
  Type element = b.getIntegerType(getWordBits(level));
  Value empty = makeEmpty(loc, words, lanes, element);
  Value zero = arith::ConstantOp::create(b, loc, b.getIntegerAttr(element, 0));
  return linalg::FillOp::create(b, loc, zero, empty).getResult(0);
}

Value Packer::makeCodePlanes(Location loc, int64_t words, Value value,
                             int64_t level) {
  LanesAttr layout = layouts.getLayout(value);
  Type element = b.getIntegerType(getWordBits(level));
  Value planes = makeEmpty(loc, words, layout.getSize(), element);
  Value zero = arith::ConstantOp::create(b, loc, b.getIntegerAttr(element, 0));
  auto fill = [&](int64_t first, int64_t last) {
    if (first == last)
      return;
    SmallVector<OpFoldResult> offsets = {b.getIndexAttr(0),
                                         b.getIndexAttr(first)},
                              sizes = {b.getIndexAttr(words),
                                       b.getIndexAttr(last - first)},
                              strides(2, b.getIndexAttr(1));
    Value border =
        tensor::ExtractSliceOp::create(b, loc, planes, offsets, sizes, strides);
    border = linalg::FillOp::create(b, loc, zero, border).getResult(0);
    planes = tensor::InsertSliceOp::create(b, loc, border, planes, offsets,
                                           sizes, strides);
  };
  fill(0, layout.getBase());
  fill(layout.getBase() + layouts.getLaneCount(value), layout.getSize());
  return planes;
}

PackedCodes Packer::packCodes(Location loc, Value value, ChannelsAttr encoding,
                              LanesAttr layout) {
  PackedCodes packed{makeSegments(encoding), encoding, layout};
  for (Segment &s : packed.segments) {
    Value init =
        makeZeroPlanes(loc, s.getNumWords(), layout.getSize(), s.level);
    s.plane =
        PackLanesOp::create(b, loc, TypeRange{init.getType()}, value, init,
                            s.level, packed.isSigned(), s.channels, layout)
            ->getResult(0);
  }
  return packed;
}

Value Packer::unpackCodes(Location loc, const PackedCodes &packed,
                          ArrayRef<int64_t> shape) {
  Value result = tensor::EmptyOp::create(b, loc, shape, b.getI8Type());
  for (const Segment &s : packed.segments)
    result = UnpackLanesOp::create(b, loc, TypeRange{result.getType()}, s.plane,
                                   result, s.level, packed.isSigned(),
                                   s.channels, packed.layout)
                 ->getResult(0);
  return result;
}

Value Packer::unpackPlanes(Location loc, const WidePlanes &wide,
                           ArrayRef<int64_t> shape) {
  Value init = tensor::EmptyOp::create(
      b, loc, shape,
      cast<RankedTensorType>(wide.plane.getType()).getElementType());
  return UnpackLanesOp::create(b, loc, TypeRange{init.getType()}, wide.plane,
                               init, /*level=*/0, /*is_signed=*/true,
                               wide.getChannelOfPlanes(), wide.layout)
      ->getResult(0);
}

Value Packer::makeMask(Location loc, LanesAttr layout) {
  SmallVector<int8_t> mask;
  for (int64_t lane = 0; lane < layout.getSize(); ++lane)
    mask.push_back(layout.isPixel(lane) ? -1 : 0);
  return makeTable<int8_t>(b, loc, {layout.getSize()}, mask);
}

//===----------------------------------------------------------------------===//
// Dot products and what is fused into them
//===----------------------------------------------------------------------===//

Operation *Packer::getFusibleDot(Value acc) {
  Operation *dot = acc.getDefiningOp();
  if (!isDot(dot) || !acc.hasOneUse())
    return nullptr;
  // A negative multiplier negates weights (HP16), which a pool has not.
  auto requantize = dyn_cast<RequantizeOp>(*acc.user_begin());
  if (isa<SumPool2DOp>(dot) && requantize &&
      llvm::any_of(requantize.getMultiplier(), [](float m) { return m < 0; }))
    return nullptr;
  return dot;
}

FailureOr<ContractBuilder> Packer::makeBuilder(const DotProduct &dot) {
  FailureOr<PackedCodes> input = getCodes(dot.op, dot.getInput());
  if (failed(input))
    return failure();
  Value result = dot.op->getResult(0);
  LanesAttr imageLayout = layouts.getLayout(result);
  ++numContracts;
  if (!dot.window.isStrided())
    return ContractBuilder(b, dot, *input, imageLayout,
                           layouts.getLaneCount(result), getLayer(dot.op));

  // Readers with the same phases share them. Those that no tap reads are not
  // made: a 1x1 window of stride 2 reads one of four.
  SmallVector<int64_t> read = dot.window.getPhases();
  LanesAttr phaseLayout = layouts.getPhaseLayout(dot.op);
  Attribute key = b.getArrayAttr({b.getDenseI64ArrayAttr(dot.window.strides),
                                  b.getDenseI64ArrayAttr(dot.window.pads),
                                  b.getDenseI64ArrayAttr(read), phaseLayout});
  auto [entry, inserted] =
      phases.try_emplace({dot.getInput(), key}, PackedCodes());
  if (inserted) {
    PackedCodes split = *input;
    split.layout = phaseLayout;
    // Right behind the input, where every reader can see it.
    OpBuilder::InsertionGuard guard(b);
    for (Segment &s : split.segments) {
      b.setInsertionPointAfterValue(s.plane);
      Value init =
          makeZeroPlanes(dot.op->getLoc(), read.size() * s.getNumWords(),
                         phaseLayout.getSize(), s.level);
      s.plane = SplitPhasesOp::create(b, dot.op->getLoc(),
                                      TypeRange{init.getType()}, s.plane, init,
                                      dot.window.strides, dot.window.pads, read,
                                      input->layout, phaseLayout)
                    ->getResult(0);
    }
    entry->second = split;
  }
  return ContractBuilder(b, dot, entry->second, imageLayout,
                         layouts.getLaneCount(result), getLayer(dot.op));
}

LogicalResult Packer::visitDotProduct(Operation *op) {
  Value acc = op->getResult(0);
  if (getFusibleDot(acc) &&
      isa<RequantizeOp, ToCarrierOp, ToRealOp>(*acc.user_begin()))
    return success(); // fused into its reader
  FailureOr<DotProduct> dot = DotProduct::get(op);
  if (failed(dot))
    return failure();
  FailureOr<ContractBuilder> builder = makeBuilder(*dot);
  if (failed(builder))
    return failure();
  Value init = makeEmpty(op->getLoc(), dot->outputs,
                         layouts.getLayout(acc).getSize(), b.getI32Type());
  setPlanes(acc, builder->makePlanes(Epilogue::Accumulator, {}, {}, init));
  return success();
}

LogicalResult Packer::visitRequantize(RequantizeOp op) {
  Location loc = op.getLoc();
  Value result = op.getResult();
  ChannelsAttr encoding = getChannels(result.getType());
  LanesAttr layout = layouts.getLayout(result);
  PackedCodes packed{makeSegments(encoding), encoding, layout};

  if (Operation *producer = getFusibleDot(op.getInput())) {
    FailureOr<DotProduct> dot = DotProduct::get(producer);
    if (failed(dot))
      return failure();
    FailureOr<ContractBuilder> builder = makeBuilder(*dot);
    if (failed(builder))
      return failure();
    for (Segment &s : packed.segments)
      s.plane = builder->makeCodes(
          s.channels, s.level, encoding, op.getMultiplier(), op.getOffset(),
          makeMask(loc, layout),
          makeCodePlanes(loc, s.getNumWords(), result, s.level));
    codes[result] = packed;
    return success();
  }

  FailureOr<WidePlanes> wide = getPlanes(op, op.getInput());
  if (failed(wide))
    return failure();
  int64_t bits =
      cast<RankedTensorType>(wide->plane.getType()).getElementTypeBitWidth();
  int64_t bound = bits == 16 ? 32767 : 2147483647;
  auto pick = [](ArrayRef<float> values, int64_t channel) {
    return values.size() == 1 ? values[0] : values[channel];
  };
  for (Segment &s : packed.segments) {
    int64_t numRows = s.channels.size();
    int64_t numThresholds = (int64_t(1) << s.level) - 1;
    SmallVector<int64_t> planeNumbers, signs, thresholds;
    SmallVector<float> multipliers, offsets;
    for (int64_t channel : s.channels) {
      bool empty = channel < 0;
      float m = empty ? 0.0f : pick(op.getMultiplier(), channel);
      float o = empty ? 0.0f : pick(op.getOffset(), channel);
      planeNumbers.push_back(empty ? 0 : wide->planeOf[channel]);
      multipliers.push_back(m);
      offsets.push_back(o);
      signs.push_back(m < 0 ? -1 : 1);
      if (s.level > 2)
        continue;
      if (empty)
        thresholds.append(numThresholds, bound);
      else
        thresholds.append(
            findThresholds(std::abs(m), o, s.level, packed.isSigned(), bound));
    }
    Value thresholdTable, signTable, multiplierTable, offsetTable;
    if (s.level > 2) {
      multiplierTable = makeTable<float>(b, loc, {numRows}, multipliers);
      offsetTable = makeTable<float>(b, loc, {numRows}, offsets);
    } else {
      thresholdTable =
          makeIntTable(b, loc, {numRows, numThresholds}, thresholds, bits);
      signTable = makeIntTable(b, loc, {numRows}, signs, bits);
    }
    Value init = makeCodePlanes(loc, s.getNumWords(), result, s.level);
    s.plane = RequantizeLanesOp::create(
                  b, loc, TypeRange{init.getType()}, wide->plane,
                  makeIntTable(b, loc, {numRows}, planeNumbers,
                               wide->planeOf.size() > 65535 ? 32 : 16),
                  thresholdTable, signTable, multiplierTable, offsetTable,
                  makeMask(loc, layout), init, s.level, packed.isSigned(),
                  layout.getBase(), layouts.getLaneCount(result), getLayer(op))
                  ->getResult(0);
  }
  codes[result] = packed;
  return success();
}

/// The `to_carrier` that can add straight onto the other operand of `add`.
static ToCarrierOp getFusibleCarrier(AddOp add) {
  for (Value operand : {add.getRhs(), add.getLhs()}) {
    auto carrier = operand.getDefiningOp<ToCarrierOp>();
    if (carrier && operand.hasOneUse() &&
        isDot(carrier.getInput().getDefiningOp()) &&
        carrier.getInput().hasOneUse())
      return carrier;
  }
  return {};
}

LogicalResult Packer::visitToCarrier(ToCarrierOp op) {
  // Fused into a residual sum: that comes later.
  if (op->hasOneUse())
    if (auto add = dyn_cast<AddOp>(*op->user_begin()))
      if (getFusibleCarrier(add) == op)
        return success();
  Operation *producer = getFusibleDot(op.getInput());
  if (!producer) {
    FailureOr<WidePlanes> wide = getPlanes(op, op.getInput());
    if (failed(wide))
      return failure();
    planes[op.getResult()] =
        scalePlanes(op.getLoc(), *wide, op.getMultiplier(), {}, op.getResult());
    return success();
  }
  FailureOr<DotProduct> dot = DotProduct::get(producer);
  if (failed(dot))
    return failure();
  FailureOr<ContractBuilder> builder = makeBuilder(*dot);
  if (failed(builder))
    return failure();
  Value init =
      makeEmpty(op.getLoc(), dot->outputs,
                layouts.getLayout(op.getResult()).getSize(), b.getI16Type());
  setPlanes(op.getResult(), builder->makePlanes(Epilogue::Carrier,
                                                op.getMultiplier(), {}, init));
  return success();
}

LogicalResult Packer::visitAdd(AddOp op) {
  ToCarrierOp fused = getFusibleCarrier(op);
  Value other =
      fused && fused.getResult() == op.getRhs() ? op.getLhs() : op.getRhs();
  FailureOr<WidePlanes> base = getPlanes(op, fused ? other : op.getLhs());
  if (failed(base))
    return failure();
  if (fused) {
    FailureOr<DotProduct> dot =
        DotProduct::get(fused.getInput().getDefiningOp());
    if (failed(dot))
      return failure();
    FailureOr<ContractBuilder> builder = makeBuilder(*dot);
    if (failed(builder))
      return failure();
    // Its rows in the order of the planes that it adds onto.
    Value sum =
        builder->makePlanes(Epilogue::CarrierAdd, fused.getMultiplier(), {},
                            base->plane, base->getChannelOfPlanes());
    planes[op.getResult()] = {sum, base->planeOf,
                              layouts.getLayout(op.getResult())};
    return success();
  }
  FailureOr<WidePlanes> rhs = getPlanes(op, op.getRhs());
  if (failed(rhs))
    return failure();
  // Neither side is a dot product of its own: add plane by plane (HP17), the
  // right one's found by number where the orders differ.
  bool inOrder = rhs->planeOf == base->planeOf;
  SmallVector<Value> inputs = {base->plane};
  SmallVector<int64_t> rhsPlane;
  for (int64_t channel : base->getChannelOfPlanes())
    rhsPlane.push_back(rhs->planeOf[channel]);
  Value numbers;
  if (inOrder)
    inputs.push_back(rhs->plane);
  else
    numbers = makeIntTable(b, op.getLoc(), {int64_t(rhsPlane.size())}, rhsPlane,
                           /*bits=*/32);
  auto type = cast<RankedTensorType>(base->plane.getType());
  AffineMap identity = b.getMultiDimIdentityMap(2);
  SmallVector<utils::IteratorType> parallel(2, utils::IteratorType::parallel);
  Value empty = makeEmpty(op.getLoc(), type.getDimSize(0), type.getDimSize(1),
                          b.getI16Type());
  auto sum = linalg::GenericOp::create(
      b, op.getLoc(), TypeRange{type}, inputs, ValueRange{empty},
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
          other = tensor::ExtractOp::create(nb, loc, rhs->plane,
                                            ValueRange{number, lane});
        }
        Type wide = nb.getI32Type();
        auto constant = [&](int64_t v) -> Value {
          return arith::ConstantOp::create(nb, loc, nb.getI32IntegerAttr(v));
        };
        Value lhs = arith::ExtSIOp::create(nb, loc, wide, args[0]);
        Value sum = arith::AddIOp::create(
            nb, loc, lhs, arith::ExtSIOp::create(nb, loc, wide, other));
        sum = arith::MaxSIOp::create(nb, loc, sum, constant(-32767));
        sum = arith::MinSIOp::create(nb, loc, sum, constant(32767));
        Value narrow = arith::TruncIOp::create(nb, loc, nb.getI16Type(), sum);
        linalg::YieldOp::create(nb, loc, narrow);
      });
  planes[op.getResult()] = {sum.getResult(0), base->planeOf,
                            layouts.getLayout(op.getResult())};
  return success();
}

WidePlanes Packer::scalePlanes(Location loc, const WidePlanes &wide,
                               ArrayRef<float> multiplier,
                               ArrayRef<float> offset, Value result) {
  auto type = cast<RankedTensorType>(wide.plane.getType());
  int64_t numPlanes = type.getDimSize(0);
  auto table = [&](ArrayRef<float> values) {
    SmallVector<float> ofPlane(numPlanes);
    for (auto [channel, plane] : llvm::enumerate(wide.planeOf))
      ofPlane[plane] = values.size() == 1 ? values[0] : values[channel];
    return makeTable<float>(b, loc, {numPlanes}, ofPlane);
  };
  bool isReal = !offset.empty();
  Value empty = makeEmpty(loc, numPlanes, type.getDimSize(1),
                          isReal ? Type(b.getF32Type()) : Type(b.getI16Type()));
  SmallVector<Value> inputs = {wide.plane, table(multiplier)};
  AffineMap identity = b.getMultiDimIdentityMap(2);
  AffineMap plane = AffineMap::get(2, 0, b.getAffineDimExpr(0));
  SmallVector<AffineMap> maps = {identity, plane};
  if (isReal) {
    inputs.push_back(table(offset));
    maps.push_back(plane);
  }
  maps.push_back(identity);
  SmallVector<utils::IteratorType> parallel(2, utils::IteratorType::parallel);
  auto scaled = linalg::GenericOp::create(
      b, loc, TypeRange{empty.getType()}, inputs, ValueRange{empty}, maps,
      parallel, [&](OpBuilder &nb, Location loc, ValueRange args) {
        Value x = arith::SIToFPOp::create(nb, loc, nb.getF32Type(), args[0]);
        x = arith::MulFOp::create(nb, loc, x, args[1]);
        if (isReal) {
          x = arith::AddFOp::create(nb, loc, x, args[2]);
        } else {
          // The bounds are integers: clamping before rounding is the same.
          auto bound = [&](float limit) -> Value {
            return arith::ConstantOp::create(nb, loc,
                                             nb.getF32FloatAttr(limit));
          };
          x = arith::MaximumFOp::create(nb, loc, x, bound(-32767));
          x = arith::MinimumFOp::create(nb, loc, x, bound(32767));
          x = math::RoundEvenOp::create(nb, loc, x);
          x = arith::FPToSIOp::create(nb, loc, nb.getI16Type(), x);
        }
        linalg::YieldOp::create(nb, loc, x);
      });
  return {scaled.getResult(0), wide.planeOf, layouts.getLayout(result)};
}

LogicalResult Packer::visitToReal(ToRealOp op) {
  Location loc = op.getLoc();
  Value result = op.getResult();
  WidePlanes real;
  if (Operation *producer = getFusibleDot(op.getInput())) {
    FailureOr<DotProduct> dot = DotProduct::get(producer);
    if (failed(dot))
      return failure();
    FailureOr<ContractBuilder> builder = makeBuilder(*dot);
    if (failed(builder))
      return failure();
    LanesAttr layout = layouts.getLayout(result);
    Value init = makeEmpty(loc, dot->outputs, layout.getSize(), b.getF32Type());
    real = {builder->makePlanes(Epilogue::Real, op.getMultiplier(),
                                op.getOffset(), init),
            llvm::to_vector(llvm::seq(dot->outputs)), layout};
  } else {
    FailureOr<WidePlanes> wide = getPlanes(op, op.getInput());
    if (failed(wide))
      return failure();
    real = scalePlanes(loc, *wide, op.getMultiplier(), op.getOffset(), result);
  }
  // Whatever reads it is no op of ours.
  result.replaceAllUsesWith(
      unpackPlanes(loc, real, op.getResult().getType().getShape()));
  return success();
}

//===----------------------------------------------------------------------===//
// Reals in, reals out, channels moved
//===----------------------------------------------------------------------===//

LogicalResult Packer::visitQuantize(QuantizeOp op) {
  Location loc = op.getLoc();
  ChannelsAttr encoding = getChannels(op.getResult().getType());
  RankedTensorType type = op.getInput().getType();
  bool isUnsigned = encoding.getGrid() == Grid::Unsigned;
  // HP7-HP9, one multiplier and one range for each channel.
  SmallVector<float> multiplier, lowest, highest;
  double scale = encoding.getScale().front();
  for (int8_t p : encoding.getBits()) {
    bool symmetric = !isUnsigned && p == 8;
    multiplier.push_back(float(isUnsigned  ? ((1 << p) - 1) / scale
                               : symmetric ? 64.0 / scale
                                           : std::ldexp(1.0, p - 2) / scale));
    lowest.push_back(isUnsigned ? 0 : symmetric ? -127 : -(1 << (p - 1)));
    highest.push_back(isUnsigned  ? (1 << p) - 1
                      : symmetric ? 127
                                  : (1 << (p - 1)) - 1);
  }
  int64_t channels = encoding.getBits().size();
  AffineMap identity = b.getMultiDimIdentityMap(type.getRank());
  AffineMap channel = AffineMap::get(type.getRank(), 0, b.getAffineDimExpr(1));
  Value empty = tensor::EmptyOp::create(b, loc, type.getShape(), b.getI8Type());
  // Only a symmetric channel's zero code is not its lowest one (HP10).
  bool hasSymmetric = !isUnsigned && encoding.getNumChannels(8) > 0;
  auto generic = linalg::GenericOp::create(
      b, loc, TypeRange{empty.getType()},
      ValueRange{op.getInput(),
                 makeTable<float>(b, loc, {channels}, multiplier),
                 makeTable<float>(b, loc, {channels}, lowest),
                 makeTable<float>(b, loc, {channels}, highest)},
      ValueRange{empty}, {identity, channel, channel, channel, identity},
      SmallVector<utils::IteratorType>(type.getRank(),
                                       utils::IteratorType::parallel),
      [&](OpBuilder &nb, Location loc, ValueRange args) {
        auto select = [&](arith::CmpFPredicate predicate, Value a, Value c,
                          Value otherwise) -> Value {
          Value test = arith::CmpFOp::create(nb, loc, predicate, a, c);
          return arith::SelectOp::create(nb, loc, test, a, otherwise);
        };
        Value lo = args[2], hi = args[3];
        Value x = arith::MulFOp::create(nb, loc, args[0], args[1]);
        Value even = math::RoundEvenOp::create(nb, loc, x);
        Value rounded = even;
        Value zero = arith::ConstantOp::create(nb, loc, nb.getF32FloatAttr(0));
        if (!isUnsigned) {
          rounded = math::FloorOp::create(nb, loc, x);
          if (hasSymmetric) {
            Value symmetricLow =
                arith::ConstantOp::create(nb, loc, nb.getF32FloatAttr(-127));
            Value isSymmetric = arith::CmpFOp::create(
                nb, loc, arith::CmpFPredicate::OEQ, lo, symmetricLow);
            Value ordered = select(arith::CmpFPredicate::OEQ, even, even, zero);
            rounded =
                arith::SelectOp::create(nb, loc, isSymmetric, ordered, rounded);
          }
        }
        // NaN compares false and takes the lowest code (HP10).
        rounded = select(arith::CmpFPredicate::OGT, rounded, lo, lo);
        rounded = select(arith::CmpFPredicate::OLT, rounded, hi, hi);
        Value code = arith::FPToSIOp::create(nb, loc, nb.getI32Type(), rounded);
        if (!isUnsigned) {
          // Mid-rise codes count from 0; the symmetric ones are signed.
          Value low = arith::FPToSIOp::create(nb, loc, nb.getI32Type(), lo);
          Value shifted = arith::SubIOp::create(nb, loc, code, low);
          if (hasSymmetric) {
            Value limit =
                arith::ConstantOp::create(nb, loc, nb.getI32IntegerAttr(-127));
            Value isSymmetric = arith::CmpIOp::create(
                nb, loc, arith::CmpIPredicate::eq, low, limit);
            shifted =
                arith::SelectOp::create(nb, loc, isSymmetric, code, shifted);
          }
          code = shifted;
        }
        Value narrow = arith::TruncIOp::create(nb, loc, nb.getI8Type(), code);
        linalg::YieldOp::create(nb, loc, narrow);
      });
  codes[op.getResult()] = packCodes(loc, generic.getResult(0), encoding,
                                    layouts.getLayout(op.getResult()));
  return success();
}

LogicalResult Packer::visitDequantize(DequantizeOp op) {
  FailureOr<PackedCodes> packed = getCodes(op, op.getInput());
  if (failed(packed))
    return failure();
  // A code has at most 256 values: look them up (HP3-HP5, rounded once).
  Location loc = op.getLoc();
  RankedTensorType type = op.getResult().getType();
  ChannelsAttr encoding = packed->encoding;
  double scale = encoding.getScale().front();
  SmallVector<float> values;
  for (int8_t p : encoding.getBits())
    for (int code = 0; code < 256; ++code)
      values.push_back(float(encoding.getGrid() == Grid::Unsigned
                                 ? scale * code / ((1 << p) - 1)
                             : p == 8 ? scale * 0x1p-6 * int8_t(code)
                                      : scale * std::ldexp(1.0, 1 - p) *
                                            (2 * code + 1 - (1 << p))));
  int64_t channels = encoding.getBits().size();
  Value table = makeTable<float>(b, loc, {channels, 256}, values);
  Value unpacked = unpackCodes(loc, *packed, type.getShape());
  AffineMap identity = b.getMultiDimIdentityMap(type.getRank());
  Value empty =
      tensor::EmptyOp::create(b, loc, type.getShape(), b.getF32Type());
  auto generic = linalg::GenericOp::create(
      b, loc, TypeRange{empty.getType()}, ValueRange{unpacked},
      ValueRange{empty}, {identity, identity},
      SmallVector<utils::IteratorType>(type.getRank(),
                                       utils::IteratorType::parallel),
      [&](OpBuilder &nb, Location loc, ValueRange args) {
        Value channel = linalg::IndexOp::create(nb, loc, 1);
        Value code =
            arith::IndexCastUIOp::create(nb, loc, nb.getIndexType(), args[0]);
        Value value = tensor::ExtractOp::create(nb, loc, table,
                                                ValueRange{channel, code});
        linalg::YieldOp::create(nb, loc, value);
      });
  op.getResult().replaceAllUsesWith(generic.getResult(0));
  return success();
}

LogicalResult Packer::visitPermute(PermuteOp op) {
  if (op.getAxis() != 1)
    return op.emitOpError("only the channels (axis 1) can be reordered here");
  // Only names change: word slots and planes stay where they are.
  if (getChannels(op.getInput().getType())) {
    FailureOr<PackedCodes> packed = getCodes(op, op.getInput());
    if (failed(packed))
      return failure();
    SmallVector<int64_t> inverse(op.getPermutation().size());
    for (auto [to, from] : llvm::enumerate(op.getPermutation()))
      inverse[from] = to;
    for (Segment &s : packed->segments)
      for (int64_t &channel : s.channels)
        if (channel >= 0)
          channel = inverse[channel];
    packed->encoding = getChannels(op.getResult().getType());
    codes[op.getResult()] = *packed;
    return success();
  }
  FailureOr<WidePlanes> wide = getPlanes(op, op.getInput());
  if (failed(wide))
    return failure();
  SmallVector<int64_t> planeOf;
  for (int64_t from : op.getPermutation())
    planeOf.push_back(wide->planeOf[from]);
  wide->planeOf = planeOf;
  planes[op.getResult()] = *wide;
  return success();
}

LogicalResult Packer::visitFlatten(FlattenOp op) {
  FailureOr<PackedCodes> packed = getCodes(op, op.getInput());
  if (failed(packed))
    return failure();
  RankedTensorType type = op.getInput().getType();
  if (type.getDimSize(2) * type.getDimSize(3) == 1) {
    packed->encoding = getChannels(op.getResult().getType());
    codes[op.getResult()] = *packed;
    return success();
  }
  ++numRepacked;
  Value image = unpackCodes(op.getLoc(), *packed, type.getShape());
  SmallVector<ReassociationIndices> dims = {{0}, {1, 2, 3}};
  Value flat = tensor::CollapseShapeOp::create(b, op.getLoc(), image, dims);
  codes[op.getResult()] =
      packCodes(op.getLoc(), flat, getChannels(op.getResult().getType()),
                layouts.getLayout(op.getResult()));
  return success();
}

LogicalResult Packer::visitReturn(func::ReturnOp op) {
  SmallPtrSet<Value, 4> returned;
  for (OpOperand &operand : op->getOpOperands()) {
    Value value = operand.get();
    auto type = dyn_cast<RankedTensorType>(value.getType());
    if (getChannels(value.getType())) {
      FailureOr<PackedCodes> packed = getCodes(op, value);
      if (failed(packed))
        return failure();
      operand.set(unpackCodes(op.getLoc(), *packed, type.getShape()));
    } else if (planes.contains(value)) {
      operand.set(unpackPlanes(op.getLoc(), planes[value], type.getShape()));
    } else if (!returned.insert(value).second) {
      // Each result is a buffer of its own to the caller.
      operand.set(bufferization::AllocTensorOp::create(
          b, op.getLoc(), type, /*dynamicSizes=*/ValueRange(),
          /*copy=*/value));
    }
  }
  return success();
}

LogicalResult Packer::visit(Operation *op) {
  b.setInsertionPoint(op);
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<QuantizeOp>([&](auto o) { return visitQuantize(o); })
      .Case<Conv2DOp, MatmulOp, SumPool2DOp>(
          [&](auto o) { return visitDotProduct(o); })
      .Case<RequantizeOp>([&](auto o) { return visitRequantize(o); })
      .Case<ToCarrierOp>([&](auto o) { return visitToCarrier(o); })
      .Case<ToRealOp>([&](auto o) { return visitToReal(o); })
      .Case<AddOp>([&](auto o) { return visitAdd(o); })
      .Case<DequantizeOp>([&](auto o) { return visitDequantize(o); })
      .Case<PermuteOp>([&](auto o) { return visitPermute(o); })
      .Case<FlattenOp>([&](auto o) { return visitFlatten(o); })
      .Case<func::ReturnOp>([&](auto o) { return visitReturn(o); })
      .Case<DepthwiseConv2DOp>([&](auto o) {
        return o.emitOpError("canonicalize first: a depthwise convolution is a "
                             "grouped conv_2d");
      })
      .Default([&](Operation *o) -> LogicalResult {
        if (llvm::any_of(o->getOperandTypes(), getChannels))
          return o->emitOpError("reads codes but is no op of the hetprec "
                                "dialect");
        return success();
      });
}

LogicalResult Packer::run() {
  if (!function.getBody().hasOneBlock())
    return function.emitOpError("a network is a function of one block");
  SmallVector<Operation *> ops;
  for (Operation &op : function.getBody().front())
    ops.push_back(&op);
  for (Operation *op : ops)
    if (failed(visit(op)))
      return failure();
  // The model ops have no readers left but one another.
  for (Operation *op : llvm::reverse(ops))
    if (op->use_empty() &&
        (isa<HetprecDialect>(op->getDialect()) || isa<arith::ConstantOp>(op)))
      op->erase();

  Block &entry = function.getBody().front();
  for (BlockArgument arg : entry.getArguments())
    arg.setType(stripEncoding(arg.getType()));
  FunctionType type = function.getFunctionType();
  SmallVector<Type> inputs =
      llvm::map_to_vector(type.getInputs(), stripEncoding);
  SmallVector<Type> results(entry.getTerminator()->getOperandTypes());
  function.setFunctionType(
      FunctionType::get(function.getContext(), inputs, results));
  return success();
}
