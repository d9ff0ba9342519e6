//===- HetprecOps.cpp - Verifiers and folders of the model ops ------------===//

#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>
#include <cstdlib>

using namespace mlir;
using namespace sysmol::hetprec;

/// `[0.5, 8.258230052e-03]`. The parser rounds to binary64 first, so a literal
/// must be nearer to its binary32 than to any midpoint: 9 digits are.
static void printFloats(OpAsmPrinter &printer, Operation *,
                        DenseF32ArrayAttr values) {
  printer << "[";
  llvm::interleaveComma(values.asArrayRef(), printer, [&](float value) {
    std::string text;
    llvm::raw_string_ostream(text) << llvm::format("%.6e", value);
    if (!std::isfinite(value))
      printer.printFloat(APFloat(value));
    else if (std::strtod(text.c_str(), nullptr) == value)
      printer << text;
    else
      printer << llvm::format("%.8e", value);
  });
  printer << "]";
}

static ParseResult parseFloats(OpAsmParser &parser, DenseF32ArrayAttr &values) {
  SmallVector<float> list;
  auto parseOne = [&]() -> ParseResult {
    APFloat value(0.0f);
    if (parser.parseFloat(APFloat::IEEEsingle(), value))
      return failure();
    list.push_back(value.convertToFloat());
    return success();
  };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseOne))
    return failure();
  values = parser.getBuilder().getDenseF32ArrayAttr(list);
  return success();
}

#define GET_OP_CLASSES
#include "sysmol/Dialect/Hetprec/IR/HetprecOps.cpp.inc"

//===----------------------------------------------------------------------===//
// Shared checks
//===----------------------------------------------------------------------===//

/// Activations carry their channels on dimension 1 and have one scale (HP6).
static LogicalResult verifyActivation(Operation *op, RankedTensorType type,
                                      StringRef name) {
  ChannelsAttr channels = getChannels(type);
  if (channels.getAxis() != 1 || channels.getGroups() != 1)
    return op->emitOpError()
           << name << " must have its channels on axis 1, in one group";
  if (channels.getScale().size() != 1)
    return op->emitOpError()
           << "HP6: " << name << " must have one scale for the whole tensor";
  return success();
}

/// HP11: the same precision on both sides; HP12: the accumulator's bound.
static LogicalResult verifyDotProduct(Operation *op, ChannelsAttr input,
                                      ChannelsAttr weights, double taps,
                                      int64_t groups) {
  if (weights.getGrid() != Grid::Midrise)
    return op->emitOpError("weights must have grid = midrise (HP3, HP4)");
  if (weights.getAxis() != 1)
    return op->emitOpError("weights must have their input channels on axis 1");
  if (weights.getGroups() != groups)
    return op->emitOpError()
           << "groups = " << groups
           << " but the weights' encoding has groups = " << weights.getGroups();
  if (input.getBits().size() != weights.getBits().size())
    return op->emitOpError()
           << "HP11: " << input.getBits().size() << " input channels but "
           << weights.getBits().size() << " weight channels";
  for (auto [c, a, w] : llvm::enumerate(input.getBits(), weights.getBits()))
    if (a != w)
      return op->emitOpError()
             << "HP11: channel " << c << " has " << int(a)
             << " bits in the input but " << int(w) << " in the weights";
  int8_t finest = input.getFinestLevel();
  int64_t perGroup = input.getBits().size() / groups;
  for (int64_t g = 0; g < groups; ++g) {
    // A double holds every such sum exactly enough to compare with 2^31.
    double bound = 0;
    for (int8_t p : input.getBits().slice(g * perGroup, perGroup))
      bound += double(getProductCount(input.getGrid(), p, finest)) *
               getMaxLevelValue(Grid::Midrise, p) *
               getMaxLevelValue(input.getGrid(), p) * taps;
    if (bound > 2147483647.0)
      return op->emitOpError()
             << "HP12: the accumulator's bound " << bound
             << " passes 2^31 - 1; use fewer channels or taps, or coarser "
                "levels";
  }
  return success();
}

