"""The grids of the law, in NumPy, exact: codes, level values, values, requantization.

The rules HP1 to HP23 are those of ``include/sysmol/Dialect/Hetprec/IR/Spec.md``. Scales are
doubles, inputs binary32, every binary32 operation is rounded once and never contracted.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from sysmol.errors import SysmolError

__all__ = [
    "CARRIER_MAX",
    "PRECISIONS",
    "Float32",
    "Float64",
    "Grid",
    "Int64",
    "check_levels",
    "code_range",
    "counts",
    "dequantize",
    "level_values",
    "multiplier",
    "quantize",
    "requantize",
    "step",
    "to_carrier",
    "unit",
    "values",
]

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

PRECISIONS = (1, 2, 4, 8)
CARRIER_MAX = 32767
_MAX_LEVELS = 3


class Grid(Enum):
    """The grid of a tensor: HP3 with HP4 for its 8-bit channels, or HP5."""

    MIDRISE = "midrise"
    UNSIGNED = "unsigned"


# HP11: u(p) / (d * alpha) is one over these.
_UNIT = {
    Grid.UNSIGNED: {1: 1, 2: 6, 4: 120, 8: 16320},
    Grid.MIDRISE: {1: 1, 2: 4, 4: 64, 8: 4096},
}


def check_levels(bits: npt.ArrayLike) -> Int64:
    """HP1 and HP2: give ``bits`` as int64, or refuse it.

    Parameters
    ----------
    bits : array of int
        Precision of each channel.
    """
    array = np.asarray(bits)
    levels = sorted({float(p) for p in array.ravel()})
    if not set(levels) <= set(PRECISIONS):
        raise SysmolError(f"channel precisions {levels} are not all among 1, 2, 4, 8 (HP1)")
    if len(levels) > _MAX_LEVELS:
        raise SysmolError(f"one tensor has {len(levels)} precisions, at most 3 are allowed (HP2)")
    return array.astype(np.int64)


def _check_scale(scale: npt.ArrayLike) -> Float64:
    array = np.asarray(scale, np.float64)
    if not (np.isfinite(array).all() and (array > 0).all()):
        raise SysmolError("a scale is not a finite positive number (HP6)")
    return array


def _symmetric(grid: Grid, bits: Int64) -> npt.NDArray[np.bool_]:
    return np.asarray((bits == 8) & (grid is Grid.MIDRISE), np.bool_)


def code_range(grid: Grid, bits: npt.ArrayLike) -> tuple[Int64, Int64]:
    """Smallest and largest code of each channel (HP3, HP4, HP5)."""
    p = np.asarray(bits, np.int64)
    symmetric = _symmetric(grid, p)
    return np.where(symmetric, -127, 0), np.where(symmetric, 127, 2**p - 1)


def step(grid: Grid, bits: npt.ArrayLike, scale: npt.ArrayLike) -> Float64:
    """Distance of neighbouring values, in double (HP19).

    ``alpha / (2^p - 1)`` unsigned, ``d * 2^(2-p)`` mid-rise, ``d * 2^-6`` at its 8-bit level.
    """
    p, s = np.asarray(bits, np.int64), _check_scale(scale)
    if grid is Grid.UNSIGNED:
        return np.asarray(s / (2.0**p - 1))
    return np.asarray(s * np.exp2(2.0 - p))


def multiplier(grid: Grid, bits: npt.ArrayLike, scale: npt.ArrayLike) -> Float32:
    """What reals are multiplied by before rounding: ``m`` of HP7, HP8 and HP9.

    A scale for which it is 0 or infinite is refused (HP6).
    """
    p, s = np.asarray(bits, np.int64), _check_scale(scale)
    # HP9 is HP8's formula at p = 8.
    m = (2.0**p - 1) / s if grid is Grid.UNSIGNED else np.exp2(p - 2.0) / s
    with np.errstate(over="ignore", under="ignore"):
        m32 = np.asarray(m, np.float32)
    if not (np.isfinite(m32).all() and (m32 > 0).all()):
        raise SysmolError("a scale's multiplier is 0 or infinite in binary32 (HP6)")
    return m32


def _to_codes(y: Float32, grid: Grid, bits: Int64) -> Int64:
    """Round ``y``, counted in steps, to codes; NaN gives 0, infinities saturate (HP10)."""
    low, high = code_range(grid, bits)
    rounded = np.rint(y)
    if grid is Grid.MIDRISE:
        # -0 + 0 is +0, so that floor sees one zero; both rules agree on that anyway.
        midrise = np.floor(y) + np.exp2(bits - 1.0)
        rounded = np.where(bits == 8, rounded, midrise)
    codes = np.clip(np.asarray(rounded, np.float64), low, high)
    return np.asarray(np.where(np.isnan(y), 0, codes), np.int64)


def quantize(x: npt.ArrayLike, grid: Grid, bits: npt.ArrayLike, scale: npt.ArrayLike) -> Int64:
    """Codes of reals (HP7, HP8, HP9, HP10).

    Parameters
    ----------
    x : binary32 array
    bits, scale : array_like
        Precision and ``d`` or ``alpha``, in shapes that broadcast against ``x``.

    Returns
    -------
    ndarray of int64, the shape of ``x``
    """
    p = np.asarray(bits, np.int64)
    values32 = np.asarray(x, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        y = values32 * multiplier(grid, p, scale)
        return _to_codes(np.asarray(y, np.float32), grid, p)


def level_values(codes: npt.ArrayLike, grid: Grid, bits: npt.ArrayLike) -> Int64:
    """The integers that enter code products: ``2k + 1 - 2^p`` mid-rise, else the code itself."""
    k, p = np.asarray(codes, np.int64), np.asarray(bits, np.int64)
    if grid is Grid.UNSIGNED:
        return np.array(np.broadcast_to(k, np.broadcast_shapes(k.shape, p.shape)), np.int64)
    return np.asarray(np.where(p == 8, k, 2 * k + 1 - 2**p), np.int64)


def values(codes: npt.ArrayLike, grid: Grid, bits: npt.ArrayLike, scale: npt.ArrayLike) -> Float64:
    """The reals that codes stand for, in double (HP3, HP4, HP5)."""
    p = np.asarray(bits, np.int64)
    q = level_values(codes, grid, p)
    half = np.where((p != 8) & (grid is Grid.MIDRISE), 0.5, 1.0)
    return np.asarray(q * (half * step(grid, p, scale)))


def counts(activation: Grid, bits: npt.ArrayLike) -> Int64:
    """HP11: ``c(p)``, what one code product of each channel counts in the common accumulator."""
    p = check_levels(bits)
    table = _UNIT[activation]
    finest = table[int(p.max())]
    return np.array([finest // table[int(q)] for q in p.ravel()], np.int64).reshape(p.shape)


def unit(activation: Grid, finest: int) -> int:
    """HP19: ``U``, so that the accumulator's unit is ``(d * alpha) / U``."""
    return _UNIT[activation][finest]


