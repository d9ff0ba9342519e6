//===- HetprecToGPU.cpp - Plan-phase products to GPU kernels --------------===//

#include "sysmol/Conversion/HetprecToGPU/HetprecToGPU.h"

#include "GemmKernel.h"
#include "GemvKernel.h"
#include "WindowCopies.h"
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
  Operation *op = nullptr; ///< matmul or conv_2d
  ToRealOp toReal;
  RequantizeOp requantize; ///< of both at most one; none: accumulators

  Value getActivations() const { return op->getOperand(0); }
  Value getWeights() const { return op->getOperand(1); }
  ChannelsAttr getChannels() const {
    return hetprec::getChannels(getActivations().getType());
  }
  KernelResult getResult() const {
    return toReal       ? KernelResult::Real
           : requantize ? KernelResult::Codes
                        : KernelResult::Accumulator;
  }
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

/// Refuses channels that no kernel multiplies or packs.
static LogicalResult checkChannels(Operation *op, ChannelsAttr channels) {
  if (!channels.isSegmented())
    return op->emitOpError(
        "must have channels sorted by precision; run hetprec-to-plan");
  return success();
}

/// Refuses windows that no kernel has.
static LogicalResult checkWindow(Conv2DOp conv) {
  if (conv.getGroups() != 1)
    return conv.emitOpError()
           << "has " << conv.getGroups() << " groups; a GPU kernel has one";
  ChannelsAttr channels = getChannels(conv.getInput().getType());
  bool isPadded = llvm::any_of(conv.getPads(), [](int64_t p) { return p; });
  if (isPadded && channels.getGrid() == Grid::Midrise &&
      channels.getLevels().front() < 8)
    return conv.emitOpError("pads activations of the mid-rise grid below 8 "
                            "bits, which has no zero; a GPU kernel pads the "
                            "unsigned grid and the symmetric level");
  return success();
}

