//===- OpsEpilogue.cpp - What follows a dot product -----------------------===//

#include "sysmol/Reference/Ops.h"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace sysmol::reference;

/// The float rule that HP15 and HP18 share: two operations, two roundings.
static float affine(int32_t acc, float m, float b) {
  float value = static_cast<float>(acc);
  float product = value * m;
  return product + b;
}

/// `m` is finite and not zero, `b` is finite (HP15).
static Status checkAffine(float m, float b) {
  if (!std::isfinite(m) || m == 0)
    return Error{"a multiplier of " + std::to_string(m) +
                 " is not finite and non-zero (HP15)"};
  if (!std::isfinite(b))
    return Error{"an offset of " + std::to_string(b) + " is not finite (HP15)"};
  return noError();
}

static Status checkAffines(int64_t channels, std::span<const float> m,
                           std::span<const float> b) {
  if (static_cast<int64_t>(m.size()) != channels ||
      static_cast<int64_t>(b.size()) != channels)
    return Error{"tensor has " + std::to_string(channels) + " channels, " +
                 std::to_string(m.size()) + " multipliers and " +
                 std::to_string(b.size()) + " offsets"};
  for (int64_t c = 0; c < channels; ++c)
    if (Status status = checkAffine(m[c], b[c]); !status)
      return status;
  return noError();
}

int32_t sysmol::reference::requantizeValue(Grid grid, int bits, int32_t acc,
                                           float m, float b) {
  return roundToCode(grid, bits, affine(acc, m, b)); // HP15
}

Result<IntTensor> sysmol::reference::requantize(const IntTensor &acc,
                                                const ChannelEncoding &encoding,
                                                std::span<const float> m,
                                                std::span<const float> b) {
  if (Status status = checkTensor(acc); !status)
    return status.error();
  if (Status status = checkPrecisions(encoding.bits); !status)
    return status.error();
  Result<ChannelView> view = channelView(acc.shape, encoding.axis);
  if (!view)
    return view.error();
  if (view->channels != static_cast<int64_t>(encoding.bits.size()))
    return Error{"tensor has " + std::to_string(view->channels) +
                 " channels, its encoding has " +
                 std::to_string(encoding.bits.size())};
  if (Status status = checkAffines(view->channels, m, b); !status)
    return status.error();
  IntTensor codes{acc.shape, {}};
  codes.data.resize(acc.data.size());
  for (size_t at = 0; at < acc.data.size(); ++at) {
    int64_t c = (static_cast<int64_t>(at) / view->inner) % view->channels;
    codes.data[at] = requantizeValue(encoding.grid, encoding.bits[c],
                                     acc.data[at], m[c], b[c]);
  }
  return codes;
}

Result<Thresholds> sysmol::reference::findThresholds(Grid grid, int bits,
                                                     float m, float b,
                                                     int64_t low,
                                                     int64_t high) {
  if (!isPrecision(bits) || bits > 4)
    return Error{"thresholds exist for 1, 2 and 4 bits only (HP16)"};
  if (Status status = checkAffine(m, b); !status)
    return status.error();
  if (low > high || low < std::numeric_limits<int32_t>::min() ||
      high > std::numeric_limits<int32_t>::max())
    return Error{"the accumulator's bounds are not a range within 32 bits"};

  // HP16. The rule never falls as acc goes up (m > 0) or down (m < 0): each of
  // its operations is monotone. So codes of at least j are a half line, and
  // its end is found by bisection in the rule itself.
  Thresholds thresholds;
  thresholds.descending = m < 0;
  for (int32_t j = 1; j < 1 << bits; ++j) {
    auto reached = [&](int64_t acc) {
      return requantizeValue(grid, bits, static_cast<int32_t>(acc), m, b) >= j;
    };
    if (!thresholds.descending) {
      // The first acc in [low, high] that reaches j; high + 1 when none does.
      int64_t first = low, last = high + 1;
      while (first < last) {
        int64_t middle = first + (last - first) / 2;
        if (reached(middle))
          last = middle;
        else
          first = middle + 1;
      }
      thresholds.values.push_back(first);
    } else {
      // The last acc in [low, high] that reaches j; low - 1 when none does.
      int64_t first = low - 1, last = high;
      while (first < last) {
        int64_t middle = last - (last - first) / 2;
        if (reached(middle))
          first = middle;
        else
          last = middle - 1;
      }
      thresholds.values.push_back(first);
    }
  }
  return thresholds;
}

