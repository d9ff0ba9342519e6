//===- VectorizeContract.cpp - A contract tile as loops of mac ------------===//

#include "ByteSums.h"
#include "LaneVectors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include <numeric>

using namespace mlir;
using namespace sysmol::hetprec;

namespace {

/// How many macs fit in a byte before it overflows.
int64_t getMacsPerByte(int64_t level) { return 255 / getLargestProduct(level); }

/// Words of one row and block that a loop body unrolls where a window has one
/// tap.
constexpr int64_t kUnrolledWords = 3;
/// Byte sums that are in registers at once, each with two totals.
constexpr int64_t kByteSumsAtOnce = 8;
/// Sums of level 4 and 8 that are in registers at once; a register holds a
/// quarter of a block.
constexpr int64_t kDotSumsAtOnce = 16;

/// The sums of a tile take turns in registers: each segment leaves its own in
/// scratch memory (a few KiB, which stay in the L1 cache), and a loop over the
/// rows adds them up and runs the epilogue.
class ContractVectorizer {
public:
  ContractVectorizer(OpBuilder &b, ContractOp op, LaneScratch &scratch)
      : b(b), op(op), loc(op.getLoc()), v(b, loc), scratch(scratch),
        blocks(op.getLaneCount() / kLaneBlock),
        taps(op.getTaps().begin(), op.getTaps().end()),
        tapPhases(op.getTapPhases().begin(), op.getTapPhases().end()) {
    if (tapPhases.empty())
      tapPhases.assign(taps.size(), 0);
    window = WindowRows::find(taps, tapPhases);
  }

  void run();

private:
  /// Rows `[first, first + count)` of the tile that are summed together.
  struct RowRange {
    int64_t first, count;
  };
  /// How a segment's sums lie in scratch memory, `[row, lane]`.
  enum class SumOrder {
    Wide,   ///< as wide planes: even lanes of a block first
    InTurn, ///< as they come
  };
  struct SegmentSums {
    Value memory; // null: planes of bytes, whose sums are made where they go
    SumOrder order;
  };

  /// Where one row of the window lies.
  struct WindowRow {
    Value lane;   // lanes on from the first row's
    Value phase;  // phases on; null: the same
    Value column; // of its first row word
  };

  /// Runs `body` for every row of the window.
  SmallVector<Value> forWindowRows(
      Value word, ValueRange carried,
      function_ref<SmallVector<Value>(const WindowRow &, ValueRange)> body);

  SegmentSums sumBytes(int64_t segment, ArrayRef<RowRange> ranges);
  void sumBytes(int64_t segment, RowRange rows, Value start, Value memory);
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
  /// Adds `count` words of a window with one tap.
  void macWords(int64_t segment, RowRange rows, Value firstWord, int64_t count,
                Value start, SmallVector<Value> &bytes);
  SegmentSums sumDots(int64_t segment, ArrayRef<RowRange> ranges);
  void sumDots(int64_t segment, RowRange rows, Value start, Value part,
               int64_t quarters, SegmentSums sums);

  /// The biases of a row's sums.
  LanePair makeBias(Value row, int64_t block);
  /// A segment's sums, in the op's width of sums.
  LanePair loadSums(const SegmentSums &sums, Value row, int64_t block);
  /// Whether sums of bytes are put in order when they are codes: nothing that
  /// differs by lane is added to them before.
  bool areOrderedLast() {
    Value bias = op.getRowBias();
    return op.getLaneBytes() == 1 && op.getEpilogue() == Epilogue::Codes &&
           op.getOutLevel() > 2 && op.getSumBits() == 32 && !op.getLaneBias() &&
           (!bias || cast<MemRefType>(bias.getType()).getRank() == 1);
  }
  /// Segments of levels 1 and 2 whose sums are added up in 16 bits, in units of
  /// `unit`, before they are widened to 32.
  struct NarrowSums {
    size_t count = 0; // the first of all
    int64_t unit = 1;
  };
  NarrowSums findNarrowSums(ArrayRef<SegmentSums> segments);
  LanePair addNarrowSums(ArrayRef<SegmentSums> segments, NarrowSums narrow,
                         Value row, int64_t block);
  LanePair add(LanePair x, LanePair y) {
    return {arith::AddIOp::create(b, loc, x.even, y.even),
            arith::AddIOp::create(b, loc, x.odd, y.odd)};
  }
  LanePair times(LanePair pair, int64_t factor) {
    return factor == 1 ? pair : pair.map([&](Value x) -> Value {
      return arith::MulIOp::create(
          b, loc, x, v.splat(cast<VectorType>(x.getType()), factor));
    });
  }
  /// All segments of a row, a pair for each block.
  SmallVector<LanePair> addUp(ArrayRef<SegmentSums> segments, Value row);
  void writeCodes(ArrayRef<SegmentSums> segments);
  void writeRow(Value row, int64_t block, LanePair sum);

