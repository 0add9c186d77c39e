"""Bones for motion that was not made by bones: rigid transforms that linear blending brings closest to it.

The bone step of smooth skinning decomposition (Le and Deng 2012): weights stay, and each bone in turn takes the rigid
transform that best explains what the others leave over, in closed form (Kabsch 1976).  Does NOT change weights.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from recon4d.export.mesh.skin import INFLUENCES, Skin

_ROUNDS = 6
_ENOUGH = 1e-3  # relative gain of a round below which it is the last


def refit(
    vertices: Float[np.ndarray, "v 3"],
    skin: Skin,
    targets: Float32[np.ndarray, "t v 3"],
    bones: int,
) -> tuple[Float[np.ndarray, "t b 3 3"], Float[np.ndarray, "t b 3"]]:
    """World_from_canonical transforms of every bone at every time.

    Args:
        vertices: [V, 3] canonical.
        skin: their weights, which stay.
        targets: [T, V, 3] where they are to be.
        bones: how many bones B there are.

    Returns:
        rotations [T, B, 3, 3] and translations [T, B, 3].
    """
    times = len(targets)
    members = [np.flatnonzero((skin.indices == b) & (skin.weights > 0)) for b in range(bones)]
    rotations = np.tile(np.eye(3), (times, bones, 1, 1))
    translations = np.zeros((times, bones, 3))
    goal = targets.astype(np.float64)
    for b, slots in enumerate(members):
        rows, weight = slots // INFLUENCES, skin.weights.ravel()[slots].astype(np.float64)
        if len(rows):
            rotations[:, b], translations[:, b] = _rigid(vertices[rows], weight, weight[:, None] * goal[:, rows])
    left = goal - _blend(vertices, skin, rotations, translations)
    error = float((left**2).sum())
    for _ in range(_ROUNDS):
        for b, slots in enumerate(members):
            rows, weight = slots // INFLUENCES, skin.weights.ravel()[slots].astype(np.float64)
            if len(rows) == 0:
                continue
            share = weight[:, None] * (
                np.einsum("tij,vj->tvi", rotations[:, b], vertices[rows]) + translations[:, b, None]
            )
            wanted = left[:, rows] + share
            rotations[:, b], translations[:, b] = _rigid(vertices[rows], weight, wanted)
            left[:, rows] = wanted - weight[:, None] * (
                np.einsum("tij,vj->tvi", rotations[:, b], vertices[rows]) + translations[:, b, None]
            )
        before, error = error, float((left**2).sum())
        if error > (1 - _ENOUGH) * before:
            break
    return rotations, translations


def _rigid(
    points: Float[np.ndarray, "n 3"], weight: Float[np.ndarray, " n"], wanted: Float[np.ndarray, "t n 3"]
) -> tuple[Float[np.ndarray, "t 3 3"], Float[np.ndarray, "t 3"]]:
    """The rigid transforms whose images of the points, times their weights, come closest to `wanted`."""
    square = weight**2
    total = max(float(square.sum()), 1e-12)
    middle = square @ points / total
    there = np.einsum("n,tni->ti", weight, wanted) / total
    away = points - middle
    rest = wanted - weight[:, None] * there[:, None]
    covariance = np.einsum("tni,nj->tij", rest, away * weight[:, None])
    # A bone of few points, or of points in a line, could turn about it: it keeps to the smallest turn.
    covariance += 1e-6 * float((square[:, None] * away**2).sum() + 1e-12) * np.eye(3)
    u, _, vt = np.linalg.svd(covariance)
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    rotation = u @ vt
    return rotation, there - rotation @ middle


def _blend(
    vertices: Float[np.ndarray, "v 3"],
    skin: Skin,
    rotations: Float[np.ndarray, "t b 3 3"],
    translations: Float[np.ndarray, "t b 3"],
) -> Float[np.ndarray, "t v 3"]:
    from recon4d.export.mesh.skin import posed

    return posed(vertices, skin, rotations, translations).astype(np.float64)
