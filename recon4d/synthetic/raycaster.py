"""Rays against triangles with Embree (Wald et al. 2014), through the embreex package.

Everything is cast in float32; hits are returned as face and barycentric coordinates, so that positions can be had from
the vertices in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from recon4d.core import BackendError

MISS = -1


@dataclass(frozen=True, eq=False)
class Hits:
    """What N rays met first.

    Attributes:
        mesh: [N] index of the mesh, `MISS` where nothing was met.
        face: [N] index of the face within its mesh, `MISS` where nothing was met.
        barycentric: [N, 3] coordinates on the face.
        distance: [N] how far along the ray, in lengths of its direction; meaningless where nothing was met.
    """

    mesh: Int[np.ndarray, "n"]
    face: Int[np.ndarray, "n"]
    barycentric: Float32[np.ndarray, "n 3"]
    distance: Float32[np.ndarray, "n"]

    def only(self, chosen: Bool[np.ndarray, "n"]) -> Hits:
        """Some of the hits."""
        return Hits(self.mesh[chosen], self.face[chosen], self.barycentric[chosen], self.distance[chosen])


class RayCaster:
    """An Embree scene of several triangle meshes that do not change."""

    def __init__(self, meshes: Sequence[tuple[Float[np.ndarray, "_ 3"], Int[np.ndarray, "_ 3"]]]) -> None:
        try:
            from embreex import rtcore_scene
            from embreex.mesh_construction import TriangleMesh
        except ImportError as error:
            raise BackendError(
                "ray casting", expected="the package embreex", got=str(error), fix="pip install embreex"
            ) from None
        self._scene = rtcore_scene.EmbreeScene()
        self._meshes = [
            TriangleMesh(self._scene, np.ascontiguousarray(v, np.float32), np.ascontiguousarray(f, np.int32))
            for v, f in meshes
        ]

    def cast(self, origins: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"]) -> Hits:
        """First hits along rays; directions need not be unit vectors."""
        if len(origins) == 0:
            nothing = np.zeros(0, np.int32)
            return Hits(nothing, nothing, np.zeros((0, 3), np.float32), np.zeros(0, np.float32))
        out = self._scene.run(
            np.ascontiguousarray(origins, np.float32), np.ascontiguousarray(directions, np.float32), output=True
        )
        u, v = out["u"], out["v"]
        hit = out["primID"] >= 0
        barycentric = np.stack([1 - u - v, u, v], -1)
        return Hits(np.where(hit, out["geomID"], MISS), np.where(hit, out["primID"], MISS), barycentric, out["tfar"])

    def blocked(self, origins: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, "n"]:
        """Whether anything lies along each ray, however far."""
        if len(origins) == 0:
            return np.zeros(0, bool)
        found = self._scene.run(
            np.ascontiguousarray(origins, np.float32), np.ascontiguousarray(directions, np.float32), query="OCCLUDED"
        )
        return np.asarray(found) >= 0
