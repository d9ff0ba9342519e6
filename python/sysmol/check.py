"""Compare compiled code with the integer simulation of training, bit for bit.

``python -m sysmol.check --help``; also behind ``sysmol verify --against simulation``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sysmol.check_options import add_options
from sysmol.compile import compile, reference
from sysmol.compile import targets as known_targets
from sysmol.errors import InputRefused, SysmolError, UsageError
from sysmol.runtime import Model, inspect, load
from sysmol.tasks import named

__all__ = ["Comparison", "compare", "compare_gpu", "main"]

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Comparison:
    """One comparison with the simulation.

    Attributes
    ----------
    what : str
        What was run.
    images : int
    differing : int
        Images of which a bit of a logit differs.
    labels : int
        Images whose predicted class differs.
    seconds : float
        For the run, without the simulation.
    """

    what: str
    images: int
    differing: int
    labels: int
    seconds: float

    @property
    def equal(self) -> bool:
        """Every bit is the same."""
        return not self.differing

    def __str__(self) -> str:
        verdict = (
            "every logit equal, bit for bit"
            if self.equal
            else f"{self.differing} images differ ({self.labels} labels)"
        )
        return f"{self.what}: {self.images} images: {verdict} ({self.seconds:.1f} s)"


def _comparison(what: str, got: Float32, wanted: Float32, seconds: float) -> Comparison:
    wrong = (got.view(np.uint32) != wanted.view(np.uint32)).any(1)
    labels = int((got.argmax(1) != wanted.argmax(1)).sum())
    return Comparison(what, len(wanted), int(wrong.sum()), labels, seconds)


def _loaded(bundle: str | os.PathLike[str], targets: Sequence[str]) -> Iterator[Model]:
    """The bundle by each target; without a wish, by each that this CPU can run."""
    if targets:
        yield from (load(bundle, target) for target in targets)
        return
    best = load(bundle)
    yield best
    names = inspect(bundle).targets
    yield from (load(bundle, target) for target in names[names.index(best.target) + 1 :])


def _listed(tensors: Sequence[Any]) -> str:
    return ", ".join(f"{tensor.dtype} {list(tensor.shape)}" for tensor in tensors) or "nothing"


def compare(
    network: str | os.PathLike[str],
    images: Float32,
    *,
    bundle: str | os.PathLike[str] | None = None,
    targets: Sequence[str] = (),
    threads: Sequence[int] = (1, 2),
    reference_images: int = 0,
) -> Iterator[Comparison]:
    """Compare compiled code, and the C++ reference, with the simulation.

    Parameters
    ----------
    network : path-like
        The ONNX file that the simulation reads.
    images : float32 array [N, C, H, W]
    bundle : path-like, optional
        What was compiled from it. Default: it is compiled here.
    targets : sequence of str
        Default: all of the bundle that this CPU can run.
    threads : sequence of int
        Numbers of threads to run with.
    reference_images : int
        So many images also run through the reference, which is slow.

    Yields
    ------
    Comparison

    Raises
    ------
    InputRefused
        The bundle takes or gives what the simulation does not.
    """
    from sysmol.simulate import IntegerNetwork

    wanted = IntegerNetwork.from_onnx(Path(network)).run(images)
    with tempfile.TemporaryDirectory(prefix="sysmol-") as folder:
        if bundle is None:
            bundle = Path(folder) / "network.smol"
            compile(network, bundle, targets=targets or known_targets())
        if reference_images:
            start = time.perf_counter()
            few = reference(network, images[:reference_images])
            taken = time.perf_counter() - start
            yield _comparison("C++ reference", few, wanted[: len(few)], taken)
        for model in _loaded(bundle, targets):
            for count in threads:
                start = time.perf_counter()
                got = model.run_batch(images, threads=count)
                taken = time.perf_counter() - start
                outputs = list(got) if isinstance(got, tuple) else [got]
                if [(x.dtype, x.shape) for x in outputs] != [(wanted.dtype, wanted.shape)]:
                    raise InputRefused(
                        f"{bundle}: gives {_listed(outputs)}; the simulation of {network} gives "
                        f"{_listed([wanted])}"
                    )
                name = f"compiled, {model.target}, {count} thread{'s' if count > 1 else ''}"
                yield _comparison(name, got, wanted, taken)


def compare_gpu(
    network: str | os.PathLike[str],
    images: Float32,
    description: str | os.PathLike[str],
    *,
    emulated: bool = False,
) -> Comparison:
    """Compare a network that was compiled for a GPU with the simulation.

    Parameters
    ----------
    network : path-like
        The ONNX file that the simulation reads.
    images : float32 array [N, C, H, W]
        Run in batches of what the network takes; the last one is filled up with zeros.
    description : path-like
        What was compiled from it.
    emulated : bool
        On this CPU, instead of the first GPU.

    Raises
    ------
    InputRefused
        The network for a GPU takes or gives what the simulation does not.
    """
    from sysmol.gpu.network import Network, emulate, read
    from sysmol.simulate import IntegerNetwork

    read_ = read(description)
    float32 = np.dtype(np.float32)
    takes = [(tensor.dtype, tensor.shape[1:]) for tensor in read_.inputs]
    if takes != [(float32, images.shape[1:])]:
        raise InputRefused(
            f"{read_.path}: takes {_listed(read_.inputs)}; the images are float32 "
            f"{list(images.shape)}"
        )
    batch = read_.inputs[0].shape[0]
    gives = [(tensor.dtype, tensor.shape[:1], len(tensor.shape)) for tensor in read_.outputs]
    if gives != [(float32, (batch,), 2)]:
        raise InputRefused(
            f"{read_.path}: gives {_listed(read_.outputs)}; the simulation gives float32 "
            f"[{batch}, classes]"
        )
    wanted = IntegerNetwork.from_onnx(Path(network)).run(images)
    if read_.outputs[0].shape[1] != wanted.shape[1]:
        raise InputRefused(
            f"{read_.path}: gives {_listed(read_.outputs)}; {network} has {wanted.shape[1]} classes"
        )
    device = None if emulated else Network(description)
    got = np.empty_like(wanted)
    start = time.perf_counter()
    for first in range(0, len(images), batch):
        part = np.zeros(read_.inputs[0].shape, np.float32)
        count = min(batch, len(images) - first)
        part[:count] = images[first : first + count]
        (logits,) = device.run(part) if device else emulate(description, part)
        got[first : first + count] = logits[:count]
    taken = time.perf_counter() - start
    where = device.device.name if device else "emulated"
    return _comparison(f"compiled, {read_.arch}, {where}", got, wanted, taken)


def run(options: Any, bundle: Path | None = None) -> int:
    """Print one line a comparison; 0 when all are equal, else 70: one of the two is wrong."""
    task = named(options.task)
    samples = task.load("test", options.data)[0]
    if not 1 <= options.images <= len(samples):
        raise SysmolError(f"--images {options.images}: there are 1 to {len(samples)} test images")
    images = task.to_input(samples[: options.images])
    all_equal = True
    if bundle is not None and bundle.suffix == ".json":
        if options.target or options.threads or options.reference_images:
            raise UsageError(
                "--target, --threads and --reference-images are for CPUs, not for a network for a "
                "GPU"
            )
        found: Iterable[Comparison] = [
            compare_gpu(options.network, images, bundle, emulated=options.emulate)
        ]
    elif options.emulate:
        raise UsageError("--emulate is for a network for a GPU, a .json file")
    else:
        found = compare(
            options.network,
            images,
            bundle=bundle,
            targets=options.target,
            threads=options.threads or (1, 2),
            reference_images=options.reference_images,
        )
    for comparison in found:
        print(comparison, flush=True)
        all_equal &= comparison.equal
    return 0 if all_equal else 70


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m sysmol.check``; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m sysmol.check",
        description="Compare compiled code with the integer simulation of training, bit for bit, "
        "on a task's test images (default: Fashion-MNIST): every target, 1 and 2 threads.",
    )
    add_options(parser)
    parser.add_argument(
        "--bundle", type=Path, metavar="SMOL", help="what was compiled (default: compile it here)"
    )
    options = parser.parse_args(arguments)
    try:
        return run(options, options.bundle)
    except SysmolError as error:
        print(f"sysmol.check: error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
