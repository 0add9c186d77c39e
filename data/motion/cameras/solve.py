"""Stage 3: find the cameras of a clip, and say what was chosen and how healthy it is.

`auto` measures how the background moves, tries what that suggests, passes every result through the gates, and falls
back step by step: the subject grown from a piece of the clip, mapping with the focal length solved for, or fixed, the
upper part of the subject alone (legs move most), a camera that only turns, and at last one that stands still, which is
said plainly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from recon4d.core import InputError
from recon4d.data.motion.cameras import between, gates
from recon4d.data.motion.cameras.attempts import Solved, Wanted, kept
from recon4d.data.motion.cameras.background import background_motion
from recon4d.data.motion.cameras.growth import Grown, grow
from recon4d.data.motion.cameras.loops import close_loops
from recon4d.data.motion.cameras.mapping import Model, longest, map_tracks, pixel_scale
from recon4d.data.motion.cameras.record import (
    MAY_TURN,
    Attempt,
    BackgroundMotion,
    CameraHealth,
    CameraSettings,
    CameraSolution,
)
from recon4d.data.motion.cameras.rotation import Turning, turning_camera
from recon4d.data.motion.cameras.stored import cameras_of, store, unpacked
from recon4d.data.motion.clip import Clip
from recon4d.data.motion.flow import require_sequence
from recon4d.data.motion.selection import evenly_in_motion, nearest_marked
from recon4d.data.motion.stage import (
    Progress,
    StageCache,
    array_digest,
    no_progress,
    open_cache,
    stage_key,
)
from recon4d.data.motion.tracks import Tracks, TrackSettings, track_points

_VERSION = 8
_ASSUMED_FOCAL = 1.2  # Multiple of the long side, where nothing tells it.
_TURNS_ENOUGH = 30.0  # Degrees seen of a subject that make object mode worth more than the scene's cameras.
_HARDLY_TURNS = 20.0  # Below, bending can look like turning: a dancer seen from the front gave 13 and 17 degrees.
_ONLY_TURNS = 0.7  # Share of the background on one homography from which a camera may be taken to only turn.
_SURELY_ONLY_TURNS, _TURNING_ERROR = 0.9, 0.5  # As above, and pixels at a long side of 864.
_GROWN_KEYFRAMES, _GROWN_POINTS = 50, 150  # More take longer and were not better.
_FIRM = 0.25  # Trust from which a point belongs to the part that keeps its shape.
_LEAST_FIT = 0.5
_SUBJECT_TRACKS = TrackSettings()
_SCENE_TRACKS = TrackSettings(max_side=480, cell=9)


@dataclass(frozen=True, eq=False)
class _Tried:
    """An attempt with what it found."""

    attempt: Attempt
    model: Model | None
    tracks: Tracks
    closed: int = 0


def solve_cameras(
    clip: Clip,
    masks: UInt8[np.ndarray, "t h w"] | None = None,
    settings: CameraSettings | None = None,
    *,
    work: str | Path | StageCache | None = None,
    progress: Progress = no_progress,
) -> CameraSolution:
    """Find a camera for each frame.

    With masks, `auto` takes the subject's poses before a plain or still background; before one that moves, the camera's
    where the background's parallax fixes it, else the subject's where they see it from 30 degrees or more, else a
    camera that only turns.

    Args:
        clip: frames of one camera (of several only where their cameras are given).
        masks: [T, H, W] the subject, 128 and more = yes; None where the whole picture stands still in the world.
        settings: see `CameraSettings`.
        work: folder that keeps the result, the tracks, and each attempt as soon as it is done.
        progress: called as `progress("cameras", done, total)`; tracking reports as "tracks".

    Raises:
        InputError: masks of another shape; object mode without masks; given cameras where the source has none; several
            cameras that are not given.
    """
    settings = settings or CameraSettings()
    _check(clip, masks, settings)
    cache = open_cache(work)
    key = stage_key("cameras", _VERSION, settings, clip.key, array_digest(masks))
    stored = cache.load("cameras", key) if cache else None
    if stored is not None:
        return unpacked(stored, clip, key)
    solution = _Solver(clip, masks, settings, cache, progress, key).solve()
    if cache is not None:
        store(cache, solution)
    return solution


def _check(clip: Clip, masks: UInt8[np.ndarray, "t h w"] | None, settings: CameraSettings) -> None:
    if masks is not None and masks.shape != clip.frames.shape[:3]:
        raise InputError(
            "masks",
            expected=f"{len(clip)} masks of {clip.width}x{clip.height}",
            got=f"shape {list(masks.shape)}",
            fix="give one mask for each frame of the clip, at its size",
        )
    if settings.mode == "given" and clip.cameras is None:
        raise InputError(
            "cameras",
            expected="a data set with a camera for each frame",
            got="frames without cameras",
            fix="use --cameras auto",
        )
    if settings.mode == "object" and masks is None:
        raise InputError(
            "cameras", expected="masks of the subject for object mode", got="none", fix="give masks or use scene mode"
        )
    if not (settings.mode == "given" or (settings.mode == "auto" and clip.cameras is not None)):
        require_sequence(clip, "cameras")


class _Solver:
    """One call of `solve_cameras`, with what it has measured and tried so far."""

    def __init__(
        self,
        clip: Clip,
        masks: UInt8[np.ndarray, "t h w"] | None,
        settings: CameraSettings,
        cache: StageCache | None,
        progress: Progress,
        key: str,
    ) -> None:
        self.clip, self.masks, self.settings = clip, masks, settings
        self.cache, self.progress, self.key = cache, progress, key
        self.size = (clip.width, clip.height)
        self.keyframes = _thinned(clip.keyframes, settings.keyframes)
        self.tried: list[Attempt] = []
        self.found: list[_Tried] = []
        self.background: BackgroundMotion | None = None
        long_side = max(self.size)
        if settings.focal is not None:
            self.focal, self.focal_source = settings.focal * long_side, "given"
        elif clip.focal_pixels is not None:
            self.focal, self.focal_source = clip.focal_pixels, "exif"
        else:
            self.focal, self.focal_source = _ASSUMED_FOCAL * long_side, "assumed"

    def solve(self) -> CameraSolution:
        mode = self.settings.mode
        if mode == "given" or (mode == "auto" and self.clip.cameras is not None):
            return self._given()
        if mode == "static":
            return self._still("static", "asked for", ())
        self.background = background_motion(self.clip, self.masks, self.keyframes)
        self.progress("cameras", 1, 8)
        solution = self._object_only() if mode == "object" else self._scene_only() if mode == "scene" else self._auto()
        self.progress("cameras", 8, 8)
        return solution

    # ------------------------------------------------------------------------------------------------ what to try

    def _auto(self) -> CameraSolution:
        background = self.background
        assert background is not None
        if self.masks is None:
            if background.still:
                text = "nothing but the subject moves, and it was not marked: no view but the input's can be trusted"
                return self._still("static", "the background stands still", (text,))
            return self._scene_only()
        if background.still or background.plain:
            return self._object_only()
        turning = self._only_turns()
        scene = None if turning else self._first_healthy(self._scene_ways())
        if scene is not None:
            return self._mapped(scene, "scene", "the background moves and its points fix the camera")
        subject = self._first_healthy(self._subject_ways())
        if subject is not None and subject.attempt.range_degrees >= _TURNS_ENOUGH:
            seen = f"{subject.attempt.range_degrees:.0f} degrees"
            return self._mapped(subject, "object", f"the subject is seen from {seen} as it turns or is walked around")
        return self._turned(turning) if turning else self._turning_or_still()

    def _object_only(self) -> CameraSolution:
        background = self.background
        assert background is not None
        where = "plain" if background.plain else "standing still" if background.still else "moving"
        subject = self._first_healthy(self._subject_ways())
        if subject is not None and subject.attempt.range_degrees >= _HARDLY_TURNS:
            return self._mapped(subject, "object", f"the background is {where}; the subject's own points fix its pose")
        if subject is not None:
            text = f"the subject turns by {subject.attempt.range_degrees:.0f} degrees at most: other sides are guesses"
            return self._still("static", "the subject hardly turns", (text,))
        partial = self._partial()
        if partial is not None:
            return partial
        text = "the subject's turning could not be solved: it is taken to stand still, other sides are guesses"
        return self._still("static", "no reconstruction of the subject passed the gates", (text,))

    def _scene_only(self) -> CameraSolution:
        turning = self._only_turns()
        if turning is not None:
            return self._turned(turning)
        scene = self._first_healthy(self._scene_ways())
        if scene is not None:
            return self._mapped(scene, "scene", "the background's points fix the camera")
        return self._turning_or_still()

    def _turning(self) -> Turning | None:
        tracks = self._tracks(_outside(self.masks), _SCENE_TRACKS)
        solve_focal = self.focal_source == "assumed"
        return turning_camera(tracks, self.keyframes, self.size, self.focal, solve_focal=solve_focal)

    def _only_turns(self) -> Turning | None:
        """Orientations, where turning alone explains the background: mapping would invent depth from noise."""
        assert self.background is not None
        if self.background.plain or self.background.followed < _SURELY_ONLY_TURNS:
            return None
        turning = self._turning()
        return turning if turning is not None and turning.error < _TURNING_ERROR * pixel_scale(*self.size) else None

    def _turning_or_still(self) -> CameraSolution:
        background = self.background
        assert background is not None
        if background.followed >= _ONLY_TURNS and not background.plain:
            turning = self._turning()
            if turning is not None:
                return self._turned(turning)
        if background.still:
            return self._still("static", "the background stands still", ())
        for tried in self.found:
            if tried.attempt.name.startswith("background") and gates.only_errs(tried.attempt, self.size):
                text = (
                    f"the camera's path errs by {tried.attempt.error_pixels:.2f} px: what was filmed does not quite "
                    "stand still, as in generated videos"
                )
                return self._mapped(tried, "scene", "nothing better explains how the background moves", (text,))
        text = "no camera path could be solved: the camera is taken to stand still, which is wrong for this clip"
        return self._still("static", "no reconstruction passed the gates", (text,))

    # ------------------------------------------------------------------------------------------------------- trying

    def _ways(self, what: str, tracks: Callable[[], Tracks]) -> list[Callable[[], _Tried]]:
        if self.focal_source != "assumed":
            return [lambda: self._try(f"{what}, {self.focal_source} focal length", tracks(), refine=False)]
        return [
            lambda: self._try(f"{what}, focal length solved", tracks(), refine=True),
            lambda: self._try(f"{what}, focal length {_ASSUMED_FOCAL:g} assumed at first", tracks(), refine=False),
        ]

    def _scene_ways(self) -> list[Callable[[], _Tried]]:
        return self._ways("background", lambda: self._tracks(_outside(self.masks), _SCENE_TRACKS))

    def _subject_ways(self) -> list[Callable[[], _Tried]]:
        assert self.masks is not None
        masks = self.masks
        ways = [self._grown, *self._ways("subject", lambda: self._tracks(masks, _SUBJECT_TRACKS))]
        upper = self._ways("upper part of the subject", lambda: self._tracks(_upper(masks), _SUBJECT_TRACKS))
        return [*ways, upper[-1]]

    def _first_healthy(self, ways: list[Callable[[], _Tried]]) -> _Tried | None:
        for way in ways:
            tried = way()
            self.tried.append(tried.attempt)
            self.found.append(tried)
            self.progress("cameras", 1 + len(self.tried), 8)
            if tried.attempt.accepted:
                return tried
        return None

    def _tracks(self, where: UInt8[np.ndarray, "t h w"] | None, settings: TrackSettings) -> Tracks:
        return track_points(self.clip, where, settings, work=self.cache, progress=self.progress)

    def _try(self, name: str, tracks: Tracks, *, refine: bool) -> _Tried:
        of_background = name.startswith("background")
        wanted = Wanted(
            "mapping",
            tuple(self.keyframes.tolist()),
            self.size,
            self.focal,
            refine=refine,
            refine_at_end=self.focal_source == "assumed" and not refine,
            most_error=4.0 if of_background else 2.0,
            seed=self.settings.seed,
            max_seconds=self.settings.max_seconds,
        )
        solved = kept(self.cache, _VERSION, wanted, tracks, lambda: self._map(wanted, tracks))
        model = solved.model
        # A subject does not shake as a hand does: there a jerky path is noise.
        most_jerk = 1.5 if of_background else 1.0
        attempt = gates.judge(
            model, name, self.keyframes, self.clip.source_frames, self.size, solved.seconds, most_jerk=most_jerk
        )
        if model is not None and model.timed_out:
            attempt = replace(attempt, name=f"{name} (stopped by the time limit)")
        return _Tried(attempt, model, tracks)

    def _map(self, wanted: Wanted, tracks: Tracks) -> Solved:
        model = map_tracks(
            tracks,
            self.keyframes,
            self.size,
            self.focal,
            refine_focal=wanted.refine,
            most_error=wanted.most_error,
            refine_at_end=wanted.refine_at_end,
            seed=wanted.seed,
            max_seconds=wanted.max_seconds,
            scratch=None if self.cache is None else self.cache.folder,
        )
        return Solved(model, tracks)

    def _grown(self) -> _Tried:
        """The subject's tracks, with what was seen again after a turn, grown from a piece."""
        assert self.masks is not None
        tracks = self._tracks(self.masks, _SUBJECT_TRACKS)
        keyframes = evenly_in_motion(self.clip.motion, min(_GROWN_KEYFRAMES, self.settings.keyframes))
        if self.clip.masks is not None and not self.clip.masked.all():
            keyframes = nearest_marked(keyframes, self.clip.masked)
        solve_focal = self.focal_source == "assumed"
        wanted = Wanted("grown", tuple(keyframes.tolist()), self.size, self.focal, False, solve_focal)
        solved = kept(self.cache, _VERSION, wanted, tracks, lambda: self._grow(tracks, keyframes, solve_focal))
        name = f"subject, grown from a piece, {solved.closed} views seen again"
        attempt = gates.judge(
            solved.model, name, keyframes, self.clip.source_frames, self.size, solved.seconds, most_jerk=1.0
        )
        if solved.fit < _LEAST_FIT:
            text = f"only {100 * solved.fit:.0f} % of what was followed fits one body"
            attempt = replace(attempt, accepted=False, failures=(*attempt.failures, text))
        return _Tried(attempt, solved.model, solved.tracks, solved.closed)

    def _grow(self, tracks: Tracks, keyframes: Int64[np.ndarray, " k"], solve_focal: bool) -> Solved:
        assert self.masks is not None
        closed, pairs = close_loops(self.clip, self.masks, tracks, keyframes)
        grown = grow(
            closed, tracks, keyframes, self.size, self.focal, longest(closed, keyframes, _GROWN_POINTS),
            solve_focal=solve_focal,
        )  # fmt: skip
        if grown is None:
            return Solved(None, closed, len(pairs))
        return Solved(_model_of(grown, keyframes), closed, len(pairs), grown.fit)

    def _partial(self) -> CameraSolution | None:
        """A subject solved in half of the keyframes or more, everything else in order: smooth between them."""
        for tried in self.found:
            model = tried.model
            only_count = len(tried.attempt.failures) == 1 and tried.attempt.failures[0].endswith("keyframes registered")
            if model is None or not only_count or len(model.frames) < 0.5 * len(self.keyframes):
                continue
            if model.frames[-1] - model.frames[0] < 0.8 * (self.keyframes[-1] - self.keyframes[0]):
                continue  # Not gaps to bridge: a part of the clip is missing.
            text = f"the subject's pose was solved in {len(model.frames)} of {len(self.keyframes)} keyframes only"
            return self._mapped(
                tried, "object", "a part of the keyframes registered, the rest is interpolated", (text,)
            )
        return None

    # ---------------------------------------------------------------------------------------------------- answering

    def _mapped(self, tried: _Tried, chosen: str, reason: str, warnings: tuple[str, ...] = ()) -> CameraSolution:
        model, attempt = tried.model, tried.attempt
        assert model is not None
        poses, solved = between.all_frames(model, tried.tracks, self.size, self.settings.seed)
        notes = list(warnings)
        if self.focal_source == "assumed" and abs(model.focal - self.focal) < 1e-9:
            notes.append(f"the focal length is assumed to be {_ASSUMED_FOCAL:g} times the long side: give --focal")
            source = "assumed"
        else:
            source = "solved" if self.focal_source == "assumed" else self.focal_source
        if chosen == "object":
            if attempt.range_degrees < 90:
                notes.append(f"the subject was seen from {attempt.range_degrees:.0f} degrees: views beyond are guesses")
            if not tried.closed:
                notes.append(
                    "no view was seen again: a subject that bends may be seen to turn more or less than it does"
                )
        elif self.masks is not None:
            notes.append(MAY_TURN)
        if model.timed_out:
            notes.append("mapping was stopped by its time limit: another run may give other poses")
        poses, points = between.tidy_world(poses, model.points)
        return self._solution(
            poses, solved, model.focal, points, model.point_ids, model.point_errors,
            self._health(chosen, reason, source, float(solved.mean()), attempt.range_degrees, attempt.accepted, notes),
        )  # fmt: skip

    def _turned(self, turning: Turning) -> CameraSolution:
        poses = np.tile(np.eye(4), (len(self.keyframes), 1, 1))
        poses[:, :3, :3] = turning.rotations
        full = between.interpolate(self.keyframes, poses, np.arange(len(self.clip)))
        source = "solved" if turning.focal_solved else self.focal_source
        solved = np.isin(np.arange(len(self.clip)), self.keyframes)
        text = "the camera only turns: it sees no depth, and the subject's unseen sides are guesses"
        reason = f"the background follows a turning camera to {turning.error:.2f} px and gives no parallax"
        moved, points = between.tidy_world(full, np.zeros((0, 3)))
        health = self._health("rotation", reason, source, float(solved.mean()), 0.0, True, [text])
        return self._solution(moved, solved, turning.focal, points, np.zeros(0, np.int32), np.zeros(0), health)

    def _still(self, chosen: str, reason: str, warnings: tuple[str, ...]) -> CameraSolution:
        poses, points = between.tidy_world(np.tile(np.eye(4), (len(self.clip), 1, 1)), np.zeros((0, 3)))
        background = self.background
        solved = np.ones(len(self.clip), bool)
        trusted = background is None or background.still or background.plain
        health = self._health(chosen, reason, self.focal_source, 1.0, 0.0, trusted and not warnings, list(warnings))
        return self._solution(poses, solved, self.focal, points, np.zeros(0, np.int32), np.zeros(0), health)

    def _given(self) -> CameraSolution:
        cameras = self.clip.cameras
        assert cameras is not None
        poses = np.stack([camera.cam_from_world.numpy() for camera in cameras])
        ahead = poses[:, 2, :3]
        angle = float(np.degrees(np.arccos(np.clip((ahead @ ahead.T).min(), -1, 1))))
        health = self._health("given", "the source has cameras", "file", 1.0, angle, True, [])
        solved = np.ones(len(cameras), bool)
        empty = (np.zeros((0, 3)), np.zeros(0, np.int32), np.zeros(0))
        return CameraSolution(cameras, solved, *empty, health, self.key)

    def _health(
        self, chosen: str, reason: str, source: str, share: float, angle: float, confident: bool, notes: list[str]
    ) -> CameraHealth:
        attempts = tuple(self.tried)
        return CameraHealth(
            self.settings.mode, chosen, reason, attempts, self.background, source, share, angle, confident, tuple(notes)
        )

    def _solution(
        self,
        poses: Float64[np.ndarray, "t 4 4"],
        solved: Bool[np.ndarray, " t"],
        focal: float,
        points: Float64[np.ndarray, "p 3"],
        ids: Any,
        errors: Any,
        health: CameraHealth,
    ) -> CameraSolution:
        cameras = cameras_of(poses, focal, self.size)
        return CameraSolution(cameras, solved, points, ids, errors, health, self.key)


