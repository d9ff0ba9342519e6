//===- SpreadNibbles.cpp - 4-bit words to bytes, once a layer -------------===//
//
// Linear in the number of ops.
//
//===----------------------------------------------------------------------===//

#include "LaneVectors.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"
#include "llvm/ADT/DenseMap.h"

namespace sysmol::hetprec {
#define GEN_PASS_DEF_SPREADNIBBLESPASS
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"
} // namespace sysmol::hetprec

using namespace mlir;
using namespace sysmol::hetprec;

namespace {

/// Which nibble goes to byte i.
enum class Order {
  InTurn,      ///< nibble i: rows, and lanes beside outputs
  MiddleTurned ///< nibbles 0, 2, 1, 3: lanes; two instructions
};

struct SpreadNibblesPass
    : sysmol::hetprec::impl::SpreadNibblesPassBase<SpreadNibblesPass> {
  void runOnOperation() override {
    getOperation().walk([&](ContractOutputsOp op) {
      for (auto [level, lanes] :
           llvm::zip_equal(op.getLevels(), op.getLanesMutable()))
        if (level == 4)
          lanes.set(spreadOnce(lanes.get(), Order::InTurn));
    });
    getOperation().walk([&](ContractOp op) {
      if (op.getSums())
        return;
      int64_t factor = takeFactor(op);
      for (auto [level, rows, lanes] : llvm::zip_equal(
               op.getLevels(), op.getRowsMutable(), op.getLanesMutable())) {
        if (level != 4)
          continue;
        // Tables in front of their only reader, to be short-lived.
        rows.set(spread(rows.get(), op, Order::InTurn, factor));
        lanes.set(spreadOnce(lanes.get(), Order::MiddleTurned));
      }
    });
    spreadLanes.clear();
  }

private:
  /// The i16 words of `words` as i32 words, times `factor`, made in front of
  /// `reader` or else behind their definition.
  Value spread(Value words, Operation *reader, Order order, int64_t factor = 1);
  static bool isPacked(Value words) {
    auto type = dyn_cast<RankedTensorType>(words.getType());
    return type && type.getElementTypeBitWidth() == 16;
  }
  /// What the rows of level 4 may be multiplied with, so that their sums need
  /// not be; the coefficient is 1 then.
  static int64_t takeFactor(ContractOp op);
  /// Lanes, which several contracts may read.
  Value spreadOnce(Value lanes, Order order) {
    Value &bytes = spreadLanes[{lanes, int(order)}];
    if (!bytes)
      bytes = spread(lanes, nullptr, order);
    return bytes;
  }

  DenseMap<std::pair<Value, int>, Value> spreadLanes;
};

} // namespace

int64_t SpreadNibblesPass::takeFactor(ContractOp op) {
  // Sums that are finished in registers are of the last level.
  if (op.getUniformRows() || !op.getStarts().empty() ||
      op.getLevels().back() != 4)
    return 1;
  SmallVector<int64_t> coefficients(op.getCoefficients());
  int64_t factor = coefficients.back();
  if (factor < 2 || factor > kMostRowFactor)
    return 1;
  for (auto [level, coefficient, rows] :
       llvm::zip_equal(op.getLevels(), coefficients, op.getRows())) {
    if (level != 4)
      continue;
    if (!isPacked(rows) || coefficient != factor)
      return 1;
    coefficient = 1;
  }
  op.setCoefficients(coefficients);
  return factor;
}

Value SpreadNibblesPass::spread(Value words, Operation *reader, Order order,
                                int64_t factor) {
  if (!isPacked(words))
    return words;
  auto type = cast<RankedTensorType>(words.getType());
  OpBuilder b(&getContext());
  if (reader)
    b.setInsertionPoint(reader);
  else
    b.setInsertionPointAfterValue(words);
  Location loc = words.getLoc();
  Value empty =
      tensor::EmptyOp::create(b, loc, type.getShape(), b.getI32Type());
  AffineMap identity = b.getMultiDimIdentityMap(2);
  SmallVector<utils::IteratorType> parallel(2, utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(
      b, loc, TypeRange{empty.getType()}, ValueRange{words}, ValueRange{empty},
      {identity, identity}, parallel,
      [order, factor](OpBuilder &nb, Location loc, ValueRange args) {
        auto constant = [&](int64_t value) -> Value {
          return arith::ConstantOp::create(nb, loc,
                                           nb.getI32IntegerAttr(value));
        };
        auto step = [&](Value x, int64_t shift, int64_t mask) -> Value {
          Value moved = arith::ShLIOp::create(nb, loc, x, constant(shift));
          Value both = arith::OrIOp::create(nb, loc, x, moved);
          return arith::AndIOp::create(nb, loc, both, constant(mask));
        };
        Value word = arith::ExtUIOp::create(nb, loc, nb.getI32Type(), args[0]);
        if (order == Order::MiddleTurned) {
          word = step(word, 12, 0x0F0F0F0F);
        } else {
          // Bytes apart, then the nibbles in each.
          word = step(word, 8, 0x00FF00FF);
          word = step(word, 4, 0x0F0F0F0F);
        }
        if (factor != 1) // no byte of 15 times that leaves its place
          word = arith::MulIOp::create(nb, loc, word, constant(factor));
        linalg::YieldOp::create(nb, loc, word);
      });
  ++numSpread;
  return generic.getResult(0);
}
