//===- VectorizeContractOutputs.cpp - Outputs in registers, as macs -------===//

#include "ContractSums.h"
#include "LaneVectors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "sysmol/Analysis/LaneGroups.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

namespace {

/// Registers of 16 outputs whose level-4 and level-8 sums are kept at once, for
/// each lane: more lanes read weights fewer times.
constexpr int64_t kDotRegisters = 2;
/// Lanes of levels 1 and 2 that share what is loaded of the weights.
constexpr int64_t kLanesAtOnce = 4;
/// Taps of centred weights whose sums with zeros are made together.
constexpr int64_t kZeroTapsAtOnce = 9;
/// Words that a loop body unrolls where a window has one tap.
constexpr int64_t kUnrolledWords = 3;
/// Rows and columns of the squares that sums are turned round in.
constexpr int64_t kSquare = sysmol::LaneGroups::kSquare;

/// The sums of 16 lanes are made a few lanes at a time, as rows of outputs in
/// scratch memory, and then turned round into the planes of the outputs.
class OutputsVectorizer {
public:
  OutputsVectorizer(OpBuilder &b, ContractOutputsOp op, LaneScratch &scratch)
      : b(b), op(op), loc(op.getLoc()), v(b, loc), limits(scratch.limits),
        blocks(op.getTileBlocks()),
        groups(LaneGroups::get(op.getLayoutAttr(), op.getUsedLanes(),
                               op.getLaneCount())) {
    int64_t base = 0;
    for (auto [s, level] : llvm::enumerate(op.getLevels())) {
      windows.push_back(SegmentWindow(op, s));
      findColumns(s);
      largest.push_back(getLargestSum(op, s, op.getNumColumns(s)));
      bases.push_back(base);
      base += op.getNumColumns(s) * blocks *
              ContractOutputsOp::getColumnBytes(level);
    }
    scratch.reset();
    sums = scratch.take(b, loc, kSquare, blocks * kLaneBlock, b.getI32Type());
    for (int64_t s = 0; s < int64_t(op.getLevels().size()); ++s)
      zeroSums.push_back(op.isCentred(s) && hasPixels(s)
                             ? scratch.take(b, loc, op.getNumTaps(s),
                                            blocks * kLaneBlock, b.getI16Type())
                             : Value());
  }

  void run();

private:
  /// Where a tap of a segment's word lies: a plane, a lane and a column.
  struct Place {
    Value plane, lane, column;
  };
  /// Taps of a window that are written out together: what `getTap` counts from.
  struct Taps {
    int64_t first, last;
    Place place;
  };
  /// Blocks of outputs that are summed together.
  struct BlockRange {
    int64_t first, count;
  };

  void sumLanes();
  /// One square of lanes, which has the groups of its row of squares from the
  /// `group`-th on.
  void sumSquare(Value lane, Value row, Value group);
  /// Of a group of segments, of `count` lanes and some blocks of outputs.
  void sumBytes(ArrayRef<int64_t> segments, int64_t count, BlockRange range);
  /// Of `kDotRegisters` registers from `firstRegister` on, of `count` lanes.
  void sumDots(ArrayRef<int64_t> segments, int64_t count,
               int64_t firstRegister);
  /// The totals with a segment's bytes, which are widened before they overflow.
  SmallVector<Value> addBytes(int64_t segment, int64_t count, BlockRange range,
                              ValueRange totals);
  SmallVector<Value> widen(ValueRange bytes, ValueRange totals);
  /// Of a centred segment: what each tap's weights give with zeros.
  void sumZeros(int64_t segment);
  /// Adds that of taps that were left out to the totals of `count` lanes.
  SmallVector<Value> addZeros(int64_t segment, int64_t count, BlockRange range,
                              ValueRange totals);
  void turn(Value lane);

