//===- LayerTable.h - What a network is made of -----------------*- C++ -*-===//
//
// Private to the compiler: fills a bundle's metadata.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_TARGET_NATIVE_LAYERTABLE_H
#define SYSMOL_LIB_TARGET_NATIVE_LAYERTABLE_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "sysmol/Runtime/Metadata.h"
#include "sysmol/Target/Native/CodeGen.h"

namespace sysmol {

/// Gives every dot product and requantization a name of its own.
void nameLayers(mlir::func::FuncOp function);

/// One row for each dot product and requantization of the plan phase.
std::vector<runtime::LayerInfo> describeLayers(mlir::func::FuncOp function,
                                               const NativeTarget &target);

/// Adds the bytes of weights and tables, from the packed phase.
void addLayerBytes(mlir::func::FuncOp function,
                   std::vector<runtime::LayerInfo> &layers);

/// Where the clocks of `hetprec-profile-layers` are, from the LLVM dialect.
runtime::ProfileInfo describeProfile(mlir::ModuleOp module);

} // namespace sysmol

#endif // SYSMOL_LIB_TARGET_NATIVE_LAYERTABLE_H
