//===- FragmentLayout.cpp - How codes lie in a GPU's memory ---------------===//

#include "FragmentLayout.h"

#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

Window Window::get(Conv2DOp op) {
  ArrayRef<int64_t> input = op.getInput().getType().getShape();
  ArrayRef<int64_t> filter = op.getFilter().getType().getShape();
  ArrayRef<int64_t> output = op.getResult().getType().getShape();
  Window window = {input[0], input[2], input[3], output[2], output[3],
                   {},       {},       {},       {}};
  for (int i = 0; i < 2; ++i) {
    window.taps[i] = filter[2 + i];
    window.strides[i] = op.getStrides()[i];
    window.pads[i] = op.getPads()[i];
    window.dilations[i] = op.getDilations()[i];
  }
  return window;
}

Window Window::getWhole(ArrayRef<int64_t> shape) {
  int64_t height = shape.size() == 4 ? shape[2] : 1;
  int64_t width = shape.size() == 4 ? shape[3] : 1;
  return {shape[0],        height, width,  /*outHeight=*/1, /*outWidth=*/1,
          {height, width}, {1, 1}, {0, 0}, {1, 1}};
}

int64_t sysmol::getPixelPlace(const FragmentSegment &segment, int64_t channel) {
  int64_t first = segment.getFirstPiece();
  if (channel < first)
    return channel;
  return segment.getWords(first) * 32 / segment.getFieldBits() + channel -
         first;
}

/// Calls `visit` with the channels and the first word of every piece.
static void
forEachPiece(const FragmentSegment &segment,
             llvm::function_ref<void(int64_t count, int64_t word)> visit) {
  int64_t count = segment.getFirstPiece(), word = 0;
  for (int64_t left = segment.channels; left > 0;) {
    visit(count, word);
    word += segment.getWords(count);
    left -= count;
    count = std::min(left, kBlockRows);
  }
}

ArrayAttr sysmol::describePieces(Builder &b, const FragmentSegment &segment) {
  SmallVector<Attribute> pieces;
  forEachPiece(segment, [&](int64_t count, int64_t word) {
    pieces.push_back(
        b.getI64ArrayAttr({count, word * 32 / segment.getFieldBits()}));
  });
  return b.getArrayAttr(pieces);
}

PixelLayout PixelLayout::get(ChannelsAttr channels) {
  PixelLayout layout;
  layout.words = 0;
  int64_t firstChannel = 0;
  for (int8_t level : channels.getLevels()) {
    FragmentSegment segment = {};
    segment.level = level;
    segment.channels = channels.getNumChannels(level);
    segment.firstChannel = firstChannel;
    firstChannel += segment.channels;
    int64_t words = 0;
    forEachPiece(segment, [&](int64_t count, int64_t) {
      words += segment.getWords(count);
    });
    // As large as padding costs nothing: copies are fewer, but products bind.
    segment.copyWords = words % 4 == 0 ? 4 : words % 2 == 0 ? 2 : 1;
    segment.tapWords = words;
    layout.words = llvm::alignTo(layout.words, segment.copyWords);
    segment.activationBase = layout.words;
    layout.words += segment.getNumPlanes() * words;
    layout.segments.push_back(segment);
  }
  // Pieces of four words are aligned in every pixel.
  layout.words = llvm::alignTo(layout.words, 4);
  return layout;
}

/// A power of two, so that warps share a block evenly.
static int64_t getBlockRows(FragmentOrder order, int64_t rows) {
  switch (order) {
  case FragmentOrder::Streamed:
    return kFragmentRows;
  case FragmentOrder::Staged:
    return std::clamp<int64_t>(llvm::PowerOf2Ceil(rows), kLeastBlockRows,
                               kBlockRows);
  case FragmentOrder::Warpgroup: // of two groups each 64 rows, or 64 columns
    return rows > kWarpgroupRows ? kBlockRows : kWarpgroupRows;
  }
  llvm_unreachable("unknown order");
}

FragmentLayout FragmentLayout::get(FragmentOrder order,
                                   ChannelsAttr activations,
                                   const Window &window, int64_t rows) {
  FragmentLayout layout;
  layout.order = order;
  layout.grid = activations.getGrid();
  layout.batch = window.getNumOutputPixels();
  layout.rows = rows;
  layout.k = activations.getBits().size();
  layout.window = window;
  layout.blockRows = getBlockRows(layout.order, rows);
  layout.paddedRows = llvm::alignTo(rows, layout.blockRows);
  layout.paddedBatch = llvm::alignTo(layout.batch, kBlockColumns);
  PixelLayout pixel = PixelLayout::get(activations);
  layout.pixelWords = pixel.words;
  layout.segments = pixel.segments;
  layout.stages = 0;
  for (FragmentSegment &segment : layout.segments) {
    segment.productCount = getProductCount(layout.grid, segment.level,
                                           activations.getFinestLevel());
    int64_t steps =
        llvm::divideCeil(window.getNumTaps() * segment.tapWords, kStepWords);
    segment.firstStage = layout.stages;
    segment.usedSteps = steps * segment.getNumPlanes();
    segment.stages = llvm::divideCeil(segment.usedSteps, kStageSteps);
    segment.steps = segment.stages * kStageSteps / segment.getNumPlanes();
    segment.weightBase = segment.firstStage * layout.getStageWords();
    layout.stages += segment.stages;
  }
  layout.weightWords = layout.paddedRows / layout.blockRows * layout.stages *
                       layout.getStageWords();
  layout.activationWords = window.getNumPixels() * layout.pixelWords;
  return layout;
}

