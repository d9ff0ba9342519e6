//===- LaneGroupsTest.cpp - Every pixel's lane is summed ------------------===//

#include "sysmol/Analysis/LaneGroups.h"

#include <gtest/gtest.h>

#include <set>

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

namespace {

/// Lanes that are summed, as a generated loop does it, and the ends of what is
/// read and written. A lane holds what the last square that wrote it had there.
struct Sums {
  std::set<int64_t> valid;
  int64_t end = 0, read = 0;

  explicit Sums(const LaneGroups &groups) {
    for (int64_t n = 0; n < groups.images; ++n)
      for (int64_t y = 0; y < groups.rows; ++y)
        for (int64_t s = 0; s < groups.getSquaresPerRow(); ++s) {
          int64_t first =
              n * groups.imageStep + y * groups.rowStep + s * groups.squareStep;
          for (int64_t i = 0; i < LaneGroups::kSquare; ++i)
            valid.erase(first + i);
          end = std::max(end, first + LaneGroups::kSquare);
          int64_t count =
              std::min(groups.perSquare, groups.perRow - s * groups.perSquare);
          for (int64_t g = 0; g < count; ++g)
            for (int64_t i = 0; i < groups.lanes; ++i) {
              EXPECT_LT(g * groups.step + i, LaneGroups::kSquare);
              valid.insert(first + g * groups.step + i);
              read = std::max(read, first + g * groups.step + i + 1);
            }
        }
  }
};

TEST(LaneGroups, EveryPixelOfEveryShape) {
  MLIRContext context;
  context.loadDialect<HetprecDialect>();
  for (int64_t images : {1, 3})
    for (int64_t height = 1; height <= 20; ++height)
      for (int64_t width = 1; width <= 40; ++width)
        for (int64_t gap : {0, 1, 3}) {
          int64_t stride = width + gap, imageStride = (height + gap) * stride;
          int64_t used =
              (images - 1) * imageStride + (height - 1) * stride + width;
          int64_t count = (used + 63) / 64 * 64;
          // Planes as small as they come.
          auto layout = LanesAttr::get(&context, images, height, width, stride,
                                       imageStride, 64, 64 + count);
          LaneGroups groups = LaneGroups::get(layout, used, count);
          Sums sums(groups);
          EXPECT_LE(sums.end, count);
          EXPECT_LE(sums.read, count);
          for (int64_t n = 0; n < images; ++n)
            for (int64_t y = 0; y < height; ++y)
              for (int64_t x = 0; x < width; ++x)
                ASSERT_TRUE(sums.valid.count(layout.laneOf(n, y, x) - 64))
                    << images << "x" << height << "x" << width << " gap " << gap
                    << ": " << n << ", " << y << ", " << x;
          EXPECT_LE(groups.getNumLanes(),
                    LaneGroups::get({}, used, count).getNumLanes());
        }
}

TEST(LaneGroups, RowsOfSmallImages) {
  MLIRContext context;
  context.loadDialect<HetprecDialect>();
  auto get = [&](int64_t size) {
    auto layout = LanesAttr::get(&context, 1, size, size, size + 1,
                                 (size + 1) * (size + 1), 64, 1024);
    int64_t used = layout.getUsedLanes();
    return LaneGroups::get(layout, used, (used + 63) / 64 * 64).getNumLanes();
  };
  EXPECT_EQ(get(7), 49);
  EXPECT_EQ(get(14), 196);
  EXPECT_EQ(get(28), 784);
  // The last square ends behind the last block, where the plane goes on.
  auto wide = LanesAttr::get(&context, 1, 7, 7, 9, 81, 64, 192);
  EXPECT_EQ(LaneGroups::get(wide, 61, 64).getNumLanes(), 49);
}

TEST(LaneGroups, SharesOfWindowsInsideTheImage) {
  MLIRContext context;
  context.loadDialect<HetprecDialect>();
  auto share = [&](int64_t size, int64_t stride, int64_t image,
                   bool isCentred = false, int64_t kernel = 3,
                   std::optional<int64_t> padding = std::nullopt) {
    int64_t count = ((size + 1) * (size + 1) + 127) / 64 * 64;
    auto layout = LanesAttr::get(&context, 1, size, size, size + 1,
                                 (size + 1) * (size + 1), 64, 64 + count);
    auto groups = LaneGroups::get(layout, layout.getUsedLanes(), count);
    int64_t pad = padding.value_or(kernel / 2);
    Window window{
        {kernel, kernel}, {stride, stride}, {1, 1}, {pad, pad, pad, pad}};
    return groups.getShare(window, {image, image}, layout, isCentred);
  };
  // Of three rows of taps for seven of pixels two are outside; columns, too.
  EXPECT_DOUBLE_EQ(share(7, 1, 7), 19. / 21 * 19 / 21);
  // Rows of 14 are two groups, which are a square.
  EXPECT_DOUBLE_EQ(share(14, 1, 14), 40. / 42 * 40 / 42);
  // Of rows of 28 columns are not known.
  EXPECT_DOUBLE_EQ(share(28, 1, 28), 82. / 84);
  // Nothing is below the image.
  EXPECT_DOUBLE_EQ(share(7, 2, 14), 20. / 21 * 20 / 21);
  // With padding centred weights give what takes a lane to sum, if it is done.
  EXPECT_DOUBLE_EQ(share(7, 1, 7, true), 19. / 21 * 19 / 21 + 1. / 49);
  EXPECT_DOUBLE_EQ(share(28, 1, 28, true), 1);
  // Without padding there is nothing to leave out, and nothing to add.
  EXPECT_DOUBLE_EQ(share(5, 1, 7, true, /*kernel=*/3, /*padding=*/0), 1);
  EXPECT_DOUBLE_EQ(share(7, 1, 7, true, /*kernel=*/7), 1);
  EXPECT_LT(share(7, 1, 7, false, /*kernel=*/7), 0.6);
  // Pixels that end before the image does.
  EXPECT_DOUBLE_EQ(share(5, 1, 7), 14. / 15 * 14 / 15);
}

} // namespace
