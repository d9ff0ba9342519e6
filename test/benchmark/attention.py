#!/usr/bin/env python3
"""One small network with attention at 1.75 bits, beside float: the case of ``test_attention.py``.

The rows of Fashion-MNIST's images as tokens, one encoder layer, 3,000 images to learn from, 2,000
others to test on; the network and the loop are those of the test. Float learns for 3 epochs, the
mix for 4 epochs of phase 1 and 2 of phase 2 from there; beside it the same float network for 6
epochs more, and 4 bits without training::

    python test/benchmark/attention.py --out docs/training/attention --seeds 3

leaves ``attention.json`` and prints a table, a row a seed.
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path
from typing import Any

import torch

import sysmol
from sysmol import files
from sysmol.arguments import Parser, positive, run_script, threads
from sysmol.budget import Controller, Costs, settle
from sysmol.measure import environment
from sysmol.prepare import calibrate, mean_bits

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

from test_attention import Rows, accuracy, images, train


def measure(seed: int) -> dict[str, Any]:
    """All four networks of one seed."""
    torch.manual_seed(seed)
    twin = Rows()
    train(twin, 3, 3e-3)
    found: dict[str, Any] = {"seed": seed, "float": accuracy(twin)}
    few, _ = images(0, 256)
    model = sysmol.prepare(twin)
    calibrate(model, few)
    control = Controller(Costs(model), 1.75)
    train(model, 4, 1e-3, control)
    found["phase1_bits"] = control.costs.total(control.costs.assigned())
    settle(model, control.costs, 1.75)
    train(model, 2, 2e-3)
    found |= {"bits": mean_bits(model), "mix": accuracy(model)}
    longer = copy.deepcopy(twin)
    train(longer, 4, 1e-3)
    train(longer, 2, 2e-3)
    found["float_longer"] = accuracy(longer)
    found["post_training_4_bits"] = accuracy(sysmol.calibrate_bits(twin, few, 4.0))
    return found


def run(options: argparse.Namespace) -> None:
    """Measure, print, and write the results."""
    torch.set_num_threads(options.threads)
    rows = []
    print("| seed | float | bits | mix | float, longer | 4 bits, not trained |")
    print("|---|---|---|---|---|---|")
    with files.folder(options.out):
        for seed in range(options.seeds):
            row = measure(seed)
            rows.append(row)
            shares = [row[key] for key in ("mix", "float_longer", "post_training_4_bits")]
            cells = " | ".join(f"{100 * share:.2f} %" for share in shares)
            start = f"| {seed} | {100 * row['float']:.2f} % | {row['bits']:.3f} |"
            print(f"{start} {cells} |", flush=True)
        found = {"environment": environment(), "rows": rows}
        files.write_json(options.out / "attention.json", found)


def arguments(top: Parser) -> None:
    """What it takes."""
    top.add_argument("--out", type=Path, required=True, help="folder for attention.json")
    top.add_argument("--seeds", type=positive, default=3, help="0, 1, ... (default: 3)")
    top.add_argument("--threads", type=threads, default=1, help="of PyTorch (default: 1)")


def main() -> int:
    """Entry point; gives the exit status."""
    return run_script(__doc__, arguments, run)


if __name__ == "__main__":
    sys.exit(main())
