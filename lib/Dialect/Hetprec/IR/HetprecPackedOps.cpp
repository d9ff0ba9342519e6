//===- HetprecPackedOps.cpp - Packed ops: checks and tiling ---------------===//

#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

#include "PackedOpUtils.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace sysmol::hetprec;

int64_t sysmol::hetprec::getChannelsPerWord(int64_t level) {
  switch (level) {
  case 1:
    return 8;
  case 2:
    return 3;
  default:
    return 4;
  }
}

int64_t sysmol::hetprec::getWordBits(int64_t level) {
  switch (level) {
  case 1:
  case 2:
    return 8;
  case 4:
    return 16;
  default:
    return 32;
  }
}

//===----------------------------------------------------------------------===//
// Shared
//===----------------------------------------------------------------------===//

HETPREC_PACKED_OP_EFFECTS(ContractOp)
HETPREC_PACKED_OP_EFFECTS(ContractOutputsOp)
HETPREC_PACKED_OP_EFFECTS(RequantizeLanesOp)

/// Words, and lanes counted from `lane_begin` on (the tiling driver takes an
/// iteration domain to begin at 0).
static SmallVector<Range> makeDomain(OpBuilder &b, int64_t words,
                                     int64_t laneCount) {
  OpFoldResult zero = b.getIndexAttr(0), one = b.getIndexAttr(1);
  return {{zero, b.getIndexAttr(words), one},
          {zero, b.getIndexAttr(laneCount), one}};
}

static OpFoldResult addConstant(OpBuilder &b, Location loc, OpFoldResult value,
                                int64_t constant) {
  AffineExpr d = b.getAffineDimExpr(0);
  return affine::makeComposedFoldedAffineApply(
      b, loc, AffineMap::get(1, 0, d + constant), {value});
}

/// Where a tile lies in the result: its lanes shifted by `lane_begin`.
static void setTilePosition(OpBuilder &b, Location loc, int64_t laneBegin,
                            ArrayRef<OpFoldResult> offsets,
                            ArrayRef<OpFoldResult> sizes,
                            SmallVector<OpFoldResult> &resultOffsets,
                            SmallVector<OpFoldResult> &resultSizes) {
  resultOffsets = {offsets[0], addConstant(b, loc, offsets[1], laneBegin)};
  resultSizes.assign(sizes.begin(), sizes.end());
}

namespace {
/// Slices of a lane op's operands for one tile of (words, lanes).
class TileBuilder {
public:
  TileBuilder(OpBuilder &builder, Location loc, ArrayRef<OpFoldResult> offsets,
              ArrayRef<OpFoldResult> sizes, int64_t laneBegin,
              int64_t rowsPerWord)
      : builder(builder), loc(loc), word(offsets[0]),
        lane(addConstant(builder, loc, offsets[1], laneBegin)), words(sizes[0]),
        lanes(sizes[1]) {
    row = scale(word, rowsPerWord);
    rows = scale(words, rowsPerWord);
  }

  /// `[R]` or `[R, X]`: the tile's rows, of which the last word may lack some.
  Value sliceRows(Value source) {
    return slice(source, row, countRows(source), builder.getIndexAttr(0),
                 getRank(source) > 1 ? sizeOf(source, 1) : OpFoldResult());
  }
  /// `[X, L]` or `[L]`: the tile's lanes, `shift` lanes on, of `size` elements
  /// each, and `extra` elements more.
  Value sliceLanes(Value source, int64_t shift = 0, int64_t extra = 0,
                   int64_t size = 1) {
    OpFoldResult begin = scale(addConstant(builder, loc, lane, shift), size);
    OpFoldResult count = addConstant(builder, loc, scale(lanes, size), extra);
    if (getRank(source) == 1)
      return slice(source, begin, count, {}, {});
    return slice(source, builder.getIndexAttr(0), sizeOf(source, 0), begin,
                 count);
  }
  /// `[R, L]` (one row a row).
  Value sliceRowsAndLanes(Value source) {
    return slice(source, row, countRows(source), lane, lanes);
  }
  /// `[W, L]`: the tile's words.
  Value sliceWords(Value source) {
    return slice(source, word, words, lane, lanes);
  }

private:
  static int64_t getRank(Value v) {
    return cast<ShapedType>(v.getType()).getRank();
  }
  OpFoldResult sizeOf(Value v, unsigned dim) {
    return builder.getIndexAttr(getDim(v, dim));
  }
  OpFoldResult countRows(Value source) {
    std::optional<int64_t> first = getConstantIntValue(row);
    std::optional<int64_t> most = getConstantIntValue(rows);
    if (!first || !most)
      return rows;
    return builder.getIndexAttr(std::min(*most, getDim(source, 0) - *first));
  }
  OpFoldResult scale(OpFoldResult value, int64_t factor) {
    AffineExpr d = builder.getAffineDimExpr(0);
    return affine::makeComposedFoldedAffineApply(
        builder, loc, AffineMap::get(1, 0, d * factor), {value});
  }
  Value slice(Value source, OpFoldResult offset0, OpFoldResult size0,
              OpFoldResult offset1, OpFoldResult size1) {
    SmallVector<OpFoldResult> offsets = {offset0}, sizes = {size0};
    if (getRank(source) > 1) {
      offsets.push_back(offset1);
      sizes.push_back(size1);
    }
    SmallVector<OpFoldResult> strides(offsets.size(), builder.getIndexAttr(1));
    auto op = tensor::ExtractSliceOp::create(builder, loc, source, offsets,
                                             sizes, strides);
    slices.push_back(op);
    return op;
  }

