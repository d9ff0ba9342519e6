//===- Compiler.cpp - From a network to native code -----------------------===//

#include "sysmol/Target/Native/Compiler.h"

#include "LayerTable.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "sysmol/Runtime/Bundle.h"
#include "sysmol/Runtime/Files.h"
#include "sysmol/Target/Common/Failure.h"
#include "sysmol/Target/Common/ModelFile.h"
#include "sysmol/Target/Native/Golden.h"
#include "sysmol/Target/Native/Network.h"
#include "sysmol/Target/Native/Tune.h"
#include "llvm/Support/Path.h"
#include <chrono>
#include <deque>
#include <future>

using namespace mlir;
using namespace sysmol;

//===----------------------------------------------------------------------===//
// Time
//===----------------------------------------------------------------------===//

namespace {

/// Times phases as they end.
class Stopwatch {
public:
  explicit Stopwatch(CompileReport &report) : report(report) {}
  void lap(llvm::StringRef phase) {
    auto now = std::chrono::steady_clock::now();
    report.times.push_back(
        {phase.str(), std::chrono::duration<double>(now - last).count()});
    last = now;
  }

private:
  CompileReport &report;
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
};

/// A context with all that compiling needs, and one module.
struct Program {
  CompilerContext context;
  OwningOpRef<ModuleOp> module;

  func::FuncOp getFunction() { return getNetwork(*module); }
};

} // namespace

//===----------------------------------------------------------------------===//
// In
//===----------------------------------------------------------------------===//

static llvm::Expected<Program> loadProgram(const std::string &input,
                                           const CompileOptions &options) {
  Program program;
  auto module = readNetwork(input, program.context.get(), options.batch);
  if (!module)
    return module.takeError();
  program.module = std::move(*module);
  if (std::string why = checkModule(*program.module); !why.empty())
    return makeError(input + ": " + why);
  nameLayers(program.getFunction());
  return program;
}

static std::string getModelName(const std::string &input,
                                const CompileOptions &options) {
  std::string name =
      options.name.empty() ? llvm::sys::path::stem(input).str() : options.name;
  return name.empty() ? "network" : name;
}

//===----------------------------------------------------------------------===//
// Phases
//===----------------------------------------------------------------------===//

using PhaseBuilder = llvm::function_ref<void(OpPassManager &)>;

static llvm::Error runPhase(ModuleOp module, llvm::StringRef phase,
                            PhaseBuilder build, bool verifyEach) {
  ErrorCollector errors(module.getContext());
  PassManager pm(module.getContext());
  // Behind every pass it takes a sixth of the time that compiling takes: tests
  // ask for it.
  pm.enableVerifier(verifyEach);
  build(pm);
  if (failed(pm.run(module)) || failed(verify(module)))
    return errors.take("phase " + phase + " failed");
  return llvm::Error::success();
}

static std::vector<uint8_t> getWeights(ModuleOp module) {
  auto blob = module->getAttrOfType<DenseElementsAttr>("hetprec.weights");
  ArrayRef<char> raw = blob.getRawData();
  std::vector<uint8_t> bytes(raw.begin(), raw.end());
  if (blob.isSplat())
    bytes.assign(blob.getNumElements(), raw.front());
  return bytes;
}

static llvm::Expected<const NativeTarget *> findTarget(llvm::StringRef name) {
  std::string known;
  for (const NativeTarget &target : getNativeTargetTable()) {
    if (target.name == name)
      return &target;
    known += (known.empty() ? "" : ", ") + target.name;
  }
  return makeError("unknown target '" + name + "'; allowed are " + known,
                   FailureKind::Usage);
}

