//===- Model.cpp - Running compiled models --------------------------------===//

#include "sysmol/Runtime/Model.h"

#include "CodeImage.h"
#include "Support.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace sysmol::runtime {

static_assert(std::endian::native == std::endian::little,
              "bundles are little-endian and are used in place");

Model::Model(Bundle B, std::string Target, std::unique_ptr<CodeImage> Code)
    : TheBundle(std::move(B)), Target(std::move(Target)),
      Code(std::move(Code)) {}

Model::~Model() = default;

Result<std::unique_ptr<Model>> Model::open(const std::string &Path,
                                           std::string_view Target) {
  auto B = Bundle::open(Path);
  if (!B)
    return B.error();
  auto M = load(std::move(*B), Target);
  if (!M)
    return withPrefix(inQuotes(Path), M.error());
  return M;
}

Result<std::unique_ptr<Model>> Model::load(Bundle B, std::string_view Target) {
  auto Index = selectCode(B, Target);
  if (!Index)
    return Index.error();
  std::string Name = B.metadata().Code[*Index].Target;
  auto Code = CodeImage::load(B.code(Name));
  if (!Code)
    return Code.error();
  return std::unique_ptr<Model>(
      new Model(std::move(B), std::move(Name), std::move(*Code)));
}

Result<Context> Model::createContext() const {
  uint64_t Bytes = alignUp(metadata().ArenaBytes, ArenaAlignment);
  auto Arena = PageBuffer::create(Bytes, "the arena of one thread");
  if (!Arena)
    return Arena.error();
  return Context(std::move(*Arena));
}

/// Checks `Buffers` against `Tensors` and collects their addresses.
template <typename BufferT, typename PointerT>
static Status collect(const char *What, const std::vector<TensorInfo> &Tensors,
                      std::span<const BufferT> Buffers,
                      std::array<PointerT, MaxTensors> &Pointers) {
  if (Buffers.size() != Tensors.size())
    return refused(std::to_string(Buffers.size()) + " " + What +
                   "s given; the model has " + std::to_string(Tensors.size()) +
                   "; give one buffer for each");
  for (size_t I = 0; I < Tensors.size(); ++I) {
    const TensorInfo &T = Tensors[I];
    if (Buffers[I].size() != T.bytes())
      return refused(std::string(What) + " " + inQuotes(T.Name) + " has " +
                     std::to_string(Buffers[I].size()) +
                     " bytes; the model needs " + std::to_string(T.bytes()) +
                     "; give a dense " + std::string(dtypeName(T.Type)) +
                     " tensor of its shape");
    if (reinterpret_cast<uintptr_t>(Buffers[I].data()) % dtypeBytes(T.Type))
      return refused(std::string(What) + " " + inQuotes(T.Name) +
                     " is not aligned to its elements of " +
                     std::to_string(dtypeBytes(T.Type)) +
                     " bytes; copy it to aligned memory");
    Pointers[I] = Buffers[I].data();
  }
  return {};
}

Status Model::run(Context &C, std::span<const ConstBuffer> Inputs,
                  std::span<const Buffer> Outputs, Team *T) const {
  std::array<const void *, MaxTensors> In;
  std::array<void *, MaxTensors> Out;
  if (Status S = collect("input", metadata().Inputs, Inputs, In); !S)
    return S;
  if (Status S = collect("output", metadata().Outputs, Outputs, Out); !S)
    return S;
  if (C.arena().size() < metadata().ArenaBytes)
    return refused("the context belongs to another model; use one that this "
                   "model created");
  Lease Threads(T);
  int32_t Code =
      this->Code->entry()(TheBundle.weights().data(), C.arena().data(),
                          In.data(), Out.data(), Threads.parallel());
  if (Code != 0)
    return internalFault("the compiled code failed with code " +
                         std::to_string(Code) +
                         "; expected 0; verify the bundle and report this");
  return {};
}

static Error mismatch(uint64_t Pair, const TensorInfo &T, size_t Byte,
                      uint8_t Expected, uint8_t Got) {
  return refused("golden pair " + std::to_string(Pair) + ", output " +
                 inQuotes(T.Name) + ", byte " + std::to_string(Byte) +
                 ": got " + std::to_string(Got) + ", expected " +
                 std::to_string(Expected) +
                 "; every byte must match; do not use this bundle on this "
                 "machine and report it");
}

Status Model::verify(Team *T) const {
  const Metadata &M = metadata();
  if (M.GoldenPairs == 0)
    return refused("the bundle has no golden pairs, so nothing can be "
                   "verified; compile the model with at least one");
  auto C = createContext();
  if (!C)
    return C.error();
  // Golden bytes are not aligned; these are. One buffer, each tensor at a
  // multiple of 64.
  uint64_t Bytes = 0;
  for (const auto *Tensors : {&M.Inputs, &M.Outputs})
    for (const TensorInfo &Tensor : *Tensors)
      Bytes += alignUp(Tensor.bytes(), ArenaAlignment);
  auto Storage = PageBuffer::create(Bytes, "the golden pairs");
  if (!Storage)
    return Storage.error();
  std::vector<Buffer> In, Out;
  Buffer Rest = Storage->bytes();
  auto Take = [&](const TensorInfo &Tensor) {
    Buffer Taken = Rest.first(Tensor.bytes());
    Rest = Rest.subspan(alignUp(Tensor.bytes(), ArenaAlignment));
    return Taken;
  };
  std::transform(M.Inputs.begin(), M.Inputs.end(), std::back_inserter(In),
                 Take);
  std::transform(M.Outputs.begin(), M.Outputs.end(), std::back_inserter(Out),
                 Take);
  std::vector<ConstBuffer> ConstIn(In.begin(), In.end());

  for (uint64_t Pair = 0; Pair < M.GoldenPairs; ++Pair) {
    for (size_t I = 0; I < In.size(); ++I)
      std::ranges::copy(TheBundle.goldenInput(Pair, I), In[I].begin());
    // Other garbage each time: no result may depend on it.
    auto Garbage = static_cast<uint8_t>(0xa5 + 0x3d * Pair);
    std::ranges::fill(C->arena(), Garbage);
    for (const Buffer &B : Out)
      std::ranges::fill(B, Garbage);
    if (Status S = run(*C, ConstIn, Out, T); !S)
      return withPrefix("golden pair " + std::to_string(Pair), S.error());
    for (size_t I = 0; I < Out.size(); ++I) {
      auto Expected = TheBundle.goldenOutput(Pair, I);
      auto [Got, Want] = std::ranges::mismatch(Out[I], Expected);
      if (Got != Out[I].end())
        return mismatch(Pair, M.Outputs[I], Got - Out[I].begin(), *Want, *Got);
    }
  }
  return {};
}

} // namespace sysmol::runtime
