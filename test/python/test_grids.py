"""The grids and roundings of the law, HP3 to HP10, HP15 to HP18."""

from __future__ import annotations

import numpy as np
import pytest

from sysmol import SysmolError
from sysmol.grids import (
    Grid,
    check_levels,
    code_range,
    counts,
    dequantize,
    level_values,
    quantize,
    requantize,
    step,
    to_carrier,
    unit,
    values,
)

CELLS = [(grid, p) for grid in Grid for p in (1, 2, 4, 8)]


def test_midrise_values_are_those_of_the_method() -> None:
    expected = {
        1: [-1, 1],
        2: [-1.5, -0.5, 0.5, 1.5],
        4: [(2 * k + 1 - 16) / 8 for k in range(16)],
    }
    for p, wanted in expected.items():
        assert values(np.arange(2**p), Grid.MIDRISE, p, 1.0).tolist() == wanted
    assert values(np.array([-127, 0, 64]), Grid.MIDRISE, 8, 2.0).tolist() == [-127 / 32, 0, 2]


def test_unsigned_values_end_at_alpha() -> None:
    for p in (1, 2, 4, 8):
        grid = values(np.arange(2**p), Grid.UNSIGNED, p, 3.0)
        assert grid[0] == 0 and grid[-1] == 3.0
        np.testing.assert_allclose(np.diff(grid), 3 / (2**p - 1), rtol=1e-12)


@pytest.mark.parametrize(("grid", "p"), CELLS)
def test_every_value_finds_its_code(grid: Grid, p: int) -> None:
    low, high = code_range(grid, p)
    codes = np.arange(low, high + 1)
    for scale in (1.0, 0.037, 19.25):
        reals = values(codes, grid, p, scale).astype(np.float32)
        assert quantize(reals, grid, p, scale).tolist() == codes.tolist()


@pytest.mark.parametrize(("grid", "p"), CELLS)
def test_nan_infinity_and_negative_zero(grid: Grid, p: int) -> None:
    low, high = code_range(grid, p)
    x = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38], np.float32)
    assert quantize(x, grid, p, 1e-3).tolist() == [0, high, low, high, low]
    zeros = quantize(np.array([0.0, -0.0], np.float32), grid, p, 1.0)
    assert zeros[0] == zeros[1] == (2 ** (p - 1) if grid is Grid.MIDRISE and p < 8 else 0)


@pytest.mark.parametrize("p", [1, 2, 4])
def test_midrise_is_qonnx_half_up(p: int) -> None:
    """HP21: what an executor of QONNX makes of the node that we export."""
    d = 0.75  # steps and inputs exact in binary32
    s, zero = d * 2.0 ** (2 - p), 2.0 ** (p - 1) - 0.5
    x = np.arange(-40, 41) * (s / 4)
    clamped = np.clip(x / s + zero, 0, 2**p - 1)
    half_up = np.floor(clamped + 0.5)
    assert quantize(x.astype(np.float32), Grid.MIDRISE, p, d).tolist() == half_up.tolist()
    # ROUND differs, on boundaries alone.
    differing = np.round(clamped) != half_up
    assert differing.any() and (np.round(x / s) == x / s)[differing].all()


def test_ties() -> None:
    # HP7: to even. Steps of 1: alpha = 15 at 4 bits.
    x = np.array([0.5, 1.5, 2.5, 13.5, 14.5], np.float32)
    assert quantize(x, Grid.UNSIGNED, 4, 15.0).tolist() == [0, 2, 2, 14, 14]
    # HP8: a boundary takes the upper code. Steps of 1: d = 1 at 2 bits.
    assert quantize(np.array([-1, 0, 1], np.float32), Grid.MIDRISE, 2, 1.0).tolist() == [1, 2, 3]
    # HP9: to even, both signs. Steps of 1: d = 64.
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5], np.float32)
    assert quantize(x, Grid.MIDRISE, 8, 64.0).tolist() == [-2, -2, 0, 0, 2]


def test_multiplier_is_rounded_before_the_product() -> None:
    # fl(x * f32(m)) differs from fl(x * m): find such a case and see which one is used.
    scale, x = 0.7, np.linspace(0, 0.7, 20_000, dtype=np.float32)
    m = np.float32(15 / scale)
    codes = quantize(x, Grid.UNSIGNED, 4, scale)
    assert (codes == np.clip(np.rint(x * m), 0, 15)).all()


def test_mixed_channels_are_quantized_each_on_its_own_grid() -> None:
    bits = np.array([1, 4, 8])
    x = np.array([[0.3, 0.3, 0.3], [-0.3, -0.3, -0.3]], np.float32)
    for grid in Grid:
        mixed = quantize(x, grid, bits, 1.0)
        alone = np.stack([quantize(x[:, i], grid, int(p), 1.0) for i, p in enumerate(bits)], 1)
        assert (mixed == alone).all()


def test_code_products_count_in_the_finest_unit() -> None:
    assert counts(Grid.UNSIGNED, [1, 2, 4]).tolist() == [120, 20, 1]
    assert counts(Grid.UNSIGNED, [1, 2]).tolist() == [6, 1]
    assert counts(Grid.UNSIGNED, [1, 4, 8]).tolist() == [16320, 136, 1]
    assert counts(Grid.MIDRISE, [2, 4, 8]).tolist() == [1024, 64, 1]


@pytest.mark.parametrize("grid", list(Grid))
def test_a_count_is_worth_the_product_of_the_values(grid: Grid) -> None:
    for p in (1, 2, 4, 8):
        w = values(np.array([1]), Grid.MIDRISE, p, 1.0) / level_values([1], Grid.MIDRISE, p)
        a = values(np.array([1]), grid, p, 1.0) / level_values([1], grid, p)
        np.testing.assert_allclose(w * a, 1 / unit(grid, p), rtol=1e-15)


def test_requantization_multiplies_and_adds_with_two_roundings() -> None:
    rng = np.random.default_rng(1)
    acc = rng.integers(-(2**31) + 1, 2**31, 100_000)
    m, b = np.float32(3.1e-8), np.float32(1.37)
    expected = np.rint((acc.astype(np.float32) * m).astype(np.float32) + b)
    got = requantize(acc, m, b, Grid.UNSIGNED, 8)
    assert (got == np.clip(expected, 0, 255)).all()
    fused = np.rint(acc.astype(np.float64) * np.float64(m) + np.float64(b))
    assert (got <= np.clip(fused, 0, 255) + 1).all()
    assert dequantize(acc, m, b).dtype == np.float32


def test_carrier_saturates_symmetrically() -> None:
    acc = np.array([-(2**30), -3, -1, 1, 3, 2**30])
    assert to_carrier(acc, np.float32(0.5)).tolist() == [-32767, -2, 0, 0, 2, 32767]
    moved = to_carrier(acc, np.float32(0.5), np.float32(-1), low=0)
    assert moved.tolist() == [0, 0, 0, 0, 0, 32767]


def test_levels_are_checked() -> None:
    assert check_levels([1, 2, 4, 4]).tolist() == [1, 2, 4, 4]
    with pytest.raises(SysmolError, match="HP1"):
        check_levels([3])
    with pytest.raises(SysmolError, match="HP1"):
        check_levels([float("nan")])
    with pytest.raises(SysmolError, match="HP2"):
        check_levels([1, 2, 4, 8])
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(SysmolError, match="HP6"):
            step(Grid.UNSIGNED, 4, bad)
    for bad in (1e-40, 1e50):  # the multiplier would be infinite, or 0
        with pytest.raises(SysmolError, match="HP6"):
            quantize(np.ones(1, np.float32), Grid.UNSIGNED, 4, bad)
