//===- VectorizeGemv.cpp - A tile of outputs as loops of mac --------------===//

#include "LaneVectors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sysmol::hetprec;

namespace {

/// Byte sums of rows and blocks at once. Each has two sums of 16 bits, which
/// leave the registers: eight rows of two blocks, with 16, take a quarter
/// longer than twice four.
constexpr int64_t kByteSums = 12;
/// Units whose sums a loop is not worth.
constexpr int64_t kUnrolledUnits = 2;
/// Rows whose level-4 and level-8 sums, four registers each, are kept at once.
constexpr int64_t kDotRows = 4;

class GemvVectorizer {
public:
  GemvVectorizer(OpBuilder &b, GemvOp op)
      : b(b), op(op), loc(op.getLoc()), v(b, loc), blocks(op.getTileBlocks()),
        numRows(cast<MemRefType>(op.getInit().getType()).getDimSize(0)),
        outputs(cast<MemRefType>(op.getInit().getType()).getDimSize(1)) {}

  void run();

private:
  /// Exact sums of 64 outputs, those of one row after the other.
  using Sums = SmallVector<LanePair>; // [row * blocks + block], i32

  void runTile(Value tile, int64_t firstOutput);
  void runRows(Value firstRow, int64_t count);

  void addByteSegment(int64_t segment, int64_t base, Sums &sums);
  /// Units (words, or four words of level 2) `[first, first + count)`: so few
  /// that 16 bits hold their sums.
  SmallVector<Value> addByteUnits(int64_t segment, int64_t base, Value first,
                                  int64_t count, ValueRange sums);
  /// Byte sums and those of one more unit.
  SmallVector<Value> macUnit(int64_t segment, int64_t base, Value unit,
                             ValueRange bytes);
  /// The same for the level-2 words that no four of make a unit.
  SmallVector<Value> macRest(int64_t segment, int64_t base, ValueRange bytes);
  void addDotSegment(int64_t segment, int64_t base, Sums &sums);
  void finish(const Sums &sums);

  int64_t getNumWords(int64_t segment) {
    return cast<MemRefType>(op.getRows()[segment].getType()).getDimSize(1);
  }
  Value add(Value a, Value c) { return arith::AddIOp::create(b, loc, a, c); }
  Value times(Value a, int64_t factor) {
    return arith::MulIOp::create(b, loc, a, v.index(factor));
  }
  Value getRow(int64_t row) { return add(firstRow, v.index(row)); }
  /// 64 bytes of weights, `offset` bytes behind `at`.
  Value loadWeights(Value at, int64_t offset) {
    return v.loadVector(op.getWeights(), tile, add(at, v.index(offset)),
                        kLaneBlock);
  }
  /// Of level 1 or 2.
  Value mac(Value sum, Value lanes, Value word, int64_t level) {
    std::optional<Centred> centred;
    if (level == 2 && op.getCentred())
      centred = Centred::Lanes;
    return MacOp::create(b, loc, sum, lanes, word, level, centred);
  }
  /// Units (words, or four words of level 2) whose sums a byte holds.
  int64_t getUnitsPerByte(int64_t segment) {
    return getWordsPerByte(op, segment) /
           (op.getLevels()[segment] == 2 ? 4 : 1);
  }
  /// Entries of a table for 32 outputs from `lane` of the tile on.
  Value loadTable(Value table, int64_t lane) {
    return v.loadVector(table, {},
                        add(times(tile, op.getTileOutputs()), v.index(lane)),
                        kLaneBlock / 2);
  }
  /// Where 32 outputs from `lane` on are stored.
  Value getColumn(int64_t lane) {
    return add(times(tile, op.getTileOutputs()), v.index(lane));
  }
  /// Which of 32 outputs from `lane` on there are; null: all.
  Value getMask(int64_t lane);
  bool isEmpty(int64_t lane) { return firstOutput + lane >= outputs; }
  void store(Value value, Value row, int64_t lane);
  Value load(Value row, int64_t lane);

  OpBuilder &b;
  GemvOp op;
  Location loc;
  LaneVectors v;
  int64_t blocks, numRows, outputs;
  // What is being computed.
  Value tile, firstRow;
  int64_t firstOutput = 0, rowCount = 0;
};

} // namespace

//===----------------------------------------------------------------------===//
// Levels 1 and 2: sums in bytes, then in 16 bits, then in 32
//===----------------------------------------------------------------------===//

