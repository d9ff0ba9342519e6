//===- VectorizeUnpackLanes.cpp - Rows out of wide planes -----------------===//
//
// A product's result has channels side by side, its planes have rows: squares
// of 16 by 16 are turned round in registers.
//
//===----------------------------------------------------------------------===//

#include "LaneVectors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace sysmol::hetprec;

/// Rows and columns of a square.
static constexpr int64_t kSquare = 16;

/// Whether rows of the result are lanes that follow one another, 32 bits each.
static bool hasRowsOfLanes(UnpackLanesOp op) {
  auto type = cast<MemRefType>(op.getInit().getType());
  LanesAttr layout = op.getLayout();
  return type.getRank() == 2 && type.getElementTypeBitWidth() == kSquare * 2 &&
         layout.getImageStride() == 1 && layout.getBase() % kLaneBlock == 0;
}

/// Turns 16 planes from `plane` on into 16 channels from `channel` on.
static void unpackPlanes(LaneVectors &v, OpBuilder &b, UnpackLanesOp op,
                         Value plane, Value channel) {
  Location loc = op.getLoc();
  int64_t images = op.getLayout().getImages();
  auto add = [&](Value x, int64_t y) -> Value {
    return arith::AddIOp::create(b, loc, x, v.index(y));
  };
  // The first `rows` rows of a block, which begins with row `first`.
  auto unpackBlock = [&](Value first, int64_t rows) {
    Value lane = add(first, op.getLayout().getBase());
    for (int64_t k = 0; k < kLaneBlock / kSquare; ++k) {
      // The even lanes of a block come first.
      int64_t half = kLaneBlock / 2 / kSquare;
      int64_t row = 2 * kSquare * (k % half) + k / half;
      if (row >= rows)
        continue;
      SmallVector<Value> square;
      for (int64_t i = 0; i < kSquare; ++i)
        square.push_back(v.loadVector(op.getInput(), add(plane, i),
                                      add(lane, k * kSquare), kSquare));
      v.transpose(square);
      for (int64_t i = 0; i < kSquare && row + 2 * i < rows; ++i)
        v.storeVector(square[i], op.getInit(), add(first, row + 2 * i),
                      channel);
    }
  };
  int64_t whole = images / kLaneBlock;
  v.repeat(v.index(0), whole, kLaneBlock, {}, [&](Value first, ValueRange) {
    unpackBlock(first, kLaneBlock);
    return SmallVector<Value>();
  });
  if (int64_t rest = images % kLaneBlock)
    unpackBlock(v.index(whole * kLaneBlock), rest);
}

SmallVector<int64_t> sysmol::hetprec::vectorizeUnpackLanes(OpBuilder &b,
                                                           UnpackLanesOp op) {
  SmallVector<int64_t> channels(op.getChannels());
  if (!hasRowsOfLanes(op))
    return channels;
  Location loc = op.getLoc();
  LaneVectors v(b, loc);
  int64_t count = channels.size();
  for (int64_t first = 0; first < count;) {
    int64_t last = first + 1;
    while (last < count && channels[first] >= 0 &&
           channels[last] == channels[last - 1] + 1)
      ++last;
    int64_t squares = (last - first) / kSquare;
    if (squares > 0) {
      OpBuilder::InsertionGuard guard(b);
      auto loop = scf::ForOp::create(
          b, loc, v.index(0), v.index(squares * kSquare), v.index(kSquare));
      loop->setAttr(kParallelAttrName, b.getUnitAttr());
      b.setInsertionPointToStart(loop.getBody());
      auto from = [&](int64_t begin) -> Value {
        return arith::AddIOp::create(b, loc, loop.getInductionVar(),
                                     v.index(begin));
      };
      unpackPlanes(v, b, op, from(first), from(channels[first]));
      std::fill_n(channels.begin() + first, squares * kSquare, -1);
    }
    first = last;
  }
  return channels;
}
