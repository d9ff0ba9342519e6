//===- VectorizeContract.cpp - A contract tile as loops of mac ------------===//

#include "ByteSums.h"
#include "ContractSums.h"
#include "LaneVectors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sysmol::hetprec;

namespace {

/// The sums of a tile's levels are in scratch memory; a loop over the rows adds
/// them up and runs the epilogue.
class ContractVectorizer {
public:
  ContractVectorizer(OpBuilder &b, ContractOp op, LaneScratch &scratch)
      : b(b), op(op), loc(op.getLoc()), v(b, loc), scratch(scratch),
        blocks(op.getLaneCount() / kLaneBlock) {}

  void run();

private:
  /// The biases of a row's sums.
  LanePair makeBias(Value row, int64_t block);
  /// A level's sums, in the op's width of sums.
  LanePair loadSums(const LevelSums &sums, Value row, int64_t block);
  /// Whether a row has one bias for all lanes.
  bool isRowBiasUniform() {
    Value bias = op.getRowBias();
    return !bias || cast<MemRefType>(bias.getType()).getRank() == 1;
  }
  /// Whether sums of bytes are put in order when they are codes: nothing that
  /// differs by lane is added to them before.
  bool areOrderedLast() {
    return op.getLaneBytes() == 1 && op.getEpilogue() == Epilogue::Codes &&
           op.getOutLevel() > 2 && op.getSumBits() == 32 && !op.getLaneBias() &&
           isRowBiasUniform();
  }
  /// Whether codes of four rows are clamped where they become words.
  bool areJoined() {
    return op.getEpilogue() == Epilogue::Codes && op.getOutLevel() > 2 &&
           op.getInRange() && !op.getLaneBytes();
  }
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
  /// Sums from memory, without sign, in the op's width of sums.
  Value fitSum(Value sum);
  /// All levels of a row, in memory.
  LanePair addUp(ArrayRef<LevelSums> levels, Value row, int64_t block);
  /// All levels of a row, a pair for each block.
  SmallVector<LanePair> addUp(ArrayRef<LevelSums> levels, Value row);
  /// Runs `body` with every word of codes and the number of its rows.
  void forWords(function_ref<void(Value word, int64_t slots)> body);
  void writeCodes(ArrayRef<LevelSums> levels);
  void writeJoinedCodes(ArrayRef<LevelSums> levels);
  /// Whether sums of dot products go from registers into the epilogue.
  bool areFinishedInRegisters();
  void finishInRegisters();
  /// Words of the rows from `row` of a tile on, of its lanes from quarter
  /// `first` on; `getSums` gives a row's sums of two quarters.
  void writeTileWords(const DotTile &tile, int64_t row, int64_t slots,
                      function_ref<Value(int64_t, int64_t)> getSums);
  /// A row's sums of two quarters from `first` on, by every other epilogue.
  void writeTileRow(const DotTile &tile, int64_t row, int64_t first,
                    Value sums);
  /// What is added to the sums of a tile, `[row][quarter]`.
  SmallVector<Value> makeTileBias(const DotTile &tile);
  /// Where a wide plane has the even lanes of two quarters in turn.
  Value getWideHalf(const DotTile &tile, int64_t first);
  /// HP17: `carrier` onto what was there.
  Value addCarrier(Value onto, Value carrier);
  int64_t getLowestCarrier() { return op.getRelu() ? 0 : kLowestCarrier; }
  void writeRow(Value row, int64_t block, LanePair sum);

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
};

} // namespace

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

LanePair ContractVectorizer::loadSums(const LevelSums &sums, Value row,
                                      int64_t block) {
  LanePair sum =
      sums.order == SumOrder::Wide
          ? v.loadPair(sums.memory, row, block)
          : v.loadPairInTurn(sums.memory, row, block, op.getSumBits());
  return sum.map([&](Value x) { return fitSum(x); });
}

Value ContractVectorizer::fitSum(Value sum) {
  VectorType type = v.half(b.getIntegerType(op.getSumBits()));
  if (cast<VectorType>(sum.getType()).getElementTypeBitWidth() >
      type.getElementTypeBitWidth())
    return v.resize(sum, op.getSumBits());
  if (sum.getType() != type)
    return arith::ExtUIOp::create(b, loc, type, sum);
  return sum;
}

