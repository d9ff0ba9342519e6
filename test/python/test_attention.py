"""Networks with attention: what is quantized, what stays float, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import _dynamo as dynamo
from torch import fx, nn
from torch.nn import functional

import sysmol
from sysmol import Inputs, SysmolError, data
from sysmol.attention import Attention, HeadProducts, ScaledDotProduct
from sysmol.budget import Controller, Costs, Unit, measure_for, settle
from sysmol.layers import ActivationQuant, CarrierQuant, ChannelPrecision, QuantLayer, QuantLinear
from sysmol.posttraining import sensitivity
from sysmol.prepare import (
    bits_term,
    calibrate,
    calibrate_carrier,
    freeze,
    hidden_layers,
    layers,
    mean_bits,
    project,
)

pytestmark = pytest.mark.filterwarnings("ignore:prepare. .* is attention:UserWarning")

E, HEADS, L, N = 8, 2, 5, 3


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def causal(length: int = L) -> torch.Tensor:
    return torch.ones(length, length).triu(1).bool()


def padding() -> torch.Tensor:
    return torch.arange(L) >= torch.tensor([5, 3, 4])[:, None]


class SelfAttention(nn.Module):
    """``nn.MultiheadAttention`` of one tensor, with a residual sum and a head."""

    def __init__(self, call: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(E, HEADS, **options)
        for parameter in self.attention.parameters():
            nn.init.normal_(parameter, 0, 0.4)  # biases, too
        self.norm, self.head = nn.LayerNorm(E), nn.Linear(E, 4)
        self.call, self.first = call or {}, options.get("batch_first", False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x if self.first else x.transpose(0, 1)
        y = self.head(self.norm(x + self.attention(x, x, x, **self.call)[0]))
        z: torch.Tensor = y if self.first else y.transpose(0, 1)
        return z


class Weights(nn.Module):
    """Reads the weights of attention, not only its result."""

    def __init__(self, average: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(E, HEADS, batch_first=True)
        self.average = average

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, weights = self.attention(x, x, x, average_attn_weights=self.average)
        return torch.cat([y.flatten(1), weights.flatten(1)], 1)


class Cross(nn.Module):
    """Queries of one width look at a memory of two other ones."""

    def __init__(self) -> None:
        super().__init__()
        self.keys, self.values = nn.Linear(E, 6), nn.Linear(E, 10)
        self.attention = nn.MultiheadAttention(E, HEADS, kdim=6, vdim=10, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        memory = x.relu()
        y: torch.Tensor = self.attention(x[:, :2], self.keys(memory), self.values(memory))[0]
        return y


class Encoded(nn.Module):
    """``nn.TransformerEncoder`` with masks."""

    def __init__(self, masks: dict[str, Any] | None = None, count: int = 2, **options: Any) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(E, HEADS, 16, batch_first=True, **options)
        self.encoder = nn.TransformerEncoder(
            layer, count, nn.LayerNorm(E), enable_nested_tensor=False
        )
        self.head, self.masks = nn.Linear(E, 4), masks or {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.encoder(x, **self.masks))
        return y


class Decoded(nn.Module):
    """``nn.TransformerDecoder``, which looks at a memory, too."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerDecoderLayer(E, HEADS, 16, batch_first=True)
        self.memory, self.decoder = nn.Linear(E, E), nn.TransformerDecoder(layer, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.decoder(x, self.memory(x[:, 1:]), tgt_mask=causal())
        return y


class ByHand(nn.Module):
    """A block as people write it, dropout by ``self.training`` included."""

    def __init__(self, fused: bool = True, dropout: float = 0.1) -> None:
        super().__init__()
        self.norm, self.q, self.kv = nn.LayerNorm(E), nn.Linear(E, E), nn.Linear(E, 2 * E)
        self.out, self.head = nn.Linear(E, E), nn.Linear(E, 4)
        self.fused, self.dropout = fused, dropout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, length, _ = x.shape
        h = self.norm(x)
        k, v = self.kv(h).chunk(2, dim=-1)
        q, k, v = (t.view(n, length, HEADS, -1).transpose(1, 2) for t in (self.q(h), k, v))
        if self.fused:
            p = self.dropout if self.training else 0.0
            y = functional.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)
        else:
            scores = (q @ k.transpose(-2, -1)) / math.sqrt(q.size(-1))
            weights = functional.dropout(scores.softmax(-1), self.dropout, self.training)
            y = torch.matmul(weights, v)
        y = self.out(y.transpose(1, 2).reshape(n, length, E))
        z: torch.Tensor = self.head(x + functional.dropout(y, self.dropout, self.training))
        return z


