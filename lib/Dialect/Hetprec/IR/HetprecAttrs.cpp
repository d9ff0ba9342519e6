//===- HetprecAttrs.cpp - Encodings of the hetprec dialect ----------------===//

#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/TypeSwitch.h"
#include <cmath>

using namespace mlir;
using namespace sysmol::hetprec;

#include "sysmol/Dialect/Hetprec/IR/HetprecEnums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "sysmol/Dialect/Hetprec/IR/HetprecAttrs.cpp.inc"

void HetprecDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "sysmol/Dialect/Hetprec/IR/HetprecAttrs.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// Units (HP11)
//===----------------------------------------------------------------------===//

int64_t sysmol::hetprec::getUnitDivisor(Grid activationGrid, int8_t finest) {
  bool isUnsigned = activationGrid == Grid::Unsigned;
  switch (finest) {
  case 1:
    return 1;
  case 2:
    return isUnsigned ? 6 : 4;
  case 4:
    return isUnsigned ? 120 : 64;
  default:
    return isUnsigned ? 16320 : 4096;
  }
}

int64_t sysmol::hetprec::getProductCount(Grid activationGrid, int8_t level,
                                         int8_t finest) {
  return getUnitDivisor(activationGrid, finest) /
         getUnitDivisor(activationGrid, level);
}

int64_t sysmol::hetprec::getMaxLevelValue(Grid grid, int8_t level) {
  if (grid == Grid::Midrise && level == 8)
    return 127;
  return (int64_t(1) << level) - 1;
}

//===----------------------------------------------------------------------===//
// ChannelsAttr
//===----------------------------------------------------------------------===//

static ParseResult parseScale(AsmParser &parser, SmallVector<double> &scale) {
  auto parseOne = [&]() { return parser.parseFloat(scale.emplace_back()); };
  if (succeeded(parser.parseOptionalLSquare())) {
    if (succeeded(parser.parseOptionalRSquare()))
      return success(); // named by the verifier (HP6)
    return failure(parser.parseCommaSeparatedList(parseOne) ||
                   parser.parseRSquare());
  }
  return parseOne();
}

static ParseResult parseBits(AsmParser &parser, SmallVector<int8_t> &bits) {
  return parser.parseCommaSeparatedList(
      AsmParser::Delimiter::Square, [&]() -> ParseResult {
        int64_t precision, count = 1;
        if (parser.parseInteger(precision))
          return failure();
        SMLoc loc = parser.getCurrentLocation();
        if (succeeded(parser.parseOptionalKeyword("x")) &&
            parser.parseInteger(count))
          return failure();
        // A short text must not ask for unlimited memory.
        constexpr int64_t limit = int64_t(1) << 24;
        if (count < 1 || count > limit - int64_t(bits.size()))
          return parser.emitError(loc, "a tensor has 1 to 2^24 channels");
        if (precision < 0 || precision > 127)
          precision = 0; // named by the verifier (HP1)
        bits.append(count, precision);
        return success();
      });
}

Attribute ChannelsAttr::parse(AsmParser &parser, Type) {
  int64_t axis, groups = 1;
  SmallVector<double> scale;
  SmallVector<int8_t> bits;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseKeyword("axis") ||
      parser.parseEqual() || parser.parseInteger(axis) || parser.parseComma() ||
      parser.parseKeyword("grid") || parser.parseEqual())
    return {};
  FailureOr<Grid> grid = FieldParser<Grid>::parse(parser);
  if (failed(grid) || parser.parseComma() || parser.parseKeyword("scale") ||
      parser.parseEqual() || parseScale(parser, scale) || parser.parseComma() ||
      parser.parseKeyword("bits") || parser.parseEqual() ||
      parseBits(parser, bits))
    return {};
  if (succeeded(parser.parseOptionalComma()) &&
      (parser.parseKeyword("groups") || parser.parseEqual() ||
       parser.parseInteger(groups)))
    return {};
  if (parser.parseGreater())
    return {};
  return parser.getChecked<ChannelsAttr>(
      loc, parser.getContext(), axis, *grid,
      parser.getBuilder().getDenseF64ArrayAttr(scale), bits, groups);
}

