"""Cameras while they are fitted: a small correction of every pose, and one of the focal length."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import Camera, quaternion
from recon4d.train.capture import Capture

CAMERA_NAMES = ("camera_turns", "camera_shifts", "log_focal")
"""Parameters of the corrections."""


class Cameras:
    """Corrections of the cameras of a capture; none where the capture's cameras are trusted.

    Args:
        parameters: `camera_turns` [T, 3] rotation vectors and `camera_shifts` [T, 3] in the camera's frame, applied
            after cam_from_world, and `log_focal` [1]; empty for trusted cameras.
    """

    def __init__(self, parameters: dict[str, Tensor]) -> None:
        self.parameters = parameters

    @staticmethod
    def start(capture: Capture, device: torch.device) -> Cameras:
        """No corrections yet."""
        if not capture.refine_cameras:
            return Cameras({})
        shapes = {"camera_turns": (len(capture), 3), "camera_shifts": (len(capture), 3), "log_focal": (1,)}
        return Cameras({n: torch.zeros(shape, device=device, requires_grad=True) for n, shape in shapes.items()})

    def corrected(self, index: int, camera: Camera) -> Camera:
        """The camera of a frame with its corrections; differentiable in them."""
        if not self.parameters:
            return camera
        turn = quaternion.to_matrix(quaternion.exp(self.parameters["camera_turns"][index]))
        rotation = turn @ camera.cam_from_world[:3, :3]
        translation = turn @ camera.cam_from_world[:3, 3] + self.parameters["camera_shifts"][index]
        pose = torch.cat([torch.cat([rotation, translation[:, None]], 1), camera.cam_from_world[3:]])
        scale = self.parameters["log_focal"].exp()
        stretch = torch.cat([scale, scale, scale.new_ones(1)])
        # The focal lengths alone: the principal point stays where it is.
        center = camera.K * (1 - torch.eye(3, device=scale.device))
        return Camera(
            camera.K * torch.eye(3, device=scale.device) * stretch + center, pose, camera.width, camera.height
        )

    def smoothness(self, index: int, size: float) -> Float[Tensor, ""]:
        """How large the corrections of a frame are, and how unlike those of its neighbours, without a unit."""
        turns, shifts = self.parameters["camera_turns"], self.parameters["camera_shifts"] / size
        low, high = max(0, index - 1), min(len(turns) - 1, index + 1)
        unlike = turns[index] - 0.5 * (turns[low] + turns[high]), shifts[index] - 0.5 * (shifts[low] + shifts[high])
        small = turns[index].square().sum() + shifts[index].square().sum()
        return unlike[0].square().sum() + unlike[1].square().sum() + 0.1 * small

    def frozen(self, capture: Capture) -> list[Camera]:
        """The corrected cameras of all frames; those kept out follow their fitted neighbours."""
        cameras = [camera.to(torch.float32) for camera in capture.cameras]
        if not self.parameters:
            return cameras
        with torch.no_grad():
            spread = {
                name: _between(value.detach().cpu(), capture.fitted, capture.times) if value.dim() == 2 else value.cpu()
                for name, value in self.parameters.items()
            }
            corrected = Cameras(spread)
            return [corrected.corrected(index, camera) for index, camera in enumerate(cameras)]


def _between(values: Float[Tensor, "t 3"], known: Sequence[bool], times: Sequence[float]) -> Float[Tensor, "t 3"]:
    """Values of unknown rows, by linear interpolation in time."""
    import numpy as np

    rows = np.flatnonzero(known)
    moments = np.asarray(times)
    columns = [np.interp(moments, moments[rows], values[rows, k].numpy()) for k in range(3)]
    return torch.from_numpy(np.stack(columns, 1)).to(values)
