"""A checked ONNX graph: names, order and constants, which no operator needs to know of.

What is allowed is what the compiler allows, so that no file means two things. Errors are reasons;
:func:`named` puts file and node in front.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import TensorProto

from sysmol.errors import SysmolError
from sysmol.grids import Float64

__all__ = ["MAX_DIMENSION", "Graph", "check_shape", "describe", "is_standard", "named"]

MAX_DIMENSION = 2**24
_MAX_ELEMENTS = 2**31
_MAX_RANK = 8
_OLDEST_OPSET = 11

# In `raw_data`, and the field that holds them otherwise.
_ELEMENTS: dict[int, tuple[str, str]] = {
    TensorProto.FLOAT: ("<f4", "float_data"),
    TensorProto.DOUBLE: ("<f8", "double_data"),
    TensorProto.INT32: ("<i4", "int32_data"),
    TensorProto.INT64: ("<i8", "int64_data"),
    TensorProto.INT8: ("i1", "int32_data"),
    TensorProto.UINT8: ("u1", "int32_data"),
    TensorProto.BOOL: ("u1", "int32_data"),
}


@contextlib.contextmanager
def named(culprit: str) -> Iterator[None]:
    """Put ``culprit`` in front of the reason of an error."""
    try:
        yield
    except SysmolError as error:
        raise type(error)(f"{culprit}: {error}") from error


def is_standard(domain: str) -> bool:
    """Whether ``domain`` is ONNX's own."""
    return domain in ("", "ai.onnx")


def describe(node: onnx.NodeProto) -> str:
    """Operator and name, for errors."""
    return f"{node.op_type} '{node.output[0] if node.output else node.name}'"


def check_shape(shape: Sequence[int]) -> None:
    """Refuse a tensor that is larger than any of a network."""
    if any(not 1 <= size <= MAX_DIMENSION for size in shape):
        raise SysmolError(f"shape {list(shape)} has a dimension outside [1, 2^24]")
    if math.prod(shape) > _MAX_ELEMENTS:
        raise SysmolError(f"shape {list(shape)} has more than 2^31 elements")


def _elements(tensor: onnx.TensorProto) -> Float64:
    """Exact for binary32 and for integers up to 2^53."""
    if tensor.data_type not in _ELEMENTS:
        raise SysmolError(
            f"element type {tensor.data_type} is not supported; "
            "allowed are float, double and integers"
        )
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise SysmolError("its data lies in another file; save the model as one file")
    if tensor.HasField("segment"):
        raise SysmolError("it is stored in segments, which is not supported")
    if len(tensor.dims) > _MAX_RANK:
        raise SysmolError(f"it has rank {len(tensor.dims)}; at most {_MAX_RANK} is allowed")
    check_shape(tensor.dims)
    dtype, field = _ELEMENTS[tensor.data_type]
    raw = tensor.HasField("raw_data")
    stored = tensor.raw_data if raw else getattr(tensor, field)
    wanted = math.prod(tensor.dims) * (np.dtype(dtype).itemsize if raw else 1)
    if len(stored) != wanted:
        raise SysmolError(
            f"it has {len(stored)} {'bytes' if raw else 'elements'}, "
            f"its shape {list(tensor.dims)} needs {wanted}"
        )
    flat = np.frombuffer(stored, dtype) if raw else stored
    return np.array(flat, np.float64).reshape(tensor.dims)


class Graph:
    """A model of one input and one output, whose names are unique and defined before their use.

    Parameters
    ----------
    model : onnx.ModelProto

    Attributes
    ----------
    nodes : sequence of onnx.NodeProto
    input, output : onnx.ValueInfoProto

    Raises
    ------
    SysmolError
        By all methods, too.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._domains = {opset.domain for opset in model.opset_import}
        versions = [o.version for o in model.opset_import if is_standard(o.domain)]
        if not versions:
            raise SysmolError("the model imports no opset; the file may be truncated")
        if min(versions) < _OLDEST_OPSET:
            raise SysmolError(
                f"opset {min(versions)} is too old; export with opset {_OLDEST_OPSET} or later"
            )
        graph = model.graph
        if graph.sparse_initializer:
            raise SysmolError("sparse initializers are not supported; store them densely")
        self._constants: dict[str, onnx.TensorProto] = {}
        for tensor in graph.initializer:
            if not tensor.name:
                raise SysmolError("an initializer has no name")
            if tensor.name in self._constants:
                raise SysmolError(f"duplicate name: two initializers are called '{tensor.name}'")
            self._constants[tensor.name] = tensor
        # IR version 3 lists initializers as inputs, too.
        inputs = [info for info in graph.input if info.name not in self._constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise SysmolError("expected one input and one output")
        self.nodes, self.input, self.output = graph.node, inputs[0], graph.output[0]
        self._defined = {self.input.name, *self._constants}
        for node in self.nodes:
            with named(describe(node)):
                self._define(node)

    def _define(self, node: onnx.NodeProto) -> None:
        if not is_standard(node.domain) and node.domain not in self._domains:
            raise SysmolError(
                f"the model imports no opset of its domain '{node.domain}'; "
                "the file may be truncated"
            )
        for name in node.input:
            if name and name not in self._defined:
                raise SysmolError(f"'{name}' is not computed before it")
        for name in filter(None, node.output):
            if name in self._defined:
                raise SysmolError(f"duplicate name: output '{name}' is defined before")
            self._defined.add(name)
        # A constant by another name.
        if node.op_type == "Identity" and len(node.input) == 1 and node.output:
            source = self._constants.get(node.input[0])
            if source is not None:
                self._constants[node.output[0]] = source
        if node.op_type == "Constant" and node.output:
            given = list(node.attribute)
            if (
                len(given) != 1
                or given[0].name != "value"
                or given[0].type != onnx.AttributeProto.TENSOR
            ):
                raise SysmolError("only a tensor in attribute 'value' is allowed")
            self._constants[node.output[0]] = given[0].t

    def is_constant(self, name: str) -> bool:
        """Whether ``name`` is an initializer or a Constant's, be it behind an Identity."""
        return name in self._constants

    def is_int64(self, name: str) -> bool:
        """Whether a constant's elements are int64, as those of shapes are."""
        return self.is_constant(name) and self._constants[name].data_type == TensorProto.INT64

    def constant(self, name: str, real: bool = False) -> Float64:
        """The finite elements of a constant, which are binary32 where ``real``."""
        if name not in self._constants:
            raise SysmolError(f"'{name}' is not a constant")
        tensor = self._constants[name]
        with named(f"'{name}'"):
            array = _elements(tensor)
        if real and tensor.data_type != TensorProto.FLOAT:
            dtype = np.dtype(_ELEMENTS[tensor.data_type][0])
            raise SysmolError(f"'{name}' is {dtype}, expected float32")
        if not np.isfinite(array).all():
            raise SysmolError(f"'{name}' holds NaN or infinity")
        return array
