//===- EmitLLVM.h - LLVM IR to the text or bytes of a target ----*- C++ -*-===//

#ifndef SYSMOL_TARGET_COMMON_EMITLLVM_H
#define SYSMOL_TARGET_COMMON_EMITLLVM_H

#include "llvm/Passes/OptimizationLevel.h"
#include "llvm/Support/CodeGen.h"
#include "llvm/Support/Error.h"
#include "llvm/Target/TargetMachine.h"

namespace sysmol {

/// The machine of a triple, after registering every target of this LLVM (once;
/// from any thread). Fails where this LLVM has no such target.
llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
makeTargetMachine(llvm::StringRef triple, llvm::StringRef cpu,
                  llvm::StringRef features, const llvm::TargetOptions &options);

/// Whether LLVM may make vectors of scalar loops that our phases left.
enum class LoopVectorization { Off, On };

/// Runs LLVM's default pipeline, without what our own phases have done: vectors
/// are made and loops unrolled to fill registers, and doing it again costs
/// compile time and spills.
void optimizeModule(llvm::Module &module, llvm::TargetMachine &machine,
                    llvm::OptimizationLevel level, LoopVectorization loops);

/// Object or assembly of `module`.
llvm::Error emitModule(llvm::Module &module, llvm::TargetMachine &machine,
                       llvm::CodeGenFileType type, llvm::raw_pwrite_stream &os);

} // namespace sysmol

#endif // SYSMOL_TARGET_COMMON_EMITLLVM_H
