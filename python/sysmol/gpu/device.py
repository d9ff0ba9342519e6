"""Devices, memory, modules, streams and launches, in a few small classes."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import weakref
from collections.abc import Iterator, Sequence
from ctypes import byref, c_int, c_size_t, c_uint64, c_void_p
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sysmol.errors import InputRefused, SysmolError, UsageError
from sysmol.gpu.driver import ATTRIBUTES, Driver, driver, elapsed_ms
from sysmol.gpu.foreign import device_memory

__all__ = [
    "Buffer",
    "BufferView",
    "Device",
    "Event",
    "Function",
    "Graph",
    "Launch",
    "Module",
    "Stream",
]

Array = npt.NDArray[Any]

_FUNCTION_ATTRIBUTES = {"shared_bytes": 1, "local_bytes": 3, "registers": 4, "ptx_version": 5}
_MAX_DYNAMIC_SHARED = 8
_NON_BLOCKING = 1
#: Whoever frees memory meanwhile, be it a finalizer in this thread, may.
_CAPTURE_RELAXED = 2


class Device:
    """A GPU by its number, with its primary context.

    Parameters
    ----------
    index : int
        0 is the first.

    Raises
    ------
    ResourceLimit
        No driver or no device.
    UsageError
        There is no device of this number.

    Examples
    --------
    >>> device = sysmol.gpu.Device()  # doctest: +SKIP
    >>> add = device.load(ptx).function("add")  # doctest: +SKIP
    >>> add.launch((1, 1, 1), (32, 1, 1), [device.upload(x), out])  # doctest: +SKIP
    """

    def __init__(self, index: int = 0) -> None:
        self._driver: Driver = driver()
        count = self._driver.device_count()
        if not 0 <= index < count:
            raise UsageError(f"there is no GPU {index}; this machine has {count}")
        handle, context = c_int(), c_void_p()
        self._driver.call("cuDeviceGet", byref(handle), index)
        self.index = index
        self._handle = handle.value
        self._driver.call(
            "cuDevicePrimaryCtxRetain", byref(context), self._handle, what="cannot use the GPU"
        )
        self._context = context.value
        weakref.finalize(self, self._driver.call, "cuDevicePrimaryCtxRelease_v2", self._handle)

    def __repr__(self) -> str:
        return f"<sysmol.gpu.Device {self.index}: {self.name}, {self.arch}>"

    def use(self) -> Driver:
        """Make this device current in this thread; gives the driver."""
        self._driver.call("cuCtxSetCurrent", self._context)
        return self._driver

    @contextlib.contextmanager
    def aside(self) -> Iterator[Driver]:
        """As :meth:`use` for a while: then the thread's device is what it was.

        Memory and modules may come and go meanwhile though another library captures a stream.
        """
        library, mode, popped = self._driver, c_int(_CAPTURE_RELAXED), c_void_p()
        library.call("cuCtxPushCurrent_v2", self._context)
        try:
            library.call("cuThreadExchangeStreamCaptureMode", byref(mode))
            try:
                yield library
            finally:
                library.call("cuThreadExchangeStreamCaptureMode", byref(mode))
        finally:
            library.call("cuCtxPopCurrent_v2", byref(popped))

    @cached_property
    def name(self) -> str:
        """As the maker calls it."""
        text = ctypes.create_string_buffer(256)
        self._driver.call("cuDeviceGetName", text, len(text), self._handle)
        return text.value.decode(errors="replace")

    @cached_property
    def memory_bytes(self) -> int:
        """Size of the memory."""
        size = c_size_t()
        self._driver.call("cuDeviceTotalMem_v2", byref(size), self._handle)
        return size.value

    def attribute(self, name: str) -> int:
        """A number of :data:`~sysmol.gpu.driver.ATTRIBUTES`."""
        if name not in ATTRIBUTES:
            raise UsageError(f"no device attribute '{name}'; there are {', '.join(ATTRIBUTES)}")
        value = c_int()
        self._driver.call(
            "cuDeviceGetAttribute", byref(value), ATTRIBUTES[name], self._handle, what=name
        )
        return value.value

    @cached_property
    def capability(self) -> tuple[int, int]:
        """Compute capability, (9, 0) for Hopper."""
        return self.attribute("capability_major"), self.attribute("capability_minor")

    @property
    def arch(self) -> str:
        """As compilers call it: ``sm_90``."""
        return "sm_{}{}".format(*self.capability)

    def describe(self) -> dict[str, Any]:
        """What a measurement must be read with."""
        return {
            "name": self.name,
            "arch": self.arch,
            "memory_bytes": self.memory_bytes,
            "driver_cuda": self._driver.version,
            **{
                name: self.attribute(name)
                for name in ("multiprocessors", "clock_khz", "memory_clock_khz", "l2_cache_bytes")
            },
        }

    def load(self, image: bytes | str, name: str = "module") -> Module:
        """Load PTX or a cubin; ``name`` is what errors call it."""
        return Module(self, image.encode() if isinstance(image, str) else image, name)

    def empty(self, size: int) -> Buffer:
        """Uninitialised memory of ``size`` bytes."""
        return Buffer(self, size)

    def zeros(self, size: int) -> Buffer:
        """Memory of ``size`` zero bytes."""
        buffer = Buffer(self, size)
        buffer.fill(0)
        # Other streams do not wait for this one.
        self.use().call("cuStreamSynchronize", None)
        return buffer

    def upload(self, array: npt.ArrayLike) -> Buffer:
        """A copy of an array in the device's memory."""
        values = np.ascontiguousarray(array)
        buffer = Buffer(self, values.nbytes)
        buffer.write(values)
        return buffer

    def stream(self) -> Stream:
        """A new stream."""
        return Stream(self)

    def event(self) -> Event:
        """A new event, for times."""
        return Event(self)

    def synchronize(self) -> None:
        """Wait for all work; raises what asynchronous work ran into."""
        self.use().call("cuCtxSynchronize", what="GPU work failed")


