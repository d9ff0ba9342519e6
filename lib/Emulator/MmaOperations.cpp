//===- MmaOperations.cpp - Integer and binary matrix products -------------===//
//
// The fragments of the PTX ISA follow one rule for all these types. A register
// holds 32 bits along k. Lane l has row g = l / 4 of A and column g of B, and
// of each 128 bits along k the 32 that start at 32 * (l % 4). Registers of A
// alternate between rows g and g + 8 (m16), then go on to the next 128 bits.
// Of C a lane has columns 2 * (l % 4) and the next, of row g, then of g + 8.
// A warp of a warpgroup has 16 rows in the same places, and of D eight columns
// after eight; B lies in shared memory.
//
//===----------------------------------------------------------------------===//

#include "Machine.h"
#include "Operations.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

using namespace sysmol::emulator;

namespace {
struct ElementType {
  unsigned bits = 0;
  bool isSigned = false;
};

struct MmaShape {
  unsigned m = 0;
  /// In bits: 128 or 256.
  unsigned k = 0;
  ElementType a, b;
  bool isXor = false;
  bool saturates = false;

  unsigned registersA() const { return m / 8 * (k / 128); }
  unsigned registersB() const { return k / 128; }
  unsigned registersC() const { return m / 4; }
};
} // namespace

static std::optional<ElementType> elementType(llvm::StringRef name) {
  if (name == "b1")
    return ElementType{1, false};
  if (name == "s4" || name == "u4")
    return ElementType{4, name[0] == 's'};
  if (name == "s8" || name == "u8")
    return ElementType{8, name[0] == 's'};
  return std::nullopt;
}

static int64_t element(uint32_t word, unsigned index, ElementType type) {
  uint32_t code = word >> (index * type.bits) & ((1u << type.bits) - 1);
  if (type.isSigned && code >> (type.bits - 1))
    return int64_t(code) - (int64_t(1) << type.bits);
  return code;
}

/// The words of one row of A or column of B, in the order of k.
using Words = std::array<uint32_t, 8>;

namespace {
/// Elements of all rows (or columns), widened once: each takes part in many
/// products.
struct Elements {
  /// At most 256 bits of 4-bit elements.
  std::array<std::array<int16_t, 64>, 16> values;

  void set(unsigned row, const Words &words, unsigned count, ElementType type) {
    unsigned perWord = 32 / type.bits;
    for (unsigned i = 0; i < count; ++i)
      for (unsigned j = 0; j < perWord; ++j)
        values[row][i * perWord + j] =
            static_cast<int16_t>(element(words[i], j, type));
  }
};
} // namespace

static int64_t dotOfBits(const Words &a, const Words &b, unsigned count,
                         bool isXor) {
  int64_t sum = 0;
  for (unsigned i = 0; i < count; ++i)
    sum += std::popcount(isXor ? a[i] ^ b[i] : a[i] & b[i]);
  return sum;
}

static int64_t dotOfElements(const std::array<int16_t, 64> &a,
                             const std::array<int16_t, 64> &b, unsigned count) {
  int32_t sum = 0;
  for (unsigned i = 0; i < count; ++i)
    sum += int32_t(a[i]) * b[i];
  return sum;
}

static void multiply(const MmaShape &shape, Team &team) {
  // Arguments: A, B, C.
  unsigned registersA = shape.registersA(), registersB = shape.registersB();
  unsigned rowBlocks = shape.m / 8, words = shape.k / 32;
  std::array<Words, 16> a;
  std::array<Words, 8> b;
  for (unsigned word = 0; word < words; ++word) {
    unsigned lane = word % 4, block = word / 4;
    for (unsigned row = 0; row < shape.m; ++row)
      a[row][word] =
          team[row % 8 * 4 + lane].arguments[block * rowBlocks + row / 8];
    for (unsigned column = 0; column < 8; ++column)
      b[column][word] = team[column * 4 + lane].arguments[registersA + block];
  }
  Elements elementsA, elementsB;
  unsigned count = shape.k / shape.a.bits;
  if (shape.a.bits != 1) {
    for (unsigned row = 0; row < shape.m; ++row)
      elementsA.set(row, a[row], words, shape.a);
    for (unsigned column = 0; column < 8; ++column)
      elementsB.set(column, b[column], words, shape.b);
  }
  for (unsigned row = 0; row < shape.m; ++row) {
    for (unsigned column = 0; column < 8; ++column) {
      int64_t sum = shape.a.bits == 1
                        ? dotOfBits(a[row], b[column], words, shape.isXor)
                        : dotOfElements(elementsA.values[row],
                                        elementsB.values[column], count);
      unsigned index = row / 8 * 2 + column % 2;
      Participant &owner = team[row % 8 * 4 + column / 2];
      sum += static_cast<int32_t>(
          owner.arguments[registersA + registersB + index]);
      if (shape.saturates)
        sum = std::clamp<int64_t>(sum, std::numeric_limits<int32_t>::min(),
                                  std::numeric_limits<int32_t>::max());
      owner.results[index] = static_cast<uint32_t>(sum);
    }
  }
}

