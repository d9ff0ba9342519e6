//===- ByteLanes.h - A channel by itself, a byte a pixel --------*- C++ -*-===//
//
// A window that reads one channel for each output uses one slot of a word of
// channels. Spread to a plane of bytes, four pixels of the channel are a word
// instead: one that begins at any byte, so nothing has to be moved, and a
// window's row of three or four taps is one product.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_ANALYSIS_BYTELANES_H
#define SYSMOL_ANALYSIS_BYTELANES_H

#include "mlir/IR/Operation.h"
#include <array>
#include <cstdint>
#include <optional>

namespace sysmol {

struct ByteLanes {
  static constexpr int64_t kWordBytes = 4;

  struct Word {
    int64_t y, x; // of its first pixel in the window
    /// The tap of the model that a byte belongs to; -1: none.
    std::array<int64_t, kWordBytes> taps;

    /// Bytes up to that of the last tap.
    int64_t getNumBytes() const;
  };

  /// Of the window, row by row; rows are alike.
  llvm::SmallVector<Word> words;
  /// A lane's bytes begin that many behind those of the lane before.
  int64_t laneBytes;

  /// How `op` reads its input: none where words of channels are fewer products,
  /// or columns are strided by what does not divide a word.
  static std::optional<ByteLanes> get(mlir::Operation *op);

  /// The furthest byte of a window's row that is read.
  int64_t getLastColumn() const { return words.back().x + kWordBytes - 1; }
};

} // namespace sysmol

#endif // SYSMOL_ANALYSIS_BYTELANES_H