void ChannelsAttr::print(AsmPrinter &printer) const {
  printer << "<axis = " << getAxis() << ", grid = " << getGrid()
          << ", scale = ";
  auto printOne = [&](double value) { printer.printFloat(APFloat(value)); };
  if (getScale().size() == 1) {
    printOne(getScale().front());
  } else {
    printer << "[";
    llvm::interleaveComma(getScale(), printer, printOne);
    printer << "]";
  }
  printer << ", bits = [";
  ArrayRef<int8_t> rest = getBits();
  while (!rest.empty()) {
    size_t run = rest.take_while([&](int8_t b) { return b == rest[0]; }).size();
    printer << int(rest[0]);
    if (run > 1)
      printer << " x " << run;
    rest = rest.drop_front(run);
    if (!rest.empty())
      printer << ", ";
  }
  printer << "]";
  if (getGroups() != 1)
    printer << ", groups = " << getGroups();
  printer << ">";
}

LogicalResult
ChannelsAttr::verify(llvm::function_ref<InFlightDiagnostic()> emitError,
                     int64_t axis, Grid grid, DenseF64ArrayAttr scaleAttr,
                     ArrayRef<int8_t> bits, int64_t groups) {
  ArrayRef<double> scale = scaleAttr.asArrayRef();
  if (axis < 0)
    return emitError() << "axis must not be negative";
  if (groups < 1 || bits.size() % groups != 0)
    return emitError() << "groups = " << groups << " does not divide the "
                       << bits.size() << " channels";
  if (bits.empty())
    return emitError() << "at least one channel is needed";
  // HP6.
  if (scale.empty())
    return emitError() << "HP6: a scale is needed";
  for (double s : scale)
    if (!std::isfinite(s) || s <= 0)
      return emitError() << "HP6: a scale must be finite and positive, found "
                         << s;
  // HP1.
  llvm::SmallDenseSet<int> levels;
  for (auto [channel, b] : llvm::enumerate(bits)) {
    if (b != 1 && b != 2 && b != 4 && b != 8)
      return emitError() << "HP1: channel " << channel
                         << " must have 1, 2, 4 or 8 bits";
    levels.insert(b);
  }
  // HP2.
  if (levels.size() > 3)
    return emitError() << "HP2: four different precisions (1, 2, 4, 8) in one "
                          "tensor; at most three are allowed";
  return success();
}

LogicalResult ChannelsAttr::verifyEncoding(
    ArrayRef<int64_t> shape, Type elementType,
    llvm::function_ref<InFlightDiagnostic()> emitError) const {
  // The parser asks even after it failed to read the element type.
  if (!elementType)
    return failure();
  if (!elementType.isSignlessInteger(8))
    return emitError() << "codes are i8, found " << elementType;
  if (getAxis() >= int64_t(shape.size()))
    return emitError() << "channel axis " << getAxis()
                       << " is outside a tensor of rank " << shape.size();
  int64_t channels = shape[getAxis()];
  if (ShapedType::isDynamic(channels))
    return emitError() << "the channel dimension must be static";
  if (channels != int64_t(getBits().size()) / getGroups())
    return emitError() << "dimension " << getAxis() << " has " << channels
                       << " channels" << (getGroups() > 1 ? " a group" : "")
                       << " but bits has " << getBits().size();
  if (getScale().size() != 1 &&
      (getAxis() == 0 || int64_t(getScale().size()) != shape[0]))
    return emitError() << "HP6: scale needs one value, or one for each of the "
                       << shape[0] << " output channels, found "
                       << getScale().size();
  if (getGroups() > 1 && (getAxis() == 0 || shape[0] % getGroups() != 0))
    return emitError() << "groups = " << getGroups()
                       << " does not divide the output channels";
  return success();
}

SmallVector<int8_t> ChannelsAttr::getLevels() const {
  SmallVector<int8_t> levels(getBits());
  llvm::sort(levels);
  levels.erase(llvm::unique(levels), levels.end());
  return levels;
}

int8_t ChannelsAttr::getFinestLevel() const {
  return *llvm::max_element(getBits());
}

int64_t ChannelsAttr::getNumChannels(int8_t level) const {
  return llvm::count(getBits(), level);
}

bool ChannelsAttr::isSegmented() const { return llvm::is_sorted(getBits()); }

