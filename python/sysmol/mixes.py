"""Untrained networks at a given mix of precisions: speed does not depend on values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from sysmol.errors import SysmolError
from sysmol.export import export
from sysmol.prepare import calibrate, calibrate_carrier, freeze, layers, prepare

__all__ = ["MIXES", "counts", "export_mix"]

#: Shares of the multiply-accumulates at each precision, by name.
MIXES: dict[str, dict[int, float]] = {
    "60/35/5": {1: 0.60, 2: 0.35, 4: 0.05},
    "1 bit": {1: 1.0},
    "2 bit": {2: 1.0},
    "4 bit": {4: 1.0},
    "8 bit": {8: 1.0},
}


def counts(channels: int, mix: Mapping[int, float]) -> dict[int, int]:
    """Channels of each precision: the shares, rounded by the largest remainders.

    >>> counts(16, {1: 0.6, 2: 0.35, 4: 0.05})
    {1: 10, 2: 5, 4: 1}
    """
    if not mix or any(p not in (1, 2, 4, 8) for p in mix) or len(mix) > 3:
        raise SysmolError(f"a mix has one to three of the precisions 1, 2, 4, 8, not {list(mix)}")
    if any(share < 0 for share in mix.values()) or abs(sum(mix.values()) - 1) > 1e-6:
        raise SysmolError(f"the shares of a mix add up to 1, not {list(mix.values())}")
    exact = {p: share * channels for p, share in mix.items()}
    found = {p: int(value) for p, value in exact.items()}
    by_remainder = sorted(mix, key=lambda p: (found[p] - exact[p], p))
    for p in by_remainder[: channels - sum(found.values())]:
        found[p] += 1
    return {p: count for p, count in found.items() if count}


def export_mix(
    model: nn.Module,
    path: str | os.PathLike[str],
    mix: Mapping[int, float],
    image_shape: tuple[int, int, int],
    seed: int = 0,
) -> None:
    """Write ``model`` as if trained, its learned precisions drawn from ``mix``.

    Parameters
    ----------
    model : nn.Module
        What :func:`sysmol.prepare` takes. Its weights stay; scales are calibrated on noise.
    path : path-like
        The QONNX file to write.
    mix : mapping of int to float
        Share of the input channels of each layer at 1, 2, 4 or 8 bits.
    image_shape : tuple of int
        Channels, height, width.
    seed : int
        Of the order of the precisions and of the images.
    """
    generator = torch.Generator().manual_seed(seed)
    graph = prepare(model.eval())
    for precision in {id(layer.precision): layer.precision for _, layer in layers(graph)}.values():
        if precision.frozen:
            continue
        channels = len(precision.bits)
        bits = [p for p, count in counts(channels, mix).items() for _ in range(count)]
        order = torch.randperm(channels, generator=generator)
        precision.bits.copy_(torch.tensor(bits)[order])
    images = torch.rand(4, *image_shape, generator=generator)
    calibrate(graph, images)
    freeze(graph)
    calibrate_carrier(graph, images)
    export(graph, Path(path), image_shape)
