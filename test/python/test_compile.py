"""Compiling from Python: options, kinds of output, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from native import needs_native, python, targets_here

import sysmol
from sysmol import InputRefused, UsageError
from sysmol.runtime import inspect

pytestmark = needs_native


def test_a_report_tells_times_and_sizes(small_source: Path, tmp_path: Path) -> None:
    report = sysmol.compile(small_source, tmp_path / "m.smol", name="mine", golden_pairs=0)
    assert report.output.is_file() and report.seconds > 0 and len(report.phases) > 3
    assert report.weight_bytes == sysmol.load(report.output).sizes.weights
    assert sysmol.load(report.output).name == "mine"
    with pytest.raises(InputRefused):  # nothing would be verified
        sysmol.load(report.output).verify()


def test_targets_are_chosen_by_name(small_source: Path, tmp_path: Path) -> None:
    known = sysmol.targets()
    assert len(known) == len(set(known)) >= 1
    for target in known:
        report = sysmol.compile(small_source, tmp_path / "m.smol", targets=[target])
        assert inspect(report.output).targets == (target,)
    for wrong in (["pdp-11"], [known[0], known[0]]):
        with pytest.raises(UsageError, match="target"):
            sysmol.compile(small_source, tmp_path / "n.smol", targets=wrong)
    assert not (tmp_path / "n.smol").exists()


@pytest.mark.parametrize(
    ("emit", "suffix", "word"),
    [("llvm", "ll", "define"), ("asm", "s", ".text"), ("mlir", "mlir", "func.func")],
)
def test_texts(emit: str, suffix: str, word: str, small_source: Path, tmp_path: Path) -> None:
    path = tmp_path / f"m.{suffix}"
    sysmol.compile(small_source, path, emit=emit, targets=[sysmol.targets()[-1]])
    assert word in path.read_text()


@pytest.mark.parametrize("phase", ["model", "plan", "packed", "loops", "vectors", "llvm"])
def test_phases(phase: str, small_source: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.mlir"
    sysmol.compile(small_source, path, emit="mlir", phase=phase, targets=[sysmol.targets()[-1]])
    assert ("hetprec.conv_2d" in path.read_text()) == (phase in ("model", "plan"))


def test_an_object_comes_with_a_header(small_source: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.o"
    sysmol.compile(small_source, path, emit="object", targets=[sysmol.targets()[-1]])
    assert path.read_bytes()[:4] == b"\x7fELF"
    header = (tmp_path / "small.h").read_text()
    assert "small_run" in header and "ARENA_BYTES" in header


def test_equal_inputs_give_equal_bundles(small_source: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        sysmol.compile(small_source, tmp_path / name, name="same", seed=3)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_unknown_options_are_misuse(small_source: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.smol"
    for options in (
        {"emit": "jpeg"},
        {"emit": "mlir", "phase": "lunch"},
        {"batch": 0},
        {"batch": -1},
        {"golden_pairs": -1},
        {"seed": 2**64},
    ):
        with pytest.raises(UsageError):
            sysmol.compile(small_source, path, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "func.func @main(",
        "module {}",
        "func.func @a() { return }\nfunc.func @b() { return }",
        "func.func @main(%x: tensor<?xf32>) -> tensor<?xf32> { return %x : tensor<?xf32> }",
        "func.func @main(%x: memref<4xf32>) { return }",
        "func.func @main(%x: i32) -> i32 { return %x : i32 }",
        "func.func @main(%x: tensor<4xf64>) -> tensor<4xf64> { return %x : tensor<4xf64> }",
        "func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {\n"
        "  %y = math.sin %x : tensor<4xf32>\n  return %y : tensor<4xf32>\n}",
    ],
)
def test_programs_that_are_no_network_are_refused(text: str, tmp_path: Path) -> None:
    source, output = tmp_path / "net.mlir", tmp_path / "net.smol"
    source.write_text(text)
    with pytest.raises(InputRefused) as caught:
        sysmol.compile(source, output)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [source]


def test_places_that_cannot_be_read_or_written(small_source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"missing\.onnx"):
        sysmol.compile(tmp_path / "missing.onnx", tmp_path / "m.smol")
    with pytest.raises(InputRefused):
        sysmol.compile(tmp_path, tmp_path / "m.smol")
    with pytest.raises(sysmol.SysmolError, match="nowhere"):
        sysmol.compile(small_source, tmp_path / "nowhere" / "m.smol")


class TestReference:
    def test_wrong_arrays_are_refused(self, small_source: Path, small_bundle: Path) -> None:
        model = sysmol.load(small_bundle)
        with pytest.raises(InputRefused):
            sysmol.reference(small_source, np.zeros((1, 1, 4, 5), np.float32), like=model)
        with pytest.raises(InputRefused, match="float32"):
            sysmol.reference(small_source, np.zeros((1, 1, 4, 4)))
        with pytest.raises(InputRefused):
            sysmol.reference(small_source, np.zeros((1, 1, 4, 5), np.float32))
        with pytest.raises(InputRefused, match="at least one"):
            sysmol.reference(small_source)


def test_models_in_memory(tmp_path: Path) -> None:
    import torch
    from torch import nn

    from sysmol.prepare import calibrate, calibrate_carrier, freeze

    torch.manual_seed(0)
    twin = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, stride=2, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    x = torch.rand(8, 1, 6, 6)
    prepared = sysmol.prepare(twin)
    calibrate(prepared, x)
    freeze(prepared)
    calibrate_carrier(prepared, x)
    sysmol.export(prepared, tmp_path / "net.onnx", (1, 6, 6))
    wanted = sysmol.IntegerNetwork.from_onnx(tmp_path / "net.onnx").run(x.numpy())
    # The network itself, its ONNX model, its file; one image a call and four.
    one_target = targets_here(sysmol.targets())[:1]
    for model in (prepared, onnx.load(tmp_path / "net.onnx"), tmp_path / "net.onnx"):
        for batch in (1, 4):
            report = sysmol.compile(
                model, tmp_path / "net.smol", targets=one_target, batch=batch, image_shape=(1, 6, 6)
            )
            loaded = sysmol.load(report.output)
            assert loaded.name == "net" and loaded.inputs[0].shape == (batch, 1, 6, 6)
            assert (loaded.run_batch(x.numpy()) == wanted).all()
    with pytest.raises(InputRefused, match=r"4\*N"):
        loaded.run_batch(x.numpy()[:6])


def test_importing_sysmol_is_light() -> None:
    for code, heavy in (
        ("sysmol", {"numpy", "torch", "onnx", "sysmol._sysmol_compiler"}),
        ("sysmol.load", {"torch", "onnx", "sysmol._sysmol_compiler"}),
        ("sysmol.compile", {"torch", "onnx"}),
    ):
        done = python("-c", f"import sys, sysmol; {code}; print(*sys.modules)")
        assert done.returncode == 0 and not heavy & set(done.stdout.split()), code


@pytest.mark.parametrize(
    ("kernel", "size", "pads", "inside"),
    [((1, 3), (1, 2), (0, 1), 1.0), ((3, 3), (4, 4), (1, 1), 100 / 144)],
)
def test_products_that_are_left_out_are_not_needed(
    kernel: tuple[int, int],
    size: tuple[int, int],
    pads: tuple[int, int],
    inside: float,
    tmp_path: Path,
) -> None:
    """And what replaces them, sums of weights that meet padding, is no need either."""
    shape, filters = ("x".join(map(str, pair)) for pair in (size, kernel))
    edges = [*pads, *pads]
    x, y = f"tensor<1x36x{shape}xi8, #a>", f"tensor<1x128x{shape}xi32>"
    w = f"tensor<128x36x{filters}xi8, #w>"
    source = tmp_path / "net.mlir"
    source.write_text(f"""
#a = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2 x 36]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [2 x 36]>
func.func @main(%x: {x}) -> {y} {{
  %w = arith.constant dense<1> : {w}
  %r = hetprec.conv_2d %x, %w pads = {edges} : {x}, {w} -> {y}
  return %r : {y}
}}
""")
    sysmol.compile(source, tmp_path / "net.smol", targets=["x86-64-avx512"], golden_pairs=0)
    (layer,) = inspect(tmp_path / "net.smol").layers
    assert layer.needed_macs == round(layer.macs * inside) <= layer.executed_macs
