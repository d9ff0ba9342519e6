//===- ContractSums.h - Sums over words of channels -------------*- C++ -*-===//
//
// Private to hetprec-vectorize-lanes.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_CONTRACTSUMS_H
#define SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_CONTRACTSUMS_H

#include "LaneVectors.h"

namespace sysmol::hetprec {

/// How sums lie in scratch memory, `[row, lane]`.
enum class SumOrder {
  Wide,   ///< as wide planes: even lanes of a block first
  InTurn, ///< as they come
};

/// Sums of a group of segments.
struct LevelSums {
  int64_t segment; // the first
  mlir::Value
      memory; // null: planes of bytes, whose sums are made where they go
  SumOrder order;
  int64_t coefficient;
  int64_t largest = INT64_MAX; // that a sum can be, where that is known
};

/// Segments that are summed together: those of one level, and of levels 1 and 2
/// where no sum exceeds `most`, in units of the last one's coefficient. What is
/// there is then multiplied with `getRatio` before the next one's is added.
/// `largest` are the segments' largest sums.
llvm::SmallVector<llvm::SmallVector<int64_t, 4>, 4>
groupSegments(llvm::ArrayRef<int64_t> levels,
              llvm::ArrayRef<int64_t> coefficients,
              llvm::ArrayRef<int64_t> largest, int64_t most);

/// The quotient of the coefficients of two segments that are summed together.
inline int64_t getRatio(llvm::ArrayRef<int64_t> coefficients, int64_t segment,
                        int64_t next) {
  return coefficients[segment] / coefficients[next];
}

/// The largest sum of a group.
int64_t getLargestSum(llvm::ArrayRef<int64_t> segments,
                      llvm::ArrayRef<int64_t> coefficients,
                      llvm::ArrayRef<int64_t> largest);

/// The sums of a `contract` on words. Groups take turns in registers and leave
/// their sums in scratch memory (a few KiB, which stay in the L1 cache).
llvm::SmallVector<LevelSums> sumLevels(mlir::OpBuilder &b, ContractOp op,
                                       LaneScratch &scratch);

/// A `contract` by loops over its words, at `b`; what the tile has taken of
/// `scratch` stays as it is. The op is erased.
void vectorizeContractTile(mlir::OpBuilder &b, ContractOp op,
                           LaneScratch &scratch);

/// A window's sum (`isWindowSum`) in two steps.
void vectorizeWindowSums(mlir::OpBuilder &b, ContractOp op,
                         LaneScratch &scratch);

/// Sums of level 4 or 8 in registers.
struct DotTile {
  int64_t firstRow, numRows;
  mlir::Value lane; // the first
  int64_t quarters; // of a block: registers of 16 lanes, from there on
  SumOrder order;   // wide: even lanes of a block first
};

/// Whether so many registers of dot products hold too few rows of the two
/// quarters that an epilogue takes.
inline bool areFewDots(int64_t dots) { return dots < 8; }

/// The order of the sums of level 4 or 8 that a segment gives.
SumOrder getDotOrder(ContractOp op, int64_t segment);

/// The last group's segments, if its sums of level 4 or 8 can go from registers
/// into the epilogue: every row reads them, and what comes from memory is a
/// multiple of their coefficient. Empty if not.
llvm::SmallVector<int64_t> getDotSegments(ContractOp op);

/// Runs `finish` with the sums of every tile of `getDotSegments`, `[row]
/// [quarter]`, that begin as what `begin` gives; `others` are the sums of the
/// other groups, in the tile's order. Tiles have a multiple of `rowsPerWord`
/// rows, but for the last.
void forDotTiles(
    mlir::OpBuilder &b, ContractOp op, LaneScratch &scratch,
    int64_t rowsPerWord,
    llvm::function_ref<llvm::SmallVector<mlir::Value>(
        const DotTile &, llvm::ArrayRef<LevelSums> others)>
        begin,
    llvm::function_ref<void(const DotTile &, mlir::ValueRange)> finish);

} // namespace sysmol::hetprec

#endif // SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_CONTRACTSUMS_H
