//===- Team.cpp - Threads that share one call -----------------------------===//
//
// Each thread has a slot with its share of the current set of tasks: how many
// are left, and which set they belong to (its epoch), in one word. A task is
// taken by a compare-and-swap on that word, one's own first, then others'. The
// word's epoch makes a helper that comes late fail, so nobody needs to wait for
// helpers that took nothing.
//
//===----------------------------------------------------------------------===//

#include "sysmol/Runtime/Team.h"

#include "sysmol/Runtime/Model.h"

#include <algorithm>
#include <atomic>
#include <fstream>
#include <pthread.h>
#include <sched.h>
#include <set>
#include <system_error>
#include <thread>
#include <vector>

namespace sysmol::runtime {

namespace {
constexpr size_t CacheLine = 64;
/// Some tens of microseconds between two calls; a pause is 15 to 40 ns.
constexpr unsigned SpinsBeforeSleep = 2500;
/// Waits this long within a call mean that the system runs something else.
constexpr unsigned SpinsBeforeYield = 8000;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

struct alignas(CacheLine) Slot {
  /// Epoch in the high half, tasks left in the low one.
  std::atomic<uint64_t> Left = 0;
  /// 1 while the helper sleeps.
  std::atomic<uint32_t> Asleep = 0;
};

uint32_t epochOf(uint64_t Left) { return static_cast<uint32_t>(Left >> 32); }
uint32_t countOf(uint64_t Left) { return static_cast<uint32_t>(Left); }
} // namespace

//===----------------------------------------------------------------------===//
// Placement
//===----------------------------------------------------------------------===//

/// A number in /sys about a CPU, or -1.
static int readTopology(int Cpu, const char *What) {
  std::ifstream File("/sys/devices/system/cpu/cpu" + std::to_string(Cpu) +
                     "/topology/" + What);
  int Number = -1;
  return File >> Number ? Number : -1;
}

/// The CPUs this thread may use: `First`, then one of each other core, then
/// the rest.
static std::vector<int> listCpus(int First) {
  cpu_set_t Allowed;
  if (First < 0 || sched_getaffinity(0, sizeof(Allowed), &Allowed) != 0)
    return {};
  std::vector<int> Cpus = {First}, Siblings;
  auto Core = [](int Cpu) {
    return std::pair(readTopology(Cpu, "physical_package_id"),
                     readTopology(Cpu, "core_id"));
  };
  std::set<std::pair<int, int>> Cores = {Core(First)};
  for (int Cpu = 0; Cpu < CPU_SETSIZE; ++Cpu)
    if (CPU_ISSET(Cpu, &Allowed) && Cpu != First)
      (Cores.insert(Core(Cpu)).second ? Cpus : Siblings).push_back(Cpu);
  Cpus.insert(Cpus.end(), Siblings.begin(), Siblings.end());
  return Cpus;
}

//===----------------------------------------------------------------------===//
// Team
//===----------------------------------------------------------------------===//

class Team::Impl {
public:
  explicit Impl(unsigned Threads)
      : Count(Threads), Slots(std::make_unique<Slot[]>(Threads)),
        Interface{this, [](void *Self, uint32_t Tasks,
                           void (*Body)(void *, uint32_t), void *Frame) {
                    static_cast<Impl *>(Self)->parallelFor(Tasks, Body, Frame);
                  }} {}
  ~Impl() {
    Stop.store(true);
    wake();
    for (std::thread &T : Helpers)
      T.join();
  }

  void start(Placement Where) {
    std::vector<int> Cpus;
    if (Where == Placement::Pinned)
      Cpus = listCpus(sched_getcpu());
    if (Cpus.size() >= Count)
      CallerCpu = Cpus[0];
    for (unsigned I = 1; I < Count; ++I) {
      Helpers.emplace_back([this, I] { help(I); });
      if (CallerCpu < 0)
        continue;
      cpu_set_t One;
      CPU_ZERO(&One);
      CPU_SET(Cpus[I], &One);
      // Not being pinned is slower at worst.
      pthread_setaffinity_np(Helpers.back().native_handle(), sizeof(One), &One);
    }
  }

  bool acquire() {
    if (Taken.exchange(true, std::memory_order_acquire))
      return false;
    // Before looking who sleeps, as sleepers do the reverse.
    Active.store(true);
    wake();
    return true;
  }
  void release() {
    Active.store(false, std::memory_order_relaxed);
    Taken.store(false, std::memory_order_release);
  }

  const unsigned Count;
  int CallerCpu = -1;

private:
  void wake() {
    for (unsigned I = 1; I < Count; ++I)
      if (Slots[I].Asleep.load()) {
        Slots[I].Asleep.store(0);
        Slots[I].Asleep.notify_one();
      }
  }

  /// The end of slot `I`'s share, which begins where that before it ends.
  uint32_t shareEnd(unsigned I) const {
    return static_cast<uint32_t>(uint64_t(Tasks) * (I + 1) / Count);
  }

