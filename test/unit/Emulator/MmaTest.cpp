//===- MmaTest.cpp - Fragments and products of mma.sync -------------------===//
//
// The expectations follow the PTX ISA's own formulas for row and column of
// element i of a fragment, type by type, not the emulator's common rule.
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "llvm/ADT/StringExtras.h"

#include <bit>

using namespace sysmol::emulator::test;

namespace {
struct Case {
  std::string intrinsic;
  std::string ptx;
  unsigned m, k, bits;
  bool signedA, signedB;
  bool isXor = false;
  bool saturates = false;
};

std::ostream &operator<<(std::ostream &os, const Case &c) {
  return os << c.intrinsic;
}

struct Place {
  unsigned row, column;
};

/// Row and column of element `i` of lane `lane`'s fragment of A.
Place placeOfA(const Case &c, unsigned lane, unsigned i) {
  unsigned group = lane >> 2, inGroup = lane % 4;
  switch (c.bits) {
  case 1:
    if (c.m == 8)
      return {group, inGroup * 32 + i};
    if (c.k == 128)
      return {i < 32 ? group : group + 8, inGroup * 32 + (i & 31)};
    return {i < 32 || (i >= 64 && i < 96) ? group : group + 8,
            inGroup * 32 + (i & 31) + (i < 64 ? 0 : 128)};
  case 4:
    if (c.m == 8)
      return {group, inGroup * 8 + i};
    if (c.k == 32)
      return {i < 8 ? group : group + 8, inGroup * 8 + (i & 7)};
    return {i < 8 || (i >= 16 && i < 24) ? group : group + 8,
            inGroup * 8 + (i & 7) + (i < 16 ? 0 : 32)};
  default:
    if (c.m == 8)
      return {group, inGroup * 4 + i};
    if (c.k == 16)
      return {i < 4 ? group : group + 8, inGroup * 4 + (i & 3)};
    return {i < 4 || (i >= 8 && i < 12) ? group : group + 8,
            inGroup * 4 + (i & 3) + (i < 8 ? 0 : 16)};
  }
}

Place placeOfB(const Case &c, unsigned lane, unsigned i) {
  unsigned group = lane >> 2, inGroup = lane % 4;
  switch (c.bits) {
  case 1:
    return {inGroup * 32 + (i & 31) + (i < 32 ? 0 : 128), group};
  case 4:
    return {inGroup * 8 + (i & 7) + (i < 8 ? 0 : 32), group};
  default:
    return {inGroup * 4 + (i & 3) + (i < 4 ? 0 : 16), group};
  }
}

Place placeOfC(unsigned lane, unsigned i) {
  unsigned group = lane >> 2, inGroup = lane % 4;
  return {i < 2 ? group : group + 8, inGroup * 2 + (i & 1)};
}

int64_t elementAt(const std::vector<uint32_t> &words, size_t firstWord,
                  unsigned i, unsigned bits, bool isSigned) {
  unsigned bit = i * bits;
  uint32_t code = words[firstWord + bit / 32] >> (bit % 32) &
                  static_cast<uint32_t>((uint64_t(1) << bits) - 1);
  if (isSigned && code >> (bits - 1))
    return int64_t(code) - (int64_t(1) << bits);
  return code;
}

class MmaTest : public testing::TestWithParam<Case> {
protected:
  unsigned registersA() const {
    return GetParam().m * GetParam().k * GetParam().bits / 32 / 32;
  }
  unsigned registersB() const {
    return 8 * GetParam().k * GetParam().bits / 32 / 32;
  }
  unsigned registersC() const { return GetParam().m * 8 / 32; }
  unsigned stride() const { return registersA() + registersB() + registersC(); }

  /// Loads the registers of A, B and C from `stride` words a lane.
  std::string loads(std::vector<std::string> &names) const {
    std::string body = "  %base = mul i32 %lane, " + std::to_string(stride()) +
                       "\n  %obase = mul i32 %lane, " +
                       std::to_string(registersC()) + "\n";
    for (unsigned i = 0; i < stride(); ++i) {
      std::string n = "r" + std::to_string(i);
      body += "  %" + n + ".i = add i32 %base, " + std::to_string(i) + "\n";
      body += load(n, "%" + n + ".i");
      names.push_back("i32 %" + n);
    }
    return body;
  }

  std::string stores() const {
    std::string body;
    for (unsigned i = 0; i < registersC(); ++i) {
      std::string n = "d" + std::to_string(i);
      body += "  %" + n + " = extractvalue " + resultType() + " %d, " +
              std::to_string(i) + "\n  %" + n + ".i = add i32 %obase, " +
              std::to_string(i) + "\n" + store(n, "%" + n + ".i");
    }
    return body;
  }

  std::string resultType() const {
    std::vector<std::string> types(registersC(), "i32");
    return "{ " + llvm::join(types, ", ") + " }";
  }

