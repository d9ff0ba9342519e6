"""Launch descriptions: what the compiler writes beside a kernel's PTX.

The JSON says which buffers a kernel has and how it is launched, what it computes, and where each
bit of a code lies in a packed buffer. So packing, references and benchmarks need no compiler.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sysmol.errors import InputRefused

__all__ = [
    "Buffer", "Digits", "Kernel", "Launch", "Layout", "Operation", "Output", "Segment", "Window",
    "read",
]  # fmt: skip

#: Digits of an index, least significant first: (size, stride in bits).
Digits = tuple[tuple[int, int], ...]

GRIDS = ("unsigned", "midrise", "signed8")
RESULTS = ("i32", "f32", "codes")
ROLES = (
    "weights", "activations", "output", "row_bias", "multiplier", "offset", "scratch",
)  # fmt: skip
_SCALARS: dict[str, Any] = {"i32": np.int32, "i64": np.int64, "f32": np.float32}
_RANGES = {"i32": range(-(2**31), 2**31), "i64": range(-(2**63), 2**63)}


@dataclass(frozen=True)
class Buffer:
    """Device memory of a kernel."""

    name: str
    bytes: int
    role: str
    zero: bool
    element: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Launch:
    """One launch; an argument is the name of a buffer, or a number of its type."""

    entry: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared_bytes: int
    arguments: tuple[str | np.generic, ...]


@dataclass(frozen=True)
class Layout:
    """Where bit ``b`` of the code at (``row``, ``k``) lies: ``base`` plus all digits * strides."""

    buffer: str
    base: int
    row: Digits
    k: Digits
    b: Digits


def _places(channels: int, pieces: Digits) -> tuple[int, ...]:
    if not pieces:
        return tuple(range(channels))
    return tuple(first + i for count, first in pieces for i in range(count))


@dataclass(frozen=True)
class Segment:
    """Contiguous channels of one precision."""

    channels: int
    weight_bits: int
    activation_bits: int
    multiplier: int
    weights: Layout
    activations: Layout
    #: Of a convolution: the weights' ``k`` of channel c and tap t is ``t * tap_channels + c``.
    tap_channels: int = 0
    #: Of a convolution: runs of channels, and the layouts' index of each one's first channel.
    pieces: Digits = ()

    @property
    def places(self) -> tuple[int, ...]:
        """The layouts' index of every channel."""
        return _places(self.channels, self.pieces)


@dataclass(frozen=True)
class Window:
    """Which pixels an output pixel of a convolution reads; pairs are (y, x), pads top and left.

    Rows of activations are pixels, image by image and line by line, and so is ``m``.
    """

    images: int
    height: int
    width: int
    out_height: int
    out_width: int
    taps: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int]
    dilations: tuple[int, int]

    @property
    def pixels(self) -> int:
        """Of all images."""
        return self.images * self.height * self.width


@dataclass(frozen=True)
class Output:
    """Channels of codes of one precision; ``pieces`` as in `Segment`."""

    channels: int
    bits: int
    codes: Layout
    pieces: Digits = ()

    @property
    def places(self) -> tuple[int, ...]:
        """The layout's index of every channel."""
        return _places(self.channels, self.pieces)


@dataclass(frozen=True)
class Operation:
    """What is computed: ``output[m][n]``, the sum over all channels (and taps)."""

    kind: str
    m: int
    n: int
    k: int
    activation_grid: str
    weight_grid: str
    result: str
    segments: tuple[Segment, ...]
    #: Which of the compiler's kernels computes it; for models of time.
    strategy: str = ""
    window: Window | None = None
    #: Where codes go, and their grid; empty for numbers.
    outputs: tuple[Output, ...] = ()
    output_grid: str = ""

    @property
    def taps(self) -> int:
        """Products of a channel."""
        return self.window.taps[0] * self.window.taps[1] if self.window else 1

    @property
    def weight_bits(self) -> float:
        """Bits of a weight, on average."""
        return sum(s.channels * s.weight_bits for s in self.segments) / self.k


