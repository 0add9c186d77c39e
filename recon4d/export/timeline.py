"""Which moment of the scene each frame of a video shows.

Scenes are continuous in time, so slow motion is exact.  Does NOT know cameras.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from recon4d.core import InputError
from recon4d.scene import Scene

DEFAULT_FPS = 24.0
DEFAULT_SECONDS = 4.0  # of videos in which time stands still
MAX_FRAMES = 100_000
_SLACK = 1e-6  # seconds beyond the scene's times that are taken as rounding

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_FORMS = "all, a time in seconds, slow:0.25, or a range such as 0.5:2"


@dataclass(frozen=True)
class Timeline:
    """The frames of a video.

    Attributes:
        times: the scene's time of each frame, seconds.
        fps: frames per second of the video.
        frozen: whether time stands still.
    """

    times: tuple[float, ...]
    fps: float
    frozen: bool


def timeline(scene: Scene, text: str = "all", *, fps: float | None = None, seconds: float | None = None) -> Timeline:
    """The frames that a description of time means.

    "all" plays the scene once: its own frame times, or steps of 1 / fps in real time, or evenly within `seconds`.
    "A:B" plays from A to B seconds, backwards where A is later.  "slow:X" plays everything at X times the speed; the
    length follows.  A number is a moment at which time stands still for `seconds` (4 by default).

    Args:
        scene: whose times.
        text: one of the forms above.
        fps: frames per second of the video; by default the scene's own, but at least 24 where that is not tied to its
            frames.
        seconds: length of the video.

    Raises:
        InputError: another form, a time outside the scene's, or an impossible rate or length.
    """
    known = scene.frame_times.tolist()
    first, last = known[0], known[-1]
    own = (len(known) - 1) / (last - first) if len(known) > 1 else DEFAULT_FPS
    if fps is not None and not 0 < fps <= 1000:
        raise InputError("fps", expected="frames per second in (0, 1000]", got=repr(fps), fix="24 is a good choice")
    if seconds is not None and not 0 < seconds < math.inf:
        raise InputError("seconds", expected="a length above 0", got=repr(seconds), fix="4 is a good choice")
    rate = fps if fps is not None else max(own, DEFAULT_FPS)
    if text == "all" and len(known) > 1:
        if fps is None and seconds is None:
            return Timeline(tuple(known), own, frozen=False)
        return _played(first, last, 1.0, rate, seconds)
    if text == "all":
        return _still(first, rate, seconds)
    if re.fullmatch(_NUMBER, text):
        return _still(_inside(float(text), first, last), rate, seconds)
    if slow := re.fullmatch(f"slow:({_NUMBER})", text):
        speed = float(slow[1])
        if not 0 < speed < math.inf:
            raise InputError("time", expected="slow: and a speed above 0", got=repr(text[:60]), fix="try slow:0.25")
        if seconds is not None:
            raise InputError(
                "seconds",
                expected="no length beside slow:SPEED, which has one",
                got=repr(seconds),
                fix="leave it out, or give a range of time A:B instead",
            )
        return _played(first, last, speed, rate, None) if last > first else _still(first, rate, None)
    if span := re.fullmatch(f"({_NUMBER}):({_NUMBER})", text):
        begin, end = (_inside(float(value), first, last) for value in span.groups())
        return _played(begin, end, 1.0, rate, seconds) if begin != end else _still(begin, rate, seconds)
    raise InputError("time", expected=_FORMS, got=repr(text[:60]), fix="see docs/render.md")


def _played(begin: float, end: float, speed: float, fps: float, seconds: float | None) -> Timeline:
    """From begin to end: frames of 1 / fps at a speed, or evenly in so many seconds."""
    if seconds is not None:
        return Timeline(tuple(np.linspace(begin, end, _count(seconds * fps)).tolist()), fps, frozen=False)
    # The small allowance keeps rounding from losing the last frame.
    count = _count(math.floor(abs(end - begin) / speed * fps + 1e-6) + 1)
    step = math.copysign(speed / fps, end - begin)
    times = [begin + step * i for i in range(count)]
    return Timeline(tuple(min(max(time, min(begin, end)), max(begin, end)) for time in times), fps, frozen=False)


def _still(time: float, fps: float, seconds: float | None) -> Timeline:
    return Timeline((time,) * _count((DEFAULT_SECONDS if seconds is None else seconds) * fps), fps, frozen=True)


def _count(frames: float) -> int:
    if not frames <= MAX_FRAMES:
        raise InputError(
            "frames", expected=f"at most {MAX_FRAMES}", got=f"{frames:.0f}", fix="make the video shorter or lower --fps"
        )
    return max(1, round(frames))


def _inside(time: float, first: float, last: float) -> float:
    if not first - _SLACK <= time <= last + _SLACK:
        raise InputError(
            "time",
            expected=f"seconds from {first:g} to {last:g}, the times of the scene",
            got=f"{time:g}",
            fix="choose a time within the scene, or all",
        )
    return min(max(time, first), last)
