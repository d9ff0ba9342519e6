//===- GridTest.cpp - HP1 to HP11: grids, levels, quantization ------------===//

#include "TestUtils.h"

#include <bit>
#include <cmath>
#include <limits>
#include <set>

using namespace sysmol::reference;

namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

/// The code of one real, through the whole of HP7 to HP10.
int32_t codeOf(Grid grid, int bits, double scale, float x) {
  Result<float> m = quantizeMultiplier(grid, bits, scale);
  EXPECT_TRUE(m.ok()) << m.message();
  return m ? quantizeValue(grid, bits, *m, x) : -1000;
}

TEST(Grid, HP1OnlyFourPrecisions) {
  std::set<int> allowed = {1, 2, 4, 8};
  for (int p = -1; p <= 17; ++p) {
    EXPECT_EQ(isPrecision(p), allowed.count(p) == 1) << p;
    EXPECT_EQ(checkPrecisions(std::vector<int>{p}).ok(), isPrecision(p)) << p;
  }
  EXPECT_REFUSED(checkPrecisions(std::vector<int>{1, 3}), "HP1");
  EXPECT_REFUSED(checkPrecisions({}), "no channel");
}

TEST(Grid, HP2AtMostThreePrecisions) {
  EXPECT_TRUE(checkPrecisions(std::vector<int>{1, 2, 4, 4, 2, 1}).ok());
  EXPECT_TRUE(checkPrecisions(std::vector<int>{8, 1, 8, 2}).ok());
  EXPECT_REFUSED(checkPrecisions(std::vector<int>{4, 1, 8, 2}), "HP2");
}

TEST(Grid, HP3MidriseLevels) {
  // In units of d: ±1; ±0.5, ±1.5; ±0.125 to ±1.875.
  EXPECT_EQ(levelReal(Grid::Midrise, 1, 0, 1), -1);
  EXPECT_EQ(levelReal(Grid::Midrise, 1, 1, 1), 1);
  double two[] = {-1.5, -0.5, 0.5, 1.5};
  for (int k = 0; k < 4; ++k)
    EXPECT_EQ(levelReal(Grid::Midrise, 2, k, 1), two[k]);
  for (int k = 0; k < 16; ++k)
    EXPECT_EQ(levelReal(Grid::Midrise, 4, k, 3), 3 * (-1.875 + 0.25 * k));
  for (int p : {1, 2, 4})
    for (int k = 0; k < 1 << p; ++k) {
      EXPECT_EQ(levelValue(Grid::Midrise, p, k), 2 * k + 1 - (1 << p));
      EXPECT_NE(levelReal(Grid::Midrise, p, k, 1), 0);
    }
}

TEST(Grid, HP4SymmetricLevels) {
  CodeRange range = codeRange(Grid::Midrise, 8);
  EXPECT_EQ(range.low, -127);
  EXPECT_EQ(range.high, 127);
  for (int k = -127; k <= 127; ++k) {
    EXPECT_EQ(levelValue(Grid::Midrise, 8, k), k);
    EXPECT_EQ(levelReal(Grid::Midrise, 8, k, 2), k / 32.0);
  }
  EXPECT_EQ(maxLevelValue(Grid::Midrise, 8), 127);
}

TEST(Grid, HP5UnsignedLevels) {
  for (int p : precisions) {
    int last = (1 << p) - 1;
    EXPECT_EQ(codeRange(Grid::Unsigned, p).low, 0);
    EXPECT_EQ(codeRange(Grid::Unsigned, p).high, last);
    EXPECT_EQ(levelReal(Grid::Unsigned, p, 0, 0.7), 0);
    EXPECT_EQ(levelReal(Grid::Unsigned, p, last, 0.7), 0.7 * last / last);
    EXPECT_EQ(levelValue(Grid::Unsigned, p, last), last);
    EXPECT_EQ(maxLevelValue(Grid::Unsigned, p), last);
  }
  EXPECT_EQ(levelReal(Grid::Unsigned, 4, 5, 3.0), 1.0);
}

