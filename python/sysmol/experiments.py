"""The comparison of the paper on one GPU: float, ours at several budgets, uniform precisions.

Run ``python -m sysmol.experiments --help``. All networks of a seed start from the same float
network, see the same batches, have the same teachers and the same number of epochs. The float twin
is trained for as many epochs in all, in one go; ``float-distilled`` is what the quantized networks'
recipe makes of it without quantization.

Not yet run on a GPU: on a CPU the whole plan runs and is tested (small), but capture and replay of
graphs and the fused kernels have no measurement behind them. ``--self-test`` checks both on the
device before anything trains, and every run begins with it.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sysmol import data, kernels
from sysmol.budget import Costs, settle
from sysmol.errors import SysmolError
from sysmol.export import export
from sysmol.files import write_csv, write_json
from sysmol.fleet import Batches, Goal, Images, Kind, Run, cosine
from sysmol.layers import ChannelPrecision
from sysmol.models import PreResNet, preresnet20
from sysmol.onednn import avoid_fault
from sysmol.prepare import (
    calibrate,
    calibrate_carrier,
    freeze,
    layers,
    mean_bits,
    prepare,
    recalibrate_batchnorm,
)

__all__ = ["Entry", "main", "self_test"]

FLOAT_RATE, ADAM_RATE = 0.2, 1e-3


@dataclass
class Entry:
    """One row of the comparison: a network of one seed, its run, its log."""

    name: str
    seed: int
    run: Run
    bits: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    stage: str = ""
    before: torch.Tensor | None = None

    @property
    def key(self) -> str:
        """The name of its files."""
        return f"{self.name}-seed{self.seed}"


@dataclass(frozen=True)
class _Plan:
    seeds: int
    batch: int
    first: int  # epochs of the float network that all others start from
    noise: int  # epochs of phase 1
    second: int  # epochs after the first, phase 1 included
    budgets: tuple[float, ...]
    uniform: tuple[int, ...]


class _Clock:
    """Wall-clock time since the start of the program's work, against a budget."""

    def __init__(self, seconds: float) -> None:
        self.start, self.seconds = time.monotonic(), seconds

    def now(self) -> float:
        return time.monotonic() - self.start

    def say(self, *words: object) -> None:
        print(f"[{self.now():6.1f} s]", *words, flush=True)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _float_model(make: Callable[[], PreResNet], seed: int, device: torch.device) -> nn.Module:
    torch.manual_seed(seed)
    model: nn.Module = make().to(device)
    avoid_fault(model)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def _prepared(twin: nn.Module, train: Images, bits: int) -> nn.Module:
    model = prepare(twin).to(train.labels.device)
    calibrate(model, train.plain(0, 512, torch.float32), bits)
    return model


def _uniform(twin: nn.Module, train: Images, bits: int) -> nn.Module:
    """A network whose hidden channels all have ``bits`` bits, at the start of phase 2."""
    model = _prepared(twin, train, bits)
    for module in model.modules():
        if isinstance(module, ChannelPrecision) and module.learned:
            module.bits.fill_(bits)
    freeze(model)
    return model


def _epoch(
    entries: list[Entry], test: Images, clock: _Clock, epoch: int, every: int, last: int
) -> float:
    """One epoch of all runs, side by side; their logs get a row. Gives its seconds."""
    device = test.labels.device
    start = time.monotonic()
    for entry in entries:
        entry.run.begin_epoch()
    _wait(device)
    steps = entries[0].run.batches.steps
    for _ in range(steps):
        for entry in entries:
            entry.run.advance()
    _wait(device)
    seconds = time.monotonic() - start
    asked = epoch % every == 0 or epoch == last
    right = [entry.run.right(test) if asked else None for entry in entries]
    for entry, count in zip(entries, right, strict=True):
        run = entry.run
        loss = float(run.loss) / steps
        row: dict[str, Any] = {
            "epoch": epoch,
            "stage": entry.stage,
            "loss": round(loss, 6),
            "test_accuracy": round(int(count) / len(test.labels), 5) if count is not None else "",
            "mean_bits": round(entry.bits, 4) if entry.bits else "",
            "changed": "",
            "lambda": "",
            "seconds": round(seconds / len(entries), 3),
        }
        if run.goal.kind is Kind.NOISE:
            now = run.vector.assigned()
            before = now if entry.before is None else entry.before
            row["changed"] = int((now != before).sum())
            entry.before = now
            row["mean_bits"] = round(float(run.vector.mean_bits()), 4)
            row["lambda"] = f"{math.exp(float(run.strength)):.3e}"
        entry.rows.append(row)
        if not math.isfinite(loss):
            clock.say("WARNING:", entry.key, "has the loss", loss)
    return seconds


