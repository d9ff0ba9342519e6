"""Whole networks on a GPU: what ``sysmol-compile --target=sm_90 net.onnx`` writes.

A network is one JSON file (format ``sysmol-gpu-network``, see ``sysmol/Target/NVVM/Compiler.h``)
with PTX, LLVM IR and a file of constants beside it. Its launches run in order on one stream.
"""

from __future__ import annotations

import math
import os
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sysmol.errors import InputRefused, InternalError, ResourceLimit
from sysmol.gpu.device import Buffer, Device, Graph, Module, Stream, stream_handle
from sysmol.gpu.kernel import Launch as LaunchDescription
from sysmol.gpu.kernel import Reader, read_json

__all__ = [
    "Context",
    "Description",
    "Network",
    "Tensor",
    "emulate",
    "read",
    "verify_emulated",
]

Array = npt.NDArray[Any]

_DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype("<f4"),
    "i32": np.dtype("<i4"),
    "i16": np.dtype("<i2"),
    "i8": np.dtype("i1"),
}
_INPUT, _OUTPUT, _CONSTANT, _SCRATCH = _ROLES = ("input", "output", "constant", "scratch")
# `kMaxNetworkBytes` of sysmol/Target/NVVM/Limits.h, which the compiler and the emulator have.
_MAX_BYTES = 1 << 32
# A network's tensors have 2 or 4; numpy has 64.
_MAX_RANK = 8


