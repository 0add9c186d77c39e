"""Colours of a layer's mesh: a texture or vertex colours, taken from pictures, and measured against them.

Does NOT choose where pictures come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8

from recon4d.export.mesh.bake import bake, score, surfel_colors
from recon4d.export.mesh.motion import Anchors, carried
from recon4d.export.mesh.photos import Photo, PhotoSource
from recon4d.export.mesh.topology import TriMesh
from recon4d.export.mesh.unwrap import SurfacePoints, Unwrapped, sampled, spread_over_seams, texel_points, unwrap
from recon4d.field import Field
from recon4d.scene import Scene

BAKED_FROM = 32  # pictures
_SCORED_ON = 8

Tell = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Paint:
    """Colours of a mesh; see `LayerMesh` for all of it."""

    cut: Unwrapped
    texture: UInt8[np.ndarray, "s s 3"] | None
    colors: Float32[np.ndarray, "v 3"]
    psnr: float
    seen: float
    source: str


def paint(
    scene: Scene,
    field: Field,
    layer: int,
    mesh: TriMesh,
    anchors: Anchors,
    photos: PhotoSource,
    texture: int | Literal["vertex"],
    tell: Tell,
) -> Paint:
    """Take colours from pictures spread over the clip, and compare with others, where there are any.

    Args:
        scene: for its times.
        field: of the layer.
        layer: its number in the pictures.
        mesh: canonical.
        anchors: of the mesh on the field's surfels.
        photos: where pictures come from.
        texture: side in texels, or "vertex".
        tell: called with how many pictures are done, and how many there are.
    """
    frames = range(len(scene.frame_times))
    used = _spread(BAKED_FROM, frames)
    checked = _spread(_SCORED_ON, [frame for frame in frames if frame not in used] or frames)

    def positions(time: float) -> Float32[np.ndarray, "v 3"]:
        return carried(field, anchors, [time])[0]

    def told(frames_of: list[int], before: int) -> Iterator[Photo]:
        for i, photo in enumerate(photos.photos(frames_of)):
            yield photo
            tell(before + i + 1, len(used) + len(checked))

    plain = surfel_colors(field, anchors, mesh)
    corners = vertex_points(mesh)
    if texture == "vertex":
        baked = bake(corners, mesh.faces, positions, told(used, 0), layer, plain)
        colors, image = baked.colors, None
        identity = np.arange(len(mesh.vertices))
        cut = Unwrapped(identity, mesh.faces, np.zeros((len(identity), 2), np.float32))
    else:
        cut = unwrap(mesh, texture)
        points, covered = texel_points(cut, texture)
        fallback = points.of(plain, mesh.faces)
        baked = bake(points, mesh.faces, positions, told(used, 0), layer, fallback)
        filled = np.zeros((texture, texture, 3), np.float32)
        filled[covered] = baked.colors
        image = np.rint(spread_over_seams(filled, covered) * 255).astype(np.uint8)
        smooth = image.astype(np.float32) / 255
        colors = plain.copy()
        colors[cut.origin] = sampled(smooth, cut.uv)

    def color_at(where: SurfacePoints) -> Float32[np.ndarray, "n 3"]:
        if image is None:
            return where.of(colors, mesh.faces)
        return sampled(smooth, where.of(cut.uv, cut.faces))

    measured = score(mesh.faces, positions, color_at, told(checked, len(used)), layer)
    return Paint(cut, image, colors, measured.psnr, baked.seen, photos.name)


def vertex_points(mesh: TriMesh) -> SurfacePoints:
    """Every vertex as a point of one of its faces; vertices without faces are a corner of the first."""
    face, corner = np.zeros(len(mesh.vertices), np.int64), np.zeros(len(mesh.vertices), np.int64)
    vertex, first = np.unique(mesh.faces.reshape(-1), return_index=True)
    face[vertex], corner[vertex] = first // 3, first % 3
    return SurfacePoints(face, np.eye(3, dtype=np.float32)[corner])


def _spread(count: int, among: Sequence[int]) -> list[int]:
    """So many of some numbers, spread evenly over them, the first and the last among them."""
    return [among[i] for i in np.unique(np.linspace(0, len(among) - 1, min(count, len(among))).round().astype(int))]
