"""Ordinary networks all the way: prepared, trained in both phases, exported, run in integers."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from native import needs_native, targets_here
from networks import Forced, LeNet, Mlp, Mnist, MobileNet, Vgg, small_resnet
from onnx import numpy_helper
from torch import fx, nn
from torch.nn import functional

import sysmol
from sysmol import IntegerNetwork, SysmolError
from sysmol.budget import Costs
from sysmol.layers import ActivationQuant, CarrierQuant, ChannelPrecision, QuantLinear
from sysmol.normalize import BATCH_NORMS
from sysmol.posttraining import sensitivity
from sysmol.prepare import (
    bits_term,
    calibrate,
    calibrate_carrier,
    freeze,
    hidden_layers,
    layers,
    mean_bits,
    project,
)

NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet": (small_resnet, 32),
    "mobilenet": (MobileNet, 16),
    "lenet": (LeNet, 16),
    "vgg": (Vgg, 16),
    "mnist": (Mnist, 16),
    "mlp": (Mlp, 16),
}


def prepared(twin: nn.Module) -> fx.GraphModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a softmax
        return sysmol.prepare(twin)


def twin_of(name: str, seed: int = 0) -> tuple[nn.Module, torch.Tensor]:
    """A float network with statistics that are its own, and 16 images."""
    torch.manual_seed(seed)
    make, size = NETWORKS[name]
    twin = make()
    for module in twin.modules():
        if isinstance(module, BATCH_NORMS) and module.affine:
            nn.init.normal_(module.weight, 0.8, 0.5)  # some negative
            nn.init.normal_(module.bias, 0.3, 0.4)
    x = torch.rand(16, 3, size, size)
    twin.train()
    with torch.no_grad():
        for _ in range(20):
            twin(x)
    return twin, x


def step(model: nn.Module, x: torch.Tensor, extra: Callable[[], torch.Tensor]) -> None:
    """One of training; every trained parameter gets a finite gradient."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, 0.01)
    labels = torch.arange(len(x)) % 5
    (functional.cross_entropy(model.train()(x), labels) + extra()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    optimizer.step()


@pytest.mark.parametrize("name", list(NETWORKS))
def test_networks_compute_the_same_before_they_are_quantized(name: str) -> None:
    twin, x = twin_of(name)
    model = prepared(copy.deepcopy(twin)).eval()
    for module in model.modules():
        if isinstance(module, (ActivationQuant, CarrierQuant)):
            module.observing = []
    for _, layer in layers(model):
        layer.given = True
    assert torch.equal(model(x), twin.eval()(x))


@pytest.mark.parametrize("name", list(NETWORKS))
def test_networks_train_and_run_in_integers(name: str, tmp_path: Path) -> None:
    twin, x = twin_of(name)
    model = prepared(twin)
    calibrate(model, x)
    step(model, x, lambda: 1e-7 * bits_term(model))
    project(model)
    for module in model.modules():
        if isinstance(module, ChannelPrecision) and module.learned:
            nn.init.uniform_(module.s, -4, 2)
    freeze(model)
    assert 1 < mean_bits(model) < 4
    step(model, x, lambda: torch.zeros(()))
    calibrate_carrier(model, x)
    path = tmp_path / "net.onnx"
    sysmol.export(model.eval(), path, (3, *x.shape[2:]))
    network = IntegerNetwork.from_onnx(path)
    softmax = functional.log_softmax if name == "mnist" else lambda y, dim: y
    forced = Forced(model.double(), network.trace(x.numpy()))
    outputs = forced.run(x.double()).detach().numpy()
    assert forced.compared > 2000 and forced.differing < forced.compared * 1e-3
    found = softmax(torch.from_numpy(network.run(x.numpy())), dim=1).numpy()
    np.testing.assert_allclose(found, outputs, rtol=1e-4, atol=1e-5)


@needs_native
@pytest.mark.parametrize("name", list(NETWORKS))
def test_compiled_networks_give_the_same_bits(name: str, tmp_path: Path) -> None:
    from sysmol import check
    from sysmol.compile import targets

    twin, x = twin_of(name, seed=1)
    model = prepared(twin)
    calibrate(model, x)
    for i, module in enumerate(model.modules()):
        if isinstance(module, ChannelPrecision) and module.learned:
            torch.manual_seed(i)
            module.bits.copy_(torch.tensor([1, 2, 4])[torch.randint(3, module.bits.shape)])
    freeze(model)
    calibrate_carrier(model, x)
    path = tmp_path / "net.onnx"
    sysmol.export(model.eval(), path, (3, *x.shape[2:]))
    # One target: the networks of test/Integration/CPU run on all.
    found = list(
        check.compare(path, x.numpy(), targets=targets_here(targets())[:1], reference_images=2)
    )
    assert len(found) == 3
    for comparison in found:
        assert comparison.equal, comparison


def operators(model: nn.Module, size: int) -> list[str]:
    """The file's nodes but for weights; a ``Quant`` with its precision, M where that is mixed."""
    from sysmol.export import build

    graph = build(model, (3, size, size)).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}

    def word(node: onnx.NodeProto) -> str:
        if node.op_type != "Quant":
            return node.op_type
        bits = constants[node.input[3]]
        return f"Quant{int(bits)}" if bits.ndim == 0 else "QuantM"

    return [word(node) for node in graph.node if node.input[0] not in constants]


