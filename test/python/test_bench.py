"""Measuring: turns, environment, the peers, the files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from native import needs_native

from sysmol import SysmolError, data, measure, zoo
from sysmol.files import write_json


def test_turns_count_every_call() -> None:
    calls = {"a": 0, "b": 0}
    seen: list[set[int]] = []

    def case(name: str) -> None:
        calls[name] += 1
        seen.append(os.sched_getaffinity(0))

    before = os.sched_getaffinity(0)
    taken = measure.interleaved({n: lambda n=n: case(n) for n in calls}, runs=50, burst=20)
    assert os.sched_getaffinity(0) == before and all(len(cpus) == 1 for cpus in seen)
    assert set(taken) == {"a", "b"} and calls["a"] == calls["b"] > 50
    for latency in taken.values():
        assert latency.runs == 50 and 0 < latency.minimum <= latency.median


def test_affinity_survives_a_failing_case() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(ZeroDivisionError):
        measure.interleaved({"a": lambda: 1 / 0})
    assert os.sched_getaffinity(0) == before


def test_environment_names_no_machine() -> None:
    import socket

    text = json.dumps(measure.environment())
    assert "cpu" in json.loads(text) and "commit" in json.loads(text)
    assert str(Path.home()) not in text and f'"{socket.gethostname()}"' not in text


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime")
    from sysmol.peers import quantize_int8

    path = tmp_path_factory.mktemp("peer") / "int8.onnx"
    quantize_int8(zoo.FLOAT, path, data.to_input(data.load("test")[0][:50]))
    return path


def test_the_peers_compute_the_same_network(int8: Path) -> None:
    from sysmol.peers import OnnxRuntime

    images = data.to_input(data.load("test")[0][:100])
    wanted = OnnxRuntime(zoo.FLOAT).run(images)
    assert wanted.shape == (100, 10)
    quantized = OnnxRuntime(int8).run(images)
    assert (quantized != wanted).any()
    agreeing = (quantized.argmax(1) == wanted.argmax(1)).mean()
    assert agreeing > 0.8
    assert int8.stat().st_size < zoo.FLOAT.stat().st_size / 2
    session = OnnxRuntime(zoo.FLOAT, batch=1)
    session.bound(images[:1])()
    np.testing.assert_allclose(session.run(images[:1]), wanted[:1], rtol=1e-4, atol=1e-5)


def test_a_peer_refuses_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from sysmol.peers import OnnxRuntime

    (tmp_path / "x.onnx").write_bytes(b"nothing")
    with pytest.raises(SysmolError, match="refuses") as caught:
        OnnxRuntime(tmp_path / "x.onnx")
    assert "\n" not in str(caught.value)


@needs_native
def test_the_suite_of_networks(zoo_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from sysmol import cli

    output = tmp_path / "r.json"
    arguments = ["bench", str(zoo_bundle), "--twin", str(zoo.FLOAT)]
    assert cli.main([*arguments, "--runs", "20", "--json", str(output)]) == 0
    result = json.loads(output.read_text())
    assert result["suite"] == "networks" and result["environment"]["cpu"]
    assert [row["peer"] for row in result["rows"]] == ["ort-float32", "ort-int8"]
    for row in result["rows"]:
        assert row["ratio"] == row["peer_ms"] / row["ours_ms"] and row["runs"] == 20
        assert "1x1x28x28" in row["case"]
    with pytest.raises(SysmolError, match="cannot write"):
        write_json(tmp_path / "no" / "r.json", result)
    assert cli.main(["bench", str(zoo_bundle)]) == 2
