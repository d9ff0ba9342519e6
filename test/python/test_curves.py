"""Tables and pictures from the committed logs."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from sysmol import curves, zoo

LOGS = Path(zoo.__file__).parent / "training"


def test_logs_of_the_zoo_give_table_and_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    assert curves.main([str(LOGS), "-o", str(first)]) == 0
    text = capsys.readouterr().out
    assert "| training | 1.834 | 1.83 |  | 93.30 % | 92.80 % | +0.50 |" in text
    assert curves.main([str(LOGS), "-o", str(second), "-o", str(tmp_path / "c.png")]) == 0
    assert first.read_bytes() == second.read_bytes()
    assert (tmp_path / "c.png").stat().st_size > 10_000
    log = curves.read(LOGS)
    assert [row["mean_bits"] for row in log.epochs] == [3.3105, 2.0967, 1.8341]


def test_a_benchmark_adds_sizes_and_latencies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(LOGS, tmp_path / "other-seed-2")
    bench = tmp_path / "bench.json"
    row = {"case": "training, 1x1x28x28, 1 thread, x86-64-avx2", "ours_ms": 0.25}
    row |= {"weight_bytes": 1234, "float_bytes": 12340, "peer_ms": 1.0}
    rows = [row | {"peer": "ort-int8", "ratio": 3.0}, row | {"peer": "ort-float32", "ratio": 4.0}]
    bench.write_text(json.dumps({"rows": rows}))
    folders = [str(LOGS), str(tmp_path / "other-seed-2")]
    picture = tmp_path / "a.svg"
    assert curves.main([*folders, "--bench", str(bench), "-o", str(picture)]) == 0
    text = capsys.readouterr().out
    rest = "93.30 % | 92.80 % | +0.50 |"
    assert f"| training | 1.834 | 1.83 | 1,234, 10.0x | {rest} 0.250 ms, 4.0x |" in text
    assert "| other-seed-2 | 1.834 | 1.83 |  | 93.30 % | 92.80 % | +0.50 |  |" in text
    assert "<!-- latency in ms, 1 thread, x86-64-avx2 -->" in picture.read_text()


def test_the_front_is_what_nothing_beats() -> None:
    points = [(3.0, 5.0), (1.0, 2.0), (2.0, 1.0), (1.0, 1.0), (4.0, 5.0)]
    assert curves.front(points) == [(1.0, 2.0), (3.0, 5.0)]
    assert curves.front([]) == []


def test_what_is_no_run_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curves.main([str(tmp_path)]) == 1
    shutil.copytree(LOGS, tmp_path / "run")
    (tmp_path / "run" / "results.json").write_text("{}")
    assert curves.main([str(tmp_path / "run")]) == 1
    (tmp_path / "run" / "results.json").write_text("[]")
    assert curves.main([str(tmp_path / "run")]) == 1
    shutil.copy(LOGS / "results.json", tmp_path / "run")
    (tmp_path / "run" / "noise.csv").write_text("epoch,loss\n1,0.5\n")
    assert curves.main([str(tmp_path / "run")]) == 1
    assert curves.main([str(LOGS), "-o", str(tmp_path / "x.nonsense")]) == 1
    row = (
        '{"case": "training, 1x1, 1 thread, x", "peer": "ort-float32", "ratio": 1, '
        '"weight_bytes": 2, "float_bytes": 4, "peer_ms": 1, "ours_ms": %s}'
    )
    for text in ("[]", '{"rows": []}', *('{"rows": [' + row % ms + "]}" for ms in ("-1", '"a"'))):
        (tmp_path / "bench.json").write_text(text)
        assert curves.main([str(LOGS), "--bench", str(tmp_path / "bench.json")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 9 and all(line.startswith("sysmol.curves: error:") for line in lines)


def test_the_manual_shows_the_table_of_the_logs() -> None:
    """``tools/dev/training-figures`` was run after the last change of a log."""
    root = Path(__file__).resolve().parents[2]
    script = root / "tools/dev/training-figures"
    done = subprocess.run([script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
