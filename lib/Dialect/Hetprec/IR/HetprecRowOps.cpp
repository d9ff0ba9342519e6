//===- HetprecRowOps.cpp - Packed ops on few rows: checks and tiling ------===//

#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

#include "PackedOpUtils.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace sysmol::hetprec;

HETPREC_PACKED_OP_EFFECTS(GemvOp)
HETPREC_PACKED_OP_EFFECTS(PackRowsOp)
HETPREC_PACKED_OP_EFFECTS(SumRowsOp)

static int64_t getElementBits(Value value) {
  return cast<ShapedType>(value.getType()).getElementTypeBitWidth();
}

int64_t sysmol::hetprec::getRowWordBits(int64_t level) {
  return level <= 2 ? 8 : 32;
}

int64_t sysmol::hetprec::getStreamBytes(int64_t level, int64_t words) {
  switch (level) {
  case 1:
    return words * kLaneBlock;
  case 2:
    return (words / 4 * 3 + words % 4) * kLaneBlock;
  case 4:
    return (words + 1) / 2 * 4 * kLaneBlock;
  default:
    return words * 4 * kLaneBlock;
  }
}

//===----------------------------------------------------------------------===//
// GemvOp
//===----------------------------------------------------------------------===//

int64_t GemvOp::getSegmentBytes(int64_t s) {
  return getStreamBytes(getLevels()[s], getDim(getRows()[s], 1));
}

int64_t GemvOp::getNumTiles() { return getDim(getWeights(), 0); }

int64_t GemvOp::getTileOutputs() { return getTileBlocks() * kLaneBlock; }

LogicalResult GemvOp::verify() {
  size_t segments = getLevels().size();
  if (segments < 1 || segments > 3)
    return emitOpError("HP2: needs one to three segments");
  if (getRows().size() != segments || getCoefficients().size() != segments)
    return emitOpError("needs rows and a coefficient for each level");
  if (int64_t(getTileBlocks()) < 1)
    return emitOpError("tile_blocks must be at least 1");
  if (cast<ShapedType>(getInit().getType()).getRank() != 2 ||
      cast<ShapedType>(getWeights().getType()).getRank() != 2)
    return emitOpError("init is [rows, outputs], weights [tiles, bytes]");
  int64_t numRows = getDim(getInit(), 0), bytes = 0;
  for (auto [s, level, rows] : llvm::enumerate(getLevels(), getRows())) {
    if (failed(verifyLevel(*this, level)))
      return failure();
    if (cast<ShapedType>(rows.getType()).getRank() != 2 ||
        getDim(rows, 0) != numRows)
      return emitOpError("rows and init differ in their rows");
    if (getElementBits(rows) != getRowWordBits(level))
      return emitOpError() << "row words of level " << level << " have "
                           << getRowWordBits(level) << " bits, found "
                           << rows.getType();
    bytes += getSegmentBytes(s);
  }
  if (failed(verifyByteWords(*this, getLevels(), getByteWords(), getCentred(),
                             /*unit=*/4)))
    return failure();
  int64_t outputs = getDim(getInit(), 1), tiles = getNumTiles();
  if (getElementBits(getWeights()) != 8 ||
      getDim(getWeights(), 1) != bytes * int64_t(getTileBlocks()))
    return emitOpError() << "a tile of weights has "
                         << bytes * int64_t(getTileBlocks()) << " bytes, found "
                         << getWeights().getType();
  if (outputs <= (tiles - 1) * getTileOutputs() ||
      outputs > tiles * getTileOutputs())
    return emitOpError() << tiles << " tiles of " << getTileOutputs()
                         << " outputs do not fit " << outputs << " outputs";
  // Registers read tables whole.
  int64_t lanes = tiles * getTileOutputs();
  for (Value table :
       {getLaneBias(), getMultiplier(), getOffset(), getOutBits()})
    if (table && getDim(table, 0) != lanes)
      return emitOpError() << "tables have one entry for each of " << lanes
                           << " lanes, found " << table.getType();
  if (getRowBias() && getDim(getRowBias(), 0) != numRows)
    return emitOpError("row_bias has one number a row");
  if (getEpilogue() != Epilogue::Accumulator && !getMultiplier())
    return emitOpError("this epilogue needs a multiplier");
  bool isCodes = getEpilogue() == Epilogue::Codes;
  if ((isCodes || getEpilogue() == Epilogue::Real) && !getOffset())
    return emitOpError("this epilogue needs an offset");
  if (getRelu() && getEpilogue() != Epilogue::Carrier &&
      getEpilogue() != Epilogue::CarrierAdd)
    return emitOpError("relu is for carriers");
  if (!isCodes)
    return success();
  if (getOutLevels().empty())
    return emitOpError("codes need out_levels");
  for (int64_t level : getOutLevels())
    if (failed(verifyLevel(*this, level)))
      return failure();
  if (getOutLevels().size() > 1 && !getOutBits())
    return emitOpError("codes of several precisions need out_bits");
  return success();
}