TEST(Grid, HP6ScalesAreFiniteAndPositive) {
  for (double scale : {0.0, -0.0, -1.0, std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    EXPECT_REFUSED(checkScale(scale), "HP6");
    EXPECT_REFUSED(quantizeMultiplier(Grid::Unsigned, 2, scale), "HP6");
  }
  EXPECT_TRUE(checkScale(std::numeric_limits<double>::denorm_min()).ok());
  // Positive, but with no multiplier in binary32.
  EXPECT_REFUSED(quantizeMultiplier(Grid::Unsigned, 2, 1e-300), "binary32");
  EXPECT_REFUSED(quantizeMultiplier(Grid::Midrise, 2, 1e300), "binary32");
}

TEST(Grid, RoundHalfEvenAgreesWithIntegers) {
  // Every quarter in a range, against exact integer arithmetic.
  for (int quarters = -4000; quarters <= 4000; ++quarters) {
    int floored = quarters >> 2, rest = quarters & 3;
    int expected = floored + (rest == 3 || (rest == 2 && (floored & 1)));
    EXPECT_EQ(roundHalfEven(quarters / 4.0f), expected) << quarters;
  }
  EXPECT_EQ(roundHalfEven(0x1.fffffep-2f), 0); // just under a half
  EXPECT_EQ(roundHalfEven(0x1.000002p-1f), 1); // just above
  EXPECT_EQ(roundHalfEven(-1e-30f), 0);
  EXPECT_EQ(roundHalfEven(8388607.5f), 8388608); // the last tie there is
  EXPECT_EQ(roundHalfEven(16777216.f), 16777216);
}

TEST(Grid, HP7UnsignedTiesAndSaturation) {
  // alpha = 3 makes the 2-bit step 1: ties are visible.
  EXPECT_EQ(codeOf(Grid::Unsigned, 2, 3, 0.5f), 0);
  EXPECT_EQ(codeOf(Grid::Unsigned, 2, 3, 1.5f), 2);
  EXPECT_EQ(codeOf(Grid::Unsigned, 2, 3, 2.5f), 2);
  EXPECT_EQ(codeOf(Grid::Unsigned, 2, 3, std::nextafter(2.5f, 3.f)), 3);
  EXPECT_EQ(codeOf(Grid::Unsigned, 2, 3, 3e30f), 3);
  EXPECT_EQ(codeOf(Grid::Unsigned, 2, 3, -3e30f), 0);
  EXPECT_EQ(codeOf(Grid::Unsigned, 1, 1, 0.5f), 0);
  EXPECT_EQ(codeOf(Grid::Unsigned, 1, 1, 0.50001f), 1);
  EXPECT_EQ(codeOf(Grid::Unsigned, 8, 255, 254.5f), 254);
  EXPECT_EQ(codeOf(Grid::Unsigned, 8, 255, 255.5f), 255);
}

TEST(Grid, HP7MultiplierIsRoundedOnceFromDouble) {
  // The law divides in double and rounds; dividing in binary32 differs here.
  double alpha = 0.1;
  Result<float> m = quantizeMultiplier(Grid::Unsigned, 4, alpha);
  ASSERT_TRUE(m.ok());
  EXPECT_EQ(*m, static_cast<float>(15 / alpha));
  int differences = 0;
  for (int i = 1; i < 1000; ++i) {
    double scale = i * 0.001;
    float law = *quantizeMultiplier(Grid::Unsigned, 4, scale);
    EXPECT_EQ(law, static_cast<float>(15 / scale));
    differences += law != 15.0f / static_cast<float>(scale);
  }
  EXPECT_GT(differences, 0);
}

TEST(Grid, HP8MidriseBoundariesTakeTheUpperCode) {
  // d = 1, 2 bits: boundaries -1, 0, 1.
  EXPECT_EQ(codeOf(Grid::Midrise, 2, 1, -1.0f), 1);
  EXPECT_EQ(codeOf(Grid::Midrise, 2, 1, std::nextafter(-1.0f, -2.f)), 0);
  EXPECT_EQ(codeOf(Grid::Midrise, 2, 1, 0.0f), 2);
  EXPECT_EQ(codeOf(Grid::Midrise, 2, 1, -0.0f), 2); // HP10
  EXPECT_EQ(codeOf(Grid::Midrise, 2, 1, -1e-30f), 1);
  EXPECT_EQ(codeOf(Grid::Midrise, 2, 1, 1.0f), 3);
  EXPECT_EQ(codeOf(Grid::Midrise, 2, 1, 0.99999f), 2);
  EXPECT_EQ(codeOf(Grid::Midrise, 1, 1, 0.0f), 1);
  EXPECT_EQ(codeOf(Grid::Midrise, 1, 1, -1e-30f), 0);
  EXPECT_EQ(codeOf(Grid::Midrise, 4, 1, 1.75f), 15);
  EXPECT_EQ(codeOf(Grid::Midrise, 4, 1, 9e37f), 15);
  EXPECT_EQ(codeOf(Grid::Midrise, 4, 1, -9e37f), 0);
}

TEST(Grid, HP9SymmetricTiesAndSaturation) {
  // d = 64 makes the step 1.
  EXPECT_EQ(codeOf(Grid::Midrise, 8, 64, 0.5f), 0);
  EXPECT_EQ(codeOf(Grid::Midrise, 8, 64, 1.5f), 2);
  EXPECT_EQ(codeOf(Grid::Midrise, 8, 64, -0.5f), 0);
  EXPECT_EQ(codeOf(Grid::Midrise, 8, 64, -1.5f), -2);
  EXPECT_EQ(codeOf(Grid::Midrise, 8, 64, -2.5f), -2);
  EXPECT_EQ(codeOf(Grid::Midrise, 8, 64, 127.6f), 127);
  EXPECT_EQ(codeOf(Grid::Midrise, 8, 64, -128.0f), -127); // never -128
}

TEST(Grid, HP10NotANumberInfinityAndZero) {
  for (Grid grid : grids)
    for (int p : precisions) {
      CodeRange range = codeRange(grid, p);
      EXPECT_EQ(codeOf(grid, p, 0.37, nan), 0);
      EXPECT_EQ(codeOf(grid, p, 0.37, -nan), 0);
      EXPECT_EQ(codeOf(grid, p, 0.37, infinity), range.high);
      EXPECT_EQ(codeOf(grid, p, 0.37, -infinity), range.low);
      EXPECT_EQ(codeOf(grid, p, 0.37, -0.0f), codeOf(grid, p, 0.37, 0.0f));
      // A finite input whose product overflows saturates too.
      float most = std::numeric_limits<float>::max();
      EXPECT_EQ(codeOf(grid, p, 1e-6, most), range.high);
      EXPECT_EQ(codeOf(grid, p, 1e-6, -most), range.low);
    }
}

TEST(Grid, EveryLevelQuantizesToItself) {
  for (Grid grid : grids)
    for (int p : precisions)
      for (double scale : {1.0, 0.3, 7.77, 1e-5}) {
        CodeRange range = codeRange(grid, p);
        for (int32_t k = range.low; k <= range.high; ++k) {
          float x = static_cast<float>(levelReal(grid, p, k, scale));
          EXPECT_EQ(codeOf(grid, p, scale, x), k);
        }
      }
}

TEST(Grid, HP11ProductCounts) {
  // The spec's own numbers.
  EXPECT_EQ(productCount(Grid::Unsigned, 1, 4), 120);
  EXPECT_EQ(productCount(Grid::Unsigned, 2, 4), 20);
  EXPECT_EQ(productCount(Grid::Unsigned, 4, 4), 1);
  EXPECT_EQ(productCount(Grid::Unsigned, 1, 2), 6);
  int64_t unsignedCounts[] = {16320, 2720, 136, 1};
  int64_t midriseCounts[] = {4096, 1024, 64, 1};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(productCount(Grid::Unsigned, precisions[i], 8),
              unsignedCounts[i]);
    EXPECT_EQ(productCount(Grid::Midrise, precisions[i], 8), midriseCounts[i]);
  }
  EXPECT_EQ(finestPrecision(std::vector<int>{1, 4, 2}), 4);
}

