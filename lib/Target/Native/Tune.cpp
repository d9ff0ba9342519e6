//===- Tune.cpp - Measuring a machine -------------------------------------===//
//
// Small kernels of `hetprec.mac` on registers and L1, in several tiles, go
// through the last phase of the pipeline and run here; the best tile is the
// ceiling. Reading is measured by sums over buffers of three sizes.
//
//===----------------------------------------------------------------------===//

#include "sysmol/Target/Native/Tune.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "sysmol/InitAll.h"
#include "sysmol/Runtime/Profile.h"
#include "sysmol/Target/Common/Failure.h"
#include "sysmol/Target/Native/CodeGen.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/TargetParser/Host.h"
#include <chrono>
#include <unistd.h>

using namespace mlir;
using namespace sysmol;

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

namespace {
/// A function from one buffer of bytes to another.
struct Kernel {
  std::string text;
  uint64_t inputBytes = 0, outputBytes = 0;
  /// What one run does: multiply-accumulates or bytes.
  double work = 0;
};

/// Rows by blocks of 64 lanes.
struct Tile {
  int rows, blocks;
};

class Writer {
public:
  std::string value() { return "%v" + std::to_string(next++); }
  /// A line that defines a new value.
  std::string op(const llvm::Twine &text) {
    std::string name = value();
    os << "  " << name << " = " << text << "\n";
    return name;
  }
  std::string at(const std::string &base, int64_t offset) {
    return op("affine.apply affine_map<(d0) -> (d0 + " + llvm::Twine(offset) +
              ")>(" + base + ")");
  }
  /// `%r0, ... = scf.for %i in range` over `count` values `%a0, ...` of `type`.
  void openLoop(const char *range, int64_t count, const std::string &init,
                const std::string &type) {
    std::string results, args, types;
    for (int64_t i = 0; i < count; ++i) {
      const char *comma = i ? ", " : "";
      results += comma + ("%r" + std::to_string(i));
      args += comma + ("%a" + std::to_string(i) + " = " + init);
      types += comma + type;
    }
    loopTypes = types;
    os << "  " << results << " = scf.for %i = " << range << " iter_args("
       << args << ") -> (" << types << ") {\n";
  }
  /// Ends the loop, and the function: stores the results one after another.
  void closeLoop(llvm::ArrayRef<std::string> yields, const std::string &type,
                 uint64_t outputBytes) {
    os << "  scf.yield " << llvm::join(yields, ", ") << " : " << loopTypes
       << "\n  }\n";
    for (size_t i = 0; i < yields.size(); ++i) {
      std::string bytes = "%r" + std::to_string(i);
      if (type != "vector<64xi8>")
        bytes = op("vector.bitcast " + llvm::Twine(bytes) + " : " + type +
                   " to vector<64xi8>");
      std::string place = at("%c0", int64_t(i) * 64);
      os << "  vector.store " << bytes << ", %out[" << place << "] : memref<"
         << outputBytes << "xi8>, vector<64xi8>\n";
    }
    os << "  return\n}\n";
  }
  std::string text;
  llvm::raw_string_ostream os{text};

private:
  int next = 0;
  std::string loopTypes;
};
} // namespace

/// Named as a network is (Network.h).
static std::string getHead(const Kernel &kernel) {
  std::string in = std::to_string(kernel.inputBytes),
              out = std::to_string(kernel.outputBytes);
  return "func.func @network(%in: memref<" + in + "xi8>, %out: memref<" + out +
         "xi8>) {\n  %c0 = arith.constant 0 : index\n"
         "  %c1 = arith.constant 1 : index\n";
}

