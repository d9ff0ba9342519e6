//===- CodeGen.cpp - NVVM dialect to PTX ----------------------------------===//

#include "CodeGen.h"

#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "sysmol/Target/Common/EmitLLVM.h"
#include "sysmol/Target/Common/Failure.h"
#include "sysmol/Target/NVVM/Limits.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/InstrTypes.h"
#include "llvm/IR/Module.h"

using namespace sysmol;

/// Of NVPTX.
static constexpr unsigned kSharedSpace = 3;

/// The threads of a warp or warpgroup execute an MMA together: no pass may
/// bring it under a condition that they differ in. Inline PTX cannot say so in
/// MLIR, and of LLVM's intrinsics those for `mma.sync` do not.
static void markConvergent(llvm::Module &ir) {
  for (llvm::Function &function : ir)
    for (llvm::Instruction &instruction : llvm::instructions(function)) {
      auto *call = llvm::dyn_cast<llvm::CallBase>(&instruction);
      if (!call)
        continue;
      const auto *statement =
          llvm::dyn_cast<llvm::InlineAsm>(call->getCalledOperand());
      const llvm::Function *callee = call->getCalledFunction();
      if ((statement && statement->hasSideEffects()) ||
          (callee && callee->getName().starts_with("llvm.nvvm.mma.")))
        call->setConvergent();
    }
}

llvm::Expected<GPUCode> sysmol::generateGPUCode(mlir::gpu::GPUModuleOp kernels,
                                                llvm::StringRef chip) {
  auto machine = makeTargetMachine("nvptx64-nvidia-cuda", chip,
                                   "+" + findGPUChip(chip)->ptx.str(),
                                   llvm::TargetOptions());
  if (!machine)
    return machine.takeError();
  mlir::MLIRContext *mlirContext = kernels.getContext();
  mlir::registerBuiltinDialectTranslation(*mlirContext);
  mlir::registerGPUDialectTranslation(*mlirContext);
  mlir::registerLLVMDialectTranslation(*mlirContext);
  mlir::registerNVVMDialectTranslation(*mlirContext);
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> ir =
      mlir::translateModuleToLLVMIR(kernels, context, "kernels");
  if (!ir)
    return makeError("MLIR cannot translate the kernels to LLVM IR");
  ir->setTargetTriple((*machine)->getTargetTriple());
  ir->setDataLayout((*machine)->createDataLayout());
  // Dynamic shared memory is the launch's: as a variable of the module it would
  // take a byte of its own beside that.
  for (llvm::GlobalVariable &variable : ir->globals())
    if (variable.getAddressSpace() == kSharedSpace &&
        ir->getDataLayout().getTypeAllocSize(variable.getValueType()) == 0) {
      variable.setInitializer(nullptr);
      variable.setLinkage(llvm::GlobalValue::ExternalLinkage);
    }
  markConvergent(*ir);

  optimizeModule(*ir, **machine, llvm::OptimizationLevel::O3,
                 LoopVectorization::Off);

  GPUCode code;
  llvm::raw_string_ostream irStream(code.llvmIR);
  ir->print(irStream, nullptr);
  llvm::SmallString<0> ptx;
  llvm::raw_svector_ostream ptxStream(ptx);
  if (llvm::Error error = emitModule(
          *ir, **machine, llvm::CodeGenFileType::AssemblyFile, ptxStream))
    return error;
  code.ptx = ptx.str();
  return code;
}
