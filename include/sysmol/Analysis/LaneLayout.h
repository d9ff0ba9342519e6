//===- LaneLayout.h - Where pixels lie in planes of lanes -------*- C++ -*-===//
//
// Ops read and write lanes without moving them, so values that meet in an op
// share the strides of their planes. This analysis finds the classes of such
// values and one layout for each.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_ANALYSIS_LANELAYOUT_H
#define SYSMOL_ANALYSIS_LANELAYOUT_H

#include "mlir/Interfaces/FunctionInterfaces.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/EquivalenceClasses.h"

namespace sysmol {

/// Where the taps of a window read, in lanes and planes of phases.
struct LaneTaps {
  /// Of each tap, from `origin` on: none is negative.
  llvm::SmallVector<int64_t> taps;
  /// Of each tap; empty where there is one phase.
  llvm::SmallVector<int64_t> phases;
  int64_t numPhases = 1, origin = 0;
};

/// A sliding window: convolution or pooling.
struct Window {
  llvm::SmallVector<int64_t, 2> kernel, strides, dilations;
  llvm::SmallVector<int64_t, 4> pads;

  bool isStrided() const { return strides[0] != 1 || strides[1] != 1; }
  /// Of a strided window, the phase (`y % strides[0] * strides[1] + x %
  /// strides[1]`) that tap `(ky, kx)` reads.
  int64_t getPhase(int64_t ky, int64_t kx) const {
    return getPhaseAt(ky * dilations[0], kx * dilations[1]);
  }
  /// Of the pixel `(y, x)` of the window.
  int64_t getPhaseAt(int64_t y, int64_t x) const {
    return y % strides[0] * strides[1] + x % strides[1];
  }
  /// The phases that some tap reads, in order.
  llvm::SmallVector<int64_t> getPhases() const;
  /// Of these, of each row the one of column 0, whether read or not.
  llvm::SmallVector<int64_t> getRowPhases() const;
  /// Its taps on planes whose rows are `rowStride` lanes apart: those of the
  /// phases that there are (`getPhases`), which hold the padding already, or of
  /// the image.
  LaneTaps getLaneTaps(int64_t rowStride) const;
  /// The row and the column of the image that each tap reads for pixel (0, 0).
  llvm::SmallVector<int64_t> getTapPixels() const;
  /// The window of `op` (conv_2d, pools; matmul: a single tap).
  static Window get(mlir::Operation *op);
};

class LaneLayout {
public:
  explicit LaneLayout(mlir::FunctionOpInterface function);

  /// Layout of a value of the model phase (rank 4 `[N, C, H, W]`, or rank 2:
  /// images of one pixel).
  hetprec::LanesAttr getLayout(mlir::Value value) const;
  /// Layout of the phases of a strided window op's input (`split_phases`).
  hetprec::LanesAttr getPhaseLayout(mlir::Operation *windowOp) const;
  /// Lanes that the op which makes `value` computes, from the layout's base on:
  /// a multiple of 64.
  int64_t getLaneCount(mlir::Value value) const;

private:
  /// What the members of a class need together.
  struct Class {
    int64_t images = 1, rowStride = 1, rows = 1, height = 1, width = 1;
    int64_t before = 0, after = 0; // furthest reads, in lanes
    llvm::SmallVector<std::array<int64_t, 7>> windows;
  };
  /// Values stand for themselves, a strided window op for its phases.
  using Node = const void *;

  Class &classOf(Node node);
  const Class &classOf(Node node) const;
  hetprec::LanesAttr makeLayout(const Class &c, int64_t height,
                                int64_t width) const;

  mlir::MLIRContext *context;
  mutable llvm::EquivalenceClasses<Node> nodes;
  llvm::DenseMap<Node, Class> classes;
};

} // namespace sysmol

#endif // SYSMOL_ANALYSIS_LANELAYOUT_H
