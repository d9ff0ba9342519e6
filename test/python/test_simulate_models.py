"""The simulation takes, computes and refuses what the compiler does, on hand-written models."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from native import needs_native, targets_here
from onnx import numpy_helper
from torch.nn import functional

from sysmol import IntegerNetwork, ResourceLimit, SysmolError
from sysmol.grids import Grid, quantize, values

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Target" / "ONNX"))
import invalid_models  # noqa: F401 (fills CASES, as the next two)
import optional_models  # noqa: F401
import valid_models  # noqa: F401
from models import CASES, QONNX, Builder, begin, conv

Change = Callable[[Builder], object]
Made = Builder | onnx.ModelProto
VALID, INVALID = CASES["valid"], CASES["invalid"]
SHAPE = numpy_helper.from_array(np.array([1, -1]))


def batch_of(model: onnx.ModelProto) -> int:
    """1 where the file leaves it open."""
    return model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1


def images(model: onnx.ModelProto) -> np.ndarray:
    """Three batches, of reals on both sides of all grids."""
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    return np.random.default_rng(0).normal(0.8, 1.5, (3 * batch_of(model), *shape)).astype("f4")


def simulated(model: onnx.ModelProto) -> IntegerNetwork:
    return IntegerNetwork(model, "test")


def proto(made: Made) -> onnx.ModelProto:
    return made.model() if isinstance(made, Builder) else made


def saved(model: onnx.ModelProto | bytes, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return path


def assert_as_reference(model: onnx.ModelProto, folder: Path) -> None:
    """The simulation gives the bits of the C++ reference."""
    from sysmol.compile import reference

    x = images(model)
    found = simulated(model).run(x)
    expected = reference(saved(model, folder), x, batch=batch_of(model))
    assert len(np.unique(found)) > 1
    assert (found.reshape(len(x), -1).view(np.uint32) == expected.view(np.uint32)).all()


# What is computed -------------------------------------------------------------------------------


@needs_native
@pytest.mark.parametrize("name", sorted(VALID))
def test_models_give_the_bits_of_the_reference(name: str, tmp_path: Path) -> None:
    assert_as_reference(VALID[name](), tmp_path)


@needs_native
@pytest.mark.parametrize("name", ["norm_without_epsilon", "pool_of_biased_pixels"])
def test_models_give_the_bits_of_compiled_code(name: str, tmp_path: Path) -> None:
    from sysmol import check
    from sysmol.compile import targets

    model = VALID[name]()
    path, one = saved(model, tmp_path), targets_here(targets())[:1]
    found = list(check.compare(path, images(model), targets=one, threads=[1]))
    assert len(found) == 1 and found[0].equal


def test_a_missing_epsilon_is_onnx_s_in_binary32() -> None:
    model = VALID["norm_without_epsilon"]()
    assert not [a for node in model.graph.node for a in node.attribute if a.name == "epsilon"]
    network, x = simulated(model), images(model)
    acc = network.trace(x)["conv"]
    with_double, with_single = (
        2.0 / np.sqrt(np.linspace(5e-7, 2e-6, 64).astype(np.float32).astype(float) + epsilon)
        for epsilon in (1e-5, float(np.float32(1e-5)))
    )
    unit = 1.0 * (float(np.float32(3 / 255)) * 255) / 16320
    m, other = (np.float32(unit * s) for s in (with_single, with_double))
    assert (m != other).any()
    m, b = (v.reshape(1, -1, 1, 1) for v in (m, np.float32(1 + (0 - 0.5) * with_single)))
    assert (network.run(x) == (acc.astype(np.float32) * m).astype(np.float32) + b).all()


def test_a_number_added_to_a_pool_is_a_bias_of_every_pixel() -> None:
    builder = begin([4, 4, 4])
    builder.add("AveragePool", ["x"], "pool", kernel_shape=[2, 2], strides=[2, 2])
    builder.add("Add", ["pool", builder.constant("bias", 0.25)], "sum")
    builder.add("Flatten", ["sum"], "flat")
    network, x = simulated(builder.model()), images(builder.model())
    sums = network.trace(x)["pool"].astype(np.float32)
    m = np.float32(float(np.float32(3 / 15)) / 4)
    assert (network.run(x) == (sums * m + np.float32(0.25)).reshape(3, 12)).all()
    # The same behind a quantizer of the pixels.
    network = simulated(VALID["pool_of_biased_pixels"]())
    bits = np.repeat([2, 4, 1], 4)
    reals = np.maximum(sums * m + np.float32(0.25), 0).reshape(3, 12)
    error = np.abs(network.run(x) - np.minimum(reals, 3))
    assert (error <= 3 / (2.0**bits - 1) / 2 * (1 + 1e-6)).all()


ENDS = [(grid, bits) for grid in Grid for bits in ([4, 1, 2], [8, 8, 8], [8, 2, 4])]


def pooled_codes(grid: Grid, bits: list[int], flat: bool) -> onnx.ModelProto:
    """A network that ends with the codes of a max pool."""
    builder, p = Builder(), np.reshape(bits, (1, 3, 1, 1)).astype(float)
    if grid is Grid.UNSIGNED:
        builder.activation("image", "x", bits)
    else:
        zero = np.where(p == 8, 128, 2 ** (p - 1) - 0.5)
        builder.quant("image", "x", 1.5 * 2 ** (2 - p), zero, p)
    builder.add("MaxPool", ["x"], "pool", kernel_shape=[2, 2], strides=[1, 2])
    if flat:
        builder.add("Flatten", ["pool"], "flat")
    return builder.model()


@pytest.mark.parametrize(("grid", "bits"), ENDS)
@pytest.mark.parametrize("flat", [False, True])
def test_codes_at_the_end_become_reals(grid: Grid, bits: list[int], flat: bool) -> None:
    model = pooled_codes(grid, bits, flat)
    x = images(model)
    most, p = 2.0 ** max(bits) - 1, np.reshape(bits, (1, 3, 1, 1))
    scale = 1.5 if grid is Grid.MIDRISE else float(np.float32(3 / most)) * most  # HP22
    k = quantize(x, grid, p, scale)
    codes = np.maximum.reduce([k[:, :, r : r + 3, c : c + 3 : 2] for r in (0, 1) for c in (0, 1)])
    expected = values(codes, grid, p, scale).astype(np.float32)
    found = simulated(model).run(x)
    assert found.dtype == np.float32 and found.shape == ((3, 18) if flat else (3, 3, 3, 2))
    assert (found.reshape(expected.shape) == expected).all()


@needs_native
@pytest.mark.parametrize(("grid", "bits"), ENDS)
@pytest.mark.parametrize("flat", [False, True])
def test_codes_at_the_end_are_those_of_the_reference(
    grid: Grid, bits: list[int], flat: bool, tmp_path: Path
) -> None:
    assert_as_reference(pooled_codes(grid, bits, flat), tmp_path)


# What is refused --------------------------------------------------------------------------------


def residual(change: Change) -> Builder:
    """A sum of two carriers, ``s``, and what ``change`` puts behind it."""
    builder = begin([4, 4, 4])
    w = builder.weight("w", (3, 3, 1, 1), [4, 4, 4])
    carriers = [builder.carrier(builder.add("Conv", ["x", w], f"y{i}"), f"c{i}") for i in (0, 1)]
    builder.add("Add", carriers, "s")
    change(builder)
    return builder


def clip(builder: Builder) -> str:
    return builder.add("Clip", ["s", builder.constant("l", 0.0), builder.constant("h", 6.0)], "z")


def relu(change: Change) -> Change:
    """With a Relu in front."""

    def changed(builder: Builder) -> None:
        builder.add("Relu", ["s"], "r")
        first = len(builder.nodes)
        change(builder)
        for node in builder.nodes[first:]:
            node.input[:] = ["r" if name == "s" else name for name in node.input]

    return changed


def pool(op: str = "MaxPool", **attributes: object) -> Builder:
    builder = begin([4, 4, 4])
    builder.add(op, ["x"], "y", **{"kernel_shape": [2, 2], **attributes})
    return builder


def gemm(op: str = "Gemm", **attributes: object) -> Builder:
    builder = Builder(("N", 3))
    builder.activation("image", "x", [8, 8, 8], rank=2)
    builder.add(op, ["x", builder.symmetric("w", np.eye(3))], "y", **attributes)
    return builder


def behind_conv(op: str, **attributes: object) -> Builder:
    builder = conv()
    builder.add(op, ["conv"], "y", **attributes)
    return builder


def reshape(to: Any, dtype: Any = np.int64, **attributes: object) -> Builder:
    """Of sums [N, 2, 2, 2]."""
    builder = conv()
    builder.add("Reshape", ["conv", builder.constant("to", to, dtype)], "y", **attributes)
    return builder


def held(**attributes: object) -> Builder:
    """The shape in a Constant node."""
    builder = conv()
    builder.add("Constant", [], "to", **attributes)
    builder.add("Reshape", ["conv", "to"], "y")
    return builder


def bipolar(x: str = "image", scale: Any = 0.5, **attributes: object) -> Builder:
    builder = Builder()
    builder.add("BipolarQuant", [x, builder.constant("scale", scale)], "x", QONNX, **attributes)
    return builder


def norm(**attributes: object) -> Builder:
    builder = conv()
    builder.norm("conv", "y", 2, **attributes)
    return builder


def quantized(**attributes: object) -> Builder:
    builder = Builder()
    builder.quant("image", "x", 1.0, 1.5, 2.0, **attributes)
    return builder


def biased(bias: Any, dtype: Any = np.float32) -> Builder:
    builder = conv()
    builder.nodes[-1].input.append(builder.constant("bias", bias, dtype))
    return builder


def gemm_biased(bias: Any) -> Builder:
    builder = gemm()
    builder.nodes[-1].input.append(builder.constant("bias", bias))
    return builder


def retyped(name: str, dtype: type[np.generic]) -> Builder:
    """A normed convolution, one of whose constants has another type."""
    builder = norm()
    tensor = next(t for t in builder.initializers if t.name == name)
    array = numpy_helper.to_array(tensor).astype(dtype)
    tensor.CopyFrom(numpy_helper.from_array(array, name))
    return builder


def parameters(scale: Any = 0.25, zero: Any = 0.0, bits: Any = 4.0, rank: int = 4) -> Builder:
    """An image quantized to 4 bits."""
    builder = Builder(("N", 3, 4, 4)[:rank])
    builder.quant("image", "x", scale, zero, bits)
    return builder


def weight_parameters(scale: Any = 0.25, zero: Any = 7.5, bits: Any = 4.0) -> Builder:
    builder = begin([4, 4, 4])
    codes = np.arange(4 * 27).reshape(4, 3, 3, 3) % 16
    builder.quant(builder.constant("w", 0.25 * (codes - 7.5)), "w_quant", scale, zero, bits)
    builder.add("Conv", ["x", "w_quant"], "y")
    return builder


def again(bits: list[int], alpha: float = 3.0, op: str = "MaxPool", **attributes: Any) -> Builder:
    """What ``op`` makes of codes, quantized again."""
    builder = begin()
    builder.add(op, ["x"], "first", **attributes)
    rank = 2 if op == "Flatten" else 4
    builder.activation("first", "second", bits, alpha, rank)
    if rank == 4:
        builder.add("Conv", ["second", builder.weight("w", (2, 3, 2, 2), [4, 1, 2])], "y")
    return builder


def weight_again() -> Builder:
    builder = weight_parameters()
    builder.quant("w_quant", "z", 0.25, 7.5, 4.0)
    return builder


def identities(*names: str) -> Builder:
    """A biased convolution that reads ``names`` through two Identities each."""
    builder = biased([1.0, -2.0])
    nodes, builder.nodes = builder.nodes, []
    for node in nodes:
        for i, name in enumerate(node.input):
            if name in names:
                once = builder.add("Identity", [name], f"{name}.once")
                node.input[i] = builder.add("Identity", [once], f"{name}.twice")
        builder.nodes.append(node)
    return builder


def changed(change: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    """A convolution's model, changed."""
    model = conv().model()
    change(model)
    return model


