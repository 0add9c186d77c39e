"""Rays against triangles with Embree (Wald et al. 2014), through the embreex package.

Everything is cast in float32; hits are returned as face and barycentric coordinates, so that positions can be had from
the vertices in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from recon4d.core import BackendError

MISS = -1


@dataclass(frozen=True, eq=False)
class Hits:
    """What N rays met first.

    Attributes:
        mesh: [N] index of the mesh, `MISS` where nothing was met.
        face: [N] index of the face within its mesh, `MISS` where nothing was met.
        barycentric: [N, 3] coordinates on the face.
    """

    mesh: Int[np.ndarray, "n"]
    face: Int[np.ndarray, "n"]
    barycentric: Float[np.ndarray, "n 3"]


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
            return Hits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3)))
        out = self._scene.run(
            np.ascontiguousarray(origins, np.float32), np.ascontiguousarray(directions, np.float32), output=True
        )
        u, v = out["u"].astype(np.float64), out["v"].astype(np.float64)
        hit = out["primID"] >= 0
        mesh = np.where(hit, out["geomID"], MISS).astype(np.int64)
        return Hits(mesh, np.where(hit, out["primID"], MISS).astype(np.int64), np.stack([1 - u - v, u, v], -1))

    def blocked(self, origins: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, "n"]:
        """Whether anything lies along each ray, however far."""
        if len(origins) == 0:
            return np.zeros(0, bool)
        found = self._scene.run(
            np.ascontiguousarray(origins, np.float32), np.ascontiguousarray(directions, np.float32), query="OCCLUDED"
        )
        return np.asarray(found) >= 0
