//===- Passes.h - Conversions out of the hetprec dialect --------*- C++ -*-===//

#ifndef SYSMOL_CONVERSION_PASSES_H
#define SYSMOL_CONVERSION_PASSES_H

#include "sysmol/Conversion/HetprecToAVX2/HetprecToAVX2.h"
#include "sysmol/Conversion/HetprecToGPU/HetprecToGPU.h"
#include "sysmol/Conversion/HetprecToVector/HetprecToVector.h"
#include "sysmol/Conversion/HetprecToX86/HetprecToX86.h"

namespace sysmol {
#define GEN_PASS_REGISTRATION
#include "sysmol/Conversion/Passes.h.inc"
} // namespace sysmol

#endif // SYSMOL_CONVERSION_PASSES_H
