"""A static walled yard with crates and columns: something for a camera to find its place by.

Everything is painted with solid noise: planks, tiles, posters and stains that do not repeat.  It does not move.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from recon4d.synthetic import paint
from recon4d.synthetic.noise import cell_noise, fractal_noise
from recon4d.synthetic.texture import bake
from recon4d.synthetic.view import MeshState

_WALL_HEIGHT = 0.75  # as a share of the half width
_GRID = 12  # patches along a wall, so that its texels can be fine


def room(
    middle: tuple[float, float, float], floor: float, half_width: float, texel_size: float, seed: int
) -> MeshState:
    """The yard around a subject.

    Args:
        middle: of the yard (x, y), scene units.
        floor: height of the floor, just under the lowest that the subject comes.
        half_width: from the middle to each wall; more than the distance of the cameras.
        texel_size: distance between texels, scene units.
        seed: of patterns and of the places of crates and columns.
    """
    generator = np.random.default_rng(seed)
    center = np.array([middle[0], middle[1], floor])
    w, h = half_width, _WALL_HEIGHT * half_width
    parts = [_sheet((-w, -w, 0), (2 * w, 0, 0), (0, 2 * w, 0), _GRID)]
    corners = [(-w, -w), (w, -w), (w, w), (-w, w)]
    for k, (x, y) in enumerate(corners):
        nx, ny = corners[(k + 1) % 4]
        # Wound so that the yard's inside is the front.
        parts.append(_sheet((nx, ny, 0), (x - nx, y - ny, 0), (0, 0, h), _GRID))
    for k in range(10):
        angle = 2 * np.pi * (k + generator.uniform(0.1, 0.9)) / 10
        reach = w * generator.uniform(0.80, 0.90)
        size = w * generator.uniform(0.05, 0.085, 3) * np.array([1, 1, 1.0 + 4.0 * (k % 3 == 0)])
        at = np.array([reach * np.cos(angle), reach * np.sin(angle), 0])
        parts.append(_box(at, size, generator.uniform(0, np.pi)))
    vertices, faces, kinds = _joined(parts)
    vertices = vertices + center
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    cross = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    normals[faces.reshape(-1)] = np.repeat(cross / np.linalg.norm(cross, axis=-1, keepdims=True), 3, axis=0)
    scale = 4.0 / half_width

    def painter(face: Int[np.ndarray, "n"], barycentric: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        points = ((vertices[faces[face]] * barycentric[..., None]).sum(1) - center) * scale
        return _paint(points, normals[faces[face, 0]], kinds[face], seed)

    return MeshState(vertices, normals, faces, bake(vertices, faces, texel_size, painter))


Sheet = tuple[Float[np.ndarray, "_ 3"], Int[np.ndarray, "_ 3"]]


def _sheet(origin: tuple[float, ...], u: tuple[float, ...], v: tuple[float, ...], cells: int) -> Sheet:
    """A parallelogram cut in cells x cells pairs of triangles; its front is the side of u x v."""
    steps = np.linspace(0, 1, cells + 1)
    s, t = (a.reshape(-1, 1) for a in np.meshgrid(steps, steps, indexing="ij"))
    vertices = np.asarray(origin) + s * np.asarray(u) + t * np.asarray(v)
    i, j = (a.reshape(-1) for a in np.meshgrid(np.arange(cells), np.arange(cells), indexing="ij"))
    a, b = i * (cells + 1) + j, (i + 1) * (cells + 1) + j
    return vertices, np.concatenate([np.stack([a, b, b + 1], -1), np.stack([a, b + 1, a + 1], -1)])


def _box(at: Float[np.ndarray, "3"], size: Float[np.ndarray, "3"], angle: float) -> Sheet:
    """A box standing on the floor: four sides and a lid, with vertices of their own for flat normals."""
    x, y, z = size
    u, v, up = (2 * x, 0, 0), (0, 2 * y, 0), (0, 0, 2 * z)
    sides = [
        _sheet((-x, -y, 0), u, up, 2),
        _sheet((x, y, 0), (-2 * x, 0, 0), up, 2),
        _sheet((x, -y, 0), v, up, 2),
        _sheet((-x, y, 0), (0, -2 * y, 0), up, 2),
        _sheet((-x, -y, 2 * z), u, v, 2),
    ]
    vertices, faces, _ = _joined(sides)
    c, s = np.cos(angle), np.sin(angle)
    return vertices @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]]) + at, faces


def _joined(
    parts: list[Sheet],
) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"], Int[np.ndarray, "f"]]:
    starts = np.cumsum([0, *(len(v) for v, _ in parts)])
    faces = np.concatenate([f + s for (_, f), s in zip(parts, starts[:-1], strict=True)])
    kinds = np.repeat(np.arange(len(parts)), [len(f) for _, f in parts])
    return np.concatenate([v for v, _ in parts]), faces, kinds


_WALLS = np.array([[0.72, 0.62, 0.50], [0.55, 0.66, 0.62], [0.76, 0.66, 0.58], [0.60, 0.62, 0.70]])
_POSTERS = np.array(
    [
        [0.85, 0.33, 0.25],
        [0.95, 0.78, 0.32],
        [0.22, 0.45, 0.62],
        [0.30, 0.55, 0.38],
        [0.90, 0.88, 0.82],
        [0.25, 0.22, 0.3],
    ]
)


def _paint(
    p: Float[np.ndarray, "n 3"], normal: Float[np.ndarray, "n 3"], kind: Int[np.ndarray, "n"], seed: int
) -> Float[np.ndarray, "n 3"]:
    """Colours for points of a yard that is 4 units from middle to wall; kind 0 floor, 1-4 walls, then crates."""
    step, over = paint.soft_step, paint.over
    colors = np.zeros((len(p), 3))
    ground, wall = kind == 0, (kind >= 1) & (kind <= 4)
    if ground.any():
        q = p[ground]
        first, second, label = cell_noise(q * np.array([1.9, 1.9, 0]) + np.array([0, 0, 0.5]), seed)
        stone = np.array([[0.62, 0.58, 0.52], [0.52, 0.50, 0.47], [0.70, 0.63, 0.54]])[(label * 997).astype(int) % 3]
        stone = stone * (0.85 + 0.3 * (label * 13 % 1))[:, None]
        colors[ground] = over(stone, (0.25, 0.23, 0.21), step(0.09, 0.03, second - first))
    if wall.any():
        q = p[wall]
        along = np.where(np.abs(normal[wall, 0]) > 0.5, q[:, 1], q[:, 0])
        plaster = _WALLS[kind[wall] - 1]
        row = np.floor(q[:, 2] / 0.22)
        brick = np.floor(along / 0.46 + 0.5 * (row % 2))
        _, _, label = cell_noise(np.stack([brick, row, kind[wall] * 3.0], -1), seed + 1)
        joint = np.minimum(
            0.23 - np.abs((along / 0.46 + 0.5 * (row % 2)) % 1 - 0.5) * 0.46,
            0.11 - np.abs(q[:, 2] / 0.22 % 1 - 0.5) * 0.22,
        )
        bricks = over(np.outer(0.75 + 0.5 * label, (0.66, 0.38, 0.28)), (0.74, 0.70, 0.63), step(0.014, 0.006, joint))
        bare = step(0.02, 0.08, fractal_noise(q * 0.7, 4, seed + 2))
        surface = over(plaster, bricks, bare)
        panel = np.stack([np.floor(along / 0.9), np.floor(q[:, 2] / 1.05), kind[wall] * 5.0], -1)
        _, _, pick = cell_noise(panel, seed + 3)
        inset = np.maximum(np.abs(along / 0.9 % 1 - 0.5) * 0.9 - 0.31, np.abs(q[:, 2] / 1.05 % 1 - 0.5) * 1.05 - 0.38)
        poster = _POSTERS[(pick * 977).astype(int) % 6]
        blots, _, tint = cell_noise(np.stack([along, q[:, 2], pick * 9], -1) * (3 + 5 * pick)[:, None], seed + 4)
        poster = over(poster, _POSTERS[(tint * 977).astype(int) % 6], step(0.5, 0.44, blots / (0.7 + 0.5 * tint)))
        poster = over(poster, (0.95, 0.94, 0.9), step(-0.03, -0.02, inset))
        hangs = step(0.005, -0.005, inset) * (pick > 0.55) * (q[:, 2] > 0.2)
        colors[wall] = over(surface, poster, hangs)
    crate = kind > 4
    if crate.any():
        q = p[crate]
        wood = np.array([[0.68, 0.48, 0.28], [0.36, 0.46, 0.55], [0.62, 0.30, 0.24]])[kind[crate] % 3]
        planks = q[:, 2] / 0.13
        gap = step(0.06, 0.02, 0.5 - np.abs(planks % 1 - 0.5))
        streak = paint.strands(q, (1.0, 0.6, 0.0), 22, 8, seed + 5)
        colors[crate] = over(wood * (1 + 0.5 * streak)[:, None], (0.12, 0.09, 0.07), gap)
    worn = 1 + 0.28 * fractal_noise(p * 3.1, 5, seed + 6, gain=0.7) + 0.16 * fractal_noise(p * 29, 2, seed + 7)
    return np.clip(colors * worn[:, None], 0, 1)