SmallVector<utils::IteratorType> GemvOp::getLoopIteratorTypes() {
  return {utils::IteratorType::parallel};
}

SmallVector<Range> GemvOp::getIterationDomain(OpBuilder &b) {
  return {
      {b.getIndexAttr(0), b.getIndexAttr(getNumTiles()), b.getIndexAttr(1)}};
}

/// A tile number, or a number of tiles, in outputs.
static OpFoldResult toOutputs(OpBuilder &b, Location loc, OpFoldResult tiles,
                              int64_t tileOutputs) {
  AffineExpr d = b.getAffineDimExpr(0);
  return affine::makeComposedFoldedAffineApply(
      b, loc, AffineMap::get(1, 0, d * tileOutputs), {tiles});
}

FailureOr<TilingResult>
GemvOp::getTiledImplementation(OpBuilder &b, ArrayRef<OpFoldResult> offsets,
                               ArrayRef<OpFoldResult> sizes) {
  if (getDim(getInit(), 1) != getNumTiles() * getTileOutputs()) {
    emitOpError("only whole tiles can be separated");
    return failure();
  }
  Location loc = getLoc();
  OpFoldResult output = toOutputs(b, loc, offsets[0], getTileOutputs());
  OpFoldResult outputs = toOutputs(b, loc, sizes[0], getTileOutputs());
  SmallVector<Operation *> slices;
  auto slice = [&](Value source, ArrayRef<OpFoldResult> at,
                   ArrayRef<OpFoldResult> size) -> Value {
    SmallVector<OpFoldResult> strides(at.size(), b.getIndexAttr(1));
    auto op = tensor::ExtractSliceOp::create(b, loc, source, at, size, strides);
    slices.push_back(op);
    return op;
  };
  OpFoldResult zero = b.getIndexAttr(0);
  Value weights = slice(getWeights(), {offsets[0], zero},
                        {sizes[0], b.getIndexAttr(getDim(getWeights(), 1))});
  Value init = slice(getInit(), {zero, output},
                     {b.getIndexAttr(getDim(getInit(), 0)), outputs});
  IRMapping mapping;
  mapping.map(getWeights(), weights);
  mapping.map(getInit(), init);
  for (Value table :
       {getLaneBias(), getMultiplier(), getOffset(), getOutBits()})
    if (table && !mapping.contains(table))
      mapping.map(table, slice(table, {output}, {outputs}));
  auto tiled = cast<GemvOp>(b.clone(*getOperation(), mapping));
  tiled->getResult(0).setType(init.getType());
  return TilingResult{{tiled}, {tiled->getResult(0)}, slices};
}

LogicalResult GemvOp::getResultTilePosition(
    OpBuilder &b, unsigned, ArrayRef<OpFoldResult> offsets,
    ArrayRef<OpFoldResult> sizes, SmallVector<OpFoldResult> &resultOffsets,
    SmallVector<OpFoldResult> &resultSizes) {
  resultOffsets = {b.getIndexAttr(0),
                   toOutputs(b, getLoc(), offsets[0], getTileOutputs())};
  resultSizes = {b.getIndexAttr(getDim(getInit(), 0)),
                 toOutputs(b, getLoc(), sizes[0], getTileOutputs())};
  return success();
}

//===----------------------------------------------------------------------===//
// PackRowsOp, SumRowsOp
//===----------------------------------------------------------------------===//

LogicalResult PackRowsOp::verify() {
  int64_t level = getLevel(), count = getCount(), first = getFirst();
  if (failed(verifyLevel(*this, level)))
    return failure();
  if (count < 1 || first < 0 || first + count > getDim(getInput(), 1))
    return emitOpError("the segment must be channels of the input");
  int64_t words = llvm::divideCeil(count, getChannelsPerWord(level));
  if (getElementBits(getInit()) != getRowWordBits(level) ||
      getDim(getInit(), 0) != getDim(getInput(), 0) ||
      getDim(getInit(), 1) != words)
    return emitOpError() << "the init must have " << words << " words of "
                         << getRowWordBits(level) << " bits for each row";
  return success();
}

LogicalResult SumRowsOp::verify() {
  if (getFirsts().size() != getCounts().size() ||
      getFirsts().size() != getCoefficients().size())
    return emitOpError("needs a first channel, a count and a coefficient for "
                       "each segment");
  for (auto [first, count] : llvm::zip_equal(getFirsts(), getCounts()))
    if (count < 1 || first < 0 || first + count > getDim(getInput(), 1))
      return emitOpError("the segments must be channels of the input");
  if (getElementBits(getInit()) != 32 ||
      getDim(getInit(), 0) != getDim(getInput(), 0))
    return emitOpError("init has one i32 for each row");
  return success();
}
