//===- ThresholdsTest.cpp - HP16 is HP15 ----------------------------------===//

#include "sysmol/Analysis/Thresholds.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

using namespace sysmol;

/// HP15 once more, in other words: half to even by hand, not by nearbyint.
static int64_t lawOf(int64_t acc, float m, float b, int64_t p, bool midrise) {
  volatile float real = static_cast<float>(acc);
  volatile float scaled = real * m;
  volatile float y = scaled + b;
  int64_t top = (int64_t(1) << p) - 1;
  double down = std::floor(double(y));
  if (midrise)
    return int64_t(
        std::clamp(down + double(int64_t(1) << (p - 1)), 0.0, double(top)));
  double rest = double(y) - down;
  bool up = rest > 0.5 || (rest == 0.5 && std::fmod(down, 2.0) != 0.0);
  return int64_t(std::clamp(down + (up ? 1.0 : 0.0), 0.0, double(top)));
}

static int64_t count(const llvm::SmallVector<int64_t> &thresholds,
                     int64_t acc) {
  return std::ranges::count_if(thresholds, [&](int64_t t) { return acc > t; });
}

static void expectLaw(float m, float b, int64_t p, bool midrise,
                      int64_t bound) {
  SCOPED_TRACE(testing::Message() << "m " << m << " b " << b << " p " << p
                                  << " midrise " << midrise);
  auto thresholds = findThresholds(m, b, p, midrise, bound);
  ASSERT_EQ(int64_t(thresholds.size()), (int64_t(1) << p) - 1);
  EXPECT_TRUE(std::ranges::is_sorted(thresholds));
  EXPECT_GE(thresholds.front(), -bound - 1);
  EXPECT_LE(thresholds.back(), bound);
  for (int64_t acc = -bound; acc <= bound; ++acc)
    ASSERT_EQ(count(thresholds, acc), lawOf(acc, m, b, p, midrise)) << acc;
}

TEST(Thresholds, RuleAgreesWithTheLaw) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> real(-20, 20);
  for (int i = 0; i < 20000; ++i) {
    int64_t acc = int64_t(random() % 4001) - 2000, p = 1 << i % 3;
    float m = real(random) / 100, b = real(random);
    for (bool midrise : {false, true})
      ASSERT_EQ(requantizeByRule(acc, m, b, p, midrise),
                lawOf(acc, m, b, p, midrise))
          << acc << " " << m << " " << b << " " << p << " " << midrise;
  }
}

TEST(Thresholds, EveryAccumulatorOfRandomRules) {
  std::mt19937 random(2);
  std::uniform_real_distribution<float> exponent(-9, 3), offset(-12, 20);
  for (int i = 0; i < 300; ++i)
    for (int64_t p : {1, 2, 4})
      for (bool midrise : {false, true})
        expectLaw(std::exp2(exponent(random)), offset(random), p, midrise,
                  1000);
}

TEST(Thresholds, TiesOfBinaryFractions) {
  for (float m : {0.5f, 0.25f, 0.125f, 1.0f, 1.5f, 2.5f})
    for (float b : {0.0f, -0.0f, 0.5f, -0.5f, 0.25f, 1.5f, 2.5f})
      for (int64_t p : {1, 2, 4})
        for (bool midrise : {false, true})
          expectLaw(m, b, p, midrise, 200);
}

// Sums past 2^24 are rounded before they are scaled (HP15).
TEST(Thresholds, LargeSumsAreRoundedFirst) {
  constexpr int64_t bound = 2147483647;
  std::mt19937_64 random(3);
  for (int i = 0; i < 200; ++i) {
    int64_t p = 1 << i % 3;
    bool midrise = i % 2;
    float m =
        std::exp2(-float(random() % 30)) * (1 + float(random() % 1000) / 1000);
    float b = float(int64_t(random() % 64)) - 32;
    auto thresholds = findThresholds(m, b, p, midrise, bound);
    // Around each threshold, and anywhere.
    for (int64_t t : thresholds)
      for (int64_t acc = t - 3; acc <= t + 3; ++acc)
        if (std::abs(acc) <= bound)
          ASSERT_EQ(count(thresholds, acc), lawOf(acc, m, b, p, midrise))
              << acc << " " << m << " " << b;
    for (int j = 0; j < 100; ++j) {
      int64_t acc = int64_t(random() % (2 * uint64_t(bound) + 1)) - bound;
      ASSERT_EQ(count(thresholds, acc), lawOf(acc, m, b, p, midrise))
          << acc << " " << m << " " << b;
    }
  }
}

TEST(Thresholds, UnreachableOnesAreAtTheBounds) {
  using testing::Message;
  for (int64_t bound : {1, 9, 32767, 2147483647}) {
    SCOPED_TRACE(Message() << bound);
    for (int64_t t : findThresholds(1.0f, -3e38f, 4, false, bound))
      EXPECT_EQ(t, bound); // never passed
    for (int64_t t : findThresholds(1.0f, 3e38f, 4, false, bound))
      EXPECT_EQ(t, -bound - 1); // always passed
  }
}

// A dead channel's multiplier (HP20) leaves the offset alone.
TEST(Thresholds, DeadChannel) {
  auto thresholds = findThresholds(0x1p-126f, 1.75f, 2, false, 1000);
  EXPECT_EQ(thresholds, (llvm::SmallVector<int64_t>{-1001, -1001, 1000}));
}

TEST(Thresholds, SumsThatOverflowBinary32) {
  // acc * m is infinite: saturated.
  auto thresholds = findThresholds(3e38f, 0.0f, 2, false, 100);
  EXPECT_EQ(thresholds, (llvm::SmallVector<int64_t>{0, 0, 0}));
}