  OpBuilder &builder;
  Location loc;
  OpFoldResult word, lane, words, lanes, row, rows;

public:
  SmallVector<Operation *> slices;
};
} // namespace

/// The tile's lanes must be whole blocks, known now: everything behind it is
/// written for registers.
static FailureOr<int64_t> getStaticLanes(Operation *op, OpFoldResult size) {
  std::optional<int64_t> lanes = getConstantIntValue(size);
  if (!lanes || *lanes % kLaneBlock != 0) {
    op->emitOpError("tile sizes must be multiples of 64 lanes that divide the "
                    "lane count");
    return failure();
  }
  return *lanes;
}

//===----------------------------------------------------------------------===//
// ContractOp
//===----------------------------------------------------------------------===//

int64_t ContractOp::getRowsPerWord() {
  return getEpilogue() == Epilogue::Codes ? getChannelsPerWord(getOutLevel())
                                          : 1;
}

int64_t ContractOp::getNumRows() {
  return getDim(getSums() ? getSums() : getRows().front(), 0);
}

int64_t ContractOp::getReductionSize() {
  int64_t size = 0;
  for (Value rows : getRows())
    size += getDim(rows, 1);
  return size;
}

/// What a `contract` and a `contract_outputs` say of their segments and window.
/// Segments of bytes are summed one by one, those of words level by level.
template <typename Op>
static LogicalResult verifyWindow(Op op, bool areBytes = false) {
  ArrayRef<int64_t> taps = op.getTaps(), tapPhases = op.getTapPhases();
  ArrayRef<bool> folded = op.getFolded();
  int64_t phases = op.getPhases();
  size_t segments = op.getLevels().size();
  if (!folded.empty() && folded.size() != segments)
    return op->emitOpError("needs one entry of folded for each level, or none");
  size_t numLevels = segments;
  for (size_t s = 1; s < segments && !areBytes; ++s)
    if (op.getLevels()[s] == op.getLevels()[s - 1]) {
      if (op.isFolded(s - 1) || !op.isFolded(s) ||
          op.getCoefficients()[s] != op.getCoefficients()[s - 1] ||
          getElementTypeOrSelf(op.getLanes()[s]) !=
              getElementTypeOrSelf(op.getLanes()[s - 1]))
        return op->emitOpError("a level's folded segment follows its other one "
                               "and has the same coefficient and words");
      --numLevels;
    }
  if (numLevels < 1 || numLevels > 3)
    return op->emitOpError("HP2: needs one to three segments");
  if (taps.empty() || llvm::any_of(taps, [](int64_t t) { return t < 0; }))
    return op->emitOpError("needs taps, none of them negative");
  if (llvm::any_of(op.getCoefficients(),
                   [](int64_t c) { return c != int32_t(c); }))
    return op->emitOpError("coefficients have 32 bits");
  if (phases < 1)
    return op->emitOpError("needs at least one phase");
  if (!tapPhases.empty() && (tapPhases.size() != taps.size() ||
                             llvm::any_of(tapPhases, [&](int64_t p) {
                               return p < 0 || p >= phases;
                             })))
    return op->emitOpError(
        "needs one tap_phases entry in [0, phases) for each tap");
  return success();
}

