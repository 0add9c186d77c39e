"""What is fitted: the raw parameters of one moving object, and the field that they mean.

Every parameter is a free number (logarithms of scales, logits of opacities), so an optimiser may move it anywhere.
Knows neither losses nor images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from recon4d.core import SE3Spline, Surfels, quaternion, spherical_harmonics
from recon4d.field import BonesWarp, Field
from recon4d.field.blending import blend_linear
from recon4d.train.hull import Hull
from recon4d.train.root import control_count

SLOTS = 4
PER_SURFEL = (
    "centers",
    "rotations_wxyz",
    "log_scales",
    "opacity_logits",
    "sh_base",
    "sh_rest",
    "skinning",
)
"""Parameters with one row per surfel."""
MOTION = ("bone_log_radii", "bone_rotations", "bone_translations", "root_rotations", "root_translations")
"""Parameters of the warp."""

_LEAST_SCALE = 1e-6


@dataclass(eq=False)
class Model:
    """One object: raw parameters, and what goes with them.

    Attributes:
        parameters: leaves that require gradients, by the names of PER_SURFEL and MOTION.
        ids: [N] stable ids.
        slots: [N, 4] bones that each surfel may follow, nearest first; fewer bones than slots repeat bone 0.
        rest: [B, 3] places of the bones in the canonical state; they rest unturned.
        next_id: the first id not given yet.
        bone_times, root_times: (start, step) of the control poses in seconds.
        size: of the subject, scene units.
    """

    parameters: dict[str, Tensor]
    ids: Int64[Tensor, " n"]
    slots: Int64[Tensor, "n 4"]
    rest: Float[Tensor, "b 3"]
    next_id: int
    bone_times: tuple[float, float]
    root_times: tuple[float, float]
    size: float

    def __len__(self) -> int:
        """Number of surfels."""
        return self.ids.shape[0]

    def weights(self) -> Float[Tensor, "n 4"]:
        """Skinning weights: softmax of the negative squared Mahalanobis distance to the slots' bones, corrected.

        Bones rest unturned, so their ellipsoids are along the axes.  Centres are constants here: what a surfel looks
        like should move it, not what it follows.
        """
        away = self.parameters["centers"].detach()[:, None] - self.rest[self.slots]
        # Bones that are repeated to fill the slots must weigh nothing.
        logits = self.parameters["skinning"] - (
            away.square() * torch.exp(-2 * self.parameters["bone_log_radii"])[self.slots]
        ).sum(-1)
        if len(self.rest) < SLOTS:
            logits = logits.masked_fill(torch.arange(SLOTS) >= len(self.rest), -math.inf)
        # Torch's softmax over so short an axis takes three times as long.
        shares = (logits - logits.detach().amax(-1, keepdim=True)).exp()
        return shares / shares.sum(-1, keepdim=True)

    def warp(self) -> BonesWarp:
        """The warp that the parameters mean; differentiable."""
        p = self.parameters
        identity = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(self.rest.shape[0], 1)
        return BonesWarp(
            SE3Spline(p["root_rotations"], p["root_translations"], *self.root_times),
            identity,
            self.rest,
            SE3Spline(p["bone_rotations"], p["bone_translations"], *self.bone_times),
            self.slots,
            self.weights(),
        )

    def surfels(self) -> Surfels:
        """The canonical surfels; differentiable."""
        p = self.parameters
        return Surfels(
            p["centers"],
            p["rotations_wxyz"],
            p["log_scales"].exp(),
            p["opacity_logits"].sigmoid(),
            sh=torch.cat([p["sh_base"], p["sh_rest"]], 1),
        )

    def field(self) -> Field:
        """Surfels and warp; differentiable."""
        return Field(self.surfels(), self.ids, self.warp())

    def state_at(self, time: float) -> tuple[Surfels, Surfels, BonesWarp, Float[Tensor, "b 4"], Float[Tensor, "b 3"]]:
        """The surfels at a moment, as `field().at(time)`, and what went into them.

        Returns:
            The surfels in the world; the canonical ones; the warp; and world_from_canonical of every bone as unit
            quaternions [B, 4] and translations [B, 3], which `Field.at` would compute a second time for whom else needs
            them.
        """
        canonical, warp = self.surfels(), self.warp()
        rotations, translations = warp.transforms_at(torch.tensor([time], dtype=torch.float64))
        centers, turns = blend_linear(canonical.centers, warp.weights, warp.weight_indices, rotations, translations)
        moved = canonical.replace(
            centers=centers[0],
            rotations_wxyz=quaternion.multiply(turns[0], canonical.rotations_wxyz),
            world_from_canonical_wxyz=turns[0],
        )
        return moved, canonical, warp, rotations[0], translations[0]

    def frozen_field(self) -> Field:
        """A copy of the field that does not change with the parameters any more, rotations normalised."""
        with torch.no_grad():
            field = self.field()
            canonical = Surfels(**{name: tensor.clone() for name, tensor in field.canonical.tensors().items()})
            canonical = canonical.replace(rotations_wxyz=quaternion.normalize(canonical.rotations_wxyz))
            warp = field.warp.to(torch.float32, copy=True)
        return Field(canonical, self.ids.clone(), warp)


def create_model(
    hull: Hull,
    root: SE3Spline,
    canonical_time: float,
    times: list[float],
    *,
    bones: int,
    sh_degree: int,
    per_control: float,
) -> Model:
    """A model that stands in the shape of the hull and moves as the root does."""
    count = len(hull.centers)
    rest = place_bones(hull.centers, bones)
    step, controls = control_count(times, per_control)
    # root_from_world at the canonical time, where the canonical state is.
    root_rotation, origin = (x[0] for x in root.at(torch.tensor([canonical_time], dtype=torch.float64)))
    turn_back = quaternion.conjugate(root_rotation)
    spacing = torch.cdist(rest, rest).fill_diagonal_(math.inf).amin(1) if len(rest) > 1 else torch.full((1,), hull.size)
    parameters = {
        "centers": hull.centers,
        "rotations_wxyz": hull.rotations_wxyz,
        "log_scales": torch.full((count, 2), math.log(max(hull.scale, _LEAST_SCALE))),
        "opacity_logits": torch.full((count,), 0.0),
        "sh_base": spherical_harmonics.coefficients_from_color(hull.colors).reshape(count, 1, 3),
        "sh_rest": torch.zeros(count, (sh_degree + 1) ** 2 - 1, 3),
        "skinning": torch.zeros(count, SLOTS),
        # Half the way to the next bone is where their weights are equal; there the logit is about -1.
        "bone_log_radii": (0.6 * spacing).log()[:, None].repeat(1, 3),
        "bone_rotations": turn_back.repeat(len(rest), controls, 1),
        "bone_translations": quaternion.rotate(turn_back, rest - origin)[:, None].repeat(1, controls, 1),
        "root_rotations": root.rotations_wxyz,
        "root_translations": root.translations,
    }
    return Model(
        {name: value.detach().clone().contiguous().requires_grad_() for name, value in parameters.items()},
        torch.arange(count),
        nearest_bones(hull.centers, rest),
        rest.clone(),
        count,
        (min(times), step),
        (root.start, root.step),
        hull.size,
    )


def place_bones(points: Float[Tensor, "n 3"], count: int) -> Float[Tensor, "b 3"]:
    """Places spread evenly over points: farthest-point sampling from the middle, then a few rounds of k-means."""
    nearest = (points - points.mean(0)).square().sum(-1)
    chosen = [int(nearest.argmin())]
    distance = (points - points[chosen[0]]).square().sum(-1)
    while len(chosen) < min(count, len(points)) and float(distance.max()) > 0:
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (points - points[chosen[-1]]).square().sum(-1))
    places = points[chosen].double()
    for _ in range(5):
        owner = torch.cdist(points.double(), places).argmin(1)
        sums = torch.zeros_like(places).index_add_(0, owner, points.double())
        counts = torch.bincount(owner, minlength=len(places))[:, None]
        places = torch.where(counts > 0, sums / counts.clamp_min(1), places)
    return places.to(points.dtype)


def nearest_bones(centers: Float[Tensor, "n 3"], rest: Float[Tensor, "b 3"]) -> Int64[Tensor, "n 4"]:
    """The four nearest bones of points, nearest first, filled up with bone 0."""
    found = torch.cdist(centers.detach(), rest).topk(min(SLOTS, len(rest)), largest=False).indices
    return torch.nn.functional.pad(found, (0, SLOTS - found.shape[1]))
