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

    One matrix [4, 4] takes any points [..., 3]; a batch [B, 4, 4] that shall each take N points needs an axis more:
    `transform_points(transforms[:, None], points)`.
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


@dataclass(frozen=True, eq=False)
class Similarity:
    """A transform target_from_source, x -> scale * (rotation x) + translation; batch dimensions broadcast.

    Attributes:
        scale: [...] factors from source to target units, > 0.
        rotation_wxyz: [..., 4] quaternions, of any length but zero.
        translation: [..., 3] in target units.
    """

    scale: Float[Tensor, "*#batch"]
    rotation_wxyz: Float[Tensor, "*#batch 4"]
    translation: Float[Tensor, "*#batch 3"]

    def transform_points(self, points: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*#batch 3"]:
        """Points [..., 3] in the target frame."""
        return self.scale[..., None] * quaternion.rotate(self.rotation_wxyz, points) + self.translation

    def inverse(self) -> Similarity:
        """source_from_target."""
        scale = 1 / self.scale
        rotation_wxyz = quaternion.conjugate(quaternion.normalize(self.rotation_wxyz))
        return Similarity(scale, rotation_wxyz, -scale[..., None] * quaternion.rotate(rotation_wxyz, self.translation))

    def matrix(self) -> Float[Tensor, "*#batch 4 4"]:
        """Homogeneous matrices [..., 4, 4]; not rigid, so `invert` and the logarithm do not take them."""
        return _assemble(self.scale[..., None, None] * quaternion.to_matrix(self.rotation_wxyz), self.translation)


def align_similarity(
    source: Float[Tensor, "*batch n 3"],
    target: Float[Tensor, "*batch n 3"],
    weights: Float[Tensor, "*batch n"] | None = None,
    with_scale: bool = True,
) -> Similarity:
    """The similarity that takes source points nearest to target points, in weighted least squares.

    The closed form of Umeyama ("Least-squares estimation of transformation parameters between two point patterns",
    1991): never a reflection.  Computed in float64, returned in the type of `source`.  First derivatives with respect
    to all inputs are exact and finite; they do not go through the singular value decomposition, whose derivatives
    blow up where two singular values meet.

    Args:
        source: [..., N, 3] points, N >= 3, not all on one line.
        target: [..., N, 3] where they should go, in the same order.
        weights: [..., N] >= 0, all 1 when None.
        with_scale: False keeps the scale at 1.

    Raises:
        InputError: when shapes do not match, a value is not finite, a weight is negative, or the points do not
            determine a rotation.
    """
    _check_alignment_input(source, target, weights)
    x, y = source.double(), target.double()
    w = torch.ones_like(x[..., 0]) if weights is None else weights.double()
    w = (w / w.sum(-1, keepdim=True))[..., None]
    x_mean, y_mean = (w * x).sum(-2), (w * y).sum(-2)
    x, y = x - x_mean[..., None, :], y - y_mean[..., None, :]
    correlation = (w * y).transpose(-1, -2) @ x

    # Rotation by decomposition, without gradients, then one Newton step on the same objective.  The step is zero, but
    # by the implicit function theorem its derivatives are those of the optimum.
    start = _best_rotation(correlation.detach(), _relative_rounding(source, x) * _relative_rounding(target, y))
    local = start.transpose(-1, -2) @ correlation
    trace = local.diagonal(dim1=-2, dim2=-1).sum(-1)
    symmetric = (local + local.transpose(-1, -2)) / 2
    curvature = trace[..., None, None] * torch.eye(3, dtype=x.dtype, device=x.device) - symmetric
    skew = local - local.transpose(-1, -2)
    slope = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1)
    turn = torch.linalg.solve(curvature, slope)
    rotation_wxyz = quaternion.multiply(quaternion.from_matrix(start), quaternion.exp(turn))

    if with_scale:
        scale = (quaternion.to_matrix(rotation_wxyz) * correlation).sum((-1, -2)) / (w * x.square()).sum((-1, -2))
    else:
        scale = torch.ones_like(trace)
    translation = y_mean - scale[..., None] * quaternion.rotate(rotation_wxyz, x_mean)
    return Similarity(scale.to(source.dtype), rotation_wxyz.to(source.dtype), translation.to(source.dtype))


