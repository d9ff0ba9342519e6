//===- ByteSums.cpp - Sums over planes of bytes ---------------------------===//

#include "ByteSums.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sysmol::hetprec;

/// Words of a window that are unrolled; of more, loops run over rows of them.
static constexpr int64_t kUnrolledWords = 6;
/// The most of these: each word is four products of each slot of a word of
/// codes.
static constexpr int64_t kMostWords = 16;
/// 64 bytes, or 16 words, of one load.
static constexpr int64_t kWordLanes = kLaneBlock / 4;

namespace {

class ByteSummer {
public:
  ByteSummer(OpBuilder &b, ContractOp op, int64_t segment, Value row)
      : b(b), op(op), loc(op.getLoc()), v(b, loc), segment(segment), row(row),
        blocks(op.getLaneCount() / kLaneBlock), laneBytes(op.getLaneBytes()),
        taps(op.getTaps()), tapPhases(op.getTapPhases()) {
    if (tapPhases.empty())
      tapPhases.assign(taps.size(), 0);
    if (int64_t(taps.size()) > kUnrolledWords)
      window = WindowLoops::find(taps, tapPhases, op.getTapBytes(), kMostWords);
    else
      window = WindowLoops::unroll(taps.size());
  }

  /// The parts of each block's pair in turn.
  SmallVector<Value> run();

private:
  SmallVector<Value> sum(Value start);
  SmallVector<Value> sumPairs(Value start);

  Value add(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value add(Value x, int64_t y) { return y == 0 ? x : add(x, v.index(y)); }
  Value times(Value x, int64_t factor) {
    return arith::MulIOp::create(b, loc, x, v.index(factor));
  }

  OpBuilder &b;
  ContractOp op;
  Location loc;
  LaneVectors v;
  int64_t segment;
  Value row;
  int64_t blocks, laneBytes;
  SmallVector<int64_t> taps, tapPhases;
  WindowLoops window;
};

} // namespace

/// Four registers of words for each block. A load's words begin four bytes
/// apart, `4 / laneBytes` lanes: as many loads, a lane apart, take all lanes of
/// 64 bytes, `laneBytes` times over.
SmallVector<Value> ByteSummer::sum(Value start) {
  Value lanes = op.getLanes()[segment], rows = op.getRows()[segment];
  int64_t numPlanes =
      cast<MemRefType>(lanes.getType()).getDimSize(0) / int64_t(op.getPhases());
  int64_t numTaps = taps.size();
  int64_t numWords = cast<MemRefType>(rows.getType()).getDimSize(1) / numTaps;
  VectorType type = VectorType::get({kWordLanes}, b.getI32Type());
  SmallVector<Value> zero(4 * blocks, v.splat(type, 0));
  return v.repeat(
      v.index(0), numWords, 1, zero, [&](Value word, ValueRange carried) {
        Value plane = start ? add(start, word) : word;
        Value column = times(word, numTaps);
        return window.forPlaces(
            v, carried, [&](const WindowLoops::Place &place, ValueRange args) {
              SmallVector<Value> sums(args);
              Value windowPlane = plane, at = place.lane,
                    first = add(column, place.tap);
              if (place.phase)
                windowPlane = add(plane, times(place.phase, numPlanes));
              for (int64_t t = place.first; t < place.last; ++t) {
                Value tapPlane = add(windowPlane, tapPhases[t] * numPlanes);
                // Lanes that a load serves: the word's bytes are zero behind
                // those of the taps.
                int64_t shared = (4 - op.getTapBytes()[t]) / laneBytes + 1;
                Value word = v.loadScalar(rows, row, add(first, t));
                for (auto [i, sum] : llvm::enumerate(sums)) {
                  int64_t block = int64_t(i) / 4, q = int64_t(i) % 4;
                  int64_t lane = q / laneBytes, next = lane % shared;
                  int64_t offset =
                      (block * laneBytes + q % laneBytes) * kLaneBlock +
                      (lane - next) * laneBytes;
                  Value weights = word;
                  if (next)
                    weights = arith::ShLIOp::create(
                        b, loc, word,
                        arith::ConstantOp::create(
                            b, loc, b.getI32IntegerAttr(8 * next * laneBytes)));
                  Value bytes = v.loadVector(
                      lanes, tapPlane, add(at, taps[t] + offset), kLaneBlock);
                  sum = MacOp::create(
                      b, loc, sum,
                      vector::BitCastOp::create(b, loc, type, bytes), weights,
                      /*level=*/8, /*signed_lanes=*/false,
                      /*pair_bound=*/IntegerAttr());
                }
              }
              return sums;
            });
      });
}

SmallVector<Value> ByteSummer::sumPairs(Value start) {
  SmallVector<Value> sums = sum(start), pairs;
  auto join = [&](Value x, Value y) {
    pairs.push_back(vector::ShuffleOp::create(
        b, loc, x, y, llvm::to_vector(llvm::seq<int64_t>(2 * kWordLanes))));
  };
  // A lane apart, so that the pair's parts are even and odd lanes.
  int64_t next = laneBytes == 1 ? 2 : 1;
  for (int64_t i = 0; i < 4 * blocks; i += 4) {
    join(sums[i], sums[i + next]);
    join(sums[i + 3 - next], sums[i + 3]);
  }
  return pairs;
}

SmallVector<Value> ByteSummer::run() {
  if (op.getStarts().empty())
    return sumPairs({});
  Value start = arith::IndexCastOp::create(
      b, loc, b.getIndexType(), v.loadScalar(op.getStarts()[segment], row));
  // Every row reads an only segment.
  if (op.getLevels().size() == 1)
    return sumPairs(start);
  Value read = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, start,
                                     v.index(0));
  SmallVector<Value> zero(2 * blocks, v.splat(v.half(b.getI32Type()), 0));
  auto branch = scf::IfOp::create(
      b, loc, read,
      [&](OpBuilder &, Location) {
        scf::YieldOp::create(b, loc, sumPairs(start));
      },
      [&](OpBuilder &, Location) { scf::YieldOp::create(b, loc, zero); });
  return llvm::to_vector(ValueRange(branch.getResults()));
}