def _print_epoch(clock: _Clock, entries: list[Entry], epoch: int, seconds: float) -> None:
    clock.say(f"epoch {epoch}: {len(entries)} runs in {seconds:.2f} s")
    by_name: dict[str, list[str]] = {}
    for entry in entries:
        row = entry.rows[-1]
        bits = f"/{row['mean_bits']}" if row["mean_bits"] != "" else ""
        by_name.setdefault(f"{entry.name}[{row['stage']}]", []).append(
            f"{row['test_accuracy']}{bits}"
        )
    for name, values in by_name.items():
        print("   ", name, *values, flush=True)


def _write_logs(entries: list[Entry], out: Path) -> None:
    for entry in entries:
        if entry.rows:
            write_csv(out / f"{entry.key}.csv", entry.rows)


def _make(
    name: str, seed: int, model: nn.Module, goal: Goal, batches: Batches, factors: torch.Tensor
) -> Entry:
    entry = Entry(name, seed, Run(name, model, goal, batches, factors))
    entry.stage = "finetune" if goal.distilled else goal.kind.value
    entry.run.capture()
    return entry


def _phase_two(entry: Entry, target: float, factors: torch.Tensor) -> None:
    """From phase 1 to phase 2: precisions frozen at the budget, a new optimizer."""
    batches = entry.run.batches
    model = entry.run.finish()
    entry.bits = settle(model, Costs(model), target)
    goal = Goal(Kind.QUANT, ADAM_RATE, distilled=True)
    entry.run = Run(entry.name, model, goal, batches, factors)
    entry.stage = "finetune"
    entry.run.capture()


def _finish(entry: Entry, train: Images, test: Images, out: Path, floats: bool) -> dict[str, Any]:
    """Batch norm in binary32, the carrier's step, the ONNX file, the result."""
    model = entry.run.finish().eval()
    device = test.labels.device
    quantized = entry.run.goal.kind is Kind.QUANT
    count = min(len(train.labels), 30_000)
    chunk = min(2000, count)
    parts = [train.plain(i, i + chunk, torch.float32) for i in range(0, count, chunk)]
    recalibrate_batchnorm(model, parts)
    result: dict[str, Any] = {"name": entry.name, "seed": entry.seed, "file": None}
    if quantized:
        calibrate_carrier(model, train.plain(0, 2000, torch.float32))
        result["mean_bits"] = mean_bits(model)
        result["layers"] = {
            name: {
                "weights": layer.weight.numel(),
                "channels": {p: int((layer.precision.bits == p).sum()) for p in (1, 2, 4, 8)},
            }
            for name, layer in layers(model)
        }
    right = 0
    with torch.no_grad():
        for i in range(0, len(test.labels), 2000):
            logits = model(test.plain(i, i + 2000, torch.float32))
            right += int((logits.argmax(1) == test.labels[i : i + 2000]).sum())
    result["float_simulation_accuracy"] = right / len(test.labels)
    result["device"] = device.type
    if quantized or floats:
        result["file"] = f"{entry.key}.onnx"
        export(model.cpu(), out / f"{entry.key}.onnx")
    return result


