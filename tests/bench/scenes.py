"""Scenes for benchmarks and for comparing backends: the same numbers for the same seed, on every machine.

A scene is a closed bumpy object (70 % of the surfels) over a ground disc (20 %) among loose floaters (10 %), and a
camera that frames the object.  Surfels are as large as their spacing asks for, so the overlap per pixel stays about
the same as their number grows, as it does in trained scenes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from recon4d import Camera, Surfels
from recon4d.core import quaternion

GROUND_HEIGHT, GROUND_RADIUS = 1.2, 3.0  # these scenes are y down
FLOATER_REACH = 2.0
EYE = np.array([1.2, -1.0, -3.0])
FOCAL_LENGTH = 1.1  # in image heights


@dataclass(frozen=True)
class BenchScene:
    """Surfels with colours as features [N, 3], and the camera that looks at them; all float32."""

    surfels: Surfels
    camera: Camera


def make_scene(count: int, width: int, height: int, *, seed: int = 0, overlap: float = 1.6) -> BenchScene:
    """Build a scene.

    Args:
        count: number of surfels.
        width, height: image size in pixels.
        seed: of the random generator.
        overlap: size of surfels in units of their spacing.
    """
    rng = np.random.default_rng(seed)
    on_object, on_ground = int(count * 0.7), int(count * 0.2)
    floating = count - on_object - on_ground

    outward = _unit(rng.normal(size=(on_object, 3)))
    x, y, z = outward.T
    bumps = 1.0 + 0.15 * np.sin(5 * x) * np.cos(7 * y) + 0.05 * np.sin(11 * z)
    radius = np.sqrt(rng.uniform(size=on_ground)) * GROUND_RADIUS
    angle = rng.uniform(0, 2 * math.pi, on_ground)
    ground = np.stack([radius * np.cos(angle), np.full(on_ground, GROUND_HEIGHT), radius * np.sin(angle)], -1)
    floaters = rng.uniform(-FLOATER_REACH, FLOATER_REACH, size=(floating, 3))
    centers = np.concatenate([outward * bumps[:, None], ground, floaters])

    up = np.tile([0.0, -1.0, 0.0], (on_ground, 1))
    normals = np.concatenate([outward, up, _unit(rng.normal(size=(floating, 3)))])
    normals = _unit(normals + 0.1 * rng.normal(size=(count, 3)))

    object_spacing = math.sqrt(4 * math.pi / max(on_object, 1))
    ground_spacing = math.sqrt(math.pi * GROUND_RADIUS**2 / max(on_ground, 1))
    spacing = np.repeat([object_spacing, ground_spacing, object_spacing], [on_object, on_ground, floating])
    scales = spacing[:, None] * overlap * 0.5 * np.exp(0.4 * rng.normal(size=(count, 2)))

    spin = rng.uniform(0, 2 * math.pi, count)[:, None]
    opacities = 1 / (1 + np.exp(-(rng.normal(size=count) * 1.5 + 0.8)))
    colors = 0.5 + 0.5 * np.sin(3 * centers + rng.normal(size=(count, 3)) * 0.2)
    surfels = Surfels(
        centers=_float32(centers),
        rotations_wxyz=_float32(_rotations(normals, spin)),
        scales=_float32(scales),
        opacities=_float32(opacities),
        features=_float32(colors),
    )
    return BenchScene(surfels, _camera(width, height))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _float32(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _rotations(normals: np.ndarray, spin: np.ndarray) -> np.ndarray:
    """Quaternions whose third axis is the normal, turned by `spin` about it; the largest component is positive."""
    aside = np.where(np.abs(normals[:, :1]) < 0.9, np.array([[1.0, 0, 0]]), np.array([[0, 1.0, 0]]))
    first = _unit(np.cross(normals, aside))
    second = np.cross(normals, first)
    u = np.cos(spin) * first + np.sin(spin) * second
    v = -np.sin(spin) * first + np.cos(spin) * second
    wxyz = quaternion.from_matrix(torch.from_numpy(np.stack([u, v, np.cross(u, v)], -1))).numpy()
    largest = np.take_along_axis(wxyz, np.abs(wxyz).argmax(-1)[:, None], -1)
    return wxyz * np.sign(largest)


def _camera(width: int, height: int) -> Camera:
    forward = _unit(-EYE)
    right = _unit(np.cross(forward, np.array([0, -1.0, 0])))
    rotation = np.stack([right, np.cross(forward, right), forward])
    cam_from_world = np.eye(4)
    cam_from_world[:3, :3], cam_from_world[:3, 3] = rotation, -rotation @ EYE
    focal = FOCAL_LENGTH * height
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Camera(_float32(K), _float32(cam_from_world), width, height)
