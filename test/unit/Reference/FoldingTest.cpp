//===- FoldingTest.cpp - HP19, HP20: scales, bias and batch norm ----------===//

#include "TestUtils.h"

#include "sysmol/Reference/Folding.h"

#include <cmath>
#include <limits>

using namespace sysmol::reference;

namespace {

TEST(Folding, HP19Steps) {
  EXPECT_EQ(codeStep(Grid::Unsigned, 4, 0.7), 0.7 / 15);
  EXPECT_EQ(codeStep(Grid::Unsigned, 8, 0.7), 0.7 / 255);
  EXPECT_EQ(codeStep(Grid::Midrise, 1, 0.7), 1.4);
  EXPECT_EQ(codeStep(Grid::Midrise, 2, 0.7), 0.7);
  EXPECT_EQ(codeStep(Grid::Midrise, 4, 0.7), 0.7 / 4);
  EXPECT_EQ(codeStep(Grid::Midrise, 8, 0.7), 0.7 / 64);
  // A step is the distance of two levels.
  for (Grid grid : grids)
    for (int p : precisions)
      EXPECT_NEAR(codeStep(grid, p, 3.3),
                  levelReal(grid, p, 1, 3.3) - levelReal(grid, p, 0, 3.3),
                  1e-12);
}

TEST(Folding, HP19Units) {
  double unsignedU[] = {1, 6, 120, 16320}, midriseU[] = {1, 4, 64, 4096};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(accumulatorUnit(Grid::Unsigned, precisions[i], 0.3, 0.7),
              0.3 * 0.7 / unsignedU[i]);
    EXPECT_EQ(accumulatorUnit(Grid::Midrise, precisions[i], 0.3, 0.7),
              0.3 * 0.7 / midriseU[i]);
  }
}

TEST(Folding, HP14UnitsOfPools) {
  EXPECT_EQ(sumPoolUnit(4, 0.7), 0.7 / 15);
  EXPECT_EQ(meanPoolUnit(4, 0.7, 7, 3), (0.7 / 15) / 21);
}

TEST(Folding, HP19PlainDividesInDouble) {
  double unit = 0.1 / 120, step = 0.7 / 15, bias = 0.3;
  SYSMOL_VALUE(affine, foldPlain(unit, step, bias));
  EXPECT_EQ(affine.m, static_cast<float>(unit / step));
  EXPECT_EQ(affine.b, static_cast<float>(bias / step));
  SYSMOL_VALUE(none, foldPlain(unit, step, 0));
  EXPECT_EQ(none.b, 0.0f);
}

TEST(Folding, HP19BatchNormInTheStatedOrder) {
  // Written out once more, every intermediate stored. A beta that cancels the
  // rest leaves exactly 0: one other order, or one contraction, and a last bit
  // of a double is all there is.
  std::mt19937 random(8);
  std::uniform_real_distribution<double> any(-2, 2), positive(0.01, 2);
  for (int i = 0; i < 20000; ++i) {
    double unit = positive(random), step = positive(random), bias = any(random);
    BatchNorm norm{any(random), any(random), any(random), positive(random),
                   1e-5};
    volatile double spread = norm.variance + norm.epsilon;
    volatile double root = std::sqrt(spread);
    volatile double s = norm.gamma / root;
    volatile double centred = bias - norm.mean;
    volatile double shifted = centred * s;
    volatile double o = norm.beta + shifted;
    volatile double scaled = unit * s;
    SYSMOL_VALUE(affine, foldBatchNorm(unit, step, bias, norm));
    ASSERT_EQ(affine.m, static_cast<float>(scaled / step));
    ASSERT_EQ(affine.b, static_cast<float>(o / step));
    norm.beta = -shifted;
    SYSMOL_VALUE(cancelled, foldBatchNorm(unit, step, bias, norm));
    ASSERT_EQ(cancelled.b, 0.0f);
  }
}

