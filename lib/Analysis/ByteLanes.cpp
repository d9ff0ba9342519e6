//===- ByteLanes.cpp - A channel by itself, a byte a pixel ----------------===//

#include "sysmol/Analysis/ByteLanes.h"

#include "sysmol/Analysis/LaneLayout.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

int64_t ByteLanes::Word::getNumBytes() const {
  int64_t count = kWordBytes;
  while (count > 0 && taps[count - 1] < 0)
    --count;
  return count;
}

/// Words of at most `bytes` bytes that hold all taps.
static SmallVector<ByteLanes::Word> findWords(const Window &w, int64_t bytes) {
  SmallVector<ByteLanes::Word> words;
  for (int64_t ky = 0; ky < w.kernel[0]; ++ky)
    for (int64_t kx = 0; kx < w.kernel[1]; ++kx) {
      int64_t x = kx * w.dilations[1], tap = ky * w.kernel[1] + kx;
      if (kx == 0 || x >= words.back().x + bytes)
        words.push_back({ky * w.dilations[0], x, {-1, -1, -1, -1}});
      words.back().taps[x - words.back().x] = tap;
    }
  return words;
}

std::optional<ByteLanes> ByteLanes::get(Operation *op) {
  auto conv = dyn_cast<Conv2DOp>(op);
  bool isDepthwise = conv && conv.getGroups() > 1 &&
                     conv.getFilter().getType().getDimSize(1) == 1;
  if (!isDepthwise && !isa<SumPool2DOp>(op))
    return std::nullopt;
  Window w = Window::get(op);
  if (kWordBytes % w.strides[1] != 0)
    return std::nullopt;
  ByteLanes lanes{findWords(w, kWordBytes), w.strides[1]};
  // Where a word has room for the next lane's bytes, a load serves both.
  if (lanes.laneBytes < kWordBytes) {
    SmallVector<Word> shorter = findWords(w, kWordBytes - lanes.laneBytes);
    if (shorter.size() == lanes.words.size())
      lanes.words = shorter;
  }

  // Registers multiplied for 64 lanes of all channels. Words of bytes take four
  // of them each, and about two for spreading a channel. Words of channels take
  // one or four for each tap, and the same again for the part of unsigned codes
  // that is left over, which here is the lanes' of one output only.
  constexpr int64_t kSpreadCost = 2;
  int64_t taps = w.kernel[0] * w.kernel[1], ofChannels = 0;
  ChannelsAttr encoding = getChannels(op->getOperand(0).getType());
  for (int8_t p : encoding.getBits())
    ofChannels += taps * (p <= 2 ? 1 : 4) * (isDepthwise && p < 8 ? 2 : 1);
  int64_t ofBytes = int64_t(encoding.getBits().size()) *
                    (int64_t(lanes.words.size()) * 4 + kSpreadCost);
  if (ofBytes >= ofChannels)
    return std::nullopt;
  return lanes;
}
