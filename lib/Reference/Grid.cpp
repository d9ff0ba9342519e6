//===- Grid.cpp - Precisions, grids and level values ----------------------===//

#include "sysmol/Reference/Grid.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

// The law says one rounding per operation: no wider intermediates, no fused
// operations, no reassociation.
#ifdef __FAST_MATH__
#error "the reference cannot be compiled with fast math"
#endif
static_assert(FLT_EVAL_METHOD == 0, "binary32 must be computed as binary32");

using namespace sysmol::reference;

bool sysmol::reference::isPrecision(int bits) {
  return bits == 1 || bits == 2 || bits == 4 || bits == 8; // HP1
}

Status sysmol::reference::checkPrecisions(std::span<const int> bits) {
  if (bits.empty())
    return Error{"no channel has a precision"};
  bool present[9] = {};
  for (int p : bits) {
    if (!isPrecision(p)) // HP1
      return Error{"a precision of " + std::to_string(p) +
                   " bits is none of 1, 2, 4, 8 (HP1)"};
    present[p] = true;
  }
  int64_t distinct = std::count(std::begin(present), std::end(present), true);
  if (distinct > 3) // HP2
    return Error{"one tensor has " + std::to_string(distinct) +
                 " different precisions, at most 3 are allowed (HP2)"};
  return noError();
}

Status sysmol::reference::checkScale(double scale) {
  if (!std::isfinite(scale) || !(scale > 0)) // HP6
    return Error{"a scale of " + std::to_string(scale) +
                 " is not finite and positive (HP6)"};
  return noError();
}

CodeRange sysmol::reference::codeRange(Grid grid, int bits) {
  if (grid == Grid::Midrise && bits == 8)
    return {-127, 127};        // HP4
  return {0, (1 << bits) - 1}; // HP3, HP5
}

int32_t sysmol::reference::levelValue(Grid grid, int bits, int32_t code) {
  if (grid == Grid::Midrise && bits != 8)
    return 2 * code + 1 - (1 << bits); // HP3
  return code;                         // HP4, HP5
}

int32_t sysmol::reference::maxLevelValue(Grid grid, int bits) {
  CodeRange range = codeRange(grid, bits);
  return std::max(std::abs(levelValue(grid, bits, range.low)),
                  std::abs(levelValue(grid, bits, range.high)));
}

double sysmol::reference::levelReal(Grid grid, int bits, int32_t code,
                                    double scale) {
  double level = levelValue(grid, bits, code);
  if (grid == Grid::Unsigned)
    return scale * level / ((1 << bits) - 1); // HP5
  if (bits == 8)
    return scale * std::ldexp(1.0, -6) * level;     // HP4
  return scale * std::ldexp(1.0, 1 - bits) * level; // HP3
}

Result<float> sysmol::reference::quantizeMultiplier(Grid grid, int bits,
                                                    double scale) {
  if (Status status = checkScale(scale); !status)
    return status.error();
  double quotient;
  if (grid == Grid::Unsigned)
    quotient = ((1 << bits) - 1) / scale; // HP7
  else if (bits == 8)
    quotient = 64 / scale; // HP9
  else
    quotient = std::ldexp(1.0, bits - 2) / scale; // HP8
  float multiplier = static_cast<float>(quotient);
  if (!std::isfinite(multiplier) || multiplier == 0)
    return Error{"a scale of " + std::to_string(scale) +
                 " has no multiplier in binary32"};
  return multiplier;
}

float sysmol::reference::roundHalfEven(float value) {
  float below = std::floor(value);
  // Exact wherever it decides: next to a tie, and above 2^23 it is 0.
  float fraction = value - below;
  if (fraction < 0.5f)
    return below;
  if (fraction > 0.5f)
    return below + 1.0f;
  bool belowIsEven = std::fmod(below, 2.0f) == 0.0f;
  return belowIsEven ? below : below + 1.0f;
}

int32_t sysmol::reference::roundToCode(Grid grid, int bits, float steps) {
  if (std::isnan(steps))
    return 0; // HP10
  CodeRange range = codeRange(grid, bits);
  // Mid-rise codes count from the boundary at zero, which is not a code.
  int32_t offset = 0;
  float rounded;
  if (grid == Grid::Midrise && bits != 8) {
    offset = 1 << (bits - 1);
    rounded = std::floor(steps); // HP8
  } else {
    rounded = std::isinf(steps) ? steps : roundHalfEven(steps); // HP7, HP9
  }
  // Clamped as a float, since an infinity or 1e30 has no integer (HP10).
  float low = static_cast<float>(range.low - offset);
  float high = static_cast<float>(range.high - offset);
  return static_cast<int32_t>(std::clamp(rounded, low, high)) + offset;
}

int32_t sysmol::reference::quantizeValue(Grid grid, int bits, float multiplier,
                                         float x) {
  float steps = x * multiplier;
  return roundToCode(grid, bits, steps);
}

int64_t sysmol::reference::unitDenominator(Grid activationGrid, int bits) {
  // HP11: the weight's denominator times the activation's.
  switch (bits) {
  case 1:
    return 1;
  case 2:
    return activationGrid == Grid::Unsigned ? 6 : 4;
  case 4:
    return activationGrid == Grid::Unsigned ? 120 : 64;
  default:
    return activationGrid == Grid::Unsigned ? 16320 : 4096;
  }
}

int sysmol::reference::finestPrecision(std::span<const int> bits) {
  return *std::max_element(bits.begin(), bits.end());
}

int64_t sysmol::reference::productCount(Grid activationGrid, int bits,
                                        int finest) {
  // HP11: exact, every denominator divides those of the finer levels.
  return unitDenominator(activationGrid, finest) /
         unitDenominator(activationGrid, bits);
}
