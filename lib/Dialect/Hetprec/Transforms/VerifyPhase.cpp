//===- VerifyPhase.cpp - The contracts between phases ---------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "sysmol/Dialect/Hetprec/IR/WinogradTiles.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"
#include "llvm/Support/MathExtras.h"

namespace sysmol::hetprec {
#define GEN_PASS_DEF_VERIFYPHASEPASS
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"
} // namespace sysmol::hetprec

using namespace mlir;
using namespace sysmol::hetprec;

static bool isLaneOp(Operation *op) {
  return isa<ContractOp, ContractOutputsOp, RequantizeLanesOp, PackLanesOp,
             UnpackLanesOp, SplitPhasesOp, SpreadLanesOp, FoldTapsOp,
             MaxPoolLanesOp, GemvOp, PackRowsOp, SumRowsOp, WinogradInputOp,
             WinogradContractOp>(op);
}

static bool isModelOp(Operation *op) {
  return isa_and_present<HetprecDialect>(op->getDialect()) && !isLaneOp(op) &&
         !isa<MacOp, JoinCodesOp, NarrowLanesOp, SpareWordOp>(op);
}

/// What a model is made of: what the phases behind lower and the reference
/// interprets.
static bool isAllowedInModel(Operation *op) {
  return isModelOp(op) ||
         isa<func::FuncOp, func::ReturnOp, arith::ConstantOp,
             tensor::CollapseShapeOp, tensor::ExpandShapeOp>(op);
}

static bool isDotProduct(Operation *op) {
  return isa<Conv2DOp, DepthwiseConv2DOp, MatmulOp>(op);
}

/// The constant of a dot product, which has an axis, scales and groups of its
/// own; the dot product's verifier knows them.
static bool isWeights(Value value) {
  auto isFilter = [](OpOperand &use) {
    return isDotProduct(use.getOwner()) && use.getOperandNumber() == 1;
  };
  return value.getDefiningOp<arith::ConstantOp>() && !value.use_empty() &&
         llvm::all_of(value.getUses(), isFilter);
}

static InFlightDiagnostic emitAt(Value value) {
  if (Operation *op = value.getDefiningOp())
    return op->emitOpError("contract of phase model: ");
  return emitError(value.getLoc())
         << "argument " << cast<BlockArgument>(value).getArgNumber()
         << ": contract of phase model: ";
}

/// A value of the model phase: what lanes can hold.
static LogicalResult verifyModelValue(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type)
    return emitAt(value) << "values must be ranked tensors, found "
                         << value.getType();
  if (!type.hasStaticShape())
    return emitAt(value)
           << "shapes must be static; set the batch size at import";
  int64_t elements = 1;
  for (int64_t size : type.getShape())
    if (size == 0)
      return emitAt(value) << "a dimension is 0 in " << type;
    else if (llvm::MulOverflow(elements, size, elements) ||
             elements > int64_t(1) << 31)
      return emitAt(value) << "more than 2^31 elements in a tensor";
  Type element = type.getElementType();
  if (!element.isF32() && !element.isInteger(8) && !element.isInteger(16) &&
      !element.isInteger(32))
    return emitAt(value) << "elements must be f32, i32, i16 or i8, found "
                         << element;
  if (!type.getEncoding() || isWeights(value))
    return success();
  if (type.getRank() != 2 && type.getRank() != 4)
    return emitAt(value) << "codes and carrier are [N, C] or [N, C, H, W], "
                            "found rank "
                         << type.getRank();
  ChannelsAttr channels = getChannels(type);
  if (!channels)
    return success();
  if (channels.getAxis() != 1 || channels.getGroups() != 1)
    return emitAt(value)
           << "codes must have their channels on axis 1, in one group";
  if (channels.getScale().size() != 1)
    return emitAt(value)
           << "HP6: codes must have one scale for the whole tensor";
  return success();
}

/// HP24 of a constant.
static LogicalResult verifyConstant(arith::ConstantOp op) {
  auto dense = dyn_cast<DenseElementsAttr>(op.getValue());
  if (!dense)
    return op.emitOpError("contract of phase model: constants must be dense");
  ChannelsAttr channels = getChannels(op.getType());
  if (!channels)
    return success();
  auto type = cast<RankedTensorType>(op.getType());
  int64_t axis = channels.getAxis(), groups = channels.getGroups();
  int64_t perGroup = type.getDimSize(axis), inner = 1;
  for (int64_t size : type.getShape().drop_front(axis + 1))
    inner *= size;
  int64_t rowsPerGroup = std::max<int64_t>(1, type.getDimSize(0) / groups);
  int64_t rowSize = type.getNumElements() / type.getDimSize(0);
  bool isUnsigned = channels.getGrid() == Grid::Unsigned;
  for (auto [i, raw] : llvm::enumerate(dense.getValues<int8_t>())) {
    int64_t group = groups == 1 ? 0 : int64_t(i) / rowSize / rowsPerGroup;
    int64_t channel = group * perGroup + int64_t(i) / inner % perGroup;
    int8_t p = channels.getBits()[channel];
    bool symmetric = p == 8 && !isUnsigned;
    int code = symmetric ? raw : uint8_t(raw);
    if (symmetric ? code < -127 : code >= 1 << p)
      return op.emitOpError("contract of phase model: HP24: code ")
             << code << " of channel " << channel << " is outside its "
             << int(p) << "-bit level";
  }
  return success();
}

