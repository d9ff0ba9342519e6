//===- TeamTest.cpp - Tests of threads that share one call ----------------===//

#include "TestBundle.h"

#include "sysmol/Runtime/Model.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <thread>

using namespace sysmol::runtime;
using namespace sysmol::runtime::test;

namespace {

Team made(unsigned Threads, Placement Where = Placement::Free) {
  auto T = Team::create(Threads, Where);
  EXPECT_TRUE(T) << T.error().Message;
  return std::move(*T);
}

/// Runs `Tasks` tasks and counts how often each ran, without atomics: a task
/// that two threads run, or a result that is not visible, is a data race.
std::vector<uint32_t> countRuns(const sysmol_parallel &P, uint32_t Tasks) {
  std::vector<uint32_t> Runs(Tasks);
  P.parallel_for(
      P.self, Tasks,
      [](void *Frame, uint32_t Task) {
        ++static_cast<uint32_t *>(Frame)[Task];
      },
      Runs.data());
  return Runs;
}

class TeamThreads : public testing::TestWithParam<unsigned> {};

TEST_P(TeamThreads, RunEveryTaskOnce) {
  Team T = made(GetParam());
  EXPECT_EQ(T.threads(), GetParam());
  Lease L(&T);
  if (GetParam() == 1) {
    EXPECT_EQ(L.parallel(), nullptr);
    return;
  }
  ASSERT_NE(L.parallel(), nullptr);
  for (uint32_t Tasks : {0u, 1u, 2u, 3u, 7u, 64u, 1000u, 70000u})
    EXPECT_EQ(countRuns(*L.parallel(), Tasks), std::vector<uint32_t>(Tasks, 1))
        << Tasks;
}

/// Many short sets, in calls with and without a pause for the helpers to fall
/// asleep in; each set reads what the one before it wrote.
TEST_P(TeamThreads, SeeTheWritesOfTheSetBefore) {
  Team T = made(GetParam());
  struct Data {
    std::vector<uint64_t> From = std::vector<uint64_t>(37, 1), To = From;
  } D;
  for (int Call = 0; Call < 40; ++Call) {
    if (Call % 8 == 7)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    Lease L(&T);
    for (int Set = 0; Set < 50; ++Set) {
      auto Body = [](void *Frame, uint32_t Task) {
        auto &D = *static_cast<Data *>(Frame);
        D.To[Task] = D.From[Task] * 3 + D.From[(Task + 5) % 37];
      };
      if (const sysmol_parallel *P = L.parallel())
        P->parallel_for(P->self, 37, Body, &D);
      else
        for (uint32_t Task = 0; Task < 37; ++Task)
          Body(&D, Task);
      std::swap(D.From, D.To);
    }
  }
  uint64_t Expected = 1;
  for (int Set = 0; Set < 40 * 50; ++Set)
    Expected *= 4; // all are equal
  EXPECT_EQ(D.From, std::vector<uint64_t>(37, Expected));
}

TEST_P(TeamThreads, EndWhileIdleAsleepOrAtOnce) {
  for (int Sleep : {0, 0, 0, 5}) {
    Team T = made(GetParam());
    if (Sleep)
      std::this_thread::sleep_for(std::chrono::milliseconds(Sleep));
  }
  Team T = made(GetParam());
  {
    Lease L(&T);
    if (L.parallel())
      countRuns(*L.parallel(), 100);
  }
  Team Moved = std::move(T);
  Lease L(&Moved);
  if (L.parallel())
    EXPECT_EQ(countRuns(*L.parallel(), 3), std::vector<uint32_t>(3, 1));
}

INSTANTIATE_TEST_SUITE_P(Team, TeamThreads, testing::Values(1u, 2u, 3u, 7u));

TEST(Team, IsTakenByOneCallAtATime) {
  Team T = made(2);
  Lease First(&T);
  ASSERT_NE(First.parallel(), nullptr);
  {
    Lease Second(&T);
    EXPECT_EQ(Second.parallel(), nullptr);
  }
  // The second gave back nothing that was not its own.
  EXPECT_EQ(countRuns(*First.parallel(), 9), std::vector<uint32_t>(9, 1));
  Lease None(nullptr);
  EXPECT_EQ(None.parallel(), nullptr);
}

TEST(Team, UsesItsThreads) {
  Team T = made(2, Placement::Pinned);
  Lease L(&T);
  // Two tasks that wait for each other need two threads.
  std::atomic<int> Arrived = 0;
  L.parallel()->parallel_for(
      L.parallel()->self, 2,
      [](void *Frame, uint32_t) {
        auto &Arrived = *static_cast<std::atomic<int> *>(Frame);
        ++Arrived;
        while (Arrived.load() < 2)
          std::this_thread::yield();
      },
      &Arrived);
  EXPECT_EQ(Arrived.load(), 2);
}

TEST(Team, RefusesWrongNumbers) {
  for (unsigned Threads : {0u, 1025u, ~0u}) {
    auto T = Team::create(Threads);
    ASSERT_FALSE(T);
    expectMessage(T.error(), ErrorKind::Usage, "allowed are 1 to 1024");
  }
}

// In child processes: limits stay, and helpers are not inherited.

[[noreturn, maybe_unused]] void createInLittleMemory() {
  rlimit Limit = {1 << 28, 1 << 28};
  if (setrlimit(RLIMIT_AS, &Limit) != 0)
    _exit(9);
  auto T = Team::create(1000);
  if (T)
    _exit(8);
  expectMessage(T.error(), ErrorKind::Limit, "cannot start 1000 threads");
  _exit(testing::Test::HasFailure() ? 7 : 0);
}

#if !__has_feature(thread_sanitizer) && !__has_feature(address_sanitizer)
TEST(TeamDeathTest, ReportsMissingThreads) {
  EXPECT_EXIT(createInLittleMemory(), testing::ExitedWithCode(0), "");
}
#endif

/// Sums 64 products by tasks that it hands to the runtime, then adds them up.
const char *const ForkingModel = R"(
#include <stddef.h>
#include <stdint.h>
struct sysmol_parallel {
  void *self;
  void (*parallel_for)(void *, uint32_t, void (*)(void *, uint32_t), void *);
};
struct frame { const uint8_t *w, *in; int32_t *scratch; };
static void body(void *p, uint32_t task) {
  struct frame *f = p;
  int32_t sum = 0;
  for (int i = 0; i < 100; ++i)
    sum += f->w[(task + i) % 4] * f->in[i % 4];
  f->scratch[task] = sum;
}
int32_t sysmol_entry(const void *weights, void *arena,
                     const void *const *inputs, void *const *outputs,
                     const struct sysmol_parallel *parallel) {
  struct frame f = {weights, inputs[0], arena};
  for (int round = 0; round < 20; ++round) {
    if (parallel)
      parallel->parallel_for(parallel->self, 64, body, &f);
    else
      for (uint32_t task = 0; task < 64; ++task)
        body(&f, task);
  }
  int32_t *out = outputs[0];
  for (int i = 0; i < 4; ++i) {
    out[i] = 0;
    for (int t = i; t < 64; t += 4)
      out[i] += f.scratch[t];
  }
  return 0;
}
)";

