"""Latency of one call by one thread and by several, and their ratio, as JSON.

`threads.py SYSMOL-RUN BUNDLE... [--threads N] [--turns N] [--runs N] [--json FILE]`. Each turn is
one `sysmol-run --time`, which runs both in turns of 20 calls, its threads pinned. On a busy machine
the minimum of many short turns counts; run it with real-time priority (`chrt -f 20`) if allowed.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

from sysmol.measure import environment

LINE = re.compile(r"min ([0-9.]+) ms, median ([0-9.]+) ms \((\d+) runs, (\d+) threads?, ([^,]+)")


def turn(run: str, bundle: Path, threads: int, runs: int) -> dict[int, tuple[float, float]]:
    """Minimum and median by number of threads."""
    command = [run, str(bundle), "--time", f"--runs={runs}", f"--threads={threads}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {int(m[4]): (float(m[1]), float(m[2])) for m in LINE.finditer(text)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for bundle in options.bundles:
        turns = [
            turn(options.run, bundle, options.threads, options.runs) for _ in range(options.turns)
        ]
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
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
