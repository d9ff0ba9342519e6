//===- PackBytes.cpp - Planes of bytes, one a channel ---------------------===//

#include "Packer.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

PackedCodes Packer::spreadChannels(const DotProduct &dot,
                                   const ByteLanes &bytes,
                                   const PackedCodes &input) {
  const Window &w = dot.window;
  RowSplit rows;
  LanesAttr layout = input.layout;
  if (w.isStrided()) {
    // Rows have phases; in a row, the bytes of a lane's columns lie side by
    // side.
    rows.phases = llvm::map_to_vector(
        w.getRowPhases(), [&](int64_t phase) { return phase / w.strides[1]; });
    rows.stride = w.strides[0];
    rows.pads = {w.pads[0], w.pads[1]};
    rows.from = input.layout;
    layout = layouts.getPhaseLayout(dot.op);
    int64_t width =
        cast<RankedTensorType>(dot.getInput().getType()).getDimSize(3) +
        w.pads[1] + w.pads[3];
    rows.to = LanesAttr::get(
        b.getContext(), layout.getImages(), layout.getHeight(), width,
        layout.getRowStride() * bytes.laneBytes,
        layout.getImageStride() * bytes.laneBytes,
        layout.getBase() * bytes.laneBytes, layout.getSize() * bytes.laneBytes);
  }
  Attribute key = b.getArrayAttr(
      {b.getUnitAttr(), b.getI64IntegerAttr(bytes.laneBytes),
       b.getDenseI64ArrayAttr(w.strides), b.getDenseI64ArrayAttr(w.pads),
       b.getDenseI64ArrayAttr(rows.phases), layout});
  auto [entry, inserted] =
      phases.try_emplace({dot.getInput(), key}, PackedCodes());
  if (!inserted)
    return entry->second;
  PackedCodes spread{{}, input.encoding, layout};
  // One product of 8 bits counts thousands of times less than one of 1 bit
  // (HP11): no byte holds both.
  SmallVector<Segment, 3> ofBytes[2];
  for (const Segment &s : input.segments)
    ofBytes[s.level == 8].push_back(s);
  for (ArrayRef<Segment> segments : ofBytes)
    if (!segments.empty())
      spread.segments.push_back(
          spreadSegments(dot.op->getLoc(), segments, rows));
  return entry->second = spread;
}

Segment Packer::spreadSegments(Location loc, ArrayRef<Segment> segments,
                               const RowSplit &rows) {
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
  int64_t numPhases = 1;
  if (rows.to) {
    lanes = rows.to.getSize();
    numPhases = int64_t(rows.phases.size());
  }
  all.plane = makeEmpty(loc, numPhases * int64_t(all.channels.size()), lanes,
                        b.getI8Type());
  for (auto [s, first, count] : llvm::zip_equal(segments, firsts, counts))
    all.plane =
        SpreadLanesOp::create(b, loc, TypeRange{all.plane.getType()}, s.plane,
                              all.plane, s.level, first, count, rows.phases,
                              rows.stride, rows.pads, rows.from, rows.to)
            ->getResult(0);
  return all;
}