def _affine(acc: Int64, multiplier: Float32, offset: Float32 | None) -> Float32:
    """``fl(fl(f32(acc) * m) + b)``: two roundings, no contraction (HP15, HP18)."""
    with np.errstate(over="ignore"):
        y: Any = acc.astype(np.float32) * multiplier
        if offset is not None:
            y = y + offset
    return np.asarray(y, np.float32)


def requantize(
    acc: Int64, multiplier: Float32, offset: Float32, grid: Grid, bits: npt.ArrayLike
) -> Int64:
    """Accumulators to codes (HP15); arrays broadcast against ``acc``."""
    y = _affine(acc, multiplier, offset)
    return _to_codes(y, grid, np.asarray(bits, np.int64))


def to_carrier(
    acc: Int64, multiplier: Float32, offset: Float32 | None = None, low: int = -CARRIER_MAX
) -> Int64:
    """Accumulators to 16-bit carriers (HP17); ``low`` is 0 behind a ReLU."""
    y = np.rint(_affine(acc, multiplier, offset)).astype(np.float64)
    return np.clip(y, low, CARRIER_MAX).astype(np.int64)


def dequantize(acc: Int64, multiplier: Float32, offset: Float32) -> Float32:
    """Accumulators to reals (HP18)."""
    return _affine(acc, multiplier, offset)
