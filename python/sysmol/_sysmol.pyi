"""The C API of the runtime (sysmol-c/Runtime.h); errors raise classes of sysmol.errors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

version: str

class Bundle:
    def __init__(self, path: str) -> None: ...
    @property
    def metadata(self) -> str: ...
    def sections(self) -> list[tuple[str, int, int, int, bytes]]: ...

class Model:
    @staticmethod
    def open(path: str, target: str | None) -> Model: ...
    @property
    def metadata(self) -> str: ...
    @property
    def target(self) -> str: ...
    def verify(self) -> None: ...

class Team:
    @staticmethod
    def create(threads: int, pinned: bool) -> Team: ...

class Context:
    def __init__(self, model: Model, team: Team | None) -> None: ...
    def run(
        self,
        inputs: Sequence[npt.NDArray[np.generic]],
        outputs: Sequence[npt.NDArray[Any]],
    ) -> None: ...
    def profile(
        self,
        inputs: Sequence[npt.NDArray[np.generic]],
        outputs: Sequence[npt.NDArray[Any]],
        runs: int,
    ) -> list[tuple[str, float, float]]: ...

class Bound:
    def __init__(
        self,
        model: Model,
        team: Team | None,
        inputs: Sequence[npt.NDArray[np.generic]],
        outputs: Sequence[npt.NDArray[Any]],
    ) -> None: ...
    def __call__(self) -> None: ...

def measure_cycles() -> float: ...

class Pool:
    def __init__(self, model: Model, threads: int) -> None: ...
    def run(
        self,
        inputs: Sequence[npt.NDArray[np.generic]],
        outputs: Sequence[npt.NDArray[Any]],
        count: int,
    ) -> None: ...