/// What runs once for each target, in order.
static constexpr struct {
  llvm::StringRef name;
  void (*build)(OpPassManager &, const NativeTarget &, const CompileOptions &);
} kTargetPhases[] = {
    {"loops",
     [](OpPassManager &pm, const NativeTarget &target,
        const CompileOptions &compile) {
       LoopsPhaseOptions options;
       options.laneBlocks = target.laneBlocks;
       options.rowTile = target.rowTile;
       options.spreadNibbles = target.mac != MacLowering::Generic;
       options.profile = compile.profile;
       buildLoopsPhase(pm, options);
     }},
    {"vectors",
     [](OpPassManager &pm, const NativeTarget &target, const CompileOptions &) {
       VectorsPhaseOptions options;
       options.byteSums = target.byteSums;
       options.dotSums = target.dotSums;
       buildVectorsPhase(pm, options);
     }},
    {"llvm",
     [](OpPassManager &pm, const NativeTarget &target,
        const CompileOptions &compile) {
       LLVMPhaseOptions options;
       options.mac = target.mac;
       options.grain = compile.grain;
       buildLLVMPhase(pm, options);
     }},
};

/// Lowers `module` by the phases from `first` to `last`; without a `watch`,
/// beside others.
static llvm::Error lowerForTarget(ModuleOp module, const NativeTarget &target,
                                  const CompileOptions &options,
                                  llvm::StringRef first, llvm::StringRef last,
                                  Stopwatch *watch) {
  bool begun = false;
  for (auto [name, build] : kTargetPhases) {
    begun |= name == first;
    if (!begun)
      continue;
    if (llvm::Error error = runPhase(
            module, name,
            [&](OpPassManager &pm) { build(pm, target, options); },
            options.verifyEach))
      return error;
    if (watch)
      watch->lap((name + ", " + target.name).str());
    if (name == last)
      break;
  }
  return llvm::Error::success();
}

static std::string printModule(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream os(text);
  module.print(os);
  return text;
}

/// What fails behind the packed phase is our own fault: the program was
/// accepted. Leaves `packed` beside the output to reproduce it.
static llvm::Error makeInternal(llvm::Error error, ModuleOp packed,
                                const std::string &output) {
  std::string path = output + ".reproducer.mlir";
  std::string message = llvm::toString(std::move(error));
  message += "; this is a fault of the compiler; ";
  if (llvm::Error unwritten = writeText(path, printModule(packed)))
    message += "no reproducer: " + llvm::toString(std::move(unwritten));
  else
    message += "please report it with '" + path +
               "' (sysmol-opt --hetprec-packed-to-loops ...)";
  return makeError(message, FailureKind::Internal);
}

/// A copy of the packed program, in the vectors phase.
static llvm::Expected<OwningOpRef<ModuleOp>>
lowerToVectors(ModuleOp packed, const NativeTarget &target,
               const CompileOptions &options, Stopwatch *watch) {
  OwningOpRef<ModuleOp> module = packed.clone();
  getNetwork(*module).setName(kNetworkName);
  if (llvm::Error error =
          lowerForTarget(*module, target, options, "loops", "vectors", watch))
    return error;
  return module;
}

/// LLVM IR for one target, of its program in the vectors phase.
static llvm::Expected<TargetModule>
lowerTarget(OwningOpRef<ModuleOp> module, unsigned numInputs,
            const NativeTarget &target, const CompileOptions &options,
            const CodeGenOptions &codegen, Stopwatch &watch,
            std::vector<uint8_t> &weights, uint64_t &arenaBytes,
            runtime::ProfileInfo *profile = nullptr) {
  // One blob for all targets: each adds what the ones before it did not need.
  if (!weights.empty()) {
    Builder b(module->getContext());
    auto type = RankedTensorType::get({int64_t(weights.size())}, b.getI8Type());
    (*module)->setAttr(
        "hetprec.weights",
        DenseElementsAttr::getFromRawBuffer(
            type, ArrayRef(reinterpret_cast<const char *>(weights.data()),
                           weights.size())));
  }
  if (llvm::Error error =
          lowerForTarget(*module, target, options, "llvm", "llvm", &watch))
    return error;
  weights = getWeights(*module);
  for (auto function : module->getOps<LLVM::LLVMFuncOp>())
    if (auto arena =
            function->getAttrOfType<IntegerAttr>("hetprec.arena_bytes"))
      arenaBytes = std::max<uint64_t>(arenaBytes, arena.getInt());
  if (profile)
    *profile = describeProfile(*module);
  ErrorCollector errors(module->getContext());
  auto ir = TargetModule::create(*module, numInputs, target, codegen);
  if (!ir)
    return errors.take(llvm::toString(ir.takeError()));
  return ir;
}

