"""Budgets in bits, bytes or seconds: what a choice of precisions costs, and how to meet a target.

Bits are counted exactly. Bytes and seconds are the compiler's own: the constants that it stores for
the network, and the time that its cost table predicts. Compiling at each training step would be too
slow, so :class:`Costs` is a linear model of them, one cost for each channel and level, fitted to
the network at each uniform precision; :func:`settle` corrects it by measuring the real thing.

Time is not linear in one respect: 3x3 windows whose channels all have 4 bits run as tiles, several
times faster than with one channel of less. The linear model is that of mixes.
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
_ROUNDS = 10
_TILED = 4  # bits that all channels of a tiled window have

Measure = Callable[[nn.Module], float]
"""Cost of a prepared network whose precisions are all set."""

Bits = list[torch.Tensor]
"""One int64 [C] for each learned tensor, on the CPU."""

Choice = Callable[[float], Bits]
"""From a number to precisions; the greater, the more bits."""


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
        See :func:`measure_for`; called once for each level here, and once more for latency.
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
            uniform = [
                self.exact(model, [torch.full((n,), level) for n in channels])
                for level in self.levels
            ]
        mixed = list(uniform)
        if self._may_tile(unit):
            mixed[self.levels.index(_TILED)] = self._untiled(model, share, uniform)
        # [T, L]; a channel's share of what the network costs when all have that level.
        self.per = share[:, None] * torch.tensor(mixed, dtype=torch.float64)
        self.uniform = dict(zip(self.levels, uniform, strict=True))
        self.cliff = mixed != uniform
        self.lowest, self.highest = min(uniform), max(mixed)
        if not self.lowest < self.highest:
            raise SysmolError("budget: more bits do not cost more here")

    def exact(self, model: nn.Module, bits: Bits) -> float:
        """Cost of these precisions, measured where there is a measure."""
        if self.measure is None:
            return self.total(bits)
        with _held(self.precisions, bits):
            return self.measure(model)

    def _may_tile(self, unit: Unit) -> bool:
        timed = unit is Unit.LATENCY and self.measure is not None
        return timed and _TILED in self.levels and len(self.levels) > 1

    def _untiled(self, model: nn.Module, share: torch.Tensor, uniform: list[float]) -> float:
        """Seconds at 4 bits, if no window were tiled.

        What a mix with an eighth of each tensor's channels at the next level takes, and that level
        alone, give a line.
        """
        index = self.levels.index(_TILED)
        beside = index - 1 if index else 1
        bits, rest = [], 1.0
        for precision, part in zip(self.precisions, share, strict=True):
            n = precision.s.numel()
            bits.append(torch.full((n,), _TILED))
            bits[-1][: max(1, n // 8)] = self.levels[beside]
            rest -= float(part) * max(1, n // 8)
        if rest < 0.5:  # tensors of a channel
            return uniform[index]
        line = uniform[beside] + (self.exact(model, bits) - uniform[beside]) / rest
        # Padding of words makes a few percent: no reason to give up the exact end.
        return line if line > (1 + TOLERANCE) * uniform[index] else uniform[index]

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


def _nearest(choose: Choice, costs: Costs, aim: float, low: float, high: float) -> float:
    """The number in [low, high] whose choice costs ``aim`` most nearly, by the linear model."""
    tried = []
    for _ in range(51):
        middle = (low + high) / 2
        cost = costs.total(choose(middle))
        tried.append((abs(cost - aim), middle))
        low, high = (middle, high) if cost < aim else (low, middle)
    return min(tried)[1]


def _key(bits: Bits) -> bytes:
    return b"".join(b.to(torch.int8).numpy().tobytes() for b in bits)


class _Search:
    """Compiles choices until one meets the target; :attr:`best` is the nearest one.

    Attributes
    ----------
    best : tuple of (list of Tensor, float)
        Precisions and their cost.
    """

    def __init__(self, model: nn.Module, costs: Costs, target: float) -> None:
        self.model, self.costs, self.target = model, costs, target
        self.known: dict[bytes, float] = {}
        self.best: tuple[Bits, float] = [], math.inf

    def met(self, tolerance: float = TOLERANCE) -> bool:
        """Whether the target is."""
        return abs(self.best[1] - self.target) <= tolerance * self.target

    def cost(self, bits: Bits) -> float:
        """What they cost; exact."""
        key = _key(bits)
        if key not in self.known:
            self.known[key] = self.costs.exact(self.model, bits)
            if abs(self.known[key] - self.target) < abs(self.best[1] - self.target):
                self.best = bits, self.known[key]
        return self.known[key]

    def along(self, choose: Choice, low: float, high: float) -> None:
        """Try choices of numbers in [low, high].

        The linear model, scaled by what was measured, says what to try first. Where it misleads,
        what it says of the choices between the nearest ones below and above is halved.
        """
        ratio, seen = 1.0, set()
        for index in range(_ROUNDS):
            first = index < _ROUNDS // 2
            ends = self.costs.total(choose(low)), self.costs.total(choose(high))
            aims = [sum(ends) / 2]
            if first and ends[0] <= self.target / ratio <= ends[1]:
                aims.insert(0, self.target / ratio)
            for aim in aims:
                x = _nearest(choose, self.costs, aim, low, high)
                bits = choose(x)
                if _key(bits) not in seen:
                    break
            else:
                break  # nothing else lies between
            seen.add(_key(bits))
            cost = self.cost(bits)
            if self.met(_GOOD_ENOUGH if first else TOLERANCE):
                return
            ratio = cost / self.costs.total(bits)
            low, high = (x, high) if cost < self.target else (low, x)
        if not self.met():
            # Many channels change at once here: tensors one by one.
            less, more = choose(low), choose(high)
            if len(less) > 1 and _key(less) != _key(more):
                self._tensors(less, more)

    def _tensors(self, less: Bits, more: Bits) -> None:
        low, high = 0, len(less)
        while high - low > 1 and not self.met():
            middle = (low + high) // 2
            below = self.cost(more[:middle] + less[middle:]) < self.target
            low, high = (middle, high) if below else (low, middle)


def _mixes(choose: Choice, ends: float) -> Choice:
    """The same, but a tensor that has 4 bits throughout keeps its nearest mix, if it has any.

    So no window is tiled, and costs rise with bits up to those of the costliest mix.
    """

    def edge(index: int, test: Callable[[torch.Tensor], bool]) -> Bits:
        """The last choice of a tensor without ``test``, the first with it."""
        low, high = -ends, ends
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (low, middle) if test(choose(middle)[index]) else (middle, high)
        return [choose(low)[index], choose(high)[index]]

    nearest: dict[int, torch.Tensor] = {}

    def mixed(x: float) -> Bits:
        found = choose(x)
        for index, bits in enumerate(found):
            if not _whole(bits):
                continue
            if index not in nearest:
                below, _ = edge(index, lambda b: bool((b >= _TILED).all()))
                _, above = edge(index, lambda b: bool((b > _TILED).any()))
                nearest[index] = above if _whole(below) else below
            found[index] = nearest[index]
        return found

    return mixed


def _whole(bits: torch.Tensor) -> bool:
    return bool((bits == _TILED).all())


@torch.no_grad()
def settle_by(
    model: nn.Module, costs: Costs, target: float, choose: Choice, ends: float = 64.0
) -> float:
    """Freeze the network at precisions that ``choose`` offers near the target; give their cost.

    Parameters
    ----------
    choose : callable
        From a number in [-ends, ends] to precisions; the greater, the more bits.

    Notes
    -----
    With a measure, choices are compiled until the target is met within 0.3 %, in the end within
    3 %, or nothing lies between those tried.
    """
    search = _Search(model, costs, target)
    if costs.measure is None:
        bits = choose(_nearest(choose, costs, target, -ends, ends))
        search.best = bits, costs.total(bits)
    elif costs.cliff:
        top = choose(ends)
        if all(map(_whole, top)) and abs(costs.uniform[_TILED] / target - 1) <= TOLERANCE:
            search.cost(top)  # mixes that take as long have fewer bits
        if not search.met():
            search.along(choose, -ends, ends)
        if not search.met():
            search.along(_mixes(choose, ends), -ends, ends)
    else:
        search.along(choose, -ends, ends)
    for precision, chosen in zip(costs.precisions, search.best[0], strict=True):
        precision.bits.copy_(chosen)
    freeze(model)
    return search.best[1]


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
