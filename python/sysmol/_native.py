"""A helpful word where a native module is not built."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sysmol.errors import SysmolError

__all__ = ["needed"]


@contextmanager
def needed(what: str) -> Iterator[None]:
    """Around the import of a native module: a failure says what to do.

    Parameters
    ----------
    what : str
        For the message: "compiler" or "runtime".

    Raises
    ------
    SysmolError
        The module is not there, or lacks a library.
    """
    try:
        yield
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        reason = "it is not built for this Python" if missing else str(error)
        raise SysmolError(
            f"the native {what} cannot be loaded: {reason}; run tools/dev/build"
        ) from error
