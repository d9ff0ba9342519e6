//===- ElementKernel.cpp - Ops between products, element by element -------===//

#include "ElementKernel.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

static constexpr int64_t kThreads = 256;
/// Codes of a thread.
static constexpr int64_t kGroup = 32;

namespace {

/// A tensor as images of pixels of channels.
struct PixelShape {
  int64_t images, channels, height, width;

  static PixelShape get(Value tensor) {
    ArrayRef<int64_t> shape = cast<ShapedType>(tensor.getType()).getShape();
    return {shape[0], shape[1], shape.size() == 4 ? shape[2] : 1,
            shape.size() == 4 ? shape[3] : 1};
  }
  int64_t getImagePixels() const { return height * width; }
  int64_t getNumPixels() const { return images * height * width; }
};

/// How a tensor lies in its buffer.
enum class Order {
  Packed,   ///< words of pixels
  Pixels,   ///< an element each, [pixel, channel]; unsorted codes as bytes
  Boundary, ///< an element each, as the network takes it: [image, channel, y,
            ///< x]
};

/// What an op reads: an argument, through permutes of its channels.
struct Source {
  BlockArgument argument;
  Order order;
  SmallVector<int64_t> permutation; ///< empty: none
  Value buffer, table;              ///< in the kernel

  PixelShape getShape() const { return PixelShape::get(argument); }
};

/// What decides a code's range and rounding: makes a value of a number that the
/// level decides.
using PickByLevel =
    llvm::function_ref<Value(llvm::function_ref<float(int8_t level)>)>;

/// What turns a convolution's weights into what a product of a code's value
/// with them counts in the accumulator (HP11).
struct DirectWeights {
  ChannelsAttr channels; ///< of the activations
  int64_t rows, groups;

  std::vector<int32_t> getValues(ArrayRef<int8_t> codes) const;
};

/// One kernel while it is written.
class Element {
public:
  Element(OpBuilder &b, func::FuncOp function);
  FailureOr<KernelProgram> emit();

private:
  LogicalResult addSource(Value operand);
  LogicalResult addTables();
  Launch describe();
  /// What one thread does.
  void emitElement(Value index);
  void emitCodes(Value index);
  void emitSegment(const FragmentSegment &segment, Value pixel, Value group);

  /// An element of a source; `channel` of the op's result. Codes as an i32.
  Value load(size_t source, Value pixel, Value channel);
  Value loadPacked(const Source &source, Value pixel, Value channel);
  Value loadTable(Value table, Value channel);
  Value computeElement(Value pixel, Value channel);
  Value computeCode(PickByLevel pick, Value pixel, Value channel);
  Value computeByte(Value pixel, Value channel);
  /// All that `get` makes of the pixels at the taps, 0 outside the image,
  /// combined, from 0 on.
  Value
  reduceWindow(const Window &window, Value pixel,
               llvm::function_ref<Value(Value at, Value tap)> get,
               llvm::function_ref<Value(Value before, Value own)> combine);
  template <typename Pool> Window getWindow(Pool pool);
  Value sumProducts(Conv2DOp conv, Value pixel, Value row);

  OpBuilder &b;
  KernelBuilder k;
  func::FuncOp function;
  Value result;       ///< what the function returns
  Operation *op;      ///< that makes it, or null: one that only moves
  PixelShape shape;   ///< of the result
  ChannelsAttr codes; ///< of the result, or null
  bool isGiven;       ///< the result is the network's: no packed codes
  Location loc;
  SmallVector<Source, 2> sources;
  SmallVector<float> multiplier, offset; ///< one or one each; empty: none
  /// Levels of channels that are not constant in the code.
  SmallVector<int64_t> levels;
  /// Of dequantize: the reals of all levels' codes, and where each channel's
  /// begin.
  std::vector<float> reals;
  SmallVector<int64_t> firstReal;
  /// Of a convolution's mid-rise activations, by channel: a code's value is
  /// (code ^ flip) * factor + shift.
  SmallVector<int64_t> flips, factors, shifts;
  std::optional<PackedLayout> packed;
  KernelArguments args;
  Value levelTable, realTable, firstTable, flipTable, factorTable, shiftTable;
};

} // namespace

