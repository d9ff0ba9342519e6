//===- PackGemv.cpp - Dot products on few rows as gemv ops ----------------===//

#include "PackUtils.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace sysmol::hetprec;

/// Blocks of 64 outputs in a tile. One row's word, once broadcast, is used for
/// four; with more rows two leave registers for the 16-bit sums of all.
static int64_t getTileBlocks(int64_t rows) { return rows <= 1 ? 4 : 2; }

GemvBuilder::GemvBuilder(OpBuilder &builder, const DotProduct &dot, Value rows,
                         ChannelsAttr encoding, StringAttr layer)
    : b(builder), loc(dot.op->getLoc()), dot(dot), encoding(encoding),
      layer(layer),
      numRows(cast<RankedTensorType>(rows.getType()).getDimSize(0)),
      codes(dot.filter->value_begin<int8_t>(),
            dot.filter->value_end<int8_t>()) {
  bool isSigned = encoding.getGrid() == Grid::Midrise;
  int8_t finest = encoding.getFinestLevel();
  int64_t first = 0;
  SmallVector<int64_t> biasFirsts, biasCounts, biasCoefficients;
  for (int8_t level : encoding.getLevels()) {
    int64_t count = encoding.getNumChannels(level);
    int64_t products = getProductCount(encoding.getGrid(), level, finest);
    levels.push_back(level);
    firsts.push_back(first);
    counts.push_back(count);
    // As in a contract: unsigned codes on both sides leave factors of two, a
    // number a row, and one an output.
    coefficients.push_back(level == 8 ? 1 : (isSigned ? 4 : 2) * products);
    if (level < 8) {
      biasFirsts.push_back(first);
      biasCounts.push_back(count);
      // Centred codes leave `-1`.
      int64_t left = level == 2 ? -1 : 1 - (1 << level);
      biasCoefficients.push_back(products * left * (isSigned ? 2 : 1));
    }
    Value words = tensor::EmptyOp::create(
        b, loc,
        {numRows, int64_t(llvm::divideCeil(count, getChannelsPerWord(level)))},
        b.getIntegerType(getRowWordBits(level)));
    rowWords.push_back(PackRowsOp::create(b, loc, TypeRange{words.getType()},
                                          rows, words, level, isSigned, first,
                                          count)
                           ->getResult(0));
    first += count;
  }
  if (biasFirsts.empty())
    return;
  Value init = tensor::EmptyOp::create(b, loc, {numRows}, b.getI32Type());
  rowBias = SumRowsOp::create(b, loc, TypeRange{init.getType()}, rows, init,
                              biasFirsts, biasCounts, biasCoefficients)
                ->getResult(0);
}

int64_t GemvBuilder::getLaneBias(int64_t n) const {
  if (n >= dot.outputs)
    return 0;
  int8_t finest = encoding.getFinestLevel();
  int64_t sum = 0;
  bool isSigned = encoding.getGrid() == Grid::Midrise;
  for (auto [level, first, count, coefficient] :
       llvm::zip_equal(levels, firsts, counts, coefficients)) {
    int64_t products = getProductCount(Grid::Midrise, level, finest);
    int64_t largest = (int64_t(1) << level) - 1;
    for (int64_t c = first; c < first + count; ++c) {
      int64_t code = getCode(n, c);
      // Each centred code 0 gives 3 too much.
      if (level == 2 && code == 0)
        sum -= 3 * coefficient;
      if (!isSigned)
        continue;
      // Rows hold symmetric codes with 128 added.
      sum += level == 8 ? -128 * code
                        : products * (largest * largest - 2 * largest * code);
    }
  }
  return sum;
}

int64_t GemvBuilder::getSlotCode(int64_t output, int64_t segment, int64_t words,
                                 int64_t word, int64_t slot) const {
  int64_t channel = slot * words + word;
  if (channel < counts[segment])
    return getCode(output, firsts[segment] + channel);
  return levels[segment] == 2 ? 1 : 0; // what gives 0
}

