//===- ChooseLanes.cpp - Pixels or outputs as lanes -----------------------===//
//
// Linear in the number of ops.
//
//===----------------------------------------------------------------------===//

#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "sysmol/Analysis/LaneLayout.h"
#include "llvm/Support/MathExtras.h"

namespace sysmol::hetprec {
#define GEN_PASS_DEF_CHOOSELANESPASS
#include "sysmol/Dialect/Hetprec/Transforms/Passes.h.inc"
} // namespace sysmol::hetprec

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

/// Whether `op` is a product of rows with a matrix: one pixel an image.
static bool isMatrixProduct(Operation *op) {
  if (isa<MatmulOp>(op))
    return true;
  auto conv = dyn_cast<Conv2DOp>(op);
  if (!conv || conv.getGroups() != 1)
    return false;
  auto isOne = [](int64_t size) { return size == 1; };
  return llvm::all_of(conv.getInput().getType().getShape().drop_front(2),
                      isOne) &&
         llvm::all_of(conv.getFilter().getType().getShape().drop_front(2),
                      isOne) &&
         llvm::all_of(conv.getPads(), [](int64_t pad) { return pad == 0; }) &&
         !Window::get(op).isStrided();
}

namespace {
struct ChooseLanesPass
    : sysmol::hetprec::impl::ChooseLanesPassBase<ChooseLanesPass> {
  void runOnOperation() override {
    getOperation().walk([&](Operation *op) {
      if (!isMatrixProduct(op))
        return;
      auto type = cast<RankedTensorType>(op->getResult(0).getType());
      int64_t rows = type.getDimSize(0), outputs = type.getDimSize(1);
      int64_t blocks = llvm::divideCeil(outputs, kLaneBlock);
      int64_t pixelRegisters = outputs * llvm::divideCeil(rows, kLaneBlock);
      int64_t outputRegisters = rows * blocks;
      std::string reason = std::to_string(outputRegisters) +
                           " registers of outputs, " +
                           std::to_string(pixelRegisters) + " of rows";
      LaneRole role = outputRegisters < pixelRegisters ? LaneRole::Outputs
                                                       : LaneRole::Pixels;
      if (role == LaneRole::Outputs && 2 * blocks * kLaneBlock > 3 * outputs) {
        role = LaneRole::Pixels;
        reason = "weights of " + std::to_string(outputs) +
                 " outputs would be padded to " +
                 std::to_string(blocks * kLaneBlock);
      }
      op->setAttr(kLanesAttrName, LaneRoleAttr::get(&getContext(), role));
      op->setAttr(kLanesReasonAttrName, StringAttr::get(&getContext(), reason));
      numOutputs += role == LaneRole::Outputs;
    });
  }
};
} // namespace
