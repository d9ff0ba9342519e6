//===- Tune.cpp - Measuring a machine -------------------------------------===//
//
// Small kernels of `hetprec.mac` on registers and L1, in several tiles, go
// through the last phase of the pipeline and run here; the best tile is the
// ceiling. Reading is measured by sums over buffers of several sizes.
//
//===----------------------------------------------------------------------===//

#include "sysmol/Target/Native/Tune.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "sysmol/InitAll.h"
#include "sysmol/Runtime/Memory.h"
#include "sysmol/Runtime/Profile.h"
#include "sysmol/Target/Common/Failure.h"
#include "sysmol/Target/Native/CodeGen.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/TargetParser/Host.h"
#include <chrono>
#include <map>
#include <unistd.h>

using namespace mlir;
using namespace sysmol;

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

namespace {
/// A function of one phase, from buffers to one buffer.
struct Kernel {
  std::string text;
  std::vector<uint64_t> inputBytes;
  uint64_t outputBytes = 0;
  /// What one run does: multiply-accumulates, bytes, or simply one.
  double work = 0;
  enum { Vectors, Packed } phase = Vectors;
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
  std::string in = std::to_string(kernel.inputBytes.front()),
              out = std::to_string(kernel.outputBytes);
  return "func.func @network(%in: memref<" + in + "xi8>, %out: memref<" + out +
         "xi8>) {\n  %c0 = arith.constant 0 : index\n"
         "  %c1 = arith.constant 1 : index\n";
}

/// Words of weights as they usually are whose sums a byte holds, in whole
/// windows of 3x3. Those of the kernels here may overflow: only time counts.
static int64_t getByteWords(int64_t level) {
  return level == 1 ? 45 : level == 2 ? 18 : 0;
}

/// Levels 1 and 2: sums of bytes, widened to 16 bits, as
/// hetprec-vectorize-lanes does it.
static Kernel makeByteKernel(int64_t level, Tile tile) {
  const int64_t depth = getByteWords(level), trips = level == 1 ? 200 : 500;
  const int64_t sums = tile.rows * tile.blocks;
  const int64_t lanesBytes = depth * tile.blocks * 64;
  Kernel kernel;
  // The address moves with the loop, or all of it would leave the loop.
  kernel.inputBytes = {uint64_t(lanesBytes + 4 * 64 + depth * tile.rows + 64)};
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
      lanes.push_back(
          w.op("vector.load %in[" + w.at(base, (n * tile.blocks + b) * 64) +
               "] : memref<" + llvm::Twine(kernel.inputBytes.front()) +
               "xi8>, vector<64xi8>"));
    for (int64_t r = 0; r < tile.rows; ++r)
      rows.push_back(w.op("memref.load %in[" +
                          w.at(low, lanesBytes + 4 * 64 + n * tile.rows + r) +
                          "] : memref<" +
                          llvm::Twine(kernel.inputBytes.front()) + "xi8>"));
    for (int64_t s = 0; s < sums; ++s)
      sum[s] = w.op("hetprec.mac " + llvm::Twine(sum[s]) + ", " +
                    lanes[s % tile.blocks] + ", " + rows[s / tile.blocks] +
                    " level = " + llvm::Twine(level) +
                    (level == 2 ? " {centred = #hetprec.centred<row>}" : "") +
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
  kernel.inputBytes = {
      uint64_t(lanesBytes + 4 * 64 + depth * tile.rows * 4 + 64)};
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
  std::string type =
      "memref<" + std::to_string(kernel.inputBytes.front()) + "xi8>, ";
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
  kernel.inputBytes = {bytes};
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

namespace {
/// A 3x3 window as networks have it: what its words take, the rest aside.
struct WindowKernel {
  hetprec::LaneRole lanes;
  /// Registers of lanes are several, or one.
  bool alone;

  static constexpr int64_t taps = 9;
  /// Words of channels of the smaller one; the larger one has twice as many.
  static int64_t getNumWords(int64_t level) { return level == 8 ? 8 : 16; }
  /// Registers of sums.
  int64_t getRegisters() const {
    return lanes == hetprec::LaneRole::Pixels ? rows * getBlocks()
                                              : usedLanes * getBlocks();
  }
  Kernel make(int64_t level, int64_t words) const;

private:
  // Many rows: nibbles are spread to bytes once for all.
  static constexpr int64_t rows = 64, usedLanes = 32;
  int64_t getBlocks() const {
    return alone ? 1 : lanes == hetprec::LaneRole::Pixels ? 4 : 2;
  }
};
} // namespace

Kernel WindowKernel::make(int64_t level, int64_t words) const {
  using hetprec::kLaneBlock;
  bool isPixels = lanes == hetprec::LaneRole::Pixels;
  int64_t bits = hetprec::getWordBits(level);
  int64_t count = isPixels ? getBlocks() * kLaneBlock : kLaneBlock;
  int64_t size = count + kLaneBlock; // what the taps reach
  int64_t outputs = isPixels ? rows : getBlocks() * kLaneBlock;
  int64_t columns = words * taps;
  int64_t lines = isPixels ? rows : 1;
  int64_t line = isPixels
                     ? columns
                     : columns * getBlocks() *
                           hetprec::ContractOutputsOp::getColumnBytes(level);
  int64_t lineBits = isPixels ? bits : 8;
  auto type = [](int64_t height, int64_t width, int64_t element) {
    return llvm::formatv("tensor<{0}x{1}xi{2}>", height, width, element).str();
  };
  std::string x = type(words, size, bits), w = type(lines, line, lineBits),
              y = type(outputs, size, 32);
  Kernel kernel;
  kernel.phase = Kernel::Packed;
  kernel.work = 1;
  kernel.inputBytes = {uint64_t(words * size * bits / 8),
                       uint64_t(lines * line * lineBits / 8)};
  kernel.outputBytes = uint64_t(outputs * size * 4);
  llvm::raw_string_ostream os(kernel.text);
  os << "func.func @network(%x: " << x << ", %w: " << w << ") -> " << y
     << " {\n  %i = tensor.empty() : " << y << "\n  %r = hetprec."
     << (isPixels ? "contract accumulator" : "contract_outputs")
     << " lanes(%x : " << x << ") " << (isPixels ? "rows" : "weights")
     << "(%w : " << w << ") outs(%i : " << y
     << ") {levels = array<i64: " << level
     << ">, coefficients = array<i64: 1>, taps = array<i64: 0, 1, 2, 20, 21, "
        "22, 40, 41, 42>, origin = 0, lane_begin = 0, lane_count = "
     << count;
  if (level <= 2)
    os << ", byte_words = array<i64: " << getByteWords(level) << ">";
  if (level == 2)
    os << ", centred";
  if (!isPixels)
    os << ", used_lanes = " << usedLanes << ", tile_blocks = " << getBlocks();
  os << "} -> " << y << "\n  return %r : " << y << "\n}\n";
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
  if (kernel.phase == Kernel::Packed) {
    LoopsPhaseOptions loops;
    loops.laneBlocks = target.laneBlocks;
    loops.rowTile = target.rowTile;
    loops.spreadNibbles = target.mac != MacLowering::Generic;
    buildLoopsPhase(pm, loops);
    VectorsPhaseOptions vectors;
    vectors.byteSums = target.byteSums;
    vectors.dotSums = target.dotSums;
    buildVectorsPhase(pm, vectors);
  }
  LLVMPhaseOptions options;
  options.mac = target.mac;
  buildLLVMPhase(pm, options);
  if (failed(pm.run(*module)))
    return makeError("a tuning kernel cannot be lowered");
  uint64_t arena = 0;
  module->walk([&](Operation *op) {
    if (auto bytes = op->getAttrOfType<IntegerAttr>("hetprec.arena_bytes"))
      arena = uint64_t(bytes.getInt());
  });
  auto ir = TargetModule::create(*module, kernel.inputBytes.size(), target,
                                 CodeGenOptions());
  if (!ir)
    return ir.takeError();
  auto object = ir->generateObjects();
  if (!object)
    return object.takeError();
  auto code = linkSharedObject(*object);
  if (!code)
    return code.takeError();
  runtime::Metadata metadata;
  metadata.Model = "tune";
  metadata.Producer = "sysmol";
  for (uint64_t bytes : kernel.inputBytes)
    metadata.Inputs.push_back({"in" + std::to_string(metadata.Inputs.size()),
                               runtime::DType::U8,
                               {bytes}});
  metadata.Outputs = {{"out", runtime::DType::U8, {kernel.outputBytes}}};
  metadata.ArenaBytes = std::max<uint64_t>(64, arena);
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

namespace {
/// A kernel and the most work a cycle that it was seen to do.
struct Candidate {
  Kernel kernel;
  double best = 0;
  std::unique_ptr<runtime::Model> model;
};
} // namespace

/// Runs `candidate` again and again for about `seconds`.
static llvm::Error measure(Candidate &candidate, MLIRContext &context,
                           const NativeTarget &target, double seconds,
                           double &cycles) {
  const Kernel &kernel = candidate.kernel;
  if (!candidate.model) {
    auto model = compileKernel(kernel, context, target);
    if (!model)
      return model.takeError();
    candidate.model = std::move(*model);
  }
  auto scratch = candidate.model->createContext();
  if (!scratch)
    return makeError(scratch.error());
  // In the pages that weights have.
  std::vector<runtime::PageBuffer> in;
  std::vector<runtime::ConstBuffer> inputs;
  for (uint64_t bytes : kernel.inputBytes) {
    auto buffer = runtime::PageBuffer::create(bytes, "a tuning kernel's input");
    if (!buffer)
      return makeError(buffer.error());
    llvm::fill(buffer->bytes(), 0); // or all were one page of zeros
    inputs.push_back(buffer->bytes());
    in.push_back(std::move(*buffer));
  }
  std::vector<uint8_t> out(kernel.outputBytes);
  runtime::Buffer outputs[] = {out};
  using Clock = std::chrono::steady_clock;
  auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  double best = 0, now = runtime::measureCyclesPerSecond();
  auto begin = Clock::now();
  for (int run = 0; run < 5 || since(begin) < seconds; ++run) {
    auto start = Clock::now();
    if (runtime::Status status =
            candidate.model->run(*scratch, inputs, outputs);
        !status)
      return makeError(status.error());
    best = std::max(best, kernel.work / since(start));
  }
  cycles = std::max({cycles, now, runtime::measureCyclesPerSecond()});
  candidate.best = std::max(candidate.best, best / cycles);
  return llvm::Error::success();
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
  double cycles = 0;

  // The ceilings: the best of all tiles.
  std::vector<Candidate> candidates;
  std::map<int64_t, std::vector<size_t>> ceilings;
  auto add = [&](Kernel kernel) {
    candidates.push_back({std::move(kernel), 0, nullptr});
    return candidates.size() - 1;
  };
  for (int64_t level : {1, 2})
    for (Tile tile :
         {Tile{8, 1}, Tile{4, 2}, Tile{3, 2}, Tile{6, 2}, Tile{4, 4}})
      ceilings[level].push_back(add(makeByteKernel(level, tile)));
  for (Tile tile : {Tile{4, 4}, Tile{6, 4}, Tile{8, 2}})
    ceilings[8].push_back(add(makeWordKernel(tile)));
  // What is generated for each choice of lanes, twice as long and once.
  using hetprec::LaneRole;
  struct Choice {
    ByLevel &cycles;
    WindowKernel window;
    std::map<int64_t, std::array<size_t, 2>> found;
  } choices[] = {
      {table.pixelCycles, {LaneRole::Pixels, /*alone=*/false}, {}},
      {table.lonePixelCycles, {LaneRole::Pixels, /*alone=*/true}, {}},
      {table.outputCycles, {LaneRole::Outputs, /*alone=*/false}, {}},
      {table.loneOutputCycles, {LaneRole::Outputs, /*alone=*/true}, {}}};
  for (Choice &choice : choices)
    for (int64_t level : {1, 2, 4, 8}) {
      int64_t words = WindowKernel::getNumWords(level);
      choice.found[level] = {add(choice.window.make(level, words)),
                             add(choice.window.make(level, 2 * words))};
    }
  // In turns: what disturbs the machine for a while disturbs one turn of each.
  for (int turn = 0; turn < 3; ++turn)
    for (Candidate &candidate : candidates)
      if (auto error = measure(candidate, context, *target, 0.02, cycles))
        return error;
  for (auto &[level, found] : ceilings) {
    double &best = table.macsPerCycle[level] = 0;
    for (size_t i : found)
      best = std::max(best, candidates[i].best);
  }
  table.macsPerCycle[4] = table.macsPerCycle[8]; // both are bytes by then
  for (const Choice &choice : choices)
    for (auto [level, found] : choice.found) {
      double more =
          1 / candidates[found[1]].best - 1 / candidates[found[0]].best;
      if (more <= 0)
        return makeError(
            "twice the work took no longer: other programs disturb "
            "the measurement; run it again on a quiet machine");
      choice.cycles[level] =
          more / double(choice.window.getRegisters() * WindowKernel::taps *
                        WindowKernel::getNumWords(level));
    }

  // Half the second level, so that nothing else must leave it; then by steps
  // to far more than any cache. What the system says of the last level is often
  // that of a whole machine, of which this is a part.
  std::vector<uint64_t> sizes;
  if (long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE); bytes > 0)
    sizes.push_back(uint64_t(bytes) / 2);
  for (uint64_t mebibytes : {4, 8, 16, 24, 32, 48, 64, 128, 256})
    if (sizes.empty() || mebibytes << 20 > sizes.back())
      sizes.push_back(mebibytes << 20);
  std::vector<Candidate> readers;
  readers.reserve(sizes.size());
  for (uint64_t bytes : sizes)
    readers.push_back({makeReader(bytes / 512 * 512), 0, nullptr});
  for (int turn = 0; turn < 3; ++turn)
    for (Candidate &reader : readers)
      if (auto error = measure(reader, context, *target, 0.05, cycles))
        return error;
  table.streamRates.clear();
  for (auto [bytes, reader] : llvm::zip_equal(sizes, readers))
    table.streamRates[int64_t(bytes)] = reader.best;
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
    // Damaged, or of an older version: as good as none.
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
