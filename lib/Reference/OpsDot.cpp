//===- OpsDot.cpp - Convolution, matmul and sums of codes -----------------===//

#include "sysmol/Reference/Ops.h"

#include <algorithm>
#include <limits>
#include <utility>

using namespace sysmol::reference;

Result<int64_t> sysmol::reference::accumulatorBound(Grid activationGrid,
                                                    std::span<const int> bits,
                                                    int64_t taps, int finest) {
  // HP12. Checked at every step, so that the 64-bit sum cannot wrap either.
  constexpr int64_t limit = std::numeric_limits<int32_t>::max();
  int64_t bound = 0;
  for (int p : bits) {
    int64_t perTap = productCount(activationGrid, p, finest) *
                     maxLevelValue(Grid::Midrise, p) *
                     maxLevelValue(activationGrid, p);
    int64_t perChannel;
    if (__builtin_mul_overflow(perTap, taps, &perChannel) ||
        __builtin_add_overflow(bound, perChannel, &bound) || bound > limit)
      return Error{"the accumulator's bound exceeds 2^31 - 1 (HP12)"};
  }
  return bound;
}

/// Weight codes are always mid-rise; `bits(at)` is the precision of element at.
template <typename BitsOf>
static Status checkWeightCodes(const IntTensor &weights, BitsOf bitsOf) {
  if (Status status = checkTensor(weights); !status)
    return status;
  for (size_t at = 0; at < weights.data.size(); ++at) {
    int p = bitsOf(static_cast<int64_t>(at));
    CodeRange range = codeRange(Grid::Midrise, p);
    if (weights.data[at] < range.low || weights.data[at] > range.high)
      return Error{"weight code " + std::to_string(weights.data[at]) +
                   " is outside its " + std::to_string(p) + "-bit level"};
  }
  return noError();
}

/// The number of windows along one dimension, or an error.
static Result<int64_t> windows(int64_t size, int64_t padBefore,
                               int64_t padAfter, int64_t kernel,
                               int64_t dilation, int64_t stride) {
  // Generous for any network, small enough that nothing below overflows.
  constexpr int64_t limit = int64_t(1) << 24;
  if (stride < 1 || dilation < 1 || kernel < 1 || padBefore < 0 || padAfter < 0)
    return Error{"strides, dilations and kernels must be positive and pads "
                 "not negative"};
  if (size > limit || padBefore > limit || padAfter > limit || kernel > limit ||
      dilation > limit || stride > limit)
    return Error{"a window parameter exceeds 2^24"};
  int64_t room = size + padBefore + padAfter - ((kernel - 1) * dilation + 1);
  if (room < 0)
    return Error{"the window is larger than the padded input"};
  return room / stride + 1;
}

/// Of `count` windows those, [first, last), whose tap at `offset` behind the
/// window's begin is inside a line of `size`; the others' is absent.
static std::pair<int64_t, int64_t> windowsInside(int64_t count, int64_t stride,
                                                 int64_t offset, int64_t size) {
  auto atLeast = [&](int64_t x) { // ceil(x / stride), within [0, count]
    return std::clamp<int64_t>(x <= 0 ? 0 : (x - 1) / stride + 1, 0, count);
  };
  return {atLeast(-offset), atLeast(size - offset)};
}

static Status checkNchw(const IntTensor &input,
                        const ChannelEncoding &encoding) {
  if (input.rank() != 4 || encoding.axis != 1)
    return Error{"the input must be [N, C, H, W] with its channels on axis 1"};
  return checkCodes(input, encoding);
}

