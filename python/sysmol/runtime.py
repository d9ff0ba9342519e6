"""Run compiled models (``.smol`` bundles) on NumPy arrays.

Nothing here needs the compiler, LLVM, PyTorch or ONNX.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sysmol._native import needed
from sysmol.errors import InputRefused, UsageError

with needed("runtime"):
    import sysmol._sysmol as _sysmol

__all__ = [
    "Bundle",
    "Layer",
    "LayerTime",
    "Model",
    "Section",
    "Sizes",
    "TensorInfo",
    "inspect",
    "load",
    "measure_cycles",
]

Array = npt.NDArray[Any]

_DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype(np.float32),
    "u8": np.dtype(np.uint8),
    "i32": np.dtype(np.int32),
    "i16": np.dtype(np.int16),
    "i8": np.dtype(np.int8),
}


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of a compiled model.

    Attributes
    ----------
    name : str
    dtype : numpy.dtype
        float32, uint8, int32, int16 or int8.
    shape : tuple of int
        Of one call, the batch it was compiled for included.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype.name} {list(self.shape)}"


@dataclass(frozen=True)
class Layer:
    """One layer of a compiled model, for people and tools.

    Attributes
    ----------
    name, op : str
        Its name in the model it came from, and what it computes.
    shape : tuple of int
        Shape of its output.
    levels : dict of int to int
        Bits of a precision level to the number of input channels that have it.
    strategy : str
        Which code was chosen: of a model for the target that is loaded, of a bundle for its first.
    macs : int
        Multiply-accumulate operations of one call.
    weight_bytes, table_bytes : int
        Packed weights; scales, thresholds and other tables.
    needed_macs : int
        Those that the chosen algorithm does, without padding: fewer than ``macs`` where 3x3 windows
        are computed by tiles, or the border of a small image is left out. 0, not known, for code
        that is not the bundle's first.
    executed_macs : int
        Multiply-accumulates with those on padding; 0 where the compiler has no model, as for code
        that is not the bundle's first.
    predicted_ns : int
        Nanoseconds that the compiler's cost table predicts for the first code.
    product_ns : int
        Of these, for the executed multiply-accumulates at the ceilings of their levels.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    levels: Mapping[int, int]
    strategy: str
    macs: int
    weight_bytes: int
    table_bytes: int
    needed_macs: int = 0
    executed_macs: int = 0
    predicted_ns: int = 0
    product_ns: int = 0


@dataclass(frozen=True)
class LayerTime:
    """Seconds of one layer in one call, the smallest and the median of many calls.

    Attributes
    ----------
    name : str
        Of the layer; ``pack`` and ``unpack`` are the plain tensors that come in and go out.
    minimum, median : float
    """

    name: str
    minimum: float
    median: float


@dataclass(frozen=True)
class Section:
    """One section of a bundle; ``offset`` and ``bytes`` in bytes, ``sha256`` in hex."""

    name: str
    offset: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Sizes:
    """Sizes of a bundle in bytes.

    Attributes
    ----------
    file : int
        The whole file.
    weights : int
        Packed weights with all scales, thresholds and tables, as stored.
    code : dict of str to int
        Machine code by target; one of them is loaded.
    golden, metadata : int
        Test vectors; the description.
    arena : int
        Scratch memory of one run.
    floats : int
        The same parameters as float32.
    """

    file: int
    weights: int
    code: Mapping[str, int]
    golden: int
    metadata: int
    arena: int
    floats: int


def _tensors(entries: Sequence[Mapping[str, Any]]) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(entry["name"], _DTYPES[entry["dtype"]], tuple(entry["shape"]))
        for entry in entries
    )