LogicalResult ContractOp::verify() {
  size_t segments = getLevels().size();
  if (getSums()) {
    if (segments != 0 || !getLanes().empty() || !getRows().empty() ||
        !getTaps().empty() || !getTapPhases().empty() || getUniformRows() ||
        getLaneBytes())
      return emitOpError("sums are instead of lanes, rows and taps");
    if (!cast<ShapedType>(getSums().getType()).getElementType().isInteger(32))
      return emitOpError("sums have 32 bits");
  }
  int64_t laneBytes = getLaneBytes();
  if (laneBytes &&
      ((laneBytes != 1 && laneBytes != 2 && laneBytes != 4) ||
       getUniformRows() ||
       llvm::any_of(getLanes(),
                    [](Value lanes) {
                      return cast<ShapedType>(lanes.getType())
                                 .getElementTypeBitWidth() != 8;
                    }) ||
       llvm::any_of(getLevels(), [](int64_t level) { return level != 8; })))
    return emitOpError("lane_bytes, 1, 2 or 4, are of planes of bytes, whose "
                       "level is 8, and of rows with a word for each tap");
  ArrayRef<int64_t> tapBytes = getTapBytes();
  if (laneBytes
          ? tapBytes.size() != getTaps().size() ||
                llvm::any_of(tapBytes, [](int64_t n) { return n < 1 || n > 4; })
          : !tapBytes.empty())
    return emitOpError("needs tap_bytes in [1, 4], one for each tap, with "
                       "lane_bytes only");
  if (getLanes().size() != segments || getRows().size() != segments ||
      getCoefficients().size() != segments ||
      (!getStarts().empty() && getStarts().size() != segments))
    return emitOpError("needs one lanes, rows and coefficient for each level");
  if (!getSums() && failed(verifyWindow(*this, laneBytes != 0)))
    return failure();
  if (llvm::is_contained(getFolded(), true) &&
      (laneBytes || !getStarts().empty() || getSums()))
    return emitOpError("folded segments are of words that all rows read");
  if (getSumBits() != 16 && getSumBits() != 32)
    return emitOpError("sum_bits must be 16 or 32");
  if (failed(verifyByteWords(*this, getLevels(), getByteWords(), getCentred())))
    return failure();
  if ((getCentred() || !getByteWords().empty()) &&
      (getUniformRows() || getLaneBytes()))
    return emitOpError(
        "centred and byte_words are of rows of weights in words");
  int64_t numRows = getNumRows();
  for (auto [s, level, lanes, rows] :
       llvm::enumerate(getLevels(), getLanes(), getRows())) {
    if (failed(verifyLevel(*this, level)))
      return failure();
    for (Value v : {lanes, rows}) {
      int64_t bits = cast<ShapedType>(v.getType()).getElementTypeBitWidth();
      bool isSpread = level == 4 && bits == 32;
      bool areBytes = level == 8 && bits == 8 && v == lanes && getLaneBytes();
      if (bits != getWordBits(level) && !isSpread && !areBytes)
        return emitOpError()
               << "words of level " << level << " have " << getWordBits(level)
               << " bits, found " << v.getType();
    }
    if (getDim(rows, 0) != numRows && !ShapedType::isDynamic(numRows))
      return emitOpError("all segments must have the same rows");
    int64_t wordTaps = getUniformRows() ? 1 : getNumTaps(s);
    int64_t phases = getNumPhases(s);
    if (getDim(rows, 1) % wordTaps != 0)
      return emitOpError("a row has one word for each group and tap");
    if (getDim(lanes, 0) % phases != 0)
      return emitOpError("lanes need the same groups in each phase");
    if (getStarts().empty() && !ShapedType::isDynamic(getDim(lanes, 0)) &&
        getDim(rows, 1) / wordTaps != getDim(lanes, 0) / phases)
      return emitOpError("rows and lanes differ in their groups");
  }
  int64_t begin = getLaneBegin(), count = getLaneCount();
  if (count < kLaneBlock || count % kLaneBlock != 0)
    return emitOpError("lane_count must be a positive multiple of 64");
  if (numRows == 0)
    return emitOpError("needs rows");
  if (Value bias = getRowBias()) {
    Type type = cast<ShapedType>(bias.getType()).getElementType();
    int64_t size = getDim(bias, 0);
    if ((!type.isInteger(16) && !type.isInteger(32)) ||
        (size != numRows && !ShapedType::isDynamic(size) &&
         !ShapedType::isDynamic(numRows)))
      return emitOpError()
             << "row_bias is an integer of 16 or 32 bits for each "
                "of "
             << numRows << " rows, found " << bias.getType();
  }
  constexpr int64_t most = int64_t(1) << 40; // sums of these do not overflow
  auto isFar = [](int64_t lane) { return lane > most || lane < -most; };
  if (isFar(begin) || isFar(count) || isFar(getOrigin()) ||
      llvm::any_of(getTaps(), isFar))
    return emitOpError("lanes are counted to 2^40");
  int64_t written = getDim(getInit(), 1);
  if (begin < 0 || (!ShapedType::isDynamic(written) && begin + count > written))
    return emitOpError("writes lanes that the init does not have");
  if (laneBytes) {
    int64_t first = (begin + int64_t(getOrigin())) * laneBytes;
    int64_t last = first + (count - 1) * laneBytes + getReach() + 4;
    if (first < 0 ||
        llvm::any_of(
            getLanes(), [&](Value lanes) { return last > getDim(lanes, 1); }))
      return emitOpError("reads bytes that the planes do not have");
  } else if (!getSums()) {
    int64_t first = begin + int64_t(getOrigin());
    for (auto [s, lanes] : llvm::enumerate(getLanes())) {
      int64_t tap = isFolded(s) ? 0 : getReach();
      int64_t size = getDim(lanes, 1);
      if (first < 0 ||
          (!ShapedType::isDynamic(size) && first + count + tap > size))
        return emitOpError("reads lanes that the planes do not have");
    }
  }
  bool isCodes = getEpilogue() == Epilogue::Codes;
  if (isCodes) {
    if (failed(verifyLevel(*this, getOutLevel())))
      return failure();
    if (!getMask() || (getOutLevel() > 2 ? !getMultiplier() || !getOffset()
                                         : !getThresholds()))
      return emitOpError("codes need a mask, and thresholds (4 and 8 bits: "
                         "multiplier and offset)");
    if (getDim(getInit(), 0) !=
        int64_t(llvm::divideCeil(numRows, getRowsPerWord())))
      return emitOpError("rows must fill the words of the init, the last one "
                         "in part");
  } else if (getDim(getInit(), 0) != numRows) {
    return emitOpError("init must have one plane for each row");
  }
  bool needsMultiplier = getEpilogue() == Epilogue::Real ||
                         getEpilogue() == Epilogue::Carrier ||
                         getEpilogue() == Epilogue::CarrierAdd;
  if (needsMultiplier && !getMultiplier())
    return emitOpError("this epilogue needs a multiplier");
  if (getEpilogue() == Epilogue::Real && !getOffset())
    return emitOpError("real needs an offset");
  if (getRelu() && getEpilogue() != Epilogue::Carrier &&
      getEpilogue() != Epilogue::CarrierAdd)
    return emitOpError("relu is for carriers");
  return success();
}

