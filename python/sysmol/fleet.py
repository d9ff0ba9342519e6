"""Train many small networks at once on one GPU, each step one CUDA graph on a stream of its own.

A small network's step is hundreds of kernels of a few microseconds. Here all its parameters lie in
one vector, so that weights are quantized and the optimizer steps in a few kernels; the step waits
for the host nowhere, so that it is captured once and replayed. On a CPU the same code runs plainly;
only that is tested, as this has not yet run on a GPU.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from sysmol.errors import SysmolError
from sysmol.layers import ActivationQuant, ChannelPrecision, QuantLayer, _limits, _steps_per_scale
from sysmol.prepare import distillation, layers

__all__ = ["Batches", "Goal", "Images", "Kind", "Run", "Vector", "cosine"]

_FIRST_STRENGTH = 1e-7  # design §5: lambda of the CIFAR recipe
_TEMPERATURE = 2.0
_SHIFT = 2  # pixels by which augmentation moves an image at most
_SLICE = 64  # noise slices begin at multiples of so many bytes


class Kind(Enum):
    """What a run trains."""

    FLOAT = "float"
    NOISE = "noise"
    QUANT = "quant"


@dataclass(frozen=True)
class Goal:
    """How a run trains.

    Attributes
    ----------
    kind : Kind
    rate : float
        Largest learning rate; SGD with weight decay 5e-4 for ``sgd``, else Adam.
    sgd, distilled : bool
        The optimizer; whether the teacher's divergence is half of the loss.
    target_bits : float
        Mean bits per hidden weight that the noise phase aims at.
    """

    kind: Kind
    rate: float
    sgd: bool = False
    distilled: bool = False
    target_bits: float = 0.0


def cosine(steps: int, whole: int | None = None, warm: float = 0.03) -> torch.Tensor:
    """Factors of ``steps`` steps: a linear warm-up, then half a cosine that ends at ``whole``."""
    progress = (torch.arange(steps, dtype=torch.float64) + 0.5) / (whole or steps)
    rise = (progress / warm + 0.01).clamp(max=1)
    return (rise * 0.5 * (1 + torch.cos(math.pi * progress))).float()


def _one_channel(pixels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    # With strides that say "channels innermost", which all later tensors inherit.
    return (pixels.to(dtype) / 255).unsqueeze(-1).permute(0, 3, 1, 2)


class Images:
    """One part of the data on the device.

    Parameters
    ----------
    images : uint8 tensor [N, H, W]
    labels : int64 tensor [N]
    """

    def __init__(
        self, images: torch.Tensor, labels: torch.Tensor, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.classes = int(labels.max()) + 1
        self.images, self.labels = images.to(device), labels.to(device)
        self.padded = functional.pad(self.images, (_SHIFT,) * 4).flatten()
        self.height, self.width = images.shape[1:]
        self.dtype = dtype
        rows, columns = torch.arange(self.height), torch.arange(self.width)
        wide = self.width + 2 * _SHIFT
        self._rows = (rows * wide)[None, :, None].to(device)
        self._columns = columns[None, None, :].to(device)
        self._mirror = (self.width - 1 - 2 * columns)[None, None, :].to(device)

    def pick(self, table: torch.Tensor) -> torch.Tensor:
        """Augmented images [B, 1, H, W] in [0, 1], as ``table`` [4, B] says.

        Its rows are the indices, the shifts down and right, and whether to flip.
        """
        index, dy, dx, flip = table.view(4, -1, 1, 1).unbind(0)
        wide = self.width + 2 * _SHIFT
        start = index * (wide * (self.height + 2 * _SHIFT)) + dy * wide + dx
        place = start + self._rows + self._columns + flip * self._mirror
        return _one_channel(self.padded[place], self.dtype)

    def plain(self, start: int, stop: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Images as they are."""
        return _one_channel(self.images[start:stop], dtype or self.dtype)


