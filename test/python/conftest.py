"""Fixtures that several tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

SMALL = """\
#image = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [8]>
#act = #hetprec.channels<axis = 1, grid = unsigned, scale = 1.0, bits = [2, 1, 4]>
#first = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [8]>
#wgt = #hetprec.channels<axis = 1, grid = midrise, scale = 1.0, bits = [2, 1, 4]>
func.func @main(%x: tensor<1x1x4x4xf32> {hetprec.name = "image"})
    -> (tensor<1x2x4x4xf32> {hetprec.name = "map"}, tensor<1x2x4x4xi32>) {
  %w1 = arith.constant dense<[[[[5]]], [[[-100]]], [[[127]]]]> : tensor<3x1x1x1xi8, #first>
  %w2 = arith.constant dense<[[[[3]], [[1]], [[12]]], [[[0]], [[1]], [[7]]]]>
    : tensor<2x3x1x1xi8, #wgt>
  %q = hetprec.quantize %x : tensor<1x1x4x4xf32> to tensor<1x1x4x4xi8, #image>
  %a = hetprec.conv_2d %q, %w1
    : tensor<1x1x4x4xi8, #image>, tensor<3x1x1x1xi8, #first> -> tensor<1x3x4x4xi32>
  %k = hetprec.requantize %a multiplier = [0.001, -0.0001, 0.0005] offset = [0.5]
    : tensor<1x3x4x4xi32> to tensor<1x3x4x4xi8, #act>
  %b = hetprec.conv_2d %k, %w2
    : tensor<1x3x4x4xi8, #act>, tensor<2x3x1x1xi8, #wgt> -> tensor<1x2x4x4xi32>
  %y = hetprec.to_real %b multiplier = [0.25] offset = [1.0, -1.0]
    : tensor<1x2x4x4xi32> to tensor<1x2x4x4xf32>
  %c = hetprec.conv_2d %k, %w2
    : tensor<1x3x4x4xi8, #act>, tensor<2x3x1x1xi8, #wgt> -> tensor<1x2x4x4xi32>
  return %y, %c : tensor<1x2x4x4xf32>, tensor<1x2x4x4xi32>
}
"""
"""One real input, a real output and the accumulator that it comes from."""


@pytest.fixture(scope="session")
def small_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network as .mlir."""
    path = tmp_path_factory.mktemp("small") / "small.mlir"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="session")
def small_bundle(small_source: Path) -> Path:
    """The same, compiled for every target."""
    import sysmol

    path = small_source.with_suffix(".smol")
    sysmol.compile(small_source, path, targets=sysmol.targets(), golden_pairs=3)
    return path


@pytest.fixture(scope="session")
def zoo_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo's network, compiled for every target, once for all tests."""
    import sysmol
    from sysmol import zoo

    path = tmp_path_factory.mktemp("zoo") / "preresnet20.smol"
    sysmol.compile(zoo.NETWORK, path, targets=sysmol.targets())
    return path
