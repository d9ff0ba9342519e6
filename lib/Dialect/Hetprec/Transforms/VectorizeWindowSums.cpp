//===- VectorizeWindowSums.cpp - Sums of windows in two steps -------------===//

#include "ContractSums.h"
#include "LaneVectors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace sysmol::hetprec;

namespace {

/// One row of the same words at every tap: pixels' sums go into scratch memory,
/// lanes in turn, and windows are summed from there. A word is read once for a
/// lane (and once more where tiles meet), not once for each tap.
class WindowSums {
public:
  WindowSums(OpBuilder &b, ContractOp op, LaneScratch &scratch)
      : b(b), op(op), loc(op.getLoc()), v(b, loc), scratch(scratch),
        lanes(op.getLaneCount() + op.getReach()) {
    for (int64_t s = 0; s < int64_t(op.getLevels().size()); ++s)
      (op.isFolded(s) ? folded : read).push_back(s);
  }

  void run();

private:
  /// Words of segment `s`.
  int64_t getNumWords(int64_t s) {
    return cast<MemRefType>(op.getRows()[s].getType()).getDimSize(1);
  }
  int64_t getSumBits() { return op.getSumBits(); }
  /// Pixels' sums that fit have 16 bits, as have those that are exact modulo
  /// 2^16.
  int64_t getPixelBits();
  /// The sums of a block of pixels of a phase (null: the only one) from `lane`
  /// on, of `segments`, even and odd lanes.
  LanePair sumPixels(ArrayRef<int64_t> segments, Value phase, Value lane,
                     Value sums);
  /// All pixels' sums, `[phase, lane]`.
  Value sumPixels();

  OpBuilder &b;
  ContractOp op;
  Location loc;
  LaneVectors v;
  LaneScratch &scratch;
  int64_t lanes;                     // that windows reach
  SmallVector<int64_t> read, folded; // segments
};

} // namespace

int64_t WindowSums::getPixelBits() {
  if (getSumBits() == 16)
    return 16;
  int64_t largest = 0;
  for (int64_t s : read) {
    int64_t level = op.getLevels()[s], words = getNumWords(s);
    if (level == 8)
      return 32;
    int64_t sum =
        level == 4 ? words * 2 * kNibblePairBound : getLargestSum(op, s, words);
    largest += std::abs(op.getCoefficients()[s]) * sum;
  }
  return largest <= 32767 ? 16 : 32;
}

LanePair WindowSums::sumPixels(ArrayRef<int64_t> segments, Value phase,
                               Value lane, Value sums) {
  SmallVector<Value> planes, rows;
  SmallVector<int64_t> levels, coefficients;
  for (int64_t s : segments) {
    Value all = op.getLanes()[s];
    int64_t words = getNumWords(s);
    OpFoldResult first = b.getIndexAttr(0);
    if (phase)
      first = v.times(phase, words);
    planes.push_back(memref::SubViewOp::create(
        b, loc, all, ArrayRef<OpFoldResult>{first, lane},
        ArrayRef<OpFoldResult>{b.getIndexAttr(words),
                               b.getIndexAttr(kLaneBlock)},
        SmallVector<OpFoldResult>(2, b.getIndexAttr(1))));
    rows.push_back(op.getRows()[s]);
    levels.push_back(op.getLevels()[s]);
    coefficients.push_back(op.getCoefficients()[s]);
  }
  auto pixels = ContractOp::create(
      b, loc, TypeRange(), planes, rows, /*starts=*/ValueRange(),
      /*lane_bias=*/Value(), /*bias_rows=*/Value(), /*row_bias=*/Value(),
      /*thresholds=*/Value(), /*multiplier=*/Value(), /*offset=*/Value(),
      /*mask=*/Value(), /*sums=*/Value(), sums, levels, coefficients,
      /*taps=*/ArrayRef<int64_t>{0}, /*tap_phases=*/ArrayRef<int64_t>(),
      /*phases=*/1, /*origin=*/0, /*lane_bytes=*/0,
      /*tap_bytes=*/ArrayRef<int64_t>(), /*folded=*/ArrayRef<bool>(),
      /*centred=*/false, /*byte_words=*/ArrayRef<int64_t>(), /*lane_begin=*/0,
      /*lane_count=*/kLaneBlock, Epilogue::Accumulator, /*out_level=*/0,
      /*out_signed=*/false, getSumBits(), /*uniform_rows=*/true,
      /*shared_starts=*/false, /*prefetch_rows=*/false, /*in_range=*/false,
      /*relu=*/false, op.getLayerAttr());
  vectorizeContractTile(b, pixels, scratch);
  return v.loadPair(sums, v.index(0), 0);
}

