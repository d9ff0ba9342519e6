//===- HetprecToVector.cpp - The generic lowering of mac ------------------===//

#include "sysmol/Conversion/HetprecToVector/HetprecToVector.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

namespace sysmol {
#define GEN_PASS_DEF_CONVERTHETPRECTOVECTORPASS
#include "sysmol/Conversion/Passes.h.inc"
} // namespace sysmol

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

namespace {

/// AND and population count.
struct LowerBitMac : OpRewritePattern<MacOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MacOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getLevel() != 1)
      return rewriter.notifyMatchFailure(op, "not level 1");
    Location loc = op.getLoc();
    Value row = vector::BroadcastOp::create(
        rewriter, loc, op.getLanes().getType(), op.getRow());
    Value product = arith::AndIOp::create(rewriter, loc, op.getLanes(), row);
    Value count = math::CtPopOp::create(rewriter, loc, product);
    rewriter.replaceOpWithNewOp<arith::AddIOp>(op, op.getAcc(), count);
    return success();
  }
};

/// Fields multiplied one by one: of 2 bits on both sides (level 2), bytes by
/// nibbles (level 4), bytes by signed bytes (level 8).
struct LowerFieldMac : OpRewritePattern<MacOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MacOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getLevel() == 1)
      return rewriter.notifyMatchFailure(op, "level 1 has no fields");
    Location loc = op.getLoc();
    auto type = cast<VectorType>(op.getLanes().getType());
    Type element = type.getElementType();
    int64_t level = op.getLevel(), width = level == 2 ? 2 : 8;
    Value word = op.getRow();
    if (level == 4)
      word = arith::ExtUIOp::create(rewriter, loc, element, word);
    int64_t fields = getChannelsPerWord(level);
    auto constant = [&](int64_t value) -> Value {
      return arith::ConstantOp::create(rewriter, loc,
                                       rewriter.getIntegerAttr(element, value));
    };
    auto splat = [&](int64_t value) -> Value {
      return arith::ConstantOp::create(
          rewriter, loc,
          DenseElementsAttr::get(type,
                                 rewriter.getIntegerAttr(element, value)));
    };
    int64_t mask = (int64_t(1) << width) - 1;
    Value sum = op.getAcc();
    for (int64_t i = 0; i < fields; ++i) {
      Value lane = arith::ShRUIOp::create(rewriter, loc, op.getLanes(),
                                          splat(i * width));
      lane = arith::AndIOp::create(rewriter, loc, lane, splat(mask));
      Value field;
      if (level != 8) {
        field =
            arith::ShRUIOp::create(rewriter, loc, word, constant(i * level));
        field = arith::AndIOp::create(rewriter, loc, field,
                                      constant((int64_t(1) << level) - 1));
      } else {
        field = arith::ShLIOp::create(rewriter, loc, word,
                                      constant(24 - i * width));
        field = arith::ShRSIOp::create(rewriter, loc, field, constant(24));
      }
      Value row = vector::BroadcastOp::create(rewriter, loc, type, field);
      Value product = arith::MulIOp::create(rewriter, loc, lane, row);
      sum = arith::AddIOp::create(rewriter, loc, sum, product);
    }
    rewriter.replaceOp(op, sum);
    return success();
  }
};

struct ConvertHetprecToVectorPass
    : sysmol::impl::ConvertHetprecToVectorPassBase<ConvertHetprecToVectorPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateHetprecToVectorPatterns(patterns);
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace

void sysmol::populateHetprecToVectorPatterns(RewritePatternSet &patterns,
                                             PatternBenefit benefit) {
  patterns.add<LowerBitMac, LowerFieldMac>(patterns.getContext(), benefit);
}
