//===- Interpreter.cpp - Runs model-phase hetprec functions ---------------===//

#include "sysmol/Reference/Interpreter.h"

#include "InterpreterUtils.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"
#include "sysmol/Reference/Ops.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/TypeSwitch.h"

#include <limits>

using namespace mlir;
using namespace sysmol;
using namespace sysmol::reference;

using hetprec::ChannelsAttr;

namespace {

/// One value per channel from the one that stands for all.
std::vector<float> perChannel(ArrayRef<float> values, int64_t channels) {
  if (values.size() == 1)
    return std::vector<float>(channels, values.front());
  return values.vec();
}

/// The values of a function while it runs. Every method returns the only result
/// of the op it is given.
class Frame {
public:
  Status set(Value value, HostTensor tensor) {
    auto type = dyn_cast<RankedTensorType>(value.getType());
    if (!type)
      return Error{"only ranked tensors have a value"};
    if (Status status = checkHostTensor(type, tensor); !status)
      return status;
    values.try_emplace(value, std::move(tensor));
    return noError();
  }

  const HostTensor &get(Value value) const {
    return values.find(value)->second; // defined before it is used: SSA
  }
  const IntTensor &ints(Value value) const { return get(value).ints(); }

  Result<HostTensor> run(Operation *op) const {
    return llvm::TypeSwitch<Operation *, Result<HostTensor>>(op)
        .Case<arith::ConstantOp, tensor::CollapseShapeOp, tensor::ExpandShapeOp,
              hetprec::QuantizeOp, hetprec::DequantizeOp, hetprec::Conv2DOp,
              hetprec::DepthwiseConv2DOp, hetprec::MatmulOp,
              hetprec::SumPool2DOp, hetprec::RequantizeOp, hetprec::ToCarrierOp,
              hetprec::AddOp, hetprec::ToRealOp, hetprec::PermuteOp,
              hetprec::FlattenOp, hetprec::MaxPool2DOp>(
            [&](auto concrete) { return eval(concrete); })
        .Default(
            [](Operation *) { return Error{"has no reference semantics"}; });
  }

private:
  Result<HostTensor> eval(arith::ConstantOp op) const;
  Result<HostTensor> eval(tensor::CollapseShapeOp op) const {
    return reshape(op.getSrc(), op.getResultType());
  }
  Result<HostTensor> eval(tensor::ExpandShapeOp op) const {
    return reshape(op.getSrc(), op.getResultType());
  }
  Result<HostTensor> eval(hetprec::FlattenOp op) const {
    return reshape(op.getInput(), op.getResult().getType());
  }
  Result<HostTensor> eval(hetprec::QuantizeOp op) const;
  Result<HostTensor> eval(hetprec::DequantizeOp op) const;
  Result<HostTensor> eval(hetprec::Conv2DOp op) const;
  Result<HostTensor> eval(hetprec::DepthwiseConv2DOp op) const;
  Result<HostTensor> eval(hetprec::MatmulOp op) const;
  Result<HostTensor> eval(hetprec::SumPool2DOp op) const;
  Result<HostTensor> eval(hetprec::MaxPool2DOp op) const;
  Result<HostTensor> eval(hetprec::RequantizeOp op) const;
  Result<HostTensor> eval(hetprec::ToCarrierOp op) const;
  Result<HostTensor> eval(hetprec::AddOp op) const;
  Result<HostTensor> eval(hetprec::ToRealOp op) const;
  Result<HostTensor> eval(hetprec::PermuteOp op) const;

  Result<HostTensor> reshape(Value source, RankedTensorType type) const {
    std::vector<int64_t> shape = type.getShape().vec();
    const HostTensor &tensor = get(source);
    if (tensor.isReal())
      return HostTensor(FloatTensor{shape, tensor.reals().data});
    return HostTensor(IntTensor{shape, tensor.ints().data});
  }

  /// An op's result as the interpreter keeps it; accumulators without what was
  /// known of them before.
  template <typename T> static Result<HostTensor> host(Result<T> result) {
    if (!result)
      return result.error();
    if constexpr (std::is_same_v<T, Accumulators>)
      return HostTensor(std::move(result->values));
    else
      return HostTensor(std::move(*result));
  }

  static ChannelEncoding encodingOf(Value value) {
    return toEncoding(hetprec::getChannels(value.getType()));
  }

