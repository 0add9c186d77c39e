"""Skinning weights from Gaussian bones.

A bone is an ellipsoid; a point follows the bones that it is near in the sense of their Mahalanobis distance (BANMo,
lab4d, Vidu4D).  Finding where bones should be is not done here.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from recon4d.core import InputError, quaternion


def mahalanobis_squared(
    centers: Float[Tensor, "n 3"],
    bone_centers: Float[Tensor, "b 3"],
    bone_rotations_wxyz: Float[Tensor, "b 4"],
    bone_radii: Float[Tensor, "b 3"],
) -> Float[Tensor, "n b"]:
    """Squared distances [N, B] from points to bones, measured in the radii of each bone along its own axes.

    Args:
        centers: [N, 3] points, scene units.
        bone_centers: [B, 3] centres of the bones, same frame and units.
        bone_rotations_wxyz: [B, 4] quaternions that take the bones' axes to that frame; need not be normalised.
        bone_radii: [B, 3] standard deviations along the bones' axes, scene units, > 0.
    """
    rotations = quaternion.to_matrix(quaternion.normalize(bone_rotations_wxyz))
    # Subtracting before turning keeps the digits of points that are far from the origin but near a bone.
    in_bone = torch.einsum("nbi,bij->nbj", centers[:, None] - bone_centers, rotations / bone_radii[:, None, :])
    return in_bone.square().sum(-1)


def skinning_weights(
    centers: Float[Tensor, "n 3"],
    bone_centers: Float[Tensor, "b 3"],
    bone_rotations_wxyz: Float[Tensor, "b 4"],
    bone_radii: Float[Tensor, "b 3"],
    top_k: int = 4,
    *,
    correction: Float[Tensor, "n b"] | None = None,
) -> tuple[Int64[Tensor, "n k"], Float[Tensor, "n k"]]:
    """Softmax of the negative squared Mahalanobis distance over the nearest `top_k` bones of each point.

    Args:
        centers: [N, 3] points in the canonical state, scene units.
        bone_centers: [B, 3] centres of the bones at rest.
        bone_rotations_wxyz: [B, 4] canonical_from_bone at rest; need not be normalised.
        bone_radii: [B, 3] standard deviations along the bones' axes, scene units, > 0.
        top_k: slots per point.
        correction: [N, B] learned numbers that are added to the negative squared distances before bones are chosen.

    Returns:
        Bones [N, top_k], strongest first, and weights [N, top_k] that sum to 1.  With fewer bones than slots the slots
        left over have bone 0 and weight 0, as glTF wants them.  Differentiable in every floating-point argument.

    Raises:
        InputError: no bones, or top_k < 1.
    """
    bones = bone_centers.shape[0]
    if top_k < 1 or bones < 1:
        raise InputError(
            "skinning_weights",
            expected="at least one bone and top_k >= 1",
            got=f"{bones} bones, top_k={top_k}",
            fix="add a bone",
        )
    logits = -mahalanobis_squared(centers, bone_centers, bone_rotations_wxyz, bone_radii)
    if correction is not None:
        logits = logits + correction
    best, indices = logits.topk(min(top_k, bones), dim=-1)
    spare = (0, top_k - best.shape[-1])
    pad = torch.nn.functional.pad
    return pad(indices, spare), pad(best.softmax(-1), spare)
