"""Points found again when a subject has turned all the way: more sightings of the same tracks, far apart in time.

Pairs of keyframes that share no tracks are compared as small pictures of the subject, cut out and brought to one size.
Where they look alike, dense flow between them, checked both ways and by correlation, carries the points of one to the
other.  Does NOT check geometry: adjustment is robust against what is wrong (`adjust.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt8

from recon4d.data.motion.clip import Clip
from recon4d.data.motion.flow import DenseFlow, consistent, pixel_grid
from recon4d.data.motion.stage import array_digest
from recon4d.data.motion.tracks import Tracks

_SIDE = 192  # Of the cut-out pictures, pixels.
_MARGIN = 1.25  # Side of the cut-out over the subject's larger extent.
_THUMBNAIL = 24
_ALIKE = 0.35  # Correlation of thumbnails from which flow is tried: a leg or a tail elsewhere costs half of it.
_TRIES = 3  # Pairs tried for each keyframe.
_LEAST_POINTS = 10  # Each way.
_LEAST_SHARE = (
    0.4  # Of the points that come back and look the same: of right pairs about half do, of wrong ones a sixth.
)
_PATCH = 5
_CORRELATION = 0.75
_SHARED = 15  # Tracks in common above which no loop is needed.


@dataclass(frozen=True, eq=False)
class _View:
    """A subject cut out of its frame."""

    frame: int
    gray: UInt8[np.ndarray, "s s"]
    thumbnail: Float32[np.ndarray, " d"]
    origin: Float32[np.ndarray, " 2"]
    scale: float  # Pixels of the cut-out for one of the frame.

    def to_cut(self, positions: Float32[np.ndarray, "n 2"]) -> Float32[np.ndarray, "n 2"]:
        """Positions in the frame as pixel indices in the cut-out."""
        return np.asarray((positions - self.origin) * self.scale - 0.5, np.float32)

    def to_frame(self, indices: Float32[np.ndarray, "n 2"]) -> Float32[np.ndarray, "n 2"]:
        """The other way."""
        return np.asarray((indices + 0.5) / self.scale + self.origin, np.float32)


def close_loops(
    clip: Clip, masks: UInt8[np.ndarray, "t h w"], tracks: Tracks, keyframes: Int64[np.ndarray, " k"]
) -> tuple[Tracks, tuple[tuple[int, int], ...]]:
    """Tracks with what was seen again, and the pairs of frames in which it was."""
    views = [view for view in (_cut_out(clip, masks, int(frame)) for frame in keyframes) if view is not None]
    if len(views) < 3:
        return tracks, ()
    alike = np.stack([view.thumbnail for view in views])
    alike = alike @ alike.T
    ids = [tracks.at(view.frame)[1] for view in views]
    for i in range(len(views)):
        for j in range(i, len(views)):
            if j - i < 4 or len(np.intersect1d(ids[i], ids[j], assume_unique=True)) >= _SHARED:
                alike[i, j] = alike[j, i] = -1
    pairs = {
        (min(i, int(j)), max(i, int(j)))
        for i in range(len(views))
        for j in np.argsort(-alike[i], kind="stable")[:_TRIES]
        if alike[i, j] > _ALIKE
    }
    dense = DenseFlow()
    found: list[tuple[int, Float32[np.ndarray, "_ 2"], Int32[np.ndarray, " _"]]] = []
    closed = []
    for i, j in sorted(pairs):
        here, there = views[i], views[j]
        flows = dense(here.gray, there.gray), dense(there.gray, here.gray)
        one = _carried(tracks, here, there, flows[0], flows[1])
        other = None if one is None else _carried(tracks, there, here, flows[1], flows[0])
        if one is not None and other is not None:
            found += [(there.frame, *one), (here.frame, *other)]
            closed.append((here.frame, there.frame))
    return (_extended(tracks, found), tuple(closed)) if found else (tracks, ())


def _cut_out(clip: Clip, masks: UInt8[np.ndarray, "t h w"], frame: int) -> _View | None:
    import cv2

    mask = masks[frame] >= 128
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    low = np.array([columns[0], rows[0]], np.float32)
    high = np.array([columns[-1] + 1, rows[-1] + 1], np.float32)
    side = float((high - low).max()) * _MARGIN
    origin, scale = (low + high) / 2 - side / 2, _SIDE / side
    gray = cv2.cvtColor(np.ascontiguousarray(clip.frames[frame]), cv2.COLOR_RGB2GRAY)
    gray = np.where(mask, gray, np.uint8(127))
    # Pixel centres: cut = (frame index + 0.5 - origin) * scale - 0.5.
    shift = (0.5 - origin) * scale - 0.5
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)
    cut = cv2.warpAffine(gray, matrix, (_SIDE, _SIDE), flags=cv2.INTER_AREA, borderValue=(127.0,))
    small = cv2.resize(cut, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32).ravel() - 127
    return _View(frame, np.asarray(cut, np.uint8), small / max(float(np.linalg.norm(small)), 1e-6), origin, scale)


def _carried(
    tracks: Tracks, here: _View, there: _View, flow: Any, back: Any
) -> tuple[Float32[np.ndarray, "n 2"], Int32[np.ndarray, " n"]] | None:
    """Positions in `there.frame` of points seen in `here.frame`; None where too few can be believed."""
    positions, ids = tracks.at(here.frame)
    at = here.to_cut(positions)
    inside = ((at >= _PATCH) & (at <= _SIDE - 1 - _PATCH)).all(1)
    at, ids = at[inside], ids[inside]
    if len(ids) < _LEAST_POINTS:
        return None
    cell = np.rint(at).astype(int)
    moved = (at + flow[cell[:, 1], cell[:, 0]]).astype(np.float32)
    good = consistent(flow, back, 1.0)[cell[:, 1], cell[:, 0]]
    good &= (_patches(here.gray, at) * _patches(there.gray, moved)).sum(1) > _CORRELATION
    if good.sum() < max(_LEAST_POINTS, _LEAST_SHARE * len(ids)):
        return None
    return there.to_frame(moved[good]), ids[good]


def _patches(image: UInt8[np.ndarray, "s s"], at: Float32[np.ndarray, "n 2"]) -> Float32[np.ndarray, "n d"]:
    import cv2

    offset = pixel_grid(2 * _PATCH + 1, 2 * _PATCH + 1).reshape(-1, 2) - _PATCH
    place = at[:, None] + offset[None]
    patches = cv2.remap(
        image, np.ascontiguousarray(place[..., 0]), np.ascontiguousarray(place[..., 1]), cv2.INTER_LINEAR
    ).astype(np.float32)
    patches -= patches.mean(1, keepdims=True)
    return np.asarray(patches / (np.linalg.norm(patches, axis=1, keepdims=True) + 1e-3), np.float32)


def _extended(tracks: Tracks, found: list[tuple[int, Float32[np.ndarray, "_ 2"], Int32[np.ndarray, " _"]]]) -> Tracks:
    positions = np.concatenate([tracks.positions, *(p for _, p, _ in found)])
    frames = np.concatenate([tracks.frames, *(np.full(len(i), frame, np.int32) for frame, _, i in found)])
    ids = np.concatenate([tracks.ids, *(i for _, _, i in found)])
    # What was followed comes before what was found again, where a point has both.
    _, first = np.unique(frames.astype(np.int64) * max(tracks.count, 1) + ids, return_index=True)
    key = f"{tracks.key}-{array_digest(positions)[:12]}"
    return Tracks(positions[first], frames[first], ids[first], tracks.count, tracks.length, key)