std::unique_ptr<Model> forkingModel() {
  Metadata Meta = modelMetadata();
  Meta.ArenaBytes = 256;
  BundleWriter Writer(Meta);
  static const Bytes Code = compileC(ForkingModel);
  Writer.addCode({"generic-test", {}}, Code);
  Writer.setWeights({3, 5, 7, 11});
  auto B = Bundle::fromBytes(bundleBytes(Writer));
  EXPECT_TRUE(B) << B.error().Message;
  auto M = Model::load(std::move(*B));
  EXPECT_TRUE(M) << M.error().Message;
  return std::move(*M);
}

std::vector<int32_t> runOn(const Model &M, Context &C, uint8_t Seed, Team *T) {
  Bytes Input = {Seed, uint8_t(Seed + 1), uint8_t(Seed * 3), 7};
  std::vector<int32_t> Output(4);
  ConstBuffer In[] = {Input};
  Buffer Out[] = {{reinterpret_cast<uint8_t *>(Output.data()), 16}};
  Status S = M.run(C, In, Out, T);
  EXPECT_TRUE(S) << S.error().Message;
  return Output;
}

/// Callers in many threads, a Context each; `Own`: each with its own team, else
/// all with one, which serves one of them at a time.
void runConcurrently(bool Own) {
  auto M = forkingModel();
  ASSERT_TRUE(M);
  Team Shared = made(2);
  std::vector<int> Wrong(4);
  std::vector<std::thread> Callers;
  for (size_t I = 0; I < Wrong.size(); ++I)
    Callers.emplace_back([&, I] {
      std::optional<Team> Private;
      if (Own)
        Private.emplace(made(unsigned(I) + 1));
      auto C = M->createContext();
      auto Serial = M->createContext();
      for (int Call = 0; Call < 100; ++Call) {
        auto Seed = uint8_t(I * 50 + Call);
        Wrong[I] += runOn(*M, *C, Seed, Own ? &*Private : &Shared) !=
                    runOn(*M, *Serial, Seed, nullptr);
      }
    });
  for (std::thread &T : Callers)
    T.join();
  EXPECT_EQ(Wrong, std::vector<int>(4));
}

