//===- CostModel.cpp - What a layer should take ---------------------------===//

#include "sysmol/Analysis/CostModel.h"

#include "mlir/IR/Matchers.h"
#include "sysmol/Analysis/LaneGroups.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/JSON.h"
#include <array>
#include <cmath>
#include <iterator>
#include <optional>
#include <set>

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

//===----------------------------------------------------------------------===//
// Tables
//===----------------------------------------------------------------------===//

CostTable sysmol::getBuiltinCostTable(llvm::StringRef target) {
  CostTable table;
  table.source = "built in, measured on AMD Zen 4";
  table.cpu = "znver4";
  table.macsPerCycle = {{1, 335}, {2, 156}, {4, 64}, {8, 64}};
  table.epilogueCycles = {{0, 10}, {1, 6}, {2, 12}, {4, 20}, {8, 17}};
  table.pixelCycles = {{1, 1.54}, {2, 1.28}, {4, 4.07}, {8, 4.01}};
  table.lonePixelCycles = {{1, 1.53}, {2, 1.41}, {4, 4.2}, {8, 4.01}};
  table.outputCycles = {{1, 1.58}, {2, 1.23}, {4, 4.04}, {8, 4}};
  table.loneOutputCycles = {{1, 1.55}, {2, 1.17}, {4, 4.1}, {8, 4.01}};
  table.streamRates = {{512 << 10, 30}, {8 << 20, 27},  {16 << 20, 24},
                       {32 << 20, 17},  {64 << 20, 11}, {256 << 20, 8}};
  table.cyclesPerSecond = 3.5e9;
  if (target == "x86-64-avx512")
    return table;
  if (target == "x86-64-avx2") {
    // Of 2 bits by loops that widened after nine words.
    table.source = "built in, measured on AMD Zen 3";
    table.cpu = "znver3";
    table.macsPerCycle = {{1, 147}, {2, 57}, {4, 20}, {8, 20}};
    for (auto &[level, cycles] : table.epilogueCycles)
      cycles *= 2;
    table.pixelCycles = {{1, 3.5}, {2, 4.1}, {4, 9.8}, {8, 17.2}};
    table.lonePixelCycles = {{1, 3.0}, {2, 4.1}, {4, 11.3}, {8, 15.7}};
    table.outputCycles = {{1, 4.4}, {2, 4.6}, {4, 11.8}, {8, 18.6}};
    table.loneOutputCycles = {{1, 3.5}, {2, 2.8}, {4, 15.3}, {8, 13.7}};
    table.streamRates = {
        {256 << 10, 30}, {8 << 20, 18}, {32 << 20, 9}, {256 << 20, 4.7}};
    table.cyclesPerSecond = 3.1e9;
    return table;
  }
  // The generic lowering: a quarter of the register width, and no instruction
  // for tables or dot products.
  constexpr double width = 4;
  table.source = "built in, a guess";
  table.macsPerCycle = {
      {1, 80 / width}, {2, 40 / width}, {4, 16 / width}, {8, 16 / width}};
  for (auto &[level, cycles] : table.epilogueCycles)
    cycles *= width;
  // Registers are emulated by several: one more or less changes nothing.
  for (auto [level, rate] : table.macsPerCycle)
    table.pixelCycles[level] = table.lonePixelCycles[level] =
        table.outputCycles[level] = table.loneOutputCycles[level] =
            double(kLaneBlock * getChannelsPerWord(level)) / rate;
  return table;
}

/// The members that have one number for each level.
static constexpr struct {
  const char *key;
  ByLevel CostTable::*member;
  std::array<int64_t, 5> levels; // the first `count`
  size_t count;
} kLevels[] = {
    {"macs_per_cycle", &CostTable::macsPerCycle, {1, 2, 4, 8}, 4},
    {"epilogue_cycles", &CostTable::epilogueCycles, {0, 1, 2, 4, 8}, 5},
    {"pixel_word_cycles", &CostTable::pixelCycles, {1, 2, 4, 8}, 4},
    {"lone_pixel_word_cycles", &CostTable::lonePixelCycles, {1, 2, 4, 8}, 4},
    {"output_word_cycles", &CostTable::outputCycles, {1, 2, 4, 8}, 4},
    {"lone_output_word_cycles", &CostTable::loneOutputCycles, {1, 2, 4, 8}, 4},
};

static constexpr llvm::StringLiteral kStreams = "bytes_per_cycle";

