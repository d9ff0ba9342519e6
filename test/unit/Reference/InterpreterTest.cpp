//===- InterpreterTest.cpp - The reference on hetprec functions -----------===//

#include "TestUtils.h"

#include "sysmol/Dialect/Hetprec/IR/Hetprec.h"
#include "sysmol/Reference/Interpreter.h"

#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"

#include <cstring>

using namespace sysmol::reference;

namespace {

/// Parses a module and runs its only function.
class Interpreter : public testing::Test {
protected:
  Interpreter() {
    context.loadDialect<mlir::arith::ArithDialect, mlir::func::FuncDialect,
                        mlir::math::MathDialect, mlir::tensor::TensorDialect,
                        sysmol::hetprec::HetprecDialect>();
  }

  Result<std::vector<HostTensor>> run(llvm::StringRef text,
                                      std::vector<HostTensor> inputs,
                                      ValueObserver observer = nullptr) {
    module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    if (!module)
      return Error{"does not parse"};
    auto functions = module->getOps<mlir::func::FuncOp>();
    return interpret(*functions.begin(), inputs, observer);
  }

  mlir::RankedTensorType type(llvm::StringRef text) {
    return llvm::cast<mlir::RankedTensorType>(mlir::parseType(text, &context));
  }

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

TEST_F(Interpreter, RunsANetwork) {
  const char *text = R"mlir(
#in = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
#w0 = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [8]>
#a1 = #hetprec.channels<axis = 1, grid = unsigned, scale = 2.0, bits = [2 x 2]>
#f1 = #hetprec.channels<axis = 1, grid = unsigned, scale = 2.0, bits = [2 x 2]>
#w1 = #hetprec.channels<axis = 1, grid = midrise, scale = 0.25, bits = [2 x 2]>
func.func @net(%x: tensor<1x1x2x2xf32>) -> tensor<1x3xf32> {
  %w0 = arith.constant dense<[[[[127]]], [[[-127]]]]> : tensor<2x1x1x1xi8, #w0>
  %w1 = arith.constant dense<[[0, 3], [1, 2], [3, 3]]> : tensor<3x2xi8, #w1>
  %q = hetprec.quantize %x : tensor<1x1x2x2xf32> to tensor<1x1x2x2xi8, #in>
  %a = hetprec.conv_2d %q, %w0
      : tensor<1x1x2x2xi8, #in>, tensor<2x1x1x1xi8, #w0> -> tensor<1x2x2x2xi32>
  %k = hetprec.requantize %a multiplier = [1.0e-4] offset = [0.0, 3.0]
      : tensor<1x2x2x2xi32> to tensor<1x2x2x2xi8, #a1>
  %s = hetprec.sum_pool_2d %k kernel = [2, 2]
      : tensor<1x2x2x2xi8, #a1> -> tensor<1x2x1x1xi32>
  %m = hetprec.requantize %s multiplier = [0.25] offset = [0.0]
      : tensor<1x2x1x1xi32> to tensor<1x2x1x1xi8, #a1>
  %f = hetprec.flatten %m
      : tensor<1x2x1x1xi8, #a1> to tensor<1x2xi8, #f1>
  %y = hetprec.matmul %f, %w1
      : tensor<1x2xi8, #f1>, tensor<3x2xi8, #w1> -> tensor<1x3xi32>
  %r = hetprec.to_real %y multiplier = [0.5] offset = [0.0, 1.0, 2.0]
      : tensor<1x3xi32> to tensor<1x3xf32>
  return %r : tensor<1x3xf32>
}
)mlir";
  std::vector<std::string> seen;
  std::vector<HostTensor> values;
  // 8 bits, alpha 1: codes 0, 255, 128 (127.5, a tie), 51.
  FloatTensor x{{1, 1, 2, 2}, {-1.f, 2.f, 0.5f, 0.2f}};
  SYSMOL_VALUE(
      results, run(text, {x}, [&](mlir::Value value, const HostTensor &tensor) {
        seen.push_back(value.getDefiningOp()->getName().stripDialect().str());
        values.push_back(tensor);
      }));
  EXPECT_EQ(seen, (std::vector<std::string>{"constant", "constant", "quantize",
                                            "conv_2d", "requantize",
                                            "sum_pool_2d", "requantize",
                                            "flatten", "matmul", "to_real"}));
  using Ints = std::vector<int32_t>;
  EXPECT_EQ(values[2].ints().data, (Ints{0, 255, 128, 51}));
  EXPECT_EQ(values[3].ints().data,
            (Ints{0, 32385, 16256, 6477, 0, -32385, -16256, -6477}));
  EXPECT_EQ(values[4].ints().data, (Ints{0, 3, 2, 1, 3, 0, 1, 2}));
  EXPECT_EQ(values[5].ints().data, (Ints{6, 6}));
  EXPECT_EQ(values[6].ints().data, (Ints{2, 2})); // 1.5, a tie
  EXPECT_EQ(values[7].shape(), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(values[8].ints().data, (Ints{0, 0, 12}));
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].reals().data, (std::vector<float>{0, 1, 8}));
}

