//===- HetprecToGPU.cpp - Plan-phase products to GPU kernels --------------===//

#include "sysmol/Conversion/HetprecToGPU/HetprecToGPU.h"

#include "GemmKernel.h"
#include "GemvKernel.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace sysmol {
#define GEN_PASS_DEF_CONVERTHETPRECTOGPUPASS
#include "sysmol/Conversion/Passes.h.inc"
} // namespace sysmol

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

namespace {

/// What one function asks for.
struct Product {
  MatmulOp matmul;
  ToRealOp toReal; ///< null: accumulators
};

/// A buffer of the kernel, in the order of its arguments.
struct Buffer {
  StringRef name;
  Type element;
  int64_t size;
  StringRef role;
  bool isRead;
};

struct ConvertHetprecToGPU
    : public sysmol::impl::ConvertHetprecToGPUPassBase<ConvertHetprecToGPU> {
  using ConvertHetprecToGPUPassBase::ConvertHetprecToGPUPassBase;
  void runOnOperation() override;

private:
  LogicalResult convert(func::FuncOp function, gpu::GPUModuleOp kernels);
};

} // namespace

/// The product of `function`, or an error that names what is in its way.
static FailureOr<Product> matchProduct(func::FuncOp function) {
  Product product;
  if (!function.getBody().hasOneBlock())
    return function.emitOpError("must be one block to become a kernel");
  for (Operation &op : function.getBody().front()) {
    if (auto matmul = dyn_cast<MatmulOp>(op)) {
      if (product.matmul)
        return op.emitOpError("is a second product; a kernel is one product");
      product.matmul = matmul;
    } else if (auto toReal = dyn_cast<ToRealOp>(op)) {
      product.toReal = toReal;
    } else if (!isa<func::ReturnOp>(op)) {
      return op.emitOpError("has no GPU kernel; allowed are hetprec.matmul and "
                            "hetprec.to_real");
    }
  }
  if (!product.matmul)
    return function.emitOpError("has no hetprec.matmul to make a kernel of");
  Value result = product.matmul.getResult();
  if (product.toReal) {
    if (product.toReal.getInput() != result)
      return product.toReal.emitOpError("must read the product's result");
    result = product.toReal.getResult();
  }
  auto returned = cast<func::ReturnOp>(function.getBody().front().back());
  if (returned.getNumOperands() != 1 || returned.getOperand(0) != result)
    return returned.emitOpError("must return the last result, and only that");
  for (Value operand : product.matmul.getOperands()) {
    if (!isa<BlockArgument>(operand))
      return product.matmul.emitOpError(
          "must read arguments of the function on a GPU");
    ChannelsAttr channels = getChannels(operand.getType());
    if (!channels.isSegmented())
      return product.matmul.emitOpError(
          "must have channels sorted by precision; run hetprec-to-plan");
    if (channels.getFinestLevel() > 4)
      return product.matmul.emitOpError("has an 8-bit level, which has no GPU "
                                        "kernel; allowed are 1, 2 and 4");
  }
  return product;
}

static MemRefType getBufferType(const Buffer &buffer) {
  auto space = gpu::AddressSpaceAttr::get(buffer.element.getContext(),
                                          gpu::AddressSpace::Global);
  return MemRefType::get({buffer.size}, buffer.element, AffineMap(), space);
}

namespace {

/// One launch of a program.
struct Launch {
  std::string entry;
  int64_t gridSize, blockSize, sharedBytes;
  SmallVector<Buffer> arguments;
};

} // namespace

static NamedAttribute entry(Builder &b, StringRef key, Attribute value) {
  return b.getNamedAttr(key, value);
}
static NamedAttribute entry(Builder &b, StringRef key, int64_t value) {
  return b.getNamedAttr(key, b.getI64IntegerAttr(value));
}
static NamedAttribute entry(Builder &b, StringRef key, StringRef value) {
  return b.getNamedAttr(key, b.getStringAttr(value));
}

/// The kernel that reads this order, for models of time.
static StringRef stringifyOrder(FragmentOrder order) {
  switch (order) {
  case FragmentOrder::Streamed:
    return "gemv";
  case FragmentOrder::Staged:
    return "gemm";
  case FragmentOrder::Warpgroup:
    return "gemm_warpgroup";
  }
  llvm_unreachable("unknown order");
}

