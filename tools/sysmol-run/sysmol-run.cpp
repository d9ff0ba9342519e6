//===- sysmol-run.cpp - Runs compiled models ------------------------------===//
//
// The command-line face of the runtime. Exit codes: 0 done, 1 input refused,
// 2 wrong use, 3 resource limit, 70 a fault of Sysmol. Errors are one line on
// stderr.
//
//===----------------------------------------------------------------------===//

#include "Arrays.h"
#include "Reference.h"
#include "Report.h"

#include "sysmol/Runtime/Files.h"
#include "sysmol/Runtime/Model.h"
#include "sysmol/Runtime/Profile.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iomanip>
#include <iostream>
#include <limits>
#include <new>
#include <sched.h>

using namespace sysmol::run;
using namespace sysmol::runtime;

namespace {
struct Options {
  std::string Model;
  std::vector<std::string> Inputs;
  std::vector<std::string> Outputs;
  std::string Target;
  std::string Reference;
  unsigned Threads = 1;
  unsigned Runs = 200;
  bool Time = false;
  bool Profile = false;
  bool Verify = false;
  bool Inspect = false;
};

/// The buffers of a batch. Views point into storage that does not move.
struct BatchData {
  uint64_t Count = 0;
  std::vector<Array> Inputs;
  std::vector<PageBuffer> Outputs;

  std::vector<ConstBuffer> inputViews() const {
    std::vector<ConstBuffer> Views;
    Views.reserve(Inputs.size());
    for (const Array &A : Inputs)
      Views.push_back(A.Storage.bytes());
    return Views;
  }
  std::vector<Buffer> outputViews() const {
    std::vector<Buffer> Views;
    Views.reserve(Outputs.size());
    for (const PageBuffer &B : Outputs)
      Views.push_back(B.bytes());
    return Views;
  }
};
} // namespace

static int report(const Error &Err) {
  std::cerr << "sysmol-run: error: " << Err.Message << '\n';
  return static_cast<int>(Err.Kind);
}

/// Inputs from files, or, without files, the first golden input (zeros when
/// there is none), `Repeat` times.
static Result<BatchData> makeBatch(const Model &M, const Options &O,
                                   uint64_t Repeat) {
  const Metadata &Meta = M.metadata();
  BatchData Batch;
  if (O.Inputs.empty()) {
    Batch.Count = Repeat;
    for (size_t I = 0; I < Meta.Inputs.size(); ++I) {
      uint64_t Bytes = Meta.Inputs[I].bytes();
      auto Storage = PageBuffer::create(Bytes * Repeat, "the inputs");
      if (!Storage)
        return Storage.error();
      for (uint64_t R = 0; R < Repeat && Meta.GoldenPairs; ++R)
        std::ranges::copy(M.bundle().goldenInput(0, I),
                          Storage->data() + R * Bytes);
      Batch.Inputs.push_back({std::move(*Storage), Repeat});
    }
  } else if (O.Inputs.size() != Meta.Inputs.size()) {
    return misused(std::to_string(O.Inputs.size()) +
                   " --input files given; the model has " +
                   std::to_string(Meta.Inputs.size()) +
                   " inputs; give one file for each, in the order of "
                   "--inspect");
  }
  for (size_t I = 0; I < O.Inputs.size(); ++I) {
    auto A = readArray(O.Inputs[I], Meta.Inputs[I]);
    if (!A)
      return A.error();
    if (I && A->Count != Batch.Count)
      return refused(
          inQuotes(O.Inputs[I]) + " holds " + std::to_string(A->Count) +
          " images; the other inputs hold " + std::to_string(Batch.Count) +
          "; give the same number in each file");
    Batch.Count = A->Count;
    Batch.Inputs.push_back(std::move(*A));
  }
  for (const TensorInfo &T : Meta.Outputs) {
    uint64_t Bytes;
    if (__builtin_mul_overflow(T.bytes(), Batch.Count, &Bytes))
      Bytes = std::numeric_limits<uint64_t>::max(); // create() refuses it.
    auto Storage = PageBuffer::create(Bytes, "the outputs");
    if (!Storage)
      return Storage.error();
    Batch.Outputs.push_back(std::move(*Storage));
  }
  return Batch;
}

/// All files appear, or none.
static Status writeOutputs(const std::vector<std::string> &Paths,
                           const Metadata &Meta, const BatchData &Batch) {
  std::vector<std::vector<uint8_t>> Contents;
  std::vector<FileContent> Files;
  Contents.reserve(Paths.size());
  for (size_t I = 0; I < Paths.size(); ++I) {
    Contents.push_back(formatArray(Paths[I], Meta.Outputs[I], Batch.Count,
                                   Batch.Outputs[I].bytes()));
    Files.push_back({Paths[I], Contents.back()});
  }
  return Files.empty() ? Status() : writeFilesAtomically(Files);
}

