//===- ChooseLanes.cpp - Pixels, outputs or tiles as lanes ----------------===//
//
// Linear in the number of ops.
//
//===----------------------------------------------------------------------===//

#include "sysmol/Dialect/Hetprec/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "sysmol/Analysis/ByteStream.h"
#include "sysmol/Analysis/CostModel.h"
#include "sysmol/Analysis/LaneGroups.h"
#include "sysmol/Analysis/LaneLayout.h"
#include "sysmol/Analysis/TapFold.h"
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

/// Outputs must be that much cheaper: their weights are read once for every few
/// lanes of the image.
static constexpr double kMargin = 1.05;

namespace {
/// What a register of 64 lanes costs, in cycles.
struct RegisterCosts {
  /// Of a word of channels, by level: of several registers, of one alone.
  struct Words {
    ByLevel several, one;
  } pixels, outputs;
  /// Of turning sums of outputs round into planes.
  double turn = 0;

  /// What a register of lanes of the window `op` takes, of which there are
  /// `registers` for the other side; `getShare` says what share of a level's
  /// products is executed.
  double get(Operation *op, LaneRole role, int64_t registers,
             function_ref<double(int64_t level)> getShare) const {
    const Words &words = role == LaneRole::Outputs ? outputs : pixels;
    const ByLevel &cycles = registers == 1 ? words.one : words.several;
    ChannelsAttr channels = getChannels(op->getOperand(0).getType());
    double sum = 0;
    for (int8_t level : channels.getLevels())
      sum += double(TapFold::countWords(op, level)) * cycles.at(level) *
             getShare(level);
    return role == LaneRole::Outputs ? sum + turn : sum;
  }
};
} // namespace

namespace {
struct ChooseLanesPass
    : sysmol::hetprec::impl::ChooseLanesPassBase<ChooseLanesPass> {
  using ChooseLanesPassBase::ChooseLanesPassBase;

  /// The options, or Zen 4's table where there are none.
  FailureOr<RegisterCosts> getCosts() {
    CostTable table = getBuiltinCostTable("x86-64-avx512");
    const struct {
      const char *name;
      ArrayRef<double> given;
      ByLevel &cycles;
    } options[] = {
        {"pixel-cycles", pixelCycles, table.pixelCycles},
        {"lone-pixel-cycles", lonePixelCycles, table.lonePixelCycles},
        {"output-cycles", outputCycles, table.outputCycles},
        {"lone-output-cycles", loneOutputCycles, table.loneOutputCycles}};
    constexpr int64_t levels[] = {1, 2, 4, 8};
    auto isCost = [](double cycles) { return cycles > 0 && cycles < 1e9; };
    for (auto [name, given, cycles] : options) {
      if (given.empty())
        continue;
      if (given.size() != std::size(levels) || !llvm::all_of(given, isCost)) {
        getOperation().emitError(name)
            << " must be four positive numbers, for levels 1, 2, 4 and 8";
        return failure();
      }
      for (auto [level, value] : llvm::zip_equal(levels, given))
        cycles[level] = value;
    }
    if (mostPatchBytes < 0) {
      getOperation().emitError("most-patch-bytes must not be negative");
      return failure();
    }
    if (turnCycles < 0 || turnCycles > 1e9) {
      getOperation().emitError("turn-cycles must not be negative");
      return failure();
    }
    return RegisterCosts{{table.pixelCycles, table.lonePixelCycles},
                         {table.outputCycles, table.loneOutputCycles},
                         turnCycles};
  }

  void runOnOperation() override {
    FailureOr<RegisterCosts> costs = getCosts();
    if (failed(costs))
      return signalPassFailure();
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
      double pixelCost = 1, outputCost = 1; // of a register
      if (!isMatrixProduct(op)) {
        LanesAttr layout = layouts.getLayout(op->getResult(0));
        int64_t lanes = layouts.getLaneCount(op->getResult(0));
        auto groups = LaneGroups::get(layout, layout.getUsedLanes(), lanes);
        pixels = groups.getNumLanes();
        pixelBlocks = lanes / kLaneBlock;
        auto input = cast<RankedTensorType>(op->getOperand(0).getType());
        pixelCost = costs->get(op, LaneRole::Pixels, pixelBlocks,
                               [](int64_t) { return 1.0; });
        // Padding above and below alone is too little to choose by, as lanes of
        // outputs are fewer tiles for threads.
        auto getShare = [&](int64_t level) -> double {
          if (!groups.haveColumns())
            return 1;
          return groups.getShare(Window::get(op), input.getShape().take_back(2),
                                 layout,
                                 /*isCentred=*/level == 2);
        };
        outputCost = costs->get(op, LaneRole::Outputs, blocks, getShare);
      }
      int64_t pixelRegisters = outputs * pixelBlocks;
      int64_t outputRegisters = pixels * blocks;
      std::string reason = std::to_string(outputRegisters) +
                           " registers of outputs, " +
                           std::to_string(pixelRegisters) +
                           (isMatrixProduct(op) ? " of rows" : " of pixels");
      double ofPixels = double(pixelRegisters) * pixelCost;
      double ofOutputs = double(outputRegisters) * outputCost;
      double margin = isMatrixProduct(op) ? 1 : kMargin;
      LaneRole role =
          ofOutputs * margin < ofPixels ? LaneRole::Outputs : LaneRole::Pixels;
      if (role == LaneRole::Outputs && 2 * blocks * kLaneBlock > 3 * outputs) {
        role = LaneRole::Pixels;
        reason = "weights of " + std::to_string(outputs) +
                 " outputs would be padded to " +
                 std::to_string(blocks * kLaneBlock);
      }
      if (!isMatrixProduct(op) && WinogradTiles::getObstacle(op).empty()) {
        auto tiles = *WinogradTiles::get(layouts.getLayout(op->getResult(0)));
        auto filter = cast<RankedTensorType>(op->getOperand(1).getType());
        int64_t words = llvm::divideCeil(filter.getDimSize(1), 4);
        double ofTiles =
            predictTiles(tiles, words, outputs, costs->pixels.several.at(4))
                .getTotal();
        if (ofTiles * kMargin <
            (role == LaneRole::Outputs ? ofOutputs : ofPixels)) {
          int64_t bytes = tiles.getPatchBytes(words);
          if (bytes <= mostPatchBytes) {
            role = LaneRole::Tiles;
            reason = "16 products where the window has 36";
          } else {
            reason += "; patches of tiles would be " + std::to_string(bytes) +
                      " bytes";
          }
        }
      }
      op->setAttr(kLanesAttrName, LaneRoleAttr::get(&getContext(), role));
      op->setAttr(kLanesReasonAttrName, StringAttr::get(&getContext(), reason));
      numOutputs += role == LaneRole::Outputs;
      numTiles += role == LaneRole::Tiles;
    });
  }
};
} // namespace