TEST_F(Interpreter, ResidualSumsAreCarriers) {
  const char *text = R"mlir(
#c = #hetprec.carrier<delta = 0.5>
#a = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [1, 8]>
func.func @f(%x: tensor<1x2xi32>, %r: tensor<1x2xi16, #c>)
    -> (tensor<1x2xi8, #a>, tensor<1x2xf32>) {
  %k = hetprec.to_carrier %x multiplier = [0.5, 2.0]
      : tensor<1x2xi32> to tensor<1x2xi16, #c>
  %s = hetprec.add %k, %r : tensor<1x2xi16, #c>
  %q = hetprec.requantize %s multiplier = [1.0, -1.0] offset = [0.0, 0.0]
      : tensor<1x2xi16, #c> to tensor<1x2xi8, #a>
  %y = hetprec.to_real %s multiplier = [0.5] offset = [0.0]
      : tensor<1x2xi16, #c> to tensor<1x2xf32>
  return %q, %y : tensor<1x2xi8, #a>, tensor<1x2xf32>
}
)mlir";
  SYSMOL_VALUE(results, run(text, {IntTensor{{1, 2}, {-5, 30000}},
                                   IntTensor{{1, 2}, {1, 5}}}));
  EXPECT_EQ(results[0].ints().data, (std::vector<int32_t>{0, -127}));
  EXPECT_EQ(results[1].reals().data, (std::vector<float>{-0.5f, 16383.5f}));
  EXPECT_REFUSED(
      run(text, {IntTensor{{1, 2}, {0, 0}}, IntTensor{{1, 2}, {0, -32769}}}),
      "argument 1");
}

TEST_F(Interpreter, DepthwiseGroupsAndPermutes) {
  const char *text = R"mlir(
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 4]>
#b = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [4, 1]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = [0.5, 1.0],
                       bits = [4, 1], groups = 2>
func.func @f(%x: tensor<1x2x1x1xi8, #a>, %w: tensor<2x1x1x1xi8, #w>)
    -> (tensor<1x2x1x1xi32>, tensor<1x2x1x1xi32>, tensor<2x1x1x1xf32>,
        tensor<1x2x1x1xf32>) {
  %p = hetprec.permute %x axis = 1 permutation = [1, 0]
      : tensor<1x2x1x1xi8, #a> to tensor<1x2x1x1xi8, #b>
  %g = hetprec.conv_2d %p, %w groups = 2
      : tensor<1x2x1x1xi8, #b>, tensor<2x1x1x1xi8, #w> -> tensor<1x2x1x1xi32>
  %d = hetprec.depthwise_conv_2d %p, %w
      : tensor<1x2x1x1xi8, #b>, tensor<2x1x1x1xi8, #w> -> tensor<1x2x1x1xi32>
  %r = hetprec.dequantize %w
      : tensor<2x1x1x1xi8, #w> to tensor<2x1x1x1xf32>
  %s = hetprec.dequantize %p
      : tensor<1x2x1x1xi8, #b> to tensor<1x2x1x1xf32>
  return %g, %d, %r, %s : tensor<1x2x1x1xi32>, tensor<1x2x1x1xi32>,
      tensor<2x1x1x1xf32>, tensor<1x2x1x1xf32>
}
)mlir";
  IntTensor x{{1, 2, 1, 1}, {1, 12}}, w{{2, 1, 1, 1}, {15, 0}};
  SYSMOL_VALUE(results, run(text, {x, w}));
  EXPECT_EQ(results[0].ints().data, (std::vector<int32_t>{15 * 12, -120}));
  EXPECT_EQ(results[1].ints().data, results[0].ints().data);
  EXPECT_EQ(results[2].reals().data, (std::vector<float>{0.9375f, -1.f}));
  EXPECT_EQ(results[3].reals().data, (std::vector<float>{0.8f, 1.f}));
  IntTensor offGrid{{2, 1, 1, 1}, {15, 2}};
  EXPECT_REFUSED(run(text, {x, offGrid}), "1-bit");
}

