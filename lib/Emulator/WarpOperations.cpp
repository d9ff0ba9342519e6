//===- WarpOperations.cpp - Shuffles, votes, barriers, ldmatrix -----------===//

#include "Machine.h"
#include "Operations.h"

#include "llvm/ADT/StringSwitch.h"

#include <algorithm>
#include <cstring>

using namespace sysmol::emulator;

static Operation withMask(llvm::StringRef name, unsigned arguments,
                          unsigned results, unsigned maskArgument) {
  Operation operation;
  operation.name = name.str();
  operation.scope = Operation::Scope::Mask;
  operation.arguments = arguments;
  operation.results = results;
  operation.maskArgument = maskArgument;
  return operation;
}

//===----------------------------------------------------------------------===//
// Shuffles
//===----------------------------------------------------------------------===//

namespace {
enum class Shuffle { Up, Down, Butterfly, Index };
} // namespace

static std::optional<Shuffle> shuffleMode(llvm::StringRef name) {
  return llvm::StringSwitch<std::optional<Shuffle>>(name)
      .Case("up", Shuffle::Up)
      .Case("down", Shuffle::Down)
      .Case("bfly", Shuffle::Butterfly)
      .Case("idx", Shuffle::Index)
      .Default(std::nullopt);
}

/// The lane that `lane` reads from, and whether it is in range (PTX ISA,
/// shfl.sync).
static std::pair<int, bool> shuffleSource(Shuffle mode, int lane, uint32_t b,
                                          uint32_t c) {
  int value = b & 31, clamp = c & 31, segment = c >> 8 & 31;
  int maxLane = (lane & segment) | (clamp & ~segment);
  int minLane = lane & segment;
  int source = lane;
  bool inRange = false;
  switch (mode) {
  case Shuffle::Up:
    source = lane - value;
    inRange = source >= maxLane;
    break;
  case Shuffle::Down:
    source = lane + value;
    inRange = source <= maxLane;
    break;
  case Shuffle::Butterfly:
    source = lane ^ value;
    inRange = source <= maxLane;
    break;
  case Shuffle::Index:
    source = minLane | (value & ~segment);
    inRange = source <= maxLane;
    break;
  }
  return {inRange ? source : lane, inRange};
}

/// Where the arguments stand differs: the intrinsic has the mask first, PTX
/// last.
static Operation makeShuffle(llvm::StringRef name, Shuffle mode, bool maskFirst,
                             bool givesPredicate) {
  Operation operation =
      withMask(name, 4, givesPredicate ? 2 : 1, maskFirst ? 0 : 3);
  unsigned first = maskFirst ? 1 : 0;
  operation.runTogether = [=, name = operation.name](Machine &machine,
                                                     Team &team) {
    for (int lane = 0; lane < 32; ++lane) {
      Participant &mine = team[lane];
      if (!mine)
        continue;
      auto [source, inRange] = shuffleSource(
          mode, lane, mine.arguments[first + 1], mine.arguments[first + 2]);
      if (!team[source]) {
        machine.fail(*mine.thread, llvm::Twine(name) + " reads lane " +
                                       llvm::Twine(source) +
                                       ", which does not take part");
        return;
      }
      mine.results[0] = team[source].arguments[first];
      if (givesPredicate)
        mine.results[1] = inRange;
    }
  };
  return operation;
}

//===----------------------------------------------------------------------===//
// Votes and reductions
//===----------------------------------------------------------------------===//

namespace {
enum class Vote { All, Any, Uni, Ballot };
} // namespace

static std::optional<Vote> voteMode(llvm::StringRef name) {
  return llvm::StringSwitch<std::optional<Vote>>(name)
      .Case("all", Vote::All)
      .Case("any", Vote::Any)
      .Case("uni", Vote::Uni)
      .Case("ballot", Vote::Ballot)
      .Default(std::nullopt);
}

