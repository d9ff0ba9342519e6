"""The integer network: exact dot products, every operator, and what it refuses."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

from sysmol import IntegerNetwork, SysmolError
from sysmol.grids import Grid, level_values, quantize, step, values

DOMAIN = "qonnx.custom_op.general"
UNIT = {
    Grid.UNSIGNED: {1: 1, 2: 6, 4: 120, 8: 16320},
    Grid.MIDRISE: {1: 1, 2: 4, 4: 64, 8: 4096},
}


class Net:
    """A small hand-written ONNX graph."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.nodes, self.constants = shape, [], {}

    def const(self, name: str, array: Any) -> str:
        self.constants[name] = np.array(array, np.float32)
        return name

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def quant(
        self, x: str, out: str, scale: Any, zero: Any, bits: Any, signed: int = 0, **more: Any
    ) -> str:
        names = [
            self.const(f"{out}.{key}", value)
            for key, value in (("s", scale), ("z", zero), ("b", bits))
        ]
        attributes = {"signed": signed, "narrow": signed, "rounding_mode": "ROUND"} | more
        return self.add("Quant", [x, *names], out, domain=DOMAIN, **attributes)

    def grid(self, x: str, out: str, grid: Grid, bits: list[int], scale: float, rank: int) -> str:
        """Quantize an activation with per-channel precisions."""
        p = np.array(bits).reshape(1, -1, *([1] * (rank - 2)))
        zero = np.zeros(p.shape)
        if grid is Grid.MIDRISE:
            zero = np.where(p == 8, 128, 2.0 ** (p - 1) - 0.5)
        return self.quant(x, out, step(grid, p, scale), zero, p)

    def weight(
        self, out: str, shape: tuple[int, ...], p: np.ndarray, d: np.ndarray, seed: int = 0
    ) -> np.ndarray:
        """Random weights on the grid; gives their level values."""
        rng = np.random.default_rng(seed)
        scale = d.reshape(-1, *([1] * (len(shape) - 1)))
        w = rng.normal(size=shape) * scale
        codes = quantize(w, Grid.MIDRISE, p, scale)
        self.const(f"{out}.w", values(codes, Grid.MIDRISE, p, scale))
        steps = step(Grid.MIDRISE, p, scale)
        symmetric = bool((p == 8).all())
        zero = np.where(p == 8, 0 if symmetric else 128, 2.0 ** (p - 1) - 0.5)
        self.quant(f"{out}.w", out, steps, zero, p, int(symmetric))
        return level_values(codes, Grid.MIDRISE, p)

    def proto(self, output: str) -> onnx.ModelProto:
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "test",
            [info("image", TensorProto.FLOAT, ["N", *self.shape])],
            [info(output, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(v, k) for k, v in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
        return helper.make_model(graph, opset_imports=opsets)

    def network(self, output: str) -> IntegerNetwork:
        return IntegerNetwork(self.proto(output), "test")


def naive_conv(
    q: np.ndarray,
    w: np.ndarray,
    factor: np.ndarray,
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """Python integers, tap by tap; taps outside the image are absent (HP13)."""
    n, _, height, width = q.shape
    out, per_group, kh, kw = w.shape
    oh = (height + pads[0] + pads[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (width + pads[1] + pads[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    acc = np.zeros((n, out, oh, ow), np.int64)
    for b, o, y, x in itertools.product(*map(range, acc.shape)):
        first = o // (out // groups) * per_group
        for i, r, s in itertools.product(range(per_group), range(kh), range(kw)):
            iy = y * stride[0] - pads[0] + r * dilation[0]
            ix = x * stride[1] - pads[1] + s * dilation[1]
            if 0 <= iy < height and 0 <= ix < width:
                c = first + i
                acc[b, o, y, x] += int(factor[c]) * int(q[b, c, iy, ix]) * int(w[o, i, r, s])
    return acc


@pytest.mark.parametrize("grid", list(Grid))
@pytest.mark.parametrize(
    ("bits", "stride", "pads", "dilation", "groups"),
    [
        ([1, 2, 4, 1, 2, 4], (1, 1), (1, 1, 1, 1), (1, 1), 1),
        ([8, 1, 2, 8, 2, 1], (2, 1), (0, 2, 1, 0), (1, 2), 1),
        ([4, 4, 8, 8, 1, 1], (1, 2), (1, 0, 0, 1), (2, 1), 2),
        ([1, 2, 4, 4, 2, 1], (1, 1), (1, 1, 1, 1), (1, 1), 6),
        ([8] * 6, (2, 2), (1, 1, 1, 1), (1, 1), 3),
        ([2] * 6, (1, 1), (2, 2, 2, 2), (1, 1), 1),
    ],
)
def test_convolution_is_exact(
    grid: Grid,
    bits: list[int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilation: tuple[int, int],
    groups: int,
) -> None:
    net = Net((6, 5, 6))
    net.grid("image", "a", grid, bits, 0.8, 4)
    p = np.array(bits).reshape(groups, 1, -1)
    p = np.broadcast_to(p, (groups, 6 // groups, 6 // groups)).reshape(6, -1, 1, 1)
    d = np.linspace(0.3, 0.9, 6).astype(np.float32).astype(np.float64)
    w = net.weight("w", (6, 6 // groups, 3, 2), p, d)
    net.add("Conv", ["a", "w"], "y", strides=stride, pads=pads, dilations=dilation, group=groups)
    x = np.random.default_rng(1).normal(0.2, 0.6, (2, 6, 5, 6)).astype(np.float32)
    network = net.network("y")
    traced = network.trace(x)
    channel = np.array(bits).reshape(1, -1, 1, 1)
    assert (traced["a"] == quantize(x, grid, channel, 0.8)).all()
    q = level_values(traced["a"], grid, channel)
    finest = UNIT[grid][max(bits)]
    factor = np.array([finest // UNIT[grid][b] for b in bits])
    expected = naive_conv(q, w, factor, stride, pads, dilation, groups)
    assert (traced["y"] == expected).all()
    # HP18, and that the accumulator's unit is the real one.
    real = expected * (d.reshape(1, -1, 1, 1) * 0.8 / finest)
    np.testing.assert_allclose(network.run(x), real, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bits", [(1, 2, 4), (8, 8, 8), (1, 4, 8)])
def test_large_convolution_is_exact_in_binary32_too(bits: tuple[int, ...]) -> None:
    # Big enough for fast algorithms, whose transforms would not be exact.
    channels = 33
    p = np.array((bits * channels)[:channels])
    net = Net((channels, 14, 14))
    net.grid("image", "a", Grid.UNSIGNED, p.tolist(), 1.0, 4)
    w = net.weight("w", (32, channels, 3, 3), p.reshape(1, -1, 1, 1), np.ones(32))
    net.add("Conv", ["a", "w"], "y", pads=[1, 1, 1, 1])
    x = np.random.default_rng(4).random((17, channels, 14, 14), np.float32) * 1.2
    traced = net.network("y").trace(x)
    factor = np.array([UNIT[Grid.UNSIGNED][max(bits)] // UNIT[Grid.UNSIGNED][b] for b in p])
    k = np.pad(traced["a"] * factor[:, None, None], ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(k, (3, 3), (2, 3))
    expected = np.tensordot(windows, w, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)
    assert (traced["y"] == expected).all()


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_matrix_product_and_bias(op: str) -> None:
    bits = [1, 8, 4, 4, 1]
    net = Net((5,))
    net.grid("image", "a", Grid.UNSIGNED, bits, 1.5, 2)
    w = net.weight("w", (3, 5), np.array([bits]), np.ones(3))
    if op == "Gemm":
        bias = np.array([0.5, -1.25, 3], np.float32)
        net.add("Gemm", ["a", "w", net.const("bias", bias)], "y", transB=1)
    else:
        bias = np.zeros(3, np.float32)
        for name in ("w.w", "w.s", "w.b", "w.z"):
            net.constants[name] = np.ascontiguousarray(net.constants[name].T)
        net.add("MatMul", ["a", "w"], "y")
    x = np.random.default_rng(2).random((7, 5), np.float32) * 2
    network = net.network("y")
    k = network.trace(x)["a"]
    acc = (k * np.array([16320, 1, 136, 136, 16320])) @ w.T
    assert (network.trace(x)["y"] == acc).all()
    m = np.float32(1.0 * 1.5 / 16320)
    expected = (acc.astype(np.float32) * m).astype(np.float32) + bias
    assert (network.run(x, batch=2) == expected).all()


def test_carrier_batch_norm_pool_and_flatten() -> None:
    net = Net((2, 4, 4))
    net.grid("image", "a", Grid.UNSIGNED, [4, 4], 1.0, 4)
    w = net.weight("w", (2, 2, 1, 1), np.full((1, 2, 1, 1), 4), np.ones(2))
    net.add("Conv", ["a", "w"], "c")
    net.quant("c", "r", 2.0**-4, 0, 16, 1)
    net.add("Add", ["r", "r"], "sum")
    net.quant("sum", "r2", 2.0**-4, 0, 16, 1)
    g, beta, mean, var = [0.9, -0.4], [0.2, 0.8], [0.1, 0.3], [0.5, 2.0]
    parts = [net.const(f"n{i}", v) for i, v in enumerate((g, beta, mean, var))]
    net.add("BatchNormalization", ["r2", *parts], "n", epsilon=1e-3)
    net.add("Relu", ["n"], "relu")
    net.quant("relu", "b", 2 / 255, 0, 8)
    net.add("AveragePool", ["b"], "p", kernel_shape=[2, 2], strides=[2, 2])
    net.quant("p", "e", 2 / 255, 0, 8)
    net.add("GlobalAveragePool", ["e"], "gap")
    net.add("Flatten", ["gap"], "y")
    x = np.random.default_rng(3).random((3, 2, 4, 4), np.float32)
    network = net.network("y")
    t = network.trace(x)
    acc = np.einsum("oi,nihw->nohw", w[:, :, 0, 0], t["a"])
    assert (t["c"] == acc).all()
    m = np.float32((1.0 * (np.float32(1 / 15) * np.float64(15)) / 120) / 2.0**-4)
    assert (t["r"] == np.rint(acc.astype(np.float32) * m)).all()
    assert (t["r2"] == 2 * t["r"]).all()
    alpha = float(np.float32(2 / 255)) * 255
    f64 = [np.array(v, np.float32).astype(np.float64) for v in (g, beta, mean, var)]
    s = f64[0] / np.sqrt(f64[3] + float(np.float32(1e-3)))
    m2 = np.float32(2.0**-4 * s / (alpha / 255)).reshape(1, -1, 1, 1)
    b2 = np.float32((f64[1] + (0 - f64[2]) * s) / (alpha / 255)).reshape(1, -1, 1, 1)
    y = (t["r2"].astype(np.float32) * m2).astype(np.float32) + b2
    assert (t["b"] == np.clip(np.rint(y), 0, 255)).all()
    sums = t["b"].reshape(3, 2, 2, 2, 2, 2).sum((3, 5))
    assert (t["p"] == sums).all()
    assert (t["e"] == np.clip(np.rint(sums.astype(np.float32) * np.float32(0.25)), 0, 255)).all()
    assert (t["gap"][:, :, 0, 0] == t["e"].sum((2, 3))).all()
    assert network.run(x).shape == (3, 2)


def test_carrier_sums_saturate() -> None:
    net = Net((1,))
    net.grid("image", "a", Grid.UNSIGNED, [8], 1.0, 2)
    net.weight("w", (1, 1), np.array([[8]]), np.ones(1) * 2)
    net.constants["w.w"][:] = 127 / 32
    net.add("Gemm", ["a", "w"], "c", transB=1)
    net.quant("c", "r", 2.0**-13, 0, 16, 1)
    net.add("Add", ["r", "r"], "sum")
    net.quant("sum", "y", 2.0**-13, 0, 16, 1)
    t = net.network("y").trace(np.array([[1.0], [0.5]], np.float32))
    assert t["r"].ravel().tolist()[0] > 2**14 and t["y"].ravel()[0] == 32767
    assert t["sum"].ravel()[0] == 32767


def plain() -> Net:
    """image -> Quant -> Conv, with levels 1, 2, 4."""
    net = Net((3, 4, 4))
    net.grid("image", "a", Grid.UNSIGNED, [1, 2, 4], 1.0, 4)
    net.weight("w", (2, 3, 3, 3), np.array([1, 2, 4]).reshape(1, 3, 1, 1), np.ones(2))
    net.add("Conv", ["a", "w"], "y")
    return net


def poke(name: str, index: tuple[int, ...], value: float) -> Callable[[Net], None]:
    def change(net: Net) -> None:
        net.constants[name][index] = value

    return change


def replace(name: str, array: Any) -> Callable[[Net], None]:
    def change(net: Net) -> None:
        net.const(name, array)

    return change


def append(op: str, inputs: list[str], **attributes: Any) -> Callable[[Net], None]:
    def change(net: Net) -> None:
        net.nodes[-1].output[0] = "c"
        net.add(op, inputs, "y", **attributes)

    return change


def attribute(output: str, name: str, value: int | str) -> Callable[[Net], None]:
    """Set an attribute of the ``Quant`` node that computes ``output``."""

    def change(net: Net) -> None:
        node = next(n for n in net.nodes if n.output[0] == output)
        kept = [a for a in node.attribute if a.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return change


def between(op: str, *constants: Any, delta: float = 0.5, **attributes: Any) -> Callable[..., None]:
    """A node between two carriers."""

    def change(net: Net) -> None:
        net.nodes[-1].output[0] = "c"
        net.quant("c", "r", 0.5, 0, 16, 1)
        names = [net.const(f"n{i}", value) for i, value in enumerate(constants)]
        net.add(op, ["r", *names], "n", **attributes)
        net.quant("n", "y", delta, 0, 16, 1)

    return change


def before_carrier(op: str, *constants: Any, **attributes: Any) -> Callable[..., None]:
    """A node between the sums and their carrier."""

    def change(net: Net) -> None:
        net.nodes[-1].output[0] = "c"
        names = [net.const(f"n{i}", value) for i, value in enumerate(constants)]
        net.add(op, ["c", *names], "n", **attributes)
        net.quant("n", "y", 0.5, 0, 16, 1)

    return change


def carrier_of_codes(net: Net) -> None:
    net.nodes[-1].output[0] = "c"
    net.quant("a", "y", 0.5, 0, 16, 1)


def clipped(top: float, alpha: float) -> Callable[..., None]:
    def change(net: Net) -> None:
        net.nodes[-1].output[0] = "c"
        net.add("Clip", ["c", net.const("low", 0), net.const("top", top)], "n")
        net.quant("n", "q", alpha / 255, 0, 8)
        net.add("GlobalAveragePool", ["q"], "y")

    return change


def pooled(**attributes: Any) -> Callable[..., None]:
    def change(net: Net) -> None:
        net.nodes[-1].input[0] = "p"
        window = {"kernel_shape": [2, 2]} | attributes
        net.nodes.insert(-1, helper.make_node("MaxPool", ["a"], ["p"], **window))

    return change


def averaged(**attributes: Any) -> Callable[..., None]:
    def change(net: Net) -> None:
        append("AveragePool", ["u"], **attributes)(net)
        net.quant("image", "u", 1 / 15, 0, 4)
        net.nodes.insert(0, net.nodes.pop())

    return change


def no_output(net: Net) -> None:
    net.nodes.append(helper.make_node("Relu", ["y"], []))


def typed(op: str, *constants: Any, dtype: type[np.generic]) -> Callable[..., None]:
    """With constants of another type."""

    def change(net: Net) -> None:
        names = [f"n{i}" for i in range(len(constants))]
        append(op, ["c", *names])(net)
        net.constants |= {n: np.array(v, dtype) for n, v in zip(names, constants, strict=True)}

    return change


def flattened(delta: float | None, *norm: Any) -> Callable[..., None]:
    """Sums, or carriers of step ``delta``, whose pixels have batch norms or precisions."""

    def change(net: Net) -> None:
        net.nodes[-1].output[0] = x = "c"
        if delta is not None:
            x = net.quant("c", "r", delta, 0, 16, 1)
        net.add("Flatten", [x], "f", axis=1)
        if norm:
            names = [net.const(f"n{i}", value) for i, value in enumerate(norm)]
            net.add("BatchNormalization", ["f", *names], "y")
        else:
            net.grid("f", "y", Grid.UNSIGNED, [2, 4] * 4, 1.0, 2)

    return change


def codes_of_rows(delta: float) -> IntegerNetwork:
    """A carrier of codes [N, C]."""
    net = Net((3,))
    net.grid("image", "a", Grid.UNSIGNED, [8, 8, 8], 1.0, 2)
    net.quant("a", "y", delta, 0, 16, 1)
    return net.network("y")


def test_codes_of_rows_become_no_carriers() -> None:
    with pytest.raises(SysmolError, match=r"only codes \[N, C, H, W\] become carriers \(HP17\)"):
        codes_of_rows(2.0**-8)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [(1, 2, 2, 0), (2, 3, 2, 0), (2, 4, 3, 0), (1, 3, 2, 0), (1, 4, 2, 1), (1, 3, 3, 1)],
)
def test_a_pool_that_rounds_up_may_be_larger_than_its_image(
    size: int, kernel: int, stride: int, padding: int
) -> None:
    net = Net((2, size, size))
    net.grid("image", "a", Grid.UNSIGNED, [8, 8], 1.0, 4)
    window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [padding] * 4}
    net.add("MaxPool", ["a"], "p", ceil_mode=1, **window)
    net.quant("p", "y", 2.0**-8, 0, 16, 1)
    x = np.random.default_rng(9).random((2, 2, size, size), np.float32)
    pool = torch.nn.MaxPool2d(kernel, stride, padding, ceil_mode=True)
    if kernel - size - 2 * padding >= stride:
        with pytest.raises(RuntimeError):
            pool(torch.from_numpy(x))
        with pytest.raises(SysmolError, match="larger than the padded image"):
            net.network("y")
        return
    t = net.network("y").trace(x)
    assert (t["p"] == pool(torch.from_numpy(t["a"]).float()).numpy()).all()


def plus(constant: Any) -> Callable[..., None]:
    def change(net: Net) -> None:
        append("Add", ["c", net.const("n", constant)])(net)

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (poke("a.s", (0, 1, 0, 0), np.nan), "NaN"),
        (poke("a.s", (0, 1, 0, 0), 0.5), "HP22"),
        (poke("w.s", (0, 1, 0, 0), 0.7), "HP22"),
        (replace("a.s", 2.0**-146 * np.array([[[[15]], [[5]], [[1]]]])), "HP6"),
        (poke("a.b", (0, 0, 0, 0), 3), "HP1"),
        (replace("a.b", [[[[1]], [[2]]]]), "bit_width has shape"),
        (replace("a.b", np.array([1, 2, 4])), "bit_width has shape"),
        (poke("a.b", (0, 0, 0, 0), 2), "HP22|HP11"),
        (poke("w.w", (0, 0, 0, 0), 0.3), "HP23"),
        (poke("w.w", (0, 0, 0, 0), np.inf), "infinity"),
        (poke("w.z", (0, 0, 0, 0), 1), "zero_point"),
        (replace("w.z", np.zeros((1, 3, 1, 1))), "mid-rise or symmetric"),
        (append("Softmax", ["c"]), "unsupported operator"),
        (append("Relu", ["c"]), "without Relu or Clip"),
        (append("Conv", ["c", "w"]), "not quantized"),
        (append("Add", ["c", "c"]), "carriers"),
        (append("GlobalAveragePool", ["c"]), "not quantized"),
        (append("GlobalAveragePool", ["a"]), "HP14"),
        (append("Relu", ["missing"]), "not computed"),
        (between("BatchNormalization", *[[1, 1]] * 4), "HP17"),
        (between("Clip", 0, 6), "HP17"),
        (between("Flatten"), "HP17"),
        (between("Relu", delta=0.25), "HP17"),
        (before_carrier("Clip", 0, 6), "HP17"),
        (before_carrier("Flatten"), "HP17"),
        (before_carrier("Clip", -1, 6), "lower one 0"),
        (before_carrier("Clip", 0), "constant ends"),
        (before_carrier("Clip", 0, 0), "not positive"),
        (carrier_of_codes, "of one precision"),
        (clipped(6, 6.1), r"alpha 6.1 exceeds the Clip's 6 \(HP20\)"),
        (pooled(pads=[0, 2, 0, 0]), "HP25"),
        (pooled(dilations=[1, 2]), "HP25"),
        (pooled(storage_order=1), "HP25"),
        (pooled(auto_pad="SAME_UPPER"), "auto_pad is not supported: give pads"),
        (pooled(kernel_shape=[2]), "kernel_shape must be 2 integers from 1"),
        (pooled(kernel_shape=[0, 2]), "kernel_shape must be 2 integers from 1"),
        (pooled(kernel_shape="ab"), "kernel_shape must be 2 integers from 1"),
        (pooled(strides=[0, 1]), "strides must be 2 integers from 1"),
        (pooled(strides=[1]), "strides must be 2 integers from 1"),
        (pooled(strides=[2**24 + 1, 1]), r"strides must be 2 integers from 1 to 2\^24"),
        (pooled(pads=[0, 0]), "pads must be 4 integers from 0"),
        (pooled(pads=[1] * 5), "pads must be 4 integers from 0"),
        (pooled(pads=[-1, 0, 0, 0]), "pads must be 4 integers from 0"),
        (pooled(kernel_shape=[5, 2]), "larger than the padded image"),
        (pooled(kernel_shape=[5, 2], ceil_mode=1), "larger than the padded image"),
        (pooled(kernel_shape=[7, 2], ceil_mode=1, strides=[3, 2]), "larger than the padded image"),
        (averaged(), "kernel_shape is missing; expected 2 integers"),
        (averaged(kernel_shape=[2, 2], strides=[0, 0]), "strides must be 2 integers"),
        (averaged(kernel_shape=[5, 2]), "larger than the padded image"),
        (averaged(kernel_shape=[2, 2], auto_pad="SAME_UPPER"), "auto_pad"),
        (append("Conv", ["a", "w"], strides=[0, 0]), "strides must be 2 integers"),
        (append("Conv", ["a", "w"], dilations=[0, 0]), "dilations must be 2 integers from 1"),
        (append("Conv", ["a", "w"], group=0), "group must be positive"),
        (append("MaxPool", [], kernel_shape=[2, 2]), "expected 1 inputs"),
        (append("MaxPool", ["a", "c"], kernel_shape=[2, 2]), "expected 1 inputs"),
        (append("Add", ["c"]), "expected 2 inputs"),
        (append("Add", []), "expected 2 inputs"),
        (append("Add", ["c", "c", "c"]), "expected 2 inputs"),
        (append("Relu", []), "expected 1 inputs"),
        (append("Relu", ["c", "a"]), "expected 1 inputs"),
        (append("Clip", ["c"]), "expected 2 to 3 inputs"),
        (append("Clip", ["c"] * 4), "expected 2 to 3 inputs"),
        (no_output, "expected 1 inputs and 1 output, has 1 and 0"),
        (typed("Clip", 0, 6, dtype=np.int64), "'n0' is int64, expected float32"),
        (typed("Clip", 0, 6, dtype=np.float64), "'n0' is float64, expected float32"),
        (typed("Add", 1, dtype=np.float64), "'n0' is float64, expected float32"),
        (typed("Add", 1, dtype=np.int64), "'n0' is int64, expected float32"),
        (plus([[[[[1]]]]]), "a bias of shape"),
        (flattened(None, *[[1] * 8] * 4), "must directly follow"),
        (flattened(0.5, *[[1] * 8] * 4), "must directly follow"),
        (flattened(None), "pixels of a flattened channel differ in precision"),
        (flattened(0.5), "pixels of a flattened channel differ in precision"),
        (append("MaxPool", ["c"], kernel_shape=[2, 2]), "not quantized"),
        (append("Clip", ["a", "c"]), "neither accumulator"),
        (plus([1, 2]), "a bias of shape"),
        (plus([[[[1]], [[2]], [[3]]]]), "a bias of shape"),
        (between("Add", 1.0), "sums only"),
        (attribute("a", "narrow", 1), "narrow needs signed"),
        (attribute("w", "narrow", 1), "narrow needs signed"),
        (attribute("a", "rounding_mode", "HALF_UP"), "HALF_UP on the mid-rise grid"),
        (attribute("w", "rounding_mode", "FLOOR"), "HALF_UP on the mid-rise grid"),
    ],
)
def test_what_breaks_the_law_is_refused(change: Callable[[Net], None], reason: str) -> None:
    plain().network("y")
    net = plain()
    change(net)
    with pytest.raises(SysmolError, match=reason) as caught:
        net.network("y")
    assert "\n" not in str(caught.value)


def test_overflow_is_refused() -> None:
    # 16320 * 255 * 127 a tap of an 8-bit level beside a 1-bit one; 255 * 127 at most 66,000 taps.
    net = Net((70_000,))
    net.grid("image", "a", Grid.UNSIGNED, [8] * 70_000, 1.0, 2)
    net.weight("w", (1, 70_000), np.array([[8]]), np.ones(1))
    net.add("Gemm", ["a", "w"], "y", transB=1)
    with pytest.raises(SysmolError, match="HP12"):
        net.network("y")


def test_four_levels_are_refused() -> None:
    net = Net((4,))
    net.grid("image", "a", Grid.UNSIGNED, [1, 2, 4, 8], 1.0, 2)
    with pytest.raises(SysmolError, match="HP2"):
        net.network("a")


def test_files_and_inputs_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    content = plain().proto("y").SerializeToString()
    for broken in (content[: len(content) // 2], b"no model"):
        path.write_bytes(broken)
        with pytest.raises(SysmolError):
            IntegerNetwork.from_onnx(path)
    with pytest.raises(SysmolError, match="cannot read"):
        IntegerNetwork.from_onnx(tmp_path / "missing.onnx")
    network = plain().network("y")
    for bad in (
        np.zeros((1, 3, 4, 5), np.float32),
        np.zeros((1, 3, 4, 4)),
        np.zeros((0, 3, 4, 4), np.float32),
    ):
        with pytest.raises(SysmolError, match="input must be float32"):
            network.run(bad)


def test_nan_pixels_give_code_zero() -> None:
    x = np.full((1, 3, 4, 4), np.nan, np.float32)
    network = plain().network("y")
    assert (network.trace(x)["a"] == 0).all() and np.isfinite(network.run(x)).all()


def test_carriers_with_offset_and_relu() -> None:
    net = Net((2, 4, 4))
    net.grid("image", "a", Grid.UNSIGNED, [4, 2], 1.0, 4)
    p = np.array([4, 2]).reshape(1, 2, 1, 1)
    w = net.weight("w", (2, 2, 1, 1), p, np.ones(2))
    net.add("Conv", ["a", "w", net.const("bias", [0.25, -0.5])], "c")
    delta = 2.0**-9
    net.quant("c", "r", delta, 0, 16, 1)
    net.add("Conv", ["a", "w"], "c2")
    g, beta, mean, var = [0.9, -0.4], [0.2, 0.3], [0.1, -0.3], [0.5, 2.0]
    parts = [net.const(f"n{i}", v) for i, v in enumerate((g, beta, mean, var))]
    net.add("BatchNormalization", ["c2", *parts], "n", epsilon=1e-3)
    net.add("Relu", ["n"], "nr")
    net.quant("nr", "r2", delta, 0, 16, 1)
    net.add("Add", ["r", "r2"], "sum")
    net.quant("sum", "s", delta, 0, 16, 1)
    net.add("Relu", ["s"], "sr")
    net.quant("sr", "y", delta, 0, 16, 1)
    t = net.network("y").trace(np.random.default_rng(3).random((3, 2, 4, 4), np.float32))
    k = t["a"] * np.array([1, 20]).reshape(1, 2, 1, 1)
    acc = np.einsum("oi,nihw->nohw", w[:, :, 0, 0], k)
    assert (t["c"] == acc).all() and (t["c2"] == acc).all()
    unit = float(np.float32(1 / 15)) * 15 / 120

    def carrier(m: Any, b: Any, low: int) -> np.ndarray:
        m32, b32 = (np.float32(v).reshape(1, -1, 1, 1) for v in (m, b))
        y = (acc.astype(np.float32) * m32).astype(np.float32) + b32
        return np.clip(np.rint(y), low, 32767)

    expected = carrier([unit / delta] * 2, np.array([0.25, -0.5]) / delta, -32767)
    assert (t["r"] == expected).all() and (t["r"] < 0).any()
    g64, beta64, mean64, var64 = (
        np.array(v, np.float32).astype(np.float64) for v in (g, beta, mean, var)
    )
    s = g64 / np.sqrt(var64 + float(np.float32(1e-3)))
    expected = carrier(unit * s / delta, (beta64 - mean64 * s) / delta, 0)
    assert (t["r2"] == expected).all() and (t["r2"] == 0).any() and (t["r2"] > 0).any()
    assert (t["s"] == t["r"] + t["r2"]).all() and (t["s"] < 0).any()
    assert (t["y"] == np.maximum(t["s"], 0)).all()


def naive_max_pool(
    k: np.ndarray, kernel: list[int], strides: list[int], pads: list[int], ceil: bool
) -> np.ndarray:
    """Window by window; taps outside the image are absent (HP25)."""
    sizes = []
    for i in range(2):
        end = k.shape[2 + i] + pads[i + 2]
        whole = [s for s in range(-pads[i], end, strides[i]) if s + kernel[i] <= end]
        further = whole[-1] + strides[i]
        # The further window covers what no whole one does, and starts at a tap of the image or in
        # front of it.
        if ceil and whole[-1] + kernel[i] < end and further < k.shape[2 + i]:
            whole.append(further)
        sizes.append(whole)
    out = np.zeros((*k.shape[:2], len(sizes[0]), len(sizes[1])), np.int64)
    for y, top in enumerate(sizes[0]):
        for x, left in enumerate(sizes[1]):
            rows = slice(max(top, 0), top + kernel[0])
            columns = slice(max(left, 0), left + kernel[1])
            out[:, :, y, x] = k[:, :, rows, columns].max((2, 3))
    return out


@pytest.mark.parametrize(
    ("grid", "bits"),
    [
        (Grid.UNSIGNED, [1, 2, 4]),
        (Grid.UNSIGNED, [8, 8, 8]),
        (Grid.MIDRISE, [4, 1, 2]),
        (Grid.MIDRISE, [8, 2, 1]),
        (Grid.MIDRISE, [8, 8, 8]),
    ],
)
@pytest.mark.parametrize(
    ("kernel", "strides", "pads", "ceil"),
    [
        ([2, 2], [2, 2], [0, 0, 0, 0], False),
        ([3, 3], [2, 2], [1, 1, 1, 1], False),
        ([3, 2], [1, 3], [2, 0, 1, 1], False),
        ([3, 3], [2, 2], [0, 0, 0, 0], True),
        ([2, 2], [3, 3], [1, 1, 1, 1], True),
        ([3, 2], [2, 2], [1, 1, 1, 0], True),
    ],
)
def test_max_pool_takes_the_largest_code(
    grid: Grid, bits: list[int], kernel: list[int], strides: list[int], pads: list[int], ceil: bool
) -> None:
    net = Net((3, 7, 6))
    net.grid("image", "a", grid, bits, 0.8, 4)
    more = {"ceil_mode": 1} if ceil else {}
    net.add("MaxPool", ["a"], "p", kernel_shape=kernel, strides=strides, pads=pads, **more)
    net.weight("w", (2, 3, 1, 1), np.array(bits).reshape(1, 3, 1, 1), np.ones(2))
    net.add("Conv", ["p", "w"], "y")
    # Mostly negative, so that a padded tap that counted as 0 would show.
    x = np.random.default_rng(5).normal(-0.4, 0.6, (2, 3, 7, 6)).astype(np.float32)
    t = net.network("y").trace(x)
    assert (t["p"] == naive_max_pool(t["a"], kernel, strides, pads, ceil)).all()
    if pads[:2] == pads[2:] and all(2 * pads[i] <= kernel[i] for i in range(2)):
        like = functional.max_pool2d(
            torch.from_numpy(t["a"]).float(), kernel, strides, pads[:2], ceil_mode=ceil
        )
        assert (t["p"] == like.numpy()).all()


def test_pooled_codes_become_carriers() -> None:
    net = Net((2, 5, 5))
    net.grid("image", "a", Grid.UNSIGNED, [8, 8], 1.5, 4)
    net.add("MaxPool", ["a"], "p", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    net.quant("p", "y", 2.0**-8, 0, 16, 1)
    t = net.network("y").trace(np.random.default_rng(6).random((2, 2, 5, 5), np.float32) * 2)
    m = np.float32(float(np.float32(1.5 / 255)) * 255 / 255 / 2.0**-8)
    assert (t["y"] == np.rint(t["p"].astype(np.float32) * m)).all() and t["y"].max() == 384


def test_a_clip_vanishes_in_the_quantizer() -> None:
    x = np.random.default_rng(7).random((2, 3, 4, 4), np.float32) * 3
    traced = []
    for change in (clipped(2.0, 2.0), clipped(2.0, 2.0 * (1 + 5e-7)), clipped(4.0, 2.0)):
        net = plain()
        change(net)
        traced.append(net.network("y").trace(x)["q"])
    net = plain()
    net.nodes[-1].output[0] = "c"
    net.add("Relu", ["c"], "n")
    net.quant("n", "q", 2 / 255, 0, 8)
    net.add("GlobalAveragePool", ["q"], "y")
    expected = net.network("y").trace(x)["q"]
    assert all((codes == expected).all() for codes in traced) and expected.max() == 255


@pytest.mark.parametrize("constant", [0.5, [[[0.25]], [[-3.0]]], [[[[0.25]], [[-3.0]]]]])
def test_an_added_constant_is_a_bias(constant: Any) -> None:
    net = plain()
    net.nodes[-1].input.append(net.const("bias", [1.0, 2.0]))
    plus(constant)(net)
    x = np.random.default_rng(8).random((2, 3, 4, 4), np.float32)
    direct = plain()
    total = np.array([1.0, 2.0]) + np.array(constant).reshape(-1)
    direct.nodes[-1].input.append(direct.const("bias", total))
    assert (net.network("y").run(x) == direct.network("y").run(x)).all()
