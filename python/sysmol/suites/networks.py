"""Suite ``networks``: whole networks, one image, reals in, logits out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sysmol.errors import SysmolError
from sysmol.programs import MIXES
from sysmol.runtime import Bundle, inspect
from sysmol.suites.engines import Call, attempt, onnxruntime_call, openvino_call, torch_call
from sysmol.suites.ours import compiled, our_calls
from sysmol.suites.settings import Settings, make_rows, measure

if TYPE_CHECKING:
    from torch import nn

__all__ = ["macs_by_level", "run"]

#: The mixes of the untrained networks.
RESNET18 = ("60/35/5", "2 bit", "4 bit", "8 bit")
RESNET18_2015 = ("60/35/5",)
RESNET20 = ("60/35/5", "2 bit")

#: Seconds of measuring a network: for each mix, and for each peer.
_SECONDS = 2.0


def macs_by_level(bundle: Bundle, needed: bool = False) -> dict[int, float]:
    """Multiply-accumulates of one call at each level; channels share a layer's evenly.

    Those of the network, or ``needed``: those that the layers' algorithms do.
    """
    found: dict[int, float] = {}
    for layer in bundle.layers:
        channels = sum(layer.levels.values())
        for bits, count in layer.levels.items():
            macs = layer.needed_macs if needed else layer.macs
            if macs:
                found[bits] = found.get(bits, 0.0) + macs * count / channels
    return found


def _nncf(twin: Path, output: Path, images: npt.NDArray[np.float32]) -> None:
    """OpenVINO's own INT8, by NNCF."""
    import contextlib
    import io
    import logging

    try:
        import nncf
        import openvino as ov
    except ImportError as error:
        raise SysmolError("nncf is not installed: run 'pip install nncf'") from error
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        model = ov.Core().read_model(str(twin))
        model.reshape([1, *images.shape[1:]])
        dataset = nncf.Dataset([image[None] for image in images])
        quantized = nncf.quantize(
            model, dataset, preset=nncf.QuantizationPreset.MIXED, subset_size=len(images)
        )
        ov.save_model(quantized, str(output))


def _peer_calls(
    twin: Path,
    module: nn.Module | None,
    images: npt.NDArray[np.float32],
    folder: Path,
    settings: Settings,
) -> dict[str, Call]:
    from sysmol.peers import quantize_int8

    threads, missing = settings.threads, settings.missing
    x = images[:1]
    calls: dict[str, Call] = {}
    int8 = folder / "int8.onnx"
    quantize_int8(twin, int8, images)
    for engine, make in (("onnxruntime", onnxruntime_call), ("openvino", openvino_call)):
        for kind, path in (("float32", twin), ("int8", int8)):
            if engine in settings.peers:
                calls |= attempt(
                    f"{engine} {kind}",
                    partial(make, path, x, threads),
                    missing,
                )
    if "openvino" in settings.peers:

        def nncf_call() -> Call:
            path = folder / "nncf.xml"
            _nncf(twin, path, images)
            return openvino_call(path, x, threads)

        calls |= attempt("openvino int8 (nncf)", nncf_call, missing)
    if "torch" in settings.peers and module is not None:
        for dtype in ("float32", "bfloat16"):
            calls |= attempt(
                f"torch {dtype}",
                partial(torch_call, module, x, dtype, threads),
                missing,
            )
    return calls


