"""The model of time of GPU kernels: what it counts, what it refuses, what it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gpu_kernels
import pytest

from sysmol import InputRefused, cli
from sysmol.gpu import kernel, predict

H200 = predict.CARDS["h200"]


def write(folder: Path, strategy: str, m: int, n: int, k: int, bits: int) -> kernel.Kernel:
    """A description of one segment of the size given; nothing of its layout but sizes matters."""
    table = gpu_kernels.description("product", m, n, k)
    table["operation"]["strategy"] = strategy
    segment = table["operation"]["segments"][0]
    for operand, letter, rows in (("weights", "n", n), ("activations", "m", m)):
        segment[operand] |= {letter: [[rows, k * bits]], "k": [[k, bits]], "b": [[bits, 1]]}
        table["buffers"][operand]["bytes"] = rows * k * bits // 8
    segment["weight_bits"] = segment["activation_bits"] = bits
    blocks = n // 16 if strategy == "gemv" else (m // 128) * (n // 128)
    table["launches"][0]["grid"] = [blocks, 1, 1]
    path = folder / f"{strategy}{bits}.json"
    path.write_text(json.dumps(table))
    return kernel.read(path)


def test_a_gemv_takes_as_long_as_its_weights(tmp_path: Path) -> None:
    one, two = (
        predict.predict(write(tmp_path, "gemv", 1, 16384, 16384, bits), H200) for bits in (1, 2)
    )
    assert one.bound == two.bound == "memory"
    assert two.memory == pytest.approx(16384**2 * 2 / 8 / (0.9 * 4.8e12) * 1e6, rel=0.01)
    assert two.memory == pytest.approx(2 * one.memory, rel=0.01)
    assert 7 < two.ratio_fp16 < 8 < one.ratio_fp16 < 16


def test_a_gemm_pays_for_pairs_of_planes(tmp_path: Path) -> None:
    kernels = [write(tmp_path, "gemm", 8192, 8192, 8192, bits) for bits in (1, 2, 4, 8)]
    one, two, four, eight = (predict.predict(kernel, H200) for kernel in kernels)
    # Four pairs of planes; one multiply-add on bytes is eight on bits.
    assert two.tensor == pytest.approx(4 * one.tensor)
    assert four.tensor == eight.tensor == pytest.approx(8 * one.tensor)
    assert two.bound == four.bound == "tensor"
    assert two.l2 == pytest.approx(2 * one.l2)
    # Older cards have MMAs for nibbles.
    *_, four, eight = (predict.predict(kernel, predict.CARDS["a100"]) for kernel in kernels)
    assert eight.tensor == pytest.approx(2 * four.tensor)


def test_warpgroups_are_faster_and_only_on_hopper(tmp_path: Path) -> None:
    for bits in (4, 8, 2):
        by_group = write(tmp_path, "gemm_warpgroup", 1024, 1024, 1024, bits)
        by_warp = write(tmp_path, "gemm", 1024, 1024, 1024, bits)
        times = [predict.predict(kernel, H200).tensor for kernel in (by_group, by_warp)]
        assert times[0] < times[1]
    with pytest.raises(InputRefused, match="a100 has no wgmma"):
        predict.predict(by_group, predict.CARDS["a100"])


@pytest.mark.parametrize("size", [(56, 56), (14, 14), (7, 7), (5, 300), (1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_windows_of_a_block_are_of_no_more_pixels_than_is_said(
    size: tuple[int, int], stride: int
) -> None:
    (height, width), images = size, 200
    out = [(extent - 1) // stride + 1 for extent in size]
    window = kernel.Window(
        images, height, width, out[0], out[1], (3, 3), (stride,) * 2, (1, 1), (1, 1)
    )

    def pixels(m: int) -> set[tuple[int, int, int]]:
        image, y, x = m // (out[0] * out[1]), m // out[1] % out[0], m % out[1]
        taps = ((y * stride + i, x * stride + j) for i in (-1, 0, 1) for j in (-1, 0, 1))
        return {(image, a, b) for a, b in taps if 0 <= a < height and 0 <= b < width}

    total = images * out[0] * out[1]
    blocks = range(0, min(total - 127, 128 * 40), 128)
    most = max(len(set().union(*map(pixels, range(at, at + 128)))) for at in blocks)
    assert most <= predict._pixels(window) <= images * height * width


def test_what_says_no_strategy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="'strategy' is ''; known are gemv, gemm, gemm_warp"):
        predict.predict(kernel.read(gpu_kernels.write(tmp_path)), H200)
    with pytest.raises(InputRefused, match="card 'voodoo' is not known; known are a100"):
        predict.rows([tmp_path], "voodoo")


def test_the_command_says_that_it_predicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "gemv", 1, 16384, 16384, 2)
    out = tmp_path / "out.json"
    arguments = ["bench", "--gpu", str(tmp_path), "--predict", "h100", "--json", str(out)]
    assert cli.main(arguments) == 0
    text = capsys.readouterr().out
    assert "PREDICTION for h100, nothing is measured" in text
    assert "memory" in text
    result: dict[str, Any] = json.loads(out.read_text())
    assert result["suite"] == "gpu-prediction"
    assert len(result["rows"]) == 1
    assert cli.main(["bench", "--predict", "h100"]) == 2