TEST_F(Interpreter, ShapesConstantsAndPermutedReals) {
  const char *text = R"mlir(
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8 x 2]>
func.func @f(%x: tensor<2x3xf32>)
    -> (tensor<6xf32>, tensor<1x2x3xf32>, tensor<2x3xf32>, tensor<2x2xi8, #a>) {
  %c = tensor.collapse_shape %x [[0, 1]] : tensor<2x3xf32> into tensor<6xf32>
  %e = tensor.expand_shape %x [[0, 1], [2]] output_shape [1, 2, 3]
      : tensor<2x3xf32> into tensor<1x2x3xf32>
  %p = hetprec.permute %x axis = 1 permutation = [2, 0, 1]
      : tensor<2x3xf32> to tensor<2x3xf32>
  %k = arith.constant dense<-1> : tensor<2x2xi8, #a>
  return %c, %e, %p, %k
      : tensor<6xf32>, tensor<1x2x3xf32>, tensor<2x3xf32>, tensor<2x2xi8, #a>
}
)mlir";
  SYSMOL_VALUE(results, run(text, {FloatTensor{{2, 3}, {0, 1, 2, 3, 4, 5}}}));
  EXPECT_EQ(results[0].shape(), (std::vector<int64_t>{6}));
  EXPECT_EQ(results[1].shape(), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(results[2].reals().data, (std::vector<float>{2, 0, 1, 5, 3, 4}));
  // An i8 of -1 is the unsigned code 255 (HP5).
  EXPECT_EQ(results[3].ints().data, (std::vector<int32_t>{255, 255, 255, 255}));
}

TEST_F(Interpreter, ResourceConstants) {
  const char *text = R"mlir(
func.func @f() -> tensor<2xf32> {
  %c = arith.constant dense_resource<r> : tensor<2xf32>
  return %c : tensor<2xf32>
}
{-# dialect_resources: { builtin: {
  r: "0x040000000000803F00000040"
} } #-}
)mlir";
  SYSMOL_VALUE(results, run(text, {}));
  EXPECT_EQ(results[0].reals().data, (std::vector<float>{1, 2}));
}

TEST_F(Interpreter, NamesWhatItCannotRun) {
  const char *unknown = R"mlir(
func.func @f(%x: tensor<2xf32>) -> tensor<2xf32> {
  %y = math.exp %x : tensor<2xf32>
  return %y : tensor<2xf32>
}
)mlir";
  FloatTensor x{{2}, {0, 1}};
  EXPECT_REFUSED(run(unknown, {x}), "'math.exp' has no reference semantics");
  EXPECT_REFUSED(run(unknown, {}), "takes 1 tensors, not 0");
  EXPECT_REFUSED(run(unknown, {FloatTensor{{1}, {0}}}), "argument 0");
  EXPECT_REFUSED(run(unknown, {IntTensor{{2}, {0, 0}}}), "argument 0");
  EXPECT_REFUSED(run("func.func private @f(tensor<2xf32>)", {x}), "one block");
  const char *scalar = R"mlir(
func.func @f(%x: f32) { return }
)mlir";
  EXPECT_REFUSED(run(scalar, {x}), "ranked");
  const char *effect = R"mlir(
func.func @f(%x: tensor<2xf32>) {
  func.call @f(%x) : (tensor<2xf32>) -> ()
  return
}
)mlir";
  EXPECT_REFUSED(run(effect, {x}), "'func.call'");
  const char *off = R"mlir(
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 2]>
func.func @f() {
  %k = arith.constant dense<4> : tensor<2x2xi8, #a>
  return
}
)mlir";
  EXPECT_REFUSED(run(off, {}), "'arith.constant' code 4");
}

