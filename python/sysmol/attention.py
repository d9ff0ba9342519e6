"""Attention in networks that :func:`sysmol.prepare` takes.

The projections of queries, keys, values and outputs are linear layers like any others. What lies
between them has no weights and stays float: the scaling, both products of activations, softmax,
masks and dropout. PyTorch's own modules cannot be traced, so :func:`replaced` puts modules of equal
weights in their place whose linear layers the tracer sees::

    nn.MultiheadAttention        Attention      q, k, v, products, out_proj
    nn.TransformerEncoderLayer   EncoderLayer   self_attn, linear1, linear2, norm1, norm2, ...
    nn.TransformerEncoder        Encoder        layers, norm
    nn.TransformerDecoder        Decoder        layers, norm; its layers can be traced as they are

A block written by hand, with ``scaled_dot_product_attention`` or with two products and a softmax
between ``nn.Linear``, is taken as it is. No file of quantized layers carries any of this.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from sysmol.errors import SysmolError

__all__ = [
    "Attention",
    "Decoder",
    "Encoder",
    "EncoderLayer",
    "HeadProducts",
    "ScaledDotProduct",
    "attention_nodes",
    "check_float",
    "in_both_modes",
    "owner",
    "replaced",
    "unshaped",
]


class ScaledDotProduct(nn.Module):
    """``softmax(Q K^T / sqrt(d)) V`` in float, for a call of PyTorch's function.

    A traced call has the dropout of the mode that it was traced in; this has that of its own.

    Parameters
    ----------
    dropout : float
        Probability, in training.
    owner : str
        Name of the module that called the function.
    """

    def __init__(self, dropout: float, owner: str) -> None:
        super().__init__()
        self.dropout, self.owner = dropout, owner

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        **named: Any,
    ) -> torch.Tensor:
        """As ``torch.nn.functional.scaled_dot_product_attention``, but for ``dropout_p``."""
        p = self.dropout if self.training else 0.0
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p=p, **named
        )


class HeadProducts(nn.Module):
    """What ``nn.MultiheadAttention`` computes between its projections, in float.

    Parameters
    ----------
    heads : int
    dropout : float
        Probability, in training.
    batch_first : bool
        Tensors are [N, L, E], not [L, N, E]; without a batch they are [L, E] in either case.
    owner : str
        Name of the attention module.
    """

    def __init__(self, heads: int, dropout: float, batch_first: bool, owner: str) -> None:
        super().__init__()
        self.heads, self.dropout, self.batch_first = heads, dropout, batch_first
        self.owner = owner

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        """To [N, heads, L, E / heads]."""
        parts = x.reshape(*x.shape[:-1], self.heads, -1)
        return parts.transpose(-3, -2) if self.batch_first else parts.movedim(0, -2)

    def _join(self, y: torch.Tensor) -> torch.Tensor:
        parts = y.transpose(-3, -2) if self.batch_first else y.movedim(-2, 0)
        return parts.flatten(-2)

    def _mask(
        self,
        padding: torch.Tensor | None,
        mask: torch.Tensor | None,
        like: torch.Tensor,
    ) -> torch.Tensor | None:
        """The sum of both masks as PyTorch's modules define them: true is left out."""
        total = None
        if mask is not None and mask.dim() == 3 and like.dim() == 4:
            mask = mask.reshape(-1, self.heads, *mask.shape[1:])
        if padding is not None and padding.dim() == 2:
            padding = padding[:, None, None, :]
        for part in (mask, padding):
            if part is None:
                continue
            if part.dtype == torch.bool:
                part = torch.zeros_like(part, dtype=like.dtype).masked_fill(part, -torch.inf)
            total = part.to(like.dtype) if total is None else total + part.to(like.dtype)
        return total

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool | None = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Projected queries, keys and values to what the last projection reads, and weights."""
        if is_causal and attn_mask is None:
            raise SysmolError(f"'{self.owner}': is_causal needs attn_mask, as in PyTorch")
        q, k, v = self._split(query), self._split(key), self._split(value)
        mask = self._mask(key_padding_mask, attn_mask, q)
        p = self.dropout if self.training else 0.0
        if not need_weights:
            y = functional.scaled_dot_product_attention(q, k, v, mask, dropout_p=p)
            return self._join(y), None
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        if mask is not None:
            scores = scores + mask
        weights = functional.dropout(scores.softmax(-1), p)
        y = weights @ v
        return self._join(y), weights.mean(-3) if average_attn_weights else weights


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone(), weight.requires_grad)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone(), bias.requires_grad)
    return layer


class Attention(nn.Module):
    """An ``nn.MultiheadAttention`` whose projections are linear layers of their own.

    Those that are given one and the same tensor read one tensor: after :func:`sysmol.prepare` they
    share its precisions.

    Parameters
    ----------
    attention : nn.MultiheadAttention
        Its weights are copied.
    name : str
        What messages call it.
    """

    def __init__(self, attention: nn.MultiheadAttention, name: str = "attention") -> None:
        super().__init__()
        if attention.bias_k is not None or attention.add_zero_attn:
            raise SysmolError(
                f"prepare: '{name}': add_bias_kv and add_zero_attn of MultiheadAttention are "
                "unsupported"
            )
        if attention._qkv_same_embed_dim:
            weights = attention.in_proj_weight.chunk(3)
        else:
            weights = (
                attention.q_proj_weight,
                attention.k_proj_weight,
                attention.v_proj_weight,
            )
        packed: torch.Tensor | None = attention.in_proj_bias
        biases = (None, None, None) if packed is None else packed.chunk(3)
        self.q, self.k, self.v = map(_linear, weights, biases)
        self.products = HeadProducts(
            attention.num_heads, attention.dropout, attention.batch_first, name
        )
        self.out_proj = _linear(attention.out_proj.weight, attention.out_proj.bias)

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool | None = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As ``nn.MultiheadAttention``."""
        made = self.products(
            self.q(query),
            self.k(key),
            self.v(value),
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return self.out_proj(made[0]), made[1]


class EncoderLayer(nn.Module):
    """An ``nn.TransformerEncoderLayer`` that can be traced.

    Parameters
    ----------
    layer : nn.TransformerEncoderLayer
        Its attention is replaced already; its modules are taken over.
    """

    def __init__(self, layer: nn.TransformerEncoderLayer) -> None:
        super().__init__()
        self.self_attn: nn.Module = layer.self_attn
        self.linear1, self.dropout, self.linear2 = layer.linear1, layer.dropout, layer.linear2
        self.norm1, self.norm2 = layer.norm1, layer.norm2
        self.dropout1, self.dropout2 = layer.dropout1, layer.dropout2
        self.norm_first = layer.norm_first
        # As a module a ReLU can be left to the quantizer behind it.
        self.activation: Callable[[torch.Tensor], torch.Tensor] = (
            nn.ReLU() if layer.activation is functional.relu else layer.activation
        )

    def _attend(self, x: torch.Tensor, **masks: Any) -> torch.Tensor:
        made = self.self_attn(x, x, x, need_weights=False, **masks)
        y: torch.Tensor = self.dropout1(made[0])
        return y

    def _feed(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.linear2(self.dropout(self.activation(self.linear1(x))))
        z: torch.Tensor = self.dropout2(y)
        return z

    def forward(
        self,
        src: torch.Tensor,
        src_mask: torch.Tensor | None = None,
        src_key_padding_mask: torch.Tensor | None = None,
        is_causal: bool | None = False,
    ) -> torch.Tensor:
        """As ``nn.TransformerEncoderLayer``."""
        masks = {
            "attn_mask": src_mask,
            "key_padding_mask": src_key_padding_mask,
            "is_causal": is_causal,
        }
        x = src
        if self.norm_first:
            x = x + self._attend(self.norm1(x), **masks)
            return x + self._feed(self.norm2(x))
        x = self.norm1(x + self._attend(x, **masks))
        y: torch.Tensor = self.norm2(x + self._feed(x))
        return y


class Encoder(nn.Module):
    """An ``nn.TransformerEncoder`` that can be traced; it has no path for nested tensors.

    Parameters
    ----------
    encoder : nn.TransformerEncoder
        Its layers are replaced already; its modules are taken over.
    """

    def __init__(self, encoder: nn.TransformerEncoder) -> None:
        super().__init__()
        self.layers, self.norm = encoder.layers, encoder.norm

    def forward(
        self,
        src: torch.Tensor,
        mask: torch.Tensor | None = None,
        src_key_padding_mask: torch.Tensor | None = None,
        is_causal: bool | None = None,
    ) -> torch.Tensor:
        """As ``nn.TransformerEncoder``."""
        for layer in self.layers:
            src = layer(
                src,
                src_mask=mask,
                src_key_padding_mask=src_key_padding_mask,
                is_causal=is_causal,
            )
        return src if self.norm is None else self.norm(src)


class Decoder(nn.Module):
    """An ``nn.TransformerDecoder`` that can be traced.

    Parameters
    ----------
    decoder : nn.TransformerDecoder
        Its modules are taken over.
    """

    def __init__(self, decoder: nn.TransformerDecoder) -> None:
        super().__init__()
        self.layers, self.norm = decoder.layers, decoder.norm

    def forward(
        self,
        tgt: torch.Tensor,
        memory: torch.Tensor,
        tgt_mask: torch.Tensor | None = None,
        memory_mask: torch.Tensor | None = None,
        tgt_key_padding_mask: torch.Tensor | None = None,
        memory_key_padding_mask: torch.Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> torch.Tensor:
        """As ``nn.TransformerDecoder``."""
        for layer in self.layers:
            tgt = layer(
                tgt,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=tgt_is_causal,
                memory_is_causal=memory_is_causal,
            )
        return tgt if self.norm is None else self.norm(tgt)


def replaced(model: nn.Module, name: str = "") -> nn.Module:
    """``model`` with PyTorch's attention modules replaced by traceable ones, in place.

    Parameters
    ----------
    model : nn.Module
    name : str
        Its name in the whole network; "" for the network itself.
    """
    return _replaced(model, name, {})


def _replaced(module: nn.Module, name: str, done: dict[nn.Module, nn.Module]) -> nn.Module:
    if module in done:
        return done[module]
    new = module
    # Subclasses may compute something else, so they stay what they are.
    if type(module) is nn.MultiheadAttention:
        new = Attention(module, name or "the model")
    else:
        for key, child in list(module._modules.items()):
            if child is not None:
                module._modules[key] = _replaced(child, f"{name}.{key}" if name else key, done)
        if type(module) is nn.TransformerEncoderLayer:
            known = isinstance(module.self_attn, Attention)
            new = EncoderLayer(module) if known else module
        elif type(module) is nn.TransformerEncoder:
            new = Encoder(module)
        elif type(module) is nn.TransformerDecoder:
            new = Decoder(module)
    if new is not module:
        for part in (new, *(new.children() if isinstance(new, Attention) else ())):
            part.training = module.training
    done[module] = new
    return new


# What the graph says ----------------------------------------------------------------------------

_SDPA = functional.scaled_dot_product_attention
_PRODUCTS = {
    torch.matmul,
    torch.bmm,
    torch.mm,
    torch.baddbmm,
    torch.addmm,
    torch.einsum,
    torch.tensordot,
    operator.matmul,
    "matmul",
    "bmm",
    "mm",
    "baddbmm",
    "addmm",
}
_SOFTMAX = {functional.softmax, torch.softmax, "softmax"}
_WITH_WEIGHTS = {
    functional.linear,
    functional.bilinear,
    functional.conv1d,
    functional.conv2d,
    functional.conv3d,
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
    functional.multi_head_attention_forward,
}
_NAMES_OF_SHAPING = (
    "chunk contiguous expand flatten movedim permute ravel reshape split squeeze swapaxes "
    "transpose unbind unflatten unsqueeze view"
).split()
_SHAPING: set[Any] = {
    operator.getitem,
    *_NAMES_OF_SHAPING,
    *(getattr(torch, name) for name in _NAMES_OF_SHAPING if hasattr(torch, name)),
    *("clone", "detach", "float", "to", functional.dropout),
}
_FLOAT_WITH_PARAMETERS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.Embedding)
_ATTENTION = (HeadProducts, ScaledDotProduct)
_TORCH_ATTENTION = (
    nn.MultiheadAttention,
    nn.Transformer,
    nn.TransformerDecoder,
    nn.TransformerDecoderLayer,
    nn.TransformerEncoder,
    nn.TransformerEncoderLayer,
)


def _module(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return graph.get_submodule(str(node.target)) if node.op == "call_module" else None


def _calls(node: fx.Node, targets: set[Any]) -> bool:
    return node.op in ("call_function", "call_method") and node.target in targets


def owner(graph: fx.GraphModule, node: fx.Node) -> str:
    """The name of the module whose code made ``node``; the node's own at the top."""
    module = _module(graph, node)
    if isinstance(module, _ATTENTION):
        return module.owner
    if module is not None:
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {node.name: None}
    return str(next(reversed(stack)))


def unshaped(graph: fx.GraphModule, node: fx.Node) -> fx.Node:
    """The node that ``node`` has its values from, through changes of shape and dropout."""
    while node.all_input_nodes and (
        _calls(node, _SHAPING)
        or isinstance(_module(graph, node), (nn.Flatten, nn.Unflatten, nn.Dropout, nn.Identity))
    ):
        node = node.all_input_nodes[0]
    return node


def attention_nodes(graph: fx.GraphModule) -> Iterator[fx.Node]:
    """The nodes of ``graph`` that are attention, in order."""
    for node in graph.graph.nodes:
        if isinstance(_module(graph, node), (*_ATTENTION, *_TORCH_ATTENTION)):
            yield node
        elif _calls(node, {_SDPA}):
            yield node
        elif _calls(node, _PRODUCTS):
            sources = [unshaped(graph, source) for source in node.all_input_nodes]
            if any(
                _calls(source, _SOFTMAX) or isinstance(_module(graph, source), nn.Softmax)
                for source in sources
            ):
                yield node


def check_float(graph: fx.GraphModule, node: fx.Node) -> None:
    """Refuse a node that would keep weights out of sight of the budget.

    In a network with attention everything that has no weights stays float, and so do norms and
    embeddings, which multiply nothing by a matrix.
    """
    module = _module(graph, node)
    if module is not None:
        if next(module.parameters(), None) is None or isinstance(module, _FLOAT_WITH_PARAMETERS):
            return
        raise SysmolError(
            f"prepare: cannot quantize '{node.name}': unsupported {type(module).__name__}"
        )
    weighted = _calls(node, _WITH_WEIGHTS)
    if _calls(node, _PRODUCTS):
        weighted = any(_is_weight(graph, source) for source in node.all_input_nodes)
    if weighted:
        raise SysmolError(
            f"prepare: cannot quantize '{node.name}' of '{owner(graph, node)}': a product with a "
            "parameter; make it an nn.Linear or nn.Conv2d"
        )


def _is_weight(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether ``node`` is a parameter, in whatever shape, or made of parameters alone."""

    def parameter(node: fx.Node) -> bool:
        if node.op != "get_attr":
            return False
        return isinstance(operator.attrgetter(str(node.target))(graph), nn.Parameter)

    behind = {node}
    todo = [node]
    while todo:
        new = set(todo.pop().all_input_nodes) - behind
        behind |= new
        todo += new
    alone = all(n.op in ("get_attr", "call_function", "call_method") for n in behind)
    return parameter(unshaped(graph, node)) or (alone and any(map(parameter, behind)))


# Training and evaluation ------------------------------------------------------------------------


def _modeless(node: fx.Node, places: dict[fx.Node, int]) -> tuple[Any, ...]:
    """What a node does but for its dropout, its sources by their places in the graph."""
    args: Any = fx.map_arg(node.args, lambda n: f"%{places[n]}")
    kwargs: dict[str, Any] = dict(fx.map_arg(node.kwargs, lambda n: f"%{places[n]}"))
    if _calls(node, {_SDPA}):
        kwargs.pop("dropout_p", None)
        args = (*args[:4], *args[5:])
    elif _calls(node, {functional.dropout, functional.dropout2d}):
        kwargs.pop("training", None)
    # Constants made in the forward pass are numbered anew by each tracing.
    target = re.sub(r"^_tensor_constant\d+$", "_tensor_constant", str(node.target))
    return node.op, target, args, kwargs


def in_both_modes(model: nn.Module, trace: Callable[[nn.Module], fx.GraphModule]) -> fx.GraphModule:
    """The graph of ``model`` with dropout that follows the mode of the network.

    Tracing keeps what ``self.training`` was. So both modes are traced: calls of dropout and of
    attention with dropout become modules, and any other difference is refused.
    """
    modes = {module: module.training for module in model.modules()}
    graph, still = trace(model.train()), trace(model.eval())
    for module, mode in modes.items():
        module.training = mode
    graph.training = model.training
    pairs = list(zip_longest(graph.graph.nodes, still.graph.nodes))
    here, there = ({n: i for i, n in enumerate(g.graph.nodes)} for g in (graph, still))
    for node, other in pairs:
        if node is None or other is None or _modeless(node, here) != _modeless(other, there):
            what = node if node is not None else other
            raise SysmolError(
                f"prepare: '{owner(graph if node is not None else still, what)}' computes "
                "something else in training than in evaluation; only dropout may differ"
            )
    # First of all the weights of attention that nobody reads.
    graph.graph.eliminate_dead_code()
    alive = set(graph.graph.nodes)
    for node, other in pairs:
        if node not in alive:
            continue
        if _calls(node, {_SDPA}):
            if _dropout(still, other):
                raise SysmolError(
                    f"prepare: '{owner(graph, node)}' drops in evaluation, too: dropout_p must "
                    "be 0 there"
                )
            _as_module(graph, node)
        elif _calls(node, {functional.dropout}) and node.kwargs != other.kwargs:
            dropout = nn.Dropout(float(node.kwargs["p"])).train(model.training)
            _put(graph, node, dropout, node.args[:1], {})
        elif _calls(node, {functional.dropout2d}) and node.kwargs != other.kwargs:
            maps = nn.Dropout2d(float(node.kwargs["p"])).train(model.training)
            _put(graph, node, maps, node.args[:1], {})
        elif isinstance(_module(graph, node), HeadProducts) and all(
            user.target is operator.getitem and user.args[1] == 0 for user in node.users
        ):
            # Nobody reads the weights, which are costlier to make than the result.
            node.update_kwarg("need_weights", False)
    graph.graph.eliminate_dead_code()
    return graph


_SDPA_NAMES = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")


def _dropout(graph: fx.GraphModule, node: fx.Node) -> float:
    given = {**dict(zip(_SDPA_NAMES, node.args, strict=False)), **node.kwargs}
    dropout = given.get("dropout_p", 0.0)
    if not isinstance(dropout, (int, float)):
        raise SysmolError(f"prepare: '{owner(graph, node)}': dropout_p must be a number")
    return float(dropout)


def _as_module(graph: fx.GraphModule, node: fx.Node) -> None:
    given = {**dict(zip(_SDPA_NAMES, node.args, strict=False)), **node.kwargs}
    given.pop("dropout_p", None)
    products = ScaledDotProduct(_dropout(graph, node), owner(graph, node)).train(graph.training)
    args = tuple(given.pop(name) for name in _SDPA_NAMES[:3])
    _put(graph, node, products, args, given)


def _put(
    graph: fx.GraphModule,
    node: fx.Node,
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """Replace ``node`` by a call of ``module``."""
    name = f"{node.name}_module"
    graph.add_submodule(name, module)
    with graph.graph.inserting_after(node):
        new = graph.graph.call_module(name, args, kwargs)
    new.meta.update(node.meta)
    node.replace_all_uses_with(new)
    graph.graph.erase_node(node)
