//===- Quantizers.cpp - QONNX Quant nodes as grids ------------------------===//

#include "Quantizers.h"

#include "sysmol/Reference/Folding.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallSet.h"

#include <array>
#include <cmath>
#include <limits>

using namespace sysmol;
using namespace sysmol::onnx_import;
using llvm::ArrayRef;
using llvm::Expected;
using llvm::SmallVector;
using llvm::StringRef;
using llvm::Twine;
using ::onnx::TensorProto;
using reference::Grid;

//===----------------------------------------------------------------------===//
// The node
//===----------------------------------------------------------------------===//

static Constant getScalar(double value) {
  return {{}, TensorProto::FLOAT, {value}};
}

static bool isFloat(const Constant &constant) {
  return constant.type == TensorProto::FLOAT;
}

/// HP6 for every step.
static llvm::Error checkSteps(const Constant &steps) {
  if (!isFloat(steps))
    return fail("scale must be a float tensor");
  for (double step : steps.values)
    if (!(step > 0))
      return fail("HP6: a scale is " + number(step) +
                  "; scales must be finite and positive");
  return llvm::Error::success();
}

/// BipolarQuant(x, scale) is +-scale, the mid-rise grid of one bit: its step is
/// 2 * scale.
static Expected<Quantizer> readBipolar(const Graph &graph,
                                       const NodeProto &node) {
  Expected<Attributes> attributes = Attributes::get(node, {});
  if (!attributes)
    return attributes.takeError();
  Expected<Constant> steps = graph.getConstant(node.input(1));
  if (!steps)
    return steps.takeError();
  if (llvm::Error error = checkSteps(*steps))
    return error;
  for (double &step : steps->values)
    step *= 2;
  Quantizer quantizer;
  quantizer.bits = getScalar(1);
  quantizer.zeroPoints = getScalar(0.5);
  quantizer.steps = std::move(*steps);
  return quantizer;
}

Expected<Quantizer> Quantizer::read(const Graph &graph, const NodeProto &node) {
  if (node.op_type() == "BipolarQuant")
    return readBipolar(graph, node);
  Expected<Attributes> attributes =
      Attributes::get(node, {"signed", "narrow", "rounding_mode"});
  if (!attributes)
    return attributes.takeError();
  Expected<int64_t> isSigned = attributes->getInt("signed", 1);
  if (!isSigned)
    return isSigned.takeError();
  Expected<int64_t> narrow = attributes->getInt("narrow", 0);
  if (!narrow)
    return narrow.takeError();
  Expected<std::string> rounding =
      attributes->getString("rounding_mode", "ROUND");
  if (!rounding)
    return rounding.takeError();
  bool roundsUp = StringRef(*rounding).upper() == "HALF_UP";
  if (!roundsUp && StringRef(*rounding).upper() != "ROUND")
    return fail("rounding_mode is '" + *rounding +
                "'; only ROUND (half to even) is allowed, and HALF_UP on the "
                "mid-rise grid");
  Quantizer quantizer;
  quantizer.isSigned = *isSigned != 0;
  Constant *parts[] = {&quantizer.steps, &quantizer.zeroPoints,
                       &quantizer.bits};
  for (auto [i, part] : llvm::enumerate(parts)) {
    Expected<Constant> constant = graph.getConstant(node.input(int(i) + 1));
    if (!constant)
      return constant.takeError();
    *part = std::move(*constant);
  }
  if (llvm::Error error = checkSteps(quantizer.steps))
    return error;
  ArrayRef<double> bits = quantizer.bits.values;
  bool hasZero = llvm::all_of(quantizer.zeroPoints.values,
                              [](double zero) { return zero == 0; });
  // HP21: how ties go on the mid-rise grid alone. (Whether a zero_point that is
  // not 0 is that grid's, comes later.)
  if (roundsUp && hasZero)
    return fail("HP21: rounding_mode = HALF_UP is for the mid-rise grid "
                "(zero_point = 2^(bit_width - 1) - 0.5)");
  if (!quantizer.isSigned && *narrow)
    return fail("HP21: narrow = 1 with signed = 0 has no code 2^bit_width - 1; "
                "set narrow = 0");
  // HP21: the carrier.
  if (bits.size() == 1 && bits[0] == 16) {
    if (!quantizer.isSigned || !*narrow || !hasZero ||
        quantizer.steps.values.size() != 1)
      return fail("HP21: a 16-bit carrier needs signed = 1, narrow = 1, "
                  "zero_point = 0 and one scale");
    quantizer.isCarrier = true;
    return quantizer;
  }
  // HP1, HP2.
  llvm::SmallSet<int, 4> levels;
  for (auto [i, p] : llvm::enumerate(bits)) {
    if (p != 1 && p != 2 && p != 4 && p != 8)
      return fail("HP1: bit_width of channel " + Twine(i) + " is " + number(p) +
                  "; allowed are 1, 2, 4, 8 (and 16 for a whole carrier)");
    levels.insert(int(p));
  }
  if (levels.size() > 3)
    return fail("HP2: four different widths (1, 2, 4, 8) in one tensor; at "
                "most three are allowed; raise one of them to the next");
  // HP21: the symmetric grid.
  bool is8Bit = levels.size() == 1 && levels.contains(8);
  if (quantizer.isSigned && (!is8Bit || !*narrow || !hasZero))
    return fail("HP21: signed = 1 is the symmetric grid and needs narrow = 1, "
                "bit_width = 8 and zero_point = 0; the mid-rise grid has "
                "signed = 0 and zero_point = 2^(bit_width - 1) - 0.5");
  return quantizer;
}

