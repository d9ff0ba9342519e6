//===- Emulator.h - Runs GPU kernels on the CPU -----------------*- C++ -*-===//
//
// Takes the optimised LLVM IR of kernels for nvptx64 and runs it on x86-64:
// every thread of a block is a fiber, NVVM intrinsics and inline PTX are calls
// into a table of operations, and the threads of a warp or of a block meet
// where the operation makes them meet. So GPU code can be tested without a GPU,
// bit for bit.
//
// It is a checker more than a simulator. It refuses, with the block and thread
// that did it: accesses outside the buffers of a launch or misaligned ones,
// operations of a warp at which a lane is missing, barriers that not all reach,
// and accesses to shared memory that no barrier orders.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_EMULATOR_EMULATOR_H
#define SYSMOL_EMULATOR_EMULATOR_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/Error.h"

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace sysmol::emulator {

/// Whose fault a failure is.
enum class FaultKind {
  /// The IR is broken, or uses what the emulator does not know.
  Refused,
  /// The caller named a kernel, argument or size that does not exist.
  Usage,
  /// The kernel did what would be undefined on a GPU.
  Kernel,
  /// This machine has too little memory.
  Limit,
};

class EmulatorError : public llvm::ErrorInfo<EmulatorError> {
public:
  static char ID;
  EmulatorError(FaultKind kind, std::string message)
      : kind(kind), message(std::move(message)) {}

  FaultKind getKind() const { return kind; }
  const std::string &getMessage() const { return message; }

  void log(llvm::raw_ostream &os) const override { os << message; }
  std::error_code convertToErrorCode() const override {
    return llvm::inconvertibleErrorCode();
  }

private:
  FaultKind kind;
  std::string message;
};

using Dim3 = std::array<uint32_t, 3>;

/// Memory that a kernel may touch; faults call it by its name.
struct Buffer {
  llvm::StringRef name;
  llvm::MutableArrayRef<uint8_t> bytes;
};

struct LaunchConfig {
  Dim3 grid = {1, 1, 1};
  Dim3 block = {1, 1, 1};
  /// Dynamic shared memory of a block in bytes.
  uint64_t sharedBytes = 0;
  /// Most shared memory of a block, static and dynamic, on the chip that is
  /// emulated; never more than the largest chip's.
  uint64_t maxSharedBytes = UINT64_MAX;
  /// 0 runs blocks and warps in order; another seed shuffles both, as a GPU
  /// may.
  uint64_t scheduleSeed = 0;
};

/// What a launch did, for models of time.
struct Statistics {
  /// Executions by operation: once a warp for those of a warp, once a block for
  /// barriers, else once a thread.
  std::map<std::string, uint64_t> operations;
  uint64_t globalBytesRead = 0;
  uint64_t globalBytesWritten = 0;
  uint64_t sharedBytesRead = 0;
  uint64_t sharedBytesWritten = 0;
};

struct KernelInfo {
  std::string name;
  /// Size of each parameter in bytes.
  std::vector<uint64_t> parameterBytes;
};

/// The kernels of one module, compiled for this CPU. Launches of one object
/// must not overlap; objects are independent.
class Emulator {
public:
  ~Emulator();

  /// Parses textual or binary LLVM IR.
  static llvm::Expected<std::unique_ptr<Emulator>> fromIR(llvm::StringRef text,
                                                          llvm::StringRef name);

  /// Compiles a copy of `module`.
  static llvm::Expected<std::unique_ptr<Emulator>>
  create(const llvm::Module &module);

  llvm::ArrayRef<KernelInfo> kernels() const;

  /// Runs every block. `parameters` points to the value of each parameter, as
  /// for cuLaunchKernel; pointers among them must point into `buffers`.
  llvm::Expected<Statistics> launch(llvm::StringRef kernel,
                                    const LaunchConfig &config,
                                    llvm::ArrayRef<const void *> parameters,
                                    llvm::ArrayRef<Buffer> buffers);

private:
  struct Impl;
  explicit Emulator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl;
};

} // namespace sysmol::emulator

#endif // SYSMOL_EMULATOR_EMULATOR_H
