"""Tables for people, printed with rich."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from sysmol.picture import LayerBits
from sysmol.runtime import Bundle, Layer

if TYPE_CHECKING:
    from sysmol.explain import Explanation

__all__ = [
    "bench_table",
    "bits_table",
    "bundle_tables",
    "console",
    "explain_table",
    "is_narrow",
    "kib",
    "layer_table",
    "phase_table",
    "plain_table",
]


def console() -> Console:
    """Standard output; wide enough for every table where it is no terminal."""
    width = None if sys.stdout.isatty() else 140
    return Console(width=width, highlight=False, soft_wrap=False)


def is_narrow(console: Console) -> bool:
    """Too narrow for all columns of a layer table."""
    return console.width < 120


def kib(count: float) -> str:
    """Bytes in KiB."""
    return f"{count / 1024:,.1f} KiB"


def plain_table(*columns: str, title: str) -> Table:
    """A table whose first column is words and whose others are numbers."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def levels_text(layer: Layer) -> str:
    """For example ``9 x 1b  5 x 2b``."""
    return "  ".join(f"{count} x {bits}b" for bits, count in sorted(layer.levels.items()))


def layer_table(layers: Iterable[Layer], narrow: bool = False) -> Table:
    """One row a layer: what it is, its levels, which strategy runs.

    Parameters
    ----------
    layers : iterable of Layer
    narrow : bool
        Leave out what a small terminal has no room for.
    """
    table = plain_table("layer", title="Layers")
    if not narrow:
        table.add_column("op", no_wrap=True)
    table.add_column("output", no_wrap=True)
    table.add_column("input channels", no_wrap=True)
    table.add_column("strategy")
    if not narrow:
        table.add_column("MACs", justify="right", no_wrap=True)
    table.add_column("bytes", justify="right", no_wrap=True)
    for layer in layers:
        cells = [
            layer.name,
            layer.op,
            "x".join(map(str, layer.shape)),
            levels_text(layer),
            layer.strategy,
            f"{layer.macs:,}" if layer.macs else "",
            f"{layer.weight_bytes + layer.table_bytes:,}",
        ]
        table.add_row(*([*cells[:1], *cells[2:5], cells[6]] if narrow else cells))
    return table


def phase_table(phases: dict[str, float]) -> Table:
    """Seconds by phase of a compilation."""
    table = plain_table("phase", "seconds", title="Compiling")
    for phase, seconds in phases.items():
        table.add_row(phase, f"{seconds:.3f}")
    table.add_section()
    table.add_row("all", f"{sum(phases.values()):.3f}")
    return table


def bits_table(layers: Iterable[LayerBits]) -> Table:
    """One row a layer: how many input channels have how many bits."""
    table = plain_table(
        "layer", "weights", "1 bit", "2 bits", "4 bits", "8 bits", "mean", title="Input channels"
    )
    for layer in layers:
        counts = [int((layer.bits == width).sum()) for width in (1, 2, 4, 8)]
        table.add_row(
            layer.name,
            f"{layer.weights:,}",
            *(str(count) if count else "" for count in counts),
            f"{layer.bits.mean():.2f}",
        )
    return table


def bundle_tables(bundle: Bundle, narrow: bool = False) -> list[Table]:
    """What a bundle holds."""
    sizes = bundle.sizes
    facts = plain_table("", "", title=f"{bundle.name}, written by {bundle.metadata['producer']}")
    facts.show_header = False
    for side, tensors in (("input", bundle.inputs), ("output", bundle.outputs)):
        for info in tensors:
            facts.add_row(f"{side} {info.name}", f"{info.dtype.name} {list(info.shape)}")
    facts.add_row("weights, scales, tables", f"{sizes.weights:,} bytes")
    facts.add_row("  the same as float32", f"{sizes.floats:,} bytes")
    facts.add_row("  times smaller", f"{sizes.floats / max(1, sizes.weights):.1f}")
    facts.add_row("scratch memory of a run", f"{sizes.arena:,} bytes")
    sections = plain_table("section", "offset", "bytes", "SHA-256", title="File")
    for section in bundle.sections:
        sections.add_row(
            section.name, f"{section.offset:,}", f"{section.bytes:,}", section.sha256[:16]
        )
    sections.add_section()
    sections.add_row("all", "", f"{sizes.file:,}", "")
    return [facts, layer_table(bundle.layers, narrow), sections]


def bench_table(result: dict[str, Any], every_peer: bool = False) -> Table:
    """One row a case beside its best float and its best quantized peer, or beside every peer."""
    columns = ["case", "ours (ms)", "peer", "peer (ms)", "ratio", "medians"]
    if not every_peer:
        columns = ["case", "ours (ms)", "float peer", "(ms)", "ratio"]
        columns += ["quantized peer", "(ms)", "ratio"]
    table = plain_table(*columns, "MAC/cycle", "ceiling", title=result["suite"])

    def number(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    def beside(row: dict[str, Any] | None) -> list[str]:
        if row is None or row["peer"] is None:
            return ["-"] * (4 if every_peer else 3)
        cells = [row["peer"], f"{row['peer_ms']:.4f}", f"{row['ratio']:.2f}"]
        return [*cells, f"{row['ratio_median']:.2f}"] if every_peer else cells

    groups: dict[str, list[dict[str, Any]]] = {}
    for row in result["rows"]:
        groups.setdefault(row["case"], []).append(row)
    for case, rows in groups.items():
        share = rows[0].get("ceiling_share")
        end = [
            number(rows[0].get("mac_per_cycle"), ".1f"),
            "-" if share is None else f"{100 * share:.0f}%",
        ]
        begin = [case, f"{rows[0]['ours_ms']:.4f}"]
        if every_peer:
            for row in rows:
                table.add_row(*begin, *beside(row), *end)
            continue
        kinds: list[list[dict[str, Any]]] = [[], []]
        for row in rows:
            if row["peer"]:
                kinds["float" not in row["peer"]].append(row)
        best = [min(kind, key=lambda row: row["peer_ms"], default=None) for kind in kinds]
        table.add_row(*begin, *beside(best[0]), *beside(best[1]), *end)
    return table


def explain_table(found: Explanation) -> Table:
    """One row a layer: what was decided, what it should take, what it takes."""
    from sysmol.explain import cells

    table = plain_table("layer", title=f"Layers ({found.target}; cost table: {found.table.source})")
    for column in ("output", "channels", "strategy"):
        table.add_column(column)
    for column in ("kMAC", "filled", "predicted us", "measured us", "ceiling", "bytes"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in cells(found):
        table.add_row(*row)
    return table
