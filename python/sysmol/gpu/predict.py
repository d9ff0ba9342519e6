"""A model of time for kernels: bytes and instruction rates, nothing measured.

What a kernel must move and compute follows from its launch description; a card's rates follow
from its data sheet, and where there is none, from the assumptions named below. The slowest of the
four units says the time. ``sysmol bench --gpu`` measures the same rates and kernels on a card: the
model is there to be corrected by it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sysmol.errors import InputRefused
from sysmol.gpu import kernel as kernels
from sysmol.gpu.bench import find
from sysmol.gpu.kernel import Digits, Kernel, Operation, Segment, Window

__all__ = ["ASSUMPTIONS", "CARDS", "Card", "Prediction", "predict", "rows", "table"]

#: Parts of their peak that memory and tensor cores reach, and microseconds of a launch in a graph.
#: The same for the kernel and for cuBLAS, whose ratio depends little on them.
_MEMORY_PART = 0.9
_TENSOR_PART = 0.8
_LAUNCH = 1.5
#: ``mma.sync`` on sm_90 against ``wgmma``.
_SYNC_PART = 0.62
_SHARED_BYTES_PER_CYCLE = 128

ASSUMPTIONS = (
    f"memory reaches {_MEMORY_PART:.0%} and tensor cores {_TENSOR_PART:.0%} of their peak, for "
    "cuBLAS and for the kernels alike (optimistic for the kernels)",
    "one-bit MMAs do 8 times the products of INT8 (NVIDIA's figure for A100, carried over to the "
    "other cards)",
    "4-bit MMAs on sm_80 and sm_89 do twice the products of INT8",
    f"mma.sync on sm_90 has {_SYNC_PART:.0%} of the rate of wgmma",
    "L2 gives 5.5 TB/s on H100 and H200, 4.5 on A100, 4 on L40S",
    "windows that overlap are read from L1, which holds them, but for the first time",
    "the card holds its boost clock; copies, MMAs and loads overlap; all else is free, as the "
    "instructions that copy pieces of 4 and 8 bytes",
)


@dataclass(frozen=True)
class Card:
    """Rates of a card: bytes a second, and multiply-adds a cycle and multiprocessor."""

    name: str
    arch: str
    multiprocessors: int
    hertz: float
    memory: float
    l2: float
    fp16: int
    int8: int

    @property
    def is_hopper(self) -> bool:
        """Whether ``wgmma`` is what reaches the data sheet's rates."""
        return self.arch == "sm_90"

    @property
    def int4(self) -> int:
        """Products of nibbles: where there are no MMAs for them, as bytes."""
        return self.int8 if self.is_hopper else 2 * self.int8


CARDS = {
    card.name: card
    for card in (
        Card("a100", "sm_80", 108, 1.41e9, 2.04e12, 4.5e12, 1024, 2048),
        Card("l40s", "sm_89", 142, 2.52e9, 0.864e12, 4e12, 512, 1024),
        Card("h100", "sm_90", 132, 1.83e9, 3.35e12, 5.5e12, 2048, 4096),
        Card("h200", "sm_90", 132, 1.83e9, 4.8e12, 5.5e12, 2048, 4096),
    )
}


@dataclass(frozen=True)
class Prediction:
    """Microseconds: of the kernel, of each unit alone, of FP16 by cuBLAS."""

    name: str
    card: str
    strategy: str
    weight_bits: float
    microseconds: float
    bound: str
    memory: float
    l2: float
    tensor: float
    shared: float
    fp16: float
    ratio_fp16: float


def _extent(digits: Digits) -> int:
    return math.prod(size for size, _ in digits)


@dataclass
class _Work:
    """Multiply-adds by each kind of instruction; bytes of all blocks."""

    sync_bits: float = 0
    sync_nibbles: float = 0
    sync_bytes: float = 0
    group_bits: float = 0
    group_bytes: float = 0  # also of nibbles, which wgmma does not know
    l2: float = 0
    shared: float = 0


