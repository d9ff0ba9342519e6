//===- HetprecToGPU.cpp - Plan-phase products to GPU kernels --------------===//

#include "sysmol/Conversion/HetprecToGPU/HetprecToGPU.h"

#include "GemvKernel.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
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

/// `hetprec.launch`, as `writeLaunchDescription` prints it.
static DictionaryAttr describeLaunch(StringRef name,
                                     const FragmentLayout &layout,
                                     ArrayRef<Buffer> buffers,
                                     KernelResult result, int64_t gridSize,
                                     int64_t blockSize) {
  MLIRContext *context = buffers.front().element.getContext();
  Builder b(context);
  auto entry = [&](StringRef key, Attribute value) {
    return b.getNamedAttr(key, value);
  };
  auto number = [&](StringRef key, int64_t value) {
    return entry(key, b.getI64IntegerAttr(value));
  };
  auto text = [&](StringRef key, StringRef value) {
    return entry(key, b.getStringAttr(value));
  };
  SmallVector<NamedAttribute> buffersOut;
  SmallVector<Attribute> arguments;
  bool isReal = result == KernelResult::Real;
  for (const Buffer &buffer : buffers) {
    SmallVector<NamedAttribute> fields = {
        number("bytes",
               buffer.size * buffer.element.getIntOrFloatBitWidth() / 8),
        text("role", buffer.role)};
    if (buffer.role == "output") {
      fields.push_back(text("element", isReal ? "f32" : "i32"));
      fields.push_back(
          entry("shape", b.getI64ArrayAttr({layout.batch, layout.rows})));
      fields.push_back(entry("strides", b.getI64ArrayAttr({layout.rows, 1})));
    }
    buffersOut.push_back(entry(buffer.name, b.getDictionaryAttr(fields)));
    arguments.push_back(b.getStringAttr(buffer.name));
  }
  DictionaryAttr launch = b.getDictionaryAttr(
      {text("entry", name), entry("grid", b.getI64ArrayAttr({gridSize, 1, 1})),
       entry("block", b.getI64ArrayAttr({blockSize, 1, 1})),
       number("shared_bytes", 0), entry("arguments", b.getArrayAttr(arguments))});
  DictionaryAttr operation = b.getDictionaryAttr(
      {text("kind", "gemm"), number("m", layout.batch),
       number("n", layout.rows), number("k", layout.k),
       text("activation_grid", stringifyGrid(layout.grid)),
       text("weight_grid", "midrise"), text("result", isReal ? "f32" : "i32"),
       entry("segments", layout.describeSegments(context))});
  return b.getDictionaryAttr({entry("launches", b.getArrayAttr({launch})),
                              entry("buffers", b.getDictionaryAttr(buffersOut)),
                              entry("operation", operation)});
}

LogicalResult ConvertHetprecToGPU::convert(func::FuncOp function,
                                           gpu::GPUModuleOp kernels) {
  FailureOr<Product> product = matchProduct(function);
  if (failed(product))
    return failure();
  auto lhs = product->matmul.getLhs().getType();
  int64_t batch = lhs.getDimSize(0);
  int64_t rows = product->matmul.getRhs().getType().getDimSize(0);
  if (kernel == GPUKernelKind::Gemm ||
      (kernel == GPUKernelKind::Auto && batch > kMaxGemvBatch))
    return product->matmul.emitOpError("has no gemm kernel yet");
  if (batch > kMaxGemvBatch)
    return product->matmul.emitOpError()
           << "has " << batch << " rows of activations; gemv takes at most "
           << kMaxGemvBatch;
  KernelResult result =
      product->toReal ? KernelResult::Real : KernelResult::Accumulator;
  GemvOptions gemv{warps, unroll};
  FragmentLayout layout = FragmentLayout::get(
      getChannels(lhs), batch, rows, kFragmentRows, /*batchTile=*/1);

  OpBuilder b = OpBuilder::atBlockEnd(kernels.getBody());
  Type i32 = b.getI32Type(), f32 = b.getF32Type();
  SmallVector<Buffer> buffers = {
      {"weights", i32, layout.weightWords, "weights", true},
      {"activations", i32, layout.activationWords, "activations", true}};
  if (layout.hasRowBias())
    buffers.push_back({"row_bias", i32, rows, "row_bias", true});
  if (product->toReal) {
    buffers.push_back({"multiplier", f32, rows, "multiplier", true});
    buffers.push_back({"offset", f32, rows, "offset", true});
  }
  buffers.push_back({"output", product->toReal ? f32 : i32, batch * rows,
                     "output", false});

  Location loc = product->matmul.getLoc();
  SmallVector<Type> types;
  for (const Buffer &buffer : buffers)
    types.push_back(getBufferType(buffer));
  auto shared = MemRefType::get(
      {getGemvSharedWords(layout, gemv)}, i32, AffineMap(),
      gpu::AddressSpaceAttr::get(&getContext(), gpu::AddressSpace::Workgroup));
  auto kernelFunc =
      gpu::GPUFuncOp::create(b, loc, function.getName(),
                             b.getFunctionType(types, {}), TypeRange(shared));
  kernelFunc->setAttr(gpu::GPUDialect::getKernelFuncAttrName(),
                      b.getUnitAttr());
  int64_t blockSize = 32 * warps;
  kernelFunc.setKnownBlockSizeAttr(
      b.getDenseI32ArrayAttr({int32_t(blockSize), 1, 1}));
  for (auto [i, buffer] : llvm::enumerate(buffers)) {
    kernelFunc.setArgAttr(i, LLVM::LLVMDialect::getNoAliasAttrName(),
                          b.getUnitAttr());
    kernelFunc.setArgAttr(i, LLVM::LLVMDialect::getAlignAttrName(),
                          b.getI64IntegerAttr(16));
    if (buffer.isRead)
      kernelFunc.setArgAttr(i, LLVM::LLVMDialect::getReadonlyAttrName(),
                            b.getUnitAttr());
  }
  kernelFunc->setAttr(kLaunchAttr,
                      describeLaunch(function.getName(), layout, buffers,
                                     result, getGemvGridSize(layout),
                                     blockSize));

  b.setInsertionPointToStart(&kernelFunc.getBody().front());
  KernelArguments args;
  Value *places[] = {&args.weights,    &args.activations, &args.rowBias,
                     &args.multiplier, &args.offset,      &args.output};
  StringRef names[] = {"weights",    "activations", "row_bias",
                       "multiplier", "offset",      "output"};
  for (auto [i, buffer] : llvm::enumerate(buffers))
    for (auto [place, name] : llvm::zip_equal(places, names))
      if (name == buffer.name)
        *place = kernelFunc.getArgument(i);
  KernelBuilder k(b, loc);
  emitGemv(k, layout, gemv, args, result,
           kernelFunc.getWorkgroupAttributions().front());
  gpu::ReturnOp::create(b, loc);
  function.erase();
  return success();
}

void ConvertHetprecToGPU::runOnOperation() {
  ModuleOp module = getOperation();
  if (warps < 4 || warps > 32 || unroll < 1 || unroll > 32) {
    module.emitOpError() << "option warps must be 4 to 32 and unroll 1 to 32, "
                         << "found " << warps << " and " << unroll;
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
