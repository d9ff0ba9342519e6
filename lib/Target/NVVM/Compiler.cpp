//===- Compiler.cpp - From networks and products to PTX -------------------===//

#include "sysmol/Target/NVVM/Compiler.h"

#include "CodeGen.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Pass/PassManager.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"
#include "sysmol/InitAll.h"
#include "sysmol/Runtime/Files.h"
#include "sysmol/Target/Common/Failure.h"
#include "sysmol/Target/Common/ModelFile.h"
#include "sysmol/Target/NVVM/Limits.h"
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

using namespace mlir;
using namespace sysmol;

std::vector<std::string> sysmol::getGPUTargets() {
  std::vector<std::string> names;
  for (const GPUChip &chip : kGPUChips)
    names.push_back(chip.name.str());
  return names;
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

/// Launches of a product or a network, whichever `module` was.
static SmallVector<DictionaryAttr> collectLaunches(ModuleOp module) {
  SmallVector<DictionaryAttr> launches;
  auto take = [&](DictionaryAttr described) {
    if (described)
      llvm::append_range(
          launches,
          described.getAs<ArrayAttr>("launches").getAsRange<DictionaryAttr>());
  };
  take(module->getAttrOfType<DictionaryAttr>(kNetworkAttr));
  module->walk([&](gpu::GPUFuncOp kernel) {
    take(kernel->getAttrOfType<DictionaryAttr>(kLaunchAttr));
  });
  return launches;
}

/// A launch that `chip` cannot make, or success.
static llvm::Error checkSharedMemory(ModuleOp module, const GPUChip &chip) {
  for (DictionaryAttr launch : collectLaunches(module)) {
    int64_t bytes = launch.getAs<IntegerAttr>("shared_bytes").getInt();
    if (bytes > chip.sharedBytes)
      return makeError(
          "kernel '" + launch.getAs<StringAttr>("entry").getValue() +
          "' needs " + llvm::Twine(bytes) +
          " bytes of shared memory in a block; " + chip.name + " has " +
          llvm::Twine(chip.sharedBytes) + "; give fewer stages");
  }
  return llvm::Error::success();
}

/// Memory of a network that no reader of its description takes, or success.
static llvm::Error checkMemory(DictionaryAttr network, uint64_t constantBytes) {
  auto check = [](const llvm::Twine &what, uint64_t bytes) -> llvm::Error {
    if (bytes <= kMaxNetworkBytes)
      return llvm::Error::success();
    return makeError(what + " would have " + llvm::Twine(bytes) +
                         " bytes; at most " + llvm::Twine(kMaxNetworkBytes) +
                         " are allowed; compile for fewer or smaller images",
                     FailureKind::Limit);
  };
  for (NamedAttribute buffer : network.getAs<DictionaryAttr>("buffers")) {
    auto fields = cast<DictionaryAttr>(buffer.getValue());
    if (llvm::Error error =
            check("buffer '" + buffer.getName().getValue() + "'",
                  fields.getAs<IntegerAttr>("bytes").getInt()))
      return error;
  }
  if (llvm::Error error = check("the constants", constantBytes))
    return error;
  return check("the arena", network.getAs<IntegerAttr>("arena_bytes").getInt());
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

/// A function's name that is no name of a kernel, or success.
static llvm::Error checkNames(ModuleOp module) {
  for (auto function : module.getOps<func::FuncOp>()) {
    llvm::StringRef name = function.getName();
    // PTX wants something behind a leading _, and names one constant itself;
    // it has no other reserved words. What begins with __ is shared memory.
    bool isSpelt =
        !name.empty() && !llvm::isDigit(name.front()) &&
        !name.starts_with("__") && name != "_" && name != "WARP_SZ" &&
        llvm::all_of(name, [](char c) { return llvm::isAlnum(c) || c == '_'; });
    if (!isSpelt)
      return makeError("function '" + name +
                       "' has a name that PTX has not; allowed are letters, "
                       "digits and _, no digit and no __ first, but not _ and "
                       "WARP_SZ");
  }
  return llvm::Error::success();
}

/// Text that the description cannot hold, or success.
static llvm::Error checkText(const llvm::Twine &what, llvm::StringRef text,
                             FailureKind kind = FailureKind::Refused) {
  bool hasControl =
      llvm::any_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (!text.empty() && text.size() <= 1024 && !hasControl &&
      llvm::json::isUTF8(text))
    return llvm::Error::success();
  return makeError(what + " is not usable; allowed are 1 to 1024 bytes of "
                          "UTF-8 without control characters",
                   kind);
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
      if (llvm::Error error =
              checkText("the name of an argument or result", tensor.Name))
        return error;
  // None are made for other outputs.
  if (options.emit != EmitKind::Bundle)
    return llvm::Error::success();
  return checkGolden(metadata, options.goldenPairs);
}

/// What is wrong with the options alone, or success.
static llvm::Error checkOptions(const GPUCompileOptions &options,
                                const std::string &output) {
  if (!findGPUChip(options.chip))
    return makeError("unknown target '" + options.chip + "'; allowed are " +
                         llvm::join(getGPUTargets(), ", "),
                     FailureKind::Usage);
  if (options.emit == EmitKind::MLIR && options.phase != "gpu" &&
      options.phase != "nvvm")
    return makeError("unknown phase '" + options.phase +
                         "' of a GPU; allowed are gpu and nvvm",
                     FailureKind::Usage);
  if (options.batch < 1)
    return makeError("the batch is at least one image", FailureKind::Usage);
  if (options.emit != EmitKind::Bundle)
    return llvm::Error::success();
  // What reads descriptions knows them by it.
  if (llvm::sys::path::extension(output) != ".json")
    return makeError(output +
                         ": the description of a GPU's code must end in .json; "
                         ".ptx, .ll and .bin files are written beside it",
                     FailureKind::Usage);
  return checkText("the name of the output '" +
                       llvm::sys::path::filename(output) + "'",
                   llvm::sys::path::filename(output), FailureKind::Usage);
}

/// What `options.kernelOptions` say.
static llvm::Error parseKernelOptions(const GPUCompileOptions &options,
                                      GPUPhaseOptions &kernels) {
  if (failed(kernels.parseFromString(options.kernelOptions, llvm::nulls())))
    return makeError("bad options of the kernels '" + options.kernelOptions +
                         "'; see sysmol-opt --help, convert-hetprec-to-gpu",
                     FailureKind::Usage);
  if (std::string why = checkKernelOptions(kernels.warps, kernels.unroll,
                                           kernels.threads, kernels.stages);
      !why.empty())
    return makeError("--kernel-options: " + why, FailureKind::Usage);
  if (kernels.warpgroups && options.chip != "sm_90a")
    return makeError("option warpgroups needs target sm_90a, found " +
                         options.chip,
                     FailureKind::Usage);
  bool hasNibbles = findGPUChip(options.chip)->hasNibbleMMA;
  if (!kernels.nibbleMMA.hasValue())
    kernels.nibbleMMA = hasNibbles;
  else if (kernels.nibbleMMA && !hasNibbles)
    return makeError("option nibble-mma needs target sm_80 or sm_89, found " +
                         options.chip,
                     FailureKind::Usage);
  return llvm::Error::success();
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
  if (!llvm::sys::fs::can_execute(*program))
    return makeError(*program + ": is no program that can be run; give the "
                                "path of ptxas by --ptxas, or leave that out "
                                "where PATH has it",
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

/// The description of what `module` was, and the files beside it.
static llvm::Error writeBundle(ModuleOp module, DictionaryAttr product,
                               const GPUCode &code, const std::string &output,
                               const std::string &name,
                               llvm::ArrayRef<GoldenPair> golden,
                               const GPUCompileOptions &options) {
  auto network = module->getAttrOfType<DictionaryAttr>(kNetworkAttr);
  auto beside = [&](llvm::StringRef extension) {
    llvm::SmallString<128> path(output);
    llvm::sys::path::replace_extension(path, extension);
    return path.str().str();
  };
  auto fileName = [](const std::string &path) {
    return llvm::sys::path::filename(path).str();
  };
  std::string ptx = beside(".ptx"), ir = beside(".ll"), data = beside(".bin");
  llvm::json::Value description = toJSON(network ? network : product);
  llvm::json::Object &object = *description.getAsObject();
  object["format"] = network ? "sysmol-gpu-network" : "sysmol-gpu-kernel";
  object["version"] = 1;
  object["name"] = name;
  object["arch"] = options.chip;
  object["ptx"] = fileName(ptx);
  object["llvm_ir"] = fileName(ir);
  auto bytesOf = [](llvm::StringRef text) {
    return std::span(reinterpret_cast<const uint8_t *>(text.data()),
                     text.size());
  };
  std::vector<runtime::FileContent> files = {{ptx, bytesOf(code.ptx)},
                                             {ir, bytesOf(code.llvmIR)}};
  std::string bytes;
  if (network) {
    object["data"] = fileName(data);
    auto constants = module->getAttrOfType<DenseElementsAttr>(kConstantsAttr);
    llvm::ArrayRef<char> raw = constants.getRawData();
    bytes = constants.isSplat() ? std::string(constants.size(), raw.front())
                                : std::string(raw.begin(), raw.end());
    object["golden"] = appendGolden(golden, bytes);
    files.push_back({data, bytesOf(bytes)});
  }
  std::string text = llvm::formatv("{0:2}\n", description);
  // Last: who sees it sees the files it names.
  files.push_back({output, bytesOf(text)});
  runtime::Status written = runtime::writeFilesAtomically(files);
  return written ? llvm::Error::success() : makeError(written.error());
}

llvm::Expected<CompileReport>
sysmol::compileGPUFile(const std::string &input, const std::string &output,
                       const GPUCompileOptions &options) {
  if (llvm::Error error = checkOptions(options, output))
    return std::move(error);
  GPUPhaseOptions gpuOptions;
  if (llvm::Error error = parseKernelOptions(options, gpuOptions))
    return std::move(error);
  std::string name =
      options.name.empty() ? llvm::sys::path::stem(output).str() : options.name;
  if (options.emit == EmitKind::Bundle)
    if (llvm::Error error = checkText("the name of the model", name))
      return atInput(input, std::move(error));
  CompileReport report;
  auto last = std::chrono::steady_clock::now();
  auto lap = [&](const char *phase) {
    auto now = std::chrono::steady_clock::now();
    report.times.push_back(
        {phase, std::chrono::duration<double>(now - last).count()});
    last = now;
  };
  CompilerContext context;
  auto read = readNetwork(input, context.get(), options.batch);
  if (!read)
    return read.takeError();
  ModuleOp module = **read;
  ErrorCollector errors(context.get());
  lap("import");

  PassManager planPhase(context.get()), gpuPhase(context.get()),
      nvvmPhase(context.get());
  dropOwnAttributes(module);
  if (module.getOps<func::FuncOp>().empty())
    return makeError(input + ": holds no function; allowed are one network, or "
                             "functions of one product each");
  OwningOpRef<ModuleOp> model; // of a network: the reference runs it
  if (isNetwork(module)) {
    if (std::string why = checkModule(module); !why.empty())
      return makeError(input + ": " + why);
    func::FuncOp network = getNetwork(module);
    if (llvm::Error error = checkInterface(network, options))
      return atInput(input, std::move(error));
    auto floatBytes = readFloatBytes(network);
    if (!floatBytes)
      return atInput(input, floatBytes.takeError());
    report.floatBytes = *floatBytes;
    // As on CPUs: kernels are named after it.
    network.setName(kNetworkName);
    model = module.clone();
    // Products are written as planned; a network is not.
    PlanPhaseOptions plan;
    plan.chooseLanes = false;
    buildPlanPhase(planPhase, plan);
    if (failed(planPhase.run(module)))
      return errors.take("phase plan failed");
    lap("plan");
  }
  if (llvm::Error error = checkNames(module))
    return atInput(input, std::move(error));
  buildGPUPhase(gpuPhase, gpuOptions);
  buildNVVMPhase(nvvmPhase);
  if (failed(gpuPhase.run(module)))
    return errors.take("phase gpu failed");
  if (llvm::Error error = checkSharedMemory(module, *findGPUChip(options.chip)))
    return atInput(input, std::move(error));
  if (auto network = module->getAttrOfType<DictionaryAttr>(kNetworkAttr)) {
    report.arenaBytes = network.getAs<IntegerAttr>("arena_bytes").getInt();
    report.weightBytes =
        module->getAttrOfType<DenseElementsAttr>(kConstantsAttr).size();
    if (llvm::Error error = checkMemory(network, report.weightBytes))
      return atInput(input, std::move(error));
  }
  lap("gpu");
  auto printTo = [&](const std::string &path) -> llvm::Expected<CompileReport> {
    std::string text;
    llvm::raw_string_ostream os(text);
    module.print(os);
    if (llvm::Error error = writeText(path, text))
      return error;
    return report;
  };
  bool emitMLIR = options.emit == EmitKind::MLIR;
  if (emitMLIR && options.phase == "gpu")
    return printTo(output);
  if (failed(nvvmPhase.run(module)))
    return errors.take("phase nvvm failed", FailureKind::Internal);
  lap("nvvm");
  if (emitMLIR)
    return printTo(output);

  auto kernels = module.lookupSymbol<gpu::GPUModuleOp>(kKernelsName);
  SmallVector<DictionaryAttr> products;
  for (auto kernel : kernels.getOps<LLVM::LLVMFuncOp>())
    if (auto launch = kernel->getAttrOfType<DictionaryAttr>(kLaunchAttr)) {
      products.push_back(launch);
      kernel->removeAttr(kLaunchAttr);
    }
  bool isBundle = options.emit == EmitKind::Bundle;
  if (isBundle && !model && products.size() != 1)
    return makeError(input +
                     ": a launch description is of one function, found " +
                     llvm::Twine(products.size()));
  auto code = generateGPUCode(kernels, options.chip);
  if (!code)
    return makeError(llvm::toString(code.takeError()), FailureKind::Internal);
  lap("ptx");
  llvm::Error error = llvm::Error::success();
  if (options.emit == EmitKind::Assembly) {
    error = writeText(output, code->ptx);
  } else if (options.emit == EmitKind::LLVMIR) {
    error = writeText(output, code->llvmIR);
  } else if (options.emit == EmitKind::Object) {
    error = assemble(code->ptx, output, options);
    lap("ptxas");
  } else {
    std::vector<GoldenPair> golden;
    if (model) {
      auto pairs =
          makeGolden(getNetwork(*model), options.goldenPairs, options.seed);
      if (!pairs)
        return atInput(input, pairs.takeError());
      golden = std::move(*pairs);
      lap("golden vectors");
    }
    error = writeBundle(module, model ? DictionaryAttr() : products.front(),
                        *code, output, name, golden, options);
    lap("write");
  }
  if (error)
    return std::move(error);
  return report;
}
