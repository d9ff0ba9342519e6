"""Run compiled kernels on an NVIDIA GPU through its driver.

Needs the driver (``libcuda.so.1``) and nothing of CUDA's toolkit. Importing it loads nothing.
"""

from __future__ import annotations

from sysmol.gpu.device import Buffer, Device, Event, Function, Graph, Module, Stream
from sysmol.gpu.driver import available
from sysmol.gpu.network import Context, Network

__all__ = [
    "Buffer",
    "Context",
    "Device",
    "Event",
    "Function",
    "Graph",
    "Module",
    "Network",
    "Stream",
    "available",
]