double ChannelsAttr::getStep(int64_t channel) const {
  int8_t p = getBits()[channel];
  double s = getScale().front();
  if (getGrid() == Grid::Unsigned)
    return s / ((1 << p) - 1);
  return p == 8 ? s * 0x1p-6 : s * std::ldexp(1.0, 2 - p);
}

ChannelsAttr ChannelsAttr::withBits(ArrayRef<int8_t> bits) const {
  return get(getContext(), getAxis(), getGrid(), getScaleAttr(), bits,
             getGroups());
}

ChannelsAttr ChannelsAttr::withScale(ArrayRef<double> scale) const {
  return get(getContext(), getAxis(), getGrid(),
             DenseF64ArrayAttr::get(getContext(), scale), getBits(),
             getGroups());
}

//===----------------------------------------------------------------------===//
// CarrierAttr
//===----------------------------------------------------------------------===//

Attribute CarrierAttr::parse(AsmParser &parser, Type) {
  double delta;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseKeyword("delta") ||
      parser.parseEqual() || parser.parseFloat(delta) || parser.parseGreater())
    return {};
  return parser.getChecked<CarrierAttr>(
      loc, parser.getContext(), parser.getBuilder().getF64FloatAttr(delta));
}

void CarrierAttr::print(AsmPrinter &printer) const {
  printer << "<delta = ";
  printer.printFloat(APFloat(getDelta()));
  printer << ">";
}

LogicalResult
CarrierAttr::verify(llvm::function_ref<InFlightDiagnostic()> emitError,
                    FloatAttr deltaAttr) {
  double delta = deltaAttr.getValueAsDouble();
  if (!std::isfinite(delta) || delta <= 0)
    return emitError() << "HP17: delta must be finite and positive, found "
                       << delta;
  return success();
}

LogicalResult CarrierAttr::verifyEncoding(
    ArrayRef<int64_t>, Type elementType,
    llvm::function_ref<InFlightDiagnostic()> emitError) const {
  if (!elementType)
    return failure();
  if (!elementType.isSignlessInteger(16))
    return emitError() << "HP17: a carrier is i16, found " << elementType;
  return success();
}

//===----------------------------------------------------------------------===//
// LanesAttr
//===----------------------------------------------------------------------===//

LogicalResult
LanesAttr::verify(llvm::function_ref<InFlightDiagnostic()> emitError,
                  int64_t images, int64_t height, int64_t width,
                  int64_t rowStride, int64_t imageStride, int64_t base,
                  int64_t size) {
  if (images < 1 || height < 1 || width < 1)
    return emitError() << "images, height and width must be positive";
  // Limits keep every product below inside 64 bits.
  for (int64_t v : {images, height, width, rowStride, imageStride, base, size})
    if (v > INT32_MAX)
      return emitError() << "sizes and strides must be below 2^31, found " << v;
  if (rowStride < width || imageStride < (height - 1) * rowStride + width)
    return emitError() << "rows or images overlap";
  if (base < 0 ||
      base + (images - 1) * imageStride + (height - 1) * rowStride + width >
          size)
    return emitError() << "the pixels do not fit into " << size << " lanes";
  return success();
}

bool LanesAttr::isPixel(int64_t lane) const {
  int64_t rest = lane - getBase();
  if (rest < 0 || rest >= getImages() * getImageStride())
    return false;
  rest %= getImageStride();
  return rest / getRowStride() < getHeight() &&
         rest % getRowStride() < getWidth();
}

float sysmol::hetprec::getQuantizeMultiplier(ChannelsAttr encoding,
                                             int64_t level) {
  // HP7-HP9.
  double scale = encoding.getScale().front();
  if (encoding.getGrid() == Grid::Unsigned)
    return float(((1 << level) - 1) / scale);
  return float(level == 8 ? 64.0 / scale
                          : std::ldexp(1.0, int(level) - 2) / scale);
}

SmallVector<float> sysmol::hetprec::getLevelReals(ChannelsAttr encoding,
                                                  int64_t level) {
  double scale = encoding.getScale().front();
  SmallVector<float> values;
  for (int code = 0; code < 1 << level; ++code)
    values.push_back(float(
        encoding.getGrid() == Grid::Unsigned ? scale * code / ((1 << level) - 1)
        : level == 8 ? scale * 0x1p-6 * int8_t(code)
                     : scale * std::ldexp(1.0, 1 - int(level)) *
                           (2 * code + 1 - (1 << level))));
  return values;
}
