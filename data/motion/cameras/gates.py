"""Whether a reconstruction can be believed.  A count of registered images alone never shows that it can.

The limits come from trials on real clips: wrong solutions registered every image and were told by an absurd focal
length, by jumps, or by a handful of points.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from recon4d.data.motion.cameras.mapping import FOCAL_RANGE, Model, pixel_scale
from recon4d.data.motion.cameras.record import Attempt

LEAST_REGISTERED = 0.8
_MOST_ERROR = 1.1  # Pixels at a long side of 864.
_TOLERABLE = 1.6  # Times that, where there is nothing better.
_TOO_FAR_OFF = "reprojection error"
_MOST_TURN = 15.0  # Degrees for each frame of the source.
_MOST_STEP_RATIO = 6.0
_LEAST_POINTS = 60
_SLOW_DEGREES = 0.5  # Steps of a camera that hardly moves may be as uneven as they like.


def centers_of(cam_from_world: Float64[np.ndarray, "r 4 4"]) -> Float64[np.ndarray, "r 3"]:
    """Camera centres in the world."""
    return -np.einsum("rji,rj->ri", cam_from_world[:, :3, :3], cam_from_world[:, :3, 3])


def turns_degrees(cam_from_world: Float64[np.ndarray, "r 4 4"]) -> Float64[np.ndarray, " s"]:
    """[R - 1] angle between successive orientations."""
    rotation = cam_from_world[:, :3, :3]
    trace = np.einsum("rij,rij->r", rotation[1:], rotation[:-1])
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def range_degrees(cam_from_world: Float64[np.ndarray, "r 4 4"], middle: Float64[np.ndarray, " 3"]) -> float:
    """Largest angle between two directions from the middle to the cameras."""
    away = centers_of(cam_from_world) - middle
    unit = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)
    return float(np.degrees(np.arccos(np.clip((unit @ unit.T).min(), -1, 1))))


def judge(
    model: Model | None,
    name: str,
    keyframes: Int64[np.ndarray, " k"],
    source_frames: Int64[np.ndarray, " t"],
    size: tuple[int, int],
    seconds: float,
    *,
    most_jerk: float = 1.5,
) -> Attempt:
    """Check a model against every gate.

    Args:
        model: what mapping found.
        name: what was tried.
        keyframes: frames that should have been registered.
        source_frames: [T] position of the clip's frames in the source.
        size: (width, height) of the clip.
        seconds: spent.
        most_jerk: limit of `Attempt.jerk`; a hand that shakes comes near 1.
    """
    total = len(keyframes)
    if model is None:
        return Attempt(name, 0, total, 0, 0.0, 0.0, 0.0, 0.0, False, ("nothing could be registered",), seconds)
    count, long_side = len(model.frames), max(size)
    focal = model.focal / long_side
    failures = []
    if count < LEAST_REGISTERED * total:
        failures.append(f"{count} of {total} keyframes registered")
    limit = _MOST_ERROR * pixel_scale(*size)
    if model.error > limit:
        failures.append(f"{_TOO_FAR_OFF} {model.error:.2f} px, more than {limit:.2f}")
    if not FOCAL_RANGE[0] <= focal <= FOCAL_RANGE[1]:
        failures.append(f"focal length {focal:.2f} times the long side")
    if len(model.points) < max(_LEAST_POINTS, 2 * count):
        failures.append(f"only {len(model.points)} points")
    jerk = 0.0
    middle = np.median(model.points, axis=0) if len(model.points) else np.zeros(3)
    if count >= 3:
        steps = np.diff(source_frames[model.frames]).astype(np.float64)
        turn = turns_degrees(model.cam_from_world) / steps
        if turn.max() > _MOST_TURN:
            failures.append(f"a turn of {turn.max():.0f} degrees in a frame")
        centers = centers_of(model.cam_from_world)
        walk = np.linalg.norm(np.diff(centers, axis=0), axis=1) / steps
        distance = float(np.median(np.linalg.norm(centers - middle, axis=1)))
        uneven = walk.max() / max(float(np.median(walk)), 1e-12)
        if uneven > _MOST_STEP_RATIO and np.degrees(walk.max() / max(distance, 1e-12)) > _SLOW_DEGREES:
            failures.append(f"a step {uneven:.0f} times the usual one")
        second = np.linalg.norm(np.diff(centers, 2, axis=0), axis=1).mean()
        jerk = float(second / max(float(np.linalg.norm(np.diff(centers, axis=0), axis=1).mean()), 1e-12))
        if jerk > most_jerk and range_degrees(model.cam_from_world, middle) > _SLOW_DEGREES:
            failures.append(f"the path jerks from side to side ({jerk:.1f} of its steps)")
    return Attempt(
        name,
        count,
        total,
        len(model.points),
        model.error,
        focal,
        range_degrees(model.cam_from_world, middle),
        jerk,
        not failures,
        tuple(failures),
        seconds,
    )


def only_errs(attempt: Attempt, size: tuple[int, int]) -> bool:
    """Whether nothing is wrong with an attempt but an error somewhat above the limit.

    Such are worlds that do not quite stand still, as in generated videos.
    """
    limit = _TOLERABLE * _MOST_ERROR * pixel_scale(*size)
    one = len(attempt.failures) == 1 and attempt.failures[0].startswith(_TOO_FAR_OFF)
    return one and attempt.error_pixels <= limit
