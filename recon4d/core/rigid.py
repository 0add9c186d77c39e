"""Rigid transforms as 4x4 matrices named `target_from_source`, and similarities.

Leading batch dimensions broadcast; float32 and float64; gradients are finite everywhere, at the identity and at half
turns too.  Nothing checks that a matrix is rigid: only the upper 3x4 part is read and its 3x3 part is taken as a
rotation.  Only `align_similarity`, which estimates a transform from data, looks at values and refuses bad ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import quaternion
from recon4d.core._smooth import stumpff
from recon4d.core.errors import InputError


def from_rotation_translation(
    rotation_wxyz: Float[Tensor, "*#batch 4"], translation: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*#batch 4 4"]:
    """Matrices [..., 4, 4] that rotate, then translate."""
    return _assemble(quaternion.to_matrix(rotation_wxyz), translation)


def to_rotation_translation(
    transform: Float[Tensor, "*batch 4 4"],
) -> tuple[Float[Tensor, "*batch 4"], Float[Tensor, "*batch 3"]]:
    """Unit quaternions [..., 4] (wxyz, w >= 0) and translations [..., 3] of rigid matrices."""
    return quaternion.from_matrix(transform[..., :3, :3]), transform[..., :3, 3]


def invert(transform: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
    """source_from_target of target_from_source, by transposing the rotation."""
    rotation = transform[..., :3, :3].transpose(-1, -2)
    return _assemble(rotation, -(rotation @ transform[..., :3, 3:]).squeeze(-1))


def transform_points(
    transform: Float[Tensor, "*#batch 4 4"], points: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*#batch 3"]:
    """Points [..., 3] in the target frame.

    One matrix [4, 4] takes any points [..., 3]; a batch [B, 4, 4] that each shall take N points needs `transform[:, None]`.
    """
    return transform_directions(transform, points) + transform[..., :3, 3]


def transform_directions(
    transform: Float[Tensor, "*#batch 4 4"], directions: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*#batch 3"]:
    """Directions [..., 3] in the target frame: rotated, not translated."""
    # Three broadcast products beat a batched matrix product of this size, and need no copies of the matrices.
    x, y, z = directions[..., None].unbind(-2)
    return transform[..., :3, 0] * x + transform[..., :3, 1] * y + transform[..., :3, 2] * z


def se3_exp(twist: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 4 4"]:
    """Matrices of screw motions [..., 6]: translation part (scene units) first, then rotation vector (radians)."""
    velocity, rotation_vector = twist[..., :3], twist[..., 3:]
    square = rotation_vector.square().sum(-1, keepdim=True)
    once = torch.linalg.cross(rotation_vector, velocity)
    twice = torch.linalg.cross(rotation_vector, once)
    translation = velocity + stumpff(square, 2) * once + stumpff(square, 3) * twice
    return from_rotation_translation(quaternion.exp(rotation_vector), translation)


def se3_log(transform: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 6"]:
    """Screw motions [..., 6] of rigid matrices, inverse of `se3_exp` for rotations of less than half a turn.

    At an exact half turn the axis is the one with its largest component positive.
    """
    rotation_wxyz, translation = to_rotation_translation(transform)
    rotation_vector = quaternion.log(rotation_wxyz)
    quarter_square = rotation_vector.square().sum(-1, keepdim=True) / 4
    once = torch.linalg.cross(rotation_vector, translation)
    twice = torch.linalg.cross(rotation_vector, once)
    # (1 - (a/2) cot(a/2)) / a^2 for the angle a, in a form without 0/0.
    factor = (stumpff(quarter_square, 2) - stumpff(quarter_square, 3)) / (4 * stumpff(quarter_square, 1))
    return torch.cat([translation - 0.5 * once + factor * twice, rotation_vector], -1)


def _assemble(
    rotation: Float[Tensor, "*#batch 3 3"], translation: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*#batch 4 4"]:
    batch = torch.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    upper = torch.cat([rotation.expand(*batch, 3, 3), translation.expand(*batch, 3)[..., None]], -1)
    last_row = (torch.arange(4, device=upper.device) == 3).to(upper.dtype)
    return torch.cat([upper, last_row.expand(*batch, 1, 4)], -2)
