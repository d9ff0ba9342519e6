//===- EpilogueTest.cpp - HP15 to HP18: after the dot product -------------===//

#include "TestUtils.h"

#include <cmath>
#include <limits>

using namespace sysmol::reference;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr int32_t int32Max = std::numeric_limits<int32_t>::max();
constexpr int32_t int32Min = std::numeric_limits<int32_t>::min();

TEST(Requantize, HP15TiesToEvenOnTheUnsignedGrid) {
  // m = 0.5: odd accumulators are ties.
  int32_t expected[] = {0, 0, 1, 2, 2, 2, 3, 4, 4};
  for (int32_t acc = 0; acc < 9; ++acc)
    EXPECT_EQ(requantizeValue(Grid::Unsigned, 4, acc, 0.5f, 0), expected[acc]);
  EXPECT_EQ(requantizeValue(Grid::Unsigned, 4, -1, 0.5f, 0), 0);
  EXPECT_EQ(requantizeValue(Grid::Unsigned, 4, 1000, 0.5f, 0), 15);
  EXPECT_EQ(requantizeValue(Grid::Unsigned, 4, -1000, 0.5f, 0), 0);
}

TEST(Requantize, HP15FloorsOnTheMidriseGrid) {
  // 2 bits, step 1, m = 0.5: codes count from the boundary at zero.
  int32_t accs[] = {-100, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 100};
  int32_t codes[] = {0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 3, 3};
  for (int i = 0; i < 12; ++i)
    EXPECT_EQ(requantizeValue(Grid::Midrise, 2, accs[i], 0.5f, 0), codes[i])
        << accs[i];
  EXPECT_EQ(requantizeValue(Grid::Midrise, 1, -1, 0.5f, 0.5f), 1);
  EXPECT_EQ(requantizeValue(Grid::Midrise, 1, -2, 0.5f, 0.5f), 0);
}

TEST(Requantize, HP15SymmetricLevel) {
  EXPECT_EQ(requantizeValue(Grid::Midrise, 8, 5, 0.5f, 0), 2);
  EXPECT_EQ(requantizeValue(Grid::Midrise, 8, -5, 0.5f, 0), -2);
  EXPECT_EQ(requantizeValue(Grid::Midrise, 8, -7, 0.5f, 0), -4);
  EXPECT_EQ(requantizeValue(Grid::Midrise, 8, 256, 0.5f, 0), 127);
  EXPECT_EQ(requantizeValue(Grid::Midrise, 8, -256, 0.5f, 0), -127);
}

TEST(Requantize, HP15EveryOperationIsRounded) {
  // f32(2^24 + 1) is 2^24, ties to even; 2^24 + 3 is 2^24 + 4.
  float m = 0x1p-24f;
  EXPECT_EQ(requantizeValue(Grid::Unsigned, 8, (1 << 24) + 1, m, 99.5f), 100);
  SYSMOL_VALUE(exact, dequantizeAccumulators({{1}, {(1 << 24) + 3}}, 0,
                                             std::vector<float>{1},
                                             std::vector<float>{0}));
  EXPECT_EQ(exact.data[0], 16777220.f);
  // The product is rounded before the sum: fused it would leave a rest.
  // (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24, whose last term is a tie, dropped.
  float factor = 4097;
  float scale = 0x1.001p-24f; // 4097 * 2^-36
  float product = factor * scale;
  EXPECT_EQ(product, 0x1.002p-12f);
  SYSMOL_VALUE(rest, dequantizeAccumulators({{1}, {4097}}, 0,
                                            std::vector<float>{scale},
                                            std::vector<float>{-product}));
  EXPECT_EQ(rest.data[0], 0.0f);
  EXPECT_NE(std::fma(factor, scale, -product), 0.0f);
}

TEST(Requantize, HP15AFusedMultiplyAddWouldChangeCodes) {
  // Somewhere the contraction is visible in a code; there the law is the
  // rounded product.
  std::mt19937 random(5);
  std::uniform_real_distribution<float> scales(1e-3f, 1e-1f),
      offsets(-8.f, 8.f);
  std::uniform_int_distribution<int32_t> accs(-200, 200);
  int differences = 0;
  for (int i = 0; i < 2000000 && differences < 1; ++i) {
    float m = scales(random), b = offsets(random);
    int32_t acc = accs(random);
    // Put the sum onto a boundary, where one ulp decides.
    float product = static_cast<float>(acc) * m;
    b = std::floor(b) - product;
    volatile float rounded = product + b;
    float fused = std::fma(static_cast<float>(acc), m, b);
    int32_t law = requantizeValue(Grid::Midrise, 4, acc, m, b);
    ASSERT_EQ(law, roundToCode(Grid::Midrise, 4, rounded));
    differences += law != roundToCode(Grid::Midrise, 4, fused);
  }
  EXPECT_GT(differences, 0);
}

