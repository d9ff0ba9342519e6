//===- PackBytes.cpp - Planes of bytes, one a channel ---------------------===//

#include "Packer.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

PackedCodes Packer::spreadChannels(const DotProduct &dot,
                                   const ByteLanes &bytes,
                                   const PackedCodes &input) {
  const Window &w = dot.window;
  PackedCodes read = input;
  SmallVector<int64_t> rows = {0};
  LanesAttr layout = input.layout;
  if (w.isStrided()) {
    // Rows have phases; in a row, the bytes of a lane's columns lie side by
    // side.
    rows = llvm::map_to_vector(
        w.getRowPhases(), [&](int64_t phase) { return phase / w.strides[1]; });
    layout = layouts.getPhaseLayout(dot.op);
    int64_t width =
        cast<RankedTensorType>(dot.getInput().getType()).getDimSize(3) +
        w.pads[1] + w.pads[3];
    auto columns = LanesAttr::get(
        b.getContext(), layout.getImages(), layout.getHeight(), width,
        layout.getRowStride() * bytes.laneBytes,
        layout.getImageStride() * bytes.laneBytes,
        layout.getBase() * bytes.laneBytes, layout.getSize() * bytes.laneBytes);
    read = splitPhases(dot, input, {w.strides[0], 1}, rows, columns);
  }
  Attribute key = b.getArrayAttr(
      {b.getUnitAttr(), b.getI64IntegerAttr(bytes.laneBytes),
       b.getDenseI64ArrayAttr(w.strides), b.getDenseI64ArrayAttr(w.pads),
       b.getDenseI64ArrayAttr(rows), layout});
  auto [entry, inserted] =
      phases.try_emplace({dot.getInput(), key}, PackedCodes());
  if (!inserted)
    return entry->second;
  PackedCodes spread{{}, input.encoding, layout};
  // One product of 8 bits counts thousands of times less than one of 1 bit
  // (HP11): no byte holds both.
  SmallVector<Segment, 3> ofBytes[2];
  for (const Segment &s : read.segments)
    ofBytes[s.level == 8].push_back(s);
  for (ArrayRef<Segment> segments : ofBytes)
    if (!segments.empty())
      spread.segments.push_back(
          spreadSegments(dot.op->getLoc(), segments, rows.size()));
  return entry->second = spread;
}

Segment Packer::spreadSegments(Location loc, ArrayRef<Segment> segments,
                               int64_t numPhases) {
  Segment all{/*level=*/8, {}, {}};
  SmallVector<int64_t, 3> firsts, counts;
  for (const Segment &s : segments) {
    firsts.push_back(all.channels.size());
    llvm::copy_if(s.channels, std::back_inserter(all.channels),
                  [](int64_t channel) { return channel >= 0; });
    counts.push_back(int64_t(all.channels.size()) - firsts.back());
  }
  int64_t lanes =
      cast<RankedTensorType>(segments.front().plane.getType()).getDimSize(1);
  all.plane = makeEmpty(loc, numPhases * int64_t(all.channels.size()), lanes,
                        b.getI8Type());
  for (auto [s, first, count] : llvm::zip_equal(segments, firsts, counts))
    all.plane =
        SpreadLanesOp::create(b, loc, TypeRange{all.plane.getType()}, s.plane,
                              all.plane, s.level, first, count, numPhases)
            ->getResult(0);
  return all;
}