  /// Runs `body` with the first group that the rows read (null: the first of
  /// all). Where they have no channels of a segment it does not run, and their
  /// sums are zero.
  void whereRead(int64_t segment, RowRange rows, Value memory,
                 function_ref<void(Value)> body);
  /// Column of tap `tap` of a window row.
  Value getColumn(const WindowRow &row, int64_t tap) {
    if (op.getUniformRows())
      return row.column;
    return arith::AddIOp::create(b, loc, row.column, v.index(tap));
  }
  Value getPlane(int64_t segment, const WindowRow &row, int64_t tap,
                 Value start, Value word);
  int64_t getNumWords(int64_t segment) {
    int64_t size =
        cast<MemRefType>(op.getRows()[segment].getType()).getDimSize(1);
    return op.getUniformRows() ? size : size / int64_t(taps.size());
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
  SmallVector<int64_t> taps;
  SmallVector<int64_t> tapPhases;
  WindowRows window;
};

} // namespace

SmallVector<Value> ContractVectorizer::forWindowRows(
    Value word, ValueRange carried,
    function_ref<SmallVector<Value>(const WindowRow &, ValueRange)> body) {
  Value column =
      arith::MulIOp::create(b, loc, word, v.index(int64_t(taps.size())));
  return repeat(0, window.rows, 1, carried, [&](Value i, ValueRange args) {
    auto times = [&](int64_t step) -> Value {
      return arith::MulIOp::create(b, loc, i, v.index(step));
    };
    WindowRow row{times(window.laneStep),
                  window.phaseStep ? times(window.phaseStep) : Value(),
                  word}; // one word for all taps
    if (!op.getUniformRows())
      row.column = arith::AddIOp::create(b, loc, column, times(window.taps));
    return body(row, args);
  });
}

void ContractVectorizer::whereRead(int64_t segment, RowRange rows, Value memory,
                                   function_ref<void(Value)> body) {
  if (op.getStarts().empty())
    return body({});
  Value start = v.loadScalar(op.getStarts()[segment], v.index(rows.first));
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
      v.storePair({zero, zero}, memory, v.index(row), block);
}

Value ContractVectorizer::getPlane(int64_t segment, const WindowRow &row,
                                   int64_t tap, Value start, Value word) {
  int64_t planes =
      cast<MemRefType>(op.getLanes()[segment].getType()).getDimSize(0);
  Value phasePlanes = v.index(planes / int64_t(op.getPhases()));
  Value plane = word;
  auto add = [&](Value more) {
    plane = arith::AddIOp::create(b, loc, plane, more);
  };
  if (start)
    add(start);
  if (row.phase)
    add(arith::MulIOp::create(b, loc, row.phase, phasePlanes));
  if (tapPhases[tap] != 0)
    add(arith::MulIOp::create(b, loc, v.index(tapPhases[tap]), phasePlanes));
  return plane;
}

//===----------------------------------------------------------------------===//
// Sums of a segment
//===----------------------------------------------------------------------===//

void ContractVectorizer::prefetchRows(int64_t segment, RowRange rows,
                                      Value column) {
  if (!op.getPrefetchRows())
    return;
  for (int64_t r = rows.first; r < rows.first + rows.count; ++r)
    memref::PrefetchOp::create(b, loc, op.getRows()[segment],
                               ValueRange{v.index(r + op.getNumRows()), column},
                               /*isWrite=*/false, /*localityHint=*/3,
                               /*isDataCache=*/true);
}

void ContractVectorizer::macColumns(int64_t segment, RowRange rows,
                                    ArrayRef<MacColumn> columns,
                                    SmallVector<Value> &bytes) {
  int64_t level = op.getLevels()[segment];
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
    Value row = v.index(rows.first + r), wide;
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
        acc = MacOp::create(b, loc, acc.getType(), acc, column.lanes[block],
                            word, level);
      }
    }
  }
}

