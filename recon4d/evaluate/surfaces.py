"""Surfaces as the geometry metrics see them: samples spread by area, and distances to what was sampled.

Two kinds: triangle meshes (`mesh_surface`) and the discs of Gaussian surfels (`disc_surface`).  A distance is measured
to the triangle or disc itself, not to the nearest sample, so the score of a good reconstruction does not end at the
spacing of the samples.  Which triangle or disc is nearest is looked for among the owners of the `CANDIDATES` nearest
anchors, points laid out evenly over the surface: a distance can come out slightly too large where a surface folds
tighter than the anchors lie or slivers crowd them, never too small.

Same seed and same surface give the same samples.  Nothing here knows files, scenes or time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.spatial import cKDTree

from recon4d.core import InputError
from recon4d.evaluate.checks import as_points

CANDIDATES = 16
_ANCHORS = 20_000  # about how many anchors a mesh gets beyond one for each triangle
_MAX_SPLIT = 64  # a triangle's edges are cut into at most this many parts for anchors


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles: `vertices` [V, 3] floating point, `faces` [F, 3] indices into them; checked when made."""

    vertices: Shaped[np.ndarray, "..."]
    faces: Shaped[np.ndarray, "..."]

    def __post_init__(self) -> None:
        object.__setattr__(self, "vertices", as_points(self.vertices, "vertices", least=3))
        faces = self.faces
        shaped = isinstance(faces, np.ndarray) and faces.ndim == 2 and faces.shape[1] == 3 and len(faces) > 0
        if (
            not shaped
            or not np.issubdtype(faces.dtype, np.integer)
            or faces.min() < 0
            or faces.max() >= len(self.vertices)
        ):
            raise InputError(
                "faces",
                expected=f"integers [F, 3] with F >= 1, each from 0 to {len(self.vertices) - 1}",
                got=f"{faces.dtype} {list(faces.shape)}, or indices out of range"
                if isinstance(faces, np.ndarray)
                else "none",
                fix="triangulate the mesh and check its indices",
            )
        object.__setattr__(self, "faces", faces.astype(np.int64))

    @property
    def diagonal(self) -> float:
        """Length of the diagonal of the axis-aligned bounding box of the vertices in use."""
        used = self.vertices[np.unique(self.faces)]
        return float(np.linalg.norm(used.max(0) - used.min(0)))


class _Primitives(ABC):
    """Triangles or discs, with their unit normals [P, 3] (zeros where a triangle has no area)."""

    normals: Float[np.ndarray, "p 3"]

    @abstractmethod
    def distance(self, points: Float[np.ndarray, "q 3"], which: Int[np.ndarray, "q"]) -> Float[np.ndarray, "q"]:
        """Distance from each point to the primitive `which` names."""


@dataclass(frozen=True, eq=False)
class Surface:
    """A surface with S samples spread over it by area (or by weight).

    Attributes:
        points: [S, 3] samples.
        normals: [S, 3] unit normals there, of either sign.
        primitives: the triangles or discs.
    """

    points: Float[np.ndarray, "s 3"]
    normals: Float[np.ndarray, "s 3"]
    primitives: _Primitives
    _anchors: Float[np.ndarray, "a 3"]
    _owners: Int[np.ndarray, "a"]
    _tree: cKDTree = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tree", cKDTree(self._anchors))

    def nearest(self, queries: Float[np.ndarray, "q 3"]) -> tuple[Float[np.ndarray, "q"], Float[np.ndarray, "q 3"]]:
        """Distance [Q] from each query to this surface, and the unit normal [Q, 3] of what was met there."""
        count = min(CANDIDATES, len(self._anchors))
        _, found = self._tree.query(queries, k=np.arange(1, count + 1))
        owners = self._owners[found]
        distances = self.primitives.distance(np.repeat(queries, count, axis=0), owners.ravel()).reshape(owners.shape)
        best = distances.argmin(1)
        rows = np.arange(len(queries))
        return distances[rows, best], self.primitives.normals[owners[rows, best]]


def mesh_surface(mesh: Mesh, samples: int, seed: int) -> Surface:
    """`samples` points spread over the mesh by area, with the normals of their faces.

    Raises:
        InputError: when no triangle has an area.
    """
    rng = np.random.default_rng(seed)
    owners, weights = sample_mesh(mesh, samples, rng)
    corners = mesh.vertices[mesh.faces]
    points = np.einsum("sk,skd->sd", weights, corners[owners])
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), np.finfo(float).tiny)
    anchors, anchor_owners = _triangle_anchors(corners, 0.5 * np.linalg.norm(cross, axis=1))
    return Surface(points, normals[owners], _Triangles(corners, normals), anchors, anchor_owners)


def _triangle_anchors(
    corners: Float[np.ndarray, "p 3 3"], area: Float[np.ndarray, "p"]
) -> tuple[Float[np.ndarray, "a 3"], Int[np.ndarray, "a"]]:
    """Middles of equal parts of each triangle that has an area, cut so that all parts are of about equal size."""
    spacing = np.sqrt(2 * area.sum() / _ANCHORS)
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(1)
    splits = np.clip(np.ceil(longest / spacing), 1, _MAX_SPLIT).astype(int)
    anchors, owners = [], []
    for count in np.unique(splits[area > 0]):
        which = np.flatnonzero((splits == count) & (area > 0))
        i, j = np.meshgrid(np.arange(count), np.arange(count), indexing="ij")
        upright = np.stack([i, j], -1)[i + j < count] + 1 / 3
        inverted = np.stack([i, j], -1)[i + j < count - 1] + 2 / 3
        two = np.concatenate([upright, inverted]) / count
        weights = np.concatenate([1 - two.sum(1, keepdims=True), two], axis=1)
        anchors.append(np.einsum("ak,pkd->pad", weights, corners[which]).reshape(-1, 3))
        owners.append(np.repeat(which, len(weights)))
    return np.concatenate(anchors), np.concatenate(owners)


