//===- ElementKernel.h - Ops between products, element by element -*- C++ -*-=//
//
// A thread computes one element, or up to 32 codes of a pixel, which are whole
// words. Carriers, accumulators and reals between kernels lie [pixel, channel];
// reals that the network is given lie [image, channel, y, x].
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_CONVERSION_HETPRECTOGPU_ELEMENTKERNEL_H
#define SYSMOL_CONVERSION_HETPRECTOGPU_ELEMENTKERNEL_H

#include "LaunchDescription.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace sysmol {

/// The kernel of a function whose last op is no product, at the builder's
/// place, or an error that names what has none.
llvm::FailureOr<KernelProgram> emitElementKernel(mlir::OpBuilder &b,
                                                 mlir::func::FuncOp function);

} // namespace sysmol

#endif // SYSMOL_CONVERSION_HETPRECTOGPU_ELEMENTKERNEL_H