class Patches(nn.Module):
    """A small vision transformer: patches by a convolution, a class token, positions."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, E, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, E))
        self.position = nn.Parameter(torch.randn(1, 10, E))
        self.block = nn.TransformerEncoderLayer(
            E, HEADS, 16, 0.0, batch_first=True, norm_first=True, activation="gelu"
        )
        self.head = nn.Linear(E, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.patches(x).flatten(2).transpose(1, 2)
        h = torch.cat([self.token.expand(x.shape[0], -1, -1), h], 1) + self.position
        y: torch.Tensor = self.head(self.block(h)[:, 0])
        return y


class Letters(nn.Module):
    """Codes of letters to classes."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, E)
        self.encoder = Encoded(norm_first=True, dropout=0.0)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.encoder(self.embedding(codes)).mean(1)
        return y


CASES: dict[str, Callable[[], nn.Module]] = {
    "self": lambda: SelfAttention(batch_first=True),
    "sequence first": lambda: SelfAttention(batch_first=False, dropout=0.2),
    "without bias": lambda: SelfAttention(bias=False, batch_first=True),
    "without weights": lambda: SelfAttention({"need_weights": False}, batch_first=True),
    "boolean mask": lambda: SelfAttention({"attn_mask": causal()}),
    "float mask": lambda: SelfAttention({"attn_mask": torch.randn(L, L)}, batch_first=True),
    "mask of each head": lambda: SelfAttention({"attn_mask": torch.randn(N * HEADS, L, L)}),
    "padding": lambda: SelfAttention({"key_padding_mask": padding()}, batch_first=True),
    "both masks": lambda: SelfAttention({"attn_mask": causal(), "key_padding_mask": padding()}),
    "mean weights": lambda: Weights(True),
    "weights of each head": lambda: Weights(False),
    "cross": Cross,
    "encoder": Encoded,
    "encoder, norms first": lambda: Encoded(norm_first=True, activation="gelu", bias=False),
    "encoder, masks": lambda: Encoded({"mask": causal(), "src_key_padding_mask": padding()}),
    "layer, masks": lambda: Encoded({"mask": causal(), "src_key_padding_mask": padding()}, 1),
    "decoder": Decoded,
    "encoder, activation": lambda: Encoded(activation=nn.SiLU()),
    "by hand": ByHand,
    "by hand with softmax": lambda: ByHand(False),
}


def make(name: str) -> nn.Module:
    torch.manual_seed(1)
    return CASES[name]()


def tokens(n: int = N) -> torch.Tensor:
    return torch.randn(n, L, E, generator=torch.Generator().manual_seed(2))


def floating(model: nn.Module) -> nn.Module:
    """The prepared network as if nothing had any grid."""
    for module in model.modules():
        if isinstance(module, ActivationQuant):
            module.observing = []
        elif isinstance(module, QuantLayer):
            module.given = True
    return model


def quants(model: nn.Module) -> list[ActivationQuant]:
    return [m for m in model.modules() if isinstance(m, ActivationQuant)]


def ready(name: str, phase: int = 1) -> fx.GraphModule:
    """Calibrated, its precisions of all kinds."""
    model = sysmol.prepare(make(name), inputs=Inputs.REAL)
    calibrate(model, tokens())
    for module in model.modules():
        if isinstance(module, ChannelPrecision) and module.learned:
            nn.init.uniform_(module.s, -4, 2)
    if phase == 2:
        freeze(model)
    return model


# What is float, and that it is PyTorch's --------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_without_grids_it_is_the_float_network(name: str) -> None:
    twin = make(name).eval()
    before = {key: value.clone() for key, value in twin.state_dict().items()}
    model = floating(sysmol.prepare(twin, inputs=Inputs.REAL)).eval()
    x = tokens()
    torch.testing.assert_close(model(x), twin(x), rtol=1e-5, atol=1e-5)
    # All that was linear is quantized, and no weight was lost or doubled.
    assert not [m for m in model.modules() if type(m) is nn.Linear]
    assert sum(layer.weight.numel() for _, layer in layers(model)) == sum(
        p.numel() for key, p in twin.named_parameters() if p.dim() == 2
    )
    assert all(torch.equal(value, before[key]) for key, value in twin.state_dict().items())


