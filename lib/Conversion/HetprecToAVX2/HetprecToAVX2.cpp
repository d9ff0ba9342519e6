//===- HetprecToAVX2.cpp - mac on AVX2 ------------------------------------===//
//
// VPSHUFB looks products of 1 and 2 bits up by nibbles of lanes; VPMADDUBSW and
// VPMADDWD multiply bytes. Registers of lanes come apart into halves of 256
// bits; what depends on lanes alone is the same for all rows, and made once.
//
//===----------------------------------------------------------------------===//

#include "sysmol/Conversion/HetprecToAVX2/HetprecToAVX2.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"
#include "sysmol/Conversion/HetprecToVector/HetprecToVector.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"

namespace sysmol {
#define GEN_PASS_DEF_CONVERTHETPRECTOAVX2PASS
#include "sysmol/Conversion/Passes.h.inc"
} // namespace sysmol

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

static constexpr int64_t kRegisterBytes = 32;
/// Entries that one VPSHUFB chooses from.
static constexpr int64_t kEntries = 16;

namespace {
/// Products of a row's word with the low nibble of a lane's (16 bytes), and
/// with the bits above it (16 more), for every word.
struct ProductTable {
  StringRef name;
  int64_t level, words;
  std::optional<Centred> centred;

  static ProductTable get(int64_t level, std::optional<Centred> centred) {
    if (level == 1)
      return {"__hetprec_nibble_products_1", 1, 256, {}};
    if (!centred)
      return {"__hetprec_nibble_products_2", 2, 64, {}};
    return {*centred == Centred::Row
                ? "__hetprec_nibble_products_2_centred_row"
                : "__hetprec_nibble_products_2_centred_lanes",
            2, 64, centred};
  }
  bool isOf(MacOp op) const {
    return int64_t(op.getLevel()) == level && op.getCentred() == centred;
  }
  MemRefType getType(MLIRContext *context) const {
    return MemRefType::get({words, 2 * kEntries}, IntegerType::get(context, 8));
  }
  void create(ModuleOp module) const;
};
} // namespace

void ProductTable::create(ModuleOp module) const {
  SmallVector<int8_t> products;
  int64_t mask = (1 << level) - 1;
  int64_t wordBits = level * getChannelsPerWord(level);
  for (int64_t word = 0; word < words; ++word)
    for (int64_t half : {0, 4})
      for (int64_t nibble = 0; nibble < kEntries; ++nibble) {
        int64_t sum = 0;
        for (int64_t i = 0; i < 4 && half + i < wordBits; i += level)
          sum += MacOp::getProduct(word >> half >> i & mask, nibble >> i & mask,
                                   centred);
        products.push_back(int8_t(sum));
      }
  OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
  MemRefType type = getType(module.getContext());
  memref::GlobalOp::create(
      b, module.getLoc(), name, b.getStringAttr("private"), type,
      DenseElementsAttr::get(
          RankedTensorType::get(type.getShape(), type.getElementType()),
          ArrayRef<int8_t>(products)),
      /*constant=*/true, b.getI64IntegerAttr(64));
}

/// Part `i` of those of `size` elements that `x` has.
static Value getPart(OpBuilder &b, Location loc, Value x, int64_t i,
                     int64_t size) {
  if (cast<VectorType>(x.getType()).getNumElements() == size)
    return x;
  return vector::ExtractStridedSliceOp::create(
      b, loc, x, ArrayRef<int64_t>{i * size}, ArrayRef<int64_t>{size},
      ArrayRef<int64_t>{1});
}

/// The vector of type `type` that has these parts.
static Value joinParts(OpBuilder &b, Location loc, VectorType type,
                       ArrayRef<Value> parts) {
  if (parts.size() == 1)
    return parts.front();
  Value all = arith::ConstantOp::create(b, loc, b.getZeroAttr(type));
  int64_t at = 0;
  for (Value part : parts) {
    all = vector::InsertStridedSliceOp::create(
        b, loc, part, all, ArrayRef<int64_t>{at}, ArrayRef<int64_t>{1});
    at += cast<VectorType>(part.getType()).getNumElements();
  }
  return all;
}

static Value splat(OpBuilder &b, Location loc, VectorType type, int64_t value) {
  return arith::ConstantOp::create(
      b, loc,
      DenseElementsAttr::get(type,
                             b.getIntegerAttr(type.getElementType(), value)));
}

static Value call(OpBuilder &b, Location loc, StringRef name, VectorType type,
                  Value x, Value y) {
  return LLVM::CallIntrinsicOp::create(b, loc, type, b.getStringAttr(name),
                                       ValueRange{x, y})
      .getResult(0);
}

