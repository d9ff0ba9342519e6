//===- WarpTest.cpp - Shuffles, votes, reductions, barriers ---------------===//

#include "TestUtils.h"

#include <algorithm>
#include <bit>

using namespace sysmol::emulator;
using namespace sysmol::emulator::test;

//===----------------------------------------------------------------------===//
// Special registers
//===----------------------------------------------------------------------===//

TEST(SpecialRegisters, NumberEveryThreadOfAGrid) {
  const char *ir = R"(
target triple = "nvptx64-nvidia-cuda"
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.tid.y()
declare i32 @llvm.nvvm.read.ptx.sreg.tid.z()
declare i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ntid.y()
declare i32 @llvm.nvvm.read.ptx.sreg.ntid.z()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.y()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.z()
declare i32 @llvm.nvvm.read.ptx.sreg.nctaid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.nctaid.y()
define ptx_kernel void @k(ptr addrspace(1) %in, ptr addrspace(1) %out) {
  %tx = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %ty = call i32 @llvm.nvvm.read.ptx.sreg.tid.y()
  %tz = call i32 @llvm.nvvm.read.ptx.sreg.tid.z()
  %nx = call i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
  %ny = call i32 @llvm.nvvm.read.ptx.sreg.ntid.y()
  %nz = call i32 @llvm.nvvm.read.ptx.sreg.ntid.z()
  %cx = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %cy = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.y()
  %cz = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.z()
  %gx = call i32 @llvm.nvvm.read.ptx.sreg.nctaid.x()
  %gy = call i32 @llvm.nvvm.read.ptx.sreg.nctaid.y()
  %b0 = mul i32 %cz, %gy
  %b1 = add i32 %b0, %cy
  %b2 = mul i32 %b1, %gx
  %b3 = add i32 %b2, %cx
  %t0 = mul i32 %b3, %nz
  %t1 = add i32 %t0, %tz
  %t2 = mul i32 %t1, %ny
  %t3 = add i32 %t2, %ty
  %t4 = mul i32 %t3, %nx
  %t5 = add i32 %t4, %tx
  %p = getelementptr i32, ptr addrspace(1) %out, i32 %t5
  store i32 %t5, ptr addrspace(1) %p, align 4
  ret void
}
)";
  LaunchConfig config;
  config.grid = {3, 2, 2};
  config.block = {5, 3, 2};
  for (uint64_t seed : {0, 7}) {
    config.scheduleSeed = seed;
    auto outcome = run(ir, {}, 12 * 30, config);
    ASSERT_EQ(outcome.fault, "");
    for (uint32_t i = 0; i < outcome.out.size(); ++i)
      EXPECT_EQ(outcome.out[i], i);
    EXPECT_EQ(outcome.statistics.globalBytesWritten, 12u * 30 * 4);
    EXPECT_EQ(outcome.statistics.operations["tid.x"], 12u * 30);
  }
}

TEST(SpecialRegisters, LaneMasks) {
  for (auto [name, expected] :
       {std::pair<const char *, uint32_t (*)(uint32_t)>(
            "eq", [](uint32_t l) { return 1u << l; }),
        {"lt", [](uint32_t l) { return (1u << l) - 1; }},
        {"le", [](uint32_t l) { return ~0u >> (31 - l); }},
        {"gt", [](uint32_t l) { return ~(~0u >> (31 - l)); }},
        {"ge", [](uint32_t l) { return ~0u << l; }}}) {
    std::string full =
        std::string("@llvm.nvvm.read.ptx.sreg.lanemask.") + name + "()";
    auto outcome =
        runWarp(kernel("  %m = call i32 " + full + "\n" + store("m", "%tid"),
                       "declare i32 " + full),
                {}, 32);
    ASSERT_EQ(outcome.fault, "");
    for (uint32_t lane = 0; lane < 32; ++lane)
      EXPECT_EQ(outcome.out[lane], expected(lane)) << name;
  }
}

//===----------------------------------------------------------------------===//
// Shuffles
//===----------------------------------------------------------------------===//