SmallVector<utils::IteratorType> ContractOp::getLoopIteratorTypes() {
  return {utils::IteratorType::parallel, utils::IteratorType::parallel};
}

SmallVector<Range> ContractOp::getIterationDomain(OpBuilder &b) {
  return makeDomain(b, getDim(getInit(), 0), getLaneCount());
}

int64_t ContractOp::getReach() {
  return getTaps().empty() ? 0 : *llvm::max_element(getTaps());
}

int64_t ContractOp::getWindowSumLanes() {
  constexpr int64_t least = 2, most = 16, lanesForReach = 4;
  return kLaneBlock *
         std::clamp<int64_t>(
             llvm::divideCeil(lanesForReach * getReach(), kLaneBlock), least,
             most);
}

bool ContractOp::isWindowSum() {
  if (!getUniformRows() || getEpilogue() != Epilogue::Accumulator ||
      getNumRows() != 1 || !getStarts().empty() || getLaneBytes() != 0 ||
      getLaneBias() || getRowBias() || getReach() > kMostReach ||
      getPhases() > kMostPhases)
    return false;
  // Work as loads of 64 lanes: a word of level 4 or 8 takes four.
  int64_t words = 0, taps = getTaps().size(), phases = getPhases();
  int64_t bits = getSumBits();
  for (auto [s, level, rows] : llvm::enumerate(getLevels(), getRows()))
    if (!isFolded(int64_t(s)))
      words += getDim(rows, 1) * (level > 2 ? 4 : 1);
  // Pixels are put in turn (`predictWindowSum` has it in cycles), and twice
  // summed where tiles meet.
  constexpr int64_t kInTurn = 4;
  return 2 * phases * (words + kInTurn) + taps * bits / 8 < taps * words;
}

