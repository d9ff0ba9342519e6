//===- ProductKernel.h - A product and what reads it, as kernels -*- C++ -*-==//

#ifndef SYSMOL_CONVERSION_HETPRECTOGPU_PRODUCTKERNEL_H
#define SYSMOL_CONVERSION_HETPRECTOGPU_PRODUCTKERNEL_H

#include "LaunchDescription.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "sysmol/Conversion/HetprecToGPU/HetprecToGPU.h"

namespace sysmol {

/// The options of `convert-hetprec-to-gpu`.
struct ProductOptions {
  GPUKernelKind kernel;
  int64_t warps, unroll, threads, stages;
  bool warpgroups;
  bool nibbleMMA;
};

/// The kernels of a function that is one product, at the builder's place, or
/// an error that names what is in their way. The last one of a function that
/// is no network's gets a launch description.
llvm::FailureOr<KernelProgram> emitProductKernel(mlir::OpBuilder &b,
                                                 mlir::func::FuncOp function,
                                                 const ProductOptions &options);

} // namespace sysmol

#endif // SYSMOL_CONVERSION_HETPRECTOGPU_PRODUCTKERNEL_H