static Operation makeMma(const MmaShape &shape, std::string name) {
  Operation operation;
  operation.name = std::move(name);
  operation.scope = Operation::Scope::Warp;
  operation.arguments =
      shape.registersA() + shape.registersB() + shape.registersC();
  operation.results = shape.registersC();
  operation.runTogether = [shape](Machine &, Team &team) {
    multiply(shape, team);
  };
  return operation;
}

/// The shapes that PTX has: 128 or 256 bits along k, and 256 only for m16.
static bool parseShape(llvm::StringRef text, MmaShape &shape) {
  unsigned n = 0, k = 0;
  if (!text.consume_front("m") || text.consumeInteger(10, shape.m) ||
      !text.consume_front("n") || text.consumeInteger(10, n) ||
      !text.consume_front("k") || text.consumeInteger(10, k) || !text.empty())
    return false;
  shape.k = k * shape.a.bits;
  if (n != 8 || shape.a.bits != shape.b.bits)
    return false;
  return (shape.m == 8 && shape.k == 128) ||
         (shape.m == 16 && (shape.k == 128 || shape.k == 256));
}

/// mma.and.popc.m16n8k256.row.col.b1, mma.m16n8k32.row.col.satfinite.u8.s8
std::optional<Operation>
sysmol::emulator::mmaForIntrinsic(llvm::StringRef name) {
  llvm::StringRef rest = name;
  if (!rest.consume_front("mma."))
    return std::nullopt;
  MmaShape shape;
  bool binary = rest.consume_front("and.popc.");
  if (!binary && rest.consume_front("xor.popc."))
    binary = shape.isXor = true;
  auto [size, types] = rest.split(".row.col.");
  shape.saturates = types.consume_front("satfinite.");
  auto [a, b] = types.split('.');
  auto typeA = elementType(a), typeB = elementType(b.empty() ? a : b);
  if (!typeA || !typeB || binary != (typeA->bits == 1))
    return std::nullopt;
  shape.a = *typeA;
  shape.b = *typeB;
  if (!parseShape(size, shape))
    return std::nullopt;
  return makeMma(shape, name.str());
}

/// mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc
std::optional<Operation> sysmol::emulator::mmaForPtx(llvm::StringRef mnemonic,
                                                     size_t) {
  llvm::SmallVector<llvm::StringRef> parts;
  mnemonic.split(parts, '.');
  if (parts.size() < 10 || parts[0] != "mma" || parts[1] != "sync" ||
      parts[2] != "aligned" || parts[4] != "row" || parts[5] != "col")
    return std::nullopt;
  MmaShape shape;
  llvm::ArrayRef<llvm::StringRef> types = llvm::ArrayRef(parts).drop_front(6);
  if (types.front() == "satfinite") {
    shape.saturates = true;
    types = types.drop_front();
  }
  if (types.size() < 4 || types[0] != "s32" || types[3] != "s32")
    return std::nullopt;
  auto typeA = elementType(types[1]), typeB = elementType(types[2]);
  llvm::ArrayRef<llvm::StringRef> ending = types.drop_front(4);
  if (!typeA || !typeB)
    return std::nullopt;
  if (typeA->bits == 1) {
    if (ending.size() != 2 || ending[1] != "popc" ||
        (ending[0] != "and" && ending[0] != "xor"))
      return std::nullopt;
    shape.isXor = ending[0] == "xor";
  } else if (!ending.empty()) {
    return std::nullopt;
  }
  shape.a = *typeA;
  shape.b = *typeB;
  if (!parseShape(parts[3], shape))
    return std::nullopt;
  return makeMma(shape, mnemonic.str());
}

