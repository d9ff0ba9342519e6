//===- CudaDriver.cpp - A libcuda.so.1 without a GPU ----------------------===//
//
// The part of the CUDA driver API that Sysmol's runtime and Python package use,
// over the emulator: programs that launch kernels run unchanged where no GPU
// is, with this library in front on LD_LIBRARY_PATH. It has one device, and
// modules are LLVM IR instead of PTX. When work is done, Streams.cpp says.
// Graphs have kernels only.
//
//===----------------------------------------------------------------------===//

#include "State.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Error.h"

#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

using namespace sysmol::emulator;
using namespace sysmol::emulator::driver;

State &sysmol::emulator::driver::state() {
  static State instance;
  return instance;
}

namespace {
/// Of this thread.
thread_local int captureMode = kGlobalCapture;
thread_local std::vector<void *> contexts;
} // namespace

/// Whether what may synchronize the device would spoil a capture; the state is
/// locked.
static bool isForbiddenByCapture() {
  return captureMode != kRelaxedCapture &&
         llvm::any_of(state().streams, [](const auto &entry) {
           return entry.second.graph &&
                  entry.second.captureMode == kGlobalCapture;
         });
}

/// Numbers as in cuda.h; they are what the package reports of a device.
static int attribute(int which) {
  switch (which) {
  case 1: // MAX_THREADS_PER_BLOCK
    return 1024;
  case 8: // MAX_SHARED_MEMORY_PER_BLOCK
    return 48 << 10;
  case 10: // WARP_SIZE
    return 32;
  case 13: // CLOCK_RATE in kHz
  case 36: // MEMORY_CLOCK_RATE
    return 1000000;
  case 16: // MULTIPROCESSOR_COUNT
    return 2;
  case 37: // GLOBAL_MEMORY_BUS_WIDTH
    return 64;
  case 38: // L2_CACHE_SIZE
    return 1 << 20;
  case 75: // COMPUTE_CAPABILITY_MAJOR
    return 9;
  case 81: // MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
    return 228 << 10;
  case 82: // MAX_REGISTERS_PER_MULTIPROCESSOR
    return 1 << 16;
  case 97: // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    return 227 << 10;
  default:
    return 0;
  }
}

static uint8_t *pointerOf(uint64_t address) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  return reinterpret_cast<uint8_t *>(address);
}

static void copyText(const std::string &text, void *buffer, size_t bytes) {
  if (!buffer || !bytes)
    return;
  size_t length = std::min(text.size(), bytes - 1);
  std::memcpy(buffer, text.data(), length);
  static_cast<char *>(buffer)[length] = 0;
}

/// Where the caller wants the log of a module that is refused.
static void writeLog(const std::string &text, unsigned count,
                     const int *options, void *const *values) {
  constexpr int ErrorLog = 5, ErrorLogBytes = 6;
  void *buffer = nullptr;
  size_t bytes = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (options[i] == ErrorLog)
      buffer = values[i];
    if (options[i] == ErrorLogBytes)
      bytes = reinterpret_cast<size_t>(values[i]);
  }
  copyText(text, buffer, bytes);
}

/// The allocations, if every pointer among the parameters points into one;
/// else, for memory of other libraries, all that there is.
static std::vector<Buffer> buffersFor(const KernelInfo &kernel,
                                      const void *const *parameters) {
  const auto &allocations = state().allocations;
  bool ours = true;
  for (size_t i = 0; i < kernel.parameterBytes.size(); ++i) {
    if (kernel.parameterBytes[i] != 8)
      continue;
    uint64_t address;
    std::memcpy(&address, parameters[i], sizeof(address));
    auto next = allocations.upper_bound(address);
    ours &= next != allocations.begin() &&
            address < std::prev(next)->first + std::prev(next)->second;
  }
  if (!ours)
    return {{"memory", {pointerOf(4096), (size_t(1) << 47) - 4096}}};
  std::vector<Buffer> buffers;
  buffers.reserve(allocations.size());
  for (auto [address, bytes] : allocations)
    buffers.push_back({"allocation", {pointerOf(address), bytes}});
  return buffers;
}

SYSMOL_DRIVER cuInit(unsigned) {
  state().initialized = true;
  return Success;
}

SYSMOL_DRIVER cuDriverGetVersion(int *version) {
  *version = 13000;
  return Success;
}

SYSMOL_DRIVER cuGetErrorName(int code, const char **name) {
  *name = code == IllegalAddress ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR";
  return Success;
}

