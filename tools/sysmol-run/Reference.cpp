//===- Reference.cpp - Comparison with the reference interpreter ----------===//

#include "Reference.h"

#include "sysmol-c/Compiler.h"

#include <dlfcn.h>

using namespace sysmol::run;
using namespace sysmol::runtime;

/// One call after the other, all tensors of a call side by side.
template <typename Views>
static std::vector<uint8_t> interleave(const std::vector<TensorInfo> &Tensors,
                                       uint64_t Count, const Views &Buffers) {
  std::vector<uint8_t> Bytes;
  for (uint64_t Image = 0; Image < Count; ++Image)
    for (size_t I = 0; I < Tensors.size(); ++I) {
      auto Part =
          Buffers[I].subspan(Image * Tensors[I].bytes(), Tensors[I].bytes());
      Bytes.insert(Bytes.end(), Part.begin(), Part.end());
    }
  return Bytes;
}

Status sysmol::run::compareWithReference(const std::string &Network,
                                         const Metadata &Meta, uint64_t Count,
                                         const std::vector<ConstBuffer> &Inputs,
                                         const std::vector<Buffer> &Outputs) {
  void *Library = dlopen("libsysmol-compiler.so.0", RTLD_NOW | RTLD_LOCAL);
  if (!Library)
    return misused(std::string("--reference needs the compiler: ") + dlerror());
  auto Run = reinterpret_cast<decltype(&sysmol_reference_run)>(
      dlsym(Library, "sysmol_reference_run"));
  auto Init = reinterpret_cast<decltype(&sysmol_compile_options_init)>(
      dlsym(Library, "sysmol_compile_options_init"));
  auto Data = reinterpret_cast<decltype(&sysmol_blob_data)>(
      dlsym(Library, "sysmol_blob_data"));
  auto Size = reinterpret_cast<decltype(&sysmol_blob_bytes)>(
      dlsym(Library, "sysmol_blob_bytes"));
  auto Destroy = reinterpret_cast<decltype(&sysmol_blob_destroy)>(
      dlsym(Library, "sysmol_blob_destroy"));
  if (!Run || !Init || !Data || !Size || !Destroy)
    return misused("libsysmol-compiler.so.0 is not of this version of Sysmol; "
                   "install both together");

  std::vector<uint8_t> In = interleave(Meta.Inputs, Count, Inputs);
  std::vector<uint8_t> Ours = interleave(Meta.Outputs, Count, Outputs);
  char Message[1024];
  sysmol_blob *Blob = nullptr;
  // The bundle knows how many images its file's open dimension became.
  sysmol_compile_options Options;
  Init(&Options);
  if (!Meta.Inputs.empty() && !Meta.Inputs.front().Shape.empty())
    Options.batch = Meta.Inputs.front().Shape.front();
  sysmol_status Code = Run(Network.c_str(), {In.data(), In.size()}, Count,
                           &Options, &Blob, Message, sizeof(Message));
  if (Code != SYSMOL_OK)
    return Error{static_cast<ErrorKind>(Code), Message};
  const auto *Expected = static_cast<const uint8_t *>(Data(Blob));
  bool SameSize = Size(Blob) == Ours.size();
  size_t At = 0;
  while (SameSize && At < Ours.size() && Ours[At] == Expected[At])
    ++At;
  Destroy(Blob);
  if (!SameSize)
    return refused("the network '" + Network +
                   "' has outputs of another size than the bundle; give the "
                   "file the bundle was compiled from");
  if (At != Ours.size())
    return internalFault("output byte " + std::to_string(At) + " of image " +
                         std::to_string(At / (Ours.size() / Count)) +
                         " differs from the reference; every byte must match; "
                         "report this");
  return {};
}
