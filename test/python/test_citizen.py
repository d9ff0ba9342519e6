"""Prepared networks are ordinary PyTorch: state dicts, autocast, data parallel."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

import sysmol
from sysmol import layers as sysmol_layers
from sysmol.layers import ChannelPrecision
from sysmol.models import PreResNet
from sysmol.parallel import synchronize
from sysmol.prepare import bits_term, calibrate, freeze, project


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def batch(count: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    x = torch.rand(count, 1, 12, 12, generator=generator)
    return x, torch.randint(0, 10, (count,), generator=generator)


class Rows(nn.Module):
    """An image's rows are tokens of an encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(12, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.block(self.embed(x.flatten(1, 2))).mean(1))
        return y


def network(phase: int, spread: bool = True, attends: bool = False) -> nn.Module:
    torch.manual_seed(3)
    twin = (Rows() if attends else PreResNet(1, (4, 6, 8))).train()
    with torch.no_grad():
        for _ in range(20):  # so that calibration sees what training will
            twin(batch()[0])
    model = sysmol.prepare(twin)
    calibrate(model, batch()[0])
    for module in model.modules():
        if isinstance(module, ChannelPrecision) and module.learned and spread:
            nn.init.uniform_(module.s, -4, 2)
    if phase == 2:
        freeze(model)
    return model


def gradients(model: nn.Module, call: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    torch.manual_seed(9)
    x, y = batch()
    logits = call(x)
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(functional.cross_entropy(logits.float(), y), list(named.values()))
    return logits.detach(), dict(zip(named, found, strict=True))


@pytest.mark.parametrize("phase", [1, 2])
def test_state_dicts_carry_everything(phase: int, tmp_path: Path) -> None:
    model = network(phase)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    torch.manual_seed(99)
    other = sysmol.prepare(PreResNet(1, (4, 6, 8)))
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    model.train()
    other.train()
    x, _ = batch()
    for a, b in ((model, other), (model.eval(), other.eval())):
        torch.manual_seed(1)
        expected = a(x)
        torch.manual_seed(1)
        assert torch.equal(b(x), expected)
    # Copies are independent of what they were copied from.
    again = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.zero_()
    assert torch.equal(model(x), expected)


def agreement(make: Callable[[], nn.Module]) -> tuple[float, float]:
    """Cosines between logits and between gradients in binary32 and under autocast."""
    found = []
    for enabled in (False, True):
        model = make().train()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits, g = gradients(model, model)
        assert all(bool(torch.isfinite(v).all()) and v.dtype == torch.float32 for v in g.values())
        found.append((logits.float().flatten(), torch.cat([v.flatten() for v in g.values()])))
    (a, ga), (b, gb) = found
    assert not torch.equal(a, b)
    similar = functional.cosine_similarity
    return float(similar(a, b, dim=0)), float(similar(ga, gb, dim=0))


@pytest.mark.parametrize("phase", [1, 2])
def test_autocast_trains_nearly_the_same(phase: int) -> None:
    def twin() -> nn.Module:
        torch.manual_seed(3)
        return PreResNet(1, (4, 6, 8))

    known = agreement(twin)
    ours = agreement(lambda: network(phase, spread=False))
    # Rounding flips a few codes, which is more than a last digit.
    assert ours[0] > 0.9 * known[0] and ours[1] > (0.7, 0.3)[phase - 1] * known[1], (ours, known)


def _still_noise(like: torch.Tensor) -> torch.Tensor:
    """Noise that depends on the place within an image or weight alone, whatever the process."""
    one = torch.linspace(-0.9, 0.9, like[0].numel()).sin().view(like[0].shape)
    return torch.empty_like(like).copy_(one.expand(like.shape))


def _steps(model: nn.Module, inner: nn.Module, rank: int, world: int, phase: int) -> Any:
    """Three steps of this process's part of every batch; the weights afterwards."""
    trained = [p for p in inner.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, 0.05, 0.9)
    model.train()
    for index in range(3):
        x, y = batch(16)
        x, y = x.roll(index, 0)[rank::world], y.roll(index, 0)[rank::world]
        loss = functional.cross_entropy(model(x), y)
        if phase == 1:
            loss = loss + 1e-5 * bits_term(inner)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if phase == 1:
            project(inner)
    return {name: value.clone() for name, value in inner.state_dict().items()}


def _process(folder: str, phase: int, attends: bool) -> None:
    """What each process of torchrun does; it tells them who they are."""
    torch.set_num_threads(1)
    sysmol_layers.uniform_noise = _still_noise
    distributed.init_process_group("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    inner = synchronize(network(phase, attends=attends))
    model = DistributedDataParallel(inner)
    state = _steps(model, inner, rank, world, phase)
    torch.save(state, f"{folder}/rank{rank}.pt")
    distributed.destroy_process_group()


def _torchrun(folder: Path, phase: int, attends: bool) -> None:
    """This file as torchrun's script, in two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    process = subprocess.Popen(
        [*command, __file__, str(folder), str(phase), str(int(attends))],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, errors = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the workers, too
        raise
    assert process.returncode == 0, errors


@pytest.mark.filterwarnings("ignore:.*is attention, which stays float")
@pytest.mark.parametrize("attends", [False, True])
@pytest.mark.parametrize("phase", [1, 2])
def test_two_processes_are_one_with_the_same_batch(
    phase: int, attends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _torchrun(tmp_path, phase, attends)
    first, second = (torch.load(tmp_path / f"rank{r}.pt", weights_only=True) for r in (0, 1))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    monkeypatch.setattr(sysmol_layers, "uniform_noise", _still_noise)
    model = network(phase, attends=attends)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    alone = _steps(model, model, 0, 1, phase)
    moved = [name for name, value in alone.items() if not torch.equal(value, start[name])]
    assert any(name.endswith("weight") for name in moved)
    assert attends or any(name.endswith("running_var") for name in moved)
    if phase == 1:
        assert any(name.endswith(".s") for name in moved)
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=2e-5, msg=name)


def test_synchronized_batch_norm_alone_is_the_plain_one() -> None:
    x = batch()[0]
    plain, synced = PreResNet(1, (4, 4, 4)), None
    synced = synchronize(copy.deepcopy(plain))
    assert torch.equal(plain(x), synced(x))
    assert plain.state_dict().keys() == synced.state_dict().keys()
    assert sysmol.prepare(synced) is not None
    rows = torch.rand(6, 4)
    norm = nn.BatchNorm1d(4)
    assert torch.equal(synchronize(copy.deepcopy(norm))(rows), norm(rows))


if __name__ == "__main__":
    _process(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "1")
