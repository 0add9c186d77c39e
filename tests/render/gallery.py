"""Scenes that between them meet every branch of the image formation."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from recon4d import Camera, Surfels
from recon4d.core import quaternion
from tests.bench.scenes import make_scene
from tests.render.helpers import Inputs, camera, random_surfels


def _random() -> tuple[Surfels, Camera]:
    return random_surfels(200, seed=1), camera(37, 29)


def _benchmark() -> tuple[Surfels, Camera]:
    scene = make_scene(800, 56, 40, seed=1)
    return scene.surfels, scene.camera


def _sh(degree: int) -> tuple[Surfels, Camera]:
    return random_surfels(120, seed=2 + degree, sh_degree=degree, warped=degree > 1), camera(24, 20)


def _sh_and_features() -> tuple[Surfels, Camera]:
    surfels = random_surfels(120, seed=7, sh_degree=1, warped=True, channels=2, both=True)
    return surfels, camera(24, 20)


def _channels(count: int) -> tuple[Surfels, Camera]:
    return random_surfels(80, seed=7, channels=count), camera(18, 17)


def _odd_camera() -> tuple[Surfels, Camera]:
    return random_surfels(150, seed=3), camera(45, 19, aspect=0.6, shift=(14.0, -7.0))


def _far_principal_point() -> tuple[Surfels, Camera]:
    # The view of a crop: the principal point lies outside the image.
    return random_surfels(300, seed=4), camera(33, 33, focal=4.0, shift=(60.0, -40.0))


def _opaque() -> tuple[Surfels, Camera]:
    # Alpha is clamped and pixels fill up.
    return random_surfels(300, seed=5, opacity=(0.98, 1.0), size=(0.2, 0.8)), camera(32, 24)


def _faint() -> tuple[Surfels, Camera]:
    # Some below 1/255.
    return random_surfels(200, seed=6, opacity=(0.0, 0.03), size=(0.3, 1.0)), camera(32, 24)


def _below_a_pixel() -> tuple[Surfels, Camera]:
    return random_surfels(400, seed=8, size=(1e-5, 0.02)), camera(40, 30, focal=0.8)


def _full_screen() -> tuple[Surfels, Camera]:
    return random_surfels(40, seed=9, size=(3.0, 20.0), opacity=(0.05, 0.6)), camera(35, 18)


def _leaning(low: float, high: float) -> tuple[Surfels, Camera]:
    """Surfels seen almost edge-on: the cosine between normal and view ray is 10^low to 10^high."""
    surfels, view = random_surfels(150, seed=11, size=(0.1, 0.5)), camera(40, 30)
    generator = torch.Generator().manual_seed(0)
    ray = torch.nn.functional.normalize(surfels.centers.double() - view.center_in_world.double(), dim=1)
    aside = torch.nn.functional.normalize(torch.linalg.cross(ray, torch.randn(150, 3, generator=generator).double()))
    cosine = 10 ** (low + (high - low) * torch.rand(150, 1, generator=generator).double())
    normal = torch.nn.functional.normalize(aside + cosine * ray)
    tangent = torch.nn.functional.normalize(ray - (ray * normal).sum(1, keepdim=True) * normal)
    matrix = torch.stack([tangent, torch.linalg.cross(normal, tangent), normal], -1)
    spin = torch.nn.functional.pad(0.6 * torch.randn(150, 1, generator=generator).double(), (2, 0))
    rotation = quaternion.multiply(quaternion.from_matrix(matrix), quaternion.exp(spin))
    return surfels.replace(rotations_wxyz=rotation.float()), view


def _around_the_camera() -> tuple[Surfels, Camera]:
    """Behind, beside and in front of the camera; discs that cross its plane and the near plane."""
    surfels = random_surfels(120, seed=12, reach=1.5, size=(0.2, 2.0))
    return surfels, camera(30, 26, eye=(0.1, -0.3, 0.05), focal=0.6)


SCENES: dict[str, Callable[[], tuple[Surfels, Camera]]] = {
    "random": _random,
    "benchmark": _benchmark,
    **{f"sh degree {degree}": functools.partial(_sh, degree) for degree in (0, 1, 2, 3)},
    "sh and features": _sh_and_features,
    **{f"{count} channels": functools.partial(_channels, count) for count in (1, 2, 4, 7, 16)},
    "odd camera": _odd_camera,
    "far principal point": _far_principal_point,
    "opaque": _opaque,
    "faint": _faint,
    "below a pixel": _below_a_pixel,
    "full screen": _full_screen,
    "grazing": functools.partial(_leaning, -3, -1),
    "all but edge-on": functools.partial(_leaning, -3.9, -3),
    "edge-on": functools.partial(_leaning, -6, -4.1),
    "around the camera": _around_the_camera,
}


@functools.cache
def scene(name: str) -> Inputs:
    """A scene by its name, float32; built once."""
    return Inputs.of(*SCENES[name]())
