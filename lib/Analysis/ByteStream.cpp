//===- ByteStream.cpp - Few channels as a stream of bytes -----------------===//

#include "sysmol/Analysis/ByteStream.h"

#include "sysmol/Analysis/LaneLayout.h"
#include "llvm/Support/MathExtras.h"
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
  ByteStream stream;
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
  if (stream.planes * stream.repeats >= stream.columns)
    return std::nullopt;
  return stream;
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
