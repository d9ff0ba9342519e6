//===- VectorizeContract.cpp - A contract tile as loops of mac ------------===//

#include "LaneVectors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sysmol::hetprec;

namespace {

/// Most a byte lane grows by one mac, and how many fit before it overflows.
int64_t getLargestProduct(int64_t level) { return level == 1 ? 8 : 27; }
int64_t getMacsPerByte(int64_t level) { return 255 / getLargestProduct(level); }

/// Words of one row and block that a loop body unrolls where a window has one
/// tap.
constexpr int64_t kUnrolledWords = 3;
/// Taps that a loop body unrolls at most, where rows of a window are alike.
constexpr int64_t kUnrolledTaps = 3;
/// Level 4 and 8 sums take four registers for a row and block: 4 rows fill 16.
constexpr int64_t kDotRowsAtOnce = 4;

class ContractVectorizer {
public:
  ContractVectorizer(OpBuilder &b, ContractOp op)
      : b(b), op(op), loc(op.getLoc()), v(b, loc),
        blocks(op.getLaneCount() / kLaneBlock),
        taps(op.getTaps().begin(), op.getTaps().end()),
        tapPhases(op.getTapPhases().begin(), op.getTapPhases().end()) {
    if (tapPhases.empty())
      tapPhases.assign(taps.size(), 0);
    findWindowRows();
  }

  void run();

private:
  /// Rows `[first, first + count)` of the tile that are summed together.
  struct RowRange {
    int64_t first, count;
  };
  using Sums = SmallVector<LanePair>; // [row * blocks + block]

  /// Where one row of the window lies.
  struct WindowRow {
    Value lane;   // lanes on from the first row's
    Value phase;  // phases on; null: the same
    Value column; // of its first row word
  };

  /// A window's taps are `rowTaps` taps, `windowRows` times over, each time
  /// `laneStep` lanes and `phaseStep` phases on: what lets a loop run over the
  /// window's rows.
  void findWindowRows();
  /// Runs `body` for every row of the window.
  SmallVector<Value> forWindowRows(
      Value word, ValueRange carried,
      function_ref<SmallVector<Value>(const WindowRow &, ValueRange)> body);

  Sums makeSums(RowRange rows);
  void addByteSegment(int64_t segment, RowRange rows, Sums &sums);
  /// `sums` begin at row `firstSum`.
  void addDotSegment(int64_t segment, RowRange rows, int64_t firstSum,
                     int64_t block, Sums &sums);
  void finish(RowRange rows, const Sums &sums);

  Value getStart(int64_t segment, int64_t row);
  /// Column of tap `tap` of a window row.
  Value getColumn(const WindowRow &row, int64_t tap) {
    if (op.getUniformRows())
      return row.column;
    return arith::AddIOp::create(b, loc, row.column, v.index(tap));
  }
  Value getPlane(int64_t segment, const WindowRow &row, int64_t tap,
                 Value start, Value word);
  /// `sum += coefficient * part`, in the op's width of sums.
  void accumulate(LanePair &sum, LanePair part, int64_t coefficient);
  int64_t getNumWords(int64_t segment) {
    int64_t size =
        cast<MemRefType>(op.getRows()[segment].getType()).getDimSize(1);
    return op.getUniformRows() ? size : size / int64_t(taps.size());
  }
  /// Runs `body` `count` times from `first` on, in a loop if worth one.
  SmallVector<Value>
  repeat(int64_t first, int64_t count, int64_t step, ValueRange carried,
         function_ref<SmallVector<Value>(Value, ValueRange)> body);

  OpBuilder &b;
  ContractOp op;
  Location loc;
  LaneVectors v;
  int64_t blocks;
  SmallVector<int64_t> taps;
  SmallVector<int64_t> tapPhases;
  int64_t rowTaps = 0, windowRows = 1, laneStep = 0, phaseStep = 0;
  SmallVector<LanePair> words; // of codes, per block
};

} // namespace

SmallVector<Value> ContractVectorizer::repeat(
    int64_t first, int64_t count, int64_t step, ValueRange carried,
    function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  if (count == 0)
    return llvm::to_vector(carried);
  if (count == 1)
    return body(v.index(first), carried);
  auto loop = scf::ForOp::create(
      b, loc, v.index(first), v.index(first + count * step), v.index(step),
      carried, [&](OpBuilder &, Location, Value i, ValueRange args) {
        scf::YieldOp::create(b, loc, body(i, args));
      });
  return llvm::to_vector(ValueRange(loop.getResults()));
}

