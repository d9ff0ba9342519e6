//===- Folding.cpp - Scales, bias and batch norm into (m, b) --------------===//

#include "sysmol/Reference/Folding.h"

#include <cmath>

using namespace sysmol::reference;

double sysmol::reference::codeStep(Grid grid, int bits, double scale) {
  if (grid == Grid::Unsigned)
    return scale / ((1 << bits) - 1); // HP19
  if (bits == 8)
    return scale * std::ldexp(1.0, -6);
  return scale * std::ldexp(1.0, 2 - bits);
}

double sysmol::reference::accumulatorUnit(Grid activationGrid, int finest,
                                          double weightScale,
                                          double activationScale) {
  double scales = weightScale * activationScale; // HP19
  return scales / static_cast<double>(unitDenominator(activationGrid, finest));
}

double sysmol::reference::sumPoolUnit(int bits, double scale) {
  return scale / ((1 << bits) - 1); // HP14
}

double sysmol::reference::meanPoolUnit(int bits, double scale,
                                       int64_t kernelHeight,
                                       int64_t kernelWidth) {
  // HP14, HP19: padding is counted.
  return sumPoolUnit(bits, scale) /
         static_cast<double>(kernelHeight * kernelWidth);
}

/// The one rounding to binary32, and HP20.
static Result<Affine> rounded(double m, double b) {
  Affine affine{static_cast<float>(m), static_cast<float>(b)};
  if (!std::isfinite(affine.m) || !std::isfinite(affine.b))
    return Error{"a folded scale or offset is not finite in binary32 (HP15)"};
  if (affine.m == 0)
    affine.m = 0x1p-126f; // HP20
  return affine;
}

static Status checkUnitAndStep(double unit, double step) {
  if (!std::isfinite(unit) || !(unit > 0) || !std::isfinite(step) ||
      !(step > 0))
    return Error{"a unit or a step is not finite and positive (HP6)"};
  return noError();
}

Result<Affine> sysmol::reference::foldPlain(double unit, double step,
                                            double bias) {
  if (Status status = checkUnitAndStep(unit, step); !status)
    return status.error();
  return rounded(unit / step, bias / step); // HP19
}

Result<Affine> sysmol::reference::foldBatchNorm(double unit, double step,
                                                double bias,
                                                const BatchNorm &norm) {
  if (Status status = checkUnitAndStep(unit, step); !status)
    return status.error();
  double spread = norm.variance + norm.epsilon;
  if (!std::isfinite(spread) || !(spread > 0))
    return Error{"a batch norm's variance + epsilon is not positive"};
  // HP19: the order of the operations is the rule; no contraction.
  double s = norm.gamma / std::sqrt(spread);
  double shifted = (bias - norm.mean) * s;
  double o = norm.beta + shifted;
  double scaled = unit * s;
  return rounded(scaled / step, o / step);
}