TEST(Requantize, HP15OverflowSaturates) {
  float most = std::numeric_limits<float>::max();
  for (Grid grid : grids)
    for (int p : precisions) {
      CodeRange range = codeRange(grid, p);
      EXPECT_EQ(requantizeValue(grid, p, int32Max, most, most), range.high);
      EXPECT_EQ(requantizeValue(grid, p, int32Min, most, -most), range.low);
      EXPECT_EQ(requantizeValue(grid, p, int32Max, -most, 0), range.low);
    }
}

TEST(Requantize, HP15ChannelsHaveTheirOwnPrecisionAndScale) {
  ChannelEncoding encoding{Grid::Unsigned, 1, {1, 8}};
  IntTensor acc{{2, 2}, {10, 10, -10, 100}};
  std::vector<float> m = {1, 2}, b = {0, 0.5f};
  SYSMOL_VALUE(codes, requantize(acc, encoding, m, b));
  EXPECT_EQ(codes.data, (std::vector<int32_t>{1, 20, 0, 200}));
  for (float bad : {0.0f, -0.0f, infinity, std::nanf("")}) {
    std::vector<float> badM = {1, bad};
    EXPECT_REFUSED(requantize(acc, encoding, badM, b), "HP15");
  }
  std::vector<float> badB = {0, infinity}, few = {1};
  EXPECT_REFUSED(requantize(acc, encoding, m, badB), "HP15");
  EXPECT_REFUSED(requantize(acc, encoding, few, b), "multipliers");
  encoding.bits = {1, 3};
  EXPECT_REFUSED(requantize(acc, encoding, m, b), "HP1");
  encoding.bits = {1, 2, 4};
  EXPECT_REFUSED(requantize(acc, encoding, m, b), "channels");
}

TEST(Thresholds, HP16AreTheRuleItself) {
  // Every accumulator in a range, random affine rules of both signs.
  std::mt19937 random(6);
  std::uniform_real_distribution<float> scales(-0.2f, 0.2f),
      offsets(-20.f, 20.f);
  for (int round = 0; round < 60; ++round)
    for (Grid grid : grids)
      for (int p : {1, 2, 4}) {
        float m = scales(random), b = offsets(random);
        if (round % 3 == 0) { // exact ties
          m = std::copysign(0.125f, m);
          b = std::floor(b) / 2;
        }
        SYSMOL_VALUE(t, findThresholds(grid, p, m, b, -300, 300));
        ASSERT_EQ(t.values.size(), (1u << p) - 1);
        ASSERT_EQ(t.descending, m < 0);
        for (int32_t acc = -300; acc <= 300; ++acc)
          ASSERT_EQ(countThresholds(t, acc),
                    requantizeValue(grid, p, acc, m, b))
              << "m " << m << " b " << b << " acc " << acc;
      }
}

TEST(Thresholds, HP16NegativeMultiplierTurnsThemRound) {
  // k = clamp(rne(-acc / 4), 0, 3). The ties are at -2 (0.5, to 0), at -6
  // (1.5, to 2) and at -10 (2.5, to 2).
  SYSMOL_VALUE(t, findThresholds(Grid::Unsigned, 2, -0.25f, 0, -100, 100));
  EXPECT_TRUE(t.descending);
  EXPECT_EQ(t.values, (std::vector<int64_t>{-3, -6, -11}));
  SYSMOL_VALUE(up, findThresholds(Grid::Unsigned, 2, 0.25f, 0, -100, 100));
  EXPECT_FALSE(up.descending);
  EXPECT_EQ(up.values, (std::vector<int64_t>{3, 6, 11}));
}

