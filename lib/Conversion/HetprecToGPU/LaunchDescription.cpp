//===- LaunchDescription.cpp - How kernels are launched -------------------===//

#include "LaunchDescription.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

static MemRefType getBufferType(const Buffer &buffer) {
  auto space = gpu::AddressSpaceAttr::get(buffer.element.getContext(),
                                          gpu::AddressSpace::Global);
  return MemRefType::get({buffer.size}, buffer.element, AffineMap(), space);
}

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
static StringRef stringifyStrategy(const FragmentLayout &layout) {
  switch (layout.order) {
  case FragmentOrder::Streamed:
    return "gemv";
  case FragmentOrder::Staged:
    return layout.window ? "conv" : "gemm";
  case FragmentOrder::Warpgroup:
    return layout.window ? "conv_warpgroup" : "gemm_warpgroup";
  }
  llvm_unreachable("unknown order");
}

static StringRef stringifyResult(KernelResult result) {
  switch (result) {
  case KernelResult::Accumulator:
    return "i32";
  case KernelResult::Real:
    return "f32";
  case KernelResult::Carrier:
    return "i16";
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

DictionaryAttr
sysmol::describeLaunch(Builder &b, const Launch &launch,
                       llvm::function_ref<StringRef(const Buffer &)> bind) {
  SmallVector<Attribute> arguments;
  for (const Buffer &buffer : launch.arguments)
    arguments.push_back(b.getStringAttr(bind(buffer)));
  return b.getDictionaryAttr(
      {entry(b, "entry", launch.entry),
       entry(b, "grid", b.getI64ArrayAttr({launch.gridSize, 1, 1})),
       entry(b, "block", b.getI64ArrayAttr({launch.blockSize, 1, 1})),
       entry(b, "shared_bytes", launch.sharedBytes),
       entry(b, "arguments", b.getArrayAttr(arguments))});
}

void sysmol::describeElements(Builder &b, NamedAttrList &fields,
                              StringRef element, ArrayRef<int64_t> shape,
                              ArrayRef<int64_t> strides) {
  fields.append(entry(b, "element", element));
  fields.append(entry(b, "shape", b.getI64ArrayAttr(shape)));
  fields.append(entry(b, "strides", b.getI64ArrayAttr(strides)));
}

std::vector<int32_t> sysmol::spreadFloats(ArrayRef<float> values,
                                          int64_t channels, int64_t size) {
  std::vector<int32_t> words(size);
  for (int64_t i = 0; i < channels; ++i)
    words[i] = llvm::bit_cast<int32_t>(values[values.size() == 1 ? 0 : i]);
  return words;
}

int64_t sysmol::getBytes(const Buffer &buffer) {
  return buffer.size * (buffer.element.getIntOrFloatBitWidth() / 8);
}

DictionaryAttr sysmol::describeProduct(const KernelProgram &program,
                                       KernelResult result,
                                       const PackedLayout *packed,
                                       MLIRContext *context) {
  const FragmentLayout &layout = *program.layout;
  Builder b(context);
  NamedAttrList buffers;
  SmallVector<Attribute> launches;
  for (const Launch &launch : program.launches) {
    for (const Buffer &buffer : launch.arguments) {
      NamedAttrList fields;
      fields.append(entry(b, "bytes", getBytes(buffer)));
      fields.append(entry(b, "role", buffer.role));
      if (buffer.role == "output" && !packed)
        describeElements(b, fields, stringifyResult(result),
                         {layout.batch, layout.rows}, {layout.rows, 1});
      buffers.set(buffer.name, fields.getDictionary(context));
    }
    launches.push_back(describeLaunch(
        b, launch, [](const Buffer &buffer) { return buffer.name; }));
  }
  NamedAttrList operation(ArrayRef<NamedAttribute>{
      entry(b, "kind", layout.window ? "conv" : "gemm"),
      entry(b, "m", layout.batch), entry(b, "n", layout.rows),
      entry(b, "k", layout.k),
      entry(b, "activation_grid", stringifyGrid(layout.grid)),
      entry(b, "weight_grid", "midrise"),
      entry(b, "result", stringifyResult(result)),
      entry(b, "strategy", stringifyStrategy(layout)),
      entry(b, "segments", layout.describeSegments(context))});
  if (layout.window)
    operation.append(entry(b, "window", describeWindow(b, *layout.window)));
  if (packed) {
    operation.append(entry(b, "output_grid", stringifyGrid(packed->grid)));
    operation.append(
        entry(b, "outputs", packed->describe(context, layout.batch)));
  }
  return b.getDictionaryAttr(
      {entry(b, "launches", b.getArrayAttr(launches)),
       entry(b, "buffers", buffers.getDictionary(context)),
       entry(b, "operation", operation.getDictionary(context))});
}

std::pair<gpu::GPUFuncOp, KernelArguments>
sysmol::createKernel(OpBuilder &b, Location loc, const Launch &launch,
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
      {"weights", &args.weights},
      {"activations", &args.activations},
      {"row_bias", &args.rowBias},
      {"multiplier", &args.multiplier},
      {"offset", &args.offset},
      {"sums", &args.sums},
      {"addend", &args.addend},
      {"output", &args.output},
      {"channel", &args.channel},
      {"codes", &args.codes},
      {"code_multiplier", &args.codeMultiplier},
      {"code_offset", &args.codeOffset}};
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
