"""What there is to learn: data, network and recipe of each task of ``sysmol train``.

A task is a row of :data:`TASKS`. The stages of :mod:`sysmol.train` and the comparison of
:mod:`sysmol.check` know nothing else of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sysmol import data, words
from sysmol.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["FASHION_MNIST", "TASKS", "WORD_LANGUAGE", "Recipe", "Task", "named"]

Bytes = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """How a task is trained where the command line says nothing.

    Attributes
    ----------
    batch : int
        Samples in a training batch.
    epochs : mapping of str to int
        Epochs of each stage of :data:`sysmol.train.STAGES`.
    rates : mapping of str to float
        Largest learning rate of each stage.
    float_rate : callable
        Factor on the float twin's rate, from the epochs gone by (real) and their number.
    """

    batch: int
    epochs: Mapping[str, int]
    rates: Mapping[str, float]
    float_rate: Callable[[float, int], float]


@dataclass(frozen=True)
class Task:
    """One thing to learn.

    Attributes
    ----------
    name : str
    summary : str
        One line for ``--help``.
    image_shape : tuple of int
        Channels, height and width of the network's input.
    classes : tuple of str
    load : callable
        ``load(split, directory)`` gives samples, uint8 [N, ...], and labels, uint8 [N], of
        ``"train"`` or ``"test"``, from a folder or, for ``None``, from the usual one.
    to_input : callable
        From samples to the network's input, float32 [N, C, H, W] in [0, 1].
    batches : callable
        ``batches(samples, labels, size, generator)`` gives one shuffled epoch of pairs of float32
        [size, C, H, W] and int64 [size].
    model : callable
        A new float network, with weights of PyTorch's random state.
    recipe : Recipe
    """

    name: str
    summary: str
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    load: Callable[[str, Path | None], tuple[Bytes, Bytes]]
    to_input: Callable[[Bytes], Float32]
    batches: Callable[
        [torch.Tensor, torch.Tensor, int, torch.Generator],
        Iterator[tuple[torch.Tensor, torch.Tensor]],
    ]
    model: Callable[[], nn.Module]
    recipe: Recipe


def _cycle(elapsed: float, epochs: int) -> float:
    """The one-cycle rate (Smith 2018) of ``epochs``: linear up for 30 %, then linear to 0."""
    progress = elapsed / epochs
    return progress / 0.3 + 0.01 if progress < 0.3 else (1 - progress) / 0.7


def _short_cycle(elapsed: float, epochs: int) -> float:
    """That of 12 epochs or more, brought to 0 early at the end."""
    return min(_cycle(elapsed, max(12, epochs)), (epochs - elapsed) / 2.8)


def _preresnet20() -> nn.Module:
    from sysmol.models import preresnet20  # PyTorch, which takes seconds

    return preresnet20()


def _wordresnet() -> nn.Module:
    from sysmol.models import wordresnet

    return wordresnet()


FASHION_MNIST = Task(
    name="fashion-mnist",
    summary="pre-activation ResNet-20 on 60,000 images of clothes",
    image_shape=(1, 28, 28),
    classes=data.CLASSES,
    load=data.load,
    to_input=data.to_input,
    batches=data.batches,
    model=_preresnet20,
    recipe=Recipe(
        128,
        {"float": 8, "noise": 3, "finetune": 8},
        {"float": 0.2, "noise": 1e-3, "finetune": 1e-3},
        _short_cycle,
    ),
)

WORD_LANGUAGE = Task(
    name="word-language",
    summary="1-d ResNet on words of ten languages, to tell the language",
    image_shape=(words.LETTERS, 1, words.WIDTH),
    classes=tuple(entry.language for entry in words.LISTS),
    load=words.load,
    to_input=words.to_input,
    batches=words.batches,
    model=_wordresnet,
    recipe=Recipe(
        256,
        {"float": 5, "noise": 3, "finetune": 6},
        {"float": 0.1, "noise": 1e-3, "finetune": 1e-3},
        _cycle,
    ),
)

TASKS = {task.name: task for task in (FASHION_MNIST, WORD_LANGUAGE)}
"""All tasks by name."""


def named(name: str) -> Task:
    """The task of this name; raises UsageError for an unknown one."""
    if name not in TASKS:
        raise UsageError(f"unknown task '{name}'; there are {', '.join(TASKS)}")
    return TASKS[name]
