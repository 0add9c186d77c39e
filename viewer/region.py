"""A box or a ball in the scene that selects what is inside: placed, moved and turned with a gizmo.

Does NOT select by itself: `take` does, when the artist says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from recon4d.core import InputError, quaternion
from recon4d.editors import Box, Selection, Sphere, chosen
from recon4d.viewer.latest import Latest
from recon4d.viewer.moving import selected_points

if TYPE_CHECKING:
    from recon4d.viewer.selecting import How
    from recon4d.viewer.session import Session

Kind = Literal["Box", "Ball"]
_GIZMO, _SHAPE = "/tools/region", "/tools/region/shape"
_COLOR = (0, 184, 255)


class Region:
    """The box or ball of one client.

    Args:
        session: whose.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.kind: Kind | None = None
        self.size = (0.8, 0.8, 0.8)  # full lengths in subject radii; a ball takes the first
        self._gizmo: Any = None
        self._previews = Latest(self._preview)

    def show(self, kind: Kind) -> None:
        """Put a box or a ball on the selection, or in the middle of the scene."""
        self.hide()
        self.kind = kind
        points = selected_points(self.session)
        space, scene = self.session.shared.space, self.session.scene
        middle = np.zeros(3) if points is None else space.to_page(points.mean(0).double().numpy())
        self._gizmo = scene.add_transform_controls(
            _GIZMO, scale=0.5, disable_rotations=kind == "Ball", depth_test=False, position=tuple(middle)
        )
        self._gizmo.on_update(self.session.guarded(lambda _: self._previews.ask()))
        self._draw()
        self._previews.ask()

    def hide(self) -> None:
        """Take it away."""
        if self._gizmo is not None:
            self._previews.drop()
            self.session.scene.remove_by_name(_SHAPE)
            self._gizmo.remove()
            self._gizmo, self.kind = None, None
            self.session.selecting.preview(None)

    def resize(self, size: tuple[float, float, float]) -> None:
        """Give it other lengths, in subject radii."""
        self.size = size
        if self._gizmo is not None:
            self._draw()
            self._previews.ask()

    def take(self, how: How) -> int:
        """Select what is inside; how many surfels are selected then.

        Raises:
            InputError: there is no box and no ball.
        """
        self._previews.drop()
        return self.session.selecting.take(self._selection(), how)

    def _selection(self) -> Selection:
        if self._gizmo is None:
            raise InputError("region", expected="a box or a ball", got="none", fix="take the tool Box or Ball")
        space, time = self.session.shared.space, self.session.playback.time
        center = _vector(space.to_world(np.asarray(self._gizmo.position, dtype=np.float64)))
        lengths = [side / space.factor for side in self.size]
        if self.kind == "Ball":
            return Sphere(center=center, radius=lengths[0] / 2, time=time)
        turn = quaternion.log(quaternion.normalize(torch.as_tensor(np.asarray(self._gizmo.wxyz, dtype=np.float64))))
        return Box(
            center=center,
            size=_vector(np.array(lengths)),
            rotate=_vector(np.degrees(turn.numpy())),
            time=time,
        )

    def _draw(self) -> None:
        scene = self.session.scene
        if self.kind == "Ball":
            scene.add_icosphere(_SHAPE, self.size[0] / 2, color=_COLOR, wireframe=True)
        else:
            scene.add_box(_SHAPE, color=_COLOR, dimensions=self.size, wireframe=True)

    def _preview(self) -> None:
        """Mark what is inside."""
        if self._gizmo is not None:
            self.session.selecting.preview(chosen(self._selection(), self.session.project.state))


def _vector(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
