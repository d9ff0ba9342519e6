"""Budgets: what is counted, how lambda is steered, that the target is met."""

from __future__ import annotations

import doctest
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import sysmol
from sysmol import SysmolError, budget
from sysmol.budget import Budget, Controller, Costs, Unit, settle, stored_bytes
from sysmol.layers import ChannelPrecision
from sysmol.models import PreResNet
from sysmol.patterns import PATTERN_SETS
from sysmol.prepare import bits_term, calibrate, freeze, mean_bits, project


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def prepared(widths: tuple[int, ...] = (8, 12, 16), spread: bool = True) -> nn.Module:
    torch.manual_seed(2)
    model = sysmol.prepare(PreResNet(1, widths))
    if spread:
        for precision in learned(model):
            nn.init.uniform_(precision.s, -4, 2)
    return model


def learned(model: nn.Module) -> list[ChannelPrecision]:
    return [m for m in model.modules() if isinstance(m, ChannelPrecision) and m.learned]


def test_bits_are_counted_exactly_and_their_term_is_that_of_the_method() -> None:
    model = prepared()
    costs = Costs(model)
    assert costs.total(costs.assigned()) == pytest.approx(mean_bits(model))
    torch.testing.assert_close(costs.term(), bits_term(model))
    assert (costs.lowest, costs.highest, costs.per_bit()) == (1, 4, 1)


def test_controller_follows_its_ramp_both_ways() -> None:
    controller = Controller(Costs(prepared(spread=False)), 2.0)
    start = controller.strength()
    controller.update(0.9)  # 4 bits, 2 wanted
    assert controller.state["error"] == pytest.approx(2) and controller.strength() > start
    controller.target = 8
    controller.update(0.9)
    assert controller.state["error"] == pytest.approx(-4) and controller.strength() < start


def trained_bits(strength: float) -> float:
    """Mean implied bits after a few steps of phase 1 with a fixed lambda."""
    model = prepared((4, 4, 4), spread=False)
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(16, 1, 12, 12, generator=generator)
    y = torch.randint(0, 10, (16,), generator=generator)
    calibrate(model, x)
    optimizer = torch.optim.Adam(
        [
            {"params": [p for n, p in model.named_parameters() if not n.endswith(".s")]},
            {"params": [p.s for p in learned(model)], "lr": 0.05},
        ]
    )
    model.train()
    torch.manual_seed(1)
    for _ in range(25):
        loss = functional.cross_entropy(model(x), y) + strength * bits_term(model)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        project(model)
    return float(torch.cat([p.implied().detach() for p in learned(model)]).mean())


def test_more_lambda_means_fewer_bits() -> None:
    found = [trained_bits(strength) for strength in (0.0, 3e-6, 3e-5, 3e-4)]
    assert all(a > b for a, b in itertools.pairwise(found)), found


@pytest.mark.parametrize("target", [1.3, 1.75, 2.5, 3.2])
@pytest.mark.parametrize("patterns", [None, "words", "two"])
def test_settling_meets_the_target_and_keeps_the_learned_order(
    target: float, patterns: str | None
) -> None:
    model = prepared((16, 32, 48))
    before = [(p, p.implied().detach()) for p in learned(model)]
    constraint = PATTERN_SETS[patterns] if patterns else None
    reached = settle(model, Costs(model), target, constraint)
    assert reached == pytest.approx(mean_bits(model))
    assert abs(reached - target) <= 0.03 * target
    for precision, implied in before:
        assert precision.frozen and not precision.s.requires_grad
        order = precision.bits[implied.argsort()]
        assert (order.diff() >= 0).all()
        if constraint is not None:
            counts = tuple(int((precision.bits == p).sum()) for p in (1, 2, 4))
            assert constraint.solve(counts) == counts


def test_stored_bytes_are_those_of_the_compiler(tmp_path: Path) -> None:
    model = prepared((16, 16, 16))
    settle(model, Costs(model), 2.0)
    counted = stored_bytes(model, "x86-64-avx512")
    report = sysmol.compile(model, tmp_path / "net.smol", targets=["x86-64-avx512"], golden_pairs=0)
    assert report.weight_bytes <= counted <= 1.03 * report.weight_bytes


def test_a_size_budget_is_met_by_measuring() -> None:
    model = prepared((16, 32, 32))
    costs = Costs(model, Unit.SIZE, budget.measure_for(Unit.SIZE, "x86-64-avx512"))
    # The model is exact at its ends.
    assert costs.total([torch.full_like(b, 4) for b in costs.assigned()]) == costs.highest
    target = 0.6 * costs.lowest + 0.4 * costs.highest
    reached = settle(model, costs, target)
    assert reached == stored_bytes(model, "x86-64-avx512")
    assert abs(reached - target) <= 0.03 * target


def test_latency_counts_a_channel_by_its_work() -> None:
    def seconds(model: nn.Module) -> float:
        # Any time that rises with multiply-accumulates times bits, with a constant part.
        bits = {p: p.bits for p in learned(model)}
        return 1e-4 + 1e-6 * sum(float(b.sum()) for b in bits.values())

    model = prepared((8, 8, 8))
    costs = Costs(model, Unit.LATENCY, seconds, (1, 28, 28))
    first, last = costs.per[0, 0], costs.per[-1, 0]
    # 28 x 28 pixels against 7 x 7, the same number of weights.
    assert float(first / last) == pytest.approx(16)
    target = 0.5 * (costs.lowest + costs.highest)
    reached = settle(model, costs, target)
    assert reached == pytest.approx(seconds(model)) and abs(reached - target) <= 0.03 * target