class _Described:
    """What the metadata says; shared by bundles and models."""

    _metadata_text: str
    path: Path
    """The file."""
    target: str
    """Name of the target whose code is loaded; of a bundle, its first."""

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The metadata section; its keys stand in sysmol/Runtime/Metadata.h."""
        parsed: dict[str, Any] = json.loads(self._metadata_text)
        return parsed

    @property
    def name(self) -> str:
        """Name of the model."""
        return str(self.metadata["model"])

    @cached_property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """What :meth:`Model.run` takes."""
        return _tensors(self.metadata["inputs"])

    @cached_property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """What :meth:`Model.run` gives."""
        return _tensors(self.metadata["outputs"])

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, in the order they run."""
        rows = self.metadata["layers"]
        index = self.targets.index(self.target)
        code = self.metadata["code"][index]
        # The cost table predicts the first code; others multiply in ways that it does not tell.
        predicted = ("executed_macs", "predicted_ns", "product_ns")
        strategies = code["strategies"] or ["not said"] * len(rows)
        return tuple(
            Layer(
                entry["name"],
                entry["op"],
                tuple(entry["shape"]),
                {int(bits): count for bits, count in entry["levels"].items()},
                strategy,
                entry["macs"],
                entry["weight_bytes"],
                entry["table_bytes"],
                0 if index else entry.get("needed_macs", entry["macs"]),
                *(0 if index else entry[key] for key in predicted),
            )
            for entry, strategy in zip(rows, strategies, strict=True)
        )

    @property
    def golden_pairs(self) -> int:
        """Number of test vectors that :meth:`Model.verify` runs."""
        return int(self.metadata["golden_pairs"])

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets there is code for, best first."""
        return tuple(entry["target"] for entry in self.metadata["code"])


class Bundle(_Described):
    """A bundle whose structure and hashes were checked; nothing of it was executed.

    Made by :func:`inspect`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        handle = _sysmol.Bundle(str(self.path))
        self._metadata_text = handle.metadata
        self.target = self.targets[0]
        self.sections = tuple(
            Section(name, offset, size, digest.hex())
            for name, _, offset, size, digest in handle.sections()
        )

    @cached_property
    def sizes(self) -> Sizes:
        """Sizes in bytes, as stored."""
        stored = {section.name: section.bytes for section in self.sections}
        prefix = "code/"
        last = self.sections[-1]
        return Sizes(
            file=last.offset + last.bytes,
            weights=stored["weights"],
            code={n.removeprefix(prefix): b for n, b in stored.items() if n.startswith(prefix)},
            golden=stored["golden"],
            metadata=stored["metadata"],
            arena=int(self.metadata["arena_bytes"]),
            floats=int(self.metadata["float_bytes"]),
        )