/// `hetprec.launch`, as Target/NVVM prints it.
static DictionaryAttr describeLaunches(const FragmentLayout &layout,
                                       ArrayRef<Launch> launches,
                                       KernelResult result,
                                       MLIRContext *context) {
  Builder b(context);
  bool isReal = result == KernelResult::Real;
  NamedAttrList buffers;
  SmallVector<Attribute> launchList;
  for (const Launch &launch : launches) {
    SmallVector<Attribute> arguments;
    for (const Buffer &buffer : launch.arguments) {
      NamedAttrList fields;
      fields.append(
          entry(b, "bytes",
                buffer.size * buffer.element.getIntOrFloatBitWidth() / 8));
      fields.append(entry(b, "role", buffer.role));
      if (buffer.role == "output") {
        fields.append(entry(b, "element", isReal ? "f32" : "i32"));
        fields.append(
            entry(b, "shape", b.getI64ArrayAttr({layout.batch, layout.rows})));
        fields.append(entry(b, "strides", b.getI64ArrayAttr({layout.rows, 1})));
      }
      buffers.set(buffer.name, fields.getDictionary(context));
      arguments.push_back(b.getStringAttr(buffer.name));
    }
    launchList.push_back(b.getDictionaryAttr(
        {entry(b, "entry", launch.entry),
         entry(b, "grid", b.getI64ArrayAttr({launch.gridSize, 1, 1})),
         entry(b, "block", b.getI64ArrayAttr({launch.blockSize, 1, 1})),
         entry(b, "shared_bytes", launch.sharedBytes),
         entry(b, "arguments", b.getArrayAttr(arguments))}));
  }
  DictionaryAttr operation = b.getDictionaryAttr(
      {entry(b, "kind", "gemm"), entry(b, "m", layout.batch),
       entry(b, "n", layout.rows), entry(b, "k", layout.k),
       entry(b, "activation_grid", stringifyGrid(layout.grid)),
       entry(b, "weight_grid", "midrise"),
       entry(b, "result", isReal ? "f32" : "i32"),
       entry(b, "strategy", stringifyOrder(layout.order)),
       entry(b, "segments", layout.describeSegments(context))});
  return b.getDictionaryAttr(
      {entry(b, "launches", b.getArrayAttr(launchList)),
       entry(b, "buffers", buffers.getDictionary(context)),
       entry(b, "operation", operation)});
}

/// An empty kernel for `launch`, the builder inside it, and its arguments.
static std::pair<gpu::GPUFuncOp, KernelArguments>
createKernel(OpBuilder &b, Location loc, const Launch &launch,
             TypeRange workgroup) {
  SmallVector<Type> types;
  for (const Buffer &buffer : launch.arguments)
    types.push_back(getBufferType(buffer));
  auto kernel = gpu::GPUFuncOp::create(b, loc, launch.entry,
                                       b.getFunctionType(types, {}), workgroup);
  kernel->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
  kernel.setKnownBlockSizeAttr(
      b.getDenseI32ArrayAttr({int32_t(launch.blockSize), 1, 1}));
  KernelArguments args;
  std::pair<StringRef, Value *> places[] = {
      {"weights", &args.weights},  {"activations", &args.activations},
      {"row_bias", &args.rowBias}, {"multiplier", &args.multiplier},
      {"offset", &args.offset},    {"sums", &args.sums},
      {"output", &args.output}};
  for (auto [i, buffer] : llvm::enumerate(launch.arguments)) {
    kernel.setArgAttr(i, LLVM::LLVMDialect::getNoAliasAttrName(),
                      b.getUnitAttr());
    kernel.setArgAttr(i, LLVM::LLVMDialect::getAlignAttrName(),
                      b.getI64IntegerAttr(16));
    if (buffer.isRead)
      kernel.setArgAttr(i, LLVM::LLVMDialect::getReadonlyAttrName(),
                        b.getUnitAttr());
    for (auto [name, place] : places)
      if (name == buffer.name)
        *place = kernel.getArgument(i);
  }
  b.setInsertionPointToStart(&kernel.getBody().front());
  return {kernel, args};
}

