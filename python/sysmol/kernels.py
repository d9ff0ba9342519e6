"""The activation quantizers of training, each as one pass over memory, for GPUs.

They compute what :mod:`sysmol.layers` does on a CPU. Without Triton, or with ``fused=False``, the
same formulas run as plain tensor operations; nothing here ever waits for the device, so that a
training step can be captured as a CUDA graph. The Triton kernels have not yet run on a GPU;
``python -m sysmol.experiments --self-test`` compares them with the plain formulas there.
"""

from __future__ import annotations

from typing import Any

import torch

try:
    import triton  # type: ignore[import-not-found, unused-ignore]
    import triton.language as tl  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    triton = None

__all__ = ["available", "noisy_relu", "preferred", "quant_relu"]

_TILE = 4096  # elements that one program handles


def available() -> bool:
    """Whether the fused kernels can be used."""
    return triton is not None


def preferred(x: torch.Tensor) -> bool:
    """Whether layers should quantize ``x`` here: wherever waiting for the device costs time."""
    return x.device.type != "cpu"


if triton is not None:

    def _jit(*names: str) -> Any:
        """Compile once, wherever in a larger tensor the named ones begin."""
        return triton.jit(do_not_specialize_on_alignment=list(names))

    @triton.jit  # type: ignore[untyped-decorator, unused-ignore]
    def _tile(rows, C, ROWS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]
        row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
        channel = tl.arange(0, CHANNELS)
        mask = (row[:, None] < rows) & (channel[None, :] < C)
        return row[:, None] * C + channel[None, :], channel, mask

    @_jit("alpha_ptr", "top_ptr")  # type: ignore[untyped-decorator, unused-ignore]
    def _quant_forward(  # type: ignore[no-untyped-def]
        x_ptr, alpha_ptr, top_ptr, y_ptr, rows, C, ROWS: tl.constexpr, CHANNELS: tl.constexpr
    ):
        offset, channel, mask = _tile(rows, C, ROWS, CHANNELS)
        alpha = tl.load(alpha_ptr)
        top = tl.load(top_ptr + channel, mask=channel < C, other=1.0)[None, :]
        x = tl.load(x_ptr + offset, mask=mask, other=0.0).to(tl.float32)
        code = tl.minimum(tl.maximum(x * (top / alpha), 0.0), top)
        # Adding 1.5 * 2^23 rounds to integers, half to even.
        code = (code + 12582912.0) - 12582912.0
        tl.store(y_ptr + offset, (code * (alpha / top)).to(y_ptr.dtype.element_ty), mask=mask)

    @_jit("alpha_ptr", "top_ptr")  # type: ignore[untyped-decorator, unused-ignore]
    def _quant_backward(  # type: ignore[no-untyped-def]
        g_ptr,
        x_ptr,
        alpha_ptr,
        top_ptr,
        gx_ptr,
        sum_ptr,
        rows,
        C,
        ROWS: tl.constexpr,
        CHANNELS: tl.constexpr,
    ):
        offset, channel, mask = _tile(rows, C, ROWS, CHANNELS)
        alpha = tl.load(alpha_ptr)
        top = tl.load(top_ptr + channel, mask=channel < C, other=1.0)[None, :]
        x = tl.load(x_ptr + offset, mask=mask, other=0.0).to(tl.float32)
        g = tl.load(g_ptr + offset, mask=mask, other=0.0).to(tl.float32)
        inside = (x > 0.0) & (x < alpha)
        gx = tl.where(inside, g, 0.0)
        code = tl.minimum(tl.maximum(x * (top / alpha), 0.0), top)
        code = (code + 12582912.0) - 12582912.0
        error = (code * (alpha / top) - x) / alpha
        part = gx * error + tl.where(x > alpha, g, 0.0)
        tl.store(gx_ptr + offset, gx.to(gx_ptr.dtype.element_ty), mask=mask)
        tl.store(sum_ptr + tl.program_id(0), tl.sum(tl.sum(part, 1), 0))

    @_jit("alpha_ptr", "sigma_ptr")  # type: ignore[untyped-decorator, unused-ignore]
    def _noisy_forward(  # type: ignore[no-untyped-def]
        x_ptr,
        alpha_ptr,
        sigma_ptr,
        noise_ptr,
        y_ptr,
        rows,
        C,
        ROWS: tl.constexpr,
        CHANNELS: tl.constexpr,
    ):
        offset, channel, mask = _tile(rows, C, ROWS, CHANNELS)
        alpha = tl.load(alpha_ptr)
        sigma = tl.load(sigma_ptr + channel, mask=channel < C, other=0.0)[None, :]
        x = tl.load(x_ptr + offset, mask=mask, other=0.0).to(tl.float32)
        noise = (tl.load(noise_ptr + offset, mask=mask, other=0).to(tl.float32) + 0.5) / 128.0
        y = tl.minimum(tl.maximum(x, 0.0), alpha) + alpha * sigma * 0.5 * noise
        tl.store(y_ptr + offset, y.to(y_ptr.dtype.element_ty), mask=mask)

    @_jit("alpha_ptr")  # type: ignore[untyped-decorator, unused-ignore]
    def _noisy_backward(  # type: ignore[no-untyped-def]
        g_ptr,
        x_ptr,
        alpha_ptr,
        noise_ptr,
        gx_ptr,
        sum_ptr,
        width_ptr,
        rows,
        C,
        ROWS: tl.constexpr,
        CHANNELS: tl.constexpr,
    ):
        offset, channel, mask = _tile(rows, C, ROWS, CHANNELS)
        alpha = tl.load(alpha_ptr)
        x = tl.load(x_ptr + offset, mask=mask, other=0.0).to(tl.float32)
        g = tl.load(g_ptr + offset, mask=mask, other=0.0).to(tl.float32)
        noise = (tl.load(noise_ptr + offset, mask=mask, other=0).to(tl.float32) + 0.5) / 128.0
        gx = tl.where((x > 0.0) & (x < alpha), g, 0.0)
        tl.store(gx_ptr + offset, gx.to(gx_ptr.dtype.element_ty), mask=mask)
        clipped = tl.where(x > alpha, g, 0.0)
        tl.store(sum_ptr + tl.program_id(0), tl.sum(tl.sum(clipped, 1), 0))
        width = tl.sum(g * noise, 0)
        tl.store(width_ptr + tl.program_id(0) * C + channel, width, mask=channel < C)


