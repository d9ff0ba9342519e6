"""Random codes for a kernel, packed as it wants them, and the integers it must give.

All of it in PyTorch, on any device: on the CPU for the emulator, on the GPU for shapes whose codes
would take the CPU minutes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sysmol.errors import InputRefused
from sysmol.gpu.kernel import Buffer, Digits, Kernel, Layout, Operation, Segment

__all__ = ["Problem", "compare", "make", "pack"]

Tensor = torch.Tensor

# Positions are 64-bit: so many at once take half a gigabyte.
_CHUNK = 1 << 26
_DTYPES = {"i8": torch.int8, "u8": torch.uint8, "i32": torch.int32, "f32": torch.float32}


@dataclass(frozen=True)
class Problem:
    """Contents of the buffers by name, as bytes, and what the output must be."""

    inputs: dict[str, Tensor]
    expected: Tensor


def _positions(digits: Digits, extent: int, device: torch.device) -> Tensor:
    """What each index of a dimension adds to a bit's address."""
    index = torch.arange(extent, device=device)
    total = torch.zeros_like(index)
    for size, stride in digits:
        total += (index % size) * stride
        index = index // size
    return total


def pack(codes: Tensor, bits: int, layout: Layout, into: Tensor) -> None:
    """Spread codes over single bits.

    Parameters
    ----------
    codes : Tensor
        [rows, channels], uint8.
    bits : int
        Of a code.
    layout : Layout
        Where they go.
    into : Tensor
        uint8, one element a bit of the buffer; only the codes' bits are written.
    """
    rows, channels = codes.shape
    row = _positions(layout.row, rows, codes.device) + layout.base
    k = _positions(layout.k, channels, codes.device)
    b = _positions(layout.b, bits, codes.device)
    step = max(1, _CHUNK // channels)
    for start in range(0, rows, step):
        part = codes[start : start + step]
        place = row[start : start + step, None] + k[None, :]
        for bit in range(bits):
            into[place + b[bit]] = (part >> bit) & 1


def _to_bytes(bits: Tensor) -> Tensor:
    """Eight elements to a byte, the first in the lowest bit."""
    groups = bits.view(-1, 8)
    total: Tensor = groups[:, 0].clone()
    for bit in range(1, 8):
        total |= groups[:, bit] << bit
    return total


def _values(codes: Tensor, bits: int, grid: str) -> Tensor:
    """The integers that codes stand for."""
    wide = codes.to(torch.float64)
    if grid == "unsigned":
        return wide
    if bits == 8:
        return torch.where(wide > 127, wide - 256, wide)
    if grid == "midrise":
        odd: Tensor = wide * 2 + (1 - 2**bits)
        return odd
    raise InputRefused(f"grid '{grid}' has no codes of {bits} bits")


def _random_codes(
    rows: int, channels: int, bits: int, grid: str, generator: torch.Generator
) -> Tensor:
    codes = torch.randint(
        0, 2**bits, (rows, channels), generator=generator, dtype=torch.uint8,
        device=generator.device,
    )  # fmt: skip
    if bits == 8 and grid != "unsigned":
        codes[codes == 128] = 0  # -128 is not on the grid
    return codes


def _row_bias(segment: Segment, weights: Tensor) -> Tensor:
    """What the unsigned products of a mid-rise segment lack: (2a - q)(2w - q) - 4aw + 2qa."""
    q = 2**segment.weight_bits - 1
    total: Tensor = 2 * q * weights.to(torch.int64).sum(1)
    bias: Tensor = (segment.channels * q * q - total) * segment.multiplier
    return bias


def _epilogue(
    kernel: Kernel, sums: Tensor, inputs: dict[str, Tensor], generator: torch.Generator
) -> Tensor:
    """From accumulators to results; makes the tables that it needs."""
    operation, device = kernel.operation, sums.device
    if operation.result == "i32":
        return sums
    if operation.result == "f32":
        real = sums.to(torch.float32)
        for role, apply in (("multiplier", torch.mul), ("offset", torch.add)):
            buffer = kernel.of_role(role)
            if buffer is None:
                continue
            table = torch.rand(operation.n, generator=generator, dtype=torch.float32, device=device)
            inputs[buffer.name] = table.view(torch.uint8)
            real = apply(real, table)
        return real
    buffer = kernel.of_role("thresholds")
    if buffer is None:
        raise InputRefused(f"{kernel.path}: codes need a buffer of the role 'thresholds'")
    levels = buffer.bytes // 4 // operation.n
    spread = max(int(sums.abs().max()), 1)
    table = torch.randint(
        -spread, spread, (operation.n, levels), generator=generator, dtype=torch.int32,
        device=device,
    )  # fmt: skip
    table = table.sort(1).values
    inputs[buffer.name] = table.contiguous().view(torch.uint8).view(-1)
    codes = torch.zeros(sums.shape, dtype=torch.uint8, device=device)
    for level in range(levels):
        codes += (sums > table[:, level]).to(torch.uint8)
    return codes


def make(kernel: Kernel, seed: int, device: str | torch.device = "cpu") -> Problem:
    """Draw codes, pack them, and compute the result in exact arithmetic.

    Parameters
    ----------
    kernel : Kernel
        For which.
    seed : int
        Of the codes and tables.
    device : str or torch.device
        Where.

    Returns
    -------
    Problem
    """
    operation: Operation = kernel.operation
    device = torch.device(device)
    generator = torch.Generator(device=device).manual_seed(seed)
    bits: dict[str, Tensor] = {}

    def room(layout: Layout) -> Tensor:
        if layout.buffer not in bits:
            size = 8 * kernel.buffers[layout.buffer].bytes
            bits[layout.buffer] = torch.zeros(size, dtype=torch.uint8, device=device)
        return bits[layout.buffer]

    # Below 2^53 all sums are exact in float64, whose products GPUs compute fast.
    sums = torch.zeros(operation.m, operation.n, dtype=torch.float64, device=device)
    bias = torch.zeros(operation.n, dtype=torch.int64, device=device)
    for segment in operation.segments:
        w = _random_codes(
            operation.n, segment.channels, segment.weight_bits, operation.weight_grid, generator
        )
        a = _random_codes(
            operation.m, segment.channels, segment.activation_bits, operation.activation_grid,
            generator,
        )  # fmt: skip
        pack(w, segment.weight_bits, segment.weights, room(segment.weights))
        pack(a, segment.activation_bits, segment.activations, room(segment.activations))
        product = (
            _values(a, segment.activation_bits, operation.activation_grid)
            @ _values(w, segment.weight_bits, operation.weight_grid).T
        )
        sums += segment.multiplier * product
        bias += _row_bias(segment, w)

    inputs = {name: _to_bytes(values) for name, values in bits.items()}
    buffer = kernel.of_role("row_bias")
    if buffer is not None:
        inputs[buffer.name] = bias.to(torch.int32).view(torch.uint8)
    accumulators = sums.to(torch.int64).to(torch.int32)
    return Problem(inputs, _epilogue(kernel, accumulators, inputs, generator))


def view(buffer: Buffer, memory: Tensor) -> Tensor:
    """The elements of an output in its shape, from its bytes."""
    if buffer.element not in _DTYPES:
        raise InputRefused(f"output '{buffer.name}' has elements '{buffer.element}'")
    elements = memory.view(_DTYPES[buffer.element])
    return elements.as_strided(buffer.shape, buffer.strides)


def compare(kernel: Kernel, problem: Problem, memory: Tensor) -> str | None:
    """Compare the output's bytes, every element bit for bit; gives the first difference or None."""
    found = view(kernel.output, memory)
    expected = problem.expected
    if kernel.operation.result == "f32":
        found, expected = found.view(torch.int32), expected.view(torch.int32)
    if found.shape != expected.shape:
        return f"output has shape {list(found.shape)}, not {list(expected.shape)}"
    wrong = found != expected.to(found.dtype)
    count = int(wrong.sum())
    if not count:
        return None
    at = tuple(int(i) for i in wrong.nonzero()[0])
    shown = view(kernel.output, memory)[at].item()
    return (
        f"{count} of {found.numel()} outputs differ, first at {list(at)}: "
        f"{shown}, must be {problem.expected[at].item()}"
    )
