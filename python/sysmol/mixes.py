"""Untrained networks at a given mix of precisions: speed does not depend on values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from sysmol.export import export
from sysmol.prepare import calibrate, calibrate_carrier, freeze, layers, prepare
from sysmol.programs import MIXES, counts

__all__ = ["MIXES", "counts", "export_mix"]


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
