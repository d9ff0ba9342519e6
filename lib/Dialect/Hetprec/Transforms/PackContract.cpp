//===- PackContract.cpp - Dot products as contract ops --------------------===//

#include "PackUtils.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "sysmol/Analysis/Thresholds.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

Value sysmol::hetprec::makeIntTable(OpBuilder &b, Location loc,
                                    ArrayRef<int64_t> shape,
                                    ArrayRef<int64_t> values, int64_t bits) {
  auto as = [&](auto zero) {
    SmallVector<decltype(zero)> narrow(values.begin(), values.end());
    return makeTable<decltype(zero)>(b, loc, shape, narrow);
  };
  switch (bits) {
  case 8:
    return as(int8_t());
  case 16:
    return as(int16_t());
  default:
    return as(int32_t());
  }
}

SmallVector<Segment, 3> sysmol::hetprec::makeSegments(ChannelsAttr encoding) {
  SmallVector<Segment, 3> segments;
  for (int8_t level : encoding.getLevels()) {
    Segment segment{level, {}, {}};
    for (auto [c, p] : llvm::enumerate(encoding.getBits()))
      if (p == level)
        segment.channels.push_back(c);
    while (segment.channels.size() % getChannelsPerWord(level))
      segment.channels.push_back(-1);
    segments.push_back(std::move(segment));
  }
  return segments;
}

FailureOr<DotProduct> DotProduct::get(Operation *op) {
  DotProduct dot{op, Window::get(op), 0, 1, 0, std::nullopt};
  if (auto pool = dyn_cast<SumPool2DOp>(op)) {
    dot.outputs = dot.groups = pool.getInput().getType().getDimSize(1);
    dot.channelsPerGroup = 1;
    return dot;
  }
  Value filter = op->getOperand(1);
  DenseIntElementsAttr codes;
  if (!matchPattern(filter, m_Constant(&codes))) {
    op->emitOpError("weights must be constants to be packed");
    return failure();
  }
  auto type = cast<RankedTensorType>(filter.getType());
  dot.filter = codes;
  dot.outputs = type.getDimSize(0);
  dot.channelsPerGroup = type.getDimSize(1);
  if (auto conv = dyn_cast<Conv2DOp>(op))
    dot.groups = conv.getGroups();
  return dot;
}

ContractBuilder::ContractBuilder(OpBuilder &builder, const DotProduct &dot,
                                 PackedCodes input, LanesAttr imageLayout,
                                 int64_t laneCount, StringAttr layer)
    : b(builder), loc(dot.op->getLoc()), dot(dot), input(std::move(input)),
      imageLayout(imageLayout), laneCount(laneCount), layer(layer) {
  if (dot.filter)
    codes.assign(dot.filter->value_begin<int8_t>(),
                 dot.filter->value_end<int8_t>());

  auto lanes = dot.op->getAttrOfType<LaneRoleAttr>(kLanesAttrName);
  role = lanes && dot.filter && dot.groups == 1 ? lanes.getValue()
                                                : LaneRole::Pixels;
  stream = ByteStream::get(dot.op);
  byteLanes = ByteLanes::get(dot.op);
  findTaps();
  foldTaps();

  ChannelsAttr encoding = this->input.encoding;
  bool isUnsigned = encoding.getGrid() == Grid::Unsigned;
  int8_t finest = encoding.getFinestLevel();
  for (const Segment &s : this->input.segments) {
    levels.push_back(s.level);
    int64_t words = 1;
    for (int64_t g = 0; g < dot.groups; ++g)
      words = std::max(words, getWordRange(s, g).second);
    wordCounts.push_back(words);
    if (byteLanes) {
      int8_t p = getFinestLevel(s);
      int64_t count = getProductCount(encoding.getGrid(), p, finest);
      coefficients.push_back(!dot.filter            ? 1
                             : isUnsigned || p == 8 ? count
                                                    : 2 * count);
      continue;
    }
    int64_t count = getProductCount(encoding.getGrid(), s.level, finest);
    // Unsigned codes on both sides: 2k + 1 - 2^p leaves factors of two.
    coefficients.push_back(!dot.filter || s.level == 8 ? 1
                           : isUnsigned                ? 2 * count
                                                       : 4 * count);
  }

  bound = 0;
  for (int64_t g = 0; g < dot.groups; ++g) {
    int64_t sum = 0;
    for (int64_t c = 0; c < dot.channelsPerGroup; ++c) {
      int8_t p = encoding.getBits()[g * dot.channelsPerGroup + c];
      int64_t perTap = getMaxLevelValue(encoding.getGrid(), p);
      if (dot.filter)
        perTap *= getMaxLevelValue(Grid::Midrise, p) *
                  getProductCount(encoding.getGrid(), p, finest);
      sum += perTap * dot.getNumTaps();
    }
    bound = std::max(bound, sum);
  }
}

