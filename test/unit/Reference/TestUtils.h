//===- TestUtils.h - Shared by the tests of the reference -------*- C++ -*-===//

#ifndef SYSMOL_TEST_UNIT_REFERENCE_TESTUTILS_H
#define SYSMOL_TEST_UNIT_REFERENCE_TESTUTILS_H

#include "sysmol/Reference/Ops.h"

#include <gtest/gtest.h>

#include <random>

namespace sysmol::reference {

inline constexpr int precisions[] = {1, 2, 4, 8};
inline constexpr Grid grids[] = {Grid::Unsigned, Grid::Midrise};

/// Random codes, each on the level of its channel.
inline IntTensor randomCodes(std::vector<int64_t> shape,
                             const ChannelEncoding &encoding,
                             std::mt19937 &random) {
  IntTensor codes{shape, {}};
  Result<ChannelView> view = channelView(shape, encoding.axis);
  codes.data.resize(*numElements(shape));
  for (size_t at = 0; at < codes.data.size(); ++at) {
    CodeRange range = codeRange(
        encoding.grid, encoding.bits[at / view->inner % view->channels]);
    codes.data[at] =
        std::uniform_int_distribution<int32_t>(range.low, range.high)(random);
  }
  return codes;
}

/// Random mid-rise weight codes for a grouped operation.
inline IntTensor randomWeights(std::vector<int64_t> shape,
                               const std::vector<int> &bits, int64_t groups,
                               std::mt19937 &random) {
  IntTensor codes{shape, {}};
  codes.data.resize(*numElements(shape));
  int64_t perOutput = static_cast<int64_t>(codes.data.size()) / shape[0];
  int64_t taps = perOutput / shape[1];
  for (int64_t o = 0; o < shape[0]; ++o)
    for (int64_t i = 0; i < shape[1]; ++i) {
      int64_t group = o / (shape[0] / groups);
      CodeRange range = codeRange(Grid::Midrise, bits[group * shape[1] + i]);
      for (int64_t t = 0; t < taps; ++t)
        codes.data[o * perOutput + i * taps + t] =
            std::uniform_int_distribution<int32_t>(range.low,
                                                   range.high)(random);
    }
  return codes;
}

/// The value of a result that the test expects to be there.
#define SYSMOL_VALUE(name, expression)                                         \
  auto name##Result = (expression);                                            \
  ASSERT_TRUE(name##Result.ok()) << name##Result.message();                    \
  auto name = std::move(*name##Result)

/// The error that the test expects, by a part of its text; it is one line.
#define EXPECT_REFUSED(expression, text)                                       \
  do {                                                                         \
    auto refused = (expression);                                               \
    ASSERT_FALSE(refused.ok());                                                \
    EXPECT_NE(refused.message().find(text), std::string::npos)                 \
        << refused.message();                                                  \
    EXPECT_EQ(refused.message().find('\n'), std::string::npos);                \
  } while (false)

} // namespace sysmol::reference

#endif // SYSMOL_TEST_UNIT_REFERENCE_TESTUTILS_H
