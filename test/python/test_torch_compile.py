"""``torch.compile`` of a prepared network: one graph, the same numbers, fresh noise."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import _dynamo as dynamo
from torch import fx, nn
from torch.nn import functional

import sysmol
from sysmol.layers import uniform_noise
from sysmol.models import PreResNet
from sysmol.prepare import calibrate, calibrate_carrier, freeze

Forward = Callable[[torch.Tensor], torch.Tensor]

_COMPILER = shutil.which(os.environ.get("CXX", "g++"))


def chain() -> nn.Module:
    """Few layers: inductor takes seconds for each."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip


def residual() -> nn.Module:
    """All kinds of layers."""
    return PreResNet(1, (4, 6))


_CASES = [
    ("aot_eager", residual),
    pytest.param(
        "inductor", chain, marks=pytest.mark.skipif(not _COMPILER, reason="no C++ compiler")
    ),
]


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    dynamo.reset()
    torch.set_num_threads(1)
    yield
    dynamo.reset()


def prepared(x: torch.Tensor, make: Callable[[], nn.Module] = residual) -> fx.GraphModule:
    """A small network whose statistics are those of ``x``."""
    torch.manual_seed(2)
    model = sysmol.prepare(make()).train()
    for _ in range(20):
        model(x)
    calibrate(model, x)
    return model


def gradients(forward: Forward, model: fx.GraphModule, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of all that is trained: weights, scales, alpha, s."""
    model.zero_grad(set_to_none=True)
    torch.manual_seed(1)
    labels = torch.arange(len(x)) % 10
    functional.cross_entropy(forward(x), labels).backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("backend", "make"), _CASES)
def test_both_phases_train_and_evaluate_as_without(
    backend: str, make: Callable[[], nn.Module]
) -> None:
    torch.manual_seed(0)
    x = torch.rand(8, 1, 12, 12)
    model = prepared(x, make)
    assert model(x).std(0).max() > 1e-3, "a dead network compares nothing"
    # fullgraph: a break of the graph is an error.
    compiled: Forward = torch.compile(model, backend=backend, fullgraph=True)
    for phase in (1, 2):
        if phase == 2:
            freeze(model)
        found, wanted = gradients(compiled, model, x), gradients(model, model, x)
        assert found.keys() == wanted.keys()
        kinds = {name.rpartition(".")[2] for name in found}
        assert {"weight", "bias", "scale"} <= kinds and ("s" in kinds) == (phase == 1)
        for name, gradient in found.items():
            # Sums in another order; a value on a boundary may fall to its other side.
            error = (gradient - wanted[name]).norm() / wanted[name].norm().clamp_min(1e-6)
            assert error < 1e-3, name
        # The same seed draws the same noise, compiled or not; without one each call has its own.
        torch.manual_seed(4)
        first, second = compiled(x), compiled(x)
        torch.manual_seed(4)
        torch.testing.assert_close(first, model(x), rtol=1e-4, atol=1e-5)
        assert torch.equal(first, second) == (phase == 2)
    calibrate_carrier(model, x)
    model.eval()
    with torch.no_grad():
        if backend == "aot_eager":
            assert torch.equal(compiled(x), model(x))
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-5)


def test_a_phase_compiles_once() -> None:
    x = torch.rand(8, 1, 12, 12)
    model = prepared(x)
    counter = dynamo.testing.CompileCounterWithBackend("eager")
    compiled: Forward = torch.compile(model, backend=counter, fullgraph=True)
    for _ in range(3):
        compiled(x)
    assert counter.frame_count == 1
    freeze(model)
    for _ in range(3):
        compiled(x)
    assert counter.frame_count == 2
    # So does loading a frozen network into one that is compiled.
    other = prepared(x)
    fresh: Forward = torch.compile(other, backend=counter, fullgraph=True)
    fresh(x)
    other.load_state_dict(model.state_dict())
    assert torch.equal(fresh(x), fresh(x))


def test_two_draws_of_one_shape_stay_two_draws() -> None:
    like = torch.zeros(40)

    @torch.compile(backend="aot_eager", fullgraph=True)
    def two(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return uniform_noise(x), uniform_noise(x)

    torch.manual_seed(5)
    first, second = two(like)
    assert not torch.equal(first, second)
    torch.manual_seed(5)
    assert torch.equal(first, uniform_noise(like)) and torch.equal(second, uniform_noise(like))
