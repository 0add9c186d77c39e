"""Depth and normals of surfels that stand still, seen from many sides: what a surface is fused from.

Does NOT know time: the surfels are those of one state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32

from recon4d.core import Camera, Surfels
from recon4d.render import rasterize

_FOV_DEGREES = 16.0  # nearly parallel rays, so that a pixel is about as large everywhere
_COVERED = 0.5  # coverage from which on a pixel shows a surface
_AGREE = 1.0  # voxels by which mean and median depth may differ before the median is taken
_EDGE = 4.0  # voxels of depth between neighbouring pixels that are more than a slope


@dataclass(frozen=True, eq=False)
class DepthView:
    """One view.

    Attributes:
        camera: float32.
        depth: [H, W] camera-frame z, scene units; infinite where nothing is.
        nearest: [H, W] least depth of the pixel and its neighbours two away: before it, space is free.
        normal: [H, W, 3] unit normals in the world that face the camera.
        weight: [H, W] how far the pixel is to be trusted: cosine of the slant times coverage, 0 at edges.
    """

    camera: Camera
    depth: Float32[np.ndarray, "h w"]
    nearest: Float32[np.ndarray, "h w"]
    normal: Float32[np.ndarray, "h w 3"]
    weight: Float32[np.ndarray, "h w"]


def cameras_around(low: Float[np.ndarray, "3"], high: Float[np.ndarray, "3"], count: int, side: int) -> list[Camera]:
    """`count` cameras spread evenly over a sphere around a box, which fills their square images of `side` pixels."""
    middle = (low + high) / 2
    radius = max(float(np.linalg.norm(high - low)) / 2, 1e-9)
    distance = radius / math.sin(math.radians(_FOV_DEGREES / 2))
    cameras = []
    for i in range(count):
        z = 1 - (2 * i + 1) / count
        angle = i * math.pi * (3 - math.sqrt(5))
        ring = math.sqrt(1 - z * z)
        away = np.array([ring * math.cos(angle), ring * math.sin(angle), z])
        up = (0.0, 0.0, 1.0) if abs(z) < 0.9 else (1.0, 0.0, 0.0)
        eye = torch.from_numpy(middle + distance * away)
        cameras.append(
            Camera.look_at(eye, torch.from_numpy(middle), up=up, fov_y_degrees=_FOV_DEGREES, width=side, height=side)
        )
    return cameras


def depth_views(surfels: Surfels, cameras: Sequence[Camera], voxel: float) -> Iterator[DepthView]:
    """What each camera sees of the surfels (float32, without batch axis).

    Args:
        surfels: one state; colours are ignored.
        cameras: float32.
        voxel: size of the voxels that the views are for, scene units.
    """
    plain = surfels.replace(
        sh=None, features=surfels.centers.new_zeros(len(surfels), 1), world_from_canonical_wxyz=None
    )
    for camera in cameras:
        with torch.no_grad():
            output = rasterize(plain, camera)
        mean, median = output.depth[..., 0].numpy(), output.depth_median[..., 0].numpy()
        alpha = output.alpha[..., 0].numpy()
        normal = output.normal.numpy()
        yield _view(camera, mean, median, alpha, normal, voxel)


def _view(
    camera: Camera,
    mean: Float32[np.ndarray, "h w"],
    median: Float32[np.ndarray, "h w"],
    alpha: Float32[np.ndarray, "h w"],
    normal: Float32[np.ndarray, "h w 3"],
    voxel: float,
) -> DepthView:
    from scipy.ndimage import maximum_filter, minimum_filter

    covered = (alpha >= _COVERED) & (median > 0)
    depth = np.where(np.abs(mean - median) < _AGREE * voxel, mean, median)
    depth = np.where(covered, depth, np.inf).astype(np.float32)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    unit = normal / np.maximum(length, 1e-6)
    # Blended normals that cancel each other say that surfels of different surfaces share the pixel.
    _, rays = camera.rays()
    in_world = unit @ camera.cam_from_world[:3, :3].numpy()
    directions = rays.numpy() / np.linalg.norm(rays.numpy(), axis=-1, keepdims=True)
    cosine = np.clip(-(in_world * directions).sum(-1), 0, 1)
    finite = np.where(covered, depth, 0)
    step = maximum_filter(np.where(covered, depth, -np.inf), 3) - minimum_filter(depth, 3)
    slope = float(camera.K[0, 0])
    pixel = finite / slope
    # A plane's depth changes by its slant from pixel to pixel, over three of them here.
    edge = step > _EDGE * voxel + 3 * pixel * np.sqrt(1 / np.maximum(cosine, 0.1) ** 2 - 1)
    edge |= _beside_nothing(covered)
    weight = np.where(covered & ~edge, cosine * np.minimum(length[..., 0] / np.maximum(alpha, 1e-6), 1) * alpha, 0)
    return DepthView(
        camera,
        depth,
        minimum_filter(depth, 5),
        in_world.astype(np.float32),
        weight.astype(np.float32),
    )


def _beside_nothing(covered: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    from scipy.ndimage import binary_erosion

    return covered & ~binary_erosion(covered, border_value=1)