def self_test(
    device: torch.device,
    dtype: torch.dtype,
    out: Path,
    clock: _Clock,
    batch: int = 64,
    make: Callable[[], PreResNet] = preresnet20,
) -> None:
    """A few steps of every stage on this device; raises where something is broken."""
    generator = torch.Generator().manual_seed(5)
    raw = torch.randint(0, 256, (4 * batch, 28, 28), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (4 * batch,), generator=generator)
    labels[0] = 9
    images = Images(raw, labels, device, dtype)
    batches = Batches(images, batch, 0)
    if device.type == "cuda":
        _test_kernels(device)
        clock.say("self-test: kernels agree with plain operations, fused:", kernels.available())
    twin = _float_model(make, 0, device)
    batches.draw(0, [])
    goal = Goal(Kind.FLOAT, 0.01, sgd=True)
    entries = [_make("float", 0, twin, goal, batches, cosine(8))]
    batches.draw(0, [entries[0].run.teacher()])
    clock.say("self-test: float captured")
    goal = Goal(Kind.NOISE, 1e-3, target_bits=2.0)
    noise = _prepared(copy.deepcopy(twin), images, 2)
    entries.append(_make("noise", 0, noise, goal, batches, cosine(8)))
    clock.say("self-test: noise captured")
    goal = Goal(Kind.QUANT, 1e-3, distilled=True)
    quant = _uniform(twin, images, 2)
    entries.append(_make("quant", 0, quant, goal, batches, cosine(8)))
    clock.say("self-test: quant captured")
    starts = [entry.run.vector.theta.detach().clone() for entry in entries]
    _epoch(entries, images, clock, 1, 1, 1)
    for entry, start in zip(entries, starts, strict=True):
        theta = entry.run.vector.theta.detach()
        if not bool(torch.isfinite(theta).all()) or bool((theta == start).all()):
            raise SysmolError(f"self-test: {entry.name} did not train, or diverged")
        if int(entry.run.count) != batches.steps:
            raise SysmolError(f"self-test: {entry.name} did {int(entry.run.count)} steps")
    if device.type == "cuda":
        _test_replay(entries, clock)
    _phase_two(entries[1], 2.0, cosine(8))
    _epoch(entries, images, clock, 2, 1, 2)
    _print_epoch(clock, entries, 2, 0.0)
    for entry in entries:
        result = _finish(entry, images, images, out, True)
        (out / result["file"]).unlink()
    clock.say("self-test: passed")


def _test_replay(entries: list[Entry], clock: _Clock) -> None:
    """A graph's replay must do what the plain step does, but for the order of sums."""
    for entry in entries:
        run = entry.run
        graph = run.graph
        assert graph is not None and run.stream is not None
        old = [t.detach().clone() for t in run._state()]
        found = []
        for captured in (True, False):
            run.begin_epoch()
            torch.cuda.synchronize()
            with torch.cuda.stream(run.stream):
                graph.replay() if captured else run.step()
            torch.cuda.synchronize()
            found.append((float(run.loss), run.vector.theta.detach().clone()))
            with torch.no_grad():
                for t, value in zip(run._state(), old, strict=True):
                    t.copy_(value)
        (a, p), (b, q) = found
        apart = float((p - q).norm() / (p - old[0]).norm().clamp_min(1e-12))
        clock.say(f"self-test: {entry.name}: loss {a:.6f} replayed, {b:.6f} plain, "
                  f"updates differ by {apart:.4f}")  # fmt: skip
        if not abs(a - b) <= 0.02 * abs(b) + 1e-3:
            raise SysmolError(f"self-test: the graph of {entry.name} computes something else")


