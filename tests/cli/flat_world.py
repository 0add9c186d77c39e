"""A world of which every score can be worked out by hand: twelve flat discs in one plane, gliding sideways.

The surfels of the scene are the discs, and the true meshes are fans of triangles that fill the same discs.  The images
are what the rasterizer draws of the scene, opaque on white, so the scene is the truth to the last bit.  The cameras
that were used for training circle above the plane; the test camera stands still, and from one frame to the next the
discs move by whole pixels in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from recon4d.core import Camera, Surfels
from recon4d.core.spline import SE3Spline
from recon4d.data import View, read_dataset, write_png
from recon4d.data.formats.blender import write_blender
from recon4d.field import Field, RigidWarp
from recon4d.render import rasterize
from recon4d.scene import Layer, Scene, save

FRAMES, STEP, SIDE = 6, 0.1, 176
RADIUS, RIM = 0.12, 128
DISTANCE = 4.0
FOCAL = SIDE / 2 / math.tan(math.radians(20))
GLIDE = 4 * DISTANCE / FOCAL  # along x from a frame to the next: four pixels of the test camera
PLACES = np.array([[0.5 * i - 1.0, 0.5 * j - 0.5, 0.0] for i in range(4) for j in range(3)])
# Bounding box of all discs: the length that percents refer to.
DIAGONAL = math.hypot(1.5 + 2 * RADIUS, 1.0 + 2 * RADIUS)


@dataclass(frozen=True)
class World:
    """The data set's folder, and the scene that is its truth, in memory and on disk."""

    folder: Path
    scene: Scene
    saved: Path


def discs() -> Surfels:
    """One surfel for each disc: its standard deviation is the disc's radius, its normal is +z."""
    count = len(PLACES)
    shade = torch.linspace(0.1, 0.8, count)
    return Surfels(
        centers=torch.from_numpy(PLACES).float(),
        rotations_wxyz=torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1),
        scales=torch.full((count, 2), RADIUS),
        opacities=torch.full((count,), 0.9),
        features=torch.stack([shade, shade.flip(0), shade.roll(5)], -1),
    )


def glide(speed: float = GLIDE / STEP) -> RigidWarp:
    """Moves along +x at an even speed, which a uniform cubic spline reproduces exactly."""
    knots = FRAMES + 5
    times = STEP * (torch.arange(knots, dtype=torch.float64) - 2)
    still = torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64).repeat(knots, 1)
    shifts = times[:, None] * torch.tensor([speed, 0.0, 0.0], dtype=torch.float64)
    return RigidWarp(SE3Spline(still, shifts, start=float(times[1]), step=STEP)).to(torch.float32)


def scene_of(surfels: Surfels, cameras: list[Camera], warp: RigidWarp | None = None) -> Scene:
    times = STEP * torch.arange(FRAMES, dtype=torch.float64)
    field = Field(surfels, torch.arange(len(surfels)), warp or glide())
    return Scene(times, cameras, [Layer("discs", "object", field)])


def changed(world: World, path: Path, **arrays: torch.Tensor) -> Path:
    """The scene with other surfel arrays, saved."""
    return stored(scene_of(discs().replace(**arrays), world.scene.cameras), path)


def stored(scene: Scene, path: Path) -> Path:
    save(scene, path)
    return path


def fan(shift: float) -> tuple[np.ndarray, np.ndarray]:
    """The true mesh: each disc's middle and rim, moved along x."""
    angle = 2 * np.pi * np.arange(RIM) / RIM
    rim = RADIUS * np.stack([np.cos(angle), np.sin(angle), np.zeros(RIM)], -1)
    one = np.concatenate([np.zeros((1, 3)), rim])
    vertices = (PLACES[:, None] + one + [shift, 0, 0]).reshape(-1, 3)
    spokes = np.stack([np.zeros(RIM, int), 1 + np.arange(RIM), 1 + np.roll(np.arange(RIM), -1)], -1)
    return vertices, (spokes + (RIM + 1) * np.arange(len(PLACES))[:, None, None]).reshape(-1, 3)


def write_meshes(folder: Path, lift: float = 0.0) -> None:
    """The true meshes of all frames, raised by `lift` along the normal."""
    folder.mkdir()
    for i in range(FRAMES):
        vertices, faces = fan(i * GLIDE)
        head = (
            f"ply\nformat ascii 1.0\nelement vertex {len(vertices)}\nproperty double x\nproperty double y\n"
            f"property double z\nelement face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
        )
        rows = [f"{x!r} {y!r} {z + lift!r}" for x, y, z in vertices.tolist()]
        rows += [f"3 {a} {b} {c}" for a, b, c in faces.tolist()]
        (folder / f"frame_{i:03d}.ply").write_text(head + "\n".join(rows) + "\n")


def make_world(folder: Path) -> World:
    """Write the data set and the scene."""

    def looking(x: float, y: float) -> Camera:
        middle = (x, y, 0.0)
        return Camera.look_at(
            (x, y, DISTANCE), middle, up=(0.0, 1, 0), fov_y_degrees=40.0, width=SIDE, height=SIDE, dtype=torch.float64
        )

    angles = [2 * math.pi * i / FRAMES for i in range(FRAMES)]
    cameras = {"train": [looking(0.3 * math.cos(a), 0.3 * math.sin(a)) for a in angles]}
    cameras["test"] = [looking(0.0, 0.0)] * FRAMES
    views = []
    for split, path in cameras.items():
        (folder / split).mkdir(parents=True)
        (folder / "masks" / split).mkdir(parents=True)
        for i, camera in enumerate(path):
            image, mask = folder / split / f"r_{i:03d}.png", folder / "masks" / split / f"r_{i:03d}.png"
            for file in (image, mask):
                write_png(file, np.zeros((SIDE, SIDE, 3), np.uint8))
            views.append(View(f"{split}/{i}", split, image, STEP * i, camera, camera_id=split, mask_path=mask))
    meta = {"background": [1.0, 1.0, 1.0], "mesh_times": [STEP * i for i in range(FRAMES)]}
    write_blender(folder, views, meta=meta)
    write_meshes(folder / "meshes")
    # Drawn with the cameras as they are read again, so that not even the rounding differs.
    read = read_dataset(folder)
    scene = scene_of(discs(), [view.camera for view in read.split("train")])
    for view in read.views:
        drawn = draw(scene, view)
        write_png(view.image_path, np.round(drawn.color.numpy() * 255).astype(np.uint8))
        write_png(view.mask_path, np.where(drawn.alpha.numpy()[..., 0] > 0, 255, 0).astype(np.uint8))
    return World(folder, scene, stored(scene, folder.parent / "truth.r4d"))


def draw(scene: Scene, view: View) -> object:
    """The scene as `view` sees it, on white."""
    surfels = scene.at(view.time)
    return rasterize(surfels, view.camera.to(surfels.centers), background=torch.ones(3))


def turned_cameras(cameras: list[Camera], degrees: float) -> list[Camera]:
    """Each camera turned about its own line of sight, its centre where it was."""
    a = math.radians(degrees)
    roll = torch.eye(4, dtype=torch.float64)
    roll[:2, :2] = torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    return [replace(c, cam_from_world=roll @ c.cam_from_world.double()) for c in cameras]


def shifted_cameras(cameras: list[Camera], shift: float) -> list[Camera]:
    """Each camera moved by `shift` along the world's y."""
    move = torch.eye(4, dtype=torch.float64)
    move[1, 3] = -shift
    return [replace(c, cam_from_world=c.cam_from_world.double() @ move) for c in cameras]
