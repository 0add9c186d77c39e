"""Small scenes for the tests of the export room."""

from __future__ import annotations

import torch

from recon4d.core import Camera, SE3Spline, Surfels, quaternion
from recon4d.core.spherical_harmonics import coefficients_from_color
from recon4d.field import BonesWarp, Field, IdentityWarp, RigidWarp
from recon4d.scene import Layer, Scene

TIMES = torch.arange(9, dtype=torch.float64) / 8


def blob(
    count: int, radius: float, color: tuple[float, float, float], seed: int = 0, shift: tuple[float, ...] = (0, 0, 0)
) -> Surfels:
    """A ball of surfels that face outwards."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    half = torch.stack([1 + normal[:, 2], -normal[:, 1], normal[:, 0], torch.zeros(count)], dim=1)
    size = 1.6 * radius * (4 * torch.pi / count) ** 0.5 / 2
    return Surfels(
        centers=radius * normal + torch.tensor(shift),
        rotations_wxyz=quaternion.normalize(half),
        scales=torch.full((count, 2), size),
        opacities=torch.full((count,), 0.95),
        sh=coefficients_from_color(torch.tensor([color]).repeat(count, 1)),
    )


def straight(velocity: tuple[float, ...], start: tuple[float, ...] = (0, 0, 0)) -> SE3Spline:
    """Even motion along a line."""
    identity = torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64).repeat(len(TIMES), 1)
    places = torch.tensor([start], dtype=torch.float64) + TIMES[:, None] * torch.tensor(velocity, dtype=torch.float64)
    return SE3Spline.fit(TIMES, identity, places, step=0.25).to(torch.float32)


def two_bones(surfels: Surfels) -> BonesWarp:
    """The left half stands still, the right half rises."""
    count = len(surfels)
    still, rising = straight((0, 0, 0), (-0.3, 0, 0)), straight((0, 0, 0.4), (0.3, 0, 0))
    path = SE3Spline(
        torch.stack([still.rotations_wxyz, rising.rotations_wxyz]),
        torch.stack([still.translations, rising.translations]),
        still.start,
        still.step,
    )
    share = (0.5 + surfels.centers[:, :1]).clamp(0, 1)
    weights = torch.cat([1 - share, share, torch.zeros(count, 2)], dim=1)
    return BonesWarp(
        root=None,
        rest_rotations_wxyz=torch.tensor([[1.0, 0, 0, 0]] * 2),
        rest_translations=torch.tensor([[-0.3, 0, 0], [0.3, 0, 0]]),
        path=path,
        weight_indices=torch.tensor([[0, 1, 0, 0]]).repeat(count, 1),
        weights=weights,
    )


def ring(
    degrees: float = 180.0,
    *,
    distance: float = 4.0,
    height: float = 1.0,
    up: tuple[float, float, float] = (0, 0, 1),
    size: tuple[int, int] = (64, 48),
) -> list[Camera]:
    """Cameras on an arc around the origin, one for each of TIMES."""
    angles = torch.linspace(0, torch.pi * degrees / 180, len(TIMES)).tolist()
    turn = torch.tensor(angles)
    axis = torch.tensor(up, dtype=torch.float32)
    ahead = torch.tensor([1.0, 0, 0]) if abs(up[0]) < 0.9 else torch.tensor([0, 1.0, 0])
    side = torch.linalg.cross(axis, ahead)
    eyes = distance * (turn.cos()[:, None] * ahead + turn.sin()[:, None] * side) + height * axis
    return [Camera.look_at(eye, up=up, fov_y_degrees=40, width=size[0], height=size[1]) for eye in eyes]


def object_scene(cameras: list[Camera] | None = None) -> Scene:
    """One bending blob."""
    surfels = blob(400, 0.7, (0.8, 0.3, 0.1))
    field = Field(surfels, torch.arange(len(surfels)), two_bones(surfels))
    return Scene(TIMES, cameras or ring(), [Layer("blob", "object", field)])


def layered_scene() -> Scene:
    """The blob, a ball that flies past, and a wall behind that stands still; colours of different degrees."""
    ball = blob(100, 0.2, (0.1, 0.2, 0.9), seed=1)
    wall = blob(300, 6.0, (0.4, 0.5, 0.4), seed=2)
    wall = wall.replace(sh=torch.nn.functional.pad(wall.sh, (0, 0, 0, 3)))
    flying = straight((2.0, 0, 0), (-1.0, -1.2, 0))
    return Scene(
        TIMES,
        ring(),
        [
            *object_scene().layers,
            Layer("ball", "object", Field(ball, torch.arange(len(ball)), RigidWarp(flying))),
            Layer("wall", "background", Field(wall, torch.arange(len(wall)), IdentityWarp())),
        ],
    )