void ContractVectorizer::macWords(int64_t segment, RowRange rows,
                                  Value firstWord, int64_t count, Value start,
                                  SmallVector<Value> &bytes) {
  Value lanes = op.getLanes()[segment];
  SmallVector<MacColumn> columns;
  for (int64_t i = 0; i < count; ++i) {
    Value word = firstWord;
    if (i > 0)
      word = arith::AddIOp::create(b, loc, firstWord, v.index(i));
    WindowRow only{v.index(0), Value(), word};
    Value plane = getPlane(segment, only, 0, start, word);
    MacColumn column{word, {}};
    for (int64_t block = 0; block < blocks; ++block)
      column.lanes.push_back(v.loadVector(
          lanes, plane, v.index(taps[0] + block * kLaneBlock), kLaneBlock));
    columns.push_back(std::move(column));
  }
  macColumns(segment, rows, columns, bytes);
}

ContractVectorizer::SegmentSums
ContractVectorizer::sumBytes(int64_t segment, ArrayRef<RowRange> ranges) {
  // 16 bits hold the level's sum, unless K is large and the total needs 32.
  bool wide = op.getSumBits() == 32 &&
              getNumWords(segment) * int64_t(taps.size()) *
                      getLargestProduct(op.getLevels()[segment]) >
                  65535;
  Value memory = scratch.take(b, loc, op.getNumRows(), op.getLaneCount(),
                              b.getIntegerType(wide ? 32 : 16));
  int64_t most = std::max<int64_t>(1, kByteSumsAtOnce / blocks);
  for (RowRange range : ranges) {
    // Parts of equal size: 6 rows are 3 and 3, not 4 and 2.
    int64_t parts = llvm::divideCeil(range.count, most);
    int64_t atOnce = llvm::divideCeil(range.count, parts);
    whereRead(segment, range, memory, [&](Value start) {
      for (int64_t done = 0; done < range.count; done += atOnce)
        sumBytes(segment,
                 {range.first + done, std::min(atOnce, range.count - done)},
                 start, memory);
    });
  }
  return {memory, SumOrder::Wide};
}

