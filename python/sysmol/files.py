"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sysmol.errors import ResourceLimit, SysmolError

__all__ = [
    "folder",
    "write",
    "write_all",
    "write_bytes",
    "write_csv",
    "write_json",
    "write_text",
]

_LIMITS = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EMFILE, errno.ENFILE)


def _target(path: Path) -> tuple[Path, int | None]:
    """Where ``path`` leads, and the permissions of the file that is there."""
    if not path.name or path.name == "..":
        raise SysmolError(f"cannot write '{path}': a file name is expected")
    target = Path(os.path.realpath(path))
    try:
        status = target.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise SysmolError(f"cannot write {path}: it is a symbolic link to nothing") from None
        return target, None
    if not stat.S_ISREG(status.st_mode):
        raise SysmolError(
            f"cannot write {path}: it exists and is not a regular file; choose another path"
        )
    return target, stat.S_IMODE(status.st_mode)


def _new_beside(target: Path) -> Path:
    """An empty file with the permissions that umask gives, which mkstemp() does not."""
    while True:
        part = target.with_name(f".sysmol-{secrets.token_hex(8)}.tmp")
        with contextlib.suppress(FileExistsError):
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            return part


def write_all(contents: Sequence[tuple[Path, Callable[[Path], object]]]) -> None:
    """Let each function write a file beside its path; when all are there, rename them.

    A file that is replaced keeps its permissions; a link is followed.

    Raises
    ------
    SysmolError
        Something is no regular file, is given twice, or cannot be written; no path has changed,
        unless renaming itself fails.
    ResourceLimit
        The disk is full.
    """
    parts: list[tuple[Path, Path]] = []
    path = Path()
    try:
        for path, fill in contents:
            target, mode = _target(path)
            if any(target == other for _, other in parts):
                raise SysmolError(f"cannot write {path} twice; give each output a file of its own")
            part = _new_beside(target)
            parts.append((part, target))
            fill(part)
            if mode is not None:
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


def write_csv(path: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Comma-separated values; the columns are those of the last row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[-1]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


@contextlib.contextmanager
def folder(path: Path) -> Iterator[None]:
    """Make a folder to work in; it goes again if the work fails and has left nothing in it.

    So do the folders above it that it was the first in.
    """
    made = [p for p in (path, *path.parents) if not p.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # not empty
            for p in made:
                p.rmdir()
        raise
