"""Folding in double, HP19 and HP20."""

from __future__ import annotations

import numpy as np
import pytest

from sysmol import SysmolError
from sysmol.fold import SMALLEST_MULTIPLIER, BatchNorm, fold


def norm(scale: list[float], variance: float = 2.0) -> BatchNorm:
    size = len(scale)
    ones = np.ones(size)
    return BatchNorm(np.array(scale), 0.25 * ones, -0.5 * ones, variance * ones, 1e-5)


def test_plain() -> None:
    m, b = fold(np.array([0.3, 0.6]), np.array([0.1, 0.7]), np.array([1.0, -2.0]), None)
    assert m.dtype == b.dtype == np.float32
    assert m.tolist() == [np.float32(0.3 / 0.1), np.float32(0.6 / 0.7)]
    assert b.tolist() == [np.float32(1 / 0.1), np.float32(-2 / 0.7)]


def test_batch_norm_in_the_stated_order() -> None:
    unit, step, bias = np.array([0.017, 0.3]), np.array([0.11, 0.013]), np.array([0.4, -0.7])
    m, b = fold(unit, step, bias, norm([1.7, -0.9]))
    for i, g in enumerate((1.7, -0.9)):
        s = g / np.sqrt(2.0 + 1e-5)
        offset = 0.25 + (bias[i] - -0.5) * s
        assert m[i] == np.float32((unit[i] * s) / step[i])
        assert b[i] == np.float32(offset / step[i])


def test_dead_channel_and_underflow_get_the_smallest_multiplier() -> None:
    m, b = fold(np.ones(3), np.ones(3), np.zeros(3), norm([0.0, 1e-60, 1.0]))
    assert m[0] == m[1] == SMALLEST_MULTIPLIER == np.float32(2.0**-126)
    assert m[2] != SMALLEST_MULTIPLIER and b[0] == np.float32(0.25)


def test_not_finite_is_refused() -> None:
    with pytest.raises(SysmolError, match="HP15"):
        fold(np.ones(1), np.full(1, 1e-200), np.ones(1), None)