FragmentLayout FragmentLayout::get(FragmentOrder order,
                                   ChannelsAttr activations, int64_t batch,
                                   int64_t rows) {
  bool isStaged = order != FragmentOrder::Streamed;
  FragmentLayout layout;
  layout.pixelWords = 0;
  layout.order = order;
  layout.grid = activations.getGrid();
  layout.batch = batch;
  layout.rows = rows;
  layout.k = activations.getBits().size();
  layout.blockRows = getBlockRows(order, rows);
  layout.paddedRows = llvm::alignTo(rows, layout.blockRows);
  layout.paddedBatch = isStaged ? llvm::alignTo(batch, kBlockColumns) : batch;
  layout.weightWords = layout.activationWords = layout.stages = 0;
  int8_t finest = activations.getFinestLevel();
  for (int8_t level : activations.getLevels()) {
    FragmentSegment segment = {};
    segment.level = level;
    segment.channels = activations.getNumChannels(level);
    segment.steps =
        llvm::divideCeil(segment.channels, segment.getChannelsPerStep());
    segment.firstStage = segment.stages = 0;
    segment.usedSteps = segment.steps * segment.getNumPlanes();
    segment.productCount = getProductCount(layout.grid, level, finest);
    if (isStaged) {
      segment.firstStage = layout.stages;
      segment.stages = llvm::divideCeil(segment.usedSteps, kStageSteps);
      segment.steps = segment.stages * kStageSteps / segment.getNumPlanes();
      layout.stages += segment.stages;
      segment.weightBase = segment.firstStage * layout.getStageWords();
      segment.activationBase = segment.firstStage * kStageSteps * kStepWords;
    } else {
      segment.weightBase = layout.weightWords;
      segment.activationBase = layout.activationWords;
    }
    int64_t words = segment.steps * segment.getNumPlanes() * kStepWords;
    layout.weightWords += layout.paddedRows * words;
    layout.activationWords += layout.paddedBatch * words;
    layout.segments.push_back(segment);
  }
  return layout;
}

int64_t CodePlaces::get(int64_t rowIndex, int64_t kIndex, int64_t bit) const {
  int64_t place = base;
  auto add = [&](const Digits &digits, int64_t index) {
    for (const Digit &digit : digits) {
      place += index % digit.size * digit.stride;
      index /= digit.size;
    }
  };
  add(row, rowIndex);
  add(k, kIndex);
  add(b, bit);
  return place;
}

/// The bits of a code: neighbours in a word, or in planes.
static Digits getBitDigits(const FragmentSegment &s, int64_t planeStride) {
  return {{s.level, s.getFieldBits() > 1 ? 1 : planeStride}};
}

CodePlaces FragmentLayout::getWeightPlaces(const FragmentSegment &s) const {
  int64_t planes = s.getNumPlanes(), field = s.getFieldBits();
  int64_t fragment = kFragmentWords * 32;
  CodePlaces places = {s.weightBase * 32, {}, {}, getBitDigits(s, fragment)};
  if (order == FragmentOrder::Streamed) {
    places.row = {{8, 4 * 128},
                  {2, 32},
                  {paddedRows / kFragmentRows, s.steps * planes * fragment}};
    places.k = {
        {32 / field, field}, {2, 64}, {4, 128}, {s.steps, planes * fragment}};
    return places;
  }
  Digit word = {2, 64}, quad = {4, 128};
  if (isByWarpgroup())
    std::swap(word, quad);
  places.row = {{8, 4 * 128},
                {2, 32},
                {blockRows / kFragmentRows, kStageSteps * fragment},
                {paddedRows / blockRows, stages * getStageWords() * 32}};
  places.k = {{32 / field, field},
              word,
              quad,
              {kStageSteps / planes, planes * fragment},
              {s.stages, getStageWords() * 32}};
  return places;
}

