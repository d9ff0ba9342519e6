"""No bytes crash the importer, and a refusal is one line and nothing half-written.

``hostile.py TRANSLATE DIRECTORY truncate|flip|refuse``: cuts the models of DIRECTORY short, changes
bytes in them, or takes them as they are: then each must be refused, and the reasons are printed.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def truncated(content: bytes) -> Iterator[bytes]:
    """Every length around the ends of fields is hit when the step is odd and small."""
    for length in range(0, len(content), max(1, len(content) // 24) | 1):
        yield content[:length]
    yield content[:-1]


def flipped(content: bytes, seed: str) -> Iterator[bytes]:
    source = random.Random(seed)
    for _ in range(8):
        changed = bytearray(content)
        for _ in range(source.randint(1, 4)):
            changed[source.randrange(len(changed))] = source.choice(
                [0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)]
            )
        yield bytes(changed)


def main() -> None:
    translate, directory, mode = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    victim, output = directory / "victim", directory / "victim.mlir"
    count = 0
    for path in sorted(directory.glob("*.onnx"), key=lambda path: path.stem):
        content = path.read_bytes()
        variants = {
            "truncate": lambda c=content: truncated(c),
            "flip": lambda c=content, n=path.name: flipped(c, n),
            "refuse": lambda c=content: iter([c]),
        }[mode]()
        for number, variant in enumerate(variants):
            count += 1
            victim.write_bytes(variant)
            output.unlink(missing_ok=True)
            run = subprocess.run(
                [translate, "--import-onnx", str(victim), "-o", str(output)],
                capture_output=True,
                timeout=60,
                check=False,
            )
            where = f"{path.name}, variant {number}: exit code {run.returncode}, {run.stderr!r}"
            if mode == "flip" and run.returncode == 0:
                continue  # a change of a weight or a name may be legal
            if run.returncode != 1:
                sys.exit(f"expected exit code 1: {where}")
            if run.stderr.count(b"\n") != 1 or not run.stderr.startswith(
                b"sysmol-translate: error: "
            ):
                sys.exit(f"expected one line: {where}")
            if run.stdout or output.exists():
                sys.exit(f"something was written: {where}")
            if mode == "refuse":
                reason = run.stderr.decode().strip().split(f"{victim}: ", 1)[1]
                print(f"{path.name}: {reason}")
    print(f"{count} files survived")


if __name__ == "__main__":
    main()
