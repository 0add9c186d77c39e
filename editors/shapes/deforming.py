"""Deforms a field by handles, as rigidly as possible, and carries the change through time by the unchanged skinning.

The deformation is found on a proxy mesh around the canonical surfels (as-rigid-as-possible surface modelling, Sorkine
and Alexa 2007, by libigl) and carried to the surfels by their places on its triangles.  A `Deformer` keeps what does
not depend on where the handles go, so that dragging one is quick.  The result depends on the handles alone, never on
where they were before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon4d.core import InputError, Similarity
from recon4d.editors.shapes.carrying import carry
from recon4d.editors.shapes.placing import similarity
from recon4d.editors.shapes.surface import Mesh, proxy_mesh
from recon4d.field import Field

# From the blend of the handles, six rounds come on average within 0.2 % of the subject of where 200 come.
ITERATIONS = 6
_TINY = 1e-9  # of the squared edge length: keeps the Jacobian of a vertex without area defined


@dataclass(frozen=True)
class Handle:
    """A ball of canonical space that is held and moved as one; the default pose pins it where it is.

    Attributes:
        center: middle of the ball in the canonical state.
        radius: of the ball, scene units, > 0; the nearest vertex of the proxy is held in any case.
        translation: where the middle goes, relative to where it is, scene units.
        rotation_wxyz: turn about the middle.
        scale: of the ball about its middle, > 0.
    """

    center: tuple[float, float, float]
    radius: float
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rotation_wxyz: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    scale: float = 1.0

    def __post_init__(self) -> None:
        if len(self.center) != 3 or not all(map(math.isfinite, self.center)) or not 0 < self.radius < math.inf:
            raise InputError(
                "handle",
                expected="a finite center of three numbers and a radius > 0",
                got=f"center {self.center!r}, radius {self.radius!r}",
                fix="put the handle on the surface",
            )
        self.pose()

    def pose(self) -> Similarity:
        """Where the handle takes points of the ball; checks the numbers."""
        return similarity(self.scale, self.rotation_wxyz, self.translation)

    def taken(self, points: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"]:
        """Where it takes points [V, 3] of canonical space."""
        if (self.translation, self.scale) == ((0, 0, 0), 1) and not any(self.rotation_wxyz[1:]):
            return points  # a pin: rounding must not move what it holds
        center = torch.tensor(self.center, dtype=torch.float64)
        return (self.pose().transform_points(torch.from_numpy(points) - center) + center).numpy()


@dataclass(frozen=True, eq=False)
class Binding:
    """Where surfels sit on the proxy.

    Attributes:
        corners: [N, 3] vertices of the nearest triangle.
        barycentric: [N, 3] where on it.
        offsets: [N, 3] from that place to the surfel, canonical axes.
        weights: sparse [N, V], the barycentric coordinates in the columns of the vertices.
    """

    corners: Int[np.ndarray, "n 3"]
    barycentric: Float[np.ndarray, "n 3"]
    offsets: Float[np.ndarray, "n 3"]
    weights: Any


class Deformer:
    """A field with its proxy mesh, ready for handles.

    Attributes:
        field: as it was given.
        mesh: the proxy.
        binding: of the field's surfels.
    """

    def __init__(self, field: Field, *, max_vertices: int = 5000, selected: Bool[Tensor, " n"] | None = None) -> None:
        """Mesh and bind a field.

        Args:
            field: at least one opaque surfel.
            max_vertices: of the proxy.
            selected: [N] the only surfels that may move; the proxy is pinned where the others are nearer.

        Raises:
            InputError: nothing to mesh, or nothing selected.
        """
        self.field = field
        self.mesh: Mesh = proxy_mesh(field.canonical, max_vertices=max_vertices)
        self.binding = bind(self.mesh, field.canonical.centers.detach().double().cpu().numpy())
        self._selected = selected
        self._frozen = _vertices_of_others(self.mesh, self.binding, selected)
        self._parts = self.mesh.parts()
        self._jacobians = _Jacobians(self.mesh)
        self._solvers: dict[bytes, Any] = {}

    def held(self, handle: Handle) -> Int[np.ndarray, "k"]:
        """Vertices of the proxy in a handle's ball; the nearest one where there is none."""
        away = np.linalg.norm(self.mesh.vertices - np.asarray(handle.center), axis=-1)
        inside = np.flatnonzero(away <= handle.radius)
        return inside if len(inside) else np.array([int(away.argmin())])

    def vertices(self, handles: Sequence[Handle], *, reach: float | int | None = None) -> Float[np.ndarray, "v 3"]:
        """Places of the proxy's vertices [V, 3] for handles; see `deform`."""
        import igl

        if not handles:
            return self.mesh.vertices.copy()
        fixed, goals, guess = self._constraints(handles, reach)
        if len(fixed) == len(self.mesh.vertices):
            return goals
        key = fixed.tobytes()
        if key not in self._solvers:
            data = igl.ARAPData()
            data.max_iter = ITERATIONS
            data.energy = igl.ARAP_ENERGY_TYPE_SPOKES_AND_RIMS
            igl.arap_precomputation(self.mesh.vertices, self.mesh.faces, 3, fixed.astype(np.int32), data)
            # A few sets of handles are kept: more would hold much memory for what is a dragging hand's past.
            self._solvers = {**dict(list(self._solvers.items())[-3:]), key: data}
        solved = igl.arap_solve(np.ascontiguousarray(goals[fixed]), self._solvers[key], guess)
        if not np.isfinite(solved).all():
            raise InputError(
                "handles", expected="poses that a surface can follow", got="no solution", fix="move them less"
            )
        solved[fixed] = goals[fixed]
        return solved

    def deform(self, handles: Sequence[Handle], *, reach: float | int | None = None) -> Field:
        """The field with its handles where they are to go.

        Args:
            handles: any number; where two hold the same vertex the later one has it.
            reach: parts of the proxy farther than this from every handle that moves are pinned; scene units.  None
                lets everything follow.

        Raises:
            InputError: a reach that is not positive, or poses without a solution.
        """
        new = self.vertices(handles, reach=reach)
        binding, old = self.binding, self.mesh.vertices
        shifted = (new != old).any(1)
        moves = torch.from_numpy(shifted[binding.corners].any(1))
        if self._selected is not None:
            moves &= self._selected.cpu()
        rows = moves.nonzero()[:, 0].numpy()
        blend = np.concatenate([self._jacobians.of(new).reshape(-1, 9), new - old], 1)
        blended = np.asarray((binding.weights[rows] if len(rows) < len(moves) else binding.weights) @ blend)
        jacobians = blended[:, :9].reshape(-1, 3, 3)
        # A shift of the surfel itself, so that rounding of the binding does not move what does not move.
        shift = blended[:, 9:] + ((jacobians - np.eye(3)) @ binding.offsets[rows][..., None])[..., 0]
        centers = self.field.canonical.centers
        moved = centers.detach().double().cpu().numpy()[rows] + shift
        device = centers.device
        return carry(
            self.field, moves.to(device), torch.from_numpy(moved).to(centers), torch.from_numpy(jacobians).to(centers)
        )

    def _constraints(
        self, handles: Sequence[Handle], reach: float | int | None
    ) -> tuple[Int[np.ndarray, "k"], Float[np.ndarray, "v 3"], Float[np.ndarray, "v 3"]]:
        """Fixed vertices, goals (of all vertices, only those of the fixed ones count), and a first guess."""
        if reach is not None and not (math.isfinite(reach) and reach > 0):
            raise InputError("reach", expected="a length > 0", got=repr(reach), fix="leave it out")
        vertices = self.mesh.vertices
        is_fixed = self._frozen.copy()
        goals = vertices.copy()
        weight, pull = np.zeros(len(vertices)), np.zeros_like(vertices)
        near = np.zeros(len(vertices), bool)
        for handle in handles:
            taken, rows = handle.taken(vertices), self.held(handle)
            is_fixed[rows] = True
            goals[rows] = taken[rows]
            away = np.linalg.norm(vertices - np.asarray(handle.center), axis=-1) / handle.radius
            falling = 1 / np.maximum(away, 1) ** 4
            weight += falling
            pull += falling[:, None] * (taken - vertices)
            if (taken != vertices).any():
                near |= away * handle.radius <= handle.radius + (math.inf if reach is None else reach)
        # What a vertex of another part does nobody has said: parts without a handle stay.
        touched = np.unique(self._parts[np.concatenate([self.held(handle) for handle in handles])])
        stays = ~near | ~np.isin(self._parts, touched)
        is_fixed |= stays & (goals == vertices).all(1)
        goals[self._frozen] = vertices[self._frozen]
        guess = vertices + pull / weight[:, None]
        fixed = np.flatnonzero(is_fixed)
        guess[fixed] = goals[fixed]
        return fixed, goals, np.ascontiguousarray(guess)


