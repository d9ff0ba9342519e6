//===- HetprecToGPU.cpp - Plan-phase networks to GPU kernels --------------===//

#include "sysmol/Conversion/HetprecToGPU/HetprecToGPU.h"

#include "ElementKernel.h"
#include "NetworkDescription.h"
#include "ProductKernel.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"

namespace sysmol {
#define GEN_PASS_DEF_CONVERTHETPRECTOGPUPASS
#include "sysmol/Conversion/Passes.h.inc"
} // namespace sysmol

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

namespace {
struct ConvertHetprecToGPU
    : public sysmol::impl::ConvertHetprecToGPUPassBase<ConvertHetprecToGPU> {
  using ConvertHetprecToGPUPassBase::ConvertHetprecToGPUPassBase;
  void runOnOperation() override;

private:
  LogicalResult convertAll(gpu::GPUModuleOp kernels);
};
} // namespace

std::string sysmol::checkKernelOptions(int64_t warps, int64_t unroll,
                                       int64_t threads, int64_t stages) {
  if (warps >= 4 && warps <= 32 && unroll >= 1 && unroll <= 32 &&
      threads >= 128 && threads <= 2048 && stages >= 2 && stages <= 6)
    return "";
  return llvm::formatv("options must be warps 4 to 32, unroll 1 to 32, threads "
                       "128 to 2048, stages 2 to 6; found {0}, {1}, {2}, {3}",
                       warps, unroll, threads, stages);
}

/// Whether `function` is a product of a network or by itself.
static bool isProduct(func::FuncOp function) {
  return !function->hasAttr(kKernelAttr) ||
         llvm::any_of(function.getOps(),
                      [](Operation &op) { return isForTensorCores(&op); });
}

/// Refuses a kernel or network that is not one block of tensors, or a kernel
/// that makes more or less than one; a product in a network may make carriers
/// and their codes.
static LogicalResult checkFunction(func::FuncOp function, bool isNetwork) {
  if (!function.getBody().hasOneBlock() ||
      !isa<func::ReturnOp>(function.getBody().front().back()))
    return function.emitOpError(
        "must be one block that ends in func.return to become a kernel");
  bool mayHaveTwo = function->hasAttr(kKernelAttr) && isProduct(function);
  if (!isNetwork && function.getNumResults() != 1 &&
      !(mayHaveTwo && function.getNumResults() == 2))
    return function.emitOpError() << "has " << function.getNumResults()
                                  << " results; a GPU kernel has one";
  for (Type type : function.getArgumentTypes())
    if (!isKernelTensor(type))
      return function.emitOpError()
             << "takes " << type << "; GPU kernels take " << kKernelTensors;
  for (Type type : function.getResultTypes())
    if (!isKernelTensor(type))
      return function.emitOpError()
             << "makes " << type << "; GPU kernels make " << kKernelTensors;
  return success();
}

LogicalResult ConvertHetprecToGPU::convertAll(gpu::GPUModuleOp kernels) {
  ProductOptions options = {kernel, warps,      unroll,   threads,
                            stages, warpgroups, nibbleMMA};
  OpBuilder b = OpBuilder::atBlockEnd(kernels.getBody());
  llvm::StringMap<KernelProgram> programs; // of the network
  llvm::StringSet<> entries;
  SmallVector<func::FuncOp> functions(getOperation().getOps<func::FuncOp>());
  func::FuncOp network;
  for (func::FuncOp function : functions) {
    bool hasCalls =
        !function.getBody().empty() && !function.getOps<func::CallOp>().empty();
    if (failed(checkFunction(function, hasCalls)))
      return failure();
    if (hasCalls) {
      if (network)
        return function.emitOpError("is a second network; a module has one");
      network = function;
      continue;
    }
    FailureOr<KernelProgram> program =
        isProduct(function) ? emitProductKernel(b, function, options)
                            : emitElementKernel(b, function);
    if (failed(program))
      return failure();
    for (const Launch &launch : program->launches)
      if (!entries.insert(launch.entry).second)
        return function.emitOpError()
               << "needs a kernel '" << launch.entry
               << "', which another function is or needs, too; rename it";
    if (function->hasAttr(kKernelAttr))
      programs[function.getName()] = std::move(*program);
  }
  if (network && failed(describeNetwork(network, programs, getOperation())))
    return failure();
  for (func::FuncOp function : functions)
    function.erase();
  return success();
}

void ConvertHetprecToGPU::runOnOperation() {
  ModuleOp module = getOperation();
  if (std::string why = checkKernelOptions(warps, unroll, threads, stages);
      !why.empty()) {
    module.emitOpError() << why;
    return signalPassFailure();
  }
  for (Operation &op : *module.getBody())
    if (!isa<func::FuncOp>(op)) {
      op.emitOpError("stands beside the kernels; a module for a GPU holds "
                     "func.func and nothing else");
      return signalPassFailure();
    }
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  auto kernels = gpu::GPUModuleOp::create(b, module.getLoc(), kKernelsName);
  if (failed(convertAll(kernels)))
    return signalPassFailure();
  module->setAttr(gpu::GPUDialect::getContainerModuleAttrName(),
                  b.getUnitAttr());
}
