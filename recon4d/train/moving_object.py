"""A part that moves and bends: surfels bound to bones, and the paths of bones and root.

Finding bones, and adding more where they are needed, is done in `bones.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from recon4d.core import SE3Spline, Surfels, quaternion
from recon4d.field import BonesWarp, Field, ResidualWarp
from recon4d.train import kernels
from recon4d.train.bones import SLOTS, nearest_bones, place_bones
from recon4d.train.hull import Hull
from recon4d.train.part import SURFEL_NAMES, Part, Posed, as_leaves, logit, nearest_surfels, surfel_parameters
from recon4d.train.root import control_count

MOTION = ("bone_log_radii", "bone_rotations", "bone_translations", "root_rotations", "root_translations")
"""Parameters of the warp."""

_MARGIN = 0.05  # around the hull, sizes of the subject


@dataclass(eq=False)
class MovingObject(Part):
    """One object.

    Attributes:
        slots: [N, 4] bones that each surfel may follow; fewer bones than slots repeat bone 0.
        rest: [B, 3] places of the bones in the canonical state; they rest unturned.
        bone_times, root_times: (start, step) of the control poses in seconds.
        blend: of the bones' transforms.
        box: [2, 3] corners of the grid of the parameter "residual" [K, X, Y, Z, 3], displacements in the canonical
            state with the times of the bones; None where there is none.
    """

    slots: Int64[Tensor, "n 4"]
    rest: Float[Tensor, "b 3"]
    bone_times: tuple[float, float]
    root_times: tuple[float, float]
    blend: Literal["linear", "dual_quaternion"] = "linear"
    box: Float[Tensor, "2 3"] | None = None

    @property
    def row_names(self) -> tuple[str, ...]:
        """See `Part.row_names`."""
        return (*SURFEL_NAMES, "skinning")

    def weights(self) -> Float[Tensor, "n 4"]:
        """Skinning weights: softmax of the negative squared Mahalanobis distance to the slots' bones, corrected.

        Bones rest unturned, so their ellipsoids are along the axes.  Centres are constants here: what a surfel looks
        like should move it, not what it follows.
        """
        p = self.parameters
        return kernels.skinning_weights(p["centers"], self.slots, p["skinning"], self.rest, p["bone_log_radii"])

    def warp(self) -> BonesWarp | ResidualWarp:
        """The warp that the parameters mean; differentiable."""
        identity = torch.tensor([1.0, 0.0, 0.0, 0.0], device=self.device).repeat(self.rest.shape[0], 1)
        root, path = self.splines()
        bones = BonesWarp(root, identity, self.rest, path, self.slots, self.weights(), self.blend)
        if self.box is None:
            return bones
        return ResidualWarp(bones, self.parameters["residual"], self.box[0], self.box[1], *self.bone_times)

    def splines(self) -> tuple[SE3Spline, SE3Spline]:
        """World_from_root, and root_from_bone of every bone; differentiable."""
        p = self.parameters
        return (
            SE3Spline(p["root_rotations"], p["root_translations"], *self.root_times),
            SE3Spline(p["bone_rotations"], p["bone_translations"], *self.bone_times),
        )

    def at(self, time: float, world_from_cam: Float[Tensor, "4 4"]) -> Posed:
        """See `Part.at`."""
        canonical = self.surfels()
        bones = kernels.bone_transforms(*self.splines(), self.rest, (time,))
        centers, rotations, turns = self._skinned(canonical, bones, (time,))
        moved = canonical.replace(centers=centers[0], rotations_wxyz=rotations[0], world_from_canonical_wxyz=turns[0])
        return Posed(moved, canonical, bones[0][0], bones[1][0])

    def places(
        self, times: tuple[float, ...], world_from_cams: Float[Tensor, "t 4 4"]
    ) -> tuple[Float[Tensor, "t n 3"], Float[Tensor, "t n 4"]]:
        """See `Part.places`."""
        constant = Surfels(
            self.parameters["centers"].detach(), self.parameters["rotations_wxyz"].detach(),
            self.parameters["log_scales"].detach(), self.parameters["opacity_logits"].detach(),
            features=self.parameters["opacity_logits"].detach()[:, None],
        )  # fmt: skip
        return self._skinned(constant, kernels.bone_transforms(*self.splines(), self.rest, times), times)[:2]

    def hold_beyond(self, first: float, last: float) -> None:
        """Let the bones' paths stand still before and after a span of time (seconds), as they are at its ends."""
        start, step = self.bone_times
        count = self.parameters["bone_rotations"].shape[1]
        # Control k has most influence at start + step * (k - 1).
        low = min(max(0, math.floor((first - start) / step) + 1), count - 1)
        high = min(max(low, math.ceil((last - start) / step) + 1), count - 1)
        for name in ("bone_rotations", "bone_translations"):
            path = self.parameters[name].data
            path[:, :low] = path[:, low : low + 1]
            path[:, high + 1 :] = path[:, high : high + 1]

    def frozen_field(self) -> Field:
        """See `Part.frozen_field`."""
        with torch.no_grad():
            warp = self.warp().to("cpu", torch.float32, copy=True)
        return Field(self._frozen_surfels(), self.ids.clone(), warp, self._frozen_refined())

    def rows_added(self, parents: Int64[Tensor, " m"], alive: Tensor) -> None:
        """See `Part.rows_added`."""
        self.slots = torch.cat([self.slots[alive], self.slots[parents]])

    def _skinned(
        self, canonical: Surfels, bones: tuple[Tensor, Tensor], times: tuple[float, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Centres, rotations and turns at every time."""
        if self.box is None:
            return self._follow(canonical.centers, canonical.rotations_wxyz, bones)
        warp = self.warp()
        assert isinstance(warp, ResidualWarp)
        moments = torch.tensor(times, dtype=torch.float64)
        displaced = canonical.centers + warp.residual_at(canonical.centers, moments)
        each = [
            self._follow(centers, canonical.rotations_wxyz, (bones[0][k : k + 1], bones[1][k : k + 1]))
            for k, centers in enumerate(displaced)
        ]
        centers, rotations, turns = (torch.cat(parts) for parts in zip(*each, strict=True))
        return centers, rotations, turns

    def _follow(
        self, centers: Tensor, rotations: Tensor, bones: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        p = self.parameters
        return kernels.skin(
            centers, rotations, self.slots, p["skinning"], self.rest, p["bone_log_radii"], *bones, blend=self.blend
        )


def create_object(
    name: str,
    hull: Hull,
    root: SE3Spline,
    canonical_time: float,
    times: list[float],
    *,
    bones: int,
    opacity: float,
    sh_degree: int,
    per_control: float,
    blend: Literal["linear", "dual_quaternion"] = "linear",
    residual_nodes: int = 0,
    device: torch.device | None = None,
) -> MovingObject:
    """An object that stands in the shape of the hull and moves as the root does."""
    device = device or torch.device("cpu")
    count = len(hull.centers)
    rest = place_bones(hull.centers, bones)
    step, controls = control_count(times, per_control)
    # root_from_world at the canonical time, where the canonical state is.
    root_rotation, origin = (x[0] for x in root.at(torch.tensor([canonical_time], dtype=torch.float64)))
    turn_back = quaternion.conjugate(root_rotation)
    spacing = torch.cdist(rest, rest).fill_diagonal_(math.inf).amin(1) if len(rest) > 1 else torch.full((1,), hull.size)
    parameters = surfel_parameters(
        hull.centers,
        hull.rotations_wxyz,
        torch.full((count, 2), hull.scale),
        hull.colors,
        opacity_logit=logit(opacity),
        sh_degree=sh_degree,
    ) | {
        "skinning": torch.zeros(count, SLOTS),
        # Half the way to the next bone is where their weights are equal; there the logit is about -1.
        "bone_log_radii": (0.6 * spacing).log()[:, None].repeat(1, 3),
        "bone_rotations": turn_back.repeat(len(rest), controls, 1),
        "bone_translations": quaternion.rotate(turn_back, rest - origin)[:, None].repeat(1, controls, 1),
        "root_rotations": root.rotations_wxyz,
        "root_translations": root.translations,
    }
    box = None
    if residual_nodes:
        low, high = hull.centers.amin(0), hull.centers.amax(0)
        # With a margin, for what grows beyond the hull.
        box = torch.stack([low - _MARGIN * hull.size, high + _MARGIN * hull.size])
        nodes = (2 + (residual_nodes - 2) * (box[1] - box[0]) / (box[1] - box[0]).max()).round().long().tolist()
        parameters["residual"] = torch.zeros(controls, *nodes, 3)
    return MovingObject(
        name,
        "object",
        as_leaves(parameters, device),
        torch.arange(count),
        count,
        hull.size,
        nearest_surfels(hull.centers).to(device),
        slots=nearest_bones(hull.centers, rest).to(device),
        rest=rest.to(device),
        bone_times=(min(times), step),
        root_times=(root.start, root.step),
        blend=blend,
        box=None if box is None else box.to(device),
    )
