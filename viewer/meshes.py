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

    def is_made(self, layer: Layer) -> bool:
        """Whether the mesh of a layer is there."""
        return identity(layer.field) in self._made

    def of(self, layer: Layer) -> Made:
        """The mesh of a layer, and what its vertices move with.

        Raises:
            InputError: the surfels make no surface.
        """
        key = identity(layer.field)
        with self._lock:  # one at a time: a mesh takes all cores
            made = self._made.pop(key, None)
            if made is None:
                mesh = canonical_mesh(layer.field.canonical, MeshSettings(FACES, closed=layer.kind == "object"))
                made = (mesh, anchor(layer.field, mesh))
            self._made[key] = made
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
            return made