def _measure(
    case: str,
    sources: Mapping[str, Path],
    twin: Path,
    module: nn.Module | None,
    images: npt.NDArray[np.float32],
    folder: Path,
    settings: Settings,
    golden_pairs: int,
) -> list[dict[str, Any]]:
    bundles: dict[str, Path] = {}
    more: dict[str, dict[str, Any]] = {}
    for mix, source in sources.items():
        bundles[mix], report = compiled(source, golden_pairs)
        more[mix] = {
            "compile_s": {phase: round(taken, 4) for phase, taken in report.phases.items()},
            "compile_total_s": round(report.seconds, 3),
            "weight_bytes": report.weight_bytes,
            "float_bytes": report.float_bytes,
            "arena_bytes": report.arena_bytes,
        }
    make_ours = partial(our_calls, bundles, images[:1], settings.threads, 0.03)
    make_peers = partial(_peer_calls, twin, module, images, folder, settings)
    found, peers, cycles = measure(make_ours, make_peers, 0.03, _SECONDS, settings)
    rows: list[dict[str, Any]] = []
    for mix, bundle in bundles.items():
        rows += make_rows(
            case,
            {mix: found[mix]},
            peers,
            {mix: macs_by_level(inspect(bundle))},
            cycles,
            settings,
            more[mix],
            macs_by_level(inspect(bundle), needed=True),
        )
    return rows


def _untrained(
    case: str,
    mixes: Sequence[str],
    make: Callable[[], nn.Module],
    settings: Settings,
    folder: Path,
    note: Callable[[str], None],
) -> list[dict[str, Any]]:
    """A network of 224x224 images, of one mix for all hidden layers."""
    mixes = [mix for mix in mixes if settings.wants(f"{case}, {mix}")]
    if not mixes:
        return []
    note(case)
    import torch

    from sysmol.export import export
    from sysmol.mixes import export_mix

    def made() -> nn.Module:
        torch.manual_seed(0)
        return make()

    shape = (3, 224, 224)
    twin = folder / "float.onnx"
    export(made().eval(), twin, shape)
    sources = {}
    for mix in mixes:
        sources[mix] = folder / f"{mix.replace('/', '-').replace(' ', '-')}.onnx"
        export_mix(made(), sources[mix], MIXES[mix], shape)
    images = np.random.default_rng(0).random((8, *shape), np.float32)
    return _measure(case, sources, twin, made().eval(), images, folder, settings, golden_pairs=0)


def _resnet18(
    settings: Settings, folder: Path, note: Callable[[str], None]
) -> list[dict[str, Any]]:
    from sysmol.models.preresnet import preresnet18

    return _untrained("ResNet-18, 224x224", RESNET18, preresnet18, settings, folder, note)


def _resnet18_2015(
    settings: Settings, folder: Path, note: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The older form: ReLU behind the sums, a max pool in the stem."""
    from sysmol.models.resnet import resnet18

    case = "ResNet-18 of 2015, 224x224"
    return _untrained(case, RESNET18_2015, resnet18, settings, folder, note)


def _resnet20(
    settings: Settings, folder: Path, note: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The zoo's network, and untrained ones of its shape."""
    case = "ResNet-20, 28x28"
    wanted = [mix for mix in ("trained", *RESNET20) if settings.wants(f"{case}, {mix}")]
    if not wanted:
        return []
    note(case)
    import torch

    from sysmol import zoo
    from sysmol.bench import calibration
    from sysmol.mixes import export_mix
    from sysmol.models.preresnet import preresnet20

    images = calibration(100).images
    sources = {}
    for mix in wanted:
        sources[mix] = folder / f"resnet20-{mix.replace('/', '-').replace(' ', '-')}.onnx"
        if mix == "trained":
            sources[mix].write_bytes(zoo.NETWORK.read_bytes())
            continue
        torch.manual_seed(0)
        export_mix(preresnet20(), sources[mix], MIXES[mix], images.shape[1:])
    return _measure(
        case,
        sources,
        zoo.FLOAT,
        preresnet20().eval(),
        images,
        folder,
        settings,
        golden_pairs=2,
    )


def run(settings: Settings, note: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure; gives the rows, with compile times and sizes."""
    rows: list[dict[str, Any]] = []
    for network in (_resnet18, _resnet18_2015, _resnet20):
        with tempfile.TemporaryDirectory(prefix="sysmol-") as name:
            rows += network(settings, Path(name), note)
    return rows