SmallVector<Value> GemvVectorizer::macUnit(int64_t segment, int64_t base,
                                           Value unit, ValueRange args) {
  SmallVector<Value> bytes(args);
  int64_t level = op.getLevels()[segment];
  Value rows = op.getRows()[segment];
  int64_t unitBytes = level == 1 ? kLaneBlock : 3 * kLaneBlock;
  Value at = add(times(unit, blocks * unitBytes), v.index(base));
  auto loadLanes = [&](int64_t block) {
    SmallVector<Value, 4> lanes;
    for (int64_t i = 0; i < unitBytes / kLaneBlock; ++i)
      lanes.push_back(loadWeights(at, block * unitBytes + i * kLaneBlock));
    if (level == 2)
      lanes.push_back(SpareWordOp::create(b, loc, lanes[0].getType(), lanes[0],
                                          lanes[1], lanes[2]));
    return lanes;
  };
  int64_t words = level == 2 ? 4 : 1;
  auto macBlock = [&](int64_t row, int64_t i, int64_t block, Value word,
                      ArrayRef<Value> lanes) {
    Value &sum = bytes[row * blocks + block];
    sum = mac(sum, lanes[i], word, level);
  };
  auto loadWord = [&](int64_t row, int64_t i) {
    return v.loadScalar(rows, getRow(row), add(times(unit, words), v.index(i)));
  };
  // One row: a block after the other, so that few registers hold lanes.
  if (rowCount == 1) {
    SmallVector<Value, 4> rowWords;
    for (int64_t i = 0; i < words; ++i)
      rowWords.push_back(loadWord(0, i));
    for (int64_t block = 0; block < blocks; ++block) {
      auto lanes = loadLanes(block);
      for (int64_t i = 0; i < words; ++i)
        macBlock(0, i, block, rowWords[i], lanes);
    }
    return bytes;
  }
  SmallVector<SmallVector<Value, 4>> lanes;
  for (int64_t block = 0; block < blocks; ++block)
    lanes.push_back(loadLanes(block));
  for (int64_t row = 0; row < rowCount; ++row)
    for (int64_t i = 0; i < words; ++i) {
      Value word = loadWord(row, i);
      for (int64_t block = 0; block < blocks; ++block)
        macBlock(row, i, block, word, lanes[block]);
    }
  return bytes;
}

SmallVector<Value> GemvVectorizer::macRest(int64_t segment, int64_t base,
                                           ValueRange args) {
  SmallVector<Value> bytes(args);
  int64_t words = getNumWords(segment), rest = words % 4;
  Value at = v.index(base + words / 4 * 3 * blocks * kLaneBlock);
  for (int64_t i = 0; i < rest; ++i)
    for (int64_t block = 0; block < blocks; ++block) {
      Value lanes = loadWeights(at, (i * blocks + block) * kLaneBlock);
      for (int64_t row = 0; row < rowCount; ++row) {
        Value word = v.loadScalar(op.getRows()[segment], getRow(row),
                                  v.index(words - rest + i));
        Value &sum = bytes[row * blocks + block];
        sum = mac(sum, lanes, word, /*level=*/2);
      }
    }
  return bytes;
}

SmallVector<Value> GemvVectorizer::addByteUnits(int64_t segment, int64_t base,
                                                Value first, int64_t count,
                                                ValueRange sums) {
  int64_t numSums = rowCount * blocks;
  VectorType byteType = VectorType::get({kLaneBlock}, b.getI8Type());
  VectorType shortType = v.half(b.getI16Type());
  VectorType wideType = v.half(b.getI32Type());
  SmallVector<Value> zeroBytes(numSums, v.splat(byteType, 0));
  // Even bytes' totals are what is left of the words' once 256 times the odd
  // ones' is taken off: an AND less for each chunk.
  auto widen = [&](ValueRange bytes, ValueRange args) {
    SmallVector<Value> totals(args);
    for (int64_t i = 0; i < numSums; ++i) {
      Value both = vector::BitCastOp::create(b, loc, shortType, bytes[i]);
      Value high = arith::ShRUIOp::create(b, loc, both, v.splat(shortType, 8));
      totals[2 * i] = add(totals[2 * i], both);
      totals[2 * i + 1] = add(totals[2 * i + 1], high);
    }
    return totals;
  };
  auto macs = [&](Value from, int64_t units) {
    // Unrolled where few: sums then begin with the first product.
    SmallVector<Value> bytes = zeroBytes;
    if (units <= kUnrolledUnits) {
      for (int64_t i = 0; i < units; ++i)
        bytes = macUnit(segment, base, add(from, v.index(i)), bytes);
      return bytes;
    }
    return v.repeat(from, units, 1, zeroBytes,
                    [&](Value unit, ValueRange args) {
                      return macUnit(segment, base, unit, args);
                    });
  };
  SmallVector<Value> totals(2 * numSums, v.splat(shortType, 0));
  int64_t perByte = getUnitsPerByte(segment), chunks = count / perByte;
  totals = v.repeat(first, chunks, perByte, totals,
                    [&](Value from, ValueRange args) {
                      return widen(macs(from, perByte), args);
                    });
  if (int64_t rest = count % perByte)
    totals = widen(macs(add(first, v.index(chunks * perByte)), rest), totals);

  for (int64_t i = 0; i < numSums; ++i) {
    Value high =
        arith::ShLIOp::create(b, loc, totals[2 * i + 1], v.splat(shortType, 8));
    totals[2 * i] = arith::SubIOp::create(b, loc, totals[2 * i], high);
  }
  SmallVector<Value> result;
  Value factor = v.splat(wideType, op.getCoefficients()[segment]);
  for (auto [sum, total] : llvm::zip_equal(sums, totals)) {
    Value wide = arith::ExtUIOp::create(b, loc, wideType, total);
    wide = arith::MulIOp::create(b, loc, wide, factor);
    result.push_back(add(sum, wide));
  }
  return result;
}

static SmallVector<Value> flatten(ArrayRef<LanePair> sums) {
  SmallVector<Value> values;
  for (LanePair sum : sums)
    values.append({sum.even, sum.odd});
  return values;
}

void GemvVectorizer::addByteSegment(int64_t segment, int64_t base, Sums &sums) {
  int64_t level = op.getLevels()[segment], words = getNumWords(segment);
  int64_t units = level == 1 ? words : words / 4;
  SmallVector<Value> values = flatten(sums);
  // As many bytes' sums as 16 bits hold.
  int64_t perShort = 65535 / 255 * getUnitsPerByte(segment);
  values = v.repeat(v.index(0), units / perShort, perShort, values,
                    [&](Value first, ValueRange args) {
                      return addByteUnits(segment, base, first, perShort, args);
                    });
  if (int64_t rest = units % perShort)
    values = addByteUnits(segment, base, v.index(units - rest), rest, values);
  if (level == 2 && words % 4) {
    VectorType byteType = VectorType::get({kLaneBlock}, b.getI8Type());
    SmallVector<Value> zeroBytes(rowCount * blocks, v.splat(byteType, 0));
    SmallVector<Value> bytes = macRest(segment, base, zeroBytes);
    VectorType shortType = v.half(b.getI16Type());
    VectorType wideType = v.half(b.getI32Type());
    Value factor = v.splat(wideType, op.getCoefficients()[segment]);
    for (auto [i, value] : llvm::enumerate(bytes)) {
      Value both = vector::BitCastOp::create(b, loc, shortType, value);
      Value parts[2] = {
          arith::AndIOp::create(b, loc, both, v.splat(shortType, 255)),
          arith::ShRUIOp::create(b, loc, both, v.splat(shortType, 8))};
      for (auto [odd, part] : llvm::enumerate(parts)) {
        Value wide = arith::ExtUIOp::create(b, loc, wideType, part);
        Value &sum = values[2 * i + odd];
        sum = add(sum, arith::MulIOp::create(b, loc, wide, factor));
      }
    }
  }
  for (auto [i, sum] : llvm::enumerate(sums))
    sum = {values[2 * i], values[2 * i + 1]};
}

//===----------------------------------------------------------------------===//
// Levels 4 and 8: four bytes a 32-bit lane
//===----------------------------------------------------------------------===//

