//===- FragmentLayout.h - How codes lie in a GPU's memory -------*- C++ -*-===//
//
// Weights lie as the operands of tensor-core instructions, so that 16 bytes a
// lane are its A fragment of one `mma.m16n8k256.b1` (levels 1 and 2, one bit
// plane each), of one `mma.m16n8k64.u4` or two `m16n8k32.u8` (level 4, nibbles)
// or of one `m16n8k32.s8` (level 8).
// The inner dimension of an MMA may be permuted as one likes if both operands
// agree; here lane (g, t) = (lane / 4, lane % 4) owns the neighbouring words 2t
// and 2t + 1 of a step of eight 32-bit words. So activations keep their natural
// order, and a lane's B fragment is one 8-byte load.
//
// Of a convolution the inner dimension is taps times channels: each tap has
// whole words of every plane, padded with code 0. Activations lie pixel by
// pixel, a pixel's words of one plane side by side, so that a tap's words of a
// step are copied in few pieces (`copyWords`) from wherever the window is.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_CONVERSION_HETPRECTOGPU_FRAGMENTLAYOUT_H
#define SYSMOL_CONVERSION_HETPRECTOGPU_FRAGMENTLAYOUT_H

#include "mlir/IR/BuiltinAttributes.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"
#include <optional>
#include <vector>

namespace sysmol {

/// 32-bit words of one inner step of an MMA.
inline constexpr int64_t kStepWords = 8;
/// Rows of weights of one MMA, and columns.
inline constexpr int64_t kFragmentRows = 16, kFragmentColumns = 8;
/// 32-bit words of one A fragment: 4 for each of 32 lanes.
inline constexpr int64_t kFragmentWords = 128;

/// Of a gemm: rows of weights and of activations of a block, and the steps (of
/// one plane each) that lie in shared memory together. Products of few rows
/// have smaller blocks, but no smaller than these.
inline constexpr int64_t kBlockRows = 128, kBlockColumns = 128, kStageSteps = 4;
inline constexpr int64_t kLeastBlockRows = 32;
/// Rows of a warpgroup's MMA.
inline constexpr int64_t kWarpgroupRows = 64;

enum class FragmentOrder {
  Streamed, ///< a segment after the other
  Staged,   ///< what a gemm's block needs of a stage is one piece
  /// Staged, and lane (g, t) owns words t and t + 4 of a step: a warpgroup's
  /// MMA reads activations from shared memory in their order.
  Warpgroup,
};

/// Which pixels a convolution's products read.
struct Window {
  int64_t images, height, width, outHeight, outWidth;
  int64_t taps[2], strides[2], pads[2], dilations[2]; ///< [y, x]; top, left

  static Window get(hetprec::Conv2DOp op);
  /// Of a product with whole images `[N, C, H, W]`, or with rows `[N, C]`.
  static Window getWhole(llvm::ArrayRef<int64_t> shape);
  int64_t getNumTaps() const { return taps[0] * taps[1]; }
  int64_t getNumPixels() const { return images * height * width; }
  int64_t getNumOutputPixels() const { return images * outHeight * outWidth; }
};

/// The channels of one precision.
struct FragmentSegment {
  int8_t level;
  int64_t channels;
  /// Steps of eight words a plane: channels padded with code 0 to whole steps.
  int64_t steps;
  /// First 32-bit word in the buffer of weights and of activations (with a
  /// window: of a pixel).
  int64_t weightBase, activationBase;
  /// With a window: words of one plane and tap, and how many are copied at
  /// once.
  int64_t tapWords, copyWords;
  /// Of pixels: channels in front of the segment.
  int64_t firstChannel;
  /// Staged: first stage, and their number.
  int64_t firstStage, stages;
  /// Staged: steps of all planes that have channels; the stages' others are
  /// empty.
  int64_t usedSteps;
  /// What one code product counts in the accumulator (HP11).
  int64_t productCount;

