"""Fold scales, bias and batch norm into one multiplier and one offset (HP19, HP20).

Everything is computed in double, in the order that the law states, then rounded once to binary32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sysmol.errors import SysmolError
from sysmol.grids import Float32, Float64

__all__ = ["SMALLEST_MULTIPLIER", "BatchNorm", "fold"]

SMALLEST_MULTIPLIER = np.float32(2.0**-126)
"""HP20: stands for a multiplier that is, or underflows to, zero."""


@dataclass(frozen=True)
class BatchNorm:
    """A batch norm of C channels in evaluation, all in double.

    Attributes
    ----------
    scale, shift, mean, variance : ndarray of float64, [C]
        ``g``, ``beta``, ``mean`` and ``var`` of HP19.
    epsilon : float
    """

    scale: Float64
    shift: Float64
    mean: Float64
    variance: Float64
    epsilon: float


def fold(
    unit: Float64, step: Float64, bias: Float64, norm: BatchNorm | None
) -> tuple[Float32, Float32]:
    """Multiplier and offset of each output channel.

    Parameters
    ----------
    unit : ndarray of float64, [C] or scalar
        What one count of the accumulator is worth.
    step : ndarray of float64, [C] or scalar
        The step of the grid that follows; 1 for a real output.
    bias : ndarray of float64, [C] or scalar
        Of the operation before batch norm, 0 without one.
    norm : BatchNorm, optional

    Returns
    -------
    m, b : ndarray of float32, [C] or scalar
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        if norm is None:
            m = (unit / step).astype(np.float32) + np.zeros_like(bias, np.float32)
            b = (bias / step).astype(np.float32) + np.zeros_like(m)
        else:
            s = norm.scale / np.sqrt(norm.variance + norm.epsilon)
            o = norm.shift + (bias - norm.mean) * s
            m = ((unit * s) / step).astype(np.float32)
            b = (o / step).astype(np.float32) + np.zeros_like(m)
    if not (np.isfinite(m).all() and np.isfinite(b).all()):
        raise SysmolError("folding gives a multiplier or offset that is not finite (HP15)")
    return np.where(m == 0, SMALLEST_MULTIPLIER, m), b
