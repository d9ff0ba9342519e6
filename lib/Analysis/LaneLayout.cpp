//===- LaneLayout.cpp - Where pixels lie in planes of lanes ---------------===//

#include "sysmol/Analysis/LaneLayout.h"

#include "sysmol/Analysis/ByteLanes.h"
#include "sysmol/Analysis/ByteStream.h"
#include "sysmol/Dialect/Hetprec/IR/WinogradTiles.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

Window Window::get(Operation *op) {
  return llvm::TypeSwitch<Operation *, Window>(op)
      .Case<Conv2DOp>([](Conv2DOp conv) {
        ArrayRef<int64_t> filter = conv.getFilter().getType().getShape();
        return Window{{filter[2], filter[3]},
                      llvm::to_vector<2>(conv.getStrides()),
                      llvm::to_vector<2>(conv.getDilations()),
                      llvm::to_vector<4>(conv.getPads())};
      })
      .Case<SumPool2DOp, MaxPool2DOp>([](auto pool) {
        return Window{llvm::to_vector<2>(pool.getKernel()),
                      llvm::to_vector<2>(pool.getStrides()),
                      {1, 1},
                      llvm::to_vector<4>(pool.getPads())};
      })
      .Default([](Operation *) {
        return Window{{1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}};
      });
}

SmallVector<int64_t> Window::getPhases() const {
  SmallVector<int64_t> phases;
  for (int64_t ky = 0; ky < kernel[0]; ++ky)
    for (int64_t kx = 0; kx < kernel[1]; ++kx)
      phases.push_back(getPhase(ky, kx));
  llvm::sort(phases);
  phases.erase(llvm::unique(phases), phases.end());
  return phases;
}

SmallVector<int64_t> Window::getRowPhases() const {
  SmallVector<int64_t> rows;
  for (int64_t phase : getPhases())
    rows.push_back(phase / strides[1] * strides[1]);
  rows.erase(llvm::unique(rows), rows.end());
  return rows;
}

LaneTaps Window::getLaneTaps(int64_t rowStride) const {
  LaneTaps lanes;
  SmallVector<int64_t> read = getPhases();
  lanes.numPhases = read.size();
  for (int64_t ky = 0; ky < kernel[0]; ++ky)
    for (int64_t kx = 0; kx < kernel[1]; ++kx) {
      int64_t y = ky * dilations[0], x = kx * dilations[1];
      if (!isStrided()) {
        lanes.taps.push_back((y - pads[0]) * rowStride + x - pads[1]);
        continue;
      }
      lanes.taps.push_back(y / strides[0] * rowStride + x / strides[1]);
      if (read.size() > 1)
        lanes.phases.push_back(llvm::find(read, getPhaseAt(y, x)) -
                               read.begin());
    }
  lanes.origin = *llvm::min_element(lanes.taps);
  for (int64_t &tap : lanes.taps)
    tap -= lanes.origin;
  return lanes;
}

SmallVector<int64_t> Window::getTapPixels() const {
  SmallVector<int64_t> pixels;
  for (int64_t ky = 0; ky < kernel[0]; ++ky)
    for (int64_t kx = 0; kx < kernel[1]; ++kx)
      pixels.append({ky * dilations[0] - pads[0], kx * dilations[1] - pads[1]});
  return pixels;
}

namespace {
/// `[N, C, H, W]`, or `[N, C]` as images of one pixel. The contract of the
/// model phase refuses codes of other ranks, which have one pixel here, too.
struct ImageShape {
  int64_t images, height, width;
  explicit ImageShape(Value value) {
    auto type = cast<RankedTensorType>(value.getType());
    bool isImage = type.getRank() == 4;
    images = type.getRank() > 0 ? type.getDimSize(0) : 1;
    height = isImage ? type.getDimSize(2) : 1;
    width = isImage ? type.getDimSize(3) : 1;
  }
};
} // namespace

/// Weights among them, which stay in classes of their own.
static bool isLaneValue(Value value) {
  return isa<RankedTensorType>(value.getType());
}

