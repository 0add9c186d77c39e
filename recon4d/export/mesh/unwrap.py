"""Texture coordinates (xatlas), and which texel shows which point of the surface.

Does NOT know colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int64

from recon4d.export.mesh.topology import TriMesh
from recon4d.synthetic.raycaster import RayCaster

_PADDING = 4  # texels between charts, so that bilinear sampling and two mip levels stay apart


@dataclass(frozen=True, eq=False)
class Unwrapped:
    """A mesh cut open along the seams of its charts.

    Attributes:
        origin: [W] the vertex of the mesh that each vertex is a copy of.
        faces: [F, 3] in the same order as the mesh's, over the W vertices.
        uv: [W, 2] in [0, 1], origin at the top left of the image, as glTF has it.
    """

    origin: Int64[np.ndarray, " w"]
    faces: Int64[np.ndarray, "f 3"]
    uv: Float32[np.ndarray, "w 2"]


@dataclass(frozen=True, eq=False)
class SurfacePoints:
    """Points on faces: [N] faces and [N, 3] barycentric coordinates."""

    face: Int[np.ndarray, " n"]
    barycentric: Float32[np.ndarray, "n 3"]

    def of(self, values: Float[np.ndarray, "v c"], faces: Int[np.ndarray, "f 3"]) -> Float[np.ndarray, "n c"]:
        """Per-vertex values at the points."""
        corners = faces[self.face]
        weights = self.barycentric.astype(values.dtype)
        out = values[corners[:, 0]] * weights[:, :1]
        out += values[corners[:, 1]] * weights[:, 1:2]
        out += values[corners[:, 2]] * weights[:, 2:]
        return out


def unwrap(mesh: TriMesh, size: int) -> Unwrapped:
    """Charts of little distortion, packed into a square of `size` texels."""
    import xatlas

    atlas = xatlas.Atlas()
    atlas.add_mesh(mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32))
    charts, pack = xatlas.ChartOptions(), xatlas.PackOptions()
    pack.resolution, pack.padding = size, _PADDING
    atlas.generate(charts, pack)
    origin, faces, uv = atlas[0]
    return Unwrapped(origin.astype(np.int64), faces.astype(np.int64), np.clip(uv, 0, 1).astype(np.float32))


def texel_points(unwrapped: Unwrapped, size: int) -> tuple[SurfacePoints, Bool[np.ndarray, "s s"]]:
    """The points of the surface that the covered texels show in their middle, in reading order, and which are covered.

    Rays straight down on the charts laid flat: the ray caster says face and barycentric coordinates.
    """
    flat = np.concatenate([unwrapped.uv * size, np.zeros((len(unwrapped.uv), 1), np.float32)], axis=1)
    caster = RayCaster([(flat, unwrapped.faces)])
    middles = np.arange(size, dtype=np.float32) + 0.5
    x, y = np.meshgrid(middles, middles)
    origins = np.stack([x.ravel(), y.ravel(), np.ones(size * size, np.float32)], -1)
    hits = caster.cast(origins, np.broadcast_to(np.array([0, 0, -1], np.float32), origins.shape))
    covered = hits.face >= 0
    return SurfacePoints(hits.face[covered], hits.barycentric[covered]), covered.reshape(size, size)


def spread_over_seams(image: Float32[np.ndarray, "s s 3"], covered: Bool[np.ndarray, "s s"]) -> np.ndarray:
    """The image with every texel outside the charts given the colour of the nearest one inside."""
    from scipy.ndimage import distance_transform_edt

    if not covered.any():
        return image
    nearest = distance_transform_edt(~covered, return_distances=False, return_indices=True)
    return image[tuple(nearest)]


def sampled(texture: Float32[np.ndarray, "s s 3"], uv: Float32[np.ndarray, "n 2"]) -> Float32[np.ndarray, "n 3"]:
    """Bilinear samples of a texture, clamped at its border."""
    size = len(texture)
    place = np.clip(uv * size - 0.5, 0, size - 1)
    low = np.minimum(place.astype(np.int64), size - 2)
    share = (place - low).astype(np.float32)
    x, y, a, b = low[:, 0], low[:, 1], share[:, :1], share[:, 1:]
    top = texture[y, x] * (1 - a) + texture[y, x + 1] * a
    bottom = texture[y + 1, x] * (1 - a) + texture[y + 1, x + 1] * a
    return top * (1 - b) + bottom * b
