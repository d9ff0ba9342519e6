//===- HetprecToVector.cpp - Generic lowerings of mac and its neighbours --===//

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

static Value makeSplat(OpBuilder &b, Location loc, VectorType type,
                       int64_t value) {
  return arith::ConstantOp::create(
      b, loc,
      DenseElementsAttr::get(type,
                             b.getIntegerAttr(type.getElementType(), value)));
}

/// What makes `(k - 1) a + 3 [k = 0]` of `k a`, modulo 256: of the operand that
/// is centred three times its codes 0, less the other one's codes. One of both
/// is a scalar, and what is a vector is the same for all rows.
static Value makeCentring(OpBuilder &b, MacOp op, Centred centred) {
  Location loc = op.getLoc();
  auto splat = [&](Type type, int64_t value) -> Value {
    if (auto vector = dyn_cast<VectorType>(type))
      return makeSplat(b, loc, vector, value);
    return arith::ConstantOp::create(b, loc, b.getIntegerAttr(type, value));
  };
  auto sumFields = [&](Value x) {
    Value sum;
    for (int64_t i = 0; i < getChannelsPerWord(2); ++i) {
      Value field = x;
      if (i > 0)
        field = arith::ShRUIOp::create(b, loc, x, splat(x.getType(), 2 * i));
      field = arith::AndIOp::create(b, loc, field, splat(x.getType(), 3));
      sum = sum ? arith::AddIOp::create(b, loc, sum, field) : field;
    }
    return sum;
  };
  Value codes = op.getRow(), others = op.getLanes();
  if (centred == Centred::Lanes)
    std::swap(codes, others);
  Type type = codes.getType();
  // Fields of 3 where the code is 0.
  Value high = arith::ShRUIOp::create(b, loc, codes, splat(type, 1));
  Value low = arith::OrIOp::create(b, loc, codes, high);
  low = arith::AndIOp::create(b, loc, low, splat(type, 0b010101));
  low = arith::XOrIOp::create(b, loc, low, splat(type, 0b010101));
  Value zeros = arith::AddIOp::create(b, loc, low,
                                      arith::AddIOp::create(b, loc, low, low));
  Value more = sumFields(zeros), less = sumFields(others);
  for (Value *part : {&more, &less})
    if (!isa<VectorType>(part->getType()))
      *part =
          vector::BroadcastOp::create(b, loc, op.getLanes().getType(), *part);
  return arith::SubIOp::create(b, loc, more, less);
}

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

/// Three 2-bit fields: the lanes masked by the row's low bits count once, those
/// masked by its high bits twice. No multiplication, which bytes do not have on
/// most machines.
struct LowerTwoBitMac : OpRewritePattern<MacOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MacOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getLevel() != 2)
      return rewriter.notifyMatchFailure(op, "not level 2");
    Location loc = op.getLoc();
    auto type = cast<VectorType>(op.getLanes().getType());
    auto scalar = [&](int64_t value) -> Value {
      return arith::ConstantOp::create(rewriter, loc,
                                       rewriter.getI8IntegerAttr(value));
    };
    auto splat = [&](int64_t value) {
      return makeSplat(rewriter, loc, type, value);
    };
    auto add = [&](Value a, Value b) -> Value {
      return arith::AddIOp::create(rewriter, loc, a, b);
    };
    auto both = [&](Value a, Value b) -> Value {
      return arith::AndIOp::create(rewriter, loc, a, b);
    };
    auto shift = [&](Value a, int64_t by) -> Value {
      return arith::ShRUIOp::create(rewriter, loc, a, splat(by));
    };
    // Lanes where bit `bit` of the row's field is set.
    auto masked = [&](int64_t bit) -> Value {
      Value bits =
          arith::ShRUIOp::create(rewriter, loc, op.getRow(), scalar(bit));
      bits = arith::AndIOp::create(rewriter, loc, bits, scalar(0b010101));
      bits = arith::MulIOp::create(rewriter, loc, bits, scalar(3));
      return both(op.getLanes(),
                  vector::BroadcastOp::create(rewriter, loc, type, bits));
    };
    auto weighted = [&](Value once, Value twice) {
      return add(once, add(twice, twice));
    };
    Value low = masked(0), high = masked(1);
    // Fields 0 and 2 in one nibble each (at most 9), field 1 in another.
    Value outer =
        weighted(both(low, splat(0b110011)), both(high, splat(0b110011)));
    Value middle =
        weighted(both(shift(low, 2), splat(3)), both(shift(high, 2), splat(3)));
    Value sum = add(both(outer, splat(15)), shift(outer, 4));
    Value grown = add(op.getAcc(), add(sum, middle));
    if (std::optional<Centred> centred = op.getCentred())
      grown = add(grown, makeCentring(rewriter, op, *centred));
    rewriter.replaceOp(op, grown);
    return success();
  }
};

