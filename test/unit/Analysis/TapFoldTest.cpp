//===- TapFoldTest.cpp - Where folding taps saves products ----------------===//

#include "sysmol/Analysis/TapFold.h"

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

class TapFoldTest : public testing::Test {
protected:
  TapFoldTest() {
    context
        .loadDialect<arith::ArithDialect, func::FuncDialect, HetprecDialect>();
  }

  /// A convolution of `channels` channels of `bits`, with a square window.
  Operation *make(int64_t bits, int64_t channels, int64_t outputs,
                  int64_t kernel = 3, int64_t groups = 1) {
    auto list = [](std::initializer_list<int64_t> sizes) {
      std::string text = "tensor<";
      for (int64_t size : sizes)
        text += std::to_string(size) + "x";
      return text;
    };
    auto encoding = [&](const std::string &grid, const std::string &more) {
      return "#hetprec.channels<axis = 1, grid = " + grid +
             ", scale = 1.0, bits = [" + std::to_string(bits) + " x " +
             std::to_string(channels) + "]" + more + ">";
    };
    std::string grouped =
        groups > 1 ? ", groups = " + std::to_string(groups) : "";
    std::string x = list({1, channels, kernel, kernel}) + "i8, " +
                    encoding("unsigned", "") + ">",
                w = list({outputs, channels / groups, kernel, kernel}) +
                    "i8, " + encoding("midrise", grouped) + ">",
                y = list({1, outputs, 1, 1}) + "i32>";
    std::string text =
        "func.func @f(%x: " + x + ") -> " + y +
        " {\n%w = arith.constant dense<1> : " + w +
        "\n%y = hetprec.conv_2d %x, %w groups = " + std::to_string(groups) +
        " : " + x + ", " + w + " -> " + y + "\nreturn %y : " + y + "\n}";
    module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(module) << text;
    Operation *found = nullptr;
    if (module)
      module->walk([&](Conv2DOp conv) { found = conv; });
    return found;
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

TEST_F(TapFoldTest, WordsHoldAllTapsOfTheRest) {
  for (int64_t level : {1, 2, 4}) {
    int64_t perWord = getChannelsPerWord(level);
    for (int64_t channels = 1; channels <= 2 * perWord; ++channels) {
      Operation *op = make(level, channels, 256);
      int64_t rest = channels % perWord,
              plain = (channels + perWord - 1) / perWord * 9;
      auto fold = TapFold::get(op, level);
      int64_t folded =
          channels / perWord * 9 + (rest * 9 + perWord - 1) / perWord;
      if (!fold) {
        EXPECT_GE(folded + (level <= 2 && channels > perWord), plain)
            << "level " << level << ", " << channels << " channels";
        EXPECT_EQ(TapFold::countWords(op, level), plain);
        continue;
      }
      EXPECT_EQ(fold->channels, rest);
      EXPECT_GE(fold->words * perWord, rest * 9);
      EXPECT_LT((fold->words - 1) * perWord, rest * 9);
      EXPECT_EQ(TapFold::countWords(op, level), folded);
      EXPECT_LT(folded, plain);
    }
  }
}

TEST_F(TapFoldTest, OneFourBitChannelIsThreeWords) {
  auto fold = TapFold::get(make(4, 5, 64), 4);
  ASSERT_TRUE(fold);
  EXPECT_EQ(fold->channels, 1);
  EXPECT_EQ(fold->words, 3);
  // Of a level that there is not.
  EXPECT_FALSE(TapFold::get(make(4, 5, 64), 2));
}

TEST_F(TapFoldTest, NotWhereNothingIsSaved) {
  EXPECT_FALSE(TapFold::get(make(4, 8, 64), 4)) << "words are full";
  EXPECT_FALSE(TapFold::get(make(4, 5, 64, 1), 4)) << "one tap";
  EXPECT_FALSE(TapFold::get(make(4, 5, 4), 4)) << "few outputs";
  EXPECT_FALSE(TapFold::get(make(1, 7, 4), 1)) << "a word of 9 is saved";
  EXPECT_FALSE(TapFold::get(make(4, 5, 64, 11), 4)) << "121 taps to unroll";
  EXPECT_FALSE(TapFold::get(make(4, 10, 64, 3, 2), 4)) << "groups";
  EXPECT_FALSE(TapFold::get(make(8, 1, 64), 8)) << "a stream of bytes";
}

} // namespace
