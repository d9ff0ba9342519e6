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

/// Words of channels that a window reads for one output.
static int64_t countWords(Operation *op) {
  ChannelsAttr channels = getChannels(op->getOperand(0).getType());
  int64_t words = 0;
  for (int8_t level : channels.getLevels())
    words += llvm::divideCeil(channels.getNumChannels(level),
                              getChannelsPerWord(level));
  Window window = Window::get(op);
  return words * window.kernel[0] * window.kernel[1];
}

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
      // A register of outputs of a window is turned round into planes, which
      // takes as long as so many words of products (measured).
      constexpr int64_t kTurnWords = 24;
      int64_t words = 1, turn = 0;
      if (!isMatrixProduct(op)) {
        LanesAttr layout = layouts.getLayout(op->getResult(0));
        pixels = layout.getUsedLanes();
        pixelBlocks = layouts.getLaneCount(op->getResult(0)) / kLaneBlock;
        words = countWords(op);
        turn = kTurnWords;
      }
      int64_t pixelRegisters = outputs * pixelBlocks;
      int64_t outputRegisters = pixels * blocks;
      std::string reason =
          std::to_string(outputRegisters) + " registers of outputs, " +
          std::to_string(pixelRegisters) + (turn ? " of pixels" : " of rows");
      LaneRole role = outputRegisters * (words + turn) < pixelRegisters * words
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
