"""Models that are imported: every function is one file."""

from __future__ import annotations

import numpy as np
import onnx
from models import QONNX, Builder, begin, valid
from onnx import TensorProto, helper, numpy_helper


@valid
def conv_norm_relu() -> onnx.ModelProto:
    b = begin()
    b.add(
        "Conv",
        ["x", b.weight("w", (2, 3, 3, 3), [4, 1, 2], [1.0, 2.0]), b.constant("bias", [0.5, -0.5])],
        "conv",
        kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
        strides=[2, 1],
    )
    b.activation(b.add("Relu", [b.norm("conv", "norm", 2)], "relu"), "y", [2, 1])
    return b.model()


@valid
def residual() -> onnx.ModelProto:
    b = begin()
    w = b.weight("w", (2, 3, 1, 1), [4, 1, 2])
    first = b.carrier(b.add("Conv", ["x", w], "conv1"), "carrier1")
    second = b.carrier(b.add("Conv", ["x", w], "conv2"), "carrier2")
    total = b.carrier(b.add("Add", [first, second], "sum"), "sum_carrier")
    b.activation(b.add("Relu", [b.norm(total, "norm", 2)], "relu"), "y", [2, 1])
    return b.model()


@valid
def pool_gemm() -> onnx.ModelProto:
    b = Builder()
    b.activation("image", "x", [8, 8, 8])
    flat = b.add("Flatten", [b.add("GlobalAveragePool", ["x"], "pool")], "flat", axis=1)
    b.activation(flat, "y", [8, 8, 8], alpha=1.5, rank=2)
    w = b.symmetric("w", np.arange(-3, 3).reshape(2, 3))
    b.add("Gemm", ["y", w, b.constant("bias", [1.0, 2.0])], "logits", transB=1)
    b.result = ["N", 2]
    return b.model()


@valid
def matmul_transposes() -> onnx.ModelProto:
    b = Builder(("N", 3))
    b.activation("image", "x", [4, 1, 2], rank=2)
    p = np.array([[4.0], [1.0], [2.0]])
    step = np.array([[1.0, 2.0]]) * 2 ** (2 - p)
    b.constant("w", step * (np.array([[15, 0], [1, 0], [3, 2]]) - 2 ** (p - 1) + 0.5))
    b.add("MatMul", ["x", b.quant("w", "wq", step, 2 ** (p - 1) - 0.5, p)], "logits")
    return b.model()


@valid
def grouped() -> onnx.ModelProto:
    b = Builder(("N", 4, 4, 4))
    b.activation("image", "x", [1, 2, 4, 4])
    p = np.array([[1.0, 2.0]] * 2 + [[4.0, 4.0]] * 2).reshape(4, 2, 1, 1)
    b.constant("w", np.zeros((4, 2, 1, 1)) + 2.0 ** (1 - p))
    b.add("Conv", ["x", b.quant("w", "wq", 2.0 ** (2 - p), 2 ** (p - 1) - 0.5, p)], "conv", group=2)
    return b.model()


@valid
def bipolar() -> onnx.ModelProto:
    b = Builder(("N", 2))
    b.add("BipolarQuant", ["image", b.constant("xs", 0.5)], "x", QONNX)
    b.constant("w", [[0.25, -0.25]])
    b.add("BipolarQuant", ["w", b.constant("ws", 0.25)], "wq", QONNX)
    b.add("Gemm", ["x", "wq"], "logits", transB=1)
    return b.model()


@valid
def signed_mixed() -> onnx.ModelProto:
    """Mid-rise activations and weights with an 8-bit channel: zero point 128."""
    b = Builder(("N", 2))
    p = np.array([[8.0, 2.0]])
    step, zero = 2.0 ** (2 - p), np.array([[128.0, 1.5]])
    b.quant("image", "x", step, zero, p, rounding_mode="HALF_UP")
    b.constant("w", [[-127 / 64, 1.5]])
    b.add("Gemm", ["x", b.quant("w", "wq", step, zero, p)], "logits", transB=1)
    return b.model()