//===----------------------------------------------------------------------===//
// One value per channel
//===----------------------------------------------------------------------===//

namespace {
/// A constant broadcast over the first two dimensions of a tensor.
class Spread {
public:
  /// Right-aligned as in ONNX; only dimensions 0 (where `perRow`) and 1 may be
  /// more than one value.
  static Expected<Spread> get(const Constant &constant, StringRef name,
                              ArrayRef<int64_t> shape, bool perRow) {
    ArrayRef<int64_t> own = constant.shape;
    Spread spread(constant.values);
    if (constant.values.size() == 1)
      return spread;
    SmallVector<int64_t> full(shape.size(), 1);
    bool fits = own.size() <= shape.size();
    if (fits)
      llvm::copy(own, full.end() - own.size());
    for (size_t dim = 0; fits && dim < shape.size(); ++dim) {
      bool mayVary = dim == 1 || (dim == 0 && perRow);
      fits = full[dim] == 1 || (mayVary && full[dim] == shape[dim]);
    }
    if (!fits) {
      SmallVector<int64_t> wanted(shape.size(), 1);
      wanted[1] = shape[1];
      std::string alternatives = toString(wanted);
      if (perRow) {
        wanted[0] = shape[0];
        alternatives += " or " + toString(wanted);
      }
      return fail("HP21: " + name + " has shape " + toString(own) +
                  " for a tensor of shape " + toString(shape) +
                  "; allowed are a scalar or " + alternatives);
    }
    spread.strides = {full[0] == 1 ? 0 : full[1], full[1] == 1 ? 0 : 1};
    return spread;
  }

  double at(int64_t row, int64_t channel) const {
    return values[row * strides[0] + channel * strides[1]];
  }

private:
  explicit Spread(ArrayRef<double> values) : values(values) {}

  ArrayRef<double> values;
  std::array<int64_t, 2> strides = {0, 0};
};

/// The three parameters of a quantizer, spread over a tensor.
struct Parameters {
  Spread bits, zeroPoints, steps;

