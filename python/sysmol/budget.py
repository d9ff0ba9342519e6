"""Budgets in bits, bytes or seconds: what a choice of precisions costs, and how to meet a target.

Bits are counted exactly. Bytes and seconds are the compiler's own: the constants that it stores for
the network, and the time that its cost table predicts. Compiling at each training step would be too
slow, so :class:`Costs` is a linear model of them, one cost for each channel and level, fitted to
the network at each uniform precision; :func:`settle` corrects it by measuring the real thing.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import torch
from torch import nn

from sysmol.errors import SysmolError
from sysmol.layers import ChannelPrecision, QuantLayer
from sysmol.patterns import LEVELS, Constraint, promote
from sysmol.prepare import freeze, hidden_layers

__all__ = [
    "Budget",
    "Controller",
    "Costs",
    "Measure",
    "Unit",
    "measure_for",
    "parse_latency",
    "parse_size",
    "predicted_seconds",
    "settle",
    "settle_by",
    "stored_bytes",
]

TOLERANCE = 0.03
"""Share of the target by which a met budget may be missed."""

_FIRST_STRENGTH = 1e-7  # design §5: lambda of the CIFAR recipe
_GOOD_ENOUGH = 0.003
_ROUNDS = 5

Measure = Callable[[nn.Module], float]
"""Cost of a prepared network whose precisions are all set."""

Bits = list[torch.Tensor]
"""One int64 [C] for each learned tensor, on the CPU."""


class Unit(Enum):
    """What a budget counts."""

    BITS = "bits"
    SIZE = "size"
    LATENCY = "latency"


@dataclass(frozen=True)
class Budget:
    """What the trained network may cost.

    Attributes
    ----------
    unit : Unit
    target : float
        Mean bits of a hidden weight, stored bytes, or seconds of one call.
    """

    unit: Unit
    target: float

    def show(self, value: float) -> str:
        """``value`` for people."""
        if self.unit is Unit.BITS:
            return f"{value:.3f} bits"
        return f"{value:,.0f} bytes" if self.unit is Unit.SIZE else f"{value * 1e3:.4f} ms"


def _scaled(text: str, units: dict[str, float], example: str) -> float:
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Zµ]+)\s*", text)
    factor = units.get(match[2].lower()) if match else None
    value = float(match[1]) * factor if match and factor else 0.0
    if not value > 0:
        raise SysmolError(f"'{text}' is not understood: give for example {example}")
    return value


def parse_size(text: str) -> float:
    """Bytes: ``100KB`` is 100,000, ``100KiB`` 102,400.

    >>> parse_size("1.5 KiB")
    1536.0
    """
    units = {"b": 1.0, "kb": 1e3, "mb": 1e6, "kib": 1024.0, "mib": 1024.0**2}
    return _scaled(text, units, "100KB or 64KiB")


def parse_latency(text: str) -> float:
    """Seconds.

    >>> parse_latency("2ms")
    0.002
    """
    units = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
    return _scaled(text, units, "0.2ms or 150us")


# What the compiler says -------------------------------------------------------------------------

_CONSTANT = re.compile(r"arith\.constant dense<(.*?)> : tensor<([0-9x]+)x(i8|i16|i32|i64|f32)>")
_WIDTH = {"i8": 1, "i16": 2, "i32": 4, "i64": 8, "f32": 4}
_ALIGNMENT = 8


def stored_bytes(
    model: nn.Module, target: str, image_shape: tuple[int, int, int] = (1, 28, 28)
) -> float:
    """Bytes of packed weights with their padding, scales and tables.

    The constants of the compiler's packed phase, equal ones once. Later phases fold a few index
    tables (0.9 % of the network of the zoo): this is an upper bound that takes no code generation.
    """
    from sysmol.compile import compile

    with tempfile.TemporaryDirectory(prefix="sysmol-") as folder:
        path = Path(folder) / "packed.mlir"
        compile(model, path, targets=[target], emit="mlir", golden_pairs=0, image_shape=image_shape)
        text = path.read_text()
    sizes = {}
    for content, shape, kind in _CONSTANT.findall(text):
        count = math.prod(int(n) for n in shape.split("x"))
        size = -(-count * _WIDTH[kind] // _ALIGNMENT) * _ALIGNMENT
        sizes[content, size] = size
    return float(sum(sizes.values()))


def predicted_seconds(
    model: nn.Module, target: str, image_shape: tuple[int, int, int] = (1, 28, 28)
) -> float:
    """Time of one call that the compiler's cost table predicts, over all layers of a bundle."""
    from sysmol.compile import compile
    from sysmol.runtime import inspect

    with tempfile.TemporaryDirectory(prefix="sysmol-") as folder:
        path = Path(folder) / "net.smol"
        compile(model, path, targets=[target], golden_pairs=0, image_shape=image_shape)
        layers = inspect(path).metadata["layers"]
    if any("predicted_ns" not in layer for layer in layers):
        raise SysmolError("this build of the compiler predicts no times: use --bits or --size")
    return sum(int(layer["predicted_ns"]) for layer in layers) / 1e9


