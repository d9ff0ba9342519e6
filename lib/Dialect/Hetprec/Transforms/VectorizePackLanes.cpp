//===- VectorizePackLanes.cpp - Codes and reals to words of lanes ---------===//
//
// A register of a word's lanes is made at once, of one register of each of its
// channels. Linear in what is read.
//
//===----------------------------------------------------------------------===//

#include "LaneLoops.h"
#include "LaneVectors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace sysmol::hetprec;

/// Reals of a cache line, and how many of them are asked for ahead: 8 KiB.
static constexpr int64_t kLineReals = 16, kRealsAhead = 2048;

namespace {
class LanePacker {
public:
  LanePacker(OpBuilder &b, PackLanesOp op)
      : b(b), op(op), loc(op.getLoc()), v(b, loc), level(op.getLevel()),
        isSigned(op.getIsSigned()),
        inputType(cast<MemRefType>(op.getInput().getType())),
        wordType(cast<MemRefType>(op.getInit().getType()).getElementType()) {}

  void run();

private:
  /// Channel `channel` of the pixels.
  Value load(const Pixels &pixels, Value channel, int64_t stride);
  /// HP24: what comes from outside may lie outside its level.
  Value restrict(Value codes);
  /// A word of the pixels, of the channels in its slots.
  Value makeWord(const Pixels &pixels, int64_t stride,
                 llvm::function_ref<Value(int64_t)> channelOf);
  /// HP7 to HP10, in the low bits of 32; the others are not specified.
  Value quantize(Value reals);

  OpBuilder &b;
  PackLanesOp op;
  Location loc;
  LaneVectors v;
  int64_t level;
  bool isSigned;
  MemRefType inputType;
  Type wordType;
};
} // namespace

Value LanePacker::load(const Pixels &pixels, Value channel, int64_t stride) {
  return loadStrided(
      b, loc, pixels.lanes, stride, [&](int64_t move, int64_t lanes) {
        SmallVector<Value> at = {pixels.n, channel};
        if (inputType.getRank() == 4)
          at.append({pixels.y, makeIndex(b, loc, {pixels.x}, {1}, move)});
        auto type = VectorType::get({lanes}, inputType.getElementType());
        // Reals come from far memory, rows of several channels at a time.
        if (isa<FloatType>(inputType.getElementType())) {
          for (int64_t lane = 0; lane < lanes; lane += kLineReals) {
            SmallVector<Value> ahead(at);
            ahead.back() =
                makeIndex(b, loc, {at.back()}, {1}, lane + kRealsAhead);
            memref::PrefetchOp::create(b, loc, op.getInput(), ahead,
                                       /*isWrite=*/false, /*localityHint=*/3,
                                       /*isDataCache=*/true);
          }
        }
        return vector::LoadOp::create(b, loc, type, op.getInput(), at)
            .getResult();
      });
}

Value LanePacker::restrict(Value codes) {
  auto type = cast<VectorType>(codes.getType());
  if (level < 8)
    return arith::AndIOp::create(b, loc, codes,
                                 v.splat(type, (1 << level) - 1));
  if (!isSigned)
    return codes;
  codes = arith::MaxSIOp::create(b, loc, codes, v.splat(type, -127));
  return arith::XOrIOp::create(b, loc, codes, v.splat(type, -128)); // + 128
}

Value LanePacker::quantize(Value reals) {
  auto type = cast<VectorType>(reals.getType());
  bool isMidrise = isSigned && level < 8;
  float high = float((1 << level) - 1), low = 0;
  if (isMidrise)
    low = -float(1 << (level - 1)), high += low;
  else if (isSigned)
    low = -127, high = 127;
  Value x = arith::MulFOp::create(
      b, loc, reals,
      v.splatReal(type, op.getMultiplierAttr().getValue().convertToFloat()));
  auto select = [&](arith::CmpFPredicate predicate, Value other,
                    Value otherwise) {
    Value test = arith::CmpFOp::create(b, loc, predicate, x, other);
    x = arith::SelectOp::create(b, loc, test, x, otherwise);
  };
  // The bounds are integers: clamping before rounding is the same. NaN compares
  // false and takes the lowest code, or the symmetric level's 0 (HP10).
  if (isSigned && level == 8)
    select(arith::CmpFPredicate::OEQ, x, v.splatReal(type, 0));
  Value lowest = v.splatReal(type, low), highest = v.splatReal(type, high);
  select(arith::CmpFPredicate::OGT, lowest, lowest);
  select(arith::CmpFPredicate::OLT, highest, highest);
  if (isMidrise) { // rounds down; counts from 0
    Value code = v.floorToInt(x);
    return arith::SubIOp::create(
        b, loc, code, v.splat(cast<VectorType>(code.getType()), int64_t(low)));
  }
  Value code = v.roundReal(x);
  if (!isSigned)
    return code;
  return arith::AddIOp::create(b, loc, code,
                               v.splat(cast<VectorType>(code.getType()), 128));
}