std::vector<int32_t> DirectWeights::getValues(ArrayRef<int8_t> codes) const {
  int64_t perGroup = int64_t(channels.getBits().size()) / groups;
  int64_t taps = int64_t(codes.size()) / (rows * perGroup);
  std::vector<int32_t> values;
  values.reserve(codes.size());
  for (auto [i, code] : llvm::enumerate(codes)) {
    int64_t row = int64_t(i) / taps / perGroup;
    int64_t group = row / (rows / groups);
    int8_t level =
        channels.getBits()[group * perGroup + int64_t(i) / taps % perGroup];
    int value = level == 8 ? code : 2 * code + 1 - (1 << level);
    values.push_back(value * getProductCount(channels.getGrid(), level,
                                             channels.getFinestLevel()));
  }
  return values;
}

/// Groups of codes of a segment: those of its first piece, and all.
static std::pair<int64_t, int64_t> countGroups(const FragmentSegment &segment) {
  int64_t piece = segment.getFirstPiece();
  int64_t first = llvm::divideCeil(piece, kGroup);
  return {first, first + llvm::divideCeil(segment.channels - piece, kGroup)};
}

/// Those of a pixel.
static int64_t countGroups(const PixelLayout &pixel) {
  int64_t groups = 0;
  for (const FragmentSegment &segment : pixel.segments)
    groups += countGroups(segment).second;
  return groups;
}

Element::Element(OpBuilder &b, func::FuncOp function)
    : b(b), k(b, function.getLoc()), function(function),
      result(function.getBody().front().getTerminator()->getOperand(0)),
      op(result.getDefiningOp()), codes(getChannels(result.getType())),
      isGiven(function.getResultAttr(0, kBoundaryAttr) != nullptr),
      loc(function.getLoc()) {}

LogicalResult Element::addSource(Value operand) {
  Source &source = sources.emplace_back();
  while (auto permute = operand.getDefiningOp<PermuteOp>()) {
    SmallVector<int64_t> composed(permute.getPermutation());
    if (!source.permutation.empty())
      composed = llvm::map_to_vector(
          source.permutation, [&](int64_t from) { return composed[from]; });
    source.permutation = composed;
    operand = permute.getInput();
  }
  source.argument = dyn_cast<BlockArgument>(operand);
  if (!source.argument)
    return op->emitOpError("must read arguments of its kernel");
  auto type = cast<RankedTensorType>(operand.getType());
  if (type.getNumElements() == 0)
    return function.emitOpError()
           << "reads " << type << ", which has no elements";
  ChannelsAttr channels = getChannels(type);
  bool isTaken = function.getArgAttr(source.argument.getArgNumber(),
                                     kBoundaryAttr) != nullptr;
  source.order = isTaken                              ? Order::Boundary
                 : channels && channels.isSegmented() ? Order::Packed
                                                      : Order::Pixels;
  return success();
}

