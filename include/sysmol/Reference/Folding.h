//===- Folding.h - Scales, bias and batch norm into (m, b) ------*- C++ -*-===//
//
// Rules HP19 and HP20: everything in double, in the stated order, then one
// rounding to binary32. The reference and the importer call the same functions,
// since the order of operations is part of the law.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_REFERENCE_FOLDING_H
#define SYSMOL_REFERENCE_FOLDING_H

#include "sysmol/Reference/Grid.h"
#include "sysmol/Reference/Result.h"

#include <cstdint>

namespace sysmol::reference {

/// HP19: the `step` of an output channel on a grid: `alpha / (2^p - 1)`,
/// `d * 2^(2-p)`, or `d * 2^-6`. (A carrier's is delta, a real output's is 1.)
double codeStep(Grid grid, int bits, double scale);

/// HP19: the `unit` of a dot product: `(weightScale * activationScale) / U`
/// with U of the finest level present.
double accumulatorUnit(Grid activationGrid, int finest, double weightScale,
                       double activationScale);

/// HP14, HP19: the `unit` of a pool by sums, `alpha / (2^p - 1)`.
double sumPoolUnit(int bits, double scale);

/// HP14, HP19: the `unit` of a mean pool, `(alpha / (2^p - 1)) / (kh * kw)`.
double meanPoolUnit(int bits, double scale, int64_t kernelHeight,
                    int64_t kernelWidth);

/// What HP15, HP17 and HP18 apply to an accumulator. `m` is finite and not 0,
/// `b` is finite.
struct Affine {
  float m;
  float b;
};

/// One channel of a batch norm in evaluation.
struct BatchNorm {
  double gamma;
  double beta;
  double mean;
  double variance;
  double epsilon;
};

/// HP19 without batch norm. `unit` and `step` are finite and positive. Refuses
/// what leaves binary32.
Result<Affine> foldPlain(double unit, double step, double bias);

/// HP19 with batch norm. Refuses parameters that are not finite, a variance +
/// epsilon that is not positive, and what leaves binary32.
Result<Affine> foldBatchNorm(double unit, double step, double bias,
                             const BatchNorm &norm);

} // namespace sysmol::reference

#endif // SYSMOL_REFERENCE_FOLDING_H
