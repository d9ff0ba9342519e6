"""Layers that train a different precision for every input channel.

The method is SySMOL (Zhou et al., arXiv 2311.14114, §4) on SMOL (Savarese et al., NeurIPS 2022):
phase 1 adds uniform noise of trained width to weights and activations; phase 2 quantizes both for
real with straight-through gradients, and trains the scales as LSQ does (Esser et al., ICLR 2020).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from sysmol import kernels
from sysmol.onednn import is_strided_pointwise

__all__ = [
    "START_BITS",
    "ActivationQuant",
    "CarrierQuant",
    "ChannelPrecision",
    "QuantConv2d",
    "QuantLayer",
    "QuantLinear",
    "QuantizedReLU",
    "uniform_noise",
]

START_BITS = 8
"""Implied precision at which phase 1 starts (design §5)."""


def _draw(like: torch.Tensor) -> torch.Tensor:
    words = torch.empty((like.numel() + 7) // 8, dtype=torch.int64, device=like.device)
    words.random_(-(2**63), None)
    return words.view(torch.int8)[: like.numel()]


# torch.compile cannot trace the draw, and must neither merge two draws nor repeat one in the
# backward pass: so it sees one opaque operation that is marked as random.
_opaque_draw = torch.library.custom_op(
    "sysmol::uniform_bytes",
    _draw,
    mutates_args=(),
    tags=(torch.Tag.nondeterministic_seeded,),
    schema="(Tensor like) -> Tensor",
)


@_opaque_draw.register_fake
def _(like: torch.Tensor) -> torch.Tensor:
    return like.new_empty(like.numel(), dtype=torch.int8)


def uniform_bytes(like: torch.Tensor) -> torch.Tensor:
    """Fresh uniform bytes, int8 [like.numel()]; compiled code draws the same as eager code."""
    if not torch.compiler.is_compiling():
        return _draw(like)
    drawn: torch.Tensor = _opaque_draw(like.detach())
    return drawn


def uniform_noise(like: torch.Tensor) -> torch.Tensor:
    """Fresh noise, uniform on the 256 midpoints ``(2j + 1) / 256`` of [-1, 1].

    One 64-bit draw gives eight values, which makes noise on activations affordable on a CPU; every
    value is exact in bfloat16. Mean 0, standard deviation 0.57735 * (1 - 2^-17).
    """
    noise = uniform_bytes(like).to(like.dtype).add_(0.5).mul_(1 / 128)
    # The draws have no order of their own, so take the memory order of ``like``.
    return (
        torch.as_strided(noise, like.shape, like.stride())
        if _dense(like)
        else noise.view(like.shape)
    )


def _dense(x: torch.Tensor) -> bool:
    return x.is_contiguous() or (
        x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    )


def _channel_sum(x: torch.Tensor) -> torch.Tensor:
    """Sum over all axes but the channel's, as binary32."""
    return x.sum([axis for axis in range(x.dim()) if axis != 1]).float()


def _along(v: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A per-channel vector [C] shaped to broadcast over ``like`` [N, C, ...], in its type."""
    return v.to(like.dtype).view(1, -1, *([1] * (like.dim() - 2)))


def _clip(x: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """``clip(x, 0, alpha)``, of which PyTorch's own operation wants alpha as a number.

    Compiled code has no numbers from tensors; it fuses the plain formula, here and below.
    """
    if torch.compiler.is_compiling():
        return torch.minimum(x.clamp(min=0), alpha.to(x.dtype))
    return functional.hardtanh(x, 0.0, float(alpha))


def _inside(g: torch.Tensor, x: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """``g`` where x is in (0, alpha), else 0."""
    if torch.compiler.is_compiling():
        return torch.where((x > 0) & (x < alpha), g, 0.0)
    kept: torch.Tensor = torch.ops.aten.hardtanh_backward(g, x, 0.0, float(alpha))
    return kept


def _above(g: torch.Tensor, x: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """``g`` where x is greater than alpha, else 0."""
    if torch.compiler.is_compiling():
        return torch.where(x > alpha, g, 0.0)
    kept: torch.Tensor = torch.ops.aten.hardtanh_backward(g, x, float(alpha), math.inf)
    return kept


class _NoisyRelu(torch.autograd.Function):
    """``clip(x, 0, alpha) + alpha * sigma / 2 * noise``, with gradients to x, alpha and sigma.

    One alpha serves all channels, so that the clip's gradient is PyTorch's vectorized one.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, alpha: torch.Tensor, sigma: torch.Tensor
    ) -> torch.Tensor:
        noise = uniform_noise(x)
        ctx.save_for_backward(x, noise, alpha, sigma)
        return _clip(x, alpha).addcmul_(_along(alpha * sigma / 2, x), noise)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (g,) = gradients
        x, noise, alpha, sigma = ctx.saved_tensors
        clipped = _above(g, x, alpha).sum().float()
        width = _channel_sum(g * noise)
        for_alpha = clipped + (width * sigma).sum() / 2
        return _inside(g, x, alpha), for_alpha.view_as(alpha), width * (alpha / 2)


