//===- ByteStream.cpp - Few channels as a stream of bytes -----------------===//

#include "sysmol/Analysis/ByteStream.h"

#include "sysmol/Analysis/LaneLayout.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>
#include <numeric>

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

std::optional<ByteStream> ByteStream::get(Operation *op) {
  auto conv = dyn_cast<Conv2DOp>(op);
  if (!conv || conv.getGroups() != 1)
    return std::nullopt;
  ChannelsAttr encoding = getChannels(conv.getInput().getType());
  Window w = Window::get(op);
  ByteStream stream{};
  stream.channels = encoding.getBits().size();
  stream.columns = w.kernel[1];
  stream.stride = w.strides[1];
  if (stream.channels >= kWordBytes || w.dilations[1] != 1 ||
      encoding.getGrid() != Grid::Unsigned ||
      encoding.getNumChannels(8) != stream.channels)
    return std::nullopt;
  int64_t period = stream.stride * stream.channels;
  int64_t unit = std::lcm(kWordBytes, period);
  int64_t words =
      llvm::divideCeil(stream.channels * stream.columns, kWordBytes);
  stream.planes = std::min(unit / kWordBytes, words);
  stream.repeats = llvm::divideCeil(words, stream.planes);
  stream.step = unit / period;
  stream.foldedFrom =
      (stream.channels * stream.columns / kWordBytes) % stream.planes;
  // Folding takes about three instructions for each word of a plane, as a
  // product does of each output.
  constexpr int64_t kFoldCost = 3;
  auto [rest, bytes] = stream.countFolded();
  int64_t rows = w.kernel[0];
  int64_t folded = llvm::divideCeil(rows * bytes, kWordBytes);
  int64_t outputs = conv.getFilter().getType().getDimSize(0);
  constexpr int64_t kMostWords = 81; // they are unrolled
  if (rows * rest > kMostWords ||
      outputs * (rows * rest - folded) <= kFoldCost * (rows * rest + folded)) {
    stream.foldedFrom = stream.planes;
    folded = 0;
  }
  int64_t all = rows * stream.foldedFrom * stream.repeats + folded;
  if (all >= rows * stream.columns)
    return std::nullopt;
  return stream;
}

int64_t ByteStream::getNumBytes(int64_t plane, int64_t repeat) const {
  int64_t left = channels * columns - kWordBytes * (plane + planes * repeat);
  return std::clamp<int64_t>(left, 0, kWordBytes);
}

std::pair<int64_t, int64_t> ByteStream::countFolded() const {
  int64_t words = (planes - foldedFrom) * repeats, bytes = 0;
  for (int64_t plane = foldedFrom; plane < planes; ++plane)
    for (int64_t repeat = 0; repeat < repeats; ++repeat)
      bytes += getNumBytes(plane, repeat);
  return {words, bytes};
}

std::optional<ByteStream::Source>
ByteStream::getSource(int64_t plane, int64_t byte, int64_t repeat) const {
  int64_t place = kWordBytes * (plane + planes * repeat) + byte;
  if (place >= channels * columns)
    return std::nullopt;
  return Source{place % channels, place / channels};
}

int64_t ByteStream::getReach() const {
  int64_t bytes = std::min(kWordBytes * planes, channels * columns);
  return (bytes - 1) / channels / stride;
}
