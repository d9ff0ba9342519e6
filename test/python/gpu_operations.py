"""Kernels of one block and one operation, to hold the emulator against a real GPU.

``python gpu_operations.py FOLDER`` writes for each the cubin (llc, ptxas), random inputs and what
the emulator computes; ``compare`` then runs the cubins on a GPU and wants the same bits. Some have
a reference too, which follows the PTX ISA and not the emulator.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[2]

Words = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Case:
    """``body`` makes %d0.. of %x0.., which lie at %xp0.., and of %thread.

    ``declarations`` are of what it calls, ``shared`` the bytes of @s. ``reference`` makes a row of
    outputs for each thread of such rows of inputs, as the PTX ISA has it.
    """

    name: str
    inputs: int
    outputs: int
    body: str
    declarations: str = ""
    arch: str = "sm_90"
    threads: int = 32
    shared: int = 0
    reference: Callable[[Words], Words] | None = None

    def ir(self) -> str:
        lines = [
            'target triple = "nvptx64-nvidia-cuda"',
            "declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()",
            self.declarations,
        ]
        if self.shared:
            # Aligned as the dynamic shared memory of the compiler's kernels.
            lines.append(f"@s = internal addrspace(3) global [{self.shared} x i8] undef, align 16")
        lines += [
            "define ptx_kernel void @k(ptr addrspace(1) %in, ptr addrspace(1) %out) {",
            "  %thread = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()",
            f"  %ibase = mul i32 %thread, {self.inputs}",
            f"  %obase = mul i32 %thread, {self.outputs}",
        ]
        for i in range(self.inputs):
            lines += [
                f"  %xi{i} = add i32 %ibase, {i}",
                f"  %xp{i} = getelementptr i32, ptr addrspace(1) %in, i32 %xi{i}",
                f"  %x{i} = load i32, ptr addrspace(1) %xp{i}, align 4",
            ]
        lines.append(self.body)
        for i in range(self.outputs):
            lines += [
                f"  %oi{i} = add i32 %obase, {i}",
                f"  %op{i} = getelementptr i32, ptr addrspace(1) %out, i32 %oi{i}",
                f"  store i32 %d{i}, ptr addrspace(1) %op{i}, align 4",
            ]
        return "\n".join([*lines, "  ret void", "}", ""])


def _call(name: str, inputs: int, outputs: int, extra: str = "") -> tuple[str, str]:
    """Call an intrinsic of i32 only; gives body and declaration."""
    types = ", ".join(["i32"] * inputs)
    given = ", ".join(f"i32 %x{i}" for i in range(inputs))
    if outputs == 1:
        return f"  %d0 = call i32 @{name}({given})", f"declare i32 @{name}({types})"
    result = "{ " + ", ".join(["i32"] * outputs) + " }"
    lines = [f"  %r = call {result} @{name}({given})"]
    lines += [f"  %d{i} = extractvalue {result} %r, {i}" for i in range(outputs)]
    return "\n".join(lines), f"declare {result} @{name}({types})"


def _mma() -> Iterator[Case]:
    shapes = [(8, 16, 8), (16, 16, 8), (16, 32, 8), (8, 32, 4), (16, 32, 4), (16, 64, 4)]
    names = []
    for m, k, bits in shapes:
        for saturates in ("", "satfinite."):
            for a in "su":
                for b in "su":
                    types = f"{a}{bits}" if a == b else f"{a}{bits}.{b}{bits}"
                    names.append((f"m{m}n8k{k}.row.col.{saturates}{types}", m, k * bits))
    for m, k in ((8, 128), (16, 128), (16, 256)):
        names.append((f"and.popc.m{m}n8k{k}.row.col.b1", m, k))
    for name, m, kbits in names:
        outputs = m // 4
        inputs = m // 8 * kbits // 128 + kbits // 128 + outputs
        body, declaration = _call(f"llvm.nvvm.mma.{name}", inputs, outputs)
        yield Case(f"mma.{name}", inputs, outputs, body, declaration)


def _shuffles() -> Iterator[Case]:
    for mode in ("bfly", "up", "down", "idx"):
        for amount in (1, 3, 6, 17):
            for c in (31, 0, 0x181F, 0x1800, 0x1C1F, 0x0A05):
                if c in (0, 0x1800) and mode != "up":
                    continue
                name = f"llvm.nvvm.shfl.sync.{mode}.i32p"
                body = (
                    f"  %r = call {{ i32, i1 }} @{name}(i32 -1, i32 %x0, i32 {amount}, i32 {c})\n"
                    "  %d0 = extractvalue { i32, i1 } %r, 0\n"
                    "  %p = extractvalue { i32, i1 } %r, 1\n  %d1 = zext i1 %p to i32"
                )
                yield Case(
                    f"shfl.{mode}.{amount}.{c:x}", 1, 2, body,
                    f"declare {{ i32, i1 }} @{name}(i32, i32, i32, i32)",
                )  # fmt: skip


def _votes() -> Iterator[Case]:
    for mode in ("all", "any", "uni", "ballot"):
        kind = "i32" if mode == "ballot" else "i1"
        name = f"llvm.nvvm.vote.{mode}.sync"
        for bit in (0, 31):
            shift = f"  %sh = lshr i32 %x0, {bit}\n  %p = trunc i32 %sh to i1\n"
            convert = "add i32 %v, 0" if kind == "i32" else "zext i1 %v to i32"
            body = f"{shift}  %v = call {kind} @{name}(i32 -1, i1 %p)\n  %d0 = {convert}"
            yield Case(f"vote.{mode}.{bit}", 1, 1, body, f"declare {kind} @{name}(i32, i1)")
    for operation in ("add", "and", "or", "xor", "min", "max", "umin", "umax"):
        name = f"llvm.nvvm.redux.sync.{operation}"
        yield Case(
            f"redux.{operation}", 1, 1, f"  %d0 = call i32 @{name}(i32 %x0, i32 -1)",
            f"declare i32 @{name}(i32, i32)",
        )  # fmt: skip


_FILL = """  %row = getelementptr i32, ptr addrspace(3) @s, i32 %ibase
  store i32 %x0, ptr addrspace(3) %row, align 16
  %s1 = getelementptr i32, ptr addrspace(3) %row, i32 1
  store i32 %x1, ptr addrspace(3) %s1, align 4
  %s2 = getelementptr i32, ptr addrspace(3) %row, i32 2
  store i32 %x2, ptr addrspace(3) %s2, align 4
  %s3 = getelementptr i32, ptr addrspace(3) %row, i32 3
  store i32 %x3, ptr addrspace(3) %s3, align 4
  call void @llvm.nvvm.bar.warp.sync(i32 -1)
