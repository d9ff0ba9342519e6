//===- ProductKernel.cpp - A product and what reads it, as kernels --------===//

#include "ProductKernel.h"

#include "GemmKernel.h"
#include "GemvKernel.h"
#include "WindowCopies.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"

#include <numeric>

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

static_assert(kKernelRows == kBlockRows);

namespace {

/// What one function asks for.
struct Product {
  Operation *op = nullptr; ///< matmul or conv_2d
  /// Of the first three at most one; none: accumulators.
  ToRealOp toReal;
  RequantizeOp requantize;
  ToCarrierOp toCarrier;
  AddOp add; ///< behind `toCarrier`
  /// Of a network: what makes codes of the carrier, too, whose channels it
  /// reads in this order (empty: as they are).
  RequantizeOp codes;
  ArrayRef<int64_t> order;
  bool hasOutput = true; ///< or codes alone
  BlockArgument activations, weights, addend;
  /// The activations are pixels, of rows one a row (`kKernelAttr`).
  bool isOfNetwork;

  ChannelsAttr getChannels() const {
    return hetprec::getChannels(activations.getType());
  }
  KernelResult getResult() const {
    return toReal       ? KernelResult::Real
           : requantize ? KernelResult::Codes
           : toCarrier  ? KernelResult::Carrier
                        : KernelResult::Accumulator;
  }
  ArrayRef<float> getMultiplier() {
    return toReal       ? toReal.getMultiplier()
           : requantize ? requantize.getMultiplier()
                        : toCarrier.getMultiplier();
  }
  /// Empty where there is none.
  ArrayRef<float> getOffset() {
    return toReal       ? toReal.getOffset()
           : requantize ? requantize.getOffset()
                        : toCarrier.getOffset();
  }
  /// What it packs, or null.
  RequantizeOp getPacked() { return requantize ? requantize : codes; }
  /// What the codes, or else the result, are made of.
  Operation *getCarrier() { return add ? add : toCarrier.getOperation(); }
  /// Whether its carriers are not below 0.
  bool hasRelu() {
    return add ? add.getRelu() : toCarrier && toCarrier.getRelu();
  }
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
  if (isForTensorCores(conv))
    return success();
  if (conv.getGroups() != 1)
    return conv.emitOpError()
           << "has " << conv.getGroups()
           << " groups; a single product on a GPU has one, any number is "
              "allowed in a network";
  return conv.emitOpError(
      "pads activations of the mid-rise grid below 8 bits, "
      "which has no zero; a single product on a GPU pads the "
      "unsigned grid and the symmetric level, a network "
      "all");
}

/// Takes `op`, which follows `last`, into `product`.
static LogicalResult matchEpilogue(Product &product, Operation *op,
                                   Operation *last) {
  bool follows =
      last && llvm::is_contained(op->getOperands(), last->getResult(0));
  if (isa<PermuteOp, RequantizeOp>(op) && product.isOfNetwork &&
      product.toCarrier && follows) {
    if (auto permute = dyn_cast<PermuteOp>(op)) {
      if (last != product.getCarrier() || permute.getAxis() != 1)
        return op->emitOpError("must permute the carrier's channels");
      product.order = permute.getPermutation();
    } else {
      product.codes = cast<RequantizeOp>(op);
    }
    return success();
  }
  if (isa<ToRealOp, RequantizeOp, ToCarrierOp>(op)) {
    if (!product.op || last != product.op || !follows)
      return op->emitOpError("must read the product's result");
    product.toReal = dyn_cast<ToRealOp>(op);
    product.requantize = dyn_cast<RequantizeOp>(op);
    product.toCarrier = dyn_cast<ToCarrierOp>(op);
    return success();
  }
  if (auto add = dyn_cast<AddOp>(op)) {
    Value carrier = product.toCarrier ? product.toCarrier.getResult() : Value();
    if (!follows || carrier != last->getResult(0) ||
        product.toCarrier.getRelu())
      return op->emitOpError("must read the product's carrier, which has no "
                             "relu of its own");
    product.add = add;
    product.addend = dyn_cast<BlockArgument>(
        add.getLhs() == carrier ? add.getRhs() : add.getLhs());
    if (!product.addend)
      return op->emitOpError("must read an argument of the function on a GPU");
    return success();
  }
  return op->emitOpError(
      "has no GPU kernel; allowed are hetprec.matmul, hetprec.conv_2d, "
      "hetprec.to_real, hetprec.to_carrier, hetprec.add and "
      "hetprec.requantize");
}

/// The argument of the function that `operand` is.
static FailureOr<BlockArgument> matchArgument(Operation *op, Value operand) {
  auto argument = dyn_cast<BlockArgument>(operand);
  if (!argument)
    return op->emitOpError("must read arguments of the function on a GPU");
  if (failed(checkChannels(op, getChannels(operand.getType()))))
    return failure();
  if (cast<ShapedType>(operand.getType()).getNumElements() == 0)
    return op->emitOpError("reads ")
           << operand.getType() << ", which has no elements";
  return argument;
}

/// The product of `function`, or an error that names what is in its way.
static FailureOr<Product> matchProduct(func::FuncOp function) {
  Product product;
  product.isOfNetwork = function->hasAttr(kKernelAttr);
  Operation *last = nullptr;
  for (Operation &op : function.getBody().front().without_terminator()) {
    if (isa<FlattenOp>(op) && product.isOfNetwork)
      continue; // in front of the product
    if (isa<MatmulOp, Conv2DOp>(op)) {
      if (product.op)
        return op.emitOpError("is a second product; a kernel is one product");
      product.op = &op;
    } else if (failed(matchEpilogue(product, &op, last))) {
      return failure();
    }
    last = &op;
  }
  if (!product.op)
    return function.emitOpError(
        "has no hetprec.matmul or hetprec.conv_2d to make a kernel of");
  auto returned = cast<func::ReturnOp>(function.getBody().front().back());
  product.hasOutput = !product.codes || returned.getNumOperands() == 2;
  SmallVector<Value> results;
  if (product.codes && product.hasOutput)
    results.push_back(product.getCarrier()->getResult(0));
  results.push_back(last->getResult(0));
  if (!llvm::equal(returned.getOperands(), results))
    return returned.emitOpError(
        "must return the last result, and in front of codes of a carrier at "
        "most that");
  auto conv = dyn_cast<Conv2DOp>(product.op);
  if (conv && failed(checkWindow(conv)))
    return failure();
  Value input = product.op->getOperand(0);
  if (auto flatten = input.getDefiningOp<FlattenOp>())
    input = flatten.getInput();
  FailureOr<BlockArgument> activations = matchArgument(product.op, input);
  FailureOr<BlockArgument> weights =
      matchArgument(product.op, product.op->getOperand(1));
  if (failed(activations) || failed(weights))
    return failure();
  product.activations = *activations;
  product.weights = *weights;
  if (RequantizeOp packed = product.getPacked()) {
    if (!conv && !product.isOfNetwork)
      return packed.emitOpError("has a GPU kernel behind hetprec.conv_2d only");
    if (failed(
            checkChannels(packed, getChannels(packed.getResult().getType()))))
      return failure();
  }
  if (!product.order.empty() && !product.codes)
    return returned.emitOpError("must return codes of the permuted carrier");
  if (int64_t(product.order.size()) > kKernelRows)
    return product.codes.emitOpError()
           << "reads " << product.order.size()
           << " channels of a product in another order; a kernel permutes at "
              "most "
           << kKernelRows;
  return product;
}

/// Which pixels the product reads, if its activations are pixels.
static std::optional<Window> getWindow(const Product &product) {
  if (auto conv = dyn_cast<Conv2DOp>(product.op))
    return Window::get(conv);
  if (product.isOfNetwork)
    return Window::getWhole(
        cast<ShapedType>(product.activations.getType()).getShape());
  return std::nullopt;
}

/// Where the codes of `product` lie for the kernel that is asked for.
static FailureOr<FragmentLayout> chooseLayout(const Product &product,
                                              const ProductOptions &options) {
  GPUKernelKind kernel = options.kernel;
  Operation *op = product.op;
  ChannelsAttr channels = product.getChannels();
  int64_t rows = cast<ShapedType>(product.weights.getType()).getDimSize(0);
  std::optional<Window> window = getWindow(product);
  int64_t batch = cast<ShapedType>(product.activations.getType()).getDimSize(0);
  bool isGemm = window || kernel == GPUKernelKind::Gemm ||
                (kernel == GPUKernelKind::Auto && batch > kMaxGemvBatch);
  StringRef what =
      isa<Conv2DOp>(op) ? "a convolution" : "a product of a network";
  if (window && kernel == GPUKernelKind::Gemv)
    return op->emitOpError() << "is " << what << ", which has no gemv";
  if (!isGemm && batch > kMaxGemvBatch)
    return op->emitOpError()
           << "has " << batch << " rows of activations; gemv takes at most "
           << kMaxGemvBatch;
  // Of fewer rows a warpgroup's MMA would multiply mostly nothing.
  FragmentOrder order = !isGemm ? FragmentOrder::Streamed
                        : options.warpgroups && rows > kWarpgroupRows / 2
                            ? FragmentOrder::Warpgroup
                            : FragmentOrder::Staged;
  if (!window)
    return FragmentLayout::get(order, channels, batch, rows);
  FragmentLayout layout = FragmentLayout::get(order, channels, *window, rows);
  // Where a pixel is, is computed in 32 bits, and so are rows of codes.
  if (layout.activationWords > INT32_MAX || layout.paddedBatch > INT32_MAX ||
      layout.paddedRows > INT32_MAX || layout.weightWords > INT32_MAX)
    return op->emitOpError(
        "has more than 2^31 words of activations or weights, pixels "
        "of output or rows of weights");
  return layout;
}

FailureOr<KernelProgram>
sysmol::emitProductKernel(OpBuilder &b, func::FuncOp function,
                          const ProductOptions &options) {
  FailureOr<Product> product = matchProduct(function);
  if (failed(product))
    return failure();
  KernelResult result = product->getResult();
  std::optional<PackedLayout> packedLayout;
  if (RequantizeOp codes = product->getPacked())
    packedLayout = PackedLayout::get(getChannels(codes.getResult().getType()));
  const PackedLayout *packed = packedLayout ? &*packedLayout : nullptr;
  FailureOr<FragmentLayout> chosen = chooseLayout(*product, options);
  if (failed(chosen))
    return failure();
  const FragmentLayout &layout = *chosen;
  bool isGemm = layout.order != FragmentOrder::Streamed;
  // A block computes codes of all its rows, and writes those that are there.
  int64_t rows = product->requantize ? layout.paddedRows : layout.rows;
  int64_t numSums =
      layout.window ? layout.window->getNumPixels() : layout.paddedBatch;

  Location loc = product->op->getLoc();
  Type i32 = b.getI32Type(), f32 = b.getF32Type();
  std::string name = function.getName().str();
  Buffer activations = {
      "activations", i32,  layout.activationWords,
      "activations", true, product->activations.getArgNumber()};
  Launch main = {name, 0, 0, 0, {}};
  main.arguments = {{"weights", i32, layout.weightWords, "weights", true,
                     product->weights.getArgNumber()},
                    activations};
  if (layout.hasRowBias())
    main.arguments.push_back({"row_bias", i32, rows, "row_bias", true,
                              product->weights.getArgNumber()});
  bool hasSums = isGemm && !(layout.window && sumsOwnPixels(layout));
  if (hasSums)
    main.arguments.push_back({"sums", i32, numSums, "scratch", true});
  auto table = [&](StringRef name, ArrayRef<float> values, int64_t size) {
    if (!values.empty())
      main.arguments.push_back({name, f32, size, name, true, /*argument=*/-1,
                                spreadFloats(values, layout.rows, size)});
  };
  if (result != KernelResult::Accumulator) {
    table("multiplier", product->getMultiplier(), rows);
    table("offset", product->getOffset(), rows);
  }
  if (product->addend)
    main.arguments.push_back({"addend", b.getI16Type(), layout.batch * rows,
                              "addend", true, product->addend.getArgNumber()});
  Type element = result == KernelResult::Real      ? f32
                 : result == KernelResult::Carrier ? b.getI16Type()
                                                   : i32;
  int64_t packedWords = packed ? layout.batch * packed->pixel.words : 0;
  if (product->hasOutput)
    main.arguments.push_back(
        {"output", element,
         product->requantize ? packedWords : layout.batch * rows, "output",
         false});
  if (product->codes) {
    table("code_multiplier", product->codes.getMultiplier(), layout.paddedRows);
    table("code_offset", product->codes.getOffset(), layout.paddedRows);
    if (!product->order.empty()) {
      Buffer channel = {"channel", i32, layout.paddedRows, "table", true};
      channel.contents.resize(layout.paddedRows);
      std::iota(channel.contents.begin(), channel.contents.end(), 0);
      for (auto [to, from] : llvm::enumerate(product->order))
        channel.contents[from] = int32_t(to);
      main.arguments.push_back(channel);
    }
    Buffer codes = {"codes", i32, packedWords, "output", false};
    codes.result = product->hasOutput ? 1 : 0;
    main.arguments.push_back(codes);
  }

  KernelProgram program;
  program.layout = layout;
  program.packWeights = [layout](ArrayRef<int8_t> codes) {
    return layout.packWeights(codes);
  };
  gpu::GPUFuncOp mainKernel;
  if (hasSums) {
    Launch sums = {name + "_sums",
                   layout.window ? getPixelSumsGridSize(layout)
                                 : getSumsGridSize(layout),
                   layout.window ? kPixelSumThreads : 32 * kSumRows,
                   0,
                   {}};
    sums.arguments = {activations, {"sums", i32, numSums, "scratch", false}};
    program.launches.push_back(sums);
    auto [sumsKernel, sumsArgs] = createKernel(b, loc, sums);
    KernelBuilder sumsBuilder(b, loc);
    if (layout.window)
      emitPixelSums(sumsBuilder, layout, sumsArgs);
    else
      emitSums(sumsBuilder, layout, sumsArgs);
    gpu::ReturnOp::create(b, loc);
    b.setInsertionPointAfter(sumsKernel);
  }
  if (isGemm) {
    GemmOptions gemm{options.stages};
    main.gridSize = layout.getNumBlocks();
    main.blockSize = kGemmThreads;
    main.sharedBytes = getGemmSharedBytes(layout, gemm);
    auto [kernelFunc, args] = createKernel(b, loc, main);
    args.relu = product->hasRelu();
    KernelBuilder k(b, loc, options.nibbleMMA);
    emitGemm(k, layout, gemm, args, result, packed);
    mainKernel = kernelFunc;
  } else {
    GemvOptions gemv{options.warps, options.unroll};
    main.gridSize = getGemvGridSize(layout);
    main.blockSize = 32 * options.warps;
    auto shared =
        MemRefType::get({getGemvSharedWords(layout, gemv)}, i32, AffineMap(),
                        gpu::AddressSpaceAttr::get(
                            b.getContext(), gpu::AddressSpace::Workgroup));
    auto [kernelFunc, args] = createKernel(b, loc, main, TypeRange(shared));
    args.relu = product->hasRelu();
    // Or ptxas saves registers by having fewer loads in flight.
    kernelFunc->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(),
                        b.getI32IntegerAttr(std::max<int64_t>(
                            1, options.threads / main.blockSize)));
    KernelBuilder k(b, loc, options.nibbleMMA);
    emitGemv(k, layout, gemv, args, result,
             kernelFunc.getWorkgroupAttributions().front());
    mainKernel = kernelFunc;
  }
  gpu::ReturnOp::create(b, loc);
  program.launches.push_back(main);
  b.setInsertionPointAfter(mainKernel);
  if (!product->isOfNetwork)
    mainKernel->setAttr(
        kLaunchAttr, describeProduct(program, result, packed, b.getContext()));
  return program;
}