class Buffer:
    """Memory of a device; freed with the object."""

    def __init__(self, device: Device, size: int) -> None:
        if size < 0:
            raise UsageError(f"a buffer cannot have {size} bytes")
        self.device = device
        self.size = size
        pointer = c_uint64()
        with device.aside() as library:
            # The driver refuses empty allocations.
            library.call(
                "cuMemAlloc_v2", byref(pointer), max(size, 1), what=f"cannot allocate {size} bytes"
            )
        self.pointer = pointer.value
        weakref.finalize(self, _release, device, "cuMemFree_v2", self.pointer)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": (self.size,),
            "typestr": "|u1",
            "data": (self.pointer, False),
            "version": 3,
        }

    def view(self, offset: int, size: int) -> BufferView:
        """Part of it, as an argument of launches."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise InputRefused(f"{size} bytes at {offset} are not in a buffer of {self.size}")
        return BufferView(self, offset, size)

    def write(self, array: Array, offset: int = 0, stream: Stream | None = None) -> None:
        """Copy a contiguous array to ``offset``, in stream order; waits for the copy."""
        if not array.flags.c_contiguous:
            raise InputRefused("the array is not contiguous; pass numpy.ascontiguousarray of it")
        if offset < 0 or offset + array.nbytes > self.size:
            raise InputRefused(
                f"{array.nbytes} bytes at {offset} do not fit into a buffer of {self.size}"
            )
        library, handle = self.device.use(), stream_handle(stream)
        library.call(
            "cuMemcpyHtoDAsync_v2", self.pointer + offset, array.ctypes.data, array.nbytes, handle
        )
        library.call("cuStreamSynchronize", handle, what="copy to the GPU")

    def read(
        self,
        dtype: npt.DTypeLike = np.uint8,
        shape: Sequence[int] | None = None,
        stream: Stream | None = None,
    ) -> Array:
        """A copy as an array, in stream order; without a shape, all of it in one dimension."""
        kind = np.dtype(dtype)
        array = np.empty((self.size // kind.itemsize,) if shape is None else tuple(shape), kind)
        if array.nbytes > self.size:
            raise InputRefused(f"{array.nbytes} bytes asked of a buffer of {self.size}")
        library, handle = self.device.use(), stream_handle(stream)
        library.call("cuMemcpyDtoHAsync_v2", array.ctypes.data, self.pointer, array.nbytes, handle)
        library.call("cuStreamSynchronize", handle, what="copy from the GPU")
        return array

    def fill(self, byte: int, stream: Stream | None = None) -> None:
        """Set every byte, in stream order."""
        handle = stream.handle if stream else None
        self.device.use().call("cuMemsetD8Async", self.pointer, byte, self.size, handle)


class BufferView:
    """Part of a buffer, which it keeps alive."""

    def __init__(self, buffer: Buffer, offset: int, size: int) -> None:
        self.buffer = buffer
        self.size = size
        self.pointer = buffer.pointer + offset


def _release(device: Device, function: str, handle: int | None) -> None:
    """For finalizers, which may run in any thread at any time."""
    # Behind a fault nothing can be released, and the fault was reported.
    with contextlib.suppress(SysmolError), device.aside() as library:
        library.call(function, handle)


class Stream:
    """Work in order. ``handle`` may be given to other libraries."""

    def __init__(self, device: Device) -> None:
        handle = c_void_p()
        library = device.use()
        library.call("cuStreamCreate", byref(handle), _NON_BLOCKING)
        self.device = device
        self.handle = handle.value
        weakref.finalize(self, _release, device, "cuStreamDestroy_v2", self.handle)

    def synchronize(self) -> None:
        """Wait for the work in it."""
        self.device.use().call("cuStreamSynchronize", self.handle, what="GPU work failed")


class Event:
    """A moment in a stream."""

    def __init__(self, device: Device) -> None:
        handle = c_void_p()
        library = device.use()
        library.call("cuEventCreate", byref(handle), 0)
        self.device = device
        self.handle = handle.value or 0
        weakref.finalize(self, _release, device, "cuEventDestroy_v2", self.handle)

    def record(self, stream: Stream | int | None = None) -> None:
        """Put it into a stream."""
        self.device.use().call("cuEventRecord", self.handle, stream_handle(stream))

    def since(self, start: Event) -> float:
        """Milliseconds since another event; waits for both."""
        for event in (start, self):
            event.device.use().call("cuEventSynchronize", event.handle, what="GPU work failed")
        return elapsed_ms(start.handle, self.handle)


class Module:
    """Loaded code."""

    def __init__(self, device: Device, image: bytes, name: str) -> None:
        self.device = device
        self.name = name
        with device.aside() as library:
            self._handle = library.load_module(image, f"{name}: the driver refuses this code")
        # Dynamic shared memory that was asked for, by function; it must never shrink.
        self._dynamic: dict[int, int] = {}
        self._lock = threading.Lock()
        weakref.finalize(self, _release, device, "cuModuleUnload", self._handle)

    def function(self, name: str) -> Function:
        """A kernel by its name."""
        return Function(self, name)


class Function:
    """A kernel of a module.

    Attributes
    ----------
    registers, shared_bytes, local_bytes : int
        Registers and local memory of a thread (local memory means spills or indexed arrays), and
        the static shared memory of a block.
    """

    registers: int
    shared_bytes: int
    local_bytes: int
    ptx_version: int

    def __init__(self, module: Module, name: str) -> None:
        self.module = module
        self.name = name
        handle, value = c_void_p(), c_int()
        library = module.device.use()
        library.call(
            "cuModuleGetFunction", byref(handle), module._handle, name.encode(),
            what=f"{module.name} has no kernel '{name}'",
        )  # fmt: skip
        self._handle = handle.value or 0
        for attribute, number in _FUNCTION_ATTRIBUTES.items():
            library.call("cuFuncGetAttribute", byref(value), number, self._handle)
            setattr(self, attribute, value.value)

    def blocks_per_multiprocessor(self, threads: int, shared_bytes: int = 0) -> int:
        """How many blocks of so many threads run on a multiprocessor at once."""
        self._allow(shared_bytes)
        value = c_int()
        self.module.device.use().call(
            "cuOccupancyMaxActiveBlocksPerMultiprocessor",
            byref(value), self._handle, threads, shared_bytes,
        )  # fmt: skip
        return value.value

    def launch(
        self,
        grid: Sequence[int],
        block: Sequence[int],
        arguments: Sequence[Any],
        shared_bytes: int = 0,
        stream: Stream | int | None = None,
    ) -> None:
        """Start the kernel; returns before it has run.

        Parameters
        ----------
        grid, block : sequence of int
            Up to three numbers each.
        arguments : sequence
            In the order of the kernel's parameters: device memory (a :class:`Buffer`, a PyTorch
            CUDA tensor, anything with ``__cuda_array_interface__`` or ``__dlpack__``) for a
            pointer; a NumPy scalar for a number, whose type must be the parameter's.
        shared_bytes : int
            Dynamic shared memory of a block.
        stream : Stream or int, optional
            Where; an int is a handle of another library. Default: the legacy stream.
        """
        self.prepare(grid, block, arguments, shared_bytes)(stream_handle(stream))

    def prepare(
        self,
        grid: Sequence[int],
        block: Sequence[int],
        arguments: Sequence[Any],
        shared_bytes: int = 0,
    ) -> Launch:
        """A launch with its arguments fixed, for calls that must cost little."""
        return Launch(self, grid, block, arguments, shared_bytes)

    def _allow(self, shared_bytes: int) -> None:
        """Ask for more dynamic shared memory than the 48 KiB that need no asking."""
        device, known = self.module.device, self.module._dynamic
        with self.module._lock:
            if shared_bytes <= known.get(self._handle, 0):
                return
            device.use().call(
                "cuFuncSetAttribute", self._handle, _MAX_DYNAMIC_SHARED, shared_bytes,
                what=f"{self.name} wants {shared_bytes} bytes of dynamic shared memory; a block of "
                f"{device.name} may have {device.attribute('max_shared_memory_per_block_optin')}",
            )  # fmt: skip
            known[self._handle] = shared_bytes


class Launch:
    """A kernel with its arguments; call it with a stream's handle. Keeps the arguments alive."""

    def __init__(
        self,
        function: Function,
        grid: Sequence[int],
        block: Sequence[int],
        arguments: Sequence[Any],
        shared_bytes: int,
    ) -> None:
        function._allow(shared_bytes)
        self._function = function
        self._kept = list(arguments)
        device = function.module.device
        self._values = [_argument(value, index, device) for index, value in enumerate(arguments)]
        self._pointers = (c_void_p * max(len(self._values), 1))(
            *(ctypes.addressof(value) for value in self._values)
        )
        self._shape = (*_three(grid, "grid"), *_three(block, "block"), shared_bytes)

    def __call__(self, stream: int | None = None) -> None:
        function = self._function
        function.module.device.use().call(
            "cuLaunchKernel", function._handle, *self._shape, stream, self._pointers, None,
            what=f"cannot launch {function.name} with grid {self._shape[:3]}, block "
            f"{self._shape[3:6]}, {self._shape[6]} bytes of shared memory",
        )  # fmt: skip


