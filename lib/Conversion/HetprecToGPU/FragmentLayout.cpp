//===- FragmentLayout.cpp - How codes lie in a GPU's memory ---------------===//

#include "FragmentLayout.h"

#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

FragmentLayout FragmentLayout::get(ChannelsAttr activations, int64_t batch,
                                   int64_t rows, int64_t rowTile,
                                   int64_t batchTile) {
  FragmentLayout layout;
  layout.grid = activations.getGrid();
  layout.batch = batch;
  layout.rows = rows;
  layout.k = activations.getBits().size();
  layout.paddedRows = llvm::alignTo(rows, rowTile);
  layout.paddedBatch = llvm::alignTo(batch, batchTile);
  layout.weightWords = layout.activationWords = 0;
  int8_t finest = activations.getFinestLevel();
  for (int8_t level : activations.getLevels()) {
    FragmentSegment segment;
    segment.level = level;
    segment.channels = activations.getNumChannels(level);
    segment.steps =
        llvm::divideCeil(segment.channels, segment.getChannelsPerStep());
    segment.weightBase = layout.weightWords;
    segment.activationBase = layout.activationWords;
    segment.productCount = getProductCount(layout.grid, level, finest);
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
    int64_t fragment = kFragmentWords * 32;
    auto bit = [&](int64_t planeStride) {
      return s.level == 4 ? digits(b, {{4, 1}})
                          : digits(b, {{s.level, planeStride}});
    };
    auto entry = [&](StringRef name, Attribute value) {
      return b.getNamedAttr(name, value);
    };
    DictionaryAttr weights = b.getDictionaryAttr(
        {entry("buffer", b.getStringAttr("weights")),
         entry("base", b.getI64IntegerAttr(s.weightBase * 32)),
         entry("n", digits(b, {{8, 4 * 128},
                               {2, 32},
                               {paddedRows / kFragmentRows,
                                s.steps * planes * fragment}})),
         entry("k", digits(b, {{32 / field, field},
                               {2, 64},
                               {4, 128},
                               {s.steps, planes * fragment}})),
         entry("b", bit(fragment))});
    int64_t plane = s.steps * kStepWords * 32;
    DictionaryAttr activations = b.getDictionaryAttr(
        {entry("buffer", b.getStringAttr("activations")),
         entry("base", b.getI64IntegerAttr(s.activationBase * 32)),
         entry("m", digits(b, {{paddedBatch, planes * plane}})),
         entry("k", digits(b, {{s.steps * s.getChannelsPerStep(), field}})),
         entry("b", bit(plane))});
    list.push_back(b.getDictionaryAttr(
        {entry("channels", b.getI64IntegerAttr(s.channels)),
         entry("weight_bits", b.getI64IntegerAttr(s.level)),
         entry("activation_bits", b.getI64IntegerAttr(s.level)),
         entry("multiplier", b.getI64IntegerAttr(s.productCount)),
         entry("weights", weights), entry("activations", activations)}));
  }
  return b.getArrayAttr(list);
}
