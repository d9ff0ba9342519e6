"""Random codes for a kernel, packed as it wants them, and the integers it must give.

All of it in PyTorch, on any device: on the CPU for the emulator, on the GPU for shapes whose codes
would take the CPU minutes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sysmol.errors import InputRefused
from sysmol.gpu.kernel import Digits, Kernel, Layout, Operation, Output, Segment

__all__ = ["Problem", "compare", "make", "pack", "unpack", "view"]

Tensor = torch.Tensor

# Positions are 64-bit: so many at once take half a gigabyte.
_CHUNK = 1 << 26
_DTYPES = {"i8": torch.int8, "u8": torch.uint8, "i32": torch.int32, "f32": torch.float32}


@dataclass(frozen=True)
class Problem:
    """Contents of the buffers by name, as bytes, and what the output must be."""

    inputs: dict[str, Tensor]
    expected: Tensor


def _positions(digits: Digits, index: Tensor) -> Tensor:
    """What each index of a dimension adds to a bit's address."""
    total = torch.zeros_like(index)
    for size, stride in digits:
        total += (index % size) * stride
        index = index // size
    return total


def pack(
    codes: Tensor,
    bits: int,
    layout: Layout,
    into: Tensor,
    places: Tensor | None = None,
) -> None:
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
    places : Tensor, optional
        The layout's index of every channel, if they are not one after the other.
    """
    device = codes.device
    row = _positions(layout.row, torch.arange(codes.shape[0], device=device)) + layout.base
    k = _positions(
        layout.k, torch.arange(codes.shape[1], device=device) if places is None else places
    )
    b = _positions(layout.b, torch.arange(bits, device=device))
    step = max(1, _CHUNK // codes.shape[1])
    for start in range(0, codes.shape[0], step):
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
    if segment.weight_bits == 8:  # symmetric: its codes are the values
        return torch.zeros(len(weights), dtype=torch.int64, device=weights.device)
    q = 2**segment.weight_bits - 1
    total: Tensor = 2 * q * weights.to(torch.int64).sum(1)
    bias: Tensor = (weights.shape[1] * q * q - total) * segment.multiplier
    return bias


def _sums(operation: Operation, a: Tensor, w: Tensor) -> Tensor:
    """Sums of products [m, n] of values: of pixels [pixels, channels], or of plain rows.

    ``w`` is [n, taps * channels], tap by tap.
    """
    window = operation.window
    if window is None:
        return a @ w.T
    image = a.view(window.images, window.height, window.width, -1).permute(0, 3, 1, 2)
    filters = w.view(operation.n, *window.taps, -1).permute(0, 3, 1, 2)
    ends = [
        (out - 1) * stride + (taps - 1) * dilation + 1 - size - pad
        for out, stride, taps, dilation, size, pad in zip(
            (window.out_height, window.out_width), window.strides, window.taps, window.dilations,
            (window.height, window.width), window.pads, strict=True,
        )
    ]  # fmt: skip
    # Absent taps are zeros on the unsigned grid (HP13).
    image = torch.nn.functional.pad(image, (window.pads[1], ends[1], window.pads[0], ends[0]))
    sums = torch.nn.functional.conv2d(
        image, filters, stride=window.strides, dilation=window.dilations
    )
    return sums.permute(0, 2, 3, 1).reshape(operation.m, operation.n)


def _requantized(operation: Operation, real: Tensor) -> Tensor:
    """Codes by HP15, ``real`` being scaled accumulators."""
    bits = torch.cat(
        [torch.full((part.channels,), part.bits, device=real.device) for part in operation.outputs]
    )
    top = (2**bits - 1).to(torch.float32)
    if operation.output_grid == "unsigned":
        codes = real.round().clamp(min=0).minimum(top)
    else:
        codes = (real.floor() + 2 ** (bits - 1)).clamp(min=0).minimum(top)
        codes = torch.where(bits == 8, real.round().clamp(-127, 127), codes)
    return codes.to(torch.int16).to(torch.uint8)


def _epilogue(
    kernel: Kernel, sums: Tensor, inputs: dict[str, Tensor], generator: torch.Generator
) -> Tensor:
    """From accumulators to results; makes the tables that it needs."""
    operation, device = kernel.operation, sums.device
    if operation.result == "i32":
        return sums
    scales = {"multiplier": 1.0, "offset": 1.0}
    if operation.outputs:  # codes of all sizes, not the ends only
        scales["multiplier"] = 16.0 / max(int(sums.abs().max()), 1)
    real = sums.to(torch.float32)
    for role, apply in (("multiplier", torch.mul), ("offset", torch.add)):
        buffer = kernel.of_role(role)
        if buffer is None:
            continue
        # A block's table may have rows behind the last.
        table = torch.zeros(buffer.bytes // 4, dtype=torch.float32, device=device)
        drawn = torch.rand(operation.n, generator=generator, dtype=torch.float32, device=device)
        table[: operation.n] = drawn * scales[role]
        inputs[buffer.name] = table.view(torch.uint8)
        real = apply(real, table[: operation.n])
    return _requantized(operation, real) if operation.outputs else real


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
    taps = torch.arange(operation.taps, device=device)
    for segment in operation.segments:
        w = _random_codes(
            operation.n, operation.taps * segment.channels, segment.weight_bits,
            operation.weight_grid, generator,
        )  # fmt: skip
        a = _random_codes(
            operation.window.pixels if operation.window else operation.m, segment.channels,
            segment.activation_bits, operation.activation_grid, generator,
        )  # fmt: skip
        places = torch.tensor(segment.places, device=device)
        inner = (taps[:, None] * segment.tap_channels + places).flatten()
        pack(w, segment.weight_bits, segment.weights, room(segment.weights), inner)
        pack(a, segment.activation_bits, segment.activations, room(segment.activations), places)
        sums += segment.multiplier * _sums(
            operation,
            _values(a, segment.activation_bits, operation.activation_grid),
            _values(w, segment.weight_bits, operation.weight_grid),
        )
        bias += _row_bias(segment, w)

    inputs = {name: _to_bytes(values) for name, values in bits.items()}
    buffer = kernel.of_role("row_bias")
    if buffer is not None:
        table = torch.zeros(buffer.bytes // 4, dtype=torch.int32, device=device)
        table[: operation.n] = bias.to(torch.int32)
        inputs[buffer.name] = table.view(torch.uint8)
    accumulators = sums.to(torch.int64).to(torch.int32)
    return Problem(inputs, _epilogue(kernel, accumulators, inputs, generator))


def view(kernel: Kernel, memory: Tensor) -> Tensor:
    """The results [m, n] from the output's bytes."""
    operation, buffer = kernel.operation, kernel.output
    if operation.outputs:
        return torch.cat([unpack(memory, operation.m, part) for part in operation.outputs], 1)
    if buffer.element not in _DTYPES:
        raise InputRefused(f"output '{buffer.name}' has elements '{buffer.element}'")
    elements = memory.view(_DTYPES[buffer.element])
    return elements.as_strided(buffer.shape, buffer.strides)


def unpack(memory: Tensor, rows: int, part: Output) -> Tensor:
    """The codes [rows, channels] of one precision, uint8, from a buffer's bytes."""
    device, layout = memory.device, part.codes
    row = _positions(layout.row, torch.arange(rows, device=device)) + layout.base
    place = row[:, None] + _positions(layout.k, torch.tensor(part.places, device=device))
    codes = torch.zeros(place.shape, dtype=torch.uint8, device=device)
    for bit, offset in enumerate(_positions(layout.b, torch.arange(part.bits, device=device))):
        at = place + offset
        codes |= ((memory.view(torch.uint8)[at // 8] >> (at % 8).to(torch.uint8)) & 1) << bit
    return codes


def compare(kernel: Kernel, problem: Problem, memory: Tensor) -> str | None:
    """Compare the output's bytes, every element bit for bit; gives the first difference or None."""
    found = view(kernel, memory)
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
    shown = view(kernel, memory)[at].item()
    return (
        f"{count} of {found.numel()} outputs differ, first at {list(at)}: "
        f"{shown}, must be {problem.expected[at].item()}"
    )
