//===- Profile.cpp - Measuring layers -------------------------------------===//

#include "sysmol/Runtime/Profile.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace sysmol::runtime {

using Clock = std::chrono::steady_clock;

static double seconds(Clock::duration Time) {
  return std::chrono::duration<double>(Time).count();
}

static const ProfileInfo &getInfo(const Model &M) {
  static const ProfileInfo None;
  for (const CodeInfo &Code : M.metadata().Code)
    if (Code.Target == M.target())
      return Code.Profile;
  return None;
}

std::vector<std::string> getProfileLayers(const Model &M) {
  std::vector<std::string> Names;
  for (const std::string &Name : getInfo(M).Layers)
    if (std::ranges::find(Names, Name) == Names.end())
      Names.push_back(Name);
  return Names;
}

/// Minimum and median of `Ticks`, which it sorts, in seconds.
static LayerTime summarize(std::string Name, std::vector<uint64_t> &Ticks,
                           double SecondsPerTick) {
  std::ranges::sort(Ticks);
  size_t Half = Ticks.size() / 2;
  double Median = Ticks.size() % 2 ? static_cast<double>(Ticks[Half])
                                   : (static_cast<double>(Ticks[Half - 1]) +
                                      static_cast<double>(Ticks[Half])) /
                                         2;
  return {std::move(Name), static_cast<double>(Ticks.front()) * SecondsPerTick,
          Median * SecondsPerTick};
}

namespace {
/// The end of a run, on both clocks, and how long it took.
struct Sample {
  Clock::time_point End;
  Clock::duration Taken;
  uint64_t Tick;
};
} // namespace

/// The counter's rate, between the first and the last run that nothing
/// interrupted: in an interrupted one the two clocks may have been read far
/// apart. 0 when the counter stands still.
static double getSecondsPerTick(const std::vector<Sample> &Samples) {
  auto Shortest = std::ranges::min(Samples, {}, &Sample::Taken).Taken;
  const Sample *First = nullptr, *Last = nullptr;
  for (const Sample &S : Samples) {
    if (S.Taken > Shortest + Shortest / 8 + std::chrono::microseconds(1))
      continue;
    First = First ? First : &S;
    Last = &S;
  }
  // Too close to each other to say much.
  if (Last->End - First->End < std::chrono::milliseconds(5)) {
    First = &Samples.front();
    Last = &Samples.back();
  }
  return Last->Tick == First->Tick
             ? 0
             : seconds(Last->End - First->End) /
                   static_cast<double>(Last->Tick - First->Tick);
}

Result<Profile> profile(const Model &M, Context &C,
                        std::span<const ConstBuffer> Inputs,
                        std::span<const Buffer> Outputs, unsigned Runs,
                        Team *T) {
  const ProfileInfo &Info = getInfo(M);
  if (Info.Layers.empty())
    return refused("the code for " + M.target() +
                   " measures no layers; compile the model with --profile");
  std::vector<std::string> Names = getProfileLayers(M);
  std::vector<size_t> RowOf;
  RowOf.reserve(Info.Layers.size());
  for (const std::string &Name : Info.Layers)
    RowOf.push_back(std::ranges::find(Names, Name) - Names.begin());

  Runs = std::max(Runs, 1u);
  std::vector<std::vector<uint64_t>> Ticks(Names.size());
  std::vector<uint64_t> Totals;
  std::vector<uint64_t> Counts(Info.Layers.size() + 1);
  std::vector<Sample> Samples;
  // A short network must be run on until both clocks have moved enough; time in
  // which other programs had the CPU does not count.
  constexpr Clock::duration Enough = std::chrono::milliseconds(15);
  Clock::duration Shortest = Clock::duration::max(), Busy{};
  unsigned Warm = std::max(3u, Runs / 10);
  for (unsigned I = 0; I < Warm + Runs || Busy < Enough; ++I) {
    auto Start = Clock::now();
    if (Status S = M.run(C, Inputs, Outputs, T); !S)
      return S.error();
    auto End = Clock::now();
    std::memcpy(Counts.data(), C.arena().data() + Info.Offset,
                Counts.size() * sizeof(uint64_t));
    if (!std::ranges::is_sorted(Counts))
      return internalFault("the clocks of the layers run backwards; this "
                           "machine's counter cannot measure them");
    Samples.push_back({End, End - Start, Counts.back()});
    Shortest = std::min(Shortest, End - Start);
    Busy += std::min(End - Start, 2 * Shortest);
    if (I < Warm || Totals.size() == Runs)
      continue;
    for (std::vector<uint64_t> &Row : Ticks)
      Row.push_back(0);
    for (size_t L = 0; L < RowOf.size(); ++L)
      Ticks[RowOf[L]].back() += Counts[L + 1] - Counts[L];
    Totals.push_back(Counts.back() - Counts.front());
  }
  double SecondsPerTick = getSecondsPerTick(Samples);
  if (SecondsPerTick == 0)
    return refused("this machine has no counter that measures layers");
  Profile P;
  for (size_t I = 0; I < Names.size(); ++I)
    P.Layers.push_back(summarize(Names[I], Ticks[I], SecondsPerTick));
  P.Total = summarize("total", Totals, SecondsPerTick);
  return P;
}

double measureCyclesPerSecond() {
  constexpr unsigned Chain = 64, Rounds = 2000;
  double Best = 0;
  uint64_t Step = 1;
  asm volatile("" : "+r"(Step)); // else the additions would become one
  for (int Try = 0; Try < 40; ++Try) {
    uint64_t Value = 1;
    auto Start = Clock::now();
    for (unsigned I = 0; I < Rounds; ++I) {
#pragma GCC unroll 64
      for (unsigned J = 0; J < Chain; ++J) {
        Value += Step;
        asm volatile("" : "+r"(Value)); // each waits for the one before it
      }
    }
    Best = std::max(Best, Chain * Rounds / seconds(Clock::now() - Start));
  }
  return Best;
}

} // namespace sysmol::runtime
