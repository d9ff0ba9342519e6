//===- LaneVectors.h - Building blocks of vectorized lanes ------*- C++ -*-===//
//
// Private to hetprec-vectorize-lanes. A block of 64 lanes in words wider than a
// byte is a pair of vectors: the even lanes and the odd ones.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_LANEVECTORS_H
#define SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_LANEVECTORS_H

#include "mlir/IR/PatternMatch.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

namespace sysmol::hetprec {

/// The even and the odd lanes of a block: two `vector<32xT>`.
struct LanePair {
  mlir::Value even, odd;
  LanePair map(llvm::function_ref<mlir::Value(mlir::Value)> f) const {
    return {f(even), f(odd)};
  }
};

class LaneVectors {
public:
  LaneVectors(mlir::OpBuilder &builder, mlir::Location loc)
      : b(builder), loc(loc) {}

  mlir::Value index(int64_t value);
  mlir::Value splat(mlir::VectorType type, int64_t value);
  mlir::Value splatReal(mlir::VectorType type, float value);
  mlir::Value broadcast(mlir::Value scalar, int64_t lanes);
  mlir::VectorType half(mlir::Type element) {
    return mlir::VectorType::get({kLaneBlock / 2}, element);
  }

  /// Element `[row, column]` or `[row]` of a table.
  mlir::Value loadScalar(mlir::Value table, mlir::Value row,
                         mlir::Value column = {});
  mlir::Value loadVector(mlir::Value memref, mlir::Value row, mlir::Value lane,
                         int64_t lanes);
  void storeVector(mlir::Value vector, mlir::Value memref, mlir::Value row,
                   mlir::Value lane);
  /// Block `block` of a wide plane.
  LanePair loadPair(mlir::Value plane, mlir::Value row, int64_t block);
  void storePair(LanePair pair, mlir::Value plane, mlir::Value row,
                 int64_t block);

  /// `value` with its elements sign-extended or truncated to `bits`.
  mlir::Value resize(mlir::Value value, int64_t bits);
  mlir::Value toReal(mlir::Value value);
  /// Clamps reals to [lo, hi]; then rounds half to even, or down.
  mlir::Value clampReal(mlir::Value value, float lo, float hi);

  /// HP15 by thresholds: the number of `thresholds[row, ...]` below `value`, as
  /// i16 lanes.
  mlir::Value countThresholds(mlir::Value value, mlir::Value thresholds,
                              mlir::Value row);
  /// HP15 by the float rule, 4 or 8 bits: what the lane's word holds, as lanes
  /// of 16 or 32 bits (symmetric codes with 128 added).
  mlir::Value requantizeByRule(mlir::Value value, mlir::Value multiplier,
                               mlir::Value offset, mlir::Value row,
                               int64_t level, bool isSigned);
  /// HP17: 16-bit residual values of `value`.
  mlir::Value toCarrier(mlir::Value value, mlir::Value multiplier,
                        mlir::Value row);

  /// Adds the codes of slot `slot` to the words of a block (none yet: null).
  LanePair insertSlot(LanePair words, LanePair codes, int64_t level,
                      int64_t slot);
  /// Writes a block of finished words, those outside the mask as 0.
  void storeWords(LanePair words, int64_t level, mlir::Value mask,
                  mlir::Value init, mlir::Value word, int64_t block);

private:
  mlir::OpBuilder &b;
  mlir::Location loc;
};

/// Lowerings of one op each; the op is replaced.
void vectorizeContract(mlir::OpBuilder &b, ContractOp op);
void vectorizeRequantizeLanes(mlir::OpBuilder &b, RequantizeLanesOp op);
void lowerPackLanes(mlir::OpBuilder &b, PackLanesOp op);
void lowerUnpackLanes(mlir::OpBuilder &b, UnpackLanesOp op);
void vectorizeGemv(mlir::OpBuilder &b, GemvOp op);
void lowerPackRows(mlir::OpBuilder &b, PackRowsOp op);
void lowerSumRows(mlir::OpBuilder &b, SumRowsOp op);
void lowerSplitPhases(mlir::OpBuilder &b, SplitPhasesOp op);

} // namespace sysmol::hetprec

#endif // SYSMOL_LIB_DIALECT_HETPREC_TRANSFORMS_LANEVECTORS_H
