"""sysmol.gpu without a GPU: descriptions, problems, the emulator, and the emulated driver."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import gpu_kernels
import gpu_operations
import numpy as np
import pytest

from sysmol import InputRefused, InternalError, ResourceLimit
from sysmol.gpu import bench, driver, emulate, kernel, rates
from sysmol.gpu.foreign import Memory, device_memory

torch = pytest.importorskip("torch")
from sysmol.gpu import problem  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
EMULATED = ROOT / "build" / "lib" / "emulated-cuda"

needs_emulator = pytest.mark.skipif(
    not (ROOT / "build" / "bin" / "sysmol-gpu-emulate").exists(),
    reason="sysmol-gpu-emulate is not built",
)
needs_emulated_driver = pytest.mark.skipif(
    not (EMULATED / "libcuda.so.1").exists(), reason="the emulated driver is not built"
)
needs_no_gpu = pytest.mark.skipif(driver.available(), reason="this machine has a GPU")


# ----------------------------------------------------------------------------------------------
# Descriptions


def test_a_description_is_read(tmp_path: Path) -> None:
    read = kernel.read(gpu_kernels.write(tmp_path))
    assert (read.operation.m, read.operation.n, read.operation.k) == (3, 8, 160)
    assert read.operation.weight_bits == 1
    assert read.output.element == "i32"
    assert read.of_role("scratch") is None
    assert read.ptx == tmp_path / "product.ll"


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (["format"], "other", "no launch description"),
        (["version"], 2, "version 2 is not known"),
        (["buffers", "weights", "bytes"], 10, "behind its end"),
        (["buffers", "weights", "role"], "heavy", "'role' is 'heavy'; known are"),
        (["operation", "k"], 161, "do not add up to k = 161"),
        (["operation", "kind"], "fft", "'kind' is 'fft'; known are gemm"),
        (["operation", "segments", 0, "weights", "k"], [[80, 1]], "count to 80, not to 160"),
        (["operation", "segments", 0, "weights", "buffer"], "w", "there is no buffer 'w'"),
        (["operation", "segments", 0, "weights", "k"], [3], "must hold pairs .*, got 3"),
        (["operation", "segments"], [3], "what should have 'channels' is 3"),
        (["operation", "segments", 0, "pieces"], [7], "must hold pairs .*, got 7"),
        (["operation", "segments", 0, "pieces"], [[160, 0], [1, 159]], "begins in the one before"),
        (["operation", "segments", 0, "pieces"], [[159, 0]], "do not add up to 160 channels"),
        (["operation", "kind"], "conv", "'window' is missing"),
        (["launches", 0, "arguments"], ["weights", "nothing"], "which is no buffer"),
        (["launches", 0, "arguments"], [5], "an argument must be"),
        (["launches", 0, "arguments"], [{"i32": 2**40}], "an argument must be"),
        (["launches", 0, "arguments"], [{"f32": "a"}], "an argument must be"),
        (["launches", 0, "grid"], "all", "'grid' must be list"),
        (["launches", 0, "grid"], [0, 1, 1], "'grid' must be three numbers of at least 1"),
        (["launches", 0, "shared_bytes"], -1, "-1 shared bytes"),
        (["launches"], [], "'launches' is empty"),
        (["llvm_ir"], True, "'llvm_ir' must be str"),
    ],
)  # fmt: skip
def test_a_broken_description_is_refused(
    tmp_path: Path, path: list[Any], value: Any, reason: str
) -> None:
    table = gpu_kernels.description("product", 3, 8, 160)
    at: Any = table
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(table))
    with pytest.raises(InputRefused, match=reason) as caught:
        kernel.read(file)
    assert str(file) in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="cannot read"):
        kernel.read(tmp_path / "missing.json")
    (tmp_path / "text.json").write_text("{")
    with pytest.raises(InputRefused, match="no JSON"):
        kernel.read(tmp_path / "text.json")
    with pytest.raises(InputRefused, match="no launch description in"):
        bench.find([tmp_path / "empty"] if (tmp_path / "empty").mkdir() is None else [])


# ----------------------------------------------------------------------------------------------
# Packing and references


def test_packing_puts_every_bit_where_the_digits_say() -> None:
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(0, 4, (6, 10), generator=generator, dtype=torch.uint8)
    # Rows as 2 x 3, channels as 5 x 2, planes apart; base 3.
    layout = kernel.Layout("w", 3, ((2, 10), (3, 40)), ((5, 2), (2, 20)), ((2, 1),))
    bits = torch.zeros(136, dtype=torch.uint8)
    problem.pack(codes, 2, layout, bits)
    expected = np.zeros(136, dtype=np.uint8)
    for row in range(6):
        for k in range(10):
            for b in range(2):
                place = 3 + row % 2 * 10 + row // 2 * 40 + k % 5 * 2 + k // 5 * 20 + b
                expected[place] = int(codes[row, k]) >> b & 1
    assert np.array_equal(bits.numpy(), expected)
    packed = problem._to_bytes(bits).numpy()
    assert np.array_equal(packed, np.packbits(expected, bitorder="little"))


@pytest.mark.parametrize("grid", ["unsigned", "midrise"])
def test_the_expected_sums_follow_the_grids(tmp_path: Path, grid: str) -> None:
    table = gpu_kernels.description("product", 2, 3, 160)
    table["operation"]["activation_grid"] = grid
    file = tmp_path / "k.json"
    file.write_text(json.dumps(table))
    read = kernel.read(file)
    made = problem.make(read, seed=4)

    def unpacked(name: str, rows: int) -> Any:
        bits = np.unpackbits(made.inputs[name].numpy(), bitorder="little").reshape(rows, 160)
        return bits.astype(np.int64)

    a, w = unpacked("activations", 2), unpacked("weights", 3)
    values = a if grid == "unsigned" else 2 * a - 1
    assert np.array_equal(made.expected.numpy(), 7 * values @ (2 * w - 1).T)
    again, other = problem.make(read, seed=4), problem.make(read, seed=5)
    assert torch.equal(made.inputs["weights"], again.inputs["weights"])
    assert not torch.equal(made.inputs["weights"], other.inputs["weights"])


def test_row_bias_completes_unsigned_products(tmp_path: Path) -> None:
    table = gpu_kernels.description("product", 2, 3, 160)
    table["operation"]["activation_grid"] = "midrise"
    table["buffers"]["bias"] = {"bytes": 12, "role": "row_bias"}
    file = tmp_path / "k.json"
    file.write_text(json.dumps(table))
    made = problem.make(kernel.read(file), seed=1)
    a = np.unpackbits(made.inputs["activations"].numpy(), bitorder="little").reshape(2, 160)
    w = np.unpackbits(made.inputs["weights"].numpy(), bitorder="little").reshape(3, 160)
    a, w = a.astype(np.int64), w.astype(np.int64)
    bias = made.inputs["bias"].view(torch.int32).numpy()
    products = 7 * (4 * a @ w.T - 2 * a.sum(1)[:, None])
    assert np.array_equal(made.expected.numpy(), products + bias)


def test_a_difference_is_found(tmp_path: Path) -> None:
    read = kernel.read(gpu_kernels.write(tmp_path))
    made = problem.make(read, seed=1)
    memory = made.expected.contiguous().view(torch.uint8).flatten().clone()
    assert problem.compare(read, made, memory) is None
    memory[4 * 11] ^= 1
    message = problem.compare(read, made, memory)
    assert message is not None and "1 of 24 outputs differ, first at [1, 3]" in message


# ----------------------------------------------------------------------------------------------
# The emulator


@needs_emulator
@pytest.mark.parametrize("schedule_seed", [0, 3])
def test_the_emulator_runs_a_kernel(tmp_path: Path, schedule_seed: int) -> None:
    read = kernel.read(gpu_kernels.write(tmp_path))
    made = problem.make(read, seed=2)
    memory, counts = emulate.emulate(read, made, schedule_seed)
    assert problem.compare(read, made, memory) is None
    assert counts["global_bytes_written"] == 3 * 8 * 4
    assert counts["global_bytes_read"] == 3 * 8 * 5 * 8


@needs_emulator
def test_wrong_kernels_are_caught(tmp_path: Path) -> None:
    read = kernel.read(gpu_kernels.write(tmp_path, scale=8))
    made = problem.make(read, seed=2)
    memory, _ = emulate.emulate(read, made)
    assert "outputs differ" in str(problem.compare(read, made, memory))
    read = kernel.read(gpu_kernels.write(tmp_path, trip=6))
    with pytest.raises(InternalError, match=r"thread.*reads 4 bytes outside every buffer"):
        emulate.emulate(read, made)


@needs_emulator
def test_the_emulators_refusals_keep_their_kind(tmp_path: Path) -> None:
    read = kernel.read(gpu_kernels.write(tmp_path))
    made = problem.make(read, seed=2)
    (tmp_path / "product.ll").write_text("nonsense")
    with pytest.raises(InputRefused, match=r"product\.ll:1:"):
        emulate.emulate(read, made)
    made.inputs["activations"] = made.inputs["activations"][:-1]
    with pytest.raises(InputRefused, match="buffer 'activations' has"):
        emulate.emulate(read, made)


# ----------------------------------------------------------------------------------------------
# The driver


@needs_no_gpu
def test_without_a_driver_one_line_says_so() -> None:
    with pytest.raises(ResourceLimit, match=r"libcuda\.so\.1") as caught:
        driver.Driver()
    assert "\n" not in str(caught.value)
    with pytest.raises(ResourceLimit):
        bench.bench([])
    done = subprocess.run(
        [sys.executable, "-m", "sysmol.cli", "bench", "--gpu", "nowhere"],
        capture_output=True, text=True, check=False, env=_environment(),
    )  # fmt: skip
    assert done.returncode == 3 and done.stderr.count("\n") == 1


def _environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT / "python")} | more


_SCRIPT = """
import sys
import numpy as np
from sysmol import gpu
device = gpu.Device()
assert gpu.available() and device.arch == "sm_90" and device.memory_bytes > 0
assert device.describe()["multiprocessors"] > 0
module = device.load(open(sys.argv[1]).read(), "product.ll")
function = module.function("product")
rng = np.random.default_rng(1)
w, a = (rng.integers(0, 2**32, (rows, 5), dtype=np.uint32) for rows in (8, 3))
out = device.zeros(3 * 8 * 4)
stream, start, end = device.stream(), device.event(), device.event()
start.record(stream)
function.launch((3,), (8,), [device.upload(w), device.upload(a), out], stream=stream)
end.record(stream)
stream.synchronize()
assert end.since(start) >= 0
both = np.bitwise_count(a[:, None] & w[None]).astype(np.int64).sum(2)
alone = np.bitwise_count(a).astype(np.int64).sum(1)
assert np.array_equal(out.read(np.int32, (3, 8)), 7 * (2 * both - alone[:, None]))

