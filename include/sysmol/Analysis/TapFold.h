//===- TapFold.h - Whole windows in the words of few channels ---*- C++ -*-===//
//
// Channels of a level that fill a part of its last word only would be
// multiplied with empty slots beside them for every tap of a window. Folded,
// their taps lie side by side: one 4-bit channel under a 3x3 window is 9 slots
// of 3 words, not 9 words with a slot each.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_ANALYSIS_TAPFOLD_H
#define SYSMOL_ANALYSIS_TAPFOLD_H

#include "mlir/IR/Operation.h"
#include <cstdint>
#include <optional>

namespace sysmol {

struct TapFold {
  int64_t channels; // in the level's last word
  int64_t words;    // that their taps fill

  /// Of the channels of `level` that `op` reads: none where that saves no
  /// products, or fewer than folding costs.
  static std::optional<TapFold> get(mlir::Operation *op, int64_t level);

  /// Words of `level` that a lane of `op` is multiplied with, one output.
  static int64_t countWords(mlir::Operation *op, int64_t level);
};

} // namespace sysmol

#endif // SYSMOL_ANALYSIS_TAPFOLD_H
