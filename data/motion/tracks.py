"""Stage 4: points followed through a clip by chaining dense flow.

Points are born at corners (Shi and Tomasi's least eigenvalue) where no other point is near, and move by the flow from
frame to frame.  They end where forward and backward flow disagree, where the picture around them no longer looks like
the slowly updated patch they carry (normalised cross-correlation), at the border, or outside the mask.  A point that
ends is not found again later; another one is born.  Nothing here is random.  Does NOT know cameras.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, Shaped, UInt8

from recon4d.core import InputError
from recon4d.data.motion.clip import Clip
from recon4d.data.motion.flow import DenseFlow, gray_frame, require_sequence
from recon4d.data.motion.stage import (
    Progress,
    StageCache,
    array_digest,
    no_progress,
    open_cache,
    stage_key,
)
from recon4d.data.motion.unfinished import Unfinished, unfinished

_VERSION = 1
_PATCH = 5  # Half width: patches of 11 x 11 pixels.
_MARGIN = 3.0  # Points nearer to the border end.
_REMAP_ROWS = 30_000  # OpenCV's remap takes images of less than 32768 rows.


@dataclass(frozen=True)
class TrackSettings:
    """How points are followed; lengths in pixels of the tracked size.

    Attributes:
        max_side: frames are reduced to this long side for tracking.
        cell: at most one birth in each square of this size that holds no point; 5 suits subjects, 9 whole scenes.
        most_alive: no births while this many points are alive.
        forward_backward: difference of forward and backward flow that ends a point.
        correlation: normalised cross-correlation with its patch below which a point ends.
        corner: least eigenvalue (of 8-bit gradients over a 5 x 5 window, scaled to [0, 1]) that makes a corner.
        update: share of the present picture that goes into the patch at each step.
        mask_erosion: births keep this far from the mask's edge.
        min_frames: shorter tracks are left out.
    """

    max_side: int = 640
    cell: int = 5
    most_alive: int = 1200
    forward_backward: float = 1.0
    correlation: float = 0.55
    corner: float = 1e-5
    update: float = 0.1
    mask_erosion: int = 3
    min_frames: int = 3


@dataclass(frozen=True, eq=False)
class Tracks:
    """Points by frame: observation i is point `ids[i]` in frame `frames[i]` at `positions[i]`.

    Attributes:
        positions: [M, 2] pixels of the clip, x right and y down, pixel centres at +0.5.
        frames: [M] frame of each observation, ascending.
        ids: [M] which point, 0 to `count` - 1; ascending within a frame.
        count: number of points.
        length: frames of the clip.
        key: identifies content and settings.
    """

    positions: Float32[np.ndarray, "m 2"]
    frames: Int32[np.ndarray, " m"]
    ids: Int32[np.ndarray, " m"]
    count: int
    length: int
    key: str

    def at(self, frame: int) -> tuple[Float32[np.ndarray, "n 2"], Int32[np.ndarray, " n"]]:
        """Positions and ids of the points seen in a frame."""
        low, high = np.searchsorted(self.frames, [frame, frame + 1])
        return self.positions[low:high], self.ids[low:high]

    def common(
        self, frame: int, other: int
    ) -> tuple[Float32[np.ndarray, "n 2"], Float32[np.ndarray, "n 2"], Int32[np.ndarray, " n"]]:
        """Positions in two frames of the points seen in both, and their ids."""
        (here, here_ids), (there, there_ids) = self.at(frame), self.at(other)
        ids, i, j = np.intersect1d(here_ids, there_ids, assume_unique=True, return_indices=True)
        return here[i], there[j], ids.astype(np.int32)

    def dense(self) -> tuple[Float32[np.ndarray, "n t 2"], Bool[np.ndarray, "n t"]]:
        """Positions [N, T, 2] (NaN where not seen) and visibility [N, T] of all points."""
        positions = np.full((self.count, self.length, 2), np.nan, np.float32)
        positions[self.ids, self.frames] = self.positions
        return positions, np.isfinite(positions[:, :, 0])

    def lengths(self) -> Int64[np.ndarray, " n"]:
        """[N] in how many frames each point is seen."""
        return np.bincount(self.ids, minlength=self.count).astype(np.int64)

    def select(self, keep: Bool[np.ndarray, " n"]) -> Tracks:
        """The points chosen by `keep`, renumbered."""
        number = np.cumsum(keep) - 1
        chosen = keep[self.ids]
        return Tracks(
            self.positions[chosen],
            self.frames[chosen],
            number[self.ids[chosen]].astype(np.int32),
            int(keep.sum()),
            self.length,
            f"{self.key}-{array_digest(keep)[:12]}",
        )


def track_points(
    clip: Clip,
    masks: Shaped[np.ndarray, "t h w"] | None = None,
    settings: TrackSettings | None = None,
    *,
    work: str | Path | StageCache | None = None,
    progress: Progress = no_progress,
) -> Tracks:
    """Follow points through a clip.

    Args:
        clip: frames of one camera.
        masks: [T, H, W] where points may be: bool, or uint8 with 128 and more meaning yes.  None means everywhere.
        settings: see `TrackSettings`.
        work: folder that keeps the result.
        progress: called as `progress("tracks", done, total)`.

    Raises:
        InputError: frames of several cameras, or masks of another shape than the clip.
    """
    require_sequence(clip, "tracks")
    if masks is not None and masks.shape != clip.frames.shape[:3]:
        raise InputError(
            "masks",
            expected=f"{len(clip)} masks of {clip.width}x{clip.height}",
            got=f"shape {list(masks.shape)}",
            fix="give one mask for each frame of the clip, at its size",
        )
    settings = settings or TrackSettings()
    cache = open_cache(work)
    key = stage_key("tracks", _VERSION, settings, clip.key, array_digest(masks))
    stored = cache.load("tracks", key) if cache else None
    if stored is not None:
        record, arrays = stored
        return Tracks(
            np.asarray(arrays["positions"]),
            np.asarray(arrays["frames"]),
            np.asarray(arrays["ids"]),
            int(str(record["count"])),
            len(clip),
            key,
        )
    with unfinished(cache, "tracks", key) as parts:
        tracks = _follow(clip, masks, settings, key, parts, progress)
        if cache is not None:
            arrays = {"positions": tracks.positions, "frames": tracks.frames, "ids": tracks.ids}
            cache.store("tracks", key, {"count": tracks.count}, arrays)
    return tracks


def _follow(
    clip: Clip,
    masks: Shaped[np.ndarray, "t h w"] | None,
    settings: TrackSettings,
    key: str,
    parts: Unfinished,
    progress: Progress,
) -> Tracks:
    dense = DenseFlow()
    alive, observations, born = _taken_up(parts)
    gray = gray_frame(clip, len(observations), settings.max_side)
    for frame in range(len(observations), len(clip)):
        mask = _mask_at(masks, frame, gray.shape[:2])
        if mask is not None:
            at = np.clip(np.rint(alive.points).astype(int), 0, [gray.shape[1] - 1, gray.shape[0] - 1])
            alive = alive.keep(mask[at[:, 1], at[:, 0]])
        new = _births(gray, mask, alive.points, settings)
        alive = alive.add(new, np.arange(born, born + len(new)), _patches(gray, new))
        born += len(new)
        observations.append((alive.points, alive.ids))
        progress("tracks", frame + 1, len(clip))
        if frame + 1 == len(clip):
            break
        following = gray_frame(clip, frame + 1, settings.max_side)
        if len(alive.ids):
            alive = _step(alive, dense(gray, following), dense(following, gray), following, settings)
        gray = following
        if parts.due:
            parts.keep("points", **_arrays(alive, observations, born))
    scale = np.array([clip.width / gray.shape[1], clip.height / gray.shape[0]], np.float32)
    ids = np.concatenate([ids for _, ids in observations])
    everything = Tracks(
        (np.concatenate([points for points, _ in observations]) + np.float32(0.5)) * scale,
        np.repeat(np.arange(len(clip)), [len(ids) for _, ids in observations]).astype(np.int32),
        ids.astype(np.int32),
        born,
        len(clip),
        key,
    )
    long_enough = everything.select(everything.lengths() >= settings.min_frames)
    return Tracks(long_enough.positions, long_enough.frames, long_enough.ids, long_enough.count, len(clip), key)


_Observations = list[tuple[Float32[np.ndarray, "_ 2"], Int64[np.ndarray, " _"]]]


def _arrays(alive: _Alive, observations: _Observations, born: int) -> dict[str, Shaped[np.ndarray, "..."]]:
    """What following goes on from, before the births in the next frame."""
    return {
        "points": alive.points,
        "ids": alive.ids,
        "patches": alive.patches,
        "born": np.array(born),
        "counts": np.array([len(ids) for _, ids in observations]),
        "observed_points": np.concatenate([points for points, _ in observations]),
        "observed_ids": np.concatenate([ids for _, ids in observations]),
    }


def _taken_up(parts: Unfinished) -> tuple[_Alive, _Observations, int]:
    """Where an earlier run stopped, or the beginning."""
    kept = parts.load("points")
    if not kept:
        return _Alive.none(), [], 0
    ends = np.cumsum(kept["counts"])[:-1]
    observed = zip(np.split(kept["observed_points"], ends), np.split(kept["observed_ids"], ends), strict=True)
    return _Alive(kept["points"], kept["ids"], kept["patches"]), list(observed), int(kept["born"])


def _mask_at(
    masks: Shaped[np.ndarray, "t h w"] | None, frame: int, shape: tuple[int, ...]
) -> Bool[np.ndarray, "a b"] | None:
    import cv2

    if masks is None:
        return None
    mask = masks[frame] if masks.dtype == np.bool_ else masks[frame] >= 128
    if mask.shape == shape:
        return np.asarray(mask)
    small = cv2.resize(mask.astype(np.uint8) * 255, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(small >= 128)


@dataclass(frozen=True, eq=False)
class _Alive:
    """Points in the present frame: positions by pixel index (centres at whole numbers), ids, normalised patches."""

    points: Float32[np.ndarray, "n 2"]
    ids: Int64[np.ndarray, " n"]
    patches: Float32[np.ndarray, "n p p"]

    @staticmethod
    def none() -> _Alive:
        size = 2 * _PATCH + 1
        return _Alive(np.zeros((0, 2), np.float32), np.zeros(0, np.int64), np.zeros((0, size, size), np.float32))

    def keep(self, which: Bool[np.ndarray, " n"]) -> _Alive:
        return _Alive(self.points[which], self.ids[which], self.patches[which])

    def add(
        self, points: Float32[np.ndarray, "n 2"], ids: Int64[np.ndarray, " n"], patches: Float32[np.ndarray, "n p p"]
    ) -> _Alive:
        return _Alive(
            np.concatenate([self.points, points]),
            np.concatenate([self.ids, ids]),
            np.concatenate([self.patches, patches]),
        )


def _births(
    gray: UInt8[np.ndarray, "h w"],
    mask: Bool[np.ndarray, "h w"] | None,
    points: Float32[np.ndarray, "n 2"],
    settings: TrackSettings,
) -> Float32[np.ndarray, "m 2"]:
    import cv2

    room = settings.most_alive - len(points)
    if room <= 0:
        return np.zeros((0, 2), np.float32)
    width = gray.shape[1]
    strength = cv2.cornerMinEigenVal(gray, 5, ksize=3)
    corner = (strength > settings.corner) & (strength == cv2.dilate(strength, np.ones((3, 3), np.uint8)))
    border = int(_MARGIN) + 1
    corner[:border] = corner[-border:] = False
    corner[:, :border] = corner[:, -border:] = False
    if mask is not None:
        size = 2 * settings.mask_erosion + 1
        corner &= cv2.erode(mask.astype(np.uint8), np.ones((size, size), np.uint8)) > 0
    row, column = np.nonzero(corner)
    order = np.argsort(-strength[row, column], kind="stable")
    row, column = row[order], column[order]
    cell, across = settings.cell, width // settings.cell + 1
    square = (row // cell) * across + column // cell
    taken = (points[:, 1] // cell).astype(int) * across + (points[:, 0] // cell).astype(int)
    # The first of each square is its strongest corner.
    first = np.sort(np.unique(square, return_index=True)[1])
    first = first[~np.isin(square[first], taken)][:room]
    return np.stack([column[first], row[first]], -1).astype(np.float32)


def _step(
    alive: _Alive,
    there: Float32[np.ndarray, "h w 2"],
    back: Float32[np.ndarray, "h w 2"],
    following: UInt8[np.ndarray, "h w"],
    settings: TrackSettings,
) -> _Alive:
    height, width = following.shape
    moved = alive.points + _sample(there, alive.points)
    returned = moved + _sample(back, moved)
    good = np.linalg.norm(returned - alive.points, axis=1) < settings.forward_backward
    good &= (moved > _MARGIN).all(1) & (moved < [width - 1 - _MARGIN, height - 1 - _MARGIN]).all(1)
    alive = _Alive(moved[good], alive.ids[good], alive.patches[good])
    seen = _patches(following, alive.points)
    alike = (seen * alive.patches).sum((1, 2)) > settings.correlation
    mixed = (1 - settings.update) * alive.patches[alike] + settings.update * seen[alike]
    return _Alive(alive.points[alike], alive.ids[alike], _normalized(mixed))


def _sample(flow: Float32[np.ndarray, "h w 2"], points: Float32[np.ndarray, "n 2"]) -> Float32[np.ndarray, "n 2"]:
    import cv2

    if not len(points):
        return np.zeros((0, 2), np.float32)
    x, y = (np.ascontiguousarray(points[:, k : k + 1]) for k in (0, 1))
    return np.asarray(cv2.remap(flow, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0], np.float32)


def _patches(gray: UInt8[np.ndarray, "h w"], points: Float32[np.ndarray, "n 2"]) -> Float32[np.ndarray, "n p p"]:
    """[N, 11, 11] pictures around the points, mean 0 and length 1."""
    import cv2

    size = 2 * _PATCH + 1
    if not len(points):
        return np.zeros((0, size, size), np.float32)
    offset = np.arange(-_PATCH, _PATCH + 1, dtype=np.float32)
    x = np.broadcast_to(points[:, 0, None, None] + offset[None, None, :], (len(points), size, size))
    y = np.broadcast_to(points[:, 1, None, None] + offset[None, :, None], (len(points), size, size))
    x, y = x.reshape(-1, size), y.reshape(-1, size)
    parts = [
        cv2.remap(
            gray,
            np.ascontiguousarray(x[low : low + _REMAP_ROWS]),
            np.ascontiguousarray(y[low : low + _REMAP_ROWS]),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for low in range(0, len(x), _REMAP_ROWS)
    ]
    patches = np.concatenate(parts).reshape(-1, size, size).astype(np.float32)
    return _normalized(patches - patches.mean((1, 2), keepdims=True))


def _normalized(patches: Float32[np.ndarray, "n p p"]) -> Float32[np.ndarray, "n p p"]:
    length = np.sqrt((patches**2).sum((1, 2), keepdims=True))
    return np.asarray(patches / (length + np.float32(1e-3)), np.float32)
