"""Windows over images: their number, what pools make of them, and those that lie far apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from sysmol import SysmolError
from sysmol.windows import Window

WINDOWS = [
    Window([3, 2], [1, 1], [0, 0, 0, 0], [1, 1]),
    Window([2, 3], [2, 1], [1, 2, 0, 1], [1, 1]),
    Window([1, 1], [3, 2], [0, 0, 0, 0], [1, 1]),
    Window([2, 2], [7, 3], [9, 8, 10, 5], [1, 1]),  # some beside the image
    Window([2, 2], [100, 40], [0, 0, 300, 0], [1, 1]),
    Window([5, 6], [1, 4], [4, 5, 4, 5], [1, 1]),
]


def naive(images: np.ndarray, window: Window, sizes: list[int], largest: bool) -> np.ndarray:
    out = np.zeros((*images.shape[:2], *sizes), np.int64)
    for y, x in itertools.product(*map(range, sizes)):
        top, left = (i * window.strides[axis] - window.pads[axis] for axis, i in enumerate((y, x)))
        part = images[
            :,
            :,
            max(top, 0) : max(top + window.kernel[0], 0),
            max(left, 0) : max(left + window.kernel[1], 0),
        ]
        if part.size:
            out[:, :, y, x] = part.max((2, 3)) if largest else part.sum((2, 3))
    return out


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("reduce", [np.add, np.maximum])
def test_windows_are_reduced(window: Window, reduce: np.ufunc) -> None:
    images = np.random.default_rng(0).integers(0, 255, (2, 3, 5, 6))
    sizes = window.sizes(images.shape[2:])
    expected = naive(images, window, sizes, reduce is np.maximum)
    assert (window.reduced(images, sizes, reduce) == expected).all()


@pytest.mark.parametrize("window", [*WINDOWS, Window([3, 2], [2, 50], [9, 90, 8, 80], [4, 99])])
def test_windows_need_no_pads_once_spread(window: Window) -> None:
    rng = np.random.default_rng(1)
    images = rng.integers(-9, 9, (2, 3, 5, 6)).astype(np.float32)
    weight = torch.from_numpy(rng.integers(-9, 9, (4, 3, *window.kernel)).astype(np.float32))
    top, left, bottom, right = window.pads
    padded = functional.pad(torch.from_numpy(images), (left, right, top, bottom))
    expected = functional.conv2d(padded, weight, None, window.strides, 0, window.dilations)
    sizes = window.sizes(images.shape[2:])
    spread, strides, dilations = window.spread(images, sizes)
    found = functional.conv2d(torch.from_numpy(spread), weight, None, strides, 0, dilations)
    assert list(found.shape[2:]) == sizes and (found == expected).all()
    for axis in (0, 1):
        assert spread.shape[2 + axis] <= max(
            sizes[axis] * window.kernel[axis], padded.shape[2 + axis]
        )


def test_the_size_of_pads_strides_and_dilations_costs_nothing() -> None:
    window = Window([3, 3], [2**23, 2**24], [2**24] * 4, [2**24] * 2)
    images = np.ones((1, 1, 4, 4), np.float32)
    spread, _, _ = window.spread(images, window.sizes((4, 4)))
    assert spread.size < 100 and spread.sum() == 1
    window = Window([2**24, 2**24], [2**22, 2**23], [2**24 - 1] * 4, [1, 1])
    sizes = window.sizes((4, 4))
    assert window.reduced(np.ones((1, 1, 4, 4), np.int64), sizes, np.add).max() == 16


def test_kernels_fit_into_padded_images() -> None:
    window = Window([3, 3], [1, 1], [0, 0, 1, 0], [2, 1])
    assert window.sizes((4, 3)) == [1, 1]
    with pytest.raises(SysmolError, match="the kernel is larger than the padded image"):
        window.sizes((3, 3))
