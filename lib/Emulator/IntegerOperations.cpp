//===- IntegerOperations.cpp - Bytes, bits and special registers ----------===//

#include "Machine.h"
#include "Operations.h"

#include "llvm/ADT/StringSwitch.h"

#include <algorithm>

using namespace sysmol::emulator;

using Run = std::function<void(Machine &, Thread &, const Slot *, Slot *)>;

static Operation pure(llvm::StringRef name, unsigned arguments,
                      std::function<uint64_t(const Slot *)> value) {
  Operation operation;
  operation.name = name.str();
  operation.arguments = arguments;
  operation.results = 1;
  operation.run = [value = std::move(value)](Machine &, Thread &,
                                             const Slot *given, Slot *results) {
    results[0] = value(given);
  };
  return operation;
}

/// Four products of bytes, or two of halves with two of the bytes, and a sum.
static uint32_t dot4(uint32_t a, uint32_t b, uint32_t c, bool signedA,
                     bool signedB) {
  uint32_t sum = c;
  for (unsigned i = 0; i < 4; ++i) {
    auto byteA = static_cast<uint8_t>(a >> (8 * i));
    auto byteB = static_cast<uint8_t>(b >> (8 * i));
    int32_t x = signedA ? static_cast<int8_t>(byteA) : byteA;
    int32_t y = signedB ? static_cast<int8_t>(byteB) : byteB;
    sum += static_cast<uint32_t>(x * y);
  }
  return sum;
}

static uint32_t dot2(uint32_t a, uint32_t b, uint32_t c, bool high,
                     bool signedA, bool signedB) {
  uint32_t sum = c;
  for (unsigned i = 0; i < 2; ++i) {
    auto half = static_cast<uint16_t>(a >> (16 * i));
    auto byte = static_cast<uint8_t>(b >> (8 * (i + (high ? 2 : 0))));
    int32_t x = signedA ? static_cast<int16_t>(half) : half;
    int32_t y = signedB ? static_cast<int8_t>(byte) : byte;
    sum += static_cast<uint32_t>(x * y);
  }
  return sum;
}

/// prmt in its default mode: a byte by each nibble of the selector, whose top
/// bit spreads the byte's sign instead.
static uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) {
  uint64_t bytes = a | uint64_t(b) << 32;
  uint32_t result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    unsigned nibble = selector >> (4 * i) & 15;
    auto byte = static_cast<uint8_t>(bytes >> (8 * (nibble & 7)));
    if (nibble & 8)
      byte = byte & 0x80 ? 0xff : 0;
    result |= uint32_t(byte) << (8 * i);
  }
  return result;
}

static uint32_t lop3(uint32_t a, uint32_t b, uint32_t c, uint32_t table) {
  uint32_t result = 0;
  for (unsigned row = 0; row < 8; ++row)
    if (table >> row & 1)
      result |= (row & 4 ? a : ~a) & (row & 2 ? b : ~b) & (row & 1 ? c : ~c);
  return result;
}

/// Bits [start, start + length) with the sign of the last or without.
static uint32_t extract(uint32_t value, uint32_t start, uint32_t length,
                        bool isSigned) {
  start &= 255;
  length &= 255;
  uint64_t wide = isSigned ? static_cast<uint64_t>(int64_t(int32_t(value)))
                           : uint64_t(value);
  if (!length)
    return 0;
  uint64_t shifted =
      start > 31 ? (isSigned && value >> 31 ? ~uint64_t(0) : 0)
                 : static_cast<uint64_t>(static_cast<int64_t>(wide) >> start);
  if (length >= 32)
    return static_cast<uint32_t>(shifted);
  if (!isSigned)
    return static_cast<uint32_t>(shifted & ((uint64_t(1) << length) - 1));
  return static_cast<uint32_t>(static_cast<int64_t>(shifted << (64 - length)) >>
                               (64 - length));
}

static uint32_t funnel(uint32_t low, uint32_t high, uint32_t amount, bool left,
                       bool clamps) {
  uint32_t shift = clamps ? std::min(amount, 32u) : amount & 31;
  uint64_t both = low | uint64_t(high) << 32;
  return static_cast<uint32_t>(left ? both << shift >> 32 : both >> shift);
}

std::optional<Operation>
sysmol::emulator::integerForIntrinsic(llvm::StringRef name) {
  llvm::StringRef rest = name;
  if (rest.consume_front("idp4a.") && rest.size() == 3)
    return pure(name, 3,
                [a = rest[0] == 's',
                 b = rest[2] == 's'](const Slot *given) -> uint64_t {
                  return dot4(given[0], given[1], given[2], a, b);
                });
  if (rest.consume_front("idp2a.") && rest.size() == 3)
    // Its third argument says which half, the sum comes last.
    return pure(name, 4,
                [a = rest[0] == 's',
                 b = rest[2] == 's'](const Slot *given) -> uint64_t {
                  return dot2(given[0], given[1], given[3], given[2] & 1, a, b);
                });
  if (name == "prmt")
    return pure(name, 3, [](const Slot *given) -> uint64_t {
      return permute(given[0], given[1], given[2]);
    });
  return std::nullopt;
}

