"""Charts of benchmarks, from their JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sysmol.errors import SysmolError
from sysmol.picture import save

__all__ = ["draw"]

#: Readable on white and on black: a middle grey for text, no background.
_TEXT = "#808080"
_OURS = "#2a9d8f"
_PEERS = {"float32": "#9aa5b1", "bfloat16": "#b8a1d9", "int8": "#e9a23b", "w": "#d1698c"}


def _color(peer: str) -> str:
    return next((color for key, color in _PEERS.items() if key in peer), "#9aa5b1")


def _groups(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["case"], []).append(row)
    return found


def _best(rows: Sequence[dict[str, Any]], is_float: bool) -> dict[str, Any] | None:
    """The fastest peer in float32, or the fastest one that quantizes."""
    fitting = [
        row
        for row in rows
        if row["peer"] and ("float32" in row["peer"] if is_float else "float" not in row["peer"])
    ]
    return min(fitting, key=lambda row: row["peer_ms"], default=None)


def _networks(axes: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Milliseconds: each peer once, then ours at each mix."""
    bars: list[tuple[str, float, str, str]] = []
    names = list(dict.fromkeys(row["case"].split(",")[0] for row in rows))
    for network in names:
        own = [row for row in rows if row["case"].split(",")[0] == network]
        peers = {row["peer"]: row["peer_ms"] for row in own if row["peer"]}
        for peer, taken in sorted(peers.items(), key=lambda item: -item[1]):
            bars.append((f"{network}: {peer}", taken, _color(peer), ""))
        for case, group in _groups(own).items():
            best = [(_best(group, True), "float32"), (_best(group, False), "INT8")]
            faster = [f"{row['ratio']:.1f}x {kind}" for row, kind in best if row]
            label = f"{network}: sysmol {case.rpartition(', ')[2]}"
            more = f" ({', '.join(faster)})" if faster else ""
            bars.append((label, group[0]["ours_ms"], _OURS, more))
    bars.reverse()
    axes.barh([bar[0] for bar in bars], [bar[1] for bar in bars], color=[bar[2] for bar in bars])
    for index, (_, taken, _, more) in enumerate(bars):
        axes.text(taken, index, f" {taken:.3g} ms{more}", va="center", color=_TEXT, fontsize=8)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 3)
    axes.set_xlabel("milliseconds for one image (shorter is better)")


def _ratios(axes: Any, rows: Sequence[dict[str, Any]]) -> None:
    """How many times faster than the best float and the best quantized peer."""
    cases = list(reversed(_groups(rows).items()))
    height = 0.38
    longest = [0.0] * len(cases)
    for is_float, shift in ((True, height / 2), (False, -height / 2)):
        found = [_best(group, is_float) for _, group in cases]
        values = [row["ratio"] if row else 0.0 for row in found]
        longest = [max(pair) for pair in zip(longest, values, strict=True)]
        places = [index + shift for index in range(len(cases))]
        color = _PEERS["float32" if is_float else "int8"]
        label = "than the best float32 peer" if is_float else "than the best quantized peer"
        axes.barh(places, values, height, color=color, label=label)
    for index, (_, group) in enumerate(cases):
        found_share = group[0].get("ceiling_share")
        share = f" {100 * found_share:.0f} % of the ceiling" if found_share else ""
        axes.text(longest[index], index, share, va="center", color=_TEXT, fontsize=7)
    axes.set_yticks(range(len(cases)), [case for case, _ in cases])
    axes.axvline(1, color=_TEXT, linewidth=0.8)
    axes.set_xlim(0, max(1.0, *longest) * 1.3)
    axes.set_xlabel("times faster (longer is better)")
    axes.legend(frameon=False, labelcolor=_TEXT, fontsize=8, loc="lower right")


def draw(result: dict[str, Any], outputs: Sequence[Path]) -> None:
    """Draw the suites of a benchmark's JSON, one panel each.

    Parameters
    ----------
    result : dict
        What ``sysmol bench --json`` wrote.
    outputs : sequence of Path
        ``.png``, ``.svg`` or ``.pdf``; transparent, readable on light and dark pages.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rows: list[dict[str, Any]] = result.get("rows", [])
    panels = {}
    for suite in ("networks", "gemv", "kernels"):
        own = [row for row in rows if row.get("suite", result.get("suite")) == suite]
        if own:
            panels[suite] = own
    if not panels:
        raise SysmolError("there is nothing to draw: no rows of networks, gemv or kernels")

    def lines(suite: str, own: Sequence[dict[str, Any]]) -> int:
        if suite == "networks":
            names = {row["case"].split(",")[0] for row in own}
            bars = {(row["case"].split(",")[0], row["peer"]) for row in own}
            return len(bars) + len(_groups(own)) + len(names)
        return len(_groups(own))

    heights = [1.6 + 0.24 * lines(suite, own) for suite, own in panels.items()]
    figure = Figure(figsize=(9, sum(heights)), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    for axes, (suite, own) in zip(grid[:, 0], panels.items(), strict=True):
        (_networks if suite == "networks" else _ratios)(axes, own)
        threads = own[0].get("threads", 1)
        axes.set_title(
            f"{suite}, {threads} thread{'s' if threads > 1 else ''}", color=_TEXT, loc="left"
        )
        axes.patch.set_alpha(0)
        axes.margins(y=0.02)
        axes.tick_params(colors=_TEXT, labelsize=8)
        axes.xaxis.label.set_color(_TEXT)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(_TEXT)
    cpu = result.get("environment", {}).get("cpu", "")
    figure.supxlabel(f"{cpu}, batch 1, minimum of interleaved runs", color=_TEXT, fontsize=8)
    for output in outputs:
        if output.suffix not in (".png", ".svg", ".pdf"):
            raise SysmolError(f"{output}: charts are .png, .svg or .pdf")
        # No random names: the same JSON gives the same file.
        with rc_context({"svg.hashsalt": "sysmol"}):
            save(figure, output, dpi=130, transparent=True)