def _relative_rounding(
    points: Float[Tensor, "*batch n 3"], centred: Float[Tensor, "*batch n 3"]
) -> Float[Tensor, "*batch"]:
    """Size of the points' rounding errors relative to their extent."""
    extent = centred.detach().abs().amax((-1, -2)).clamp_min(torch.finfo(centred.dtype).tiny)
    return torch.finfo(points.dtype).eps * points.detach().abs().amax((-1, -2)).double() / extent


def _best_rotation(
    correlation: Float[Tensor, "*batch 3 3"], rounding: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """Rotations R that maximise trace(R^T correlation); InputError where more than one does."""
    u, values, vh = torch.linalg.svd(correlation)
    handedness = torch.linalg.det(u) * torch.linalg.det(vh)
    signs = torch.stack([torch.ones_like(handedness), torch.ones_like(handedness), handedness.sign()], -1)
    values = values * signs
    # A turn about the axis of the largest value costs the sum of the other two.  That sum goes with the square of the
    # points' distance from a line: 1e-10 is a thickness of 1e-5, unless rounding alone may look thicker.
    limit = (1000 * rounding).clamp_min(1e-10) * values[..., 0]
    # Negated, so that the NaN of points that all coincide counts as ambiguous.
    ambiguous = ~(values[..., 1] + values[..., 2] > limit)
    if bool(ambiguous.any()):
        index = ambiguous.nonzero()[0].tolist()
        in_line = not bool((values[..., 1] > limit)[tuple(index)])
        where = f" (batch index {index})" if index else ""
        raise InputError(
            "align_similarity: points",
            expected="3 or more pairs with weight, not on one line, neither set a mirror image of the other",
            got=("points on one line or at one place" if in_line else "mirrored points that fit several ways") + where,
            fix="add points off the line, or check the order and the axes of the two sets",
        )
    return u @ (signs[..., None] * vh)


def _check_alignment_input(source: Tensor, target: Tensor, weights: Tensor | None) -> None:
    if (
        source.ndim < 2
        or source.shape[-1] != 3
        or source.shape[-2] < 3
        or target.shape != source.shape
        or (weights is not None and weights.shape != source.shape[:-1])
    ):
        shapes = [list(a.shape) for a in (source, target, weights) if a is not None]
        raise InputError(
            "align_similarity: shapes",
            expected="source and target [..., N, 3] and weights [..., N], N >= 3",
            got=" and ".join(map(str, shapes)),
            fix="pass the same points in the same order, at least 3",
        )
    for name, values in (("source", source), ("target", target), ("weights", weights)):
        if values is None:
            continue
        bad = ~values.detach().isfinite()
        if name == "weights":
            bad = bad | (values.detach() < 0)
        if bool(bad.any()):
            raise InputError(
                f"align_similarity: {name}",
                expected="finite numbers" + (" >= 0" if name == "weights" else ""),
                got=f"{int(bad.sum())} that are not, the first at index {bad.nonzero()[0].tolist()}",
                fix="leave those points out",
            )
    if weights is not None and bool((weights.detach().sum(-1) <= 0).any()):
        raise InputError(
            "align_similarity: weights",
            expected="a sum > 0",
            got="only zeros",
            fix="give a weight to at least 3 points",
        )


def _assemble(
    rotation: Float[Tensor, "*#batch 3 3"], translation: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*#batch 4 4"]:
    batch = torch.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    upper = torch.cat([rotation.expand(*batch, 3, 3), translation.expand(*batch, 3)[..., None]], -1)
    last_row = (torch.arange(4, device=upper.device) == 3).to(upper.dtype)
    return torch.cat([upper, last_row.expand(*batch, 1, 4)], -2)