@dataclass(frozen=True)
class Tensor:
    """An input or output.

    Attributes
    ----------
    name : str
        Of its buffer.
    dtype : numpy.dtype
        Of an element.
    shape, strides : tuple of int
        Sizes, and distances in the buffer in elements.
    bytes : int
        Of the buffer.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    bytes: int

    def view(self, memory: Array) -> Array:
        """The tensor in the bytes of its buffer."""
        return np.lib.stride_tricks.as_strided(
            memory.view(self.dtype),
            self.shape,
            [stride * self.dtype.itemsize for stride in self.strides],
        )

    def to_memory(self, array: npt.ArrayLike) -> Array:
        """The bytes of the buffer that holds an array.

        Raises
        ------
        InputRefused
            It has another shape, or elements that are not of this type.
        """
        try:
            values = np.asarray(array)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputRefused(
                f"input '{self.name}' cannot become a NumPy array: {error}; what lies on a GPU "
                "goes into Context.buffer()"
            ) from error
        if values.shape != self.shape or values.dtype != self.dtype:
            raise InputRefused(
                f"input '{self.name}' is {values.dtype} {list(values.shape)}; it must be "
                f"{self.dtype} {list(self.shape)}"
            )
        memory = np.zeros(self.bytes, np.uint8)
        self.view(memory)[...] = values
        return memory


@dataclass(frozen=True)
class _Part:
    """A buffer inside the constants or the arena."""

    role: str
    offset: int
    bytes: int


@dataclass(frozen=True)
class Description:
    """A compiled network.

    Attributes
    ----------
    path, ptx, llvm_ir, data : Path
        The description, and the files that it names.
    name, arch : str
        Of the network; what it is compiled for, such as ``sm_90``.
    inputs, outputs : tuple of Tensor
        In the order of the network's arguments and results.
    arena_bytes : int
        What kernels write for each other.
    launches : tuple of Launch
        In order.
    golden : tuple
        Pairs of offsets of inputs and of outputs in ``data``: what the reference computed.
    """

    path: Path
    ptx: Path
    llvm_ir: Path
    data: Path
    name: str
    arch: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    arena_bytes: int
    parts: Mapping[str, _Part]
    launches: tuple[LaunchDescription, ...]
    golden: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]

    def pairs(self) -> list[tuple[list[Array], list[Array]]]:
        """The golden inputs and outputs."""
        data = _bytes(self.data)
        return [
            (self._tensors(data, self.inputs, inputs), self._tensors(data, self.outputs, outputs))
            for inputs, outputs in self.golden
        ]

    def _tensors(
        self, data: Array, tensors: Sequence[Tensor], offsets: Sequence[int]
    ) -> list[Array]:
        found = []
        for tensor, offset in zip(tensors, offsets, strict=True):
            size = int(np.prod(tensor.shape)) * tensor.dtype.itemsize
            if offset + size > len(data):
                raise InputRefused(f"{self.data}: ends inside a golden tensor '{tensor.name}'")
            found.append(data[offset : offset + size].view(tensor.dtype).reshape(tensor.shape))
        return found


def _bytes(path: Path) -> Array:
    try:
        return np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise InputRefused(f"{path}: cannot read: {error.strerror}") from error


class _NetworkReader(Reader):
    """Checks as it reads."""

    def tensor(self, name: str, table: Mapping[str, Any]) -> Tensor:
        dtype = _DTYPES[self.one_of(table, "element", tuple(_DTYPES))]
        shape, strides = self.numbers(table, "shape"), self.numbers(table, "strides")
        size = self.positive(table, "bytes")
        bad = len(shape) != len(strides) or min((1, *shape)) < 1 or min((0, *strides)) < 0
        if len(shape) > _MAX_RANK or max((0, *shape, *strides)) > _MAX_BYTES:
            raise self.refuse(
                f"the shape of '{name}' must have at most {_MAX_RANK} sizes and strides of at "
                f"most {_MAX_BYTES}"
            )
        last = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=False))
        bad |= size > _MAX_BYTES or size % dtype.itemsize != 0
        bad |= math.prod(shape) * dtype.itemsize > size  # elements that are one in memory
        if bad or (last + 1) * dtype.itemsize > size:
            raise self.refuse(f"the shape of '{name}' does not fit into its {size} bytes")
        return Tensor(name, dtype, shape, strides, size)

    def part(self, name: str, table: Mapping[str, Any], role: str, arena_bytes: int) -> _Part:
        size, offset = self.positive(table, "bytes"), self.get(table, "offset", int)
        if offset < 0 or (role == _SCRATCH and offset + size > arena_bytes):
            raise self.refuse(f"'{name}' at {offset} is not inside the arena's {arena_bytes} bytes")
        return _Part(role, offset, size)

    def names(self, root: Mapping[str, Any], key: str, tensors: Mapping[str, Tensor]) -> list[str]:
        names = self.get(root, key, list)
        known = all(isinstance(name, str) and name in tensors for name in names)
        if not names or not known or len(set(names)) < len(names):
            raise self.refuse(
                f"'{key}' must name buffers of role {key[:-1]}, at least one and each once, got "
                f"{names}"
            )
        return list(names)

    def golden(
        self, root: Mapping[str, Any], inputs: int, outputs: int
    ) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
        pairs = []
        for pair in self.get(root, "golden", list):
            offsets = self.numbers(pair, "inputs"), self.numbers(pair, "outputs")
            if (len(offsets[0]), len(offsets[1])) != (inputs, outputs) or min(
                (0, *offsets[0], *offsets[1])
            ) < 0:
                raise self.refuse(f"a golden pair must have {inputs} and {outputs} offsets")
            pairs.append(offsets)
        return tuple(pairs)

    def network(self, root: Any) -> Description:
        if not isinstance(root, dict) or root.get("format") != "sysmol-gpu-network":
            raise self.refuse("this is no network for a GPU (format sysmol-gpu-network)")
        if self.get(root, "version", int) != 1:
            raise self.refuse(f"version {root.get('version')} is not known, 1 is")
        arena_bytes = self.get(root, "arena_bytes", int)
        if not 0 <= arena_bytes <= _MAX_BYTES:
            raise self.refuse(f"'arena_bytes' must be 0 to {_MAX_BYTES}, got {arena_bytes}")
        tensors: dict[str, dict[str, Tensor]] = {_INPUT: {}, _OUTPUT: {}}
        parts: dict[str, _Part] = {}
        buffers = self.get(root, "buffers", dict)
        for name, table in buffers.items():
            role = self.one_of(table, "role", _ROLES)
            if role in tensors:
                tensors[role][name] = self.tensor(name, table)
            else:
                parts[name] = self.part(name, table, role, arena_bytes)
        inputs = [tensors[_INPUT][name] for name in self.names(root, "inputs", tensors[_INPUT])]
        outputs = [tensors[_OUTPUT][name] for name in self.names(root, "outputs", tensors[_OUTPUT])]
        folder = self.path.parent
        return Description(
            self.path,
            folder / self.get(root, "ptx", str),
            folder / self.get(root, "llvm_ir", str),
            folder / self.get(root, "data", str),
            self.get(root, "name", str),
            self.get(root, "arch", str),
            tuple(inputs),
            tuple(outputs),
            arena_bytes,
            parts,
            self.launches(root, buffers),
            self.golden(root, len(inputs), len(outputs)),
        )


def read(path: str | os.PathLike[str]) -> Description:
    """Read and check the description of a network.

    Raises
    ------
    InputRefused
        It cannot be read, or a key is missing or wrong; the message says which.
    """
    path = Path(path)
    return _NetworkReader(path).network(read_json(path))


class Context:
    """What one call of a network needs of its own: inputs, outputs, an arena, a stream.

    Contexts of one network share its code and constants, and may run at the same time. One context
    runs one call at a time. Made by :meth:`Network.context`.
    """

    def __init__(self, description: Description, module: Module, constants: Buffer) -> None:
        device = constants.device
        self.description = description
        self._constants = constants
        self._arena = device.empty(description.arena_bytes)
        tensors = {tensor.name: tensor for tensor in (*description.inputs, *description.outputs)}
        self._buffers = {name: device.empty(tensor.bytes) for name, tensor in tensors.items()}
        self._stream = device.stream()
        launches = []
        for launch in description.launches:
            arguments = [self._argument(argument) for argument in launch.arguments]
            launches.append(
                module.function(launch.entry).prepare(
                    launch.grid, launch.block, arguments, launch.shared_bytes
                )
            )
        self._graph = Graph(device, launches)

    def _argument(self, argument: str | np.generic) -> Any:
        if not isinstance(argument, str):
            return argument
        if argument in self._buffers:
            return self._buffers[argument]
        part = self.description.parts[argument]
        memory = self._constants if part.role == _CONSTANT else self._arena
        return memory.view(part.offset, part.bytes)

    def buffer(self, name: str) -> Buffer:
        """Device memory of an input or output, to be written or read in place."""
        if name not in self._buffers:
            raise InputRefused(
                f"{self.description.path}: there is no input or output '{name}'; there are "
                + ", ".join(self._buffers)
            )
        return self._buffers[name]

    @property
    def stream(self) -> Stream:
        """What :meth:`run` works in, and :meth:`launch` unless it is told."""
        return self._stream

    def launch(self, stream: Stream | int | None = None) -> None:
        """Start all kernels; returns before they have run. Calls must not overlap.

        Parameters
        ----------
        stream : Stream or int, optional
            Where; an int is a handle of another library, 0 the legacy stream. Who reads or writes
            buffers elsewhere waits for it: streams do not wait for each other.
        """
        self._graph(stream_handle(self._stream if stream is None else stream))

    def run(self, *inputs: npt.ArrayLike) -> list[Array]:
        """As :meth:`Network.run`, with this context's memory and stream."""
        return self._run(_to_memories(self.description, inputs))

    def _run(self, memories: Sequence[Array]) -> list[Array]:
        for tensor, memory in zip(self.description.inputs, memories, strict=True):
            self._buffers[tensor.name].write(memory, stream=self._stream)
        self.launch()
        return [
            np.array(tensor.view(self._buffers[tensor.name].read(stream=self._stream)))
            for tensor in self.description.outputs
        ]


