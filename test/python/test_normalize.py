"""Every way of writing a layer gives the same module, and what has no module is refused."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import fx, nn
from torch.nn import functional

import sysmol
from sysmol import SysmolError
from sysmol.export import build
from sysmol.layers import QuantLinear
from sysmol.normalize import normalize
from sysmol.prepare import calibrate, freeze, trace

Way = Callable[[torch.Tensor], torch.Tensor]


class Between(nn.Module):
    """``how`` between two layers."""

    def __init__(self, how: Way, columns: int | None = None) -> None:
        super().__init__()
        self.first, self.how = nn.Conv2d(3, 4, 3, padding=1), how
        self.last = nn.Linear(columns, 5) if columns else nn.Conv2d(4, 5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.last(self.how(self.first(x)))
        return y


def normal(model: nn.Module) -> tuple[fx.GraphModule, list[str]]:
    """The normal form, and its modules' types between the layers."""
    graph = trace(model.eval())
    normalize(graph)
    kinds = []
    for node in graph.graph.nodes:
        if node.op == "call_module":
            kinds.append(type(graph.get_submodule(str(node.target))).__name__)
        elif node.op not in ("placeholder", "output"):
            kinds.append(getattr(node.target, "__name__", str(node.target)))
    return graph, kinds[1:-1]


def iadd(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x += y
    return x


def pooled_twice(x: torch.Tensor) -> torch.Tensor:
    y = functional.max_pool2d(x, 2)
    return functional.relu(y) + y.relu()


class Twice(nn.Module):
    """Two clamps of what ``first`` makes."""

    def __init__(self, first: nn.Module, one: Way, other: Way) -> None:
        super().__init__()
        self.first, self.one, self.other = first, one, other

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x)
        return self.one(y) + self.other(y)


def dropped(kind: type[nn.Module]) -> nn.Module:
    return nn.Sequential(nn.MaxPool2d(2), kind())


@pytest.mark.parametrize(
    ("how", "columns", "kinds"),
    [
        (functional.relu, None, ["ReLU"]),
        (lambda x: functional.relu(x, inplace=True), None, ["ReLU"]),
        (functional.relu_, None, ["ReLU"]),
        (torch.relu, None, ["ReLU"]),
        (lambda x: x.relu(), None, ["ReLU"]),
        (lambda x: x.relu_(), None, ["ReLU"]),
        (lambda x: x.clamp(min=0), None, ["ReLU"]),
        (nn.ReLU(inplace=True), None, ["ReLU"]),
        (functional.relu6, None, ["ReLU6"]),
        (nn.Hardtanh(0, 6), None, ["Hardtanh"]),
        (lambda x: functional.hardtanh(x, 0, 6, inplace=True), None, ["ReLU6"]),
        (lambda x: torch.clamp(x, 0, 6), None, ["ReLU6"]),
        (lambda x: x.clamp(min=0, max=0.5), None, ["Hardtanh"]),
        (lambda x: functional.max_pool2d(x, 2), None, ["MaxPool2d"]),
        (lambda x: functional.max_pool2d(x, 3, 2, 1, ceil_mode=True), None, ["MaxPool2d"]),
        (lambda x: torch.max_pool2d(x, (3, 2), padding=(1, 0)), None, ["MaxPool2d"]),
        (lambda x: functional.avg_pool2d(x, 3, stride=1, padding=1), None, ["AvgPool2d"]),
        (lambda x: functional.adaptive_avg_pool2d(x, 4), None, ["AdaptiveAvgPool2d"]),
        (lambda x: functional.dropout(x, 0.3, training=False), None, []),
        (lambda x: torch.add(x, x.relu()), None, ["ReLU", "add"]),
        (lambda x: x.add(x.relu()), None, ["ReLU", "add"]),
        (lambda x: x.add_(x.relu()), None, ["ReLU", "add"]),
        (lambda x: iadd(x, x.relu()), None, ["ReLU", "add"]),
        (lambda x: torch.add(input=x, other=x.relu()), None, ["ReLU", "add"]),
        (lambda x: torch.relu_(input=x), None, ["ReLU"]),
        (lambda x: x.contiguous().relu(), None, ["ReLU"]),
        (lambda x: x.view(-1, 256).contiguous(), 256, ["Flatten"]),
        (pooled_twice, None, ["ReLU", "MaxPool2d", "add"]),
        (
            Twice(dropped(nn.Dropout), functional.relu, nn.ReLU()),
            None,
            ["ReLU", "MaxPool2d", "Dropout", "add"],
        ),
        (
            Twice(nn.Sequential(dropped(nn.Dropout2d), nn.Flatten()), functional.relu, nn.ReLU()),
            64,
            ["ReLU", "MaxPool2d", "Dropout2d", "Flatten", "add"],
        ),
        (
            lambda x: (
                functional.max_pool2d(x.relu(), 2) + functional.max_pool2d(functional.relu6(x), 2)
            ),
            None,
            ["ReLU", "MaxPool2d", "ReLU6", "MaxPool2d", "add"],
        ),
        (lambda x: torch.flatten(x, 1), 256, ["Flatten"]),
        (lambda x: torch.flatten(x, start_dim=1), 256, ["Flatten"]),
        (lambda x: x.flatten(1), 256, ["Flatten"]),
        (lambda x: x.view(x.size(0), -1), 256, ["Flatten"]),
        (lambda x: x.view(x.size()[0], 256), 256, ["Flatten"]),
        (lambda x: x.reshape(x.shape[0], -1), 256, ["Flatten"]),
        (lambda x: torch.reshape(x, (x.size(dim=0), -1)), 256, ["Flatten"]),
        (lambda x: x.view(-1, 256), 256, ["Flatten"]),
        (lambda x: x.view(-1, 256).relu(), 256, ["ReLU", "Flatten"]),
        (lambda x: x.mean((2, 3)), 4, ["AdaptiveAvgPool2d", "Flatten"]),
        (lambda x: torch.mean(x, dim=[-1, -2]), 4, ["AdaptiveAvgPool2d", "Flatten"]),
        (lambda x: x.mean([2, 3], keepdim=True).flatten(1), 4, ["AdaptiveAvgPool2d", "Flatten"]),
        (lambda x: functional.relu(functional.max_pool2d(x, 2)), None, ["ReLU", "MaxPool2d"]),
        (
            nn.Sequential(nn.MaxPool2d(2), nn.Dropout(), nn.ReLU()),
            None,
            ["ReLU", "MaxPool2d", "Dropout"],
        ),
        (
            nn.Sequential(nn.MaxPool2d(2), nn.Identity(), nn.ReLU6()),
            None,
            ["ReLU6", "MaxPool2d", "Identity"],
        ),
    ],
)
def test_normal_forms_compute_the_same(how: Way, columns: int | None, kinds: list[str]) -> None:
    torch.manual_seed(0)
    model = Between(how, columns).eval()
    x = torch.randn(3, 3, 8, 8) * 4
    graph, found = normal(model)
    assert found == kinds
    assert torch.equal(graph(x), model(x))
    assert not any(getattr(module, "inplace", False) for module in graph.modules())


