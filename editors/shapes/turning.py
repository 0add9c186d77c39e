"""Turns the colours of surfels along with the surfels.

A warp keeps colours attached to a moving surface by turning the view direction back.  An edit that turns canonical
surfels has no such record, so it turns the spherical-harmonics coefficients instead.  Moves nothing itself.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import quaternion, spherical_harmonics

_DIRECTIONS = 48  # three times the unknowns of degree 3: the least-squares problem is as good as orthonormal


def turn_colors(sh: Float[Tensor, "n k 3"], rotations_wxyz: Float[Tensor, "*#n 4"]) -> Float[Tensor, "n k 3"]:
    """Coefficients of surfaces that were turned: colour(R d) after equals colour(d) before, for every direction d.

    Harmonics of one degree turn among themselves, so the values at a few fixed directions determine the result, up to
    rounding.

    Args:
        sh: [N, K, 3] coefficients, K = 1, 4, 9 or 16.
        rotations_wxyz: [4] one rotation, or [N, 4] one for each surfel; of any length but zero.
    """
    degree = spherical_harmonics.degree_of(sh.shape[1])
    if degree == 0 or not len(sh):
        return sh
    directions = _even_directions(_DIRECTIONS).to(sh)
    back = quaternion.conjugate(quaternion.normalize(rotations_wxyz))
    from_values = torch.linalg.pinv(spherical_harmonics.basis(directions, degree).double()).to(sh)  # [K, S]
    before = spherical_harmonics.basis(quaternion.rotate(back[..., None, :], directions), degree)  # [..., S, K]
    turned = from_values @ before @ sh
    # The constant part does not turn: keep its bits.
    return torch.cat([sh[:, :1], turned[:, 1:]], 1)


def _even_directions(count: int) -> Float[Tensor, "s 3"]:
    """Unit vectors spread over the sphere along a spiral with the golden angle."""
    index = torch.arange(count, dtype=torch.float64)
    z = 1 - (2 * index + 1) / count
    angle = index * math.pi * (3 - math.sqrt(5))
    radius = (1 - z * z).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], -1)
