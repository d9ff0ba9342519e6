"""Compiles whole networks for a GPU and runs them in the emulator: golden vectors, bit for bit.

exact_networks.py FOLDER SYSMOL-COMPILE EVERY SET...: every EVERY-th network of the sets that CPUs
are tested with (test/Integration/CPU/networks.py), half of them by warpgroups. One line for each
network that fails; exit code 1 where one does.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from zlib import crc32

from sysmol.errors import SysmolError
from sysmol.gpu import network

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "CPU"))
from networks import networks


def main() -> int:
    folder, compiler, every, *sets = sys.argv[1:]
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    for name in sets:
        for stem, text in list(networks(name).items())[:: int(every)]:
            source, output = place / f"{stem}.mlir", place / f"{stem}.json"
            source.write_text(text)
            command = [compiler, str(source), "--target=sm_90", "-o", str(output)]
            if crc32(stem.encode()) % 2:
                command[2:3] = ["--target=sm_90a", "--kernel-options=warpgroups=1"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{stem}: {done.stderr.strip()[:400]}")
                counts["failed"] += 1
                continue
            try:
                network.verify_emulated(output)
                counts["exact"] += 1
            except SysmolError as error:
                print(f"{stem}: {error}")
                counts["failed"] += 1
    for what, count in counts.items():
        print(f"{count} {what}")
    return 1 if counts["failed"] or not counts["exact"] else 0


if __name__ == "__main__":
    sys.exit(main())
