"""One form for each layer of a traced network, however its author wrote it.

:func:`normalize` turns functions and methods into the modules of :mod:`torch.nn` that compute the
same, bit for bit, so that :func:`sysmol.prepare` and :func:`sysmol.export` know those only::

    F.relu, torch.relu, x.relu(), x.clamp(min=0)                ReLU
    F.relu6, F.hardtanh(x, 0, 6), x.clamp(0, 6)                 ReLU6
    F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d           MaxPool2d, AvgPool2d, ...
    x.mean((2, 3))                                              AdaptiveAvgPool2d(1), Flatten
    torch.flatten(x, 1), x.view(x.size(0), -1), x.view(-1, 400) Flatten
    x.add(y), x.add_(y), torch.add(x, y)                        x + y
    F.log_softmax(x, 1), F.softmax(x, 1)                        LogSoftmax, Softmax
    x.contiguous()                                              x

What works in place no longer does, and a ReLU behind a max pool or a flattening goes in front of
it, where its quantizer stands.

One operation in place cannot be seen: torch.fx traces ``y += z`` as ``y = y + z``. So another name
of the old ``y``, as ``w`` in ``w = y; y += z``, keeps the old value here, while PyTorch changes it.
Write ``y.add_(z)`` where that matters.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from sysmol.errors import SysmolError

__all__ = [
    "BATCH_NORMS",
    "DROPOUTS",
    "SOFTMAX",
    "end_fault",
    "fault",
    "has_dropout",
    "is_flat",
    "is_size",
    "leave_places",
    "module_of",
    "normalize",
    "source_of",
]

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
DROPOUTS = (nn.Dropout, nn.Dropout2d)
SOFTMAX = (nn.LogSoftmax, nn.Softmax)

_DROPOUT_CALLS = (functional.dropout, functional.dropout2d)
_KEEP_VALUES = (nn.Flatten, nn.Identity, *DROPOUTS)
_CLAMPS = (nn.ReLU, nn.Hardtanh)
_POOL = ("kernel_size", "stride", "padding")


def module_of(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The module that ``node`` calls, if it calls one."""
    return graph.get_submodule(str(node.target)) if node.op == "call_module" else None


def has_dropout(graph: fx.GraphModule) -> bool:
    """Whether the network calls a dropout function, whose trace depends on the mode."""
    return any(node.target in _DROPOUT_CALLS for node in graph.graph.nodes)


def _pair(value: Any) -> tuple[Any, Any]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def fault(graph: fx.GraphModule, node: fx.Node) -> str | None:
    """Why no file has a place for the module that ``node`` calls, whatever that module reads."""
    module = module_of(graph, node)
    if isinstance(module, nn.AdaptiveAvgPool2d):
        if None in _pair(module.output_size):
            return "AdaptiveAvgPool2d needs both sizes as numbers"
    elif isinstance(module, nn.AvgPool2d):
        if module.ceil_mode or module.divisor_override is not None:
            return "AvgPool2d with ceil_mode or divisor_override is not supported: leave them out"
        if not module.count_include_pad and any(_pair(module.padding)):
            return (
                "AvgPool2d must count its padding: leave out count_include_pad=False or the padding"
            )
    elif isinstance(module, nn.MaxPool2d):
        if _pair(module.dilation) != (1, 1) or module.return_indices:
            return "MaxPool2d must have dilation 1 and return no indices"
    elif isinstance(module, nn.Hardtanh):
        if module.min_val != 0 or module.max_val <= 0:
            return f"Hardtanh({module.min_val:g}, {module.max_val:g}) does not begin at 0"
    elif isinstance(module, nn.Flatten):
        if module.start_dim != 1 or module.end_dim not in (-1, 3):
            return "Flatten must keep the first axis and join all others"
    elif isinstance(module, SOFTMAX):
        last = all(user.op == "output" for user in node.users)
        if not last or module.dim not in (1, -1):
            return f"{type(module).__name__} is allowed at the end only, over the classes"
    return None


