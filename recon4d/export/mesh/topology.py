"""How the triangles of a mesh hang together: edges, pieces, borders, and what makes it a clean surface.

Faces [F, 3] are wound counter-clockwise seen from outside.  Does NOT mend anything; see `repair`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from recon4d.synthetic.surface import directed_edges


@dataclass(frozen=True, eq=False)
class TriMesh:
    """Vertices [V, 3] in scene units, float64, and faces [F, 3] wound counter-clockwise seen from outside."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]

    @property
    def diagonal(self) -> float:
        """Length of the diagonal of the bounding box."""
        return float(np.linalg.norm(np.ptp(self.vertices, axis=0)))


@dataclass(frozen=True)
class Soundness:
    """What a mesh is like as a surface.

    Attributes:
        pieces: connected pieces (by shared edges).
        borders: edges with a face on one side only.
        tangled: edges of more than two faces, or of two faces that are wound against each other.
    """

    pieces: int
    borders: int
    tangled: int

    @property
    def manifold(self) -> bool:
        """Whether every edge has one face or two that are wound alike."""
        return self.tangled == 0

    @property
    def watertight(self) -> bool:
        """Whether the surface is closed and wound consistently."""
        return self.tangled == 0 and self.borders == 0


def soundness(faces: Int[np.ndarray, "f 3"]) -> Soundness:
    """What kind of surface the faces make."""
    if len(faces) == 0:
        return Soundness(0, 0, 0)
    forward, backward = edge_keys(faces)
    _, count = np.unique(forward, return_counts=True)
    _, total = np.unique(np.minimum(forward, backward), return_counts=True)
    doubled = int((count > 1).sum())
    borders = int((total == 1).sum())
    # An edge of two faces is sound when they use it in opposite directions, so that no direction is used twice.
    tangled = max(doubled, int((total > 2).sum()))
    return Soundness(int(piece_of_faces(faces).max()) + 1, borders, tangled)


def edge_keys(faces: Int[np.ndarray, "f 3"]) -> tuple[Int[np.ndarray, " e"], Int[np.ndarray, " e"]]:
    """One number for each directed edge (three for each face, in its order), and that of the opposite direction."""
    first, second = directed_edges(np.asarray(faces, np.int64))
    size = int(faces.max(initial=0)) + 1
    return first * size + second, second * size + first


def piece_of_faces(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, " f"]:
    """[F] number of the connected piece of each face; faces are connected by shared edges, not by single vertices."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    forward, backward = edge_keys(faces)
    key = np.minimum(forward, backward)
    order = np.argsort(key, kind="stable")
    same = key[order][1:] == key[order][:-1]
    one, other = order[:-1][same] // 3, order[1:][same] // 3
    graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(len(faces), len(faces)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def border_loops(faces: Int[np.ndarray, "f 3"]) -> list[Int[np.ndarray, " n"]]:
    """Closed loops of border vertices, each in the direction in which new faces would run along it.

    Where several borders meet at one vertex the loops through it are not told apart and are left out.
    """
    forward, backward = edge_keys(faces)
    size = int(faces.max(initial=0)) + 1
    open_edges = forward[~np.isin(forward, backward)]
    # A face to be added runs against the face that is there.
    start, end = open_edges % size, open_edges // size
    following = dict(zip(start.tolist(), end.tolist(), strict=True))
    crowded = {int(v) for v, n in zip(*np.unique(start, return_counts=True), strict=True) if n > 1}
    loops = []
    while following:
        first, at = next(iter(following.items()))
        del following[first]
        loop = [first]
        while at != first and at in following:
            loop.append(at)
            at = following.pop(at)
        if at == first and len(loop) >= 3 and not crowded & set(loop):
            loops.append(np.array(loop, np.int64))
    return loops


def compacted(mesh: TriMesh, faces: Int[np.ndarray, "f 3"]) -> TriMesh:
    """The mesh of some of its faces, without the vertices that are out of use."""
    used, renumbered = np.unique(faces, return_inverse=True)
    return TriMesh(mesh.vertices[used], renumbered.reshape(-1, 3).astype(np.int64))