FailureOr<TilingResult>
ContractOp::getTiledImplementation(OpBuilder &b, ArrayRef<OpFoldResult> offsets,
                                   ArrayRef<OpFoldResult> sizes) {
  FailureOr<int64_t> lanes = getStaticLanes(*this, sizes[1]);
  if (failed(lanes))
    return failure();
  bool isStatic =
      getConstantIntValue(offsets[0]) && getConstantIntValue(sizes[0]);
  if (getNumRows() % getRowsPerWord() != 0 && !isStatic)
    return emitOpError("the last word lacks rows: tile it alone");
  TileBuilder tile(b, getLoc(), offsets, sizes, getLaneBegin(),
                   getRowsPerWord());
  int64_t window = getReach();
  int64_t laneBytes = getLaneBytes();
  if (laneBytes) // the last lane's word
    window += 4 - laneBytes;
  ContractOp tiled = cast<ContractOp>(b.clone(*getOperation()));
  for (OpOperand &lanes : tiled.getLanesMutable())
    lanes.set(tile.sliceLanes(lanes.get(), getOrigin(), window,
                              std::max<int64_t>(1, laneBytes)));
  for (MutableOperandRange range :
       {tiled.getRowsMutable(), tiled.getStartsMutable(),
        tiled.getBiasRowsMutable(), tiled.getThresholdsMutable(),
        tiled.getMultiplierMutable(), tiled.getOffsetMutable()})
    for (OpOperand &operand : range)
      operand.set(tile.sliceRows(operand.get()));
  for (OpOperand &operand : tiled.getLaneBiasMutable())
    operand.set(tile.sliceLanes(operand.get()));
  for (OpOperand &operand : tiled.getMaskMutable())
    operand.set(tile.sliceLanes(operand.get()));
  for (OpOperand &operand : tiled.getSumsMutable())
    operand.set(tile.sliceRowsAndLanes(operand.get()));
  for (OpOperand &operand : tiled.getRowBiasMutable())
    operand.set(cast<ShapedType>(operand.get().getType()).getRank() == 1
                    ? tile.sliceRows(operand.get())
                    : tile.sliceRowsAndLanes(operand.get()));
  Value init = tile.sliceWords(tiled.getInit());
  tiled.getInitMutable().assign(init);
  tiled->getResult(0).setType(init.getType());
  tiled.setOrigin(0);
  tiled.setLaneBegin(0);
  tiled.setLaneCount(*lanes);
  // The clone was made before its slices: they must dominate it.
  tiled->moveAfter(tile.slices.back());
  b.setInsertionPointAfter(tiled);
  return TilingResult{{tiled}, {tiled->getResult(0)}, tile.slices};
}

LogicalResult ContractOp::getResultTilePosition(
    OpBuilder &b, unsigned, ArrayRef<OpFoldResult> offsets,
    ArrayRef<OpFoldResult> sizes, SmallVector<OpFoldResult> &resultOffsets,
    SmallVector<OpFoldResult> &resultSizes) {
  setTilePosition(b, getLoc(), getLaneBegin(), offsets, sizes, resultOffsets,
                  resultSizes);
  return success();
}

//===----------------------------------------------------------------------===//
// ContractOutputsOp
//===----------------------------------------------------------------------===//

int64_t ContractOutputsOp::getNumTiles() { return getDim(getWeights(), 0); }

int64_t ContractOutputsOp::getNumColumns(int64_t s) {
  return getDim(getLanes()[s], 0) / getNumPhases(s) * getNumTaps(s);
}

int64_t ContractOutputsOp::getColumnBytes(int64_t level) {
  return kLaneBlock * (level <= 2 ? 1 : level / 2);
}

