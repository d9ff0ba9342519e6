//===- Graph.h - A checked ONNX graph ---------------------------*- C++ -*-===//
//
// Reads the bytes, checks what no operator needs to know of (names, order,
// constants and their sizes) and hands out nodes, attributes and constants.
// Errors are reasons in words; the importer puts file and node in front.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_TARGET_ONNX_GRAPH_H
#define SYSMOL_LIB_TARGET_ONNX_GRAPH_H

#include "mlir/Support/LLVM.h"
#include "onnx/onnx_pb.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBufferRef.h"

#include <memory>
#include <string>
#include <vector>

namespace sysmol::onnx_import {

using ::onnx::NodeProto;

/// No dimension, and no tensor of the network, is larger than this.
inline constexpr int64_t maxDimension = int64_t(1) << 24;
inline constexpr int64_t maxElements = int64_t(1) << 31;

/// An error whose text is `reason`.
llvm::Error fail(const llvm::Twine &reason);

/// `text` on one line: foreign names may hold anything.
std::string printable(llvm::StringRef text);

/// Nine digits, which name every binary32.
std::string number(double value);

/// "[1, 16, 1, 1]".
std::string toString(llvm::ArrayRef<int64_t> shape);

/// The number of elements of a tensor of the network; refuses hostile shapes.
llvm::Expected<int64_t> countElements(llvm::ArrayRef<int64_t> shape);

/// A constant, its elements in double (exact for binary32 and for integers up
/// to 2^53).
struct Constant {
  llvm::SmallVector<int64_t> shape;
  /// ::onnx::TensorProto::DataType.
  int32_t type = 0;
  std::vector<double> values;
};

/// "type 1 and shape [4]".
std::string describe(const Constant &constant);

/// The attributes of a node, each of its type, all of them known.
class Attributes {
public:
  /// Fails when the node has an attribute that is not in `known`: ignoring it
  /// might change the network.
  static llvm::Expected<Attributes> get(const NodeProto &node,
                                        llvm::ArrayRef<llvm::StringRef> known);

  llvm::Expected<int64_t> getInt(llvm::StringRef name, int64_t byDefault) const;
  llvm::Expected<double> getFloat(llvm::StringRef name, double byDefault) const;
  llvm::Expected<std::string> getString(llvm::StringRef name,
                                        llvm::StringRef byDefault) const;
  /// `count` integers, all `byDefault` when absent, within [least, 2^24].
  llvm::Expected<llvm::SmallVector<int64_t>> getInts(llvm::StringRef name,
                                                     size_t count,
                                                     int64_t byDefault,
                                                     int64_t least) const;
  bool has(llvm::StringRef name) const { return find(name) != nullptr; }

private:
  explicit Attributes(const NodeProto &node) : node(&node) {}
  const ::onnx::AttributeProto *find(llvm::StringRef name) const;

  const NodeProto *node;
};

/// A model whose value names are unique and defined before they are used.
class Graph {
public:
  static llvm::Expected<std::unique_ptr<Graph>>
  parse(llvm::MemoryBufferRef buffer);

  const ::onnx::GraphProto &proto() const { return model.graph(); }
  /// The only input that is no constant.
  const ::onnx::ValueInfoProto &input() const { return *inputInfo; }
  const ::onnx::ValueInfoProto &output() const {
    return model.graph().output(0);
  }

  bool isConstant(llvm::StringRef name) const {
    return constants.contains(name);
  }
  /// The elements of a constant, all finite.
  llvm::Expected<Constant> getConstant(llvm::StringRef name) const;

private:
  llvm::Error index();
  llvm::Error define(const NodeProto &node);

  ::onnx::ModelProto model;
  const ::onnx::ValueInfoProto *inputInfo = nullptr;
  llvm::StringMap<const ::onnx::TensorProto *> constants;
  /// Everything defined so far; true for what a later node will define.
  llvm::StringMap<bool> pending;
};

/// "node 'NAME' (OpType)".
std::string describe(const NodeProto &node);

/// The name of a node, or of its output when it has none.
llvm::StringRef getName(const NodeProto &node);

} // namespace sysmol::onnx_import

#endif // SYSMOL_LIB_TARGET_ONNX_GRAPH_H
