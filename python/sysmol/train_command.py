"""The command ``sysmol train``: its options, and the stages that they choose."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch

from sysmol import files
from sysmol.arguments import EXIT_CODES, Parser, factor, natural, positive, quantity, seed, threads
from sysmol.budget import Budget, Unit, parse_latency, parse_size
from sysmol.errors import SysmolError
from sysmol.export import export
from sysmol.models import load_float
from sysmol.onednn import multiplies_bf16
from sysmol.patterns import PATTERN_SETS
from sysmol.tasks import FASHION_MNIST, TASKS, named
from sysmol.train import (
    STAGES,
    Settings,
    check_budget,
    hold_out,
    load_splits,
    train_finetune,
    train_float,
    train_noise,
    uniform_start,
    write_results,
)

__all__ = ["main", "parser"]

_EPILOG = f"""\
Examples:
  sysmol train --out run                    1.75 bits a weight; hours on two cores
  sysmol train --out small --size 80KB      what the file may take
  sysmol train --out words --task word-language
  sysmol train --out try --limit 2000 --float-epochs 1 --noise-epochs 1
                            --finetune-epochs 1    a minute, to see how it goes

Run it again with the same options to resume a run that was cut off.
It writes model.onnx, float.onnx, results.json, precisions.json (how far phase 1
came) and a log and a checkpoint of each stage to the folder; with --stage float no
model, with --stage noise neither.

{EXIT_CODES}"""


def _defaults(field: str, stage: str = "") -> str:
    """For the help: the first task's default, and those of the others that differ."""
    values = {name: getattr(task.recipe, field) for name, task in TASKS.items()}
    if stage:
        values = {name: value[stage] for name, value in values.items()}
    first = values[FASHION_MNIST.name]
    others = [f", {name}: {value}" for name, value in values.items() if value != first]
    return f"default: {first}{''.join(others)}"


def parser() -> argparse.ArgumentParser:
    """The command line of ``sysmol train``."""
    top = Parser(
        prog="sysmol train",
        description="Train a float twin, then a network whose input channels each have 1, 2 or\n"
        "4 bits. Tasks (--task):\n"
        + "\n".join(f"  {task.name:<14} {task.summary}" for task in TASKS.values()),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--out", type=Path, required=True, help="folder of checkpoints and logs")
    top.add_argument(
        "--twin",
        type=Path,
        help="float network, as sysmol.export writes it, instead of training one",
    )
    top.add_argument(
        "--task", choices=tuple(TASKS), default=FASHION_MNIST.name, help="default: fashion-mnist"
    )
    top.add_argument("--data", type=Path, help="folder with the idx.gz files, or the word lists")
    top.add_argument("--stage", choices=(*STAGES, "all"), default="all", help="default: all")
    top.add_argument("--seed", type=seed, default=0, help="of weights, order, noise; default: 0")
    top.add_argument(
        "--threads",
        type=threads,
        default=1,
        help="a run is repeatable for the same number; default: 1",
    )
    top.add_argument("--batch", type=positive, help=f"samples in a batch; {_defaults('batch')}")
    for name, what in (
        ("float", "the float twin"),
        ("noise", "phase 1, which finds the precisions"),
        ("finetune", "phase 2, on the grids"),
    ):
        epochs, rates = _defaults("epochs", name), _defaults("rates", name)
        top.add_argument(f"--{name}-epochs", type=natural, help=f"of {what}; {epochs}")
        top.add_argument(f"--{name}-rate", type=factor, help=f"largest rate; {rates}")
    last = "last epochs of phase 2, over which the rate falls to 0; default: 3"
    top.add_argument("--decay-epochs", type=positive, default=3, help=last)
    size = top.add_argument_group("budget", "one of these; default: --bits 1.75")
    one = size.add_mutually_exclusive_group()
    one.add_argument("--bits", type=factor, help="mean bits per hidden weight")
    one.add_argument(
        "--size",
        type=quantity(parse_size),
        help="stored bytes: packed words with padding, scales, tables; 100KB, 64KiB",
    )
    one.add_argument(
        "--latency",
        type=quantity(parse_latency),
        help="of one call by the compiler's cost table; 0.2ms, 150us",
    )
    one.add_argument(
        "--uniform",
        type=int,
        choices=(1, 2, 4),
        default=0,
        help="no phase 1: all hidden channels alike, its epochs added to phase 2",
    )
    size.add_argument(
        "--target", default="x86-64-avx512", help="whose bytes and times; default: x86-64-avx512"
    )
    size.add_argument(
        "--patterns",
        choices=("none", *PATTERN_SETS),
        default="none",
        help="promote channels to these at the end of phase 1; default: none",
    )
    top.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    top.add_argument("--no-bf16", action="store_true", help="binary32 even where bfloat16 is fast")
    top.add_argument("--limit", type=natural, default=0, help="use so many samples only; 0: all")
    held = "training samples kept for the logs' accuracy (a --twin may know them); default: 0"
    top.add_argument("--validation", type=natural, default=0, metavar="N", help=held)
    return top


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SysmolError(f"{path}: {error.strerror}") from error


def _settings(options: argparse.Namespace) -> Settings:
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SysmolError("no CUDA device is here: use --device cpu")
    budget = Budget(Unit.BITS, 1.75 if options.bits is None else options.bits)
    if options.size is not None:
        budget = Budget(Unit.SIZE, options.size)
    elif options.latency is not None:
        budget = Budget(Unit.LATENCY, options.latency)
    recipe = named(options.task).recipe
    epochs, rates = dict(recipe.epochs), dict(recipe.rates)
    for stage in STAGES:
        for chosen, given in ((epochs, f"{stage}_epochs"), (rates, f"{stage}_rate")):
            if getattr(options, given) is not None:
                chosen[stage] = getattr(options, given)
    if options.uniform:
        epochs["finetune"] += epochs["noise"]
    return Settings(
        options.seed,
        recipe.batch if options.batch is None else options.batch,
        epochs,
        rates,
        budget,
        options.target,
        options.patterns,
        options.uniform,
        options.device,
        not options.no_bf16 and multiplies_bf16(options.device),
        options.limit,
        _hash(options.twin) if options.twin is not None else "",
        options.task,
        options.decay_epochs,
        options.validation,
    )


def _train(options: argparse.Namespace, settings: Settings) -> None:
    task = named(options.task)
    splits = train, test = load_splits(options.data, options.limit, task)
    if settings.validation:
        splits = hold_out(train, settings.validation)
    last = STAGES.index(options.stage) if options.stage != "all" else len(STAGES) - 1
    check_budget(settings)
    if options.twin is not None:
        twin = load_float(task.model(), options.twin).to(settings.device)
        twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    else:
        twin = train_float(splits, settings, options.out)
    if last == 0:
        export(twin.cpu(), options.out / "float.onnx", task.image_shape)
    elif settings.uniform:
        model = uniform_start(twin, splits, settings)
    else:
        model = train_noise(twin, splits, settings, options.out)
    if last >= 2:
        model = train_finetune(model, twin, splits, settings, options.out)
        results = write_results(model, twin, test, settings, options.out)
        for key in ("accuracy", "float_accuracy", "mean_bits"):
            print(f"{key} {results[key]:.4f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """``sysmol train``; raises what :func:`sysmol.cli.main` turns into a line and a status."""
    options = parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    settings = _settings(options)
    with files.folder(options.out):
        _train(options, settings)
    return 0