/// The product of `function`, or an error that names what is in its way.
static FailureOr<Product> matchProduct(func::FuncOp function) {
  Product product;
  if (!function.getBody().hasOneBlock())
    return function.emitOpError("must be one block to become a kernel");
  Operation *last = nullptr;
  for (Operation &op : function.getBody().front().without_terminator()) {
    if (isa<MatmulOp, Conv2DOp>(op)) {
      if (product.op)
        return op.emitOpError("is a second product; a kernel is one product");
      product.op = &op;
    } else if (isa<ToRealOp, RequantizeOp>(op)) {
      if (!product.op || last != product.op ||
          op.getOperand(0) != product.op->getResult(0))
        return op.emitOpError("must read the product's result");
      product.toReal = dyn_cast<ToRealOp>(op);
      product.requantize = dyn_cast<RequantizeOp>(op);
    } else {
      return op.emitOpError("has no GPU kernel; allowed are hetprec.matmul, "
                            "hetprec.conv_2d, hetprec.to_real and "
                            "hetprec.requantize");
    }
    last = &op;
  }
  if (!product.op)
    return function.emitOpError(
        "has no hetprec.matmul or hetprec.conv_2d to make a kernel of");
  auto returned = cast<func::ReturnOp>(function.getBody().front().back());
  if (returned.getNumOperands() != 1 ||
      returned.getOperand(0) != last->getResult(0))
    return returned.emitOpError("must return the last result, and only that");
  for (Value operand : product.op->getOperands()) {
    if (!isa<BlockArgument>(operand))
      return product.op->emitOpError(
          "must read arguments of the function on a GPU");
    if (failed(checkChannels(product.op, getChannels(operand.getType()))))
      return failure();
    if (cast<ShapedType>(operand.getType()).getNumElements() == 0)
      return product.op->emitOpError("reads ")
             << operand.getType() << ", which has no elements";
  }
  auto conv = dyn_cast<Conv2DOp>(product.op);
  if (conv && failed(checkWindow(conv)))
    return failure();
  if (product.requantize) {
    if (!conv)
      return product.requantize.emitOpError(
          "has a GPU kernel behind hetprec.conv_2d only");
    if (failed(checkChannels(
            product.requantize,
            getChannels(product.requantize.getResult().getType()))))
      return failure();
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

static StringRef stringifyResult(KernelResult result) {
  switch (result) {
  case KernelResult::Accumulator:
    return "i32";
  case KernelResult::Real:
    return "f32";
  case KernelResult::Codes:
    return "codes";
  }
  llvm_unreachable("unknown result");
}

static DictionaryAttr describeWindow(Builder &b, const Window &window) {
  auto pair = [&](const int64_t (&values)[2]) {
    return b.getI64ArrayAttr(values);
  };
  return b.getDictionaryAttr({entry(b, "images", window.images),
                              entry(b, "height", window.height),
                              entry(b, "width", window.width),
                              entry(b, "out_height", window.outHeight),
                              entry(b, "out_width", window.outWidth),
                              entry(b, "taps", pair(window.taps)),
                              entry(b, "strides", pair(window.strides)),
                              entry(b, "pads", pair(window.pads)),
                              entry(b, "dilations", pair(window.dilations))});
}

/// `hetprec.launch`, as Target/NVVM prints it.
static DictionaryAttr describeLaunches(const FragmentLayout &layout,
                                       ArrayRef<Launch> launches,
                                       KernelResult result,
                                       const PackedLayout *packed,
                                       MLIRContext *context) {
  Builder b(context);
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
      if (buffer.role == "output" && !packed) {
        fields.append(entry(b, "element", stringifyResult(result)));
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
  NamedAttrList operation(ArrayRef<NamedAttribute>{
      entry(b, "kind", layout.window ? "conv" : "gemm"),
      entry(b, "m", layout.batch), entry(b, "n", layout.rows),
      entry(b, "k", layout.k),
      entry(b, "activation_grid", stringifyGrid(layout.grid)),
      entry(b, "weight_grid", "midrise"),
      entry(b, "result", stringifyResult(result)),
      entry(b, "strategy",
            layout.window ? "conv" : stringifyOrder(layout.order)),
      entry(b, "segments", layout.describeSegments(context))});
  if (layout.window)
    operation.append(entry(b, "window", describeWindow(b, *layout.window)));
  if (packed) {
    operation.append(entry(b, "output_grid", stringifyGrid(packed->grid)));
    operation.append(
        entry(b, "outputs", packed->describe(context, layout.batch)));
  }
  return b.getDictionaryAttr(
      {entry(b, "launches", b.getArrayAttr(launchList)),
       entry(b, "buffers", buffers.getDictionary(context)),
       entry(b, "operation", operation.getDictionary(context))});
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

/// Where the codes of `product` lie for the kernel that is asked for.
static FailureOr<FragmentLayout>
chooseLayout(const Product &product, GPUKernelKind kernel, bool warpgroups) {
  Operation *op = product.op;
  ChannelsAttr channels = product.getChannels();
  int64_t rows = cast<ShapedType>(product.getWeights().getType()).getDimSize(0);
  auto conv = dyn_cast<Conv2DOp>(op);
  int64_t batch =
      cast<ShapedType>(product.getActivations().getType()).getDimSize(0);
  bool isGemm = conv || kernel == GPUKernelKind::Gemm ||
                (kernel == GPUKernelKind::Auto && batch > kMaxGemvBatch);
  if (conv && kernel == GPUKernelKind::Gemv)
    return op->emitOpError("is a convolution, which has no gemv");
  if (conv && warpgroups)
    return op->emitOpError("is a convolution, which has no kernel by wgmma");
  if (!isGemm && batch > kMaxGemvBatch)
    return op->emitOpError()
           << "has " << batch << " rows of activations; gemv takes at most "
           << kMaxGemvBatch;
  int64_t taps = conv ? Window::get(conv).getNumTaps() : 1;
  if (isGemm && channels.getNumChannels(4) * taps > kMaxGemmNibbles)
    return op->emitOpError()
           << "has " << channels.getNumChannels(4) * taps
           << " channels of 4 bits, times taps; gemm takes at most "
           << kMaxGemmNibbles;
  if (!conv)
    return FragmentLayout::get(!isGemm      ? FragmentOrder::Streamed
                               : warpgroups ? FragmentOrder::Warpgroup
                                            : FragmentOrder::Staged,
                               channels, batch, rows);
  FragmentLayout layout =
      FragmentLayout::get(channels, Window::get(conv), rows);
  // Where a pixel is, is computed in 32 bits, and so are rows of codes.
  if (layout.activationWords > INT32_MAX || layout.paddedBatch > INT32_MAX ||
      layout.paddedRows > INT32_MAX)
    return op->emitOpError("has more than 2^31 words of activations, pixels of "
                           "output or rows of weights");
  return layout;
}

LogicalResult ConvertHetprecToGPU::convert(func::FuncOp function,
                                           gpu::GPUModuleOp kernels) {
  FailureOr<Product> product = matchProduct(function);
  if (failed(product))
    return failure();
  KernelResult result = product->getResult();
  std::optional<PackedLayout> packedLayout;
  if (product->requantize)
    packedLayout = PackedLayout::get(
        getChannels(product->requantize.getResult().getType()));
  const PackedLayout *packed = packedLayout ? &*packedLayout : nullptr;
  FailureOr<FragmentLayout> chosen = chooseLayout(*product, kernel, warpgroups);
  if (failed(chosen))
    return failure();
  const FragmentLayout &layout = *chosen;
  bool isGemm = layout.order != FragmentOrder::Streamed;
  // A block computes codes of all its rows, and writes those that are there.
  int64_t rows = packed ? layout.paddedRows : layout.rows;
  int64_t numSums =
      layout.window ? layout.window->getNumPixels() : layout.paddedBatch;

  OpBuilder b = OpBuilder::atBlockEnd(kernels.getBody());
  Location loc = product->op->getLoc();
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
    main.arguments.push_back({"sums", i32, numSums, "scratch", true});
  if (result != KernelResult::Accumulator) {
    main.arguments.push_back({"multiplier", f32, rows, "multiplier", true});
    main.arguments.push_back({"offset", f32, rows, "offset", true});
  }
  main.arguments.push_back(
      {"output", product->toReal ? f32 : i32,
       layout.batch * (packed ? packed->pixel.words : rows), "output", false});

  SmallVector<Launch> launches;
  gpu::GPUFuncOp mainKernel;
  if (isGemm) {
    Launch sums = {name + "_sums",
                   layout.window ? getPixelSumsGridSize(layout)
                                 : getSumsGridSize(layout),
                   layout.window ? kPixelSumThreads : 32 * kSumRows,
                   0,
                   {}};
    sums.arguments = {activations, {"sums", i32, numSums, "scratch", false}};
    launches.push_back(sums);
    auto [sumsKernel, sumsArgs] = createKernel(b, loc, sums, {});
    KernelBuilder sumsBuilder(b, loc);
    if (layout.window)
      emitPixelSums(sumsBuilder, layout, sumsArgs);
    else
      emitSums(sumsBuilder, layout, sumsArgs);
    gpu::ReturnOp::create(b, loc);
    b.setInsertionPointAfter(sumsKernel);

    GemmOptions gemm{stages, warpgroups};
    main.gridSize = getGemmGridSize(layout);
    main.blockSize = kGemmThreads;
    main.sharedBytes = getGemmSharedBytes(layout, gemm);
    auto [kernelFunc, args] = createKernel(b, loc, main, {});
    KernelBuilder k(b, loc);
    emitGemm(k, layout, gemm, args, result, packed);
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
  mainKernel->setAttr(kLaunchAttr, describeLaunches(layout, launches, result,
                                                    packed, &getContext()));
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
