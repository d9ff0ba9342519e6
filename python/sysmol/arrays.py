"""Read and write the arrays of ``sysmol run``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sysmol import files
from sysmol.errors import SysmolError
from sysmol.runtime import TensorInfo

__all__ = ["read", "write"]

Array = npt.NDArray[Any]


def read(path: Path, info: TensorInfo) -> Array:
    """The tensors of one input for all calls, joined along the first axis.

    Parameters
    ----------
    path : Path
        ``.npy``; an idx file of bytes (``.gz``), whose images become reals in [0, 1]; else raw
        little-endian elements.
    info : TensorInfo
        The input: says dtype and shape.

    Returns
    -------
    ndarray
        For an input [1, C, H, W] that is [N, C, H, W].

    Raises
    ------
    SysmolError
        The file cannot be read or does not fit.
    """
    rest = info.shape[1:]
    try:
        if path.suffix == ".npy":
            array = np.load(path, allow_pickle=False)
        elif path.suffix == ".gz":
            from sysmol.data import read_idx

            array = read_idx(path)
            if info.dtype == np.float32:
                array = array.astype(np.float32) / np.float32(255)
        else:
            array = np.frombuffer(path.read_bytes(), info.dtype)
    except (OSError, ValueError, EOFError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SysmolError(f"{path}: cannot read this array: {reason}") from error
    if array.dtype != info.dtype:
        raise SysmolError(
            f"{path}: holds {array.dtype}, input '{info.name}' is {info.dtype.name} "
            f"{list(info.shape)}"
        )
    size = int(np.prod(rest, dtype=np.int64))
    if not array.size or array.size % size:
        raise SysmolError(
            f"{path}: {array.size} elements are no whole number of tensors "
            f"{info.dtype.name} {list(info.shape)} for input '{info.name}'"
        )
    fits = array.shape[1:] == rest or array.shape == info.shape
    # Bytes have no shape, and images no channel axis: everything else must say what it is.
    if path.suffix == ".npy" and not fits and array.shape != rest:
        raise SysmolError(
            f"{path}: shape {list(array.shape)}, input '{info.name}' is {list(info.shape)}"
        )
    found: Array = array.reshape(-1, *rest)
    return found


def write(paths: Sequence[Path], arrays: Sequence[Array]) -> None:
    """Write ``.npy``, or raw elements by any other name; all files appear, or none."""

    def filler(path: Path, array: Array) -> Callable[[Path], None]:
        def fill(part: Path) -> None:
            with part.open("wb") as file:
                if path.suffix == ".npy":
                    np.save(file, array)
                else:
                    file.write(np.ascontiguousarray(array).tobytes())

        return fill

    files.write_all(
        [(path, filler(path, array)) for path, array in zip(paths, arrays, strict=True)]
    )
