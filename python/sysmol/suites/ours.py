"""Our side of a case: compiled for the best target of this machine, and called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sysmol.errors import InputRefused
from sysmol.runtime import Model, load

__all__ = ["compiled", "model_call"]


def compiled(source: Path, golden_pairs: int = 2, profile: bool = False) -> tuple[Model, Any]:
    """Compile beside the source, for the first target that this CPU supports.

    Returns
    -------
    tuple of Model and CompileReport
    """
    from sysmol.compile import compile, targets

    bundle = source.with_suffix(".smol")
    refused: InputRefused | None = None
    for target in targets():
        report = compile(
            source, bundle, targets=[target], golden_pairs=golden_pairs, profile=profile
        )
        try:
            return load(bundle), report
        except InputRefused as error:  # the CPU lacks a feature
            refused = error
    raise refused or InputRefused("there is no target")


def model_call(model: Model, x: npt.NDArray[Any], threads: int = 1) -> Callable[[], object]:
    """A call on fixed arrays."""
    x = np.ascontiguousarray(x)
    out = np.empty(model.outputs[0].shape, model.outputs[0].dtype)
    return lambda: model.run(x, out=out)