  using TapsBody = function_ref<SmallVector<Value>(const Taps &, ValueRange)>;
  /// Runs `body` for all taps of a word that read more than padding.
  SmallVector<Value> forTaps(int64_t segment, Value word, ValueRange carried,
                             TapsBody body);
  /// Whether the image has row `row` of the window of pixels in `imageRow`,
  /// `moved` rows on (null: none), at most `reach`; null where it always has.
  Value isInImage(int64_t row, int64_t reach = 0, Value moved = {});
  /// Runs `body` for taps of one row of the image, `moved` rows on (null:
  /// none), if there is that row.
  SmallVector<Value> ifInImage(int64_t segment, const Taps &taps, Value moved,
                               ValueRange carried, TapsBody body);
  /// Whether it is known where taps read padding.
  bool hasPixels(int64_t segment) {
    return groups.getLeftOut(op, segment).isAny();
  }
  /// Finds loops over taps that are rows of the image, and columns.
  void findColumns(int64_t segment);
  /// Whether tap `tap` is known to read a column left or right of the image for
  /// the `lane`-th of the lanes.
  bool isPadding(int64_t segment, int64_t tap, int64_t lane) {
    std::optional<int64_t> column = columns[segment][tap];
    if (!firstColumn || !column)
      return false;
    int64_t x = (*firstColumn + lane) * op.getStrides()[1] + *column;
    return x < 0 || x >= op.getImage()[1];
  }
  /// The place of tap `tap` of some.
  Place getTap(int64_t segment, const Taps &taps, int64_t tap);
  /// The word of the `lane`-th of the lanes.
  Value loadWord(int64_t segment, const Place &place, int64_t lane) {
    return v.loadScalar(op.getLanes()[segment], place.plane,
                        add(place.lane, lane));
  }
  /// Byte `offset` of a block in a column of a segment.
  Value getByte(int64_t segment, Value column, int64_t block, int64_t offset) {
    int64_t bytes = ContractOutputsOp::getColumnBytes(op.getLevels()[segment]);
    return add(times(column, blocks * bytes),
               bases[segment] + block * bytes + offset);
  }
  Value loadWeights(Value byte) {
    return v.loadVector(op.getWeights(), v.index(0), byte, kLaneBlock);
  }
  /// Adds a group's part, times its coefficient, to the sums of 16 or 32
  /// outputs of a lane; the first group's are stored.
  void addPart(ArrayRef<int64_t> segments, int64_t lane, int64_t output,
               Value part);

  SmallVector<Value>
  repeat(int64_t first, int64_t count, int64_t step, ValueRange carried,
         function_ref<SmallVector<Value>(Value, ValueRange)> body) {
    return v.repeat(v.index(first), count, step, carried, body);
  }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value add(Value x, int64_t y) { return y == 0 ? x : add(x, v.index(y)); }
  Value times(Value x, int64_t factor) {
    return arith::MulIOp::create(b, loc, x, v.index(factor));
  }
  int64_t getNumPlanes(int64_t segment) {
    return cast<MemRefType>(op.getLanes()[segment].getType()).getDimSize(0) /
           op.getNumPhases(segment);
  }

  OpBuilder &b;
  ContractOutputsOp op;
  Location loc;
  LaneVectors v;
  SumLimits limits;
  int64_t blocks;
  LaneGroups groups;
  SmallVector<SegmentWindow, 6> windows; // of each segment
  /// The image's column that each tap of a segment reads for column 0.
  SmallVector<SmallVector<std::optional<int64_t>>, 6> columns;
  SmallVector<int64_t, 6> largest; // sums of segments of levels 1 and 2
  SmallVector<int64_t, 6> bases;   // bytes in the tile's line before each
  Value sums;                      // [lane of 16, output], i32
  SmallVector<Value, 6> zeroSums;  // [tap, output], i16, or null
  // What is being computed: the first lane, and its row of `sums`; the row of
  // the layout and the first lane's column, where these are known.
  Value firstLane, firstRow, imageRow;
  std::optional<int64_t> firstColumn;
};

} // namespace

