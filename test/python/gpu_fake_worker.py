"""The worker of ``sysmol bench --gpu`` without a GPU: a child process of test_gpu_bench.py.

The driver is the emulated one (LD_LIBRARY_PATH), PyTorch's "cuda" is its CPU, and graphs run their
calls when they are captured. Times mean nothing; everything else is the real code.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from sysmol.gpu import device, timing, worker
from sysmol.gpu.foreign import Memory

TRIPLE = """
target triple = "nvptx64-nvidia-cuda"
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
define ptx_kernel void @triple(ptr addrspace(1) %in, ptr addrspace(1) %out, i32 %count) {
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %c = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %n = call i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
  %b = mul i32 %c, %n
  %i = add i32 %b, %t
  %k = icmp ult i32 %i, %count
  br i1 %k, label %do, label %end
do:
  %p = getelementptr i32, ptr addrspace(1) %in, i32 %i
  %q = getelementptr i32, ptr addrspace(1) %out, i32 %i
  %x = load i32, ptr addrspace(1) %p, align 4
  %y = mul i32 %x, 3
  store i32 %y, ptr addrspace(1) %q, align 4
  br label %end
end:
  ret void
}
"""
READ = """
target triple = "nvptx64-nvidia-cuda"
define ptx_kernel void @read(ptr addrspace(1) %in, ptr addrspace(1) %out, i32 %rounds) {
  ret void
}
"""


class OnCpu(TorchFunctionMode):
    """Puts on the CPU what is asked for on the GPU."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("device") is not None:
            kwargs["device"] = "cpu"
        if func is torch.Tensor.cuda:
            return args[0]
        return func(*args, **kwargs)


class Stream:
    cuda_stream = 0

    def wait_stream(self, other: Stream) -> None:
        pass


class Event:
    def __init__(self, enable_timing: bool = False) -> None:
        self.when = 0.0

    def record(self) -> None:
        self.when = time.perf_counter()

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, end: Event) -> float:
        return (end.when - self.when) * 1000


class Graph:
    def replay(self) -> None:
        pass


def memory(value: Any, what: str, number: int) -> Memory:
    tensor = value if isinstance(value, torch.Tensor) else torch.from_dlpack(value)
    assert tensor.is_contiguous(), what
    return Memory(tensor.data_ptr())


def main() -> int:
    generator = torch.Generator
    cuda: Any = torch.cuda
    cuda.Stream, cuda.Event, cuda.CUDAGraph = Stream, Event, Graph
    cuda.stream = cuda.graph = lambda _: contextlib.nullcontext()
    cuda.current_stream = Stream
    cuda.synchronize = cuda.empty_cache = lambda: None
    torch.Generator = lambda device: generator()  # type: ignore[misc,assignment]
    device.device_memory = memory
    worker._SELF_TEST, timing._READ = TRIPLE, READ
    timing.read_function = lambda gpu: gpu.load(READ, "read").function("read")
    worker._GEMM, worker._COPY_BYTES = 32, 1 << 16
    with OnCpu():
        return worker.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
