"""The stage of the gallery: scenes of built-in creatures, small meshes written as .ply, and strips of pictures."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recon4d import Camera, Surfels, rasterize
from recon4d.core.spherical_harmonics import coefficients_from_color
from recon4d.data import write_png
from recon4d.field import Field, IdentityWarp
from recon4d.scene import Layer, Scene
from recon4d.synthetic import creature_field

PICTURES = Path(__file__).parent.parent / "pictures"
FRAMES = 25
SECONDS = 2.4  # one round of the quadruped's walk
SKY = torch.tensor([0.93, 0.95, 0.97])


def ring(frames: int = FRAMES, degrees: float = 70.0, *, distance: float = 3.6, height: float = 1.5) -> list[Camera]:
    """Cameras that go part of the way around, as somebody who films does."""
    angles = torch.linspace(math.radians(-80), math.radians(-80 + degrees), frames).tolist()
    eyes = [[distance * math.cos(a), distance * math.sin(a), height] for a in angles]
    return [Camera.look_at(eye, [0.0, 0.0, 0.15], fov_y_degrees=34, width=240, height=180) for eye in eyes]


def ground(height: float, half: float = 2.6, side: int = 120) -> Field:
    """A meadow of surfels that stands still, at a height."""
    generator = torch.Generator().manual_seed(1)
    line = torch.linspace(-half, half, side)
    x, y = (axis.flatten() for axis in torch.meshgrid(line, line, indexing="ij"))
    patches = 0.5 + 0.25 * torch.sin(3.1 * x + 1.7 * torch.sin(2.3 * y)) + 0.25 * torch.sin(2.7 * y - 1.1 * x)
    grass, sand = torch.tensor([0.42, 0.55, 0.30]), torch.tensor([0.72, 0.66, 0.48])
    colors = torch.lerp(grass, sand, patches.clamp(0, 1)[:, None])
    colors = colors * (0.94 + 0.12 * torch.rand(len(x), 1, generator=generator))
    surfels = Surfels(
        centers=torch.stack([x, y, torch.full_like(x, height)], -1),
        rotations_wxyz=torch.tensor([[1.0, 0, 0, 0]]).repeat(len(x), 1),
        scales=torch.full((len(x), 2), 0.62 * 2 * half / side),
        opacities=torch.full((len(x),), 0.97),
        sh=coefficients_from_color(colors),
    )
    return Field(surfels, torch.arange(len(x)), IdentityWarp())


def walk(surfels: int = 20_000) -> Scene:
    """A quadruped walks on a meadow."""
    times = torch.linspace(0, SECONDS, FRAMES, dtype=torch.float64)
    fox = creature_field("quadruped", surfels)
    layers = [Layer("fox", "object", fox), Layer("meadow", "background", ground(floor_of(fox)))]
    return Scene(times, ring(), layers)


def floor_of(field: Field) -> float:
    """Where the feet are when they are lowest."""
    with torch.no_grad():
        return float(field.at_times(torch.linspace(0, SECONDS, 9).tolist()).centers[..., 2].min())


def bones_named(*names: str) -> tuple[int, ...]:
    """Numbers of the quadruped's bones by name."""
    from recon4d.synthetic.creatures import creature

    rig = creature("quadruped").rig
    assert rig is not None  # the quadruped has one
    return tuple(rig.skeleton.names.index(name) for name in names)


def strip(
    scenes: list[Scene], times: list[float], azimuths: list[float], *, size: tuple[int, int] = (216, 168)
) -> Tensor:
    """A row of pictures for each scene: the moments, each seen from an angle of its own (degrees)."""
    rows = []
    for scene in scenes:
        row = []
        for time, azimuth in zip(times, azimuths, strict=True):
            angle = math.radians(azimuth)
            eye = [3.4 * math.cos(angle), 3.4 * math.sin(angle), 1.4]
            camera = Camera.look_at(eye, [0.0, 0.0, 0.15], fov_y_degrees=36, width=size[0], height=size[1])
            with torch.no_grad():
                row.append(rasterize(scene.appearance_at(time), camera, background=SKY).color)
        rows.append(torch.cat(row, 1))
    return torch.cat(rows, 0)


def save(name: str, image: Tensor, folder: Path = PICTURES) -> Path:
    """Write a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    write_png(folder / name, (image.clamp(0, 1) * 255).round().to(torch.uint8).numpy())
    return folder / name


def turned_shape(profile: list[tuple[float, float]], colors: list[tuple[int, int, int]], file: Path) -> Path:
    """Write a surface of revolution about z as a .ply mesh with coloured vertices.

    Args:
        profile: (radius, height) from the outside bottom to the end.
        colors: 0 to 255, of each ring.
        file: where.
    """
    around = 48
    angles = 2 * np.pi * np.arange(around) / around
    vertices = [(r * np.cos(a), r * np.sin(a), z) for r, z in profile for a in angles]
    faces = []
    for ring_index in range(len(profile) - 1):
        for i in range(around):
            a, b = ring_index * around + i, ring_index * around + (i + 1) % around
            faces += [(a, b, b + around), (a, b + around, a + around)]
    lines = [
        "ply",
        "format ascii 1.0",
        f"element vertex {len(vertices)}",
        *(f"property float {axis}" for axis in "xyz"),
        *(f"property uchar {channel}" for channel in ("red", "green", "blue")),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    for index, (x, y, z) in enumerate(vertices):
        red, green, blue = colors[index // around]
        lines.append(f"{x:.5f} {y:.5f} {z:.5f} {red} {green} {blue}")
    lines += [f"3 {a} {b} {c}" for a, b, c in faces]
    file.write_text("\n".join(lines) + "\n")
    return file


def hat(file: Path) -> Path:
    """A top hat, brim down, of size about 1."""
    profile = [(0.0, 0.0), (0.5, 0.0), (0.5, 0.03), (0.3, 0.05), (0.28, 0.15), (0.28, 0.18), (0.3, 0.6), (0.0, 0.62)]
    black, band = (28, 26, 32), (190, 30, 40)
    return turned_shape(profile, [black, black, black, black, band, band, black, black], file)


def vase(file: Path) -> Path:
    """A vase of height about 1."""
    heights = np.linspace(0, 1, 25)
    radii = 0.16 + 0.17 * np.sin(np.pi * np.clip(heights * 1.15, 0, 1)) ** 1.5 - 0.05 * heights
    profile = [(0.0, 0.0), *zip(radii.tolist(), heights.tolist(), strict=True), (0.05, 0.9)]
    blue, white = (40, 80, 160), (235, 235, 225)
    colors = [white, *[blue if int(h * 12) % 3 == 0 else white for h in heights], (60, 60, 60)]
    return turned_shape(profile, colors, file)
