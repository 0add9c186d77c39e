"""Cameras as values of edits: what somebody was looking through when they drew on the screen."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from recon4d.core import Camera, InputError
from recon4d.editors.keys import check_finite, check_vector

_MAX_SIDE = 16_384

Row = tuple[float, float, float, float]


@dataclass(frozen=True)
class View:
    """A camera and a moment.

    Attributes:
        time: seconds.
        width: of the image, pixels.
        height: of the image, pixels.
        fx: focal length along x, pixels.
        fy: focal length along y, pixels.
        cx: principal point, pixels.
        cy: principal point, pixels.
        cam_from_world: the upper three rows of the pose; OpenCV axes.
    """

    time: float
    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    cam_from_world: tuple[Row, Row, Row]

    def __post_init__(self) -> None:
        for name in ("time", "fx", "fy", "cx", "cy"):
            check_finite(name, getattr(self, name))
        for i, row in enumerate(self.cam_from_world):
            check_vector(f"cam_from_world[{i}]", row)
        if not (1 <= self.width <= _MAX_SIDE and 1 <= self.height <= _MAX_SIDE):
            expected, got = f"1 to {_MAX_SIDE} pixels a side", f"{self.width}x{self.height}"
            raise InputError("width", expected=expected, got=got, fix="give the size of the image")
        if not (self.fx > 0 and self.fy > 0):
            raise InputError("fx", expected="focal lengths > 0", got=f"{self.fx:g}, {self.fy:g}", fix="give pixels")
        pose = torch.tensor(self.cam_from_world, dtype=torch.float64)[:, :3]
        off = (pose @ pose.T - torch.eye(3, dtype=torch.float64)).abs().max()
        if float(off) > 1e-3 or float(torch.linalg.det(pose)) < 0:
            got = f"rows {float(off):.3g} away from orthonormal, or mirrored"
            raise InputError("cam_from_world", expected="a rigid transform", got=got, fix="leave out scales")

    @staticmethod
    def of(camera: Camera, time: float) -> View:
        """The value of a camera at a moment (seconds)."""
        K = camera.K.detach().double().tolist()
        rows = [tuple(row) for row in camera.cam_from_world[:3].detach().double().tolist()]
        (fx, _, cx), (_, fy, cy), _ = K
        return View(time, camera.width, camera.height, fx, fy, cx, cy, tuple(rows))  # type: ignore[arg-type]

    def camera(self, dtype: torch.dtype = torch.float32) -> Camera:
        """The camera."""
        K = torch.tensor([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=torch.float64)
        pose = torch.tensor([*self.cam_from_world, (0, 0, 0, 1)], dtype=torch.float64)
        return Camera(K.to(dtype), pose.to(dtype), self.width, self.height)
