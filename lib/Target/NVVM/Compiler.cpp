//===- Compiler.cpp - From networks and products to PTX -------------------===//

#include "sysmol/Target/NVVM/Compiler.h"

#include "CodeGen.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Pass/PassManager.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"
#include "sysmol/InitAll.h"
#include "sysmol/Target/Common/Failure.h"
#include "sysmol/Target/Common/ModelFile.h"
#include "sysmol/Target/Native/Golden.h"
#include "sysmol/Target/Native/Network.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include <chrono>
#include <deque>

using namespace mlir;
using namespace sysmol;

namespace {

struct Chip {
  llvm::StringLiteral name;
  /// Most shared memory of a block, in bytes (CUDA programming guide, compute
  /// capabilities).
  int64_t sharedBytes;
};

} // namespace

/// Chips whose MMAs are those that the kernels use, native.
static constexpr Chip kChips[] = {{"sm_90a", 227 * 1024},
                                  {"sm_90", 227 * 1024},
                                  {"sm_89", 99 * 1024},
                                  {"sm_80", 163 * 1024}};

std::vector<std::string> sysmol::getGPUTargets() {
  std::vector<std::string> names;
  for (const Chip &chip : kChips)
    names.push_back(chip.name.str());
  return names;
}

/// A launch that `chip` cannot make, or success.
static llvm::Error checkSharedMemory(ModuleOp module, const Chip &chip) {
  llvm::Error error = llvm::Error::success();
  module->walk([&](gpu::GPUFuncOp kernel) {
    auto described = kernel->getAttrOfType<DictionaryAttr>(kLaunchAttr);
    if (!described || error)
      return;
    for (auto launch :
         described.getAs<ArrayAttr>("launches").getAsRange<DictionaryAttr>()) {
      int64_t bytes = launch.getAs<IntegerAttr>("shared_bytes").getInt();
      if (bytes > chip.sharedBytes) {
        error = makeError(
            "kernel '" + kernel.getName().str() + "' needs " +
            std::to_string(bytes) + " bytes of shared memory in a block; " +
            chip.name.str() + " has " + std::to_string(chip.sharedBytes) +
            "; give fewer stages");
        return;
      }
    }
  });
  return error;
}

bool sysmol::isGPUTargetName(const std::string &name) {
  return llvm::StringRef(name).starts_with("sm_");
}

/// Attributes of a launch description as JSON.
static llvm::json::Value toJSON(Attribute attr) {
  if (auto dict = dyn_cast<DictionaryAttr>(attr)) {
    llvm::json::Object object;
    for (NamedAttribute entry : dict)
      object[entry.getName().getValue()] = toJSON(entry.getValue());
    return object;
  }
  if (auto array = dyn_cast<ArrayAttr>(attr)) {
    llvm::json::Array list;
    for (Attribute element : array)
      list.push_back(toJSON(element));
    return list;
  }
  if (auto text = dyn_cast<StringAttr>(attr))
    return text.getValue();
  return cast<IntegerAttr>(attr).getInt();
}

/// Whether a function of `module` is more than a kernel.
static bool isNetwork(ModuleOp module) {
  return !llvm::all_of(module.getOps<func::FuncOp>(), hetprec::isKernel);
}

/// Drops what only our passes may say.
static void dropOwnAttributes(ModuleOp module) {
  for (llvm::StringRef name : {kNetworkAttr, kConstantsAttr})
    module->removeAttr(name);
  for (auto function : module.getOps<func::FuncOp>()) {
    function->removeAttr(hetprec::kKernelAttr);
    auto boundary =
        StringAttr::get(module.getContext(), hetprec::kBoundaryAttr);
    for (unsigned i = 0; i < function.getNumArguments(); ++i)
      function.removeArgAttr(i, boundary);
    for (unsigned i = 0; i < function.getNumResults(); ++i)
      function.removeResultAttr(i, boundary);
  }
}