/// `multiplier` and `offset` hold one finite value, or one per channel (HP15).
static LogicalResult verifyAffine(Operation *op, RankedTensorType type,
                                  ArrayRef<float> multiplier,
                                  std::optional<ArrayRef<float>> offset) {
  if (type.getRank() < 2)
    return op->emitOpError("needs a channel dimension 1");
  auto check = [&](ArrayRef<float> values, StringRef name,
                   bool zeroAllowed) -> LogicalResult {
    if (values.size() != 1 && int64_t(values.size()) != type.getDimSize(1))
      return op->emitOpError() << name << " has " << values.size()
                               << " values, expected 1 or the "
                               << type.getDimSize(1) << " channels";
    for (float v : values)
      if (!std::isfinite(v) || (v == 0 && !zeroAllowed))
        return op->emitOpError()
               << "HP15: " << name << " must be finite"
               << (zeroAllowed ? "" : " and not zero") << ", found " << v;
    return success();
  };
  if (failed(check(multiplier, "multiplier", /*zeroAllowed=*/false)))
    return failure();
  return offset ? check(*offset, "offset", /*zeroAllowed=*/true) : success();
}

/// Output size of a window op along one dimension, or failure with a reason.
static FailureOr<int64_t> getWindowedSize(Operation *op, int64_t size,
                                          int64_t before, int64_t after,
                                          int64_t kernel, int64_t stride,
                                          int64_t dilation) {
  // Limits keep every product below far inside 64 bits.
  constexpr int64_t limit = int64_t(1) << 24;
  for (int64_t v : {size, before, after, kernel, stride, dilation})
    if (v < 0 || v > limit)
      return op->emitOpError("sizes, kernel, pads, strides and dilations must "
                             "lie in [0, 2^24]");
  if (kernel < 1 || stride < 1 || dilation < 1)
    return op->emitOpError("kernel, strides and dilations must be positive");
  int64_t window = (kernel - 1) * dilation + 1;
  int64_t padded = size + before + after;
  if (padded < window)
    return op->emitOpError() << "a window of " << window
                             << " does not fit into the padded size " << padded;
  return (padded - window) / stride + 1;
}

static LogicalResult verifyShape(Operation *op, RankedTensorType type,
                                 ArrayRef<int64_t> expected) {
  if (type.getShape() == expected)
    return success();
  InFlightDiagnostic diag = op->emitOpError("result shape must be ");
  llvm::interleave(expected, diag, "x");
  return diag << ", found " << type;
}

/// Pools have no dilations.
static LogicalResult
verifyWindowAttrs(Operation *op, ArrayRef<int64_t> strides,
                  ArrayRef<int64_t> pads,
                  std::optional<ArrayRef<int64_t>> dilations = std::nullopt) {
  if (strides.size() == 2 && pads.size() == 4 &&
      (!dilations || dilations->size() == 2))
    return success();
  return op->emitOpError(dilations ? "needs 2 strides, 4 pads and 2 dilations"
                                   : "needs 2 strides and 4 pads");
}

static LogicalResult verifyConv(Operation *op, RankedTensorType input,
                                RankedTensorType filter,
                                RankedTensorType result,
                                ArrayRef<int64_t> strides,
                                ArrayRef<int64_t> pads,
                                ArrayRef<int64_t> dilations, int64_t groups) {
  if (input.getRank() != 4 || filter.getRank() != 4)
    return op->emitOpError("input and filter must have rank 4");
  if (!input.hasStaticShape() || !filter.hasStaticShape())
    return op->emitOpError("shapes must be static");
  if (failed(verifyWindowAttrs(op, strides, pads, dilations)) ||
      failed(verifyActivation(op, input, "input")))
    return failure();
  if (groups < 1 || input.getDimSize(1) % groups != 0 ||
      filter.getDimSize(0) % groups != 0)
    return op->emitOpError() << "groups = " << groups
                             << " must divide the input and output channels";
  if (filter.getDimSize(1) * groups != input.getDimSize(1))
    return op->emitOpError()
           << "the filter has " << filter.getDimSize(1) << " channels a group, "
           << "the input " << input.getDimSize(1) / groups;
  if (failed(verifyDotProduct(
          op, getChannels(input), getChannels(filter),
          double(filter.getDimSize(2)) * filter.getDimSize(3), groups)))
    return failure();
  SmallVector<int64_t> expected = {input.getDimSize(0), filter.getDimSize(0)};
  for (int dim : {0, 1}) {
    FailureOr<int64_t> size = getWindowedSize(
        op, input.getDimSize(2 + dim), pads[dim], pads[2 + dim],
        filter.getDimSize(2 + dim), strides[dim], dilations[dim]);
    if (failed(size))
      return failure();
    expected.push_back(*size);
  }
  return verifyShape(op, result, expected);
}