def test_images_and_codes_are_inputs_too() -> None:
    twin, x = Patches().eval(), torch.rand(2, 1, 12, 12)
    model = sysmol.prepare(twin)
    torch.testing.assert_close(floating(model).eval()(x), twin(x), rtol=1e-5, atol=1e-5)
    fixed = [name for name, layer in layers(model) if not layer.precision.learned]
    assert fixed == ["patches", "head"]
    first = model.get_submodule("x_quant")
    assert isinstance(first, ActivationQuant) and not first.signed and first.axis == 1
    letters, codes = Letters().eval(), torch.randint(0, 20, (2, 7))
    model = sysmol.prepare(letters)
    torch.testing.assert_close(floating(model).eval()(codes), letters(codes))
    assert all(layer.precision.learned for name, layer in layers(model) if name != "encoder.head")


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("name", ["sequence first", "encoder", "by hand", "by hand with softmax"])
def test_dropout_follows_the_mode_whatever_it_was_when_prepared(name: str, mode: bool) -> None:
    twin = make(name).train(mode)
    model = floating(sysmol.prepare(twin, inputs=Inputs.REAL))
    assert model.training == mode and twin.training == mode
    x = tokens()
    assert torch.equal(model(x), model(x)) != mode
    for training in (True, False, True):
        model.train(training)
        assert torch.equal(model(x), model(x)) != training
    # On average it is what evaluation computes, as a dropout with the right scale is.
    if name == "sequence first":
        products = next(m for m in model.modules() if isinstance(m, HeadProducts)).train()
        one = torch.ones(400, L, E)
        q = k = torch.zeros(400, L, E)
        mean = products(q, k, one, need_weights=False)[0].mean()
        assert 0.97 < float(mean) < 1.03
        assert not torch.equal(products(q, k, one, need_weights=True)[0], one)


# What is quantized ------------------------------------------------------------------------------


def test_projections_that_read_one_tensor_share_its_precisions() -> None:
    model = sysmol.prepare(make("encoder"), inputs=Inputs.REAL)
    found = dict(layers(model))
    for index in (0, 1):
        part = f"encoder.layers.{index}."
        q, k, v, out = (found[f"{part}self_attn.{n}"] for n in ("q", "k", "v", "out_proj"))
        assert q.precision is k.precision is v.precision is not out.precision
        assert q.precision.s.numel() == E
        others = {id(found[part + n].precision) for n in ("linear1", "linear2")}
        assert len(others | {id(q.precision), id(out.precision)}) == 4
    assert len(found) == 2 * 6 + 1
    crossing = dict(layers(sysmol.prepare(make("cross"), inputs=Inputs.REAL)))
    q, k, v = (crossing[f"attention.{n}"].precision for n in "qkv")
    assert q is not k and k is not v
    assert crossing["keys"].precision is crossing["values"].precision
    handmade = dict(layers(sysmol.prepare(make("by hand"))))
    assert handmade["q"].precision is handmade["kv"].precision is not handmade["out"].precision


def test_grids_by_sign_ends_and_residual_sums() -> None:
    model = sysmol.prepare(make("encoder"), inputs=Inputs.REAL)
    readers = {}
    for node in model.graph.nodes:
        module = model.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(module, ActivationQuant):
            users = [model.get_submodule(str(user.target)) for user in node.users]
            # Only layers with weights read quantized tensors: residual sums and norms do not.
            assert users and all(isinstance(user, QuantLinear) for user in users)
            readers.update({str(user.target): module for user in node.users})
    assert [n for n, quant in readers.items() if not quant.signed] == [
        "encoder.layers.0.linear2",
        "encoder.layers.1.linear2",
    ]
    fixed = {n for n, layer in layers(model) if not layer.precision.learned}
    assert fixed == {*(f"encoder.layers.0.self_attn.{n}" for n in "qkv"), "head"}
    assert all(quant.axis == -1 for quant in readers.values())
    assert not [m for m in model.modules() if isinstance(m, CarrierQuant)]
    assert calibrate_carrier(model, tokens()) == 0.0
    gelu = sysmol.prepare(make("encoder, norms first"))
    assert all(quant.signed for quant in quants(gelu))