/// Four bytes times four nibbles: two products at a time in 16 bits, where
/// their sum (at most 450) has room and machines multiply fastest.
struct LowerNibbleMac : OpRewritePattern<MacOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MacOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getLevel() != 4)
      return rewriter.notifyMatchFailure(op, "not level 4");
    Location loc = op.getLoc();
    auto type = cast<VectorType>(op.getLanes().getType());
    auto pairs =
        VectorType::get({2 * type.getNumElements()}, rewriter.getI16Type());
    Type i32 = rewriter.getI32Type();
    auto constant = [&](Type of, int64_t value) -> Value {
      IntegerAttr attr = rewriter.getI32IntegerAttr(value);
      if (auto vector = dyn_cast<VectorType>(of))
        return arith::ConstantOp::create(rewriter, loc,
                                         DenseElementsAttr::get(vector, attr));
      return arith::ConstantOp::create(rewriter, loc, attr);
    };
    auto both = [&](Value a, int64_t mask) -> Value {
      return arith::AndIOp::create(rewriter, loc, a,
                                   constant(a.getType(), mask));
    };
    auto shift = [&](Value a, int64_t right) -> Value {
      Value by = constant(a.getType(), std::abs(right));
      if (right < 0)
        return arith::ShLIOp::create(rewriter, loc, a, by);
      return arith::ShRUIOp::create(rewriter, loc, a, by);
    };
    auto add = [&](Value a, Value b) -> Value {
      return arith::AddIOp::create(rewriter, loc, a, b);
    };
    auto multiply = [&](Value lanes, Value row) -> Value {
      Value all = vector::BroadcastOp::create(rewriter, loc, type, row);
      return arith::MulIOp::create(
          rewriter, loc, vector::BitCastOp::create(rewriter, loc, pairs, lanes),
          vector::BitCastOp::create(rewriter, loc, pairs, all));
    };
    // Bytes and nibbles 0 and 2; then 1 and 3.
    Value word = arith::ExtUIOp::create(rewriter, loc, i32, op.getRow());
    Value evenRow = add(both(word, 0xF), both(shift(word, -8), 0xF0000));
    Value oddRow =
        add(both(shift(word, 4), 0xF), both(shift(word, -4), 0xF0000));
    Value even = multiply(both(op.getLanes(), 0x00FF00FF), evenRow);
    Value odd = multiply(both(shift(op.getLanes(), 8), 0x00FF00FF), oddRow);
    Value sum = vector::BitCastOp::create(rewriter, loc, type, add(even, odd));
    Value total = add(both(sum, 0xFFFF), shift(sum, 16));
    rewriter.replaceOp(op, add(op.getAcc(), total));
    return success();
  }
};

/// Four unsigned bytes times four signed bytes.
struct LowerByteMac : OpRewritePattern<MacOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MacOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getLevel() != 8)
      return rewriter.notifyMatchFailure(op, "not level 8");
    Location loc = op.getLoc();
    auto type = cast<VectorType>(op.getLanes().getType());
    auto constant = [&](int64_t value) -> Value {
      return arith::ConstantOp::create(rewriter, loc,
                                       rewriter.getI32IntegerAttr(value));
    };
    auto splat = [&](int64_t value) {
      return makeSplat(rewriter, loc, type, value);
    };
    auto unsignedByte = [&](Value x, int64_t i, auto make) -> Value {
      x = arith::ShRUIOp::create(rewriter, loc, x, make(8 * i));
      return arith::AndIOp::create(rewriter, loc, x, make(255));
    };
    auto signedByte = [&](Value x, int64_t i, auto make) -> Value {
      x = arith::ShLIOp::create(rewriter, loc, x, make(24 - 8 * i));
      return arith::ShRSIOp::create(rewriter, loc, x, make(24));
    };
    Value sum = op.getAcc();
    for (int64_t i = 0; i < 4; ++i) {
      Value lane = op.getSignedLanes() ? signedByte(op.getLanes(), i, splat)
                                       : unsignedByte(op.getLanes(), i, splat);
      Value field = op.getSignedLanes() ? unsignedByte(op.getRow(), i, constant)
                                        : signedByte(op.getRow(), i, constant);
      Value row = vector::BroadcastOp::create(rewriter, loc, type, field);
      sum = arith::AddIOp::create(
          rewriter, loc, sum, arith::MulIOp::create(rewriter, loc, lane, row));
    }
    rewriter.replaceOp(op, sum);
    return success();
  }
};

