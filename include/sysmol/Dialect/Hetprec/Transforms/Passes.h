//===- Passes.h - Passes of the hetprec dialect -----------------*- C++ -*-===//

#ifndef SYSMOL_DIALECT_HETPREC_TRANSFORMS_PASSES_H
#define SYSMOL_DIALECT_HETPREC_TRANSFORMS_PASSES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/Pass.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

namespace sysmol::hetprec {

/// The phases a program passes through; each has a contract
/// (`hetprec-verify-phase`).
enum class Phase { Model, Plan, Packed, Loops, Vectors };

#define GEN_PASS_DECL
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"

/// Whether `function` is one product of its arguments, which is a GPU kernel
/// already, or was made one by hetprec-outline-kernels; else it is a network.
bool isKernel(mlir::func::FuncOp function);

/// Whether GPU kernels read and make `type`; else an error says that they take
/// `kKernelTensors`.
bool isKernelTensor(mlir::Type type);
inline constexpr llvm::StringLiteral kKernelTensors =
    "tensors of static shape and rank 2 or 4, of f32, i32, i16, or i8 with a "
    "#hetprec.channels encoding";

/// Whether tensor cores can compute a product: not where it has groups, nor
/// where it pads activations of the mid-rise grid below 8 bits, which has no
/// zero. Others are computed directly, on a GPU.
bool isForTensorCores(mlir::Operation *product);

/// Rows of weights that a block of a GPU kernel computes: so many channels of
/// codes it can write in another order.
inline constexpr int64_t kKernelRows = 128;

/// Teaches one-shot bufferization the packed ops.
void registerBufferizableOpInterfaceExternalModels(
    mlir::DialectRegistry &registry);

} // namespace sysmol::hetprec

#endif // SYSMOL_DIALECT_HETPREC_TRANSFORMS_PASSES_H
