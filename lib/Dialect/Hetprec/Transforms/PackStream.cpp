//===- PackStream.cpp - Planes of a stream of bytes -----------------------===//

#include "Packer.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

/// ORs bytes of `inputs` together: byte `from[i].first` of input i becomes byte
/// `from[i].second`.
static Value joinBytes(OpBuilder &b, Location loc, ValueRange inputs,
                       ArrayRef<std::pair<int64_t, int64_t>> from, Value init) {
  AffineMap identity = b.getMultiDimIdentityMap(1);
  auto word = linalg::GenericOp::create(
      b, loc, init.getType(), inputs, init,
      SmallVector<AffineMap>(inputs.size() + 1, identity),
      SmallVector<utils::IteratorType>{utils::IteratorType::parallel},
      [&](OpBuilder &nb, Location, ValueRange args) {
        auto constant = [&](int64_t value) -> Value {
          return arith::ConstantOp::create(
              nb, loc, nb.getI32IntegerAttr(int32_t(value)));
        };
        Value sum = constant(0);
        for (auto [arg, place] : llvm::zip_first(from, args)) {
          Value byte =
              arith::ShRUIOp::create(nb, loc, place, constant(8 * arg.first));
          byte = arith::AndIOp::create(nb, loc, byte, constant(255));
          byte = arith::ShLIOp::create(nb, loc, byte, constant(8 * arg.second));
          sum = arith::OrIOp::create(nb, loc, sum, byte);
        }
        linalg::YieldOp::create(nb, loc, sum);
      });
  return word.getResult(0);
}

PackedCodes Packer::makeStream(const DotProduct &dot, const ByteStream &stream,
                               PackedCodes input) {
  Segment all = std::move(input.segments.front());
  input.segments.clear();
  auto take = [&](int64_t first, int64_t last, bool isFolded) {
    if (first == last)
      return;
    Attribute key =
        b.getDenseI64ArrayAttr({stream.channels, stream.stride, stream.planes,
                                stream.columns, first, last});
    auto [entry, inserted] = streams.try_emplace({all.plane, key}, Value());
    if (inserted) {
      // Right behind the source, where every reader can see it.
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointAfterValue(all.plane);
      entry->second = makeStreamPlanes(dot, stream, all.plane, first, last);
    }
    Segment part = all;
    part.plane = entry->second;
    part.isFolded = isFolded;
    input.segments.push_back(std::move(part));
  };
  take(0, stream.foldedFrom, /*isFolded=*/false);
  take(stream.foldedFrom, stream.planes, /*isFolded=*/true);
  return input;
}

Value Packer::makeStreamPlanes(const DotProduct &dot, const ByteStream &stream,
                               Value source, int64_t first, int64_t last) {
  Location loc = dot.op->getLoc();
  SmallVector<int64_t> phases = dot.window.getPhases();
  SmallVector<int64_t> rows = dot.window.getRowPhases();
  auto type = cast<RankedTensorType>(source.getType());
  // LaneLayout leaves that many lanes behind the last one that is read.
  int64_t lanes = type.getDimSize(1) - stream.getReach();
  auto lineType = RankedTensorType::get({lanes}, type.getElementType());
  int64_t planes = last - first;
  Value result = makeEmpty(loc, int64_t(rows.size()) * planes,
                           type.getDimSize(1), type.getElementType());
  OpFoldResult one = b.getIndexAttr(1);
  SmallVector<OpFoldResult> sizes = {one, b.getIndexAttr(lanes)};
  SmallVector<OpFoldResult> strides = {one, one};
  auto at = [&](int64_t plane, int64_t lane) {
    return SmallVector<OpFoldResult>{b.getIndexAttr(plane),
                                     b.getIndexAttr(lane)};
  };
  for (auto [r, row] : llvm::enumerate(rows))
    for (int64_t plane = first; plane < last; ++plane) {
      SmallVector<Value> inputs;
      SmallVector<std::pair<int64_t, int64_t>> from;
      for (int64_t byte = 0; byte < ByteStream::kWordBytes; ++byte) {
        auto place = stream.getSource(plane, byte);
        if (!place)
          continue;
        const int64_t *phase =
            llvm::find(phases, row + place->column % stream.stride);
        if (phase == phases.end())
          continue; // no tap reads it
        inputs.push_back(tensor::ExtractSliceOp::create(
            b, loc, lineType, source,
            at(phase - phases.begin(), place->column / stream.stride), sizes,
            strides));
        from.push_back({place->slot, byte});
      }
      // Written where it stays.
      SmallVector<OpFoldResult> target =
          at(int64_t(r) * planes + plane - first, 0);
      Value init = tensor::ExtractSliceOp::create(b, loc, lineType, result,
                                                  target, sizes, strides);
      result = tensor::InsertSliceOp::create(
          b, loc, joinBytes(b, loc, inputs, from, init), result, target, sizes,
          strides);
    }
  return result;
}