std::optional<Operation>
sysmol::emulator::integerForPtx(llvm::StringRef mnemonic, size_t) {
  llvm::StringRef rest = mnemonic;
  if (rest.consume_front("dp4a.")) {
    auto [a, b] = rest.split('.');
    auto known = [](llvm::StringRef type) {
      return type == "s32" || type == "u32";
    };
    if (!known(a) || !known(b))
      return std::nullopt;
    return pure(mnemonic, 3,
                [signedA = a[0] == 's',
                 signedB = b[0] == 's'](const Slot *given) -> uint64_t {
                  return dot4(given[0], given[1], given[2], signedA, signedB);
                });
  }
  if (mnemonic == "prmt.b32")
    return pure(mnemonic, 3, [](const Slot *given) -> uint64_t {
      return permute(given[0], given[1], given[2]);
    });
  if (mnemonic == "lop3.b32")
    return pure(mnemonic, 4, [](const Slot *given) -> uint64_t {
      return lop3(given[0], given[1], given[2], given[3]);
    });
  if (mnemonic == "bfe.u32" || mnemonic == "bfe.s32")
    return pure(
        mnemonic, 3,
        [isSigned = mnemonic == "bfe.s32"](const Slot *given) -> uint64_t {
          return extract(given[0], given[1], given[2], isSigned);
        });
  if (rest.consume_front("shf.")) {
    bool left = rest.consume_front("l.");
    if (!left && !rest.consume_front("r."))
      return std::nullopt;
    if (rest != "wrap.b32" && rest != "clamp.b32")
      return std::nullopt;
    return pure(
        mnemonic, 3,
        [left, clamps = rest == "clamp.b32"](const Slot *given) -> uint64_t {
          return funnel(given[0], given[1], given[2], left, clamps);
        });
  }
  if (mnemonic == "popc.b32")
    return pure(mnemonic, 1, [](const Slot *given) -> uint64_t {
      return __builtin_popcount(given[0]);
    });
  if (mnemonic == "mov.b32" || mnemonic == "mov.u32" || mnemonic == "mov.b64" ||
      mnemonic == "mov.u64")
    return pure(mnemonic, 1,
                [](const Slot *given) -> uint64_t { return given[0]; });
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Special registers
//===----------------------------------------------------------------------===//

using Read = std::function<uint64_t(Machine &, Thread &)>;

/// tid.x and the like: `values` names the triple.
static Read ofTriple(llvm::StringRef name,
                     const Dim3 &(*values)(Machine &, Thread &)) {
  unsigned axis = llvm::StringSwitch<unsigned>(name)
                      .Case("x", 0)
                      .Case("y", 1)
                      .Case("z", 2)
                      .Default(3);
  if (axis == 3)
    return nullptr;
  return [=](Machine &machine, Thread &thread) -> uint64_t {
    return values(machine, thread)[axis];
  };
}

static Read readOf(llvm::StringRef name) {
  auto [triple, axis] = name.split('.');
  if (triple == "tid")
    return ofTriple(axis, [](Machine &, Thread &thread) -> const Dim3 & {
      return thread.id;
    });
  if (triple == "ntid")
    return ofTriple(axis, [](Machine &machine, Thread &) -> const Dim3 & {
      return machine.launch().block;
    });
  if (triple == "ctaid")
    return ofTriple(axis, [](Machine &machine, Thread &) -> const Dim3 & {
      return machine.block();
    });
  if (triple == "nctaid")
    return ofTriple(axis, [](Machine &machine, Thread &) -> const Dim3 & {
      return machine.launch().grid;
    });
  using Fixed = uint64_t (*)(Machine &, Thread &);
  return llvm::StringSwitch<Fixed>(name)
      .Case("laneid",
            [](Machine &, Thread &thread) -> uint64_t { return thread.lane(); })
      .Case("warpid",
            [](Machine &, Thread &thread) -> uint64_t { return thread.warp(); })
      .Case("nwarpid",
            [](Machine &machine, Thread &) -> uint64_t {
              return (machine.threadCount() + 31) / 32;
            })
      .Case("warpsize", [](Machine &, Thread &) -> uint64_t { return 32; })
      .Case("lanemask.eq",
            [](Machine &, Thread &thread) -> uint64_t {
              return uint32_t(1) << thread.lane();
            })
      .Case("lanemask.lt",
            [](Machine &, Thread &thread) -> uint64_t {
              return (uint32_t(1) << thread.lane()) - 1;
            })
      .Case("lanemask.le",
            [](Machine &, Thread &thread) -> uint64_t {
              return static_cast<uint32_t>((uint64_t(2) << thread.lane()) - 1);
            })
      .Case("lanemask.gt",
            [](Machine &, Thread &thread) -> uint64_t {
              return static_cast<uint32_t>(
                  ~((uint64_t(2) << thread.lane()) - 1));
            })
      .Case("lanemask.ge",
            [](Machine &, Thread &thread) -> uint64_t {
              return static_cast<uint32_t>(
                  ~((uint64_t(1) << thread.lane()) - 1));
            })
      .Case("dynamic_smem_size",
            [](Machine &machine, Thread &) -> uint64_t {
              return machine.launch().sharedBytes;
            })
      .Case("total_smem_size",
            [](Machine &machine, Thread &) -> uint64_t {
              return machine.sharedBytes();
            })
      .Default(nullptr);
}

std::optional<Operation>
sysmol::emulator::specialRegister(llvm::StringRef name) {
  Read read = readOf(name);
  if (!read)
    return std::nullopt;
  Operation operation;
  operation.name = name.str();
  operation.results = 1;
  operation.run = [read](Machine &machine, Thread &thread, const Slot *,
                         Slot *results) { results[0] = read(machine, thread); };
  return operation;
}
