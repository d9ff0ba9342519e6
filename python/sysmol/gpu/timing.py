"""Times on the GPU: CUDA graphs of several launches, replayed in turns."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from sysmol.errors import SysmolError
from sysmol.gpu.device import Device, Function, Launch
from sysmol.gpu.kernel import Kernel, Operation

__all__ = [
    "Bound",
    "Times",
    "copies_for",
    "in_current_stream",
    "interleaved",
    "peers",
    "read_function",
]

Tensor = torch.Tensor
Call = Callable[[], object]

_GRAPH_MS = 1.0
_MAX_CALLS = 64

#: A case: its calls, run one after another in a graph; each counts as one.
Cases = Mapping[str, Sequence[Call]]


@dataclass(frozen=True)
class Times:
    """Microseconds of one call: the smallest and the median over the rounds.

    ``graph`` says whether calls were captured; else Python starts each, which small kernels feel.
    """

    minimum: float
    median: float
    rounds: int
    graph: bool


class _Plain:
    """Stands for a graph where a capture is refused."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls

    def replay(self) -> None:
        for call in self.calls:
            call()


def _graph(calls: Sequence[Call]) -> torch.cuda.CUDAGraph | _Plain:
    """Capture calls; they run once before, so that no allocation or load is captured."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for call in calls:
            call()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            for call in calls:
                call()
    except (RuntimeError, SysmolError):
        torch.cuda.synchronize()
        return _Plain(calls)
    return graph


def interleaved(cases: Cases, rounds: int = 15, milliseconds: float = 4.0) -> dict[str, Times]:
    """Replay each case's graph in turns, so that all meet the same clocks and neighbours.

    Parameters
    ----------
    cases : dict of str to sequence of callable
        Calls of each; a graph repeats them.
    rounds : int
        Turns.
    milliseconds : float
        How long a turn of a case should take at least.

    Returns
    -------
    dict of str to Times
    """
    start, end = (
        torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        for _ in range(2)
    )

    def timed(graph: torch.cuda.CUDAGraph | _Plain, repeats: int) -> float:
        graph.replay()
        start.record()
        for _ in range(repeats):
            graph.replay()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))

    graphs: dict[str, tuple[torch.cuda.CUDAGraph | _Plain, int, int]] = {}
    for name, calls in cases.items():
        graph = _graph(calls)
        once = max(timed(graph, 1), 1e-3)
        # Between two graphs the GPU idles for a moment: make that small against a graph.
        passes = min(math.ceil(_GRAPH_MS / once), math.ceil(_MAX_CALLS / len(calls)))
        if passes > 1:
            graph = _graph([*calls] * passes)
            once = max(timed(graph, 1), 1e-3)
        count = len(calls) * max(passes, 1)
        graphs[name] = (graph, count, max(1, round(milliseconds / once)))
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (graph, count, repeats) in graphs.items():
            taken[name].append(timed(graph, repeats) * 1000 / (count * repeats))
    return {
        name: Times(
            min(values), statistics.median(values), rounds, not isinstance(graphs[name][0], _Plain)
        )
        for name, values in taken.items()
    }


def in_current_stream(launch: Launch) -> Call:
    """A launch into the stream that PyTorch uses when it is called."""
    return lambda: launch(torch.cuda.current_stream().cuda_stream)


def copies_for(size: int, l2_bytes: int) -> int:
    """How many copies of a tensor make a round trip longer than the L2 cache."""
    return max(2, -(-4 * l2_bytes // max(size, 1)) + 1) if size < 4 * l2_bytes else 2


def _rotated(size: int, l2_bytes: int, make: Callable[[], Tensor]) -> list[Tensor]:
    count = min(copies_for(size, l2_bytes), 16)
    first = make()
    return [first, *(first.clone() for _ in range(count - 1))]


def peers_of(operation: Operation, l2_bytes: int) -> dict[str, list[Call]]:
    """What PyTorch offers for the same operation: `peers`, or ``fp16`` of a convolution (cuDNN)."""
    window = operation.window
    if window is None:
        return peers(operation.m, operation.n, operation.k, l2_bytes)
    layout: Any = {"device": "cuda", "dtype": torch.float16}
    image = torch.randn(window.images, operation.k, window.height, window.width, **layout)
    image = image.to(memory_format=torch.channels_last)
    filters = torch.randn(operation.n, operation.k, *window.taps, **layout)
    filters = (filters / (operation.k * operation.taps) ** 0.5).to(
        memory_format=torch.channels_last
    )
    torch.backends.cudnn.benchmark = True
    convolve = partial(
        torch.nn.functional.conv2d, image, stride=window.strides, padding=window.pads,
        dilation=window.dilations,
    )  # fmt: skip
    copies = _rotated(2 * filters.numel(), l2_bytes, lambda: filters)
    return {"fp16": [partial(convolve, weight=copy) for copy in copies]}


def peers(m: int, n: int, k: int, l2_bytes: int) -> dict[str, list[Call]]:
    """What PyTorch (cuBLAS) offers for the same product, over rotated weights.

    Returns
    -------
    dict of str to list of callable
        ``fp16`` always; ``fp16-mv`` for one row; ``int8`` where ``torch._int_mm`` takes the shape.
    """

    def rotated(size: int, make: Callable[[], Tensor]) -> list[Tensor]:
        return _rotated(size, l2_bytes, make)

    found: dict[str, list[Call]] = {}
    a = torch.randn(m, k, device="cuda", dtype=torch.float16)
    weights = rotated(
        2 * n * k, lambda: torch.randn(n, k, device="cuda", dtype=torch.float16) / k**0.5
    )
    out = torch.empty(m, n, device="cuda", dtype=torch.float16)
    found["fp16"] = [partial(torch.mm, a, w.t(), out=out) for w in weights]
    if m == 1:
        row, flat = out.view(-1), a.view(-1)
        found["fp16-mv"] = [partial(torch.mv, w, flat, out=row) for w in weights]
    if m > 16 and n % 8 == 0 and k % 8 == 0:
        a8 = torch.randint(-127, 128, (m, k), device="cuda", dtype=torch.int8)
        weights8 = rotated(
            n * k, lambda: torch.randint(-127, 128, (n, k), device="cuda", dtype=torch.int8)
        )
        found["int8"] = [partial(torch._int_mm, a8, w.t()) for w in weights8]
    return found


class Bound:
    """A kernel on the GPU with its buffers: rotated weights, the rest once."""

    def __init__(self, device: Device, kernel: Kernel, inputs: Mapping[str, Tensor]) -> None:
        self.kernel = kernel
        self.device = device
        module = device.load(kernel.ptx.read_bytes(), kernel.ptx.name)
        self.functions: list[Function] = [module.function(x.entry) for x in kernel.launches]
        self.memory = {
            name: inputs[name] if name in inputs else self._empty(buffer.bytes)
            for name, buffer in kernel.buffers.items()
        }

    @staticmethod
    def _empty(size: int) -> Tensor:
        return torch.full((max(size, 1),), 0xCD, dtype=torch.uint8, device="cuda")

    @property
    def output(self) -> Tensor:
        """The output's bytes."""
        return self.memory[self.kernel.output.name]

    def call(self, weights: Tensor | None = None) -> Call:
        """A call of all launches, with its own weights if given; in PyTorch's current stream."""
        memory = dict(self.memory)
        buffer = self.kernel.of_role("weights")
        if weights is not None and buffer is not None:
            memory[buffer.name] = weights
        zeroed = [memory[x.name] for x in self.kernel.buffers.values() if x.zero]
        launches = [
            function.prepare(
                launch.grid,
                launch.block,
                [memory[x] if isinstance(x, str) else x for x in launch.arguments],
                launch.shared_bytes,
            )
            for function, launch in zip(self.functions, self.kernel.launches, strict=True)
        ]

        def run() -> None:
            stream = torch.cuda.current_stream().cuda_stream
            for tensor in zeroed:
                tensor.zero_()
            for launch in launches:
                launch(stream)

        return run

    def rotated(self, l2_bytes: int) -> list[Call]:
        """Calls over as many copies of the weights as the L2 cache cannot hold."""
        buffer = self.kernel.of_role("weights")
        if buffer is None:
            return [self.call()]
        first = self.memory[buffer.name]
        count = min(copies_for(buffer.bytes, l2_bytes), 16)
        return [self.call(), *(self.call(first.clone()) for _ in range(count - 1))]

    def facts(self) -> dict[str, Any]:
        """Registers, shared and local memory, and blocks a multiprocessor, of each launch."""
        return {
            function.name: {
                "registers": function.registers,
                "local_bytes": function.local_bytes,
                "shared_bytes": function.shared_bytes + launch.shared_bytes,
                "blocks_per_multiprocessor": function.blocks_per_multiprocessor(
                    int(np.prod(launch.block)), launch.shared_bytes
                ),
            }
            for function, launch in zip(self.functions, self.kernel.launches, strict=True)
        }


