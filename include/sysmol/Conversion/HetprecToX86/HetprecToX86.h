//===- HetprecToX86.h - mac on AVX-512 --------------------------*- C++ -*-===//

#ifndef SYSMOL_CONVERSION_HETPRECTOX86_HETPRECTOX86_H
#define SYSMOL_CONVERSION_HETPRECTOX86_HETPRECTOX86_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Pass/Pass.h"

namespace sysmol {

#define GEN_PASS_DECL_CONVERTHETPRECTOX86PASS
#include "sysmol/Conversion/Passes.h.inc"

} // namespace sysmol

#endif // SYSMOL_CONVERSION_HETPRECTOX86_HETPRECTOX86_H
