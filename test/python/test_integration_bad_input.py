"""Bad networks by the command line: exit code 1, one line, nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from native import assert_one_line, command, needs_native
from onnx import helper, numpy_helper

from sysmol import zoo

pytestmark = needs_native

Change = Callable[[onnx.ModelProto], None]
CONV = "blocks_0_conv1"


def constant(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def replaced(suffix: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Another constant for the quantizer of a convolution's weights."""

    def apply(model: onnx.ModelProto) -> None:
        tensor = constant(model, f"{quantizer(model)}{suffix}")
        array = np.asarray(change(numpy_helper.to_array(tensor).copy()), np.float32)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    return apply


def quantizer(model: onnx.ModelProto) -> str:
    """Name of the value that the convolution reads as its weights."""
    conv = next(node for node in model.graph.node if node.output[0] == CONV)
    return str(conv.input[1])


def per_channel(array: np.ndarray) -> np.ndarray:
    """[1, Cin, 1, 1] where it was a scalar for all."""
    return np.full((1, 16, 1, 1), array) if array.size == 1 else array


def longer(array: np.ndarray) -> np.ndarray:
    array = per_channel(array)
    return np.concatenate([array, array[:, :1]], axis=1)


def shorter(array: np.ndarray) -> np.ndarray:
    return per_channel(array)[:, 1:]


def poked(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array.reshape(-1)[0] = value
        return array

    return change


def unknown_operator(model: onnx.ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "Relu")
    node.op_type = "Frobnicate"


def wrong_weight_shape(model: onnx.ModelProto) -> None:
    conv = next(node for node in model.graph.node if node.output[0] == CONV)
    quant = next(node for node in model.graph.node if node.output[0] == conv.input[1])
    tensor = constant(model, quant.input[0])
    array = numpy_helper.to_array(tensor)[:, 1:]
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def wrong_input_shape(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3


def no_quantizers(model: onnx.ModelProto) -> None:
    model.CopyFrom(onnx.load(str(zoo.FLOAT)))


def four_levels(model: onnx.ModelProto) -> None:
    name = f"{quantizer(model)}.bit_width"
    bits = per_channel(numpy_helper.to_array(constant(model, name))).copy()
    bits.reshape(-1)[:4] = 1, 2, 4, 8
    constant(model, name).CopyFrom(numpy_helper.from_array(bits, name))


def missing_constant(model: onnx.ModelProto) -> None:
    model.graph.initializer.remove(constant(model, f"{quantizer(model)}.scale"))


def cycle(model: onnx.ModelProto) -> None:
    conv = next(node for node in model.graph.node if node.output[0] == CONV)
    conv.input[0] = CONV


def dangling_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "nowhere"


def no_output(model: onnx.ModelProto) -> None:
    del model.graph.output[:]


def extra_softmax(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Softmax", ["logits"], ["p"]))
    model.graph.output[0].name = "p"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (unknown_operator, "Frobnicate"),
        (extra_softmax, "Softmax"),
        (wrong_weight_shape, CONV),
        (wrong_input_shape, "conv"),
        (replaced(".bit_width", longer), CONV),
        (replaced(".bit_width", shorter), CONV),
        (replaced(".scale", shorter), CONV),
        (replaced(".scale", poked(np.nan)), "scale"),
        (replaced(".scale", poked(np.inf)), "scale"),
        (replaced(".scale", poked(-1.0)), "scale"),
        (replaced(".bit_width", poked(3)), "3"),
        (four_levels, "HP2|at most|four|4 "),
        (no_quantizers, ""),
        (missing_constant, ""),
        (cycle, ""),
        (dangling_output, "nowhere"),
        (no_output, ""),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_networks_that_break_a_rule(change: Change, word: str, tmp_path: Path) -> None:
    import re

    model = onnx.load(str(zoo.NETWORK))
    change(model)
    source = tmp_path / "bad.onnx"
    source.write_bytes(model.SerializeToString())
    line = assert_one_line(command("compile", source, "-o", tmp_path / "bad.smol"), 1)
    assert "bad.onnx" in line and re.search(word, line), line
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("keep", [0, 1, 1000, 0.5, 0.99])
def test_truncated_files(keep: float, tmp_path: Path) -> None:
    content = zoo.NETWORK.read_bytes()
    count = int(len(content) * keep) if isinstance(keep, float) else keep
    source = tmp_path / "bad.onnx"
    source.write_bytes(content[:count])
    line = assert_one_line(command("compile", source, "-o", tmp_path / "bad.smol"), 1)
    assert "bad.onnx" in line
    assert list(tmp_path.iterdir()) == [source]


def test_an_old_output_survives_a_failure(tmp_path: Path) -> None:
    source, output = tmp_path / "bad.onnx", tmp_path / "net.smol"
    source.write_bytes(b"no network")
    output.write_bytes(b"the old one")
    assert_one_line(command("compile", source, "-o", output), 1)
    assert output.read_bytes() == b"the old one"
    assert len(list(tmp_path.iterdir())) == 2
