"""Single layers as programs that the compiler reads, and as the networks that peers read.

Weights are random: speed does not depend on values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sysmol.errors import SysmolError
from sysmol.grids import Grid, code_range

__all__ = ["LAYER", "MIXES", "Convolution", "Product", "channel_bits", "counts"]

#: Shares of the multiply-accumulates at each precision, by name.
MIXES: dict[str, dict[int, float]] = {
    "60/35/5": {1: 0.60, 2: 0.35, 4: 0.05},
    "1 bit": {1: 1.0},
    "2 bit": {2: 1.0},
    "4 bit": {4: 1.0},
    "8 bit": {8: 1.0},
}

#: Name of the one layer in the programs of this module.
LAYER = "layer"

Codes = npt.NDArray[np.int64]


def counts(channels: int, mix: Mapping[int, float]) -> dict[int, int]:
    """Channels of each precision: the shares, rounded by the largest remainders.

    >>> counts(16, {1: 0.6, 2: 0.35, 4: 0.05})
    {1: 10, 2: 5, 4: 1}
    """
    if not mix or any(p not in (1, 2, 4, 8) for p in mix) or len(mix) > 3:
        raise SysmolError(f"a mix has one to three of the precisions 1, 2, 4, 8, not {list(mix)}")
    if any(share < 0 for share in mix.values()) or abs(sum(mix.values()) - 1) > 1e-6:
        raise SysmolError(f"the shares of a mix add up to 1, not {list(mix.values())}")
    exact = {p: share * channels for p, share in mix.items()}
    found = {p: int(value) for p, value in exact.items()}
    by_remainder = sorted(mix, key=lambda p: (found[p] - exact[p], p))
    for p in by_remainder[: channels - sum(found.values())]:
        found[p] += 1
    return {p: count for p, count in found.items() if count}


def channel_bits(channels: int, mix: Mapping[int, float]) -> list[int]:
    """Bits of each channel, sorted."""
    return [p for p, count in sorted(counts(channels, mix).items()) for _ in range(count)]


def _codes_type(shape: tuple[int, ...], bits: list[int], grid: Grid, groups: int = 1) -> str:
    sizes = "x".join(map(str, shape))
    grouped = f", groups = {groups}" if groups > 1 else ""
    return (
        f"tensor<{sizes}xi8, #hetprec.channels<axis = 1, grid = {grid.value}, scale = 1.0, "
        f"bits = {bits}{grouped}>>"
    )


def _plain_type(shape: tuple[int, ...], element: str) -> str:
    return f"tensor<{'x'.join(map(str, shape))}x{element}>"


def _constant(codes: Codes, kind: str) -> str:
    return f'arith.constant dense<"0x{codes.astype(np.int8).tobytes().hex()}"> : {kind}'


def _random(bits: Codes, shape: tuple[int, ...], grid: Grid, rng: np.random.Generator) -> Codes:
    low, high = code_range(grid, bits)
    return np.asarray(rng.integers(low, high + 1, shape))


def _floats(values: list[float]) -> str:
    return "[" + ", ".join(f"{value:.9e}" for value in values) + "]"


def _spread(bits: list[int], taps: int) -> float:
    """About the standard deviation of a sum of products, in the accumulator's unit (HP11)."""
    unit = {1: 1, 2: 6, 4: 120, 8: 16320}
    finest = unit[max(bits)]
    variance = 0.0
    for p in bits:
        weight = 127.0**2 / 3 if p == 8 else (4.0**p - 1) / 3
        activation = (2.0**p - 1) ** 2 / 3 + (2.0**p - 1) / 6
        variance += taps * (finest / unit[p]) ** 2 * weight * activation
    return float(np.sqrt(variance))