/// Levels 1 and 2: sums of bytes, widened to 16 bits before one overflows, as
/// hetprec-vectorize-lanes does it.
static Kernel makeByteKernel(int64_t level, Tile tile) {
  const int64_t depth = level == 1 ? 31 : 9, trips = level == 1 ? 300 : 1000;
  const int64_t sums = tile.rows * tile.blocks;
  const int64_t lanesBytes = depth * tile.blocks * 64;
  Kernel kernel;
  // The address moves with the loop, or all of it would leave the loop.
  kernel.inputBytes = lanesBytes + 4 * 64 + depth * tile.rows + 64;
  kernel.outputBytes = sums * 2 * 64;
  kernel.work = double(trips) * depth * sums * 64 * (level == 1 ? 8 : 3);
  Writer w;
  w.os << getHead(kernel) << "  %trips = arith.constant " << trips
       << " : index\n  %three = arith.constant 3 : index\n"
          "  %line = arith.constant 64 : index\n"
          "  %mask = arith.constant dense<255> : vector<32xi16>\n"
          "  %eight = arith.constant dense<8> : vector<32xi16>\n"
          "  %zero = arith.constant dense<0> : vector<64xi8>\n"
          "  %wide = arith.constant dense<0> : vector<32xi16>\n  ";
  w.openLoop("%c0 to %trips step %c1", 2 * sums, "%wide", "vector<32xi16>");
  std::string low = w.op("arith.andi %i, %three : index");
  std::string base = w.op("arith.muli " + low + ", %line : index");
  std::vector<std::string> sum(sums, "%zero");
  for (int64_t n = 0; n < depth; ++n) {
    std::vector<std::string> lanes, rows;
    for (int64_t b = 0; b < tile.blocks; ++b)
      lanes.push_back(w.op("vector.load %in[" +
                           w.at(base, (n * tile.blocks + b) * 64) +
                           "] : memref<" + llvm::Twine(kernel.inputBytes) +
                           "xi8>, vector<64xi8>"));
    for (int64_t r = 0; r < tile.rows; ++r)
      rows.push_back(w.op("memref.load %in[" +
                          w.at(low, lanesBytes + 4 * 64 + n * tile.rows + r) +
                          "] : memref<" + llvm::Twine(kernel.inputBytes) +
                          "xi8>"));
    for (int64_t s = 0; s < sums; ++s)
      sum[s] = w.op("hetprec.mac " + llvm::Twine(sum[s]) + ", " +
                    lanes[s % tile.blocks] + ", " + rows[s / tile.blocks] +
                    " level = " + llvm::Twine(level) +
                    " : vector<64xi8>, vector<64xi8>, i8");
  }
  std::vector<std::string> yields;
  for (int64_t s = 0; s < sums; ++s) {
    std::string pairs = w.op("vector.bitcast " + llvm::Twine(sum[s]) +
                             " : vector<64xi8> to vector<32xi16>");
    std::string even =
        w.op("arith.andi " + llvm::Twine(pairs) + ", %mask : vector<32xi16>");
    std::string odd =
        w.op("arith.shrui " + llvm::Twine(pairs) + ", %eight : vector<32xi16>");
    for (int half = 0; half < 2; ++half)
      yields.push_back(w.op("arith.addi %a" + llvm::Twine(2 * s + half) + ", " +
                            (half ? odd : even) + " : vector<32xi16>"));
  }
  w.closeLoop(yields, "vector<32xi16>", kernel.outputBytes);
  kernel.text = std::move(w.text);
  return kernel;
}

/// Levels 4 and 8, both bytes by then: sums of 32 bits, sixteen lanes each.
static Kernel makeWordKernel(Tile tile) {
  const int64_t depth = 8, trips = 1500, sums = tile.rows * tile.blocks;
  const int64_t lanesBytes = depth * tile.blocks * 64;
  Kernel kernel;
  kernel.inputBytes = lanesBytes + 4 * 64 + depth * tile.rows * 4 + 64;
  kernel.outputBytes = sums * 64;
  kernel.work = double(trips) * depth * sums * 64;
  Writer w;
  w.os << getHead(kernel) << "  %trips = arith.constant " << trips
       << " : index\n  %three = arith.constant 3 : index\n"
          "  %line = arith.constant 64 : index\n"
          "  %zero = arith.constant dense<0> : vector<16xi32>\n  ";
  w.openLoop("%c0 to %trips step %c1", sums, "%zero", "vector<16xi32>");
  std::string low = w.op("arith.andi %i, %three : index");
  std::string base = w.op("arith.muli " + low + ", %line : index");
  std::vector<std::string> sum;
  sum.reserve(sums);
  for (int64_t s = 0; s < sums; ++s)
    sum.push_back("%a" + std::to_string(s));
  std::string type = "memref<" + std::to_string(kernel.inputBytes) + "xi8>, ";
  for (int64_t n = 0; n < depth; ++n) {
    std::vector<std::string> lanes, rows;
    for (int64_t b = 0; b < tile.blocks; ++b)
      lanes.push_back(w.op("vector.bitcast " +
                           w.op("vector.load %in[" +
                                w.at(base, (n * tile.blocks + b) * 64) +
                                "] : " + type + "vector<64xi8>") +
                           " : vector<64xi8> to vector<16xi32>"));
    for (int64_t r = 0; r < tile.rows; ++r) {
      std::string word =
          w.op("vector.load %in[" +
               w.at(low, lanesBytes + 4 * 64 + (n * tile.rows + r) * 4) +
               "] : " + type + "vector<4xi8>");
      std::string number = w.op("vector.bitcast " + llvm::Twine(word) +
                                " : vector<4xi8> to vector<1xi32>");
      rows.push_back(w.op("vector.extract " + llvm::Twine(number) +
                          "[0] : i32 from vector<1xi32>"));
    }
    for (int64_t s = 0; s < sums; ++s)
      sum[s] = w.op("hetprec.mac " + llvm::Twine(sum[s]) + ", " +
                    lanes[s % tile.blocks] + ", " + rows[s / tile.blocks] +
                    " level = 8 : vector<16xi32>, vector<16xi32>, i32");
  }
  w.closeLoop(sum, "vector<16xi32>", kernel.outputBytes);
  kernel.text = std::move(w.text);
  return kernel;
}

