"""A client's clock: which moment of the scene is shown, and how it goes on while it plays.

Pure arithmetic of seconds: the caller says what time it is.  Does NOT sleep, draw or know viser.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)


@dataclass
class Playback:
    """The clock of one client.

    Attributes:
        frame_times: [F] seconds of the scene's frames, increasing.
        time: the moment shown, seconds of the scene.
        playing: whether it goes on.
        loop: begin again at the end, else stop there.
        speed: seconds of the scene in a second; negative plays backwards.
    """

    frame_times: Float[np.ndarray, " f"]
    time: float = 0.0
    playing: bool = False
    loop: bool = True
    speed: float = 1.0
    _beyond: float = 0.0  # seconds after the last frame, before the first is shown again

    def __post_init__(self) -> None:
        self.time = self.clamped(self.time)

    @property
    def first(self) -> float:
        """The first moment."""
        return float(self.frame_times[0])

    @property
    def last(self) -> float:
        """The last moment."""
        return float(self.frame_times[-1])

    @property
    def frame(self) -> int:
        """The frame nearest to the moment shown."""
        return int(np.abs(self.frame_times - self.time).argmin())

    def clamped(self, time: float) -> float:
        """The time, within the clip."""
        return min(max(time, self.first), self.last)

    def seek(self, time: float) -> None:
        """Show another moment."""
        self.time, self._beyond = self.clamped(time), 0.0

    def seek_frame(self, frame: int) -> None:
        """Show a frame, the nearest there is."""
        self.seek(float(self.frame_times[min(max(frame, 0), len(self.frame_times) - 1)]))

    def step(self, frames: int) -> None:
        """Go so many frames on, or back; stops playing.  Runs around the ends where it loops."""
        self.playing = False
        target = self.frame + frames
        if self.loop:
            target %= len(self.frame_times)
        self.seek_frame(target)

    def play(self) -> None:
        """Go on, from the beginning where the end has been reached."""
        self.playing = len(self.frame_times) > 1
        if not self.loop and self.time >= self.last and self.speed > 0:
            self.seek(self.first)
        if not self.loop and self.time <= self.first and self.speed < 0:
            self.seek(self.last)

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass; nothing happens unless it plays."""
        if not self.playing:
            return
        time, span = self.time + self._beyond + seconds * self.speed, self.last - self.first
        if self.loop:
            # The step from the last frame back to the first takes as long as one between frames.
            round_trip = span + span / max(len(self.frame_times) - 1, 1)
            along = (time - self.first) % round_trip
            self._beyond = max(along - span, 0.0)
            self.time = self.clamped(self.first + along)
        else:
            self.time = self.clamped(time)
            self.playing = self.first < time < self.last

    def nearest_frame_time(self) -> float:
        """The moment of the nearest frame: what is packed for playing, so that rounds are packed once."""
        return float(self.frame_times[self.frame])
