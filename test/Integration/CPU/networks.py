"""Networks with seeded random weights, one a file, for the tests beside this file.

`networks.py SET FOLDER` writes every network of a set (a function below) as FOLDER/<name>.mlir.
"""

import importlib
import math
import random
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Bits = Sequence[int]
UNITS = {"unsigned": {1: 1, 2: 6, 4: 120, 8: 16320}, "midrise": {1: 1, 2: 4, 4: 64, 8: 4096}}


@dataclass
class Value:
    """An SSA value; `spread` is about the standard deviation of sums."""

    name: str
    shape: list[int]
    type: str
    bits: Bits = ()
    grid: str = ""
    spread: float = 1.0


class Network:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.arguments: list[Value] = []

    def emit(self, op: str, type_: str, shape: list[int], **more: object) -> Value:
        name = f"%{len(self.lines)}"
        self.lines.append(f"  {name} = {op}")
        return Value(name, shape, type_, **more)  # type: ignore[arg-type]

    @staticmethod
    def codes_type(
        shape: list[int], bits: Bits, grid: str, scale: str = "1.0", groups: int = 1
    ) -> str:
        sizes = "x".join(map(str, shape))
        suffix = f", groups = {groups}" if groups > 1 else ""
        return (
            f"tensor<{sizes}xi8, #hetprec.channels<axis = 1, grid = {grid}, scale = {scale}, "
            f"bits = [{', '.join(map(str, bits))}]{suffix}>>"
        )

    @staticmethod
    def plain_type(shape: list[int], element: str) -> str:
        return f"tensor<{'x'.join(map(str, shape))}x{element}>"

    def argument(self, shape: list[int], bits: Bits, grid: str = "unsigned") -> Value:
        value = Value(
            f"%arg{len(self.arguments)}", shape, self.codes_type(shape, bits, grid), bits, grid
        )
        self.arguments.append(value)
        return value

    def quantized(
        self, shape: list[int], bits: Bits, grid: str = "unsigned", scale: str = "1.0"
    ) -> Value:
        """A real argument, quantized."""
        real = Value(f"%arg{len(self.arguments)}", shape, self.plain_type(shape, "f32"))
        self.arguments.append(real)
        return self.quantize(real, bits, grid, scale)

    def quantize(self, x: Value, bits: Bits, grid: str = "unsigned", scale: str = "1.0") -> Value:
        type_ = self.codes_type(x.shape, bits, grid, scale)
        return self.emit(
            f"hetprec.quantize {x.name} : {x.type} to {type_}", type_, x.shape, bits=bits, grid=grid
        )

    def constant(self, codes: bytes, type_: str, shape: list[int]) -> Value:
        return self.emit(f'arith.constant dense<"0x{codes.hex()}"> : {type_}', type_, shape)

    def codes(
        self, codes: Sequence[int], shape: list[int], level: int, grid: str = "unsigned"
    ) -> Value:
        """A constant whose channels all have one precision."""
        bits = [level] * shape[1]
        value = self.constant(bytes(codes), self.codes_type(shape, bits, grid), shape)
        value.bits, value.grid = bits, grid
        return value

    def weights(self, shape: list[int], bits: Bits, groups: int = 1) -> Value:
        taps = math.prod(shape[2:])
        codes = bytearray()
        for output in range(shape[0]):
            group = output // (shape[0] // groups)
            for channel in range(shape[1]):
                p = bits[group * shape[1] + channel]
                for _ in range(taps):
                    draw = (
                        self.random.randint(-127, 127) if p == 8 else self.random.randrange(1 << p)
                    )
                    codes.append(draw % 256)
        return self.constant(
            bytes(codes), self.codes_type(shape, bits, "midrise", "0.5", groups), shape
        )

    def spread_of(self, x: Value, channels: int, taps: int) -> float:
        """Of a dot product with random weights over the first `channels` channels."""
        units = UNITS[x.grid]
        finest = max(x.bits)
        variance = 0.0
        for p in x.bits[:channels]:
            count = units[finest] / units[p]
            weight = 127.0**2 / 3 if p == 8 else (4.0**p - 1) / 3
            if x.grid == "unsigned":
                activation = (2.0**p - 1) ** 2 / 3 + (2.0**p - 1) / 6
            else:
                activation = weight
            variance += taps * count**2 * weight * activation
        return math.sqrt(variance)

    def conv(
        self,
        x: Value,
        outputs: int,
        kernel: tuple[int, int],
        strides: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilations: tuple[int, int] = (1, 1),
        groups: int = 1,
        depthwise: bool = False,
    ) -> Value:
        n, c, h, w = x.shape
        groups = c if depthwise else groups
        filter_ = self.weights([outputs, c // groups, *kernel], x.bits, groups)
        oh = (h + pads[0] + pads[2] - dilations[0] * (kernel[0] - 1) - 1) // strides[0] + 1
        ow = (w + pads[1] + pads[3] - dilations[1] * (kernel[1] - 1) - 1) // strides[1] + 1
        shape = [n, outputs, oh, ow]
        type_ = self.plain_type(shape, "i32")
        mnemonic = "depthwise_conv_2d" if depthwise else "conv_2d"
        extra = "" if depthwise else f" groups = {groups}"
        return self.emit(
            f"hetprec.{mnemonic} {x.name}, {filter_.name} strides = {list(strides)} "
            f"pads = {list(pads)} dilations = {list(dilations)}{extra} : "
            f"{x.type}, {filter_.type} -> {type_}",
            type_,
            shape,
            spread=self.spread_of(x, c // groups, math.prod(kernel)),
        )

    def matmul(self, x: Value, outputs: int) -> Value:
        filter_ = self.weights([outputs, x.shape[1]], x.bits)
        shape = [x.shape[0], outputs]
        type_ = self.plain_type(shape, "i32")
        return self.emit(
            f"hetprec.matmul {x.name}, {filter_.name} : {x.type}, {filter_.type} -> {type_}",
            type_,
            shape,
            spread=self.spread_of(x, x.shape[1], 1),
        )

    @staticmethod
    def pooled(
        x: Value, kernel: Sequence[int], strides: Sequence[int], pads: Sequence[int]
    ) -> list[int]:
        padded = [x.shape[2 + i] + pads[i] + pads[2 + i] for i in (0, 1)]
        sizes = [(padded[i] - kernel[i]) // strides[i] + 1 for i in (0, 1)]
        return [*x.shape[:2], *sizes]

    def pool(
        self,
        x: Value,
        kernel: tuple[int, int],
        strides: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> Value:
        shape = self.pooled(x, kernel, strides, pads)
        type_ = self.plain_type(shape, "i32")
        return self.emit(
            f"hetprec.sum_pool_2d {x.name} kernel = {list(kernel)} strides = {list(strides)} "
            f"pads = {list(pads)} : {x.type} -> {type_}",
            type_,
            shape,
            spread=(2.0 ** max(x.bits) - 1) / 2 * math.prod(kernel),
        )

    def max_pool(
        self,
        x: Value,
        kernel: tuple[int, int],
        strides: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> Value:
        shape = self.pooled(x, kernel, strides, pads)
        before, behind = ("x".join(map(str, sizes)) for sizes in (x.shape, shape))
        type_ = x.type.replace(f"tensor<{before}x", f"tensor<{behind}x", 1)
        return self.emit(
            f"hetprec.max_pool_2d {x.name} kernel = {list(kernel)} strides = {list(strides)} "
            f"pads = {list(pads)} : {x.type} -> {type_}",
            type_,
            shape,
            bits=x.bits,
            grid=x.grid,
        )

    def multipliers(self, x: Value, ranges: list[float], turned: float) -> list[float]:
        """Spread `x` over each channel's range of codes; a part of them negative."""
        return [
            (-1 if self.random.random() < turned else 1)
            * r
            / (3 * x.spread)
            * self.random.uniform(0.7, 1.4)
            for r in ranges
        ]

    @staticmethod
    def floats(values: Sequence[float]) -> str:
        hexes = (struct.unpack("<I", struct.pack("<f", v))[0] for v in values)
        return "[" + ", ".join(f"0x{h:08X}" for h in hexes) + "]"

    def requantize(
        self, x: Value, bits: Bits, grid: str = "unsigned", turned: float = 0.3
    ) -> Value:
        ranges = [2.0**p for p in bits]
        multiplier = self.multipliers(x, ranges, turned)
        middle = 0.3 if grid == "unsigned" else 0.0
        offset = [r * (middle + self.random.uniform(-0.2, 0.2)) for r in ranges]
        type_ = self.codes_type(x.shape, bits, grid)
        return self.emit(
            f"hetprec.requantize {x.name} multiplier = {self.floats(multiplier)} "
            f"offset = {self.floats(offset)} : {x.type} to {type_}",
            type_,
            x.shape,
            bits=bits,
            grid=grid,
        )

    def permute(self, x: Value, order: list[int]) -> Value:
        bits = [x.bits[i] for i in order]
        type_ = self.codes_type(x.shape, bits, x.grid)
        return self.emit(
            f"hetprec.permute {x.name} axis = 1 permutation = {order} : {x.type} to {type_}",
            type_,
            x.shape,
            bits=bits,
            grid=x.grid,
        )

    def carrier(
        self, x: Value, spread: float = 9000.0, offset: bool = False, relu: bool = False
    ) -> Value:
        multiplier = self.multipliers(x, [3 * spread] * x.shape[1], 0.3)
        behind = ""
        if offset:
            offsets = [self.random.uniform(-spread, spread) for _ in multiplier]
            behind += f" offset = {self.floats(offsets)}"
        behind += " relu" if relu else ""
        sizes = "x".join(map(str, x.shape))
        type_ = f"tensor<{sizes}xi16, #hetprec.carrier<delta = 0.00390625>>"
        return self.emit(
            f"hetprec.to_carrier {x.name} multiplier = {self.floats(multiplier)}{behind} : "
            f"{x.type} to {type_}",
            type_,
            x.shape,
            spread=spread,
        )

    def add(self, x: Value, y: Value, relu: bool = False) -> Value:
        spread = math.hypot(x.spread, y.spread)
        behind = " relu" if relu else ""
        return self.emit(
            f"hetprec.add {x.name}, {y.name}{behind} : {x.type}", x.type, x.shape, spread=spread
        )

    def real(self, x: Value) -> Value:
        multiplier = self.multipliers(x, [3.0] * x.shape[1], 0.3)
        offset = [self.random.uniform(-1, 1) for _ in multiplier]
        type_ = self.plain_type(x.shape, "f32")
        return self.emit(
            f"hetprec.to_real {x.name} multiplier = {self.floats(multiplier)} "
            f"offset = {self.floats(offset)} : {x.type} to {type_}",
            type_,
            x.shape,
        )

    def dequantize(self, x: Value) -> Value:
        type_ = self.plain_type(x.shape, "f32")
        return self.emit(f"hetprec.dequantize {x.name} : {x.type} to {type_}", type_, x.shape)

    def flatten(self, x: Value) -> Value:
        pixels = x.shape[2] * x.shape[3]
        bits = [p for p in x.bits for _ in range(pixels)]
        shape = [x.shape[0], len(bits)]
        type_ = self.codes_type(shape, bits, x.grid)
        return self.emit(
            f"hetprec.flatten {x.name} : {x.type} to {type_}", type_, shape, bits=bits, grid=x.grid
        )

    def text(self, *results: Value) -> str:
        arguments = ", ".join(f"{a.name}: {a.type}" for a in self.arguments)
        types = ", ".join(r.type for r in results)
        names = ", ".join(r.name for r in results)
        body = "\n".join(self.lines)
        head = f"func.func @main({arguments}) -> ({types})"
        return f"{head} {{\n{body}\n  return {names} : {types}\n}}\n"


def mixed(count: int, levels: Bits = (1, 2, 4), seed: int = 0) -> list[int]:
    """Channels of several levels in no order, each level there."""
    generator = random.Random(seed)
    bits = [levels[i % len(levels)] for i in range(count)]
    generator.shuffle(bits)
    return bits


def conv() -> dict[str, str]:
    """Windows of every kind; unsigned activations."""
    cases: dict[str, dict[str, object]] = {
        "1x1": {"kernel": (1, 1)},
        "1x1-stride": {"kernel": (1, 1), "strides": (2, 2)},
        "3x3": {"kernel": (3, 3), "pads": (1, 1, 1, 1)},
        "3x3-valid": {"kernel": (3, 3)},
        "stride-2": {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)},
        "stride-2-even": {"kernel": (2, 2), "strides": (2, 2)},
        "stride-3": {"kernel": (3, 3), "strides": (3, 3), "pads": (1, 1, 1, 1)},
        "stride-2x1": {"kernel": (3, 3), "strides": (2, 1), "pads": (1, 0, 0, 1)},
        "stride-1x3": {"kernel": (3, 3), "strides": (1, 3), "pads": (0, 2, 1, 0)},
        "stride-past-kernel": {"kernel": (2, 2), "strides": (3, 3)},
        "dilated": {"kernel": (3, 3), "pads": (2, 2, 2, 2), "dilations": (2, 2)},
        "dilated-uneven": {"kernel": (3, 2), "pads": (1, 0, 2, 3), "dilations": (1, 3)},
        "dilated-stride": {
            "kernel": (3, 3),
            "strides": (2, 2),
            "pads": (2, 2, 2, 2),
            "dilations": (2, 2),
        },
        "dilated-3-stride-2": {
            "kernel": (3, 3),
            "strides": (2, 2),
            "pads": (3, 3, 3, 3),
            "dilations": (3, 3),
        },
        "pads-uneven": {"kernel": (3, 3), "pads": (0, 2, 1, 0)},
        "pads-past-kernel": {"kernel": (3, 3), "pads": (3, 4, 5, 3)},
        "5x5": {"kernel": (5, 5), "pads": (2, 2, 2, 2)},
        "7x7": {"kernel": (7, 7), "pads": (3, 3, 3, 3)},
        "7x7-stride-2": {"kernel": (7, 7), "strides": (2, 2), "pads": (3, 3, 3, 3)},
        "1x7": {"kernel": (1, 7), "pads": (0, 3, 0, 3)},
        "9x1": {"kernel": (9, 1), "pads": (4, 0, 4, 0)},
        "whole-image": {"kernel": (9, 11)},
    }
    files = {}
    for i, (name, options) in enumerate(cases.items()):
        net = Network(i)
        x = net.argument([1, 13, 9, 11], mixed(13))
        acc = net.conv(x, 10, **options)  # type: ignore[arg-type]
        files[name] = net.text(net.requantize(acc, mixed(10)))
    return files


def conv_shapes() -> dict[str, str]:
    """Batches, and sizes around a block of 64 lanes."""
    files = {}
    for i, (n, h, w) in enumerate(
        [(3, 5, 7), (2, 1, 1), (1, 8, 8), (1, 1, 64), (1, 1, 65), (1, 9, 7), (1, 17, 33), (5, 3, 3)]
    ):
        for stride in (1, 2):
            net = Network(i)
            x = net.quantized([n, 7, h, w], mixed(7), scale="0.75")
            acc = net.conv(x, 9, (3, 3), strides=(stride, stride), pads=(1, 1, 1, 1))
            files[f"{n}x{h}x{w}-stride-{stride}"] = net.text(net.requantize(acc, mixed(9)))
    return files


def stems() -> dict[str, str]:
    """One to four 8-bit channels: up to three are a stream of bytes where that saves words."""
    files = {}
    windows: dict[str, dict[str, object]] = {
        "3x3": {"kernel": (3, 3), "pads": (1, 1, 1, 1)},
        "3x3-stride-2": {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)},
        "7x7": {"kernel": (7, 7), "pads": (3, 3, 3, 3)},
        "7x7-stride-2": {"kernel": (7, 7), "strides": (2, 2), "pads": (3, 3, 3, 3)},
        "5x7-stride-1x3": {"kernel": (5, 7), "strides": (1, 3), "pads": (0, 2, 4, 1)},
        "1x5-stride-2x1": {"kernel": (1, 5), "strides": (2, 1)},
        "1x9-stride-4": {"kernel": (1, 9), "strides": (4, 4), "pads": (0, 5, 0, 3)},
        "dilated-rows": {"kernel": (3, 4), "pads": (2, 0, 2, 3), "dilations": (2, 1)},
        "dilated-columns": {"kernel": (3, 4), "pads": (1, 4, 1, 2), "dilations": (1, 2)},
    }
    for channels in (1, 2, 3, 4):
        for name, window in windows.items():
            net = Network(channels)
            x = net.quantized([2, channels, 11, 13], [8] * channels, scale="0.01")
            acc = net.conv(x, 5, **window)  # type: ignore[arg-type]
            files[f"{channels}-{name}"] = net.text(net.requantize(acc, mixed(5)))
    # Images that fill blocks of 64 lanes, and windows that read nothing behind their last pixel.
    full: dict[str, tuple[list[int], dict[str, object]]] = {
        "2x2-stride-2": ([1, 1, 16, 16], {"kernel": (2, 2), "strides": (2, 2)}),
        "2x2-stride-2-batch": ([4, 1, 8, 8], {"kernel": (2, 2), "strides": (2, 2)}),
        "4x4-stride-6": ([1, 1, 48, 48], {"kernel": (4, 4), "strides": (6, 6)}),
        "2x3-stride-3": ([1, 2, 24, 24], {"kernel": (2, 3), "strides": (3, 3)}),
        "causal-1x5": ([1, 1, 1, 64], {"kernel": (1, 5), "pads": (0, 4, 0, 0)}),
        "causal-1x7": ([1, 3, 1, 64], {"kernel": (1, 7), "pads": (0, 6, 0, 0)}),
        "causal-3x7": ([1, 3, 1, 64], {"kernel": (3, 7), "pads": (2, 6, 0, 0)}),
        "wide-1x7": ([1, 3, 1, 58], {"kernel": (1, 7), "pads": (0, 6, 0, 6)}),
    }
    for name, (shape, window) in full.items():
        net = Network(7)
        x = net.quantized(shape, [8] * shape[1], scale="0.01")
        acc = net.conv(x, 5, **window)  # type: ignore[arg-type]
        files[f"full-{name}"] = net.text(net.requantize(acc, mixed(5)))
    # Inside a network, its channels turned round, with two readers that share the planes.
    net = Network(8)
    x = net.quantized([1, 4, 12, 11], mixed(4))
    hidden = net.requantize(net.conv(x, 3, (3, 3), pads=(1, 1, 1, 1)), [8] * 3)
    turned = net.permute(hidden, [2, 0, 1])
    first = net.conv(turned, 5, (7, 7), (2, 2), (3, 3, 3, 3))
    second = net.conv(turned, 4, (7, 7), (2, 2), (3, 3, 3, 3))
    straight = net.conv(hidden, 3, (7, 7), (2, 2), (3, 3, 3, 3))
    files["turned"] = net.text(
        *(net.requantize(acc, mixed(acc.shape[1])) for acc in (first, second, straight))
    )
    return files


def conv_signed() -> dict[str, str]:
    """Mid-rise activations: padded taps are absent (HP13)."""
    cases: dict[str, dict[str, object]] = {
        "valid": {"kernel": (3, 3)},
        "padded": {"kernel": (3, 3), "pads": (1, 1, 1, 1)},
        "uneven": {"kernel": (3, 3), "pads": (2, 0, 0, 1)},
        "stride-2": {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)},
        "stride-2-valid": {"kernel": (3, 3), "strides": (2, 2)},
        "stride-2-uneven": {"kernel": (3, 3), "strides": (2, 2), "pads": (0, 0, 1, 1)},
        "dilated": {"kernel": (3, 3), "pads": (2, 2, 2, 2), "dilations": (2, 2)},
        "7x7": {"kernel": (7, 7), "pads": (3, 3, 3, 3)},
        "groups": {"kernel": (3, 3), "pads": (1, 1, 1, 1), "groups": 2},
        "depthwise": {"kernel": (3, 3), "pads": (1, 1, 1, 1), "depthwise": True},
        "depthwise-stride": {
            "kernel": (3, 3),
            "strides": (2, 2),
            "pads": (1, 1, 1, 1),
            "depthwise": True,
        },
    }
    files = {}
    for i, (name, options) in enumerate(cases.items()):
        for levels in ((1, 2, 4), (2, 4, 8)):
            net = Network(i)
            x = net.argument([2, 12, 7, 6], mixed(12, levels), "midrise")
            acc = net.conv(x, 12, **options)  # type: ignore[arg-type]
            y = net.requantize(acc, mixed(12, levels, 1), "midrise")
            tag = "".join(map(str, levels))
            files[f"{name}-{tag}"] = net.text(y)
    return files


def levels() -> dict[str, str]:
    """Every set of levels in, every set out, on both grids."""
    sets = [(1,), (2,), (4,), (8,), (1, 2), (1, 8), (4, 8), (1, 2, 8), (1, 4, 8), (2, 4, 8)]
    files = {}
    for i, inner in enumerate(sets):
        for grid in ("unsigned", "midrise"):
            for out in ("unsigned", "midrise"):
                net = Network(i)
                x = net.argument([1, 11, 5, 4], mixed(11, inner), grid)
                outputs = sets[(3 * i + 1) % len(sets)]
                y = net.requantize(
                    net.conv(x, 11, (3, 3), pads=(1, 1, 1, 1)), mixed(11, outputs, 2), out
                )
                z = net.requantize(net.conv(y, 5, (1, 1)), mixed(5, inner, 3), grid)
                tag = "".join(map(str, inner)), "".join(map(str, outputs))
                files[f"{grid}-{tag[0]}-to-{out}-{tag[1]}"] = net.text(z)
    return files


def groups() -> dict[str, str]:
    files = {}
    shapes = [(12, 12, 2), (12, 6, 3), (12, 24, 4), (12, 12, 6), (15, 30, 5), (9, 9, 9)]
    for i, (channels, outputs, count) in enumerate(shapes):
        for stride in (1, 2):
            net = Network(i)
            x = net.argument([1, channels, 6, 5], mixed(channels))
            acc = net.conv(x, outputs, (3, 3), (stride, stride), pads=(1, 1, 1, 1), groups=count)
            y = net.requantize(acc, mixed(outputs, seed=1))
            # An ungrouped reader: its input must be sorted, the grouped rows stay.
            z = net.requantize(net.conv(y, 7, (1, 1)), mixed(7))
            files[f"groups-{channels}-{outputs}-{count}-stride-{stride}"] = net.text(z)
    for i, (multiplier, kernel) in enumerate([(1, 3), (2, 3), (3, 5), (1, 7)]):
        for stride in (1, 2) if kernel < 5 else (1,):  # unrolled windows compile slowly
            net = Network(i)
            x = net.argument([2, 10, 8, 7], mixed(10))
            pad = kernel // 2
            acc = net.conv(
                x,
                10 * multiplier,
                (kernel, kernel),
                (stride, stride),
                pads=(pad, pad, pad, pad),
                depthwise=True,
            )
            y = net.requantize(acc, mixed(10 * multiplier, (1, 2, 8)))
            z = net.real(net.conv(y, 3, (1, 1)))
            files[f"depthwise-x{multiplier}-{kernel}x{kernel}-stride-{stride}"] = net.text(z)
    # Groups that read nothing of a segment, also where that is the only one that has a bias.
    for grid in ("unsigned", "midrise"):
        for levels in ((8, 4, 8), (2, 8, 8), (8, 1, 2, 8, 1)):
            net = Network(len(levels))
            x = net.argument([1, len(levels), 12, 13], levels, grid)
            y = net.conv(x, len(levels), (3, 3), (3, 3), depthwise=True)
            files[f"depthwise-{grid}-{'-'.join(map(str, levels))}"] = net.text(y)
    return files


def outputs() -> dict[str, str]:
    """Small images, whose lanes are outputs: one block of them, two, more, some in part."""
    files = {}
    pad = (1, 1, 1, 1)
    cases = [
        (70, 64, [1, 0, 7, 7], (3, 3), (1, 1), pad, (1, 2, 4), "unsigned"),
        (76, 190, [1, 0, 7, 7], (3, 3), (1, 1), pad, (1, 2, 4), "unsigned"),
        (20, 250, [2, 0, 5, 6], (3, 3), (1, 1), (0, 1, 1, 0), (2, 4, 8), "unsigned"),
        (20, 128, [1, 0, 9, 9], (3, 3), (2, 2), pad, (1, 4, 8), "unsigned"),
        (210, 64, [1, 0, 6, 6], (1, 1), (1, 1), (0, 0, 0, 0), (1, 2, 8), "unsigned"),
        (60, 125, [1, 0, 7, 7], (5, 5), (1, 1), (2, 2, 2, 2), (1, 2), "unsigned"),
        (90, 120, [1, 0, 7, 6], (3, 3), (1, 1), pad, (1, 2, 4), "midrise"),
        (12, 192, [1, 0, 6, 6], (3, 1), (1, 2), (1, 0, 1, 1), (2, 8), "midrise"),
        (900, 64, [1, 0, 3, 3], (3, 3), (1, 1), pad, (2,), "unsigned"),
        (5, 64, [1, 0, 3, 3], (3, 3), (1, 1), (0, 0, 0, 0), (4,), "unsigned"),
        # Two groups of lanes are a row, or three: padding that is left out.
        (70, 128, [2, 0, 10, 12], (3, 3), (1, 1), pad, (1, 2, 4), "unsigned"),
        (40, 128, [1, 0, 11, 13], (5, 3), (1, 1), (2, 1, 2, 1), (2,), "unsigned"),
        (66, 128, [1, 0, 13, 13], (3, 3), (2, 2), pad, (2, 4), "midrise"),
        (33, 128, [1, 0, 4, 20], (3, 3), (1, 1), pad, (1, 2, 8), "midrise"),
        (40, 128, [1, 0, 8, 16], (3, 3), (1, 1), pad, (2, 8), "unsigned"),
        (24, 128, [1, 0, 15, 15], (5, 5), (2, 2), (2, 2, 2, 2), (1, 2), "unsigned"),
        (40, 128, [1, 0, 1, 8], (1, 3), (1, 1), (0, 1, 0, 1), (1, 2, 4), "unsigned"),
    ]
    for i, (channels, count, shape, kernel, strides, pads, levels, grid) in enumerate(cases):
        net = Network(i)
        shape[1] = channels
        x = net.argument(shape, mixed(channels, levels), grid)
        y = net.requantize(net.conv(x, count, kernel, strides, pads), mixed(count))
        z = net.conv(y, count, kernel, pads=tuple(k // 2 for k in (*kernel, *kernel)))
        c = net.carrier(z)
        if count < 200:
            c = net.add(c, net.carrier(net.conv(y, count, (1, 1))))
        files[f"outputs-{i}"] = net.text(net.requantize(c, mixed(count)), net.real(c))
    # Taps two rows and columns apart.
    net = Network(len(cases))
    x = net.argument([1, 30, 9, 7], mixed(30))
    y = net.conv(x, 128, (3, 3), pads=(2, 2, 2, 2), dilations=(2, 2))
    files[f"outputs-{len(cases)}"] = net.text(net.requantize(y, mixed(128)))
    return files


def matmul() -> dict[str, str]:
    files = {}
    for i, (m, k, n) in enumerate([(1, 37, 10), (70, 37, 10), (64, 8, 1), (3, 1, 5), (1, 768, 33)]):
        for grid in ("unsigned", "midrise"):
            net = Network(i)
            x = net.argument([m, k], mixed(k), grid)
            y = net.requantize(net.matmul(x, n), mixed(n), grid)
            z = net.real(net.matmul(y, 4))
            files[f"{grid}-{m}x{k}x{n}"] = net.text(z)
    # Outputs as lanes, and sums that are ties of sixteenths (HP15, HP17).
    for rows in (1, 4, 9):
        net = Network(rows)
        x = net.argument([rows, 1], [4])
        type_ = net.codes_type([rows, 130], [2, 4] * 65, "unsigned")
        y = net.emit(
            f"hetprec.requantize {net.matmul(x, 130).name} multiplier = [0.0625] offset = [0.0] : "
            f"tensor<{rows}x130xi32> to {type_}",
            type_,
            [rows, 130],
            bits=[2, 4] * 65,
            grid="unsigned",
        )
        type_ = f"tensor<{rows}x130xi16, #hetprec.carrier<delta = 0.00390625>>"
        z = net.emit(
            f"hetprec.to_carrier {net.matmul(x, 130).name} multiplier = [0.0625] : "
            f"tensor<{rows}x130xi32> to {type_}",
            type_,
            [rows, 130],
        )
        files[f"ties-{rows}"] = net.text(y, z)
    # Rows as lanes, results with channels side by side: squares of 16, and what is left of them.
    for rows, outputs in ((70, 49), (128, 32), (13, 16), (65, 15)):
        net = Network(rows)
        x = net.argument([rows, 24], mixed(24))
        y = net.matmul(x, outputs)
        files[f"rows-{rows}x{outputs}"] = net.text(net.real(y), net.matmul(x, outputs), y)
    return files


def largest_input(weights: Sequence[int], level: int) -> list[int]:
    """Codes that make the sum of `(k - 1) a` largest, as a byte holds it."""
    return [(1 << level) - 1 if k > 0 else 0 for k in weights]


def full_window(level: int, channels: int, side: int) -> str:
    """A window as large as its image, all codes at their largest: so is every partial sum."""
    net = Network(1)
    count, shape = channels * side**2, [1, channels, side, side]
    x = net.codes([(1 << level) - 1] * count, shape, level)
    largest = 127 if level == 8 else (1 << level) - 1
    filter_ = net.codes([largest] * (3 * count), [3, *shape[1:]], level, "midrise")
    type_ = net.plain_type([1, 3, 1, 1], "i32")
    acc = net.emit(
        f"hetprec.conv_2d {x.name}, {filter_.name} : {x.type}, {filter_.type} -> {type_}",
        type_,
        [1, 3, 1, 1],
    )
    return net.text(acc, net.argument([1, 1], [1]))  # a bundle has an input


def large_k() -> dict[str, str]:
    """Accumulators that need 32 bits; byte sums that need 16, and more than 16."""
    files = {}
    # 65535 / 27 = 2427 words of three 2-bit channels, 8191 words of eight 1-bit ones.
    cases = [
        (1, 1024, 8),
        (1, 1000, 8),
        (2, 150, 7),
        (2, 147, 7),
        (2, 600, 3),
        (4, 500, 3),
        (8, 90, 3),
    ]
    for level, channels, side in cases:
        for grid in ("unsigned", "midrise"):
            net = Network(channels)
            x = net.argument([1, channels, side, side], [level] * channels, grid)
            acc = net.conv(x, 5, (side, side))
            files[f"{grid}-{level}-{channels}x{side}x{side}"] = net.text(
                net.real(acc), net.requantize(acc, [1, 2, 8, 2, 1]), acc
            )
    for level, channels, side in [*cases, (1, 33, 1), (2, 28, 1), (2, 7290, 1)]:
        files[f"full-{level}-{channels}x{side}x{side}"] = full_window(level, channels, side)
    # Thresholds of 16 bits that do not hold what 2-bit codes 0 have too much.
    net = Network(1)
    x = net.argument([70, 3640], [2] * 3640)
    filter_ = net.codes([0] * 3640, [1, 3640], 2, "midrise")
    type_ = net.plain_type([70, 1], "i32")
    acc = net.emit(
        f"hetprec.matmul {x.name}, {filter_.name} : {x.type}, {filter_.type} -> {type_}",
        type_,
        [70, 1],
        spread=net.spread_of(x, 3640, 1),
    )
    files["zeros-70x3640"] = net.text(net.requantize(acc, [2]), net.requantize(acc, [1], turned=1))
    net = Network(1)
    x = net.argument([2, 7290], [2] * 7290)
    files["matmul-2x7290"] = net.text(net.real(net.matmul(x, 3)))
    net = Network(1)
    x = net.argument([1, 400, 6, 6], mixed(400))
    y = net.requantize(net.conv(x, 6, (5, 5), pads=(2, 2, 2, 2)), mixed(6))
    files["conv-400x5x5"] = net.text(y)
    return files


def boundary() -> dict[str, str]:
    """What enters and leaves: codes, accumulators, carrier, reals; flatten, constants."""
    files = {}
    for shape in ([1, 6, 3, 3], [2, 5, 1, 1], [3, 4, 2, 1]):
        net = Network(1)
        x = net.argument(shape, mixed(shape[1]))
        f = net.flatten(x)
        files[f"flatten-{'x'.join(map(str, shape))}"] = net.text(net.real(net.matmul(f, 5)), f)
    net = Network(2)
    x = net.argument([1, 7, 5, 5], mixed(7))
    a = net.requantize(net.conv(x, 6, (3, 3)), mixed(6, seed=1))
    y = net.real(net.matmul(net.flatten(a), 5))
    files["flatten-conv"] = net.text(y)

    for grid in ("unsigned", "midrise"):
        net = Network(3)
        sets = (1, 2, 8) if grid == "midrise" else (2, 4, 8)
        x = net.argument([2, 7, 3, 5], mixed(7, sets), grid)
        files[f"identity-{grid}"] = net.text(x)
        net = Network(4)
        x = net.argument([2, 7, 3, 5], mixed(7, sets), grid)
        files[f"dequantize-{grid}"] = net.text(net.dequantize(x))
        net = Network(5)
        x = net.quantized([2, 7, 3, 5], mixed(7, sets), grid, "0.3")
        files[f"quantize-{grid}"] = net.text(x)
        net = Network(6)
        x = net.quantized([3, 9], mixed(9, sets), grid, "0.3")
        acc = net.matmul(x, 4)
        y = net.requantize(acc, mixed(4), grid)
        files[f"results-{grid}"] = net.text(y, acc, net.dequantize(y), x)
        net = Network(7)
        x = net.argument([1, 7, 4, 4], mixed(7, sets), grid)
        c = net.carrier(net.conv(x, 6, (3, 3), pads=(1, 1, 1, 1)))
        y = net.requantize(c, mixed(6, (1, 2, 8)), grid)
        files[f"carrier-{grid}"] = net.text(c, y, net.dequantize(y))

    # Codes that are requantized float values again: dequantize, then quantize.
    net = Network(8)
    x = net.argument([1, 6, 4, 4], mixed(6))
    q = net.quantize(net.dequantize(x), mixed(6, seed=1), scale="0.5")
    files["again"] = net.text(net.real(net.conv(q, 3, (3, 3))))

    # Reals and sums with several readers; reals quantized again.
    net = Network(10)
    x = net.argument([1, 6, 4, 4], mixed(6))
    acc = net.conv(x, 4, (3, 3))
    carrier = net.carrier(acc)
    real = net.real(carrier)
    q = net.quantize(real, mixed(4), "midrise")
    files["reals"] = net.text(net.real(net.conv(q, 3, (2, 2))), net.real(acc), real, carrier, acc)

    # The same value returned twice, two arguments.
    net = Network(9)
    x = net.argument([1, 6, 4, 4], mixed(6))
    z = net.argument([1, 6, 4, 4], mixed(6, seed=1))
    a = net.carrier(net.conv(x, 4, (3, 3)))
    b = net.carrier(net.conv(z, 4, (3, 3)))
    s = net.requantize(net.add(a, b), mixed(4))
    d = net.dequantize(s)
    files["two-arguments"] = net.text(s, s, d, d)
    return files


MODULES = (
    "depthwise",
    "folds",
    "gemv",
    "graphs",
    "largest",
    "repeated",
    "residual",
    "tiles",
    "window_sums",
    "windows",
)


def networks(name: str) -> dict[str, str]:
    if name in MODULES:  # each has a function of its name, and builds upon this file
        return dict(getattr(importlib.import_module(name), name)())
    if name in ("pool", "max_pool"):
        import pools

        return pools.pool() if name == "pool" else pools.max_pool()
    sets = (
        conv,
        conv_shapes,
        stems,
        conv_signed,
        levels,
        groups,
        matmul,
        large_k,
        boundary,
        outputs,
    )
    return {function.__name__: function for function in sets}[name]()


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for stem, text in networks(name).items():
        (folder / f"{stem}.mlir").write_text(text)


if __name__ == "__main__":
    main()
