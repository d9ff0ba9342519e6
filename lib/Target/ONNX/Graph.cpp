//===- Graph.cpp - A checked ONNX graph -----------------------------------===//

#include "Graph.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/Format.h"

#include <cmath>

using namespace sysmol::onnx_import;
using llvm::ArrayRef;
using llvm::Expected;
using llvm::SmallVector;
using llvm::StringRef;
using llvm::Twine;
using ::onnx::AttributeProto;
using ::onnx::TensorProto;

//===----------------------------------------------------------------------===//
// Words
//===----------------------------------------------------------------------===//

llvm::Error sysmol::onnx_import::fail(const Twine &reason) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), reason);
}

std::string sysmol::onnx_import::printable(StringRef text) {
  constexpr size_t longest = 200;
  std::string result;
  for (char c : text.take_front(longest))
    result += llvm::isPrint(c) ? c : '?';
  return text.size() > longest ? result + "..." : result;
}

std::string sysmol::onnx_import::number(double value) {
  std::string text;
  llvm::raw_string_ostream(text) << llvm::format("%.9g", value);
  return text;
}

std::string sysmol::onnx_import::toString(ArrayRef<int64_t> shape) {
  std::string text = "[";
  llvm::raw_string_ostream os(text);
  llvm::interleaveComma(shape, os);
  return text + "]";
}

StringRef sysmol::onnx_import::getName(const NodeProto &node) {
  if (!node.name().empty())
    return node.name();
  return node.output_size() ? StringRef(node.output(0)) : StringRef();
}

std::string sysmol::onnx_import::describe(const NodeProto &node) {
  return "node '" + printable(getName(node)) + "' (" +
         printable(node.op_type()) + ")";
}

