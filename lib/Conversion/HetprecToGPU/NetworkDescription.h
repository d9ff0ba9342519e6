//===- NetworkDescription.h - Kernels in order, and their buffers -*- C++ -*-=//

#ifndef SYSMOL_CONVERSION_HETPRECTOGPU_NETWORKDESCRIPTION_H
#define SYSMOL_CONVERSION_HETPRECTOGPU_NETWORKDESCRIPTION_H

#include "LaunchDescription.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringMap.h"

namespace sysmol {

/// Sets `hetprec.network` and `hetprec.constants` of `module`: the launches of
/// `network`'s calls with the buffers that they read and write. What only
/// kernels read lies in one arena, where buffers that are not needed at the
/// same time share bytes.
mlir::LogicalResult
describeNetwork(mlir::func::FuncOp network,
                const llvm::StringMap<KernelProgram> &programs,
                mlir::ModuleOp module);

} // namespace sysmol

#endif // SYSMOL_CONVERSION_HETPRECTOGPU_NETWORKDESCRIPTION_H
