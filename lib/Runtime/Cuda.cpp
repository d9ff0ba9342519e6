//===- Cuda.cpp - NVIDIA GPUs through their driver ------------------------===//

#include "sysmol/Runtime/Cuda.h"

#include "CudaDriver.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

namespace sysmol::runtime::cuda {

//===----------------------------------------------------------------------===//
// Devices
//===----------------------------------------------------------------------===//

namespace {
// Numbers of cuda.h.
enum Attribute : int {
  ClockRate = 13,
  MultiprocessorCount = 16,
  L2CacheSize = 38,
  CapabilityMajor = 75,
  CapabilityMinor = 76,
  MaxSharedOptin = 97,
};
enum FunctionAttribute : int { LocalSize = 3, Registers = 4, MaxDynamic = 8 };
} // namespace

Result<int> Device::count(const char *Library) {
  auto D = Driver::load(Library);
  if (!D)
    return D.error();
  int Count = 0;
  if (Status S = (*D)->check((*D)->deviceGetCount(&Count), "no GPU"); !S)
    return S.error();
  return Count;
}

static Result<DeviceInfo> describe(const Driver &D, int Device) {
  DeviceInfo Info;
  char Name[256] = "";
  if (Status S = D.check(D.deviceGetName(Name, sizeof(Name), Device),
                         "cannot ask the GPU for its name");
      !S)
    return S.error();
  Info.Name = Name;
  size_t Bytes = 0;
  if (Status S = D.check(D.deviceTotalMem(&Bytes, Device),
                         "cannot ask the GPU for its memory");
      !S)
    return S.error();
  Info.MemoryBytes = Bytes;
  for (auto [Number, Value] :
       {std::pair(ClockRate, &Info.ClockKHz),
        std::pair(MultiprocessorCount, &Info.Multiprocessors),
        std::pair(L2CacheSize, &Info.L2Bytes),
        std::pair(CapabilityMajor, &Info.Major),
        std::pair(CapabilityMinor, &Info.Minor),
        std::pair(MaxSharedOptin, &Info.MaxSharedBytes)})
    if (Status S = D.check(D.deviceGetAttribute(Value, Number, Device),
                           "cannot ask the GPU for an attribute");
        !S)
      return S.error();
  return Info;
}

Result<Device> Device::open(int Index, const char *Library) {
  auto D = Driver::load(Library);
  if (!D)
    return D.error();
  int Count = 0;
  if (Status S = (*D)->check((*D)->deviceGetCount(&Count), "no GPU"); !S)
    return S.error();
  if (Index < 0 || Index >= Count)
    return misused("there is no GPU " + std::to_string(Index) +
                   "; this machine has " + std::to_string(Count));
  auto C = std::make_shared<Context>();
  C->D = *D;
  if (Status S = (*D)->check((*D)->deviceGet(&C->Device, Index), "no GPU"); !S)
    return S.error();
  auto Info = describe(**D, C->Device);
  if (!Info)
    return Info.error();
  if (Status S = (*D)->check((*D)->primaryRetain(&C->Handle, C->Device),
                             "cannot use the GPU");
      !S)
    return S.error();
  return Device(std::move(C), std::move(*Info));
}

Status Device::synchronize() const {
  if (Status S = C->use(); !S)
    return S;
  return C->D->check(C->D->synchronize(), "GPU work failed");
}

//===----------------------------------------------------------------------===//
// Code
//===----------------------------------------------------------------------===//

/// The assembler's log on one line, cut to what fits into a message.
static std::string oneLine(const char *Log) {
  constexpr size_t Longest = 600;
  std::string Out;
  for (const char *P = Log; *P && Out.size() < Longest; ++P) {
    bool Space = static_cast<unsigned char>(*P) <= ' ';
    if (!Space)
      Out += *P;
    else if (!Out.empty() && Out.back() != ' ')
      Out += ' ';
  }
  return Out;
}

Result<Module> Device::load(std::span<const uint8_t> Image,
                            std::string Name) const {
  if (Status S = C->use(); !S)
    return S.error();
  // PTX is text that must end with a zero; cubins carry their own size.
  std::vector<uint8_t> Text(Image.begin(), Image.end());
  Text.push_back(0);
  std::vector<char> Log(16384);
  enum { ErrorLog = 5, ErrorLogBytes = 6 };
  int Options[] = {ErrorLog, ErrorLogBytes};
  // The size travels as a pointer.
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  void *Values[] = {Log.data(), reinterpret_cast<void *>(Log.size())};
  void *Handle = nullptr;
  if (Status S = C->D->check(
          C->D->moduleLoad(&Handle, Text.data(), 2, Options, Values),
          Name + ": the driver refuses this code");
      !S) {
    Error Err = S.error();
    if (Log[0])
      Err.Message += ": " + oneLine(Log.data());
    return Err;
  }
  // The context must outlive the module: the deleter holds it.
  auto Unload = [C = C](void *H) {
    if (C->use())
      C->D->moduleUnload(H);
  };
  return Module(C, std::shared_ptr<void>(Handle, Unload), std::move(Name));
}

Result<Kernel> Module::kernel(const std::string &Wanted) const {
  if (Status S = C->use(); !S)
    return S.error();
  const Driver &D = *C->D;
  Kernel K;
  K.Owner = Handle;
  K.C = C;
  K.Name = Wanted;
  if (Status S = D.check(D.getFunction(&K.Handle, Handle.get(), Wanted.c_str()),
                         Name + " has no kernel " + inQuotes(Wanted));
      !S)
    return S.error();
  for (auto [Number, Value] : {std::pair(Registers, &K.Registers),
                               std::pair(LocalSize, &K.LocalBytes)})
    if (Status S = D.check(D.functionAttribute(Value, Number, K.Handle),
                           "cannot ask for a kernel's attribute");
        !S)
      return S.error();
  return K;
}

static std::string text(const Dim3 &D) {
  return "(" + std::to_string(D[0]) + ", " + std::to_string(D[1]) + ", " +
         std::to_string(D[2]) + ")";
}

Status Kernel::launch(const Dim3 &Grid, const Dim3 &Block, uint64_t SharedBytes,
                      void *Stream, std::span<void *const> Parameters) const {
  for (const Dim3 &D : {Grid, Block})
    if (std::find(D.begin(), D.end(), 0u) != D.end())
      return misused("grid " + text(Grid) + " and block " + text(Block) +
                     " must have at least 1 in each direction");
  if (Status S = C->use(); !S)
    return S;
  const Driver &D = *C->D;
  // More than 48 KiB must be asked for.
  constexpr uint64_t Free = 48 << 10;
  std::string What = "cannot launch " + Name + " with grid " + text(Grid) +
                     ", block " + text(Block) + " and " +
                     std::to_string(SharedBytes) +
                     " bytes of dynamic shared memory";
  if (SharedBytes > UINT32_MAX)
    return misused(What + "; no GPU has so much");
  std::unique_lock<std::mutex> Lock(C->SharedMemory, std::defer_lock);
  if (SharedBytes > Free) {
    Lock.lock();
    if (Status S =
            D.check(D.setFunctionAttribute(Handle, MaxDynamic,
                                           static_cast<int>(SharedBytes)),
                    What);
        !S)
      return S;
  }
  std::vector<void *> Pointers(Parameters.begin(), Parameters.end());
  return D.check(D.launch(Handle, Grid[0], Grid[1], Grid[2], Block[0], Block[1],
                          Block[2], static_cast<unsigned>(SharedBytes), Stream,
                          Pointers.data(), nullptr),
                 What);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Result<Memory> Device::allocate(uint64_t Bytes) const {
  if (Status S = C->use(); !S)
    return S.error();
  uint64_t Pointer = 0;
  // The driver refuses empty allocations.
  if (Status S = C->D->check(
          C->D->memAlloc(&Pointer, std::max<uint64_t>(Bytes, 1)),
          "cannot allocate " + std::to_string(Bytes) + " bytes on the GPU");
      !S)
    return S.error();
  return Memory(C, Pointer, Bytes);
}

Memory::Memory(std::shared_ptr<const Context> C, uint64_t Pointer,
               uint64_t Bytes)
    : C(std::move(C)), Pointer(Pointer), Bytes(Bytes) {}
Memory::Memory(Memory &&) noexcept = default;

Memory &Memory::operator=(Memory &&Other) noexcept {
  std::swap(C, Other.C);
  std::swap(Pointer, Other.Pointer);
  std::swap(Bytes, Other.Bytes);
  return *this;
}

Memory::~Memory() {
  if (C && C->use())
    C->D->memFree(Pointer);
}

static Status checkRange(uint64_t Offset, uint64_t Size, uint64_t Bytes) {
  if (Offset > Bytes || Size > Bytes - Offset)
    return refused(std::to_string(Size) + " bytes at " +
                   std::to_string(Offset) + " are not inside a buffer of " +
                   std::to_string(Bytes));
  return {};
}

Status Memory::copyFromAsync(std::span<const uint8_t> Host, void *Stream,
                             uint64_t Offset) const {
  if (Status S = checkRange(Offset, Host.size(), Bytes); !S)
    return S;
  if (Status S = C->use(); !S)
    return S;
  return C->D->check(
      C->D->copyToDevice(Pointer + Offset, Host.data(), Host.size(), Stream),
      "copy to the GPU");
}

Status Memory::copyToAsync(std::span<uint8_t> Host, void *Stream,
                           uint64_t Offset) const {
  if (Status S = checkRange(Offset, Host.size(), Bytes); !S)
    return S;
  if (Status S = C->use(); !S)
    return S;
  return C->D->check(
      C->D->copyToHost(Host.data(), Pointer + Offset, Host.size(), Stream),
      "copy from the GPU");
}

Status Memory::copyFrom(std::span<const uint8_t> Host, uint64_t Offset) const {
  if (Status S = copyFromAsync(Host, nullptr, Offset); !S)
    return S;
  return C->D->check(C->D->streamSynchronize(nullptr), "copy to the GPU");
}

Status Memory::copyTo(std::span<uint8_t> Host, uint64_t Offset) const {
  if (Status S = copyToAsync(Host, nullptr, Offset); !S)
    return S;
  return C->D->check(C->D->streamSynchronize(nullptr), "copy from the GPU");
}

Status Memory::fill(uint8_t Value, void *Stream) const {
  if (Status S = C->use(); !S)
    return S;
  return C->D->check(C->D->memset(Pointer, Value, Bytes, Stream),
                     "fill memory of the GPU");
}

Result<HostMemory> Device::allocateHost(uint64_t Bytes) const {
  if (Status S = C->use(); !S)
    return S.error();
  void *Handle = nullptr;
  if (Status S = C->D->check(
          C->D->hostAlloc(&Handle, std::max<uint64_t>(Bytes, 1), 0),
          "cannot allocate " + std::to_string(Bytes) + " page-locked bytes");
      !S)
    return S.error();
  return HostMemory(C, Handle, Bytes);
}

HostMemory &HostMemory::operator=(HostMemory &&Other) noexcept {
  std::swap(Size, Other.Size);
  Owned::operator=(std::move(Other));
  return *this;
}

HostMemory::~HostMemory() {
  if (C && C->use())
    C->D->hostFree(Handle);
}

//===----------------------------------------------------------------------===//
// Streams and events
//===----------------------------------------------------------------------===//

Owned::Owned(std::shared_ptr<const Context> C, void *Handle)
    : C(std::move(C)), Handle(Handle) {}
Owned::Owned(Owned &&) noexcept = default;
Owned::~Owned() = default;

Owned &Owned::operator=(Owned &&Other) noexcept {
  std::swap(C, Other.C);
  std::swap(Handle, Other.Handle);
  return *this;
}

Result<Stream> Device::stream() const {
  if (Status S = C->use(); !S)
    return S.error();
  void *Handle = nullptr;
  constexpr unsigned NonBlocking = 1;
  if (Status S = C->D->check(C->D->streamCreate(&Handle, NonBlocking),
                             "cannot make a stream");
      !S)
    return S.error();
  return Stream(C, Handle);
}

Stream::~Stream() {
  if (C && C->use())
    C->D->streamDestroy(Handle);
}

Status Stream::synchronize() const {
  if (Status S = C->use(); !S)
    return S;
  return C->D->check(C->D->streamSynchronize(Handle), "GPU work failed");
}

Result<bool> Stream::isDone() const {
  if (Status S = C->use(); !S)
    return S.error();
  return C->D->isDone(C->D->streamQuery(Handle), "GPU work failed");
}

Result<Event> Device::event(bool Timed) const {
  if (Status S = C->use(); !S)
    return S.error();
  void *Handle = nullptr;
  constexpr unsigned DisableTiming = 2;
  if (Status S =
          C->D->check(C->D->eventCreate(&Handle, Timed ? 0 : DisableTiming),
                      "cannot make an event");
      !S)
    return S.error();
  return Event(C, Handle, Timed);
}

Event::~Event() {
  if (C && C->use())
    C->D->eventDestroy(Handle);
}

Status Event::record(void *Stream) const {
  if (Status S = C->use(); !S)
    return S;
  return C->D->check(C->D->eventRecord(Handle, Stream),
                     "cannot record an event");
}

Status Event::synchronize() const {
  if (Status S = C->use(); !S)
    return S;
  return C->D->check(C->D->eventSynchronize(Handle), "GPU work failed");
}

Result<bool> Event::isDone() const {
  if (Status S = C->use(); !S)
    return S.error();
  return C->D->isDone(C->D->eventQuery(Handle), "GPU work failed");
}

Status Event::makeWait(void *Stream) const {
  if (Status S = C->use(); !S)
    return S;
  return C->D->check(C->D->streamWaitEvent(Stream, Handle, 0),
                     "cannot make a stream wait for an event");
}

Result<float> Event::since(const Event &Start) const {
  if (!Timed || !Start.Timed)
    return misused("no time between two events: both must be made with times");
  for (const Event *E : {&Start, this})
    if (Status S = E->synchronize(); !S)
      return S.error();
  float Milliseconds = 0;
  if (Status S =
          C->D->check(C->D->eventElapsed(&Milliseconds, Start.Handle, Handle),
                      "no time between two events, which must be recorded");
      !S)
    return S.error();
  return Milliseconds;
}

} // namespace sysmol::runtime::cuda