void ContractVectorizer::findWindowRows() {
  int64_t count = taps.size();
  rowTaps = count;
  for (int64_t inner = 1; inner < count; ++inner) {
    if (count % inner != 0)
      continue;
    int64_t lanes = taps[inner] - taps[0];
    int64_t phases = tapPhases[inner] - tapPhases[0];
    bool alike = llvm::all_of(llvm::seq(count), [&](int64_t t) {
      return taps[t] == taps[t % inner] + t / inner * lanes &&
             tapPhases[t] == tapPhases[t % inner] + t / inner * phases;
    });
    // The longest run not longer than what is unrolled; else the shortest.
    if (alike && (inner <= kUnrolledTaps || rowTaps == count)) {
      rowTaps = inner;
      windowRows = count / inner;
      laneStep = lanes;
      phaseStep = phases;
    }
  }
}

SmallVector<Value> ContractVectorizer::forWindowRows(
    Value word, ValueRange carried,
    function_ref<SmallVector<Value>(const WindowRow &, ValueRange)> body) {
  Value column =
      arith::MulIOp::create(b, loc, word, v.index(int64_t(taps.size())));
  return repeat(0, windowRows, 1, carried, [&](Value i, ValueRange args) {
    auto times = [&](int64_t step) -> Value {
      return arith::MulIOp::create(b, loc, i, v.index(step));
    };
    WindowRow row{times(laneStep), phaseStep ? times(phaseStep) : Value(),
                  word}; // one word for all taps
    if (!op.getUniformRows())
      row.column = arith::AddIOp::create(b, loc, column, times(rowTaps));
    return body(row, args);
  });
}

