"""Implicit shapes for modelling creatures: approximate signed distances, negative inside, blended smoothly.

A shape is a function from points [N, 3] to values [N].  Values are true distances only near the surface, which is all
that meshing needs.  Knows nothing of meshes or colours.  The polynomial smooth minimum is I. Quilez's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

Shape = Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, "n"]]
Vector = Sequence[float | int] | Float[np.ndarray, "3"]


def capsule(start: Vector, end: Vector, start_radius: float, end_radius: float | None = None) -> Shape:
    """Round rod from `start` to `end` whose radius runs from `start_radius` to `end_radius`."""
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    radius_change = (start_radius if end_radius is None else end_radius) - start_radius
    axis = b - a
    squared_length = float(axis @ axis)

    def distance(p: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
        along = np.clip(((p - a) * axis).sum(-1) / squared_length, 0, 1)
        return np.linalg.norm(p - a - along[:, None] * axis, axis=-1) - (start_radius + along * radius_change)

    return distance


def ellipsoid(center: Vector, radii: Vector, axes: Float[np.ndarray, "3 3"] | None = None) -> Shape:
    """Ellipsoid; `axes` holds its three unit axes as rows (the world's axes by default)."""
    c, r = np.asarray(center, np.float64), np.asarray(radii, np.float64)

    def distance(p: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
        q = p - c if axes is None else (p - c) @ axes.T
        scaled = np.linalg.norm(q / r, axis=-1)
        slope = np.linalg.norm(q / r**2, axis=-1)
        return scaled * (scaled - 1) / np.maximum(slope, 1e-9)

    return distance


def rope(points: Sequence[Vector], radii: Sequence[float | int], blend: float = 0.03) -> Shape:
    """Capsules joined end to end through `points`."""
    ends = np.asarray(points, np.float64)
    starts, axes = ends[:-1], np.diff(ends, axis=0)
    squared_lengths = (axes**2).sum(-1)
    thickness = np.asarray(radii, np.float64)

    def distance(p: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
        away = p[:, None] - starts
        along = np.clip((away * axes).sum(-1) / squared_lengths, 0, 1)
        away -= along[..., None] * axes
        each = np.sqrt((away**2).sum(-1)) - (thickness[:-1] + along * np.diff(thickness))
        total = each[:, 0]
        for part in each.T[1:]:
            total = smooth_minimum(total, part, blend)
        return total

    return distance


def union(parts: Sequence[Shape], blend: float) -> Shape:
    """All parts together, creases rounded over about `blend` units."""

    def distance(p: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
        total = parts[0](p)
        for part in parts[1:]:
            total = smooth_minimum(total, part(p), blend)
        return total

    return distance


def carve(body: Shape, hole: Shape, blend: float) -> Shape:
    """`body` without `hole`, the rim rounded over about `blend` units."""
    return lambda p: -smooth_minimum(-body(p), hole(p), blend)


def mirrored(shape: Shape) -> Shape:
    """The shape at y >= 0 and its mirror image in the plane y = 0."""
    return lambda p: shape(p * np.array([1.0, 0.0, 1.0]) + np.abs(p) * np.array([0.0, 1.0, 0.0]))


def smooth_minimum(a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"], blend: float) -> Float[np.ndarray, "n"]:
    """min(a, b) where they differ by more than `blend`, a smooth curve below it where they do not."""
    overlap = np.maximum(blend - np.abs(a - b), 0) / blend
    return np.minimum(a, b) - overlap * overlap * blend / 4


def axes_along(direction: Vector, side: Vector = (0.0, 1.0, 0.0)) -> Float[np.ndarray, "3 3"]:
    """Unit axes as rows: `direction`, then `side` made perpendicular to it, then their cross product."""
    u = np.asarray(direction, np.float64)
    u = u / np.linalg.norm(u)
    v = np.asarray(side, np.float64)
    v = v - (v @ u) * u
    v = v / np.linalg.norm(v)
    return np.stack([u, v, np.cross(u, v)])