/// Levels 1 and 2: sums in bytes, widened before they can overflow.
void ContractVectorizer::sumBytes(int64_t segment, RowRange rows, Value start,
                                  Value memory) {
  int64_t level = op.getLevels()[segment];
  Value lanes = op.getLanes()[segment];
  int64_t numWords = getNumWords(segment), numTaps = taps.size();
  int64_t numSums = rows.count * blocks;
  VectorType byteType = VectorType::get({kLaneBlock}, b.getI8Type());
  VectorType shortType = v.half(b.getI16Type());
  int64_t bits = cast<MemRefType>(memory.getType()).getElementTypeBitWidth();
  VectorType sumType = v.half(b.getIntegerType(bits));

  SmallVector<Value> zeroBytes(numSums, v.splat(byteType, 0));
  // Adds taps `[tap, tap + count)` of a window row.
  auto macTaps = [&](Value word, const WindowRow &windowRow, int64_t tap,
                     int64_t count, SmallVector<Value> &bytes) {
    SmallVector<MacColumn> columns;
    for (int64_t t = tap; t < tap + count; ++t) {
      MacColumn column{getColumn(windowRow, t), {}};
      Value plane = getPlane(segment, windowRow, t, start, word);
      for (int64_t block = 0; block < blocks; ++block) {
        Value lane = arith::AddIOp::create(
            b, loc, windowRow.lane, v.index(taps[t] + block * kLaneBlock));
        column.lanes.push_back(v.loadVector(lanes, plane, lane, kLaneBlock));
      }
      columns.push_back(std::move(column));
    }
    macColumns(segment, rows, columns, bytes);
  };
  // Two totals for each register of bytes. In 16 bits, of all bits and of the
  // odd lanes (the high bytes): what the odd lanes add to the former is known,
  // so no AND is needed until the end. In 32 bits, even lanes and odd ones.
  auto widen = [&](ValueRange bytes, SmallVector<Value> &totals) {
    for (int64_t i = 0; i < numSums; ++i) {
      Value both = vector::BitCastOp::create(b, loc, shortType, bytes[i]);
      Value odd = arith::ShRUIOp::create(b, loc, both, v.splat(shortType, 8));
      Value first = both;
      if (bits == 32) {
        first = arith::ExtUIOp::create(
            b, loc, sumType,
            arith::AndIOp::create(b, loc, both, v.splat(shortType, 255)));
        odd = arith::ExtUIOp::create(b, loc, sumType, odd);
      }
      totals[2 * i] = arith::AddIOp::create(b, loc, totals[2 * i], first);
      totals[2 * i + 1] = arith::AddIOp::create(b, loc, totals[2 * i + 1], odd);
    }
  };

  int64_t limit = getMacsPerByte(level);
  SmallVector<Value> totals(2 * numSums, v.splat(sumType, 0));
  if (numTaps > limit) {
    // A large window: widen after each of its rows, and within them.
    totals = repeat(0, numWords, 1, totals, [&](Value word, ValueRange args) {
      return forWindowRows(
          word, args, [&](const WindowRow &row, ValueRange inner) {
            SmallVector<Value> carried(inner);
            for (int64_t tap = 0; tap < window.taps; tap += limit) {
              SmallVector<Value> bytes = zeroBytes;
              macTaps(word, row, tap, std::min(limit, window.taps - tap),
                      bytes);
              widen(bytes, carried);
            }
            return carried;
          });
    });
  } else {
    int64_t wordsPerBody = numTaps == 1 ? kUnrolledWords : 1;
    int64_t bodiesPerChunk = limit / (wordsPerBody * numTaps);
    int64_t wordsPerChunk = bodiesPerChunk * wordsPerBody;
    int64_t chunks = numWords / wordsPerChunk;
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
        bytes = forWindowRows(word, bytes,
                              [&](const WindowRow &row, ValueRange inner) {
                                SmallVector<Value> carried(inner);
                                macTaps(word, row, 0, window.taps, carried);
                                return carried;
                              });
      }
      return bytes;
    };
    totals = repeat(
        0, chunks, wordsPerChunk, totals, [&](Value chunk, ValueRange args) {
          SmallVector<Value> carried(args);
          SmallVector<Value> bytes =
              repeat(0, bodiesPerChunk, wordsPerBody, zeroBytes,
                     [&](Value i, ValueRange inner) {
                       Value first = arith::AddIOp::create(b, loc, chunk, i);
                       return body(first, wordsPerBody, inner);
                     });
          widen(bytes, carried);
          return carried;
        });
    // What is left is less than a chunk: no overflow here either.
    int64_t done = chunks * wordsPerChunk;
    if (done < numWords) {
      int64_t bodies = (numWords - done) / wordsPerBody;
      SmallVector<Value> bytes =
          repeat(done, bodies, wordsPerBody, zeroBytes,
                 [&](Value first, ValueRange inner) {
                   return body(first, wordsPerBody, inner);
                 });
      done += bodies * wordsPerBody;
      if (done < numWords)
        bytes = body(v.index(done), numWords - done, bytes);
      widen(bytes, totals);
    }
  }

  for (int64_t i = 0; i < numSums; ++i) {
    LanePair sum{totals[2 * i], totals[2 * i + 1]};
    if (bits == 16)
      sum.even = arith::SubIOp::create(
          b, loc, sum.even,
          arith::ShLIOp::create(b, loc, sum.odd, v.splat(shortType, 8)));
    v.storePair(sum, memory, v.index(rows.first + i / blocks), i % blocks);
  }
}