TEST(Team, ServesManyCallersEachWithItsOwn) { runConcurrently(/*Own=*/true); }
TEST(Team, ServesManyCallersWithOne) { runConcurrently(/*Own=*/false); }

TEST(Team, RunsNestedCallsSerially) {
  auto M = forkingModel();
  ASSERT_TRUE(M);
  struct Data {
    const Model &M;
    Team T = made(2);
    std::vector<std::vector<int32_t>> Results =
        std::vector<std::vector<int32_t>>(16);
  } D{*M};
  Lease L(&D.T);
  L.parallel()->parallel_for(
      L.parallel()->self, 16,
      [](void *Frame, uint32_t Task) {
        auto &D = *static_cast<Data *>(Frame);
        auto C = D.M.createContext();
        D.Results[Task] = runOn(D.M, *C, uint8_t(Task), &D.T);
      },
      &D);
  auto C = M->createContext();
  for (uint8_t Task = 0; Task < 16; ++Task)
    EXPECT_EQ(D.Results[Task], runOn(*M, *C, Task, nullptr));
}

/// From now on, any system call of this thread ends the process, except those
/// that a call on a busy machine may make: waking a helper that fell asleep
/// since the last call, and giving way to one that was interrupted.
bool forbidSystemCalls() {
  sock_filter Filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_yield, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  sock_fprog Program = {std::size(Filter), Filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &Program) == 0;
}

[[noreturn, maybe_unused]] void callWithoutSystemCalls() {
  auto M = forkingModel();
  Team T = made(2);
  auto C = M->createContext();
  Bytes Input = {1, 2, 3, 4};
  std::vector<int32_t> Output(4);
  ConstBuffer In[] = {Input};
  Buffer Out[] = {{reinterpret_cast<uint8_t *>(Output.data()), 16}};
  if (!forbidSystemCalls())
    _exit(9);
  for (int Call = 0; Call < 2000; ++Call)
    if (!M->run(*C, In, Out, &T))
      _exit(8);
  _exit(0);
}

#if !__has_feature(thread_sanitizer) && !__has_feature(address_sanitizer)
TEST(TeamDeathTest, CallsAskNothingOfTheSystem) {
  EXPECT_EXIT(callWithoutSystemCalls(), testing::ExitedWithCode(0), "");
}
#endif

} // namespace
