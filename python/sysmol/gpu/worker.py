"""The process that touches the GPU: measures, and prints one JSON object a line.

A kernel that faults takes its process' GPU context with it, and one that hangs must be ended from
outside; so :mod:`sysmol.gpu.bench` runs this module as a child.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch

from sysmol.errors import SysmolError
from sysmol.gpu import kernel as kernels
from sysmol.gpu import problem, rates, timing
from sysmol.gpu.device import Device

__all__ = ["main"]

_COPY_BYTES = 1 << 31
_GEMM = 8192


def _say(event: str, **values: Any) -> None:
    print(json.dumps({"event": event, **values}), flush=True)


def _smi() -> dict[str, str]:
    """What nvidia-smi knows and the driver API does not tell."""
    fields = (
        "name", "driver_version", "clocks.sm", "clocks.mem", "clocks.max.sm", "power.draw",
        "power.limit", "temperature.gpu",
    )  # fmt: skip
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return {}
    values = [value.strip() for value in done.stdout.splitlines()[0].split(",")]
    return dict(zip(fields, values, strict=False))


def environment(device: Device) -> dict[str, Any]:
    """Card, driver, versions, clocks."""
    return {
        "device": device.describe(),
        "nvidia_smi": _smi(),
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "numpy": np.__version__,
        "python": sys.version.split()[0],
    }


_SELF_TEST = """
.version 7.8
.target sm_80
.address_size 64
.visible .entry triple(.param .u64 in, .param .u64 out, .param .u32 count)
{
.reg .pred %p; .reg .b64 %rd<5>; .reg .b32 %r<6>;
ld.param.u64 %rd0, [in]; ld.param.u64 %rd1, [out]; ld.param.u32 %r0, [count];
mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x; mad.lo.u32 %r1, %r1, %r2, %r3;
setp.ge.u32 %p, %r1, %r0; @%p bra done;
mul.wide.u32 %rd2, %r1, 4; add.u64 %rd3, %rd0, %rd2; add.u64 %rd4, %rd1, %rd2;
ld.global.u32 %r4, [%rd3]; mul.lo.u32 %r5, %r4, 3; st.global.u32 [%rd4], %r5;
done: ret;
}
"""


def self_test(device: Device) -> str:
    """A trivial kernel, over the driver's own memory and over PyTorch's, by both protocols."""
    function = device.load(_SELF_TEST, "self-test").function("triple")
    values = np.random.default_rng(1).integers(0, 2**30, 1000, dtype=np.uint32)
    count = np.uint32(len(values))
    out = device.zeros(values.nbytes)
    function.launch((4, 1, 1), (256, 1, 1), [device.upload(values), out, count])
    device.synchronize()
    if not np.array_equal(out.read(np.uint32), values * np.uint32(3)):
        return "wrong result over the driver's memory"
    tensor = torch.from_numpy(values.astype(np.int32)).cuda()
    target = torch.zeros_like(tensor)

    class OnlyDLPack:
        def __dlpack__(self) -> Any:
            return target.__dlpack__()

        def __dlpack_device__(self) -> Any:
            return target.__dlpack_device__()

    stream = torch.cuda.current_stream().cuda_stream
    function.launch((4, 1, 1), (256, 1, 1), [tensor, OnlyDLPack(), count], stream=stream)
    torch.cuda.synchronize()
    if not torch.equal(target, tensor * 3):
        return "wrong result over PyTorch's memory"
    return "ok"


def _environment(device: Device) -> None:
    _say("environment", **environment(device))
    _say("self_test", result=self_test(device))


def _ceilings(device: Device) -> None:
    """Bandwidth of copies and of reads, and the rate of a large FP16 product."""
    source = torch.randint(0, 255, (_COPY_BYTES,), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    read = timing.read_function(device)
    out = torch.zeros(4, dtype=torch.int32, device="cuda")
    multiprocessors = device.attribute("multiprocessors")
    cases: dict[str, list[timing.Call]] = {"copy": [partial(target.copy_, source)]}
    sizes: dict[str, int] = {"copy": 2 * _COPY_BYTES}
    for megabytes in (32, 64, 128, 1024):
        for per_multiprocessor in (4, 8):
            blocks = multiprocessors * per_multiprocessor
            rounds = max(1, round(megabytes * 2**20 / 16384 / blocks))
            size = blocks * rounds * 16384
            count = max(1, min(_COPY_BYTES // size, 16))
            name = f"read {megabytes} MiB, {per_multiprocessor} blocks"
            sizes[name] = size
            cases[name] = []
            for copy in range(count):
                part = source[copy * size : (copy + 1) * size]
                launch = read.prepare((blocks, 1, 1), (256, 1, 1), [part, out, np.uint32(rounds)])
                cases[name].append(timing.in_current_stream(launch))
    for name, times in timing.interleaved(cases, rounds=9).items():
        _say("ceiling", name=name, **asdict(times), tb_per_second=sizes[name] / times.minimum / 1e6)
    del source, target
    torch.cuda.empty_cache()
    l2_bytes = device.attribute("l2_cache_bytes")
    for name, times in timing.interleaved(
        timing.peers(_GEMM, _GEMM, _GEMM, l2_bytes), rounds=9
    ).items():
        tera = 2 * _GEMM**3 / times.minimum / 1e6
        _say("ceiling", name=f"{name} {_GEMM}^3", **asdict(times), tera_ops_per_second=tera)
    _say("smi", **_smi())


def _rates(device: Device) -> None:
    for instruction in rates.INSTRUCTIONS:
        measured = rates.measure(device, instruction)
        if isinstance(measured, str):
            _say("rate", name=instruction.name, error=measured)
        else:
            _say("rate", name=instruction.name, **asdict(measured))


def _working(cases: dict[str, list[timing.Call]]) -> dict[str, list[timing.Call]]:
    """The peers that take this shape at all."""
    found = {}
    for name, calls in cases.items():
        try:
            calls[0]()
            torch.cuda.synchronize()
            found[name] = calls
        except RuntimeError as error:
            _say("error", error=f"peer {name}: {' '.join(str(error).split())[:300]}")
    return found


def _row(kernel: kernels.Kernel) -> dict[str, Any]:
    operation = kernel.operation
    return {
        "name": kernel.name,
        "kind": operation.kind,
        "m": operation.m,
        "n": operation.n,
        "k": operation.k,
        "window": asdict(operation.window) if operation.window else None,
        "weight_bits": operation.weight_bits,
        "segments": [
            [s.channels, s.weight_bits, s.activation_bits] for s in operation.segments
        ],
        "counts": kernel.counts,
    }  # fmt: skip


def _check(device: Device, kernel: kernels.Kernel) -> tuple[timing.Bound, str | None]:
    """Run a kernel on random codes, twice; gives it bound, and what is wrong or None."""
    wrong = None
    bound = None
    for seed in (1, 2):
        made = problem.make(kernel, seed, "cuda")
        bound = timing.Bound(device, kernel, made.inputs)
        bound.call()()
        torch.cuda.synchronize()
        wrong = wrong or problem.compare(kernel, made, bound.output)
        del made
    assert bound is not None
    return bound, wrong


def _group(device: Device, paths: Sequence[str], rounds: int) -> None:
    """Kernels of one shape: check each, then time them beside the peers."""
    l2_bytes = device.attribute("l2_cache_bytes")
    bound: dict[str, timing.Bound] = {}
    rows: dict[str, dict[str, Any]] = {}
    for path in paths:
        _say("start", path=path)
        try:
            kernel = kernels.read(path)
            row = _row(kernel)
            bound[path], wrong = _check(device, kernel)
            row["check"] = wrong or "exact"
            row["launches"] = bound[path].facts()
            rows[path] = row
        except (SysmolError, RuntimeError) as error:
            _say("failed", path=path, error=" ".join(str(error).split())[:500])
            # After a fault nothing works in this context any more.
            device.synchronize()
    if not rows:
        return
    first = next(iter(bound.values())).kernel.operation
    _say("timing", paths=list(rows))
    try:
        cases = _working(timing.peers_of(first, l2_bytes))
        names = list(cases)
        for path, ready in bound.items():
            cases[path] = ready.rotated(l2_bytes)
        times = timing.interleaved(cases, rounds)
    except RuntimeError as error:  # PyTorch's: too little memory, mostly; the checks stay
        for path, row in rows.items():
            _say("row", path=path, error=f"timing: {' '.join(str(error).split())[:500]}", **row)
        # After a fault nothing works in this context any more.
        device.synchronize()
        torch.cuda.empty_cache()
        return
    measured = {name: asdict(times[name]) for name in names}
    fp16 = min((times[name].minimum for name in names if name.startswith("fp16")), default=0.0)
    for path, row in rows.items():
        taken = times[path]
        weights = bound[path].kernel.of_role("weights")
        row["times"] = asdict(taken)
        row["peers"] = measured
        row["ratio_fp16"] = fp16 / taken.minimum
        if "int8" in times:
            row["ratio_int8"] = times["int8"].minimum / taken.minimum
        row["weights_tb_per_second"] = (weights.bytes if weights else 0) / taken.minimum / 1e6
        row["tera_ops_per_second"] = 2 * first.m * first.n * first.k / taken.minimum / 1e6
        _say("row", path=path, **row)
    torch.cuda.empty_cache()


def main(arguments: Sequence[str]) -> int:
    """Tasks in order: ``environment``, ``ceilings``, ``rates``, or ``kernels`` with a JSON list of
    groups and the number of rounds."""
    try:
        device = Device()
        if arguments[0] == "kernels":
            for group in json.loads(arguments[1]):
                _group(device, group, int(arguments[2]))
            return 0
    except SysmolError as error:
        _say("error", error=str(error))
        return error.exit_code
    run = {"environment": _environment, "ceilings": _ceilings, "rates": _rates}
    for task in arguments:
        try:
            run[task](device)
        except (SysmolError, RuntimeError) as error:
            # The next task may work, unless the context is lost: then it says so itself.
            _say("error", error=f"{task}: {' '.join(str(error).split())[:500]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
