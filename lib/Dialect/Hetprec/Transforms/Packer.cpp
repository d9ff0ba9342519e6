//===- Packer.cpp - Operands, as packed before or as they come in ---------===//

#include "Packer.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

Type sysmol::hetprec::stripEncoding(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !tensor.getEncoding())
    return type;
  return RankedTensorType::get(tensor.getShape(), tensor.getElementType());
}

bool sysmol::hetprec::isOnePixel(Value value) {
  ArrayRef<int64_t> shape = cast<RankedTensorType>(value.getType()).getShape();
  return shape.size() == 2 ||
         (shape.size() == 4 && shape[2] == 1 && shape[3] == 1);
}

SmallVector<int64_t, 2> sysmol::hetprec::getRowShape(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  return {type.getDimSize(0), type.getDimSize(1)};
}

StringAttr Packer::getLayer(Operation *op) {
  if (auto name = dyn_cast<NameLoc>(op->getLoc()))
    return name.getName();
  return b.getStringAttr(op->getName().stripDialect());
}

FailureOr<PackedCodes> Packer::getCodes(Operation *user, Value value) {
  auto found = codes.find(value);
  if (found != codes.end())
    return found->second;
  auto rows = rowsOf.find(value);
  OpBuilder::InsertionGuard guard(b);
  FailureOr<Value> outside = failure();
  if (rows != rowsOf.end()) {
    outside = rows->second;
    b.setInsertionPointAfterValue(rows->second);
  } else {
    outside = getOutside(user, value);
    if (failed(outside))
      return failure();
    if (outside->getDefiningOp())
      b.setInsertionPointAfterValue(*outside);
    else
      b.setInsertionPointToStart(&function.getBody().front());
  }
  PackedCodes packed =
      packCodes(value.getLoc(), *outside, getChannels(value.getType()),
                layouts.getLayout(value));
  codes[value] = packed;
  return packed;
}

FailureOr<Value> Packer::getOutside(Operation *user, Value value) {
  Operation *producer = value.getDefiningOp();
  if (!producer)
    return value;
  auto constant = dyn_cast<arith::ConstantOp>(producer);
  if (!constant) {
    user->emitOpError("reads codes of '")
        << producer->getName() << "', which hetprec-pack does not know";
    return failure();
  }
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointAfter(producer);
  auto elements = cast<DenseElementsAttr>(constant.getValue());
  return arith::ConstantOp::create(
             b, constant.getLoc(),
             elements.reshape(cast<ShapedType>(stripEncoding(value.getType()))))
      .getResult();
}

FailureOr<Value> Packer::getPlainCodes(Operation *user, Value value,
                                       ArrayRef<int64_t> shape) {
  auto rows = rowsOf.find(value);
  if (rows != rowsOf.end())
    return reshape(user->getLoc(), rows->second, shape);
  auto packed = codes.find(value);
  if (packed != codes.end() && !isa<BlockArgument>(value))
    return unpackCodes(user->getLoc(), packed->second, shape);
  FailureOr<Value> outside = getOutside(user, value);
  if (failed(outside))
    return failure();
  Value plain = *outside;
  if (isa<BlockArgument>(plain)) // pack_lanes masks what it packs
    plain = maskCodes(b, user->getLoc(), plain, getChannels(value.getType()));
  return reshape(user->getLoc(), plain, shape);
}

FailureOr<Value> Packer::getPlainSums(Operation *user, Value value) {
  auto rows = rowsOf.find(value);
  if (rows != rowsOf.end())
    return rows->second;
  FailureOr<WidePlanes> wide = getPlanes(user, value);
  if (failed(wide))
    return failure();
  return unpackPlanes(user->getLoc(), *wide, getRowShape(value));
}

Value Packer::reshape(Location loc, Value value, ArrayRef<int64_t> shape) {
  auto type = cast<RankedTensorType>(value.getType());
  if (type.getRank() == int64_t(shape.size()))
    return value;
  SmallVector<ReassociationIndices> dims = {{0}, {1, 2, 3}};
  auto to = RankedTensorType::get(shape, type.getElementType());
  if (shape.size() == 2)
    return tensor::CollapseShapeOp::create(b, loc, to, value, dims);
  return tensor::ExpandShapeOp::create(b, loc, to, value, dims);
}

