"""Train the float twin, find every channel's precision (phase 1), fine-tune on the grids (phase 2).

Run ``sysmol train --help``. Every epoch draws its chance from (seed, stage, epoch) alone
and every stage writes a checkpoint after each epoch, so that a run which was cut off and resumed
ends with the same weights, bit for bit, as one that was not (same machine kind, same threads).
"""

from __future__ import annotations

import io
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional
from tqdm import tqdm  # type: ignore[import-untyped]

from sysmol import files
from sysmol.budget import (
    TOLERANCE,
    Budget,
    Controller,
    Costs,
    measure_for,
    settle,
    stored_bytes,
)
from sysmol.errors import SysmolError
from sysmol.export import export
from sysmol.layers import ActivationQuant, ChannelPrecision, QuantLayer
from sysmol.onednn import avoid_fault
from sysmol.patterns import PATTERN_SETS
from sysmol.prepare import (
    calibrate,
    calibrate_carrier,
    distillation,
    freeze,
    layers,
    mean_bits,
    prepare,
    project,
    recalibrate_batchnorm,
)
from sysmol.simulate import IntegerNetwork
from sysmol.tasks import FASHION_MNIST, Task, named

__all__ = [
    "STAGES",
    "Settings",
    "Split",
    "accuracy",
    "check_budget",
    "distilled_stage",
    "hold_out",
    "load_splits",
    "run_stage",
    "train_finetune",
    "train_float",
    "train_noise",
    "uniform_start",
    "write_results",
]

_TEMPERATURE = 2.0
_WATCHED = 10

STAGES = ("float", "noise", "finetune")

_SAVED = {
    "signature": dict,
    "model": dict,
    "optimizer": dict,
    "base": list,
    "extra": dict,
    "epoch": int,
    "rows": list,
}


@dataclass(frozen=True)
class Settings:
    """Everything that decides the trained weights.

    Attributes
    ----------
    seed : int
        Seed of initial weights, shuffling, augmentation and noise.
    batch : int
        Samples in a training batch.
    epochs : dict of str to int
        Epochs of each stage of :data:`STAGES`.
    rates : dict of str to float
        Largest learning rate of each stage.
    budget : Budget
        What the network may cost after phase 1.
    target : str
        The compiler's target that counts bytes and predicts times.
    patterns : str
        Of :data:`sysmol.patterns.PATTERN_SETS`, or ``"none"``.
    uniform : int
        Bits of all hidden channels alike; 0: they are learned, within the budget.
    device : str
        ``"cpu"`` or ``"cuda"``.
    bf16 : bool
        Convolve in bfloat16 (about twice as fast where the processor has it).
    limit : int
        Train on the first ``limit`` samples only; 0 for all.
    twin : str
        SHA-256 of the file that the float twin comes from, if it is not trained.
    task : str
        What is learned: a name of :data:`sysmol.tasks.TASKS`.
    decay : int
        Last epochs of phase 2, over which the rate falls to 0.
    validation : int
        Training samples that are not learned from: the logs' accuracy is theirs, and the test part
        is seen once, at the end. 0: the logs' accuracy is that of the test part.
    """

    seed: int
    batch: int
    epochs: dict[str, int]
    rates: dict[str, float]
    budget: Budget
    target: str
    patterns: str
    uniform: int
    device: str
    bf16: bool
    limit: int
    twin: str = ""
    task: str = FASHION_MNIST.name
    decay: int = 3
    validation: int = 0


@dataclass(frozen=True)
class Split:
    """One part of the data: ``images`` (samples) uint8 [N, ...], ``labels`` int64 [N]."""

    images: torch.Tensor
    labels: torch.Tensor


def load_splits(
    directory: Path | None, limit: int, task: Task = FASHION_MNIST
) -> tuple[Split, Split]:
    """Training and test part; ``limit`` > 0 keeps that many samples of each."""
    parts = []
    for name in ("train", "test"):
        images, labels = task.load(name, directory)
        count = limit or len(images)
        parts.append(
            Split(
                torch.from_numpy(images[:count].copy()),
                torch.from_numpy(labels[:count].copy()).long(),
            )
        )
    return parts[0], parts[1]


def hold_out(train: Split, count: int) -> tuple[Split, Split]:
    """All but the last ``count`` training samples, and these.

    Raises
    ------
    SysmolError
        None would be left to learn from.
    """
    left = len(train.labels) - count
    if left < 1:
        raise SysmolError(f"--validation {count}: there are {left + count} training samples")
    return (
        Split(train.images[:left], train.labels[:left]),
        Split(train.images[left:], train.labels[left:]),
    )