Result<Accumulators> sysmol::reference::conv2d(const IntTensor &input,
                                               const ChannelEncoding &encoding,
                                               const IntTensor &weights,
                                               const ConvParams &params) {
  if (Status status = checkNchw(input, encoding); !status)
    return status.error();
  if (weights.rank() != 4)
    return Error{"conv2d weights must be [Cout, Cin/groups, kh, kw]"};
  if (Status status = checkTensor(weights); !status)
    return status.error();
  const int64_t batch = input.shape[0], inputs = input.shape[1],
                height = input.shape[2], width = input.shape[3];
  const int64_t outputs = weights.shape[0], inputsPerGroup = weights.shape[1],
                kernelH = weights.shape[2], kernelW = weights.shape[3];
  const int64_t groups = params.groups;
  if (groups < 1 || inputs % groups != 0 || outputs % groups != 0)
    return Error{std::to_string(inputs) + " input and " +
                 std::to_string(outputs) +
                 " output channels do not divide into " +
                 std::to_string(groups) + " groups"};
  if (inputsPerGroup != inputs / groups)
    return Error{"weights have " + std::to_string(inputsPerGroup) +
                 " input channels per group, the input has " +
                 std::to_string(inputs / groups)};
  const int64_t outputsPerGroup = outputs / groups;
  const int64_t taps = kernelH * kernelW;
  // The precision of a weight is that of the activation channel it meets.
  auto activationChannel = [&](int64_t o, int64_t i) {
    return o / outputsPerGroup * inputsPerGroup + i;
  };
  Status weightStatus = checkWeightCodes(weights, [&](int64_t at) {
    return encoding.bits[activationChannel(at / (inputsPerGroup * taps),
                                           at / taps % inputsPerGroup)];
  });
  if (!weightStatus)
    return weightStatus.error();
  auto [strideY, strideX] = params.strides;
  auto [dilationY, dilationX] = params.dilations;
  auto [top, left, bottom, right] = params.pads;
  Result<int64_t> outH =
      windows(height, top, bottom, kernelH, dilationY, strideY);
  if (!outH)
    return outH.error();
  Result<int64_t> outW =
      windows(width, left, right, kernelW, dilationX, strideX);
  if (!outW)
    return outW.error();

  Accumulators result;
  // HP11: one unit for the operation, that of its finest level.
  result.finest = finestPrecision(encoding.bits);
  std::span<const int> bits(encoding.bits);
  for (int64_t g = 0; g < groups; ++g) { // HP12
    Result<int64_t> bound = accumulatorBound(
        encoding.grid, bits.subspan(g * inputsPerGroup, inputsPerGroup), taps,
        result.finest);
    if (!bound)
      return bound.error();
    result.high = std::max(result.high, *bound);
  }
  result.low = -result.high;

  result.values.shape = {batch, outputs, *outH, *outW};
  Result<int64_t> count = numElements(result.values.shape);
  if (!count)
    return count.error();
  result.values.data.reserve(*count);
  // Every code is read once per output: look its level value up only once.
  std::vector<int32_t> levels(input.data.size());
  for (size_t at = 0; at < levels.size(); ++at) {
    int64_t c = static_cast<int64_t>(at) / (height * width) % inputs;
    levels[at] = levelValue(encoding.grid, encoding.bits[c], input.data[at]);
  }
  // HP12 was checked: every sum fits, whatever part of it.
  if (*count == 0 || levels.empty()) {
    result.values.data.resize(*count);
    return result;
  }
  std::vector<int32_t> plane(*outH * *outW);
  for (int64_t n = 0; n < batch; ++n)
    for (int64_t o = 0; o < outputs; ++o) {
      std::fill(plane.begin(), plane.end(), 0);
      for (int64_t i = 0; i < inputsPerGroup; ++i) {
        int64_t c = activationChannel(o, i);
        int p = encoding.bits[c];
        int64_t counts = productCount(encoding.grid, p, result.finest);
        const int32_t *image = &levels[(n * inputs + c) * height * width];
        const int32_t *codes = &weights.data[(o * inputsPerGroup + i) * taps];
        for (int64_t ky = 0; ky < kernelH; ++ky) {
          int64_t offsetY = ky * dilationY - top;
          auto [firstY, lastY] =
              windowsInside(*outH, strideY, offsetY, height); // HP13
          for (int64_t kx = 0; kx < kernelW; ++kx) {
            auto weight = static_cast<int32_t>(
                counts *
                levelValue(Grid::Midrise, p, codes[ky * kernelW + kx]));
            int64_t offsetX = kx * dilationX - left;
            auto [firstX, lastX] =
                windowsInside(*outW, strideX, offsetX, width); // HP13
            for (int64_t y = firstY; y < lastY; ++y) {
              int32_t *sums = &plane[y * *outW];
              const int32_t *line = image + (y * strideY + offsetY) * width;
              for (int64_t x = firstX; x < lastX; ++x)
                sums[x] += weight * line[x * strideX + offsetX];
            }
          }
        }
      }
      result.values.data.insert(result.values.data.end(), plane.begin(),
                                plane.end());
    }
  return result;
}

Result<Accumulators> sysmol::reference::matmul(const IntTensor &input,
                                               const ChannelEncoding &encoding,
                                               const IntTensor &weights) {
  if (input.rank() != 2 || weights.rank() != 2 || encoding.axis != 1)
    return Error{"matmul needs [M, K] with its channels on axis 1 and [N, K]"};
  if (Status status = checkCodes(input, encoding); !status)
    return status.error();
  const int64_t rows = input.shape[0], depth = input.shape[1],
                columns = weights.shape[0];
  if (weights.shape[1] != depth)
    return Error{"weights have " + std::to_string(weights.shape[1]) +
                 " input channels, the input has " + std::to_string(depth)};
  Status weightStatus = checkWeightCodes(
      weights, [&](int64_t at) { return encoding.bits[at % depth]; });
  if (!weightStatus)
    return weightStatus.error();

  Accumulators result;
  result.finest = finestPrecision(encoding.bits); // HP11
  Result<int64_t> bound =
      accumulatorBound(encoding.grid, encoding.bits, 1, result.finest);
  if (!bound) // HP12
    return bound.error();
  result.high = *bound;
  result.low = -*bound;
  result.values.shape = {rows, columns};
  Result<int64_t> count = numElements(result.values.shape);
  if (!count)
    return count.error();
  result.values.data.reserve(*count);
  for (int64_t m = 0; m < rows; ++m)
    for (int64_t n = 0; n < columns; ++n) {
      int64_t sum = 0;
      for (int64_t k = 0; k < depth; ++k) {
        int p = encoding.bits[k];
        sum += productCount(encoding.grid, p, result.finest) *
               levelValue(Grid::Midrise, p, weights.data[n * depth + k]) *
               levelValue(encoding.grid, p, input.data[m * depth + k]);
      }
      result.values.data.push_back(static_cast<int32_t>(sum));
    }
  return result;
}

