//===- CodeGen.h - NVVM dialect to PTX --------------------------*- C++ -*-===//

#ifndef SYSMOL_TARGET_NVVM_CODEGEN_H
#define SYSMOL_TARGET_NVVM_CODEGEN_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "llvm/Support/Error.h"
#include <string>

namespace sysmol {

/// What the NVPTX back end makes of one module.
struct GPUCode {
  std::string llvmIR; ///< optimized
  std::string ptx;
};

/// `kernels` holds LLVM and NVVM ops; `chip` is one LLVM knows: it aborts for
/// others.
llvm::Expected<GPUCode> generateGPUCode(mlir::gpu::GPUModuleOp kernels,
                                        llvm::StringRef chip);

} // namespace sysmol

#endif // SYSMOL_TARGET_NVVM_CODEGEN_H
