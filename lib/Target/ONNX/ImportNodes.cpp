//===- ImportNodes.cpp - What each ONNX operator becomes ------------------===//

#include "Importer.h"

#include "llvm/ADT/STLExtras.h"

#include <utility>

using namespace mlir;
using namespace sysmol;
using namespace sysmol::onnx_import;
using llvm::Error;
using llvm::Expected;
using llvm::Twine;
using ::onnx::TensorProto;

//===----------------------------------------------------------------------===//
// Nodes
//===----------------------------------------------------------------------===//

Expected<Entry> Importer::importQuant(const NodeProto &node) {
  Expected<Quantizer> quantizer = Quantizer::read(graph, node);
  if (!quantizer)
    return quantizer.takeError();
  if (graph.isConstant(node.input(0))) {
    Entry weight;
    weight.kind = Kind::Weight;
    weight.quantizer = std::move(*quantizer);
    weight.constant = node.input(0);
    return weight;
  }
  Expected<Entry> input = getOperand(
      node, 0,
      {Kind::Image, Kind::Codes, Kind::Sums, Kind::Carrier, Kind::Added},
      "an activation or an initializer");
  if (!input)
    return input.takeError();
  if (quantizer->isCarrier) {
    if (input->kind == Kind::Codes)
      input = toSums(*input);
    if (!input)
      return input;
    if (!input->isSum() && input->kind != Kind::Added)
      return fail("HP17: a 16-bit Quant follows a sum or codes, but its input "
                  "is " +
                  describe(input->kind));
    return toCarrier(*input, quantizer->steps.values[0]);
  }
  if (input->kind == Kind::Added)
    return fail("HP17: the Add of two carriers must first pass the 16-bit "
                "Quant of their scale, then this one");
  if (input->isSum())
    return toCodes(*input, *quantizer);
  Expected<ActivationGrid> grid = ActivationGrid::get(*quantizer, input->shape);
  if (!grid)
    return grid.takeError();
  if (input->kind == Kind::Codes) {
    if (*grid != input->grid)
      return fail("its input is quantized already, on another grid; quantize "
                  "once");
    return input;
  }
  Expected<mlir::Value> value = emitter.quantize(input->value, *grid);
  if (!value)
    return value.takeError();
  input->kind = Kind::Codes;
  input->value = *value;
  input->grid = std::move(*grid);
  return input;
}

/// Strides, pads and dilations of Conv and AveragePool.
static Expected<Window> getWindow(const Attributes &attributes,
                                  ArrayRef<int64_t> kernel) {
  Expected<std::string> autoPad = attributes.getString("auto_pad", "NOTSET");
  if (!autoPad)
    return autoPad.takeError();
  if (*autoPad != "NOTSET")
    return fail("auto_pad = " + *autoPad + " is not supported; give pads");
  Window window;
  window.kernel.assign(kernel.begin(), kernel.end());
  auto read = [&](StringRef name, size_t count, int64_t byDefault,
                  SmallVector<int64_t> &into) -> Error {
    auto values = attributes.getInts(name, count, byDefault, byDefault);
    if (!values)
      return values.takeError();
    into = std::move(*values);
    return Error::success();
  };
  if (Error error = read("strides", 2, 1, window.strides))
    return error;
  if (Error error = read("pads", 4, 0, window.pads))
    return error;
  if (Error error = read("dilations", 2, 1, window.dilations))
    return error;
  return window;
}

Expected<Entry> Importer::importConv(const NodeProto &node) {
  Expected<Attributes> attributes =
      Attributes::get(node, {"auto_pad", "dilations", "group", "kernel_shape",
                             "pads", "strides"});
  if (!attributes)
    return attributes.takeError();
  Expected<Entry> input = getCodes(node, 4);
  if (!input)
    return input.takeError();
  Expected<int64_t> groups = attributes->getInt("group", 1);
  if (!groups)
    return groups.takeError();
  Expected<WeightGrid> weight =
      getWeight(node, 4, *groups, /*transposed=*/false);
  if (!weight)
    return weight.takeError();
  ArrayRef<int64_t> kernel = ArrayRef(weight->shape).drop_front(2);
  Expected<SmallVector<int64_t>> kernelShape =
      attributes->getInts("kernel_shape", 2, 1, 1);
  if (!kernelShape)
    return kernelShape.takeError();
  if (attributes->has("kernel_shape") && ArrayRef(*kernelShape) != kernel)
    return fail("kernel_shape is " + toString(*kernelShape) +
                ", the weight's is " + toString(kernel));
  Expected<Window> window = getWindow(*attributes, kernel);
  if (!window)
    return window.takeError();
  Expected<std::vector<double>> bias = getBias(node, weight->shape[0]);
  if (!bias)
    return bias.takeError();
  Expected<mlir::Value> value =
      emitter.conv(input->value, *weight, node.input(1), *window, *groups);
  if (!value)
    return value.takeError();
  return getSums(*value, *input, *weight, std::move(*bias));
}

