//===- ByteLanesTest.cpp - Every tap in one byte --------------------------===//

#include "sysmol/Analysis/ByteLanes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"
#include "llvm/Support/FormatVariadic.h"

#include <gtest/gtest.h>

#include <set>

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

namespace {

class ByteLanesTest : public testing::Test {
protected:
  ByteLanesTest() {
    context
        .loadDialect<arith::ArithDialect, func::FuncDialect, HetprecDialect>();
  }

  /// A window of `rows` x `columns` taps over four channels in `groups` groups.
  std::optional<ByteLanes> get(int64_t rows, int64_t columns, int64_t bits = 2,
                               int64_t stride = 1, int64_t dilation = 1,
                               int64_t groups = 4) {
    int64_t width = (columns - 1) * dilation + 1;
    auto encoding = [&](const char *grid, const char *more) {
      return llvm::formatv("#hetprec.channels<axis = 1, grid = {0}, scale = "
                           "1.0, bits = [{1} x 4]{2}>",
                           grid, bits, more)
          .str();
    };
    std::string more = llvm::formatv(", groups = {0}", groups);
    std::string x = llvm::formatv("tensor<1x4x{0}x{1}xi8, {2}>", rows, width,
                                  encoding("unsigned", "")),
                w = llvm::formatv(
                    "tensor<4x{0}x{1}x{2}xi8, {3}>", 4 / groups, rows, columns,
                    encoding("midrise", groups > 1 ? more.c_str() : "")),
                y = "tensor<1x4x1x1xi32>";
    std::string text = llvm::formatv(
        "func.func @f(%x: {0}) -> {2} {{\n%w = arith.constant dense<1> : {1}\n"
        "%y = hetprec.conv_2d %x, %w strides = [1, {3}] dilations = [1, {4}] "
        "groups = {5} : {0}, {1} -> {2}\nreturn %y : {2}\n}",
        x, w, y, stride, dilation, groups);
    module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(module) << text;
    std::optional<ByteLanes> found;
    module->walk([&](Conv2DOp conv) { found = ByteLanes::get(conv); });
    return found;
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

TEST_F(ByteLanesTest, HasEachTapOnce) {
  int64_t found = 0;
  for (int64_t rows = 1; rows <= 4; ++rows)
    for (int64_t columns = 1; columns <= 9; ++columns)
      for (int64_t dilation = 1; dilation <= 3; ++dilation)
        for (int64_t stride : {1, 2, 4}) {
          auto lanes = get(rows, columns, 4, stride, dilation);
          if (!lanes)
            continue;
          ++found;
          EXPECT_EQ(lanes->laneBytes, stride);
          EXPECT_EQ(lanes->words.size() % rows, 0u);
          std::set<int64_t> seen;
          for (const ByteLanes::Word &word : lanes->words)
            for (int64_t byte = 0; byte < ByteLanes::kWordBytes; ++byte) {
              int64_t tap = word.taps[byte];
              if (tap < 0)
                continue;
              EXPECT_TRUE(seen.insert(tap).second);
              EXPECT_EQ(word.y, tap / columns);
              EXPECT_EQ(word.x + byte, tap % columns * dilation);
              EXPECT_LE(word.x + byte, lanes->getLastColumn());
            }
          EXPECT_EQ(int64_t(seen.size()), rows * columns);
        }
  EXPECT_GT(found, 100);
}

TEST_F(ByteLanesTest, LeavesRoomForTheNextLane) {
  auto bytes = [&](int64_t columns) {
    std::vector<int64_t> found;
    for (const ByteLanes::Word &word : get(1, columns, /*bits=*/4)->words)
      found.push_back(word.getNumBytes());
    return found;
  };
  EXPECT_EQ(bytes(5), (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(bytes(6), (std::vector<int64_t>{3, 3}));
  EXPECT_EQ(bytes(7), (std::vector<int64_t>{4, 3}));
  EXPECT_EQ(bytes(9), (std::vector<int64_t>{3, 3, 3}));
}

TEST_F(ByteLanesTest, IsForOneChannelAnOutput) {
  EXPECT_TRUE(get(3, 3));
  EXPECT_FALSE(get(3, 3, 2, 1, 1, /*groups=*/1));
  EXPECT_FALSE(get(3, 3, 2, 1, 1, /*groups=*/2));
}

TEST_F(ByteLanesTest, StridesDivideAWord) {
  EXPECT_TRUE(get(3, 3, 2, 2));
  EXPECT_FALSE(get(3, 3, 2, 3));
  EXPECT_TRUE(get(3, 3, 2, 4));
}

TEST_F(ByteLanesTest, SavesProducts) {
  EXPECT_FALSE(get(1, 1));
  EXPECT_FALSE(get(3, 1));
  EXPECT_TRUE(get(5, 5));
  EXPECT_TRUE(get(7, 7));
  EXPECT_FALSE(get(3, 3, 2, 1, /*dilation=*/4)) << "a word for each tap";
}

} // namespace
