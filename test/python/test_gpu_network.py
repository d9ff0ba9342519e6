"""Whole networks for a GPU, without one: compiled, read, emulated, run by the emulated driver."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sysmol
from sysmol.cli import main
from sysmol.errors import InputRefused, InternalError, UsageError
from sysmol.gpu import network

ROOT = Path(__file__).resolve().parents[2]
EMULATED = ROOT / "build" / "lib" / "emulated-cuda"

pytestmark = pytest.mark.skipif(
    not (ROOT / "build" / "bin" / "sysmol-gpu-emulate").exists(),
    reason="sysmol-gpu-emulate is not built",
)
needs_emulated_driver = pytest.mark.skipif(
    not (EMULATED / "libcuda.so.1").exists(), reason="the emulated driver is not built"
)

# Two images of 3x3 pixels; the result's channels are not the last axis.
_SOURCE = """
#x = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8, 8]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [8, 8]>
func.func @main(%x: tensor<2x2x3x3xf32> {hetprec.name = "image"})
    -> (tensor<2x3x3x3xf32> {hetprec.name = "map"}) {
  %w = arith.constant dense<[[[[1]], [[2]]], [[[3]], [[-4]]], [[[-5]], [[6]]]]>
      : tensor<3x2x1x1xi8, #w>
  %q = hetprec.quantize %x : tensor<2x2x3x3xf32> to tensor<2x2x3x3xi8, #x>
  %acc = hetprec.conv_2d %q, %w : tensor<2x2x3x3xi8, #x>, tensor<3x2x1x1xi8, #w>
      -> tensor<2x3x3x3xi32>
  %y = hetprec.to_real %acc multiplier = [0.5] offset = [1.0, 2.0, 3.0]
      : tensor<2x3x3x3xi32> to tensor<2x3x3x3xf32>
  return %y : tensor<2x3x3x3xf32>
}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    source, output = folder / "net.mlir", folder / "net.json"
    source.write_text(_SOURCE)
    report = sysmol.compile(source, output, targets=["sm_90"])
    assert report.arena_bytes > 0
    assert report.weight_bytes > 0
    return output


def _image(seed: int = 1) -> Any:
    return np.random.default_rng(seed).random((2, 2, 3, 3), dtype=np.float32)


def _expected(image: Any) -> Any:
    codes = np.clip(np.rint(image * np.float32(255)), 0, 255)
    weights = np.array([[1, 2], [3, -4], [-5, 6]], np.float32)
    sums = np.einsum("oc,ncyx->noyx", weights, codes).astype(np.float32)
    return sums * np.float32(0.5) + np.array([1, 2, 3], np.float32)[None, :, None, None]


def test_a_description_is_read(compiled: Path) -> None:
    read = network.read(compiled)
    assert (read.name, read.arch) == ("net", "sm_90")
    (image,), (output,) = read.inputs, read.outputs
    assert (image.name, image.shape, image.strides) == ("image", (2, 2, 3, 3), (18, 9, 3, 1))
    assert (output.name, output.shape, output.strides) == ("map", (2, 3, 3, 3), (27, 1, 9, 3))
    assert read.launches[0].entry == "network_0_quantize"
    assert len(read.golden) == 2
    assert compiled.with_suffix(".bin") == read.data


def test_the_emulator_gives_the_reference(compiled: Path) -> None:
    image = _image()
    (output,) = network.emulate(compiled, image, schedule_seed=3)
    np.testing.assert_array_equal(output, _expected(image))
    assert network.verify_emulated(compiled) == 2


def test_the_lowest_carrier_is_read_as_another(tmp_path: Path) -> None:
    source, output = tmp_path / "net.mlir", tmp_path / "net.json"
    type_ = "tensor<1x3xi16, #hetprec.carrier<delta = 1.0>>"
    source.write_text(
        f"func.func @main(%x: {type_}, %y: {type_}) -> ({type_}, {type_}) {{\n"
        f"  %s = hetprec.add %x, %y : {type_}\n  return %s, %x : {type_}, {type_}\n}}\n"
    )
    sysmol.compile(source, output, targets=["sm_90"])
    x, y = np.array([[[-32768, -32767, 5]], [[1, 2, -32768]]], np.int16)
    total, same = network.emulate(output, x, y)
    assert total.tolist() == [[-32766, -32765, -32762]]
    assert same.tolist() == [[-32767, -32767, 5]]
    assert network.verify_emulated(output) == 2


