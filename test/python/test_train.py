"""Training: repeatable, resumable, with a log that says what happened."""

from __future__ import annotations

import csv
import io
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import sysmol
from sysmol import SysmolError, cli, data, tasks, train, train_command, zoo
from sysmol.budget import Budget, Unit
from sysmol.layers import ActivationQuant
from sysmol.models import PreResNet, load_float
from sysmol.prepare import calibrate, layers
from sysmol.runtime import inspect


def change(monkeypatch: pytest.MonkeyPatch, **parts: Any) -> None:
    """The task of Fashion-MNIST with other parts."""
    changed = replace(tasks.named("fashion-mnist"), **parts)
    monkeypatch.setitem(tasks.TASKS, "fashion-mnist", changed)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network small enough to train here."""
    change(monkeypatch, model=lambda: PreResNet(1, (4, 4, 4)))
    torch.set_num_threads(1)


def splits() -> tuple[train.Split, train.Split]:
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (64, 28, 28), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (64,), generator=generator)
    part = train.Split(images, labels)
    return part, part


def settings(**changes: Any) -> train.Settings:
    known: dict[str, Any] = {
        "seed": 1,
        "batch": 16,
        "epochs": {"float": 2, "noise": 2, "finetune": 2},
        "rates": {"float": 0.05, "noise": 1e-2, "finetune": 1e-3},
        "budget": Budget(Unit.BITS, 2.0),
        "target": "x86-64-avx512",
        "patterns": "none",
        "uniform": 0,
        "device": "cpu",
        "bf16": False,
        "limit": 0,
    }
    return train.Settings(**(known | changes))


def whole(out: Path, chosen: train.Settings) -> dict[str, torch.Tensor]:
    """All three stages; the final weights."""
    out.mkdir(exist_ok=True)
    parts = splits()
    twin = train.train_float(parts, chosen, out)
    model = train.train_noise(twin, parts, chosen, out)
    model = train.train_finetune(model, twin, parts, chosen, out)
    train.write_results(model, twin, parts[1], chosen, out)
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_seed_repeats_a_run_and_a_cut_run_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = whole(tmp_path / "a", settings())
    save = train._save
    cut = tmp_path / "b"

    def save_and_die(path: Path, state: dict[str, Any]) -> None:
        save(path, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "_save", save_and_die)
    for _ in range(6):  # once after every epoch of every stage
        with pytest.raises(KeyboardInterrupt):
            whole(cut, settings())
    monkeypatch.setattr(train, "_save", save)
    assert same(first, whole(cut, settings()))
    for name in ("model.onnx", "float.onnx"):
        assert (cut / name).read_bytes() == (tmp_path / "a" / name).read_bytes()
    assert not same(first, whole(tmp_path / "c", settings(seed=2)))
    # The log of the noise phase says what became of the channels.
    with (cut / "noise.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"loss", "test_accuracy", "mean_bits", "changed", "lambda"} <= rows[0].keys()
    results = json.loads((cut / "results.json").read_text())
    assert 0 <= results["accuracy"] <= 1 and results["test_images"] == 64
    assert results["layers"]["conv"]["channels"] == {"1": 0, "2": 0, "4": 0, "8": 1}
    # The budget is met up to one channel of this little network.
    assert abs(results["mean_bits"] - 2.0) < 0.06
    assert results["settings"]["budget"] == {"unit": "bits", "target": 2.0}
    found = json.loads((cut / "precisions.json").read_text())
    assert found["bits"] == found["reached"] == results["mean_bits"]
    assert found["phase1_bits"] == pytest.approx(float(rows[-1]["mean_bits"]), abs=1e-3)


def test_phase_1_trains_alpha_and_projects(tmp_path: Path) -> None:
    parts, chosen = splits(), settings(rates={"float": 0.05, "noise": 0.2, "finetune": 1e-3})
    twin = train.train_float(parts, chosen, tmp_path)
    start = sysmol.prepare(twin)
    calibrate(start, train._calibration_images(parts[0], chosen))
    model = train.train_noise(twin, parts, chosen, tmp_path)
    for name, quant in model.named_modules():
        if isinstance(quant, ActivationQuant) and quant.scale.requires_grad:
            before = start.get_submodule(name)
            assert isinstance(before, ActivationQuant) and quant.scale != before.scale, name
    beyond = 0
    for _, layer in layers(model):
        bound = layer.scale.view(-1, *([1] * (layer.weight.dim() - 1)))
        bound = bound * (2 - layer.spread(layer.precision.sigma()))
        if layer.precision.learned:
            assert (layer.weight.abs() <= bound * 1.0001).all()
            beyond += int((layer.weight.abs() > bound * 0.9999).sum())
    assert beyond > 0  # this rate takes some there


def test_the_log_counts_channels_that_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    assigned = train._assigned

    def watched(model: torch.nn.Module) -> torch.Tensor:
        seen.append(assigned(model).clone())
        return seen[-1]

    monkeypatch.setattr(train, "_assigned", watched)
    bars: list[dict[str, str]] = []

    class Bar(list[Any]):
        def set_postfix(self, refresh: bool, **shown: str) -> None:
            assert not refresh  # every step would be a line
            bars.append(shown)

    monkeypatch.setattr(train, "tqdm", lambda stream, *_, **__: Bar(stream))
    parts = splits()
    chosen = settings(
        epochs={"float": 1, "noise": 3, "finetune": 1},
        rates={"float": 0.05, "noise": 0.1, "finetune": 1e-3},
    )
    twin = train.train_float(parts, chosen, tmp_path)
    assert all(shown.keys() == {"loss"} for shown in bars)
    bars.clear()
    model = train.train_noise(twin, parts, chosen, tmp_path)
    assert all(shown.keys() == {"loss", "bits", "lambda"} for shown in bars)
    assert 1 <= float(bars[-1]["bits"]) <= 4 and float(bars[-1]["lambda"]) > 0
    assert len(seen) == 4  # before the first epoch, and after each
    changed = [int((a != b).sum()) for a, b in itertools.pairwise(seen)]
    with (tmp_path / "noise.csv").open() as file:
        assert [int(row["changed"]) for row in csv.DictReader(file)] == changed
    assert sum(changed) > 0
    train.train_finetune(model, twin, parts, chosen, tmp_path)


def test_the_decay_of_phase_2_is_part_of_a_run(tmp_path: Path) -> None:
    parts = splits()

    def finetune(**changes: Any) -> None:
        run = settings(uniform=2, **changes)
        twin = train.train_float(parts, run, tmp_path)
        train.train_finetune(train.uniform_start(twin, parts, run), twin, parts, run, tmp_path)

    finetune()
    finetune(decay=3)  # the default
    with pytest.raises(SysmolError, match=r"other settings \(decay\)"):
        finetune(decay=2)
    # Checkpoints from before it could be chosen.
    saved = torch.load(tmp_path / "finetune.pt", weights_only=True)
    del saved["signature"]["decay"]
    train._save(tmp_path / "finetune.pt", saved)
    finetune()
    rates = [train._trapezoid(2)(elapsed, 6) for elapsed in (0, 0.5, 3, 4, 5, 6)]
    assert rates == [0.01, 1, 1, 1, 0.5, 0]


def test_with_validation_the_test_part_is_seen_once_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = splits()
    test = train.Split(parts[1].images[:32].flip(0), parts[1].labels[:32])
    monkeypatch.setattr(
        train_command, "load_splits", lambda directory, limit, task: (parts[0], test)
    )
    seen: list[torch.Tensor] = []
    accuracy = train.accuracy

    def watch(model: torch.nn.Module, split: train.Split, *rest: Any, **more: Any) -> float:
        seen.append(split.images)
        return accuracy(model, split, *rest, **more)

    monkeypatch.setattr(train, "accuracy", watch)
    line = ["train", "--out", str(tmp_path / "a"), "--batch", "16", "--uniform", "2"]
    line += ["--float-epochs", "1", "--noise-epochs", "0", "--finetune-epochs", "2"]
    assert cli.main([*line, "--validation", "20"]) == 0
    # One epoch of the twin, two of phase 2; the twin's accuracy at the end.
    assert [len(images) for images in seen] == [20, 20, 20, 32]
    assert torch.equal(seen[0], parts[0].images[44:]) and torch.equal(seen[3], test.images)
    for stage in ("float", "finetune"):
        header = (tmp_path / "a" / f"{stage}.csv").read_text().splitlines()[0].split(",")
        assert "validation_accuracy" in header and "test_accuracy" not in header
    results = json.loads((tmp_path / "a" / "results.json").read_text())
    assert results["test_images"] == 32 and results["settings"]["validation"] == 20
    # Twins of other training parts are other twins.
    assert cli.main(line) == 1
    assert cli.main([*line[:2], str(tmp_path / "b"), *line[3:], "--validation", "64"]) == 1
    kept, held = train.hold_out(parts[0], 20)
    assert torch.equal(kept.labels, parts[0].labels[:44])
    assert torch.equal(held.labels, parts[0].labels[44:])


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    train.train_float(splits(), settings(), tmp_path)
    with pytest.raises(SysmolError, match="other settings"):
        train.train_float(splits(), settings(seed=9), tmp_path)


def test_a_refused_run_leaves_no_folder(tmp_path: Path) -> None:
    line = ["train", "--data", str(tmp_path / "none"), "--out"]
    assert cli.main([*line, str(tmp_path / "new")]) == 1
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    assert cli.main([*line, str(tmp_path / "mine")]) == 1
    assert (tmp_path / "mine").is_dir()


def test_too_large_a_batch_and_a_broken_loss_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SysmolError, match="larger than 64 images"):
        train.train_float(splits(), settings(batch=65), tmp_path)
    rates = {"float": 1e30, "noise": 1.0, "finetune": 1.0}
    with pytest.raises(SysmolError, match="the loss is"):
        train.train_float(splits(), settings(rates=rates), tmp_path)


def test_a_damaged_or_foreign_checkpoint_is_one_line(tmp_path: Path) -> None:
    train.train_float(splits(), settings(), tmp_path)
    path = tmp_path / "float.pt"
    good = path.read_bytes()
    for content in (b"", b"junk", good[:1000], good[:-100]):
        path.write_bytes(content)
        with pytest.raises(SysmolError, match="is no checkpoint, or damaged"):
            train.train_float(splits(), settings(), tmp_path)
    torch.save({"model": {}}, path)
    with pytest.raises(SysmolError, match="is no checkpoint, or damaged"):
        train.train_float(splits(), settings(), tmp_path)
    saved = torch.load(io.BytesIO(good), weights_only=True)
    saved["model"] = {"a": torch.zeros(3)}
    torch.save(saved, path)
    with pytest.raises(SysmolError, match="does not belong to this network"):
        train.train_float(splits(), settings(), tmp_path)


def test_uniform_precisions_take_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = splits()
    monkeypatch.setattr(train_command, "load_splits", lambda directory, limit, task: parts)
    line = f"train --out {tmp_path} --uniform 2 --batch 16 --no-bf16 --seed 4"
    epochs = " --float-epochs 1 --noise-epochs 1 --finetune-epochs 2"
    assert cli.main((line + epochs).split()) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["mean_bits"] == 2.0 and results["settings"]["uniform"] == 2
    assert not (tmp_path / "noise.csv").exists()
    with (tmp_path / "finetune.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3  # the epochs of phase 1, too


def train_briefly(
    monkeypatch: pytest.MonkeyPatch, out: Path, widths: tuple[int, int, int], budget: str
) -> None:
    """``sysmol train`` of a network of these widths, an epoch a stage."""
    parts = splits()
    monkeypatch.setattr(train_command, "load_splits", lambda directory, limit, task: parts)
    change(monkeypatch, model=lambda: PreResNet(1, widths))
    line = f"train --out {out} {budget} --batch 16 --no-bf16"
    epochs = " --float-epochs 1 --noise-epochs 1 --finetune-epochs 1"
    assert cli.main((line + epochs).split()) == 0


def test_a_size_budget_is_met_in_one_run_as_the_compiler_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_briefly(monkeypatch, tmp_path, (16, 32, 32), "--size 16KB --patterns words")
    report = sysmol.compile(
        tmp_path / "model.onnx", tmp_path / "net.smol", targets=["x86-64-avx512"], golden_pairs=0
    )
    assert abs(report.weight_bytes - 16_000) <= 0.03 * 16_000


def test_a_time_budget_is_met_in_one_run_as_the_compiler_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_briefly(monkeypatch, tmp_path, (8, 16, 16), "--latency 0.0135ms")
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["settings"]["budget"] == {"unit": "latency", "target": pytest.approx(13.5e-6)}
    found = json.loads((tmp_path / "precisions.json").read_text())
    assert abs(found["reached"] - 13.5e-6) <= 0.03 * 13.5e-6
    # The file that was written takes as long.
    target = "x86-64-avx512"
    sysmol.compile(tmp_path / "model.onnx", tmp_path / "net.smol", targets=[target], golden_pairs=0)
    rows = inspect(tmp_path / "net.smol").metadata["layers"]
    assert sum(row["predicted_ns"] for row in rows) / 1e9 == pytest.approx(
        found["reached"], rel=1e-3
    )


def test_a_trained_twin_is_taken_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = splits()
    monkeypatch.setattr(train_command, "load_splits", lambda directory, limit, task: parts)
    twin = train.train_float(parts, settings(), tmp_path).eval()
    sysmol.export(twin, tmp_path / "twin.onnx")
    again = load_float(PreResNet(1, (4, 4, 4)), tmp_path / "twin.onnx").state_dict()
    for name, value in twin.state_dict().items():
        assert torch.equal(again[name], value) or name.endswith("num_batches_tracked")
    out = tmp_path / "out"
    line = f"train --out {out} --batch 16 --no-bf16 --noise-epochs 1 --stage noise --twin "
    assert cli.main([*line.split(), str(tmp_path / "twin.onnx")]) == 0
    assert (out / "noise.csv").exists() and not (out / "float.csv").exists()
    # The float stage alone leaves a twin.
    line_float = f"train --out {tmp_path / 'f'} --batch 16 --float-epochs 1 --stage float"
    assert cli.main(line_float.split()) == 0
    load_float(PreResNet(1, (4, 4, 4)), tmp_path / "f" / "float.onnx")
    # Another twin is another run; so is another network another file.
    with torch.no_grad():
        next(twin.parameters()).add_(1)
    sysmol.export(twin, tmp_path / "other.onnx")
    assert cli.main([*line.split(), str(tmp_path / "other.onnx")]) == 1
    assert "other settings" in capsys.readouterr().err
    with pytest.raises(SysmolError, match="does not belong to this network"):
        load_float(PreResNet(1, (4, 4, 8)), tmp_path / "twin.onnx")
    with pytest.raises(SysmolError, match="is quantized"):
        load_float(PreResNet(), zoo.NETWORK)
    assert cli.main([*line.split(), str(tmp_path / "none.onnx")]) == 1


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        ("--bits 2 --size 9KB", 2, "not allowed with"),
        ("--size 9XB", 2, "give for example 100KB"),
        ("--latency 0ms", 2, "give for example 0.2ms"),
        ("--bits nan", 2, "no positive number"),
        ("--batch 0", 2, "'0' is no number of at least 1"),
        ("--threads 0", 2, "'0' is no number of at least 1"),
        ("--float-epochs -1", 2, "'-1' is no number of at least 0"),
        ("--limit -3", 2, "'-3' is no number of at least 0"),
        ("--seed 99999999999999999999", 2, "too large for a seed"),
        ("--noise-rate inf", 2, "no positive number"),
        ("--bits 7", 1, "cannot be met: this network takes 1.000 bits to 4.000 bits"),
        ("--bits 0.5 --stage float", 1, "budget of 0.500 bits cannot be met"),
    ],
)
def test_options_that_make_no_sense(
    line: str,
    status: int,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = splits()
    monkeypatch.setattr(train_command, "load_splits", lambda directory, limit, task: parts)
    given = f"train --out {tmp_path} --batch 16 --no-bf16 --float-epochs 1 {line}".split()
    assert cli.main(given) == status
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1 and "sysmol: error: " in error
    assert not list(tmp_path.iterdir())  # found before anything is trained


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["train", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("--out", "--bits", "--latency", "resume", "default: all"))


def test_missing_data_names_the_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--out", str(tmp_path / "o"), "--data", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "apt-get install dataset-fashion-mnist" in error and error.count("\n") == 1


def test_damaged_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    whole_file = (data.ZOO_DIR / "t10k-labels-idx1-ubyte.gz").read_bytes()
    for content in (whole_file[:1000], b"", b"nonsense"):
        path.write_bytes(content)
        with pytest.raises(SysmolError):
            data.read_idx(path)


def test_shipped_test_part() -> None:
    images, labels = data.load("test")
    assert images.shape == (10_000, 28, 28) and labels[:5].tolist() == [9, 2, 1, 1, 6]
    x = data.to_input(images[:3])
    assert x.shape == (3, 1, 28, 28) and x.dtype.name == "float32" and x.max() <= 1


def test_an_epoch_of_batches_is_repeatable_and_whole() -> None:
    images = torch.arange(40, dtype=torch.uint8)[:, None, None].expand(40, 9, 9).contiguous()
    labels = torch.arange(40)

    def epoch(seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return list(data.batches(images, labels, 8, torch.Generator().manual_seed(seed)))

    first = epoch(3)
    assert sorted(int(y) for _, part in first for y in part) == list(range(40))
    for (x, y), (again, _) in zip(first, epoch(3), strict=True):
        assert torch.equal(x, again)
        # The middle pixel survives every shift by two.
        assert torch.equal((x[:, 0, 4, 4] * 255).round().long(), y)
    assert any(not torch.equal(a, b) for (_, a), (_, b) in zip(first, epoch(4), strict=True))