def deform_field(
    field: Field,
    handles: Sequence[Handle],
    *,
    selected: Bool[Tensor, " n"] | None = None,
    reach: float | int | None = None,
    max_vertices: int = 5000,
) -> Field:
    """The field deformed by handles, as rigidly as possible; see `Deformer`, which is quicker for many deformations.

    Args:
        field: N surfels, whose warp stays as it is.
        handles: what is held and where it goes; handles with the default pose pin.
        selected: [N] the only surfels that may move, all when None.
        reach: how far from the moved handles the change may go, scene units; None for all of the subject.
        max_vertices: of the proxy mesh.

    Raises:
        InputError: nothing to deform, or handles that make no sense.
    """
    return Deformer(field, max_vertices=max_vertices, selected=selected).deform(handles, reach=reach)


def bind(mesh: Mesh, points: Float[np.ndarray, "n 3"]) -> Binding:
    """Where points [N, 3] sit on a mesh: at the nearest place of the nearest triangle."""
    import igl
    from scipy.sparse import csr_array

    _, face, nearest = igl.point_mesh_squared_distance(points, mesh.vertices, mesh.faces)
    corners = mesh.faces[face]
    a, b, c = (np.ascontiguousarray(mesh.vertices[corners[:, i]]) for i in range(3))
    barycentric = np.clip(igl.barycentric_coordinates(np.ascontiguousarray(nearest), a, b, c), 0, 1)
    barycentric /= barycentric.sum(1, keepdims=True)
    offsets = points - (mesh.vertices[corners] * barycentric[..., None]).sum(1)
    starts = 3 * np.arange(len(points) + 1)
    weights = csr_array((barycentric.ravel(), corners.ravel(), starts), shape=(len(points), len(mesh.vertices)))
    return Binding(corners, barycentric, offsets, weights)


def _vertices_of_others(mesh: Mesh, binding: Binding, selected: Bool[Tensor, " n"] | None) -> Bool[np.ndarray, "v"]:
    """Vertices whose surfels are mostly not selected."""
    if selected is None:
        return np.zeros(len(mesh.vertices), bool)
    chosen = selected.cpu().numpy()
    if not chosen.any():
        raise InputError("selected", expected="at least one surfel", got="none", fix="select what may move")
    votes = np.zeros((2, len(mesh.vertices)))
    for corner in range(3):
        for side, rows in enumerate((~chosen, chosen)):
            np.add.at(votes[side], binding.corners[rows, corner], binding.barycentric[rows, corner])
    return votes[1] <= votes[0]


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
