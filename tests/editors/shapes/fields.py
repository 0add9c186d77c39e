"""Small fields with every kind of warp for the tests of shapes."""

from __future__ import annotations

import torch

from recon4d.core import SE3Spline, Surfels, quaternion
from recon4d.core.spherical_harmonics import coefficients_from_color
from recon4d.field import BonesWarp, Field, IdentityWarp, Refined, ResidualWarp, RigidWarp, Warp

DURATION = 1.5


def spline(seed: int, *batch: int, size: float = 0.3) -> SE3Spline:
    """A smooth random motion over DURATION."""
    generator = torch.Generator().manual_seed(seed)
    turns = quaternion.exp(0.4 * torch.randn(*batch, 9, 3, generator=generator, dtype=torch.float64))
    shifts = size * torch.randn(*batch, 9, 3, generator=generator, dtype=torch.float64)
    return SE3Spline(turns, shifts, 0.0, DURATION / 6)


def surfels(count: int = 60, seed: int = 0, degree: int = 2) -> Surfels:
    """Random surfels whose colours depend on the view."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    sh = coefficients_from_color(torch.rand(count, 3, generator=generator, dtype=torch.float64), degree)
    sh[:, 1:] = 0.05 * normal(count, sh.shape[1] - 1, 3)
    return Surfels(
        centers=normal(count, 3),
        rotations_wxyz=quaternion.normalize(normal(count, 4)),
        scales=0.05 + 0.05 * torch.rand(count, 2, generator=generator, dtype=torch.float64),
        opacities=0.5 + 0.5 * torch.rand(count, generator=generator, dtype=torch.float64),
        sh=sh,
    )


def warps(count: int = 60) -> dict[str, Warp]:
    """One of every kind, bound to `count` points."""
    generator = torch.Generator().manual_seed(5)
    weights = torch.rand(count, 4, generator=generator, dtype=torch.float64) * torch.tensor([1, 1, 1, 0])
    bones = BonesWarp(
        root=None,
        rest_rotations_wxyz=quaternion.normalize(torch.randn(3, 4, generator=generator, dtype=torch.float64)),
        rest_translations=torch.randn(3, 3, generator=generator, dtype=torch.float64),
        path=spline(1, 3),
        weight_indices=torch.tensor([[2, 0, 1, 0]]).repeat(count, 1),
        weights=weights / weights.sum(1, keepdim=True),
    )
    rooted = BonesWarp(spline(2), *list(vars(bones).values())[1:])
    grid = 0.05 * torch.randn(5, 3, 3, 3, 3, generator=generator, dtype=torch.float64)
    corners = torch.tensor([[-3.0] * 3, [3.0] * 3], dtype=torch.float64)
    return {
        "identity": IdentityWarp(),
        "rigid": RigidWarp(spline(3)),
        "bones": bones,
        "rooted": rooted,
        "residual": ResidualWarp(rooted, grid, corners[0], corners[1], 0.0, DURATION / 2),
        "still residual": ResidualWarp(IdentityWarp(), grid, corners[0], corners[1], 0.0, DURATION / 2),
    }


def field(kind: str, count: int = 60) -> Field:
    """Random surfels moved by one kind of warp, with a refined branch."""
    plain = surfels(count)
    turns = quaternion.exp(0.1 * surfels(count, 8).centers)
    return Field(plain, torch.arange(count) + 7, warps(count)[kind], Refined(turns, plain.scales * 0.8))


KINDS = tuple(warps())
