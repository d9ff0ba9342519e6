"""Kernels of one warp and one operation, to hold the emulator against a real GPU.

``python gpu_operations.py FOLDER`` writes for each the cubin (llc, ptxas), random inputs and what
the emulator computes; ``compare`` then runs the cubins on a GPU and wants the same bits.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SHARED = "@s = internal addrspace(3) global [128 x i32] undef, align 16\n"


@dataclass(frozen=True)
class Case:
    """``body`` makes %d0.. of %x0.. and %lane; ``declarations`` are of what it calls."""

    name: str
    inputs: int
    outputs: int
    body: str
    declarations: str = ""
    arch: str = "sm_90"

    def ir(self) -> str:
        lines = [
            'target triple = "nvptx64-nvidia-cuda"',
            "declare i32 @llvm.nvvm.read.ptx.sreg.laneid()",
            self.declarations,
            "define ptx_kernel void @k(ptr addrspace(1) %in, ptr addrspace(1) %out) {",
            "  %lane = call i32 @llvm.nvvm.read.ptx.sreg.laneid()",
            f"  %ibase = mul i32 %lane, {self.inputs}",
            f"  %obase = mul i32 %lane, {self.outputs}",
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
        a, b, c = m // 8 * kbits // 128, kbits // 128, m // 4
        body, declaration = _call(f"llvm.nvvm.mma.{name}", a + b + c, c)
        yield Case(f"mma.{name}", a + b + c, c, body, declaration)


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
                SHARED + f"declare {result} @{name}(ptr addrspace(3))\n"
                "declare void @llvm.nvvm.bar.warp.sync(i32)",
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


def cases() -> list[Case]:
    return [*_mma(), *_shuffles(), *_votes(), *_matrices(), *_integers()]


def _inputs(case: Case, index: int) -> Any:
    rng = np.random.default_rng(index)
    words = rng.integers(0, 2**32, (32, case.inputs), dtype=np.uint32)
    if "satfinite" in case.name:
        words[:, -case.outputs :] = rng.choice(
            np.array([0x7FFFFFF0, 0x80000010], dtype=np.uint32), (32, case.outputs)
        )
    return words


def _tool(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")


def make(folder: Path, emulator: Path) -> int:
    """Write cubins, inputs and the emulator's results; gives how many."""
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    table = []
    arrays = {}
    for index, case in enumerate(cases()):
        stem = work / str(index)
        ir, ptx = stem.with_suffix(".ll"), stem.with_suffix(".ptx")
        ir.write_text(case.ir())
        _tool("llc", "-mcpu=" + case.arch, "-mattr=+ptx80", ir, "-o", ptx)
        _tool("ptxas", "-arch=" + case.arch, ptx, "-o", folder / f"op{index}.cubin")
        words = _inputs(case, index)
        description = {
            "format": "sysmol-gpu-kernel", "version": 1, "llvm_ir": ir.name,
            "buffers": {"in": {"bytes": words.nbytes}, "out": {"bytes": 128 * case.outputs}},
            "launches": [{"entry": "k", "grid": [1, 1, 1], "block": [32, 1, 1],
                          "arguments": ["in", "out"]}],
        }  # fmt: skip
        stem.with_suffix(".json").write_text(json.dumps(description))
        given, found = stem.with_suffix(".in"), stem.with_suffix(".out")
        given.write_bytes(words.tobytes())
        _tool(emulator, stem.with_suffix(".json"), f"--set=in={given}", f"--get=out={found}")
        arrays[f"in{index}"] = words
        arrays[f"out{index}"] = np.frombuffer(found.read_bytes(), np.uint32)
        table.append({"name": case.name, "cubin": f"op{index}.cubin", "outputs": case.outputs})
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
        function.launch((1,), (32,), [device.upload(arrays[f"in{index}"]), out])
        device.synchronize()
        if not np.array_equal(out.read(np.uint32), expected):
            wrong.append(case["name"])
    return wrong


if __name__ == "__main__":
    print(make(Path(sys.argv[1]), ROOT / "build" / "bin" / "sysmol-gpu-emulate"), "cases")
