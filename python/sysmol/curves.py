"""Pictures of training runs, from the logs that they left: ``python -m sysmol.curves --help``.

Above: accuracy against the compiled network's bytes and, with ``--bench``, against its measured
latency. Runs that differ by their seed alone (``NAME``, ``NAME-seed-2``, ...) are one point, their
mean, with the range as a bar. Points from the same float twin that no other of their kind (learned
or uniform precisions) beats are joined: the Pareto front. Below: for each run whose precisions were
learned, mean bits and the channels of each precision after every epoch of phase 1. Bits per channel
and layer of one network: ``sysmol inspect NET.onnx --picture FILE``.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sysmol import results
from sysmol.arguments import Parser, run_script
from sysmol.errors import SysmolError
from sysmol.picture import COLOURS, save

__all__ = ["Log", "draw", "front", "main", "read", "read_all", "read_bench", "table"]


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
        Bytes of weights, scales and tables, where the run or a benchmark counted them.
    uniform : bool
        Whether all hidden channels have the same precision.
    part : bool
        Whether it saw a part of the training images only (``--limit``).
    epochs : list of dict
        Rows of ``noise.csv``; none for uniform precisions.
    latency : float or None
        Milliseconds of one call, where a benchmark measured them.
    smaller, faster : float or None
        The float twin's bytes over ``stored``, ONNX Runtime's time of it over ``latency``, from the
        same benchmark.
    """

    name: str
    accuracy: float
    twin: float
    bits: float
    stored: int | None
    uniform: bool
    part: bool
    epochs: list[dict[str, float]]
    latency: float | None = None
    smaller: float | None = None
    faster: float | None = None


#: What pictures and tables take of each epoch of phase 1.
_NOISE = {"epoch", "mean_bits", "channels_1", "channels_2", "channels_4"}


def read(folder: Path) -> Log:
    """The logs of ``sysmol train --out folder``, or of ``test/benchmark/brevitas_peer.py``."""
    path = folder / "results.json"
    try:
        logged: dict[str, Any] = json.loads(path.read_text())
        rows: list[dict[str, float]] = []
        noise = folder / "noise.csv"
        if noise.is_file():
            with noise.open(newline="") as file:
                rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
        for row in rows:
            if missing := _NOISE - row.keys():
                raise ValueError(f"noise.csv has no {', '.join(sorted(missing))}")
        stored = logged.get("stored_bytes")
        # A peer's quantizers have one precision, and its log no mean of it.
        peer = "brevitas" in logged
        return Log(
            folder.name,
            100 * float(logged["accuracy"]),
            100 * float(logged["float_accuracy"]),
            float(logged["settings"]["uniform"] if peer else logged["mean_bits"]),
            None if stored is None else int(stored),
            bool(logged["settings"].get("uniform")),
            bool(logged["settings"].get("limit")),
            rows,
        )
    except OSError as error:
        raise SysmolError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SysmolError(f"{folder}: not the logs of a finished run: {error!r}") from error


def read_bench(path: Path, logs: Sequence[Log]) -> tuple[list[Log], str]:
    """Sizes and latencies of the runs' compiled networks.

    Parameters
    ----------
    path : Path
        What ``sysmol bench NAME.smol ... --json path`` wrote; a run's bundle has its name.
    logs : sequence of Log

    Returns
    -------
    list of Log
        With ``stored`` and ``latency`` of those that were measured.
    str
        How latency was measured, for a picture: threads and target.
    """
    rows = results.read(path)["rows"]
    floats = [row for row in rows if row["peer"] == "ort-float32"]
    found = {row["case"].split(",")[0]: row for row in floats}
    where = rows[0]["case"].split(", ", 2)[-1]
    if not all(row.get("weight_bytes") and row.get("float_bytes") for row in floats):
        raise SysmolError(f"{path}: not a benchmark of networks: rows without bytes of weights")
    return [
        replace(
            log,
            stored=int(row["weight_bytes"]),
            latency=float(row["ours_ms"]),
            smaller=row["float_bytes"] / row["weight_bytes"],
            faster=float(row["ratio"]),
        )
        if (row := found.get(log.name))
        else log
        for log in logs
    ], where


def read_all(
    folders: Sequence[Path], bench: Path | None = None, pictures: Sequence[Path] = ()
) -> list[Log]:
    """The logs of several runs, with what ``bench`` measured of them; draws ``pictures``."""
    logs, measured = [read(folder) for folder in folders], ""
    if bench:
        logs, measured = read_bench(bench, logs)
    if pictures:
        draw(logs, pictures, measured)
    return logs