SmallVector<int64_t> GemvBuilder::getByteWords(int64_t first,
                                               int64_t count) const {
  SmallVector<int64_t> all(levels.size(), 0);
  for (auto [s, level] : llvm::enumerate(levels)) {
    if (level > 2)
      continue;
    int64_t perWord = getChannelsPerWord(level);
    int64_t words = llvm::divideCeil(counts[s], perWord);
    ByteWords byteWords;
    for (int64_t n = first; n < std::min(first + count, dot.outputs); ++n) {
      SmallVector<int64_t> largest(words, 0);
      for (int64_t w = 0; w < words; ++w)
        for (int64_t slot = 0; slot < perWord; ++slot)
          largest[w] +=
              getLargestOfCode(level, getSlotCode(n, s, words, w, slot));
      byteWords.addRow(largest);
    }
    all[s] = byteWords.get();
    if (level == 2)
      all[s] -= all[s] % 4;
  }
  if (llvm::all_of(all, [](int64_t words) { return words == 0; }))
    return {};
  return all;
}

Value GemvBuilder::makeWeights(int64_t first, int64_t tiles,
                               int64_t tileBlocks) {
  int64_t lineBytes = 0;
  SmallVector<int64_t> wordCounts;
  for (auto [level, count] : llvm::zip_equal(levels, counts)) {
    wordCounts.push_back(llvm::divideCeil(count, getChannelsPerWord(level)));
    lineBytes += tileBlocks * getStreamBytes(level, wordCounts.back());
  }
  std::vector<int8_t> bytes(tiles * lineBytes, 0);
  // Where output `i` of a block lies in 64 bytes of level 1 or 2.
  auto byteOf = [](int64_t i) { return i < 32 ? 2 * i : 2 * (i - 32) + 1; };
  for (int64_t lane = 0; lane < tiles * tileBlocks * kLaneBlock; ++lane) {
    int64_t n = first + lane;
    if (n >= dot.outputs)
      break;
    int64_t tile = lane / (tileBlocks * kLaneBlock);
    int64_t block = lane / kLaneBlock % tileBlocks, i = lane % kLaneBlock;
    int8_t *at = bytes.data() + tile * lineBytes;
    for (auto [s, level, from, count, words] :
         llvm::enumerate(levels, firsts, counts, wordCounts)) {
      int64_t segmentBytes = getStreamBytes(level, words);
      // Level 1 and 2: the word of channels w, words + w, ...
      auto makeWord = [&](int64_t w) {
        int64_t word = 0;
        for (int64_t slot = 0; slot < getChannelsPerWord(level); ++slot)
          word |= getSlotCode(n, s, words, w, slot) << (level * slot);
        return word;
      };
      auto codeOr0 = [&](int64_t c) {
        return c < count ? getCode(n, from + c) : 0;
      };
      switch (level) {
      case 1:
        for (int64_t w = 0; w < words; ++w)
          at[(w * tileBlocks + block) * kLaneBlock + byteOf(i)] = makeWord(w);
        break;
      case 2: {
        int64_t w = 0;
        for (; w + 4 <= words; w += 4) {
          int64_t unit = (w / 4 * tileBlocks + block) * 3 * kLaneBlock;
          int64_t fourth = makeWord(w + 3);
          for (int64_t j = 0; j < 3; ++j)
            at[unit + j * kLaneBlock + byteOf(i)] =
                makeWord(w + j) | (fourth >> (2 * j) & 3) << 6;
        }
        int64_t rest = w / 4 * tileBlocks * 3 * kLaneBlock;
        for (int64_t j = 0; w < words; ++w, ++j)
          at[rest + (j * tileBlocks + block) * kLaneBlock + byteOf(i)] =
              makeWord(w);
        break;
      }
      case 4:
        // Channels 8u to 8u + 3 in the low nibbles, the next four above.
        for (int64_t c = 0; c < count; c += 8)
          for (int64_t j = 0; j < 4; ++j)
            at[block * segmentBytes + c / 8 * 4 * kLaneBlock + 4 * i + j] =
                codeOr0(c + j) | codeOr0(c + 4 + j) << 4;
        break;
      default:
        for (int64_t c = 0; c < count; ++c)
          at[block * segmentBytes + c / 4 * 4 * kLaneBlock + 4 * i + c % 4] =
              getCode(n, from + c);
        break;
      }
      at += tileBlocks * segmentBytes;
    }
  }
  return makeTable<int8_t>(b, loc, {tiles, lineBytes}, bytes);
}

