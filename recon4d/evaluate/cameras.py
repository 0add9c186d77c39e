"""Camera errors, and the one similarity that takes a scene with solved cameras to the truth's frame.

The alignment is found once on all cameras, never for each frame.  Cameras are paired by position in the two sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import Camera, InputError, quaternion
from recon4d.core.rigid import Similarity, align_similarity

# Below this ratio of second to first extent, camera centres lie on a line and leave the turn about it open.
_LINE = 0.05


@dataclass(frozen=True)
class CameraErrors:
    """How far cameras are from the true ones.

    Attributes:
        rotation_deg: mean angle between predicted and true orientation.
        translation_percent: mean distance between predicted and true centres, percent of the diagonal of the bounding
            box of the true centres; None where the true camera stands still.
    """

    rotation_deg: float
    translation_percent: float | None


def camera_errors(cameras: Sequence[Camera], truth: Sequence[Camera]) -> CameraErrors:
    """Errors of cameras that are in the truth's frame already (use `move_camera` with `align_cameras` before).

    Raises:
        InputError: no cameras, or different numbers of them.
    """
    (turn, centers), (true_turn, true_centers) = _poses(cameras, truth)
    relative = turn @ true_turn.transpose(1, 2)
    # From the quaternion: the arc cosine of a trace is inexact near 0.
    angle = quaternion.log(quaternion.from_matrix(relative)).norm(dim=-1)
    path = float((true_centers.amax(0) - true_centers.amin(0)).norm())
    distance = float((centers - true_centers).norm(dim=-1).mean())
    still = path <= 1e-9 * float(true_centers.abs().max().clamp_min(1))
    return CameraErrors(float(torch.rad2deg(angle).mean()), None if still else 100 * distance / path)


def align_cameras(cameras: Sequence[Camera], truth: Sequence[Camera]) -> Similarity:
    """truth_from_scene, float64: the similarity (Umeyama) that takes camera centres nearest to the true ones.

    Centres on a line or in one place do not fix a rotation; then each camera also contributes three points ahead of its
    axes, at a distance equal to the spread of the centres of its set.  Cameras that stand still fix no scale: it stays
    1.

    Raises:
        InputError: no cameras, or different numbers of them.
    """
    (turn, centers), (true_turn, true_centers) = _poses(cameras, truth)
    if min(_flatness(centers), _flatness(true_centers)) > _LINE:
        return align_similarity(centers, true_centers)
    spread, true_spread = _spread(centers), _spread(true_centers)
    moves = min(spread, true_spread) > 1e-6 * max(spread, true_spread, float(true_centers.norm(dim=-1).max()), 1e-300)
    reach, true_reach = (spread, true_spread) if moves else (1.0, 1.0)
    return align_similarity(
        torch.cat([centers, (centers[:, None] + reach * turn).reshape(-1, 3)]),
        torch.cat([true_centers, (true_centers[:, None] + true_reach * true_turn).reshape(-1, 3)]),
        with_scale=moves,
    )


def move_camera(camera: Camera, target_from_source: Similarity) -> Camera:
    """The camera as it stands in the target frame; it sees there what it saw, at depths times the scale."""
    scale = target_from_source.scale.double()
    rotation = quaternion.to_matrix(quaternion.normalize(target_from_source.rotation_wxyz.double()))
    pose = camera.cam_from_world.double()
    cam_from_target = torch.eye(4, dtype=torch.float64)
    cam_from_target[:3, :3] = pose[:3, :3] @ rotation.T
    # cam = s (R x + t) with x = rotation^T (y - translation) / s
    cam_from_target[:3, 3] = scale * pose[:3, 3] - cam_from_target[:3, :3] @ target_from_source.translation.double()
    return Camera(camera.K, cam_from_target.to(camera.cam_from_world.dtype), camera.width, camera.height)


def _poses(
    cameras: Sequence[Camera], truth: Sequence[Camera]
) -> tuple[tuple[Float[Tensor, "n 3 3"], Float[Tensor, "n 3"]], tuple[Float[Tensor, "n 3 3"], Float[Tensor, "n 3"]]]:
    """Rotations cam_from_world and centres of both sets, float64."""
    if len(cameras) == 0 or len(cameras) != len(truth):
        raise InputError(
            "cameras",
            expected=f"one for each of the {len(truth)} true cameras, at least 1",
            got=str(len(cameras)),
            fix="pair them by time first",
        )
    stacked = [torch.stack([c.cam_from_world.detach().double().cpu() for c in each]) for each in (cameras, truth)]
    first, second = ((m[:, :3, :3], -(m[:, :3, :3].transpose(1, 2) @ m[:, :3, 3:]).squeeze(-1)) for m in stacked)
    return first, second


def _flatness(centers: Float[Tensor, "n 3"]) -> float:
    """Second over first extent of the centres: 0 on a line or in one place."""
    extents = torch.linalg.svdvals(centers - centers.mean(0))
    return 0.0 if len(extents) < 2 or float(extents[0]) == 0 else float(extents[1] / extents[0])


def _spread(centers: Float[Tensor, "n 3"]) -> float:
    return float((centers - centers.mean(0)).norm(dim=-1).square().mean().sqrt())
