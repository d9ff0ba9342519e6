"""Shared by the tests of compiled code: small .mlir programs and what they must compute.

The expectation is written with NumPy and Python integers, from the rules of Spec.md; nothing of
the compiler or of the C++ reference is used.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import sysmol
from sysmol.grids import Grid, code_range, level_values, quantize

UNIT = {
    Grid.UNSIGNED: {1: 1, 2: 6, 4: 120, 8: 16320},
    Grid.MIDRISE: {1: 1, 2: 4, 4: 64, 8: 4096},
}

needs_native = pytest.mark.skipif(
    not importlib.util.find_spec("sysmol._sysmol_compiler"),
    reason="the native modules are not built (tools/dev/build)",
)


def targets_here(names: Iterable[str]) -> list[str]:
    """Those whose code this CPU can run, in their order."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    flags = set(next(line for line in cpuinfo.splitlines() if line.startswith("flags")).split())
    needed = {"x86-64-avx512": "avx512_vnni", "x86-64-avx2": "avx2"}
    return [name for name in names if {needed.get(name, "fpu")} <= flags]


def factors(grid: Grid, bits: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """c(p) of each channel (HP11)."""
    finest = UNIT[grid][max(bits)]
    return np.array([finest // UNIT[grid][p] for p in bits])


def channels(grid: Grid, bits: tuple[int, ...], scale: float = 1.0) -> str:
    return f"#hetprec.channels<axis = 1, grid = {grid.value}, scale = {scale}, bits = {list(bits)}>"


def dense(codes: npt.NDArray[np.int64]) -> str:
    return f"dense<{codes.tolist()}>"


@dataclass
class Program:
    """A function of independent dot products, one result each."""

    batch: int = 1
    attributes: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def attribute(self, text: str) -> str:
        name = f"#c{len(self.attributes)}"
        self.attributes.append(f"{name} = {text}")
        return name

    def argument(self, kind: str) -> str:
        name = f"%x{len(self.arguments)}"
        self.arguments.append(f"{name}: {kind}")
        return name

    def op(self, text: str) -> str:
        name = f"%v{len(self.lines)}"
        self.lines.append(f"  {name} = {text}")
        return name

    def result(self, name: str, kind: str) -> None:
        self.results.append(f"{name}|{kind}")

    def text(self) -> str:
        names, kinds = zip(*(result.split("|") for result in self.results), strict=True)
        return "\n".join(
            [
                *self.attributes,
                f"func.func @main({', '.join(self.arguments)}) -> ({', '.join(kinds)}) {{",
                *self.lines,
                f"  return {', '.join(names)} : {', '.join(kinds)}",
                "}",
                "",
            ]
        )


def weight_codes(
    bits: tuple[int, ...], shape: tuple[int, ...], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Random codes [Cout, Cin, ...] on the weights' grid."""
    p = np.array(bits).reshape(1, -1, *([1] * (len(shape) - 2)))
    low, high = code_range(Grid.MIDRISE, p)
    return np.asarray(rng.integers(low, high + 1, shape))


def input_codes(
    grid: Grid, bits: tuple[int, ...], shape: tuple[int, ...], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Random codes [N, C, ...]; the first two images hold the largest and the smallest ones."""
    p = np.array(bits).reshape(1, -1, *([1] * (len(shape) - 2)))
    low, high = code_range(grid, p)
    codes = np.asarray(rng.integers(low, high + 1, shape))
    codes[0] = np.broadcast_to(high[0], shape[1:])
    codes[1 % shape[0]] = np.broadcast_to(low[0], shape[1:])
    return codes


def products(
    grid: Grid, bits: tuple[int, ...], codes: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Level values of the input times c(p)."""
    shape = (1, -1, *([1] * (codes.ndim - 2)))
    q = level_values(codes, grid, np.array(bits).reshape(shape))
    return np.asarray(q * factors(grid, bits).reshape(shape))


def weight_levels(bits: tuple[int, ...], codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    p = np.array(bits).reshape(1, -1, *([1] * (codes.ndim - 2)))
    return level_values(codes, Grid.MIDRISE, p)


def conv(
    x: npt.NDArray[np.int64],
    w: npt.NDArray[np.int64],
    pads: int = 0,
    stride: int = 1,
) -> npt.NDArray[np.int64]:
    """Integer convolution; taps outside the image are absent (HP13), which zeros are here."""
    x = np.pad(x, ((0, 0), (0, 0), (pads, pads), (pads, pads)))
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], (2, 3))
    return np.einsum("nchwij,ocij->nohw", windows[:, :, ::stride, ::stride], w)


def quantized(x: npt.NDArray[np.float32], grid: Grid, bits: tuple[int, ...], scale: float):
    p = np.array(bits).reshape(1, -1, *([1] * (x.ndim - 2)))
    return quantize(x, grid, p, scale)


def python(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Another Python process with this package."""
    path = str(Path(sysmol.__file__).resolve().parents[1])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def command(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """``sysmol`` with these arguments, as a process of its own."""
    return python("-m", "sysmol.cli", *map(str, arguments), cwd=cwd)


def assert_one_line(done: subprocess.CompletedProcess[str], status: int) -> str:
    """The exit status, nothing on standard output, one line on standard error: gives it."""
    assert done.returncode == status, done.stderr
    assert done.stdout == "" and done.stderr.endswith("\n") and done.stderr.count("\n") == 1
    assert done.stderr.startswith("sysmol: error: ") and "Traceback" not in done.stderr
    return done.stderr
