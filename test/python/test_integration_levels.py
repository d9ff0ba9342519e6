"""Every assignment of 1, 2, 4, 8 bits to six input channels, through the whole compiler.

With at most three levels it computes exactly; with four it is refused, and the message says so.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from native import (
    Program,
    channels,
    conv,
    dense,
    input_codes,
    needs_native,
    products,
    quantized,
    weight_codes,
    weight_levels,
)

from sysmol.grids import Grid

pytestmark = needs_native

CHANNELS = 6
EVERY = list(itertools.product((1, 2, 4, 8), repeat=CHANNELS))
ALLOWED = [bits for bits in EVERY if len(set(bits)) <= 3]
REFUSED = [bits for bits in EVERY if len(set(bits)) == 4]
CALLS = 4


def test_the_assignments_are_all_there() -> None:
    assert len(ALLOWED) == 2536 and len(REFUSED) == 1560


def groups(size: int) -> list[list[tuple[int, ...]]]:
    return [ALLOWED[i : i + size] for i in range(0, len(ALLOWED), size)]


def check(program: Program, inputs: list[np.ndarray], wanted: list[np.ndarray], path: Path) -> None:
    """Compile, run on every target, compare every integer."""
    import sysmol
    from sysmol.runtime import inspect

    source, bundle = path / "levels.mlir", path / "levels.smol"
    source.write_text(program.text())
    sysmol.compile(source, bundle, golden_pairs=0)
    for target in inspect(bundle).targets:
        outputs = sysmol.load(bundle, target).run_batch(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        for index, (got, expected) in enumerate(zip(outputs, wanted, strict=True)):
            assert got.dtype == np.int32
            assert (got == expected).all(), f"{target}, result {index}"


@pytest.mark.parametrize("grid", list(Grid))
@pytest.mark.parametrize("part", range(len(groups(60))))
def test_convolution_is_exact(part: int, grid: Grid, tmp_path: Path) -> None:
    rng = np.random.default_rng(part)
    program = Program()
    image = program.argument("tensor<1x6x5x5xf32>")
    # Beyond the grid on both sides; two images far beyond.
    x = rng.uniform(-0.2 if grid is Grid.UNSIGNED else -2.5, 2.5, (CALLS, CHANNELS, 5, 5))
    x[0], x[1] = 9, -9
    x = x.astype(np.float32)
    wanted = []
    for bits in groups(60)[part]:
        a = program.attribute(channels(grid, bits, 2.0))
        w = program.attribute(channels(Grid.MIDRISE, bits))
        codes = weight_codes(bits, (3, CHANNELS, 3, 3), rng)
        q = program.op(f"hetprec.quantize {image} : tensor<1x6x5x5xf32> to tensor<1x6x5x5xi8, {a}>")
        k = program.op(f"arith.constant {dense(codes)} : tensor<3x6x3x3xi8, {w}>")
        y = program.op(
            f"hetprec.conv_2d {q}, {k} strides = [2, 2] pads = [1, 1, 1, 1] : "
            f"tensor<1x6x5x5xi8, {a}>, tensor<3x6x3x3xi8, {w}> -> tensor<1x3x3x3xi32>"
        )
        program.result(y, "tensor<1x3x3x3xi32>")
        levels = products(grid, bits, quantized(x, grid, bits, 2.0))
        wanted.append(conv(levels, weight_levels(bits, codes), pads=1, stride=2))
    check(program, [x], wanted, tmp_path)


@pytest.mark.parametrize("grid", list(Grid))
@pytest.mark.parametrize("part", range(len(groups(60))))
def test_matrix_product_is_exact(part: int, grid: Grid, tmp_path: Path) -> None:
    rng = np.random.default_rng(1000 + part)
    program = Program()
    inputs, wanted = [], []
    for bits in groups(60)[part]:
        a = program.attribute(channels(grid, bits))
        w = program.attribute(channels(Grid.MIDRISE, bits))
        x = input_codes(grid, bits, (CALLS, CHANNELS), rng)
        codes = weight_codes(bits, (5, CHANNELS), rng)
        q = program.argument(f"tensor<1x6xi8, {a}>")
        k = program.op(f"arith.constant {dense(codes)} : tensor<5x6xi8, {w}>")
        y = program.op(
            f"hetprec.matmul {q}, {k} : tensor<1x6xi8, {a}>, tensor<5x6xi8, {w}> -> tensor<1x5xi32>"
        )
        program.result(y, "tensor<1x5xi32>")
        # An unsigned code of 8 bits is an i8 in the IR.
        inputs.append(x.astype(np.uint8).view(np.int8))
        wanted.append(products(grid, bits, x) @ weight_levels(bits, codes).T)
    check(program, inputs, wanted, tmp_path)


@pytest.mark.parametrize("grid", list(Grid))
def test_four_levels_are_refused_by_a_message_that_says_so(grid: Grid, tmp_path: Path) -> None:
    import sysmol

    source, bundle = tmp_path / "four.mlir", tmp_path / "four.smol"
    for bits in REFUSED:
        program = Program()
        a = program.attribute(channels(grid, bits))
        x = program.argument(f"tensor<1x6xi8, {a}>")
        program.result(x, f"tensor<1x6xi8, {a}>")
        source.write_text(program.text())
        with pytest.raises(sysmol.InputRefused, match=r"at most (3|three)") as caught:
            sysmol.compile(source, bundle)
        assert "4" in str(caught.value) or "four" in str(caught.value)
    assert list(tmp_path.iterdir()) == [source]
