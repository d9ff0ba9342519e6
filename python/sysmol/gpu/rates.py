"""How fast a GPU executes single instructions: small PTX kernels, timed by its own cycle counter.

The strategy of a kernel follows from these rates: they say what ``mma.sync`` on bits, bytes and
nibbles, ``wgmma``, ``dp4a`` and the bit instructions are worth on the card at hand.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sysmol.errors import SysmolError
from sysmol.gpu.device import Device

__all__ = ["INSTRUCTIONS", "Instruction", "Rate", "measure", "ptx"]

_CHAINS = 4
_UNROLL = 4
_THREADS = 512
_WGMMA_N = 128
_BODY_LOOPS = 512


@dataclass(frozen=True)
class Instruction:
    """What is measured.

    Attributes
    ----------
    name : str
        The PTX mnemonic.
    operations : int
        Multiply-adds (or bit operations) that it does: of a warp, a warpgroup for wgmma.
    kind : str
        ``mma``, ``wgmma`` or ``scalar``: how its kernel looks.
    registers : tuple of int
        mma: registers of A, B and C. wgmma: bits along k. scalar: operands.
    arch : str
        The least architecture.
    """

    name: str
    operations: int
    kind: str
    registers: tuple[int, ...]
    arch: str = "sm_80"


def _mma(shape: str, types: str, macs: int, a: int, b: int, c: int) -> Instruction:
    return Instruction(f"mma.sync.aligned.{shape}.row.col.{types}", macs, "mma", (a, b, c))


def _wgmma(k: int, types: str) -> Instruction:
    name = f"wgmma.mma_async.sync.aligned.m64n{_WGMMA_N}k{k}.{types}"
    return Instruction(name, 64 * _WGMMA_N * k, "wgmma", (k,), "sm_90a")


INSTRUCTIONS = (
    _mma("m16n8k256", "s32.b1.b1.s32.and.popc", 16 * 8 * 256, 4, 2, 4),
    _mma("m16n8k128", "s32.b1.b1.s32.and.popc", 16 * 8 * 128, 2, 1, 4),
    _mma("m16n8k32", "s32.u8.u8.s32", 16 * 8 * 32, 4, 2, 4),
    _mma("m16n8k64", "s32.u4.u4.s32", 16 * 8 * 64, 4, 2, 4),
    _mma("m16n8k16", "f32.f16.f16.f32", 16 * 8 * 16, 4, 2, 4),
    _mma("m16n8k32", "f32.e4m3.e4m3.f32", 16 * 8 * 32, 4, 2, 4),
    _wgmma(256, "s32.b1.b1.and.popc"),
    _wgmma(32, "s32.u8.u8"),
    _wgmma(16, "f32.f16.f16"),
    Instruction("dp4a.u32.u32", 32 * 4, "scalar", (3,)),
    Instruction("popc.b32", 32, "scalar", (1,)),
    Instruction("lop3.b32", 32, "scalar", (3,)),
    Instruction("prmt.b32", 32, "scalar", (3,)),
    Instruction("mad.lo.u32", 32, "scalar", (3,)),
    Instruction("add.u32", 32, "scalar", (2,)),
    Instruction("shfl.sync.bfly.b32", 32, "scalar", (1,)),
)


def _head(arch: str, entry: str, threads: int, shared: str = "") -> list[str]:
    return [
        f".version 8.4\n.target {arch}\n.address_size 64",
        f".visible .entry {entry}(.param .u64 out, .param .u64 cycles, .param .u32 loops)",
        f".maxntid {threads}, 1, 1",
        "{",
        ".reg .pred %p, %q; .reg .b64 %rd<8>;",
        ".reg .b32 %r<8>; .reg .b32 %a<16>; .reg .b32 %c<128>;",
        shared,
        "ld.param.u64 %rd0, [out]; ld.param.u64 %rd1, [cycles]; ld.param.u32 %r0, [loops];",
        "mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mad.lo.u32 %r3, %r2, 7919, %r1;",
    ]


def _scramble(count: int, name: str) -> list[str]:
    """Registers with bits that differ everywhere: zeros would draw less power."""
    lines = []
    for index in range(count):
        lines.append(f"mad.lo.u32 %{name}{index}, %r3, {2654435761 + 2 * index}, {index * 40503};")
        lines.append(
            f"shl.b32 %r5, %{name}{index}, 13; xor.b32 %{name}{index}, %{name}{index}, %r5;"
        )
        lines.append(
            f"shr.u32 %r5, %{name}{index}, 17; xor.b32 %{name}{index}, %{name}{index}, %r5;"
        )
    return lines


def _loop(body: list[str]) -> list[str]:
    return [
        "bar.sync 0; mov.u64 %rd2, %clock64; mov.u32 %r4, 0;",
        "again:",
        *body,
        "add.u32 %r4, %r4, 1; setp.lt.u32 %p, %r4, %r0; @%p bra again;",
    ]


def _tail(results: int, threads: int) -> list[str]:
    """Cycles of the block, and every result, so that no work is dropped."""
    lines = ["bar.sync 0; mov.u64 %rd3, %clock64; sub.u64 %rd3, %rd3, %rd2;", "mov.b32 %r6, 0;"]
    lines += [f"xor.b32 %r6, %r6, %c{index};" for index in range(results)]
    return [
        *lines,
        f"mad.lo.u32 %r5, %r2, {threads}, %r1; mad.wide.u32 %rd4, %r5, 4, %rd0;",
        "st.global.u32 [%rd4], %r6;",
        "mad.wide.u32 %rd5, %r2, 8, %rd1; setp.eq.u32 %q, %r1, 0; @%q st.global.u64 [%rd5], %rd3;",
        "ret;\n}",
    ]


def _group(name: str, start: int, count: int) -> str:
    return "{" + ", ".join(f"%{name}{start + i}" for i in range(count)) + "}"


def _float_inputs(instruction: Instruction, name: str, count: int) -> list[str]:
    """Make bits into halves of about 1/2, so that no sum becomes infinite."""
    if ".f32." not in instruction.name and not instruction.name.endswith(".f32"):
        return []
    return [
        f"and.b32 %{name}{i}, %{name}{i}, 0x83ff83ff; xor.b32 %{name}{i}, %{name}{i}, 0x38003800;"
        for i in range(count)
    ]


def _mma_ptx(instruction: Instruction, arch: str) -> str:
    a, b, c = instruction.registers
    chains = [
        f"{instruction.name} {_group('c', chain * c, c)}, {_group('a', 0, a)}, "
        f"{_group('a', a, b)}, {_group('c', chain * c, c)};"
        for chain in range(_CHAINS)
    ]
    lines = [
        *_head(arch, "rate", _THREADS),
        *_scramble(a + b, "a"),
        *_float_inputs(instruction, "a", a + b),
        *(f"mov.b32 %c{i}, 0;" for i in range(_CHAINS * c)),
        *_loop(chains * _UNROLL),
        *_tail(_CHAINS * c, _THREADS),
    ]
    return "\n".join(lines) + "\n"


def _scalar_line(instruction: Instruction, chain: int, chains: int) -> str:
    name, c = instruction.name, f"%c{chain}"
    # The neighbour keeps assemblers from folding repetitions.
    other = f"%c{(chain + 1) % chains}"
    if name.startswith("shfl"):
        return f"{name} {c}, {c}, 1, 31, -1;"
    if name.startswith("lop3"):
        return f"{name} {c}, {c}, {other}, %a1, 0x96;"
    if name.startswith("dp4a"):
        return f"{name} {c}, {other}, %a1, {c};"
    sources = {1: c, 2: f"{c}, {other}", 3: f"{c}, {other}, %a1"}[instruction.registers[0]]
    return f"{name} {c}, {sources};"


def _scalar_ptx(instruction: Instruction, arch: str) -> str:
    chains = 8
    body = [_scalar_line(instruction, chain, chains) for chain in range(chains)]
    lines = _head(arch, "rate", _THREADS) + _scramble(4, "a") + _scramble(chains, "c")
    return "\n".join(lines + _loop(body * 2 * _UNROLL) + _tail(chains, _THREADS)) + "\n"


def _wgmma_ptx(instruction: Instruction, arch: str) -> str:
    """A and B lie in shared memory, without swizzle: 8 rows of 16 bytes lie together."""
    results = _WGMMA_N // 2
    row_bytes = 32  # along k, for each type
    bytes_a, bytes_b = 64 * row_bytes, _WGMMA_N * row_bytes
    # Descriptor: address >> 4, then the strides between 8x16-byte matrices along k and rows.
    strides = (128 >> 4) << 16 | (256 >> 4) << 32
    ending = "1, 1, 1, 0, 0" if ".f16" in instruction.name else "1"
    one = f"{instruction.name} {_group('c', 0, results)}, %rd6, %rd7, {ending};"
    body = [
        "wgmma.fence.sync.aligned;",
        *[one] * 8,
        "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;",
    ]
    lines = [
        *_head(arch, "rate", 128, f".shared .align 128 .b8 tile[{bytes_a + bytes_b}];"),
        *_scramble(1, "a"),
        *_float_inputs(instruction, "a", 1),
        "mov.u32 %r5, tile; mad.lo.u32 %r5, %r1, 4, %r5;",
        *(f"st.shared.u32 [%r5 + {o}], %a0;" for o in range(0, bytes_a + bytes_b, 512)),
        "fence.proxy.async; bar.sync 0; mov.u32 %r5, tile;",
        "and.b32 %r5, %r5, 0x3ffff; shr.u32 %r5, %r5, 4; cvt.u64.u32 %rd6, %r5;",
        f"or.b64 %rd6, %rd6, {strides}; add.u64 %rd7, %rd6, {bytes_a >> 4};",
        *(f"mov.b32 %c{i}, 0;" for i in range(results)),
        *_loop(body),
        *_tail(results, 128),
    ]
    return "\n".join(lines) + "\n"


def ptx(instruction: Instruction, arch: str) -> str:
    """The kernel ``rate(out, cycles, loops)`` that repeats an instruction."""
    make: dict[str, Callable[[Instruction, str], str]] = {
        "mma": _mma_ptx, "scalar": _scalar_ptx, "wgmma": _wgmma_ptx,
    }  # fmt: skip
    return make[instruction.kind](instruction, arch)


def _per_loop(instruction: Instruction) -> tuple[int, int, int]:
    """Instructions of a warp (or warpgroup) in a round of the loop, such units in a block, and its
    threads."""
    if instruction.kind == "mma":
        return _CHAINS * _UNROLL, _THREADS // 32, _THREADS
    if instruction.kind == "scalar":
        return 16 * _UNROLL, _THREADS // 32, _THREADS
    return 8, 1, 128


@dataclass(frozen=True)
class Rate:
    """Operations a cycle and multiprocessor, and the card's rate in 10^12 a second."""

    per_cycle: float
    tera_per_second: float
    instructions_per_cycle: float