# A graph runs nothing until it is launched, and reads memory as it is then.
other = device.zeros(3 * 8 * 4)
parts = [device.upload(w), device.upload(a)]
graph = gpu.Graph(device, [function.prepare((3,), (8,), [*parts, to]) for to in (out, other)])
out.fill(0)
assert not out.read(np.int32).any() and not other.read(np.int32).any()
for _ in range(2):
    parts[0].write(w)
    graph(stream.handle)
    stream.synchronize()
    expected = 7 * (2 * np.bitwise_count(a[:, None] & w[None]).astype(np.int64).sum(2)
                    - alone[:, None])
    assert all(np.array_equal(to.read(np.int32, (3, 8)), expected) for to in (out, other))
    w = w[::-1].copy()

# Into a stream that is captured it goes launch by launch; other libraries' handles are none.
class Captured:
    def __call__(self, stream):
        graph(stream)
out.fill(0)
outer = gpu.Graph(device, [Captured()])
assert not out.read(np.int32).any()
outer(1)
assert np.array_equal(out.read(np.int32, (3, 8)), expected)

def fails(kind, part, call):
    try:
        call()
    except kind as error:
        assert part in str(error), error
    else:
        raise AssertionError(part)

small = device.upload(w[:7])
fails(gpu_errors.InternalError, "outside every buffer",
      lambda: function.launch((3,), (8,), [small, device.upload(a), out]))
