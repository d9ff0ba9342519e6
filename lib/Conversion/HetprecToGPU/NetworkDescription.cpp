//===- NetworkDescription.cpp - Kernels in order, and their buffers -------===//

#include "NetworkDescription.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "sysmol/Conversion/HetprecToGPU/HetprecToGPU.h"
#include <map>

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

/// Of constants and of the arena's buffers, as allocations have it.
static constexpr int64_t kAlignment = 256;

namespace {

/// Memory that launches share.
struct NetworkBuffer {
  int64_t bytes;
  StringRef role; ///< input, output, constant or scratch
  int64_t offset = 0;
  /// First and last launch that touches it.
  int64_t first = 0, last = 0;
  NamedAttrList elements = {};
};

class Network {
public:
  Network(func::FuncOp function, const llvm::StringMap<KernelProgram> &programs)
      : function(function), programs(programs), b(function.getContext()) {}
  LogicalResult build();
  DictionaryAttr describe();
  DenseElementsAttr getConstants();

private:
  void addArgument(BlockArgument argument);
  LogicalResult addCall(func::CallOp call);
  LogicalResult addResult(OpOperand &returned);
  /// The buffer of `argument` of a kernel that `call` runs.
  FailureOr<std::string> bind(func::CallOp call, const KernelProgram &program,
                              const Buffer &argument);
  std::string add(const Twine &name, NetworkBuffer buffer);
  std::string addConstant(const Twine &name, ArrayRef<char> bytes);
  std::string addConstant(const Twine &name, ArrayRef<int32_t> words) {
    return addConstant(
        name, ArrayRef<char>(reinterpret_cast<const char *>(words.data()),
                             words.size() * 4));
  }
  void placeScratch();

  func::FuncOp function;
  const llvm::StringMap<KernelProgram> &programs;
  Builder b;
  std::map<std::string, NetworkBuffer> buffers;
  DenseMap<Value, std::string> nameOf;
  std::string constants;
  SmallVector<Attribute> launches, inputs, outputs;
  int64_t arenaBytes = 0;
};

} // namespace

/// What `value` is if it is a constant, or null.
static DenseElementsAttr getConstant(Value value) {
  auto constant = value.getDefiningOp<arith::ConstantOp>();
  return constant ? dyn_cast<DenseElementsAttr>(constant.getValue())
                  : DenseElementsAttr();
}

std::string Network::add(const Twine &name, NetworkBuffer buffer) {
  std::string unique = name.str();
  while (buffers.count(unique))
    unique += '_';
  buffer.first = buffer.last = launches.size();
  buffers[unique] = std::move(buffer);
  return unique;
}

std::string Network::addConstant(const Twine &name, ArrayRef<char> bytes) {
  constants.resize(llvm::alignTo(constants.size(), kAlignment));
  NetworkBuffer buffer = {int64_t(bytes.size()), "constant",
                          int64_t(constants.size())};
  constants.append(bytes.begin(), bytes.end());
  return add(name, buffer);
}

static StringRef getElementName(ShapedType type) {
  Type element = type.getElementType();
  return element.isF32()         ? "f32"
         : element.isInteger(32) ? "i32"
         : element.isInteger(16) ? "i16"
                                 : "i8";
}

void Network::addArgument(BlockArgument argument) {
  auto type = cast<RankedTensorType>(argument.getType());
  int64_t width = type.getElementTypeBitWidth() / 8;
  NetworkBuffer buffer = {type.getNumElements() * width, "input"};
  describeElements(b, buffer.elements, getElementName(type), type.getShape(),
                   computeStrides(type.getShape()));
  auto name = function.getArgAttrOfType<StringAttr>(argument.getArgNumber(),
                                                    "hetprec.name");
  std::string unique =
      add(name ? name.getValue() : "input" + Twine(argument.getArgNumber()),
          buffer);
  inputs.push_back(b.getStringAttr(unique));
  nameOf[argument] = unique;
}

FailureOr<std::string> Network::bind(func::CallOp call,
                                     const KernelProgram &program,
                                     const Buffer &argument) {
  std::string name = (call.getCallee() + "." + argument.name).str();
  if (!argument.contents.empty())
    return addConstant(name, argument.contents);
  if (argument.role == "weights" || argument.role == "row_bias") {
    DenseElementsAttr constant =
        getConstant(call.getOperand(argument.argument));
    if (!constant)
      return call.emitOpError("must have constant weights");
    auto codes = llvm::to_vector(constant.getValues<int8_t>());
    if (argument.role == "weights")
      return addConstant(name, program.packWeights(codes));
    std::vector<int32_t> bias = program.layout->getRowBias(codes);
    bias.resize(argument.size);
    return addConstant(name, bias);
  }
  if (argument.argument >= 0) {
    Value operand = call.getOperand(argument.argument);
    if (DenseElementsAttr constant = getConstant(operand)) {
      SmallVector<char> bytes;
      int64_t copies = constant.isSplat() ? constant.getNumElements() : 1;
      for (int64_t i = 0; i < copies; ++i)
        llvm::append_range(bytes, constant.getRawData());
      return addConstant(name, bytes);
    }
    auto found = nameOf.find(operand);
    if (found == nameOf.end())
      return call.emitOpError("reads what no kernel makes; allowed are results "
                              "of calls, arguments and dense constants");
    return found->second;
  }
  return add(name, {getBytes(argument), "scratch"});
}

