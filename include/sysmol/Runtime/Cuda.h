//===- Cuda.h - NVIDIA GPUs through their driver ----------------*- C++ -*-===//
//
// The driver, libcuda.so.1, is opened when first asked for: nothing of CUDA is
// needed to build, and a machine without a GPU gives an Error of kind Limit.
//
// Objects share their device's context, the primary one of the process, which
// other libraries use too: their pointers and streams may be passed in. Every
// object keeps what it needs alive. Launches and copies are in stream order;
// an Error of a kernel shows at the next call that waits.
//
//===----------------------------------------------------------------------===//

#ifndef SYSMOL_RUNTIME_CUDA_H
#define SYSMOL_RUNTIME_CUDA_H

#include "sysmol/Runtime/Error.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace sysmol::runtime::cuda {

class Driver;
struct Context;

struct DeviceInfo {
  std::string Name;
  /// 9 and 0 for sm_90.
  int Major = 0, Minor = 0;
  int Multiprocessors = 0;
  int ClockKHz = 0;
  int L2Bytes = 0;
  /// The most dynamic shared memory that a block may ask for.
  int MaxSharedBytes = 0;
  uint64_t MemoryBytes = 0;
};

/// A driver's object that has one owner.
class Owned {
public:
  Owned(Owned &&) noexcept;
  Owned &operator=(Owned &&) noexcept;

protected:
  friend class Device;
  Owned(std::shared_ptr<const Context> C, void *Handle);
  ~Owned();
  std::shared_ptr<const Context> C; // null after a move
  void *Handle;
};

/// Work in order.
class Stream : public Owned {
public:
  ~Stream();
  Stream(Stream &&) noexcept = default;
  Stream &operator=(Stream &&) noexcept = default;
  /// For other libraries: a CUstream.
  void *handle() const { return Handle; }
  Status synchronize() const;
  /// Whether all work in it is done; does not wait.
  Result<bool> isDone() const;

private:
  friend class Device;
  using Owned::Owned;
};

/// A moment in a stream. A null stream is the legacy default one.
class Event : public Owned {
public:
  ~Event();
  Event(Event &&) noexcept = default;
  Event &operator=(Event &&Other) noexcept {
    std::swap(Timed, Other.Timed);
    Owned::operator=(std::move(Other));
    return *this;
  }
  Status record(void *Stream) const;
  /// Waits for it, not at all where it was not recorded.
  Status synchronize() const;
  /// Whether there is nothing to wait for; does not wait.
  Result<bool> isDone() const;
  /// What is put into the stream from now on begins after the moment; the
  /// caller does not wait.
  Status makeWait(void *Stream) const;
  /// Waits for both, which must be timed and recorded; milliseconds.
  Result<float> since(const Event &Start) const;

private:
  friend class Device;
  Event(std::shared_ptr<const Context> C, void *Handle, bool Timed)
      : Owned(std::move(C), Handle), Timed(Timed) {}
  bool Timed;
};

/// Page-locked memory of the host: copies of it run beside the caller. It must
/// live until they are done.
class HostMemory : public Owned {
public:
  ~HostMemory();
  HostMemory(HostMemory &&) noexcept = default;
  HostMemory &operator=(HostMemory &&) noexcept;
  /// None after a move.
  std::span<uint8_t> bytes() const {
    return {static_cast<uint8_t *>(Handle), C ? Size : 0};
  }

private:
  friend class Device;
  HostMemory(std::shared_ptr<const Context> C, void *Handle, uint64_t Size)
      : Owned(std::move(C), Handle), Size(Size) {}
  uint64_t Size;
};

/// Memory of the device.
class Memory {
public:
  ~Memory();
  Memory(Memory &&) noexcept;
  Memory &operator=(Memory &&) noexcept;
  uint64_t pointer() const { return Pointer; }
  uint64_t bytes() const { return Bytes; }
  /// Both wait until the copy is done. They are work of the legacy stream,
  /// which waits for no stream made here: synchronize that of a kernel first.
  Status copyFrom(std::span<const uint8_t> Host, uint64_t Offset = 0) const;
  Status copyTo(std::span<uint8_t> Host, uint64_t Offset = 0) const;
  /// The same as work of a stream. The host's memory must stay, and what is
  /// copied from it unchanged, until the stream has come past the copy. Only
  /// HostMemory is sure not to make these wait; other memory may.
  Status copyFromAsync(std::span<const uint8_t> Host, void *Stream,
                       uint64_t Offset = 0) const;
  Status copyToAsync(std::span<uint8_t> Host, void *Stream,
                     uint64_t Offset = 0) const;
  Status fill(uint8_t Value, void *Stream = nullptr) const;

private:
  friend class Device;
  Memory(std::shared_ptr<const Context> C, uint64_t Pointer, uint64_t Bytes);
  std::shared_ptr<const Context> C;
  uint64_t Pointer;
  uint64_t Bytes;
};

using Dim3 = std::array<uint32_t, 3>;

/// A function of a module.
class Kernel {
public:
  /// `Parameters` points to the value of each parameter, as cuLaunchKernel
  /// wants it; it is read before this returns.
  Status launch(const Dim3 &Grid, const Dim3 &Block, uint64_t SharedBytes,
                void *Stream, std::span<void *const> Parameters) const;
  const std::string &name() const { return Name; }
  int registers() const { return Registers; }
  /// Bytes of a thread in local memory: spills and indexed arrays.
  int localBytes() const { return LocalBytes; }

private:
  friend class Module;
  std::shared_ptr<const void> Owner;
  std::shared_ptr<const Context> C;
  void *Handle = nullptr;
  std::string Name;
  int Registers = 0, LocalBytes = 0;
};

/// Loaded code.
class Module {
public:
  Result<Kernel> kernel(const std::string &Name) const;

private:
  friend class Device;
  Module(std::shared_ptr<const Context> C, std::shared_ptr<void> Handle,
         std::string Name)
      : C(std::move(C)), Handle(std::move(Handle)), Name(std::move(Name)) {}
  std::shared_ptr<const Context> C;
  std::shared_ptr<void> Handle;
  std::string Name;
};

class Device {
public:
  /// The GPU of this number; 0 is the first. `Library` is for tests.
  static Result<Device> open(int Index = 0,
                             const char *Library = "libcuda.so.1");
  /// Number of GPUs.
  static Result<int> count(const char *Library = "libcuda.so.1");

  const DeviceInfo &info() const { return Info; }
  /// PTX or a cubin; `Name` is what errors call it.
  Result<Module> load(std::span<const uint8_t> Image, std::string Name) const;
  Result<Memory> allocate(uint64_t Bytes) const;
  Result<HostMemory> allocateHost(uint64_t Bytes) const;
  Result<Stream> stream() const;
  /// Without times it costs less to record and to wait for.
  Result<Event> event(bool Timed = true) const;
  /// Waits for all work; gives what asynchronous work ran into.
  Status synchronize() const;

private:
  Device(std::shared_ptr<const Context> C, DeviceInfo Info)
      : C(std::move(C)), Info(std::move(Info)) {}
  std::shared_ptr<const Context> C;
  DeviceInfo Info;
};

} // namespace sysmol::runtime::cuda

#endif // SYSMOL_RUNTIME_CUDA_H
