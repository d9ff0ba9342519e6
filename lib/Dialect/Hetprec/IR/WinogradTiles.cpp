//===- WinogradTiles.cpp - 3x3 windows, four pixels at a time -------------===//

#include "sysmol/Dialect/Hetprec/IR/WinogradTiles.h"

#include "llvm/Support/MathExtras.h"
#include <tuple>

using namespace mlir;
using namespace sysmol::hetprec;

/// Chunks of no more tiles than that stay in the first level cache.
static constexpr int64_t kChunkTiles = 128;

std::optional<WinogradTiles> WinogradTiles::get(LanesAttr layout) {
  auto count = [](int64_t pixels) { return (pixels + kSide - 1) / kSide; };
  WinogradTiles tiles{layout.getImages(), count(layout.getHeight()),
                      count(layout.getWidth()), 1};
  if (tiles.columns > kMostTiles)
    return std::nullopt;
  // The fewest registers, of those the most that are summed with another one,
  // then the least memory.
  auto countPairs = [](int64_t registers) { return (registers + 1) / 2; };
  auto cost = [&](const WinogradTiles &t) {
    int64_t pairs =
        (t.getNumChunks() - 1) * countPairs(t.getNumRegisters(t.chunkRows)) +
        countPairs(t.getNumRegisters(t.getLastRows()));
    return std::tuple(t.getNumRegisters(), pairs,
                      t.getNumPlanes(/*words=*/1) * t.getPlaneLanes());
  };
  WinogradTiles best = tiles;
  int64_t most = std::min(tiles.getNumRows(),
                          std::max<int64_t>(1, kChunkTiles / tiles.columns));
  for (tiles.chunkRows = 2; tiles.chunkRows <= most; ++tiles.chunkRows)
    if (cost(tiles) <= cost(best))
      best = tiles;
  return best;
}

StringRef WinogradTiles::getObstacle(Operation *op) {
  auto conv = dyn_cast<Conv2DOp>(op);
  if (!conv || conv.getGroups() != 1)
    return "no ungrouped convolution";
  auto isThree = [](int64_t size) { return size == 3; };
  auto isOne = [](int64_t step) { return step == 1; };
  if (!llvm::all_of(conv.getFilter().getType().getShape().drop_front(2),
                    isThree) ||
      !llvm::all_of(conv.getStrides(), isOne) ||
      !llvm::all_of(conv.getDilations(), isOne))
    return "no 3x3 window of neighbours";
  RankedTensorType input = conv.getInput().getType();
  if (input.getDimSize(1) > kMostWords * getChannelsPerWord(4))
    return "more than 512 channels";
  if (conv.getType().getDimSize(3) > kMostTiles * kSide)
    return "rows of more than 512 pixels";
  ChannelsAttr channels = getChannels(input);
  if (!channels || channels.getLevels() != SmallVector<int8_t>{4})
    return "channels of other levels than 4";
  return "";
}

int64_t WinogradTiles::getNumChunks() const {
  return int64_t(llvm::divideCeil(getNumRows(), chunkRows));
}

int64_t WinogradTiles::getLastRows() const {
  return getNumRows() - (getNumChunks() - 1) * chunkRows;
}

int64_t WinogradTiles::getNumRegisters(int64_t numRows) const {
  return int64_t(llvm::divideCeil(numRows * columns, kRegister));
}

int64_t WinogradTiles::getNumRegisters() const {
  return (getNumChunks() - 1) * getNumRegisters(chunkRows) +
         getNumRegisters(getLastRows());
}

int64_t WinogradTiles::getPlaneLanes() const {
  int64_t registers = getNumRegisters(chunkRows);
  return (registers % 2 == 0 ? registers + 1 : registers) * kRegister;
}

int64_t WinogradTiles::getReadColumns(int64_t columns) {
  return kSide * int64_t(llvm::alignTo(columns, kRegister)) + kPatch - kSide;
}