//===----------------------------------------------------------------------===//
// Quantization
//===----------------------------------------------------------------------===//

LogicalResult QuantizeOp::verify() {
  if (failed(verifyActivation(*this, getResult().getType(), "result")))
    return failure();
  ChannelsAttr channels = getChannels(getResult().getType());
  double scale = channels.getScale().front();
  for (int8_t p : channels.getLevels()) {
    double steps = channels.getGrid() == Grid::Unsigned ? (1 << p) - 1
                   : p == 8 ? 64
                            : std::ldexp(1.0, p - 2);
    float multiplier = float(steps / scale);
    if (multiplier == 0 || !std::isfinite(multiplier))
      return emitOpError() << "HP9: the scale " << scale << " makes the "
                           << "multiplier of its " << int(p) << "-bit level "
                           << (multiplier == 0 ? "0" : "infinite")
                           << " in binary32";
  }
  return success();
}

/// Level value times step of one code, in double (HP3-HP5).
static double getCodeValue(ChannelsAttr channels, int8_t level, double scale,
                           int8_t code) {
  if (channels.getGrid() == Grid::Unsigned)
    return scale * uint8_t(code) / ((1 << level) - 1);
  if (level == 8)
    return scale * 0x1p-6 * code;
  return scale * std::ldexp(1.0, 1 - level) * (2 * code + 1 - (1 << level));
}

/// quantize(dequantize(x)) is x where neither the value nor the multiplier of
/// HP7-HP9 leaves the normal numbers of binary32: the error of both roundings
/// is then far below half a step.
OpFoldResult QuantizeOp::fold(FoldAdaptor) {
  auto producer = getInput().getDefiningOp<DequantizeOp>();
  if (!producer || producer.getInput().getType() != getType())
    return {};
  double scale = getChannels(getType()).getScale().front();
  if (scale < 0x1p-100 || scale > 0x1p100)
    return {};
  return producer.getInput();
}

/// Folding never makes a constant larger than this many elements.
static constexpr int64_t foldLimit = int64_t(1) << 24;

OpFoldResult DequantizeOp::fold(FoldAdaptor adaptor) {
  auto codes = dyn_cast_or_null<DenseIntElementsAttr>(adaptor.getInput());
  RankedTensorType type = getInput().getType();
  if (!codes || codes.size() > foldLimit)
    return {};
  ChannelsAttr channels = getChannels(type);
  int64_t inner = 1;
  for (int64_t size : type.getShape().drop_front(channels.getAxis() + 1))
    inner *= size;
  int64_t perGroup = type.getDimSize(channels.getAxis());
  int64_t outputs = type.getDimSize(0);
  int64_t rowSize = type.getNumElements() / std::max<int64_t>(outputs, 1);
  SmallVector<float> values;
  values.reserve(type.getNumElements());
  for (auto [i, code] : llvm::enumerate(codes.getValues<int8_t>())) {
    int64_t row = i / std::max<int64_t>(rowSize, 1);
    int64_t group = row / (outputs / channels.getGroups());
    int64_t channel = int64_t(i) / inner % perGroup + group * perGroup;
    double scale = channels.getScale().size() == 1 ? channels.getScale()[0]
                                                   : channels.getScale()[row];
    values.push_back(
        getCodeValue(channels, channels.getBits()[channel], scale, code));
  }
  return DenseElementsAttr::get(getResult().getType(), ArrayRef<float>(values));
}