void OutputsVectorizer::findColumns(int64_t segment) {
  SegmentWindow &window = windows[segment];
  columns.emplace_back(window.taps.size());
  if (!hasPixels(segment))
    return;
  ArrayRef<int64_t> pixels = op.getTapPixels();
  SmallVector<int64_t> rows, tapColumns;
  for (size_t t = 0; t < window.taps.size(); ++t) {
    rows.push_back(pixels[2 * t]);
    tapColumns.push_back(pixels[2 * t + 1]);
  }
  // Taps of several columns share no loop, unless they are many.
  ArrayRef<int64_t> kinds = tapColumns;
  if (int64_t(kinds.size()) > WindowLoops::kMostTaps)
    kinds = {};
  window.loops = WindowLoops::find(window.taps, window.tapPhases, kinds,
                                   WindowLoops::kMostTaps, rows);
  // A tap that is written out in loops stands for others; it is left out where
  // all are of one column.
  for (const LoopPart &part : window.loops.parts)
    for (int64_t t = part.first; t < part.first + part.points; ++t) {
      SmallVector<int64_t> taps{t};
      for (const LoopPart::Loop &loop : part.loops)
        for (size_t i = 0, count = taps.size(); i < count; ++i)
          for (int64_t n = 1; n < loop.count; ++n)
            taps.push_back(taps[i] + n * loop.points);
      int64_t column = pixels[2 * t + 1];
      if (llvm::all_of(
              taps, [&](int64_t tap) { return pixels[2 * tap + 1] == column; }))
        for (int64_t tap : taps)
          columns.back()[tap] = column;
    }
}

Value OutputsVectorizer::isInImage(int64_t row, int64_t reach, Value moved) {
  int64_t height = op.getImage()[0], stride = op.getStrides()[0];
  int64_t most = row + stride * (op.getLayout()->getHeight() - 1);
  if (row + std::min<int64_t>(reach, 0) >= 0 &&
      most + std::max<int64_t>(reach, 0) < height)
    return {};
  Value at = add(times(imageRow, stride), row);
  if (moved)
    at = add(at, moved);
  // Rows above the image are large without sign.
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, at,
                               v.index(height));
}

SmallVector<Value> OutputsVectorizer::ifInImage(int64_t segment,
                                                const Taps &taps, Value moved,
                                                ValueRange carried,
                                                TapsBody body) {
  const LoopPart *part =
      llvm::find_if(windows[segment].loops.parts, [&](const LoopPart &part) {
        return taps.first >= part.first &&
               taps.first < part.first + part.points;
      });
  int64_t reach = 0; // all loops' steps along rows have one sign
  for (const LoopPart::Loop &loop : part->loops)
    reach += (loop.count - 1) * loop.step[2];
  Value isRow;
  if (groups.getLeftOut(op, segment).rows)
    isRow = isInImage(op.getTapPixels()[2 * taps.first], reach, moved);
  if (!isRow)
    return body(taps, carried);
  auto branch = scf::IfOp::create(
      b, loc, isRow,
      [&](OpBuilder &, Location) {
        scf::YieldOp::create(b, loc, body(taps, carried));
      },
      [&](OpBuilder &, Location) { scf::YieldOp::create(b, loc, carried); });
  return llvm::to_vector(ValueRange(branch.getResults()));
}

SmallVector<Value> OutputsVectorizer::forTaps(int64_t segment, Value word,
                                              ValueRange carried,
                                              TapsBody body) {
  Value column = times(word, op.getNumTaps(segment));
  return windows[segment].loops.forPlaces(
      v, carried, [&](const WindowLoops::Place &on, ValueRange args) {
        Place place{word, add(firstLane, on.lane), add(column, on.tap)};
        if (on.phase)
          place.plane = add(word, times(on.phase, getNumPlanes(segment)));
        if (!hasPixels(segment))
          return body({on.first, on.last, place}, args);
        ArrayRef<int64_t> pixels = op.getTapPixels();
        SmallVector<Value> values(args);
        for (int64_t first = on.first, last; first < on.last; first = last) {
          for (last = first + 1; last < on.last; ++last)
            if (pixels[2 * last] != pixels[2 * first])
              break;
          values =
              ifInImage(segment, {first, last, place}, on.row, values, body);
        }
        return values;
      });
}

OutputsVectorizer::Place
OutputsVectorizer::getTap(int64_t segment, const Taps &taps, int64_t tap) {
  const SegmentWindow &window = windows[segment];
  return {add(taps.place.plane, window.tapPhases[tap] * getNumPlanes(segment)),
          add(taps.place.lane, window.taps[tap]), add(taps.place.column, tap)};
}

