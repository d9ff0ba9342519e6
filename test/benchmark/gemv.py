#!/usr/bin/env python3
"""Matrix-vector products, and small batches, against what users have today.

`gemv.py OUTPUT.json [--runs N] [--case NAME]...`: float input to float output, one pinned thread,
all interleaved. The peers are ONNX Runtime (float32, INT8 static and dynamic, MatMulNBits of 2 and
4 bits) and OpenVINO (float32, INT8). `stream` reads the bytes of our weights once, as fast as this
machine can, which no product of them can beat.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sysmol.bench import our_call
from sysmol.compile import compile as compile_network
from sysmol.files import write_json
from sysmol.measure import environment, interleaved
from sysmol.runtime import load

Array = np.ndarray[Any, Any]
Call = Callable[[], object]

STREAM = r"""
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
void *make(size_t n) {
  size_t huge = 2 << 20;
  n = (n + huge - 1) / huge * huge;
  void *p = aligned_alloc(huge, n);
  madvise(p, n, MADV_HUGEPAGE);
  memset(p, 1, n);
  return p;
}
int stream(const char *p, size_t n) {
  const __m512i *v = (const __m512i *)p;
  __m512i a, b, c, d;
  a = b = c = d = _mm512_setzero_si512();
  for (size_t i = 0; i + 4 <= n / 64; i += 4) {
    a = _mm512_xor_si512(a, v[i]);
    b = _mm512_xor_si512(b, v[i + 1]);
    c = _mm512_xor_si512(c, v[i + 2]);
    d = _mm512_xor_si512(d, v[i + 3]);
  }
  a = _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d));
  return _mm512_reduce_add_epi32(a);
}
"""

# name: rows, inputs, outputs, shares of 1, 2, 4, 8 bits
CASES: dict[str, tuple[int, int, int, tuple[float, float, float, float]]] = {
    "4096x11008 mix 60/35/5": (1, 4096, 11008, (0.60, 0.35, 0.05, 0)),
    "4096x4096 mix 60/35/5": (1, 4096, 4096, (0.60, 0.35, 0.05, 0)),
    "4096x11008 1 bit": (1, 4096, 11008, (1, 0, 0, 0)),
    "4096x11008 2 bits": (1, 4096, 11008, (0, 1, 0, 0)),
    "4096x11008 4 bits": (1, 4096, 11008, (0, 0, 1, 0)),
    "4096x11008 8 bits": (1, 4096, 11008, (0, 0, 0, 1)),
    "4096x11008 mix, 2 rows": (2, 4096, 11008, (0.60, 0.35, 0.05, 0)),
    "4096x11008 mix, 4 rows": (4, 4096, 11008, (0.60, 0.35, 0.05, 0)),
    "4096x11008 mix, 8 rows": (8, 4096, 11008, (0.60, 0.35, 0.05, 0)),
}


def segments(inputs: int, shares: tuple[float, float, float, float]) -> dict[int, int]:
    """Channels of each precision; the most frequent takes what rounding leaves over."""
    counts = {bits: round(inputs * share) for bits, share in zip((1, 2, 4, 8), shares, strict=True)}
    most = max(counts, key=lambda bits: counts[bits])
    counts[most] += inputs - sum(counts.values())
    return {bits: count for bits, count in counts.items() if count}


def write_network(
    path: Path, rows: int, outputs: int, channels: dict[int, int], random: np.random.Generator
) -> None:
    """Reals in, quantized, one product, reals out."""
    inputs = sum(channels.values())
    parts = [
        random.integers(-127, 128, (outputs, n))
        if p == 8
        else random.integers(0, 1 << p, (outputs, n))
        for p, n in channels.items()
    ]
    codes = np.concatenate(parts, 1).astype(np.int8).tobytes().hex()
    bits = ", ".join(f"{p} x {n}" for p, n in channels.items())
    a = f"#hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [{bits}]>"
    w = f"#hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [{bits}]>"
    x, q = f"tensor<{rows}x{inputs}xf32>", f"tensor<{rows}x{inputs}xi8, {a}>"
    weights, acc = f"tensor<{outputs}x{inputs}xi8, {w}>", f"tensor<{rows}x{outputs}xi32>"
    y = f"tensor<{rows}x{outputs}xf32>"
    path.write_text(f"""func.func @main(%x: {x}) -> {y} {{
  %q = hetprec.quantize %x : {x} to {q}
  %w = arith.constant dense<"0x{codes}"> : {weights}
  %a = hetprec.matmul %q, %w : {q}, {weights} -> {acc}
  %y = hetprec.to_real %a multiplier = [0.001] offset = [0.0] : {acc} to {y}
  return %y : {y}
}}
""")


def save(
    path: Path, rows: int, shape: tuple[int, int], nodes: list[Any], tables: list[Any]
) -> Path:
    graph = helper.make_graph(
        nodes,
        "gemv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, shape[1]])],
        tables,
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def float_model(folder: Path, rows: int, weights: Array) -> Path:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    return save(
        folder / "float.onnx", rows, weights.shape, nodes, [numpy_helper.from_array(weights, "w")]
    )


def int8_model(folder: Path, rows: int, weights: Array, quantized_output: bool) -> Path:
    """QDQ: unsigned activations of a fixed scale, signed weights of one scale an output."""
    scale = (np.abs(weights).max(0) / 127).astype(np.float32)
    codes = np.round(weights / scale).astype(np.int8)
    tables = [
        numpy_helper.from_array(np.float32(1 / 255), "xs"),
        numpy_helper.from_array(np.uint8(0), "xz"),
        numpy_helper.from_array(codes, "wq"),
        numpy_helper.from_array(scale, "ws"),
        numpy_helper.from_array(np.zeros(weights.shape[1], np.int8), "wz"),
        numpy_helper.from_array(np.float32(0.5), "ys"),
        numpy_helper.from_array(np.uint8(128), "yz"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        helper.make_node("DequantizeLinear", ["wq", "ws", "wz"], ["w"], axis=1),
        helper.make_node("MatMul", ["xd", "w"], ["m" if quantized_output else "y"]),
    ]
    if quantized_output:
        nodes += [
            helper.make_node("QuantizeLinear", ["m", "ys", "yz"], ["mq"]),
            helper.make_node("DequantizeLinear", ["mq", "ys", "yz"], ["y"]),
        ]
    name = f"int8-{quantized_output}.onnx"
    return save(folder / name, rows, weights.shape, nodes, tables)


def dynamic_int8_model(folder: Path, rows: int, weights: Array) -> Path:
    scale = (np.abs(weights).max(0) / 127).astype(np.float32)
    tables = [
        numpy_helper.from_array(np.round(weights / scale).astype(np.int8), "wq"),
        numpy_helper.from_array(scale, "ws"),
        numpy_helper.from_array(np.zeros(weights.shape[1], np.int8), "wz"),
    ]
    node = helper.make_node(
        "DynamicQuantizeMatMul", ["x", "wq", "ws", "wz"], ["y"], domain="com.microsoft"
    )
    return save(folder / "dynamic.onnx", rows, weights.shape, [node], tables)


def nbits_model(
    folder: Path,
    rows: int,
    shape: tuple[int, int],
    bits: int,
    block: int,
    random: np.random.Generator,
) -> Path:
    """Random codes: time does not depend on them. `accuracy_level` 4: INT8 activations."""
    inputs, outputs = shape
    blocks = inputs // block
    codes = random.integers(0, 256, (outputs, blocks, block * bits // 8), np.uint8)
    scales = random.random(outputs * blocks, np.float32)
    node = helper.make_node(
        "MatMulNBits",
        ["x", "w", "s"],
        ["y"],
        domain="com.microsoft",
        K=inputs,
        N=outputs,
        bits=bits,
        block_size=block,
        accuracy_level=4,
    )
    tables = [numpy_helper.from_array(codes, "w"), numpy_helper.from_array(scales, "s")]
    return save(folder / f"nbits-{bits}-{block}.onnx", rows, shape, [node], tables)


def onnxruntime_call(path: Path, x: Array) -> Call:
    from sysmol.peers import OnnxRuntime

    return OnnxRuntime(path).bound(x)


def openvino_call(path: Path, x: Array) -> Call:
    import openvino

    core = openvino.Core()
    options = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(str(path), "CPU", options).create_infer_request()
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
    return request.infer


def stream_call(folder: Path, size: int) -> Call:
    source, library = folder / "stream.c", folder / "stream.so"
    source.write_text(STREAM)
    if not library.exists():
        flags = ["-O2", "-march=native", "-shared", "-fPIC"]
        subprocess.run(["cc", *flags, str(source), "-o", str(library)], check=True)
    native = ctypes.CDLL(str(library))
    native.make.restype = ctypes.c_void_p
    data = ctypes.c_void_p(native.make(ctypes.c_size_t(size)))
    return lambda: native.stream(data, ctypes.c_size_t(size))


def measure(name: str, folder: Path, runs: int) -> list[dict[str, Any]]:
    rows, inputs, outputs, shares = CASES[name]
    random = np.random.default_rng(0)
    channels = segments(inputs, shares)
    network = folder / "net.mlir"
    write_network(network, rows, outputs, channels, random)
    bundle = folder / "net.smol"
    report = compile_network(network, bundle, targets=["x86-64-avx512"])
    model = load(bundle)
    model.verify()
    x = random.random((rows, inputs), np.float32)
    weights = random.standard_normal((inputs, outputs), np.float32) / 64
    size = report.weight_bytes
    calls: dict[str, Call] = {"ours": our_call(model, x), "stream": stream_call(folder, size)}
    float_path = float_model(folder, rows, weights)
    int8_path = int8_model(folder, rows, weights, quantized_output=True)
    real_path = int8_model(folder, rows, weights, quantized_output=False)
    calls["onnxruntime float32"] = onnxruntime_call(float_path, x)
    calls["openvino float32"] = openvino_call(float_path, x)
    calls["onnxruntime int8"] = onnxruntime_call(int8_path, x)
    calls["onnxruntime dynamic int8"] = onnxruntime_call(
        dynamic_int8_model(folder, rows, weights), x
    )
    calls["openvino int8"] = openvino_call(int8_path, x)
    calls["openvino int8, real output"] = openvino_call(real_path, x)
    for bits in (2, 4):
        for block in (32, 128):
            path = nbits_model(folder, rows, weights.shape, bits, block, random)
            calls[f"onnxruntime MatMulNBits {bits} bits, blocks of {block}"] = onnxruntime_call(
                path, x
            )
    times = interleaved(calls, runs)
    ours, stream = times["ours"], times["stream"]
    return [
        {
            "case": name,
            "rows": rows,
            "inputs": inputs,
            "outputs": outputs,
            "channels": {str(bits): count for bits, count in channels.items()},
            "weight_bytes": size,
            "stream_ms": stream.minimum,
            "stream_share": stream.minimum / ours.minimum,
            "gigabytes_per_second": size / ours.minimum / 1e6,
            "ours_ms": ours.minimum,
            "ours_median_ms": ours.median,
            "peer": peer,
            "peer_ms": taken.minimum,
            "peer_median_ms": taken.median,
            "ratio": taken.minimum / ours.minimum,
            "ratio_median": taken.median / ours.median,
            "runs": taken.runs,
        }
        for peer, taken in times.items()
        if peer not in ("ours", "stream")
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("output", type=Path)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--case", action="append", choices=list(CASES))
    arguments = parser.parse_args()
    result: dict[str, Any] = {"suite": "gemv", "environment": environment(), "rows": []}
    result["environment"]["versions"]["openvino"] = metadata.version("openvino")
    for name in arguments.case or CASES:
        with tempfile.TemporaryDirectory(prefix="sysmol-") as folder:
            rows = measure(name, Path(folder), arguments.runs)
        result["rows"] += rows
        write_json(arguments.output, result)
        for row in rows:
            print(
                f"{name}: {row['ours_ms']:.4f} ms, {row['peer']} {row['peer_ms']:.3f} ms, "
                f"{row['ratio']:.1f}x, {row['stream_share']:.0%} of streaming",
                flush=True,
            )


if __name__ == "__main__":
    main()
