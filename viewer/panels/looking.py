"""How the scene is drawn: the kind of picture, background, light, guesses, and how sure the present view is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recon4d.viewer.look import HINTS, MODES
from recon4d.viewer.text import escaped

if TYPE_CHECKING:
    from recon4d.viewer.session import Session


class LookingPanel:
    """The controls of `look`."""

    def __init__(self, session: Session, container: Any) -> None:
        self.session = session
        gui, look = session.gui, session.look
        with container:
            self.mode = gui.add_dropdown("Show", MODES, initial_value=look.mode, hint="What the picture shows")
            self.words = gui.add_markdown(escaped(HINTS[look.mode]))
            self.guesses = gui.add_checkbox(
                "Tint guesses", look.guesses, hint="Violet is what no input camera saw: it is a guess"
            )
            self.sure = gui.add_markdown("")
            with gui.add_folder("Background and light", expand_by_default=False):
                self.background = gui.add_rgb("Background", _bytes(look.background))
                self.brightness = gui.add_slider("Brightness", 0.2, 3.0, 0.05, look.brightness)
                self.lamp = gui.add_slider("Lamp", 0.0, 1.0, 0.05, look.lamp, hint="How much a lamp shades the surface")
                self.azimuth = gui.add_slider("Lamp from the side", -180, 180, 5, look.lamp_azimuth)
                self.elevation = gui.add_slider("Lamp from above", -90, 90, 5, look.lamp_elevation)
                self.exact = gui.add_checkbox(
                    "Exact picture at rest", look.exact, hint="Draw with recon4d's own rasterizer when nothing moves"
                )
        for control in (self.background, self.brightness, self.lamp, self.azimuth, self.elevation, self.exact):
            control.on_update(session.guarded(lambda _: self._apply()))
        self.mode.on_update(session.guarded(lambda _: self._set_mode()))
        self.guesses.on_update(session.guarded(lambda _: session.set_look(guesses=bool(self.guesses.value))))
        session.on_look.append(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Say how sure the present view is."""
        words = escaped(self.session.confidence_text())
        if self.sure.content != words:
            self.sure.content = words

    def _set_mode(self) -> None:
        self.words.content = escaped(HINTS[self.mode.value])
        self.session.set_look(mode=self.mode.value)

    def _apply(self) -> None:
        self.session.set_look(
            background=tuple(channel / 255 for channel in self.background.value),
            brightness=float(self.brightness.value),
            lamp=float(self.lamp.value),
            lamp_azimuth=float(self.azimuth.value),
            lamp_elevation=float(self.elevation.value),
            exact=bool(self.exact.value),
        )


def _bytes(color: tuple[float, float, float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * channel) for channel in color)
    return red, green, blue
