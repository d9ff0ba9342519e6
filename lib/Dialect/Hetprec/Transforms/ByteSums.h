//===- ByteSums.h - Sums over planes of bytes -------------------*- C++ -*-===//
//
// Private to hetprec-vectorize-lanes.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_BYTESUMS_H
#define SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_BYTESUMS_H

#include "LaneVectors.h"

namespace sysmol::hetprec {

/// The sums of segment `segment` of a `contract` with `lane_bytes`, for a row
/// and each block of lanes, in 32 bits, as registers take the lanes: see
/// `orderByteLanes`. Rows read different planes, so that nothing is shared
/// between them: the sums stay in registers.
llvm::SmallVector<LanePair> sumByteLanes(mlir::OpBuilder &b, ContractOp op,
                                         int64_t segment, mlir::Value row);

/// Numbers of 32 bits in that order as even lanes and odd ones of `bits` bits.
LanePair orderByteLanes(mlir::OpBuilder &b, mlir::Location loc, LanePair lanes,
                        int64_t laneBytes, int64_t bits);

} // namespace sysmol::hetprec

#endif // SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_BYTESUMS_H
