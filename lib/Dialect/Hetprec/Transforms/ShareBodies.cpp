//===- ShareBodies.cpp - Equal layers as one function ---------------------===//
//
// Compares functions op by op, constants where they are used: their order
// follows from folding, and says nothing.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/CallInterfaces.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"
#include "llvm/ADT/MapVector.h"
#include <map>

namespace sysmol::hetprec {
#define GEN_PASS_DEF_SHAREBODIESPASS
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"
} // namespace sysmol::hetprec

using namespace mlir;
using namespace sysmol::hetprec;

//===----------------------------------------------------------------------===//
// What is compared
//===----------------------------------------------------------------------===//

static Attribute getConstant(Value value) {
  Attribute constant;
  matchPattern(value, m_Constant(&constant));
  return constant;
}

/// Where a view begins, if that is what the operand says: all that may differ.
static std::optional<int64_t> getShift(OpOperand &operand) {
  auto view = dyn_cast<memref::ViewOp>(operand.getOwner());
  if (!view || operand.get() != view.getByteShift())
    return std::nullopt;
  return getConstantIntValue(operand.get());
}

static bool isConstant(Operation &op) {
  return op.hasTrait<OpTrait::ConstantLike>();
}

/// All that a function says of itself but its name.
static DictionaryAttr getAttributes(func::FuncOp function) {
  NamedAttrList attributes(function->getAttrDictionary());
  attributes.erase(SymbolTable::getSymbolAttrName());
  return attributes.getDictionary(function.getContext());
}

/// Equal for functions that can become one.
static llvm::hash_code getHash(func::FuncOp function) {
  llvm::hash_code hash = hash_value(getAttributes(function));
  function.getBody().walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (isConstant(*op))
      return;
    hash = llvm::hash_combine(hash, op->getName(), op->getAttrDictionary());
    for (Type type : op->getResultTypes())
      hash = llvm::hash_combine(hash, type);
    for (OpOperand &operand : op->getOpOperands())
      if (Attribute constant = getConstant(operand.get());
          constant && !getShift(operand))
        hash = llvm::hash_combine(hash, constant, operand.get().getType());
  });
  return hash;
}

namespace {
/// Compares two functions, and notes where the second one's views begin.
class Comparison {
public:
  static std::optional<SmallVector<int64_t>> getShifts(func::FuncOp x,
                                                       func::FuncOp y) {
    Comparison comparison;
    if (getAttributes(x) != getAttributes(y) ||
        !comparison.areEqual(x.getBody(), y.getBody()))
      return std::nullopt;
    return std::move(comparison.shifts);
  }

private:
  bool areEqual(Region &x, Region &y);
  bool areEqual(Operation &x, Operation &y);
  bool areEqual(OpOperand &x, OpOperand &y);

  IRMapping mapping; // of x's values to y's
  SmallVector<int64_t> shifts;
};
} // namespace

bool Comparison::areEqual(Region &x, Region &y) {
  if (x.empty() || y.empty())
    return x.empty() && y.empty();
  if (!x.hasOneBlock() || !y.hasOneBlock() ||
      x.getArgumentTypes() != y.getArgumentTypes())
    return false;
  mapping.map(x.getArguments(), y.getArguments());
  auto isOther = [](Operation &op) { return !isConstant(op); };
  auto xs = llvm::make_filter_range(x.front(), isOther);
  auto ys = llvm::make_filter_range(y.front(), isOther);
  auto i = xs.begin(), j = ys.begin();
  for (; i != xs.end() && j != ys.end(); ++i, ++j)
    if (!areEqual(*i, *j))
      return false;
  return i == xs.end() && j == ys.end();
}

bool Comparison::areEqual(Operation &x, Operation &y) {
  if (x.getName() != y.getName() ||
      x.getAttrDictionary() != y.getAttrDictionary() ||
      x.getResultTypes() != y.getResultTypes() ||
      x.getNumOperands() != y.getNumOperands() ||
      x.getNumRegions() != y.getNumRegions() || x.getNumSuccessors() > 0)
    return false;
  for (auto [a, b] : llvm::zip_equal(x.getOpOperands(), y.getOpOperands()))
    if (!areEqual(a, b))
      return false;
  for (auto [a, b] : llvm::zip_equal(x.getRegions(), y.getRegions()))
    if (!areEqual(a, b))
      return false;
  mapping.map(x.getResults(), y.getResults());
  return true;
}

bool Comparison::areEqual(OpOperand &x, OpOperand &y) {
  if (x.get().getType() != y.get().getType())
    return false;
  std::optional<int64_t> from = getShift(x), to = getShift(y);
  if (from && to) {
    shifts.push_back(*to);
    return true;
  }
  Attribute constant = getConstant(x.get());
  if (constant || getConstant(y.get()))
    return constant == getConstant(y.get());
  return mapping.lookupOrNull(x.get()) == y.get();
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
/// Functions that are one but for where their views begin.
struct Group {
  SmallVector<func::FuncOp> members;        // the first one stays
  SmallVector<SmallVector<int64_t>> shifts; // of each member, by view
};
} // namespace