/// As in sysmol-c/Parallel.h: an object needs no file of ours.
static constexpr llvm::StringLiteral kParallelDeclaration = R"(
#ifndef SYSMOL_PARALLEL_DEFINED
#define SYSMOL_PARALLEL_DEFINED
typedef struct sysmol_parallel {
  void *self;
  /* Calls body(frame, task) once for each task below `tasks`, in any order and
   * any thread; returns when all are done and their writes visible. */
  void (*parallel_for)(void *self, uint32_t tasks,
                       void (*body)(void *frame, uint32_t task), void *frame);
} sysmol_parallel;
#endif
)";

/// The C header beside an object file.
static std::string makeHeader(const std::string &symbol,
                              const runtime::Metadata &metadata,
                              size_t weightBytes) {
  std::string text;
  llvm::raw_string_ostream os(text);
  std::string guard = llvm::StringRef(symbol).upper();
  auto list = [&](const char *what,
                  const std::vector<runtime::TensorInfo> &tensors) {
    for (auto [i, t] : llvm::enumerate(tensors)) {
      const char *types[] = {"float", "uint8_t", "int32_t", "int16_t",
                             "int8_t"};
      os << " *   " << what << "[" << i << "]: " << t.Name << ", "
         << types[int(t.Type)];
      for (uint64_t size : t.Shape)
        os << "[" << size << "]";
      os << "\n";
    }
  };
  os << "/* " << metadata.Model << ", compiled by " << metadata.Producer
     << ".\n *\n";
  list("inputs", metadata.Inputs);
  list("outputs", metadata.Outputs);
  os << " *\n * Allocates nothing; callable from many threads at once, each "
        "with its own\n * arena of "
     << guard
     << "_ARENA_BYTES bytes, aligned to 64. `parallel`: NULL, and the\n"
        " * calling thread does it all; else its threads share the tasks, "
        "with the same\n * result. Returns 0. */\n"
     << "#ifndef " << guard << "_H\n#define " << guard
     << "_H\n\n#include <stdint.h>\n\n#ifdef __cplusplus\nextern \"C\" {\n"
     << "#endif\n"
     << kParallelDeclaration << "\n#define " << guard << "_ARENA_BYTES "
     << metadata.ArenaBytes << "\n\nextern const uint8_t " << symbol
     << "_weights[" << weightBytes << "];\n\nint32_t " << symbol
     << "_run(const void *weights, void *arena,\n"
        "            const void *const *inputs, void *const *outputs,\n"
        "            const sysmol_parallel *parallel);\n\n"
        "#ifdef __cplusplus\n}\n#endif\n\n#endif\n";
  return text;
}

static std::string makeSymbol(llvm::StringRef name) {
  std::string symbol;
  for (char c : name)
    symbol += llvm::isAlnum(c) ? c : '_';
  if (symbol.empty() || llvm::isDigit(symbol.front()))
    symbol = "net_" + symbol;
  return symbol;
}

std::vector<std::string> sysmol::getNativeTargets() {
  std::vector<std::string> names;
  for (const NativeTarget &target : getNativeTargetTable())
    names.push_back(target.name);
  return names;
}

