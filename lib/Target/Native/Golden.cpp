//===- Golden.cpp - A network's interface and golden vectors --------------===//

#include "sysmol/Target/Native/Golden.h"

#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"
#include "sysmol/Reference/Interpreter.h"
#include "sysmol/Target/Common/Failure.h"
#include "llvm/Support/MathExtras.h"
#include <limits>
#include <random>

using namespace mlir;
using namespace sysmol;

static llvm::Expected<runtime::TensorInfo>
describeTensor(Type type, DictionaryAttr attrs, const std::string &otherwise) {
  runtime::TensorInfo info;
  info.Name = otherwise;
  if (attrs)
    if (auto name = attrs.getAs<StringAttr>("hetprec.name"))
      info.Name = name.getValue().str();
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !tensor.hasStaticShape())
    return makeError("argument or result '" + info.Name +
                     "' must be a tensor of static shape");
  info.Shape.assign(tensor.getShape().begin(), tensor.getShape().end());
  Type element = tensor.getElementType();
  if (element.isF32())
    info.Type = runtime::DType::F32;
  else if (element.isInteger(32))
    info.Type = runtime::DType::I32;
  else if (element.isInteger(16))
    info.Type = runtime::DType::I16;
  else if (element.isInteger(8))
    info.Type = runtime::DType::I8;
  else
    return makeError("argument or result '" + info.Name +
                     "' must have elements f32, i32, i16 or i8");
  return info;
}

llvm::Error sysmol::describeInterface(func::FuncOp function,
                                      runtime::Metadata &metadata) {
  if (function.getNumArguments() == 0 || function.getNumResults() == 0)
    return makeError("a network needs at least one argument and one result");
  for (auto [i, type] : llvm::enumerate(function.getArgumentTypes())) {
    auto info = describeTensor(type, function.getArgAttrDict(i),
                               "input" + std::to_string(i));
    if (!info)
      return info.takeError();
    metadata.Inputs.push_back(*info);
  }
  for (auto [i, type] : llvm::enumerate(function.getResultTypes())) {
    auto info = describeTensor(type, function.getResultAttrDict(i),
                               "output" + std::to_string(i));
    if (!info)
      return info.takeError();
    metadata.Outputs.push_back(*info);
  }
  runtime::Status status = metadata.check();
  if (status)
    return llvm::Error::success();
  // The rules are the reader's; its advice is not ours.
  llvm::StringRef message = status.error().Message;
  message.consume_front("metadata: ");
  message.consume_back("; compile the model again");
  return makeError(message);
}

/// A real in a quantizer's range, or one that asks for its rules: both signs,
/// ties, and what has no code (HP7-HP10).
static float makeRandomReal(std::mt19937_64 &random) {
  constexpr float special[] = {0.0f,
                               -0.0f,
                               std::numeric_limits<float>::quiet_NaN(),
                               std::numeric_limits<float>::infinity(),
                               -std::numeric_limits<float>::infinity(),
                               std::numeric_limits<float>::denorm_min(),
                               std::numeric_limits<float>::max(),
                               std::numeric_limits<float>::lowest()};
  uint64_t draw = random(), number = draw >> 8;
  switch (draw % 16) {
  default:
    return float(number % 256) / 255.0f;
  case 12:
  case 13:
    return float(int64_t(number % 512) - 256) / 64.0f;
  case 14:
    return float(int64_t(number % 512) - 256) / 2.0f;
  case 15:
    return special[number % 8];
  }
}