static std::string shuffle(const std::string &mode, unsigned b, unsigned c) {
  std::string name = "@llvm.nvvm.shfl.sync." + mode + ".i32p";
  return kernel(load("x", "%lane") + "  %s = call { i32, i1 } " + name +
                    "(i32 -1, i32 %x, i32 " + std::to_string(b) + ", i32 " +
                    std::to_string(c) + ")\n" +
                    "  %v = extractvalue { i32, i1 } %s, 0\n"
                    "  %p = extractvalue { i32, i1 } %s, 1\n"
                    "  %pi = zext i1 %p to i32\n  %hi = add i32 %lane, 32\n" +
                    store("v", "%lane") + store("pi", "%hi"),
                "declare { i32, i1 } " + name + "(i32, i32, i32, i32)");
}

TEST(Shuffle, Butterfly) {
  auto in = randomWords(32, 1);
  for (unsigned b : {1, 2, 4, 8, 16}) {
    auto outcome = runWarp(shuffle("bfly", b, 31), in, 64);
    ASSERT_EQ(outcome.fault, "");
    for (unsigned lane = 0; lane < 32; ++lane) {
      EXPECT_EQ(outcome.out[lane], in[lane ^ b]);
      EXPECT_EQ(outcome.out[lane + 32], 1u);
    }
  }
}

TEST(Shuffle, UpAndDownStopAtTheEnd) {
  auto in = randomWords(32, 2);
  auto up = runWarp(shuffle("up", 3, 0), in, 64);
  auto down = runWarp(shuffle("down", 5, 31), in, 64);
  ASSERT_EQ(up.fault + down.fault, "");
  for (unsigned lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(up.out[lane], in[lane < 3 ? lane : lane - 3]);
    EXPECT_EQ(up.out[lane + 32], lane >= 3);
    EXPECT_EQ(down.out[lane], in[lane + 5 > 31 ? lane : lane + 5]);
    EXPECT_EQ(down.out[lane + 32], lane + 5 <= 31);
  }
}

TEST(Shuffle, SegmentsOfEight) {
  // width 8: c = (32 - 8) << 8 | clamp, as __shfl_sync passes it.
  auto in = randomWords(32, 3);
  auto idx = runWarp(shuffle("idx", 6, 24 << 8 | 31), in, 64);
  auto down = runWarp(shuffle("down", 2, 24 << 8 | 31), in, 64);
  auto up = runWarp(shuffle("up", 2, 24 << 8), in, 64);
  ASSERT_EQ(idx.fault + down.fault + up.fault, "");
  for (unsigned lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(idx.out[lane], in[lane / 8 * 8 + 6]);
    EXPECT_EQ(down.out[lane], in[lane % 8 + 2 < 8 ? lane + 2 : lane]);
    EXPECT_EQ(up.out[lane], in[lane % 8 >= 2 ? lane - 2 : lane]);
  }
}

TEST(Shuffle, OfAFloatWithoutPredicate) {
  std::string name = "@llvm.nvvm.shfl.sync.bfly.f32";
  auto in = randomWords(32, 4);
  for (uint32_t &word : in)
    word = (word & 0x007fffff) | 0x3f800000;
  auto outcome = runWarp(
      kernel(load("x", "%lane") +
                 "  %f = bitcast i32 %x to float\n  %s = "
                 "call float " +
                 name + "(i32 -1, float %f, i32 1, i32 31)\n" +
                 "  %v = bitcast float %s to i32\n" + store("v", "%lane"),
             "declare float " + name + "(i32, float, i32, i32)"),
      in, 32);
  ASSERT_EQ(outcome.fault, "");
  for (unsigned lane = 0; lane < 32; ++lane)
    EXPECT_EQ(outcome.out[lane], in[lane ^ 1]);
}

TEST(Shuffle, HalvesOfAWarpOnTheirOwn) {
  // The halves shuffle in different branches, each with its own mask.
  std::string name = "@llvm.nvvm.shfl.sync.bfly.i32";
  std::string call = " = call i32 " + name + "(i32 ";
  auto in = randomWords(32, 5);
  auto outcome = runWarp(
      kernel(load("x", "%lane") +
                 "  %c = icmp ult i32 %lane, 16\n  br i1 %c, label %lo, label "
                 "%hi\nlo:\n  %a" +
                 call + "65535, i32 %x, i32 3, i32 31)\n" +
                 "  br label %end\nhi:\n  %b" + call +
                 "-65536, i32 %x, i32 5, i32 31)\n  br label %end\nend:\n"
                 "  %v = phi i32 [ %a, %lo ], [ %b, %hi ]\n" +
                 store("v", "%lane"),
             "declare i32 " + name + "(i32, i32, i32, i32)"),
      in, 32);
  ASSERT_EQ(outcome.fault, "");
  for (unsigned lane = 0; lane < 32; ++lane)
    EXPECT_EQ(outcome.out[lane], in[lane ^ (lane < 16 ? 3 : 5)]);
}

