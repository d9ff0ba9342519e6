//===- HetprecToAVX2.h - mac on AVX2 ----------------------------*- C++ -*-===//

#ifndef SYSMOL_CONVERSION_HETPRECTOAVX2_HETPRECTOAVX2_H
#define SYSMOL_CONVERSION_HETPRECTOAVX2_HETPRECTOAVX2_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Pass/Pass.h"

namespace sysmol {

#define GEN_PASS_DECL_CONVERTHETPRECTOAVX2PASS
#include "sysmol/Conversion/Passes.h.inc"

} // namespace sysmol

#endif // SYSMOL_CONVERSION_HETPRECTOAVX2_HETPRECTOAVX2_H