Value ContractVectorizer::getStart(int64_t segment, int64_t row) {
  if (op.getStarts().empty())
    return {};
  Value start = v.loadScalar(op.getStarts()[segment], v.index(row));
  return arith::IndexCastOp::create(b, loc, b.getIndexType(), start);
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

void ContractVectorizer::accumulate(LanePair &sum, LanePair part,
                                    int64_t coefficient) {
  auto add = [&](Value total, Value value) -> Value {
    auto type = cast<VectorType>(value.getType());
    if (coefficient != 1)
      value = arith::MulIOp::create(b, loc, value, v.splat(type, coefficient));
    return arith::AddIOp::create(b, loc, total, value);
  };
  sum = {add(sum.even, part.even), add(sum.odd, part.odd)};
}

ContractVectorizer::Sums ContractVectorizer::makeSums(RowRange rows) {
  VectorType type = v.half(b.getIntegerType(op.getSumBits()));
  Sums sums;
  for (int64_t r = rows.first; r < rows.first + rows.count; ++r) {
    Value row = v.index(r), biasRow = v.index(0);
    if (op.getBiasRows())
      biasRow = arith::IndexCastOp::create(b, loc, b.getIndexType(),
                                           v.loadScalar(op.getBiasRows(), row));
    for (int64_t block = 0; block < blocks; ++block) {
      LanePair sum = {v.splat(type, 0), v.splat(type, 0)};
      auto add = [&](LanePair bias) {
        sum = {arith::AddIOp::create(b, loc, sum.even,
                                     v.resize(bias.even, op.getSumBits())),
               arith::AddIOp::create(b, loc, sum.odd,
                                     v.resize(bias.odd, op.getSumBits()))};
      };
      if (op.getLaneBias())
        add(v.loadPair(op.getLaneBias(), biasRow, block));
      if (Value bias = op.getRowBias()) {
        if (cast<MemRefType>(bias.getType()).getRank() == 2) {
          add(v.loadPair(bias, row, block));
        } else {
          Value all = v.broadcast(v.loadScalar(bias, row), kLaneBlock / 2);
          add({all, all});
        }
      }
      sums.push_back(sum);
    }
  }
  return sums;
}

/// Levels 1 and 2: sums in bytes, widened before they can overflow.
void ContractVectorizer::addByteSegment(int64_t segment, RowRange rows,
                                        Sums &sums) {
  int64_t level = op.getLevels()[segment];
  Value lanes = op.getLanes()[segment], rowWords = op.getRows()[segment];
  int64_t numWords = getNumWords(segment), numTaps = taps.size();
  int64_t numSums = rows.count * blocks;
  VectorType byteType = VectorType::get({kLaneBlock}, b.getI8Type());
  Value start = getStart(segment, rows.first);

  // 16 bits hold the level's sum, unless K is large and the total needs 32.
  bool wide = op.getSumBits() == 32 &&
              numWords * numTaps * getLargestProduct(level) > 65535;
  VectorType wideType = v.half(b.getIntegerType(wide ? 32 : 16));

  SmallVector<Value> zeroBytes(numSums, v.splat(byteType, 0));
  auto mac = [&](Value word, const WindowRow &windowRow, int64_t tap,
                 SmallVector<Value> &bytes) {
    Value plane = getPlane(segment, windowRow, tap, start, word);
    SmallVector<Value> registers;
    for (int64_t block = 0; block < blocks; ++block) {
      Value lane = arith::AddIOp::create(
          b, loc, windowRow.lane, v.index(taps[tap] + block * kLaneBlock));
      registers.push_back(v.loadVector(lanes, plane, lane, kLaneBlock));
    }
    Value column = getColumn(windowRow, tap);
    for (int64_t r = 0; r < rows.count; ++r) {
      Value row = v.loadScalar(rowWords, v.index(rows.first + r), column);
      for (int64_t block = 0; block < blocks; ++block) {
        Value &acc = bytes[r * blocks + block];
        acc =
            MacOp::create(b, loc, byteType, acc, registers[block], row, level);
      }
    }
  };
  // Bytes to the 16-bit (or 32-bit) sums, even lanes and odd ones.
  auto widen = [&](ValueRange bytes, SmallVector<Value> &totals) {
    VectorType shortType = v.half(b.getI16Type());
    for (int64_t i = 0; i < numSums; ++i) {
      Value both = vector::BitCastOp::create(b, loc, shortType, bytes[i]);
      Value parts[2] = {
          arith::AndIOp::create(b, loc, both, v.splat(shortType, 255)),
          arith::ShRUIOp::create(b, loc, both, v.splat(shortType, 8))};
      for (int64_t odd : {0, 1}) {
        if (wide)
          parts[odd] = arith::ExtUIOp::create(b, loc, wideType, parts[odd]);
        Value &total = totals[2 * i + odd];
        total = arith::AddIOp::create(b, loc, total, parts[odd]);
      }
    }
  };

  int64_t limit = getMacsPerByte(level);
  SmallVector<Value> totals(2 * numSums, v.splat(wideType, 0));
  if (numTaps > limit) {
    // A large window: widen after each of its rows, and within them.
    totals = repeat(0, numWords, 1, totals, [&](Value word, ValueRange args) {
      return forWindowRows(
          word, args, [&](const WindowRow &row, ValueRange inner) {
            SmallVector<Value> carried(inner);
            for (int64_t tap = 0; tap < rowTaps; tap += limit) {
              SmallVector<Value> bytes = zeroBytes;
              for (int64_t t = tap; t < std::min(rowTaps, tap + limit); ++t)
                mac(word, row, t, bytes);
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
      for (int64_t i = 0; i < count; ++i) {
        Value word = firstWord;
        if (i > 0)
          word = arith::AddIOp::create(b, loc, firstWord, v.index(i));
        bytes = forWindowRows(word, bytes,
                              [&](const WindowRow &row, ValueRange inner) {
                                SmallVector<Value> carried(inner);
                                for (int64_t tap = 0; tap < rowTaps; ++tap)
                                  mac(word, row, tap, carried);
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

  int64_t coefficient = op.getCoefficients()[segment];
  for (int64_t i = 0; i < numSums; ++i) {
    LanePair part{totals[2 * i], totals[2 * i + 1]};
    if (op.getSumBits() == 32 && !wide)
      part = part.map([&](Value x) -> Value {
        return arith::ExtUIOp::create(b, loc, v.half(b.getI32Type()), x);
      });
    accumulate(sums[i], part, coefficient);
  }
}

/// Levels 4 and 8: four bytes a 32-bit lane.
void ContractVectorizer::addDotSegment(int64_t segment, RowRange rows,
                                       int64_t firstSum, int64_t block,
                                       Sums &sums) {
  int64_t level = op.getLevels()[segment];
  Value lanes = op.getLanes()[segment], rowWords = op.getRows()[segment];
  VectorType quarter = VectorType::get({kLaneBlock / 4}, b.getI32Type());
  // What hetprec-spread-nibbles has spread is bytes already.
  auto areBytes = [](Value words) {
    return cast<MemRefType>(words.getType()).getElementTypeBitWidth() == 32;
  };
  bool lanesAreBytes = areBytes(lanes);
  int64_t rowLevel = areBytes(rowWords) ? 8 : level;
  Value start = getStart(segment, rows.first);

  // Nibbles 0, 2, 1, 3 of 16 bits to the low halves of four bytes: the order
  // rows are packed in.
  auto spread = [&](Value x) -> Value {
    // Bits 0-3 and 8-11 are in place; 4-7 and 12-15 move to 16 and 24.
    Value moved = arith::ShLIOp::create(b, loc, x, v.splat(quarter, 12));
    Value both = arith::OrIOp::create(b, loc, x, moved);
    return arith::AndIOp::create(b, loc, both, v.splat(quarter, 0x0F0F0F0F));
  };
  // The block's lanes as four registers: of bytes in their order; of nibbles
  // even lanes 0.. and 32.., odd ones.
  auto loadBlock = [&](Value plane, Value shift, int64_t lane) {
    SmallVector<Value, 4> registers(4);
    auto at = [&](int64_t offset) -> Value {
      return arith::AddIOp::create(b, loc, shift, v.index(lane + offset));
    };
    for (int64_t i : {0, 1}) {
      if (!lanesAreBytes) {
        Value pairs =
            v.loadVector(lanes, plane, at(i * kLaneBlock / 2), kLaneBlock / 2);
        Value both = vector::BitCastOp::create(b, loc, quarter, pairs);
        Value even =
            arith::AndIOp::create(b, loc, both, v.splat(quarter, 0xFFFF));
        Value odd = arith::ShRUIOp::create(b, loc, both, v.splat(quarter, 16));
        registers[i] = spread(even);
        registers[2 + i] = spread(odd);
        continue;
      }
      for (int64_t j : {0, 1})
        registers[2 * i + j] = v.loadVector(
            lanes, plane, at((2 * i + j) * kLaneBlock / 4), kLaneBlock / 4);
    }
    return registers;
  };

  SmallVector<Value> zero(4 * rows.count, v.splat(quarter, 0));
  auto macRow = [&](Value word, const WindowRow &windowRow, ValueRange args) {
    SmallVector<Value> accs(args);
    for (int64_t tap = 0; tap < rowTaps; ++tap) {
      Value plane = getPlane(segment, windowRow, tap, start, word);
      SmallVector<Value, 4> registers =
          loadBlock(plane, windowRow.lane, taps[tap] + block * kLaneBlock);
      Value column = getColumn(windowRow, tap);
      for (int64_t r = 0; r < rows.count; ++r) {
        Value row = v.loadScalar(rowWords, v.index(rows.first + r), column);
        for (int64_t i = 0; i < 4; ++i) {
          Value &acc = accs[4 * r + i];
          acc =
              MacOp::create(b, loc, quarter, acc, registers[i], row, rowLevel);
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

  for (int64_t r = 0; r < rows.count; ++r) {
    // 16 bits first: fewer registers to shuffle.
    SmallVector<Value, 4> parts;
    for (Value total : ArrayRef(totals).slice(4 * r, 4))
      parts.push_back(v.resize(total, op.getSumBits()));
    auto join = [&](Value low, Value high, int64_t step,
                    int64_t first) -> Value {
      SmallVector<int64_t> picks;
      for (int64_t lane = first; lane < first + step * kLaneBlock / 2;
           lane += step)
        picks.push_back(lane);
      return vector::ShuffleOp::create(b, loc, low, high, picks);
    };
    LanePair sum;
    if (lanesAreBytes) {
      Value low = join(parts[0], parts[1], 1, 0);
      Value high = join(parts[2], parts[3], 1, 0);
      sum = {join(low, high, 2, 0), join(low, high, 2, 1)};
    } else {
      sum = {join(parts[0], parts[1], 1, 0), join(parts[2], parts[3], 1, 0)};
    }
    accumulate(sums[(rows.first - firstSum + r) * blocks + block], sum,
               op.getCoefficients()[segment]);
  }
}

/// The epilogue, on sums in registers.
void ContractVectorizer::finish(RowRange rows, const Sums &sums) {
  for (int64_t r = 0; r < rows.count; ++r) {
    Value row = v.index(rows.first + r);
    for (int64_t block = 0; block < blocks; ++block) {
      LanePair sum = sums[r * blocks + block];
      auto store = [&](LanePair pair) {
        v.storePair(pair, op.getInit(), row, block);
      };
      switch (op.getEpilogue()) {
      case Epilogue::Accumulator: {
        int64_t bits =
            cast<MemRefType>(op.getInit().getType()).getElementTypeBitWidth();
        store(sum.map([&](Value x) { return v.resize(x, bits); }));
        break;
      }
      case Epilogue::Real:
        store(sum.map([&](Value x) -> Value {
          Value m = v.broadcast(v.loadScalar(op.getMultiplier(), row),
                                kLaneBlock / 2);
          Value o =
              v.broadcast(v.loadScalar(op.getOffset(), row), kLaneBlock / 2);
          Value scaled = arith::MulFOp::create(b, loc, v.toReal(x), m);
          return arith::AddFOp::create(b, loc, scaled, o);
        }));
        break;
      case Epilogue::Carrier:
        store(sum.map(
            [&](Value x) { return v.toCarrier(x, op.getMultiplier(), row); }));
        break;
      case Epilogue::CarrierAdd: {
        LanePair base = v.loadPair(op.getInit(), row, block);
        VectorType type = v.half(b.getI16Type());
        auto add = [&](Value x, Value onto) -> Value {
          Value carrier = v.toCarrier(x, op.getMultiplier(), row);
          Value total = LLVM::SAddSat::create(b, loc, type, onto, carrier);
          // HP17 is symmetric; the instruction's lowest value is one less.
          return arith::MaxSIOp::create(b, loc, total, v.splat(type, -32767));
        };
        store({add(sum.even, base.even), add(sum.odd, base.odd)});
        break;
      }
      case Epilogue::Codes: {
        int64_t level = op.getOutLevel();
        LanePair codes = sum.map([&](Value x) {
          return level > 2
                     ? v.requantizeByRule(x, op.getMultiplier(), op.getOffset(),
                                          row, level, op.getOutSigned())
                     : v.countThresholds(x, op.getThresholds(), row);
        });
        int64_t slot = (rows.first + r) % getChannelsPerWord(level);
        if (slot == 0)
          words[block] = LanePair{};
        words[block] = v.insertSlot(words[block], codes, level, slot);
        if (slot == getChannelsPerWord(level) - 1)
          v.storeWords(words[block], level, op.getMask(), op.getInit(),
                       v.index((rows.first + r) / getChannelsPerWord(level)),
                       block);
        break;
      }
      }
    }
  }
}

void ContractVectorizer::run() {
  int64_t numRows = op.getNumRows();
  words.resize(blocks);
  // Rows of a grouped window read different lanes.
  bool grouped = !op.getStarts().empty() && !op.getSharedStarts();
  int64_t atOnce = grouped ? 1 : numRows;
  int64_t dotAtOnce = grouped ? 1 : kDotRowsAtOnce;
  for (int64_t first = 0; first < numRows; first += atOnce) {
    RowRange rows{first, std::min(atOnce, numRows - first)};
    Sums sums = makeSums(rows);
    for (auto [segment, level] : llvm::enumerate(op.getLevels())) {
      if (level <= 2) {
        addByteSegment(segment, rows, sums);
        continue;
      }
      int64_t end = rows.first + rows.count;
      for (int64_t r = rows.first; r < end; r += dotAtOnce)
        for (int64_t block = 0; block < blocks; ++block)
          addDotSegment(segment, {r, std::min(dotAtOnce, end - r)}, rows.first,
                        block, sums);
    }
    finish(rows, sums);
  }
}

void sysmol::hetprec::vectorizeContract(OpBuilder &b, ContractOp op) {
  b.setInsertionPoint(op);
  ContractVectorizer(b, op).run();
  op.erase();
}