int32_t sysmol::reference::countThresholds(const Thresholds &thresholds,
                                           int32_t acc) {
  int32_t code = 0; // HP16
  for (int64_t t : thresholds.values)
    if (thresholds.descending ? acc <= t : acc >= t)
      ++code;
  return code;
}

Result<IntTensor> sysmol::reference::requantizeByThresholds(
    const IntTensor &acc, int64_t axis,
    std::span<const Thresholds> thresholds) {
  if (Status status = checkTensor(acc); !status)
    return status.error();
  Result<ChannelView> view = channelView(acc.shape, axis);
  if (!view)
    return view.error();
  if (view->channels != static_cast<int64_t>(thresholds.size()))
    return Error{"tensor has " + std::to_string(view->channels) +
                 " channels, " + std::to_string(thresholds.size()) +
                 " have thresholds"};
  IntTensor codes{acc.shape, {}};
  codes.data.resize(acc.data.size());
  for (size_t at = 0; at < acc.data.size(); ++at) {
    int64_t c = (static_cast<int64_t>(at) / view->inner) % view->channels;
    codes.data[at] = countThresholds(thresholds[c], acc.data[at]);
  }
  return codes;
}

Result<IntTensor> sysmol::reference::rescaleToCarrier(const IntTensor &acc,
                                                      int64_t axis,
                                                      std::span<const float> m,
                                                      std::span<const float> b,
                                                      Relu relu) {
  if (Status status = checkTensor(acc); !status)
    return status.error();
  Result<ChannelView> view = channelView(acc.shape, axis);
  if (!view)
    return view.error();
  if (Status status = checkAffines(view->channels, m, b); !status)
    return status.error();
  const float lowest = relu == Relu::Fused ? 0.0f : -carrierMax;
  IntTensor carriers{acc.shape, {}};
  carriers.data.resize(acc.data.size());
  for (size_t at = 0; at < acc.data.size(); ++at) {
    int64_t c = (static_cast<int64_t>(at) / view->inner) % view->channels;
    // HP17. Clamped before it is rounded, which is the same since the ends are
    // integers, so that an infinity needs no case of its own.
    float clamped = std::clamp(affine(acc.data[at], m[c], b[c]), lowest,
                               static_cast<float>(carrierMax));
    carriers.data[at] = static_cast<int32_t>(roundHalfEven(clamped));
  }
  return carriers;
}

Result<IntTensor> sysmol::reference::addCarriers(const IntTensor &lhs,
                                                 const IntTensor &rhs,
                                                 Relu relu) {
  if (Status status = checkTensor(lhs); !status)
    return status.error();
  if (Status status = checkTensor(rhs); !status)
    return status.error();
  if (lhs.shape != rhs.shape)
    return Error{"the carriers of a sum need one shape"};
  const int32_t lowest = relu == Relu::Fused ? 0 : -carrierMax;
  IntTensor sum{lhs.shape, {}};
  sum.data.resize(lhs.data.size());
  for (size_t at = 0; at < lhs.data.size(); ++at) {
    for (int32_t k : {lhs.data[at], rhs.data[at]})
      if (k < -carrierMax || k > carrierMax)
        return Error{"carrier " + std::to_string(k) +
                     " is outside [-32767, 32767] (HP17)"};
    sum.data[at] = std::clamp(lhs.data[at] + rhs.data[at], lowest,
                              carrierMax); // HP17
  }
  return sum;
}

Result<FloatTensor>
sysmol::reference::dequantizeAccumulators(const IntTensor &acc, int64_t axis,
                                          std::span<const float> m,
                                          std::span<const float> b) {
  if (Status status = checkTensor(acc); !status)
    return status.error();
  Result<ChannelView> view = channelView(acc.shape, axis);
  if (!view)
    return view.error();
  if (Status status = checkAffines(view->channels, m, b); !status)
    return status.error();
  FloatTensor reals{acc.shape, {}};
  reals.data.resize(acc.data.size());
  for (size_t at = 0; at < acc.data.size(); ++at) {
    int64_t c = (static_cast<int64_t>(at) / view->inner) % view->channels;
    reals.data[at] = affine(acc.data[at], m[c], b[c]); // HP18
  }
  return reals;
}