def with_tiles(model: nn.Module) -> float:
    """A time that falls to about half where all channels of a tensor have 4 bits."""

    def layer(bits: torch.Tensor) -> float:
        products = float((bits.float() ** 0.8).mean())
        return 0.55 * products if bool((bits == 4).all()) else products

    return 1e-4 * (0.2 + sum(layer(p.bits) for p in learned(model)))


@pytest.mark.parametrize("share", [0.02, 0.25, 0.45, 0.6, 0.8, 0.97, 1.0])
@pytest.mark.parametrize("apart", [False, True])  # do tensors reach 4 bits one by one?
def test_tiles_leave_no_gap_in_what_a_budget_can_be(share: float, apart: bool) -> None:
    model = prepared((64, 64, 64))
    for index, precision in enumerate(learned(model)):
        shift = 0.5 * index if apart else 0.0
        precision.s.data = torch.linspace(-4, 2, len(precision.s)) + shift
    costs = Costs(model, Unit.LATENCY, with_tiles)
    one_less = [torch.full_like(p.bits, 4) for p in costs.precisions]
    for bits in one_less:
        bits[3] = 2
    assert costs.highest == pytest.approx(costs.exact(model, one_less), rel=0.03)
    target = costs.lowest + share * (costs.highest - costs.lowest)
    costs.check(Budget(Unit.LATENCY, target))
    reached = settle(model, costs, target)
    assert reached == with_tiles(model) and abs(reached - target) <= 0.03 * target


def test_all_channels_get_4_bits_where_mixes_are_no_faster() -> None:
    model = prepared((64, 64, 64))
    costs = Costs(model, Unit.LATENCY, with_tiles)
    settle(model, costs, 1.01 * costs.uniform[4])
    assert all((p.bits == 4).all() for p in learned(model))


def test_a_time_between_tiles_and_the_costliest_mix_is_met() -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(1, 64, 3, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    shape = (1, 28, 28)
    model = sysmol.prepare(nn.Sequential(*layers))
    calibrate(model, torch.rand(4, *shape))
    measure = budget.measure_for(Unit.LATENCY, "x86-64-avx512", shape)
    costs = Costs(model, Unit.LATENCY, measure, shape)
    assert costs.highest > 1.3 * costs.uniform[4]  # it has a tiled layer
    for precision in learned(model):
        nn.init.uniform_(precision.s, -4, 2)
    target = 0.5 * (costs.uniform[4] + costs.highest)
    reached = settle(model, costs, target)
    assert abs(reached - target) <= 0.03 * target
    with pytest.raises(
        SysmolError, match=f"{costs.lowest * 1e3:.4f} ms to {costs.highest * 1e3:.4f} ms"
    ):
        costs.check(Budget(Unit.LATENCY, 1.1 * costs.highest))


def test_settling_twice_is_the_same_and_a_measured_network_is_left_alone() -> None:
    found = []
    for _ in range(2):
        model = prepared()
        state = {name: value.clone() for name, value in model.state_dict().items()}
        costs = Costs(model, Unit.SIZE, lambda m: 100.0 * mean_bits(m))
        assert all(torch.equal(value, state[n]) for n, value in model.state_dict().items())
        settle(model, costs, 190.0)
        found.append(torch.cat([p.bits for p in learned(model)]))
    assert torch.equal(found[0], found[1])


def test_budgets_out_of_reach_are_refused() -> None:
    costs = Costs(prepared())
    with pytest.raises(SysmolError, match=r"0.500 bits cannot be met: .* 1.000 bits to 4.000"):
        costs.check(Budget(Unit.BITS, 0.5))
    costs.check(Budget(Unit.BITS, 4.1))  # within the tolerance
    model = sysmol.prepare(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)))
    with pytest.raises(SysmolError, match="no layer whose precision is learned"):
        Costs(model)
    with pytest.raises(SysmolError, match="do not cost more"):
        Costs(prepared(), Unit.SIZE, lambda m: 1.0)


@pytest.mark.parametrize(
    ("text", "value"), [("100KB", 1e5), ("64 KiB", 65536), (".5mb", 5e5), ("12B", 12)]
)
def test_sizes(text: str, value: float) -> None:
    assert budget.parse_size(text) == value


@pytest.mark.parametrize("text", ["", "100", "KB", "-1KB", "1e3KB", "1KB2", "0KB", "infKB"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(SysmolError, match="give for example"):
        budget.parse_size(text)


def test_a_prepared_network_freezes_without_a_budget() -> None:
    model = prepared()
    expected = np.concatenate([p.assigned().numpy() for p in learned(model)])
    freeze(model)
    assert (np.concatenate([p.bits.numpy() for p in learned(model)]) == expected).all()


def test_examples_in_the_text() -> None:
    assert doctest.testmod(budget).failed == 0
