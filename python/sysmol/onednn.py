"""Around a fault of oneDNN 3.12, as PyTorch 2.13 has it, on CPUs without AVX-512.

There the backward pass of a 1x1 convolution with a stride, of an input in channels-last order,
corrupts memory: the process ends, or never does (seen at 3, 4, 5 and 7 input channels). Residual
networks have such shortcuts::

    x = torch.randn(16, 4, 28, 28).to(memory_format=torch.channels_last).requires_grad_()
    w = torch.randn(8, 4, 1, 1).requires_grad_()
    functional.conv2d(x, w, stride=2).sum().backward()
"""

from __future__ import annotations

import torch

__all__ = ["avoid_fault", "multiplies_bf16"]


def multiplies_bf16(device: str) -> bool:
    """Whether ``device`` has instructions for bfloat16: a CPU without is slower by it."""
    return device != "cpu" or bool(torch.cpu._is_avx512_bf16_supported())


def avoid_fault() -> bool:
    """Leave oneDNN out of this process, where it has the fault.

    PyTorch's own convolutions take its place, 0.4 to 1.4 times as long; not NNPACK's, whose sums of
    integers are not exact (it transforms 3x3 windows in floats). What has a training loop of
    its own on such a CPU calls this before the first step; ``sysmol train`` does.

    Returns
    -------
    bool
        Whether oneDNN is left out.
    """
    if "AVX512" in torch.backends.cpu.get_cpu_capability():
        return False
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    torch.backends.nnpack.set_flags(False)  # type: ignore[no-untyped-call]
    return True
