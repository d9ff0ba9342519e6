"""Turn a float PyTorch network into one that learns the precision of every input channel.

:func:`prepare` traces the network, gives each tensor that a convolution or linear layer reads one
:class:`~sysmol.layers.ActivationQuant`, replaces those layers, and puts residual sums on the 16-bit
carrier. The phases then are::

    model = sysmol.prepare(twin)
    calibrate(model, images)          # first guess of every alpha
    ...                               # phase 1: loss + strength * bits_term(model), project(model)
    freeze(model)                     # precisions are final
    ...                               # phase 2
    calibrate_carrier(model, images)
    sysmol.export(model, "net.onnx")
"""

from __future__ import annotations

import copy
import math
import operator
import warnings
from collections.abc import Callable, Iterator
from enum import Enum

import torch
from torch import fx, nn
from torch.nn import functional

from sysmol.attention import (
    HeadProducts,
    ScaledDotProduct,
    attention_nodes,
    check_float,
    in_both_modes,
    owner,
    replaced,
    unshaped,
)
from sysmol.errors import SysmolError
from sysmol.layers import (
    ActivationQuant,
    CarrierQuant,
    ChannelPrecision,
    QuantConv2d,
    QuantizedReLU,
    QuantLayer,
    QuantLinear,
)
from sysmol.parallel import SyncedBatchNorm2d

__all__ = [
    "Inputs",
    "bits_term",
    "calibrate",
    "calibrate_carrier",
    "freeze",
    "hidden_layers",
    "layers",
    "mean_bits",
    "prepare",
    "project",
]

_ADDS = (operator.add, torch.add)
_POOLS = (nn.AdaptiveAvgPool2d, nn.AvgPool2d)
_KNOWN = (
    nn.Conv2d,
    nn.Linear,
    nn.BatchNorm2d,
    nn.ReLU,
    nn.Flatten,
    nn.Dropout,
    nn.Identity,
    *_POOLS,
)


class Inputs(Enum):
    """What a network is given."""

    IMAGE = "image"
    """Values in [0, 1], on the unsigned grid with ``alpha = 1``."""

    REAL = "real"
    """Values of either sign, on the signed grid, whose scale is calibrated and trained."""


class _Tracer(fx.Tracer):
    """Keeps our batch norm whole, as PyTorch's is, and the float part of attention."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, (SyncedBatchNorm2d, HeadProducts, ScaledDotProduct)):
            return True
        # PyTorch's code of this one can be traced once its attention is ours.
        open_ = type(m) is nn.TransformerDecoderLayer
        return not open_ and super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module) -> fx.GraphModule:
    """The graph of a model's modules and of the functions between them."""
    try:
        return fx.GraphModule(model, _Tracer().trace(model))
    except (fx.proxy.TraceError, TypeError, RuntimeError) as error:
        raise SysmolError(f"torch.fx cannot trace the model: {error}") from error


