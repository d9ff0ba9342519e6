//===- WgmmaTest.cpp - Products of a warpgroup ----------------------------===//
//
// The expectations follow the PTX ISA's formulas for row and column of a
// fragment's element, and its layout of a matrix without swizzle: core matrices
// of eight columns times 16 bytes, the next along k "leading dimension" bytes
// on, the next eight columns "stride dimension" bytes.
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "llvm/ADT/StringExtras.h"

#include <algorithm>

using namespace sysmol::emulator;
using namespace sysmol::emulator::test;

namespace {
constexpr unsigned Threads = 128;
constexpr unsigned SharedWords = 8192;

struct Case {
  unsigned n;
  std::string types;
  unsigned bits = 1;
  bool signedA = false, signedB = false;
  bool saturates = false;
  bool adds = true;
  /// Between core matrices, in units of 16 bytes.
  unsigned alongK = 8, alongN = 16;

  unsigned registersD() const { return n / 2; }
  /// Words of a thread: D, A.
  unsigned stride() const { return registersD() + 4; }
};

std::ostream &operator<<(std::ostream &os, const Case &c) {
  return os << "n" << c.n << " " << c.types;
}

const char *const Globals =
    "@s = internal addrspace(3) global [8192 x i32] undef, align 1024\n"
    "declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)\n";

const char *const Barrier =
    "  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)\n";
const char *const ProxyFence =
    "  call void asm sideeffect \"fence.proxy.async.shared::cta;\", \"\"()\n";

/// Every thread copies its part of `in`, from word `from`, into all of @s.
std::string fillShared(unsigned from) {
  std::string body;
  for (unsigned i = 0; i < SharedWords / Threads; ++i) {
    std::string n = "f" + std::to_string(i);
    body += "  %" + n + ".t = add i32 %tid, " + std::to_string(i * Threads) +
            "\n  %" + n + ".i = add i32 %" + n + ".t, " + std::to_string(from) +
            "\n" + load(n, "%" + n + ".i") + "  %" + n +
            ".s = getelementptr i32, ptr addrspace(3) @s, i32 %" + n +
            ".t\n  store i32 %" + n + ", ptr addrspace(3) %" + n +
            ".s, align 4\n";
  }
  return body;
}

std::string descriptor(const Case &c, const std::string &more = "") {
  uint64_t strides = uint64_t(c.alongK) << 16 | uint64_t(c.alongN) << 32;
  return "  %at = ptrtoint ptr addrspace(3) @s to i64\n"
         "  %at16 = lshr i64 %at, 4\n  %low = and i64 %at16, 16383\n"
         "  %desc0 = or i64 %low, " +
         std::to_string(strides) + "\n" +
         (more.empty() ? "  %desc = or i64 %desc0, 0\n" : more);
}

struct Statement {
  std::string before = "wgmma.fence.sync.aligned; ";
  std::string after = "; wgmma.commit_group.sync.aligned; "
                      "wgmma.wait_group.sync.aligned 0;";
};

/// Loads D and A of a thread, multiplies, stores D.
std::string multiply(const Case &c, const Statement &around = {}) {
  unsigned d = c.registersD();
  std::string body = "  %base = mul i32 %tid, " + std::to_string(c.stride()) +
                     "\n  %obase = mul i32 %tid, " + std::to_string(d) + "\n";
  std::vector<std::string> arguments, constraints(d, "=r"), types(d, "i32");
  for (unsigned i = 0; i < c.stride(); ++i) {
    std::string n = "r" + std::to_string(i);
    body += "  %" + n + ".i = add i32 %base, " + std::to_string(i) + "\n" +
            load(n, "%" + n + ".i");
    arguments.push_back("i32 %" + n);
    constraints.push_back(i < d ? std::to_string(i) : "r");
  }
  for (auto [value, constraint] :
       {std::pair("i64 %desc", "l"),
        std::pair(c.adds ? "i1 true" : "i1 false", "b")}) {
    arguments.emplace_back(value);
    constraints.emplace_back(constraint);
  }
  auto group = [](unsigned first, unsigned count) {
    std::vector<std::string> places;
    for (unsigned i = 0; i < count; ++i)
      places.push_back("$" + std::to_string(first + i));
    return "{" + llvm::join(places, ", ") + "}";
  };
  std::string ptx = around.before + "wgmma.mma_async.sync.aligned.m64n" +
                    std::to_string(c.n) + "k" + std::to_string(256 / c.bits) +
                    ".s32" + (c.saturates ? ".satfinite." : ".") + c.types +
                    " " + group(0, d) + ", " + group(2 * d, 4) + ", $" +
                    std::to_string(2 * d + 4) + ", $" +
                    std::to_string(2 * d + 5) + around.after;
  std::string result = "{ " + llvm::join(types, ", ") + " }";
  body += "  %d = call " + result + " asm sideeffect \"" + ptx + "\", \"" +
          llvm::join(constraints, ",") + "\"(" + llvm::join(arguments, ", ") +
          ")\n";
  for (unsigned i = 0; i < d; ++i) {
    std::string n = "d" + std::to_string(i);
    body += "  %" + n + " = extractvalue " + result + " %d, " +
            std::to_string(i) + "\n  %" + n + ".i = add i32 %obase, " +
            std::to_string(i) + "\n" + store(n, "%" + n + ".i");
  }
  return body;
}

int64_t element(const uint8_t *bytes, unsigned i, unsigned bits,
                bool isSigned) {
  if (bits == 1)
    return bytes[i / 8] >> i % 8 & 1;
  return isSigned ? int64_t(static_cast<int8_t>(bytes[i])) : bytes[i];
}

std::vector<uint32_t> inputs(const Case &c, uint64_t seed) {
  auto in = randomWords(size_t(Threads) * c.stride() + SharedWords, seed);
  if (c.saturates)
    for (unsigned t = 0; t < Threads; ++t)
      for (unsigned i = 0; i < c.registersD(); ++i)
        in[size_t(t) * c.stride() + i] = t % 2 ? 0x7fffffff : 0x80000000;
  return in;
}

Outcome runGroup(const Case &c, const std::string &body, unsigned threads) {
  LaunchConfig config;
  config.block = {threads, 1, 1};
  return run(kernel(body, Globals), inputs(c, 7),
             size_t(Threads) * c.registersD(), config);
}

class WgmmaTest : public testing::TestWithParam<Case> {};
} // namespace

