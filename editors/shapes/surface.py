"""The surface that surfels lie on: neighbours along it, and a light closed mesh around it.

Works on canonical surfels as numpy arrays; knows no time, no edits and no files.  The mesh is a proxy to compute on,
not one to show: it is coarse, and thin parts are as thick as a cell of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from recon4d.core import InputError, Surfels, quaternion

_FINEST = 80  # cells along the longest side of the grid
_COARSEST = 12
_FINER_THAN_SURFELS = 1.3  # a cell is at least this many typical gaps between surfels wide, so that no holes show
_OPAQUE = 0.1
_SMALLEST_PART = 0.02  # parts with less than this share of the largest part's vertices are taken for floaters


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles.

    Attributes:
        vertices: [V, 3] scene units.
        faces: [F, 3] counter-clockwise seen from outside.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]

    def edges(self) -> Int[np.ndarray, "e 2"]:
        """Every edge once in each direction."""
        ends = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        return np.unique(np.concatenate([ends, ends[:, ::-1]]), axis=0)

    def parts(self) -> Int[np.ndarray, "v"]:
        """[V] number of the connected part of each vertex."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        edges, size = self.edges(), len(self.vertices)
        graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(size, size))
        return connected_components(graph, directed=False)[1].astype(np.int64)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """A graph along the surface: pairs of surfels that touch, each pair in both directions, sorted.

    Attributes:
        first, second: [E] rows of surfels.
        lengths: [E] distances, scene units.
        count: number of surfels N.
    """

    first: Int[np.ndarray, "e"]
    second: Int[np.ndarray, "e"]
    lengths: Float[np.ndarray, "e"]
    count: int

    def average(self, values: Float[np.ndarray, "n c"], rounds: int) -> Float[np.ndarray, "n c"]:
        """Values after rounds of moving half way to the mean of the neighbours; surfels without any keep theirs."""
        from scipy.sparse import csr_array

        degree = np.bincount(self.first, minlength=self.count)
        mean = csr_array((1.0 / degree[self.first], (self.first, self.second)), shape=(self.count, self.count))
        lonely = (degree == 0)[:, None]
        for _ in range(rounds):
            values = np.where(lonely, values, 0.5 * values + 0.5 * (mean @ values))
        return values

    def reached(self, start: Bool[np.ndarray, "n"], distance: float) -> Float[np.ndarray, "n"]:
        """[N] length of the shortest way along the graph from `start`; infinite beyond `distance`."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import dijkstra

        rows = np.flatnonzero(start)
        if not len(rows):
            return np.full(self.count, np.inf)
        # A length of zero would be no edge to scipy.
        lengths = np.maximum(self.lengths, 1e-12)
        graph = csr_array((lengths, (self.first, self.second)), shape=(self.count, self.count))
        return dijkstra(graph, indices=rows, min_only=True, limit=distance)


def normals_of(surfels: Surfels) -> Float[np.ndarray, "n 3"]:
    """Unit normals [N, 3] of surfels without batch axes."""
    return quaternion.to_matrix(surfels.rotations_wxyz)[..., 2].detach().double().cpu().numpy()


def neighbour_graph(
    centers: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"] | None = None,
    *,
    nearest: int = 8,
    least_agreement: float = 0.3,
    largest_gap: float = 4.0,
) -> Neighbours:
    """The nearest surfels of each, without those of another sheet of the surface.

    Args:
        centers: [N, 3] places.
        normals: [N, 3] unit normals; where two disagree they are no neighbours.  None: places alone decide.
        nearest: how many neighbours are looked at.
        least_agreement: smallest cosine between normals, either way round because fitted normals may point inwards.
        largest_gap: neighbours farther than this many times the median gap do not touch.
    """
    from scipy.spatial import cKDTree

    count = len(centers)
    k = min(nearest + 1, count)
    if k < 2:
        nothing = np.zeros(0, np.int64)
        return Neighbours(nothing, nothing, np.zeros(0), count)
    distance, index = cKDTree(centers).query(centers, k=k)
    first, second = np.repeat(np.arange(count), k), index.reshape(-1).astype(np.int64)
    apart = distance.reshape(-1)
    keep = (first != second) & (apart <= largest_gap * max(float(np.median(distance[:, 1])), 1e-12))
    if normals is not None:
        keep &= np.abs((normals[first] * normals[second]).sum(-1)) >= least_agreement
    pairs = np.stack([np.minimum(first, second)[keep], np.maximum(first, second)[keep]], -1)
    pairs = np.unique(pairs, axis=0)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    lengths = np.linalg.norm(centers[both[:, 0]] - centers[both[:, 1]], axis=-1)
    return Neighbours(both[:, 0], both[:, 1], lengths, count)


def proxy_mesh(surfels: Surfels, *, max_vertices: int = 5000) -> Mesh:
    """A closed mesh of at most `max_vertices` vertices around surfels in their canonical state.

    Cells of a grid that hold surfels, and those they enclose, are made into a smooth solid; its surface is found by
    marching cubes (Lorensen and Cline 1987) and simplified by quadric errors (Garland and Heckbert 1997).

    Args:
        surfels: at least one that is not transparent, without batch axes.
        max_vertices: at least 100.

    Raises:
        InputError: no surfels to mesh, or too few vertices allowed.
    """
    if max_vertices < 100:
        raise InputError("max_vertices", expected=">= 100", got=str(max_vertices), fix="5000 is a good number")
    opaque = (surfels.opacities >= _OPAQUE).cpu().numpy()
    points = surfels.centers.detach().double().cpu().numpy()[opaque]
    if not len(points):
        raise InputError("surfels", expected="some that are not transparent", got="none", fix="select more of them")
    low, cell = _grid(points)
    solid, origin = _solid(points, low, cell)
    mesh = _simplified(_surface(solid, origin, cell), max_vertices)
    return _without_floaters(mesh)


def _grid(points: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "3"], float]:
    """Corner and cell size of the grid: as fine as the surfels allow, a few far ones left out of account."""
    from scipy.spatial import cKDTree

    low, high = np.quantile(points, 0.002, axis=0), np.quantile(points, 0.998, axis=0)
    longest = max(float((high - low).max()), 1e-9)
    some = points[:: max(1, len(points) // 4000)]
    gap = float(np.quantile(cKDTree(points).query(some, k=2)[0][:, 1], 0.9)) if len(points) > 1 else longest
    cell = float(np.clip(_FINER_THAN_SURFELS * gap, longest / _FINEST, longest / _COARSEST))
    return low - cell, cell


def _solid(
    points: Float[np.ndarray, "n 3"], low: Float[np.ndarray, "3"], cell: float
) -> tuple[Float[np.ndarray, "x y z"], Float[np.ndarray, "3"]]:
    """Smooth occupancy in [0, 1] on grid nodes, and the place of the first node."""
    from scipy.ndimage import binary_closing, binary_fill_holes, gaussian_filter

    margin = 4
    place = np.floor((points - low) / cell).astype(np.int64)
    size = np.quantile(place, 0.998, axis=0, method="higher").astype(np.int64) + 2
    inside = ((place >= 0) & (place < size)).all(1)
    occupied = np.zeros(tuple(size + 2 * margin), bool)
    occupied[tuple((place[inside] + margin).T)] = True
    closed = binary_fill_holes(binary_closing(occupied, np.ones((3, 3, 3), bool)))
    return gaussian_filter(closed.astype(np.float32), 0.7), low + (0.5 - margin) * cell


def _surface(solid: Float[np.ndarray, "x y z"], origin: Float[np.ndarray, "3"], cell: float) -> Mesh:
    from skimage.measure import marching_cubes

    vertices, faces, _, _ = marching_cubes(solid, min(0.4, 0.5 * float(solid.max())), spacing=(cell,) * 3)
    mesh = Mesh(vertices.astype(np.float64) + origin, faces.astype(np.int64))
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    if float((a * np.cross(b, c)).sum()) < 0:
        return Mesh(mesh.vertices, np.ascontiguousarray(mesh.faces[:, ::-1]))
    return mesh


def _simplified(mesh: Mesh, max_vertices: int) -> Mesh:
    import igl

    vertices, faces = np.asfortranarray(mesh.vertices), np.asfortranarray(mesh.faces.astype(np.int32))
    # A closed surface has about twice as many faces as vertices, but never exactly: ask for fewer until it is enough.
    target = 2 * max_vertices
    while len(vertices) > max_vertices:
        vertices, faces = igl.qslim(vertices, np.asfortranarray(faces.astype(np.int32)), target)[:2]
        target = int(0.95 * target)
    return _clean(np.ascontiguousarray(vertices), np.ascontiguousarray(faces).astype(np.int64))


def _clean(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Mesh:
    """Without triangles of no area, and without vertices that no triangle uses."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=-1)
    faces = faces[area > 1e-9 * max(float(area.max(initial=0.0)), 1e-300)]
    used, inverse = np.unique(faces, return_inverse=True)
    return Mesh(vertices[used], inverse.reshape(-1, 3).astype(np.int64))


def _without_floaters(mesh: Mesh) -> Mesh:
    part = mesh.parts()
    size = np.bincount(part)
    large = (size >= _SMALLEST_PART * size.max())[part]
    return _clean(mesh.vertices, mesh.faces[large[mesh.faces].all(1)])
