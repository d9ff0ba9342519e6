//===- CudaDriver.cpp - The entry points of libcuda.so.1 ------------------===//

#include "CudaDriver.h"

#include <dlfcn.h>

namespace sysmol::runtime::cuda {

/// Whose fault a CUresult is.
static ErrorKind kindOf(int Code) {
  switch (Code) {
  case 200: // INVALID_IMAGE
  case 209: // NO_BINARY_FOR_GPU
  case 218: // INVALID_PTX
  case 221: // JIT_COMPILER_NOT_FOUND
  case 222: // UNSUPPORTED_PTX_VERSION
  case 300: // INVALID_SOURCE
    return ErrorKind::Refused;
  case 101: // INVALID_DEVICE
  case 400: // INVALID_HANDLE
  case 500: // NOT_FOUND
    return ErrorKind::Usage;
  case 2:   // OUT_OF_MEMORY
  case 3:   // NOT_INITIALIZED
  case 34:  // STUB_LIBRARY
  case 46:  // DEVICE_UNAVAILABLE
  case 100: // NO_DEVICE
  case 803: // SYSTEM_DRIVER_MISMATCH
  case 804: // COMPAT_NOT_SUPPORTED_ON_DEVICE
  case 999: // UNKNOWN, which cuInit gives where the kernel module is missing
    return ErrorKind::Limit;
  default:
    return ErrorKind::Internal;
  }
}

Status Driver::check(int Code, const std::string &What) const {
  if (!Code)
    return {};
  const char *Text = nullptr;
  getErrorString(Code, &Text);
  return Error{kindOf(Code), What + ": " + (Text ? Text : "unknown error") +
                                 " (CUDA error " + std::to_string(Code) + ")"};
}

Result<bool> Driver::isDone(int Code, const std::string &What) const {
  constexpr int NotReady = 600;
  if (Code == NotReady)
    return false;
  if (Status S = check(Code, What); !S)
    return S.error();
  return true;
}

template <typename Function>
Status Driver::find(const char *Name, Function &Pointer) {
  Pointer = reinterpret_cast<Function>(dlsym(Handle, Name));
  if (!Pointer)
    return overLimit("the CUDA driver has no " + std::string(Name) +
                     "; it is too old, install one of CUDA 12 or newer");
  return {};
}

Status Driver::find() {
#define SYSMOL_FIND(Name, Pointer)                                             \
  if (Status S = find(Name, Pointer); !S)                                      \
    return S;
  SYSMOL_FIND("cuInit", init)
  SYSMOL_FIND("cuGetErrorString", getErrorString)
  SYSMOL_FIND("cuDeviceGetCount", deviceGetCount)
  SYSMOL_FIND("cuDeviceGet", deviceGet)
  SYSMOL_FIND("cuDeviceGetName", deviceGetName)
  SYSMOL_FIND("cuDeviceTotalMem_v2", deviceTotalMem)
  SYSMOL_FIND("cuDeviceGetAttribute", deviceGetAttribute)
  SYSMOL_FIND("cuDevicePrimaryCtxRetain", primaryRetain)
  SYSMOL_FIND("cuDevicePrimaryCtxRelease_v2", primaryRelease)
  SYSMOL_FIND("cuCtxSetCurrent", setCurrent)
  SYSMOL_FIND("cuCtxSynchronize", synchronize)
  SYSMOL_FIND("cuModuleLoadDataEx", moduleLoad)
  SYSMOL_FIND("cuModuleUnload", moduleUnload)
  SYSMOL_FIND("cuModuleGetFunction", getFunction)
  SYSMOL_FIND("cuFuncGetAttribute", functionAttribute)
  SYSMOL_FIND("cuFuncSetAttribute", setFunctionAttribute)
  SYSMOL_FIND("cuMemAlloc_v2", memAlloc)
  SYSMOL_FIND("cuMemFree_v2", memFree)
  SYSMOL_FIND("cuMemHostAlloc", hostAlloc)
  SYSMOL_FIND("cuMemFreeHost", hostFree)
  SYSMOL_FIND("cuMemcpyHtoDAsync_v2", copyToDevice)
  SYSMOL_FIND("cuMemcpyDtoHAsync_v2", copyToHost)
  SYSMOL_FIND("cuMemsetD8Async", memset)
  SYSMOL_FIND("cuStreamCreate", streamCreate)
  SYSMOL_FIND("cuStreamDestroy_v2", streamDestroy)
  SYSMOL_FIND("cuStreamSynchronize", streamSynchronize)
  SYSMOL_FIND("cuStreamQuery", streamQuery)
  SYSMOL_FIND("cuStreamWaitEvent", streamWaitEvent)
  SYSMOL_FIND("cuEventCreate", eventCreate)
  SYSMOL_FIND("cuEventDestroy_v2", eventDestroy)
  SYSMOL_FIND("cuEventRecord", eventRecord)
  SYSMOL_FIND("cuEventSynchronize", eventSynchronize)
  SYSMOL_FIND("cuEventQuery", eventQuery)
  SYSMOL_FIND("cuEventElapsedTime", eventElapsed)
  SYSMOL_FIND("cuLaunchKernel", launch)
#undef SYSMOL_FIND
  return {};
}

Result<std::shared_ptr<const Driver>> Driver::load(const char *Library) {
  std::shared_ptr<Driver> D(new Driver);
  D->Handle = dlopen(Library, RTLD_NOW | RTLD_LOCAL);
  if (!D->Handle) {
    const char *Why = dlerror();
    return overLimit("no CUDA driver: " + std::string(Why ? Why : Library) +
                     "; GPU code needs a machine with an NVIDIA GPU and its "
                     "driver");
  }
  if (Status S = D->find(); !S)
    return S.error();
  if (Status S = D->check(D->init(0), "the CUDA driver does not start"); !S)
    return S.error();
  return std::shared_ptr<const Driver>(std::move(D));
}

Context::~Context() {
  if (Handle)
    D->primaryRelease(Device);
}

Status Context::use() const {
  return D->check(D->setCurrent(Handle), "cannot use the GPU");
}

} // namespace sysmol::runtime::cuda
