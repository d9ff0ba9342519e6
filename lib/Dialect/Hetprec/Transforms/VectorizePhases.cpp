//===- VectorizePhases.cpp - Rows of pixels to phases and bytes -----------===//
//
// Rows of a plane go to planes of their phases, whole registers at a time; what
// is no pixel there becomes zero on the way. Linear in what is written.
//
//===----------------------------------------------------------------------===//

#include "LaneLoops.h"
#include "LaneVectors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sysmol::hetprec;

/// Registers of a row that are written out.
static constexpr int64_t kUnrolled = 4;

/// Lanes of one register of `words`.
static int64_t getLanesPerRegister(Value words) {
  return 8 * kLaneBlock /
         cast<MemRefType>(words.getType()).getElementTypeBitWidth();
}

//===----------------------------------------------------------------------===//
// split_phases
//===----------------------------------------------------------------------===//

void sysmol::hetprec::lowerSplitPhases(OpBuilder &b, SplitPhasesOp op) {
  Location loc = op.getLoc();
  int64_t planes = cast<MemRefType>(op.getInput().getType()).getDimSize(0);
  int64_t strideX = op.getStrides()[1];
  // Of wider strides each lane is loaded by itself.
  constexpr int64_t kMostScalars = 4;
  int64_t most = getLanesPerRegister(op.getInit());
  if (strideX > 2)
    most = kMostScalars;
  std::array<int64_t, 2> strides = {op.getStrides()[0], strideX};
  SmallVector<PhasePixels> phases;
  for (int64_t phase : op.getPhases())
    phases.emplace_back(op.getFrom(), op.getTo(), strides, op.getPads(),
                        phase / strideX, phase % strideX);
  b.setInsertionPoint(op);
  Value g = openLoop(b, loc, 0, planes);
  auto planeOf = [&](Value phase) {
    return makeIndex(b, loc, {g, phase}, {1, planes}, 0);
  };
  writePhases(
      b, loc, op.getTo(), strides, phases, most, kUnrolled,
      [&](Value phase, const Pixels &p) {
        LaneVectors v(b, loc);
        Value words = loadStrided(
            b, loc, p.lanes, strideX, [&](int64_t move, int64_t lanes) {
              return v.loadVector(op.getInput(), g,
                                  getLane(b, loc, op.getFrom(), p, move),
                                  lanes);
            });
        v.storeVector(words, op.getInit(), planeOf(phase), p.target);
      },
      [&](Value phase, Value lane, int64_t lanes) {
        clearLanes(b, loc, op.getInit(), planeOf(phase), lane, lanes);
      });
  op.erase();
}

//===----------------------------------------------------------------------===//
// spread_lanes
//===----------------------------------------------------------------------===//

namespace {
/// Loads a number of words, some lanes on.
using Load = llvm::function_ref<Value(int64_t move, int64_t lanes)>;
} // namespace

/// One register for each byte of `lanes` words of `count` bytes.
static SmallVector<Value> spreadBytes(OpBuilder &b, Location loc, Load load,
                                      int64_t lanes, int64_t count) {
  auto loadBytes = [&](int64_t move, int64_t size) -> Value {
    return vector::BitCastOp::create(
        b, loc, VectorType::get({count * size}, b.getI8Type()),
        load(move, size));
  };
  auto shuffle = [&](Value x, Value y, int64_t size, auto pick) -> Value {
    return vector::ShuffleOp::create(
        b, loc, x, y, llvm::map_to_vector(llvm::seq(size), pick));
  };
  if (count == 1)
    return {loadBytes(0, lanes)};
  SmallVector<Value> ofByte;
  if (count != 4 || lanes != kLaneBlock) {
    Value all = loadBytes(0, lanes);
    for (int64_t i = 0; i < count; ++i)
      ofByte.push_back(shuffle(all, all, lanes,
                               [=](int64_t lane) { return lane * count + i; }));
    return ofByte;
  }
  // Of four registers, two bytes of two at a time: eight shuffles, not twelve.
  constexpr int64_t half = kLaneBlock / 2, quarter = kLaneBlock / 4;
  Value words[4];
  for (auto [i, word] : llvm::enumerate(words))
    word = loadBytes(int64_t(i) * quarter, quarter);
  for (int64_t byte = 0; byte < count; byte += 2) {
    auto pick = [=](int64_t i) { return i % half * count + byte + i / half; };
    Value low = shuffle(words[0], words[1], lanes, pick);
    Value high = shuffle(words[2], words[3], lanes, pick);
    for (int64_t first : {int64_t(0), half})
      ofByte.push_back(shuffle(low, high, lanes, [=](int64_t i) {
        return first + i + (i < half ? 0 : half);
      }));
  }
  return ofByte;
}