std::string sysmol::printCostTable(const CostTable &table) {
  llvm::json::Object root{{"source", table.source},
                          {"cpu", table.cpu},
                          {"cycles_per_second", table.cyclesPerSecond}};
  for (const auto &entry : kLevels) {
    llvm::json::Object levels;
    for (auto [level, value] : table.*entry.member)
      levels[std::to_string(level)] = value;
    root[entry.key] = std::move(levels);
  }
  llvm::json::Object streams;
  for (auto [bytes, rate] : table.streamRates)
    streams[std::to_string(bytes)] = rate;
  root[kStreams] = std::move(streams);
  return llvm::formatv("{0:2}\n", llvm::json::Value(std::move(root)));
}

static llvm::Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(),
                                 "cost table: " + message);
}

/// A positive number of an object that may be missing.
static std::optional<double> getRate(const llvm::json::Object *object,
                                     llvm::StringRef key) {
  std::optional<double> value =
      object ? object->getNumber(key) : std::optional<double>();
  return value && *value > 0 && *value < 1e15 ? value : std::nullopt;
}

llvm::Expected<CostTable> sysmol::parseCostTable(llvm::StringRef text) {
  llvm::Expected<llvm::json::Value> value = llvm::json::parse(text);
  if (!value)
    return value.takeError();
  const llvm::json::Object *root = value->getAsObject();
  if (!root)
    return makeError("one JSON object is expected");
  CostTable table;
  table.source = root->getString("source").value_or("").str();
  table.cpu = root->getString("cpu").value_or("").str();
  std::optional<double> cycles = getRate(root, "cycles_per_second");
  if (!cycles)
    return makeError("'cycles_per_second' must be a positive number");
  table.cyclesPerSecond = *cycles;
  for (const auto &entry : kLevels)
    for (int64_t level : llvm::ArrayRef(entry.levels).take_front(entry.count)) {
      std::optional<double> rate =
          getRate(root->getObject(entry.key), std::to_string(level));
      if (!rate)
        return makeError(llvm::Twine("'") + entry.key + "." +
                         llvm::Twine(level) + "' must be a positive number");
      (table.*entry.member)[level] = *rate;
    }
  const llvm::json::Object *streams = root->getObject(kStreams);
  if (!streams || streams->empty())
    return makeError(llvm::Twine("'") + kStreams +
                     "' must have a rate for some number of bytes");
  for (const auto &entry : *streams) {
    llvm::StringRef key = entry.first;
    int64_t bytes;
    std::optional<double> rate = getRate(streams, key);
    if (key.getAsInteger(10, bytes) || bytes <= 0 || !rate)
      return makeError(llvm::Twine("'") + kStreams + "." + key +
                       "' must be a positive number for a positive number of "
                       "bytes");
    table.streamRates[bytes] = *rate;
  }
  return table;
}

//===----------------------------------------------------------------------===//
// Costs
//===----------------------------------------------------------------------===//

double CostTable::getStreamRate(double bytes) const {
  assert(!streamRates.empty() && "a table has rates");
  auto above = llvm::find_if(
      streamRates, [&](auto &entry) { return double(entry.first) >= bytes; });
  if (above == streamRates.begin())
    return above->second;
  auto below = std::prev(above);
  if (above == streamRates.end())
    return below->second;
  double part = std::log(bytes / double(below->first)) /
                std::log(double(above->first) / double(below->first));
  return below->second + part * (above->second - below->second);
}

OpCost &OpCost::operator+=(const OpCost &other) {
  cycles += other.cycles;
  products += other.products;
  macs += other.macs;
  return *this;
}

static double getBytes(Type type) {
  auto shaped = dyn_cast<ShapedType>(type);
  if (!shaped || !shaped.hasStaticShape())
    return 0;
  return double(shaped.getNumElements()) * shaped.getElementTypeBitWidth() / 8;
}

static double at(const ByLevel &rates, int64_t level) {
  auto found = rates.find(level);
  return found == rates.end() ? 0 : found->second;
}

static OpCost predictGemv(GemvOp op, const CostTable &table) {
  OpCost cost;
  double rows = double(cast<ShapedType>(op.getInit().getType()).getDimSize(0));
  double lanes =
      double(op.getNumTiles()) * double(op.getTileBlocks()) * kLaneBlock;
  for (auto [level, segment] : llvm::zip_equal(op.getLevels(), op.getRows())) {
    double words =
        double(cast<ShapedType>(segment.getType()).getShape().back());
    double macs = rows * words * lanes * double(getChannelsPerWord(level));
    cost.macs += macs;
    cost.cycles += macs / at(table.macsPerCycle, level);
  }
  cost.products = cost.cycles;
  double weights = getBytes(op.getWeights().getType());
  cost.cycles = std::max(cost.cycles, weights / table.getStreamRate(weights));
  cost.cycles += rows * lanes / kLaneBlock * at(table.epilogueCycles, 0);
  return cost;
}

