"""Models that are refused: a good one with one fault."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from models import QONNX, Builder, begin, conv, invalid
from onnx import TensorProto, helper


@invalid
def empty() -> bytes:
    return b""


@invalid
def text() -> bytes:
    return b"This is no model.\n" * 20


@invalid
def unknown_op() -> onnx.ModelProto:
    b = conv()
    b.add("Softmax", ["conv"], "soft")
    return b.model()


@invalid
def unknown_domain() -> onnx.ModelProto:
    b = conv()
    b.add("Relu", ["conv"], "relu", "org.example")
    return b.model()


@invalid
def unknown_op_of_domain() -> onnx.ModelProto:
    b = conv()
    b.add("Trunc", ["conv"], "trunc", QONNX)
    return b.model()


@invalid
def unknown_attribute() -> onnx.ModelProto:
    return conv(auto_padding=1).model()


@invalid
def auto_pad() -> onnx.ModelProto:
    return conv(auto_pad="SAME_UPPER").model()


@invalid
def kernel_shape() -> onnx.ModelProto:
    return conv(kernel_shape=[5, 5]).model()


@invalid
def negative_pads() -> onnx.ModelProto:
    return conv(pads=[0, 0, -1, 0]).model()


@invalid
def zero_stride() -> onnx.ModelProto:
    return conv(strides=[0, 1]).model()


@invalid
def huge_dilation() -> onnx.ModelProto:
    return conv(dilations=[2**40, 1]).model()


@invalid
def large_kernel() -> onnx.ModelProto:
    return conv(dilations=[2, 2]).model()


@invalid
def huge_pads() -> onnx.ModelProto:
    return conv(pads=[2**23] * 4).model()


@invalid
def bad_group() -> onnx.ModelProto:
    return conv(group=3).model()


@invalid
def wrong_attribute_type() -> onnx.ModelProto:
    return conv(group="two").model()


@invalid
def weight_channels() -> onnx.ModelProto:
    b = begin()
    b.add("Conv", ["x", b.weight("w", (2, 2, 1, 1), [4, 1])], "conv")
    return b.model()


@invalid
def weight_rank() -> onnx.ModelProto:
    b = begin()
    b.add("Conv", ["x", b.weight("w", (2, 3), [4, 1, 2])], "conv")
    return b.model()


@invalid
def weight_widths() -> onnx.ModelProto:
    b = begin()
    b.add("Conv", ["x", b.weight("w", (2, 3, 1, 1), [4, 2, 2])], "conv")
    return b.model()


@invalid
def weight_unquantized() -> onnx.ModelProto:
    b = begin()
    b.add("Conv", ["x", b.constant("w", np.ones((2, 3, 1, 1)))], "conv")
    return b.model()


@invalid
def input_unquantized() -> onnx.ModelProto:
    b = Builder()
    b.add("Conv", ["image", b.weight("w", (2, 3, 1, 1), [1, 1, 1])], "conv")
    return b.model()


@invalid
def width_count() -> onnx.ModelProto:
    return begin([4, 1, 2, 2]).model()


@invalid
def four_widths() -> onnx.ModelProto:
    return begin([1, 2, 4, 8], shape=("N", 4, 4, 4)).model()


@invalid
def width_3() -> onnx.ModelProto:
    return begin([1, 3, 1]).model()


def per_channel(*values: float) -> Any:
    return np.reshape(values, (1, -1, 1, 1))


def quantized_with(
    scale: Any = 1.0, zero: Any = 0.0, bits: Any = 1.0, **options: Any
) -> onnx.ModelProto:
    b = Builder()
    b.quant("image", "x", scale, zero, bits, **options)
    return b.model()


@invalid
def width_0() -> onnx.ModelProto:
    return quantized_with(bits=0.0)


@invalid
def width_fraction() -> onnx.ModelProto:
    return quantized_with(bits=1.5)


@invalid
def width_nan() -> onnx.ModelProto:
    return quantized_with(bits=np.nan)


@invalid
def scale_nan() -> onnx.ModelProto:
    return quantized_with(scale=np.nan)


@invalid
def scale_inf() -> onnx.ModelProto:
    return quantized_with(scale=np.inf)


@invalid
def scale_zero() -> onnx.ModelProto:
    return quantized_with(scale=0.0)


@invalid
def scale_negative() -> onnx.ModelProto:
    return quantized_with(scale=-1.0)


@invalid
def scale_of_another_grid() -> onnx.ModelProto:
    return quantized_with(scale=per_channel(1.0, 1.0, 2.9), bits=per_channel(2, 2, 1))


@invalid
def scale_dtype() -> onnx.ModelProto:
    b = Builder()
    b.constant("x.scale", 1, np.int64)
    b.quant("image", "x", 1, 0.0, 1.0)
    return b.model()


@invalid
def zero_point() -> onnx.ModelProto:
    return quantized_with(zero=1.0, bits=2.0)


@invalid
def signed_two_bits() -> onnx.ModelProto:
    return quantized_with(bits=2.0, signed=1)


@invalid
def rounding() -> onnx.ModelProto:
    return quantized_with(rounding_mode="FLOOR")


@invalid
def rounding_half_up() -> onnx.ModelProto:
    return quantized_with(rounding_mode="HALF_UP")


@invalid
def narrow_unsigned() -> onnx.ModelProto:
    return quantized_with(bits=4.0, narrow=1)


@invalid
def narrow_midrise() -> onnx.ModelProto:
    return quantized_with(zero=1.5, bits=2.0, narrow=1)


@invalid
def mixed_grids() -> onnx.ModelProto:
    return quantized_with(zero=per_channel(0, 1.5, 0), bits=2.0)


@invalid
def weight_zero_point() -> onnx.ModelProto:
    """The zero point of the mid-rise grid is missing."""
    b = Builder(("N", 2))
    b.activation("image", "x", [2, 2], rank=2)
    b.constant("w", [[0.5, 0.5]])
    b.add("Gemm", ["x", b.quant("w", "wq", 1.0, 0.0, 2.0)], "logits", transB=1)
    return b.model()


@invalid
def weight_off_grid() -> onnx.ModelProto:
    b = Builder(("N", 2))
    b.activation("image", "x", [2, 2], rank=2)
    b.constant("w", [[0.5, 0.6]])
    b.add("Gemm", ["x", b.quant("w", "wq", 1.0, 1.5, 2.0)], "logits", transB=1)
    return b.model()


@invalid
def weight_nan() -> onnx.ModelProto:
    b = Builder(("N", 2))
    b.activation("image", "x", [2, 2], rank=2)
    b.constant("w", [[0.5, np.nan]])
    b.add("Gemm", ["x", b.quant("w", "wq", 1.0, 1.5, 2.0)], "logits", transB=1)
    return b.model()


@invalid
def accumulator_bound() -> onnx.ModelProto:
    b = Builder(("N", 2**17))
    b.quant("image", "x", 1.0, 0.0, 8.0)
    b.add("Gemm", ["x", b.symmetric("w", np.zeros((1, 2**17)))], "logits", transB=1)
    return b.model()


@invalid
def alpha() -> onnx.ModelProto:
    b = begin(shape=("N", 3, 1, 1))
    b.add("Flatten", ["x"], "flat")
    b.add("Gemm", ["flat", b.weight("w", (2, 3), [4, 1, 2])], "logits", transB=1, alpha=2.0)
    return b.model()


@invalid
def norm_channels() -> onnx.ModelProto:
    b = conv()
    b.norm("conv", "norm", 3)
    return b.model()


@invalid
def norm_dtype() -> onnx.ModelProto:
    b = conv()
    parts = [b.constant(f"norm.{part}", [2, 2], np.int64) for part in "gbmv"]
    b.add("BatchNormalization", ["conv", *parts], "norm")
    return b.model()


@invalid
def norm_variance() -> onnx.ModelProto:
    b = conv()
    b.constant("norm.v", [-1.0, 1.0])
    b.activation(b.norm("conv", "norm", 2), "y", [1, 1])
    return b.model()


@invalid
def norm_training() -> onnx.ModelProto:
    b = conv()
    b.norm("conv", "norm", 2, training_mode=1)
    return b.model()


@invalid
def norm_twice() -> onnx.ModelProto:
    b = conv()
    b.norm(b.norm("conv", "norm", 2), "again", 2)
    return b.model()


@invalid
def relu_of_image() -> onnx.ModelProto:
    b = Builder()
    b.add("Relu", ["image"], "relu")
    return b.model()


@invalid
def relu_output() -> onnx.ModelProto:
    b = conv()
    b.add("Relu", ["conv"], "relu")
    return b.model()


@invalid
def relu_signed() -> onnx.ModelProto:
    b = conv()
    b.quant(b.add("Relu", ["conv"], "relu"), "y", 1.0, 1.5, 2.0)
    return b.model()


@invalid
def add_without_carriers() -> onnx.ModelProto:
    b = conv()
    b.add("Add", ["conv", "conv"], "sum")
    return b.model()


@invalid
def add_of_two_scales() -> onnx.ModelProto:
    b = conv()
    b.add("Add", [b.carrier("conv", "c1"), b.carrier("conv", "c2", 0.25)], "sum")
    return b.model()


@invalid
def add_without_quant() -> onnx.ModelProto:
    b = conv()
    total = b.add("Add", [b.carrier("conv", "c1"), "c1"], "sum")
    b.activation(total, "y", [1, 1])
    return b.model()


@invalid
def add_behind_norm() -> onnx.ModelProto:
    b = conv()
    b.add("Add", [b.norm("conv", "norm", 2), b.constant("bias", [1.0])], "sum")
    return b.model()


@invalid
def add_of_shape() -> onnx.ModelProto:
    b = conv()
    b.add("Add", ["conv", b.constant("bias", [1.0, 2.0])], "sum")
    return b.model()


@invalid
def add_of_integers() -> onnx.ModelProto:
    b = conv()
    b.add("Add", ["conv", b.constant("bias", 1, np.int64)], "sum")
    return b.model()


@invalid
def bias_column() -> onnx.ModelProto:
    b = conv()
    b.nodes[-1].input.append(b.constant("bias", [[1.0], [2.0]]))
    return b.model()


@invalid
def bias_dtype() -> onnx.ModelProto:
    b = conv()
    b.nodes[-1].input.append(b.constant("bias", [1.0, 2.0], np.float64))
    return b.model()


@invalid
def carrier_behind_flatten() -> onnx.ModelProto:
    b = conv()
    b.carrier(b.add("Flatten", [b.carrier("conv", "c1")], "flat", axis=1), "c2")
    return b.model()


@invalid
def carrier_of_levels() -> onnx.ModelProto:
    b = begin()
    b.carrier("x", "c")
    return b.model()


@invalid
def carrier_with_clip() -> onnx.ModelProto:
    b = conv()
    b.add("Clip", ["conv", b.constant("low", 0.0), b.constant("high", 6.0)], "clip")
    b.carrier("clip", "c")
    return b.model()


@invalid
def clip_above() -> onnx.ModelProto:
    b = conv()
    b.add("Clip", ["conv", b.constant("low", 0.0), b.constant("high", 2.5)], "clip")
    b.activation("clip", "y", [2, 2])
    return b.model()


@invalid
def clip_below() -> onnx.ModelProto:
    b = conv()
    b.add("Clip", ["conv", b.constant("low", -1.0), b.constant("high", 1.0)], "clip")
    return b.model()


@invalid
def clip_half() -> onnx.ModelProto:
    b = conv()
    b.add("Clip", ["conv", b.constant("low", 0.0)], "clip")
    return b.model()


@invalid
def max_pool_dilated() -> onnx.ModelProto:
    b = begin()
    b.add("MaxPool", ["x"], "pool", kernel_shape=[2, 2], dilations=[2, 1])
    return b.model()


@invalid
def max_pool_of_sums() -> onnx.ModelProto:
    b = conv()
    b.add("MaxPool", ["conv"], "pool", kernel_shape=[2, 2])
    return b.model()


@invalid
def max_pool_padding() -> onnx.ModelProto:
    b = begin()
    b.add("MaxPool", ["x"], "pool", kernel_shape=[2, 2], pads=[0, 0, 2, 0])
    return b.model()


@invalid
def carrier_with_norm() -> onnx.ModelProto:
    b = conv()
    b.carrier(b.norm(b.carrier("conv", "c1"), "norm", 2), "c")
    return b.model()


@invalid
def pool_levels() -> onnx.ModelProto:
    b = begin()
    b.add("GlobalAveragePool", ["x"], "pool")
    return b.model()


@invalid
def pool_padding() -> onnx.ModelProto:
    b = begin([2, 2, 2])
    b.add("AveragePool", ["x"], "pool", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    return b.model()


@invalid
def reshape() -> onnx.ModelProto:
    b = begin()
    b.add("Reshape", ["x", b.constant("shape", [-1, 3], np.int64)], "flat")
    return b.model()


@invalid
def use_before_definition() -> onnx.ModelProto:
    b = conv()
    b.nodes.reverse()
    model = b.model()
    model.graph.output[0].name = "conv"
    return model


@invalid
def cycle() -> onnx.ModelProto:
    b = conv()
    b.add("Add", ["conv", "relu"], "sum")
    b.add("Relu", ["sum"], "relu")
    return b.model()


@invalid
def missing_initializer() -> onnx.ModelProto:
    b = conv()
    b.initializers = [t for t in b.initializers if t.name != "w"]
    return b.model()


@invalid
def duplicate_output() -> onnx.ModelProto:
    b = conv()
    b.add("Relu", ["conv"], "conv")
    return b.model()


@invalid
def duplicate_initializer() -> onnx.ModelProto:
    b = conv()
    b.initializers.append(b.initializers[0])
    return b.model()


@invalid
def input_dtype() -> onnx.ModelProto:
    model = conv().model()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    return model


@invalid
def input_rank() -> onnx.ModelProto:
    return begin(shape=("N", 3, 4)).model()


@invalid
def input_symbolic() -> onnx.ModelProto:
    return begin(shape=("N", 3, "H", "W")).model()


@invalid
def input_huge() -> onnx.ModelProto:
    return begin(shape=("N", 3, 2**40, 4)).model()


@invalid
def input_many_elements() -> onnx.ModelProto:
    return begin(shape=("N", 3, 2**20, 2**20)).model()


@invalid
def input_negative() -> onnx.ModelProto:
    return begin(shape=("N", 3, -4, 4)).model()


@invalid
def two_inputs() -> onnx.ModelProto:
    model = conv().model()
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1]))
    return model


@invalid
def output_shape() -> onnx.ModelProto:
    b = conv()
    b.result = ["N", 2, 3, 3]
    return b.model()


@invalid
def no_output() -> onnx.ModelProto:
    model = conv().model()
    model.graph.output[0].name = "elsewhere"
    return model


@invalid
def external_data() -> onnx.ModelProto:
    model = conv().model()
    (tensor,) = (t for t in model.graph.initializer if t.name == "w")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="../../secret")
    return model


def with_weight_dims(*dims: int) -> onnx.ModelProto:
    model = conv().model()
    (tensor,) = (t for t in model.graph.initializer if t.name == "w")
    tensor.dims[:] = dims
    return model


@invalid
def weight_data_size() -> onnx.ModelProto:
    return with_weight_dims(2, 3, 3, 4)


@invalid
def weight_huge() -> onnx.ModelProto:
    return with_weight_dims(2**62, 4, 1, 1)


@invalid
def weight_dtype() -> onnx.ModelProto:
    model = conv().model()
    (tensor,) = (t for t in model.graph.initializer if t.name == "w")
    tensor.data_type = TensorProto.FLOAT16
    return model


@invalid
def old_opset() -> onnx.ModelProto:
    model = conv().model()
    model.opset_import[0].version = 8
    return model


@invalid
def odd_name() -> onnx.ModelProto:
    """A newline in a name must not make a second line of error."""
    b = conv()
    b.add("Softmax", ["conv"], "soft\nsysmol: all is well")
    return b.model()
