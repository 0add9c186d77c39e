"""Uniform cubic B-spline curves of translations and rotations, as functions of their controls.

The mathematics under `spline.SE3Spline` and under its fit; checks nothing.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recon4d.core import quaternion

# Controls that act at any one time.
ORDER = 4


def cubic_weights(u: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 4"]:
    """Weights of four neighbouring controls at the fraction u in [0, 1] of the way from the second to the third."""
    return torch.stack([(1 - u) ** 3, 4 - 6 * u**2 + 3 * u**3, 1 + 3 * u + 3 * u**2 - 3 * u**3, u**3], -1) / 6


def cubic_weight_rates(u: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 4"]:
    """Derivatives of `cubic_weights` with respect to u."""
    return torch.stack([-((1 - u) ** 2), 3 * u**2 - 4 * u, 1 + 2 * u - 3 * u**2, u**2], -1) / 2


def locate(
    times: Float[Tensor, " t"], start: float, step: float, count: int
) -> tuple[Int[Tensor, " t"], Float[Tensor, " t"]]:
    """Index of the first active control and fraction u in [0, 1] of its segment, for times clamped to the domain.

    Computed in float64: float32 would resolve a time of a minute to a few microseconds only.
    """
    position = ((times.double() - start) / step).clamp(0, count - ORDER + 1)
    first = position.detach().floor().clamp(max=count - ORDER)
    return first.long(), position - first


def active_controls(controls: Float[Tensor, "*batch k c"], first: Int[Tensor, " t"]) -> Float[Tensor, "*batch t 4 c"]:
    """The four controls that act at each time."""
    return controls[..., first[:, None] + torch.arange(ORDER, device=first.device), :]


def translation_at(active: Float[Tensor, "*batch t 4 c"], weights: Float[Tensor, "t 4"]) -> Float[Tensor, "*batch t c"]:
    """Weighted sums of the active controls; with `cubic_weight_rates` their derivatives."""
    return (weights[..., None] * active).sum(-2)


def rotation_at(active: Float[Tensor, "*batch t 4 4"], weights: Float[Tensor, "t 4"]) -> Float[Tensor, "*batch t 4"]:
    """R_0 exp(s_1 d_1) exp(s_2 d_2) exp(s_3 d_3), where d_j = log(R_{j-1}^-1 R_j) and s_j = w_j + ... + w_3."""
    pose = quaternion.normalize(active[..., 0, :])
    for share, delta in _steps(active, weights):
        pose = quaternion.multiply(pose, quaternion.exp(share * delta))
    return pose


def angular_velocity_at(
    active: Float[Tensor, "*batch t 4 4"], weights: Float[Tensor, "t 4"], rates: Float[Tensor, "t 4"]
) -> Float[Tensor, "*batch t 3"]:
    """Angular velocity of `rotation_at` per unit of u, in the frame that the rotations lead to.

    Each factor turns everything after it, so its rate s_j' d_j is carried to that frame by the factors before it
    (it commutes with its own).
    """
    pose = quaternion.normalize(active[..., 0, :])
    velocity = torch.zeros_like(pose[..., 1:])
    for (share, delta), (rate, _) in zip(_steps(active, weights), _steps(active, rates), strict=True):
        velocity = velocity + quaternion.rotate(pose, rate * delta)
        pose = quaternion.multiply(pose, quaternion.exp(share * delta))
    return velocity


def _steps(
    active: Float[Tensor, "*batch t 4 4"], weights: Float[Tensor, "t 4"]
) -> list[tuple[Float[Tensor, "t 1"], Float[Tensor, "*batch t 3"]]]:
    """For each of the three steps between active controls: the share of it that is made, and its rotation vector."""
    deltas = quaternion.log(quaternion.multiply(quaternion.conjugate(active[..., :-1, :]), active[..., 1:, :]))
    return [(weights[:, j:].sum(-1, keepdim=True), deltas[..., j - 1, :]) for j in range(1, ORDER)]
