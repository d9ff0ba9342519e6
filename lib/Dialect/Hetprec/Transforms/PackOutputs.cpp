//===- PackOutputs.cpp - Dot products whose lanes are outputs -------------===//

#include "PackUtils.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace sysmol::hetprec;

/// Blocks of 64 outputs in a tile: a word, once broadcast, is used for both.
static constexpr int64_t kTileBlocks = 2;

Value ContractBuilder::makeOutputWeights(ArrayRef<int64_t> rows,
                                         ArrayRef<bool> negated, int64_t tiles,
                                         int64_t tileBlocks) {
  int64_t lineBytes = 0;
  for (const Segment &s : input.segments)
    lineBytes += getNumWords(s) * getNumTaps(s) * tileBlocks *
                 ContractOutputsOp::getColumnBytes(s.level);
  std::vector<int8_t> bytes(tiles * lineBytes, 0);
  for (auto [r, output, negate] : llvm::enumerate(rows, negated)) {
    int64_t block = int64_t(r) / kLaneBlock % tileBlocks, n = r % kLaneBlock;
    int8_t *at =
        bytes.data() + int64_t(r) / (tileBlocks * kLaneBlock) * lineBytes;
    for (const Segment &s : input.segments) {
      int64_t perWord = getChannelsPerWord(s.level), numTaps = getNumTaps(s);
      int64_t columnBytes = ContractOutputsOp::getColumnBytes(s.level);
      for (int64_t word = 0; word < getNumWords(s); ++word)
        for (int64_t tap = 0; tap < numTaps; ++tap) {
          int8_t *line =
              at + ((word * numTaps + tap) * tileBlocks + block) * columnBytes;
          for (int64_t slot = 0; slot < perWord; ++slot) {
            int64_t code = getSlotFactor(s, output, negate, word, slot, tap);
            if (s.level <= 2)
              line[n < 32 ? 2 * n : 2 * (n - 32) + 1] |= code
                                                         << (s.level * slot);
            else if (s.level == 4)
              line[n / 32 * kLaneBlock + 4 * (n % 16) + slot] |=
                  code << (n % 32 < 16 ? 0 : 4);
            else
              line[4 * n + slot] = code;
          }
        }
      at += getNumWords(s) * numTaps * tileBlocks * columnBytes;
    }
  }
  return makeTable<int8_t>(b, loc, {tiles, lineBytes}, bytes);
}

void ContractBuilder::makeSums(ArrayRef<int64_t> rows, ArrayRef<bool> negated) {
  if (role == LaneRole::Tiles)
    makeTileSums(rows, negated);
  else
    makeOutputSums(rows, negated);
  sumsTaken = 0;
}

void ContractBuilder::makeOutputSums(ArrayRef<int64_t> rows,
                                     ArrayRef<bool> negated) {
  SmallVector<Value> lanes;
  for (const Segment &s : input.segments)
    lanes.push_back(s.plane);
  int64_t size = imageLayout.getSize();
  // Where taps read padding; those of a stream are steps of its words.
  SmallVector<int64_t> tapPixels, image;
  SmallVector<int64_t, 2> pixelStrides{1, 1};
  if (!stream &&
      llvm::any_of(dot.window.pads, [](int64_t pad) { return pad > 0; })) {
    auto type = cast<RankedTensorType>(dot.getInput().getType());
    tapPixels = dot.window.getTapPixels();
    pixelStrides = dot.window.strides;
    image = llvm::to_vector(type.getShape().take_back(2));
  }
  constexpr int64_t tileRows = kTileBlocks * kLaneBlock;
  // What fills more than a block of a last tile is one tile with the others.
  int64_t numRows = rows.size();
  int64_t whole = (numRows + kLaneBlock - 1) / tileRows;
  int64_t restBlocks = numRows > whole * tileRows ? 1 : 0;
  int64_t allRows = whole * tileRows + restBlocks * kLaneBlock;
  sums = tensor::EmptyOp::create(b, loc, {allRows, size}, b.getI32Type());
  auto makePart = [&](int64_t first, int64_t tiles, int64_t tileBlocks) {
    int64_t count = tiles * tileBlocks * kLaneBlock;
    int64_t given = std::min(count, numRows - first);
    SmallVector<OpFoldResult> offsets = {b.getIndexAttr(first),
                                         b.getIndexAttr(0)};
    SmallVector<OpFoldResult> sizes = {b.getIndexAttr(count),
                                       b.getIndexAttr(size)};
    SmallVector<OpFoldResult> strides(2, b.getIndexAttr(1));
    bool isAll = count == allRows;
    Value init = isAll ? sums
                       : tensor::ExtractSliceOp::create(b, loc, sums, offsets,
                                                        sizes, strides)
                             .getResult();
    Value weights =
        makeOutputWeights(rows.slice(first, given), negated.slice(first, given),
                          tiles, tileBlocks);
    Value part =
        ContractOutputsOp::create(
            b, loc, TypeRange{init.getType()}, lanes, weights, init, levels,
            coefficients, taps, tapPhases, phases, origin,
            getFolded(input.segments), areCentred(),
            getByteWords(rows.slice(first, given), negated.slice(first, given)),
            imageLayout.getBase(), laneCount, imageLayout.getUsedLanes(),
            tileBlocks, imageLayout, tapPixels, pixelStrides, image, layer)
            ->getResult(0);
    sums = isAll ? part
                 : tensor::InsertSliceOp::create(b, loc, part, sums, offsets,
                                                 sizes, strides)
                       .getResult();
  };
  if (whole)
    makePart(0, whole, kTileBlocks);
  if (restBlocks)
    makePart(whole * tileRows, 1, restBlocks);
}

Value ContractBuilder::takeSums(int64_t count) {
  auto type = cast<RankedTensorType>(sums.getType());
  SmallVector<OpFoldResult> offsets = {b.getIndexAttr(sumsTaken),
                                       b.getIndexAttr(0)};
  SmallVector<OpFoldResult> sizes = {b.getIndexAttr(count),
                                     b.getIndexAttr(type.getDimSize(1))};
  SmallVector<OpFoldResult> strides(2, b.getIndexAttr(1));
  sumsTaken += count;
  return tensor::ExtractSliceOp::create(b, loc, sums, offsets, sizes, strides);
}
