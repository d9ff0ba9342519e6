//===- CudaDriver.h - The entry points of libcuda.so.1 ----------*- C++ -*-===//

#ifndef SYSMOL_LIB_RUNTIME_CUDADRIVER_H
#define SYSMOL_LIB_RUNTIME_CUDADRIVER_H

#include "sysmol/Runtime/Error.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

namespace sysmol::runtime::cuda {

/// Types as in cuda.h, which is not needed: handles are pointers, results and
/// attributes are ints, device addresses are 64-bit numbers.
class Driver {
public:
  /// The library stays loaded: drivers do not survive being unloaded.
  static Result<std::shared_ptr<const Driver>> load(const char *Library);

  /// Success, or an Error that begins with `What`.
  Status check(int Code, const std::string &What) const;
  /// Of a query: whether the work is done, or an Error as above.
  Result<bool> isDone(int Code, const std::string &What) const;

  int (*init)(unsigned) = nullptr;
  int (*getErrorString)(int, const char **) = nullptr;
  int (*deviceGetCount)(int *) = nullptr;
  int (*deviceGet)(int *, int) = nullptr;
  int (*deviceGetName)(char *, int, int) = nullptr;
  int (*deviceTotalMem)(size_t *, int) = nullptr;
  int (*deviceGetAttribute)(int *, int, int) = nullptr;
  int (*primaryRetain)(void **, int) = nullptr;
  int (*primaryRelease)(int) = nullptr;
  int (*setCurrent)(void *) = nullptr;
  int (*synchronize)() = nullptr;
  int (*moduleLoad)(void **, const void *, unsigned, int *, void **) = nullptr;
  int (*moduleUnload)(void *) = nullptr;
  int (*getFunction)(void **, void *, const char *) = nullptr;
  int (*functionAttribute)(int *, int, void *) = nullptr;
  int (*setFunctionAttribute)(void *, int, int) = nullptr;
  int (*memAlloc)(uint64_t *, size_t) = nullptr;
  int (*memFree)(uint64_t) = nullptr;
  int (*hostAlloc)(void **, size_t, unsigned) = nullptr;
  int (*hostFree)(void *) = nullptr;
  int (*copyToDevice)(uint64_t, const void *, size_t, void *) = nullptr;
  int (*copyToHost)(void *, uint64_t, size_t, void *) = nullptr;
  int (*memset)(uint64_t, unsigned char, size_t, void *) = nullptr;
  int (*streamCreate)(void **, unsigned) = nullptr;
  int (*streamDestroy)(void *) = nullptr;
  int (*streamSynchronize)(void *) = nullptr;
  int (*streamQuery)(void *) = nullptr;
  int (*streamWaitEvent)(void *, void *, unsigned) = nullptr;
  int (*eventCreate)(void **, unsigned) = nullptr;
  int (*eventDestroy)(void *) = nullptr;
  int (*eventRecord)(void *, void *) = nullptr;
  int (*eventSynchronize)(void *) = nullptr;
  int (*eventQuery)(void *) = nullptr;
  int (*eventElapsed)(float *, void *, void *) = nullptr;
  int (*launch)(void *, unsigned, unsigned, unsigned, unsigned, unsigned,
                unsigned, unsigned, void *, void **, void **) = nullptr;

private:
  Driver() = default;
  Status find();
  template <typename Function> Status find(const char *Name, Function &Pointer);
  void *Handle = nullptr;
};

/// A device's primary context.
struct Context {
  std::shared_ptr<const Driver> D;
  int Device = 0;
  void *Handle = nullptr;
  /// Held while a function is promised shared memory and launched with it: the
  /// promise belongs to the function, whichever thread made it.
  mutable std::mutex SharedMemory;

  Context() = default;
  Context(const Context &) = delete;
  Context &operator=(const Context &) = delete;
  ~Context();
  /// Makes it current in this thread.
  Status use() const;
};

} // namespace sysmol::runtime::cuda

#endif // SYSMOL_LIB_RUNTIME_CUDADRIVER_H