CodePlaces FragmentLayout::getActivationPlaces(const FragmentSegment &s) const {
  int64_t planes = s.getNumPlanes(), field = s.getFieldBits();
  int64_t step = kStepWords * 32;
  int64_t base = s.activationBase * 32;
  if (window)
    return {base,
            {{window->getNumPixels(), pixelWords * 32}},
            {{s.tapWords * 32 / field, field}},
            getBitDigits(s, s.tapWords * 32)};
  if (order == FragmentOrder::Streamed)
    return {base,
            {{paddedBatch, planes * s.steps * step}},
            {{s.steps * s.getChannelsPerStep(), field}},
            getBitDigits(s, s.steps * step)};
  return {base,
          {{paddedBatch, stages * kStageSteps * step}},
          {{s.getChannelsPerStep(), field},
           {kStageSteps / planes, planes * step},
           {s.stages, kStageSteps * step}},
          getBitDigits(s, step)};
}

static Attribute describe(Builder &b, const Digits &digits) {
  SmallVector<Attribute> all;
  for (const Digit &digit : digits)
    all.push_back(b.getI64ArrayAttr({digit.size, digit.stride}));
  return b.getArrayAttr(all);
}

DictionaryAttr sysmol::describePlaces(Builder &b, StringRef buffer,
                                      const CodePlaces &places,
                                      StringRef rowName) {
  return b.getDictionaryAttr(
      {b.getNamedAttr("buffer", b.getStringAttr(buffer)),
       b.getNamedAttr("base", b.getI64IntegerAttr(places.base)),
       b.getNamedAttr(rowName, describe(b, places.row)),
       b.getNamedAttr("k", describe(b, places.k)),
       b.getNamedAttr("b", describe(b, places.b))});
}

ArrayAttr FragmentLayout::describeSegments(MLIRContext *context) const {
  Builder b(context);
  SmallVector<Attribute> list;
  for (const FragmentSegment &s : segments) {
    auto entry = [&](StringRef name, Attribute value) {
      return b.getNamedAttr(name, value);
    };
    NamedAttrList fields(ArrayRef<NamedAttribute>{
        entry("channels", b.getI64IntegerAttr(s.channels)),
        entry("weight_bits", b.getI64IntegerAttr(s.level)),
        entry("activation_bits", b.getI64IntegerAttr(s.level)),
        entry("multiplier", b.getI64IntegerAttr(s.productCount)),
        entry("weights", describePlaces(b, "weights", getWeightPlaces(s), "n")),
        entry("activations",
              describePlaces(b, "activations", getActivationPlaces(s), "m"))});
    if (window) { // from a tap to the next in the weights' k
      fields.append("tap_channels",
                    b.getI64IntegerAttr(s.tapWords * 32 / s.getFieldBits()));
      fields.append("pieces", describePieces(b, s));
    }
    list.push_back(fields.getDictionary(context));
  }
  return b.getArrayAttr(list);
}

/// Calls `visit` with every code of weights `[rows, k, taps]`, its segment and
/// its channel in that.
static void
forEachWeight(const FragmentLayout &layout, ArrayRef<int8_t> codes,
              llvm::function_ref<void(const FragmentSegment &, int64_t row,
                                      int64_t channel, int64_t tap, int code)>
                  visit) {
  int64_t taps = layout.window ? layout.window->getNumTaps() : 1;
  int64_t at = 0;
  for (int64_t row = 0; row < layout.rows; ++row)
    for (const FragmentSegment &segment : layout.segments)
      for (int64_t channel = 0; channel < segment.channels; ++channel)
        for (int64_t tap = 0; tap < taps; ++tap)
          visit(segment, row, channel, tap, codes[at++]);
}

std::vector<int32_t> FragmentLayout::packWeights(ArrayRef<int8_t> codes) const {
  std::vector<int32_t> words(weightWords);
  SmallVector<CodePlaces> places;
  for (const FragmentSegment &segment : segments)
    places.push_back(getWeightPlaces(segment));
  forEachWeight(*this, codes,
                [&](const FragmentSegment &segment, int64_t row,
                    int64_t channel, int64_t tap, int code) {
                  int64_t k = channel;
                  if (window) // a tap has whole words
                    k = getPixelPlace(segment, channel) +
                        tap * segment.tapWords * 32 / segment.getFieldBits();
                  const CodePlaces &place = places[&segment - segments.data()];
                  for (int64_t bit = 0; bit < segment.level; ++bit)
                    if (code >> bit & 1) {
                      int64_t to = place.get(row, k, bit);
                      words[to / 32] |= int32_t(uint32_t(1) << to % 32);
                    }
                });
  return words;
}

std::vector<int32_t> FragmentLayout::getRowBias(ArrayRef<int8_t> codes) const {
  // (2a - q)(2w - q) - 4aw + 2qa = q (q - 2w) of every code, q = 2^p - 1.
  std::vector<int32_t> bias(rows);
  forEachWeight(*this, codes,
                [&](const FragmentSegment &segment, int64_t row, int64_t,
                    int64_t, int code) {
                  int q = (1 << segment.level) - 1;
                  if (segment.hasSums())
                    bias[row] +=
                        int32_t(segment.productCount) * q * (q - 2 * code);
                });
  return bias;
}
