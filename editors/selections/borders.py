"""How far selected points are from those that are not, within a limit."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

_MOST_CELLS = 64  # along an axis


def depth_inside(centers: Tensor, mask: Tensor, limit: float) -> Float64[Tensor, " n"]:
    """[N] how far each selected surfel is from the nearest one that is not, up to `limit`; 0 for the others.

    Args:
        centers: [N, 3] scene units.
        mask: bool [N], at least one.
        limit: > 0, scene units.
    """
    from scipy.spatial import cKDTree

    points, inside = centers.detach().double().numpy(), mask.numpy()
    depth = np.where(inside, limit, 0.0)
    if not inside.all():
        near, outside = _facing(points, inside, limit)
        if len(near) and len(outside):
            ways, _ = cKDTree(points[outside]).query(points[near], distance_upper_bound=limit)
            depth[near] = np.minimum(ways, limit)
    return torch.from_numpy(depth)


def _facing(points: np.ndarray, inside: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of selected points that may have others within the limit, and rows of these others.

    Points of which no cell next to theirs holds one of the other kind have none: cells are larger than the limit.
    Most of a large selection is far from its border, and most of the rest far from the selection.
    """
    margin = 1.01 * limit
    # A box around the selection first, so that there are few points and the cells can be small.  Axis by axis: numpy
    # takes long over rows of three.
    axes = [np.ascontiguousarray(axis) for axis in points.T]
    bounds = [(chosen.min() - margin, chosen.max() + margin) for chosen in (axis[inside] for axis in axes)]
    boxed = np.ones(len(points), bool)
    for axis, (low, high) in zip(axes, bounds, strict=True):
        boxed &= (axis >= low) & (axis <= high)
    rows = np.flatnonzero(boxed)
    cell = max(margin, max(high - low for low, high in bounds) / _MOST_CELLS)
    # One empty layer all around, so that neighbours need no bounds.
    size = [int((high - low) / cell) + 3 for low, high in bounds]
    flat = np.zeros(len(rows), np.int32)
    for axis, (low, _), count in zip(axes, bounds, size, strict=True):
        flat = flat * count + (((axis[rows] - low) / cell).astype(np.int32) + 1)
    mine = inside[rows]
    near = mine & _spread(flat[~mine], size)[flat]
    facing = ~mine & _spread(flat[mine], size)[flat]
    return rows[near], rows[facing]


def _spread(cells: np.ndarray, size: list[int]) -> np.ndarray:
    """Bool by flat number: these cells and their 26 neighbours; the outermost cells of the grid are empty."""
    marked = np.zeros(size, bool)
    marked.ravel()[cells] = True
    for axis in range(3):
        marked = marked | np.roll(marked, 1, axis) | np.roll(marked, -1, axis)
    return marked.ravel()
