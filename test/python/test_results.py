"""Results of benchmarks, read back: what is none is refused by its fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sysmol import cli, results
from sysmol.errors import SysmolError

KEPT = Path(__file__).resolve().parents[1] / "benchmark" / "results"
ROW: dict[str, Any] = {"suite": "gemv", "case": "a, 2 bit", "peer": "p float32"}
ROW |= {"ours_ms": 1.0, "peer_ms": 2, "ratio": 2.0}


@pytest.mark.parametrize("name", ["all", "avx2", "networks-2threads", "training-networks"])
def test_what_is_kept_can_be_read(name: str) -> None:
    assert results.read(KEPT / f"{name}.json")["rows"]


def test_rows_without_a_peer_have_no_ratio(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"rows": [{"case": "x", "peer": None, "ours_ms": 1}]}))
    assert results.read(path)["rows"][0]["case"] == "x"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "no JSON of a benchmark: Expecting"),
        ("[]", "there are no rows"),
        ('{"rows": 3}', "there are no rows"),
        ('{"rows": []}', "there are no rows"),
        ('{"rows": [5]}', "a row is no object"),
        ('{"rows": [{"case": 1}]}', "no 'case' that is a text"),
        ('{"rows": [{"case": "x", "ours_ms": 1}]}', "'peer' is missing or no text"),
        ('{"rows": [{"case": "x", "peer": null}]}', "'ours_ms' is missing"),
        *(
            (json.dumps({"rows": [ROW | {key: value}]}), f"'{key}' is no positive number")
            for key in ("ours_ms", "peer_ms", "ratio", "ceiling_share", "weight_bytes")
            for value in ("1", 0, -1, True, float("inf"), float("nan"))
        ),
        (json.dumps({"rows": [ROW], "environment": 3}), "'environment' is no object"),
    ],
)
def test_what_is_no_result(
    text: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(SysmolError, match=r"r\.json: no JSON of a benchmark") as caught:
        results.read(path)
    assert fault in str(caught.value)
    assert cli.main(["bench", "--chart", str(path), "-o", str(tmp_path / "c.png")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and fault in error and not (tmp_path / "c.png").exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SysmolError, match=r"none\.json: No such file"):
        results.read(tmp_path / "none.json")