  static Expected<Parameters> get(const Quantizer &quantizer,
                                  ArrayRef<int64_t> shape, bool perRow) {
    Expected<Spread> bits =
        Spread::get(quantizer.bits, "bit_width", shape, perRow);
    if (!bits)
      return bits.takeError();
    Expected<Spread> zeroPoints =
        Spread::get(quantizer.zeroPoints, "zero_point", shape, perRow);
    if (!zeroPoints)
      return zeroPoints.takeError();
    Expected<Spread> steps =
        Spread::get(quantizer.steps, "scale", shape, perRow);
    if (!steps)
      return steps.takeError();
    return Parameters{*bits, *zeroPoints, *steps};
  }
};

/// Precision and step of one channel.
struct Channel {
  int8_t bits;
  double step;
};
} // namespace

/// HP21: the grid that zero point and precision of a channel belong to.
static Expected<Grid> getGrid(bool isSigned, int bits, double zeroPoint) {
  if (isSigned)
    return Grid::Midrise; // the symmetric grid, checked when it was read
  double midrise = bits == 8 ? 128 : std::ldexp(1.0, bits - 1) - 0.5;
  if (zeroPoint == midrise)
    return Grid::Midrise;
  if (zeroPoint == 0)
    return Grid::Unsigned;
  return fail("HP21: zero_point " + number(zeroPoint) +
              " belongs to no grid of " + Twine(bits) +
              " bits; allowed are 0 (unsigned) and " + number(midrise) +
              " (mid-rise)");
}

/// HP22: the scale by the finest level, and every other step against it.
static Expected<double> getScale(Grid grid, ArrayRef<Channel> channels) {
  int8_t finest = 0;
  double step = 0;
  for (Channel channel : channels) {
    if (channel.bits > finest) {
      finest = channel.bits;
      step = channel.step;
    } else if (channel.bits == finest) {
      step = std::max(step, channel.step);
    }
  }
  double scale = grid == Grid::Unsigned ? step * ((1 << finest) - 1)
                                        : step * std::ldexp(1.0, finest - 2);
  for (auto [i, channel] : llvm::enumerate(channels)) {
    float expected =
        static_cast<float>(reference::codeStep(grid, channel.bits, scale));
    double ulp = double(std::nextafter(
                     expected, std::numeric_limits<float>::infinity())) -
                 expected;
    if (!(std::abs(expected - channel.step) <= 2 * ulp))
      return fail("HP22: the scale of channel " + Twine(i) + " is " +
                  number(channel.step) + ", the finest level's scale makes " +
                  number(expected) + "; one tensor has one grid");
  }
  return scale;
}

//===----------------------------------------------------------------------===//
// Activations
//===----------------------------------------------------------------------===//