def frozen(name: str) -> fx.GraphModule:
    """With mixed precisions everywhere."""
    model = prepared(twin_of(name)[0])
    for module in model.modules():
        if isinstance(module, ChannelPrecision) and module.learned:
            module.bits.copy_(torch.arange(module.bits.numel()) % 2 + 1)
    freeze(model)
    return model.eval()


def test_where_quantizers_stand() -> None:
    head = ["GlobalAveragePool", "Flatten", "Quant8", "Gemm"]
    norm = ["Conv", "BatchNormalization"]
    found = operators(frozen("resnet"), 32)
    stem = ["Quant8", *norm, "Relu", "Quant8", "MaxPool", "Quant16", "QuantM"]
    block = [*norm, "Relu", "QuantM", *norm, "Quant16", "Add", "Quant16", "Relu"]
    assert found[: len(stem + block)] == stem + block
    assert found[len(stem + block) :][:2] == ["Quant16", "QuantM"]
    assert found[-5:] == ["Quant8", *head]
    found = operators(frozen("mobilenet"), 16)
    assert found[:6] == ["Quant8", *norm, "Clip", "QuantM", "Conv"]
    assert [*norm, "Quant16", "Add", "Quant16", "QuantM"] == found[-15:-9]
    assert found[-5:] == ["GlobalAveragePool", "Flatten", "Identity", "Quant8", "Gemm"]
    assert operators(frozen("lenet"), 16) == [
        *("Quant8", "Conv", "Relu", "QuantM", "MaxPool", "Conv", "Relu", "QuantM", "MaxPool"),
        *("Flatten", "Gemm", "Relu", "Identity", "QuantM", "Gemm", "Relu", "Quant8", "Gemm"),
    ]
    assert operators(frozen("vgg"), 16)[-11:] == [
        *("Relu", "Quant8", "MaxPool", "AveragePool", "QuantM", "Flatten", "Gemm"),
        *("Relu", "Identity", "Quant8", "Gemm"),
    ]


def test_pixels_of_a_flattened_channel_share_its_precision() -> None:
    model = frozen("lenet")
    layer = dict(layers(model))["fc1"]
    assert isinstance(layer, QuantLinear) and layer.weight.shape == (20, 32)
    assert layer.precision.s.numel() == 8 and layer.weights_per_channel() == 20 * 4
    spread = layer.spread(layer.precision.bits)[0]
    assert spread.tolist() == [bits for bits in layer.precision.bits.tolist() for _ in range(4)]
    every = sum(layer.weight.numel() for _, layer in hidden_layers(model))
    assert Costs(model)._all_weights == every