/// Codes clamped, shifted to their slots and put together.
struct LowerJoinCodes : OpRewritePattern<JoinCodesOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(JoinCodesOp op,
                                PatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    auto type = cast<VectorType>(op.getSlot0().getType());
    auto splat = [&](int64_t value) {
      return makeSplat(rewriter, loc, type, value);
    };
    int64_t level = op.getLevel();
    Value word;
    for (auto [slot, code] : llvm::enumerate(op->getOperands())) {
      Value x = arith::MaxSIOp::create(rewriter, loc, code, splat(0));
      x = arith::MinSIOp::create(rewriter, loc, x, splat((1 << level) - 1));
      if (slot == 0) {
        word = x;
        continue;
      }
      x = arith::ShLIOp::create(rewriter, loc, x, splat(level * slot));
      word = arith::OrIOp::create(rewriter, loc, word, x);
    }
    if (word.getType() != op.getResult().getType())
      word = arith::TruncIOp::create(rewriter, loc, op.getResult().getType(),
                                     word);
    rewriter.replaceOp(op, word);
    return success();
  }
};

/// Lanes saturated, narrowed, and shuffled.
struct LowerNarrowLanes : OpRewritePattern<NarrowLanesOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(NarrowLanesOp op,
                                PatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    auto type = cast<VectorType>(op.getLow().getType());
    auto splat = [&](int64_t value) {
      return makeSplat(rewriter, loc, type, value);
    };
    auto narrow = [&](Value x) -> Value {
      x = arith::MaxSIOp::create(rewriter, loc, x, splat(-32768));
      x = arith::MinSIOp::create(rewriter, loc, x, splat(32767));
      return arith::TruncIOp::create(rewriter, loc,
                                     type.clone(rewriter.getI16Type()), x);
    };
    SmallVector<int64_t> evenFirst;
    for (int64_t first : {0, 1})
      for (int64_t i = first; i < 2 * type.getNumElements(); i += 2)
        evenFirst.push_back(i);
    rewriter.replaceOpWithNewOp<vector::ShuffleOp>(
        op, narrow(op.getLow()), narrow(op.getHigh()), evenFirst);
    return success();
  }
};

/// Bits shifted to their places and put together. Shifted in 16 bits, which
/// all machines can; what comes from the neighbour is masked.
struct LowerSpareWord : OpRewritePattern<SpareWordOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SpareWordOp op,
                                PatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    auto type = cast<VectorType>(op.getResult().getType());
    auto pairs =
        VectorType::get({type.getNumElements() / 2}, rewriter.getI16Type());
    auto splat = [&](int64_t value) {
      return makeSplat(rewriter, loc, pairs, value);
    };
    Value word;
    for (auto [slot, operand] : llvm::enumerate(op->getOperands())) {
      Value x = vector::BitCastOp::create(rewriter, loc, pairs, operand);
      x = arith::ShRUIOp::create(rewriter, loc, x, splat(6 - 2 * slot));
      x = arith::AndIOp::create(rewriter, loc, x, splat(0x0303 << 2 * slot));
      word = slot == 0 ? x : arith::OrIOp::create(rewriter, loc, word, x);
    }
    rewriter.replaceOpWithNewOp<vector::BitCastOp>(op, type, word);
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
  patterns.add<LowerBitMac, LowerTwoBitMac, LowerNibbleMac, LowerByteMac,
               LowerJoinCodes, LowerNarrowLanes, LowerSpareWord>(
      patterns.getContext(), benefit);
}