void ContractBuilder::findTaps() {
  const Window &w = dot.window;
  bool strided = w.isStrided();
  if (byteLanes) {
    // Only rows have phases; a strided window's hold the padding already.
    SmallVector<int64_t> read = w.getRowPhases();
    phases = read.size();
    int64_t rowBytes = input.layout.getRowStride() * byteLanes->laneBytes;
    for (const ByteLanes::Word &word : byteLanes->words) {
      int64_t row = word.y / w.strides[0];
      taps.push_back(strided
                         ? row * rowBytes + word.x
                         : (row - w.pads[0]) * rowBytes + word.x - w.pads[1]);
      tapBytes.push_back(word.getNumBytes());
      if (phases > 1)
        tapPhases.push_back(llvm::find(read, w.getPhaseAt(word.y, 0)) -
                            read.begin());
    }
    origin = *llvm::min_element(taps);
    for (int64_t &tap : taps)
      tap -= origin;
    return;
  }
  Window read = w;
  if (stream) {
    // Whole steps: of each row, the phase of column 0.
    read.kernel[1] = stream->repeats;
    read.dilations[1] = stream->step * w.strides[1];
  }
  LaneTaps lanes = read.getLaneTaps(input.layout.getRowStride());
  taps = lanes.taps;
  tapPhases = lanes.phases;
  phases = lanes.numPhases;
  origin = lanes.origin;
}

std::pair<int64_t, int64_t> ContractBuilder::getSlot(const Segment &s,
                                                     int64_t word, int64_t slot,
                                                     int64_t tap) const {
  if (byteLanes) {
    int64_t of = byteLanes->words[tap].taps[slot];
    return {of < 0 ? -1 : s.channels[word], of};
  }
  if (s.isFolded) {
    int64_t at = word * getChannelsPerWord(s.level) + slot;
    return {s.channels[at], s.slotTaps[at]};
  }
  if (!stream)
    return {s.channels[word * getChannelsPerWord(s.level) + slot], tap};
  auto source = stream->getSource(word, slot, tap % stream->repeats);
  if (!source)
    return {-1, 0};
  int64_t row = tap / stream->repeats;
  return {s.channels[source->slot], row * stream->columns + source->column};
}

int64_t ContractBuilder::getCode(int64_t output, int64_t channel,
                                 int64_t tap) const {
  if (!dot.filter)
    return 1;
  return codes[(output * dot.channelsPerGroup + channel) * dot.getNumTaps() +
               tap];
}

std::pair<int64_t, int64_t> ContractBuilder::getWordRange(const Segment &s,
                                                          int64_t group) const {
  if (dot.groups == 1)
    return {0, getNumWords(s)};
  int64_t perWord = getChannelsPerPlane(s), first = -1, last = -1;
  for (auto [slot, c] : llvm::enumerate(s.channels)) {
    if (c < 0 || c / dot.channelsPerGroup != group)
      continue;
    last = slot / perWord;
    if (first < 0)
      first = last;
  }
  return first < 0 ? std::pair<int64_t, int64_t>(0, 0)
                   : std::pair<int64_t, int64_t>(first, last - first + 1);
}

