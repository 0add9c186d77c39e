"""Folders that appear whole or not at all, and replace others without a moment at which something is lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from recon4d.core import InputError
from recon4d.data.files import atomic_folder


def fill(place: Path, content: str, *, may_replace: bool = True) -> None:
    with atomic_folder(place, may_replace=lambda _: may_replace) as temporary:
        (temporary / "file").write_text(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_appears_with_the_folders_above_and_leaves_nothing_else(tmp_path: Path):
    fill(tmp_path / "a" / "b", "new")
    assert (tmp_path / "a" / "b" / "file").read_text() == "new"
    assert names(tmp_path / "a") == ["b"]
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_failure_leaves_what_was_there(tmp_path: Path):
    fill(tmp_path / "b", "old")

    def half() -> None:
        with atomic_folder(tmp_path / "b", may_replace=lambda _: True) as temporary:
            (temporary / "file").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert (tmp_path / "b" / "file").read_text() == "old"
    assert names(tmp_path) == ["b"]


def test_an_empty_folder_is_replaced_and_a_full_one_where_it_may(tmp_path: Path):
    (tmp_path / "b").mkdir()
    fill(tmp_path / "b", "first", may_replace=False)
    with pytest.raises(InputError, match="a new or empty folder"):
        fill(tmp_path / "b", "second", may_replace=False)
    assert (tmp_path / "b" / "file").read_text() == "first"
    fill(tmp_path / "b", "third")
    assert (tmp_path / "b" / "file").read_text() == "third"
    assert names(tmp_path) == ["b"]


def test_the_old_one_is_there_again_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fill(tmp_path / "b", "old")
    rename, calls = os.rename, []

    def failing(source: Any, target: Any) -> None:
        calls.append(target)
        if len(calls) == 3:  # to the place, the old one aside, and to the place again
            raise OSError(errno.EIO, "the disk is gone")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        fill(tmp_path / "b", "new")
    assert len(calls) == 4
    assert (tmp_path / "b" / "file").read_text() == "old"


def test_a_place_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a place for a folder"):
        fill(tmp_path / "file" / "b", "new")