@valid
def odds_and_ends() -> onnx.ModelProto:
    """Identity, Constant, Reshape, AveragePool, an initializer listed as input, codes as output."""
    b = Builder((2, 2, 4, 4))
    b.activation("image", "x", [4, 4])
    b.add("Identity", ["x"], "same")
    b.add("AveragePool", ["same"], "pool", kernel_shape=[2, 2], strides=[2, 2])
    b.activation("pool", "y", [2, 4])
    shape = numpy_helper.from_array(np.array([2, -1]), "shape")
    b.nodes.append(helper.make_node("Constant", [], ["shape"], name="shape", value=shape))
    b.add("Reshape", ["y", "shape"], "flat")
    model = b.model()
    model.graph.input.append(
        helper.make_tensor_value_info("x.scale", TensorProto.FLOAT, [1, 2, 1, 1])
    )
    return model


@valid
def relu_behind_sum() -> onnx.ModelProto:
    """Max pool, codes as a carrier, bias and norm in front of carriers, ReLUs in front of them."""
    b = begin([8, 8, 8])
    b.add("MaxPool", ["x"], "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    b.carrier("pool", "c1")
    b.activation("c1", "y", [4, 1, 2])
    w = b.weight("w", (3, 3, 1, 1), [4, 1, 2])
    b.add("Conv", ["y", w, b.constant("bias", [0.5, -0.5, 1.5])], "conv")
    b.carrier(b.norm("conv", "norm", 3), "c2")
    b.carrier(b.add("Add", ["c1", "c2"], "sum"), "c3")
    b.carrier(b.add("Relu", ["c3"], "relu"), "c4")
    b.activation("c4", "z", [4, 1, 2])
    b.add("Conv", ["z", w], "conv2")
    b.carrier(b.add("Relu", ["conv2"], "relu2"), "c5")
    b.carrier(b.add("Relu", [b.add("Add", ["c5", "c4"], "sum2")], "relu3"), "c6")
    b.add(
        "MaxPool",
        [b.activation("c6", "last", [4, 4, 4])],
        "out",
        kernel_shape=[3, 3],
        strides=[2, 2],
        ceil_mode=1,
    )
    return b.model()


@valid
def biases() -> onnx.ModelProto:
    """Constants added to sums, a Clip, and max pools with ceil_mode."""
    b = begin(shape=("N", 3, 6, 5))
    w = b.weight("w", (2, 3, 3, 3), [4, 1, 2])
    b.add("Conv", ["x", w, b.constant("bias", [0.5, -0.5])], "conv")
    total = b.add("Add", [b.constant("more", [[[1.0]], [[2.0]]]), "conv"], "total")
    clipped = b.add("Clip", [total, b.constant("low", 0.0), b.constant("high", 6.0)], "clip")
    b.activation(clipped, "y", [2, 4], alpha=6.0)
    b.add("MaxPool", ["y"], "pool", kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1)
    flat = b.add("Flatten", ["pool"], "flat", axis=1)
    p = np.array([[2.0]] * 4 + [[4.0]] * 4)
    b.constant("v", 2.0 ** (1 - p))
    b.add("MatMul", [flat, b.quant("v", "vq", 2.0 ** (2 - p), 2 ** (p - 1) - 0.5, p)], "mul")
    b.add("Add", ["mul", b.constant("last", [0.25])], "logits")
    return b.model()


@valid
def norm_without_epsilon() -> onnx.ModelProto:
    """Variances so small that the binary32 and the double value of 1e-5 give other multipliers."""
    b = begin([8, 8, 8])
    b.add("Conv", ["x", b.symmetric("w", np.arange(-96, 96).reshape(64, 3, 1, 1) // 2)], "conv")
    b.constant("norm.v", np.linspace(5e-7, 2e-6, 64))
    b.norm("conv", "norm", 64, epsilon=None)
    return b.model()


@valid
def pool_of_biased_pixels() -> onnx.ModelProto:
    """One number added to the sums of a pool, which are flattened: a bias of every pixel."""
    b = begin([4, 4, 4])
    b.add("AveragePool", ["x"], "pool", kernel_shape=[2, 2], strides=[2, 2])
    flat = b.add("Flatten", [b.add("Add", ["pool", b.constant("bias", 0.25)], "sum")], "flat")
    b.activation(flat, "y", [2] * 4 + [4] * 4 + [1] * 4, rank=2)
    return b.model()