int64_t ContractBuilder::getStart(const Segment &s, int64_t group,
                                  int64_t numWords) const {
  auto [first, count] = getWordRange(s, group);
  return count == 0 ? -1 : std::min(first, getNumWords(s) - numWords);
}

int64_t ContractBuilder::getFactor(int64_t level, int64_t code, bool negated) {
  if (!negated)
    return code;
  return level == 8 ? -code : (1 << level) - 1 - code;
}

int8_t ContractBuilder::getFinestLevel(const Segment &s) const {
  int8_t finest = 1;
  for (int64_t c : s.channels)
    finest = std::max(finest, input.encoding.getBits()[c]);
  return finest;
}

int64_t ContractBuilder::getByteFactor(const Segment &s, int64_t channel,
                                       int64_t code, bool negated) const {
  ChannelsAttr encoding = input.encoding;
  int8_t p = encoding.getBits()[channel];
  int64_t value = code;
  // At most 120 * 1, 20 * 3, 15 (HP11): a signed byte.
  if (dot.filter && p < 8)
    value = (2 * code + 1 - (1 << p)) *
            getProductCount(encoding.getGrid(), p, getFinestLevel(s));
  return negated ? -value : value;
}

int64_t ContractBuilder::getSlotFactor(const Segment &s, int64_t output,
                                       bool negated, int64_t word, int64_t slot,
                                       int64_t tap) const {
  // Of an empty slot, what gives 0.
  int64_t none = s.level == 2 && areCentred() ? 1 : 0;
  if (output < 0)
    return none;
  auto [channel, of] = getSlot(s, word, slot, tap);
  if (channel < 0 || channel / dot.channelsPerGroup != getGroup(output))
    return none;
  int64_t code = getCode(output, channel % dot.channelsPerGroup, of);
  return byteLanes ? getByteFactor(s, channel, code, negated)
                   : getFactor(s.level, code, negated);
}

int64_t sysmol::hetprec::getLargestOfCode(int64_t level, int64_t code) {
  if (level == 1)
    return code;
  return std::max(MacOp::getProduct(code, 0, Centred::Row),
                  MacOp::getProduct(code, 3, Centred::Row));
}

void ByteWords::addRow(ArrayRef<int64_t> largest) {
  int64_t begin = 0, total = 0;
  for (auto [end, sum] : llvm::enumerate(largest)) {
    total += sum;
    while (total - largest[begin] > kMost)
      total -= largest[begin++];
    if (total > kMost)
      fewest = std::min<int64_t>(fewest, end - begin + 1);
  }
}

SmallVector<int64_t>
ContractBuilder::getByteWords(ArrayRef<int64_t> rows,
                              ArrayRef<bool> negated) const {
  if (!dot.filter || byteLanes ||
      llvm::none_of(levels, [](int64_t level) { return level <= 2; }))
    return {};
  SmallVector<int64_t> counts(levels.size(), 0);
  for (size_t first = 0, next; first < levels.size(); first = next) {
    for (next = first + 1; next < levels.size(); ++next)
      if (levels[next] != levels[first])
        break;
    if (levels[first] > 2)
      continue;
    ByteWords byteWords;
    for (auto [output, negate] : llvm::zip_equal(rows, negated)) {
      SmallVector<int64_t> largest;
      for (size_t i = first; i < next; ++i) {
        const Segment &s = input.segments[i];
        int64_t start =
            getStart(s, output < 0 ? 0 : getGroup(output), wordCounts[i]);
        for (int64_t g = 0; g < wordCounts[i] && start >= 0; ++g)
          for (int64_t tap = 0; tap < getNumTaps(s); ++tap) {
            int64_t sum = 0;
            for (int64_t slot = 0; slot < getChannelsPerWord(s.level); ++slot)
              sum += getLargestOfCode(
                  s.level,
                  getSlotFactor(s, output, negate, start + g, slot, tap));
            largest.push_back(sum);
          }
      }
      byteWords.addRow(largest);
    }
    // Sums are widened behind whole windows anyway; layers that differ by less
    // get the same code.
    int64_t count = byteWords.get();
    int64_t window = getNumTaps(input.segments[first]);
    if (count > window)
      count =
          std::max(count - count % window,
                   255 / MacOp::getLargestProduct(levels[first], areCentred()));
    for (size_t i = first; i < next; ++i)
      counts[i] = count;
  }
  return counts;
}

