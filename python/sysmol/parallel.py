"""Batch norm over all processes of a data-parallel run, on CPUs too.

``DistributedDataParallel`` leaves each process its own batch statistics, and PyTorch's
``SyncBatchNorm`` works on GPUs only. After :func:`synchronize`, N processes with a part of a batch
each compute what one process computes with all of it, up to the order of sums::

    model = sysmol.parallel.synchronize(sysmol.prepare(twin))
    model = torch.nn.parallel.DistributedDataParallel(model)

In phase 1 every process draws noise of its own: seed them differently, and the noise on weights is
averaged over processes.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import distributed, nn

__all__ = ["SyncedBatchNorm1d", "SyncedBatchNorm2d", "synchronize"]

M = TypeVar("M", bound=nn.Module)


def _mean(v: torch.Tensor) -> torch.Tensor:
    """Average over processes, differentiable; all of them have equally many images."""
    from torch.distributed.nn import functional

    total: torch.Tensor = functional.all_reduce(v)  # type: ignore[no-untyped-call]
    return total / distributed.get_world_size()


class _Synced(nn.modules.batchnorm._BatchNorm):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, ...] to the same; every process must bring the same N."""
        alone = not (distributed.is_available() and distributed.is_initialized())
        if alone or not self.training or distributed.get_world_size() == 1:
            return super().forward(x)
        shape = (1, -1, *([1] * (x.dim() - 2)))
        axes = (0, *range(2, x.dim()))
        wide = x.float()
        mean = _mean(wide.mean(axes))
        centred = wide - mean.view(shape)
        variance = _mean(centred.square().mean(axes))
        if self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                assert self.num_batches_tracked is not None
                self.num_batches_tracked.add_(1)
                part = self.momentum
                if part is None:
                    part = 1 / float(self.num_batches_tracked)
                count = x.numel() // x.shape[1] * distributed.get_world_size()
                self.running_mean.lerp_(mean, part)
                self.running_var.lerp_(variance * (count / (count - 1)), part)
        y = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)


class SyncedBatchNorm1d(_Synced, nn.BatchNorm1d):
    """Batch norm of [N, C] whose statistics in training are those of all processes' rows."""


class SyncedBatchNorm2d(_Synced, nn.BatchNorm2d):
    """Batch norm whose statistics in training are those of all processes' images."""


_SYNCED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: SyncedBatchNorm1d,
    nn.BatchNorm2d: SyncedBatchNorm2d,
}


def synchronize(model: M) -> M:
    """Let every batch norm of ``model`` count the images of all processes; in place.

    Parameters, buffers and the state dict stay as they are.
    """
    for module in model.modules():
        synced = _SYNCED.get(type(module))
        if synced is not None:
            module.__class__ = synced
    return model
