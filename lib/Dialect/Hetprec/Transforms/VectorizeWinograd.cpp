//===- VectorizeWinograd.cpp - Tiles of 3x3 windows, as macs --------------===//
//
// The input's patches are transformed first, the weights of eight
// outputs before their products. 16 products of each word are then around 16
// additions of registers of sums, which go to their pixels a few rows of tiles
// at a time.
//
//===----------------------------------------------------------------------===//

#include "LaneLoops.h"
#include "LaneVectors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "sysmol/Dialect/Hetprec/IR/WinogradTiles.h"

using namespace mlir;
using namespace sysmol::hetprec;

static constexpr int64_t kPatch = WinogradTiles::kPatch;
static constexpr int64_t kSide = WinogradTiles::kSide;
static constexpr int64_t kRegister = WinogradTiles::kRegister;

namespace {
/// Sums and differences of registers of bytes, four a word.
class ByteVectors {
public:
  ByteVectors(OpBuilder &b, Location loc, int64_t words)
      : b(b), loc(loc), v(b, loc),
        type(VectorType::get({4 * words}, b.getI8Type())),
        wordType(VectorType::get({words}, b.getI32Type())) {}

  /// The codes of words of 4 bits, in 32 each.
  Value spread(Value words) {
    return vector::BitCastOp::create(b, loc, type, v.spreadNibbles(words));
  }
  Value toWords(Value bytes) {
    return vector::BitCastOp::create(b, loc, wordType, bytes);
  }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubIOp::create(b, loc, x, y); }
  Value add(Value x, int64_t y) { return add(x, v.splat(type, y)); }

private:
  OpBuilder &b;
  Location loc;
  LaneVectors v;
  VectorType type, wordType;
};
} // namespace

//===----------------------------------------------------------------------===//
// winograd_input
//===----------------------------------------------------------------------===//

/// `B d` of four registers.
static SmallVector<Value> transformPatch(ByteVectors &bytes,
                                         ArrayRef<Value> d) {
  return {bytes.sub(d[0], d[2]), bytes.add(d[1], d[2]), bytes.sub(d[2], d[1]),
          bytes.sub(d[1], d[3])};
}

