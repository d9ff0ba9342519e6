"""The suites of the benchmark, the cost table, explanations and charts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from native import command, needs_native, products, targets_here, weight_levels
from native import conv as integer_conv

import sysmol
from sysmol import SysmolError, cli, explain
from sysmol.grids import Grid
from sysmol.measure import Burst, Latency, timed, turns
from sysmol.programs import LAYER, MIXES, Convolution, Product, channel_bits


def test_bursts_and_turns() -> None:
    calls = {"a": 0, "b": 0}

    def call(name: str) -> None:
        calls[name] += 1

    cases = {name: timed(lambda name=name: call(name), 0.001) for name in calls}
    burst = cases["a"]()
    assert isinstance(burst, Burst) and burst.calls >= 3 and 0 < burst.minimum <= burst.median
    found = turns(cases, 0.0, rounds=4)
    assert set(found) == {"a", "b"} and found["a"].minimum <= found["a"].median
    # Two calls of each burst do not count.
    assert calls["b"] == found["b"].runs + 4 * 2


def test_the_median_is_that_of_the_bursts() -> None:
    given = iter([Burst(2.0, 5.0, 10), Burst(1.0, 9.0, 10), Burst(3.0, 6.0, 10)])
    assert turns({"a": lambda: next(given)}, 0.0, rounds=3) == {"a": Latency(1.0, 6.0, 30)}


def test_shapes_of_layers() -> None:
    conv = Convolution(3, 64, 224, kernel=7, stride=2)
    assert conv.output_shape == (1, 64, 112, 112)
    assert conv.macs == 64 * 112 * 112 * 3 * 49
    depthwise = Convolution(32, 32, 10, depthwise=True)
    assert depthwise.filter_shape == (32, 1, 3, 3) and depthwise.macs == 32 * 100 * 9
    assert "depthwise 3x3 32->32, 10x10" == str(depthwise)
    layer = Product(2, 100, 10)
    by_level = layer.macs_by_level(MIXES["60/35/5"])
    assert by_level == {1: 1200.0, 2: 700.0, 4: 100.0}
    assert layer.weight_bytes(MIXES["60/35/5"]) == (60 + 70 + 20) * 10 / 8


@needs_native
@pytest.mark.parametrize("mix", ["60/35/5", "8 bit"])
@pytest.mark.parametrize("depthwise", [False, True])
def test_the_measured_convolution_is_one(mix: str, depthwise: bool, tmp_path: Path) -> None:
    from sysmol.suites.ours import compiled, loaded

    conv = Convolution(16, 16 if depthwise else 12, 5, depthwise=depthwise)
    source = tmp_path / "conv.mlir"
    source.write_text(conv.program(MIXES[mix], seed=1))
    bundle, report = compiled(source, golden_pairs=2, profile=True)
    model = loaded(bundle)
    assert model.verify() == 2 and report.seconds > 0
    names = [row.name for row in model.profile(np.zeros(conv.input_shape, np.int8), runs=5)]
    assert LAYER in names and names[-1] == "total"
    layer = next(layer for layer in model.layers if layer.name == LAYER)
    assert layer.macs == conv.macs and layer.executed_macs >= layer.macs
    assert layer.predicted_ns > 0
    assert layer.levels == conv_counts(conv, mix)


@needs_native
def test_tiles_need_fewer_products(tmp_path: Path) -> None:
    """16 for 36; the ceiling counts those, so that a share stays below 1."""
    from sysmol.compile import compile
    from sysmol.costs import CostTable
    from sysmol.explain import ceiling_cycles
    from sysmol.runtime import inspect

    conv = Convolution(128, 128, 28, 3)
    source = tmp_path / "conv.mlir"
    source.write_text(conv.program(MIXES["4 bit"]))
    compile(source, tmp_path / "conv.smol", targets=["x86-64-avx512"], golden_pairs=0)
    layer = next(row for row in inspect(tmp_path / "conv.smol").layers if row.macs)
    assert "Winograd" in layer.strategy
    assert layer.macs == conv.macs and layer.needed_macs == conv.macs * 16 // 36
    assert layer.executed_macs >= layer.needed_macs
    table = CostTable("", {4: 64.0}, {}, 1.0, {})
    assert ceiling_cycles(layer, table) == pytest.approx(layer.needed_macs / 64)


@needs_native
def test_the_border_of_a_small_image_needs_no_products(tmp_path: Path) -> None:
    from sysmol.compile import compile
    from sysmol.runtime import inspect

    needed = {}
    for mix in ("60/35/5", "8 bit"):
        conv = Convolution(128, 128, 7, 3)
        source = tmp_path / "conv.mlir"
        source.write_text(conv.program(MIXES[mix]))
        compile(source, tmp_path / "conv.smol", targets=["x86-64-avx512"], golden_pairs=0)
        layer = next(row for row in inspect(tmp_path / "conv.smol").layers if row.macs)
        assert "lanes are outputs" in layer.strategy and layer.macs == conv.macs
        assert layer.needed_macs <= layer.executed_macs
        needed[mix] = layer.needed_macs / layer.macs
    # Of seven rows of three taps two are outside, of columns, too. What is folded stays.
    assert needed["8 bit"] == pytest.approx((19 / 21) ** 2, rel=1e-6)
    assert (19 / 21) ** 2 < needed["60/35/5"] < 0.9


def conv_counts(conv: Convolution, mix: str) -> dict[int, int]:
    bits = channel_bits(conv.channels, MIXES[mix])
    return {p: bits.count(p) for p in sorted(set(bits))}


@needs_native
def test_the_measured_product_is_one(tmp_path: Path) -> None:
    """Against NumPy: the reals that come out are 0.001 times the exact sums."""
    from sysmol.compile import compile
    from sysmol.runtime import load

    layer = Product(2, 20, 7)
    source = tmp_path / "product.mlir"
    source.write_text(layer.program(MIXES["60/35/5"], seed=3))
    compile(source, tmp_path / "product.smol")
    model = load(tmp_path / "product.smol")
    bits = tuple(channel_bits(20, MIXES["60/35/5"]))
    rng = np.random.default_rng(5)
    codes = np.array([[rng.integers(0, 2**p) for p in bits] for _ in range(2)])
    x = (codes / (2.0 ** np.array(bits) - 1)).astype(np.float32)
    weights = np.random.default_rng(3).integers(0, 2 ** np.array(bits), (7, 20))
    wanted = integer_conv(
        products(Grid.UNSIGNED, bits, codes)[:, :, None, None],
        weight_levels(bits, weights)[:, :, None, None],
    )[:, :, 0, 0]
    np.testing.assert_array_equal(
        model.run(x), (wanted.astype(np.float32) * np.float32(0.001)).astype(np.float32)
    )


@needs_native
def test_rows_of_kernels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    output = tmp_path / "r.json"
    arguments = ["bench", "--suite", "kernels", "--filter", "16->16, 28x28, 2 bit"]
    arguments += ["--peers", "onnxruntime", "--scale", "0.01", "--json", str(output)]
    assert cli.main(arguments) == 0
    result = json.loads(output.read_text())
    assert [row["peer"] for row in result["rows"]] == ["onnxruntime float32", "onnxruntime int8"]
    row = result["rows"][0]
    assert row["suite"] == "kernels" and row["case"] == "3x3 16->16, 28x28, 2 bit"
    assert row["ratio"] == pytest.approx(row["peer_ms"] / row["ours_ms"])
    assert row["ceiling"] == pytest.approx(result["cost_table"]["macs_per_cycle"]["2"])
    shares = row["losses"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["products"] == pytest.approx(row["ceiling_share"]) and shares["padding"] >= 0
    assert ("explanation" in row) == (row["ceiling_share"] < 0.6)
    assert 0 < row["filled"] <= 1 and row["predicted_ms"] > 0 and "2 bit" in row["strategy"]
    assert row["ceiling_share"] == pytest.approx(row["mac_per_cycle"] / row["ceiling"])
    chart = tmp_path / "chart.svg"
    assert cli.main(["bench", "--chart", str(output), "-o", str(chart)]) == 0
    assert "3x3 16-&gt;16, 28x28, 2 bit" in chart.read_text()
    assert cli.main([*arguments[:3], "--filter", "nothing of the kind"]) == 2
    assert "no case" in capsys.readouterr().err


@needs_native
@pytest.mark.parametrize(
    ("suite", "case", "floats", "quantized"),
    [
        ("kernels", "3x3 16->16, 28x28, 2 bit", ["torch float32", "torch bfloat16"], []),
        ("gemv", "128 x 768->3072, 2 bit", ["torch float32"], ["ggml tq2_0 (avx2)"]),
        ("networks", "ResNet-20, 28x28, trained", ["torch float32", "onnxruntime float32"], []),
    ],
)
def test_rows_of_products_and_networks(
    suite: str, case: str, floats: list[str], quantized: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "r.json"
    peers = sorted({name.split()[0] for name in floats + quantized})
    for peer in peers:
        if peer == "ggml":
            pytest.importorskip("ggml_compiler")
        else:
            pytest.importorskip(peer)
    arguments = ["bench", "--suite", suite, "--filter", f"^{case}$", "--peers", ",".join(peers)]
    assert cli.main([*arguments, "--scale", "0.01", "--json", str(output)]) == 0
    rows = json.loads(output.read_text())["rows"]
    assert {*floats, *quantized} <= {row["peer"] for row in rows}
    for row in rows:
        assert (row["suite"], row["case"], row["threads"]) == (suite, case, 1)
        assert row["ratio"] == pytest.approx(row["peer_ms"] / row["ours_ms"])
        assert 0 < row["ours_ms"] <= row["ours_median_ms"] and row["runs"] > 0
        assert row["mac_per_cycle"] > 0 and row["ceiling_share"] > 0


def test_charts_need_results(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "empty.json").write_text("{}")
    for name in ("bad", "empty"):
        chart = ["bench", "--chart", str(tmp_path / f"{name}.json"), "-o", str(tmp_path / "c.png")]
        assert cli.main(chart) == 1
    assert cli.main(["bench", "--chart", str(tmp_path / "empty.json")]) == 2


def test_a_missing_peer_is_named() -> None:
    from sysmol.suites.engines import attempt

    def refuse() -> None:
        raise SysmolError("not installed:\n run pip")

    missing: dict[str, str] = {}
    assert attempt("x", refuse, missing) == {} and missing == {"x": "not installed: run pip"}


@needs_native
def test_tables_of_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sysmol.costs import cost_table

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    table = cost_table("x86-64-avx512")
    assert "built in" in table.source and set(table.macs_per_cycle) == {1, 2, 4, 8}
    assert table.ceiling({8: 5.0}) == pytest.approx(table.macs_per_cycle[8])
    with pytest.raises(SysmolError, match="no target"):
        cost_table("x86-64-none")
    # A damaged file in the cache is as good as none.
    (tmp_path / "sysmol").mkdir()
    (tmp_path / "sysmol" / "costs-x86-64-avx512.json").write_text("{}")
    assert cost_table("x86-64-avx512") == table


@needs_native
def test_tuning_measures_and_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sysmol.costs import cost_table, tune

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    target = "x86-64-generic"  # runs on every x86-64
    found = tune(target)
    assert "measured" in found.source and cost_table(target) == found
    assert all(0.1 < rate < 10_000 for rate in found.macs_per_cycle.values())
    sizes = sorted(found.bytes_per_cycle)
    assert len(sizes) > 5 and sizes[0] <= 4 << 20 < 128 << 20 < sizes[-1]
    assert found.streamed(0) > found.streamed(1e12) / 2


@needs_native
def test_explanations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "conv.mlir"
    source.write_text(Convolution(16, 16, 14).program(MIXES["60/35/5"]))
    plain, clocks = tmp_path / "plain.smol", tmp_path / "clocks.smol"
    # Predictions are of the bundle's first target: it shall run here.
    line = ["compile", str(source), "--target", targets_here(sysmol.targets())[0]]
    assert cli.main([*line, "-o", str(plain), "--explain"]) == 0
    assert cli.main([*line, "-o", str(clocks), "--profile"]) == 0
    assert LAYER in capsys.readouterr().out
    assert cli.main(["explain", str(plain), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["layers"]
    assert rows[0]["predicted_us"] > 0 and rows[0]["measured_us"] is None
    for threads in ("2", "1"):
        line = ["explain", str(clocks), "--runs", "20", "--threads", threads, "--json"]
        assert cli.main(line) == 0
        found = json.loads(capsys.readouterr().out)
        assert all(row["measured_us"] > 0 for row in found["layers"])
    row = next(row for row in found["layers"] if row["name"] == LAYER)
    assert 0 < row["measured_us"] <= found["total_us"] and 0 < row["ceiling_share"] < 2
    assert row["levels"] == {"1": 10, "2": 5, "4": 1} and 0 < row["filled"] <= 1
    # Nothing can be judged without clocks; nothing is a million times too fast.
    assert cli.main(["explain", str(plain), "--forbid-fallback"]) == 1
    capsys.readouterr()
    assert cli.main(["explain", str(clocks), "--forbid-fallback", "--factor", "0.0001"]) == 1
    assert f"layer '{LAYER}' takes" in capsys.readouterr().err
    assert cli.main(["explain", str(clocks), "--forbid-fallback", "--factor", "100000"]) == 0
    # Nor can code that nothing was predicted for.
    both = [targets_here(sysmol.targets())[0], "x86-64-generic"]
    sysmol.compile(source, tmp_path / "both.smol", targets=both, profile=True)
    report = explain.explain(sysmol.load(tmp_path / "both.smol", target="x86-64-generic"), runs=5)
    assert report.total and all(row.share is None for row in report.layers)
    total = explain.cells(report)[-1]
    assert total[6] == total[8] == "-" and total[7] != "-"
    with pytest.raises(SysmolError, match="compile with --target x86-64-generic to judge"):
        explain.check(report)


@needs_native
def test_tune_shows_the_table_of_what_runs_here() -> None:
    done = command("tune", "--show")
    assert done.returncode == 0, done.stderr
    best = targets_here(["x86-64-avx512", "x86-64-avx2", "x86-64-generic"])[0]
    assert best in done.stdout