def table(logs: Sequence[Log]) -> str:
    """All runs as a Markdown table, fewest bits first."""
    timed = any(log.latency for log in logs)
    lines = [
        "| run | bits per hidden weight | at the end of phase 1 | stored bytes"
        + (", against float" if timed else "")
        + " | accuracy | float twin | difference |"
        + (" latency, against float |" if timed else ""),
        "|---|---|---|---|---|---|---|" + ("---|" if timed else ""),
    ]
    for log in sorted(logs, key=lambda log: (log.bits, log.name)):
        size = "" if log.stored is None else f"{log.stored:,}"
        size += "" if log.smaller is None else f", {log.smaller:.1f}x"
        found = f"{log.epochs[-1]['mean_bits']:.2f}" if log.epochs else ""
        name = log.name + (" (part of the images)" if log.part else "")
        latency = "" if log.latency is None else f"{log.latency:.3f} ms, {log.faster:.1f}x"
        lines.append(
            f"| {name} | {log.bits:.3f} | {found} | {size} | {log.accuracy:.2f} % | "
            f"{log.twin:.2f} % | {log.accuracy - log.twin:+.2f} |"
            + (f" {latency} |" if timed else "")
        )
    return "\n".join(lines) + "\n"


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (cost, gain) that no other one beats in both, cheapest first."""
    best: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or point[1] > best[-1][1]:
            best.append(point)
    return best


def draw(logs: Sequence[Log], files: Sequence[Path], measured: str = "") -> None:
    """Draw all runs; the endings of ``files`` say the formats, ``measured`` whose latency."""
    import matplotlib

    style: Any = {
        "svg.hashsalt": "sysmol",  # the same picture is the same file
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with matplotlib.rc_context(style):
        _draw(logs, files, measured)


def _scatter(
    axes: Any,
    logs: Sequence[Log],
    cost: Callable[[Log], float | None],
    twins: Sequence[float],
) -> None:
    """Accuracy against a cost: seeds as one point, a front for each twin and kind."""
    colours = [COLOURS[2], "#d1698c", "#e9a23b", COLOURS[1]]
    groups: dict[tuple[str, bool], list[tuple[float, Log]]] = {}
    for log in logs:
        at = cost(log)
        if at is not None:
            key = (re.sub(r"-seed-\d+$", "", log.name), log.uniform)
            groups.setdefault(key, []).append((at, log))
    fronts: dict[tuple[float, bool], list[tuple[float, float]]] = {}
    labels = []
    for (name, uniform), group in groups.items():
        accuracies = [log.accuracy for _, log in group]
        x = sum(at for at, _ in group) / len(group)
        y = sum(accuracies) / len(group)
        first = group[0][1]
        colour = colours[twins.index(first.twin) % len(colours)]
        axes.errorbar(
            [x],
            [y],
            [[y - min(accuracies)], [max(accuracies) - y]],
            fmt="s" if uniform else "o",
            color=colour,
            markerfacecolor="white" if first.part else colour,
            elinewidth=1.2,
            capsize=2 if len(group) > 1 else 0,
        )
        if not first.part:
            fronts.setdefault((first.twin, uniform), []).append((x, y))
        seeds = f" ({len(group)} seeds)" if len(group) > 1 else ""
        labels.append((x, y, name + seeds))
    for (twin, uniform), points in fronts.items():
        line = front(points)
        axes.plot(
            *zip(*line, strict=True),
            ":" if uniform else "-",
            color=colours[twins.index(twin) % len(colours)],
            linewidth=1,
        )
    for twin in twins:
        axes.axhline(
            twin,
            color=colours[twins.index(twin) % len(colours)],
            linewidth=0.8,
            linestyle="--",
        )
    axes.set_ylabel("test accuracy (%)")
    axes.margins(x=0.12, y=0.12)
    _annotate(axes, labels)


_AXES = (470.0, 200.0)  # about, in points
_LETTER, _LINE = 3.7, 8.0  # of the labels, in points


_Box = tuple[float, float, float, float]  # left, lower, right and upper end, in points


def _is_free(box: _Box, taken: Sequence[_Box]) -> bool:
    """Whether a box is within the axes and meets none of the others."""
    left, low, right, high = box
    inside = left >= 0 and right <= _AXES[0] and low >= 0 and high <= _AXES[1]
    return inside and not any(
        left < other[2] and other[0] < right and low < other[3] and other[1] < high
        for other in taken
    )


def _annotate(axes: Any, labels: Sequence[tuple[float, float, str]]) -> None:
    """Write each text beside its point, as near as no other text or point is in the way."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    places = [
        ((x - left) / (right - left) * _AXES[0], (y - low) / (high - low) * _AXES[1])
        for x, y, _ in labels
    ]
    taken = [(px - 3, py - 3, px + 3, py + 3) for px, py in places]
    ups = sorted(range(-60, 61, 4), key=lambda up: abs(up + _LINE / 3))
    moves = [(side * 6, up) for up in ups for side in (1, -1)]
    for (x, y, text), (px, py) in sorted(zip(labels, places, strict=True), key=lambda p: p[0][1]):
        width = _LETTER * len(text)
        boxes = [
            (px + dx - width * (dx < 0), py + dy, px + dx + width * (dx > 0), py + dy + _LINE)
            for dx, dy in moves
        ]
        chosen = next((i for i, box in enumerate(boxes) if _is_free(box, taken)), 0)
        move = moves[chosen]
        taken.append(boxes[chosen])
        line = {"arrowstyle": "-", "linewidth": 0.4, "color": "0.6"}
        axes.annotate(
            text,
            (x, y),
            xytext=move,
            textcoords="offset points",
            ha="left" if move[0] > 0 else "right",
            fontsize=7,
            arrowprops=line if abs(move[1]) > 10 else None,
        )