  template <typename ConvOp> static ConvParams convParams(ConvOp op) {
    ConvParams params;
    llvm::copy(op.getStrides(), params.strides.begin());
    llvm::copy(op.getPads(), params.pads.begin());
    llvm::copy(op.getDilations(), params.dilations.begin());
    return params;
  }

  llvm::DenseMap<Value, HostTensor> values;
};

Result<HostTensor> Frame::eval(arith::ConstantOp op) const {
  auto type = dyn_cast<RankedTensorType>(op.getType());
  if (!type || !type.hasStaticShape())
    return Error{"must be a tensor of static shape"};
  std::vector<char> bytes;
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(op.getValue())) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    if (!blob)
      return Error{"its resource was not loaded"};
    bytes.assign(blob->getData().begin(), blob->getData().end());
    return hostTensorFromBytes(type, bytes);
  }
  auto dense = dyn_cast<DenseElementsAttr>(op.getValue());
  if (!dense || !type.getElementType().isIntOrFloat() ||
      type.getElementTypeBitWidth() < 8)
    return Error{"must have dense elements of i8, i16, i32 or f32"};
  ArrayRef<char> raw = dense.getRawData();
  if (!dense.isSplat())
    return hostTensorFromBytes(type, raw);
  // A splat is stored once.
  for (int64_t i = 0; i < type.getNumElements(); ++i)
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  return hostTensorFromBytes(type, bytes);
}

Result<HostTensor> Frame::eval(hetprec::QuantizeOp op) const {
  ChannelsAttr channels = hetprec::getChannels(op.getResult().getType());
  return host(quantize(get(op.getInput()).reals(), toEncoding(channels),
                       channels.getScale().front()));
}

Result<HostTensor> Frame::eval(hetprec::DequantizeOp op) const {
  ChannelsAttr channels = hetprec::getChannels(op.getInput().getType());
  ArrayRef<double> scales = channels.getScale();
  ChannelEncoding encoding = toEncoding(channels);
  if (scales.size() == 1 && channels.getGroups() == 1)
    return host(dequantizeCodes(ints(op.getInput()), encoding, scales.front()));
  // Only weights have groups or a scale per output channel (HP6).
  if (encoding.grid != Grid::Midrise || encoding.axis != 1)
    return Error{"groups and several scales are for weights only (HP6)"};
  return host(dequantizeWeights(ints(op.getInput()), encoding.bits,
                                channels.getGroups(), scales));
}

Result<HostTensor> Frame::eval(hetprec::Conv2DOp op) const {
  ConvParams params = convParams(op);
  params.groups = op.getGroups();
  return host(conv2d(ints(op.getInput()), encodingOf(op.getInput()),
                     ints(op.getFilter()), params));
}

Result<HostTensor> Frame::eval(hetprec::DepthwiseConv2DOp op) const {
  ConvParams params = convParams(op);
  params.groups = op.getInput().getType().getDimSize(1);
  return host(conv2d(ints(op.getInput()), encodingOf(op.getInput()),
                     ints(op.getFilter()), params));
}

Result<HostTensor> Frame::eval(hetprec::MatmulOp op) const {
  return host(
      matmul(ints(op.getLhs()), encodingOf(op.getLhs()), ints(op.getRhs())));
}

template <typename Pool> static PoolParams poolParams(Pool op) {
  PoolParams params;
  llvm::copy(op.getKernel(), params.kernel.begin());
  llvm::copy(op.getStrides(), params.strides.begin());
  llvm::copy(op.getPads(), params.pads.begin());
  return params;
}

Result<HostTensor> Frame::eval(hetprec::SumPool2DOp op) const {
  return host(sumPool2d(ints(op.getInput()), encodingOf(op.getInput()),
                        poolParams(op)));
}

Result<HostTensor> Frame::eval(hetprec::MaxPool2DOp op) const {
  return host(maxPool2d(ints(op.getInput()), encodingOf(op.getInput()),
                        poolParams(op)));
}

static Relu toRelu(bool fused) { return fused ? Relu::Fused : Relu::None; }

Result<HostTensor> Frame::eval(hetprec::RequantizeOp op) const {
  int64_t channels = op.getResult().getType().getDimSize(1);
  return host(requantize(ints(op.getInput()), encodingOf(op.getResult()),
                         perChannel(op.getMultiplier(), channels),
                         perChannel(op.getOffset(), channels)));
}

