"""Measure compiled networks against what users have today, interleaved in one run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sysmol.errors import SysmolError
from sysmol.measure import Latency, environment, interleaved
from sysmol.peers import OnnxRuntime, quantize_int8
from sysmol.runtime import Model, load

__all__ = [
    "CALIBRATION_IMAGES",
    "PEERS",
    "SUITES",
    "Calibration",
    "calibration",
    "latencies",
    "networks",
    "run_suites",
]

SUITES = ("networks", "gemv", "kernels")
"""What :func:`run_suites` measures."""

PEERS = ("onnxruntime", "openvino", "torch", "ggml")
"""Packages that it is measured beside, where they are installed."""

Float32 = npt.NDArray[np.float32]

CALIBRATION_IMAGES = 500


@dataclass(frozen=True)
class Calibration:
    """Images that the INT8 peer is calibrated on, and where they come from, in words."""

    images: Float32
    source: str


def calibration(count: int = CALIBRATION_IMAGES) -> Calibration:
    """Training images where the data set is installed, else test images (said in the result)."""
    from sysmol import data

    try:
        images, _ = data.load("train")
        source = f"the first {count} training images"
    except SysmolError:
        images, _ = data.load("test")
        source = (
            f"the first {count} test images, which flatters it "
            "(dataset-fashion-mnist is not installed)"
        )
    return Calibration(data.to_input(images[:count]), source)


def our_call(model: Model, image: Float32) -> Callable[[], object]:
    """A call of a compiled model on fixed arrays."""
    image = np.ascontiguousarray(image)
    out = np.empty(model.outputs[0].shape, model.outputs[0].dtype)
    return model.bind(image, out=out)


def latencies(
    model: Model,
    float_onnx: str | os.PathLike[str],
    int8_onnx: str | os.PathLike[str],
    image: Float32,
    runs: int,
) -> dict[str, Latency]:
    """One image, one thread, interleaved: ours and ONNX Runtime in float32 and INT8.

    Returns
    -------
    dict of str to Latency
        Keys ``ours``, ``ort-float32``, ``ort-int8``.
    """
    return interleaved(
        {
            "ours": our_call(model, image),
            "ort-float32": OnnxRuntime(float_onnx, batch=1).bound(image),
            "ort-int8": OnnxRuntime(int8_onnx, batch=1).bound(image),
        },
        runs,
    )


def rows(case: str, measured: dict[str, Latency]) -> list[dict[str, Any]]:
    """One row for each peer; milliseconds, the ratio of the smallest times."""
    ours = measured["ours"]
    return [
        {
            "case": case,
            "ours_ms": ours.minimum,
            "ours_median_ms": ours.median,
            "peer": peer,
            "peer_ms": taken.minimum,
            "peer_median_ms": taken.median,
            "ratio": taken.minimum / ours.minimum,
            "ratio_median": taken.median / ours.median,
            "runs": ours.runs,
        }
        for peer, taken in measured.items()
        if peer != "ours"
    ]


def networks(pairs: Sequence[tuple[Path, Path]], runs: int = 2000) -> dict[str, Any]:
    """The suite ``networks``: bundles beside their float twins.

    Parameters
    ----------
    pairs : sequence of (Path, Path)
        A bundle, and the ONNX file of its float twin.
    runs : int
        Counted calls of each.

    Returns
    -------
    dict
        ``suite``, ``environment`` and ``rows``, ready for JSON; in a row also the bytes of the
        weights with their scales and tables, as stored and as float32.
    """
    from sysmol import data

    found: list[dict[str, Any]] = []
    images = calibration()
    for bundle, twin in pairs:
        model = load(bundle)
        shape = model.inputs[0].shape
        image = data.to_input(data.load("test")[0][:1])
        if image.shape != shape or len(model.inputs) != 1:
            raise SysmolError(f"{bundle}: the suite has images {list(image.shape)}, not {shape}")
        with tempfile.TemporaryDirectory(prefix="sysmol-") as folder:
            int8 = Path(folder) / "int8.onnx"
            quantize_int8(twin, int8, images.images)
            measured = latencies(model, twin, int8, image, runs)
        name = f"{model.name}, {'x'.join(map(str, shape))}, 1 thread, {model.target}"
        sizes = {"weight_bytes": model.sizes.weights, "float_bytes": model.sizes.floats}
        found += [row | sizes for row in rows(name, measured)]
    return {
        "suite": "networks",
        "environment": environment(),
        "int8_calibration": images.source,
        "rows": found,
    }


def run_suites(
    suites: Sequence[str],
    *,
    threads: int = 1,
    peers: Sequence[str] = PEERS,
    filter: str = "",
    scale: float = 1.0,
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure suites beside all peers, interleaved, pinned.

    Parameters
    ----------
    suites : sequence of str
        Of :data:`SUITES`.
    threads : int
        Of one call, ours and the peers'; as many CPUs are used.
    peers : sequence of str
        Of :data:`PEERS`.
    filter : str
        A regular expression; only cases in whose name it is found are measured.
    scale : float
        Factor on the time that each case is measured.
    note : callable
        Told what is measured next.

    Returns
    -------
    dict
        ``environment``, ``cost_table``, ``missing`` (peers that could not run, and why) and
        ``rows``: each of our cases against each peer, with ``case, ours_ms, peer, peer_ms, ratio,
        mac_per_cycle, ceiling_share`` and more.
    """
    from sysmol.costs import cost_table
    from sysmol.suites import gemv, kernels
    from sysmol.suites import networks as networks_suite
    from sysmol.suites.ours import best_target
    from sysmol.suites.settings import Settings

    runners = {"networks": networks_suite.run, "gemv": gemv.run, "kernels": kernels.run}
    table = cost_table(best_target())
    settings = Settings(table, threads, frozenset(peers), filter, scale)
    found: list[dict[str, Any]] = []
    for suite in suites:
        found += [{"suite": suite, **row} for row in runners[suite](settings, note)]
    return {
        "suite": "+".join(suites),
        "environment": environment(),
        "threads": threads,
        "cost_table": dict(table.raw),
        "missing": settings.missing,
        "rows": found,
    }
