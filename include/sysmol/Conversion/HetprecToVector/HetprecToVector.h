//===- HetprecToVector.h - Ops on registers, for any target -----*- C++ -*-===//

#ifndef SYSMOL_CONVERSION_HETPRECTOVECTOR_HETPRECTOVECTOR_H
#define SYSMOL_CONVERSION_HETPRECTOVECTOR_HETPRECTOVECTOR_H

#include "mlir/IR/PatternMatch.h"
#include "mlir/Pass/Pass.h"

namespace sysmol {

#define GEN_PASS_DECL_CONVERTHETPRECTOVECTORPASS
#include "sysmol/Conversion/Passes.h.inc"

/// Lowers `hetprec.mac`, `join_codes`, `narrow_lanes` and `spare_word` with
/// ops that all targets have.
void populateHetprecToVectorPatterns(mlir::RewritePatternSet &patterns,
                                     mlir::PatternBenefit benefit = 1);

} // namespace sysmol

#endif // SYSMOL_CONVERSION_HETPRECTOVECTOR_HETPRECTOVECTOR_H