TEST(Thresholds, HP16UnreachableOnesAreOnePastTheBound) {
  SYSMOL_VALUE(up, findThresholds(Grid::Unsigned, 2, 0.25f, 0, -7, 7));
  EXPECT_EQ(up.values, (std::vector<int64_t>{3, 6, 8}));
  SYSMOL_VALUE(down, findThresholds(Grid::Unsigned, 2, -0.25f, 0, -7, 7));
  EXPECT_EQ(down.values, (std::vector<int64_t>{-3, -6, -8}));
  // Always reached: the bound itself.
  SYSMOL_VALUE(always, findThresholds(Grid::Unsigned, 1, 1.f, 100.f, -7, 7));
  EXPECT_EQ(always.values, (std::vector<int64_t>{-7}));
  SYSMOL_VALUE(alwaysDown,
               findThresholds(Grid::Unsigned, 1, -1.f, 100.f, -7, 7));
  EXPECT_EQ(alwaysDown.values, (std::vector<int64_t>{7}));
  // A pool's accumulators are never negative.
  SYSMOL_VALUE(pool, findThresholds(Grid::Unsigned, 1, -1.f, -100.f, 0, 7));
  EXPECT_EQ(pool.values, (std::vector<int64_t>{-1}));
}

TEST(Thresholds, HP16AtTheEndsOf32Bits) {
  SYSMOL_VALUE(
      never, findThresholds(Grid::Unsigned, 1, 1e-20f, 0, -int32Max, int32Max));
  EXPECT_EQ(never.values, (std::vector<int64_t>{int64_t(int32Max) + 1}));
  EXPECT_EQ(countThresholds(never, int32Max), 0);
  SYSMOL_VALUE(
      down, findThresholds(Grid::Unsigned, 1, -1e-20f, 0, -int32Max, int32Max));
  EXPECT_EQ(down.values, (std::vector<int64_t>{int32Min}));
  EXPECT_EQ(countThresholds(down, -int32Max), 0);
  // Large accumulators lose bits in binary32; the thresholds know where.
  float m = 0x1p-26f;
  SYSMOL_VALUE(coarse,
               findThresholds(Grid::Midrise, 4, m, 0.f, -int32Max, int32Max));
  for (int64_t t : coarse.values)
    for (int64_t acc = std::max<int64_t>(t - 300, -int32Max);
         acc <= std::min<int64_t>(t + 300, int32Max); ++acc)
      ASSERT_EQ(
          countThresholds(coarse, static_cast<int32_t>(acc)),
          requantizeValue(Grid::Midrise, 4, static_cast<int32_t>(acc), m, 0.f));
}

TEST(Thresholds, HP16ForATensor) {
  ChannelEncoding encoding{Grid::Midrise, 1, {1, 2, 4}};
  std::vector<float> m = {0.3f, -0.7f, 0.11f}, b = {-1.f, 0.25f, 3.f};
  std::vector<Thresholds> thresholds;
  for (int c = 0; c < 3; ++c) {
    SYSMOL_VALUE(t, findThresholds(Grid::Midrise, encoding.bits[c], m[c], b[c],
                                   -90, 90));
    thresholds.push_back(t);
  }
  IntTensor acc{{60, 3, 1}, {}};
  for (int32_t i = 0; i < 180; ++i)
    acc.data.push_back(i - 90);
  SYSMOL_VALUE(byRule, requantize(acc, encoding, m, b));
  SYSMOL_VALUE(byThresholds, requantizeByThresholds(acc, 1, thresholds));
  EXPECT_EQ(byRule.data, byThresholds.data);
  thresholds.pop_back();
  EXPECT_REFUSED(requantizeByThresholds(acc, 1, thresholds), "thresholds");
}

TEST(Thresholds, HP16Refuses) {
  EXPECT_REFUSED(findThresholds(Grid::Unsigned, 8, 1, 0, -1, 1), "HP16");
  EXPECT_REFUSED(findThresholds(Grid::Unsigned, 3, 1, 0, -1, 1), "HP16");
  EXPECT_REFUSED(findThresholds(Grid::Unsigned, 1, 0, 0, -1, 1), "HP15");
  EXPECT_REFUSED(findThresholds(Grid::Unsigned, 1, 1, 0, 1, -1), "range");
  EXPECT_REFUSED(findThresholds(Grid::Unsigned, 1, 1, 0, 0, 1ll << 31),
                 "range");
}

