//===- HostTensor.cpp - Tensors between buffers, IR and the reference -----===//

#include "sysmol/Reference/Interpreter.h"

#include "InterpreterUtils.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"
#include "sysmol/Reference/Ops.h"

#include <cstring>
#include <limits>

using namespace mlir;
using namespace sysmol;
using namespace sysmol::reference;

using sysmol::hetprec::CarrierAttr;
using sysmol::hetprec::ChannelsAttr;

ChannelEncoding sysmol::reference::toEncoding(ChannelsAttr channels) {
  ChannelEncoding encoding;
  encoding.grid = channels.getGrid() == hetprec::Grid::Unsigned ? Grid::Unsigned
                                                                : Grid::Midrise;
  encoding.axis = channels.getAxis();
  encoding.bits.assign(channels.getBits().begin(), channels.getBits().end());
  return encoding;
}

/// An `i8` holds the codes of an unsigned tensor without a sign: 8-bit codes
/// reach 255 (HP5).
static bool isUnsignedCodes(RankedTensorType type) {
  ChannelsAttr channels = hetprec::getChannels(type);
  return channels && channels.getGrid() == hetprec::Grid::Unsigned;
}

template <typename Element, typename T>
static std::vector<T> widen(ArrayRef<char> bytes) {
  std::vector<T> values;
  values.reserve(bytes.size() / sizeof(Element));
  for (size_t at = 0; at < bytes.size(); at += sizeof(Element)) {
    Element element; // the buffer need not be aligned
    std::memcpy(&element, bytes.data() + at, sizeof(Element));
    values.push_back(element);
  }
  return values;
}

Result<HostTensor>
sysmol::reference::hostTensorFromBytes(RankedTensorType type,
                                       ArrayRef<char> bytes) {
  if (!type.hasStaticShape())
    return Error{"a tensor on the host needs a static shape"};
  std::vector<int64_t> shape = type.getShape().vec();
  Result<int64_t> count = numElements(shape);
  if (!count)
    return count.error();
  Type element = type.getElementType();
  bool isInteger = element.isSignlessInteger(8) ||
                   element.isSignlessInteger(16) ||
                   element.isSignlessInteger(32);
  if (!isInteger && !element.isF32())
    return Error{"a tensor on the host has elements of i8, i16, i32 or f32"};
  int64_t width = element.getIntOrFloatBitWidth() / 8;
  if (*count * width != static_cast<int64_t>(bytes.size()))
    return Error{"a buffer has " + std::to_string(bytes.size()) +
                 " bytes, its type needs " + std::to_string(*count * width)};
  if (!isInteger)
    return HostTensor(FloatTensor{shape, widen<float, float>(bytes)});
  if (width == 4)
    return HostTensor(IntTensor{shape, widen<int32_t, int32_t>(bytes)});
  if (width == 2)
    return HostTensor(IntTensor{shape, widen<int16_t, int32_t>(bytes)});
  if (isUnsignedCodes(type))
    return HostTensor(IntTensor{shape, widen<uint8_t, int32_t>(bytes)});
  return HostTensor(IntTensor{shape, widen<int8_t, int32_t>(bytes)});
}

template <typename Element, typename T>
static Result<std::vector<char>> narrow(const std::vector<T> &values) {
  std::vector<char> bytes(values.size() * sizeof(Element));
  for (size_t at = 0; at < values.size(); ++at) {
    Element element = static_cast<Element>(values[at]);
    if constexpr (!std::is_same_v<Element, T>)
      if (static_cast<T>(element) != values[at])
        return Error{"element " + std::to_string(values[at]) +
                     " does not fit its " +
                     std::to_string(8 * sizeof(Element)) + " bits"};
    std::memcpy(bytes.data() + at * sizeof(Element), &element, sizeof(Element));
  }
  return bytes;
}

Result<std::vector<char>>
sysmol::reference::hostTensorToBytes(RankedTensorType type,
                                     const HostTensor &tensor) {
  if (Status status = checkHostTensor(type, tensor); !status)
    return status.error();
  if (tensor.isReal())
    return narrow<float>(tensor.reals().data);
  const std::vector<int32_t> &values = tensor.ints().data;
  switch (type.getElementTypeBitWidth()) {
  case 8:
    return isUnsignedCodes(type) ? narrow<uint8_t>(values)
                                 : narrow<int8_t>(values);
  case 16:
    return narrow<int16_t>(values);
  default:
    return narrow<int32_t>(values);
  }
}

/// The codes of grouped weights: channel i of group g is encoding channel
/// g * Cin/groups + i.
static Status checkGroupedCodes(ChannelsAttr channels, const IntTensor &codes) {
  if (channels.getGrid() != hetprec::Grid::Midrise || channels.getAxis() != 1)
    return Error{"grouped codes are weights, mid-rise with channels on axis 1"};
  std::vector<int> bits(channels.getBits().begin(), channels.getBits().end());
  // Reading them as reals is what checks them; the scales play no part.
  double one = 1;
  Result<FloatTensor> reals =
      dequantizeWeights(codes, bits, channels.getGroups(), {&one, 1});
  return reals ? noError() : Status(reals.error());
}

Status sysmol::reference::checkHostTensor(RankedTensorType type,
                                          const HostTensor &tensor) {
  if (ArrayRef<int64_t>(tensor.shape()) != type.getShape())
    return Error{"a tensor's shape is not that of its type"};
  if (tensor.isReal()) {
    if (!type.getElementType().isF32())
      return Error{"a tensor of reals for a type that is not f32"};
    return checkTensor(tensor.reals());
  }
  Type element = type.getElementType();
  if (!element.isSignlessInteger(8) && !element.isSignlessInteger(16) &&
      !element.isSignlessInteger(32))
    return Error{"a tensor of integers for a type that is not i8, i16 or i32"};
  if (Status status = checkTensor(tensor.ints()); !status)
    return status;
  if (ChannelsAttr channels = hetprec::getChannels(type))
    return channels.getGroups() == 1
               ? checkCodes(tensor.ints(), toEncoding(channels))
               : checkGroupedCodes(channels, tensor.ints());
  int64_t limit = (int64_t(1) << (element.getIntOrFloatBitWidth() - 1)) - 1;
  // HP17: a carrier has no -32768.
  int64_t least =
      isa_and_present<CarrierAttr>(type.getEncoding()) ? -limit : -limit - 1;
  for (int32_t value : tensor.ints().data)
    if (value < least || value > limit)
      return Error{"element " + std::to_string(value) +
                   " does not fit its type"};
  return noError();
}