def _model_of(grown: Grown, keyframes: Int64[np.ndarray, " k"]) -> Model:
    """The part that keeps its shape, as a model."""
    firm = grown.trust > _FIRM
    error = float(np.average(grown.point_errors[firm], weights=grown.trust[firm])) if firm.any() else np.inf
    return Model(
        keyframes, grown.cam_from_world, grown.focal, grown.points[firm], grown.point_ids[firm].astype(np.int32),
        grown.point_errors[firm], error, False,
    )  # fmt: skip


def _thinned(keyframes: Int64[np.ndarray, " k"], most: int) -> Int64[np.ndarray, " k"]:
    if len(keyframes) <= most:
        return keyframes
    return keyframes[np.unique(np.linspace(0, len(keyframes) - 1, most).round().astype(int))]


def _outside(masks: UInt8[np.ndarray, "t h w"] | None) -> UInt8[np.ndarray, "t h w"] | None:
    """Where the background is, with a margin around the subject."""
    import cv2

    if masks is None:
        return None
    size = 2 * max(2, max(masks.shape[1:]) // 100) + 1
    reach = np.ones((size, size), np.uint8)
    return np.stack([np.where(cv2.dilate(mask, reach) >= 128, 0, 255).astype(np.uint8) for mask in masks])


def _upper(masks: UInt8[np.ndarray, "t h w"]) -> UInt8[np.ndarray, "t h w"]:
    """The upper 55 % of the subject's height in each frame."""
    result = np.zeros_like(masks)
    for t, mask in enumerate(masks):
        rows = np.flatnonzero((mask >= 128).any(axis=1))
        if len(rows):
            end = rows[0] + round(0.55 * (rows[-1] - rows[0] + 1))
            result[t, :end] = mask[:end]
    return result
