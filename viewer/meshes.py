"""Meshes of layers for looking at, made once for each state of a layer and shared by all clients.

Does NOT write files or show anything; the meshes are those that exports begin with.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from recon4d.export.mesh.canonical import MeshSettings, canonical_mesh
from recon4d.export.mesh.motion import Anchors, anchor
from recon4d.export.mesh.topology import TriMesh
from recon4d.scene import Layer
from recon4d.viewer.identity import identity

FACES = 8000
_KEPT = 16

Made = tuple[TriMesh, Anchors]


class MeshCache:
    """The last used meshes."""

    def __init__(self) -> None:
        self._made: OrderedDict[int, Made] = OrderedDict()
        self._lock = threading.Lock()
        self._making = threading.Lock()  # one at a time: a mesh takes all cores

    def is_made(self, layer: Layer) -> bool:
        """Whether the mesh of a layer is there."""
        return identity(layer.field) in self._made

    def of(self, layer: Layer) -> Made:
        """The mesh of a layer, and what its vertices move with.

        Raises:
            InputError: the surfels make no surface.
        """
        key = identity(layer.field)
        if (known := self._known(key)) is not None:
            return known
        with self._making:
            if (known := self._known(key)) is not None:  # somebody has made it meanwhile
                return known
            mesh = canonical_mesh(layer.field.canonical, MeshSettings(FACES, closed=layer.kind == "object"))
            made = (mesh, anchor(layer.field, mesh))
            with self._lock:
                self._made[key] = made
                while len(self._made) > _KEPT:
                    self._made.popitem(last=False)
            return made

    def _known(self, key: int) -> Made | None:
        with self._lock:
            made = self._made.get(key)
            if made is not None:
                self._made.move_to_end(key)
            return made
