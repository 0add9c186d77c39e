"""Motions that are nearly known as splines: a few steps from a good start, where a fit from nothing takes a hundred."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from recon4d.core import SE3Spline, quaternion
from recon4d.core._cubic_curve import ORDER, active_controls, cubic_weights, locate, rotation_at

_PER_STEP = 2  # moments between two control poses at which the motion is asked for
_SMOOTHNESS = 1e-6  # decides what the moments leave open
_ITERATIONS = 12
_CONVERGED = 1e-7  # radians


def moments_of(spline: SE3Spline) -> Tensor:
    """Times float64 [T] over the domain of a spline that determine it."""
    return torch.linspace(spline.start, spline.end, _PER_STEP * (spline.count - ORDER + 1) + 1, dtype=torch.float64)


def refit(start: SE3Spline, rotations_wxyz: Tensor, translations: Tensor) -> SE3Spline:
    """The spline on the same grid of times that is nearest to poses [..., T, 4] and [..., T, 3] at `moments_of` it.

    Places are solved for exactly; rotations by Gauss-Newton steps from those of `start`, as in `SE3Spline.fit`.
    """
    times = moments_of(start)
    first, u = locate(times, start.start, start.step, start.count)
    weights = cubic_weights(u)
    design = torch.zeros(len(times), start.count, dtype=torch.float64)
    design.scatter_(1, first[:, None] + torch.arange(ORDER), weights)
    bends = torch.eye(start.count, dtype=torch.float64).diff(dim=0).diff(dim=0)
    inverse = torch.linalg.pinv(torch.cat([design, _SMOOTHNESS * bends]))[:, : len(times)]
    controls = quaternion.normalize(start.rotations_wxyz.double())
    wanted = rotations_wxyz.double()
    for _ in range(_ITERATIONS):
        curve = rotation_at(active_controls(controls, first), weights)
        correction = inverse @ quaternion.log(quaternion.multiply(wanted, quaternion.conjugate(curve)))
        controls = quaternion.normalize(quaternion.multiply(quaternion.exp(correction), controls))
        if bool(correction.abs().max() < _CONVERGED):
            break
    return replace(start, rotations_wxyz=controls, translations=inverse @ translations.double())