faulty = function.prepare((3,), (8,), [small, device.upload(a), out])
fails(gpu_errors.InternalError, "outside every buffer", gpu.Graph(device, [faulty]))
class Broken:
    def __call__(self, stream):
        raise gpu_errors.UsageError("as it is")
fails(gpu_errors.UsageError, "as it is", lambda: gpu.Graph(device, [Broken()]))
fails(gpu_errors.UsageError, "plain number", lambda: function.launch((1,), (1,), [5, a, out]))
fails(gpu_errors.InputRefused, "host's memory", lambda: function.launch((1,), (1,), [w, w, w]))
fails(gpu_errors.UsageError, "no kernel 'other'", lambda: module.function("other"))
fails(gpu_errors.UsageError, "there is no GPU 1", lambda: gpu.Device(1))
fails(gpu_errors.UsageError, "at least 1", lambda: function.launch((0,), (1,), []))
fails(gpu_errors.InputRefused, "refuses this code", lambda: device.load("nonsense"))
fails(gpu_errors.InputRefused, "do not fit", lambda: small.write(w))
fails(gpu_errors.UsageError, "no device attribute", lambda: device.attribute("colour"))
fails(gpu_errors.InternalError, "dynamic shared memory",
      lambda: function.launch((1,), (1,), [out, out, out], shared_bytes=1 << 20))