/// Threads share the images; a single one's work, where there is just one.
static Status runBatch(const Model &M, const Options &O, BatchData &Batch) {
  if (Batch.Count != 1 || O.Threads == 1) {
    auto P = Pool::create(M, O.Threads);
    if (!P)
      return P.error();
    return P->run(Batch.inputViews(), Batch.outputViews(), Batch.Count);
  }
  auto T = Team::create(O.Threads);
  if (!T)
    return T.error();
  auto C = M.createContext();
  if (!C)
    return C.error();
  return M.run(*C, Batch.inputViews(), Batch.outputViews(), &*T);
}

static Status runFiles(const Model &M, const Options &O) {
  const Metadata &Meta = M.metadata();
  if (!O.Outputs.empty() && O.Outputs.size() != Meta.Outputs.size())
    return misused(std::to_string(O.Outputs.size()) +
                   " --output files given; the model has " +
                   std::to_string(Meta.Outputs.size()) +
                   " outputs; give one file for each, in the order of "
                   "--inspect");
  auto Batch = makeBatch(M, O, 1);
  if (!Batch)
    return Batch.error();
  if (Status S = runBatch(M, O, *Batch); !S)
    return S;
  if (!O.Reference.empty()) {
    if (Status S =
            compareWithReference(O.Reference, Meta, Batch->Count,
                                 Batch->inputViews(), Batch->outputViews());
        !S)
      return S;
    std::cout << "equal to the reference: " << Batch->Count
              << (Batch->Count == 1 ? " image" : " images") << ", every byte\n";
  }
  if (Status S = writeOutputs(O.Outputs, Meta, *Batch); !S)
    return S;

  std::cout << Meta.Model << " (" << M.target() << "): " << Batch->Count
            << (Batch->Count == 1 ? " image\n" : " images\n");
  constexpr uint64_t Shown = 10;
  for (uint64_t Image = 0; Image < std::min(Batch->Count, Shown); ++Image)
    for (size_t I = 0; I < Meta.Outputs.size(); ++I) {
      uint64_t Bytes = Meta.Outputs[I].bytes();
      printOutput(std::cout, Meta.Outputs[I], Image,
                  Batch->Outputs[I].bytes().subspan(Image * Bytes, Bytes));
    }
  if (Batch->Count > Shown)
    std::cout << "  ... (" << Batch->Count - Shown << " more"
              << (O.Outputs.empty() ? "; --output FILE keeps all)\n" : ")\n");
  return {};
}

/// Keeps this thread on one CPU, `Cpu` or (-1) the one it runs on; a migration
/// would be measured. Returns the CPU, or -1 when the system does not allow it.
static int pinThread(int Cpu, cpu_set_t &Before) {
  if (Cpu < 0)
    Cpu = sched_getcpu();
  if (Cpu < 0 || sched_getaffinity(0, sizeof(Before), &Before) != 0)
    return -1;
  cpu_set_t One;
  CPU_ZERO(&One);
  CPU_SET(Cpu, &One);
  return sched_setaffinity(0, sizeof(One), &One) == 0 ? Cpu : -1;
}

static double seconds(std::chrono::steady_clock::duration Time) {
  return std::chrono::duration<double>(Time).count();
}

namespace {
/// The latencies of one image on some threads.
struct Latency {
  unsigned Threads;
  Team *Shared; // null: one thread
  std::vector<double> Times = {};

  double min() const { return *std::ranges::min_element(Times); }
  double median() {
    std::ranges::sort(Times);
    size_t Half = Times.size() / 2;
    return Times.size() % 2 ? Times[Half] : (Times[Half - 1] + Times[Half]) / 2;
  }
};
} // namespace

static Status timeThroughput(const Model &M, const Options &O) {
  auto P = Pool::create(M, O.Threads);
  if (!P)
    return P.error();
  // A small batch is repeated, so that starting threads does not count.
  auto Many = makeBatch(M, O, uint64_t(O.Threads) * 64);
  if (!Many)
    return Many.error();
  auto ManyIn = Many->inputViews();
  auto ManyOut = Many->outputViews();
  double Best = 0;
  for (int I = 0; I < 5; ++I) {
    auto Start = std::chrono::steady_clock::now();
    Status S = P->run(ManyIn, ManyOut, Many->Count);
    auto End = std::chrono::steady_clock::now();
    if (!S)
      return S;
    Best = std::max(Best, Many->Count / seconds(End - Start));
  }
  std::cout << std::setprecision(0) << "throughput: " << Best
            << " images/s (best of 5 batches of " << Many->Count << ", "
            << O.Threads << " threads, an image each)\n";
  return {};
}

