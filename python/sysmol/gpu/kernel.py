"""Launch descriptions: what the compiler writes beside a kernel's PTX.

The JSON says which buffers a kernel has and how it is launched, what it computes, and where each
bit of a code lies in a packed buffer. So packing, references and benchmarks need no compiler.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sysmol.errors import InputRefused

__all__ = ["Buffer", "Digits", "Kernel", "Launch", "Layout", "Operation", "Segment", "read"]

#: Digits of an index, least significant first: (size, stride in bits).
Digits = tuple[tuple[int, int], ...]

GRIDS = ("unsigned", "midrise", "signed8")
RESULTS = ("i32", "f32", "codes")
ROLES = (
    "weights", "activations", "output", "row_bias", "multiplier", "offset", "thresholds",
    "scratch",
)  # fmt: skip
_SCALARS: dict[str, Any] = {"i32": np.int32, "i64": np.int64, "f32": np.float32}


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


@dataclass(frozen=True)
class Segment:
    """Contiguous channels of one precision."""

    channels: int
    weight_bits: int
    activation_bits: int
    multiplier: int
    weights: Layout
    activations: Layout


@dataclass(frozen=True)
class Operation:
    """What is computed: ``output[m][n]``, the sum over all channels."""

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


class _Reader:
    """Checks as it reads; every refusal names the file and the key."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def refuse(self, why: str) -> InputRefused:
        return InputRefused(f"{self.path}: {why}")

    def get(self, table: Mapping[str, Any], key: str, kind: type) -> Any:
        if key not in table:
            raise self.refuse(f"'{key}' is missing")
        value = table[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.refuse(f"'{key}' must be {kind.__name__}, got {value!r}")
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
        if not all(isinstance(value, int) for value in values):
            raise self.refuse(f"'{key}' must hold integers, got {values}")
        return tuple(values)

    def digits(self, table: Mapping[str, Any], key: str, extent: int) -> Digits:
        found = []
        product = 1
        for pair in self.get(table, key, list):
            if len(pair) != 2 or not all(isinstance(x, int) and x >= 0 for x in pair):
                raise self.refuse(f"'{key}' must hold pairs [size, stride], got {pair}")
            found.append((pair[0], pair[1]))
            product *= pair[0]
        if product < extent:
            raise self.refuse(f"the digits of '{key}' count to {product}, not to {extent}")
        return tuple(found)

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
        self, table: Mapping[str, Any], m: int, n: int, buffers: Mapping[str, Buffer]
    ) -> Segment:
        channels = self.positive(table, "channels")
        weight_bits = self.positive(table, "weight_bits")
        activation_bits = self.positive(table, "activation_bits")
        weights = self.get(table, "weights", dict)
        activations = self.get(table, "activations", dict)
        return Segment(
            channels,
            weight_bits,
            activation_bits,
            self.get(table, "multiplier", int),
            self.layout(weights, "n", n, channels, weight_bits, buffers),
            self.layout(activations, "m", m, channels, activation_bits, buffers),
        )

    def operation(self, table: Mapping[str, Any], buffers: Mapping[str, Buffer]) -> Operation:
        kind = self.one_of(table, "kind", ("gemm",))
        m, n, k = (self.positive(table, key) for key in ("m", "n", "k"))
        segments = tuple(
            self.segment(entry, m, n, buffers) for entry in self.get(table, "segments", list)
        )
        if sum(segment.channels for segment in segments) != k:
            raise self.refuse(f"the channels of the segments do not add up to k = {k}")
        return Operation(
            kind,
            m,
            n,
            k,
            self.one_of(table, "activation_grid", GRIDS),
            self.one_of(table, "weight_grid", GRIDS),
            self.one_of(table, "result", RESULTS),
            segments,
            str(table.get("strategy", "")),
        )

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

    def argument(self, value: Any, buffers: Mapping[str, Buffer]) -> str | np.generic:
        if isinstance(value, str):
            if value not in buffers:
                raise self.refuse(f"an argument names '{value}', which is no buffer")
            return value
        if isinstance(value, dict) and len(value) == 1:
            ((kind, number),) = value.items()
            if kind in _SCALARS:
                scalar: np.generic = _SCALARS[kind](number)
                return scalar
        raise self.refuse(f"an argument must be a buffer's name or like {{'i32': 5}}, got {value}")

    def launch(self, table: Mapping[str, Any], buffers: Mapping[str, Buffer]) -> Launch:
        return Launch(
            self.get(table, "entry", str),
            self.numbers(table, "grid"),
            self.numbers(table, "block"),
            self.get(table, "shared_bytes", int),
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
            folder / root["llvm_ir"] if root.get("llvm_ir") else None,
            self.path,
            buffers,
            tuple(self.launch(table, buffers) for table in self.get(root, "launches", list)),
            self.operation(self.get(root, "operation", dict), buffers),
            dict(root.get("counts", {})),
        )


def read(path: str | os.PathLike[str]) -> Kernel:
    """Read and check a launch description.

    Raises
    ------
    InputRefused
        It cannot be read, or a key is missing or wrong; the message says which.
    """
    path = Path(path)
    try:
        root = json.loads(path.read_text())
    except OSError as error:
        raise InputRefused(f"{path}: cannot read: {error.strerror}") from error
    except ValueError as error:
        raise InputRefused(f"{path}: no JSON: {error}") from error
    return _Reader(path).kernel(root)
