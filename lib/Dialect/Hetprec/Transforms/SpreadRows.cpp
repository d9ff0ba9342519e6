//===- SpreadRows.cpp - 4-bit row words to bytes, once a layer ------------===//
//
// Linear in the number of ops.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"

namespace sysmol::hetprec {
#define GEN_PASS_DEF_SPREADROWSPASS
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"
} // namespace sysmol::hetprec

using namespace mlir;
using namespace sysmol::hetprec;

/// Nibble i of each i16 word to byte i of an i32 word.
static Value spread(OpBuilder &b, Location loc, Value rows) {
  auto type = cast<RankedTensorType>(rows.getType());
  Value empty =
      tensor::EmptyOp::create(b, loc, type.getShape(), b.getI32Type());
  AffineMap identity = b.getMultiDimIdentityMap(2);
  SmallVector<utils::IteratorType> parallel(2, utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(
      b, loc, TypeRange{empty.getType()}, ValueRange{rows}, ValueRange{empty},
      {identity, identity}, parallel,
      [](OpBuilder &nb, Location loc, ValueRange args) {
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
        // Bytes apart, then the nibbles in each.
        word = step(word, 8, 0x00FF00FF);
        word = step(word, 4, 0x0F0F0F0F);
        linalg::YieldOp::create(nb, loc, word);
      });
  return generic.getResult(0);
}

namespace {
struct SpreadRowsPass
    : sysmol::hetprec::impl::SpreadRowsPassBase<SpreadRowsPass> {
  void runOnOperation() override {
    OpBuilder b(&getContext());
    getOperation().walk([&](ContractOp op) {
      for (auto [level, rows] :
           llvm::zip_equal(op.getLevels(), op.getRowsMutable())) {
        auto type = dyn_cast<RankedTensorType>(rows.get().getType());
        if (level != 4 || !type || type.getElementTypeBitWidth() != 16)
          continue;
        b.setInsertionPoint(op);
        rows.set(spread(b, op.getLoc(), rows.get()));
        ++numSpread;
      }
    });
  }
};
} // namespace
