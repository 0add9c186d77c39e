"""Losses that make neighbours move together."""

from __future__ import annotations

from jaxtyping import Float, Int64
from torch import Tensor

from recon4d.core import quaternion


def as_rigid_as_possible(
    rest: Float[Tensor, "n 3"],
    positions: Float[Tensor, "*t n 3"],
    rotations_wxyz: Float[Tensor, "*t n 4"],
    neighbours: Int64[Tensor, "n k"],
    weights: Float[Tensor, "n k"] | None = None,
) -> Float[Tensor, ""]:
    """How much the edges between neighbours deviate from turning rigidly, relative to their rest lengths.

    The energy of Sorkine and Alexa ("As-rigid-as-possible surface modeling", 2007) with given rotations: the mean of
    |(p_j - p_i) - R_i (r_j - r_i)|^2 over all edges, divided by the mean squared rest length.  Serves surfels (with the
    rotations that the warp applied) and bones (with the rotations of their transforms).

    Args:
        rest: [N, 3] points in the canonical state.
        positions: [..., N, 3] the same points at one or more moments.
        rotations_wxyz: [..., N, 4] rotation of each point since the canonical state; need not be normalised.
        neighbours: [N, K] indices of each point's neighbours; a point that names itself adds an edge of length zero.
        weights: [N, K] >= 0 of the edges, all 1 when None.
    """
    at_rest = rest[neighbours] - rest[:, None]
    moved = positions[..., neighbours, :] - positions[..., :, None, :]
    turned = quaternion.rotate(rotations_wxyz[..., None, :], at_rest)
    deviation, length = (moved - turned).square().sum(-1), at_rest.square().sum(-1)
    if weights is not None:
        deviation, length = deviation * weights, length * weights
    return deviation.mean() / length.mean().clamp_min(1e-12)
