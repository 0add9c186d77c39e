"""A loss that makes neighbouring surfels one smooth surface, seen or not."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def surface_roughness(
    centers: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"],
    rows: Int64[Tensor, " m"],
    neighbours: Int64[Tensor, "m k"],
    *,
    thickness: float = 0.5,
) -> Float[Tensor, ""]:
    """How far neighbours are from each other's tangent planes, and how unlike their normals are; in [0, 2].

    The distance of a neighbour from a surfel's plane is taken relative to its distance from the surfel, d / r, and
    counts (d / r)^2 / ((d / r)^2 + thickness^2) (Geman and McClure's function), so that the other side of something
    thin, which is a neighbour too, hardly pulls.  Normals agree up to their sign: 1 - (n_i . n_j)^2.  The mean over all
    pairs of both together.

    Args:
        centers: [N, 3] places in one state, scene units.
        normals: [N, 3] unit normals.
        rows: [M] the surfels that are looked at.
        neighbours: [M, K] their neighbours; a surfel that names itself adds nothing.
        thickness: d / r at which the plane's pull is at its end, without a unit.
    """
    if not neighbours.numel():
        return centers.sum() * 0
    away = centers[neighbours] - centers[rows][:, None]
    normal = normals[rows][:, None]
    reach = away.detach().square().sum(-1)
    # A surfel's distance from itself is zero: any other number keeps the quotient finite.
    square = (normal * away).sum(-1).square() / torch.where(reach > 0, reach, 1.0)
    unlike = 1 - (normal * normals[neighbours]).sum(-1).square()
    return (square / (square + thickness * thickness) + unlike).mean()