def measure(device: Device, instruction: Instruction) -> Rate | str:
    """Run an instruction on all multiprocessors; a string says why it cannot be."""
    major, minor = device.capability
    special = instruction.arch.endswith("a")
    if special and instruction.arch != f"sm_{major}{minor}a":
        return f"needs {instruction.arch}"
    arch = instruction.arch if special else device.arch
    try:
        function = device.load(ptx(instruction, arch), instruction.name).function("rate")
    except SysmolError as error:
        return str(error)
    instructions, units, threads = _per_loop(instruction)
    multiprocessors = device.attribute("multiprocessors")
    # A warpgroup alone waits for its own results: two or three a multiprocessor fill the gaps.
    blocks = multiprocessors * (4 if instruction.kind == "wgmma" else 1)
    out = device.empty(4 * threads * blocks)
    cycles = device.zeros(8 * blocks)
    launch = function.prepare(
        (blocks, 1, 1), (threads, 1, 1), [out, cycles, np.uint32(_BODY_LOOPS)]
    )
    start, end = device.event(), device.event()
    milliseconds = []
    try:
        for _ in range(6):
            start.record()
            launch()
            end.record()
            milliseconds.append(end.since(start))
    except SysmolError as error:
        return str(error)
    total = float(_BODY_LOOPS * instructions * units) * (blocks // multiprocessors)
    spent = statistics.median(cycles.read(np.uint64).tolist())
    return Rate(
        total * instruction.operations / spent,
        total * multiprocessors * instruction.operations / min(milliseconds[1:]) / 1e9,
        total / spent,
    )