def source_of(
    graph: fx.GraphModule, node: fx.Node, through: tuple[type[nn.Module], ...]
) -> fx.Node:
    """What ``node`` reads, before layers of these kinds."""
    node = node.all_input_nodes[0]
    while isinstance(module_of(graph, node), through):
        node = node.all_input_nodes[0]
    return node


def is_flat(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a tensor is known to be [N, C], whose codes become no carriers (HP17)."""
    module = module_of(graph, node)
    if isinstance(module, (nn.Conv2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.MaxPool2d)):
        return False
    if isinstance(module, (nn.Linear, nn.Flatten)):
        return True
    return any(is_flat(graph, source) for source in node.all_input_nodes)


def end_fault(graph: fx.GraphModule, output: fx.Node) -> str | None:
    """Why the end of the network is no sums, as it must be (HP18)."""
    if not isinstance(output.args[0], fx.Node):
        return "the network must have one tensor as its output"
    last = source_of(graph, output, (*_KEEP_VALUES, *SOFTMAX))
    if isinstance(module := module_of(graph, last), (nn.ReLU, nn.Hardtanh, nn.MaxPool2d)):
        return (
            f"'{last.name}': {type(module).__name__} cannot be the end, which must be a layer, an "
            "average pool or a residual sum: apply it to the network's output"
        )
    return None


def normalize(graph: fx.GraphModule) -> None:
    """Rewrite ``graph`` in place, see the module's documentation.

    What it does not know it leaves as it is, for the caller to refuse.

    Parameters
    ----------
    graph : torch.fx.GraphModule
        Of a network without attention. Dropout functions must have been traced in both modes, see
        :func:`sysmol.attention.in_both_modes`.

    Raises
    ------
    SysmolError
        For an operation in place whose effect another tensor shares, a dropout that is active in
        evaluation, and a max pool that is read both with and without a ReLU behind it, or through
        different clamps.
    """
    leave_places(graph)
    for module in graph.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    for node in list(graph.graph.nodes):
        _make_canonical(graph, node)
    for node in reversed(graph.graph.nodes):
        if is_size(node) and not node.users:
            graph.graph.erase_node(node)
    _merge_relus(graph)
    for node in list(graph.graph.nodes):
        if isinstance(module_of(graph, node), _CLAMPS):
            _move_up(graph, node)
    graph.graph.lint()
    graph.recompile()


# Operations in place ----------------------------------------------------------------------------


def _works_in_place(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(module_of(graph, node), "inplace", False))
    if node.op not in ("call_function", "call_method"):
        return False
    name = str(getattr(node.target, "__name__", node.target))
    marked = name.endswith("_") and not name.startswith("_")
    return bool(node.kwargs.get("inplace")) or marked


def _is_view(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(module_of(graph, node), _KEEP_VALUES)
    if node.target in _DROPOUT_CALLS:  # its input itself in evaluation
        return True
    name = getattr(node.target, "__name__", node.target)
    return name in ("contiguous", "flatten", "reshape", "view")


def leave_places(graph: fx.GraphModule) -> None:
    """Let what follows an operation in place read its result; modules keep their ``inplace``.

    This comes before anything that drops nodes without readers.
    """
    for node in list(graph.graph.nodes):
        if _works_in_place(graph, node):
            _leave_place(graph, node)


def _leave_place(graph: fx.GraphModule, node: fx.Node) -> None:
    """Let later readers of the changed tensor read ``node``, which then may make a new one."""
    source = node.args[0] if node.args else node.kwargs.get("input")
    if not isinstance(source, fx.Node):
        return
    places = {other: place for place, other in enumerate(graph.graph.nodes)}
    same = [source]
    while _is_view(graph, same[0]):
        same.insert(0, same[0].all_input_nodes[0])
    for tensor in same:  # grows
        for user in list(tensor.users):
            if user is node or user in same or is_size(user):
                continue
            if places[user] < places[node]:
                if _is_view(graph, user):
                    same.append(user)
            elif tensor is source:
                user.replace_input_with(source, node)
            else:
                raise SysmolError(
                    f"'{node.name}' changes in place what '{user.name}' reads in another shape: "
                    "write it without inplace"
                )


# Functions and methods --------------------------------------------------------------------------


def _given(node: fx.Node, *names: str) -> dict[str, Any]:
    """Arguments by name, but for the tensor."""
    return {**dict(zip(names, node.args[1:], strict=False)), **node.kwargs}


def _relu(node: fx.Node) -> nn.Module:
    del node
    return nn.ReLU()


def _clamp(low: Any, high: Any) -> nn.Module | None:
    if isinstance(low, fx.Node) or isinstance(high, fx.Node) or low != 0:
        return None
    if high is None:
        return nn.ReLU()
    if high == 6:
        return nn.ReLU6()
    return nn.Hardtanh(0.0, float(high)) if high > 0 else None


def _relu6(node: fx.Node) -> nn.Module:
    del node
    return nn.ReLU6()


def _hardtanh(node: fx.Node) -> nn.Module | None:
    given = _given(node, "min_val", "max_val")
    return _clamp(given.get("min_val", -1.0), given.get("max_val", 1.0))


def _clip(node: fx.Node) -> nn.Module | None:
    given = _given(node, "min", "max")
    return _clamp(given.get("min"), given.get("max"))


def _max_pool(node: fx.Node) -> nn.Module | None:
    given = _given(node, *_POOL, "dilation", "ceil_mode", "return_indices")
    stride = given.pop("stride", None) or None  # torch.max_pool2d says () for none
    return nn.MaxPool2d(stride=stride, **given)


def _avg_pool(node: fx.Node) -> nn.Module | None:
    given = _given(node, *_POOL, "ceil_mode", "count_include_pad", "divisor_override")
    stride = given.pop("stride", None) or None
    return nn.AvgPool2d(stride=stride, **given)


def _adaptive_pool(node: fx.Node) -> nn.Module | None:
    return nn.AdaptiveAvgPool2d(_given(node, "output_size")["output_size"])


def _mean(node: fx.Node) -> nn.Module | None:
    given = _given(node, "dim", "keepdim")
    dims = given.pop("dim", None)
    keep = given.pop("keepdim", False)
    if given or not isinstance(dims, (tuple, list)):
        return None
    # Of [N, C, H, W]; whatever else has such axes is no network of images.
    if sorted(dim % 4 if isinstance(dim, int) else -1 for dim in dims) != [2, 3]:
        return None
    pool = nn.AdaptiveAvgPool2d(1)
    return pool if keep else nn.Sequential(pool, nn.Flatten())


def _flatten(node: fx.Node) -> nn.Module | None:
    given = _given(node, "start_dim", "end_dim")
    plain = given.get("start_dim", 0) == 1 and given.get("end_dim", -1) in (-1, 3)
    return nn.Flatten() if plain else None


def _softmax(make: Callable[[Any], nn.Module]) -> Callable[[fx.Node], nn.Module | None]:
    def build(node: fx.Node) -> nn.Module | None:
        given = _given(node, "dim", "_stacklevel", "dtype")
        return make(given.get("dim")) if given.get("dtype") is None else None

    return build


_CALLS: dict[Any, Callable[[fx.Node], nn.Module | None]] = {
    **dict.fromkeys((functional.relu, torch.relu, torch.relu_, "relu", "relu_"), _relu),
    functional.relu6: _relu6,
    **dict.fromkeys((functional.hardtanh, functional.hardtanh_), _hardtanh),
    **dict.fromkeys((torch.clamp, torch.clip, torch.clamp_, torch.clip_), _clip),
    **dict.fromkeys(("clamp", "clip", "clamp_", "clip_"), _clip),
    **dict.fromkeys((functional.max_pool2d, torch.max_pool2d), _max_pool),
    functional.avg_pool2d: _avg_pool,
    functional.adaptive_avg_pool2d: _adaptive_pool,
    **dict.fromkeys((torch.mean, "mean"), _mean),
    **dict.fromkeys((torch.flatten, "flatten"), _flatten),
    **dict.fromkeys(
        (functional.log_softmax, torch.log_softmax, "log_softmax"), _softmax(nn.LogSoftmax)
    ),
    **dict.fromkeys((functional.softmax, torch.softmax, "softmax"), _softmax(nn.Softmax)),
}
_VIEWS = ("view", "reshape", torch.reshape)
_ADDS = ("add", "add_", torch.add)


def _make_canonical(graph: fx.GraphModule, node: fx.Node) -> None:
    if node.op not in ("call_function", "call_method"):
        return
    if node.target in _DROPOUT_CALLS:
        if node.kwargs.get("training", True):
            raise SysmolError(
                f"'{node.name}' drops in evaluation, too: give it training=self.training"
            )
        node.replace_all_uses_with(node.all_input_nodes[0])
        graph.graph.erase_node(node)
    elif node.target == "contiguous":  # values have no order in memory
        node.replace_all_uses_with(node.all_input_nodes[0])
        graph.graph.erase_node(node)
    elif node.target in _ADDS:
        _make_sum(graph, node)
    elif node.target in _VIEWS:
        if _flattens(graph, node):
            _put(graph, node, nn.Flatten())
    elif node.target in _CALLS and len(node.all_input_nodes) == 1:
        given = dict(node.kwargs)
        # Old names of the tensor, and what has no meaning any more.
        node.kwargs = {k: v for k, v in given.items() if k not in ("inplace", "input", "self")}
        if not node.args:
            node.args = (given.get("input", given.get("self")),)
        module = _CALLS[node.target](node)
        if module is not None:
            _put(graph, node, module)


def _make_sum(graph: fx.GraphModule, node: fx.Node) -> None:
    given = _given(node, "other")
    first = node.args[0] if node.args else given.pop("input", None)
    if given.pop("alpha", 1) != 1 or set(given) != {"other"} or first is None:
        return
    node.op, node.target = "call_function", operator.add
    node.args, node.kwargs = (first, given["other"]), {}


def is_size(node: fx.Node) -> bool:
    """Whether ``node`` is the shape of a tensor or a part of it."""
    if node.op == "call_method":
        return node.target == "size"
    if node.target is getattr:
        return bool(node.args[1] == "shape")
    return node.target is operator.getitem and is_size(node.all_input_nodes[0])


def _is_batch(node: Any) -> bool:
    """Whether ``node`` is a first axis: no layer here changes that one."""
    if not isinstance(node, fx.Node) or not is_size(node):
        return False
    return bool(node.args[1:] == (0,) or node.kwargs.get("dim") == 0)


def _flattens(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a view keeps the first axis and joins all others."""
    shape = node.args[1:] or (node.kwargs.get("shape"),)
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    if len(shape) != 2:
        return False
    batch, features = shape
    if _is_batch(batch):
        return isinstance(features, int) and (features == -1 or features > 0)
    # view(-1, 400) may move images into each other; with the layer behind it it cannot: Flatten
    # gives that layer the width it wants, or fails.
    return bool(batch == -1) and _read_by_linear(graph, node, features)


def _read_by_linear(graph: fx.GraphModule, node: fx.Node, features: Any) -> bool:
    """Whether linear layers of that width are all that reads ``node``, through its ReLU, say."""
    elementwise = (nn.ReLU, nn.Hardtanh, *_KEEP_VALUES)
    for user in node.users:
        module = module_of(graph, user)
        if isinstance(module, nn.Linear):
            if module.in_features != features:
                return False
        elif not is_size(user):
            same = isinstance(module, elementwise)
            if module is None:
                same = user.target in (*_CALLS, *_DROPOUT_CALLS, "contiguous")
            if not same or not _read_by_linear(graph, user, features):
                return False
    return True


def _put(graph: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    """Let ``node``, which keeps its name, call ``module``, or the modules in it one by one."""
    *first, last = list(module) if isinstance(module, nn.Sequential) else [module]
    source: Any = node.args[0]
    with graph.graph.inserting_before(node):
        for part in first:
            source = graph.graph.call_module(_add(graph, node.name, part), (source,))
    node.op, node.target = "call_module", _add(graph, node.name, last)
    node.args, node.kwargs = (source,), {}


def _add(graph: fx.GraphModule, name: str, module: nn.Module) -> str:
    while hasattr(graph, name):
        name += "_"
    graph.add_submodule(name, module.train(graph.training))
    return name


# Order ------------------------------------------------------------------------------------------


def _merge_relus(graph: fx.GraphModule) -> None:
    """Make equal ReLUs behind one max pool a single one, which then can go in front of it."""
    pooled: set[fx.Node] = set()
    places = {node: place for place, node in enumerate(graph.graph.nodes)}
    for node in list(places):
        module = module_of(graph, node)
        keeps = isinstance(module, _KEEP_VALUES) and node.all_input_nodes[0] in pooled
        if not keeps and not isinstance(module, nn.MaxPool2d):
            continue
        pooled.add(node)
        first: dict[Any, fx.Node] = {}
        for user in sorted(node.users, key=places.__getitem__):
            if not isinstance(module_of(graph, user), _CLAMPS):
                continue
            kept = first.setdefault(_ends_of(graph, user), user)
            if kept is not user:
                user.replace_all_uses_with(kept)
                graph.graph.erase_node(user)


def _ends_of(graph: fx.GraphModule, clamp: fx.Node) -> tuple[float, float]:
    module = module_of(graph, clamp)
    return (module.min_val, module.max_val) if isinstance(module, nn.Hardtanh) else (0.0, math.inf)


def _clamps_behind(graph: fx.GraphModule, node: fx.Node) -> list[fx.Node | None]:
    """The clamps through which ``node`` is read, None for each reading without one."""
    found: list[fx.Node | None] = []
    for user in node.users:
        module = module_of(graph, user)
        if isinstance(module, (nn.MaxPool2d, *_KEEP_VALUES)):
            found += _clamps_behind(graph, user)
        else:
            found.append(user if isinstance(module, _CLAMPS) else None)
    return found


def _shared_fault(graph: fx.GraphModule, shared: fx.Node, clamp: fx.Node) -> str:
    """Why ``clamp`` cannot move in front of ``shared``, which others read, too."""
    behind = _clamps_behind(graph, shared)
    clamps = [other for other in behind if other is not None]
    if len(clamps) < len(behind):
        return (
            f"'{shared.name}' is read with and without the ReLU '{clamp.name}' behind it: put the "
            "ReLU in front of the max pool"
        )
    how = "different" if len({_ends_of(graph, other) for other in clamps}) > 1 else "several"
    names = " and ".join(f"'{other.name}'" for other in clamps)
    return (
        f"'{shared.name}' is read through {how} clamps, {names}: give each a max pool of its own, "
        "behind it"
    )


def _move_up(graph: fx.GraphModule, node: fx.Node) -> None:
    """Put a ReLU in front of the max pools and flattenings that it reads through."""
    module = module_of(graph, node)
    # A clamp from above does not commute with dropout, which scales.
    dropouts = DROPOUTS if isinstance(module, nn.ReLU) else ()
    passed = (nn.MaxPool2d, nn.Flatten, nn.Identity, *dropouts)
    top = shared = None
    pooled, up = False, node.all_input_nodes[0]
    while isinstance(module_of(graph, up), passed):
        if len(up.users) > 1:
            shared = up
        if isinstance(module_of(graph, up), (nn.MaxPool2d, nn.Flatten)):
            top = up
            pooled |= isinstance(module_of(graph, up), nn.MaxPool2d)
        up = up.all_input_nodes[0]
    if pooled and shared is not None:
        raise SysmolError(_shared_fault(graph, shared, node))
    if top is None or shared is not None:
        return
    source = top.all_input_nodes[0]
    node.replace_all_uses_with(node.all_input_nodes[0])
    node.args = (source,)
    top.replace_input_with(source, node)
    top.prepend(node)
