"""Deforms a mesh as rigidly as possible, and tells the Jacobian of the deformation at every vertex.

As-rigid-as-possible surface modelling (Sorkine and Alexa 2007) by libigl.  Knows no surfels and no handles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from recon4d.core import InputError
from recon4d.editors.shapes.surface import Mesh

# From the blend of the handles, six rounds come on average within 0.2 % of the subject of where 200 come.
ITERATIONS = 6
_KEPT = 4  # factorisations: what a dragging hand may come back to
_TINY = 1e-9  # of the squared edge length: keeps the Jacobian of a vertex without area defined


class ArapSurface:
    """A mesh that keeps what does not depend on where its fixed vertices go.

    Attributes:
        mesh: at rest.
        parts: [V] number of the connected part of each vertex.
    """

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.parts = mesh.parts()
        self._jacobians = _Jacobians(mesh)
        self._solvers: dict[bytes, Any] = {}

    def solve(
        self, fixed: Int[np.ndarray, "k"], goals: Float[np.ndarray, "v 3"], guess: Float[np.ndarray, "v 3"]
    ) -> Float[np.ndarray, "v 3"]:
        """Places of all vertices.

        Args:
            fixed: rows of vertices that go to their goals; every part of the mesh needs one.
            goals: [V, 3], of which only the fixed rows count.
            guess: [V, 3] where the rounds begin.

        Raises:
            InputError: the goals have no solution.
        """
        import igl

        if len(fixed) == len(self.mesh.vertices):
            return goals
        key = fixed.tobytes()
        if key not in self._solvers:
            data = igl.ARAPData()
            data.max_iter = ITERATIONS
            data.energy = igl.ARAP_ENERGY_TYPE_SPOKES_AND_RIMS
            igl.arap_precomputation(self.mesh.vertices, self.mesh.faces, 3, fixed.astype(np.int32), data)
            self._solvers = {**dict(list(self._solvers.items())[1 - _KEPT :]), key: data}
        solved = igl.arap_solve(np.ascontiguousarray(goals[fixed]), self._solvers[key], guess)
        if not np.isfinite(solved).all():
            raise InputError(
                "handles", expected="poses that a surface can follow", got="no solution", fix="move them less"
            )
        solved[fixed] = goals[fixed]
        return solved

    def jacobians(self, vertices: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3 3"]:
        """Jacobians [V, 3, 3] of the deformation that takes the mesh's vertices to these."""
        return self._jacobians.of(vertices)


class _Jacobians:
    """Least-squares Jacobians at the vertices of a mesh, from where their edges and normals go."""

    def __init__(self, mesh: Mesh) -> None:
        from scipy.sparse import csr_array

        edges = mesh.edges()
        self._faces = mesh.faces
        self._first, self._second = edges[:, 0], edges[:, 1]
        size, count = len(mesh.vertices), len(edges)
        self._sum = csr_array((np.ones(count), (self._first, np.arange(count))), shape=(size, count))
        self._edges = mesh.vertices[self._second] - mesh.vertices[self._first]
        self._normals, self._areas = _vertex_normals(mesh.vertices, mesh.faces)
        square = np.asarray(self._sum @ (self._edges**2).sum(-1))
        self._bend = np.maximum(square, 1e-300)
        gram = self._moments(self._edges) + self._bend[:, None, None] * _outer(self._normals, self._normals)
        gram += _TINY * self._bend[:, None, None] * np.eye(3)
        self._inverse = np.linalg.inv(gram)

    def _moments(self, edges: Float[np.ndarray, "e 3"]) -> Float[np.ndarray, "v 3 3"]:
        return np.asarray(self._sum @ _outer(edges, self._edges).reshape(-1, 9)).reshape(-1, 3, 3)

    def of(self, vertices: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3 3"]:
        """Jacobians [V, 3, 3] of the deformation that takes the mesh's vertices to these."""
        moments = self._moments(vertices[self._second] - vertices[self._first])
        normals, areas = _vertex_normals(vertices, self._faces)
        # Thickness grows as lengths along the surface do, so that a scaled part is scaled in all three directions.
        normals = normals * np.sqrt(areas / np.maximum(self._areas, 1e-300))
        moments += self._bend[:, None, None] * _outer(normals, self._normals)
        moments += _TINY * self._bend[:, None, None] * np.eye(3)
        return moments @ self._inverse


def _outer(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    return a[:, :, None] * b[:, None, :]


def _vertex_normals(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Float[np.ndarray, "v 3"], Float[np.ndarray, "v 1"]]:
    """Unit normals of vertices, and the areas (in a fixed unit) that they stand for."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    cross = np.cross(b - a, c - a)
    total = np.stack(
        [np.bincount(faces.reshape(-1), np.repeat(cross[:, i], 3), minlength=len(vertices)) for i in range(3)], -1
    )
    length = np.linalg.norm(total, axis=-1, keepdims=True)
    return np.where(length > 1e-300, total / np.maximum(length, 1e-300), np.array([0.0, 0.0, 1.0])), length