def _module(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return graph.get_submodule(str(node.target)) if node.op == "call_module" else None


def _is_add(node: fx.Node) -> bool:
    return node.op == "call_function" and node.target in _ADDS


def is_residual(node: fx.Node) -> bool:
    """Whether ``node`` is the sum of two different tensors, neither of them scaled."""
    two = len(node.args) == len(node.all_input_nodes) == 2
    return _is_add(node) and two and not node.kwargs


def _check(graph: fx.GraphModule, attends: bool) -> None:
    called: set[object] = set()
    for node in graph.graph.nodes:
        module = _module(graph, node)
        if node.op in ("placeholder", "output"):
            continue
        if attends and not isinstance(module, _KNOWN):
            if node.op != "get_attr":
                check_float(graph, node)
            continue
        if is_residual(node):
            continue
        if _is_add(node):
            raise SysmolError(
                f"prepare: '{node.name}' is no residual +: two different tensors are added, "
                "none of them scaled"
            )
        if module is None or not isinstance(module, _KNOWN):
            what = type(module).__name__ if module is not None else str(node.target)
            raise SysmolError(f"prepare: cannot quantize '{node.name}': unsupported {what}")
        whole = not isinstance(module, nn.AdaptiveAvgPool2d) or module.output_size in (1, (1, 1))
        if not attends and not whole:
            raise SysmolError(f"prepare: '{node.name}': only AdaptiveAvgPool2d(1) is supported")
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            if node.target in called:
                raise SysmolError(
                    f"prepare: '{node.target}' is called more than once: the tensors it reads "
                    "cannot each have their own precisions"
                )
            called.add(node.target)
        if isinstance(module, nn.Conv2d):
            if module.padding_mode != "zeros":
                raise SysmolError(f"prepare: '{node.name}': padding_mode must be 'zeros'")
            if isinstance(module.padding, str):
                raise SysmolError(f"prepare: '{node.name}': padding must be numbers")


def _insert(
    graph: fx.GraphModule,
    after: fx.Node,
    name: str,
    module: nn.Module,
    users: list[fx.Node] | None = None,
) -> fx.Node:
    """Add ``module`` behind ``after`` and give it those users, or all that this node has."""
    while hasattr(graph, name):
        name += "_"
    graph.add_submodule(name, module)
    with graph.graph.inserting_after(after):
        node = graph.graph.call_module(name, (after,))
    after.replace_all_uses_with(
        node, delete_user_cb=lambda user: user is not node and (users is None or user in users)
    )
    return node


def _skip(graph: fx.GraphModule, node: fx.Node) -> fx.Node:
    """The node that ``node`` takes its values from, through layers that do not change them."""
    while isinstance(_module(graph, node), (nn.Flatten, nn.Dropout, nn.Identity, *_POOLS)):
        node = node.all_input_nodes[0]
    return node


def _is_relu(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(_module(graph, node), nn.ReLU)
    return node.target in (functional.relu, torch.relu, "relu")


def prepare(model: nn.Module, ends_bits: int = 8, inputs: Inputs = Inputs.IMAGE) -> fx.GraphModule:
    """Give every hidden input channel of ``model`` a learned precision.

    Parameters
    ----------
    model : nn.Module
        Of ``Conv2d`` (any stride, padding, dilation, groups), ``Linear``, ``BatchNorm2d``,
        ``ReLU``, average pools, ``Flatten`` and residual ``+``, traceable by ``torch.fx``. It is
        copied, not changed.

        Or a network with attention, see Notes.
    ends_bits : int
        Precision of the last layer, and of those that read the network's input.
    inputs : Inputs
        What the network is given: images in [0, 1], or numbers of either sign.

    Returns
    -------
    torch.fx.GraphModule
        In phase 1, with every hidden precision at 8 bits. Its ``relu -> quant`` tensors lie on the
        unsigned grid, all others on the mid-rise grid.

    Notes
    -----
    Attention is ``nn.MultiheadAttention``, ``nn.TransformerEncoderLayer``,
    ``nn.TransformerEncoder``, their decoders, or one written by hand with
    ``scaled_dot_product_attention`` or with products and a softmax. In a network that has it, every
    ``Conv2d`` and ``Linear``, projections included, is quantized; all that has no weights stays
    float, as do layer norms, embeddings and residual sums, which therefore read their tensors
    unquantized. Other layers with weights are refused by name, see :mod:`sysmol.attention`. Such a
    network can be trained and evaluated, but :func:`sysmol.export` refuses it; a warning says so.
    """
    kinds = (nn.Conv2d, nn.Linear, nn.MultiheadAttention)
    if not any(isinstance(m, kinds) for m in model.modules()):
        raise SysmolError("prepare: the model has no Conv2d and no Linear layer")
    try:
        model = replaced(copy.deepcopy(model))
        graph = trace(model)
        attention = next(attention_nodes(graph), None)
        if attention is not None:
            graph = in_both_modes(model, trace)
    except SysmolError as error:
        text = str(error)
        raise SysmolError(text if text.startswith("prepare") else f"prepare: {text}") from error
    _check(graph, attention is not None)
    if attention is not None:
        warnings.warn(
            f"prepare: '{owner(graph, next(attention_nodes(graph)))}' is attention, which stays "
            "float: this network can be trained and evaluated in PyTorch, but not exported",
            stacklevel=2,
        )
    else:
        _add_carriers(graph)
    _add_quantizers(graph, ends_bits, inputs, attention is not None)
    graph.graph.lint()
    graph.recompile()
    return graph


def _add_carriers(graph: fx.GraphModule) -> None:
    nodes = list(graph.graph.nodes)
    done: set[fx.Node] = set()
    for add in filter(_is_add, nodes):
        for node in (*add.all_input_nodes, add):
            if node not in done and not isinstance(_module(graph, node), CarrierQuant):
                done.add(node)
                _insert(graph, node, f"{node.name}_carrier", CarrierQuant())


def _axis(graph: fx.GraphModule, reader: fx.Node) -> int:
    """Where ``reader`` has its channels."""
    return -1 if isinstance(_module(graph, reader), nn.Linear) else 1


def _add_quantizers(graph: fx.GraphModule, ends_bits: int, inputs: Inputs, attends: bool) -> None:
    dots = [
        node
        for node in graph.graph.nodes
        if isinstance(_module(graph, node), (nn.Conv2d, nn.Linear))
    ]
    if not dots:
        raise SysmolError("prepare: the model calls no Conv2d and no Linear layer")
    pools = [node for node in graph.graph.nodes if isinstance(_module(graph, node), _POOLS)]
    if attends:
        pools = []  # float, as all between the layers is
    source = unshaped if attends else _skip
    fixed = {dots[-1].all_input_nodes[0], *(pool.all_input_nodes[0] for pool in pools)}
    for reader in dots + pools:
        tensor = reader.all_input_nodes[0]
        if isinstance(_module(graph, tensor), ActivationQuant):
            continue
        channels = _channels(graph, reader, tensor)
        given = (unshaped(graph, tensor) if attends else tensor).op == "placeholder"
        image = given and inputs is Inputs.IMAGE
        precision = ChannelPrecision(channels, ends_bits if given or tensor in fixed else None)
        signed = not image and not _is_relu(graph, source(graph, tensor))
        axis = _axis(graph, reader)
        quant = ActivationQuant(precision, signed, trained=not image, axis=axis)
        users = None
        if attends:
            users = [n for n in dots if tensor in n.all_input_nodes and _axis(graph, n) == axis]
        _insert(graph, tensor, f"{tensor.name}_quant", quant, users)
    for node in dots:
        module, quantizer = _module(graph, node), _module(graph, node.all_input_nodes[0])
        assert isinstance(quantizer, ActivationQuant)
        layer: nn.Module
        if isinstance(module, nn.Conv2d):
            layer = QuantConv2d(module, quantizer.precision)
        else:
            assert isinstance(module, nn.Linear)
            layer = QuantLinear(module, quantizer.precision)
        graph.set_submodule(str(node.target), layer)
    _pass_relus(graph)


def _pass_relus(graph: fx.GraphModule) -> None:
    """Leave to the quantizers each ReLU whose every call is read by one of them alone."""
    calls: dict[str, list[fx.Node]] = {}
    for node in graph.graph.nodes:
        if isinstance(_module(graph, node), nn.ReLU):
            calls.setdefault(str(node.target), []).append(node)
    for target, nodes in calls.items():
        readers = [_module(graph, user) for node in nodes for user in node.users]
        if len(readers) == len(nodes) and all(
            isinstance(reader, ActivationQuant) and not reader.signed for reader in readers
        ):
            graph.set_submodule(target, QuantizedReLU())


def _channels(graph: fx.GraphModule, reader: fx.Node, tensor: fx.Node) -> int:
    module = _module(graph, reader)
    if isinstance(module, nn.Conv2d):
        return module.in_channels
    if isinstance(module, nn.Linear):
        return module.in_features
    # A pool keeps the channels of whatever made its input.
    node = tensor
    while True:
        made = _module(graph, node)
        if isinstance(made, nn.Conv2d):
            return made.out_channels
        if isinstance(made, nn.BatchNorm2d):
            return made.num_features
        if not node.all_input_nodes:
            raise SysmolError(f"prepare: cannot tell the channels that '{reader.name}' reads")
        node = node.all_input_nodes[0]


def layers(model: nn.Module) -> Iterator[tuple[str, QuantLayer]]:
    """All quantized layers, in order, with their names."""
    for name, module in model.named_modules():
        if isinstance(module, QuantLayer):
            yield name, module


def hidden_layers(model: nn.Module) -> Iterator[tuple[str, QuantLayer]]:
    """The layers whose precisions are learned."""
    return ((name, layer) for name, layer in layers(model) if layer.precision.learned)


def bits_term(model: nn.Module) -> torch.Tensor:
    """The loss term of phase 1: ``sum over hidden weights of -log2 sigmoid(s)``, differentiable."""
    terms = [
        (layer.precision.implied() - 1).sum() * layer.weights_per_channel()
        for _, layer in hidden_layers(model)
    ]
    return torch.stack(terms).sum() if terms else torch.zeros(())


@torch.no_grad()
def mean_bits(model: nn.Module) -> float:
    """Mean assigned bits of a hidden weight."""
    bits = weights = 0
    for _, layer in hidden_layers(model):
        bits += int(layer.precision.assigned().sum()) * layer.weights_per_channel()
        weights += layer.weight.numel()
    return bits / weights if weights else math.nan


def project(model: nn.Module) -> None:
    """Phase 1, after every optimizer step: clamp the weights of learned layers."""
    for _, layer in hidden_layers(model):
        layer.project()


def freeze(model: nn.Module) -> None:
    """End phase 1: precisions become final, weight scales are fitted and become trained."""
    for module in list(model.modules()):
        if isinstance(module, ChannelPrecision):
            module.freeze()
    for _, layer in layers(model):
        layer.fit_scale()
        layer.scale.requires_grad_(True)


def _observe(
    model: nn.Module, kind: type[nn.Module], images: torch.Tensor, use: Callable[[nn.Module], None]
) -> None:
    chosen = [module for module in model.modules() if isinstance(module, kind)]
    was = model.training
    model.eval()
    for module in chosen:
        module.observing = []  # type: ignore[assignment]
    try:
        with torch.no_grad():
            model(images)
        for module in chosen:
            use(module)
    finally:
        for module in chosen:
            module.observing = None  # type: ignore[assignment]
        model.train(was)


def _error(x: torch.Tensor, signed: bool, p: torch.Tensor, scale: float) -> float:
    """Mean squared error of ``x`` [M, C] on its grid, ``p`` [C] bits a channel."""
    if signed:
        size = scale * torch.exp2(2 - p)
        symmetric = p == 8
        half = torch.where(symmetric, 0.0, 0.5)
        reach = torch.where(symmetric, 127.0, torch.exp2(p - 1) - 1)
        low = torch.where(symmetric, -127.0, -reach - 1)
        y = (torch.round(x / size - half).clamp(low, reach) + half) * size
    else:
        top = torch.exp2(p) - 1
        y = torch.minimum(torch.round(x * (top / scale)), top) * (scale / top)
    return float((y - x).square().mean())


def calibrate(model: nn.Module, images: torch.Tensor, bits: int = 2) -> None:
    """First guess of all trained activation scales: that of the least squared error.

    Parameters
    ----------
    images : float tensor [N, C, H, W] in [0, 1], or what else the network takes
        A few hundred are enough.
    bits : int
        Precision of learned channels for which to guess, as long as they have none yet.
    """

    def fit(module: nn.Module) -> None:
        assert isinstance(module, ActivationQuant) and module.observing
        if not module.trained:
            low, high = (
                min(map(torch.min, module.observing)),
                max(map(torch.max, module.observing)),
            )
            if not (low >= -1e-3 and high <= 1.001):  # NaN is neither
                raise SysmolError(
                    f"calibrate: the input has values from {float(low):.3g} to {float(high):.3g}, "
                    "which prepare was not told: images are in [0, 1], for others give "
                    "inputs=Inputs.REAL"
                )
        if not module.scale.requires_grad:
            return
        channels = module.precision.bits.numel()
        x = torch.cat([part.transpose(0, 1).flatten(1).t() for part in module.observing])
        x = x if module.signed else x.relu()
        x = x[:: max(1, x.numel() // 200_000)]
        p = module.precision.bits.float()
        if not module.precision.frozen:
            p = torch.full((channels,), float(bits), device=x.device)
        top = float(x.abs().max()) or 1.0
        trials = [top * i / 80 for i in range(4, 81)]
        best = min(trials, key=lambda trial: _error(x, module.signed, p, trial))
        with torch.no_grad():
            module.scale.fill_(best)

    _observe(model, ActivationQuant, images, fit)


def calibrate_carrier(model: nn.Module, images: torch.Tensor, headroom: float = 8.0) -> float:
    """Set the network's one carrier step, a power of two; give it back.

    The largest magnitude seen on ``images`` gets ``headroom`` times its room below 32767 steps.
    """
    tops: list[float] = []

    def collect(module: nn.Module) -> None:
        assert isinstance(module, CarrierQuant) and module.observing
        tops.append(max(float(part) for part in module.observing))

    _observe(model, CarrierQuant, images, collect)
    if not tops:
        return 0.0
    delta = 2.0 ** math.ceil(math.log2(max(max(tops), 1e-6) * headroom / 32767))
    for module in model.modules():
        if isinstance(module, CarrierQuant):
            module.delta.fill_(delta)
    return delta


@torch.no_grad()
def recalibrate_batchnorm(model: nn.Module, batches: list[torch.Tensor]) -> None:
    """Replace running statistics by exact averages of binary32 batch statistics.

    Parameters
    ----------
    batches : list of float tensor [N, C, H, W]
        Training images. Training runs in bfloat16 and moves all the time; the deployed network
        computes in binary32 with its last weights.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    was = model.training
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's way to ask for a plain average
    for x in batches:
        model(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(was)


def distillation(logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Kullback-Leibler divergence from the teacher at ``temperature`` (Hinton et al. 2015)."""
    return functional.kl_div(
        functional.log_softmax(logits / temperature, 1),
        functional.log_softmax(teacher / temperature, 1),
        reduction="batchmean",
        log_target=True,
    ) * (temperature**2)