void sysmol::hetprec::vectorizeWinogradInput(OpBuilder &b, WinogradInputOp op) {
  b.setInsertionPoint(op);
  Location loc = op.getLoc();
  LanesAttr layout = op.getLayout();
  WinogradTiles tiles = *WinogradTiles::get(layout);
  int64_t words = cast<MemRefType>(op.getInput().getType()).getDimSize(0);
  Value word = openLoop(b, loc, 0, words);
  LaneVectors v(b, loc);
  ByteVectors bytes(b, loc, kRegister);

  // The pixels 2x - left to 2x + 3 - left of a row, for 16 x.
  auto loadRow = [&](Value lane) {
    SmallVector<Value> columns;
    auto pairs = VectorType::get({kRegister}, b.getI32Type());
    for (int64_t first = 0; first < kPatch; first += 2) {
      Value pair = vector::BitCastOp::create(
          b, loc, pairs,
          v.loadVector(op.getInput(), word,
                       makeIndex(b, loc, {lane}, {1}, first), 2 * kRegister));
      columns.push_back(bytes.spread(
          arith::AndIOp::create(b, loc, pair, v.splat(pairs, 0xFFFF))));
      columns.push_back(bytes.spread(
          arith::ShRUIOp::create(b, loc, pair, v.splat(pairs, 16))));
    }
    return transformPatch(bytes, columns);
  };
  // The first `count` of a register: one store, or two that meet.
  auto storeTiles = [&](Value words, Value row, Value tile, int64_t count) {
    auto size = int64_t(llvm::bit_floor<uint64_t>(count));
    for (int64_t first = 0; first < count; first += count - size) {
      Value some = words;
      if (size < kRegister)
        some = vector::ExtractStridedSliceOp::create(b, loc, words, {first},
                                                     {size}, {1});
      v.storeVector(some, op.getInit(), row,
                    makeIndex(b, loc, {tile}, {1}, first));
      if (first + size == count)
        break;
    }
  };
  auto transform = [&](Value lane, Value plane, Value tile, int64_t count) {
    SmallVector<SmallVector<Value>> rows;
    for (int64_t i = 0; i < kPatch; ++i)
      rows.push_back(
          loadRow(makeIndex(b, loc, {lane}, {1}, i * layout.getRowStride())));
    for (int64_t j = 0; j < kPatch; ++j) {
      SmallVector<Value> column;
      for (int64_t i = 0; i < kPatch; ++i)
        column.push_back(rows[i][j]);
      column = transformPatch(bytes, column);
      for (int64_t i = 0; i < kPatch; ++i) {
        if (i != 1 || j != 1)
          column[i] = bytes.add(column[i], WinogradTiles::kInputOffset);
        storeTiles(bytes.toWords(column[i]),
                   makeIndex(b, loc, {plane}, {1}, (kPatch * i + j) * words),
                   tile, count);
      }
    }
  };

  // Chunks are written apart: a task may have some of them.
  int64_t top = op.getPads()[0], left = op.getPads()[1];
  Value chunk = openLoop(b, loc, 0, tiles.getNumChunks());
  Value plane = makeIndex(b, loc, {word, chunk},
                          {1, WinogradTiles::kPositions * words}, 0);
  Value firstRow = makeIndex(b, loc, {chunk}, {tiles.chunkRows}, 0);
  Value rest =
      arith::SubIOp::create(b, loc, v.index(tiles.getNumRows()), firstRow);
  Value rows = arith::MinUIOp::create(b, loc, rest, v.index(tiles.chunkRows));
  auto loop = scf::ForOp::create(b, loc, v.index(0), rows, v.index(1));
  b.setInsertionPointToStart(loop.getBody());
  Value row = makeIndex(b, loc, {firstRow, loop.getInductionVar()}, {1, 1}, 0);
  Value n = arith::DivUIOp::create(b, loc, row, v.index(tiles.rows));
  Value y = arith::RemUIOp::create(b, loc, row, v.index(tiles.rows));
  auto transformFrom = [&](Value x, int64_t count) {
    Value lane = makeIndex(
        b, loc, {n, y, x},
        {layout.getImageStride(), kSide * layout.getRowStride(), kSide},
        layout.laneOf(0, -top, -left));
    Value tile =
        makeIndex(b, loc, {loop.getInductionVar(), x}, {tiles.columns, 1}, 0);
    transform(lane, plane, tile, count);
  };
  if (tiles.columns <= kRegister)
    transformFrom(v.index(0), tiles.columns);
  else
    coverLanes(b, loc, v.index(0), tiles.columns, kRegister,
               /*unrolled=*/1, transformFrom);
  op.erase();
}

//===----------------------------------------------------------------------===//
// winograd_contract
//===----------------------------------------------------------------------===//

namespace {
class WinogradVectorizer {
public:
  WinogradVectorizer(OpBuilder &b, WinogradContractOp op, LaneScratch &scratch);
  void run();

private:
  /// Registers of sums of the outputs, `[output][register]`.
  using Sums = SmallVector<Value>;

  /// What is summed at once: a number of outputs from `output` on, of each some
  /// registers of tiles, from `tile` of the chunk on, whose planes begin with
  /// `plane`.
  struct Group {
    Value output, plane, tile;
    int64_t registers;
  };
  /// Sums in memory, a row every `step` for each output.
  struct Place {
    Value memory, row;
    int64_t step;
    Value lane;
  };

