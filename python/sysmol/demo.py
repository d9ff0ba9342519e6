"""``sysmol demo``: a real network, compiled and run beside ONNX Runtime."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sysmol import data, picture, zoo
from sysmol.bench import calibration, latencies
from sysmol.compile import CompileReport, compile
from sysmol.errors import SysmolError
from sysmol.files import write_json
from sysmol.measure import Latency, environment
from sysmol.peers import OnnxRuntime, quantize_int8
from sysmol.runtime import Model, load
from sysmol.tables import is_narrow, kib, layer_table, phase_table, plain_table

__all__ = ["Results", "Settings", "ascii_pictures", "measure", "run", "show"]

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Settings:
    """What to run.

    Attributes
    ----------
    network, twin : Path
        The ONNX file to compile, and its float twin.
    output : Path
        Folder for the bundle, the INT8 model and the pictures.
    images : int
        How many test images; at most 10,000.
    runs : int
        Counted calls of each latency.
    threads : int
        For the accuracies only.
    """

    network: Path = zoo.NETWORK
    twin: Path = zoo.FLOAT
    output: Path = Path("sysmol-demo")
    images: int = 10_000
    runs: int = 2000
    threads: int = os.cpu_count() or 1


@dataclass(frozen=True)
class Results:
    """What was measured; ``accuracy`` by name (ours, ort-float32, ort-int8), as ``latency``."""

    report: CompileReport
    model: Model
    accuracy: dict[str, float]
    batch_seconds: float
    latency: dict[str, Latency]
    int8_calibration: str
    float_file_bytes: int
    int8_file_bytes: int
    labels: Bytes
    predictions: npt.NDArray[np.int64]
    pictures: tuple[Path, Path]
    mean_bits: float

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes: the float parameters, our weights as stored, our code, our whole file."""
        sizes = self.model.sizes
        return {
            "float": sizes.floats,
            "ours": sizes.weights,
            "ours_code": sizes.code[self.model.target],
            "ours_file": sizes.file,
            "arena": sizes.arena,
            "float_file": self.float_file_bytes,
            "int8_file": self.int8_file_bytes,
        }

    def to_json(self) -> dict[str, Any]:
        """Everything, for ``--json``."""
        ours = self.latency["ours"]
        peers = {k: v for k, v in self.latency.items() if k != "ours"}
        return {
            "model": self.model.name,
            "target": self.model.target,
            "environment": environment(),
            "images": len(self.labels),
            "accuracy": self.accuracy,
            "sizes": self.sizes,
            "compression": self.sizes["float"] / self.sizes["ours"],
            "mean_bits": self.mean_bits,
            "latency_ms": {name: asdict(taken) for name, taken in self.latency.items()},
            "ratio": {name: taken.minimum / ours.minimum for name, taken in peers.items()},
            "ratio_median": {name: taken.median / ours.median for name, taken in peers.items()},
            "int8_calibration": self.int8_calibration,
            "test_images_seconds": self.batch_seconds,
            "compile_seconds": dict(self.report.phases),
            "layers": [asdict(layer) for layer in self.model.layers],
            "predictions": self.predictions[:32].tolist(),
            "labels": self.labels[:32].tolist(),
        }


def ascii_pictures(images: Bytes, captions: list[str], width: int = 18) -> str:
    """Images [N, 28, 28] side by side, 14 x 7 characters each, a caption below each."""
    shades = " .:-=+*#%@"
    cells = images.reshape(len(images), 7, 4, 14, 2).mean((2, 4))
    index = np.minimum((cells / 256 * len(shades)).astype(int), len(shades) - 1)
    lines = [
        "".join("".join(shades[i] for i in row).ljust(width) for row in index[:, y])
        for y in range(7)
    ]
    lines.append("".join(caption[: width - 1].ljust(width) for caption in captions))
    return "\n".join(line.rstrip() for line in lines)