LogicalResult Element::addTables() {
  if (codes && !packed)
    llvm::append_range(levels, codes.getBits());
  if (!op)
    return success();
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](QuantizeOp) {
        for (int8_t level : codes.getBits())
          multiplier.push_back(getQuantizeMultiplier(codes, level));
        return success();
      })
      .Case<RequantizeOp, ToRealOp>([&](auto scaled) {
        multiplier = SmallVector<float>(scaled.getMultiplier());
        offset = SmallVector<float>(scaled.getOffset());
        return success();
      })
      .Case([&](ToCarrierOp scaled) {
        multiplier = SmallVector<float>(scaled.getMultiplier());
        offset = SmallVector<float>(scaled.getOffset());
        return success();
      })
      .Case([&](DequantizeOp dequantize) {
        ChannelsAttr from = getChannels(dequantize.getInput().getType());
        int64_t firstOf[9] = {};
        for (int8_t level : from.getLevels()) {
          firstOf[level] = reals.size();
          llvm::append_range(reals, getLevelReals(from, level));
        }
        for (int8_t level : from.getBits())
          firstReal.push_back(firstOf[level]);
        return success();
      })
      .Case([&](Conv2DOp conv) {
        ChannelsAttr from = getChannels(conv.getInput().getType());
        if (from.getGrid() == Grid::Unsigned)
          return success();
        for (int8_t level : from.getBits()) {
          // The symmetric level's bytes are signed.
          flips.push_back(level == 8 ? 0x80 : 0);
          factors.push_back(level == 8 ? 1 : 2);
          shifts.push_back(level == 8 ? -0x80 : 1 - (1 << level));
        }
        return success();
      })
      .Case<AddOp, SumPool2DOp, MaxPool2DOp, FlattenOp>(
          [](auto) { return success(); })
      .Case([&](PermuteOp permute) {
        if (permute.getAxis() == 1)
          return success();
        return LogicalResult(permute.emitOpError()
                             << "permutes axis " << permute.getAxis()
                             << "; a GPU kernel permutes channels, axis 1");
      })
      .Default([](Operation *other) {
        return LogicalResult(other->emitOpError(
            "has no GPU kernel; allowed are the ops of hetprec's model phase"));
      });
}

Launch Element::describe() {
  static constexpr StringLiteral inputs[] = {"input0", "input1"};
  static constexpr StringLiteral tables[] = {"table0", "table1"};
  Launch launch = {function.getName().str(), 0, kThreads, 0, {}};
  auto addTable = [&](StringRef name, Type element, auto &&values,
                      auto &&convert) {
    if (values.empty())
      return;
    Buffer table = {name, element, int64_t(values.size()), "table", true};
    for (auto value : values)
      table.contents.push_back(convert(value));
    launch.arguments.push_back(table);
  };
  auto fromInt = [](int64_t value) { return int32_t(value); };
  auto fromFloat = [](float value) { return llvm::bit_cast<int32_t>(value); };
  Type i32 = b.getI32Type(), f32 = b.getF32Type();
  for (auto [i, source] : llvm::enumerate(sources)) {
    auto type = cast<ShapedType>(source.argument.getType());
    Buffer input = {inputs[i],
                    type.getElementType(),
                    type.getNumElements(),
                    "activations",
                    true,
                    source.argument.getArgNumber()};
    if (source.order == Order::Packed) {
      input.element = i32;
      input.size = source.getShape().getNumPixels() *
                   PixelLayout::get(getChannels(type)).words;
    }
    launch.arguments.push_back(input);
    addTable(tables[i], i32, source.permutation, fromInt);
  }
  for (auto [name, values] :
       {std::pair<StringRef, ArrayRef<float>>("multiplier", multiplier),
        {"offset", offset}})
    if (!values.empty())
      launch.arguments.push_back(
          {name, f32, shape.channels, name, true, /*argument=*/-1,
           spreadFloats(values, shape.channels, shape.channels)});
  addTable("levels", i32, levels, fromInt);
  addTable("reals", f32, reals, fromFloat);
  addTable("first_reals", i32, firstReal, fromInt);
  addTable("flips", i32, flips, fromInt);
  addTable("factors", i32, factors, fromInt);
  addTable("shifts", i32, shifts, fromInt);
  if (auto conv = dyn_cast_or_null<Conv2DOp>(op)) {
    auto filter = cast<BlockArgument>(conv.getFilter());
    launch.arguments.push_back({"weights", i32,
                                conv.getFilter().getType().getNumElements(),
                                "weights", true, filter.getArgNumber()});
  }
  int64_t threads = shape.getNumPixels() * shape.channels;
  Buffer output = {"output", getElementTypeOrSelf(result.getType()), threads,
                   "output", false};
  if (packed) {
    threads = shape.getNumPixels() * countGroups(packed->pixel);
    output.element = i32;
    output.size = shape.getNumPixels() * packed->pixel.words;
  }
  launch.arguments.push_back(output);
  launch.gridSize = llvm::divideCeil(threads, kThreads);
  return launch;
}