@pytest.mark.parametrize("name", ["encoder", "sequence first", "by hand"])
def test_every_channel_is_on_the_grid_of_its_own_precision(name: str) -> None:
    model = ready(name, 2).eval()
    seen: dict[ActivationQuant, torch.Tensor] = {}
    for quant in quants(model):
        quant.register_forward_hook(lambda m, i, y: seen.__setitem__(m, y))
    model(tokens(64))
    assert len(seen) == len(quants(model)) > 2
    for quant, y in seen.items():
        for channel, bits in enumerate(quant.precision.bits.tolist()):
            assert 1 < len(y[..., channel].unique()) <= 2**bits
        assert len(quant.precision.bits.unique()) > 1 or not quant.precision.learned


@pytest.mark.parametrize("phase", [1, 2])
@pytest.mark.parametrize("name", ["encoder", "sequence first", "cross", "by hand with softmax"])
def test_gradients_reach_all_that_is_trained(name: str, phase: int) -> None:
    model = ready(name, phase).train()
    x = tokens(64) if name != "cross" else tokens(64) * 2
    model(x).square().mean().backward()
    for key, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        if key.endswith(".s"):
            assert (parameter.grad != 0).all(), key  # each channel
        # A bias of keys moves all scores of a query alike, which softmax does not see.
        elif not key.endswith("k.bias"):
            assert parameter.grad.abs().sum() > 0, key
    kinds = {key.rpartition(".")[2] for key, p in model.named_parameters() if p.requires_grad}
    assert {"weight", "scale"} <= kinds and ("s" in kinds) == (phase == 1)


# A good citizen ---------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [1, 2])
def test_state_dicts_carry_everything(phase: int, tmp_path: Path) -> None:
    model = ready("encoder", phase).train()
    torch.save(model.state_dict(), tmp_path / "state.pt")
    torch.manual_seed(99)
    other = sysmol.prepare(Encoded(), inputs=Inputs.REAL).train()
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for training in (True, False):
        torch.manual_seed(1)
        expected = model.train(training)(tokens())
        torch.manual_seed(1)
        assert torch.equal(other.train(training)(tokens()), expected)


@pytest.mark.parametrize("phase", [1, 2])
def test_autocast_computes_nearly_the_same(phase: int) -> None:
    model = ready("encoder, norms first", phase).eval()
    with torch.autocast("cpu", torch.bfloat16):
        low = model(tokens(16))
        low.float().square().mean().backward()
    assert low.dtype == torch.bfloat16
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads and all(g.dtype == torch.float32 and g.isfinite().all() for g in grads)
    similar = functional.cosine_similarity(
        low.detach().float().flatten(), model(tokens(16)).detach().flatten(), 0
    )
    assert 0.9 < float(similar) < 1


@pytest.mark.parametrize("name", ["layer, masks", "by hand"])
def test_torch_compile_makes_one_graph_of_the_same_numbers(name: str) -> None:
    dynamo.reset()
    model = ready(name)
    for module in model.modules():  # compiled code draws other dropout than eager code
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, (HeadProducts, ScaledDotProduct)):
            module.dropout = 0.0
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    model.train()
    for phase in (1, 2):
        if phase == 2:
            freeze(model)
        found = []
        for call in (compiled, model):
            model.zero_grad(set_to_none=True)
            torch.manual_seed(1)
            y = call(tokens())
            y.square().mean().backward()
            grads = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
            found.append((y.detach(), grads))
        torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-4, atol=1e-5)
        assert found[0][1].keys() == found[1][1].keys()
        for key, gradient in found[0][1].items():
            if not key.endswith("k.bias"):  # zero but for rounding
                wanted = found[1][1][key]
                assert (gradient - wanted).norm() <= 1e-3 * wanted.norm() + 1e-7, key
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(compiled(tokens()), model(tokens()), rtol=1e-4, atol=1e-5)
    dynamo.reset()


