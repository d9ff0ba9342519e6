//===- PackedOpUtils.h - What packed ops have in common ---------*- C++ -*-===//
//
// Private to the dialect.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_DIALECT_HETPREC_IR_PACKEDOPUTILS_H
#define SYSMOL_LIB_DIALECT_HETPREC_IR_PACKEDOPUTILS_H

#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace sysmol::hetprec {

/// On memrefs every input is read and the init is written (and read: words
/// outside the computed lanes stay as they are, `carrier_add` adds to it).
inline void
addPackedOpEffects(mlir::DestinationStyleOpInterface op,
                   mlir::SmallVectorImpl<mlir::SideEffects::EffectInstance<
                       mlir::MemoryEffects::Effect>> &effects) {
  using namespace mlir;
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<MemRefType>(operand.get().getType()))
      continue;
    effects.emplace_back(MemoryEffects::Read::get(), &operand,
                         SideEffects::DefaultResource::get());
    if (op.isDpsInit(&operand))
      effects.emplace_back(MemoryEffects::Write::get(), &operand,
                           SideEffects::DefaultResource::get());
  }
}

#define HETPREC_PACKED_OP_EFFECTS(Op)                                          \
  void Op::getEffects(                                                         \
      SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>      \
          &effects) {                                                          \
    addPackedOpEffects(*this, effects);                                        \
  }

inline int64_t getDim(mlir::Value value, unsigned dim) {
  return mlir::cast<mlir::ShapedType>(value.getType()).getDimSize(dim);
}

inline mlir::LogicalResult verifyLevel(mlir::Operation *op, int64_t level) {
  if (level == 1 || level == 2 || level == 4 || level == 8)
    return mlir::success();
  return op->emitOpError() << "HP1: level " << level
                           << " must be 1, 2, 4 or 8 bits";
}

} // namespace sysmol::hetprec

#endif // SYSMOL_LIB_DIALECT_HETPREC_IR_PACKEDOPUTILS_H
