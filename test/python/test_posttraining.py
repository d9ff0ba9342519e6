"""Precisions without training, on the float twin of the zoo."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from native import needs_native
from torch import nn
from torch.nn import functional

import sysmol
from sysmol import SysmolError, data, zoo
from sysmol.budget import Costs, Unit, settle_by
from sysmol.layers import ActivationQuant, CarrierQuant, ChannelPrecision
from sysmol.models import PreResNet, load_float, preresnet20
from sysmol.posttraining import POST_LEVELS, sensitivity
from sysmol.prepare import (
    calibrate,
    calibrate_carrier,
    hidden_layers,
    mean_bits,
    prepare,
    recalibrate_batchnorm,
)

COUNT = 256


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@cache
def twin() -> nn.Module:
    return load_float(preresnet20(), zoo.FLOAT).eval()


@cache
def images(start: int, count: int) -> torch.Tensor:
    raw, _ = data.load("test")
    return torch.from_numpy(data.to_input(raw[start : start + count]))


@torch.no_grad()
def divergence(model: nn.Module) -> float:
    """From the twin's answers, on images that calibration has not seen."""
    x = images(5000, 500)
    p, q = (functional.log_softmax(m(x), 1) for m in (twin(), model))
    return float(functional.kl_div(q, p, reduction="batchmean", log_target=True))


def at_random(bits: float, seed: int) -> nn.Module:
    """The same calibration with levels drawn at random, the same mean bits."""
    model = prepare(twin()).eval()
    x = images(0, COUNT)
    calibrate(model, x, 4)
    costs = Costs(model, levels=POST_LEVELS)
    generator = np.random.default_rng(seed)
    draws = [torch.from_numpy(generator.uniform(size=p.s.numel())) for p in costs.precisions]
    levels = torch.tensor(POST_LEVELS)
    settle_by(
        model,
        costs,
        bits,
        lambda shift: [levels[((d + shift) * 3).floor().clamp(0, 2).long()] for d in draws],
    )
    calibrate(model, x)
    recalibrate_batchnorm(model, list(torch.split(x, 100)))
    calibrate_carrier(model, x)
    return model.eval()


def test_measured_sensitivity_beats_chance_at_equal_bits_and_is_exact_in_integers(
    tmp_path: Path,
) -> None:
    model = sysmol.calibrate_bits(twin(), images(0, COUNT), 4.0)
    assert mean_bits(model) == pytest.approx(4.0, abs=0.04)
    others = [at_random(4.0, seed) for seed in range(3)]
    assert all(mean_bits(other) == pytest.approx(4.0, abs=0.04) for other in others)
    ours, chance = divergence(model), [divergence(other) for other in others]
    assert ours < 0.7 * min(chance), (ours, chance)
    # What comes out is a network of the law: its file runs in integers as PyTorch does.
    sysmol.export(model, tmp_path / "net.onnx")
    x = images(0, 8)
    exact = sysmol.IntegerNetwork.from_onnx(tmp_path / "net.onnx").run(x.numpy())
    with torch.no_grad():
        simulated = model(x).numpy()
    assert (exact.argmax(1) == simulated.argmax(1)).all()


def small() -> nn.Module:
    torch.manual_seed(1)
    model = PreResNet(1, (4, 6, 8))
    model.train()
    with torch.no_grad():
        for _ in range(10):
            model(images(0, 32))
    return model.eval()


