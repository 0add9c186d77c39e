"""The timeline: play, pause, step, scrub, loop and speed; frames and seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon4d.viewer.playback import SPEEDS

if TYPE_CHECKING:
    from recon4d.viewer.session import Session

_BUTTONS = ("|\u25c0", "\u25c0", "Play", "\u25b6", "\u25b6|")


class TimelinePanel:
    """The window at the bottom."""

    def __init__(self, session: Session) -> None:
        self.session = session
        gui = session.gui
        self.panel = gui.add_panel()
        last = len(session.playback.frame_times) - 1
        with self.panel.add_tab("Timeline", "player-play"):
            self.place = gui.add_markdown("")
            self.frame = gui.add_slider("Frame", min=0, max=max(last, 1), step=1, initial_value=0, disabled=last == 0)
            self.buttons = gui.add_button_group(
                "Playback", _BUTTONS, hint="First frame, one back, play or pause (Space), one on, last frame"
            )
            self.speed = gui.add_dropdown("Speed", [_times(speed) for speed in SPEEDS], initial_value=_times(1.0))
            self.loop = gui.add_checkbox("Loop", initial_value=session.playback.loop)
        self.frame.on_update(session.guarded(lambda _: self._scrub()))
        self.buttons.on_click(session.guarded(lambda _: self._press(self.buttons.value)))
        self.speed.on_update(session.guarded(lambda _: self._set_speed()))
        self.loop.on_update(session.guarded(lambda _: self._set_loop()))
        session.on_time.append(self.refresh)
        self.refresh()

    def toggle(self) -> None:
        """Play, or pause."""
        clock = self.session.playback
        if clock.playing:
            clock.playing = False
        else:
            clock.play()
        self.session.time_changed()

    def step(self, frames: int) -> None:
        """Go on or back by frames."""
        self.session.playback.step(frames)
        self.session.time_changed()

    def refresh(self) -> None:
        """Show where the clock is."""
        clock = self.session.playback
        state = "playing" if clock.playing else "paused"
        last = len(clock.frame_times) - 1
        if last >= 1 and self.frame.max != last:
            self.frame.max = last
        self.place.content = (
            f"Frame **{clock.frame}** of {last} \u00b7 **{clock.time:.2f} s** of {clock.last:.2f} s \u00b7 {state}"
        )
        if self.frame.value != clock.frame:
            self.frame.value = clock.frame

    def _scrub(self) -> None:
        self.session.playback.playing = False
        self.session.playback.seek_frame(int(self.frame.value))
        self.session.time_changed()

    def _press(self, button: str) -> None:
        clock = self.session.playback
        if button == "Play":
            self.toggle()
        elif button in ("\u25c0", "\u25b6"):
            self.step(-1 if button == "\u25c0" else 1)
        else:
            clock.playing = False
            clock.seek_frame(0 if button == "|\u25c0" else len(clock.frame_times) - 1)
            self.session.time_changed()

    def _set_speed(self) -> None:
        self.session.playback.speed = dict(zip(map(_times, SPEEDS), SPEEDS, strict=True))[self.speed.value]

    def _set_loop(self) -> None:
        self.session.playback.loop = bool(self.loop.value)


def _times(speed: float) -> str:
    return f"{speed:g}\u00d7"
