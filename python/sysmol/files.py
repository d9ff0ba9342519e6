"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sysmol.errors import SysmolError

__all__ = ["write", "write_bytes", "write_json", "write_text"]


def write(path: str | os.PathLike[str], fill: Callable[[Path], object]) -> None:
    """Let ``fill`` write a file beside ``path``, then rename it.

    Raises
    ------
    SysmolError
        The file cannot be written; ``path`` is as it was.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        fill(part)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise SysmolError(f"cannot write {path}: {error.strerror or error}") from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """As :meth:`pathlib.Path.write_bytes`, but whole or not at all."""
    write(path, lambda part: part.write_bytes(content))


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """UTF-8, line breaks as they are."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Indented JSON that ends with a line break."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