def with_shape(*shape: int) -> Builder:
    builder = Builder(shape)
    builder.quant("image", "x", 0.25, 0.0, 4.0)
    return builder


def declared(*shape: int | str) -> Builder:
    builder = conv()
    builder.result = list(shape)
    return builder


def external(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL


def far(op: str, **attributes: Any) -> Builder:
    """Windows of which most lie outside the image, and far apart."""
    builder = begin([4, 4, 4])
    if op == "Conv":
        builder.add(op, ["x", builder.weight("w", (2, 3, 3, 3), [4, 4, 4])], "y", **attributes)
    else:
        builder.add(op, ["x"], "y", kernel_shape=[2, 2], **attributes)
    return builder


def in_domain(builder: Builder, domain: str) -> Builder:
    """The last node, in another domain."""
    builder.nodes[-1].domain = domain
    return builder


BEHIND_SUM: dict[str, Change] = {
    "output": lambda b: None,
    "codes": lambda b: b.activation("s", "z", [4, 4, 4]),
    "norm": lambda b: b.norm("s", "z", 3),
    "clip": clip,
    "add": lambda b: b.add("Add", ["s", "c0"], "z"),
    "add a constant": lambda b: b.add("Add", ["s", b.constant("k", 1.0)], "z"),
    "flatten": lambda b: b.add("Flatten", ["s"], "z"),
}
SUM = r"'[sr]'(: it)? is a sum of carriers: a 16-bit Quant must follow it, .* most \(HP17\)"
TWO = r"must be 2 integers from 1 to 2\^24"

REFUSED: dict[str, tuple[Callable[[], Made], str]] = {
    **{f"sum: {what}": (lambda c=c: residual(c), SUM) for what, c in BEHIND_SUM.items()},
    **{
        f"sum, relu: {what}": (lambda c=c: residual(relu(c)), SUM)
        for what, c in BEHIND_SUM.items()
        if what != "output"
    },
    "sum, relu: output": (
        lambda: residual(lambda b: b.add("Relu", ["s"], "r")),
        "output 'r': it must be codes, or an accumulator or carrier without Relu or Clip",
    ),
    "window of 2^31": (
        lambda: pool(
            "AveragePool",
            kernel_shape=[16384, 8739],
            pads=[8192, 8192, 8192, 8192],
            strides=[9, 9],
            count_include_pad=1,
        ),
        r"the window's sum 2147696640 exceeds 2\^31 - 1 \(HP12\)",
    ),
    "MaxPool: dilations = 1": (lambda: pool(dilations=1), f"dilations {TWO}"),
    "MaxPool: dilations of 3": (lambda: pool(dilations=[1, 1, 1]), f"dilations {TWO}"),
    "MaxPool: ceil_mode text": (lambda: pool(ceil_mode="no"), "ceil_mode must be an integer"),
    "MaxPool: ceil_mode real": (lambda: pool(ceil_mode=0.0), "ceil_mode must be an integer"),
    "MaxPool: storage_order": (lambda: pool(storage_order="0"), "storage_order must be an integer"),
    "MaxPool: auto_pad": (lambda: pool(auto_pad=1), "auto_pad must be a string"),
    "MaxPool: unknown": (
        lambda: pool(count_include_pad=1),
        "attribute 'count_include_pad' is not supported; allowed are auto_pad, ceil_mode",
    ),
    "AveragePool: dilations = 1": (lambda: pool("AveragePool", dilations=1), f"dilations {TWO}"),
    "AveragePool: dilations of 3": (
        lambda: pool("AveragePool", dilations=[1, 1, 1]),
        f"dilations {TWO}",
    ),
    "AveragePool: ceil_mode": (
        lambda: pool("AveragePool", ceil_mode=0.0),
        "ceil_mode must be an integer",
    ),
    "AveragePool: count_include_pad": (
        lambda: pool("AveragePool", count_include_pad=1.0),
        "count_include_pad must be an integer",
    ),
    "AveragePool: unknown": (lambda: pool("AveragePool", storage_order=0), "'storage_order' is"),
    "GlobalAveragePool: unknown": (lambda: pool("GlobalAveragePool"), "allowed are none"),
    "Conv: dilations = 1": (lambda: conv(dilations=1), f"dilations {TWO}"),
    "Conv: dilations of 3": (lambda: conv(dilations=[1, 1, 1]), f"dilations {TWO}"),
    "Conv: dilations text": (lambda: conv(dilations="11"), f"dilations {TWO}"),
    "Conv: group": (lambda: conv(group=1.0), "group must be an integer"),
    "Conv: kernel_shape": (
        lambda: conv(kernel_shape=[2, 3]),
        r"kernel_shape is \[2, 3\], the weight's is \[3, 3\]",
    ),
    "Conv: unknown": (lambda: conv(padding=[0] * 4), "attribute 'padding' is not supported"),
    "Gemm: alpha": (lambda: gemm(alpha=1), "alpha must be a finite number"),
    "Gemm: beta": (lambda: gemm(beta=float("nan")), "beta must be a finite number"),
    "Gemm: transB": (lambda: gemm(transB=0.0), "transB must be an integer"),
    "Gemm: transA": (lambda: gemm(transA=[0]), "transA must be an integer"),
    "MatMul: unknown": (lambda: gemm("MatMul", transB=0), "'transB' is not supported; allowed"),
    "norm: epsilon": (lambda: norm(epsilon="0.1"), "epsilon must be a finite number"),
    "norm: infinite": (lambda: norm(epsilon=float("inf")), "epsilon must be a finite number"),
    "norm: training": (lambda: norm(training_mode=1), "training_mode must be 0: export"),
    "norm: training_mode": (lambda: norm(training_mode="0"), "training_mode must be an integer"),
    "norm: unknown": (lambda: norm(spatial=1), "'spatial' is not supported; allowed are epsilon"),
    "Relu: unknown": (lambda: behind_conv("Relu", alpha=0.0), "'alpha' is not supported; allowed"),
    "Flatten: axis": (lambda: behind_conv("Flatten", axis=1.0), "axis must be an integer"),
    "Flatten: unknown": (lambda: behind_conv("Flatten", end=1), "'end' is not supported"),
    "Reshape: allowzero": (lambda: reshape([0, -1], allowzero=1), "only a flattening of"),
    "Reshape: no integer": (lambda: reshape([1, -1], allowzero=0.0), "allowzero must be"),
    "Reshape: columns": (
        lambda: reshape([1, 4]),
        r"only a flattening of \[N, 2, 2, 2\] to \[1, -1\]",
    ),
    "Reshape: batch": (lambda: reshape([2, -1]), "only a flattening of"),
    "Reshape: rank": (lambda: reshape([1, 2, -1]), "only a flattening of"),
    "Reshape: matrix": (lambda: reshape([[1, -1]]), "only a flattening of"),
    "Reshape: int32": (lambda: reshape([1, -1], np.int32), "only a flattening of"),
    "Constant: ints": (lambda: held(value_ints=[1, -1]), "only a tensor in attribute 'value' is"),
    "Constant: two": (lambda: held(value=SHAPE, value_int=1), "only a tensor in attribute"),
    "Constant: none": (held, "only a tensor in attribute"),
    "BipolarQuant: scale": (lambda: bipolar(scale=0.0), "a scale is not a finite positive number"),
    "BipolarQuant: shape": (lambda: bipolar(scale=[0.5, 0.5]), r"scale has shape \[2\]"),
    "BipolarQuant: grid": (
        lambda: bipolar(scale=np.reshape([0.5, 0.5, 0.25], (3, 1, 1))),
        "do not belong to one grid",
    ),
    "BipolarQuant: unknown": (lambda: bipolar(signed=1), "'signed' is not supported; allowed are"),
    "domain: BipolarQuant": (lambda: in_domain(bipolar(), ""), "unsupported operator; allowed"),
    "Quant: rounding_mode": (
        lambda: quantized(rounding_mode=1),
        "rounding_mode must be a string",
    ),
    "Quant: signed": (lambda: quantized(signed=0.0), "signed must be an integer"),
    "Quant: narrow": (lambda: quantized(narrow="0"), "narrow must be an integer"),
    "Quant: unknown": (lambda: quantized(axis=1), "'axis' is not supported; allowed are narrow"),
    "domain: MaxPool": (
        lambda: in_domain(pool(), QONNX),
        f"operator of domain '{re.escape(QONNX)}'; allowed are Quant and BipolarQuant .QONNX., C",
    ),
    "domain: Identity": (
        lambda: in_domain(behind_conv("Identity"), QONNX),
        "unsupported operator of domain",
    ),
    "domain: Quant": (lambda: in_domain(quantized(), ""), "unsupported operator; allowed are"),
    "domain: Quant of ai.onnx": (
        lambda: in_domain(quantized(), "ai.onnx"),
        "unsupported operator; allowed are",
    ),
    "bias: column": (lambda: biased([[1], [2]]), r"the bias has shape \[2, 1\]; expected \[2\]"),
    "bias: column of rows": (
        lambda: gemm_biased([[1], [2], [3]]),
        r"Gemm 'y': the bias has shape \[3, 1\]; expected \[3\]",
    ),
    "bias: too many": (lambda: biased([1, 2, 3]), r"the bias has shape \[3\]; expected \[2\]"),
    "type: bias": (lambda: biased([1, 2], np.float64), "'bias' is float64, expected float32"),
    "type: weight": (lambda: retyped("w", np.float64), "'w' is float64, expected float32"),
    "type: scale": (lambda: retyped("x.scale", np.float64), "'x.scale' is float64, expected"),
    "type: norm": (lambda: retyped("y.v", np.int64), "'y.v' is int64, expected float32"),
    "type: zero": (lambda: retyped("x.zero", np.float16), "'x.zero': element type 10 is not supp"),
    "type: bits": (lambda: retyped("x.bits", np.int16), "'x.bits': element type 5 is not supp"),
    "type: unsigned bits": (lambda: retyped("x.bits", np.uint32), "element type 12 is not supp"),
    "shape: taps": (
        lambda: weight_parameters(scale=np.full((1, 1, 3, 3), 0.25)),
        r"weight 'w': scale has shape \[1, 1, 3, 3\] for a tensor of shape \[4, 3, 3, 3\]; allowed "
        r"are a scalar or \[1, 3, 1, 1\] or \[4, 3, 1, 1\] \(HP21\)",
    ),
    "shape: last axis": (lambda: weight_parameters(bits=[4.0] * 3), r"bit_width has shape \[3\]"),
    "shape: rows": (lambda: parameters(scale=np.full((3, 1, 1, 1), 0.25)), "scale has shape"),
    "shape: rank": (lambda: parameters(bits=np.full((1, 1, 3, 1, 1), 4)), "bit_width has shape"),
    "shape: zero": (
        lambda: parameters(zero=np.full((5, 7), 7.5)),
        r"zero_point has shape \[5, 7\]",
    ),
    "shape: zeros": (
        lambda: parameters(zero=np.zeros((5, 7))),
        r"zero_point has shape \[5, 7\] for .* allowed are a scalar or \[1, 3, 1, 1\] \(HP21\)",
    ),
    "shape: empty": (
        lambda: parameters(zero=np.zeros(0)),
        r"'x.zero': shape \[0\] has a dimension outside \[1, 2\^24\]",
    ),
    "again: bits": (lambda: again([4, 1, 4], kernel_shape=[2, 2]), "on another grid; quantize onc"),
    "again: scale": (lambda: again([4, 1, 2], 2.0, kernel_shape=[2, 2]), "on another grid"),
    "again: weight": (weight_again, "Quant 'z': 'w_quant' is a constant"),
    "file: no opset": (
        lambda: changed(lambda m: m.ClearField("opset_import")),
        "imports no opset;",
    ),
    "file: old opset": (
        lambda: changed(lambda m: setattr(m.opset_import[0], "version", 9)),
        "opset 9 is too old; export with opset 11",
    ),
    "file: no QONNX": (
        lambda: changed(lambda m: m.opset_import.pop()),
        f"Quant 'x': the model imports no opset of its domain '{re.escape(QONNX)}'",
    ),
    "file: initializers": (
        lambda: changed(lambda m: m.graph.initializer.append(m.graph.initializer[0])),
        "two initializers are called 'x.scale'",
    ),
    "file: outputs": (
        lambda: changed(lambda m: m.graph.node[0].output.__setitem__(0, "image")),
        "Quant 'image': duplicate name: output 'image' is defined before",
    ),
    "file: sorted": (
        lambda: changed(lambda m: m.graph.node.append(m.graph.node.pop(0))),
        "Conv 'conv': 'x' is not computed before it",
    ),
    "file: two inputs": (
        lambda: changed(lambda m: m.graph.input.append(m.graph.output[0])),
        "expected one input and one output",
    ),
    "file: sparse": (
        lambda: changed(lambda m: m.graph.sparse_initializer.add()),
        "sparse initializers are not supported",
    ),
    "file: external": (lambda: changed(external), "'x.scale': its data lies in another file"),
    "file: data": (
        lambda: changed(lambda m: setattr(m.graph.initializer[0], "raw_data", b"1234")),
        r"'x.scale': it has 4 bytes, its shape \[1, 3, 1, 1\] needs 12",
    ),
    "input: type": (
        lambda: changed(
            lambda m: setattr(
                m.graph.input[0].type.tensor_type, "elem_type", onnx.TensorProto.DOUBLE
            )
        ),
        r"input 'image': its element type is 11; expected float \(1\)",
    ),
    "input: rank": (
        lambda: with_shape(1, 3, 4),
        r"it has rank 3; expected \[N, C, H, W\] or \[N, C\]",
    ),
    "input: batch": (
        lambda: with_shape(0, 3, 4, 4),
        r"shape \[0, 3, 4, 4\] has a dimension outside",
    ),
    "input: size": (
        lambda: with_shape(1, 3, 0, 4),
        r"shape \[1, 3, 0, 4\] has a dimension outside",
    ),
    "input: elements": (lambda: with_shape(1, 3, 2**15, 2**15), r"has more than 2\^31 elements"),
    "output: channels": (
        lambda: declared("N", 3, 2, 2),
        r"output 'conv': the network computes shape \[N, 2, 2, 2\], the file declares another",
    ),
    "output: rank": (lambda: declared("N", 8), "the file declares another"),
    "output: elements": (
        lambda: far("Conv", pads=[2**15] * 4),
        r"Conv 'y': shape \[1, 2, 65538, 65538\] has more than 2\^31 elements",
    ),
    "output: pixels": (
        lambda: far("AveragePool", pads=[2**24, 0, 0, 0], count_include_pad=1),
        r"AveragePool 'y': shape \[1, 3, 16777219, 3\] has a dimension outside",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_compiler_refuses_is_refused(what: str) -> None:
    make, reason = REFUSED[what]
    with pytest.raises(SysmolError, match=reason) as caught:
        simulated(proto(make()))
    assert "\n" not in str(caught.value) and str(caught.value).startswith("test: ")


@needs_native
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_is_so_by_the_compiler_too(what: str, tmp_path: Path) -> None:
    import sysmol

    with pytest.raises(SysmolError):
        sysmol.compile(proto(REFUSED[what][0]()), tmp_path / "net.mlir", emit="mlir", phase="model")


@pytest.mark.parametrize("name", INVALID)
def test_models_that_the_importer_must_refuse_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SysmolError) as caught:
        IntegerNetwork.from_onnx(saved(INVALID[name](), tmp_path))
    assert "\n" not in str(caught.value) and "model.onnx: " in str(caught.value)


C_1_1 = (3, 1, 1)
FOUR_ONE_TWO = np.array([4.0, 1.0, 2.0])
TAKEN: dict[str, Callable[[], Builder]] = {
    "sum: carrier": lambda: residual(lambda b: b.carrier("s", "z")),
    "sum, relu: carrier": lambda: residual(relu(lambda b: b.carrier("s", "z"))),
    "sum, identity: carrier": lambda: residual(
        lambda b: b.carrier(b.add("Relu", [b.add("Identity", ["s"], "i")], "r"), "z")
    ),
    "Identity: unknown": lambda: behind_conv("Identity", alpha=1.0),
    "Reshape: one": lambda: reshape([1, -1]),
    "Reshape: size": lambda: reshape([1, 8]),
    "Reshape: rest": lambda: reshape([-1, 8]),
    "Reshape: same": lambda: reshape([0, -1], allowzero=0),
    "Reshape: same, size": lambda: reshape([0, 8]),
    "Constant": lambda: held(value=SHAPE),
    "BipolarQuant: channels": lambda: bipolar(scale=np.full(C_1_1, 0.5)),
    "AveragePool: ones": lambda: pool("AveragePool", dilations=[1, 1], ceil_mode=0),
    "Conv: kernel_shape": lambda: conv(kernel_shape=[3, 3], auto_pad="NOTSET"),
    "norm: momentum": lambda: norm(momentum=0.9, training_mode=0),
    "Quant: rounding_mode": lambda: quantized(rounding_mode="half_up"),
    "domain: ai.onnx": lambda: in_domain(pool(), "ai.onnx"),
    "bias: row": lambda: biased([[[1.0, -2.0]]]),
    "bias: one": lambda: gemm_biased([[[[0.5]]]]),
    "type: bits": lambda: retyped("x.bits", np.int64),
    "type: zero": lambda: retyped("x.zero", np.uint8),
    "shape: [C, 1, 1]": lambda: parameters(
        3 / (2 ** FOUR_ONE_TWO.reshape(C_1_1) - 1), np.zeros(C_1_1), FOUR_ONE_TWO.reshape(C_1_1)
    ),
    "shape: [C]": lambda: parameters(3 / (2**FOUR_ONE_TWO - 1), 0.0, FOUR_ONE_TWO, rank=2),
    "shape: zero": lambda: parameters(0.25, np.full((1, 3, 1, 1), 7.5)),
    "shape: weights [Cin, 1, 1]": lambda: weight_parameters(
        np.full((4, 1, 1, 1), 0.25), np.full(C_1_1, 7.5), np.full(C_1_1, 4.0)
    ),
    "again: max pool": lambda: again([4, 1, 2], kernel_shape=[2, 2]),
    "again: identity": lambda: again([4, 1, 2], op="Identity"),
    "again: flat": lambda: again([4] * 16 + [1] * 16 + [2] * 16, op="Flatten"),
    "Identity: weight": lambda: identities("w_quant"),
    "Identity: initializers": lambda: identities("w", "bias", "x.bits", "w_quant.scale"),
    "far: pads": lambda: far("Conv", pads=[2**20] * 4, strides=[2**19] * 2),
    "far: dilations": lambda: far("Conv", pads=[2**20] * 4, dilations=[2**20, 2**20 - 1]),
    "far: one axis": lambda: far("Conv", pads=[0, 2**22, 0, 2**22], strides=[1, 2**22]),
    "far: strides": lambda: far("Conv", pads=[1, 1, 1, 1], strides=[2**24, 2]),
    "far: pool": lambda: far(
        "AveragePool", pads=[2**20] * 4, strides=[2**19, 2**20], count_include_pad=1
    ),
}


@pytest.mark.parametrize("what", TAKEN)
def test_what_the_compiler_takes_is_taken(what: str) -> None:
    model = TAKEN[what]().model()
    assert np.isfinite(simulated(model).run(images(model))).all()


@needs_native
@pytest.mark.parametrize("what", TAKEN)
def test_what_is_taken_gives_the_bits_of_the_reference(what: str, tmp_path: Path) -> None:
    assert_as_reference(TAKEN[what]().model(), tmp_path)


def test_windows_may_sum_to_the_largest_accumulator() -> None:
    builder = Builder(("N", 1, 8421505, 1))
    builder.activation("image", "x", [8])
    builder.add("AveragePool", ["x"], "y", kernel_shape=[8421504, 1])
    simulated(builder.model())
    builder.nodes[-1].attribute[0].ints[0] += 1
    with pytest.raises(SysmolError, match="sum 2147483775 exceeds"):
        simulated(builder.model())


def test_an_optional_output_may_have_no_name() -> None:
    builder = pool()
    builder.nodes[-1].output.append("")
    simulated(builder.model())
    builder.nodes[-1].output[1] = "indices"
    with pytest.raises(SysmolError, match="expected 1 inputs and 1 output, has 1 and 2"):
        simulated(builder.model())


def test_too_little_memory_is_a_limit_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = Builder(("N", 1, 1, 1))
    builder.activation("image", "x", [4])
    pads = [2**23, 0, 2**23 - 1, 0]
    builder.add("Conv", ["x", builder.weight("w", (1, 1, 1, 1), [4])], "y", pads=pads)
    # 2^48 bytes, which no address space holds.
    x = np.zeros((2**22, 1, 1, 1), np.float32)
    network = simulated(builder.model())
    with pytest.raises(ResourceLimit, match="test: too little memory; run fewer images at a time"):
        network.run(x, len(x))
    monkeypatch.setattr(functional, "conv2d", lambda *_: torch.empty(2**46))
    with pytest.raises(ResourceLimit, match="test: too little memory"):
        network.run(x[:1])
    monkeypatch.setattr(functional, "conv2d", lambda *_: torch.zeros(2) + torch.zeros(3))
    with pytest.raises(RuntimeError, match="must match"):
        network.run(x[:1])
