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

__all__ = ["Burst", "Latency", "environment", "interleaved", "pinned", "timed", "turns"]


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one call: the smallest, the median, and over how many calls."""

    minimum: float
    median: float
    runs: int


@dataclass(frozen=True)
class Burst:
    """Milliseconds of one call in a few calls on end."""

    minimum: float
    median: float
    calls: int


@contextmanager
def pinned(threads: int = 1) -> Iterator[frozenset[int]]:
    """Keep this thread, and those that it starts, on as many CPUs as there are threads.

    Gives the CPUs; none where the system does not allow it.
    """
    try:
        before = os.sched_getaffinity(0)
        cpus = frozenset(sorted(before)[-threads:])
        os.sched_setaffinity(0, cpus)
    except (AttributeError, OSError):
        yield frozenset()
        return
    try:
        yield cpus
    finally:
        os.sched_setaffinity(0, before)


def timed(call: Callable[[], object], seconds: float = 0.01) -> Callable[[], Burst]:
    """A burst of calls that takes about ``seconds``, after a few that do not count."""

    def burst() -> Burst:
        clock = time.perf_counter_ns
        for _ in range(2):
            call()
        taken: list[int] = []
        end = clock() + int(seconds * 1e9)
        while len(taken) < 3 or clock() < end:
            start = clock()
            call()
            taken.append(clock() - start)
        return Burst(min(taken) / 1e6, statistics.median(taken) / 1e6, len(taken))

    return burst


def turns(
    cases: Mapping[str, Callable[[], Burst]], seconds: float, rounds: int = 3
) -> dict[str, Latency]:
    """Bursts of every case in turns, until ``seconds`` are over, in this thread.

    Turns make all cases meet the same disturbances.

    Parameters
    ----------
    cases : dict of str to callable
        Each gives one burst.
    seconds : float
        For all cases together.
    rounds : int
        At least so many turns, however long they take.

    Returns
    -------
    dict of str to Latency
        The smallest of all calls, and the median of the bursts' medians.
    """
    bursts: dict[str, list[Burst]] = {name: [] for name in cases}
    collecting = gc.isenabled()
    gc.disable()
    end = time.perf_counter() + seconds
    done = 0
    try:
        while cases and (done < rounds or time.perf_counter() < end):
            for name, case in cases.items():
                bursts[name].append(case())
            done += 1
    finally:
        if collecting:
            gc.enable()
    return {
        name: Latency(
            min(burst.minimum for burst in taken),
            statistics.median(burst.median for burst in taken),
            sum(burst.calls for burst in taken),
        )
        for name, taken in bursts.items()
    }


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

    peers = ("numpy", "onnxruntime", "openvino", "nncf", "torch", "ggml-compiler")
    versions = {name: _version(name) for name in peers}
    return {
        "cpu": _cpu_name(),
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sysmol": __version__,
        "commit": _commit(),
        "versions": {name: version for name, version in versions.items() if version},
    }