TEST(Grid, HP11UnitsAreTheGridsOwn) {
  // u(p) = value(weight) * value(activation) / (q_w * q_a), from the grids.
  for (Grid grid : grids)
    for (int p : precisions) {
      CodeRange range = codeRange(grid, p);
      double real = levelReal(Grid::Midrise, p, 1, 1.0) *
                    levelReal(grid, p, range.high, 1.0);
      double levels = static_cast<double>(levelValue(Grid::Midrise, p, 1)) *
                      levelValue(grid, p, range.high);
      EXPECT_NEAR(levels / real, static_cast<double>(unitDenominator(grid, p)),
                  1e-9);
    }
}

TEST(Grid, QuantizeTensorUsesTheChannelsPrecision) {
  ChannelEncoding encoding{Grid::Unsigned, 1, {1, 2, 8}};
  FloatTensor x{{2, 3, 1}, {0.6f, 0.6f, 0.6f, 9.f, 9.f, -9.f}};
  SYSMOL_VALUE(codes, quantize(x, encoding, 1.0));
  EXPECT_EQ(codes.data, (std::vector<int32_t>{1, 2, 153, 1, 3, 0}));
  SYSMOL_VALUE(reals, dequantizeCodes(codes, encoding, 1.0));
  EXPECT_EQ(reals.data[1], static_cast<float>(2.0 / 3));
  EXPECT_EQ(reals.data[2], static_cast<float>(153.0 / 255));

  EXPECT_REFUSED(quantize({{2, 2}, {0, 0, 0, 0}}, encoding, 1.0), "channels");
  EXPECT_REFUSED(quantize({{2, 3}, {0, 0, 0, 0}}, encoding, 1.0), "elements");
  EXPECT_REFUSED(quantize({{-1, 3}, {}}, encoding, 1.0), "negative");
  EXPECT_REFUSED(quantize({{3}, {0, 0, 0}}, encoding, 1.0), "axis");
  EXPECT_REFUSED(quantize(x, encoding, std::nan("")), "HP6");
  EXPECT_REFUSED(dequantizeCodes({{1, 3}, {2, 0, 0}}, encoding, 1.0), "1-bit");
}

