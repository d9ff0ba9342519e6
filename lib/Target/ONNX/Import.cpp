//===- Import.cpp - ONNX with QONNX quantizers to hetprec -----------------===//

#include "Importer.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cmath>
#include <utility>

using namespace mlir;
using namespace sysmol;
using namespace sysmol::onnx_import;
using llvm::Error;
using llvm::Expected;
using llvm::Twine;
using ::onnx::TensorProto;

StringRef sysmol::onnx_import::describe(Kind kind) {
  switch (kind) {
  case Kind::Image:
    return "the real input of the network";
  case Kind::Weight:
    return "a weight";
  case Kind::Codes:
    return "quantized";
  case Kind::Sums:
    return "an accumulator that no Quant follows";
  case Kind::Carrier:
    return "a 16-bit carrier";
  case Kind::Added:
    return "a sum of carriers that no 16-bit Quant follows";
  }
  return "";
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

Expected<Entry> Importer::getOperand(const NodeProto &node, int index,
                                     ArrayRef<Kind> kinds,
                                     StringRef wanted) const {
  if (index >= node.input_size() || node.input(index).empty())
    return fail("input " + Twine(index) + " is missing; expected " + wanted);
  std::string name = "input '" + printable(node.input(index)) + "'";
  auto it = entries.find(node.input(index));
  if (it == entries.end())
    return fail(name + " is a constant; expected " + wanted);
  if (!llvm::is_contained(kinds, it->second.kind))
    return fail(name + " is " + describe(it->second.kind) + "; expected " +
                wanted);
  return it->second;
}

Expected<Entry> Importer::getCodes(const NodeProto &node, size_t rank) const {
  Expected<Entry> entry =
      getOperand(node, 0, Kind::Codes, "a tensor quantized by a Quant node");
  if (entry && entry->shape.size() != rank)
    return fail("its input has shape " + toString(entry->shape) +
                "; expected rank " + Twine(rank));
  return entry;
}

Expected<Constant> Importer::getParameter(StringRef name) {
  Expected<Constant> constant = graph.getConstant(name);
  if (constant && parameters.insert(name).second)
    floatBytes += 4 * int64_t(constant->values.size());
  return constant;
}

Expected<WeightGrid> Importer::getWeight(const NodeProto &node, size_t rank,
                                         int64_t groups, bool transposed) {
  Expected<Entry> entry = getOperand(
      node, 1, Kind::Weight, "a weight: an initializer behind a Quant node");
  if (!entry)
    return entry.takeError();
  Expected<Constant> weight = getParameter(entry->constant);
  if (!weight)
    return weight.takeError();
  if (weight->shape.size() != rank)
    return fail("the weight has shape " + toString(weight->shape) +
                "; expected rank " + Twine(rank));
  Expected<WeightGrid> grid =
      WeightGrid::get(entry->quantizer, *weight, groups, transposed);
  if (!grid)
    return fail("weight '" + printable(entry->constant) +
                "': " + llvm::toString(grid.takeError()));
  return grid;
}

Expected<std::vector<double>> Importer::getBias(const NodeProto &node,
                                                int64_t rows) {
  if (node.input_size() < 3 || node.input(2).empty())
    return std::vector<double>(rows, 0.0);
  Expected<Constant> bias = getParameter(node.input(2));
  if (!bias)
    return bias.takeError();
  int64_t count = bias->values.size();
  if (bias->type != TensorProto::FLOAT || (count != 1 && count != rows) ||
      (!bias->shape.empty() && bias->shape.back() != count))
    return fail("the bias has " + onnx_import::describe(*bias) +
                "; expected [" + Twine(rows) + "] of floats (type 1)");
  if (count == 1)
    return std::vector<double>(rows, bias->values[0]);
  return bias->values;
}

Expected<Entry> Importer::getSums(mlir::Value value, const Entry &input,
                                  const WeightGrid &weight,
                                  std::vector<double> bias) {
  int8_t finest = *llvm::max_element(input.grid.bits);
  Entry sums;
  sums.kind = Kind::Sums;
  sums.value = value;
  sums.shape.assign(Emitter::shapeOf(value).begin(),
                    Emitter::shapeOf(value).end());
  for (int64_t row = 0; row < weight.shape[0]; ++row)
    sums.unit.push_back(reference::accumulatorUnit(
        input.grid.grid, finest,
        weight.scale.size() == 1 ? weight.scale[0] : weight.scale[row],
        input.grid.scale));
  sums.bias = std::move(bias);
  return sums;
}

//===----------------------------------------------------------------------===//
// Folding
//===----------------------------------------------------------------------===//

Expected<Affines> Importer::fold(const Entry &entry,
                                 ArrayRef<double> steps) const {
  Affines affines;
  for (size_t c = 0; c < entry.unit.size(); ++c) {
    auto affine =
        entry.norm
            ? reference::foldBatchNorm(entry.unit[c], steps[c], entry.bias[c],
                                       (*entry.norm)[c])
            : reference::foldPlain(entry.unit[c], steps[c], entry.bias[c]);
    if (!affine)
      return fail("channel " + Twine(c) + ": " + affine.message());
    affines.multiplier.push_back(affine->m);
    affines.offset.push_back(affine->b);
  }
  return affines;
}

Expected<Entry> Importer::toCodes(const Entry &entry,
                                  const Quantizer &quantizer) {
  Expected<ActivationGrid> grid = ActivationGrid::get(quantizer, entry.shape);
  if (!grid)
    return grid.takeError();
  if (entry.relu && grid->grid != reference::Grid::Unsigned)
    return fail("HP20: a Relu needs an unsigned quantizer behind it "
                "(signed = 0, zero_point = 0)");
  if (grid->scale > entry.top * (1 + 1e-6))
    return fail("HP20: a Clip at " + number(entry.top) +
                " needs a quantizer that ends there or below, but this one "
                "ends at " +
                number(grid->scale));
  // One precision for all pixels of a channel of the unflattened tensor.
  ActivationGrid own = *grid;
  int64_t channels = entry.unit.size();
  int64_t pixels = int64_t(grid->bits.size()) / channels;
  own.bits.clear();
  for (int64_t c = 0; c < channels; ++c) {
    ArrayRef<int8_t> run = ArrayRef(grid->bits).slice(c * pixels, pixels);
    if (!llvm::all_equal(run))
      return fail("the pixels of channel " + Twine(c) +
                  " have different widths behind the flattening; give them "
                  "one, or quantize before Flatten");
    own.bits.push_back(run[0]);
  }
  SmallVector<double> steps;
  for (int8_t bits : own.bits)
    steps.push_back(reference::codeStep(own.grid, bits, own.scale));
  Expected<Affines> affines = fold(entry, steps);
  if (!affines)
    return affines.takeError();
  Expected<mlir::Value> value = emitter.requantize(entry.value, *affines, own);
  if (value && entry.isFlat)
    value = emitter.flatten(*value);
  if (!value)
    return value.takeError();
  Entry codes;
  codes.kind = Kind::Codes;
  codes.value = *value;
  codes.shape = entry.shape;
  codes.grid = std::move(*grid);
  return codes;
}

Expected<Entry> Importer::toCarrier(const Entry &entry, double delta) {
  bool hasClip = std::isfinite(entry.top);
  if (entry.kind == Kind::Added || entry.kind == Kind::Carrier) {
    // The clamp of HP17 is part of the addition; a carrier stays what it is.
    if (entry.isFlat)
      return fail("HP17: no Flatten is allowed in front of a 16-bit Quant");
    if (delta != entry.delta || entry.norm || hasClip)
      return fail("HP17: a carrier of scale " + number(entry.delta) +
                  " cannot become one of scale " + number(delta) +
                  " or pass a BatchNormalization or Clip on the way; use one "
                  "scale for all residual sums");
    Entry carrier = entry;
    carrier.kind = Kind::Carrier;
    carrier.relu = false;
    if (entry.relu) {
      Expected<mlir::Value> value = emitter.relu(entry.value);
      if (!value)
        return value.takeError();
      carrier.value = *value;
    }
    return carrier;
  }
  if (entry.isFlat || hasClip)
    return fail("HP17: no Flatten or Clip is allowed between a sum and its "
                "16-bit Quant");
  Expected<Affines> affines =
      fold(entry, SmallVector<double>(entry.unit.size(), delta));
  if (!affines)
    return affines.takeError();
  Expected<mlir::Value> value =
      emitter.toCarrier(entry.value, *affines, delta, entry.relu);
  if (!value)
    return value.takeError();
  Entry carrier;
  carrier.kind = Kind::Carrier;
  carrier.value = *value;
  carrier.shape = entry.shape;
  carrier.delta = delta;
  carrier.unit.assign(entry.unit.size(), delta);
  carrier.bias.assign(entry.unit.size(), 0.0);
  return carrier;
}

//===----------------------------------------------------------------------===//
// The graph
//===----------------------------------------------------------------------===//

Error Importer::importInput() {
  const auto &info = graph.input();
  std::string name = "input '" + printable(info.name()) + "': ";
  const auto &type = info.type().tensor_type();
  if (type.elem_type() != TensorProto::FLOAT)
    return fail(name + "its element type is " + Twine(type.elem_type()) +
                "; expected float (1)");
  if (type.shape().dim_size() != 2 && type.shape().dim_size() != 4)
    return fail(name + "it has rank " + Twine(type.shape().dim_size()) +
                "; expected [N, C, H, W] or [N, C]");
  Entry entry;
  for (const auto &dim : type.shape().dim()) {
    bool isBatch = entry.shape.empty();
    if (dim.has_dim_value()) {
      if (isBatch && options.batch != 1 && dim.dim_value() != options.batch)
        return fail(name + "the batch is " + Twine(dim.dim_value()) +
                    " in the file, " + Twine(options.batch) + " was asked for");
      entry.shape.push_back(dim.dim_value());
      continue;
    }
    if (!isBatch)
      return fail(name + "dimension " + Twine(entry.shape.size()) +
                  " is symbolic; only the first may be");
    entry.shape.push_back(options.batch);
  }
  if (Expected<int64_t> count = countElements(entry.shape); !count)
    return fail(name + llvm::toString(count.takeError()));
  Expected<mlir::Value> value =
      emitter.begin(options.functionName, info.name(), entry.shape);
  if (!value)
    return value.takeError();
  entry.value = *value;
  entries[info.name()] = std::move(entry);
  return Error::success();
}

/// Optional values may be left out at the end, or their names be empty there.
template <typename Names> static int countGiven(const Names &names) {
  int count = names.size();
  while (count > 0 && names[count - 1].empty())
    --count;
  return count;
}

Error Importer::importNode(const NodeProto &node) {
  /// How many inputs an operator has, and what reads them.
  struct Operator {
    StringRef name;
    bool isStandard;
    int least, most;
    Expected<Entry> (Importer::*handler)(const NodeProto &);
  };
  static constexpr Operator operators[] = {
      {"Quant", false, 4, 4, &Importer::importQuant},
      {"BipolarQuant", false, 2, 2, &Importer::importQuant},
      {"Conv", true, 2, 3, &Importer::importConv},
      {"Gemm", true, 2, 3, &Importer::importGemm},
      {"MatMul", true, 2, 2, &Importer::importGemm},
      {"BatchNormalization", true, 5, 5, &Importer::importBatchNorm},
      {"Relu", true, 1, 1, &Importer::importRelu},
      {"Clip", true, 1, 3, &Importer::importClip},
      {"Add", true, 2, 2, &Importer::importAdd},
      {"AveragePool", true, 1, 1, &Importer::importPool},
      {"GlobalAveragePool", true, 1, 1, &Importer::importPool},
      {"MaxPool", true, 1, 1, &Importer::importMaxPool},
      {"Flatten", true, 1, 1, &Importer::importFlatten},
      {"Reshape", true, 2, 2, &Importer::importReshape},
      {"Identity", true, 1, 1, &Importer::importIdentity},
      {"Constant", true, 0, 0, nullptr}, // the graph has read it
  };
  bool isStandard = node.domain().empty() || node.domain() == "ai.onnx";
  const auto *op = llvm::find_if(operators, [&](const Operator &known) {
    return known.name == node.op_type() && known.isStandard == isStandard;
  });
  if (op == std::end(operators))
    return fail("unsupported operator" +
                (isStandard ? std::string()
                            : " of domain '" + printable(node.domain()) + "'") +
                "; allowed are Quant and BipolarQuant (QONNX), Conv, Gemm, "
                "MatMul, BatchNormalization, Relu, Clip, Add, AveragePool, "
                "GlobalAveragePool, MaxPool, Flatten, Reshape, Identity, "
                "Constant");
  // What nothing reads would change the network.
  int inputs = countGiven(node.input()), outputs = countGiven(node.output());
  if (inputs < op->least || inputs > op->most) {
    std::string wanted = std::to_string(op->least);
    if (op->most != op->least)
      wanted += " to " + std::to_string(op->most);
    return fail("it has " + Twine(inputs) + " inputs; expected " + wanted);
  }
  if (outputs == 2 && op->name == "MaxPool")
    return fail("its output Indices is not supported; leave it out");
  if (outputs != 1)
    return fail("it has " + Twine(outputs) +
                " outputs; exactly one is allowed");
  if (graph.isConstant(node.output(0)))
    return Error::success();
  emitter.setName(getName(node));
  Expected<Entry> entry = (this->*op->handler)(node);
  if (!entry)
    return entry.takeError();
  entries[node.output(0)] = std::move(*entry);
  return Error::success();
}

Expected<OwningOpRef<ModuleOp>> Importer::importOutput() {
  const auto &info = graph.output();
  std::string name = "output '" + printable(info.name()) + "': ";
  auto it = entries.find(info.name());
  if (it == entries.end())
    return fail(name + "it is a constant; expected a result of the network");
  const Entry &entry = it->second;
  Expected<mlir::Value> value = entry.value;
  emitter.setName(info.name());
  if (entry.isSum() && !entry.relu) {
    Expected<Affines> affines =
        fold(entry, SmallVector<double>(entry.unit.size(), 1.0));
    if (!affines)
      return fail(name + llvm::toString(affines.takeError()));
    value = emitter.toReal(entry.value, *affines);
    if (value && entry.isFlat)
      value = emitter.flatten(*value);
  } else if (entry.kind == Kind::Codes) {
    value = emitter.dequantize(entry.value);
  } else {
    return fail(name + "it is " +
                (entry.relu ? StringRef("the result of a Relu")
                            : describe(entry.kind)) +
                "; expected codes, an accumulator or a carrier");
  }
  if (!value)
    return fail(name + llvm::toString(value.takeError()));
  // What the file promises about its result must hold.
  ArrayRef<int64_t> shape = Emitter::shapeOf(*value);
  const auto &type = info.type().tensor_type();
  if (type.elem_type() != TensorProto::FLOAT)
    return fail(name + "its element type is " + Twine(type.elem_type()) +
                "; expected float (1)");
  bool fits = !type.has_shape() || type.shape().dim_size() == int(shape.size());
  if (fits && type.has_shape())
    for (auto [i, dim] : llvm::enumerate(type.shape().dim()))
      fits &= !dim.has_dim_value() || dim.dim_value() == shape[i];
  if (!fits)
    return fail(name + "the network computes shape " + toString(shape) +
                ", the file declares another");
  return emitter.finish(*value, info.name(), floatBytes);
}

Expected<OwningOpRef<ModuleOp>> Importer::run() {
  if (options.batch < 1 || options.batch > maxDimension)
    return fail("batch " + Twine(options.batch) +
                " is not allowed; it must lie in [1, 2^24]");
  if (Error error = importInput())
    return error;
  for (const NodeProto &node : graph.proto().node())
    if (Error error = importNode(node))
      return fail(onnx_import::describe(node) + ": " +
                  llvm::toString(std::move(error)));
  return importOutput();
}

//===----------------------------------------------------------------------===//
// Entry points
//===----------------------------------------------------------------------===//

Expected<OwningOpRef<ModuleOp>>
sysmol::importONNX(llvm::MemoryBufferRef buffer, MLIRContext *context,
                   const ImportOptions &options) {
  auto run = [&]() -> Expected<OwningOpRef<ModuleOp>> {
    Expected<std::unique_ptr<Graph>> graph = Graph::parse(buffer);
    if (!graph)
      return graph.takeError();
    return Importer(**graph, context, options).run();
  };
  Expected<OwningOpRef<ModuleOp>> module = run();
  if (!module)
    return fail(printable(buffer.getBufferIdentifier()) + ": " +
                llvm::toString(module.takeError()));
  return module;
}

Expected<OwningOpRef<ModuleOp>>
sysmol::importONNX(StringRef path, MLIRContext *context,
                   const ImportOptions &options) {
  auto refuse = [&](const Twine &reason) {
    return fail(printable(path) + ": " + reason);
  };
  llvm::sys::fs::file_status status;
  if (std::error_code code = llvm::sys::fs::status(path, status))
    return refuse("cannot open the file: " + code.message());
  if (status.type() != llvm::sys::fs::file_type::regular_file)
    return refuse("this is not a file; expected an ONNX model");
  // Refused before it is read.
  if (status.getSize() > INT32_MAX)
    return refuse("the file has " + Twine(status.getSize()) +
                  " bytes; at most 2 GiB are allowed");
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  if (!buffer)
    return refuse("cannot read the file: " + buffer.getError().message());
  return importONNX((*buffer)->getMemBufferRef(), context, options);
}