Expected<Entry> Importer::importGemm(const NodeProto &node) {
  bool isMatMul = node.op_type() == "MatMul";
  SmallVector<StringRef> known;
  if (!isMatMul)
    known = {"alpha", "beta", "transA", "transB"};
  Expected<Attributes> attributes = Attributes::get(node, known);
  if (!attributes)
    return attributes.takeError();
  for (StringRef name : {"alpha", "beta"}) {
    Expected<double> factor = attributes->getFloat(name, 1);
    if (!factor)
      return factor.takeError();
    if (*factor != 1)
      return fail(name + " is " + number(*factor) + "; only 1 is allowed");
  }
  Expected<int64_t> transA = attributes->getInt("transA", 0);
  if (!transA)
    return transA.takeError();
  Expected<int64_t> transB = attributes->getInt("transB", 0);
  if (!transB)
    return transB.takeError();
  if (*transA != 0)
    return fail("transA must be 0");
  Expected<Entry> input = getCodes(node, 2);
  if (!input)
    return input.takeError();
  Expected<WeightGrid> weight =
      getWeight(node, 2, /*groups=*/1, /*transposed=*/*transB == 0);
  if (!weight)
    return weight.takeError();
  Expected<std::vector<double>> bias = getBias(node, weight->shape[0]);
  if (!bias)
    return bias.takeError();
  Expected<mlir::Value> value =
      emitter.matmul(input->value, *weight, node.input(1));
  if (!value)
    return value.takeError();
  return getSums(*value, *input, *weight, std::move(*bias));
}

Expected<Entry> Importer::importBatchNorm(const NodeProto &node) {
  Expected<Attributes> attributes =
      Attributes::get(node, {"epsilon", "momentum", "training_mode"});
  if (!attributes)
    return attributes.takeError();
  Expected<double> epsilon = attributes->getFloat("epsilon", 1e-5F);
  if (!epsilon)
    return epsilon.takeError();
  Expected<int64_t> training = attributes->getInt("training_mode", 0);
  if (!training)
    return training.takeError();
  if (*training != 0)
    return fail("training_mode must be 0; export the network in evaluation");
  Expected<Entry> entry = getOperand(node, 0, {Kind::Sums, Kind::Carrier},
                                     "an accumulator or a 16-bit carrier");
  if (!entry)
    return entry;
  if (entry->norm || entry->relu)
    return fail("HP19: only one BatchNormalization, before the Relu, is "
                "allowed between a sum and its Quant");
  SmallVector<Constant> parts;
  for (int i = 1; i < 5; ++i) {
    Expected<Constant> part = getParameter(node.input(i));
    if (!part)
      return part.takeError();
    if (part->type != TensorProto::FLOAT ||
        ArrayRef(part->shape) != ArrayRef(entry->shape[1]) ||
        part->values.size() != entry->unit.size())
      return fail("'" + printable(node.input(i)) + "' has " +
                  onnx_import::describe(*part) + "; expected [" +
                  Twine(entry->unit.size()) + "] of floats (type 1)");
    parts.push_back(std::move(*part));
  }
  entry->norm.emplace();
  for (size_t c = 0; c < entry->unit.size(); ++c)
    entry->norm->push_back({parts[0].values[c], parts[1].values[c],
                            parts[2].values[c], parts[3].values[c], *epsilon});
  return entry;
}

Expected<Entry> Importer::importRelu(const NodeProto &node) {
  Expected<Attributes> attributes = Attributes::get(node, {});
  if (!attributes)
    return attributes.takeError();
  // Of a sum it is part of the carrier that the sum becomes (HP17).
  Expected<Entry> entry =
      getOperand(node, 0, {Kind::Sums, Kind::Carrier, Kind::Added},
                 "an accumulator or a 16-bit carrier");
  if (entry)
    entry->relu = true;
  return entry;
}