FailureOr<KernelProgram> Element::emit() {
  shape = PixelShape::get(result);
  if (codes && codes.isSegmented() && !isGiven)
    packed = PackedLayout::get(codes);
  auto conv = dyn_cast_or_null<Conv2DOp>(op);
  // Weights are read as they are packed.
  SmallVector<Value> read = {result};
  if (op)
    read.assign(op->operand_begin(), op->operand_end());
  if (conv)
    read.pop_back();
  if (conv && !isa<BlockArgument>(conv.getFilter()))
    return conv.emitOpError("must read its weights from an argument of its "
                            "kernel");
  for (Value operand : read)
    if (failed(addSource(operand)))
      return failure();
  if (auto permute = dyn_cast_or_null<PermuteOp>(op)) {
    // Of codes, or returned: the permute itself is what is read.
    sources.clear();
    if (failed(addSource(permute.getResult())))
      return failure();
  }
  if (failed(addTables()))
    return failure();

  Launch launch = describe();
  auto [kernel, arguments] = createKernel(b, loc, launch);
  args = arguments;
  for (auto [i, buffer] : llvm::enumerate(launch.arguments)) {
    Value argument = kernel.getArgument(i);
    StringRef name = buffer.name;
    if (name.consume_front("input"))
      sources[name[0] - '0'].buffer = argument;
    else if (name.consume_front("table"))
      sources[name[0] - '0'].table = argument;
    else if (name == "levels")
      levelTable = argument;
    else if (name == "reals")
      realTable = argument;
    else if (name == "first_reals")
      firstTable = argument;
    else if (name == "flips")
      flipTable = argument;
    else if (name == "factors")
      factorTable = argument;
    else if (name == "shifts")
      shiftTable = argument;
  }
  Value block = gpu::BlockIdOp::create(b, loc, gpu::Dimension::x);
  Value thread = gpu::ThreadIdOp::create(b, loc, gpu::Dimension::x);
  Value index = k.add(k.mul(block, kThreads), thread);
  if (packed)
    emitCodes(index);
  else
    emitElement(index);
  gpu::ReturnOp::create(b, loc);
  b.setInsertionPointAfter(kernel);
  KernelProgram program;
  program.launches.push_back(std::move(launch));
  if (conv)
    program.packWeights =
        [weights = DirectWeights{getChannels(conv.getInput().getType()),
                                 shape.channels, int64_t(conv.getGroups())}](
            ArrayRef<int8_t> codes) { return weights.getValues(codes); };
  return program;
}

void Element::emitElement(Value index) {
  Value isElement = k.less(index, shape.getNumPixels() * shape.channels);
  scf::IfOp::create(b, loc, isElement, [&](OpBuilder &, Location) {
    Value element = computeElement(k.div(index, shape.channels),
                                   k.rem(index, shape.channels));
    memref::StoreOp::create(b, loc, element, args.output, index);
    scf::YieldOp::create(b, loc);
  });
}

void Element::emitCodes(Value index) {
  ArrayRef<FragmentSegment> segments = packed->pixel.segments;
  int64_t groups = countGroups(packed->pixel);
  Value pixel = k.div(index, groups);
  // The segments' groups of a pixel, one after the other.
  std::function<void(size_t, Value)> emitFrom = [&](size_t i, Value group) {
    if (i + 1 == segments.size())
      return emitSegment(segments[i], pixel, group);
    int64_t own = countGroups(segments[i]).second;
    scf::IfOp::create(
        b, loc, k.less(group, own),
        [&](OpBuilder &, Location) {
          emitSegment(segments[i], pixel, group);
          scf::YieldOp::create(b, loc);
        },
        [&](OpBuilder &, Location) {
          emitFrom(i + 1, k.add(group, -own));
          scf::YieldOp::create(b, loc);
        });
  };
  Value isGroup = k.less(index, shape.getNumPixels() * groups);
  scf::IfOp::create(b, loc, isGroup, [&](OpBuilder &, Location) {
    emitFrom(0, k.rem(index, groups));
    scf::YieldOp::create(b, loc);
  });
}

