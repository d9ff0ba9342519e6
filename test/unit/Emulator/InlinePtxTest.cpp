//===- InlinePtxTest.cpp - The PTX of inline assembly ---------------------===//

#include "InlinePtx.h"
#include "TestUtils.h"

using namespace sysmol::emulator;
using namespace sysmol::emulator::test;

TEST(InlinePtx, ReadsOperands) {
  auto parsed = parseInlinePtx(
      "{ // a scope\n ld.global.nc.L1::no_allocate.v4.u32 {$0, $1, $2, ${3}}, "
      "[$4 + 0x10]; /* and */ mov.b32 $5, -7;\n}");
  ASSERT_TRUE(bool(parsed)) << llvm::toString(parsed.takeError());
  ASSERT_EQ(parsed->size(), 2u);
  const PtxInstruction &load = (*parsed)[0];
  EXPECT_EQ(load.mnemonic, "ld.global.nc.L1::no_allocate.v4.u32");
  ASSERT_EQ(load.operands.size(), 2u);
  ASSERT_EQ(load.operands[0].size(), 4u);
  EXPECT_EQ(load.operands[0][3].placeholder, 3u);
  EXPECT_TRUE(load.operands[1][0].isPlaceholder);
  EXPECT_EQ(load.operands[1][0].placeholder, 4u);
  EXPECT_EQ(load.operands[1][0].value, 16);
  EXPECT_FALSE((*parsed)[1].operands[1][0].isPlaceholder);
  EXPECT_EQ((*parsed)[1].operands[1][0].value, -7);
}

TEST(InlinePtx, RefusesWhatItDoesNotKnow) {
  for (auto [text, reason] :
       {std::pair("@$1 mov.b32 $0, 1;", "no predicated instructions"),
        {".reg .b32 t;", "no declarations"},
        {"mov.b32 $0, %laneid;", "no operand"},
        {"ld.global.u32 $0, [$1;", "'[' without ']'"},
        {"mma.sync {$0, $1, $2;", "'{' without '}'"},
        {"mov.b32 $0, $1 mov.b32 $2, $3;", "';' is missing"},
        {"loop: bra loop;", "no instruction"}}) {
    auto parsed = parseInlinePtx(text);
    ASSERT_FALSE(bool(parsed)) << text;
    std::string message = llvm::toString(parsed.takeError());
    EXPECT_NE(message.find(reason), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
}

TEST(InlinePtx, VectorLoadsAndStores) {
  auto in = randomWords(128, 1);
  std::string body = R"(
  %i = mul i32 %lane, 4
  %p = getelementptr i32, ptr addrspace(1) %in, i32 %i
  %q = getelementptr i32, ptr addrspace(1) %out, i32 %i
  %d = call { i32, i32, i32, i32 } asm sideeffect "ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {$0, $1, $2, $3}, [$4];", "=r,=r,=r,=r,l"(ptr addrspace(1) %p)
  %a = extractvalue { i32, i32, i32, i32 } %d, 0
  %b = extractvalue { i32, i32, i32, i32 } %d, 1
  %c = extractvalue { i32, i32, i32, i32 } %d, 2
  %e = extractvalue { i32, i32, i32, i32 } %d, 3
  call void asm sideeffect "st.global.v2.b32 [$0], {$1, $2};\0A st.global.v2.b32 [$0 + 8], {$3, $4};", "l,r,r,r,r,~{memory}"(ptr addrspace(1) %q, i32 %e, i32 %c, i32 %b, i32 %a)
)";
  auto outcome = runWarp(kernel(body), in, 128);
  ASSERT_EQ(outcome.fault, "");
  for (unsigned i = 0; i < 128; ++i)
    EXPECT_EQ(outcome.out[i], in[i / 4 * 4 + 3 - i % 4]);
}

TEST(InlinePtx, SmallLoadsExtend) {
  std::vector<uint32_t> in = {0x8001ff80};
  std::string body = R"(
  %a = call i32 asm sideeffect "ld.global.s8 $0, [$1];", "=r,l"(ptr addrspace(1) %in)
  %b = call i32 asm sideeffect "ld.global.u8 $0, [$1 + 1];", "=r,l"(ptr addrspace(1) %in)
  %c = call i32 asm sideeffect "ld.global.s16 $0, [$1 + 2];", "=r,l"(ptr addrspace(1) %in)
)";
  auto outcome = runWarp(
      kernel(body + store("a", "0") + store("b", "1") + store("c", "2")), in,
      3);
  ASSERT_EQ(outcome.fault, "");
  EXPECT_EQ(outcome.out, (std::vector<uint32_t>{0xffffff80, 0xff, 0xffff8001}));
}

TEST(InlinePtx, SharedAddressesOf32Bits) {
  auto in = randomWords(32, 2);
  std::string body = load("x", "%lane") + R"(
  %p = getelementptr i32, ptr addrspace(3) @s, i32 %lane
  %a = ptrtoint ptr addrspace(3) %p to i32
  call void asm sideeffect "st.shared.u32 [$0], $1;", "r,r,~{memory}"(i32 %a, i32 %x)
  call void asm sideeffect "bar.sync 0;", "~{memory}"()
  %r = xor i32 %lane, 9
  %pr = getelementptr i32, ptr addrspace(3) @s, i32 %r
  %ar = ptrtoint ptr addrspace(3) %pr to i32
  %v = call i32 asm sideeffect "ld.shared.u32 $0, [$1];", "=r,r"(i32 %ar)
)" + store("v", "%lane");
  auto outcome =
      runWarp(kernel(body, "@s = internal addrspace(3) global [32 x i32] "
                           "undef, align 16"),
              in, 32);
  ASSERT_EQ(outcome.fault, "");
  for (unsigned lane = 0; lane < 32; ++lane)
    EXPECT_EQ(outcome.out[lane], in[lane ^ 9]);
}

TEST(InlinePtx, AsyncCopyWithASize) {
  auto in = randomWords(128, 3);
  std::string body = R"(
  %i = mul i32 %lane, 4
  %g = getelementptr i32, ptr addrspace(1) %in, i32 %i
  %p = getelementptr i32, ptr addrspace(3) @s, i32 %i
  call void asm sideeffect "cp.async.cg.shared.global [$0], [$1], 16, $2;\0A cp.async.commit_group;\0A cp.async.wait_group 0;", "l,l,r,~{memory}"(ptr addrspace(3) %p, ptr addrspace(1) %g, i32 4)
  %v = load i32, ptr addrspace(3) %p, align 16
  %p1 = getelementptr i32, ptr addrspace(3) %p, i32 1
  %w = load i32, ptr addrspace(3) %p1, align 4
  %l1 = add i32 %lane, 32
)" + store("v", "%lane") +
                     store("w", "%l1");
  auto outcome =
      runWarp(kernel(body, "@s = internal addrspace(3) global [128 x i32] "
                           "undef, align 16"),
              in, 64);
  ASSERT_EQ(outcome.fault, "");
  for (unsigned lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(outcome.out[lane], in[4 * lane]);
    EXPECT_EQ(outcome.out[32 + lane], 0u);
  }
}

TEST(InlinePtx, UnknownInstructionIsRefusedByName) {
  auto outcome = runWarp(
      kernel("  %v = call i32 asm \"clz.b32 $0, $1;\", \"=r,r\"(i32 %lane)\n" +
             store("v", "%lane")),
      {}, 32);
  EXPECT_EQ(outcome.kind, FaultKind::Refused);
  EXPECT_NE(outcome.fault.find("does not know 'clz.b32'"), std::string::npos)
      << outcome.fault;
}
