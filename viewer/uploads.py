"""Files that browsers bring in: checked as assets and kept in the folder `assets` of the scene.

A file is taken for hostile.  Its name is reduced to a plain one, so that nothing is ever written outside that folder;
its kind and size are limited; and it is read as an asset before it is offered, so that what cannot be read, or would
grow beyond all bounds, is refused and removed.

Does NOT put assets into the scene: edits do.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from pathlib import Path

from recon4d.core import InputError
from recon4d.editors.shapes.assets import read_asset
from recon4d.viewer.gate import MAX_UPLOAD

FOLDER = "assets"
SUFFIXES = (".glb", ".ply", ".obj", ".splat")
MAX_FILES = 100
MAX_FOLDER = 2 * 1024 * 1024 * 1024  # bytes of all assets
_CHECKED_WITH = 1000  # surfels: enough to find out whether the file can be read


class Uploads:
    """The assets of one project.

    Args:
        scene_folder: of the scene; None where nothing can be kept.
        quota: bytes of all assets.
    """

    def __init__(self, scene_folder: Path | None, quota: int = MAX_FOLDER) -> None:
        self.folder = None if scene_folder is None else scene_folder / FOLDER
        self.quota = quota
        self._one_at_a_time = threading.Lock()

    def names(self) -> tuple[str, ...]:
        """The files that are there, by name."""
        if self.folder is None or not self.folder.is_dir():
            return ()
        files = (path for path in self.folder.iterdir() if path.is_file() and not path.is_symlink())
        return tuple(sorted(path.name for path in files if path.suffix.lower() in SUFFIXES))

    def reference(self, name: str) -> str:
        """How an edit names an asset: by its place in the scene's folder."""
        return f"{FOLDER}/{plain_name(name)}"

    def take(self, name: str, content: bytes) -> str:
        """Keep a file; the name that it has now.

        Raises:
            InputError: it is of another kind, too large, or cannot be read as an asset; nothing is kept then.
        """
        if self.folder is None:
            raise InputError("upload", expected="a scene in a folder", got="one in memory", fix="save the scene first")
        plain = plain_name(name)
        if Path(plain).suffix.lower() not in SUFFIXES:
            raise InputError(
                "upload",
                expected=f"a file of the kinds {', '.join(SUFFIXES)}",
                got=repr(plain),
                fix="convert it to .glb first, as with Blender",
            )
        if not 0 < len(content) <= MAX_UPLOAD:
            raise InputError(
                "upload",
                expected=f"a file of at most {MAX_UPLOAD // 2**20} MB",
                got=f"{len(content) / 2**20:.1f} MB",
                fix="make the asset smaller",
            )
        with self._one_at_a_time:
            self._check_room(self.folder, len(content))
            self.folder.mkdir(exist_ok=True)
            if self.folder.is_symlink():
                raise InputError("upload", expected="a folder of the scene", got="a link", fix=f"remove {self.folder}")
            return self._keep(self.folder, plain, content)

    def _check_room(self, folder: Path, size: int) -> None:
        if len(self.names()) >= MAX_FILES:
            raise InputError(
                "upload", expected=f"at most {MAX_FILES} assets", got="more", fix=f"remove some from {folder}"
            )
        # Everything counts that lies there, whoever has put it there.
        taken = sum(path.lstat().st_size for path in folder.rglob("*")) if folder.is_dir() else 0
        if taken + size > self.quota:
            raise InputError(
                "upload",
                expected=f"assets of at most {self.quota / 2**20:.0f} MB together",
                got=f"{(taken + size) / 2**20:.1f} MB",
                fix=f"remove some from {folder}",
            )

    def _keep(self, folder: Path, plain: str, content: bytes) -> str:
        suffix = Path(plain).suffix.lower()
        handle, temporary = tempfile.mkstemp(prefix=".upload-", suffix=suffix, dir=folder)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            try:
                read_asset(temporary, surfels=_CHECKED_WITH)
            except InputError as error:
                what = error.what.replace(temporary, plain).replace(Path(temporary).name, plain)
                raise InputError(what, expected=error.expected, got=error.got, fix=error.fix) from None
            except (MemoryError, OverflowError, RecursionError):
                raise InputError(plain, expected="an asset", got="one beyond all bounds", fix="use another") from None
            place = _free(folder, plain)
            os.replace(temporary, place)
            return place.name
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)


def plain_name(name: str) -> str:
    """A file name without folders and without characters that mean something to a shell or a page."""
    last = re.split(r"[\\/]", name)[-1]
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", last).strip(". ")[:80]
    return plain or "asset"


def _free(folder: Path, name: str) -> Path:
    stem, suffix = Path(name).stem, Path(name).suffix
    for number in range(1, 10_000):
        place = folder / (name if number == 1 else f"{stem}-{number}{suffix}")
        if not place.exists():
            return place
    raise InputError("upload", expected="another name", got=repr(name), fix="rename the file")