  void transformWeights();
  void transformWeights(Value output, Value word, int64_t count);
  /// The sums of all tiles' pixels, into `pixels`.
  void sumTiles(const Group &group);
  /// What row `row` of the positions adds to the pixels of row `line`. `seed`:
  /// of the first of its two seeds; the outer rows have none.
  void sumRow(const Group &group, Value row, Value seed, Value line);
  /// Adds the products at one position to `sums`.
  Sums addProducts(const Group &group, Value row, int64_t column,
                   const Sums &sums);
  /// What the sums at a position begin with.
  Sums makeSums(const Group &group, Value seed);
  /// Where the sums of a pixel of the tiles are.
  Place getPixel(const Group &group, Value line, int64_t x) {
    Value row = add(times(group.output, kSide * kSide), times(line, kSide));
    return {pixels, add(row, x), kSide * kSide, group.tile};
  }
  Sums load(const Place &place, const Group &group);
  void store(const Sums &sums, const Place &place, const Group &group);
  Sums combine(const Sums &x, const Sums &y, bool isDifference);
  /// The sums of a row of tiles to their pixels.
  void placeRow(Value row, Value wait);

  Value add(Value x, int64_t y) { return y == 0 ? x : add(x, v.index(y)); }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value times(Value x, int64_t y) {
    return arith::MulIOp::create(b, loc, x, v.index(y));
  }
  void forEach(int64_t first, int64_t count, int64_t step,
               function_ref<void(Value)> body) {
    v.repeat(v.index(first), count, step, {}, [&](Value i, ValueRange) {
      body(i);
      return SmallVector<Value>();
    });
  }

  static constexpr int64_t kOutputs = WinogradTiles::kOutputs;
  /// Two products of an input byte, at most 62, and a weight's, at most 72.
  static constexpr int64_t kPairBound = 2 * 62 * 72;

  OpBuilder &b;
  WinogradContractOp op;
  Location loc;
  LaneVectors v;
  WinogradTiles tiles;
  LanesAttr layout;
  int64_t words;
  /// Registers of tiles, and outputs, that are summed at once.
  int64_t registersAtOnce, outputsAtOnce;
  VectorType type;
  Value weights; // [output, position * words + word], four bytes a word
  Value pixels;  // [(output * 2 + y) * 2 + x, tile of the chunk]
  Value kept;    // [output, tile of those at once]
};
} // namespace

WinogradVectorizer::WinogradVectorizer(OpBuilder &b, WinogradContractOp op,
                                       LaneScratch &scratch)
    : b(b), op(op), loc(op.getLoc()), v(b, loc),
      tiles(*WinogradTiles::get(op.getLayout())), layout(op.getLayout()),
      words(op.getNumWords()),
      registersAtOnce(scratch.limits.dots >= 2 * kOutputs ? 2 : 1),
      outputsAtOnce(std::clamp<int64_t>(scratch.limits.dots / registersAtOnce,
                                        1, kOutputs)),
      type(VectorType::get({kRegister}, b.getI32Type())) {
  outputsAtOnce = llvm::bit_floor<uint64_t>(outputsAtOnce);
  scratch.reset();
  // Rows of weights begin in different sets of the cache.
  weights = scratch.take(b, loc, kOutputs,
                         WinogradTiles::kPositions * words + kRegister,
                         b.getI32Type());
  pixels = scratch.take(b, loc, kOutputs * kSide * kSide, tiles.getPlaneLanes(),
                        b.getI32Type());
  kept = scratch.take(b, loc, outputsAtOnce, registersAtOnce * kRegister,
                      b.getI32Type());
}

