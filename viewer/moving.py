"""Moving a selection by hand: the gizmo, and the edit that a drag of it means.

What is dragged is seen moving; when it is let go, an edit is made.  A part moves in the frame that carries it, so that
it goes along with what it belongs to at all other times.

Does NOT choose surfels or evaluate edits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from recon4d.core import quaternion
from recon4d.editors.edits.move import Transform
from recon4d.editors.keys import Span
from recon4d.editors.steps import frame_at
from recon4d.field import BonesWarp
from recon4d.scene import Layer
from recon4d.viewer import threads
from recon4d.viewer.latest import Latest

if TYPE_CHECKING:
    from recon4d.editors.edits.base import Edit
    from recon4d.viewer.session import Session

_SIZE = 0.45  # page units
_NAME = "/tools/gizmo"


class Gizmo:
    """The gizmo of one client.

    Args:
        session: whose.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.active = False
        self.turns = True  # whether it turns, beside moving
        self.during: Callable[[], Span | None] = lambda: None
        self._handle: Any = None
        self._pivot = np.zeros(3)
        self._dragged_to: tuple[np.ndarray, np.ndarray] | None = None
        self._previews = Latest(self._preview)
        session.on_selection.append(self.refresh)
        session.on_time.append(self._follow)

    def show(self, *, turns: bool = True) -> None:
        """Put the gizmo on the selection.

        Raises:
            InputError: nothing is selected.
        """
        self.session.selecting.needed()
        with self.session.upkeep:
            self.active, self.turns = True, turns
            self.refresh()

    def hide(self) -> None:
        """Take the gizmo away."""
        with self.session.upkeep:
            self.active = False
            self.refresh()

    def refresh(self) -> None:
        """Put the gizmo where the selection is now; the session's upkeep is held."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
        middle = self._middle()
        if not self.active or middle is None:
            self.active = False
            return
        self._pivot = middle
        space = self.session.shared.space
        self._handle = self.session.scene.add_transform_controls(
            _NAME,
            scale=_SIZE,
            disable_rotations=not self.turns,
            depth_test=False,
            position=tuple(space.to_page(middle)),
        )
        self._handle.on_update(self._moved)

    def scale(self, factor: float) -> None:
        """Make the selection larger or smaller about its middle."""
        edit = self._edit(np.zeros(3), np.zeros(3), factor)
        self.session.project.add(edit)

    def _follow(self) -> None:
        """The selection has moved with time."""
        middle = self._middle() if self._handle is not None and not self.session.playback.playing else None
        if middle is not None and self._handle is not None:
            self._pivot = middle
            self._handle.position = tuple(self.session.shared.space.to_page(middle))

    def _middle(self) -> np.ndarray | None:
        """Where the selection is now, in the world."""
        points = selected_points(self.session)
        return None if points is None else points.mean(0).double().numpy()

    def _pose(self, handle: Any) -> tuple[np.ndarray, np.ndarray]:
        """Shift in the world, and turn as an axis times degrees, since the gizmo was put there."""
        space = self.session.shared.space
        shift = space.to_world(np.asarray(handle.position, dtype=np.float64)) - self._pivot
        turn = quaternion.log(quaternion.normalize(torch.as_tensor(np.asarray(handle.wxyz, dtype=np.float64))))
        return shift, np.degrees(turn.numpy())

    async def _moved(self, event: Any) -> None:
        # On the page's own event loop, so that the end of a drag comes last; what takes time goes elsewhere.
        handle = self._handle
        if event.client is None or handle is None:
            return
        if event.phase == "end":
            threads.begin(self.session.attempt, self._let_go)
        else:
            self._dragged_to = self._pose(handle)
            self._previews.ask()

    def _preview(self) -> None:
        """Show what the drag would do so far."""
        dragged = self._dragged_to
        if dragged is not None:
            self.session.preview(self._edit(*dragged, 1.0))

    def _let_go(self) -> None:
        self._previews.drop()
        self._dragged_to = None
        handle = self._handle
        if handle is None:
            return
        shift, turn = self._pose(handle)
        self.session.preview(None)
        if np.linalg.norm(shift) > 1e-9 or np.linalg.norm(turn) > 1e-6:
            self.session.project.add(self._edit(shift, turn, 1.0))

    def _edit(self, shift: np.ndarray, turn: np.ndarray, factor: float) -> Edit:
        session = self.session
        selection, (state, marks) = session.selecting.needed(), session.selecting.marked
        layers = [state.layer(name) for name in marks]
        name = "Scale" if factor != 1.0 else ("Move" if np.linalg.norm(turn) < 1e-6 else "Turn")
        common: dict[str, Any] = {"select": selection, "scale": factor, "during": self.during(), "name": name}
        if len(layers) != 1:
            return Transform(
                translate=_vector(shift), rotate=_vector(turn), frame="world", pivot=_vector(self._pivot), **common
            )
        bone = carrier(layers[0], marks[layers[0].name])
        back = _world_from_frame(layers[0], bone, session.playback.time).T
        return Transform(translate=_vector(back @ shift), rotate=_vector(back @ turn), bone=bone, **common)


def selected_points(session: Session) -> Tensor | None:
    """[M, 3] where the selected surfels are now, in the world; None where nothing is selected."""
    state, marks = session.selecting.marked
    points = []
    with torch.no_grad():
        for name, mask in marks.items():
            points.append(state.layer(name).field.select(mask).at(session.playback.time).centers)
    return torch.cat(points) if points else None


def carrier(layer: Layer, mask: Tensor) -> int | None:
    """The bone that carries a part: the one that it follows most; None where the whole layer is meant, or has none."""
    warp = layer.field.warp.underlying
    if not isinstance(warp, BonesWarp) or bool(mask.all()):
        return None
    share = torch.zeros(len(warp.rest_translations), dtype=warp.weights.dtype)
    share.index_add_(0, warp.weight_indices[mask].flatten(), warp.weights[mask].flatten())
    return int(share.argmax())


def _world_from_frame(layer: Layer, bone: int | None, time: float) -> np.ndarray:
    """Rotation of the frame that carries a part at a moment."""
    moment = torch.tensor([time], dtype=torch.float64)
    with torch.no_grad():
        frame = frame_at(layer.field.warp.underlying, "layer", bone, moment)
    return np.eye(3) if frame is None else quaternion.to_matrix(frame[0][0].double()).numpy()


def _vector(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (round(float(value), 9) for value in values)
    return x, y, z
