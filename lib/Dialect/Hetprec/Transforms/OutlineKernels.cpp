//===- OutlineKernels.cpp - A network's ops to functions of a kernel ------===//

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"
#include "llvm/ADT/SetVector.h"

namespace sysmol::hetprec {
#define GEN_PASS_DEF_OUTLINEKERNELSPASS
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"
} // namespace sysmol::hetprec

using namespace mlir;
using namespace sysmol::hetprec;

bool sysmol::hetprec::isKernel(func::FuncOp function) {
  if (function->hasAttr(kKernelAttr) || function.isDeclaration())
    return true;
  Operation &first = function.getBody().front().front();
  return isa<Conv2DOp, MatmulOp>(first) &&
         llvm::all_of(first.getOperands(), llvm::IsaPred<BlockArgument>);
}

bool sysmol::hetprec::isKernelTensor(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !tensor.hasStaticShape() ||
      (tensor.getRank() != 2 && tensor.getRank() != 4))
    return false;
  Type element = tensor.getElementType();
  return element.isF32() || element.isSignlessInteger(32) ||
         element.isSignlessInteger(16) ||
         (element.isSignlessInteger(8) && getChannels(tensor));
}

bool sysmol::hetprec::isForTensorCores(Operation *product) {
  auto conv = dyn_cast<Conv2DOp>(product);
  if (!conv)
    return isa<MatmulOp>(product);
  ChannelsAttr channels = getChannels(conv.getInput().getType());
  bool isPadded = llvm::any_of(conv.getPads(), [](int64_t p) { return p; });
  bool hasZero =
      channels.getGrid() == Grid::Unsigned || channels.getLevels().front() == 8;
  return conv.getGroups() == 1 && (!isPadded || hasZero);
}

/// Whether `op` only says where its input's values are, and `user` may read
/// them there. Codes of another order of channels are other words.
static bool isViewFor(Operation *op, Operation *user) {
  if (isa<FlattenOp>(op))
    return isa<MatmulOp>(user);
  auto permute = dyn_cast<PermuteOp>(op);
  return permute && permute.getAxis() == 1 && !getChannels(permute.getType()) &&
         isa<PermuteOp, RequantizeOp, ToRealOp, ToCarrierOp, AddOp, QuantizeOp>(
             user);
}

/// Whether `value` is none that a kernel makes.
static bool isOfNetwork(Value value) {
  Operation *made = value.getDefiningOp();
  return !made || made->hasTrait<OpTrait::ConstantLike>();
}

/// The one user of the only result, if it is an `OpTy`.
template <typename OpTy> static OpTy getOnlyUser(Operation *op) {
  return op->hasOneUse() ? dyn_cast<OpTy>(*op->user_begin()) : OpTy();
}

/// The one op that makes packed codes of a product's carrier, if a kernel can:
/// codes of another order are those of one block.
static RequantizeOp getOnlyRequantize(Operation *carrier) {
  int64_t channels =
      cast<ShapedType>(carrier->getResult(0).getType()).getDimSize(1);
  SmallVector<RequantizeOp> found;
  for (Operation *user : carrier->getUsers()) {
    auto permute = dyn_cast<PermuteOp>(user);
    if (permute && channels > kKernelRows)
      continue;
    SmallVector<Operation *> readers = {user};
    if (permute)
      readers.assign(user->user_begin(), user->user_end());
    for (Operation *reader : readers) {
      auto requantize = dyn_cast<RequantizeOp>(reader);
      if (requantize && (!permute || isViewFor(permute, requantize)))
        found.push_back(requantize);
    }
  }
  if (found.size() != 1 ||
      !getChannels(found.front().getResult().getType()).isSegmented())
    return {};
  return found.front();
}

/// Appends what a product's kernel can compute, too.
static void fuseEpilogue(SmallVectorImpl<Operation *> &group) {
  Operation *product = group.front();
  if (auto op = getOnlyUser<RequantizeOp>(product)) {
    // Packed, and no bytes.
    if (getChannels(op.getResult().getType()).isSegmented())
      group.push_back(op);
    return;
  }
  if (auto op = getOnlyUser<ToRealOp>(product))
    return group.push_back(op);
  auto carrier = getOnlyUser<ToCarrierOp>(product);
  if (!carrier)
    return;
  group.push_back(carrier);
  if (auto add = getOnlyUser<AddOp>(carrier); add && !carrier.getRelu()) {
    // The other summand is made before, unless its product runs later.
    Value other = add.getLhs() == carrier ? add.getRhs() : add.getLhs();
    Operation *made = other.getDefiningOp();
    if (!made || (!isViewFor(made, add) && made->isBeforeInBlock(product)))
      group.push_back(add);
  }
  if (RequantizeOp requantize = getOnlyRequantize(group.back()))
    group.push_back(requantize);
}