/// One word of weight codes.
static int64_t packCode(int64_t level, int64_t slot, int64_t code) {
  if (level == 8)
    return int64_t(uint8_t(code)) << (8 * slot);
  // Lanes' nibbles are spread to bytes in the order 0, 2, 1, 3.
  if (level == 4 && (slot == 1 || slot == 2))
    slot = 3 - slot;
  return code << (level * slot);
}

/// A table of `numRows` times the same words of 32 bits, made where it is read:
/// stored, it would be larger than the layer is worth.
static Value repeatRow(OpBuilder &b, Location loc, int64_t numRows,
                       ArrayRef<int64_t> words) {
  int64_t width = words.size();
  Value row = makeIntTable(b, loc, {width}, words, 32);
  Value init =
      tensor::EmptyOp::create(b, loc, {numRows, width}, b.getI32Type());
  return linalg::BroadcastOp::create(b, loc, row, init,
                                     b.getDenseI64ArrayAttr({0}))
      .getResult()
      .front();
}

ContractBuilder::RowTables ContractBuilder::makeRows(ArrayRef<int64_t> rows,
                                                     ArrayRef<bool> negated,
                                                     bool hasBias) {
  RowTables tables;
  if (hasBias)
    tables.rowBias = makeRowBias(rows, negated);
  if (areSumsApart())
    return tables; // see makeSums
  tables.byteWords = getByteWords(rows, negated);
  for (auto [s, numWords] : llvm::zip_equal(input.segments, wordCounts)) {
    int64_t perWord = getChannelsPerWord(s.level), numTaps = getNumTaps(s);
    SmallVector<int64_t> words, starts;
    for (auto [output, negate] : llvm::zip_equal(rows, negated)) {
      int64_t start = getStart(s, output < 0 ? 0 : getGroup(output), numWords);
      starts.push_back(start);
      for (int64_t g = 0; g < numWords; ++g)
        for (int64_t tap = 0; tap < (isUniform() ? 1 : numTaps); ++tap) {
          int64_t word = 0;
          for (int64_t slot = 0; slot < perWord; ++slot)
            word |= packCode(s.level, slot,
                             getSlotFactor(s, start < 0 ? -1 : output, negate,
                                           start + g, slot, tap));
          words.push_back(word);
        }
    }
    int64_t numRows = rows.size(), width = words.size() / rows.size();
    tables.rows.push_back(
        byteLanes && !dot.filter
            ? repeatRow(b, loc, numRows,
                        ArrayRef<int64_t>(words).take_front(width))
            : makeIntTable(b, loc, {numRows, width}, words,
                           getWordBits(s.level)));
    if (dot.groups > 1)
      tables.starts.push_back(
          makeIntTable(b, loc, {int64_t(rows.size())}, starts, 32));
  }
  if (dot.groups > 1 && dot.filter) {
    SmallVector<int64_t> biasRows;
    for (int64_t output : rows)
      biasRows.push_back(output < 0 ? 0 : getGroup(output));
    tables.biasRows =
        makeIntTable(b, loc, {int64_t(rows.size())}, biasRows, 32);
  }
  return tables;
}