TEST(Folding, HP19ScalesBeforeItDivides) {
  // unit * s underflows to 0, though unit * (s / step) would be 1e-5: the order
  // is the law even here, and HP20 follows.
  SYSMOL_VALUE(affine, foldBatchNorm(1e-200, 1e-320, 0, {1e-125, 0, 0, 1, 0}));
  EXPECT_EQ(affine.m, 0x1p-126f);
}

TEST(Folding, HP19FoldedCodesAreTheBatchNormsCodes) {
  // Away from ties the folded rule gives the code of the unfolded network.
  std::mt19937 random(9);
  std::uniform_real_distribution<double> any(-1, 1), positive(0.1, 2);
  std::uniform_int_distribution<int32_t> accs(-500, 500);
  int compared = 0;
  for (int i = 0; i < 5000; ++i) {
    double unit = 0.02 * positive(random), alpha = positive(random),
           bias = any(random);
    BatchNorm norm{any(random), any(random), any(random), positive(random),
                   1e-5};
    int32_t acc = accs(random);
    double y = acc * unit + bias;
    double z =
        (y - norm.mean) / std::sqrt(norm.variance + norm.epsilon) * norm.gamma +
        norm.beta;
    double steps = std::max(z, 0.0) / (alpha / 15); // HP20: ReLU is the clamp
    if (std::abs(steps - std::floor(steps) - 0.5) < 1e-3)
      continue;
    double expected = std::min(std::nearbyint(steps), 15.0);
    SYSMOL_VALUE(affine, foldBatchNorm(unit, codeStep(Grid::Unsigned, 4, alpha),
                                       bias, norm));
    EXPECT_EQ(requantizeValue(Grid::Unsigned, 4, acc, affine.m, affine.b),
              expected);
    ++compared;
  }
  EXPECT_GT(compared, 4000);
}

TEST(Folding, HP20DeadChannelsKeepAMultiplier) {
  for (double gamma : {0.0, -0.0, 1e-300, -1e-300}) {
    SYSMOL_VALUE(dead, foldBatchNorm(1, 1, 0.5, {gamma, 2.5, 0.1, 1, 1e-5}));
    EXPECT_EQ(dead.m, 0x1p-126f);
    EXPECT_EQ(dead.b, 2.5f);
    // The code is the offset's, whatever the accumulator.
    for (int32_t acc : {-2147483647, 0, 2147483647})
      EXPECT_EQ(requantizeValue(Grid::Unsigned, 4, acc, dead.m, dead.b), 2);
    EXPECT_TRUE(findThresholds(Grid::Unsigned, 4, dead.m, dead.b, -9, 9).ok());
  }
  SYSMOL_VALUE(tiny, foldPlain(1e-300, 1, 0));
  EXPECT_EQ(tiny.m, 0x1p-126f);
  // A subnormal is not zero: it stays.
  SYSMOL_VALUE(subnormal, foldPlain(0x1p-140, 1, 0));
  EXPECT_EQ(subnormal.m, 0x1p-140f);
}

TEST(Folding, HP19RefusesWhatIsNotFinite) {
  double infinity = std::numeric_limits<double>::infinity();
  EXPECT_REFUSED(foldPlain(0, 1, 0), "HP6");
  EXPECT_REFUSED(foldPlain(1, -1, 0), "HP6");
  EXPECT_REFUSED(foldPlain(std::nan(""), 1, 0), "HP6");
  EXPECT_REFUSED(foldPlain(1, infinity, 0), "HP6");
  EXPECT_REFUSED(foldPlain(1e39, 1, 0), "binary32");
  EXPECT_REFUSED(foldPlain(1, 1, std::nan("")), "binary32");
  EXPECT_REFUSED(foldBatchNorm(1, 1, 0, {1, 0, 0, -1, 0.5}), "variance");
  EXPECT_REFUSED(foldBatchNorm(1, 1, 0, {1, 0, 0, 0, 0}), "variance");
  EXPECT_REFUSED(foldBatchNorm(1, 1, 0, {std::nan(""), 0, 0, 1, 0}),
                 "binary32");
  EXPECT_REFUSED(foldBatchNorm(1, 1, 0, {1, infinity, 0, 1, 0}), "binary32");
}

} // namespace