class _NoisyClip(torch.autograd.Function):
    """``clip(x, low, high) + width * noise``, bounds and width per channel (signed tensors)."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, low: torch.Tensor, high: torch.Tensor, width: torch.Tensor
    ) -> torch.Tensor:
        noise = uniform_noise(x)
        low, high = _along(low, x), _along(high, x)
        ctx.save_for_backward(x, noise, low, high)
        y = torch.minimum(torch.maximum(x, low), high)
        return y.addcmul_(_along(width, x), noise)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (g,) = gradients
        x, noise, low, high = ctx.saved_tensors
        above, below = x >= high, x < low
        inside = g.masked_fill(above | below, 0)
        return (
            inside,
            _channel_sum(g * below),
            _channel_sum(g * above),
            _channel_sum(g * noise),
        )


class _QuantRelu(torch.autograd.Function):
    """The unsigned grid, ReLU included: straight-through to x, LSQ gradient to alpha."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, alpha: torch.Tensor, top: torch.Tensor) -> torch.Tensor:
        y = (x * _along(top / alpha, x)).round_().clamp_(min=0)
        y = torch.minimum(y, _along(top, x), out=y).mul_(_along(alpha / top, x))
        ctx.save_for_backward(x, y, alpha)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (g,) = gradients
        x, y, alpha = ctx.saved_tensors
        inside = _inside(g, x, alpha)
        if not ctx.needs_input_grad[1]:
            return inside, None, None
        # d(value)/d(alpha): (y - x) / alpha inside, 1 where clipped.
        error = (inside * (y - x)).sum().float()
        clipped = _above(g, x, alpha).sum().float()
        return inside, (error / alpha + clipped).view_as(alpha), None