/// Latency of one image on one thread, and with --threads above 1 on so many,
/// pinned and in turns; then also the throughput of the pool.
static Status timeRuns(const Model &M, const Options &O) {
  auto Batch = makeBatch(M, O, 1);
  if (!Batch)
    return Batch.error();
  auto C = M.createContext();
  if (!C)
    return C.error();
  // Only the first image of a batch.
  std::vector<ConstBuffer> In = Batch->inputViews();
  std::vector<Buffer> Out = Batch->outputViews();
  for (size_t I = 0; I < In.size(); ++I)
    In[I] = In[I].first(M.metadata().Inputs[I].bytes());
  for (size_t I = 0; I < Out.size(); ++I)
    Out[I] = Out[I].first(M.metadata().Outputs[I].bytes());

  auto T = Team::create(O.Threads, Placement::Pinned);
  if (!T)
    return T.error();
  std::vector<Latency> Cases = {{1, nullptr}};
  if (O.Threads > 1)
    Cases.push_back({O.Threads, &*T});
  cpu_set_t Before;
  int Cpu = pinThread(T->callerCpu(), Before);
  // Turns make both meet the same disturbances; the first runs of a turn, whose
  // helpers wake up, do not count.
  constexpr unsigned Turn = 20, Warm = 3;
  for (unsigned Done = 0; Done < O.Runs; Done += Turn)
    for (Latency &L : Cases)
      for (unsigned I = 0; I < Warm + std::min(Turn, O.Runs - Done); ++I) {
        auto Start = std::chrono::steady_clock::now();
        Status S = M.run(*C, In, Out, L.Shared);
        auto End = std::chrono::steady_clock::now();
        if (!S)
          return S;
        if (I >= Warm)
          L.Times.push_back(seconds(End - Start));
      }
  if (Cpu >= 0)
    sched_setaffinity(0, sizeof(Before), &Before);
  for (Latency &L : Cases) {
    bool Pinned = L.Threads == 1 ? Cpu >= 0 : T->callerCpu() >= 0;
    std::cout << std::fixed << std::setprecision(4)
              << "latency of one image: min " << L.min() * 1e3 << " ms, median "
              << L.median() * 1e3 << " ms (" << O.Runs << " runs, " << L.Threads
              << (L.Threads == 1 ? " thread, " : " threads, ")
              << (!Pinned          ? "not pinned"
                  : L.Threads == 1 ? "CPU " + std::to_string(Cpu)
                                   : "pinned")
              << ", " << M.target() << ")\n";
  }
  if (O.Threads == 1)
    return {};
  std::cout << std::setprecision(2)
            << "speedup: " << Cases[0].min() / Cases[1].min()
            << " by the minimum\n";
  return timeThroughput(M, O);
}

/// Where the time of one image goes, on pinned threads that share it.
static Status profileRuns(const Model &M, const Options &O) {
  auto Batch = makeBatch(M, O, 1);
  if (!Batch)
    return Batch.error();
  if (Batch->Count != 1)
    return misused("--profile runs one image; --input holds " +
                   std::to_string(Batch->Count));
  auto C = M.createContext();
  if (!C)
    return C.error();
  auto T = Team::create(O.Threads, Placement::Pinned);
  if (!T)
    return T.error();
  cpu_set_t Before;
  int Cpu = pinThread(T->callerCpu(), Before);
  auto P =
      profile(M, *C, Batch->inputViews(), Batch->outputViews(), O.Runs, &*T);
  double Cycles = measureCyclesPerSecond();
  if (Cpu >= 0)
    sched_setaffinity(0, sizeof(Before), &Before);
  if (!P)
    return P.error();
  printProfile(std::cout, M.metadata(), *P, Cycles);
  if (O.Threads > 1)
    std::cout << "by " << O.Threads << " threads, "
              << (T->callerCpu() >= 0 ? "pinned" : "not pinned") << "\n";
  return {};
}