/// `sum` with what an instruction makes of two pairs of operands.
static Value addCalls(OpBuilder &b, Location loc, StringRef name, Value sum,
                      ArrayRef<std::pair<Value, Value>> operands) {
  auto type = cast<VectorType>(sum.getType());
  for (auto [x, y] : operands)
    sum = arith::AddIOp::create(b, loc, sum, call(b, loc, name, type, x, y));
  return sum;
}

namespace {

/// Levels 1 and 2: two lookups, one for the low nibbles of 32 lanes, one for
/// what is above them.
struct LowerTableMac : OpRewritePattern<MacOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MacOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getLevel() > 2)
      return rewriter.notifyMatchFailure(op, "not level 1 or 2");
    auto type = cast<VectorType>(op.getLanes().getType());
    if (type.getNumElements() % kRegisterBytes != 0)
      return rewriter.notifyMatchFailure(op, "VPSHUFB works on 32 lanes");
    Location loc = op.getLoc();
    OpBuilder &b = rewriter;
    Type byte = b.getI8Type();
    auto bytes = VectorType::get({kRegisterBytes}, byte);
    auto shorts = VectorType::get({kRegisterBytes / 2}, b.getI16Type());
    auto products = ProductTable::get(op.getLevel(), op.getCentred());
    Value table = memref::GetGlobalOp::create(
        b, loc, products.getType(b.getContext()), products.name);
    Value word =
        arith::IndexCastUIOp::create(b, loc, b.getIndexType(), op.getRow());
    // The same 16 entries in both halves.
    auto loadEntries = [&](int64_t first) -> Value {
      Value column = arith::ConstantIndexOp::create(b, loc, first);
      Value entries =
          vector::LoadOp::create(b, loc, VectorType::get({kEntries}, byte),
                                 table, ValueRange{word, column});
      SmallVector<int64_t> twice;
      for (int64_t i = 0; i < kRegisterBytes; ++i)
        twice.push_back(i % kEntries);
      return vector::ShuffleOp::create(b, loc, entries, entries, twice);
    };
    Value low = loadEntries(0), high = loadEntries(kEntries);
    // Bits 6 and 7 of a level-2 word may be anything.
    int64_t above = op.getLevel() == 1 ? 0x0F0F : 0x0303;
    SmallVector<Value> sums;
    for (int64_t i = 0; i < type.getNumElements() / kRegisterBytes; ++i) {
      Value lanes = getPart(b, loc, op.getLanes(), i, kRegisterBytes);
      Value nibbles =
          arith::AndIOp::create(b, loc, lanes, splat(b, loc, bytes, 15));
      Value pairs = vector::BitCastOp::create(b, loc, shorts, lanes);
      pairs = arith::ShRUIOp::create(b, loc, pairs, splat(b, loc, shorts, 4));
      pairs =
          arith::AndIOp::create(b, loc, pairs, splat(b, loc, shorts, above));
      Value others = vector::BitCastOp::create(b, loc, bytes, pairs);
      sums.push_back(addCalls(b, loc, "llvm.x86.avx2.pshuf.b",
                              getPart(b, loc, op.getAcc(), i, kRegisterBytes),
                              {{low, nibbles}, {high, others}}));
    }
    rewriter.replaceOp(op, joinParts(b, loc, type, sums));
    return success();
  }
};

} // namespace

/// Bytes whose pairs of products fit into 16 bits, several times over: the
/// sums of a chain of macs, of which `last` is the last, are widened once.
/// Gives the macs that were lowered; none where that is not so.
static SmallVector<MacOp> lowerPairs(RewriterBase &b, MacOp last) {
  auto type = cast<VectorType>(last.getLanes().getType());
  constexpr int64_t words = kRegisterBytes / 4;
  auto isPair = [](MacOp op) {
    return op && op.getLevel() == 8 && op.getPairBound() &&
           int64_t(*op.getPairBound()) <= INT16_MAX;
  };
  if (!isPair(last) || type.getNumElements() % words != 0)
    return {};
  SmallVector<MacOp> chain = {last};
  auto bound = int64_t(*last.getPairBound());
  while (true) {
    auto before = chain.back().getAcc().getDefiningOp<MacOp>();
    if (!isPair(before) || !before->hasOneUse() ||
        before->getBlock() != last->getBlock())
      break;
    bound += int64_t(*before.getPairBound());
    if (bound > INT16_MAX)
      break;
    chain.push_back(before);
  }
  Location loc = last.getLoc();
  b.setInsertionPoint(last);
  auto bytes = VectorType::get({kRegisterBytes}, b.getI8Type());
  auto shorts = VectorType::get({kRegisterBytes / 2}, b.getI16Type());
  auto ints = VectorType::get({words}, b.getI32Type());
  Value ones = splat(b, loc, shorts, 1);
  SmallVector<Value> sums;
  for (int64_t i = 0; i < type.getNumElements() / words; ++i) {
    Value total;
    for (MacOp mac : llvm::reverse(chain)) {
      Value lanes = vector::BitCastOp::create(
          b, loc, bytes, getPart(b, loc, mac.getLanes(), i, words));
      Value row = vector::BitCastOp::create(
          b, loc, bytes,
          vector::BroadcastOp::create(b, loc, ints, mac.getRow()));
      // The first factor is the unsigned one.
      if (mac.getSignedLanes())
        std::swap(lanes, row);
      Value pairs =
          call(b, loc, "llvm.x86.avx2.pmadd.ub.sw", shorts, lanes, row);
      total = total ? arith::AddIOp::create(b, loc, total, pairs).getResult()
                    : pairs;
    }
    Value wide = call(b, loc, "llvm.x86.avx2.pmadd.wd", ints, total, ones);
    Value sum = getPart(b, loc, chain.back().getAcc(), i, words);
    sums.push_back(arith::AddIOp::create(b, loc, sum, wide));
  }
  b.replaceOp(last, joinParts(b, loc, type, sums));
  for (MacOp mac : ArrayRef(chain).drop_front())
    b.eraseOp(mac);
  return chain;
}

