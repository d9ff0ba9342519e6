//===- LaneGroups.cpp - Which lanes are summed beside outputs -------------===//

#include "sysmol/Analysis/LaneGroups.h"

using namespace sysmol;
using namespace sysmol::hetprec;

/// Most lanes that are summed together.
static constexpr int64_t kLanesAtOnce = 8;
/// Taps of centred weights whose sums with padding are kept.
static constexpr int64_t kMostCentredTaps = 25;

LaneGroups LaneGroups::get(LanesAttr layout, int64_t usedLanes,
                           int64_t laneCount) {
  // All lanes, one behind the other.
  LaneGroups all;
  all.lanes = all.step = kLanesAtOnce;
  all.perSquare = kSquare / kLanesAtOnce;
  all.perRow = llvm::divideCeil(usedLanes, kLanesAtOnce);
  all.squareStep = kSquare;
  if (!layout)
    return all;
  LaneGroups pixels;
  pixels.areRows = true;
  int64_t width = layout.getWidth(), height = layout.getHeight();
  int64_t stride = layout.getRowStride();
  pixels.images = layout.getImages();
  pixels.imageStep = layout.getImageStride();
  if (width <= kLanesAtOnce) {
    // A group is a row of the image; a square holds as many as fit.
    pixels.areWholeRows = true;
    pixels.lanes = width;
    pixels.step = stride;
    pixels.perSquare = std::min(height, (kSquare - width) / stride + 1);
    pixels.perRow = height;
    pixels.squareStep = pixels.perSquare * stride;
  } else {
    // A row of the image is groups of nearly equal size.
    pixels.perRow = llvm::divideCeil(width, kLanesAtOnce);
    pixels.lanes = pixels.step = llvm::divideCeil(width, pixels.perRow);
    pixels.perSquare = kSquare / kLanesAtOnce;
    pixels.squareStep = pixels.perSquare * pixels.lanes;
    pixels.rows = height;
    pixels.rowStep = stride;
  }
  // Squares are written whole, the later ones over what is too much. A row's
  // last group may read more than the row.
  int64_t lastRow = (pixels.images - 1) * pixels.imageStep +
                    (pixels.rows - 1) * pixels.rowStep;
  int64_t read = std::max(usedLanes, lastRow + pixels.perRow * pixels.lanes);
  int64_t written =
      lastRow + (pixels.getSquaresPerRow() - 1) * pixels.squareStep + kSquare;
  bool fits = written <= layout.getSize() - layout.getBase() &&
              (width <= kLanesAtOnce || read <= laneCount);
  return fits && pixels.getNumLanes() < all.getNumLanes() ? pixels : all;
}

LeftOut LaneGroups::getLeftOut(bool isCentred, int64_t taps) const {
  bool columns = haveColumns();
  if (isCentred && (!columns || taps > kMostCentredTaps))
    return {};
  return {areRows, columns};
}

/// The share of all taps of all pixels that are inside the image, or in a row
/// of it.
static double getShareInside(LeftOut leftOut, llvm::ArrayRef<int64_t> tapPixels,
                             llvm::ArrayRef<int64_t> strides,
                             llvm::ArrayRef<int64_t> image, LanesAttr layout) {
  // How many of the pixels along an axis a tap reads inside.
  auto count = [&](int64_t at, int64_t axis, int64_t pixels) {
    int64_t inside = 0;
    for (int64_t i = 0; i < pixels; ++i)
      inside +=
          at + i * strides[axis] >= 0 && at + i * strides[axis] < image[axis];
    return double(inside) / double(pixels);
  };
  double sum = 0;
  for (size_t t = 0; t < tapPixels.size(); t += 2)
    sum +=
        (leftOut.rows ? count(tapPixels[t], 0, layout.getHeight()) : 1) *
        (leftOut.columns ? count(tapPixels[t + 1], 1, layout.getWidth()) : 1);
  return 2 * sum / double(tapPixels.size());
}

static double getShareInside(LeftOut leftOut, ContractOutputsOp op) {
  return getShareInside(leftOut, op.getTapPixels(), op.getStrides(),
                        op.getImage(), op.getLayoutAttr());
}

LeftOut LaneGroups::getLeftOut(ContractOutputsOp op, int64_t segment) const {
  if (op.getTapPixels().empty() || op.isFolded(segment))
    return {};
  int64_t taps = op.getNumTaps(segment), columns = op.getNumColumns(segment);
  // What a tap's weights give with padding has 16 bits.
  constexpr int64_t mostOfWord = 9;
  if (op.isCentred(segment) && columns / taps * mostOfWord > UINT16_MAX)
    return {};
  LeftOut leftOut = getLeftOut(op.isCentred(segment), taps);
  // Large weights come by streams, which gaps would break.
  constexpr int64_t mostWithGaps = 256 << 10;
  if (columns * int64_t(op.getTileBlocks()) *
          ContractOutputsOp::getColumnBytes(op.getLevels()[segment]) >
      mostWithGaps)
    leftOut.rows = false;
  return addCentred(::getShareInside(leftOut, op), op.isCentred(segment)) < 1
             ? leftOut
             : LeftOut();
}

double LaneGroups::getShareInside(ContractOutputsOp op, int64_t segment) const {
  LeftOut leftOut = getLeftOut(op, segment);
  return leftOut.isAny() ? ::getShareInside(leftOut, op) : 1;
}

double LaneGroups::getShare(ContractOutputsOp op, int64_t segment) const {
  LeftOut leftOut = getLeftOut(op, segment);
  return leftOut.isAny()
             ? addCentred(::getShareInside(leftOut, op), op.isCentred(segment))
             : 1;
}

double LaneGroups::getShare(const Window &window, llvm::ArrayRef<int64_t> image,
                            LanesAttr layout, bool isCentred) const {
  llvm::SmallVector<int64_t> pixels = window.getTapPixels();
  LeftOut leftOut = getLeftOut(isCentred, int64_t(pixels.size() / 2));
  if (!leftOut.isAny())
    return 1;
  return std::min(1.0,
                  addCentred(::getShareInside(leftOut, pixels, window.strides,
                                              image, layout),
                             isCentred));
}