Value GemvBuilder::makePart(const GemvEpilogue &epilogue, int64_t first,
                            int64_t count, int64_t tiles, int64_t tileBlocks,
                            Value init) {
  int64_t lanes = tiles * tileBlocks * kLaneBlock;
  auto pick = [&](ArrayRef<float> values) -> Value {
    if (values.empty())
      return {};
    SmallVector<float> all;
    for (int64_t n = first; n < first + lanes; ++n)
      all.push_back(n >= dot.outputs     ? 0.0f
                    : values.size() == 1 ? values[0]
                                         : values[n]);
    return makeTable<float>(b, loc, {lanes}, all);
  };
  Value multiplier = pick(epilogue.multiplier);
  Value offset = pick(epilogue.offset);
  Value laneBias, outBits;
  SmallVector<int64_t> bias;
  for (int64_t n = first; n < first + lanes; ++n)
    bias.push_back(getLaneBias(n));
  if (llvm::any_of(bias, [](int64_t sum) { return sum != 0; }))
    laneBias = makeIntTable(b, loc, {lanes}, bias, 32);
  SmallVector<int64_t> outLevels;
  bool outSigned = false;
  if (epilogue.encoding) {
    outSigned = epilogue.encoding.getGrid() == Grid::Midrise;
    for (int8_t level : epilogue.encoding.getLevels())
      outLevels.push_back(level);
    if (outLevels.size() > 1) {
      ArrayRef<int8_t> bits = epilogue.encoding.getBits();
      SmallVector<int64_t> all;
      for (int64_t n = first; n < first + lanes; ++n)
        all.push_back(n < dot.outputs ? bits[n] : 1);
      outBits = makeIntTable(b, loc, {lanes}, all, 8);
    }
  }
  Value weights = makeWeights(first, tiles, tileBlocks);
  auto type = cast<RankedTensorType>(init.getType());
  bool isWhole = count == type.getDimSize(1);
  SmallVector<OpFoldResult> offsets = {b.getIndexAttr(0),
                                       b.getIndexAttr(first)};
  SmallVector<OpFoldResult> sizes = {b.getIndexAttr(numRows),
                                     b.getIndexAttr(count)};
  SmallVector<OpFoldResult> strides(2, b.getIndexAttr(1));
  Value part = init;
  if (!isWhole)
    part =
        tensor::ExtractSliceOp::create(b, loc, init, offsets, sizes, strides);
  Value result =
      GemvOp::create(b, loc, TypeRange{part.getType()}, rowWords, weights,
                     rowBias, laneBias, multiplier, offset, outBits, part,
                     levels, coefficients, areCentred(),
                     getByteWords(first, lanes), tileBlocks, epilogue.kind,
                     outLevels, outSigned, epilogue.relu, layer)
          ->getResult(0);
  if (isWhole)
    return result;
  return tensor::InsertSliceOp::create(b, loc, result, init, offsets, sizes,
                                       strides);
}

Value GemvBuilder::make(const GemvEpilogue &epilogue) {
  Value init = epilogue.init;
  if (!init) {
    Type element = epilogue.kind == Epilogue::Codes     ? Type(b.getI8Type())
                   : epilogue.kind == Epilogue::Real    ? Type(b.getF32Type())
                   : epilogue.kind == Epilogue::Carrier ? Type(b.getI16Type())
                                                        : Type(b.getI32Type());
    init = tensor::EmptyOp::create(b, loc, {numRows, dot.outputs}, element);
  }
  // Whole tiles, and one of what is left: no more lanes than blocks need.
  int64_t tileBlocks = getTileBlocks(numRows);
  int64_t tileOutputs = tileBlocks * kLaneBlock;
  int64_t whole = dot.outputs / tileOutputs;
  int64_t rest = dot.outputs % tileOutputs;
  if (whole)
    init = makePart(epilogue, 0, whole * tileOutputs, whole, tileBlocks, init);
  if (rest)
    init = makePart(epilogue, whole * tileOutputs, rest, /*tiles=*/1,
                    llvm::divideCeil(rest, kLaneBlock), init);
  return init;
}
