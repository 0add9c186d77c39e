"""How a subject turns before a camera that moves: its root path, from two solutions of the cameras.

Structure from motion on the background gives the camera in the world; on the subject, the camera relative to the
subject.  Together they say where the subject is and how it is turned at every moment, up to its size: a small thing
near by looks like a large one far away.  It is taken to stand as far away as the background tells (`placing.py`); where
the camera only turns, and so gives no depth, as far away as the world's origin.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float64, UInt8
from torch import Tensor

from recon4d.core import SE3Spline, quaternion, rigid
from recon4d.data.motion import CameraSettings, CameraSolution, Clip, StageCache, solve_cameras
from recon4d.data.motion.stage import Progress
from recon4d.pipeline.placing import depths
from recon4d.pipeline.stages import StageRecord

LEAST_TURN_DEGREES = 15.0  # Bending alone looks like turning by up to so much.
_MOST_CONTROLS = 60  # Poses are solved in about so many keyframes; what is between them is noise.
_FRAMES_PER_CONTROL = 3.0
_FAR_SIDE = 0.4  # Behind its middle, in its own units: nine tenths of its points are within 1.
_NEAR_PERCENT = 30.0


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
        solution: cameras in a world with background points, or that only turn.
        cache, progress: of the stages.
        seed: of everything random.
    """
    focal = float(solution.cameras[0].K[0, 0]) / max(clip.width, clip.height)
    wanted = CameraSettings(mode="object", focal=focal, seed=seed)
    against = solve_cameras(clip, masks, wanted, work=cache, progress=progress)
    health = against.health
    rows: list[tuple[str, ...]] = [("attempt", "keyframes", "error", "range", "verdict")]
    rows += [
        (
            tried.name,
            f"{tried.registered} of {tried.total}",
            f"{tried.error_pixels:.2f} px",
            f"{tried.range_degrees:.0f}\u00b0",
            "accepted" if tried.accepted else "; ".join(tried.failures),
        )
        for tried in health.attempts
    ]
    facts: tuple[tuple[str, str], ...] = (
        ("seen from", f"{health.range_degrees:.0f} degrees of the subject"),
        ("the camera itself goes around", f"{solution.health.range_degrees:.0f} degrees"),
    )
    if health.chosen != "object" or not health.confident:
        why = "the subject's own points do not tell"
        return None, StageRecord("subject", "no turn", why, facts, confident=False, details=tuple(rows))
    turn = turn_degrees(solution, against)
    facts = (*facts, ("it turns in the world by", f"{turn:.0f} degrees"))
    if turn < LEAST_TURN_DEGREES:
        return None, StageRecord("subject", "no turn", "it keeps facing the same way", facts, details=tuple(rows))
    size = _size(clip, masks, solution, against)
    if size is None:
        why = "no point of the background tells how far it is"
        return None, StageRecord("subject", "no turn", why, facts, confident=False, details=tuple(rows))
    path = _smooth(clip.times, torch.stack(_world_from_object(solution, against, size)), _known(solution, against))
    chosen = f"turns: {health.range_degrees:.0f} degrees of it are seen"
    why = "its own points move otherwise than the background's"
    return path, StageRecord("subject", chosen, why, facts, details=tuple(rows))


def _world_from_object(solution: CameraSolution, against: CameraSolution, size: float) -> list[Tensor]:
    """[T] poses [4, 4] of the subject, `size` units of the world large for each of its own."""
    poses = []
    for camera, relative in zip(solution.cameras, against.cameras, strict=True):
        cam_from_object = relative.cam_from_world.double().clone()
        cam_from_object[:3, 3] *= size
        poses.append(rigid.invert(camera.cam_from_world.double()) @ cam_from_object)
    return poses


def _known(solution: CameraSolution, against: CameraSolution) -> Bool[np.ndarray, " t"]:
    """Frames in which both poses were measured; all of them where these are too few to tell."""
    known = np.asarray(solution.solved) & np.asarray(against.solved)
    return known if known.sum() >= 4 else np.ones(len(known), bool)


def turn_degrees(solution: CameraSolution, against: CameraSolution) -> float:
    """Largest angle between two orientations that the subject has in the world."""
    known = torch.from_numpy(_known(solution, against))
    turns = torch.stack(_world_from_object(solution, against, 1.0))[known, :3, :3]
    # The trace of R_i^T R_j is the sum of products of the entries.
    trace = turns.flatten(1) @ turns.flatten(1).T
    return float(torch.rad2deg(torch.arccos(((trace - 1) / 2).clamp(-1, 1)).max()))


def _size(
    clip: Clip, masks: UInt8[np.ndarray, "t h w"], solution: CameraSolution, against: CameraSolution
) -> float | None:
    """Units of the world in one unit of the subject: its depth in the world over its own depth, rather low."""
    own = np.array([float(relative.cam_from_world[2, 3]) for relative in against.cameras])
    if solution.health.chosen == "rotation":
        # Where a camera that only turns has its world's origin.
        begin = float(solution.cameras[0].cam_from_world[:3, 3].norm())
        return begin / float(np.median(own)) if begin > 0 and np.median(own) > 0 else None
    frames, depth = depths(clip, masks, solution)
    rows = frames.astype(int)
    ahead = own[rows] > 0
    if not ahead.any():
        return None
    # Its far side is no farther than what it hides.
    return float(np.percentile(depth[ahead] / (own[rows[ahead]] + _FAR_SIDE), _NEAR_PERCENT))


def _smooth(times: Float64[np.ndarray, " t"], poses: Tensor, known: Bool[np.ndarray, " t"]) -> SE3Spline:
    """The path through the poses that were measured."""
    rotations, translations = rigid.to_rotation_translation(poses[torch.from_numpy(known)])
    moments = np.array(times)[known]
    span = float(moments[-1] - moments[0])
    per_control = max(_FRAMES_PER_CONTROL, (len(times) - 1) / _MOST_CONTROLS)
    step = per_control * span / max(1, len(times) - 1) if span > 0 else 1.0
    path = SE3Spline.fit(torch.from_numpy(moments), quaternion.normalize(rotations), translations, step=step)
    return path.to(torch.float32)
