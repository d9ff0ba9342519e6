//===- Network.h - The one function of a module -----------------*- C++ -*-===//

#ifndef SYSMOL_TARGET_NATIVE_NETWORK_H
#define SYSMOL_TARGET_NATIVE_NETWORK_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/Error.h"
#include <string>

namespace sysmol {

/// Reads `path`: `.onnx` (QONNX), for `batch` images a call, or `.mlir`.
llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>>
readNetwork(const std::string &path, mlir::MLIRContext *context,
            unsigned batch);

/// A module is one public function and nothing else: says what `module` holds
/// besides (empty: nothing). Drops the attributes that no phase of ours reads,
/// so that none of them means something further down.
std::string checkModule(mlir::ModuleOp module);

/// What that function is called in LLVM IR, whatever its own name: no name of
/// a library's function.
inline constexpr char kNetworkName[] = "network";

/// The one function of a checked module.
mlir::func::FuncOp getNetwork(mlir::ModuleOp module);

/// What the network says that its float parameters are in bytes, or 0.
llvm::Expected<uint64_t> readFloatBytes(mlir::func::FuncOp network);

} // namespace sysmol

#endif // SYSMOL_TARGET_NATIVE_NETWORK_H
