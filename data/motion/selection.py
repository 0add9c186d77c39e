"""Which frames to keep: no repeats, no black ones, and no more than wanted, evenly in motion rather than in time.

Works on small gray thumbnails only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

THUMBNAIL_SIDE = 192
_BLACK = 10  # An 8-bit level; limited-range video puts black and its noise below it.
_REPEAT_MEAN = 0.25  # Mean and 99.9th percentile of the absolute difference: 8-bit levels.
_REPEAT_PEAK = 4.0


def thumbnail(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "a b"]:
    """Gray image of at most `THUMBNAIL_SIDE` pixels a side, area-averaged."""
    import cv2

    gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    scale = min(1.0, THUMBNAIL_SIDE / max(gray.shape))
    size = (max(16, round(gray.shape[1] * scale)), max(16, round(gray.shape[0] * scale)))
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)


def is_black(small: UInt8[np.ndarray, "a b"]) -> bool:
    """Whether nothing can be seen on a thumbnail."""
    return bool(np.percentile(small, 99.5) <= _BLACK)


def is_repeat(small: UInt8[np.ndarray, "a b"], before: UInt8[np.ndarray, "a b"]) -> bool:
    """Whether two thumbnails are the same but for coding noise."""
    difference = np.abs(small.astype(np.int16) - before)
    return bool(difference.mean() <= _REPEAT_MEAN and np.percentile(difference, 99.9) <= _REPEAT_PEAK)


def motion_percent(small: UInt8[np.ndarray, "a b"], following: UInt8[np.ndarray, "a b"]) -> float:
    """Root mean square of the optical flow between thumbnails, percent of the long side.

    The mean square sees a small subject before a still background as well as a moving camera.
    """
    import cv2

    opencv: Any = cv2  # Its stub lacks this class.
    dis = opencv.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = dis.calc(small, following, None)
    return float(100 * np.sqrt((flow**2).sum(-1).mean()) / max(small.shape))


def evenly_in_motion(motion: Float32[np.ndarray, " t"], count: int) -> Int64[np.ndarray, " k"]:
    """At most `count` of T frames, first and last among them, with about equal motion between them.

    A quarter of the weight is time, so that a pause is thinned out but not lost.

    Args:
        motion: [T] motion from each frame to the next; the last value is not used.
        count: wanted, at least 2.
    """
    total = len(motion)
    if total <= count:
        return np.arange(total)
    step = np.asarray(motion[:-1], np.float64)
    passed = np.concatenate([[0.0], np.cumsum(step + step.mean() / 3 + 1e-9)])
    targets = np.linspace(0, passed[-1], count)
    right = np.clip(np.searchsorted(passed, targets), 1, total - 1)
    nearer_left = targets - passed[right - 1] < passed[right] - targets
    return np.unique(np.where(nearer_left, right - 1, right)).astype(np.int64)


def needed(motion: Float32[np.ndarray, " t"], step_percent: float, enough: int, most: int) -> int:
    """How many of T frames to keep: `enough`, and more, up to `most`, while neighbours are more than a step apart."""
    if step_percent <= 0:
        return most
    wanted = int(np.ceil(float(np.sum(motion[:-1], dtype=np.float64)) / step_percent)) + 1
    return int(np.clip(wanted, min(enough, most), most))


def keyframes(motion: Float32[np.ndarray, " t"], step_percent: float, most: int) -> Int64[np.ndarray, " k"]:
    """Frames about `step_percent` of motion apart: at least 12 (or all there are), at most `most`."""
    wanted = round(float(np.sum(motion[:-1])) / step_percent) + 1
    return evenly_in_motion(motion, int(np.clip(wanted, min(12, most), most)))


def nearest_marked(chosen: Int64[np.ndarray, " k"], marked: Bool[np.ndarray, " t"]) -> Int64[np.ndarray, " j"]:
    """Chosen frames moved to the nearest marked one (with a mask) where it is closer than half way to the next chosen.

    Args:
        chosen: ascending indices into the T frames.
        marked: [T] which frames are preferred.
    """
    there = np.flatnonzero(marked)
    if not len(there):
        return chosen
    moved = chosen.copy()
    for k, frame in enumerate(chosen.tolist()):
        nearest = int(there[np.abs(there - frame).argmin()])
        neighbour = chosen[k + 1] if nearest > frame else chosen[k - 1]
        inside = 0 < k < len(chosen) - 1
        if inside and abs(nearest - frame) <= abs(int(neighbour) - frame) / 2:
            moved[k] = nearest
    return np.unique(moved).astype(np.int64)
