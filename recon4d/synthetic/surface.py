"""From an implicit shape to a good triangle mesh, and small operations on triangle meshes.

Knows nothing of creatures, time or colours.  Meshes are vertices [V, 3] and faces [F, 3], wound counter-clockwise seen
from outside.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from recon4d.core import InputError
from recon4d.synthetic.shapes import Shape


def mesh_shape(
    shape: Shape, low: tuple[float, float, float], high: tuple[float, float, float], spacing: float, rounds: int = 12
) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """Closed mesh of the zero level of `shape` inside the box `low`..`high`.

    Marching cubes (Lorensen and Cline 1987) on a grid of the given spacing, then `rounds` of moving each vertex towards
    its neighbours' mean along the surface and back on to the level set, which evens out the slivers that marching cubes
    leaves.

    Raises:
        InputError: when the surface touches the box, which would leave a hole.
    """
    from skimage.measure import marching_cubes

    axes = [np.arange(a, b + spacing, spacing) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    values = _evaluate_near_surface(shape, grid, spacing)
    shell = np.ones(values.shape, bool)
    shell[1:-1, 1:-1, 1:-1] = False
    if bool((values[shell] <= 0).any()):
        raise InputError(
            "mesh_shape", expected="a surface inside the box", got="a surface that touches it", fix="widen the box"
        )
    vertices, faces, _, _ = marching_cubes(values, 0.0, spacing=(spacing,) * 3, gradient_direction="ascent")
    vertices = vertices.astype(np.float64) + np.asarray(low)
    faces = faces.astype(np.int64)
    if signed_volume(vertices, faces) < 0:
        faces = faces[:, ::-1]
    first, second = directed_edges(faces)
    count = np.bincount(first, minlength=len(vertices))[:, None]
    for _ in range(rounds):
        mean = _scatter_add(first, vertices[second], len(vertices)) / count
        normal = vertex_normals(vertices, faces)
        step = mean - vertices
        step -= (step * normal).sum(-1, keepdims=True) * normal
        vertices = vertices + 0.6 * step
        # Near the surface the value is about the distance, so this falls back on to the level set.
        vertices -= np.clip(shape(vertices), -0.3 * spacing, 0.3 * spacing)[:, None] * normal
    return _project(shape, vertices, spacing), np.ascontiguousarray(faces)


def _evaluate_near_surface(shape: Shape, grid: Float[np.ndarray, "x y z 3"], spacing: float) -> np.ndarray:
    """The shape on the grid; exact near the surface, a coarse value where a coarse look finds none near."""
    stride = 4
    coarse = shape(grid[::stride, ::stride, ::stride].reshape(-1, 3)).reshape([-(-n // stride) for n in grid.shape[:3]])
    # Nearest coarse value for every fine cell: at most stride cells away along each axis.
    index = np.ix_(*[np.minimum((np.arange(n) + stride // 2) // stride, -(-n // stride) - 1) for n in grid.shape[:3]])
    values = coarse[index].astype(np.float64)
    near = np.abs(values) < 1.6 * stride * spacing
    values[near] = shape(grid[near])
    return values


def _project(shape: Shape, vertices: Float[np.ndarray, "v 3"], spacing: float) -> Float[np.ndarray, "v 3"]:
    """One damped Newton step on to the zero level."""
    h = 0.2 * spacing
    value = shape(vertices)
    gradient = np.stack([(shape(vertices + h * e) - shape(vertices - h * e)) / (2 * h) for e in np.eye(3)], -1)
    step = value[:, None] * gradient / np.maximum((gradient**2).sum(-1, keepdims=True), 0.05)
    length = np.linalg.norm(step, axis=-1, keepdims=True)
    return vertices - step * np.minimum(1.0, 0.5 * spacing / np.maximum(length, 1e-12))


def _scatter_add(index: Int[np.ndarray, "n"], rows: Float[np.ndarray, "n c"], size: int) -> Float[np.ndarray, "m c"]:
    return np.stack([np.bincount(index, rows[:, c], minlength=size) for c in range(rows.shape[1])], -1)


def directed_edges(faces: Int[np.ndarray, "f 3"]) -> tuple[Int[np.ndarray, "e"], Int[np.ndarray, "e"]]:
    """Start and end vertex of the three directed edges of each face."""
    return faces.reshape(-1), faces[:, [1, 2, 0]].reshape(-1)


def face_cross(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Float[np.ndarray, "f 3"]:
    """Outward normals of twice the faces' areas."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.cross(b - a, c - a)


def vertex_normals(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Float[np.ndarray, "v 3"]:
    """Unit vertex normals, weighted by area; (0, 0, 1) where a vertex has no face of positive area."""
    cross = face_cross(vertices, faces)
    total = _scatter_add(faces.reshape(-1), np.repeat(cross, 3, axis=0), len(vertices))
    length = np.linalg.norm(total, axis=-1, keepdims=True)
    return np.where(length > 1e-30, total / np.maximum(length, 1e-30), np.array([0.0, 0.0, 1.0]))


def signed_volume(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> float:
    """Enclosed volume of a closed mesh, positive when faces are wound counter-clockwise seen from outside."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def is_closed(faces: Int[np.ndarray, "f 3"]) -> bool:
    """Whether every directed edge has exactly one opposite: a closed, consistently wound 2-manifold."""
    first, second = directed_edges(faces)
    size = int(faces.max()) + 1
    forward = np.sort(first * size + second)
    backward = np.sort(second * size + first)
    return bool((np.diff(forward) > 0).all()) and bool((forward == backward).all())


def sample_surface(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], count: int, generator: np.random.Generator
) -> tuple[Int[np.ndarray, "n"], Float[np.ndarray, "n 3"]]:
    """`count` points spread evenly over the area: faces [N] and barycentric coordinates [N, 3].

    Five times as many uniform samples are thinned by dropping, over and over, samples whose nearest neighbour is close
    (a cheap form of sample elimination, Yuksel 2015).
    """
    from scipy.spatial import cKDTree

    if count < 1:
        raise InputError("count", expected="at least 1 sample", got=str(count), fix="ask for more surfels")
    area = np.linalg.norm(face_cross(vertices, faces), axis=-1)
    total = 5 * count
    # Stratified over the cumulative area: already much more even than independent draws.
    position = (np.arange(total) + generator.random(total)) / total * area.sum()
    face = np.minimum(np.searchsorted(np.cumsum(area), position), len(faces) - 1)
    u, v = generator.random(total), generator.random(total)
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    barycentric = np.stack([1 - u - v, u, v], -1)
    points = (vertices[faces[face]] * barycentric[..., None]).sum(1)
    keep = np.arange(total)
    while len(keep) > count:
        distance, neighbour = cKDTree(points[keep]).query(points[keep], k=2)
        order = np.argsort(distance[:, 1], kind="stable")[: max(1, (len(keep) - count + 1) // 2 + 1)]
        # Of two samples that are each other's nearest, drop only the later one in this round.
        mutual = neighbour[neighbour[order, 1], 1] == order
        drop = order[~mutual | (order > neighbour[order, 1])][: len(keep) - count]
        keep = np.delete(keep, drop)
    return face[keep], barycentric[keep]
