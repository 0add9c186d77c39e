"""Attempts at the cameras, each kept as soon as it is done: a run that is stopped loses the one under way, no more."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from recon4d.data.motion.cameras.mapping import Model
from recon4d.data.motion.stage import StageCache, stage_key
from recon4d.data.motion.tracks import Tracks

_STAGE = "attempt"
_OF_MODEL = ("frames", "cam_from_world", "points", "point_ids", "point_errors")
_OF_TRACKS = ("positions", "frames", "ids")


@dataclass(frozen=True)
class Wanted:
    """What decides an attempt's result, besides the tracks.

    Attributes:
        way: of solving.
        keyframes: that are solved for.
        size: (width, height) of the clip.
        focal: pixels, to start from or to keep.
        refine, refine_at_end: whether to solve for it, and when.
        most_error, seed, max_seconds: see `map_tracks`; 0 where they do not matter.
    """

    way: str
    keyframes: tuple[int, ...]
    size: tuple[int, int]
    focal: float
    refine: bool
    refine_at_end: bool
    most_error: float = 0.0
    seed: int = 0
    max_seconds: int = 0


@dataclass(frozen=True, eq=False)
class Solved:
    """What an attempt found.

    Attributes:
        model: None where nothing could be registered.
        tracks: that it was solved with.
        closed: pairs of views in which the subject was seen again.
        fit: share of what was followed that fits one body; 1 where that is not measured.
        seconds: that it took.
    """

    model: Model | None
    tracks: Tracks
    closed: int = 0
    fit: float = 1.0
    seconds: float = 0.0


def kept(cache: StageCache | None, version: int, wanted: Wanted, tracks: Tracks, solve: Callable[[], Solved]) -> Solved:
    """An attempt's result: from the work folder, else solved and kept there."""
    key = stage_key(_STAGE, version, wanted, tracks.key)
    stored = cache.load(_STAGE, key) if cache is not None else None
    if stored is not None:
        return _unpacked(*stored, tracks)
    start = time.monotonic()
    solved = solve()
    solved = Solved(solved.model, solved.tracks, solved.closed, solved.fit, time.monotonic() - start)
    if cache is not None:
        _store(cache, key, solved, tracks)
    return solved


def _store(cache: StageCache, key: str, solved: Solved, tracks: Tracks) -> None:
    model = solved.model
    arrays: dict[str, Any] = {"numbers": np.array([solved.closed, solved.fit, solved.seconds], np.float64)}
    if model is not None:
        arrays |= {f"model_{name}": getattr(model, name) for name in _OF_MODEL}
        arrays["model_numbers"] = np.array([model.focal, model.error, model.timed_out], np.float64)
    if solved.tracks is not tracks:
        arrays |= {f"tracks_{name}": getattr(solved.tracks, name) for name in _OF_TRACKS}
    cache.store(_STAGE, key, {"tracks": solved.tracks.key}, arrays)


def _unpacked(record: dict[str, object], arrays: dict[str, Any], tracks: Tracks) -> Solved:
    model = None
    if "model_numbers" in arrays:
        parts = {name: np.array(arrays[f"model_{name}"]) for name in _OF_MODEL}
        focal, error, timed_out = arrays["model_numbers"].tolist()
        model = Model(focal=focal, error=error, timed_out=bool(timed_out), **parts)
    if "tracks_ids" in arrays:
        positions, frames, ids = (np.array(arrays[f"tracks_{name}"]) for name in _OF_TRACKS)
        tracks = Tracks(positions, frames, ids, tracks.count, tracks.length, str(record["tracks"]))
    closed, fit, seconds = arrays["numbers"].tolist()
    return Solved(model, tracks, int(closed), fit, seconds)
