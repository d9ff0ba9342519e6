//===- Lowering.h - From nvptx64 IR to IR for this CPU ----------*- C++ -*-===//

#ifndef SYSMOL_LIB_EMULATOR_LOWERING_H
#define SYSMOL_LIB_EMULATOR_LOWERING_H

#include "Machine.h"

#include "llvm/IR/Module.h"

#include <deque>

namespace sysmol::emulator {

struct LoweredKernel {
  KernelInfo info;
  /// The function that loads the parameters and calls the kernel.
  std::string wrapper;
};

struct LoweredModule {
  std::vector<LoweredKernel> kernels;
  /// Sites do not move: the code holds their addresses.
  std::deque<Site> sites;
  uint64_t staticSharedBytes = 0;
};

/// Rewrites `module` in place, so that it can be compiled for the layout
/// `target` and calls `machine`.
llvm::Expected<LoweredModule> lowerForHost(llvm::Module &module,
                                           const llvm::DataLayout &target,
                                           llvm::StringRef triple,
                                           Machine &machine);

} // namespace sysmol::emulator

#endif // SYSMOL_LIB_EMULATOR_LOWERING_H