LogicalResult ContractOutputsOp::verify() {
  size_t segments = getLevels().size();
  if (getLanes().size() != segments || getCoefficients().size() != segments)
    return emitOpError("needs one lanes and coefficient for each level");
  if (failed(verifyWindow(*this)))
    return failure();
  int64_t bytes = 0;
  for (auto [s, level, lanes] : llvm::enumerate(getLevels(), getLanes())) {
    if (failed(verifyLevel(*this, level)))
      return failure();
    int64_t bits = cast<ShapedType>(lanes.getType()).getElementTypeBitWidth();
    if (bits != getWordBits(level) && !(level == 4 && bits == 32))
      return emitOpError() << "words of level " << level << " have "
                           << getWordBits(level) << " bits, found "
                           << lanes.getType();
    if (getDim(lanes, 0) % getNumPhases(int64_t(s)) != 0)
      return emitOpError("lanes need the same groups in each phase");
    bytes += getNumColumns(s) * getColumnBytes(level);
  }
  bytes *= int64_t(getTileBlocks());
  if (getTileBlocks() != 1 && getTileBlocks() != 2)
    return emitOpError("tile_blocks must be 1 or 2");
  if (failed(verifyByteWords(*this, getLevels(), getByteWords(), getCentred())))
    return failure();
  if (cast<ShapedType>(getWeights().getType()).getElementTypeBitWidth() != 8 ||
      getDim(getWeights(), 1) != bytes)
    return emitOpError() << "a tile of weights has " << bytes
                         << " bytes, found " << getWeights().getType();
  if (!cast<ShapedType>(getInit().getType()).getElementType().isInteger(32) ||
      getDim(getInit(), 0) != getNumTiles() * getTileOutputs())
    return emitOpError("init must have a row of i32 for each output of a tile");
  int64_t begin = getLaneBegin(), count = getLaneCount();
  if (count < kLaneBlock || count % kLaneBlock != 0)
    return emitOpError("lane_count must be a positive multiple of 64");
  if (int64_t(getUsedLanes()) < 1 || int64_t(getUsedLanes()) > count)
    return emitOpError("used_lanes must be in [1, lane_count]");
  if (LanesAttr layout = getLayoutAttr();
      layout &&
      (layout.getBase() != begin || layout.getSize() > getDim(getInit(), 1) ||
       layout.getUsedLanes() != int64_t(getUsedLanes())))
    return emitOpError("layout must be one of init's planes, begin at "
                       "lane_begin and have used_lanes");
  constexpr int64_t most = int64_t(1) << 40; // sums of these do not overflow
  auto isFar = [](int64_t lane) { return lane > most || lane < -most; };
  if (isFar(begin) || isFar(count) || isFar(getOrigin()) ||
      llvm::any_of(getTaps(), isFar))
    return emitOpError("lanes are counted to 2^40");
  bool hasPixels = !getTapPixels().empty();
  if (getStrides().size() != 2 || getImage().size() != (hasPixels ? 2 : 0) ||
      (hasPixels &&
       (getTapPixels().size() != 2 * getTaps().size() || !getLayout())))
    return emitOpError("tap_pixels are a row and a column for each tap, and "
                       "need a layout and the image's size; strides are two");
  constexpr int64_t mostPixels = int64_t(1) << 22; // nor products with lanes
  auto isOutside = [](int64_t size) { return size < 1 || size > mostPixels; };
  if (llvm::any_of(getStrides(), isOutside) ||
      llvm::any_of(getImage(), isOutside) ||
      llvm::any_of(getTapPixels(), [](int64_t pixel) {
        return pixel > mostPixels || pixel < -mostPixels;
      }))
    return emitOpError("strides and the image's sizes are 1 to 2^22, as are "
                       "distances of taps");
  int64_t first = begin + int64_t(getOrigin());
  int64_t last = first + count + *llvm::max_element(getTaps());
  bool inside = begin >= 0 && begin + count <= getDim(getInit(), 1) &&
                first >= 0 && llvm::all_of(getLanes(), [&](Value lanes) {
                  return last <= getDim(lanes, 1);
                });
  if (!inside)
    return emitOpError("reads or writes lanes that the planes do not have");
  return success();
}

SmallVector<utils::IteratorType> ContractOutputsOp::getLoopIteratorTypes() {
  return {utils::IteratorType::parallel};
}

SmallVector<Range> ContractOutputsOp::getIterationDomain(OpBuilder &b) {
  return {
      {b.getIndexAttr(0), b.getIndexAttr(getNumTiles()), b.getIndexAttr(1)}};
}

FailureOr<TilingResult>
ContractOutputsOp::getTiledImplementation(OpBuilder &b,
                                          ArrayRef<OpFoldResult> offsets,
                                          ArrayRef<OpFoldResult> sizes) {
  OpFoldResult zero = b.getIndexAttr(0);
  SmallVector<Operation *> slices;
  auto slice = [&](Value source, OpFoldResult first,
                   OpFoldResult count) -> Value {
    SmallVector<OpFoldResult> strides(2, b.getIndexAttr(1));
    auto op = tensor::ExtractSliceOp::create(
        b, getLoc(), source, {first, zero},
        {count, b.getIndexAttr(getDim(source, 1))}, strides);
    slices.push_back(op);
    return op;
  };
  Value weights = slice(getWeights(), offsets[0], sizes[0]);
  SmallVector<OpFoldResult> at, extents;
  if (failed(getResultTilePosition(b, 0, offsets, sizes, at, extents)))
    return failure();
  Value init = slice(getInit(), at[0], extents[0]);
  IRMapping mapping;
  mapping.map(getWeights(), weights);
  mapping.map(getInit(), init);
  auto tiled = cast<ContractOutputsOp>(b.clone(*getOperation(), mapping));
  tiled->getResult(0).setType(init.getType());
  return TilingResult{{tiled}, {tiled->getResult(0)}, slices};
}

