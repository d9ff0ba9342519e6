"""Our side of a case: compiled for the best target of this machine, and called."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sysmol.errors import InputRefused
from sysmol.measure import Burst, timed
from sysmol.programs import MIXES, Product
from sysmol.runtime import Model, load

__all__ = ["best_target", "compiled", "loaded", "our_calls"]


@cache
def best_target() -> str:
    """The first target whose code this CPU runs: a small program finds out."""
    from sysmol.compile import compile, targets

    refused: InputRefused | None = None
    with tempfile.TemporaryDirectory(prefix="sysmol-") as name:
        source, bundle = Path(name) / "small.mlir", Path(name) / "small.smol"
        source.write_text(Product(1, 8, 8).program(MIXES["1 bit"]))
        for target in targets():
            compile(source, bundle, targets=[target], golden_pairs=0)
            try:
                load(bundle)
                return target
            except InputRefused as error:  # the CPU lacks a feature
                refused = error
    raise refused or InputRefused("there is no target")


def compiled(source: Path, golden_pairs: int = 2, profile: bool = False) -> tuple[Path, Any]:
    """Compile beside the source, for the first target that this CPU supports.

    Returns
    -------
    tuple of Path and CompileReport
        The bundle, and what it took.
    """
    from sysmol.compile import compile

    bundle = source.with_suffix(".smol")
    report = compile(
        source, bundle, targets=[best_target()], golden_pairs=golden_pairs, profile=profile
    )
    return bundle, report


def loaded(bundle: Path, threads: int = 1) -> Model:
    """The model, one call of which so many threads share."""
    return load(bundle, threads=threads)


def our_calls(
    bundles: Mapping[str, Path], x: npt.NDArray[Any], threads: int, seconds: float
) -> dict[str, Callable[[], Burst]]:
    """Bursts of calls on fixed arrays, which take about ``seconds`` each."""
    x = np.ascontiguousarray(x)
    found = {}
    for name, bundle in bundles.items():
        model = loaded(bundle, threads)
        out = np.empty(model.outputs[0].shape, model.outputs[0].dtype)
        found[name] = timed(model.bind(x, out=out), seconds)
    return found
