"""How a subject turns before a camera that moves: its root path, from two solutions of the cameras.

Structure from motion on the background gives the camera in the world; on the subject, the camera relative to the
subject.  Together they say where the subject is and how it is turned at every moment, up to its size: a small thing
near by looks like a large one far away.  It is taken to stand as far away as the background at its feet.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from recon4d.core import SE3Spline, quaternion, rigid
from recon4d.data.motion import CameraSettings, CameraSolution, Clip, StageCache, solve_cameras
from recon4d.data.motion.stage import Progress
from recon4d.pipeline.stages import StageRecord

_LEAST_RANGE_DEGREES = 35.0
_FRAMES_PER_CONTROL = 3.0
_NEAR_FEET = 12  # points of the background that tell a depth
_SUBJECT = 128


def subject_path(
    clip: Clip,
    masks: UInt8[np.ndarray, "t h w"],
    solution: CameraSolution,
    cache: StageCache,
    progress: Progress,
    seed: int,
) -> tuple[SE3Spline | None, StageRecord]:
    """World_from_root of a subject that turns in the solution's world; None where it does not turn, or nobody can tell.

    Args:
        clip: frames.
        masks: of the one subject.
        solution: cameras in a world with background points.
        cache, progress: of the stages.
        seed: of everything random.
    """
    focal = float(solution.cameras[0].K[0, 0]) / max(clip.width, clip.height)
    wanted = CameraSettings(mode="object", focal=focal, seed=seed)
    against = solve_cameras(clip, masks, wanted, work=cache, progress=progress)
    health = against.health
    # How far the subject is seen around, less what the camera itself goes around.
    facts = (
        ("seen from", f"{health.range_degrees:.0f} degrees of the subject"),
        ("the camera itself goes around", f"{solution.health.range_degrees:.0f} degrees"),
    )
    if health.chosen != "object" or not health.confident:
        why = "the subject's own points do not tell"
        return None, StageRecord("subject", "no turn", why, facts, confident=False)
    if health.range_degrees < max(_LEAST_RANGE_DEGREES, 1.5 * solution.health.range_degrees):
        return None, StageRecord("subject", "no turn", "it is seen from no more sides than the camera goes", facts)
    size = _size(clip, masks, solution, against)
    if size is None:
        why = "no background point near its feet tells how far it is"
        return None, StageRecord("subject", "no turn", why, facts, confident=False)
    poses = []
    for camera, relative in zip(solution.cameras, against.cameras, strict=True):
        cam_from_object = relative.cam_from_world.double().clone()
        cam_from_object[:3, 3] *= size
        poses.append(rigid.invert(camera.cam_from_world.double()) @ cam_from_object)
    path = _smooth(clip.times, torch.stack(poses))
    chosen = f"turns: {health.range_degrees:.0f} degrees of it are seen"
    return path, StageRecord("subject", chosen, "its own points move otherwise than the background's", facts)


def _size(
    clip: Clip, masks: UInt8[np.ndarray, "t h w"], solution: CameraSolution, against: CameraSolution
) -> float | None:
    """Units of the world in one unit of the subject: the median over frames of depth at its feet over its own depth."""
    points = torch.from_numpy(np.asarray(solution.points)).double()
    if len(points) < _NEAR_FEET:
        return None
    ratios = []
    for index, (camera, relative) in enumerate(zip(solution.cameras, against.cameras, strict=True)):
        rows, columns = np.nonzero(masks[index] >= _SUBJECT)
        if not len(rows):
            continue
        feet = torch.tensor([columns.mean() + 0.5, rows.max() + 0.5], dtype=torch.float64)
        pixels, depth = replace(camera).to(torch.float64).project(points)
        height, width = clip.frames.shape[1:3]
        inside = (depth > 0) & (pixels >= 0).all(-1) & (pixels[:, 0] < width) & (pixels[:, 1] < height)
        if int(inside.sum()) < _NEAR_FEET:
            continue
        away = (pixels[inside] - feet) * torch.tensor([1.0, 2.0], dtype=torch.float64)
        near = away.norm(dim=1).topk(_NEAR_FEET, largest=False).indices
        own = float(relative.cam_from_world[2, 3])
        if own > 0:
            ratios.append(float(depth[inside][near].median()) / own)
    return float(np.median(ratios)) if ratios else None


def _smooth(times: Float64[np.ndarray, " t"], poses: Tensor) -> SE3Spline:
    rotations, translations = rigid.to_rotation_translation(poses)
    span = float(times[-1] - times[0])
    step = _FRAMES_PER_CONTROL * span / max(1, len(times) - 1) if span > 0 else 1.0
    path = SE3Spline.fit(torch.from_numpy(np.array(times)), quaternion.normalize(rotations), translations, step=step)
    return path.to(torch.float32)
