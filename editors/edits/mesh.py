"""The edit that brings a mesh back which was changed elsewhere."""

from __future__ import annotations

import hashlib
import mmap
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from recon4d.core import InputError
from recon4d.editors.edited_field import plain_of, with_plain
from recon4d.editors.edits.base import Edit, free_layer
from recon4d.editors.mesh_edit import MeshChange, change_field
from recon4d.editors.state import State
from recon4d.scene.arrays import map_arrays
from recon4d.scene.folder import open_regular


@dataclass(frozen=True, kw_only=True)
class MeshEdit(Edit, kind="mesh_edit"):
    """Do to a layer's surfels what was done to its exported mesh: moved vertices, repainted colours.

    `recon4d import-mesh` makes this edit and its file.

    Attributes:
        layer: the layer that the mesh was exported from.
        path: the file of the mesh before and after (.safetensors), from the scene's folder.
        sha256: hash of its content; when given, another content is refused.
    """

    layer: str
    path: str
    sha256: str = ""

    def check(self) -> None:
        """See `Edit.check`."""
        if not self.path or "\0" in self.path:
            raise InputError("path", expected="the path of a file", got=repr(self.path[:80]), fix="name a file")

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        field = free_layer(state, self.layer, "layer").field
        place = Path(self.path)
        if state.folder is not None and not place.is_absolute():
            place = state.folder / place
        with torch.no_grad():
            return state.with_field(
                self.layer, with_plain(field, change_field(plain_of(field), read_change(place, self.sha256)))
            )


def read_change(path: Path, sha256: str = "") -> MeshChange:
    """A mesh before and after from its file.

    Raises:
        InputError: it is not there, damaged, or another one than it was.
    """
    descriptor = open_regular(path.parent, path.name)
    try:
        size = os.fstat(descriptor).st_size
        if size == 0:
            raise InputError(str(path), expected="a mesh", got="an empty file", fix="import the mesh again")
        buffer = mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)
    finally:
        os.close(descriptor)
    found = hashlib.sha256(buffer).hexdigest()
    if sha256 and found != sha256:
        raise InputError(
            str(path),
            expected=f"the content {sha256[:12]}...",
            got=f"{found[:12]}...",
            fix="restore the file, or import the mesh again",
        )
    tensors = map_arrays(buffer, str(path))
    names = set(MeshChange.__dataclass_fields__)
    whole = {name for name in names if name in tensors and (tensors[name].dtype == torch.int64) == (name == "faces")}
    if set(tensors) != names or whole != names:
        raise InputError(
            str(path), expected=f"the arrays {', '.join(sorted(names))}", got=", ".join(sorted(tensors)) or "none",
            fix="import the mesh again",
        )  # fmt: skip
    return MeshChange(**tensors)