TEST_P(WgmmaTest, Product) {
  const Case &c = GetParam();
  unsigned shared = Threads * c.stride();
  auto outcome = runGroup(c,
                          fillShared(shared) + ProxyFence + Barrier +
                              descriptor(c) + multiply(c),
                          Threads);
  ASSERT_EQ(outcome.fault, "");
  std::vector<uint32_t> in = inputs(c, 7);
  auto bytes = [&](size_t word) {
    return reinterpret_cast<const uint8_t *>(&in[word]);
  };
  unsigned count = 256 / c.bits, perRegister = 32 / c.bits;
  std::vector<std::vector<int64_t>> a(64, std::vector<int64_t>(count));
  for (unsigned t = 0; t < Threads; ++t)
    for (unsigned i = 0; i < 4 * perRegister; ++i) {
      unsigned group = t % 32 / 4, inGroup = t % 4, part = i / perRegister;
      unsigned row = t / 32 * 16 + group + (part % 2 ? 8 : 0);
      unsigned column = inGroup * perRegister + i % perRegister +
                        (part < 2 ? 0 : 4 * perRegister);
      a[row][column] = element(bytes(size_t(t) * c.stride() + c.registersD()),
                               i, c.bits, c.signedA);
    }
  std::vector<std::vector<int64_t>> b(c.n, std::vector<int64_t>(count));
  for (unsigned column = 0; column < c.n; ++column)
    for (unsigned k = 0; k < count; ++k) {
      unsigned perCore = count / 2;
      size_t core = column / 8 * c.alongN + k / perCore * c.alongK;
      b[column][k] = element(bytes(shared) + (core + column % 8) * 16,
                             k % perCore, c.bits, c.signedB);
    }
  for (unsigned t = 0; t < Threads; ++t)
    for (unsigned i = 0; i < c.registersD(); ++i) {
      unsigned row = t / 32 * 16 + t % 32 / 4 + (i % 4 < 2 ? 0 : 8);
      unsigned column = i / 4 * 8 + t % 4 * 2 + i % 2;
      int64_t sum =
          c.adds ? static_cast<int32_t>(in[size_t(t) * c.stride() + i]) : 0;
      for (unsigned k = 0; k < count; ++k)
        sum += a[row][k] * b[column][k];
      if (c.saturates)
        sum = std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX);
      ASSERT_EQ(outcome.out[size_t(t) * c.registersD() + i],
                static_cast<uint32_t>(sum))
          << "thread " << t << " register " << i;
    }
}

static std::vector<Case> cases() {
  std::vector<Case> all;
  for (unsigned n : {8, 24, 128, 256})
    all.push_back({n, "b1.b1.and.popc"});
  for (bool signedA : {false, true})
    for (bool signedB : {false, true})
      all.push_back(
          {64, std::string(signedA ? "s8" : "u8") + (signedB ? ".s8" : ".u8"),
           8, signedA, signedB, /*saturates=*/signedA});
  Case fresh = {128, "u8.u8", 8};
  fresh.adds = false;
  fresh.alongK = 133; // halves apart
  fresh.alongN = 8;
  all.push_back(fresh);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Shapes, WgmmaTest, testing::ValuesIn(cases()));