class Model(_Described):
    """A compiled model whose code is loaded; made by :func:`load`.

    May be used by many Python threads at once; runs release the GIL.

    Attributes
    ----------
    path : Path
    target : str
        Name of the target whose code is loaded.
    threads : int
        Threads that share one call of :meth:`run`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        target: str | None = None,
        threads: int = 1,
        pinned: bool = False,
    ) -> None:
        if not 1 <= threads <= 1024:
            raise UsageError(f"{threads} threads are not possible; give 1 to 1024")
        self.path = Path(path)
        self._native = _sysmol.Model.open(str(self.path), target)
        self._metadata_text = self._native.metadata
        self.target = self._native.target
        self.threads = threads
        self._team = _sysmol.Team.create(threads, pinned) if threads > 1 else None
        # One at a time may use each; lists are safe to pop from many threads.
        self._contexts: list[_sysmol.Context] = []
        self._pools: dict[int, list[_sysmol.Pool]] = {}
        self._in = [(info.dtype, info.shape) for info in self.inputs]
        self._out = [(info.dtype, info.shape) for info in self.outputs]

    def __repr__(self) -> str:
        inputs, outputs = (", ".join(map(str, side)) for side in (self.inputs, self.outputs))
        return f"<sysmol.Model {self.name} ({self.target}): {inputs} -> {outputs}>"

    @cached_property
    def sizes(self) -> Sizes:
        """Sizes in bytes, as stored in the bundle."""
        return Bundle(self.path).sizes

    def run(self, *arrays: npt.ArrayLike, out: Array | Sequence[Array] | None = None) -> Any:
        """One call, shared by the model's :attr:`threads`.

        Where another call has them at the moment, this thread does it alone: the result is the
        same.

        Parameters
        ----------
        *arrays : array_like
            One for each of :attr:`inputs`, of exactly its dtype and shape. C-contiguous arrays are
            read in place, others copied.
        out : ndarray or sequence of ndarray, optional
            Where to write, one for each of :attr:`outputs`: C-contiguous, of its dtype and shape.
            With it a run allocates nothing.

        Returns
        -------
        ndarray or tuple of ndarray
            The output, or a tuple when there are several.

        Raises
        ------
        InputRefused
            A wrong number of arrays, dtype or shape.
        InternalError
            The compiled code failed.
        """
        inputs = self._checked(arrays, None)
        outputs = self._room(out, None)
        try:
            context = self._contexts.pop()
        except IndexError:
            context = _sysmol.Context(self._native, self._team)
        context.run(inputs, outputs)
        self._contexts.append(context)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def bind(self, *arrays: Array, out: Array | Sequence[Array]) -> Callable[[], None]:
        """A call on arrays that are checked once, the fastest way to run.

        Parameters
        ----------
        *arrays : ndarray
            One for each of :attr:`inputs`, C-contiguous, of its dtype and shape. They are read in
            place: what they hold at the time of a call is what it computes.
        out : ndarray or sequence of ndarray
            Where each call writes; as for :meth:`run`.

        Returns
        -------
        callable
            Takes nothing, gives nothing, and has memory of its own for what is between. It is for
            one thread at a time; bind one for each.

        Raises
        ------
        InputRefused
            A wrong number of arrays, dtype, shape, or order in memory; the compiled code cannot
            run.
        UsageError
            Calling what is running in another thread.

        Examples
        --------
        >>> call = model.bind(image, out=logits)  # doctest: +SKIP
        >>> image[...] = next_image; call()  # doctest: +SKIP
        """
        inputs = self._checked(arrays, None)
        for info, given, array in zip(self.inputs, arrays, inputs, strict=True):
            if not isinstance(given, np.ndarray) or not np.shares_memory(array, given):
                raise InputRefused(
                    f"input '{info.name}' must be a C-contiguous ndarray to be bound: it would "
                    "have to be copied"
                )
        if out is None:
            raise InputRefused("out must be given: where each call writes")
        return _sysmol.Bound(self._native, self._team, inputs, self._room(out, None))

    @property
    def measures_layers(self) -> bool:
        """Whether the code was compiled with clocks, so that :meth:`profile` can read them."""
        return any(
            code["target"] == self.target and "profile" in code for code in self.metadata["code"]
        )

    def profile(
        self,
        *arrays: npt.ArrayLike,
        runs: int = 200,
        out: Array | Sequence[Array] | None = None,
    ) -> list[LayerTime]:
        """Where the time of one call goes, which the model's :attr:`threads` share.

        Parameters
        ----------
        *arrays : array_like
            As for :meth:`run`.
        runs : int
            Calls that count.
        out : ndarray or sequence of ndarray, optional
            As for :meth:`run`.

        Returns
        -------
        list of LayerTime
            The layers in the order they run; the last one, ``total``, is the whole call.

        Raises
        ------
        InputRefused
            Wrong arrays, or code compiled without ``profile=True``.
        """
        inputs = self._checked(arrays, None)
        context = _sysmol.Context(self._native, self._team)
        rows = context.profile(inputs, self._room(out, None), runs)
        return [LayerTime(*row) for row in rows]

    def run_batch(
        self,
        *arrays: npt.ArrayLike,
        threads: int = 1,
        out: Array | Sequence[Array] | None = None,
    ) -> Any:
        """Many calls, spread over threads; the results do not depend on how many.

        Parameters
        ----------
        *arrays : array_like
            One for each of :attr:`inputs`: the tensors of all calls, joined along the first axis.
            For an input [1, C, H, W] that is [N, C, H, W]; for a scalar [N].
        threads : int
            1 to 1024.
        out : ndarray or sequence of ndarray, optional
            Where to write, in the same form.

        Returns
        -------
        ndarray or tuple of ndarray
            For an output [1, K] that is [N, K].

        Raises
        ------
        InputRefused
            A wrong number of arrays, dtype or shape.
        ResourceLimit
            Too little memory, or too few threads.
        """
        if not 1 <= threads <= 1024:
            raise UsageError(f"{threads} threads are not possible; give 1 to 1024")
        if not arrays:
            raise InputRefused(f"no arrays given; the model takes {len(self._in)}")
        count = self._calls(np.asarray(arrays[0]))
        inputs = self._checked(arrays, count)
        outputs = self._room(out, count)
        idle = self._pools.setdefault(threads, [])
        try:
            pool = idle.pop()
        except IndexError:
            pool = _sysmol.Pool(self._native, threads)
        pool.run(inputs, outputs, count)
        idle.append(pool)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def verify(self) -> int:
        """Run the bundle's test vectors and compare every byte.

        Returns
        -------
        int
            How many there were.

        Raises
        ------
        InternalError
            A byte differs; the message says which.
        InputRefused
            The bundle has no test vectors.
        """
        self._native.verify()
        return self.golden_pairs

    def _calls(self, array: Array) -> int:
        """Number of calls that the first array of a batch holds."""
        shape = self._in[0][1]
        rest, first = (shape[1:], shape[0]) if shape else ((), 1)
        if array.ndim < 1 or array.shape[1:] != rest or not len(array) or len(array) % first:
            wanted = ", ".join(str(n) for n in ("N" if first == 1 else f"{first}*N", *rest))
            raise InputRefused(
                f"input '{self.inputs[0].name}' must have the shape [{wanted}], "
                f"got {list(array.shape)}"
            )
        return len(array) // first

    def _checked(self, arrays: Sequence[npt.ArrayLike], count: int | None) -> list[Array]:
        if len(arrays) != len(self._in):
            raise InputRefused(f"{len(arrays)} arrays given; the model takes {len(self._in)}")
        checked = []
        for index, (given, (dtype, shape)) in enumerate(zip(arrays, self._in, strict=True)):
            array = np.asarray(given)
            wanted = shape if count is None else _joined(shape, count)
            if array.dtype != dtype or array.shape != wanted:
                raise InputRefused(
                    f"input '{self.inputs[index].name}' must be {dtype.name} {list(wanted)}, "
                    f"got {array.dtype.name} {list(array.shape)}"
                )
            checked.append(np.ascontiguousarray(array) if array.ndim else array)
        return checked

    def _room(self, out: Array | Sequence[Array] | None, count: int | None) -> list[Array]:
        wanted = [
            (dtype, shape if count is None else _joined(shape, count)) for dtype, shape in self._out
        ]
        if out is None:
            return [np.empty(shape, dtype) for dtype, shape in wanted]
        parts = list(out) if isinstance(out, (list, tuple)) else [out]
        given = [array for array in parts if isinstance(array, np.ndarray)]
        if len(given) != len(parts):
            raise InputRefused("out must be an ndarray, or a list or tuple of them")
        if len(given) != len(wanted):
            raise InputRefused(f"{len(given)} output arrays given; the model has {len(wanted)}")
        for info, array, (dtype, shape) in zip(self.outputs, given, wanted, strict=True):
            fits = array.dtype == dtype and array.shape == shape
            if not (fits and array.flags.c_contiguous and array.flags.writeable):
                raise InputRefused(
                    f"out for '{info.name}' must be {dtype.name} {list(shape)}, C-contiguous and "
                    f"writeable, got {array.dtype.name} {list(array.shape)}"
                )
        return given


def _joined(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Shape of ``count`` tensors joined along the first axis."""
    return (count * shape[0], *shape[1:]) if shape else (count,)


