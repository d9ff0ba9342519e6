//===- HetprecToGPU.h - Plan-phase products to GPU kernels ------*- C++ -*-===//

#ifndef SYSMOL_CONVERSION_HETPRECTOGPU_HETPRECTOGPU_H
#define SYSMOL_CONVERSION_HETPRECTOGPU_HETPRECTOGPU_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace sysmol {

/// Which kernel computes a product.
enum class GPUKernelKind {
  Auto, ///< Gemv for at most eight rows of activations, else Gemm
  Gemv, ///< streams the weights once
  Gemm, ///< tiles in shared memory
};

/// What is wrong with the numbers among a kernel's options (empty: nothing).
std::string checkKernelOptions(int64_t warps, int64_t unroll, int64_t threads,
                               int64_t stages);

/// Name of the `gpu.module` that kernels come into.
inline constexpr llvm::StringLiteral kKernelsName = "kernels";

/// Name of the dictionary attribute of a `gpu.func` that says how to launch it;
/// `writeLaunchDescription` (Target/NVVM) prints it as JSON.
inline constexpr llvm::StringLiteral kLaunchAttr = "hetprec.launch";

/// Names of the attributes of a module that was a network: a dictionary of
/// buffers and launches, and the bytes of its constants.
inline constexpr llvm::StringLiteral kNetworkAttr = "hetprec.network";
inline constexpr llvm::StringLiteral kConstantsAttr = "hetprec.constants";

#define GEN_PASS_DECL_CONVERTHETPRECTOGPUPASS
#include "sysmol/Conversion/Passes.h.inc"

} // namespace sysmol

#endif // SYSMOL_CONVERSION_HETPRECTOGPU_HETPRECTOGPU_H