LogicalResult ContractOutputsOp::getResultTilePosition(
    OpBuilder &b, unsigned, ArrayRef<OpFoldResult> offsets,
    ArrayRef<OpFoldResult> sizes, SmallVector<OpFoldResult> &resultOffsets,
    SmallVector<OpFoldResult> &resultSizes) {
  AffineMap toOutputs =
      AffineMap::get(1, 0, b.getAffineDimExpr(0) * getTileOutputs());
  auto scale = [&](OpFoldResult tiles) {
    return affine::makeComposedFoldedAffineApply(b, getLoc(), toOutputs,
                                                 {tiles});
  };
  resultOffsets = {scale(offsets[0]), b.getIndexAttr(0)};
  resultSizes = {scale(sizes[0]), b.getIndexAttr(getDim(getInit(), 1))};
  return success();
}

//===----------------------------------------------------------------------===//
// RequantizeLanesOp
//===----------------------------------------------------------------------===//

LogicalResult RequantizeLanesOp::verify() {
  if (failed(verifyLevel(*this, getOutLevel())))
    return failure();
  if (getOutLevel() > 2 ? !getMultiplier() || !getOffset()
                        : !getThresholds() || !getSigns())
    return emitOpError("needs thresholds and signs (4 and 8 bits: multiplier "
                       "and offset)");
  if (getDim(getInit(), 0) * getChannelsPerWord(getOutLevel()) !=
      getDim(getChannels(), 0))
    return emitOpError("channels must fill the words of the init");
  int64_t begin = getLaneBegin(), count = getLaneCount();
  if (count < kLaneBlock || count % kLaneBlock != 0)
    return emitOpError("lane_count must be a positive multiple of 64");
  constexpr int64_t most = int64_t(1) << 40; // sums of these do not overflow
  if (begin < 0 || begin > most || count > most ||
      llvm::any_of(ValueRange{getPlanes(), getInit()}, [&](Value planes) {
        int64_t size = getDim(planes, 1);
        return !ShapedType::isDynamic(size) && begin + count > size;
      }))
    return emitOpError("reads or writes lanes that the planes do not have");
  return success();
}

SmallVector<utils::IteratorType> RequantizeLanesOp::getLoopIteratorTypes() {
  return {utils::IteratorType::parallel, utils::IteratorType::parallel};
}

SmallVector<Range> RequantizeLanesOp::getIterationDomain(OpBuilder &b) {
  return makeDomain(b, getDim(getInit(), 0), getLaneCount());
}

FailureOr<TilingResult>
RequantizeLanesOp::getTiledImplementation(OpBuilder &b,
                                          ArrayRef<OpFoldResult> offsets,
                                          ArrayRef<OpFoldResult> sizes) {
  FailureOr<int64_t> lanes = getStaticLanes(*this, sizes[1]);
  if (failed(lanes))
    return failure();
  TileBuilder tile(b, getLoc(), offsets, sizes, getLaneBegin(),
                   getChannelsPerWord(getOutLevel()));
  RequantizeLanesOp tiled = cast<RequantizeLanesOp>(b.clone(*getOperation()));
  for (MutableOperandRange range :
       {MutableOperandRange(tiled.getChannelsMutable()),
        tiled.getThresholdsMutable(), tiled.getSignsMutable(),
        tiled.getMultiplierMutable(), tiled.getOffsetMutable()})
    for (OpOperand &operand : range)
      operand.set(tile.sliceRows(operand.get()));
  tiled.getPlanesMutable().assign(tile.sliceLanes(tiled.getPlanes()));
  tiled.getMaskMutable().assign(tile.sliceLanes(tiled.getMask()));
  Value init = tile.sliceWords(tiled.getInit());
  tiled.getInitMutable().assign(init);
  tiled->getResult(0).setType(init.getType());
  tiled.setLaneBegin(0);
  tiled.setLaneCount(*lanes);
  tiled->moveAfter(tile.slices.back());
  b.setInsertionPointAfter(tiled);
  return TilingResult{{tiled}, {tiled->getResult(0)}, tile.slices};
}

