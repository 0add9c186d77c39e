"""Two balls that drift apart in a painted room: images, a mask for each, cameras, points and true tracks.

Drawn with the rasterizer itself, so everything that a fit is asked for is known exactly.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from recon4d.core import Camera, Surfels, quaternion, spherical_harmonics
from recon4d.data.motion import Tracks
from recon4d.render import rasterize
from recon4d.scene import merge_surfels
from recon4d.train import Capture
from recon4d.train.hull import facing
from tests.train.moving import camera

COUNT, SIZE = 15, 40
RADIUS, ROOM = 0.4, 7.0
SPEED = 0.4


def shell(count: int, radius: float, scale: float, seed: int, tint: tuple[float, float, float]) -> Surfels:
    """A sphere with a pattern of its own."""
    generator = torch.Generator().manual_seed(seed)
    normals = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    waves = 0.25 * torch.sin(4 * normals) + 0.15 * torch.sin(9 * normals[:, [1, 2, 0]])
    colors = (torch.tensor(tint) + waves).clamp(0.05, 0.95)
    return Surfels(
        normals * radius,
        facing(normals).contiguous(),
        torch.full((count, 2), scale),
        torch.full((count,), 0.95),
        sh=spherical_harmonics.coefficients_from_color(colors).reshape(-1, 1, 3),
    )


BALLS = (shell(500, RADIUS, 0.06, 1, (0.8, 0.4, 0.3)), shell(500, RADIUS, 0.06, 2, (0.2, 0.5, 0.8)))
WALLS = shell(1500, ROOM, 0.6, 3, (0.5, 0.5, 0.5))


def times(count: int = COUNT) -> tuple[float, ...]:
    """Seconds of the frames."""
    return tuple(i / (count - 1) for i in range(count))


def ball(number: int, time: float) -> Tensor:
    """[3] middle of a ball: they drift along x, away from each other."""
    side = 1.0 if number else -1.0
    return torch.tensor([side * (0.7 + SPEED * (time - 0.5)), 0.0, 0.15 * side])


def balls_at(time: float) -> list[Surfels]:
    """Both balls in the world; they do not turn."""
    return [one.replace(centers=one.centers + ball(number, time)) for number, one in enumerate(BALLS)]


def seen_from(index: int, count: int = COUNT, size: int = SIZE) -> Camera:
    """Cameras on an arc of 80 degrees."""
    share = index / (count - 1)
    return camera(-math.pi / 2 + math.radians(80) * (share - 0.5), 0.25, size)


def draw(time: float, view: Camera) -> tuple[np.ndarray, list[np.ndarray]]:
    """The image, and how much of each ball is in it."""
    parts = [*balls_at(time), WALLS]
    owner = torch.cat([torch.full((len(part),), i) for i, part in enumerate(parts)])
    everything = merge_surfels(parts).replace(features=(owner[:, None] == torch.arange(2)).float())
    color = rasterize(everything, view, background=torch.zeros(5)).color
    pixels = (255 * color.clamp(0, 1)).round().to(torch.uint8).numpy()
    return np.ascontiguousarray(pixels[..., :3]), [np.ascontiguousarray(pixels[..., 3 + k]) for k in range(2)]


def true_tracks(views: list[Camera], moments: tuple[float, ...], per_ball: int = 150, walls: int = 200) -> Tracks:
    """Where surfels are seen, in the frames in which nothing is before them."""
    keep = [torch.arange(per_ball), torch.arange(per_ball), torch.arange(walls)]
    found = []
    for index, (view, moment) in enumerate(zip(views, moments, strict=True)):
        parts = [*balls_at(moment), WALLS]
        depth = rasterize(merge_surfels(parts), view).depth_median[..., 0]
        points = torch.cat([part.centers[rows] for part, rows in zip(parts, keep, strict=True)])
        pixels, ahead = view.project(points)
        inside = (ahead > 0) & ((pixels > 1) & (pixels < view.width - 1)).all(-1)
        at = pixels.long().clamp(0, view.width - 1)
        near = ahead < depth[at[:, 1], at[:, 0]] + 0.08
        ids = (inside & near).nonzero()[:, 0]
        found.append((pixels[ids], torch.full_like(ids, index), ids))
    positions, frame, ids = (torch.cat(parts) for parts in zip(*found, strict=True))
    names, number = np.unique(ids.numpy(), return_inverse=True)
    return Tracks(
        positions.numpy().astype(np.float32),
        frame.numpy().astype(np.int32),
        number.astype(np.int32),
        len(names),
        len(views),
        "true",
    )


def capture(count: int = COUNT, size: int = SIZE, *, tracks: bool = True, points: bool = True) -> Capture:
    """Everything that is known of the room; every fifth frame is kept out."""
    moments = times(count)
    views = [seen_from(i, count, size) for i in range(count)]
    drawn = [draw(moment, view) for moment, view in zip(moments, views, strict=True)]
    return Capture(
        images=[image for image, _ in drawn],
        masks=[[masks[k] for _, masks in drawn] for k in range(2)],
        times=moments,
        cameras=tuple(views),
        fitted=tuple(i % 5 != 2 for i in range(count)),
        background="static",
        tracks=true_tracks(views, moments) if tracks else None,
        points=WALLS.centers[::3].numpy() if points else None,
    )


def disturbed(view: Camera, degrees: float, seed: int) -> Camera:
    """A camera turned about a random axis, in its own frame."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.nn.functional.normalize(torch.randn(3, generator=generator), dim=0)
    turn = torch.eye(4)
    turn[:3, :3] = quaternion.to_matrix(quaternion.exp(axis * math.radians(degrees)))
    return Camera(view.K, turn @ view.cam_from_world, view.width, view.height)


def degrees_between(first: Camera, second: Camera) -> float:
    """How far two cameras are turned from each other."""
    turn = (first.cam_from_world[:3, :3] @ second.cam_from_world[:3, :3].T).double()
    return math.degrees(math.acos(float(((turn.trace() - 1) / 2).clamp(-1, 1))))
