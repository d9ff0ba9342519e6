"""QONNX ``Quant`` and ``BipolarQuant`` nodes as grids: HP21 and HP22, read backwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import onnx

from sysmol.attributes import Attributes
from sysmol.errors import SysmolError
from sysmol.grids import Float64, Grid, Int64, check_levels, step
from sysmol.onnx_graph import Graph

__all__ = ["Quantizer", "finest_scale"]

_CARRIER_BITS = 16

_Array = TypeVar("_Array", Int64, Float64)


def finest_scale(grid: Grid, bits: Int64, steps: Float64, axis: int | None = None) -> Float64:
    """HP22: the scale from the finest level, in double, after checking all other channels.

    Parameters
    ----------
    grid : Grid
    bits, steps : ndarray of int64 and float64, of one shape
    axis : int, optional
        That of the channels of one scale; all of them without it.

    Returns
    -------
    ndarray of float64
        ``d`` or ``alpha``; ``axis`` stays, with one element.
    """
    finest = bits.max(axis=axis, keepdims=axis is not None)
    reach = np.where(bits == finest, steps, -np.inf).max(axis=axis, keepdims=axis is not None)
    if grid is Grid.UNSIGNED:
        scale = np.asarray(reach * (2.0**finest - 1))
    else:
        scale = np.asarray(reach * np.exp2(finest - 2.0))
    with np.errstate(over="ignore", invalid="ignore"):
        expected = step(grid, bits, scale).astype(np.float32)
        close = np.abs(expected.astype(np.float64) - steps) <= 2 * np.spacing(expected)
    if not close.all():
        raise SysmolError("the channels' scales do not belong to one grid (HP22)")
    return scale


def _spread(name: str, parameter: _Array, shape: Sequence[int], axes: Sequence[int]) -> _Array:
    """``parameter`` over ``axes`` of a tensor of ``shape``; the others become 1."""
    own: tuple[int, ...] = parameter.shape if parameter.size > 1 else ()
    full = [size if axis in axes else 1 for axis, size in enumerate(shape)]
    aligned = (*[1] * (len(shape) - len(own)), *own)  # from the right, as ONNX broadcasts
    if len(aligned) != len(full) or any(
        n not in (1, f) for n, f in zip(aligned, full, strict=True)
    ):
        allowed = [[size if axis == 1 else 1 for axis, size in enumerate(shape)]]
        if full not in allowed:
            allowed.append(full)
        raise SysmolError(
            f"{name} has shape {list(own)} for a tensor of shape {list(shape)}; "
            f"allowed are a scalar or {' or '.join(map(str, allowed))} (HP21)"
        )
    return np.broadcast_to(parameter.reshape(aligned), full)


@dataclass(frozen=True)
class Quantizer:
    """The parameters of a ``Quant`` or ``BipolarQuant`` node.

    Attributes
    ----------
    carrier : bool
        16 bits, with one step (HP17); the rest then means nothing.
    signed : bool
    bits, zeros, steps : ndarray
        Width, zero point and step, each a scalar or one per channel.
    """

    carrier: bool
    signed: bool
    bits: Int64
    zeros: Float64
    steps: Float64

    @classmethod
    def read(cls, graph: Graph, node: onnx.NodeProto) -> Quantizer:
        """Of a node with as many inputs as its operator has."""
        attributes = Attributes(node)
        if node.op_type == "BipolarQuant":
            # +-scale: the mid-rise grid of one bit, whose step is 2 * scale.
            scales = graph.constant(node.input[1], real=True)
            if (scales <= 0).any():
                raise SysmolError("a scale is not a finite positive number (HP6)")
            return cls(False, False, np.array(1, np.int64), np.array(0.5), 2 * scales)
        signed, narrow = attributes.integer("signed", 1) != 0, attributes.integer("narrow", 0)
        rounding = attributes.text("rounding_mode", "ROUND").upper()
        steps = graph.constant(node.input[1], real=True)
        zeros, bits = (graph.constant(name) for name in node.input[2:4])
        if (steps <= 0).any():
            raise SysmolError("a scale is not a finite positive number (HP6)")
        if rounding != "ROUND" and (rounding != "HALF_UP" or not zeros.any()):
            raise SysmolError("rounding_mode must be ROUND, or HALF_UP on the mid-rise grid")
        if narrow and not signed:
            raise SysmolError("narrow needs signed = 1 (HP21)")
        if signed and bits.size == 1 and bits.item() == _CARRIER_BITS:
            if not narrow or zeros.any() or steps.size != 1:
                raise SysmolError("a carrier is narrow, with one scale and no zero point")
            return cls(True, signed, bits.astype(np.int64), zeros, steps)
        p = check_levels(bits)
        if signed and (not narrow or zeros.any() or (p != 8).any()):
            raise SysmolError("a signed grid is symmetric: narrow, 8 bits, zero point 0")
        return cls(False, signed, p, zeros, steps)

    def spread(self, shape: Sequence[int], axes: Sequence[int]) -> tuple[Grid, Int64, Float64]:
        """Its grid, and precisions and steps over ``axes`` of a tensor of ``shape``."""
        bits = _spread("bit_width", self.bits, shape, axes)
        zeros = _spread("zero_point", self.zeros, shape, axes)
        steps = _spread("scale", self.steps, shape, axes)
        midrise = np.where(bits == 8, 128.0, np.exp2(bits - 1.0) - 0.5)
        if self.signed or (zeros == midrise).all():
            return Grid.MIDRISE, bits, steps
        if zeros.any():
            raise SysmolError("zero_point belongs to no grid (HP21)")
        return Grid.UNSIGNED, bits, steps

    def activation(self, shape: Sequence[int]) -> tuple[Grid, Int64, float]:
        """Grid, precisions [C] and scale of an activation of ``shape``, channels second."""
        grid, bits, steps = self.spread(shape, (1,))
        return grid, bits.ravel(), float(finest_scale(grid, bits, steps))