static Operation makeVote(llvm::StringRef name, Vote mode, bool maskFirst) {
  Operation operation = withMask(name, 2, 1, maskFirst ? 0 : 1);
  unsigned predicate = maskFirst ? 1 : 0;
  operation.runTogether = [=](Machine &, Team &team) {
    uint32_t mask = 0, votes = 0;
    for (unsigned lane = 0; lane < 32; ++lane) {
      if (!team[lane])
        continue;
      mask |= 1u << lane;
      votes |= uint32_t(team[lane].arguments[predicate] & 1) << lane;
    }
    uint32_t result = 0;
    switch (mode) {
    case Vote::All:
      result = votes == mask;
      break;
    case Vote::Any:
      result = votes != 0;
      break;
    case Vote::Uni:
      result = votes == 0 || votes == mask;
      break;
    case Vote::Ballot:
      result = votes;
      break;
    }
    for (Participant &mine : team)
      if (mine)
        mine.results[0] = result;
  };
  return operation;
}

using Reduction = uint32_t (*)(uint32_t, uint32_t);

/// `name` as in redux.sync: add, min, umin, and the PTX forms add.s32, min.u32.
static Reduction reduction(llvm::StringRef name) {
  return llvm::StringSwitch<Reduction>(name)
      .Cases({"add", "add.s32", "add.u32"},
             [](uint32_t a, uint32_t b) { return a + b; })
      .Cases({"and", "and.b32"}, [](uint32_t a, uint32_t b) { return a & b; })
      .Cases({"or", "or.b32"}, [](uint32_t a, uint32_t b) { return a | b; })
      .Cases({"xor", "xor.b32"}, [](uint32_t a, uint32_t b) { return a ^ b; })
      .Cases({"min", "min.s32"},
             [](uint32_t a, uint32_t b) {
               return static_cast<uint32_t>(
                   std::min(static_cast<int32_t>(a), static_cast<int32_t>(b)));
             })
      .Cases({"max", "max.s32"},
             [](uint32_t a, uint32_t b) {
               return static_cast<uint32_t>(
                   std::max(static_cast<int32_t>(a), static_cast<int32_t>(b)));
             })
      .Cases({"umin", "min.u32"},
             [](uint32_t a, uint32_t b) { return std::min(a, b); })
      .Cases({"umax", "max.u32"},
             [](uint32_t a, uint32_t b) { return std::max(a, b); })
      .Default(nullptr);
}

static Operation makeReduction(llvm::StringRef name, Reduction reduce) {
  Operation operation = withMask(name, 2, 1, 1);
  operation.runTogether = [reduce](Machine &, Team &team) {
    std::optional<uint32_t> total;
    for (Participant &mine : team)
      if (mine) {
        auto value = static_cast<uint32_t>(mine.arguments[0]);
        total = total ? reduce(*total, value) : value;
      }
    for (Participant &mine : team)
      if (mine)
        mine.results[0] = *total;
  };
  return operation;
}

static Operation makeElect(llvm::StringRef name) {
  Operation operation = withMask(name, 1, 2, 0);
  operation.runTogether = [](Machine &, Team &team) {
    std::optional<unsigned> leader;
    for (unsigned lane = 0; lane < 32; ++lane) {
      if (!team[lane])
        continue;
      if (!leader)
        leader = lane;
      team[lane].results[0] = *leader;
      team[lane].results[1] = *leader == lane;
    }
  };
  return operation;
}

static Operation makeWarpBarrier(llvm::StringRef name) {
  Operation operation = withMask(name, 1, 0, 0);
  operation.ordersMemory = true;
  return operation;
}

//===----------------------------------------------------------------------===//
// Barriers of the block
//===----------------------------------------------------------------------===//

static Operation makeBarrier(llvm::StringRef name, Operation::Barrier kind,
                             bool hasCount) {
  Operation operation;
  operation.name = name.str();
  operation.scope = Operation::Scope::Block;
  operation.barrier = kind;
  operation.barrierHasCount = hasCount;
  bool reduces = kind != Operation::Barrier::Sync;
  operation.arguments = 1 + hasCount + reduces;
  operation.results = reduces;
  return operation;
}

