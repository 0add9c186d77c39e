"""Least-squares fit of B-spline controls to timed poses.

Works on float64 arrays that `spline.SE3Spline.fit` has checked; gives no gradients.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import quaternion
from recon4d.core._cubic_curve import ORDER, active_controls, cubic_weights, locate, rotation_at

# Weight of the smoothness rows relative to a pose.  They only decide where poses do not: the bias they leave on
# controls that poses do determine is of the order of this weight squared.
_SMOOTHNESS = 1e-6
_MAX_ITERATIONS = 100
_CONVERGED_RADIANS = 1e-10


def fit_controls(
    times: Float[Tensor, " t"],
    rotations_wxyz: Float[Tensor, "*batch t 4"],
    translations: Float[Tensor, "*batch t 3"],
    *,
    start: float,
    step: float,
    count: int,
) -> tuple[Float[Tensor, "*batch k 4"], Float[Tensor, "*batch k 3"]]:
    """Controls of the curve nearest to the poses, unit quaternions and translations."""
    first, u = locate(times, start, step, count)
    weights = cubic_weights(u)
    columns = first[:, None] + torch.arange(ORDER, device=first.device)
    design = torch.zeros(len(times), count, dtype=times.dtype, device=times.device).scatter(1, columns, weights)
    # Poses at two times or more determine a steady motion, so bends are what is kept small; poses at a single time
    # determine a place only.
    order = 2 if bool(times.min() < times.max()) else 1
    smoothness = torch.eye(count, dtype=times.dtype, device=times.device)
    for _ in range(order):
        smoothness = smoothness.diff(dim=0)
    # The system is the same for translations, and for the small turns of the controls in every round of the rotations.
    q, r = torch.linalg.qr(torch.cat([design, _SMOOTHNESS * smoothness]))

    def solve(poses: Tensor, bends: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(r, q.T @ torch.cat([poses, _SMOOTHNESS * bends], -2), upper=True)

    fitted_translations = solve(translations, translations.new_zeros(*translations.shape[:-2], count - order, 3))

    # Gauss-Newton on the rotations.  Turning control j by a small d_j turns the curve by about the sum of w_j d_j:
    # exact in the limit of small steps between controls, near enough for convergence up to 2 radians per step.
    control_times = start + step * (torch.arange(count, dtype=times.dtype, device=times.device) - 1)
    controls = _interpolate(times, rotations_wxyz, control_times)
    for _ in range(_MAX_ITERATIONS):
        curve = rotation_at(active_controls(controls, first), weights)
        misses = quaternion.log(quaternion.multiply(rotations_wxyz, quaternion.conjugate(curve)))
        turns = quaternion.log(quaternion.multiply(controls[..., 1:, :], quaternion.conjugate(controls[..., :-1, :])))
        correction = solve(misses, -turns.diff(dim=-2, n=order - 1))
        controls = quaternion.normalize(quaternion.multiply(quaternion.exp(correction), controls))
        if bool(correction.abs().max() < _CONVERGED_RADIANS):
            break
    return controls, fitted_translations


def _interpolate(
    times: Float[Tensor, " t"], rotations_wxyz: Float[Tensor, "*batch t 4"], wanted: Float[Tensor, " k"]
) -> Float[Tensor, "*batch k 4"]:
    """Rotations at the wanted times by slerp between the nearest given ones, held at both ends."""
    times, order = times.sort()
    rotations_wxyz = rotations_wxyz[..., order, :]
    right = torch.searchsorted(times, wanted).clamp(0, len(times) - 1)
    left = (right - 1).clamp(min=0)
    span = times[right] - times[left]
    fraction = ((wanted - times[left]) / torch.where(span > 0, span, 1)).clamp(0, 1)
    return quaternion.slerp(rotations_wxyz[..., left, :], rotations_wxyz[..., right, :], fraction)