/// Kernels read and make tensors that they know, one each.
static LogicalResult checkTensors(func::FuncOp function) {
  for (Type type : function.getArgumentTypes())
    if (!isKernelTensor(type))
      return function.emitOpError()
             << "takes " << type << "; GPU kernels take " << kKernelTensors;
  for (Operation &op : function.getBody().front().without_terminator()) {
    if (op.getNumResults() != 1)
      return op.emitOpError() << "makes " << op.getNumResults()
                              << " values; a GPU kernel makes one tensor";
    Type type = op.getResult(0).getType();
    if (!isKernelTensor(type))
      return op.emitOpError()
             << "makes " << type << "; GPU kernels make " << kKernelTensors;
  }
  return success();
}

namespace {
struct OutlineKernelsPass
    : sysmol::hetprec::impl::OutlineKernelsPassBase<OutlineKernelsPass> {
  void runOnOperation() override {
    SmallVector<func::FuncOp> functions(getOperation().getOps<func::FuncOp>());
    for (func::FuncOp function : functions)
      if (function.getBody().hasOneBlock() && !isKernel(function)) {
        if (failed(checkTensors(function)))
          return signalPassFailure();
        Outliner(*this, function).run();
      }
  }

private:
  /// One network.
  class Outliner {
  public:
    Outliner(OutlineKernelsPass &pass, func::FuncOp function)
        : pass(pass), function(function), b(function.getContext()) {}
    void run();

  private:
    /// A kernel of `body`, in order, that reads `inputs` and returns `results`.
    func::CallOp call(Location loc, StringRef name, ArrayRef<Operation *> body,
                      ArrayRef<Value> inputs, ValueRange results);
    void moveArguments();
    void moveResults();
    void outline(ArrayRef<Operation *> group);

    OutlineKernelsPass &pass;
    func::FuncOp function;
    OpBuilder b;
    int64_t index = 0;
  };
};
} // namespace

func::CallOp OutlineKernelsPass::Outliner::call(Location loc, StringRef name,
                                                ArrayRef<Operation *> body,
                                                ArrayRef<Value> inputs,
                                                ValueRange results) {
  auto outside =
      OpBuilder::atBlockEnd(function->getParentOfType<ModuleOp>().getBody());
  std::string unique =
      (function.getName() + "_" + Twine(index++) + "_" + name).str();
  auto kernel = func::FuncOp::create(
      outside, loc, unique,
      b.getFunctionType(ValueRange(inputs).getTypes(), results.getTypes()));
  kernel.setPrivate();
  kernel->setAttr(kKernelAttr, b.getUnitAttr());
  for (auto [i, input] : llvm::enumerate(inputs))
    if (isOfNetwork(input))
      kernel.setArgAttr(i, kBoundaryAttr, b.getUnitAttr());
  auto inside = OpBuilder::atBlockBegin(kernel.addEntryBlock());
  IRMapping map;
  for (auto [input, argument] : llvm::zip_equal(inputs, kernel.getArguments()))
    map.map(input, argument);
  for (Operation *op : body)
    inside.clone(*op, map);
  func::ReturnOp::create(inside, loc,
                         llvm::map_to_vector(results, [&](Value result) {
                           return map.lookup(result);
                         }));
  ++pass.numKernels;
  return func::CallOp::create(b, loc, kernel, inputs);
}

/// Whether a kernel reads `use` in an order of its own: weights are packed at
/// compile time, reals are read as they lie.
static bool isMoved(OpOperand &use) {
  Operation *user = use.getOwner();
  bool isWeights = isa<Conv2DOp, MatmulOp>(user) && use.getOperandNumber() == 1;
  return !isWeights && !getElementTypeOrSelf(use.get().getType()).isF32();
}

