//===- ContractSums.cpp - Sums over words of channels ---------------------===//

#include "ContractSums.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include <limits>

using namespace mlir;
using namespace sysmol::hetprec;

namespace {

/// Most taps of a grouped window that are written out for each row alone; of
/// more, a loop runs over the rows.
constexpr int64_t kMostGroupedTaps = 16;

/// Words of one row and block that a loop body unrolls where a window has one
/// tap.
constexpr int64_t kUnrolledWords = 3;

class ContractSums {
public:
  ContractSums(OpBuilder &b, ContractOp op, LaneScratch &scratch)
      : b(b), op(op), loc(op.getLoc()), v(b, loc), scratch(scratch),
        blocks(op.getLaneCount() / kLaneBlock) {
    for (int64_t s = 0; s < int64_t(op.getLevels().size()); ++s) {
      windows.push_back(SegmentWindow(op, s));
      macs.push_back(getNumWords(s) * op.getNumTaps(s));
      largest.push_back(getLargestSum(op, s, macs.back()));
    }
  }

  SmallVector<LevelSums> run();
  SmallVector<int64_t> getDotSegments();
  void forDotTiles(
      int64_t rowsPerWord,
      function_ref<SmallVector<Value>(const DotTile &, ArrayRef<LevelSums>)>
          begin,
      function_ref<void(const DotTile &, ValueRange)> finish);

private:
  /// Rows of a grouped window read different lanes.
  bool isGrouped() { return !op.getStarts().empty() && !op.getSharedStarts(); }
  /// Rows `[first, first + count)` of the tile that are summed together.
  struct RowRange {
    int64_t first, count;
  };
  /// With the column that those of its taps count from.
  struct Place : WindowLoops::Place {
    Value column;
  };

  /// Runs `body` for every place of the segment's window.
  SmallVector<Value>
  forPlaces(int64_t segment, Value word, ValueRange carried,
            function_ref<SmallVector<Value>(const Place &, ValueRange)> body);

  /// Segments that are summed together, see `groupSegments`.
  SmallVector<SmallVector<int64_t, 4>, 4> getGroups();
  /// Sums of a group of segments.
  LevelSums sumBytes(ArrayRef<int64_t> segments, SumOrder order);
  void sumBytes(ArrayRef<int64_t> segments, RowRange rows, Value start,
                const LevelSums &sums);
  /// Sums in bytes that may go on before they are widened.
  struct ByteSums {
    SmallVector<Value> bytes, totals;
    int64_t macs = 0; // that the bytes hold
  };
  void addBytes(int64_t segment, RowRange rows, Value start, ByteSums &sums);
  /// Adds the bytes to their totals.
  void widen(ValueRange bytes, MutableArrayRef<Value> totals);
  /// The bytes are zero again.
  void flush(ByteSums &sums);
  /// What a column of row words is multiplied with: a register for each block.
  struct MacColumn {
    Value column;
    SmallVector<Value> lanes;
  };
  /// Asks for the words of the next tile's rows.
  void prefetchRows(int64_t segment, RowRange rows, Value column);
  /// Adds the products of consecutive columns to `bytes`.
  void macColumns(int64_t segment, RowRange rows, ArrayRef<MacColumn> columns,
                  SmallVector<Value> &bytes);
  /// Adds the taps of a place.
  void macTaps(int64_t segment, RowRange rows, Value word, const Place &place,
               Value start, SmallVector<Value> &bytes);
  /// Adds `count` words of a window with one tap.
  void macWords(int64_t segment, RowRange rows, Value firstWord, int64_t count,
                Value start, SmallVector<Value> &bytes);
  LevelSums sumDots(ArrayRef<int64_t> segments);
  /// Runs `body` for the tiles of some rows.
  void forDotTiles(ArrayRef<int64_t> segments, RowRange range,
                   int64_t rowsPerWord,
                   function_ref<void(const DotTile &)> body);
  SmallVector<Value> sumDots(ArrayRef<int64_t> segments, const DotTile &tile,
                             Value start, ValueRange totals);