def test_a_difference_is_named(compiled: Path, tmp_path: Path) -> None:
    table = json.loads(compiled.read_text())
    data = bytearray(compiled.with_suffix(".bin").read_bytes())
    data[table["golden"][1]["outputs"][0] + 4 * 9] ^= 1
    (tmp_path / "other.bin").write_bytes(data)
    table |= {"data": "other.bin", "llvm_ir": str(compiled.with_suffix(".ll"))}
    path = tmp_path / "other.json"
    path.write_text(json.dumps(table))
    with pytest.raises(
        InternalError, match=r"golden pair 1: 1 of 54 elements of 'map' differ, the first at \[0, 1"
    ):
        network.verify_emulated(path)
    assert main(["verify", str(path), "--emulate"]) == 70
    data = data[: table["golden"][1]["outputs"][0] + 4]
    (tmp_path / "other.bin").write_bytes(data)
    with pytest.raises(InputRefused, match="ends inside a golden tensor 'map'"):
        network.verify_emulated(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda table: table.update(format="text"), "no network for a GPU"),
        (lambda table: table.update(version=2), "version 2 is not known"),
        (lambda table: table.update(launches=[]), "'launches' is empty"),
        (lambda table: table.update(arena_bytes=-1), "'arena_bytes' must be 0 to"),
        (lambda table: table.update(arena_bytes=8), "is not inside the arena's 8 bytes"),
        (lambda table: table.update(inputs=["map"]), "'inputs' must name buffers of role input"),
        (lambda table: table.update(outputs=["map", "map"]), "each once"),
        (lambda table: table.update(data="a\0b"), "'data' has a byte 0"),
        (lambda table: table["buffers"]["map"].update(bytes=217), "does not fit"),
        (lambda table: table["buffers"]["map"].update(shape=[True] * 4), "must hold integers"),
        (lambda table: table.update(inputs=[[]]), "'inputs' must name buffers of role input"),
        (lambda table: table.update(golden=[{"inputs": [], "outputs": []}]), "1 and 1 offsets"),
        (lambda table: table["buffers"]["map"].update(role="heavy"), "'role' is 'heavy'"),
        (lambda table: table["buffers"]["map"].update(shape=[2, 4, 3, 3]), "does not fit"),
        (lambda table: table["buffers"]["map"].update(strides=[1]), "does not fit"),
        (lambda table: table["buffers"]["map"].update(element="f64"), "'element' is 'f64'"),
        (lambda table: table["launches"][0].update(arguments=["x"]), "names 'x', which is no"),
        (lambda table: table.update(outputs=[], golden=[]), "'outputs' must name .* at least one"),
        (
            lambda table: table["buffers"]["map"].update(shape=[1], strides=[2**70]),
            "strides of at most 4294967296",
        ),
        (
            lambda table: table["buffers"]["map"].update(shape=[1] * 65, strides=[0] * 65),
            "must have at most 8 sizes",
        ),
        (
            lambda table: table["buffers"]["map"].update(shape=[2**31], strides=[0]),
            "does not fit",
        ),
    ],
)
def test_a_broken_description_is_refused(
    compiled: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    table = json.loads(compiled.read_text())
    change(table)
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(table))
    with pytest.raises(InputRefused, match=reason) as caught:
        network.read(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_the_limit_is_the_compilers() -> None:
    header = (ROOT / "include/sysmol/Target/NVVM/Limits.h").read_text()
    (shift,) = re.findall(r"kMaxNetworkBytes = uint64_t\(1\) << (\d+);", header)
    assert 1 << int(shift) == network._MAX_BYTES


_IMAGE = "tensor<1x1x28x28xf32>"
_CODES = """
#x = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
#w = #hetprec.channels<axis = 1, grid = midrise, scale = 0.5, bits = [8]>
"""
_HEAD = f"""
  %w = arith.constant dense<1> : tensor<3x1x28x28xi8, #w>
  %q = hetprec.quantize %x : {_IMAGE} to tensor<1x1x28x28xi8, #x>
  %acc = hetprec.conv_2d %q, %w : tensor<1x1x28x28xi8, #x>, tensor<3x1x28x28xi8, #w>
      -> tensor<1x3x1x1xi32>
  %real = hetprec.to_real %acc multiplier = [0.5] offset = [1.0]
      : tensor<1x3x1x1xi32> to tensor<1x3x1x1xf32>
"""


@pytest.mark.parametrize(
    ("taken", "body", "given", "reason"),
    [
        (_IMAGE, "return %x, %x", f"{_IMAGE}, {_IMAGE}", "gives float32 .*, float32 .*; the sim"),
        (_IMAGE, "return %x", _IMAGE, r"gives float32 \[1, 1, 28, 28\]; the simulation gives"),
        (
            _IMAGE,
            _HEAD + "return %real",
            "tensor<1x3x1x1xf32>",
            r"simulation gives float32 \[1, cl",
        ),
        ("tensor<1x2xf32>", "return %x", "tensor<1x2xf32>", r"takes float32 \[1, 2\]; the images"),
        ("tensor<1x1x28x28xi32>", "return %x", "tensor<1x1x28x28xi32>", "takes int32"),
    ],
)
def test_what_the_simulation_does_not_give_is_refused_before_it_runs(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    taken: str,
    body: str,
    given: str,
    reason: str,
) -> None:
    source, output = tmp_path / "net.mlir", tmp_path / "net.json"
    source.write_text(
        f"{_CODES}func.func @main(%x: {taken}) -> ({given}) {{\n  {body} : {given}\n}}\n"
    )
    sysmol.compile(source, output, targets=["sm_90"], golden_pairs=0)
    # There is no such network: the simulation would say so.
    command = ["verify", str(output), "--against", "simulation", "--network", "no-such.onnx"]
    assert main([*command, "--emulate", "--images=1"]) == 1
    assert re.search(reason, capsys.readouterr().err)
    assert main([*command, "--emulate", "--images=1", "--reference-images=1"]) == 2
    assert "--reference-images are for CPUs" in capsys.readouterr().err


def test_another_number_of_classes_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "net.mlir", tmp_path / "net.json"
    source.write_text(
        f"{_CODES}func.func @main(%x: {_IMAGE}) -> tensor<1x3xf32> {{"
        f"""
  %w = arith.constant dense<1> : tensor<3x1xi8, #w>
  %q = hetprec.quantize %x : {_IMAGE} to tensor<1x1x28x28xi8, #x>
  %sum = hetprec.sum_pool_2d %q kernel = [28, 28]
      : tensor<1x1x28x28xi8, #x> -> tensor<1x1x1x1xi32>
  %mean = hetprec.requantize %sum multiplier = [0.001] offset = [0.0]
      : tensor<1x1x1x1xi32> to tensor<1x1x1x1xi8, #x>
  %flat = hetprec.flatten %mean : tensor<1x1x1x1xi8, #x> to tensor<1x1xi8, #x>
  %acc = hetprec.matmul %flat, %w : tensor<1x1xi8, #x>, tensor<3x1xi8, #w> -> tensor<1x3xi32>
  %real = hetprec.to_real %acc multiplier = [0.5] offset = [1.0]
      : tensor<1x3xi32> to tensor<1x3xf32>
  return %real : tensor<1x3xf32>
}}
"""
    )
    sysmol.compile(source, output, targets=["sm_90"], golden_pairs=0)
    network = ROOT / "python" / "sysmol" / "zoo" / "preresnet20-fashion-mnist.onnx"
    command = ["verify", str(output), "--against", "simulation", "--network", str(network)]
    assert main([*command, "--emulate", "--images=1"]) == 1
    assert re.search(r"gives float32 \[1, 3\]; .* has 10 classes", capsys.readouterr().err)


def test_inputs_of_another_shape_are_refused(compiled: Path) -> None:
    for inputs, reason in [
        ((), "takes 1 inputs, got 0"),
        ((_image()[:1],), r"input 'image' is float32 \[1, 2, 3, 3\]; it must be float32"),
        ((_image().astype(np.float64),), "input 'image' is float64"),
    ]:
        with pytest.raises(InputRefused, match=reason):
            network.emulate(compiled, *inputs)


def test_the_command_line(
    compiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.json"
    assert (
        main(
            ["compile", str(compiled.with_suffix(".mlir")), "--target", "sm_80", "-o", str(output)]
        )
        == 0
    )
    assert "scratch memory" in capsys.readouterr().out
    assert main(["verify", str(output), "--emulate"]) == 0
    assert "out (sm_80, emulated): 2 test vectors, every bit equal" in capsys.readouterr().out
    for arguments, reason in [
        (["compile", "net.onnx", "--target", "sm_90", "--explain"], "--explain is for CPUs"),
        (["compile", "net.onnx", "--target", "sm_90", "--target", "sm_80"], "the only target"),
        (["compile", "net.onnx", "--target", "sm_90", "--profile"], "are for CPUs"),
        (["verify", "net.smol", "--emulate"], "--emulate is for networks of GPUs"),
        (["verify", str(output), "--target", "sm_80"], "are for CPUs, not for a network"),
    ]:
        assert main(arguments) == 2
        assert reason in capsys.readouterr().err
    with pytest.raises(UsageError, match="unknown target 'sm_70'"):
        sysmol.compile(compiled.with_suffix(".mlir"), output, targets=["sm_70"])


def test_the_zoo_on_real_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = ROOT / "python" / "sysmol" / "zoo" / "preresnet20-fashion-mnist.onnx"
    output = tmp_path / "net.json"
    sysmol.compile(network, output, targets=["sm_90"], batch=2, golden_pairs=0)
    arguments = ["verify", str(output), "--against", "simulation", "--emulate"]
    assert main([*arguments, "--images", "3"]) == 0
    assert "compiled, sm_90, emulated: 3 images: every logit equal" in capsys.readouterr().out
    assert main([*arguments, "--threads", "1"]) == 2
    assert main(["verify", "--against", "simulation", "--emulate"]) == 2
    capsys.readouterr()


_SCRIPT = """
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from sysmol.errors import InputRefused
from sysmol.gpu import Network

network = Network(sys.argv[1])
assert network.verify() == 2
image = np.load(sys.argv[2])
(output,) = network.run(image)
np.save(sys.argv[3], output)
# In place, with another call's memory in between.
context = network.context()
context.buffer("image").write(np.ascontiguousarray(image))
(other,) = network.run(-image)
assert (other != output).any()
context.launch()
network.device.synchronize()
again = context.buffer("map").read(np.float32).reshape(2, 3, 3, 3).transpose(0, 3, 1, 2)
assert (again == output).all()
(again,) = context.run(-image)
assert (again == other).all()
# From threads at the same time; a refused call costs no context.
begin = threading.Barrier(3)
def call(positive):
    begin.wait()
    return [network.run(image if positive else -image)[0] for _ in range(3)]
with ThreadPoolExecutor(3) as pool:
    for positive, found in zip((1, 0, 1), pool.map(call, (1, 0, 1))):
        assert all((one == (output if positive else other)).all() for one in found)
made = len(network._free)
assert 1 <= made <= 3, made
# Where there is no memory for one more, a call waits for the next that is free.
from sysmol.errors import ResourceLimit
def no_memory():
    raise ResourceLimit("no memory")
network.context = no_memory
network._free = network._free[:1]
begin = threading.Barrier(3)
with ThreadPoolExecutor(3) as pool:
    for found in pool.map(call, (1, 1, 1)):
        assert all((one == output).all() for one in found)
kept, network._free = network._free, []
try:
    network.run(image)
except ResourceLimit:
    network._free = kept
else:
    raise AssertionError
assert len(kept) == 1 and network._busy == 0
made = 1
class OnGpu:
    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")
try:
    network.run(OnGpu())
except InputRefused as error:
    assert "what lies on a GPU goes into Context.buffer()" in str(error)
else:
    raise AssertionError
try:
    network.run(image[:1])
except InputRefused:
    assert len(network._free) == made
else:
    raise AssertionError
try:
    context.buffer("nothing")
except InputRefused as error:
    assert "there is no input or output 'nothing'; there are image, map" in str(error)
else:
    raise AssertionError
print(network.name, "done")
"""


@needs_emulated_driver
def test_the_driver_runs_a_network(compiled: Path, tmp_path: Path) -> None:
    table = json.loads(compiled.read_text())
    for key in ("llvm_ir", "data"):
        table[key] = str(compiled.parent / table[key])
    table["ptx"] = table["llvm_ir"]  # what the emulated driver takes
    path = tmp_path / "net.json"
    path.write_text(json.dumps(table))
    np.save(tmp_path / "image.npy", _image())
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(path), str(tmp_path / "image.npy"),
         str(tmp_path / "output.npy")],
        capture_output=True, text=True, check=False,
        env=os.environ | {"LD_LIBRARY_PATH": str(EMULATED)},
    )  # fmt: skip
    assert done.stdout == "net done\n", done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "output.npy"), _expected(_image()))