def _evolution(axes: Any, log: Log) -> None:
    """Channels of each precision and mean bits after every epoch of phase 1."""
    epochs = [row["epoch"] for row in log.epochs]
    bottom = [0.0] * len(epochs)
    for level in (1, 2, 4):
        heights = [row[f"channels_{level}"] for row in log.epochs]
        label = f"{level} bit{'s' if level > 1 else ''}"
        axes.bar(epochs, heights, 0.7, bottom, color=COLOURS[level], label=label, linewidth=0)
        bottom = [a + b for a, b in zip(bottom, heights, strict=True)]
    axes.set_title(log.name, loc="left", fontsize=8)
    axes.set_xticks(epochs)
    axes.tick_params(labelsize=7)
    mean = axes.twinx()
    mean.plot(epochs, [row["mean_bits"] for row in log.epochs], "k.-", linewidth=0.8)
    mean.set_ylim(1, 4.2)
    mean.tick_params(labelsize=7)
    mean.spines.right.set_visible(True)


def _draw(logs: Sequence[Log], files: Sequence[Path], measured: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    costs: list[tuple[str, Callable[[Log], float | None]]] = [
        ("bits per hidden weight", lambda log: log.bits),
        ("KB of weights, scales and tables", lambda log: log.stored and log.stored / 1000),
        (f"latency in ms, {measured}", lambda log: log.latency),
    ]
    costs = [cost for cost in costs if any(cost[1](log) is not None for log in logs)]
    learned = [log for log in logs if log.epochs]
    across = 3
    down = -(-len(learned) // across)
    figure = Figure(figsize=(7.4, 3.4 * len(costs) + 1.6 * down), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        len(costs) + down, across, height_ratios=[3.4] * len(costs) + [1.6] * down
    )
    twins = sorted({log.twin for log in logs})
    for row, (label, cost) in enumerate(costs):
        axes = figure.add_subplot(grid[row, :])
        _scatter(axes, logs, cost, twins)
        axes.set_xlabel(label)
        for twin in twins:
            # Twins of nearly the same accuracy share a label.
            if not any(twin < other <= twin + 0.15 for other in twins):
                same = [f"{each:.2f}" for each in twins if twin - 0.15 <= each <= twin]
                text = f"float twin {', '.join(same)} %"
                axes.annotate(
                    text,
                    (0.995, twin),
                    xycoords=("axes fraction", "data"),
                    xytext=(0, 2),
                    textcoords="offset points",
                    ha="right",
                    fontsize=7,
                )
    handles: list[Any] = []
    labels: list[str] = []
    for index, log in enumerate(learned):
        axes = figure.add_subplot(grid[len(costs) + index // across, index % across])
        _evolution(axes, log)
        handles, labels = axes.get_legend_handles_labels()
    if learned:
        figure.legend(
            handles,
            labels,
            title="channels, and mean bits as a line, after each epoch of phase 1",
            loc="outside lower center",
            ncols=3,
            frameon=False,
        )
    for path in files:
        save(figure, path, dpi=160, facecolor="white")


def _arguments(top: Parser) -> None:
    top.add_argument("folder", type=Path, nargs="+", help="that sysmol train wrote with --out")
    top.add_argument(
        "-o", "--output", type=Path, action="append", default=[], help="picture: .svg, .png, .pdf"
    )
    top.add_argument(
        "--bench", type=Path, metavar="JSON", help="sysmol bench's, of bundles named as the runs"
    )


def _print(options: argparse.Namespace) -> None:
    print(table(read_all(options.folder, options.bench, options.output)), end="")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; gives the exit status."""
    what = "Print and draw what training runs reached, from their logs."
    return run_script(what, _arguments, _print, arguments, "sysmol.curves")


if __name__ == "__main__":
    sys.exit(main())