TEST(Grid, WeightsTakeThePrecisionOfTheirActivationChannel) {
  // Two groups: output 0 meets channels 0, 1; output 1 meets channels 2, 3.
  std::vector<int> bits = {1, 2, 4, 2};
  FloatTensor w{{2, 2}, {-0.4f, -0.4f, -0.4f, -0.4f}};
  std::vector<double> d = {1.0, 2.0};
  SYSMOL_VALUE(codes, quantizeWeights(w, bits, 2, d));
  EXPECT_EQ(codes.data, (std::vector<int32_t>{0, 1, 7, 1}));
  SYSMOL_VALUE(reals, dequantizeWeights(codes, bits, 2, d));
  EXPECT_EQ(reals.data, (std::vector<float>{-1, -0.5, -0.25, -1}));
  bits = {8, 8, 1, 4};
  SYSMOL_VALUE(others, quantizeWeights(w, bits, 2, d));
  EXPECT_EQ(others.data, (std::vector<int32_t>{-26, -26, 0, 7}));
  EXPECT_REFUSED(quantizeWeights(w, bits, 1, d), "input channels");
  EXPECT_REFUSED(quantizeWeights(w, bits, 0, d), "groups");
  std::vector<double> three = {1, 1, 1};
  EXPECT_REFUSED(quantizeWeights(w, bits, 2, three), "scales");
  std::vector<double> bad = {1, -1};
  EXPECT_REFUSED(quantizeWeights(w, bits, 2, bad), "HP6");
}

TEST(Permute, MovesChannelsAndOnlyChannels) {
  IntTensor x{{2, 3, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}};
  std::vector<int64_t> permutation = {2, 0, 1};
  SYSMOL_VALUE(y, permuteChannels(x, 1, permutation));
  EXPECT_EQ(y.shape, x.shape);
  EXPECT_EQ(y.data,
            (std::vector<int32_t>{4, 5, 0, 1, 2, 3, 10, 11, 6, 7, 8, 9}));
  std::vector<int64_t> twice = {0, 0, 1}, outside = {0, 1, 3}, few = {0, 1};
  EXPECT_REFUSED(permuteChannels(x, 1, twice), "once");
  EXPECT_REFUSED(permuteChannels(x, 1, outside), "once");
  EXPECT_REFUSED(permuteChannels(x, 1, few), "permutation of 2");
  EXPECT_REFUSED(permuteChannels(x, 3, permutation), "axis");
}

} // namespace
