"""The ``sysmol`` command: its help, its options, its exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sysmol import __version__, commands
from sysmol.arguments import (
    EXIT_CODES,
    Parser,
    factor,
    guarded,
    natural,
    one_of,
    pattern,
    positive,
    threads,
)

__all__ = ["main"]

_TOP = """\
Train, compile and run neural networks whose input channels each have their own
precision of 1, 2, 4 or 8 bits."""

_TOP_EPILOG = f"""\
From PyTorch to native code:
  sysmol train --out run                     train; find each channel's precision
  sysmol inspect run/model.onnx              how many bits which channel got
  sysmol compile run/model.onnx -o net.smol  to native code
  sysmol verify net.smol                     runs the test vectors inside it
  sysmol run net.smol images.npy             runs it on your images
  sysmol bench net.smol --twin run/float.onnx   beside ONNX Runtime
  sysmol explain net.smol                    layer by layer: strategy, time, bytes

All of it at once, with a network that is trained already:
  sysmol demo

{EXIT_CODES}"""

_DEMO = """\
Compile a trained network (pre-activation ResNet-20 on Fashion-MNIST, channels of
1, 2 and 4 bits), run the 10,000 test images, and show accuracy, size and latency
beside ONNX Runtime with its float twin, in float32 and in INT8.

Latencies are measured interleaved in one run, batch 1, one thread on one CPU.
Writes the bundle and a picture of bits per channel (PNG and SVG)."""

_DEMO_EPILOG = """\
Examples:
  sysmol demo
  sysmol demo --json results.json
  sysmol demo --network run/model.onnx --twin run/float.onnx"""


_EXPORT = """\
Write a PyTorch network as ONNX: a prepared and frozen one with QONNX quantizers
and one bit width per channel, a float one in plain operators.

MODEL is MODULE:FUNCTION, a function without arguments that gives the network;
the module is looked for in the current folder too. 'sysmol train' exports by
itself, to OUT/model.onnx and OUT/float.onnx."""

_EXPORT_EPILOG = """\
Example:
  sysmol export mynet:build --weights net.pt --shape 3,32,32 -o net.onnx"""

_COMPILE = """\
Compile a network to native code.

MODEL is ONNX with QONNX quantizers (Quant nodes, bit width per channel), or MLIR
with one public function of model-phase hetprec ops. The output appears complete
or not at all."""

_COMPILE_EPILOG = """\
Kinds of output (--emit):
  bundle    .smol: code for each target, weights, test vectors; 'sysmol run'
  object    .o for one target and a C header beside it, for your own program
  llvm      .ll, optimized
  asm       .s, assembly
  mlir      the program after --phase: model, plan, packed, loops, vectors, llvm

Examples:
  sysmol compile net.onnx -o net.smol
  sysmol compile net.onnx --emit object --target x86-64-generic -o net.o
  sysmol compile net.onnx --emit mlir --phase packed -o packed.mlir
  sysmol compile net.onnx --target sm_90 -o net.json   for an NVIDIA GPU"""

_RUN = """\
Run a compiled model on files of arrays.

INPUT, one for each input of the model in order: .npy; idx.gz images of bytes,
which become reals in [0, 1]; any other file is raw little-endian elements. A file
may hold the tensors of many calls. Running a bundle is running a program: mind
where it comes from ('sysmol inspect' executes nothing)."""

_RUN_EPILOG = """\
Examples:
  sysmol run net.smol images.npy -o logits.npy --threads 2
  sysmol run net.smol t10k-images-idx3-ubyte.gz --show 3"""

_BENCH = """\
Measure beside what is installed of ONNX Runtime, OpenVINO, PyTorch and ggml, in
float and INT8: batch 1, pinned, interleaved, the minimum and the median of many
runs.

Suites (--suite):
  networks  ResNet-18 (224x224, untrained, at several mixes of precisions) and the
            ResNet-20 of the zoo, trained and not: whole calls (the default)
  gemv      linear layers on one to eight rows: whole calls
  kernels   convolutions by themselves, in L2
  all       all three, some minutes

