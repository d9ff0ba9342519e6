"""Device memory of other libraries, used in place: PyTorch, CuPy, JAX, anything with DLPack."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from sysmol.errors import InputRefused

__all__ = ["Memory", "device_memory"]

_CUDA = 2  # kDLCUDA
_POINTER_NAMES = (b"dltensor", b"dltensor_versioned")
# Kernels read so many bytes at once.
_ALIGNMENT = 16


class _DLDevice(ctypes.Structure):
    _fields_ = (("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32))


class _DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _DLDevice),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


@dataclass(frozen=True)
class Memory:
    """An address, and the stream (a handle, or None) that what lies there is written in."""

    pointer: int
    stream: int | None = None


def device_memory(value: Any, what: str, device: int) -> Memory:
    """Contiguous memory of a device, which the caller keeps alive.

    Parameters
    ----------
    value : object
        With ``__cuda_array_interface__`` or ``__dlpack__``.
    what : str
        What an error calls it.
    device : int
        Number of the GPU that is to use it.

    Raises
    ------
    InputRefused
        It is no memory of this device, not contiguous, or begins at an address that kernels cannot
        read 16 bytes at.
    """
    memory = _memory(value, what, device)
    if memory.pointer % _ALIGNMENT:
        raise InputRefused(
            f"{what} begins at an address that is no multiple of {_ALIGNMENT}; pass a copy"
        )
    return memory


def _memory(value: Any, what: str, device: int) -> Memory:
    if hasattr(value, "__dlpack_device__"):
        kind, number = value.__dlpack_device__()
        if int(kind) != _CUDA:
            raise InputRefused(f"{what} lies in the host's memory; move it to the GPU")
        if int(number) != device:
            raise InputRefused(f"{what} lies on GPU {number}; this code runs on GPU {device}")
    try:
        interface = getattr(value, "__cuda_array_interface__", None)
    except (RuntimeError, TypeError):
        # PyTorch has no name there for some types (bfloat16), or the tensor requires gradients.
        interface = None
    if interface is not None:
        stream = interface.get("stream")
        return Memory(_from_interface(interface, what), None if stream is None else int(stream))
    if hasattr(value, "__dlpack__"):
        return Memory(_from_dlpack(value, what))
    raise InputRefused(
        f"{what} is a {type(value).__name__}; allowed are device memory with "
        "__cuda_array_interface__ or __dlpack__, and NumPy scalars"
    )


def _from_interface(interface: dict[str, Any], what: str) -> int:
    shape, strides = tuple(interface["shape"]), interface.get("strides")
    if strides is not None:
        size = int(interface["typestr"][2:])
        _check_contiguous(shape, tuple(stride // size for stride in strides), what)
    return int(interface["data"][0] or 0)


def _from_dlpack(value: Any, what: str) -> int:
    capsule = value.__dlpack__()
    python = ctypes.pythonapi
    python.PyCapsule_IsValid.argtypes = (ctypes.py_object, ctypes.c_char_p)
    python.PyCapsule_IsValid.restype = ctypes.c_int
    python.PyCapsule_GetPointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    if not python.PyCapsule_IsValid(capsule, _POINTER_NAMES[0]):
        raise InputRefused(f"{what} gives no DLPack tensor of version 0")
    # The capsule stays unconsumed: its own destructor releases what it holds.
    address = python.PyCapsule_GetPointer(capsule, _POINTER_NAMES[0])
    tensor = ctypes.cast(address, ctypes.POINTER(_DLTensor)).contents
    if tensor.device.device_type != _CUDA:
        raise InputRefused(f"{what} lies in the host's memory; move it to the GPU")
    shape = tuple(tensor.shape[axis] for axis in range(tensor.ndim))
    if tensor.strides:
        _check_contiguous(shape, tuple(tensor.strides[axis] for axis in range(tensor.ndim)), what)
    return int(tensor.data or 0) + int(tensor.byte_offset)


def _check_contiguous(shape: tuple[int, ...], strides: tuple[int, ...], what: str) -> None:
    wanted = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != wanted:
            raise InputRefused(f"{what} is not contiguous; pass a contiguous copy")
        wanted *= size