  /// Runs what is left of slot `Victim` in epoch `Now`; how many tasks it were.
  uint32_t drain(unsigned Victim, uint32_t Now) {
    uint32_t Done = 0;
    std::atomic<uint64_t> &Left = Slots[Victim].Left;
    uint64_t Seen = Left.load(std::memory_order_acquire);
    while (epochOf(Seen) == Now && countOf(Seen) != 0) {
      if (!Left.compare_exchange_weak(Seen, Seen - 1,
                                      std::memory_order_acquire))
        continue;
      // The set cannot end before this task does: its fields are stable.
      Body(Frame, shareEnd(Victim) - countOf(Seen));
      ++Done;
      Seen = Left.load(std::memory_order_acquire);
    }
    return Done;
  }

  /// Takes part in epoch `Now` as thread `Self`.
  void work(unsigned Self, uint32_t Now) {
    uint32_t Done = 0;
    for (unsigned I = 0; I < Count; ++I)
      Done += drain(Self + I < Count ? Self + I : Self + I - Count, Now);
    if (Done)
      Unfinished.fetch_sub(Done, std::memory_order_acq_rel);
  }

  void parallelFor(uint32_t NewTasks, void (*NewBody)(void *, uint32_t),
                   void *NewFrame) {
    if (NewTasks == 0)
      return;
    Body = NewBody;
    Frame = NewFrame;
    Tasks = NewTasks;
    ++Epoch;
    Unfinished.store(NewTasks, std::memory_order_relaxed);
    uint32_t End = NewTasks;
    for (unsigned I = Count; I-- > 0;) {
      uint32_t Begin = I ? shareEnd(I - 1) : 0;
      Slots[I].Left.store(uint64_t(Epoch) << 32 | (End - Begin),
                          std::memory_order_release);
      End = Begin;
    }
    work(0, Epoch);
    for (unsigned Spins = 0; Unfinished.load(std::memory_order_acquire) != 0;
         ++Spins) {
      pause();
      // The system took the CPU from a helper that has a task.
      if (Spins >= SpinsBeforeYield)
        std::this_thread::yield();
    }
  }

  void help(unsigned Self) {
    Slot &Own = Slots[Self];
    uint32_t Now = 0;
    unsigned Spins = 0;
    while (!Stop.load(std::memory_order_relaxed)) {
      uint32_t Next = epochOf(Own.Left.load(std::memory_order_acquire));
      if (Next != Now) {
        Now = Next;
        work(Self, Now);
        Spins = 0;
        continue;
      }
      pause();
      ++Spins;
      if (Active.load(std::memory_order_relaxed)) {
        if (Spins % SpinsBeforeYield == 0)
          std::this_thread::yield();
      } else if (Spins >= SpinsBeforeSleep) {
        Own.Asleep.store(1);
        if (!Active.load() && !Stop.load())
          Own.Asleep.wait(1);
        Own.Asleep.store(0);
        Spins = 0;
      }
    }
  }

  std::unique_ptr<Slot[]> Slots;
  std::vector<std::thread> Helpers;

  // What helpers read while they work.
  alignas(CacheLine) void (*Body)(void *, uint32_t) = nullptr;
  void *Frame = nullptr;
  uint32_t Tasks = 0;
  alignas(CacheLine) std::atomic<uint32_t> Unfinished = 0;
  // What they read while they wait.
  alignas(CacheLine) std::atomic<bool> Active = false;
  std::atomic<bool> Stop = false;
  // What only callers use.
  alignas(CacheLine) std::atomic<bool> Taken = false;
  uint32_t Epoch = 0;

public:
  const sysmol_parallel Interface;
};

Team::Team(std::unique_ptr<Impl> I) : I(std::move(I)) {}
Team::Team(Team &&) noexcept = default;
Team &Team::operator=(Team &&) noexcept = default;
Team::~Team() = default;

Result<Team> Team::create(unsigned Threads, Placement Where) {
  if (Threads < 1 || Threads > MaxThreads)
    return misused(std::to_string(Threads) +
                   " threads were asked for; allowed are 1 to " +
                   std::to_string(MaxThreads) + "; choose a number in between");
  auto I = std::make_unique<Impl>(Threads);
  try {
    I->start(Where);
  } catch (const std::system_error &Err) {
    return overLimit("cannot start " + std::to_string(Threads) +
                     " threads: " + Err.what() + "; use fewer threads");
  }
  return Team(std::move(I));
}

unsigned Team::threads() const { return I->Count; }
int Team::callerCpu() const { return I->CallerCpu; }

Lease::Lease(Team *T) {
  // A team of one is the caller.
  if (T && T->I->Count > 1 && T->I->acquire())
    Held = T->I.get();
}

Lease::~Lease() {
  if (Held)
    Held->release();
}

const sysmol_parallel *Lease::parallel() const {
  return Held ? &Held->Interface : nullptr;
}

} // namespace sysmol::runtime
