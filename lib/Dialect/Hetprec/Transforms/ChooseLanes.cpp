//===- ChooseLanes.cpp - Pixels or outputs as lanes -----------------------===//
//
// Linear in the number of ops.
//
//===----------------------------------------------------------------------===//

#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "sysmol/Analysis/ByteStream.h"
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

/// Whether `op` is a window over images whose outputs can be lanes.
static bool isWindow(Operation *op) {
  auto conv = dyn_cast<Conv2DOp>(op);
  auto hasOnePixel = [](RankedTensorType type) {
    return type.getDimSize(2) == 1 && type.getDimSize(3) == 1;
  };
  return conv && conv.getGroups() == 1 && !isMatrixProduct(op) &&
         !hasOnePixel(conv.getInput().getType()) && !ByteStream::get(op);
}

/// Eighths of a cycle that a word of channels takes for a register of lanes, as
/// measured on Zen 4: what is broadcast, or selects products, is loaded for
/// each register where there is one of them only.
struct WordCost {
  int64_t several, one;
};

static WordCost getWordCost(int64_t level, LaneRole role) {
  bool isOutputs = role == LaneRole::Outputs;
  switch (level) {
  case 1:
    return isOutputs ? WordCost{13, 14} : WordCost{12, 14};
  case 2:
    return isOutputs ? WordCost{10, 12} : WordCost{10, 13};
  default:
    return isOutputs ? WordCost{32, 32} : WordCost{32, 34};
  }
}

/// Turning a register of outputs round into planes, in eighths of a cycle.
static constexpr int64_t kTurnCost = 8 * 32;

/// What a register of lanes of the window `op` takes, of which there are
/// `registers` for the other side.
static int64_t getRegisterCost(Operation *op, LaneRole role,
                               int64_t registers) {
  ChannelsAttr channels = getChannels(op->getOperand(0).getType());
  int64_t sum = 0;
  for (int8_t level : channels.getLevels()) {
    WordCost cost = getWordCost(level, role);
    sum += llvm::divideCeil(channels.getNumChannels(level),
                            getChannelsPerWord(level)) *
           (registers == 1 ? cost.one : cost.several);
  }
  Window window = Window::get(op);
  sum *= window.kernel[0] * window.kernel[1];
  return role == LaneRole::Outputs ? sum + kTurnCost : sum;
}

namespace {
struct ChooseLanesPass
    : sysmol::hetprec::impl::ChooseLanesPassBase<ChooseLanesPass> {
  void runOnOperation() override {
    LaneLayout layouts(getOperation());
    getOperation().walk([&](Operation *op) {
      if (!isMatrixProduct(op) && !isWindow(op)) {
        op->removeAttr(kLanesAttrName);
        op->removeAttr(kLanesReasonAttrName);
        return;
      }
      auto type = cast<RankedTensorType>(op->getResult(0).getType());
      int64_t outputs = type.getDimSize(1);
      int64_t blocks = llvm::divideCeil(outputs, kLaneBlock);
      int64_t pixels = type.getDimSize(0);
      int64_t pixelBlocks = llvm::divideCeil(pixels, kLaneBlock);
      int64_t pixelCost = 1, outputCost = 1; // of a register
      if (!isMatrixProduct(op)) {
        LanesAttr layout = layouts.getLayout(op->getResult(0));
        pixels = layout.getUsedLanes();
        pixelBlocks = layouts.getLaneCount(op->getResult(0)) / kLaneBlock;
        pixelCost = getRegisterCost(op, LaneRole::Pixels, pixelBlocks);
        outputCost = getRegisterCost(op, LaneRole::Outputs, blocks);
      }
      int64_t pixelRegisters = outputs * pixelBlocks;
      int64_t outputRegisters = pixels * blocks;
      std::string reason = std::to_string(outputRegisters) +
                           " registers of outputs, " +
                           std::to_string(pixelRegisters) +
                           (isMatrixProduct(op) ? " of rows" : " of pixels");
      LaneRole role = outputRegisters * outputCost < pixelRegisters * pixelCost
                          ? LaneRole::Outputs
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
