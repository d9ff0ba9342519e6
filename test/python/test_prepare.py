"""Tracing, tying, freezing and calibrating networks."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import sysmol
from sysmol import SysmolError
from sysmol.layers import ActivationQuant, CarrierQuant, ChannelPrecision, QuantConv2d
from sysmol.models import PreResNet
from sysmol.prepare import (
    bits_term,
    calibrate,
    calibrate_carrier,
    freeze,
    hidden_layers,
    layers,
    mean_bits,
    recalibrate_batchnorm,
)


def small() -> PreResNet:
    torch.manual_seed(0)
    return PreResNet(1, (4, 6, 8))


def test_importing_sysmol_does_not_import_torch() -> None:
    code = "import sys, sysmol; sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_package_names_are_functions_whatever_is_imported_first() -> None:
    import sysmol.export
    import sysmol.prepare

    assert callable(sysmol.prepare) and callable(sysmol.export)


def test_layers_that_read_one_tensor_share_its_precision() -> None:
    model = sysmol.prepare(small())
    blocks = model.get_submodule("blocks")
    for index in ("1", "2"):
        conv, shortcut = (blocks.get_submodule(f"{index}.{n}") for n in ("conv1", "shortcut"))
        assert isinstance(conv, QuantConv2d) and isinstance(shortcut, QuantConv2d)
        assert conv.precision is shortcut.precision
    quants = [m for m in model.modules() if isinstance(m, ActivationQuant)]
    assert len({id(q.precision) for q in quants}) == len(quants) == 9
    assert not any(q.signed for q in quants)
    # Two branches and a sum in each of three blocks; the first skip is the first convolution.
    assert len({id(m) for m in model.modules() if isinstance(m, CarrierQuant)}) == 9


def test_ends_are_fixed_at_eight_bits_and_the_rest_is_learned() -> None:
    model = sysmol.prepare(small())
    fixed = [name for name, layer in layers(model) if not layer.precision.learned]
    assert fixed == ["conv", "fc"]
    assert all(layer.precision.bits.tolist() for _, layer in layers(model))
    image = next(m for m in model.modules() if isinstance(m, ActivationQuant))
    assert image.scale.item() == 1.0 and not image.scale.requires_grad


def test_the_float_network_is_left_alone() -> None:
    twin = small()
    before = {name: value.clone() for name, value in twin.state_dict().items()}
    model = sysmol.prepare(twin)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert all(torch.equal(value, before[name]) for name, value in twin.state_dict().items())


def test_loss_term_counts_every_weight_of_a_channel() -> None:
    model = sysmol.prepare(small())
    weights = sum(layer.weight.numel() for _, layer in hidden_layers(model))
    assert float(bits_term(model).detach()) == pytest.approx(7 * weights, rel=1e-4)
    bits_term(model).backward()
    layer = dict(layers(model))["blocks.1.conv1"]
    # conv1 and shortcut: 6 outputs of 9 taps and 6 of one; d(-log2 sigmoid)/ds at sigma = 2^-7.
    assert layer.precision.s.grad is not None
    expected = -(6 * 9 + 6) * (1 - 2**-7) / torch.log(torch.tensor(2.0))
    torch.testing.assert_close(layer.precision.s.grad, expected.expand(4))


def test_freeze_and_mean_bits() -> None:
    model = sysmol.prepare(small())
    assert mean_bits(model) == 4.0
    for module in model.modules():
        if isinstance(module, ChannelPrecision) and module.learned:
            with torch.no_grad():
                module.s.fill_(3.0)
    freeze(model)
    assert mean_bits(model) == 1.0
    assert all(layer.precision.frozen for _, layer in layers(model))
    assert not any(name.endswith(".s") for name, p in model.named_parameters() if p.requires_grad)


def test_activation_quantizers_really_run_in_both_phases() -> None:
    model = sysmol.prepare(small())
    x = torch.rand(4, 1, 12, 12)
    calibrate(model, x)
    model.train()
    torch.manual_seed(1)
    first = model(x)
    assert not torch.equal(first, model(x))
    freeze(model)
    seen: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, ActivationQuant):
            module.register_forward_hook(lambda m, i, y, n=name: seen.__setitem__(n, y))
    model(x)
    assert len(seen) == 9
    for name, y in seen.items():
        quant = model.get_submodule(name)
        assert isinstance(quant, ActivationQuant)
        codes = y / quant.scale * (2 ** int(quant.precision.bits.max()) - 1)
        torch.testing.assert_close(codes, codes.round(), atol=1e-3, rtol=0)


def test_calibration_sets_scales_and_the_carrier() -> None:
    model = sysmol.prepare(small())
    x = torch.rand(16, 1, 12, 12)
    model.train()
    model(x)
    calibrate(model, x)
    quants = [m for m in model.modules() if isinstance(m, ActivationQuant)]
    assert all(q.scale > 0 and q.observing is None for q in quants)
    assert len({float(q.scale.detach()) for q in quants}) > 5
    freeze(model)
    delta = calibrate_carrier(model, x)
    carriers = [m for m in model.modules() if isinstance(m, CarrierQuant)]
    assert {float(c.delta) for c in carriers} == {delta}
    assert torch.log2(torch.tensor(delta)).frac() == 0


def test_batch_norm_statistics_become_plain_averages() -> None:
    model = sysmol.prepare(small())
    freeze(model)
    parts = list(torch.rand(3, 8, 1, 12, 12))
    recalibrate_batchnorm(model, parts)
    norm = model.get_submodule("blocks.0.bn1")
    assert isinstance(norm, nn.BatchNorm2d)
    first = model.get_submodule("conv")
    quant = model.get_submodule("x_quant")
    means = torch.stack([first(quant(part)).mean((0, 2, 3)) for part in parts]).mean(0)
    torch.testing.assert_close(norm.running_mean, means.detach(), rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1


class Odd(nn.Module):
    """A network that cannot be prepared because of ``layer``."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.conv, self.layer = nn.Conv2d(1, 2, 3), layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.conv(x))