void OutputsVectorizer::addPart(ArrayRef<int64_t> segments, int64_t lane,
                                int64_t output, Value part) {
  auto type = cast<VectorType>(part.getType());
  Value row = add(firstRow, lane), column = v.index(output);
  int64_t coefficient = op.getCoefficients()[segments.back()];
  if (coefficient != 1)
    part = arith::MulIOp::create(b, loc, part, v.splat(type, coefficient));
  if (segments.front() > 0)
    part = add(part, v.loadVector(sums, row, column, type.getNumElements()));
  v.storeVector(part, sums, row, column);
}

//===----------------------------------------------------------------------===//
// Levels 1 and 2: sums in bytes, widened before they can overflow
//===----------------------------------------------------------------------===//

// Even bytes' totals are what is left of the words' once 256 times the odd
// ones' is taken off: an AND less for each sum. In 32 bits they are apart.
SmallVector<Value> OutputsVectorizer::widen(ValueRange bytes, ValueRange args) {
  SmallVector<Value> totals(args);
  VectorType shortType = v.half(b.getI16Type());
  VectorType intType = v.half(b.getI32Type());
  for (auto [i, sum] : llvm::enumerate(bytes)) {
    Value both = vector::BitCastOp::create(b, loc, shortType, sum);
    Value odd = arith::ShRUIOp::create(b, loc, both, v.splat(shortType, 8));
    if (totals[2 * i].getType() == intType) {
      both = arith::ExtUIOp::create(
          b, loc, intType,
          arith::AndIOp::create(b, loc, both, v.splat(shortType, 255)));
      odd = arith::ExtUIOp::create(b, loc, intType, odd);
    }
    totals[2 * i] = add(totals[2 * i], both);
    totals[2 * i + 1] = add(totals[2 * i + 1], odd);
  }
  return totals;
}

SmallVector<Value> OutputsVectorizer::addBytes(int64_t segment, int64_t count,
                                               BlockRange range,
                                               ValueRange args) {
  int64_t level = op.getLevels()[segment], numTaps = op.getNumTaps(segment);
  int64_t numWords = getNumPlanes(segment);
  int64_t limit = getWordsPerChunk(op, segment);
  std::optional<Centred> centred;
  if (op.isCentred(segment))
    centred = Centred::Lanes;
  VectorType byteType = VectorType::get({kLaneBlock}, b.getI8Type());
  SmallVector<Value> zeroBytes(count * range.count, v.splat(byteType, 0));
  auto macTap = [&](const Taps &taps, int64_t tap, SmallVector<Value> &bytes) {
    Place place = getTap(segment, taps, tap);
    SmallVector<Value> weights;
    for (int64_t block = 0; block < range.count; ++block)
      weights.push_back(
          loadWeights(getByte(segment, place.column, range.first + block, 0)));
    for (int64_t lane = 0; lane < count; ++lane) {
      if (isPadding(segment, tap, lane))
        continue;
      Value word = loadWord(segment, place, lane);
      for (int64_t block = 0; block < range.count; ++block) {
        Value &sum = bytes[lane * range.count + block];
        sum = MacOp::create(b, loc, sum, weights[block], word, level, centred);
      }
    }
  };
  if (numTaps > limit)
    // A large window: widen after taps that are written out, and within them.
    return repeat(0, numWords, 1, args, [&](Value word, ValueRange args) {
      return forTaps(
          segment, word, args, [&](const Taps &taps, ValueRange inner) {
            SmallVector<Value> carried(inner);
            for (int64_t tap = taps.first; tap < taps.last; tap += limit) {
              SmallVector<Value> bytes = zeroBytes;
              for (int64_t t = tap; t < std::min(tap + limit, taps.last); ++t)
                macTap(taps, t, bytes);
              carried = widen(bytes, carried);
            }
            return carried;
          });
    });
  auto macWord = [&](Value word, ValueRange args) {
    return forTaps(segment, word, args,
                   [&](const Taps &taps, ValueRange inner) {
                     SmallVector<Value> bytes(inner);
                     for (int64_t tap = taps.first; tap < taps.last; ++tap)
                       macTap(taps, tap, bytes);
                     return bytes;
                   });
  };
  // Bodies of a few words, as many as a byte holds; then what is left.
  int64_t perBody = numTaps == 1 ? kUnrolledWords : 1;
  int64_t perChunk = limit / (perBody * numTaps) * perBody;
  auto macWords = [&](Value from, int64_t words) {
    SmallVector<Value> bytes =
        repeat(0, words / perBody, perBody, zeroBytes,
               [&](Value body, ValueRange args) {
                 SmallVector<Value> carried(args);
                 for (int64_t i = 0; i < perBody; ++i)
                   carried = macWord(add(add(from, body), i), carried);
                 return carried;
               });
    for (int64_t i = words / perBody * perBody; i < words; ++i)
      bytes = macWord(add(from, i), bytes);
    return bytes;
  };
  SmallVector<Value> totals =
      repeat(0, numWords / perChunk, perChunk, args,
             [&](Value first, ValueRange args) {
               return widen(macWords(first, perChunk), args);
             });
  if (int64_t rest = numWords % perChunk)
    totals = widen(macWords(v.index(numWords - rest), rest), totals);
  return totals;
}

