#!/usr/bin/env python3
"""A peer in training: pre-activation ResNet-20 with Brevitas' uniform quantization.

As far as the two allow, what ``sysmol train --uniform 2`` does: the same float twin, data, batches,
teacher, loss, epochs, Adam with the same rates, the same averages in batch norm at the end; the
loop is ours (:func:`sysmol.train.distilled_stage`). The quantizers are Brevitas' own:

- weights: signed integers, one learned scale for each output channel, which starts at the least
  squared error. Brevitas' grids have a zero: 2 bits are {-2, -1, 0, 1} (``--narrow``: {-1, 0, 1});
- activations: unsigned integers behind each ReLU, one learned scale a tensor, which starts at
  Brevitas' default, a high percentile of the first batches;
- the first convolution and the classifier have 8 bits. Images are bytes already.

Brevitas is not in .venv, as it wants an old setuptools. In an environment of its own::

    python3 -m venv /tmp/brevitas
    /tmp/brevitas/bin/pip install brevitas==0.13.4 torch==2.13.0 numpy onnx tqdm rich matplotlib
    PYTHONPATH=python /tmp/brevitas/bin/python test/benchmark/brevitas_peer.py --out peer \\
        --twin python/sysmol/zoo/preresnet20-fashion-mnist-float.onnx --epochs 8
"""

from __future__ import annotations

import argparse
import copy
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from brevitas import __version__ as brevitas_version
from brevitas import nn as qnn
from brevitas.quant import Int8WeightPerChannelFloatMSE, Uint8ActPerTensorFloat
from torch import nn

from sysmol import files
from sysmol.arguments import Parser, factor, natural, positive, run_script, seed, threads
from sysmol.budget import Budget, Unit
from sysmol.models import load_float
from sysmol.onednn import avoid_fault
from sysmol.tasks import FASHION_MNIST
from sysmol.train import Settings, Split, accuracy, distilled_stage, load_splits

_ENDS = 8
_STEPS = 30  # batches that activation scales are measured on; the default, 300, is slow


def _weight_options(bits: int, narrow: bool) -> dict[str, Any]:
    return {
        "weight_quant": Int8WeightPerChannelFloatMSE,
        "weight_bit_width": bits,
        "weight_narrow_range": narrow,
    }


def _convolution(conv: nn.Conv2d, bits: int, narrow: bool) -> nn.Module:
    layer = qnn.QuantConv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        bias=False,
        **_weight_options(bits, narrow),
    )
    layer.load_state_dict({"weight": conv.weight.detach()}, strict=False)
    return layer


def _relu(bits: int) -> nn.Module:
    return qnn.QuantReLU(
        act_quant=Uint8ActPerTensorFloat, bit_width=bits, collect_stats_steps=_STEPS
    )


def quantize(twin: nn.Module, bits: int, narrow: bool) -> nn.Module:
    """A copy of the float network with Brevitas' layers.

    Parameters
    ----------
    twin : PreResNet
    bits : int
        Of all weights and activations but the ends'.
    narrow : bool
        Weights without the lowest code.
    """
    model = copy.deepcopy(twin)
    for name, module in list(model.named_modules()):
        parent, _, leaf = name.rpartition(".")
        new: nn.Module | None = None
        if isinstance(module, nn.Conv2d):
            new = _convolution(module, _ENDS if name == "conv" else bits, narrow)
        elif isinstance(module, nn.ReLU):
            new = _relu(_ENDS if name == "relu" else bits)
        elif isinstance(module, nn.Linear):
            new = qnn.QuantLinear(
                module.in_features,
                module.out_features,
                bias=True,
                input_quant=Uint8ActPerTensorFloat,
                input_collect_stats_steps=_STEPS,
                **_weight_options(_ENDS, True),
            )
            state = {"weight": module.weight.detach(), "bias": module.bias.detach()}
            new.load_state_dict(state, strict=False)
        if new is not None:
            setattr(model.get_submodule(parent), leaf, new)
    return model


def optimizer_of(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """Adam with the rates of ``sysmol train``: 5 for activation scales, 0.1 for weight scales."""
    groups: dict[float, list[nn.Parameter]] = {1.0: [], 0.1: [], 5.0: []}
    for name, parameter in model.named_parameters():
        if "weight_quant" in name:
            groups[0.1].append(parameter)
        elif "act_quant" in name or "input_quant" in name:
            groups[5.0].append(parameter)
        else:
            groups[1.0].append(parameter)
    return torch.optim.Adam(
        [{"params": found, "lr": rate * times} for times, found in groups.items()]
    )


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        seed=options.seed,
        batch=options.batch,
        epochs={"float": 0, "noise": 0, "finetune": options.epochs},
        rates={"float": 0.0, "noise": 0.0, "finetune": options.rate},
        budget=Budget(Unit.BITS, options.bits),
        target="",
        patterns="none",
        uniform=options.bits,
        device="cpu",
        bf16=not options.no_bf16,
        limit=options.limit,
        twin=f"{options.twin.name}, brevitas {brevitas_version}, narrow {options.narrow}",
    )


def _warm_up(model: nn.Module, train: Split, settings: Settings) -> None:
    """Let Brevitas see a batch: until then its scales are no parameters that Adam could have."""
    generator = torch.Generator().manual_seed(settings.seed)
    model.train()
    x, _ = next(FASHION_MNIST.batches(train.images, train.labels, settings.batch, generator))
    with torch.no_grad():
        model(x)


def run(options: argparse.Namespace) -> None:
    """Train, measure, and write the results."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    settings = _settings(options)
    splits = load_splits(options.data, options.limit)
    twin = load_float(FASHION_MNIST.model(), options.twin)
    twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model = quantize(twin, options.bits, options.narrow)
    avoid_fault(model)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    _warm_up(model, splits[0], settings)
    optimizer = optimizer_of(model, options.rate)
    options.out.mkdir(parents=True, exist_ok=True)
    distilled_stage(model, twin, optimizer, splits, settings, options.out)
    results = {
        "settings": asdict(settings) | {"budget": None},
        "brevitas": brevitas_version,
        "torch": torch.__version__,
        "test_images": len(splits[1].labels),
        "accuracy": accuracy(model, splits[1], bf16=False),
        "float_accuracy": accuracy(twin, splits[1], bf16=False),
    }
    files.write_json(options.out / "results.json", results)
    print(f"accuracy {results['accuracy']:.4f}")


def arguments(top: Parser) -> None:
    """What it takes."""
    recipe = FASHION_MNIST.recipe
    top.add_argument("--out", type=Path, required=True, help="folder of checkpoint and log")
    top.add_argument("--twin", type=Path, required=True, help="float network, .onnx")
    top.add_argument("--data", type=Path, help="folder with the idx.gz files")
    top.add_argument("--bits", type=positive, default=2)
    top.add_argument("--narrow", action="store_true", help="weights without the lowest code")
    top.add_argument("--epochs", type=natural, default=8)
    top.add_argument("--rate", type=factor, default=recipe.rates["finetune"])
    top.add_argument("--batch", type=positive, default=recipe.batch)
    top.add_argument("--seed", type=seed, default=1)
    top.add_argument("--threads", type=threads, default=1)
    top.add_argument("--no-bf16", action="store_true")
    top.add_argument("--limit", type=natural, default=0, help="use so many images only; 0: all")


def main() -> int:
    """Entry point; gives the exit status."""
    return run_script(__doc__, arguments, run)


if __name__ == "__main__":
    sys.exit(main())
