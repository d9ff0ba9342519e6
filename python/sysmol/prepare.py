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
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
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
from sysmol.normalize import (
    BATCH_NORMS,
    DROPOUTS,
    SOFTMAX,
    end_fault,
    fault,
    has_dropout,
    is_flat,
    is_size,
    leave_places,
    module_of,
    normalize,
    source_of,
)
from sysmol.parallel import SyncedBatchNorm1d, SyncedBatchNorm2d

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
_KEEP_VALUES = (nn.Flatten, nn.Identity, *DROPOUTS)
_KNOWN = (
    nn.Conv2d,
    nn.Linear,
    *BATCH_NORMS,
    nn.ReLU,
    nn.Hardtanh,  # ReLU6 is one
    nn.MaxPool2d,
    *_KEEP_VALUES,
    *_POOLS,
    *SOFTMAX,
)
_ALLOWED = (
    "allowed are Conv2d, Linear, batch norm, ReLU, ReLU6, max and average pools, Flatten, "
    "Dropout and residual +"
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
        ours = (SyncedBatchNorm1d, SyncedBatchNorm2d, HeadProducts, ScaledDotProduct)
        if isinstance(m, ours):
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


def _trace_in_place(model: nn.Module) -> fx.GraphModule:
    graph = trace(model)
    leave_places(graph)
    return graph


_module = module_of


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
        if node.op == "output" and not attends:
            if (reason := end_fault(graph, node)) is not None:
                raise SysmolError(f"prepare: {reason}")
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
        if is_size(node):
            raise SysmolError(
                f"prepare: '{node.name}': sizes of tensors serve to flatten all but the first "
                "axis only: write them as numbers, or use AdaptiveAvgPool2d(1)"
            )
        if module is None or not isinstance(module, _KNOWN):
            what = type(module).__name__ if module is not None else str(node.target)
            raise SysmolError(
                f"prepare: cannot quantize '{node.name}': unsupported {what}; {_ALLOWED}"
            )
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
        if not attends:
            _check_exportable(graph, node, module)


def _check_exportable(graph: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    """Refuse what the grids have no place for; attention keeps all of this in float."""
    reason = fault(graph, node)
    relus = (nn.ReLU, nn.Hardtanh)
    if reason is None and isinstance(module, (*BATCH_NORMS, *relus)):
        kind = type(module).__name__
        source = source_of(graph, node, _KEEP_VALUES)
        before = _module(graph, source)
        flat = isinstance(_module(graph, node.all_input_nodes[0]), nn.Flatten)
        if source.op == "placeholder":
            reason = (
                f"{kind} on the network's input has no place in files: do it to the inputs before, "
                "or put it behind the first layer"
            )
        elif isinstance(module, relus):
            pass
        elif isinstance(module, nn.BatchNorm1d) and (flat or not isinstance(before, nn.Linear)):
            reason = "BatchNorm1d must stand straight behind a Linear layer"
        elif isinstance(before, (*BATCH_NORMS, *relus, nn.MaxPool2d)):
            reason = (
                f"batch norm behind {type(before).__name__} '{source.name}' cannot be folded: put "
                "it in front, behind the convolution"
            )
    if reason is not None:
        raise SysmolError(f"prepare: '{node.name}': {reason}")


def _insert(
    graph: fx.GraphModule,
    after: fx.Node,
    name: str,
    module: nn.Module,
    users: Collection[fx.Node] | None = None,
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
    """The node that ``node`` takes its sign from, through layers that do not change it."""
    while isinstance(_module(graph, node), (*_KEEP_VALUES, *_POOLS, nn.MaxPool2d, CarrierQuant)):
        node = node.all_input_nodes[0]
    return node


def _is_relu(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        module = _module(graph, node)
        return isinstance(module, nn.ReLU) or (
            isinstance(module, nn.Hardtanh) and module.min_val == 0
        )
    return node.target in (functional.relu, torch.relu, "relu")


def prepare(model: nn.Module, ends_bits: int = 8, inputs: Inputs = Inputs.IMAGE) -> fx.GraphModule:
    """Give every hidden input channel of ``model`` a learned precision.

    Parameters
    ----------
    model : nn.Module
        Of ``Conv2d`` (any stride, padding, dilation, groups), ``Linear``, batch norms,
        ``ReLU``, ``ReLU6``, max and average pools, ``Flatten``, ``Dropout`` and residual ``+``,
        as modules or as functions (see :mod:`sysmol.normalize`), traceable by ``torch.fx``. Batch
        norm stands in front of ReLU and max pools. It is copied, not changed.

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
    Max pools pass codes on, so files have their quantizer in front of them; training has it behind,
    which gives the same values. It is that of the layers behind, with learned precisions, where
    only such layers read what is pooled; else, in front of a residual sum or an average pool, it
    has ``ends_bits``. A layer that reads the same codes as an average pool has them, too; a warning
    names it. What is flattened on its way to a linear layer is quantized before, with one
    precision for all pixels of a channel.

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
        if attention is not None or has_dropout(graph):
            graph = in_both_modes(model, trace if attention is not None else _trace_in_place)
        if attention is None:
            normalize(graph)
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
    for node in graph.graph.nodes:
        if isinstance(_module(graph, node), SOFTMAX) and attention is None:
            warnings.warn(
                f"prepare: '{node.name}' stays in PyTorch; files end with the logits before it",
                stacklevel=2,
            )
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
    for node in graph.graph.nodes:
        if isinstance(_module(graph, node), CarrierQuant):
            _check_carrier(graph, node)


def _check_carrier(graph: fx.GraphModule, carrier: fx.Node) -> None:
    """Refuse what may not stand between a sum and its carrier (HP17)."""
    norm: fx.Node | None = None
    node = carrier.all_input_nodes[0]
    passed = (*_KEEP_VALUES, nn.ReLU, *BATCH_NORMS)
    while isinstance(module := _module(graph, node), passed):
        if isinstance(module, nn.Flatten):
            raise SysmolError(
                f"prepare: a residual sum reads '{node.name}': put the flattening behind the sum"
            )
        norm = node if isinstance(module, BATCH_NORMS) else norm
        node = node.all_input_nodes[0]
    if norm is not None and isinstance(module, CarrierQuant):
        raise SysmolError(
            f"prepare: batch norm '{norm.name}' stands between two residual sums: put it behind a "
            "convolution of the branch"
        )
    if _needs_codes(graph, carrier) and any(
        is_flat(graph, node) for user in (carrier, *carrier.users) for node in user.all_input_nodes
    ):
        source = source_of(graph, carrier, _KEEP_VALUES)
        what = (
            "the input, which is no image: put a Linear layer in front"
            if source.op == "placeholder"
            else f"'{source.name}', a ReLU6 of values [N, C]: use ReLU instead"
        )
        raise SysmolError(f"prepare: a residual sum reads {what}")


# Where quantizers stand -------------------------------------------------------------------------


@dataclass
class _Group:
    """All readers that one quantizer serves.

    Attributes
    ----------
    place : fx.Node
        What it stands behind.
    users : set of fx.Node
        What reads it of all that reads ``place``.
    readers : list of fx.Node
        Layers, pools and carriers whose codes are its own, at the end maybe of a way from here.
    axis : int
    fixed : bool
        Whether its precision is given.
    """

    place: fx.Node
    axis: int
    users: set[fx.Node] = field(default_factory=set)
    readers: list[fx.Node] = field(default_factory=list)
    fixed: bool = False


def _place(graph: fx.GraphModule, reader: fx.Node) -> tuple[fx.Node, fx.Node]:
    """Behind which node the quantizer of ``reader`` stands, and the node there that leads on.

    That is in front of the reader. But codes may pass a max pool, so the quantizer stands in front
    of it; a linear layer behind the flattening of an image has one precision for all pixels of a
    channel, so it stands in front of that; and the network's input is quantized at once.
    """
    ways = [(reader.all_input_nodes[0], reader)]  # a node, and who reads it
    while isinstance(_module(graph, ways[-1][0]), (*_KEEP_VALUES, nn.MaxPool2d)):
        node = ways[-1][0]
        ways.append((node.all_input_nodes[0], node))
    if ways[-1][0].op == "placeholder":
        return ways[-1]
    for kind in (nn.MaxPool2d, nn.Flatten):
        behind = [way for way in ways if isinstance(_module(graph, way[1]), kind)]
        if behind and (kind is nn.MaxPool2d or _pixels(graph, reader, behind[-1][0]) > 1):
            return behind[-1]
    return ways[0]


def _pixels(graph: fx.GraphModule, reader: fx.Node, flattened: fx.Node) -> int:
    """How many columns of a linear layer belong to one channel of what was flattened."""
    module = _module(graph, reader)
    channels = _made(graph, flattened)
    if not isinstance(module, nn.Linear) or channels is None:
        return 1
    if module.in_features % channels:
        raise SysmolError(
            f"prepare: '{reader.name}' reads {module.in_features} values of '{flattened.name}', "
            f"whose channels are {channels}"
        )
    return module.in_features // channels


def _groups(
    graph: fx.GraphModule, dots: list[fx.Node], others: list[fx.Node], attends: bool
) -> list[_Group]:
    """Which readers share a quantizer."""
    groups: dict[tuple[fx.Node, int], _Group] = {}
    for reader in dots + others:
        place, child = reader.all_input_nodes[0], reader
        if not attends:
            place, child = _place(graph, reader)
        axis = _axis(graph, reader) if child is reader else 1
        # Without attention a tensor has one layout, whoever reads it first.
        key = place, axis if attends else 0
        group = groups.setdefault(key, _Group(place, axis))
        if group.axis != axis and child is reader in dots and group.readers[0] in dots:
            raise SysmolError(
                f"prepare: '{reader.name}' and '{group.readers[0].name}' read '{place.name}' along "
                "different axes; channels of one tensor have one axis: give each a tensor"
            )
        group.users.add(child)
        group.readers.append(reader)
        if reader in others:
            group.fixed |= not isinstance(_module(graph, reader), nn.MaxPool2d) or not _feeds(
                graph, reader, dots
            )
        else:
            group.fixed |= reader is dots[-1] or (attends and place is dots[-1].all_input_nodes[0])
    return list(groups.values())


def _feeds(graph: fx.GraphModule, pool: fx.Node, dots: list[fx.Node]) -> bool:
    """Whether only layers with weights read a max pool, so that its precision can be learned."""
    todo = [pool]
    while todo:
        for user in todo.pop().users:
            if isinstance(_module(graph, user), (*_KEEP_VALUES, nn.MaxPool2d)):
                todo.append(user)
            elif user not in dots:
                return False
    return True


def _axis(graph: fx.GraphModule, reader: fx.Node) -> int:
    """Where ``reader`` has its channels."""
    return -1 if isinstance(_module(graph, reader), nn.Linear) else 1


def _needs_codes(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether ``node`` is a carrier of what cannot go there but as codes: a clip, the input."""
    if not isinstance(_module(graph, node), CarrierQuant):
        return False
    source = source_of(graph, node, _KEEP_VALUES)
    return source.op == "placeholder" or isinstance(_module(graph, source), nn.Hardtanh)


def _add_quantizers(graph: fx.GraphModule, ends_bits: int, inputs: Inputs, attends: bool) -> None:
    nodes = list(graph.graph.nodes)
    dots = [node for node in nodes if isinstance(_module(graph, node), (nn.Conv2d, nn.Linear))]
    if not dots:
        raise SysmolError("prepare: the model calls no Conv2d and no Linear layer")
    others: list[fx.Node] = []
    if not attends:  # where pools are float, as all between the layers is
        for kind in (_POOLS, nn.MaxPool2d):
            others += [node for node in nodes if isinstance(_module(graph, node), kind)]
        others += [node for node in nodes if _needs_codes(graph, node)]
    source = unshaped if attends else _skip
    precisions: dict[fx.Node, ChannelPrecision] = {}
    plans: list[tuple[_Group, ActivationQuant]] = []
    for group in _groups(graph, dots, others, attends):
        origin = source(graph, group.place)
        given = (origin if attends else group.place).op == "placeholder"
        image = origin.op == "placeholder" and inputs is Inputs.IMAGE
        bits = ends_bits if given or group.fixed else None
        precision = ChannelPrecision(_channels(graph, group, bits is not None), bits)
        signed = not image and not _is_relu(graph, origin)
        if signed:
            _check_signed(graph, group, dots)
        if group.fixed and not (attends or given):
            _warn_of_fixed(group, dots, ends_bits)
        clip = _module(graph, origin)
        limit = clip.max_val if isinstance(clip, nn.Hardtanh) and not attends else None
        quant = ActivationQuant(
            precision, signed, trained=not (given and image), axis=group.axis, limit=limit
        )
        plans.append((group, quant))
        precisions |= dict.fromkeys(group.readers, precision)
    for group, quant in plans:
        node = _insert(graph, group.place, f"{group.place.name}_quant", quant, group.users)
        _take_pool(graph, node, quant)
    for node in dots:
        module = _module(graph, node)
        layer: nn.Module
        if isinstance(module, nn.Conv2d):
            layer = QuantConv2d(module, precisions[node])
        else:
            assert isinstance(module, nn.Linear)
            layer = QuantLinear(module, precisions[node])
        graph.set_submodule(str(node.target), layer)
    _pass_relus(graph)


def _check_signed(graph: fx.GraphModule, group: _Group, dots: list[fx.Node]) -> None:
    """Refuse codes that can be negative for average pools (HP14) and residual sums (HP17)."""
    behind = [reader for reader in group.readers if reader not in dots]
    for node in behind:  # grows
        if isinstance(_module(graph, node), CarrierQuant):
            raise SysmolError(
                f"prepare: a residual sum reads '{group.place.name}' as codes, which must not be "
                "negative: put a ReLU behind it"
            )
        if isinstance(_module(graph, node), _POOLS):
            raise SysmolError(
                f"prepare: average pool '{node.name}' reads '{group.place.name}', which can be "
                "negative: put a ReLU in front of the pool"
            )
        if isinstance(_module(graph, node), (*_KEEP_VALUES, nn.MaxPool2d)):
            behind += [user for user in node.users if user not in behind]


def _warn_of_fixed(group: _Group, dots: list[fx.Node], bits: int) -> None:
    """Name layers whose precision is not learned because a pool reads the same codes."""
    named = [reader.name for reader in group.readers if reader in dots[:-1]]
    pools = [reader.name for reader in group.readers if reader not in dots]
    if named and pools:
        warnings.warn(
            f"prepare: '{named[0]}' reads the codes that '{pools[0]}' averages or sums, so its "
            f"precision is not learned but {bits} bits",
            stacklevel=4,
        )


def _take_pool(graph: fx.GraphModule, node: fx.Node, quant: ActivationQuant) -> None:
    """Let a quantizer that a max pool alone reads do its work."""
    user, *others = node.users
    pool = _module(graph, user)
    if isinstance(pool, nn.MaxPool2d) and not others:
        quant.pool = pool
        user.replace_all_uses_with(node)
        graph.graph.erase_node(user)


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


def _channels(graph: fx.GraphModule, group: _Group, fixed: bool) -> int:
    for reader in group.readers:
        module = _module(graph, reader)
        if isinstance(module, nn.Conv2d):
            return module.in_channels
        if isinstance(module, nn.Linear) and group.axis == -1:
            return module.in_features
    channels = _made(graph, group.place)
    if channels is None and not fixed:
        raise SysmolError(f"prepare: cannot tell the channels that '{group.readers[0].name}' reads")
    return channels or 1  # one fixed precision stands for all


def _made(graph: fx.GraphModule, node: fx.Node) -> int | None:
    """The channels of a tensor: those of whatever made it."""
    while True:
        module = _module(graph, node)
        if isinstance(module, nn.Conv2d):
            return module.out_channels
        if isinstance(module, BATCH_NORMS):
            return module.num_features
        if isinstance(module, nn.Linear):
            return module.out_features
        if isinstance(module, nn.Flatten) or not node.all_input_nodes:
            return None
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
    """Phase 1, after every optimizer step: clamp the weights of learned layers, and scales."""
    for _, layer in hidden_layers(model):
        layer.project()
    for module in model.modules():
        if isinstance(module, ActivationQuant):
            module.project()


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
            module.project()

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
    norms = [module for module in model.modules() if isinstance(module, BATCH_NORMS)]
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
