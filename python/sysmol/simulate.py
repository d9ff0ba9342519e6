"""Run an exported network in integers, exactly as the law of the numbers says.

This reads the ONNX file by itself and shares no code with the compiler's importer. Convolutions of
integer codes run in binary32 where every partial sum stays below 2^24, else in double, so that
they are exact in any order of summation; what follows is binary32 in the stated order (HP15, HP17,
HP18). It is the reference that compiled code meets.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto
from torch.nn import functional

from sysmol.attributes import Attributes
from sysmol.errors import ResourceLimit, SysmolError
from sysmol.fold import BatchNorm, fold
from sysmol.grids import (
    CARRIER_MAX,
    Float32,
    Float64,
    Grid,
    Int64,
    counts,
    dequantize,
    level_values,
    multiplier,
    quantize,
    requantize,
    step,
    to_carrier,
    unit,
    values,
)
from sysmol.onnx_graph import Graph, check_shape, describe, is_standard, named
from sysmol.quantizers import Quantizer, finest_scale

__all__ = ["IntegerNetwork"]

_ACCUMULATOR_MAX = 2**31 - 1
_EXACT_FLOAT32 = 2**24
_WEIGHT_TOLERANCE = 1e-3  # HP23, in steps
_CLIP_TOLERANCE = 1e-6  # HP20, of alpha
_EPSILON = float(np.float32(1e-5))  # ONNX stores the default, too, in binary32
_ADDED = "is a sum of carriers: a 16-bit Quant must follow it, behind a Relu at most (HP17)"
_INPUTS = {  # least and most
    "Conv": (2, 3),
    "Gemm": (2, 3),
    "MatMul": (2, 2),
    "BatchNormalization": (5, 5),
    "Clip": (2, 3),
    "Add": (2, 2),
    "Reshape": (2, 2),
    "Constant": (0, 0),
    "Quant": (4, 4),
    "BipolarQuant": (2, 2),
}
_QONNX = ("Quant", "BipolarQuant")


def _exact() -> AbstractContextManager[None]:
    """Without NNPACK, which transforms 3x3 windows in floats: sums of integers are exact."""
    return torch.backends.nnpack.flags(enabled=False)


@dataclass(frozen=True)
class _Value:
    """What is known about a value before anything runs; ``shape`` is without the batch."""

    shape: tuple[int, ...]
    source: str  # the array that holds it: batch norm and ReLU wait for their quantizer

    @property
    def channels(self) -> int:
        return self.shape[0]


@dataclass(frozen=True)
class _Image(_Value):
    """The network's real input."""


@dataclass(frozen=True)
class _Codes(_Value):
    """Codes of a grid; ``bits`` int64 [C], ``scale`` is ``alpha`` or ``d``."""

    grid: Grid
    bits: Int64
    scale: float
    flat: bool = False


@dataclass(frozen=True)
class _Integers(_Value):
    """Accumulators, or carriers, and the real operations that wait for a quantizer.

    ``unit`` and ``bias`` are doubles, [C] or scalar; ``carrier`` is true for 16-bit carriers.
    ``added`` is true for the sum of two carriers until a 16-bit ``Quant`` makes it one (HP17).
    ``top`` is the upper end of a Clip, whose lower one is ``relu``. A channel that was flattened
    has ``pixels`` columns.
    """

    unit: Float64
    bias: Float64
    carrier: bool
    added: bool = False
    norm: BatchNorm | None = None
    relu: bool = False
    top: float | None = None
    flat: bool = False
    pixels: int = 1

    @property
    def plain(self) -> bool:
        return self.norm is None and not self.relu and not self.flat


@dataclass(frozen=True)
class _Weight:
    """Level values ``q`` [Cout, Cin / g, ...], their precisions, ``d`` [Cout]."""

    levels: Int64
    bits: Int64
    scale: Float64


_Step = Callable[[dict[str, Any]], Any]