void OutputsVectorizer::sumZeros(int64_t segment) {
  constexpr int64_t limit = 255 / 9; // words, of three codes that give 3
  int64_t numTaps = op.getNumTaps(segment), numWords = getNumPlanes(segment);
  VectorType byteType = VectorType::get({kLaneBlock}, b.getI8Type());
  VectorType shortType = v.half(b.getI16Type());
  Value zero = arith::ConstantOp::create(b, loc, b.getI8IntegerAttr(0));
  // A few taps of all blocks at once, whose weights follow one another.
  auto sumTaps = [&](int64_t firstTap, int64_t count) {
    auto addWords = [&](Value first, int64_t words, ValueRange totals) {
      SmallVector<Value> zeros(count * blocks, v.splat(byteType, 0));
      return widen(repeat(0, words, 1, zeros,
                          [&](Value i, ValueRange args) {
                            SmallVector<Value> bytes(args);
                            Value column = times(add(first, i), numTaps);
                            for (int64_t n = 0; n < count * blocks; ++n) {
                              Value weights = loadWeights(getByte(
                                  segment, add(column, firstTap + n / blocks),
                                  n % blocks, 0));
                              bytes[n] =
                                  MacOp::create(b, loc, bytes[n], weights, zero,
                                                /*level=*/2, Centred::Lanes);
                            }
                            return bytes;
                          }),
                   totals);
    };
    SmallVector<Value> totals =
        repeat(0, numWords / limit, limit,
               SmallVector<Value>(2 * count * blocks, v.splat(shortType, 0)),
               [&](Value first, ValueRange args) {
                 return addWords(first, limit, args);
               });
    if (int64_t rest = numWords % limit)
      totals = addWords(v.index(numWords - rest), rest, totals);
    for (int64_t n = 0; n < count * blocks; ++n) {
      Value odd = totals[2 * n + 1];
      Value even = arith::SubIOp::create(
          b, loc, totals[2 * n],
          arith::ShLIOp::create(b, loc, odd, v.splat(shortType, 8)));
      Value tap = v.index(firstTap + n / blocks);
      Value output = v.index(n % blocks * kLaneBlock);
      v.storeVector(even, zeroSums[segment], tap, output);
      v.storeVector(odd, zeroSums[segment], tap, add(output, kLaneBlock / 2));
    }
  };
  for (int64_t tap = 0; tap < numTaps; tap += kZeroTapsAtOnce)
    sumTaps(tap, std::min(kZeroTapsAtOnce, numTaps - tap));
}

