"""Running compiled models from Python."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from native import needs_native, targets_here

import sysmol
from sysmol import InputRefused, InternalError, UsageError, zoo

pytestmark = needs_native


@pytest.fixture
def model(small_bundle: Path) -> sysmol.Model:
    return sysmol.load(small_bundle)


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 1, 4, 4), np.float32)


def test_a_model_says_what_it_is(model: sysmol.Model, small_bundle: Path) -> None:
    (image,) = model.inputs
    real, accumulator = model.outputs
    assert (image.name, image.dtype, image.shape) == ("image", np.float32, (1, 1, 4, 4))
    assert (real.name, real.dtype, real.shape) == ("map", np.float32, (1, 2, 4, 4))
    assert accumulator.dtype == np.int32
    assert model.name == "small" and model.golden_pairs == 3 and model.target in model.targets
    assert "float32 [1, 1, 4, 4]" in repr(model)
    assert model.sizes.file == small_bundle.stat().st_size
    assert set(model.sizes.code) == set(model.targets) and model.sizes.weights > 0
    convolutions = [layer for layer in model.layers if "conv" in layer.op]
    mixed = {1: 1, 2: 1, 4: 1}
    assert [dict(layer.levels) for layer in convolutions] == [{8: 1}, mixed, mixed]


def test_results_are_those_of_the_reference(
    model: sysmol.Model, small_source: Path, small_bundle: Path
) -> None:
    x = images(7)
    wanted = sysmol.reference(small_source, x, like=model)
    assert [part.dtype for part in wanted] == [np.float32, np.int32]
    assert (wanted[0] == wanted[1] * np.float32(0.25) + np.array([1, -1]).reshape(2, 1, 1)).all()
    for target in targets_here(model.targets):
        loaded = sysmol.load(small_bundle, target)
        assert loaded.target == target and loaded.verify() == 3
        for threads in (1, 2, 5):
            for got, expected in zip(loaded.run_batch(x, threads=threads), wanted, strict=True):
                assert (got == expected).all()
        for index in range(7):
            single = loaded.run(x[index : index + 1])
            assert all((got == w[index]).all() for got, w in zip(single, wanted, strict=True))


def test_arrays_of_the_caller_are_written_in_place(model: sysmol.Model) -> None:
    x = images(1)
    wanted = model.run(x)
    out = [np.empty(info.shape, info.dtype) for info in model.outputs]
    got = model.run(x, out=out)
    assert all(a is b and (a == w).all() for a, b, w in zip(got, out, wanted, strict=True))
    batch = [np.empty((3, 2, 4, 4), info.dtype) for info in model.outputs]
    assert model.run_batch(images(3), out=batch)[0] is batch[0]
    # What is not contiguous is copied.
    padded = np.zeros((1, 1, 4, 8), np.float32)
    padded[..., ::2] = x
    assert (model.run(padded[..., ::2])[0] == wanted[0]).all()


def test_bound_calls_read_and_write_the_same_arrays(small_bundle: Path) -> None:
    for threads in (1, 2):
        model = sysmol.load(small_bundle, threads=threads)
        x, out = images(1), [np.empty(info.shape, info.dtype) for info in model.outputs]
        call, other = model.bind(x, out=out), [np.empty_like(array) for array in out]
        twin = model.bind(images(1, seed=9), out=other)  # memory of its own, arrays kept alive
        for seed in range(3):
            x[...] = images(1, seed)
            wanted = model.run(x)
            twin()
            call()
            assert all((got == w).all() for got, w in zip(out, wanted, strict=True))
        apart = model.run(images(1, seed=9))
        assert all((got == w).all() for got, w in zip(other, apart, strict=True))
        del model
        call()


def test_bound_calls_copy_nothing(model: sysmol.Model) -> None:
    out = [np.empty(info.shape, info.dtype) for info in model.outputs]
    padded = np.zeros((1, 1, 4, 8), np.float32)
    for given in (padded[..., ::2], images(1).tolist(), np.asfortranarray(images(1) * 2)):
        if isinstance(given, np.ndarray) and given.flags.c_contiguous:
            continue
        with pytest.raises(InputRefused, match=r"input 'image' must be"):
            model.bind(given, out=out)  # type: ignore[arg-type]
    with pytest.raises(InputRefused, match="float64"):
        model.bind(images(1).astype(np.float64), out=out)
    with pytest.raises(InputRefused, match="1 output arrays given"):
        model.bind(images(1), out=out[0])
    for bad in (None, 5, [[1], [2]]):
        with pytest.raises(InputRefused, match="out must be"):
            model.bind(images(1), out=bad)  # type: ignore[arg-type]
    x = images(1)
    model.bind(x.view(np.memmap), out=out)()  # of a class of its own, read in place
    assert (out[0] == model.run(x)[0]).all()


def test_bound_calls_are_for_one_thread(tmp_path: Path) -> None:
    bundle = tmp_path / "net.smol"
    sysmol.compile(zoo.NETWORK, bundle, golden_pairs=0)
    model = sysmol.load(bundle)
    x = np.random.default_rng(0).random(model.inputs[0].shape, np.float32)
    out, refused = np.empty(model.outputs[0].shape, np.float32), []
    wanted, call = model.run(x), model.bind(x, out=out)

    def work() -> None:
        for _ in range(300):
            try:
                call()
            except UsageError as error:
                refused.append(str(error))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert {"a bound call is running in another thread; bind one for each"} == set(refused)
    call()
    assert (out == wanted).all()


def test_wrong_arrays_are_refused(model: sysmol.Model) -> None:
    good = images(1)
    for arrays, reason in (
        ((), "0 arrays given; the model takes 1"),
        ((good, good), "2 arrays given"),
        ((good.astype(np.float64),), r"must be float32 \[1, 1, 4, 4\], got float64"),
        ((good[0],), r"got float32 \[1, 4, 4\]"),
        ((images(2),), r"got float32 \[2, 1, 4, 4\]"),
    ):
        with pytest.raises(InputRefused, match=reason):
            model.run(*arrays)
    for batch in (images(2)[:, :, :3], images(1)[:0], np.float32(1)):
        with pytest.raises(InputRefused, match=r"must have the shape \[N, 1, 4, 4\]"):
            model.run_batch(batch)
    with pytest.raises(InputRefused, match="float64"):
        model.run_batch(images(2).astype(np.float64))
    frozen = np.empty((1, 2, 4, 4), np.float32)
    frozen.flags.writeable = False
    accumulator = np.empty((1, 2, 4, 4), np.int32)
    for out in ([frozen, accumulator], [accumulator, accumulator], [accumulator], accumulator):
        with pytest.raises(InputRefused, match="out"):
            model.run(good, out=out)
    for threads in (0, -1, 1025):
        with pytest.raises(UsageError, match="give 1 to 1024"):
            model.run_batch(good, threads=threads)


def test_threads_of_python_share_a_model(model: sysmol.Model) -> None:
    x = images(64)
    wanted = model.run_batch(x)[0]
    wrong: list[int] = []

    def work(first: int) -> None:
        for index in range(first, 64, 4):
            if (model.run(x[index : index + 1])[0] != wanted[index]).any():
                wrong.append(index)
        if (model.run_batch(x, threads=2)[0] != wanted).any():
            wrong.append(-1)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_files_that_are_no_good_bundle_are_refused(small_bundle: Path, tmp_path: Path) -> None:
    from sysmol.runtime import inspect

    content = small_bundle.read_bytes()
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 1
    path = tmp_path / "m.smol"
    for bad in (b"", b"nonsense", content[:-1], content[: len(content) // 2], bytes(damaged)):
        path.write_bytes(bad)
        for read in (sysmol.load, inspect):
            with pytest.raises(InputRefused) as caught:
                read(path)
            assert "\n" not in str(caught.value) and "m.smol" in str(caught.value)
    with pytest.raises(InputRefused, match="No such file"):
        sysmol.load(tmp_path / "missing.smol")
    with pytest.raises(UsageError, match="pdp-11"):
        sysmol.load(small_bundle, "pdp-11")


def test_inspecting_executes_nothing_and_tells_all(small_bundle: Path) -> None:
    from sysmol.runtime import inspect

    bundle = inspect(small_bundle)
    names = [section.name for section in bundle.sections]
    assert {"metadata", "weights", "golden"} <= set(names)
    assert all(len(section.sha256) == 64 for section in bundle.sections)
    assert bundle.sizes.floats == bundle.metadata["float_bytes"]


def test_statuses_are_exception_classes() -> None:
    assert [c.exit_code for c in (InputRefused, UsageError, sysmol.ResourceLimit)] == [1, 2, 3]
    assert InternalError.exit_code == 70


def test_threads_share_a_call(model: sysmol.Model, small_source: Path, small_bundle: Path) -> None:
    x = images(4)
    wanted = sysmol.reference(small_source, x, like=model)
    for threads, pinned in ((2, False), (3, True), (7, False)):
        shared = sysmol.load(small_bundle, threads=threads, pinned=pinned)
        assert shared.threads == threads
        for index in [0, 1, 2, 3] * 3:
            got = shared.run(x[index : index + 1])
            assert all((g == w[index]).all() for g, w in zip(got, wanted, strict=True))

    wrong: list[int] = []

    def call(index: int) -> None:
        for _ in range(50):
            got = shared.run(x[index : index + 1])
            if not all((g == w[index]).all() for g, w in zip(got, wanted, strict=True)):
                wrong.append(index)

    callers = [threading.Thread(target=call, args=(index,)) for index in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@pytest.mark.parametrize("threads", [0, -1, 1025])
def test_impossible_numbers_of_threads_are_misuse(small_bundle: Path, threads: int) -> None:
    with pytest.raises(UsageError, match="give 1 to 1024"):
        sysmol.load(small_bundle, threads=threads)