Result<HostTensor> Frame::eval(hetprec::ToCarrierOp op) const {
  int64_t channels = op.getResult().getType().getDimSize(1);
  constexpr float none[] = {0.0f};
  ArrayRef<float> offset = op.getOffset();
  return host(rescaleToCarrier(
      ints(op.getInput()), /*axis=*/1, perChannel(op.getMultiplier(), channels),
      perChannel(offset.empty() ? ArrayRef(none) : offset, channels),
      toRelu(op.getRelu())));
}

Result<HostTensor> Frame::eval(hetprec::AddOp op) const {
  return host(
      addCarriers(ints(op.getLhs()), ints(op.getRhs()), toRelu(op.getRelu())));
}

Result<HostTensor> Frame::eval(hetprec::ToRealOp op) const {
  int64_t channels = op.getResult().getType().getDimSize(1);
  return host(dequantizeAccumulators(ints(op.getInput()), /*axis=*/1,
                                     perChannel(op.getMultiplier(), channels),
                                     perChannel(op.getOffset(), channels)));
}

Result<HostTensor> Frame::eval(hetprec::PermuteOp op) const {
  const HostTensor &input = get(op.getInput());
  if (input.isReal())
    return host(
        permuteChannels(input.reals(), op.getAxis(), op.getPermutation()));
  return host(permuteChannels(input.ints(), op.getAxis(), op.getPermutation()));
}

} // namespace

/// HP24: of an argument's codes only the bits of their level are read, and no
/// carrier is below the lowest.
static HostTensor readArgument(Type argument, const HostTensor &tensor) {
  auto type = dyn_cast<RankedTensorType>(argument);
  ChannelsAttr channels = hetprec::getChannels(argument);
  if (type && isa_and_present<hetprec::CarrierAttr>(type.getEncoding()) &&
      !tensor.isReal()) {
    IntTensor carriers = tensor.ints();
    for (int32_t &carrier : carriers.data)
      if (carrier == -carrierMax - 1) // what else does not fit is found next
        carrier = -carrierMax;
    return HostTensor(std::move(carriers));
  }
  if (!channels || channels.getGroups() != 1 || tensor.isReal() ||
      ArrayRef<int64_t>(tensor.shape()) != type.getShape())
    return tensor; // whatever is wrong with it is found next
  int64_t inner = 1;
  for (int64_t size : type.getShape().drop_front(channels.getAxis() + 1))
    inner *= size;
  std::vector<int32_t> codes = tensor.ints().data;
  for (auto [at, code] : llvm::enumerate(codes)) {
    int8_t p =
        channels.getBits()[int64_t(at) / inner % channels.getBits().size()];
    if (p == 8 && channels.getGrid() == hetprec::Grid::Midrise)
      code = std::max(code, -127);
    else
      code &= (1 << p) - 1;
  }
  return HostTensor(IntTensor{type.getShape().vec(), std::move(codes)});
}

static Error inOp(Operation *op, const std::string &message) {
  return Error{"'" + op->getName().getStringRef().str() + "' " + message};
}

Result<std::vector<HostTensor>>
sysmol::reference::interpret(func::FuncOp function, ArrayRef<HostTensor> inputs,
                             ValueObserver observer) {
  if (!function.getBody().hasOneBlock())
    return Error{"function '" + function.getName().str() +
                 "' must have one block"};
  Block &body = function.getBody().front();
  if (body.getNumArguments() != inputs.size())
    return Error{"function '" + function.getName().str() + "' takes " +
                 std::to_string(body.getNumArguments()) + " tensors, not " +
                 std::to_string(inputs.size())};
  Frame frame;
  for (auto [argument, input] : llvm::zip_equal(body.getArguments(), inputs))
    if (Status status =
            frame.set(argument, readArgument(argument.getType(), input));
        !status)
      return Error{"argument " + std::to_string(argument.getArgNumber()) +
                   ": " + status.message()};

  for (Operation &op : body) {
    if (auto ret = dyn_cast<func::ReturnOp>(op)) {
      std::vector<HostTensor> results;
      for (Value value : ret.getOperands())
        results.push_back(frame.get(value));
      return results;
    }
    Result<HostTensor> result = frame.run(&op);
    if (!result)
      return inOp(&op, result.message());
    Value value = op.getResult(0);
    // What an op returns is a value of its type, or the reference is wrong.
    if (Status status = frame.set(value, std::move(*result)); !status)
      return inOp(&op, status.message());
    if (observer)
      observer(value, frame.get(value));
  }
  return Error{"function '" + function.getName().str() +
               "' does not end in func.return"};
}
