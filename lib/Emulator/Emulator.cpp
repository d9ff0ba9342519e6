//===- Emulator.cpp - Runs GPU kernels on the CPU -------------------------===//

#include "sysmol/Emulator/Emulator.h"

#include "Lowering.h"
#include "Machine.h"

#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Verifier.h"
#include "llvm/IRReader/IRReader.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/TargetSelect.h"

using namespace sysmol::emulator;

char EmulatorError::ID = 0;

struct Emulator::Impl {
  Machine machine;
  LoweredModule lowered;
  std::vector<KernelInfo> kernels;
  std::unique_ptr<llvm::orc::LLJIT> jit;
};

Emulator::Emulator(std::unique_ptr<Impl> impl) : impl(std::move(impl)) {}
Emulator::~Emulator() = default;

static llvm::Error refuse(const llvm::Twine &message) {
  return llvm::make_error<EmulatorError>(FaultKind::Refused, message.str());
}

llvm::ArrayRef<KernelInfo> Emulator::kernels() const { return impl->kernels; }

llvm::Expected<std::unique_ptr<Emulator>>
Emulator::fromIR(llvm::StringRef text, llvm::StringRef name) {
  auto context = std::make_unique<llvm::LLVMContext>();
  llvm::SMDiagnostic diagnostic;
  // The reader wants a zero behind the text.
  auto buffer = llvm::MemoryBuffer::getMemBufferCopy(text, name);
  std::unique_ptr<llvm::Module> module =
      llvm::parseIR(*buffer, diagnostic, *context);
  if (!module)
    return refuse(name + ":" + llvm::Twine(diagnostic.getLineNo()) + ": " +
                  diagnostic.getMessage());
  std::string problem;
  llvm::raw_string_ostream os(problem);
  if (llvm::verifyModule(*module, &os))
    return refuse(name + ": " + llvm::StringRef(problem).split('\n').first);

  auto impl = std::make_unique<Impl>();
  if (!impl->machine.sharedBase())
    return llvm::make_error<EmulatorError>(
        FaultKind::Limit, "no memory below 4 GiB for the shared memory");
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  auto target = llvm::orc::JITTargetMachineBuilder::detectHost();
  if (!target)
    return target.takeError();
  // Kernels run once for a moment: compiling is most of the time.
  target->setCodeGenOptLevel(llvm::CodeGenOptLevel::None);
  auto jit =
      llvm::orc::LLJITBuilder().setJITTargetMachineBuilder(*target).create();
  if (!jit)
    return jit.takeError();
  impl->jit = std::move(*jit);
  auto lowered =
      lowerForHost(*module, impl->jit->getDataLayout(),
                   impl->jit->getTargetTriple().str(), impl->machine);
  if (!lowered)
    return lowered.takeError();
  impl->lowered = std::move(*lowered);
  for (const LoweredKernel &kernel : impl->lowered.kernels)
    impl->kernels.push_back(kernel.info);
  if (llvm::Error error = impl->jit->addIRModule(
          llvm::orc::ThreadSafeModule(std::move(module), std::move(context))))
    return std::move(error);
  return std::unique_ptr<Emulator>(new Emulator(std::move(impl)));
}

llvm::Expected<std::unique_ptr<Emulator>>
Emulator::create(const llvm::Module &module) {
  // A context may not be shared with the JIT: the copy goes through bitcode.
  llvm::SmallVector<char, 0> bitcode;
  llvm::raw_svector_ostream os(bitcode);
  llvm::WriteBitcodeToFile(module, os);
  return fromIR(llvm::StringRef(bitcode.data(), bitcode.size()),
                module.getName());
}

llvm::Expected<Statistics>
Emulator::launch(llvm::StringRef name, const LaunchConfig &config,
                 llvm::ArrayRef<const void *> parameters,
                 llvm::ArrayRef<Buffer> buffers) {
  auto kernel =
      llvm::find_if(impl->lowered.kernels, [&](const LoweredKernel &candidate) {
        return candidate.info.name == name;
      });
  if (kernel == impl->lowered.kernels.end())
    return llvm::make_error<EmulatorError>(
        FaultKind::Usage, ("there is no kernel '" + name + "'").str());
  if (parameters.size() != kernel->info.parameterBytes.size())
    return llvm::make_error<EmulatorError>(
        FaultKind::Usage, ("kernel '" + name + "' takes " +
                           llvm::Twine(kernel->info.parameterBytes.size()) +
                           " parameters, not " + llvm::Twine(parameters.size()))
                              .str());
  auto symbol = impl->jit->lookup(kernel->wrapper);
  if (!symbol)
    return symbol.takeError();
  for (Site &site : impl->lowered.sites)
    site.executions = 0;
  if (llvm::Error error = impl->machine.run(
          symbol->toPtr<Machine::Kernel>(), name, config,
          impl->lowered.staticSharedBytes, parameters.data(), buffers))
    return std::move(error);
  Statistics statistics = impl->machine.takeStatistics();
  for (const Site &site : impl->lowered.sites)
    if (site.executions)
      statistics.operations[site.operation.name] += site.executions;
  return statistics;
}