# Another library captures a stream, and has a device of its own current: both stay as they are.
import ctypes
library = ctypes.CDLL("libcuda.so.1")
foreign, now, mode = ctypes.c_void_p(77), ctypes.c_void_p(), ctypes.c_int(9)
library.cuCtxSetCurrent(foreign)
captured = ctypes.c_void_p(stream.handle)
assert library.cuStreamBeginCapture_v2(captured, 0) == 0
failures = []
sys.unraisablehook = failures.append
buffer, code = device.empty(64), device.load(open(sys.argv[1]).read(), "again.ll")
assert library.cuMemFree_v2(ctypes.c_uint64(buffer.pointer)) == 900  # the capture would be lost
pointer = buffer.pointer
del buffer, code
assert library.cuMemFree_v2(ctypes.c_uint64(pointer)) == 900 and not failures
library.cuCtxGetCurrent(ctypes.byref(now))
assert now.value == 77
assert library.cuStreamEndCapture(captured, ctypes.byref(now)) == 0
assert library.cuMemFree_v2(ctypes.c_uint64(pointer)) == 1  # it is free already

# What one function was promised is not taken back by another of the same kernel.
again = module.function("product")
again._handle = function._handle
function._allow(100 << 10)
again._allow(60 << 10)
assert module._dynamic[function._handle] == 100 << 10
print("done")
"""


@needs_emulated_driver
def test_devices_modules_and_launches(tmp_path: Path) -> None:
    gpu_kernels.write(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", "from sysmol import errors as gpu_errors\n" + _SCRIPT,
         str(tmp_path / "product.ll")],
        capture_output=True, text=True, check=False,
        env=_environment(LD_LIBRARY_PATH=str(EMULATED)),
    )  # fmt: skip
    assert done.stdout == "done\n" and not done.stderr, done.stderr


class _Capsule:
    """Device memory by DLPack alone, as another library would offer it."""

    def __init__(self, shape: tuple[int, ...], strides: tuple[int, ...], device: int = 2) -> None:
        from sysmol.gpu.foreign import _DLDevice, _DLTensor

        self.numbers = (ctypes.c_int64 * (2 * len(shape)))(*shape, *strides)
        step = ctypes.POINTER(ctypes.c_int64)
        at = ctypes.addressof(self.numbers)
        self.tensor = _DLTensor(
            0x10000, _DLDevice(device, 0), len(shape), 1, 8, 1,
            ctypes.cast(at, step), ctypes.cast(at + 8 * len(shape), step), 64,
        )  # fmt: skip
        self.device = device

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device, 0

    def __dlpack__(self) -> Any:
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = (
            ctypes.py_object,
            (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p),
        )
        return new(ctypes.addressof(self.tensor), b"dltensor", None)


class _Interface:
    def __init__(self, **more: Any) -> None:
        self.__cuda_array_interface__ = {
            "shape": (2, 3), "typestr": "<i4", "data": (0x20000, False), "version": 3,
        } | more  # fmt: skip


def test_foreign_memory_is_used_in_place() -> None:
    assert device_memory(_Capsule((2, 3), (3, 1)), "x", 0) == Memory(0x10040)
    assert device_memory(_Capsule((1, 3), (99, 1)), "x", 0) == Memory(0x10040)
    assert device_memory(_Interface(), "x", 0) == Memory(0x20000)
    assert device_memory(_Interface(strides=(12, 4), stream=77), "x", 0) == Memory(0x20000, 77)
    for value, reason in [
        (_Capsule((2, 3), (1, 2)), "not contiguous"),
        (_Capsule((2, 3), (3, 1), device=1), "host's memory"),
        (_Interface(strides=(4, 8)), "not contiguous"),
        (torch.zeros(3), "host's memory"),
        (_Interface(data=(0x20004, False)), "no multiple of 16"),
        (object(), "is a object; allowed are"),
    ]:
        with pytest.raises(InputRefused, match=reason):
            device_memory(value, "x", 0)
    with pytest.raises(InputRefused, match="x lies on GPU 0; this code runs on GPU 1"):
        device_memory(_Capsule((2, 3), (3, 1)), "x", 1)


# ----------------------------------------------------------------------------------------------
# The benchmark


@needs_emulated_driver
def test_the_bench_checks_and_survives_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_kernels.write(tmp_path, "good", m=1, n=32, words=4)
    gpu_kernels.write(tmp_path, "wrong", m=1, n=32, words=4, scale=5)
    gpu_kernels.write(tmp_path, "good_batch", m=2, n=32, words=4)
    table = gpu_kernels.description("misnamed", 1, 32, 128)
    table["launches"][0]["entry"] = "nothing"
    table["ptx"] = "good.ll"
    (tmp_path / "misnamed.json").write_text(json.dumps(table))
    (tmp_path / "broken.json").write_text("{}")
    script = f"""