//===----------------------------------------------------------------------===//
// Warpgroups
//===----------------------------------------------------------------------===//

namespace {
/// A wgmma.mma_async of 64 rows and 256 bits along k, whose A is in registers.
struct WgmmaShape {
  unsigned n = 0;
  ElementType a, b;
  bool saturates = false;

  static constexpr unsigned registersA = 4;
  unsigned registersD() const { return n / 2; }
};

/// A matrix descriptor: where core matrices of 8 columns times 16 bytes lie in
/// shared memory, each 128 bytes in a row (no swizzle).
struct MatrixDescriptor {
  uint64_t start, alongK, alongN, offset, swizzle;

  explicit MatrixDescriptor(uint64_t bits)
      : start((bits & 0x3fff) << 4), alongK((bits >> 16 & 0x3fff) << 4),
        alongN((bits >> 32 & 0x3fff) << 4), offset(bits >> 49 & 7),
        swizzle(bits >> 62) {}
};
} // namespace

/// The words of a column of B, or false where reading them is a fault.
static bool readColumn(Machine &machine, Warpgroup &group,
                       const MatrixDescriptor &matrix, unsigned column,
                       Words &words) {
  auto base = reinterpret_cast<uint64_t>(machine.sharedBase());
  for (unsigned half = 0; half < 2; ++half) {
    uint64_t address = base + matrix.start + column / 8 * matrix.alongN +
                       half * matrix.alongK + column % 8 * 16;
    // Read by more than one warp, as far as races go.
    for (unsigned reader : {0, 32}) {
      const uint8_t *from = machine.access(*group[reader].thread, address, 16,
                                           16, AccessKind::ReadByProxy);
      if (!from)
        return false;
      std::memcpy(&words[size_t(half) * 4], from, 16);
    }
  }
  return true;
}

static void multiply(const WgmmaShape &shape, Machine &machine,
                     Warpgroup &group) {
  // Arguments: D, A, the descriptor of B, whether D is added.
  unsigned firstA = shape.registersD(), last = firstA + shape.registersA;
  uint64_t descriptor = group[0].arguments[last];
  for (Participant &member : group) {
    if (!member.thread->wgmmaFenced)
      return machine.fail(*member.thread,
                          "wgmma.mma_async with no wgmma.fence since its "
                          "registers were free to use");
    if (member.arguments[last] != descriptor)
      return machine.fail(*member.thread,
                          "wgmma.mma_async with a descriptor that differs "
                          "within the warpgroup");
    member.thread->wgmmaOpen = true;
  }
  MatrixDescriptor matrix(descriptor);
  if (matrix.swizzle || matrix.offset)
    return machine.fail(*group[0].thread,
                        "wgmma.mma_async with a swizzled matrix, which the "
                        "emulator does not know");
  std::array<Words, 64> a;
  for (unsigned row = 0; row < a.size(); ++row)
    for (unsigned word = 0; word < a[row].size(); ++word)
      a[row][word] = group[row / 16 * 32 + row % 8 * 4 + word % 4]
                         .arguments[firstA + word / 4 * 2 + row / 8 % 2];
  std::array<Elements, 4> elementsA; // 16 rows each
  unsigned count = 256 / shape.a.bits;
  bool binary = shape.a.bits == 1;
  if (!binary)
    for (unsigned row = 0; row < a.size(); ++row)
      elementsA[row / 16].set(row % 16, a[row], 8, shape.a);
  for (unsigned column = 0; column < shape.n; ++column) {
    Words b;
    if (!readColumn(machine, group, matrix, column, b))
      return;
    Elements elementsB;
    if (!binary)
      elementsB.set(0, b, 8, shape.b);
    for (unsigned row = 0; row < a.size(); ++row) {
      int64_t sum = binary ? dotOfBits(a[row], b, 8, /*isXor=*/false)
                           : dotOfElements(elementsA[row / 16].values[row % 16],
                                           elementsB.values[0], count);
      Participant &owner = group[row / 16 * 32 + row % 8 * 4 + column % 8 / 2];
      unsigned index = column / 8 * 4 + row / 8 % 2 * 2 + column % 2;
      if (owner.arguments[last + 1] & 1)
        sum += static_cast<int32_t>(owner.arguments[index]);
      if (shape.saturates)
        sum = std::clamp<int64_t>(sum, std::numeric_limits<int32_t>::min(),
                                  std::numeric_limits<int32_t>::max());
      owner.results[index] = static_cast<uint32_t>(sum);
    }
  }
}