int64_t ContractBuilder::getCentredPart(int64_t output, bool negated) const {
  if (!areCentred() || output < 0)
    return 0;
  int64_t zeros = 0, first = getGroup(output) * dot.channelsPerGroup;
  for (int64_t c = 0; c < dot.channelsPerGroup; ++c) {
    if (input.encoding.getBits()[first + c] != 2)
      continue;
    for (int64_t tap = 0; tap < dot.getNumTaps(); ++tap)
      zeros += getFactor(2, getCode(output, c, tap), negated) == 0;
  }
  return -3 * zeros * coefficients[llvm::find(levels, 2) - levels.begin()];
}

Value ContractBuilder::makeRowBias(ArrayRef<int64_t> rows,
                                   ArrayRef<bool> negated) {
  if (!dot.filter || (!input.isSigned() && !areCentred()))
    return {};
  ChannelsAttr encoding = input.encoding;
  int8_t finest = encoding.getFinestLevel();
  // The part of an output's sum that its weights alone make, for each tap.
  auto weightPart = [&](int64_t output, int64_t tap, bool negate) {
    int64_t sum = 0, first = getGroup(output) * dot.channelsPerGroup;
    for (int64_t c = 0; c < dot.channelsPerGroup; ++c) {
      int8_t p = encoding.getBits()[first + c];
      int64_t code = getCode(output, c, tap), largest = (1 << p) - 1;
      if (p == 8) {
        sum -= 128 * (negate ? -code : code); // lanes hold a + 128
        continue;
      }
      int64_t k = negate ? largest - code : code;
      sum += getProductCount(Grid::Midrise, p, finest) *
             (largest * largest - 2 * largest * k);
    }
    return sum;
  };

  bool isPadded =
      llvm::any_of(dot.window.pads, [](int64_t p) { return p > 0; });
  int64_t numTaps = dot.getNumTaps();
  if (!isPadded || !input.isSigned()) {
    SmallVector<int64_t> bias;
    for (auto [output, negate] : llvm::zip_equal(rows, negated)) {
      int64_t sum = getCentredPart(output, negate);
      for (int64_t tap = 0; tap < numTaps && output >= 0 && input.isSigned();
           ++tap)
        sum += weightPart(output, tap, negate);
      bias.push_back(sum);
    }
    if (!input.isSigned() &&
        llvm::all_of(bias, [](int64_t sum) { return sum == 0; }))
      return {};
    // A number a row is no small part of a layer of few channels.
    bool isShort =
        llvm::all_of(bias, [](int64_t sum) { return llvm::isInt<16>(sum); });
    return makeIntTable(b, loc, {int64_t(rows.size())}, bias,
                        isShort ? 16 : 32);
  }

  // HP13: padded taps are left out of this part too, so that it depends on the
  // pixel; wide planes order.
  const Window &w = dot.window;
  auto inputShape = cast<RankedTensorType>(dot.getInput().getType()).getShape();
  auto outputShape =
      cast<RankedTensorType>(dot.op->getResult(0).getType()).getShape();
  int64_t lanes = imageLayout.getSize();
  SmallVector<int64_t> bias(rows.size() * lanes, 0);
  for (auto [r, output, negate] : llvm::enumerate(rows, negated)) {
    if (output < 0)
      continue;
    int64_t always = getCentredPart(output, negate);
    std::fill_n(bias.begin() + r * lanes, lanes, always);
    SmallVector<int64_t> parts;
    for (int64_t tap = 0; tap < numTaps; ++tap)
      parts.push_back(weightPart(output, tap, negate));
    for (int64_t y = 0; y < outputShape[2]; ++y)
      for (int64_t x = 0; x < outputShape[3]; ++x) {
        int64_t sum = always;
        for (int64_t tap = 0; tap < numTaps; ++tap) {
          int64_t iy =
              y * w.strides[0] - w.pads[0] + tap / w.kernel[1] * w.dilations[0];
          int64_t ix =
              x * w.strides[1] - w.pads[1] + tap % w.kernel[1] * w.dilations[1];
          if (iy >= 0 && iy < inputShape[2] && ix >= 0 && ix < inputShape[3])
            sum += parts[tap];
        }
        for (int64_t n = 0; n < outputShape[0]; ++n)
          bias[r * lanes + getWidePosition(imageLayout.laneOf(n, y, x))] = sum;
      }
  }
  return makeIntTable(b, loc, {int64_t(rows.size()), lanes}, bias, 32);
}