Expected<Entry> Importer::importClip(const NodeProto &node) {
  Expected<Attributes> attributes = Attributes::get(node, {});
  if (!attributes)
    return attributes.takeError();
  Expected<Entry> entry = getOperand(node, 0, {Kind::Sums, Kind::Carrier},
                                     "an accumulator or a 16-bit carrier");
  if (!entry)
    return entry;
  SmallVector<double, 2> bounds;
  for (int i : {1, 2}) {
    if (i >= node.input_size() || node.input(i).empty())
      return fail("input " + Twine(i) +
                  " is missing; a Clip needs both its "
                  "bounds, constants, the lower one 0");
    Expected<Constant> bound = graph.getConstant(node.input(i));
    if (!bound)
      return bound.takeError();
    if (bound->type != TensorProto::FLOAT || bound->values.size() != 1)
      return fail("'" + printable(node.input(i)) + "' has " +
                  onnx_import::describe(*bound) +
                  "; expected one float (type 1)");
    bounds.push_back(bound->values[0]);
  }
  if (bounds[0] != 0 || !(bounds[1] > 0))
    return fail("HP20: it clips to [" + number(bounds[0]) + ", " +
                number(bounds[1]) +
                "]; only from 0 to a positive number is allowed");
  entry->relu = true;
  entry->top = std::min(entry->top, bounds[1]);
  return entry;
}

Expected<Entry> Importer::importBias(const NodeProto &node, int sums,
                                     int constant) {
  Expected<Entry> entry = getOperand(
      node, sums, {Kind::Sums}, "an accumulator, to which a bias is added");
  if (!entry)
    return entry;
  if (entry->norm || entry->relu || entry->isFlat)
    return fail("a constant is added behind a BatchNormalization, Relu, Clip "
                "or Flatten; only straight behind a dot product it is a bias");
  Expected<Constant> bias = getParameter(node.input(constant));
  if (!bias)
    return bias.takeError();
  // [C] or [1, C] behind a product, [C, 1, 1] or [1, C, 1, 1] behind windows,
  // or one number.
  int64_t channels = entry->unit.size(), count = bias->values.size();
  SmallVector<int64_t> aligned(entry->shape.size(), 1);
  aligned[1] = channels;
  ArrayRef<int64_t> shape = bias->shape;
  bool fits = count == 1 ? shape.size() <= aligned.size()
                         : shape == ArrayRef(aligned) ||
                               shape == ArrayRef(aligned).drop_front();
  if (bias->type != TensorProto::FLOAT || !fits)
    return fail("'" + printable(node.input(constant)) + "' has " +
                onnx_import::describe(*bias) + "; a bias behind " +
                toString(entry->shape) + " has floats (type 1) and shape " +
                toString(aligned) + " or " +
                toString(ArrayRef(aligned).drop_front()) +
                ", or is one number");
  for (auto [c, sum] : llvm::enumerate(entry->bias))
    sum += bias->values[count == 1 ? 0 : c];
  return entry;
}

Expected<Entry> Importer::importAdd(const NodeProto &node) {
  Expected<Attributes> attributes = Attributes::get(node, {});
  if (!attributes)
    return attributes.takeError();
  for (int i : {0, 1})
    if (graph.isConstant(node.input(i)))
      return importBias(node, /*sums=*/1 - i, /*constant=*/i);
  constexpr StringRef wanted =
      "a 16-bit carrier (a Quant with bit_width = 16 before the Add)";
  Expected<Entry> lhs = getOperand(node, 0, Kind::Carrier, wanted);
  if (!lhs)
    return lhs;
  Expected<Entry> rhs = getOperand(node, 1, Kind::Carrier, wanted);
  if (!rhs)
    return rhs;
  for (const Entry *operand : {&*lhs, &*rhs})
    if (operand->norm || operand->relu || operand->isFlat)
      return fail("HP17: expected " + wanted);
  if (lhs->delta != rhs->delta)
    return fail("HP17: its inputs are carriers of scale " + number(lhs->delta) +
                " and " + number(rhs->delta) + "; they must be equal");
  if (lhs->shape != rhs->shape)
    return fail("its inputs have shapes " + toString(lhs->shape) + " and " +
                toString(rhs->shape) + "; they must be equal");
  Expected<mlir::Value> value = emitter.add(lhs->value, rhs->value);
  if (!value)
    return value.takeError();
  lhs->kind = Kind::Added;
  lhs->value = *value;
  return lhs;
}