  /// Runs `body` for rows that read the same lanes: all, or one by one.
  void forRows(function_ref<void(RowRange)> body);
  /// Row `row` of those that `forRows` has given.
  Value getRow(int64_t row) {
    return firstRow ? v.add(firstRow, v.index(row)) : v.index(row);
  }
  /// Runs `body` with the first group that the rows read (null: the first of
  /// all). Where they have no channels of a segment it does not run, and their
  /// sums are zero.
  void whereRead(int64_t segment, RowRange rows, Value memory,
                 function_ref<void(Value)> body);
  /// Column of tap `tap` of a place.
  Value getColumn(const Place &place, int64_t tap) {
    if (op.getUniformRows())
      return place.column;
    return arith::AddIOp::create(b, loc, place.column, v.index(tap));
  }
  Value getPlane(int64_t segment, const Place &place, int64_t tap, Value start,
                 Value word);
  int64_t getNumWords(int64_t segment) {
    int64_t size =
        cast<MemRefType>(op.getRows()[segment].getType()).getDimSize(1);
    return op.getUniformRows() ? size : size / op.getNumTaps(segment);
  }
  SmallVector<Value>
  repeat(int64_t first, int64_t count, int64_t step, ValueRange carried,
         function_ref<SmallVector<Value>(Value, ValueRange)> body) {
    return v.repeat(v.index(first), count, step, carried, body);
  }

  OpBuilder &b;
  ContractOp op;
  Location loc;
  LaneVectors v;
  LaneScratch &scratch;
  int64_t blocks;
  SmallVector<SegmentWindow, 6> windows; // of each segment
  SmallVector<int64_t, 6> macs;          // products of a sum of each segment
  SmallVector<int64_t, 6> largest;       // sums of segments of levels 1 and 2
  Value firstRow; // in a loop over rows: what rows count from
};

} // namespace

SmallVector<Value> ContractSums::forPlaces(
    int64_t segment, Value word, ValueRange carried,
    function_ref<SmallVector<Value>(const Place &, ValueRange)> body) {
  Value column = word; // one word for all taps
  if (!op.getUniformRows())
    column = v.times(word, op.getNumTaps(segment));
  return windows[segment].loops.forPlaces(
      v, carried, [&](const WindowLoops::Place &place, ValueRange args) {
        bool uniform = op.getUniformRows();
        return body({place, uniform ? column : v.add(column, place.tap)}, args);
      });
}

void ContractSums::forRows(function_ref<void(RowRange)> body) {
  int64_t numRows = op.getNumRows();
  if (!isGrouped())
    return body({0, numRows});
  if (int64_t(op.getTaps().size()) <= kMostGroupedTaps) {
    for (int64_t row = 0; row < numRows; ++row)
      body({row, 1});
    return;
  }
  repeat(0, numRows, 1, {}, [&](Value row, ValueRange) {
    firstRow = row;
    body({0, 1});
    firstRow = {};
    return SmallVector<Value>();
  });
}

void ContractSums::whereRead(int64_t segment, RowRange rows, Value memory,
                             function_ref<void(Value)> body) {
  if (op.getStarts().empty())
    return body({});
  Value start = v.loadScalar(op.getStarts()[segment], getRow(rows.first));
  start = arith::IndexCastOp::create(b, loc, b.getIndexType(), start);
  Value read = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, start,
                                     v.index(0));
  auto branch = scf::IfOp::create(b, loc, read, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  body(start);
  b.setInsertionPointToStart(branch.elseBlock());
  Type element = cast<MemRefType>(memory.getType()).getElementType();
  Value zero = v.splat(v.half(element), 0);
  for (int64_t row = rows.first; row < rows.first + rows.count; ++row)
    for (int64_t block = 0; block < blocks; ++block)
      v.storePair({zero, zero}, memory, getRow(row), block);
}

Value ContractSums::getPlane(int64_t segment, const Place &place, int64_t tap,
                             Value start, Value word) {
  int64_t planes =
      cast<MemRefType>(op.getLanes()[segment].getType()).getDimSize(0);
  Value phasePlanes = v.index(planes / op.getNumPhases(segment));
  Value plane = word;
  auto add = [&](Value more) {
    plane = arith::AddIOp::create(b, loc, plane, more);
  };
  if (start)
    add(start);
  if (place.phase)
    add(arith::MulIOp::create(b, loc, place.phase, phasePlanes));
  if (int64_t phase = windows[segment].tapPhases[tap])
    add(arith::MulIOp::create(b, loc, v.index(phase), phasePlanes));
  return plane;
}

