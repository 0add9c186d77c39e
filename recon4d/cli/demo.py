"""`recon4d demo`: a moving creature made by code, rendered to a video, and saved as a scene.

The left half of the video shows colours, the right half the surfels' normals as colours.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

import recon4d
from recon4d.cli.console import print_line
from recon4d.core import Camera, InputError
from recon4d.data import write_png, write_video
from recon4d.field import Field
from recon4d.render import available_backends, rasterize
from recon4d.scene import Layer, Scene, save
from recon4d.synthetic import creature_field

FPS = 24
BACKGROUND = 0.92
FIELD_OF_VIEW_DEGREES = 35.0
SURFELS = 40_000
# The reference backend is for checking: it gets a job that it can do in a minute.
REFERENCE_SURFELS, REFERENCE_SIZE, REFERENCE_SECONDS = 1_500, 80, 1.0


def make_demo(output: Path, *, creature: str, size: int, seconds: float) -> None:
    """Write NAME.mp4, NAME.png and NAME.r4d into the folder `output`, and say so.

    Args:
        output: made where it does not exist; files of an earlier demo are replaced.
        creature: name of a built-in creature.
        size: width and height of each half of the video, in pixels.
        seconds: length of the video.

    Raises:
        InputError: an unknown creature, a size or length that cannot be rendered, or a folder that cannot be written.
    """
    if not 16 <= size <= 4096:
        raise InputError("--size", expected="16 to 4096 pixels", got=str(size), fix="512 is a good choice")
    if not 1 / FPS <= seconds <= 600:
        raise InputError("--seconds", expected="1/24 to 600", got=str(seconds), fix="4 is a good choice")
    fast, why_not = available_backends()["cpu"]
    if not fast:
        size, seconds = min(size, REFERENCE_SIZE), min(seconds, REFERENCE_SECONDS)
        print_line(f"Only a small video, with the slow reference backend, because {why_not}.")

    field = creature_field(creature, SURFELS if fast else REFERENCE_SURFELS)
    times = torch.arange(max(1, round(seconds * FPS)), dtype=torch.float64) / FPS
    cameras = circle(field, times, size)
    output.mkdir(parents=True, exist_ok=True)
    video, picture, scene = (output / (creature + suffix) for suffix in (".mp4", ".png", ".r4d"))

    start = time.perf_counter()
    stills: list[UInt8[np.ndarray, "h w 3"]] = []
    write_video(video, _keep_first(frames(field, times, cameras), stills), FPS)
    took = time.perf_counter() - start
    write_png(picture, stills[0])
    made_by = {"made_by": f"recon4d {recon4d.__version__} demo", "creature": creature}
    save(Scene(times, cameras, [Layer(creature, "object", field)], provenance=made_by), scene)

    surfels = f"{len(field.canonical):,} surfels"
    print_line(f"Rendered {len(times)} frames of {surfels}, colours and normals, in {took:.1f} s.")
    print_line(f"  {video}   the video: open it with any player or web browser")
    print_line(f"  {picture}   its first frame")
    print_line(f"  {scene}   the scene: recon4d info {scene}")


def circle(field: Field, times: Float[Tensor, " t"], size: int) -> list[Camera]:
    """A camera for each time, once around the creature while it moves, slightly from above, always at one distance."""
    boxes = [(points.amin(dim=0), points.amax(dim=0)) for points in (field.at(t).centers for t in times.tolist())]
    targets = torch.stack([(lowest + highest) / 2 for lowest, highest in boxes])
    # A creature's bounding box breathes with its gait; the camera must not.
    targets = _smoothed(targets)
    radius = max((highest - lowest).norm().item() / 2 for lowest, highest in boxes)
    distance = 0.95 * radius / math.sin(math.radians(FIELD_OF_VIEW_DEGREES / 2))
    cameras = []
    for step, target in enumerate(targets):
        angle = math.radians(-60.0) + 2 * math.pi * step / len(times)
        direction = torch.tensor([math.cos(angle), math.sin(angle), 0.35])
        eye = target + distance * direction / direction.norm()
        cameras.append(Camera.look_at(eye, target, fov_y_degrees=FIELD_OF_VIEW_DEGREES, width=size, height=size))
    return cameras


def _smoothed(path: Float[Tensor, "t 3"]) -> Float[Tensor, "t 3"]:
    """The straight motion that fits a path best: position and velocity by least squares."""
    step = torch.linspace(-1, 1, len(path), dtype=path.dtype)
    mean = path.mean(dim=0)
    slope = (step[:, None] * (path - mean)).sum(dim=0) / step.square().sum().clamp(min=1e-12)
    return mean + step[:, None] * slope


def frames(field: Field, times: Float[Tensor, " t"], cameras: list[Camera]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The pictures, one at a time: colours on the left, normals on the right."""
    background = torch.full((3,), BACKGROUND)
    for moment, camera in zip(times.tolist(), cameras, strict=True):
        with torch.no_grad():
            image = rasterize(field.at(moment), camera, background=background)
        # Camera axes to the usual colours of normals: right is red, up is green, towards the viewer is blue.
        toward_viewer = image.normal * torch.tensor([1.0, -1.0, -1.0])
        normals = (0.5 * toward_viewer + 0.5 * image.alpha) + (1 - image.alpha) * background
        both = torch.cat([image.color, normals], dim=1)
        yield (both.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def _keep_first(
    pictures: Iterator[UInt8[np.ndarray, "h w 3"]], kept: list[UInt8[np.ndarray, "h w 3"]]
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    for picture in pictures:
        if not kept:
            kept.append(picture)
        yield picture
