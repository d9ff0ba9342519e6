//===- LaneLayoutTest.cpp - Where pixels lie ------------------------------===//

#include "sysmol/Analysis/LaneLayout.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

using namespace mlir;
using namespace sysmol;
using namespace sysmol::hetprec;

namespace {

class LaneLayoutTest : public testing::Test {
protected:
  LaneLayoutTest() {
    context
        .loadDialect<arith::ArithDialect, func::FuncDialect, HetprecDialect>();
  }

  func::FuncOp parse(const std::string &text) {
    module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(module) << text;
    return *module->getOps<func::FuncOp>().begin();
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

struct Shape {
  int64_t n, h, w, kh, kw;
  std::array<int64_t, 2> strides;
  std::array<int64_t, 4> pads;
  std::array<int64_t, 2> dilations;

  int64_t out(int axis) const {
    int64_t size = axis ? w : h, kernel = axis ? kw : kh;
    return (size + pads[axis] + pads[axis + 2] -
            dilations[axis] * (kernel - 1) - 1) /
               strides[axis] +
           1;
  }
};

} // namespace

static std::string list(llvm::ArrayRef<int64_t> values) {
  std::string text;
  for (int64_t value : values)
    text += (text.empty() ? "" : ", ") + std::to_string(value);
  return "[" + text + "]";
}

static std::string sizes(llvm::ArrayRef<int64_t> values) {
  std::string text;
  for (int64_t value : values)
    text += std::to_string(value) + "x";
  return text;
}

static std::string makeConv(const Shape &s) {
  std::string act = "#hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, "
                    "bits = [1]>",
              wgt = "#hetprec.channels<axis = 1, grid = midrise, scale = 1.0, "
                    "bits = [1]>";
  std::string x = "tensor<" + sizes({s.n, 1, s.h, s.w}) + "i8, " + act + ">",
              w = "tensor<" + sizes({1, 1, s.kh, s.kw}) + "i8, " + wgt + ">",
              y = "tensor<" + sizes({s.n, 1, s.out(0), s.out(1)}) + "i32>";
  return "func.func @f(%x: " + x + ") -> " + y +
         " {\n%w = arith.constant dense<1> : " + w +
         "\n%y = hetprec.conv_2d %x, %w strides = " + list(s.strides) +
         " pads = " + list(s.pads) + " dilations = " + list(s.dilations) +
         " : " + x + ", " + w + " -> " + y + "\nreturn %y : " + y + "\n}";
}

/// Every pixel in its own lane, `isPixel` exactly there, all inside the plane.
static void checkPixels(LanesAttr layout) {
  std::set<int64_t> lanes;
  for (int64_t n = 0; n < layout.getImages(); ++n)
    for (int64_t y = 0; y < layout.getHeight(); ++y)
      for (int64_t x = 0; x < layout.getWidth(); ++x) {
        int64_t lane = layout.laneOf(n, y, x);
        EXPECT_GE(lane, layout.getBase());
        EXPECT_LT(lane, layout.getSize());
        EXPECT_TRUE(lanes.insert(lane).second) << "lane " << lane << " twice";
      }
  for (int64_t lane = 0; lane < layout.getSize(); ++lane)
    EXPECT_EQ(layout.isPixel(lane), lanes.contains(lane)) << lane;
  EXPECT_EQ(layout.getSize() % kLaneBlock, 0);
  EXPECT_EQ(layout.getBase() % kLaneBlock, 0);
}

/// Each tap of each output pixel reads its input pixel, or, in the padding, a
/// lane that is no pixel; nothing reads outside the plane.
static void checkWindow(const Shape &s, const LaneLayout &layouts,
                        mlir::Operation *conv) {
  LanesAttr in = layouts.getLayout(conv->getOperand(0));
  LanesAttr out = layouts.getLayout(conv->getResult(0));
  bool strided = Window::get(conv).isStrided();
  LanesAttr phase = strided ? layouts.getPhaseLayout(conv) : in;
  checkPixels(in);
  checkPixels(out);
  checkPixels(phase);
  // An op computes lanes [base, base + count) of both planes at once.
  EXPECT_EQ(out.getBase(), phase.getBase());
  EXPECT_EQ(out.getRowStride(), phase.getRowStride());
  EXPECT_EQ(out.getImageStride(), phase.getImageStride());
  int64_t count = layouts.getLaneCount(conv->getResult(0));
  EXPECT_EQ(count % kLaneBlock, 0);
  EXPECT_LE(out.getBase() + count, out.getSize());
  // All pixels, and no block more, however many padded phases there are.
  int64_t last = out.laneOf(s.n - 1, s.out(0) - 1, s.out(1) - 1);
  EXPECT_EQ(count, llvm::alignTo(last + 1 - out.getBase(), kLaneBlock));

  for (int64_t ky = 0; ky < s.kh; ++ky)
    for (int64_t kx = 0; kx < s.kw; ++kx) {
      int64_t dy = ky * s.dilations[0], dx = kx * s.dilations[1];
      int64_t shift =
          strided ? dy / s.strides[0] * phase.getRowStride() + dx / s.strides[1]
                  : (dy - s.pads[0]) * phase.getRowStride() + dx - s.pads[1];
      // Whole blocks are read, also behind the last pixel.
      EXPECT_GE(out.getBase() + shift, 0);
      EXPECT_LE(out.getBase() + count + shift, phase.getSize());
      if (strided)
        continue; // the phases hold the padding
      for (int64_t n = 0; n < s.n; ++n)
        for (int64_t y = 0; y < s.out(0); ++y)
          for (int64_t x = 0; x < s.out(1); ++x) {
            int64_t lane = out.laneOf(n, y, x) + shift;
            int64_t iy = y - s.pads[0] + dy, ix = x - s.pads[1] + dx;
            bool inside = iy >= 0 && iy < s.h && ix >= 0 && ix < s.w;
            if (inside)
              EXPECT_EQ(lane, in.laneOf(n, iy, ix));
            else
              EXPECT_FALSE(in.isPixel(lane))
                  << "pad (" << iy << ", " << ix << ") falls on a pixel";
          }
    }
}

TEST_F(LaneLayoutTest, WindowsReadPixelsAndPads) {
  std::vector<Shape> shapes;
  for (int64_t n : {1, 2, 3})
    for (auto [h, w] :
         {std::pair<int64_t, int64_t>{1, 1}, {5, 7}, {8, 8}, {3, 64}, {17, 33}})
      for (int64_t stride : {1, 2, 3})
        for (auto pads : {std::array<int64_t, 4>{0, 0, 0, 0},
                          {1, 1, 1, 1},
                          {2, 0, 1, 3},
                          {0, 3, 4, 1}})
          for (auto [k, d] :
               {std::pair<int64_t, int64_t>{1, 1}, {3, 1}, {3, 2}, {5, 1}}) {
            Shape s{n, h, w, k, k, {stride, stride}, pads, {d, d}};
            if (h + pads[0] + pads[2] < d * (k - 1) + 1 ||
                w + pads[1] + pads[3] < d * (k - 1) + 1)
              continue;
            shapes.push_back(s);
          }
  EXPECT_GT(shapes.size(), 300u);
  for (const Shape &s : shapes) {
    std::string text = makeConv(s);
    SCOPED_TRACE(text);
    func::FuncOp function = parse(text);
    LaneLayout layouts(function);
    function.walk([&](Conv2DOp conv) { checkWindow(s, layouts, conv); });
    if (HasFailure())
      return;
  }
}

// The phases of a strided window: those of its taps, each once, in order.
TEST_F(LaneLayoutTest, PhasesAreThoseOfTheTaps) {
  auto phasesOf = [](int64_t kernel, int64_t stride, int64_t dilation) {
    Window window{{kernel, kernel}, {stride, stride}, {dilation, dilation}, {}};
    SmallVector<int64_t> phases = window.getPhases();
    std::set<int64_t> read;
    for (int64_t ky = 0; ky < kernel; ++ky)
      for (int64_t kx = 0; kx < kernel; ++kx)
        read.insert(window.getPhase(ky, kx));
    EXPECT_TRUE(llvm::equal(phases, read));
    return list(phases);
  };
  EXPECT_EQ(phasesOf(1, 2, 1), "[0]");
  EXPECT_EQ(phasesOf(2, 2, 1), "[0, 1, 2, 3]");
  EXPECT_EQ(phasesOf(3, 2, 2), "[0]");
  EXPECT_EQ(phasesOf(2, 3, 1), "[0, 1, 3, 4]");
  EXPECT_EQ(phasesOf(7, 3, 2), "[0, 1, 2, 3, 4, 5, 6, 7, 8]");
}

// Two readers of one value: its rows are far enough apart for both.
TEST_F(LaneLayoutTest, ReadersShareALayout) {
  func::FuncOp function = parse(R"(
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @f(%x: tensor<2x1x6x5xi8, #a>) -> (tensor<2x1x6x5xi32>, tensor<2x1x6x5xi32>) {
  %w = arith.constant dense<1> : tensor<1x1x3x3xi8, #w>
  %v = arith.constant dense<1> : tensor<1x1x7x7xi8, #w>
  %p = hetprec.conv_2d %x, %w pads = [1, 1, 1, 1] : tensor<2x1x6x5xi8, #a>, tensor<1x1x3x3xi8, #w> -> tensor<2x1x6x5xi32>
  %q = hetprec.conv_2d %x, %v pads = [3, 3, 3, 3] : tensor<2x1x6x5xi8, #a>, tensor<1x1x7x7xi8, #w> -> tensor<2x1x6x5xi32>
  return %p, %q : tensor<2x1x6x5xi32>, tensor<2x1x6x5xi32>
})");
  LaneLayout layouts(function);
  LanesAttr layout = layouts.getLayout(function.getArgument(0));
  EXPECT_EQ(layout.getRowStride(), 5 + 3);
  EXPECT_EQ(layout.getImageStride(), (6 + 3) * (5 + 3));
  function.walk([&](Conv2DOp conv) {
    EXPECT_EQ(layouts.getLayout(conv.getResult()), layout);
    Shape s{2, 6, 5, 3, 3, {1, 1}, {1, 1, 1, 1}, {1, 1}};
    if (conv.getPads()[0] == 3)
      s = {2, 6, 5, 7, 7, {1, 1}, {3, 3, 3, 3}, {1, 1}};
    checkWindow(s, layouts, conv);
  });
}

// Carrier sums join what they add; a strided reader does not.
TEST_F(LaneLayoutTest, StridedReadersStandApart) {
  func::FuncOp function = parse(R"(
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1]>
func.func @f(%x: tensor<1x1x8x8xi8, #a>) -> tensor<1x1x4x4xi32> {
  %w = arith.constant dense<1> : tensor<1x1x1x1xi8, #w>
  %p = hetprec.conv_2d %x, %w strides = [2, 2] : tensor<1x1x8x8xi8, #a>, tensor<1x1x1x1xi8, #w> -> tensor<1x1x4x4xi32>
  return %p : tensor<1x1x4x4xi32>
})");
  LaneLayout layouts(function);
  Value result;
  function.walk([&](Conv2DOp conv) { result = conv.getResult(); });
  EXPECT_EQ(layouts.getLayout(function.getArgument(0)).getRowStride(), 8);
  EXPECT_EQ(layouts.getLayout(result).getRowStride(), 4);
}

// Tiles are two pixels wide: the last one of an odd row writes behind it, which
// two columns of padding on either side leave no room for.
TEST_F(LaneLayoutTest, TilesOfARowStayBeforeTheNext) {
  auto strideWith = [&](const std::string &attributes) {
    func::FuncOp function = parse(
        R"(
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [4]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [4]>
func.func @f(%x: tensor<1x1x5x5xi8, #a>) -> tensor<1x1x7x7xi32> {
  %w = arith.constant dense<1> : tensor<1x1x3x3xi8, #w>
  %p = hetprec.conv_2d %x, %w pads = [2, 2, 2, 2] )" +
        attributes +
        R"( : tensor<1x1x5x5xi8, #a>, tensor<1x1x3x3xi8, #w> -> tensor<1x1x7x7xi32>
  return %p : tensor<1x1x7x7xi32>
})");
    return LaneLayout(function)
        .getLayout(function.getArgument(0))
        .getRowStride();
  };
  EXPECT_EQ(strideWith(""), 7);
  EXPECT_EQ(strideWith("{hetprec.lanes = #hetprec.lane_role<tiles>}"), 8);
}

TEST_F(LaneLayoutTest, MatricesAreImagesOfOnePixel) {
  func::FuncOp function = parse(R"(
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 3]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1 x 3]>
func.func @f(%x: tensor<70x3xi8, #a>) -> tensor<70x2xi32> {
  %w = arith.constant dense<1> : tensor<2x3xi8, #w>
  %p = hetprec.matmul %x, %w : tensor<70x3xi8, #a>, tensor<2x3xi8, #w> -> tensor<70x2xi32>
  return %p : tensor<70x2xi32>
})");
  LaneLayout layouts(function);
  LanesAttr layout = layouts.getLayout(function.getArgument(0));
  checkPixels(layout);
  EXPECT_EQ(layout.getImages(), 70);
  EXPECT_EQ(layout.laneOf(69, 0, 0), 69);
  EXPECT_EQ(layouts.getLaneCount(function.getArgument(0)), 128);
}
