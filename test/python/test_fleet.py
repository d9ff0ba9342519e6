"""The trainer of many runs computes what the layers compute, and its plan runs to the end."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

import sysmol
from sysmol import data, experiments, fleet, kernels
from sysmol.budget import Costs, settle
from sysmol.fleet import Batches, Goal, Images, Kind, Run, Vector
from sysmol.layers import ActivationQuant, ChannelPrecision
from sysmol.models import PreResNet
from sysmol.onednn import avoid_fault
from sysmol.prepare import bits_term, calibrate, freeze, hidden_layers, layers, mean_bits, project


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def tiny() -> PreResNet:
    torch.manual_seed(2)
    model = PreResNet(1, (4, 8, 8))
    avoid_fault(model)
    return model


def images(count: int = 64) -> Images:
    generator = torch.Generator().manual_seed(5)
    raw = torch.randint(0, 256, (count, 28, 28), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 10
    return Images(raw, labels, torch.device("cpu"), torch.float32)


def prepared(learned: bool) -> torch.nn.Module:
    model = sysmol.prepare(tiny())
    calibrate(model, images().plain(0, 32))
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, ChannelPrecision) and module.learned:
            if learned:
                torch.nn.init.uniform_(module.s, -4, 2, generator=generator)
            else:
                picks = torch.randint(0, 3, module.bits.shape, generator=generator)
                module.bits.copy_(torch.tensor([1, 2, 4])[picks])
    if not learned:
        freeze(model)
    return model


def test_weights_in_one_vector_are_those_of_the_layers() -> None:
    model = prepared(False)
    vector = Vector(model, Kind.QUANT)
    found = vector.parameters(None, torch.float32)
    for name, layer in layers(model):
        assert torch.equal(found[f"{name}.weight"], layer.quantized()), name
    # And so are the gradients, to weights and to step sizes.
    sum((found[f"{n}.weight"] ** 3).sum() for n, _ in layers(model)).backward()  # type: ignore[union-attr]
    gradient = dict(_pieces(vector, vector.theta.grad))
    sum((layer.quantized() ** 3).sum() for _, layer in layers(model)).backward()  # type: ignore[union-attr]
    for name, layer in layers(model):
        torch.testing.assert_close(gradient[f"{name}.weight"], layer.weight.grad)
        torch.testing.assert_close(gradient[f"{name}.scale"], layer.scale.grad)


def _pieces(vector: Vector, flat: Any) -> Any:
    start = 0
    for name in Vector.ORDER:
        segment = vector.segments[name]
        if segment.pieces:
            yield from segment.split(flat[start : start + segment.size])
        start += segment.size


def test_bits_and_their_loss_term_are_those_of_the_network() -> None:
    model = prepared(True)
    vector = Vector(model, Kind.NOISE)
    assert float(vector.mean_bits()) == pytest.approx(mean_bits(model))
    term = ((vector.implied() - 1) * vector.counts).sum()
    torch.testing.assert_close(term, bits_term(model))


def test_noise_has_the_width_of_each_weights_channel_and_projection_is_that_of_the_layers() -> None:
    model = prepared(True)
    vector = Vector(model, Kind.NOISE)
    ones = torch.ones(vector.sizes[0])
    loud = vector.parameters(ones, torch.float32)
    for name, layer in hidden_layers(model):
        d = layer.scale.view(-1, 1, 1, 1)
        expected = layer.weight + d * layer.spread(layer.precision.sigma())
        torch.testing.assert_close(loud[f"{name}.weight"], expected)
    part = images()
    run = Run("n", model, Goal(Kind.NOISE, 0.0, target_bits=2), Batches(part, 16, 0), torch.ones(4))
    run._optimize(torch.zeros_like(run.vector.theta))
    run.vector.store()
    again = prepared(True)
    project(again)
    for (_, a), (_, b) in zip(hidden_layers(model), hidden_layers(again), strict=True):
        torch.testing.assert_close(a.weight, b.weight)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_run_ends_as_an_ordinary_network_that_computes_the_same(kind: Kind) -> None:
    model = tiny() if kind is Kind.FLOAT else prepared(kind is Kind.NOISE)
    part = images()
    batches = Batches(part, 16, 0)
    batches.draw(1, [])
    goal = Goal(kind, 1e-3, sgd=kind is Kind.FLOAT, target_bits=2.0)
    run = Run("x", model, goal, batches, fleet.cosine(batches.steps))
    run.capture()
    run.begin_epoch()
    for _ in range(batches.steps):
        run.advance()
    assert int(run.count) == batches.steps and bool(torch.isfinite(run.loss))
    model.eval()
    x = part.plain(0, 8)
    with torch.no_grad():
        known = functional_call(
            model, run.vector.parameters(None, torch.float32), (x,), tie_weights=False
        )
        finished = run.finish().eval()
        torch.testing.assert_close(finished(x), known)
    assert all(parameter.is_leaf for parameter in finished.parameters())
    finished.load_state_dict(finished.state_dict())


def test_float_steps_are_those_of_pytorchs_sgd_and_adam() -> None:
    part = images()
    for sgd in (True, False):
        batches = Batches(part, 16, 0)
        batches.draw(3, [])
        model, twin = tiny(), tiny()
        run = Run("x", model, Goal(Kind.FLOAT, 0.01, sgd=sgd), batches, torch.ones(4))
        run.capture()
        run.begin_epoch()
        optimizer: torch.optim.Optimizer = torch.optim.Adam(twin.parameters(), 0.01)
        if sgd:
            optimizer = torch.optim.SGD(
                twin.parameters(), 0.01, 0.9, weight_decay=5e-4, nesterov=True
            )
        twin.train()
        for index in range(3):
            run.advance()
            table = batches.tables[index]
            loss = torch.nn.functional.cross_entropy(twin(part.pick(table)), part.labels[table[0]])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        run.vector.store()
        start, *ends = (
            torch.nn.utils.parameters_to_vector(m.parameters()) for m in (tiny(), model, twin)
        )
        assert (ends[0] - ends[1]).norm() < 0.01 * (ends[1] - start).norm()


def test_augmentation_flips_and_shifts_whole_images() -> None:
    part = images(4)
    table = torch.tensor([[0, 1, 2], [2, 0, 4], [2, 4, 2], [0, 0, 1]])
    x = (part.pick(table)[:, 0] * 255).round().to(torch.uint8)
    raw = part.images
    assert torch.equal(x[0], raw[0])
    assert torch.equal(x[1, 2:, :-2], raw[1, :-2, 2:]) and not x[1, :2].any()
    assert torch.equal(x[2, :-2], raw[2, 2:].flip(1)) and not x[2, -2:].any()


def test_an_epoch_has_every_image_once_and_its_teachers_answers() -> None:
    part = images()
    batches, again = Batches(part, 16, 4), Batches(part, 16, 4)
    teacher = tiny().eval()
    batches.draw(2, [teacher, teacher])
    again.draw(2, [])
    assert torch.equal(batches.tables, again.tables)
    assert sorted(batches.tables[:, 0].flatten().tolist()) == list(range(64))
    with torch.no_grad():
        expected = teacher(part.pick(batches.tables[1]))
    torch.testing.assert_close(batches.teacher[1], expected)
    again.draw(3, [])
    assert not torch.equal(batches.tables, again.tables)


class _NoWaiting(TorchDispatchMode):
    """Refuses what makes the host wait for the device, or copies host numbers to it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "nonzero", "lift_fresh", "scalar_tensor"), name
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", list(Kind))
def test_a_step_never_waits_for_the_device(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "preferred", lambda x: True)
    model = tiny() if kind is Kind.FLOAT else prepared(kind is Kind.NOISE)
    batches = Batches(images(), 16, 0)
    batches.draw(1, [])
    goal = Goal(kind, 1e-3, sgd=kind is Kind.FLOAT, distilled=True, target_bits=2.0)
    run = Run("x", model, goal, batches, fleet.cosine(4))
    run.capture()
    run.advance()
    before = run.vector.theta.detach().clone()
    with _NoWaiting():
        run.advance()
    assert not torch.equal(before, run.vector.theta.detach())


