//===- Ops.h - Slow, obvious semantics of the hetprec operations -*- C++
//-*-===//
//
// What every operation means, written for the reader and not for the machine:
// one integer per element, plain loops, no packing, no MLIR. Compiled code is
// right when it agrees with this to the last integer. Rules HPn are those of
// include/sysmol/Dialect/Hetprec/IR/Spec.md.
//
// Every function checks what it is given (shapes, lengths, codes on their
// grid, finite parameters) and returns an error of one line.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_REFERENCE_OPS_H
#define SYSMOL_REFERENCE_OPS_H

#include "sysmol/Reference/Grid.h"
#include "sysmol/Reference/Result.h"
#include "sysmol/Reference/Tensor.h"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace sysmol::reference {

//===----------------------------------------------------------------------===//
// Codes
//===----------------------------------------------------------------------===//

/// An error unless `codes` has the encoding's channels along its axis, the
/// precisions obey HP1 and HP2, and every code is on its level's range.
Status checkCodes(const IntTensor &codes, const ChannelEncoding &encoding);

/// Reals to codes: HP7 to HP10. `scale` is alpha or d_a, one per tensor (HP6).
Result<IntTensor> quantize(const FloatTensor &input,
                           const ChannelEncoding &encoding, double scale);

/// Codes to reals: the value of HP3, HP4, HP5 in double, rounded once.
Result<FloatTensor> dequantizeCodes(const IntTensor &codes,
                                    const ChannelEncoding &encoding,
                                    double scale);

/// Weights [Cout, Cin/groups, ...] to codes of the mid-rise grid. `bits` has
/// one precision per *activation* channel (Cin of them); `scales` has one d, or
/// Cout of them (HP6).
Result<IntTensor> quantizeWeights(const FloatTensor &weights,
                                  std::span<const int> bits, int64_t groups,
                                  std::span<const double> scales);

/// The inverse of quantizeWeights, each value in double and rounded once.
Result<FloatTensor> dequantizeWeights(const IntTensor &weights,
                                      std::span<const int> bits, int64_t groups,
                                      std::span<const double> scales);

/// Moves channels: channel `c` of the result is channel `permutation[c]` of the
/// input. An error unless `permutation` holds every channel once.
Result<IntTensor> permuteChannels(const IntTensor &input, int64_t axis,
                                  std::span<const int64_t> permutation);
Result<FloatTensor> permuteChannels(const FloatTensor &input, int64_t axis,
                                    std::span<const int64_t> permutation);

//===----------------------------------------------------------------------===//
// Dot products
//===----------------------------------------------------------------------===//

/// Accumulators with what is known of them before they are computed.
struct Accumulators {
  IntTensor values;
  /// Every value lies in [low, high], whatever the input: the bound of HP12.
  int64_t low = 0;
  int64_t high = 0;
  /// The finest precision of the operation: the unit of HP11.
  int finest = 1;
};

/// HP12: the bound of one dot product over the channels `bits`, each with
/// `taps` taps, in units of level `finest`. An error when it exceeds 2^31 - 1.
Result<int64_t> accumulatorBound(Grid activationGrid, std::span<const int> bits,
                                 int64_t taps, int finest);

struct ConvParams {
  std::array<int64_t, 2> strides = {1, 1};    // y, x
  std::array<int64_t, 4> pads = {0, 0, 0, 0}; // top, left, bottom, right
  std::array<int64_t, 2> dilations = {1, 1};  // y, x
  int64_t groups = 1;
};

/// Convolution of codes. `input` [N, Cin, H, W] with the channel axis 1;
/// `weights` [Cout, Cin/groups, kh, kw], mid-rise codes: the one at input index
/// i of group g has the precision of activation channel g*Cin/groups + i.
/// Result [N, Cout, oh, ow] with oh = floor((H + top + bottom - (kh-1)*dy - 1)
/// / sy) + 1. Padded taps are absent (HP13). All groups count in the unit of
/// the finest precision of the whole input. Refuses what breaks HP12.
Result<Accumulators> conv2d(const IntTensor &input,
                            const ChannelEncoding &encoding,
                            const IntTensor &weights, const ConvParams &params);

/// `input` [M, K] with the channel axis 1 times `weights` [N, K] transposed:
/// [M, N]. HP11, HP12.
Result<Accumulators> matmul(const IntTensor &input,
                            const ChannelEncoding &encoding,
                            const IntTensor &weights);

struct PoolParams {
  std::array<int64_t, 2> kernel = {1, 1};     // y, x
  std::array<int64_t, 2> strides = {1, 1};    // y, x
  std::array<int64_t, 4> pads = {0, 0, 0, 0}; // top, left, bottom, right
};

/// HP25: the largest code in each window of `input` [N, C, H, W].
Result<IntTensor> maxPool2d(const IntTensor &input,
                            const ChannelEncoding &encoding,
                            const PoolParams &params);

/// HP14: sums of the codes in each window of `input` [N, C, H, W], unsigned
/// grid, one precision for all channels.
Result<Accumulators> sumPool2d(const IntTensor &input,
                               const ChannelEncoding &encoding,
                               const PoolParams &params);

//===----------------------------------------------------------------------===//
// After the dot product
//===----------------------------------------------------------------------===//

/// HP15 for one accumulator and one level.
int32_t requantizeValue(Grid grid, int bits, int32_t acc, float m, float b);

/// HP15: accumulators (or carriers) to codes of `encoding`; `m` and `b` have
/// one value per channel along the encoding's axis.
Result<IntTensor> requantize(const IntTensor &acc,
                             const ChannelEncoding &encoding,
                             std::span<const float> m,
                             std::span<const float> b);

/// The 2^p - 1 thresholds of one channel (HP16). They are 64 bits wide because
/// an unreachable one is one past a bound that may itself be 2^31 - 1.
struct Thresholds {
  /// m < 0: the code counts the thresholds at or above the accumulator.
  bool descending = false;
  std::vector<int64_t> values;
};

/// HP16: finds the thresholds of a level of at most 4 bits by search in HP15
/// itself, for accumulators in [low, high] (both within 32 bits).
Result<Thresholds> findThresholds(Grid grid, int bits, float m, float b,
                                  int64_t low, int64_t high);

/// HP16 for one accumulator.
int32_t countThresholds(const Thresholds &thresholds, int32_t acc);

/// HP16 for a tensor: `thresholds` has one entry per channel along `axis`.
Result<IntTensor>
requantizeByThresholds(const IntTensor &acc, int64_t axis,
                       std::span<const Thresholds> thresholds);

/// HP17: the greatest carrier; the least is its negative.
inline constexpr int32_t carrierMax = 32767;

/// Whether a ReLU is part of what makes a carrier (HP17).
enum class Relu { None, Fused };

/// HP17: accumulators to carriers, `m` and `b` one value per channel along
/// `axis`.
Result<IntTensor> rescaleToCarrier(const IntTensor &acc, int64_t axis,
                                   std::span<const float> m,
                                   std::span<const float> b,
                                   Relu relu = Relu::None);

/// HP17: the saturating sum of two carriers of one shape (and one delta).
Result<IntTensor> addCarriers(const IntTensor &lhs, const IntTensor &rhs,
                              Relu relu = Relu::None);

/// HP18: accumulators to reals, `m` and `b` one value per channel along `axis`.
Result<FloatTensor> dequantizeAccumulators(const IntTensor &acc, int64_t axis,
                                           std::span<const float> m,
                                           std::span<const float> b);

} // namespace sysmol::reference

#endif // SYSMOL_REFERENCE_OPS_H
