//===- Emitter.cpp - Verified hetprec ops, one at a time ------------------===//

#include "Emitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::onnx_import;
using llvm::Expected;
using llvm::Twine;

using hetprec::CarrierAttr;
using hetprec::ChannelsAttr;

namespace {
/// Keeps the first error that the verifiers report instead of printing it.
class Listener {
public:
  explicit Listener(MLIRContext *context)
      : handler(context, [this](Diagnostic &diagnostic) {
          if (reason.empty() &&
              diagnostic.getSeverity() == DiagnosticSeverity::Error)
            reason = diagnostic.str();
          return success();
        }) {}

  llvm::Error takeError() {
    StringRef text = reason;
    // "'hetprec.conv_2d' op ": the node says what it is.
    if (text.consume_front("'hetprec."))
      text = text.substr(text.find(" op ") + 4);
    return fail(text.empty() ? "it breaks a rule of the dialect"
                             : printable(text));
  }

private:
  std::string reason;
  ScopedDiagnosticHandler handler;
};
} // namespace

Expected<int64_t> sysmol::onnx_import::getWindowedSize(int64_t size,
                                                       const Window &window,
                                                       int axis) {
  // All of them are at most 2^24.
  int64_t padded = size + window.pads[axis] + window.pads[axis + 2];
  int64_t reach = (window.kernel[axis] - 1) * window.dilations[axis] + 1;
  if (reach > padded)
    return fail("the kernel reaches over " + Twine(reach) +
                " pixels, the padded image has " + Twine(padded));
  return (padded - reach) / window.strides[axis] + 1;
}

Emitter::Emitter(MLIRContext *context)
    : builder(context), loc(UnknownLoc::get(context)) {
  context->loadDialect<hetprec::HetprecDialect, arith::ArithDialect,
                       func::FuncDialect, tensor::TensorDialect>();
  module = ModuleOp::create(loc);
}

void Emitter::setName(StringRef name) {
  loc = NameLoc::get(builder.getStringAttr(name));
}

template <typename Op, typename... Args>
Expected<Value> Emitter::create(Args &&...args) {
  Listener listener(builder.getContext());
  auto op = Op::create(builder, loc, std::forward<Args>(args)...);
  if (failed(verify(op)))
    return listener.takeError();
  return op->getResult(0);
}

Expected<Value> Emitter::begin(StringRef name, StringRef argument,
                               ArrayRef<int64_t> shape) {
  auto type = RankedTensorType::get(shape, builder.getF32Type());
  builder.setInsertionPointToEnd(module->getBody());
  function = func::FuncOp::create(builder, loc, name,
                                  builder.getFunctionType(type, {}));
  Block *body = function.addEntryBlock();
  function.setArgAttr(0, "hetprec.name", builder.getStringAttr(argument));
  builder.setInsertionPointToEnd(body);
  return body->getArgument(0);
}

