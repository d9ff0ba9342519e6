//===- Team.h - Threads that share one call ---------------------*- C++ -*-===//
//
// A team is the calling thread and its helpers. Compiled code hands it sets of
// tasks (sysmol_parallel) many times in one call; what a task computes does not
// depend on who runs it, so neither do results.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_RUNTIME_TEAM_H
#define SYSMOL_RUNTIME_TEAM_H

#include "sysmol-c/Parallel.h"
#include "sysmol/Runtime/Error.h"

#include <memory>

namespace sysmol::runtime {

/// Where the helpers of a team run.
enum class Placement {
  /// Where the system puts them.
  Free,
  /// Each on one CPU of those the process may use, the creating thread's CPU
  /// left to the caller. For a process that has the machine to itself: two
  /// pinned teams would share CPUs. Free when there are fewer CPUs than
  /// threads.
  Pinned,
};

/// Threads that share the work of one call at a time.
///
/// Helpers wait busily while a call runs and for some tens of microseconds
/// behind it, then sleep. A call that finds them awake makes no system call,
/// takes no lock and allocates nothing; it never waits for a helper that has
/// taken no task, so that a busy machine costs speed, not progress.
class Team {
public:
  /// 1 to MaxThreads threads, the calling one included. Fails with
  /// ErrorKind::Limit when the system gives no more threads.
  static Result<Team> create(unsigned Threads,
                             Placement Where = Placement::Free);

  Team(Team &&) noexcept;
  Team &operator=(Team &&) noexcept;
  /// No call may be running.
  ~Team();

  unsigned threads() const;

  /// The CPU that a pinned team leaves to its caller, else -1.
  int callerCpu() const;

private:
  class Impl;
  friend class Lease;
  explicit Team(std::unique_ptr<Impl> I);
  std::unique_ptr<Impl> I;
};

/// The team for the length of one call.
class Lease {
public:
  /// Takes `T` (may be null) if no other call has it, and wakes its helpers.
  explicit Lease(Team *T);
  ~Lease();
  Lease(const Lease &) = delete;
  Lease &operator=(const Lease &) = delete;

  /// What `sysmol_entry` takes: null, which is one thread, where there is no
  /// team or another call has it (the one that this call is a task of, say).
  const sysmol_parallel *parallel() const;

private:
  Team::Impl *Held = nullptr;
};

} // namespace sysmol::runtime

#endif // SYSMOL_RUNTIME_TEAM_H