def _inputs(task: Task, samples: torch.Tensor) -> torch.Tensor:
    """The network's input for samples, uint8 [N, ...]."""
    return _channels_last(torch.from_numpy(task.to_input(samples.numpy())))


def accuracy(
    model: nn.Module, split: Split, bf16: bool, batch: int = 500, task: Task = FASHION_MNIST
) -> float:
    """Share of right answers in evaluation mode, in [0, 1]."""
    model.eval()
    right = 0
    device = next(model.parameters()).device
    # Not inference_mode: compiled models keep what they make.
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for x, y in zip(
            *(torch.split(t, batch) for t in (split.images, split.labels)), strict=True
        ):
            logits = model(_inputs(task, x).to(device))
            right += int((logits.argmax(1).cpu() == y).sum())
    return right / len(split.labels)


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _seed(settings: Settings, stage: str, epoch: int) -> int:
    """One number per (seed, stage, epoch), so that no random state needs saving."""
    return (settings.seed * 8 + STAGES.index(stage)) * 1000 + epoch


def _signature(settings: Settings, stage: str) -> dict[str, Any]:
    """The settings that decide the weights of ``stage``; a checkpoint resumes only under them."""
    known: dict[str, Any] = {
        "task": settings.task,
        "seed": settings.seed,
        "batch": settings.batch,
        "epochs": settings.epochs[stage],
        "rate": settings.rates[stage],
        "bf16": settings.bf16,
        "limit": settings.limit,
        "validation": settings.validation,
        "threads": torch.get_num_threads(),  # they decide the order of sums
    }
    if stage != "float":
        known["uniform"], known["twin"] = settings.uniform, settings.twin
        if not settings.uniform:
            known["budget"] = [settings.budget.unit.value, settings.budget.target]
            known["target"], known["patterns"] = settings.target, settings.patterns
    if stage == "finetune":
        known["decay"] = settings.decay
    return known


Step = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]


def run_stage(
    stage: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: Step,
    rate: Callable[[float, int], float],
    splits: tuple[Split, Split],
    settings: Settings,
    out: Path,
    *,
    after: Callable[[float], None] | None = None,
    report: Callable[[], dict[str, float]] | None = None,
    watch: Callable[[], dict[str, str]] | None = None,
    extra: dict[str, Any] | None = None,
    resumed: Callable[[], object] | None = None,
) -> None:
    """Train ``model`` for one stage, from its checkpoint if ``out`` holds one.

    Parameters
    ----------
    stage : str
        One of :data:`STAGES`; also the name of ``<stage>.pt`` and ``<stage>.csv`` in ``out``.
    step : callable
        ``step(x, y, progress)`` gives the loss of a batch; ``progress`` runs from 0 to 1.
    splits : tuple of Split
        To learn from, and for the log's accuracy.
    rate : callable
        Factor on every group's learning rate, from the epochs gone by (real) and their number.
    after : callable, optional
        Called with ``progress`` after each optimizer step (projections, controllers).
    report : callable, optional
        Further columns of the log, computed after each epoch.
    watch : callable, optional
        What the progress bar shows beside the mean loss, every :data:`_WATCHED` steps.
    extra : dict, optional
        Mutable numbers that belong to the checkpoint beside model and optimizer.
    resumed : callable, optional
        Called once after a checkpoint was loaded.
    """
    train, watched = splits
    part = "validation" if settings.validation else "test"
    task = named(settings.task)
    epochs = settings.epochs[stage]
    signature = _signature(settings, stage)
    checkpoint, log = out / f"{stage}.pt", out / f"{stage}.csv"
    rows: list[dict[str, Any]] = []
    first = 0
    if checkpoint.is_file():
        saved = _load(checkpoint, signature, settings.device)
        try:
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
        except Exception as error:  # a network of other shapes raises almost anything
            raise SysmolError(
                f"{checkpoint}: does not belong to this network: {error}; remove it or give "
                "another --out"
            ) from error
        rows, first = saved["rows"], saved["epoch"]
        if extra is not None:
            extra.update(saved["extra"])
        if resumed is not None:
            resumed()
    base = [group["lr"] for group in optimizer.param_groups]
    if first:
        base = saved["base"]
    steps = len(train.labels) // settings.batch
    if steps == 0:
        raise SysmolError(f"batch {settings.batch} is larger than {len(train.labels)} images")
    for epoch in range(first, epochs):
        start = time.monotonic()
        torch.manual_seed(_seed(settings, stage, epoch))
        generator = torch.Generator().manual_seed(_seed(settings, stage, epoch))
        model.train()
        total = 0.0
        stream = task.batches(train.images, train.labels, settings.batch, generator)
        bar = tqdm(stream, f"{stage} {epoch + 1}/{epochs}", steps, mininterval=5, leave=False)
        watched_now: dict[str, str] = {}
        for index, (x, y) in enumerate(bar):
            progress = (epoch + index / steps) / epochs
            for group, lr in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = lr * rate(epoch + index / steps, epochs)
            x, y = _channels_last(x).to(settings.device), y.to(settings.device)
            with torch.autocast(settings.device, torch.bfloat16, enabled=settings.bf16):
                loss = step(x, y, progress)
            if not math.isfinite(value := loss.item()):
                raise SysmolError(f"{stage}: the loss is {value} in epoch {epoch + 1}")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if after is not None:
                after(progress)
            total += value
            if watch is not None and index % _WATCHED == 0:
                watched_now = watch()
            bar.set_postfix(loss=f"{total / (index + 1):.4f}", **watched_now, refresh=False)
        row = {
            "epoch": epoch + 1,
            "loss": round(total / steps, 6),
            f"{part}_accuracy": round(accuracy(model, watched, settings.bf16, task=task), 5),
            "seconds": round(time.monotonic() - start, 1),
            **(report() if report is not None else {}),
        }
        rows.append(row)
        print(stage, " ".join(f"{key}={value}" for key, value in row.items()), flush=True)
        files.write_csv(log, rows)
        _save(
            checkpoint,
            {
                "signature": signature,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "base": base,
                "extra": dict(extra or {}),
                "epoch": epoch + 1,
                "rows": rows,
            },
        )


