"""Tables and pictures from the committed logs."""

from __future__ import annotations

import shutil
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
    assert "| training | 1.834 |  | 93.30 % | 92.80 % | +0.50 |" in text
    assert curves.main([str(LOGS), "-o", str(second), "-o", str(tmp_path / "c.png")]) == 0
    assert first.read_bytes() == second.read_bytes()
    assert (tmp_path / "c.png").stat().st_size > 10_000
    log = curves.read(LOGS)
    assert [row["mean_bits"] for row in log.epochs] == [3.3105, 2.0967, 1.8341]


def test_what_is_no_run_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curves.main([str(tmp_path)]) == 1
    shutil.copytree(LOGS, tmp_path / "run")
    (tmp_path / "run" / "results.json").write_text("{}")
    assert curves.main([str(tmp_path / "run")]) == 1
    assert curves.main([str(LOGS), "-o", str(tmp_path / "x.nonsense")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.startswith("sysmol.curves: error:") for line in lines)