/// Gives the function that stays an argument for each way in which views of
/// the others lie elsewhere, and lets all calls name it.
static void
share(Group &group,
      const DenseMap<StringAttr, SmallVector<func::CallOp>> &calls) {
  func::FuncOp kept = group.members.front();
  ArrayRef<int64_t> own = group.shifts.front();
  SmallVector<OpOperand *> views;
  kept.getBody().walk<WalkOrder::PreOrder>([&](memref::ViewOp view) {
    if (getShift(view.getByteShiftMutable()))
      views.push_back(&view.getByteShiftMutable());
  });
  // Views that lie equally far off in every member share an argument: buffers
  // that follow each other, as a layer's weights do.
  std::map<SmallVector<int64_t>, SmallVector<OpOperand *>> byDistance;
  for (auto [i, view] : llvm::enumerate(views)) {
    SmallVector<int64_t> distance;
    for (ArrayRef<int64_t> other : group.shifts)
      distance.push_back(other[i] - own[i]);
    if (!llvm::all_of(distance, [](int64_t bytes) { return bytes == 0; }))
      byDistance[distance].push_back(view);
  }
  OpBuilder b(kept);
  for (auto &[distance, operands] : byDistance) {
    unsigned number = kept.getNumArguments();
    (void)kept.insertArgument(number, b.getIndexType(), {}, kept.getLoc());
    for (OpOperand *operand : operands) {
      b.setInsertionPoint(operand->getOwner());
      operand->set(arith::AddIOp::create(b, operand->getOwner()->getLoc(),
                                         operand->get(),
                                         kept.getArgument(number)));
    }
  }
  // Inlined, it would be as many copies as before.
  SmallVector<Attribute> passed;
  if (auto given = kept->getAttrOfType<ArrayAttr>("passthrough"))
    llvm::append_range(passed, given);
  if (Attribute never = b.getStringAttr("noinline");
      !llvm::is_contained(passed, never))
    passed.push_back(never);
  kept->setAttr("passthrough", b.getArrayAttr(passed));
  for (auto [i, member] : llvm::enumerate(group.members)) {
    for (func::CallOp call : calls.lookup(member.getSymNameAttr())) {
      b.setInsertionPoint(call);
      SmallVector<Value> operands(call.getOperands());
      for (auto &entry : byDistance)
        operands.push_back(
            arith::ConstantIndexOp::create(b, call.getLoc(), entry.first[i]));
      func::CallOp::create(b, call.getLoc(), kept, operands);
      call.erase();
    }
    if (i > 0)
      member.erase();
  }
}

namespace {
struct ShareBodiesPass
    : sysmol::hetprec::impl::ShareBodiesPassBase<ShareBodiesPass> {
  using ShareBodiesPassBase::ShareBodiesPassBase;

  void runOnOperation() override {
    // Functions that are nothing but called, by calls that say nothing else.
    DenseMap<StringAttr, SmallVector<func::CallOp>> calls;
    DenseSet<StringAttr> otherUses;
    auto uses = SymbolTable::getSymbolUses(&getOperation().getBodyRegion());
    if (!uses) {
      getOperation().emitError("uses of symbols are unknown");
      return signalPassFailure();
    }
    for (const SymbolTable::SymbolUse &use : *uses) {
      StringAttr name = use.getSymbolRef().getRootReference();
      auto call = dyn_cast<func::CallOp>(use.getUser());
      if (call && call->getAttrDictionary().size() == 1)
        calls[name].push_back(call);
      else
        otherUses.insert(name);
    }
    llvm::MapVector<size_t, SmallVector<Group>> groups;
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      // What calls others would hold calls that change.
      bool calling =
          function.walk([](CallOpInterface) { return WalkResult::interrupt(); })
              .wasInterrupted();
      if (!function.isPrivate() || function.isDeclaration() || calling ||
          function.getNumResults() > 0 ||
          otherUses.contains(function.getSymNameAttr()))
        continue;
      // With itself: where its own views begin; none where it is not
      // understood.
      auto own = Comparison::getShifts(function, function);
      if (!own)
        continue;
      auto &candidates = groups[getHash(function)];
      auto join = [&](Group &group) {
        auto shifts = Comparison::getShifts(group.members.front(), function);
        if (!shifts)
          return false;
        group.members.push_back(function);
        group.shifts.push_back(std::move(*shifts));
        return true;
      };
      if (!llvm::any_of(candidates, join)) {
        Group &group = candidates.emplace_back();
        group.members.push_back(function);
        group.shifts.push_back(std::move(*own));
      }
    }
    for (auto &[hash, candidates] : groups)
      for (Group &group : candidates)
        if (group.members.size() > 1) {
          numShared += group.members.size() - 1;
          share(group, calls);
        }
  }
};
} // namespace
