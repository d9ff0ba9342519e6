"""The exceptions that Sysmol's Python code raises on purpose."""

from __future__ import annotations

from typing import ClassVar

__all__ = ["InputRefused", "InternalError", "ResourceLimit", "SysmolError", "UsageError"]


class SysmolError(Exception):
    """Bad input, said in one line that names the culprit and what was expected.

    Parameters
    ----------
    message : str
        One line, no trailing full stop needed. Line breaks are folded into spaces, so that a
        command-line tool can always print ``sysmol: error: <message>`` on one line.

    Attributes
    ----------
    exit_code : int
        What a command-line tool exits with: 1, 2, 3 or 70.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class InputRefused(SysmolError):
    """A model, bundle, file or array is not what it should be."""


class UsageError(SysmolError):
    """The caller asked for something that does not exist."""

    exit_code = 2


class ResourceLimit(SysmolError):
    """The machine has too little memory, disk space or threads."""

    exit_code = 3


class InternalError(SysmolError):
    """A fault of Sysmol or of the code it compiled; please report it."""

    exit_code = 70
