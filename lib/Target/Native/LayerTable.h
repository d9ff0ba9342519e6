//===- LayerTable.h - What a network is made of -----------------*- C++ -*-===//
//
// Private to the compiler: fills a bundle's metadata.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_TARGET_NATIVE_LAYERTABLE_H
#define SYSMOL_LIB_TARGET_NATIVE_LAYERTABLE_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "sysmol/Analysis/CostModel.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"
#include "sysmol/Runtime/Metadata.h"
#include "sysmol/Target/Native/CodeGen.h"

namespace sysmol {

/// Gives every dot product and requantization a name of its own.
void nameLayers(mlir::func::FuncOp function);

/// One row for each dot product and requantization of the plan phase.
std::vector<runtime::LayerInfo> describeLayers(mlir::func::FuncOp function);

/// How `target` computes each of those rows.
std::vector<std::string> describeStrategies(mlir::func::FuncOp function,
                                            const NativeTarget &target);

/// Adds the bytes of weights and tables, from the packed phase.
void addLayerBytes(mlir::func::FuncOp function,
                   std::vector<runtime::LayerInfo> &layers);

/// Adds what each layer should take, from the packed phase.
void addPredictions(mlir::func::FuncOp function, const CostTable &table,
                    std::vector<runtime::LayerInfo> &layers);

/// The first activation of the packed phase that is unpacked and packed again,
/// as one line that names the layer; empty when there is none. What `pack_rows`
/// reads is plain by its nature.
std::string findFallback(mlir::func::FuncOp function);

/// Where the clocks of `hetprec-profile-layers` are, from the LLVM dialect.
runtime::ProfileInfo describeProfile(mlir::ModuleOp module);

} // namespace sysmol

#endif // SYSMOL_LIB_TARGET_NATIVE_LAYERTABLE_H
