"""Files appear whole or not at all, and only where a regular file may be."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sysmol import SysmolError, files
from sysmol.errors import ResourceLimit
from sysmol.files import write, write_all, write_json, write_text


def listing(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_new_file_has_the_permissions_that_umask_gives(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", {"ä": 1})
    finally:
        os.umask(old)
    assert (tmp_path / "a.json").read_text() == '{\n "ä": 1\n}\n'
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o640
    assert listing(tmp_path) == ["a.json"]


def test_a_replaced_file_keeps_its_permissions_and_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o600)
    (tmp_path / "a.part").write_text("precious")
    write_text(tmp_path / "a", "new")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert (tmp_path / "a").read_text() == "new"
    assert (tmp_path / "a.part").read_text() == "precious"


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"
    (tmp_path / "dangling").symlink_to("nothing")
    with pytest.raises(SysmolError, match="symbolic link to nothing"):
        write_text(tmp_path / "dangling", "new")


def test_what_is_no_regular_file_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(SysmolError, match="not a regular file"):
            write_text(tmp_path / name, "new")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    for path in ("", ".", "/", ".."):
        with pytest.raises(SysmolError):
            write_text(path, "new")
    assert listing(tmp_path) == ["folder", "pipe"]


def test_all_or_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    parts = [(tmp_path / "a", "new"), (tmp_path / "no" / "b", "new")]
    with pytest.raises(SysmolError, match=r"cannot write .*no/b: No such file"):
        write_all([(path, lambda part, text=text: part.write_text(text)) for path, text in parts])
    assert (tmp_path / "a").read_text() == "old" and listing(tmp_path) == ["a"]


def test_one_file_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    paths = [tmp_path / "o" / "a", tmp_path / "o" / ".." / "o" / "a"]
    with pytest.raises(SysmolError, match="twice"):
        write_all([(path, lambda part: part.write_text("new")) for path in paths])
    assert listing(tmp_path / "o") == []


def test_a_full_disk_is_a_limit(tmp_path: Path) -> None:
    def fill(part: Path) -> None:
        with Path("/dev/full").open("wb") as full:
            full.write(b"x")

    with pytest.raises(ResourceLimit, match="No space left"):
        write(tmp_path / "a", fill)
    assert listing(tmp_path) == []


def test_whatever_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write(tmp_path / "a", lambda part: 1 // 0)
    assert listing(tmp_path) == []


def test_a_refused_folder_leaves_none_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="refused"), files.folder(tmp_path / "a" / "b" / "c"):
        raise ValueError("refused")
    assert listing(tmp_path) == []
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match="refused"), files.folder(tmp_path / "a" / "b" / "c"):
        (tmp_path / "a" / "b" / "log").write_text("kept")
        raise ValueError("refused")
    assert listing(tmp_path / "a") == ["b"] and listing(tmp_path / "a" / "b") == ["log"]