//===----------------------------------------------------------------------===//
// Sums of a segment
//===----------------------------------------------------------------------===//

void ContractSums::prefetchRows(int64_t segment, RowRange rows, Value column) {
  if (!op.getPrefetchRows())
    return;
  for (int64_t r = rows.first; r < rows.first + rows.count; ++r)
    memref::PrefetchOp::create(b, loc, op.getRows()[segment],
                               ValueRange{getRow(r + op.getNumRows()), column},
                               /*isWrite=*/false, /*localityHint=*/3,
                               /*isDataCache=*/true);
}

void ContractSums::macColumns(int64_t segment, RowRange rows,
                              ArrayRef<MacColumn> columns,
                              SmallVector<Value> &bytes) {
  int64_t level = op.getLevels()[segment];
  std::optional<Centred> centred;
  if (level == 2 && op.getCentred())
    centred = Centred::Row;
  Value rowWords = op.getRows()[segment];
  // Scalar loads of level 2 take turns with those of the product table: one
  // load for up to eight columns. It may read up to three bytes behind them.
  constexpr size_t kMostBytes = 8;
  if (columns.size() > kMostBytes && level == 2 && !op.getUniformRows()) {
    macColumns(segment, rows, columns.take_front(kMostBytes), bytes);
    return macColumns(segment, rows, columns.drop_front(kMostBytes), bytes);
  }
  bool together = level == 2 && columns.size() > 1 && !op.getUniformRows();
  int64_t width = llvm::PowerOf2Ceil(columns.size());
  Type wideType = b.getIntegerType(8 * width);
  prefetchRows(segment, rows, columns.front().column);
  for (int64_t r = 0; r < rows.count; ++r) {
    Value row = getRow(rows.first + r), wide;
    if (together) {
      Value all = v.loadVector(rowWords, row, columns.front().column, width);
      wide = vector::ExtractOp::create(
          b, loc,
          vector::BitCastOp::create(b, loc, VectorType::get({1}, wideType),
                                    all),
          0);
    }
    for (auto [i, column] : llvm::enumerate(columns)) {
      Value word;
      if (together) {
        Value by = arith::ConstantOp::create(
            b, loc, b.getIntegerAttr(wideType, int64_t(8 * i)));
        word = arith::TruncIOp::create(
            b, loc, b.getI8Type(), arith::ShRUIOp::create(b, loc, wide, by));
      } else {
        word = v.loadScalar(rowWords, row, column.column);
      }
      for (int64_t block = 0; block < blocks; ++block) {
        Value &acc = bytes[r * blocks + block];
        acc = MacOp::create(b, loc, acc, column.lanes[block], word, level,
                            centred);
      }
    }
  }
}

void ContractSums::macWords(int64_t segment, RowRange rows, Value firstWord,
                            int64_t count, Value start,
                            SmallVector<Value> &bytes) {
  Value lanes = op.getLanes()[segment];
  SmallVector<MacColumn> columns;
  for (int64_t i = 0; i < count; ++i) {
    Value word = firstWord;
    if (i > 0)
      word = arith::AddIOp::create(b, loc, firstWord, v.index(i));
    Place only{{0, 1, v.index(0), v.index(0), Value()}, word};
    Value plane = getPlane(segment, only, 0, start, word);
    MacColumn column{word, {}};
    for (int64_t block = 0; block < blocks; ++block)
      column.lanes.push_back(v.loadVector(
          lanes, plane, v.index(windows[segment].taps[0] + block * kLaneBlock),
          kLaneBlock));
    columns.push_back(std::move(column));
  }
  macColumns(segment, rows, columns, bytes);
}