SmallVector<Value> OutputsVectorizer::addZeros(int64_t segment, int64_t count,
                                               BlockRange range,
                                               ValueRange args) {
  ArrayRef<int64_t> pixels = op.getTapPixels();
  int64_t numTaps = op.getNumTaps(segment);
  SmallVector<Value> totals(args);
  // Of a row of taps, of those that `isLeftOut` of a lane.
  auto addRow = [&](int64_t first, int64_t last, ValueRange args,
                    function_ref<bool(int64_t tap, int64_t lane)> isLeftOut) {
    SmallVector<Value> sums(args);
    for (int64_t block = 0; block < range.count; ++block)
      for (int64_t lane = 0; lane < count; ++lane)
        for (int64_t tap = first; tap < last; ++tap) {
          if (!isLeftOut(tap, lane))
            continue;
          Value part[2];
          for (int64_t half = 0; half < 2; ++half)
            part[half] =
                v.loadVector(zeroSums[segment], v.index(tap),
                             v.index((range.first + block) * kLaneBlock +
                                     half * kLaneBlock / 2),
                             kLaneBlock / 2);
          MutableArrayRef<Value> sum =
              MutableArrayRef(sums).slice(2 * (lane * range.count + block), 2);
          auto type = cast<VectorType>(sum[0].getType());
          if (type.getElementTypeBitWidth() == 16)
            // Even bytes' totals have 256 times the odd ones in them.
            part[0] = add(part[0], arith::ShLIOp::create(b, loc, part[1],
                                                         v.splat(type, 8)));
          for (int64_t half = 0; half < 2; ++half) {
            if (part[half].getType() != type) // as many as words: no sign
              part[half] = arith::ExtUIOp::create(b, loc, type, part[half]);
            sum[half] = add(sum[half], part[half]);
          }
        }
    return sums;
  };
  for (int64_t first = 0, last; first < numTaps; first = last) {
    for (last = first + 1; last < numTaps; ++last)
      if (pixels[2 * last] != pixels[2 * first])
        break;
    auto ofColumns = [&](ValueRange args) {
      return addRow(first, last, args, [&](int64_t tap, int64_t lane) {
        return isPadding(segment, tap, lane);
      });
    };
    Value isRow;
    if (groups.getLeftOut(op, segment).rows)
      isRow = isInImage(pixels[2 * first]);
    if (!isRow) {
      totals = ofColumns(totals);
      continue;
    }
    auto branch = scf::IfOp::create(
        b, loc, isRow,
        [&](OpBuilder &, Location) {
          scf::YieldOp::create(b, loc, ofColumns(totals));
        },
        [&](OpBuilder &, Location) {
          scf::YieldOp::create(b, loc,
                               addRow(first, last, totals,
                                      [](int64_t, int64_t) { return true; }));
        });
    totals = llvm::to_vector(ValueRange(branch.getResults()));
  }
  return totals;
}

void OutputsVectorizer::sumBytes(ArrayRef<int64_t> segments, int64_t count,
                                 BlockRange range) {
  // 16 bits hold the sum, unless K is large.
  bool isWide = getLargestSum(segments, op.getCoefficients(), largest) > 65535;
  VectorType shortType = v.half(b.getI16Type());
  VectorType intType = v.half(b.getI32Type());
  int64_t numSums = count * range.count;
  SmallVector<Value> totals(2 * numSums,
                            v.splat(isWide ? intType : shortType, 0));
  for (auto [i, segment] : llvm::enumerate(segments)) {
    int64_t ratio =
        i == 0 ? 1 : getRatio(op.getCoefficients(), segments[i - 1], segment);
    if (ratio != 1)
      for (Value &total : totals)
        total = arith::MulIOp::create(
            b, loc, total, v.splat(cast<VectorType>(total.getType()), ratio));
    totals = addBytes(segment, count, range, totals);
    if (zeroSums[segment])
      totals = addZeros(segment, count, range, totals);
  }
  for (int64_t i = 0; i < numSums; ++i) {
    Value even = totals[2 * i], odd = totals[2 * i + 1];
    if (!isWide) {
      even = arith::SubIOp::create(
          b, loc, even,
          arith::ShLIOp::create(b, loc, odd, v.splat(shortType, 8)));
      even = arith::ExtUIOp::create(b, loc, intType, even);
      odd = arith::ExtUIOp::create(b, loc, intType, odd);
    }
    int64_t lane = i / range.count;
    int64_t output = (range.first + i % range.count) * kLaneBlock;
    addPart(segments, lane, output, even);
    addPart(segments, lane, output + kLaneBlock / 2, odd);
  }
}

