//===- LaunchDescription.h - How kernels are launched -----------*- C++ -*-===//

#ifndef SYSMOL_CONVERSION_HETPRECTOGPU_LAUNCHDESCRIPTION_H
#define SYSMOL_CONVERSION_HETPRECTOGPU_LAUNCHDESCRIPTION_H

#include "KernelBuilder.h"
#include "PackedResults.h"
#include <functional>

namespace sysmol {

/// A buffer of a kernel, in the order of its arguments.
struct Buffer {
  llvm::StringRef name;
  mlir::Type element;
  int64_t size;
  llvm::StringRef role;
  bool isRead;
  /// In a network: the function's argument that it holds, or -1.
  int64_t argument = -1;
  /// In a network: what the function says that it holds, in 32-bit words.
  std::vector<int32_t> contents = {};
  /// In a network, of an output: the function's result that it is.
  int64_t result = 0;
};

/// One launch of a program.
struct Launch {
  std::string entry;
  int64_t gridSize, blockSize, sharedBytes;
  llvm::SmallVector<Buffer> arguments;
};

int64_t getBytes(const Buffer &buffer);

/// A float for each of `channels`, of one for all or one each, as words; zeros
/// behind them up to `size`.
std::vector<int32_t> spreadFloats(llvm::ArrayRef<float> values,
                                  int64_t channels, int64_t size);

/// What a function became: launches, in order.
struct KernelProgram {
  llvm::SmallVector<Launch> launches;
  /// Of a product for tensor cores.
  std::optional<FragmentLayout> layout = std::nullopt;
  /// Of a product: its buffer of weights, from codes `[rows, channels, taps]`.
  std::function<std::vector<int32_t>(llvm::ArrayRef<int8_t>)> packWeights;
};

/// An empty kernel for `launch` and its arguments; the builder is inside it
/// behind the call.
std::pair<mlir::gpu::GPUFuncOp, KernelArguments>
createKernel(mlir::OpBuilder &b, mlir::Location loc, const Launch &launch,
             mlir::TypeRange workgroup = {});

/// A launch as a dictionary: `bind` names the buffer of each argument.
mlir::DictionaryAttr
describeLaunch(mlir::Builder &b, const Launch &launch,
               llvm::function_ref<llvm::StringRef(const Buffer &)> bind);

/// `hetprec.launch` of a product, as Target/NVVM prints it.
mlir::DictionaryAttr describeProduct(const KernelProgram &program,
                                     KernelResult result,
                                     const PackedLayout *packed,
                                     mlir::MLIRContext *context);

/// Element type, shape and distances between neighbours.
void describeElements(mlir::Builder &b, mlir::NamedAttrList &fields,
                      llvm::StringRef element, llvm::ArrayRef<int64_t> shape,
                      llvm::ArrayRef<int64_t> strides);

} // namespace sysmol

#endif // SYSMOL_CONVERSION_HETPRECTOGPU_LAUNCHDESCRIPTION_H