class Shared(nn.Module):
    """In place on a tensor that is read again."""

    def __init__(self, view: bool) -> None:
        super().__init__()
        self.conv, self.relu, self.view = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), view

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        flat = y.flatten(1)
        z = self.relu(self.relu(y) - 1)
        return flat if self.view else y + z


def test_what_worked_in_place_is_read_by_all_that_followed() -> None:
    torch.manual_seed(0)
    model, x = Shared(False), torch.randn(2, 3, 5, 5)
    graph = trace(model)
    expected = model(x)
    normalize(graph)
    assert torch.equal(graph(x), expected)
    with pytest.raises(SysmolError, match="'relu' changes in place what 'output' reads"):
        normalize(trace(Shared(True)))


class Aliased(nn.Module):
    """In place on what a dropout gave, which is its input itself in evaluation."""

    def __init__(self, module: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 1)
        self.module, self.dropout = module, nn.Dropout()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x)
        z = self.dropout(y) if self.module else functional.dropout(y, training=self.training)
        functional.relu_(z)
        w: torch.Tensor = self.last(y)
        return w


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("module", [False, True])
def test_what_dropout_gives_is_not_changed_in_place(module: bool, training: bool) -> None:
    with pytest.raises(SysmolError, match="'relu_' changes in place what 'last' reads"):
        sysmol.prepare(Aliased(module).train(training))