SYSMOL_DRIVER cuGetErrorString(int code, const char **text) {
  switch (code) {
  case InvalidValue:
    *text = state().fault.empty() ? "invalid argument" : state().fault.c_str();
    break;
  case OutOfMemory:
    *text = "out of memory";
    break;
  case NotInitialized:
    *text = "initialization error";
    break;
  case InvalidDevice:
    *text = "invalid device ordinal";
    break;
  case InvalidPtx:
    *text = "a PTX JIT compilation failed";
    break;
  case InvalidHandle:
    *text = "invalid resource handle";
    break;
  case NotFound:
    *text = "named symbol not found";
    break;
  case NotReady:
    *text = "device not ready";
    break;
  case IllegalAddress:
    *text = state().fault.c_str();
    break;
  default:
    *text = "unknown error";
    break;
  }
  return Success;
}

SYSMOL_DRIVER cuDeviceGetCount(int *count) {
  if (!state().initialized)
    return NotInitialized;
  *count = 1;
  return Success;
}

SYSMOL_DRIVER cuDeviceGet(int *device, int ordinal) {
  *device = ordinal;
  return ordinal ? InvalidDevice : Success;
}

SYSMOL_DRIVER cuDeviceGetName(char *name, int bytes, int) {
  copyText("Sysmol emulator", name, bytes);
  return Success;
}

SYSMOL_DRIVER cuDeviceTotalMem_v2(size_t *bytes, int) {
  *bytes = size_t(1) << 32;
  return Success;
}

SYSMOL_DRIVER cuDeviceGetAttribute(int *value, int which, int) {
  *value = attribute(which);
  return Success;
}

SYSMOL_DRIVER cuDevicePrimaryCtxRetain(void **context, int) {
  *context = &state();
  return Success;
}

SYSMOL_DRIVER cuDevicePrimaryCtxRelease_v2(int) { return Success; }
SYSMOL_DRIVER cuCtxSetCurrent(void *context) {
  if (!contexts.empty())
    contexts.pop_back();
  contexts.push_back(context);
  return Success;
}

SYSMOL_DRIVER cuCtxGetCurrent(void **context) {
  *context = contexts.empty() ? nullptr : contexts.back();
  return Success;
}

SYSMOL_DRIVER cuCtxPushCurrent_v2(void *context) {
  contexts.push_back(context);
  return Success;
}

SYSMOL_DRIVER cuCtxPopCurrent_v2(void **context) {
  if (contexts.empty())
    return InvalidValue;
  *context = contexts.back();
  contexts.pop_back();
  return Success;
}

SYSMOL_DRIVER cuThreadExchangeStreamCaptureMode(int *mode) {
  std::swap(*mode, captureMode);
  return Success;
}

SYSMOL_DRIVER cuCtxSynchronize() {
  std::lock_guard<std::mutex> lock(state().mutex);
  int code = Success;
  for (auto &[handle, stream] : state().streams)
    if (int fault = finish(stream))
      code = fault;
  return code;
}

SYSMOL_DRIVER cuModuleLoadDataEx(void **module, const void *image,
                                 unsigned count, const int *options,
                                 void *const *values) {
  llvm::StringRef text(static_cast<const char *>(image));
  if (text.ltrim().starts_with(".version")) {
    writeLog("the emulated driver takes LLVM IR, not PTX", count, options,
             values);
    return InvalidPtx;
  }
  auto emulator = Emulator::fromIR(text, "module");
  if (!emulator) {
    writeLog(llvm::toString(emulator.takeError()), count, options, values);
    return InvalidPtx;
  }
  auto loaded = std::make_unique<Module>();
  loaded->emulator = std::move(*emulator);
  std::lock_guard<std::mutex> lock(state().mutex);
  *module = loaded.get();
  state().modules[loaded.get()] = std::move(loaded);
  return Success;
}

SYSMOL_DRIVER cuModuleUnload(void *module) {
  std::lock_guard<std::mutex> lock(state().mutex);
  if (isForbiddenByCapture())
    return CaptureUnsupported;
  finishAll();
  return state().modules.erase(static_cast<Module *>(module)) ? Success
                                                              : InvalidHandle;
}

SYSMOL_DRIVER cuModuleGetFunction(void **function, void *module,
                                  const char *name) {
  std::lock_guard<std::mutex> lock(state().mutex);
  auto found = state().modules.find(static_cast<Module *>(module));
  if (found == state().modules.end())
    return InvalidHandle;
  for (const KernelInfo &kernel : found->second->emulator->kernels()) {
    if (kernel.name != name)
      continue;
    auto made = std::make_unique<Function>();
    *made = {found->first, name};
    *function = made.get();
    state().functions[made.get()] = std::move(made);
    return Success;
  }
  return NotFound;
}