//===----------------------------------------------------------------------===//
// Dot products and pooling
//===----------------------------------------------------------------------===//

LogicalResult Conv2DOp::verify() {
  return verifyConv(*this, getInput().getType(), getFilter().getType(),
                    getResult().getType(), getStrides(), getPads(),
                    getDilations(), getGroups());
}

LogicalResult DepthwiseConv2DOp::verify() {
  if (getInput().getType().getRank() != 4)
    return emitOpError("input and filter must have rank 4");
  return verifyConv(*this, getInput().getType(), getFilter().getType(),
                    getResult().getType(), getStrides(), getPads(),
                    getDilations(), getInput().getType().getDimSize(1));
}

namespace {
/// One op fewer for everything below: a depthwise convolution is a grouped one.
struct DepthwiseToGrouped : OpRewritePattern<DepthwiseConv2DOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(DepthwiseConv2DOp op,
                                PatternRewriter &rewriter) const override {
    rewriter.replaceOpWithNewOp<Conv2DOp>(
        op, op.getType(), op.getInput(), op.getFilter(), op.getStrides(),
        op.getPads(), op.getDilations(), op.getInput().getType().getDimSize(1));
    return success();
  }
};
} // namespace

void DepthwiseConv2DOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                                    MLIRContext *context) {
  patterns.add<DepthwiseToGrouped>(context);
}

LogicalResult MatmulOp::verify() {
  RankedTensorType lhs = getLhs().getType(), rhs = getRhs().getType();
  if (lhs.getRank() != 2 || rhs.getRank() != 2)
    return emitOpError("operands must have rank 2");
  if (!lhs.hasStaticShape() || !rhs.hasStaticShape())
    return emitOpError("shapes must be static");
  if (failed(verifyActivation(*this, lhs, "lhs")))
    return failure();
  if (lhs.getDimSize(1) != rhs.getDimSize(1))
    return emitOpError() << "lhs has " << lhs.getDimSize(1) << " channels, rhs "
                         << rhs.getDimSize(1);
  if (failed(verifyDotProduct(*this, getChannels(lhs), getChannels(rhs),
                              /*taps=*/1, /*groups=*/1)))
    return failure();
  return verifyShape(*this, getResult().getType(),
                     {lhs.getDimSize(0), rhs.getDimSize(0)});
}

/// What is the same for all pools.
template <typename Pool> static LogicalResult verifyPool(Pool op) {
  RankedTensorType input = op.getInput().getType();
  if (input.getRank() != 4 || !input.hasStaticShape())
    return op.emitOpError("input must have rank 4 and a static shape");
  if (op.getKernel().size() != 2)
    return op.emitOpError("kernel needs 2 sizes");
  if (failed(verifyWindowAttrs(op, op.getStrides(), op.getPads())) ||
      failed(verifyActivation(op, input, "input")))
    return failure();
  // HP25: no window is empty.
  if (input.getDimSize(2) < 1 || input.getDimSize(3) < 1)
    return op.emitOpError()
           << "a pooled image needs a pixel, found " << input.getDimSize(2)
           << "x" << input.getDimSize(3);
  SmallVector<int64_t> expected = {input.getDimSize(0), input.getDimSize(1)};
  for (int dim : {0, 1}) {
    FailureOr<int64_t> size = getWindowedSize(
        op, input.getDimSize(2 + dim), op.getPads()[dim], op.getPads()[2 + dim],
        op.getKernel()[dim], op.getStrides()[dim], /*dilation=*/1);
    if (failed(size))
      return failure();
    expected.push_back(*size);
  }
  return verifyShape(op, op.getResult().getType(), expected);
}

