"""The exported file: its form, its bytes, and that it computes what the module computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from networks import Forced
from onnx import numpy_helper
from torch import fx, nn

import sysmol
from sysmol import IntegerNetwork, SysmolError
from sysmol.export import QONNX_DOMAIN, build
from sysmol.grids import Grid, quantize, values
from sysmol.layers import ActivationQuant, ChannelPrecision
from sysmol.models import PreResNet
from sysmol.prepare import calibrate, calibrate_carrier, freeze

SHAPE = (1, 12, 12)


class Signed(nn.Module):
    """Strided, dilated, grouped convolutions on tensors that no ReLU has made positive."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.grouped = nn.Conv2d(6, 6, 3, stride=2, padding=2, dilation=2, groups=3)
        self.bn2 = nn.BatchNorm2d(6)
        self.depthwise = nn.Conv2d(6, 6, (3, 1), padding=(1, 0), groups=6, bias=False)
        self.bn3 = nn.BatchNorm2d(6)
        self.relu = nn.ReLU()
        self.pool = nn.AvgPool2d(2, 2, 1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(6 * 16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn2(self.grouped(self.bn1(self.first(x))))
        x = self.pool(self.relu(self.bn3(self.depthwise(x))))
        y: torch.Tensor = self.fc(self.flatten(x))
        return y


def ready(
    seed: int, levels: tuple[int, ...] = (1, 2, 4), net: type[nn.Module] | None = None
) -> tuple[fx.GraphModule, torch.Tensor]:
    """A frozen network with random precisions, and 16 images."""
    torch.manual_seed(seed)
    twin = net() if net else PreResNet(1, (5, 6, 7))
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 0.8, 0.5)  # some negative: thresholds turn round
            nn.init.normal_(module.bias, 0.3, 0.4)
    x = torch.rand(16, *SHAPE)
    twin.train()
    for _ in range(20):
        twin(x)
    model = sysmol.prepare(twin)
    calibrate(model, x)
    for module in model.modules():
        if isinstance(module, ChannelPrecision) and module.learned:
            choice = torch.randint(0, len(levels), module.bits.shape)
            module.bits.copy_(torch.tensor(levels)[choice])
    freeze(model)
    calibrate_carrier(model, x)
    return model.eval(), x


@pytest.mark.parametrize(
    ("seed", "levels", "net"),
    [
        (0, (1, 2, 4), None),
        (1, (1, 2), None),
        (2, (1, 4, 8), None),
        (3, (8,), None),
        (4, (1, 2, 4), Signed),
        (5, (2, 4, 8), Signed),
        (6, (1,), Signed),
    ],
)
def test_integers_equal_the_module_in_evaluation(
    seed: int, levels: tuple[int, ...], net: type[nn.Module] | None, tmp_path: Path
) -> None:
    model, x = ready(seed, levels, net)
    sysmol.export(model, tmp_path / "net.onnx", SHAPE)
    network = IntegerNetwork.from_onnx(tmp_path / "net.onnx")
    forced = Forced(model.double(), network.trace(x.numpy()))
    logits = forced.run(x.double()).detach().numpy()
    assert forced.compared > 10_000 and forced.differing < forced.compared * 1e-3
    np.testing.assert_allclose(network.run(x.numpy()), logits, rtol=1e-4, atol=1e-5)


def test_bytes_depend_on_the_weights_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        sysmol.export(ready(0)[0], tmp_path / name, SHAPE)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    sysmol.export(ready(1)[0], tmp_path / "b", SHAPE)
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


def test_form_of_the_file() -> None:
    model, _ = ready(0)
    proto = build(model, SHAPE)
    constants = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    assert [i.name for i in proto.graph.input] == ["image"]
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    assert [o.name for o in proto.graph.output] == ["logits"]
    quants = [n for n in proto.graph.node if n.op_type == "Quant"]
    assert {n.domain for n in quants} == {QONNX_DOMAIN}
    for quant in quants:  # HP21: ties of the mid-rise grid go up
        (mode,) = (a.s for a in quant.attribute if a.name == "rounding_mode")
        assert mode == (b"HALF_UP" if constants[quant.input[2]].any() else b"ROUND")
    # HP21: per channel where channels differ, else scalar; weights' scales in full.
    conv = next(n for n in proto.graph.node if n.output[0] == "blocks_1_conv1")
    activation, weight = (next(q for q in quants if q.output[0] == name) for name in conv.input)
    scale, zero, bits = (constants[name] for name in activation.input[1:])
    assert bits.shape == (1, 5, 1, 1) and scale.shape == (1, 5, 1, 1) and zero.shape == ()
    scale, zero, w_bits = (constants[name] for name in weight.input[1:])
    assert scale.shape == (6, 5, 1, 1) and zero.shape == w_bits.shape == (1, 5, 1, 1)
    assert (w_bits == bits).all() and (zero == 2 ** (bits - 1) - 0.5).all()
    # HP23: stored weights are values of their grid.
    stored = constants[weight.input[0]]
    d = scale * 2.0 ** (w_bits - 2)
    codes = quantize(stored, Grid.MIDRISE, w_bits, d)
    assert (values(codes, Grid.MIDRISE, w_bits, d).astype(np.float32) == stored).all()


def test_float_twin_runs_in_onnxruntime(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    twin = PreResNet(1, (5, 6, 7)).eval()
    sysmol.export(twin, tmp_path / "twin.onnx", SHAPE)
    onnx.checker.check_model(str(tmp_path / "twin.onnx"), full_check=True)
    session = runtime.InferenceSession(tmp_path / "twin.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 3):
        x = torch.rand(count, *SHAPE)
        (logits,) = session.run(None, {"image": x.numpy()})
        np.testing.assert_allclose(logits, twin(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_unfinished_and_broken_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with pytest.raises(SysmolError, match="call freeze first"):
        sysmol.export(sysmol.prepare(PreResNet(1, (4, 4, 4))), path)
    model, _ = ready(0)
    with torch.no_grad():
        next(m for m in model.modules() if isinstance(m, ActivationQuant)).scale.fill_(torch.nan)
    with pytest.raises(SysmolError, match="NaN"):
        sysmol.export(model, path, SHAPE)
    with pytest.raises(SysmolError, match="cannot write"):
        sysmol.export(ready(0)[0], tmp_path / "no" / "net.onnx", SHAPE)
    assert not list(tmp_path.iterdir())


class Other(nn.Module):
    """A float network with something between its layers that is no sum of two tensors."""

    def __init__(self, how: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.how = nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3), how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.second(self.how(self.first(x)))
        return y


@pytest.mark.parametrize(
    "how",
    [
        lambda x: x * x,
        lambda x: x + 1,
        lambda x: torch.add(x, x.flip(0), alpha=2),
        torch.sigmoid,
        lambda x: x.clamp(-1, 1),
        lambda x: x[:, :1],
    ],
)
def test_operations_without_a_place_are_refused(
    how: Callable[[torch.Tensor], torch.Tensor], tmp_path: Path
) -> None:
    with pytest.raises(SysmolError, match=r"unsupported operation .*: allowed are Conv2d"):
        sysmol.export(Other(how), tmp_path / "net.onnx", SHAPE)
    assert not list(tmp_path.iterdir())


class Odd(nn.Module):
    """A float network with ``how`` in front of the end."""

    def __init__(self, how: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.first, self.how, self.last = nn.Conv2d(1, 4, 3), how, nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> object:
        y = self.last(self.first(x).relu().mean((2, 3)))
        return self.how(y)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Other(lambda x: x.softmax(1)), "'softmax': Softmax is allowed at the end only"),
        (Other(nn.LogSoftmax(1)), "'how': LogSoftmax is allowed at the end only"),
        (Odd(lambda y: y.softmax(0)), "'softmax': Softmax is allowed at the end only"),
        (Odd(lambda y: y.softmax(1).log_softmax(1)), "'softmax': Softmax is allowed at the end"),
        (Odd(lambda y: (y, y.softmax(1))), "must have one tensor as its output"),
        (Other(nn.Flatten(2)), "must keep the first axis"),
        (Other(nn.AvgPool2d(2, ceil_mode=True)), "AvgPool2d with ceil_mode"),
        (Other(nn.AvgPool2d(2, divisor_override=2)), "AvgPool2d with ceil_mode or divisor"),
        (Other(nn.AvgPool2d(3, 2, 1, count_include_pad=False)), "must count its padding"),
        (Other(nn.MaxPool2d(2, dilation=2)), "must have dilation 1"),
    ],
)
def test_float_networks_that_files_would_change_are_refused(
    model: nn.Module, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(SysmolError, match=reason) as caught:
        sysmol.export(model, tmp_path / "net.onnx", SHAPE)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("dim", [1, -1])
def test_a_softmax_at_the_end_is_left_out(dim: int) -> None:
    proto = build(Odd(nn.Softmax(dim)), SHAPE)
    assert [node.op_type for node in proto.graph.node][-1] == "Gemm"


def test_an_average_without_padding_counts_none(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pool = nn.AvgPool2d(3, 2, count_include_pad=False)
    model = sysmol.prepare(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), pool, nn.Flatten(), nn.Linear(32, 3))
    )
    x = torch.rand(8, *SHAPE)
    calibrate(model, x)
    freeze(model)
    sysmol.export(model.eval(), tmp_path / "net.onnx", SHAPE)
    exact = IntegerNetwork.from_onnx(tmp_path / "net.onnx").run(x.numpy())
    torch.testing.assert_close(torch.from_numpy(exact), model(x).detach(), rtol=1e-3, atol=1e-3)


class Named(nn.Module):
    """Layers with the names of values that the file has anyway."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.logits = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 1)
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        self.relu_quant_pool, self.last = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu_quant_pool(self.pool(self.relu(self.image(x))))
        y: torch.Tensor = self.last(self.relu(self.logits(self.relu(x))))
        return y


@pytest.mark.parametrize("quantized", [False, True])
def test_values_have_names_of_their_own(quantized: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = Named(), torch.rand(4, *SHAPE)
    if quantized:
        model = sysmol.prepare(model)
        calibrate(model, x)
        freeze(model)
    graph = build(model, SHAPE).graph
    names = [graph.input[0].name, *(name for node in graph.node for name in node.output)]
    assert len(set(names)) == len(names) and names[-1] == "logits"
    assert {"image", "image_", "logits_"} <= set(names)
    if quantized:
        assert {"relu_quant_pool", "relu_quant_pool_"} <= set(names)
        sysmol.export(model, tmp_path / "net.onnx", SHAPE)
        exact = IntegerNetwork.from_onnx(tmp_path / "net.onnx").run(x.numpy())
        torch.testing.assert_close(
            torch.from_numpy(exact), model.eval()(x).detach(), rtol=1e-3, atol=1e-3
        )


def test_linear_layers_on_more_than_rows_train_but_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = sysmol.prepare(nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 3)))
    x = torch.rand(8, *SHAPE)
    calibrate(model, x)
    freeze(model)
    assert model(x).shape == (8, 1, 12, 3)
    with pytest.raises(SysmolError, match=r"linear layer '0' reads more than \[N, C\]"):
        sysmol.export(model, tmp_path / "net.onnx", SHAPE)
    assert not list(tmp_path.iterdir())