void Element::emitSegment(const FragmentSegment &segment, Value pixel,
                          Value group) {
  int64_t field = segment.getFieldBits(), codes = 32 / field;
  int64_t piece = segment.getFirstPiece(), last = segment.channels - 1;
  int64_t firstGroups = countGroups(segment).first;
  // In the segment: first channel, end of the piece's codes, and first word.
  Value isFirst = k.less(group, firstGroups);
  Value skipped = k.index(firstGroups * kGroup - piece);
  Value channel =
      k.sub(k.mul(group, kGroup), k.select(isFirst, k.index(0), skipped));
  Value end = k.select(isFirst, k.index(piece), k.index(segment.channels));
  end = arith::MinUIOp::create(b, loc, end, k.add(channel, kGroup));
  Value padding = k.index(firstGroups * field - segment.getWords(piece));
  Value word =
      k.sub(k.mul(group, field), k.select(isFirst, k.index(0), padding));
  word = k.add(k.add(k.mul(pixel, packed->pixel.words), word),
               segment.activationBase);
  Value words = k.div(k.add(k.sub(end, channel), codes - 1), codes);
  int64_t planes = segment.getNumPlanes();
  scf::ForOp::create(
      b, loc, k.index(0), words, k.index(1), ValueRange(),
      [&](OpBuilder &, Location, Value w, ValueRange) {
        Value first = k.add(channel, k.mul(w, codes));
        auto loop = scf::ForOp::create(
            b, loc, k.index(0), k.index(codes), k.index(1),
            SmallVector<Value>(planes, k.i32(0)),
            [&](OpBuilder &, Location, Value i, ValueRange sums) {
              // Behind the last channel are zeros.
              Value own = k.add(first, i);
              Value isCode = arith::CmpIOp::create(
                  b, loc, arith::CmpIPredicate::ult, own, end);
              auto pick = [&](llvm::function_ref<float(int8_t)> of) {
                return k.real(of(segment.level));
              };
              Value code = computeCode(
                  pick, pixel, k.add(k.min(own, last), segment.firstChannel));
              code = k.select(isCode, code, k.i32(0));
              Value place = k.toI32(k.mul(i, field));
              SmallVector<Value> next;
              for (auto [plane, sum] : llvm::enumerate(sums)) {
                Value bits = field > 1 || planes == 1
                                 ? code
                                 : k.bitAnd(k.shiftRight(code, plane), 1);
                bits = k.bitAnd(bits, (int64_t(1) << field) - 1);
                bits = arith::ShLIOp::create(b, loc, bits, place);
                next.push_back(arith::OrIOp::create(b, loc, sum, bits));
              }
              scf::YieldOp::create(b, loc, next);
            });
        for (auto [plane, value] : llvm::enumerate(loop.getResults()))
          memref::StoreOp::create(
              b, loc, value, args.output,
              k.add(k.add(word, w), int64_t(plane) * segment.tapWords));
        scf::YieldOp::create(b, loc);
      });
}

Value Element::loadTable(Value table, Value channel) {
  return memref::LoadOp::create(b, loc, table, channel);
}

