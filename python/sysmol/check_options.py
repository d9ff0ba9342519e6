"""Options that ``python -m sysmol.check`` and ``sysmol verify`` share; quick to import."""

from __future__ import annotations

import argparse
from pathlib import Path

from sysmol.zoo import NETWORK

__all__ = ["add_options"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that this module and ``sysmol verify`` share."""
    parser.add_argument(
        "--images", type=int, default=200, metavar="N", help="how many test images (default: 200)"
    )
    parser.add_argument(
        "--task",
        default="fashion-mnist",
        metavar="NAME",
        help="whose test images, as for 'sysmol train' (default: fashion-mnist)",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of the task's data (default: Debian's)"
    )
    parser.add_argument(
        "--network",
        type=Path,
        default=NETWORK,
        metavar="ONNX",
        help="what the simulation reads (default: the network of the zoo)",
    )
    parser.add_argument(
        "--emulate", action="store_true", help="run a network for a GPU on this CPU, slowly"
    )
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="NAME",
        help="only this target; may be given several times (default: all)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        action="append",
        metavar="N",
        help="only this number of threads; may be given several times (default: 1 and 2)",
    )
    parser.add_argument(
        "--reference-images",
        type=int,
        default=0,
        metavar="N",
        help="also run so many images through the slow C++ reference (default: 0)",
    )
