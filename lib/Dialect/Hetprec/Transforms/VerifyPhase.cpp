//===- VerifyPhase.cpp - The contracts between phases ---------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"

namespace sysmol::hetprec {
#define GEN_PASS_DEF_VERIFYPHASEPASS
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"
} // namespace sysmol::hetprec

using namespace mlir;
using namespace sysmol::hetprec;

static bool isLaneOp(Operation *op) {
  return isa<ContractOp, RequantizeLanesOp, PackLanesOp, UnpackLanesOp,
             SplitPhasesOp, GemvOp, PackRowsOp, SumRowsOp>(op);
}

static bool isModelOp(Operation *op) {
  return isa_and_present<HetprecDialect>(op->getDialect()) && !isLaneOp(op) &&
         !isa<MacOp>(op);
}

/// What a model is made of; the phases behind know how to lower no more.
static bool isAllowedInModel(Operation *op) {
  return isModelOp(op) || isa<func::FuncOp, func::ReturnOp>(op) ||
         isa<arith::ArithDialect, math::MathDialect, tensor::TensorDialect,
             linalg::LinalgDialect>(op->getDialect());
}

static LogicalResult verifyModel(Operation *op) {
  if (!op->getDialect() || !isAllowedInModel(op))
    return op->emitOpError("contract of phase model: only hetprec's model ops, "
                           "arith, math, tensor and linalg are allowed");
  for (Value v : op->getResults())
    if (auto type = dyn_cast<RankedTensorType>(v.getType()))
      if (!type.hasStaticShape())
        return op->emitOpError(
            "contract of phase model: shapes must be static; "
            "set the batch size at import");
  if (isa<Conv2DOp, DepthwiseConv2DOp, MatmulOp>(op) &&
      !matchPattern(op->getOperand(1), m_Constant()))
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
  if (contract && int64_t(contract.getLaneCount()) > 2 * kLaneBlock)
    return op->emitOpError("contract of phase loops: must be tiled to one or "
                           "two blocks of lanes");
  auto gemv = dyn_cast<GemvOp>(op);
  if (gemv && gemv.getNumTiles() > 1)
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