void GemvVectorizer::addDotSegment(int64_t segment, int64_t base, Sums &sums) {
  int64_t level = op.getLevels()[segment], words = getNumWords(segment);
  Value rowWords = op.getRows()[segment];
  VectorType quarter = VectorType::get({kLaneBlock / 4}, b.getI32Type());
  constexpr int64_t unitBytes = 4 * kLaneBlock;
  int64_t blockBytes = op.getSegmentBytes(segment);
  int64_t wordsPerUnit = level == 4 ? 2 : 1;

  for (int64_t block = 0; block < blocks; ++block)
    for (int64_t first = 0; first < rowCount; first += kDotRows) {
      int64_t count = std::min(kDotRows, rowCount - first);
      // `parts` words of a unit: the last one of level 4 may have one only.
      auto macDot = [&](Value unit, int64_t parts, ValueRange args) {
        SmallVector<Value> accs(args);
        Value at =
            add(times(unit, unitBytes), v.index(base + block * blockBytes));
        SmallVector<Value, 4> lanes;
        for (int64_t i = 0; i < 4; ++i)
          lanes.push_back(vector::BitCastOp::create(
              b, loc, quarter, loadWeights(at, i * kLaneBlock)));
        for (int64_t part = 0; part < parts; ++part) {
          for (int64_t row = 0; row < count; ++row) {
            Value word =
                v.loadScalar(rowWords, getRow(first + row),
                             add(times(unit, wordsPerUnit), v.index(part)));
            for (int64_t i = 0; i < 4; ++i) {
              Value bytes = lanes[i];
              if (part == 1)
                bytes =
                    arith::ShRUIOp::create(b, loc, bytes, v.splat(quarter, 4));
              if (level == 4)
                bytes = arith::AndIOp::create(b, loc, bytes,
                                              v.splat(quarter, 0x0F0F0F0F));
              Value &acc = accs[4 * row + i];
              acc = MacOp::create(b, loc, acc, bytes, word, /*level=*/8,
                                  /*signed_lanes=*/true,
                                  /*pair_bound=*/IntegerAttr());
            }
          }
        }
        return accs;
      };
      SmallVector<Value> accs(4 * count, v.splat(quarter, 0));
      int64_t units = words / wordsPerUnit;
      accs = v.repeat(v.index(0), units, 1, accs,
                      [&](Value unit, ValueRange args) {
                        return macDot(unit, wordsPerUnit, args);
                      });
      if (words % wordsPerUnit)
        accs = macDot(v.index(units), 1, accs);

      SmallVector<int64_t> both = llvm::to_vector(llvm::seq(kLaneBlock / 2));
      for (int64_t row = 0; row < count; ++row) {
        LanePair &sum = sums[(first + row) * blocks + block];
        auto join = [&](Value total, int64_t i) -> Value {
          Value part = vector::ShuffleOp::create(b, loc, accs[4 * row + i],
                                                 accs[4 * row + i + 1], both);
          Value factor = v.splat(cast<VectorType>(part.getType()),
                                 op.getCoefficients()[segment]);
          return add(total, arith::MulIOp::create(b, loc, part, factor));
        };
        sum = {join(sum.even, 0), join(sum.odd, 2)};
      }
    }
}

//===----------------------------------------------------------------------===//
// Epilogue
//===----------------------------------------------------------------------===//

Value GemvVectorizer::getMask(int64_t lane) {
  int64_t there = outputs - firstOutput - lane;
  if (there >= kLaneBlock / 2)
    return {};
  SmallVector<bool> bits(kLaneBlock / 2, false);
  std::fill_n(bits.begin(), there, true);
  VectorType type = v.half(b.getI1Type());
  return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, bits));
}

void GemvVectorizer::store(Value value, Value row, int64_t lane) {
  if (Value mask = getMask(lane))
    vector::MaskedStoreOp::create(
        b, loc, op.getInit(), ValueRange{row, getColumn(lane)}, mask, value);
  else
    v.storeVector(value, op.getInit(), row, getColumn(lane));
}

Value GemvVectorizer::load(Value row, int64_t lane) {
  Type element = cast<MemRefType>(op.getInit().getType()).getElementType();
  if (Value mask = getMask(lane))
    return vector::MaskedLoadOp::create(b, loc, v.half(element), op.getInit(),
                                        ValueRange{row, getColumn(lane)}, mask,
                                        v.splat(v.half(element), 0));
  return v.loadVector(op.getInit(), row, getColumn(lane), kLaneBlock / 2);
}