@pytest.mark.parametrize("kind", list(Kind))
def test_a_step_in_bfloat16_is_near_the_one_in_binary32(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "preferred", lambda x: True)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        part = images()
        part.dtype = dtype
        model = tiny() if kind is Kind.FLOAT else prepared(kind is Kind.NOISE)
        batches = Batches(part, 64, 0)
        batches.draw(1, [])
        run = Run("x", model, Goal(kind, 1e-3, target_bits=2.0), batches, fleet.cosine(4))
        run.capture()
        run.step()
        found.append(float(run.loss))
    assert found[0] == pytest.approx(found[1], rel=0.1)


@pytest.mark.parametrize("signed_input", [False, True])
def test_plain_form_of_the_kernels_is_that_of_the_layers(signed_input: bool) -> None:
    torch.manual_seed(0)
    precision = ChannelPrecision(4)
    precision.bits.copy_(torch.tensor([1, 2, 4, 8]))
    quant = ActivationQuant(precision, scale=1.25)
    x = torch.randn(3, 4, 5, 5) * (2 if signed_input else 1)
    x = x.contiguous(memory_format=torch.channels_last)
    g = torch.randn_like(x)
    found = []
    for form in ("layers", "kernels"):
        leaves = [x.clone().requires_grad_(), quant.scale]
        if form == "layers":
            y = quant(leaves[0])
        else:
            y = kernels.quant_relu(leaves[0], quant.scale, precision.top, fused=False)
        found.append([y, *torch.autograd.grad(y, leaves, g)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("target", [1.2, 1.5, 2.0, 3.5])
def test_freezing_hits_the_budget_and_keeps_the_order(target: float) -> None:
    model = prepared(True)
    order = {n: layer.precision.implied().detach() for n, layer in hidden_layers(model)}
    reached = settle(model, Costs(model), target)
    assert reached == pytest.approx(mean_bits(model))
    # Within the weights of the largest channel of this little network.
    assert abs(reached - target) < 0.15
    for name, layer in hidden_layers(model):
        bits, implied = layer.precision.bits, order[name]
        for p in (1, 2):
            low, high = implied[bits <= p], implied[bits > p]
            assert not len(low) or not len(high) or low.max() <= high.min()


def test_the_whole_plan_on_a_small_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "preresnet20", tiny)
    monkeypatch.setattr(experiments, "self_test", lambda *args: None)
    raw, labels = data.load("test")
    monkeypatch.setattr(data, "load", lambda name, directory=None: (raw, labels))
    line = (
        f"--out {tmp_path} --device cpu --seeds 2 --batch 32 --limit 96 --epochs 2,2,4 --every 1"
        " --budgets 2,1.3 --uniform 1 --seconds 3000"
    )
    assert experiments.main(line.split()) == 0
    about = json.loads((tmp_path / "results.json").read_text())
    names = {(result["name"], result["seed"]) for result in about["results"]}
    wanted = ("float", "float-distilled", "ours-2", "ours-1.3", "uniform-1")
    assert names == {(name, seed) for name in wanted for seed in (0, 1)}
    with (tmp_path / "ours-1.3-seed1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] for row in rows] == ["noise"] * 2 + ["finetune"] * 2
    assert rows[0]["changed"] and rows[0]["lambda"] and not rows[3]["changed"]
    for result in about["results"]:
        if result["name"] in ("float", "float-distilled"):
            continue
        network = sysmol.IntegerNetwork.from_onnx(tmp_path / result["file"])
        logits = network.run(data.to_input(raw[:96]))
        exact = float((logits.argmax(1) == labels[:96]).mean())
        assert abs(exact - result["float_simulation_accuracy"]) <= 0.04
        assert result["epochs"] == 6
    assert np.isfinite([result["float_simulation_accuracy"] for result in about["results"]]).all()


def test_self_test_passes_here(tmp_path: Path) -> None:
    clock = experiments._Clock(100)
    experiments.self_test(torch.device("cpu"), torch.float32, tmp_path, clock, 16, tiny)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert experiments.main(["--out", str(tmp_path / "o")]) == 1
    error = capsys.readouterr().err
    assert "--device cpu" in error and error.count("\n") == 1