def measure_for(
    unit: Unit, target: str, image_shape: tuple[int, int, int] = (1, 28, 28)
) -> Measure | None:
    """How costs of this unit are measured; nothing for bits, which the linear model counts."""
    if unit is Unit.BITS:
        return None
    measure = stored_bytes if unit is Unit.SIZE else predicted_seconds
    return lambda model: measure(model, target, image_shape)


# The linear model -------------------------------------------------------------------------------


def _readers(model: nn.Module) -> dict[ChannelPrecision, list[QuantLayer]]:
    """Learned tensors, in order, and the layers that read them."""
    found: dict[ChannelPrecision, list[QuantLayer]] = {}
    for _, layer in hidden_layers(model):
        found.setdefault(layer.precision, []).append(layer)
    if not found:
        raise SysmolError("budget: the model has no layer whose precision is learned")
    return found


@contextmanager
def _held(precisions: Sequence[ChannelPrecision], bits: Bits) -> Iterator[None]:
    """The network with these precisions, for as long as the block lasts."""
    before = [precision.bits.clone() for precision in precisions]
    try:
        for precision, chosen in zip(precisions, bits, strict=True):
            precision.bits.copy_(chosen)
        yield
    finally:
        for precision, old in zip(precisions, before, strict=True):
            precision.bits.copy_(old)


@torch.no_grad()
def _positions(model: nn.Module, layers: Sequence[QuantLayer], image: torch.Tensor) -> list[int]:
    """Output pixels of one image for each layer."""
    seen: dict[int, int] = {}

    def note(layer: nn.Module, inputs: object, output: torch.Tensor) -> None:
        del inputs
        assert isinstance(layer, QuantLayer)
        seen[id(layer)] = output[0].numel() // layer.weight.shape[0]

    hooks = [layer.register_forward_hook(note) for layer in layers]
    was = model.training
    try:
        model.eval()(image)
    finally:
        model.train(was)
        for hook in hooks:
            hook.remove()
    return [seen[id(layer)] for layer in layers]