SmallVector<LanePair> sysmol::hetprec::sumByteLanes(OpBuilder &b, ContractOp op,
                                                    int64_t segment,
                                                    Value row) {
  SmallVector<Value> parts = ByteSummer(b, op, segment, row).run();
  SmallVector<LanePair> pairs;
  for (size_t i = 0; i < parts.size(); i += 2)
    pairs.push_back({parts[i], parts[i + 1]});
  return pairs;
}

LanePair sysmol::hetprec::orderByteLanes(OpBuilder &b, Location loc,
                                         LanePair lanes, int64_t laneBytes,
                                         int64_t bits) {
  LaneVectors v(b, loc);
  constexpr int64_t half = kLaneBlock / 2;
  auto shuffle = [&](Value x, Value y, auto pick) -> Value {
    return vector::ShuffleOp::create(
        b, loc, x, y, llvm::map_to_vector(llvm::seq<int64_t>(half), pick));
  };
  switch (laneBytes) {
  case 1: // every fourth lane, then those between them
    return lanes.map([&](Value x) -> Value {
      if (bits == 32)
        return shuffle(
            x, x, [](int64_t i) { return i / 2 + (i % 2 ? kWordLanes : 0); });
      // Two lanes are the halves of 32 bits: no shuffle.
      auto part = [&](int64_t first) -> Value {
        return vector::ExtractStridedSliceOp::create(
            b, loc, x, ArrayRef<int64_t>{first}, ArrayRef<int64_t>{kWordLanes},
            ArrayRef<int64_t>{1});
      };
      auto type = VectorType::get({kWordLanes}, b.getI32Type());
      Value low = arith::AndIOp::create(b, loc, part(0), v.splat(type, 0xFFFF));
      Value high =
          arith::ShLIOp::create(b, loc, part(kWordLanes), v.splat(type, 16));
      return vector::BitCastOp::create(b, loc, v.half(b.getI16Type()),
                                       arith::OrIOp::create(b, loc, low, high));
    });
  case 4: { // as they come
    auto everyOther = [&](int64_t first) {
      return shuffle(lanes.even, lanes.odd,
                     [=](int64_t i) { return 2 * i + first; });
    };
    lanes = {everyOther(0), everyOther(1)};
    [[fallthrough]];
  }
  default:
    return lanes.map([&](Value x) { return v.resize(x, bits); });
  }
}
