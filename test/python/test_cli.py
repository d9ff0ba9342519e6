"""The ``sysmol`` command: its help, its output, its exit codes."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from native import assert_one_line, command, needs_native

import sysmol
from sysmol import cli, zoo

COMMANDS = ("demo", "train", "export", "compile", "run", "bench", "inspect", "verify")


def sysmol_in_here(
    capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, list[str]]:
    """Status, standard output, lines of standard error; quicker than a process."""
    try:
        status = cli.main([str(argument) for argument in arguments])
    except SystemExit as left:
        status = int(left.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err.splitlines()


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = sysmol_in_here(capsys, "--help")
    assert status == 0 and not err and "Exit codes" in out
    assert all(f"    {name}" in out for name in COMMANDS)
    assert max(map(len, out.splitlines())) <= 88
    for name in COMMANDS:
        status, out, err = sysmol_in_here(capsys, name, "--help")
        assert status == 0 and not err and "usage:" in out
        assert f"\n  sysmol {name}" in out, "no example"
        assert max(map(len, out.splitlines())) <= 88


def test_wrong_use_is_one_line_and_two(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, word in (
        ([], "COMMAND"),
        (["frobnicate"], "invalid choice"),
        (["compile"], "MODEL"),
        (["compile", "a.onnx", "--emit", "jpeg"], "jpeg"),
        (["compile", "a.onnx", "--batch", "0"], "'0' is no number of at least 1"),
        (["run", "a.smol"], "INPUT"),
        (["run", "a.smol", "x.npy", "--threads", "-1"], "at least 1"),
        (["export", "m:f", "-o", "x", "--shape", "3,x,3"], "CHANNELS,HEIGHT,WIDTH"),
        (["export", "nothing", "-o", "x"], "MODULE:FUNCTION"),
        (["demo", "--network", "a.onnx"], "--twin"),
        (["bench", "a.smol"], "--twin"),
        (["inspect", "a.smol", "--picture", "b.png"], "--picture"),
        (["inspect", __file__, __file__], "give one file"),
        (["inspect", "a.onnx", "--bench", "b.json"], "--bench is for folders"),
        (["verify"], "give a bundle"),
    ):
        status, out, err = sysmol_in_here(capsys, *arguments)
        assert (status, out, len(err)) == (2, "", 1) and word in err[0], arguments


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert sysmol_in_here(capsys, "--version")[1] == f"sysmol {sysmol.__version__}\n"


def test_faults_of_ours_say_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(arguments: object) -> int:
        raise ZeroDivisionError("oh\nno")

    monkeypatch.setattr(cli, "_dispatch", broken)
    status, _, err = sysmol_in_here(capsys, "demo")
    assert status == 70 and len(err) == 1 and "ZeroDivisionError: oh no" in err[0]


def test_inspect_onnx(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out, _ = sysmol_in_here(
        capsys,
        "inspect",
        zoo.NETWORK,
        "--picture",
        tmp_path / "b.png",
        "--picture",
        tmp_path / "b.svg",
    )
    assert status == 0 and "blocks_8_conv2" in out and "mean bits per weight" in out
    assert (tmp_path / "b.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (tmp_path / "b.svg").read_text()
    out = sysmol_in_here(capsys, "inspect", zoo.NETWORK, "--json")[1]
    assert json.loads(out)["conv"] == [8]
    status, _, err = sysmol_in_here(capsys, "inspect", zoo.FLOAT)
    assert status == 1 and "no layer has quantized weights" in err[0]
    status, _, err = sysmol_in_here(capsys, "inspect", tmp_path / "missing.onnx")
    assert status == 1 and len(err) == 1


def test_inspect_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    logs = Path(zoo.__file__).parent / "training"
    status, out, _ = sysmol_in_here(capsys, "inspect", logs, "--picture", tmp_path / "a.svg")
    assert status == 0 and "| training | 1.834 |" in out
    text = (tmp_path / "a.svg").read_text()
    # Accuracy against bits, and the evolution of precisions.
    assert "<!-- bits per hidden weight -->" in text and "after each epoch of phase 1" in text
    [log] = json.loads(sysmol_in_here(capsys, "inspect", logs, "--json")[1])
    assert log["name"] == "training" and len(log["epochs"]) == 3
    for other, reason in ((tmp_path, "results.json"), (tmp_path / "none", "no such folder")):
        status, _, err = sysmol_in_here(capsys, "inspect", logs, other)
        assert status == 1 and len(err) == 1 and reason in err[0]
    # With what was measured of a bundle of that name.
    row = {"case": "training, 1x1x28x28, 1 thread, x", "peer": "ort-float32", "ratio": 4.0}
    row |= {"ours_ms": 0.25, "peer_ms": 1.0, "weight_bytes": 1234, "float_bytes": 12340}
    (tmp_path / "bench.json").write_text(json.dumps({"rows": [row]}))
    out = sysmol_in_here(capsys, "inspect", logs, "--bench", tmp_path / "bench.json")[1]
    assert "1,234, 10.0x" in out and "0.250 ms, 4.0x" in out


def test_export(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mynet.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))\n"
        "def nothing():\n"
        "    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    status, out, _ = sysmol_in_here(
        capsys, "export", "mynet:build", "--shape", "3,4,4", "-o", "net.onnx"
    )
    assert status == 0 and out.startswith("net.onnx: ") and Path("net.onnx").stat().st_size
    Path("w.pt").write_bytes(b"no weights")
    for arguments, word in (
        (["mynet:nothing"], "gives no torch.nn.Module"),
        (["mynet:missing"], "missing"),
        (["nowhere:build"], "nowhere"),
        (["mynet:build", "--weights", "w.pt"], "cannot load these weights"),
    ):
        status, _, err = sysmol_in_here(capsys, "export", *arguments, "-o", "bad.onnx")
        assert status == 1 and len(err) == 1 and word in err[0]
    assert not Path("bad.onnx").exists()


@needs_native
class TestNative:
    def test_the_whole_way(
        self,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
        small_source: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        status, out, err = sysmol_in_here(capsys, "compile", small_source, "-v")
        assert status == 0 and not err
        assert out.startswith("small.smol: ") and re.search(r"scratch memory: [\d,]+ bytes", out)
        assert all(name in out for name in ("import", "plan", "packed", "machine code"))
        # Nothing is known of a float network.
        assert "weights with scales and tables: " in out and "float32" not in out
        status, out, _ = sysmol_in_here(capsys, "verify", "small.smol")
        assert status == 0 and "2 test vectors, every byte equal" in out
        x = np.random.default_rng(0).random((12, 1, 4, 4), np.float32)
        wanted = sysmol.load("small.smol").run_batch(x)
        np.save("x.npy", x)
        Path("x.bin").write_bytes(x.tobytes())
        for name in ("x.npy", "x.bin"):
            arguments = ("-o", "y.npy", "-o", "z.bin", "--threads", "2", "--show", "3")
            status, out, _ = sysmol_in_here(capsys, "run", "small.smol", name, *arguments)
            assert status == 0 and "map[2]:" in out and "9 more" in out and "map[3]" not in out
            assert (np.load("y.npy") == wanted[0]).all()
            z = np.frombuffer(Path("z.bin").read_bytes(), np.int32)
            assert (z == wanted[1].ravel()).all()
        # Images of bytes become reals.
        pixels = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
        header = b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4, "big") for n in pixels.shape)
        Path("x.gz").write_bytes(gzip.compress(header + pixels.tobytes()))
        arguments = ("small.smol", "x.gz", "-o", "a.npy", "-o", "b.npy")
        assert sysmol_in_here(capsys, "run", *arguments)[0] == 0
        reals = (pixels[:, None] / np.float32(255)).astype(np.float32)
        assert (np.load("a.npy") == sysmol.load("small.smol").run_batch(reals)[0]).all()
        status, out, _ = sysmol_in_here(capsys, "inspect", "small.smol")
        assert status == 0 and "SHA-256" in out and "1 x 2b" in out
        out = sysmol_in_here(capsys, "inspect", "small.smol", "--json")[1]
        assert json.loads(out)["model"] == "small"

    def test_wrong_arrays_leave_nothing(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path, small_bundle: Path
    ) -> None:
        path = tmp_path / "x.npy"
        out = ("-o", tmp_path / "y.npy", "-o", tmp_path / "z.npy")
        for array in (
            np.zeros((1, 1, 4, 4)),
            np.zeros((1, 1, 4, 5), np.float32),
            np.zeros((4, 4, 1, 1), np.float32),
            np.zeros((0, 1, 4, 4), np.float32),
            np.array([None]),
        ):
            np.save(path, array, allow_pickle=True)
            status, _, err = sysmol_in_here(capsys, "run", small_bundle, path, *out)
            assert status == 1 and len(err) == 1
        for content in (b"", b"\x93NUMPY", b"no array"):
            path.write_bytes(content)
            assert sysmol_in_here(capsys, "run", small_bundle, path, *out)[0] == 1
        raw = tmp_path / "x.bin"
        raw.write_bytes(bytes(65))
        assert sysmol_in_here(capsys, "run", small_bundle, raw, *out)[0] == 1
        assert sysmol_in_here(capsys, "run", small_bundle, tmp_path / "no.npy", *out)[0] == 1
        assert sysmol_in_here(capsys, "run", small_bundle, path, path)[0] == 2
        assert sysmol_in_here(capsys, "run", small_bundle, path, "-o", raw)[0] == 2
        assert sorted(p.name for p in tmp_path.iterdir()) == ["x.bin", "x.npy"]

    def test_input_and_output_are_two_files(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        path = tmp_path / "net.mlir"
        path.write_text("module {}")
        status, _, err = sysmol_in_here(capsys, "compile", path, "-o", path)
        assert status == 2 and "would replace" in err[0] and path.read_text() == "module {}"

    def test_processes_end_as_they_say(self, tmp_path: Path, small_bundle: Path) -> None:
        assert command("verify", small_bundle).returncode == 0
        assert "pdp-11" in assert_one_line(command("verify", small_bundle, "--target", "pdp-11"), 2)
        assert_one_line(command("verify", tmp_path / "missing.smol"), 1)
        damaged = bytearray(small_bundle.read_bytes())
        damaged[-1] ^= 1
        (tmp_path / "bad.smol").write_bytes(damaged)
        assert_one_line(command("inspect", tmp_path / "bad.smol"), 1)
