"""Deforms a field by handles, as rigidly as possible, and carries the change through time by the unchanged skinning.

The deformation is found on a proxy mesh around the canonical surfels and carried to them by their places on its
triangles.  What does not depend on where the handles go is kept, so that dragging one is quick.  The result depends on
the handles alone, never on where they were before.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from recon4d.core import InputError, Similarity
from recon4d.editors.shapes.arap import ArapSurface
from recon4d.editors.shapes.carrying import carry
from recon4d.editors.shapes.placing import similarity
from recon4d.editors.shapes.surface import Mesh, proxy_mesh
from recon4d.field import Field

_KEPT = 2  # bound proxies of one shape


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


_Bound = tuple[ArapSurface, Binding, np.ndarray]


class Deformer:
    """A field with its proxy mesh, ready for handles.

    Attributes:
        field, selected: as they were given.
        surface: the proxy, ready to be deformed.
        mesh: the proxy's triangles at rest.
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
        self.selected = selected
        bound = _bound(field, max_vertices, selected)
        self.surface, self.binding, self._frozen = bound
        self.mesh: Mesh = self.surface.mesh

    def held(self, handle: Handle) -> Int[np.ndarray, "k"]:
        """Vertices of the proxy in a handle's ball; the nearest one where there is none."""
        away = np.linalg.norm(self.mesh.vertices - np.asarray(handle.center), axis=-1)
        inside = np.flatnonzero(away <= handle.radius)
        return inside if len(inside) else np.array([int(away.argmin())])

    def vertices(self, handles: Sequence[Handle], *, reach: float | int | None = None) -> Float[np.ndarray, "v 3"]:
        """Places of the proxy's vertices [V, 3] for handles; see `deform`."""
        if not handles:
            return self.mesh.vertices.copy()
        return self.surface.solve(*self._constraints(handles, reach))

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
        if self.selected is not None:
            moves &= self.selected.cpu()
        rows = moves.nonzero()[:, 0].numpy()
        blend = np.concatenate([self.surface.jacobians(new).reshape(-1, 9), new - old], 1)
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
        touched = np.unique(self.surface.parts[np.concatenate([self.held(handle) for handle in handles])])
        stays = ~near | ~np.isin(self.surface.parts, touched)
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
    """The field deformed by handles, as rigidly as possible; see `Deformer`.

    The proxy of a shape is kept as long as its array of centres lives, so that moving a handle again is quick.

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


# For each array of centres: proxies by their options.  Only for speed: what is in it never changes a result.
_proxies: MutableMapping[Tensor, dict[tuple[object, ...], _Bound]] = WeakTensorKeyDictionary()


def _bound(field: Field, max_vertices: int, selected: Bool[Tensor, " n"] | None) -> _Bound:
    """Proxy, binding, and the vertices that must not move."""
    surfels = field.canonical
    digest = hashlib.sha256(surfels.opacities.detach().cpu().numpy().tobytes())
    digest.update(b"" if selected is None else selected.cpu().numpy().tobytes())
    key = (max_vertices, selected is None, digest.digest())
    kept = _proxies.setdefault(surfels.centers, {})
    if key not in kept:
        surface = ArapSurface(proxy_mesh(surfels, max_vertices=max_vertices))
        binding = bind(surface.mesh, surfels.centers.detach().double().cpu().numpy())
        found = (surface, binding, _vertices_of_others(surface.mesh, binding, selected))
        for old in list(kept)[: max(0, len(kept) + 1 - _KEPT)]:
            del kept[old]
        kept[key] = found
    return kept[key]


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
