"""Compile networks to native code, and run them through the reference."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sysmol._native import needed
from sysmol.errors import InputRefused, UsageError

with needed("compiler"):
    import sysmol._sysmol_compiler as _sysmol_compiler

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from sysmol.runtime import Model

    Network = str | os.PathLike[str] | onnx.ModelProto | nn.Module

__all__ = ["EMIT", "GPU_EMIT", "PHASES", "CompileReport", "compile", "reference", "targets"]

EMIT = {"bundle": ".smol", "object": ".o", "llvm": ".ll", "asm": ".s", "mlir": ".mlir"}
"""Kinds of output, in the order of the C API, and the usual ending of their files."""

GPU_EMIT = {"bundle": ".json", "object": ".cubin", "llvm": ".ll", "asm": ".ptx", "mlir": ".mlir"}
"""The same for a GPU."""

PHASES = ("model", "plan", "packed", "loops", "vectors", "llvm")
"""Phases of the pipeline, top down."""


@dataclass(frozen=True)
class CompileReport:
    """What a compilation took and made.

    Attributes
    ----------
    output : Path
        The file written.
    phases : dict of str to float
        Seconds by phase, in the order they ran.
    arena_bytes : int
        Scratch memory of one run.
    weight_bytes : int
        Packed weights with all scales, thresholds and tables, as stored.
    float_bytes : int
        The same parameters as float32.
    """

    output: Path
    phases: dict[str, float]
    arena_bytes: int
    weight_bytes: int
    float_bytes: int

    @property
    def seconds(self) -> float:
        """All phases together."""
        return sum(self.phases.values())

    @property
    def compression(self) -> float:
        """How many times smaller the stored weights are than float32."""
        return self.float_bytes / self.weight_bytes if self.weight_bytes else float("inf")


def targets() -> tuple[str, ...]:
    """Names of the targets there are, best first."""
    return tuple(_sysmol_compiler.targets())


@contextmanager
def _file(model: Network, name: str, image_shape: tuple[int, int, int]) -> Iterator[Path]:
    """The model as a file that the compiler can read."""
    if isinstance(model, (str, os.PathLike)):
        yield Path(model)
        return
    with tempfile.TemporaryDirectory(prefix="sysmol-") as folder:
        path = Path(folder) / f"{name}.onnx"
        serialize = getattr(model, "SerializeToString", None)
        if serialize is not None:
            path.write_bytes(serialize())
        else:
            from sysmol.export import export

            export(model, path, image_shape)
        yield path


def compile(
    model: Network,
    output: str | os.PathLike[str],
    *,
    targets: Sequence[str] = (),
    emit: str = "bundle",
    phase: str = "packed",
    name: str = "",
    batch: int = 1,
    golden_pairs: int = 2,
    seed: int = 0,
    profile: bool = False,
    forbid_fallback: bool = False,
    image_shape: tuple[int, int, int] = (1, 28, 28),
) -> CompileReport:
    """Compile a network to a file, which appears complete or not at all.

    Parameters
    ----------
    model : path-like, onnx.ModelProto or torch.nn.Module
        A ``.onnx`` file with QONNX quantizers, a ``.mlir`` file with one public function of
        model-phase ``hetprec`` ops, the ONNX model itself, or what :func:`sysmol.prepare` made,
        with its precisions frozen.
    output : path-like
        The file to write.
    targets : sequence of str, optional
        Best first, from :func:`targets`. Default: ``x86-64-avx512`` and
        ``x86-64-avx2``. Kinds other than a bundle take the first. Or one GPU: ``sm_80``,
        ``sm_89``, ``sm_90`` or ``sm_90a``; what is a bundle then is a JSON file with PTX, LLVM IR
        and constants beside it, for :class:`sysmol.gpu.Network`.
    emit : {"bundle", "object", "llvm", "asm", "mlir"}
        A bundle runs by :func:`sysmol.load`; an object comes with a C header beside it.
    phase : {"model", "plan", "packed", "loops", "vectors", "llvm"}
        For ``emit="mlir"``: after which phase. Those of a GPU are ``gpu`` and ``nvvm``.
    name : str, optional
        Name of the model. Default: the file's name without its ending.
    batch : int
        Images a call; replaces the batch dimension of ONNX.
    golden_pairs : int
        Pairs of input and output, computed by the reference, that ``verify`` runs.
    seed : int
        Seed of the inputs of these pairs.
    profile : bool
        Code that reads a clock at the borders of layers, for :meth:`sysmol.Model.profile`.
    forbid_fallback : bool
        Refuse activations that leave the packed form between layers, naming the layer.
    image_shape : tuple of int
        Channels, height and width; only for a ``torch.nn.Module``.

    Returns
    -------
    CompileReport

    Raises
    ------
    InputRefused
        The network is refused; the message says where, what is wrong and what is allowed.
    UsageError
        There is no such target, kind or phase.
    ResourceLimit
        Too little memory or disk space.
    InternalError
        A fault of the compiler.

    Examples
    --------
    >>> report = sysmol.compile("net.onnx", "net.smol")  # doctest: +SKIP
    >>> f"{report.compression:.1f} times smaller than float32"  # doctest: +SKIP
    '15.8 times smaller than float32'
    """
    if emit not in EMIT:
        raise UsageError(f"there is no output '{emit}'; allowed are {', '.join(EMIT)}")
    output = Path(output)
    with _file(model, name or output.stem, image_shape) as path:
        times, arena, weights, floats = _sysmol_compiler.compile_file(
            str(path),
            str(output),
            [targets] if isinstance(targets, str) else list(targets),
            list(EMIT).index(emit),
            phase,
            name,
            _within(batch, "batch", 63),
            _within(golden_pairs, "golden_pairs", 32),
            _within(seed, "seed", 64),
            profile,
            forbid_fallback,
        )
    return CompileReport(output, dict(times), arena, weights, floats)


def _within(value: int, name: str, bits: int) -> int:
    if not 0 <= value < 2**bits:
        raise UsageError(f"{name} {value} is not allowed; give 0 to 2^{bits} - 1")
    return value


def reference(
    path: str | os.PathLike[str],
    *arrays: npt.ArrayLike,
    like: Model | None = None,
    batch: int = 1,
) -> Any:
    """Run a network through the reference interpreter: slow, obvious C++, no compiled code.

    Parameters
    ----------
    path : path-like
        A ``.onnx`` or ``.mlir`` file.
    *arrays : array_like
        As for :meth:`sysmol.Model.run_batch`: the tensors of all calls, joined along the first
        axis.
    like : Model, optional
        Says the number, dtypes and shapes of inputs and outputs, which a ``.mlir`` file leaves
        open here. Default: one float32 input of the batch ``batch``, one float32 output [batch, K].
    batch : int
        Images a call.

    Returns
    -------
    ndarray or tuple of ndarray
        What ``like.run_batch(*arrays)`` should give, bit for bit; without ``like`` float32 [N, K].

    Raises
    ------
    InputRefused
        The network or an array is refused.
    """
    given = [np.ascontiguousarray(array) for array in arrays]
    if not given or not given[0].ndim or not len(given[0]):
        raise InputRefused("no images given; the reference needs at least one")
    if like is None:
        calls, rest = divmod(len(given[0]), batch)
        if len(given) != 1 or given[0].dtype != np.float32 or rest:
            raise InputRefused(
                f"one float32 array of {batch}*N images is needed where like is not given"
            )
        signature = None
    else:
        calls = like._calls(given[0])
        given = like._checked(given, calls)
        signature = [(info.dtype, info.shape) for info in like.outputs]
    # All inputs of the first call, all of the second, ...
    rows = [np.frombuffer(array, np.uint8).reshape(calls, -1) for array in given]
    joined = rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)
    raw = _sysmol_compiler.reference_run(str(Path(path)), joined.reshape(-1), calls, batch)
    if signature is None:
        return raw.view(np.float32).reshape(calls * batch, -1)
    outputs, start = [], 0
    per_call = raw.reshape(calls, -1)
    for dtype, shape in signature:
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        part = np.ascontiguousarray(per_call[:, start : start + size]).view(dtype)
        outputs.append(part.reshape((calls * shape[0], *shape[1:]) if shape else (calls,)))
        start += size
    return outputs[0] if len(outputs) == 1 else tuple(outputs)
