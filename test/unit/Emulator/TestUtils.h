//===- TestUtils.h - Kernels written by hand ---------------------*- C++
//-*-===//

#ifndef SYSMOL_TEST_UNIT_EMULATOR_TESTUTILS_H
#define SYSMOL_TEST_UNIT_EMULATOR_TESTUTILS_H

#include "sysmol/Emulator/Emulator.h"

#include "llvm/ADT/Twine.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace sysmol::emulator::test {

/// A module with the kernel `k(ptr addrspace(1) %in, ptr addrspace(1) %out)`,
/// where %tid and %lane are at hand. Declares every intrinsic that it calls as
/// `declare` lines in `globals`.
std::string kernel(const llvm::Twine &body, const llvm::Twine &globals = "");

struct Outcome {
  std::vector<uint32_t> out;
  Statistics statistics;
  /// Empty on success.
  std::string fault;
  FaultKind kind = FaultKind::Refused;
};

/// Runs `k` of the module with `in` and an output of `outWords` words, which
/// begin as 0xeeeeeeee.
Outcome run(const std::string &ir, const std::vector<uint32_t> &in,
            size_t outWords, LaunchConfig config);

/// One warp.
inline Outcome runWarp(const std::string &ir, const std::vector<uint32_t> &in,
                       size_t outWords) {
  LaunchConfig config;
  config.block = {32, 1, 1};
  return run(ir, in, outWords, config);
}

std::vector<uint32_t> randomWords(size_t count, uint64_t seed);

/// Lines that load word `index` (an i32 value's name or a number) of %in or
/// %shared into %name, or store %name.
std::string load(const llvm::Twine &name, const llvm::Twine &index);
std::string store(const llvm::Twine &name, const llvm::Twine &index);

} // namespace sysmol::emulator::test

#endif // SYSMOL_TEST_UNIT_EMULATOR_TESTUTILS_H