def test_sensitivity_is_the_change_of_the_likelihood_of_one_channel() -> None:
    model = prepare(small())
    x = images(0, 4)
    calibrate(model, x, 4)
    for module in model.modules():
        if isinstance(module, ActivationQuant) and not module.precision.learned:
            module.observing = []  # steps of rounding have no derivative
    found = sensitivity(model, x, (2, 4))
    assert all(bool((part[:, 0] >= part[:, 1]).float().mean() > 0.8) for part in found.values())
    # Against the real thing for one channel: quantize it alone, in double, and differentiate.
    name, layer = list(hidden_layers(model))[1]
    quant = next(
        m
        for m in model.modules()
        if isinstance(m, ActivationQuant) and m.precision is layer.precision
    )
    del name
    model.eval()
    for module in model.modules():
        if isinstance(module, CarrierQuant):
            module.train()  # as above
    channel, level = 1, 2
    logits: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        logits["before"] = model(x)
    answers = torch.multinomial(
        logits["before"].softmax(1), 1, generator=torch.Generator().manual_seed(0)
    )
    weight = layer.weight.detach().clone()
    bits = layer.precision.bits.clone()
    layer.precision.bits.fill_(level)
    keep = layer.scale.detach().clone()
    layer.fit_scale()
    rounded = layer.quantized().detach()
    with torch.no_grad():
        layer.scale.copy_(keep)
    layer.precision.bits.copy_(bits)
    top = 2**level - 1
    t = 1e-3  # a small part of the whole change, so that first order holds

    def mixed(module: nn.Module, given: tuple[torch.Tensor, ...], y: torch.Tensor) -> torch.Tensor:
        del module, given
        q = torch.clamp(torch.round(y / quant.scale * top), 0, top) * quant.scale / top
        out = y.clone()
        out[:, channel] = q[:, channel]
        return out

    def added(module: nn.Module, given: tuple[torch.Tensor, ...], y: torch.Tensor) -> torch.Tensor:
        del module
        a = given[0]
        b = mixed(quant, (), a)
        w = weight.clone()
        w[:, channel] = rounded[:, channel]
        new = functional.conv2d(b, w, None, layer.stride, layer.padding)  # type: ignore[attr-defined]
        return y + t * (new - y)

    hook = layer.register_forward_hook(added)
    with torch.no_grad():
        logits["after"] = model(x)
    hook.remove()
    moved = {k: v.log_softmax(1).gather(1, answers).double() for k, v in logits.items()}
    change = (moved["after"] - moved["before"]) / t
    expected = float(change.square().mean() / 2)
    assert float(found[layer.precision][channel, 0]) == pytest.approx(expected, rel=0.05)


def test_other_units_and_levels() -> None:
    model = sysmol.calibrate_bits(small(), images(0, 32), 2.0, levels=(1, 2, 4))
    used = {int(p) for m in model.modules() if isinstance(m, ChannelPrecision) for p in m.bits}
    assert used <= {1, 2, 4, 8} and len(used - {8}) > 1
    model = sysmol.calibrate_bits(small(), images(0, 32), 4400.0, Unit.SIZE)
    assert all(m.frozen for m in model.modules() if isinstance(m, ChannelPrecision))


def test_what_cannot_be_calibrated_is_refused() -> None:
    with pytest.raises(SysmolError, match="is not between 2 and 8"):
        sysmol.calibrate_bits(small(), images(0, 8), 1.0)
    with pytest.raises(SysmolError, match="give two or three"):
        sysmol.calibrate_bits(small(), images(0, 8), 4.0, levels=(1, 2, 4, 8))
    with pytest.raises(SysmolError, match="few hundred"):
        sysmol.calibrate_bits(small(), images(0, 8)[:0], 4.0)


@needs_native
def test_the_script_leaves_results_and_networks(tmp_path: Path) -> None:
    script = Path(__file__).resolve().parents[1] / "benchmark" / "posttraining.py"
    command = [sys.executable, str(script), "--out", str(tmp_path), "--images", "32"]
    done = subprocess.run(
        [*command, "--test-images", "200", "--only", "2-4 at 2"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "posttraining.json").read_text())["2-4 at 2"]
    assert row["bits"] == 2.0 and row["levels"] == [2, 4] and row["accuracy"] > 0.3
    assert sum(row["channels"].values()) == 737 and 95_000 < row["stored_bytes"] < 110_000
    network = gzip.decompress((tmp_path / "2-4-at-2.onnx.gz").read_bytes())
    (tmp_path / "net.onnx").write_bytes(network)
    assert sysmol.IntegerNetwork.from_onnx(tmp_path / "net.onnx")
    done = subprocess.run([*command, "--only", "3-5 at 2"], capture_output=True, text=True)
    assert done.returncode == 1 and "no case '3-5 at 2'; there are '2-4-8 at 6', " in done.stderr
