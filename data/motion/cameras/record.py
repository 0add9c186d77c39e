"""What the camera stage is asked for and what it answers: settings, poses, and a health record of what was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int32

from recon4d.core import Camera, InputError

CameraMode = Literal["auto", "given", "static", "scene", "object"]
MAY_TURN = "these are the camera's poses: where the subject itself turns, object mode may show more sides"
"""Warns of cameras that were solved on the background although there is a subject."""
CAMERA_MODES: tuple[CameraMode, ...] = ("auto", "given", "static", "scene", "object")


@dataclass(frozen=True)
class CameraSettings:
    """How to find the cameras.

    Attributes:
        mode: given (from the source), static (one pose), scene (from the background), object (from the subject: it
            stands still in the world and the camera goes around it), or auto.
        focal: focal length as a multiple of the long side; None takes EXIF data, else solves for it.
        max_seconds: limit of each attempt at mapping.  Where it is reached the result depends on the machine's speed,
            and the health record says so.
        seed: of everything random.
        keyframes: at most this many of the clip's keyframes are used.
    """

    mode: CameraMode = "auto"
    focal: float | None = None
    max_seconds: int = 180
    seed: int = 0
    keyframes: int = 60

    def __post_init__(self) -> None:
        if self.mode not in CAMERA_MODES:
            raise InputError("cameras", expected=", ".join(CAMERA_MODES), got=repr(self.mode), fix="choose one of them")
        if self.focal is not None and not 0.2 <= self.focal <= 20:
            raise InputError(
                "focal",
                expected="a multiple of the image's long side from 0.2 to 20",
                got=repr(self.focal),
                fix="about 0.8 is a phone, 1.2 a normal lens; divide pixels by the long side",
            )
        for name, least in (("max_seconds", 1), ("keyframes", 3), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(name, expected=f">= {least}", got=repr(getattr(self, name)), fix="raise it")


@dataclass(frozen=True)
class BackgroundMotion:
    """How the picture around the subject moves.

    Attributes:
        textured: share of the background where something can be followed.
        displacement_percent: median displacement since the first keyframe, its 90th percentile over the keyframes, in
            percent of the long side.
        followed: share of the background that follows one homography over a few keyframes; 1 is a camera that only
            turns, or a flat or far background.
        plain: too little texture to tell anything.
        still: the camera stands still.
    """

    textured: float
    displacement_percent: float
    followed: float
    plain: bool
    still: bool


@dataclass(frozen=True)
class Attempt:
    """One way tried.

    Attributes:
        name: what was tried.
        registered, total: keyframes with a pose, and all.
        points: 3D points.
        error_pixels: mean reprojection error.
        focal: as a multiple of the long side.
        range_degrees: largest angle between two viewing directions towards the points' middle.
        jerk: mean second difference of the camera's path over the mean first difference; below 0.3 is smooth.
        accepted: it passed all the gates.
        failures: the gates that it did not pass, as sentences.
        seconds: of wall-clock time.
    """

    name: str
    registered: int
    total: int
    points: int
    error_pixels: float
    focal: float
    range_degrees: float
    jerk: float
    accepted: bool
    failures: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class CameraHealth:
    """What was chosen and why.

    Attributes:
        asked: the mode asked for.
        chosen: given, static, scene, object, or rotation (a camera that only turns).
        reason: why, in a sentence.
        attempts: everything tried, in order.
        background: how the background moves; None where it was not looked at.
        focal_source: given, exif, solved, assumed or file.
        solved_share: share of frames with a measured pose; the others are interpolated.
        range_degrees: largest angle between two viewing directions towards the middle.
        confident: whether the poses passed every gate.
        warnings: sentences for the user.
    """

    asked: str
    chosen: str
    reason: str
    attempts: tuple[Attempt, ...]
    background: BackgroundMotion | None
    focal_source: str
    solved_share: float
    range_degrees: float
    confident: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class CameraSolution:
    """A camera for each frame of a clip, in one world.

    Up is +z (the mean of the cameras' up), the origin is the middle of the points, and nine tenths of them lie within
    one unit.  Where there are no points (static, rotation) the camera is 4 units from the origin; then size and
    distance mean nothing.  Cameras that were given keep their own world.

    Attributes:
        cameras: float64, one for each frame, sharing one K unless given.
        solved: [T] the pose was measured in this frame; otherwise it is interpolated.
        points: [P, 3] points in the world; of the subject in object mode, else of the background.
        point_ids: [P] which track each point comes from.
        point_errors: [P] mean reprojection error in pixels.
        health: what was chosen and why.
        key: identifies content and settings.
    """

    cameras: tuple[Camera, ...]
    solved: Bool[np.ndarray, " t"]
    points: Float64[np.ndarray, "p 3"]
    point_ids: Int32[np.ndarray, " p"]
    point_errors: Float64[np.ndarray, " p"]
    health: CameraHealth
    key: str
