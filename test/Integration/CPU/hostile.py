"""Random networks on inputs that ask for the rules of rounding: compiled code is the reference.

`hostile.py TARGET FOLDER SYSMOL-COMPILE SYSMOL-RUN FIRST COUNT`: inputs are ties, values next to
them, NaN, infinities, -0, subnormals and the largest numbers; multipliers are powers of two (so
that sums hit ties), the smallest and nearly the largest; offsets are halves.
"""

import math
import random
import struct
import sys
from pathlib import Path

import emulate
from graphs import Graph
from networks import Bits, Network, Value

SPECIAL = [0.0, -0.0, math.nan, -math.nan, math.inf, -math.inf, 1e-45, -1e-40, 3.4e38, -3.4e38]
TIES = [k / d for d in (2, 4, 6, 30, 128, 510) for k in range(-7, 8)]
OFFSETS = [0.0, -0.0, 0.5, -0.5, 1.5, 0.49999997, 1e30, -1e30, 1e-40]
CALLS = 4


class Hostile(Network):
    def multipliers(self, x: Value, ranges: list[float], turned: float) -> list[float]:
        result = []
        for size in ranges:
            m = 2.0 ** round(math.log2(size / (3 * x.spread)))
            kind = self.random.randrange(8)
            if kind == 0:
                m = self.random.choice([2.0**-126, 2.0**-149, 1e-40, 3e38])
            elif kind == 1:
                m *= 1.5
            result.append(-m if self.random.random() < turned else m)
        return result

    def requantize(
        self, x: Value, bits: Bits, grid: str = "unsigned", turned: float = 0.3
    ) -> Value:
        ranges = [2.0**p for p in bits]
        m = self.multipliers(x, ranges, turned)
        offsets = [self.random.choice([*OFFSETS, r / 2, r / 2 + 0.5, -r / 4]) for r in ranges]
        type_ = self.codes_type(x.shape, bits, grid)
        return self.emit(
            f"hetprec.requantize {x.name} multiplier = {self.floats(m)} "
            f"offset = {self.floats(offsets)} : {x.type} to {type_}",
            type_,
            x.shape,
            bits=bits,
            grid=grid,
        )


def real(draw: random.Random) -> float:
    kind = draw.randrange(8)
    if kind == 0:
        return draw.choice(SPECIAL)
    if kind == 1:
        return draw.gauss(0, 1.5)
    tie = draw.choice(TIES)
    if kind > 5:  # the next binary32
        bits = struct.unpack("<i", struct.pack("<f", tie))[0]
        return struct.unpack("<f", struct.pack("<i", bits + (kind == 6) * 2 - 1 if bits else 0))[0]
    return tie


def code(draw: random.Random) -> int:
    """Any byte: the bits that are none of the level's are not read (HP24)."""
    return draw.randrange(256)


def content(argument: Value, draw: random.Random) -> bytes:
    count = CALLS * math.prod(argument.shape)
    if "f32" in argument.type:
        return struct.pack(f"<{count}f", *(real(draw) for _ in range(count)))
    return bytes(code(draw) for _ in range(count))


def main() -> int:
    target, folder, compile_, run, first, count = sys.argv[1:7]
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    failures = 0
    for seed in range(int(first), int(first) + int(count)):
        graph = Graph(seed, Hostile)
        source, bundle = place / f"{seed}.mlir", place / f"{seed}.smol"
        source.write_text(graph.text())
        inputs: list[str] = []
        for i, argument in enumerate(graph.net.arguments):
            file = place / f"{seed}-{i}.bin"
            file.write_bytes(content(argument, random.Random(f"{seed} {i}")))
            inputs += ["--input", str(file)]
        options = ["--golden=0"]
        try:
            emulate.run(
                compile_, source, f"--target={target}", "--verify-each", *options, "-o", bundle
            )
            if target == emulate.TARGET and not emulate.has_avx512():
                emulate.emulate(source, options, bundle, compile_)
            said = emulate.run(run, bundle, *inputs, "--reference", source)
            if "equal to the reference" not in said:
                raise RuntimeError(said)
        except RuntimeError as error:
            failures += 1
            print(f"{seed}: {error}")
        bundle.unlink(missing_ok=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
