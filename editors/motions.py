"""Moving, turning and scaling surfels by similarities and by stretches that differ along axes.

Only shapes and places: which surfels, when, and in which frame is decided elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recon4d.core import InputError, Surfels, quaternion
from recon4d.editors.keys import LARGEST, Ease, Span, Vector, check_finite, check_order, check_vector, envelope, locate


@dataclass(frozen=True)
class PoseKey:
    """Where, how turned and how large something is at a time.

    Attributes:
        time: seconds.
        translate: scene units.
        rotate: an axis times degrees.
        scale: one factor, or one for each axis; > 0.
        ease: how it is reached from the key before.
    """

    time: float
    translate: Vector = (0.0, 0.0, 0.0)
    rotate: Vector = (0.0, 0.0, 0.0)
    scale: float | Vector = 1.0
    ease: Ease = "smooth"

    def __post_init__(self) -> None:
        check_finite("time", self.time)
        check_motion(self.translate, self.rotate, self.scale)


@dataclass(frozen=True, eq=False)
class Motion:
    """A similarity, or a turn and a stretch, at each of T moments; x goes to pivot + shift + turn(factors (x - pivot)).

    Attributes:
        shift: [T, 3].
        turn_wxyz: [T, 4] unit quaternions.
        factors: [T, 3] along the frame's axes, before the turn.
        uniform: whether the three factors are always the same.
    """

    shift: Tensor
    turn_wxyz: Tensor
    factors: Tensor
    uniform: bool

    def matrix(self) -> Tensor:
        """[T, 3, 3] turn and stretch."""
        return quaternion.to_matrix(self.turn_wxyz) * self.factors[:, None, :]


def check_motion(translate: Vector, rotate: Vector, scale: float | Vector) -> None:
    """InputError unless finite and of sane size, and scales above 0."""
    check_vector("translate", translate)
    check_vector("rotate", rotate)
    for factor in factors_of(scale):
        if not 1 / LARGEST <= factor <= LARGEST:
            expected = f"factors > 0, from {1 / LARGEST:g} to {LARGEST:g}"
            raise InputError("scale", expected=expected, got=repr(scale), fix="use 1 to keep the size")


def check_pose_keys(keys: Sequence[PoseKey]) -> None:
    """InputError unless the keys are in order."""
    check_order("keys", [key.time for key in keys])


def factors_of(scale: float | Vector) -> Vector:
    """A factor for each axis."""
    return scale if isinstance(scale, tuple) else (scale, scale, scale)


def motion_at(rest: PoseKey, keys: Sequence[PoseKey], during: Span | None, times: Tensor) -> Motion:
    """The motion at T moments: that of the keys, or `rest` where there are none, as far as the span lets it through."""
    shown = keys or (rest,)
    before, share = locate([key.time for key in shown], [key.ease for key in shown], times)
    after = (before + 1).clamp(max=len(shown) - 1)
    table = torch.tensor(
        [[*key.translate, *key.rotate, *(math.log(f) for f in factors_of(key.scale))] for key in shown],
        dtype=torch.float64,
    )
    values = torch.lerp(table[before], table[after], share[:, None]) * envelope(during, times)[:, None]
    turn = quaternion.exp(values[:, 3:6] * (math.pi / 180))
    uniform = all(len(set(factors_of(key.scale))) == 1 for key in shown)
    return Motion(values[:, :3], turn, values[:, 6:].exp(), uniform)


def moved(
    state: Surfels,
    rows: Tensor,
    motion: Motion,
    pivot: Tensor,
    frame: tuple[Tensor, Tensor] | None,
    shares: Tensor | None,
) -> Surfels:
    """Surfels with some rows moved.

    Args:
        state: N surfels at T moments; centres and rotations are batched, other arrays may be.
        rows: [M] indices.
        motion: at the same moments.
        pivot: [3] fixed point of turn and stretch, in the frame.
        frame: world_from_frame as quaternions [T, 4] and places [T, 3]; the world itself for None.
        shares: [M] in (0, 1], how far each goes; all the way for None.
    """
    centers = state.centers
    matrix, shift, turn = (x.to(centers) for x in (motion.matrix(), motion.shift, motion.turn_wxyz))
    origin = pivot.to(centers).expand(len(centers), 3)
    if frame is not None:
        turned, place = (x.to(centers) for x in frame)
        basis = quaternion.to_matrix(turned)
        matrix = basis @ matrix @ basis.mT
        shift = (basis @ shift[..., None])[..., 0]
        origin = (basis @ origin[..., None])[..., 0] + place
        turn = quaternion.multiply(quaternion.multiply(turned, turn), quaternion.conjugate(turned))
    old = centers.index_select(1, rows)
    away = old - origin[:, None]
    new = away @ matrix.mT + (origin + shift)[:, None]
    if shares is not None:
        new = torch.lerp(old, new, shares.to(centers)[:, None])
    changes = {"centers": _put(centers, rows, new, 1)}
    rotations = state.rotations_wxyz.index_select(1, rows)
    scales = state.scales.index_select(-2, rows)
    if not motion.uniform:
        rotations, scales = stretched(rotations, scales, _part_way(matrix, shares))
    else:
        # What goes all the way only turns and grows; stretching is for the seam.
        turned_rotations = rotations @ from_the_left(turn).mT
        grown = scales * motion.factors[:, 0].to(centers)[:, None, None]
        if shares is not None:
            seam = torch.nonzero(shares < 1)[:, 0]
            near = rotations.index_select(1, seam), scales.index_select(-2, seam)
            bent, sizes = stretched(*near, _part_way(matrix, shares[seam]))
            turned_rotations.index_copy_(1, seam, bent)
            grown.index_copy_(1, seam, sizes)
        rotations, scales = turned_rotations, grown
    changes["rotations_wxyz"] = _put(state.rotations_wxyz, rows, rotations, 1)
    all_scales = state.scales if state.scales.dim() == 3 else state.scales.expand(len(centers), *state.scales.shape)
    changes["scales"] = _put(all_scales, rows, scales.expand(len(centers), -1, -1), 1)
    known = state.world_from_canonical_wxyz
    if known is not None:
        before = known.index_select(1, rows)
        if shares is None:
            changed = before @ from_the_left(turn).mT
        else:
            turns = quaternion.slerp(turn.new_tensor([1.0, 0.0, 0.0, 0.0]), turn[:, None], shares.to(centers))
            changed = quaternion.multiply(turns, before)
        changes["world_from_canonical_wxyz"] = _put(known, rows, changed, 1)
    return state.replace(**changes)


def _part_way(matrix: Tensor, shares: Tensor | None) -> Tensor:
    """Maps [T, M, 3, 3] that go shares [M] of the way of maps [T, 3, 3]; [T, 1, 3, 3], all the way, for None."""
    if shares is None:
        return matrix[:, None]
    eye = torch.eye(3).to(matrix)
    return torch.lerp(eye.expand_as(matrix[:, None]), matrix[:, None], shares.to(matrix)[:, None, None])


def from_the_left(q: Tensor) -> Tensor:
    """[T, 4, 4] matrices that multiply by quaternions [T, 4] from the left: for many a tenth of the time."""
    return quaternion.multiply(q[:, None], torch.eye(4).to(q)).mT


def stretched(rotations_wxyz: Tensor, scales: Tensor, jacobian: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations [..., 4] and scales [..., 2] of surfels after a linear map [..., 3, 3].

    The images of the two scaled tangents span the new ellipse; its axes are found by one rotation in that plane, as
    in a singular value decomposition of two columns (Jacobi).
    """
    tangents = quaternion.to_matrix(rotations_wxyz)[..., :2] * scales.clamp_min(1e-12)[..., None, :]
    a, b = (jacobian @ tangents).unbind(-1)
    aa, bb, ab = (a * a).sum(-1), (b * b).sum(-1), (a * b).sum(-1)
    # Turned by at most an eighth, so that a map that changes nothing keeps the axes.
    longer = aa - bb
    angle = 0.5 * torch.atan2(2 * ab * torch.where(longer < 0, -1.0, 1.0).to(ab), longer.abs())
    cos, sin = angle.cos()[..., None], angle.sin()[..., None]
    u, v = cos * a + sin * b, cos * b - sin * a
    lengths = torch.stack([u.norm(dim=-1), v.norm(dim=-1)], -1)
    u = u / lengths[..., :1].clamp_min(1e-30)
    v = v - (u * v).sum(-1, keepdim=True) * u
    v = torch.nn.functional.normalize(v, dim=-1)
    axes = torch.stack([u, v, torch.linalg.cross(u, v)], -1)
    return quaternion.from_matrix(axes), lengths


def _put(tensor: Tensor, rows: Tensor, part: Tensor, axis: int) -> Tensor:
    changed = tensor.clone(memory_format=torch.contiguous_format)
    return changed.index_copy_(axis, rows, part.to(changed))