def _save(path: Path, state: dict[str, Any]) -> None:
    """A run cut off here leaves the old checkpoint whole."""
    content = io.BytesIO()  # torch says nothing of the reason where a file cannot be written
    torch.save(state, content)
    files.write_bytes(path, content.getvalue())


def _load(path: Path, signature: dict[str, Any], device: str) -> dict[str, Any]:
    """A checkpoint of a run with this signature."""
    try:
        content = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise SysmolError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        saved: dict[str, Any] = torch.load(content, weights_only=True, map_location=device)
        known = {key: saved[key] for key in _SAVED}
        for key, kind in _SAVED.items():
            if not isinstance(known[key], kind):
                raise TypeError(key)
    except MemoryError:
        raise
    except Exception as error:  # unpickling a damaged file raises almost anything
        raise SysmolError(
            f"{path}: is no checkpoint, or damaged; remove it to train this stage again"
        ) from error
    # Checkpoints from before these could be chosen.
    for key, value in (("task", FASHION_MNIST.name), ("decay", 3), ("validation", 0)):
        if key in signature:
            known["signature"].setdefault(key, value)
    other = [key for key in signature if known["signature"].get(key) != signature[key]]
    if other or len(known["signature"]) != len(signature):
        raise SysmolError(
            f"{path}: was written by a run with other settings ({', '.join(other)}); give them, or "
            "another --out"
        )
    return known


def _cosine(elapsed: float, epochs: int) -> float:
    """Short linear warm-up, then half a cosine to 0."""
    progress = elapsed / epochs
    return min(1.0, progress / 0.03 + 0.01) * 0.5 * (1 + math.cos(math.pi * progress))


def _trapezoid(decay: int) -> Callable[[float, int], float]:
    """Linear to 1 in half an epoch, constant, then linear to 0 over the last ``decay`` epochs.

    As long as it is constant, nothing depends on the number of epochs.
    """
    return lambda elapsed, epochs: min(1.0, elapsed / 0.5 + 0.01, (epochs - elapsed) / decay)


def train_float(splits: tuple[Split, Split], settings: Settings, out: Path) -> nn.Module:
    """The float twin: SGD with Nesterov momentum, weight decay 5e-4."""
    torch.manual_seed(settings.seed)
    task = named(settings.task)
    model = task.model().to(settings.device)
    avoid_fault(model)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        model.parameters(), settings.rates["float"], 0.9, weight_decay=5e-4, nesterov=True
    )

    def step(x: torch.Tensor, y: torch.Tensor, progress: float) -> torch.Tensor:
        del progress
        return functional.cross_entropy(model(x).float(), y)

    run_stage("float", model, optimizer, step, task.recipe.float_rate, splits, settings, out)
    return model


