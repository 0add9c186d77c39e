"""Small scenes for the tests of the editors."""

from __future__ import annotations

import torch

from recon4d.core import Camera, SE3Spline, quaternion
from recon4d.core.spherical_harmonics import coefficients_from_color
from recon4d.core.surfels import Surfels
from recon4d.field import Field, IdentityWarp, RigidWarp
from recon4d.scene import Layer, Scene
from recon4d.synthetic.creature_field import creature_field

TIMES = torch.arange(13, dtype=torch.float64) / 12
CAMERAS = [Camera.look_at([2.6, -2.6, 1.4], [0.0, 0.0, 0.45], fov_y_degrees=36, width=96, height=72)] * len(TIMES)


def ball(count: int = 300, center: tuple[float, ...] = (0.0, -0.9, 0.35), degree: int = 0) -> Field:
    """A ball that rolls along x."""
    generator = torch.Generator().manual_seed(5)
    normal = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    half = torch.stack([1 + normal[:, 2], -normal[:, 1], normal[:, 0], torch.zeros(count)], dim=1)
    colors = 0.5 + 0.4 * normal
    turns = quaternion.exp(torch.stack([torch.zeros(13), 2 * TIMES, torch.zeros(13)], -1))
    places = torch.tensor(center, dtype=torch.float64) + TIMES[:, None] * torch.tensor([0.8, 0, 0], dtype=torch.float64)
    sh = coefficients_from_color(colors)
    if degree:
        extra = 0.2 * torch.randn(count, (degree + 1) ** 2 - 1, 3, generator=generator)
        sh = torch.cat([sh, extra], 1)
    surfels = Surfels(
        centers=0.25 * normal,
        rotations_wxyz=quaternion.normalize(half),
        scales=torch.tensor([[0.03, 0.02]]).repeat(count, 1),
        opacities=torch.full((count,), 0.9),
        sh=sh,
    )
    return Field(
        surfels, torch.arange(count), RigidWarp(SE3Spline.fit(TIMES, turns, places, step=0.1).to(torch.float32))
    )


def floor(side: int = 24, half: float = 2.0) -> Field:
    """A chequered floor that stands still."""
    line = torch.linspace(-half, half, side)
    x, y = torch.meshgrid(line, line, indexing="ij")
    centers = torch.stack([x.flatten(), y.flatten(), torch.full((side * side,), -0.02)], -1)
    light = ((x.flatten() * 2).floor() + (y.flatten() * 2).floor()) % 2
    colors = (0.35 + 0.3 * light)[:, None].repeat(1, 3)
    surfels = Surfels(
        centers=centers,
        rotations_wxyz=torch.tensor([[1.0, 0, 0, 0]]).repeat(len(centers), 1),
        scales=torch.full((len(centers), 2), 0.6 * 2 * half / side),
        opacities=torch.full((len(centers),), 0.95),
        sh=coefficients_from_color(colors),
    )
    return Field(surfels, torch.arange(len(centers)) * 3 + 7, IdentityWarp())


def animal(count: int = 1500) -> Field:
    """A walking quadruped with bones."""
    return creature_field("quadruped", count, detail=0.4)


def scene(count: int = 1500) -> Scene:
    """The animal, the ball beside it, and the floor."""
    layers = [
        Layer("animal", "object", animal(count)),
        Layer("ball", "object", ball()),
        Layer("floor", "background", floor()),
    ]
    return Scene(TIMES, list(CAMERAS), layers)