void WinogradVectorizer::transformWeights(Value output, Value word,
                                          int64_t count) {
  ByteVectors bytes(b, loc, count);
  auto wideType = VectorType::get({count}, b.getI32Type());
  auto byteType = VectorType::get({4 * count}, b.getI8Type());
  Value zero = v.splat(byteType, 0);
  // `2 G w` of three registers.
  auto transform = [&](ArrayRef<Value> w) -> SmallVector<Value> {
    Value outer = bytes.add(w[0], w[2]);
    return {bytes.add(w[0], w[0]), bytes.add(outer, w[1]),
            bytes.sub(outer, w[1]), bytes.sub(zero, bytes.add(w[2], w[2]))};
  };
  SmallVector<SmallVector<Value>> rows;
  for (int64_t y = 0; y < 3; ++y) {
    SmallVector<Value> row;
    for (int64_t x = 0; x < 3; ++x) {
      Value codes = v.loadVector(op.getRows(), output,
                                 add(word, (3 * y + x) * words), count);
      codes = arith::ExtUIOp::create(b, loc, wideType, codes);
      row.push_back(bytes.add(bytes.spread(codes), -8));
    }
    rows.push_back(transform(row));
  }
  for (int64_t j = 0; j < kPatch; ++j) {
    SmallVector<Value> column = transform({rows[0][j], rows[1][j], rows[2][j]});
    for (int64_t i = 0; i < kPatch; ++i)
      v.storeVector(bytes.toWords(column[i]), weights, output,
                    add(word, (kPatch * i + j) * words));
  }
}

void WinogradVectorizer::transformWeights() {
  forEach(0, kOutputs, 1, [&](Value output) {
    int64_t count = llvm::bit_floor<uint64_t>(std::min(words, kRegister));
    forEach(0, words / count, count,
            [&](Value word) { transformWeights(output, word, count); });
    if (words % count) // the last ones, some of them again
      transformWeights(output, v.index(words - count), count);
  });
}

WinogradVectorizer::Sums WinogradVectorizer::addProducts(const Group &group,
                                                         Value row,
                                                         int64_t column,
                                                         const Sums &sums) {
  Value first = times(add(times(row, kPatch), column), words);
  // A few words at a time, where that leaves none.
  int64_t unrolled = words % 4 == 0 ? 4 : words % 2 == 0 ? 2 : 1;
  IntegerAttr bound = b.getI64IntegerAttr(kPairBound);
  return v.repeat(
      v.index(0), words / unrolled, unrolled, sums,
      [&](Value word, ValueRange args) {
        Sums all(args);
        for (int64_t more = 0; more < unrolled; ++more) {
          Value plane = add(add(first, word), more);
          SmallVector<Value, 2> lanes;
          for (int64_t i = 0; i < group.registers; ++i)
            lanes.push_back(v.loadVector(op.getLanes(), add(group.plane, plane),
                                         add(group.tile, i * kRegister),
                                         kRegister));
          for (int64_t i = 0; i < outputsAtOnce; ++i) {
            Value weight = v.loadScalar(weights, add(group.output, i), plane);
            for (auto [j, tile] : llvm::enumerate(lanes)) {
              Value &sum = all[i * group.registers + int64_t(j)];
              sum = MacOp::create(b, loc, sum, tile, weight, /*level=*/8,
                                  /*signed_lanes=*/false, bound);
            }
          }
        }
        return all;
      });
}

WinogradVectorizer::Sums WinogradVectorizer::makeSums(const Group &group,
                                                      Value seed) {
  Sums sums;
  for (int64_t i = 0; i < outputsAtOnce; ++i) {
    Value begin = v.splat(type, 0);
    if (seed)
      begin = v.broadcast(
          v.loadScalar(op.getSeeds(), add(group.output, i), seed), kRegister);
    sums.append(group.registers, begin);
  }
  return sums;
}

WinogradVectorizer::Sums WinogradVectorizer::load(const Place &place,
                                                  const Group &group) {
  Sums sums;
  for (int64_t i = 0; i < outputsAtOnce; ++i)
    for (int64_t j = 0; j < group.registers; ++j)
      sums.push_back(v.loadVector(place.memory, add(place.row, i * place.step),
                                  add(place.lane, j * kRegister), kRegister));
  return sums;
}