class Branching(nn.Module):
    """A network whose way depends on its data."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) if x.sum() > 0 else x


class Twice(nn.Module):
    """A layer that reads two tensors, and a ReLU that only once feeds a quantizer alone."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.third = self.second if again else nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.relu(self.first(x))
        y: torch.Tensor = self.relu(self.second(h)) + self.third(h)
        return y


class Two(nn.Module):
    """A network with two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.conv(x)
        return y, y.softmax(1)


class Sum(nn.Module):
    """Two layers with an addition between them."""

    def __init__(self, add: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 1, 3), nn.Conv2d(1, 2, 3)
        self.other, self.add = nn.Conv2d(1, 1, 3), add

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.second(self.add(self.first(x), self.other(x)))
        return y


class Axes(nn.Module):
    """An image that is read along its channels and along its columns."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu = nn.Conv2d(1, 6, 3, padding=1), nn.ReLU()
        self.second, self.columns = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.relu(self.first(x))
        y: torch.Tensor = self.second(h) + self.columns(h)
        return y


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Axes(), "'columns' and 'second' read 'relu' along different axes"),
        (Sum(lambda x, y: torch.add(x, y, alpha=3)), "'add' is no residual"),
        (Sum(lambda x, _: x + x), "'add' is no residual"),
        (Sum(lambda x, _: x + 1.0), "'add' is no residual"),
        (nn.Sequential(nn.ReLU()), "no Conv2d"),
        (Odd(nn.GELU()), "unsupported GELU"),
        (Odd(nn.LSTM(2, 2)), "unsupported LSTM"),
        (Twice(True), "'second' is called more than once"),
        (Odd(nn.AdaptiveAvgPool2d((None, 2))), "AdaptiveAvgPool2d"),
        (Odd(nn.Conv2d(2, 2, 3, padding_mode="circular", padding=1)), "padding_mode"),
        (Odd(nn.Conv2d(2, 2, 3, padding="same")), "numbers"),
        (Branching(), "cannot trace"),
        (Two(), "must have one tensor as its output"),
        (Odd(nn.ReLU()), "'layer': ReLU cannot be the end"),
        (Odd(nn.Sequential(nn.ReLU6(), nn.Flatten())), "ReLU6 cannot be the end"),
        (Odd(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))), "MaxPool2d cannot be the end"),
        (Odd(nn.Sequential(nn.ReLU(), nn.Softmax(1))), "ReLU cannot be the end"),
        (nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 3)), "'_0': BatchNorm2d on the network"),
        (nn.Sequential(nn.Dropout(), nn.ReLU(), nn.Conv2d(1, 2, 3)), "ReLU on the network's input"),
        (nn.Sequential(nn.MaxPool2d(2), nn.ReLU6(), nn.Conv2d(1, 2, 3)), "ReLU6 on the network's"),
    ],
)
def test_what_cannot_be_prepared_is_named(model: nn.Module, reason: str) -> None:
    with pytest.raises(SysmolError, match=reason) as caught:
        sysmol.prepare(model)
    assert "\n" not in str(caught.value)


