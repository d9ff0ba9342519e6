//===- State.h - What the emulated driver knows -----------------*- C++ -*-===//
//
// State is global because the API's is.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_LIB_EMULATOR_CUDADRIVER_STATE_H
#define SYSMOL_LIB_EMULATOR_CUDADRIVER_STATE_H

#include "sysmol/Emulator/Emulator.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

/// An entry point.
#define SYSMOL_DRIVER extern "C" __attribute__((visibility("default"))) int

namespace sysmol::emulator::driver {

enum Result : int {
  Success = 0,
  InvalidValue = 1,
  OutOfMemory = 2,
  NotInitialized = 3,
  InvalidDevice = 101,
  InvalidPtx = 218,
  InvalidHandle = 400,
  NotFound = 500,
  NotReady = 600,
  IllegalAddress = 700,
  CaptureUnsupported = 900,
};

struct Module {
  std::unique_ptr<Emulator> emulator;
};
struct Function {
  Module *module;
  std::string name;
};
/// A place in a stream.
struct Moment {
  void *stream;
  bool isDone = false;
  /// What the work before it ran into.
  int fault = Success;
  std::chrono::steady_clock::time_point when;
};
struct Event {
  bool isTimed;
  /// Of the last record, or null.
  std::shared_ptr<Moment> moment;
};
/// A launch whose parameters were copied.
struct Launch {
  Function *function;
  LaunchConfig config;
  std::vector<std::vector<uint8_t>> parameters;
};
using Graph = std::vector<Launch>;
/// CUstreamCaptureMode.
constexpr int kGlobalCapture = 0, kRelaxedCapture = 2;
/// A piece of work, which gives a code, or a moment.
struct Work {
  std::function<int()> run;
  std::shared_ptr<Moment> moment;
};
struct Stream {
  /// The legacy stream waits for it.
  bool isBlocking = false;
  std::deque<Work> work;
  /// Told to the next who waits; until then no more work is done.
  int fault = Success;
  /// While it is captured.
  std::unique_ptr<Graph> graph;
  int captureMode = kGlobalCapture;
};

struct State {
  std::mutex mutex;
  bool initialized = false;
  std::map<uint64_t, uint64_t> allocations;
  /// Page-locked memory of the host.
  std::map<uint64_t, uint64_t> hostAllocations;
  std::map<Module *, std::unique_ptr<Module>> modules;
  std::map<Function *, std::unique_ptr<Function>> functions;
  std::map<void *, Stream> streams;
  std::map<Event *, std::unique_ptr<Event>> events;
  /// What a kernel did wrong, for cuGetErrorString.
  std::string fault;
};

State &state();

/// Handles that need no stream to be made: the legacy one, by both its names,
/// and that of a thread.
bool isLegacy(void *handle);
Stream *findStream(void *handle);

/// Gives, once, what the stream's work ran into.
int finish(Stream &stream);
/// Before memory or code goes; faults stay to be told.
void finishAll();
/// Adds work to a stream: `run` gives a code.
int submit(void *handle, std::function<int()> run);

} // namespace sysmol::emulator::driver

#endif // SYSMOL_LIB_EMULATOR_CUDADRIVER_STATE_H
