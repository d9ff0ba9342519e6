//===- Hetprec.h - The hetprec dialect --------------------------*- C++ -*-===//

#ifndef SYSMOL_DIALECT_HETPREC_IR_HETPREC_H
#define SYSMOL_DIALECT_HETPREC_IR_HETPREC_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/TensorEncoding.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/TilingInterface.h"

#include "sysmol/Dialect/Hetprec/IR/HetprecDialect.h.inc"
#include "sysmol/Dialect/Hetprec/IR/HetprecEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "sysmol/Dialect/Hetprec/IR/HetprecAttrs.h.inc"

namespace sysmol::hetprec {

/// The encoding of a tensor of codes; null for any other type.
inline ChannelsAttr getChannels(mlir::Type type) {
  auto tensor = llvm::dyn_cast<mlir::RankedTensorType>(type);
  return tensor ? llvm::dyn_cast_or_null<ChannelsAttr>(tensor.getEncoding())
                : ChannelsAttr();
}

/// Integer codes per real product of the finest unit, `U(f)` of HP11: how many
/// units of level `finest` make `d * alpha` for this grid of activations.
int64_t getUnitDivisor(Grid activationGrid, int8_t finest);

/// How much one code product of `level` counts in units of `finest` (HP11).
int64_t getProductCount(Grid activationGrid, int8_t level, int8_t finest);

/// Channels that share one word of a lane at `level` (see `hetprec.contract`).
int64_t getChannelsPerWord(int64_t level);

/// Width in bits of one lane's word at `level`.
int64_t getWordBits(int64_t level);

/// Width in bits of a row's word at `level` in a `gemv`.
int64_t getRowWordBits(int64_t level);

/// Bytes that `words` words of 64 outputs take in a `gemv`'s weights.
int64_t getStreamBytes(int64_t level, int64_t words);

/// The least and greatest carrier (HP17); with a ReLU the least one is 0.
inline constexpr int64_t kLowestCarrier = -32767, kHighestCarrier = 32767;

/// Lanes in one block: what one tile computes at least, and the block within
/// which wide planes hold the even lanes first.
inline constexpr int64_t kLaneBlock = 64;

/// Position of `lane` in a wide plane.
inline int64_t getWidePosition(int64_t lane) {
  return (lane & ~int64_t(63)) | ((lane & 1) << 5) | ((lane & 63) >> 1);
}

/// Unit attributes of a function that is one GPU kernel of a network, and of
/// its arguments and results that are the network's own (see
/// hetprec-outline-kernels).
inline constexpr llvm::StringLiteral kKernelAttr = "hetprec.kernel";
inline constexpr llvm::StringLiteral kBoundaryAttr = "hetprec.boundary";

/// Attributes of a dot product in the plan phase: what its lanes are (a
/// `lane_role`), and why, in words.
inline constexpr llvm::StringLiteral kLanesAttrName = "hetprec.lanes";
inline constexpr llvm::StringLiteral kLanesReasonAttrName =
    "hetprec.lanes_reason";
/// On an `scf.for` without results: no iteration writes what another touches,
/// but for `memref.alloca` of the function, of which a task gets its own.
inline constexpr llvm::StringLiteral kParallelAttrName = "hetprec.parallel";

/// What reals are multiplied with for codes of `level` (HP7-HP9).
float getQuantizeMultiplier(ChannelsAttr encoding, int64_t level);
/// The reals that the codes 0 to 2^level - 1 of an activation mean, each
/// rounded once (HP3-HP5); of the symmetric level the codes are bytes.
llvm::SmallVector<float> getLevelReals(ChannelsAttr encoding, int64_t level);

/// Largest magnitude of a level value `q(k)` (HP3-HP5).
int64_t getMaxLevelValue(Grid grid, int8_t level);

} // namespace sysmol::hetprec

#define GET_OP_CLASSES
#include "sysmol/Dialect/Hetprec/IR/HetprecOps.h.inc"

#endif // SYSMOL_DIALECT_HETPREC_IR_HETPREC_H
