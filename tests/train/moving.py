"""A small moving subject as a posed data set: a two-coloured capsule that bends, drifts and is seen from an orbit.

Drawn with the rasterizer itself, so that nothing but recon4d is needed, and what is fitted can be represented exactly.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from recon4d.core import Camera, SE3Spline, Surfels, quaternion, spherical_harmonics
from recon4d.data import View, write_png
from recon4d.data.formats.blender import write_blender
from recon4d.field import BonesWarp, Field, skinning_weights
from recon4d.render import rasterize

DURATION = 1.0
DRIFT = 0.3


def subject() -> Field:
    """Two bones along x; the second one nods, all of it drifts along x."""
    generator = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(1500, 3, generator=generator), dim=-1)
    centers = normals * torch.tensor([0.9, 0.35, 0.35])
    outward = torch.nn.functional.normalize(normals / torch.tensor([0.9, 0.35, 0.35]), dim=-1)
    turns = torch.stack([1 + outward[:, 2], -outward[:, 1], outward[:, 0], 0 * outward[:, 0]], -1)
    stripes = (torch.sin(9 * centers[:, :1]) > 0).float()
    colors = stripes * torch.tensor([0.9, 0.3, 0.1]) + (1 - stripes) * torch.tensor([0.1, 0.5, 0.8])
    colors = (colors + 0.15 * torch.sin(12 * centers)).clamp(0.05, 0.95)
    rest = torch.tensor([[-0.4, 0.0, 0.0], [0.4, 0.0, 0.0]])
    controls = torch.linspace(-0.25, 1.25, 7)
    nod = 0.5 * torch.sin(2 * math.pi * controls)
    about_y = torch.stack([0 * nod, nod, 0 * nod], -1)
    rotations = torch.stack([torch.tensor([1.0, 0, 0, 0]).repeat(7, 1), quaternion.exp(about_y)])
    path = SE3Spline(rotations, rest[:, None].repeat(1, 7, 1), 0.0, 0.25)
    drift = torch.stack([DRIFT * (controls - 0.5), 0 * controls, 0 * controls], -1)
    root = SE3Spline(torch.tensor([1.0, 0, 0, 0]).repeat(7, 1), drift, 0.0, 0.25)
    identity = torch.tensor([1.0, 0, 0, 0]).repeat(2, 1)
    slots, weights = skinning_weights(centers, rest, identity, torch.full((2, 3), 0.35))
    surfels = Surfels(
        centers,
        turns,
        torch.full((1500, 2), 0.04),
        torch.full((1500,), 0.95),
        sh=spherical_harmonics.coefficients_from_color(colors).reshape(-1, 1, 3),
    )
    return Field(surfels, torch.arange(1500), BonesWarp(root, identity, rest, path, slots, weights))


def camera(angle: float, elevation: float, size: int) -> Camera:
    """A camera on a sphere of radius 4, angles in radians."""
    eye = (
        4 * math.cos(elevation) * math.cos(angle),
        4 * math.cos(elevation) * math.sin(angle),
        4 * math.sin(elevation),
    )
    return Camera.look_at(eye, fov_y_degrees=36.0, width=size, height=size)


def write_data_set(folder: Path, frames: int = 24, size: int = 48) -> Path:
    """A D-NeRF folder: an orbit for training, four other views for testing."""
    field = subject()
    (folder / "train").mkdir(parents=True)
    (folder / "test").mkdir()
    plans = [("train", i, i / (frames - 1), camera(2 * math.pi * i / frames, 0.3, size)) for i in range(frames)]
    plans += [("test", i, (i + 0.5) / 4, camera(1.0 + 1.7 * i, 0.5, size)) for i in range(4)]
    views = []
    for split, index, share, seen_from in plans:
        time = DURATION * share
        path = folder / split / f"r_{index:03d}.png"
        write_png(path, draw(field, time, seen_from))
        views.append(View(f"{split}/{path.stem}", split, path, time, seen_from.to(torch.float64)))
    write_blender(folder, views, meta={})
    return folder


def draw(field: Field, time: float, seen_from: Camera) -> np.ndarray:
    """[H, W, 4] bytes, straight alpha."""
    output = rasterize(field.at(time), seen_from)
    color = output.color / output.alpha.clamp_min(1e-6)
    pixels = torch.cat([color.clamp(0, 1), output.alpha], -1)
    return (255 * pixels).round().to(torch.uint8).numpy()
