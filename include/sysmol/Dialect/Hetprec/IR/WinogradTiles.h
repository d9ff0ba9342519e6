//===- WinogradTiles.h - 3x3 windows, four pixels at a time -----*- C++ -*-===//
//
// Winograd's F(2x2, 3x3) (Lavin and Gray, arXiv 1509.09308, section 4.1) takes
// 16 products of each channel for a tile of 2x2 pixels, where the window takes
// 36. At 4 bits it is exact in bytes: see `winograd_contract`.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_DIALECT_HETPREC_IR_WINOGRADTILES_H
#define SYSMOL_DIALECT_HETPREC_IR_WINOGRADTILES_H

#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"
#include <optional>

namespace sysmol::hetprec {

struct WinogradTiles {
  /// Pixels of a tile's side, and of what it reads.
  static constexpr int64_t kSide = 2, kPatch = 4;
  /// Products of a channel and a tile, one for each of its positions.
  static constexpr int64_t kPositions = kPatch * kPatch;
  /// What `winograd_input` adds, everywhere but at (1, 1): bytes without sign.
  static constexpr int64_t kInputOffset = 32;
  /// Outputs that are summed together.
  static constexpr int64_t kOutputs = 8;
  /// Tiles in a register of their sums.
  static constexpr int64_t kRegister = 16;
  /// Sums of tiles of an output that wait for their place among the pixels.
  static constexpr int64_t kMostTiles = 256;

  /// Words of channels: a thread's stack has the weights of `kOutputs` outputs,
  /// 64 KiB of them, and 34 KiB of sums.
  static constexpr int64_t kMostWords = 128;

  int64_t images, rows, columns; // of tiles, in an image
  /// Rows of tiles (of all images, one behind the other) that are summed
  /// before their sums go to their pixels, and whose patches lie together:
  /// those that leave the fewest registers in part empty and by themselves, and
  /// take the least memory.
  int64_t chunkRows;

  /// Of the pixels of `layout`; none where a row has too many.
  static std::optional<WinogradTiles> get(LanesAttr layout);

  /// Why the window `op` does not have them; empty where it does.
  static llvm::StringRef getObstacle(mlir::Operation *op);

  /// Of the `macs` that windows take, those that tiles take.
  static int64_t getNeededMacs(int64_t macs) {
    constexpr int64_t window = kSide * kSide * 9; // of all a tile's pixels
    return macs / window * kPositions + macs % window * kPositions / window;
  }
  int64_t getNumRows() const { return images * rows; }
  int64_t getNumChunks() const;
  /// Of the last chunk.
  int64_t getLastRows() const;
  /// Registers of `numRows` rows.
  int64_t getNumRegisters(int64_t numRows) const;
  /// Registers of all chunks.
  int64_t getNumRegisters() const;
  /// Planes of the transformed patches of `words` words of channels.
  int64_t getNumPlanes(int64_t words) const {
    return getNumChunks() * kPositions * words;
  }
  /// Lanes of such a plane, those that a last register reads behind its tiles
  /// included: an odd number of registers, so that planes do not share cache
  /// lines' sets.
  int64_t getPlaneLanes() const;
  /// Bytes of all of them.
  int64_t getPatchBytes(int64_t words) const {
    return getNumPlanes(words) * getPlaneLanes() * int64_t(sizeof(int32_t));
  }
  /// Pixels of a row of patches that are read, some of them for nothing.
  static int64_t getReadColumns(int64_t columns);
  int64_t getReadColumns() const { return getReadColumns(columns); }
};

} // namespace sysmol::hetprec

#endif // SYSMOL_DIALECT_HETPREC_IR_WINOGRADTILES_H