SYSMOL_DRIVER cuFuncGetAttribute(int *value, int, void *) {
  *value = 0;
  return Success;
}

SYSMOL_DRIVER cuFuncSetAttribute(void *, int, int value) {
  return value <= attribute(97) ? Success : InvalidValue;
}

SYSMOL_DRIVER cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *,
                                                          int, size_t) {
  *blocks = 1;
  return Success;
}

SYSMOL_DRIVER cuMemAlloc_v2(uint64_t *pointer, size_t bytes) {
  void *memory = std::aligned_alloc(256, (bytes + 255) & ~size_t(255));
  if (!memory)
    return OutOfMemory;
  std::lock_guard<std::mutex> lock(state().mutex);
  if (isForbiddenByCapture()) {
    std::free(memory);
    return CaptureUnsupported;
  }
  *pointer = reinterpret_cast<uint64_t>(memory);
  state().allocations[*pointer] = bytes;
  return Success;
}

SYSMOL_DRIVER cuMemFree_v2(uint64_t pointer) {
  std::lock_guard<std::mutex> lock(state().mutex);
  if (isForbiddenByCapture())
    return CaptureUnsupported;
  finishAll();
  if (!state().allocations.erase(pointer))
    return InvalidValue;
  std::free(pointerOf(pointer));
  return Success;
}

SYSMOL_DRIVER cuMemHostAlloc(void **pointer, size_t bytes, unsigned) {
  std::lock_guard<std::mutex> lock(state().mutex);
  if (isForbiddenByCapture())
    return CaptureUnsupported;
  constexpr size_t kPage = 4096;
  *pointer = std::aligned_alloc(kPage, (bytes + kPage - 1) & ~(kPage - 1));
  if (!*pointer)
    return OutOfMemory;
  state().hostAllocations[reinterpret_cast<uint64_t>(*pointer)] = bytes;
  return Success;
}

SYSMOL_DRIVER cuMemFreeHost(void *pointer) {
  std::lock_guard<std::mutex> lock(state().mutex);
  if (isForbiddenByCapture())
    return CaptureUnsupported;
  finishAll();
  if (!state().hostAllocations.erase(reinterpret_cast<uint64_t>(pointer)))
    return InvalidValue;
  std::free(pointer);
  return Success;
}

/// Whether a copy need not look at the host's memory before it takes place.
static bool isPageLocked(const void *pointer, size_t bytes) {
  auto address = reinterpret_cast<uint64_t>(pointer);
  auto next = state().hostAllocations.upper_bound(address);
  return next != state().hostAllocations.begin() &&
         address + bytes <= std::prev(next)->first + std::prev(next)->second;
}

SYSMOL_DRIVER cuMemcpyHtoDAsync_v2(uint64_t target, const void *source,
                                   size_t bytes, void *stream) {
  std::lock_guard<std::mutex> lock(state().mutex);
  if (isLegacy(stream) || isPageLocked(source, bytes))
    return submit(stream, [=] {
      std::memcpy(pointerOf(target), source, bytes);
      return Success;
    });
  // Pageable memory may change when this returns.
  const auto *first = static_cast<const uint8_t *>(source);
  return submit(stream,
                [target, copy = std::vector<uint8_t>(first, first + bytes)] {
                  std::memcpy(pointerOf(target), copy.data(), copy.size());
                  return Success;
                });
}

SYSMOL_DRIVER cuMemcpyDtoHAsync_v2(void *target, uint64_t source, size_t bytes,
                                   void *stream) {
  std::lock_guard<std::mutex> lock(state().mutex);
  int code = submit(stream, [=] {
    std::memcpy(target, pointerOf(source), bytes);
    return Success;
  });
  // Into pageable memory it is done when this returns.
  if (code || isLegacy(stream) || isPageLocked(target, bytes))
    return code;
  return finish(*findStream(stream));
}

SYSMOL_DRIVER cuMemcpyDtoDAsync_v2(uint64_t target, uint64_t source,
                                   size_t bytes, void *stream) {
  std::lock_guard<std::mutex> lock(state().mutex);
  return submit(stream, [=] {
    std::memmove(pointerOf(target), pointerOf(source), bytes);
    return Success;
  });
}