def test_calibration_refuses_what_is_no_number() -> None:
    model = sysmol.prepare(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3)))
    with pytest.raises(SysmolError, match="values from nan"):
        calibrate(model, torch.full((2, 1, 6, 6), math.nan))


def test_a_relu_stays_where_one_of_its_calls_has_another_reader() -> None:
    torch.manual_seed(0)
    twin = Twice(False).eval()
    model = sysmol.prepare(twin).train()
    for module in model.modules():
        if isinstance(module, ActivationQuant):
            module.observing = []
    for _, layer in layers(model):
        layer.given = True
    x = torch.rand(2, 1, 6, 6)
    torch.testing.assert_close(model(x), twin(x))


def test_inputs_of_either_sign_want_to_be_announced(tmp_path: Path) -> None:
    torch.manual_seed(0)
    twin = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
    x = torch.randn(16, 3, 6, 6)
    with pytest.raises(SysmolError, match=r"values from -.* inputs=Inputs\.REAL"):
        calibrate(sysmol.prepare(twin), x)
    model = sysmol.prepare(twin, inputs=sysmol.Inputs.REAL)
    quant = next(m for m in model.modules() if isinstance(m, ActivationQuant))
    assert quant.signed and quant.precision.bits.tolist() == [8] * 3
    calibrate(model, x)
    # The grid reaches twice its scale.
    assert 1.4 < quant.scale.item() < 2.6 and quant.scale.requires_grad
    freeze(model)
    sysmol.export(model.eval(), tmp_path / "net.onnx", (3, 6, 6))
    exact = sysmol.IntegerNetwork.from_onnx(tmp_path / "net.onnx").run(x.numpy())
    torch.testing.assert_close(torch.from_numpy(exact), model(x).detach(), rtol=1e-4, atol=1e-4)


def test_average_pools_of_images_want_images() -> None:
    net = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(1, 2, 3))
    sysmol.prepare(net)
    with pytest.raises(SysmolError, match=r"'_0' reads 'input_1', .* put a ReLU in front"):
        sysmol.prepare(net, inputs=sysmol.Inputs.REAL)


class Rows(nn.Module):
    """Residual sums of [N, C]."""

    def __init__(self, relu: nn.Module, start: nn.Module) -> None:
        super().__init__()
        self.start, self.relu = start, relu
        self.branch, self.last = nn.Linear(12, 12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.start(x)
        y = y + self.relu(self.branch(y))
        z: torch.Tensor = self.last(y.relu())
        return z


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Rows(nn.ReLU6(), nn.Linear(7, 12)), "reads 'relu', a ReLU6 .*: use ReLU instead"),
        (
            Rows(nn.ReLU(), nn.Sequential(nn.Linear(7, 12), nn.BatchNorm1d(12), nn.ReLU6())),
            "reads 'start_2', a ReLU6 of values .*: use ReLU instead",
        ),
        (Rows(nn.ReLU(), nn.Identity()), "reads the input, .*: put a Linear layer in front"),
        (Rows(nn.ReLU(), nn.Linear(7, 12)), None),
    ],
)
def test_sums_of_rows_read_no_codes(model: nn.Module, reason: str | None) -> None:
    if reason is None:
        sysmol.prepare(model)
        return
    with pytest.raises(SysmolError, match=reason) as caught:
        sysmol.prepare(model)
    assert "\n" not in str(caught.value)


class Shared(nn.Module):
    """A layer and an average read one tensor."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.first, self.pool = nn.Conv2d(1, 4, 3), pool
        self.conv, self.last = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 5, 1)
        self.average, self.relu = nn.AdaptiveAvgPool2d(1), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.pool(self.relu(self.first(x)))
        z: torch.Tensor = self.last(self.average(self.relu(self.conv(y))) + self.average(y))
        return z


@pytest.mark.parametrize("pool", [nn.Identity(), nn.MaxPool2d(2)])
def test_precisions_that_an_average_fixes_are_named(pool: nn.Module) -> None:
    with pytest.warns(UserWarning, match="'conv' reads the codes that 'average_1' .* 8 bits"):
        model = sysmol.prepare(Shared(pool))
    assert dict(layers(model))["conv"].precision.bits.tolist() == [8] * 4