/// A kernel's name that PTX cannot spell, or success.
static llvm::Error checkNames(ModuleOp module) {
  for (auto function : module.getOps<func::FuncOp>()) {
    llvm::StringRef name = function.getName();
    bool isSpelt =
        !name.empty() && !llvm::isDigit(name.front()) &&
        llvm::all_of(name, [](char c) { return llvm::isAlnum(c) || c == '_'; });
    if (!isSpelt)
      return makeError("function '" + name +
                       "' has a name that PTX has not; allowed are letters, "
                       "digits and _, no digit first");
  }
  return llvm::Error::success();
}

/// Names, types and shapes of what a network takes and gives, or what is wrong
/// with them.
static llvm::Error checkInterface(func::FuncOp network,
                                  const GPUCompileOptions &options) {
  runtime::Metadata metadata;
  // Of no interest: the check wants all of it.
  metadata.Model = metadata.Producer = kNetworkName;
  if (llvm::Error error = describeInterface(network, metadata))
    return error;
  for (const auto *tensors : {&metadata.Inputs, &metadata.Outputs})
    for (const runtime::TensorInfo &tensor : *tensors)
      if (!llvm::json::isUTF8(tensor.Name))
        return makeError("the name of an argument or result is not UTF-8");
  return checkGolden(metadata, options.goldenPairs);
}

/// Appends golden tensors to `data`; says where they lie.
static llvm::json::Array appendGolden(llvm::ArrayRef<GoldenPair> golden,
                                      std::string &data) {
  auto append = [&](llvm::ArrayRef<std::vector<uint8_t>> tensors) {
    llvm::json::Array offsets;
    for (const std::vector<uint8_t> &tensor : tensors) {
      data.resize(llvm::alignTo(data.size(), 16));
      offsets.push_back(int64_t(data.size()));
      data.append(tensor.begin(), tensor.end());
    }
    return offsets;
  };
  llvm::json::Array pairs;
  for (const GoldenPair &pair : golden) {
    llvm::json::Array inputs = append(pair.inputs);
    pairs.push_back(llvm::json::Object{{"inputs", std::move(inputs)},
                                       {"outputs", append(pair.outputs)}});
  }
  return pairs;
}

/// Runs ptxas on `ptx`; the cubin appears complete or not at all.
static llvm::Error assemble(const std::string &ptx, const std::string &output,
                            const GPUCompileOptions &options) {
  auto program = options.ptxas.empty()
                     ? llvm::sys::findProgramByName("ptxas")
                     : llvm::ErrorOr<std::string>(options.ptxas);
  if (!program)
    return makeError(
        "ptxas, which makes cubins of PTX, is not in PATH; install "
        "nvidia-cuda-nvcc from PyPI or give its path by --ptxas",
        FailureKind::Usage);
  std::string source = output + ".tmp.ptx", cubin = output + ".tmp.cubin",
              log = output + ".tmp.log";
  llvm::FileRemover removeSource(source), removeCubin(cubin), removeLog(log);
  if (llvm::Error error = writeText(source, ptx))
    return error;
  std::string arch = "-arch=" + options.chip, message;
  std::optional<llvm::StringRef> redirects[] = {std::nullopt, log, log};
  int status = llvm::sys::ExecuteAndWait(
      *program, {*program, arch, "-o", cubin, source}, std::nullopt, redirects,
      /*SecondsToWait=*/0, /*MemoryLimit=*/0, &message);
  if (status != 0) {
    if (auto text = llvm::MemoryBuffer::getFile(log))
      message += (*text)->getBuffer().str();
    llvm::replace(message, '\n', ' ');
    return makeError("ptxas (" + *program + ") failed: " + message,
                     FailureKind::Internal);
  }
  if (std::error_code code = llvm::sys::fs::rename(cubin, output))
    return makeError(output + ": cannot be written: " + code.message());
  return llvm::Error::success();
}

