"""Deforming by handles: balls on the surface that are pinned or pulled, and the edit that this means.

A handle is placed by a click, and has a gizmo of its own.  What pulling does is seen at once; the edit is made when the
artist says so.

Does NOT compute the deformation: the editors do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recon4d.core import InputError, quaternion
from recon4d.editors import All, Deform, HandlePose, InLayers, chosen
from recon4d.viewer.latest import Latest
from recon4d.viewer.pointing import Spot, click

if TYPE_CHECKING:
    from recon4d.viewer.session import Session

_SIZE = 0.25  # page units, of a handle's gizmo
MOST = 32


@dataclass
class Placed:
    """A handle on the surface.

    Attributes:
        layer: whose.
        center: its place in the canonical state.
        world: its place at the moment it was placed.
        world_from_canonical: [3, 3] turn of the surface there at that moment.
        gizmo: of the page; None for a pin.
    """

    layer: str
    center: np.ndarray
    world: np.ndarray
    world_from_canonical: np.ndarray
    gizmo: Any


class Handles:
    """The handles of one client.

    Args:
        session: whose.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.placed: list[Placed] = []
        self.pins = False  # whether the next click pins rather than pulls
        self._previews = Latest(self._preview)

    def click(self, spot: Spot) -> None:
        """Place a handle where somebody clicks.

        Raises:
            InputError: nothing is there, on another layer than the others, or there are too many.
        """
        session, state = self.session, self.session.project.state
        found = chosen(click(session, spot), state)
        if not found:
            raise InputError("handle", expected="a click on the surface", got="one beside it", fix="click on the scene")
        (name, mask), *_ = found.items()
        if self.placed and self.placed[0].layer != name:
            raise InputError(
                "handle", expected=f"one on {self.placed[0].layer!r}", got=f"one on {name!r}", fix="clear the handles"
            )
        if len(self.placed) >= MOST:
            raise InputError("handles", expected=f"at most {MOST}", got="more", fix="apply or clear them")
        one = state.layer(name).field.select(mask).select(torch.tensor([0]))
        with torch.no_grad():
            now = one.at(session.playback.time)
        assert now.world_from_canonical_wxyz is not None  # filled in by every field
        world = now.centers[0].double().numpy()
        turn = quaternion.to_matrix(now.world_from_canonical_wxyz[0].double()).numpy()
        self.placed.append(Placed(name, one.canonical.centers[0].double().numpy(), world, turn, self._gizmo(world)))
        self._show_pins()

    def edit(self) -> Deform:
        """The edit that the handles mean.

        Raises:
            InputError: no handle is pulled.
        """
        if not any(one.gizmo is not None for one in self.placed):
            raise InputError(
                "handles", expected="one that is pulled", got="none", fix="click on the surface to add one"
            )
        selecting = self.session.selecting
        layer = self.placed[0].layer
        select = selecting.selection if layer in selecting.marks else InLayers((layer,))
        poses = tuple(self._pose(one) for one in self.placed)
        return Deform(select=select or All(), handles=poses, name="Deform")

    def apply(self) -> None:
        """Make the edit, and take the handles away."""
        edit = self.edit()
        self._previews.drop()
        self.session.project.add(edit)
        self.clear()

    def clear(self) -> None:
        """Take the handles away."""
        self._previews.drop()
        for one in self.placed:
            if one.gizmo is not None:
                one.gizmo.remove()
        self.placed = []
        self._show_pins()
        self.session.preview(None)

    def _pose(self, one: Placed) -> HandlePose:
        space = self.session.shared.space
        radius = 0.5 * self.session.reach / space.factor
        shift, turn = np.zeros(3), np.zeros(3)
        if one.gizmo is not None:
            back = one.world_from_canonical.T
            shift = back @ (space.to_world(np.asarray(one.gizmo.position, dtype=np.float64)) - one.world)
            rotation = quaternion.normalize(torch.as_tensor(np.asarray(one.gizmo.wxyz, dtype=np.float64)))
            turn = back @ np.degrees(quaternion.log(rotation).numpy())
        return HandlePose(center=_vector(one.center), radius=radius, translate=_vector(shift), rotate=_vector(turn))

    def _gizmo(self, world: np.ndarray) -> Any:
        scene, space = self.session.scene, self.session.shared.space
        if self.pins:
            return None
        gizmo = scene.add_transform_controls(
            f"/tools/handle_{len(self.placed)}", scale=_SIZE, depth_test=False, position=tuple(space.to_page(world))
        )
        gizmo.on_update(self.session.guarded(lambda _: self._previews.ask()))
        return gizmo

    def _show_pins(self) -> None:
        scene, name = self.session.scene, "/tools/pins"
        if (known := scene.get_handle_by_name(name)) is not None:
            known.remove()
        places = [self.session.shared.space.to_page(one.world) for one in self.placed if one.gizmo is None]
        if places:
            scene.add_point_cloud(
                name, np.stack(places).astype(np.float32), (60, 120, 220), point_size=0.03, point_shape="circle"
            )

    def _preview(self) -> None:
        """Show what the handles do so far."""
        if self.placed:
            self.session.attempt(lambda: self.session.preview(self.edit()))


def _vector(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (round(float(value), 9) for value in values)
    return x, y, z
