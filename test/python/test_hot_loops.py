"""The script that looks at hot loops: blocks of code, and what it refuses."""

from __future__ import annotations

import collections
import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from native import needs_native

SCRIPT = Path(__file__).resolve().parents[1] / "benchmark" / "hot_loops.py"
TOOLS = ("perf", "readelf", "llvm-objdump-22", "llvm-mca-22")


@pytest.fixture(scope="module")
def hot_loops() -> Iterator[ModuleType]:
    sys.path.insert(0, str(SCRIPT.parent))  # as a script has it
    spec = importlib.util.spec_from_file_location("hot_loops", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["hot_loops"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(SCRIPT.parent))


def test_blocks_end_at_jumps_and_begin_at_targets(
    hot_loops: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
code.so:     file format elf64-x86-64

       0:       xorl    %eax, %eax
       4:       addl    $0x1, %eax
       8:       cmpl    $0x9, %eax
       c:       jne     0x4 <.text+0x4>
       e:       movl    %eax, %edx
      10:       retq
      20:       movl    %eax, %ecx
"""
    monkeypatch.setattr(hot_loops, "output_of", lambda *command: text)
    monkeypatch.setattr(hot_loops, "find", lambda *names: names[0])
    counts = collections.Counter({0x4: 3, 0xC: 4, 0x10: 1})
    loop, last, first, other = hot_loops.blocks_of(Path("code.so"), counts)
    assert (loop.start, loop.samples, loop.is_loop) == (0x4, 7, True)
    assert [words for _, words in loop.instructions][-1].startswith("jne")
    assert (last.start, last.samples, last.is_loop) == (0xE, 1, False)
    assert (first.start, first.samples, first.is_loop) == (0x0, 0, False)
    assert (other.start, len(other.instructions)) == (0x20, 1)


def test_wrong_use(
    hot_loops: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(sys, "argv", ["hot_loops.py", "--out", str(tmp_path)])
    assert hot_loops.main() == 2
    assert "no case is asked for" in capsys.readouterr().err
    for more, reason in (
        (["--case", "("], "is no regular expression"),
        (["--below", "0.5"], "give both"),
        (["a/net.smol", "b/net.smol"], "two bundles have one name"),
    ):
        monkeypatch.setattr(sys, "argv", ["hot_loops.py", "--out", str(tmp_path / "x"), *more])
        assert hot_loops.main() == 2
        assert reason in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["hot_loops.py", "--out", str(tmp_path / "x"), "none.smol"])
    assert hot_loops.main() == 1
    assert "none.smol" in capsys.readouterr().err and not (tmp_path / "x").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"rows": 3}', '{"rows": [{"case": "x"}]}'])
def test_results_that_are_none(
    text: str, hot_loops: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    results = tmp_path / "results.json"
    results.write_text(text)
    arguments = ["--out", str(tmp_path / "out"), "--results", str(results), "--below", "0.9"]
    monkeypatch.setattr(sys, "argv", ["hot_loops.py", *arguments])
    assert hot_loops.main() == 1
    error = capsys.readouterr().err
    assert "results.json: no JSON of a benchmark" in error and error.count("\n") == 1
    results.unlink()
    assert hot_loops.main() == 1
    assert "results.json: No such file or directory" in capsys.readouterr().err


@needs_native
def test_a_layer(
    hot_loops: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    if missing := [name for name in TOOLS if not shutil.which(name)]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    case = "16->16, 28x28, 1 bit"
    arguments = ["--out", str(tmp_path), "--case", case, "--seconds", "0.3"]
    monkeypatch.setattr(sys, "argv", ["hot_loops.py", *arguments])
    code, error = hot_loops.main(), capsys.readouterr().err
    if "/perf: " in error:  # the kernel refuses it
        pytest.skip(error)
    assert code == 0, error
    (log,) = tmp_path.glob("*.log")
    text = log.read_text()
    assert text.startswith("3x3 16->16, 28x28, 1 bit\n")
    found = re.search(r"(\d+) samples, (\d+) in the compiled code", text)
    assert found is not None and int(found[1]) >= int(found[2]) > 100
    assert "== loop of" in text or "== block of" in text
    assert f"{tmp_path}" not in text and "/tmp" not in text
