//===- WindowCopies.h - A convolution's activations to stages ---*- C++ -*-===//

#ifndef SYSMOL_CONVERSION_HETPRECTOGPU_WINDOWCOPIES_H
#define SYSMOL_CONVERSION_HETPRECTOGPU_WINDOWCOPIES_H

#include "KernelBuilder.h"

namespace sysmol {

/// Finds the activations of a block's columns, which are output pixels, in the
/// image; a tap outside it is copied as zeros.
class WindowCopies {
public:
  /// Shared words of the table behind `tableAt`: what `prepare` writes, and a
  /// number a column for `sumPixels`.
  static constexpr int64_t kColumnWords = 4;
  static constexpr int64_t kTableWords = kBlockColumns * (kColumnWords + 1);
  /// Threads of a block share the units of a stage, eight a column.
  static constexpr int64_t kUnits = 8;

  WindowCopies(KernelBuilder &k, const FragmentLayout &layout,
               const KernelArguments &args, mlir::Value shared, int64_t tableAt)
      : k(k), layout(layout), args(args), shared(shared), tableAt(tableAt) {}

  /// Writes where every column's window begins; a barrier must follow.
  void prepare(mlir::Value thread, mlir::Value columnBlock);
  /// Copies this thread's unit of `stage` for all its columns: four words each,
  /// to `to` and, from a column to the next of the thread's, `columnStride`
  /// further.
  void copy(mlir::Value thread, mlir::Value stage, mlir::Value to,
            int64_t columnsApart, int64_t columnStride);
  /// Writes the sum of `args.sums`, or of what would be there, over every
  /// column's window; barriers must surround it.
  void sumPixels(mlir::Value thread);
  /// That of a column.
  mlir::Value getSum(mlir::Value column);

private:
  /// Begin of a column's window: y, x, and the image's first row of pixels.
  struct Place {
    mlir::Value y, x, firstRow;
  };
  Place loadPlace(mlir::Value column);
  /// The pixel at tap (y, x) of a window, 0 outside the image, and whether it
  /// is inside.
  std::pair<mlir::Value, mlir::Value>
  findPixel(const Place &place, mlir::Value tapY, mlir::Value tapX);
  void copySegment(size_t segment, mlir::Value thread, mlir::Value stage,
                   mlir::Value to, int64_t columnsApart, int64_t columnStride);

  KernelBuilder &k;
  const FragmentLayout &layout;
  const KernelArguments &args;
  mlir::Value shared;
  int64_t tableAt;
};

/// Whether a kernel sums the codes of the windows itself: of few words and in
/// few blocks a launch of its own would take longer.
bool sumsOwnPixels(const FragmentLayout &layout);

inline constexpr int64_t kPixelSumThreads = 256;
/// Writes to `args.sums` what every pixel takes from the accumulators that it
/// is part of (the `A` of `KernelBuilder::correct`, of all segments).
int64_t getPixelSumsGridSize(const FragmentLayout &layout);
void emitPixelSums(KernelBuilder &k, const FragmentLayout &layout,
                   const KernelArguments &args);

} // namespace sysmol

#endif // SYSMOL_CONVERSION_HETPRECTOGPU_WINDOWCOPIES_H
