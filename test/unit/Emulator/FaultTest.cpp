//===- FaultTest.cpp - What the emulator must find ------------------------===//

#include "TestUtils.h"

using namespace sysmol::emulator;
using namespace sysmol::emulator::test;

static void expectFault(const Outcome &outcome, FaultKind kind,
                        const std::string &part) {
  EXPECT_NE(outcome.fault.find(part), std::string::npos) << outcome.fault;
  EXPECT_EQ(outcome.fault.find('\n'), std::string::npos) << outcome.fault;
  EXPECT_EQ(outcome.kind, kind) << outcome.fault;
}

static const std::string Shared =
    "@s = internal addrspace(3) global [64 x i32] undef, align 16\n"
    "declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)\n"
    "declare void @llvm.nvvm.bar.warp.sync(i32)\n";

static std::string sharedStore(const std::string &index) {
  return "  %ss = getelementptr i32, ptr addrspace(3) @s, i32 " + index +
         "\n  store i32 %tid, ptr addrspace(3) %ss, align 4\n";
}
static std::string sharedLoad(const std::string &index) {
  return "  %sl = getelementptr i32, ptr addrspace(3) @s, i32 " + index +
         "\n  %v = load i32, ptr addrspace(3) %sl, align 4\n" +
         store("v", "%tid");
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

TEST(Fault, ReadBehindABuffer) {
  auto outcome = runWarp(kernel("  %i = add i32 %lane, 1\n" + load("x", "%i") +
                                store("x", "%lane")),
                         randomWords(32, 1), 32);
  expectFault(outcome, FaultKind::Kernel,
              "block (0,0,0), thread (31,0,0): reads 4 bytes outside every "
              "buffer (byte 128 from the start of 'in', which has 128)");
}

TEST(Fault, WriteInFrontOfABuffer) {
  auto outcome =
      runWarp(kernel("  %one = add i32 0, 1\n" + store("one", "-1")), {}, 1);
  expectFault(outcome, FaultKind::Kernel,
              "writes 4 bytes outside every buffer");
}

TEST(Fault, MisalignedVector) {
  auto outcome =
      runWarp(kernel("  %p = getelementptr i32, ptr addrspace(1) %in, i32 1\n"
                     "  %x = load <4 x i32>, ptr addrspace(1) %p, align 16\n"
                     "  %v = extractelement <4 x i32> %x, i32 0\n" +
                     store("v", "%lane")),
              randomWords(32, 2), 32);
  expectFault(outcome, FaultKind::Kernel, "no multiple of 16");
}

TEST(Fault, BehindSharedMemory) {
  auto outcome = runWarp(kernel(sharedStore("64"), Shared), {}, 1);
  expectFault(outcome, FaultKind::Kernel,
              "writes 4 bytes at byte 256 of shared memory; the block has 256");
}

TEST(Fault, CopyOfMemoryOutsideBuffers) {
  auto outcome = runWarp(
      kernel("  call void @llvm.memcpy.p1.p1.i64(ptr addrspace(1) %out, ptr "
             "addrspace(1) %in, i64 132, i1 false)\n",
             "declare void @llvm.memcpy.p1.p1.i64(ptr addrspace(1), ptr "
             "addrspace(1), i64, i1)"),
      randomWords(32, 3), 33);
  expectFault(outcome, FaultKind::Kernel, "reads 132 bytes outside");
}

TEST(Fault, SharedMemoryBeginsAsGarbage) {
  LaunchConfig config;
  config.grid = {2, 1, 1};
  config.block = {32, 1, 1};
  // The second block must not see what the first left there.
  auto outcome = run(kernel(sharedLoad("%tid") + "  store i32 0, ptr "
                                                 "addrspace(3) %sl, align 4\n",
                            Shared),
                     {}, 32, config);
  ASSERT_EQ(outcome.fault, "");
  EXPECT_EQ(outcome.out[5], 0xa5a5a5a5u);
}

//===----------------------------------------------------------------------===//
// Missing participants
//===----------------------------------------------------------------------===//

static const std::string Mma =
    "declare { i32, i32 } @llvm.nvvm.mma.and.popc.m8n8k128.row.col.b1(i32, "
    "i32, i32, i32)\n";

static std::string mma(const std::string &name) {
  return "  %" + name +
         " = call { i32, i32 } @llvm.nvvm.mma.and.popc.m8n8k128.row.col.b1(i32 "
         "%lane, i32 %lane, i32 0, i32 0)\n";
}

TEST(Fault, LaneMissingAtMma) {
  auto outcome = runWarp(
      kernel("  %c = icmp ult i32 %lane, 16\n  br i1 %c, label %with, label "
             "%end\nwith:\n" +
                 mma("d") + "  br label %end\nend:\n",
             Mma),
      {}, 1);
  expectFault(outcome, FaultKind::Kernel,
              "waits forever in warp 0: lanes 16-31 have returned; lanes 0-15 "
              "wait at mma.and.popc.m8n8k128.row.col.b1");
}

TEST(Fault, MmaInTwoBranches) {
  auto outcome = runWarp(
      kernel("  %c = icmp ult i32 %lane, 16\n  br i1 %c, label %one, label "
             "%two\none:\n" +
                 mma("d") + "  br label %end\ntwo:\n" + mma("e") +
                 "  br label %end\nend:\n",
             Mma),
      {}, 1);
  expectFault(outcome, FaultKind::Kernel, "waits forever");
}

TEST(Fault, MmaInAWarpThatIsNotFull) {
  LaunchConfig config;
  config.block = {40, 1, 1};
  auto outcome = run(kernel(mma("d"), Mma), {}, 1, config);
  expectFault(outcome, FaultKind::Kernel, "needs lane 8");
}

TEST(Fault, BarrierThatNotAllReach) {
  LaunchConfig config;
  config.block = {64, 1, 1};
  auto outcome =
      run(kernel("  %c = icmp ult i32 %tid, 32\n  br i1 %c, label %with, label "
                 "%end\nwith:\n  call void "
                 "@llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)\n  br label "
                 "%end\nend:\n",
                 Shared),
          {}, 1, config);
  expectFault(outcome, FaultKind::Kernel,
              "lanes 0-31 wait at barrier.cta.sync.aligned.all; 32 threads of "
              "other warps have returned");
}

TEST(Fault, MaskWithoutItsOwnLane) {
  auto outcome = runWarp(
      kernel("  call void @llvm.nvvm.bar.warp.sync(i32 1)\n", Shared), {}, 1);
  expectFault(outcome, FaultKind::Kernel,
              "a mask that leaves out its own lane");
}

TEST(Fault, ShuffleFromALaneOutsideTheMask) {
  auto outcome = runWarp(
      kernel("  %c = icmp ult i32 %lane, 2\n  br i1 %c, label %with, label "
             "%end\nwith:\n  %v = call i32 @llvm.nvvm.shfl.sync.idx.i32(i32 3, "
             "i32 %lane, i32 2, i32 31)\n  br label %end\nend:\n",
             "declare i32 @llvm.nvvm.shfl.sync.idx.i32(i32, i32, i32, i32)"),
      {}, 1);
  expectFault(outcome, FaultKind::Kernel,
              "reads lane 2, which does not take part");
}

//===----------------------------------------------------------------------===//
// Races
//===----------------------------------------------------------------------===//

TEST(Race, ReadOfAnothersWrite) {
  auto outcome = runWarp(kernel(sharedStore("%tid") +
                                    "  %p = add i32 %tid, 31\n  %o = and i32 "
                                    "%p, 31\n" +
                                    sharedLoad("%o"),
                                Shared),
                         {}, 32);
  expectFault(outcome, FaultKind::Kernel,
              "reads where no barrier since orders a write by warp 0 lane");
}

TEST(Race, TwoWrites) {
  auto outcome = runWarp(kernel(sharedStore("7"), Shared), {}, 1);
  expectFault(outcome, FaultKind::Kernel,
              "race at byte 28 of shared memory: writes where no barrier since "
              "orders a write by warp 0 lane 0");
}

TEST(Race, WriteAfterOthersRead) {
  std::string body = sharedStore("%tid") +
                     "  call void @llvm.nvvm.bar.warp.sync(i32 -1)\n"
                     "  %p = add i32 %tid, 1\n  %o = and i32 %p, 31\n" +
                     sharedLoad("%o") +
                     "  store i32 0, ptr addrspace(3) %ss, align 4\n";
  auto outcome = runWarp(kernel(body, Shared), {}, 32);
  expectFault(outcome, FaultKind::Kernel,
              "writes where no barrier since orders a read");
}

TEST(Race, ABarrierOfTheWarpDoesNotOrderOtherWarps) {
  LaunchConfig config;
  config.block = {64, 1, 1};
  std::string body = sharedStore("%tid") +
                     "  call void @llvm.nvvm.bar.warp.sync(i32 -1)\n"
                     "  %o = xor i32 %tid, 32\n" +
                     sharedLoad("%o");
  auto outcome = run(kernel(body, Shared), {}, 64, config);
  expectFault(outcome, FaultKind::Kernel,
              "thread (32,0,0): race at byte 128 of shared memory: writes "
              "where no barrier since orders a read by warp 0 lane 0");
}

TEST(Race, NoneAcrossBarriers) {
  LaunchConfig config;
  config.block = {64, 1, 1};
  std::string barrier =
      "  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)\n";
  std::string body = sharedStore("%tid") + barrier +
                     "  %o = xor i32 %tid, 32\n" + sharedLoad("%o") + barrier +
                     "  store i32 0, ptr addrspace(3) %ss, align 4\n";
  auto outcome = run(kernel(body, Shared), {}, 64, config);
  ASSERT_EQ(outcome.fault, "");
  EXPECT_EQ(outcome.out[3], 35u);
}

TEST(Race, NoneAmongAtomics) {
  auto outcome = runWarp(
      kernel("  %old = atomicrmw add ptr addrspace(3) @s, i32 1 monotonic, "
             "align 4\n",
             Shared),
      {}, 1);
  EXPECT_EQ(outcome.fault, "");
}

//===----------------------------------------------------------------------===//
// Refused
//===----------------------------------------------------------------------===//

TEST(Refused, WhatIsNoKernelForThisMachine) {
  expectFault(runWarp("not IR", {}, 1), FaultKind::Refused, "test.ll:1:");
  expectFault(runWarp("target triple = \"x86_64-linux-gnu\"\n"
                      "define void @k() {\n  ret void\n}",
                      {}, 1),
              FaultKind::Refused, "the emulator takes nvptx64");
  expectFault(runWarp("target triple = \"nvptx64-nvidia-cuda\"\n"
                      "define void @k() {\n  ret void\n}",
                      {}, 1),
              FaultKind::Refused, "has no kernel");
  expectFault(runWarp(kernel("  %v = call i32 @llvm.nvvm.fns(i32 1, i32 2, i32 "
                             "3)\n",
                             "declare i32 @llvm.nvvm.fns(i32, i32, i32)"),
                      {}, 1),
              FaultKind::Refused,
              "does not know the intrinsic 'llvm.nvvm.fns'");
  expectFault(
      runWarp(kernel("  call void @printf()\n", "declare void @printf()"), {},
              1),
      FaultKind::Refused, "calls 'printf'");
}

TEST(Refused, LaunchesThatNoGpuAllows) {
  std::string ir = kernel("");
  LaunchConfig config;
  config.block = {2048, 1, 1};
  expectFault(run(ir, {}, 1, config), FaultKind::Usage, "at most 1024");
  config.block = {32, 1, 1};
  config.grid = {1, 0, 1};
  expectFault(run(ir, {}, 1, config), FaultKind::Usage, "at least one");
  config.grid = {1, 1, 1};
  config.sharedBytes = size_t(1) << 20;
  expectFault(run(ir, {}, 1, config), FaultKind::Usage, "shared memory");
}

TEST(Refused, WrongKernelOrParameters) {
  auto emulator = Emulator::fromIR(kernel(""), "test.ll");
  ASSERT_TRUE(bool(emulator));
  ASSERT_EQ((*emulator)->kernels().size(), 1u);
  EXPECT_EQ((*emulator)->kernels()[0].parameterBytes,
            (std::vector<uint64_t>{8, 8}));
  auto none = (*emulator)->launch("other", {}, {}, {});
  EXPECT_EQ(llvm::toString(none.takeError()), "there is no kernel 'other'");
  auto few = (*emulator)->launch("k", {}, {}, {});
  EXPECT_EQ(llvm::toString(few.takeError()),
            "kernel 'k' takes 2 parameters, not 0");
}
