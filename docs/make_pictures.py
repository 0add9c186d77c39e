"""Makes the pictures of the README: .venv/bin/python docs/make_pictures.py.

Every built-in creature as surfels, drawn by the project's own rasterizer: colours, normals and depth.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from recon4d import Camera, rasterize
from recon4d.data import write_png
from recon4d.field import Field
from recon4d.synthetic import CREATURE_NAMES, creature_field

PICTURES = Path(__file__).parent / "pictures"
SURFELS, SIZE = 80_000, 300
WHITE = torch.ones(3)


def view(field: Field, time: float, azimuth_degrees: float, *, size: int = SIZE) -> list[Tensor]:
    """Colour, normals and depth [size, size, 3] of one moment, seen from the side and slightly above."""
    surfels = field.at(time)
    lowest, highest = surfels.centers.amin(dim=0), surfels.centers.amax(dim=0)
    target, radius = (lowest + highest) / 2, (highest - lowest).norm().item() / 2
    angle = math.radians(azimuth_degrees)
    direction = torch.tensor([math.cos(angle), math.sin(angle), 0.25])
    eye = target + 3.1 * radius * direction / direction.norm()
    camera = Camera.look_at(eye, target, fov_y_degrees=34.0, width=size, height=size)
    with torch.no_grad():
        out = rasterize(surfels, camera, background=WHITE)
    behind = 1 - out.alpha
    normals = 0.5 * out.normal * torch.tensor([1.0, -1.0, -1.0]) + 0.5 * out.alpha + behind
    near, far = 2.2 * radius, 4.0 * radius
    depth = ((far - out.depth) / (far - near)).clamp(0, 1).expand(-1, -1, 3) * out.alpha + behind
    return [out.color, normals, depth]


def save(name: str, rows: list[list[Tensor]]) -> None:
    """Write pictures side by side."""
    image = torch.cat([torch.cat(row, dim=1) for row in rows])
    PICTURES.mkdir(exist_ok=True)
    write_png(PICTURES / name, (image.clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def main() -> None:
    """Make all pictures."""
    fields = {name: creature_field(name, SURFELS) for name in CREATURE_NAMES}
    columns = [view(field, 0.3, -55.0) for field in fields.values()]
    save("creatures.png", [list(row) for row in zip(*columns, strict=True)])
    walk = [view(fields["quadruped"], 0.2 * step, -70.0 + 35.0 * step, size=200)[0] for step in range(6)]
    save("walk.png", [walk])


if __name__ == "__main__":
    main()
