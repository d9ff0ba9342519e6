//===- Pack.cpp - Model ops on channels to packed ops on lanes ------------===//

#include "Packer.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "sysmol/Analysis/Thresholds.h"
#include "sysmol/Dialect/Hetprec/IR/WinogradTiles.h"
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

/// Whether `dot` becomes a `gemv`. With images of more pixels than one, outputs
/// as lanes are the `ContractBuilder`'s.
static bool isGemv(Operation *dot) {
  auto role = dot->getAttrOfType<LaneRoleAttr>(kLanesAttrName);
  return role && role.getValue() == LaneRole::Outputs &&
         isOnePixel(dot->getOperand(0));
}

/// Whether the lanes of `dot` are tiles: windows are read whole.
static bool hasTiles(Operation *dot) {
  auto role = dot->getAttrOfType<LaneRoleAttr>(kLanesAttrName);
  return role && role.getValue() == LaneRole::Tiles;
}

static bool isDot(Operation *op) {
  return isa_and_present<Conv2DOp, MatmulOp, SumPool2DOp>(op);
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
  if (hasTiles(dot.op))
    if (StringRef obstacle = WinogradTiles::getObstacle(dot.op);
        !obstacle.empty()) {
      dot.op->emitOpError("has no tiles as lanes: ") << obstacle;
      return failure();
    }
  Value result = dot.op->getResult(0);
  ++numContracts;
  PackedCodes read = *input;
  if (std::optional<ByteLanes> bytes = ByteLanes::get(dot.op)) {
    read = spreadChannels(dot, *bytes, read);
  } else if (!hasTiles(dot.op)) {
    read = separateFolded(dot, read);
    if (dot.window.isStrided())
      read = splitPhases(dot.op, read, dot.window.getPhases(),
                         layouts.getPhaseLayout(dot.op));
  }
  if (std::optional<ByteStream> stream = ByteStream::get(dot.op))
    read = makeStream(dot, *stream, std::move(read));
  return ContractBuilder(b, dot, std::move(read), layouts.getLayout(result),
                         layouts.getLaneCount(result), getLayer(dot.op));
}

PackedCodes Packer::splitPhases(Operation *op, const PackedCodes &input,
                                ArrayRef<int64_t> read, LanesAttr to) {
  Window window = Window::get(op);
  ArrayRef<int64_t> strides = window.strides;
  // Readers with the same phases share them. Those that no tap reads are not
  // made: a 1x1 window of stride 2 reads one of four.
  SmallVector<int64_t> folded;
  for (const Segment &s : input.segments)
    if (s.isFolded)
      folded.push_back(s.level);
  Attribute key = b.getArrayAttr(
      {b.getDenseI64ArrayAttr(strides), b.getDenseI64ArrayAttr(window.pads),
       b.getDenseI64ArrayAttr(read), b.getDenseI64ArrayAttr(folded), to});
  auto [entry, inserted] =
      phases.try_emplace({op->getOperand(0), key}, PackedCodes());
  if (inserted) {
    PackedCodes split = input;
    split.layout = to;
    // Right behind the input, where every reader can see it.
    OpBuilder::InsertionGuard guard(b);
    for (Segment &s : split.segments) {
      b.setInsertionPointAfterValue(s.plane);
      Value init =
          makeEmpty(op->getLoc(), read.size() * s.getNumWords(), to.getSize(),
                    b.getIntegerType(getWordBits(s.level)));
      s.plane = SplitPhasesOp::create(
                    b, op->getLoc(), TypeRange{init.getType()}, s.plane, init,
                    strides, window.pads, read, input.layout, to)
                    ->getResult(0);
    }
    entry->second = split;
  }
  return entry->second;
}

void Packer::packIntoPhases() {
  SmallVector<SplitPhasesOp> splits;
  function.walk([&](SplitPhasesOp split) { splits.push_back(split); });
  for (SplitPhasesOp split : splits) {
    auto pack = split.getInput().getDefiningOp<PackLanesOp>();
    if (!pack || !pack->hasOneUse() || !pack.getPhases().empty() ||
        cast<RankedTensorType>(pack.getInput().getType()).getRank() != 4)
      continue;
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(split);
    auto phases = PackLanesOp::create(
        b, pack.getLoc(), split->getResultTypes(), pack.getInput(),
        split.getInit(), pack.getLevel(), pack.getIsSigned(),
        pack.getChannels(), split.getTo(), pack.getMultiplierAttr(),
        split.getStrides(), split.getPads().take_front(2), split.getPhases());
    split.replaceAllUsesWith(phases.getOperation());
    split.erase();
    pack.erase();
  }
}

