//===- PackedOpUtils.h - What packed ops have in common ---------*- C++ -*-===//
//
// Private to the dialect.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_DIALECT_HETPREC_IR_PACKEDOPUTILS_H
#define SYSMOL_LIB_DIALECT_HETPREC_IR_PACKEDOPUTILS_H

#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

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

/// `byte_words`, multiples of `unit` at level 2: no fewer than any weights
/// allow, and a level's segments alike, as their sums may share bytes.
inline mlir::LogicalResult verifyByteWords(mlir::Operation *op,
                                           llvm::ArrayRef<int64_t> levels,
                                           llvm::ArrayRef<int64_t> words,
                                           bool centred, int64_t unit = 1) {
  if (centred && !llvm::is_contained(levels, 2))
    return op->emitOpError("centred codes are of level 2");
  if (words.empty())
    return mlir::success();
  if (words.size() != levels.size())
    return op->emitOpError("needs byte_words for each level");
  for (auto [s, level, count] : llvm::enumerate(levels, words)) {
    int64_t step = level == 2 ? unit : 1, least = 0, most = 0;
    if (level <= 2) {
      least = 255 / MacOp::getLargestProduct(level, centred) / step * step;
      most = 255 / step * step;
    }
    if (count < least || count > most || count % step != 0)
      return op->emitOpError()
             << "byte_words of level " << level << " must be in [" << least
             << ", " << most << "]"
             << (step > 1 ? ", a multiple of " + std::to_string(step) : "")
             << ", found " << count;
    if (s > 0 && levels[s - 1] == level && words[s - 1] != count)
      return op->emitOpError("segments of one level need the same byte_words");
  }
  return mlir::success();
}

} // namespace sysmol::hetprec

#endif // SYSMOL_LIB_DIALECT_HETPREC_IR_PACKEDOPUTILS_H
