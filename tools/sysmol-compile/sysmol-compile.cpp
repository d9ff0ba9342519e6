//===- sysmol-compile.cpp - A network to native code ----------------------===//

#include "Explain.h"

#include "sysmol/Target/Common/Failure.h"
#include "sysmol/Target/NVVM/Compiler.h"
#include "sysmol/Target/Native/Compiler.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/WithColor.h"
#include "llvm/Support/raw_ostream.h"
#include <atomic>
#include <unistd.h>

using namespace llvm;
using namespace sysmol;

namespace cl = llvm::cl;

/// Out of memory anywhere below: nothing has been renamed to its place yet.
[[noreturn]] static void exitForMemory(void *, const char *, bool) {
  // One line, whichever thread comes first; another one waits for the end.
  static std::atomic_flag said;
  while (said.test_and_set())
    pause();
  constexpr char message[] =
      "error: out of memory; nothing was written; compile a smaller network\n";
  (void)!write(STDERR_FILENO, message, sizeof(message) - 1);
  _exit(int(FailureKind::Limit));
}

int main(int argc, char **argv) {
  InitLLVM init(argc, argv);
  // Operator new reports here, too: InitLLVM sees to that.
  install_bad_alloc_error_handler(exitForMemory);
  cl::OptionCategory category("sysmol-compile options");
  cl::opt<std::string> input(cl::Positional, cl::desc("MODEL (.onnx or .mlir)"),
                             cl::Required, cl::cat(category));
  cl::opt<std::string> output("o", cl::desc("Output file; - prints text"),
                              cl::value_desc("file"), cl::cat(category));
  cl::opt<EmitKind> emit(
      "emit", cl::desc("What to write"), cl::init(EmitKind::Bundle),
      cl::values(
          clEnumValN(EmitKind::Bundle, "bundle",
                     ".smol: code, weights, golden vectors (default); "
                     "GPU: .json, and .ptx, .ll, .bin beside it"),
          clEnumValN(EmitKind::Object, "object", ".o and a C header beside it"),
          clEnumValN(EmitKind::LLVMIR, "llvm", "optimized LLVM IR"),
          clEnumValN(EmitKind::Assembly, "asm", "assembly"),
          clEnumValN(EmitKind::MLIR, "mlir", "the program after --phase")),
      cl::cat(category));
  CompileOptions defaults;
  std::string known;
  for (const std::string &name : getNativeTargets())
    known += (known.empty() ? "" : ", ") + name;
  std::string targetHelp = "Targets, best first: " + known + "; or one GPU: ";
  targetHelp += join(getGPUTargets(), ", ");
  cl::list<std::string> targets("target", cl::desc(targetHelp),
                                cl::value_desc("name,..."), cl::CommaSeparated,
                                cl::cat(category));
  cl::opt<std::string> phase(
      "phase",
      cl::desc("For --emit=mlir: model, plan, packed, loops, vectors or llvm; "
               "GPU: gpu or nvvm"),
      cl::init(defaults.phase), cl::cat(category));
  cl::opt<std::string> kernelOptions(
      "kernel-options",
      cl::desc("GPU: options of convert-hetprec-to-gpu, in quotes"),
      cl::cat(category));
  cl::opt<std::string> ptxas("ptxas",
                             cl::desc("GPU: the assembler for --emit=object"),
                             cl::value_desc("path"), cl::cat(category));
  cl::opt<std::string> name(
      "name", cl::desc("Model name (default: the file's)"), cl::cat(category));
  cl::opt<unsigned> batch("batch", cl::desc("Images a call (default 1)"),
                          cl::init(1), cl::cat(category));
  cl::opt<unsigned> golden("golden",
                           cl::desc("Golden input/output pairs (default 2)"),
                           cl::init(defaults.goldenPairs), cl::cat(category));
  cl::opt<uint64_t> seed("seed", cl::desc("Seed of the golden inputs"),
                         cl::init(0), cl::cat(category));
  cl::opt<unsigned> grain(
      "grain",
      cl::desc("Estimated cycles, about, of a task that threads may share "
               "(default 4000)"),
      cl::init(defaults.grain), cl::cat(category));
  cl::opt<bool> profile("profile",
                        cl::desc("Code that measures layers; see sysmol-run "
                                 "--profile"),
                        cl::cat(category));
  cl::opt<bool> explain("explain",
                        cl::desc("Print each layer's strategy, predicted time "
                                 "and bytes, for the first target"),
                        cl::cat(category));
  cl::opt<bool> verifyEach(
      "verify-each",
      cl::desc("Verify the program behind each pass, not each phase (slower)"),
      cl::cat(category));
  cl::opt<bool> forbidFallback(
      "forbid-fallback",
      cl::desc("Refuse activations that are unpacked between layers"),
      cl::cat(category));
  cl::opt<bool> timing("time", cl::desc("Print the seconds of each phase"),
                       cl::cat(category));
  cl::HideUnrelatedOptions(category);
  std::string complaint;
  raw_string_ostream complaints(complaint);
  if (!cl::ParseCommandLineOptions(
          argc, argv,
          "Compiles a heterogeneous-precision network.\n\n"
          "  sysmol-compile net.onnx -o net.smol\n"
          "  sysmol-compile net.onnx --emit=asm --target=x86-64-avx512 -o "
          "net.s\n",
          &complaints)) {
    std::string line = StringRef(complaint).trim().str(); // with its advice
    std::replace(line.begin(), line.end(), '\n', ' ');
    if (!line.empty()) // else LLVM said it: a value that is none
      errs() << line << "\n";
    return int(FailureKind::Usage);
  }

  CompileOptions options;
  if (!targets.empty())
    options.targets.assign(targets.begin(), targets.end());
  options.emit = emit;
  options.phase = phase;
  options.name = name;
  options.batch = batch;
  options.goldenPairs = golden;
  options.seed = seed;
  options.grain = grain;
  options.profile = profile;
  options.forbidFallback = forbidFallback;
  options.verifyEach = verifyEach;
  std::string path = output;
  bool isGPU = any_of(options.targets, isGPUTargetName);
  if (isGPU && options.targets.size() != 1) {
    WithColor::error() << "a GPU must be the only target\n";
    return int(FailureKind::Usage);
  }
  if (isGPU &&
      (explain || profile || forbidFallback || grain.getNumOccurrences())) {
    WithColor::error() << "--explain, --profile, --forbid-fallback and --grain "
                          "are for CPUs; for a GPU: sysmol bench --gpu "
                          "--predict\n";
    return int(FailureKind::Usage);
  }
  if (!isGPU &&
      (kernelOptions.getNumOccurrences() || ptxas.getNumOccurrences())) {
    WithColor::error() << "--kernel-options and --ptxas are for GPUs; name one "
                          "by --target: "
                       << join(getGPUTargets(), ", ") << "\n";
    return int(FailureKind::Usage);
  }
  if (path.empty()) {
    const char *endings[] = {".smol", ".o", ".ll", ".s", ".mlir"};
    const char *gpuEndings[] = {".json", ".cubin", ".ll", ".ptx", ".mlir"};
    path = sys::path::stem(input).str() +
           (isGPU ? gpuEndings : endings)[int(options.emit)];
    if (path == input) {
      WithColor::error() << "give the output file by -o: " << path
                         << " is the input\n";
      return int(FailureKind::Usage);
    }
  }
  // As elsewhere, - is standard output; nothing comes if compiling fails.
  bool isPiped = path == "-";
  if (isPiped && (emit == EmitKind::Bundle || emit == EmitKind::Object)) {
    WithColor::error() << "-o - is for --emit=mlir, llvm and asm; bundles and "
                          "objects need a file\n";
    return int(FailureKind::Usage);
  }
  if (isPiped && (explain || timing)) {
    WithColor::error() << "--explain and --time print to standard output, too; "
                          "give a file by -o\n";
    return int(FailureKind::Usage);
  }
  if (isPiped) {
    SmallString<128> temporary;
    if (std::error_code error =
            sys::fs::createTemporaryFile("sysmol", "out", temporary)) {
      WithColor::error() << "no temporary file: " << error.message() << "\n";
      return int(FailureKind::Limit);
    }
    path = temporary.str();
    sys::RemoveFileOnSignal(path);
  }
  FileRemover removeTemporary(path, isPiped);
  // lld resets every cl::opt of the process when it links.
  bool printTimes = timing, printLayers = explain;
  GPUCompileOptions gpu;
  if (isGPU) {
    gpu.chip = options.targets.front();
    gpu.emit = options.emit;
    if (phase.getNumOccurrences())
      gpu.phase = phase;
    gpu.name = name;
    gpu.batch = batch;
    gpu.goldenPairs = golden;
    gpu.seed = seed;
    gpu.kernelOptions = kernelOptions;
    gpu.ptxas = ptxas;
  }
  Expected<CompileReport> report = isGPU ? compileGPUFile(input, path, gpu)
                                         : compileFile(input, path, options);
  if (!report) {
    FailureKind kind = FailureKind::Refused;
    handleAllErrors(report.takeError(), [&](const ErrorInfoBase &info) {
      kind = getFailureKind(info.convertToErrorCode());
      WithColor::error(errs()) << info.message() << "\n";
    });
    return int(kind);
  }
  if (isPiped) {
    auto text = MemoryBuffer::getFile(path);
    if (!text) {
      WithColor::error() << path << ": " << text.getError().message() << "\n";
      return int(FailureKind::Limit);
    }
    outs() << (*text)->getBuffer();
    outs().flush();
    if (outs().has_error()) {
      WithColor::error() << "standard output: " << outs().error().message()
                         << "\n";
      outs().clear_error();
      return int(FailureKind::Limit);
    }
  }
  if (printLayers)
    printExplanation(outs(), *report);
  if (printTimes) {
    for (const PhaseTime &time : report->times)
      outs() << format("%8.3f s  ", time.seconds) << time.phase << "\n";
    if (isGPU)
      return 0;
    outs() << "weights and tables " << report->weightBytes << " bytes, arena "
           << report->arenaBytes << " bytes, float parameters "
           << report->floatBytes << " bytes\n";
  }
  return 0;
}