Expected<ActivationGrid> ActivationGrid::get(const Quantizer &quantizer,
                                             ArrayRef<int64_t> shape) {
  Expected<Parameters> parameters =
      Parameters::get(quantizer, shape, /*perRow=*/false);
  if (!parameters)
    return parameters.takeError();
  ActivationGrid result;
  SmallVector<Channel> channels;
  for (int64_t c = 0; c < shape[1]; ++c) {
    auto bits = static_cast<int8_t>(parameters->bits.at(0, c));
    Expected<Grid> grid =
        getGrid(quantizer.isSigned, bits, parameters->zeroPoints.at(0, c));
    if (!grid)
      return grid.takeError();
    if (c && *grid != result.grid)
      return fail("HP21: the zero_point of channel " + Twine(c) +
                  " is that of another grid than channel 0's");
    result.grid = *grid;
    result.bits.push_back(bits);
    channels.push_back({bits, parameters->steps.at(0, c)});
  }
  Expected<double> scale = getScale(result.grid, channels);
  if (!scale)
    return scale.takeError();
  result.scale = *scale;
  return result;
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

/// HP23: the code of a weight; refuses what is not on the grid.
static Expected<int8_t> getCode(int bits, double scale, float multiplier,
                                double weight) {
  int32_t code = reference::quantizeValue(Grid::Midrise, bits, multiplier,
                                          static_cast<float>(weight));
  double value = reference::levelReal(Grid::Midrise, bits, code, scale);
  double step = reference::codeStep(Grid::Midrise, bits, scale);
  if (!(std::abs(value - weight) <= 1e-3 * step))
    return fail("HP23: weight " + number(weight) +
                " is not on its grid, the nearest value is " + number(value) +
                "; store weights snapped to the grid");
  return static_cast<int8_t>(code);
}

Expected<WeightGrid> WeightGrid::get(const Quantizer &quantizer,
                                     const Constant &weight, int64_t groups,
                                     bool transposed) {
  if (quantizer.isCarrier)
    return fail("weights cannot be 16-bit carriers");
  if (!isFloat(weight))
    return fail("weights must be a float tensor");
  ArrayRef<int64_t> shape = weight.shape;
  Expected<Parameters> parameters =
      Parameters::get(quantizer, shape, /*perRow=*/true);
  if (!parameters)
    return parameters.takeError();
  int64_t rows = shape[transposed ? 1 : 0];
  int64_t perGroup = shape[transposed ? 0 : 1];
  if (groups < 1 || groups > rows || rows % groups != 0)
    return fail("group = " + Twine(groups) + " does not divide the " +
                Twine(rows) + " output channels");
  auto at = [&](const Spread &spread, int64_t row, int64_t channel) {
    return transposed ? spread.at(channel, row) : spread.at(row, channel);
  };

  WeightGrid result;
  result.shape.assign(shape.begin(), shape.end());
  result.shape[0] = rows;
  result.shape[1] = perGroup;
  int64_t taps = 1;
  for (int64_t size : shape.drop_front(2))
    taps *= size;
  result.codes.reserve(weight.values.size());
  SmallVector<Channel> channels(perGroup);
  SmallVector<float> multipliers(perGroup);
  for (int64_t row = 0; row < rows; ++row) {
    int64_t first = row / (rows / groups) * perGroup;
    for (int64_t c = 0; c < perGroup; ++c) {
      auto bits = static_cast<int8_t>(at(parameters->bits, row, c));
      Expected<Grid> grid =
          getGrid(quantizer.isSigned, bits, at(parameters->zeroPoints, row, c));
      if (!grid)
        return grid.takeError();
      if (*grid != Grid::Midrise)
        return fail("HP3: weights need the mid-rise grid: zero_point = "
                    "2^(bit_width - 1) - 0.5, or the symmetric one of 8 bits: "
                    "signed = 1, narrow = 1");
      if (first + c == int64_t(result.bits.size()))
        result.bits.push_back(bits);
      else if (result.bits[first + c] != bits)
        return fail("HP11: input channel " + Twine(first + c) + " has " +
                    Twine(int(result.bits[first + c])) +
                    " bits in one row and " + Twine(int(bits)) + " in row " +
                    Twine(row) + "; precision belongs to the input channel");
      channels[c] = {bits, at(parameters->steps, row, c)};
    }
    Expected<double> scale = getScale(Grid::Midrise, channels);
    if (!scale)
      return scale.takeError();
    result.scale.push_back(*scale);
    for (int64_t c = 0; c < perGroup; ++c) {
      auto multiplier = reference::quantizeMultiplier(Grid::Midrise,
                                                      channels[c].bits, *scale);
      if (!multiplier)
        return fail(multiplier.message());
      multipliers[c] = *multiplier;
    }
    for (int64_t i = 0; i < perGroup * taps; ++i) {
      int64_t c = i / taps;
      double value = transposed ? weight.values[c * rows + row]
                                : weight.values[row * perGroup * taps + i];
      Expected<int8_t> code =
          getCode(channels[c].bits, *scale, multipliers[c], value);
      if (!code)
        return code.takeError();
      result.codes.push_back(*code);
    }
  }
  if (llvm::all_equal(result.scale))
    result.scale.truncate(1);
  return result;
}