void WinogradVectorizer::store(const Sums &sums, const Place &place,
                               const Group &group) {
  for (auto [i, sum] : llvm::enumerate(sums))
    v.storeVector(sum, place.memory,
                  add(place.row, int64_t(i) / group.registers * place.step),
                  add(place.lane, int64_t(i) % group.registers * kRegister));
}

WinogradVectorizer::Sums
WinogradVectorizer::combine(const Sums &x, const Sums &y, bool isDifference) {
  return llvm::map_to_vector(llvm::zip_equal(x, y), [&](auto pair) -> Value {
    auto [a, c] = pair;
    if (isDifference)
      return arith::SubIOp::create(b, loc, a, c);
    return arith::AddIOp::create(b, loc, a, c);
  });
}

// Sums go on from one another: what one adds to costs no addition.
void WinogradVectorizer::sumRow(const Group &group, Value row, Value seed,
                                Value line) {
  Place waiting{kept, v.index(0), 1, v.index(0)};
  Sums left = addProducts(group, row, 1, makeSums(group, seed));
  store(left, waiting, group);
  Sums right = addProducts(group, row, 2,
                           makeSums(group, seed ? add(seed, 1) : Value()));
  left = load(waiting, group);
  Sums both[kSide] = {combine(left, right, /*isDifference=*/false),
                      combine(left, right, /*isDifference=*/true)};
  // The outer rows go on from what the middle ones left.
  if (!seed)
    for (int64_t x = 0; x < kSide; ++x)
      both[x] = combine(both[x], load(getPixel(group, line, x), group),
                        /*isDifference=*/false);
  store(both[1], waiting, group);
  for (int64_t x = 0; x < kSide; ++x)
    store(addProducts(group, row, (kPatch - 1) * x,
                      x == 0 ? both[0] : load(waiting, group)),
          getPixel(group, line, x), group);
}

// Rows 1 and 2 of the positions come first: both rows of pixels have them.
void WinogradVectorizer::sumTiles(const Group &group) {
  forEach(0, kSide, 1, [&](Value line) {
    sumRow(group, add(line, 1), times(line, kSide), line);
  });
  for (int64_t x = 0; x < kSide; ++x) {
    Place first = getPixel(group, v.index(0), x);
    Place second = getPixel(group, v.index(1), x);
    Sums one = load(first, group), other = load(second, group);
    store(combine(one, other, /*isDifference=*/false), first, group);
    store(combine(one, other, /*isDifference=*/true), second, group);
  }
  forEach(0, kSide, 1, [&](Value line) {
    sumRow(group, times(line, kPatch - 1), Value(), line);
  });
}

void WinogradVectorizer::placeRow(Value row, Value wait) {
  Value n = arith::DivUIOp::create(b, loc, row, v.index(tiles.rows));
  Value y = arith::RemUIOp::create(b, loc, row, v.index(tiles.rows));
  int64_t rowStride = layout.getRowStride();
  Value begin =
      makeIndex(b, loc, {n, y}, {layout.getImageStride(), kSide * rowStride},
                layout.getBase());
  // Exact: sums of tiles are multiples of four.
  int64_t factor = op.getCoefficient(), shift = 2;
  for (; shift > 0 && factor % 2 == 0; --shift)
    factor /= 2;
  auto scale = [&](Value sums) {
    auto sumsType = cast<VectorType>(sums.getType());
    if (shift)
      sums = arith::ShRSIOp::create(b, loc, sums, v.splat(sumsType, shift));
    return factor == 1
               ? sums
               : arith::MulIOp::create(b, loc, sums, v.splat(sumsType, factor));
  };
  auto placePixels = [&](Value output, int64_t line, Value x, int64_t count) {
    Value kinds[kSide];
    for (int64_t i = 0; i < kSide; ++i) {
      Value kind = add(times(output, kSide * kSide), kSide * line + i);
      kinds[i] = scale(v.loadVector(pixels, kind, add(wait, x), count));
    }
    Value lane = add(add(begin, times(x, kSide)), line * rowStride);
    v.storeVector(v.interleave({kinds[0], kinds[1]}), op.getInit(), output,
                  lane);
  };
  auto placeLine = [&](int64_t line) {
    int64_t count =
        llvm::bit_floor<uint64_t>(std::min(tiles.columns, kRegister));
    forEach(0, kOutputs, 1, [&](Value output) {
      forEach(0, tiles.columns / count, count,
              [&](Value x) { placePixels(output, line, x, count); });
      if (tiles.columns % count) // the last ones, some of them again
        placePixels(output, line, v.index(tiles.columns - count), count);
    });
  };
  placeLine(0);
  if (layout.getHeight() % kSide == 0)
    return placeLine(1);
  // The last row of tiles goes on below the image.
  Value isInside = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, y,
                                         v.index(tiles.rows - 1));
  auto branch = scf::IfOp::create(b, loc, isInside, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  placeLine(1);
}

