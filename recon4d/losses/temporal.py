"""Losses that make motion smooth in time."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import quaternion


def acceleration(positions: Float[Tensor, "*batch t c"]) -> Float[Tensor, ""]:
    """Mean squared length of the second differences of evenly timed positions, in their units squared.

    Zero for even motion, and with fewer than three times.  Divide by the squared size of the subject to be free of
    units.  Quaternions of one sign and about unit length may be given too: a chordal, cheap `angular_acceleration`.
    """
    if positions.shape[-2] < 3:
        return positions.sum() * 0
    second = positions[..., 2:, :] - 2 * positions[..., 1:-1, :] + positions[..., :-2, :]
    return second.square().sum(-1).mean()


def angular_acceleration(rotations_wxyz: Float[Tensor, "*batch t 4"]) -> Float[Tensor, ""]:
    """Mean squared change of the step-to-step rotation of evenly timed orientations, in radians squared.

    The steps are rotation vectors log(q_i^-1 q_{i+1}) in the moving frame, so turning evenly about a fixed axis costs
    nothing.  Zero with fewer than three times.  Quaternions need not be normalised and may have either sign.
    """
    if rotations_wxyz.shape[-2] < 3:
        return rotations_wxyz.sum() * 0
    unit = quaternion.normalize(rotations_wxyz)
    before, after = unit[..., :-1, :], unit[..., 1:, :]
    after = torch.where((before * after).sum(-1, keepdim=True) < 0, -after, after)
    steps = quaternion.log(quaternion.multiply(quaternion.conjugate(before), after))
    return (steps[..., 1:, :] - steps[..., :-1, :]).square().sum(-1).mean()
