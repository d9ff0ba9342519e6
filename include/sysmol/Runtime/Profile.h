//===- Profile.h - Measuring layers -----------------------------*- C++ -*-===//
//
// Reads the clocks that code compiled with `--profile` leaves in the arena.
// The unit of these clocks is the machine's affair (x86: the time-stamp
// counter, not the core's cycles); seconds come from comparing them with the
// system's clock over all runs.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_RUNTIME_PROFILE_H
#define SYSMOL_RUNTIME_PROFILE_H

#include "sysmol/Runtime/Model.h"

#include <string>
#include <vector>

namespace sysmol::runtime {

/// Seconds of one layer in one run: the smallest and the median.
struct LayerTime {
  std::string Name;
  double Minimum = 0, Median = 0;
};

struct Profile {
  /// In the order they first run.
  std::vector<LayerTime> Layers;
  /// The whole run. The minimum is that of one run, not the sum of minima.
  LayerTime Total;
};

/// Names of the layers of a profile, each once; empty when the code has no
/// clocks.
std::vector<std::string> getProfileLayers(const Model &M);

/// Runs `Runs` times (after a few that do not count), shared by the threads of
/// `T` as Model::run() does it. Refuses code without clocks.
Result<Profile> profile(const Model &M, Context &C,
                        std::span<const ConstBuffer> Inputs,
                        std::span<const Buffer> Outputs, unsigned Runs,
                        Team *T = nullptr);

/// The core's cycles a second at this moment, measured (about 2 ms) by a chain
/// of dependent additions, one a cycle on every machine we know.
double measureCyclesPerSecond();

} // namespace sysmol::runtime

#endif // SYSMOL_RUNTIME_PROFILE_H
