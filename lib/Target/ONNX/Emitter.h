//===- Emitter.h - Verified hetprec ops, one at a time ----------*- C++ -*-===//
//
// Every op is verified when it is made, so that what breaks a rule is reported
// with the node that asked for it.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_TARGET_ONNX_EMITTER_H
#define SYSMOL_LIB_TARGET_ONNX_EMITTER_H

#include "Quantizers.h"

#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/OwningOpRef.h"

namespace sysmol::onnx_import {

/// Window of a convolution or pool, `[y, x]` and `[top, left, bottom, right]`.
struct Window {
  llvm::SmallVector<int64_t> kernel, strides, pads, dilations;
};

/// `m` and `b` of HP15 to HP18, one for each channel.
struct Affines {
  llvm::SmallVector<float> multiplier, offset;
};

class Emitter {
public:
  explicit Emitter(mlir::MLIRContext *context);

  /// Starts the function; its argument is returned.
  llvm::Expected<mlir::Value> begin(llvm::StringRef function,
                                    llvm::StringRef argument,
                                    llvm::ArrayRef<int64_t> shape);
  /// Ends it; `floatBytes` becomes its attribute.
  llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>>
  finish(mlir::Value result, llvm::StringRef name, int64_t floatBytes);

  /// Ops made from here on are located by `name`.
  void setName(llvm::StringRef name);

  llvm::Expected<mlir::Value> quantize(mlir::Value input,
                                       const ActivationGrid &grid);
  llvm::Expected<mlir::Value> dequantize(mlir::Value input);
  llvm::Expected<mlir::Value> conv(mlir::Value input, const WeightGrid &weight,
                                   llvm::StringRef weightName,
                                   const Window &window, int64_t groups);
  llvm::Expected<mlir::Value> matmul(mlir::Value input,
                                     const WeightGrid &weight,
                                     llvm::StringRef weightName);
  llvm::Expected<mlir::Value> sumPool(mlir::Value input, const Window &window);
  llvm::Expected<mlir::Value> maxPool(mlir::Value input, const Window &window);
  llvm::Expected<mlir::Value> requantize(mlir::Value input,
                                         const Affines &affines,
                                         const ActivationGrid &grid);
  llvm::Expected<mlir::Value>
  toCarrier(mlir::Value input, const Affines &affines, double delta, bool relu);
  llvm::Expected<mlir::Value> add(mlir::Value lhs, mlir::Value rhs);
  /// A carrier, made by another op like that which made `carrier`.
  llvm::Expected<mlir::Value> relu(mlir::Value carrier);
  llvm::Expected<mlir::Value> toReal(mlir::Value input, const Affines &affines);
  /// Codes or reals, [N, C, H, W] to [N, C * H * W].
  llvm::Expected<mlir::Value> flatten(mlir::Value input);

  static llvm::ArrayRef<int64_t> shapeOf(mlir::Value value) {
    return llvm::cast<mlir::RankedTensorType>(value.getType()).getShape();
  }

private:
  llvm::Expected<mlir::RankedTensorType>
  getCodesType(llvm::ArrayRef<int64_t> shape, reference::Grid grid,
               llvm::ArrayRef<double> scale, llvm::ArrayRef<int8_t> bits,
               int64_t groups = 1);
  /// The shape of what a pool makes of `input`.
  static llvm::Expected<llvm::SmallVector<int64_t>>
  getPooledShape(mlir::Value input, const Window &window);
  llvm::Expected<mlir::Value> constant(const WeightGrid &weight,
                                       llvm::StringRef name, int64_t groups);
  /// Creates an `Op`, verifies it, gives its only result.
  template <typename Op, typename... Args>
  llvm::Expected<mlir::Value> create(Args &&...args);

  mlir::OpBuilder builder;
  mlir::Location loc;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  mlir::func::FuncOp function;
};

/// Output size along dimension 2 + `axis` of a window.
llvm::Expected<int64_t> getWindowedSize(int64_t size, const Window &window,
                                        int axis);

} // namespace sysmol::onnx_import

#endif // SYSMOL_LIB_TARGET_ONNX_EMITTER_H
