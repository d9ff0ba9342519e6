//===- Description.h - The launch description of a kernel -------*- C++ -*-===//
//
// The JSON that the compiler writes beside PTX: which buffers a kernel has and
// how it is launched. What it computes does not matter here.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_TOOLS_SYSMOL_GPU_EMULATE_DESCRIPTION_H
#define SYSMOL_TOOLS_SYSMOL_GPU_EMULATE_DESCRIPTION_H

#include "sysmol/Emulator/Emulator.h"

#include <map>
#include <string>
#include <variant>
#include <vector>

namespace sysmol::emulate {

struct BufferDescription {
  uint64_t bytes = 0;
  /// Set to zero before each run.
  bool zero = false;
  /// Of a network: in the file of data, or in the arena; else of its own.
  enum { Own, Data, Arena } memory = Own;
  uint64_t offset = 0;
};

/// The name of a buffer, or the bytes of a number.
using Argument = std::variant<std::string, std::vector<uint8_t>>;

struct LaunchDescription {
  std::string entry;
  emulator::LaunchConfig config;
  std::vector<Argument> arguments;
};

struct Description {
  /// As in the file, relative to it.
  std::string llvmIR;
  /// Of a network: the file of its constants, and bytes of the arena.
  std::string data;
  uint64_t arenaBytes = 0;
  /// Most shared memory of a block on the chip that the code is for.
  uint64_t maxSharedBytes = UINT64_MAX;
  std::map<std::string, BufferDescription> buffers;
  std::vector<LaunchDescription> launches;
};

/// Reads and checks the text of a description; `name` is what errors call it.
llvm::Expected<Description> parseDescription(llvm::StringRef text,
                                             llvm::StringRef name);

} // namespace sysmol::emulate

#endif // SYSMOL_TOOLS_SYSMOL_GPU_EMULATE_DESCRIPTION_H
