"""Kinds of command-line arguments, and a parser that says wrong use in one line."""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from sysmol.errors import SysmolError, UsageError

__all__ = [
    "EXIT_CODES",
    "Parser",
    "factor",
    "guarded",
    "natural",
    "one_of",
    "pattern",
    "positive",
    "quantity",
    "run_script",
    "seed",
    "threads",
]

EXIT_CODES = """\
Exit codes: 0 done, 1 input refused, 2 wrong use, 3 too little memory or disk
space, 70 a fault of Sysmol. Errors are one line."""


class Parser(argparse.ArgumentParser):
    """Says wrong use in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def natural(text: str) -> int:
    """0, 1, 2, ..."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"'{text}' is no number of at least 0")
    return int(text)


def positive(text: str) -> int:
    """1, 2, 3, ..."""
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"'{text}' is no number of at least 1")
    return int(text)


def seed(text: str) -> int:
    """What :func:`torch.manual_seed` takes, with room for one number per stage and epoch."""
    value = natural(text)
    if value >= 2**48:
        raise argparse.ArgumentTypeError(f"'{text}' is too large for a seed; below 2^48 is allowed")
    return value


def threads(text: str) -> int:
    """As many as one process may be expected to have."""
    value = positive(text)
    if value > 1024:
        raise argparse.ArgumentTypeError(f"'{text}' threads are too many; at most 1024 are allowed")
    return value


def factor(text: str) -> float:
    """A positive real number below a million."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"'{text}' is no positive number below 1000000")
    return value


def quantity(parse: Callable[[str], float]) -> Callable[[str], float]:
    """What ``parse`` takes; its :class:`SysmolError` is wrong use."""

    def parsed(text: str) -> float:
        try:
            return parse(text)
        except SysmolError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def pattern(text: str) -> str:
    """A regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no regular expression: {error}") from error
    return text


def one_of(names: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Names of ``known``, separated by commas; ``all`` or ``none`` of them."""
    given = {"all": known, "none": ()}.get(names, tuple(names.split(",")))
    for name in given:
        if name not in known:
            raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(known)}")
    return given


def guarded(prog: str, body: Callable[[], int]) -> int:
    """The exit status of ``body``; what it raises is one line on standard error."""

    def failed(message: object, status: int) -> int:
        print(f"{prog}: error: {message}", file=sys.stderr)
        return status

    try:
        status = body()
        sys.stdout.flush()
        return status
    except SysmolError as error:
        return failed(error, error.exit_code)
    except KeyboardInterrupt:
        return failed("interrupted", 130)
    except BrokenPipeError:
        # Nobody reads on; Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        return failed("out of memory", 3)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return failed(f"{where}{error.strerror or error}", 1)
    except Exception as error:
        if os.environ.get("SYSMOL_TRACEBACK"):
            traceback.print_exc()
        text = " ".join(str(error).split())
        return failed(
            f"{type(error).__name__}: {text}; this is a fault of Sysmol, please report it "
            "(SYSMOL_TRACEBACK=1 shows where)",
            70,
        )


def run_script(
    description: str | None,
    add: Callable[[Parser], None],
    body: Callable[[argparse.Namespace], None],
    arguments: Sequence[str] | None = None,
    prog: str | None = None,
) -> int:
    """Run a script of ours: its arguments, its work, its exit status."""
    parser = Parser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add(parser)

    def run() -> int:
        body(parser.parse_args(arguments))
        return 0

    return guarded(parser.prog, run)