void WinogradVectorizer::run() {
  auto outer = dyn_cast<scf::ForOp>(op->getParentOp());
  bool isInParallelLoop = outer && outer->hasAttr(kParallelAttrName);
  transformWeights();
  int64_t chunks = tiles.getNumChunks();
  int64_t whole = tiles.getNumRegisters(tiles.chunkRows);
  int64_t last = tiles.getNumRegisters(tiles.getLastRows());
  // Loops whose bounds depend on the chunk: their code is there once.
  auto loopTo = [&](Value count, function_ref<void(Value)> body) {
    auto loop = scf::ForOp::create(b, loc, v.index(0), count, v.index(1));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    body(loop.getInductionVar());
  };
  loopTo(v.index(chunks), [&](Value chunk) {
    // No two chunks have a pixel: a task may have some of them, if it makes
    // the weights for itself. By itself this loop would be a statement of its
    // own, without them.
    if (isInParallelLoop)
      chunk.getParentBlock()->getParentOp()->setAttr(kParallelAttrName,
                                                     b.getUnitAttr());
    Value isLast = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq,
                                         chunk, v.index(chunks - 1));
    auto pick = [&](int64_t ofLast, int64_t ofOthers) -> Value {
      return arith::SelectOp::create(b, loc, isLast, v.index(ofLast),
                                     v.index(ofOthers));
    };
    Value row = times(chunk, tiles.chunkRows);
    Value plane = times(chunk, WinogradTiles::kPositions * words);
    auto sum = [&](Value tile, int64_t registers) {
      forEach(0, kOutputs / outputsAtOnce, outputsAtOnce, [&](Value output) {
        sumTiles({output, plane, tile, registers});
      });
    };
    int64_t most = registersAtOnce;
    loopTo(pick(last / most, whole / most),
           [&](Value i) { sum(times(i, most * kRegister), most); });
    // One register is left of an odd number.
    auto sumRest = [&] {
      sum(pick((last - 1) * kRegister, (whole - 1) * kRegister), 1);
    };
    bool isLastOdd = last % most != 0, areOthersOdd = whole % most != 0;
    if (isLastOdd && (areOthersOdd || chunks == 1)) {
      sumRest();
    } else if (isLastOdd || (areOthersOdd && chunks > 1)) {
      Value isOdd = isLast;
      if (areOthersOdd)
        isOdd = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, chunk,
                                      v.index(chunks - 1));
      auto branch = scf::IfOp::create(b, loc, isOdd, /*withElseRegion=*/false);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(branch.thenBlock());
      sumRest();
    }
    loopTo(pick(tiles.getLastRows(), tiles.chunkRows),
           [&](Value i) { placeRow(add(row, i), times(i, tiles.columns)); });
  });
}

void sysmol::hetprec::vectorizeWinogradContract(OpBuilder &b,
                                                WinogradContractOp op,
                                                LaneScratch &scratch) {
  b.setInsertionPoint(op);
  WinogradVectorizer(b, op, scratch).run();
  op.erase();
}
