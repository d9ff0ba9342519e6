"""``sysmol bench --gpu``: kernels on a real GPU beside cuBLAS, correct first, then fast."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sysmol.errors import InputRefused, SysmolError
from sysmol.gpu import kernel as kernels

__all__ = ["HEADING", "bench", "find", "table"]

Report = Callable[[str], None]

_WORKER = (sys.executable, "-m", "sysmol.gpu.worker")
#: Seconds without a word after which a worker hangs: at first, when it loads PyTorch, and later.
_PATIENCE = (75.0, 35.0)


def find(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Launch descriptions: files as they are, folders by their ``*.json``."""
    found: list[Path] = []
    for given in map(Path, paths):
        found += sorted(given.glob("*.json")) if given.is_dir() else [given]
    if not found:
        raise InputRefused(f"no launch description in {', '.join(map(str, paths))}")
    return found


def _groups(paths: Sequence[Path]) -> tuple[list[list[str]], list[dict[str, Any]]]:
    """Paths by shape, in the order given, and rows for those that cannot be read."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    bad = []
    for path in paths:
        try:
            operation = kernels.read(path).operation
        except SysmolError as error:
            bad.append({"path": str(path), "name": path.stem, "error": str(error)})
            continue
        key = (operation.kind, operation.m, operation.n, operation.k, operation.window)
        groups.setdefault(key, []).append(str(path))
    return list(groups.values()), bad


def _worker(arguments: Sequence[str], until: float) -> Iterator[dict[str, Any]]:
    """The events of a worker; ends it where it hangs or the time is over."""
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    }
    child = subprocess.Popen(
        [*_WORKER, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    lines: queue.Queue[str | None] = queue.Queue()
    errors: list[str] = []

    def read_output() -> None:
        for line in child.stdout or ():
            lines.put(line)
        lines.put(None)

    def read_errors() -> None:
        errors.extend(child.stderr or ())

    readers = [threading.Thread(target=x, daemon=True) for x in (read_output, read_errors)]
    for reader in readers:
        reader.start()
    patience = _PATIENCE[0]
    try:
        while True:
            left = until - time.monotonic()
            try:
                line = lines.get(timeout=max(0.01, min(left, patience)))
            except queue.Empty:
                why = "the time is over" if left < patience else f"no word in {patience:.0f} s"
                yield {"event": "died", "error": why, "over": left < patience}
                return
            patience = _PATIENCE[1]
            if line is None:
                break
            try:
                yield json.loads(line)
            except ValueError:
                errors.append(line)
        if child.wait():
            text = " ".join(" ".join(errors).split())[-400:]
            yield {"event": "died", "error": f"exit status {child.returncode}: {text}"}
    finally:
        child.kill()
        child.wait()


def _simple(tasks: Sequence[str], until: float, result: dict[str, Any], report: Report) -> None:
    """Tasks without kernels: their events go where they belong."""
    for event in _worker(tasks, until):
        kind = event.pop("event")
        if kind in ("ceiling", "rate"):
            result[f"{kind}s"].append(event)
            report(_ceiling_line(event) if kind == "ceiling" else _rate_line(event))
        elif kind in ("environment", "self_test", "smi"):
            result[kind] = event
        else:
            result["errors"].append({"tasks": list(tasks), **event})
            report(f"{', '.join(tasks)}: {event.get('error')}")


def _kernels(
    groups: list[list[str]], rounds: int, until: float, result: dict[str, Any], report: Report
) -> None:
    """All groups; a worker that dies is replaced, without the kernel that it died of.

    Of kernels that are timed in turns nobody knows which it was: each is timed alone then.
    """
    left = [list(group) for group in groups]
    while any(left) and time.monotonic() < until:
        current: list[str] = []
        finished: set[str] = set()
        suspects: list[str] = []
        over = False
        for event in _worker(["kernels", json.dumps(left), str(rounds)], until):
            kind = event.pop("event")
            if kind == "start":
                current = [event["path"]]
            elif kind == "timing":
                current = event["paths"]
            elif kind in ("row", "failed"):
                finished.add(event["path"])
                result["rows"].append(event)
                report(_row_line(event))
            elif kind == "error":
                result["errors"].append({"tasks": ["kernels"], **event})
                report(f"kernels: {event.get('error')}")
            else:
                over = bool(event.pop("over", False))
                if over:
                    break
                waiting = [path for path in current if path not in finished]
                if len(waiting) > 1:
                    suspects = waiting
                    report(f"{len(waiting)} kernels: {event['error']}; each alone now")
                else:
                    for path in waiting:
                        finished.add(path)
                        result["rows"].append({"path": path, **event})
                        report(_row_line(result["rows"][-1]))
        rest = finished.union(suspects)
        left = [[path for path in group if path not in rest] for group in left]
        left = [[path] for path in suspects] + [group for group in left if group]
        if over or not rest:
            break
    for path in (path for group in left for path in group):
        result["rows"].append({"path": path, "error": "not run: the time was over"})


def bench(
    paths: Sequence[str | os.PathLike[str]],
    seconds: float = 600.0,
    rounds: int = 15,
    rates: bool = True,
    report: Report = lambda line: None,
) -> dict[str, Any]:
    """Check and time kernels on this machine's first GPU.

    Parameters
    ----------
    paths : sequence of path-like
        Launch descriptions, or folders of them.
    seconds : float
        After which nothing new begins.
    rounds : int
        Turns of the interleaved timing.
    rates : bool
        Whether to measure the rates of single instructions too.
    report : callable
        Called with a line for people as soon as something is measured.

    Returns
    -------
    dict
        ``suite``, ``environment``, ``self_test``, ``ceilings``, ``rates``, ``rows`` (one a kernel,
        with ``check`` and ``times``, or ``error``), ``errors``.

    Raises
    ------
    ResourceLimit
        There is no driver.
    """
    from sysmol.gpu.driver import driver

    driver()
    until = time.monotonic() + seconds
    groups, bad = _groups(find(paths)) if paths else ([], [])
    result: dict[str, Any] = {
        "suite": "gpu", "ceilings": [], "rates": [], "rows": bad, "errors": [],
    }  # fmt: skip
    _simple(["environment", "ceilings", *(["rates"] if rates else [])], until, result, report)
    # Its failure is told, but what the kernels compute is checked anyway.
    tested = result.setdefault("self_test", {"result": "did not run"})["result"]
    if tested != "ok":
        result["errors"].append({"tasks": ["self-test"], "error": tested})
        report(f"self-test: {tested}")
    _kernels(groups, rounds, until, result, report)
    return result


def _ceiling_line(row: dict[str, Any]) -> str:
    rate = (
        f"{row['tb_per_second']:8.2f} TB/s"
        if "tb_per_second" in row
        else f"{row['tera_ops_per_second']:8.0f} T/s"
    )
    return f"{row['name']:<28} {row['minimum']:10.1f} us {rate}"


def _rate_line(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"{row['name']:<60} {row['error'][:100]}"
    return f"{row['name']:<60} {row['per_cycle']:9.0f} /cycle/SM {row['tera_per_second']:8.1f} T/s"


def _row_line(row: dict[str, Any]) -> str:
    name = row.get("name", Path(row.get("path", "?")).stem)
    if "error" in row:
        return f"{name:<40} {row['error'][:100]}"
    fp16 = min((v["minimum"] for k, v in row["peers"].items() if k.startswith("fp16")), default=0.0)
    int8 = f"{row['ratio_int8']:7.2f}" if "ratio_int8" in row else "      -"
    line = (
        f"{name:<40} {'exact' if row['check'] == 'exact' else 'WRONG':<6} "
        f"{row['times']['minimum']:9.2f} {row['times']['median']:9.2f} "
        f"{row['weights_tb_per_second']:7.2f} {row['tera_ops_per_second']:7.0f} "
        f"{fp16:9.2f} {row['ratio_fp16']:7.2f} {int8}"
    )
    return line if row["check"] == "exact" else f"{line}\n    {row['check'][:110]}"


#: Above the lines of kernels: microseconds, bandwidth of the weights, operations, ratios.
HEADING = (
    f"{'kernel':<40} {'check':<6} {'us min':>9} {'median':>9} {'TB/s w':>7} {'T/s':>7} "
    f"{'fp16 us':>9} {'x fp16':>7} {'x int8':>7}"
)


def table(result: dict[str, Any]) -> str:
    """Lines for people: ceilings, rates, kernels."""
    lines = [_ceiling_line(row) for row in result["ceilings"]]
    lines += [_rate_line(row) for row in result["rates"]]
    lines += [HEADING, *(_row_line(row) for row in result["rows"])]
    lines += [f"{', '.join(x['tasks'])}: {x.get('error')}" for x in result["errors"]]
    return "\n".join(lines)