class Costs:
    """What each channel of each learned tensor costs at each level: a linear model.

    Parameters
    ----------
    model : nn.Module
        As :func:`sysmol.prepare` made it.
    unit : Unit
    measure : Measure, optional
        See :func:`measure_for`; called once for each level here.
    image_shape : tuple of int
        What the network takes; only for latency.
    levels : tuple of int
        Precisions that channels can have.
    """

    def __init__(
        self,
        model: nn.Module,
        unit: Unit = Unit.BITS,
        measure: Measure | None = None,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        levels: Sequence[int] = LEVELS,
    ) -> None:
        readers = _readers(model)
        if measure is not None:
            from sysmol.export import check_writable

            check_writable(model)
        self.precisions = list(readers)
        self.levels = tuple(levels)
        self.measure = measure
        channels = [precision.s.numel() for precision in self.precisions]
        weights = [
            float(sum(layer.weights_per_channel() for layer in layers))
            for layers in readers.values()
        ]
        self.weights = torch.tensor(weights, dtype=torch.float64)
        self._all_weights = float((self.weights * torch.tensor(channels)).sum())
        share = self.weights / self._all_weights
        uniform = [float(level) for level in self.levels]
        if measure is not None:
            if unit is Unit.LATENCY:
                share = self._shares_of_work(model, readers, image_shape)
            uniform = []
            for level in self.levels:
                with _held(self.precisions, [torch.full((n,), level) for n in channels]):
                    uniform.append(measure(model))
        # [T, L]; a channel's share of what the network costs when all have that level.
        self.per = share[:, None] * torch.tensor(uniform, dtype=torch.float64)
        self.lowest, self.highest = uniform[0], uniform[-1]
        if not self.lowest < self.highest:
            raise SysmolError("budget: more bits do not cost more here")

    def _shares_of_work(
        self,
        model: nn.Module,
        readers: dict[ChannelPrecision, list[QuantLayer]],
        image_shape: tuple[int, int, int],
    ) -> torch.Tensor:
        every = [layer for layers in readers.values() for layer in layers]
        device = every[0].weight.device
        pixels = _positions(model, every, torch.zeros(1, *image_shape, device=device))
        work = dict(zip(map(id, every), pixels, strict=True))
        macs = [
            float(sum(layer.weights_per_channel() * work[id(layer)] for layer in layers))
            for layers in readers.values()
        ]
        per = torch.tensor(macs, dtype=torch.float64)
        channels = torch.tensor([precision.s.numel() for precision in readers])
        return per / (per * channels).sum()

    def total(self, bits: Bits) -> float:
        """Cost of these precisions."""
        counts = torch.stack(
            [torch.stack([(b == level).sum() for level in self.levels]) for b in bits]
        )
        return float((counts * self.per).sum())

    def assigned(self) -> Bits:
        """Precisions as of now, by the method's thresholds."""
        return [precision.assigned().cpu() for precision in self.precisions]

    def per_bit(self) -> float:
        """What one more bit for all channels costs on average."""
        return (self.highest - self.lowest) / (self.levels[-1] - self.levels[0])

    def check(self, budget: Budget) -> None:
        """Refuse a target that no choice of precisions meets."""
        if not self.lowest * (1 - TOLERANCE) <= budget.target <= self.highest * (1 + TOLERANCE):
            raise SysmolError(
                f"the budget of {budget.show(budget.target)} cannot be met: this network takes "
                f"{budget.show(self.lowest)} to {budget.show(self.highest)}"
            )

    def term(self) -> torch.Tensor:
        """The loss term of phase 1, differentiable in every ``s``.

        ``sum of -log2 sigmoid(s)`` over weights, each channel's part in proportion to what a bit
        costs there; in the unit of bits it is :func:`sysmol.prepare.bits_term`.
        """
        price = self.per[:, -1] - self.per[:, 0]
        channels = torch.tensor([precision.s.numel() for precision in self.precisions])
        price = price * (self._all_weights / (price * channels).sum())
        terms = [
            (precision.implied() - 1).sum() * float(weight)
            for precision, weight in zip(self.precisions, price, strict=True)
        ]
        return torch.stack(terms).sum()


