"""The visual hull of a subject that moves, carved from masks and cameras, as surfels.

All masks together carve away whatever moved; the masks of a moment alone leave everything that no camera looked along.
So both vote: a voxel must be inside (nearly) all masks of a window of time around the canonical moment, and inside a
share of all masks.  That share is as large as it can be while the hull still fills the masks of the window.

Cameras are taken relative to a root that moves and turns; finding it is not done here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from recon4d.core import Camera, InputError, SE3Spline, quaternion, rigid
from recon4d.train.frames import Frame

SHARES = (0.97, 0.94, 0.9, 0.86, 0.82, 0.78, 0.74, 0.7, 0.65, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
_WINDOW_SHARE = 0.9
_COVERAGE = 0.98
_LEAST_COVERAGE = 0.5
_LEAST_WINDOW = 3
_PADDING = 1.08
_COARSE = 32  # voxels of the first pass
_HALF_DIAGONAL = 0.87  # of a cube, in edges


@dataclass(frozen=True, eq=False)
class Hull:
    """Surfels on the hull, in the world at the canonical time.

    Attributes:
        centers, rotations_wxyz, colors: [N, ...], normals outwards.
        scale: standard deviation that covers the surface, scene units.
        size: largest extent, scene units.
        share: of all masks that a voxel had to be in.
        coverage: of the window's masks by the hull.
    """

    centers: Float[Tensor, "n 3"]
    rotations_wxyz: Float[Tensor, "n 4"]
    colors: Float[Tensor, "n 3"]
    scale: float
    size: float
    share: float
    coverage: float


def carve(
    frames: tuple[Frame, ...],
    root: SE3Spline,
    canonical_time: float,
    *,
    voxels: int,
    window: float,
    count: int,
    generator: torch.Generator,
) -> Hull:
    """Carve and sample the hull.

    Args:
        frames: the images, of any size.
        root: where the subject is over time; cameras are taken relative to it.
        canonical_time: seconds.
        voxels: along the longest side of the grid.
        window: share of the frames around the canonical time whose masks may hardly be contradicted.
        count: of surfels.
        generator: of the samples.

    Raises:
        InputError: the masks and cameras leave nothing.
    """
    cameras = [_moved(frame.camera, *moved_since(root, frame.time, canonical_time)) for frame in frames]
    masks = [frame.pixels[..., 3].float() / 255 for frame in frames]
    near = sorted(range(len(frames)), key=lambda i: (abs(frames[i].time - canonical_time), i))
    near = near[: max(_LEAST_WINDOW, round(window * len(frames)))]

    middle = root.at(torch.tensor([canonical_time], dtype=torch.float64))[1][0]
    low, high = middle - _reach(cameras, masks, middle), middle + _reach(cameras, masks, middle)
    # A first, coarse pass finds the box in which the second looks closely.
    for resolution in (_COARSE, voxels):
        grid, edge = _grid(low, high, resolution)
        looked_at = masks
        if resolution == _COARSE:
            # Whatever a coarse voxel touches must be in the box: legs are thinner than it, and its centre beside them.
            looked_at = [_widened(mask, camera, middle, edge) for mask, camera in zip(masks, cameras, strict=True)]
        points = grid.reshape(-1, 3)
        inside, seen = _vote(points, [cameras[i] for i in near], [looked_at[i] for i in near])
        # What most of the window's images do not show is no part of a subject that they were taken of.
        possible = (2 * seen > len(near)) & (inside >= _WINDOW_SHARE * seen)
        inside, seen = _vote(points[possible], cameras, looked_at)
        all_share = torch.zeros(len(points))
        all_share[possible] = inside / seen.clamp_min(1)
        if resolution == _COARSE:
            occupied, share, coverage = all_share >= SHARES[-1], SHARES[-1], 1.0
        else:
            occupied, share, coverage = _tightest(points, edge, all_share, cameras, masks, near)
        if not bool(occupied.any()) or coverage < _LEAST_COVERAGE:
            raise InputError(
                "masks",
                expected="masks and cameras that agree on where the subject is",
                got=f"a hull that fills {coverage:.0%} of a mask",
                fix="check the poses, their convention, and that the masks show the subject",
            )
        shape = grid.shape[:3]
        points = points[occupied]
        low, high = points.amin(0) - 1.5 * edge, points.amax(0) + 1.5 * edge
    centers, normals = _surface(grid, edge, occupied.reshape(shape), count, generator)
    area = _area(occupied.reshape(shape)) * edge**2
    size = float((points.amax(0) - points.amin(0)).max()) + edge
    colors = _colors(centers, normals, [frames[i] for i in near], [cameras[i] for i in near])
    scale = 0.6 * (area / max(len(centers), 1)) ** 0.5
    return Hull(centers, facing(normals), colors, scale, size, share, coverage)


def facing(normals: Float[Tensor, "n 3"]) -> Float[Tensor, "n 4"]:
    """Quaternions [N, 4] of the shortest turn from +z to unit normals."""
    x, y, z = normals.unbind(-1)
    # Half-way quaternion (1 + cos, axis sin); straight down has no shortest turn and takes the one about x.
    turn = torch.stack([1 + z, -y, x, torch.zeros_like(x)], -1)
    down = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=normals.dtype)
    return quaternion.normalize(torch.where((z < -1 + 1e-6)[:, None], down, turn))


def moved_since(root: SE3Spline, time: float, canonical_time: float) -> tuple[Float[Tensor, " 4"], Float[Tensor, " 3"]]:
    """Rotation and translation that the root has made between the canonical time and another."""
    rotations, translations = root.at(torch.tensor([time, canonical_time], dtype=torch.float64))
    turn = quaternion.multiply(rotations[0], quaternion.conjugate(rotations[1]))
    return turn, translations[0] - quaternion.rotate(turn, translations[1])


def _moved(camera: Camera, turn: Tensor, shift: Tensor) -> Camera:
    """The camera relative to a subject that has moved."""
    world_from_canonical = rigid.from_rotation_translation(turn, shift)
    return Camera(camera.K, camera.cam_from_world @ world_from_canonical, camera.width, camera.height)


def _reach(cameras: list[Camera], masks: list[Tensor], middle: Tensor) -> Tensor:
    """Distance from the middle that no mask goes beyond."""
    reach = torch.zeros(())
    for camera, mask in zip(cameras, masks, strict=True):
        pixel, depth = camera.project(middle)
        rows, columns = torch.nonzero(mask > 0.5, as_tuple=True)
        if depth <= 0:
            continue
        away = torch.stack([(columns + 0.5 - pixel[0]) / camera.K[0, 0], (rows + 0.5 - pixel[1]) / camera.K[1, 1]])
        reach = torch.maximum(reach, away.norm(dim=0).max() * depth)
    return reach * _PADDING


def _widened(mask: Float[Tensor, "h w"], camera: Camera, middle: Float[Tensor, " 3"], edge: float) -> Tensor:
    """A mask that holds the centre of every voxel (of the middle's depth) that touches the mask."""
    depth = float(camera.project(middle)[1])
    reach = min(math.ceil(_HALF_DIAGONAL * edge * float(camera.K[0, 0]) / max(depth, 1e-6)), max(mask.shape))
    rows = torch.nn.functional.max_pool2d(mask[None, None], (2 * reach + 1, 1), 1, (reach, 0))
    return torch.nn.functional.max_pool2d(rows, (1, 2 * reach + 1), 1, (0, reach))[0, 0]


def _grid(low: Tensor, high: Tensor, resolution: int) -> tuple[Float[Tensor, "x y z 3"], float]:
    """Centres of cubic voxels that fill a box, and their edge."""
    edge = float((high - low).max()) / resolution
    axes = [low[k] + edge * (torch.arange(max(4, int(float(high[k] - low[k]) / edge) + 1)) + 0.5) for k in range(3)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1), edge


def _vote(
    points: Float[Tensor, "n 3"], cameras: list[Camera], masks: list[Tensor]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """In how many masks each point is, and in how many images."""
    inside, seen = torch.zeros(len(points)), torch.zeros(len(points))
    for camera, mask in zip(cameras, masks, strict=True):
        within, shown = _look_up(points, camera, mask > 0.3)
        inside += within
        seen += shown
    return inside, seen


def _look_up(
    points: Tensor, camera: Camera, mask: Bool[Tensor, "h w"]
) -> tuple[Bool[Tensor, " n"], Bool[Tensor, " n"]]:
    """Whether points are inside a mask, and whether they are in the image."""
    pixels, depth = camera.project(points)
    column, row = pixels.floor().long().unbind(-1)
    seen = (depth > 0) & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    index = row.clamp(0, camera.height - 1) * camera.width + column.clamp(0, camera.width - 1)
    return mask.flatten()[index] & seen, seen


def _tightest(
    points: Float[Tensor, "n 3"],
    edge: float,
    all_share: Float[Tensor, " n"],
    cameras: list[Camera],
    masks: list[Tensor],
    near: list[int],
) -> tuple[Bool[Tensor, " n"], float, float]:
    """The smallest set of voxels that fills the window's masks, or the one that fills them best.

    Args:
        points: voxels.
        edge: of them.
        all_share: of all masks that each is in; 0 where the window excludes it.
        cameras, masks: all.
        near: those of the window.
    """
    best: tuple[Bool[Tensor, " n"], float, float] = (all_share >= SHARES[-1], SHARES[-1], 0.0)
    for share in SHARES:
        occupied = all_share >= share
        coverage = _coverage(points[occupied], edge, [cameras[i] for i in near], [masks[i] for i in near])
        if coverage > best[2]:
            best = (occupied, share, coverage)
        if coverage >= _COVERAGE:
            break
    return best


def _coverage(points: Tensor, edge: float, cameras: list[Camera], masks: list[Tensor]) -> float:
    """Share of the masks' pixels that voxels cover, in the mask that is covered least."""
    if not len(points):
        return 0.0
    shares = []
    for camera, mask in zip(cameras, masks, strict=True):
        pixels, depth = camera.project(points)
        # At a size at which a voxel covers about a pixel, and no larger than the mask.
        factor = max(1.0, float(camera.K[0, 0]) * edge / float(depth.median().clamp_min(1e-6)))
        height, width = max(1, int(camera.height / factor)), max(1, int(camera.width / factor))
        small = torch.nn.functional.interpolate(mask[None, None], size=(height, width), mode="area")[0, 0] > 0.5
        column = (pixels[:, 0] * width / camera.width).floor().long()
        row = (pixels[:, 1] * height / camera.height).floor().long()
        ok = (depth > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        hit = torch.zeros(height * width, dtype=torch.bool)
        hit[(row * width + column)[ok]] = True
        hit = torch.nn.functional.max_pool2d(hit.view(1, 1, height, width).float(), 3, 1, 1)[0, 0] > 0
        shares.append(float((hit & small).sum() / small.sum().clamp_min(1)))
    return min(shares)


def _surface(
    grid: Tensor, edge: float, occupied: Bool[Tensor, "x y z"], count: int, generator: torch.Generator
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """Points on the smoothed boundary, and its outward normals."""
    from scipy import ndimage

    soft: Float32[np.ndarray, "x y z"] = ndimage.gaussian_filter(np.pad(occupied.numpy().astype(np.float32), 2), 1.2)
    slope = np.stack(np.gradient(soft), -1)
    boundary = torch.from_numpy(_boundary(occupied.numpy())).nonzero()
    rows = torch.randint(len(boundary), (count,), generator=generator)
    index = boundary[rows] + torch.rand(count, 3, generator=generator) - 0.5
    for _ in range(3):
        # Newton's steps to the level 1/2 along the slope; short, because the level is only smooth near it.
        value, gradient = _sample(soft, index), _sample(slope, index)
        square = gradient.square().sum(-1, keepdim=True).clamp_min(1e-4)
        index = index + ((0.5 - value[:, None]) * gradient / square).clamp(-0.7, 0.7)
    normals = -_sample(slope, index)
    normals = torch.nn.functional.normalize(normals + 1e-9 * torch.tensor([0.0, 0.0, 1.0]), dim=-1)
    return (grid[0, 0, 0] + edge * index).float().contiguous(), normals.float().contiguous()


def _sample(volume: np.ndarray, index: Tensor) -> Tensor:
    """Trilinear values of a volume padded by 2, at fractional indices of the unpadded one."""
    from scipy import ndimage

    places = index.double().numpy().T + 2
    if volume.ndim == 3:
        return torch.from_numpy(ndimage.map_coordinates(volume, places, order=1, mode="nearest"))
    parts = [ndimage.map_coordinates(volume[..., k], places, order=1, mode="nearest") for k in range(3)]
    return torch.from_numpy(np.stack(parts, -1))


def _boundary(occupied: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return occupied & ~ndimage.binary_erosion(occupied)


def _area(occupied: Bool[Tensor, "x y z"]) -> float:
    """Surface in faces of voxels, less the third by which steps overstate a smooth surface."""
    padded = torch.nn.functional.pad(occupied.int(), (1, 1, 1, 1, 1, 1))
    return 2 / 3 * float(sum(padded.diff(dim=k).abs().sum() for k in range(3)))


def _colors(centers: Tensor, normals: Tensor, frames: list[Frame], cameras: list[Camera]) -> Float[Tensor, "n 3"]:
    """Mean colours where the window's images see the points from the front; gray where none does."""
    total, weight = torch.full((len(centers), 3), 0.5e-3), torch.full((len(centers), 1), 1e-3)
    for frame, camera in zip(frames, cameras, strict=True):
        inside, _ = _look_up(centers, camera, frame.pixels[..., 3] > 200)
        pixels, _ = camera.project(centers)
        column, row = pixels.floor().long().unbind(-1)
        index = row.clamp(0, camera.height - 1) * camera.width + column.clamp(0, camera.width - 1)
        view = torch.nn.functional.normalize(rigid.invert(camera.cam_from_world)[:3, 3] - centers, dim=-1)
        front = (view * normals).sum(-1).clamp_min(0).square() * inside
        total += front[:, None] * frame.pixels[..., :3].reshape(-1, 3)[index].float() / 255
        weight += front[:, None]
    return (total / weight).clamp(0.02, 0.98)
