"""Pinhole cameras.

OpenCV axes (x right, y down, z forward), pixel centres at +0.5, any principal point, square pixels not assumed.
Other conventions (OpenGL, glTF, Blender) are converted where files are read or written, never here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import rigid
from recon4d.core.errors import InputError


@dataclass(frozen=True, eq=False)
class Camera:
    """One pinhole camera; differentiable in `K` and `cam_from_world`.

    Attributes:
        K: [3, 3] intrinsics in pixels, [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] (no skew).
        cam_from_world: [4, 4] rigid transform that takes world points to camera points, scene units.
        width: image width in pixels.
        height: image height in pixels.
    """

    K: Float[Tensor, "3 3"]
    cam_from_world: Float[Tensor, "4 4"]
    width: int
    height: int

    def __post_init__(self) -> None:
        _check_size(self.width, self.height)
        for name, tensor, shape in (("K", self.K, (3, 3)), ("cam_from_world", self.cam_from_world, (4, 4))):
            if not isinstance(tensor, Tensor) or tuple(tensor.shape) != shape or not tensor.is_floating_point():
                got = f"{tensor.dtype} {list(tensor.shape)}" if isinstance(tensor, Tensor) else type(tensor).__name__
                raise InputError(
                    f"Camera.{name}",
                    expected=f"a floating-point tensor {list(shape)}",
                    got=got,
                    fix="build it with torch.tensor(...), one camera at a time",
                )
        if (self.K.dtype, self.K.device) != (self.cam_from_world.dtype, self.cam_from_world.device):
            raise InputError(
                "Camera.cam_from_world",
                expected=f"the type and device of K, {self.K.dtype} on {self.K.device}",
                got=f"{self.cam_from_world.dtype} on {self.cam_from_world.device}",
                fix="convert both with .to(...) first",
            )

    @staticmethod
    def look_at(
        eye: Sequence[float | int] | Float[Tensor, " 3"],
        target: Sequence[float | int] | Float[Tensor, " 3"] = (0.0, 0.0, 0.0),
        *,
        up: Sequence[float | int] | Float[Tensor, " 3"] = (0.0, 0.0, 1.0),
        fov_y_degrees: float = 45.0,
        width: int = 512,
        height: int = 512,
        dtype: torch.dtype = torch.float32,
    ) -> Camera:
        """Camera at `eye` that looks at `target`, principal point in the middle of the image.

        Args:
            eye: [3] camera centre in world units.
            target: [3] the point seen in the middle of the image.
            up: [3] the world direction that is up in the image, of any length; must not be parallel to the view.
            fov_y_degrees: full vertical field of view in degrees, in (0, 180).
            width, height: image size in pixels.
            dtype: type of the result.

        Raises:
            InputError: when eye equals target, up is parallel to the view, or a size or angle is out of range.
        """
        _check_size(width, height)
        if not 0.0 < fov_y_degrees < 180.0:
            raise InputError(
                "fov_y_degrees",
                expected="an angle between 0 and 180 degrees",
                got=repr(fov_y_degrees),
                fix="45 is a common choice",
            )
        eye_in_world, target_in_world, up_in_world = (
            torch.as_tensor(point, dtype=torch.float64, device="cpu") for point in (eye, target, up)
        )
        if not all(point.shape == (3,) for point in (eye_in_world, target_in_world, up_in_world)):
            raise InputError(
                "look_at",
                expected="eye, target and up of three numbers each",
                got=" and ".join(str(list(point.shape)) for point in (eye_in_world, target_in_world, up_in_world)),
                fix="give x, y and z in the world",
            )
        forward = target_in_world - eye_in_world
        right = torch.linalg.cross(forward, up_in_world)
        # Negated, so that NaN is refused too.
        if not bool(right.norm() > 1e-9 * forward.norm() * up_in_world.norm()):
            raise InputError(
                "look_at",
                expected="eye apart from target and up not parallel to the view",
                got=f"eye={eye_in_world.tolist()}, target={target_in_world.tolist()}, up={up_in_world.tolist()}",
                fix="move the eye or choose another up",
            )
        forward = forward / forward.norm()
        right = right / right.norm()
        down = torch.linalg.cross(forward, right)
        rotation = torch.stack([right, down, forward])
        cam_from_world = torch.eye(4, dtype=torch.float64)
        cam_from_world[:3, :3] = rotation
        cam_from_world[:3, 3] = -rotation @ eye_in_world
        focal = 0.5 * height / math.tan(math.radians(fov_y_degrees) / 2)
        K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64)
        return Camera(K.to(dtype), cam_from_world.to(dtype), width, height)

    @property
    def world_from_cam(self) -> Float[Tensor, "4 4"]:
        """[4, 4] inverse of `cam_from_world`."""
        return rigid.invert(self.cam_from_world)

    @property
    def center_in_world(self) -> Float[Tensor, " 3"]:
        """[3] position of the camera in the world."""
        return -self.cam_from_world[:3, :3].T @ self.cam_from_world[:3, 3]

    def project(self, points_in_world: Float[Tensor, "*n 3"]) -> tuple[Float[Tensor, "*n 2"], Float[Tensor, "*n"]]:
        """Pixel positions [..., 2] and camera-frame depths [...] of world points [..., 3].

        Points behind the camera get a depth <= 0; their pixel positions mean nothing.
        """
        points_in_cam = points_in_world @ self.cam_from_world[:3, :3].T + self.cam_from_world[:3, 3]
        depth = points_in_cam[..., 2]
        pixels = points_in_cam[..., :2] / depth[..., None]
        return pixels * torch.stack([self.K[0, 0], self.K[1, 1]]) + self.K[:2, 2], depth

    def rays(self) -> tuple[Float[Tensor, " 3"], Float[Tensor, "h w 3"]]:
        """Camera centre [3] and ray directions [H, W, 3] through the pixel centres, in the world.

        Directions have camera-frame z = 1, so `centre + depth * direction` is the point at that depth.
        """
        columns = torch.arange(self.width, dtype=self.K.dtype, device=self.K.device)
        rows = torch.arange(self.height, dtype=self.K.dtype, device=self.K.device)
        x = (columns + 0.5 - self.K[0, 2]) / self.K[0, 0]
        y = (rows + 0.5 - self.K[1, 2]) / self.K[1, 1]
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        in_cam = torch.stack([grid_x, grid_y, torch.ones_like(grid_x)], -1)
        return self.center_in_world, in_cam @ self.cam_from_world[:3, :3]

    def resized(self, width: int, height: int) -> Camera:
        """The same camera for an image resampled to `width` x `height` pixels.

        Raises:
            InputError: when a size is no whole number >= 1.
        """
        _check_size(width, height)
        sx, sy = width / self.width, height / self.height
        scale = torch.tensor([[sx], [sy], [1.0]], dtype=self.K.dtype, device=self.K.device)
        return Camera(self.K * scale, self.cam_from_world, width, height)

    def to(self, *args: object, **kwargs: object) -> Camera:
        """As `torch.Tensor.to`, applied to both matrices."""
        return Camera(
            self.K.to(*args, **kwargs),  # type: ignore[call-overload]
            self.cam_from_world.to(*args, **kwargs),  # type: ignore[call-overload]
            self.width,
            self.height,
        )


def _check_size(width: int, height: int) -> None:
    for name, value in (("width", width), ("height", height)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(
                f"Camera.{name}",
                expected="a whole number of pixels >= 1",
                got=repr(value),
                fix="pass the size of the image",
            )
