//===- ModelFile.h - Reading .mlir files ------------------------*- C++ -*-===//

#ifndef SYSMOL_TARGET_COMMON_MODELFILE_H
#define SYSMOL_TARGET_COMMON_MODELFILE_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/ThreadPool.h"
#include <memory>

namespace sysmol {

/// A context with every dialect and pass that compiling needs. Where the
/// machine has CPUs and gives threads, passes run on functions side by side,
/// and several threads may use the context.
class CompilerContext {
public:
  CompilerContext();
  mlir::MLIRContext *get() { return context.get(); }

private:
  std::unique_ptr<llvm::ThreadPoolInterface> pool; // outlives its user
  std::unique_ptr<mlir::MLIRContext> context;
};

/// Reads the text of a module. What crashes MLIR's readers (bytecode, deep
/// nesting) is refused before they see it.
llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>>
readModelFile(const std::string &path, mlir::MLIRContext *context);

} // namespace sysmol

#endif // SYSMOL_TARGET_COMMON_MODELFILE_H