namespace {

/// Any bytes: two products at a time of 16 bits, bytes 0 and 2, then 1 and 3.
struct LowerByteMac : OpRewritePattern<MacOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MacOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getLevel() != 8)
      return rewriter.notifyMatchFailure(op, "not level 8");
    auto type = cast<VectorType>(op.getLanes().getType());
    constexpr int64_t words = kRegisterBytes / 4;
    if (type.getNumElements() % words != 0)
      return rewriter.notifyMatchFailure(op, "VPMADDWD works on 8 lanes");
    Location loc = op.getLoc();
    OpBuilder &b = rewriter;
    auto shorts = VectorType::get({kRegisterBytes / 2}, b.getI16Type());
    auto ints = VectorType::get({words}, b.getI32Type());
    // Bytes 0 and 2, and 1 and 3, as 16 bits.
    auto widen = [&](Value x, bool isSigned) -> std::pair<Value, Value> {
      Value pairs = vector::BitCastOp::create(b, loc, shorts, x);
      Value eight = splat(b, loc, shorts, 8);
      if (!isSigned)
        return {
            arith::AndIOp::create(b, loc, pairs, splat(b, loc, shorts, 255)),
            arith::ShRUIOp::create(b, loc, pairs, eight)};
      Value low = arith::ShLIOp::create(b, loc, pairs, eight);
      return {arith::ShRSIOp::create(b, loc, low, eight),
              arith::ShRSIOp::create(b, loc, pairs, eight)};
    };
    Value all = vector::BroadcastOp::create(b, loc, ints, op.getRow());
    auto [evenRow, oddRow] = widen(all, !op.getSignedLanes());
    SmallVector<Value> sums;
    for (int64_t i = 0; i < type.getNumElements() / words; ++i) {
      auto [even, odd] =
          widen(getPart(b, loc, op.getLanes(), i, words), op.getSignedLanes());
      sums.push_back(addCalls(b, loc, "llvm.x86.avx2.pmadd.wd",
                              getPart(b, loc, op.getAcc(), i, words),
                              {{even, evenRow}, {odd, oddRow}}));
    }
    rewriter.replaceOp(op, joinParts(b, loc, type, sums));
    return success();
  }
};

struct ConvertHetprecToAVX2Pass
    : sysmol::impl::ConvertHetprecToAVX2PassBase<ConvertHetprecToAVX2Pass> {
  void runOnOperation() override {
    for (const ProductTable &table :
         {ProductTable::get(1, {}), ProductTable::get(2, {}),
          ProductTable::get(2, Centred::Row),
          ProductTable::get(2, Centred::Lanes)}) {
      WalkResult found = getOperation().walk([&](MacOp op) {
        return table.isOf(op) ? WalkResult::interrupt() : WalkResult::advance();
      });
      if (found.wasInterrupted())
        table.create(getOperation());
    }
    // Chains from their ends on: no pattern, which would meet the first mac
    // first.
    SmallVector<MacOp> macs;
    getOperation().walk([&](MacOp op) { macs.push_back(op); });
    IRRewriter rewriter(&getContext());
    DenseSet<Operation *> lowered;
    for (MacOp op : llvm::reverse(macs))
      if (!lowered.contains(op.getOperation()))
        lowered.insert_range(lowerPairs(rewriter, op));
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerTableMac, LowerByteMac>(&getContext(), /*benefit=*/2);
    populateHetprecToVectorPatterns(patterns, /*benefit=*/1);
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace
