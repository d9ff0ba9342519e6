//===- OpsCodes.cpp - Reals to codes and back, channel moves --------------===//

#include "sysmol/Reference/Ops.h"

using namespace sysmol::reference;

static Result<ChannelView> viewOf(std::span<const int64_t> shape,
                                  const ChannelEncoding &encoding) {
  if (Status status = checkPrecisions(encoding.bits); !status)
    return status.error();
  Result<ChannelView> view = channelView(shape, encoding.axis);
  if (!view)
    return view;
  if (view->channels != static_cast<int64_t>(encoding.bits.size()))
    return Error{"tensor has " + std::to_string(view->channels) +
                 " channels, its encoding has " +
                 std::to_string(encoding.bits.size())};
  return view;
}

Status sysmol::reference::checkCodes(const IntTensor &codes,
                                     const ChannelEncoding &encoding) {
  if (Status status = checkTensor(codes); !status)
    return status;
  Result<ChannelView> view = viewOf(codes.shape, encoding);
  if (!view)
    return view.error();
  for (size_t at = 0; at < codes.data.size(); ++at) {
    int64_t channel = (static_cast<int64_t>(at) / view->inner) % view->channels;
    int bits = encoding.bits[channel];
    CodeRange range = codeRange(encoding.grid, bits);
    if (codes.data[at] < range.low || codes.data[at] > range.high)
      return Error{"code " + std::to_string(codes.data[at]) + " of channel " +
                   std::to_string(channel) + " is outside its " +
                   std::to_string(bits) + "-bit level"};
  }
  return noError();
}

Result<IntTensor> sysmol::reference::quantize(const FloatTensor &input,
                                              const ChannelEncoding &encoding,
                                              double scale) {
  if (Status status = checkTensor(input); !status)
    return status.error();
  Result<ChannelView> view = viewOf(input.shape, encoding);
  if (!view)
    return view.error();
  std::vector<float> multipliers;
  for (int bits : encoding.bits) {
    Result<float> m = quantizeMultiplier(encoding.grid, bits, scale);
    if (!m)
      return m.error();
    multipliers.push_back(*m);
  }
  IntTensor codes{input.shape, {}};
  codes.data.resize(input.data.size());
  for (size_t at = 0; at < input.data.size(); ++at) {
    int64_t channel = (static_cast<int64_t>(at) / view->inner) % view->channels;
    codes.data[at] = quantizeValue(encoding.grid, encoding.bits[channel],
                                   multipliers[channel], input.data[at]);
  }
  return codes;
}

Result<FloatTensor> sysmol::reference::dequantizeCodes(
    const IntTensor &codes, const ChannelEncoding &encoding, double scale) {
  if (Status status = checkCodes(codes, encoding); !status)
    return status.error();
  if (Status status = checkScale(scale); !status)
    return status.error();
  Result<ChannelView> view = viewOf(codes.shape, encoding);
  if (!view)
    return view.error();
  FloatTensor reals{codes.shape, {}};
  reals.data.resize(codes.data.size());
  for (size_t at = 0; at < codes.data.size(); ++at) {
    int64_t channel = (static_cast<int64_t>(at) / view->inner) % view->channels;
    reals.data[at] = static_cast<float>(levelReal(
        encoding.grid, encoding.bits[channel], codes.data[at], scale));
  }
  return reals;
}

namespace {
/// Where a weight stands: which output channel, which activation channel.
struct WeightView {
  int64_t outputs = 0;
  int64_t inputsPerGroup = 0;
  int64_t outputsPerGroup = 0;
  int64_t taps = 1;

  int64_t outputOf(int64_t at) const { return at / (inputsPerGroup * taps); }
  int64_t activationChannelOf(int64_t at) const {
    int64_t group = outputOf(at) / outputsPerGroup;
    return group * inputsPerGroup + (at / taps) % inputsPerGroup;
  }
};
} // namespace

static Result<WeightView> weightView(std::span<const int64_t> shape,
                                     std::span<const int> bits, int64_t groups,
                                     std::span<const double> scales) {
  if (Status status = checkPrecisions(bits); !status)
    return status.error();
  if (shape.size() < 2)
    return Error{"weights need an output and an input dimension"};
  WeightView view;
  view.outputs = shape[0];
  view.inputsPerGroup = shape[1];
  for (int64_t dim : shape.subspan(2))
    view.taps *= dim;
  if (groups < 1 || view.outputs % groups != 0)
    return Error{std::to_string(view.outputs) +
                 " output channels do not divide into " +
                 std::to_string(groups) + " groups"};
  view.outputsPerGroup = view.outputs / groups;
  if (view.inputsPerGroup * groups != static_cast<int64_t>(bits.size()))
    return Error{"weights have " +
                 std::to_string(view.inputsPerGroup * groups) +
                 " input channels, " + std::to_string(bits.size()) +
                 " have a precision"};
  // HP6: one d, or one per output channel.
  if (scales.size() != 1 && static_cast<int64_t>(scales.size()) != view.outputs)
    return Error{"weights need 1 or " + std::to_string(view.outputs) +
                 " scales, not " + std::to_string(scales.size())};
  for (double scale : scales)
    if (Status status = checkScale(scale); !status)
      return status.error();
  return view;
}

Result<IntTensor>
sysmol::reference::quantizeWeights(const FloatTensor &weights,
                                   std::span<const int> bits, int64_t groups,
                                   std::span<const double> scales) {
  if (Status status = checkTensor(weights); !status)
    return status.error();
  Result<WeightView> view = weightView(weights.shape, bits, groups, scales);
  if (!view)
    return view.error();
  IntTensor codes{weights.shape, {}};
  codes.data.resize(weights.data.size());
  for (size_t at = 0; at < weights.data.size(); ++at) {
    int p = bits[view->activationChannelOf(at)];
    double d = scales[scales.size() == 1 ? 0 : view->outputOf(at)];
    Result<float> m = quantizeMultiplier(Grid::Midrise, p, d);
    if (!m)
      return m.error();
    codes.data[at] = quantizeValue(Grid::Midrise, p, *m, weights.data[at]);
  }
  return codes;
}

Result<FloatTensor>
sysmol::reference::dequantizeWeights(const IntTensor &weights,
                                     std::span<const int> bits, int64_t groups,
                                     std::span<const double> scales) {
  if (Status status = checkTensor(weights); !status)
    return status.error();
  Result<WeightView> view = weightView(weights.shape, bits, groups, scales);
  if (!view)
    return view.error();
  FloatTensor reals{weights.shape, {}};
  reals.data.resize(weights.data.size());
  for (size_t at = 0; at < weights.data.size(); ++at) {
    int p = bits[view->activationChannelOf(at)];
    CodeRange range = codeRange(Grid::Midrise, p);
    if (weights.data[at] < range.low || weights.data[at] > range.high)
      return Error{"weight code " + std::to_string(weights.data[at]) +
                   " is outside its " + std::to_string(p) + "-bit level"};
    double d = scales[scales.size() == 1 ? 0 : view->outputOf(at)];
    reals.data[at] =
        static_cast<float>(levelReal(Grid::Midrise, p, weights.data[at], d));
  }
  return reals;
}

template <typename T>
static Result<Tensor<T>> permute(const Tensor<T> &input, int64_t axis,
                                 std::span<const int64_t> permutation) {
  if (Status status = checkTensor(input); !status)
    return status.error();
  Result<ChannelView> view = channelView(input.shape, axis);
  if (!view)
    return view.error();
  if (view->channels != static_cast<int64_t>(permutation.size()))
    return Error{"a permutation of " + std::to_string(permutation.size()) +
                 " channels for a tensor of " + std::to_string(view->channels)};
  std::vector<bool> seen(permutation.size(), false);
  for (int64_t source : permutation) {
    if (source < 0 || source >= view->channels || seen[source])
      return Error{"the permutation does not hold every channel once"};
    seen[source] = true;
  }
  Tensor<T> output{input.shape, {}};
  output.data.resize(input.data.size());
  for (int64_t o = 0; o < view->outer; ++o)
    for (int64_t c = 0; c < view->channels; ++c)
      for (int64_t i = 0; i < view->inner; ++i)
        output.data[(o * view->channels + c) * view->inner + i] =
            input.data[(o * view->channels + permutation[c]) * view->inner + i];
  return output;
}

Result<IntTensor>
sysmol::reference::permuteChannels(const IntTensor &input, int64_t axis,
                                   std::span<const int64_t> permutation) {
  return permute(input, axis, permutation);
}

Result<FloatTensor>
sysmol::reference::permuteChannels(const FloatTensor &input, int64_t axis,
                                   std::span<const int64_t> permutation) {
  return permute(input, axis, permutation);
}
