"""Attributes of ONNX nodes, of the right name, type and range, or refused.

What is allowed is what the compiler allows, so that no file means two things.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import onnx

from sysmol.errors import SysmolError
from sysmol.onnx_graph import MAX_DIMENSION
from sysmol.windows import Window

__all__ = ["Attributes"]

_WINDOW = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")
_KNOWN: dict[str, tuple[str, ...]] = {
    "Quant": ("narrow", "rounding_mode", "signed"),
    "Conv": (*_WINDOW, "group"),
    "Gemm": ("alpha", "beta", "transA", "transB"),
    "BatchNormalization": ("epsilon", "momentum", "training_mode"),
    "MaxPool": (*_WINDOW, "ceil_mode", "storage_order"),
    "AveragePool": (*_WINDOW, "ceil_mode", "count_include_pad"),
    "Flatten": ("axis",),
    "Reshape": ("allowzero",),
    "Constant": ("value",),
}


class Attributes:
    """The attributes of one node.

    Parameters
    ----------
    node : onnx.NodeProto

    Raises
    ------
    SysmolError
        By all methods, too: for an attribute that its operator does not have, or of another type.
    """

    def __init__(self, node: onnx.NodeProto) -> None:
        self._given: dict[str, onnx.AttributeProto] = {}
        known = sorted(_KNOWN.get(node.op_type, ()))
        for attribute in node.attribute:
            # The compiler copies an Identity without a look at it.
            if attribute.name not in known and node.op_type != "Identity":
                allowed = ", ".join(known) or "none"
                raise SysmolError(
                    f"attribute '{attribute.name}' is not supported; allowed are {allowed}"
                )
            self._given.setdefault(attribute.name, attribute)

    def integer(self, name: str, default: int) -> int:
        """An INT."""
        attribute = self._given.get(name)
        if attribute is None:
            return default
        if attribute.type != onnx.AttributeProto.INT:
            raise SysmolError(f"{name} must be an integer")
        return attribute.i

    def number(self, name: str, default: float) -> float:
        """A finite FLOAT."""
        attribute = self._given.get(name)
        if attribute is None:
            return default
        if attribute.type != onnx.AttributeProto.FLOAT or not isfinite(attribute.f):
            raise SysmolError(f"{name} must be a finite number")
        return attribute.f

    def text(self, name: str, default: str) -> str:
        """A STRING."""
        attribute = self._given.get(name)
        if attribute is None:
            return default
        if attribute.type != onnx.AttributeProto.STRING:
            raise SysmolError(f"{name} must be a string")
        return attribute.s.decode(errors="replace")

    def integers(self, name: str, default: Sequence[int], least: int) -> list[int]:
        """INTS, as many as ``default`` has, from ``least`` to 2^24."""
        attribute = self._given.get(name)
        if attribute is None:
            return list(default)
        given = list(attribute.ints)
        if (
            attribute.type != onnx.AttributeProto.INTS
            or len(given) != len(default)
            or min(given) < least
            or max(given) > MAX_DIMENSION
        ):
            raise SysmolError(f"{name} must be {len(default)} integers from {least} to 2^24")
        return given

    def window(self, kernel: Sequence[int] | None = None) -> Window:
        """The window of a pool, or that of a convolution, whose weights make it ``kernel``."""
        shape = self.integers("kernel_shape", kernel or (0, 0), 1)
        if kernel is None and "kernel_shape" not in self._given:
            raise SysmolError("kernel_shape is missing; expected 2 integers from 1 to 2^24")
        if kernel is not None and shape != list(kernel):
            raise SysmolError(f"kernel_shape is {shape}, the weight's is {list(kernel)}")
        if self.text("auto_pad", "NOTSET") != "NOTSET":
            raise SysmolError("auto_pad is not supported: give pads")
        return Window(
            shape,
            self.integers("strides", (1, 1), 1),
            self.integers("pads", (0, 0, 0, 0), 0),
            self.integers("dilations", (1, 1), 1),
        )
