"""What is coloured of a mesh: the texels of its texture, or its vertices.  Does NOT know where colours come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from recon4d.export.mesh.topology import TriMesh
from recon4d.export.mesh.unwrap import SurfacePoints, Unwrapped, sampled, spread_over_seams, texel_points, unwrap


@dataclass(frozen=True, eq=False)
class Canvas:
    """A mesh and the N points of it that take colours.

    Attributes:
        mesh: canonical.
        cut: the mesh, cut open where it has a texture.
        points: texels, or vertices where there is no texture.
        covered: which texels show a point; None for vertices.
    """

    mesh: TriMesh
    cut: Unwrapped
    points: SurfacePoints
    covered: Bool[np.ndarray, "s s"] | None

    @staticmethod
    def of(mesh: TriMesh, texture: int | Literal["vertex"]) -> Canvas:
        """For a texture of that side, or for vertex colours."""
        if texture == "vertex":
            identity = np.arange(len(mesh.vertices))
            cut = Unwrapped(identity, mesh.faces, np.zeros((len(identity), 2), np.float32))
            return Canvas(mesh, cut, vertex_points(mesh), None)
        cut = unwrap(mesh, texture)
        return Canvas(mesh, cut, *texel_points(cut, texture))

    def among(self, faces: Int64[np.ndarray, " g"]) -> tuple[SurfacePoints, Bool[np.ndarray, " n"]]:
        """The points that lie on some of the faces, which these are numbered by; and which points they are."""
        place = np.full(len(self.mesh.faces), -1)
        place[faces] = np.arange(len(faces))
        there = place[self.points.face] >= 0
        return SurfacePoints(place[self.points.face[there]], self.points.barycentric[there]), there

    def image(self, colors: Float32[np.ndarray, "n 3"]) -> UInt8[np.ndarray, "s s 3"] | None:
        """The texture whose texels have these colours."""
        if self.covered is None:
            return None
        filled = np.zeros((*self.covered.shape, 3), np.float32)
        filled[self.covered] = colors
        return np.rint(spread_over_seams(filled, self.covered) * 255).astype(np.uint8)

    def vertex_colors(
        self, colors: Float32[np.ndarray, "n 3"], usual: Float32[np.ndarray, "v 3"]
    ) -> Float32[np.ndarray, "v 3"]:
        """Colours of the vertices; `usual` for those that are in no face."""
        image = self.image(colors)
        if image is None:
            return colors
        smooth = usual.copy()
        smooth[self.cut.origin] = sampled(image.astype(np.float32) / 255, self.cut.uv)
        return smooth

    def drawn(
        self, colors: Float32[np.ndarray, "n 3"], faces: Int64[np.ndarray, " g"]
    ) -> Callable[[SurfacePoints], Float32[np.ndarray, "m 3"]]:
        """What the coloured mesh shows at points of some of the faces, which these are numbered by."""
        image = self.image(colors)
        if image is None:
            return lambda where: where.of(colors, self.mesh.faces[faces])
        smooth = image.astype(np.float32) / 255
        return lambda where: sampled(smooth, where.of(self.cut.uv, self.cut.faces[faces]))


def vertex_points(mesh: TriMesh) -> SurfacePoints:
    """Every vertex as a point of one of its faces; vertices without faces are a corner of the first."""
    face, corner = np.zeros(len(mesh.vertices), np.int64), np.zeros(len(mesh.vertices), np.int64)
    vertex, first = np.unique(mesh.faces.reshape(-1), return_index=True)
    face[vertex], corner[vertex] = first // 3, first % 3
    return SurfacePoints(face, np.eye(3, dtype=np.float32)[corner])
