"""What the tiny ONNX models of these tests are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"
CASES: dict[str, dict[str, Callable[[], onnx.ModelProto | bytes]]] = {"valid": {}, "invalid": {}}


class Builder:
    """A graph in the making; values are named after their nodes."""

    def __init__(self, shape: tuple[int | str, ...] = ("N", 3, 4, 4)) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.shape: tuple[int | str | None, ...] = shape
        self.result: list[int | str | None] | None = None

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        array = np.asarray(values, dtype)
        if not any(t.name == name for t in self.initializers):
            self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def add(
        self, op: str, inputs: list[str], name: str, domain: str = "", **attributes: Any
    ) -> str:
        self.nodes.append(
            helper.make_node(op, inputs, [name], name=name, domain=domain, **attributes)
        )
        return name

    def quant(
        self,
        x: str,
        name: str,
        scale: Any,
        zero: Any,
        bits: Any,
        signed: int = 0,
        **attributes: Any,
    ) -> str:
        inputs = [
            x,
            self.constant(f"{name}.scale", scale),
            self.constant(f"{name}.zero", zero),
            self.constant(f"{name}.bits", bits),
        ]
        rest = {"narrow": signed, "rounding_mode": "ROUND"} | attributes
        return self.add("Quant", inputs, name, QONNX, signed=signed, **rest)

    def activation(
        self, x: str, name: str, bits: list[int], alpha: float = 3.0, rank: int = 4
    ) -> str:
        """The unsigned grid."""
        p = np.array(bits, np.float64).reshape(1, -1, *[1] * (rank - 2))
        return self.quant(x, name, np.float32(alpha) / (2**p - 1), 0.0, p)

    def weight(self, name: str, shape: tuple[int, ...], bits: list[int], d: Any = 1.0) -> str:
        """Weights of the mid-rise grid, codes counting up."""
        p = np.array(bits, np.float64).reshape(1, -1, *[1] * (len(shape) - 2))
        step = np.asarray(d).reshape(-1, *[1] * (len(shape) - 1)) * 2.0 ** (2 - p)
        codes = np.arange(np.prod(shape)).reshape(shape) % 2**p
        values = step * (codes - 2 ** (p - 1) + 0.5)
        self.constant(name, values)
        return self.quant(name, f"{name}_quant", step, 2 ** (p - 1) - 0.5, p)

    def symmetric(self, name: str, codes: Any, d: float = 1.0) -> str:
        """8-bit weights."""
        self.constant(name, np.array(codes) * d / 64)
        return self.quant(name, f"{name}_quant", d / 64, 0.0, 8.0, signed=1)

    def carrier(self, x: str, name: str, delta: float = 0.5) -> str:
        return self.quant(x, name, delta, 0.0, 16.0, signed=1)

    def norm(self, x: str, name: str, channels: int, **attributes: Any) -> str:
        """With ``epsilon=None`` the node has none."""
        parts = [
            self.constant(f"{name}.{part}", [value] * channels)
            for part, value in (("g", 2.0), ("b", 1.0), ("m", 0.5), ("v", 0.25))
        ]
        return self.add("BatchNormalization", [x, *parts], name, **({"epsilon": 0.0} | attributes))

    def model(self) -> onnx.ModelProto:
        output = self.nodes[-1].output[0]
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, self.result)],
            self.initializers,
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(QONNX, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def valid(case: Callable[[], Any]) -> Callable[[], Any]:
    CASES["valid"][case.__name__] = case
    return case


def invalid(case: Callable[[], Any]) -> Callable[[], Any]:
    CASES["invalid"][case.__name__] = case
    return case


def begin(bits: list[int] | None = None, **options: Any) -> Builder:
    """An image of three channels, quantized to 4, 1 and 2 bits."""
    builder = Builder(**options)
    builder.activation("image", "x", bits or [4, 1, 2])
    return builder


def conv(**attributes: Any) -> Builder:
    """A 3x3 convolution of two outputs behind it."""
    builder = begin()
    builder.add("Conv", ["x", builder.weight("w", (2, 3, 3, 3), [4, 1, 2])], "conv", **attributes)
    return builder