static Status perform(const Options &O) {
  if (O.Inspect) {
    auto B = Bundle::open(O.Model);
    if (!B)
      return B.error();
    printInspection(std::cout, *B);
    return {};
  }
  auto M = Model::open(O.Model, O.Target);
  if (!M)
    return M.error();
  if (O.Verify) {
    auto T = Team::create(O.Threads);
    if (!T)
      return T.error();
    if (Status S = (*M)->verify(&*T); !S)
      return S;
    uint64_t Pairs = (*M)->metadata().GoldenPairs;
    std::cout << "verified: " << Pairs << " golden "
              << (Pairs == 1 ? "pair" : "pairs") << ", every byte equal ("
              << (*M)->target() << ")\n";
  }
  if (O.Time)
    if (Status S = timeRuns(**M, O); !S)
      return S;
  if (O.Profile)
    if (Status S = profileRuns(**M, O); !S)
      return S;
  if (!O.Outputs.empty() || !O.Reference.empty() ||
      (!O.Verify && !O.Time && !O.Profile))
    return runFiles(**M, O);
  return {};
}

static int runTool(int Argc, char **Argv) {
  Options O;
  CLI::App App("Runs a compiled model. Without --input, the first golden input "
               "of the bundle is run.");
  App.name("sysmol-run");
  App.footer("Examples:\n"
             "  sysmol-run model.smol --inspect\n"
             "  sysmol-run model.smol --verify --time\n"
             "  sysmol-run model.smol --input images.npy --reference "
             "net.onnx\n"
             "  sysmol-run model.smol --input images.npy --output logits.npy "
             "--threads 2\n\n"
             "Exit codes: 0 done, 1 input refused, 2 wrong use, 3 resource "
             "limit, 70 fault of Sysmol.");
  App.add_option("MODEL", O.Model, "bundle written by sysmol-compile (.smol)")
      ->type_name("")
      ->required();
  std::vector<CLI::Option *> Running;
  Running.push_back(
      App.add_option("-i,--input", O.Inputs,
                     "file for one input: .npy, or raw bytes; once for each "
                     "input, in order; may hold a batch")
          ->type_name("FILE")
          ->expected(1)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll));
  Running.push_back(
      App.add_option("-o,--output", O.Outputs,
                     "file for one output: .npy, or raw bytes; once for each "
                     "output, in order")
          ->type_name("FILE")
          ->expected(1)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll));
  App.add_option("-j,--threads", O.Threads,
                 "threads that share the images, or the work of a single one; "
                 "results do not depend on it (default 1)")
      ->type_name("N")
      ->check(CLI::Range(1u, MaxThreads));
  Running.push_back(
      App.add_flag("--time", O.Time,
                   "measure the latency of one image on one pinned thread; "
                   "with --threads above 1 also on so many, and the "
                   "throughput"));
  Running.push_back(
      App.add_flag("--profile", O.Profile,
                   "time of each layer of one image, on --threads pinned "
                   "threads; the bundle must be compiled with --profile"));
  App.add_option("--runs", O.Runs,
                 "measured runs for --time and --profile (default 200)")
      ->type_name("N")
      ->check(CLI::Range(1u, 100000000u));
  Running.push_back(App.add_flag(
      "--verify", O.Verify, "run the golden pairs and compare every byte"));
  Running.push_back(
      App.add_option("--reference", O.Reference,
                     "network the bundle was compiled from (.onnx, .mlir): run "
                     "it through the reference interpreter as well and compare "
                     "every byte")
          ->type_name("FILE"));
  Running.push_back(App.add_option("--target", O.Target,
                                   "code to run, by name (default: the first "
                                   "that this CPU supports)")
                        ->type_name("NAME"));
  CLI::Option *Inspect = App.add_flag(
      "--inspect", O.Inspect, "print sections, layers and sizes; run nothing");
  App.set_version_flag("--version", "sysmol-run 0.1.0");

  try {
    App.parse(Argc, Argv);
    // Not excludes(), which would clutter the help with every pair.
    for (CLI::Option *Option : Running)
      if (O.Inspect && Option->count())
        throw CLI::ExcludesError(Option->get_name(), Inspect->get_name());
  } catch (const CLI::CallForHelp &) {
    std::cout << App.help();
    return 0;
  } catch (const CLI::CallForVersion &Version) {
    std::cout << Version.what() << '\n';
    return 0;
  } catch (const CLI::ParseError &Err) {
    return report(misused(std::string(Err.what()) +
                          "; sysmol-run --help shows what is allowed"));
  }
  Status S = perform(O);
  std::cout.flush();
  if (S && !std::cout)
    S = overLimit("cannot write to standard output; redirect it to a place "
                  "with enough space");
  return S ? 0 : report(S.error());
}

int main(int Argc, char **Argv) {
  try {
    return runTool(Argc, Argv);
  } catch (const std::bad_alloc &) {
    return report(overLimit("out of memory; use a smaller batch"));
  } catch (const std::exception &Err) {
    return report(internalFault(
        "unexpected exception: " + std::string(Err.what()) + "; report this"));
  }
}
