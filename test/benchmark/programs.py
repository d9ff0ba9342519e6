"""Other programs, as the scripts of this folder run them: a failure is one line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from sysmol.errors import SysmolError

__all__ = ["find", "output_of"]

#: Where our own are, if they are not on the path.
_OURS = Path(__file__).resolve().parents[2] / "build" / "bin"


def find(*names: str) -> str:
    """The first of some programs that there is, also of our own."""
    for name in names:
        if found := shutil.which(name) or shutil.which(name, path=str(_OURS)):
            return found
    raise SysmolError(f"{names[0]} is not installed: it is needed here")


def output_of(*command: str | Path) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise SysmolError(f"{Path(command[0]).name}: {lines[-1]}")
    return done.stdout
