"""A small kernel of 1-bit products in plain LLVM IR, with its launch description, for tests.

Thread (m, n) adds ``popcount(a & w)`` over the words of row m of the activations and row n of the
weights. One module is right, the others are wrong in a known way.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

IR = """
target triple = "nvptx64-nvidia-cuda"
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
declare i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
declare i32 @llvm.ctpop.i32(i32)
define ptx_kernel void @product(ptr addrspace(1) %w, ptr addrspace(1) %a, ptr addrspace(1) %out) {{
entry:
  %n = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %m = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
  %count = call i32 @llvm.nvvm.read.ptx.sreg.ntid.x()
  %wrow = mul i32 %n, {words}
  %arow = mul i32 %m, {words}
  br label %loop
loop:
  %i = phi i32 [ 0, %entry ], [ %next, %loop ]
  %sum = phi i32 [ 0, %entry ], [ %more, %loop ]
  %wi = add i32 %wrow, %i
  %ai = add i32 %arow, %i
  %wp = getelementptr i32, ptr addrspace(1) %w, i32 %wi
  %ap = getelementptr i32, ptr addrspace(1) %a, i32 %ai
  %wv = load i32, ptr addrspace(1) %wp, align 4
  %av = load i32, ptr addrspace(1) %ap, align 4
  %and = and i32 %wv, %av
  %both = call i32 @llvm.ctpop.i32(i32 %and)
  %alone = call i32 @llvm.ctpop.i32(i32 %av)
  %twice = mul i32 %both, 2
  %part = sub i32 %twice, %alone
  %more = add i32 %sum, %part
  %next = add i32 %i, 1
  %again = icmp ult i32 %next, {trip}
  br i1 %again, label %loop, label %done
done:
  %scaled = mul i32 %more, {scale}
  %orow = mul i32 %m, %count
  %oi = add i32 %orow, %n
  %op = getelementptr i32, ptr addrspace(1) %out, i32 %oi
  store i32 %scaled, ptr addrspace(1) %op, align 4
  ret void
}}
"""


def write(
    folder: Path, name: str = "product", m: int = 3, n: int = 8, words: int = 5, **wrong: int
) -> Path:
    """Write ``name``.ll and ``name``.json; ``trip`` and ``scale`` make the kernel wrong."""
    numbers = {"words": words, "trip": words, "scale": 7} | wrong
    (folder / f"{name}.ll").write_text(IR.format(**numbers))
    k = 32 * words
    path = folder / f"{name}.json"
    path.write_text(json.dumps(description(name, m, n, k)))
    return path


def description(name: str, m: int, n: int, k: int) -> dict[str, Any]:
    def rows(letter: str, count: int, buffer: str) -> dict[str, Any]:
        return {"buffer": buffer, "base": 0, letter: [[count, k]], "k": [[k, 1]], "b": [[1, 0]]}

    return {
        "format": "sysmol-gpu-kernel",
        "version": 1,
        "name": name,
        "arch": "sm_90",
        # The emulated driver takes IR where a real one takes PTX.
        "ptx": f"{name}.ll",
        "llvm_ir": f"{name}.ll",
        "launches": [
            {
                "entry": "product",
                "grid": [m, 1, 1],
                "block": [n, 1, 1],
                "shared_bytes": 0,
                "arguments": ["weights", "activations", "output"],
            }
        ],
        "buffers": {
            "weights": {"bytes": n * k // 8, "role": "weights"},
            "activations": {"bytes": m * k // 8, "role": "activations"},
            "output": {
                "bytes": 4 * m * n,
                "role": "output",
                "element": "i32",
                "shape": [m, n],
                "strides": [n, 1],
            },
        },
        "operation": {
            "kind": "gemm",
            "m": m,
            "n": n,
            "k": k,
            "segments": [
                {
                    "channels": k,
                    "weight_bits": 1,
                    "activation_bits": 1,
                    "multiplier": 7,
                    "weights": rows("n", n, "weights"),
                    "activations": rows("m", m, "activations"),
                }
            ],
            "activation_grid": "unsigned",
            "weight_grid": "midrise",
            "result": "i32",
        },
    }
