//===- TapFold.cpp - Whole windows in the words of few channels -----------===//

#include "sysmol/Analysis/TapFold.h"

#include "sysmol/Analysis/ByteLanes.h"
#include "sysmol/Analysis/ByteStream.h"
#include "sysmol/Analysis/LaneLayout.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

static int64_t getNumTaps(Operation *op) {
  Window w = Window::get(op);
  return w.kernel[0] * w.kernel[1];
}

std::optional<TapFold> TapFold::get(Operation *op, int64_t level) {
  auto conv = dyn_cast<Conv2DOp>(op);
  if (!conv || conv.getGroups() != 1 || ByteStream::get(op))
    return std::nullopt;
  int64_t all = getChannels(conv.getInput().getType()).getNumChannels(level);
  int64_t perWord = getChannelsPerWord(level), taps = getNumTaps(op);
  // Windows are unrolled: code and registers grow with them.
  constexpr int64_t kMostTaps = 81;
  if (taps > kMostTaps)
    return std::nullopt;
  TapFold fold{all % perWord, 0};
  fold.words = llvm::divideCeil(fold.channels * taps, perWord);
  int64_t saved = taps - fold.words;
  // Sums in bytes are widened once more.
  constexpr int64_t kJoinCost = 1;
  if (level <= 2 && all > perWord)
    saved -= kJoinCost;
  if (fold.channels == 0 || saved < 1)
    return std::nullopt;
  // A tap's code takes a load, an AND and a shift to fold, each as much as a
  // product.
  constexpr int64_t kFoldCost = 3;
  int64_t outputs = conv.getFilter().getType().getDimSize(0);
  if (outputs * saved <= kFoldCost * (taps + fold.words))
    return std::nullopt;
  return fold;
}

int64_t TapFold::countWords(Operation *op, int64_t level) {
  int64_t all = getChannels(op->getOperand(0).getType()).getNumChannels(level);
  int64_t perWord = getChannelsPerWord(level), taps = getNumTaps(op);
  if (std::optional<TapFold> fold = get(op, level))
    return all / perWord * taps + fold->words;
  return int64_t(llvm::divideCeil(all, perWord)) * taps;
}
