//===- Import.h - ONNX with QONNX quantizers to hetprec ---------*- C++ -*-===//
//
// The one front door for models: a graph whose tensors are quantized by QONNX
// `Quant` nodes (HP21 to HP23 of Spec.md) becomes a function of model-phase
// hetprec ops. Bias, batch norm, ReLU and the quantizer behind them are folded
// by HP19 and HP20. Nothing of a file is trusted.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_TARGET_ONNX_IMPORT_H
#define SYSMOL_TARGET_ONNX_IMPORT_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBufferRef.h"

#include <cstdint>
#include <string>

namespace sysmol {

struct ImportOptions {
  /// Stands for a symbolic first dimension of the input.
  int64_t batch = 1;
  /// Name of the function that the graph becomes.
  std::string functionName = "main";
};

/// Imports the ONNX model in `buffer`. The module has one function
/// `(tensor<NxCxHxWxf32>) -> tensor<NxKxf32>`; the argument's and the result's
/// ONNX names are in their attribute `hetprec.name`; the function's attribute
/// `hetprec.float_bytes` is the size of the same network's parameters in
/// binary32. Every op is located by the name of its ONNX node.
///
/// An error is one line: "FILE: node 'NAME' (OpType): what is wrong; what is
/// allowed", FILE being the buffer's identifier.
llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>>
importONNX(llvm::MemoryBufferRef buffer, mlir::MLIRContext *context,
           const ImportOptions &options = {});

/// The same for the file at `path`.
llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>>
importONNX(llvm::StringRef path, mlir::MLIRContext *context,
           const ImportOptions &options = {});

} // namespace sysmol

#endif // SYSMOL_TARGET_ONNX_IMPORT_H
