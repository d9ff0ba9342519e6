//===- MemoryOperations.cpp - Loads, stores, cp.async, fences -------------===//

#include "Machine.h"
#include "Operations.h"

#include "llvm/ADT/StringSwitch.h"

#include <cstring>

using namespace sysmol::emulator;

using Run = std::function<void(Machine &, Thread &, const Slot *, Slot *)>;

static Operation perThread(llvm::StringRef name, unsigned arguments,
                           unsigned results, Run run) {
  Operation operation;
  operation.name = name.str();
  operation.arguments = arguments;
  operation.results = results;
  operation.run = std::move(run);
  return operation;
}

static void nothing(Machine &, Thread &, const Slot *, Slot *) {}

static void fenceProxy(Machine &, Thread &thread, const Slot *, Slot *) {
  ++thread.proxyFences;
}

//===----------------------------------------------------------------------===//
// cp.async
//===----------------------------------------------------------------------===//

/// Arguments: target, source and, where `sizeArgument` is not 0, the number of
/// bytes at that index that are really read.
static Operation makeCopy(llvm::StringRef name, unsigned arguments,
                          unsigned sizeArgument,
                          std::optional<unsigned> fixedBytes) {
  return perThread(
      name, arguments, 0,
      [=, name = name.str()](Machine &machine, Thread &thread,
                             const Slot *given, Slot *) {
        auto bytes = fixedBytes.value_or(static_cast<uint32_t>(given[2]));
        unsigned read =
            sizeArgument ? static_cast<uint32_t>(given[sizeArgument]) : bytes;
        if (bytes != 4 && bytes != 8 && bytes != 16) {
          machine.fail(thread, name + " of " + std::to_string(bytes) +
                                   " bytes; 4, 8 and 16 are possible");
          return;
        }
        if (read > bytes) {
          machine.fail(thread, name + " reads " + std::to_string(read) +
                                   " bytes to write " + std::to_string(bytes));
          return;
        }
        machine.startCopy(thread, {given[0], given[1], bytes, read});
      });
}

static void commitGroup(Machine &, Thread &thread, const Slot *, Slot *) {
  thread.copyGroups.push_back(std::move(thread.copies));
  thread.copies.clear();
}

static void waitGroup(Machine &machine, Thread &thread, const Slot *given,
                      Slot *) {
  machine.finishCopies(thread, static_cast<uint32_t>(given[0]));
}

static void waitAll(Machine &machine, Thread &thread, const Slot *given,
                    Slot *results) {
  commitGroup(machine, thread, given, results);
  machine.finishCopies(thread, 0);
}

//===----------------------------------------------------------------------===//
// ld and st
//===----------------------------------------------------------------------===//

namespace {
struct VectorAccess {
  unsigned count = 1;
  unsigned bytes = 0;
  bool isSigned = false;
};
} // namespace

/// What follows "ld." or "st.": spaces, cache hints, then [v2|v4|v8].type.
static std::optional<VectorAccess> vectorAccess(llvm::StringRef rest) {
  VectorAccess access;
  llvm::SmallVector<llvm::StringRef> parts;
  rest.split(parts, '.');
  llvm::StringRef type = parts.pop_back_val();
  char kind = type.empty() ? ' ' : type[0];
  unsigned bits = 0;
  if (!llvm::StringRef("busf").contains(kind) ||
      type.drop_front().getAsInteger(10, bits) ||
      (bits != 8 && bits != 16 && bits != 32 && bits != 64))
    return std::nullopt;
  access.bytes = bits / 8;
  access.isSigned = kind == 's';
  if (!parts.empty() && parts.back().starts_with("v") &&
      !parts.back().drop_front().getAsInteger(10, access.count))
    parts.pop_back();
  // What else may stand there changes when or how fast, not what.
  for (llvm::StringRef part : parts) {
    bool known =
        llvm::StringSwitch<bool>(part)
            .Cases({"global", "shared", "shared::cta", "weak", "nc", "relaxed",
                    "volatile", "cta", "gpu", "ca", "cg", "cs", "lu", "cv",
                    "wb", "wt"},
                   true)
            .Default(part.starts_with("L1::") || part.starts_with("L2::"));
    if (!known)
      return std::nullopt;
  }
  return access;
}