class Network:
    """A compiled network in a GPU's memory.

    Parameters
    ----------
    path : path-like
        The description.
    device : Device, optional
        Default: the first GPU.

    Raises
    ------
    InputRefused
        A file is missing or wrong, or the GPU cannot run its code.
    ResourceLimit
        No driver, no GPU, or too little memory.

    Examples
    --------
    >>> network = sysmol.gpu.Network("net.json")  # doctest: +SKIP
    >>> (logits,) = network.run(image)  # doctest: +SKIP
    """

    def __init__(self, path: str | os.PathLike[str], device: Device | None = None) -> None:
        self.description = description = read(path)
        self.device = device or Device()
        data = _bytes(description.data)
        code = _bytes(description.ptx).tobytes()
        constants = [part for part in description.parts.values() if part.role == _CONSTANT]
        end = max((part.offset + part.bytes for part in constants), default=0)
        if end > len(data):
            raise InputRefused(f"{description.data}: ends inside the constants")
        self._constants = self.device.upload(data[:end])  # golden vectors lie behind them
        self._module = self.device.load(code, description.ptx.name)
        # Those that no call is using; one to begin with, so that too little memory shows here.
        self._free = [self.context()]
        self._busy = 0
        self._changed = threading.Condition()

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.description.name

    def context(self) -> Context:
        """Memory for calls that overlap with others, in streams of the caller's.

        Raises
        ------
        ResourceLimit
            Too little memory for one more.
        """
        return Context(self.description, self._module, self._constants)

    def run(self, *inputs: npt.ArrayLike) -> list[Array]:
        """Run once. Threads may call at the same time; contexts are kept for the next calls.

        Parameters
        ----------
        inputs : array-like
            In the order and with the shapes and types of ``description.inputs``.

        Returns
        -------
        list of ndarray
            Those of ``description.outputs``.
        """
        memories = _to_memories(self.description, inputs)
        context, used = self._take(), None
        try:
            outputs = context._run(memories)
            used = context  # after an error its stream may still write
        finally:
            with self._changed:
                self._busy -= 1
                self._free += [used] if used else []
                self._changed.notify_all()
        return outputs

    def _take(self) -> Context:
        """A free context, or a new one; where there is no memory for it, the next that is free."""
        with self._changed:
            while not self._free:
                try:
                    self._free.append(self.context())
                except ResourceLimit:
                    if not self._busy:
                        raise
                    self._changed.wait()
            self._busy += 1
            return self._free.pop()

    def verify(self) -> int:
        """Run the golden inputs; returns how many pairs there are.

        Raises
        ------
        InternalError
            An output differs from the reference's in a bit.
        """
        for number, (inputs, outputs) in enumerate(self.description.pairs()):
            _compare(self.description, number, self.run(*inputs), outputs)
        return len(self.description.golden)


