"""Selecting without drawing: by a range of values, by a plane, and by a mask of a frame of the film.

Does NOT know how selections are made; the editors do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from recon4d.core import InputError
from recon4d.editors import Plane, ValueRange
from recon4d.editors.keys import Vector
from recon4d.editors.selections.properties import Property
from recon4d.viewer.histogram import histogram
from recon4d.viewer.masks import selection_of
from recon4d.viewer.panels.incoming import on_file
from recon4d.viewer.pointing import Spot, hit, ray
from recon4d.viewer.source_clock import source_frame
from recon4d.viewer.wording import words

if TYPE_CHECKING:
    from recon4d.viewer.bench import Bench

AXES: dict[str, Vector] = {
    "+x": (1.0, 0.0, 0.0), "-x": (-1.0, 0.0, 0.0), "+y": (0.0, 1.0, 0.0), "-y": (0.0, -1.0, 0.0),
    "+z": (0.0, 0.0, 1.0), "-z": (0.0, 0.0, -1.0),
}  # fmt: skip
_MARKS = "/tools/plane"


class ValuesPanel:
    """A range of a histogram."""

    def __init__(self, bench: Bench, container: Any) -> None:
        self.bench, session = bench, bench.session
        self.session, gui = session, session.gui
        self._names: dict[str, Property] = {words(name): name for name in get_args(Property)}
        with container, gui.add_folder("By values", expand_by_default=False):
            self.value = gui.add_dropdown("Property", tuple(self._names), hint="Of the surfels, at the present moment")
            self.spread = gui.add_markdown("")
            self.low = gui.add_number("At least", 0.0, step=0.0001)
            self.high = gui.add_number("At most", 1.0, step=0.0001)
            self.take = gui.add_button("Select this range")
        self.value.on_update(session.guarded(lambda _: self.refresh()))
        self.take.on_click(session.guarded(lambda _: self._take()))
        self.refresh()

    def refresh(self) -> None:
        """Show the histogram of the property, and begin with its whole range."""
        name, session = self._names[self.value.value], self.session
        try:
            found = histogram(session.project.state, name, session.playback.time, self._direction())
        except InputError:
            self.spread.content = "All layers are locked or hidden."
            return
        self.spread.content = f"`{found.bars()}`\n\n{found.low:.4g} to {found.high:.4g}{_UNITS.get(name, '')}"
        self.low.value, self.high.value = found.low, found.high

    def _take(self) -> None:
        low, high = float(self.low.value), float(self.high.value)
        name, time = self._names[self.value.value], self.session.playback.time
        # The ends as they are shown have lost digits, which must not cost the surfels at the very ends.
        slack = 1e-6 * max(abs(low), abs(high), 1e-6)
        chosen = ValueRange(name, low - slack, high + slack, time=time, direction=self._direction())
        self.session.selecting.take(chosen, self.bench.tools.how)

    def _direction(self) -> Vector:
        x, y, z = (float(side) for side in self.session.shared.space.up)
        return x, y, z


_UNITS = {"normal": "\u00b0 from upwards", "speed": " units a second"}


class PlanePanel:
    """One side of a plane: along an axis, or through three clicks."""

    def __init__(self, bench: Bench, container: Any) -> None:
        self.bench, session = bench, bench.session
        self.session, gui = session, session.gui
        self.points: list[np.ndarray] = []
        with container, gui.add_folder("By a plane", expand_by_default=False):
            self.axis = gui.add_dropdown("Side", tuple(AXES), initial_value="+z", hint="The axis that it lies along")
            self.at = gui.add_number("From", _middle(session, "+z"), step=0.01, hint="Along the axis, scene units")
            self.take = gui.add_button("Select this side")
            self.other = gui.add_checkbox("The far side of the clicks", False)
            self.clicks = gui.add_button("Three clicks on the surface")
        self.axis.on_update(session.guarded(lambda _: self._set_axis()))
        self.take.on_click(session.guarded(lambda _: self._take()))
        self.clicks.on_click(session.guarded(lambda _: self._begin()))

    def _set_axis(self) -> None:
        self.at.value = _middle(self.session, self.axis.value)

    def _take(self) -> None:
        normal = AXES[self.axis.value]
        # "From 2" along -x is where x is -2 and less: the number goes along the axis that was chosen.
        place = float(self.at.value)
        point = (normal[0] * place, normal[1] * place, normal[2] * place)
        self._select(Plane(point, normal, time=self.session.playback.time))

    def _begin(self) -> None:
        self.points = []
        self._mark()
        self.bench.tools.intercept = self._click
        self.session.notify("Click three places on the surface", seconds=4.0)

    def _click(self, spot: Spot) -> None:
        session = self.session
        found = hit(session.project.view, session.playback.time, *ray(session, spot))
        if found is None:
            raise InputError("plane", expected="a click on the surface", got="one beside it", fix="click on the scene")
        self.points.append(found)
        self._mark()
        if len(self.points) == 3:
            self.bench.tools.intercept = None
            points, self.points = self.points, []
            eye = session.camera().center_in_world.double().numpy()
            try:
                self._select(plane_through(points, eye, session.playback.time, far=bool(self.other.value)))
            finally:
                self._mark()

    def _select(self, plane: Plane) -> None:
        if not self.session.selecting.take(plane, self.bench.tools.how):
            self.session.notify("Nothing selected", "There is nothing on that side.", seconds=3.0)

    def _mark(self) -> None:
        scene, space = self.session.scene, self.session.shared.space
        if (known := scene.get_handle_by_name(_MARKS)) is not None:
            known.remove()
        if self.points:
            places = space.to_page(np.stack(self.points)).astype(np.float32)
            scene.add_point_cloud(_MARKS, places, (0, 184, 255), point_size=0.02, point_shape="circle")


def plane_through(points: list[np.ndarray], eye: np.ndarray, time: float, *, far: bool) -> Plane:
    """The side of a plane through three points on which the eye is, or the far one.

    Raises:
        InputError: the points lie in a line.
    """
    first, second, third = points
    normal = np.cross(second - first, third - first)
    length, reach = float(np.linalg.norm(normal)), float(np.linalg.norm(second - first))
    if length <= 1e-4 * max(reach, float(np.linalg.norm(third - first))) ** 2:
        raise InputError("plane", expected="three places that span a plane", got="a line", fix="click a corner apart")
    towards = normal / length * (1.0 if (eye - first) @ normal >= 0 else -1.0) * (-1.0 if far else 1.0)
    x, y, z = (float(side) for side in first)
    return Plane((x, y, z), (float(towards[0]), float(towards[1]), float(towards[2])), time=time)


def _middle(session: Any, axis: str) -> float:
    return round(float(np.asarray(AXES[axis]) @ session.shared.space.middle), 4)


class MaskPanel:
    """A mask of the frame of the film that is shown."""

    def __init__(self, bench: Bench, container: Any) -> None:
        self.bench, session = bench, bench.session
        self.session, gui = session, session.gui
        with container, gui.add_folder("By a mask of the frame", expand_by_default=False):
            gui.add_markdown("A PNG of the film's frame at the present moment: what is bright is selected.")
            self.upload = gui.add_upload_button("Upload a mask", icon="upload", mime_type="image/png")
        on_file(session, self.upload, self._take)

    def _take(self, _: str, content: bytes) -> None:
        session, tools = self.session, self.bench.tools
        project, time = session.project, session.playback.nearest_frame_time()
        camera = project.scene.cameras[source_frame(project.scene, project.stack, time)]
        mask = replace(selection_of(content, camera, time), through=tools.through)
        count = session.selecting.take(mask, tools.how)
        session.notify(f"{count:,} surfels selected" if count else "Nothing selected", seconds=3.0)