Value ContractBuilder::makeLaneBias() {
  // Bytes are multiplied with what weights mean, not with their codes.
  if (laneBias || !dot.filter || byteLanes ||
      llvm::all_of(levels, [](int64_t p) { return p == 8; }))
    return laneBias;
  // `-(2^p - 1) c(p) sum a` (twice that for mid-rise activations): a dot
  // product with the code 1 everywhere, once for all outputs of a group.
  ChannelsAttr encoding = input.encoding;
  int8_t finest = encoding.getFinestLevel();
  SmallVector<Value> lanes, rows, starts;
  SmallVector<int64_t> biasLevels, biasCoefficients;
  SmallVector<Segment, 3> read;
  for (auto [s, numWords] : llvm::zip_equal(input.segments, wordCounts)) {
    if (s.level == 8)
      continue;
    read.push_back(s);
    int64_t perWord = getChannelsPerWord(s.level);
    SmallVector<int64_t> words, begin;
    for (int64_t group = 0; group < dot.groups; ++group) {
      int64_t start = getStart(s, group, numWords);
      begin.push_back(start);
      for (int64_t g = 0; g < numWords; ++g) {
        int64_t word = 0;
        for (int64_t slot = 0; slot < perWord && start >= 0; ++slot) {
          int64_t c = s.channels[(start + g) * perWord + slot];
          if (c >= 0 && c / dot.channelsPerGroup == group)
            word |= packCode(s.level, slot, 1);
        }
        words.push_back(word);
      }
    }
    lanes.push_back(s.plane);
    rows.push_back(makeIntTable(b, loc, {dot.groups, numWords}, words,
                                getWordBits(s.level)));
    if (dot.groups > 1)
      starts.push_back(makeIntTable(b, loc, {dot.groups}, begin, 32));
    biasLevels.push_back(s.level);
    // Tiles' products are with `code - 8`, of which 1 is left, not -15.
    // Centred ones' are with `code - 1`.
    int64_t left = role == LaneRole::Tiles        ? 1
                   : s.level == 2 && areCentred() ? -1
                                                  : 1 - (1 << s.level);
    biasCoefficients.push_back(
        getProductCount(encoding.getGrid(), s.level, finest) * left *
        (input.isSigned() ? 2 : 1));
  }
  // Sums are exact modulo 2^16 where the final value fits (HP12).
  int64_t bits = bound <= 32767 && !input.isSigned() ? 16 : 32;
  Value init = tensor::EmptyOp::create(
      b, loc, {dot.groups, imageLayout.getSize()}, b.getIntegerType(bits));
  auto op = ContractOp::create(
      b, loc, TypeRange{init.getType()}, lanes, rows, starts,
      /*lane_bias=*/Value(), /*bias_rows=*/Value(), /*row_bias=*/Value(),
      /*thresholds=*/Value(), /*multiplier=*/Value(), /*offset=*/Value(),
      /*mask=*/Value(), /*sums=*/Value(), init, biasLevels, biasCoefficients,
      taps, tapPhases, phases, origin, /*lane_bytes=*/0,
      /*tap_bytes=*/ArrayRef<int64_t>(), getFolded(read), /*centred=*/false,
      /*byte_words=*/ArrayRef<int64_t>(), imageLayout.getBase(), laneCount,
      Epilogue::Accumulator,
      /*out_level=*/0, /*out_signed=*/false, bits, /*uniform_rows=*/true,
      /*shared_starts=*/false, /*prefetch_rows=*/false, /*in_range=*/false,
      /*relu=*/false, layer);
  return laneBias = op->getResult(0);
}

