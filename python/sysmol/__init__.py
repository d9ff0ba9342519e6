"""Sysmol: networks whose input channels each have their own ultra-low precision.

Train them in PyTorch, write them as ONNX, compile them to native mixed-precision code. Importing
this package imports neither PyTorch nor ONNX; each name below loads its module when first used.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sysmol.errors import (
    InputRefused,
    InternalError,
    ResourceLimit,
    SysmolError,
    UsageError,
)

if TYPE_CHECKING:
    from sysmol.compile import CompileReport, compile, reference, targets
    from sysmol.export import export
    from sysmol.posttraining import calibrate_bits
    from sysmol.prepare import Inputs, prepare
    from sysmol.runtime import Model, load
    from sysmol.simulate import IntegerNetwork

__version__ = "0.1.0"

__all__ = [
    "CompileReport",
    "InputRefused",
    "Inputs",
    "IntegerNetwork",
    "InternalError",
    "Model",
    "ResourceLimit",
    "SysmolError",
    "UsageError",
    "__version__",
    "calibrate_bits",
    "compile",
    "export",
    "load",
    "prepare",
    "reference",
    "targets",
]

_LAZY = {
    "CompileReport": "compile",
    "Inputs": "prepare",
    "IntegerNetwork": "simulate",
    "Model": "runtime",
    "calibrate_bits": "posttraining",
    "compile": "compile",
    "export": "export",
    "load": "runtime",
    "prepare": "prepare",
    "reference": "compile",
    "targets": "compile",
}


class _Package(ModuleType):
    """Keeps ``sysmol.prepare``, ``sysmol.export`` and ``sysmol.compile`` functions.

    Importing a submodule binds it in its package; where a function has the module's name, the
    function is bound instead, whatever was imported first.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name in _LAZY and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'sysmol' has no attribute {name!r}")
    return getattr(importlib.import_module(f"sysmol.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
