//===- HetprecToX86.cpp - mac on AVX-512 ----------------------------------===//

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
static constexpr StringLiteral kProductTable = "__hetprec_products_2x2x3";

static void createProductTable(ModuleOp module) {
  SmallVector<int8_t> products;
  for (int w = 0; w < 64; ++w)
    for (int a = 0; a < 64; ++a) {
      int sum = 0;
      for (int i = 0; i < 6; i += 2)
        sum += (w >> i & 3) * (a >> i & 3);
      products.push_back(sum);
    }
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  auto shape = RankedTensorType::get({64, 64}, b.getI8Type());
  memref::GlobalOp::create(
      b, module.getLoc(), kProductTable, b.getStringAttr("private"),
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
        kProductTable);
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

struct ConvertHetprecToX86Pass
    : sysmol::impl::ConvertHetprecToX86PassBase<ConvertHetprecToX86Pass> {
  void runOnOperation() override {
    WalkResult found = getOperation().walk([](MacOp op) {
      return op.getLevel() == 2 ? WalkResult::interrupt()
                                : WalkResult::advance();
    });
    if (found.wasInterrupted())
      createProductTable(getOperation());
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerTwoBitMac, LowerDotMac>(&getContext(), /*benefit=*/2);
    populateHetprecToVectorPatterns(patterns, /*benefit=*/1);
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace
