//===- Thresholds.cpp - Requantization as integer thresholds --------------===//

#include "sysmol/Analysis/Thresholds.h"

#include <algorithm>
#include <cassert>
#include <cmath>

using namespace sysmol;

// This file is compiled with -ffp-contract=off: each operation below rounds
// once (HP15).
int64_t sysmol::requantizeByRule(int64_t acc, float multiplier, float offset,
                                 int64_t precision, bool isMidrise) {
  float product = static_cast<float>(acc) * multiplier;
  float value = product + offset;
  double lowest = isMidrise ? -double(int64_t(1) << (precision - 1)) : 0.0;
  double highest = lowest + double((int64_t(1) << precision) - 1);
  double rounded =
      isMidrise ? std::floor(double(value)) : std::nearbyint(double(value));
  return static_cast<int64_t>(std::clamp(rounded, lowest, highest) - lowest);
}

llvm::SmallVector<int64_t>
sysmol::findThresholds(float multiplier, float offset, int64_t precision,
                       bool isMidrise, int64_t bound) {
  assert(multiplier > 0 && "negate the accumulator first");
  llvm::SmallVector<int64_t> thresholds;
  for (int64_t code = 1; code < (int64_t(1) << precision); ++code) {
    // The rule is monotone in acc (each of its roundings is), so the largest
    // acc below `code` is found by bisection.
    int64_t below = -bound - 1, above = bound + 1;
    while (above - below > 1) {
      int64_t middle = below + (above - below) / 2;
      if (requantizeByRule(middle, multiplier, offset, precision, isMidrise) >=
          code)
        above = middle;
      else
        below = middle;
    }
    thresholds.push_back(below);
  }
  return thresholds;
}