/// Rows that read groups of a segment; see `starts` of `contract`.
static double countReadingRows(ContractOp op, int64_t segment) {
  DenseIntElementsAttr starts;
  if (op.getStarts().empty() ||
      !matchPattern(op.getStarts()[segment], m_Constant(&starts)))
    return double(op.getNumRows());
  return double(llvm::count_if(starts.getValues<int32_t>(),
                               [](int32_t start) { return start >= 0; }));
}

/// Of planes of bytes, cycles that a product takes for a load: what is loaded
/// is for one row, and crosses cache lines, two cycles each.
static double getByteLoads(ContractOp op) {
  if (!op.getLaneBytes())
    return 1;
  double loads = 0;
  for (int64_t bytes : op.getTapBytes()) {
    int64_t lanesALoad = (4 - bytes) / int64_t(op.getLaneBytes()) + 1;
    loads += 1.0 / double(lanesALoad);
  }
  return std::max(1.0, 2 * loads / double(op.getTaps().size()));
}

/// A window's sum in two steps: words for pixels, then pixels' sums for taps,
/// whose loads cross cache lines.
static OpCost predictWindowSum(ContractOp op, const CostTable &table) {
  constexpr double inTurnCycles = 12; // `isWindowSum` guesses it as loads
  double blocks = double(op.getLaneCount()) / kLaneBlock;
  int64_t tile = std::min<int64_t>(op.getLaneCount(), op.getWindowSumLanes());
  double pixels = blocks * double(op.getPhases()) *
                  double(llvm::alignTo(tile + op.getReach(), kLaneBlock)) /
                  double(tile);
  OpCost cost;
  cost.cycles = pixels * inTurnCycles +
                blocks * double(op.getTaps().size() * op.getSumBits()) / 8;
  for (auto [s, level, rows] : llvm::enumerate(op.getLevels(), op.getRows()))
    cost.cycles += (op.isFolded(int64_t(s)) ? blocks : pixels) *
                   double(cast<ShapedType>(rows.getType()).getDimSize(1)) *
                   at(table.lonePixelCycles, level);
  return cost;
}

/// Whether taps are lanes apart: what they load crosses cache lines.
static bool hasWindow(ContractOp op) { return op.getTaps().size() > 1; }

// What follows is fitted to the clocks of 36 single layers on Zen 4
// (test/benchmark/fit_costs.py), where a wide plane's epilogue takes 10 cycles:
// all but two within 5 %.

/// Levels whose sums wait for those of another one.
static double countWaiting(ArrayRef<int64_t> levels) {
  std::set<int64_t> found(levels.begin(), levels.end());
  return found.empty() ? 0 : double(found.size() - 1);
}

/// Cycles around the loops of a row of 64 lanes: each level but one waits in
/// scratch memory for the others and is brought in their order; windows begin a
/// loop for each row of taps. Dot products of bytes stay in registers.
static double getTileEndCycles(ContractOp op, const CostTable &table) {
  constexpr double levelCycles = 5.5, windowCycles = 2.2, zen4 = 10;
  if (op.getUniformRows() || op.getLaneBytes())
    return 0;
  std::set<int64_t> levels(op.getLevels().begin(), op.getLevels().end());
  double ends = levelCycles * countWaiting(op.getLevels());
  levels.erase(8);
  if (hasWindow(op))
    ends += windowCycles * double(levels.size());
  return ends * at(table.epilogueCycles, 0) / zen4;
}

/// Cycles of `registers` words by 64 lanes: as loops were measured, but not
/// below the ceiling. Lookups wait for loads that cross cache lines.
static double getLoopCycles(ContractOp op, int64_t level, double registers,
                            const CostTable &table) {
  constexpr double crossing = 0.09;
  bool isLone = op.getLaneCount() == kLaneBlock;
  double cycles = at(isLone ? table.lonePixelCycles : table.pixelCycles, level);
  double least = double(kLaneBlock * getChannelsPerWord(level)) /
                 at(table.macsPerCycle, level);
  cycles = std::max(cycles, least);
  if (level == 2 && hasWindow(op))
    cycles *= 1 + crossing;
  return registers * cycles;
}