Value Element::load(size_t source, Value pixel, Value channel) {
  const Source &from = sources[source];
  PixelShape shape = from.getShape();
  if (isa_and_nonnull<FlattenOp>(op)) {
    // Rows of all of an image's channels, each pixel of one after the other.
    int64_t pixels = shape.getImagePixels();
    pixel = k.add(k.mul(pixel, pixels), k.rem(channel, pixels));
    channel = k.div(channel, pixels);
  }
  if (from.table)
    channel = k.toIndex(loadTable(from.table, channel));
  if (from.order == Order::Packed)
    return loadPacked(from, pixel, channel);
  Value at = k.add(k.mul(pixel, shape.channels), channel);
  if (from.order == Order::Boundary) {
    int64_t pixels = shape.getImagePixels();
    Value plane = k.add(k.mul(k.div(pixel, pixels), shape.channels), channel);
    at = k.add(k.mul(plane, pixels), k.rem(pixel, pixels));
  }
  Value element = memref::LoadOp::create(b, loc, from.buffer, at);
  Type type = element.getType();
  if (type.isF32() || type.isInteger(32))
    return element;
  if (type.isInteger(8))
    return arith::ExtUIOp::create(b, loc, b.getI32Type(), element);
  element = arith::ExtSIOp::create(b, loc, b.getI32Type(), element);
  // HP24: -32768 from outside is no carrier.
  bool isCarrier = isa_and_present<CarrierAttr>(
      cast<RankedTensorType>(from.argument.getType()).getEncoding());
  if (from.order == Order::Boundary && isCarrier)
    element =
        arith::MaxSIOp::create(b, loc, element, k.i32(int(kLowestCarrier)));
  return element;
}

Value Element::loadPacked(const Source &source, Value pixel, Value channel) {
  PixelLayout layout = PixelLayout::get(getChannels(source.argument.getType()));
  ArrayRef<FragmentSegment> segments = layout.segments;
  Value start = k.mul(pixel, layout.words);
  auto loadFrom = [&](const FragmentSegment &segment) {
    int64_t field = segment.getFieldBits(), piece = segment.getFirstPiece();
    Value own = k.add(channel, -segment.firstChannel);
    int64_t padding = getPixelPlace(segment, piece) - piece;
    Value place = k.select(k.less(own, piece), own, k.add(own, padding));
    Value word =
        k.add(k.add(start, k.div(place, 32 / field)), segment.activationBase);
    Value shift = k.toI32(k.mul(k.rem(place, 32 / field), field));
    Value code;
    for (int64_t plane = 0; plane < segment.getNumPlanes(); ++plane) {
      Value bits = memref::LoadOp::create(
          b, loc, source.buffer, k.add(word, plane * segment.tapWords));
      bits = arith::ShRUIOp::create(b, loc, bits, shift);
      bits = k.bitAnd(bits, (int64_t(1) << field) - 1);
      code = plane == 0 ? bits : k.add(code, k.shiftLeft(bits, plane));
    }
    return code;
  };
  std::function<Value(size_t)> pick = [&](size_t i) -> Value {
    if (i + 1 == segments.size())
      return loadFrom(segments[i]);
    auto branch = scf::IfOp::create(
        b, loc, k.less(channel, segments[i + 1].firstChannel),
        [&](OpBuilder &, Location) {
          scf::YieldOp::create(b, loc, loadFrom(segments[i]));
        },
        [&](OpBuilder &, Location) {
          scf::YieldOp::create(b, loc, pick(i + 1));
        });
    return branch.getResult(0);
  };
  return pick(0);
}