Expected<Entry> Importer::importPool(const NodeProto &node) {
  bool isGlobal = node.op_type() == "GlobalAveragePool";
  SmallVector<StringRef> known;
  if (!isGlobal)
    known = {"auto_pad",  "ceil_mode", "count_include_pad",
             "dilations", "pads",      "kernel_shape",
             "strides"};
  Expected<Attributes> attributes = Attributes::get(node, known);
  if (!attributes)
    return attributes.takeError();
  Expected<Entry> input = getCodes(node, 4);
  if (!input)
    return input.takeError();
  SmallVector<int64_t> kernel(ArrayRef(input->shape).drop_front(2));
  if (!isGlobal) {
    if (!attributes->has("kernel_shape"))
      return fail("attribute 'kernel_shape' is missing");
    auto given = attributes->getInts("kernel_shape", 2, 1, 1);
    if (!given)
      return given.takeError();
    kernel = std::move(*given);
  }
  Expected<Window> window = getWindow(*attributes, kernel);
  if (!window)
    return window.takeError();
  Expected<int64_t> ceil = attributes->getInt("ceil_mode", 0);
  if (!ceil)
    return ceil.takeError();
  Expected<int64_t> counted = attributes->getInt("count_include_pad", 0);
  if (!counted)
    return counted.takeError();
  if (*ceil != 0 || window->dilations != SmallVector<int64_t>{1, 1})
    return fail("ceil_mode and dilations are not supported");
  if (*counted == 0 && llvm::any_of(window->pads, [](int64_t p) { return p; }))
    return fail("HP14: padding is counted; set count_include_pad = 1 or pads "
                "to 0");
  return sumCodes(*input, *window);
}

Expected<Entry> Importer::sumCodes(const Entry &codes, const Window &window) {
  Expected<mlir::Value> value = emitter.sumPool(codes.value, window);
  if (!value)
    return value.takeError();
  Entry sums;
  sums.kind = Kind::Sums;
  sums.value = *value;
  sums.shape.assign(Emitter::shapeOf(*value).begin(),
                    Emitter::shapeOf(*value).end());
  for (int8_t bits : codes.grid.bits)
    sums.unit.push_back(reference::meanPoolUnit(
        bits, codes.grid.scale, window.kernel[0], window.kernel[1]));
  sums.bias.assign(sums.unit.size(), 0.0);
  return sums;
}

Expected<Entry> Importer::toSums(const Entry &codes) {
  if (codes.grid.grid != reference::Grid::Unsigned ||
      !llvm::all_equal(codes.grid.bits) || codes.shape.size() != 4)
    return fail("HP17: only codes [N, C, H, W] of one precision on the "
                "unsigned grid become a 16-bit carrier");
  return sumCodes(codes, Window{.kernel = {1, 1},
                                .strides = {1, 1},
                                .pads = {0, 0, 0, 0},
                                .dilations = {1, 1}});
}

/// Pads behind the last row and column that complete windows which `ceil_mode`
/// begins: those that begin inside the image or the padding in front of it.
static void padLastWindows(Window &window, ArrayRef<int64_t> image) {
  for (int axis : {0, 1}) {
    int64_t before = window.pads[axis], &after = window.pads[axis + 2];
    int64_t padded = image[axis] + before + after;
    int64_t kernel = window.kernel[axis], stride = window.strides[axis];
    if (kernel - padded >= stride)
      continue; // no window: refused later
    int64_t last =
        llvm::divideCeil(std::max<int64_t>(0, padded - kernel), stride);
    if (last * stride >= image[axis] + before)
      --last;
    after = std::max(after, last * stride + kernel - image[axis] - before);
  }
}