class _QuantMidrise(torch.autograd.Function):
    """The mid-rise grid, with its symmetric 8-bit level.

    A code's value is ``(j + half) * step``, ``half`` 0.5 on mid-rise channels and 0 on 8-bit ones,
    with the integer ``j`` in [low, high]; ``ratio`` is step / scale. All are per channel [C].
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        scale: torch.Tensor,
        ratio: torch.Tensor,
        low: torch.Tensor,
        high: torch.Tensor,
        half: torch.Tensor,
    ) -> torch.Tensor:
        steps = scale * ratio
        h, j = _along(half, x), x * _along(steps.reciprocal(), x)
        j = torch.where(h > 0, j.floor() + h, j.round())
        j = torch.minimum(torch.maximum(j, _along(low + half, x)), _along(high + half, x))
        # A mid-rise cell reaches half a step beyond its value.
        ends = [_along(end * steps, x) for end in (low, high + 2 * half)]
        y = j.mul_(_along(steps, x))
        ctx.save_for_backward(x, y, scale, *ends)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (g,) = gradients
        x, y, scale, low, high = ctx.saved_tensors
        inside = g.masked_fill((x >= high) | (x < low), 0)
        # d(value)/d(scale): (y - x) / scale inside, y / scale where clipped.
        total = (g * y).sum(dtype=torch.float32) - (inside * x).sum(dtype=torch.float32)
        return inside, (total / scale).view_as(scale), None, None, None, None


class ChannelPrecision(nn.Module):
    """The precision of every channel of one activation tensor, shared by all layers that read it.

    Parameters
    ----------
    channels : int
    bits : int, optional
        A fixed precision for all channels; without it precisions are learned.

    Attributes
    ----------
    s : Parameter [channels]
        Noise width is ``sigmoid(s)`` in units of the scale, implied precision
        ``1 - log2 sigmoid(s)``.
    bits : buffer int64 [channels]
        The frozen precision, 0 while it is still learned. After changing it by hand call
        :meth:`freeze`: compiled code notices only then.
    """

    bits: torch.Tensor

    def __init__(self, channels: int, bits: int | None = None) -> None:
        super().__init__()
        width = 2.0 ** (1 - START_BITS)
        self.learned = bits is None
        self.s = nn.Parameter(
            torch.full((channels,), math.log(width / (1 - width))), requires_grad=self.learned
        )
        self.register_buffer("bits", torch.full((channels,), bits or 0))
        self._known: tuple[tuple[int, int], torch.Tensor] | None = None
        self._frozen = bits is not None

    def _top(self) -> torch.Tensor:
        # Asking the bits costs a wait for the device, so what they say is kept until they change.
        key = (id(self.bits), self.bits._version)
        if self._known is None or self._known[0] != key:
            self._known = (key, torch.exp2(self.bits.float()) - 1)
            self._frozen = bool((self.bits > 0).all())
        return self._known[1]

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._top()

    @property
    def frozen(self) -> bool:
        """Whether the precisions are final."""
        # Compiled code has no look at the bits; it is compiled anew when this attribute changes.
        if not torch.compiler.is_compiling():
            self._top()
        return self._frozen

    @property
    def top(self) -> torch.Tensor:
        """``2^p - 1`` of each frozen channel, binary32."""
        if torch.compiler.is_compiling():
            return torch.exp2(self.bits.float()) - 1
        return self._top()

    def sigma(self) -> torch.Tensor:
        """Noise width of each channel, in (0, 1)."""
        return torch.sigmoid(self.s)

    def implied(self) -> torch.Tensor:
        """``p = 1 - log2 sigmoid(s)``, real, at least 1."""
        return 1 - functional.logsigmoid(self.s) / math.log(2)

    def assigned(self) -> torch.Tensor:
        """Precisions by the thresholds of the method: above 3 gives 4, (1.5, 3] gives 2, else 1."""
        if self.frozen:
            return self.bits
        p = self.implied().detach()
        return torch.where(p > 3, 4, torch.where(p > 1.5, 2, 1))

    def freeze(self) -> None:
        """End phase 1: the assigned precisions are final."""
        self.bits.copy_(self.assigned())
        self._top()
        self.s.requires_grad_(False)


def _steps_per_scale(bits: torch.Tensor, signed: bool) -> torch.Tensor:
    """step / scale of each precision (HP19)."""
    p = bits.float()
    return torch.exp2(2 - p) if signed else 1 / (torch.exp2(p) - 1)


def _limits(bits: torch.Tensor, signed: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Integers ``low``, ``high`` and ``half`` so that values are ``(j + half) * step``."""
    p = bits.float()
    if not signed:
        return torch.zeros_like(p), torch.exp2(p) - 1, torch.zeros_like(p)
    symmetric = bits == 8
    reach = torch.exp2(p - 1)
    low = torch.where(symmetric, -127.0, -reach)
    high = torch.where(symmetric, 127.0, reach - 1)
    return low, high, torch.where(symmetric, 0.0, 0.5)


