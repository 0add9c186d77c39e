"""A body that drives on a floor past a camera, as solutions of the cameras with known truth, for tests."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from recon4d.core import Camera, quaternion, rigid
from recon4d.data.motion import Attempt, CameraHealth, CameraSolution, Clip

COUNT, WIDTH, HEIGHT = 48, 96, 64
TIMES = np.linspace(0.0, 2.0, COUNT)
GROUND = -0.5
UNIT = 0.4  # Size of the subject's own unit in the world.


@dataclass
class Film:
    """A body that drives along a curve on a floor, and a camera that goes by."""

    cameras: list[Camera]
    world_from_body: torch.Tensor  # [T, 4, 4], without scale
    masks: np.ndarray

    @property
    def relative(self) -> list[Camera]:
        """The cameras as structure from motion on the body gives them: in its own frame and unit."""
        gauge = pose([0.3, -0.5, 0.8], [0.2, 0.1, -0.3])
        result = []
        for camera, body in zip(self.cameras, self.world_from_body, strict=True):
            cam_from_own = camera.cam_from_world @ body @ gauge
            cam_from_own[:3, 3] /= UNIT
            result.append(replace(camera, cam_from_world=cam_from_own))
        return result


def pose(turn: list[float], place: list[float]) -> torch.Tensor:
    rotation = quaternion.exp(torch.tensor(turn, dtype=torch.float64))
    return rigid.from_rotation_translation(rotation, torch.tensor(place, dtype=torch.float64))


def film(degrees: float) -> Film:
    """The body turns by so much; where it stands is on the floor."""
    cameras, bodies, masks = [], [], []
    for time in TIMES:
        share = time / TIMES[-1]
        eye = [-1.0 + 2.0 * share, -5.0, 0.8 + 0.1 * math.sin(6 * share)]
        camera = Camera.look_at(
            eye, [0.0, 0.0, -0.2], fov_y_degrees=40.0, width=WIDTH, height=HEIGHT, dtype=torch.float64
        )
        angle = math.radians(degrees) * share
        body = pose([0.0, 0.0, angle], [0.8 * math.sin(angle) - 0.3, 0.4 * share, 0.0])
        feet, depth = camera.project((body[:3, 3] + torch.tensor([0.0, 0.0, GROUND], dtype=torch.float64))[None])
        assert float(depth) > 0
        x, y = (int(value) for value in feet[0])
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[max(0, y - 16) : y + 1, max(0, x - 8) : x + 9] = 255
        cameras.append(camera)
        bodies.append(body)
        masks.append(mask)
    return Film(cameras, torch.stack(bodies), np.stack(masks))


def floor() -> np.ndarray:
    x, y = np.meshgrid(np.linspace(-4, 4, 60), np.linspace(-3, 6, 60))
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, GROUND)], 1)


def solved(cameras, chosen="scene", *, points=None, known=None, confident=True, degrees=60.0) -> CameraSolution:
    tried = Attempt("a way", 40, 48, 90, 0.5, 1.2, degrees, 0.1, confident, () if confident else ("too few",), 1.0)
    health = CameraHealth("auto", chosen, "", (tried,), None, "solved", 1.0, degrees, confident, ())
    points = np.zeros((0, 3)) if points is None else points
    known = np.ones(len(cameras), bool) if known is None else known
    count = len(points)
    return CameraSolution(
        tuple(cameras), known, points, np.arange(count, dtype=np.int32), np.zeros(count), health, "key"
    )


CLIP = Clip(
    np.zeros((COUNT, HEIGHT, WIDTH, 3), np.uint8), TIMES, None, None, np.zeros(COUNT, bool), np.arange(COUNT),
    np.arange(COUNT), np.ones(COUNT, np.float32), np.arange(COUNT), None, ("0",) * COUNT, (0.0, 0.0, 0.0),
    (WIDTH, HEIGHT), None, 24.0, "key", "", (),
)  # fmt: skip
