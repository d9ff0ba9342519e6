"""Peers: what runs a layer or a network today. Each gives a call without arguments.

A peer that is not installed, or cannot run a case, raises :class:`SysmolError`; the suites say so
in their result and go on.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sysmol.errors import SysmolError

__all__ = [
    "Call",
    "attempt",
    "file_in",
    "ggml_features",
    "ggml_product",
    "onnxruntime_call",
    "openvino_call",
    "torch_call",
]

Array = npt.NDArray[Any]
Call = Callable[[], object]


def onnxruntime_call(path: str | os.PathLike[str], x: Array, threads: int = 1) -> Call:
    """ONNX Runtime on fixed arrays: all optimizations, no spinning."""
    from sysmol.peers import OnnxRuntime

    return OnnxRuntime(path, batch=len(x), threads=threads).bound(x)


def openvino_call(path: str | os.PathLike[str], x: Array, threads: int = 1) -> Call:
    """OpenVINO for latency, in float32 where the model does not say otherwise."""
    try:
        import openvino as ov
    except ImportError as error:
        raise SysmolError("openvino is not installed: run 'pip install openvino'") from error
    core = ov.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False,  # the caller has pinned us
    }
    try:
        model = core.read_model(str(path))
        model.reshape(list(x.shape))
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        array = np.ascontiguousarray(x)
        request.set_input_tensor(ov.Tensor(array, shared_memory=True))
        request.infer()
    except Exception as error:  # it has no common base of its errors
        text = " ".join(str(error).split())[:200]
        raise SysmolError(f"{path}: OpenVINO refuses it: {text}") from error

    def call(keep: object = array) -> object:  # the tensor does not own its memory
        return request.infer()

    return call


def torch_call(module: Any, x: Array, dtype: str = "float32", threads: int = 1) -> Call:
    """PyTorch: traced, frozen and optimized for inference; images with the channels last."""
    import torch

    torch.set_num_threads(threads)
    kind = getattr(torch, dtype)
    value = torch.from_numpy(np.ascontiguousarray(x)).to(kind)
    ready = module.eval()
    if value.ndim == 4:
        value = value.to(memory_format=torch.channels_last)
        ready = ready.to(memory_format=torch.channels_last)
    ready = ready.to(kind)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            traced = torch.jit.trace(ready, value)  # type: ignore[no-untyped-call]
            ready = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
            for _ in range(3):
                ready(value)
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            raise SysmolError(f"torch cannot run it in {dtype}: {text}") from error

    def call() -> object:
        with torch.inference_mode():
            return ready(value)

    return call


class _InitParams(ctypes.Structure):
    _fields_ = (
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    )


class _Plan(ctypes.Structure):
    _fields_ = (
        ("work_size", ctypes.c_size_t),
        ("work_data", ctypes.c_void_p),
        ("n_threads", ctypes.c_int),
        ("rest", ctypes.c_void_p * 8),  # thread pool, callback; larger than any version's
    )


_GGML_TYPES = {"f32": 0, "q4_0": 2, "q8_0": 8, "tq1_0": 34, "tq2_0": 35}

#: Packages of Python that carry ggml's libraries, and the names of these.
_GGML_PACKAGES = (
    ("llama_cpp", "libggml-base.so*", "libggml-cpu*.so*"),
    ("ggml", "libggml-base.so*", "libggml-cpu*.so*"),
    ("ggml_compiler", "libggml_compiler_rt.so", "libggml_compiler_rt.so"),
)


def _ggml() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    """The base and the CPU library of ggml, from the first package that has them."""
    for name, base_name, cpu_name in _GGML_PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        folder = Path(spec.origin).parent
        for base in sorted(folder.rglob(base_name)):
            for cpu in sorted(base.parent.glob(cpu_name)):
                first = ctypes.CDLL(str(base), mode=ctypes.RTLD_GLOBAL)
                return first, ctypes.CDLL(str(cpu), mode=ctypes.RTLD_GLOBAL)
    raise SysmolError(
        "ggml is not installed: run 'pip install --no-deps ggml-compiler', which carries it"
    )


def ggml_features() -> str:
    """The widest registers that the installed ggml was built for; empty without ggml."""
    try:
        _, cpu = _ggml()
    except (SysmolError, OSError):
        return ""
    for feature in ("avx512_vnni", "avx512", "avx2"):
        if getattr(cpu, f"ggml_cpu_has_{feature}")():
            return feature
    return "generic"


def ggml_product(weights: Array, x: Array, kind: str, threads: int = 1, repeat: int = 1) -> Call:
    """A product with ggml's quantized weights.

    Parameters
    ----------
    weights : float32 array [N / repeat, K]
    x : float32 array [M, K]
    kind : str
        ``q4_0``, ``q8_0``, ``tq1_0`` or ``tq2_0``.
    threads : int
        One: with more, ggml starts threads in every call.
    repeat : int
        The weights come so many times: quantizing many takes long.
    """
    if threads != 1:
        raise SysmolError("ggml is measured with one thread only: it starts threads in every call")
    base, cpu = _ggml()
    pointer = ctypes.c_void_p
    for library, name, result, arguments in (
        (base, "ggml_init", pointer, [_InitParams]),
        (base, "ggml_new_tensor_2d", pointer, [pointer, ctypes.c_int, *[ctypes.c_int64] * 2]),
        (base, "ggml_mul_mat", pointer, [pointer] * 3),
        (base, "ggml_get_data", pointer, [pointer]),
        (base, "ggml_new_graph", pointer, [pointer]),
        (base, "ggml_build_forward_expand", None, [pointer] * 2),
        (
            base,
            "ggml_quantize_chunk",
            ctypes.c_size_t,
            [ctypes.c_int, pointer, pointer, *[ctypes.c_int64] * 3, pointer],
        ),
        (cpu, "ggml_cpu_init", None, []),
        (cpu, "ggml_graph_plan", _Plan, [pointer, ctypes.c_int, pointer]),
        (cpu, "ggml_graph_compute", ctypes.c_int, [pointer, ctypes.POINTER(_Plan)]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    cpu.ggml_cpu_init()
    number = _GGML_TYPES[kind]
    outputs, inputs = len(weights) * repeat, weights.shape[1]
    # Not freed: a benchmark makes a few of these and ends.
    context = base.ggml_init(_InitParams(outputs * inputs * 4 + 64 * 2**20, None, False))
    if not context:
        raise SysmolError("ggml has no memory")
    a = base.ggml_new_tensor_2d(context, number, inputs, outputs)
    b = base.ggml_new_tensor_2d(context, _GGML_TYPES["f32"], inputs, len(x))
    flat = np.ascontiguousarray(weights, np.float32)
    place = base.ggml_get_data(a)
    done = base.ggml_quantize_chunk(number, flat.ctypes.data, place, 0, len(flat), inputs, None)
    for i in range(1, repeat):
        ctypes.memmove(place + i * done, place, done)
    rows = np.ascontiguousarray(x, np.float32)
    ctypes.memmove(base.ggml_get_data(b), rows.ctypes.data, rows.nbytes)
    graph = base.ggml_new_graph(context)
    product = base.ggml_mul_mat(context, a, b)
    base.ggml_build_forward_expand(graph, product)
    plan = cpu.ggml_graph_plan(graph, threads, None)
    work = ctypes.create_string_buffer(max(1, plan.work_size))
    plan.work_data = ctypes.addressof(work)

    def call(keep: object = work) -> object:
        return cpu.ggml_graph_compute(graph, plan)

    if call() != 0:
        raise SysmolError(f"ggml cannot multiply by {kind}")
    found = np.empty((len(x), outputs), np.float32)
    ctypes.memmove(found.ctypes.data, base.ggml_get_data(product), found.nbytes)
    if not np.isfinite(found).all() or not found.any():
        raise SysmolError(f"ggml computes nothing with {kind}")
    return call


def attempt(name: str, make: Callable[[], Call], missing: dict[str, str]) -> dict[str, Call]:
    """``{name: call}``, or nothing, and the reason in ``missing``."""
    try:
        return {name: make()}
    except (SysmolError, AttributeError, OSError) as error:
        missing[name] = " ".join(str(error).split())
        return {}


def file_in(folder: str | os.PathLike[str], name: str) -> Path:
    """A path for a model of a case."""
    return Path(folder) / "".join(c if c.isalnum() else "-" for c in name)
