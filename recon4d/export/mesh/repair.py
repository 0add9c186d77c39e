"""Mending a mesh: floaters, tangles, holes and roughness.

Does NOT simplify.  Every function returns a new mesh.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from recon4d.export.mesh.topology import TriMesh, border_loops, compacted, edge_keys, piece_of_faces, soundness
from recon4d.synthetic.surface import directed_edges, face_cross

_ROUNDS = 8
_SMALL_HOLE = 12  # border edges; holes that mending has made are not larger
_TAUBIN = (0.5, -0.53)  # Taubin 1995: a step that shrinks, then one that grows


def without_floaters(mesh: TriMesh, share: float, *, closed: bool) -> TriMesh:
    """The pieces whose area is at least `share` of the largest one's.

    Args:
        mesh: any mesh.
        share: in (0, 1].
        closed: pieces are solids: those turned inside out are walls of hollow spaces, which nobody sees, and go.
    """
    if len(mesh.faces) == 0:
        return mesh
    piece = piece_of_faces(mesh.faces)
    cross = face_cross(mesh.vertices, mesh.faces)
    area = np.bincount(piece, np.linalg.norm(cross, axis=-1))
    if closed:
        corner = mesh.vertices[mesh.faces[:, 0]] - mesh.vertices.mean(0)
        volume = np.bincount(piece, (corner * cross).sum(-1))
        area = np.where(volume > 0, area, 0)
    kept = area >= share * area.max()
    return compacted(mesh, mesh.faces[kept[piece] & (area[piece] > 0)])


def untangled(mesh: TriMesh, *, fill: bool) -> TriMesh:
    """A manifold with consistent winding: faces at tangled edges go, and vertices that pinch the surface are split.

    Args:
        mesh: any mesh.
        fill: close the small holes that this leaves.

    Returns:
        a mesh whose `soundness` is manifold.
    """
    faces = _proper(mesh.faces)
    vertices = mesh.vertices
    for _ in range(_ROUNDS):
        forward, backward = edge_keys(faces)
        twice = forward[_repeated(forward)]
        undirected = np.minimum(forward, backward)
        wrong = _is_crowded(undirected) | np.isin(forward, twice)
        faces = faces[~wrong.reshape(-1, 3).any(1)]
        vertices, faces = _split(vertices, faces)
        if fill:
            vertices, faces = _filled(vertices, faces, _SMALL_HOLE)
        if soundness(faces).manifold:
            break
    else:
        if fill:  # filling keeps making tangles: leave the holes
            return untangled(TriMesh(vertices, faces), fill=False)
    return compacted(TriMesh(vertices, faces), faces)


def with_holes_filled(mesh: TriMesh, longest: int = 1 << 30) -> TriMesh:
    """Closes holes of up to so many border edges, each by rings of faces that shrink to its middle."""
    vertices, faces = _split(mesh.vertices, mesh.faces)
    vertices, faces = _filled(vertices, faces, longest)
    return untangled(TriMesh(vertices, faces), fill=False)


def smoothed(mesh: TriMesh, rounds: int) -> TriMesh:
    """Rough noise evened out without shrinking (Taubin 1995); borders stay where they are."""
    from scipy.sparse import csr_array

    if len(mesh.faces) == 0:
        return mesh
    first, second = directed_edges(mesh.faces)
    size = len(mesh.vertices)
    neighbours = csr_array((np.ones(2 * len(first)), (np.r_[first, second], np.r_[second, first])), shape=(size, size))
    neighbours.sum_duplicates()
    neighbours.data[:] = 1
    degree = np.maximum(neighbours.sum(1), 1)
    forward, backward = edge_keys(mesh.faces)
    border = ~np.isin(forward, backward)
    moving = np.ones((size, 1))
    moving[first[border]] = moving[second[border]] = 0
    vertices = mesh.vertices.copy()
    for _ in range(rounds):
        for step in _TAUBIN:
            vertices += step * moving * (neighbours @ vertices / degree[:, None] - vertices)
    return TriMesh(vertices, mesh.faces)


def _proper(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "g 3"]:
    """Faces of three different vertices, each set of vertices once."""
    different = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    faces = faces[different]
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    return faces[np.sort(first)]


def _repeated(keys: Int[np.ndarray, " e"]) -> np.ndarray:
    _, inverse, count = np.unique(keys, return_inverse=True, return_counts=True)
    return count[inverse] > 1


def _is_crowded(keys: Int[np.ndarray, " e"]) -> np.ndarray:
    _, inverse, count = np.unique(keys, return_inverse=True, return_counts=True)
    return count[inverse] > 2


def _split(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Float[np.ndarray, "w 3"], Int[np.ndarray, "f 3"]]:
    """One vertex for each fan of faces around it, so that no two fans touch in a point only."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if len(faces) == 0:
        return vertices, faces
    forward, backward = edge_keys(faces)
    order = np.argsort(forward)
    place = np.minimum(np.searchsorted(forward, backward, sorter=order), len(forward) - 1)
    other = order[place]
    shared = np.flatnonzero(forward[other] == backward)
    other = other[shared]
    # Edge e runs from corner e to the next corner of its face; its opposite runs the other way.
    one_end, other_end = _next(shared), _next(other)
    rows, columns = np.r_[shared, one_end], np.r_[other_end, other]
    corners = faces.size
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(corners, corners))
    count, fan = connected_components(graph, directed=False)
    where = np.zeros(count, np.int64)
    where[fan] = faces.reshape(-1)
    return vertices[where], fan.reshape(-1, 3).astype(np.int64)


def _next(corner: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    return corner - corner % 3 + (corner + 1) % 3


def _filled(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], longest: int
) -> tuple[Float[np.ndarray, "w 3"], Int[np.ndarray, "g 3"]]:
    added_vertices, added_faces = [vertices], [faces]
    count = len(vertices)
    for loop in border_loops(faces):
        if len(loop) > longest:
            continue
        if len(loop) == 3:
            added_faces.append(loop[None])
            continue
        points = vertices[loop]
        middle = points.mean(0)
        rings = max(1, round(len(loop) / (2 * np.pi)))
        outer = loop
        for ring in range(1, rings):
            inner = count + np.arange(len(loop))
            added_vertices.append(points + (middle - points) * (ring / rings))
            count += len(loop)
            added_faces += [
                np.stack([outer, np.roll(outer, -1), inner], -1),
                np.stack([np.roll(outer, -1), np.roll(inner, -1), inner], -1),
            ]
            outer = inner
        added_vertices.append(middle[None])
        added_faces.append(np.stack([outer, np.roll(outer, -1), np.full(len(loop), count)], -1))
        count += 1
    return np.concatenate(added_vertices), np.concatenate(added_faces)
