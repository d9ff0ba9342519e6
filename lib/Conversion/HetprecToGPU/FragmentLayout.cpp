//===- FragmentLayout.cpp - How codes lie in a GPU's memory ---------------===//

#include "FragmentLayout.h"

#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

FragmentLayout FragmentLayout::get(FragmentOrder order,
                                   ChannelsAttr activations, int64_t batch,
                                   int64_t rows) {
  bool isStaged = order != FragmentOrder::Streamed;
  FragmentLayout layout;
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
    FragmentSegment segment;
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
      return s.level == 4 ? digits(b, {{4, 1}})
                          : digits(b, {{s.level, planeStride}});
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
    list.push_back(b.getDictionaryAttr(
        {entry("channels", b.getI64IntegerAttr(s.channels)),
         entry("weight_bits", b.getI64IntegerAttr(s.level)),
         entry("activation_bits", b.getI64IntegerAttr(s.level)),
         entry("multiplier", b.getI64IntegerAttr(s.productCount)),
         entry("weights", weights), entry("activations", activations)}));
  }
  return b.getArrayAttr(list);
}
