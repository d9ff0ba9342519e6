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

/// The sums of the segments of one level.
struct LevelSums {
  int64_t segment; // the level's first
  mlir::Value
      memory; // null: planes of bytes, whose sums are made where they go
  SumOrder order;
  int64_t coefficient;
  int64_t largest; // that such a sum can be
};

/// The sums of a `contract` on words, one entry for each level. They take turns
/// in registers: each level leaves its own in scratch memory (a few KiB, which
/// stay in the L1 cache).
llvm::SmallVector<LevelSums> sumLevels(mlir::OpBuilder &b, ContractOp op,
                                       LaneScratch &scratch);

} // namespace sysmol::hetprec

#endif // SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_CONTRACTSUMS_H