Value WindowSums::sumPixels() {
  Type element = b.getIntegerType(getPixelBits());
  int64_t phases = op.getPhases();
  Value memory = scratch.take(b, loc, phases, lanes, element);
  Value sums = scratch.take(b, loc, 1, kLaneBlock, element);
  v.repeat(v.index(0), phases, 1, {}, [&](Value phase, ValueRange) {
    v.repeat(v.index(0), llvm::divideCeil(lanes, kLaneBlock), kLaneBlock, {},
             [&](Value block, ValueRange) {
               // The last block ends with the lanes.
               Value lane = arith::MinUIOp::create(b, loc, block,
                                                   v.index(lanes - kLaneBlock));
               LanePair pair =
                   sumPixels(read, phases > 1 ? phase : Value(), lane, sums);
               v.storeVector(v.interleave(pair), memory, phase, lane);
               return SmallVector<Value>();
             });
    return SmallVector<Value>();
  });
  return memory;
}

void WindowSums::run() {
  constexpr int64_t half = kLaneBlock / 2;
  Value pixels = sumPixels();
  SegmentWindow window(op, read.front());
  VectorType type = v.half(b.getIntegerType(getSumBits()));
  int64_t bits =
      cast<MemRefType>(op.getInit().getType()).getElementTypeBitWidth();
  Value others;
  if (!folded.empty())
    others = scratch.take(b, loc, 1, kLaneBlock, type.getElementType());
  int64_t blocks = op.getLaneCount() / kLaneBlock;
  v.repeat(v.index(0), blocks, kLaneBlock, {}, [&](Value block, ValueRange) {
    SmallVector<Value> zeros(2, v.splat(type, 0));
    SmallVector<Value> sums = window.loops.forPlaces(
        v, zeros, [&](const WindowLoops::Place &place, ValueRange args) {
          SmallVector<Value> totals(args);
          for (int64_t tap = place.first; tap < place.last; ++tap) {
            Value phase = v.index(window.tapPhases[tap]);
            if (place.phase)
              phase = v.add(phase, place.phase);
            Value lane =
                v.add(v.add(block, place.lane), v.index(window.taps[tap]));
            for (auto [i, total] : llvm::enumerate(totals)) {
              Value part = v.loadVector(pixels, phase,
                                        v.add(lane, v.index(i * half)), half);
              total = v.add(total, v.resize(part, getSumBits()));
            }
          }
          return totals;
        });
    LanePair pair = v.deinterleave(sums[0], sums[1]);
    if (!folded.empty()) {
      Value lane = v.add(block, v.index(op.getTaps().front()));
      LanePair more = sumPixels(folded, /*phase=*/{}, lane, others);
      pair = {v.add(pair.even, more.even), v.add(pair.odd, more.odd)};
    }
    auto store = [&](Value lanes, Value lane) {
      v.storeVector(v.resize(lanes, bits), op.getInit(), v.index(0), lane);
    };
    store(pair.even, block);
    store(pair.odd, v.add(block, v.index(half)));
    return SmallVector<Value>();
  });
}

void sysmol::hetprec::vectorizeWindowSums(OpBuilder &b, ContractOp op,
                                          LaneScratch &scratch) {
  WindowSums(b, op, scratch).run();
}