LogicalResult ConvertHetprecToGPU::convert(func::FuncOp function,
                                           gpu::GPUModuleOp kernels) {
  FailureOr<Product> product = matchProduct(function);
  if (failed(product))
    return failure();
  MatmulOp matmul = product->matmul;
  ChannelsAttr channels = getChannels(matmul.getLhs().getType());
  int64_t batch = matmul.getLhs().getType().getDimSize(0);
  int64_t rows = matmul.getRhs().getType().getDimSize(0);
  bool isGemm = kernel == GPUKernelKind::Gemm ||
                (kernel == GPUKernelKind::Auto && batch > kMaxGemvBatch);
  if (!isGemm && batch > kMaxGemvBatch)
    return matmul.emitOpError()
           << "has " << batch << " rows of activations; gemv takes at most "
           << kMaxGemvBatch;
  if (isGemm && channels.getNumChannels(4) > kMaxGemmNibbles)
    return matmul.emitOpError()
           << "has " << channels.getNumChannels(4)
           << " channels of 4 bits; gemm takes at most " << kMaxGemmNibbles;
  KernelResult result =
      product->toReal ? KernelResult::Real : KernelResult::Accumulator;
  FragmentLayout layout =
      FragmentLayout::get(!isGemm      ? FragmentOrder::Streamed
                          : warpgroups ? FragmentOrder::Warpgroup
                                       : FragmentOrder::Staged,
                          channels, batch, rows);

  OpBuilder b = OpBuilder::atBlockEnd(kernels.getBody());
  Location loc = matmul.getLoc();
  Type i32 = b.getI32Type(), f32 = b.getF32Type();
  std::string name = function.getName().str();
  Buffer activations = {"activations", i32, layout.activationWords,
                        "activations", true};
  Launch main = {name, 0, 0, 0, {}};
  main.arguments = {{"weights", i32, layout.weightWords, "weights", true},
                    activations};
  if (layout.hasRowBias())
    main.arguments.push_back({"row_bias", i32, rows, "row_bias", true});
  if (isGemm)
    main.arguments.push_back(
        {"sums", i32, layout.paddedBatch, "scratch", true});
  if (product->toReal) {
    main.arguments.push_back({"multiplier", f32, rows, "multiplier", true});
    main.arguments.push_back({"offset", f32, rows, "offset", true});
  }
  main.arguments.push_back(
      {"output", product->toReal ? f32 : i32, batch * rows, "output", false});

  SmallVector<Launch> launches;
  gpu::GPUFuncOp mainKernel;
  if (isGemm) {
    Launch sums = {
        name + "_sums", getSumsGridSize(layout), 32 * kSumRows, 0, {}};
    sums.arguments = {activations,
                      {"sums", i32, layout.paddedBatch, "scratch", false}};
    launches.push_back(sums);
    auto [sumsKernel, sumsArgs] = createKernel(b, loc, sums, {});
    KernelBuilder sumsBuilder(b, loc);
    emitSums(sumsBuilder, layout, sumsArgs);
    gpu::ReturnOp::create(b, loc);
    b.setInsertionPointAfter(sumsKernel);

    GemmOptions gemm{stages, warpgroups};
    main.gridSize = getGemmGridSize(layout);
    main.blockSize = kGemmThreads;
    main.sharedBytes = getGemmSharedBytes(gemm);
    auto [kernelFunc, args] = createKernel(b, loc, main, {});
    KernelBuilder k(b, loc);
    emitGemm(k, layout, gemm, args, result);
    mainKernel = kernelFunc;
  } else {
    GemvOptions gemv{warps, unroll};
    main.gridSize = getGemvGridSize(layout);
    main.blockSize = 32 * warps;
    auto shared =
        MemRefType::get({getGemvSharedWords(layout, gemv)}, i32, AffineMap(),
                        gpu::AddressSpaceAttr::get(
                            &getContext(), gpu::AddressSpace::Workgroup));
    auto [kernelFunc, args] = createKernel(b, loc, main, TypeRange(shared));
    // Or ptxas saves registers by having fewer loads in flight.
    kernelFunc->setAttr(
        NVVM::NVVMDialect::getMinctasmAttrName(),
        b.getI32IntegerAttr(std::max<int64_t>(1, threads / main.blockSize)));
    KernelBuilder k(b, loc);
    emitGemv(k, layout, gemv, args, result,
             kernelFunc.getWorkgroupAttributions().front());
    mainKernel = kernelFunc;
  }
  gpu::ReturnOp::create(b, loc);
  launches.push_back(main);
  mainKernel->setAttr(
      kLaunchAttr, describeLaunches(layout, launches, result, &getContext()));
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
  SmallVector<func::FuncOp> functions(module.getOps<func::FuncOp>());
  for (func::FuncOp function : functions)
    if (failed(convert(function, kernels)))
      return signalPassFailure();
  module->setAttr(gpu::GPUDialect::getContainerModuleAttrName(),
                  b.getUnitAttr());
}
