"""Colour on a mesh: every triangle carries its own small triangular grid of texels.

"Mesh colors" (Yuksel, Keyser and House 2010): no atlas, no seams, detail as fine as asked for on every face, and a
colour that depends on the place on the surface alone, so it sticks to whatever the surface does.  Whatever paints a
surface (solid noise, an image) is baked into this one form before rendering.  Knows nothing of light.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

_FINEST = 48  # texels along an edge; bounds memory when a face is far larger than a texel
_CHUNK = 40_000  # points painted at once: few enough for intermediate arrays to stay in the cache

Painter = Callable[[Int[np.ndarray, "n"], Float[np.ndarray, "n 3"]], Float[np.ndarray, "n 3"]]


@dataclass(frozen=True, eq=False)
class PatchTexture:
    """Texels of F faces.

    Attributes:
        resolution: [F] steps R along each edge of a face; the face has (R + 1)(R + 2) / 2 texels.
        offset: [F] where a face's texels begin.
        texels: [M, 3] display sRGB in [0, 1].  Texel (i, j), i + j <= R, lies at the barycentric coordinates
            (1 - (i + j) / R, i / R, j / R).
    """

    resolution: Int[np.ndarray, "f"]
    offset: Int[np.ndarray, "f"]
    texels: Float32[np.ndarray, "m 3"]

    def color_at(self, face: Int[np.ndarray, "n"], barycentric: Float[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 3"]:
        """Colours at points of faces, blended linearly between the three texels around each point."""
        r = self.resolution[face]
        u, v = barycentric[:, 1] * r, barycentric[:, 2] * r
        i = np.clip(u.astype(np.int64), 0, r - 1)
        j = np.clip(v.astype(np.int64), 0, r - 1 - i)
        fu, fv = np.clip(u - i, 0, 1).astype(np.float32), np.clip(v - j, 0, 1).astype(np.float32)
        # The far half of the cell exists only away from the long edge of the face.
        far = (fu + fv > 1) & (i + j < r - 1)
        start = self.offset[face]
        step_i = _index(i + 1, j, r) + start
        step_j = _index(i, j + 1, r) + start
        corner = np.where(far, _index(i + 1, j + 1, r), _index(i, j, r)) + start
        weight_i = np.where(far, 1 - fv, fu)[:, None]
        weight_j = np.where(far, 1 - fu, fv)[:, None]
        mixed = self.texels[corner] * (1 - weight_i - weight_j)
        mixed += self.texels[step_i] * weight_i
        mixed += self.texels[step_j] * weight_j
        return mixed


def _index(i: Int[np.ndarray, "n"], j: Int[np.ndarray, "n"], r: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """Place of texel (i, j) in the rows of lengths R + 1, R, ..., 1."""
    return i * (r + 1) - i * (i - 1) // 2 + j


def bake(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], texel_size: float, painter: Painter
) -> PatchTexture:
    """Texels no further apart than `texel_size` scene units, coloured by `painter(face, barycentric)`."""
    edges = vertices[faces] - vertices[faces[:, [1, 2, 0]]]
    longest = np.linalg.norm(edges, axis=-1).max(1)
    resolution = np.clip(np.ceil(longest / texel_size), 1, _FINEST).astype(np.int64)
    counts = (resolution + 1) * (resolution + 2) // 2
    offset = np.concatenate([[0], np.cumsum(counts)[:-1]])
    texels = np.empty((int(counts.sum()), 3), np.float32)
    for r in np.unique(resolution):
        i, j = np.nonzero(np.add.outer(np.arange(r + 1), np.arange(r + 1)) <= r)
        grid = np.stack([1 - (i + j) / r, i / r, j / r], -1)
        members = np.nonzero(resolution == r)[0]
        rows = max(1, _CHUNK // len(grid))
        for begin in range(0, len(members), rows):
            some = members[begin : begin + rows]
            colors = painter(np.repeat(some, len(grid)), np.tile(grid, (len(some), 1)))
            texels[(offset[some][:, None] + np.arange(len(grid))).reshape(-1)] = np.clip(colors, 0, 1)
    return PatchTexture(resolution, offset, texels)