llvm::Expected<CompileReport>
sysmol::compileFile(const std::string &input, const std::string &output,
                    const CompileOptions &options) {
  CompileReport report;
  Stopwatch watch(report);
  if (options.targets.empty())
    return makeError("no target given", FailureKind::Usage);
  if (options.profile && options.emit != EmitKind::Bundle &&
      options.emit != EmitKind::MLIR)
    return makeError("a profile is read by sysmol-run: allowed are a bundle "
                     "and mlir",
                     FailureKind::Usage);
  if (options.batch < 1)
    return makeError("the batch is at least one image", FailureKind::Usage);
  if (options.grain < 1)
    return makeError("the grain is at least one cycle; 4000 is the default",
                     FailureKind::Usage);
  llvm::SmallString<128> header(output);
  llvm::sys::path::replace_extension(header, ".h");
  if (options.emit == EmitKind::Object && header.str() == output)
    return makeError("the object '" + output +
                         "' would be its own header; give it another ending",
                     FailureKind::Usage);
  std::vector<const NativeTarget *> targets;
  for (const std::string &name : options.targets) {
    auto target = findTarget(name);
    if (!target)
      return target.takeError();
    if (llvm::is_contained(targets, *target))
      return makeError("target '" + name + "' is given twice",
                       FailureKind::Usage);
    targets.push_back(*target);
  }
  auto program = loadProgram(input, options);
  if (!program)
    return program.takeError();
  watch.lap("import");
  ModuleOp module = *program->module;

  runtime::Metadata metadata;
  metadata.Model = getModelName(input, options);
  metadata.Producer = "sysmol " SYSMOL_VERSION;
  if (llvm::Error error = describeInterface(program->getFunction(), metadata))
    return atInput(input, std::move(error));
  if (options.emit == EmitKind::Bundle)
    if (llvm::Error error = checkGolden(metadata, options.goldenPairs))
      return atInput(input, std::move(error));
  auto floatBytes = readFloatBytes(program->getFunction());
  if (!floatBytes)
    return atInput(input, floatBytes.takeError());
  metadata.FloatBytes = *floatBytes;
  unsigned numInputs = metadata.Inputs.size();

  std::vector<std::vector<std::string>> strategies; // of each target
  // The reference runs what the model phase says.
  OwningOpRef<ModuleOp> model = module.clone();
  // One plan for all targets: the first one's.
  CostTable costs = loadCostTable(targets.front()->name);
  struct {
    llvm::StringRef name;
    std::function<void(OpPassManager &)> build;
  } phases[] = {{"model", nullptr},
                {"plan",
                 [&](OpPassManager &pm) {
                   PlanPhaseOptions plan;
                   plan.setCosts(costs);
                   buildPlanPhase(pm, plan);
                 }},
                {"packed", buildPackedPhase}};
  for (const auto &[name, build] : phases) {
    if (build)
      if (llvm::Error error = runPhase(module, name, build, options.verifyEach))
        return error;
    watch.lap(name);
    if (name == "plan") {
      metadata.Layers = describeLayers(program->getFunction());
      for (const NativeTarget *target : targets)
        strategies.push_back(
            describeStrategies(program->getFunction(), *target));
    }
    if (name == "packed") {
      addLayerBytes(program->getFunction(), metadata.Layers);
      addPredictions(program->getFunction(), costs, metadata.Layers);
      report.layers = metadata.Layers;
      report.strategies = strategies.front();
      report.costSource = costs.source;
    }
    if (options.forbidFallback && name == "packed")
      if (std::string found = findFallback(program->getFunction());
          !found.empty())
        return makeError(found + "; compile without --forbid-fallback to "
                                 "accept that");
    if (options.emit == EmitKind::MLIR && options.phase == name) {
      if (llvm::Error error = writeText(output, printModule(module)))
        return error;
      return report;
    }
  }
  if (options.emit == EmitKind::MLIR) {
    if (llvm::none_of(kTargetPhases, [&](const auto &phase) {
          return phase.name == options.phase;
        }))
      return makeError("unknown phase '" + options.phase +
                           "'; allowed are model, plan, packed, loops, "
                           "vectors, llvm",
                       FailureKind::Usage);
    OwningOpRef<ModuleOp> lowered = module.clone();
    if (llvm::Error error = lowerForTarget(*lowered, *targets.front(), options,
                                           "loops", options.phase, &watch))
      return makeInternal(std::move(error), module, output);
    if (llvm::Error error = writeText(output, printModule(*lowered)))
      return error;
    return report;
  }

  std::vector<uint8_t> weights;
  report.floatBytes = metadata.FloatBytes;
  if (options.emit != EmitKind::Bundle) {
    std::string symbol = makeSymbol(metadata.Model);
    CodeGenOptions codegen;
    codegen.kind = options.emit == EmitKind::Object     ? CodeKind::Object
                   : options.emit == EmitKind::Assembly ? CodeKind::Assembly
                                                        : CodeKind::LLVMIR;
    codegen.entryName = symbol + "_run";
    if (options.emit == EmitKind::Object)
      codegen.weightsName = symbol + "_weights";
    auto vectors = lowerToVectors(module, *targets.front(), options, &watch);
    if (!vectors)
      return makeInternal(vectors.takeError(), module, output);
    auto ir =
        lowerTarget(std::move(*vectors), numInputs, *targets.front(), options,
                    codegen, watch, weights, metadata.ArenaBytes);
    if (!ir)
      return makeInternal(ir.takeError(), module, output);
    auto code = ir->generateCode();
    if (!code)
      return makeInternal(code.takeError(), module, output);
    watch.lap("machine code");
    report.weightBytes = weights.size();
    report.arenaBytes = metadata.ArenaBytes;
    std::string declarations;
    if (options.emit == EmitKind::Object)
      declarations = makeHeader(symbol, metadata, weights.size());
    auto getBytes = [](const auto &text) {
      return std::span(reinterpret_cast<const uint8_t *>(text.data()),
                       text.size());
    };
    std::vector<runtime::FileContent> files = {{output, getBytes(*code)}};
    if (options.emit == EmitKind::Object)
      files.push_back({header.str().str(), getBytes(declarations)});
    runtime::Status written = runtime::writeFilesAtomically(files);
    if (!written)
      return makeError(written.error());
    return report;
  }

  using Objects = llvm::Expected<std::vector<llvm::SmallVector<char, 0>>>;
  std::vector<std::pair<runtime::CodeInfo, std::vector<uint8_t>>> codes;
  std::deque<TargetModule> modules; // stay where they are as others come
  std::vector<runtime::ProfileInfo> profiles(targets.size());
  std::vector<std::future<Objects>> objects(targets.size());
  // Each target has an LLVM context of its own: its code is generated while the
  // next one is lowered. The generic lowering makes the longest code: first.
  // Where threads may share the MLIR context, targets behind the first one are
  // lowered to vectors beside it, and the reference runs beside all of them.
  // The futures wait for their threads, also on an error.
  const bool sharesContext = module.getContext()->isMultithreadingEnabled();
  const auto beside = sharesContext ? std::launch::async | std::launch::deferred
                                    : std::launch::deferred;
  SmallVector<size_t> order = llvm::to_vector(llvm::seq(targets.size()));
  llvm::stable_sort(order, [&](size_t a, size_t b) {
    return targets[a]->mac == MacLowering::Generic &&
           targets[b]->mac != MacLowering::Generic;
  });
  using Lowered = llvm::Expected<OwningOpRef<ModuleOp>>;
  std::vector<std::future<Lowered>> vectors(targets.size());
  for (size_t i : order) {
    bool alone = i == order.front() || !sharesContext;
    vectors[i] =
        std::async(alone ? std::launch::deferred : beside, [&, i, alone] {
          return lowerToVectors(module, *targets[i], options,
                                alone ? &watch : nullptr);
        });
  }
  std::future<llvm::Expected<std::vector<GoldenPair>>> golden =
      std::async(beside, [&] {
        return makeGolden(getNetwork(*model), options.goldenPairs,
                          options.seed);
      });
  for (size_t i : order) {
    Lowered lowered = vectors[i].get();
    if (!lowered)
      return makeInternal(lowered.takeError(), module, output);
    if (i != order.front() && sharesContext)
      watch.lap("loops and vectors, " + targets[i]->name);
    auto ir = lowerTarget(std::move(*lowered), numInputs, *targets[i], options,
                          CodeGenOptions(), watch, weights, metadata.ArenaBytes,
                          &profiles[i]);
    if (!ir)
      return makeInternal(ir.takeError(), module, output);
    // The last one, and where no thread can be started, in this thread.
    auto policy = i == order.back()
                      ? std::launch::deferred
                      : std::launch::async | std::launch::deferred;
    objects[i] =
        std::async(policy, [&ir = modules.emplace_back(std::move(*ir))] {
          return ir.generateObjects();
        });
  }
  llvm::Error failures = llvm::Error::success();
  objects[order.back()].wait(); // it runs now, beside the others
  for (auto [target, profile, strategy, future] :
       llvm::zip_equal(targets, profiles, strategies, objects)) {
    auto object = future.get(); // every one: errors are joined
    if (!object) {
      failures = llvm::joinErrors(std::move(failures), object.takeError());
      continue;
    }
    auto shared = linkSharedObject(*object);
    if (!shared) {
      failures = llvm::joinErrors(std::move(failures), shared.takeError());
      continue;
    }
    codes.emplace_back(runtime::CodeInfo{target->name, target->required,
                                         std::move(strategy),
                                         std::move(profile)},
                       std::move(*shared));
  }
  if (failures)
    return makeInternal(std::move(failures), module, output);
  watch.lap("machine code");
  report.weightBytes = weights.size();
  report.arenaBytes = metadata.ArenaBytes;
  runtime::BundleWriter writer(metadata);
  for (auto &[info, code] : codes)
    writer.addCode(info, std::move(code));
  writer.setWeights(std::move(weights));
  auto pairs = golden.get();
  if (!pairs)
    return atInput(input, pairs.takeError());
  for (const GoldenPair &pair : *pairs) {
    std::vector<std::span<const uint8_t>> in(pair.inputs.begin(),
                                             pair.inputs.end()),
        out(pair.outputs.begin(), pair.outputs.end());
    writer.addGolden(in, out);
  }
  watch.lap("golden vectors");
  runtime::Status written = writer.writeFile(output);
  if (!written)
    return makeError(written.error());
  watch.lap("write");
  return report;
}

