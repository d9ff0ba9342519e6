//===- Tensor.cpp - Dense host tensors of the reference -------------------===//

#include "sysmol/Reference/Tensor.h"

using namespace sysmol::reference;

Result<int64_t> sysmol::reference::numElements(std::span<const int64_t> shape) {
  int64_t count = 1;
  for (int64_t dim : shape) {
    if (dim < 0)
      return Error{"a dimension of " + std::to_string(dim) + " is negative"};
    if (__builtin_mul_overflow(count, dim, &count) || count >= int64_t(1) << 48)
      return Error{"a shape has too many elements"};
  }
  return count;
}

Result<ChannelView>
sysmol::reference::channelView(std::span<const int64_t> shape, int64_t axis) {
  if (axis < 0 || axis >= static_cast<int64_t>(shape.size()))
    return Error{"channel axis " + std::to_string(axis) +
                 " is outside a tensor of rank " +
                 std::to_string(shape.size())};
  ChannelView view;
  for (size_t i = 0; i < shape.size(); ++i) {
    int64_t position = static_cast<int64_t>(i);
    if (position < axis)
      view.outer *= shape[i];
    else if (position == axis)
      view.channels = shape[i];
    else
      view.inner *= shape[i];
  }
  return view;
}