"""


def _matrices() -> Iterator[Case]:
    for count in (1, 2, 4):
        for trans in ("", ".trans"):
            name = f"llvm.nvvm.ldmatrix.sync.aligned.m8n8.x{count}{trans}.b16.p3"
            result = "i32" if count == 1 else "{ " + ", ".join(["i32"] * count) + " }"
            lines = [f"{_FILL}  %r = call {result} @{name}(ptr addrspace(3) %row)"]
            for i in range(count):
                value = "add i32 %r, 0" if count == 1 else f"extractvalue {result} %r, {i}"
                lines.append(f"  %d{i} = {value}")
            yield Case(
                f"ldmatrix.x{count}{trans}", 4, count, "\n".join(lines),
                f"declare {result} @{name}(ptr addrspace(3))\n"
                "declare void @llvm.nvvm.bar.warp.sync(i32)", shared=512,
            )  # fmt: skip


def _integers() -> Iterator[Case]:
    for a in "su":
        for b in "su":
            body, declaration = _call(f"llvm.nvvm.idp4a.{a}.{b}", 3, 1)
            yield Case(f"idp4a.{a}.{b}", 3, 1, body, declaration)
            for high in ("true", "false"):
                name = f"llvm.nvvm.idp2a.{a}.{b}"
                yield Case(
                    f"idp2a.{a}.{b}.{high}", 3, 1,
                    f"  %d0 = call i32 @{name}(i32 %x0, i32 %x1, i1 {high}, i32 %x2)",
                    f"declare i32 @{name}(i32, i32, i1, i32)",
                )  # fmt: skip
    body, declaration = _call("llvm.nvvm.prmt", 3, 1)
    yield Case("prmt", 3, 1, body, declaration)
    three = '"=r,r,r,r"(i32 %x0, i32 %x1, i32 %x2)'
    for text in (
        *(f"lop3.b32 $0, $1, $2, $3, {table};" for table in (0x96, 0xE8, 0x1B, 0xCA, 0x40, 0xFE)),
        "prmt.b32 $0, $1, $2, $3;",
        "bfe.u32 $0, $1, $2, $3;",
        "bfe.s32 $0, $1, $2, $3;",
        "shf.l.wrap.b32 $0, $1, $2, $3;",
        "shf.r.wrap.b32 $0, $1, $2, $3;",
        "shf.l.clamp.b32 $0, $1, $2, $3;",
        "shf.r.clamp.b32 $0, $1, $2, $3;",
        "dp4a.u32.s32 $0, $1, $2, $3;",
    ):
        yield Case(
            text.split(";")[0].replace(" ", "_"), 3, 1, f'  %d0 = call i32 asm "{text}", {three}'
        )


# ----------------------------------------------------------------------------------------------
# Operations of a block

THREADS = 128
_BARRIER = "  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)\n"
_DECLARE_BARRIER = "declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)\n"
_DECLARE_GROUPS = (
    "declare void @llvm.nvvm.cp.async.commit.group()\n"
    "declare void @llvm.nvvm.cp.async.wait.group(i32)\n"
)


def _others(factor: int, offset: int) -> npt.NDArray[np.intp]:
    return (np.arange(THREADS) * factor + offset) % THREADS


def _barriers() -> Iterator[Case]:
    """Words through shared memory, twice through the same, from warp to warp."""
    lines = ["  %to = getelementptr i32, ptr addrspace(3) @s, i32 %thread"]
    for i, (factor, offset) in enumerate(((5, 3), (3, 70))):
        lines += [
            f"  store i32 %x{i}, ptr addrspace(3) %to, align 4\n{_BARRIER}"
            f"  %f{i} = mul i32 %thread, {factor}\n  %g{i} = add i32 %f{i}, {offset}\n"
            f"  %h{i} = and i32 %g{i}, {THREADS - 1}\n"
            f"  %from{i} = getelementptr i32, ptr addrspace(3) @s, i32 %h{i}\n"
            f"  %d{i} = load i32, ptr addrspace(3) %from{i}, align 4\n{_BARRIER}"
        ]

    def reference(words: Words) -> Words:
        return np.stack([words[_others(5, 3), 0], words[_others(3, 70), 1]], axis=1)

    yield Case(
        "barrier", 2, 2, "\n".join(lines), _DECLARE_BARRIER,
        threads=THREADS, shared=4 * THREADS, reference=reference,
    )  # fmt: skip


def _copies() -> Iterator[Case]:
    """Two groups, each read by other warps behind its own wait: kernels' stages."""
    for kind in ("ca.4", "ca.8", "ca.16", "cg.16"):
        for sized in (False, True):
            yield _copy(kind, sized)