def _groups(model: nn.Module, rate: float) -> list[dict[str, Any]]:
    """Adam's groups: weights and batch norm at ``rate``, activation scales and s faster.

    Weight scales get a tenth: they should move by a fraction of themselves.
    """
    kinds: dict[str, list[nn.Parameter]] = {"weight": [], "scale": [], "s": []}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, ChannelPrecision):
                kind = "s"
            elif name == "scale" and isinstance(module, ActivationQuant):
                kind = "scale"
            else:
                kind = "weight"
            if parameter.requires_grad and all(parameter is not p for p in kinds[kind]):
                kinds[kind].append(parameter)
    weights = kinds["weight"]
    scales = {id(layer.scale) for _, layer in layers(model)}
    groups = [
        {"params": [p for p in weights if id(p) not in scales], "lr": rate},
        {"params": [p for p in weights if id(p) in scales], "lr": rate / 10},
        {"params": kinds["scale"], "lr": rate * 5},
        {"params": kinds["s"], "lr": rate * 30},
    ]
    return [group for group in groups if group["params"]]


def _assigned(model: nn.Module) -> torch.Tensor:
    """Assigned precisions of all learned tensors, one after the other."""
    found = [m for m in model.modules() if isinstance(m, ChannelPrecision) and m.learned]
    return torch.cat([precision.assigned() for precision in found])


def _calibration_images(train: Split, settings: Settings, count: int = 512) -> torch.Tensor:
    return _inputs(named(settings.task), train.images[:count]).to(settings.device)


def _costs(model: nn.Module, settings: Settings) -> Costs:
    """The costs of the budget's unit; refuses a budget out of reach."""
    shape = named(settings.task).image_shape
    measure = measure_for(settings.budget.unit, settings.target, shape)
    costs = Costs(model, settings.budget.unit, measure, shape)
    costs.check(settings.budget)
    return costs


def check_budget(settings: Settings) -> None:
    """Refuse a budget out of reach, before hours of training.

    Raises
    ------
    SysmolError
        No choice of precisions meets it; the message says what the network can take.
    """
    if not settings.uniform:
        with torch.random.fork_rng():
            _costs(prepare(named(settings.task).model()), settings)


def _choose_precisions(model: nn.Module, settings: Settings, out: Path) -> None:
    """End of phase 1: precisions become final; ``precisions.json`` says how far they moved."""
    if settings.uniform:
        for module in model.modules():
            if isinstance(module, ChannelPrecision) and module.learned:
                module.bits.fill_(settings.uniform)
        freeze(model)
        return
    budget = settings.budget
    constraint = None if settings.patterns == "none" else PATTERN_SETS[settings.patterns]
    before, phase1 = _assigned(model), mean_bits(model)
    reached = settle(model, _costs(model, settings), budget.target, constraint)
    after = _assigned(model)
    raised, lowered = int((after > before).sum()), int((after < before).sum())
    print(
        f"precisions: {budget.show(reached)} for a budget of {budget.show(budget.target)}; "
        f"{raised} channels raised, {lowered} lowered"
    )
    files.write_json(
        out / "precisions.json",
        {"phase1_bits": phase1, "bits": mean_bits(model), "unit": budget.unit.value}
        | {"target": budget.target, "reached": reached, "raised": raised, "lowered": lowered},
    )
    if abs(reached - budget.target) > TOLERANCE * budget.target:
        print(
            f"warning: {reached / budget.target - 1:+.1%} off the budget: the patterns of this "
            "network offer nothing nearer",
            file=sys.stderr,
        )


def train_noise(
    twin: nn.Module, splits: tuple[Split, Split], settings: Settings, out: Path
) -> fx.GraphModule:
    """Phase 1: from the float twin, find each channel's precision under noise."""
    model = prepare(twin).to(settings.device)
    calibrate(model, _calibration_images(splits[0], settings))
    optimizer = torch.optim.Adam(_groups(model, settings.rates["noise"]))
    costs = _costs(model, settings)
    controller = Controller(costs, settings.budget.target)
    before = _assigned(model)

    def step(x: torch.Tensor, y: torch.Tensor, progress: float) -> torch.Tensor:
        del progress
        loss = functional.cross_entropy(model(x).float(), y)
        return loss + controller.strength() * costs.term()

    def after(progress: float) -> None:
        project(model)
        controller.update(progress)

    def report() -> dict[str, float]:
        nonlocal before
        now = _assigned(model)
        changed, before = int((now != before).sum()), now
        counts = {f"channels_{p}": int((now == p).sum()) for p in (1, 2, 4)}
        bits = round(mean_bits(model), 4)
        return {"mean_bits": bits, "changed": changed, **counts, "lambda": controller.strength()}

    def watch() -> dict[str, str]:
        return {"bits": f"{mean_bits(model):.3f}", "lambda": f"{controller.strength():.2e}"}

    run_stage(
        "noise",
        model,
        optimizer,
        step,
        _cosine,
        splits,
        settings,
        out,
        after=after,
        report=report,
        watch=watch,
        extra=controller.state,
        resumed=report,
    )
    return model


