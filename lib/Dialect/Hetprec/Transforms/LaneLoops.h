//===- LaneLoops.h - Loops over planes, rows and pixels ---------*- C++ -*-===//
//
// Private to hetprec-vectorize-lanes: what moves codes in, out and about.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_LANELOOPS_H
#define SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_LANELOOPS_H

#include "mlir/IR/Builders.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

#include <array>
#include <tuple>

namespace sysmol::hetprec {

/// A loop over `[lower, upper)` whose body stays open for what follows; each
/// iteration writes words of its own.
mlir::Value openLoop(mlir::OpBuilder &b, mlir::Location loc, int64_t lower,
                     int64_t upper);

/// `sum of values[i] * factors[i] + constant`.
mlir::Value makeIndex(mlir::OpBuilder &b, mlir::Location loc,
                      llvm::ArrayRef<mlir::Value> values,
                      llvm::ArrayRef<int64_t> factors, int64_t constant);

/// Along three coordinates.
using LoopStep = std::array<int64_t, 3>;

/// A point of a sequence; only points of one kind share a loop.
struct LoopPoint {
  LoopStep at;
  int64_t kind = 0;

  LoopStep operator-(const LoopPoint &other) const {
    return {at[0] - other.at[0], at[1] - other.at[1], at[2] - other.at[2]};
  }
};

/// Points of a sequence at regular distances: `points` of them from `first` on,
/// and again in every iteration of the loops, the outermost first.
struct LoopPart {
  /// Each iteration is `points` points and `step` on.
  struct Loop {
    int64_t count, points;
    LoopStep step;
  };
  int64_t first, points;
  llvm::SmallVector<Loop, 4> loops = {};

  /// How often the loops run what is in them.
  int64_t getNumRuns() const {
    int64_t runs = 1;
    for (const Loop &loop : loops)
      runs *= loop.count;
    return runs;
  }
};

/// The sequence as parts, of at most `unit` points in their loops.
llvm::SmallVector<LoopPart> splitIntoLoops(llvm::ArrayRef<LoopPoint> points,
                                           int64_t unit);

/// Calls `body` with the first lane and the number of lanes, a power of two of
/// at most `most`, of registers that cover `count` lanes from `first` on. The
/// last one ends with them and may cover lanes of the one before again. No more
/// than `unrolled` are written out.
void coverLanes(mlir::OpBuilder &b, mlir::Location loc, mlir::Value first,
                int64_t count, int64_t most, int64_t unrolled,
                llvm::function_ref<void(mlir::Value, int64_t)> body);

/// Every `stride`-th of the elements that `load` gives, `count` of them; `load`
/// takes a distance and a number, and is asked for nothing behind the last.
mlir::Value
loadStrided(mlir::OpBuilder &b, mlir::Location loc, int64_t count,
            int64_t stride,
            llvm::function_ref<mlir::Value(int64_t move, int64_t lanes)> load);

/// Writes `lanes` zeros to a plane.
void clearLanes(mlir::OpBuilder &b, mlir::Location loc, mlir::Value memref,
                mlir::Value plane, mlir::Value lane, int64_t lanes);

/// Runs `body` for every word of `perWord` channels. Words whose channels just
/// count on share a loop; a permutation's are written out. `channelOf` is null
/// where a slot is empty.
void forWords(mlir::OpBuilder &b, mlir::Location loc,
              llvm::ArrayRef<int64_t> channels, int64_t perWord,
              llvm::function_ref<
                  void(mlir::Value word,
                       llvm::function_ref<mlir::Value(int64_t slot)> channelOf)>
                  body);

/// Neighbours of a row of a phase: they are every `stride`-th pixel of the
/// image from `(n, y, x)` on.
struct Pixels {
  mlir::Value n, y, x;
  mlir::Value target; // lane of the phase
  int64_t lanes;
};

/// The lane of the first of them, `move` pixels on.
mlir::Value getLane(mlir::OpBuilder &b, mlir::Location loc, LanesAttr layout,
                    const Pixels &pixels, int64_t move = 0);

/// The pixels of one phase of an image: rows `[y0, y1)`, columns `[x0, x1)` of
/// the phase's plane; the others are padding.
struct PhasePixels {
  /// `row` and `column`: the phase's first pixel in the padded image.
  PhasePixels(LanesAttr from, LanesAttr to, std::array<int64_t, 2> strides,
              llvm::ArrayRef<int64_t> pads, int64_t row, int64_t column);

  bool isEmpty() const { return y0 == y1 || x0 == x1; }
  /// Whether both have the same rows and columns.
  bool isLike(const PhasePixels &other) const {
    return std::tie(y0, y1, x0, x1) ==
           std::tie(other.y0, other.y1, other.x0, other.x1);
  }

  int64_t moveY, moveX; // of (0, 0) in the image
  int64_t y0, y1, x0, x1;
};

/// Has every lane of a plane of each phase, laid out as `to`, written row by
/// row, at most `most` lanes at a time: pixels by `copy`, the others by
/// `clear`. Loops run over the alike of many phases.
void writePhases(
    mlir::OpBuilder &b, mlir::Location loc, LanesAttr to,
    std::array<int64_t, 2> strides, llvm::ArrayRef<PhasePixels> phases,
    int64_t most, int64_t unrolled,
    llvm::function_ref<void(mlir::Value phase, const Pixels &)> copy,
    llvm::function_ref<void(mlir::Value phase, mlir::Value target,
                            int64_t lanes)>
        clear);

} // namespace sysmol::hetprec

#endif // SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_LANELOOPS_H
