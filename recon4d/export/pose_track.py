"""A camera that moves smoothly through key poses: cubic splines of position, lens and rotation.

Passes through every key exactly (core's SE3Spline, which is made for fitting, passes near its controls).  Where
neighbouring keys are turned far from each other, as in data sets whose cameras jump about, a spline would swing out;
such tracks go straight from key to key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from recon4d.core import Camera

_JUMP_DEGREES = 60.0


@dataclass(frozen=True, eq=False)
class PoseTrack:
    """Key poses in order.

    Attributes:
        knots: [K] strictly increasing, seconds or whatever the track is run through by.
        positions: [K, 3] of the camera in the world.
        rotations: [K, 3, 3] world_from_cam, OpenCV axes.
        lenses: [K, 4] fx and fy in image heights; the principal point's (x, y) from the middle, in image heights.
        may_jump: go straight where neighbours are turned far from each other; stations set by hand mean a smooth path.
    """

    knots: Float[np.ndarray, " k"]
    positions: Float[np.ndarray, "k 3"]
    rotations: Float[np.ndarray, "k 3 3"]
    lenses: Float[np.ndarray, "k 4"]
    may_jump: bool = True

    @staticmethod
    def through(knots: Sequence[float], cameras: Sequence[Camera]) -> PoseTrack:
        """The track through cameras."""
        poses = np.stack([camera.cam_from_world.detach().double().cpu().numpy() for camera in cameras])
        rotations = poses[:, :3, :3].transpose(0, 2, 1)
        positions = -np.einsum("kij,kj->ki", rotations, poses[:, :3, 3])
        lenses = np.stack([lens_of(camera) for camera in cameras])
        return PoseTrack(np.asarray(knots, dtype=np.float64), positions, rotations, lenses)

    def at(self, where: Float[np.ndarray, " n"], width: int, height: int) -> list[Camera]:
        """Cameras [N] with images of the given size; before the first and after the last key they stand still."""
        from scipy.interpolate import CubicSpline
        from scipy.spatial.transform import Rotation, RotationSpline, Slerp

        where = np.clip(where, self.knots[0], self.knots[-1])
        turns = Rotation.from_matrix(self.rotations)
        numbers = np.concatenate([self.positions, self.lenses], axis=1)
        if len(self.knots) == 1:
            values, rotations = np.repeat(numbers, len(where), axis=0), np.repeat(self.rotations, len(where), axis=0)
        elif len(self.knots) == 2 or (self.may_jump and self.jumps):
            values = np.stack([np.interp(where, self.knots, column) for column in numbers.T], -1)
            rotations = Slerp(self.knots, turns)(where).as_matrix()
        else:
            values = CubicSpline(self.knots, numbers)(where)
            rotations = RotationSpline(self.knots, turns)(where).as_matrix()
        return [
            make_camera(position, rotation, lens, width, height)
            for position, rotation, lens in zip(values[:, :3], rotations, values[:, 3:], strict=True)
        ]

    @property
    def jumps(self) -> bool:
        """Whether neighbouring keys are turned so far from each other that no smooth motion is meant."""
        relative = np.einsum("kji,kjl->kil", self.rotations[:-1], self.rotations[1:])
        cosine = (np.trace(relative, axis1=1, axis2=2) - 1) / 2
        return bool((np.degrees(np.arccos(cosine.clip(-1, 1))) > _JUMP_DEGREES).any())


def lens_of(camera: Camera) -> Float[np.ndarray, "4"]:
    """A camera's lens as `PoseTrack.lenses` has it."""
    K = camera.K.detach().double().cpu().numpy()
    shift = np.array([K[0, 2] - camera.width / 2, K[1, 2] - camera.height / 2])
    return np.concatenate([[K[0, 0], K[1, 1]], shift]) / camera.height


def make_camera(
    position: Float[np.ndarray, "3"],
    rotation: Float[np.ndarray, "3 3"],
    lens: Float[np.ndarray, "4"],
    width: int,
    height: int,
) -> Camera:
    """A float64 camera from a position, world_from_cam and a lens in image heights."""
    fx, fy, x, y = lens * height
    K = torch.tensor([[fx, 0, width / 2 + x], [0, fy, height / 2 + y], [0, 0, 1]], dtype=torch.float64)
    pose = np.eye(4)
    pose[:3, :3] = rotation.T
    pose[:3, 3] = -rotation.T @ position
    return Camera(K, torch.from_numpy(pose), width, height)


def fitted_to(camera: Camera, width: int, height: int) -> Camera:
    """The camera for another image size: all that it saw stays in view, and the scale is the same both ways."""
    scale = min(width / camera.width, height / camera.height)
    K = camera.K.clone()
    K[0, 0], K[1, 1] = camera.K[0, 0] * scale, camera.K[1, 1] * scale
    K[0, 2] = width / 2 + (camera.K[0, 2] - camera.width / 2) * scale
    K[1, 2] = height / 2 + (camera.K[1, 2] - camera.height / 2) * scale
    return Camera(K, camera.cam_from_world, width, height)