@contextlib.contextmanager
def _limited(what: str) -> Iterator[None]:
    """Say which network the machine has too little memory for."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # PyTorch has no class of its own for it.
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        raise ResourceLimit(f"{what}: too little memory; run fewer images at a time") from error


def _given(names: Sequence[str]) -> int:
    """How many there are; those left out at the end may have empty names."""
    return max((i for i, name in enumerate(names, 1) if name), default=0)


def _channelwise(array: Float64 | Float32 | Int64, rank: int) -> Any:
    """[C] or scalar to what broadcasts over [N, C, ...] of ``rank`` axes."""
    flat = np.asarray(array)
    return flat.reshape(1, -1, *([1] * (rank - 2))) if flat.ndim else flat


def _rounded(reals: Float64) -> Float32:
    """To binary32; what passes its largest number is infinite."""
    with np.errstate(over="ignore"):
        return reals.astype(np.float32)


class IntegerNetwork:
    """A network of integer codes, read from ONNX; see :meth:`from_onnx`."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        self._where = name
        self._values: dict[str, _Value] = {}
        self._weights: dict[str, tuple[Quantizer, str]] = {}
        self._steps: list[tuple[str, _Step]] = []
        with named(name):
            self._graph = Graph(model)
            self.input, self.output = self._graph.input.name, self._graph.output.name
            with named(f"input '{self.input}'"):
                self._batch, shape = self._image_shape()
            self._values[self.input] = _Image(shape, self.input)
            for node in self._graph.nodes:
                with named(describe(node)):
                    self._read(node)
            with named(f"output '{self.output}'"):
                self._to_reals = self._reals()

    @classmethod
    def from_onnx(cls, path: Path | str) -> IntegerNetwork:
        """Read a model that :func:`sysmol.export` or another QONNX exporter wrote."""
        try:
            model = onnx.load(str(path), load_external_data=False)
        except (OSError, DecodeError, ValueError) as error:
            raise SysmolError(f"{path}: cannot read this ONNX model: {error}") from error
        return cls(model, Path(path).name)

    def run(self, x: Float32, batch: int = 16) -> Float32:
        """Logits, binary32 [N, classes], of images ``x``, binary32 [N, C, H, W].

        ``batch`` images at a time, few enough for the processor's cache. A network that ends with
        codes gives the reals that they mean.
        """
        x = self._checked(x)
        parts = [self._forward(x[i : i + batch])[1] for i in range(0, len(x), batch)]
        return np.concatenate(parts)

    def trace(self, x: Float32) -> dict[str, Int64]:
        """Every integer tensor by the ONNX value that holds it.

        Codes of each ``Quant``, accumulators of each convolution, linear layer and pool, sums of
        carriers; channels in the file's order. All of them live at once: use few images.
        """
        return self._forward(self._checked(x))[0]

    def _checked(self, x: Float32) -> Float32:
        shape = self._values[self.input].shape
        if x.dtype != np.float32 or x.shape[1:] != shape or not len(x):
            wanted = ", ".join(str(n) for n in shape)
            raise SysmolError(
                f"{self._where}: input must be float32 [N, {wanted}], got {x.dtype} {list(x.shape)}"
            )
        return x

    def _forward(self, x: Float32) -> tuple[dict[str, Int64], Float32]:
        arrays: dict[str, Any] = {self.input: x}
        with _limited(self._where):
            for name, run in self._steps:
                arrays[name] = run(arrays)
            result: Float32 = self._to_reals(arrays)
        del arrays[self.input]
        return arrays, result

    # Reading -----------------------------------------------------------------------------------

    def _image_shape(self) -> tuple[int | None, tuple[int, ...]]:
        """The batch, None where the file leaves it open, and the shape of an image."""
        tensor = self._graph.input.type.tensor_type
        if tensor.elem_type != TensorProto.FLOAT:
            raise SysmolError(f"its element type is {tensor.elem_type}; expected float (1)")
        dims = tensor.shape.dim
        if len(dims) not in (2, 4):
            raise SysmolError(f"it has rank {len(dims)}; expected [N, C, H, W] or [N, C]")
        if not all(dim.HasField("dim_value") for dim in dims[1:]):
            raise SysmolError("only its first dimension may be symbolic")
        batch = dims[0].dim_value if dims[0].HasField("dim_value") else None
        shape = tuple(dim.dim_value for dim in dims[1:])
        check_shape((1 if batch is None else batch, *shape))
        return batch, shape

    def _reals(self) -> _Step:
        """What makes reals of the output: of accumulators by HP18, of codes by HP3 to HP5."""
        last = self._values.get(self.output)
        if not isinstance(last, _Codes | _Integers) or (isinstance(last, _Integers) and last.relu):
            raise SysmolError(
                "it must be codes, or an accumulator or carrier without Relu or Clip (HP18)"
            )
        if isinstance(last, _Integers) and last.added:
            raise SysmolError(f"it {_ADDED}")
        self._check_promise(last.shape)
        if isinstance(last, _Codes):
            grid, scale, bits = last.grid, last.scale, _channelwise(last.bits, 1 + len(last.shape))
            return lambda a: _rounded(values(a[last.source], grid, bits, scale))
        m, b = (
            _channelwise(v, 1 + len(last.shape))
            for v in fold(last.unit, np.ones(()), last.bias, last.norm)
        )
        return lambda a: dequantize(a[last.source], m, b)

    def _check_promise(self, shape: tuple[int, ...]) -> None:
        """What the file says of its output must hold."""
        tensor = self._graph.output.type.tensor_type
        if tensor.elem_type != TensorProto.FLOAT:
            raise SysmolError(f"its element type is {tensor.elem_type}; expected float (1)")
        if not tensor.HasField("shape"):
            return
        dims = tensor.shape.dim
        fits = len(dims) == 1 + len(shape) and all(
            size is None or not dim.HasField("dim_value") or dim.dim_value == size
            for dim, size in zip(dims, (self._batch, *shape), strict=True)
        )
        if not fits:
            computed = ", ".join(str(size) for size in (self._batch or "N", *shape))
            raise SysmolError(f"the network computes shape [{computed}], the file declares another")

    def _input(self, node: onnx.NodeProto, index: int = 0) -> _Value:
        name = node.input[index]
        if name not in self._values:
            raise SysmolError(f"'{name}' is a constant")
        return self._values[name]

    def _integers(self, node: onnx.NodeProto, index: int = 0, added: bool = False) -> _Integers:
        """An accumulator or a carrier; where ``added``, the sum of two carriers, too."""
        value, name = self._input(node, index), node.input[index]
        if not isinstance(value, _Integers):
            raise SysmolError(f"'{name}' is neither accumulator nor carrier")
        if value.added and not added:
            raise SysmolError(f"'{name}' {_ADDED}")
        return value

    def _codes(self, node: onnx.NodeProto, rank: int) -> _Codes:
        value = self._input(node)
        if not isinstance(value, _Codes):
            raise SysmolError(f"'{node.input[0]}' is not quantized")
        if 1 + len(value.shape) != rank:
            wanted = "[N, C, H, W]" if rank == 4 else "[N, C]"
            raise SysmolError(f"expected codes {wanted}, '{node.input[0]}' has another rank")
        return value

    def _read(self, node: onnx.NodeProto) -> None:
        readers: dict[str, Callable[[onnx.NodeProto], None]] = {
            "Quant": self._quant,
            "BipolarQuant": self._quant,
            "Conv": self._conv,
            "Gemm": self._gemm,
            "MatMul": self._gemm,
            "BatchNormalization": self._batch_norm,
            "Relu": self._relu,
            "Clip": self._clip,
            "Add": self._add,
            "MaxPool": self._max_pool,
            "GlobalAveragePool": self._pool,
            "AveragePool": self._pool,
            "Flatten": self._flatten,
            "Reshape": self._reshape,
            "Identity": self._identity,
            "Constant": self._identity,  # the graph has read it
        }
        # QONNX's domain has had several names, none of them ONNX's.
        standard = is_standard(node.domain)
        if node.op_type not in readers or (node.op_type in _QONNX) is standard:
            where = "" if standard else f" of domain '{node.domain}'"
            allowed = ", ".join(name for name in readers if name not in _QONNX)
            own = " and ".join(_QONNX)
            raise SysmolError(f"unsupported operator{where}; allowed are {own} (QONNX), {allowed}")
        least, most = _INPUTS.get(node.op_type, (1, 1))
        inputs, outputs = _given(node.input), _given(node.output)
        if not least <= inputs <= most or outputs != 1:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            raise SysmolError(f"expected {wanted} inputs and 1 output, has {inputs} and {outputs}")
        Attributes(node)  # refuses unknown ones, where none is read, too
        if not self._graph.is_constant(node.output[0]):
            readers[node.op_type](node)

    def _quant(self, node: onnx.NodeProto) -> None:
        quantizer = Quantizer.read(self._graph, node)
        source, output = node.input[0], node.output[0]
        if self._graph.is_constant(source):
            self._weights[output] = quantizer, source
            return
        value = self._input(node)
        rank = 1 + len(value.shape)
        if quantizer.carrier:
            self._carrier(node, value, quantizer.steps.item())
            return
        grid, bits, scale = quantizer.activation((1, *value.shape))
        if isinstance(value, _Codes):
            if (grid, scale) != (value.grid, value.scale) or (bits != value.bits).any():
                raise SysmolError("its input is quantized already, on another grid; quantize once")
            self._values[output] = value
            return
        if isinstance(value, _Image):
            multiplier(grid, bits, scale)  # refuses a scale that HP6 refuses
            shaped = _channelwise(bits, rank)
            run: _Step = lambda a: quantize(a[value.source], grid, shaped, scale)  # noqa: E731
        else:
            acc = self._integers(node)
            if (bits.reshape(-1, acc.pixels) != bits[:: acc.pixels, None]).any():
                raise SysmolError("the pixels of a flattened channel differ in precision")
            if acc.relu and grid is not Grid.UNSIGNED:
                raise SysmolError("a ReLU must be followed by an unsigned grid (HP20)")
            if acc.top is not None and scale > acc.top * (1 + _CLIP_TOLERANCE):
                raise SysmolError(f"alpha {scale:.7g} exceeds the Clip's {acc.top:g} (HP20)")
            m, b = fold(acc.unit, step(grid, bits, scale), acc.bias, acc.norm)
            shaped, m, b = (_channelwise(v, rank) for v in (bits, m, b))
            run = lambda a: requantize(a[acc.source], m, b, grid, shaped)  # noqa: E731
        self._steps.append((output, run))
        self._values[output] = _Codes(value.shape, output, grid, bits, scale)

    def _weight(self, reader: onnx.NodeProto, rank: int, transposed: bool = False) -> _Weight:
        """The weight that ``reader`` multiplies by, output channels first."""
        if reader.input[1] not in self._weights:
            raise SysmolError(f"weight '{reader.input[1]}' is not quantized")
        quantizer, name = self._weights[reader.input[1]]
        array = self._graph.constant(name, real=True)
        with named(f"weight '{name}'"):
            if array.ndim != rank:
                raise SysmolError(f"it has shape {list(array.shape)}; expected rank {rank}")
            if quantizer.carrier:
                raise SysmolError("weights cannot be 16-bit carriers")
            grid, bits, steps = quantizer.spread(array.shape, (0, 1))
            if grid is not Grid.MIDRISE:
                raise SysmolError("weights must lie on the mid-rise or symmetric grid")
            bits = np.broadcast_to(bits, array.shape)
            steps = np.broadcast_to(steps, array.shape)
            if transposed:
                array, bits, steps = array.T, bits.T, steps.T
            bits, steps = bits.reshape(len(array), -1), steps.reshape(len(array), -1)
            scale = finest_scale(Grid.MIDRISE, bits, steps, axis=1)
            flat = array.reshape(len(array), -1)
            codes = quantize(flat.astype(np.float32), Grid.MIDRISE, bits, scale)
            error_in_steps = np.abs(values(codes, Grid.MIDRISE, bits, scale) - flat) / steps
            if (error_in_steps > _WEIGHT_TOLERANCE).any():
                raise SysmolError("a weight does not lie on its grid (HP23)")
            levels = level_values(codes, Grid.MIDRISE, bits)
        return _Weight(levels.reshape(array.shape), bits.reshape(array.shape), scale.reshape(-1))

    def _carrier(self, node: onnx.NodeProto, value: _Value, delta: float) -> None:
        if isinstance(value, _Codes):
            if value.grid is not Grid.UNSIGNED or len(set(value.bits)) != 1:
                raise SysmolError(
                    "codes before a carrier must be unsigned, of one precision (HP17)"
                )
            worth = np.asarray(value.scale / (2.0 ** int(value.bits[0]) - 1))
            acc = _Integers(
                value.shape, value.source, worth, np.zeros(()), carrier=False, flat=value.flat
            )
        else:
            acc = self._integers(node, added=True)
        if isinstance(value, _Codes) and not value.flat and len(value.shape) != 3:
            raise SysmolError("only codes [N, C, H, W] become carriers (HP17)")
        if acc.flat or acc.top is not None:
            raise SysmolError("neither Flatten nor Clip may stand before a carrier (HP17)")
        if acc.carrier and (acc.norm is not None or acc.unit != delta):
            raise SysmolError(
                "between two carriers stands at most a ReLU, and they have one delta (HP17)"
            )
        m, b = fold(acc.unit, np.asarray(delta), acc.bias, acc.norm)
        m, b = (_channelwise(v, 1 + len(value.shape)) for v in (m, b))
        low = 0 if acc.relu else -CARRIER_MAX
        output = node.output[0]
        self._steps.append((output, lambda a: to_carrier(a[acc.source], m, b, low)))
        self._values[output] = _Integers(
            value.shape, output, np.asarray(delta), np.zeros(()), carrier=True
        )

    def _conv(self, node: onnx.NodeProto) -> None:
        codes, weight, attributes = self._codes(node, 4), self._weight(node, 4), Attributes(node)
        groups = attributes.integer("group", 1)
        window = attributes.window(weight.levels.shape[2:])
        if groups < 1:
            raise SysmolError("group must be positive")
        out = weight.levels.shape[0]
        if codes.channels != weight.levels.shape[1] * groups or out % groups:
            raise SysmolError(f"{codes.channels} input channels do not fit the weight")
        scaled, unit_ = self._product(weight, codes, groups)
        sizes = window.sizes(codes.shape[1:])
        matrix = torch.from_numpy(scaled)
        bits = _channelwise(codes.bits, 4)

        def run(arrays: dict[str, Any]) -> Int64:
            q = level_values(arrays[codes.source], codes.grid, bits).astype(scaled.dtype)
            # HP13: a padded tap adds nothing, which is level value 0 (no mid-rise code has it).
            q, strides, dilations = window.spread(q, sizes)
            x = torch.from_numpy(q)
            with _exact():
                acc = functional.conv2d(x, matrix, None, strides, 0, dilations, groups)
            return np.asarray(acc.to(torch.int64).numpy())

        self._accumulator(node, (out, *sizes), unit_, self._bias(node, out), run)

    def _gemm(self, node: onnx.NodeProto) -> None:
        codes, attributes = self._codes(node, 2), Attributes(node)
        transposed = not attributes.integer("transB", 0)
        weight = self._weight(node, 2, transposed)
        if attributes.number("alpha", 1.0) != 1.0 or attributes.number("beta", 1.0) != 1.0:
            raise SysmolError("alpha and beta must be 1")
        if attributes.integer("transA", 0):
            raise SysmolError("transA must be 0")
        if weight.levels.shape[1] != codes.channels:
            raise SysmolError(f"{codes.channels} inputs do not fit the weight")
        scaled, unit_ = self._product(weight, codes, 1)
        out = len(scaled)

        def run(arrays: dict[str, Any]) -> Int64:
            q: Any = level_values(arrays[codes.source], codes.grid, codes.bits[None])
            return np.asarray(q.astype(scaled.dtype) @ scaled.T, np.int64)

        self._accumulator(node, (out,), unit_, self._bias(node, out), run)

    def _bias(self, node: onnx.NodeProto, out: int) -> Float64:
        if len(node.input) < 3 or not node.input[2]:
            return np.zeros(out)
        bias = self._graph.constant(node.input[2], real=True)
        # Along the channels, which are last: a column would be one for each row.
        if bias.size not in (1, out) or (bias.ndim and bias.shape[-1] != bias.size):
            raise SysmolError(f"the bias has shape {list(bias.shape)}; expected [{out}]")
        return np.broadcast_to(bias.reshape(-1), out)

    def _product(
        self, weight: _Weight, codes: _Codes, groups: int
    ) -> tuple[Float32 | Float64, Float64]:
        """Weights times ``c(p)`` (HP11) in a type whose sums are exact, and the unit (HP19).

        Refuses what HP12 refuses.
        """
        out, per_group = weight.levels.shape[:2]
        tail = (1,) * (weight.levels.ndim - 2)
        # Output o of group g reads the input channels g * per_group onwards.
        grouped = codes.bits.reshape(groups, 1, per_group)
        p = np.broadcast_to(grouped, (groups, out // groups, per_group)).reshape(
            out, per_group, *tail
        )
        if (weight.bits != p).any():
            raise SysmolError("weight and activation precisions of a channel differ (HP11)")
        if codes.grid is Grid.UNSIGNED:
            most = 2**p - 1
        else:
            most = np.where(p == 8, 127, 2**p - 1)
        factor = counts(codes.grid, codes.bits)
        spread = np.broadcast_to(
            factor.reshape(groups, 1, per_group), (groups, out // groups, per_group)
        ).reshape(out, per_group, *tail)
        taps = int(np.prod(weight.levels.shape[2:], dtype=np.int64))
        largest = np.where(p == 8, 127, 2**p - 1)
        bound = int((spread * most * largest).reshape(out, -1).sum(1).max()) * taps
        if bound > _ACCUMULATOR_MAX:
            raise SysmolError(f"accumulator bound {bound} exceeds 2^31 - 1 (HP12)")
        unit_ = (weight.scale * codes.scale) / unit(codes.grid, int(codes.bits.max()))
        scaled = weight.levels * spread
        if bound < _EXACT_FLOAT32:
            return scaled.astype(np.float32), unit_
        return scaled.astype(np.float64), unit_

    def _accumulator(
        self,
        node: onnx.NodeProto,
        shape: tuple[int, ...],
        unit_: Float64,
        bias: Float64,
        run: _Step,
    ) -> None:
        output = node.output[0]
        check_shape((self._batch or 1, *shape))
        self._steps.append((output, run))
        # [C] of pools, too: Flatten spreads channels over their pixels.
        unit_, bias = (np.broadcast_to(v, shape[:1]) for v in (unit_, bias))
        self._values[output] = _Integers(shape, output, unit_, bias, carrier=False)

    def _batch_norm(self, node: onnx.NodeProto) -> None:
        value, attributes = self._integers(node), Attributes(node)
        epsilon = attributes.number("epsilon", _EPSILON)
        if attributes.integer("training_mode", 0):
            raise SysmolError("training_mode must be 0: export the network in evaluation")
        if value.norm is not None or value.relu or value.pixels > 1:
            raise SysmolError("batch norm must directly follow a dot product or carrier")
        parts = [self._graph.constant(name, real=True) for name in node.input[1:5]]
        if any(part.shape != (value.channels,) for part in parts):
            raise SysmolError(f"parameters are not of {value.channels} channels")
        if (parts[3] + epsilon <= 0).any():
            raise SysmolError("a variance is negative")
        norm = BatchNorm(parts[0], parts[1], parts[2], parts[3], epsilon)
        self._values[node.output[0]] = replace(value, norm=norm)

    def _relu(self, node: onnx.NodeProto) -> None:
        self._values[node.output[0]] = replace(self._integers(node, added=True), relu=True)

    def _clip(self, node: onnx.NodeProto) -> None:
        value = self._integers(node)
        ends = [self._graph.constant(name, real=True) for name in node.input[1:] if name]
        if len(ends) != 2 or any(end.size != 1 for end in ends) or ends[0].item() != 0:
            raise SysmolError("expected constant ends, the lower one 0 (HP20)")
        top = ends[1].item()
        if top <= 0:
            raise SysmolError("its upper end is not positive (HP20)")
        if value.top is not None:
            top = min(top, value.top)
        self._values[node.output[0]] = replace(value, relu=True, top=top)

    def _add_bias(self, node: onnx.NodeProto, index: int, name: str) -> None:
        acc, rank = self._integers(node, index), 1 + len(self._input(node, index).shape)
        constant = self._graph.constant(name, real=True)
        tail = (1,) * (rank - 2)
        shapes = [(acc.channels, *tail), (1, acc.channels, *tail)]
        if constant.ndim > rank or (constant.size != 1 and constant.shape not in shapes):
            wanted = f"{list(shapes[0])} or {list(shapes[1])}"
            raise SysmolError(f"a bias of shape {list(constant.shape)}, expected {wanted}")
        if acc.carrier or not acc.plain:
            raise SysmolError("a constant is added to a dot product's sums only, as a bias")
        self._values[node.output[0]] = replace(acc, bias=acc.bias + constant.reshape(-1))

    def _add(self, node: onnx.NodeProto) -> None:
        for index, name in enumerate(node.input):
            if self._graph.is_constant(name):
                self._add_bias(node, 1 - index, name)
                return
        a, b = self._integers(node, 0), self._integers(node, 1)
        if not all(v.carrier and v.plain for v in (a, b)) or a.unit != b.unit or a.shape != b.shape:
            raise SysmolError("both inputs must be carriers of one delta and shape (HP17)")
        output = node.output[0]
        self._steps.append(
            (output, lambda x: np.clip(x[a.source] + x[b.source], -CARRIER_MAX, CARRIER_MAX))
        )
        self._values[output] = replace(a, source=output, added=True)

    def _pool(self, node: onnx.NodeProto) -> None:
        codes, attributes = self._codes(node, 4), Attributes(node)
        if codes.grid is not Grid.UNSIGNED or len(set(codes.bits)) != 1:
            raise SysmolError("pools read unsigned codes of one precision (HP14)")
        if node.op_type == "AveragePool":
            window = attributes.window()
            if attributes.integer("ceil_mode", 0) or window.dilations != [1, 1]:
                raise SysmolError("ceil_mode and dilations are not supported")
            if not attributes.integer("count_include_pad", 0) and any(window.pads):
                raise SysmolError("padding must be counted (HP14)")
        else:
            window = attributes.window(codes.shape[1:])
        sizes = window.sizes(codes.shape[1:])
        largest = 2 ** int(codes.bits[0]) - 1
        if window.taps * largest > _ACCUMULATOR_MAX:
            bound = window.taps * largest
            raise SysmolError(f"the window's sum {bound} exceeds 2^31 - 1 (HP12)")

        def run(arrays: dict[str, Any]) -> Int64:
            return window.reduced(arrays[codes.source], sizes, np.add)

        unit_ = np.asarray((codes.scale / largest) / window.taps)
        self._accumulator(node, (codes.channels, *sizes), unit_, np.zeros(()), run)

    def _max_pool(self, node: onnx.NodeProto) -> None:
        codes, attributes = self._codes(node, 4), Attributes(node)
        window, ceil = attributes.window(), attributes.integer("ceil_mode", 0)
        if attributes.integer("storage_order", 0) or window.dilations != [1, 1]:
            raise SysmolError("dilations and storage_order are not supported (HP25)")
        if any(pad >= window.kernel[i % 2] for i, pad in enumerate(window.pads)):
            raise SysmolError("every pad must be smaller than the kernel (HP25)")
        sizes = window.sizes(codes.shape[1:], bool(ceil))
        check_shape((self._batch or 1, codes.channels, *sizes))

        def run(arrays: dict[str, Any]) -> Int64:
            return window.reduced(arrays[codes.source], sizes, np.maximum)

        output = node.output[0]
        self._steps.append((output, run))
        self._values[output] = replace(codes, shape=(codes.channels, *sizes), source=output)

    def _flatten(self, node: onnx.NodeProto) -> None:
        if Attributes(node).integer("axis", 1) != 1 or isinstance(self._input(node), _Image):
            raise SysmolError("expected axis 1 of a quantized tensor")
        self._make_flat(node)

    def _reshape(self, node: onnx.NodeProto) -> None:
        value, allow_zero = self._input(node), Attributes(node).integer("allowzero", 0)
        if isinstance(value, _Image):
            raise SysmolError("expected a quantized tensor")
        to = self._graph.constant(node.input[1]).tolist()
        batch, size = self._batch or 1, int(np.prod(value.shape))
        flat = [[batch, -1], [batch, size], [-1, size]]
        if not allow_zero:
            flat += [[0, -1], [0, size]]
        if not self._graph.is_int64(node.input[1]) or to not in flat:
            shape = [self._batch or "N", *value.shape]
            wanted = f"a flattening of [{', '.join(map(str, shape))}] to [{batch}, -1]"
            raise SysmolError(f"only {wanted} is allowed")
        self._make_flat(node)

    def _make_flat(self, node: onnx.NodeProto) -> None:
        value = self._input(node)
        output, size = node.output[0], int(np.prod(value.shape))
        times = size // value.channels

        def repeat(array: Any) -> Any:
            return np.repeat(array, times) if np.ndim(array) else array

        shape = (size,)
        if isinstance(value, _Codes):
            self._values[output] = replace(
                value,
                shape=shape,
                source=output,
                bits=repeat(value.bits),
                flat=value.flat or len(value.shape) > 1,
            )
        else:
            acc = self._integers(node)
            norm = acc.norm
            if norm is not None:
                norm = BatchNorm(
                    repeat(norm.scale),
                    repeat(norm.shift),
                    repeat(norm.mean),
                    repeat(norm.variance),
                    norm.epsilon,
                )
            self._values[output] = replace(
                acc,
                shape=shape,
                source=output,
                unit=repeat(acc.unit),
                bias=repeat(acc.bias),
                norm=norm,
                flat=acc.flat or len(acc.shape) > 1,
                pixels=acc.pixels * times,
            )
        source = value.source
        self._steps.append((output, lambda a: a[source].reshape(len(a[source]), -1)))

    def _identity(self, node: onnx.NodeProto) -> None:
        source, output = node.input[0], node.output[0]
        if source in self._weights:
            self._weights[output] = self._weights[source]
        else:
            self._values[output] = self._input(node)