static void expectFault(const Outcome &outcome, FaultKind kind,
                        const std::string &part) {
  EXPECT_NE(outcome.fault.find(part), std::string::npos) << outcome.fault;
  EXPECT_EQ(outcome.fault.find('\n'), std::string::npos) << outcome.fault;
  EXPECT_EQ(outcome.kind, kind) << outcome.fault;
}

static const Case Small = {8, "b1.b1.and.popc"};
static const unsigned SmallShared = Threads * Small.stride();

TEST(WgmmaFault, WritesNeedAFenceOfTheProxy) {
  auto outcome = runGroup(Small,
                          fillShared(SmallShared) + Barrier +
                              descriptor(Small) + multiply(Small),
                          Threads);
  expectFault(outcome, FaultKind::Kernel, "no fence.proxy.async is behind");
  // One in front of the write does not help.
  outcome = runGroup(Small,
                     ProxyFence + fillShared(SmallShared) + Barrier +
                         descriptor(Small) + multiply(Small),
                     Threads);
  expectFault(outcome, FaultKind::Kernel, "no fence.proxy.async is behind");
}

TEST(WgmmaFault, WritesNeedABarrier) {
  auto outcome = runGroup(Small,
                          fillShared(SmallShared) + ProxyFence +
                              descriptor(Small) + multiply(Small),
                          Threads);
  expectFault(outcome, FaultKind::Kernel,
              "reads where no barrier since orders a write");
}

TEST(WgmmaFault, LaterWritesNeedABarrier) {
  auto outcome =
      runGroup(Small,
               fillShared(SmallShared) + ProxyFence + Barrier +
                   descriptor(Small) + multiply(Small) +
                   "  %w = getelementptr i32, ptr addrspace(3) @s, i32 %tid\n"
                   "  store i32 0, ptr addrspace(3) %w, align 4\n",
               Threads);
  expectFault(outcome, FaultKind::Kernel,
              "writes where no barrier since orders a read");
}

TEST(WgmmaFault, RegistersNeedAFence) {
  auto outcome = runGroup(
      Small,
      fillShared(SmallShared) + ProxyFence + Barrier + descriptor(Small) +
          multiply(Small, {"", "; wgmma.commit_group.sync.aligned; "
                               "wgmma.wait_group.sync.aligned 0;"}),
      Threads);
  expectFault(outcome, FaultKind::Kernel, "no wgmma.fence since");
}

TEST(WgmmaFault, ResultsNeedAWait) {
  for (const char *after : {";", "; wgmma.commit_group.sync.aligned;",
                            "; wgmma.commit_group.sync.aligned; "
                            "wgmma.wait_group.sync.aligned 1;"}) {
    auto outcome = runGroup(
        Small,
        fillShared(SmallShared) + ProxyFence + Barrier + descriptor(Small) +
            multiply(Small, {"wgmma.fence.sync.aligned; ", after}),
        Threads);
    expectFault(outcome, FaultKind::Kernel, "has waited for its wgmma");
  }
}

TEST(WgmmaFault, AGroupIsFourWarps) {
  auto outcome =
      runGroup(Small, descriptor(Small) + multiply(Small), Threads / 2);
  expectFault(outcome, FaultKind::Kernel,
              "needs four warps from warp 0; this block has 2 from there");
}

TEST(WgmmaFault, DescriptorsAreOneAndPlain) {
  auto outcome =
      runGroup(Small,
               descriptor(Small, "  %wide = zext i32 %tid to i64\n"
                                 "  %desc = add i64 %desc0, %wide\n") +
                   multiply(Small),
               Threads);
  expectFault(outcome, FaultKind::Kernel, "differs within the warpgroup");
  outcome = runGroup(
      Small,
      descriptor(Small, "  %desc = or i64 %desc0, 4611686018427387904\n") +
          multiply(Small),
      Threads);
  expectFault(outcome, FaultKind::Kernel, "swizzled");
}

TEST(WgmmaFault, UnknownShapesAreRefused) {
  for (const Case &c :
       {Case{12, "b1.b1.and.popc"}, Case{40, "b1.b1.and.popc"},
        Case{8, "b1.b1.xor.popc"}, Case{8, "s4.s4", 4}, Case{8, "u8.b1", 8}})
    expectFault(runGroup(c, descriptor(c) + multiply(c), Threads),
                FaultKind::Refused, "does not know 'wgmma.mma_async");
}