/// Takes effect at once. That its registers are not touched before the wait is
/// for the inline PTX to see to: it is one statement from fence to wait.
static std::optional<Operation> makeWgmma(llvm::StringRef mnemonic) {
  llvm::SmallVector<llvm::StringRef> parts;
  mnemonic.split(parts, '.');
  llvm::ArrayRef<llvm::StringRef> rest = parts;
  llvm::StringRef size = rest.front();
  rest = rest.drop_front();
  auto consume = [&](llvm::StringRef part) {
    bool found = !rest.empty() && rest.front() == part;
    rest = rest.drop_front(found);
    return found;
  };
  if (!consume("s32"))
    return std::nullopt;
  WgmmaShape shape;
  shape.saturates = consume("satfinite");
  auto typeA = rest.empty() ? std::nullopt : elementType(rest[0]);
  auto typeB = rest.size() < 2 ? std::nullopt : elementType(rest[1]);
  if (!typeA || !typeB || typeA->bits != typeB->bits || typeA->bits == 4)
    return std::nullopt;
  rest = rest.drop_front(2);
  bool binary = typeA->bits == 1;
  if (binary ? shape.saturates || !rest.equals({"and", "popc"}) : !rest.empty())
    return std::nullopt;
  unsigned k = 0;
  if (!size.consume_front("m64n") || size.consumeInteger(10, shape.n) ||
      !size.consume_front("k") || size.consumeInteger(10, k) || !size.empty())
    return std::nullopt;
  bool hasColumns = shape.n % 16 == 0 ? shape.n > 0 && shape.n <= 256
                                      : shape.n == 8 || shape.n == 24;
  if (!hasColumns || k * typeA->bits != 256)
    return std::nullopt;
  shape.a = *typeA;
  shape.b = *typeB;

  Operation operation;
  operation.scope = Operation::Scope::Warpgroup;
  operation.results = shape.registersD();
  operation.arguments = operation.results + shape.registersA + 2;
  operation.updates = true;
  operation.runAsGroup = [shape](Machine &machine, Warpgroup &group) {
    multiply(shape, machine, group);
  };
  return operation;
}

/// wgmma.mma_async.sync.aligned.m64n128k256.s32.b1.b1.and.popc
std::optional<Operation>
sysmol::emulator::warpgroupForPtx(llvm::StringRef mnemonic, size_t) {
  using Do = void (*)(Thread &, const Slot *);
  auto ofWarp = [](unsigned arguments, Do run) {
    Operation operation;
    operation.scope = Operation::Scope::Warp;
    operation.arguments = arguments;
    operation.runTogether = [run](Machine &, Team &team) {
      for (Participant &lane : team)
        run(*lane.thread, lane.arguments);
    };
    return operation;
  };
  std::optional<Operation> operation;
  llvm::StringRef rest = mnemonic;
  if (rest == "wgmma.fence.sync.aligned")
    operation = ofWarp(
        0, [](Thread &thread, const Slot *) { thread.wgmmaFenced = true; });
  else if (rest == "wgmma.commit_group.sync.aligned")
    operation = ofWarp(0, [](Thread &thread, const Slot *) {
      thread.wgmmaOpen = false;
      ++thread.wgmmaGroups;
    });
  else if (rest == "wgmma.wait_group.sync.aligned")
    operation = ofWarp(1, [](Thread &thread, const Slot *given) {
      thread.wgmmaGroups =
          std::min(thread.wgmmaGroups, static_cast<uint32_t>(given[0]));
      thread.wgmmaFenced &= thread.wgmmaOpen || thread.wgmmaGroups;
    });
  else if (rest.consume_front("wgmma.mma_async.sync.aligned."))
    operation = makeWgmma(rest);
  if (operation)
    operation->name = mnemonic.str();
  return operation;
}