def _to_memories(description: Description, inputs: Sequence[npt.ArrayLike]) -> list[Array]:
    if len(inputs) != len(description.inputs):
        raise InputRefused(
            f"{description.path}: takes {len(description.inputs)} inputs, got {len(inputs)}"
        )
    return [
        tensor.to_memory(array) for tensor, array in zip(description.inputs, inputs, strict=True)
    ]


def _compare(
    description: Description, number: int, found: Sequence[Array], expected: Sequence[Array]
) -> None:
    for tensor, ours, reference in zip(description.outputs, found, expected, strict=True):
        wrong = ours.view(f"u{tensor.dtype.itemsize}") != reference.view(
            f"u{tensor.dtype.itemsize}"
        )
        if wrong.any():
            at = tuple(int(axis[0]) for axis in np.nonzero(wrong))
            raise InternalError(
                f"{description.path}: golden pair {number}: {int(wrong.sum())} of {wrong.size} "
                f"elements of '{tensor.name}' differ, the first at {list(at)}: {ours[at]} instead "
                f"of {reference[at]}"
            )


def emulate(
    path: str | os.PathLike[str], *inputs: npt.ArrayLike, schedule_seed: int = 0
) -> list[Array]:
    """Run a network once on the CPU, in ``sysmol-gpu-emulate``, which needs no GPU.

    Parameters
    ----------
    path : path-like
        The description.
    inputs : array-like
        As for :meth:`Network.run`.
    schedule_seed : int
        Shuffles blocks and warps; 0 leaves them in order.

    Raises
    ------
    InternalError
        A kernel did what is undefined on a GPU.
    """
    from sysmol.gpu.emulate import call

    description = read(path)
    memories = _to_memories(description, inputs)
    with tempfile.TemporaryDirectory(prefix="sysmol-") as name:
        folder = Path(name)
        arguments = [str(description.path), f"--schedule-seed={schedule_seed}"]
        for index, (tensor, memory) in enumerate(zip(description.inputs, memories, strict=True)):
            (folder / f"in{index}").write_bytes(memory.tobytes())
            arguments.append(f"--set={tensor.name}={folder / f'in{index}'}")
        for index, tensor in enumerate(description.outputs):
            arguments.append(f"--get={tensor.name}={folder / f'out{index}'}")
        call(arguments, description.path)
        return [
            np.array(tensor.view(_bytes(folder / f"out{index}")))
            for index, tensor in enumerate(description.outputs)
        ]


def verify_emulated(path: str | os.PathLike[str]) -> int:
    """As :meth:`Network.verify`, on the CPU."""
    description = read(path)
    for number, (inputs, outputs) in enumerate(description.pairs()):
        _compare(description, number, emulate(path, *inputs), outputs)
    return len(description.golden)