def _test_kernels(device: torch.device) -> None:
    if not kernels.available():
        return
    generator = torch.Generator(device).manual_seed(3)
    for channels, size in ((16, 28), (32, 14), (64, 7), (1, 28)):
        x = torch.randn(32, channels, size, size, device=device, generator=generator)
        x = x.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
        g = torch.randn(x.shape, device=device, generator=generator).to(x)
        alpha = torch.tensor(1.3, device=device)
        top = torch.full((channels,), 3.0, device=device)
        sigma = torch.rand(channels, device=device, generator=generator)
        j = torch.randint(-128, 128, (x.numel(),), device=device, generator=generator)
        j = j.to(torch.int8)
        for noisy in (False, True):
            found = []
            for fused in (False, True):
                leaves = [x.clone().requires_grad_(), alpha.clone().requires_grad_()]
                if noisy:
                    leaves.append(sigma.clone().requires_grad_())
                    y = kernels.noisy_relu(leaves[0], leaves[1], leaves[2], j, fused)
                else:
                    y = kernels.quant_relu(leaves[0], leaves[1], top, fused)
                found.append([y.detach(), *torch.autograd.grad(y, leaves, g)])
            for a, b in zip(*found, strict=True):
                error = float((a.float() - b.float()).norm() / a.float().norm())
                if not error < 5e-3:
                    raise SysmolError(f"self-test: fused kernels are off by {error} ({noisy=})")


def _speed(entries: list[Entry], rounds: int = 24) -> float:
    """Seconds of one step of one run when all run side by side."""
    for entry in entries:
        entry.run.begin_epoch()
    torch.cuda.synchronize()
    start = time.monotonic()
    for index in range(rounds):
        if index % entries[0].run.batches.steps == 0:
            torch.cuda.synchronize()
            for entry in entries:
                entry.run.begin_epoch()
        for entry in entries:
            entry.run.advance()
    torch.cuda.synchronize()
    return (time.monotonic() - start) / rounds / len(entries)