void ContractSums::macTaps(int64_t segment, RowRange rows, Value word,
                           const Place &place, Value start,
                           SmallVector<Value> &bytes) {
  SmallVector<MacColumn> columns;
  for (int64_t t = place.first; t < place.last; ++t) {
    MacColumn column{getColumn(place, t), {}};
    Value plane = getPlane(segment, place, t, start, word);
    for (int64_t block = 0; block < blocks; ++block) {
      Value lane = arith::AddIOp::create(
          b, loc, place.lane,
          v.index(windows[segment].taps[t] + block * kLaneBlock));
      column.lanes.push_back(
          v.loadVector(op.getLanes()[segment], plane, lane, kLaneBlock));
    }
    columns.push_back(std::move(column));
  }
  macColumns(segment, rows, columns, bytes);
}

LevelSums ContractSums::sumBytes(ArrayRef<int64_t> segments, SumOrder order) {
  // 16 bits hold the level's sum, unless K is large and the total needs 32.
  int64_t first = segments.front();
  bool wide = op.getSumBits() == 32 &&
              getLargestSum(segments, op.getCoefficients(), largest) > 65535;
  Value memory = scratch.take(b, loc, op.getNumRows(), op.getLaneCount(),
                              b.getIntegerType(wide ? 32 : 16));
  LevelSums sums{first, memory, order, op.getCoefficients()[segments.back()],
                 getLargestSum(segments, op.getCoefficients(), largest)};
  int64_t most = std::max<int64_t>(1, scratch.limits.bytes / blocks);
  forRows([&](RowRange range) {
    // Parts of equal size: 6 rows are 3 and 3, not 4 and 2.
    int64_t parts = llvm::divideCeil(range.count, most);
    int64_t atOnce = llvm::divideCeil(range.count, parts);
    whereRead(first, range, memory, [&](Value start) {
      for (int64_t done = 0; done < range.count; done += atOnce)
        sumBytes(segments,
                 {range.first + done, std::min(atOnce, range.count - done)},
                 start, sums);
    });
  });
  return sums;
}

// Two totals for each register of bytes. In 16 bits, of all bits and of the
// odd lanes (the high bytes): what the odd lanes add to the former is known,
// so no AND is needed until the end. In 32 bits, even lanes and odd ones.
void ContractSums::widen(ValueRange bytes, MutableArrayRef<Value> totals) {
  VectorType shortType = v.half(b.getI16Type());
  Type sumType = totals.front().getType();
  for (auto [i, sum] : llvm::enumerate(bytes)) {
    Value both = vector::BitCastOp::create(b, loc, shortType, sum);
    Value odd = arith::ShRUIOp::create(b, loc, both, v.splat(shortType, 8));
    Value first = both;
    if (sumType != shortType) {
      first = arith::ExtUIOp::create(
          b, loc, sumType,
          arith::AndIOp::create(b, loc, both, v.splat(shortType, 255)));
      odd = arith::ExtUIOp::create(b, loc, sumType, odd);
    }
    totals[2 * i] = arith::AddIOp::create(b, loc, totals[2 * i], first);
    totals[2 * i + 1] = arith::AddIOp::create(b, loc, totals[2 * i + 1], odd);
  }
}

void ContractSums::flush(ByteSums &sums) {
  if (sums.macs == 0)
    return;
  widen(sums.bytes, sums.totals);
  Value zero = v.splat(cast<VectorType>(sums.bytes.front().getType()), 0);
  sums.bytes.assign(sums.bytes.size(), zero);
  sums.macs = 0;
}

