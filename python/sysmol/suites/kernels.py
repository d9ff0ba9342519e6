"""Suite ``kernels``: one convolution or product at a time, in L2.

Ours is the time of the layer between two clocks in the compiled code (``profile=True``): codes in,
codes out, as within a network. A peer is measured the same way from outside, where the layer can
follow itself: the time of five on end less that of one, by four, so that neither its calls nor its
conversions of layouts count. Where it cannot (``"peer_whole_call": true``), the peer's whole call
counts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sysmol.explain import LayerReport, ceiling_cycles
from sysmol.measure import Burst, Latency
from sysmol.programs import LAYER, MIXES, Convolution
from sysmol.runtime import Layer, Model, inspect
from sysmol.suites.engines import (
    Call,
    attempt,
    file_in,
    onnxruntime_call,
    openvino_call,
    torch_call,
)
from sysmol.suites.ours import compiled, loaded
from sysmol.suites.settings import Settings, make_rows, measure

__all__ = ["CASES", "EXPLAINED", "run"]

_ALL = tuple(MIXES)
_SOME = ("60/35/5", "2 bit", "8 bit")

#: Layers, and the mixes that each is measured at.
CASES: tuple[tuple[Convolution, tuple[str, ...]], ...] = (
    (Convolution(64, 64, 56), _ALL),
    (Convolution(128, 128, 28), _ALL),
    (Convolution(256, 256, 14), _ALL),
    (Convolution(512, 512, 7), _SOME),
    (Convolution(64, 128, 56, stride=2), _SOME),
    (Convolution(16, 16, 28), _ALL),
    (Convolution(32, 32, 14), _SOME),
    (Convolution(64, 64, 7), _SOME),
    (Convolution(37, 51, 13), _SOME),
    (Convolution(256, 256, 14, kernel=1), _ALL),
    (Convolution(64, 256, 28, kernel=1), _SOME),
    (Convolution(64, 128, 56, kernel=1, stride=2), _SOME),
    (Convolution(512, 512, 16, kernel=1), _SOME),
    (Convolution(3, 64, 112, kernel=7, stride=2), ("8 bit",)),
    (Convolution(32, 32, 28, kernel=7), _SOME),
    (Convolution(128, 128, 28, depthwise=True), _ALL),
)

#: Below this share of the ceiling a row says where the time goes.
EXPLAINED = 0.6

#: Seconds of measuring a layer: for each mix, and for each peer.
_SECONDS = 0.25


def _layer_burst(model: Model, runs: int) -> Callable[[], Burst]:
    x = np.zeros(model.inputs[0].shape, model.inputs[0].dtype)
    out = np.empty(model.outputs[0].shape, model.outputs[0].dtype)

    def burst() -> Burst:
        for row in model.profile(x, runs=runs, out=out):
            if row.name == LAYER:
                return Burst(row.minimum * 1e3, row.median * 1e3, runs)
        raise AssertionError("the program has lost its layer")

    return burst


def _layer_bursts(bundles: Mapping[str, Path], threads: int) -> dict[str, Callable[[], Burst]]:
    return {mix: _layer_burst(loaded(bundle, threads), 20) for mix, bundle in bundles.items()}


def _layer(bundle: Path) -> Layer:
    return next(layer for layer in inspect(bundle).layers if layer.name == LAYER)


def _peer_calls(conv: Convolution, folder: Path, settings: Settings) -> dict[str, Call]:
    from sysmol.suites import models

    chains = conv.channels == conv.outputs and conv.stride == 1
    calls: dict[str, Call] = {}
    rng = np.random.default_rng(0)
    for int8 in (False, True):
        x = rng.integers(0, 256, conv.input_shape).astype(np.uint8 if int8 else np.float32)
        kind = "int8" if int8 else "float32"
        for repeat in (1, 5) if chains else (1,):
            path = file_in(folder, f"{conv} {kind} {repeat}").with_suffix(".onnx")
            models.convolution(conv, path, int8, repeat)
            for engine, make in (("onnxruntime", onnxruntime_call), ("openvino", openvino_call)):
                if engine not in settings.peers:
                    continue
                calls |= attempt(
                    f"{engine} {kind} x{repeat}",
                    partial(make, path, x, settings.threads),
                    settings.missing,
                )
    if "torch" in settings.peers:
        x = rng.random(conv.input_shape, np.float32)
        for repeat in (1, 5) if chains else (1,):
            module = models.torch_convolution(conv, repeat)
            for kind in ("float32", "bfloat16"):
                calls |= attempt(
                    f"torch {kind} x{repeat}",
                    partial(torch_call, module, x, kind, settings.threads),
                    settings.missing,
                )
    return calls


def _peers(measured: Mapping[str, Latency]) -> dict[str, Latency]:
    """One layer's time, from one and five of them."""
    found = {}
    for name, one in measured.items():
        if not name.endswith(" x1"):
            continue
        five = measured.get(name[:-1] + "5")
        if five is None:
            found[name[:-3]] = one
        else:
            # Never more than the whole call of one: a long run is disturbed more easily.
            found[name[:-3]] = Latency(
                min(one.minimum, max(five.minimum - one.minimum, 1e-6) / 4),
                min(one.median, max(five.median - one.median, 1e-6) / 4),
                five.runs,
            )
    return found


def run(settings: Settings, note: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure; gives the rows."""
    rows: list[dict[str, Any]] = []
    for conv, mixes in CASES:
        wanted = [mix for mix in mixes if settings.wants(f"{conv}, {mix}")]
        if not wanted:
            continue
        note(str(conv))
        with tempfile.TemporaryDirectory(prefix="sysmol-") as name:
            folder = Path(name)
            bundles: dict[str, Path] = {}
            for mix in wanted:
                source = file_in(folder, f"{conv} {mix}").with_suffix(".mlir")
                source.write_text(conv.program(MIXES[mix]))
                bundles[mix], _ = compiled(source, golden_pairs=0, profile=True)
            found, peers, cycles = measure(
                partial(_layer_bursts, bundles, settings.threads),
                partial(_peer_calls, conv, folder, settings),
                0.005,
                _SECONDS,
                settings,
            )
            layers = {mix: _layer(bundle) for mix, bundle in bundles.items()}
        chains = conv.channels == conv.outputs and conv.stride == 1
        for mix, layer in layers.items():
            more: dict[str, Any] = {} if chains else {"peer_whole_call": True}
            more["strategy"] = layer.strategy
            more["predicted_ms"] = layer.predicted_ns / 1e6
            # What is not filled is padding: of words, of lanes between rows and behind the last.
            more["filled"] = (
                layer.needed_macs / layer.executed_macs if layer.executed_macs else None
            )
            seconds = found[mix].minimum / 1e3
            ideal = ceiling_cycles(layer, settings.table) / settings.threads
            report = LayerReport(layer, seconds, ideal, seconds * cycles)
            more["losses"] = report.losses
            if report.share is not None and report.share < EXPLAINED:
                more["explanation"] = report.losses_text
            macs = conv.macs_by_level(MIXES[mix])
            rows += make_rows(
                str(conv),
                {mix: found[mix]},
                _peers(peers),
                {mix: macs},
                cycles,
                settings,
                more,
                {p: count * layer.needed_macs / layer.macs for p, count in macs.items()},
            )
    return rows