/// Reads `bytes` once.
static Kernel makeReader(uint64_t bytes) {
  constexpr int chains = 8;
  Kernel kernel;
  kernel.inputBytes = bytes;
  kernel.outputBytes = chains * 64;
  kernel.work = double(bytes);
  Writer w;
  w.os << getHead(kernel) << "  %end = arith.constant " << bytes
       << " : index\n  %step = arith.constant " << chains * 64
       << " : index\n  %zero = arith.constant dense<0> : vector<64xi8>\n  ";
  w.openLoop("%c0 to %end step %step", chains, "%zero", "vector<64xi8>");
  std::vector<std::string> yields;
  yields.reserve(chains);
  for (int i = 0; i < chains; ++i)
    yields.push_back(
        w.op("arith.xori %a" + llvm::Twine(i) + ", " +
             w.op("vector.load %in[" + w.at("%i", i * 64) + "] : memref<" +
                  llvm::Twine(bytes) + "xi8>, vector<64xi8>") +
             " : vector<64xi8>"));
  w.closeLoop(yields, "vector<64xi8>", kernel.outputBytes);
  kernel.text = std::move(w.text);
  return kernel;
}

//===----------------------------------------------------------------------===//
// Running them
//===----------------------------------------------------------------------===//

static llvm::Expected<std::unique_ptr<runtime::Model>>
compileKernel(const Kernel &kernel, MLIRContext &context,
              const NativeTarget &target) {
  OwningOpRef<ModuleOp> module =
      parseSourceString<ModuleOp>(kernel.text, &context);
  if (!module)
    return makeError("a tuning kernel cannot be parsed");
  PassManager pm(&context);
  LLVMPhaseOptions options;
  options.mac = target.mac;
  buildLLVMPhase(pm, options);
  if (failed(pm.run(*module)))
    return makeError("a tuning kernel cannot be lowered");
  auto ir =
      TargetModule::create(*module, /*numInputs=*/1, target, CodeGenOptions());
  if (!ir)
    return ir.takeError();
  auto object = ir->generateCode();
  if (!object)
    return object.takeError();
  auto code = linkSharedObject(*object);
  if (!code)
    return code.takeError();
  runtime::Metadata metadata;
  metadata.Model = "tune";
  metadata.Producer = "sysmol";
  metadata.Inputs = {{"in", runtime::DType::U8, {kernel.inputBytes}}};
  metadata.Outputs = {{"out", runtime::DType::U8, {kernel.outputBytes}}};
  metadata.ArenaBytes = 64;
  runtime::BundleWriter writer(metadata);
  writer.addCode({target.name, target.required}, std::move(*code));
  writer.setWeights(std::vector<uint8_t>(64));
  auto bytes = writer.toBytes();
  if (!bytes)
    return makeError(bytes.error());
  auto bundle = runtime::Bundle::fromBytes(std::move(*bytes));
  if (!bundle)
    return makeError(bundle.error());
  auto model = runtime::Model::load(std::move(*bundle));
  if (!model)
    return makeError(model.error());
  return std::move(*model);
}

/// Work a cycle, the best of many runs in about `seconds`.
static llvm::Expected<double> measureKernel(const Kernel &kernel,
                                            MLIRContext &context,
                                            const NativeTarget &target,
                                            double seconds, double &cycles) {
  auto model = compileKernel(kernel, context, target);
  if (!model)
    return model.takeError();
  auto scratch = (*model)->createContext();
  if (!scratch)
    return makeError(scratch.error());
  std::vector<uint8_t> in(kernel.inputBytes), out(kernel.outputBytes);
  runtime::ConstBuffer inputs[] = {in};
  runtime::Buffer outputs[] = {out};
  using Clock = std::chrono::steady_clock;
  auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  double best = 0, now = runtime::measureCyclesPerSecond();
  auto begin = Clock::now();
  for (int run = 0; run < 5 || since(begin) < seconds; ++run) {
    auto start = Clock::now();
    if (runtime::Status status = (*model)->run(*scratch, inputs, outputs);
        !status)
      return makeError(status.error());
    best = std::max(best, kernel.work / since(start));
  }
  cycles = std::max({cycles, now, runtime::measureCyclesPerSecond()});
  return best / cycles;
}