class Controller:
    """Steers lambda so that the cost follows a ramp down to the target (phase 1).

    A fixed lambda ends wherever the data lets it; this one reaches a budget in one run. The ramp
    goes from all channels at 4 bits at a tenth of the phase to the target at seven tenths. With the
    error counted in mean bits, the integral part multiplies lambda by ``exp(0.02 * error)`` at each
    step, the proportional part by ``exp(error)``.
    """

    def __init__(self, costs: Costs, target: float) -> None:
        self.costs, self.target = costs, target
        self.state: dict[str, float] = {"log_strength": math.log(_FIRST_STRENGTH), "error": 0.0}

    def strength(self) -> float:
        """The lambda of this step."""
        return math.exp(self.state["log_strength"] + self.state["error"])

    def update(self, progress: float) -> None:
        """Measure, after an optimizer step."""
        ramp = min(1.0, max(0.0, (progress - 0.1) / 0.6))
        aim = self.costs.highest + ramp * (self.target - self.costs.highest)
        cost = self.costs.total(self.costs.assigned())
        self.state["error"] = (cost - aim) / self.costs.per_bit()
        self.state["log_strength"] += 0.02 * self.state["error"]


# Meeting the target -----------------------------------------------------------------------------


def _nearest(choose: Callable[[float], Bits], costs: Costs, target: float, ends: float) -> Bits:
    """What ``choose`` gives nearest to ``target``; its cost rises with its argument."""
    low, high = -ends, ends
    tried = [choose(0.0)]
    for _ in range(50):
        middle = (low + high) / 2
        tried.append(choose(middle))
        low, high = (middle, high) if costs.total(tried[-1]) < target else (low, middle)
    return min(tried, key=lambda bits: abs(costs.total(bits) - target))


@torch.no_grad()
def settle_by(
    model: nn.Module,
    costs: Costs,
    target: float,
    choose: Callable[[float], Bits],
    ends: float = 64.0,
) -> float:
    """Freeze the network at precisions that ``choose`` offers near the target; give their cost.

    Parameters
    ----------
    choose : callable
        From a number in [-ends, ends] to precisions; the greater, the more bits.

    Notes
    -----
    With a measure, the linear model is scaled by what was measured and the search repeated, until
    the target is met within 0.3 % or nothing changes.
    """
    ratio, best, seen = 1.0, (math.inf, 0.0, [torch.zeros(0)]), set()
    for _ in range(_ROUNDS):
        bits = _nearest(choose, costs, target / ratio, ends)
        key = b"".join(b.to(torch.int8).numpy().tobytes() for b in bits)
        if key in seen:
            break
        seen.add(key)
        exact = costs.total(bits)
        if costs.measure is not None:
            with _held(costs.precisions, bits):
                exact = costs.measure(model)
            ratio = exact / costs.total(bits)
        if abs(exact - target) < best[0]:
            best = (abs(exact - target), exact, bits)
        if costs.measure is None or best[0] <= _GOOD_ENOUGH * target:
            break
    for precision, chosen in zip(costs.precisions, best[2], strict=True):
        precision.bits.copy_(chosen)
    freeze(model)
    return best[1]


@torch.no_grad()
def settle(
    model: nn.Module, costs: Costs, target: float, constraint: Constraint | None = None
) -> float:
    """End phase 1: precisions become final, at the target, as the hardware wants them.

    The controller ends near its target, not on it, and promotion adds bits. So one number is added
    to the implied precision of all channels alike, the one that brings the cost, after promotion,
    nearest to the target. The learned order of the channels stays.

    Parameters
    ----------
    constraint : Constraint, optional
        Patterns that channels are promoted to, see :mod:`sysmol.patterns`.

    Returns
    -------
    float
        The cost that was reached, in the unit of ``target``.
    """
    implied = [precision.implied().cpu().double() for precision in costs.precisions]

    def choose(shift: float) -> Bits:
        found = []
        for p in implied:
            q = p + shift
            bits = torch.where(q > 3, 4, torch.where(q > 1.5, 2, 1))
            if constraint is not None:
                bits = torch.from_numpy(promote(bits.numpy(), q.numpy(), constraint))
            found.append(bits)
        return found

    return settle_by(model, costs, target, choose, ends=16.0)