static Operation makeLoad(llvm::StringRef name, VectorAccess access) {
  return perThread(
      name, 1, access.count,
      [access](Machine &machine, Thread &thread, const Slot *given,
               Slot *results) {
        uint64_t bytes = uint64_t(access.count) * access.bytes;
        const uint8_t *from =
            machine.access(thread, given[0], bytes, bytes, AccessKind::Read);
        if (!from)
          return;
        for (unsigned i = 0; i < access.count; ++i) {
          results[i] = 0;
          std::memcpy(&results[i], from + size_t(i) * access.bytes,
                      access.bytes);
          unsigned unused = 64 - access.bytes * 8;
          if (access.isSigned)
            results[i] = static_cast<int64_t>(results[i] << unused) >> unused;
        }
      });
}

static Operation makeStore(llvm::StringRef name, VectorAccess access) {
  return perThread(
      name, 1 + access.count, 0,
      [access](Machine &machine, Thread &thread, const Slot *given, Slot *) {
        uint64_t bytes = uint64_t(access.count) * access.bytes;
        uint8_t *to =
            machine.access(thread, given[0], bytes, bytes, AccessKind::Write);
        if (!to)
          return;
        for (unsigned i = 0; i < access.count; ++i)
          std::memcpy(to + size_t(i) * access.bytes, &given[1 + i],
                      access.bytes);
      });
}

//===----------------------------------------------------------------------===//
// Names
//===----------------------------------------------------------------------===//

std::optional<Operation>
sysmol::emulator::memoryForIntrinsic(llvm::StringRef name) {
  if (name == "cp.async.commit.group")
    return perThread(name, 0, 0, commitGroup);
  if (name == "cp.async.wait.group")
    return perThread(name, 1, 0, waitGroup);
  if (name == "cp.async.wait.all")
    return perThread(name, 0, 0, waitAll);
  llvm::StringRef rest = name;
  if (rest.consume_front("cp.async.ca.shared.global.") ||
      rest.consume_front("cp.async.cg.shared.global.")) {
    unsigned bytes = 0;
    if (rest.consumeInteger(10, bytes) || (!rest.empty() && rest != ".s"))
      return std::nullopt;
    bool sized = rest == ".s";
    return makeCopy(name, sized ? 3 : 2, sized ? 2 : 0, bytes);
  }
  if (name.starts_with("fence.proxy.async"))
    return perThread(name, 0, 0, fenceProxy);
  if (name.starts_with("membar.") || name == "fence.sc.cluster")
    return perThread(name, 0, 0, nothing);
  if (name == "nanosleep")
    return perThread(name, 1, 0, nothing);
  if (name == "isspacep.shared" || name == "isspacep.global")
    return perThread(
        name, 1, 1,
        [shared = name == "isspacep.shared"](Machine &machine, Thread &,
                                             const Slot *given, Slot *results) {
          results[0] = machine.inShared(given[0]) == shared;
        });
  return std::nullopt;
}

std::optional<Operation>
sysmol::emulator::memoryForPtx(llvm::StringRef mnemonic, size_t operands) {
  if (mnemonic == "cp.async.commit_group")
    return perThread(mnemonic, 0, 0, commitGroup);
  if (mnemonic == "cp.async.wait_group")
    return perThread(mnemonic, 1, 0, waitGroup);
  if (mnemonic == "cp.async.wait_all")
    return perThread(mnemonic, 0, 0, waitAll);
  llvm::StringRef rest = mnemonic;
  if (rest.consume_front("cp.async.ca.shared") ||
      rest.consume_front("cp.async.cg.shared")) {
    rest.consume_front("::cta");
    if (!rest.consume_front(".global") ||
        !(rest.empty() || rest.starts_with(".L2::")))
      return std::nullopt;
    return operands == 4 ? makeCopy(mnemonic, 4, 3, std::nullopt)
                         : makeCopy(mnemonic, 3, 0, std::nullopt);
  }
  if (mnemonic == "fence.proxy.async" ||
      mnemonic.starts_with("fence.proxy.async.shared"))
    return perThread(mnemonic, 0, 0, fenceProxy);
  if (mnemonic.starts_with("membar.") || mnemonic.starts_with("fence.") ||
      mnemonic.starts_with("prefetch.global."))
    return perThread(mnemonic, mnemonic.starts_with("prefetch.") ? 1 : 0, 0,
                     nothing);
  if (rest.consume_front("ld.")) {
    auto access = vectorAccess(rest);
    return access ? std::optional(makeLoad(mnemonic, *access)) : std::nullopt;
  }
  if (rest.consume_front("st.")) {
    auto access = vectorAccess(rest);
    return access ? std::optional(makeStore(mnemonic, *access)) : std::nullopt;
  }
  return std::nullopt;
}