/// Cycles of the epilogue of a row of 64 lanes. The table's are of sums in
/// memory; dot products of bytes alone come from registers. Carriers take more,
/// which windows hide.
static double getEpilogueCycles(ContractOp op, const CostTable &table) {
  constexpr double fromRegisters = 0.45, carrier = 2.2;
  int64_t written = op.getEpilogue() == Epilogue::Codes ? op.getOutLevel() : 0;
  double cycles = at(table.epilogueCycles, written);
  bool isBytes =
      !op.getLevels().empty() && !op.getLaneBytes() &&
      llvm::all_of(op.getLevels(), [](int64_t level) { return level == 8; });
  if (written == 8 && isBytes)
    return fromRegisters * cycles;
  bool isCarrier = op.getEpilogue() == Epilogue::Carrier ||
                   op.getEpilogue() == Epilogue::CarrierAdd;
  return isCarrier && !hasWindow(op) && !op.getLaneBytes() ? carrier * cycles
                                                           : cycles;
}

static OpCost predictContract(ContractOp op, const CostTable &table) {
  if (op.isWindowSum())
    return predictWindowSum(op, table);
  OpCost cost;
  double lanes = double(op.getLaneCount()), rows = double(op.getNumRows());
  double weights = 0, footprint = 0;
  for (auto [i, level, codes, segment] :
       llvm::enumerate(op.getLevels(), op.getLanes(), op.getRows())) {
    double words =
        double(cast<ShapedType>(segment.getType()).getShape().back());
    if (op.getUniformRows())
      words *= double(op.getNumTaps(i));
    double registers = countReadingRows(op, i) * words * lanes / kLaneBlock;
    double macs = registers * double(kLaneBlock * getChannelsPerWord(level));
    cost.macs += macs;
    double products = macs / at(table.macsPerCycle, level) * getByteLoads(op);
    cost.products += products;
    cost.cycles += op.getUniformRows() || op.getLaneBytes()
                       ? products
                       : getLoopCycles(op, level, registers, table);
    weights += getBytes(segment.getType());
    footprint += getBytes(codes.getType());
  }
  cost.cycles =
      std::max(cost.cycles, weights / table.getStreamRate(footprint + weights));
  cost.cycles += rows * lanes / kLaneBlock *
                 (getEpilogueCycles(op, table) + getTileEndCycles(op, table));
  return cost;
}

static OpCost predictContractOutputs(ContractOutputsOp op,
                                     const CostTable &table) {
  OpCost cost;
  double outputs = double(op.getNumTiles() * op.getTileOutputs());
  auto groups =
      LaneGroups::get(op.getLayoutAttr(), op.getUsedLanes(), op.getLaneCount());
  double lanes = double(groups.getNumLanes());
  double footprint = getBytes(op.getWeights().getType());
  for (auto [s, level, codes] :
       llvm::enumerate(op.getLevels(), op.getLanes())) {
    double words = outputs / kLaneBlock * double(op.getNumColumns(s)) * lanes *
                   groups.getShare(op, s);
    double macs = words * double(kLaneBlock * getChannelsPerWord(level));
    double products = macs / at(table.macsPerCycle, level);
    cost.macs += macs;
    cost.products += products;
    double loop = std::max(products, words * at(table.outputCycles, level));
    // Of windows, sums of bytes begin anew where rows of taps do.
    constexpr double rowsOfTaps = 0.04;
    if (level <= 2 && op.getNumTaps(s) > 1)
      loop *= 1 + rowsOfTaps;
    cost.cycles += loop;
    footprint += getBytes(codes.getType());
  }
  // Every four lanes read all weights.
  constexpr double kLanesAtOnce = 4;
  double streamed = getBytes(op.getWeights().getType()) * lanes / kLanesAtOnce;
  cost.cycles =
      std::max(cost.cycles, streamed / table.getStreamRate(footprint));
  // Sums are turned round 16 by 16.
  constexpr double kTransposeCycles = 100;
  cost.cycles +=
      outputs / 16 * double(groups.getNumSquares()) * kTransposeCycles;
  // Sums of levels behind the first are added to what waits in memory.
  constexpr double levelCycles = 12, zen4 = 10;
  cost.cycles += outputs / kLaneBlock * lanes * levelCycles *
                 countWaiting(op.getLevels()) * at(table.epilogueCycles, 0) /
                 zen4;
  return cost;
}

