"""Which frames of a clip are fitted, and which are kept out to measure by.

Motion is followed through more frames than are fitted: what is neither fitted nor measured still helps to find masks,
cameras and tracks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from recon4d.core import InputError
from recon4d.data.motion import Clip
from recon4d.data.motion.selection import evenly_in_motion, nearest_marked
from recon4d.pipeline.settings import KEEP_OUT_EVERY, KEEP_OUT_FROM, MEASURED, ReconstructSettings


@dataclass(frozen=True)
class Split:
    """Which frames are fitted.

    Attributes:
        fitted: [T] frames to fit.
        measured: [T] frames kept out to measure by.
        rule: in words.
    """

    fitted: tuple[bool, ...]
    measured: tuple[bool, ...]
    rule: str

    @property
    def used(self) -> tuple[bool, ...]:
        """[T] frames whose pictures are looked at once the motion is known."""
        return tuple(fitted or measured for fitted, measured in zip(self.fitted, self.measured, strict=True))


def split_frames(clip: Clip, settings: ReconstructSettings, *, posed: bool, has_test: bool) -> Split:
    """Which frames are fitted, kept out, or neither.

    Args:
        clip: all frames that motion is followed in.
        settings: `keep_out`, `train_every`, and the most frames to fit.
        posed: the clip's cameras are known.
        has_test: the data set has images of its own to measure by.

    Raises:
        InputError: a `keep_out` that leaves nothing to fit or nothing to measure by.
    """
    limit = settings.frame_limit(posed=posed)
    if settings.train_every is not None:
        return _protocol(clip, settings.train_every, limit)
    used = evenly_in_motion(clip.motion, limit)
    if len(used) < len(clip) and clip.masks is not None:
        used = nearest_marked(used, clip.masked)
    count, every = len(used), settings.keep_out
    if every == "auto":
        every = KEEP_OUT_EVERY if count >= KEEP_OUT_FROM and not has_test else "none"
    chosen = " frame" if count == len(clip) else f" of the {count} frames that were chosen evenly in motion"
    if every == "none":
        rule = "the data set's test images" if has_test else "no frame is kept out: scores are those of fitted frames"
        return Split(_flags(clip, used), (False,) * len(clip), rule)
    kept = np.arange(count) % every == every // 2
    if kept.all() or not kept.any():
        raise InputError(
            "--keep-out",
            expected=f"a number that leaves frames to fit and frames to measure by of {count}",
            got=str(every),
            fix="give a smaller one, or none",
        )
    rule = f"every {_ordinal(every)}{chosen} is kept out of the fit"
    return Split(_flags(clip, used[~kept]), _flags(clip, used[kept]), rule)


def _protocol(clip: Clip, every: int, limit: int) -> Split:
    """Every so manieth frame of the clip is fitted, those between are measured."""
    due = clip.ranks % every == 0
    fitted, between = np.flatnonzero(due), np.flatnonzero(~due)
    if len(fitted) > limit:
        fitted = fitted[evenly_in_motion(clip.part(fitted).motion, limit)]
    rule = f"every {_ordinal(every)} frame is fitted, the frames between are kept out"
    if len(between) > MEASURED:
        between = between[np.unique(np.linspace(0, len(between) - 1, MEASURED).round().astype(int))]
        rule += f"; {len(between)} of them, evenly spread, are measured"
    return Split(_flags(clip, fitted), _flags(clip, between), rule)


def _flags(clip: Clip, rows: Int64[np.ndarray, " r"]) -> tuple[bool, ...]:
    flags: Bool[np.ndarray, " t"] = np.zeros(len(clip), bool)
    flags[rows] = True
    return tuple(flags.tolist())


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