FailureOr<Value> Packer::makeGemv(Operation *producer,
                                  const GemvEpilogue &epilogue) {
  FailureOr<DotProduct> dot = DotProduct::get(producer);
  if (failed(dot))
    return failure();
  Value input = dot->getInput();
  ChannelsAttr encoding = getChannels(input.getType());
  if (!encoding.isSegmented()) {
    producer->emitOpError("channels must be sorted by precision where lanes "
                          "are outputs");
    return failure();
  }
  FailureOr<Value> rows = getPlainCodes(producer, input, getRowShape(input));
  if (failed(rows))
    return failure();
  ++numContracts;
  return GemvBuilder(b, *dot, *rows, encoding, getLayer(producer))
      .make(epilogue);
}

LogicalResult Packer::visitDotProduct(Operation *op) {
  Value acc = op->getResult(0);
  if (getFusibleDot(acc) &&
      isa<RequantizeOp, ToCarrierOp, ToRealOp>(*acc.user_begin()))
    return success(); // fused into its reader
  if (isGemv(op)) {
    FailureOr<Value> sums = makeGemv(op, GemvEpilogue{Epilogue::Accumulator});
    if (failed(sums))
      return failure();
    rowsOf[acc] = *sums;
    return success();
  }
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
    if (isGemv(producer)) {
      FailureOr<Value> rows =
          makeGemv(producer, GemvEpilogue{Epilogue::Codes, op.getMultiplier(),
                                          op.getOffset(), encoding});
      if (failed(rows))
        return failure();
      rowsOf[result] = *rows;
      return success();
    }
    FailureOr<DotProduct> dot = DotProduct::get(producer);
    if (failed(dot))
      return failure();
    FailureOr<ContractBuilder> builder = makeBuilder(*dot);
    if (failed(builder))
      return failure();
    builder->prepareCodes(packed.segments, op.getMultiplier());
    for (Segment &s : packed.segments)
      s.plane = builder->makeCodes(
          s.channels, s.level, encoding, op.getMultiplier(), op.getOffset(),
          makeMask(loc, layout),
          makeCodePlanes(loc, s.getNumWords(), result, s.level));
    codes[result] = packed;
    return success();
  }

  if (auto rows = rowsOf.find(op.getInput()); rows != rowsOf.end()) {
    Value sums = rows->second;
    rowsOf[result] = requantizeRows(b, op, sums);
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
    bool inRange = s.level > 2 && areInRange(bound, multipliers, offsets);
    s.plane = RequantizeLanesOp::create(
                  b, loc, TypeRange{init.getType()}, wide->plane,
                  makeIntTable(b, loc, {numRows}, planeNumbers,
                               wide->planeOf.size() > 65535 ? 32 : 16),
                  thresholdTable, signTable, multiplierTable, offsetTable,
                  makeMask(loc, layout), init, s.level, packed.isSigned(),
                  layout.getBase(), layouts.getLaneCount(result), inRange,
                  getLayer(op))
                  ->getResult(0);
  }
  codes[result] = packed;
  return success();
}

