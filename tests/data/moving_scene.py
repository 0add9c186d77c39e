"""Small moving pictures with known truth for the tests of `recon4d.data.motion`, made from planes of smooth noise."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from recon4d.core import Camera

WIDTH, HEIGHT = 200, 150


def noise_texture(seed: int, size: int = 512, tint: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """uint8 [size, size, 3]: blotches of several sizes."""
    rng = np.random.default_rng(seed)
    image = sum(
        cv2.resize(rng.uniform(-1, 1, (size // step, size // step, 3)), (size, size), interpolation=cv2.INTER_CUBIC)
        for step in (4, 8, 32)
    )
    return np.clip((0.5 + 0.22 * image) * 255 * np.array(tint), 0, 255).astype(np.uint8)


def sliding_patch(frames: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A textured disc that slides over a still textured wall.

    Returns:
        frames uint8 [T, H, W, 3], true masks bool [T, H, W], offset of the disc [T, 2] in pixels.
    """
    wall = noise_texture(0)[:HEIGHT, :WIDTH]
    disc = noise_texture(1, tint=(1.0, 0.45, 0.4))
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    images, masks, offsets = [], [], []
    for t in range(frames):
        shift = np.array([3.0 * t, 1.0 * t])
        mask = (x - 60 - shift[0]) ** 2 + (y - 60 - shift[1]) ** 2 < 28**2
        moved = cv2.warpAffine(disc, np.float64([[1, 0, shift[0]], [0, 1, shift[1]]]), (WIDTH, HEIGHT))
        images.append(np.where(mask[..., None], moved, wall))
        masks.append(mask)
        offsets.append(shift)
    return np.stack(images), np.stack(masks), np.stack(offsets)


def disc_on_green(frames: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A textured disc with a hole before a green wall that darkens to one side, with noise of 1.5 levels.

    Returns:
        frames uint8 [T, H, W, 3], true masks bool [T, H, W].
    """
    rng = np.random.default_rng(3)
    disc = noise_texture(1, tint=(1.0, 0.4, 0.6))[:HEIGHT, :WIDTH]
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    green = np.stack([20 + 0.05 * x, 190 - 0.15 * x, 40 + 0.0 * x], -1)
    images, masks = [], []
    for t in range(frames):
        radius = np.hypot(x - 80 - 4 * t, y - 70)
        mask = (radius < 40) & (radius > 12)
        image = np.where(mask[..., None], disc, green) + rng.normal(0, 1.5, (HEIGHT, WIDTH, 3))
        images.append(np.clip(image, 0, 255).astype(np.uint8))
        masks.append(mask)
    return np.stack(images), np.stack(masks)


def box_room(cameras: list[Camera], *, room: bool = True) -> np.ndarray:
    """A textured cube in a textured room, or before white, seen by each camera.

    Returns:
        uint8 [T, H, W, 3].  Rays meet the inside of the room |x|, |y|, |z| < 6 and the cube |x|, |y|, |z| < 1.
    """
    textures = [noise_texture(10 + k) for k in range(12)]
    images = []
    for camera in cameras:
        origin, directions = camera.rays()
        o, d = origin.numpy(), directions.numpy().reshape(-1, 3)
        color = np.zeros((len(d), 3), np.uint8)
        with np.errstate(divide="ignore", invalid="ignore"):
            near, far = np.sort(np.stack([(-1 - o) / d, (1 - o) / d]), axis=0)
        enter, leave = near.max(1), far.min(1)
        cube = (enter < leave) & (enter > 0)
        with np.errstate(divide="ignore"):
            wall = np.maximum((-6 - o) / d, (6 - o) / d).min(1)
        hit = o + d * np.where(cube, enter, wall)[:, None]
        half = np.where(cube, 1.0, 6.0)
        axis = np.abs(hit).argmax(1)
        side = (np.take_along_axis(hit, axis[:, None], 1)[:, 0] > 0).astype(int)
        for k in range(12):
            here = (axis == k % 3) & (side == (k // 3) % 2) & (cube == (k < 6))
            other = [a for a in range(3) if a != k % 3]
            at = (hit[:, other] / half[:, None] + 1) / 2 * 511
            # The cube shows a third of its texture, so that its grain is about as fine as the room's.
            at = (at / 3 if k < 6 else at).astype(np.float32).reshape(camera.height, camera.width, 2)
            taken = cv2.remap(textures[k], at[..., 0].copy(), at[..., 1].copy(), cv2.INTER_LINEAR)
            color[here] = taken.reshape(-1, 3)[here]
        if not room:
            color[~cube] = 255
        images.append(color.reshape(camera.height, camera.width, 3))
    return np.stack(images)


def walking_cameras(frames: int, *, degrees: float = 30.0, turn_only: bool = False) -> list[Camera]:
    """Cameras 4 units from the middle that walk around it (or stand and turn), bobbing a little."""
    cameras = []
    for t in range(frames):
        share = t / (frames - 1)
        angle = np.radians(degrees * share)
        if turn_only:
            look = (np.sin(angle - 0.2), np.cos(angle - 0.2), 0.1 * np.sin(3 * share))
            eye = (0.0, 0.0, 0.0)
        else:
            eye = (4 * np.sin(angle), -4 * np.cos(angle), 0.6 + 0.4 * np.sin(4 * share))
            look = (0.0, 0.0, 0.0)
        camera = Camera.look_at(eye, look, fov_y_degrees=50.0, width=WIDTH, height=HEIGHT, dtype=torch.float64)
        cameras.append(camera)
    return cameras
