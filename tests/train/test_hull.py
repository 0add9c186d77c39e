"""What carving keeps: limbs thinner than the voxels of its first pass, and the box around them."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import ndimage

from recon4d.core import Camera
from recon4d.train.frames import Frame, subject_box
from recon4d.train.hull import carve
from recon4d.train.root import root_path

_SIZE = 160
_LENGTH, _RADIUS = 1.1, 0.035  # of the leg, whose end is farthest from the body


def body_with_leg() -> torch.Tensor:
    """Points that fill a ball, and a thin leg below it."""
    generator = torch.Generator().manual_seed(0)
    ball = torch.randn(20_000, 3, generator=generator)
    ball = 0.5 * ball / ball.norm(dim=1, keepdim=True) * torch.rand(20_000, 1, generator=generator) ** (1 / 3)
    leg = torch.rand(8000, 3, generator=generator)
    angle, away = 2 * math.pi * leg[:, 0], _RADIUS * leg[:, 1].sqrt()
    leg = torch.stack([0.25 + away * angle.cos(), away * angle.sin(), -_LENGTH * leg[:, 2]], 1)
    return torch.cat([ball, leg])


def frames(points: torch.Tensor, count: int = 16) -> tuple[Frame, ...]:
    made = []
    for index in range(count):
        angle = 2 * math.pi * 0.382 * index
        camera = Camera.look_at(
            [4 * math.cos(angle), 4 * math.sin(angle), 1.5 * math.sin(3 * angle)],
            [0.0, 0.0, -0.3], fov_y_degrees=35.0, width=_SIZE, height=_SIZE,
        )  # fmt: skip
        pixels, _ = camera.project(points)
        column, row = pixels.floor().long().unbind(-1)
        mask = np.zeros((_SIZE, _SIZE), bool)
        mask[row.numpy(), column.numpy()] = True
        coverage = torch.from_numpy(np.where(ndimage.binary_closing(mask), 255, 0).astype(np.uint8))
        image = torch.cat([coverage[..., None] // 2] * 3 + [coverage[..., None]], -1)
        made.append(Frame(index, index / 30, camera, image, coverage[None], subject_box(coverage)))
    return tuple(made)


def test_a_leg_that_is_thinner_than_a_coarse_voxel_is_kept_to_its_end():
    seen = frames(body_with_leg())
    generator = torch.Generator().manual_seed(0)
    root = root_path(seen, 20.0)
    hull = carve(seen, root, seen[8].time, voxels=96, window=1.0, count=6000, generator=generator)
    assert hull.coverage > 0.97
    leg = hull.centers[hull.centers[:, 2] < -0.6]
    # To within two voxels of its end, all along, and no thicker than it is.
    assert float(leg[:, 2].min()) < -_LENGTH + 0.05
    heights = torch.histc(leg[:, 2], bins=5, min=-_LENGTH, max=-0.6)
    assert int(heights.min()) > 10
    assert float((leg[:, :2] - torch.tensor([0.25, 0.0])).norm(dim=1).quantile(0.9)) < 2 * _RADIUS