def measure(settings: Settings, console: Console) -> Results:
    """Compile, run and measure; says on ``console`` what it is doing.

    Raises
    ------
    SysmolError
        A file is missing or refused.
    """
    images, labels = data.load("test")
    if not 1 <= settings.images <= len(images):
        raise SysmolError(f"there are 1 to {len(images)} test images, not {settings.images}")
    images, labels = images[: settings.images], labels[: settings.images]
    inputs = data.to_input(images)
    try:
        settings.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SysmolError(f"cannot make the folder {settings.output}: {error.strerror}") from error

    def doing(what: str) -> None:
        console.print(f"[dim]{what} ...[/dim]")

    doing(f"compiling {settings.network.name}")
    bundle = settings.output / f"{settings.network.stem}.smol"
    # The two best: code for processors without AVX2 takes as long as both, and runs nowhere here.
    report = compile(settings.network, bundle)
    model = load(bundle)
    model.verify()

    doing(f"running {len(labels):,} test images")
    start = time.perf_counter()
    logits = model.run_batch(inputs, threads=settings.threads)
    batch_seconds = time.perf_counter() - start

    doing("the same in ONNX Runtime: float32, and quantized by its own tool to INT8")
    calibrating = calibration()
    int8 = settings.output / f"{settings.twin.stem}-int8.onnx"
    quantize_int8(settings.twin, int8, calibrating.images)
    predictions = {"ours": logits.argmax(1)}
    for name, path in (("ort-float32", settings.twin), ("ort-int8", int8)):
        session = OnnxRuntime(path, threads=settings.threads)
        predictions[name] = session.run(inputs).argmax(1)

    doing("measuring latencies, interleaved, one thread")
    taken = latencies(model, settings.twin, int8, inputs[:1], settings.runs)

    layers = picture.layer_bits(settings.network)
    pictures = (settings.output / "bits.png", settings.output / "bits.svg")
    picture.draw(layers, list(pictures), f"Bits per input channel: {model.name}")
    return Results(
        report,
        model,
        {name: float((found == labels).mean()) for name, found in predictions.items()},
        batch_seconds,
        taken,
        calibrating.source,
        settings.twin.stat().st_size,
        int8.stat().st_size,
        labels,
        predictions["ours"],
        pictures,
        picture.mean_bits(layers),
    )


def _comparison(results: Results) -> Table:
    names = ("ort-float32", "ort-int8", "ours")
    accuracy, latency, sizes = results.accuracy, results.latency, results.sizes
    ours = latency["ours"]
    table = plain_table(
        "", "ORT float32", "ORT INT8", "Sysmol", title="The same network three times"
    )
    table.add_row("accuracy", *(f"{accuracy[name]:.2%}" for name in names))
    table.add_row(
        "  against float32",
        "",
        *(f"{100 * (accuracy[name] - accuracy[names[0]]):+.2f} %" for name in names[1:]),
    )
    table.add_row(
        "weights, scales, tables", kib(sizes["float"]), "", f"[bold]{kib(sizes['ours'])}[/bold]"
    )
    table.add_row(
        "  times smaller", "1.0", "", f"[bold]{sizes['float'] / sizes['ours']:.1f}[/bold]"
    )
    table.add_row("machine code", "", "", kib(sizes["ours_code"]))
    table.add_row("  times smaller with code", "", "", f"{_with_code(sizes):.1f}")
    count = len(results.model.targets)
    table.add_row(
        f"file (ours: {count} targets)",
        *(kib(sizes[name]) for name in ("float_file", "int8_file", "ours_file")),
    )
    table.add_row("latency, minimum", *(f"{latency[n].minimum:.4f} ms" for n in names))
    table.add_row("latency, median", *(f"{latency[n].median:.4f} ms" for n in names))
    table.add_row(
        "  ours is faster (minimum)",
        *(f"[bold]{latency[n].minimum / ours.minimum:.2f}x[/bold]" for n in names[:2]),
        "",
    )
    table.add_row(
        "  ours is faster (median)",
        *(f"{latency[n].median / ours.median:.2f}x" for n in names[:2]),
        "",
    )
    return table


def _with_code(sizes: dict[str, int]) -> float:
    return sizes["float"] / (sizes["ours"] + sizes["ours_code"])


def _predictions(results: Results, shown: int) -> str:
    images = data.load("test")[0][:shown]
    captions = []
    for found, label in zip(results.predictions[:shown], results.labels[:shown], strict=True):
        mark = "" if found == label else f" (is {data.CLASSES[label]})"
        captions.append(data.CLASSES[found] + mark)
    return ascii_pictures(images, captions)


def show(results: Results, console: Console) -> None:
    """Print all tables."""
    shown = min(len(results.labels), max(1, min(6, console.width // 18)))
    # No markup or highlighting: pictures and paths hold brackets and numbers.
    console.print()
    console.print(Text("First predictions", style="bold"))
    console.print(Text(_predictions(results, shown)))
    console.print()
    console.print(layer_table(results.model.layers, is_narrow(console)))
    console.print(phase_table(results.report.phases))
    console.print(_comparison(results))
    images, seconds = len(results.labels), results.batch_seconds
    ours = results.latency["ours"]
    for line in (
        f"{images:,} test images in {seconds:.2f} s ({images / seconds:,.0f} a second). "
        f"Target {results.model.target}; mean bits per weight {results.mean_bits:.2f}.",
        f"Latency: batch 1, one thread on one CPU, interleaved, {ours.runs} calls each.",
        f"INT8: static QDQ quantization by ONNX Runtime, calibrated on {results.int8_calibration}.",
        f"Bits per channel: {results.pictures[0]} and {results.pictures[1].name}",
    ):
        console.print(Text(line))


def run(settings: Settings, json_file: Path | None, console: Console) -> Results:
    """Everything that ``sysmol demo`` does."""
    results = measure(settings, console)
    show(results, console)
    if json_file is not None:
        write_json(json_file, results.to_json())
        console.print(Text(f"Everything as JSON: {json_file}"))
    return results