static const void *nodeOf(Value value) { return value.getAsOpaquePointer(); }

/// What tiles read, as a window: patches of the last row of tiles, all columns
/// of which are read from its first pixel on.
static std::array<int64_t, 7> getPatch(Operation *op, const Window &w) {
  ImageShape shape(op->getResult(0));
  int64_t columns =
      WinogradTiles::getReadColumns(llvm::divideCeil(shape.width, 2));
  constexpr int64_t patch = WinogradTiles::kPatch;
  return {w.pads[0], w.pads[1], patch, patch, 1, 1, columns - patch};
}

LaneLayout::LaneLayout(FunctionOpInterface function)
    : context(function.getContext()) {
  // Classes: every op's result meets its operands lane by lane; a strided
  // window's result meets the phases of its input instead.
  auto join = [&](Value a, Value b) { nodes.unionSets(nodeOf(a), nodeOf(b)); };
  for (BlockArgument arg : function.getArguments())
    if (isLaneValue(arg))
      nodes.insert(nodeOf(arg));
  function.walk([&](Operation *op) {
    for (Value result : op->getResults())
      if (isLaneValue(result))
        nodes.insert(nodeOf(result));
    llvm::TypeSwitch<Operation *>(op)
        .Case<Conv2DOp, SumPool2DOp, MaxPool2DOp>([&](auto window) {
          if (Window::get(window).isStrided())
            nodes.unionSets(window.getOperation(), nodeOf(window.getResult()));
          else
            join(window.getInput(), window.getResult());
        })
        .Case<MatmulOp>(
            [&](MatmulOp matmul) { join(matmul.getLhs(), matmul.getResult()); })
        .Case<RequantizeOp, ToCarrierOp, ToRealOp, DequantizeOp>(
            [&](auto unary) { join(unary.getInput(), unary.getResult()); })
        .Case<PermuteOp>([&](PermuteOp permute) {
          if (isLaneValue(permute.getInput()))
            join(permute.getInput(), permute.getResult());
        })
        .Case<FlattenOp>([&](FlattenOp flatten) {
          ArrayRef<int64_t> shape = flatten.getInput().getType().getShape();
          if (shape[2] * shape[3] == 1)
            join(flatten.getInput(), flatten.getResult());
        })
        .Case<AddOp>([&](AddOp add) {
          join(add.getLhs(), add.getResult());
          join(add.getRhs(), add.getResult());
        });
  });

  auto addImage = [&](Node node, int64_t images, int64_t height, int64_t width,
                      ArrayRef<int64_t> pads) {
    Class &c = classOf(node);
    c.images = std::max(c.images, images);
    c.height = std::max(c.height, height);
    c.width = std::max(c.width, width);
    c.rowStride = std::max(c.rowStride, width + std::max(pads[1], pads[3]));
    c.rows = std::max(c.rows, height + std::max(pads[0], pads[2]));
  };
  auto addValue = [&](Value value) {
    if (!isLaneValue(value))
      return;
    ImageShape shape(value);
    addImage(nodeOf(value), shape.images, shape.height, shape.width,
             {0, 0, 0, 0});
  };
  for (BlockArgument arg : function.getArguments())
    addValue(arg);
  function.walk([&](Operation *op) {
    for (Value result : op->getResults())
      addValue(result);
    if (!isa<Conv2DOp, SumPool2DOp, MaxPool2DOp>(op))
      return;
    Window w = Window::get(op);
    std::optional<ByteStream> stream = ByteStream::get(op);
    int64_t reach = stream ? stream->getReach() : 0;
    // Behind the lane of the last tap, that of the last byte.
    if (std::optional<ByteLanes> bytes = ByteLanes::get(op))
      reach = bytes->getLastColumn() / bytes->laneBytes -
              (w.kernel[1] - 1) * w.dilations[1] / w.strides[1];
    ImageShape shape(op->getOperand(0));
    if (!w.isStrided()) {
      addImage(nodeOf(op->getOperand(0)), shape.images, shape.height,
               shape.width, w.pads);
      Class &c = classOf(nodeOf(op->getOperand(0)));
      c.windows.push_back({w.pads[0], w.pads[1], w.kernel[0], w.kernel[1],
                           w.dilations[0], w.dilations[1], reach});
      auto role = op->getAttrOfType<LaneRoleAttr>(kLanesAttrName);
      if (role && role.getValue() == LaneRole::Tiles) {
        c.windows.push_back(getPatch(op, w));
        // The last tile of an odd row writes one pixel behind it, however much
        // padding it reads.
        c.windows.push_back({0, 0, 1, 1, 1, 1, /*reach=*/1});
        ImageShape result(op->getResult(0));
        c.rowStride =
            std::max<int64_t>(c.rowStride, llvm::alignTo(result.width, 2));
      }
      return;
    }
    // The padding is inside the phases.
    addImage(
        op, shape.images,
        llvm::divideCeil(shape.height + w.pads[0] + w.pads[2], w.strides[0]),
        llvm::divideCeil(shape.width + w.pads[1] + w.pads[3], w.strides[1]),
        {0, 0, 0, 0});
    classOf(op).windows.push_back(
        {0, 0, (w.kernel[0] - 1) * w.dilations[0] / w.strides[0] + 1,
         (w.kernel[1] - 1) * w.dilations[1] / w.strides[1] + 1, 1, 1, reach});
  });

  // Only now are the row strides final, and with them the reach of windows.
  for (auto &[node, c] : classes)
    for (auto [top, left, kh, kw, dy, dx, reach] : c.windows) {
      c.before = std::max(c.before, top * c.rowStride + left);
      c.after = std::max(c.after, ((kh - 1) * dy - top) * c.rowStride +
                                      (kw - 1) * dx - left + reach);
    }
}

