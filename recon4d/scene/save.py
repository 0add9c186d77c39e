"""Writing a scene folder so that a kill at any moment leaves the old scene or the new one.

Array files are named by their content and never written over, so the old scene stays whole while the new files come.
Replacing scene.json is the one step that makes the new scene the scene; only then are files swept that it does not
name.  A folder that is not there yet is made under another name beside it and renamed when it is whole.  Files go to
the disk (fsync) before the names that lead to them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
import shutil
from pathlib import Path
from typing import Any

from recon4d.core import InputError, SceneFormatError
from recon4d.field import ResidualWarp, Warp
from recon4d.scene import checks, codec
from recon4d.scene.arrays import Blob, to_blob
from recon4d.scene.document import FORMAT, FORMAT_VERSION, MAX_DOCUMENT_BYTES, to_bytes
from recon4d.scene.folder import (
    DOCUMENT,
    array_file_name,
    locked,
    new_sibling,
    open_regular,
    sweep,
    sync_folder,
    write_atomic,
)
from recon4d.scene.scene import Layer, Scene

SUFFIX = ".r4d"


def save(scene: Scene, path: str | os.PathLike[str]) -> None:
    """Write a scene to the folder `path`, whose name ends in .r4d; replaces the scene that is there.

    Other files in the folder (edits.json, report.html) stay as they are.  Numbers are kept to the bit; gradients are
    not kept and tensors of other devices come back on the CPU.

    Raises:
        InputError: a value of the scene is wrong, the folder cannot be written, or the disk is full.  The old scene is
            then still there.
    """
    folder = Path(path)
    if folder.suffix != SUFFIX or (folder.exists() and not folder.is_dir()):
        raise InputError(
            f"scene folder {folder}",
            expected=f"a folder whose name ends in {SUFFIX}",
            got="a file" if folder.is_file() else f"the name {folder.name!r}",
            fix=f"call it NAME{SUFFIX}",
        )
    checks.check_scene(scene)
    text, blobs = _encode(scene)
    try:
        if not folder.is_dir() and _create(folder, text, blobs):
            return
        _replace(folder, text, blobs)
    except OSError as error:
        raise InputError(
            f"scene folder {folder}",
            expected="a folder that can be written, on a disk with enough space",
            got=error.strerror or str(error),
            fix="check that the folder above exists, its permissions, and the space left",
        ) from error


def _encode(scene: Scene) -> tuple[bytes, dict[str, Blob]]:
    """The text of scene.json, and the array files by name."""
    blobs: dict[str, Blob] = {}
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "units": {"metres_per_unit": None if scene.metres_per_unit is None else float(scene.metres_per_unit)},
        "times": scene.frame_times.tolist(),
        "cameras": [codec.encode_camera(camera) for camera in scene.cameras],
        "layers": [_encode_layer(layer, blobs) for layer in scene.layers],
        "provenance": scene.provenance,
    }
    text = to_bytes(document)
    if len(text) > MAX_DOCUMENT_BYTES:
        raise InputError(
            DOCUMENT,
            expected=f"at most {MAX_DOCUMENT_BYTES} bytes",
            got=f"{len(text)} bytes",
            fix="keep long tables out of the provenance, or cut the scene into shorter ones",
        )
    return text, blobs


def _encode_layer(layer: Layer, blobs: dict[str, Blob]) -> dict[str, Any]:
    return {
        "name": layer.name,
        "kind": layer.kind,
        "count": len(layer.field),
        "arrays": _add(blobs, "surfels", to_blob(codec.encode_surfels(layer.field))),
        "warp": _encode_warp(layer.field.warp, blobs),
    }


def _encode_warp(warp: Warp, blobs: dict[str, Blob]) -> dict[str, Any]:
    document, arrays = codec.encode_warp(warp)
    if isinstance(warp, ResidualWarp):
        document["base"] = _encode_warp(warp.base, blobs)
    if arrays:
        document["arrays"] = _add(blobs, "warp", to_blob(arrays))
    return document


def _add(blobs: dict[str, Blob], role: str, blob: Blob) -> dict[str, Any]:
    name = array_file_name(role, blob.sha256)
    blobs[name] = blob
    return {"file": name, "bytes": blob.size, "sha256": blob.sha256}


def _create(folder: Path, text: bytes, blobs: dict[str, Blob]) -> bool:
    """Make the folder; False when somebody else has made it meanwhile."""
    temporary = new_sibling(folder)
    try:
        _replace(temporary, text, blobs)
        os.rename(temporary, folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and folder.is_dir():
            return False
        raise
    finally:
        # After the rename there is nothing of this name.
        shutil.rmtree(temporary, ignore_errors=True)
    sync_folder(folder.parent)
    return True


def _replace(folder: Path, text: bytes, blobs: dict[str, Blob]) -> None:
    with locked(folder, exclusive=True):
        before = set(os.listdir(folder))
        try:
            for name, blob in blobs.items():
                if not _holds(folder, name, blob):
                    write_atomic(folder, name, blob.pieces)
            sync_folder(folder)
            write_atomic(folder, DOCUMENT, [text])
        except BaseException:
            _undo(folder, text, set(blobs) - before)
            raise
        sync_folder(folder)
        sweep(folder, keep=blobs)


def _holds(folder: Path, name: str, blob: Blob) -> bool:
    """Whether the folder has that very file already, as when only part of a scene has changed."""
    try:
        descriptor = open_regular(folder, name)
    except SceneFormatError:
        return False
    try:
        if os.fstat(descriptor).st_size != blob.size:
            return False
        with mmap.mmap(descriptor, blob.size, access=mmap.ACCESS_READ) as buffer:
            return hashlib.sha256(buffer).hexdigest() == blob.sha256
    finally:
        os.close(descriptor)


def _undo(folder: Path, text: bytes, added: set[str]) -> None:
    """Remove the array files that a failed save has added, unless it failed just after the new scene was there."""
    with contextlib.suppress(OSError):
        if (folder / DOCUMENT).exists() and (folder / DOCUMENT).read_bytes() == text:
            return
        for name in added:
            (folder / name).unlink(missing_ok=True)