/// Levels 1 and 2: sums in bytes, widened before they can overflow.
void ContractSums::addBytes(int64_t segment, RowRange rows, Value start,
                            ByteSums &sums) {
  int64_t limit = getWordsPerChunk(op, segment);
  int64_t numWords = getNumWords(segment), numTaps = op.getNumTaps(segment);
  Value zero = v.splat(cast<VectorType>(sums.bytes.front().getType()), 0);
  SmallVector<Value> zeroBytes(sums.bytes.size(), zero);
  if (numTaps > limit) {
    // A large window: widen after each of its places, and within them.
    flush(sums);
    sums.totals =
        repeat(0, numWords, 1, sums.totals, [&](Value word, ValueRange args) {
          return forPlaces(
              segment, word, args, [&](const Place &place, ValueRange inner) {
                SmallVector<Value> carried(inner);
                for (Place part = place; part.first < place.last;
                     part.first = part.last) {
                  part.last = std::min(part.first + limit, place.last);
                  SmallVector<Value> bytes = zeroBytes;
                  macTaps(segment, rows, word, part, start, bytes);
                  widen(bytes, carried);
                }
                return carried;
              });
        });
    return;
  }

  int64_t wordsPerBody = numTaps == 1 ? kUnrolledWords : 1;
  auto body = [&](Value firstWord, int64_t count, ValueRange args) {
    SmallVector<Value> bytes(args);
    if (numTaps == 1) {
      macWords(segment, rows, firstWord, count, start, bytes);
      return bytes;
    }
    for (int64_t i = 0; i < count; ++i) {
      Value word = firstWord;
      if (i > 0)
        word = arith::AddIOp::create(b, loc, firstWord, v.index(i));
      bytes = forPlaces(segment, word, bytes,
                        [&](const Place &place, ValueRange inner) {
                          SmallVector<Value> carried(inner);
                          macTaps(segment, rows, word, place, start, carried);
                          return carried;
                        });
    }
    return bytes;
  };
  int64_t done = 0;
  if (sums.macs + numWords * numTaps > limit) {
    flush(sums);
    int64_t bodiesPerChunk = limit / (wordsPerBody * numTaps);
    int64_t wordsPerChunk = bodiesPerChunk * wordsPerBody;
    int64_t chunks = numWords / wordsPerChunk;
    sums.totals = repeat(0, chunks, wordsPerChunk, sums.totals,
                         [&](Value chunk, ValueRange args) {
                           SmallVector<Value> carried(args);
                           SmallVector<Value> bytes = repeat(
                               0, bodiesPerChunk, wordsPerBody, zeroBytes,
                               [&](Value i, ValueRange inner) {
                                 Value first =
                                     arith::AddIOp::create(b, loc, chunk, i);
                                 return body(first, wordsPerBody, inner);
                               });
                           widen(bytes, carried);
                           return carried;
                         });
    done = chunks * wordsPerChunk;
  }
  // What is left is less than a chunk: no overflow here either.
  if (done == numWords)
    return;
  sums.macs += (numWords - done) * numTaps;
  int64_t bodies = (numWords - done) / wordsPerBody;
  sums.bytes = repeat(done, bodies, wordsPerBody, sums.bytes,
                      [&](Value first, ValueRange inner) {
                        return body(first, wordsPerBody, inner);
                      });
  done += bodies * wordsPerBody;
  if (done < numWords)
    sums.bytes = body(v.index(done), numWords - done, sums.bytes);
}

void ContractSums::sumBytes(ArrayRef<int64_t> segments, RowRange rows,
                            Value start, const LevelSums &level) {
  int64_t numSums = rows.count * blocks;
  Type element = cast<MemRefType>(level.memory.getType()).getElementType();
  VectorType byteType = VectorType::get({kLaneBlock}, b.getI8Type());
  VectorType shortType = v.half(b.getI16Type());
  ByteSums sums{SmallVector<Value>(numSums, v.splat(byteType, 0)),
                SmallVector<Value>(2 * numSums, v.splat(v.half(element), 0))};
  for (auto [i, segment] : llvm::enumerate(segments)) {
    int64_t ratio =
        i == 0 ? 1 : getRatio(op.getCoefficients(), segments[i - 1], segment);
    // Bytes count products of one level.
    if (i > 0 && op.getLevels()[segments[i - 1]] != op.getLevels()[segment])
      flush(sums);
    if (ratio != 1) {
      for (Value &total : sums.totals)
        total = arith::MulIOp::create(
            b, loc, total, v.splat(cast<VectorType>(total.getType()), ratio));
    }
    addBytes(segment, rows, start, sums);
  }
  flush(sums);
  for (int64_t i = 0; i < numSums; ++i) {
    LanePair sum{sums.totals[2 * i], sums.totals[2 * i + 1]};
    if (element.isInteger(16))
      sum.even = arith::SubIOp::create(
          b, loc, sum.even,
          arith::ShLIOp::create(b, loc, sum.odd, v.splat(shortType, 8)));
    Value row = getRow(rows.first + i / blocks);
    int64_t block = i % blocks;
    if (level.order == SumOrder::InTurn)
      v.storeVector(v.interleave(sum), level.memory, row,
                    v.index(block * kLaneBlock));
    else
      v.storePair(sum, level.memory, row, block);
  }
}

