"""Trained networks that travel with Sysmol, and the images to try them on."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FLOAT", "NETWORK"]

_FOLDER = Path(__file__).resolve().parent

NETWORK = _FOLDER / "preresnet20-fashion-mnist.onnx"
"""Pre-activation ResNet-20 on Fashion-MNIST, channels of 1, 2 and 4 bits."""

FLOAT = _FOLDER / "preresnet20-fashion-mnist-float.onnx"
"""Its float twin."""