LogicalResult SumPool2DOp::verify() {
  if (failed(verifyPool(*this)))
    return failure();
  ChannelsAttr channels = getChannels(getInput().getType());
  if (channels.getGrid() != Grid::Unsigned || channels.getLevels().size() != 1)
    return emitOpError("HP14: pools one precision of the unsigned grid");
  double bound = double(getKernel()[0]) * getKernel()[1] *
                 getMaxLevelValue(Grid::Unsigned, channels.getFinestLevel());
  if (bound > 2147483647.0)
    return emitOpError() << "HP12: the window's sum " << bound
                         << " passes 2^31 - 1";
  return success();
}

LogicalResult MaxPool2DOp::verify() {
  if (failed(verifyPool(*this)))
    return failure();
  ChannelsAttr channels = getChannels(getInput().getType());
  if (getChannels(getResult().getType()) != channels)
    return emitOpError() << "HP25: result encoding must be " << channels;
  for (int side = 0; side < 4; ++side)
    if (getPads()[side] >= getKernel()[side % 2])
      return emitOpError() << "HP25: pads must be smaller than the kernel of "
                           << getKernel()[side % 2];
  return success();
}

//===----------------------------------------------------------------------===//
// After the dot product
//===----------------------------------------------------------------------===//

LogicalResult RequantizeOp::verify() {
  if (failed(verifyActivation(*this, getResult().getType(), "result")))
    return failure();
  return verifyAffine(*this, getResult().getType(), getMultiplier(),
                      getOffset());
}

LogicalResult ToCarrierOp::verify() {
  std::optional<ArrayRef<float>> offset;
  if (!getOffset().empty())
    offset = getOffset();
  return verifyAffine(*this, getResult().getType(), getMultiplier(), offset);
}

LogicalResult ToRealOp::verify() {
  return verifyAffine(*this, getResult().getType(), getMultiplier(),
                      getOffset());
}

//===----------------------------------------------------------------------===//
// PermuteOp
//===----------------------------------------------------------------------===//

/// The bits of a grouped filter whose rows move by `permutation`; failure when
/// rows of different groups would mix.
static FailureOr<SmallVector<int8_t>>
permuteGroups(ChannelsAttr channels, ArrayRef<int64_t> permutation) {
  int64_t groups = channels.getGroups();
  size_t rows = permutation.size() / groups;
  size_t perGroup = channels.getBits().size() / groups;
  SmallVector<int8_t> bits;
  for (; !permutation.empty(); permutation = permutation.drop_front(rows)) {
    size_t source = permutation.front() / rows;
    for (int64_t row : permutation.take_front(rows))
      if (row / rows != source)
        return failure();
    llvm::append_range(bits,
                       channels.getBits().slice(source * perGroup, perGroup));
  }
  return bits;
}

LogicalResult PermuteOp::verify() {
  RankedTensorType type = cast<RankedTensorType>(getInput().getType());
  int64_t axis = getAxis();
  if (axis < 0 || axis >= type.getRank())
    return emitOpError() << "axis " << axis << " is outside rank "
                         << type.getRank();
  if (int64_t(getPermutation().size()) != type.getDimSize(axis))
    return emitOpError() << "permutation has " << getPermutation().size()
                         << " entries, dimension " << axis << " has "
                         << type.getDimSize(axis);
  SmallVector<int64_t> sorted(getPermutation());
  llvm::sort(sorted);
  for (auto [i, v] : llvm::enumerate(sorted))
    if (int64_t(i) != v)
      return emitOpError("permutation must name every index once");
  auto result = cast<RankedTensorType>(getResult().getType());
  ChannelsAttr from = getChannels(type), to = getChannels(result);
  if (!from)
    return type.getEncoding() == result.getEncoding()
               ? success()
               : emitOpError("must keep the encoding");
  ChannelsAttr expected = from;
  if (axis == from.getAxis()) {
    if (from.getGroups() != 1)
      return emitOpError("cannot reorder the channels of a grouped filter");
    SmallVector<int8_t> bits;
    for (int64_t i : getPermutation())
      bits.push_back(from.getBits()[i]);
    expected = from.withBits(bits);
  } else if (axis == 0) {
    if (from.getGroups() != 1) {
      auto bits = permuteGroups(from, getPermutation());
      if (failed(bits))
        return emitOpError("must not mix the rows of different groups");
      expected = from.withBits(*bits);
    }
    SmallVector<double> scale(from.getScale());
    if (scale.size() != 1)
      for (auto [value, i] : llvm::zip_equal(scale, getPermutation()))
        value = from.getScale()[i];
    expected = expected.withScale(scale);
  }
  if (to != expected)
    return emitOpError() << "result encoding must be " << expected;
  return success();
}

OpFoldResult PermuteOp::fold(FoldAdaptor adaptor) {
  if (llvm::is_sorted(getPermutation()))
    return getInput();
  auto input = dyn_cast_or_null<DenseElementsAttr>(adaptor.getInput());
  auto type = cast<RankedTensorType>(getResult().getType());
  if (!input)
    return {};
  if (input.isSplat())
    return input.reshape(type);
  // Whole bytes only: i1 constants are bit-packed.
  if (!type.getElementType().isIntOrFloat() ||
      type.getElementTypeBitWidth() % 8 != 0)
    return {};
  int64_t inner = type.getElementTypeBitWidth() / 8, outer = 1;
  for (int64_t size : type.getShape().drop_front(getAxis() + 1))
    inner *= size;
  for (int64_t size : type.getShape().take_front(getAxis()))
    outer *= size;
  int64_t count = getPermutation().size();
  ArrayRef<char> from = input.getRawData();
  std::vector<char> to(from.size());
  for (int64_t o = 0; o < outer; ++o)
    for (auto [i, source] : llvm::enumerate(getPermutation()))
      std::copy_n(from.begin() + (o * count + source) * inner, inner,
                  to.begin() + (o * count + i) * inner);
  return DenseElementsAttr::getFromRawBuffer(type, to);
}

namespace {
/// permute(permute(x, p), q) along one axis is permute(x, p o q).
struct ComposePermutes : OpRewritePattern<PermuteOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(PermuteOp op,
                                PatternRewriter &rewriter) const override {
    auto producer = op.getInput().getDefiningOp<PermuteOp>();
    if (!producer || producer.getAxis() != op.getAxis())
      return rewriter.notifyMatchFailure(op, "input permutes no such axis");
    SmallVector<int64_t> composed;
    for (int64_t i : op.getPermutation())
      composed.push_back(producer.getPermutation()[i]);
    rewriter.replaceOpWithNewOp<PermuteOp>(
        op, op.getType(), producer.getInput(), op.getAxis(), composed);
    return success();
  }
};
} // namespace

void PermuteOp::getCanonicalizationPatterns(RewritePatternSet &patterns,
                                            MLIRContext *context) {
  patterns.add<ComposePermutes>(context);
}

LogicalResult FlattenOp::verify() {
  RankedTensorType input = getInput().getType();
  RankedTensorType result = getResult().getType();
  if (input.getRank() != 4 || !input.hasStaticShape())
    return emitOpError("input must have rank 4 and a static shape");
  if (failed(verifyActivation(*this, input, "input")))
    return failure();
  int64_t pixels, channels;
  if (llvm::MulOverflow(input.getDimSize(2), input.getDimSize(3), pixels) ||
      llvm::MulOverflow(input.getDimSize(1), pixels, channels))
    return emitOpError("has too many elements");
  if (failed(verifyShape(*this, result, {input.getDimSize(0), channels})))
    return failure();
  ChannelsAttr from = getChannels(input);
  SmallVector<int8_t> bits;
  for (int8_t b : from.getBits())
    bits.append(pixels, b);
  if (getChannels(result) != from.withBits(bits))
    return emitOpError() << "result encoding must be " << from.withBits(bits);
  return success();
}

OpFoldResult FlattenOp::fold(FoldAdaptor adaptor) {
  auto input = dyn_cast_or_null<DenseElementsAttr>(adaptor.getInput());
  return input ? OpFoldResult(input.reshape(getType())) : OpFoldResult();
}
