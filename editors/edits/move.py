"""The edit that moves, turns and scales: at all times or by keys, in the frame of the world, a layer or a bone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from recon4d.core import InputError, Similarity, quaternion
from recon4d.editors.edited_field import has_step, plain_of, stepped, with_plain
from recon4d.editors.edits.base import Edit
from recon4d.editors.folding import Folded, fold
from recon4d.editors.keys import Span, Vector, check_vector
from recon4d.editors.motions import PoseKey, check_motion, check_pose_keys, factors_of, motion_at
from recon4d.editors.ride_step import RideStep, inverted, ride_of
from recon4d.editors.riding import rebound, rides_along
from recon4d.editors.selections.base import Selection, resolve
from recon4d.editors.selections.borders import depth_inside
from recon4d.editors.shape_step import ShapeStep
from recon4d.editors.shapes import place
from recon4d.editors.state import State
from recon4d.editors.steps import MoveStep, frame_at
from recon4d.field import BonesWarp, Field
from recon4d.field.rows import rows_of, take


@dataclass(frozen=True, kw_only=True)
class Transform(Edit, kind="transform"):
    """Move, turn and scale surfels.

    Attributes:
        select: which.
        translate: scene units, along the axes of the frame.
        rotate: an axis times degrees.
        scale: one factor, or one for each axis of the frame; > 0.
        pivot: fixed point of turn and scale, in the frame; the middle of the selection where it is left out (in the
            world's frame at the first moment, in a bone's frame the bone itself).
        frame: "layer" is the canonical space of each layer, carried by its motion: what is moved here goes along with
            what it belongs to.  A whole layer is carried by its root, a part by the bone that it follows most.
            "world" stays where it is; "bone" has the axes of one bone.
        bone: which bone carries the frame of a part.
        soft: width of a seam inside the selection where the change fades to nothing at its border, scene units.
        keys: the motion over time, in place of translate, rotate and scale.
        during: range of time outside which nothing happens.
    """

    select: Selection
    translate: Vector = (0.0, 0.0, 0.0)
    rotate: Vector = (0.0, 0.0, 0.0)
    scale: float | Vector = 1.0
    pivot: Vector | None = None
    frame: Literal["world", "layer", "bone"] = "layer"
    bone: int | None = None
    soft: float = 0.0
    keys: tuple[PoseKey, ...] = ()
    during: Span | None = None

    def check(self) -> None:
        """See `Edit.check`."""
        check_motion(self.translate, self.rotate, self.scale)
        check_pose_keys(self.keys)
        if self.pivot is not None:
            check_vector("pivot", self.pivot)
        if self.frame == "bone" and self.bone is None:
            raise InputError("bone", expected="the number of a bone", got="none", fix="say whose frame it is")
        check_soft(self.soft)

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        check_moments(state, self.during, [key.time for key in self.keys])
        masks = resolve(self.select, state)
        changed = state
        for name, mask in masks.items():
            ride = rides_along(state, name, masks)
            if ride is not None:
                changed = changed.with_field(name, self._grown(state.layer(name).field, mask, ride))
                continue
            shares = soft_shares(state.layer(name).field.canonical.centers, mask, self.soft)
            folded = self._moved(state.layer(name).field, mask, shares, state)
            changed = changed.with_field(name, folded.field)
            if folded.copy_of is not None:
                changed = rebound(changed, name, mask, shares, folded.copy_of)
        return changed

    def _moved(self, field: Field, mask: Tensor, shares: Tensor | None, state: State) -> Folded:
        bone = self._carrier(field, mask)
        pivot = self._pivot(field, mask, bone, state)
        rest = PoseKey(0.0, self.translate, self.rotate, self.scale)
        in_world = self.frame == "world" and ride_of(field) is not None
        if not self.keys and self.during is None and not has_step(field, MoveStep, ShapeStep) and not in_world:
            folded = self._folded(plain_of(field), mask, rest, pivot, bone, shares)
            if folded is not None:
                return Folded(with_plain(field, folded.field), folded.copy_of)
        rows = rows_of(mask)
        return Folded(stepped(field, MoveStep(rows, shares, rest, self.keys, self.during, pivot, self.frame, bone)))

    def _grown(self, field: Field, mask: Tensor, ride: RideStep) -> Field:
        """What rides on something that is moved too: that takes it along, and it only grows, about where it hangs."""
        poses = self.keys or (PoseKey(0.0, self.translate, self.rotate, self.scale),)
        if all(factors_of(pose.scale) == (1.0, 1.0, 1.0) for pose in poses):
            return field
        if any(len(set(factors_of(pose.scale))) > 1 for pose in poses):
            expected = f"one factor where something is selected with {ride.carrier!r}, on which it rides"
            raise InputError("scale", expected=expected, got="three", fix="select either alone")
        sizes = tuple(PoseKey(key.time, scale=key.scale, ease=key.ease) for key in poses)
        shares = soft_shares(field.canonical.centers, mask, self.soft)
        pivot = inverted(ride.offset)[1]
        if not self.keys and self.during is None and not has_step(field, MoveStep, ShapeStep):
            motion = motion_at(sizes[0], (), None, torch.zeros(1, dtype=torch.float64))
            folded = fold(plain_of(field), mask, motion, pivot, None, shares)
            if folded is not None:
                return with_plain(field, folded.field)
        keys = sizes if self.keys else ()
        return stepped(field, MoveStep(rows_of(mask), shares, sizes[0], keys, self.during, pivot, "layer", None))

    def _folded(
        self, field: Field, mask: Tensor, rest: PoseKey, pivot: Tensor, bone: int | None, shares: Tensor | None
    ) -> Folded | None:
        """The field without a step, where its warp can take the change."""
        motion = motion_at(rest, (), None, torch.zeros(1, dtype=torch.float64))
        still = frame_at(field.warp.underlying, self.frame, bone, torch.zeros(1, dtype=torch.float64)) is None
        if self.frame == "world" and not still_warp(field):
            if not (bool(mask.all()) and motion.uniform and shares is None):
                return None
            turn = motion.turn_wxyz[0]
            factor = motion.factors[0, 0]
            shift = pivot.double() + motion.shift[0] - factor * quaternion.rotate(turn, pivot.double())
            return Folded(place(field, Similarity(factor, turn, shift)))
        if self.frame == "bone" and not still:
            if not motion.uniform or not isinstance(field.warp, BonesWarp):
                return None
            warp = field.warp
            basis = quaternion.normalize(warp.rest_rotations_wxyz[bone].double())
            turn = quaternion.multiply(quaternion.multiply(basis, motion.turn_wxyz[0]), quaternion.conjugate(basis))
            shift = quaternion.rotate(basis, motion.shift[0])
            motion = type(motion)(shift[None], turn[None], motion.factors, True)
            pivot = quaternion.rotate(basis, pivot.double()) + warp.rest_translations[bone].double()
        return fold(field, mask, motion, pivot, bone, shares)

    def _carrier(self, field: Field, mask: Tensor) -> int | None:
        """The bone that carries the frame of a part; None where the root, the path or the world does."""
        warp = field.warp.underlying
        if not isinstance(warp, BonesWarp):
            if self.frame == "bone" or self.bone is not None:
                got = "a layer without bones"
                raise InputError("bone", expected="a layer with bones", got=got, fix="use the frame of the layer")
            return None
        if self.frame == "world":
            return None
        count = len(warp.rest_translations)
        if self.bone is not None:
            if not 0 <= self.bone < count:
                raise InputError("bone", expected=f"0 to {count - 1}", got=str(self.bone), fix="choose another")
            return self.bone
        if bool(mask.all()):
            return None
        share = torch.zeros(count, dtype=warp.weights.dtype)
        rows = rows_of(mask)
        bones, weights = take(warp.weight_indices, rows), take(warp.weights, rows)
        share.index_add_(0, bones.flatten(), weights.flatten())
        return int(share.argmax())

    def _pivot(self, field: Field, mask: Tensor, bone: int | None, state: State) -> Tensor:
        if self.pivot is not None:
            return torch.tensor(self.pivot, dtype=torch.float64)
        if self.frame == "bone":
            return torch.zeros(3, dtype=torch.float64)
        if self.frame == "world":
            return take(field.at(state.first).centers, mask).double().mean(0)
        return take(field.canonical.centers, mask).double().mean(0)


def still_warp(field: Field) -> bool:
    """Whether nothing carries the surfels."""
    return frame_at(
        field.warp.underlying, "layer", None, torch.zeros(1, dtype=torch.float64)
    ) is None and not isinstance(field.warp.underlying, BonesWarp)


def soft_shares(centers: Tensor, mask: Tensor, soft: float) -> Tensor | None:
    """[M] how far each selected surfel goes: smoothly from 0 at the selection's border to 1 at the depth `soft`."""
    if soft == 0:
        return None
    share = take(depth_inside(centers, mask, soft), mask) / soft
    return (share * share * (3 - 2 * share)).to(centers).clamp_min(1e-6)


def check_soft(soft: float) -> None:
    """InputError unless it is a length >= 0."""
    if not 0 <= soft < math.inf:
        raise InputError("soft", expected="a length >= 0", got=repr(soft), fix="use 0 for a hard border")


def check_moments(state: State, during: Span | None, keys: list[float]) -> None:
    """InputError unless the range and the keys lie within the scene's times."""
    if during is not None:
        state.check_times("during.start", [during.start])
        state.check_times("during.end", [during.end])
    for i, time in enumerate(keys):
        state.check_times(f"keys[{i}].time", [time])