/// HP15 for 32 outputs of precisions of their own.
static Value requantize(OpBuilder &b, LaneVectors &v, Location loc, Value x,
                        GemvOp op, function_ref<Value()> loadBits) {
  ArrayRef<int64_t> levels = op.getOutLevels();
  int64_t finest = *llvm::max_element(levels);
  auto round = [&](Value value, bool floors) -> Value {
    return floors ? v.floorToInt(value) : v.roundToInt(value);
  };
  VectorType type = v.half(b.getI32Type());
  Value bits;
  if (levels.size() > 1)
    bits = arith::ExtUIOp::create(b, loc, type, loadBits());
  auto power = [&](Value exponent) -> Value {
    return arith::ShLIOp::create(b, loc, v.splat(type, 1), exponent);
  };
  auto clampHigh = [&](Value code) -> Value {
    Value highest =
        arith::SubIOp::create(b, loc, power(bits), v.splat(type, 1));
    return arith::MinSIOp::create(b, loc, code, highest);
  };
  // Rounding is monotone and bounds are integers: the finest level's clamp
  // first keeps the conversion in range, that of the output's own level
  // follows.
  if (!op.getOutSigned()) {
    Value code = round(v.clampReal(x, 0, (1 << finest) - 1), false);
    return bits ? clampHigh(code) : code;
  }
  Value code;
  bool hasSymmetric = finest == 8;
  int64_t midrise = 0; // the finest level of the mid-rise grid
  for (int64_t level : levels)
    if (level < 8)
      midrise = std::max(midrise, level);
  if (midrise) {
    int64_t half = int64_t(1) << (midrise - 1);
    code = round(v.clampReal(x, -half, half - 1), true);
    if (!bits) {
      code = arith::AddIOp::create(b, loc, code, v.splat(type, half));
    } else {
      Value less = arith::SubIOp::create(b, loc, bits, v.splat(type, 1));
      code = arith::AddIOp::create(b, loc, code, power(less));
      code = arith::MaxSIOp::create(b, loc, code, v.splat(type, 0));
      code = clampHigh(code);
    }
  }
  if (!hasSymmetric)
    return code;
  Value symmetric = round(v.clampReal(x, -127, 127), false);
  if (!midrise)
    return symmetric;
  Value isSymmetric = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq,
                                            bits, v.splat(type, 8));
  return arith::SelectOp::create(b, loc, isSymmetric, symmetric, code);
}

void GemvVectorizer::finish(const Sums &sums) {
  for (int64_t r = 0; r < rowCount; ++r) {
    Value row = getRow(r), rowBias;
    if (op.getRowBias())
      rowBias = v.broadcast(v.loadScalar(op.getRowBias(), row), kLaneBlock / 2);
    for (int64_t half = 0; half < 2 * blocks; ++half) {
      int64_t lane = half * kLaneBlock / 2;
      if (isEmpty(lane))
        continue;
      const LanePair &pair = sums[r * blocks + half / 2];
      Value sum = half % 2 ? pair.odd : pair.even;
      if (rowBias)
        sum = add(sum, rowBias);
      if (op.getLaneBias())
        sum = add(sum, loadTable(op.getLaneBias(), lane));
      if (op.getEpilogue() == Epilogue::Accumulator) {
        store(sum, row, lane);
        continue;
      }
      Value x = arith::MulFOp::create(b, loc, v.toReal(sum),
                                      loadTable(op.getMultiplier(), lane));
      if (op.getOffset())
        x = arith::AddFOp::create(b, loc, x, loadTable(op.getOffset(), lane));
      bool adds = op.getEpilogue() == Epilogue::CarrierAdd;
      if (adds || op.getEpilogue() == Epilogue::Carrier) {
        int64_t lowest = op.getRelu() ? 0 : kLowestCarrier;
        Value carrier = v.roundToInt(
            v.clampReal(x, adds ? kLowestCarrier : lowest, kHighestCarrier));
        if (adds) {
          carrier = add(carrier, v.resize(load(row, lane), 32));
          VectorType type = v.half(b.getI32Type());
          carrier =
              arith::MaxSIOp::create(b, loc, carrier, v.splat(type, lowest));
          carrier = arith::MinSIOp::create(b, loc, carrier,
                                           v.splat(type, kHighestCarrier));
        }
        store(v.resize(carrier, 16), row, lane);
        continue;
      }
      if (op.getEpilogue() == Epilogue::Codes)
        x = v.resize(
            requantize(b, v, loc, x, op,
                       [&] { return loadTable(op.getOutBits(), lane); }),
            8);
      store(x, row, lane);
    }
  }
}

//===----------------------------------------------------------------------===//
// Tiles and rows
//===----------------------------------------------------------------------===//