//===----------------------------------------------------------------------===//
// Votes and reductions
//===----------------------------------------------------------------------===//

static uint32_t voteOf(const std::string &mode, uint32_t votes, uint32_t mask) {
  std::string type = mode == "ballot" ? "i32" : "i1";
  std::string name = "@llvm.nvvm.vote." + mode + ".sync";
  std::string body =
      "  %sh = lshr i32 " + std::to_string(votes) + ", %lane\n" +
      "  %p = trunc i32 %sh to i1\n  %mh = lshr i32 " + std::to_string(mask) +
      ", %lane\n  %in.mask = trunc i32 %mh to i1\n" +
      "  br i1 %in.mask, label %vote, label %end\nvote:\n  %v0 = call " + type +
      " " + name + "(i32 " + std::to_string(mask) + ", i1 %p)\n" +
      (type == "i1" ? "  %v = zext i1 %v0 to i32\n"
                    : "  %v = add i32 %v0, 0\n") +
      store("v", "%lane") + "  br label %end\nend:\n";
  auto outcome = runWarp(
      kernel(body, "declare " + type + " " + name + "(i32, i1)"), {}, 32);
  EXPECT_EQ(outcome.fault, "");
  if (outcome.out.empty())
    return ~0u;
  uint32_t result = outcome.out[std::countr_zero(mask)];
  for (unsigned lane = 0; lane < 32; ++lane)
    EXPECT_EQ(outcome.out[lane], mask >> lane & 1 ? result : 0xeeeeeeeeu);
  return result;
}

TEST(Vote, CountsOnlyItsMask) {
  EXPECT_EQ(voteOf("ballot", 0xdeadbeef, ~0u), 0xdeadbeefu);
  EXPECT_EQ(voteOf("ballot", 0xdeadbeef, 0x00ffff00), 0x00adbe00u);
  EXPECT_EQ(voteOf("all", 0x00ffff00, 0x00ffff00), 1u);
  EXPECT_EQ(voteOf("all", 0x00fffe00, 0x00ffff00), 0u);
  EXPECT_EQ(voteOf("any", 0xff0000ff, 0x00ffff00), 0u);
  EXPECT_EQ(voteOf("any", 0x00010000, ~0u), 1u);
  EXPECT_EQ(voteOf("uni", 0xff0000ff, 0x00ffff00), 1u);
  EXPECT_EQ(voteOf("uni", 1, ~0u), 0u);
}

TEST(Reduce, EveryOperation) {
  auto in = randomWords(32, 6);
  auto fold = [&](auto f) {
    uint32_t total = in[0];
    for (unsigned i = 1; i < 32; ++i)
      total = f(total, in[i]);
    return total;
  };
  auto s = [](uint32_t x) { return static_cast<int32_t>(x); };
  std::vector<std::pair<std::string, uint32_t>> expected = {
      {"add", fold([](uint32_t a, uint32_t b) { return a + b; })},
      {"and", fold([](uint32_t a, uint32_t b) { return a & b; })},
      {"or", fold([](uint32_t a, uint32_t b) { return a | b; })},
      {"xor", fold([](uint32_t a, uint32_t b) { return a ^ b; })},
      {"umin", fold([](uint32_t a, uint32_t b) { return std::min(a, b); })},
      {"umax", fold([](uint32_t a, uint32_t b) { return std::max(a, b); })},
      {"min",
       fold([&](uint32_t a, uint32_t b) { return s(a) < s(b) ? a : b; })},
      {"max",
       fold([&](uint32_t a, uint32_t b) { return s(a) > s(b) ? a : b; })}};
  for (auto &[operation, value] : expected) {
    std::string name = "@llvm.nvvm.redux.sync." + operation;
    auto outcome =
        runWarp(kernel(load("x", "%lane") + "  %v = call i32 " + name +
                           "(i32 %x, i32 -1)\n" + store("v", "%lane"),
                       "declare i32 " + name + "(i32, i32)"),
                in, 32);
    ASSERT_EQ(outcome.fault, "");
    for (unsigned lane = 0; lane < 32; ++lane)
      EXPECT_EQ(outcome.out[lane], value) << operation;
  }
}