FailureOr<WidePlanes> Packer::getPlanes(Operation *user, Value value) {
  auto found = planes.find(value);
  if (found != planes.end())
    return found->second;
  auto rows = rowsOf.find(value);
  if (rows != rowsOf.end()) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointAfterValue(rows->second);
    auto type = cast<RankedTensorType>(rows->second.getType());
    SmallVector<int64_t> channels =
        llvm::to_vector(llvm::seq(type.getDimSize(1)));
    LanesAttr layout = layouts.getLayout(value);
    Value init = makeEmpty(value.getLoc(), channels.size(), layout.getSize(),
                           type.getElementType());
    Value plane =
        PackLanesOp::create(b, value.getLoc(), TypeRange{init.getType()},
                            rows->second, init, /*level=*/0, /*is_signed=*/true,
                            channels, layout, /*multiplier=*/FloatAttr())
            ->getResult(0);
    setPlanes(value, plane);
    return planes[value];
  }
  user->emitOpError("reads accumulators or carrier that no packed op computes; "
                    "they cannot be arguments");
  return failure();
}

Value Packer::makeCodePlanes(Location loc, int64_t words, Value value,
                             int64_t level) {
  LanesAttr layout = layouts.getLayout(value);
  Type element = b.getIntegerType(getWordBits(level));
  Value planes = makeEmpty(loc, words, layout.getSize(), element);
  Value zero = arith::ConstantOp::create(b, loc, b.getIntegerAttr(element, 0));
  auto fill = [&](int64_t first, int64_t last) {
    if (first == last)
      return;
    SmallVector<OpFoldResult> offsets = {b.getIndexAttr(0),
                                         b.getIndexAttr(first)},
                              sizes = {b.getIndexAttr(words),
                                       b.getIndexAttr(last - first)},
                              strides(2, b.getIndexAttr(1));
    Value border =
        tensor::ExtractSliceOp::create(b, loc, planes, offsets, sizes, strides);
    border = linalg::FillOp::create(b, loc, zero, border).getResult(0);
    planes = tensor::InsertSliceOp::create(b, loc, border, planes, offsets,
                                           sizes, strides);
  };
  fill(0, layout.getBase());
  fill(layout.getBase() + layouts.getLaneCount(value), layout.getSize());
  return planes;
}

PackedCodes Packer::packCodes(Location loc, Value value, ChannelsAttr encoding,
                              LanesAttr layout) {
  bool isReal =
      isa<FloatType>(cast<RankedTensorType>(value.getType()).getElementType());
  PackedCodes packed{makeSegments(encoding), encoding, layout};
  for (Segment &s : packed.segments) {
    Value init = makeEmpty(loc, s.getNumWords(), layout.getSize(),
                           b.getIntegerType(getWordBits(s.level)));
    FloatAttr multiplier;
    if (isReal)
      multiplier = b.getF32FloatAttr(getQuantizeMultiplier(encoding, s.level));
    s.plane = PackLanesOp::create(b, loc, TypeRange{init.getType()}, value,
                                  init, s.level, packed.isSigned(), s.channels,
                                  layout, multiplier)
                  ->getResult(0);
  }
  return packed;
}

Value Packer::unpackCodes(Location loc, const PackedCodes &packed,
                          ArrayRef<int64_t> shape) {
  Value result = tensor::EmptyOp::create(b, loc, shape, b.getI8Type());
  for (const Segment &s : packed.segments)
    result = UnpackLanesOp::create(b, loc, TypeRange{result.getType()}, s.plane,
                                   result, s.level, packed.isSigned(),
                                   s.channels, packed.layout)
                 ->getResult(0);
  return result;
}

Value Packer::unpackPlanes(Location loc, const WidePlanes &wide,
                           ArrayRef<int64_t> shape) {
  Value init = tensor::EmptyOp::create(
      b, loc, shape,
      cast<RankedTensorType>(wide.plane.getType()).getElementType());
  return UnpackLanesOp::create(b, loc, TypeRange{init.getType()}, wide.plane,
                               init, /*level=*/0, /*is_signed=*/true,
                               wide.getChannelOfPlanes(), wide.layout)
      ->getResult(0);
}

Value Packer::makeMask(Location loc, LanesAttr layout) {
  SmallVector<int8_t> mask;
  for (int64_t lane = 0; lane < layout.getSize(); ++lane)
    mask.push_back(layout.isPixel(lane) ? -1 : 0);
  return makeTable<int8_t>(b, loc, {layout.getSize()}, mask);
}
