//===- SortChannels.cpp - Sort channels by precision ----------------------===//
//
// Linear in the number of ops and channels (but for the sort itself).
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/PatternMatch.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"
#include "llvm/ADT/STLExtras.h"

namespace sysmol::hetprec {
#define GEN_PASS_DEF_SORTCHANNELSPASS
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"
} // namespace sysmol::hetprec

using namespace mlir;
using namespace sysmol::hetprec;

using Permutation = SmallVector<int64_t>;

static Permutation getSortingPermutation(ArrayRef<int8_t> bits) {
  Permutation order = llvm::to_vector(llvm::seq<int64_t>(bits.size()));
  llvm::stable_sort(order,
                    [&](int64_t a, int64_t b) { return bits[a] < bits[b]; });
  return order;
}

static Permutation invert(ArrayRef<int64_t> permutation) {
  Permutation inverse(permutation.size());
  for (auto [to, from] : llvm::enumerate(permutation))
    inverse[from] = to;
  return inverse;
}

template <typename T>
static SmallVector<T> apply(ArrayRef<T> values, ArrayRef<int64_t> permutation) {
  SmallVector<T> result;
  for (int64_t from : permutation)
    result.push_back(values[from]);
  return result;
}

static RankedTensorType getPermutedType(RankedTensorType type, int64_t axis,
                                        ArrayRef<int64_t> permutation) {
  ChannelsAttr channels = getChannels(type);
  if (!channels)
    return type;
  if (axis == channels.getAxis())
    channels = channels.withBits(apply(channels.getBits(), permutation));
  else if (axis == 0 && channels.getScale().size() != 1)
    channels = channels.withScale(apply(channels.getScale(), permutation));
  return RankedTensorType::get(type.getShape(), type.getElementType(),
                               channels);
}

/// Folds at once where the operand is a constant.
static Value permute(RewriterBase &rewriter, Location loc, Value value,
                     int64_t axis, ArrayRef<int64_t> permutation) {
  auto type = cast<RankedTensorType>(value.getType());
  return rewriter.createOrFold<PermuteOp>(
      loc, getPermutedType(type, axis, permutation), value, axis, permutation);
}

/// Dot products whose input channels may come in any order.
static bool isUngroupedDot(Operation *op) {
  if (auto conv = dyn_cast<Conv2DOp>(op))
    return conv.getGroups() == 1;
  return isa<MatmulOp>(op);
}

/// Whether `op` multiplies what it reads at `use`.
static bool isDotOf(OpOperand &use) {
  return isUngroupedDot(use.getOwner()) && use.getOperandNumber() == 0;
}

/// Whether a dot product reads `activation`, perhaps behind max pools.
static bool feedsDot(Value activation) {
  return llvm::any_of(activation.getUses(), [](OpOperand &use) {
    auto pool = dyn_cast<MaxPool2DOp>(use.getOwner());
    return isDotOf(use) || (pool && feedsDot(pool.getResult()));
  });
}

namespace {
struct SortChannelsPass
    : sysmol::hetprec::impl::SortChannelsPassBase<SortChannelsPass> {
  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    SmallVector<Value> activations;
    getOperation().walk([&](Operation *op) {
      // A max pool is sorted with what it reads.
      if (isa<MaxPool2DOp>(op))
        return;
      for (Value result : op->getResults())
        if (getChannels(result.getType()))
          activations.push_back(result);
    });
    for (BlockArgument arg : getOperation().getArguments())
      if (getChannels(arg.getType()))
        activations.push_back(arg);
    for (Value activation : activations) {
      if (!feedsDot(activation) ||
          getChannels(activation.getType()).isSegmented())
        continue;
      sort(rewriter, activation);
      ++numSorted;
    }
  }

  void sort(IRRewriter &rewriter, Value activation) {
    Location loc = activation.getLoc();
    Permutation order =
        getSortingPermutation(getChannels(activation.getType()).getBits());
    Value sorted;
    auto requantize = activation.getDefiningOp<RequantizeOp>();
    if (requantize && canPermute(requantize.getInput())) {
      rewriter.setInsertionPoint(requantize);
      Value input = permuteInput(rewriter, requantize.getInput(), order);
      auto pick = [&](ArrayRef<float> values) {
        return values.size() == 1 ? SmallVector<float>(values)
                                  : apply(values, order);
      };
      sorted = RequantizeOp::create(
          rewriter, loc,
          getPermutedType(cast<RankedTensorType>(activation.getType()), 1,
                          order),
          input, pick(requantize.getMultiplier()),
          pick(requantize.getOffset()));
    } else {
      rewriter.setInsertionPointAfterValue(activation);
      sorted = permute(rewriter, loc, activation, 1, order);
    }

    SmallVector<OpOperand *> uses;
    for (OpOperand &use : activation.getUses())
      if (use.getOwner() != sorted.getDefiningOp())
        uses.push_back(&use);
    replaceUses(rewriter, uses, sorted, order);
    if (requantize && requantize->use_empty())
      rewriter.eraseOp(requantize);
  }

  /// Has `uses` read `sorted`, which is what they read in another order.
  void replaceUses(IRRewriter &rewriter, ArrayRef<OpOperand *> uses,
                   Value sorted, ArrayRef<int64_t> order) {
    Location loc = sorted.getLoc();
    Value original;
    for (OpOperand *use : uses) {
      Operation *user = use->getOwner();
      rewriter.setInsertionPoint(user);
      if (isDotOf(*use)) {
        Value filter = permute(rewriter, loc, user->getOperand(1), 1, order);
        rewriter.modifyOpInPlace(user, [&] {
          user->setOperand(0, sorted);
          user->setOperand(1, filter);
        });
        continue;
      }
      auto pool = dyn_cast<MaxPool2DOp>(user);
      if (pool && feedsDot(pool.getResult())) {
        auto moved = MaxPool2DOp::create(
            rewriter, pool.getLoc(), getPermutedType(pool.getType(), 1, order),
            sorted, pool.getKernel(), pool.getStrides(), pool.getPads());
        SmallVector<OpOperand *> poolUses;
        for (OpOperand &poolUse : pool->getUses())
          poolUses.push_back(&poolUse);
        replaceUses(rewriter, poolUses, moved, order);
        rewriter.eraseOp(pool);
        continue;
      }
      if (!original) {
        rewriter.setInsertionPointAfterValue(sorted);
        original = permute(rewriter, loc, sorted, 1, invert(order));
      }
      rewriter.modifyOpInPlace(user, [&] { use->set(original); });
    }
  }

  /// A grouped accumulator keeps its order: rows of a group stay together.
  static bool canPermute(Value sums) {
    auto conv = sums.getDefiningOp<Conv2DOp>();
    return !(conv && conv.getGroups() != 1) &&
           !sums.getDefiningOp<SumPool2DOp>();
  }

  /// The requantized sums in the new order: by the filter's rows where nothing
  /// else reads them, else by a permute (planes read by number, later).
  Value permuteInput(IRRewriter &rewriter, Value sums,
                     ArrayRef<int64_t> order) {
    Operation *dot = sums.getDefiningOp();
    if (!dot || !isUngroupedDot(dot) || !sums.hasOneUse())
      return permute(rewriter, sums.getLoc(), sums, 1, order);
    OpBuilder::InsertionGuard guard(rewriter);
    rewriter.setInsertionPoint(dot);
    Value filter =
        permute(rewriter, dot->getLoc(), dot->getOperand(1), 0, order);
    rewriter.modifyOpInPlace(dot, [&] { dot->setOperand(1, filter); });
    ++numFolded;
    return sums;
  }
};
} // namespace
