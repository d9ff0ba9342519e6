"""Compiles products for every architecture and shows what ptxas and nvdisasm say of them.

assemble.py PTXAS FOLDER SYSMOL-COMPILE: one line a kernel; exit code 1 where one
is not as it should be.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from exact_conv import Conv

MIX, TWO = ((1, 38), (2, 22), (4, 4)), ((2, 256),)
# Name, rows of activations, rows of weights, segments, options, and the least number of each
# MMA in the kernel's code. Loops count once: the numbers are those of an unrolled body. "U4" are
# MMAs of nibbles: two of bytes where there are none.
KERNELS = [
    ("gemv", 1, 64, "2 x 16384", "", {"BMMA": 12}),
    ("gemv", 8, 40, "1 x 700, 2 x 1500, 4 x 300", "warps=4 unroll=4", {"BMMA": 8, "U4": 2}),
    ("gemm", 128, 128, "1 x 8192", "", {"BMMA": 64}),
    ("gemm", 256, 256, "2 x 8192", "", {"BMMA": 128}),
    ("gemm", 256, 256, "4 x 8192", "", {"U4": 64}),
    ("gemm", 256, 16, "1 x 500, 2 x 700", "", {"BMMA": 48}),
    ("gemm", 8192, 8192, "1 x 2048, 4 x 2048", "", {"BMMA": 64, "U4": 64}),
]
# Convolutions, and the same.
CONVS = [
    (Conv((256, 56, 56), MIX, "unsigned", MIX, "unsigned"), {"BMMA": 88, "U4": 16}),
    (Conv((256, 14, 14), TWO, "unsigned", TWO, "unsigned"), {"BMMA": 128}),
    (
        Conv((256, 224, 224), ((8, 3),), "midrise", MIX, "unsigned", (7, 7), (2, 2), (3,) * 4),
        {"IMMA": 32},
    ),
]
ARCHITECTURES = ["sm_80", "sm_89", "sm_90"]
WARPGROUPS = [
    ("gemm", 8192, 8192, "1 x 2048, 2 x 4096, 4 x 2048", "warpgroups=1", {"BGMMA": 12, "IGMMA": 8}),
    ("gemm", 256, 64, "1 x 500, 4 x 700", "warpgroups=1", {"BGMMA": 2, "IGMMA": 14}),
    ("gemm", 200, 200, "1 x 5000", "warpgroups=1", {"BGMMA": 4}),
    ("gemm", 8192, 8192, "2 x 8192", "warpgroups=1", {"BGMMA": 8}),
    ("gemm", 8192, 8192, "1 x 4096, 8 x 4096", "warpgroups=1", {"BGMMA": 4, "IGMMA": 4}),
]


WARPGROUP_CONVS = [
    (replace(CONVS[0][0], options="warpgroups=1"), {"BGMMA": 11, "IGMMA": 4}),
    (replace(CONVS[1][0], options="warpgroups=1"), {"BGMMA": 8}),
    (replace(CONVS[2][0], options="warpgroups=1"), {"IGMMA": 4}),
]


# Two layers of a network whose kernels write a carrier and its codes, and sum their windows.
NETWORK = """
#x = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8 x 8]>
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [1 x 70, 2 x 40, 4 x 18]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [8 x 8]>
#v = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [1 x 70, 2 x 40, 4 x 18]>
#c = #hetprec.carrier<delta = 0.5>
func.func @net(%x: tensor<4x8x16x16xf32>) -> tensor<4x128x16x16xi8, #a> {
  %w = arith.constant dense<1> : tensor<128x8x1x1xi8, #w>
  %v = arith.constant dense<1> : tensor<128x128x3x3xi8, #v>
  %q = hetprec.quantize %x : tensor<4x8x16x16xf32> to tensor<4x8x16x16xi8, #x>
  %acc = hetprec.conv_2d %q, %w : tensor<4x8x16x16xi8, #x>, tensor<128x8x1x1xi8, #w>
    -> tensor<4x128x16x16xi32>
  %r = hetprec.to_carrier %acc multiplier = [0.5] : tensor<4x128x16x16xi32>
    to tensor<4x128x16x16xi16, #c>
  %p = hetprec.permute %r axis = 1 permutation = [REVERSED] : tensor<4x128x16x16xi16, #c>
    to tensor<4x128x16x16xi16, #c>
  %a = hetprec.requantize %p multiplier = [0.5] offset = [0.0] : tensor<4x128x16x16xi16, #c>
    to tensor<4x128x16x16xi8, #a>
  %acc1 = hetprec.conv_2d %a, %v pads = [1, 1, 1, 1] : tensor<4x128x16x16xi8, #a>,
    tensor<128x128x3x3xi8, #v> -> tensor<4x128x16x16xi32>
  %r1 = hetprec.to_carrier %acc1 multiplier = [0.5] : tensor<4x128x16x16xi32>
    to tensor<4x128x16x16xi16, #c>
  %s = hetprec.add %r1, %r : tensor<4x128x16x16xi16, #c>
  %b = hetprec.requantize %s multiplier = [0.5] offset = [0.0] : tensor<4x128x16x16xi16, #c>
    to tensor<4x128x16x16xi8, #a>
  return %b : tensor<4x128x16x16xi8, #a>
}
""".replace("REVERSED", ", ".join(map(str, reversed(range(128)))))


def source(batch: int, rows: int, segments: str) -> str:
    """One product as the compiler reads it."""
    k = sum(int(part.split(" x ")[1]) for part in segments.split(", "))
    x, w = f"tensor<{batch}x{k}xi8, #a>", f"tensor<{rows}x{k}xi8, #w>"
    out = f"tensor<{batch}x{rows}xi32>"
    return f"""
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [{segments}]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [{segments}]>
func.func @kernel(%x: {x}, %w: {w}) -> {out} {{
  %acc = hetprec.matmul %x, %w : {x}, {w} -> {out}
  return %acc : {out}
}}
"""


@dataclass(frozen=True)
class Case:
    """A kernel, and the least number of each MMA in its code."""

    arch: str
    name: str
    source: str
    options: str
    least: dict[str, int]


def cases() -> Iterator[Case]:
    """Every kernel for every architecture, and those by warpgroups for theirs."""
    each = [(arch, *kernel) for kernel in KERNELS for arch in ARCHITECTURES]
    each += [("sm_90a", *kernel) for kernel in WARPGROUPS]
    for arch, kind, batch, rows, segments, options, least in each:
        name = f"{kind} {batch}x{rows} [{segments}] {options}"
        yield Case(arch, name, source(batch, rows, segments), f"kernel={kind} {options}", least)
    for conv, least in CONVS:
        for arch in ARCHITECTURES:
            yield Case(arch, f"conv {conv}", conv.source(), conv.options, least)
    for conv, least in WARPGROUP_CONVS:
        yield Case("sm_90a", f"conv {conv}", conv.source(), conv.options, least)
    for arch in ARCHITECTURES:
        yield Case(arch, "network", NETWORK, "", {"BMMA": 128, "U4": 64})
    yield Case("sm_90a", "network", NETWORK, "warpgroups=1", {"BGMMA": 12, "IGMMA": 8})


def main() -> int:
    ptxas, folder, sysmol_compile = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    nvdisasm = Path(ptxas).with_name("nvdisasm")
    wrong = 0
    for number, case in enumerate(cases()):
        model, ptx, cubin = (folder / f"{number}.{end}" for end in ("mlir", "ptx", "cubin"))
        model.write_text(case.source)
        subprocess.run(
            [
                *(sysmol_compile, model, f"--target={case.arch}", "--emit=asm", "-o", ptx),
                f"--kernel-options={case.options}",
            ],
            check=True,
        )
        log = subprocess.run(
            [ptxas, "-v", f"-arch={case.arch}", ptx, "-o", cubin],
            check=True,
            capture_output=True,
            text=True,
        ).stderr
        spills = sum(map(int, re.findall(r"(\d+) bytes spill stores", log)))
        registers = max(map(int, re.findall(r"Used (\d+) registers", log)))
        line = f"{case.arch} {case.name}: registers {registers}, "
        if nvdisasm.exists():
            code = subprocess.run(
                [nvdisasm, "-c", cubin], check=True, capture_output=True, text=True
            ).stdout
            counts = Counter(re.findall(r"\b(BMMA|IMMA|BGMMA|IGMMA)\.", code))
            counts["U4"] = len(re.findall(r"\bIMMA\.16864\.U4\.U4", code))
            counts["IMMA"] -= counts["U4"]
            line += ", ".join(f"{name} {count}" for name, count in sorted((+counts).items())) + ", "
            wanted = Counter(case.least)
            if case.arch.startswith("sm_90"):
                wanted["IMMA"] += 2 * wanted.pop("U4", 0)
            few = {name for name, least in wanted.items() if counts[name] < least}
            if few:
                line += f"TOO FEW {sorted(few)} of {case.least}, "
                wrong += 1
        wrong += spills != 0
        print(line + f"spills {spills}")
    print("all assembled" if not wrong else f"{wrong} kernels are not as they should be")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