/// [N, C, OH, OW] of a pool over [N, C, H, W].
static Result<std::vector<int64_t>> pooledShape(const IntTensor &input,
                                                const PoolParams &params) {
  std::vector<int64_t> shape = {input.shape[0], input.shape[1]};
  // HP25: no window is empty.
  if (input.shape[2] < 1 || input.shape[3] < 1)
    return Error{"a pooled image needs a pixel"};
  for (int axis : {0, 1}) {
    Result<int64_t> size =
        windows(input.shape[2 + axis], params.pads[axis], params.pads[2 + axis],
                params.kernel[axis], 1, params.strides[axis]);
    if (!size)
      return size.error();
    shape.push_back(*size);
  }
  return shape;
}

Result<IntTensor> sysmol::reference::maxPool2d(const IntTensor &input,
                                               const ChannelEncoding &encoding,
                                               const PoolParams &params) {
  if (Status status = checkNchw(input, encoding); !status)
    return status.error();
  const int64_t batch = input.shape[0], channels = input.shape[1],
                height = input.shape[2], width = input.shape[3];
  auto [kernelH, kernelW] = params.kernel;
  auto [strideY, strideX] = params.strides;
  auto [top, left, bottom, right] = params.pads;
  if (std::max(top, bottom) >= kernelH || std::max(left, right) >= kernelW)
    return Error{"pads must be smaller than the kernel (HP25)"};
  auto shape = pooledShape(input, params);
  if (!shape)
    return shape.error();
  IntTensor result{*shape, {}};
  const int64_t outH = (*shape)[2], outW = (*shape)[3];
  Result<int64_t> count = numElements(result.shape);
  if (!count)
    return count.error();
  result.data.reserve(*count);
  for (int64_t plane = 0; plane < batch * channels; ++plane)
    for (int64_t oy = 0; oy < outH; ++oy)
      for (int64_t ox = 0; ox < outW; ++ox) {
        // HP25. Every window has a pixel: pads are smaller than it.
        int32_t largest = std::numeric_limits<int32_t>::min();
        for (int64_t y = std::max<int64_t>(0, oy * strideY - top);
             y < std::min(height, oy * strideY - top + kernelH); ++y)
          for (int64_t x = std::max<int64_t>(0, ox * strideX - left);
               x < std::min(width, ox * strideX - left + kernelW); ++x)
            largest =
                std::max(largest, input.data[(plane * height + y) * width + x]);
        result.data.push_back(largest);
      }
  return result;
}

Result<Accumulators>
sysmol::reference::sumPool2d(const IntTensor &input,
                             const ChannelEncoding &encoding,
                             const PoolParams &params) {
  if (Status status = checkNchw(input, encoding); !status)
    return status.error();
  if (encoding.grid != Grid::Unsigned)
    return Error{"pooling by sums needs the unsigned grid (HP14)"};
  const int precision = encoding.bits.front();
  for (int p : encoding.bits)
    if (p != precision)
      return Error{"the channels of a pooled tensor need one precision (HP14)"};
  const int64_t batch = input.shape[0], channels = input.shape[1],
                height = input.shape[2], width = input.shape[3];
  auto [kernelH, kernelW] = params.kernel;
  auto [strideY, strideX] = params.strides;
  auto [top, left, bottom, right] = params.pads;
  auto shape = pooledShape(input, params);
  if (!shape)
    return shape.error();

  Accumulators result;
  result.finest = precision;
  result.high = kernelH * kernelW * maxLevelValue(Grid::Unsigned, precision);
  if (result.high > std::numeric_limits<int32_t>::max()) // HP12
    return Error{"the accumulator's bound exceeds 2^31 - 1 (HP12)"};
  result.values.shape = *shape;
  const int64_t outH = (*shape)[2], outW = (*shape)[3];
  Result<int64_t> count = numElements(result.values.shape);
  if (!count)
    return count.error();
  result.values.data.reserve(*count);
  for (int64_t n = 0; n < batch; ++n)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t oy = 0; oy < outH; ++oy)
        for (int64_t ox = 0; ox < outW; ++ox) {
          int64_t sum = 0; // HP14
          for (int64_t ky = 0; ky < kernelH; ++ky)
            for (int64_t kx = 0; kx < kernelW; ++kx) {
              int64_t y = oy * strideY + ky - top;
              int64_t x = ox * strideX + kx - left;
              if (y < 0 || y >= height || x < 0 || x >= width)
                continue; // HP13
              sum += input.data[((n * channels + c) * height + y) * width + x];
            }
          result.values.data.push_back(static_cast<int32_t>(sum));
        }
  return result;
}
