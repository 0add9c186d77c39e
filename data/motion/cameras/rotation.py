"""Cameras that only turn: orientations from tracks of the background, without any parallax.

Bearings of points seen in two keyframes are aligned by a rotation (Kabsch), outliers removed; the rotations between
neighbours at several gaps are averaged into one orientation for each keyframe.  The focal length is the one of a list
that leaves the smallest differences, if they tell at all.  Does NOT notice a camera that moves: its caller asks how
much of the background follows a homography first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from recon4d.data.motion.tracks import Tracks

_GAPS = (1, 2, 4, 8)
_LEAST_SHARED = 12
_FOCALS = np.geomspace(0.5, 3.0, 16)
_SWEEPS = 30
_CLEARLY_BETTER = 0.97


@dataclass(frozen=True, eq=False)
class Turning:
    """Orientations of keyframes.

    Attributes:
        rotations: [K, 3, 3] cam_from_world, the first is the identity.
        focal: in pixels.
        focal_solved: the pictures told it; else it is the assumed one.
        error: median distance in pixels between points turned along and where they are.
    """

    rotations: Float64[np.ndarray, "k 3 3"]
    focal: float
    focal_solved: bool
    error: float


def turning_camera(
    tracks: Tracks, keyframes: Int64[np.ndarray, " k"], size: tuple[int, int], focal: float, *, solve_focal: bool
) -> Turning | None:
    """Orientation of each keyframe; None where some have too few points in common with those before.

    Args:
        tracks: of the background.
        keyframes: at least 2.
        size: (width, height).
        focal: in pixels; kept, or returned where the pictures do not tell it.
        solve_focal: look for a better one.
    """
    pairs = {}
    for gap in _GAPS:
        for i in range(len(keyframes) - gap):
            here, there, _ = tracks.common(int(keyframes[i]), int(keyframes[i + gap]))
            if len(here) >= _LEAST_SHARED:
                pairs[i, i + gap] = (here - np.array(size) / 2, there - np.array(size) / 2)
    if any((i, i + 1) not in pairs for i in range(len(keyframes) - 1)):
        return None
    solved = False
    if solve_focal:
        widest = sorted(pairs, key=lambda p: -float(np.median(np.linalg.norm(pairs[p][1] - pairs[p][0], axis=1))))[:12]
        candidates = [float(f) * max(size) for f in _FOCALS]
        errors = [float(np.mean([_relative(*pairs[p], f)[1] for p in widest])) for f in [*candidates, focal]]
        best = int(np.argmin(errors[:-1]))
        if errors[best] < _CLEARLY_BETTER * errors[-1] and 0 < best < len(candidates) - 1:
            focal, solved = candidates[best], True
    relative = {pair: _relative(*points, focal) for pair, points in pairs.items()}
    rotations = [np.eye(3)]
    for i in range(len(keyframes) - 1):
        rotations.append(relative[i, i + 1][0] @ rotations[-1])
    neighbours: list[list[tuple[int, Float64[np.ndarray, "3 3"]]]] = [[] for _ in keyframes]
    for (i, j), (turn, _) in relative.items():
        neighbours[j].append((i, turn))
        neighbours[i].append((j, turn.T))
    for _ in range(_SWEEPS):
        for k in range(1, len(keyframes)):
            rotations[k] = _nearest_rotation(np.sum([turn @ rotations[i] for i, turn in neighbours[k]], axis=0))
    error = float(np.median([error for _, error in relative.values()]))
    return Turning(np.stack(rotations), focal, solved, error)


def _nearest_rotation(matrix: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "3 3"]:
    u, _, vt = np.linalg.svd(matrix)
    return np.asarray(u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt)


def _relative(
    here: Shaped[np.ndarray, "n 2"], there: Shaped[np.ndarray, "n 2"], focal: float
) -> tuple[Float64[np.ndarray, "3 3"], float]:
    """(there_from_here rotation, median error in pixels) of centred positions."""
    a, b = (np.concatenate([p, np.full((len(p), 1), focal)], 1) for p in (here, there))
    a, b = a / np.linalg.norm(a, axis=1, keepdims=True), b / np.linalg.norm(b, axis=1, keepdims=True)
    keep = np.ones(len(a), bool)
    for _ in range(5):
        rotation = _nearest_rotation(b[keep].T @ a[keep])
        turned = a @ rotation.T
        error = np.linalg.norm(turned[:, :2] / np.maximum(turned[:, 2:], 1e-6) * focal - there, axis=1)
        keep = error <= max(2.5 * float(np.median(error)), 0.5)
    return rotation, float(np.median(error))
