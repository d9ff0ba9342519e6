"""Compiles random convolutions for a GPU and runs the kernels in the emulator, bit for bit.

exact_conv.py FOLDER SYSMOL-COMPILE SYSMOL-GPU-EMULATE SEED: every mix of levels; windows, strides,
pads and dilations of all kinds; accumulators, numbers and packed codes on both grids. The result
must be that of the law (HP11, HP13, HP15, HP18), computed from the codes that lie in the kernel's
buffers, and that of `sysmol.gpu.problem`. Codes that one kernel writes are the next one's
activations as they lie. One line a convolution; exit code 1 where one differs.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
import torch
from exact import LEVELS, codes, positions, said, start, values

from sysmol import grids
from sysmol.gpu import emulate, kernel, problem

Segments = tuple[tuple[int, int], ...]  # level, channels


def encoding(segments: Segments, grid: str) -> str:
    bits = ", ".join(f"{level} x {channels}" for level, channels in segments)
    return f"#hetprec.channels<axis = 1, grid = {grid}, scale = 1.0, bits = [{bits}]>"


def count(segments: Segments) -> int:
    return sum(channels for _, channels in segments)


@dataclass(frozen=True)
class Conv:
    """One convolution and how its kernel is made."""

    image: tuple[int, int, int]  # images, height, width
    segments: Segments
    grid: str
    outputs: Segments
    result: str  # i32, f32, or the grid of codes
    taps: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (1, 1, 1, 1)
    dilations: tuple[int, int] = (1, 1)
    options: str = ""

    @property
    def out(self) -> tuple[int, int]:
        return tuple(
            (self.image[1 + i] + self.pads[i] + self.pads[2 + i] - (taps - 1) * dilation - 1)
            // stride
            + 1
            for i, (taps, stride, dilation) in enumerate(
                zip(self.taps, self.strides, self.dilations, strict=True)
            )
        )

    def source(self) -> str:
        """The convolution as the compiler reads it."""
        (n, h, w), c, o = self.image, count(self.segments), count(self.outputs)
        x, f = f"tensor<{n}x{c}x{h}x{w}xi8, #a>", f"tensor<{o}x{c}x{'x'.join(map(str, self.taps))}"
        f += "xi8, #w>"
        shape = f"tensor<{n}x{o}x{'x'.join(map(str, self.out))}x"
        to = {"i32": "i32>", "f32": "f32>"}.get(self.result, "i8, #o>")
        lines = [
            f"#a = {encoding(self.segments, self.grid)}",
            f"#w = {encoding(self.segments, 'midrise')}",
        ]
        if to == "i8, #o>":
            lines.append(f"#o = {encoding(self.outputs, self.result)}")
        lines += [
            f"func.func @product(%x: {x}, %w: {f}) -> {shape}{to} {{",
            f"  %acc = hetprec.conv_2d %x, %w strides = {list(self.strides)} "
            f"pads = {list(self.pads)} dilations = {list(self.dilations)} "
            f": {x}, {f} -> {shape}i32>",
        ]
        last = "%acc"
        if self.result != "i32":
            op = "to_real" if self.result == "f32" else "requantize"
            lines.append(
                f"  %y = hetprec.{op} %acc multiplier = [0.5] offset = [1.0] "
                f": {shape}i32> to {shape}{to}"
            )
            last = "%y"
        return "\n".join([*lines, f"  return {last} : {shape}{to}", "}", ""])

    def __str__(self) -> str:
        (n, h, w), (kh, kw) = self.image, self.taps
        bits = ", ".join(f"{level} x {channels}" for level, channels in self.segments)
        return (
            f"{n}x{h}x{w} [{bits}] {self.grid} {kh}x{kw} strides {self.strides} pads {self.pads} "
            f"dilations {self.dilations} to {self.outputs} {self.result} {self.options}"
        )


def parts(draw: random.Random, levels: tuple[int, ...], most: int) -> Segments:
    return tuple((level, draw.choice([draw.randint(1, most), 32, 64])) for level in levels)


def cases(seed: int) -> Iterator[Conv]:
    """Every mix with every kind of result, and by warpgroups; the rest is drawn."""
    draw = random.Random(seed)
    mixes = [mix for size in (1, 2, 3) for mix in combinations(LEVELS, size)]
    results = ["i32", "f32", "unsigned", "midrise"]
    for i, mix in enumerate(mixes):
        for kind, result in enumerate((results[i % 4], results[(i + 2) % 4], results[(i + 1) % 4])):
            grid = draw.choice(["unsigned", "unsigned", "midrise"])
            taps = draw.choice([(3, 3), (1, 1), (5, 2), (7, 7)])
            padded = grid == "unsigned" or mix == (8,)
            pads = tuple(draw.randint(0, 3) for _ in range(4)) if padded else (0,) * 4
            if taps in ((7, 7), (5, 2)):
                most, size = 20, 9
            else:
                most, size = 150, 6
            yield Conv(
                (draw.randint(1, 3), draw.randint(size, 12), draw.randint(size, 12)),
                parts(draw, mix, most),
                grid,
                parts(draw, draw.choice(mixes), 130),
                result,
                taps,
                (draw.randint(1, 3), draw.randint(1, 3)),
                pads,
                (1, 1) if taps == (7, 7) else (draw.randint(1, 2), draw.randint(1, 2)),
                f"stages={draw.randint(2, 5)}" + (" warpgroups=1" if kind == 2 else ""),
            )


def law(
    described: kernel.Kernel, inputs: dict[str, npt.NDArray[np.uint8]], conv: Conv
) -> npt.NDArray[Any]:
    """HP11, HP13, HP15 and HP18 on the codes of the buffers: [pixels, channels]."""
    n, height, width = conv.image
    (kh, kw), (sy, sx), (dy, dx) = conv.taps, conv.strides, conv.dilations
    oh, ow = conv.out
    operation = described.operation
    counts = grids.counts(grids.Grid(conv.grid), [level for level, _ in conv.segments])
    acc = np.zeros((n, oh, ow, operation.n), np.int64)
    for segment, (level, channels), times in zip(
        operation.segments, conv.segments, counts, strict=True
    ):
        places = np.array(segment.places)
        pixels = n * height * width
        x = codes(segment.activations, pixels, places.max() + 1, level, inputs["activations"])
        image = np.pad(
            values(x[:, places], conv.grid, level).reshape(n, height, width, channels),
            ((0, 0), (conv.pads[0], conv.pads[2]), (conv.pads[1], conv.pads[3]), (0, 0)),
        )  # absent taps are zeros (HP13)
        every = np.unpackbits(inputs["weights"], bitorder="little")
        for tap in range(kh * kw):
            k = positions(segment.weights.k, tap * segment.tap_channels + places.max() + 1)
            place = (
                segment.weights.base
                + positions(segment.weights.row, operation.n)[:, None, None]
                + k[tap * segment.tap_channels :][places][:, None]
                + positions(segment.weights.b, level)
            )
            w = (every[place].astype(np.int64) << np.arange(level)).sum(2)
            top, left = tap // kw * dy, tap % kw * dx
            part = image[:, top:, left:][:, ::sy, ::sx][:, :oh, :ow]
            acc += times * (part @ values(w, "midrise", level).T)
    assert np.abs(acc).max() < 2**31
    acc = acc.reshape(-1, operation.n)
    if conv.result == "i32":
        return acc.astype(np.int32)
    table = {
        name: inputs[name].view(np.float32)[: operation.n] for name in ("multiplier", "offset")
    }
    real = acc.astype(np.float32) * table["multiplier"] + table["offset"]
    if conv.result == "f32":
        return real.view(np.int32)
    bits = np.repeat([level for level, _ in conv.outputs], [size for _, size in conv.outputs])
    if conv.result == "unsigned":
        return np.clip(np.rint(real), 0, 2**bits - 1).astype(np.uint8)
    lower = np.clip(np.floor(real) + 2 ** (bits - 1), 0, 2**bits - 1)
    return (
        np.where(bits == 8, np.clip(np.rint(real), -127, 127), lower).astype(np.int8).view(np.uint8)
    )


def compiled(conv: Conv, stem: Path, compiler: str) -> kernel.Kernel:
    source, description = stem.with_suffix(".mlir"), stem.with_suffix(".json")
    source.write_text(conv.source())
    # Some where nibbles have instructions of their own, and blocks less shared memory.
    is_newer = "stages=5" in conv.options or crc32(str(conv).encode()) % 2
    target = "sm_90" if is_newer else "sm_80"
    if "warpgroups" in conv.options:
        target = "sm_90a"
    command = [compiler, str(source), f"--target={target}", "-o", str(description)]
    command.append(f"--kernel-options={conv.options}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    described = kernel.read(description)
    # Of few rows a warpgroup's MMA would multiply mostly nothing.
    by_group = "warpgroups" in conv.options and count(conv.outputs) > 32
    assert described.operation.strategy == ("conv_warpgroup" if by_group else "conv")
    return described


def difference(
    conv: Conv, described: kernel.Kernel, inputs: dict[str, torch.Tensor], memory: torch.Tensor
) -> str:
    """Empty, or what is not by the law."""
    wanted = law(described, {name: bits.numpy() for name, bits in inputs.items()}, conv)
    found = problem.view(described, memory)
    if conv.result == "f32":
        found = found.view(torch.int32)
    wrong = np.argwhere(found.numpy() != wanted)
    if not len(wrong):
        return ""
    at = tuple(wrong[0])
    return f"{len(wrong)} of {found.numel()} differ, first {at}: {found[at]}, law {wanted[at]}"


def check(conv: Conv, stem: Path, compiler: str, seed: int) -> str:
    """Empty, or what is wrong."""
    try:
        described = compiled(conv, stem, compiler)
    except RuntimeError as error:
        return str(error)
    drawn = problem.make(described, seed)
    memory, _ = emulate.emulate(described, drawn, schedule_seed=seed)
    wrong = difference(conv, described, drawn.inputs, memory)
    return wrong or problem.compare(described, drawn, memory) or ""


def check_chain(folder: Path, compiler: str, seed: int) -> str:
    """Two layers: what the first one writes, the second one reads."""
    inner: Segments = ((1, 45), (2, 30), (4, 13))
    first = Conv((2, 9, 7), ((2, 20), (4, 9)), "unsigned", inner, "unsigned")
    second = Conv((2, 9, 7), inner, "unsigned", ((4, 21),), "i32", strides=(2, 2))
    kernels = [compiled(c, folder / f"chain{i}", compiler) for i, c in enumerate((first, second))]
    drawn = [problem.make(k, seed) for k in kernels]
    memory, _ = emulate.emulate(kernels[0], drawn[0], schedule_seed=seed)
    inputs = {**drawn[1].inputs, "activations": memory.view(torch.uint8)}
    fed = problem.Problem(inputs, drawn[1].expected)
    result, _ = emulate.emulate(kernels[1], fed, schedule_seed=seed)
    return difference(first, kernels[0], drawn[0].inputs, memory) or difference(
        second, kernels[1], inputs, result
    )


def main() -> int:
    folder, compiler, seed = start()
    wrong = number = 0
    for number, conv in enumerate(cases(seed), 1):
        wrong += said(conv, check(conv, folder / f"conv{number}", compiler, seed + number))
    wrong += said("two layers", check_chain(folder, compiler, seed))
    print(f"{number} convolutions, {wrong} wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
