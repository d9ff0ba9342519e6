//===- HetprecWinogradOps.cpp - 3x3 windows by tiles: checks and tiling ---===//

#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

#include "PackedOpUtils.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "sysmol/Dialect/Hetprec/IR/WinogradTiles.h"

using namespace mlir;
using namespace sysmol::hetprec;

HETPREC_PACKED_OP_EFFECTS(WinogradInputOp)
HETPREC_PACKED_OP_EFFECTS(WinogradContractOp)

/// Whether `value` is `rows x columns` integers of `bits` bits.
static bool isTable(Value value, int64_t rows, int64_t columns, unsigned bits) {
  auto type = cast<ShapedType>(value.getType());
  return type.hasRank() && type.getRank() == 2 && type.getDimSize(0) == rows &&
         type.getDimSize(1) == columns && type.getElementType().isInteger(bits);
}

/// Whether both dimensions are known, and small enough to be counted with.
static bool isKnown(Value value) {
  auto type = cast<ShapedType>(value.getType());
  constexpr int64_t most = int64_t(1) << 40;
  return type.hasStaticShape() && type.getRank() == 2 &&
         llvm::all_of(type.getShape(),
                      [](int64_t size) { return size >= 1 && size <= most; });
}

/// The tiles of `layout`.
static FailureOr<WinogradTiles> findTiles(Operation *op, LanesAttr layout) {
  std::optional<WinogradTiles> tiles = WinogradTiles::get(layout);
  if (tiles)
    return *tiles;
  op->emitOpError() << "rows of more than "
                    << WinogradTiles::kMostTiles * WinogradTiles::kSide
                    << " pixels have no tiles";
  return failure();
}

//===----------------------------------------------------------------------===//
// WinogradInputOp
//===----------------------------------------------------------------------===//

LogicalResult WinogradInputOp::verify() {
  LanesAttr layout = getLayout();
  FailureOr<WinogradTiles> tiles = findTiles(*this, layout);
  if (failed(tiles))
    return failure();
  if (!isKnown(getInput()))
    return emitOpError("needs planes of known sizes");
  int64_t words = getDim(getInput(), 0);
  if (!isTable(getInput(), words, layout.getSize(), 16))
    return emitOpError("reads planes of i16 words, laid out as its layout");
  if (words > WinogradTiles::kMostWords)
    return emitOpError() << "has at most " << WinogradTiles::kMostWords
                         << " words of channels";
  if (!isTable(getInit(), tiles->getNumPlanes(words), tiles->getPlaneLanes(),
               32))
    return emitOpError() << "writes " << tiles->getNumPlanes(words)
                         << " planes of i32, of " << tiles->getPlaneLanes()
                         << " lanes, found " << getInit().getType();
  ArrayRef<int64_t> pads = getPads();
  if (pads.size() != 2 || llvm::any_of(pads, [](int64_t pad) {
        return pad < 0 || pad > INT32_MAX;
      }))
    return emitOpError("needs two pads in [0, 2^31)");
  int64_t top = pads[0], left = pads[1];
  int64_t lastRow = WinogradTiles::kSide * (tiles->rows - 1) +
                    WinogradTiles::kPatch - 1 - top;
  int64_t last = layout.laneOf(layout.getImages() - 1, lastRow, -left) +
                 tiles->getReadColumns();
  if (layout.laneOf(0, -top, -left) < 0 || last > layout.getSize())
    return emitOpError("reads lanes that the planes do not have");
  return success();
}

//===----------------------------------------------------------------------===//
// WinogradContractOp
//===----------------------------------------------------------------------===//

int64_t WinogradContractOp::getNumWords() {
  return getDim(getLanes(), 0) /
         WinogradTiles::get(getLayout())->getNumPlanes(/*words=*/1);
}

int64_t WinogradContractOp::getNumTiles() {
  return getDim(getInit(), 0) / WinogradTiles::kOutputs;
}