/// What hetprec-spread-nibbles has spread is bytes already.
static bool areBytes(Value words) {
  return cast<MemRefType>(words.getType()).getElementTypeBitWidth() == 32;
}

SumOrder sysmol::hetprec::getDotOrder(ContractOp op, int64_t segment) {
  return areBytes(op.getLanes()[segment]) ? SumOrder::InTurn : SumOrder::Wide;
}

void ContractSums::forDotTiles(ArrayRef<int64_t> segments, RowRange range,
                               int64_t rowsPerWord,
                               function_ref<void(const DotTile &)> body) {
  SumOrder order = getDotOrder(op, segments.front());
  bool inTurn = order == SumOrder::InTurn;
  // All rows for half a block where they fit; nibbles come a block at a time.
  int64_t most = scratch.limits.dots;
  int64_t quarters = inTurn && range.count > most / 4 ? 2 : 4;
  // Of few registers one for each row: lanes are loaded, and taken apart, for
  // all rows of a tile.
  if (inTurn && areFewDots(most) && range.count > most / 2)
    quarters = 1;
  int64_t atOnce = most / quarters;
  if (rowsPerWord > atOnce) { // eight codes of 1 bit
    quarters = 2;
    atOnce = rowsPerWord;
  }
  atOnce -= atOnce % rowsPerWord;
  int64_t lanes = quarters * kLaneBlock / 4;
  for (int64_t done = 0; done < range.count; done += atOnce)
    repeat(0, op.getLaneCount() / lanes, 1, {}, [&](Value part, ValueRange) {
      body({range.first + done, std::min(atOnce, range.count - done),
            arith::MulIOp::create(b, loc, part, v.index(lanes)), quarters,
            order});
      return SmallVector<Value>();
    });
}

LevelSums ContractSums::sumDots(ArrayRef<int64_t> segments) {
  constexpr int64_t quarter = kLaneBlock / 4;
  int64_t first = segments.front(), level = op.getLevels()[first];
  int64_t words = 0;
  for (int64_t segment : segments)
    words += macs[segment];
  // Unsigned sums that fit, and what is exact modulo 2^16, are kept in 16 bits.
  int64_t most = words * 4 * 225;
  if (areBytes(op.getRows()[first]))
    most *= kMostRowFactor;
  int64_t bits =
      op.getSumBits() == 16 || (level == 4 && most <= 65535) ? 16 : 32;
  LevelSums sums{first,
                 scratch.take(b, loc, op.getNumRows(), op.getLaneCount(),
                              b.getIntegerType(bits)),
                 getDotOrder(op, first), op.getCoefficients()[first]};
  VectorType type = VectorType::get({quarter}, b.getI32Type());
  forRows([&](RowRange range) {
    whereRead(first, range, sums.memory, [&](Value start) {
      forDotTiles(segments, range, /*rowsPerWord=*/1, [&](const DotTile &tile) {
        SmallVector<Value> zeros(tile.quarters * tile.numRows,
                                 v.splat(type, 0));
        SmallVector<Value> totals = sumDots(segments, tile, start, zeros);
        for (auto [i, total] : llvm::enumerate(totals))
          v.storeVector(
              v.resize(total, bits), sums.memory,
              getRow(tile.firstRow + i / tile.quarters),
              arith::AddIOp::create(b, loc, tile.lane,
                                    v.index(i % tile.quarters * quarter)));
      });
    });
  });
  return sums;
}

