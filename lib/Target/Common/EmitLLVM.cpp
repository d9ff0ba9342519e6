//===- EmitLLVM.cpp - LLVM IR to the text or bytes of a target ------------===//

#include "sysmol/Target/Common/EmitLLVM.h"

#include "sysmol/Target/Common/Failure.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"

using namespace sysmol;

llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
sysmol::makeTargetMachine(llvm::StringRef triple, llvm::StringRef cpu,
                          llvm::StringRef features,
                          const llvm::TargetOptions &options) {
  // Once: another thread may be generating code. All of them: an LLVM without
  // the one that is wanted still links, and says so here.
  [[maybe_unused]] static const bool isRegistered = [] {
    llvm::InitializeAllTargetInfos();
    llvm::InitializeAllTargets();
    llvm::InitializeAllTargetMCs();
    llvm::InitializeAllAsmPrinters();
    return true;
  }();
  std::string message;
  llvm::Triple parsed(triple);
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(parsed, message);
  if (!target)
    return makeError("this LLVM has no target " + triple + ": " + message);
  std::unique_ptr<llvm::TargetMachine> machine(target->createTargetMachine(
      parsed, cpu, features, options, llvm::Reloc::PIC_, std::nullopt,
      llvm::CodeGenOptLevel::Aggressive));
  if (!machine)
    return makeError("LLVM cannot generate code for " + cpu);
  return machine;
}

void sysmol::optimizeModule(llvm::Module &module, llvm::TargetMachine &machine,
                            llvm::OptimizationLevel level,
                            LoopVectorization vectorization) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager sccs;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  tuning.SLPVectorization = false;
  tuning.LoopVectorization = vectorization == LoopVectorization::On;
  tuning.LoopUnrolling = false;
  llvm::PassBuilder builder(&machine, tuning);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(sccs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, sccs, modules);
  builder.buildPerModuleDefaultPipeline(level).run(module, modules);
}

llvm::Error sysmol::emitModule(llvm::Module &module,
                               llvm::TargetMachine &machine,
                               llvm::CodeGenFileType type,
                               llvm::raw_pwrite_stream &os) {
  llvm::legacy::PassManager emit;
  if (machine.addPassesToEmitFile(emit, os, nullptr, type))
    return makeError("LLVM cannot emit code for " +
                     machine.getTargetTriple().str());
  emit.run(module);
  return llvm::Error::success();
}
