//===- PackStream.cpp - Few channels as a stream of bytes -----------------===//
//
// An image of three channels fills three of the four bytes of a word. Read as
// one stream of bytes, pixel after pixel, a window's row of 7 pixels is 21
// bytes: 6 words instead of 7. Word j of a lane begins at byte 4j of its
// window; planes repeat after `planes` words, `step` lanes on.
//
//===----------------------------------------------------------------------===//

#include "PackUtils.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/Support/MathExtras.h"
#include <numeric>

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

std::optional<ByteStream> ByteStream::get(const DotProduct &dot,
                                          const PackedCodes &input) {
  constexpr int64_t wordBytes = 4;
  const Window &w = dot.window;
  ByteStream stream;
  stream.channels = dot.channelsPerGroup;
  stream.columns = w.kernel[1];
  stream.stride = w.strides[1];
  // Signed codes have a bias for each tap that padding leaves out.
  if (!dot.filter || dot.groups != 1 || input.segments.size() != 1 ||
      input.segments.front().level != 8 || input.isSigned() ||
      stream.channels >= wordBytes || w.dilations[1] != 1)
    return std::nullopt;
  int64_t period = stream.stride * stream.channels;
  int64_t unit = std::lcm(wordBytes, period);
  stream.planes = unit / wordBytes;
  stream.step = unit / period;
  stream.repeats = llvm::divideCeil(stream.channels * stream.columns, unit);
  if (stream.planes * stream.repeats >= stream.columns)
    return std::nullopt;
  return stream;
}

std::pair<int64_t, int64_t> ByteStream::getByte(int64_t plane, int64_t repeat,
                                                int64_t slot) const {
  int64_t byte = 4 * (plane + planes * repeat) + slot;
  int64_t column = byte / channels;
  return {byte % channels, column < columns ? column : -1};
}

Value ByteStream::makePlanes(OpBuilder &b, Location loc, Value source,
                             ArrayRef<int64_t> phases,
                             ArrayRef<int64_t> rows) const {
  auto type = cast<RankedTensorType>(source.getType());
  // The last lanes lack what is behind the buffer; no window of an image reads
  // so far.
  int64_t reach = (4 * planes - 1) / channels / stride;
  int64_t lanes = type.getDimSize(1) - reach;
  auto lineType = RankedTensorType::get({lanes}, type.getElementType());
  Value result = tensor::EmptyOp::create(
      b, loc, {int64_t(rows.size()) * planes, type.getDimSize(1)},
      type.getElementType());
  OpFoldResult one = b.getIndexAttr(1);
  auto slice = [&](int64_t plane, int64_t lane) {
    return SmallVector<OpFoldResult>{b.getIndexAttr(plane),
                                     b.getIndexAttr(lane)};
  };
  SmallVector<OpFoldResult> sizes = {one, b.getIndexAttr(lanes)};
  SmallVector<OpFoldResult> strides = {one, one};
  AffineMap identity = b.getMultiDimIdentityMap(1);
  for (auto [r, row] : llvm::enumerate(rows))
    for (int64_t plane = 0; plane < planes; ++plane) {
      // Bytes of the word, and the sources that they come from.
      SmallVector<Value> inputs;
      SmallVector<std::pair<int64_t, int64_t>> from; // source byte, word byte
      for (int64_t slot = 0; slot < 4; ++slot) {
        int64_t byte = 4 * plane + slot, column = byte / channels;
        const int64_t *phase =
            llvm::find(phases, row * stride + column % stride);
        if (phase == phases.end())
          continue; // no tap reads it
        inputs.push_back(tensor::ExtractSliceOp::create(
            b, loc, lineType, source,
            slice(phase - phases.begin(), column / stride), sizes, strides));
        from.push_back({byte % channels, slot});
      }
      // Written where it stays.
      SmallVector<OpFoldResult> place = slice(int64_t(r) * planes + plane, 0);
      Value init = tensor::ExtractSliceOp::create(b, loc, lineType, result,
                                                  place, sizes, strides);
      auto word = linalg::GenericOp::create(
          b, loc, lineType, inputs, init,
          SmallVector<AffineMap>(inputs.size() + 1, identity),
          SmallVector<utils::IteratorType>{utils::IteratorType::parallel},
          [&](OpBuilder &nb, Location, ValueRange args) {
            auto constant = [&](int64_t value) -> Value {
              return arith::ConstantOp::create(
                  nb, loc, nb.getI32IntegerAttr(int32_t(value)));
            };
            Value sum = constant(0);
            for (auto [i, place] : llvm::enumerate(from)) {
              Value byte = arith::ShRUIOp::create(nb, loc, args[i],
                                                  constant(8 * place.first));
              byte = arith::AndIOp::create(nb, loc, byte, constant(255));
              byte = arith::ShLIOp::create(nb, loc, byte,
                                           constant(8 * place.second));
              sum = arith::OrIOp::create(nb, loc, sum, byte);
            }
            linalg::YieldOp::create(nb, loc, sum);
          });
      result = tensor::InsertSliceOp::create(b, loc, word.getResult(0), result,
                                             place, sizes, strides);
    }
  return result;
}
