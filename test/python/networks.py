"""Small networks in the usual ways of writing them, for the tests of several modules."""

from __future__ import annotations

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional

from sysmol.grids import Grid, step, values
from sysmol.layers import ActivationQuant, CarrierQuant
from sysmol.models.resnet import ResNet


def small_resnet() -> nn.Module:
    """One ReLU a block, called twice; sums in place."""
    return ResNet(2, (6, 8), 3, 5)


def _conv_bn(inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """MobileNetV2's block."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.use_res_connect = stride == 1 and inputs == outputs
        layers: list[nn.Module] = []
        if expand != 1:
            layers.append(_conv_bn(inputs, hidden, 1, 1, 1))
        layers += [
            _conv_bn(hidden, hidden, 3, stride, hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = x + self.conv(x) if self.use_res_connect else self.conv(x)
        return y


class MobileNet(nn.Module):
    """MobileNetV2, narrow and short."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _conv_bn(3, 6, 3, 2, 1),
            InvertedResidual(6, 4, 1, 1),
            InvertedResidual(4, 6, 2, 3),
            InvertedResidual(6, 6, 1, 3),
            InvertedResidual(6, 6, 1, 3),
            _conv_bn(6, 16, 1, 1, 1),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(16, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        y: torch.Tensor = self.classifier(torch.flatten(x, 1))
        return y


class LeNet(nn.Module):
    """Biases, functions, and the ReLU behind the pool."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 8, 3)
        self.fc1, self.fc2, self.fc3 = nn.Linear(8 * 4, 20), nn.Linear(20, 12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(functional.max_pool2d(self.conv1(x), 2))
        x = functional.max_pool2d(functional.relu(self.conv2(x)), (2, 2))
        x = x.view(-1, 8 * 4)
        x = functional.relu(self.fc1(x))
        x = functional.dropout(x, 0.3, training=self.training)
        y: torch.Tensor = self.fc3(functional.relu(self.fc2(x)))
        return y


class Vgg(nn.Module):
    """Batch norm, a pool that rounds up, and a pool of the whole image in front of the end."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width, ceil in ((6, False), (8, True), (10, False)):
            layers += [
                nn.Conv2d(inputs, width, 3, padding=1),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(3 if ceil else 2, 2, ceil_mode=ceil),
            ]
            inputs = width
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            nn.Linear(10 * 4, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 5)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.flatten(self.avgpool(self.features(x)), 1)
        y: torch.Tensor = self.classifier(x)
        return y


class Mlp(nn.Module):
    """Linear layers with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(3 * 256, 24, bias=False),
            nn.BatchNorm1d(24),
            nn.ReLU(inplace=True),
            nn.Dropout(0.1),
            nn.Linear(24, 17),
            nn.BatchNorm1d(17, affine=False),
            nn.ReLU(),
            nn.Linear(17, 5),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return y


class Mnist(nn.Module):
    """PyTorch's example."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, 1), nn.Conv2d(8, 10, 3, 1)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(10 * 36, 12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.conv1(x))
        x = functional.relu(self.conv2(x))
        x = self.dropout1(functional.max_pool2d(x, 2))
        x = functional.relu(self.fc1(torch.flatten(x, 1)))
        return functional.log_softmax(self.fc2(self.dropout2(x)), dim=1)


class Forced(fx.Interpreter):
    """Runs the module, but goes on from the integers' values behind every quantizer.

    So each quantizer is compared on equal input, and one tie does not spread through the rest.
    """

    def __init__(self, model: fx.GraphModule, traced: dict[str, np.ndarray]) -> None:
        super().__init__(model)
        self.traced, self.compared, self.differing = traced, 0, 0

    def run_node(self, n: fx.Node) -> torch.Tensor:
        out = super().run_node(n)
        module = self.module.get_submodule(str(n.target)) if n.op == "call_module" else None
        name = n.name
        if isinstance(module, CarrierQuant):
            exact = torch.from_numpy(self.traced[name]).double() * float(module.delta)
            size = np.float64(float(module.delta))
        elif isinstance(module, ActivationQuant):
            shape = (1, -1, *([1] * (out.dim() - 2)))
            name += "_pool" if module.pool is not None else ""
            bits = module.precision.bits.numpy().reshape(shape)
            grid = Grid.MIDRISE if module.signed else Grid.UNSIGNED
            scale = float(module.alpha.detach())
            exact = torch.from_numpy(values(self.traced[name], grid, bits, scale))
            size = step(grid, bits, scale)
        else:
            return out
        x = self.env[n.args[0]].detach()
        if isinstance(module, ActivationQuant) and module.pool is not None:
            x = module.pool(x)
        x = x.numpy() / size
        steps = np.abs((out.detach() - exact).numpy() / size)
        wrong = steps > 1e-3
        # The documented rule: codes differ only where the real value is within 1e-3 steps of a
        # boundary, which lies at halves (or, mid-rise, at integers).
        frac = np.abs(2 * x - np.rint(2 * x)) / 2
        assert (frac[wrong] < 1e-3).all() and steps.max() < 1.001, n.name
        self.compared += wrong.size
        self.differing += int(wrong.sum())
        return exact
