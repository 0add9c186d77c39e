"""Files that edits bring in: where they lie, and what to read of them."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recon4d.core import InputError
from recon4d.editors.shapes import Asset, read_asset
from recon4d.editors.state import State

UpAxis = Literal["+x", "-x", "+y", "-y", "+z", "-z"]

_KEPT = 8
_read: OrderedDict[tuple[object, ...], Asset] = OrderedDict()


@dataclass(frozen=True)
class AssetFile:
    """A file with a thing in it: .glb, .ply, .obj, .splat, .spz or .sog (by splat-transform), or another scene (.r4d).

    Attributes:
        path: of the file; where it is relative, from the scene's folder.
        sha256: hash of its content; when given, another content is refused.
        surfels: how many to spread over triangles.
        up: the axis that is up in the file; that which is usual for its kind where it is left out.
        action: animation of a .glb; the first where it is left out.
        layer: of a .r4d; the largest object where it is left out.
    """

    path: str
    sha256: str = ""
    surfels: int = 30_000
    up: UpAxis | None = None
    action: str | None = None
    layer: str | None = None

    def __post_init__(self) -> None:
        if not self.path or "\0" in self.path:
            raise InputError("path", expected="the path of a file", got=repr(self.path[:80]), fix="name a file")
        if not 1 <= self.surfels <= 5_000_000:
            raise InputError("surfels", expected="1 to 5,000,000", got=str(self.surfels), fix="30000 is a good choice")

    def read(self, state: State, what: str = "asset") -> Asset:
        """The asset; read again only when the file has changed.

        Raises:
            InputError: it is not there, cannot be read, or is another one than it was.
        """
        file = self.place(state.folder)
        if not file.exists():
            fix = "give the path from the scene's folder, or an absolute one"
            raise InputError(f"{what}.path", expected="a file that is there", got=repr(self.path), fix=fix)
        status = (file / "scene.json" if file.is_dir() and (file / "scene.json").exists() else file).stat()
        options = (self.surfels, self.up, self.action, self.layer)
        key = (str(file.resolve()), status.st_mtime_ns, status.st_size, *options)
        asset = _read.pop(key, None)
        if asset is None:
            try:
                asset = read_asset(file, surfels=self.surfels, up=self.up, action=self.action, layer=self.layer)
            except InputError as error:
                named = f"{what}: {error.what}"
                raise InputError(named, expected=error.expected, got=error.got, fix=error.fix) from None
        _read[key] = asset
        while len(_read) > _KEPT:
            _read.popitem(last=False)
        if self.sha256 and asset.sha256 != self.sha256:
            got = f"one with hash {asset.sha256[:12]}..."
            fix = "restore the file, or leave out sha256"
            raise InputError(f"{what}.path", expected=f"the content {self.sha256[:12]}...", got=got, fix=fix)
        return asset

    def place(self, folder: Path | None) -> Path:
        """Where the file is."""
        return Path(self.path) if folder is None or os.path.isabs(self.path) else folder / self.path