Expected<OwningOpRef<ModuleOp>> Emitter::finish(Value result, StringRef name,
                                                int64_t floatBytes) {
  func::ReturnOp::create(builder, loc, result);
  function.setFunctionType(builder.getFunctionType(
      function.getFunctionType().getInputs(), result.getType()));
  function.setResultAttr(0, "hetprec.name", builder.getStringAttr(name));
  function->setAttr("hetprec.float_bytes",
                    builder.getI64IntegerAttr(floatBytes));
  // Those that a ReLU made again.
  for (Operation &op :
       llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
    if (isOpTriviallyDead(&op))
      op.erase();
  Listener listener(builder.getContext());
  if (failed(verify(*module)))
    return listener.takeError();
  return std::move(module);
}

//===----------------------------------------------------------------------===//
// Types and constants
//===----------------------------------------------------------------------===//

Expected<RankedTensorType> Emitter::getCodesType(ArrayRef<int64_t> shape,
                                                 reference::Grid grid,
                                                 ArrayRef<double> scale,
                                                 ArrayRef<int8_t> bits,
                                                 int64_t groups) {
  Listener listener(builder.getContext());
  auto report = [&]() { return mlir::emitError(loc); };
  llvm::function_ref<InFlightDiagnostic()> emitError = report;
  auto channels = ChannelsAttr::getChecked(
      emitError, builder.getContext(), int64_t(1),
      grid == reference::Grid::Unsigned ? hetprec::Grid::Unsigned
                                        : hetprec::Grid::Midrise,
      builder.getDenseF64ArrayAttr(scale), bits, groups);
  if (!channels)
    return listener.takeError();
  auto type = RankedTensorType::getChecked(emitError, shape,
                                           builder.getI8Type(), channels);
  if (!type)
    return listener.takeError();
  return type;
}

Expected<Value> Emitter::constant(const WeightGrid &weight, StringRef name,
                                  int64_t groups) {
  Expected<RankedTensorType> type =
      getCodesType(weight.shape, reference::Grid::Midrise, weight.scale,
                   weight.bits, groups);
  if (!type)
    return type.takeError();
  auto value = DenseElementsAttr::get(*type, ArrayRef<int8_t>(weight.codes));
  return arith::ConstantOp::create(
             builder, NameLoc::get(builder.getStringAttr(name)), value)
      .getResult();
}

/// One number where all channels agree.
static ArrayRef<float> squeeze(ArrayRef<float> values) {
  return llvm::all_equal(values) ? values.take_front() : values;
}

static RankedTensorType withShape(Type elementType, ArrayRef<int64_t> shape) {
  return RankedTensorType::get(shape, elementType);
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

Expected<Value> Emitter::quantize(Value input, const ActivationGrid &grid) {
  Expected<RankedTensorType> type =
      getCodesType(shapeOf(input), grid.grid, grid.scale, grid.bits);
  if (!type)
    return type.takeError();
  return create<hetprec::QuantizeOp>(*type, input);
}

Expected<Value> Emitter::dequantize(Value input) {
  return create<hetprec::DequantizeOp>(
      withShape(builder.getF32Type(), shapeOf(input)), input);
}

Expected<Value> Emitter::conv(Value input, const WeightGrid &weight,
                              StringRef weightName, const Window &window,
                              int64_t groups) {
  ArrayRef<int64_t> image = shapeOf(input);
  SmallVector<int64_t> shape = {image[0], weight.shape[0]};
  for (int axis : {0, 1}) {
    Expected<int64_t> size = getWindowedSize(image[2 + axis], window, axis);
    if (!size)
      return size.takeError();
    shape.push_back(*size);
  }
  if (Expected<int64_t> count = countElements(shape); !count)
    return count.takeError();
  Expected<Value> filter = constant(weight, weightName, groups);
  if (!filter)
    return filter.takeError();
  return create<hetprec::Conv2DOp>(withShape(builder.getI32Type(), shape),
                                   input, *filter, window.strides, window.pads,
                                   window.dilations, groups);
}

Expected<Value> Emitter::matmul(Value input, const WeightGrid &weight,
                                StringRef weightName) {
  Expected<Value> rhs = constant(weight, weightName, /*groups=*/1);
  if (!rhs)
    return rhs.takeError();
  SmallVector<int64_t> shape = {shapeOf(input)[0], weight.shape[0]};
  if (Expected<int64_t> count = countElements(shape); !count)
    return count.takeError();
  return create<hetprec::MatmulOp>(withShape(builder.getI32Type(), shape),
                                   input, *rhs);
}

Expected<SmallVector<int64_t>> Emitter::getPooledShape(Value input,
                                                       const Window &window) {
  ArrayRef<int64_t> image = shapeOf(input);
  SmallVector<int64_t> shape = {image[0], image[1]};
  for (int axis : {0, 1}) {
    Expected<int64_t> size = getWindowedSize(image[2 + axis], window, axis);
    if (!size)
      return size.takeError();
    shape.push_back(*size);
  }
  if (Expected<int64_t> count = countElements(shape); !count)
    return count.takeError();
  return shape;
}

Expected<Value> Emitter::sumPool(Value input, const Window &window) {
  auto shape = getPooledShape(input, window);
  if (!shape)
    return shape.takeError();
  return create<hetprec::SumPool2DOp>(withShape(builder.getI32Type(), *shape),
                                      input, window.kernel, window.strides,
                                      window.pads);
}

Expected<Value> Emitter::maxPool(Value input, const Window &window) {
  auto shape = getPooledShape(input, window);
  if (!shape)
    return shape.takeError();
  auto type = cast<RankedTensorType>(input.getType()).clone(*shape);
  return create<hetprec::MaxPool2DOp>(type, input, window.kernel,
                                      window.strides, window.pads);
}

Expected<Value> Emitter::requantize(Value input, const Affines &affines,
                                    const ActivationGrid &grid) {
  Expected<RankedTensorType> type =
      getCodesType(shapeOf(input), grid.grid, grid.scale, grid.bits);
  if (!type)
    return type.takeError();
  return create<hetprec::RequantizeOp>(
      *type, input, squeeze(affines.multiplier), squeeze(affines.offset));
}

Expected<Value> Emitter::toCarrier(Value input, const Affines &affines,
                                   double delta, bool relu) {
  auto carrier = CarrierAttr::get(builder.getContext(), delta);
  auto type =
      RankedTensorType::get(shapeOf(input), builder.getI16Type(), carrier);
  ArrayRef<float> offset = squeeze(affines.offset);
  if (offset.size() == 1 && offset[0] == 0)
    offset = {};
  return create<hetprec::ToCarrierOp>(type, input, squeeze(affines.multiplier),
                                      offset, relu);
}

Expected<Value> Emitter::add(Value lhs, Value rhs) {
  return create<hetprec::AddOp>(lhs.getType(), lhs, rhs);
}

Expected<Value> Emitter::relu(Value carrier) {
  Operation *made = carrier.getDefiningOp();
  if (auto add = dyn_cast<hetprec::AddOp>(made))
    return create<hetprec::AddOp>(add.getType(), add.getLhs(), add.getRhs(),
                                  /*relu=*/true);
  auto carried = cast<hetprec::ToCarrierOp>(made);
  return create<hetprec::ToCarrierOp>(carried.getType(), carried.getInput(),
                                      carried.getMultiplier(),
                                      carried.getOffset(), /*relu=*/true);
}

Expected<Value> Emitter::toReal(Value input, const Affines &affines) {
  return create<hetprec::ToRealOp>(
      withShape(builder.getF32Type(), shapeOf(input)), input,
      squeeze(affines.multiplier), squeeze(affines.offset));
}

Expected<Value> Emitter::flatten(Value input) {
  ArrayRef<int64_t> from = shapeOf(input);
  int64_t pixels = from[2] * from[3];
  SmallVector<int64_t> shape = {from[0], from[1] * pixels};
  ChannelsAttr channels = hetprec::getChannels(input.getType());
  if (!channels) {
    SmallVector<ReassociationIndices> groups = {{0}, {1, 2, 3}};
    return create<tensor::CollapseShapeOp>(
        withShape(builder.getF32Type(), shape), input, groups);
  }
  SmallVector<int8_t> bits;
  for (int8_t p : channels.getBits())
    bits.append(pixels, p);
  auto type = RankedTensorType::get(shape, builder.getI8Type(),
                                    channels.withBits(bits));
  return create<hetprec::FlattenOp>(type, input);
}
