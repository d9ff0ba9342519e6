//===- HetprecToX86.cpp - mac and its neighbours on AVX-512 ---------------===//

#include "sysmol/Conversion/HetprecToX86/HetprecToX86.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"
#include "sysmol/Conversion/HetprecToVector/HetprecToVector.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

namespace sysmol {
#define GEN_PASS_DEF_CONVERTHETPRECTOX86PASS
#include "sysmol/Conversion/Passes.h.inc"
} // namespace sysmol

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

/// Row `w`, byte `a`: the sum of the products of the three 2-bit fields.
static StringRef getProductTable(std::optional<Centred> centred) {
  if (!centred)
    return "__hetprec_products_2x2x3";
  return *centred == Centred::Row ? "__hetprec_products_2x2x3_centred_row"
                                  : "__hetprec_products_2x2x3_centred_lanes";
}

static void createProductTable(ModuleOp module,
                               std::optional<Centred> centred) {
  SmallVector<int8_t> products;
  for (int w = 0; w < 64; ++w)
    for (int a = 0; a < 64; ++a) {
      int64_t sum = 0;
      for (int i = 0; i < 6; i += 2)
        sum += MacOp::getProduct(w >> i & 3, a >> i & 3, centred);
      products.push_back(int8_t(sum));
    }
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  auto shape = RankedTensorType::get({64, 64}, b.getI8Type());
  memref::GlobalOp::create(
      b, module.getLoc(), getProductTable(centred), b.getStringAttr("private"),
      MemRefType::get({64, 64}, b.getI8Type()),
      DenseElementsAttr::get(shape, ArrayRef<int8_t>(products)),
      /*constant=*/true, b.getI64IntegerAttr(64));
}

namespace {

/// One VPERMB looks three products up in each of 64 lanes.
struct LowerTwoBitMac : OpRewritePattern<MacOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MacOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getLevel() != 2)
      return rewriter.notifyMatchFailure(op, "not level 2");
    auto type = cast<VectorType>(op.getLanes().getType());
    if (type.getNumElements() != 64)
      return rewriter.notifyMatchFailure(op, "VPERMB works on 64 lanes");
    Location loc = op.getLoc();
    Value table = memref::GetGlobalOp::create(
        rewriter, loc, MemRefType::get({64, 64}, rewriter.getI8Type()),
        getProductTable(op.getCentred()));
    Value row = arith::IndexCastUIOp::create(
        rewriter, loc, rewriter.getIndexType(), op.getRow());
    Value zero = arith::ConstantIndexOp::create(rewriter, loc, 0);
    Value products = vector::LoadOp::create(rewriter, loc, type, table,
                                            ValueRange{row, zero});
    Value found = LLVM::CallIntrinsicOp::create(
                      rewriter, loc, type,
                      rewriter.getStringAttr("llvm.x86.avx512.permvar.qi.512"),
                      ValueRange{products, op.getLanes()})
                      .getResult(0);
    rewriter.replaceOpWithNewOp<arith::AddIOp>(op, op.getAcc(), found);
    return success();
  }
};

/// VPDPBUSD: four unsigned bytes times four signed ones in each of 16 lanes.
struct LowerDotMac : OpRewritePattern<MacOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MacOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getLevel() < 4)
      return rewriter.notifyMatchFailure(op, "not level 4 or 8");
    auto type = cast<VectorType>(op.getLanes().getType());
    if (type.getNumElements() != 16)
      return rewriter.notifyMatchFailure(op, "VPDPBUSD works on 16 lanes");
    Location loc = op.getLoc();
    auto bytes = VectorType::get({64}, rewriter.getI8Type());
    Value lanes =
        vector::BitCastOp::create(rewriter, loc, bytes, op.getLanes());
    Value word = op.getRow();
    if (op.getLevel() == 4) {
      // Nibbles to bytes: one PDEP instead of shifts and masks.
      Type i32 = rewriter.getI32Type();
      Value wide = arith::ExtUIOp::create(rewriter, loc, i32, word);
      Value places = arith::ConstantOp::create(
          rewriter, loc, rewriter.getI32IntegerAttr(0x0F0F0F0F));
      word = LLVM::CallIntrinsicOp::create(
                 rewriter, loc, i32,
                 rewriter.getStringAttr("llvm.x86.bmi.pdep.32"),
                 ValueRange{wide, places})
                 .getResult(0);
    }
    Value row = vector::BitCastOp::create(
        rewriter, loc, bytes,
        vector::BroadcastOp::create(rewriter, loc, type, word));
    // The first factor is the unsigned one.
    if (op.getSignedLanes())
      std::swap(lanes, row);
    rewriter.replaceOpWithNewOp<LLVM::CallIntrinsicOp>(
        op, type, rewriter.getStringAttr("llvm.x86.avx512.vpdpbusd.512"),
        ValueRange{op.getAcc(), lanes, row});
    return success();
  }
};