LanePair ContractVectorizer::addUp(ArrayRef<LevelSums> levels, Value row,
                                   int64_t block) {
  LanePair total = makeBias(row, block);
  for (const LevelSums &sums : levels)
    total = add(total, times(loadSums(sums, row, block), sums.coefficient));
  return total;
}

SmallVector<LanePair> ContractVectorizer::addUp(ArrayRef<LevelSums> levels,
                                                Value row) {
  SmallVector<LanePair> totals;
  for (int64_t block = 0; block < blocks; ++block)
    totals.push_back(makeBias(row, block));
  for (const LevelSums &sums : levels) {
    SmallVector<LanePair> parts;
    if (!sums.memory)
      parts = sumByteLanes(b, op, sums.segment, row);
    for (auto [block, total] : llvm::enumerate(totals)) {
      LanePair part = sums.memory ? loadSums(sums, row, block) : parts[block];
      if (!sums.memory && !areOrderedLast())
        part = orderByteLanes(b, loc, part, op.getLaneBytes(), op.getSumBits());
      total = add(total, times(part, sums.coefficient));
    }
  }
  return totals;
}

void ContractVectorizer::forWords(function_ref<void(Value, int64_t)> body) {
  int64_t perWord = getChannelsPerWord(op.getOutLevel());
  int64_t whole = op.getNumRows() / perWord;
  repeat(0, whole, 1, {}, [&](Value word, ValueRange) {
    body(word, perWord);
    return SmallVector<Value>();
  });
  if (int64_t rest = op.getNumRows() % perWord)
    body(v.index(whole), rest);
}