def _gemv(segment: Segment, m: int, work: _Work) -> None:
    rows, channels = _extent(segment.weights.row), _extent(segment.weights.k)
    if segment.weight_bits == 8:
        work.sync_bytes += rows * 8 * channels
        return
    # Below 8 bits also the sums of activations, as one more product.
    if segment.weight_bits == 4:
        work.sync_nibbles += 2 * rows * 8 * channels
        return
    planes = segment.weight_bits
    tiles = 2 if planes == 2 and m > 4 else 1
    work.sync_bits += (planes + 1) * tiles * rows * 8 * channels


def _pixels(window: Window) -> int:
    """Pixels of which a block's 128 windows are made, at most."""
    columns, per_image = 128, window.out_height * window.out_width
    rows = -(-(columns - 1) // window.out_width) + 1
    if rows > window.out_height:
        images = -(-(columns - 1) // per_image) + 1
        return images * window.height * window.width
    around = (window.taps[0] - 1) * window.dilations[0]
    reach = (rows - 1) * window.strides[0] + 1 + around
    # Or the end of an image and the beginning of the next.
    most = window.height + around if window.images > 1 else window.height
    return min(reach + around * (window.images > 1), most) * window.width


def _gemm(segment: Segment, operation: Operation, block: int, by_group: bool, work: _Work) -> None:
    """Of blocks of ``block`` rows of weights and 128 of activations."""
    rows = _extent(segment.weights.row)
    columns = -(-operation.m // 128) * 128
    bits = segment.weight_bits
    window = operation.window
    # Stages are copied whole (of weights), steps of 256 bits a plane computed where they have
    # channels.
    copied = _extent(segment.weights.k)
    used = operation.taps * segment.tap_channels if window else segment.channels
    step = 256 // (1 if bits <= 2 else bits)
    channels = -(-used // step) * step
    products = rows * columns * channels
    # Blocks copy both operands; 1/8 byte a bit.
    blocks = rows * columns / (block * 128)
    weights = blocks * block * copied * bits / 8
    activations = blocks * 128 * used * bits / 8
    work.l2 += weights
    if window:
        read = blocks * _pixels(window) * segment.tap_channels * bits / 8
        work.l2 += min(read, activations)
        work.shared += activations  # from L1, which shares its bandwidth
    else:
        work.l2 += activations
    # Copies write them; then warps read rows and columns of each step: half the block's rows and 32
    # columns, or 16 and 128,
    # where a warpgroup's MMA reads the columns once for its 64 rows, at level 2 for each plane.
    # Nibbles are read once more, and written and read as bytes.
    columns_read = 32 * 8 if not by_group else 2 * block * {2: 2, 4: 2}.get(bits, 1)
    spread = 3 * 128 if by_group and bits == 4 else 0
    rows_read = 8 * (block // 2) if not by_group else 128
    work.shared += weights + activations
    work.shared += blocks * channels * bits / 8 * (rows_read + columns_read + spread)
    if bits == 4 and not by_group:
        work.sync_nibbles += products
    elif bits >= 4:
        work.group_bytes += products * by_group
        work.sync_bytes += products * (not by_group)
    else:
        work.group_bits += bits**2 * products * by_group
        work.sync_bits += bits**2 * products * (not by_group)


def predict(kernel: Kernel, card: Card) -> Prediction:
    """Predict one kernel on one card.

    Parameters
    ----------
    kernel : Kernel
        Its description; only layouts and launches are used.
    card : Card
        One of `CARDS`.

    Returns
    -------
    Prediction

    Raises
    ------
    InputRefused
        The description does not say which strategy the kernel has.
    """
    operation = kernel.operation
    known = ("gemv", "gemm", "gemm_warpgroup", "conv", "conv_warpgroup")
    if operation.strategy not in known:
        raise InputRefused(
            f"{kernel.path}: 'strategy' is '{operation.strategy}'; known are {', '.join(known)}"
        )
    by_group = operation.strategy.endswith("_warpgroup")
    if by_group and not card.is_hopper:
        raise InputRefused(f"{kernel.path}: {card.name} has no wgmma")
    work = _Work()
    columns = -(-operation.m // 128) * 128
    main = kernel.launches[-1]
    for segment in operation.segments:
        if operation.strategy == "gemv":
            _gemv(segment, operation.m, work)
        else:
            block = _extent(segment.weights.row) * columns // (128 * math.prod(main.grid))
            _gemm(segment, operation, block, by_group, work)
    # Blocks come in rounds; the last one may be short.
    rounds = math.prod(main.grid) / card.multiprocessors
    lost = math.ceil(rounds) / rounds
    cycle = card.multiprocessors * card.hertz
    sync = _SYNC_PART if card.is_hopper else 1.0
    tensor = (
        (work.sync_bits / 8 + work.sync_bytes) / (card.int8 * sync)
        + work.sync_nibbles / (card.int4 * sync)
        + (work.group_bits / 8 + work.group_bytes) / card.int8
    ) / cycle
    terms = {
        "memory": sum(buffer.bytes for buffer in kernel.buffers.values())
        / (card.memory * _MEMORY_PART),
        "l2": work.l2 / card.l2,
        "tensor": tensor * lost / _TENSOR_PART,
        "shared": work.shared * lost / (_SHARED_BYTES_PER_CYCLE * cycle),
    }
    bound = max(terms, key=lambda name: terms[name])
    m, n, k = operation.m, operation.n, operation.k * operation.taps
    inputs = operation.window.pixels * operation.k if operation.window else m * k
    fp16 = max(
        2 * (n * k + inputs + m * n) / (card.memory * _MEMORY_PART),
        m * n * k / (card.fp16 * cycle * _TENSOR_PART),
    )
    micro = {name: value * 1e6 for name, value in terms.items()}
    total = micro[bound] + _LAUNCH * len(kernel.launches)
    peer = fp16 * 1e6 + _LAUNCH
    return Prediction(
        kernel.name, card.name, operation.strategy, operation.weight_bits, total, bound,
        micro["memory"], micro["l2"], micro["tensor"], micro["shared"], peer, peer / total,
    )  # fmt: skip


def rows(paths: Sequence[str | os.PathLike[str]], card: str) -> dict[str, Any]:
    """Predict kernels by their descriptions, or folders of them.

    Returns
    -------
    dict
        ``suite`` (``gpu-prediction``), ``card``, ``assumptions``, ``rows``.
    """
    if card not in CARDS:
        raise InputRefused(f"card '{card}' is not known; known are {', '.join(CARDS)}")
    found = [predict(kernels.read(path), CARDS[card]) for path in find(paths)]
    return {
        "suite": "gpu-prediction",
        "card": asdict(CARDS[card]),
        "assumptions": list(ASSUMPTIONS),
        "rows": [asdict(row) for row in found],
    }


def table(result: dict[str, Any]) -> str:
    """Lines for people."""
    lines = [
        f"PREDICTION for {result['card']['name']}, nothing is measured; it assumes that",
        *(f"- {assumption};" for assumption in result["assumptions"]),
        f"{'kernel':<40} {'bits':>5} {'us':>8} {'bound':<7} {'memory':>8} {'l2':>8} {'tensor':>8} "
        f"{'shared':>8} {'fp16 us':>8} {'x fp16':>7}",
    ]
    lines += [
        f"{row['name']:<40} {row['weight_bits']:5.2f} {row['microseconds']:8.1f} "
        f"{row['bound']:<7} {row['memory']:8.1f} {row['l2']:8.1f} {row['tensor']:8.1f} "
        f"{row['shared']:8.1f} {row['fp16']:8.1f} {row['ratio_fp16']:7.2f}"
        for row in result["rows"]
    ]
    return "\n".join(lines)