/// Narrowing instructions clamp: VPACKSSDW to 16 bits, which loses nothing that
/// VPACKUSWB does not clamp, too. They take turns by four lanes of 32 bits, so
/// that a pixel's codes stay in their 128 bits; a VPSHUFB puts them together.
struct LowerJoinCodes : OpRewritePattern<JoinCodesOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(JoinCodesOp op,
                                PatternRewriter &rewriter) const override {
    auto type = cast<VectorType>(op.getSlot0().getType());
    int64_t lanes = type.getNumElements(), level = op.getLevel();
    if (lanes % (level == 4 ? 32 : 16) != 0)
      return rewriter.notifyMatchFailure(op, "not whole registers");
    Location loc = op.getLoc();
    auto shorts = VectorType::get({32}, rewriter.getI16Type());
    auto bytes = VectorType::get({64}, rewriter.getI8Type());
    auto call = [&](StringRef name, VectorType to, Value x, Value y) -> Value {
      return LLVM::CallIntrinsicOp::create(rewriter, loc, to,
                                           rewriter.getStringAttr(name),
                                           ValueRange{x, y})
          .getResult(0);
    };
    auto pack = [&](Value x, Value y) {
      return call("llvm.x86.avx512.packssdw.512", shorts, x, y);
    };
    auto packBytes = [&](Value x, Value y) {
      return call("llvm.x86.avx512.packuswb.512", bytes, x, y);
    };
    auto cast = [&](VectorType to, Value x) -> Value {
      return vector::BitCastOp::create(rewriter, loc, to, x);
    };
    auto shuffle = [&](Value x, Value y, ArrayRef<int64_t> mask) -> Value {
      return vector::ShuffleOp::create(rewriter, loc, x, y, mask);
    };
    // Byte `4 * p + s` of 128 bits is pixel `p` of slot `s`.
    SmallVector<int64_t> turned;
    for (int64_t i = 0; i < 64; ++i)
      turned.push_back(i / 16 * 16 + i % 4 * 4 + i % 16 / 4);
    // The bytes of 16 lanes' words.
    auto join = [&](int64_t first) {
      SmallVector<Value, 4> slots;
      for (Value slot : op->getOperands())
        slots.push_back(lanes == 16
                            ? slot
                            : vector::ExtractStridedSliceOp::create(
                                  rewriter, loc, slot, ArrayRef<int64_t>{first},
                                  ArrayRef<int64_t>{16}, ArrayRef<int64_t>{1})
                                  .getResult());
      Value all = packBytes(pack(slots[0], slots[1]), pack(slots[2], slots[3]));
      if (level == 4)
        all = arith::MinUIOp::create(
            rewriter, loc, all,
            arith::ConstantOp::create(
                rewriter, loc,
                DenseElementsAttr::get(bytes, rewriter.getI8IntegerAttr(15))));
      return shuffle(all, all, turned);
    };
    SmallVector<Value> parts;
    if (level == 8) {
      auto words = VectorType::get({16}, rewriter.getI32Type());
      for (int64_t first = 0; first < lanes; first += 16)
        parts.push_back(cast(words, join(first)));
    } else {
      // Nibbles of two slots to a byte: the second counts 16.
      SmallVector<int8_t> counts;
      for (int64_t i = 0; i < 64; ++i)
        counts.push_back(i % 2 ? 16 : 1);
      Value factors = arith::ConstantOp::create(
          rewriter, loc,
          DenseElementsAttr::get(bytes, ArrayRef<int8_t>(counts)));
      auto quads = VectorType::get({8}, rewriter.getI64Type());
      for (int64_t first = 0; first < lanes; first += 32) {
        Value halves[2];
        for (int64_t i : {0, 1})
          halves[i] = call("llvm.x86.avx512.pmaddubs.w.512", shorts,
                           join(first + 16 * i), factors);
        // Four lanes of the one, four of the other.
        Value both = cast(quads, packBytes(halves[0], halves[1]));
        parts.push_back(
            cast(shorts, shuffle(both, both, {0, 2, 4, 6, 1, 3, 5, 7})));
      }
    }
    Value result = parts.front();
    for (Value part : ArrayRef(parts).drop_front()) {
      int64_t count =
          mlir::cast<VectorType>(result.getType()).getNumElements() +
          mlir::cast<VectorType>(part.getType()).getNumElements();
      result = shuffle(result, part, llvm::to_vector(llvm::seq(count)));
    }
    rewriter.replaceOp(op, result);
    return success();
  }
};