LogicalResult RequantizeLanesOp::getResultTilePosition(
    OpBuilder &b, unsigned, ArrayRef<OpFoldResult> offsets,
    ArrayRef<OpFoldResult> sizes, SmallVector<OpFoldResult> &resultOffsets,
    SmallVector<OpFoldResult> &resultSizes) {
  setTilePosition(b, getLoc(), getLaneBegin(), offsets, sizes, resultOffsets,
                  resultSizes);
  return success();
}

//===----------------------------------------------------------------------===//
// MacOp
//===----------------------------------------------------------------------===//

void MacOp::build(OpBuilder &b, OperationState &state, Value acc, Value lanes,
                  Value row, int64_t level, std::optional<Centred> centred) {
  build(b, state, acc.getType(), acc, lanes, row, level,
        /*signed_lanes=*/false, /*pair_bound=*/IntegerAttr(),
        centred ? CentredAttr::get(b.getContext(), *centred) : CentredAttr());
}

void MacOp::build(OpBuilder &b, OperationState &state, Value acc, Value lanes,
                  Value row, int64_t level, bool signedLanes,
                  IntegerAttr pairBound) {
  build(b, state, acc.getType(), acc, lanes, row, level, signedLanes, pairBound,
        /*centred=*/CentredAttr());
}

int64_t MacOp::getLargestProduct(int64_t level, bool centred) {
  if (level == 1)
    return getChannelsPerWord(level);
  return getChannelsPerWord(level) * (centred ? 2 * 3 : 3 * 3);
}

int64_t MacOp::getProduct(int64_t row, int64_t lane,
                          std::optional<Centred> centred) {
  if (!centred)
    return row * lane;
  if (*centred == Centred::Lanes)
    std::swap(row, lane);
  return row == 0 ? 3 - lane : (row - 1) * lane;
}

LogicalResult MacOp::verify() {
  if (getCentred() && getLevel() != 2)
    return emitOpError("centred codes are of level 2");
  if (getPairBound() && (getLevel() != 8 || int64_t(*getPairBound()) < 0))
    return emitOpError("pair_bound is of level 8, and not negative");
  if (failed(verifyLevel(*this, getLevel())))
    return failure();
  if (getAcc().getType() != getLanes().getType())
    return emitOpError("acc and lanes must have the same type");
  unsigned bits = getLevel() <= 2 ? 8 : 32;
  if (cast<VectorType>(getAcc().getType()).getElementTypeBitWidth() != bits)
    return emitOpError() << "level " << getLevel() << " sums in lanes of "
                         << bits << " bits";
  if (getRow().getType().getIntOrFloatBitWidth() != getWordBits(getLevel()))
    return emitOpError() << "a row word of level " << getLevel() << " has "
                         << getWordBits(getLevel()) << " bits";
  if (getSignedLanes() && getLevel() != 8)
    return emitOpError("signed_lanes is for level 8");
  return success();
}

//===----------------------------------------------------------------------===//
// JoinCodesOp
//===----------------------------------------------------------------------===//

LogicalResult JoinCodesOp::verify() {
  if (getLevel() != 4 && getLevel() != 8)
    return emitOpError("joins codes of level 4 or 8");
  auto slot = cast<VectorType>(getSlot0().getType());
  auto result = cast<VectorType>(getResult().getType());
  if (result.getNumElements() != slot.getNumElements())
    return emitOpError("needs a word for each lane");
  if (result.getElementTypeBitWidth() != getWordBits(getLevel()))
    return emitOpError() << "a word of level " << getLevel() << " has "
                         << getWordBits(getLevel()) << " bits";
  return success();
}

//===----------------------------------------------------------------------===//
// NarrowLanesOp
//===----------------------------------------------------------------------===//

LogicalResult NarrowLanesOp::verify() {
  int64_t lanes = cast<VectorType>(getLow().getType()).getNumElements();
  if (lanes % 2 != 0 ||
      cast<VectorType>(getResult().getType()).getNumElements() != 2 * lanes)
    return emitOpError("needs an even number of lanes, twice as many narrowed");
  return success();
}

//===----------------------------------------------------------------------===//
// SpareWordOp
//===----------------------------------------------------------------------===//

LogicalResult SpareWordOp::verify() {
  if (cast<VectorType>(getResult().getType()).getNumElements() % 8 != 0)
    return emitOpError("needs a multiple of eight lanes");
  return success();
}
