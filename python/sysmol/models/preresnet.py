"""Pre-activation ResNet (He et al. 2016, *Identity Mappings*) on images and on words."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Block", "PreResNet", "WordResNet", "preresnet18", "preresnet20", "wordresnet"]


class Block(nn.Module):
    """BN, ReLU, 3x3, BN, ReLU, 3x3, plus the shortcut.

    A block that changes shape takes its 1x1 shortcut from the *same* activation as its first 3x3,
    so that one quantized tensor, with one set of channel precisions, feeds both.

    Parameters
    ----------
    inputs, outputs, stride : int
    height : int
        Of the kernels; 1 for sequences, which are images of one row.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, height: int = 3) -> None:
        super().__init__()
        kernel, padding = (height, 3), (height // 2, 1)
        strides = (stride if height > 1 else 1, stride)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, outputs, kernel, strides, padding, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, kernel, 1, padding, bias=False)
        self.shortcut: nn.Conv2d | None = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, strides, 0, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float tensor [N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        a = self.relu1(self.bn1(x))
        h: torch.Tensor = self.conv2(self.relu2(self.bn2(self.conv1(a))))
        return h + (x if self.shortcut is None else self.shortcut(a))


def _initialize(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class _BlocksNet(nn.Module):
    """A first convolution, ``blocks``, and what follows them: BN, ReLU, average, logits."""

    conv: nn.Module
    blocks: nn.Sequential

    def _end(self, inputs: int, classes: int) -> None:
        self.bn = nn.BatchNorm2d(inputs)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(inputs, classes)
        _initialize(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [N, channels, H, W] to logits [N, classes]."""
        x = self.relu(self.bn(self.blocks(self.conv(x))))
        logits: torch.Tensor = self.fc(self.flatten(self.pool(x)))
        return logits


class PreResNet(_BlocksNet):
    """Pre-activation ResNet of depth ``2 * stages * blocks + 2``.

    Parameters
    ----------
    blocks : int
        Blocks in each stage (ResNet-20: 3, ResNet-18: 2).
    widths : tuple of int
        Channels of the stages.
    channels, classes : int
        Channels of the image, number of logits.
    large_images : bool
        The stem of ImageNet's form, a quarter of the size: 7x7 with stride 2, BN, ReLU, and an
        *average* pool 3x3 with stride 2 in the place of the maximum.
    """

    def __init__(
        self,
        blocks: int = 3,
        widths: tuple[int, ...] = (16, 32, 64),
        channels: int = 1,
        classes: int = 10,
        large_images: bool = False,
    ) -> None:
        super().__init__()
        self.conv: nn.Module = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        if large_images:
            self.conv = nn.Sequential(
                nn.Conv2d(channels, widths[0], 7, 2, 3, bias=False),
                nn.BatchNorm2d(widths[0]),
                nn.ReLU(),
                nn.AvgPool2d(3, 2, 1),
            )
        layers: list[nn.Module] = []
        inputs = widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                layers.append(Block(inputs, width, 2 if stage > 0 and block == 0 else 1))
                inputs = width
        self.blocks = nn.Sequential(*layers)
        self._end(inputs, classes)


class WordResNet(_BlocksNet):
    """The same blocks on sequences: 1x3 convolutions over images of one row.

    Parameters
    ----------
    letters, classes : int
        Channels of the image, number of logits.
    widths : tuple of int
        Channels of the stages, each of two blocks; the second stage and later halve the length.
    """

    def __init__(self, letters: int, classes: int, widths: tuple[int, ...] = (48, 64, 128)) -> None:
        super().__init__()
        self.conv = nn.Conv2d(letters, widths[0], (1, 3), 1, (0, 1), bias=False)
        blocks: list[nn.Module] = []
        inputs = widths[0]
        for stage, width in enumerate(widths):
            blocks.append(Block(inputs, width, 2 if stage else 1, height=1))
            blocks.append(Block(width, width, 1, height=1))
            inputs = width
        self.blocks = nn.Sequential(*blocks)
        self._end(inputs, classes)


def preresnet20() -> PreResNet:
    """The network of the demo: 28x28x1 images, ten classes, about 272,000 weights."""
    return PreResNet()


def preresnet18(classes: int = 1000) -> PreResNet:
    """ResNet-18 in its pre-activation form: 224x224x3 images, 11.7 million weights."""
    return PreResNet(2, (64, 128, 256, 512), 3, classes, large_images=True)


def wordresnet() -> WordResNet:
    """The network of the task word-language: 64x1x16 images, ten classes, 268,000 weights."""
    return WordResNet(64, 10)
