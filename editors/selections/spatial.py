"""Selections by place: boxes, balls, half spaces, and a click's ray.

Places are in the world at a time, or in the canonical state of each layer where no time is given.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon4d.core import InputError, Surfels, quaternion
from recon4d.editors.keys import Vector, check_finite, check_vector
from recon4d.editors.selections.base import Selection, centers_at, layers_of, shown_at
from recon4d.editors.state import State

_LEAST_ALPHA = 1 / 255
_REACH = 3.4  # standard deviations at which even an opaque surfel has less than the least alpha
_FULL = 1e-3  # transmittance at which a ray ends


class _InSpace(Selection):
    """What selections of places have in common; where the place is, each says itself."""

    time: float | None
    layers: tuple[str, ...]

    @abstractmethod
    def inside(self, centers: Float[Tensor, "n 3"]) -> Bool[Tensor, " n"]:
        """Which centres lie in it, scene units."""

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        _check_known(state, self.time)
        return {layer.name: self.inside(centers_at(layer, self.time)) for layer in layers_of(state, self.layers)}


@dataclass(frozen=True)
class Box(_InSpace, kind="box"):
    """Surfels whose centres lie in a box.

    Attributes:
        center: of the box.
        size: full lengths of its sides, > 0.
        rotate: turn of the box, an axis times degrees.
        time: seconds; canonical places where it is left out.
        layers: names of layers to stay within; all layers when empty.
    """

    center: Vector
    size: Vector
    rotate: Vector = (0.0, 0.0, 0.0)
    time: float | None = None
    layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("center", "size", "rotate"):
            check_vector(name, getattr(self, name))
        if not min(self.size) > 0:
            raise InputError("size", expected="lengths > 0", got=str(list(self.size)), fix="make it larger")
        _check_time(self.time)

    def inside(self, centers: Float[Tensor, "n 3"]) -> Bool[Tensor, " n"]:
        """See `_InSpace.inside`."""
        away = centers - torch.tensor(self.center).to(centers)
        if any(self.rotate):
            away = quaternion.rotate(quaternion.conjugate(turn(self.rotate)).to(away), away)
        return (away.abs() <= torch.tensor(self.size).to(away) / 2).all(-1)


@dataclass(frozen=True)
class Sphere(_InSpace, kind="sphere"):
    """Surfels whose centres lie in a ball.

    Attributes:
        center: of the ball.
        radius: > 0, scene units.
        time: seconds; canonical places where it is left out.
        layers: names of layers to stay within; all layers when empty.
    """

    center: Vector
    radius: float
    time: float | None = None
    layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_vector("center", self.center)
        if not 0 < self.radius < math.inf:
            raise InputError("radius", expected="a length > 0", got=repr(self.radius), fix="make it larger")
        _check_time(self.time)

    def inside(self, centers: Float[Tensor, "n 3"]) -> Bool[Tensor, " n"]:
        """See `_InSpace.inside`."""
        return (centers - torch.tensor(self.center).to(centers)).norm(dim=-1) <= self.radius


@dataclass(frozen=True)
class Plane(_InSpace, kind="plane"):
    """Surfels on one side of a plane.

    Attributes:
        point: a point of the plane.
        normal: points to the side that is selected; any length but zero.
        time: seconds; canonical places where it is left out.
        layers: names of layers to stay within; all layers when empty.
    """

    point: Vector
    normal: Vector
    time: float | None = None
    layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_vector("point", self.point)
        check_direction("normal", self.normal)
        _check_time(self.time)

    def inside(self, centers: Float[Tensor, "n 3"]) -> Bool[Tensor, " n"]:
        """See `_InSpace.inside`."""
        return (centers - torch.tensor(self.point).to(centers)) @ torch.tensor(self.normal).to(centers) >= 0


@dataclass(frozen=True)
class Ray(Selection, kind="ray"):
    """What a click hits: the surfel that a ray from the viewer sees most of.

    Attributes:
        origin: in the world.
        direction: in the world; any length but zero.
        time: seconds.
        extent: "surfel" is that surfel alone, "layer" all of its layer.
        radius: also selects the surfels of its layer within this distance of it, at that time, scene units.
        layers: names of layers that can be hit; all layers when empty.
    """

    origin: Vector
    direction: Vector
    time: float
    extent: Literal["surfel", "layer"] = "surfel"
    radius: float = 0.0
    layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_vector("origin", self.origin)
        check_direction("direction", self.direction)
        check_finite("time", self.time)
        if not 0 <= self.radius < math.inf:
            raise InputError("radius", expected="a length >= 0", got=repr(self.radius), fix="use 0 for one surfel")

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        _check_known(state, self.time)
        origin, direction = torch.tensor(self.origin), torch.tensor(self.direction)
        layers = [layer for layer in layers_of(state, self.layers) if len(layer.field)]
        states = [shown_at(layer, self.time) for layer in layers]
        hits = [_hits(surfels, origin.to(surfels.centers), direction.to(surfels.centers)) for surfels in states]
        if not any(len(rows) for rows, _, _ in hits):
            return {}
        owner = torch.cat([torch.full((len(rows),), i) for i, (rows, _, _) in enumerate(hits)])
        rows, depths, alphas = (torch.cat([hit[i] for hit in hits]) for i in range(3))
        order = depths.argsort(stable=True)
        clear = torch.cumprod(1 - alphas[order].double(), 0)
        before = torch.cat([clear.new_ones(1), clear[:-1]])
        best = order[int((alphas[order] * before * (before > _FULL)).argmax())]
        layer, row = layers[int(owner[best])], int(rows[best])
        centers = states[int(owner[best])].centers
        mask = torch.zeros(len(centers), dtype=torch.bool)
        if self.extent == "layer":
            mask[:] = True
        elif self.radius > 0:
            mask = (centers - centers[row]).norm(dim=-1) <= self.radius
        mask[row] = True
        return {layer.name: mask}


def _hits(surfels: Surfels, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, depths along the ray (in lengths of the direction) and alphas of the surfels that a ray meets."""
    # Most surfels lie too far from the ray for their planes to matter.
    beside = surfels.centers - origin
    along = (beside @ direction) / direction.square().sum()
    distance = (beside - along[:, None] * direction).norm(dim=-1)
    near = torch.nonzero((along > 0) & (distance <= _REACH * surfels.scales.amax(-1)))[:, 0]
    axes = quaternion.to_matrix(surfels.rotations_wxyz[near])
    away = beside[near]
    slope = (axes[:, :, 2] * direction).sum(-1)
    depth = (axes[:, :, 2] * away).sum(-1) / torch.where(slope.abs() < 1e-9, math.inf, slope)
    offset = depth[:, None] * direction - away
    scales = surfels.scales[near].clamp_min(1e-12)
    u = (offset * axes[:, :, 0]).sum(-1) / scales[:, 0]
    v = (offset * axes[:, :, 1]).sum(-1) / scales[:, 1]
    alpha = (surfels.opacities[near] * torch.exp(-0.5 * (u * u + v * v))).clamp(max=0.99)
    hit = (depth > 0) & (alpha >= _LEAST_ALPHA)
    return near[hit], depth[hit], alpha[hit]


def turn(rotate: Vector) -> Tensor:
    """Quaternion wxyz [4], float64, of an axis times degrees."""
    return quaternion.exp(torch.tensor(rotate, dtype=torch.float64) * (math.pi / 180))


def check_direction(name: str, vector: Vector) -> None:
    """InputError unless finite and not zero."""
    check_vector(name, vector)
    if not any(vector):
        raise InputError(name, expected="a direction that is not zero", got="[0, 0, 0]", fix="choose a direction")


def _check_time(time: float | None) -> None:
    if time is not None:
        check_finite("time", time)


def _check_known(state: State, time: float | None) -> None:
    if time is not None:
        state.check_times("time", [time])