Expected<int64_t> sysmol::onnx_import::countElements(ArrayRef<int64_t> shape) {
  int64_t count = 1;
  for (int64_t size : shape) {
    if (size < 1 || size > maxDimension)
      return fail("shape " + toString(shape) +
                  " has a dimension outside [1, 2^24]");
    // Both factors are below 2^32.
    count *= size;
    if (count > maxElements)
      return fail("shape " + toString(shape) + " has more than 2^31 elements");
  }
  return count;
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

std::string sysmol::onnx_import::describe(const Constant &constant) {
  return "type " + std::to_string(constant.type) + " and shape " +
         toString(constant.shape);
}

/// Bytes of an element in `raw_data`, 0 for a type that is not supported.
static int64_t getElementSize(int32_t type) {
  switch (type) {
  case TensorProto::FLOAT:
  case TensorProto::INT32:
    return 4;
  case TensorProto::DOUBLE:
  case TensorProto::INT64:
    return 8;
  case TensorProto::INT8:
  case TensorProto::UINT8:
  case TensorProto::BOOL:
    return 1;
  default:
    return 0;
  }
}

template <typename T>
static void readRaw(StringRef raw, std::vector<double> &values) {
  for (size_t i = 0; i < raw.size(); i += sizeof(T))
    values.push_back(static_cast<double>(
        llvm::support::endian::read<T, llvm::endianness::little>(raw.data() +
                                                                 i)));
}

static void readRaw(int32_t type, StringRef raw, std::vector<double> &values) {
  switch (type) {
  case TensorProto::FLOAT:
    return readRaw<float>(raw, values);
  case TensorProto::DOUBLE:
    return readRaw<double>(raw, values);
  case TensorProto::INT32:
    return readRaw<int32_t>(raw, values);
  case TensorProto::INT64:
    return readRaw<int64_t>(raw, values);
  case TensorProto::INT8:
    return readRaw<int8_t>(raw, values);
  default:
    return readRaw<uint8_t>(raw, values);
  }
}

/// Checks the size before anything is allocated.
static Expected<Constant> readTensor(const TensorProto &tensor) {
  Constant constant;
  constant.type = tensor.data_type();
  int64_t size = getElementSize(tensor.data_type());
  if (!size)
    return fail("element type " + Twine(tensor.data_type()) +
                " is not supported; allowed are float, double and integers");
  if (tensor.data_location() == TensorProto::EXTERNAL ||
      tensor.external_data_size())
    return fail("its data lies in another file; save the model as one file");
  if (tensor.has_segment())
    return fail("it is stored in segments, which is not supported");
  if (tensor.dims_size() > 8)
    return fail("it has rank " + Twine(tensor.dims_size()) +
                "; at most 8 is allowed");
  constant.shape.assign(tensor.dims().begin(), tensor.dims().end());
  Expected<int64_t> count = countElements(constant.shape);
  if (!count)
    return count.takeError();
  int64_t stored;
  if (tensor.has_raw_data()) {
    int64_t bytes = tensor.raw_data().size();
    if (bytes != *count * size)
      return fail("it has " + Twine(bytes) + " bytes of data, its shape " +
                  toString(constant.shape) + " needs " + Twine(*count * size));
    constant.values.reserve(*count);
    readRaw(constant.type, tensor.raw_data(), constant.values);
    return constant;
  }
  auto copy = [&](const auto &field) {
    stored = field.size();
    if (stored == *count)
      constant.values.assign(field.begin(), field.end());
  };
  switch (constant.type) {
  case TensorProto::FLOAT:
    copy(tensor.float_data());
    break;
  case TensorProto::DOUBLE:
    copy(tensor.double_data());
    break;
  case TensorProto::INT64:
    copy(tensor.int64_data());
    break;
  default:
    copy(tensor.int32_data());
    break;
  }
  if (stored != *count)
    return fail("it has " + Twine(stored) + " elements, its shape " +
                toString(constant.shape) + " needs " + Twine(*count));
  return constant;
}

Expected<Constant> Graph::getConstant(StringRef name) const {
  std::string quoted = "'" + printable(name) + "'";
  auto it = constants.find(name);
  if (it == constants.end())
    return fail(quoted + " must be a constant (an initializer)");
  Expected<Constant> constant = readTensor(*it->second);
  if (!constant)
    return fail("constant " + quoted + ": " +
                llvm::toString(constant.takeError()));
  for (double value : constant->values)
    if (!std::isfinite(value))
      return fail("constant " + quoted +
                  " holds NaN or infinity; every "
                  "parameter must be finite");
  return constant;
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

Expected<Attributes> Attributes::get(const NodeProto &node,
                                     ArrayRef<StringRef> known) {
  for (const AttributeProto &attribute : node.attribute())
    if (!llvm::is_contained(known, StringRef(attribute.name())))
      return fail("attribute '" + printable(attribute.name()) +
                  "' is not supported; allowed are " +
                  (known.empty() ? "none" : llvm::join(known, ", ")));
  return Attributes(node);
}

const AttributeProto *Attributes::find(StringRef name) const {
  for (const AttributeProto &attribute : node->attribute())
    if (attribute.name() == name)
      return &attribute;
  return nullptr;
}

static llvm::Error wrongType(StringRef name, StringRef type) {
  return fail("attribute '" + name + "' must be " + type);
}

Expected<int64_t> Attributes::getInt(StringRef name, int64_t byDefault) const {
  const AttributeProto *attribute = find(name);
  if (!attribute)
    return byDefault;
  if (attribute->type() != AttributeProto::INT)
    return wrongType(name, "an integer");
  return attribute->i();
}

Expected<double> Attributes::getFloat(StringRef name, double byDefault) const {
  const AttributeProto *attribute = find(name);
  if (!attribute)
    return byDefault;
  if (attribute->type() != AttributeProto::FLOAT ||
      !std::isfinite(attribute->f()))
    return wrongType(name, "a finite number");
  return attribute->f();
}

Expected<std::string> Attributes::getString(StringRef name,
                                            StringRef byDefault) const {
  const AttributeProto *attribute = find(name);
  if (!attribute)
    return byDefault.str();
  if (attribute->type() != AttributeProto::STRING)
    return wrongType(name, "a string");
  return printable(attribute->s());
}

Expected<SmallVector<int64_t>> Attributes::getInts(StringRef name, size_t count,
                                                   int64_t byDefault,
                                                   int64_t least) const {
  const AttributeProto *attribute = find(name);
  if (!attribute)
    return SmallVector<int64_t>(count, byDefault);
  if (attribute->type() != AttributeProto::INTS ||
      size_t(attribute->ints_size()) != count)
    return wrongType(name, (Twine(count) + " integers").str());
  SmallVector<int64_t> values(attribute->ints().begin(),
                              attribute->ints().end());
  for (int64_t value : values)
    if (value < least || value > maxDimension)
      return fail("attribute '" + name + "' is " + toString(values) +
                  "; allowed is [" + Twine(least) + ", 2^24]");
  return values;
}

//===----------------------------------------------------------------------===//
// Graph
//===----------------------------------------------------------------------===//

Expected<std::unique_ptr<Graph>> Graph::parse(llvm::MemoryBufferRef buffer) {
  if (buffer.getBufferSize() == 0)
    return fail("the file is empty; expected an ONNX model");
  // Protobuf itself counts in 31 bits.
  if (buffer.getBufferSize() > INT32_MAX)
    return fail("the file has " + Twine(buffer.getBufferSize()) +
                " bytes; at most 2 GiB are allowed");
  auto graph = std::make_unique<Graph>();
  if (!graph->model.ParsePartialFromArray(
          buffer.getBufferStart(), static_cast<int>(buffer.getBufferSize())))
    return fail("this is not an ONNX model, or it is truncated or damaged");
  if (!graph->model.has_graph())
    return fail("the model has no graph; the file may be truncated");
  if (llvm::Error error = graph->index())
    return error;
  return graph;
}

llvm::Error Graph::index() {
  bool hasOpset = false;
  for (const auto &opset : model.opset_import()) {
    if (!opset.domain().empty() && opset.domain() != "ai.onnx")
      continue;
    hasOpset = true;
    if (opset.version() < 11)
      return fail("opset " + Twine(opset.version()) +
                  " is too old; export with opset 11 or later");
  }
  if (!hasOpset)
    return fail("the model imports no opset; the file may be truncated");
  const ::onnx::GraphProto &graph = model.graph();
  if (graph.sparse_initializer_size())
    return fail("sparse initializers are not supported; store them densely");

  for (const TensorProto &tensor : graph.initializer()) {
    if (tensor.name().empty())
      return fail("an initializer has no name");
    if (!constants.try_emplace(tensor.name(), &tensor).second)
      return fail("duplicate name: two initializers are called '" +
                  printable(tensor.name()) + "'");
    pending[tensor.name()] = false;
  }
  for (const auto &input : graph.input()) {
    if (constants.contains(input.name()))
      continue; // IR version 3 lists initializers as inputs, too
    if (inputInfo)
      return fail("the graph has inputs '" + printable(inputInfo->name()) +
                  "' and '" + printable(input.name()) +
                  "'; exactly one is allowed");
    inputInfo = &input;
  }
  if (!inputInfo || graph.output_size() != 1)
    return fail("the graph has " + Twine(graph.input_size()) +
                " inputs that are no constants and " +
                Twine(graph.output_size()) +
                " outputs; exactly one of each is allowed");
  pending[inputInfo->name()] = false;
  for (const NodeProto &node : graph.node())
    for (const std::string &output : node.output())
      if (!output.empty())
        pending.try_emplace(output, true);
  for (const NodeProto &node : graph.node())
    if (llvm::Error error = define(node))
      return fail(describe(node) + ": " + llvm::toString(std::move(error)));
  auto last = pending.find(output().name());
  if (last == pending.end())
    return fail("output '" + printable(output().name()) +
                "' is computed by no node");
  return llvm::Error::success();
}

llvm::Error Graph::define(const NodeProto &node) {
  auto isItsDomain = [&](const ::onnx::OperatorSetIdProto &opset) {
    return opset.domain() == node.domain();
  };
  if (!node.domain().empty() && node.domain() != "ai.onnx" &&
      llvm::none_of(model.opset_import(), isItsDomain))
    return fail("the model imports no opset of its domain '" +
                printable(node.domain()) + "'; the file may be truncated");
  for (const std::string &input : node.input()) {
    if (input.empty())
      continue; // an optional input left out
    auto it = pending.find(input);
    if (it == pending.end())
      return fail("input '" + printable(input) +
                  "' is defined nowhere; is an initializer missing?");
    if (it->second)
      return fail("input '" + printable(input) +
                  "' is computed by this or a later node; the graph must be "
                  "free of cycles and topologically sorted");
  }
  if (node.output_size() == 0 || node.output(0).empty())
    return fail("its output has no name");
  for (const std::string &output : node.output()) {
    if (output.empty())
      continue; // an optional output left out
    bool &undefined = pending[output];
    if (!undefined)
      return fail("duplicate name: output '" + printable(output) +
                  "' is defined before");
    undefined = false;
  }
  StringRef output = node.output(0);
  // Constants by other names.
  if (node.op_type() == "Identity" && node.input_size() == 1)
    if (const TensorProto *source = constants.lookup(node.input(0)))
      constants[output] = source;
  if (node.op_type() == "Constant") {
    if (node.attribute_size() != 1 || node.attribute(0).name() != "value" ||
        node.attribute(0).type() != AttributeProto::TENSOR)
      return fail("only a tensor in attribute 'value' is allowed");
    constants[output] = &node.attribute(0).t();
  }
  return llvm::Error::success();
}