/// Levels 4 and 8: four bytes a 32-bit lane.
SmallVector<Value> ContractSums::sumDots(ArrayRef<int64_t> segments,
                                         const DotTile &tile, Value start,
                                         ValueRange first) {
  constexpr int64_t quarter = kLaneBlock / 4;
  int64_t quarters = tile.quarters;
  RowRange rows{tile.firstRow, tile.numRows};
  VectorType type = VectorType::get({quarter}, b.getI32Type());
  auto add = [&](Value x, int64_t y) -> Value {
    return arith::AddIOp::create(b, loc, x, v.index(y));
  };

  // Of bytes, registers in their order; of nibbles, even lanes 0.. and 32..,
  // then odd ones.
  auto loadLanes = [&](Value lanes, Value plane, Value lane) {
    SmallVector<Value, 4> registers(quarters);
    if (tile.order == SumOrder::InTurn) {
      for (auto [i, loaded] : llvm::enumerate(registers))
        loaded = v.loadVector(lanes, plane, add(lane, i * quarter), quarter);
      return registers;
    }
    for (int64_t i : {0, 1}) {
      Value pairs =
          v.loadVector(lanes, plane, add(lane, i * 2 * quarter), 2 * quarter);
      Value both = vector::BitCastOp::create(b, loc, type, pairs);
      Value even = arith::AndIOp::create(b, loc, both, v.splat(type, 0xFFFF));
      Value odd = arith::ShRUIOp::create(b, loc, both, v.splat(type, 16));
      registers[i] = v.spreadNibbles(even);
      registers[2 + i] = v.spreadNibbles(odd);
    }
    return registers;
  };

  auto macPlace = [&](int64_t segment, Value word, const Place &place,
                      ValueRange args) {
    const SegmentWindow &window = windows[segment];
    Value rowWords = op.getRows()[segment];
    int64_t level = op.getLevels()[segment];
    int64_t rowLevel = areBytes(rowWords) ? 8 : level;
    IntegerAttr pairBound;
    if (rowLevel != level)
      pairBound = b.getI64IntegerAttr(kNibblePairBound * kMostRowFactor);
    SmallVector<Value> accs(args);
    prefetchRows(segment, rows, getColumn(place, place.first));
    for (int64_t tap = place.first; tap < place.last; ++tap) {
      Value plane = getPlane(segment, place, tap, start, word);
      Value lane = arith::AddIOp::create(b, loc, place.lane, tile.lane);
      SmallVector<Value, 4> registers =
          loadLanes(op.getLanes()[segment], plane, add(lane, window.taps[tap]));
      Value column = getColumn(place, tap);
      for (int64_t r = 0; r < rows.count; ++r) {
        Value row = v.loadScalar(rowWords, getRow(rows.first + r), column);
        for (int64_t i = 0; i < quarters; ++i) {
          Value &acc = accs[quarters * r + i];
          acc = MacOp::create(b, loc, acc, registers[i], row, rowLevel,
                              /*signed_lanes=*/false, pairBound);
        }
      }
    }
    return accs;
  };
  SmallVector<Value> totals(first);
  for (int64_t segment : segments)
    totals = repeat(
        0, getNumWords(segment), 1, totals, [&](Value word, ValueRange args) {
          return forPlaces(segment, word, args,
                           [&](const Place &place, ValueRange inner) {
                             return macPlace(segment, word, place, inner);
                           });
        });
  return totals;
}

SmallVector<SmallVector<int64_t, 4>, 4> ContractSums::getGroups() {
  // Sums of 16 bits are exact modulo 2^16. Groups of a window's channels start
  // where each level's do.
  int64_t most = !op.getStarts().empty() ? 0
                 : op.getSumBits() == 16 ? std::numeric_limits<int64_t>::max()
                                         : 65535;
  return groupSegments(op.getLevels(), op.getCoefficients(), largest, most);
}

SmallVector<LevelSums> ContractSums::run() {
  SmallVector<LevelSums> sums;
  for (ArrayRef<int64_t> segments : getGroups())
    sums.push_back(op.getLevels()[segments.front()] <= 2
                       ? sumBytes(segments, SumOrder::Wide)
                       : sumDots(segments));
  return sums;
}

