"""Our side of a case: compiled for the best target of this machine, and called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sysmol.errors import InputRefused
from sysmol.measure import Burst, timed
from sysmol.runtime import Model, load

__all__ = ["compiled", "loaded", "our_calls"]


def compiled(source: Path, golden_pairs: int = 2, profile: bool = False) -> tuple[Path, Any]:
    """Compile beside the source, for the first target that this CPU supports.

    Returns
    -------
    tuple of Path and CompileReport
        The bundle, and what it took.
    """
    from sysmol.compile import compile, targets

    bundle = source.with_suffix(".smol")
    refused: InputRefused | None = None
    for target in targets():
        report = compile(
            source, bundle, targets=[target], golden_pairs=golden_pairs, profile=profile
        )
        try:
            load(bundle)
            return bundle, report
        except InputRefused as error:  # the CPU lacks a feature
            refused = error
    raise refused or InputRefused("there is no target")


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
        found[name] = timed(partial(model.run, x, out=out), seconds)
    return found