def test_sensitivity_counts_all_pixels_of_a_flattened_channel() -> None:
    twin, x = twin_of("lenet")
    model = prepared(twin)
    calibrate(model, x, 4)
    found = sensitivity(model, x, (2, 4))
    shapes = {precision.s.numel(): tuple(part.shape) for precision, part in found.items()}
    assert shapes == {6: (6, 2), 8: (8, 2), 20: (20, 2)}
    assert all((part > 0).any() for part in found.values())


@pytest.mark.parametrize("frozen", [False, True])
def test_relu6_limits_alpha(frozen: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = sysmol.prepare(
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU6(), nn.Conv2d(4, 5, 1), nn.Flatten())
    )
    quant = model.get_submodule("_1_quant")
    assert isinstance(quant, ActivationQuant) and quant.limit == 6
    x = torch.rand(8, 3, 2, 2)
    with torch.no_grad():
        model.get_submodule("0").bias.fill_(9.0)  # type: ignore[union-attr, operator]
    calibrate(model, x)
    assert 5.5 < quant.scale.item() <= 6
    if frozen:
        freeze(model)
    with torch.no_grad():
        quant.scale.fill_(7.0)
    assert quant.alpha.item() == 6
    seen = quant.train()(torch.full((1, 4, 2, 2), 5.9))
    seen.square().sum().backward()
    assert quant.scale.grad is not None and quant.scale.grad.abs() > 0
    assert seen.max() <= 6 * (1 + 2**-7)
    project(model)
    assert quant.scale.item() == 6


class Summed(nn.Module):
    """A residual sum around ``branch``, of what ``first`` makes."""

    def __init__(self, first: nn.Module, branch: nn.Module, after: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.branch = first, branch
        self.after = after or nn.Identity()
        self.last = nn.Conv2d(4, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.after(self.first(x))
        y = self.after(y + self.branch(y))
        z: torch.Tensor = self.last(y)
        return z


def conv(inputs: int = 4) -> nn.Module:
    return nn.Conv2d(inputs, 4, 3, padding=1)


@pytest.mark.parametrize(
    "model",
    [
        Summed(nn.Sequential(conv(3), nn.ReLU6()), conv()),  # as codes
        Summed(nn.Sequential(conv(3), nn.MaxPool2d(2), nn.ReLU()), conv()),
        Summed(nn.Sequential(conv(3), nn.ReLU(), nn.AvgPool2d(2)), conv()),
        Summed(conv(3), nn.Sequential(conv(), nn.ReLU())),
        Summed(conv(3), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), conv())),
        Summed(conv(3), conv(), nn.ReLU()),
        Summed(conv(3), conv(), nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.ReLU())),
        Summed(nn.Identity(), nn.Sequential(conv(4), nn.ReLU())),  # the image itself
    ],
)
def test_sums_of_every_kind_run_in_integers(model: nn.Module, tmp_path: Path) -> None:
    torch.manual_seed(0)
    inputs = next(m for m in model.modules() if isinstance(m, nn.Conv2d)).in_channels
    x = torch.rand(8, inputs, 6, 6)
    model = sysmol.prepare(model.train())
    calibrate(model, x)
    model(x)
    freeze(model)
    calibrate_carrier(model, x)
    sysmol.export(model.eval(), tmp_path / "net.onnx", (inputs, 6, 6))
    network = IntegerNetwork.from_onnx(tmp_path / "net.onnx")
    forced = Forced(model.double(), network.trace(x.numpy()))
    outputs = forced.run(x.double()).detach().numpy()
    np.testing.assert_allclose(network.run(x.numpy()), outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Summed(nn.Sequential(conv(3), nn.MaxPool2d(2)), conv()), "put a ReLU behind it"),
        (Summed(nn.Sequential(conv(3), nn.Flatten()), nn.Linear(144, 144)), "the flattening"),
        (Summed(conv(3), Summed(nn.BatchNorm2d(4), conv())), "between two residual sums"),
    ],
)
def test_sums_that_no_carrier_carries_are_named(model: nn.Module, reason: str) -> None:
    with pytest.raises(SysmolError, match=reason) as caught:
        sysmol.prepare(model)
    assert "\n" not in str(caught.value)