class Unread(nn.Module):
    """Nobody reads what the operation in place returns, in a network with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x)
        functional.relu_(y)
        z: torch.Tensor = self.last(functional.dropout(y, training=self.training))
        return z


def test_operations_in_place_that_nobody_reads_stay() -> None:
    assert any(isinstance(module, nn.ReLU) for module in sysmol.prepare(Unread()).modules())


def test_sums_in_place_change_no_other_name_of_the_tensor() -> None:
    # As documented: torch.fx cannot see that they work in place.
    def how(x: torch.Tensor) -> torch.Tensor:
        y = old = x.relu()
        y += x
        return functional.max_pool2d(old, 2)

    graph, _ = normal(Between(how))
    assert operator.iadd not in {node.target for node in graph.graph.nodes}
    assert operator.add in {node.target for node in graph.graph.nodes}


def twice(x: torch.Tensor) -> torch.Tensor:
    y = functional.max_pool2d(x, 2)
    return y + functional.relu(y)


@pytest.mark.parametrize(
    ("how", "columns", "reason"),
    [
        (lambda x: functional.max_pool2d(x, 2, dilation=2), None, "dilation 1"),
        (lambda x: functional.max_pool2d(x, 2, return_indices=True)[0], None, "unsupported"),
        (lambda x: functional.dropout(x), None, "drops in evaluation"),
        (lambda x: x.clamp(-1, 1), None, "unsupported clamp"),
        (nn.Hardtanh(), None, "does not begin at 0"),
        (lambda x: x.view(-1, 4), 4, None),
        (lambda x: x.view(-1, 8).flatten(1), 4, "unsupported view"),
        (lambda x: x.view(x.size(0), 4, -1).mean(2), 4, "sizes of tensors"),
        (lambda x: x.mean(3).mean(2), 4, "unsupported mean"),
        (nn.Flatten(2), 64, "join all others"),
        (lambda x: functional.softmax(x, 1), None, "at the end only"),
        (lambda x: functional.avg_pool2d(x, x.size(3)), None, "sizes of tensors"),
        (lambda x: x.view(x.size(0), x.size(1) * x.size(2) * x.size(3)), 64, "sizes of tensors"),
        (lambda x: functional.avg_pool2d(x.relu(), 2, ceil_mode=True), None, "ceil_mode"),
        (lambda x: functional.avg_pool2d(x.relu(), 2, divisor_override=3), None, "divisor"),
        (
            lambda x: functional.avg_pool2d(x.relu(), 3, 1, 1, count_include_pad=False),
            None,
            "must count its padding",
        ),
        (lambda x: functional.avg_pool2d(x, 2), None, "put a ReLU in front of the pool"),
        (lambda x: functional.avg_pool2d(x, 2).relu(), None, "put a ReLU in front of the pool"),
        (lambda x: x.mean((2, 3)), 4, "put a ReLU in front of the pool"),
        (twice, None, "with and without the ReLU"),
        (
            Twice(dropped(nn.Identity), functional.relu, lambda x: x.relu() + x),
            None,
            "with and without the ReLU",
        ),
        (
            Twice(nn.MaxPool2d(2), functional.relu, functional.relu6),
            None,
            "'how_first' is read through different clamps, 'relu' and 'relu6': give each a max "
            "pool of its own, behind it",
        ),
        (
            Twice(nn.MaxPool2d(2), lambda x: x.flatten(1).relu(), lambda x: x.flatten(1).relu()),
            16,
            "'how_first' is read through several clamps, 'relu' and 'relu_1': give each",
        ),
        (nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(4)), None, "put it in front"),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4)), None, "put it in front"),
        (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64)), 64, "straight behind a Linear"),
    ],
)
def test_what_has_no_normal_form_is_named(
    how: Way, columns: int | None, reason: str | None
) -> None:
    model = Between(how, columns)
    if reason is None:  # an error as soon as it runs: the layer behind it is of another width
        with pytest.raises(RuntimeError):
            sysmol.prepare(model).eval()(torch.rand(1, 3, 4, 4))
        return
    with pytest.raises(SysmolError, match=reason) as caught:
        sysmol.prepare(model)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("prepare: ")


class Dropping(nn.Module):
    """Both dropouts as functions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.dropout2d(self.first(x), 0.2, self.training).flatten(1)
        y: torch.Tensor = self.last(functional.dropout(x, training=self.training))
        return y


@pytest.mark.parametrize("training", [False, True])
def test_functional_dropout_follows_the_mode(training: bool) -> None:
    torch.manual_seed(0)
    model = sysmol.prepare(Dropping().train(training))
    assert model.training == training
    for module in model.modules():
        if isinstance(module, QuantLinear):
            assert module.precision.bits.tolist() == [8] * 4
    x = torch.rand(2, 3, 4, 4)
    calibrate(model, x)
    freeze(model)
    assert torch.equal(model.eval()(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


@pytest.mark.parametrize("end", [nn.LogSoftmax(1), nn.Softmax(-1)])
def test_softmax_at_the_end_stays_in_pytorch_alone(end: nn.Module, tmp_path: Path) -> None:
    torch.manual_seed(0)
    twin = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 3), end)
    with pytest.warns(UserWarning, match="files end with the logits"):
        model = sysmol.prepare(twin)
    x = torch.rand(8, 3, 4, 4)
    calibrate(model, x)
    freeze(model)
    sysmol.export(model.eval(), tmp_path / "net.onnx", (3, 4, 4))
    logits = sysmol.IntegerNetwork.from_onnx(tmp_path / "net.onnx").run(x.numpy())
    torch.testing.assert_close(end(torch.from_numpy(logits)), model(x).detach())


def test_a_float_network_of_functions_is_exported_alike() -> None:
    torch.manual_seed(0)
    how: Way = lambda x: functional.max_pool2d(functional.relu6(x), 2)  # noqa: E731
    proto = build(Between(how), (3, 8, 8))
    assert [node.op_type for node in proto.graph.node] == ["Conv", "Clip", "MaxPool", "Conv"]