TEST(Carrier, HP17RoundsHalfToEvenAndSaturates) {
  IntTensor acc{{8}, {1, 3, 5, -1, -3, 100000, -100000, int32Min}};
  std::vector<float> half = {0.5f}, none = {0.0f};
  acc.shape = {1, 1, 8};
  SYSMOL_VALUE(k, rescaleToCarrier(acc, 1, half, none));
  EXPECT_EQ(k.data,
            (std::vector<int32_t>{0, 2, 2, 0, -2, 32767, -32767, -32767}));
  std::vector<float> most = {std::numeric_limits<float>::max()};
  SYSMOL_VALUE(end, rescaleToCarrier({{1, 1, 3}, {7, -7, 0}}, 1, most, none));
  EXPECT_EQ(end.data, (std::vector<int32_t>{32767, -32767, 0}));
  std::vector<float> zero = {0};
  EXPECT_REFUSED(rescaleToCarrier(acc, 1, zero, none), "HP15");
  // The last tie before the end.
  SYSMOL_VALUE(tie,
               rescaleToCarrier({{1, 1, 2}, {65533, -65533}}, 1, half, none));
  EXPECT_EQ(tie.data, (std::vector<int32_t>{32766, -32766}));
}

TEST(Carrier, HP17AddsTheOffsetAndKeepsAboveZeroWithARelu) {
  IntTensor acc{{1, 2, 4}, {5, -5, 65536, -65536, 5, -5, 65536, -65536}};
  std::vector<float> m = {0.5f, -0.5f}, b = {0.25f, 1.0f};
  SYSMOL_VALUE(k, rescaleToCarrier(acc, 1, m, b));
  // 2.75, -2.25; -1.5 and 3.5 are ties; the ends saturate behind the offset.
  EXPECT_EQ(k.data,
            (std::vector<int32_t>{3, -2, 32767, -32767, -2, 4, -32767, 32767}));
  SYSMOL_VALUE(above, rescaleToCarrier(acc, 1, m, b, Relu::Fused));
  EXPECT_EQ(above.data, (std::vector<int32_t>{3, 0, 32767, 0, 0, 4, 0, 32767}));
  std::vector<float> infinite = {std::numeric_limits<float>::infinity()};
  EXPECT_REFUSED(rescaleToCarrier(acc, 1, m, infinite), "");
  // Two roundings: 16777217 is no binary32.
  std::vector<float> one = {1.0f}, far = {-16777216.0f};
  SYSMOL_VALUE(two, rescaleToCarrier({{1, 1, 1}, {16777217}}, 1, one, far));
  EXPECT_EQ(two.data, (std::vector<int32_t>{0}));
}

TEST(Carrier, HP17SumSaturatesBothWays) {
  IntTensor a{{5}, {32767, -32767, 20000, -20000, 5}};
  IntTensor b{{5}, {1, -1, 12767, -20000, -9}};
  SYSMOL_VALUE(sum, addCarriers(a, b));
  EXPECT_EQ(sum.data, (std::vector<int32_t>{32767, -32767, 32767, -32767, -4}));
  SYSMOL_VALUE(above, addCarriers(a, b, Relu::Fused));
  EXPECT_EQ(above.data, (std::vector<int32_t>{32767, 0, 32767, 0, 0}));
  EXPECT_REFUSED(addCarriers(a, {{1}, {0}}), "one shape");
  EXPECT_REFUSED(addCarriers({{1}, {-32768}}, {{1}, {0}}), "HP17");
  EXPECT_REFUSED(addCarriers({{1}, {0}}, {{1}, {32768}}), "HP17");
}

TEST(Dequantize, HP18TwoRoundings) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> reals(-1.f, 1.f);
  std::uniform_int_distribution<int32_t> accs(-100000000, 100000000);
  for (int i = 0; i < 2000; ++i) {
    std::vector<float> m = {reals(random)}, b = {reals(random)};
    int32_t acc = accs(random);
    SYSMOL_VALUE(y, dequantizeAccumulators({{1, 1}, {acc}}, 1, m, b));
    // Exact in double, then rounded: what each single operation must give.
    volatile float value = static_cast<float>(acc);
    volatile float product =
        static_cast<float>(static_cast<double>(value) * m[0]);
    volatile float sum =
        static_cast<float>(static_cast<double>(product) + b[0]);
    ASSERT_EQ(y.data[0], sum);
  }
  std::vector<float> two = {1, 2}, nan = {std::nanf(""), 1};
  SYSMOL_VALUE(y, dequantizeAccumulators({{2, 2}, {1, 2, 3, 4}}, 1, two, two));
  EXPECT_EQ(y.data, (std::vector<float>{2, 6, 4, 10}));
  EXPECT_REFUSED(dequantizeAccumulators({{2, 2}, {1, 2, 3, 4}}, 1, two, nan),
                 "HP15");
}

} // namespace
