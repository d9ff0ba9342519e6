//===- IntegerTest.cpp - dp4a, prmt, lop3 and the like --------------------===//

#include "TestUtils.h"

#include <functional>

using namespace sysmol::emulator::test;

/// Runs three random words a lane through lines that give %v.
static void expectOfThree(
    const std::string &lines, const std::string &globals, uint64_t seed,
    const std::function<uint32_t(uint32_t, uint32_t, uint32_t)> &expected) {
  auto in = randomWords(96, seed);
  auto outcome =
      runWarp(kernel(load("a", "%lane") + "  %l1 = add i32 %lane, 32\n" +
                         load("b", "%l1") + "  %l2 = add i32 %lane, 64\n" +
                         load("c", "%l2") + lines + store("v", "%lane"),
                     globals),
              in, 32);
  ASSERT_EQ(outcome.fault, "");
  for (unsigned lane = 0; lane < 32; ++lane)
    EXPECT_EQ(outcome.out[lane],
              expected(in[lane], in[lane + 32], in[lane + 64]))
        << lines;
}

static int byteOf(uint32_t word, unsigned i, bool isSigned) {
  int byte = word >> (8 * i) & 255;
  return isSigned && byte > 127 ? byte - 256 : byte;
}

TEST(Integer, Dp4aOfEverySignedness) {
  for (bool a : {false, true})
    for (bool b : {false, true}) {
      std::string name = std::string("@llvm.nvvm.idp4a.") + (a ? 's' : 'u') +
                         "." + (b ? 's' : 'u');
      auto expected = [=](uint32_t x, uint32_t y, uint32_t z) {
        for (unsigned i = 0; i < 4; ++i)
          z += byteOf(x, i, a) * byteOf(y, i, b);
        return z;
      };
      expectOfThree("  %v = call i32 " + name + "(i32 %a, i32 %b, i32 %c)\n",
                    "declare i32 " + name + "(i32, i32, i32)", 1, expected);
      std::string ptx = std::string("dp4a.") + (a ? "s32" : "u32") + "." +
                        (b ? "s32" : "u32") + " $0, $1, $2, $3;";
      expectOfThree("  %v = call i32 asm \"" + ptx +
                        "\", \"=r,r,r,r\"(i32 %a, i32 %b, i32 %c)\n",
                    "", 2, expected);
    }
}

TEST(Integer, Dp2a) {
  for (bool high : {false, true})
    expectOfThree(
        std::string(
            "  %v = call i32 @llvm.nvvm.idp2a.s.u(i32 %a, i32 %b, i1 ") +
            (high ? "true" : "false") + ", i32 %c)\n",
        "declare i32 @llvm.nvvm.idp2a.s.u(i32, i32, i1, i32)", 3,
        [=](uint32_t x, uint32_t y, uint32_t z) {
          for (unsigned i = 0; i < 2; ++i)
            z += static_cast<int16_t>(x >> (16 * i)) *
                 byteOf(y, i + (high ? 2 : 0), false);
          return z;
        });
}

TEST(Integer, Prmt) {
  auto expected = [](uint32_t a, uint32_t b, uint32_t selector) {
    uint8_t bytes[8];
    for (unsigned i = 0; i < 4; ++i) {
      bytes[i] = a >> (8 * i);
      bytes[4 + i] = b >> (8 * i);
    }
    uint32_t result = 0;
    for (unsigned i = 0; i < 4; ++i) {
      unsigned s = selector >> (4 * i) & 15;
      uint8_t byte = bytes[s % 8];
      if (s >= 8)
        byte = byte > 127 ? 255 : 0;
      result += uint32_t(byte) << (8 * i);
    }
    return result;
  };
  expectOfThree("  %v = call i32 @llvm.nvvm.prmt(i32 %a, i32 %b, i32 %c)\n",
                "declare i32 @llvm.nvvm.prmt(i32, i32, i32)", 4, expected);
  expectOfThree("  %v = call i32 asm \"prmt.b32 $0, $1, $2, $3;\", "
                "\"=r,r,r,r\"(i32 %a, i32 %b, i32 %c)\n",
                "", 5, expected);
}

TEST(Integer, Lop3OfEveryTable) {
  auto in = randomWords(96, 6);
  std::string body = load("a", "%lane") + "  %l1 = add i32 %lane, 32\n" +
                     load("b", "%l1") + "  %l2 = add i32 %lane, 64\n" +
                     load("c", "%l2");
  for (unsigned table = 0; table < 256; ++table) {
    std::string n = "v" + std::to_string(table);
    body += "  %" + n + " = call i32 asm \"lop3.b32 $0, $1, $2, $3, " +
            std::to_string(table) +
            ";\", \"=r,r,r,r\"(i32 %a, i32 %b, i32 %c)\n  %" + n +
            ".i = add i32 %lane, " + std::to_string(32 * table) + "\n" +
            store(n, "%" + n + ".i");
  }
  auto outcome = runWarp(kernel(body), in, size_t(32) * 256);
  ASSERT_EQ(outcome.fault, "");
  for (unsigned table = 0; table < 256; ++table)
    for (unsigned lane = 0; lane < 32; ++lane) {
      uint32_t result = 0;
      for (unsigned bit = 0; bit < 32; ++bit) {
        unsigned row = (in[lane] >> bit & 1) * 4 +
                       (in[lane + 32] >> bit & 1) * 2 +
                       (in[lane + 64] >> bit & 1);
        result |= (table >> row & 1) << bit;
      }
      EXPECT_EQ(outcome.out[32 * table + lane], result) << table;
    }
}

TEST(Integer, Bfe) {
  for (unsigned start : {0u, 5u, 31u, 32u, 255u})
    for (unsigned length : {0u, 1u, 7u, 31u, 32u, 255u})
      for (bool isSigned : {false, true}) {
        // The pseudocode of the PTX ISA.
        auto expected = [=](uint32_t a, uint32_t, uint32_t) {
          bool sbit = !isSigned || length == 0
                          ? false
                          : a >> std::min(start + length - 1, 31u) & 1;
          uint32_t d = 0;
          for (unsigned i = 0; i <= 31; ++i)
            d |= uint32_t(i < length && start + i <= 31 ? a >> (start + i) & 1
                                                        : sbit)
                 << i;
          return d;
        };
        expectOfThree(std::string("  %v = call i32 asm \"bfe.") +
                          (isSigned ? "s32" : "u32") + " $0, $1, " +
                          std::to_string(start) + ", " +
                          std::to_string(length) + ";\", \"=r,r\"(i32 %a)\n",
                      "", start * 7 + length, expected);
      }
}

TEST(Integer, FunnelShift) {
  for (unsigned amount : {0u, 1u, 13u, 31u, 32u, 40u}) {
    auto wrap = [=](uint32_t a, uint32_t b, uint32_t) {
      unsigned n = amount & 31;
      return n ? b << n | a >> (32 - n) : b;
    };
    auto clamp = [=](uint32_t a, uint32_t b, uint32_t) {
      unsigned n = std::min(amount, 32u);
      return n == 0 ? a : n == 32 ? b : b << (32 - n) | a >> n;
    };
    std::string tail = " $0, $1, $2, " + std::to_string(amount) +
                       ";\", \"=r,r,r\"(i32 %a, i32 %b)\n";
    expectOfThree("  %v = call i32 asm \"shf.l.wrap.b32" + tail, "", amount,
                  wrap);
    expectOfThree("  %v = call i32 asm \"shf.r.clamp.b32" + tail, "", amount,
                  clamp);
  }
}
