"""Looking closely: the input frame beside the scene, and the tape measure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recon4d.core import Camera, InputError
from recon4d.export.pose_track import fitted_to
from recon4d.viewer import exact
from recon4d.viewer.inputs import laid_in, wiped
from recon4d.viewer.measuring import Tape
from recon4d.viewer.painter import Wish
from recon4d.viewer.source_clock import source_frame
from recon4d.viewer.stage import MAX_SIDE
from recon4d.viewer.text import escaped

if TYPE_CHECKING:
    from recon4d.viewer.bench import Bench


class ReviewPanel:
    """The controls of `inputs` and `measuring`."""

    def __init__(self, bench: Bench, container: Any) -> None:
        self.bench, session = bench, bench.session
        self.session = session
        self.tape = Tape(session, [])
        gui, guarded = session.gui, session.guarded
        with container:
            with gui.add_folder("Compare with the input", expand_by_default=False):
                self.view = gui.add_button("Look from the input camera", hint="At the present moment")
                self.compare = gui.add_checkbox("Show the input frame", False, hint="Right of the line is the input")
                self.wipe = gui.add_slider("Wipe", 0.0, 1.0, 0.01, 0.5)
            with gui.add_folder("Measure", expand_by_default=False):
                self.measure = gui.add_checkbox("Measure by two clicks", False)
                self.length = gui.add_markdown("")
                self.known = gui.add_number("Known length (m)", 1.0, min=0.0001, step=0.01)
                self.set_scale = gui.add_button("The measured way is this long", hint="Sets the scale of the scene")
        self.view.on_click(guarded(lambda _: self.look()))
        self.compare.on_update(guarded(lambda _: self._switch()))
        self.wipe.on_update(guarded(lambda _: session.changed()))
        self.measure.on_update(guarded(lambda _: self._take_tape()))
        self.set_scale.on_click(guarded(lambda _: self._scale()))
        session.on_change.append(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Say what is measured."""
        self.length.content = escaped(self.tape.words()) if self.measure.value else "Distances on the surface."

    def _filmed(self) -> int:
        """The frame of the film that the present moment shows, whatever edits have done to the time."""
        project, clock = self.session.project, self.session.playback
        return source_frame(project.scene, project.stack, clock.nearest_frame_time())

    def _camera(self) -> Camera:
        return self.session.project.scene.cameras[self._filmed()]

    def look(self) -> None:
        """Stand where the input camera stood at the present moment."""
        self.session.go_to(self.session.shared.space.page_camera(self._camera()))

    def _switch(self) -> None:
        session = self.session
        if self.compare.value:
            try:
                self._frame()  # says so at once where there is none
            except InputError:
                self.compare.value = False
                raise
            self.look()
            session.comparing = self._draw
        else:
            session.comparing = None
        session.changed()

    def _frame(self) -> np.ndarray:
        times = self.session.project.scene.frame_times
        step = float(times[-1] - times[0]) / max(len(times) - 1, 1)
        return self.session.shared.inputs.frame(float(times[self._filmed()]), step)

    def _draw(self) -> None:
        """Ask the painter for both, with a line between them."""
        session, page = self.session, self.session.client.camera
        share = min(1.0, MAX_SIDE / max(page.image_width, page.image_height, 1))
        width, height = max(1, round(page.image_width * share)), max(1, round(page.image_height * share))
        own, look, time = self._camera(), replace(session.look, guesses=False), session.playback.nearest_frame_time()
        view, place, frames = session.project.view, float(self.wipe.value), []
        if not session.attempt(lambda: frames.append(self._frame())):
            session.comparing, self.compare.value = None, False
            return

        def draw(w: int, h: int) -> exact.Picture:
            fitted = fitted_to(own, w, h)
            picture = exact.draw(view, time, fitted, look)
            return wiped(picture, laid_in(frames[0], own, fitted), place)

        session.stage.painter.wish(session.client.client_id, Wish(width, height, draw, session.stage.show_picture))

    def _take_tape(self) -> None:
        if self.measure.value:
            self.bench.tools.intercept = self._click
        else:
            self.bench.tools.intercept = None
            self.tape.clear()
        self.refresh()

    def _click(self, spot: tuple[float, float]) -> None:
        self.tape.click(spot)
        self.refresh()

    def _scale(self) -> None:
        metres = self.tape.metres_per_unit(float(self.known.value))
        project = self.session.project
        project.note(replace(project.notes, metres_per_unit=metres))
        self.session.notify("The scale is set", f"One scene unit is {metres:.4g} m.")
        self.refresh()
