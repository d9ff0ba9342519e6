"""Inputs and outputs that a node may leave out, and those that its operator does not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from models import QONNX, Builder, begin, conv, invalid, valid


@valid
def left_out() -> onnx.ModelProto:
    """Empty names at the end of inputs and outputs."""
    b = begin()
    b.add("MaxPool", ["x"], "pool", kernel_shape=[2, 2])
    b.nodes[-1].output.append("")
    b.add("Conv", ["pool", b.weight("w", (2, 3, 1, 1), [4, 1, 2]), ""], "conv")
    return b.model()


@invalid
def max_pool_indices() -> onnx.ModelProto:
    b = begin()
    b.add("MaxPool", ["x"], "pool", kernel_shape=[2, 2])
    b.nodes[-1].output.append("indices")
    return b.model()


@invalid
def outputs_of_norm() -> onnx.ModelProto:
    b = conv()
    b.norm("conv", "norm", 2)
    b.nodes[-1].output.extend(["", "variance"])
    return b.model()


@invalid
def output_unnamed() -> onnx.ModelProto:
    b = begin()
    b.add("MaxPool", ["x"], "", kernel_shape=[2, 2])
    return b.model()


@invalid
def output_twice() -> onnx.ModelProto:
    b = begin()
    b.add("MaxPool", ["x"], "pool", kernel_shape=[2, 2])
    b.nodes[-1].output.append("pool")
    return b.model()


def counted(op: str, count: int, build: Callable[[], Builder]) -> None:
    """A refused model whose last node has `count` inputs."""

    def case() -> onnx.ModelProto:
        b = build()
        node = b.nodes[-1]
        node.input.extend([b.constant("more", 1.0)] * count)
        del node.input[count:]
        return b.model()

    case.__name__ = f"inputs_of_{op}"
    invalid(case)


def last(op: str, *inputs: str, domain: str = "", **attributes: Any) -> Callable[[], Builder]:
    """A node of codes `x`, sums `conv` or weights `w_quant`."""

    def build() -> Builder:
        b = conv()
        b.add(op, list(inputs), "last", domain, **attributes)
        return b

    return build


def product() -> Builder:
    b = Builder(("N", 3))
    b.activation("image", "x", [4, 4, 4], rank=2)
    b.constant("w", np.full((3, 2), 0.125))
    b.add("MatMul", ["x", b.quant("w", "wq", 0.25, 7.5, 4.0)], "last")
    return b


def constant() -> Builder:
    b = conv()
    value = onnx.numpy_helper.from_array(np.float32(1), "value")
    b.add("Constant", [], "last", value=value)
    return b


for op, count, build in (
    ("Add", 3, last("Add", "conv")),
    ("AveragePool", 2, last("AveragePool", "x", kernel_shape=[2, 2])),
    ("BatchNormalization", 6, last("BatchNormalization", "conv")),
    ("BipolarQuant", 3, last("BipolarQuant", "conv", domain=QONNX)),
    ("Clip", 4, last("Clip", "conv")),
    ("Constant", 1, constant),
    ("Conv", 4, last("Conv", "x", "w_quant")),
    ("Conv_alone", 1, last("Conv", "x")),
    ("Flatten", 2, last("Flatten", "x")),
    ("Gemm", 4, last("Gemm", "x", "w_quant")),
    ("GlobalAveragePool", 2, last("GlobalAveragePool", "x")),
    ("Identity", 2, last("Identity", "x")),
    ("MatMul", 3, product),
    ("MaxPool", 2, last("MaxPool", "x", kernel_shape=[2, 2])),
    ("Quant", 5, last("Quant", "conv", domain=QONNX)),
    ("Relu", 0, last("Relu")),
    ("Reshape", 3, last("Reshape", "x")),
):
    counted(op, count, build)