import json, sys
from pathlib import Path
from sysmol.gpu import bench
bench._WORKER = (sys.executable, {str(ROOT / "test/python/gpu_fake_worker.py")!r})
print(json.dumps(bench.bench([{str(tmp_path)!r}], seconds=300, rounds=2, rates=False)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False,
        env=_environment(LD_LIBRARY_PATH=str(EMULATED)),
    )  # fmt: skip
    assert not done.returncode, done.stderr
    result = json.loads(done.stdout)
    assert not result["errors"]
    assert result["self_test"]["result"] == "ok"
    rows = {Path(row["path"]).stem: row for row in result["rows"]}
    assert set(rows) == {"good", "wrong", "good_batch", "misnamed", "broken"}
    assert rows["good"]["check"] == rows["good_batch"]["check"] == "exact"
    assert rows["good"]["times"]["minimum"] > 0 and "fp16-mv" in rows["good"]["peers"]
    assert "outputs differ" in rows["wrong"]["check"]
    assert "no kernel 'nothing'" in rows["misnamed"]["error"]
    assert "no launch description" in rows["broken"]["error"]
    text = bench.table(result)
    assert "exact" in text and "WRONG" in text and "misnamed" in text


def test_a_worker_that_dies_or_hangs_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setattr(bench, "_WORKER", (sys.executable, "-c"))
    monkeypatch.setattr(bench, "_PATIENCE", (1.0, 1.0))
    until = time.monotonic() + 30
    (event,) = bench._worker(["import sys; sys.exit('no luck')"], until)
    assert event["event"] == "died" and "no luck" in event["error"]
    (event,) = bench._worker(["import time; time.sleep(60)"], until)
    assert event["event"] == "died" and "no word" in event["error"]
    (event,) = bench._worker(["import time; time.sleep(60)"], time.monotonic() + 0.2)
    assert event["over"]


_GROUPS = """
import json, sys
for group in json.loads(sys.argv[2]):
    for path in group:
        print(json.dumps({"event": "start", "path": path}))
    print(json.dumps({"event": "timing", "paths": group}), flush=True)
    if "bad" in group:
        sys.exit("a fault")
    for path in group:
        print(json.dumps({"event": "row", "path": path, "error": "was timed"}), flush=True)
"""


def test_a_kernel_that_dies_while_timed_costs_its_own_row_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import time

    monkeypatch.setattr(bench, "_WORKER", (sys.executable, "-c", _GROUPS))
    result: dict[str, Any] = {"rows": [], "errors": []}
    lines: list[str] = []
    groups = [["first"], ["good", "bad", "other"], ["last"]]
    bench._kernels(groups, 1, time.monotonic() + 60, result, lines.append)
    rows = {row["path"]: row["error"] for row in result["rows"]}
    assert len(result["rows"]) == 5 and not result["errors"]
    assert "a fault" in rows.pop("bad") and set(rows.values()) == {"was timed"}
    assert any("3 kernels: " in line and "each alone now" in line for line in lines)


@pytest.mark.parametrize("instruction", rates.INSTRUCTIONS, ids=lambda i: i.name)
def test_rate_kernels_assemble(tmp_path: Path, instruction: rates.Instruction) -> None:
    if shutil.which("ptxas") is None:
        pytest.skip("ptxas is not installed")
    arch = "sm_90a" if instruction.arch == "sm_90a" else "sm_90"
    file = tmp_path / "rate.ptx"
    file.write_text(rates.ptx(instruction, arch))
    done = subprocess.run(
        ["ptxas", "-v", f"-arch={arch}", str(file), "-o", str(tmp_path / "rate.cubin")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not done.returncode, done.stdout + done.stderr
    assert "spill" not in done.stderr or "0 bytes spill stores" in done.stderr


# ----------------------------------------------------------------------------------------------
# Single operations

LLVM = "/usr/lib/llvm-22/bin"  # before another LLVM's llc
REFERENCED = [(i, case) for i, case in enumerate(gpu_operations.cases()) if case.reference]
referenced = pytest.mark.parametrize(
    ("index", "case"), REFERENCED, ids=[case.name for _, case in REFERENCED]
)


@needs_emulator
@referenced
def test_the_emulator_computes_what_the_isa_says(
    tmp_path: Path, index: int, case: gpu_operations.Case
) -> None:
    words = gpu_operations.inputs(case, index)
    emulator = ROOT / "build" / "bin" / "sysmol-gpu-emulate"
    found = gpu_operations.emulate(case, words, tmp_path, emulator)
    assert case.reference and np.array_equal(found, case.reference(words))


@referenced
def test_operations_of_a_block_assemble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: int, case: gpu_operations.Case
) -> None:
    monkeypatch.setenv("PATH", f"{LLVM}:{os.environ['PATH']}")
    if shutil.which("ptxas") is None or shutil.which("llc", path=LLVM) is None:
        pytest.skip("ptxas or llc is not installed")
    cubin = tmp_path / "k.cubin"
    gpu_operations.assemble(case, cubin, tmp_path)
    assert cubin.stat().st_size
    # That llc makes the instruction that the case is named after.
    ptx = cubin.with_suffix(".ptx").read_text()
    assert "bar.sync" in ptx
    if case.name.startswith("wgmma"):
        assert f"wgmma.mma_async.sync.aligned.{case.name[6:].split('.steps')[0]} " in ptx
        assert "fence.proxy.async.shared::cta" in ptx
    if case.name.startswith("cp.async"):
        assert f"{'.'.join(case.name.split('.')[:3])}.shared.global" in ptx