void ContractVectorizer::writeCodes(ArrayRef<LevelSums> levels) {
  int64_t level = op.getOutLevel(), perWord = getChannelsPerWord(level);
  Type wordType = b.getIntegerType(level <= 2 ? 16 : getWordBits(level));
  SmallVector<Value> empty(2 * blocks, v.splat(v.half(wordType), 0));
  auto addSlot = [&](Value firstRow, Value slot, ValueRange args) {
    Value row = arith::AddIOp::create(b, loc, firstRow, slot);
    SmallVector<Value> carried(args);
    for (auto [block, sum] : llvm::enumerate(addUp(levels, row))) {
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
  forWords(writeWord);
}

/// A word's four codes at once. Lanes stay in turn where all sums are.
void ContractVectorizer::writeJoinedCodes(ArrayRef<LevelSums> levels) {
  int64_t level = op.getOutLevel(), perWord = getChannelsPerWord(level);
  bool inTurn = !op.getLaneBias() && isRowBiasUniform() &&
                llvm::all_of(levels, [](const LevelSums &sums) {
                  return sums.order == SumOrder::InTurn;
                });
  auto sumRow = [&](Value row, int64_t block) {
    if (!inTurn)
      return addUp(levels, row, block);
    LanePair total = makeBias(row, block);
    for (const LevelSums &sums : levels) {
      LanePair halves = v.loadPair(sums.memory, row, block).map([&](Value x) {
        return fitSum(x);
      });
      total = add(total, times(halves, sums.coefficient));
    }
    return total;
  };
  auto writeWord = [&](Value word, int64_t slots) {
    Value firstRow = arith::MulIOp::create(b, loc, word, v.index(perWord));
    for (int64_t block = 0; block < blocks; ++block) {
      SmallVector<Value, 4> even, odd;
      for (int64_t slot = 0; slot < slots; ++slot) {
        Value row = arith::AddIOp::create(b, loc, firstRow, v.index(slot));
        LanePair codes = sumRow(row, block).map([&](Value x) {
          return v.roundByRule(x, op.getMultiplier(), op.getOffset(), row,
                               level, op.getOutSigned());
        });
        even.push_back(codes.even);
        odd.push_back(codes.odd);
      }
      LanePair words{v.joinCodes(even, level), v.joinCodes(odd, level)};
      if (!inTurn) {
        v.storeWords(words, level, op.getMask(), op.getInit(), word, block);
        continue;
      }
      for (auto [i, half] : llvm::enumerate(ArrayRef{words.even, words.odd}))
        v.storeWordsInTurn(half, op.getMask(), op.getInit(), word,
                           v.index(block * kLaneBlock + i * kLaneBlock / 2));
    }
  };
  forWords(writeWord);
}

Value ContractVectorizer::getWideHalf(const DotTile &tile, int64_t first) {
  Value lane =
      arith::AddIOp::create(b, loc, tile.lane, v.index(first * kLaneBlock / 4));
  Value block = arith::AndIOp::create(b, loc, lane, v.index(~(kLaneBlock - 1)));
  Value half = arith::AndIOp::create(b, loc, lane, v.index(kLaneBlock / 2));
  half = arith::ShRUIOp::create(b, loc, half, v.index(1));
  return arith::AddIOp::create(b, loc, block, half);
}

SmallVector<Value> ContractVectorizer::makeTileBias(const DotTile &tile) {
  constexpr int64_t quarter = kLaneBlock / 4;
  VectorType type = VectorType::get({quarter}, b.getI32Type());
  SmallVector<Value> lanes(tile.quarters);
  if (op.getLaneBias()) {
    auto load = [&](Value lane, int64_t more) {
      lane = arith::AddIOp::create(b, loc, lane, v.index(more));
      return v.resize(v.loadVector(op.getLaneBias(), v.index(0), lane, quarter),
                      32);
    };
    if (tile.order == SumOrder::Wide) {
      for (auto [i, lane] : llvm::enumerate(lanes))
        lane = load(tile.lane, i * quarter);
    } else {
      for (int64_t i = 0; i < tile.quarters; i += 2) {
        Value even = getWideHalf(tile, i);
        Value all = v.interleave({load(even, 0), load(even, kLaneBlock / 2)});
        for (int64_t j : {0, 1})
          lanes[i + j] = v.slice(all, j * quarter, quarter);
      }
    }
  }
  SmallVector<Value> bias;
  for (int64_t r = 0; r < tile.numRows; ++r) {
    Value row;
    if (op.getRowBias())
      row = v.resize(
          v.broadcast(v.loadScalar(op.getRowBias(), v.index(tile.firstRow + r)),
                      quarter),
          32);
    for (Value lane : lanes) {
      if (!lane && !row)
        bias.push_back(v.splat(type, 0));
      else if (lane && row)
        bias.push_back(arith::AddIOp::create(b, loc, lane, row));
      else
        bias.push_back(lane ? lane : row);
    }
  }
  return bias;
}

void ContractVectorizer::writeTileWords(
    const DotTile &tile, int64_t row, int64_t slots,
    function_ref<Value(int64_t, int64_t)> getSums) {
  constexpr int64_t quarter = kLaneBlock / 4;
  int64_t level = op.getOutLevel(), perWord = getChannelsPerWord(level);
  // Words of 32 lanes.
  auto makeWords = [&](int64_t first) {
    SmallVector<Value, 8> codes;
    for (int64_t slot = 0; slot < slots; ++slot) {
      Value number = v.index(tile.firstRow + row + slot);
      Value sums = getSums(row + slot, first);
      codes.push_back(level > 2
                          ? v.roundByRule(v.resize(sums, 32),
                                          op.getMultiplier(), op.getOffset(),
                                          number, level, op.getOutSigned())
                          : v.countThresholdsInTurn(sums, op.getThresholds(),
                                                    number, level, slot));
    }
    if (level > 2)
      return v.joinCodes(codes, level);
    Value words = codes.front();
    for (Value code : ArrayRef(codes).drop_front())
      words = arith::OrIOp::create(b, loc, words, code);
    return words;
  };
  Value word = v.index((tile.firstRow + row) / perWord);
  auto store = [&](Value words, int64_t first) {
    Value lane =
        arith::AddIOp::create(b, loc, tile.lane, v.index(first * quarter));
    v.storeWordsInTurn(words, op.getMask(), op.getInit(), word, lane);
  };
  if (tile.order == SumOrder::Wide)
    return store(v.interleave({makeWords(0), makeWords(2)}), 0);
  for (int64_t first = 0; first < tile.quarters; first += 2)
    store(makeWords(first), first);
}

void ContractVectorizer::writeTileRow(const DotTile &tile, int64_t row,
                                      int64_t first, Value sums) {
  constexpr int64_t quarter = kLaneBlock / 4, half = kLaneBlock / 2;
  Value number = v.index(tile.firstRow + row);
  // Even lanes and odd ones of a wide plane, which lie half a block apart.
  Value even = getWideHalf(tile, first);
  Value odd = arith::AddIOp::create(b, loc, even, v.index(half));
  auto store = [&](Value sorted) {
    for (auto [i, lane] : llvm::enumerate(ArrayRef{even, odd}))
      v.storeVector(v.slice(sorted, i * quarter, quarter), op.getInit(), number,
                    lane);
  };
  auto toCarrier = [&](int64_t lowest) {
    return v.toSortedCarrier(sums, op.getMultiplier(), op.getOffset(), number,
                             op.getInRange(), lowest);
  };
  switch (op.getEpilogue()) {
  case Epilogue::Accumulator:
    return store(v.sort(v.resize(
        sums,
        cast<MemRefType>(op.getInit().getType()).getElementTypeBitWidth())));
  case Epilogue::Real:
    return store(v.sort(
        v.scaleByRule(sums, op.getMultiplier(), op.getOffset(), number)));
  case Epilogue::Carrier:
    return store(toCarrier(getLowestCarrier()));
  case Epilogue::CarrierAdd: {
    Value onto =
        v.concatenate(v.loadVector(op.getInit(), number, even, quarter),
                      v.loadVector(op.getInit(), number, odd, quarter));
    return store(addCarrier(onto, toCarrier(kLowestCarrier)));
  }
  case Epilogue::Codes:
    llvm_unreachable("codes are written a word at a time");
  }
}

bool ContractVectorizer::areFinishedInRegisters() {
  SmallVector<int64_t> segments = getDotSegments(op);
  if (segments.empty() || op.getBiasRows() || !isRowBiasUniform())
    return false;
  bool inTurn = getDotOrder(op, segments.front()) == SumOrder::InTurn;
  if (inTurn && areFewDots(scratch.limits.dots))
    return false;
  // The rows of a word come together, two registers of each; of nibbles, four.
  if (scratch.limits.dots < (inTurn ? 2 : 4) * op.getRowsPerWord())
    return false;
  bool alone = segments.size() == op.getLevels().size();
  // Dot products have 32 bits; what is added in 16 takes half the registers.
  if (!alone && op.getSumBits() == 16)
    return false;
  // Even and odd lanes of nibbles are put in turn where words are.
  if (!inTurn || op.getOutLevel() > 2)
    return areJoined();
  // Byte sums have even lanes and odd ones, as wide planes have: to put them in
  // turn and back costs what is saved.
  return alone || op.getEpilogue() == Epilogue::Codes;
}

void ContractVectorizer::finishInRegisters() {
  constexpr int64_t quarter = kLaneBlock / 4;
  VectorType type = VectorType::get({quarter}, b.getI32Type());
  bool isCodes = op.getEpilogue() == Epilogue::Codes;
  int64_t perWord = isCodes ? getChannelsPerWord(op.getOutLevel()) : 1;
  int64_t coefficient = op.getCoefficients()[getDotSegments(op).front()];
  auto times = [&](Value x, int64_t factor) -> Value {
    if (factor == 1)
      return x;
    return arith::MulIOp::create(b, loc, x, v.splat(type, factor));
  };
  auto begin = [&](const DotTile &tile, ArrayRef<LevelSums> others) {
    SmallVector<Value> first(tile.numRows * tile.quarters, v.splat(type, 0));
    if (coefficient == 1)
      first = makeTileBias(tile);
    for (const LevelSums &sums : others)
      for (auto [i, total] : llvm::enumerate(first)) {
        Value lane = arith::AddIOp::create(
            b, loc, tile.lane, v.index(i % tile.quarters * quarter));
        Value part = v.loadVector(sums.memory,
                                  v.index(tile.firstRow + i / tile.quarters),
                                  lane, quarter);
        // What is known to have a sign is multiplied and added at once by
        // machines that have 16-bit dot products.
        if (part.getType() != type && sums.largest <= INT16_MAX)
          part = arith::ExtSIOp::create(b, loc, type, part);
        else if (part.getType() != type)
          part = arith::ExtUIOp::create(b, loc, type, part);
        total = arith::AddIOp::create(
            b, loc, total, times(part, sums.coefficient / coefficient));
      }
    return first;
  };
  auto finish = [&](const DotTile &tile, ValueRange sums) {
    SmallVector<Value> totals(sums);
    if (coefficient != 1)
      for (auto [total, bias] : llvm::zip_equal(totals, makeTileBias(tile)))
        total = arith::AddIOp::create(b, loc, times(total, coefficient), bias);
    auto getSums = [&](int64_t row, int64_t i) {
      Value both = v.concatenate(totals[row * tile.quarters + i],
                                 totals[row * tile.quarters + i + 1]);
      return v.resize(both, op.getSumBits()); // exact modulo 2^16
    };
    for (int64_t row = 0; row < tile.numRows; row += perWord) {
      if (isCodes) {
        writeTileWords(tile, row, std::min(perWord, tile.numRows - row),
                       getSums);
        continue;
      }
      for (int64_t i = 0; i < tile.quarters; i += 2)
        writeTileRow(tile, row, i, getSums(row, i));
    }
  };
  forDotTiles(b, op, scratch, perWord, begin, finish);
}

Value ContractVectorizer::addCarrier(Value onto, Value carrier) {
  auto type = cast<VectorType>(carrier.getType());
  Value total = LLVM::SAddSat::create(b, loc, type, onto, carrier);
  // HP17 is symmetric; the instruction's lowest value is one less.
  return arith::MaxSIOp::create(b, loc, total,
                                v.splat(type, getLowestCarrier()));
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
    return store(sum.map([&](Value x) {
      return v.scaleByRule(x, op.getMultiplier(), op.getOffset(), row);
    }));
  case Epilogue::Carrier:
    return store(sum.map([&](Value x) {
      return v.toCarrier(x, op.getMultiplier(), op.getOffset(), row,
                         op.getInRange(), getLowestCarrier());
    }));
  case Epilogue::CarrierAdd: {
    LanePair base = v.loadPair(op.getInit(), row, block);
    auto addTo = [&](Value x, Value onto) {
      return addCarrier(onto,
                        v.toCarrier(x, op.getMultiplier(), op.getOffset(), row,
                                    op.getInRange(), kLowestCarrier));
    };
    return store({addTo(sum.even, base.even), addTo(sum.odd, base.odd)});
  }
  case Epilogue::Codes:
    llvm_unreachable("codes are written a word at a time");
  }
}

void ContractVectorizer::run() {
  if (areFinishedInRegisters())
    return finishInRegisters();
  SmallVector<LevelSums> levels;
  if (op.getSums())
    levels.push_back({0, op.getSums(), SumOrder::InTurn, 1});
  else if (op.getLaneBytes())
    for (auto [segment, coefficient] : llvm::enumerate(op.getCoefficients()))
      levels.push_back({int64_t(segment), {}, SumOrder::Wide, coefficient});
  else
    levels = sumLevels(b, op, scratch);
  if (areJoined())
    return writeJoinedCodes(levels);
  if (op.getEpilogue() == Epilogue::Codes)
    return writeCodes(levels);
  repeat(0, op.getNumRows(), 1, {}, [&](Value row, ValueRange) {
    for (auto [block, sum] : llvm::enumerate(addUp(levels, row)))
      writeRow(row, block, sum);
    return SmallVector<Value>();
  });
}

void sysmol::hetprec::vectorizeContract(OpBuilder &b, ContractOp op,
                                        LaneScratch &scratch) {
  b.setInsertionPoint(op);
  scratch.reset();
  if (!op.isWindowSum())
    return vectorizeContractTile(b, op, scratch);
  vectorizeWindowSums(b, op, scratch);
  op.erase();
}

void sysmol::hetprec::vectorizeContractTile(OpBuilder &b, ContractOp op,
                                            LaneScratch &scratch) {
  ContractVectorizer(b, op, scratch).run();
  op.erase();
}
