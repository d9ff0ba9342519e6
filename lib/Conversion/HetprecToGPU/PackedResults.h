//===- PackedResults.h - Accumulators to codes of pixels --------*- C++ -*-===//

#ifndef SYSMOL_CONVERSION_HETPRECTOGPU_PACKEDRESULTS_H
#define SYSMOL_CONVERSION_HETPRECTOGPU_PACKEDRESULTS_H

#include "KernelBuilder.h"

namespace sysmol {

/// What a kernel writes that requantizes: pixels of codes, as the next
/// convolution reads them.
struct PackedLayout {
  hetprec::Grid grid;
  PixelLayout pixel;
  int64_t channels;

  static PackedLayout get(hetprec::ChannelsAttr channels);
  /// Where every code lies, as the launch description gives it.
  mlir::ArrayAttr describe(mlir::MLIRContext *context, int64_t pixels) const;
};

/// Writes the codes of a block of 128 x 128 results, by way of bytes in shared
/// memory: the block's part of every segment begins at a group of 32.
class PackedResults {
public:
  static constexpr int64_t kGroupRows = 32;
  /// Of a block: two segments behind the first may begin inside a group.
  static constexpr int64_t kGroups = kBlockRows / kGroupRows + 2;
  /// Shared bytes of a column of codes; a word more, so that columns begin in
  /// different banks.
  static constexpr int64_t kColumnBytes = kGroups * kGroupRows + 4;

  PackedResults(KernelBuilder &k, const PackedLayout &packed,
                const KernelArguments &args, mlir::Value rowBlock,
                mlir::Value columnBlock);

  /// The code (HP15) of `acc`, an i32, in the weights' row `row`.
  mlir::Value requantize(mlir::Value acc, mlir::Value row);
  /// Where the row's code lies in its column of bytes.
  mlir::Value getPlace(mlir::Value row);
  /// Packs codes from `shared`, words of `kColumnBytes` a column, to
  /// `args.output`; a barrier must be in front. `threads` take part.
  void store(mlir::Value thread, int64_t threads, mlir::Value shared,
             int64_t batch);

private:
  /// The block's part of a segment; values of i32.
  struct Part {
    mlir::Value channels, firstGroup, groups;
    mlir::Value shift;     ///< from a row to its place
    mlir::Value firstWord; ///< in a plane
  };
  /// The one of `choices`, one a segment, for a row.
  mlir::Value pick(mlir::Value row, mlir::ValueRange choices);
  /// The words of one plane of a group of codes.
  llvm::SmallVector<mlir::Value> packWords(int8_t level, int64_t plane,
                                           mlir::ValueRange bytes);
  void storeGroup(const FragmentSegment &segment, const Part &part,
                  mlir::Value group, mlir::Value pixel, mlir::ValueRange bytes);
  void emitIf(mlir::Value condition, llvm::function_ref<void()> emit);
  mlir::Value isPositive(mlir::Value value);

  KernelBuilder &k;
  const PackedLayout &packed;
  const KernelArguments &args;
  mlir::Value columnBlock;
  llvm::SmallVector<Part, 3> parts;
};

} // namespace sysmol

#endif // SYSMOL_CONVERSION_HETPRECTOGPU_PACKEDRESULTS_H
