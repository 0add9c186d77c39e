"""Folders of images as sequences: natural order of names, and masks matched by name or number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from recon4d.core import InputError
from recon4d.data.images import IMAGE_SUFFIXES


def natural_key(name: str) -> tuple[tuple[int, str], ...]:
    """Sorting key that puts frame_2 before frame_10 (and equal numbers in a fixed order)."""
    parts = re.findall(r"\d+|\D+", name)
    return (*((int(part), "") if part.isdecimal() and part.isascii() else (-1, part) for part in parts), (-2, name))


def list_images(folder: Path) -> list[Path]:
    """Image files directly in a folder, in natural order; hidden files are left out."""
    if not folder.is_dir():
        return []
    files = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    return sorted(files, key=lambda path: natural_key(path.name))


def require_images(folder: Path, where: str) -> list[Path]:
    """As `list_images`, but none is an error."""
    files = list_images(folder)
    if not files:
        raise InputError(
            where,
            expected=f"images ({', '.join(sorted(IMAGE_SUFFIXES))}) in {folder}",
            got="none" if folder.is_dir() else "no such folder",
            fix="check the path",
        )
    return files


def masks_by_stem(folder: Path | None, images: Sequence[Path]) -> list[Path | None]:
    """For each image the mask of the same name in `folder` (`a.png` or `a.jpg.png` for `a.jpg`), None without one."""
    masks = {} if folder is None else {path.name.partition(".")[0]: path for path in list_images(folder)}
    return [masks.get(path.name.partition(".")[0]) for path in images]


def masks_by_number(folder: Path | None, count: int) -> list[Path | None]:
    """For frame 0 ... count - 1 the mask whose name ends in that number, None without one."""
    masks: dict[int, Path] = {}
    for path in list_images(folder) if folder is not None else []:
        numbers = re.findall(r"\d+", path.stem)
        if numbers:
            masks.setdefault(int(numbers[-1]), path)
    return [masks.get(index) for index in range(count)]
