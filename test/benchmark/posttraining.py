#!/usr/bin/env python3
"""What precision without training costs: the zoo's float twin by :func:`sysmol.calibrate_bits`.

Three levels at several budgets, and two levels, a low and a high one, as SONIQ has them. The
network sees the first training images, no labels; accuracy is that of the exported file, in
integers, on the test part::

    python test/benchmark/posttraining.py --out docs/training/post-training --images 500

leaves ``posttraining.json`` and each network as ``NAME.onnx.gz``, and prints a table. Nothing is
drawn by chance.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import sysmol
from sysmol import data, files, zoo
from sysmol.arguments import Parser, positive, run_script, threads
from sysmol.budget import stored_bytes
from sysmol.errors import SysmolError
from sysmol.layers import QuantLayer
from sysmol.measure import environment
from sysmol.models import PreResNet, load_float
from sysmol.prepare import mean_bits

#: Name, levels, mean bits of a hidden weight. At the upper end nearly all channels have the upper
#: level; some lose nothing by a lower one.
CASES: tuple[tuple[str, tuple[int, ...], float], ...] = (
    ("2-4-8 at 6", (2, 4, 8), 6.0),
    ("2-4-8 at 4", (2, 4, 8), 4.0),
    ("2-4-8 at 3", (2, 4, 8), 3.0),
    ("2-8 at 6", (2, 8), 6.0),
    ("2-8 at 4", (2, 8), 4.0),
    ("2-8 at 3", (2, 8), 3.0),
    ("4-8 at 6", (4, 8), 6.0),
    ("2-4 at 3", (2, 4), 3.0),
    ("1-4 at 3", (1, 4), 3.0),
    ("4-8 at 8", (4, 8), 8.0),
    ("2-4 at 4", (2, 4), 4.0),
    ("2-4 at 2", (2, 4), 2.0),
)


def measure(
    levels: tuple[int, ...], bits: float, images: torch.Tensor, path: Path, test_images: int
) -> Any:
    """One network: calibrated, exported to ``path``, run in integers on so many test images."""
    start = time.monotonic()
    model = sysmol.calibrate_bits(
        load_float(PreResNet(), zoo.FLOAT).eval(), images, bits, levels=levels
    )
    seconds = time.monotonic() - start
    sysmol.export(model, path)
    raw, labels = data.load("test")
    raw, labels = raw[:test_images], labels[:test_images]
    logits = sysmol.IntegerNetwork.from_onnx(path).run(data.to_input(raw))
    layers = [module for module in model.modules() if isinstance(module, QuantLayer)]
    channels = {
        str(level): sum(int((layer.precision.bits == level).sum()) for layer in layers)
        for level in (1, 2, 4, 8)
    }
    return {
        "levels": list(levels),
        "bits": mean_bits(model),
        "channels": channels,
        "stored_bytes": int(stored_bytes(model, "x86-64-avx512", (1, 28, 28))),
        "accuracy": float((logits.argmax(1) == labels).mean()),
        "seconds": round(seconds, 1),
    }


def run(options: argparse.Namespace) -> None:
    """Measure, print, and write the results."""
    torch.set_num_threads(options.threads)
    raw, _ = data.load("train")
    images = torch.from_numpy(data.to_input(raw[: options.images]))
    results: dict[str, Any] = {"images": options.images, "environment": environment()}
    cases = [case for case in CASES if options.only in ("", case[0])]
    if not cases:
        names = ", ".join(f"'{name}'" for name, _, _ in CASES)
        raise SysmolError(f"no case '{options.only}'; there are {names}")
    print("| levels | bits | stored bytes | accuracy |\n|---|---|---|---|")
    with files.folder(options.out), tempfile.TemporaryDirectory(prefix="sysmol-") as work:
        for name, levels, bits in cases:
            path = Path(work) / "net.onnx"
            row = results[name] = measure(levels, bits, images, path, options.test_images)
            packed = options.out / f"{name.replace(' ', '-')}.onnx.gz"
            files.write_bytes(packed, gzip.compress(path.read_bytes(), 9, mtime=0))
            print(
                f"| {name} | {row['bits']:.3f} | {row['stored_bytes']:,} | "
                f"{100 * row['accuracy']:.2f} % |",
                flush=True,
            )
        files.write_json(options.out / "posttraining.json", results)


def arguments(top: Parser) -> None:
    """What it takes."""
    top.add_argument("--out", type=Path, required=True, help="folder for results and networks")
    top.add_argument("--images", type=positive, default=500, help="training images (default: 500)")
    top.add_argument("--test-images", type=positive, default=10000, help="default: all 10,000")
    top.add_argument("--only", default="", metavar="CASE", help="one case (default: all)")
    top.add_argument("--threads", type=threads, default=1, help="of PyTorch (default: 1)")


def main() -> int:
    """Entry point; gives the exit status."""
    return run_script(__doc__, arguments, run)


if __name__ == "__main__":
    sys.exit(main())