static const NativeTarget *findTarget(llvm::StringRef name) {
  for (const NativeTarget &target : getNativeTargetTable())
    if (target.name == name)
      return &target;
  return nullptr;
}

llvm::Expected<CostTable> sysmol::measureCostTable(llvm::StringRef name) {
  const NativeTarget *target = findTarget(name);
  if (!target)
    return makeError("unknown target '" + name + "'");
  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registerAllHetprecDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();

  CostTable table = getBuiltinCostTable(name);
  table.cpu = llvm::sys::getHostCPUName().str();
  table.source = "measured on " + table.cpu;
  if (long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE); bytes > 0)
    table.l2Bytes = double(bytes);
  if (long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE); bytes > 0)
    table.l3Bytes = double(bytes);
  double cycles = 0;
  auto measure = [&](const Kernel &kernel, double seconds,
                     double &rate) -> llvm::Error {
    auto found = measureKernel(kernel, context, *target, seconds, cycles);
    if (!found)
      return found.takeError();
    rate = std::max(rate, *found);
    return llvm::Error::success();
  };
  for (int64_t level : {1, 2}) {
    double rate = 0;
    for (Tile tile :
         {Tile{8, 1}, Tile{4, 2}, Tile{3, 2}, Tile{6, 2}, Tile{4, 4}})
      if (auto error = measure(makeByteKernel(level, tile), 0.1, rate))
        return error;
    table.macsPerCycle[level] = rate;
  }
  double rate = 0;
  for (Tile tile : {Tile{4, 4}, Tile{6, 4}, Tile{8, 2}})
    if (auto error = measure(makeWordKernel(tile), 0.1, rate))
      return error;
  table.macsPerCycle[4] = table.macsPerCycle[8] = rate;
  // Half a cache, so that nothing else must leave it; far more than any.
  const struct {
    uint64_t bytes;
    double *rate;
  } places[] = {
      {uint64_t(table.l2Bytes) / 2, &table.l2BytesPerCycle},
      {std::max(uint64_t(table.l2Bytes) * 4,
                std::min(uint64_t(table.l3Bytes) / 4, uint64_t(8) << 20)),
       &table.l3BytesPerCycle},
      {uint64_t(256) << 20, &table.memoryBytesPerCycle}};
  for (auto [bytes, place] : places) {
    *place = 0;
    if (auto error = measure(makeReader(bytes / 512 * 512), 0.3, *place))
      return error;
  }
  table.cyclesPerSecond = cycles;
  return table;
}

//===----------------------------------------------------------------------===//
// Cache
//===----------------------------------------------------------------------===//

/// Empty where the user has no folder.
static std::string getCachePath(llvm::StringRef target) {
  llvm::SmallString<128> path;
  if (!llvm::sys::path::cache_directory(path))
    return "";
  llvm::sys::path::append(path, "sysmol", "costs-" + target + ".json");
  return path.str().str();
}

CostTable sysmol::loadCostTable(llvm::StringRef target) {
  CostTable builtin = getBuiltinCostTable(target);
  auto buffer = llvm::MemoryBuffer::getFile(getCachePath(target));
  if (!buffer)
    return builtin;
  llvm::Expected<CostTable> table = parseCostTable((*buffer)->getBuffer());
  if (!table) {
    // A table only predicts; a damaged one is as good as none.
    llvm::consumeError(table.takeError());
    return builtin;
  }
  // The folder may have come from another machine.
  return table->cpu == llvm::sys::getHostCPUName() ? *table : builtin;
}

llvm::Expected<std::string> sysmol::saveCostTable(llvm::StringRef target,
                                                  const CostTable &table) {
  std::string path = getCachePath(target);
  if (path.empty())
    return makeError("there is no user cache folder; set XDG_CACHE_HOME");
  if (std::error_code code =
          llvm::sys::fs::create_directories(llvm::sys::path::parent_path(path)))
    return llvm::createStringError(code, "%s: cannot be created: %s",
                                   path.c_str(), code.message().c_str());
  if (llvm::Error error = writeText(path, printCostTable(table)))
    return error;
  return path;
}
