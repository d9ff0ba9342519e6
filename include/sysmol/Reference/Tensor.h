//===- Tensor.h - Dense host tensors of the reference -----------*- C++ -*-===//

#ifndef SYSMOL_REFERENCE_TENSOR_H
#define SYSMOL_REFERENCE_TENSOR_H

#include "sysmol/Reference/Grid.h"
#include "sysmol/Reference/Result.h"

#include <cstdint>
#include <span>
#include <vector>

namespace sysmol::reference {

/// The number of elements of a shape; an error when a dimension is negative or
/// the product does not fit 48 bits.
Result<int64_t> numElements(std::span<const int64_t> shape);

/// A dense tensor in row-major order (the last dimension is contiguous).
template <typename T> struct Tensor {
  std::vector<int64_t> shape;
  std::vector<T> data;

  int64_t rank() const { return static_cast<int64_t>(shape.size()); }
};

/// Codes, accumulators and carriers are all kept as 32-bit integers, one per
/// element: nothing here knows how the compiler packs them.
using IntTensor = Tensor<int32_t>;
using FloatTensor = Tensor<float>;

/// Whether `data` has as many elements as `shape` says.
template <typename T> Status checkTensor(const Tensor<T> &tensor) {
  Result<int64_t> count = numElements(tensor.shape);
  if (!count)
    return count.error();
  if (*count != static_cast<int64_t>(tensor.data.size()))
    return Error{"tensor has " + std::to_string(tensor.data.size()) +
                 " elements, its shape has " + std::to_string(*count)};
  return noError();
}

/// How the codes of an activation tensor are to be read: the grid, the channel
/// axis, and the precision of every channel along it.
struct ChannelEncoding {
  Grid grid = Grid::Unsigned;
  int64_t axis = 1;
  std::vector<int> bits;
};

/// Dimensions before, at and after `axis`: element (o, c, i) is at
/// `(o * channels + c) * inner + i`.
struct ChannelView {
  int64_t outer = 1;
  int64_t channels = 1;
  int64_t inner = 1;
};

/// Splits `shape` at `axis`; an error when the axis is not one of the shape's.
Result<ChannelView> channelView(std::span<const int64_t> shape, int64_t axis);

} // namespace sysmol::reference

#endif // SYSMOL_REFERENCE_TENSOR_H