Value Element::computeElement(Value pixel, Value channel) {
  if (codes)
    return computeByte(pixel, channel);
  if (auto pool = dyn_cast_or_null<SumPool2DOp>(op))
    return reduceWindow(
        getWindow(pool), pixel,
        [&](Value at, Value) { return load(0, at, channel); },
        [&](Value sum, Value code) { return k.add(sum, code); });
  if (auto conv = dyn_cast_or_null<Conv2DOp>(op))
    return sumProducts(conv, pixel, channel);
  Value value = load(0, pixel, channel);
  if (isa_and_nonnull<DequantizeOp>(op)) {
    Value at = k.add(loadTable(firstTable, channel), value);
    return loadTable(realTable, k.toIndex(at));
  }
  if (isa_and_nonnull<ToRealOp>(op))
    return k.scale(args, value, channel);
  auto getLowest = [](auto carrier) {
    return carrier.getRelu() ? 0 : kLowestCarrier;
  };
  if (auto carrier = dyn_cast_or_null<ToCarrierOp>(op))
    value = k.toCarrier(k.scale(args, value, channel), getLowest(carrier));
  else if (auto sum = dyn_cast_or_null<AddOp>(op))
    value = k.addCarriers(value, load(1, pixel, channel), getLowest(sum));
  if (getElementTypeOrSelf(result.getType()).isInteger(16))
    return arith::TruncIOp::create(b, loc, b.getI16Type(), value);
  return value;
}

Value Element::computeByte(Value pixel, Value channel) {
  Value level = loadTable(levelTable, channel);
  auto isLevel = [&](int8_t other) -> Value {
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, level,
                                 k.i32(other));
  };
  SmallVector<int8_t> all = codes.getLevels();
  auto pick = [&](llvm::function_ref<float(int8_t)> of) {
    Value picked = k.real(of(all.back()));
    for (int8_t other : ArrayRef(all).drop_back())
      picked = k.select(isLevel(other), k.real(of(other)), picked);
    return picked;
  };
  Value code = computeCode(pick, pixel, channel);
  Value bits = arith::ShLIOp::create(b, loc, k.i32(1), level);
  code = arith::AndIOp::create(b, loc, code, k.add(bits, -1));
  return arith::TruncIOp::create(b, loc, b.getI8Type(), code);
}

Value Element::computeCode(PickByLevel pick, Value pixel, Value channel) {
  bool hasSymmetric =
      codes.getGrid() == Grid::Midrise && codes.getFinestLevel() == 8;
  auto isSymmetric = [&]() -> Value {
    Value is = pick([](int8_t level) { return level == 8 ? 1.0f : 0.0f; });
    return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, is,
                                 k.real(0));
  };
  if (auto pool = dyn_cast_or_null<MaxPool2DOp>(op)) {
    // The symmetric level's bytes are signed: they compare with 128 added.
    Value flip;
    if (hasSymmetric)
      flip = k.select(isSymmetric(), k.i32(0x80), k.i32(0));
    auto flipped = [&](Value code) -> Value {
      return flip ? arith::XOrIOp::create(b, loc, code, flip) : code;
    };
    return flipped(reduceWindow(
        getWindow(pool), pixel,
        [&](Value at, Value) { return flipped(load(0, at, channel)); },
        [&](Value most, Value code) -> Value {
          return arith::MaxUIOp::create(b, loc, most, code);
        }));
  }
  Value value = load(0, pixel, channel);
  if (isa_and_nonnull<RequantizeOp>(op))
    return k.toCode(codes.getGrid(), k.scale(args, value, channel), pick);
  if (!isa_and_nonnull<QuantizeOp>(op)) {
    // Codes that are only moved. HP24: -128 of the symmetric level is -127.
    if (!hasSymmetric || sources[0].order != Order::Boundary)
      return value;
    Value isLowest = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq,
                                           value, k.i32(0x80));
    isLowest = arith::AndIOp::create(b, loc, isLowest, isSymmetric());
    return k.select(isLowest, k.i32(0x81), value);
  }
  Value real =
      arith::MulFOp::create(b, loc, value, loadTable(args.multiplier, channel));
  // HP10: NaN has code 0, which is what clamping makes of it but at the
  // symmetric level.
  if (hasSymmetric) {
    Value isNaN =
        arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO, real, real);
    isNaN = arith::AndIOp::create(b, loc, isNaN, isSymmetric());
    real = k.select(isNaN, k.real(0), real);
  }
  return k.toCode(codes.getGrid(), real, pick);
}

