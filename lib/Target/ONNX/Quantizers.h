//===- Quantizers.h - QONNX Quant nodes as grids ----------------*- C++ -*-===//
//
// Rules HP21 to HP23 read backwards: which grid, precisions and scale a node's
// parameters mean.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_TARGET_ONNX_QUANTIZERS_H
#define SYSMOL_LIB_TARGET_ONNX_QUANTIZERS_H

#include "Graph.h"

#include "sysmol/Reference/Grid.h"

namespace sysmol::onnx_import {

/// The parameters of a `Quant` or `BipolarQuant` node.
struct Quantizer {
  /// HP17: 16 bits, of step `steps.values[0]`; the rest then means nothing.
  bool isCarrier = false;
  bool isSigned = false;
  /// Width, zero point and step, each a scalar or one per channel.
  Constant bits, zeroPoints, steps;

  /// Of a node with as many inputs as its operator has.
  static llvm::Expected<Quantizer> read(const Graph &graph,
                                        const NodeProto &node);
};

/// What a `Quantizer` means for an activation.
struct ActivationGrid {
  reference::Grid grid = reference::Grid::Unsigned;
  llvm::SmallVector<int8_t> bits;
  double scale = 1;

  /// `shape` is that of the tensor; channels are dimension 1.
  static llvm::Expected<ActivationGrid> get(const Quantizer &quantizer,
                                            llvm::ArrayRef<int64_t> shape);
  bool operator==(const ActivationGrid &) const = default;
};

/// What a `Quantizer` means for a weight of `rows` output channels, and the
/// codes of the weight.
struct WeightGrid {
  /// One for each input channel of all groups.
  llvm::SmallVector<int8_t> bits;
  /// `d`: one, or one for each row (HP6).
  llvm::SmallVector<double> scale;
  /// Row-major, output channels first.
  llvm::SmallVector<int64_t> shape;
  std::vector<int8_t> codes;

  /// `transposed`: `weight` is [K, N], input channels first.
  static llvm::Expected<WeightGrid> get(const Quantizer &quantizer,
                                        const Constant &weight, int64_t groups,
                                        bool transposed);
};

} // namespace sysmol::onnx_import

#endif // SYSMOL_LIB_TARGET_ONNX_QUANTIZERS_H
