"""Precisions without training: from how much each channel's rounding disturbs the answers.

For each input channel and precision, :func:`sensitivity` measures on a few hundred images how far
rounding that channel, weights and activations together, moves the log likelihood of the network's
own answers. :func:`calibrate_bits` then buys precision where it saves the most for its cost, until
the budget is spent, and calibrates everything else. No labels are needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional, grad

from sysmol.budget import Bits, Costs, Unit, measure_for, settle_by
from sysmol.errors import SysmolError
from sysmol.layers import (
    ActivationQuant,
    CarrierQuant,
    ChannelPrecision,
    QuantConv2d,
    QuantLayer,
    _limits,
    _steps_per_scale,
)
from sysmol.prepare import (
    Inputs,
    calibrate,
    calibrate_carrier,
    hidden_layers,
    prepare,
    recalibrate_batchnorm,
)

__all__ = ["POST_LEVELS", "calibrate_bits", "sensitivity"]

POST_LEVELS = (2, 4, 8)
"""Precisions to choose from: without training, one bit loses too much."""


def _rounded(x: torch.Tensor, quant: ActivationQuant, level: int) -> torch.Tensor:
    """A tensor on its grid, all channels at ``level`` bits."""
    bits = torch.tensor(level, device=x.device)
    low, high, half = _limits(bits, quant.signed)
    step = quant.alpha.detach() * _steps_per_scale(bits, quant.signed)
    j = torch.floor(x / step) + half if bool(half > 0) else torch.round(x / step)
    return torch.clamp(j, float(low + half), float(high + half)) * step


def _pullback(
    layer: QuantLayer, weight: torch.Tensor, g: torch.Tensor, like: torch.Size
) -> torch.Tensor:
    """Gradient at the layer's input if its weight were ``weight``."""
    if isinstance(layer, QuantConv2d):
        if layer.pointwise and g.device.type == "cpu":
            # Not by PyTorch's own gradient of it: sysmol.onednn.
            whole = g.new_zeros(like)
            pixels = whole[..., :: layer.stride[0], :: layer.stride[1]]
            pixels.copy_(
                grad.conv2d_input(pixels.shape, weight, g, groups=layer.groups)  # type: ignore[no-untyped-call]
            )
            return whole
        return grad.conv2d_input(  # type: ignore[no-untyped-call, no-any-return]
            like, weight, g, layer.stride, layer.padding, layer.dilation, layer.groups
        )
    return g @ weight


def _per_channel(x: torch.Tensor, axis: int, inputs: int, channels: int) -> torch.Tensor:
    """A layer's tensor with channels at ``axis`` summed to [inputs, channels]."""
    rows = x.movedim(axis, -1)
    # With one input everything is its own; else the first axis counts inputs.
    sums = rows.reshape(inputs, -1, rows.shape[-1]).sum(1)
    # Behind a flattening all pixels of a channel have its precision.
    return sums.reshape(inputs, channels, -1).sum(2)


def _inputs_first(model: nn.Module, layers: Sequence[nn.Module], images: torch.Tensor) -> bool:
    """Whether every layer's output has one row along its first axis for each input."""
    shapes: dict[nn.Module, list[torch.Size]] = {layer: [] for layer in layers}

    def note(layer: nn.Module, given: object, output: torch.Tensor) -> None:
        del given
        shapes[layer].append(output.shape)

    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with torch.no_grad():
            for count in (1, 2):
                model(images[:count])
    finally:
        for hook in hooks:
            hook.remove()
    return all((one[0], two[0]) == (1, 2) and one[1:] == two[1:] for one, two in shapes.values())


def _rounded_weight(layer: QuantLayer, level: int) -> torch.Tensor:
    """The weight at ``level`` bits throughout, with the scale that suits it best."""
    bits, scale = layer.precision.bits.clone(), layer.scale.detach().clone()
    try:
        layer.precision.bits.fill_(level)
        layer.fit_scale()
        return layer.quantized().detach()
    finally:
        layer.precision.bits.copy_(bits)
        layer.scale.copy_(scale)


def sensitivity(
    model: nn.Module, images: torch.Tensor, levels: Sequence[int] = POST_LEVELS, batch: int = 64
) -> dict[ChannelPrecision, torch.Tensor]:
    """What each channel's rounding costs at each level.

    Parameters
    ----------
    model : nn.Module
        Prepared, its activation scales calibrated, no precision chosen yet.
    images : tensor [N, ...]
        What the network takes; its answers are logits [N, classes] or [N, ..., classes].

    Returns
    -------
    dict of ChannelPrecision to float64 tensor [channels, levels]
        Half the mean square, over images, of the first-order change of the log likelihood of an
        answer drawn from the network's own: the second-order change of the divergence between its
        answers before and after (Fisher information), for that channel alone.
    """
    readers: dict[ChannelPrecision, list[QuantLayer]] = {}
    for _, layer in hidden_layers(model):
        readers.setdefault(layer.precision, []).append(layer)
    if not readers:
        raise SysmolError("sensitivity: the model has no layer whose precision is learned")
    quants = {m.precision: m for m in model.modules() if isinstance(m, ActivationQuant)}
    inputs: dict[QuantLayer, torch.Tensor] = {}
    outputs: dict[QuantLayer, torch.Tensor] = {}

    def note(layer: nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        assert isinstance(layer, QuantLayer)
        inputs[layer], outputs[layer] = given[0].detach(), output

    every = [layer for layers in readers.values() for layer in layers]
    rounded = {level: {layer: _rounded_weight(layer, level) for layer in every} for level in levels}
    sums = {
        precision: torch.zeros(precision.s.numel(), len(levels), dtype=torch.float64)
        for precision in readers
    }
    was = model.training
    model.eval()
    if len(images) > 1 and not _inputs_first(model, every, images):
        batch = 1  # [L, N, C], say: slower, but an input's own sum wherever the inputs are
    hooks = [layer.register_forward_hook(note) for layer in every]
    for module in model.modules():
        if isinstance(module, CarrierQuant):
            module.train()  # its rounding has no gradient
    generator = torch.Generator().manual_seed(0)
    try:
        for x in torch.split(images, batch):
            logits = model(x).float()
            logits = logits.reshape(-1, logits.shape[-1])
            # Fisher information wants answers as the network gives them, not the right ones.
            answers = torch.multinomial(
                logits.detach().softmax(1).cpu(), 1, generator=generator
            ).to(x.device)
            loss = functional.log_softmax(logits, 1).gather(1, answers).sum()
            gradients = torch.autograd.grad(loss, [outputs[layer] for layer in every])
            g = dict(zip(every, gradients, strict=True))
            with torch.no_grad():
                for precision, layers in readers.items():
                    for index, level in enumerate(levels):
                        change = torch.zeros((), device=x.device)
                        for layer in layers:
                            a = inputs[layer]
                            b = _rounded(a, quants[precision], level)
                            new = b * _pullback(layer, rounded[level][layer], g[layer], a.shape)
                            old = a * _pullback(layer, layer.weight, g[layer], a.shape)
                            axis = quants[precision].axis
                            channels = precision.s.numel()
                            change = change + _per_channel(new - old, axis, len(x), channels)
                        sums[precision][:, index] += change.double().square().sum(0).cpu() / 2
    finally:
        model.train(was)
        for hook in hooks:
            hook.remove()
    return {precision: total / len(images) for precision, total in sums.items()}


def _cheapest(costs: Costs, loss: list[torch.Tensor], strength: float) -> Bits:
    """For each channel the level with the least loss plus ``strength`` times cost."""
    levels = torch.tensor(costs.levels)
    return [
        levels[(part + strength * costs.per[index]).argmin(1)] for index, part in enumerate(loss)
    ]


def calibrate_bits(
    model: nn.Module,
    images: torch.Tensor,
    budget: float,
    unit: Unit = Unit.BITS,
    *,
    levels: Sequence[int] = POST_LEVELS,
    target: str = "x86-64-avx512",
    inputs: Inputs = Inputs.IMAGE,
) -> nn.Module:
    """Quantize a trained float network without training.

    Parameters
    ----------
    model : nn.Module
        Float, trained, of layers that :func:`sysmol.prepare` knows. It is copied, not changed.
    images : float tensor [N, C, H, W] in [0, 1]
        A few hundred, of the kind that the network will see. For a budget in bits they may be
        whatever the network takes, [N, ...].
    budget : float
        Mean bits of a hidden weight, bytes or seconds, as ``unit`` says.
    levels : sequence of int
        At most three of 1, 2, 4, 8.
    target : str
        The compiler's target, for bytes and seconds.
    inputs : Inputs
        As :func:`sysmol.prepare` wants it.

    Returns
    -------
    nn.Module
        Ready for :func:`sysmol.export` and :func:`sysmol.compile`, in evaluation mode.

    Examples
    --------
    >>> net = sysmol.calibrate_bits(twin, images, 4.0)  # doctest: +SKIP
    >>> sysmol.compile(net, "net.smol")  # doctest: +SKIP
    """
    if not len(images) or (images.dim() != 4 and unit is not Unit.BITS):
        raise SysmolError("calibrate_bits: give images [N, C, H, W], a few hundred of them")
    levels = sorted(set(levels))
    if not 2 <= len(levels) <= 3 or not set(levels) <= {1, 2, 4, 8}:
        raise SysmolError(f"calibrate_bits: levels {list(levels)}: give two or three of 1, 2, 4, 8")
    quantized = prepare(model, inputs=inputs).eval()
    images = images.to(next(quantized.parameters()).device)
    shape = (1, 28, 28)
    if unit is not Unit.BITS:
        shape = (images.shape[1], images.shape[2], images.shape[3])
    calibrate(quantized, images, levels[len(levels) // 2])
    found = sensitivity(quantized, images, levels)
    costs = Costs(quantized, unit, measure_for(unit, target, shape), shape, levels)
    if not costs.lowest <= budget <= costs.highest:
        raise SysmolError(
            f"calibrate_bits: the budget {budget:g} is not between {costs.lowest:g} and "
            f"{costs.highest:g}"
        )
    loss = [found[precision] for precision in costs.precisions]
    # A level above must not look worse than one below: rounding noise is measured, too.
    loss = [part.flip(1).cummax(1).values.flip(1) for part in loss]
    # The more precision, the less a unit of cost may weigh; orders of magnitude either way.
    settle_by(quantized, costs, budget, lambda x: _cheapest(costs, loss, 2.0**-x), ends=80.0)
    calibrate(quantized, images)
    recalibrate_batchnorm(quantized, list(torch.split(images, 100)))
    calibrate_carrier(quantized, images)
    return quantized.eval()
