"""Bringing the files of a script into a scene's folder, so that the scene and its edits can be moved as one."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from recon4d.core import InputError
from recon4d.editors.edits.asset_file import AssetFile
from recon4d.editors.edits.base import Edit
from recon4d.editors.shapes import read_asset
from recon4d.editors.store import cannot_write
from recon4d.scene.folder import new_sibling, sync_folder

FOLDER = "assets"


def adopt(edits: tuple[Edit, ...], source: Path, folder: Path) -> tuple[Edit, ...]:
    """Edits with their files copied into `folder`/assets, and the hashes of the files written down.

    Args:
        edits: those whose relative paths go from `source`.
        source: the folder of the script.
        folder: that of the scene.

    Raises:
        InputError: a file that is not there or cannot be read, or a folder that cannot be written.
    """
    return tuple(_with_assets(edit, lambda asset: adopt_asset(asset, source, folder)) for edit in edits)


def located(edits: tuple[Edit, ...], source: Path, folder: Path) -> tuple[Edit, ...]:
    """Edits with absolute paths of their files, which stay where they are."""

    def absolute(asset: AssetFile) -> AssetFile:
        file = asset.place(source)
        return dataclasses.replace(asset, path=str((file if file.exists() else asset.place(folder)).resolve()))

    return tuple(_with_assets(edit, absolute) for edit in edits)


def adopt_asset(asset: AssetFile, source: Path, folder: Path) -> AssetFile:
    """The asset with its file copied into the scene's folder; see `adopt`."""
    file = asset.place(source)
    if not file.exists() and asset.place(folder).exists():
        return asset  # copied before
    if not file.exists():
        fix = "give the path from the script's folder, or an absolute one"
        raise InputError("asset.path", expected="a file that is there", got=repr(asset.path), fix=fix)
    sha256 = read_asset(file, surfels=1, up=asset.up, action=asset.action, layer=asset.layer).sha256
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", file.stem).strip("-")[:40] or "asset"
    name = f"{stem}-{sha256[:12]}{file.suffix.lower()}"
    target = folder / FOLDER / name
    if not target.exists():
        try:
            (folder / FOLDER).mkdir(exist_ok=True)
            _copy(file, target)
        except OSError as error:
            raise cannot_write(target, error) from error
    return dataclasses.replace(asset, path=f"{FOLDER}/{name}", sha256=sha256)


def _with_assets(edit: Edit, change: Callable[[AssetFile], AssetFile]) -> Edit:
    changes = {
        field.name: change(value)
        for field in dataclasses.fields(edit)
        if isinstance(value := getattr(edit, field.name), AssetFile)
    }
    return dataclasses.replace(edit, **changes) if changes else edit  # type: ignore[arg-type]


def _copy(file: Path, target: Path) -> None:
    """Copy a file, or a folder, so that it is there whole or not at all."""
    if file.is_dir():
        temporary = new_sibling(target)
        try:
            shutil.copytree(file, temporary, dirs_exist_ok=True)
            os.rename(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    else:
        temporary = target.with_name(f".{target.name}.tmp")
        shutil.copyfile(file, temporary)
        os.replace(temporary, target)
    sync_folder(target.parent)