llvm::Expected<std::vector<uint8_t>>
sysmol::runReference(const std::string &input,
                     const std::vector<uint8_t> &inputs, uint64_t calls,
                     const CompileOptions &options) {
  auto program = loadProgram(input, options);
  if (!program)
    return program.takeError();
  func::FuncOp function = program->getFunction();
  uint64_t perCall = 0;
  std::vector<uint64_t> sizes;
  for (Type type : function.getArgumentTypes()) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor || !tensor.hasStaticShape())
      return makeError(input + ": arguments must be tensors of static shape");
    sizes.push_back(tensor.getNumElements() * tensor.getElementTypeBitWidth() /
                    8);
    perCall += sizes.back();
  }
  if (perCall == 0 || inputs.size() / perCall != calls ||
      inputs.size() % perCall != 0)
    return makeError(input + ": " + llvm::Twine(calls) + " calls need " +
                     llvm::Twine(perCall) + " bytes each, found " +
                     llvm::Twine(inputs.size()) + " in all");
  std::vector<uint8_t> result;
  const uint8_t *next = inputs.data();
  for (uint64_t call = 0; call < calls; ++call) {
    std::vector<std::vector<uint8_t>> args;
    for (uint64_t size : sizes) {
      args.emplace_back(next, next + size);
      next += size;
    }
    auto outputs = interpretOnce(function, args);
    if (!outputs)
      return outputs.takeError();
    for (const std::vector<uint8_t> &bytes : *outputs)
      result.insert(result.end(), bytes.begin(), bytes.end());
  }
  return result;
}
