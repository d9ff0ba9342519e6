"""Compiles and runs the networks of one set; each must give the reference's golden vectors.

`check.py SET TARGETS FOLDER SYSMOL-COMPILE SYSMOL-RUN [EVERY [OPTION...]]`: every EVERY-th network
only, compiled with the options; with options also run by more threads than one. The last target's
code runs; the first one's costs decide what lanes are. Where the CPU has no AVX-512, every fifth
network runs emulated.
"""

import sys
from pathlib import Path

import emulate
from networks import networks


def main() -> int:
    name, target, folder, compile_, run = sys.argv[1:6]
    last = target.split(",")[-1]
    every = int(sys.argv[6]) if len(sys.argv) > 6 else 1
    options = sys.argv[7:]
    threads = (1, 2, 3, 7) if options else (1,)
    emulated = target == emulate.TARGET and not emulate.has_avx512()
    if emulated:
        every *= 5
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    failures = 0
    for stem, text in list(networks(name).items())[::every]:
        source, bundle = place / f"{stem}.mlir", place / f"{stem}.smol"
        source.write_text(text)
        try:
            emulate.run(
                compile_, source, f"--target={target}", "--verify-each", *options, "-o", bundle
            )
            if emulated:
                emulate.emulate(source, options, bundle, compile_)
            for count in threads:
                emulate.run(run, bundle, "--verify", f"--target={last}", f"--threads={count}")
        except RuntimeError as error:
            failures += 1
            print(f"{stem}: {error}")
        bundle.unlink(missing_ok=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