void GemvVectorizer::runRows(Value first, int64_t count) {
  firstRow = first;
  rowCount = count;
  VectorType type = v.half(b.getI32Type());
  Sums sums(count * blocks, LanePair{v.splat(type, 0), v.splat(type, 0)});
  int64_t base = 0; // of the segment, in the tile's line
  for (auto [segment, level] : llvm::enumerate(op.getLevels())) {
    if (level <= 2)
      addByteSegment(segment, base, sums);
    else
      addDotSegment(segment, base, sums);
    base += blocks * op.getSegmentBytes(segment);
  }
  finish(sums);
}

void GemvVectorizer::runTile(Value number, int64_t output) {
  tile = number;
  firstOutput = output;
  // Parts of equal size: 8 rows are 4 and 4, not 6 and 2.
  int64_t most = std::max<int64_t>(1, kByteSums / blocks);
  int64_t atOnce =
      llvm::divideCeil(numRows, int64_t(llvm::divideCeil(numRows, most)));
  int64_t whole = numRows / atOnce;
  v.repeat(v.index(0), whole, atOnce, {}, [&](Value first, ValueRange) {
    runRows(first, atOnce);
    return SmallVector<Value>();
  });
  if (int64_t rest = numRows % atOnce)
    runRows(v.index(whole * atOnce), rest);
}

void GemvVectorizer::run() {
  // Only the last tile can be partly empty; its outputs are known now.
  int64_t tiles = op.getNumTiles();
  int64_t whole = outputs / op.getTileOutputs();
  v.repeat(v.index(0), whole, 1, {}, [&](Value number, ValueRange) {
    runTile(number, 0);
    return SmallVector<Value>();
  });
  if (whole < tiles)
    runTile(v.index(whole), whole * op.getTileOutputs());
}

void sysmol::hetprec::vectorizeGemv(OpBuilder &b, GemvOp op) {
  b.setInsertionPoint(op);
  GemvVectorizer(b, op).run();
  op.erase();
}

//===----------------------------------------------------------------------===//
// Packing rows
//===----------------------------------------------------------------------===//

/// A loop over `[0, count)` in steps; nothing where it is empty.
static void forSteps(OpBuilder &b, Location loc, int64_t first, int64_t last,
                     int64_t step, function_ref<void(Value)> body) {
  if (first >= last)
    return;
  auto index = [&](int64_t i) -> Value {
    return arith::ConstantIndexOp::create(b, loc, i);
  };
  auto loop =
      scf::ForOp::create(b, loc, index(first), index(last), index(step));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}

void sysmol::hetprec::lowerPackRows(OpBuilder &b, PackRowsOp op) {
  b.setInsertionPoint(op);
  Location loc = op.getLoc();
  LaneVectors v(b, loc);
  int64_t level = op.getLevel(), count = op.getCount(), first = op.getFirst();
  int64_t rows = cast<MemRefType>(op.getInit().getType()).getDimSize(0);
  int64_t words = cast<MemRefType>(op.getInit().getType()).getDimSize(1);
  auto add = [&](Value a, int64_t c) -> Value {
    return arith::AddIOp::create(b, loc, a, v.index(c));
  };
  // `lanes` codes from `channel` on.
  auto loadCodes = [&](Value row, Value channel, int64_t lanes) -> Value {
    return v.loadVector(op.getInput(), row, channel, lanes);
  };
  auto flip = [&](Value bytes) -> Value {
    if (level != 8 || !op.getIsSigned())
      return bytes;
    return arith::XOrIOp::create(
        b, loc, bytes, v.splat(cast<VectorType>(bytes.getType()), -128));
  };

  forSteps(b, loc, 0, rows, 1, [&](Value row) {
    if (level > 2) {
      // Four bytes a word, as they lie.
      auto copy = [&](int64_t from, int64_t to, int64_t lanes) {
        forSteps(b, loc, from, to, lanes, [&](Value word) {
          Value channel = arith::MulIOp::create(b, loc, word, v.index(4));
          Value bytes = flip(loadCodes(row, add(channel, first), 4 * lanes));
          auto type = VectorType::get({lanes}, b.getI32Type());
          v.storeVector(vector::BitCastOp::create(b, loc, type, bytes),
                        op.getInit(), row, word);
        });
      };
      int64_t whole = count / 4, blocked = whole / 16 * 16;
      copy(0, blocked, 16);
      copy(blocked, whole, 1);
      if (whole == words)
        return;
      auto type = VectorType::get({4}, b.getI8Type());
      Value bytes = v.splat(type, 0);
      for (int64_t i = 0; i < count % 4; ++i) {
        Value code = flip(loadCodes(row, v.index(first + 4 * whole + i), 1));
        bytes = vector::InsertStridedSliceOp::create(
            b, loc, code, bytes, ArrayRef<int64_t>{i}, ArrayRef<int64_t>{1});
      }
      v.storeVector(vector::BitCastOp::create(
                        b, loc, VectorType::get({1}, b.getI32Type()), bytes),
                    op.getInit(), row, v.index(whole));
      return;
    }
    auto pack = [&](int64_t from, int64_t to, int64_t slots, int64_t lanes) {
      forSteps(b, loc, from, to, lanes, [&](Value word) {
        Value result;
        for (int64_t slot = 0; slot < slots; ++slot) {
          Value code = loadCodes(row, add(word, first + slot * words), lanes);
          if (!result) {
            result = code;
            continue;
          }
          code = arith::ShLIOp::create(
              b, loc, code,
              v.splat(cast<VectorType>(code.getType()), level * slot));
          result = arith::OrIOp::create(b, loc, result, code);
        }
        v.storeVector(result, op.getInit(), row, word);
      });
    };
    // The last slot of the words behind `full` is empty.
    int64_t slots = llvm::divideCeil(count, words);
    int64_t full = count - (slots - 1) * words;
    auto packRange = [&](int64_t from, int64_t to, int64_t filled) {
      int64_t blocked = from + (to - from) / kLaneBlock * kLaneBlock;
      pack(from, blocked, filled, kLaneBlock);
      pack(blocked, to, filled, 1);
    };
    packRange(0, full, slots);
    packRange(full, words, slots - 1);
  });
  op.erase();
}

