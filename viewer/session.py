"""One browser's session: its own time, camera and look at the project that all sessions share.

A single thread per session decides what is shown when: while it plays, the next frame; when something has changed, the
scene anew; when the camera has rested for a moment, the exact picture.  Panels call `changed` and the clock, and are
told when to refresh.

Does NOT build panels (`panels` does) or draw (`stage` does).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recon4d.core import Camera, Recon4dError
from recon4d.editors import SceneView
from recon4d.editors.journal import EditsChangedError
from recon4d.viewer import threads
from recon4d.viewer.confidence import describe
from recon4d.viewer.jobs import sentence
from recon4d.viewer.look import Look
from recon4d.viewer.playback import Playback
from recon4d.viewer.selecting import Selecting
from recon4d.viewer.shared import Shared
from recon4d.viewer.space import PageView
from recon4d.viewer.stage import Stage
from recon4d.viewer.text import shown

if TYPE_CHECKING:
    import viser

    from recon4d.editors.edits.base import Edit

REST = 0.1  # seconds without motion after which the camera rests
_FRAME = 1 / 30  # seconds between frames while playing, at least
_TELL = 0.1  # seconds between updates of the timeline while playing
_log = logging.getLogger(__name__)


class Session:
    """What belongs to one client.

    Args:
        shared: what all clients share.
        client: the client's handle.
    """

    def __init__(self, shared: Shared, client: viser.ClientHandle) -> None:
        self.shared, self.client = shared, client
        self.project = shared.project
        frame_times = shared.project.view.frame_times.double().numpy()
        self.playback = Playback(frame_times, float(frame_times[0]))
        self.look = Look()
        self.stage = Stage(client, shared)
        self.selecting = Selecting(self.project, self._selection_changed)
        self.reach = 0.15  # of clicks, brushes and handles, in subject radii
        self.on_time: list[Callable[[], None]] = []
        self.on_change: list[Callable[[], None]] = []
        self.on_look: list[Callable[[], None]] = []
        self.on_selection: list[Callable[[], None]] = []
        self._previewed: SceneView | None = None
        self.comparing: Callable[[], None] | None = None  # draws in place of the stage while frames are compared
        # Held while anything beside the pictures is brought up to date: changes come from many threads, and what two
        # of them take away and put up at once is taken away twice.  Whoever holds it waits for nothing.
        self.upkeep = threading.RLock()
        self._wake = threading.Event()
        self._dirty = True
        self._closed = False
        self._moved_at = time.monotonic()
        self._rested = False
        self._told_at = 0.0
        client.camera.on_update(self._on_camera)

    # ------------------------------------------------------------------------------------------------ for the panels

    @property
    def gui(self) -> Any:
        """The client's controls; untyped, because viser's types call read-only what its documents assign."""
        return self.client.gui

    @property
    def scene(self) -> Any:
        """What lies over the pictures; untyped for the same reason."""
        return self.client.scene

    @property
    def settled(self) -> bool:
        """Whether nothing moves, and the exact picture of the present moment is shown."""
        moving = self.playback.playing or self._dirty or not self._rested
        return not moving and self.stage.exact_shown.is_set()

    def start(self) -> None:
        """Begin to show the scene."""
        self.project.listen(self._project_changed)
        threads.begin(self._work, name=f"recon4d-session-{self.client.client_id}", stop=self.close)

    def close(self) -> None:
        """The browser has gone."""
        self._closed = True
        self.project.forget(self._project_changed)
        self.stage.painter.forget(self.client.client_id)
        self._wake.set()

    def changed(self) -> None:
        """Something that is to be seen has changed."""
        self._dirty = True
        self._moved_at = time.monotonic()
        self._wake.set()

    def set_look(self, **values: Any) -> None:
        """Look at the scene in another way."""
        self.look = replace(self.look, **values)
        self._refresh(self.on_look)
        self.changed()

    def preview(self, edit: Edit | None) -> None:
        """Show what one more edit would do, or the project as it is again."""
        self._previewed = None if edit is None else self.project.with_edit(edit)
        self.changed()

    def seek(self, moment: float) -> None:
        """Show another moment."""
        self.playback.seek(moment)
        self.time_changed()

    def time_changed(self) -> None:
        """The clock was set, started or stopped."""
        self._refresh(self.on_time)
        self.changed()

    def camera(self, width: int | None = None, height: int | None = None) -> Camera:
        """The client's camera, at the size of its window or another."""
        page = self.client.camera
        return self.shared.space.camera(
            page.wxyz,
            page.position,
            page.fov,
            width=width or max(page.image_width, 1),
            height=height or max(page.image_height, 1),
        )

    def go_to(self, view: PageView) -> None:
        """Put the client's camera elsewhere."""
        with self.client.atomic():
            page = self.client.camera
            page.up_direction = view.up
            page.position = view.position
            page.look_at = view.look_at
            page.fov = view.fov
        self.changed()

    def notify(self, title: str, body: str = "", *, color: Any = None, seconds: float | None = 6.0) -> Any:
        """Tell the artist something."""
        return self.client.add_notification(shown(title), shown(body, 400), auto_close_seconds=seconds, color=color)

    def guarded(self, action: Callable[[Any], Any]) -> Callable[[Any], None]:
        """A callback of a control whose errors are told to the artist."""

        def run(event: Any) -> None:
            # viser also calls back for values that were set from here; those come from no client.
            if event.client is None:
                return
            self.attempt(lambda: action(event))

        return run

    def attempt(self, action: Callable[[], Any]) -> bool:
        """Do something, and tell the artist where it fails; whether it went well."""
        try:
            action()
        except EditsChangedError:
            self.notify(
                "Another program has changed the edits",
                "Your change was not made. Press Reload under History to see theirs, and make yours again.",
                color="yellow",
                seconds=None,
            )
        except Recon4dError as error:
            self.notify("That did not work", sentence(error), color="red", seconds=12.0)
        except Exception:
            _log.exception("a control of the viewer failed")
            self.notify("That did not work", "This is a bug of recon4d; the terminal says more.", color="red")
        else:
            return True
        return False

    def confidence_text(self) -> str:
        """How sure the present view is, in words."""
        space = self.shared.space
        position = space.to_world(np.asarray(self.client.camera.position, dtype=np.float64))
        return describe(self.shared.view_confidence.degrees(position, self.playback.time))

    # -------------------------------------------------------------------------------------------------------- inside

    def _refresh(self, *kinds: list[Callable[[], None]]) -> None:
        with self.upkeep:
            for kind in kinds:
                for refresh in kind:
                    refresh()

    def _selection_changed(self) -> None:
        self._refresh(self.on_selection)
        self.changed()

    def _project_changed(self) -> None:
        self._previewed = None
        times = self.project.view.frame_times.double().numpy()
        if not np.array_equal(times, self.playback.frame_times):  # edits of time make the clip longer or shorter
            self.playback.frame_times = times
            self.playback.seek(self.playback.time)
            self._refresh(self.on_time)
        self.selecting.refresh()
        self._refresh(self.on_change, self.on_selection)
        self.changed()

    async def _on_camera(self, _: viser.CameraHandle) -> None:
        self._moved_at = time.monotonic()
        self._wake.set()

    def _work(self) -> None:
        before = time.monotonic()
        while not self._closed:
            self._wake.clear()
            now = time.monotonic()
            try:
                if self.playback.playing:
                    self._play(now - before)
                else:
                    self._look(now)
            except Exception:
                _log.exception("a picture could not be shown")
                self._dirty = False
            before = now
            self._wait(now)

    def _wait(self, begun: float) -> None:
        if self.playback.playing:
            rest = _FRAME - (time.monotonic() - begun)
            if rest > 0:
                time.sleep(rest)
        elif self._dirty or self._closed:
            return
        elif not self._rested:
            self._wake.wait(max(0.01, REST - (time.monotonic() - self._moved_at)))
        else:
            self._wake.wait()

    def _play(self, seconds: float) -> None:
        self.playback.advance(seconds)
        self._show()
        self._rested, self._dirty = False, True
        now = time.monotonic()
        if now - self._told_at > _TELL or not self.playback.playing:
            self._told_at = now
            self._refresh(self.on_time)

    def _look(self, now: float) -> None:
        rests = now - self._moved_at >= REST
        if self.comparing is not None:
            if self._dirty or not self._rested:
                self._dirty, self._rested = False, True
                self.comparing()
            return
        if self._dirty:
            self._dirty, self._rested = False, False
            self._show()
        elif not rests and self._rested:
            self._rested = False
            self._show()
        if rests and not self._rested:
            self._rested = True
            if self.look.exact and self.look.mode != "Mesh":
                self.stage.exact_shown.clear()
                self.stage.picture_sent.clear()
                self.stage.wish_exact(*self._shown_now())
            self._refresh(self.on_look)

    def _show(self) -> None:
        self.stage.show_splats(*self._shown_now())

    def _shown_now(self) -> tuple[Any, ...]:
        look = self.look
        wants = look.guesses or look.mode == "Confidence"
        moment = self.playback.nearest_frame_time() if self.playback.playing else self.playback.time
        confidence = self.shared.confidence() if wants else None
        return self._previewed or self.project.view, moment, look, self.selecting.shown, confidence