/// What follows "barrier.cta.": sync.aligned.all, red.popc.count.
static std::optional<Operation> barrier(llvm::StringRef name,
                                        llvm::StringRef rest) {
  auto kind = Operation::Barrier::Sync;
  if (rest.consume_front("red.")) {
    if (rest.consume_front("and."))
      kind = Operation::Barrier::And;
    else if (rest.consume_front("or."))
      kind = Operation::Barrier::Or;
    else if (rest.consume_front("popc."))
      kind = Operation::Barrier::Popc;
    else
      return std::nullopt;
  } else if (!rest.consume_front("sync.")) {
    return std::nullopt;
  }
  rest.consume_front("aligned.");
  if (rest != "all" && rest != "count")
    return std::nullopt;
  return makeBarrier(name, kind, rest == "count");
}

//===----------------------------------------------------------------------===//
// Matrices between shared memory and fragments
//===----------------------------------------------------------------------===//

namespace {
struct MatrixMove {
  unsigned count = 0;
  bool transposed = false;
};
} // namespace

/// x4.trans.b16 or x4.b16; PTX puts the state space between:
/// x4.trans.shared.b16.
static std::optional<MatrixMove> matrixMove(llvm::StringRef rest) {
  MatrixMove move;
  if (!rest.consume_front("m8n8.x") || rest.consumeInteger(10, move.count) ||
      (move.count != 1 && move.count != 2 && move.count != 4))
    return std::nullopt;
  move.transposed = rest.consume_front(".trans");
  rest.consume_front(".shared");
  rest.consume_front("::cta");
  if (rest != ".b16")
    return std::nullopt;
  return move;
}

/// Where element `half` of lane `lane`'s register lies in its matrix.
static std::pair<unsigned, unsigned>
rowAndColumn(const MatrixMove &move, unsigned lane, unsigned half) {
  unsigned outer = lane / 4, inner = lane % 4 * 2 + half;
  return move.transposed ? std::pair(inner, outer) : std::pair(outer, inner);
}

/// The rows' addresses come from lanes 0-7 for the first matrix, 8-15 for the
/// second, and so on. False where one is a fault.
static bool matrixRows(Machine &machine, Team &team, unsigned count,
                       AccessKind kind, std::array<uint8_t *, 32> &rows) {
  for (unsigned lane = 0; lane < count * 8; ++lane) {
    uint64_t address = team[lane].arguments[0];
    if (!machine.inShared(address)) {
      machine.fail(*team[lane].thread,
                   "ldmatrix or stmatrix at an address outside shared memory");
      return false;
    }
    rows[lane] = machine.access(*team[lane].thread, address, 16, 16, kind);
    if (!rows[lane])
      return false;
  }
  return true;
}

static Operation makeLoadMatrix(llvm::StringRef name, MatrixMove move) {
  Operation operation;
  operation.name = name.str();
  operation.scope = Operation::Scope::Warp;
  operation.arguments = 1;
  operation.results = move.count;
  operation.runTogether = [move](Machine &machine, Team &team) {
    std::array<uint8_t *, 32> rows;
    if (!matrixRows(machine, team, move.count, AccessKind::Read, rows))
      return;
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned matrix = 0; matrix < move.count; ++matrix) {
        uint32_t value = 0;
        for (unsigned half = 0; half < 2; ++half) {
          auto [row, column] = rowAndColumn(move, lane, half);
          uint16_t element;
          std::memcpy(&element, rows[matrix * 8 + row] + column * 2, 2);
          value |= uint32_t(element) << (half * 16);
        }
        team[lane].results[matrix] = value;
      }
  };
  return operation;
}