@dataclass(frozen=True)
class Kernel:
    """A kernel with its description."""

    name: str
    arch: str
    ptx: Path
    llvm_ir: Path | None
    path: Path
    buffers: dict[str, Buffer]
    launches: tuple[Launch, ...]
    operation: Operation
    counts: dict[str, Any]

    def of_role(self, role: str) -> Buffer | None:
        """The buffer of a role, or None."""
        found = [buffer for buffer in self.buffers.values() if buffer.role == role]
        if len(found) > 1:
            raise InputRefused(f"{self.path}: {len(found)} buffers have the role '{role}'")
        return found[0] if found else None

    @property
    def output(self) -> Buffer:
        """What the kernel writes."""
        buffer = self.of_role("output")
        if buffer is None:
            raise InputRefused(f"{self.path}: no buffer has the role 'output'")
        return buffer


class Reader:
    """Checks as it reads; every refusal names the file and the key."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def refuse(self, why: str) -> InputRefused:
        return InputRefused(f"{self.path}: {why}")

    def get(self, table: Mapping[str, Any], key: str, kind: type) -> Any:
        if not isinstance(table, dict):
            raise self.refuse(f"what should have '{key}' is {table!r}")
        if key not in table:
            raise self.refuse(f"'{key}' is missing")
        value = table[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.refuse(f"'{key}' must be {kind.__name__}, got {value!r}")
        if isinstance(value, str) and "\0" in value:
            raise self.refuse(f"'{key}' has a byte 0 in it")
        return value

    def positive(self, table: Mapping[str, Any], key: str) -> int:
        value: int = self.get(table, key, int)
        if value < 1:
            raise self.refuse(f"'{key}' must be at least 1, got {value}")
        return value

    def one_of(self, table: Mapping[str, Any], key: str, allowed: tuple[str, ...]) -> str:
        value: str = self.get(table, key, str)
        if value not in allowed:
            raise self.refuse(f"'{key}' is '{value}'; known are {', '.join(allowed)}")
        return value

    def numbers(self, table: Mapping[str, Any], key: str) -> tuple[int, ...]:
        values = self.get(table, key, list)
        if not all(type(value) is int for value in values):
            raise self.refuse(f"'{key}' must hold integers, got {values}")
        return tuple(values)

    def pairs(self, table: Mapping[str, Any], key: str, what: str) -> Digits:
        """A list of two numbers each, none negative."""
        found = []
        for pair in self.get(table, key, list):
            if (
                not isinstance(pair, list)
                or len(pair) != 2
                or not all(type(x) is int and x >= 0 for x in pair)
            ):
                raise self.refuse(f"'{key}' must hold pairs [{what}], got {pair!r}")
            found.append((pair[0], pair[1]))
        return tuple(found)

    def digits(self, table: Mapping[str, Any], key: str, extent: int) -> Digits:
        found = self.pairs(table, key, "size, stride")
        product = math.prod(size for size, _ in found)
        if product < extent:
            raise self.refuse(f"the digits of '{key}' count to {product}, not to {extent}")
        return found

    def layout(
        self, table: Mapping[str, Any], row: str, rows: int, channels: int, bits: int,
        buffers: Mapping[str, Buffer],
    ) -> Layout:  # fmt: skip
        name = self.get(table, "buffer", str)
        if name not in buffers:
            raise self.refuse(f"there is no buffer '{name}'")
        base = self.get(table, "base", int)
        layout = Layout(
            name,
            base,
            self.digits(table, row, rows),
            self.digits(table, "k", channels),
            self.digits(table, "b", bits),
        )
        last = base + sum(
            (size - 1) * stride
            for digits in (layout.row, layout.k, layout.b)
            for size, stride in digits
        )
        if base < 0 or last >= 8 * buffers[name].bytes:
            raise self.refuse(f"a segment ends at bit {last} of '{name}', behind its end")
        return layout

    def segment(
        self, table: Mapping[str, Any], m: int, n: int, taps: int, buffers: Mapping[str, Buffer]
    ) -> Segment:
        channels = self.positive(table, "channels")
        weight_bits = self.positive(table, "weight_bits")
        activation_bits = self.positive(table, "activation_bits")
        weights = self.get(table, "weights", dict)
        activations = self.get(table, "activations", dict)
        tap_channels = self.positive(table, "tap_channels") if "tap_channels" in table else 0
        pieces = self.pieces(table, channels)
        last = max(_places(channels, pieces)) + 1
        inner = (taps - 1) * tap_channels + last
        return Segment(
            channels,
            weight_bits,
            activation_bits,
            self.get(table, "multiplier", int),
            self.layout(weights, "n", n, inner, weight_bits, buffers),
            self.layout(activations, "m", m, last, activation_bits, buffers),
            tap_channels,
            pieces,
        )

    def pieces(self, table: Mapping[str, Any], channels: int) -> Digits:
        """Pairs [channels, first index]; none where channels lie one after the other."""
        if "pieces" not in table:
            return ()
        found = self.pairs(table, "pieces", "channels, first")
        end = 0
        for count, first in found:
            if first < end:
                raise self.refuse(f"the piece [{count}, {first}] begins in the one before it")
            end = first + count
        if sum(count for count, _ in found) != channels:
            raise self.refuse(f"'pieces' do not add up to {channels} channels")
        return found

    def pair(self, table: Mapping[str, Any], key: str, least: int) -> tuple[int, int]:
        values = self.numbers(table, key)
        if len(values) != 2 or min(values) < least:
            raise self.refuse(f"'{key}' must be two numbers of at least {least}, got {values}")
        return values[0], values[1]

    def window(self, table: Mapping[str, Any], m: int) -> Window:
        sizes = ("images", "height", "width", "out_height", "out_width")
        images, height, width, out_height, out_width = (self.positive(table, k) for k in sizes)
        window = Window(
            images,
            height,
            width,
            out_height,
            out_width,
            self.pair(table, "taps", 1),
            self.pair(table, "strides", 1),
            self.pair(table, "pads", 0),
            self.pair(table, "dilations", 1),
        )
        if window.images * window.out_height * window.out_width != m:
            raise self.refuse(f"the window's output pixels do not add up to m = {m}")
        return window

    def output(self, table: Mapping[str, Any], m: int, buffers: Mapping[str, Buffer]) -> Output:
        channels, bits = self.positive(table, "channels"), self.positive(table, "bits")
        pieces = self.pieces(table, channels)
        last = max(_places(channels, pieces)) + 1
        codes = self.layout(self.get(table, "codes", dict), "m", m, last, bits, buffers)
        return Output(channels, bits, codes, pieces)

    def operation(self, table: Mapping[str, Any], buffers: Mapping[str, Buffer]) -> Operation:
        kind = self.one_of(table, "kind", ("gemm", "conv"))
        m, n, k = (self.positive(table, key) for key in ("m", "n", "k"))
        window = self.window(self.get(table, "window", dict), m) if kind == "conv" else None
        result = self.one_of(table, "result", RESULTS)
        outputs: tuple[Output, ...] = ()
        if result == "codes":
            parts = self.get(table, "outputs", list)
            outputs = tuple(self.output(part, m, buffers) for part in parts)
            if sum(part.channels for part in outputs) != n:
                raise self.refuse(f"the channels of the outputs do not add up to n = {n}")
        operation = Operation(
            kind,
            m,
            n,
            k,
            self.one_of(table, "activation_grid", GRIDS),
            self.one_of(table, "weight_grid", GRIDS),
            result,
            (),
            str(table.get("strategy", "")),
            window,
            outputs,
            self.one_of(table, "output_grid", GRIDS) if outputs else "",
        )
        pixels = window.pixels if window else m
        segments = tuple(
            self.segment(entry, pixels, n, operation.taps, buffers)
            for entry in self.get(table, "segments", list)
        )
        if sum(segment.channels for segment in segments) != k:
            raise self.refuse(f"the channels of the segments do not add up to k = {k}")
        if window and not all(segment.tap_channels for segment in segments):
            raise self.refuse("a segment of a convolution lacks 'tap_channels'")
        return replace(operation, segments=segments)

    def buffer(self, name: str, table: Mapping[str, Any]) -> Buffer:
        size = self.get(table, "bytes", int)
        if size < 0:
            raise self.refuse(f"buffer '{name}' has {size} bytes")
        return Buffer(
            name,
            size,
            self.one_of(table, "role", ROLES),
            bool(table.get("zero", False)),
            str(table.get("element", "")),
            self.numbers(table, "shape") if "shape" in table else (),
            self.numbers(table, "strides") if "strides" in table else (),
        )

    def argument(self, value: Any, buffers: Mapping[str, Any]) -> str | np.generic:
        if isinstance(value, str):
            if value not in buffers:
                raise self.refuse(f"an argument names '{value}', which is no buffer")
            return value
        if isinstance(value, dict) and len(value) == 1:
            ((kind, number),) = value.items()
            fits = kind in _RANGES and type(number) is int and number in _RANGES[kind]
            if fits or (kind == "f32" and isinstance(number, (int, float))):
                scalar: np.generic = _SCALARS[kind](number)
                return scalar
        raise self.refuse(f"an argument must be a buffer's name or like {{'i32': 5}}, got {value}")

    def dimensions(self, table: Mapping[str, Any], key: str) -> tuple[int, ...]:
        values = self.numbers(table, key)
        if len(values) != 3 or not all(0 < value < 2**31 for value in values):
            raise self.refuse(f"'{key}' must be three numbers of at least 1, got {values}")
        return values

    def launches(self, root: Mapping[str, Any], buffers: Mapping[str, Any]) -> tuple[Launch, ...]:
        found = tuple(self.launch(table, buffers) for table in self.get(root, "launches", list))
        if not found:
            raise self.refuse("'launches' is empty")
        return found

    def launch(self, table: Mapping[str, Any], buffers: Mapping[str, Any]) -> Launch:
        shared_bytes = self.get(table, "shared_bytes", int)
        if shared_bytes < 0:
            raise self.refuse(f"a launch has {shared_bytes} shared bytes")
        return Launch(
            self.get(table, "entry", str),
            self.dimensions(table, "grid"),
            self.dimensions(table, "block"),
            shared_bytes,
            tuple(self.argument(value, buffers) for value in self.get(table, "arguments", list)),
        )

    def kernel(self, root: Any) -> Kernel:
        if not isinstance(root, dict) or root.get("format") != "sysmol-gpu-kernel":
            raise self.refuse("this is no launch description (format sysmol-gpu-kernel)")
        if root.get("version") != 1:
            raise self.refuse(f"version {root.get('version')} is not known, 1 is")
        buffers = {
            name: self.buffer(name, table)
            for name, table in self.get(root, "buffers", dict).items()
        }
        folder = self.path.parent
        return Kernel(
            self.get(root, "name", str),
            self.get(root, "arch", str),
            folder / self.get(root, "ptx", str),
            folder / self.get(root, "llvm_ir", str) if root.get("llvm_ir") else None,
            self.path,
            buffers,
            self.launches(root, buffers),
            self.operation(self.get(root, "operation", dict), buffers),
            dict(root.get("counts", {})),
        )


def read_json(path: Path) -> Any:
    """The contents of a JSON file, or a refusal in one line."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise InputRefused(f"{path}: cannot read: {error.strerror}") from error
    except ValueError as error:
        raise InputRefused(f"{path}: no JSON: {error}") from error


def read(path: str | os.PathLike[str]) -> Kernel:
    """Read and check a launch description.

    Raises
    ------
    InputRefused
        It cannot be read, or a key is missing or wrong; the message says which.
    """
    path = Path(path)
    return Reader(path).kernel(read_json(path))