Expected<Entry> Importer::importMaxPool(const NodeProto &node) {
  Expected<Attributes> attributes =
      Attributes::get(node, {"auto_pad", "ceil_mode", "dilations", "pads",
                             "kernel_shape", "storage_order", "strides"});
  if (!attributes)
    return attributes.takeError();
  Expected<Entry> codes = getCodes(node, 4);
  if (!codes)
    return codes;
  if (!attributes->has("kernel_shape"))
    return fail("attribute 'kernel_shape' is missing");
  auto kernel = attributes->getInts("kernel_shape", 2, 1, 1);
  if (!kernel)
    return kernel.takeError();
  Expected<Window> window = getWindow(*attributes, *kernel);
  if (!window)
    return window.takeError();
  Expected<int64_t> ceil = attributes->getInt("ceil_mode", 0);
  if (!ceil)
    return ceil.takeError();
  Expected<int64_t> order = attributes->getInt("storage_order", 0);
  if (!order)
    return order.takeError();
  if (*order != 0 || window->dilations != SmallVector<int64_t>{1, 1})
    return fail("storage_order and dilations are not supported");
  if (*ceil != 0)
    padLastWindows(*window, ArrayRef(codes->shape).drop_front(2));
  Expected<mlir::Value> value = emitter.maxPool(codes->value, *window);
  if (!value)
    return value.takeError();
  codes->value = *value;
  codes->shape.assign(Emitter::shapeOf(*value).begin(),
                      Emitter::shapeOf(*value).end());
  return codes;
}

Expected<Entry> Importer::flattenEntry(Entry entry) {
  if (entry.shape.size() == 2)
    return entry;
  if (entry.shape.size() != 4)
    return fail("its input has shape " + toString(entry.shape) +
                "; expected [N, C, H, W]");
  int64_t pixels = entry.shape[2] * entry.shape[3];
  entry.shape = {entry.shape[0], entry.shape[1] * pixels};
  if (entry.isSum()) {
    entry.isFlat = true;
    return entry;
  }
  Expected<mlir::Value> value = emitter.flatten(entry.value);
  if (!value)
    return value.takeError();
  entry.value = *value;
  SmallVector<int8_t> bits;
  for (int8_t p : entry.grid.bits)
    bits.append(pixels, p);
  entry.grid.bits = std::move(bits);
  return entry;
}

static constexpr StringRef flattens =
    "quantized codes, an accumulator or a carrier";

Expected<Entry> Importer::importFlatten(const NodeProto &node) {
  Expected<Attributes> attributes = Attributes::get(node, {"axis"});
  if (!attributes)
    return attributes.takeError();
  Expected<int64_t> axis = attributes->getInt("axis", 1);
  if (!axis)
    return axis.takeError();
  if (*axis != 1)
    return fail("axis is " + Twine(*axis) + "; only 1 is allowed");
  Expected<Entry> entry =
      getOperand(node, 0, {Kind::Codes, Kind::Sums, Kind::Carrier}, flattens);
  if (!entry)
    return entry;
  return flattenEntry(std::move(*entry));
}

Expected<Entry> Importer::importReshape(const NodeProto &node) {
  Expected<Attributes> attributes = Attributes::get(node, {"allowzero"});
  if (!attributes)
    return attributes.takeError();
  Expected<int64_t> allowZero = attributes->getInt("allowzero", 0);
  if (!allowZero)
    return allowZero.takeError();
  Expected<Entry> entry =
      getOperand(node, 0, {Kind::Codes, Kind::Sums, Kind::Carrier}, flattens);
  if (!entry)
    return entry;
  Expected<Constant> shape = graph.getConstant(node.input(1));
  if (!shape)
    return shape.takeError();
  int64_t batch = entry->shape[0], features = 1;
  for (int64_t size : ArrayRef(entry->shape).drop_front())
    features *= size;
  ArrayRef<double> to = shape->values;
  bool isFlat = shape->type == TensorProto::INT64 && shape->shape.size() == 1 &&
                to.size() == 2;
  if (isFlat) {
    bool keepsBatch = to[0] == double(batch) || (to[0] == 0 && !*allowZero);
    isFlat = (keepsBatch && (to[1] == -1 || to[1] == double(features))) ||
             (to[0] == -1 && to[1] == double(features));
  }
  if (!isFlat)
    return fail("only a flattening of " + toString(entry->shape) + " to [" +
                Twine(batch) + ", -1] is allowed");
  return flattenEntry(std::move(*entry));
}

Expected<Entry> Importer::importIdentity(const NodeProto &node) {
  auto it = entries.find(node.input(0));
  if (it == entries.end())
    return fail("its input is missing");
  return it->second;
}