class ActivationQuant(nn.Module):
    """Noise (phase 1) or real quantization (phase 2) of one activation tensor.

    Parameters
    ----------
    precision : ChannelPrecision
        Shared with every layer that reads the tensor.
    signed : bool
        Mid-rise grid (HP3, HP4) instead of the unsigned one (HP5).
    scale : float
        Initial ``alpha`` (or ``d``); see :func:`sysmol.prepare.calibrate`.
    trained : bool
        Whether the scale is trained. The image's grid has ``alpha = 1`` for good.
    axis : {1, -1}
        Where the channels are: 1 for convolutions, -1 for linear layers.
    limit : float, optional
        The largest ``alpha``: that of a ReLU6 in front, whose clamp this one stands for (HP20).

    Attributes
    ----------
    pool : MaxPool2d, optional
        Files have it behind the codes (HP25), here it comes first. Rounding grows with what is
        rounded, so values are the same; but the largest of several noises would not have mean 0.
    """

    def __init__(
        self,
        precision: ChannelPrecision,
        signed: bool = False,
        scale: float = 1.0,
        trained: bool = True,
        axis: int = 1,
        limit: float | None = None,
    ) -> None:
        super().__init__()
        self.precision = precision
        self.signed = signed
        self.trained = trained
        self.axis = axis
        self.limit = limit
        self.pool: nn.MaxPool2d | None = None
        self.scale = nn.Parameter(torch.tensor(scale), requires_grad=trained)
        self.observing: list[torch.Tensor] | None = None
        self.bytes: torch.Tensor | None = None

    @property
    def alpha(self) -> torch.Tensor:
        """The scale that counts: the parameter, at most ``limit``; all gradient goes to it."""
        if self.limit is None:
            return self.scale
        # Above the limit a clamp would leave no gradient that leads back below it.
        free = self.scale.detach()
        return free.clamp(max=self.limit) + (self.scale - free)

    @torch.no_grad()
    def project(self) -> None:
        """Put the parameter above 0, where a large step may take it, and below the limit."""
        self.scale.clamp_(min=1e-6, max=self.limit)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float tensor [N, C, ...], or [..., C], to one of the same shape and type.

        On a GPU ``bytes``, where it is set, gives the noise: int8, one for each value of ``x``.
        """
        if self.pool is not None:
            x = self.pool(x)
        if self.axis == -1 and x.dim() > 2:
            return self._forward(x.flatten(0, -2)).view(x.shape)
        return self._forward(x)

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.observing is not None:
            self.observing.append(x.detach().float())
            return x if self.signed else x.relu()
        if not self.precision.frozen:
            if not self.training:
                return x if self.signed else x.relu()
            return self._noisy(x)
        if not self.signed and kernels.preferred(x):
            # One precision may stand for all channels; kernels want one each.
            top = self.precision.top.expand(x.shape[1]).contiguous()
            return kernels.quant_relu(x, self.alpha, top)
        bits = self.precision.bits
        low, high, half = _limits(bits, self.signed)
        y: torch.Tensor
        if self.signed:
            ratio = _steps_per_scale(bits, True)
            y = _QuantMidrise.apply(x, self.scale, ratio, low, high, half)  # type: ignore[no-untyped-call]
        else:
            y = _QuantRelu.apply(x, self.alpha, high)  # type: ignore[no-untyped-call]
        return y

    def _noisy(self, x: torch.Tensor) -> torch.Tensor:
        sigma = self.precision.sigma()
        if not self.signed and kernels.preferred(x):
            j = uniform_bytes(x) if self.bytes is None else self.bytes
            return kernels.noisy_relu(x, self.alpha, sigma, j)
        y: torch.Tensor
        if self.signed:
            # The largest mid-rise value at p bits is d * (2 - 2^(1-p)), and 2^(1-p) is sigma.
            high = self.scale * (2 - sigma)
            y = _NoisyClip.apply(x, -high, high, self.scale * sigma)  # type: ignore[no-untyped-call]
        else:
            y = _NoisyRelu.apply(x, self.alpha, sigma)  # type: ignore[no-untyped-call]
        return y


class QuantizedReLU(nn.ReLU):
    """A ReLU whose only reader is an unsigned quantizer, which clamps at 0 itself (HP20).

    It passes its input on, which saves a pass over memory in training; export writes a Relu.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class CarrierQuant(nn.Module):
    """The 16-bit residual carrier (HP17).

    Its step is far below what bfloat16 training resolves, so it rounds in evaluation only.
    """

    delta: torch.Tensor

    def __init__(self, delta: float = 2.0**-8) -> None:
        super().__init__()
        self.register_buffer("delta", torch.tensor(delta))
        self.observing: list[torch.Tensor] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float tensor to the nearest multiples of ``delta``, saturating at 32767."""
        if self.observing is not None:
            self.observing.append(x.detach().float().abs().max())
            return x
        if self.training:
            return x
        return torch.clamp(torch.round(x / self.delta), -32767, 32767) * self.delta


_CACHED_WEIGHTS = 2**16


def _on_weight_grid(weight: torch.Tensor, p: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
    """Weights [Cout, ...] on their grids (HP3, HP4) of ``p`` bits, of scale ``d`` [Cout].

    With straight-through gradients to the weights, and LSQ's to the scales.
    """
    low, high, half = _limits(p, True)
    steps = d.view(-1, *([1] * (weight.dim() - 1))) * _steps_per_scale(p, True)
    v = weight / steps
    rounded = torch.where(half > 0, v.floor() + half, v.round())
    clipped = torch.minimum(torch.maximum(v, low), high + 2 * half)
    target = torch.minimum(torch.maximum(rounded, low + half), high + half)
    return (clipped + (target - clipped).detach()) * steps


class QuantLayer(nn.Module):
    """What convolution and linear layers share: the weight, its scales, its quantization.

    Parameters
    ----------
    weight, bias : Parameter
        Trained; taken over from the float layer; weight [Cout, Cin / groups, ...].
    precision : ChannelPrecision
        That of the tensor the layer reads.
    groups : int

    Attributes
    ----------
    scale : Parameter [Cout]
        ``d`` of each output channel. It starts at the root mean square of the channel's weights:
        noise of width ``d * sigma`` then has the size of the rounding error of that precision for
        Gaussian weights, which ``max|W| / 2`` overstates more than twofold.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        precision: ChannelPrecision,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.weight, self.bias, self.precision, self.groups = weight, bias, precision, groups
        flat = weight.detach().flatten(1).float()
        if precision.learned:
            start = flat.square().mean(1).sqrt()
        else:
            start = flat.abs().amax(1) * (64 / 127)
        self.scale = nn.Parameter(start.clamp_min(1e-8), requires_grad=False)
        self.given = False

    def spread(self, v: torch.Tensor) -> torch.Tensor:
        """A vector over all input channels [Cin] as [Cout or 1, Cin / groups, 1, 1].

        A linear layer behind a flattening may have one precision for all pixels of a channel.
        """
        out, per_group = self.weight.shape[:2]
        if v.numel() != per_group * self.groups:
            v = v.repeat_interleave(per_group * self.groups // v.numel())
        tail = [1] * (self.weight.dim() - 2)
        if self.groups == 1:
            return v.view(1, per_group, *tail)
        grouped = v.view(self.groups, 1, per_group)
        return grouped.expand(-1, out // self.groups, -1).reshape(out, per_group, *tail)

    def weights_per_channel(self) -> int:
        """Weights that one input channel has: ``Cout / groups * kh * kw``."""
        return self.weight.numel() // self.precision.bits.numel()

    def quantized(
        self, bits: torch.Tensor | None = None, scale: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Weights on their grid (HP3, HP4), with straight-through and LSQ gradients."""
        p = self.spread(self.precision.bits if bits is None else bits)
        return _on_weight_grid(self.weight, p, self.scale if scale is None else scale)

    def noisy(self) -> torch.Tensor:
        """``w + d * sigma(s) * U(-1, 1)``."""
        d = self.scale.view(-1, *([1] * (self.weight.dim() - 1)))
        return self.weight + d * self.spread(self.precision.sigma()) * uniform_noise(self.weight)

    def effective(self) -> torch.Tensor:
        """The weight that this forward pass uses; ``weight`` itself where that is ``given`` so."""
        if self.given:
            return self.weight
        if self.precision.frozen:
            return self.quantized()
        return self.noisy() if self.training else self.weight

    @torch.no_grad()
    def project(self) -> None:
        """Phase 1, after each step: clamp ``|w|`` to ``d * (2 - 2^(1-p))``."""
        d = self.scale.view(-1, *([1] * (self.weight.dim() - 1)))
        bound = d * (2 - self.spread(self.precision.sigma()))
        self.weight.copy_(torch.minimum(torch.maximum(self.weight, -bound), bound))

    @torch.no_grad()
    def fit_scale(self) -> None:
        """Start of phase 2: per output channel the ``d`` with the least squared error."""
        p = self.spread(self.precision.bits)
        # On CPUs so many rows that what is tried stays in the cache: five times as fast.
        most = _CACHED_WEIGHTS if self.weight.device.type == "cpu" else self.weight.numel()
        step = max(1, most // self.weight[0].numel())
        for start in range(0, len(self.weight), step):
            rows = slice(start, start + step)
            weight, scale = self.weight[rows], self.scale[rows]
            levels = p if len(p) == 1 else p[rows]
            flat = weight.flatten(1).float()
            first = flat.square().mean(1).sqrt() if self.precision.learned else scale.clone()
            best = torch.full_like(first, math.inf)
            for factor in torch.linspace(0.4, 2.0, 65).tolist():
                trial = (first * factor).clamp_min(1e-8)
                error = _on_weight_grid(weight, levels, trial) - weight
                error = error.flatten(1).square().sum(1)
                scale.copy_(torch.where(error < best, trial, scale))
                best = torch.minimum(best, error)


class QuantConv2d(QuantLayer):
    """A 2-D convolution, any stride, padding, dilation and groups."""

    def __init__(self, conv: nn.Conv2d, precision: ChannelPrecision) -> None:
        super().__init__(conv.weight, conv.bias, precision, conv.groups)
        self.stride: tuple[int, ...] = conv.stride
        self.padding = conv.padding
        self.dilation: tuple[int, ...] = conv.dilation
        self.pointwise = is_strided_pointwise(conv.kernel_size, conv.stride, conv.padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, Cin, H, W] to [N, Cout, H', W']."""
        if self.pointwise and x.device.type == "cpu":
            # The same, where oneDNN would corrupt memory (sysmol.onednn).
            x = x[..., :: self.stride[0], :: self.stride[1]]
            return functional.conv2d(x, self.effective(), self.bias, groups=self.groups)
        return functional.conv2d(
            x,
            self.effective(),
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )


class QuantLinear(QuantLayer):
    """A linear layer."""

    def __init__(self, linear: nn.Linear, precision: ChannelPrecision) -> None:
        super().__init__(linear.weight, linear.bias, precision)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., Cin] to [..., Cout]."""
        return functional.linear(x, self.effective(), self.bias)