TileCosts sysmol::predictTiles(const WinogradTiles &tiles, int64_t words,
                               int64_t outputs, double wordCycles) {
  // Cycles by the instructions on Zen 4: of a register's sums at all places and
  // their way to the pixels, of a word of 16 patches, and of 16 words of an
  // output's weights; a word of level 4 takes `zen4` there.
  constexpr double sumCycles = 48, patchCycles = 60, weightCycles = 48;
  constexpr double zen4 = 4.17;
  double slowness = wordCycles / zen4;
  auto rows = double(llvm::alignTo(outputs, WinogradTiles::kOutputs));
  double registers = rows * double(tiles.getNumRegisters());
  auto patches = double(
      tiles.getNumRows() *
      int64_t(llvm::divideCeil(tiles.columns, WinogradTiles::kRegister)));
  return {slowness * registers * double(WinogradTiles::kPositions * words),
          slowness * registers * sumCycles,
          slowness * rows * double(llvm::divideCeil(words, 16)) * weightCycles,
          slowness * patches * double(words) * patchCycles};
}

static OpCost predictWinograd(WinogradContractOp op, const CostTable &table) {
  WinogradTiles tiles = *WinogradTiles::get(op.getLayout());
  int64_t outputs = cast<ShapedType>(op.getInit().getType()).getDimSize(0);
  TileCosts costs =
      predictTiles(tiles, op.getNumWords(), outputs, at(table.pixelCycles, 4));
  OpCost cost;
  cost.macs = double(outputs * tiles.getNumRegisters() * op.getNumWords() *
                     WinogradTiles::kPositions * WinogradTiles::kRegister *
                     getChannelsPerWord(4));
  cost.products = costs.products;
  // By the clocks of layers; what chooses between tiles and pixels leaves it
  // out of both.
  constexpr double loops = 1.095, sums = 1.375;
  cost.cycles = loops * costs.products + sums * costs.sums + costs.weights;
  return cost;
}

OpCost sysmol::predictCost(Operation *op, const CostTable &table) {
  if (auto contract = dyn_cast<ContractOp>(op))
    return predictContract(contract, table);
  if (auto gemv = dyn_cast<GemvOp>(op))
    return predictGemv(gemv, table);
  if (auto sums = dyn_cast<ContractOutputsOp>(op))
    return predictContractOutputs(sums, table);
  if (auto winograd = dyn_cast<WinogradContractOp>(op))
    return predictWinograd(winograd, table);
  OpCost cost;
  if (auto requantize = dyn_cast<RequantizeLanesOp>(op)) {
    double slots = double(
        cast<ShapedType>(requantize.getChannels().getType()).getNumElements());
    cost.cycles = slots * double(requantize.getLaneCount()) / kLaneBlock *
                  at(table.epilogueCycles, requantize.getOutLevel());
  } else if (auto input = dyn_cast<WinogradInputOp>(op)) {
    int64_t words = cast<ShapedType>(input.getInput().getType()).getDimSize(0);
    cost.cycles = predictTiles(*WinogradTiles::get(input.getLayout()), words,
                               /*outputs=*/0, at(table.pixelCycles, 4))
                      .patches;
  } else if (isa<SplitPhasesOp>(op)) {
    // Rows are short and begin anywhere: about eight bytes a cycle, measured.
    cost.cycles = getBytes(op->getOperand(1).getType()) / 8;
  } else if (auto spread = dyn_cast<SpreadLanesOp>(op)) {
    // A shift, an AND and a store for each register; rows that are split begin
    // anywhere, twice as many cycles.
    double lanes =
        double(cast<ShapedType>(spread.getInit().getType()).getDimSize(1));
    cost.cycles =
        double(spread.getNumPhases() * int64_t(spread.getChannels())) * lanes /
        kLaneBlock * (spread.getTo() ? 4 : 2);
  } else if (auto pool = dyn_cast<MaxPoolLanesOp>(op)) {
    // For each tap a load of each register, and an AND and a maximum for each
    // code of a byte.
    int64_t level = pool.getLevel();
    double codes = level == 2 ? 6 : level == 4 ? 4 : 1;
    auto init = cast<ShapedType>(pool.getInit().getType());
    cost.cycles = double(init.getDimSize(0)) * double(pool.getLaneCount()) /
                  kLaneBlock * double(getWordBits(level)) / 8 *
                  double(pool.getTaps().size()) * (1 + codes) / 2;
  } else if (auto fold = dyn_cast<FoldTapsOp>(op)) {
    // For each tap a load, a shift, an AND and an OR of each register, and for
    // each word a store.
    double registers = double(fold.getLaneCount()) / kLaneBlock *
                       double(getWordBits(fold.getLevel())) / 8;
    double words =
        double(cast<ShapedType>(fold.getInit().getType()).getDimSize(0));
    cost.cycles = registers * (2 * double(fold.getTaps().size()) + words);
  }
  return cost;
}