/// What hetprec-spread-nibbles has spread is bytes already.
static bool areBytes(Value words) {
  return cast<MemRefType>(words.getType()).getElementTypeBitWidth() == 32;
}

ContractVectorizer::SegmentSums
ContractVectorizer::sumDots(int64_t segment, ArrayRef<RowRange> ranges) {
  constexpr int64_t quarter = kLaneBlock / 4;
  bool inTurn = areBytes(op.getLanes()[segment]);
  // Unsigned sums that fit, and what is exact modulo 2^16, are kept in 16 bits.
  bool narrow =
      op.getSumBits() == 16 ||
      (op.getLevels()[segment] == 4 &&
       getNumWords(segment) * int64_t(taps.size()) * 4 * 225 <= 65535);
  SegmentSums sums{scratch.take(b, loc, op.getNumRows(), op.getLaneCount(),
                                b.getIntegerType(narrow ? 16 : 32)),
                   inTurn ? SumOrder::InTurn : SumOrder::Wide};
  for (RowRange range : ranges) {
    // All rows for half a block where they fit; nibbles come a block at a time.
    int64_t quarters = inTurn && range.count > kDotSumsAtOnce / 4 ? 2 : 4;
    int64_t atOnce = kDotSumsAtOnce / quarters;
    whereRead(segment, range, sums.memory, [&](Value start) {
      for (int64_t done = 0; done < range.count; done += atOnce) {
        RowRange rows{range.first + done, std::min(atOnce, range.count - done)};
        repeat(0, op.getLaneCount() / (quarters * quarter), 1, {},
               [&](Value part, ValueRange) {
                 sumDots(segment, rows, start, part, quarters, sums);
                 return SmallVector<Value>();
               });
      }
    });
  }
  return sums;
}

