//===- ByteStreamTest.cpp - Every byte of a window's row, once ------------===//

#include "sysmol/Analysis/ByteStream.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

namespace {

class ByteStreamTest : public testing::Test {
protected:
  ByteStreamTest() {
    context
        .loadDialect<arith::ArithDialect, func::FuncDialect, HetprecDialect>();
  }

  /// A convolution of `rows` rows of `columns` taps over `channels` channels.
  std::optional<ByteStream> get(int64_t channels, int64_t columns,
                                int64_t stride, const char *grid = "unsigned",
                                int64_t bits = 8, int64_t dilation = 1,
                                int64_t rows = 1, int64_t outputs = 1) {
    auto encoding = [&](const char *name) {
      return "#hetprec.channels<axis = 1, grid = " + std::string(name) +
             ", scale = 1.0, bits = [" + std::to_string(bits) + " x " +
             std::to_string(channels) + "]>";
    };
    int64_t width = (columns - 1) * dilation + 1;
    auto tensor = [&](int64_t count, int64_t size) {
      std::string text = "tensor<";
      for (int64_t dim : {count, channels, rows, size})
        text += std::to_string(dim) + "x";
      return text + "i8, ";
    };
    std::string x = tensor(1, width) + encoding(grid) + ">",
                w = tensor(outputs, columns) + encoding("midrise") + ">",
                y = "tensor<1x" + std::to_string(outputs) + "x1x1xi32>";
    std::string text = "func.func @f(%x: " + x + ") -> " + y +
                       " {\n%w = arith.constant dense<1> : " + w +
                       "\n%y = hetprec.conv_2d %x, %w strides = [1, " +
                       std::to_string(stride) + "] dilations = [1, " +
                       std::to_string(dilation) + "] : " + x + ", " + w +
                       " -> " + y + "\nreturn %y : " + y + "\n}";
    module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(module) << text;
    std::optional<ByteStream> found;
    module->walk([&](Conv2DOp conv) { found = ByteStream::get(conv); });
    return found;
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

TEST_F(ByteStreamTest, HasEachByteOnce) {
  int64_t streams = 0;
  for (int64_t channels = 1; channels <= 4; ++channels)
    for (int64_t columns = 1; columns <= 12; ++columns)
      for (int64_t stride = 1; stride <= 8; ++stride) {
        auto s = get(channels, columns, stride);
        if (!s)
          continue;
        ++streams;
        EXPECT_LT(s->planes * s->repeats, columns);
        std::set<std::pair<int64_t, int64_t>> seen;
        for (int64_t repeat = 0; repeat < s->repeats; ++repeat)
          for (int64_t plane = 0; plane < s->planes; ++plane)
            for (int64_t byte = 0; byte < ByteStream::kWordBytes; ++byte) {
              auto source = s->getSource(plane, byte, repeat);
              if (!source)
                continue;
              EXPECT_LT(source->slot, channels);
              EXPECT_LT(source->column, columns);
              EXPECT_TRUE(seen.insert({source->slot, source->column}).second);
              // The plane holds it, that many lanes on.
              auto first = s->getSource(plane, byte);
              ASSERT_TRUE(first);
              EXPECT_EQ(first->slot, source->slot);
              EXPECT_EQ(first->column + repeat * s->step * stride,
                        source->column);
              EXPECT_LE(first->column / stride, s->getReach());
            }
        EXPECT_EQ(int64_t(seen.size()), channels * columns);
      }
  EXPECT_GT(streams, 50);
}

TEST_F(ByteStreamTest, SavesWords) {
  auto words = [&](int64_t channels, int64_t columns, int64_t stride) {
    auto s = get(channels, columns, stride);
    return s ? s->planes * s->repeats : columns;
  };
  EXPECT_EQ(words(1, 3, 1), 1);
  EXPECT_EQ(words(1, 3, 3), 1);
  EXPECT_EQ(words(2, 3, 3), 2);
  EXPECT_EQ(words(3, 7, 1), 6);
  EXPECT_EQ(words(3, 7, 2), 6);
  EXPECT_EQ(words(3, 7, 3), 6);
  EXPECT_EQ(words(3, 3, 2), 3);
  EXPECT_EQ(words(4, 7, 2), 7);
}

TEST_F(ByteStreamTest, FoldsPlanesThatAreNotFull) {
  for (int64_t channels = 1; channels <= 3; ++channels)
    for (int64_t columns = 1; columns <= 12; ++columns)
      for (int64_t stride : {1, 2, 3}) {
        auto s = get(channels, columns, stride, "unsigned", 8, 1, 7, 64);
        if (!s)
          continue;
        int64_t bytes = 0;
        for (int64_t plane = 0; plane < s->planes; ++plane)
          for (int64_t repeat = 0; repeat < s->repeats; ++repeat) {
            int64_t count = s->getNumBytes(plane, repeat);
            bytes += count;
            for (int64_t byte = 0; byte < ByteStream::kWordBytes; ++byte)
              EXPECT_EQ(s->getSource(plane, byte, repeat).has_value(),
                        byte < count);
            // What is read for each row is full.
            if (plane < s->foldedFrom && s->foldedFrom < s->planes) {
              EXPECT_EQ(count, ByteStream::kWordBytes);
            }
          }
        EXPECT_EQ(bytes, channels * columns);
      }
  // ResNet's first layer: 4 words of each of 7 rows, and 35 bytes.
  auto s = get(3, 7, 2, "unsigned", 8, 1, 7, 64);
  ASSERT_TRUE(s);
  EXPECT_EQ(s->foldedFrom, 2);
  EXPECT_EQ(s->countFolded(), (std::pair<int64_t, int64_t>(2, 5)));
  // A row by itself, and one output, have nothing to gain.
  EXPECT_EQ(get(3, 7, 2, "unsigned", 8, 1, 1, 64)->foldedFrom, 3);
  EXPECT_EQ(get(3, 7, 2, "unsigned", 8, 1, 7, 1)->foldedFrom, 3);
}

TEST_F(ByteStreamTest, IsForUnsignedBytesSideBySide) {
  EXPECT_TRUE(get(1, 3, 1));
  EXPECT_FALSE(get(1, 3, 1, "midrise"));
  EXPECT_FALSE(get(1, 3, 1, "unsigned", 4));
  EXPECT_FALSE(get(1, 3, 1, "unsigned", 8, /*dilation=*/2));
}

} // namespace
