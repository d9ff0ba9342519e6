"""Measure latencies side by side, so that a ratio means something on a busy machine."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["Latency", "environment", "interleaved", "pinned"]


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one call: the smallest, the median, and over how many calls."""

    minimum: float
    median: float
    runs: int


@contextmanager
def pinned() -> Iterator[int | None]:
    """Keep this thread on one CPU; gives its number, or None where that is not possible."""
    try:
        before = os.sched_getaffinity(0)
        cpu = max(before)
        os.sched_setaffinity(0, {cpu})
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield cpu
    finally:
        os.sched_setaffinity(0, before)


def interleaved(
    cases: Mapping[str, Callable[[], object]], runs: int = 1000, burst: int = 20
) -> dict[str, Latency]:
    """Time every case in turns of a few calls, in this thread on one CPU.

    Turns make all cases meet the same disturbances; the first calls of a turn, which find the
    caches full of another case's data, are not counted.

    Parameters
    ----------
    cases : dict of str to callable
        What to time; called without arguments.
    runs : int
        Counted calls of each case.
    burst : int
        Counted calls of a turn.

    Returns
    -------
    dict of str to Latency
    """
    times: dict[str, list[int]] = {name: [] for name in cases}
    clock = time.perf_counter_ns
    collecting = gc.isenabled()
    gc.disable()
    try:
        with pinned():
            while any(len(taken) < runs for taken in times.values()):
                for name, call in cases.items():
                    for _ in range(max(2, burst // 5)):
                        call()
                    for _ in range(min(burst, runs - len(times[name]))):
                        start = clock()
                        call()
                        times[name].append(clock() - start)
    finally:
        if collecting:
            gc.enable()
    return {
        name: Latency(min(taken) / 1e6, statistics.median(taken) / 1e6, len(taken))
        for name, taken in times.items()
    }


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model name")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Commit of the checkout that this package lies in, with a mark for changes."""
    folder = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def environment() -> dict[str, Any]:
    """What a result must be read with: CPU, versions, commit."""
    from sysmol import __version__

    versions = {name: _version(name) for name in ("numpy", "onnxruntime", "torch")}
    return {
        "cpu": _cpu_name(),
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sysmol": __version__,
        "commit": _commit(),
        "versions": {name: version for name, version in versions.items() if version},
    }
