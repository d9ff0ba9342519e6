"""Around a fault of oneDNN 3.12, as PyTorch 2.13 has it, on CPUs without AVX-512.

There the backward pass of a 1x1 convolution with a stride, of an input in channels-last order,
corrupts memory: the process ends, or never does (seen at 3, 4, 5 and 7 input channels). Residual
networks have such shortcuts::

    x = torch.randn(16, 4, 28, 28).to(memory_format=torch.channels_last).requires_grad_()
    w = torch.randn(8, 4, 1, 1).requires_grad_()
    functional.conv2d(x, w, stride=2).sum().backward()

A convolution without a stride of the pixels that such a window meets is the same, and sound.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

__all__ = ["avoid_fault", "is_strided_pointwise", "multiplies_bf16"]


def multiplies_bf16(device: str) -> bool:
    """Whether ``device`` has instructions for bfloat16: a CPU without is slower by it."""
    return device != "cpu" or bool(torch.cpu._is_avx512_bf16_supported())


def is_strided_pointwise(
    kernel: Sequence[int], stride: Sequence[int], padding: str | Sequence[int]
) -> bool:
    """Whether a convolution reads single pixels, and not all of them."""
    plain = padding == "valid" if isinstance(padding, str) else not any(padding)
    return plain and all(k == 1 for k in kernel) and any(s > 1 for s in stride)


def _pointwise(
    conv: nn.Conv2d, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """In place of ``conv._conv_forward``."""
    if x.device.type != "cpu":
        whole: torch.Tensor = nn.Conv2d._conv_forward(conv, x, weight, bias)
        return whole
    down, right = conv.stride
    return functional.conv2d(x[..., ::down, ::right], weight, bias, groups=conv.groups)


def avoid_fault(model: nn.Module) -> bool:
    """Let ``model``, a float network, be trained where oneDNN has the fault.

    Its ``nn.Conv2d`` of 1x1 with a stride pick their pixels first; ``functional.conv2d`` and
    ``nn.ConvTranspose2d`` are not changed. Prepared networks need no call of this.
    What has a training loop of its own for a float network on such a CPU calls this before the
    first step; ``sysmol train`` does.

    Parameters
    ----------
    model
        Changed in place; its parameters, state dict and values stay as they are.

    Returns
    -------
    bool
        Whether this CPU has the fault. If not, nothing is changed.
    """
    if "AVX512" in torch.backends.cpu.get_cpu_capability():
        return False
    for conv in model.modules():
        if (
            isinstance(conv, nn.Conv2d)
            and type(conv)._conv_forward is nn.Conv2d._conv_forward
            and is_strided_pointwise(conv.kernel_size, conv.stride, conv.padding)
        ):
            conv._conv_forward = functools.partial(_pointwise, conv)  # type: ignore[method-assign]
    return True
