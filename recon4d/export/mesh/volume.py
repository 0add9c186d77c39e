"""A truncated signed distance volume: many depth views in, one surface out.

After Curless and Levoy 1996, with three changes: distances are taken to the plane through the pixel (not along the
ray), behind a surface an observation fades out within two voxels (so that the two sides of a thin part do not cancel),
and what no view has seen is inside, unless free space is nearest.  The last makes closed surfaces of things that were
seen from all around.
Does NOT draw, and does NOT clean the surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from recon4d.export.mesh.topology import TriMesh
from recon4d.export.mesh.views import DepthView
from recon4d.synthetic.surface import vertex_normals

FRONT = 3.0  # voxels before a surface within which distances are measured
BEHIND = 2.0  # voxels behind it, over which an observation fades out
_BAND = 5  # voxels around the surfels in which the volume is filled finely
_COARSE = 4  # fine voxels in a coarse one, elsewhere
# The level that is extracted lies this many voxels outside, and vertices are moved back afterwards: a sheet without
# thickness, whose sides cancel to zero, becomes one or two voxels thick instead of vanishing.
_BIAS = 0.3
_FREE_VIEWS = 3  # a voxel is free only if so many views say so: rays that slip between two surfels carve nothing
_CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxel corners along three axes.

    Attributes:
        low: [3] the first corner, scene units.
        voxel: edge of a voxel, scene units.
        shape: corners along each axis.
    """

    low: Float[np.ndarray, "3"]
    voxel: float
    shape: tuple[int, int, int]

    def places(self, index: Int[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 3"]:
        """Positions of corners by their index along each axis."""
        return (self.low + self.voxel * index).astype(np.float32)


def make_grid(low: Float[np.ndarray, "3"], high: Float[np.ndarray, "3"], cells: int) -> Grid:
    """A grid over a box with a margin, `cells` voxels along the box's diagonal."""
    voxel = max(float(np.linalg.norm(high - low)), 1e-9) / cells
    margin = (_BAND + 2) * voxel
    shape = np.ceil((high - low + 2 * margin) / voxel).astype(int) + 1
    return Grid(low - margin, voxel, (int(shape[0]), int(shape[1]), int(shape[2])))


def fuse(grid: Grid, near: Float[np.ndarray, "n 3"], views: Sequence[DepthView], *, closed: bool) -> TriMesh:
    """The surface that the views see.

    Args:
        grid: where to look.
        near: points on the surface, at least one in every few voxels of it.
        views: what was seen.
        closed: what no view has seen as free is inside, and the surface has no border but where the grid ends; else the
            surface ends where nothing was seen.

    Returns:
        the surface as marching cubes has it; possibly without faces.
    """
    from skimage.measure import marching_cubes

    band = _near(grid, near)
    index = np.argwhere(band)
    fine, observed = _distances(grid.places(index), grid.voxel, views)
    values = _coarse_values(grid, views) if closed else np.full(grid.shape, FRONT, np.float32)
    values[band] = fine
    mask = None
    if closed:
        _fill_unobserved(values, index, observed)
        for axis in range(3):
            edge = [slice(None)] * 3
            for end in (0, -1):
                edge[axis] = slice(end, None) if end else slice(0, 1)
                values[tuple(edge)] = FRONT
    else:
        mask = np.zeros(grid.shape, bool)
        mask[band] = observed
    values -= _BIAS
    # A corner exactly on the surface makes triangles without area.
    values[np.abs(values) < 1e-3] = 1e-3
    if not (values.min() < 0 < values.max()):
        return TriMesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    try:
        vertices, faces, _, _ = marching_cubes(values, 0.0, gradient_direction="descent", mask=mask)
    except (RuntimeError, ValueError):  # "no surface found"
        return TriMesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    vertices = grid.low + grid.voxel * vertices.astype(np.float64)
    faces = faces.astype(np.int64)
    return TriMesh(vertices - _BIAS * grid.voxel * vertex_normals(vertices, faces), faces)


def _fill_unobserved(
    values: Float32[np.ndarray, "x y z"], index: Int[np.ndarray, "n 3"], observed: Bool[np.ndarray, " n"]
) -> None:
    """What no view tells about is inside where the nearest that is known is, and outside where that is free space.

    Deep inside of a thing the nearest known is the inner side of its surface; in a narrow gap, which views see only at
    edges that are not trusted, it is free space.
    """
    from scipy.spatial import cKDTree

    if not observed.any() or observed.all():
        values[tuple(index.T)] = np.where(observed, values[tuple(index.T)], -FRONT)
        return
    _, nearest = cKDTree(index[observed]).query(index[~observed])
    known = values[tuple(index[observed].T)][nearest]
    values[tuple(index[~observed].T)] = np.where(known > 0.5, FRONT, -FRONT)


def _near(grid: Grid, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, "x y z"]:
    from scipy.ndimage import distance_transform_edt

    hit = np.ones(grid.shape, bool)
    index = np.rint((points - grid.low) / grid.voxel).astype(int)
    inside = ((index >= 0) & (index < grid.shape)).all(1)
    hit[tuple(index[inside].T)] = False
    return distance_transform_edt(hit).astype(np.float32) <= _BAND


def _coarse_values(grid: Grid, views: Sequence[DepthView]) -> Float32[np.ndarray, "x y z"]:
    """Inside or outside, far from the surface, from a look at every fourth corner."""
    counts = [-(-n // _COARSE) + 1 for n in grid.shape]
    index = np.stack(np.meshgrid(*[np.arange(n) * _COARSE for n in counts], indexing="ij"), -1).reshape(-1, 3)
    values, observed = _distances(grid.places(index), grid.voxel, views)
    signs = np.where(observed & (values > 0), FRONT, -FRONT).astype(np.float32).reshape(counts)
    nearest = np.ix_(*[(np.arange(n) + _COARSE // 2) // _COARSE for n in grid.shape])
    return signs[nearest]


def _distances(
    points: Float32[np.ndarray, "n 3"], voxel: float, views: Sequence[DepthView]
) -> tuple[Float32[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Mean signed distance in voxels (positive before the surface), and which points were observed at all."""
    values, observed = np.zeros(len(points), np.float32), np.zeros(len(points), bool)
    for begin in range(0, len(points), _CHUNK):
        some = slice(begin, begin + _CHUNK)
        values[some], observed[some] = _distances_of(points[some], voxel, views)
    return values, observed


def _distances_of(
    points: Float32[np.ndarray, "n 3"], voxel: float, views: Sequence[DepthView]
) -> tuple[Float32[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    total, weight = np.zeros(len(points), np.float32), np.zeros(len(points), np.float32)
    free = np.zeros(len(points), np.int16)
    for view in views:
        pose, K = view.camera.cam_from_world.numpy(), view.camera.K.numpy()
        in_cam = points @ pose[:3, :3].T + pose[:3, 3]
        z = in_cam[:, 2]
        safe = np.where(z > 1e-6, z, 1)
        column = np.floor(in_cam[:, 0] / safe * K[0, 0] + K[0, 2]).astype(np.int32)
        row = np.floor(in_cam[:, 1] / safe * K[1, 1] + K[1, 2]).astype(np.int32)
        height, width = view.depth.shape
        rows = np.flatnonzero((z > 1e-6) & (column >= 0) & (column < width) & (row >= 0) & (row < height))
        pixel = row[rows] * width + column[rows]
        free[rows] += z[rows] < view.nearest.ravel()[pixel] - FRONT * voxel
        trust = view.weight.ravel()[pixel]
        close = (trust > 0) & (np.abs(z[rows] - view.depth.ravel()[pixel]) < 6 * FRONT * voxel)
        rows, pixel, trust = rows[close], pixel[close], trust[close]
        depth = view.depth.ravel()[pixel]
        # The point of the surface in the middle of the pixel, in the camera's frame.
        x = ((pixel % width) + 0.5 - K[0, 2]) / K[0, 0] * depth
        y = ((pixel // width) + 0.5 - K[1, 2]) / K[1, 1] * depth
        offset = in_cam[rows] - np.stack([x, y, depth], -1)
        normal = view.normal.reshape(-1, 3)[pixel] @ pose[:3, :3].T
        distance = np.minimum((offset * normal).sum(-1) / voxel, FRONT)
        used = distance > -BEHIND
        rows, distance, trust = rows[used], distance[used], trust[used]
        share = trust * np.where(distance < 0, 1 + distance / BEHIND, 1)
        total[rows] += share * distance
        weight[rows] += share
    counts = np.where(free >= _FREE_VIEWS, free, 0).astype(np.float32)
    total += FRONT * counts
    weight += counts
    observed = weight > 1e-3
    return np.where(observed, total / np.maximum(weight, 1e-3), 0).astype(np.float32), observed