static LogicalResult verifyModel(Operation *op) {
  if (!op->getDialect() || !isAllowedInModel(op))
    return op->emitOpError(
        "contract of phase model: only hetprec's model ops, arith.constant, "
        "tensor.collapse_shape and tensor.expand_shape are allowed");
  if (auto function = dyn_cast<func::FuncOp>(op))
    for (BlockArgument arg : function.getArguments())
      if (failed(verifyModelValue(arg)))
        return failure();
  for (Value result : op->getResults())
    if (failed(verifyModelValue(result)))
      return failure();
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    if (failed(verifyConstant(constant)))
      return failure();
  if (isDotProduct(op) && !matchPattern(op->getOperand(1), m_Constant()))
    return op->emitOpError(
        "contract of phase model: weights must be constants");
  return success();
}

static LogicalResult verifyPlan(Operation *op) {
  if (failed(verifyModel(op)))
    return failure();
  if (isa<DepthwiseConv2DOp>(op))
    return op->emitOpError("contract of phase plan: a depthwise convolution "
                           "must be a grouped conv_2d; run canonicalize");
  auto conv = dyn_cast<Conv2DOp>(op);
  if ((isa<MatmulOp>(op) || (conv && conv.getGroups() == 1)) &&
      !getChannels(op->getOperand(0).getType()).isSegmented())
    return op->emitOpError("contract of phase plan: input channels must be "
                           "sorted by precision; run hetprec-sort-channels");
  auto role = op->getAttrOfType<LaneRoleAttr>(kLanesAttrName);
  if (role && role.getValue() == LaneRole::Outputs && !isa<MatmulOp>(op) &&
      (!conv || conv.getGroups() != 1))
    return op->emitOpError("contract of phase plan: only ungrouped products "
                           "have outputs as lanes");
  if (role && role.getValue() == LaneRole::Tiles)
    if (StringRef obstacle = WinogradTiles::getObstacle(op); !obstacle.empty())
      return op->emitOpError("contract of phase plan: has no tiles as lanes: ")
             << obstacle;
  return success();
}

static LogicalResult verifyPacked(Operation *op) {
  if (isModelOp(op))
    return op->emitOpError("contract of phase packed: no model op may be left");
  for (Value v : op->getOperands())
    if (getChannels(v.getType()))
      return op->emitOpError(
          "contract of phase packed: no encoding may be left");
  return success();
}

static LogicalResult verifyLoops(Operation *op) {
  if (failed(verifyPacked(op)))
    return failure();
  if (isLaneOp(op) && op->getNumResults() != 0)
    return op->emitOpError("contract of phase loops: must be on memrefs");
  auto contract = dyn_cast<ContractOp>(op);
  if (contract) {
    int64_t most =
        contract.isWindowSum() ? contract.getWindowSumLanes() : 2 * kLaneBlock;
    if (int64_t(contract.getLaneCount()) > most)
      return op->emitOpError("contract of phase loops: must be tiled to at "
                             "most ")
             << most / kLaneBlock << " blocks of lanes";
  }
  auto gemv = dyn_cast<GemvOp>(op);
  auto sums = dyn_cast<ContractOutputsOp>(op);
  auto winograd = dyn_cast<WinogradContractOp>(op);
  if ((gemv && gemv.getNumTiles() > 1) || (sums && sums.getNumTiles() > 1) ||
      (winograd && winograd.getNumTiles() > 1))
    return op->emitOpError("contract of phase loops: must be tiled to one tile "
                           "of outputs");
  return success();
}

static LogicalResult verifyVectors(Operation *op) {
  if (isModelOp(op) || isLaneOp(op))
    return op->emitOpError("contract of phase vectors: only mac may be left");
  return success();
}

namespace {
struct VerifyPhasePass
    : sysmol::hetprec::impl::VerifyPhasePassBase<VerifyPhasePass> {
  using VerifyPhasePassBase::VerifyPhasePassBase;

  void runOnOperation() override {
    const Phase current = phase;
    auto check = [&](Operation *op) {
      switch (current) {
      case Phase::Model:
        return verifyModel(op);
      case Phase::Plan:
        return verifyPlan(op);
      case Phase::Packed:
        return verifyPacked(op);
      case Phase::Loops:
        return verifyLoops(op);
      case Phase::Vectors:
        return verifyVectors(op);
      }
      llvm_unreachable("unknown phase");
    };
    WalkResult walk = getOperation().walk([&](Operation *op) {
      return failed(check(op)) ? WalkResult::interrupt()
                               : WalkResult::advance();
    });
    if (walk.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace
