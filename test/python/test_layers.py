"""Noise, gradients, projection and real quantization of the training layers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import sysmol.layers
from sysmol.grids import Grid, quantize, values
from sysmol.layers import (
    ActivationQuant,
    CarrierQuant,
    ChannelPrecision,
    QuantConv2d,
    uniform_noise,
)


def conv_with(bits: list[int] | None, groups: int = 1) -> QuantConv2d:
    torch.manual_seed(3)
    channels = len(bits) if bits else 6
    precision = ChannelPrecision(channels)
    if bits:
        precision.bits.copy_(torch.tensor(bits))
    return QuantConv2d(nn.Conv2d(channels, 6, 3, groups=groups, bias=False), precision)


def test_noise_is_uniform_fresh_and_repeatable() -> None:
    torch.manual_seed(0)
    x = torch.empty(64, 3, 40, 40)
    first, second = uniform_noise(x), uniform_noise(x)
    assert not torch.equal(first, second)
    assert first.abs().max() < 1
    assert abs(float(first.mean())) < 5e-3
    assert abs(float(first.var()) - 1 / 3) < 5e-3
    # Uniform, not merely of the right variance: each eighth of the range holds an eighth.
    shares = torch.histc(first, 8, -1, 1) / first.numel()
    assert (shares - 1 / 8).abs().max() < 3e-3
    assert abs(float((first[1:] * first[:-1]).mean())) < 3e-3
    torch.manual_seed(0)
    assert torch.equal(uniform_noise(x), first)
    last = uniform_noise(x.contiguous(memory_format=torch.channels_last))
    assert last.shape == x.shape and last.is_contiguous(memory_format=torch.channels_last)


def test_precision_starts_at_eight_bits_and_follows_its_law() -> None:
    precision = ChannelPrecision(3)
    torch.testing.assert_close(precision.implied(), torch.full((3,), 8.0))
    with torch.no_grad():
        for p, wanted in ((8.0, 4), (3.01, 4), (2.99, 2), (1.51, 2), (1.49, 1), (1.01, 1)):
            width = 2.0 ** (1 - p)
            precision.s.fill_(math.log(width / (1 - width)))
            torch.testing.assert_close(precision.implied(), torch.full((3,), p))
            assert set(precision.assigned().tolist()) == {wanted}
    assert not precision.frozen
    precision.freeze()
    assert precision.frozen and precision.bits.tolist() == [1, 1, 1]
    with torch.no_grad():
        precision.s.fill_(-4)
    assert precision.assigned().tolist() == [1, 1, 1]


def test_weight_noise_has_the_width_of_its_channel() -> None:
    conv = conv_with(None)
    with torch.no_grad():
        conv.precision.s.copy_(torch.linspace(-3, 3, 6))
    difference = torch.stack([conv.noisy() - conv.weight for _ in range(400)]).detach()
    width = difference.abs().amax((0, 3, 4))
    expected = conv.scale[:, None] * conv.precision.sigma()[None]
    ratio = width / expected
    assert ratio.max() <= 1.0001 and ratio.min() > 0.97


@pytest.mark.parametrize("signed", [False, True])
def test_activation_noise_has_the_width_of_its_channel(signed: bool) -> None:
    precision = ChannelPrecision(4)
    with torch.no_grad():
        precision.s.copy_(torch.linspace(-3, 2, 4))
    quant = ActivationQuant(precision, signed, 0.8)
    torch.manual_seed(1)
    x = torch.rand(64, 4, 8, 8) * 4 - 2
    sigma = precision.sigma().detach()
    # Of a ReLU with 2^p - 1 steps half a step, nearly; of the mid-rise grid half a step.
    expected = 0.8 * sigma if signed else 0.8 * sigma / 2
    top = (0.8 * (2 - sigma) if signed else torch.full((4,), 0.8)).view(1, 4, 1, 1)
    clipped = torch.minimum(torch.maximum(x, -top if signed else torch.zeros(1)), top)
    width = (quant(x) - clipped).detach().abs().amax((0, 2, 3))
    assert (width <= expected * 1.0001).all() and (width > expected * 0.97).all(), width / expected


def test_gradient_of_weight_noise_reaches_w_and_s() -> None:
    conv = conv_with(None).double()
    with torch.no_grad():
        conv.precision.s.copy_(torch.linspace(-3, 3, 6))
    weights = torch.randn(conv.weight.shape, dtype=torch.float64)

    def loss() -> torch.Tensor:
        torch.manual_seed(7)
        return (conv.noisy() * weights).sum()

    loss().backward()
    s = conv.precision.s
    assert s.grad is not None and torch.equal(conv.weight.grad, weights)
    for index in range(6):
        with torch.no_grad():
            kept = s[index].clone()
            s[index] = kept + 1e-6
            above = loss()
            s[index] = kept - 1e-6
            below = loss()
            s[index] = kept
        slope = float(above - below) / 2e-6
        assert float(s.grad[index]) == pytest.approx(slope, rel=1e-4) and slope != 0


@pytest.mark.parametrize("signed", [False, True])
def test_gradient_of_activation_noise_reaches_x_s_and_alpha(signed: bool) -> None:
    torch.manual_seed(1)
    precision = ChannelPrecision(4)
    with torch.no_grad():
        precision.s.copy_(torch.tensor([-2.0, -1, 0, 1]))
    quant = ActivationQuant(precision, signed, 0.8).double()
    x = (torch.randn(5, 4, 6, 6, dtype=torch.float64) + 0.3).requires_grad_()
    weights = torch.randn(5, 4, 6, 6, dtype=torch.float64)

    def loss() -> torch.Tensor:
        torch.manual_seed(7)
        return (quant(x) * weights).sum()

    loss().backward()
    assert quant.scale.grad is not None and precision.s.grad is not None and x.grad is not None
    # Against central differences, the noise held fixed.
    for parameter, index in [(quant.scale, ()), *((precision.s, (i,)) for i in range(4))]:
        gradient = float(parameter.grad[index])
        with torch.no_grad():
            kept = parameter.clone()
            parameter[index] = kept[index] + 1e-6
            above = loss()
            parameter[index] = kept[index] - 1e-6
            below = loss()
            parameter.copy_(kept)
        slope = float(above - below) / 2e-6
        assert gradient == pytest.approx(slope, rel=1e-3, abs=1e-2)
        assert gradient != 0
    inside = (x > (-1 if signed else 0)) & (x < 0.8)
    assert torch.equal(x.grad[inside & (x > 0)], weights[inside & (x > 0)])
    assert (x.grad[x > 2] == 0).all()


def test_projection_clamps_to_the_largest_value_of_the_precision() -> None:
    conv = conv_with(None)
    with torch.no_grad():
        conv.weight.mul_(100)
        conv.precision.s.copy_(torch.linspace(-3, 6, 6))
    conv.project()
    bound = conv.scale[:, None] * (2 - 2 ** (1 - conv.precision.implied()))[None]
    torch.testing.assert_close(conv.weight.abs().amax((2, 3)), bound)


@pytest.mark.parametrize("bits", [[1, 2, 4, 1, 2, 4], [8, 2, 4, 8, 2, 4], [8] * 6])
def test_quantized_weights_are_those_of_the_law(bits: list[int]) -> None:
    conv = conv_with(bits)
    conv.fit_scale()
    p = np.array(bits).reshape(1, -1, 1, 1)
    d = conv.scale.detach().double().numpy().reshape(-1, 1, 1, 1)
    codes = quantize(conv.weight.detach().numpy(), Grid.MIDRISE, p, d)
    expected = values(codes, Grid.MIDRISE, p, d)
    np.testing.assert_allclose(conv.quantized().detach().numpy(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [[1, 2, 4], [8, 2, 4], [8, 8, 8]])
def test_quantized_activations_are_those_of_the_law(signed: bool, bits: list[int]) -> None:
    precision = ChannelPrecision(3)
    precision.bits.copy_(torch.tensor(bits))
    quant = ActivationQuant(precision, signed, 0.9)
    x = torch.randn(50, 3, 4, 4)
    grid = Grid.MIDRISE if signed else Grid.UNSIGNED
    p, alpha = np.array(bits).reshape(1, -1, 1, 1), float(quant.scale.detach())
    expected = values(quantize(x.numpy(), grid, p, alpha), grid, p, alpha)
    np.testing.assert_allclose(quant(x).detach().numpy(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("signed", [False, True])
def test_straight_through_and_scale_gradient(signed: bool) -> None:
    precision = ChannelPrecision(2)
    precision.bits.copy_(torch.tensor([2, 4]))
    quant = ActivationQuant(precision, signed, 1.0)
    x = torch.randn(40, 2, 3, 3).requires_grad_()
    y = quant(x)
    y.sum().backward()
    limit = torch.tensor(2.0 if signed else 1.0)
    inside = (x.abs() < limit) & (x > (-limit if signed else 0))
    assert x.grad is not None and quant.scale.grad is not None
    assert torch.equal(x.grad, inside.float())
    expected = (y - torch.where(inside, x, torch.zeros_like(x))).sum()
    torch.testing.assert_close(quant.scale.grad, expected.detach(), rtol=1e-3, atol=1e-3)


def test_weight_scale_gets_a_gradient() -> None:
    conv = conv_with([1, 2, 4, 1, 2, 4])
    conv.scale.requires_grad_(True)
    conv(torch.randn(2, 6, 8, 8)).square().sum().backward()
    assert conv.scale.grad is not None and (conv.scale.grad != 0).all()
    assert conv.weight.grad is not None and (conv.weight.grad != 0).any()


def test_fitted_scale_is_better_than_half_the_maximum() -> None:
    conv = conv_with([1, 2, 2, 1, 2, 2])

    def error() -> torch.Tensor:
        return (conv.quantized() - conv.weight).square().sum()

    with torch.no_grad():
        conv.weight.normal_()
        conv.scale.copy_(conv.weight.flatten(1).abs().amax(1) / 2)
    before = error()
    conv.fit_scale()
    assert error() < 0.9 * before


def test_grouped_convolution_finds_its_channels() -> None:
    conv = conv_with([1, 2, 4, 1, 2, 4], groups=3)
    bits = conv.spread(conv.precision.bits)[:, :, 0, 0]
    assert bits.tolist() == [[1, 2], [1, 2], [4, 1], [4, 1], [2, 4], [2, 4]]
    assert conv.weights_per_channel() == 2 * 9


def test_carrier_rounds_in_evaluation_and_saturates() -> None:
    carrier = CarrierQuant(2.0**-8).eval()
    x = torch.tensor([0.0, 0.4, 0.5, 1.5, 1e9, -1e9]) / 256
    x[4:] *= 256
    assert (carrier(x) * 256).tolist() == [0, 0, 0, 2, 32767, -32767]


@pytest.mark.parametrize("groups", [1, 4])
def test_scales_do_not_depend_on_how_many_rows_are_fitted_at_once(
    groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    precision = ChannelPrecision(8)
    layer = QuantConv2d(nn.Conv2d(8, 12, 3, groups=groups), precision)
    precision.bits.copy_(torch.tensor([1, 2, 4, 8, 4, 2, 1, 4]))
    precision.freeze()
    found = []
    for most in (1, 100, 2**30):
        monkeypatch.setattr(sysmol.layers, "_CACHED_WEIGHTS", most)
        layer.scale.data.fill_(1.0)
        layer.fit_scale()
        found.append(layer.scale.detach().clone())
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    assert (found[0] != 1).all()