/// Levels 4 and 8: four bytes a 32-bit lane, `quarters` registers at once, the
/// `part`-th of them.
void ContractVectorizer::sumDots(int64_t segment, RowRange rows, Value start,
                                 Value part, int64_t quarters,
                                 SegmentSums sums) {
  constexpr int64_t quarter = kLaneBlock / 4;
  int64_t level = op.getLevels()[segment];
  Value lanes = op.getLanes()[segment], rowWords = op.getRows()[segment];
  VectorType type = VectorType::get({quarter}, b.getI32Type());
  int64_t rowLevel = areBytes(rowWords) ? 8 : level;
  Value firstLane =
      arith::MulIOp::create(b, loc, part, v.index(quarters * quarter));
  auto add = [&](Value x, int64_t y) -> Value {
    return arith::AddIOp::create(b, loc, x, v.index(y));
  };

  // Of bytes, registers in their order; of nibbles, even lanes 0.. and 32..,
  // then odd ones.
  auto loadLanes = [&](Value plane, Value lane) {
    SmallVector<Value, 4> registers(quarters);
    if (sums.order == SumOrder::InTurn) {
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

  SmallVector<Value> zero(quarters * rows.count, v.splat(type, 0));
  auto macRow = [&](Value word, const WindowRow &windowRow, ValueRange args) {
    SmallVector<Value> accs(args);
    prefetchRows(segment, rows, getColumn(windowRow, 0));
    for (int64_t tap = 0; tap < window.taps; ++tap) {
      Value plane = getPlane(segment, windowRow, tap, start, word);
      Value lane = arith::AddIOp::create(b, loc, windowRow.lane, firstLane);
      SmallVector<Value, 4> registers = loadLanes(plane, add(lane, taps[tap]));
      Value column = getColumn(windowRow, tap);
      for (int64_t r = 0; r < rows.count; ++r) {
        Value row = v.loadScalar(rowWords, v.index(rows.first + r), column);
        for (int64_t i = 0; i < quarters; ++i) {
          Value &acc = accs[quarters * r + i];
          acc = MacOp::create(b, loc, type, acc, registers[i], row, rowLevel);
        }
      }
    }
    return accs;
  };
  SmallVector<Value> totals = repeat(
      0, getNumWords(segment), 1, zero, [&](Value word, ValueRange args) {
        return forWindowRows(word, args,
                             [&](const WindowRow &row, ValueRange inner) {
                               return macRow(word, row, inner);
                             });
      });

  int64_t bits =
      cast<MemRefType>(sums.memory.getType()).getElementTypeBitWidth();
  for (auto [i, total] : llvm::enumerate(totals))
    v.storeVector(v.resize(total, bits), sums.memory,
                  v.index(rows.first + i / quarters),
                  add(firstLane, i % quarters * quarter));
}

//===----------------------------------------------------------------------===//
// Epilogue
//===----------------------------------------------------------------------===//

LanePair ContractVectorizer::makeBias(Value row, int64_t block) {
  VectorType type = v.half(b.getIntegerType(op.getSumBits()));
  LanePair sum = {v.splat(type, 0), v.splat(type, 0)};
  auto addBias = [&](LanePair bias) {
    sum = add(sum,
              bias.map([&](Value x) { return v.resize(x, op.getSumBits()); }));
  };
  if (op.getLaneBias()) {
    Value biasRow = v.index(0);
    if (op.getBiasRows())
      biasRow = arith::IndexCastOp::create(b, loc, b.getIndexType(),
                                           v.loadScalar(op.getBiasRows(), row));
    addBias(v.loadPair(op.getLaneBias(), biasRow, block));
  }
  Value bias = op.getRowBias();
  if (bias && cast<MemRefType>(bias.getType()).getRank() == 2) {
    addBias(v.loadPair(bias, row, block));
  } else if (bias) {
    Value all = v.broadcast(v.loadScalar(bias, row), kLaneBlock / 2);
    addBias({all, all});
  }
  return sum;
}

LanePair ContractVectorizer::loadSums(const SegmentSums &sums, Value row,
                                      int64_t block) {
  auto memory = cast<MemRefType>(sums.memory.getType());
  int64_t bits = memory.getElementTypeBitWidth();
  VectorType type = v.half(b.getIntegerType(op.getSumBits()));
  LanePair sum =
      sums.order == SumOrder::Wide
          ? v.loadPair(sums.memory, row, block)
          : v.loadPairInTurn(sums.memory, row, block, op.getSumBits());
  return sum.map([&](Value x) -> Value {
    if (bits > int64_t(op.getSumBits()))
      return v.resize(x, op.getSumBits());
    if (x.getType() != type)
      return arith::ExtUIOp::create(b, loc, type, x);
    return x;
  });
}

ContractVectorizer::NarrowSums
ContractVectorizer::findNarrowSums(ArrayRef<SegmentSums> segments) {
  NarrowSums found;
  if (op.getSumBits() == 16 || op.getSums() || op.getLaneBytes())
    return found;
  int64_t unit = 0;
  for (auto [s, sums] : llvm::enumerate(segments)) {
    auto memory = cast<MemRefType>(sums.memory.getType());
    if (sums.order != SumOrder::Wide || op.getLevels()[s] > 2 ||
        op.getCoefficients()[s] < 1 || op.getCoefficients()[s] > 65535 ||
        memory.getElementTypeBitWidth() != 16)
      break;
    unit = std::gcd(unit, op.getCoefficients()[s]);
    int64_t most = 0;
    for (size_t i = 0; i <= s; ++i)
      most += op.getCoefficients()[i] / unit * getNumWords(i) *
              int64_t(taps.size()) * getLargestProduct(op.getLevels()[i]);
    if (most > 65535)
      break;
    found = {s + 1, unit};
  }
  return found.count > 1 ? found : NarrowSums();
}

LanePair ContractVectorizer::addNarrowSums(ArrayRef<SegmentSums> segments,
                                           NarrowSums narrow, Value row,
                                           int64_t block) {
  LanePair all;
  for (size_t s = 0; s < narrow.count; ++s) {
    LanePair part = times(v.loadPair(segments[s].memory, row, block),
                          op.getCoefficients()[s] / narrow.unit);
    all = s == 0 ? part : add(all, part);
  }
  VectorType type = v.half(b.getI32Type());
  return times(all.map([&](Value x) -> Value {
    return arith::ExtUIOp::create(b, loc, type, x);
  }),
               narrow.unit);
}

SmallVector<LanePair> ContractVectorizer::addUp(ArrayRef<SegmentSums> segments,
                                                Value row) {
  SmallVector<LanePair> totals;
  for (int64_t block = 0; block < blocks; ++block)
    totals.push_back(makeBias(row, block));
  SmallVector<int64_t> coefficients(op.getCoefficients());
  if (op.getSums())
    coefficients = {1};
  NarrowSums narrow = findNarrowSums(segments);
  if (narrow.count > 0)
    for (auto [block, total] : llvm::enumerate(totals))
      total = add(total, addNarrowSums(segments, narrow, row, block));
  for (auto [s, sums, coefficient] : llvm::enumerate(segments, coefficients)) {
    if (s < narrow.count)
      continue;
    SmallVector<LanePair> parts;
    if (!sums.memory)
      parts = sumByteLanes(b, op, s, row);
    for (auto [block, total] : llvm::enumerate(totals)) {
      LanePair part = sums.memory ? loadSums(sums, row, block) : parts[block];
      if (!sums.memory && !areOrderedLast())
        part = orderByteLanes(b, loc, part, op.getLaneBytes(), op.getSumBits());
      total = add(total, times(part, coefficient));
    }
  }
  return totals;
}

void ContractVectorizer::writeCodes(ArrayRef<SegmentSums> segments) {
  int64_t level = op.getOutLevel(), perWord = getChannelsPerWord(level);
  Type wordType = b.getIntegerType(level <= 2 ? 16 : getWordBits(level));
  SmallVector<Value> empty(2 * blocks, v.splat(v.half(wordType), 0));
  auto addSlot = [&](Value firstRow, Value slot, ValueRange args) {
    Value row = arith::AddIOp::create(b, loc, firstRow, slot);
    SmallVector<Value> carried(args);
    for (auto [block, sum] : llvm::enumerate(addUp(segments, row))) {
      LanePair codes;
      if (level > 2) {
        codes = sum.map([&](Value x) {
          return v.requantizeByRule(x, op.getMultiplier(), op.getOffset(), row,
                                    level, op.getOutSigned());
        });
        if (areOrderedLast() && level == 4)
          codes = orderByteLanes(b, loc, codes, op.getLaneBytes(), 16);
        codes = v.shiftToSlot(codes, level, slot);
      } else {
        codes = v.countThresholds(sum, op.getThresholds(), row, level, slot);
      }
      Value &even = carried[2 * block], &odd = carried[2 * block + 1];
      even = arith::OrIOp::create(b, loc, even, codes.even);
      odd = arith::OrIOp::create(b, loc, odd, codes.odd);
    }
    return carried;
  };
  auto writeWord = [&](Value word, int64_t slots) {
    Value firstRow = arith::MulIOp::create(b, loc, word, v.index(perWord));
    SmallVector<Value> words = empty;
    if (op.getLaneBytes() && level > 2) {
      // A shift by a constant, an AND and an OR are one instruction.
      for (int64_t slot = 0; slot < slots; ++slot)
        words = addSlot(firstRow, v.index(slot), words);
    } else {
      words = repeat(0, slots, 1, empty, [&](Value slot, ValueRange args) {
        return addSlot(firstRow, slot, args);
      });
    }
    for (int64_t block = 0; block < blocks; ++block) {
      LanePair pair{words[2 * block], words[2 * block + 1]};
      if (areOrderedLast() && level == 8)
        pair = orderByteLanes(b, loc, pair, op.getLaneBytes(), 32);
      v.storeWords(pair, level, op.getMask(), op.getInit(), word, block);
    }
  };
  int64_t whole = op.getNumRows() / perWord;
  repeat(0, whole, 1, {}, [&](Value word, ValueRange) {
    writeWord(word, perWord);
    return SmallVector<Value>();
  });
  if (int64_t rest = op.getNumRows() % perWord)
    writeWord(v.index(whole), rest);
}

/// Every epilogue but `codes`.
void ContractVectorizer::writeRow(Value row, int64_t block, LanePair sum) {
  auto store = [&](LanePair pair) {
    v.storePair(pair, op.getInit(), row, block);
  };
  switch (op.getEpilogue()) {
  case Epilogue::Accumulator: {
    int64_t bits =
        cast<MemRefType>(op.getInit().getType()).getElementTypeBitWidth();
    return store(sum.map([&](Value x) { return v.resize(x, bits); }));
  }
  case Epilogue::Real:
    return store(sum.map([&](Value x) -> Value {
      Value m =
          v.broadcast(v.loadScalar(op.getMultiplier(), row), kLaneBlock / 2);
      Value o = v.broadcast(v.loadScalar(op.getOffset(), row), kLaneBlock / 2);
      Value scaled = arith::MulFOp::create(b, loc, v.toReal(x), m);
      return arith::AddFOp::create(b, loc, scaled, o);
    }));
  case Epilogue::Carrier:
    return store(sum.map([&](Value x) {
      return v.toCarrier(x, op.getMultiplier(), row, op.getInRange());
    }));
  case Epilogue::CarrierAdd: {
    LanePair base = v.loadPair(op.getInit(), row, block);
    VectorType type = v.half(b.getI16Type());
    auto addTo = [&](Value x, Value onto) -> Value {
      Value carrier = v.toCarrier(x, op.getMultiplier(), row, op.getInRange());
      Value total = LLVM::SAddSat::create(b, loc, type, onto, carrier);
      // HP17 is symmetric; the instruction's lowest value is one less.
      return arith::MaxSIOp::create(b, loc, total, v.splat(type, -32767));
    };
    return store({addTo(sum.even, base.even), addTo(sum.odd, base.odd)});
  }
  case Epilogue::Codes:
    llvm_unreachable("codes are written a word at a time");
  }
}

void ContractVectorizer::run() {
  int64_t numRows = op.getNumRows();
  // Rows of a grouped window read different lanes.
  bool grouped = !op.getStarts().empty() && !op.getSharedStarts();
  int64_t atOnce = grouped ? 1 : numRows;
  SmallVector<RowRange> ranges;
  for (int64_t first = 0; first < numRows; first += atOnce)
    ranges.push_back({first, atOnce});
  SmallVector<SegmentSums> segments;
  scratch.reset();
  if (op.getSums())
    segments.push_back({op.getSums(), SumOrder::InTurn});
  for (auto [segment, level] : llvm::enumerate(op.getLevels()))
    segments.push_back(op.getLaneBytes() ? SegmentSums{{}, SumOrder::Wide}
                       : level <= 2      ? sumBytes(segment, ranges)
                                         : sumDots(segment, ranges));
  if (op.getEpilogue() == Epilogue::Codes)
    return writeCodes(segments);
  repeat(0, numRows, 1, {}, [&](Value row, ValueRange) {
    for (auto [block, sum] : llvm::enumerate(addUp(segments, row)))
      writeRow(row, block, sum);
    return SmallVector<Value>();
  });
}

void sysmol::hetprec::vectorizeContract(OpBuilder &b, ContractOp op,
                                        LaneScratch &scratch) {
  b.setInsertionPoint(op);
  ContractVectorizer(b, op, scratch).run();
  op.erase();
}
