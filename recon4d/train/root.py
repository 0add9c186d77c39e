"""Where the subject is over time, from masks and cameras alone.

The middle of each mask gives a ray; the smoothest path through the rays is found by linear least squares.  This is a
start for the root of the warp: it moves, it does not turn.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from recon4d.core import InputError, SE3Spline
from recon4d.train.frames import Frame

_SMOOTHNESS = 1.0
_STILLNESS = 1e-3
_TIKHONOV = 1e-6


def control_count(times: list[float], frames_per_control: float) -> tuple[float, int]:
    """Seconds between control poses, and how many cover the times."""
    different = sorted(set(times))
    duration = different[-1] - different[0]
    if duration <= 0:
        return 1.0, 4
    segments = max(1, round((len(different) - 1) / frames_per_control))
    return duration / segments, segments + 3


def root_path(frames: tuple[Frame, ...], frames_per_control: float) -> SE3Spline:
    """World_from_root over time, without rotation, from the middles of the masks.

    Raises:
        InputError: the rays do not determine a place (all cameras at one place, looking one way).
    """
    times = [frame.time for frame in frames]
    step, count = control_count(times, frames_per_control)
    identity = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64).expand(count, 4)
    basis = spline_basis(times, times[0], step, count)
    origins, directions = zip(*(mask_ray(frame) for frame in frames), strict=True)
    origin, direction = torch.stack(origins), torch.stack(directions)
    # |P (x - o)|^2 with P the projection across the ray, x linear in the controls.
    across = torch.eye(3, dtype=torch.float64) - direction[:, :, None] * direction[:, None, :]
    matrix = torch.einsum("fk,fij->fikj", basis, across).reshape(3 * len(frames), 3 * count)
    wanted = (across @ origin[:, :, None]).reshape(-1)
    second = torch.zeros(max(count - 2, 0), count, dtype=torch.float64)
    for row in range(second.shape[0]):
        second[row, row : row + 3] = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64)
    smooth = torch.kron(second.T @ second, torch.eye(3, dtype=torch.float64)) * _SMOOTHNESS * len(frames)
    first = torch.zeros(count - 1, count, dtype=torch.float64)
    first[range(count - 1), range(count - 1)], first[range(count - 1), range(1, count)] = -1.0, 1.0
    # A trace of stillness decides what the rays leave open, such as distance under a camera that only turns.
    still = torch.kron(first.T @ first, torch.eye(3, dtype=torch.float64)) * _STILLNESS
    normal = matrix.T @ matrix + smooth + still
    values = torch.linalg.eigvalsh(normal)
    if values[0] < _TIKHONOV * values[-1] / count**4:
        raise InputError(
            "cameras",
            expected="views of the subject from different places",
            got="views whose rays never cross",
            fix="check the poses: from one place alone the distance of a subject is unknown",
        )
    controls = torch.linalg.solve(normal, matrix.T @ wanted).reshape(count, 3)
    return SE3Spline(identity.float().contiguous(), controls.float(), times[0], step)


def spline_basis(times: list[float], start: float, step: float, count: int) -> Float64[Tensor, "f k"]:
    """Weight of each control of an `SE3Spline` in the position at each time."""
    controls = torch.zeros(count, count, 3, dtype=torch.float64)
    controls[range(count), range(count), 0] = 1.0
    identity = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64).expand(count, count, 4)
    moments = torch.tensor(times, dtype=torch.float64)
    return SE3Spline(identity, controls, start, step).at(moments)[1][..., 0].T


def mask_middle(frame: Frame) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Column and row of the mask's centre of mass, pixels."""
    weights = frame.pixels[..., 3].double()
    rows = torch.arange(weights.shape[0], dtype=torch.float64) + 0.5
    columns = torch.arange(weights.shape[1], dtype=torch.float64) + 0.5
    total = weights.sum()
    return (weights.sum(0) * columns).sum() / total, (weights.sum(1) * rows).sum() / total


def mask_ray(frame: Frame) -> tuple[Float[Tensor, " 3"], Float[Tensor, " 3"]]:
    """Origin and unit direction, in the world, of the ray through the mask's middle."""
    x, y = mask_middle(frame)
    camera = frame.camera.to(torch.float64)
    in_cam = torch.stack([(x - camera.K[0, 2]) / camera.K[0, 0], (y - camera.K[1, 2]) / camera.K[1, 1], x * 0 + 1])
    direction = in_cam @ camera.cam_from_world[:3, :3]
    return camera.center_in_world, direction / direction.norm()
