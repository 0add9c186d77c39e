"""What every fitted part of a scene has: raw parameters of its surfels, with one row each, and stable ids.

Every parameter is a free number (logarithms of scales, logits of opacities), so an optimiser may move it anywhere.
How a part moves is said by its kind: `MovingObject` or `Backdrop`.  Knows neither losses nor images.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from recon4d.core import Surfels, quaternion, spherical_harmonics
from recon4d.field import Field, Refined

SURFEL_NAMES = ("centers", "rotations_wxyz", "log_scales", "opacity_logits", "sh_base", "sh_rest")
"""Parameters with one row per surfel that every part has."""
REFINED_NAMES = ("refined_rotations", "refined_log_scales")
"""Those of the refined branch, which joins late."""

NEIGHBOURS = 6
_LEAST_SCALE = 1e-6


@dataclass(frozen=True, eq=False)
class Posed:
    """A part at one moment.

    Attributes:
        surfels: in the world; they carry the geometry.
        canonical: the same in the canonical state.
        bone_rotations: [B, 4] and
        bone_translations: [B, 3] world_from_canonical of the bones; None where there are none.
    """

    surfels: Surfels
    canonical: Surfels
    bone_rotations: Float[Tensor, "b 4"] | None = None
    bone_translations: Float[Tensor, "b 3"] | None = None


@dataclass(eq=False)
class Part(ABC):
    """One layer while it is fitted.

    Attributes:
        name, kind: of the layer it becomes.
        parameters: leaves that require gradients, by name.
        ids: [N] stable ids.
        next_id: the first id not given yet.
        size: extent at the start, scene units.
        neighbours: the nearest surfels of each, as of the last `find_neighbours`; only a fit that weighs smoothness
            keeps them up to date.
    """

    name: str
    kind: Literal["object", "background"]
    parameters: dict[str, Tensor]
    ids: Int64[Tensor, " n"]
    next_id: int
    size: float
    neighbours: Int64[Tensor, "m k"]

    def __len__(self) -> int:
        """Number of surfels."""
        return self.ids.shape[0]

    @property
    def row_names(self) -> tuple[str, ...]:
        """Parameters with one row per surfel."""
        return SURFEL_NAMES

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.parameters["centers"].device

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

    @property
    def is_refined(self) -> bool:
        """Whether colours have a branch of their own."""
        return REFINED_NAMES[0] in self.parameters

    def refine(self) -> dict[str, Tensor]:
        """Let the refined branch begin where the plain surfels are; returns its parameters."""
        plain = Refined.like(self._frozen_surfels())
        values = (plain.rotations_wxyz, self.parameters["log_scales"])
        fresh = as_leaves(dict(zip(REFINED_NAMES, values, strict=True)), self.device)
        self.parameters |= fresh
        return fresh

    def appearance(self, surfels: Surfels) -> Surfels:
        """What carries the colours, of the part's surfels at some moment; leaves their plain turns as they are."""
        if not self.is_refined:
            return surfels
        rotations, log_scales = (self.parameters[name] for name in REFINED_NAMES)
        plain = surfels.replace(rotations_wxyz=surfels.rotations_wxyz.detach())
        return Refined(rotations, log_scales.exp()).appearance_of(plain)

    @abstractmethod
    def at(self, time: float, world_from_cam: Float[Tensor, "4 4"]) -> Posed:
        """The part at a moment, before a camera; differentiable."""

    @abstractmethod
    def places(
        self, times: tuple[float, ...], world_from_cams: Float[Tensor, "t 4 4"]
    ) -> tuple[Float[Tensor, "t n 3"], Float[Tensor, "t n 4"]]:
        """Centres and rotations at moments, differentiable in the motion alone: the surfels are constants."""

    @abstractmethod
    def frozen_field(self) -> Field:
        """A copy of the field that does not change with the parameters any more, rotations normalised."""

    @abstractmethod
    def rows_added(self, parents: Int64[Tensor, " m"], alive: Tensor) -> None:
        """Take over what else is kept per surfel: the rows of `alive` [N], then copies of `parents`."""

    def find_neighbours(self) -> None:
        """Find the nearest surfels of each anew."""
        self.neighbours = nearest_surfels(self.parameters["centers"]).to(self.device)

    def _frozen_refined(self) -> Refined | None:
        if not self.is_refined:
            return None
        rotations, log_scales = (self.parameters[name].detach().cpu() for name in REFINED_NAMES)
        return Refined(quaternion.normalize(rotations), log_scales.exp())

    def _frozen_surfels(self) -> Surfels:
        with torch.no_grad():
            canonical = Surfels(**{name: tensor.clone().cpu() for name, tensor in self.surfels().tensors().items()})
            return canonical.replace(rotations_wxyz=quaternion.normalize(canonical.rotations_wxyz))


def nearest_surfels(centers: Float[Tensor, "n 3"]) -> Int64[Tensor, "n k"]:
    """The nearest others of each point; fewer than seven points have fewer."""
    from scipy.spatial import cKDTree

    places = centers.detach().cpu().numpy()
    count = min(NEIGHBOURS + 1, len(places))
    rows = cKDTree(places).query(places, k=list(range(2, count + 1)))[1] if count > 1 else [[0]] * len(places)
    return torch.as_tensor(rows, dtype=torch.int64)


def surfel_parameters(
    centers: Float[Tensor, "n 3"],
    rotations_wxyz: Float[Tensor, "n 4"],
    scales: Float[Tensor, "n 2"],
    colors: Float[Tensor, "n 3"],
    *,
    opacity_logit: float,
    sh_degree: int,
) -> dict[str, Tensor]:
    """Raw values of the parameters in `SURFEL_NAMES` for surfels of given places, sizes and colours."""
    count = len(centers)
    return {
        "centers": centers,
        "rotations_wxyz": rotations_wxyz,
        "log_scales": scales.clamp_min(_LEAST_SCALE).log(),
        "opacity_logits": torch.full((count,), opacity_logit),
        "sh_base": spherical_harmonics.coefficients_from_color(colors).reshape(count, 1, 3),
        "sh_rest": torch.zeros(count, (sh_degree + 1) ** 2 - 1, 3),
    }


def as_leaves(values: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Copies that an optimiser may move."""
    return {
        name: value.detach().clone().to(device=device, dtype=torch.float32).contiguous().requires_grad_()
        for name, value in values.items()
    }


def logit(share: float) -> float:
    """Inverse of the logistic function."""
    return math.log(share / (1 - share))
