//===- AsyncCopyTest.cpp - cp.async and who waits for it ------------------===//

#include "TestUtils.h"

using namespace sysmol::emulator;
using namespace sysmol::emulator::test;

static const char *const Globals = R"(
@s = internal addrspace(3) global [256 x i32] undef, align 16
declare void @llvm.nvvm.cp.async.ca.shared.global.4(ptr addrspace(3), ptr addrspace(1))
declare void @llvm.nvvm.cp.async.ca.shared.global.8(ptr addrspace(3), ptr addrspace(1))
declare void @llvm.nvvm.cp.async.cg.shared.global.16(ptr addrspace(3), ptr addrspace(1))
declare void @llvm.nvvm.cp.async.cg.shared.global.16.s(ptr addrspace(3), ptr addrspace(1), i32)
declare void @llvm.nvvm.cp.async.commit.group()
declare void @llvm.nvvm.cp.async.wait.group(i32)
declare void @llvm.nvvm.cp.async.wait.all()
declare void @llvm.nvvm.bar.warp.sync(i32)
)";

static const char *const Sync =
    "  call void @llvm.nvvm.bar.warp.sync(i32 -1)\n";

/// Lane l copies `words` words: word l * words on, to the same place plus
/// `offset`.
static std::string copy(const std::string &id, unsigned words,
                        const std::string &call, unsigned offset = 0,
                        const std::string &more = "") {
  return "  %" + id + ".i = mul i32 %lane, " + std::to_string(words) + "\n  %" +
         id + ".j = add i32 %" + id + ".i, " + std::to_string(offset) +
         "\n  %" + id + ".g = getelementptr i32, ptr addrspace(1) %in, i32 %" +
         id + ".j\n  %" + id +
         ".s = getelementptr i32, ptr addrspace(3) @s, i32 %" + id +
         ".j\n  call void @llvm.nvvm.cp.async." + call + "(ptr addrspace(3) %" +
         id + ".s, ptr addrspace(1) %" + id + ".g" + more + ")\n";
}

static std::string commit() {
  return "  call void @llvm.nvvm.cp.async.commit.group()\n";
}
static std::string waitFor(unsigned groups) {
  return "  call void @llvm.nvvm.cp.async.wait.group(i32 " +
         std::to_string(groups) + ")\n";
}

/// Lane l gives word 31 - l of @s, plus `offset`.
static std::string readBack(unsigned offset = 0) {
  return "  %rb = sub i32 " + std::to_string(offset + 31) +
         ", %lane\n  %rbp = getelementptr i32, ptr addrspace(3) @s, i32 %rb\n"
         "  %v = load i32, ptr addrspace(3) %rbp, align 4\n" +
         store("v", "%lane");
}

TEST(AsyncCopy, Sizes) {
  auto in = randomWords(128, 1);
  for (auto [words, call] : {std::pair(1u, "ca.shared.global.4"),
                             {2u, "ca.shared.global.8"},
                             {4u, "cg.shared.global.16"}}) {
    auto outcome = runWarp(kernel(copy("a", words, call) + commit() +
                                      waitFor(0) + Sync + readBack(),
                                  Globals),
                           in, 32);
    ASSERT_EQ(outcome.fault, "") << call;
    for (unsigned lane = 0; lane < 32; ++lane)
      EXPECT_EQ(outcome.out[lane], in[31 - lane]);
    EXPECT_EQ(outcome.statistics.globalBytesRead, 128u * words);
  }
}

TEST(AsyncCopy, FillsTheRestWithZeros) {
  auto in = randomWords(128, 2);
  auto outcome =
      runWarp(kernel(copy("a", 4, "cg.shared.global.16.s", 0, ", i32 8") +
                         "  call void @llvm.nvvm.cp.async.wait.all()\n" + Sync +
                         readBack(),
                     Globals),
              in, 32);
  ASSERT_EQ(outcome.fault, "");
  for (unsigned i = 0; i < 32; ++i)
    EXPECT_EQ(outcome.out[31 - i], i % 4 < 2 ? in[i] : 0u);
  EXPECT_EQ(outcome.statistics.globalBytesRead, 32u * 8);
}

TEST(AsyncCopy, WaitsForAllButTheNewestGroups) {
  auto in = randomWords(256, 3);
  std::string two = copy("a", 4, "cg.shared.global.16") + commit() +
                    copy("b", 4, "cg.shared.global.16", 128) + commit();
  auto first =
      runWarp(kernel(two + waitFor(1) + Sync + readBack(), Globals), in, 32);
  ASSERT_EQ(first.fault, "");
  EXPECT_EQ(first.out[0], in[31]);
  auto second =
      runWarp(kernel(two + waitFor(1) + Sync + readBack(128), Globals), in, 32);
  EXPECT_NE(second.fault.find("touches what a cp.async still copies"),
            std::string::npos)
      << second.fault;
  EXPECT_EQ(second.kind, FaultKind::Kernel);
}

TEST(AsyncCopy, NeedsAWaitEvenForItsOwnThread) {
  auto outcome =
      runWarp(kernel(copy("a", 1, "ca.shared.global.4") + commit() +
                         "  %v = load i32, ptr addrspace(3) %a.s, align 4\n" +
                         store("v", "%lane"),
                     Globals),
              randomWords(32, 4), 32);
  EXPECT_NE(outcome.fault.find("cp.async"), std::string::npos);
}

TEST(AsyncCopy, OthersNeedABarrierToo) {
  auto outcome = runWarp(kernel(copy("a", 1, "ca.shared.global.4") + commit() +
                                    waitFor(0) + readBack(),
                                Globals),
                         randomWords(32, 5), 32);
  EXPECT_NE(outcome.fault.find("race at byte"), std::string::npos)
      << outcome.fault;
}

TEST(AsyncCopy, MustNotOverwriteWhatOthersStillRead) {
  std::string body = copy("a", 1, "ca.shared.global.4") + commit() +
                     waitFor(0) + Sync +
                     "  %n = add i32 %lane, 1\n  %o = and i32 %n, 31\n"
                     "  %op = getelementptr i32, ptr addrspace(3) @s, i32 %o\n"
                     "  %v = load i32, ptr addrspace(3) %op, align 4\n" +
                     store("v", "%lane") + copy("b", 1, "ca.shared.global.4") +
                     commit() + waitFor(0);
  auto outcome = runWarp(kernel(body, Globals), randomWords(32, 6), 32);
  EXPECT_NE(outcome.fault.find("writes where no barrier since orders a read"),
            std::string::npos)
      << outcome.fault;
}