class Batches:
    """One seed's order and augmentation of an epoch, and what its teachers say about it.

    All runs of a seed see the same batches, so that the teachers run once for all of them.
    """

    def __init__(self, train: Images, batch: int, seed: int) -> None:
        self.train, self.batch, self.seed = train, batch, seed
        self.steps = len(train.labels) // batch
        if self.steps == 0:
            raise SysmolError(f"batch {batch} is larger than {len(train.labels)} images")
        device = train.labels.device
        self.tables = torch.zeros(self.steps, 4, batch, dtype=torch.int64, device=device)
        self.teacher = torch.zeros(self.steps, batch, train.classes, device=device)

    @torch.no_grad()
    def draw(self, epoch: int, teachers: list[nn.Module]) -> None:
        """Fill the tables from (seed, epoch) alone; no run may be reading them."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
        order = torch.randperm(len(self.train.labels), generator=generator)
        shape = (self.steps, 2, self.batch)
        shifts = torch.randint(0, 2 * _SHIFT + 1, shape, generator=generator)
        flips = torch.randint(0, 2, (self.steps, 1, self.batch), generator=generator)
        order = order[: self.steps * self.batch].view(self.steps, 1, self.batch)
        self.tables.copy_(torch.cat([order, shifts, flips], 1))
        if not teachers:
            return
        group = max(1, 4096 // self.batch)
        for start in range(0, self.steps, group):
            part = self.tables[start : start + group]
            x = self.train.pick(part.transpose(0, 1).reshape(4, -1))
            logits = [teacher(x).float() for teacher in teachers]
            mean = torch.stack(logits).mean(0)
            self.teacher[start : start + group] = mean.view(len(part), self.batch, -1)


@dataclass
class _Piece:
    """One parameter in the vector: its name, shape and place."""

    name: str
    shape: tuple[int, ...]
    size: int

    def view(self, flat: torch.Tensor) -> torch.Tensor:
        """``flat`` [size] in the parameter's shape; convolutions keep their channels innermost."""
        if len(self.shape) == 4:
            out, inputs, height, width = self.shape
            return flat.view(out, height, width, inputs).permute(0, 3, 1, 2)
        return flat.view(self.shape)

    def flat(self, value: torch.Tensor) -> torch.Tensor:
        """The inverse of :meth:`view`."""
        if value.dim() == 4:
            value = value.permute(0, 2, 3, 1)
        return value.reshape(-1)


