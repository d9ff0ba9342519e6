"""Compiles and runs the networks of one set; each must give the reference's golden vectors.

`check.py SET TARGETS FOLDER SYSMOL-COMPILE SYSMOL-RUN [EVERY [OPTION...]]`: every EVERY-th network
only, compiled with the options; with options also run by more threads than one. The last target's
code runs; the first one's costs decide what lanes are.
"""

import subprocess
import sys
from pathlib import Path

from networks import networks


def main() -> int:
    name, target, folder, compile_, run = sys.argv[1:6]
    last = target.split(",")[-1]
    every = int(sys.argv[6]) if len(sys.argv) > 6 else 1
    options = sys.argv[7:]
    threads = (1, 2, 3, 7) if options else (1,)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    failures = 0
    for stem, text in list(networks(name).items())[::every]:
        source, bundle = place / f"{stem}.mlir", place / f"{stem}.smol"
        source.write_text(text)
        for command in (
            [compile_, str(source), f"--target={target}", *options, "-o", str(bundle)],
            *(
                [run, str(bundle), "--verify", f"--target={last}", f"--threads={count}"]
                for count in threads
            ),
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                failures += 1
                print(f"{stem}: {done.stdout}{done.stderr}")
                break
        bundle.unlink(missing_ok=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
