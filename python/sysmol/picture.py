"""Which channel of which layer has how many bits: read it from ONNX, draw it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sysmol.errors import SysmolError
from sysmol.files import write

__all__ = ["LayerBits", "draw", "layer_bits", "mean_bits", "save"]

COLOURS = {1: "#440154", 2: "#31688e", 4: "#35b779", 8: "#fde725"}
"""Viridis: its steps differ in lightness, so that every eye tells them apart, in print too."""


@dataclass(frozen=True)
class LayerBits:
    """Precisions of one layer that multiplies by weights.

    Attributes
    ----------
    name : str
        Of the ONNX node's output.
    bits : int64 array [Cin]
        Bits of each input channel, in the file's order.
    weights : int
        Number of weights.
    """

    name: str
    bits: npt.NDArray[np.int64]
    weights: int


def layer_bits(path: str | os.PathLike[str]) -> list[LayerBits]:
    """Bits of every input channel of every Conv, Gemm and MatMul of a QONNX file.

    Raises
    ------
    SysmolError
        The file cannot be read, or has no quantized layer.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path)).graph
    except (OSError, DecodeError, ValueError) as error:
        raise SysmolError(f"{path}: cannot read this ONNX model: {error}") from error
    constants = {tensor.name: tensor for tensor in graph.initializer}
    quants = {node.output[0]: node for node in graph.node if node.op_type == "Quant"}
    found = []
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in quants:
            continue
        quant = quants[node.input[1]]
        if quant.input[0] not in constants or quant.input[3] not in constants:
            continue
        shape = tuple(constants[quant.input[0]].dims)
        bits = numpy_helper.to_array(constants[quant.input[3]])
        channels = shape[0] if node.op_type == "MatMul" else shape[1]
        try:
            per_channel = np.broadcast_to(bits.reshape(-1), channels)
        except ValueError as error:
            raise SysmolError(
                f"{path}: '{node.output[0]}' has {bits.size} bit widths for {channels} channels"
            ) from error
        found.append(LayerBits(node.output[0], per_channel.astype(np.int64), int(np.prod(shape))))
    if not found:
        raise SysmolError(f"{path}: no layer has quantized weights (QONNX Quant)")
    return found


def mean_bits(layers: list[LayerBits]) -> float:
    """Mean bits per weight; a channel's bits count for each of its weights."""
    total = sum(layer.weights for layer in layers)
    return sum(float(layer.bits.mean()) * layer.weights for layer in layers) / total


def save(figure: Any, path: Path, **options: Any) -> None:
    """Write a Matplotlib figure, whole or not at all. No date: equal figures give equal bytes."""
    kind = path.suffix.lstrip(".")
    kept = {"Date": None} if kind == "svg" else {}
    try:
        write(path, lambda part: figure.savefig(part, format=kind, metadata=kept, **options))
    except ValueError as error:
        raise SysmolError(f"cannot draw {path}: {error}") from error


def draw(layers: list[LayerBits], files: list[Path], title: str) -> None:
    """Draw the precisions: one column a layer, one cell a channel, mean bits below.

    Parameters
    ----------
    layers : list of LayerBits
    files : list of Path
        The ending says the format, for example ``.png`` or ``.svg``.
    title : str
        Headline of the picture.
    """
    import matplotlib

    style: Any = {
        "svg.hashsalt": "sysmol",  # the same picture is the same file
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with matplotlib.rc_context(style):
        _draw(layers, files, title)


def _draw(layers: list[LayerBits], files: list[Path], title: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    count = len(layers)
    tallest = max(len(layer.bits) for layer in layers)
    figure = Figure(figsize=(max(7.0, 1.6 + 0.36 * count), 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
    for column, layer in enumerate(layers):
        channels = len(layer.bits)
        # Runs of equal bits as one bar; a white hairline keeps channels countable.
        bounds = np.flatnonzero(np.diff(layer.bits)) + 1
        for start, stop in zip([0, *bounds], [*bounds, channels], strict=True):
            upper.bar(
                column,
                stop - start,
                bottom=start,
                width=0.86,
                color=COLOURS.get(int(layer.bits[start]), "#999999"),
                linewidth=0,
            )
        upper.bar(column, channels, width=0.86, fill=False, edgecolor="#444444", linewidth=0.5)
    upper.set_ylim(tallest * 1.01, 0)
    upper.set_ylabel("input channel")
    upper.spines.bottom.set_visible(False)
    upper.tick_params(axis="x", length=0)

    means = [float(layer.bits.mean()) for layer in layers]
    lower.bar(range(count), means, width=0.86, color="#5b7083")
    for column, mean in enumerate(means):
        lower.annotate(
            f"{mean:.1f}",
            (column, mean),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    lower.set_ylim(0, 9.6)
    lower.set_yticks([0, 4, 8])
    lower.set_ylabel("mean bits")
    lower.set_xticks(
        range(count),
        [layer.name.replace("blocks_", "block ").replace("_", " ") for layer in layers],
        rotation=55,
        ha="right",
        rotation_mode="anchor",
    )
    lower.set_xlim(-0.6, count - 0.4)

    widths = sorted({int(bits) for layer in layers for bits in layer.bits})
    totals = {width: sum(int((layer.bits == width).sum()) for layer in layers) for width in widths}
    handles = [
        Patch(
            facecolor=COLOURS.get(width, "#999999"),
            edgecolor="#444444",
            linewidth=0.5,
            label=f"{width} bit{'s' if width > 1 else ''} ({totals[width]} channels)",
        )
        for width in widths
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(widths), frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    for path in files:
        save(figure, path, dpi=160, facecolor="white")
