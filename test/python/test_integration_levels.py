"""Every assignment of 1, 2, 4, 8 bits to six input channels, through the whole compiler.

With at most three levels it computes exactly; with four it is refused, and the message says so.

What is run of 2536 assignments x {convolution, matrix product} x {unsigned, mid-rise} x {lowering
of the best target, generic lowering}: every assignment by both lowerings (as an unsigned
convolution by the best, as a mid-rise product by the generic one); of the other combinations one
program in SHARE, the best and the generic lowering by turns, and one in ALL_TARGETS_EVERY on all
targets. SYSMOL_TEST_ALL=1 runs all of it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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

import sysmol
from sysmol.grids import Grid

pytestmark = needs_native

CHANNELS = 6
EVERY = list(itertools.product((1, 2, 4, 8), repeat=CHANNELS))
ALLOWED = [bits for bits in EVERY if len(set(bits)) <= 3]
REFUSED = [bits for bits in EVERY if len(set(bits)) == 4]
CALLS = 4
GROUP = 8
"""Assignments in one program."""
ALL = bool(os.environ.get("SYSMOL_TEST_ALL"))
SHARE = 1 if ALL else 4
"""Of the combinations that are sampled each so-many-th program."""
ALL_TARGETS_EVERY = 1 if ALL else 32
"""Each so-many-th program runs on every target, the others on one."""

Case = tuple[Program, list[np.ndarray], list[np.ndarray]]


def test_the_assignments_are_all_there() -> None:
    assert len(EVERY) == 4096 and len(ALLOWED) == 2536 and len(REFUSED) == 1560


def convolution(group: list[tuple[int, ...]], grid: Grid, seed: int) -> Case:
    """One real image, quantized and convolved in as many ways; 2x2 taps, padded."""
    rng = np.random.default_rng(seed)
    program = Program()
    image = program.argument("tensor<1x6x3x3xf32>")
    # Beyond the grid on both sides; two images far beyond.
    x = rng.uniform(-0.2 if grid is Grid.UNSIGNED else -4.5, 4.5, (CALLS, CHANNELS, 3, 3))
    x[0], x[1] = 99, -99
    x = x.astype(np.float32)
    wanted = []
    for bits in group:
        a = program.attribute(channels(grid, bits, 2.0))
        w = program.attribute(channels(Grid.MIDRISE, bits))
        codes = weight_codes(bits, (3, CHANNELS, 2, 2), rng)
        q = program.op(f"hetprec.quantize {image} : tensor<1x6x3x3xf32> to tensor<1x6x3x3xi8, {a}>")
        k = program.op(f"arith.constant {dense(codes)} : tensor<3x6x2x2xi8, {w}>")
        y = program.op(
            f"hetprec.conv_2d {q}, {k} pads = [1, 1, 1, 1] : "
            f"tensor<1x6x3x3xi8, {a}>, tensor<3x6x2x2xi8, {w}> -> tensor<1x3x4x4xi32>"
        )
        program.result(y, "tensor<1x3x4x4xi32>")
        levels = products(grid, bits, quantized(x, grid, bits, 2.0))
        wanted.append(conv(levels, weight_levels(bits, codes), pads=1))
    return program, [x], wanted


def matrix_product(group: list[tuple[int, ...]], grid: Grid, seed: int) -> Case:
    """As many products, each with codes of its own."""
    rng = np.random.default_rng(seed)
    program = Program()
    inputs, wanted = [], []
    for bits in group:
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
    return program, inputs, wanted


@pytest.mark.parametrize(
    ("case", "grid", "share", "lowering"),
    [
        (convolution, Grid.UNSIGNED, 1, "best"),
        (matrix_product, Grid.MIDRISE, 1, "generic"),
        (convolution, Grid.MIDRISE, SHARE, "by turns"),
        (matrix_product, Grid.UNSIGNED, SHARE, "by turns"),
    ],
)
def test_every_assignment_is_exact(
    case: Callable[[list[tuple[int, ...]], Grid, int], Case],
    grid: Grid,
    share: int,
    lowering: str,
    tmp_path: Path,
    small_bundle: Path,
) -> None:
    best = sysmol.load(small_bundle).target
    known = sysmol.targets()
    runnable = known[known.index(best) :]

    def check(start: int) -> list[str]:
        group = ALLOWED[start : start + GROUP]
        turn = start // (GROUP * share)
        generic = lowering == "generic" or (lowering == "by turns" and turn % 2)
        targets = [runnable[-1] if generic else best] if turn % ALL_TARGETS_EVERY else runnable
        program, inputs, wanted = case(group, grid, start)
        source, bundle = tmp_path / f"{start}.mlir", tmp_path / f"{start}.smol"
        source.write_text(program.text())
        sysmol.compile(source, bundle, targets=targets, golden_pairs=0)
        wrong = []
        for target in targets:
            outputs = sysmol.load(bundle, target).run_batch(*inputs)
            for bits, got, expected in zip(group, outputs, wanted, strict=True):
                if got.dtype != np.int32 or (got != expected).any():
                    wrong.append(f"{bits} on {target}")
        bundle.unlink()
        return wrong

    starts = range(0, len(ALLOWED), GROUP * share)
    # Compiling and running release the GIL.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        wrong = [text for found in pool.map(check, starts) for text in found]
    assert not wrong


@pytest.mark.parametrize(
    ("case", "grid"), [(convolution, Grid.UNSIGNED), (matrix_product, Grid.MIDRISE)]
)
def test_four_levels_are_refused_by_a_message_that_says_so(
    case: Callable[[list[tuple[int, ...]], Grid, int], Case], grid: Grid, tmp_path: Path
) -> None:
    source, bundle = tmp_path / "four.mlir", tmp_path / "four.smol"
    for bits in REFUSED:
        source.write_text(case([bits], grid, 0)[0].text())
        with pytest.raises(sysmol.InputRefused, match=r"HP2.*four.*at most three") as caught:
            sysmol.compile(source, bundle)
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [source]
