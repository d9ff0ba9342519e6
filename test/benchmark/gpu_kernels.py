"""Compile the kernels that `sysmol bench --gpu` should measure, goals first.

    python test/benchmark/gpu_kernels.py FOLDER [--compiler build/bin/sysmol-compile] [--few]

Needs no GPU. Small kernels come first: they tell within a second whether a kind of kernel is right.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from programs import find, output_of

from sysmol import files
from sysmol.arguments import Parser, run_script


@dataclass(frozen=True)
class Case:
    """A product `m x n` over segments of (level, channels), and the options of its kernel."""

    name: str
    m: int
    n: int
    segments: tuple[tuple[int, int], ...]
    options: str

    def source(self) -> str:
        """The product as the compiler reads it."""
        bits = ", ".join(f"{level} x {channels}" for level, channels in self.segments)
        k = sum(channels for _, channels in self.segments)
        x, w = f"tensor<{self.m}x{k}xi8, #a>", f"tensor<{self.n}x{k}xi8, #w>"
        out = f"tensor<{self.m}x{self.n}xi32>"
        return (
            f"#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [{bits}]>\n"
            f"#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [{bits}]>\n"
            f"func.func @kernel(%x: {x}, %w: {w}) -> {out} {{\n"
            f"  %acc = hetprec.matmul %x, %w : {x}, {w} -> {out}\n"
            f"  return %acc : {out}\n}}\n"
        )


@dataclass(frozen=True)
class Conv:
    """A layer of ResNet-18 of the given channels: 3x3 and its requantization."""

    name: str
    images: int
    size: int
    segments: tuple[tuple[int, int], ...]
    options: str = ""

    def source(self) -> str:
        """The layer as the compiler reads it."""
        bits = ", ".join(f"{level} x {channels}" for level, channels in self.segments)
        c = sum(channels for _, channels in self.segments)
        x, w = f"tensor<{self.images}x{c}x{self.size}x{self.size}xi8, #a>", f"tensor<{c}x{c}x3x3"
        shape = f"tensor<{self.images}x{c}x{self.size}x{self.size}x"
        w += "xi8, #w>"
        return (
            f"#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [{bits}]>\n"
            f"#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [{bits}]>\n"
            f"func.func @kernel(%x: {x}, %w: {w}) -> {shape}i8, #a> {{\n"
            f"  %acc = hetprec.conv_2d %x, %w strides = [1, 1] "
            f"pads = [1, 1, 1, 1] : {x}, {w} -> {shape}i32>\n"
            "  %q = hetprec.requantize %acc multiplier = [0.5] offset = [0.0] "
            f": {shape}i32> to {shape}i8, #a>\n"
            f"  return %q : {shape}i8, #a>\n}}\n"
        )


def _channels(count: int) -> dict[str, tuple[tuple[int, int], ...]]:
    """Mixes of a layer's channels: 60/35/5 % of 1/2/4 bits, in whole words and not, and uniform."""
    one, two = round(0.6 * count), round(0.35 * count)
    return {
        "60_35_5": ((1, one), (2, two), (4, count - one - two)),
        "50_50": ((1, count // 2), (2, count // 2)),
        "2bit": ((2, count),),
        "4bit": ((4, count),),
    }


def _mixes(k: int) -> dict[str, tuple[tuple[int, int], ...]]:
    """Mixes of the goals: 2 bits, and 1.5 bits on average."""
    return {"2bit": ((2, k),), "1.5bit": ((1, k // 2), (2, k // 2))}


def cases() -> Iterator[Case | Conv]:
    """Checks, then goals, then what explains them."""
    few = ((1, 1100), (2, 1500), (4, 600))
    yield Case("00_check_gemv", 3, 40, few, "kernel=gemv")
    yield Case("00_check_gemm", 130, 256, few, "kernel=gemm")
    for level in (1, 2, 4, 8):
        yield Case(
            f"00_check_wgmma_{level}bit", 128, 128, ((level, 2048),), "kernel=gemm warpgroups=1"
        )
    yield Case("00_check_wgmma_mix", 130, 256, few, "kernel=gemm warpgroups=1")
    for suffix, options in (("", ""), ("_wgmma", "warpgroups=1")):
        yield Conv(f"00_check_conv{suffix}", 2, 11, ((1, 40), (2, 30), (4, 20)), options)
    for n, k in ((16384, 16384), (8192, 28672)):
        for name, segments in _mixes(k).items():
            for variant in ("8 8 1024", "4 8 1024", "4 16 512", "8 4 2048"):
                warps, unroll, threads = variant.split()
                yield Case(
                    f"10_gemv_{n}x{k}_{name}_w{warps}_u{unroll}_t{threads}", 1, n, segments,
                    f"kernel=gemv warps={warps} unroll={unroll} threads={threads}",
                )  # fmt: skip
    parts = {
        "25_50_25": ((1, 2048), (2, 4096), (4, 2048)),
        "50_30_20": ((1, 4096), (2, 2560), (4, 1536)),
        "1bit": ((1, 8192),),
        "2bit": ((2, 8192),),
        "4bit": ((4, 8192),),
    }
    for name, segments in parts.items():
        for suffix, options in (("", ""), ("_wgmma", " warpgroups=1")):
            yield Case(
                f"20_gemm_8192_{name}{suffix}", 8192, 8192, segments, f"kernel=gemm{options}"
            )
    for count, size in ((64, 56), (128, 28), (256, 14), (512, 7)):
        for mix, segments in _channels(count).items():
            for suffix, options in (("", ""), ("_wgmma", "warpgroups=1")):
                name = f"25_conv_{count}x{size}x{size}_b256_{mix}{suffix}"
                yield Conv(name, 256, size, segments, options)
    for m in (2, 4, 8):
        yield Case(f"30_gemv_16384_2bit_m{m}", m, 16384, ((2, 16384),), "kernel=gemv")


def run(options: argparse.Namespace) -> None:
    """Compile the cases."""
    with files.folder(options.folder):
        for case in cases():
            if options.few and not case.name.startswith("00"):
                continue
            arch = "sm_90a" if "warpgroups" in case.options else "sm_90"
            source = options.folder / f"{case.name}.mlir"
            files.write_bytes(source, case.source().encode())
            output_of(
                *(options.compiler or find("sysmol-compile"), source, f"--target={arch}"),
                *("-o", source.with_suffix(".json"), f"--kernel-options={case.options}"),
            )
            print(case.name, flush=True)


def arguments(top: Parser) -> None:
    """What it takes."""
    top.add_argument("folder", type=Path)
    top.add_argument("--compiler", help="default: sysmol-compile")
    top.add_argument("--few", action="store_true", help="the small ones only")


def main() -> int:
    """Entry point; gives the exit status."""
    return run_script(__doc__, arguments, run)


if __name__ == "__main__":
    sys.exit(main())
