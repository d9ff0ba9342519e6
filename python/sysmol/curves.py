"""Pictures of training runs, from the logs that they left: ``python -m sysmol.curves --help``.

Upper: accuracy against mean bits of a hidden weight, one point a run, its float twin as a line.
Lower: for each run whose precisions were learned, mean bits and the channels of each precision
after every epoch of phase 1. Bits per channel and layer of one network: ``sysmol inspect NET.onnx
--picture FILE``.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sysmol.errors import SysmolError
from sysmol.picture import COLOURS, save

__all__ = ["Log", "draw", "main", "read", "table"]


@dataclass(frozen=True)
class Log:
    """One run.

    Attributes
    ----------
    name : str
    accuracy, twin : float
        Of the exported network and of its float twin, in percent.
    bits : float
        Mean bits of a hidden weight.
    stored : int or None
        Bytes of weights, scales and tables, where the run counted them.
    uniform : bool
        Whether all hidden channels have the same precision.
    epochs : list of dict
        Rows of ``noise.csv``; none for uniform precisions.
    """

    name: str
    accuracy: float
    twin: float
    bits: float
    stored: int | None
    uniform: bool
    epochs: list[dict[str, float]]


def read(folder: Path) -> Log:
    """The logs of ``sysmol train --out folder``."""
    path = folder / "results.json"
    try:
        results: dict[str, Any] = json.loads(path.read_text())
        rows: list[dict[str, float]] = []
        noise = folder / "noise.csv"
        if noise.is_file():
            with noise.open(newline="") as file:
                rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
        stored = results.get("stored_bytes")
        return Log(
            folder.name,
            100 * float(results["accuracy"]),
            100 * float(results["float_accuracy"]),
            float(results["mean_bits"]),
            None if stored is None else int(stored),
            bool(results["settings"].get("uniform")),
            rows,
        )
    except OSError as error:
        raise SysmolError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SysmolError(f"{folder}: not the logs of a finished run: {error!r}") from error


def table(logs: Sequence[Log]) -> str:
    """All runs as a Markdown table, fewest bits first."""
    lines = [
        "| run | bits per hidden weight | stored bytes | accuracy | float twin | difference |",
        "|---|---|---|---|---|---|",
    ]
    for log in sorted(logs, key=lambda log: log.bits):
        size = "" if log.stored is None else f"{log.stored:,}"
        lines.append(
            f"| {log.name} | {log.bits:.3f} | {size} | {log.accuracy:.2f} % | {log.twin:.2f} % | "
            f"{log.accuracy - log.twin:+.2f} |"
        )
    return "\n".join(lines) + "\n"


def draw(logs: Sequence[Log], files: Sequence[Path]) -> None:
    """Draw all runs; the endings of ``files`` say the formats."""
    import matplotlib

    style: Any = {
        "svg.hashsalt": "sysmol",  # the same picture is the same file
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with matplotlib.rc_context(style):
        _draw(logs, files)


def _draw(logs: Sequence[Log], files: Sequence[Path]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    learned = [log for log in logs if log.epochs]
    rows = 1 + len(learned)
    figure = Figure(figsize=(6.4, 3.2 + 2.2 * len(learned)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1, squeeze=False, height_ratios=[1.5, *[1] * len(learned)])[:, 0]
    top = axes[0]
    for log in logs:
        marker = "s" if log.uniform else "o"
        top.plot(log.bits, log.accuracy, marker, color=COLOURS[4 if log.uniform else 2])
        size = "" if log.stored is None else f" ({log.stored / 1000:.0f} KB)"
        top.annotate(
            log.name + size, (log.bits, log.accuracy), xytext=(6, 4), textcoords="offset points"
        )
    for twin in sorted({log.twin for log in logs}):
        top.axhline(twin, color="#999999", linewidth=0.8, linestyle="--")
        top.annotate(f"float {twin:.2f} %", (1, twin), xytext=(2, 2), textcoords="offset points")
    top.set_xlabel("bits per hidden weight")
    top.set_ylabel("test accuracy (%)")
    top.set_xlim(0.9, max(4.2, max(log.bits for log in logs) + 0.5))
    top.margins(y=0.2)
    for axis, log in zip(axes[1:], learned, strict=True):
        epochs = [row["epoch"] for row in log.epochs]
        bottom = [0.0] * len(epochs)
        for level in (1, 2, 4):
            heights = [row[f"channels_{level}"] for row in log.epochs]
            axis.bar(
                epochs,
                heights,
                0.7,
                bottom,
                color=COLOURS[level],
                label=f"{level} bits",
                linewidth=0,
            )
            bottom = [a + b for a, b in zip(bottom, heights, strict=True)]
        axis.set_title(f"{log.name}: phase 1", loc="left", fontsize=9)
        axis.set_ylabel("channels")
        axis.set_xticks(epochs)
        mean = axis.twinx()
        mean.plot(epochs, [row["mean_bits"] for row in log.epochs], "k.-", linewidth=0.8)
        mean.set_ylim(1, 4.2)
        mean.set_ylabel("mean bits")
        mean.spines.right.set_visible(True)
    if learned:
        axes[-1].set_xlabel("epoch")
        handles, labels = axes[1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    for path in files:
        save(figure, path, dpi=160, facecolor="white")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; gives the exit status."""
    top = argparse.ArgumentParser(
        prog="python -m sysmol.curves",
        description="Print and draw what training runs reached, from their logs.",
    )
    top.add_argument("folder", type=Path, nargs="+", help="that sysmol train wrote with --out")
    top.add_argument(
        "-o", "--output", type=Path, action="append", default=[], help="picture: .svg, .png, .pdf"
    )
    options = top.parse_args(arguments)
    try:
        logs = [read(folder) for folder in options.folder]
        print(table(logs), end="")
        if options.output:
            draw(logs, options.output)
    except SysmolError as error:
        print(f"sysmol.curves: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
