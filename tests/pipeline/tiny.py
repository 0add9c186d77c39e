"""Small clips and a small fit, for tests of the whole pipeline in seconds.

Run as a program, it is one job in a process of its own, for tests that kill it:
    python -m tests.pipeline.tiny SOURCE OUTPUT [--resume]
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import torch

from recon4d import Camera, rasterize
from recon4d.data import write_png, write_video
from recon4d.pipeline import ReconstructSettings, reconstruct
from recon4d.synthetic import creature_field
from recon4d.train import FitConfig

FPS = 12.0


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


def frames(count: int = 10, size: int = 48, *, degrees: float = 120.0) -> tuple[list[np.ndarray], list[Camera]]:
    """A creature on light gray, and the cameras that go around it."""
    field = creature_field("quadruped", 1500)
    low, high = field.at(0.0).centers.amin(0), field.at(0.0).centers.amax(0)
    middle, radius = (low + high) / 2, float((high - low).norm()) / 2
    images, cameras = [], []
    for index in range(count):
        angle = math.radians(degrees * index / max(count - 1, 1))
        toward = torch.tensor([math.cos(angle), math.sin(angle), 0.3])
        eye = middle + 3.0 * radius * toward
        camera = Camera.look_at(eye, middle, fov_y_degrees=42.0, width=size, height=size)
        with torch.no_grad():
            out = rasterize(field.at(index / FPS), camera, background=torch.full((3,), 0.85))
        images.append((out.color.clamp(0, 1) * 255).round().to(torch.uint8).numpy())
        cameras.append(camera)
    return images, cameras


def clip(path: Path, count: int = 10, size: int = 48) -> Path:
    write_video(path, frames(count, size)[0], FPS)
    return path


def write_masks(folder: Path, images: list[np.ndarray], *, value: int = 255) -> Path:
    folder.mkdir()
    for index, image in enumerate(images):
        mask = (np.abs(image.astype(int) - round(0.85 * 255)).max(-1) > 12) * np.uint8(value)
        write_png(folder / f"{index:05d}.png", mask.astype(np.uint8))
    return folder


if __name__ == "__main__":
    torch.set_num_threads(1)
    source, output, *rest = sys.argv[1:]
    # A checkpoint after every step, so that a kill lands between any two of them.
    reconstruct(
        source, output, settings(), config=config(checkpoint_seconds=0.0), resume="--resume" in rest, keep_work=False
    )
