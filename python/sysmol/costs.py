"""What this machine can do: the compiler's cost table, built in or measured by ``sysmol tune``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sysmol._native import needed

with needed("compiler"):
    import sysmol._sysmol_compiler as _sysmol_compiler

__all__ = ["CostTable", "cost_table", "tune"]


@dataclass(frozen=True)
class CostTable:
    """Rates of one machine.

    Attributes
    ----------
    source : str
        Where they come from.
    macs_per_cycle : dict of int to float
        Of each level, the most that its lowering reaches with data in registers and L1.
    bytes_per_cycle : dict of int to float
        Of each number of bytes, the rate at which one thread reads them again and again.
    cycles_per_second : float
        While they were measured.
    raw : dict
        All of it.
    """

    source: str
    macs_per_cycle: Mapping[int, float]
    bytes_per_cycle: Mapping[int, float]
    cycles_per_second: float
    raw: Mapping[str, Any]

    def streamed(self, size: float) -> float:
        """Bytes a cycle that one thread reads of so many bytes, read again and again.

        Between two numbers that were measured, linear in the logarithm of the number.

        >>> table = CostTable("", {}, {1000: 30.0, 4000: 10.0}, 1.0, {})
        >>> table.streamed(900), table.streamed(2000), table.streamed(1e6)
        (30.0, 20.0, 10.0)
        """
        sizes = sorted(self.bytes_per_cycle)
        rates = [self.bytes_per_cycle[known] for known in sizes]
        return float(np.interp(math.log(max(size, 1.0)), np.log(sizes), rates))

    def ceiling(self, macs: Mapping[int, float]) -> float:
        """The most multiply-accumulates a cycle of this mix of levels.

        >>> table = CostTable("", {1: 300.0, 2: 150.0}, {}, 1.0, {})
        >>> table.ceiling({1: 1.0, 2: 1.0})
        200.0
        """
        cycles = sum(count / self.macs_per_cycle[bits] for bits, count in macs.items())
        return sum(macs.values()) / cycles


def _parsed(text: str) -> CostTable:
    raw = json.loads(text)
    return CostTable(
        raw["source"],
        {int(bits): float(rate) for bits, rate in raw["macs_per_cycle"].items()},
        {
            int(size): float(rate)
            for size, rate in sorted(raw["bytes_per_cycle"].items(), key=lambda item: int(item[0]))
        },
        float(raw["cycles_per_second"]),
        raw,
    )


def cost_table(target: str) -> CostTable:
    """The table that compiling for ``target`` uses: this machine's if it was tuned."""
    return _parsed(_sysmol_compiler.cost_table(target))


def tune(target: str) -> CostTable:
    """Measure this machine (seconds) and keep the table for later compilations."""
    return _parsed(_sysmol_compiler.tune(target))
