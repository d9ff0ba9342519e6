"""Run a kernel in the emulator, ``sysmol-gpu-emulate``, which needs no GPU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sysmol.errors import InputRefused, InternalError, ResourceLimit, UsageError
from sysmol.gpu.kernel import Kernel
from sysmol.gpu.problem import Problem

__all__ = ["call", "emulate", "tool"]

_ERRORS = {1: InputRefused, 2: UsageError, 3: ResourceLimit}


def tool() -> Path:
    """The emulator's program: ``SYSMOL_GPU_EMULATE``, or where the build and the shell have it."""
    given = os.environ.get("SYSMOL_GPU_EMULATE")
    if given:
        return Path(given)
    built = Path(__file__).resolve().parents[3] / "build" / "bin" / "sysmol-gpu-emulate"
    if built.exists():
        return built
    found = shutil.which("sysmol-gpu-emulate")
    if found is None:
        raise ResourceLimit(
            "there is no sysmol-gpu-emulate; build it, or name it in SYSMOL_GPU_EMULATE"
        )
    return Path(found)


def call(arguments: Sequence[str], path: Path) -> None:
    """Run the emulator's program; ``path`` is what errors call the input.

    Raises
    ------
    InternalError
        The kernel did what is undefined on a GPU.
    """
    done = subprocess.run([str(tool()), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        message = done.stderr.strip().removeprefix("sysmol-gpu-emulate: error: ")
        message = message.removeprefix(f"{path}: ")
        raise _ERRORS.get(done.returncode, InternalError)(f"{path}: {message}")


def emulate(
    kernel: Kernel, problem: Problem, schedule_seed: int = 0
) -> tuple[torch.Tensor, dict[str, Any]]:
    """Run a kernel on the CPU.

    Parameters
    ----------
    kernel : Kernel
        With LLVM IR.
    problem : Problem
        What its buffers hold.
    schedule_seed : int
        Shuffles blocks and warps; 0 leaves them in order.

    Returns
    -------
    Tensor, dict
        The bytes of the output, and the counts of operations and bytes.

    Raises
    ------
    InternalError
        The kernel did what is undefined on a GPU.
    """
    with tempfile.TemporaryDirectory(prefix="sysmol-") as name:
        folder = Path(name)
        command = [str(kernel.path), f"--schedule-seed={schedule_seed}"]
        for buffer, contents in problem.inputs.items():
            (folder / buffer).write_bytes(contents.cpu().numpy().tobytes())
            command.append(f"--set={buffer}={folder / buffer}")
        output, counts = folder / "output.bin", folder / "counts.json"
        command += [f"--get={kernel.output.name}={output}", f"--statistics={counts}"]
        call(command, kernel.path)
        memory = torch.frombuffer(bytearray(output.read_bytes()), dtype=torch.uint8)
        return memory, json.loads(counts.read_text())