void sysmol::hetprec::lowerSumRows(OpBuilder &b, SumRowsOp op) {
  b.setInsertionPoint(op);
  Location loc = op.getLoc();
  LaneVectors v(b, loc);
  int64_t rows = cast<MemRefType>(op.getInit().getType()).getDimSize(0);
  Type i32 = b.getI32Type();
  VectorType quarter = VectorType::get({kLaneBlock / 4}, i32);
  auto scalar = [&](int64_t value) -> Value {
    return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(value));
  };
  forSteps(b, loc, 0, rows, 1, [&](Value row) {
    Value total = scalar(0);
    for (auto [first, count, coefficient] : llvm::zip_equal(
             op.getFirsts(), op.getCounts(), op.getCoefficients())) {
      auto sumUp = [&](int64_t from, int64_t to, int64_t step, Value start,
                       function_ref<Value(Value, Value)> grow) -> Value {
        if (from == to)
          return start;
        return scf::ForOp::create(
                   b, loc, v.index(from), v.index(to), v.index(step), start,
                   [&](OpBuilder &, Location, Value i, ValueRange args) {
                     scf::YieldOp::create(b, loc, grow(i, args[0]));
                   })
            .getResult(0);
      };
      // Four bytes at a time times 1.
      int64_t last = first + count;
      int64_t blocked = first + count / kLaneBlock * kLaneBlock;
      Value sums =
          sumUp(first, blocked, kLaneBlock, v.splat(quarter, 0),
                [&](Value i, Value sum) -> Value {
                  Value bytes = v.loadVector(op.getInput(), row, i, kLaneBlock);
                  Value lanes =
                      vector::BitCastOp::create(b, loc, quarter, bytes);
                  return MacOp::create(b, loc, sum, lanes, scalar(0x01010101),
                                       /*level=*/8,
                                       /*signed_lanes=*/false,
                                       /*pair_bound=*/IntegerAttr());
                });
      Value sum =
          vector::ReductionOp::create(b, loc, vector::CombiningKind::ADD, sums);
      sum = sumUp(blocked, last, 1, sum, [&](Value i, Value part) -> Value {
        Value code = v.loadScalar(op.getInput(), row, i);
        return arith::AddIOp::create(b, loc, part,
                                     arith::ExtUIOp::create(b, loc, i32, code));
      });
      sum = arith::MulIOp::create(b, loc, sum, scalar(coefficient));
      total = arith::AddIOp::create(b, loc, total, sum);
    }
    memref::StoreOp::create(b, loc, total, op.getInit(), ValueRange{row});
  });
  op.erase();
}
