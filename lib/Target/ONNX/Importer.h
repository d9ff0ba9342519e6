//===- Importer.h - The walk over an ONNX graph -----------------*- C++ -*-===//
//
// One walk over the nodes in their order. A node that only scales, shifts or
// clamps (batch norm, ReLU, flattening of sums) makes no op: it is remembered
// with its value until a quantizer or the output folds it (HP19, HP20).
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_TARGET_ONNX_IMPORTER_H
#define SYSMOL_LIB_TARGET_ONNX_IMPORTER_H

#include "Emitter.h"
#include "Graph.h"
#include "Quantizers.h"

#include "sysmol/Reference/Folding.h"
#include "sysmol/Target/ONNX/Import.h"

#include "llvm/ADT/StringSet.h"

#include <limits>
#include <optional>

namespace sysmol::onnx_import {

enum class Kind {
  Image,   // the network's real input
  Weight,  // a constant behind a Quant node
  Codes,   // on the grid `grid`
  Sums,    // accumulators, and what waits for a quantizer
  Carrier, // 16-bit integers, and what waits for a quantizer
  Added,   // two carriers, waiting for the carrier Quant that clamps them
};

/// What is known of one ONNX value.
struct Entry {
  Kind kind = Kind::Image;
  mlir::Value value;
  /// As ONNX sees it.
  llvm::SmallVector<int64_t> shape;
  /// Sums that ONNX has flattened stay [N, C, H, W] until they are codes.
  bool isFlat = false;

  ActivationGrid grid = {}; // Codes

  // Sums, Carrier: one unit and bias for each channel of `value` (HP19).
  std::vector<double> unit = {};
  std::vector<double> bias = {};
  double delta = 0; // Carrier, Added
  std::optional<std::vector<reference::BatchNorm>> norm = std::nullopt;
  bool relu = false;
  /// Of a Clip, with `relu`.
  double top = std::numeric_limits<double>::infinity();

  Quantizer quantizer = {}; // Weight
  llvm::StringRef constant = {};

  bool isSum() const { return kind == Kind::Sums || kind == Kind::Carrier; }
};

/// "quantized", to say what a value is instead of what it should be.
llvm::StringRef describe(Kind kind);

class Importer {
public:
  Importer(const Graph &graph, mlir::MLIRContext *context,
           const ImportOptions &options)
      : graph(graph), options(options), emitter(context) {}

  llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>> run();

private:
  llvm::Error importInput();
  llvm::Error importNode(const NodeProto &node);
  llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>> importOutput();

  llvm::Expected<Entry> importQuant(const NodeProto &node);
  llvm::Expected<Entry> importConv(const NodeProto &node);
  llvm::Expected<Entry> importGemm(const NodeProto &node);
  llvm::Expected<Entry> importBatchNorm(const NodeProto &node);
  llvm::Expected<Entry> importRelu(const NodeProto &node);
  llvm::Expected<Entry> importAdd(const NodeProto &node);
  llvm::Expected<Entry> importClip(const NodeProto &node);
  /// An Add of a constant.
  llvm::Expected<Entry> importBias(const NodeProto &node, int sums,
                                   int constant);
  llvm::Expected<Entry> importPool(const NodeProto &node);
  llvm::Expected<Entry> importMaxPool(const NodeProto &node);
  llvm::Expected<Entry> importFlatten(const NodeProto &node);
  llvm::Expected<Entry> importReshape(const NodeProto &node);
  llvm::Expected<Entry> importIdentity(const NodeProto &node);

  /// Operand `index`, one of `kinds`; `wanted` names them to the user.
  llvm::Expected<Entry> getOperand(const NodeProto &node, int index,
                                   llvm::ArrayRef<Kind> kinds,
                                   llvm::StringRef wanted) const;
  llvm::Expected<Entry> getCodes(const NodeProto &node, size_t rank) const;
  llvm::Expected<WeightGrid> getWeight(const NodeProto &node, size_t rank,
                                       int64_t groups, bool transposed);
  /// The constant `name`, which the float network would store, too.
  llvm::Expected<Constant> getParameter(llvm::StringRef name);
  llvm::Expected<std::vector<double>> getBias(const NodeProto &node,
                                              int64_t rows);
  llvm::Expected<Entry> getSums(mlir::Value value, const Entry &input,
                                const WeightGrid &weight,
                                std::vector<double> bias);
  llvm::Expected<Affines> fold(const Entry &entry,
                               llvm::ArrayRef<double> steps) const;
  llvm::Expected<Entry> toCodes(const Entry &entry, const Quantizer &quantizer);
  llvm::Expected<Entry> toCarrier(const Entry &entry, double delta);
  /// Sums over windows (HP14); of means the divisor is in the unit (HP19).
  llvm::Expected<Entry> sumCodes(const Entry &codes, const Window &window);
  /// Codes of one precision as sums of one (HP14).
  llvm::Expected<Entry> toSums(const Entry &codes);
  llvm::Expected<Entry> flattenEntry(Entry entry);

  const Graph &graph;
  const ImportOptions &options;
  Emitter emitter;
  llvm::StringMap<Entry> entries;
  llvm::StringSet<> parameters;
  int64_t floatBytes = 0;
};

} // namespace sysmol::onnx_import

#endif // SYSMOL_LIB_TARGET_ONNX_IMPORTER_H
