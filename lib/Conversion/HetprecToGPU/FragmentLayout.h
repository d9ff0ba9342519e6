//===- FragmentLayout.h - How codes lie in a GPU's memory -------*- C++ -*-===//
//
// Weights lie as the operands of tensor-core instructions, so that 16 bytes a
// lane are its A fragment of one `mma.m16n8k256.b1` (levels 1 and 2, one bit
// plane each) or of two `mma.m16n8k32.u8` (level 4, nibbles). The inner
// dimension of an MMA may be permuted as one likes if both operands agree;
// here lane (g, t) = (lane / 4, lane % 4) owns the neighbouring words 2t and
// 2t + 1 of a step of eight 32-bit words. So activations keep their natural
// order, and a lane's B fragment is one 8-byte load.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_CONVERSION_HETPRECTOGPU_FRAGMENTLAYOUT_H
#define SYSMOL_CONVERSION_HETPRECTOGPU_FRAGMENTLAYOUT_H

#include "mlir/IR/BuiltinAttributes.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

namespace sysmol {

/// 32-bit words of one inner step of an MMA.
inline constexpr int64_t kStepWords = 8;
/// Rows of weights of one MMA, and columns.
inline constexpr int64_t kFragmentRows = 16, kFragmentColumns = 8;
/// 32-bit words of one A fragment: 4 for each of 32 lanes.
inline constexpr int64_t kFragmentWords = 128;

/// Of a gemm: rows of weights and of activations of a block, and the steps (of
/// one plane each) that lie in shared memory together.
inline constexpr int64_t kBlockRows = 128, kBlockColumns = 128, kStageSteps = 4;
/// 32-bit words of a stage of weights: of all rows of a block.
inline constexpr int64_t kStageWords =
    kBlockRows / kFragmentRows * kStageSteps * kFragmentWords;

enum class FragmentOrder {
  Streamed, ///< a segment after the other
  Staged,   ///< what a gemm's block needs of a stage is one piece
  /// Staged, and lane (g, t) owns words t and t + 4 of a step at levels 1 and
  /// 2: a warpgroup's MMA reads activations from shared memory in their order.
  Warpgroup,
};

/// The channels of one precision.
struct FragmentSegment {
  int8_t level;
  int64_t channels;
  /// Steps of eight words a plane: channels padded with code 0 to whole steps.
  int64_t steps;
  /// First 32-bit word in the buffer of weights and of activations.
  int64_t weightBase, activationBase;
  /// Staged: first stage, and their number.
  int64_t firstStage, stages;
  /// What one code product counts in the accumulator (HP11).
  int64_t productCount;

  /// Bit planes kept apart: levels 1 and 2 only.
  int64_t getNumPlanes() const { return level == 2 ? 2 : 1; }
  /// Bits of one code inside a word.
  int64_t getFieldBits() const { return level == 4 ? 4 : 1; }
  int64_t getChannelsPerStep() const {
    return kStepWords * 32 / getFieldBits();
  }
};

/// A product `[batch, k] x [rows, k]` and where its codes lie.
struct FragmentLayout {
  FragmentOrder order;
  hetprec::Grid grid;
  int64_t batch, rows, k;
  /// `rows` and `batch` padded to whole tiles of the kernel.
  int64_t paddedRows, paddedBatch;
  llvm::SmallVector<FragmentSegment, 3> segments;
  int64_t weightWords, activationWords;
  int64_t stages; ///< of all segments; 0 unless staged

  /// Of sorted encodings with levels 1, 2 and 4.
  static FragmentLayout get(FragmentOrder order,
                            hetprec::ChannelsAttr activations, int64_t batch,
                            int64_t rows);
  /// Mid-rise activations leave over a number a row (see FragmentLayout.cpp).
  bool hasRowBias() const { return grid == hetprec::Grid::Midrise; }
  /// Bit positions of every code, as the launch description gives them.
  mlir::ArrayAttr describeSegments(mlir::MLIRContext *context) const;
};

} // namespace sysmol

#endif // SYSMOL_CONVERSION_HETPRECTOGPU_FRAGMENTLAYOUT_H
