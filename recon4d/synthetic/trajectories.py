"""Camera paths around a subject.

Every path gives float64 cameras that look at (about) the middle of the subject from about the same distance.  World
up is +z.  Randomness comes from the generator that is passed in, so a path repeats for a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from recon4d.core import Camera

CameraKind = Literal["orbit", "handheld", "static", "teleport", "rig"]
CAMERA_KINDS: tuple[CameraKind, ...] = ("orbit", "handheld", "static", "teleport", "rig")


@dataclass(frozen=True)
class Lens:
    """Image size, field of view and place of the subject, common to all cameras of a data set.

    Attributes:
        width, height: pixels.
        fov_y_degrees: full vertical field of view.
        middle: where the subject is, in the world.
        distance: from the camera to the middle, scene units.
    """

    width: int
    height: int
    fov_y_degrees: float
    middle: tuple[float, float, float]
    distance: float

    def camera(
        self, azimuth: float, elevation: float, *, distance: float = 1.0, aim: tuple[float, float] = (0.0, 0.0),
        roll: float = 0.0,
    ) -> Camera:  # fmt: skip
        """Camera in a direction seen from the subject; angles in degrees, azimuth from +x towards +y.

        Args:
            azimuth, elevation: where the camera is.
            distance: factor on the usual distance.
            aim: how far the line of sight is turned to the (right, down) of the middle, degrees.
            roll: turn about the line of sight, degrees, clockwise in the scene.
        """
        a, e = np.radians(azimuth), np.radians(elevation)
        away = np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)])
        eye = np.asarray(self.middle) + away * self.distance * distance
        base = Camera.look_at(
            torch.from_numpy(eye),
            torch.tensor(self.middle, dtype=torch.float64),
            fov_y_degrees=self.fov_y_degrees,
            width=self.width,
            height=self.height,
            dtype=torch.float64,
        )
        turned = np.eye(4)
        turned[:3, :3] = _turn(0, aim[1]) @ _turn(1, -aim[0]) @ _turn(2, roll)
        return Camera(base.K, torch.from_numpy(turned) @ base.cam_from_world, self.width, self.height)


def _turn(axis: int, degrees: float) -> Float[np.ndarray, "3 3"]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def train_cameras(
    kind: CameraKind,
    lens: Lens,
    seconds: Float[np.ndarray, "t"],
    generator: np.random.Generator,
    *,
    turns: float = 1.0,
    elevation: float = 15.0,
    count: int = 6,
) -> list[list[Camera]]:
    """Cameras [views at once][T] for the given moments.

    Args:
        kind: orbit (evenly around), handheld (a person who walks to and fro around the subject, with a shaking hand),
            static, teleport (somewhere else on the upper hemisphere every time), rig (several that stand still).
        lens: common to all.
        seconds: [T] moments; real time matters to the shaking of a hand.
        generator: source of the starting direction and of everything random.
        turns: how often an orbit goes around.
        elevation: usual height in degrees.
        count: cameras of a rig.
    """
    start = float(generator.uniform(-30, 30))
    share = np.linspace(0, 1, len(seconds), endpoint=False) if len(seconds) > 1 else np.zeros(1)
    if kind == "orbit":
        wave = 8 * np.sin(2 * np.pi * share)
        return [[lens.camera(start + 360 * turns * s, elevation + w) for s, w in zip(share, wave, strict=True)]]
    if kind == "handheld":
        return [_handheld(lens, seconds, generator, start, elevation)]
    if kind == "static":
        camera = lens.camera(start, elevation)
        return [[camera] * len(seconds)]
    if kind == "teleport":
        return [hemisphere_cameras(lens, len(seconds), generator)]
    ring = [lens.camera(start + 360 * k / count, elevation + (12 if k % 2 else -4)) for k in range(count)]
    return [[camera] * len(seconds) for camera in ring]


def hemisphere_cameras(lens: Lens, count: int, generator: np.random.Generator) -> list[Camera]:
    """Independent cameras, uniform on the part of the sphere from 5 degrees below to 75 degrees above the horizon."""
    low, high = np.sin(np.radians(-5)), np.sin(np.radians(75))
    azimuth = generator.uniform(0, 360, count)
    elevation = np.degrees(np.arcsin(generator.uniform(low, high, count)))
    return [lens.camera(float(a), float(e)) for a, e in zip(azimuth, elevation, strict=True)]


def _handheld(
    lens: Lens, seconds: Float[np.ndarray, "t"], generator: np.random.Generator, start: float, elevation: float
) -> list[Camera]:
    phases = generator.uniform(0, 2 * np.pi, (8, 3))

    def sway(row: int, *parts: tuple[float, float]) -> Float[np.ndarray, "t"]:
        """Sum of slow to fast waves: pairs of hertz and strength."""
        waves = [a * np.sin(2 * np.pi * hertz * seconds + phases[row, k]) for k, (hertz, a) in enumerate(parts)]
        return np.sum(waves, axis=0)

    azimuth = start + sway(0, (0.14, 48.0), (0.31, 9.0), (0.9, 0.5))
    height = elevation + sway(1, (0.11, 7.0), (0.37, 2.0), (1.1, 0.3))
    distance = 1.0 + sway(2, (0.13, 0.05), (0.5, 0.012), (1.7, 0.002))
    right = sway(3, (0.3, 0.9), (1.1, 0.35), (2.7, 0.10))
    down = sway(4, (0.27, 0.8), (1.3, 0.35), (3.1, 0.10))
    roll = sway(5, (0.2, 1.2), (0.8, 0.4), (2.1, 0.12))
    return [
        lens.camera(float(a), float(e), distance=float(d), aim=(float(r), float(w)), roll=float(o))
        for a, e, d, r, w, o in zip(azimuth, height, distance, right, down, roll, strict=True)
    ]


def angular_speeds(
    cameras: list[Camera], seconds: Float[np.ndarray, "t"], middle: tuple[float, float, float]
) -> Float[np.ndarray, "_"]:
    """Degrees a second [T - 1] by which the direction from the subject to the camera changes between frames."""
    away = np.stack([c.center_in_world.numpy() for c in cameras]) - np.asarray(middle)
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    # The half-angle form keeps its digits for small angles.
    half = np.linalg.norm(away[1:] - away[:-1], axis=-1) / 2
    return np.degrees(2 * np.arcsin(np.clip(half, 0, 1))) / np.diff(seconds)
