"""The word lists, what is made of them, and the task that learns from them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

import sysmol
from sysmol import SysmolError, check, cli, tasks, train, words
from sysmol.models import WordResNet
from sysmol.prepare import hidden_layers

_VOWELS = {"Danish": "æ", "French": "é", "German": "ä", "Polish": "ł", "Spanish": "ñ"}


def write_lists(folder: Path, count: int = 60) -> None:
    """Lists of made-up words, of which each language has ``count`` of its own."""
    folder.mkdir(exist_ok=True)
    for index, entry in enumerate(words.LISTS):
        own = _VOWELS.get(entry.language, "")
        letters = "bcdfgklmnp"[index] + "aeiou" + own
        found = ["".join(part) for part in product(letters, repeat=3)][:count]
        # Shared, too short, too long, no word; a capital and a decomposed letter are folded.
        found += ["Gemein", "ab", "a" * 17, "don't", "co-op", "R2D2", found[0].upper()]
        text = "\n".join(found) + "\n"
        (folder / entry.file).write_bytes(text.encode(entry.encoding, "replace"))


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """A folder with made-up lists."""
    folder = tmp_path / "dict"
    write_lists(folder)
    return folder


def decode(codes: np.ndarray, alphabet: str) -> str:
    return "".join(alphabet[code - 1] for code in codes if code)


def test_parts_are_disjoint_equal_and_repeatable(
    lists: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = words.read(lists, 20, 5)
    assert np.bincount(found.train[1]).tolist() == [20] * 10
    assert np.bincount(found.test[1]).tolist() == [5] * 10
    train_words, test_words = (
        [decode(codes, found.alphabet) for codes in part[0]] for part in (found.train, found.test)
    )
    assert len(set(train_words) | set(test_words)) == 250
    assert not set(train_words) & {"gemein", "ab", "don't", "r2d2"}
    assert all(word == word.lower() and word.isalpha() for word in train_words)
    # No language comes first.
    assert len(set(found.train[1][:20].tolist())) > 4
    again = words.read(lists, 20, 5)
    assert again.alphabet == found.alphabet
    assert np.array_equal(again.train[0], found.train[0])
    assert "is not that of wdanish 1.6.36-14, dutch" in capsys.readouterr().err


def test_one_hot_letters_keep_their_diacritics() -> None:
    codes = words.encode(["née", "nee", "xa"], "en")
    assert codes.shape == (3, words.WIDTH) and codes.dtype == np.uint8
    assert codes[:, :4].tolist() == [[2, 64, 1, 0], [2, 1, 1, 0], [64, 64, 0, 0]]
    x = words.to_input(codes)
    assert x.shape == (3, words.LETTERS, 1, words.WIDTH) and x.dtype == np.float32
    assert x.sum((1, 2)).tolist() == [[1] * n + [0] * (16 - n) for n in (3, 3, 2)]
    assert x[0, 1, 0, 0] == x[0, 63, 0, 1] == x[0, 0, 0, 2] == 1
    with pytest.raises(SysmolError, match="unknown split"):
        words.load("validation")


def test_an_epoch_of_batches_is_repeatable() -> None:
    codes = torch.arange(1, 41, dtype=torch.uint8)[:, None].expand(40, words.WIDTH).contiguous()
    labels = torch.arange(40)

    def epoch(seed: int) -> list[int]:
        stream = words.batches(codes, labels, 8, torch.Generator().manual_seed(seed))
        pairs = list(stream)
        assert all(torch.equal(x[:, :, 0, 0].argmax(1), y) for x, y in pairs)
        return [int(label) for _, y in pairs for label in y]

    assert sorted(epoch(3)) == list(range(40)) and epoch(3) == epoch(3) != epoch(4)


def test_missing_and_unusable_lists_are_one_line(
    lists: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lists / "polish").write_text("źle\nŹle\nżółw\n")
    with pytest.raises(SysmolError, match="polish: 2 words that no other list has, 25 are needed"):
        words.read(lists, 20, 5)
    (lists / "dutch").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(SysmolError, match="dutch: is no utf-8 text"):
        words.read(lists, 20, 5)
    for name in ("dutch", "swedish"):
        (lists / name).unlink()
    line = ["train", "--task", "word-language", "--out", str(lists / "o"), "--data", str(lists)]
    capsys.readouterr()
    assert cli.main(line) == 1
    error = capsys.readouterr().err
    assert "run 'apt-get install wdutch wswedish'" in error and error.count("\n") == 1


def test_the_table_of_tasks_is_whole() -> None:
    for name, task in tasks.TASKS.items():
        assert task.name == name and tasks.named(name) is task
        model = task.model().eval()
        with torch.no_grad():
            assert model(torch.zeros(2, *task.image_shape)).shape == (2, len(task.classes))
        for stage in train.STAGES:
            rate = task.recipe.float_rate(0.5, task.recipe.epochs[stage])
            assert task.recipe.rates[stage] > 0 and rate > 0
    model = sysmol.prepare(tasks.WORD_LANGUAGE.model())
    assert sum(layer.weight.numel() for _, layer in hidden_layers(model)) == 257_024
    with pytest.raises(SysmolError, match="unknown task 'x'; there are fashion-mnist, word"):
        tasks.named("x")


def test_tasks_load_without_pytorch() -> None:
    code = "import sys, sysmol.tasks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_words_go_all_the_way_to_equal_logits(
    lists: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = words.read(lists, 20, 5)
    task = replace(
        tasks.WORD_LANGUAGE,
        load=lambda split, directory: parts.train if split == "train" else parts.test,
        model=lambda: WordResNet(words.LETTERS, 10, (8, 16)),
    )
    monkeypatch.setitem(tasks.TASKS, task.name, task)
    out = tmp_path / "out"
    line = f"train --task word-language --out {out} --batch 50 --no-bf16 --bits 2 --seed 3"
    epochs = " --float-epochs 1 --noise-epochs 1 --finetune-epochs 1"
    assert cli.main((line + epochs).split()) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["settings"]["task"] == "word-language" and results["test_images"] == 50
    assert results["stored_bytes"] > 0 and abs(results["mean_bits"] - 2) < 0.1
    # Run again, it finds its checkpoints, and writes the same network.
    first = (out / "model.onnx").read_bytes()
    capsys.readouterr()
    assert cli.main((line + epochs).split()) == 0
    assert "epoch=" not in capsys.readouterr().out and (out / "model.onnx").read_bytes() == first
    given = ["--task", task.name, "--network", str(out / "model.onnx"), "--images", "50"]
    assert check.main(given) == 0
    assert "50 images: every logit equal" in capsys.readouterr().out