# Budgets and calibration ------------------------------------------------------------------------


def test_budgets_count_the_weights_of_projections() -> None:
    model = sysmol.prepare(make("encoder, norms first"))
    hidden = 2 * (4 * E * E + 2 * E * 16)
    assert sum(layer.weight.numel() for _, layer in hidden_layers(model)) == hidden
    assert float(bits_term(model).detach()) == pytest.approx(7 * hidden, rel=1e-4)
    costs = Costs(model)
    bits = costs.assigned()
    assert costs.total(bits) == pytest.approx(4)
    # q, k and v read one tensor: one channel of it at one bit saves three bits of 3 E weights.
    bits[0] = bits[0].clone()
    bits[0][0] = 1
    assert costs.total(bits) == pytest.approx(4 - 3 * 3 * E / hidden)
    with pytest.raises(SysmolError, match=r"layers.0.self_attn' is attention"):
        Costs(model, Unit.SIZE, measure_for(Unit.SIZE, "x86-64-avx512"))


def test_sensitivity_is_that_of_each_input_wherever_the_inputs_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Draws would depend on how the inputs are batched.
    monkeypatch.setattr(torch, "multinomial", lambda p, n, generator: p.argmin(1, keepdim=True))
    first = SelfAttention(batch_first=True)
    second = SelfAttention(batch_first=False)
    second.load_state_dict(first.state_dict())
    found = []
    for twin in (first, second):
        model = sysmol.prepare(twin, inputs=Inputs.REAL).eval()
        calibrate(model, tokens(L), 4)  # as many inputs as tokens
        found.append(sensitivity(model, tokens(L), (2, 4)).values())
    for a, b in zip(*found, strict=True):
        assert (a > 0).all()
        torch.testing.assert_close(a, b, rtol=1e-3, atol=0)


# Refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sequence first", "encoder", "by hand", "by hand with softmax"])
def test_no_file_carries_attention(name: str, tmp_path: Path) -> None:
    twin = make(name)
    with pytest.warns(UserWarning, match="is attention, which stays float"):
        model = sysmol.prepare(twin, inputs=Inputs.REAL)
    freeze(model)
    where = {"sequence first": "attention", "encoder": "encoder.layers.0.self_attn"}
    for network in (model, twin):
        with pytest.raises(SysmolError, match=r"is attention.*allowed are Conv2d") as caught:
            sysmol.export(network, tmp_path / "net.onnx", (1, L, E))
        assert "\n" not in str(caught.value)
        if network is model and name in where:
            assert f"'{where[name]}'" in str(caught.value)
    with pytest.raises(SysmolError, match="is attention"):
        sysmol.compile(model, tmp_path / "net.smol")
    assert not list(tmp_path.iterdir())


class Around(nn.Module):
    """Attention, and ``part`` behind it."""

    def __init__(self, part: Callable[[torch.Tensor], torch.Tensor], **options: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(E, HEADS, batch_first=True, **options)
        self.part, self.weight = part, nn.Parameter(torch.randn(E, E))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.attention(x, x, x)[0]
        return self.part(y)


class Product(Around):
    """A product with a parameter."""

    def __init__(self, how: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__(nn.Identity())
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.how(super().forward(x), self.weight)


class Moody(Around):
    """Computes something else in training."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        return y * 2 if self.training else y


class Again(Around):
    """Attention called twice."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(super().forward(x))


class Other(nn.MultiheadAttention):
    """Not known to compute what its base class computes."""


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Around(nn.Identity(), add_bias_kv=True), "'attention': add_bias_kv"),
        (Around(nn.Identity(), add_zero_attn=True), "add_zero_attn"),
        (Around(nn.LSTM(E, E)), "unsupported LSTM"),
        (Around(nn.Conv1d(L, L, 1)), "unsupported Conv1d"),
        (Product(torch.matmul), "product with a parameter"),
        (Product(lambda x, w: x @ w.t()), "product with a parameter"),
        (Product(lambda x, w: torch.einsum("nle,fe->nlf", x, w)), "product with a parameter"),
        (Product(functional.linear), "product with a parameter"),
        (Moody(nn.Identity()), "something else in training"),
        (
            Around(lambda y: functional.scaled_dot_product_attention(y, y, y, dropout_p=0.5)),
            "drops in evaluation",
        ),
        (Again(nn.Identity()), "called more than once"),
        (nn.Sequential(nn.Linear(E, E), Other(E, HEADS)), "unsupported Other|cannot trace"),
        (
            nn.Sequential(nn.Transformer(E, HEADS, 1, 1, 16, batch_first=True)),
            "unsupported Transformer",
        ),
    ],
)
def test_what_cannot_be_prepared_is_named(model: nn.Module, reason: str) -> None:
    with pytest.raises(SysmolError, match=reason) as caught:
        sysmol.prepare(model)
    assert str(caught.value).startswith("prepare: ") and "\n" not in str(caught.value)


