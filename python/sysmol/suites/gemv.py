"""Suite ``gemv``: a linear layer on few rows, reals in, reals out, the whole call.

The ceiling is the lower of two: multiply-accumulates, and reading as many bytes as the weights have
(``"bound"`` says which). Its share is that of our code alone, by the clocks in it (``code_ms``): a
call from Python takes some microseconds more, ours and the peers'.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sysmol.measure import pinned
from sysmol.programs import MIXES, Product
from sysmol.suites.engines import (
    Call,
    attempt,
    file_in,
    ggml_features,
    ggml_product,
    onnxruntime_call,
    openvino_call,
    torch_call,
)
from sysmol.suites.ours import compiled, loaded, our_calls
from sysmol.suites.settings import Settings, make_rows, measure

__all__ = ["CASES", "run"]

Array = npt.NDArray[Any]

#: Layers, and the mixes that each is measured at.
CASES: tuple[tuple[Product, tuple[str, ...]], ...] = (
    (Product(1, 4096, 4096), ("60/35/5", "2 bit")),
    (Product(1, 4096, 11008), ("60/35/5", "1 bit", "2 bit", "4 bit", "8 bit")),
    *((Product(rows, 4096, 4096), ("60/35/5",)) for rows in range(2, 8)),
    (Product(8, 4096, 4096), ("60/35/5", "2 bit")),
    (Product(128, 768, 3072), ("60/35/5", "1 bit", "2 bit", "4 bit", "8 bit")),
)

_SECONDS = 0.5

#: Of timing the code alone.
_TURNS, _RUNS = 10, 40


def _peer_calls(layer: Product, folder: Path, settings: Settings) -> dict[str, Call]:
    from sysmol.suites import models

    rng = np.random.default_rng(0)
    x = rng.random((layer.rows, layer.inputs), np.float32)
    threads, missing = settings.threads, settings.missing
    calls: dict[str, Call] = {}
    for int8 in (False, True):
        kind = "int8" if int8 else "float32"
        path = file_in(folder, f"{layer} {kind}").with_suffix(".onnx")
        models.product(layer, path, int8)
        for engine, make in (("onnxruntime", onnxruntime_call), ("openvino", openvino_call)):
            if engine in settings.peers:
                calls |= attempt(
                    f"{engine} {kind}",
                    partial(make, path, x, threads),
                    missing,
                )
    if "onnxruntime" in settings.peers:
        for bits in (2, 4, 8):
            path = file_in(folder, f"{layer} w{bits}").with_suffix(".onnx")
            models.product_nbits(layer, path, bits)
            calls |= attempt(
                f"onnxruntime w{bits}",
                partial(onnxruntime_call, path, x, threads),
                missing,
            )
    if "torch" in settings.peers:
        from torch import nn

        linear = nn.Linear(layer.inputs, layer.outputs, bias=False)
        for dtype in ("float32", "bfloat16"):
            calls |= attempt(
                f"torch {dtype}",
                partial(torch_call, linear, x, dtype, threads),
                missing,
            )
    if "ggml" in settings.peers:
        repeat = layer.outputs // 256
        weights = rng.standard_normal((layer.outputs // repeat, layer.inputs), np.float32)
        features = ggml_features()
        for kind in ("tq2_0", "q4_0", "q8_0"):
            calls |= attempt(
                f"ggml {kind} ({features})",
                partial(ggml_product, weights, x, kind, threads, repeat),
                missing,
            )
    return calls


def _code_ms(bundles: Mapping[str, Path], x: Array, threads: int) -> dict[str, float]:
    """Milliseconds of a call without its caller, the least of many in turns."""
    models = {mix: loaded(bundle, threads) for mix, bundle in bundles.items()}
    found = dict.fromkeys(models, math.inf)
    for _ in range(_TURNS):
        for mix, model in models.items():
            whole = next(row for row in model.profile(x, runs=_RUNS) if row.name == "total")
            found[mix] = min(found[mix], whole.minimum * 1e3)
    return found


def run(settings: Settings, note: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure; gives the rows, with the bytes of weights and their rate."""
    rows: list[dict[str, Any]] = []
    for layer, mixes in CASES:
        wanted = [mix for mix in mixes if settings.wants(f"{layer}, {mix}")]
        if not wanted:
            continue
        note(str(layer))
        x = np.random.default_rng(0).random((layer.rows, layer.inputs), np.float32)
        with tempfile.TemporaryDirectory(prefix="sysmol-") as name:
            folder = Path(name)
            bundles: dict[str, Path] = {}
            clocked: dict[str, Path] = {}
            for mix in wanted:
                for place, profile in ((bundles, False), (clocked, True)):
                    source = file_in(folder, f"{layer} {mix} {profile}").with_suffix(".mlir")
                    source.write_text(layer.program(MIXES[mix]))
                    place[mix], _ = compiled(source, golden_pairs=0, profile=profile)
            found, peers, cycles = measure(
                partial(our_calls, bundles, x, settings.threads, 0.01),
                partial(_peer_calls, layer, folder, settings),
                0.01,
                _SECONDS,
                settings,
            )
            with pinned(settings.threads):
                code = _code_ms(clocked, x, settings.threads)
        for row in make_rows(
            str(layer),
            found,
            peers,
            {mix: layer.macs_by_level(MIXES[mix]) for mix in wanted},
            cycles,
            settings,
        ):
            mix = row["case"].removeprefix(f"{layer}, ")
            row["weight_bytes"] = layer.weight_bytes(MIXES[mix])
            # A whole call has no less than its code: the other measurement was disturbed.
            row["code_ms"] = min(code[mix], row["ours_ms"])
            row["mac_per_cycle"] *= row["ours_ms"] / row["code_ms"]
            row["gb_per_s"] = row["weight_bytes"] / (row["code_ms"] * 1e6)
            streamed = (
                layer.macs / row["weight_bytes"] * settings.table.streamed(row["weight_bytes"])
            )
            row["bound"] = "memory" if streamed < row["ceiling"] else "compute"
            row["ceiling"] = min(streamed, row["ceiling"])
            row["ceiling_share"] = row["mac_per_cycle"] / row["ceiling"]
            rows.append(row)
    return rows
