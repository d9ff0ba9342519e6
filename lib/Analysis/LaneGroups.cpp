//===- LaneGroups.cpp - Which lanes are summed beside outputs -------------===//

#include "sysmol/Analysis/LaneGroups.h"

using namespace sysmol;
using namespace sysmol::hetprec;

/// Most lanes that are summed together.
static constexpr int64_t kLanesAtOnce = 8;

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
  int64_t width = layout.getWidth(), height = layout.getHeight();
  int64_t stride = layout.getRowStride();
  pixels.images = layout.getImages();
  pixels.imageStep = layout.getImageStride();
  if (width <= kLanesAtOnce) {
    // A group is a row of the image; a square holds as many as fit.
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
