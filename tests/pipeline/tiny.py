"""Small clips and a small fit, for tests of the whole pipeline in seconds.

Run as a program it is one job in a process of its own, for tests that kill it:
    python tests/pipeline/tiny.py SOURCE OUTPUT [--resume]
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import torch

from recon4d import Camera, Surfels, rasterize
from recon4d.core.quaternion import from_matrix
from recon4d.data import write_png, write_video
from recon4d.pipeline import ReconstructSettings, reconstruct
from recon4d.train import FitConfig

FPS = 12.0
GROUND = 0.85


def config(**changes) -> FitConfig:
    small = {
        "iterations": 24,
        "surfels": 240,
        "initial_surfels": 200,
        "background_surfels": 300,
        "bones": 4,
        "bones_at_first": 4,
        "levels": ((0.0, 2), (0.5, 1)),
        "hull_voxels": 16,
        "snapshot_every": 4,
        "density_every": 8,
    }
    return FitConfig(**{**small, **changes})


def settings(**changes) -> ReconstructSettings:
    return ReconstructSettings(**{"cameras": "static", **changes})


def potato(count: int = 500) -> Surfels:
    """A long body in patches of colour."""
    k = torch.arange(count) + 0.5
    z, around = 1 - 2 * k / count, k * math.pi * (3 - math.sqrt(5))
    flat = (1 - z * z).sqrt()
    normal = torch.stack([flat * around.cos(), flat * around.sin(), z], 1)
    side = torch.linalg.cross(normal, torch.tensor([0.0, 0.0, 1.0]).expand_as(normal) + 1e-3)
    side = side / side.norm(dim=1, keepdim=True)
    turns = torch.stack([side, torch.linalg.cross(normal, side), normal], 2)
    patches = torch.stack([(9 * normal[:, 0]).sin(), (7 * normal[:, 1] + 1).sin(), (8 * normal[:, 2]).cos()], 1)
    return Surfels(
        normal * torch.tensor([1.0, 0.6, 0.5]),
        from_matrix(turns),
        torch.full((count, 2), 0.09),
        torch.full((count,), 0.95),
        features=0.45 + 0.4 * patches,
    )


def frames(count: int = 10, size: int = 48, *, degrees: float = 120.0) -> tuple[list[np.ndarray], list[Camera]]:
    """The body on light gray as it sways, and the cameras that go around it."""
    body = potato()
    images, cameras = [], []
    for index in range(count):
        angle = math.radians(degrees * index / max(count - 1, 1))
        eye = [4.0 * math.cos(angle), 4.0 * math.sin(angle), 1.2]
        camera = Camera.look_at(eye, [0.0, 0.0, 0.0], fov_y_degrees=38.0, width=size, height=size)
        sway = 0.15 * math.sin(2 * math.pi * index / 10)
        moved = body.replace(centers=body.centers + torch.tensor([0.0, 0.0, sway]) * body.centers[:, :1])
        with torch.no_grad():
            out = rasterize(moved, camera, background=torch.full((3,), GROUND))
        images.append((out.color.clamp(0, 1) * 255).round().to(torch.uint8).numpy())
        cameras.append(camera)
    return images, cameras


def clip(path: Path, count: int = 10, size: int = 48) -> Path:
    write_video(path, frames(count, size)[0], FPS)
    return path


def masks_of(images: list[np.ndarray]) -> list[np.ndarray]:
    """255 where the body is."""
    ground = round(GROUND * 255)
    return [np.where(np.abs(image.astype(int) - ground).max(-1) > 12, 255, 0).astype(np.uint8) for image in images]


def write_images(folder: Path, images: list[np.ndarray], name: str = "{:05d}.png", first: int = 0) -> Path:
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        write_png(folder / name.format(index + first), image)
    return folder


if __name__ == "__main__":
    torch.set_num_threads(1)
    source, output, *rest = sys.argv[1:]
    # A checkpoint after every step, so that a kill lands between any two of them.
    reconstruct(source, output, settings(), config=config(checkpoint_seconds=0.0), resume="--resume" in rest)
