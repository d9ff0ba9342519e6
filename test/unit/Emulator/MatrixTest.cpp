//===- MatrixTest.cpp - ldmatrix and stmatrix -----------------------------===//

#include "TestUtils.h"

using namespace sysmol::emulator::test;

namespace {
struct Case {
  unsigned count;
  bool transposed;
};

class MatrixTest : public testing::TestWithParam<Case> {
protected:
  std::string resultType() const {
    std::string type = "i32";
    for (unsigned i = 1; i < GetParam().count; ++i)
      type += ", i32";
    return GetParam().count == 1 ? type : "{ " + type + " }";
  }
  std::string suffix() const {
    return "sync.aligned.m8n8.x" + std::to_string(GetParam().count) +
           (GetParam().transposed ? ".trans" : "") + ".b16";
  }
};
} // namespace

/// Copies 128 words of %in to @s, four a lane, and waits.
static std::string fill() {
  std::string body = "  %f0 = mul i32 %lane, 4\n";
  for (unsigned i = 0; i < 4; ++i) {
    std::string n = "w" + std::to_string(i);
    body += "  %" + n + ".i = add i32 %f0, " + std::to_string(i) + "\n" +
            load(n, "%" + n + ".i") + "  %" + n +
            ".s = getelementptr i32, ptr addrspace(3) @s, i32 %" + n +
            ".i\n  store i32 %" + n + ", ptr addrspace(3) %" + n +
            ".s, align 4\n";
  }
  return body + "  call void @llvm.nvvm.bar.warp.sync(i32 -1)\n"
                "  %row = getelementptr i32, ptr addrspace(3) @s, i32 %f0\n";
}

static const char *const Globals =
    "@s = internal addrspace(3) global [128 x i32] undef, align 16\n"
    "declare void @llvm.nvvm.bar.warp.sync(i32)\n";

static uint16_t half(const std::vector<uint32_t> &words, unsigned matrix,
                     unsigned row, unsigned column) {
  unsigned index = matrix * 64 + row * 8 + column;
  return static_cast<uint16_t>(words[index / 2] >> (index % 2 * 16));
}

TEST_P(MatrixTest, Load) {
  auto [count, transposed] = GetParam();
  std::string name = "@llvm.nvvm.ldmatrix." + suffix() + ".p3";
  std::string body = fill() + "  %m = call " + resultType() + " " + name +
                     "(ptr addrspace(3) %row)\n";
  for (unsigned i = 0; i < count; ++i) {
    std::string n = "v" + std::to_string(i);
    body += count == 1 ? "  %v0 = add i32 %m, 0\n"
                       : "  %" + n + " = extractvalue " + resultType() +
                             " %m, " + std::to_string(i) + "\n";
    body += "  %" + n + ".o = add i32 %lane, " + std::to_string(32 * i) + "\n" +
            store(n, "%" + n + ".o");
  }
  auto in = randomWords(128, 10 + count);
  auto outcome =
      runWarp(kernel(body, std::string(Globals) + "declare " + resultType() +
                               " " + name + "(ptr addrspace(3))"),
              in, 32 * count);
  ASSERT_EQ(outcome.fault, "");
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned matrix = 0; matrix < count; ++matrix)
      for (unsigned h = 0; h < 2; ++h) {
        unsigned row = lane / 4, column = lane % 4 * 2 + h;
        uint16_t expected = transposed ? half(in, matrix, column, row)
                                       : half(in, matrix, row, column);
        EXPECT_EQ(
            static_cast<uint16_t>(outcome.out[matrix * 32 + lane] >> (16 * h)),
            expected)
            << "lane " << lane << " matrix " << matrix;
      }
}

TEST_P(MatrixTest, StoreIsTheInverseOfLoad) {
  auto [count, transposed] = GetParam();
  std::string loadName = "@llvm.nvvm.ldmatrix." + suffix() + ".p3";
  std::string storeName = "@llvm.nvvm.stmatrix." + suffix() + ".p3";
  std::string body = fill() + "  %m = call " + resultType() + " " + loadName +
                     "(ptr addrspace(3) %row)\n"
                     "  call void @llvm.nvvm.bar.warp.sync(i32 -1)\n";
  std::string arguments = "ptr addrspace(3) %row2", types = "ptr addrspace(3)";
  body += "  %row2 = getelementptr i32, ptr addrspace(3) @t, i32 %f0\n";
  for (unsigned i = 0; i < count; ++i) {
    std::string n = "v" + std::to_string(i);
    body += count == 1 ? "  %v0 = add i32 %m, 0\n"
                       : "  %" + n + " = extractvalue " + resultType() +
                             " %m, " + std::to_string(i) + "\n";
    arguments += ", i32 %" + n;
    types += ", i32";
  }
  body += "  call void " + storeName + "(" + arguments + ")\n" +
          "  call void @llvm.nvvm.bar.warp.sync(i32 -1)\n";
  for (unsigned i = 0; i < count; ++i) {
    std::string n = "x" + std::to_string(i);
    body += "  %" + n + ".i = add i32 %lane, " + std::to_string(32 * i) +
            "\n  %" + n + ".p = getelementptr i32, ptr addrspace(3) @t, i32 %" +
            n + ".i\n  %" + n + " = load i32, ptr addrspace(3) %" + n +
            ".p, align 4\n" + store(n, "%" + n + ".i");
  }
  auto in = randomWords(128, 20 + count);
  auto outcome = runWarp(
      kernel(body,
             std::string(Globals) +
                 "@t = internal addrspace(3) global [128 x i32] undef, align "
                 "16\ndeclare " +
                 resultType() + " " + loadName + "(ptr addrspace(3))\n" +
                 "declare void " + storeName + "(" + types + ")"),
      in, 32 * count);
  ASSERT_EQ(outcome.fault, "");
  for (unsigned i = 0; i < 32 * count; ++i)
    EXPECT_EQ(outcome.out[i], in[i]);
}

INSTANTIATE_TEST_SUITE_P(All, MatrixTest,
                         testing::Values(Case{1, false}, Case{2, false},
                                         Case{4, false}, Case{1, true},
                                         Case{2, true}, Case{4, true}));