  /// Bit planes kept apart: levels 1 and 2 only.
  int64_t getNumPlanes() const { return level == 2 ? 2 : 1; }
  /// Bits of one code inside a word.
  int64_t getFieldBits() const { return level <= 2 ? 1 : level; }
  /// Products of codes are turned into those of level values by sums of codes:
  /// not of level 8, whose codes are the values.
  bool hasSums() const { return level < 8; }
  /// Words of one plane of so many channels.
  int64_t getWords(int64_t count) const {
    return llvm::divideCeil(count * getFieldBits(), 32);
  }
  /// Channels in the first piece of a segment of pixels.
  int64_t getFirstPiece() const {
    return std::min(channels, kBlockRows - firstChannel % kBlockRows);
  }
  int64_t getChannelsPerStep() const {
    return kStepWords * 32 / getFieldBits();
  }
};

/// Pixels of a tensor: the words of one, and where its segments are in it. A
/// kernel's block of `kBlockRows` rows writes their channels into words of its
/// own, so a segment's channels are in pieces, each in whole words. (A smaller
/// block has all channels.)
struct PixelLayout {
  llvm::SmallVector<FragmentSegment, 3> segments;
  int64_t words;

  /// Of sorted encodings.
  static PixelLayout get(hetprec::ChannelsAttr channels);
};

/// The index of a segment's channel among the codes that a plane of pixels has
/// room for: behind the first piece all are whole words.
int64_t getPixelPlace(const FragmentSegment &segment, int64_t channel);
/// Pieces of a segment of pixels: channels, and the index of the first one's
/// code.
mlir::ArrayAttr describePieces(mlir::Builder &b,
                               const FragmentSegment &segment);

/// A digit of an index, least significant first: its base, and the distance in
/// bits between neighbouring digits.
struct Digit {
  int64_t size, stride;
};
using Digits = llvm::SmallVector<Digit, 4>;

/// Where codes of a segment lie in a buffer, in bits.
struct CodePlaces {
  int64_t base;
  Digits row, k, b;
  int64_t get(int64_t rowIndex, int64_t kIndex, int64_t bit) const;
};

/// As a launch description gives them; rows of activations are `m`, those of
/// weights `n`.
mlir::DictionaryAttr describePlaces(mlir::Builder &b, llvm::StringRef buffer,
                                    const CodePlaces &places,
                                    llvm::StringRef rowName);

/// A product `[batch, k] x [rows, k]` and where its codes lie.
struct FragmentLayout {
  FragmentOrder order;
  hetprec::Grid grid;
  /// With a window the batch is the output pixels, and k the channels.
  int64_t batch, rows, k;
  std::optional<Window> window;
  int64_t pixelWords; ///< with a window: 32-bit words of a pixel
  /// Rows of weights that a block of the kernel computes.
  int64_t blockRows;
  /// `rows` and `batch` padded to whole tiles of the kernel.
  int64_t paddedRows, paddedBatch;
  llvm::SmallVector<FragmentSegment, 3> segments;
  int64_t weightWords, activationWords;
  int64_t stages; ///< of all segments; 0 unless staged

  /// Of sorted encodings.
  static FragmentLayout get(FragmentOrder order,
                            hetprec::ChannelsAttr activations, int64_t batch,
                            int64_t rows);
  /// The same of a convolution; staged, or for warpgroups.
  static FragmentLayout get(FragmentOrder order,
                            hetprec::ChannelsAttr activations,
                            const Window &window, int64_t rows);
  /// Staged: of the kernel.
  int64_t getNumBlocks() const {
    return paddedRows / blockRows * (paddedBatch / kBlockColumns);
  }
  bool isByWarpgroup() const { return order == FragmentOrder::Warpgroup; }
  /// Staged: 32-bit words of a stage of weights, of all rows of a block.
  int64_t getStageWords() const {
    return blockRows / kFragmentRows * kStageSteps * kFragmentWords;
  }
  /// Mid-rise activations leave over a number a row (see FragmentLayout.cpp).
  bool hasRowBias() const { return grid == hetprec::Grid::Midrise; }
  /// Bit positions of the codes of a segment.
  CodePlaces getWeightPlaces(const FragmentSegment &segment) const;
  CodePlaces getActivationPlaces(const FragmentSegment &segment) const;
  /// The same of every segment, as the launch description gives them.
  mlir::ArrayAttr describeSegments(mlir::MLIRContext *context) const;
  /// The kernel's buffer of `codes`, `[rows, k]` or `[rows, k, taps]`.
  std::vector<int32_t> packWeights(llvm::ArrayRef<int8_t> codes) const;
  /// What mid-rise activations leave over of the same codes: a number a row.
  std::vector<int32_t> getRowBias(llvm::ArrayRef<int8_t> codes) const;
};

} // namespace sysmol

#endif // SYSMOL_CONVERSION_HETPRECTOGPU_FRAGMENTLAYOUT_H
