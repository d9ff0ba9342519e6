//===- Interpreter.h - Runs model-phase hetprec functions -------*- C++ -*-===//
//
// Executes a function of hetprec model ops, one op at a time, with the
// semantics of Reference/Ops.h. What compiled code is compared with.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_REFERENCE_INTERPRETER_H
#define SYSMOL_REFERENCE_INTERPRETER_H

#include "sysmol/Reference/Result.h"
#include "sysmol/Reference/Tensor.h"

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"

#include <variant>
#include <vector>

namespace mlir::func {
class FuncOp;
} // namespace mlir::func

namespace sysmol::reference {

/// A tensor of the interpreter: f32 elements as they are, integers (codes,
/// carriers, accumulators) widened to 32 bits. An unsigned 8-bit code is its
/// number 0 to 255 here, though an `i8` in the IR.
class HostTensor {
public:
  HostTensor(IntTensor tensor) : storage(std::move(tensor)) {}
  HostTensor(FloatTensor tensor) : storage(std::move(tensor)) {}

  bool isReal() const { return std::holds_alternative<FloatTensor>(storage); }
  /// Only when `!isReal()`.
  const IntTensor &ints() const { return *std::get_if<IntTensor>(&storage); }
  /// Only when `isReal()`.
  const FloatTensor &reals() const {
    return *std::get_if<FloatTensor>(&storage);
  }
  const std::vector<int64_t> &shape() const {
    return isReal() ? reals().shape : ints().shape;
  }

private:
  std::variant<IntTensor, FloatTensor> storage;
};

/// Reads a dense row-major buffer of `type`'s elements (i8, i16, i32 or f32, in
/// the byte order of the host), as compiled code takes and returns them. An
/// error when the size or the element type does not fit.
Result<HostTensor> hostTensorFromBytes(mlir::RankedTensorType type,
                                       llvm::ArrayRef<char> bytes);

/// The inverse: the buffer compiled code would hold for `tensor`. An error when
/// an element does not fit `type`.
Result<std::vector<char>> hostTensorToBytes(mlir::RankedTensorType type,
                                            const HostTensor &tensor);

/// An error unless `tensor` is a value of `type`: shape, reals or integers,
/// every code on its level, every carrier in its range.
Status checkHostTensor(mlir::RankedTensorType type, const HostTensor &tensor);

/// Called with every result of every op, in the order of the program.
using ValueObserver = llvm::function_ref<void(mlir::Value, const HostTensor &)>;

/// Runs `function` on `inputs`, one per argument, and returns what it returns.
/// The function is one block of hetprec model ops, arith.constant,
/// tensor.collapse_shape and tensor.expand_shape, ending in func.return; any
/// other op is an error that names it. `observer` may be null.
Result<std::vector<HostTensor>> interpret(mlir::func::FuncOp function,
                                          llvm::ArrayRef<HostTensor> inputs,
                                          ValueObserver observer = nullptr);

} // namespace sysmol::reference

#endif // SYSMOL_REFERENCE_INTERPRETER_H