LogicalResult WinogradContractOp::verify() {
  LanesAttr layout = getLayout();
  FailureOr<WinogradTiles> tiles = findTiles(*this, layout);
  if (failed(tiles))
    return failure();
  if (!isKnown(getLanes()) || !isKnown(getInit()))
    return emitOpError("needs planes of known sizes");
  int64_t words = getNumWords(), rows = getDim(getInit(), 0);
  if (words > WinogradTiles::kMostWords)
    return emitOpError() << "has at most " << WinogradTiles::kMostWords
                         << " words of channels";
  if (words < 1 || !isTable(getLanes(), tiles->getNumPlanes(words),
                            tiles->getPlaneLanes(), 32))
    return emitOpError() << "lanes are " << tiles->getNumPlanes(/*words=*/1)
                         << " planes of i32 for each word, of "
                         << tiles->getPlaneLanes() << " lanes, found "
                         << getLanes().getType();
  if (rows % WinogradTiles::kOutputs != 0 ||
      !isTable(getInit(), rows, layout.getSize(), 32))
    return emitOpError("init must be planes of i32, a multiple of 8, laid out "
                       "as its layout");
  if (!isTable(getRows(), rows, 9 * words, 16))
    return emitOpError() << "rows have " << 9 * words
                         << " words of i16 for each plane of init, found "
                         << getRows().getType();
  if (!isTable(getSeeds(), rows, 4, 32))
    return emitOpError("seeds are four i32 for each plane of init");
  if (int64_t(getCoefficient()) < 1 || int64_t(getCoefficient()) > INT16_MAX)
    return emitOpError("coefficient must be in [1, 32767]");
  // A last tile may write one pixel behind its row.
  if (layout.laneOf(layout.getImages() - 1, layout.getHeight() - 1,
                    WinogradTiles::kSide * tiles->columns - 1) >=
      layout.getSize())
    return emitOpError("writes lanes that the planes do not have");
  int64_t written = WinogradTiles::kSide * tiles->columns;
  if (tiles->getNumRows() > 1 && layout.getRowStride() < written)
    return emitOpError() << "rows are at least " << written
                         << " lanes apart, or the last tile of one writes "
                            "into the next";
  if (layout.getImages() > 1 &&
      layout.getImageStride() <
          (layout.getHeight() - 1) * layout.getRowStride() + written)
    return emitOpError("the last tile of an image writes into the next");
  return success();
}

SmallVector<utils::IteratorType> WinogradContractOp::getLoopIteratorTypes() {
  return {utils::IteratorType::parallel};
}

SmallVector<Range> WinogradContractOp::getIterationDomain(OpBuilder &b) {
  return {
      {b.getIndexAttr(0), b.getIndexAttr(getNumTiles()), b.getIndexAttr(1)}};
}

FailureOr<TilingResult>
WinogradContractOp::getTiledImplementation(OpBuilder &b,
                                           ArrayRef<OpFoldResult> offsets,
                                           ArrayRef<OpFoldResult> sizes) {
  SmallVector<OpFoldResult> at, extents;
  if (failed(getResultTilePosition(b, 0, offsets, sizes, at, extents)))
    return failure();
  SmallVector<Operation *> slices;
  IRMapping mapping;
  for (Value source : {Value(getRows()), Value(getSeeds()), Value(getInit())}) {
    SmallVector<OpFoldResult> strides(2, b.getIndexAttr(1));
    auto slice = tensor::ExtractSliceOp::create(
        b, getLoc(), source, at,
        {extents[0], b.getIndexAttr(getDim(source, 1))}, strides);
    slices.push_back(slice);
    mapping.map(source, slice);
  }
  auto tiled = cast<WinogradContractOp>(b.clone(*getOperation(), mapping));
  tiled->getResult(0).setType(tiled.getInit().getType());
  return TilingResult{{tiled}, {tiled->getResult(0)}, slices};
}

LogicalResult WinogradContractOp::getResultTilePosition(
    OpBuilder &b, unsigned, ArrayRef<OpFoldResult> offsets,
    ArrayRef<OpFoldResult> sizes, SmallVector<OpFoldResult> &resultOffsets,
    SmallVector<OpFoldResult> &resultSizes) {
  AffineMap toRows =
      AffineMap::get(1, 0, b.getAffineDimExpr(0) * WinogradTiles::kOutputs);
  auto scale = [&](OpFoldResult tiles) {
    return affine::makeComposedFoldedAffineApply(b, getLoc(), toRows, {tiles});
  };
  resultOffsets = {scale(offsets[0]), b.getIndexAttr(0)};
  resultSizes = {scale(sizes[0]), b.getIndexAttr(getDim(getInit(), 1))};
  return success();
}
