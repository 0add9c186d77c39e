"""The edit that poses bones, at all times or by keys."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recon4d.core import InputError, SE3Spline, quaternion
from recon4d.editors.edited_field import plain_of, with_plain
from recon4d.editors.edits.base import Edit, free_layer
from recon4d.editors.edits.move import check_moments
from recon4d.editors.keys import Span, Vector
from recon4d.editors.motions import PoseKey, check_motion, check_pose_keys, factors_of, motion_at
from recon4d.editors.selections.properties import bones_of
from recon4d.editors.splines import moments_of, refit
from recon4d.editors.state import State
from recon4d.field import BonesWarp, ResidualWarp


@dataclass(frozen=True)
class BonePose:
    """What one bone does beside its own motion, in its own axes.

    Attributes:
        bone: its number.
        rotate: an axis times degrees, about the bone's place.
        translate: scene units.
        followers: bones that are carried along rigidly, as a hand is by an arm.
        keys: the pose over time, in place of rotate and translate; their scales must be 1.
    """

    bone: int
    rotate: Vector = (0.0, 0.0, 0.0)
    translate: Vector = (0.0, 0.0, 0.0)
    followers: tuple[int, ...] = ()
    keys: tuple[PoseKey, ...] = ()

    def __post_init__(self) -> None:
        check_motion(self.translate, self.rotate, 1.0)
        check_pose_keys(self.keys)
        for i, key in enumerate(self.keys):
            if factors_of(key.scale) != (1.0, 1.0, 1.0):
                got, fix = repr(key.scale), "scale surfels with a transform"
                raise InputError(f"keys[{i}].scale", expected="1: bones are rigid", got=got, fix=fix)
        if self.bone in self.followers or len(set(self.followers)) < len(self.followers):
            raise InputError(
                "followers", expected="other bones, each once", got=str(list(self.followers)), fix="mend it"
            )


@dataclass(frozen=True, kw_only=True)
class PoseBones(Edit, kind="pose"):
    """Turn and shift bones of a layer; one after the other, each with what it carries.

    The poses become part of the bones' own paths, whose control poses stand some frames apart: what keys do faster
    than that is smoothed.

    Attributes:
        layer: name.
        bones: what each of some bones does.
        during: range of time outside which nothing happens.
    """

    layer: str
    bones: tuple[BonePose, ...]
    during: Span | None = None

    def check(self) -> None:
        """See `Edit.check`."""
        if not self.bones:
            raise InputError("bones", expected="at least one bone", got="none", fix="pose a bone")

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        layer = free_layer(state, self.layer, "layer")
        warp = bones_of(layer, "layer")
        count = len(warp.rest_translations)
        for i, pose in enumerate(self.bones):
            for bone in (pose.bone, *pose.followers):
                if not 0 <= bone < count:
                    raise InputError(
                        f"bones[{i}].bone", expected=f"0 to {count - 1}", got=str(bone), fix="see its bones"
                    )
            check_moments(state, self.during, [key.time for key in pose.keys])
            warp = _posed(warp, pose, self.during)
        field = plain_of(layer.field)
        changed = replace(field.warp, base=warp) if isinstance(field.warp, ResidualWarp) else warp
        return state.with_field(layer.name, with_plain(layer.field, replace(field, warp=changed)))


def _posed(warp: BonesWarp, pose: BonePose, during: Span | None) -> BonesWarp:
    path = warp.path
    rest = PoseKey(0.0, pose.translate, pose.rotate)
    if not pose.keys and during is None and not pose.followers and not any(pose.translate):
        # A turn that stays the same goes into the controls: exact.
        turn = motion_at(rest, (), None, torch.zeros(1, dtype=torch.float64)).turn_wxyz[0]
        rotations = path.rotations_wxyz.clone()
        rotations[pose.bone] = quaternion.multiply(rotations[pose.bone].double(), turn).to(rotations)
        return replace(warp, path=replace(path, rotations_wxyz=rotations))
    chosen = torch.tensor([pose.bone, *pose.followers])
    times = moments_of(path)
    exact = SE3Spline(path.rotations_wxyz[chosen].double(), path.translations[chosen].double(), path.start, path.step)
    turned, places = _carried(*exact.at(times), *_local(rest, pose, during, times))
    fitted = refit(exact, turned, places)
    return replace(
        warp,
        path=replace(
            path,
            rotations_wxyz=path.rotations_wxyz.index_copy(0, chosen, fitted.rotations_wxyz.to(path.rotations_wxyz)),
            translations=path.translations.index_copy(0, chosen, fitted.translations.to(path.translations)),
        ),
    )


def _local(rest: PoseKey, pose: BonePose, during: Span | None, times: Tensor) -> tuple[Tensor, Tensor]:
    """Turn [T, 4] and shift [T, 3] in the bone's axes."""
    motion = motion_at(rest, pose.keys, during, times)
    return motion.turn_wxyz, motion.shift


def _carried(rotations: Tensor, places: Tensor, turn: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Poses [B, T, ...] of the bone, which is the first, and what it carries."""
    frame, origin = rotations[0], places[0]
    whole = quaternion.multiply(quaternion.multiply(frame, turn), quaternion.conjugate(frame))
    away = quaternion.rotate(quaternion.conjugate(frame), places - origin)
    moved = quaternion.rotate(frame, quaternion.rotate(turn, away) + shift) + origin
    return quaternion.multiply(whole, rotations), moved
