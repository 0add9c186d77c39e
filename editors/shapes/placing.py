"""Puts a field somewhere else: moved, turned and scaled as a whole, earlier or later, faster or slower.

Every kind of warp stays what it is, so what was bones stays bones for the exporters.  Changes no shape and no ids.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from recon4d.core import InputError, SE3Spline, Similarity, quaternion
from recon4d.editors.shapes.turning import turn_colors
from recon4d.field import BonesWarp, Field, IdentityWarp, Refined, ResidualWarp, RigidWarp, Warp


def similarity(
    scale: float | int = 1.0,
    rotation_wxyz: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0),
    translation: tuple[float, ...] = (0.0, 0.0, 0.0),
) -> Similarity:
    """A similarity of plain numbers: x -> scale * (rotation x) + translation.

    Raises:
        InputError: a scale that is not positive, a zero quaternion, or numbers that are not finite.
    """
    numbers = [scale, *rotation_wxyz, *translation]
    if len(numbers) != 8 or not all(map(math.isfinite, numbers)) or scale <= 0 or not any(rotation_wxyz):
        raise InputError(
            "pose",
            expected="a scale > 0, a quaternion of four numbers that is not zero, and three numbers of a place",
            got=f"scale {scale!r}, rotation {rotation_wxyz!r}, translation {translation!r}",
            fix="use scale 1 and rotation 1, 0, 0, 0 to change neither",
        )
    return Similarity(
        torch.tensor(float(scale), dtype=torch.float64),
        quaternion.normalize(torch.tensor(rotation_wxyz, dtype=torch.float64)),
        torch.tensor(translation, dtype=torch.float64),
    )


def place(field: Field, world_from_local: Similarity) -> Field:
    """The field as the similarity takes it, at every time: x(t) becomes S(x(t)).

    Sizes of surfels grow with the scale.  The rotation goes into the warp where there is one to take it, so that
    colours which depend on the view stay exact; a field that stands still is turned itself.

    Args:
        field: any field.
        world_from_local: one similarity (no batch axes), from the field's world to the new one.
    """
    pose = _like(field, world_from_local)
    grown = _grow(field, pose.scale)
    rotation, shift = pose.rotation_wxyz, pose.translation
    if isinstance(grown.warp, IdentityWarp):
        surfels = grown.canonical
        turned = surfels.replace(
            centers=quaternion.rotate(rotation, surfels.centers) + shift,
            rotations_wxyz=quaternion.multiply(rotation, surfels.rotations_wxyz),
            sh=None if surfels.sh is None else turn_colors(surfels.sh, rotation),
        )
        return replace(grown, canonical=turned)
    return replace(grown, warp=_moved(grown.warp, rotation, shift))


def _like(field: Field, pose: Similarity) -> Similarity:
    centers = field.canonical.centers
    return Similarity(
        pose.scale.to(centers), quaternion.normalize(pose.rotation_wxyz.to(centers)), pose.translation.to(centers)
    )


def _grow(field: Field, scale: Tensor) -> Field:
    """The field with all lengths times `scale`, about the origin of canonical space and of the world."""
    surfels = field.canonical
    refined = field.refined
    return replace(
        field,
        canonical=surfels.replace(centers=surfels.centers * scale, scales=surfels.scales * scale),
        warp=_grown_warp(field.warp, scale),
        refined=None if refined is None else Refined(refined.rotations_wxyz, refined.scales * scale),
    )


def _grown_warp(warp: Warp, scale: Tensor) -> Warp:
    match warp:
        case IdentityWarp():
            return warp
        case RigidWarp():
            return RigidWarp(_grown_spline(warp.path, scale))
        case BonesWarp():
            return replace(
                warp,
                root=None if warp.root is None else _grown_spline(warp.root, scale),
                rest_translations=warp.rest_translations * scale,
                path=_grown_spline(warp.path, scale),
            )
        case ResidualWarp():
            return replace(
                warp,
                base=_grown_warp(warp.base, scale),
                grid=warp.grid * scale,
                low=warp.low * scale,
                high=warp.high * scale,
            )
    raise _unknown(warp)


def _grown_spline(spline: SE3Spline, scale: Tensor) -> SE3Spline:
    return replace(spline, translations=spline.translations * scale)


def _moved(warp: Warp, rotation: Tensor, shift: Tensor) -> Warp:
    """The warp followed by a rigid motion.  Splines move with their controls, so this is exact."""
    match warp:
        case RigidWarp():
            return RigidWarp(moved_spline(warp.path, rotation, shift))
        case BonesWarp():
            root = warp.root
            if root is None:
                root = SE3Spline.constant(rotation, shift, start=warp.path.start, step=warp.path.step)
            else:
                root = moved_spline(root, rotation, shift)
            return replace(warp, root=root)
        case ResidualWarp(base=IdentityWarp()):
            return replace(warp, base=RigidWarp(SE3Spline.constant(rotation, shift, start=warp.start, step=warp.step)))
        case ResidualWarp():
            return replace(warp, base=_moved(warp.base, rotation, shift))
    raise _unknown(warp)


def moved_spline(spline: SE3Spline, rotation_wxyz: Tensor, translation: Tensor) -> SE3Spline:
    """The motion followed by a rigid one (rotation [4], translation [3])."""
    return replace(
        spline,
        rotations_wxyz=quaternion.multiply(rotation_wxyz, spline.rotations_wxyz),
        translations=quaternion.rotate(rotation_wxyz, spline.translations) + translation,
    )


def retime(field: Field, *, start: float | int = 0.0, speed: float | int = 1.0) -> Field:
    """The field with its clock changed: what it did at time s it now does at start + s / speed.

    Args:
        field: any field.
        start: seconds of the new clock at which the old one shows 0.
        speed: seconds of the old clock in one of the new, > 0.

    Raises:
        InputError: numbers that are not finite, or a speed that is not positive.
    """
    if not (math.isfinite(start) and math.isfinite(speed) and speed > 0):
        raise InputError(
            "time",
            expected="a finite start and a speed > 0",
            got=f"start {start!r}, speed {speed!r}",
            fix="use 0 and 1",
        )
    return replace(field, warp=_retimed_warp(field.warp, float(start), float(speed)))


def _retimed_warp(warp: Warp, start: float, speed: float) -> Warp:
    def clock(spline: SE3Spline) -> SE3Spline:
        return replace(spline, start=start + spline.start / speed, step=spline.step / speed)

    match warp:
        case IdentityWarp():
            return warp
        case RigidWarp():
            return RigidWarp(clock(warp.path))
        case BonesWarp():
            return replace(warp, root=None if warp.root is None else clock(warp.root), path=clock(warp.path))
        case ResidualWarp():
            base = _retimed_warp(warp.base, start, speed)
            return replace(warp, base=base, start=start + warp.start / speed, step=warp.step / speed)
    raise _unknown(warp)


def repeat(field: Field, *, duration: float | int, until: float | int) -> Field:
    """The field with its motion over [0, duration] played again and again until a time.

    Poses are sampled four times a control and fitted anew, so the motion differs a little from the original; where the
    end of a round is not its beginning, the motion goes from one to the other within a few controls.

    Args:
        field: a field whose warp has a path or bones; one that stands still is returned as it is.
        duration: seconds of one round, > 0.
        until: seconds at which the playing ends.

    Raises:
        InputError: a duration that is not positive, more controls than a spline may have, or a warp with displacements.
    """
    if not (math.isfinite(duration) and math.isfinite(until) and duration > 0):
        raise InputError(
            "repeat", expected="a duration > 0 and a finite end", got=f"{duration!r}, {until!r}", fix="give seconds"
        )
    if until <= duration or isinstance(field.warp, IdentityWarp):
        return field

    def again(spline: SE3Spline) -> SE3Spline:
        step = min(spline.step, duration / 4)
        times = torch.linspace(0, float(until), max(2, math.ceil(4 * until / step)) + 1, dtype=torch.float64)
        rotations, translations = spline.at(times % duration)
        return SE3Spline.fit(times, rotations, translations, step=step)

    match field.warp:
        case RigidWarp():
            return replace(field, warp=RigidWarp(again(field.warp.path)))
        case BonesWarp():
            root = field.warp.root
            return replace(
                field,
                warp=replace(field.warp, root=None if root is None else again(root), path=again(field.warp.path)),
            )
    raise InputError(
        "repeat",
        expected="a field moved by a path or by bones alone",
        got=type(field.warp).__name__,
        fix="insert the asset without repeating it",
    )


def _unknown(warp: Warp) -> InputError:
    return InputError(
        "warp",
        expected="an identity, rigid, bones or residual warp",
        got=type(warp).__name__,
        fix="teach editors/shapes/placing.py this kind of warp",
    )
