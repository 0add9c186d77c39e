"""Small data sets for the tests of this room: random cameras, and images whose pixels tell which they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recon4d.core import Camera
from recon4d.data.images import write_png
from recon4d.data.lens import Lens
from recon4d.data.view import View

WIDTH, HEIGHT = 12, 10


def random_camera(rng: np.random.Generator, *, square: bool = False) -> Camera:
    """A camera of 12 x 10 pixels at a random place, turned in a random way."""
    axis = rng.normal(size=4)
    w, x, y, z = axis / np.linalg.norm(axis)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, rng.normal(scale=10 ** rng.uniform(-2, 3), size=3)
    fx = 10 ** rng.uniform(0, 3)
    fy, cx, cy = (fx, WIDTH / 2, HEIGHT / 2) if square else (10 ** rng.uniform(0, 3), *rng.uniform(-5, 15, 2))
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    return Camera(torch.from_numpy(K), torch.from_numpy(matrix), WIDTH, HEIGHT)


def with_intrinsics_of(camera: Camera, other: Camera) -> Camera:
    """`camera`'s pose, `other`'s lens."""
    return Camera(other.K, camera.cam_from_world, other.width, other.height)


def random_lens(rng: np.random.Generator, camera: Camera, *, k3: bool = True, skew: bool = False) -> Lens:
    """A mild distortion around the camera's own numbers."""
    k1, k2, k3_, p1, p2 = rng.uniform(-1e-3, 1e-3, 5)
    fx, fy, cx, cy = (float(camera.K[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    return Lens(fx, fy, cx, cy, 0.1 if skew else 0.0, k1, k2, k3_ if k3 else 0.0, p1, p2)


def picture(number: int, *, alpha: bool = False) -> np.ndarray:
    """A gradient with `number` in the blue channel; with alpha, the left half is transparent."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    layers = [x * 20, y * 20, np.full_like(x, number)]
    if alpha:
        layers.append(np.where(x < WIDTH // 2, 0, 255))
    return np.stack(layers, -1).astype(np.uint8)


@dataclass
class Shelf:
    """Makes views whose images lie in one folder."""

    folder: Path

    def view(self, relative: str, number: int = 0, *, alpha: bool = False, **fields: object) -> View:
        path = self.folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, picture(number, alpha=alpha))
        fields.setdefault("name", relative.removesuffix(".png"))
        fields.setdefault("split", "train")
        return View(image_path=path, **fields)


def seen_from(camera: Camera, rng: np.random.Generator, count: int = 20) -> np.ndarray:
    """Random world points [count, 3] in front of a camera."""
    in_cam = rng.normal(size=(count, 3)) * (1, 1, 0) + (0, 0, 1) * rng.uniform(1, 10, (count, 1))
    matrix = camera.cam_from_world.numpy()
    return (in_cam - matrix[:3, 3]) @ matrix[:3, :3]


def project(camera: Camera, points: np.ndarray) -> np.ndarray:
    """Pixels of world points."""
    return camera.project(torch.from_numpy(points))[0].numpy()


def assert_same_camera(found: Camera | None, expected: Camera) -> None:
    """Equal sizes, and projections of points equal to rounding."""
    assert found is not None
    assert (found.width, found.height) == (expected.width, expected.height)
    torch.testing.assert_close(found.K, expected.K, rtol=1e-12, atol=1e-12)
    scale = float(expected.cam_from_world.abs().max())
    torch.testing.assert_close(found.cam_from_world, expected.cam_from_world, rtol=0, atol=1e-12 * scale)


def assert_same_lens(found: Lens | None, expected: Lens | None) -> None:
    """Both none, or equal to rounding."""
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        names = ("fx", "fy", "cx", "cy", "skew", "k1", "k2", "k3", "p1", "p2")
        pairs = [(getattr(found, name), getattr(expected, name)) for name in names]
        np.testing.assert_allclose(*np.array(pairs).T, rtol=1e-12, atol=1e-15)
