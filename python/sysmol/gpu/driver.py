"""The CUDA driver API through ctypes: no CUDA toolkit, and no compiler, is needed to use it.

``libcuda.so.1`` comes with the GPU's driver. It is opened when first needed; where it is missing,
that is a :class:`~sysmol.errors.ResourceLimit` in one line. Devices use their primary context, the
one that PyTorch uses too, so that pointers, streams and graphs may be mixed freely.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
from ctypes import byref, c_char, c_char_p, c_float, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

from sysmol.errors import InputRefused, InternalError, ResourceLimit, SysmolError, UsageError

__all__ = ["ATTRIBUTES", "Driver", "available", "driver"]

#: What can be asked of a device, by the driver's numbers.
ATTRIBUTES = {
    "max_threads_per_block": 1,
    "max_shared_memory_per_block": 8,
    "warp_size": 10,
    "clock_khz": 13,
    "multiprocessors": 16,
    "memory_clock_khz": 36,
    "memory_bus_bits": 37,
    "l2_cache_bytes": 38,
    "capability_major": 75,
    "capability_minor": 76,
    "shared_memory_per_multiprocessor": 81,
    "registers_per_multiprocessor": 82,
    "max_shared_memory_per_block_optin": 97,
}

# Which fault a driver's code is: the rest are ours.
_REFUSED = {200, 209, 218, 221, 222, 223, 300}
_USAGE = {101, 400, 500}
_LIMIT = {2, 3, 34, 35, 36, 46, 100, 803, 804, 999}

_HANDLE = c_void_p
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (c_void_p,),
    "cuGetErrorName": (c_int, c_void_p),
    "cuGetErrorString": (c_int, c_void_p),
    "cuDeviceGetCount": (c_void_p,),
    "cuDeviceGet": (c_void_p, c_int),
    "cuDeviceGetName": (c_void_p, c_int, c_int),
    "cuDeviceTotalMem_v2": (c_void_p, c_int),
    "cuDeviceGetAttribute": (c_void_p, c_int, c_int),
    "cuDevicePrimaryCtxRetain": (c_void_p, c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxSetCurrent": (_HANDLE,),
    "cuCtxSynchronize": (),
    "cuModuleLoadDataEx": (c_void_p, c_void_p, c_uint, c_void_p, c_void_p),
    "cuModuleUnload": (_HANDLE,),
    "cuModuleGetFunction": (c_void_p, _HANDLE, c_char_p),
    "cuCtxPushCurrent_v2": (_HANDLE,),
    "cuCtxPopCurrent_v2": (c_void_p,),
    "cuThreadExchangeStreamCaptureMode": (c_void_p,),
    "cuFuncGetAttribute": (c_void_p, c_int, _HANDLE),
    "cuFuncSetAttribute": (_HANDLE, c_int, c_int),
    "cuOccupancyMaxActiveBlocksPerMultiprocessor": (c_void_p, _HANDLE, c_int, c_size_t),
    "cuMemAlloc_v2": (c_void_p, c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_void_p, c_size_t, _HANDLE),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_uint64, c_size_t, _HANDLE),
    "cuMemcpyDtoDAsync_v2": (c_uint64, c_uint64, c_size_t, _HANDLE),
    "cuMemsetD8Async": (c_uint64, ctypes.c_ubyte, c_size_t, _HANDLE),
    "cuStreamCreate": (c_void_p, c_uint),
    "cuStreamDestroy_v2": (_HANDLE,),
    "cuStreamSynchronize": (_HANDLE,),
    "cuStreamBeginCapture_v2": (_HANDLE, c_int),
    "cuStreamEndCapture": (_HANDLE, c_void_p),
    "cuStreamIsCapturing": (_HANDLE, c_void_p),
    "cuGraphInstantiateWithFlags": (c_void_p, _HANDLE, ctypes.c_ulonglong),
    "cuGraphLaunch": (_HANDLE, _HANDLE),
    "cuGraphDestroy": (_HANDLE,),
    "cuGraphExecDestroy": (_HANDLE,),
    "cuEventCreate": (c_void_p, c_uint),
    "cuEventDestroy_v2": (_HANDLE,),
    "cuEventRecord": (_HANDLE, _HANDLE),
    "cuEventSynchronize": (_HANDLE,),
    "cuEventElapsedTime": (c_void_p, _HANDLE, _HANDLE),
    "cuLaunchKernel": (_HANDLE, *(c_uint,) * 7, _HANDLE, c_void_p, c_void_p),
}

_JIT_INFO_LOG, _JIT_INFO_BYTES, _JIT_ERROR_LOG, _JIT_ERROR_BYTES = 3, 4, 5, 6
_LOG_BYTES = 16384


class Driver:
    """The loaded driver: typed entry points that raise on failure.

    Raises
    ------
    ResourceLimit
        There is no driver, or no device that it can use.
    """

    def __init__(self) -> None:
        try:
            library = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise ResourceLimit(
                "no CUDA driver: libcuda.so.1 cannot be loaded; GPU code needs a machine with an "
                f"NVIDIA GPU and its driver ({error})"
            ) from error
        self._functions: dict[str, Any] = {}
        for name, types in _SIGNATURES.items():
            try:
                function = getattr(library, name)
            except AttributeError as error:
                raise ResourceLimit(
                    f"the CUDA driver has no {name}; it is too old, install one of CUDA 12 or newer"
                ) from error
            function.argtypes = types
            function.restype = c_int
            self._functions[name] = function
        self.call("cuInit", 0)

    @property
    def version(self) -> str:
        """The newest CUDA that this driver serves, as ``13.0``."""
        value = c_int()
        self.call("cuDriverGetVersion", byref(value))
        return f"{value.value // 1000}.{value.value % 1000 // 10}"

    def call(self, name: str, *arguments: Any, what: str = "") -> None:
        """Call ``name``; ``what`` says in a failure what was being done."""
        code = self._functions[name](*arguments)
        if code:
            raise self.error(code, what or name)

    def error(self, code: int, what: str, log: str = "") -> SysmolError:
        """The exception for a driver's code."""
        text = c_char_p()
        self._functions["cuGetErrorString"](code, byref(text))
        reason = (text.value or b"unknown error").decode(errors="replace")
        message = f"{what}: {reason} (CUDA error {code})" + (f": {log}" if log else "")
        if code in _REFUSED:
            return InputRefused(message)
        if code in _USAGE:
            return UsageError(message)
        if code in _LIMIT:
            return ResourceLimit(message)
        return InternalError(message)

    def device_count(self) -> int:
        """Number of devices; 0 is no error."""
        count = c_int()
        self.call("cuDeviceGetCount", byref(count))
        return count.value

    def load_module(self, image: bytes, what: str) -> int:
        """Load PTX or a cubin into the current context; gives the handle."""
        # PTX is text and must end with a zero; cubins carry their own size.
        data = ctypes.create_string_buffer(image, len(image) + 1)
        info, errors = (ctypes.create_string_buffer(_LOG_BYTES) for _ in range(2))
        options = (c_int * 4)(_JIT_INFO_LOG, _JIT_INFO_BYTES, _JIT_ERROR_LOG, _JIT_ERROR_BYTES)
        values = (c_void_p * 4)(
            ctypes.addressof(info), _LOG_BYTES, ctypes.addressof(errors), _LOG_BYTES
        )
        module = _HANDLE()
        code = self._functions["cuModuleLoadDataEx"](byref(module), data, 4, options, values)
        if code:
            raise self.error(code, what, _first_errors(errors))
        return module.value or 0


def _first_errors(log: ctypes.Array[c_char]) -> str:
    """The assembler's log, cut to what fits into a message."""
    lines = [line.strip() for line in log.value.decode(errors="replace").splitlines()]
    return "; ".join(line for line in lines if line)[:600]


@functools.cache
def driver() -> Driver:
    """The driver of this process, loaded at the first call that succeeds."""
    return Driver()


def available() -> bool:
    """Whether a GPU can be used here."""
    try:
        return driver().device_count() > 0
    except SysmolError:
        return False


def elapsed_ms(start: int, end: int) -> float:
    """Milliseconds between two recorded events."""
    value = c_float()
    driver().call("cuEventElapsedTime", byref(value), start, end)
    return value.value
