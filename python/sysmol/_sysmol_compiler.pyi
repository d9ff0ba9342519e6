"""The C API of the compiler (sysmol-c/Compiler.h); errors raise classes of sysmol.errors."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

version: str

def targets() -> list[str]: ...
def compile_file(
    input: str,
    output: str,
    targets: Sequence[str],
    emit: int,
    phase: str,
    name: str,
    batch: int,
    golden_pairs: int,
    seed: int,
    profile: bool,
    forbid_fallback: bool,
) -> tuple[list[tuple[str, float]], int, int, int]: ...
def cost_table(target: str) -> str: ...
def tune(target: str) -> str: ...
def reference_run(
    input: str, inputs: npt.NDArray[np.uint8], calls: int, batch: int
) -> npt.NDArray[np.uint8]: ...
