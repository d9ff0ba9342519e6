"""The zoo's network: compiled code, C++ reference and PyTorch simulation, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
from native import needs_native, targets_here

import sysmol
from sysmol import check, data, zoo
from sysmol.errors import InputRefused

pytestmark = needs_native


def test_compiled_reference_and_simulation_are_equal(zoo_bundle: Path) -> None:
    images = data.to_input(data.load("test")[0][:200])
    found = list(check.compare(zoo.NETWORK, images, bundle=zoo_bundle, reference_images=20))
    names = " ".join(comparison.what for comparison in found)
    assert "C++ reference" in names and "generic" in names
    assert "1 thread" in names and "2 threads" in names
    for comparison in found:
        assert comparison.equal and comparison.labels == 0, comparison


def test_a_difference_is_seen(zoo_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = data.to_input(data.load("test")[0][:3])
    run = sysmol.IntegerNetwork.run

    def off_by_a_bit(self: sysmol.IntegerNetwork, x: object) -> object:
        logits = run(self, x)  # type: ignore[arg-type]
        logits.view("uint32")[1, 4] ^= 1
        return logits

    monkeypatch.setattr(sysmol.IntegerNetwork, "run", off_by_a_bit)
    for comparison in check.compare(zoo.NETWORK, images, bundle=zoo_bundle):
        assert comparison.differing == 1 and comparison.labels == 0
        assert "1 images differ" in str(comparison)
    assert check.main(["--bundle", str(zoo_bundle), "--images", "3"]) == 70


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_bundle_of_another_network_is_refused(tmp_path: Path, outputs: int) -> None:
    source, bundle = tmp_path / "same.mlir", tmp_path / "same.smol"
    kind = "tensor<1x1x28x28xf32>"
    kinds, values = ", ".join([kind] * outputs), ", ".join(["%x"] * outputs)
    source.write_text(
        f"func.func @main(%x: {kind}) -> ({kinds}) {{\n  return {values} : {kinds}\n}}\n"
    )
    sysmol.compile(source, bundle, targets=["x86-64-generic"], golden_pairs=0)
    images = data.to_input(data.load("test")[0][:3])
    found = r", ".join([r"float32 \[3, 1, 28, 28\]"] * outputs)
    with pytest.raises(InputRefused, match=f"gives {found}; the sim.* gives float32 .3, 10"):
        list(check.compare(zoo.NETWORK, images, bundle=bundle))


def test_golden_vectors_hold_on_every_target(zoo_bundle: Path) -> None:
    from sysmol.runtime import inspect

    for target in targets_here(inspect(zoo_bundle).targets):
        assert sysmol.load(zoo_bundle, target).verify() == 2


def test_compression(zoo_bundle: Path) -> None:
    """Weights with all scales and tables, as stored, against float32 (issue 3: 10 times)."""
    sizes = sysmol.load(zoo_bundle).sizes
    assert sizes.floats / sizes.weights >= 10