def load(
    path: str | os.PathLike[str],
    target: str | None = None,
    threads: int = 1,
    pinned: bool = False,
) -> Model:
    """Load a compiled model. Running a bundle is running a program: mind where it comes from.

    Parameters
    ----------
    path : path-like
        A ``.smol`` file that :func:`sysmol.compile` wrote.
    target : str, optional
        Code to load, by name. Default: the first that this CPU supports.
    threads : int
        Threads that share one call of :meth:`Model.run`, 1 to 1024. They wait busily during a call
        and for some tens of microseconds behind it.
    pinned : bool
        Keep each of them on a CPU of its own, the current one left to the caller; for a process
        that has the machine to itself.

    Returns
    -------
    Model

    Raises
    ------
    InputRefused
        The file is no bundle, is damaged, or has no code for this CPU.
    UsageError
        The bundle has no such target, or the number of threads is not possible.
    ResourceLimit
        The system gives no more threads.

    Examples
    --------
    >>> model = sysmol.load("net.smol")  # doctest: +SKIP
    >>> logits = model.run(image)  # doctest: +SKIP
    """
    return Model(path, target, threads, pinned)


def measure_cycles() -> float:
    """The core's cycles a second at this moment, by a chain of additions; takes about 2 ms."""
    return _sysmol.measure_cycles()


def inspect(path: str | os.PathLike[str]) -> Bundle:
    """Read and check a bundle without executing anything of it.

    Raises
    ------
    InputRefused
        The file is no bundle, or is damaged.
    """
    return Bundle(path)
