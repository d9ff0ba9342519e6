"""The layers of :mod:`sysmol.programs` as ONNX models for peers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from sysmol.programs import Convolution, Product

__all__ = ["convolution", "product", "product_nbits", "torch_convolution"]


def _save(
    path: Path,
    nodes: list[Any],
    inputs: tuple[Any, tuple[int, ...]],
    outputs: tuple[Any, tuple[int, ...]],
    constants: dict[str, npt.NDArray[Any]],
    microsoft: bool = False,
) -> None:
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", *inputs)],
        [helper.make_tensor_value_info("y", *outputs)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    if microsoft:
        opsets.append(helper.make_opsetid("com.microsoft", 1))
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 8
    onnx.save(model, str(path))


def convolution(conv: Convolution, path: Path, int8: bool, repeat: int = 1) -> None:
    """``repeat`` convolutions one behind the other, with ReLU: float32, or all in INT8 (QDQ).

    INT8 goes in and comes out as unsigned bytes, so that only the convolutions are measured.
    """
    rng = np.random.default_rng(0)
    groups = conv.channels if conv.depthwise else 1
    fan_in = float(np.prod(conv.filter_shape[1:]))
    constants: dict[str, npt.NDArray[Any]] = {}
    nodes: list[Any] = []
    attributes: dict[str, Any] = {
        "kernel_shape": [conv.kernel] * 2,
        "strides": [conv.stride] * 2,
        "pads": [conv.pad] * 4,
        "group": groups,
    }
    value = "x"
    for i in range(repeat):
        last = "y" if i == repeat - 1 else f"v{i}"
        if int8:
            constants[f"w{i}"] = rng.integers(-127, 128, conv.filter_shape, np.int8)
            constants[f"ws{i}"] = np.full(conv.outputs, 1 / (64 * fan_in**0.5), np.float32)
            constants[f"wz{i}"] = np.zeros(conv.outputs, np.int8)
            constants[f"b{i}"] = np.zeros(conv.outputs, np.int32)
            constants[f"bs{i}"] = constants[f"ws{i}"] * np.float32(1 / 64)
            constants[f"bz{i}"] = np.zeros(conv.outputs, np.int32)
            constants["s"] = np.array(1 / 64, np.float32)
            constants["z"] = np.array(0, np.uint8)
            nodes += [
                helper.make_node("DequantizeLinear", [value, "s", "z"], [f"xf{i}"]),
                helper.make_node(
                    "DequantizeLinear", [f"w{i}", f"ws{i}", f"wz{i}"], [f"wf{i}"], axis=0
                ),
                helper.make_node(
                    "DequantizeLinear", [f"b{i}", f"bs{i}", f"bz{i}"], [f"bf{i}"], axis=0
                ),
                helper.make_node("Conv", [f"xf{i}", f"wf{i}", f"bf{i}"], [f"c{i}"], **attributes),
                helper.make_node("QuantizeLinear", [f"c{i}", "s", "z"], [last]),
            ]
        else:
            weights = rng.standard_normal(conv.filter_shape, np.float32)
            constants[f"w{i}"] = weights * np.float32((2 / fan_in) ** 0.5)
            constants[f"b{i}"] = np.zeros(conv.outputs, np.float32)
            nodes += [
                helper.make_node("Conv", [value, f"w{i}", f"b{i}"], [f"c{i}"], **attributes),
                helper.make_node("Relu", [f"c{i}"], [last]),
            ]
        value = last
    kind = TensorProto.UINT8 if int8 else TensorProto.FLOAT
    _save(path, nodes, (kind, conv.input_shape), (kind, conv.output_shape), constants)


def product(layer: Product, path: Path, int8: bool) -> None:
    """A product of reals: float32, or quantized statically to INT8 inside (QDQ)."""
    rng = np.random.default_rng(0)
    constants: dict[str, npt.NDArray[Any]] = {}
    shape = (layer.inputs, layer.outputs)
    if int8:
        constants["w"] = rng.integers(-127, 128, shape, np.int8)
        constants["ws"] = np.full(layer.outputs, 1 / 8192, np.float32)
        constants["wz"] = np.zeros(layer.outputs, np.int8)
        constants["s"] = np.array(1 / 255, np.float32)
        constants["z"] = np.array(0, np.uint8)
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["xf"]),
            helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=1),
            helper.make_node("MatMul", ["xf", "wf"], ["y"]),
        ]
    else:
        constants["w"] = rng.random(shape, np.float32) - np.float32(0.5)
        nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    kind = TensorProto.FLOAT
    _save(
        path,
        nodes,
        (kind, (layer.rows, layer.inputs)),
        (kind, (layer.rows, layer.outputs)),
        constants,
    )


def product_nbits(layer: Product, path: Path, bits: int, block: int = 128) -> None:
    """ONNX Runtime's MatMulNBits: weights of 2, 4 or 8 bits, activations to INT8 inside."""
    rng = np.random.default_rng(0)
    blocks = -(-layer.inputs // block)
    packed = rng.integers(0, 256, (layer.outputs, blocks, block * bits // 8), np.uint8)
    constants: dict[str, npt.NDArray[Any]] = {
        "w": packed,
        "ws": np.full(layer.outputs * blocks, 1 / 64, np.float32),
    }
    node = helper.make_node(
        "MatMulNBits",
        ["x", "w", "ws"],
        ["y"],
        domain="com.microsoft",
        K=layer.inputs,
        N=layer.outputs,
        bits=bits,
        block_size=block,
        accuracy_level=4,
    )
    kind = TensorProto.FLOAT
    _save(
        path,
        [node],
        (kind, (layer.rows, layer.inputs)),
        (kind, (layer.rows, layer.outputs)),
        constants,
        microsoft=True,
    )


def torch_convolution(conv: Convolution, repeat: int = 1) -> Any:
    """``repeat`` convolutions with ReLU one behind the other, as a PyTorch module."""
    from torch import nn

    groups = conv.channels if conv.depthwise else 1
    layers: list[nn.Module] = []
    for _ in range(repeat):
        layers += [
            nn.Conv2d(
                conv.channels, conv.outputs, conv.kernel, conv.stride, conv.pad, groups=groups
            ),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