LogicalResult Network::addCall(func::CallOp call) {
  auto found = programs.find(call.getCallee());
  if (found == programs.end())
    return call.emitOpError() << "calls '" << call.getCallee()
                              << "', which is no kernel; allowed are functions "
                                 "that hetprec-outline-kernels made";
  const KernelProgram &program = found->second;
  llvm::StringMap<std::string> names; // of this call's arguments
  for (const Launch &launch : program.launches) {
    for (const Buffer &argument : launch.arguments) {
      std::string &name = names[argument.name];
      if (name.empty()) {
        FailureOr<std::string> bound = bind(call, program, argument);
        if (failed(bound))
          return failure();
        name = *bound;
      }
      buffers[name].last = launches.size();
      if (argument.role == "output")
        nameOf[call.getResult(argument.result)] = name;
    }
    launches.push_back(
        describeLaunch(b, launch, [&](const Buffer &argument) -> StringRef {
          return names[argument.name];
        }));
  }
  return success();
}

LogicalResult Network::addResult(OpOperand &returned) {
  Value value = returned.get();
  auto type = cast<RankedTensorType>(value.getType());
  auto found = nameOf.find(value);
  if (found == nameOf.end() || buffers[found->second].role != "scratch")
    return returned.getOwner()->emitOpError(
        "must return the results of kernels, each once; arguments and "
        "constants go through hetprec-outline-kernels");
  NetworkBuffer buffer = buffers[found->second];
  buffer.role = "output";
  // Pixel by pixel.
  ArrayRef<int64_t> shape = type.getShape();
  SmallVector<int64_t> strides = {shape[1], 1};
  if (shape.size() == 4)
    strides = {shape[1] * shape[2] * shape[3], 1, shape[1] * shape[3],
               shape[1]};
  describeElements(b, buffer.elements, getElementName(type), shape, strides);
  auto name = function.getResultAttrOfType<StringAttr>(
      returned.getOperandNumber(), "hetprec.name");
  std::string old = found->second;
  std::string unique = add(name ? name.getValue()
                                : "output" + Twine(returned.getOperandNumber()),
                           buffer);
  buffers.erase(old);
  outputs.push_back(b.getStringAttr(unique));
  found->second = unique;
  // In the launches that are described already.
  for (Attribute &launch : launches)
    launch = launch.replace([&](StringAttr text) {
      return text.getValue() == old ? b.getStringAttr(unique) : text;
    });
  return success();
}

void Network::placeScratch() {
  SmallVector<NetworkBuffer *> scratch, placed;
  for (auto &[name, buffer] : buffers)
    if (buffer.role == "scratch")
      scratch.push_back(&buffer);
  llvm::stable_sort(scratch, [](NetworkBuffer *lhs, NetworkBuffer *rhs) {
    return lhs->first < rhs->first;
  });
  for (NetworkBuffer *each : scratch) {
    NetworkBuffer &buffer = *each;
    // The first place that no buffer has that is needed at the same time.
    for (bool moved = true; moved;) {
      moved = false;
      for (NetworkBuffer *other : placed)
        if (other->first <= buffer.last && buffer.first <= other->last &&
            other->offset < buffer.offset + buffer.bytes &&
            buffer.offset < other->offset + other->bytes) {
          buffer.offset =
              llvm::alignTo(other->offset + other->bytes, kAlignment);
          moved = true;
        }
    }
    placed.push_back(each);
    arenaBytes = std::max(arenaBytes, buffer.offset + buffer.bytes);
  }
}

LogicalResult Network::build() {
  for (BlockArgument argument : function.getArguments())
    addArgument(argument);
  Block &body = function.getBody().front();
  for (Operation &op : body.without_terminator()) {
    if (op.hasTrait<OpTrait::ConstantLike>())
      continue;
    auto call = dyn_cast<func::CallOp>(op);
    if (!call)
      return op.emitOpError("has no GPU kernel; allowed are calls of kernels "
                            "and constants");
    if (failed(addCall(call)))
      return failure();
  }
  for (OpOperand &returned : body.getTerminator()->getOpOperands())
    if (failed(addResult(returned)))
      return failure();
  placeScratch();
  return success();
}

DictionaryAttr Network::describe() {
  NamedAttrList list;
  for (auto &[name, buffer] : buffers) {
    NamedAttrList fields = buffer.elements;
    fields.append("bytes", b.getI64IntegerAttr(buffer.bytes));
    fields.append("role", b.getStringAttr(buffer.role));
    if (buffer.role == "constant" || buffer.role == "scratch")
      fields.append("offset", b.getI64IntegerAttr(buffer.offset));
    list.append(name, fields.getDictionary(b.getContext()));
  }
  return b.getDictionaryAttr(
      {b.getNamedAttr("arena_bytes", b.getI64IntegerAttr(arenaBytes)),
       b.getNamedAttr("buffers", list.getDictionary(b.getContext())),
       b.getNamedAttr("inputs", b.getArrayAttr(inputs)),
       b.getNamedAttr("outputs", b.getArrayAttr(outputs)),
       b.getNamedAttr("launches", b.getArrayAttr(launches))});
}

DenseElementsAttr Network::getConstants() {
  auto type = RankedTensorType::get({int64_t(constants.size())}, b.getI8Type());
  return DenseElementsAttr::getFromRawBuffer(
      type, ArrayRef<char>(constants.data(), constants.size()));
}

LogicalResult
sysmol::describeNetwork(func::FuncOp function,
                        const llvm::StringMap<KernelProgram> &programs,
                        ModuleOp module) {
  Network network(function, programs);
  if (failed(network.build()))
    return failure();
  module->setAttr(kNetworkAttr, network.describe());
  module->setAttr(kConstantsAttr, network.getConstants());
  return success();
}
