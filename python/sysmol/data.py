"""Fashion-MNIST (Xiao et al. 2017) from Debian's package, or its test part as shipped with Sysmol.

The files are the usual ``idx.gz`` ones. Pixels stay bytes until :func:`to_input`, which divides by
255 in binary32, so that the unsigned 8-bit grid with ``alpha = 1`` (HP5) recovers the byte exactly.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sysmol.errors import SysmolError

if TYPE_CHECKING:
    import torch

__all__ = ["CLASSES", "SYSTEM_DIR", "ZOO_DIR", "batches", "load", "read_idx", "to_input"]

SYSTEM_DIR = Path("/usr/share/datasets/fashion-mnist")
"""Where ``apt-get install dataset-fashion-mnist`` puts the 60,000 + 10,000 images."""

ZOO_DIR = Path(__file__).resolve().parent / "zoo" / "fashion-mnist"
"""The 10,000 test images that travel with Sysmol (MIT licence beside them)."""

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_PREFIX = {"train": "train", "test": "t10k"}
_COUNT = {"train": 60_000, "test": 10_000}


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read one ``idx.gz`` file of unsigned bytes.

    Parameters
    ----------
    path : Path
        A gzip-compressed idx file: two zero bytes, type 0x08, the rank, big-endian 32-bit sizes.

    Returns
    -------
    ndarray of uint8
        The shape that the header gives.
    """
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise SysmolError(f"{path}: cannot read this idx.gz file: {error}") from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise SysmolError(f"{path}: not an idx file of unsigned bytes")
    rank = raw[3]
    start = 4 + 4 * rank
    if len(raw) < start:
        raise SysmolError(f"{path}: idx header is cut short")
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", rank, 4))
    expected = int(np.prod(shape, dtype=np.int64))
    if len(raw) - start != expected:
        raise SysmolError(f"{path}: {expected} bytes announced, {len(raw) - start} found")
    return np.frombuffer(raw, np.uint8, expected, start).reshape(shape)


def load(
    split: str, directory: Path | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Load images and labels of one part of Fashion-MNIST.

    Parameters
    ----------
    split : {"train", "test"}
    directory : Path, optional
        A folder with the idx.gz files. Default: the Debian package's folder, and for the test part
        the shipped copy first.

    Returns
    -------
    images : ndarray of uint8, [N, 28, 28]
    labels : ndarray of uint8, [N], 0..9 (see :data:`CLASSES`)
    """
    if split not in _PREFIX:
        raise SysmolError(f"unknown split {split!r}: expected 'train' or 'test'")
    if directory is not None:
        places = [directory]
    else:
        places = [ZOO_DIR, SYSTEM_DIR] if split == "test" else [SYSTEM_DIR]
    names = [f"{_PREFIX[split]}-images-idx3-ubyte.gz", f"{_PREFIX[split]}-labels-idx1-ubyte.gz"]
    for place in places:
        if all((place / name).is_file() for name in names):
            images, labels = (read_idx(place / name) for name in names)
            break
    else:
        where = " or ".join(str(place) for place in places)
        raise SysmolError(
            f"no Fashion-MNIST {split} files ({', '.join(names)}) in {where}: "
            "run 'apt-get install dataset-fashion-mnist'"
        )
    count = _COUNT[split]
    if images.shape != (count, 28, 28) or labels.shape != (count,) or labels.max() > 9:
        raise SysmolError(f"{place}: not Fashion-MNIST's {split} part ({count} images of 28x28)")
    return images, labels


def to_input(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Bytes [N, 28, 28] to the network's input, float32 [N, 1, 28, 28] in [0, 1]."""
    return (images.astype(np.float32) / np.float32(255))[:, None]


def batches(
    images: torch.Tensor,
    labels: torch.Tensor,
    size: int,
    generator: torch.Generator,
    shift: int = 2,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One shuffled, augmented epoch: horizontal flips and shifts by up to ``shift`` pixels.

    Parameters
    ----------
    images : uint8 tensor [N, H, W]
    labels : int64 tensor [N]
    size : int
        Images in a batch; a last, smaller batch is left out, as batch norm dislikes it.
    generator : torch.Generator
        The only source of chance, so that a seed gives the same epoch again.
    shift : int
        Largest shift, zeros shifted in.

    Yields
    ------
    x : float32 tensor [size, 1, H, W] in [0, 1]
    y : int64 tensor [size]
    """
    import torch
    from torch.nn import functional

    count, height, width = images.shape
    order = torch.randperm(count, generator=generator)
    rows, columns = torch.arange(height), torch.arange(width)
    for start in range(0, count - size + 1, size):
        index = order[start : start + size]
        padded = functional.pad(images[index], (shift,) * 4)
        dy = torch.randint(0, 2 * shift + 1, (size, 1, 1), generator=generator)
        dx = torch.randint(0, 2 * shift + 1, (size, 1, 1), generator=generator)
        flip = torch.randint(0, 2, (size, 1, 1), generator=generator).bool()
        x = torch.where(flip, columns.flip(0), columns) + dx
        batch = padded[torch.arange(size)[:, None, None], rows[None, :, None] + dy, x]
        yield batch.unsqueeze(1).float() / 255, labels[index]
