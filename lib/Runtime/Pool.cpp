//===- Pool.cpp - Many images on many threads -----------------------------===//

#include "sysmol/Runtime/Model.h"

#include "Support.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <system_error>
#include <thread>

namespace sysmol::runtime {

Result<Pool> Pool::create(const Model &M, unsigned Threads) {
  if (Threads < 1 || Threads > MaxThreads)
    return misused(std::to_string(Threads) +
                   " threads were asked for; allowed are 1 to " +
                   std::to_string(MaxThreads) + "; choose a number in between");
  Pool P(M);
  for (unsigned I = 0; I < Threads; ++I) {
    auto C = M.createContext();
    if (!C)
      return C.error();
    P.Contexts.push_back(std::move(*C));
  }
  return P;
}

template <typename BufferT>
static Status checkBatch(const char *What,
                         const std::vector<TensorInfo> &Tensors,
                         std::span<const BufferT> Buffers, uint64_t Count) {
  if (Buffers.size() != Tensors.size())
    return refused(std::to_string(Buffers.size()) + " " + What +
                   "s given; the model has " + std::to_string(Tensors.size()) +
                   "; give one buffer for each");
  for (size_t I = 0; I < Tensors.size(); ++I)
    if (Buffers[I].size() != multiplySaturated(Tensors[I].bytes(), Count))
      return refused(std::string(What) + " " + inQuotes(Tensors[I].Name) +
                     " has " + std::to_string(Buffers[I].size()) + " bytes; " +
                     std::to_string(Count) + " times " +
                     std::to_string(Tensors[I].bytes()) +
                     " are needed; give the tensors one after the other");
  return {};
}

namespace {
/// What the threads of one batch share.
struct Batch {
  const Model &M;
  std::span<const ConstBuffer> Inputs;
  std::span<const Buffer> Outputs;
  uint64_t Count;

  std::atomic<uint64_t> Next = 0;
  std::mutex Lock = {};
  /// The failure of the lowest image, whichever thread came first.
  uint64_t FailedImage = 0;
  std::optional<Error> Failure = {};

  void work(Context &C) {
    const Metadata &Meta = M.metadata();
    std::array<ConstBuffer, MaxTensors> In;
    std::array<Buffer, MaxTensors> Out;
    for (uint64_t Image; (Image = Next.fetch_add(1)) < Count;) {
      for (size_t I = 0; I < Inputs.size(); ++I) {
        uint64_t Bytes = Meta.Inputs[I].bytes();
        In[I] = Inputs[I].subspan(Image * Bytes, Bytes);
      }
      for (size_t I = 0; I < Outputs.size(); ++I) {
        uint64_t Bytes = Meta.Outputs[I].bytes();
        Out[I] = Outputs[I].subspan(Image * Bytes, Bytes);
      }
      Status S = M.run(C, std::span(In).first(Inputs.size()),
                       std::span(Out).first(Outputs.size()));
      if (S)
        continue;
      std::lock_guard<std::mutex> Guard(Lock);
      if (!Failure || Image < FailedImage) {
        FailedImage = Image;
        Failure = S.error();
      }
    }
  }
};
} // namespace

Status Pool::run(std::span<const ConstBuffer> Inputs,
                 std::span<const Buffer> Outputs, uint64_t Count) {
  if (Status S = checkBatch("input", M->metadata().Inputs, Inputs, Count); !S)
    return S;
  if (Status S = checkBatch("output", M->metadata().Outputs, Outputs, Count);
      !S)
    return S;

  Batch Work{*M, Inputs, Outputs, Count};
  std::vector<std::thread> Threads;
  std::string ThreadError;
  uint64_t Wanted = std::min<uint64_t>(Contexts.size(), Count);
  // The calling thread is one of them.
  for (uint64_t I = 1; I < Wanted && ThreadError.empty(); ++I) {
    try {
      Threads.emplace_back([&Work, this, I] { Work.work(Contexts[I]); });
    } catch (const std::system_error &Err) {
      ThreadError = Err.what();
    }
  }
  if (ThreadError.empty())
    Work.work(Contexts[0]);
  else
    Work.Next = Count;
  for (std::thread &T : Threads)
    T.join();
  if (!ThreadError.empty())
    return overLimit("cannot start " + std::to_string(Wanted) +
                     " threads: " + ThreadError + "; use fewer threads");
  if (Work.Failure)
    return withPrefix("image " + std::to_string(Work.FailedImage),
                      *Work.Failure);
  return {};
}

} // namespace sysmol::runtime
