//===- DotTest.cpp - HP11 to HP14: convolution, matmul, pooling -----------===//

#include "TestUtils.h"

#include "sysmol/Reference/Folding.h"

#include <cmath>

using namespace sysmol::reference;

namespace {

/// A convolution of reals in double, written the other way round: every input
/// element is scattered to the outputs it reaches. Shares nothing with conv2d
/// but the grids, so `acc * unit` must be its result.
std::vector<double> scatterConvolution(const IntTensor &input,
                                       const ChannelEncoding &encoding,
                                       double alpha, const IntTensor &weights,
                                       double d, const ConvParams &params,
                                       const std::vector<int64_t> &outShape) {
  std::vector<double> out(*numElements(outShape), 0.0);
  int64_t cin = input.shape[1], h = input.shape[2], w = input.shape[3];
  int64_t cout = weights.shape[0], per = weights.shape[1],
          kh = weights.shape[2], kw = weights.shape[3];
  for (int64_t at = 0; at < static_cast<int64_t>(input.data.size()); ++at) {
    int64_t x = at % w, y = at / w % h, c = at / (w * h) % cin,
            n = at / (w * h * cin);
    double a =
        levelReal(encoding.grid, encoding.bits[c], input.data[at], alpha);
    int64_t group = c / per, perOut = cout / params.groups;
    for (int64_t o = group * perOut; o < (group + 1) * perOut; ++o)
      for (int64_t ky = 0; ky < kh; ++ky)
        for (int64_t kx = 0; kx < kw; ++kx) {
          int64_t ny = y + params.pads[0] - ky * params.dilations[0];
          int64_t nx = x + params.pads[1] - kx * params.dilations[1];
          if (ny < 0 || nx < 0 || ny % params.strides[0] ||
              nx % params.strides[1])
            continue;
          int64_t oy = ny / params.strides[0], ox = nx / params.strides[1];
          if (oy >= outShape[2] || ox >= outShape[3])
            continue;
          int32_t code =
              weights.data[((o * per + c % per) * kh + ky) * kw + kx];
          out[((n * cout + o) * outShape[2] + oy) * outShape[3] + ox] +=
              a * levelReal(Grid::Midrise, encoding.bits[c], code, d);
        }
  }
  return out;
}

struct ConvCase {
  const char *name;
  std::vector<int64_t> input, weights;
  ConvParams params;
  std::vector<int64_t> out;
};

const ConvCase convCases[] = {
    {"pointwise", {2, 6, 3, 4}, {5, 6, 1, 1}, {}, {2, 5, 3, 4}},
    {"same",
     {1, 6, 5, 5},
     {4, 6, 3, 3},
     {{1, 1}, {1, 1, 1, 1}, {1, 1}, 1},
     {1, 4, 5, 5}},
    {"strides differ",
     {1, 6, 7, 8},
     {2, 6, 3, 2},
     {{2, 3}, {1, 0, 0, 1}, {1, 1}, 1},
     {1, 2, 3, 3}},
    {"pads all differ",
     {1, 6, 4, 4},
     {2, 6, 3, 3},
     {{1, 1}, {0, 1, 2, 3}, {1, 1}, 1},
     {1, 2, 4, 6}},
    {"dilated",
     {1, 6, 9, 8},
     {2, 6, 3, 3},
     {{1, 2}, {2, 3, 2, 3}, {2, 3}, 1},
     {1, 2, 9, 4}},
    {"grouped",
     {2, 6, 5, 4},
     {4, 3, 3, 3},
     {{1, 1}, {1, 1, 1, 1}, {1, 1}, 2},
     {2, 4, 5, 4}},
    {"depthwise, two outputs a channel, dilated",
     {1, 6, 6, 6},
     {12, 1, 3, 3},
     {{2, 2}, {2, 2, 2, 2}, {2, 2}, 6},
     {1, 12, 3, 3}},
    {"padding wider than the input",
     {1, 6, 2, 1},
     {2, 6, 2, 2},
     {{1, 1}, {3, 3, 3, 3}, {1, 1}, 1},
     {1, 2, 7, 6}},
    {"one output",
     {1, 6, 3, 3},
     {1, 6, 3, 3},
     {{5, 5}, {0, 0, 0, 0}, {1, 1}, 1},
     {1, 1, 1, 1}},
};

const std::vector<int> bitLists[] = {
    {1, 1, 1, 1, 1, 1}, {2, 2, 2, 2, 2, 2}, {4, 4, 4, 4, 4, 4},
    {8, 8, 8, 8, 8, 8}, {1, 2, 1, 2, 2, 1}, {4, 1, 2, 2, 4, 1},
    {8, 1, 4, 1, 4, 8}, {1, 8, 2, 8, 2, 1}, {2, 4, 8, 8, 4, 2},
};

TEST(Conv2d, HP11HP13AgreesWithARealConvolution) {
  std::mt19937 random(1);
  const double d = 0.25, alpha = 0.7;
  for (Grid grid : grids)
    for (const std::vector<int> &bits : bitLists)
      for (const ConvCase &test : convCases) {
        SCOPED_TRACE(test.name);
        ChannelEncoding encoding{grid, 1, bits};
        IntTensor x = randomCodes(test.input, encoding, random);
        IntTensor w =
            randomWeights(test.weights, bits, test.params.groups, random);
        SYSMOL_VALUE(acc, conv2d(x, encoding, w, test.params));
        ASSERT_EQ(acc.values.shape, test.out);
        std::vector<double> real =
            scatterConvolution(x, encoding, alpha, w, d, test.params, test.out);
        double unit = accumulatorUnit(grid, acc.finest, d, alpha);
        for (size_t at = 0; at < real.size(); ++at) {
          double counted = real[at] / unit;
          ASSERT_NEAR(counted, acc.values.data[at], 0.01) << at;
          ASSERT_LE(acc.values.data[at], acc.high);
          ASSERT_GE(acc.values.data[at], acc.low);
        }
      }
}

TEST(Conv2d, HP11EveryAssignmentOfSixChannels) {
  // All widths 1/2/4/8 on six channels with at most three levels are exact,
  // and every one with four levels is refused (HP2).
  std::mt19937 random(2);
  const std::vector<int64_t> shape = {1, 6, 2, 2}, kernel = {1, 6, 2, 2};
  const ConvParams params{{1, 1}, {1, 0, 0, 1}, {1, 1}, 1};
  int refused = 0;
  for (int assignment = 0; assignment < 4096; ++assignment) {
    std::vector<int> bits;
    for (int c = 0; c < 6; ++c)
      bits.push_back(precisions[assignment >> (2 * c) & 3]);
    for (Grid grid : grids) {
      ChannelEncoding encoding{grid, 1, bits};
      IntTensor x = randomCodes(shape, encoding, random);
      IntTensor w = randomWeights(kernel, bits, 1, random);
      if (!checkPrecisions(bits)) {
        EXPECT_REFUSED(conv2d(x, encoding, w, params), "HP2");
        ++refused;
        continue;
      }
      SYSMOL_VALUE(acc, conv2d(x, encoding, w, params));
      std::vector<double> real = scatterConvolution(x, encoding, 1.0, w, 1.0,
                                                    params, acc.values.shape);
      double unit = accumulatorUnit(grid, acc.finest, 1.0, 1.0);
      for (size_t at = 0; at < real.size(); ++at)
        ASSERT_NEAR(real[at] / unit, acc.values.data[at], 1e-3);
    }
  }
  // Surjections of six channels on four levels: 1560, on both grids.
  EXPECT_EQ(refused, 2 * 1560);
}

TEST(Conv2d, HP11CountsByHand) {
  // One pixel, channels of 1, 2, 4 bits: 120 * 1*1 + 20 * -3*2 + 1 * 15*11.
  ChannelEncoding encoding{Grid::Unsigned, 1, {1, 2, 4}};
  IntTensor x{{1, 3, 1, 1}, {1, 2, 11}}, w{{1, 3, 1, 1}, {1, 0, 15}};
  SYSMOL_VALUE(acc, conv2d(x, encoding, w, {}));
  EXPECT_EQ(acc.values.data[0], 120 - 120 + 165);
  EXPECT_EQ(acc.finest, 4);
  EXPECT_EQ(acc.high, 120 + 20 * 9 + 15 * 15);
  EXPECT_EQ(acc.low, -acc.high);
}

TEST(Conv2d, HP13MidrisePaddingIsAbsent) {
  // Ones everywhere, 1 bit: the corner sums the taps that exist, 4 of 9. Were
  // the padding a code, it would be 4 ± 5.
  ChannelEncoding encoding{Grid::Midrise, 1, {1}};
  IntTensor x{{1, 1, 3, 3}, std::vector<int32_t>(9, 1)};
  IntTensor w{{1, 1, 3, 3}, std::vector<int32_t>(9, 1)};
  SYSMOL_VALUE(acc, conv2d(x, encoding, w, {{1, 1}, {1, 1, 1, 1}, {1, 1}, 1}));
  EXPECT_EQ(acc.values.data, (std::vector<int32_t>{4, 6, 4, 6, 9, 6, 4, 6, 4}));
}

TEST(Conv2d, HP13UnsignedPaddingIsCodeZero) {
  // Padding by hand with code 0 and no pads gives the same.
  std::mt19937 random(3);
  for (int p : precisions) {
    ChannelEncoding encoding{Grid::Unsigned, 1, {p, p}};
    IntTensor x = randomCodes({1, 2, 3, 4}, encoding, random);
    IntTensor w = randomWeights({3, 2, 3, 3}, encoding.bits, 1, random);
    IntTensor padded{{1, 2, 5, 6}, std::vector<int32_t>(60, 0)};
    for (int64_t at = 0; at < 24; ++at)
      padded.data[(at / 12 * 5 + at / 4 % 3 + 1) * 6 + at % 4 + 1] = x.data[at];
    SYSMOL_VALUE(acc,
                 conv2d(x, encoding, w, {{1, 1}, {1, 1, 1, 1}, {1, 1}, 1}));
    SYSMOL_VALUE(same, conv2d(padded, encoding, w, {}));
    EXPECT_EQ(acc.values.data, same.values.data);
  }
}

TEST(Dot, HP12BoundOfOneTap) {
  for (Grid grid : grids)
    for (int p : precisions) {
      std::vector<int> bits = {p};
      int64_t w = p == 8 ? 127 : (1 << p) - 1;
      int64_t a = grid == Grid::Unsigned || p != 8 ? (1 << p) - 1 : 127;
      SYSMOL_VALUE(bound, accumulatorBound(grid, bits, 7, p));
      EXPECT_EQ(bound, 7 * w * a);
    }
}

TEST(Dot, HP12RefusesJustPastTheBound) {
  // 8 bits unsigned: 127 * 255 = 32385 per tap, 66311 taps fit in 2^31 - 1.
  std::vector<int> fits(66311, 8), exceeds(66312, 8);
  SYSMOL_VALUE(bound, accumulatorBound(Grid::Unsigned, fits, 1, 8));
  EXPECT_EQ(bound, 66311ll * 32385);
  EXPECT_REFUSED(accumulatorBound(Grid::Unsigned, exceeds, 1, 8), "HP12");
  EXPECT_TRUE(
      accumulatorBound(Grid::Unsigned, std::vector<int>{8}, 66311, 8).ok());
  EXPECT_REFUSED(
      accumulatorBound(Grid::Unsigned, std::vector<int>{8}, 66312, 8), "HP12");
  // Exactly 2^31 - 1 of the smallest products is allowed.
  EXPECT_TRUE(
      accumulatorBound(Grid::Unsigned, std::vector<int>{1}, (1ll << 31) - 1, 1)
          .ok());
  EXPECT_REFUSED(
      accumulatorBound(Grid::Unsigned, std::vector<int>{1}, 1ll << 31, 1),
      "HP12");
  // What would wrap 64 bits is refused as well.
  EXPECT_REFUSED(
      accumulatorBound(Grid::Unsigned, std::vector<int>{8}, 1ll << 62, 8),
      "HP12");
}

TEST(Dot, HP12ACoarseLevelCountsMoreBesideAFineOne) {
  // 1 bit alone: 1 per channel. Beside 8 bits: 16320.
  std::vector<int> alone(140000, 1);
  EXPECT_TRUE(accumulatorBound(Grid::Unsigned, alone, 1, 1).ok());
  EXPECT_REFUSED(accumulatorBound(Grid::Unsigned, alone, 1, 8), "HP12");
}

TEST(Dot, HP12RefusedByConvolutionAndMatmul) {
  ChannelEncoding encoding{Grid::Unsigned, 1, std::vector<int>(66312, 8)};
  IntTensor x{{1, 66312}, std::vector<int32_t>(66312, 255)};
  IntTensor w{{1, 66312}, std::vector<int32_t>(66312, 127)};
  EXPECT_REFUSED(matmul(x, encoding, w), "HP12");
  x.shape = w.shape = {1, 66312, 1, 1};
  EXPECT_REFUSED(conv2d(x, encoding, w, {}), "HP12");

  // One channel fewer is exact at both ends.
  encoding.bits.pop_back();
  x.data.pop_back();
  w.data.pop_back();
  x.shape = w.shape = {1, 66311};
  SYSMOL_VALUE(acc, matmul(x, encoding, w));
  EXPECT_EQ(acc.values.data[0], 66311 * 32385);
  EXPECT_EQ(acc.high, 66311 * 32385);
  for (int32_t &code : w.data)
    code = -127;
  SYSMOL_VALUE(least, matmul(x, encoding, w));
  EXPECT_EQ(least.values.data[0], -66311 * 32385);
}

TEST(Dot, HP12GroupsAreBoundedEachByItself) {
  // Two groups of one channel: the bound is the larger one's, not the sum.
  ChannelEncoding encoding{Grid::Unsigned, 1, {4, 8}};
  IntTensor x{{1, 2, 1, 1}, {15, 255}}, w{{2, 1, 1, 1}, {15, 127}};
  SYSMOL_VALUE(acc, conv2d(x, encoding, w, {{1, 1}, {0, 0, 0, 0}, {1, 1}, 2}));
  EXPECT_EQ(acc.high, 32385);
  EXPECT_EQ(acc.values.data, (std::vector<int32_t>{136 * 15 * 15, 127 * 255}));
}

TEST(Matmul, HP11AgreesWithAPointwiseConvolution) {
  std::mt19937 random(4);
  for (Grid grid : grids)
    for (const std::vector<int> &bits : bitLists) {
      ChannelEncoding encoding{grid, 1, bits};
      IntTensor x = randomCodes({5, 6}, encoding, random);
      IntTensor w = randomWeights({4, 6}, bits, 1, random);
      SYSMOL_VALUE(acc, matmul(x, encoding, w));
      ASSERT_EQ(acc.values.shape, (std::vector<int64_t>{5, 4}));
      x.shape = {5, 6, 1, 1};
      w.shape = {4, 6, 1, 1};
      SYSMOL_VALUE(conv, conv2d(x, encoding, w, {}));
      EXPECT_EQ(acc.values.data, conv.values.data);
      EXPECT_EQ(acc.high, conv.high);
      double unit = accumulatorUnit(grid, acc.finest, 1.0, 1.0);
      std::vector<double> real =
          scatterConvolution(x, encoding, 1.0, w, 1.0, {}, conv.values.shape);
      for (size_t at = 0; at < real.size(); ++at)
        ASSERT_NEAR(real[at] / unit, acc.values.data[at], 1e-3);
    }
}

TEST(SumPool, HP14SumsTheWindow) {
  ChannelEncoding encoding{Grid::Unsigned, 1, {2, 2}};
  IntTensor x{{1, 2, 2, 3}, {0, 1, 2, 3, 3, 3, 1, 1, 1, 0, 0, 2}};
  SYSMOL_VALUE(all, sumPool2d(x, encoding, {{2, 3}, {1, 1}, {0, 0, 0, 0}}));
  EXPECT_EQ(all.values.shape, (std::vector<int64_t>{1, 2, 1, 1}));
  EXPECT_EQ(all.values.data, (std::vector<int32_t>{12, 5}));
  EXPECT_EQ(all.low, 0);
  EXPECT_EQ(all.high, 18);
  SYSMOL_VALUE(padded, sumPool2d(x, encoding, {{2, 2}, {2, 2}, {1, 0, 1, 1}}));
  EXPECT_EQ(padded.values.shape, (std::vector<int64_t>{1, 2, 2, 2}));
  EXPECT_EQ(padded.values.data, (std::vector<int32_t>{1, 2, 6, 3, 2, 1, 0, 2}));
}

TEST(SumPool, HP14RefusesOtherGridsAndMixedPrecisions) {
  IntTensor x{{1, 2, 1, 1}, {0, 1}};
  EXPECT_REFUSED(sumPool2d(x, {Grid::Midrise, 1, {2, 2}}, {}), "HP14");
  EXPECT_REFUSED(sumPool2d(x, {Grid::Unsigned, 1, {2, 4}}, {}), "HP14");
  IntTensor one{{1, 1, 1, 1}, {1}};
  EXPECT_REFUSED(sumPool2d(one, {Grid::Unsigned, 1, {8}},
                           {{4096, 4096}, {1, 1}, {4096, 4096, 4096, 4096}}),
                 "HP12");
}

TEST(MaxPool, HP25TakesTheLargestCode) {
  // Of the symmetric level the largest is signed; padding is in no window.
  ChannelEncoding encoding{Grid::Midrise, 1, {8, 2}};
  IntTensor x{{1, 2, 2, 3}, {-5, -7, -127, -9, -3, -128 + 1, 0, 1, 0, 0, 3, 2}};
  SYSMOL_VALUE(all, maxPool2d(x, encoding, {{2, 3}, {1, 1}, {0, 0, 0, 0}}));
  EXPECT_EQ(all.shape, (std::vector<int64_t>{1, 2, 1, 1}));
  EXPECT_EQ(all.data, (std::vector<int32_t>{-3, 3}));
  SYSMOL_VALUE(padded, maxPool2d(x, encoding, {{2, 2}, {2, 2}, {1, 0, 1, 1}}));
  EXPECT_EQ(padded.shape, (std::vector<int64_t>{1, 2, 2, 2}));
  EXPECT_EQ(padded.data,
            (std::vector<int32_t>{-5, -127, -3, -127, 1, 0, 3, 2}));
  EXPECT_REFUSED(maxPool2d(x, encoding, {{3, 3}, {1, 1}, {0, 0, 0, 0}}),
                 "the window is larger than the padded input");
}

TEST(MaxPool, HP25RefusesEmptyWindows) {
  ChannelEncoding encoding{Grid::Unsigned, 1, {4}};
  IntTensor x{{1, 1, 3, 3}, std::vector<int32_t>(9, 1)};
  ASSERT_TRUE(maxPool2d(x, encoding, {{3, 2}, {1, 1}, {2, 1, 2, 1}}).ok());
  for (auto [top, left, bottom, right] : std::vector<std::array<int64_t, 4>>{
           {3, 0, 0, 0}, {0, 2, 0, 0}, {0, 0, 3, 0}, {0, 0, 0, 2}})
    EXPECT_REFUSED(
        maxPool2d(x, encoding, {{3, 2}, {1, 1}, {top, left, bottom, right}}),
        "pads must be smaller than the kernel (HP25)");
  PoolParams params{{3, 1}, {1, 1}, {2, 0, 2, 0}};
  EXPECT_REFUSED(maxPool2d({{1, 1, 0, 4}, {}}, encoding, params),
                 "a pooled image needs a pixel");
  EXPECT_REFUSED(sumPool2d({{1, 1, 0, 4}, {}}, encoding, params),
                 "a pooled image needs a pixel");
}

TEST(Dot, RefusesWhatDoesNotFit) {
  ChannelEncoding encoding{Grid::Unsigned, 1, {1, 4}};
  IntTensor x{{1, 2, 2, 2}, std::vector<int32_t>(8, 1)};
  IntTensor w{{2, 2, 1, 1}, {1, 15, 0, 3}};
  ASSERT_TRUE(conv2d(x, encoding, w, {}).ok());
  EXPECT_REFUSED(conv2d(x, encoding, {{2, 2, 1, 1}, {2, 0, 0, 0}}, {}),
                 "1-bit");
  EXPECT_REFUSED(conv2d(x, encoding, {{2, 2, 1, 1}, {0, 0, 0, 16}}, {}),
                 "4-bit");
  EXPECT_REFUSED(conv2d(x, encoding, {{2, 1, 1, 1}, {0, 0}}, {}), "per group");
  EXPECT_REFUSED(
      conv2d(x, encoding, {{2, 2, 3, 1}, std::vector<int32_t>(12)}, {}),
      "larger");
  EXPECT_REFUSED(conv2d(x, encoding, {{2, 2, 0, 1}, {}}, {}), "positive");
  EXPECT_REFUSED(conv2d(x, encoding, w, {{0, 1}, {0, 0, 0, 0}, {1, 1}, 1}),
                 "positive");
  EXPECT_REFUSED(conv2d(x, encoding, w, {{1, 1}, {0, -1, 0, 0}, {1, 1}, 1}),
                 "negative");
  EXPECT_REFUSED(conv2d(x, encoding, w, {{1, 1}, {0, 0, 0, 0}, {1, 1}, 3}),
                 "groups");
  EXPECT_REFUSED(conv2d({{2, 4}, x.data}, encoding, w, {}), "[N, C, H, W]");
  EXPECT_REFUSED(conv2d(x, {Grid::Unsigned, 1, {1}}, w, {}), "channels");
  IntTensor bad = x;
  bad.data[3] = 2;
  EXPECT_REFUSED(conv2d(bad, encoding, w, {}), "code 2 of channel 0");
  EXPECT_REFUSED(matmul({{1, 2}, {1, 15}}, encoding, {{1, 3}, {0, 0, 0}}),
                 "input channels");
}

} // namespace