//===----------------------------------------------------------------------===//
// Levels 4 and 8: four bytes a 32-bit lane
//===----------------------------------------------------------------------===//

void OutputsVectorizer::sumDots(ArrayRef<int64_t> segments, int64_t count,
                                int64_t firstRegister) {
  constexpr int64_t lanes = kLaneBlock / 4, perBlock = 4;
  int64_t level = op.getLevels()[segments.front()];
  VectorType type = VectorType::get({lanes}, b.getI32Type());
  bool isSpread = cast<MemRefType>(op.getLanes()[segments.front()].getType())
                      .getElementTypeBitWidth() == 32;
  IntegerAttr pairBound;
  if (isSpread && level == 4)
    pairBound = b.getI64IntegerAttr(kNibblePairBound);
  int64_t block = firstRegister / perBlock, inBlock = firstRegister % perBlock;
  // 64 bytes are one register of outputs, or of nibbles two.
  auto loadOutputs = [&](int64_t segment, Value column) {
    SmallVector<Value, kDotRegisters> registers;
    auto load = [&](int64_t number) -> Value {
      Value byte = getByte(segment, column, block, number * kLaneBlock);
      return vector::BitCastOp::create(b, loc, type, loadWeights(byte));
    };
    for (int64_t i = 0; i < kDotRegisters; i += level == 4 ? 2 : 1) {
      if (level == 8) {
        registers.push_back(load(inBlock + i));
        continue;
      }
      Value bytes = load((inBlock + i) / 2),
            nibbles = v.splat(type, 0x0F0F0F0F);
      Value high = arith::ShRUIOp::create(b, loc, bytes, v.splat(type, 4));
      registers.push_back(arith::AndIOp::create(b, loc, bytes, nibbles));
      registers.push_back(arith::AndIOp::create(b, loc, high, nibbles));
    }
    return registers;
  };
  auto macTaps = [&](int64_t segment, const Taps &taps, ValueRange args) {
    SmallVector<Value> accs(args);
    for (int64_t tap = taps.first; tap < taps.last; ++tap) {
      Place place = getTap(segment, taps, tap);
      SmallVector<Value, kDotRegisters> registers =
          loadOutputs(segment, place.column);
      for (int64_t lane = 0; lane < count; ++lane) {
        if (isPadding(segment, tap, lane))
          continue;
        Value word = loadWord(segment, place, lane);
        for (int64_t i = 0; i < kDotRegisters; ++i) {
          Value &acc = accs[kDotRegisters * lane + i];
          acc = MacOp::create(b, loc, acc, registers[i], word,
                              isSpread ? 8 : level, /*signed_lanes=*/isSpread,
                              pairBound);
        }
      }
    }
    return accs;
  };
  SmallVector<Value> accs(kDotRegisters * count, v.splat(type, 0));
  for (int64_t segment : segments)
    accs = repeat(0, getNumPlanes(segment), 1, accs,
                  [&](Value word, ValueRange args) {
                    return forTaps(segment, word, args,
                                   [&](const Taps &taps, ValueRange inner) {
                                     return macTaps(segment, taps, inner);
                                   });
                  });
  for (auto [i, acc] : llvm::enumerate(accs))
    addPart(segments, int64_t(i) / kDotRegisters,
            (firstRegister + int64_t(i) % kDotRegisters) * lanes, acc);
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

void OutputsVectorizer::sumLanes() {
  for (ArrayRef<int64_t> segments : groupSegments(
           op.getLevels(), op.getCoefficients(), largest, /*most=*/65535)) {
    bool areBytes = op.getLevels()[segments.front()] <= 2;
    // Few registers hold one block for as many lanes as share its words.
    int64_t blocksAtOnce = limits.bytes < kLanesAtOnce * blocks ? 1 : blocks;
    // Parts of nearly equal size.
    int64_t most =
        areBytes ? limits.bytes / blocksAtOnce : limits.dots / kDotRegisters;
    int64_t parts = llvm::divideCeil(groups.lanes, std::max<int64_t>(1, most));
    int64_t count = llvm::divideCeil(groups.lanes, parts);
    Value lane = firstLane, row = firstRow;
    std::optional<int64_t> column = firstColumn;
    auto sumPart = [&](Value i, std::optional<int64_t> known, int64_t lanes) {
      firstLane = add(lane, i);
      firstRow = add(row, i);
      firstColumn.reset();
      if (column && known)
        firstColumn = *column + *known;
      for (int64_t block = 0; areBytes && block < blocks; block += blocksAtOnce)
        sumBytes(segments, lanes, {block, blocksAtOnce});
      if (areBytes)
        return;
      for (int64_t first = 0; first < 4 * blocks; first += kDotRegisters)
        sumDots(segments, lanes, first);
    };
    // The first and the last part are at the image's borders, if their columns
    // are known; those between them may be many.
    int64_t rest = groups.lanes % count,
            last = groups.lanes - (rest ? rest : count);
    int64_t first = 0;
    if (column && last > 0) {
      sumPart(v.index(0), 0, count);
      first = count;
    }
    if (!column && !rest)
      last = groups.lanes;
    repeat(first, (last - first) / count, count, {}, [&](Value i, ValueRange) {
      sumPart(i, std::nullopt, count);
      return SmallVector<Value>();
    });
    if (last < groups.lanes)
      sumPart(v.index(last), last, groups.lanes - last);
    firstColumn = column;
    firstLane = lane;
    firstRow = row;
  }
}

void OutputsVectorizer::turn(Value lane) {
  repeat(0, blocks * kLaneBlock / kSquare, kSquare, {},
         [&](Value output, ValueRange) {
           SmallVector<Value> rows;
           for (int64_t i = 0; i < kSquare; ++i)
             rows.push_back(v.loadVector(sums, v.index(i), output, kSquare));
           v.transpose(rows);
           for (int64_t i = 0; i < kSquare; ++i)
             v.storeVector(rows[i], op.getInit(), add(output, i), lane);
           return SmallVector<Value>();
         });
}

void OutputsVectorizer::sumSquare(Value lane, Value row, Value group) {
  auto sumGroup = [&](Value i) {
    firstRow = times(i, groups.step);
    firstLane = add(add(lane, firstRow),
                    int64_t(op.getLaneBegin()) + int64_t(op.getOrigin()));
    imageRow = groups.areWholeRows ? add(group, i) : row;
    sumLanes();
  };
  if (groups.haveColumns() && !groups.areWholeRows) {
    // Each has columns of its own.
    for (int64_t i = 0; i < groups.perRow; ++i) {
      firstColumn = i * groups.lanes;
      sumGroup(v.index(i));
    }
  } else {
    if (groups.areWholeRows)
      firstColumn = 0;
    // A row's last square may have fewer groups.
    Value left = arith::SubIOp::create(b, loc, v.index(groups.perRow), group);
    Value count =
        arith::MinSIOp::create(b, loc, v.index(groups.perSquare), left);
    auto loop = scf::ForOp::create(b, loc, v.index(0), count, v.index(1));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    sumGroup(loop.getInductionVar());
  }
  turn(add(lane, op.getLaneBegin()));
}

void OutputsVectorizer::run() {
  for (auto [segment, table] : llvm::enumerate(zeroSums))
    if (table)
      sumZeros(segment);
  auto loop = [&](int64_t count, function_ref<void(Value)> body) {
    repeat(0, count, 1, {}, [&](Value i, ValueRange) {
      body(i);
      return SmallVector<Value>();
    });
  };
  loop(groups.images, [&](Value image) {
    loop(groups.rows, [&](Value row) {
      Value first =
          add(times(image, groups.imageStep), times(row, groups.rowStep));
      loop(groups.getSquaresPerRow(), [&](Value square) {
        sumSquare(add(first, times(square, groups.squareStep)), row,
                  times(square, groups.perSquare));
      });
    });
  });
}

void sysmol::hetprec::vectorizeContractOutputs(OpBuilder &b,
                                               ContractOutputsOp op,
                                               LaneScratch &scratch) {
  b.setInsertionPoint(op);
  OutputsVectorizer(b, op, scratch).run();
  op.erase();
}
