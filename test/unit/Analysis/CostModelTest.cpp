//===- CostModelTest.cpp - What a layer should take -----------------------===//

#include "sysmol/Analysis/CostModel.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

#include <gtest/gtest.h>

#include <string>

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

namespace {

/// Numbers that make sums easy.
CostTable makeTable() {
  CostTable table;
  table.source = "a test";
  table.cpu = "none";
  table.macsPerCycle = {{1, 256}, {2, 64}, {4, 32}, {8, 16}};
  table.epilogueCycles = {{0, 10}, {1, 1}, {2, 3}, {4, 15}, {8, 16}};
  table.pixelCycles = {{1, 2}, {2, 3}, {4, 8}, {8, 16.5}};
  table.lonePixelCycles = {{1, 2.5}, {2, 3.5}, {4, 8.5}, {8, 17}};
  table.outputCycles = {{1, 2.25}, {2, 3.25}, {4, 8.25}, {8, 18}};
  table.loneOutputCycles = {{1, 2.75}, {2, 3.75}, {4, 8.75}, {8, 19}};
  table.streamRates = {{1 << 20, 32}, {4 << 20, 16}, {16 << 20, 4}};
  table.cyclesPerSecond = 1e9;
  return table;
}

class CostModelTest : public testing::Test {
protected:
  CostModelTest() {
    context
        .loadDialect<arith::ArithDialect, func::FuncDialect, HetprecDialect>();
  }

