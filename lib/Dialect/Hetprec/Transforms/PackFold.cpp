//===- PackFold.cpp - Whole windows in the words of few channels ----------===//

#include "Packer.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

PackedCodes Packer::separateFolded(const DotProduct &dot,
                                   const PackedCodes &input) {
  PackedCodes read = input;
  read.segments.clear();
  for (const Segment &s : input.segments) {
    std::optional<TapFold> fold = TapFold::get(dot.op, s.level);
    if (!fold) {
      read.segments.push_back(s);
      continue;
    }
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointAfterValue(s.plane);
    int64_t lanes = cast<RankedTensorType>(s.plane.getType()).getDimSize(1);
    int64_t perWord = getChannelsPerWord(s.level), whole = s.getNumWords() - 1;
    auto take = [&](int64_t first, int64_t count, bool isFolded) {
      Segment part{s.level, {}, s.plane, isFolded};
      llvm::append_range(part.channels,
                         ArrayRef<int64_t>(s.channels)
                             .slice(first * perWord, count * perWord));
      if (whole > 0)
        part.plane = tensor::ExtractSliceOp::create(
            b, dot.op->getLoc(), s.plane,
            SmallVector<OpFoldResult>{b.getIndexAttr(first), b.getIndexAttr(0)},
            SmallVector<OpFoldResult>{b.getIndexAttr(count),
                                      b.getIndexAttr(lanes)},
            SmallVector<OpFoldResult>(2, b.getIndexAttr(1)));
      read.segments.push_back(std::move(part));
    };
    if (whole > 0)
      take(0, whole, /*isFolded=*/false);
    take(whole, 1, /*isFolded=*/true);
  }
  return read;
}

/// Slots of the last word that no tap fills are empty.
static void padToWords(Segment &s, ArrayRef<int64_t> channels) {
  s.channels.assign(channels.begin(), channels.end());
  int64_t slots = llvm::alignTo(channels.size(), getChannelsPerWord(s.level));
  s.channels.resize(slots, -1);
  s.slotTaps.resize(slots, 0);
}

void ContractBuilder::foldTaps() {
  assert((byteLanes || taps.front() == 0) && "the first tap is the first lane");
  for (Segment &s : input.segments)
    if (s.isFolded && stream)
      foldStream(s);
    else if (s.isFolded)
      foldTaps(s);
}

void ContractBuilder::foldTaps(Segment &s) {
  std::optional<TapFold> fold = TapFold::get(dot.op, s.level);
  assert(fold && "separateFolded asked, too");
  SmallVector<int64_t> channels;
  for (int64_t tap = 0; tap < int64_t(taps.size()); ++tap)
    for (int64_t slot = 0; slot < fold->channels; ++slot) {
      channels.push_back(s.channels[slot]);
      s.slotTaps.push_back(tap);
    }
  padToWords(s, channels);
  s.plane = createFold(s, SmallVector<int64_t>(taps.size(), fold->channels),
                       taps, tapPhases);
}

void ContractBuilder::foldStream(Segment &s) {
  int64_t planes = stream->planes - stream->foldedFrom;
  SmallVector<int64_t> channels, counts, lanes, sources;
  for (int64_t tap = 0; tap < int64_t(taps.size()); ++tap)
    for (int64_t plane = 0; plane < planes; ++plane) {
      int64_t row = tap / stream->repeats, repeat = tap % stream->repeats;
      int64_t from = stream->foldedFrom + plane;
      int64_t bytes = stream->getNumBytes(from, repeat);
      if (bytes == 0)
        continue;
      counts.push_back(bytes);
      lanes.push_back(taps[tap]);
      sources.push_back((tapPhases.empty() ? 0 : tapPhases[tap]) * planes +
                        plane);
      for (int64_t byte = 0; byte < bytes; ++byte) {
        auto source = stream->getSource(from, byte, repeat);
        channels.push_back(s.channels[source->slot]);
        s.slotTaps.push_back(row * stream->columns + source->column);
      }
    }
  padToWords(s, channels);
  s.plane = createFold(s, counts, lanes, sources);
}

/// `segment` has a channel for each slot, and its words to be.
Value ContractBuilder::createFold(const Segment &segment,
                                  ArrayRef<int64_t> channels,
                                  ArrayRef<int64_t> lanes,
                                  ArrayRef<int64_t> planes) {
  auto type = cast<RankedTensorType>(segment.plane.getType());
  Value init = tensor::EmptyOp::create(
      b, loc, {segment.getNumWords(), type.getDimSize(1)},
      type.getElementType());
  return FoldTapsOp::create(b, loc, TypeRange{init.getType()}, segment.plane,
                            init, segment.level, channels, lanes, planes,
                            imageLayout.getBase() + origin, laneCount)
      ->getResult(0);
}

SmallVector<bool> ContractBuilder::getFolded(ArrayRef<Segment> segments) {
  auto isFolded = [](const Segment &s) { return s.isFolded; };
  if (llvm::none_of(segments, isFolded))
    return {};
  return llvm::map_to_vector(segments, isFolded);
}