Value LanePacker::makeWord(const Pixels &pixels, int64_t stride,
                           function_ref<Value(int64_t)> channelOf) {
  bool isReal = isa<FloatType>(inputType.getElementType());
  // Codes of reals are 32 bits wide, and stay so until the word is full.
  Type element = isReal ? Type(b.getI32Type()) : wordType;
  auto type = VectorType::get({pixels.lanes}, element);
  Value all;
  for (int64_t slot = 0; slot < getChannelsPerWord(level); ++slot) {
    Value channel = channelOf(slot);
    if (!channel)
      continue;
    Value code = load(pixels, channel, stride);
    if (isReal) {
      code = arith::AndIOp::create(b, loc, quantize(code),
                                   v.splat(type, (1 << level) - 1));
    } else {
      code = restrict(code);
      if (type != code.getType())
        code = arith::ExtUIOp::create(b, loc, type, code);
    }
    if (slot > 0)
      code = arith::ShLIOp::create(b, loc, code, v.splat(type, level * slot));
    all = all ? arith::OrIOp::create(b, loc, all, code) : code;
  }
  if (!all)
    all = v.splat(type, 0);
  if (element == wordType)
    return all;
  return arith::TruncIOp::create(b, loc, type.clone(wordType), all);
}

void LanePacker::run() {
  int64_t images = inputType.getDimSize(0), height = 1, width = 1;
  if (inputType.getRank() == 4) {
    height = inputType.getDimSize(2);
    width = inputType.getDimSize(3);
  }
  auto image = LanesAttr::get(b.getContext(), images, height, width,
                              /*rowStride=*/width,
                              /*imageStride=*/height * width, /*base=*/0,
                              /*size=*/images * height * width);
  std::array<int64_t, 2> strides = {1, 1}, pads = {0, 0};
  SmallVector<int64_t> phases = {0};
  if (!op.getPhases().empty()) {
    phases = llvm::to_vector(op.getPhases());
    llvm::copy(op.getStrides(), strides.begin());
    llvm::copy(op.getPads(), pads.begin());
  }
  int64_t perWord = getChannelsPerWord(level);
  int64_t words = int64_t(op.getChannels().size()) / perWord;
  // Lanes of one register of words; of wider strides each is loaded by itself.
  constexpr int64_t kMostScalars = 4;
  int64_t most = 8 * kLaneBlock / wordType.getIntOrFloatBitWidth();
  if (strides[1] > 2)
    most = kMostScalars;

  SmallVector<PhasePixels> pixelsOf;
  for (int64_t phase : phases)
    pixelsOf.emplace_back(image, op.getLayout(), strides, pads,
                          phase / strides[1], phase % strides[1]);
  b.setInsertionPoint(op);
  auto planeOf = [&](Value phase, Value word) {
    return makeIndex(b, loc, {word, phase}, {1, words}, 0);
  };
  writePhases(
      b, loc, op.getLayout(), strides, pixelsOf, most, /*unrolled=*/1,
      [&](Value phase, const Pixels &pixels) {
        forWords(b, loc, op.getChannels(), perWord,
                 [&](Value word, function_ref<Value(int64_t)> channelOf) {
                   v.storeVector(makeWord(pixels, strides[1], channelOf),
                                 op.getInit(), planeOf(phase, word),
                                 pixels.target);
                 });
      },
      [&](Value phase, Value lane, int64_t lanes) {
        OpBuilder::InsertionGuard guard(b);
        Value word = openLoop(b, loc, 0, words);
        clearLanes(b, loc, op.getInit(), planeOf(phase, word), lane, lanes);
      });
}

void sysmol::hetprec::vectorizePackLanes(OpBuilder &b, PackLanesOp op) {
  LanePacker(b, op).run();
  op.erase();
}
