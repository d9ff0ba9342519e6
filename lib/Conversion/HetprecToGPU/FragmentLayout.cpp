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

FragmentLayout FragmentLayout::get(ChannelsAttr activations,
                                   const Window &window, int64_t rows) {
  FragmentLayout layout;
  layout.order = FragmentOrder::Staged;
  layout.grid = activations.getGrid();
  layout.batch = window.getNumOutputPixels();
  layout.rows = rows;
  layout.k = activations.getBits().size();
  layout.window = window;
  layout.paddedRows = llvm::alignTo(rows, kBlockRows);
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
    segment.stages =
        llvm::divideCeil(steps * segment.getNumPlanes(), kStageSteps);
    segment.steps = segment.stages * kStageSteps / segment.getNumPlanes();
    segment.weightBase = segment.firstStage * kStageWords;
    layout.stages += segment.stages;
  }
  layout.weightWords =
      layout.paddedRows / kBlockRows * layout.stages * kStageWords;
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
  layout.paddedRows =
      llvm::alignTo(rows, isStaged ? kBlockRows : kFragmentRows);
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
    segment.productCount = getProductCount(layout.grid, level, finest);
    if (isStaged) {
      segment.firstStage = layout.stages;
      segment.stages =
          llvm::divideCeil(segment.steps * segment.getNumPlanes(), kStageSteps);
      segment.steps = segment.stages * kStageSteps / segment.getNumPlanes();
      layout.stages += segment.stages;
      segment.weightBase = segment.firstStage * kStageWords;
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

/// Digits `[size, stride in bits]`, least significant first.
static Attribute digits(Builder &b,
                        ArrayRef<std::pair<int64_t, int64_t>> sizes) {
  SmallVector<Attribute> all;
  for (auto [size, stride] : sizes)
    all.push_back(b.getI64ArrayAttr({size, stride}));
  return b.getArrayAttr(all);
}

ArrayAttr FragmentLayout::describeSegments(MLIRContext *context) const {
  Builder b(context);
  SmallVector<Attribute> list;
  for (const FragmentSegment &s : segments) {
    int64_t planes = s.getNumPlanes(), field = s.getFieldBits();
    int64_t fragment = kFragmentWords * 32, step = kStepWords * 32;
    auto bit = [&](int64_t planeStride) {
      return digits(b, {{s.level, s.getFieldBits() > 1 ? 1 : planeStride}});
    };
    auto entry = [&](StringRef name, Attribute value) {
      return b.getNamedAttr(name, value);
    };
    auto place = [&](StringRef buffer, int64_t base, StringRef rowName,
                     Attribute rows, Attribute k, Attribute bits) {
      return b.getDictionaryAttr({entry("buffer", b.getStringAttr(buffer)),
                                  entry("base", b.getI64IntegerAttr(base * 32)),
                                  entry(rowName, rows), entry("k", k),
                                  entry("b", bits)});
    };
    DictionaryAttr weights, activations;
    if (order != FragmentOrder::Streamed) {
      bool isApart = order == FragmentOrder::Warpgroup && s.level <= 2;
      std::pair<int64_t, int64_t> word = {2, 64}, quad = {4, 128};
      if (isApart)
        std::swap(word, quad);
      int64_t perStage = kStageSteps / planes;
      weights = place(
          "weights", s.weightBase, "n",
          digits(b, {{8, 4 * 128},
                     {2, 32},
                     {kBlockRows / kFragmentRows, kStageSteps * fragment},
                     {paddedRows / kBlockRows, stages * kStageWords * 32}}),
          digits(b, {{32 / field, field},
                     word,
                     quad,
                     {perStage, planes * fragment},
                     {s.stages, kStageWords * 32}}),
          bit(fragment));
      if (window)
        activations =
            place("activations", s.activationBase, "m",
                  digits(b, {{window->getNumPixels(), pixelWords * 32}}),
                  digits(b, {{s.tapWords * 32 / field, field}}),
                  bit(s.tapWords * 32));
      else
        activations =
            place("activations", s.activationBase, "m",
                  digits(b, {{paddedBatch, stages * kStageSteps * step}}),
                  digits(b, {{s.getChannelsPerStep(), field},
                             {perStage, planes * step},
                             {s.stages, kStageSteps * step}}),
                  bit(step));
    } else {
      weights = place("weights", s.weightBase, "n",
                      digits(b, {{8, 4 * 128},
                                 {2, 32},
                                 {paddedRows / kFragmentRows,
                                  s.steps * planes * fragment}}),
                      digits(b, {{32 / field, field},
                                 {2, 64},
                                 {4, 128},
                                 {s.steps, planes * fragment}}),
                      bit(fragment));
      activations =
          place("activations", s.activationBase, "m",
                digits(b, {{paddedBatch, planes * s.steps * step}}),
                digits(b, {{s.steps * s.getChannelsPerStep(), field}}),
                bit(s.steps * step));
    }
    NamedAttrList fields(ArrayRef<NamedAttribute>{
        entry("channels", b.getI64IntegerAttr(s.channels)),
        entry("weight_bits", b.getI64IntegerAttr(s.level)),
        entry("activation_bits", b.getI64IntegerAttr(s.level)),
        entry("multiplier", b.getI64IntegerAttr(s.productCount)),
        entry("weights", weights), entry("activations", activations)});
    if (window) { // from a tap to the next in the weights' k
      fields.append("tap_channels",
                    b.getI64IntegerAttr(s.tapWords * 32 / field));
      fields.append("pieces", describePieces(b, s));
    }
    list.push_back(fields.getDictionary(context));
  }
  return b.getArrayAttr(list);
}
