//===- Grid.h - Precisions, grids and level values --------------*- C++ -*-===//
//
// The numbers one code stands for (rules HP1 to HP10 and the table of HP11 in
// include/sysmol/Dialect/Hetprec/IR/Spec.md).
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_REFERENCE_GRID_H
#define SYSMOL_REFERENCE_GRID_H

#include "sysmol/Reference/Result.h"

#include <cstdint>
#include <span>

namespace sysmol::reference {

/// The grid of a tensor. The 8-bit channels of a `Midrise` tensor are on the
/// symmetric grid (HP4).
enum class Grid { Unsigned, Midrise };

/// HP1: whether a channel may have `bits` bits. Every function below that
/// takes `bits` expects this to hold.
bool isPrecision(int bits);

/// HP1 and HP2 for the channels of one tensor: an error when the list is empty,
/// when a precision is none of 1, 2, 4, 8, or when there are more than three.
Status checkPrecisions(std::span<const int> bits);

/// HP6: an error when `scale` is not a finite positive number.
Status checkScale(double scale);

/// The least and the greatest code of a level.
struct CodeRange {
  int32_t low;
  int32_t high;
};
CodeRange codeRange(Grid grid, int bits);

/// The level value q(k): the odd integer 2k + 1 - 2^p (HP3) or k (HP4, HP5).
int32_t levelValue(Grid grid, int bits, int32_t code);

/// max |q(k)| over the codes of a level.
int32_t maxLevelValue(Grid grid, int bits);

/// The real value of a code, in double: HP3, HP4, HP5.
double levelReal(Grid grid, int bits, int32_t code, double scale);

/// The multiplier `m` of HP7, HP8, HP9. Refuses a scale that breaks HP6 or
/// that leaves binary32 no finite, non-zero multiplier.
Result<float> quantizeMultiplier(Grid grid, int bits, double scale);

/// Round to the nearest integer, ties to even, whatever the rounding mode.
float roundHalfEven(float value);

/// Rounds a value counted in steps and clamps it to the codes of the level:
/// the tail that HP7, HP8, HP9 share with HP15. NaN gives code 0 (HP10).
int32_t roundToCode(Grid grid, int bits, float steps);

/// The code of the real `x`: HP7, HP8, HP9 with the multiplier `m`, HP10.
int32_t quantizeValue(Grid grid, int bits, float multiplier, float x);

/// HP11: the denominator of u(p), `u(p) = scales / U(p)`, for activations on
/// `activationGrid`: 1, 6, 120, 16320 (unsigned) or 1, 4, 64, 4096 (mid-rise).
int64_t unitDenominator(Grid activationGrid, int bits);

/// HP11: the finest (largest) precision present; `bits` is not empty.
int finestPrecision(std::span<const int> bits);

/// HP11: c(p) = u(p) / u(f), what one code product of level `bits` counts in
/// an accumulator whose finest level is `finest`.
int64_t productCount(Grid activationGrid, int bits, int finest);

} // namespace sysmol::reference

#endif // SYSMOL_REFERENCE_GRID_H