def uniform_start(
    twin: nn.Module, splits: tuple[Split, Split], settings: Settings
) -> fx.GraphModule:
    """In the place of phase 1 for uniform precisions: scales calibrated at that precision."""
    model = prepare(twin).to(settings.device)
    calibrate(model, _calibration_images(splits[0], settings), settings.uniform)
    return model


def distilled_stage(
    model: nn.Module,
    twin: nn.Module,
    optimizer: torch.optim.Optimizer,
    splits: tuple[Split, Split],
    settings: Settings,
    out: Path,
    after: Callable[[float], None] | None = None,
    report: Callable[[], dict[str, float]] | None = None,
) -> None:
    """The loop of phase 2, of a peer's network too: the float twin is the teacher.

    The loss is the mean of cross entropy and of the divergence from the twin at temperature 2. At
    the end batch-norm statistics become plain averages. ``after``, ``report``: :func:`run_stage`.
    """
    twin.eval().requires_grad_(False)

    def step(x: torch.Tensor, y: torch.Tensor, progress: float) -> torch.Tensor:
        del progress
        logits = model(x).float()
        with torch.no_grad():
            teacher = twin(x).float()
        loss = functional.cross_entropy(logits, y)
        return (loss + distillation(logits, teacher, _TEMPERATURE)) / 2

    run_stage(
        "finetune", model, optimizer, step, _trapezoid(settings.decay), splits, settings, out,
        after=after, report=report,
    )  # fmt: skip
    parts = torch.split(splits[0].images[:25_000], 500)
    task = named(settings.task)
    recalibrate_batchnorm(model, [_inputs(task, part).to(settings.device) for part in parts])


def train_finetune(
    model: fx.GraphModule,
    twin: nn.Module,
    splits: tuple[Split, Split],
    settings: Settings,
    out: Path,
) -> fx.GraphModule:
    """Phase 2: precisions frozen on the budget, all quantized; see :func:`distilled_stage`."""
    _choose_precisions(model, settings, out)
    optimizer = torch.optim.Adam(_groups(model, settings.rates["finetune"]))

    def positive() -> None:
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, (QuantLayer, ActivationQuant)):
                    module.scale.clamp_(min=1e-6)

    def report() -> dict[str, float]:
        return {"mean_bits": round(mean_bits(model), 4)}

    distilled_stage(
        model, twin, optimizer, splits, settings, out, lambda progress: positive(), report
    )
    calibrate_carrier(model, _calibration_images(splits[0], settings, 2000))
    return model.eval()


def _budget_of(settings: Settings) -> dict[str, Any]:
    return {"unit": settings.budget.unit.value, "target": settings.budget.target}


def write_results(
    model: fx.GraphModule, twin: nn.Module, test: Split, settings: Settings, out: Path
) -> dict[str, Any]:
    """Export both networks, measure both on the test part, write ``results.json``.

    Our accuracy is that of the exported file, run in integers; the twin runs in binary32.
    """
    model, twin = model.cpu(), twin.cpu()
    task = named(settings.task)
    export(model, out / "model.onnx", task.image_shape)
    export(twin, out / "float.onnx", task.image_shape)
    network = IntegerNetwork.from_onnx(out / "model.onnx")
    logits = network.run(task.to_input(test.images.numpy()))
    counts = {
        name: {
            "weights": layer.weight.numel(),
            "channels": {p: int((layer.precision.bits == p).sum()) for p in (1, 2, 4, 8)},
        }
        for name, layer in layers(model)
    }
    results = {
        "settings": asdict(settings) | {"budget": _budget_of(settings)},
        "test_images": len(test.labels),
        "accuracy": float((logits.argmax(1) == test.labels.numpy()).mean()),
        "float_accuracy": accuracy(twin, test, bf16=False, task=task),
        "mean_bits": mean_bits(model),
        "stored_bytes": stored_bytes(model, settings.target, task.image_shape),
        "layers": counts,
    }
    files.write_json(out / "results.json", results)
    return results
