"""The script that fits the cost model's constants: it finds what clocks were made from."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmark" / "fit_costs.py"
RESULTS = SCRIPT.parent / "results" / "all.json"

spec = importlib.util.spec_from_file_location("fit_costs", SCRIPT)
assert spec is not None and spec.loader is not None
fit_costs = importlib.util.module_from_spec(spec)
sys.modules["fit_costs"] = fit_costs
spec.loader.exec_module(fit_costs)


def run(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, path], capture_output=True, text=True)


def test_constants_that_clocks_were_made_from_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = (5.5, 2.25, 0.14, 0.05)
    found = fit_costs.layers(json.loads(RESULTS.read_text())["rows"])
    assert len(found) > 20
    made = [
        fit_costs.Layer(
            layer.case,
            layer.total,
            sum(c * f for c, f in zip(constants, layer.features, strict=True)),
            layer.features,
        )
        for layer in found
    ]
    fit, errors = fit_costs.fit(made)
    assert list(fit) == pytest.approx(constants)
    assert max(abs(error) for error in errors) < 1e-9


def test_the_measured_layers_are_near_the_model(tmp_path: Path) -> None:
    done = run(RESULTS)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    values: list[Any] = [float(line.split()[-1]) for line in lines[:4]]
    assert 3 < values[0] < 8 and 1 < values[1] < 4  # CostModel.cpp: 5.5 and 2.2
    errors = sorted(abs(float(line.split()[-2])) for line in lines[4:])
    assert errors[len(errors) // 2] < 5


def test_too_few_layers_are_refused(tmp_path: Path) -> None:
    results = json.loads(RESULTS.read_text())
    results["rows"] = results["rows"][:3]
    (tmp_path / "few.json").write_text(json.dumps(results))
    done = run(tmp_path / "few.json")
    assert done.returncode == 1
    assert "layers are too few to fit" in done.stderr and "Traceback" not in done.stderr