llvm::Expected<CompileReport>
sysmol::compileGPUFile(const std::string &input, const std::string &output,
                       const GPUCompileOptions &options) {
  const Chip *chip = llvm::find_if(
      kChips, [&](const Chip &known) { return known.name == options.chip; });
  if (chip == std::end(kChips))
    return makeError("unknown target '" + options.chip + "'; allowed are " +
                         llvm::join(getGPUTargets(), ", "),
                     FailureKind::Usage);
  if (options.emit == EmitKind::MLIR && options.phase != "gpu" &&
      options.phase != "nvvm")
    return makeError("unknown phase '" + options.phase +
                         "' of a GPU; allowed are gpu and nvvm",
                     FailureKind::Usage);
  llvm::StringRef extension = llvm::sys::path::extension(output);
  if (options.emit == EmitKind::Bundle &&
      llvm::is_contained({".ptx", ".ll", ".bin"}, extension))
    return makeError(output +
                         ": .ptx, .ll and .bin files are written beside it; "
                         "give the output another ending, such as .json",
                     FailureKind::Usage);
  CompileReport report;
  auto last = std::chrono::steady_clock::now();
  auto lap = [&](const char *phase) {
    auto now = std::chrono::steady_clock::now();
    report.times.push_back(
        {phase, std::chrono::duration<double>(now - last).count()});
    last = now;
  };
  std::unique_ptr<MLIRContext> context = makeCompilerContext();
  auto module = readNetwork(input, context.get(), options.batch);
  if (!module)
    return module.takeError();
  ErrorCollector errors(context.get());
  lap("import");

  PassManager planPhase(context.get()), gpuPhase(context.get()),
      nvvmPhase(context.get());
  GPUPhaseOptions gpuOptions;
  if (failed(gpuOptions.parseFromString(options.kernelOptions, llvm::nulls())))
    return makeError("bad options of the kernels '" + options.kernelOptions +
                         "'; see sysmol-opt --help, convert-hetprec-to-gpu",
                     FailureKind::Usage);
  if (gpuOptions.warpgroups && options.chip != "sm_90a")
    return makeError("option warpgroups needs target sm_90a, found " +
                         options.chip,
                     FailureKind::Usage);
  dropOwnAttributes(**module);
  std::vector<GoldenPair> golden;
  if (isNetwork(**module)) {
    if (std::string why = checkModule(**module); !why.empty())
      return makeError(input + ": " + why);
    func::FuncOp network = getNetwork(**module);
    if (llvm::Error error = checkInterface(network, options))
      return makeError(input + ": " + llvm::toString(std::move(error)));
    // As on CPUs: kernels are named after it.
    network.setName(kNetworkName);
    if (options.emit == EmitKind::Bundle) {
      auto pairs = makeGolden(network, options.goldenPairs, options.seed);
      if (!pairs)
        return makeError(input + ": " + llvm::toString(pairs.takeError()));
      golden = std::move(*pairs);
      lap("golden vectors");
    }
    if (auto bytes = network->getAttrOfType<IntegerAttr>("hetprec.float_bytes"))
      report.floatBytes = bytes.getInt();
    // Products are written as planned; a network is not.
    PlanPhaseOptions plan;
    plan.chooseLanes = false;
    buildPlanPhase(planPhase, plan);
    if (failed(planPhase.run(**module)))
      return errors.take("phase plan failed");
    lap("plan");
  }
  if (llvm::Error error = checkNames(**module))
    return makeError(input + ": " + llvm::toString(std::move(error)));
  buildGPUPhase(gpuPhase, gpuOptions);
  buildNVVMPhase(nvvmPhase);
  if (failed(gpuPhase.run(**module)))
    return errors.take("phase gpu failed");
  if (llvm::Error error = checkSharedMemory(**module, *chip))
    return std::move(error);
  if (auto network = (**module)->getAttrOfType<DictionaryAttr>(kNetworkAttr)) {
    report.arenaBytes = network.getAs<IntegerAttr>("arena_bytes").getInt();
    report.weightBytes =
        (**module)->getAttrOfType<DenseElementsAttr>(kConstantsAttr).size();
  }
  lap("gpu");
  std::string mlir;
  llvm::raw_string_ostream mlirStream(mlir);
  bool emitMLIR = options.emit == EmitKind::MLIR;
  if (emitMLIR && options.phase == "gpu") {
    (*module)->print(mlirStream);
    if (llvm::Error error = writeText(output, mlir))
      return error;
    return report;
  }
  if (failed(nvvmPhase.run(**module)))
    return errors.take("phase nvvm failed", FailureKind::Internal);
  lap("nvvm");
  if (emitMLIR) {
    (*module)->print(mlirStream);
    if (llvm::Error error = writeText(output, mlir))
      return error;
    return report;
  }

  auto kernels = *(*module)->getOps<gpu::GPUModuleOp>().begin();
  SmallVector<DictionaryAttr> launches;
  for (auto kernel : kernels.getOps<LLVM::LLVMFuncOp>())
    if (auto launch = kernel->getAttrOfType<DictionaryAttr>(kLaunchAttr)) {
      launches.push_back(launch);
      kernel->removeAttr(kLaunchAttr);
    }
  auto code = generateGPUCode(kernels, options.chip);
  if (!code)
    return makeError(llvm::toString(code.takeError()), FailureKind::Internal);
  lap("ptx");
  switch (options.emit) {
  case EmitKind::Assembly:
    if (llvm::Error error = writeText(output, code->ptx))
      return error;
    return report;
  case EmitKind::LLVMIR:
    if (llvm::Error error = writeText(output, code->llvmIR))
      return error;
    return report;
  case EmitKind::Object:
    if (llvm::Error error = assemble(code->ptx, output, options))
      return error;
    lap("ptxas");
    return report;
  case EmitKind::Bundle:
  case EmitKind::MLIR:
    break;
  }

  // The description last: who sees it sees the files it names.
  auto network = (**module)->getAttrOfType<DictionaryAttr>(kNetworkAttr);
  if (!network && launches.size() != 1)
    return makeError(input +
                     ": a launch description is of one function, found " +
                     llvm::Twine(launches.size()));
  auto beside = [&](llvm::StringRef extension) {
    llvm::SmallString<128> path(output);
    llvm::sys::path::replace_extension(path, extension);
    return path.str().str();
  };
  auto fileName = [](const std::string &path) {
    return llvm::sys::path::filename(path).str();
  };
  std::string ptx = beside(".ptx"), ir = beside(".ll"), data = beside(".bin");
  llvm::json::Value description = toJSON(network ? network : launches.front());
  llvm::json::Object &object = *description.getAsObject();
  object["format"] = network ? "sysmol-gpu-network" : "sysmol-gpu-kernel";
  object["version"] = 1;
  object["name"] =
      options.name.empty() ? llvm::sys::path::stem(output) : options.name;
  object["arch"] = options.chip;
  object["ptx"] = fileName(ptx);
  object["llvm_ir"] = fileName(ir);
  std::vector<std::pair<std::string, std::string>> files = {{ptx, code->ptx},
                                                            {ir, code->llvmIR}};
  if (network) {
    object["data"] = fileName(data);
    auto constants =
        (**module)->getAttrOfType<DenseElementsAttr>(kConstantsAttr);
    llvm::ArrayRef<char> raw = constants.getRawData();
    std::string bytes = constants.isSplat()
                            ? std::string(constants.size(), raw.front())
                            : std::string(raw.begin(), raw.end());
    object["golden"] = appendGolden(golden, bytes);
    files.push_back({data, std::move(bytes)});
  }
  std::string text;
  llvm::raw_string_ostream os(text);
  os << llvm::formatv("{0:2}", description) << "\n";
  files.push_back({output, std::move(text)});
  // All of them, or none.
  std::deque<llvm::FileRemover> written;
  for (const auto &[path, contents] : files) {
    if (llvm::Error error = writeText(path, contents))
      return std::move(error);
    written.emplace_back(path);
  }
  for (llvm::FileRemover &remover : written)
    remover.releaseFile();
  return report;
}
