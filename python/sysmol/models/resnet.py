"""ResNet with basic blocks (He et al. 2015, *Deep Residual Learning*), named as in torchvision."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["BasicBlock", "ResNet", "resnet18"]


class BasicBlock(nn.Module):
    """3x3, BN, ReLU, 3x3, BN, plus the shortcut, ReLU.

    Parameters
    ----------
    inputs, outputs, stride : int
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float tensor [N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        y: torch.Tensor = self.relu(out)
        return y


class ResNet(nn.Module):
    """A stem of a 7x7 convolution and a 3x3 max pool, both of stride 2, and stages of blocks.

    State dicts of torchvision's ``resnet18`` and ``resnet34`` fit.

    Parameters
    ----------
    blocks : int or tuple of int
        Blocks in each stage.
    widths : tuple of int
        Channels of the stages.
    channels, classes : int
        Channels of the image, number of logits.
    """

    def __init__(
        self,
        blocks: int | tuple[int, ...] = 2,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        channels: int = 3,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = widths[0]
        counts = (blocks,) * len(widths) if isinstance(blocks, int) else blocks
        self.stages = [f"layer{stage + 1}" for stage in range(len(widths))]
        for stage, (name, width, count) in enumerate(zip(self.stages, widths, counts, strict=True)):
            first = BasicBlock(inputs, width, 2 if stage else 1)
            others = [BasicBlock(width, width, 1) for _ in range(count - 1)]
            self.add_module(name, nn.Sequential(first, *others))
            inputs = width
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [N, channels, H, W] to logits [N, classes]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        logits: torch.Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return logits


def resnet18(classes: int = 1000) -> ResNet:
    """ResNet-18: 224x224x3 images, 11.7 million weights."""
    return ResNet(classes=classes)
