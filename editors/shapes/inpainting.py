"""Fills holes of images: colours by OpenCV, depth as smoothly as its surroundings allow.

Knows no scene.  Another way of inventing colours (a diffusion model) has the signature of `inpaint_opencv`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

Inpaint = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From display colours [H, W, 3] in [0, 1] and a mask [H, W] of what to invent, to colours [H, W, 3] in [0, 1]."""

_RADIUS = 5.0  # pixels around a hole's border that its colours are taken from


def inpaint_opencv(image: Float[np.ndarray, "h w 3"], hole: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    """Colours grown inwards from the border of the hole (Telea, "An image inpainting technique", 2004)."""
    import cv2

    bytes_ = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    filled = cv2.inpaint(np.ascontiguousarray(bytes_), hole.astype(np.uint8) * 255, _RADIUS, cv2.INPAINT_TELEA)
    return np.where(hole[..., None], filled / 255.0, image)


def fill_inverse_depth(
    depth: Float[np.ndarray, "h w"], known: Bool[np.ndarray, "h w"], hole: Bool[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """Depth [H, W] of the known pixels and the holes; 0 elsewhere, and in holes that touch nothing known.

    In a hole the inverse depth is harmonic.  The inverse depth of a plane is linear in the image, so holes in floors
    and walls are filled exactly.

    Args:
        depth: camera-frame z, > 0 where known.
        known: pixels whose depth counts.
        hole: pixels to fill, none of them known.
    """
    inverse = harmonic(np.where(known, 1 / np.where(known, depth, 1.0), 0.0), known, hole)
    inside = hole & (inverse > 0)
    return np.where(known, depth, np.where(inside, 1 / np.where(inside, inverse, 1.0), 0.0))


def harmonic(
    values: Float[np.ndarray, "h w"], known: Bool[np.ndarray, "h w"], hole: Bool[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """Values [H, W] that are in holes the mean of their four neighbours, of those that are known or in a hole.

    Args:
        values: what is known.
        known: pixels whose values count.
        hole: pixels to fill, none of them known.  Holes that touch nothing known, and all else, get 0.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components
    from scipy.sparse.linalg import spsolve

    filled = np.where(known, values, 0.0)
    rows, columns = np.nonzero(hole)
    size = len(rows)
    if not size:
        return filled
    number = np.full(hole.shape, -1)
    number[rows, columns] = np.arange(size)
    degree, right, anchored = np.zeros(size), np.zeros(size), np.zeros(size, bool)
    pairs: list[np.ndarray] = []
    for down, along in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        r, c = rows + down, columns + along
        inside = (r >= 0) & (r < hole.shape[0]) & (c >= 0) & (c < hole.shape[1])
        r, c = np.where(inside, r, 0), np.where(inside, c, 0)
        is_known, is_hole = inside & known[r, c], inside & hole[r, c]
        degree += is_known | is_hole
        right += np.where(is_known, filled[r, c], 0.0)
        anchored |= is_known
        pairs.append(np.stack([np.flatnonzero(is_hole), number[r, c][is_hole]]))
    i, j = np.concatenate(pairs, 1)
    part = connected_components(csr_array((np.ones(len(i)), (i, j)), shape=(size, size)), directed=False)[1]
    solvable = np.isin(part, np.unique(part[anchored]))
    keep = solvable[i]
    entries = np.concatenate([np.where(solvable, degree, 1.0), -np.ones(int(keep.sum()))])
    at = (np.concatenate([np.arange(size), i[keep]]), np.concatenate([np.arange(size), j[keep]]))
    filled[rows, columns] = spsolve(csr_array((entries, at), shape=(size, size)).tocsc(), np.where(solvable, right, 0))
    return filled
