"""Colours of points on a moving surface, from pictures of it.

A picture counts where it sees the point (depth test against the mesh at that time), the more the straighter, sharper
and closer it does; a second pass drops pictures that disagree with the first.  Points that no picture sees take the
surfels' own colours.  Does NOT know textures: texels and vertices are points alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int

from recon4d.core import Camera, Surfels, spherical_harmonics
from recon4d.export.mesh.motion import Anchors
from recon4d.export.mesh.photos import Photo
from recon4d.export.mesh.topology import TriMesh
from recon4d.export.mesh.unwrap import SurfacePoints
from recon4d.synthetic.raycaster import Hits, RayCaster
from recon4d.synthetic.surface import vertex_normals

_OWN = 0.9  # share of the layer in a pixel from which on the pixel is its
_SLANT = 0.15  # cosine below which a surface is seen too flat
_DEPTH = 0.004  # of the size, by which a point may lie behind the mesh and still be seen
_DISAGREE = 0.12  # of colour: pictures farther from the first mean count for little
_ENOUGH = 0.01  # weight below which the surfels' own colours shine through

_PLAIN = 1e-3  # mean contrast of a picture in which there is nothing to be sharp

Positions = Callable[[float], Float32[np.ndarray, "v 3"]]


@dataclass(frozen=True, eq=False)
class Baked:
    """Colours of N points.

    Attributes:
        colors: [N, 3] display sRGB in [0, 1].
        seen: share of the points that a picture sees.
    """

    colors: Float32[np.ndarray, "n 3"]
    seen: float


@dataclass(frozen=True, eq=False)
class _Observed:
    """What one picture says: rows of points, their weights and colours."""

    rows: Int[np.ndarray, " m"]
    weights: Float32[np.ndarray, " m"]
    colors: Float32[np.ndarray, "m 3"]


def bake(
    points: SurfacePoints,
    faces: Int[np.ndarray, "f 3"],
    positions: Positions,
    photos: Iterable[Photo],
    layer: int,
    fallback: Float32[np.ndarray, "n 3"],
) -> Baked:
    """Blend pictures on points.

    Args:
        points: [N] on the surface.
        faces: of the mesh.
        positions: vertices of the mesh at a time.
        photos: pictures.
        layer: whose pixels count.
        fallback: [N, 3] colours of points that no picture sees.
    """
    observed = [_observe(points, faces, positions(photo.time), photo, layer) for photo in photos]
    count = len(points.face)
    total, mean = _mean(observed, count, None)
    seen = float((total > _ENOUGH).mean()) if count else 0.0
    for _ in range(2):
        total, mean = _mean(observed, count, mean)
    trust = np.minimum(total / _ENOUGH, 1)[:, None]
    return Baked((trust * mean + (1 - trust) * fallback).clip(0, 1).astype(np.float32), seen)


def _mean(
    observed: list[_Observed], count: int, first: Float32[np.ndarray, "n 3"] | None
) -> tuple[Float32[np.ndarray, " n"], Float32[np.ndarray, "n 3"]]:
    total, color = np.zeros(count, np.float32), np.zeros((count, 3), np.float32)
    for part in observed:
        weights = part.weights
        if first is not None:
            away = np.linalg.norm(part.colors - first[part.rows], axis=-1)
            weights = weights / (1 + (away / _DISAGREE) ** 4)
        total[part.rows] += weights
        color[part.rows] += weights[:, None] * part.colors
    return total, color / np.maximum(total, 1e-12)[:, None]


def _observe(
    points: SurfacePoints,
    faces: Int[np.ndarray, "f 3"],
    vertices: Float32[np.ndarray, "v 3"],
    photo: Photo,
    layer: int,
) -> _Observed:
    import cv2
    from scipy.ndimage import minimum_filter

    size = float(np.linalg.norm(np.ptp(vertices, axis=0)))
    camera = photo.camera
    depth, _, hit_mesh = depth_of(vertices, faces, camera)
    # Pixels at the outline mix colours: only those count whose neighbours are the layer's too.
    own = minimum_filter(photo.shares[:, :, layer], 3) * minimum_filter(hit_mesh.astype(np.float32), 3)
    places = points.of(vertices, faces)
    normals = points.of(vertex_normals(vertices.astype(np.float64), faces).astype(np.float32), faces)
    pose, K = camera.cam_from_world.numpy(), camera.K.numpy()
    in_cam = places @ pose[:3, :3].T + pose[:3, 3]
    z = in_cam[:, 2]
    safe = np.where(z > 1e-6, z, 1)
    x, y = in_cam[:, 0] / safe * K[0, 0] + K[0, 2], in_cam[:, 1] / safe * K[1, 1] + K[1, 2]
    width, height = camera.width, camera.height
    away = in_cam / np.maximum(np.linalg.norm(in_cam, axis=-1, keepdims=True), 1e-12)
    cosine = -((normals @ pose[:3, :3].T) * away).sum(-1) / np.maximum(np.linalg.norm(normals, axis=-1), 1e-12)
    rows = np.flatnonzero((z > 1e-6) & (x > 0) & (x < width) & (y > 0) & (y < height) & (cosine > _SLANT))
    pixel = y[rows].astype(np.int64) * width + x[rows].astype(np.int64)
    slope = np.sqrt(1 / np.maximum(cosine[rows], _SLANT) ** 2 - 1)
    reach = _DEPTH * size + 2 * z[rows] / K[0, 0] * slope
    seen = (own.ravel()[pixel] > _OWN) & (z[rows] < depth.ravel()[pixel] + reach)
    rows = rows[seen]
    if len(rows) == 0:
        return _Observed(rows, np.zeros(0, np.float32), np.zeros((0, 3), np.float32))
    # remap takes at most 32767 points in one row; pixel middles lie at whole numbers there.
    fold = -(-len(rows) // 1024)
    padded = np.resize(rows, fold * 1024)
    colors = cv2.remap(
        photo.color,
        (x[padded] - 0.5).astype(np.float32).reshape(fold, 1024),
        (y[padded] - 0.5).astype(np.float32).reshape(fold, 1024),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    ).reshape(-1, 3)[: len(rows)]
    closeness = (K[0, 0] / z[rows]) ** 2
    weights = cosine[rows] ** 3 * sharpness(photo, own) * closeness / np.median(closeness)
    return _Observed(rows, weights.astype(np.float32), colors)


def sharpness(photo: Photo, own: Float32[np.ndarray, "h w"]) -> float:
    """How much fine detail a picture has where the layer is, from 0.2 (motion blur) to 1."""
    import cv2

    inside = own > _OWN
    if not inside.any():
        return 0.2
    grey = photo.color.mean(-1)
    detail = np.abs(cv2.Laplacian(grey, cv2.CV_32F))[inside].mean()
    contrast = np.abs(grey[inside] - grey[inside].mean()).mean()
    return float(np.clip(4 * detail / contrast, 0.2, 1)) if contrast > _PLAIN else 1.0


def depth_of(
    vertices: Float32[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], camera: Camera
) -> tuple[Float32[np.ndarray, "h w"], Hits, np.ndarray]:
    """Camera-frame depth of a mesh at every pixel (infinite where nothing is), the hits behind it, and where it is."""
    eye, rays = camera.rays()
    directions = rays.numpy().reshape(-1, 3).astype(np.float32)
    hits = RayCaster([(vertices, faces)]).cast(
        np.broadcast_to(eye.numpy().astype(np.float32), directions.shape), directions
    )
    met = hits.face >= 0
    # Directions have camera-frame z of 1, so lengths along them are depths.
    depth = np.where(met, hits.distance, np.inf).astype(np.float32)
    return depth.reshape(camera.height, camera.width), hits, met.reshape(camera.height, camera.width)


def surfel_colors(surfels: Surfels, anchors: Anchors, mesh: TriMesh) -> Float32[np.ndarray, "v 3"]:
    """Colours [V, 3] of the canonical surfels that each vertex moves with, as seen from straight above it."""
    with torch.no_grad():
        if surfels.sh is not None:
            inward = -torch.from_numpy(vertex_normals(mesh.vertices, mesh.faces)).float()
            colors = spherical_harmonics.evaluate(
                surfels.sh[anchors.rows], inward[:, None].expand(-1, anchors.rows.shape[1], -1)
            )
        elif surfels.features is not None:
            colors = torch.nn.functional.pad(surfels.features[anchors.rows], (0, 3))[..., :3]
        else:
            colors = torch.full((*anchors.rows.shape, 3), 0.5)
        return (colors * anchors.shares[..., None]).sum(1).clamp(0, 1).numpy()


@dataclass(frozen=True)
class TextureScore:
    """PSNR in dB of the mesh with its colours against pictures, over the pixels that are the layer's.

    Attributes:
        psnr: mean over the pictures; NaN where nothing was compared.
        pictures: how many.
    """

    psnr: float
    pictures: int


def score(
    faces: Int[np.ndarray, "f 3"],
    positions: Positions,
    color_at: Callable[[SurfacePoints], Float32[np.ndarray, "n 3"]],
    photos: Iterable[Photo],
    layer: int,
) -> TextureScore:
    """Draw the coloured mesh as the cameras saw it, and compare."""
    values = []
    for photo in photos:
        _, hits, met = depth_of(positions(photo.time), faces, photo.camera)
        inside = (photo.shares[:, :, layer] > 0.5) & met
        if not inside.any():
            continue
        where = inside.ravel()
        drawn = color_at(SurfacePoints(hits.face[where], hits.barycentric[where]))
        error: Float64[np.ndarray, ""] = ((drawn - photo.color.reshape(-1, 3)[where]) ** 2).astype(np.float64).mean()
        values.append(-10 * np.log10(max(float(error), 1e-10)))
    return TextureScore(float(np.mean(values)) if values else float("nan"), len(values))
