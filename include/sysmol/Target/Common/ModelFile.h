//===- ModelFile.h - Reading .mlir files ------------------------*- C++ -*-===//

#ifndef SYSMOL_TARGET_COMMON_MODELFILE_H
#define SYSMOL_TARGET_COMMON_MODELFILE_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/Error.h"

namespace sysmol {

/// A context with every dialect and pass that compiling needs; its passes run
/// on functions side by side where the machine has CPUs and gives threads.
std::unique_ptr<mlir::MLIRContext> makeCompilerContext();

/// Reads the text of a module. What crashes MLIR's readers (bytecode, deep
/// nesting) is refused before they see it.
llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>>
readModelFile(const std::string &path, mlir::MLIRContext *context);

} // namespace sysmol

#endif // SYSMOL_TARGET_COMMON_MODELFILE_H