void OutlineKernelsPass::Outliner::moveArguments() {
  Block &body = function.getBody().front();
  SmallVector<Value> given(function.getArguments());
  for (Operation &op : body)
    if (op.hasTrait<OpTrait::ConstantLike>())
      given.push_back(op.getResult(0));
  for (Value value : given) {
    if (llvm::none_of(value.getUses(), isMoved))
      continue;
    b.setInsertionPointAfterValue(value);
    auto moved = call(value.getLoc(), "take", {}, value, value);
    value.replaceUsesWithIf(moved.getResult(0), [&](OpOperand &use) {
      return use.getOwner() != moved && isMoved(use);
    });
  }
}

void OutlineKernelsPass::Outliner::moveResults() {
  Operation *terminator = function.getBody().front().getTerminator();
  b.setInsertionPoint(terminator);
  llvm::SmallPtrSet<Value, 4> given;
  for (OpOperand &operand : terminator->getOpOperands()) {
    Value value = operand.get();
    ChannelsAttr channels = getChannels(value.getType());
    // Unsorted codes are bytes already. A buffer is one result.
    if (given.insert(value).second && !isOfNetwork(value) &&
        !(channels && channels.isSegmented()))
      continue;
    auto moved = call(terminator->getLoc(), "give", {}, value, value);
    auto kernel = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(
        moved, moved.getCalleeAttr());
    kernel.setResultAttr(0, kBoundaryAttr, b.getUnitAttr());
    operand.set(moved.getResult(0));
  }
}

void OutlineKernelsPass::Outliner::outline(ArrayRef<Operation *> group) {
  Operation *last = group.back();
  // The group and the views that it reads, in order.
  llvm::SetVector<Operation *> body;
  SmallVector<Value> inputs;
  std::function<void(Operation *)> take = [&](Operation *op) {
    for (Value operand : op->getOperands()) {
      Operation *made = operand.getDefiningOp();
      if (made && body.contains(made))
        continue;
      if (made && isViewFor(made, op))
        take(made);
      else if (!llvm::is_contained(inputs, operand))
        inputs.push_back(operand);
    }
    body.insert(op);
  };
  for (Operation *op : group)
    take(op);

  // What others read: the last result, and a carrier whose codes that are.
  auto isReadOutside = [&](Operation *op) {
    return llvm::any_of(op->getUsers(), [&](Operation *user) {
      return !body.contains(user) ||
             (isa<PermuteOp>(user) &&
              llvm::any_of(user->getUsers(), [&](Operation *reader) {
                return !body.contains(reader);
              }));
    });
  };
  SmallVector<Value> results;
  Operation *place = last;
  if (auto requantize = dyn_cast<RequantizeOp>(last);
      requantize && group.size() > 1 &&
      !isa<Conv2DOp, MatmulOp>(group.end()[-2])) {
    // Others may read the carrier before.
    place = group.end()[-2];
    if (isReadOutside(place))
      results.push_back(place->getResult(0));
  }
  results.push_back(last->getResult(0));
  b.setInsertionPointAfter(place);
  Operation *first = group.front();
  bool isDirect = isa<Conv2DOp>(first) && !isForTensorCores(first);
  auto made = call(first->getLoc(),
                   isDirect ? StringRef("direct_conv_2d")
                            : first->getName().stripDialect(),
                   body.getArrayRef(), inputs, results);
  for (auto [result, value] : llvm::zip_equal(results, made.getResults()))
    result.replaceAllUsesWith(value);
  for (Operation *op : llvm::reverse(body))
    if (op->use_empty())
      op->erase();
}

void OutlineKernelsPass::Outliner::run() {
  moveArguments();
  SmallVector<SmallVector<Operation *, 3>> groups;
  llvm::SmallPtrSet<Operation *, 16> grouped;
  for (Operation &op : function.getBody().front().without_terminator()) {
    if (op.hasTrait<OpTrait::ConstantLike>() || isa<func::CallOp>(op) ||
        grouped.contains(&op))
      continue;
    if (!op.use_empty() && llvm::all_of(op.getUsers(), [&](Operation *user) {
          return isViewFor(&op, user);
        }))
      continue; // part of its readers
    SmallVector<Operation *, 3> &group = groups.emplace_back();
    group.push_back(&op);
    if (isForTensorCores(&op))
      fuseEpilogue(group);
    grouped.insert_range(group);
  }
  for (ArrayRef<Operation *> group : groups)
    outline(group);
  SmallVector<Operation *> left;
  for (Operation &op : function.getBody().front().without_terminator())
    left.push_back(&op);
  for (Operation *op : llvm::reverse(left))
    if (isOpTriviallyDead(op))
      op->erase();
  moveResults();
}