def _choose_epochs(
    options: argparse.Namespace, train: Images, budget: float, clock: _Clock
) -> tuple[int, int, int]:
    """Epochs (first, noise, second) that fill ``budget`` seconds at the measured speed."""
    if options.epochs:
        first, noise, second = options.epochs
        return first, noise, second
    batches = Batches(train, options.batch, 0)
    batches.draw(0, [])
    entries = []
    for index in range(6):
        twin = _float_model(preresnet20, index, train.labels.device)
        model: nn.Module = twin
        goal = Goal(Kind.FLOAT, 0.0, sgd=True)
        if index >= 2:
            model = _uniform(twin, train, 2)
            goal = Goal(Kind.QUANT, 0.0, distilled=True)
        entries.append(_make(str(index), 0, model, goal, batches, cosine(8)))
    _speed(entries)
    seconds = _speed(entries, 48)
    per_epoch = seconds * batches.steps
    seeds, others = options.seeds, len(options.budgets) + len(options.uniform) + 1
    # First: twins and float rows; then all. With first = second / 2.
    units = seeds * (2 * 0.5 + (others + 1) * 1.0)
    second = int(budget / (units * per_epoch * 1.08 + 0.5))
    second = max(4, min(options.most, second))
    clock.say(
        f"{seconds * 1e3:.3f} ms a step of one run among {len(entries)}, "
        f"{per_epoch:.3f} s an epoch of one run; {second} epochs after the first {second // 2}"
    )
    return max(2, second // 2), max(2, round(second / 4)), second


def _run_plan(options: argparse.Namespace, device: torch.device, clock: _Clock) -> int:
    out: Path = options.out
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    self_test(device, dtype, out, clock, options.batch)
    parts = []
    for name in ("train", "test"):
        raw, labels = data.load(name, options.data)
        count = options.limit or len(raw)
        parts.append(
            Images(
                torch.from_numpy(raw[:count].copy()),
                torch.from_numpy(labels[:count].copy()).long(),
                device,
                dtype,
            )
        )
    train, test = parts
    clock.say("data on the device")
    ending = 0.04 * options.seconds + 1.0 * options.seeds * (
        len(options.budgets) + len(options.uniform) + 2
    )
    stop = options.seconds - ending  # training must be over by then
    first, noise, second = _choose_epochs(options, train, stop - clock.now() - 40, clock)
    plan = _Plan(
        options.seeds, options.batch, first, noise, second, options.budgets, options.uniform
    )
    about: dict[str, Any] = {
        "plan": plan.__dict__,
        "command": " ".join(["python -m sysmol.experiments", *options.given]),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.machine(),
        "torch": torch.__version__,
        "limit": options.limit,
        "float_rate": FLOAT_RATE,
        "adam_rate": ADAM_RATE,
        "teacher": "mean logits of the first-stage float networks of all seeds, temperature 2",
    }
    clock.say("plan:", json.dumps(about))
    entries = _train(plan, train, test, out, clock, stop, options)
    results = []
    for entry in entries:
        if entry.run.goal.kind is Kind.FLOAT and clock.now() > options.seconds - 3:
            continue
        result = _finish(entry, train, test, out, entry.seed == 0 and entry.name == "float")
        result["epochs"] = len(entry.rows) + (0 if entry.name == "float" else plan.first)
        results.append(result)
        about["results"] = results
        write_json(out / "results.json", about)
    clock.say("finished")
    _summary(results)
    return 0


def _train(
    plan: _Plan,
    train: Images,
    test: Images,
    out: Path,
    clock: _Clock,
    stop: float,
    options: argparse.Namespace,
) -> list[Entry]:
    device = test.labels.device
    batches = [Batches(train, plan.batch, seed) for seed in range(plan.seeds)]
    steps = batches[0].steps
    twins, floats = [], []
    sgd = Goal(Kind.FLOAT, FLOAT_RATE, sgd=True)
    for seed in range(plan.seeds):
        model = _float_model(preresnet20, seed, device)
        again = copy.deepcopy(model)
        factors = cosine(plan.first * steps)
        twins.append(_make("start", seed, model, sgd, batches[seed], factors))
        factors = cosine((plan.first + plan.second) * steps)
        floats.append(_make("float", seed, again, sgd, batches[seed], factors))
    clock.say("first stage captured")
    for epoch in range(1, plan.first + 1):
        for part in batches:
            part.draw(epoch, [])
        seconds = _epoch(twins + floats, test, clock, epoch, options.every, plan.first)
        if epoch % options.every == 0 or epoch == plan.first:
            _print_epoch(clock, twins + floats, epoch, seconds)
        _write_logs(twins + floats, out)
    teachers = [entry.run.teacher() for entry in twins]
    ours: list[tuple[Entry, float]] = []
    others: list[Entry] = []
    quant = Goal(Kind.QUANT, ADAM_RATE, distilled=True)
    factors = cosine(plan.second * steps)
    for entry in twins:
        twin, seed = entry.run.finish(), entry.seed
        part = batches[seed]
        for bits in plan.budgets:
            goal = Goal(Kind.NOISE, ADAM_RATE, target_bits=bits)
            model = _prepared(twin, train, 2)
            rate = cosine(plan.noise * steps)
            ours.append((_make(f"ours-{bits:g}", seed, model, goal, part, rate), bits))
        for bits in plan.uniform:
            model = _uniform(twin, train, bits)
            others.append(_make(f"uniform-{bits}", seed, model, quant, part, factors))
            others[-1].bits = bits
        goal = Goal(Kind.FLOAT, ADAM_RATE, distilled=True)
        model = copy.deepcopy(twin)
        others.append(_make("float-distilled", seed, model, goal, part, factors))
    entries = [entry for entry, _ in ours] + others + floats
    clock.say("second stage captured")
    source, places = (batches, teachers), (twins, test, out)
    _second_stage(entries, ours, plan, source, places, clock, stop, options)
    return entries


def _second_stage(
    entries: list[Entry],
    ours: list[tuple[Entry, float]],
    plan: _Plan,
    source: tuple[list[Batches], list[nn.Module]],
    places: tuple[list[Entry], Images, Path],
    clock: _Clock,
    stop: float,
    options: argparse.Namespace,
) -> None:
    """All epochs after the first stage; fewer of them where time runs out."""
    (batches, teachers), (twins, test, out) = source, places
    steps = batches[0].steps
    epoch, end = plan.first, plan.first + plan.second
    walls = [0.0]
    while epoch < end:
        epoch += 1
        begin = clock.now()
        for part in batches:
            part.draw(epoch, teachers)
        seconds = _epoch(entries, test, clock, epoch, options.every, end)
        if epoch % options.every == 0 or epoch == end:
            _print_epoch(clock, entries, epoch, seconds)
        _write_logs(twins + entries, out)
        walls.append(clock.now() - begin)
        if epoch == plan.first + plan.noise:
            rest = (plan.second - plan.noise) * steps
            for one, bits in ours:
                _phase_two(one, bits, cosine(rest))
            clock.say("phase 1 over:", *(f"{one.key} {one.bits:.3f}" for one, _ in ours))
        elif epoch > plan.first + plan.noise:
            fits = max(0, int((stop - clock.now()) / max(walls[-2:])))
            if fits < end - epoch:
                end = epoch + fits
                clock.say(f"WARNING: only {fits} more epochs fit")
                for entry in entries:
                    _anneal(entry.run, fits * steps)


def _anneal(run: Run, steps: int) -> None:
    """Bring the learning rate to 0 over the next ``steps`` steps, from where it is."""
    now = int(run.count)
    end = min(now + steps, run.steps)
    start = float(run.factors[min(now, run.steps - 1)])
    run.factors[now:end] = torch.linspace(start, 0, end - now, device=run.device)


def _summary(results: list[dict[str, Any]]) -> None:
    by_name: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        by_name.setdefault(result["name"], []).append(result)
    for name, group in by_name.items():
        values = torch.tensor([100 * r["float_simulation_accuracy"] for r in group])
        spread = float(values.std()) if len(values) > 1 else 0.0
        bits = [f"{r['mean_bits']:.3f}" for r in group if "mean_bits" in r]
        print(f"{name:16} {float(values.mean()):6.2f} ± {spread:.2f} %", *bits, flush=True)


def _numbers(kind: type) -> Callable[[str], tuple[Any, ...]]:
    return lambda text: tuple(kind(part) for part in text.split(",") if part)


def parser() -> argparse.ArgumentParser:
    """The command line of ``python -m sysmol.experiments``."""
    top = argparse.ArgumentParser(
        prog="python -m sysmol.experiments",
        description="Compare float, learned and uniform precisions: PreResNet-20 on "
        "Fashion-MNIST, all runs at once on one GPU.",
    )
    top.add_argument("--out", type=Path, required=True, help="folder of logs and networks")
    top.add_argument("--data", type=Path, help="folder with the idx.gz files")
    top.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="default: cuda")
    top.add_argument("--seconds", type=float, default=330, help="wall-clock limit; default: 330")
    top.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ...; default: 3")
    top.add_argument("--batch", type=int, default=256, help="default: 256")
    top.add_argument(
        "--budgets",
        type=_numbers(float),
        default=(3.5, 2.0, 1.5, 1.2),
        help="mean bits per hidden weight of ours; default: 3.5,2,1.5,1.2",
    )
    top.add_argument(
        "--uniform", type=_numbers(int), default=(4, 2, 1), help="bits; default: 4,2,1"
    )
    top.add_argument(
        "--epochs",
        type=_numbers(int),
        help="first,noise,second; default: what fits the time limit at the measured speed",
    )
    top.add_argument("--most", type=int, default=80, help="at most so many second; default: 80")
    top.add_argument("--every", type=int, default=2, help="epochs between tests; default: 2")
    top.add_argument("--limit", type=int, default=0, help="use so many images only; 0: all")
    top.add_argument("--self-test", action="store_true", help="test this device and end")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; gives the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    options.given = given
    clock = _Clock(options.seconds)
    device = torch.device(options.device)
    try:
        if device.type == "cuda" and not torch.cuda.is_available():
            raise SysmolError("no CUDA device is here; --device cpu runs the same plan, slowly")
        options.out.mkdir(parents=True, exist_ok=True)
        if options.self_test:
            dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
            self_test(device, dtype, options.out, clock, options.batch)
            return 0
        return _run_plan(options, device, clock)
    except SysmolError as error:
        print(f"sysmol.experiments: error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
