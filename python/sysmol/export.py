"""Write networks as ONNX: ours with QONNX ``Quant`` nodes (HP21), the twin in plain operators.

The bytes depend on the weights alone. Weights are stored snapped to their grid (HP23).
"""

from __future__ import annotations

import copy
import operator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from sysmol import __version__
from sysmol.attention import attention_nodes, owner
from sysmol.errors import SysmolError
from sysmol.files import write_bytes
from sysmol.grids import Float32, Grid, Int64, check_levels, quantize, step, values
from sysmol.layers import ActivationQuant, CarrierQuant, QuantConv2d, QuantLayer, QuantLinear
from sysmol.normalize import BATCH_NORMS, DROPOUTS, SOFTMAX, fault, module_of, normalize
from sysmol.prepare import is_residual, trace

__all__ = ["QONNX_DOMAIN", "build", "check_writable", "export"]

QONNX_DOMAIN = "qonnx.custom_op.general"
_OPSET = 17
_IR_VERSION = 8
_ALLOWED = (
    "allowed are Conv2d, Linear, batch norm, ReLU, ReLU6, max and average pools, Flatten, Dropout "
    "and residual + of two different tensors"
)


class _Writer:
    """Collects nodes and initializers; values are named after the traced nodes."""

    def __init__(self, graph: fx.GraphModule) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.quantized = False
        # Traced names can be any; those of the ends are given.
        self._taken = {"image", "logits"}

    def unique(self, name: str) -> str:
        """``name``, or one like it if another value has it."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def constant(self, name: str, array: npt.ArrayLike) -> str:
        """Add a binary32 initializer, once; give its name."""
        tensor = numpy_helper.from_array(np.array(array, np.float32, order="C"), name)
        self.initializers.setdefault(name, tensor)
        return name

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        """Add a node of the default domain."""
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))

    def quant(
        self,
        source: str,
        output: str,
        scale: npt.ArrayLike,
        zero: npt.ArrayLike,
        bits: npt.ArrayLike,
        signed: bool,
    ) -> None:
        """Add a QONNX ``Quant`` node."""
        self.quantized = True
        inputs = [source]
        for suffix, array in (("scale", scale), ("zero_point", zero), ("bit_width", bits)):
            inputs.append(self.constant(f"{output}.{suffix}", array))
        node = helper.make_node(
            "Quant",
            inputs,
            [output],
            name=output,
            domain=QONNX_DOMAIN,
            signed=int(signed),
            narrow=int(signed),
            # HP21: a value on a boundary of the mid-rise grid takes the upper code.
            rounding_mode="HALF_UP" if np.any(np.asarray(zero)) else "ROUND",
        )
        self.nodes.append(node)


def _array(tensor: torch.Tensor) -> Float32:
    return np.asarray(tensor.detach().cpu().float().contiguous().numpy(), np.float32)


def _zero_point(grid: Grid, bits: Int64) -> tuple[npt.NDArray[np.float64], bool]:
    """Zero points of HP21, and whether the node is ``signed`` and ``narrow``."""
    if grid is Grid.UNSIGNED:
        return np.zeros(bits.shape), False
    if (bits == 8).all():
        return np.zeros(bits.shape), True
    return np.where(bits == 8, 128.0, np.exp2(bits - 1.0) - 0.5), False


def _squeeze(array: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """A scalar where all channels agree (HP21)."""
    full = np.asarray(array, np.float64)
    return np.asarray(full.flat[0]) if (full == full.flat[0]).all() else full


def _activation(
    writer: _Writer, quant: ActivationQuant, source: str, output: str, name: str, rank: int
) -> None:
    bits = check_levels(quant.precision.bits.numpy()).reshape(1, -1, *([1] * (rank - 2)))
    grid = Grid.MIDRISE if quant.signed else Grid.UNSIGNED
    scale = float(quant.alpha.detach())
    finest = int(bits.max())
    # HP22 reads the scale back from the finest level, so every other step starts there too.
    if grid is Grid.UNSIGNED:
        scale = float(np.float32(scale / (2**finest - 1))) * (2**finest - 1)
    zero, signed = _zero_point(grid, bits)
    steps = np.broadcast_to(step(grid, bits, scale), bits.shape)
    codes = output if quant.pool is None else writer.unique(name)
    writer.quant(source, codes, _squeeze(steps), _squeeze(zero), _squeeze(bits), signed)
    if quant.pool is not None:
        _max_pool(writer, quant.pool, codes, output, name)


def _weight(writer: _Writer, layer: QuantLayer, name: str) -> str:
    tail = (1,) * (layer.weight.dim() - 2)
    full = layer.spread(layer.precision.bits).numpy()
    bits = check_levels(full)
    scale = _array(layer.scale).astype(np.float64).reshape(-1, 1, *tail)
    codes = quantize(_array(layer.weight), Grid.MIDRISE, bits, scale)
    zero, signed = _zero_point(Grid.MIDRISE, bits)
    snapped = writer.constant(f"{name}.weight", values(codes, Grid.MIDRISE, bits, scale))
    steps = np.broadcast_to(
        step(Grid.MIDRISE, bits, scale), (layer.weight.shape[0], layer.weight.shape[1], *tail)
    )
    output = f"{name}.weight_quant"
    writer.quant(snapped, output, steps, _squeeze(zero), _squeeze(bits), signed)
    return output


def _pads(padding: tuple[int, ...] | str) -> list[int]:
    if isinstance(padding, str):
        raise SysmolError(f"export: padding {padding!r} must be given as numbers")
    return [*padding, *padding]


def _pair(value: int | tuple[int, ...]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _conv(
    writer: _Writer, conv: nn.Conv2d | QuantConv2d, source: str, output: str, name: str
) -> None:
    if isinstance(conv, QuantConv2d):
        inputs = [source, _weight(writer, conv, name)]
    else:
        inputs = [source, writer.constant(f"{name}.weight", _array(conv.weight))]
    if conv.bias is not None:
        inputs.append(writer.constant(f"{name}.bias", _array(conv.bias)))
    writer.add(
        "Conv",
        inputs,
        output,
        kernel_shape=list(conv.weight.shape[2:]),
        strides=list(conv.stride),
        pads=_pads(conv.padding),
        dilations=list(conv.dilation),
        group=conv.groups,
    )


def _linear(
    writer: _Writer, linear: nn.Linear | QuantLinear, source: str, output: str, name: str
) -> None:
    if isinstance(linear, QuantLinear):
        inputs = [source, _weight(writer, linear, name)]
    else:
        inputs = [source, writer.constant(f"{name}.weight", _array(linear.weight))]
    if linear.bias is not None:
        inputs.append(writer.constant(f"{name}.bias", _array(linear.bias)))
    writer.add("Gemm", inputs, output, transB=1)


def _norm(
    writer: _Writer, norm: nn.modules.batchnorm._BatchNorm, source: str, output: str, name: str
) -> None:
    if norm.running_mean is None or norm.running_var is None:
        raise SysmolError(f"export: batch norm '{name}' keeps no running statistics")
    ones = torch.ones(norm.num_features)
    parts = {
        "scale": norm.weight if norm.affine else ones,
        "shift": norm.bias if norm.affine else 0 * ones,
        "mean": norm.running_mean,
        "variance": norm.running_var,
    }
    constants = [writer.constant(f"{name}.{key}", _array(value)) for key, value in parts.items()]
    writer.add("BatchNormalization", [source, *constants], output, epsilon=norm.eps)


def _max_pool(writer: _Writer, pool: nn.MaxPool2d, source: str, output: str, name: str) -> None:
    more = {"ceil_mode": 1} if pool.ceil_mode else {}
    writer.add(
        "MaxPool",
        [source],
        output,
        kernel_shape=_pair(pool.kernel_size),
        strides=_pair(pool.stride),
        pads=_pads(tuple(_pair(pool.padding))),
        **more,
    )


def _adaptive_pool(writer: _Writer, node: fx.Node, source: str, output: str) -> None:
    """An average over equal windows; those of unequal size have no operator."""
    sizes, given = (n.meta["tensor_meta"].shape[-2:] for n in (node, node.all_input_nodes[0]))
    if tuple(sizes) == (1, 1):
        writer.add("GlobalAveragePool", [source], output)
        return
    if any(whole % part for whole, part in zip(given, sizes, strict=True)):
        raise SysmolError(
            f"export: '{node.target}': {given[0]}x{given[1]} pixels do not divide into "
            f"{sizes[0]}x{sizes[1]} equal windows: use AdaptiveAvgPool2d(1) or AvgPool2d"
        )
    kernel = [whole // part for whole, part in zip(given, sizes, strict=True)]
    writer.add(
        "AveragePool",
        [source],
        output,
        kernel_shape=kernel,
        strides=kernel,
        pads=[0] * 4,
        count_include_pad=1,
    )


def _write(writer: _Writer, node: fx.Node, inputs: list[str], output: str) -> None:
    if node.op == "call_function":
        writer.add("Add", inputs, output)
        return
    name = str(node.target)
    module = writer.graph.get_submodule(name)
    source = inputs[0]
    if isinstance(module, ActivationQuant):
        rank = len(node.meta["tensor_meta"].shape)
        _activation(writer, module, source, output, node.name, rank)
    elif isinstance(module, CarrierQuant):
        writer.quant(source, output, float(module.delta), 0.0, 16.0, True)
    elif isinstance(module, (nn.Conv2d, QuantConv2d)):
        _conv(writer, module, source, output, name)
    elif isinstance(module, (nn.Linear, QuantLinear)):
        if len(node.meta["tensor_meta"].shape) != 2:
            raise SysmolError(f"export: linear layer '{name}' reads more than [N, C]")
        _linear(writer, module, source, output, name)
    elif isinstance(module, BATCH_NORMS):
        _norm(writer, module, source, output, name)
    elif isinstance(module, nn.ReLU):
        writer.add("Relu", inputs, output)
    elif isinstance(module, nn.Hardtanh):
        ends = (("min", module.min_val), ("max", module.max_val))
        constants = [writer.constant(f"{name}.{end}", value) for end, value in ends]
        writer.add("Clip", [source, *constants], output)
    elif isinstance(module, nn.MaxPool2d):
        _max_pool(writer, module, source, output, name)
    elif isinstance(module, nn.AdaptiveAvgPool2d):
        _adaptive_pool(writer, node, source, output)
    elif isinstance(module, nn.AvgPool2d):
        kernel = _pair(module.kernel_size)
        strides = _pair(module.stride)
        pads = _pads(tuple(_pair(module.padding)))
        writer.add(
            "AveragePool",
            inputs,
            output,
            kernel_shape=kernel,
            strides=strides,
            pads=pads,
            count_include_pad=1,
        )
    elif isinstance(module, nn.Flatten):
        writer.add("Flatten", inputs, output, axis=1)
    elif isinstance(module, (nn.Identity, *DROPOUTS)):
        writer.add("Identity", inputs, output)
    else:
        raise SysmolError(f"export: unsupported layer {type(module).__name__} '{name}'")


def check_writable(model: nn.Module) -> fx.GraphModule:
    """The graph of a network that a file can carry; anything else is refused by name."""
    graph = model if isinstance(model, fx.GraphModule) else trace(model)
    attention = list(attention_nodes(graph))
    if graph is not model and not attention:
        try:
            normalize(graph)
        except SysmolError as error:
            raise SysmolError(f"export: {error}") from error
    for node in attention:
        raise SysmolError(
            f"export: '{owner(graph, node)}' is attention, which no file of quantized layers "
            f"carries: {_ALLOWED}"
        )
    placeholders = 0
    for node in graph.graph.nodes:
        placeholders += node.op == "placeholder"
        if placeholders > 1:
            raise SysmolError(f"export: '{node.name}' is a second input: one is allowed")
        if node.op == "output" and not isinstance(node.args[0], fx.Node):
            raise SysmolError("export: the network must have one tensor as its output")
        if (reason := fault(graph, node)) is not None:
            raise SysmolError(f"export: '{node.name}': {reason}")
        if node.op in ("placeholder", "call_module", "output"):
            continue
        if node.target not in (operator.add, torch.add) or not is_residual(node):
            raise SysmolError(f"export: unsupported operation '{node.name}': {_ALLOWED}")
    return graph


def build(model: nn.Module, image_shape: tuple[int, int, int] = (1, 28, 28)) -> onnx.ModelProto:
    """The ONNX model of a prepared and frozen network, or of a plain float one.

    Parameters
    ----------
    model : nn.Module
        What :func:`sysmol.prepare` returned, after ``freeze``; or a float network it could prepare.
    image_shape : tuple of int
        Channels, height and width of the input.

    Returns
    -------
    onnx.ModelProto
        Input ``image`` [N, C, H, W] binary32 in [0, 1]; output ``logits`` [N, classes], in front
        of a softmax that the network may end with.
    """
    graph = check_writable(copy.deepcopy(model).eval())
    for name, layer in graph.named_modules():
        if isinstance(layer, QuantLayer) and not layer.precision.frozen:
            raise SysmolError(f"export: '{name}' has no final precisions yet: call freeze first")
    for parameter in graph.parameters():
        if not torch.isfinite(parameter).all():
            raise SysmolError("export: a weight or scale is NaN or infinite")
    with torch.no_grad():
        ShapeProp(graph).propagate(torch.zeros(1, *image_shape))
    for node in list(graph.graph.nodes):
        # The file's outputs are the logits in front of it.
        if isinstance(module_of(graph, node), SOFTMAX):
            node.replace_all_uses_with(node.all_input_nodes[0])
            graph.graph.erase_node(node)
    writer = _Writer(graph)
    names: dict[fx.Node, str] = {}
    result: list[int] = []
    for node in graph.graph.nodes:
        if node.op == "output":
            (last,) = node.all_input_nodes
            result = list(last.meta["tensor_meta"].shape[1:])
            continue
        final = any(user.op == "output" for user in node.users)
        if node.op == "placeholder":
            names[node] = "image"
            continue
        pooled = isinstance(module := module_of(graph, node), ActivationQuant) and module.pool
        name = f"{node.name}_pool" if pooled else node.name
        names[node] = "logits" if final else writer.unique(name)
        _write(writer, node, [names[source] for source in node.all_input_nodes], names[node])
    opsets = [helper.make_opsetid("", _OPSET)]
    if writer.quantized:
        opsets.append(helper.make_opsetid(QONNX_DOMAIN, 1))
    return helper.make_model(
        helper.make_graph(
            writer.nodes,
            "sysmol",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", *image_shape])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", *result])],
            list(writer.initializers.values()),
        ),
        opset_imports=opsets,
        ir_version=_IR_VERSION,
        producer_name="sysmol",
        producer_version=__version__,
    )


def export(
    model: nn.Module, path: Path | str, image_shape: tuple[int, int, int] = (1, 28, 28)
) -> None:
    """Write :func:`build`'s model to ``path``; equal weights give equal bytes.

    The file appears whole or not at all.
    """
    write_bytes(path, build(model, image_shape).SerializeToString(deterministic=True))
