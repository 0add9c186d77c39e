"""A part that does not bend: the background, still in the world or still before the camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from recon4d.core import Camera, SE3Spline, quaternion, rigid
from recon4d.field import Field, IdentityWarp, RigidWarp
from recon4d.train.part import Part, Posed


@dataclass(eq=False)
class Backdrop(Part):
    """Background surfels.

    Attributes:
        frame: "static": canonical is the world; "camera": canonical is the camera, which carries the surfels along.
        carried: world_from_cam over time for the saved scene, where the frame is "camera".
    """

    frame: Literal["static", "camera"] = "static"
    carried: SE3Spline | None = None

    def at(self, time: float, world_from_cam: Float[Tensor, "4 4"]) -> Posed:
        """See `Part.at`."""
        canonical = self.surfels()
        if self.frame == "static":
            return Posed(canonical, canonical)
        turn, shift = rigid.to_rotation_translation(world_from_cam.detach())
        turns = turn.expand(len(self), 4)
        moved = canonical.replace(
            centers=quaternion.rotate(turns, canonical.centers) + shift,
            rotations_wxyz=quaternion.multiply(turns, canonical.rotations_wxyz),
            world_from_canonical_wxyz=turns.contiguous(),
        )
        return Posed(moved, canonical)

    def places(
        self, times: tuple[float, ...], world_from_cams: Float[Tensor, "t 4 4"]
    ) -> tuple[Float[Tensor, "t n 3"], Float[Tensor, "t n 4"]]:
        """See `Part.places`."""
        centers = self.parameters["centers"].detach().expand(len(times), -1, -1)
        rotations = self.parameters["rotations_wxyz"].detach().expand(len(times), -1, -1)
        if self.frame == "static":
            return centers, rotations
        turns, shifts = rigid.to_rotation_translation(world_from_cams)
        return (
            quaternion.rotate(turns[:, None], centers) + shifts[:, None],
            quaternion.multiply(turns[:, None].expand(-1, len(self), -1), rotations),
        )

    def frozen_field(self) -> Field:
        """See `Part.frozen_field`."""
        warp = IdentityWarp() if self.carried is None else RigidWarp(self.carried.to(torch.float32))
        return Field(self._frozen_surfels(), self.ids.clone(), warp, self._frozen_refined())

    def rows_added(self, parents: Int64[Tensor, " m"], alive: Tensor) -> None:
        """Nothing else is kept per surfel."""


def carried_path(times: Sequence[float], cameras: Sequence[Camera]) -> SE3Spline:
    """World_from_cam over time, through the first camera of each moment."""
    moments: dict[float, Tensor] = {}
    for time, camera in zip(times, cameras, strict=True):
        moments.setdefault(time, rigid.invert(camera.cam_from_world.double()))
    rotations, translations = rigid.to_rotation_translation(torch.stack(list(moments.values())))
    instants = torch.tensor(list(moments), dtype=torch.float64)
    span = float(instants[-1] - instants[0])
    step = span / max(1, len(instants) - 1) if span > 0 else 1.0
    return SE3Spline.fit(instants, quaternion.normalize(rotations), translations, step=step)
