//===- Golden.h - A network's interface and golden vectors ------*- C++ -*-===//
//
// Private to the compiler.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_TARGET_NATIVE_GOLDEN_H
#define SYSMOL_LIB_TARGET_NATIVE_GOLDEN_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "sysmol/Runtime/Bundle.h"
#include "sysmol/Target/Native/Compiler.h"

namespace sysmol {

/// Names, types and shapes of what goes in and out.
llvm::Error describeInterface(mlir::func::FuncOp function,
                              runtime::Metadata &metadata);

/// One call of the reference.
llvm::Expected<std::vector<std::vector<uint8_t>>>
interpretOnce(mlir::func::FuncOp function,
              llvm::ArrayRef<std::vector<uint8_t>> inputs);

/// Golden vectors are kept in memory, and the slow reference computes them:
/// refuses more than that is made for.
llvm::Error checkGolden(const runtime::Metadata &metadata, unsigned pairs);

/// Random inputs, and what the reference makes of them.
llvm::Error addGolden(mlir::func::FuncOp function,
                      const CompileOptions &options,
                      runtime::BundleWriter &writer);

} // namespace sysmol

#endif // SYSMOL_LIB_TARGET_NATIVE_GOLDEN_H