  void expectProduct(const std::string &ir, uint64_t seed) const {
    const Case &c = GetParam();
    std::vector<uint32_t> in = randomWords(size_t(32) * stride(), seed);
    if (c.saturates)
      for (unsigned lane = 0; lane < 32; ++lane)
        for (unsigned i = 0; i < registersC(); ++i)
          in[lane * stride() + registersA() + registersB() + i] =
              lane % 2 ? 0x7fffffff : 0x80000000;

    std::vector<std::vector<int64_t>> a(c.m, std::vector<int64_t>(c.k)),
        b(c.k, std::vector<int64_t>(8));
    for (unsigned lane = 0; lane < 32; ++lane) {
      for (unsigned i = 0; i < registersA() * 32 / c.bits; ++i) {
        Place p = placeOfA(c, lane, i);
        a[p.row][p.column] =
            elementAt(in, lane * stride(), i, c.bits, c.signedA);
      }
      for (unsigned i = 0; i < registersB() * 32 / c.bits; ++i) {
        Place p = placeOfB(c, lane, i);
        b[p.row][p.column] =
            elementAt(in, lane * stride() + registersA(), i, c.bits, c.signedB);
      }
    }
    auto outcome = runWarp(ir, in, size_t(32) * registersC());
    ASSERT_EQ(outcome.fault, "");
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned i = 0; i < registersC(); ++i) {
        Place p = placeOfC(lane, i);
        int64_t sum = static_cast<int32_t>(
            in[lane * stride() + registersA() + registersB() + i]);
        for (unsigned k = 0; k < c.k; ++k)
          sum += c.isXor ? a[p.row][k] ^ b[k][p.column]
                         : a[p.row][k] * b[k][p.column];
        if (c.saturates)
          sum = std::min<int64_t>(std::max<int64_t>(sum, INT32_MIN), INT32_MAX);
        EXPECT_EQ(outcome.out[lane * registersC() + i],
                  static_cast<uint32_t>(sum))
            << "lane " << lane << " register " << i;
      }
  }
};
} // namespace

TEST_P(MmaTest, Intrinsic) {
  std::vector<std::string> names;
  std::string body = loads(names);
  std::vector<std::string> types(names.size(), "i32");
  std::string name = "@llvm.nvvm.mma." + GetParam().intrinsic;
  body += "  %d = call " + resultType() + " " + name + "(" +
          llvm::join(names, ", ") + ")\n" + stores();
  expectProduct(kernel(body, "declare " + resultType() + " " + name + "(" +
                                 llvm::join(types, ", ") + ")"),
                1);
}

TEST_P(MmaTest, InlinePtx) {
  std::vector<std::string> names;
  std::string body = loads(names);
  unsigned next = 0;
  auto group = [&](unsigned count) {
    std::vector<std::string> places;
    for (unsigned i = 0; i < count; ++i)
      places.push_back("$" + std::to_string(next++));
    return "{" + llvm::join(places, ", ") + "}";
  };
  std::string ptx = GetParam().ptx + " " + group(registersC());
  for (unsigned count : {registersA(), registersB(), registersC()})
    ptx += ", " + group(count);
  std::vector<std::string> constraints(registersC(), "=r");
  constraints.resize(registersC() + stride(), "r");
  body += "  %d = call " + resultType() + " asm sideeffect \"" + ptx +
          ";\", \"" + llvm::join(constraints, ",") + "\"(" +
          llvm::join(names, ", ") + ")\n" + stores();
  expectProduct(kernel(body), 2);
}

static std::vector<Case> cases() {
  std::vector<Case> all;
  for (auto [m, k] : {std::pair(8u, 128u), {16u, 128u}, {16u, 256u}})
    for (bool isXor : {false, true}) {
      std::string shape = "m" + std::to_string(m) + "n8k" + std::to_string(k);
      std::string op = isXor ? "xor" : "and";
      all.push_back({op + ".popc." + shape + ".row.col.b1",
                     "mma.sync.aligned." + shape + ".row.col.s32.b1.b1.s32." +
                         op + ".popc",
                     m, k, 1, false, false, isXor});
    }
  struct Shape {
    unsigned m, k, bits;
  };
  for (Shape s : {Shape{8, 16, 8}, Shape{16, 16, 8}, Shape{16, 32, 8},
                  Shape{8, 32, 4}, Shape{16, 32, 4}, Shape{16, 64, 4}})
    for (bool saturates : {false, true})
      for (char a : {'s', 'u'})
        for (char b : {'s', 'u'}) {
          std::string shape =
              "m" + std::to_string(s.m) + "n8k" + std::to_string(s.k);
          std::string bits = std::to_string(s.bits);
          std::string satfinite = saturates ? "satfinite." : "";
          std::string typeA = a + bits, typeB = b + bits;
          all.push_back({shape + ".row.col." + satfinite + typeA +
                             (a == b ? "" : "." + typeB),
                         "mma.sync.aligned." + shape + ".row.col." + satfinite +
                             "s32." + typeA + "." + typeB + ".s32",
                         s.m, s.k, s.bits, a == 's', b == 's', false,
                         saturates});
        }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Shapes, MmaTest, testing::ValuesIn(cases()));
