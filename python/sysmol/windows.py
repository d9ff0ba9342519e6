"""What slides over the two axes of an image, and what pools and convolutions make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sysmol.errors import SysmolError
from sysmol.grids import Int64

__all__ = ["Window"]


def _padded(images: npt.NDArray[Any], axis: int, before: int, after: int) -> npt.NDArray[Any]:
    """With zeros around axis 0 or 1 of the image."""
    widths = [(0, 0)] * 4
    widths[2 + axis] = before, after
    return np.pad(images, widths)


@dataclass(frozen=True)
class Window:
    """A window of a convolution or a pool; ``pads`` are top, left, bottom, right."""

    kernel: list[int]
    strides: list[int]
    pads: list[int]
    dilations: list[int]

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    def sizes(self, image: Sequence[int], ceil: bool = False) -> list[int]:
        """How many there are on each axis of ``image``, by ONNX's rules.

        With ``ceil`` the last one of an axis may pass its end, but must start inside the image or
        the padding before it.
        """
        result = []
        for axis, size in enumerate(image):
            stride = self.strides[axis]
            reach = self.dilations[axis] * (self.kernel[axis] - 1) + 1
            room = size + self.pads[axis] + self.pads[axis + 2] - reach
            if ceil and -stride < room < 0:
                room = 0  # one window, which the padding behind grows up to
            if room < 0:
                raise SysmolError("the kernel is larger than the padded image")
            count = room // stride + 1
            further = ceil and room % stride != 0
            if further and count * stride < size + self.pads[axis]:
                count += 1
            result.append(count)
        return result

    def reduced(self, images: Int64, sizes: Sequence[int], reduce: np.ufunc) -> Int64:
        """``reduce`` over the pixels of each of ``sizes`` windows; 0 where it has none.

        Dilations are not looked at.
        """
        for axis in (0, 1):
            size = images.shape[2 + axis]
            starts = np.arange(sizes[axis]) * self.strides[axis] - self.pads[axis]
            spans = np.clip(np.stack([starts, starts + self.kernel[axis]], 1), 0, size)
            # Of an empty span reduceat gives the first pixel: one behind the image.
            spans[spans[:, 0] == spans[:, 1]] = size
            found = reduce.reduceat(_padded(images, axis, 0, 1), spans.ravel(), 2 + axis)
            images = found[:, :, ::2] if axis == 0 else found[..., ::2]
        return images

    def spread(
        self, images: npt.NDArray[Any], sizes: Sequence[int]
    ) -> tuple[npt.NDArray[Any], list[int], list[int]]:
        """Images in which its ``sizes`` windows need no pads, and their strides and dilations.

        Windows that are few and far apart stand side by side: pads, strides and dilations may be
        far larger than image and result.
        """
        strides, dilations = list(self.strides), list(self.dilations)
        for axis, count in enumerate(sizes):
            size, kernel = images.shape[2 + axis], self.kernel[axis]
            before, after = self.pads[axis], self.pads[axis + 2]
            if count * kernel < before + size + after:
                starts = np.arange(count)[:, None] * strides[axis] - before
                taps = (starts + np.arange(kernel) * dilations[axis]).ravel()
                inside = np.where((taps >= 0) & (taps < size), taps, size)
                images = np.take(_padded(images, axis, 0, 1), inside, 2 + axis)
                strides[axis], dilations[axis] = kernel, 1
            else:
                images = _padded(images, axis, before, after)
        return images, strides, dilations