SmallVector<int64_t> ContractSums::getDotSegments() {
  if (op.getSums() || op.getLaneBytes() || !op.getStarts().empty() ||
      op.getLevels().empty())
    return {};
  auto groups = getGroups();
  ArrayRef<int64_t> last = groups.back();
  if (op.getLevels()[last.front()] <= 2)
    return {};
  int64_t coefficient = op.getCoefficients()[last.front()];
  for (ArrayRef<int64_t> group : ArrayRef(groups).drop_back()) {
    if (op.getLevels()[group.front()] > 2 &&
        getDotOrder(op, group.front()) != getDotOrder(op, last.front()))
      return {};
    if (coefficient == 0 ||
        op.getCoefficients()[group.back()] % coefficient != 0)
      return {};
  }
  return llvm::to_vector(last);
}

void ContractSums::forDotTiles(
    int64_t rowsPerWord,
    function_ref<SmallVector<Value>(const DotTile &, ArrayRef<LevelSums>)>
        begin,
    function_ref<void(const DotTile &, ValueRange)> finish) {
  RowRange all{0, op.getNumRows()};
  auto groups = getGroups();
  ArrayRef<int64_t> last = groups.back();
  SmallVector<LevelSums> others;
  for (ArrayRef<int64_t> segments : ArrayRef(groups).drop_back())
    others.push_back(op.getLevels()[segments.front()] <= 2
                         ? sumBytes(segments, getDotOrder(op, last.front()))
                         : sumDots(segments));
  forDotTiles(last, all, rowsPerWord, [&](const DotTile &tile) {
    finish(tile, sumDots(last, tile, /*start=*/Value(), begin(tile, others)));
  });
}

int64_t sysmol::hetprec::getLargestSum(ArrayRef<int64_t> segments,
                                       ArrayRef<int64_t> coefficients,
                                       ArrayRef<int64_t> largest) {
  int64_t sum = 0;
  for (auto [i, segment] : llvm::enumerate(segments)) {
    if (i > 0)
      sum *= getRatio(coefficients, segments[i - 1], segment);
    sum += largest[segment];
  }
  return sum;
}

SmallVector<SmallVector<int64_t, 4>, 4>
sysmol::hetprec::groupSegments(ArrayRef<int64_t> levels,
                               ArrayRef<int64_t> coefficients,
                               ArrayRef<int64_t> largest, int64_t most) {
  SmallVector<SmallVector<int64_t, 4>, 4> groups;
  for (int64_t s = 0; s < int64_t(levels.size()); ++s) {
    if (s > 0 && levels[s] == levels[s - 1]) {
      groups.back().push_back(s); // its folded segment
      continue;
    }
    int64_t ratio = 0;
    if (s > 0 && levels[s] <= 2 && levels[s - 1] <= 2 && coefficients[s] != 0 &&
        coefficients[s - 1] % coefficients[s] == 0)
      ratio = getRatio(coefficients, s - 1, s);
    if (ratio < 1 || ratio > 65535) {
      groups.push_back({s});
      continue;
    }
    SmallVector<int64_t, 4> joined = groups.back();
    for (int64_t next = s;
         next < int64_t(levels.size()) && levels[next] == levels[s]; ++next)
      joined.push_back(next);
    if (getLargestSum(joined, coefficients, largest) <= most)
      groups.back().push_back(s);
    else
      groups.push_back({s});
  }
  return groups;
}

SmallVector<LevelSums> sysmol::hetprec::sumLevels(OpBuilder &b, ContractOp op,
                                                  LaneScratch &scratch) {
  return ContractSums(b, op, scratch).run();
}

SmallVector<int64_t> sysmol::hetprec::getDotSegments(ContractOp op) {
  OpBuilder b(op);
  LaneScratch unused({});
  return ContractSums(b, op, unused).getDotSegments();
}

void sysmol::hetprec::forDotTiles(
    OpBuilder &b, ContractOp op, LaneScratch &scratch, int64_t rowsPerWord,
    function_ref<SmallVector<Value>(const DotTile &, ArrayRef<LevelSums>)>
        begin,
    function_ref<void(const DotTile &, ValueRange)> finish) {
  ContractSums(b, op, scratch).forDotTiles(rowsPerWord, begin, finish);
}