def sample_mesh(
    mesh: Mesh, samples: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, "s"], Float[np.ndarray, "s 3"]]:
    """Faces [S] drawn by area and uniform barycentric weights [S, 3]: they hold for any pose of the same mesh."""
    if samples < 1:
        raise InputError("samples", expected="at least 1", got=str(samples), fix="10000 is a common choice")
    corners = mesh.vertices[mesh.faces]
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    if not area.sum() > 0:
        raise InputError("mesh", expected="triangles with an area", got="a total area of 0", fix="check the mesh")
    faces = rng.choice(len(area), size=samples, p=area / area.sum())
    root, v = np.sqrt(rng.random(samples)), rng.random(samples)
    return faces, np.stack([1 - root, root * (1 - v), root * v], -1)


def disc_surface(
    centers: Shaped[np.ndarray, "..."],
    tangents: Float[np.ndarray, "n 2 3"],
    radii: Float[np.ndarray, "n 2"],
    weights: Float[np.ndarray, "n"],
    samples: int,
    seed: int,
) -> Surface:
    """Points spread over elliptical discs: disc i is drawn in proportion to `weights[i]` times its area.

    For surfels: `radii` are their standard deviations (one sigma) and `weights` their opacities, so that what can
    hardly be seen hardly counts.

    Args:
        centers: [N, 3].
        tangents: [N, 2, 3] orthonormal axes of each disc.
        radii: [N, 2] half axes along them.
        weights: [N] >= 0.
        samples: how many points to draw.
        seed: of the drawing.

    Raises:
        InputError: when there is no disc, or weights times areas sum to 0.
    """
    middle = as_points(centers, "centers")
    mass = weights * radii[:, 0] * radii[:, 1]
    if not np.isfinite(mass).all() or not mass.sum() > 0:
        raise InputError(
            "surfels", expected="some opacity and size", got="a total weight of 0, or NaN", fix="check the scene"
        )
    rng = np.random.default_rng(seed)
    owners = rng.choice(len(mass), size=samples, p=mass / mass.sum())
    radius, angle = np.sqrt(rng.random(samples)), 2 * np.pi * rng.random(samples)
    local = radii[owners] * (radius * np.stack([np.cos(angle), np.sin(angle)])).T
    points = middle[owners] + np.einsum("sk,skd->sd", local, tangents[owners])
    normals = np.cross(tangents[:, 0], tangents[:, 1])
    kept = np.flatnonzero(mass > 0.01 * mass.mean())  # anchors; a disc that is never seen attracts no distance
    anchors, anchor_owners = np.concatenate([points, middle[kept]]), np.concatenate([owners, kept])
    return Surface(points, normals[owners], _Discs(middle, tangents, radii, normals), anchors, anchor_owners)


@dataclass(frozen=True, eq=False)
class _Triangles(_Primitives):
    corners: Float[np.ndarray, "p 3 3"]
    normals: Float[np.ndarray, "p 3"]

    def distance(self, points: Float[np.ndarray, "q 3"], which: Int[np.ndarray, "q"]) -> Float[np.ndarray, "q"]:
        a, b, c = np.moveaxis(self.corners[which], 1, 0)
        result = np.minimum(np.minimum(_to_segment(points, a, b), _to_segment(points, b, c)), _to_segment(points, c, a))
        n = self.normals[which]
        inside = np.any(n != 0, axis=1)
        for start, end in ((a, b), (b, c), (c, a)):
            inside &= _dot(np.cross(end - start, points - start), n) >= 0
        return np.where(inside, np.abs(_dot(points - a, n)), result)


@dataclass(frozen=True, eq=False)
class _Discs(_Primitives):
    centers: Float[np.ndarray, "p 3"]
    tangents: Float[np.ndarray, "p 2 3"]
    radii: Float[np.ndarray, "p 2"]
    normals: Float[np.ndarray, "p 3"]

    def distance(self, points: Float[np.ndarray, "q 3"], which: Int[np.ndarray, "q"]) -> Float[np.ndarray, "q"]:
        offset = points - self.centers[which]
        local = np.einsum("qkd,qd->qk", self.tangents[which], offset)
        height = _dot(offset, self.normals[which])
        reach = np.hypot(*(local / np.maximum(self.radii[which], np.finfo(float).tiny)).T)
        # Outside the rim: the rim's point on the same ray, which is exact for a circle and an upper bound for an
        # ellipse.
        beyond = np.linalg.norm(local, axis=1) * (1 - 1 / np.maximum(reach, 1))
        return np.hypot(height, beyond)


def _to_segment(
    points: Float[np.ndarray, "q 3"], start: Float[np.ndarray, "q 3"], end: Float[np.ndarray, "q 3"]
) -> Float[np.ndarray, "q"]:
    along = end - start
    share = np.clip(_dot(points - start, along) / np.maximum(_dot(along, along), np.finfo(float).tiny), 0, 1)
    return np.linalg.norm(points - start - share[:, None] * along, axis=1)


def _dot(first: Float[np.ndarray, "q 3"], second: Float[np.ndarray, "q 3"]) -> Float[np.ndarray, "q"]:
    return np.einsum("qd,qd->q", first, second)