SYSMOL_DRIVER cuMemsetD8Async(uint64_t target, unsigned char value,
                              size_t bytes, void *stream) {
  std::lock_guard<std::mutex> lock(state().mutex);
  return submit(stream, [=] {
    std::memset(pointerOf(target), value, bytes);
    return Success;
  });
}

static const KernelInfo *findKernel(const Function &function) {
  for (const KernelInfo &candidate : function.module->emulator->kernels())
    if (candidate.name == function.name)
      return &candidate;
  return nullptr;
}

/// Runs a kernel; the state is locked.
static int run(const Launch &launch) {
  const Function &function = *launch.function;
  const KernelInfo *kernel = findKernel(function);
  std::vector<const void *> parameters;
  parameters.reserve(launch.parameters.size());
  for (const std::vector<uint8_t> &parameter : launch.parameters)
    parameters.push_back(parameter.data());
  auto statistics = function.module->emulator->launch(
      function.name, launch.config, parameters,
      buffersFor(*kernel, parameters.data()));
  if (statistics)
    return Success;
  int code = IllegalAddress;
  llvm::handleAllErrors(
      statistics.takeError(),
      [&](const EmulatorError &error) {
        if (error.getKind() == FaultKind::Usage)
          code = InvalidValue;
        if (error.getKind() == FaultKind::Limit)
          code = OutOfMemory;
        state().fault = error.getMessage();
      },
      [&](const llvm::ErrorInfoBase &error) {
        state().fault = error.message();
      });
  return code;
}

SYSMOL_DRIVER cuLaunchKernel(void *function, unsigned gridX, unsigned gridY,
                             unsigned gridZ, unsigned blockX, unsigned blockY,
                             unsigned blockZ, unsigned sharedBytes,
                             void *handle, void **parameters, void **) {
  std::lock_guard<std::mutex> lock(state().mutex);
  auto found = state().functions.find(static_cast<Function *>(function));
  if (found == state().functions.end())
    return InvalidHandle;
  Launch launch;
  launch.function = found->second.get();
  launch.config.grid = {gridX, gridY, gridZ};
  launch.config.block = {blockX, blockY, blockZ};
  launch.config.sharedBytes = sharedBytes;
  for (auto [i, bytes] :
       llvm::enumerate(findKernel(*launch.function)->parameterBytes)) {
    const auto *first = static_cast<const uint8_t *>(parameters[i]);
    launch.parameters.emplace_back(first, first + bytes);
  }
  if (Stream *stream = findStream(handle); stream && stream->graph) {
    stream->graph->push_back(std::move(launch));
    return Success;
  }
  return submit(handle, [launch = std::move(launch)] { return run(launch); });
}

SYSMOL_DRIVER cuStreamBeginCapture_v2(void *handle, int mode) {
  std::lock_guard<std::mutex> lock(state().mutex);
  Stream *stream = findStream(handle);
  if (!stream || stream->graph)
    return CaptureUnsupported;
  stream->graph = std::make_unique<Graph>();
  stream->captureMode = mode;
  return Success;
}

SYSMOL_DRIVER cuStreamIsCapturing(void *handle, int *status) {
  std::lock_guard<std::mutex> lock(state().mutex);
  Stream *stream = findStream(handle);
  *status = stream && stream->graph;
  return stream || isLegacy(handle) ? Success : InvalidHandle;
}

SYSMOL_DRIVER cuStreamEndCapture(void *handle, void **graph) {
  std::lock_guard<std::mutex> lock(state().mutex);
  Stream *stream = findStream(handle);
  if (!stream || !stream->graph)
    return CaptureUnsupported;
  *graph = stream->graph.release();
  return Success;
}

SYSMOL_DRIVER cuGraphInstantiateWithFlags(void **executable, void *graph,
                                          unsigned long long) {
  *executable = new Graph(*static_cast<Graph *>(graph));
  return Success;
}

SYSMOL_DRIVER cuGraphDestroy(void *graph) {
  delete static_cast<Graph *>(graph);
  return Success;
}

SYSMOL_DRIVER cuGraphExecDestroy(void *graph) {
  delete static_cast<Graph *>(graph);
  return Success;
}

SYSMOL_DRIVER cuGraphLaunch(void *graph, void *stream) {
  std::lock_guard<std::mutex> lock(state().mutex);
  return submit(stream, [launches = *static_cast<Graph *>(graph)] {
    for (const Launch &launch : launches)
      if (int code = run(launch)) {
        state().fault = launch.function->name + ": " + state().fault;
        return code;
      }
    return int(Success);
  });
}