def test_weights_that_nobody_reads_are_not_made() -> None:
    for model, wanted in ((Around(nn.Identity()), False), (Weights(True), True)):
        graph = sysmol.prepare(model)
        calls = [
            node
            for node in graph.graph.nodes
            if node.op == "call_module"
            and isinstance(graph.get_submodule(node.target), HeadProducts)
        ]
        assert calls and all(node.kwargs.get("need_weights", True) is wanted for node in calls)


def test_a_causal_hint_needs_its_mask() -> None:
    attention = Attention(nn.MultiheadAttention(E, HEADS))
    with pytest.raises(SysmolError, match="needs attn_mask"):
        attention(tokens(), tokens(), tokens(), is_causal=True)


# From a float network to a budget ---------------------------------------------------------------


class Rows(nn.Module):
    """An image's rows are tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(28, 32)
        self.position = nn.Parameter(torch.randn(28, 32) * 0.1)
        self.block = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True)
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.block(self.embed(x.flatten(1, 2)) + self.position)
        y: torch.Tensor = self.head(self.norm(h).mean(1))
        return y


def images(start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
    raw, labels = data.load("test")  # travels with the package
    x = torch.from_numpy(data.to_input(raw[start:stop]))
    return x, torch.from_numpy(labels[start:stop].astype("int64"))


def train(model: nn.Module, epochs: int, rate: float, control: Controller | None = None) -> None:
    """An ordinary loop."""
    x, y = images(0, 3000)
    generator = torch.Generator().manual_seed(5)
    named = [(k, p) for k, p in model.named_parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(
        [
            {"params": [p for k, p in named if not k.endswith(".s")], "lr": rate},
            {"params": [p for k, p in named if k.endswith(".s")], "lr": 0.3},
        ]
    )
    model.train()
    steps = epochs * len(x) // 30
    for step in range(steps):
        index = torch.randint(0, len(x), (30,), generator=generator)
        loss = functional.cross_entropy(model(x[index]), y[index])
        if control is not None:
            loss = loss + control.strength() * control.costs.term()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if control is not None:
            project(model)
            control.update(step / steps)


@torch.no_grad()
def accuracy(model: nn.Module) -> float:
    x, y = images(5000, 7000)
    return float((model.eval()(x).argmax(1) == y).float().mean())


def test_an_encoder_meets_a_budget_and_keeps_its_accuracy() -> None:
    twin = Rows()
    train(twin, 3, 3e-3)
    reached = accuracy(twin)
    model = sysmol.prepare(twin)
    few, _ = images(0, 256)
    calibrate(model, few)
    control = Controller(Costs(model), 1.75)
    train(model, 4, 1e-3, control)
    # The controller alone comes near: precisions are learned, not only settled.
    assert control.costs.total(control.costs.assigned()) < 2.5
    settle(model, control.costs, 1.75)
    assert mean_bits(model) == pytest.approx(1.75, rel=0.01)
    counts = [layer.precision.bits.bincount(minlength=5) for _, layer in hidden_layers(model)]
    used = torch.stack(counts).sum(0)
    assert (used[[1, 2]] > 0).all(), used
    train(model, 2, 2e-3)
    ours = accuracy(model)
    # Chance is 0.1.
    assert reached > 0.7 and ours > reached - 0.05, (reached, ours)
    # Without training, at as many bits as that needs.
    quick = sysmol.calibrate_bits(twin, few, 4.0)
    assert mean_bits(quick) == pytest.approx(4.0, rel=0.03)
    assert accuracy(quick) > reached - 0.05