/// VPACKSSDW takes turns by four lanes of 32 bits; one VPERMW sorts.
struct LowerNarrowLanes : OpRewritePattern<NarrowLanesOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(NarrowLanesOp op,
                                PatternRewriter &rewriter) const override {
    auto type = cast<VectorType>(op.getLow().getType());
    if (type.getNumElements() != 16)
      return rewriter.notifyMatchFailure(op, "VPACKSSDW works on 16 lanes");
    Value packed = LLVM::CallIntrinsicOp::create(
                       rewriter, op.getLoc(), op.getResult().getType(),
                       rewriter.getStringAttr("llvm.x86.avx512.packssdw.512"),
                       ValueRange{op.getLow(), op.getHigh()})
                       .getResult(0);
    SmallVector<int64_t> evenFirst;
    for (int64_t first : {0, 1})
      for (int64_t i = first; i < 32; i += 2)
        evenFirst.push_back(i % 16 / 4 * 8 + i / 16 * 4 + i % 4);
    rewriter.replaceOpWithNewOp<vector::ShuffleOp>(op, packed, packed,
                                                   evenFirst);
    return success();
  }
};

/// VGF2P8AFFINEQB moves bits to any place of their byte, and clears the others:
/// one instruction where a shift and an AND are two.
struct LowerSpareWord : OpRewritePattern<SpareWordOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SpareWordOp op,
                                PatternRewriter &rewriter) const override {
    auto type = cast<VectorType>(op.getResult().getType());
    if (type.getNumElements() != 64)
      return rewriter.notifyMatchFailure(op, "not a whole register");
    Location loc = op.getLoc();
    Value none =
        arith::ConstantOp::create(rewriter, loc, rewriter.getI8IntegerAttr(0));
    Value word;
    for (auto [slot, operand] : llvm::enumerate(op->getOperands())) {
      // Byte `7 - i` of the matrix: the bits that bit `i` of a byte sums.
      SmallVector<int8_t> matrix(64, 0);
      for (int64_t at = 0; at < 64; at += 8) {
        matrix[at + 7 - 2 * slot] = 1 << 6;
        matrix[at + 6 - 2 * slot] = int8_t(1 << 7);
      }
      Value moves = arith::ConstantOp::create(
          rewriter, loc,
          DenseElementsAttr::get(type, ArrayRef<int8_t>(matrix)));
      Value moved = LLVM::CallIntrinsicOp::create(
                        rewriter, loc, type,
                        rewriter.getStringAttr("llvm.x86.vgf2p8affineqb.512"),
                        ValueRange{operand, moves, none})
                        .getResult(0);
      word =
          slot == 0 ? moved : arith::OrIOp::create(rewriter, loc, word, moved);
    }
    rewriter.replaceOp(op, word);
    return success();
  }
};

struct ConvertHetprecToX86Pass
    : sysmol::impl::ConvertHetprecToX86PassBase<ConvertHetprecToX86Pass> {
  void runOnOperation() override {
    for (std::optional<Centred> centred :
         {std::optional<Centred>(), std::optional(Centred::Row),
          std::optional(Centred::Lanes)}) {
      WalkResult found = getOperation().walk([&](MacOp op) {
        return op.getLevel() == 2 && op.getCentred() == centred
                   ? WalkResult::interrupt()
                   : WalkResult::advance();
      });
      if (found.wasInterrupted())
        createProductTable(getOperation(), centred);
    }
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerTwoBitMac, LowerDotMac, LowerJoinCodes, LowerNarrowLanes,
                 LowerSpareWord>(&getContext(),
                                 /*benefit=*/2);
    populateHetprecToVectorPatterns(patterns, /*benefit=*/1);
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace
