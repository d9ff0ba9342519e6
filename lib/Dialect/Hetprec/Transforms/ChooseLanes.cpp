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

/// Quarters of a cycle that a register of sums of the window `op` takes
/// (measured on Zen 4: a word of level 1 is three operations, of level 2 a
/// permutation, of levels 4 and 8 four dot products). Where rows of weights are
/// used for one register each, a product of level 2 waits for its load.
static int64_t countQuarterCycles(Operation *op, bool oneRegisterARow) {
  ChannelsAttr channels = getChannels(op->getOperand(0).getType());
  int64_t sum = 0;
  for (int8_t level : channels.getLevels()) {
    int64_t words = llvm::divideCeil(channels.getNumChannels(level),
                                     getChannelsPerWord(level));
    sum += words * (level == 1 ? 6 : level > 2 ? 16 : oneRegisterARow ? 6 : 5);
  }
  Window window = Window::get(op);
  return sum * window.kernel[0] * window.kernel[1];
}

/// The same for turning a register of outputs round into planes.
static constexpr int64_t kTurnQuarterCycles = 4 * 32;

namespace {
struct ChooseLanesPass
    : sysmol::hetprec::impl::ChooseLanesPassBase<ChooseLanesPass> {
  void runOnOperation() override {
    LaneLayout layouts(getOperation());
    getOperation().walk([&](Operation *op) {
      if (!isMatrixProduct(op) && !isWindow(op))
        return;
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
        pixelCost = countQuarterCycles(op, pixelBlocks == 1);
        outputCost = countQuarterCycles(op, blocks == 1) + kTurnQuarterCycles;
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