TEST(Elect, TheLowestLaneOfTheMask) {
  std::string name = "@llvm.nvvm.elect.sync";
  auto outcome = runWarp(
      kernel("  %c = icmp ugt i32 %lane, 4\n"
             "  br i1 %c, label %in.mask, label %end\nin.mask:\n"
             "  %e = call { i32, i1 } " +
                 name +
                 "(i32 -32)\n  %p = extractvalue { i32, i1 } %e, 1\n  %v = "
                 "zext i1 %p to i32\n" +
                 store("v", "%lane") + "  br label %end\nend:\n",
             "declare { i32, i1 } " + name + "(i32)"),
      {}, 32);
  ASSERT_EQ(outcome.fault, "");
  for (unsigned lane = 5; lane < 32; ++lane)
    EXPECT_EQ(outcome.out[lane], lane == 5);
}

//===----------------------------------------------------------------------===//
// Barriers and shared memory
//===----------------------------------------------------------------------===//

static std::string reversal(const std::string &global,
                            const std::string &barrier) {
  return kernel(
      load("x", "%tid") +
          "  %sp = getelementptr i32, ptr addrspace(3) @s, i32 %tid\n"
          "  store i32 %x, ptr addrspace(3) %sp, align 4\n" +
          barrier +
          "  %r = sub i32 127, %tid\n"
          "  %rp = getelementptr i32, ptr addrspace(3) @s, i32 %r\n"
          "  %v = load i32, ptr addrspace(3) %rp, align 4\n" +
          store("v", "%tid"),
      global + "\ndeclare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)\n"
               "declare void @llvm.nvvm.barrier.cta.sync.aligned.count(i32, "
               "i32)");
}

TEST(Barrier, StaticAndDynamicSharedMemory) {
  auto in = randomWords(128, 7);
  LaunchConfig config;
  config.block = {128, 1, 1};
  std::string all =
      "  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)\n";
  std::string count = "  call void @llvm.nvvm.barrier.cta.sync.aligned.count("
                      "i32 1, i32 128)\n";
  for (uint64_t seed : {0, 1, 2})
    for (bool dynamic : {false, true}) {
      config.sharedBytes = dynamic ? 512 : 0;
      config.scheduleSeed = seed;
      auto outcome =
          run(reversal(dynamic ? "@s = external addrspace(3) global [0 x i8], "
                                 "align 16"
                               : "@s = internal addrspace(3) global "
                                 "[128 x i32] undef, align 4",
                       dynamic ? all : count),
              in, 128, config);
      ASSERT_EQ(outcome.fault, "");
      for (unsigned i = 0; i < 128; ++i)
        EXPECT_EQ(outcome.out[i], in[127 - i]);
      EXPECT_EQ(outcome.statistics.sharedBytesRead, 512u);
      EXPECT_EQ(outcome.statistics.sharedBytesWritten, 512u);
    }
}

TEST(Barrier, Reduces) {
  for (auto [name, type, expected] :
       {std::tuple("popc", "i32", 10u), {"and", "i1", 0u}, {"or", "i1", 1u}}) {
    std::string full =
        std::string("@llvm.nvvm.barrier.cta.red.") + name + ".aligned.all";
    LaunchConfig config;
    config.block = {64, 1, 1};
    std::string body = "  %p = icmp ult i32 %tid, 10\n  %b = call " +
                       std::string(type) + " " + full + "(i32 0, i1 %p)\n";
    body += std::string(type) == "i1" ? "  %v = zext i1 %b to i32\n"
                                      : "  %v = add i32 %b, 0\n";
    auto outcome =
        run(kernel(body + store("v", "%tid"),
                   "declare " + std::string(type) + " " + full + "(i32, i1)"),
            {}, 64, config);
    ASSERT_EQ(outcome.fault, "");
    for (uint32_t value : outcome.out)
      EXPECT_EQ(value, expected) << name;
  }
}

TEST(Atomics, SumOverTheGrid) {
  LaunchConfig config;
  config.grid = {4, 1, 1};
  config.block = {64, 1, 1};
  auto outcome =
      run(kernel("  %old = atomicrmw add ptr addrspace(1) %in, i32 %tid "
                 "monotonic, align 4\n"
                 "  %v = load i32, ptr addrspace(1) %in, align 4\n" +
                 store("v", "0")),
          {0}, 1, config);
  ASSERT_EQ(outcome.fault, "");
  EXPECT_EQ(outcome.out[0], 4u * (63 * 64 / 2));
}
