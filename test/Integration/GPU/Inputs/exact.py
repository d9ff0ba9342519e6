"""Compiles random products for a GPU and runs the kernels in the emulator, bit for bit.

exact.py FOLDER SYSMOL-COMPILE SYSMOL-GPU-EMULATE SEED: every mix of levels, both grids, all
kernels, shapes without round numbers, random options. The result must be that of the law as
`sysmol.grids` states it, computed from the codes that lie in the kernel's buffers, and that of
`sysmol.gpu.problem`, which `sysmol bench --gpu` trusts. One line a product; exit code 1 where one
differs.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sysmol import grids
from sysmol.gpu import emulate, kernel, problem

LEVELS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Case:
    """One product and how its kernel is made."""

    kind: str
    m: int
    n: int
    segments: tuple[tuple[int, int], ...]  # level, channels
    grid: str
    result: str
    target: str
    options: str

    def source(self) -> str:
        """The product as the compiler reads it."""
        bits = ", ".join(f"{level} x {channels}" for level, channels in self.segments)
        k = sum(channels for _, channels in self.segments)
        x, w = f"tensor<{self.m}x{k}xi8, #a>", f"tensor<{self.n}x{k}xi8, #w>"
        acc, real = f"tensor<{self.m}x{self.n}xi32>", f"tensor<{self.m}x{self.n}xf32>"
        lines = [
            f"#a = #hetprec.channels<axis = 1, grid = {self.grid}, scale = 1.0, bits = [{bits}]>",
            f"#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [{bits}]>",
            f"func.func @product(%x: {x}, %w: {w}) -> {acc if self.result == 'i32' else real} {{",
            f"  %acc = hetprec.matmul %x, %w : {x}, {w} -> {acc}",
        ]
        if self.result == "f32":
            lines.append(
                "  %y = hetprec.to_real %acc multiplier = [0.5] offset = [1.0] "
                f": {acc} to {real}\n  return %y : {real}\n}}"
            )
        else:
            lines.append(f"  return %acc : {acc}\n}}")
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        levels = ", ".join(f"{level} x {channels}" for level, channels in self.segments)
        product = f"{self.kind} {self.m}x{self.n} [{levels}] {self.grid} {self.result}"
        return f"{product} {self.target} {self.options}"


def cases(seed: int) -> Iterator[Case]:
    """Every mix on both grids as all kernels; the rest is drawn."""
    draw = random.Random(seed)
    mixes = [mix for size in (1, 2, 3) for mix in combinations(LEVELS, size)]
    for mix in mixes:
        for grid in ("unsigned", "midrise"):
            result = draw.choice(["i32", "f32"])
            for kind in ("gemv", "gemm", "wgmma"):
                # Fewer channels than a step, whole steps and more; odd numbers between them.
                widths = [
                    draw.choice([draw.randint(1, 200), 256, draw.randint(257, 1500)]) for _ in mix
                ]
                m = draw.randint(1, 8) if kind == "gemv" else draw.choice([9, 127, 128, 131])
                n = draw.choice(
                    [1, 16, draw.randint(2, 60)] if kind == "gemv" else [1, 33, 64, 77, 128, 129]
                )
                # Level 4 is other instructions on the older ones.
                target = "sm_90a" if kind == "wgmma" else draw.choice(["sm_80", "sm_89", "sm_90"])
                if kind == "gemv":
                    options = f"warps={draw.randint(4, 9)} unroll={draw.randint(1, 9)}"
                else:
                    options = f"stages={draw.randint(2, 3 if target == 'sm_89' else 5)}"
                    options += " warpgroups=1" if kind == "wgmma" else ""
                segments = tuple(zip(mix, widths, strict=True))
                yield Case(kind, m, n, segments, grid, result, target, options)


def positions(digits: kernel.Digits, extent: int) -> npt.NDArray[np.int64]:
    """What each index adds to a bit's address."""
    index = np.arange(extent)
    total = np.zeros_like(index)
    for size, stride in digits:
        total += index % size * stride
        index //= size
    return total


def codes(
    layout: kernel.Layout, rows: int, channels: int, bits: int, memory: npt.NDArray[np.uint8]
) -> npt.NDArray[np.int64]:
    """The codes [rows, channels] that lie in a buffer."""
    every = np.unpackbits(memory, bitorder="little")
    place = (
        layout.base
        + positions(layout.row, rows)[:, None, None]
        + positions(layout.k, channels)[:, None]
        + positions(layout.b, bits)
    )
    assert len(np.unique(place)) == place.size, "two codes share a bit"
    return (every[place].astype(np.int64) << np.arange(bits)).sum(2)


def values(found: npt.NDArray[np.int64], grid: str, level: int) -> npt.NDArray[np.int64]:
    """Level values of codes as they lie; those of the symmetric level are signed bytes."""
    if level == 8 and grid == "midrise":
        found = found - 256 * (found > 127)
    return grids.level_values(found, grids.Grid(grid), level)


def law(
    described: kernel.Kernel, inputs: dict[str, npt.NDArray[np.uint8]], case: Case
) -> npt.NDArray[Any]:
    """HP11 and HP18 on the codes of the buffers."""
    counts = grids.counts(grids.Grid(case.grid), [level for level, _ in case.segments])
    acc = np.zeros((case.m, case.n), np.int64)
    for segment, (level, channels), count in zip(
        described.operation.segments, case.segments, counts, strict=True
    ):
        x = codes(segment.activations, case.m, channels, level, inputs["activations"])
        w = codes(segment.weights, case.n, channels, level, inputs["weights"])
        acc += count * (values(x, case.grid, level) @ values(w, "midrise", level).T)
    assert np.abs(acc).max() < 2**31
    if case.result == "i32":
        return acc.astype(np.int32)
    real = acc.astype(np.float32) * inputs["multiplier"].view(np.float32)
    return (real + inputs["offset"].view(np.float32)).view(np.int32)


def check(case: Case, stem: Path, compiler: str, seed: int) -> str:
    """Empty, or what is wrong."""
    source, description = stem.with_suffix(".mlir"), stem.with_suffix(".json")
    source.write_text(case.source())
    kind = "gemm" if case.kind == "wgmma" else case.kind
    command = [compiler, str(source), f"--target={case.target}", "-o", str(description)]
    command.append(f"--kernel-options=kernel={kind} {case.options}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.strip()
    described = kernel.read(description)
    drawn = problem.make(described, seed)
    memory, _ = emulate.emulate(described, drawn, schedule_seed=seed)
    inputs = {name: bits.numpy() for name, bits in drawn.inputs.items()}
    wanted = law(described, inputs, case)
    found = problem.view(described, memory).view(torch.int32).numpy()
    wrong = np.argwhere(found != wanted)
    if len(wrong):
        at = tuple(wrong[0])
        return f"{len(wrong)} of {found.size} differ, first {at}: {found[at]}, law {wanted[at]}"
    return problem.compare(described, drawn, memory) or ""


def start() -> tuple[Path, str, int]:
    """Folder, compiler and seed of the command line, the emulator being set."""
    folder, compiler, emulator, seed = Path(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4])
    os.environ["SYSMOL_GPU_EMULATE"] = emulator
    torch.set_num_threads(1)
    return folder, compiler, seed


def said(what: object, reason: str) -> bool:
    """Prints one result; whether it is wrong."""
    print(f"{what}: {reason or 'exact'}", flush=True)
    return bool(reason)


def main() -> int:
    folder, compiler, seed = start()
    wrong = count = 0
    for count, case in enumerate(cases(seed), 1):
        wrong += said(case, check(case, folder / f"product{count}", compiler, seed + count))
    print(f"{count} products, {wrong} wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
