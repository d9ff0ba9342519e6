//===- Machine.h - Threads, blocks and their memory -------------*- C++ -*-===//

#ifndef SYSMOL_LIB_EMULATOR_MACHINE_H
#define SYSMOL_LIB_EMULATOR_MACHINE_H

#include "Fiber.h"
#include "Operations.h"
#include "SharedShadow.h"
#include "sysmol/Emulator/Emulator.h"

#include "llvm/ADT/SmallVector.h"

#include <deque>
#include <memory>
#include <optional>
#include <random>

namespace sysmol::emulator {

/// One place of the code that calls an operation.
struct Site {
  Operation operation;
  uint64_t executions = 0;
};

/// A cp.async: takes place when its thread waits for it, the latest moment that
/// a GPU allows.
struct AsyncCopy {
  uint64_t target;
  uint64_t source;
  unsigned bytes;
  /// The rest of `bytes` is filled with zeros.
  unsigned sourceBytes;
};

struct Thread {
  enum class State : uint8_t { Ready, Waiting, Done };

  Fiber fiber;
  Machine *machine = nullptr;
  State state = State::Ready;
  uint32_t index = 0;
  Dim3 id = {};

  /// What it waits at.
  Site *site = nullptr;
  const Slot *arguments = nullptr;
  Slot *results = nullptr;

  llvm::SmallVector<AsyncCopy, 0> copies;
  std::deque<llvm::SmallVector<AsyncCopy, 0>> copyGroups;

  /// fence.proxy.async, counted over all blocks of the launch.
  uint32_t proxyFences = 0;
  /// Whether wgmma.fence lies between its registers and a wgmma.mma_async.
  bool wgmmaFenced = false;
  /// Whether there are wgmma.mma_async in no group, and how many groups.
  bool wgmmaOpen = false;
  uint32_t wgmmaGroups = 0;

  uint32_t warp() const { return index / 32; }
  uint32_t lane() const { return index % 32; }
};

/// Addresses of kernels are numbers.
inline uint8_t *hostPointer(uint64_t address) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  return reinterpret_cast<uint8_t *>(address);
}

enum class AccessKind : uint8_t {
  Read,
  Write,
  Atomic,
  /// Of shared memory by the asynchronous proxy, which sees what was written in
  /// front of a fence.proxy.async only.
  ReadByProxy,
};

/// The lowest 4 GiB hold the shared memory: inline PTX has 32-bit addresses. It
/// begins at a multiple of its size, a power of two: wgmma has the lowest 18
/// bits of an address.
class SharedWindow {
public:
  explicit SharedWindow(size_t bytes);
  ~SharedWindow();
  SharedWindow(const SharedWindow &) = delete;
  SharedWindow &operator=(const SharedWindow &) = delete;
  uint8_t *data() const { return memory; }
  size_t size() const { return bytes; }

private:
  uint8_t *reserved = nullptr; ///< twice `bytes`
  uint8_t *memory = nullptr;
  size_t bytes;
};

/// Runs the blocks of one launch after another.
class Machine {
public:
  using Kernel = void (*)(const void *const *parameters);

  Machine() : shared(MaxSharedBytes) {}

  /// What a block of the largest GPU may have, rounded up.
  static constexpr size_t MaxSharedBytes = size_t(256) << 10;
  static constexpr uint32_t MaxThreads = 1024;

  uint8_t *sharedBase() const { return shared.data(); }

  llvm::Error run(Kernel kernel, llvm::StringRef name,
                  const LaunchConfig &config, uint64_t staticSharedBytes,
                  const void *const *parameters,
                  llvm::ArrayRef<Buffer> buffers);

  /// Called by the running thread at a site.
  void call(Site &site, const Slot *arguments, Slot *results);
  /// Called by the running thread before it touches memory. Does not come back
  /// where that is a fault.
  void check(uint64_t address, uint64_t bytes, uint64_t align, AccessKind kind);

  /// The same for operations: gives null where it is a fault.
  uint8_t *access(Thread &thread, uint64_t address, uint64_t bytes,
                  uint64_t align, AccessKind kind);
  /// Records the first fault of the launch.
  void fail(const Thread &thread, const llvm::Twine &message);
  bool failed() const { return !fault.empty(); }

  void startCopy(Thread &thread, const AsyncCopy &copy);
  void finishCopies(Thread &thread, size_t groupsThatMayStay);

  const LaunchConfig &launch() const { return config; }
  const Dim3 &block() const { return blockIndex; }
  uint32_t threadCount() const { return threads.size(); }
  uint64_t sharedBytes() const { return sharedLimit; }
  Statistics takeStatistics() { return std::move(statistics); }
  bool inShared(uint64_t address) const;

private:
  static void enter(void *argument);
  void runBlock();
  bool runWarp(uint32_t warp);
  bool meetInWarp(uint32_t warp);
  bool meetLanes(uint32_t warp, Thread &first);
  bool meetInGroup(uint32_t firstWarp);
  bool meetInBlock();
  void releaseBarrier(llvm::ArrayRef<Thread *> waiting);
  void reportDeadlock();
  Stamp stamp(const Thread &thread) const;
  bool checkShared(const Thread &thread, uint64_t address, uint64_t bytes,
                   AccessKind kind);
  void reportRace(const Thread &thread, const SharedShadow::Finding &finding);
  std::string place(const Thread &thread) const;

  SharedWindow shared;
  SharedShadow shadow;
  std::unique_ptr<FiberStacks> stacks;

  LaunchConfig config;
  std::string kernelName;
  Kernel kernel = nullptr;
  const void *const *parameters = nullptr;
  llvm::SmallVector<Buffer> buffers;
  uint64_t sharedLimit = 0;

  Dim3 blockIndex = {};
  std::vector<Thread> threads;
  std::vector<uint32_t> warpOrder;
  std::vector<uint32_t> warpEpochs;
  uint32_t blockEpoch = 0;
  /// When the block at hand began.
  uint32_t firstEpoch = 0;
  std::optional<std::mt19937_64> random;
  Thread *current = nullptr;
  std::string fault;
  Statistics statistics;
};

} // namespace sysmol::emulator

#endif // SYSMOL_LIB_EMULATOR_MACHINE_H
