"""Latency of one call by one thread and by several, and their ratio, as JSON.

Each turn is one ``sysmol-run --time``, which runs both in turns of 20 calls, its threads pinned. On
a busy machine the minimum of many short turns counts; run it with real-time priority
(``chrt -f 20``) if allowed::

    python test/benchmark/threads.py net.smol --turns 20 --json threads.json
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
from pathlib import Path

from programs import find, output_of

from sysmol import files
from sysmol.arguments import Parser, positive, run_script, threads
from sysmol.errors import UsageError
from sysmol.measure import environment

LINE = re.compile(r"min ([0-9.]+) ms, median ([0-9.]+) ms \((\d+) runs, (\d+) threads?, ([^,]+)")


def turn(bundle: Path, many: int, runs: int) -> dict[int, tuple[float, float]]:
    """Minimum and median by number of threads."""
    text = output_of(find("sysmol-run"), bundle, "--time", f"--runs={runs}", f"--threads={many}")
    return {int(m[4]): (float(m[1]), float(m[2])) for m in LINE.finditer(text)}


def run(options: argparse.Namespace) -> None:
    """Measure, print, and write the results."""
    if options.threads < 2:
        raise UsageError("one thread is measured anyway; give --threads 2 or more")
    rows = []
    for bundle in options.bundles:
        turns = [turn(bundle, options.threads, options.runs) for _ in range(options.turns)]
        one, many = ([t[n] for t in turns] for n in (1, options.threads))
        ratios = [t[1][0] / t[options.threads][0] for t in turns]
        rows.append(
            {
                "case": bundle.stem,
                "threads": options.threads,
                "one_ms": min(t[0] for t in one),
                "many_ms": min(t[0] for t in many),
                "speedup": min(t[0] for t in one) / min(t[0] for t in many),
                "speedup_median_of_turns": statistics.median(ratios),
                "one_turns_ms": one,
                "many_turns_ms": many,
            }
        )
        row = rows[-1]
        print(
            f"{row['case']}: {row['one_ms']:.3f} ms by one thread, {row['many_ms']:.3f} ms by "
            f"{options.threads}: {row['speedup']:.2f}x (median of turns "
            f"{row['speedup_median_of_turns']:.2f}x)"
        )
    command = " ".join([Path(sys.argv[0]).name, *(Path(a).name for a in sys.argv[1:])])
    realtime = os.sched_getscheduler(0) == os.SCHED_FIFO
    result = {
        "command": command,
        "priority": "real-time" if realtime else "normal",
        "turns": f"{options.turns} of {options.runs} calls; [minimum, median] of each",
        "environment": environment(),
        "rows": rows,
    }
    if options.json:
        files.write_json(options.json, result)


def arguments(top: Parser) -> None:
    """What it takes."""
    top.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE")
    top.add_argument("--threads", type=threads, default=2, help="beside one (default: 2)")
    top.add_argument("--turns", type=positive, default=10, help="(default: 10)")
    top.add_argument("--runs", type=positive, default=40, help="calls of a turn (default: 40)")
    top.add_argument("--json", type=Path, help="the results")


def main() -> int:
    """Entry point; gives the exit status."""
    return run_script(__doc__, arguments, run)


if __name__ == "__main__":
    sys.exit(main())