static Operation makeStoreMatrix(llvm::StringRef name, MatrixMove move) {
  Operation operation;
  operation.name = name.str();
  operation.scope = Operation::Scope::Warp;
  operation.arguments = 1 + move.count;
  operation.runTogether = [move](Machine &machine, Team &team) {
    std::array<uint8_t *, 32> rows;
    if (!matrixRows(machine, team, move.count, AccessKind::Write, rows))
      return;
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned matrix = 0; matrix < move.count; ++matrix)
        for (unsigned half = 0; half < 2; ++half) {
          auto [row, column] = rowAndColumn(move, lane, half);
          auto element = static_cast<uint16_t>(
              team[lane].arguments[1 + matrix] >> (half * 16));
          std::memcpy(rows[matrix * 8 + row] + column * 2, &element, 2);
        }
  };
  return operation;
}

//===----------------------------------------------------------------------===//
// Names
//===----------------------------------------------------------------------===//

std::optional<Operation>
sysmol::emulator::warpForIntrinsic(llvm::StringRef name) {
  llvm::StringRef rest = name;
  if (rest.consume_front("shfl.sync.")) {
    auto [mode, type] = rest.split('.');
    auto shuffle = shuffleMode(mode);
    bool predicate = type.consume_back("p");
    if (!shuffle || (type != "i32" && type != "f32"))
      return std::nullopt;
    return makeShuffle(name, *shuffle, /*maskFirst=*/true, predicate);
  }
  if (rest.consume_front("vote.") && rest.consume_back(".sync")) {
    auto vote = voteMode(rest);
    return vote ? std::optional(makeVote(name, *vote, /*maskFirst=*/true))
                : std::nullopt;
  }
  rest = name;
  if (rest.consume_front("redux.sync.")) {
    Reduction reduce = reduction(rest);
    return reduce ? std::optional(makeReduction(name, reduce)) : std::nullopt;
  }
  if (name == "elect.sync")
    return makeElect(name);
  if (name == "bar.warp.sync")
    return makeWarpBarrier(name);
  if (rest.consume_front("barrier.cta."))
    return barrier(name, rest);
  if (rest.consume_front("ldmatrix.sync.aligned.")) {
    auto move = matrixMove(rest);
    return move ? std::optional(makeLoadMatrix(name, *move)) : std::nullopt;
  }
  if (rest.consume_front("stmatrix.sync.aligned.")) {
    auto move = matrixMove(rest);
    return move ? std::optional(makeStoreMatrix(name, *move)) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<Operation> sysmol::emulator::warpForPtx(llvm::StringRef mnemonic,
                                                      size_t operands) {
  llvm::StringRef rest = mnemonic;
  if (rest.consume_front("shfl.sync.")) {
    auto [mode, type] = rest.split('.');
    auto shuffle = shuffleMode(mode);
    if (!shuffle || type != "b32")
      return std::nullopt;
    return makeShuffle(mnemonic, *shuffle, /*maskFirst=*/false,
                       /*givesPredicate=*/false);
  }
  if (rest == "vote.sync.ballot.b32")
    return makeVote(mnemonic, Vote::Ballot, /*maskFirst=*/false);
  if (rest.consume_front("redux.sync.")) {
    Reduction reduce = reduction(rest);
    return reduce ? std::optional(makeReduction(mnemonic, reduce))
                  : std::nullopt;
  }
  if (rest == "bar.warp.sync")
    return makeWarpBarrier(mnemonic);
  if (rest == "bar.sync" || rest == "barrier.sync" ||
      rest == "barrier.sync.aligned" || rest == "barrier.cta.sync.aligned")
    return makeBarrier(mnemonic, Operation::Barrier::Sync, operands == 2);
  if (rest.consume_front("ldmatrix.sync.aligned.")) {
    auto move = matrixMove(rest);
    return move ? std::optional(makeLoadMatrix(mnemonic, *move)) : std::nullopt;
  }
  if (rest.consume_front("stmatrix.sync.aligned.")) {
    auto move = matrixMove(rest);
    return move ? std::optional(makeStoreMatrix(mnemonic, *move))
                : std::nullopt;
  }
  return std::nullopt;
}
