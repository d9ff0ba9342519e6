"""``sysmol demo``, on few images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from native import needs_native

from sysmol import data, zoo


def test_pictures_in_characters() -> None:
    from sysmol.demo import ascii_pictures

    images = np.zeros((2, 28, 28), np.uint8)
    images[1] = 255
    lines = ascii_pictures(images, ["black", "white"], width=16).split("\n")
    assert len(lines) == 8 and lines[0] == " " * 16 + "@" * 14
    assert lines[7].split() == ["black", "white"]
    assert "**" in ascii_pictures(data.load("test")[0][:1], ["boot"])


def test_bits_of_channels() -> None:
    from sysmol import picture

    layers = picture.layer_bits(zoo.NETWORK)
    assert [layer.name for layer in layers][:2] == ["conv", "blocks_0_conv1"]
    assert layers[-1].weights == 640 and set(layers[-1].bits.tolist()) == {8}
    assert all(set(layer.bits.tolist()) <= {1, 2, 4, 8} for layer in layers)
    assert 1 <= picture.mean_bits(layers) <= 4


@needs_native
def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    from sysmol import cli

    output, result = tmp_path / "out", tmp_path / "r.json"
    arguments = ["demo", "-o", str(output), "--images", "40", "--runs", "20"]
    assert cli.main([*arguments, "--json", str(result)]) == 0
    text = capsys.readouterr().out
    for word in ("accuracy", "times smaller", "latency, median", "machine code", "strategy"):
        assert word in text
    assert "blocks_8_conv2" in text and "Ankle boot" in text
    assert {path.name for path in output.iterdir()} == {
        "bits.png",
        "bits.svg",
        "preresnet20-fashion-mnist.smol",
        "preresnet20-fashion-mnist-float-int8.onnx",
    }
    measured = json.loads(result.read_text())
    assert set(measured["accuracy"]) == {"ours", "ort-float32", "ort-int8"}
    assert measured["images"] == 40 and measured["compression"] > 1
    assert measured["ratio"]["ort-float32"] > 0 and measured["compile_seconds"]
    assert len(measured["layers"]) > 20 and measured["layers"][0]["strategy"]
    assert cli.main(["demo", "-o", str(output), "--images", "10001"]) == 1