LaneLayout::Class &LaneLayout::classOf(Node node) {
  return classes[nodes.getLeaderValue(node)];
}

const LaneLayout::Class &LaneLayout::classOf(Node node) const {
  auto found = classes.find(nodes.getLeaderValue(node));
  assert(found != classes.end() && "no argument or result of the function");
  return found->second;
}

static int64_t getExtent(int64_t images, int64_t imageStride, int64_t rowStride,
                         int64_t height, int64_t width) {
  int64_t lanes = (images - 1) * imageStride + (height - 1) * rowStride + width;
  return llvm::alignTo(lanes, kLaneBlock);
}

LanesAttr LaneLayout::makeLayout(const Class &c, int64_t height,
                                 int64_t width) const {
  int64_t imageStride = c.rows * c.rowStride;
  int64_t base = llvm::alignTo(c.before, kLaneBlock);
  int64_t count =
      getExtent(c.images, imageStride, c.rowStride, c.height, c.width);
  int64_t size = llvm::alignTo(base + count + c.after, kLaneBlock);
  return LanesAttr::get(context, c.images, height, width, c.rowStride,
                        imageStride, base, size);
}

LanesAttr LaneLayout::getLayout(Value value) const {
  ImageShape shape(value);
  return makeLayout(classOf(nodeOf(value)), shape.height, shape.width);
}

LanesAttr LaneLayout::getPhaseLayout(Operation *op) const {
  Window w = Window::get(op);
  ImageShape shape(op->getOperand(0));
  return makeLayout(
      classOf(op),
      llvm::divideCeil(shape.height + w.pads[0] + w.pads[2], w.strides[0]),
      llvm::divideCeil(shape.width + w.pads[1] + w.pads[3], w.strides[1]));
}

int64_t LaneLayout::getLaneCount(Value value) const {
  // Others of its class may be larger: the phases of a strided window hold
  // padding, too.
  const Class &c = classOf(nodeOf(value));
  ImageShape shape(value);
  return getExtent(shape.images, c.rows * c.rowStride, c.rowStride,
                   shape.height, shape.width);
}