class Graph:
    """Launches, in order, that start as one: cheaper by far than one by one.

    Parameters
    ----------
    device : Device
        Where.
    launches : sequence of Launch
        At least one. Their arguments are kept alive.
    """

    def __init__(self, device: Device, launches: Sequence[Launch]) -> None:
        library = device.use()
        stream = device.stream()
        graph, executable = c_void_p(), c_void_p()
        library.call("cuStreamBeginCapture_v2", stream.handle, _CAPTURE_RELAXED)
        try:
            for launch in launches:
                launch(stream.handle)
        except BaseException:
            # Why it failed is what counts.
            with contextlib.suppress(SysmolError):
                library.call("cuStreamEndCapture", stream.handle, byref(graph))
                library.call("cuGraphDestroy", graph)
            raise
        library.call("cuStreamEndCapture", stream.handle, byref(graph))
        try:
            library.call(
                "cuGraphInstantiateWithFlags", byref(executable), graph, 0,
                what=f"cannot make one graph of {len(launches)} launches",
            )  # fmt: skip
        finally:
            library.call("cuGraphDestroy", graph)
        self.device = device
        self._launches = list(launches)
        self._handle = executable.value
        weakref.finalize(self, _release, device, "cuGraphExecDestroy", self._handle)

    def __call__(self, stream: int | None = None) -> None:
        """Start all, in a stream by its handle; returns before they have run.

        A stream that is captured gets the launches one by one: it cannot take a graph.
        """
        library = self.device.use()
        status = c_int()
        library.call("cuStreamIsCapturing", stream, byref(status))
        if not status.value:
            library.call("cuGraphLaunch", self._handle, stream, what="cannot launch a graph")
            return
        for launch in self._launches:
            launch(stream)


def stream_handle(stream: Stream | int | None) -> int | None:
    """The driver's handle."""
    return stream.handle if isinstance(stream, Stream) else stream


def _three(numbers: Sequence[int], what: str) -> tuple[int, int, int]:
    if not 1 <= len(numbers) <= 3 or min(numbers) < 1:
        raise UsageError(f"{what} {tuple(numbers)} must be one to three numbers of at least 1")
    x, y, z = (*numbers, 1, 1)[:3]
    return int(x), int(y), int(z)


def _argument(value: Any, index: int, device: Device) -> Any:
    """The bytes of a kernel's parameter, as a ctypes object."""
    if isinstance(value, Buffer | BufferView):
        return c_uint64(value.pointer)
    if isinstance(value, np.generic):
        return ctypes.create_string_buffer(value.tobytes(), value.nbytes)
    if isinstance(value, bool | int | float):
        raise UsageError(
            f"argument {index} is a plain number; say its type by a NumPy scalar such as int32(5)"
        )
    memory = device_memory(value, f"argument {index}", device.index)
    if memory.stream:
        device.use().call("cuStreamSynchronize", memory.stream)
    return c_uint64(memory.pointer)
