"""What was decided for each layer, what it should take, and what it takes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from sysmol.costs import CostTable, cost_table
from sysmol.errors import SysmolError
from sysmol.measure import pinned
from sysmol.runtime import Bundle, Layer, LayerTime, Model, measure_cycles

__all__ = [
    "FACTOR",
    "Explanation",
    "LayerReport",
    "as_json",
    "ceiling_cycles",
    "cells",
    "check",
    "explain",
]

#: How many times slower than predicted a layer may be before it counts as a fallback.
FACTOR = 3.0

#: Layers below this share of the whole are not judged: clocks and cold caches dominate them.
SMALL = 0.02


@dataclass(frozen=True)
class LayerReport:
    """One layer.

    Attributes
    ----------
    layer : Layer
    measured : float or None
        Seconds, the smallest of many calls; None where it was not measured.
    ceiling_cycles : float
        Cycles that its multiply-accumulates take at the ceilings of their levels.
    cycles : float or None
        Cycles measured.
    """

    layer: Layer
    measured: float | None
    ceiling_cycles: float
    cycles: float | None

    @property
    def predicted(self) -> float:
        """Seconds, by the cost table of the compilation."""
        return self.layer.predicted_ns / 1e9

    @property
    def share(self) -> float | None:
        """Of the ceiling: 1 would be every cycle spent on a multiply-accumulate that is needed."""
        if self.cycles is None or not self.ceiling_cycles:
            return None
        return self.ceiling_cycles / self.cycles

    @property
    def losses(self) -> dict[str, float]:
        """Where a measured layer's time goes, as shares of it that add up to 1.

        ``products``: the multiply-accumulates at the ceilings of their levels; ``padding``: empty
        slots of words, lanes between rows and behind the last; ``around``: epilogue, streaming of
        weights, phases of strided windows. These two are the cost model's. ``unexplained``: the
        rest, negative where the model expects more than was measured. Empty where a layer was not
        measured, or has no prediction.
        """
        if not (self.share and self.measured and self.layer.predicted_ns):
            return {}
        product = self.layer.product_ns / 1e9
        return {
            "products": self.share,
            "padding": product / self.measured - self.share,
            "around": (self.predicted - product) / self.measured,
            "unexplained": 1 - self.predicted / self.measured,
        }

    @property
    def losses_text(self) -> str:
        """For example ``31 % padding, 24 % epilogue, weights, phases``; largest first."""
        names = {
            "padding": "padding",
            "around": "epilogue, weights, phases",
            "unexplained": "unexplained",
        }
        parts = sorted(((self.losses[key], name) for key, name in names.items()), reverse=True)
        return ", ".join(f"{100 * share:.0f} % {name}" for share, name in parts)

    @property
    def filled(self) -> float | None:
        """Part of the executed multiply-accumulates that is not padding."""
        if not self.layer.needed_macs or not self.layer.executed_macs:
            return None
        return min(1.0, self.layer.needed_macs / self.layer.executed_macs)


@dataclass(frozen=True)
class Explanation:
    """All layers of a bundle.

    Attributes
    ----------
    target : str
        The code that was looked at.
    layers : tuple of LayerReport
    table : CostTable
        Of the ceilings.
    total : float or None
        Seconds of the whole call, measured.
    other : tuple of LayerTime
        What was measured and is no layer: packing of inputs, unpacking of outputs.
    cycles_per_second : float
        Measured beside it.
    """

    target: str
    layers: tuple[LayerReport, ...]
    table: CostTable
    total: float | None
    other: tuple[LayerTime, ...]
    cycles_per_second: float


def ceiling_cycles(layer: Layer, table: CostTable) -> float:
    """Cycles of a layer's needed multiply-accumulates at the ceilings of their levels.

    Those of its algorithm, without padding. 0 where it has none, or the table has no ceiling for
    one of their levels.
    """
    channels = sum(layer.levels.values())
    macs = layer.needed_macs
    if not macs or not channels or any(p not in table.macs_per_cycle for p in layer.levels):
        return 0.0
    return sum(
        macs * count / channels / table.macs_per_cycle[p] for p, count in layer.levels.items()
    )


def _measure(model: Model, runs: int) -> tuple[dict[str, LayerTime], float]:
    inputs = [np.zeros(info.shape, info.dtype) for info in model.inputs]
    best: dict[str, LayerTime] = {}
    cycles = measure_cycles()
    for _ in range(5):  # short bursts: the machine is rarely quiet for long
        for row in model.profile(*inputs, runs=max(1, runs // 5)):
            if row.name not in best or row.minimum < best[row.name].minimum:
                best[row.name] = row
        cycles = max(cycles, measure_cycles())
    return best, cycles


def explain(bundle: Bundle | Model, runs: int = 200) -> Explanation:
    """Collect what is known of each layer.

    Parameters
    ----------
    bundle : Bundle or Model
        A model is run where its code measures layers (compiled with ``profile=True``), by its
        :attr:`~sysmol.Model.threads`; predictions and ceilings are those of one.
    runs : int
        Calls that count.
    """
    target = bundle.target
    table = cost_table(target)
    times: dict[str, LayerTime] = {}
    cycles_per_second = table.cycles_per_second
    if isinstance(bundle, Model) and bundle.measures_layers:
        # The helpers of several threads are pinned already, and leave the caller a CPU.
        with pinned() if bundle.threads == 1 else nullcontext():
            times, cycles_per_second = _measure(bundle, runs)
    rows = []
    for layer in bundle.layers:
        taken = times.pop(layer.name, None)
        rows.append(
            LayerReport(
                layer,
                taken.minimum if taken else None,
                ceiling_cycles(layer, table),
                taken.minimum * cycles_per_second if taken else None,
            )
        )
    total = times.pop("total", None)
    return Explanation(
        target,
        tuple(rows),
        table,
        total.minimum if total else None,
        tuple(times.values()),
        cycles_per_second,
    )


def check(found: Explanation, factor: float = FACTOR) -> None:
    """Refuse a layer that is much slower than its strategy promises.

    Raises
    ------
    SysmolError
        Names the first such layer, or says why none can be judged. Layers of less than 2 % of the
        whole are not.
    """
    if found.total is None:
        raise SysmolError(
            "nothing was measured: compile the model with --profile, for code that runs here"
        )
    if not any(row.predicted for row in found.layers):
        raise SysmolError(
            f"nothing was predicted for {found.target}: that is done for a bundle's first target; "
            f"compile with --target {found.target} to judge its layers"
        )
    for row in found.layers:
        if row.measured is None or not row.predicted or row.measured < SMALL * found.total:
            continue
        if row.measured > factor * row.predicted:
            raise SysmolError(
                f"layer '{row.layer.name}' takes {row.measured * 1e6:.1f} us, "
                f"{row.measured / row.predicted:.1f} times what '{row.layer.strategy}' promises "
                f"({row.predicted * 1e6:.1f} us); at most {factor:g} times is allowed"
            )


def as_json(found: Explanation) -> dict[str, Any]:
    """The same for programs."""
    return {
        "target": found.target,
        "cost_table": dict(found.table.raw),
        "total_us": None if found.total is None else found.total * 1e6,
        "layers": [
            {
                "name": row.layer.name,
                "op": row.layer.op,
                "shape": list(row.layer.shape),
                "levels": {str(p): n for p, n in row.layer.levels.items()},
                "strategy": row.layer.strategy,
                "macs": row.layer.macs,
                "filled": row.filled,
                "bytes": row.layer.weight_bytes + row.layer.table_bytes,
                "predicted_us": row.predicted * 1e6 or None,
                "measured_us": None if row.measured is None else row.measured * 1e6,
                "ceiling_share": row.share,
                "losses": row.losses,
            }
            for row in found.layers
        ],
    }


def cells(found: Explanation) -> Sequence[tuple[str, ...]]:
    """Rows of text for a table; the last is the total."""

    def number(value: float | None, digits: int = 1) -> str:
        return "-" if value is None else f"{value:,.{digits}f}"

    def percent(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.0f}%"

    rows = []
    for row in found.layers:
        layer = row.layer
        rows.append(
            (
                layer.name,
                "x".join(map(str, layer.shape)),
                " ".join(f"{n}x{p}b" for p, n in sorted(layer.levels.items())),
                layer.strategy,
                f"{layer.macs / 1e3:,.0f}",
                percent(row.filled),
                number(row.predicted * 1e6 or None),
                number(None if row.measured is None else row.measured * 1e6),
                percent(row.share),
                f"{layer.weight_bytes + layer.table_bytes:,}",
            )
        )
    for taken in found.other:
        rows.append((taken.name, "", "", "", "-", "-", "-", number(taken.minimum * 1e6), "-", "-"))
    macs = sum(row.layer.macs for row in found.layers)
    needed = sum(row.layer.needed_macs for row in found.layers)
    executed = sum(row.layer.executed_macs for row in found.layers if row.layer.macs)
    ceiling = sum(row.ceiling_cycles for row in found.layers)
    cycles = found.total * found.cycles_per_second if found.total else None
    rows.append(
        (
            "total",
            "",
            "",
            "",
            f"{macs / 1e3:,.0f}",
            percent(min(1.0, needed / executed) if executed else None),
            number(sum(row.predicted for row in found.layers) * 1e6 or None),
            number(None if found.total is None else found.total * 1e6),
            percent(ceiling / cycles if cycles and ceiling else None),
            f"{sum(row.layer.weight_bytes + row.layer.table_bytes for row in found.layers):,}",
        )
    )
    return rows