def _layout(x: torch.Tensor) -> torch.Tensor:
    """``x`` with channels innermost in memory."""
    if x.dim() == 4:
        return x.contiguous(memory_format=torch.channels_last)
    return x.contiguous()


def _shape(x: torch.Tensor) -> tuple[int, int, dict[str, int], tuple[int]]:
    """Rows, channels, tile sizes and grid for ``x``."""
    channels = x.shape[1]
    width = triton.next_power_of_2(channels)
    tile = max(1, _TILE // width)
    rows = x.numel() // channels
    return rows, channels, {"ROWS": tile, "CHANNELS": width}, (triton.cdiv(rows, tile),)


def _along(v: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return v.view(1, -1, *([1] * (like.dim() - 2)))


class _QuantRelu(torch.autograd.Function):
    """As :class:`sysmol.layers._QuantRelu`, in binary32 whatever the type of ``x``."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, alpha: torch.Tensor, top: torch.Tensor, fused: bool
    ) -> torch.Tensor:
        x = _layout(x)
        ctx.save_for_backward(x, alpha, top)
        ctx.fused = fused
        if not fused:
            t = _along(top, x)
            code = torch.minimum((x.float() * (t / alpha)).clamp(min=0), t).round()
            return (code * (alpha / t)).to(x.dtype)
        y = torch.empty_like(x)
        rows, channels, sizes, grid = _shape(x)
        _quant_forward[grid](x, alpha, top, y, rows, channels, **sizes)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, alpha, top = ctx.saved_tensors
        g = _layout(gradients[0])
        if not ctx.fused:
            t, v = _along(top, x), x.float()
            gx = g.float() * ((v > 0) & (v < alpha))
            code = torch.minimum((v * (t / alpha)).clamp(min=0), t).round()
            error = (code * (alpha / t) - v) / alpha
            total = (gx * error + g.float() * (v > alpha)).sum()
            return gx.to(x.dtype), total.view_as(alpha), None, None
        gradient = torch.empty_like(x)
        rows, channels, sizes, grid = _shape(x)
        sums = torch.empty(grid, dtype=torch.float32, device=x.device)
        _quant_backward[grid](g, x, alpha, top, gradient, sums, rows, channels, **sizes)
        return gradient, sums.sum().view_as(alpha), None, None


class _NoisyRelu(torch.autograd.Function):
    """As :class:`sysmol.layers._NoisyRelu`; the noise is ``(j + 0.5) / 128`` of given bytes j."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        alpha: torch.Tensor,
        sigma: torch.Tensor,
        j: torch.Tensor,
        fused: bool,
    ) -> torch.Tensor:
        x = _layout(x)
        ctx.save_for_backward(x, alpha, sigma, j)
        ctx.fused = fused
        if not fused:
            width = alpha * _along(sigma, x) / 2
            clipped = torch.minimum(x.float().clamp(min=0), alpha)
            return (clipped + width * _noise(j, x)).to(x.dtype)
        y = torch.empty_like(x)
        rows, channels, sizes, grid = _shape(x)
        _noisy_forward[grid](x, alpha, sigma, j, y, rows, channels, **sizes)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, alpha, sigma, j = ctx.saved_tensors
        g = _layout(gradients[0])
        if not ctx.fused:
            v, h = x.float(), g.float()
            gradient = (h * ((v > 0) & (v < alpha))).to(x.dtype)
            clipped = (h * (v > alpha)).sum()
            width = (h * _noise(j, x)).sum([axis for axis in range(x.dim()) if axis != 1])
        else:
            gradient = torch.empty_like(x)
            rows, channels, sizes, grid = _shape(x)
            sums = torch.empty(grid, dtype=torch.float32, device=x.device)
            widths = torch.empty((*grid, channels), dtype=torch.float32, device=x.device)
            _noisy_backward[grid](g, x, alpha, j, gradient, sums, widths, rows, channels, **sizes)
            clipped, width = sums.sum(), widths.sum(0)
        for_alpha = clipped + (width * sigma).sum() / 2
        return gradient, for_alpha.view_as(alpha), width * (alpha / 2), None, None


def _noise(j: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Bytes in the memory order of ``x`` as its noise."""
    return (torch.as_strided(j, x.shape, x.stride()).float() + 0.5) / 128


def quant_relu(
    x: torch.Tensor, alpha: torch.Tensor, top: torch.Tensor, fused: bool | None = None
) -> torch.Tensor:
    """ReLU and the unsigned grid: straight-through to ``x``, LSQ gradient to ``alpha``.

    Parameters
    ----------
    x : float tensor [N, C] or [N, C, H, W]
    alpha : binary32 scalar tensor
    top : binary32 tensor [C]
        ``2^p - 1`` of each channel.
    fused : bool, optional
        Use the Triton kernels; by default where they exist and ``x`` is on a GPU.
    """
    if fused is None:
        fused = available() and x.is_cuda
    y: torch.Tensor = _QuantRelu.apply(x, alpha, top, fused)  # type: ignore[no-untyped-call]
    return y


def noisy_relu(
    x: torch.Tensor,
    alpha: torch.Tensor,
    sigma: torch.Tensor,
    j: torch.Tensor,
    fused: bool | None = None,
) -> torch.Tensor:
    """``clip(x, 0, alpha) + alpha * sigma / 2 * noise``, with gradients to x, alpha and sigma.

    Parameters
    ----------
    j : int8 tensor [x.numel()]
        Uniform bytes, in the memory order of ``x`` with channels innermost.
    """
    if fused is None:
        fused = available() and x.is_cuda
    y: torch.Tensor = _NoisyRelu.apply(x, alpha, sigma, j, fused)  # type: ignore[no-untyped-call]
    return y
