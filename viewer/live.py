"""Watching a scene while it is being made: layers come in, and every browser shows them.

Knows layers of a scene and words, and nothing of who makes them.  What is edited here is not kept: the scene is another
one a moment later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from recon4d.core import Camera
from recon4d.export import find_subject
from recon4d.field import BonesWarp, RigidWarp, Warp
from recon4d.scene import Layer, Scene
from recon4d.viewer.app import Viewer
from recon4d.viewer.project import Project
from recon4d.viewer.text import escaped

EVERY = 3.0  # seconds between two scenes, at least
_FPS = 24.0
_MOST_FRAMES = 240
_AWAY = 4.2  # radii of the subject, that browsers first stand away: all of it is seen between the panels
_LAST_WORDS = 0.3  # seconds for the last words to reach the pages
_log = logging.getLogger(__name__)


class LiveViewer:
    """A viewer whose scene is given again and again.

    Args:
        host, port: see `Viewer`.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 8080) -> None:
        self.viewer = Viewer(Project(_empty()), host=host, port=port, sparing=False)
        self._status = self.viewer.server.viser.gui.add_markdown("The scene is being made.")
        self._shown_at = -EVERY
        self._begun = False

    @property
    def link(self) -> str:
        """A new address that opens the viewer in one browser, once."""
        return self.viewer.link

    def show(self, layers: Callable[[], Sequence[Layer]], words: str, *, last: bool = False) -> None:
        """Show how far the scene is; never raises, because what makes it must go on.

        Args:
            layers: gives copies of the layers; called only when they will be shown.
            words: on how it goes.
            last: show it in any case.
        """
        try:
            self.tell(words)
            now = time.monotonic()
            if not last and (now - self._shown_at < EVERY or not self.viewer.sessions):
                return
            self._shown_at = now
            self.replace(scene_of(layers()))
        except Exception:
            _log.exception("the scene could not be shown while it was made")

    def replace(self, scene: Scene) -> None:
        """Show another scene."""
        self.viewer.project.replace_scene(scene)
        if not self._begun:
            # Later scenes have nearly the same size and place, and browsers have chosen where they stand.
            self._begun = True
            self.viewer.scene_replaced()

    def tell(self, words: str) -> None:
        """Show words on every page."""
        content = f"**Watching.** {escaped(words, 200)} Edits made here are not kept."
        if self._status.content != content:
            self._status.content = content

    def stop(self) -> None:
        """Say on every page that this is over, because pages cannot tell it from a bad line, and end the viewer."""
        if self.viewer.sessions:
            self._status.content = "**Ended.** The terminal says how it went; `recon4d view` opens the scene."
            self.viewer.server.viser.flush()
            time.sleep(_LAST_WORDS)
        self.viewer.stop()


def scene_of(layers: Sequence[Layer]) -> Scene:
    """A scene of layers whose frames and cameras are not known: times are those of the motion."""
    spans = [span for layer in layers if (span := _span(layer.field.warp.underlying)) is not None]
    first, last = (min(a for a, _ in spans), max(b for _, b in spans)) if spans else (0.0, 0.0)
    count = min(_MOST_FRAMES, max(1, round((last - first) * _FPS) + 1))
    times = torch.linspace(first, last, count, dtype=torch.float64) if last > first else torch.tensor([first]).double()
    lens = Camera.look_at([0.0, -4.0, 1.0], fov_y_degrees=40.0, width=640, height=480)
    rough = Scene(times, [lens] * len(times), list(layers))
    subject = find_subject(rough)
    middle = subject.middle_at(first)
    eye = middle + _AWAY * subject.radius * np.array([0.35, -1.0, 0.35])
    camera = Camera.look_at(torch.from_numpy(eye), torch.from_numpy(middle), fov_y_degrees=40.0, width=640, height=480)
    return Scene(times, [camera] * len(times), list(layers))


def _span(warp: Warp) -> tuple[float, float] | None:
    """First and last second of a motion; None where nothing moves."""
    if isinstance(warp, BonesWarp | RigidWarp):
        return warp.path.start, warp.path.end
    return None


def _empty() -> Scene:
    camera = Camera.look_at([0.0, -4.0, 1.0], width=640, height=480)
    return Scene(torch.zeros(1, dtype=torch.float64), [camera], [])
