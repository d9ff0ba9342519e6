//===- Operations.h - What NVVM intrinsics and PTX mean ---------*- C++ -*-===//
//
// One table serves intrinsics and inline PTX. An operation takes and gives
// slots of 64 bits, whose unused high bits mean nothing.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_EMULATOR_OPERATIONS_H
#define SYSMOL_LIB_EMULATOR_OPERATIONS_H

#include "llvm/ADT/StringRef.h"

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace sysmol::emulator {

class Machine;
struct Thread;

using Slot = uint64_t;

/// A thread that takes part in an operation of its warp or block.
struct Participant {
  Thread *thread = nullptr;
  const Slot *arguments = nullptr;
  Slot *results = nullptr;
  explicit operator bool() const { return thread != nullptr; }
};
using Team = std::array<Participant, 32>;
/// Four warps, the first of a number that four divides.
using Warpgroup = std::array<Participant, 128>;

struct Operation {
  enum class Scope {
    /// A thread on its own.
    Thread,
    /// All lanes of the warp, at the same instruction.
    Warp,
    /// The lanes that `mask` names.
    Mask,
    /// All lanes of a warpgroup, at the same instruction.
    Warpgroup,
    /// All threads of the block, or a count of them.
    Block,
  };
  enum class Barrier { Sync, And, Or, Popc };

  std::string name;
  Scope scope = Scope::Thread;
  unsigned arguments = 0;
  unsigned results = 0;
  /// The results' old values are its first arguments, in the same registers.
  bool updates = false;

  /// Scope::Mask: which argument holds the mask.
  unsigned maskArgument = 0;
  /// Scope::Mask: whether bar.warp.sync, which orders memory.
  bool ordersMemory = false;
  /// Scope::Block: what the barrier gives, and which arguments it has.
  Barrier barrier = Barrier::Sync;
  bool barrierHasCount = false;

  std::function<void(Machine &, Thread &, const Slot *, Slot *)> run;
  std::function<void(Machine &, Team &)> runTogether;
  std::function<void(Machine &, Warpgroup &)> runAsGroup;
};

/// By the name of an intrinsic, without "llvm.nvvm.".
std::optional<Operation> operationForIntrinsic(llvm::StringRef name);

/// By the mnemonic of a PTX instruction with all its modifiers. `operands` are
/// those that it was given, vectors counted once: some are optional.
std::optional<Operation> operationForPtx(llvm::StringRef mnemonic,
                                         size_t operands);

/// Operations of one kind, by either name; the two functions above ask each.
std::optional<Operation> mmaForIntrinsic(llvm::StringRef name);
std::optional<Operation> mmaForPtx(llvm::StringRef mnemonic, size_t operands);
std::optional<Operation> warpgroupForPtx(llvm::StringRef mnemonic,
                                         size_t operands);
std::optional<Operation> warpForIntrinsic(llvm::StringRef name);
std::optional<Operation> warpForPtx(llvm::StringRef mnemonic, size_t operands);
std::optional<Operation> memoryForIntrinsic(llvm::StringRef name);
std::optional<Operation> memoryForPtx(llvm::StringRef mnemonic,
                                      size_t operands);
std::optional<Operation> integerForIntrinsic(llvm::StringRef name);
std::optional<Operation> integerForPtx(llvm::StringRef mnemonic,
                                       size_t operands);
std::optional<Operation> specialRegister(llvm::StringRef name);

} // namespace sysmol::emulator

#endif // SYSMOL_LIB_EMULATOR_OPERATIONS_H
