"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sysmol.errors import ResourceLimit, SysmolError

__all__ = ["write", "write_all", "write_bytes", "write_json", "write_text"]

_LIMITS = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EMFILE, errno.ENFILE)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _target(path: Path) -> tuple[Path, int]:
    """Where ``path`` leads, and the permissions of the new file."""
    if not path.name or path.name == "..":
        raise SysmolError(f"cannot write '{path}': a file name is expected")
    target = Path(os.path.realpath(path))
    try:
        status = target.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise SysmolError(f"cannot write {path}: it is a symbolic link to nothing") from None
        return target, 0o666 & ~_umask()
    if not stat.S_ISREG(status.st_mode):
        raise SysmolError(
            f"cannot write {path}: it exists and is not a regular file; choose another path"
        )
    return target, stat.S_IMODE(status.st_mode)


def write_all(contents: Sequence[tuple[Path, Callable[[Path], object]]]) -> None:
    """Let each function write a file beside its path; when all are there, rename them.

    A file that is replaced keeps its permissions; a link is followed.

    Raises
    ------
    SysmolError
        Something is no regular file, or cannot be written; every path is as it was.
    ResourceLimit
        The disk is full.
    """
    parts: list[tuple[Path, Path]] = []
    path = Path()
    try:
        for path, fill in contents:
            target, mode = _target(path)
            handle, name = tempfile.mkstemp(".tmp", ".sysmol-", target.parent)
            os.close(handle)
            part = Path(name)
            parts.append((part, target))
            fill(part)
            part.chmod(mode)
            with part.open("rb") as written:
                os.fsync(written.fileno())
        for part, target in parts:
            part.replace(target)
    except OSError as error:
        kind = ResourceLimit if error.errno in _LIMITS else SysmolError
        raise kind(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        for part, _ in parts:
            part.unlink(missing_ok=True)


def write(path: str | os.PathLike[str], fill: Callable[[Path], object]) -> None:
    """As :func:`write_all`, of one file."""
    write_all([(Path(path), fill)])


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """As :meth:`pathlib.Path.write_bytes`, but whole or not at all."""
    write(path, lambda part: part.write_bytes(content))


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """UTF-8, line breaks as they are."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Indented JSON that ends with a line break."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
