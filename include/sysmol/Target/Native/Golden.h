//===- Golden.h - A network's interface and golden vectors ------*- C++ -*-===//

#ifndef SYSMOL_TARGET_NATIVE_GOLDEN_H
#define SYSMOL_TARGET_NATIVE_GOLDEN_H

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

/// Raw little-endian tensors of one call.
struct GoldenPair {
  std::vector<std::vector<uint8_t>> inputs, outputs;
};

/// Random inputs, and what the reference makes of them.
llvm::Expected<std::vector<GoldenPair>>
makeGolden(mlir::func::FuncOp function, unsigned pairs, uint64_t seed);

} // namespace sysmol

#endif // SYSMOL_TARGET_NATIVE_GOLDEN_H
