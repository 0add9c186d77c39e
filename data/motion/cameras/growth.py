"""Poses of a subject that turns, from its tracks alone: a short piece first, then grown in both directions of time.

Structure from motion for still scenes starts from two views, where a bending subject and a narrow view say little about
the turn.  Here a piece of several keyframes is adjusted from a few guesses of how fast the subject turns, to either
side, about the picture's upright; each piece grows by a few keyframes at a time, started at constant speed and adjusted
robustly (`adjust.py`); the one after which most observations of the whole clip fit is adjusted to the end, and the best
of the other side too where it is close.  Does NOT judge whether the result can be believed (`gates.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.spatial.transform import Rotation

from recon4d.data.motion.cameras.adjust import AdjustSettings, Bundle, Observations, adjust, triangulated
from recon4d.data.motion.tracks import Tracks

_PIECE = 10  # Keyframes of the first piece.
_STEP = 3  # Keyframes added at a time.
_REACH = 14  # Keyframes adjusted when some were added.
_GUESSES = (3.0, 9.0)  # Degrees of turn from one keyframe to the next, to both sides.
_LEAST_POINTS = 12
_FIT_PIXELS = 2.0
_SAME_FIT, _SAME_TURN = 0.005, 2.0  # Share and degrees: pieces that differ by less are one and the same.
_CLEARLY_WORSE = 0.02  # Of the share that fits: the other side is not adjusted to the end.
_LEAST_LIFE = 3

_QUICK = AdjustSettings(scales=(8.0, 3.0), steps=8, solve_focal=False)
_GROW = AdjustSettings(scales=(6.0, 2.0), steps=6, solve_focal=False)
_FINAL = AdjustSettings()


@dataclass(frozen=True, eq=False)
class Grown:
    """A solved path.

    Attributes:
        cam_from_world: [K, 4, 4] of each keyframe.
        focal: pixels.
        points: [N, 3].
        point_ids: [N] track of each.
        point_errors: [N] median error of each, pixels.
        trust: [N] 0 to 1, near 0 for points that move by themselves.
        fit: share of observations that fit, softly at 2 pixels, 0 to 1.
    """

    cam_from_world: Float64[np.ndarray, "k 4 4"]
    focal: float
    points: Float64[np.ndarray, "n 3"]
    point_ids: Int64[np.ndarray, " n"]
    point_errors: Float64[np.ndarray, " n"]
    trust: Float64[np.ndarray, " n"]
    fit: float


def grow(
    tracks: Tracks,
    open_tracks: Tracks,
    keyframes: Int64[np.ndarray, " k"],
    size: tuple[int, int],
    focal: float,
    wanted: Bool[np.ndarray, " n"],
    *,
    solve_focal: bool,
) -> Grown | None:
    """Poses of all keyframes; None where a piece of the clip has too few tracks.

    Args:
        tracks: of the subject, with what was seen again after a turn (`loops.py`).
        open_tracks: the same without that.
        keyframes: ascending.
        size: (width, height).
        focal: in pixels; kept, or stayed near to.
        wanted: [N] which tracks to use.
        solve_focal: adjust it at the end.
    """
    if len(keyframes) < 4:
        return None
    times = keyframes.astype(np.float64)
    seen, _ = observations(open_tracks, keyframes, size, wanted)
    middles = _middles(seen, len(keyframes))
    if middles is None or np.bincount(seen.frames, minlength=len(keyframes)).min() < _LEAST_POINTS:
        return None
    closed, ids = observations(tracks, keyframes, size, wanted)
    rated = []
    for side, poses in _paths(middles, seen, times, focal):
        whole = Bundle(
            poses, triangulated(poses, focal, closed, len(ids)), focal, np.zeros(len(closed.frames)), np.ones(len(ids))
        )
        rated.append((fit_of(adjust(whole, closed, times, focal, _QUICK).errors), side, whole))
    rated.sort(key=lambda one: -one[0])
    (best_fit, best_side, best), *others = rated
    rivals = [whole for fit, side, whole in others if side != best_side and fit >= best_fit - _CLEARLY_WORSE]
    final = replace(_FINAL, solve_focal=solve_focal)
    bundle = max(
        (adjust(whole, closed, times, focal, final) for whole in (best, *rivals)), key=lambda one: fit_of(one.errors)
    )
    errors = np.bincount(closed.points, bundle.errors) / np.bincount(closed.points)
    return Grown(bundle.cam_from_world, bundle.focal, bundle.points, ids, errors, bundle.trust, fit_of(bundle.errors))


def _paths(
    middles: Float64[np.ndarray, "k 2"], seen: Observations, times: Float64[np.ndarray, " k"], focal: float
) -> Iterator[tuple[bool, Float64[np.ndarray, "k 4 4"]]]:
    """Whole paths, each grown from another guess of the turn, and to which side that was.

    All guesses that end in different pieces are grown.  How well a piece fits says little: the wrong side, or half the
    speed, often fits it as well.
    """
    low = _liveliest(seen, len(times))
    rows = np.arange(low, min(low + _PIECE, len(times)))
    pieces: list[tuple[float, Float64[np.ndarray, "k 4 4"]]] = []
    for degrees in (sign * guess for guess in _GUESSES for sign in (1, -1)):
        poses = _start(middles, seen, focal, len(times))
        for k, row in enumerate(rows):
            poses[row, :3, :3] = Rotation.from_euler("y", degrees * k, degrees=True).as_matrix()
        piece, fit = _part(poses, rows, seen, times, focal, _QUICK)
        if not any(abs(fit - f) < _SAME_FIT and _apart(piece, other, rows) < _SAME_TURN for f, other in pieces):
            pieces.append((fit, piece))
            yield degrees > 0, _extended(piece.copy(), rows, seen, times, focal)


def _apart(
    one: Float64[np.ndarray, "k 4 4"], other: Float64[np.ndarray, "k 4 4"], rows: Int64[np.ndarray, " r"]
) -> float:
    """By how many degrees the turns from the first to the last of the rows differ."""
    first, last = rows[0], rows[-1]
    turns = [poses[last, :3, :3] @ poses[first, :3, :3].T for poses in (one, other)]
    return float(np.degrees(Rotation.from_matrix(turns[0] @ turns[1].T).magnitude()))


def fit_of(errors: Float64[np.ndarray, " m"]) -> float:
    """Share of observations that fit, counted softly at 2 pixels."""
    return float((1 / (1 + (errors / _FIT_PIXELS) ** 2)).mean()) if len(errors) else 0.0


def observations(
    tracks: Tracks, keyframes: Int64[np.ndarray, " k"], size: tuple[int, int], wanted: Bool[np.ndarray, " n"]
) -> tuple[Observations, Int64[np.ndarray, " p"]]:
    """What the wanted tracks show in the keyframes, and the track of each point."""
    row = np.full(tracks.length, -1)
    row[keyframes] = np.arange(len(keyframes))
    keep = wanted[tracks.ids] & (row[tracks.frames] >= 0)
    life = np.bincount(tracks.ids[keep], minlength=tracks.count)
    keep &= life[tracks.ids] >= _LEAST_LIFE
    ids, number = np.unique(tracks.ids[keep], return_inverse=True)
    positions = tracks.positions[keep].astype(np.float64) - np.array(size) / 2
    return Observations(row[tracks.frames[keep]].astype(np.int64), number.astype(np.int64), positions), ids.astype(
        np.int64
    )


def _middles(seen: Observations, count: int) -> Float64[np.ndarray, "k 2"] | None:
    number = np.bincount(seen.frames, minlength=count)
    if number.min() == 0:
        return None
    sums = [np.bincount(seen.frames, seen.positions[:, k], minlength=count) for k in (0, 1)]
    return np.stack(sums, 1) / number[:, None]


def _start(
    middles: Float64[np.ndarray, "k 2"], seen: Observations, focal: float, count: int
) -> Float64[np.ndarray, "k 4 4"]:
    """No turn; the subject where its points are, at a distance that makes its size 1."""
    spread = np.median(np.linalg.norm(seen.positions - middles[seen.frames], axis=1))
    distance = focal / max(float(spread), 1.0)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :2, 3] = middles * distance / focal
    poses[:, 2, 3] = distance
    return poses


def _liveliest(seen: Observations, count: int) -> int:
    """Where points live through a whole piece, and move most relative to each other."""
    best, best_score = 0, -1.0
    for low in range(0, max(1, count - _PIECE + 1), 2):
        high = min(low + _PIECE, count) - 1
        here, there = seen.frames == low, seen.frames == high
        _, i, j = np.intersect1d(seen.points[here], seen.points[there], assume_unique=True, return_indices=True)
        if len(i) < _LEAST_POINTS:
            continue
        moved = seen.positions[there][j] - seen.positions[here][i]
        score = float(np.sqrt(len(i)) * np.minimum(np.linalg.norm(moved - np.median(moved, 0), axis=1), 30).mean())
        if score > best_score:
            best, best_score = low, score
    return best


def _part(
    poses: Float64[np.ndarray, "k 4 4"],
    rows: Int64[np.ndarray, " r"],
    seen: Observations,
    times: Float64[np.ndarray, " k"],
    focal: float,
    settings: AdjustSettings,
) -> tuple[Float64[np.ndarray, "k 4 4"], float]:
    """Poses with those of successive rows adjusted, in the same world as before, and how well they fit."""
    inside = (seen.frames >= rows[0]) & (seen.frames <= rows[-1])
    life = np.bincount(seen.points[inside], minlength=int(seen.points.max()) + 1)
    inside &= life[seen.points] >= _LEAST_LIFE
    if not inside.any():
        return poses, 0.0
    ids, number = np.unique(seen.points[inside], return_inverse=True)
    part = Observations(seen.frames[inside] - rows[0], number.astype(np.int64), seen.positions[inside])
    points = triangulated(poses[rows], focal, part, len(ids))
    start = Bundle(poses[rows], points, focal, np.zeros(len(part.frames)), np.ones(len(ids)))
    bundle = adjust(start, part, times[rows], focal, settings)
    moved = poses.copy()
    moved[rows] = bundle.cam_from_world
    return moved, fit_of(bundle.errors)


def _extended(
    poses: Float64[np.ndarray, "k 4 4"],
    rows: Int64[np.ndarray, " r"],
    seen: Observations,
    times: Float64[np.ndarray, " k"],
    focal: float,
) -> Float64[np.ndarray, "k 4 4"]:
    """All rows, from those that are solved."""
    low, high = int(rows[0]), int(rows[-1])
    count = len(poses)
    while low > 0 or high < count - 1:
        for ahead in (True, False):
            if high == count - 1 if ahead else low == 0:
                continue
            if ahead:
                new = np.arange(high + 1, min(high + 1 + _STEP, count))
                window = np.arange(max(low, int(new[-1]) + 1 - _REACH), int(new[-1]) + 1)
                edge, inner = high, max(high - 4, low)
            else:
                new = np.arange(low - 1, max(low - 1 - _STEP, -1), -1)
                window = np.arange(int(new[-1]), min(high, int(new[-1]) - 1 + _REACH) + 1)
                edge, inner = low, min(low + 4, high)
            span = times[edge] - times[inner]
            turn = Rotation.from_matrix(poses[inner, :3, :3].T @ poses[edge, :3, :3]).as_rotvec() / span
            for row in new.tolist():
                step = Rotation.from_rotvec(turn * (times[row] - times[edge])).as_matrix()
                poses[row, :3, :3] = poses[edge, :3, :3] @ step
                poses[row, :3, 3] = poses[edge, :3, 3]
            low, high = min(low, int(new.min())), max(high, int(new.max()))
            before = poses.copy()
            poses, _ = _part(poses, window, seen, times, focal, _GROW)
            _join(poses, before, window, new)
    return poses


def _join(
    poses: Float64[np.ndarray, "k 4 4"],
    before: Float64[np.ndarray, "k 4 4"],
    window: Int64[np.ndarray, " w"],
    new: Int64[np.ndarray, " n"],
) -> None:
    """Take the adjusted window back to the world of the rest: by the rows of it that were there before."""
    old = np.setdiff1d(window, new)
    if not len(old):
        return
    # cam = R x + t before and after: x_before = s Q x_after + q, from rotations, then centres and distances.
    total = np.einsum("kji,kjl->il", before[old, :3, :3], poses[old, :3, :3])
    u, _, vt = np.linalg.svd(total)
    turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    centers = [-np.einsum("kji,kj->ki", p[old, :3, :3], p[old, :3, 3]) for p in (before, poses)]
    after = centers[1] @ turn.T
    # Distances to the subject fix the scale where cameras hardly move.
    scale = float(np.median(before[old, 2, 3] / np.maximum(poses[old, 2, 3], 1e-9)))
    shift = np.median(centers[0] - scale * after, axis=0)
    rotation = poses[window, :3, :3] @ turn.T
    poses[window, :3, 3] = scale * poses[window, :3, 3] - np.einsum("kij,j->ki", rotation, shift)
    poses[window, :3, :3] = rotation
