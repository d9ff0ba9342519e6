"""No strided 1x1 convolution is left where oneDNN would corrupt memory."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import sysmol
from sysmol.onednn import avoid_fault
from sysmol.posttraining import sensitivity
from sysmol.prepare import calibrate


class _Strided1x1(TorchDispatchMode):
    """Counts what has the fault: gradients of 1x1 convolutions with a stride."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.others = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution_backward.default:
            weight, stride = args[2], args[4]
            strided = tuple(weight.shape[2:]) == (1, 1) and max(stride) > 1
            self.count += strided
            self.others += not strided
        return func(*args, **(kwargs or {}))


class _Shortcuts(nn.Module):
    """A wide stride, groups, a bias."""

    def __init__(self, padding: str | int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.relu = nn.ReLU()
        self.wide = nn.Conv2d(6, 8, 1, 3, bias=False)
        self.grouped = nn.Conv2d(6, 8, 1, 3, padding, groups=2)
        self.flatten = nn.Flatten()
        self.last = nn.Linear(8 * 9, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.first(x))
        x = self.wide(x) + self.grouped(x)
        logits: torch.Tensor = self.last(self.flatten(self.relu(x)))
        return logits


def _gradients(model: nn.Module, x: torch.Tensor) -> tuple[int, list[torch.Tensor]]:
    leaf = x.clone().requires_grad_()
    with _Strided1x1() as mode:
        model(leaf).square().sum().backward()
    assert mode.others > 0
    return mode.count, [leaf.grad, *(p.grad for p in model.parameters())]  # type: ignore[list-item]


def test_float_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    # Rows before channels: in that order PyTorch's own gradient is sound.
    model, x = _Shortcuts("valid"), torch.rand(2, 3, 9, 8)
    other = copy.deepcopy(model)
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
    assert not avoid_fault(model)
    count, expected = _gradients(model, x)
    assert count == 2
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX2")
    assert avoid_fault(other)
    for changed in (other, copy.deepcopy(other)):
        changed.zero_grad()
        count, found = _gradients(changed, x)
        assert count == 0
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b)
        model.load_state_dict(changed.state_dict())
    with torch.no_grad():  # the copy reads its own weights
        changed.wide.weight.zero_()
        assert not torch.equal(changed(x), other(x))


def test_prepared_networks() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 3, 9, 8)
    model = sysmol.prepare(_Shortcuts())
    calibrate(model, x)
    count, _ = _gradients(model.train(), x)
    assert count == 0
    with _Strided1x1() as mode:
        assert sensitivity(model, x, (2, 4))
    assert mode.count == 0 and mode.others > 0


_STEPS = """
import torch
from torch import nn
from sysmol.onednn import avoid_fault

torch.manual_seed(0)
for channels in (3, 4, 5, 7):
    model = nn.Sequential(nn.Conv2d(channels, 8, 1, 2))
    exact = nn.Sequential(nn.Conv2d(channels, 8, 1, 2)).double()
    exact.load_state_dict(model.state_dict())
    avoid_fault(model.to(memory_format=torch.channels_last))
    for _ in range(10):
        x = torch.randn(16, channels, 28, 28)
        leaves = [
            x.to(memory_format=torch.channels_last).requires_grad_(),
            x.double().requires_grad_(),
        ]
        for network, leaf in zip((model, exact), leaves, strict=True):
            network.zero_grad()
            network(leaf).square().sum().backward()
        torch.testing.assert_close(leaves[0].grad.double(), leaves[1].grad, rtol=1e-3, atol=1e-3)
        for a, b in zip(model.parameters(), exact.parameters(), strict=True):
            torch.testing.assert_close(a.grad.double(), b.grad, rtol=1e-3, atol=1e-2)
print("lived")
"""


def test_steps_in_channels_last_order_are_right_and_lived_through() -> None:
    # In a process of its own: the fault would end it, or never let it end.
    done = subprocess.run(
        [sys.executable, "-c", _STEPS], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "lived\n"), done.stderr
