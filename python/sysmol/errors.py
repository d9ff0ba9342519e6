"""The one exception that Sysmol's Python code raises for bad input."""

from __future__ import annotations

__all__ = ["SysmolError"]


class SysmolError(Exception):
    """Bad input, said in one line that names the culprit and what was expected.

    Parameters
    ----------
    message : str
        One line, no trailing full stop needed. Line breaks are folded into spaces, so that a
        command-line tool can always print ``sysmol: error: <message>`` on one line.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