/// The `to_carrier` that can add straight onto the other operand of `add`.
static ToCarrierOp getFusibleCarrier(AddOp add) {
  for (Value operand : {add.getRhs(), add.getLhs()}) {
    auto carrier = operand.getDefiningOp<ToCarrierOp>();
    if (carrier && !carrier.getRelu() && operand.hasOneUse() &&
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
    planes[op.getResult()] = {scaleToCarrier(b, op.getLoc(), *wide,
                                             op.getMultiplier(), op.getOffset(),
                                             op.getRelu()),
                              wide->planeOf, layouts.getLayout(op.getResult())};
    return success();
  }
  if (isGemv(producer)) {
    GemvEpilogue epilogue{Epilogue::Carrier, op.getMultiplier(),
                          op.getOffset()};
    epilogue.relu = op.getRelu();
    FailureOr<Value> rows = makeGemv(producer, epilogue);
    if (failed(rows))
      return failure();
    rowsOf[op.getResult()] = *rows;
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
  setPlanes(op.getResult(),
            builder->makePlanes(Epilogue::Carrier, op.getMultiplier(),
                                op.getOffset(), init, /*channels=*/{},
                                op.getRelu()));
  return success();
}

LogicalResult Packer::visitAdd(AddOp op) {
  ToCarrierOp fused = getFusibleCarrier(op);
  Value other =
      fused && fused.getResult() == op.getRhs() ? op.getLhs() : op.getRhs();
  if (fused && isGemv(fused.getInput().getDefiningOp())) {
    FailureOr<Value> onto = getPlainSums(op, other);
    if (failed(onto))
      return failure();
    FailureOr<Value> sum = makeGemv(
        fused.getInput().getDefiningOp(),
        GemvEpilogue{Epilogue::CarrierAdd, fused.getMultiplier(),
                     fused.getOffset(), /*encoding=*/{}, *onto, op.getRelu()});
    if (failed(sum))
      return failure();
    rowsOf[op.getResult()] = *sum;
    return success();
  }
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
    Value sum = builder->makePlanes(Epilogue::CarrierAdd, fused.getMultiplier(),
                                    fused.getOffset(), base->plane,
                                    base->getChannelOfPlanes(), op.getRelu());
    planes[op.getResult()] = {sum, base->planeOf,
                              layouts.getLayout(op.getResult())};
    return success();
  }
  FailureOr<WidePlanes> rhs = getPlanes(op, op.getRhs());
  if (failed(rhs))
    return failure();
  // Neither side is a dot product of its own.
  planes[op.getResult()] = {
      addPlanes(b, op.getLoc(), *base, *rhs, op.getRelu()), base->planeOf,
      layouts.getLayout(op.getResult())};
  return success();
}

LogicalResult Packer::visitToReal(ToRealOp op) {
  Location loc = op.getLoc();
  Value result = op.getResult();
  WidePlanes real;
  Operation *producer = getFusibleDot(op.getInput());
  if (producer && isGemv(producer)) {
    FailureOr<Value> rows =
        makeGemv(producer, GemvEpilogue{Epilogue::Real, op.getMultiplier(),
                                        op.getOffset()});
    if (failed(rows))
      return failure();
    result.replaceAllUsesWith(
        reshape(loc, *rows, op.getResult().getType().getShape()));
    return success();
  }
  if (producer) {
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
    real = {scaleToReal(b, loc, *wide, op.getMultiplier(), op.getOffset()),
            wide->planeOf, layouts.getLayout(result)};
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
  Value result = op.getResult();
  if (isOnePixel(result))
    rowsOf[result] =
        reshape(op.getLoc(), quantizeReals(b, op), getRowShape(result));
  else // pack_lanes quantizes
    codes[result] =
        packCodes(op.getLoc(), op.getInput(), getChannels(result.getType()),
                  layouts.getLayout(result));
  return success();
}

LogicalResult Packer::visitDequantize(DequantizeOp op) {
  FailureOr<Value> values =
      getPlainCodes(op, op.getInput(), op.getType().getShape());
  if (failed(values))
    return failure();
  op.getResult().replaceAllUsesWith(dequantizeCodes(b, op, *values));
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
  RankedTensorType type = op.getInput().getType();
  if (auto rows = rowsOf.find(op.getInput()); rows != rowsOf.end()) {
    Value same = rows->second;
    rowsOf[op.getResult()] = same;
    return success();
  }
  FailureOr<PackedCodes> packed = getCodes(op, op.getInput());
  if (failed(packed))
    return failure();
  if (isOnePixel(op.getInput())) {
    packed->encoding = getChannels(op.getResult().getType());
    codes[op.getResult()] = *packed;
    return success();
  }
  ++numRepacked;
  Value image = unpackCodes(op.getLoc(), *packed, type.getShape());
  rowsOf[op.getResult()] = reshape(op.getLoc(), image, op.getType().getShape());
  return success();
}

LogicalResult Packer::visitReturn(func::ReturnOp op) {
  SmallPtrSet<Value, 4> returned;
  for (OpOperand &operand : op->getOpOperands()) {
    Value value = operand.get();
    auto type = dyn_cast<RankedTensorType>(value.getType());
    if (auto rows = rowsOf.find(value); rows != rowsOf.end()) {
      Value plain = reshape(op.getLoc(), rows->second, type.getShape());
      if (!returned.insert(rows->second).second)
        plain = bufferization::AllocTensorOp::create(
            b, op.getLoc(), cast<RankedTensorType>(plain.getType()),
            /*dynamicSizes=*/ValueRange(), /*copy=*/plain);
      operand.set(plain);
    } else if (getChannels(value.getType())) {
      FailureOr<PackedCodes> packed = getCodes(op, value);
      if (failed(packed))
        return failure();
      operand.set(unpackCodes(op.getLoc(), *packed, type.getShape()));
    } else if (planes.contains(value)) {
      operand.set(unpackPlanes(op.getLoc(), planes[value], type.getShape()));
    } else if (type && isa<BlockArgument>(value) &&
               isa_and_present<CarrierAttr>(type.getEncoding())) {
      // HP24 would have it read.
      return op.emitOpError("returns a carrier that comes from outside; CPU "
                            "code takes codes and reals");
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
      .Case<MaxPool2DOp>([&](auto o) { return visitMaxPool(o); })
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
  packIntoPhases();

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