// HP24: what an argument has outside its level is not read; -128 is -127.
TEST_F(Interpreter, ReadsTheBitsOfALevel) {
  const char *text = R"mlir(
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1, 4, 8]>
#s = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 8]>
func.func @f(%x: tensor<1x3xi8, #a>, %y: tensor<1x2xi8, #s>)
    -> (tensor<1x3xi8, #a>, tensor<1x2xi8, #s>) {
  return %x, %y : tensor<1x3xi8, #a>, tensor<1x2xi8, #s>
}
)mlir";
  IntTensor x{{1, 3}, {2, 255, 255}}, y{{1, 2}, {-2, -128}};
  SYSMOL_VALUE(results, run(text, {x, y}));
  EXPECT_EQ(results[0].ints().data, (std::vector<int32_t>{0, 15, 255}));
  EXPECT_EQ(results[1].ints().data, (std::vector<int32_t>{2, -127}));
  EXPECT_REFUSED(run(text, {x, IntTensor{{1, 1}, {0}}}), "argument 1");
}

// HP24: a carrier from outside that HP17 does not have.
TEST_F(Interpreter, ReadsTheLowestCarrier) {
  const char *text = R"mlir(
#c = #hetprec.carrier<delta = 1.0>
func.func @f(%x: tensor<1x3xi16, #c>) -> tensor<1x3xi16, #c> {
  return %x : tensor<1x3xi16, #c>
}
)mlir";
  SYSMOL_VALUE(results, run(text, {IntTensor{{1, 3}, {-32768, -32767, 5}}}));
  EXPECT_EQ(results[0].ints().data, (std::vector<int32_t>{-32767, -32767, 5}));
  EXPECT_REFUSED(run(text, {IntTensor{{1, 3}, {-32769, 0, 0}}}), "argument 0");
}

TEST_F(Interpreter, BuffersRoundTrip) {
  mlir::RankedTensorType codes =
      type("tensor<1x2xi8, #hetprec.channels<axis = 1, grid = unsigned, "
           "scale = 1.0, bits = [8, 1]>>");
  std::vector<char> bytes = {'\xff', '\x01'};
  SYSMOL_VALUE(tensor, hostTensorFromBytes(codes, bytes));
  EXPECT_EQ(tensor.ints().data, (std::vector<int32_t>{255, 1}));
  SYSMOL_VALUE(back, hostTensorToBytes(codes, tensor));
  EXPECT_EQ(back, bytes);

  mlir::RankedTensorType carrier =
      type("tensor<2xi16, #hetprec.carrier<delta = 1.0>>");
  IntTensor k{{2}, {-32767, 5}};
  SYSMOL_VALUE(carrierBytes, hostTensorToBytes(carrier, k));
  EXPECT_EQ(carrierBytes.size(), 4u);
  SYSMOL_VALUE(carrierBack, hostTensorFromBytes(carrier, carrierBytes));
  EXPECT_EQ(carrierBack.ints().data, k.data);

  mlir::RankedTensorType reals = type("tensor<2xf32>");
  FloatTensor x{{2}, {-0.0f, 1e-40f}};
  SYSMOL_VALUE(realBytes, hostTensorToBytes(reals, x));
  SYSMOL_VALUE(realBack, hostTensorFromBytes(reals, realBytes));
  EXPECT_EQ(std::memcmp(realBack.reals().data.data(), x.data.data(), 8), 0);

  mlir::RankedTensorType acc = type("tensor<1xi32>");
  IntTensor least{{1}, {-2147483647 - 1}};
  SYSMOL_VALUE(accBytes, hostTensorToBytes(acc, least));
  SYSMOL_VALUE(accBack, hostTensorFromBytes(acc, accBytes));
  EXPECT_EQ(accBack.ints().data, least.data);

  EXPECT_REFUSED(hostTensorFromBytes(codes, realBytes), "8 bytes");
  EXPECT_REFUSED(hostTensorFromBytes(type("tensor<2xf64>"), realBytes), "f32");
  EXPECT_REFUSED(hostTensorFromBytes(type("tensor<?xf32>"), realBytes),
                 "static");
  EXPECT_REFUSED(hostTensorToBytes(codes, IntTensor{{1, 2}, {256, 0}}),
                 "8-bit");
  EXPECT_REFUSED(hostTensorToBytes(codes, IntTensor{{2}, {0, 0}}), "shape");
  EXPECT_REFUSED(hostTensorToBytes(reals, IntTensor{{2}, {0, 0}}), "integers");
  EXPECT_REFUSED(hostTensorToBytes(acc, FloatTensor{{1}, {0}}), "reals");
}

} // namespace
