"""Lays one shape over another: size, facing and place, from points alone.

Which way is up is known; the rest is found by trying the symmetric choices of the horizontal principal axis and keeping
the one whose points are nearest.  Does not bend anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from recon4d.core import InputError, Similarity, quaternion

_POINTS = 2500
_ROUNDS = 12
_ROUND_SHAPE = 1.3  # horizontal axes whose lengths differ by less than this factor may be exchanged


def align_shapes(
    source: Float[np.ndarray, "n 3"],
    target: Float[np.ndarray, "m 3"],
    *,
    source_up: Sequence[float | int] = (0.0, 0.0, 1.0),
    target_up: Sequence[float | int] = (0.0, 0.0, 1.0),
    yaw_degrees: float | int | None = None,
    feet: bool = True,
) -> Similarity:
    """The similarity target_from_source that lays the source over the target.

    Args:
        source, target: points spread over the surfaces, at least 3 each.
        source_up, target_up: which way is up.
        yaw_degrees: turn of the source about the target's up, after its up was brought there by the shortest way; found
            automatically when None.
        feet: stand the source on the level that the target stands on.

    Raises:
        InputError: too few points, points at one place, or an up that is no direction.
    """
    a, b = _thinned(source, "source"), _thinned(target, "target")
    upright = _shortest_turn(_unit(source_up), _unit(target_up))
    to_z = _shortest_turn(_unit(target_up), np.array([0.0, 0, 1]))
    a, b = a @ (to_z @ upright).T, b @ to_z.T
    size = _radius(b) / _radius(a)
    yaws = [math.radians(yaw_degrees)] if yaw_degrees is not None else _yaws(a, b)
    found = [_refined(a, b, size, yaw, yaw_degrees is None) for yaw in yaws]
    scale, yaw, shift, _ = min(found, key=lambda each: each[3])
    if feet:
        placed = scale * a @ _about_z(yaw).T + shift
        shift = shift.copy()
        shift[2] += np.quantile(b[:, 2], 0.01) - np.quantile(placed[:, 2], 0.01)
    rotation = to_z.T @ _about_z(yaw) @ to_z @ upright
    return Similarity(
        torch.tensor(scale, dtype=torch.float64),
        quaternion.from_matrix(torch.from_numpy(rotation)),
        torch.from_numpy(to_z.T @ shift),
    )


def _unit(direction: Sequence[float | int]) -> Float[np.ndarray, "3"]:
    vector = np.asarray(direction, np.float64)
    length = float(np.linalg.norm(vector)) if vector.shape == (3,) else 0.0
    if not (math.isfinite(length) and length > 0):
        raise InputError("up", expected="a direction of three numbers", got=repr(direction), fix="use 0, 0, 1")
    return vector / length


def _thinned(points: Float[np.ndarray, "n 3"], name: str) -> Float[np.ndarray, "m 3"]:
    """Some of the points, the same ones every time, without the few that are far from the others."""
    if len(points) < 3 or not np.isfinite(points).all() or float(np.ptp(points, axis=0).max()) <= 0:
        raise InputError(
            name,
            expected="3 finite points or more, not at one place",
            got=f"{len(points)}",
            fix="select more surfels",
        )
    low, high = np.quantile(points, 0.002, axis=0), np.quantile(points, 0.998, axis=0)
    margin = 0.05 * (high - low).max()
    kept = points[((points >= low - margin) & (points <= high + margin)).all(1)]
    chosen = np.random.default_rng(0).permutation(len(kept))[:_POINTS]
    return kept[np.sort(chosen)].astype(np.float64)


def _radius(points: Float[np.ndarray, "n 3"]) -> float:
    return float(np.sqrt(((points - points.mean(0)) ** 2).sum(-1).mean()))


def _shortest_turn(a: Float[np.ndarray, "3"], b: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The smallest rotation that takes unit vector a to unit vector b."""
    axis, cosine = np.cross(a, b), float(a @ b)
    if cosine < -1 + 1e-9:
        side = np.cross(a, [1.0, 0, 0] if abs(a[0]) < 0.9 else [0, 1.0, 0])
        side /= np.linalg.norm(side)
        return 2 * np.outer(side, side) - np.eye(3)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def _about_z(angle: float) -> Float[np.ndarray, "3 3"]:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _yaws(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "m 3"]) -> list[float]:
    """Turns that lay the horizontal principal axis of a along that of b, either way round; four for round shapes."""
    angles, ratios = [], []
    for points in (a, b):
        values, vectors = np.linalg.eigh(np.cov(points[:, :2].T))
        angles.append(math.atan2(vectors[1, 1], vectors[0, 1]))
        ratios.append(math.sqrt(max(values[1], 1e-30) / max(values[0], 1e-30)))
    choices = 4 if min(ratios) < _ROUND_SHAPE else 2
    return [angles[1] - angles[0] + 2 * math.pi * i / choices for i in range(choices)]


def _refined(
    a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "m 3"], size: float, yaw: float, turn: bool
) -> tuple[float, float, Float[np.ndarray, "3"], float]:
    """Scale, yaw and shift that bring nearest points together (Besl and McKay 1992), and their mean distance.

    Pairs are taken both ways, so that shrinking a to one point of b does not pay.
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(b)
    scale, shift = size, b.mean(0) - size * _about_z(yaw) @ a.mean(0)
    best = (scale, yaw, shift, math.inf)
    for _ in range(_ROUNDS):
        placed = scale * a @ _about_z(yaw).T + shift
        there, back = tree.query(placed), cKDTree(placed).query(b)
        miss = float(there[0].mean() + back[0].mean())
        if miss < best[3]:
            best = (scale, yaw, shift, miss)
        x, y = np.concatenate([a, a[back[1]]]), np.concatenate([b[there[1]], b])
        weight = np.concatenate([np.full(len(a), 1 / len(a)), np.full(len(b), 1 / len(b))])[:, None] / 2
        x_mean, y_mean = (weight * x).sum(0), (weight * y).sum(0)
        x, y = x - x_mean, y - y_mean
        if turn:
            sine = (weight[:, 0] * (x[:, 0] * y[:, 1] - x[:, 1] * y[:, 0])).sum()
            cosine = (weight[:, 0] * (x[:, 0] * y[:, 0] + x[:, 1] * y[:, 1])).sum()
            yaw = math.atan2(sine, cosine)
        turned = x @ _about_z(yaw).T
        scale = float((weight * turned * y).sum() / (weight * turned * turned).sum())
        # Never far from what the spreads of the points say.
        scale = min(max(scale, 0.7 * size), 1.4 * size)
        shift = y_mean - scale * _about_z(yaw) @ x_mean
    return best
