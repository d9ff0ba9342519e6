#!/usr/bin/env python3
"""What bounds a layer: its hottest basic blocks, with samples, assembly and ``llvm-mca``.

Compiles single layers of the suites ``kernels`` and ``gemv`` (those whose names a pattern finds, or
the rows of a results file that are below a share of their ceiling), or takes bundles, runs each
under ``perf record`` and writes ``NAME.log``: what the hardware counters say (or that this machine
refuses them), and the blocks that take the most, each with its samples by instruction and, where
it is a loop of one block, what ``llvm-mca`` predicts for it::

    python test/benchmark/hot_loops.py --out hot-loops --results all.json --below 0.85
    python test/benchmark/hot_loops.py --out hot-loops --case "64->64, 56x56, 2 bit"
    python test/benchmark/hot_loops.py --out hot-loops net.smol

Needs ``perf``, ``llvm-objdump``, ``llvm-mca`` and ``readelf``.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from programs import find, output_of

from sysmol import files, results
from sysmol.arguments import Parser, factor, pattern, positive, run_script
from sysmol.errors import SysmolError, UsageError
from sysmol.measure import environment
from sysmol.programs import MIXES
from sysmol.suites import gemv, kernels
from sysmol.suites.ours import best_target, compiled

#: Samples a second of CPU time.
_RATE = 4000

#: Instructions of a block that are written, at most.
_MOST_LINES = 160

#: What `perf stat` is asked for.
_EVENTS = "cycles,instructions,cache-misses"


@dataclass(frozen=True)
class Block:
    """Instructions that run one after the other, by address."""

    instructions: tuple[tuple[int, str], ...]
    samples: int

    @property
    def start(self) -> int:
        """Where it begins."""
        return self.instructions[0][0]

    @property
    def is_loop(self) -> bool:
        """Whether it ends in a jump to its own beginning."""
        jump = re.match(r"j\w+\s+0x([0-9a-f]+)", self.instructions[-1][1])
        return jump is not None and int(jump[1], 16) == self.start


def code_of(bundle: Path) -> bytes:
    """The shared object of the best target in a bundle."""
    table = output_of(find("sysmol-run"), bundle, "--inspect")
    found = re.search(rf"code/{best_target()} +([\d ]+?)  +([\d ]+?)  +[0-9a-f]", table)
    if found is None:
        raise SysmolError(f"{bundle}: no code for {best_target()}; compile for it")
    offset, size = (int(number.replace(" ", "")) for number in found.groups())
    return bundle.read_bytes()[offset : offset + size]


def runs_of(bundle: Path, seconds: float) -> int:
    """Calls that take so many seconds."""
    text = output_of(find("sysmol-run"), bundle, "--time", "--runs=20")
    found = re.search(r"median ([\d.]+) ms", text)
    if found is None:
        raise SysmolError(f"{bundle}: sysmol-run --time says no median")
    return max(20, int(1e3 * seconds / float(found[1])))


def samples_of(bundle: Path, code: Path, runs: int) -> tuple[collections.Counter[int], int]:
    """Samples by address in the code, and of the whole process."""
    with tempfile.NamedTemporaryFile(suffix=".perf") as record:
        run = [find("sysmol-run"), str(bundle), "--time", f"--runs={runs}", "--threads=1"]
        output_of(
            *(find("perf"), "record", "-q", "-e", "cpu-clock", "-F", str(_RATE)),
            *("-o", record.name, *run),
        )
        text = output_of(
            *(find("perf"), "script", "-i", record.name, "-F", "ip,sym,dso", "--show-mmap-events")
        )
    places: list[tuple[int, int, int]] = []
    hits: list[int] = []
    total = 0
    for line in text.splitlines():
        if "MMAP" in line:
            if found := re.search(r"\[0x([0-9a-f]+)\(0x([0-9a-f]+)\) @ (\S+) .*sysmol-code", line):
                places.append((int(found[1], 16), int(found[2], 16), int(found[3], 16)))
        elif found := re.match(r"\s*([0-9a-f]+) .*?\((.*)\)$", line):
            total += 1
            if "sysmol-code" in found[2]:
                hits.append(int(found[1], 16))
    # Offsets in the file are addresses by its program headers.
    segments = [
        (int(words[1], 16), int(words[2], 16), int(words[4], 16))
        for words in map(str.split, output_of(find("readelf"), "-lW", code).splitlines())
        if words and words[0] == "LOAD"
    ]
    counts: collections.Counter[int] = collections.Counter()
    for address in hits:
        for start, size, offset in places:
            if start <= address < start + size:
                at = address - start + offset
                for begin, virtual, length in segments:
                    if begin <= at < begin + length:
                        counts[at - begin + virtual] += 1
    return counts, total


def blocks_of(code: Path, counts: collections.Counter[int]) -> list[Block]:
    """Basic blocks of the code, the hottest first."""
    text = output_of(find("llvm-objdump-22", "llvm-objdump"), "-d", "--no-show-raw-insn", code)
    instructions = [
        (int(found[1], 16), found[2].strip())
        for found in (re.match(r"\s*([0-9a-f]+):\s+(.*)", line) for line in text.splitlines())
        if found
    ]
    leaders = set()
    for (_, words), (behind, _) in itertools.pairwise(instructions):
        if jump := re.match(r"j\w+\s+0x([0-9a-f]+)", words):
            leaders.add(int(jump[1], 16))
        if re.match(r"j|ret|ud2", words):
            leaders.add(behind)
    blocks: list[list[tuple[int, str]]] = [[]]
    for address, words in instructions:
        if address in leaders and blocks[-1]:
            blocks.append([])
        blocks[-1].append((address, words))
    found = [Block(tuple(block), sum(counts[at] for at, _ in block)) for block in blocks if block]
    return sorted(found, key=lambda block: -block.samples)


def predicted(block: Block) -> str:
    """What ``llvm-mca`` says of a loop: its summary, and how busy each unit is."""
    body = "\n".join(re.sub(r"<.*>|#.*", "", words) for _, words in block.instructions[:-1])
    with tempfile.NamedTemporaryFile("w", suffix=".s") as source:
        source.write(body + "\n")
        source.flush()
        cpu = "znver4" if "avx512" in best_target() else "znver3"
        text = output_of(
            *(find("llvm-mca-22", "llvm-mca"), f"-mcpu={cpu}", "-iterations=100"),
            *("-instruction-info=0", source.name),
        )
    # The summary, and the units that are busy; the rest repeats the assembly.
    summary = text[: text.index("Resources:")].strip()
    names = re.findall(r"^\[([\d.]+)\] +- (\S+)$", text, re.MULTILINE)
    pressure = text[text.index("Resource pressure per iteration:") :].splitlines()[2].split()
    busy = [
        f"{name}[{number}] {cycles}"
        for (number, name), cycles in zip(names, pressure, strict=True)
        if cycles != "-"
    ]
    return (
        f"llvm-mca -mcpu={cpu} -iterations=100\n{summary}\n"
        f"Cycles an iteration in which a unit is busy: {', '.join(busy)}"
    )


def counters(bundle: Path) -> str:
    """What the hardware counters say, if there are any."""
    command = [find("perf"), "stat", "-e", _EVENTS]
    done = subprocess.run(
        [*command, find("sysmol-run"), str(bundle), "--time", "--runs=100"],
        capture_output=True,
        text=True,
    )
    found = [
        " ".join(line.split())
        for line in done.stderr.splitlines()
        if any(event in line for event in _EVENTS.split(","))
    ]
    return f"perf stat -e {_EVENTS}: {'; '.join(found)}"


def report(case: str, bundle: Path, options: argparse.Namespace, says: str) -> str:
    """The log of one bundle."""
    here = environment()
    with tempfile.TemporaryDirectory(prefix="sysmol-") as folder:
        code = Path(folder) / "code.so"
        code.write_bytes(code_of(bundle))
        runs = runs_of(bundle, options.seconds)
        counts, total = samples_of(bundle, code, runs)
        blocks = [block for block in blocks_of(code, counts) if block.samples]
        if not blocks:
            raise SysmolError(f"{bundle}: no sample is in its code; give more --seconds")
        lines = [f"{case}{says}", f"{here['cpu']}, commit {here['commit']}, {best_target()}"]
        lines.append(counters(bundle))
        lines.append(
            f"perf record -e cpu-clock -F {_RATE}, {runs} runs: {total} samples, "
            f"{sum(counts.values())} in the compiled code, {len(blocks)} blocks have some"
        )
    taken = 0
    for block in blocks[: options.blocks]:
        taken += block.samples
        kind = "loop" if block.is_loop else "block"
        lines.append(
            f"\n== {kind} of {len(block.instructions)} instructions at {block.start:#x}: "
            f"{100 * block.samples / total:.1f} % of all samples"
        )
        lines += [f"{counts[at]:6d}  {words}" for at, words in block.instructions[:_MOST_LINES]]
        if len(block.instructions) > _MOST_LINES:
            lines.append(f"        ({len(block.instructions) - _MOST_LINES} more)")
        if block.is_loop:
            lines.append(predicted(block))
    lines.append(f"\n{100 * taken / total:.1f} % of all samples are in these blocks")
    return "\n".join(lines) + "\n"


def shares_of(path: Path) -> dict[str, float]:
    """Shares of the ceiling by case, of what ``sysmol bench --json`` wrote."""
    rows = results.read(path)["rows"]
    return {row["case"]: row["ceiling_share"] for row in rows if row.get("ceiling_share")}


def wanted_cases(options: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """Names, programs, and what the results say of the layers that are asked for."""
    shares = {} if options.results is None else shares_of(options.results)
    for cases in (kernels.CASES, gemv.CASES):
        for layer, mixes in cases:
            for mix in mixes:
                case = f"{layer}, {mix}"
                share = shares.get(case)
                is_named = options.case is not None and re.search(options.case, case) is not None
                if not is_named and (share is None or share >= (options.below or 0)):
                    continue
                says = "" if share is None else f": {100 * share:.1f} % of its ceiling"
                yield case, layer.program(MIXES[mix]), says


def run(options: argparse.Namespace) -> None:
    """Write the logs."""
    if options.below is not None and options.results is None:
        raise UsageError("--below is a share of the ceilings in --results; give both")
    cases = list(wanted_cases(options))
    if not cases and not options.bundles:
        raise UsageError("no case is asked for: give bundles, --case or --results with --below")
    stems = [bundle.stem for bundle in options.bundles]
    if len(set(stems)) < len(stems):
        raise UsageError("two bundles have one name, and so would their logs")

    def write(case: str, bundle: Path, says: str) -> None:
        name = re.sub(r"[^A-Za-z0-9]+", "-", case).strip("-")
        path = options.out / f"{name}.log"
        files.write_bytes(path, report(case, bundle, options, says).encode())
        print(path, flush=True)

    with files.folder(options.out):
        for bundle in options.bundles:
            write(bundle.stem, bundle, "")
        for case, program, says in cases:
            with tempfile.TemporaryDirectory(prefix="sysmol-") as folder:
                source = Path(folder) / "layer.mlir"
                source.write_text(program)
                bundle, _ = compiled(source, golden_pairs=0)
                write(case, bundle, says)


def arguments(top: Parser) -> None:
    """What it takes."""
    top.add_argument("bundles", nargs="*", type=Path, metavar="BUNDLE")
    top.add_argument("--out", type=Path, required=True, help="folder for the logs")
    top.add_argument("--case", type=pattern, help="layers that this regular expression finds")
    top.add_argument("--results", type=Path, help="JSON of `sysmol bench`")
    top.add_argument("--below", type=factor, help="share of the ceiling, e.g. 0.85")
    top.add_argument("--seconds", type=factor, default=2.0, help="of sampling a layer (2)")
    top.add_argument("--blocks", type=positive, default=3, help="blocks shown (default: 3)")


def main() -> int:
    """Entry point; gives the exit status."""
    return run_script(__doc__, arguments, run)


if __name__ == "__main__":
    sys.exit(main())