/// The codes in slot `s` of `lanes` words, one a byte, for every slot.
static SmallVector<Value> spreadSlots(OpBuilder &b, Location loc, Load load,
                                      int64_t lanes, int64_t level) {
  LaneVectors v(b, loc);
  SmallVector<Value> ofByte =
      spreadBytes(b, loc, load, lanes, getWordBits(level) / 8);
  if (level == 8)
    return ofByte;
  auto bytes = VectorType::get({lanes}, b.getI8Type());
  // Codes do not cross bytes; machines shift no single ones.
  auto shifted =
      lanes == 1 ? bytes : VectorType::get({lanes / 2}, b.getI16Type());
  int64_t mask = (1 << level) - 1;
  if (lanes > 1)
    mask |= mask << 8;
  SmallVector<Value> slots;
  for (int64_t slot = 0; slot < getChannelsPerWord(level); ++slot) {
    Value x =
        vector::BitCastOp::create(b, loc, shifted, ofByte[slot * level / 8]);
    if (int64_t by = slot * level % 8)
      x = arith::ShRUIOp::create(b, loc, x, v.splat(shifted, by));
    x = arith::AndIOp::create(b, loc, x, v.splat(shifted, mask));
    slots.push_back(vector::BitCastOp::create(b, loc, bytes, x));
  }
  return slots;
}

void sysmol::hetprec::lowerSpreadLanes(OpBuilder &b, SpreadLanesOp op) {
  Location loc = op.getLoc();
  int64_t level = op.getLevel();
  int64_t perWord = getChannelsPerWord(level), channels = op.getChannels();
  auto initType = cast<MemRefType>(op.getInit().getType());
  int64_t planes = initType.getDimSize(0) / op.getNumPhases();
  std::array<int64_t, 2> strides = {int64_t(op.getStride()), 1};
  SmallVector<PhasePixels> phases;
  for (int64_t row : op.getRowPhases())
    phases.emplace_back(*op.getFrom(), *op.getTo(), strides, op.getPads(), row,
                        /*column=*/0);
  // Words `[first, last)`, the first `slots` slots of them.
  auto spread = [&](int64_t first, int64_t last, int64_t slots) {
    if (first == last)
      return;
    b.setInsertionPoint(op);
    Value word = openLoop(b, loc, first, last);
    LaneVectors v(b, loc);
    auto planeOf = [&](Value phase, int64_t slot) {
      return makeIndex(b, loc, {word, phase}, {perWord, planes},
                       int64_t(op.getFirst()) + slot);
    };
    auto copy = [&](Value phase, Value source, Value target, int64_t lanes) {
      SmallVector<Value> bytes = spreadSlots(
          b, loc,
          [&](int64_t move, int64_t count) {
            return v.loadVector(op.getInput(), word,
                                makeIndex(b, loc, {source}, {1}, move), count);
          },
          lanes, level);
      for (int64_t slot = 0; slot < slots; ++slot)
        v.storeVector(bytes[slot], op.getInit(), planeOf(phase, slot), target);
    };
    if (phases.empty()) {
      Value block = openLoop(b, loc, 0, initType.getDimSize(1) / kLaneBlock);
      Value lane = makeIndex(b, loc, {block}, {kLaneBlock}, 0);
      return copy(v.index(0), lane, lane, kLaneBlock);
    }
    writePhases(
        b, loc, *op.getTo(), strides, phases, kLaneBlock, kUnrolled,
        [&](Value phase, const Pixels &p) {
          copy(phase, getLane(b, loc, *op.getFrom(), p), p.target, p.lanes);
        },
        [&](Value phase, Value lane, int64_t lanes) {
          for (int64_t slot = 0; slot < slots; ++slot)
            clearLanes(b, loc, op.getInit(), planeOf(phase, slot), lane, lanes);
        });
  };
  spread(0, channels / perWord, perWord);
  spread(channels / perWord, llvm::divideCeil(channels, perWord),
         channels % perWord);
  op.erase();
}