ContractOp ContractBuilder::create(const RowTables &tables, int64_t numRows,
                                   Epilogue epilogue, Value thresholds,
                                   Value multiplier, Value offset, Value mask,
                                   Value init) {
  SmallVector<Value> lanes;
  for (const Segment &s : input.segments)
    lanes.push_back(s.plane);
  Value laneBias = makeLaneBias();
  // Sums of bytes have 32 bits, as reals need them; thresholds need fewer.
  bool inPlace = byteLanes && !thresholds;
  int64_t bits = bound <= 32767 && !input.isSigned() && !inPlace ? 16 : 32;
  if (areSumsApart())
    return ContractOp::create(
        b, loc, TypeRange{init.getType()}, /*lanes=*/ValueRange(),
        /*rows=*/ValueRange(), /*starts=*/ValueRange(), laneBias,
        /*bias_rows=*/Value(), tables.rowBias, thresholds, multiplier, offset,
        mask, takeSums(numRows), init, /*levels=*/ArrayRef<int64_t>(),
        /*coefficients=*/ArrayRef<int64_t>(), /*taps=*/ArrayRef<int64_t>(),
        /*tap_phases=*/ArrayRef<int64_t>(), /*phases=*/1, /*origin=*/0,
        /*lane_bytes=*/0, /*tap_bytes=*/ArrayRef<int64_t>(),
        /*folded=*/ArrayRef<bool>(), /*centred=*/false,
        /*byte_words=*/ArrayRef<int64_t>(), imageLayout.getBase(), laneCount,
        epilogue,
        /*out_level=*/0,
        /*out_signed=*/false, bits, /*uniform_rows=*/false,
        /*shared_starts=*/false, /*prefetch_rows=*/false, /*in_range=*/false,
        /*relu=*/false, layer);
  return ContractOp::create(
      b, loc, TypeRange{init.getType()}, lanes, tables.rows, tables.starts,
      laneBias, laneBias ? tables.biasRows : Value(), tables.rowBias,
      thresholds, multiplier, offset, mask, /*sums=*/Value(), init, levels,
      coefficients, taps, tapPhases, phases, origin,
      byteLanes ? byteLanes->laneBytes : 0, tapBytes, getFolded(input.segments),
      areCentred(), tables.byteWords, imageLayout.getBase(), laneCount,
      epilogue,
      /*out_level=*/0, /*out_signed=*/false, bits,
      /*uniform_rows=*/isUniform(), /*shared_starts=*/false,
      /*prefetch_rows=*/false, /*in_range=*/false,
      /*relu=*/false, layer);
}

static float pick(ArrayRef<float> values, int64_t channel) {
  return values.size() == 1 ? values[0] : values[channel];
}

/// A negative scale turns the thresholds round: weights are negated instead.
static bool isNegated(int64_t level, float multiplier) {
  return level <= 2 && multiplier < 0;
}

/// Slots of the last word that no channel fills stay zero: no rows for them.
static ArrayRef<int64_t> dropEmptySlots(ArrayRef<int64_t> rows) {
  while (rows.size() > 1 && rows.back() < 0)
    rows = rows.drop_back();
  return rows;
}

void ContractBuilder::prepareCodes(ArrayRef<Segment> segments,
                                   ArrayRef<float> multiplier) {
  if (!areSumsApart())
    return;
  SmallVector<int64_t> rows;
  SmallVector<bool> negated;
  for (const Segment &s : segments)
    for (int64_t channel : dropEmptySlots(s.channels)) {
      rows.push_back(channel);
      negated.push_back(isNegated(s.level, pick(multiplier, channel)));
    }
  makeSums(rows, negated);
}

