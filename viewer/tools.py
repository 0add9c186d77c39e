"""The tools that select on the scene: what the mouse does, until another tool is taken.

Shift adds to the selection and Ctrl takes away, whatever the panel says.  Tools that draw need the mouse to themselves:
while one is taken, an invisible ball around everything catches what the page would take for turning the camera; the
camera is still turned by the right button, and by the wheel.

Does NOT edit: gestures become selections of the editors.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch

from recon4d.core import InputError
from recon4d.editors import Paint, chosen
from recon4d.editors.cameras import View
from recon4d.editors.edits.color import Stroke
from recon4d.editors.selections.base import Selection
from recon4d.editors.selections.properties import ByBones, bones_of
from recon4d.editors.selections.screen import Brush, Lasso, Polygon, Rectangle
from recon4d.editors.selections.surface import AlongSurface, ColorFlood
from recon4d.viewer import threads
from recon4d.viewer.handles import Handles
from recon4d.viewer.latest import Latest
from recon4d.viewer.pointing import Spot, click, pixels, ray, view_of
from recon4d.viewer.region import Region
from recon4d.viewer.selecting import How

if TYPE_CHECKING:
    from recon4d.viewer.session import Session

Tool = Literal[
    "Look", "Click", "Rectangle", "Lasso", "Polygon", "Brush", "Box", "Ball", "Part", "Colour", "Bone", "Object",
    "Handles", "Paint",
]  # fmt: skip
TOOLS: tuple[Tool, ...] = get_args(Tool)
HINTS: dict[Tool, str] = {
    "Look": "Drag to turn, right-drag to move, wheel to come closer.",
    "Click": "Click on the scene to select what is within the reach.",
    "Rectangle": "Drag a rectangle over what you want.",
    "Lasso": "Drag a line around what you want.",
    "Polygon": "Click the corners, then press Enter, or click near the first corner.",
    "Brush": "Drag over what you want.",
    "Box": "Move the box over what you want, then press Enter.",
    "Ball": "Move the ball over what you want, then press Enter.",
    "Part": "Click on a part: the selection grows along the surface up to the reach.",
    "Colour": "Click on a colour: what is connected and of like colour is selected.",
    "Bone": "Click on a part that moves: all that follows the same bone is selected.",
    "Object": "Click on an object to select all of it.",
    "Handles": "Click on the surface to place handles, pull them, then press Apply under Deform.",
    "Paint": "Drag over the surface to paint on it.",
}
_DRAWS = ("Lasso", "Brush", "Paint")
_MODIFIERS: tuple[tuple[Any, How | None], ...] = ((None, None), ("shift", "Add"), ("cmd/ctrl", "Remove"))
_BALL = 400.0  # page units, farther than any picture
_NEAR = 0.25  # page units before the camera at which strokes are shown
_LIVE = 0.15  # seconds between updates of what a stroke has hit so far
_CLOSE = 0.02  # of the screen: a click this near to the first corner closes a polygon
_LEAST = 0.004  # of the screen, between points of a stroke
_MOST_POINTS = 2000


class Tools:
    """The mouse of one client.

    Args:
        session: whose.
        region: the box or ball.
        handles: for deforming.
    """

    def __init__(self, session: Session, region: Region, handles: Handles) -> None:
        self.session, self.region, self.handles = session, region, handles
        self.tool: Tool = "Look"
        self.how: How = "New"
        self.tolerance = 0.15
        self.through = False
        self.paint: tuple[float, float, float] = (0.2, 0.4, 0.9)
        self.intercept: Callable[[Spot], None] | None = None  # takes clicks in place of the tool, as for measuring
        self.on_tool: list[Callable[[], None]] = []
        self._ball: Any = None
        self._line = threading.Lock()
        self._taking = threading.Lock()  # keys and lists may both take one at once
        self._spots: list[Spot] = []
        self._live = 0.0
        self._drawn: tuple[list[Spot], How | None] = ([], None)
        self._lit = Latest(self._light_up)
        scene = session.scene
        for modifier, how in _MODIFIERS:
            scene.on_click(modifier=modifier)(session.guarded(partial(self._click, how)))

    def take(self, tool: Tool) -> None:
        """Take a tool."""
        with self._taking:
            self._change_to(tool)
        for refresh in self.on_tool:
            refresh()

    def _change_to(self, tool: Tool) -> None:
        scene = self.session.scene
        if self.tool == "Rectangle":
            scene.remove_rect_select_callback("all")
        self._let_go()
        self.tool = tool
        if tool == "Rectangle":
            for modifier, how in _MODIFIERS:
                scene.on_rect_select(modifier=modifier)(self.session.guarded(partial(self._rectangle, how)))
        elif tool in _DRAWS:
            self._ball = scene.add_icosphere("/tools/ball", _BALL, opacity=0.0, side="double", cast_shadow=False)
            for modifier, how in _MODIFIERS:
                self._ball.on_drag("left", modifier=modifier)(self._dragged(how))
        elif tool in ("Box", "Ball"):
            self.region.show(tool)

    def finish(self) -> None:
        """Close the polygon that is being drawn, or select what is in the box or ball."""
        if self.tool in ("Box", "Ball"):
            self._tell(self.region.take(self.how))
            return
        spots, self._spots = self._spots, []
        self._show_stroke([])
        if len(spots) >= 3:
            view = view_of(self.session)
            self._select(Polygon(view, self.through, points=pixels(spots, view)), None)
        elif spots:
            raise InputError("polygon", expected="at least 3 corners", got=str(len(spots)), fix="click more corners")

    def cancel(self) -> None:
        """Forget what is being drawn."""
        self._spots = []
        self._show_stroke([])

    def _let_go(self) -> None:
        self.cancel()
        self.region.hide()
        if self._ball is not None:
            self._ball.remove()
            self._ball = None

    def _select(self, selection: Selection, how: How | None) -> None:
        self._tell(self.session.selecting.take(selection, how or self.how))

    def _tell(self, count: int) -> None:
        if not count:
            self.session.notify("Nothing selected", "There is nothing there, or its layer is locked.", seconds=3.0)

    def _click(self, how: How | None, event: Any) -> None:
        spot = (float(event.screen_pos[0]), float(event.screen_pos[1]))
        if self.intercept is not None:
            self.intercept(spot)
            return
        session, reach = self.session, self.session.reach / self.session.shared.space.factor
        if self.tool in ("Look", "Rectangle", "Lasso", "Box", "Ball"):
            return
        if self.tool == "Polygon":
            self._corner(spot)
        elif self.tool == "Handles":
            self.handles.click(spot)
        elif self.tool in ("Brush", "Paint"):
            self._stroke([spot], how)
        elif self.tool == "Click":
            self._select(click(session, spot, radius=reach), how)
        elif self.tool == "Object":
            self._select(click(session, spot, layer=True), how)
        elif self.tool == "Part":
            self._select(AlongSurface(seed=click(session, spot), reach=reach), how)
        elif self.tool == "Colour":
            self._select(ColorFlood(seed=click(session, spot, radius=reach / 8), tolerance=self.tolerance), how)
        else:
            self._select(self._bone_under(spot), how)

    def _bone_under(self, spot: Spot) -> Selection:
        """What follows the bone that a click's surfel follows most."""
        seed = click(self.session, spot)
        state = self.session.project.state
        for name, mask in chosen(seed, state).items():
            warp = bones_of(state.layer(name), "layer")
            row = int(torch.nonzero(mask)[0, 0])
            bone = int(warp.weight_indices[row, int(warp.weights[row].argmax())])
            return ByBones(name, (bone,))
        return seed

    def _corner(self, spot: Spot) -> None:
        first = self._spots[0] if self._spots else None
        if first is not None and len(self._spots) >= 3 and np.hypot(spot[0] - first[0], spot[1] - first[1]) < _CLOSE:
            self.finish()
            return
        self._spots.append(spot)
        self._show_stroke(self._spots)

    def _rectangle(self, how: How | None, event: Any) -> None:
        view = view_of(self.session)
        low, high = pixels([event.screen_min, event.screen_max], view)
        self._select(Rectangle(view, self.through, low=low, high=high), how)

    def _dragged(self, how: How | None) -> Callable[[Any], Any]:
        async def drag(event: Any) -> None:
            # On the page's own event loop, so that the points stay in order; what takes time goes elsewhere.
            spot = (float(event.end_screen_pos[0]), float(event.end_screen_pos[1]))
            if event.phase == "start":
                start = event.start_screen_pos
                self._spots = [(float(start[0]), float(start[1]))]
            last = self._spots[-1] if self._spots else spot
            far = np.hypot(spot[0] - last[0], spot[1] - last[1]) >= _LEAST
            if (far or not self._spots) and len(self._spots) < _MOST_POINTS:
                self._spots.append(spot)
            if event.phase == "end":
                spots, self._spots = self._spots, []
                self._show_stroke([])
                threads.begin(self.session.attempt, lambda: self._stroke(spots, how))
                return
            self._show_stroke(self._spots)
            if self.tool == "Brush" and time.monotonic() - self._live > _LIVE:
                self._live = time.monotonic()
                self._drawn = (list(self._spots), how)
                self._lit.ask()

        return drag

    def _stroke(self, spots: list[Spot], how: How | None) -> None:
        self._lit.drop()
        view = view_of(self.session)
        points = pixels(spots, view)
        if self.tool == "Brush":
            self._select(self._brush(view, points), how)
        elif self.tool == "Paint":
            stroke = Stroke(points, self._radius(view), self.paint)
            self.session.project.add(Paint(view=view, strokes=(stroke,), name="Paint"))
        elif len(points) >= 3:
            self._select(Lasso(view, self.through, points=points), how)

    def _brush(self, view: View, points: tuple[Spot, ...]) -> Brush:
        return Brush(view, self.through, points=points, radius=self._radius(view))

    def _radius(self, view: View) -> float:
        """Of the brush in pixels: the reach, seen at the distance of the point that the camera turns about."""
        page = self.session.client.camera
        away = float(np.linalg.norm(np.asarray(page.look_at) - np.asarray(page.position)))
        return max(1.0, 0.5 * self.session.reach * view.fy / max(away, 1e-6))

    def _light_up(self) -> None:
        """Mark what a stroke has hit so far; nothing is selected before it ends."""
        (spots, how), selecting, view = self._drawn, self.session.selecting, view_of(self.session)
        selecting.preview(selecting.would_be(self._brush(view, pixels(spots, view)), how or self.how))

    def _show_stroke(self, spots: list[Spot]) -> None:
        """The line that has been drawn, a little before the camera; drawn by one hand at a time."""
        with self._line:
            self._draw_line(spots)

    def _draw_line(self, spots: list[Spot]) -> None:
        scene = self.session.scene
        if len(spots) < 2:
            if (known := scene.get_handle_by_name("/tools/stroke")) is not None:
                known.remove()
            return
        space, places = self.session.shared.space, []
        for spot in spots:
            origin, direction = ray(self.session, spot)
            places.append(space.to_page(origin) + _NEAR * direction)
        line = np.stack([places[:-1], places[1:]], axis=1)
        scene.add_line_segments("/tools/stroke", line, (0, 184, 255), thickness=2.5, thickness_units="screen")
