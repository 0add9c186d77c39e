"""The camera stage's result on disk, and poses as cameras."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from recon4d.core import Camera
from recon4d.data.motion.cameras.record import Attempt, BackgroundMotion, CameraHealth, CameraSolution
from recon4d.data.motion.clip import Clip
from recon4d.data.motion.stage import StageCache


def cameras_of(poses: Float64[np.ndarray, "t 4 4"], focal: float, size: tuple[int, int]) -> tuple[Camera, ...]:
    """Pinholes with one focal length in pixels and the principal point in the middle, for (width, height)."""
    width, height = size
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64)
    return tuple(Camera(K, torch.from_numpy(np.array(pose)), width, height) for pose in poses)


def store(cache: StageCache, solution: CameraSolution) -> None:
    """Keep a solution under its key."""
    arrays = {
        "K": np.stack([camera.K.numpy() for camera in solution.cameras]),
        "cam_from_world": np.stack([camera.cam_from_world.numpy() for camera in solution.cameras]),
        "solved": solution.solved,
        "points": solution.points,
        "point_ids": solution.point_ids,
        "point_errors": solution.point_errors,
    }
    cache.store("cameras", solution.key, {"health": asdict(solution.health)}, arrays)


def unpacked(stored: tuple[dict[str, Any], dict[str, Any]], clip: Clip, key: str) -> CameraSolution:
    """A solution from what `StageCache.load` gave."""
    record, arrays = stored
    health = dict(record["health"])
    health["attempts"] = tuple(Attempt(**{**a, "failures": tuple(a["failures"])}) for a in health["attempts"])
    health["background"] = health["background"] and BackgroundMotion(**health["background"])
    health["warnings"] = tuple(health["warnings"])
    cameras = tuple(
        Camera(torch.from_numpy(np.array(K)), torch.from_numpy(np.array(pose)), clip.width, clip.height)
        for K, pose in zip(arrays["K"], arrays["cam_from_world"], strict=True)
    )
    names = ("solved", "points", "point_ids", "point_errors")
    solved, points, ids, errors = (np.array(arrays[name]) for name in names)
    return CameraSolution(cameras, solved, points, ids, errors, CameraHealth(**health), key)