Value ContractBuilder::makeCodes(ArrayRef<int64_t> rows, int64_t level,
                                 ChannelsAttr encoding,
                                 ArrayRef<float> multiplier,
                                 ArrayRef<float> offset, Value mask,
                                 Value init) {
  rows = dropEmptySlots(rows);
  bool isSigned = encoding.getGrid() == Grid::Midrise;
  int64_t numThresholds = (int64_t(1) << level) - 1;
  SmallVector<bool> negated;
  SmallVector<int64_t> thresholds;
  SmallVector<float> multipliers, offsets;
  for (int64_t channel : rows) {
    float m = channel < 0 ? 0.0f : pick(multiplier, channel);
    float o = channel < 0 ? 0.0f : pick(offset, channel);
    negated.push_back(isNegated(level, m));
    multipliers.push_back(m);
    offsets.push_back(o);
    if (level > 2)
      continue;
    if (channel < 0)
      thresholds.append(numThresholds, bound); // never passed: code 0
    else
      thresholds.append(findThresholds(std::abs(m), o, level, isSigned, bound));
  }
  int64_t numRows = rows.size();
  int64_t bits = bound <= 32767 && !input.isSigned() ? 16 : 32;
  // What centred codes give too much may as well be in the thresholds, where
  // these then fit.
  bool inThresholds = level <= 2 && !input.isSigned();
  SmallVector<int64_t> parts;
  for (int64_t row = 0; row < numRows && inThresholds; ++row) {
    parts.push_back(getCentredPart(rows[row], negated[row]));
    inThresholds =
        bound + 1 - parts.back() <= (bits == 16 ? INT16_MAX : INT32_MAX);
  }
  if (inThresholds)
    for (auto [i, threshold] : llvm::enumerate(thresholds))
      threshold -= parts[int64_t(i) / numThresholds];
  RowTables tables = makeRows(rows, negated, /*hasBias=*/!inThresholds);
  Value thresholdTable, multiplierTable, offsetTable;
  if (level > 2) {
    multiplierTable = makeTable<float>(b, loc, {numRows}, multipliers);
    offsetTable = makeTable<float>(b, loc, {numRows}, offsets);
  } else {
    thresholdTable =
        makeIntTable(b, loc, {numRows, numThresholds}, thresholds, bits);
  }
  ContractOp op = create(tables, numRows, Epilogue::Codes, thresholdTable,
                         multiplierTable, offsetTable, mask, init);
  op.setOutLevel(level);
  op.setOutSigned(isSigned);
  op.setInRange(level > 2 && areInRange(bound, multipliers, offsets));
  return op->getResult(0);
}

Value ContractBuilder::makePlanes(Epilogue epilogue, ArrayRef<float> multiplier,
                                  ArrayRef<float> offset, Value init,
                                  ArrayRef<int64_t> channels, bool relu) {
  SmallVector<int64_t> rows = channels.empty()
                                  ? llvm::to_vector(llvm::seq(dot.outputs))
                                  : llvm::to_vector(channels);
  SmallVector<bool> negated(rows.size(), false);
  if (areSumsApart())
    makeSums(rows, negated);
  RowTables tables = makeRows(rows, negated, /*hasBias=*/true);
  auto table = [&](ArrayRef<float> values) {
    SmallVector<float> all;
    if (values.empty())
      return Value();
    for (int64_t channel : rows)
      all.push_back(values.size() == 1 ? values[0] : values[channel]);
    return makeTable<float>(b, loc, {dot.outputs}, all);
  };
  ContractOp op =
      create(tables, rows.size(), epilogue, /*thresholds=*/Value(),
             table(multiplier), table(offset), /*mask=*/Value(), init);
  op.setInRange(!multiplier.empty() && areInRange(bound, multiplier, offset));
  op.setRelu(relu);
  return op->getResult(0);
}