With bundles and their float twins: these, beside ONNX Runtime."""

_BENCH_EPILOG = """\
Examples:
  sysmol bench
  sysmol bench --suite kernels --filter '3x3 64->64' --peers openvino
  sysmol bench --suite all --threads 2 --json result.json
  sysmol bench --chart result.json -o bench.png -o bench.svg
  sysmol bench net.smol --twin float.onnx --json result.json
  sysmol bench --gpu kernels/ --json gpu.json
  sysmol bench --gpu kernels/ --predict h100"""

_EXPLAIN = """\
Show what was decided for each layer of a bundle: shape, channels of each precision,
strategy, how much of the executed work is not padding, predicted time and bytes.
Of a bundle compiled with --profile also the measured time and its share of the
ceiling. The ceilings are those of the cost table ('sysmol tune')."""

_EXPLAIN_EPILOG = """\
Examples:
  sysmol compile net.onnx --profile -o net.smol
  sysmol explain net.smol
  sysmol explain net.smol --forbid-fallback --factor 2"""

_TUNE = """\
Measure what this machine can do (a few seconds): multiply-accumulates a cycle of each
precision, bytes a cycle from each cache and from memory, by small kernels that go
through the compiler. The table is kept in the user's cache folder; later
compilations predict with it. Machines of known kinds have a table built in."""

_TUNE_EPILOG = """\
Examples:
  sysmol tune
  sysmol tune --show        the table in use, measuring nothing"""

_INSPECT = """\
Show what a file holds; nothing of it is executed. Of a bundle: inputs, outputs,
sizes, layers with levels and strategy, sections with their hashes. Of an ONNX
file: how many bits which channel has. Of folders that 'sysmol train' wrote: a
table of bits, bytes and accuracy; its picture has accuracy against each of them
(and latency, with --bench) and how precisions moved during phase 1."""

_INSPECT_EPILOG = """\
Examples:
  sysmol inspect net.smol
  sysmol inspect net.onnx --picture bits.png --picture bits.svg
  sysmol inspect run1 run2 --picture runs.svg"""

_VERIFY = """\
Check a bundle. Against 'golden' (the default): run the test vectors inside it,
which the reference computed, and compare every byte. Against 'simulation': run
test images and compare every logit, bit for bit, with the integer simulation of
training, for every target and for 1 and 2 threads. A network for a GPU (.json)
runs its test vectors on the first GPU, or with --emulate on this CPU."""

_VERIFY_EPILOG = """\
Examples:
  sysmol verify net.smol
  sysmol verify net.json --emulate
  sysmol verify net.json --against simulation --network net.onnx --emulate --images 8
  sysmol verify net.smol --against simulation --network net.onnx --images 1000
  sysmol verify --against simulation --images 10000     the network of the zoo
  sysmol verify --against simulation --task word-language --network words.onnx"""


def _peers(text: str) -> tuple[str, ...]:
    return one_of(text, ("onnxruntime", "openvino", "torch", "ggml"))


def _shape(text: str) -> tuple[int, int, int]:
    parts = [int(part) if part.isdecimal() else 0 for part in text.split(",")]
    if len(parts) != 3 or min(parts) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not CHANNELS,HEIGHT,WIDTH")
    return parts[0], parts[1], parts[2]


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="sysmol",
        description=_TOP,
        epilog=_TOP_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"sysmol {__version__}")
    parsers = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, summary: str, text: str, epilog: str, run: Any) -> Any:
        parser = parsers.add_parser(
            name,
            help=summary,
            description=text,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(run=run)
        return parser

    add = command(
        "demo", "all of it, with a trained network", _DEMO, _DEMO_EPILOG, commands.demo
    ).add_argument
    add(
        "-o", "--output", type=Path, default=Path("sysmol-demo"), metavar="DIR",
        help="folder for the bundle and the pictures (default: sysmol-demo)",
    )  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="write everything that was measured")
    add("--images", type=positive, default=10_000, metavar="N", help="test images, at most 10000")
    add("--runs", type=positive, default=2000, metavar="N", help="timed calls (default: 2000)")
    add(
        "--threads", type=threads, default=_cpus(), metavar="N",
        help="for the accuracies, not the latencies (default: all CPUs)",
    )  # fmt: skip
    add("--network", type=Path, metavar="ONNX", help="another network to compile; needs --twin")
    add("--twin", type=Path, metavar="ONNX", help="its float twin")

    # Its options stand in sysmol/train.py; _dispatch() forwards them: PyTorch loads in seconds.
    parsers.add_parser("train", help="train a network on a task's data", add_help=False)

    add = command(
        "export", "write a PyTorch network as ONNX", _EXPORT, _EXPORT_EPILOG, commands.export_
    ).add_argument
    add("model", metavar="MODULE:FUNCTION", help="gives the network")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="the .onnx file")
    add("--weights", type=Path, metavar="FILE", help="a state dict that torch.save wrote")
    add(
        "--shape", type=_shape, default=(1, 28, 28), metavar="C,H,W",
        help="of an input image (default: 1,28,28)",
    )  # fmt: skip

    add = command(
        "compile", "to native code", _COMPILE, _COMPILE_EPILOG, commands.compile_
    ).add_argument
    add("model", type=Path, metavar="MODEL", help=".onnx or .mlir")
    add(
        "-o", "--output", type=Path, metavar="FILE",
        help="default: the model's name in this folder, with the ending of the kind",
    )  # fmt: skip
    add(
        "--emit", choices=("bundle", "object", "llvm", "asm", "mlir"), default="bundle",
        metavar="KIND", help="what to write, see below (default: bundle)",
    )  # fmt: skip
    add(
        "--target", action="append", default=[], metavar="NAME",
        help="code for this target; several times: the best first, for which the layout of all is "
        "chosen, by its cost table (default: x86-64-avx512, x86-64-avx2)",
    )  # fmt: skip
    add("--phase", default="packed", metavar="NAME", help="for --emit mlir (default: packed)")
    add("--name", default="", metavar="NAME", help="of the model (default: that of the file)")
    add("--batch", type=positive, default=1, metavar="N", help="images a call (default: 1)")
    add(
        "--golden-pairs", type=natural, default=2, metavar="N",
        help="test vectors to store (default: 2)",
    )  # fmt: skip
    add("--seed", type=natural, default=0, metavar="N", help="of their inputs (default: 0)")
    add("-v", "--verbose", action="store_true", help="show the seconds of each phase")
    add("--explain", action="store_true", help="show what was decided for each layer")
    add("--profile", action="store_true", help="code that measures its layers, for 'explain'")
    add(
        "--forbid-fallback", action="store_true",
        help="refuse activations that leave the packed form between layers",
    )  # fmt: skip

    add = command("run", "run a compiled model", _RUN, _RUN_EPILOG, commands.run).add_argument
    add("bundle", type=Path, metavar="BUNDLE", help=".smol file")
    add("inputs", type=Path, nargs="+", metavar="INPUT", help="file of an input")
    add(
        "-o", "--output", type=Path, action="append", default=[], metavar="FILE",
        help="file for an output, .npy or raw; once for each, in order",
    )  # fmt: skip
    add("--threads", type=threads, default=1, metavar="N", help="default: 1")
    add("--target", metavar="NAME", help="default: the first that this CPU supports")
    add("--show", type=natural, default=10, metavar="N", help="results to print (default: 10)")

    add = command(
        "bench", "measure beside its peers", _BENCH, _BENCH_EPILOG, commands.bench
    ).add_argument
    add("bundle", type=Path, nargs="*", metavar="BUNDLE", help=".smol file")
    add(
        "--twin", type=Path, action="append", default=[], metavar="ONNX",
        help="float twin of a bundle; once for each, in order",
    )  # fmt: skip
    add(
        "--suite", choices=("networks", "gemv", "kernels", "all"), metavar="NAME",
        help="networks, gemv, kernels or all (default: networks)",
    )  # fmt: skip
    add("--threads", type=threads, default=1, metavar="N", help="of one call (default: 1)")
    add(
        "--peers", type=_peers, default=_peers("all"), metavar="NAME,...",
        help="of onnxruntime, openvino, torch, ggml; all or none (default: all)",
    )  # fmt: skip
    add("--filter", type=pattern, default="", metavar="REGEX", help="cases to measure")
    add(
        "--scale", type=factor, default=1.0, metavar="X",
        help="factor on the time that each case is measured (default: 1)",
    )  # fmt: skip
    add(
        "--runs", type=positive, default=2000, metavar="N",
        help="timed calls of bundles (default: 2000)",
    )  # fmt: skip
    add("--all-rows", action="store_true", help="show every peer, not the best ones")
    add("--json", type=Path, metavar="FILE", help="write the result")
    add(
        "--gpu", type=Path, action="append", default=[], metavar="PATH",
        help="instead: check and time GPU kernels beside cuBLAS, by their launch descriptions "
        "(.json, or a folder of them)",
    )  # fmt: skip
    add(
        "--seconds", type=positive, default=600, metavar="N",
        help="with --gpu: begin nothing new after this time (default: 600)",
    )  # fmt: skip
    add(
        "--predict", choices=("a100", "l40s", "h100", "h200"), metavar="CARD",
        help="with --gpu: measure nothing; a model's times for this card (a100, l40s, h100, h200)",
    )  # fmt: skip
    add("--chart", type=Path, metavar="JSON", help="measure nothing; draw this result")
    add(
        "-o", "--output", type=Path, action="append", default=[], metavar="FILE",
        help="the chart (.png, .svg, .pdf); may be given several times",
    )  # fmt: skip

    add = command(
        "explain", "what was decided for each layer", _EXPLAIN, _EXPLAIN_EPILOG,
        commands.explain_,
    ).add_argument  # fmt: skip
    add("bundle", type=Path, metavar="BUNDLE", help=".smol file")
    add("--target", metavar="NAME", help="default: the first that this CPU supports")
    add("--runs", type=positive, default=200, metavar="N", help="measured calls (default: 200)")
    add(
        "--threads", type=threads, default=1, metavar="N",
        help="that share a call; predictions and ceilings are those of one (default: 1)",
    )  # fmt: skip
    add("--json", action="store_true", help="print it for programs")
    add(
        "--forbid-fallback", action="store_true",
        help="fail if a layer is much slower than its strategy promises",
    )  # fmt: skip
    add(
        "--factor", type=factor, default=3.0, metavar="X",
        help="how many times slower is allowed (default: 3)",
    )  # fmt: skip

    add = command(
        "tune", "measure what this machine can do", _TUNE, _TUNE_EPILOG, commands.tune_
    ).add_argument
    add(
        "--target", action="append", default=[], metavar="NAME",
        help="several times for several (default: the best)",
    )  # fmt: skip
    add("--show", action="store_true", help="print the table in use; measure nothing")
    add("--json", action="store_true", help="print it for programs")

    add = command(
        "inspect", "what a file holds", _INSPECT, _INSPECT_EPILOG, commands.inspect_
    ).add_argument
    add("file", type=Path, nargs="+", metavar="FILE", help=".smol, .onnx, or folders of runs")
    add("--json", action="store_true", help="print it for programs")
    add(
        "--picture", type=Path, action="append", default=[], metavar="FILE",
        help="draw bits per channel and layer, or what runs reached (.png, .svg, .pdf)",
    )  # fmt: skip
    add(
        "--bench", type=Path, metavar="JSON",
        help="of runs: what sysmol bench measured of bundles that are named as their folders",
    )  # fmt: skip

    parser = command("verify", "check a bundle", _VERIFY, _VERIFY_EPILOG, commands.verify)
    add = parser.add_argument
    add("bundle", type=Path, nargs="?", metavar="BUNDLE", help=".smol, or .json for a GPU")
    add("--against", choices=("golden", "simulation"), default="golden", help="default: golden")
    from sysmol.check_options import add_options

    add_options(parser)
    return top


def _dispatch(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["train"]:
        from sysmol import train_command

        return train_command.main(arguments[1:])
    options = _parser().parse_args(arguments)
    status: int = options.run(options)
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; gives the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return guarded("sysmol", lambda: _dispatch(given))


if __name__ == "__main__":
    sys.exit(main())