def _copy(kind: str, sized: bool) -> Case:
    cache, size = kind.split(".")
    words, bits = int(size) // 4, int(size) * 8
    name = f"llvm.nvvm.cp.async.{cache}.shared.global.{size}" + (".s" if sized else "")
    # A thread's rows begin at multiples of 16 bytes: words 0.. and 4.. are copied, 8 and 9 say how
    # many bytes of them, 10 is what lay there before.
    lines = [
        "  %row = shl i32 %thread, 3",
        "  %mirror = xor i32 %thread, 101",
        "  %other = shl i32 %mirror, 3",
    ]
    for i in range(8):
        lines += [
            f"  %ti{i} = add i32 %row, {i}",
            f"  %to{i} = getelementptr i32, ptr addrspace(3) @s, i32 %ti{i}",
            f"  store i32 %x10, ptr addrspace(3) %to{i}, align 4",
        ]
    lines.append(_BARRIER)
    for group in (0, 1):
        at = 4 * group
        given = f"ptr addrspace(3) %to{at}, ptr addrspace(1) %xp{at}"
        if sized:
            lines.append(f"  %size{group} = urem i32 %x{8 + group}, {int(size) + 1}")
            given += f", i32 %size{group}"
        lines.append(f"  call void @{name}({given})")
        lines.append("  call void @llvm.nvvm.cp.async.commit.group()")
    for group in (0, 1):
        lines.append(f"  call void @llvm.nvvm.cp.async.wait.group(i32 {1 - group})\n{_BARRIER}")
        for i in range(words):
            n = f"{group}.{i}"
            lines += [
                f"  %fi{n} = add i32 %other, {4 * group + i}",
                f"  %from{n} = getelementptr i32, ptr addrspace(3) @s, i32 %fi{n}",
                f"  %d{group * words + i} = load i32, ptr addrspace(3) %from{n}, align 4",
            ]

    def reference(inputs: Words) -> Words:
        copied = []
        for group in (0, 1):
            # astype: a copy whose rows are their bytes and nothing else.
            data = inputs[:, 4 * group : 4 * group + words].astype("<u4").view(np.uint8)
            if sized:
                sizes = inputs[:, 8 + group] % (int(size) + 1)
                data[np.arange(bits // 8) >= sizes[:, None]] = 0
            copied.append(data.view(np.uint32))
        result: Words = np.concatenate(copied, axis=1)[np.arange(THREADS) ^ 101]
        return result

    parameters = "ptr addrspace(3), ptr addrspace(1)" + (", i32" if sized else "")
    return Case(
        f"cp.async.{kind}" + (".sized" if sized else ""), 12, 2 * words, "\n".join(lines),
        f"declare void @{name}({parameters})\n{_DECLARE_GROUPS}{_DECLARE_BARRIER}",
        threads=THREADS, shared=32 * THREADS, reference=reference,
    )  # fmt: skip


# ----------------------------------------------------------------------------------------------
# wgmma


@dataclass(frozen=True)
class Product:
    """wgmma as GemmKernel.cpp has it: A in registers, B in shared memory without swizzle.

    A statement takes ``steps`` of 256 bits along k, or pairs of ``planes`` that are summed by the
    weight of their product. ``rounds`` statements take B from the same place.
    """

    n: int
    types: str
    satfinite: bool = False
    steps: int = 1
    planes: int = 1
    rounds: int = 1
    #: Whether D is added, or only written.
    adds: bool = True
    #: How B comes into shared memory: by cp.async or by stores.
    copies: bool = True
    #: Columns in shared memory, and the first one that is taken.
    columns: int = 128
    first: int = 0
    #: Whether a column's left and right halves are neighbours, or lie apart as in our kernels.
    interleaved: bool = False

    @property
    def instruction(self) -> str:
        k = 256 if self.types.startswith("b1") else 32
        satfinite = "satfinite." if self.satfinite else ""
        return f"m64n{self.n}k{k}.s32.{satfinite}{self.types}"

    @property
    def name(self) -> str:
        parts = [f"wgmma.{self.instruction}.steps{self.steps}x{self.planes}x{self.rounds}"]
        parts += ["from"] * (self.first > 0) + ["interleaved"] * self.interleaved
        parts += ["overwrites"] * (not self.adds) + ["stored"] * (not self.copies)
        return ".".join(parts)

    @property
    def outputs(self) -> int:
        return (2 * self.planes - 1) * self.n // 2

    @property
    def units(self) -> int:
        """Of 16 bytes, those of B that a thread brings in a step: every thread as many."""
        return -(-self.n // 64)

    @property
    def inputs(self) -> int:
        """Units of all steps, then A's fragments, then D's."""
        return self.rounds * self.steps * 4 * (self.units + 1) + self.outputs

    def unit(self, turn: int, step: int, unit: int) -> int:
        return 4 * ((turn * self.steps + step) * self.units + unit)

    def fragment(self, turn: int, step: int) -> int:
        first = self.rounds * self.steps * self.units
        return 4 * (first + turn * self.steps + step)

    # PTX ISA, "Strides": without swizzle and with k as the major dimension, core matrices have
    # eight columns of 16 bytes, one behind the other. The next 16 bytes of a column lie the leading
    # dimension's offset on, the next eight columns the stride dimension's.

    @property
    def leading(self) -> int:
        # 16 more than a power of two: GemmKernel.cpp's kHalfStride.
        return 128 if self.interleaved else 16 * self.columns + 16

    @property
    def stride(self) -> int:
        return 256 if self.interleaved else 128

    @property
    def step_bytes(self) -> int:
        return 32 * self.columns + 32

    def start(self, step: int) -> int:
        return step * self.step_bytes + self.first // 8 * self.stride

    # PTX ISA, "Register Fragments": each warp has 16 rows; of a lane, lane / 4 gives the row and
    # lane % 4 the place along the columns. An order of bits that A and B share shows in no product.

    @staticmethod
    def _lanes() -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Of each thread, the upper row and the place."""
        thread = np.arange(THREADS)[:, None]
        return thread // 32 * 16 + thread % 32 // 4, thread % 4

    @classmethod
    def _rows_of_a(cls, words: Words) -> Words:
        """64 rows of 256 bits: registers 1 and 3 are eight rows below, 2 and 3 128 bits on."""
        row, place = cls._lanes()
        register = np.arange(4)
        rows = np.zeros((64, 8), dtype=np.uint32)
        rows[row + register % 2 * 8, place + register // 2 * 4] = words
        return rows

    def _columns_of_b(self, words: Words) -> Words:
        """A thread's unit `u` is half `thread % 2` of column `64 u + thread / 2`."""
        halves = words.reshape(THREADS // 2, 2, self.units, 4)
        columns: Words = halves.transpose(2, 0, 1, 3).reshape(-1, 8)
        return columns[: self.n]

    def _places_of_d(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Pairs of registers are neighbours in a row; then eight rows on, then eight columns on."""
        row, place = self._lanes()
        i = np.arange(self.n // 2)
        return row + i // 2 % 2 * 8, i // 4 * 8 + place * 2 + i % 2

    @staticmethod
    def _codes(rows: Words, kind: str) -> Numbers:
        codes = np.ascontiguousarray(rows, dtype="<u4").view(np.uint8)
        if kind == "b1":
            return np.unpackbits(codes, axis=1, bitorder="little").astype(np.int64)
        return codes.view(np.int8 if kind == "s8" else np.uint8).astype(np.int64)

    def reference(self, words: Words) -> Words:
        kind_a, kind_b = self.types.split(".")[:2]
        place = self._places_of_d()
        sets = 2 * self.planes - 1
        sums = np.zeros((sets, 64, self.n), dtype=np.int64)
        for s in range(sets * self.adds):
            at = self.inputs - self.outputs + s * self.n // 2
            sums[s][place] = words[:, at : at + self.n // 2].view(np.int32)
        for turn in range(self.rounds):
            a, b = [], []
            for step in range(self.steps):
                at = self.fragment(turn, step)
                a.append(self._codes(self._rows_of_a(words[:, at : at + 4]), kind_a))
                at = self.unit(turn, step, 0)
                units = words[:, at : at + 4 * self.units]
                b.append(self._codes(self._columns_of_b(units), kind_b))
            for step in range(0, self.steps, self.planes):
                for i in range(self.planes):
                    for j in range(self.planes):
                        sums[i + j] += a[step + i] @ b[step + j].T
        if self.satfinite:
            sums = sums.clip(-(2**31), 2**31 - 1)
        return np.concatenate([s[place] for s in sums], axis=1).astype(np.uint32)

    # The kernel.

    def _fill(self, turn: int) -> Iterator[str]:
        for step in range(self.steps):
            for u in range(self.units):
                n = f"{turn}.{step}.{u}"
                x, to = self.unit(turn, step, u), self.start(step) + u * 8 * self.stride
                yield f"  %to{n}.0 = getelementptr i8, ptr addrspace(3) %place, i32 {to}"
                if self.copies:
                    yield (
                        "  call void @llvm.nvvm.cp.async.cg.shared.global.16("
                        f"ptr addrspace(3) %to{n}.0, ptr addrspace(1) %xp{x})"
                    )
                    continue
                for i in range(4):
                    at = f"%to{n}.{i}"
                    if i:
                        yield f"  {at} = getelementptr i32, ptr addrspace(3) %to{n}.0, i32 {i}"
                    yield f"  store i32 %x{x + i}, ptr addrspace(3) {at}, align 4"
        if self.copies:
            yield "  call void @llvm.nvvm.cp.async.commit.group()"
            yield "  call void @llvm.nvvm.cp.async.wait.group(i32 0)"
        yield f"  call void @llvm.nvvm.fence.proxy.async.shared_cta()\n{_BARRIER}"

    def _statement(self) -> str:
        """Its operands: D, D again, A's fragments, as many descriptors, whether it adds."""
        half, count = self.n // 2, self.outputs
        a = 2 * count
        descriptors = a + 4 * self.steps

        def registers(first: int, number: int) -> str:
            return ", ".join(f"${first + i}" for i in range(number))

        text = "wgmma.fence.sync.aligned; "
        for step in range(0, self.steps, self.planes):
            for j in range(self.planes):
                for i in range(self.planes):
                    text += (
                        f"wgmma.mma_async.sync.aligned.{self.instruction} "
                        f"{{{registers((i + j) * half, half)}}}, "
                        f"{{{registers(a + 4 * (step + i), 4)}}}, "
                        f"${descriptors + step + j}, ${descriptors + self.steps}; "
                    )
        text += "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;"
        constraints = ["=r"] * count + [str(i) for i in range(count)]
        constraints += ["r"] * (4 * self.steps) + ["l"] * self.steps + ["b"]
        return f'asm sideeffect "{text}", "{",".join(constraints)}"'

    def body(self) -> str:
        strides = self.leading // 16 << 16 | self.stride // 16 << 32
        lines = [
            "  %half = and i32 %thread, 1",
            f"  %hb = mul i32 %half, {self.leading}",
            "  %column = lshr i32 %thread, 1",
            "  %in8 = and i32 %column, 7",
            "  %cb = mul i32 %in8, 16",
            "  %eight = lshr i32 %column, 3",
            f"  %eb = mul i32 %eight, {self.stride}",
            "  %hcb = add i32 %hb, %cb",
            "  %offset = add i32 %hcb, %eb",
            "  %place = getelementptr i8, ptr addrspace(3) @s, i32 %offset",
            "  %base = ptrtoint ptr addrspace(3) @s to i64",
            "  %base16 = lshr i64 %base, 4",
            "  %start = and i64 %base16, 16383",
        ]
        for step in range(self.steps):
            lines.append(f"  %b{step} = add i64 %start, {strides + self.start(step) // 16}")
        result = "{ " + ", ".join(["i32"] * self.outputs) + " }"
        sums = [f"%x{self.inputs - self.outputs + i}" for i in range(self.outputs)]
        for turn in range(self.rounds):
            if turn:
                lines.append(_BARRIER)
            lines += self._fill(turn)
            given = [f"i32 {value}" for value in sums]
            for step in range(self.steps):
                given += [f"i32 %x{self.fragment(turn, step) + i}" for i in range(4)]
            given += [f"i64 %b{step}" for step in range(self.steps)]
            given.append(f"i1 {str(self.adds).lower()}")
            # Convergent, or a pass might bring it under a condition.
            lines.append(
                f"  %r{turn} = call {result} {self._statement()}({', '.join(given)}) convergent"
            )
            sums = [f"%s{turn}.{i}" for i in range(self.outputs)]
            if turn == self.rounds - 1:
                sums = [f"%d{i}" for i in range(self.outputs)]
            lines += [
                f"  {value} = extractvalue {result} %r{turn}, {i}" for i, value in enumerate(sums)
            ]
        return "\n".join(lines)

    def case(self) -> Case:
        copy = "llvm.nvvm.cp.async.cg.shared.global.16"
        return Case(
            self.name, self.inputs, self.outputs, self.body(),
            f"declare void @{copy}(ptr addrspace(3), ptr addrspace(1))\n"
            f"declare void @llvm.nvvm.fence.proxy.async.shared_cta()\n"
            f"{_DECLARE_GROUPS}{_DECLARE_BARRIER}",
            arch="sm_90a", threads=THREADS, shared=self.steps * self.step_bytes,
            reference=self.reference,
        )  # fmt: skip


def _products() -> Iterator[Case]:
    bits = "b1.b1.and.popc"
    for types in (bits, "u8.u8", "s8.s8", "s8.u8"):
        # Nibbles are spread into bytes, and stored: two steps for one.
        copies, steps = types != "u8.u8", 8 if types == "u8.u8" else 4
        for n in (64, 128):
            yield Product(n, types).case()
            yield Product(n, types, steps=steps, copies=copies).case()
            yield Product(n, types, rounds=2, copies=copies).case()
        yield Product(64, types, first=64, copies=copies).case()
        yield Product(64, types, adds=False).case()
        yield Product(64, types, interleaved=True).case()
        for n in (8, 24, 32, 48, 256):
            yield Product(n, types, columns=max(n, 128)).case()
    for n in (64, 128):
        yield Product(n, bits, steps=4, planes=2).case()
    for types in ("u8.u8", "s8.s8", "s8.u8", "u8.s8"):
        yield Product(64, types, satfinite=True).case()
    yield Product(64, "u8.s8").case()


def cases() -> list[Case]:
    return [
        *_mma(),
        *_shuffles(),
        *_votes(),
        *_matrices(),
        *_integers(),
        *_barriers(),
        *_copies(),
        *_products(),
    ]


def inputs(case: Case, index: int) -> Words:
    rng = np.random.default_rng(index)
    words = rng.integers(0, 2**32, (case.threads, case.inputs), dtype=np.uint32)
    # Sums that overflow, as often as not.
    limits = np.array([0x7FFFFFF0, 0x80000010], dtype=np.uint32)
    if "satfinite" in case.name:
        words[:, -case.outputs :] = rng.choice(limits, (case.threads, case.outputs))
    elif case.name.startswith("wgmma"):
        words[::3, -case.outputs :] = rng.choice(limits, words[::3, -case.outputs :].shape)
    return words


def _tool(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")


def assemble(case: Case, cubin: Path, work: Path) -> None:
    ir, ptx = work / f"{cubin.stem}.ll", work / f"{cubin.stem}.ptx"
    ir.write_text(case.ir())
    version = "84" if case.arch == "sm_90a" else "80"
    _tool("llc", "-mcpu=" + case.arch, f"-mattr=+ptx{version}", ir, "-o", ptx)
    _tool("ptxas", "-arch=" + case.arch, ptx, "-o", cubin)


def emulate(case: Case, words: Words, work: Path, emulator: Path) -> Words:
    """A row of each thread; refuses what differs from the reference."""
    (work / "k.ll").write_text(case.ir())
    description = {
        "format": "sysmol-gpu-kernel", "version": 1, "llvm_ir": "k.ll",
        "buffers": {"in": {"bytes": words.nbytes},
                    "out": {"bytes": 4 * case.threads * case.outputs}},
        "launches": [{"entry": "k", "grid": [1, 1, 1], "block": [case.threads, 1, 1],
                      "arguments": ["in", "out"]}],
    }  # fmt: skip
    (work / "k.json").write_text(json.dumps(description))
    given, out = work / "k.in", work / "k.out"
    given.write_bytes(words.tobytes())
    _tool(emulator, work / "k.json", f"--set=in={given}", f"--get=out={out}")
    found = np.frombuffer(out.read_bytes(), np.uint32).reshape(case.threads, case.outputs)
    if case.reference:
        wrong = np.argwhere(found != case.reference(words))
        if len(wrong):
            raise RuntimeError(
                f"{case.name}: {len(wrong)} of {found.size} words differ from the reference, "
                f"the first in output {wrong[0][1]} of thread {wrong[0][0]}"
            )
    return found


def make(folder: Path, emulator: Path) -> int:
    """Write cubins, inputs and the emulator's results; gives how many."""
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    table = []
    arrays: dict[str, Any] = {}
    for index, case in enumerate(cases()):
        cubin = folder / f"op{index}.cubin"
        assemble(case, cubin, work)
        words = inputs(case, index)
        arrays[f"in{index}"] = words
        arrays[f"out{index}"] = emulate(case, words, work, emulator).reshape(-1)
        table.append({"name": case.name, "cubin": cubin.name, "threads": case.threads})
    np.savez_compressed(folder / "words.npz", **arrays)
    (folder / "cases.json").write_text(json.dumps(table))
    shutil.rmtree(work)
    return len(table)


def compare(folder: Path) -> list[str]:
    """Run every case on the first GPU; gives the names of those whose bits differ."""
    from sysmol.gpu import Device

    device = Device()
    arrays = np.load(folder / "words.npz")
    wrong = []
    for index, case in enumerate(json.loads((folder / "cases.json").read_text())):
        function = device.load((folder / case["cubin"]).read_bytes(), case["name"]).function("k")
        expected = arrays[f"out{index}"]
        out = device.zeros(expected.nbytes)
        function.launch((1,), (case["threads"],), [device.upload(arrays[f"in{index}"]), out])
        device.synchronize()
        if not np.array_equal(out.read(np.uint32), expected):
            wrong.append(case["name"])
    return wrong


if __name__ == "__main__":
    print(make(Path(sys.argv[1]), ROOT / "build" / "bin" / "sysmol-gpu-emulate"), "cases")