/// A random value of an argument, codes on their levels.
static std::vector<uint8_t> makeRandomInput(RankedTensorType type,
                                            std::mt19937_64 &random) {
  std::vector<uint8_t> bytes;
  int64_t count = type.getNumElements();
  hetprec::ChannelsAttr channels = hetprec::getChannels(type);
  for (int64_t i = 0; i < count; ++i) {
    if (type.getElementType().isF32()) {
      float value = makeRandomReal(random);
      const auto *raw = reinterpret_cast<const uint8_t *>(&value);
      bytes.insert(bytes.end(), raw, raw + 4);
      continue;
    }
    uint64_t draw = random();
    // HP17: carriers have no -32768.
    if (isa_and_present<hetprec::CarrierAttr>(type.getEncoding()))
      draw = uint64_t(int64_t(draw % 65535) - 32767);
    int64_t width = type.getElementTypeBitWidth() / 8;
    if (channels) {
      int64_t inner = 1;
      for (int64_t size : type.getShape().drop_front(channels.getAxis() + 1))
        inner *= size;
      int8_t p = channels.getBits()[i / inner % channels.getBits().size()];
      bool symmetric = channels.getGrid() == hetprec::Grid::Midrise && p == 8;
      bytes.push_back(symmetric ? uint8_t(int8_t(draw % 255) - 127)
                                : uint8_t(draw % (1u << p)));
      continue;
    }
    for (int64_t b = 0; b < width; ++b)
      bytes.push_back(uint8_t(draw >> (8 * b)));
  }
  return bytes;
}

llvm::Expected<std::vector<std::vector<uint8_t>>>
sysmol::interpretOnce(func::FuncOp function,
                      ArrayRef<std::vector<uint8_t>> inputs) {
  std::vector<reference::HostTensor> tensors;
  for (auto [type, bytes] :
       llvm::zip_equal(function.getArgumentTypes(), inputs)) {
    auto tensor = reference::hostTensorFromBytes(
        cast<RankedTensorType>(type),
        ArrayRef(reinterpret_cast<const char *>(bytes.data()), bytes.size()));
    if (!tensor.ok())
      return makeError(tensor.message());
    tensors.push_back(std::move(*tensor));
  }
  auto results = reference::interpret(function, tensors);
  if (!results.ok())
    return makeError(results.message());
  std::vector<std::vector<uint8_t>> outputs;
  for (auto [type, tensor] :
       llvm::zip_equal(function.getResultTypes(), *results)) {
    auto bytes =
        reference::hostTensorToBytes(cast<RankedTensorType>(type), tensor);
    if (!bytes.ok())
      return makeError(bytes.message());
    outputs.emplace_back(bytes->begin(), bytes->end());
  }
  return outputs;
}

llvm::Error sysmol::checkGolden(const runtime::Metadata &metadata,
                                unsigned pairs) {
  constexpr uint64_t limit = uint64_t(1) << 28;
  uint64_t bytes = 0;
  for (const auto *tensors : {&metadata.Inputs, &metadata.Outputs})
    for (const runtime::TensorInfo &tensor : *tensors) {
      uint64_t size = runtime::dtypeBytes(tensor.Type);
      for (uint64_t dim : tensor.Shape)
        size = llvm::SaturatingMultiply(size, dim);
      bytes = llvm::SaturatingAdd(bytes, size);
    }
  bytes = llvm::SaturatingMultiply<uint64_t>(bytes, pairs);
  if (bytes <= limit)
    return llvm::Error::success();
  return makeError(llvm::Twine(pairs) + " golden pairs are " +
                       llvm::Twine(bytes) + " bytes, more than the " +
                       llvm::Twine(limit) +
                       " that are allowed; ask for fewer (0: none)",
                   FailureKind::Limit);
}

llvm::Expected<std::vector<GoldenPair>>
sysmol::makeGolden(func::FuncOp function, unsigned pairs, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<GoldenPair> all(pairs);
  for (GoldenPair &pair : all) {
    for (Type type : function.getArgumentTypes())
      pair.inputs.push_back(
          makeRandomInput(cast<RankedTensorType>(type), random));
    auto outputs = interpretOnce(function, pair.inputs);
    if (!outputs)
      return outputs.takeError();
    pair.outputs = std::move(*outputs);
  }
  return all;
}
