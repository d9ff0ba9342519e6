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

/// Whether `function` is a product of a network or by itself.
static bool isProduct(func::FuncOp function) {
  return !function->hasAttr(kKernelAttr) ||
         llvm::any_of(function.getOps(),
                      [](Operation &op) { return isForTensorCores(&op); });
}

LogicalResult ConvertHetprecToGPU::convertAll(gpu::GPUModuleOp kernels) {
  ProductOptions options = {kernel, warps, unroll, threads, stages, warpgroups};
  OpBuilder b = OpBuilder::atBlockEnd(kernels.getBody());
  llvm::StringMap<KernelProgram> programs;
  SmallVector<func::FuncOp> functions(getOperation().getOps<func::FuncOp>());
  func::FuncOp network;
  for (func::FuncOp function : functions) {
    if (!function.getOps<func::CallOp>().empty()) {
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
  if (warps < 4 || warps > 32 || unroll < 1 || unroll > 32 || threads < 128 ||
      threads > 2048 || stages < 2 || stages > 6) {
    module.emitOpError() << "options must be warps 4 to 32, unroll 1 to 32, "
                            "threads 128 to 2048, stages 2 to 6; found "
                         << int64_t(warps) << ", " << int64_t(unroll) << ", "
                         << int64_t(threads) << ", " << int64_t(stages);
    return signalPassFailure();
  }
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  auto kernels = gpu::GPUModuleOp::create(b, module.getLoc(), "kernels");
  if (failed(convertAll(kernels)))
    return signalPassFailure();
  module->setAttr(gpu::GPUDialect::getContainerModuleAttrName(),
                  b.getUnitAttr());
}
