#!/usr/bin/env python3
"""What is around the loops of a layer, fitted to clocks: the constants of ``CostModel.cpp``.

Takes the suite ``kernels`` of a result of ``sysmol bench``, layers whose lanes are pixels but those
by tiles, by planes of bytes, and the first of a network. For a row of 64 lanes it takes off the
products and the padding at their ceilings and the epilogue's cycles, and fits what is left, each
layer weighted by its whole time::

    python test/benchmark/fit_costs.py test/benchmark/results/all.json

prints the cycles of each level that waits for another and of each level of a window, the shares by
which lookups are slower than their ceiling in windows and without, and each layer's error.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sysmol import results
from sysmol.arguments import Parser, run_script
from sysmol.errors import SysmolError
from sysmol.programs import MIXES
from sysmol.suites import kernels

#: Cycles of a row's epilogue by the level written, as the built-in table has them; of bytes from
#: registers, 0.45 of 17.
_EPILOGUE = {1: 6.0, 2: 12.0, 4: 20.0, 8: 0.45 * 17}

_NAMES = ("a waiting level", "a window's level", "lookups of windows", "other lookups")


@dataclass(frozen=True)
class Layer:
    """One row of the fit, in cycles of 64 lanes of an output."""

    case: str
    total: float
    left: float
    features: tuple[float, ...]


def layers(rows: list[dict[str, Any]]) -> list[Layer]:
    """What the fit is made of."""
    by_case = {row["case"]: row for row in rows if row.get("suite") == "kernels"}
    found = []
    for conv, mixes in kernels.CASES:
        for mix in mixes:
            row = by_case.get(f"{conv}, {mix}")
            if row is None or conv.depthwise or conv.channels < 16 or mix == "4 bit":
                continue
            if "outputs" in row["strategy"] or "tiles" in row["strategy"]:
                continue
            levels = {level: share for level, share in MIXES[mix].items() if share}
            size = conv.output_shape[-1]
            between = conv.pad  # lanes between rows of the image
            blocks = math.ceil((size * (size + between) - between) / 64)
            macs = sum(conv.macs_by_level(MIXES[mix]).values())
            total = macs / row["mac_per_cycle"] / (conv.outputs * blocks)
            products = total * (row["losses"]["products"] + row["losses"]["padding"])
            epilogue = sum(share * _EPILOGUE[level] for level, share in levels.items())
            rates = {1: 335, 2: 156, 4: 64, 8: 64}
            parts = {level: share / rates[level] for level, share in levels.items()}
            lookups = products * parts.get(2, 0) / sum(parts.values())
            window = conv.kernel > 1
            found.append(
                Layer(
                    row["case"],
                    total,
                    total - products - epilogue,
                    (
                        len(levels) - 1.0,
                        window * len(levels.keys() - {8}) * 1.0,
                        window * lookups,
                        (not window) * lookups,
                    ),
                )
            )
    return found


def fit(found: list[Layer]) -> tuple[np.ndarray, np.ndarray]:
    """The constants of ``_NAMES``, and each layer's error as a part of its whole time."""
    weight = np.array([1 / layer.total for layer in found])
    features = np.array([layer.features for layer in found])
    left = np.array([layer.left for layer in found])
    constants, *_ = np.linalg.lstsq(features * weight[:, None], left * weight, rcond=None)
    return constants, (features @ constants - left) * weight


def run(options: argparse.Namespace) -> None:
    """Fit and print."""
    found = layers(results.read(options.results)["rows"])
    if len(found) < 2 * len(_NAMES):
        raise SysmolError(f"{options.results}: {len(found)} layers are too few to fit")
    constants, errors = fit(found)
    for name, value in zip(_NAMES, constants, strict=True):
        print(f"{name:20s} {value:.3f}")
    for layer, error in zip(found, errors, strict=True):
        print(f"{layer.case:42s} {layer.total:7.1f} cycles a row, {100 * error:+5.1f} %")


def arguments(top: Parser) -> None:
    """What it takes."""
    top.add_argument("results", type=Path, help="JSON of `sysmol bench --suite kernels`")


def main() -> int:
    """Entry point; gives the exit status."""
    return run_script(__doc__, arguments, run)


if __name__ == "__main__":
    sys.exit(main())
