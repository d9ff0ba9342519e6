//===- LaneGroups.h - Which lanes are summed beside outputs -----*- C++ -*-===//
//
// Where registers hold outputs, lanes are summed a few at a time, and lanes
// between an image's rows can be left out: a row of a 7x7 image is a group of
// seven lanes. Squares of 16 lanes, in which sums are turned round into planes,
// hold one or more groups.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_ANALYSIS_LANEGROUPS_H
#define SYSMOL_ANALYSIS_LANEGROUPS_H

#include "sysmol/Analysis/LaneLayout.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"
#include "llvm/Support/MathExtras.h"

namespace sysmol {

/// Products with padding that need not be executed: of taps above and below the
/// image, and left and right of it.
struct LeftOut {
  bool rows = false, columns = false;

  bool isAny() const { return rows || columns; }
};

struct LaneGroups {
  static constexpr int64_t kSquare = 16;

  int64_t lanes = 0;      // of a group
  int64_t step = 0;       // from a group of a square to the next, in lanes
  int64_t perSquare = 0;  // groups of a square, at most
  int64_t perRow = 0;     // groups of a row of squares
  int64_t squareStep = 0; // from a square of a row to the next
  int64_t rows = 1, rowStep = 0, images = 1, imageStep = 0; // of squares
  /// Whether a group's lanes are pixels of one row of an image: a whole row, of
  /// the group's number (`perRow`), or a part of the row of the squares.
  bool areRows = false, areWholeRows = false;

  /// The groups that sum the fewest lanes: all `usedLanes`, or those that are
  /// pixels of `layout` (which may be null). No lane is read from `laneCount`
  /// on, none written that the layout does not have.
  static LaneGroups get(hetprec::LanesAttr layout, int64_t usedLanes,
                        int64_t laneCount);

  /// Lanes that are summed, some of them twice or for nothing.
  int64_t getNumLanes() const { return images * rows * perRow * lanes; }
  int64_t getSquaresPerRow() const {
    return llvm::divideCeil(perRow, perSquare);
  }
  int64_t getNumSquares() const { return images * rows * getSquaresPerRow(); }

  /// Whether the columns of a square's groups are known: they are whole rows,
  /// or a square has all that its row is.
  bool haveColumns() const {
    return areRows && (areWholeRows || perRow <= perSquare);
  }
  /// What is left out of the products of a segment: nothing of folded ones,
  /// whose words are whole windows. Centred weights give more than 0 with
  /// padding, which is summed by itself and added: as much work as a lane, and
  /// worth it where columns are left out, too, and more than a lane is saved.
  LeftOut getLeftOut(hetprec::ContractOutputsOp op, int64_t segment) const;
  /// The share of a segment's products that is not left out.
  double getShareInside(hetprec::ContractOutputsOp op, int64_t segment) const;
  /// The same with those sums: what is executed.
  double getShare(hetprec::ContractOutputsOp op, int64_t segment) const;
  /// The same of a window that reads an image of this size, and whose pixels
  /// have the layout.
  double getShare(const Window &window, llvm::ArrayRef<int64_t> image,
                  hetprec::LanesAttr layout, bool isCentred) const;

private:
  LeftOut getLeftOut(bool isCentred, int64_t taps) const;
  double addCentred(double share, bool isCentred) const {
    return isCentred ? share + 1 / double(getNumLanes()) : share;
  }
};

} // namespace sysmol

#endif // SYSMOL_ANALYSIS_LANEGROUPS_H