  /// Cost of the first hetprec op in a function of these arguments.
  OpCost cost(const std::string &arguments, const std::string &op,
              const CostTable &table = makeTable()) {
    std::string text =
        "func.func @f(" + arguments + ") {\n" + op + "\nreturn\n}\n";
    module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(module) << text;
    OpCost found;
    module->walk([&](Operation *inner) {
      if (isa<HetprecDialect>(inner->getDialect()))
        found = predictCost(inner, table);
    });
    return found;
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

const char *const Tail = "{levels = array<i64: 1>, coefficients = array<i64: "
                         "2>, taps = array<i64: 0>, origin = 0, lane_begin = "
                         "64, lane_count = 128} -> tensor<6x256xi32>";

TEST_F(CostModelTest, CountsWordsAndBlocksAsTheyAreExecuted) {
  OpCost found =
      cost("%a: tensor<4x256xi8>, %w: tensor<6x4xi8>, %i: tensor<6x256xi32>",
           std::string("%r = hetprec.contract accumulator lanes(%a : "
                       "tensor<4x256xi8>) rows(%w : tensor<6x4xi8>) outs(%i : "
                       "tensor<6x256xi32>) ") +
               Tail);
  // 6 rows, 4 words of 8 channels, 128 lanes; 2 blocks of a wide plane.
  EXPECT_EQ(found.macs, 6 * 4 * 8 * 128);
  EXPECT_DOUBLE_EQ(found.products, 6 * 4 * 8 * 128 / 256.0);
  EXPECT_DOUBLE_EQ(found.cycles, found.products + 6 * 2 * 10);
  // Loops that are slower than the ceiling.
  CostTable table = makeTable();
  table.pixelCycles[1] = 5;
  found =
      cost("%a: tensor<4x256xi8>, %w: tensor<6x4xi8>, %i: tensor<6x256xi32>",
           std::string("%r = hetprec.contract accumulator lanes(%a : "
                       "tensor<4x256xi8>) rows(%w : tensor<6x4xi8>) outs(%i : "
                       "tensor<6x256xi32>) ") +
               Tail,
           table);
  EXPECT_DOUBLE_EQ(found.products, 6 * 4 * 8 * 128 / 256.0);
  EXPECT_DOUBLE_EQ(found.cycles, 6 * 4 * 2 * 5 + 6 * 2 * 10);
}

TEST_F(CostModelTest, LookupsOfWindowsWaitForLoads) {
  auto loops = [&](const std::string &level, const std::string &taps,
                   int64_t numTaps) {
    std::string rows = "tensor<6x" + std::to_string(numTaps) + "xi8>";
    OpCost found =
        cost("%a: tensor<1x256xi8>, %w: " + rows + ", %i: tensor<6x256xi32>",
             "%r = hetprec.contract accumulator lanes(%a : tensor<1x256xi8>) "
             "rows(%w : " +
                 rows + ") outs(%i : tensor<6x256xi32>) {levels = array<i64: " +
                 level +
                 ">, coefficients = array<i64: 2>, taps = array<i64: " + taps +
                 ">, origin = 0, lane_begin = 64, lane_count = 128} -> "
                 "tensor<6x256xi32>");
    return found.cycles - 6 * 2 * 10;
  };
  EXPECT_DOUBLE_EQ(loops("2", "0", 1), 6 * 2 * 3);
  EXPECT_NEAR(loops("2", "0, 1, 2", 3), 6 * 2 * (3 * 3 * 1.09 + 2.2), 1e-9);
  EXPECT_NEAR(loops("1", "0, 1, 2", 3), 6 * 2 * (3 * 2 + 2.2), 1e-9);
}

TEST_F(CostModelTest, EpiloguesOfBytesComeFromRegisters) {
  auto cycles = [&](const std::string &segments, const std::string &levels) {
    return cost(
               "%a: tensor<1x64xi8>, %c: tensor<1x64xi32>, %v: tensor<8x1xi8>, "
               "%w: tensor<8x1xi32>, %s: tensor<8xf32>, %m: tensor<64xi8>, "
               "%i: tensor<2x64xi32>",
               "%r = hetprec.contract codes " + segments +
                   " multiplier(%s : tensor<8xf32>) offset(%s : "
                   "tensor<8xf32>) mask(%m : tensor<64xi8>) outs(%i : "
                   "tensor<2x64xi32>) {levels = array<i64: " +
                   levels +
                   ", taps = array<i64: 0>, origin = 0, lane_begin = 0, "
                   "lane_count = 64, out_level = 8} -> tensor<2x64xi32>")
        .cycles;
  };
  EXPECT_NEAR(cycles("lanes(%c : tensor<1x64xi32>) rows(%w : tensor<8x1xi32>)",
                     "8>, coefficients = array<i64: 1>"),
              8 * (17 + 0.45 * 16), 1e-9);
  // Those of several levels wait in memory.
  EXPECT_NEAR(
      cycles("lanes(%a, %c : tensor<1x64xi8>, tensor<1x64xi32>) rows(%v, %w : "
             "tensor<8x1xi8>, tensor<8x1xi32>)",
             "1, 8>, coefficients = array<i64: 1, 1>"),
      8 * (2.5 + 17 + 16 + 5.5), 1e-9);
}

TEST_F(CostModelTest, CarriersWithoutWindowsTakeMore) {
  auto cycles = [&](const std::string &taps, int64_t numTaps) {
    std::string rows = "tensor<6x" + std::to_string(numTaps) + "xi8>";
    OpCost found =
        cost("%a: tensor<1x256xi8>, %w: " + rows +
                 ", %s: tensor<6xf32>, %i: tensor<6x256xi16>",
             "%r = hetprec.contract carrier lanes(%a : tensor<1x256xi8>) "
             "rows(%w : " +
                 rows +
                 ") multiplier(%s : tensor<6xf32>) outs(%i : "
                 "tensor<6x256xi16>) {levels = array<i64: 1>, coefficients = "
                 "array<i64: 2>, taps = array<i64: " +
                 taps +
                 ">, origin = 0, lane_begin = 64, lane_count = 128} -> "
                 "tensor<6x256xi16>");
    return found.cycles - found.products;
  };
  EXPECT_NEAR(cycles("0", 1), 6 * 2 * 2.2 * 10, 1e-9);
  EXPECT_NEAR(cycles("0, 1", 2), 6 * 2 * (10 + 2.2), 1e-9);
}

TEST_F(CostModelTest, CountsTheEndsOfTilesOfEachLevel) {
  auto ends = [&](const std::string &lanes, const std::string &rows,
                  const std::string &levels, const std::string &folded) {
    OpCost found = cost(
        "%a: tensor<1x256xi8>, %b: tensor<1x256xi32>, %w: tensor<6x1xi8>, "
        "%v: tensor<6x1xi32>, %i: tensor<6x256xi32>",
        "%r = hetprec.contract accumulator lanes(" + lanes + ") rows(" + rows +
            ") outs(%i : tensor<6x256xi32>) {levels = array<i64: " + levels +
            ">, coefficients = array<i64: 2, 2>, taps = array<i64: 0>, origin "
            "= 0, lane_begin = 64, lane_count = 128" +
            folded + "} -> tensor<6x256xi32>");
    return found.cycles - found.products - 6 * 2 * 10;
  };
  // All levels but one; a folded segment shares its level's.
  EXPECT_DOUBLE_EQ(ends("%a, %b : tensor<1x256xi8>, tensor<1x256xi32>",
                        "%w, %v : tensor<6x1xi8>, tensor<6x1xi32>", "1, 8", ""),
                   6 * 2 * (5.5 + 0.5)); // 0.5: level 8's loops
  EXPECT_DOUBLE_EQ(ends("%a, %a : tensor<1x256xi8>, tensor<1x256xi8>",
                        "%w, %w : tensor<6x1xi8>, tensor<6x1xi8>", "1, 2", ""),
                   6 * 2 * 5.5);
  EXPECT_DOUBLE_EQ(ends("%a, %a : tensor<1x256xi8>, tensor<1x256xi8>",
                        "%w, %w : tensor<6x1xi8>, tensor<6x1xi8>", "2, 2",
                        ", folded = array<i1: false, true>"),
                   0);
}

TEST_F(CostModelTest, CountsRowsThatReadASegment) {
  OpCost found =
      cost("%a: tensor<4x256xi8>, %w: tensor<6x4xi8>, %i: tensor<6x256xi32>",
           std::string("%s = arith.constant dense<[0, -1, 0, -1, -1, 0]> : "
                       "tensor<6xi32> %r = hetprec.contract accumulator "
                       "lanes(%a : tensor<4x256xi8>) rows(%w : tensor<6x4xi8>) "
                       "starts(%s : tensor<6xi32>) outs(%i : "
                       "tensor<6x256xi32>) ") +
               Tail);
  EXPECT_EQ(found.macs, 3 * 4 * 8 * 128);
}

TEST_F(CostModelTest, UniformRowsReadFoldedWindowsOnce) {
  OpCost found =
      cost("%a: tensor<2x256xi8>, %b: tensor<4x256xi8>, %w: tensor<1x2xi8>, "
           "%v: tensor<1x4xi8>, %i: tensor<1x256xi32>",
           "%r = hetprec.contract accumulator lanes(%a, %b : tensor<2x256xi8>, "
           "tensor<4x256xi8>) rows(%w, %v : tensor<1x2xi8>, tensor<1x4xi8>) "
           "outs(%i : tensor<1x256xi32>) {levels = array<i64: 1, 1>, "
           "coefficients = array<i64: 2, 2>, taps = array<i64: 0, 1, 2>, "
           "origin = 0, lane_begin = 64, lane_count = 128, folded = array<i1: "
           "false, true>, uniform_rows} -> tensor<1x256xi32>");
  EXPECT_EQ(found.macs, (2 * 3 + 4) * 8 * 128);
}

TEST_F(CostModelTest, WindowSumsReadWordsOnce) {
  auto sum = [&](const std::string &taps) {
    return cost("%a: tensor<40x256xi8>, %w: tensor<1x40xi8>, %i: "
                "tensor<1x256xi32>",
                "%r = hetprec.contract accumulator lanes(%a : "
                "tensor<40x256xi8>) rows(%w : tensor<1x40xi8>) outs(%i : "
                "tensor<1x256xi32>) {levels = array<i64: 1>, coefficients = "
                "array<i64: 2>, taps = array<i64: " +
                    taps +
                    ">, origin = 0, lane_begin = 64, lane_count = 128, "
                    "uniform_rows} -> tensor<1x256xi32>");
  };
  OpCost nine = sum("0, 1, 2, 8, 9, 10, 16, 17, 18");
  EXPECT_EQ(nine.macs, 0);
  // Two blocks, of which the last pixels reach into a third: 40 words of each,
  // then nine loads of 32 bits.
  double word = makeTable().lonePixelCycles[1];
  EXPECT_DOUBLE_EQ(nine.cycles, 3 * (40 * word + 12) + 2 * 9 * 4);
  // Two taps are summed as they are.
  EXPECT_EQ(sum("0, 1").macs, 2 * 40 * 8 * 128);
}

TEST_F(CostModelTest, LoadsOfBytesAreForOneRow) {
  auto bytes = [&](const std::string &tapBytes) {
    return cost("%a: tensor<2x192xi8>, %w: tensor<6x3xi32>, %i: "
                "tensor<6x192xi32>",
                "%s = arith.constant dense<[0, 0, 0, 1, 1, 1]> : tensor<6xi32> "
                "%r = hetprec.contract accumulator lanes(%a : "
                "tensor<2x192xi8>) rows(%w : tensor<6x3xi32>) starts(%s : "
                "tensor<6xi32>) outs(%i : tensor<6x192xi32>) {levels = "
                "array<i64: 8>, coefficients = array<i64: 1>, taps = "
                "array<i64: 0, 5, 10>, origin = 0, lane_bytes = 1, tap_bytes "
                "= array<i64: " +
                    tapBytes +
                    ">, lane_begin = 64, lane_count = 64} -> "
                    "tensor<6x192xi32>");
  };
  double macs = 6 * 3 * 4 * 64;
  EXPECT_EQ(bytes("4, 4, 4").macs, macs);
  EXPECT_DOUBLE_EQ(bytes("4, 4, 4").products, 2 * macs / 16);
  // A load serves two lanes.
  EXPECT_DOUBLE_EQ(bytes("3, 3, 3").products, macs / 16);
}

TEST_F(CostModelTest, SpreadsRegisters) {
  OpCost found =
      cost("%p: tensor<2x128xi8>, %e: tensor<7x128xi8>",
           "%f = hetprec.spread_lanes %p : tensor<2x128xi8> outs(%e : "
           "tensor<7x128xi8>) {level = 2, first = 2, channels = 5} -> "
           "tensor<7x128xi8>");
  EXPECT_DOUBLE_EQ(found.cycles, 5 * 2 * 2);
  // Rows of two phases.
  found = cost(
      "%p: tensor<1x64xi8>, %e: tensor<4x64xi8>",
      "%f = hetprec.spread_lanes %p : tensor<1x64xi8> outs(%e : "
      "tensor<4x64xi8>) {level = 2, first = 0, channels = 2, row_phases = "
      "array<i64: 0, 1>, stride = 2, pads = array<i64: 0, 0>, from = "
      "#hetprec.lanes<1 x 8 x 8, row_stride = 8, image_stride = 64, base = 0, "
      "size = 64>, to = #hetprec.lanes<1 x 4 x 8, row_stride = 8, "
      "image_stride = 32, base = 0, size = 64>} -> tensor<4x64xi8>");
  EXPECT_DOUBLE_EQ(found.cycles, 2 * 2 * 4);
}

TEST_F(CostModelTest, LeavesProductsWithPaddingOut) {
  auto macs = [&](int64_t level, int64_t planes, const std::string &more) {
    std::string lanes = "tensor<" + std::to_string(planes) + "x192xi8>";
    std::string weights =
        "tensor<1x" + std::to_string(planes * 9 * 64) + "xi8>";
    return cost("%a: " + lanes + ", %w: " + weights +
                    ", %i: tensor<64x192xi32>",
                "%r = hetprec.contract_outputs lanes(%a : " + lanes +
                    ") weights(%w : " + weights +
                    ") outs(%i : tensor<64x192xi32>) {levels = array<i64: " +
                    std::to_string(level) +
                    ">, coefficients = array<i64: 2>, taps = array<i64: 0, 1, "
                    "2, 8, 9, 10, 16, 17, 18>, origin = -9, lane_begin = 64, "
                    "lane_count = 64, used_lanes = 55, tile_blocks = 1, "
                    "layout = #hetprec.lanes<1 x 7 x 7, row_stride = 8, "
                    "image_stride = 64, base = 64, size = 192>" +
                    more + "} -> tensor<64x192xi32>")
        .macs;
  };
  const std::string Pixels =
      ", tap_pixels = array<i64: -1, -1, -1, 0, -1, 1, 0, -1, 0, 0, 0, 1, 1, "
      "-1, 1, 0, 1, 1>, image = array<i64: 7, 7>";
  double share = 19. / 21 * 19 / 21;
  EXPECT_DOUBLE_EQ(macs(1, 2, ""), 64 * 2 * 9 * 49 * 8);
  EXPECT_NEAR(macs(1, 2, Pixels), 64 * 2 * 9 * 49 * 8 * share, 1e-3);
  EXPECT_NEAR(macs(2, 2, Pixels), 64 * 2 * 9 * 49 * 3 * share, 1e-3);
  // Centred weights with padding are a lane more.
  EXPECT_NEAR(macs(2, 2, Pixels + ", centred"),
              64 * 2 * 9 * (49 * share + 1) * 3, 1e-3);
  // Of weights as large as these only columns are left out.
  EXPECT_NEAR(macs(2, 7281, Pixels + ", centred"),
              64. * 7281 * 9 * (49 * 19. / 21 + 1) * 3, 1);
  // What so many words would give has more than 16 bits.
  EXPECT_DOUBLE_EQ(macs(2, 7282, Pixels + ", centred"),
                   64. * 7282 * 9 * 49 * 3);
}

TEST_F(CostModelTest, StreamsTheWeightsOfOutputsForEveryFourLanes) {
  const std::string Op =
      "%r = hetprec.contract_outputs lanes(%a : tensor<2x64xi8>) weights(%w : "
      "tensor<2x256xi8>) outs(%i : tensor<256x64xi32>) {levels = array<i64: "
      "1>, coefficients = array<i64: 2>, taps = array<i64: 0>, origin = 0, "
      "lane_begin = 0, lane_count = 64, used_lanes = 32, tile_blocks = 2} -> "
      "tensor<256x64xi32>";
  const std::string Arguments =
      "%a: tensor<2x64xi8>, %w: tensor<2x256xi8>, %i: tensor<256x64xi32>";
  OpCost found = cost(Arguments, Op);
  EXPECT_EQ(found.macs, 256 * 2 * 32 * 8);
  EXPECT_DOUBLE_EQ(found.products, 256 * 2 * 32 * 8 / 256.0);
  // 4 registers of outputs, 2 words, 32 lanes; 16 rows of outputs by 2 of lanes
  // are turned round.
  EXPECT_DOUBLE_EQ(found.cycles, 4 * 2 * 32 * 2.25 + 16 * 2 * 100);
  CostTable table = makeTable();
  table.streamRates = {{1, 1}};
  EXPECT_DOUBLE_EQ(cost(Arguments, Op, table).cycles,
                   512.0 * 32 / 4 + 16 * 2 * 100);
}

TEST_F(CostModelTest, CopiesPhasesByTheByte) {
  OpCost found = cost(
      "%p: tensor<1x64xi8>, %e: tensor<4x64xi8>",
      "%f = hetprec.split_phases %p : tensor<1x64xi8> outs(%e : "
      "tensor<4x64xi8>) {strides = array<i64: 2, 2>, pads = array<i64: 0, 0, "
      "0, 0>, phases = array<i64: 0, 1, 2, 3>, from = #hetprec.lanes<1 x 4 x "
      "4, row_stride = 4, image_stride = 16, base = 0, size = 64>, to = "
      "#hetprec.lanes<1 x 2 x 2, row_stride = 2, image_stride = 4, base = 0, "
      "size = 64>} -> tensor<4x64xi8>");
  EXPECT_DOUBLE_EQ(found.cycles, 4 * 64 / 8.0);
}

TEST_F(CostModelTest, AddsTheLevels) {
  OpCost found = cost(
      "%a: tensor<2x64xi8>, %b: tensor<3x64xi8>, %c: tensor<1x64xi32>, %u: "
      "tensor<8x2xi8>, %v: tensor<8x3xi8>, %w: tensor<8x1xi32>, %t: "
      "tensor<8x1xi16>, %m: tensor<64xi8>, %i: tensor<1x64xi8>",
      "%r = hetprec.contract codes lanes(%a, %b, %c : tensor<2x64xi8>, "
      "tensor<3x64xi8>, tensor<1x64xi32>) rows(%u, %v, %w : tensor<8x2xi8>, "
      "tensor<8x3xi8>, tensor<8x1xi32>) thresholds(%t : tensor<8x1xi16>) "
      "mask(%m : tensor<64xi8>) outs(%i : tensor<1x64xi8>) {levels = "
      "array<i64: 1, 2, 8>, coefficients = array<i64: 2, 2, 1>, taps = "
      "array<i64: 0>, origin = 0, lane_begin = 0, lane_count = 64, out_level = "
      "1} -> tensor<1x64xi8>");
  double one = 8 * 2 * 64 * 8, two = 8 * 3 * 64 * 3, eight = 8 * 1 * 64 * 4;
  EXPECT_EQ(found.macs, one + two + eight);
  EXPECT_DOUBLE_EQ(found.cycles,
                   8 * (2 * 2.5 + 3 * 3.5 + 17) + 8 * (1 + 2 * 5.5));
}

TEST_F(CostModelTest, WeightsThatDoNotFitAreStreamed) {
  // 4 million bytes of weights for one block of lanes, and 256,000 of these.
  std::string op =
      "%r = hetprec.contract accumulator lanes(%a : tensor<4000x64xi8>) "
      "rows(%w : tensor<1000x4000xi8>) outs(%i : tensor<1000x64xi32>) {levels "
      "= array<i64: 1>, coefficients = array<i64: 2>, taps = array<i64: 0>, "
      "origin = 0, lane_begin = 0, lane_count = 64} -> tensor<1000x64xi32>";
  std::string arguments = "%a: tensor<4000x64xi8>, %w: tensor<1000x4000xi8>, "
                          "%i: tensor<1000x64xi32>";
  CostTable table = makeTable();
  table.macsPerCycle[1] = 1e9; // nothing but memory counts
  table.lonePixelCycles[1] = 1e-9;
  double epilogue = 1000 * 10;
  table.streamRates = {{4256000, 16}, {4300000, 4}};
  EXPECT_DOUBLE_EQ(cost(arguments, op, table).cycles, 4e6 / 16 + epilogue);
  table.streamRates = {{4200000, 16}, {4255999, 4}};
  EXPECT_DOUBLE_EQ(cost(arguments, op, table).cycles, 4e6 / 4 + epilogue);
}

TEST_F(CostModelTest, ProductsOfFewRowsReadTheirWeights) {
  // 16 channels of one bit are two words; 100 outputs are a tile of two blocks.
  std::string op =
      "%r = hetprec.gemv accumulator rows(%x : tensor<3x2xi8>) weights(%w : "
      "tensor<1x256xi8>) outs(%i : tensor<3x100xi32>) {levels = array<i64: "
      "1>, coefficients = array<i64: 2>, tile_blocks = 2 : i64} -> "
      "tensor<3x100xi32>";
  std::string arguments =
      "%x: tensor<3x2xi8>, %w: tensor<1x256xi8>, %i: tensor<3x100xi32>";
  CostTable table = makeTable();
  double macs = 3 * 2 * 8 * 128, epilogue = 3 * 2 * 10;
  EXPECT_EQ(cost(arguments, op, table).macs, macs);
  EXPECT_DOUBLE_EQ(cost(arguments, op, table).cycles, macs / 256 + epilogue);
  table.macsPerCycle[1] = 1e9; // nothing but memory counts
  EXPECT_DOUBLE_EQ(cost(arguments, op, table).cycles, 256.0 / 32 + epilogue);
}

TEST(CostTable, StreamRates) {
  CostTable table = makeTable(); // 1, 4 and 16 MiB: 32, 16 and 4 bytes a cycle
  EXPECT_EQ(table.getStreamRate(0), 32);
  EXPECT_EQ(table.getStreamRate(1 << 20), 32);
  EXPECT_DOUBLE_EQ(table.getStreamRate(2 << 20), 24); // half the way
  EXPECT_EQ(table.getStreamRate(4 << 20), 16);
  EXPECT_DOUBLE_EQ(table.getStreamRate(8 << 20), 10);
  EXPECT_EQ(table.getStreamRate(1e12), 4);
}

TEST(CostTable, RoundTrips) {
  CostTable table = makeTable();
  llvm::Expected<CostTable> read = parseCostTable(printCostTable(table));
  ASSERT_TRUE(!!read);
  EXPECT_EQ(read->source, table.source);
  EXPECT_EQ(read->cpu, table.cpu);
  EXPECT_EQ(read->macsPerCycle, table.macsPerCycle);
  EXPECT_EQ(read->epilogueCycles, table.epilogueCycles);
  EXPECT_EQ(read->pixelCycles, table.pixelCycles);
  EXPECT_EQ(read->lonePixelCycles, table.lonePixelCycles);
  EXPECT_EQ(read->outputCycles, table.outputCycles);
  EXPECT_EQ(read->loneOutputCycles, table.loneOutputCycles);
  EXPECT_EQ(read->streamRates, table.streamRates);
  EXPECT_EQ(read->cyclesPerSecond, table.cyclesPerSecond);
}

TEST(CostTable, RefusesWhatItCannotUse) {
  std::string good = printCostTable(makeTable());
  for (const auto &[from, to, part] :
       {std::array<std::string, 3>{"256", "0", "'macs_per_cycle.1'"},
        std::array<std::string, 3>{"256", "-1", "'macs_per_cycle.1'"},
        std::array<std::string, 3>{"16.5", "0", "'pixel_word_cycles.8'"},
        std::array<std::string, 3>{"\"16777216\": 4", "\"16777216\": \"4\"",
                                   "'bytes_per_cycle.16777216'"},
        std::array<std::string, 3>{"\"16777216\": 4", "\"l3\": 4",
                                   "'bytes_per_cycle.l3'"},
        std::array<std::string, 3>{"bytes_per_cycle", "bytes",
                                   "'bytes_per_cycle'"},
        std::array<std::string, 3>{"cycles_per_second", "cycles",
                                   "'cycles_per_second'"}}) {
    std::string text = good;
    size_t at = text.find(from);
    ASSERT_NE(at, text.npos) << from;
    llvm::Expected<CostTable> read =
        parseCostTable(text.replace(at, from.size(), to));
    ASSERT_FALSE(!!read) << to;
    std::string message = llvm::toString(read.takeError());
    EXPECT_NE(message.find(part), message.npos) << message;
  }
  for (const char *text : {"", "[]", "{"}) {
    llvm::Expected<CostTable> read = parseCostTable(text);
    ASSERT_FALSE(!!read);
    llvm::consumeError(read.takeError());
  }
}

TEST(CostTable, KnowsEveryTarget) {
  for (const char *target : {"x86-64-avx512", "x86-64-avx2", "x86-64-generic"})
    EXPECT_TRUE(!!parseCostTable(printCostTable(getBuiltinCostTable(target))))
        << target;
  // The ceilings of docs: 1 bit beats 2 bits beats VPDPBUSD.
  CostTable zen4 = getBuiltinCostTable("x86-64-avx512");
  EXPECT_GT(zen4.macsPerCycle[1], zen4.macsPerCycle[2]);
  EXPECT_GT(zen4.macsPerCycle[2], zen4.macsPerCycle[8]);
  // Where nothing was measured, a word takes what its products take.
  CostTable generic = getBuiltinCostTable("x86-64-generic");
  EXPECT_DOUBLE_EQ(generic.pixelCycles[1], 64 * 8 / generic.macsPerCycle[1]);
  EXPECT_DOUBLE_EQ(generic.loneOutputCycles[2],
                   64 * 3 / generic.macsPerCycle[2]);
}

} // namespace