Value Element::reduceWindow(
    const Window &window, Value pixel,
    llvm::function_ref<Value(Value at, Value tap)> get,
    llvm::function_ref<Value(Value before, Value own)> combine) {
  Value row = k.div(pixel, window.outWidth);
  Value image = k.div(row, window.outHeight);
  Value top = k.mul(k.rem(row, window.outHeight), window.strides[0]);
  Value left = k.mul(k.rem(pixel, window.outWidth), window.strides[1]);
  auto loop = scf::ForOp::create(
      b, loc, k.index(0), k.index(window.getNumTaps()), k.index(1), k.i32(0),
      [&](OpBuilder &, Location, Value tap, ValueRange sums) {
        // Negative numbers are large ones here.
        Value tapY = k.div(tap, window.taps[1]);
        Value tapX = k.rem(tap, window.taps[1]);
        Value y = k.add(k.add(top, k.mul(tapY, window.dilations[0])),
                        -window.pads[0]);
        Value x = k.add(k.add(left, k.mul(tapX, window.dilations[1])),
                        -window.pads[1]);
        Value isInside = arith::AndIOp::create(b, loc, k.less(y, window.height),
                                               k.less(x, window.width));
        auto branch = scf::IfOp::create(
            b, loc, isInside,
            [&](OpBuilder &, Location) {
              Value at = k.add(k.mul(image, window.height), y);
              at = k.add(k.mul(at, window.width), x);
              scf::YieldOp::create(b, loc, get(at, tap));
            },
            [&](OpBuilder &, Location) {
              scf::YieldOp::create(b, loc, k.i32(0));
            });
        scf::YieldOp::create(b, loc,
                             combine(sums.front(), branch.getResult(0)));
      });
  return loop.getResult(0);
}

template <typename Pool> Window Element::getWindow(Pool pool) {
  PixelShape from = sources[0].getShape();
  Window window = {from.images,  from.height, from.width,
                   shape.height, shape.width, {},
                   {},           {},          {1, 1}};
  for (int i = 0; i < 2; ++i) {
    window.taps[i] = pool.getKernel()[i];
    window.strides[i] = pool.getStrides()[i];
    window.pads[i] = pool.getPads()[i];
  }
  return window;
}

Value Element::sumProducts(Conv2DOp conv, Value pixel, Value row) {
  Window window = Window::get(conv);
  int64_t groups = conv.getGroups();
  int64_t channels = sources[0].getShape().channels / groups;
  Value first = k.mul(k.div(row, shape.channels / groups), channels);
  Value weights = k.mul(row, channels * window.getNumTaps());
  auto multiply = [&](Value lhs, Value rhs) -> Value {
    return arith::MulIOp::create(b, loc, lhs, rhs);
  };
  // HP13: a tap outside the image is in no sum.
  auto sumPixel = [&](Value at, Value tap) {
    auto loop = scf::ForOp::create(
        b, loc, k.index(0), k.index(channels), k.index(1), k.i32(0),
        [&](OpBuilder &, Location, Value own, ValueRange sums) {
          Value channel = k.add(first, own);
          Value value = load(0, at, channel);
          if (flipTable) {
            value = arith::XOrIOp::create(b, loc, value,
                                          loadTable(flipTable, channel));
            value = k.add(multiply(value, loadTable(factorTable, channel)),
                          loadTable(shiftTable, channel));
          }
          Value weight = loadTable(
              args.weights,
              k.add(k.add(weights, k.mul(own, window.getNumTaps())), tap));
          scf::YieldOp::create(b, loc,
                               k.add(sums.front(), multiply(value, weight)));
        });
    return loop.getResult(0);
  };
  return reduceWindow(window, pixel, sumPixel,
                      [&](Value sum, Value own) { return k.add(sum, own); });
}

FailureOr<KernelProgram> sysmol::emitElementKernel(OpBuilder &b,
                                                   func::FuncOp function) {
  return Element(b, function).emit();
}
