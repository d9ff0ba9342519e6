"""Weights of a float network back from the ONNX file that :func:`sysmol.export` wrote."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from sysmol.errors import SysmolError

__all__ = ["load_float"]

_NORM = {"scale": "weight", "shift": "bias", "mean": "running_mean", "variance": "running_var"}


@torch.no_grad()
def load_float(model: nn.Module, path: Path | str) -> nn.Module:
    """Fill a float network of the same structure from ``path``, in place; give it back.

    Parameters
    ----------
    model : nn.Module
        Of layers that :func:`sysmol.prepare` knows.
    path : path-like
        What ``sysmol.export(twin, path)`` wrote.

    Raises
    ------
    SysmolError
        The file cannot be read, or belongs to another network.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path)).graph
    except (OSError, DecodeError, ValueError) as error:
        raise SysmolError(f"{path}: cannot read this ONNX model: {error}") from error
    if any(node.op_type == "Quant" for node in graph.node):
        raise SysmolError(f"{path}: this network is quantized; its float twin is needed")
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    wanted = {
        name: value
        for name, value in model.state_dict(keep_vars=False).items()
        if not name.endswith("num_batches_tracked")
    }
    for tensor in graph.initializer:
        owner, _, leaf = tensor.name.rpartition(".")
        name = f"{owner}.{_NORM.get(leaf, leaf)}" if owner in norms else tensor.name
        place = wanted.pop(name, None)
        value = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        if place is None or place.shape != value.shape:
            raise SysmolError(f"{path}: '{tensor.name}' does not belong to this network")
        place.copy_(value)
    if wanted:
        raise SysmolError(f"{path}: holds no '{next(iter(wanted))}'")
    return model