_READ = """
.version 8.0
.target {arch}
.address_size 64
.visible .entry read(.param .u64 in, .param .u64 out, .param .u32 rounds)
.maxntid 256, 1, 1
{{
.reg .pred %p; .reg .b64 %rd<6>; .reg .b32 %r<40>;
ld.param.u64 %rd0, [in]; ld.param.u64 %rd1, [out]; ld.param.u32 %r0, [rounds];
mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %nctaid.x;
mul.wide.u32 %rd2, %r2, 16384; mul.wide.u32 %rd3, %r1, 16; add.u64 %rd2, %rd2, %rd3;
add.u64 %rd0, %rd0, %rd2; mul.wide.u32 %rd4, %r3, 16384;
mov.u32 %r4, 0; mov.u32 %r5, 0;
again:
{loads}
{sums}
add.u64 %rd0, %rd0, %rd4; add.u32 %r4, %r4, 1; setp.lt.u32 %p, %r4, %r0; @%p bra again;
setp.eq.u32 %p, %r5, 0x12345678; @%p st.global.u32 [%rd1], %r5;
ret;
}}
"""


def read_function(device: Device) -> Function:
    """``read(in, out, rounds)``: 256 threads read 16 KiB a round with four 16-byte loads each."""
    hint = "ld.global.nc.L1::no_allocate.L2::128B.v4.u32"
    loads = "\n".join(
        f"{hint} {{%r{8 + 4 * i}, %r{9 + 4 * i}, %r{10 + 4 * i}, %r{11 + 4 * i}}}, "
        f"[%rd0+{4096 * i}];"
        for i in range(4)
    )
    sums = "\n".join(f"xor.b32 %r5, %r5, %r{8 + i};" for i in range(16))
    text = _READ.format(arch=device.arch, loads=loads, sums=sums)
    return device.load(text, "read").function("read")