@dataclass
class _Segment:
    pieces: list[_Piece] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(piece.size for piece in self.pieces)

    def split(self, flat: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
        parts = torch.split(flat, [piece.size for piece in self.pieces])
        return ((piece.name, piece.view(part)) for piece, part in zip(self.pieces, parts))  # noqa: B905


class Vector:
    """All trained numbers of a network in one vector, and its weights as a forward pass uses them.

    The segments are ``hidden`` (weights whose precision is learned), ``ends`` (all other weights),
    ``plain`` (biases, batch norm), ``steps`` (weight scales), ``alphas`` and ``s``.
    """

    ORDER = ("hidden", "ends", "plain", "steps", "alphas", "s")

    def __init__(self, model: nn.Module, kind: Kind) -> None:
        self.model, self.kind = model, kind
        self.segments = {name: _Segment() for name in self.ORDER}
        modules = dict(model.named_modules())
        for name, parameter in model.named_parameters():
            owner, _, leaf = name.rpartition(".")
            segment = self._segment(modules[owner], leaf, parameter)
            if segment:
                piece = _Piece(name, tuple(parameter.shape), parameter.numel())
                self.segments[segment].pieces.append(piece)
        self._biases = [
            f"{name}.bias"
            for name, module in modules.items()
            if isinstance(module, (QuantLayer, nn.Conv2d, nn.Linear)) and module.bias is not None
        ]
        self.sizes = [self.segments[name].size for name in self.ORDER]
        known = dict(model.named_parameters())
        pieces = [piece for name in self.ORDER for piece in self.segments[name].pieces]
        with torch.no_grad():
            theta = torch.cat([piece.flat(known[piece.name].detach().float()) for piece in pieces])
        self.theta = theta.clone().requires_grad_()
        if kind is not Kind.FLOAT:
            self._index()

    def _segment(self, module: nn.Module, leaf: str, parameter: nn.Parameter) -> str | None:
        if isinstance(module, ChannelPrecision):
            return "s" if self.kind is Kind.NOISE and module.learned else None
        if isinstance(module, ActivationQuant):
            return "alphas" if parameter.requires_grad else None
        if isinstance(module, QuantLayer) and leaf == "scale":
            return "steps"
        if isinstance(module, QuantLayer) and leaf == "weight":
            return "hidden" if module.precision.learned else "ends"
        if isinstance(module, (nn.Conv2d, nn.Linear)) and leaf == "weight":
            return "ends"
        return "plain"

    def _index(self) -> None:
        """For every weight the place of its step size and ``s``, and its grid."""
        found = {f"{name}.weight": (name, layer) for name, layer in layers(self.model)}
        place = {piece.name: 0 for piece in self.segments["steps"].pieces}
        total = 0
        for piece in self.segments["steps"].pieces:
            place[piece.name] = total
            total += piece.size
        of_s: dict[int, int] = {}
        total = 0
        named = dict(self.model.named_modules())
        for piece in self.segments["s"].pieces:
            precision = named[piece.name.rpartition(".")[0]]
            of_s[id(precision)] = total
            total += piece.size
        device = self.theta.device
        channels: list[torch.Tensor] = []
        outs: list[torch.Tensor] = []
        bits: list[torch.Tensor] = []
        counts = torch.zeros(total, device=device)
        for piece in self.segments["hidden"].pieces + self.segments["ends"].pieces:
            name, layer = found[piece.name]
            size = piece.shape
            tail = [1] * (len(size) - 1)
            out = torch.arange(size[0], device=device).view(-1, *tail) + place[f"{name}.scale"]
            outs.append(piece.flat(out.expand(size)))
            bits.append(piece.flat(layer.spread(layer.precision.bits).expand(size)))
            first = of_s.get(id(layer.precision))
            if first is not None:
                count = layer.precision.s.numel()
                which = torch.arange(first, first + count, device=device)
                channels.append(piece.flat(layer.spread(which).expand(size)))
                counts[first : first + count] += layer.weights_per_channel()
        self.out = torch.cat(outs)
        self.channel = torch.cat(channels) if channels else None
        self.counts = counts
        p = torch.cat(bits)
        self.low, self.high, self.half = _limits(p, True)
        self.high = self.high + 2 * self.half
        self.ratio = _steps_per_scale(p, True)
        self.first_steps = self.part("steps").detach().clone()

    def part(self, name: str) -> torch.Tensor:
        """A segment of the vector."""
        start = sum(self.sizes[: self.ORDER.index(name)])
        return self.theta[start : start + self.segments[name].size]

    def _quantized(self, w: torch.Tensor, steps: torch.Tensor, where: slice) -> torch.Tensor:
        """As :meth:`sysmol.layers.QuantLayer.quantized`, for all weights at once."""
        low, high, half = self.low[where], self.high[where], self.half[where]
        step = steps.index_select(0, self.out[where]) * self.ratio[where]
        v = w / step
        rounded = torch.where(half > 0, v.floor() + half, v.round())
        clipped = torch.minimum(torch.maximum(v, low), high)
        target = torch.minimum(torch.maximum(rounded, low + half), high - half)
        return (clipped + (target - clipped).detach()) * step

    def parameters(self, noise: torch.Tensor | None, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """What a forward pass uses, by name; differentiable in ``theta``.

        Parameters
        ----------
        noise : float tensor, optional
            In [-1, 1], one for each hidden weight, in the noise phase's training.
        """
        hidden, ends, plain, steps, alphas, s = torch.split(self.theta, self.sizes)
        count = self.sizes[0]
        if self.kind is not Kind.FLOAT:
            ends = self._quantized(ends, steps, slice(count, None))
            if self.kind is Kind.QUANT:
                hidden = self._quantized(hidden, steps, slice(0, count))
            elif noise is not None:
                assert self.channel is not None
                width = self.first_steps.index_select(0, self.out[:count])
                sigma = torch.sigmoid(s).index_select(0, self.channel)
                hidden = hidden + width * sigma * noise
        weights = torch.cat([hidden, ends]).to(dtype)
        named = dict(
            _Segment(self.segments["hidden"].pieces + self.segments["ends"].pieces).split(weights)
        )
        rest = {"plain": plain, "steps": steps, "alphas": alphas, "s": s}
        for name, flat in rest.items():
            if self.segments[name].pieces:
                named.update(self.segments[name].split(flat))
        for name in self._biases:
            named[name] = named[name].to(dtype)
        return named

    @torch.no_grad()
    def store(self) -> None:
        """Write the vector back into the network's own parameters."""
        known = dict(self.model.named_parameters())
        for name in self.ORDER:
            for piece_name, value in self.segments[name].split(self.part(name).detach()):
                known[piece_name].copy_(value)

    def implied(self) -> torch.Tensor:
        """Real precision of each learned channel."""
        return 1 - functional.logsigmoid(self.part("s")) / math.log(2)

    def assigned(self) -> torch.Tensor:
        """Precision of each learned channel by the method's thresholds, as float."""
        p = self.implied().detach()
        return 1 + (p > 1.5).float() + 2 * (p > 3).float()

    def mean_bits(self) -> torch.Tensor:
        """Mean assigned bits of a hidden weight."""
        return (self.assigned() * self.counts).sum() / self.counts.sum()


def _call(model: nn.Module, parameters: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    # Tensors are tied here by tying modules. Tied again, they would be swapped back only once.
    y: torch.Tensor = functional_call(model, parameters, (x,), tie_weights=False)
    return y


class Run:
    """One network that trains.

    Parameters
    ----------
    name : str
    model : nn.Module
        On the device; prepared for the kinds NOISE and QUANT, and frozen for QUANT.
    goal : Goal
    batches : Batches
    factors : binary32 tensor [steps]
        Of the learning rate; see :func:`cosine`.
    """

    def __init__(
        self, name: str, model: nn.Module, goal: Goal, batches: Batches, factors: torch.Tensor
    ) -> None:
        self.name, self.model, self.goal, self.batches = name, model, goal, batches
        self.dtype = batches.train.dtype
        device = batches.train.labels.device
        self.device = device
        for _, layer in layers(model):
            layer.given = True
        for module in model.modules():
            # Counting batches would be one more kernel for each batch norm.
            if isinstance(module, nn.BatchNorm2d):
                module.num_batches_tracked = None
        self.vector = Vector(model, goal.kind)
        self.factors = factors.to(device)
        theta = self.vector.theta
        self.first, self.second = (torch.zeros_like(theta, requires_grad=False) for _ in range(2))
        self.rates = self._rates()
        self.count = torch.zeros(1, dtype=torch.int64, device=device)
        self.cursor = torch.zeros(1, dtype=torch.int64, device=device)
        self.loss = torch.zeros((), device=device)
        self.strength = torch.full((), math.log(_FIRST_STRENGTH), device=device)
        self.error = torch.zeros((), device=device)
        self.steps = len(factors)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream: torch.cuda.Stream | None = None
        self.generator = torch.Generator(device).manual_seed(batches.seed + 77)
        self.pool: torch.Tensor | None = None
        self.weight_bytes: torch.Tensor | None = None
        if goal.kind is Kind.NOISE:
            self._make_pool()

    def _rates(self) -> torch.Tensor:
        """The learning rate of every number, before the factor of the step."""
        rate = self.goal.rate
        noise = self.goal.kind is Kind.NOISE
        by_name = {"steps": 0.0 if noise else 0.1, "alphas": 5.0, "s": 30.0}
        parts = [
            torch.full((size,), rate * by_name.get(name, 1.0), device=self.device)
            for name, size in zip(Vector.ORDER, self.vector.sizes, strict=True)
        ]
        return torch.cat(parts)

    def _make_pool(self) -> None:
        """One buffer of noise bytes for all weights and activations of a step."""
        found: list[tuple[ActivationQuant, int]] = []
        hooks = [
            module.register_forward_pre_hook(
                lambda module, inputs: found.append((module, inputs[0].numel()))
            )
            for module in self.model.modules()
            if isinstance(module, ActivationQuant) and module.precision.learned
        ]
        self.model.eval()
        with torch.no_grad():
            x = self.batches.train.plain(0, 1).expand(self.batches.batch, -1, -1, -1)
            _call(self.model, self.vector.parameters(None, self.dtype), x)
        for hook in hooks:
            hook.remove()
        wanted = [self.vector.sizes[0], *(size for _, size in found)]
        places = [0]
        for size in wanted:
            places.append(places[-1] + -(-size // _SLICE) * _SLICE)
        self.pool = torch.zeros(places[-1] // 8, dtype=torch.int64, device=self.device)
        parts = self.pool.view(torch.int8)
        self.weight_bytes = parts[: wanted[0]]
        for (module, size), start in zip(found, places[1:], strict=False):
            module.bytes = parts[start : start + size]

    @torch.no_grad()
    def _optimize(self, g: torch.Tensor) -> None:
        vector, theta = self.vector, self.vector.theta
        rates = self.rates * self.factors.index_select(0, self.count.clamp(max=self.steps - 1))
        if self.goal.sgd:
            g = g.add(theta, alpha=5e-4)
            self.first.mul_(0.9).add_(g)
            theta.sub_(rates * (g + 0.9 * self.first))
        else:
            t = self.count.float() + 1
            self.first.mul_(0.9).add_(g, alpha=0.1)
            self.second.mul_(0.999).addcmul_(g, g, value=0.001)
            rest = [1 - torch.exp(t * math.log(beta)) for beta in (0.9, 0.999)]
            size = (self.second / rest[1]).sqrt_().add_(1e-8)
            theta.sub_(rates * (self.first / rest[0]) / size)
        if self.goal.kind is Kind.FLOAT:
            return
        vector.part("steps").clamp_(min=1e-6)
        vector.part("alphas").clamp_(min=1e-6)
        if self.goal.kind is Kind.NOISE:
            assert vector.channel is not None
            sigma = torch.sigmoid(vector.part("s")).index_select(0, vector.channel)
            width = vector.first_steps.index_select(0, vector.out[: vector.sizes[0]])
            bound = width * (2 - sigma)
            hidden = vector.part("hidden")
            hidden.copy_(torch.minimum(torch.maximum(hidden, -bound), bound))
            # The ramp of the budget: from 4 bits at a tenth of the phase to the target at 0.7.
            progress = (self.count.squeeze(0) + 1) / self.steps
            ramp = ((progress - 0.1) / 0.6).clamp(0, 1)
            self.error.copy_(vector.mean_bits() - (4 + ramp * (self.goal.target_bits - 4)))
            self.strength.add_(0.02 * self.error)

    def step(self) -> None:
        """One step; reads and writes only tensors on the device."""
        batches = self.batches
        table = batches.tables.index_select(0, self.cursor).squeeze(0)
        x = batches.train.pick(table)
        y = batches.train.labels.index_select(0, table[0])
        noise = None
        if self.weight_bytes is not None:
            noise = (self.weight_bytes.float() + 0.5) / 128
        parameters = self.vector.parameters(noise, self.dtype)
        logits = _call(self.model, parameters, x).float()
        loss = functional.cross_entropy(logits, y)
        if self.goal.distilled:
            teacher = batches.teacher.index_select(0, self.cursor).squeeze(0)
            loss = (loss + distillation(logits, teacher, _TEMPERATURE)) / 2
        whole = loss
        if self.goal.kind is Kind.NOISE:
            term = ((self.vector.implied() - 1) * self.vector.counts).sum()
            whole = loss + (self.strength + self.error).exp() * term
        (g,) = torch.autograd.grad(whole, self.vector.theta)
        with torch.no_grad():
            self._optimize(g)
            self.loss.add_(loss.detach())
            self.count.add_(1)
            self.cursor.add_(1)

    def _state(self) -> list[torch.Tensor]:
        own = [self.vector.theta, self.first, self.second, self.count, self.cursor, self.loss]
        own += [self.strength, self.error]
        return own + [b for b in self.model.buffers() if b is not None]

    def capture(self) -> None:
        """Record the step as a CUDA graph (on a GPU); the run's state stays as it was."""
        self.model.train()
        if self.device.type != "cuda":
            return
        with torch.no_grad():
            before = [t.detach().clone() for t in self._state()]
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.stream.wait_stream(torch.cuda.current_stream())
        # Shapes that recur in every step deserve a search for their fastest convolution.
        torch.backends.cudnn.benchmark = True
        try:
            with torch.cuda.stream(self.stream):
                for _ in range(2):
                    self.step()
            self.stream.synchronize()
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=self.stream):
                self.step()
        finally:
            torch.backends.cudnn.benchmark = False
        with torch.no_grad():
            for t, old in zip(self._state(), before, strict=True):
                t.copy_(old)
        torch.cuda.synchronize()
        torch.cuda.empty_cache()

    def advance(self) -> None:
        """Do one step, on the run's own stream."""
        if self.graph is None or self.stream is None:
            if self.pool is not None:
                self.pool.random_(-(2**63), None, generator=self.generator)
            self.step()
            return
        with torch.cuda.stream(self.stream):
            if self.pool is not None:
                self.pool.random_(-(2**63), None, generator=self.generator)
            self.graph.replay()

    def begin_epoch(self) -> None:
        """Go to the first batch; the device must be idle."""
        self.model.train()
        self.cursor.zero_()
        self.loss.zero_()

    @torch.no_grad()
    def right(self, test: Images, chunk: int = 2500) -> torch.Tensor:
        """Right answers on the test part, as a tensor on the device."""
        self.model.eval()
        parameters = self.vector.parameters(None, self.dtype)
        total = torch.zeros((), dtype=torch.int64, device=self.device)
        for start in range(0, len(test.labels), chunk):
            x = test.plain(start, start + chunk)
            logits = _call(self.model, parameters, x)
            total += (logits.argmax(1) == test.labels[start : start + chunk]).sum()
        self.model.train()
        return total

    def finish(self) -> nn.Module:
        """End the run: its network, with its own parameters and ordinary layers again."""
        self.graph = None
        self.vector.store()
        for _, layer in layers(self.model):
            layer.given = False
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.num_batches_tracked = self.count.squeeze(0).clone()
            elif isinstance(module, ActivationQuant):
                module.bytes = None
        return self.model

    def teacher(self) -> nn.Module:
        """A copy of the network for evaluation, its weights in the type of training."""
        self.vector.store()
        model = copy.deepcopy(self.model).eval().requires_grad_(False)
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.to(self.dtype)
        return model