@dataclass(frozen=True)
class Convolution:
    """A convolution of one image, padded so that stride 1 keeps the size.

    Attributes
    ----------
    channels, outputs : int
    size : int
        Height and width of the input.
    kernel, stride : int
    depthwise : bool
        Each channel by itself; ``outputs`` equals ``channels``.
    """

    channels: int
    outputs: int
    size: int
    kernel: int = 3
    stride: int = 1
    depthwise: bool = False

    def __str__(self) -> str:
        kind = "depthwise " if self.depthwise else ""
        stride = f", stride {self.stride}" if self.stride > 1 else ""
        return (
            f"{kind}{self.kernel}x{self.kernel} {self.channels}->{self.outputs}, "
            f"{self.size}x{self.size}{stride}"
        )

    @property
    def pad(self) -> int:
        """On each side."""
        return self.kernel // 2

    @property
    def output_size(self) -> int:
        """Height and width of the output."""
        return (self.size + 2 * self.pad - self.kernel) // self.stride + 1

    @property
    def input_shape(self) -> tuple[int, ...]:
        """[N, C, H, W]."""
        return (1, self.channels, self.size, self.size)

    @property
    def filter_shape(self) -> tuple[int, ...]:
        """[O, C / groups, KH, KW]."""
        return (self.outputs, 1 if self.depthwise else self.channels, self.kernel, self.kernel)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """[N, O, OH, OW]."""
        return (1, self.outputs, self.output_size, self.output_size)

    @property
    def macs(self) -> int:
        """Multiply-accumulates, of taps in the padding too, as everybody counts."""
        return int(np.prod(self.output_shape)) * int(np.prod(self.filter_shape[1:]))

    def macs_by_level(self, mix: Mapping[int, float]) -> dict[int, float]:
        """Channels share the multiply-accumulates evenly."""
        return {
            p: self.macs * count / self.channels for p, count in counts(self.channels, mix).items()
        }

    def program(self, mix: Mapping[int, float], seed: int = 0) -> str:
        """Codes in, convolution, requantization to the same mix, codes out."""
        rng = np.random.default_rng(seed)
        bits = channel_bits(self.channels, mix)
        out_bits = channel_bits(self.outputs, mix)
        groups = self.channels if self.depthwise else 1
        per_row = np.array(bits).reshape(-1, 1, 1, 1) if self.depthwise else np.array(bits)
        axis = per_row if self.depthwise else per_row.reshape(1, -1, 1, 1)
        weights = _random(axis, self.filter_shape, Grid.MIDRISE, rng)
        x = _codes_type(self.input_shape, bits, Grid.UNSIGNED)
        w = _codes_type(self.filter_shape, bits, Grid.MIDRISE, groups)
        sums = _plain_type(self.output_shape, "i32")
        y = _codes_type(self.output_shape, out_bits, Grid.UNSIGNED)
        spread = _spread(bits[:1] if self.depthwise else bits, self.kernel**2)
        multiplier = [2.0**p / (3 * spread) for p in out_bits]
        offset = [2.0**p * 0.3 for p in out_bits]
        pads = [self.pad] * 4
        return "\n".join(
            [
                f"func.func @main(%x: {x}) -> {y} {{",
                f"  %w = {_constant(weights, w)}",
                f"  %a = hetprec.conv_2d %x, %w strides = {[self.stride] * 2} pads = {pads} "
                f'groups = {groups} : {x}, {w} -> {sums} loc("{LAYER}")',
                f"  %y = hetprec.requantize %a multiplier = {_floats(multiplier)} "
                f'offset = {_floats(offset)} : {sums} to {y} loc("{LAYER}.codes")',
                f"  return %y : {y}",
                "}",
                "",
            ]
        )


@dataclass(frozen=True)
class Product:
    """A linear layer on ``rows`` rows: [rows, inputs] x [outputs, inputs]."""

    rows: int
    inputs: int
    outputs: int

    def __str__(self) -> str:
        return f"{self.rows} x {self.inputs}->{self.outputs}"

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.rows * self.inputs * self.outputs

    def macs_by_level(self, mix: Mapping[int, float]) -> dict[int, float]:
        """Channels share the multiply-accumulates evenly."""
        return {p: self.macs * n / self.inputs for p, n in counts(self.inputs, mix).items()}

    def weight_bytes(self, mix: Mapping[int, float]) -> float:
        """Of the codes alone, without gaps in words."""
        return sum(p * n for p, n in counts(self.inputs, mix).items()) * self.outputs / 8

    def program(self, mix: Mapping[int, float], seed: int = 0) -> str:
        """Reals in, quantization, product, reals out: what a linear layer is to its user."""
        rng = np.random.default_rng(seed)
        bits = channel_bits(self.inputs, mix)
        weights = _random(
            np.array(bits).reshape(1, -1), (self.outputs, self.inputs), Grid.MIDRISE, rng
        )
        x = _codes_type((self.rows, self.inputs), bits, Grid.UNSIGNED)
        w = _codes_type((self.outputs, self.inputs), bits, Grid.MIDRISE)
        real = _plain_type((self.rows, self.inputs), "f32")
        sums = _plain_type((self.rows, self.outputs), "i32")
        result = _plain_type((self.rows, self.outputs), "f32")
        return "\n".join(
            [
                f"func.func @main(%r: {real}) -> {result} {{",
                f'  %x = hetprec.quantize %r : {real} to {x} loc("quantize")',
                f"  %w = {_constant(weights, w)}",
                f'  %a = hetprec.matmul %x, %w : {x}, {w} -> {sums} loc("{LAYER}")',
                f"  %y = hetprec.to_real %a multiplier = [0.001] offset = [0.0] : {sums} to "
                f"{result}",
                f"  return %y : {result}",
                "}",
                "",
            ]
        )
