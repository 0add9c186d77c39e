"""Fixes one field to a bone of another, so that it rides along: a hat on a head.

Where on the bone it belongs is decided by the caller; `bone_near` and `pose_on_bone` help.  Nothing of the carrier
changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from recon4d.core import InputError, SE3Spline, Similarity, quaternion
from recon4d.core.rigid import from_rotation_translation, to_rotation_translation
from recon4d.editors.shapes.placing import moved_spline, place
from recon4d.field import BonesWarp, Field, IdentityWarp, ResidualWarp, RigidWarp, Warp

ROOT = "root"
"""Names the frame that the bones move in, or the whole of a thing that moves rigidly."""

_FIT_ERROR = 2e-5  # how far a product of motions may be from its fit, in radians and in shares of the carrier's size


def bone_frames(
    carrier: Field, bone: int | str, times: Float[Tensor, " t"]
) -> tuple[Float[Tensor, "t 4"], Float[Tensor, "t 3"]]:
    """world_from_bone at times: unit quaternions [T, 4] and translations [T, 3].

    Args:
        carrier: a field moved by bones or rigidly (displacements on top of that are left out).
        bone: number of a bone, or "root".
        times: [T] seconds.

    Raises:
        InputError: no such bone, or a carrier that stands still.
    """
    rotations, translations = zip(*(spline.at(times) for spline in _splines(carrier, bone)), strict=True)
    rotation, translation = rotations[-1], translations[-1]
    for outer_rotation, outer_translation in zip(rotations[-2::-1], translations[-2::-1], strict=True):
        translation = quaternion.rotate(outer_rotation, translation) + outer_translation
        rotation = quaternion.multiply(outer_rotation, rotation)
    return rotation, translation


def pose_on_bone(carrier: Field, bone: int | str, time: float | int, world_from_asset: Similarity) -> Similarity:
    """bone_from_asset of an asset that stands at `world_from_asset` at a time: what `attach_to_bone` asks for.

    Raises:
        InputError: as `bone_frames`.
    """
    moment = torch.tensor([float(time)], dtype=torch.float64)
    rotation, translation = (x[0].to(world_from_asset.translation) for x in bone_frames(carrier, bone, moment))
    back = quaternion.conjugate(quaternion.normalize(rotation))
    return Similarity(
        world_from_asset.scale,
        quaternion.multiply(back, quaternion.normalize(world_from_asset.rotation_wxyz)),
        quaternion.rotate(back, world_from_asset.translation - translation),
    )


def bone_near(
    carrier: Field,
    point_in_world: Float[Tensor, "3"],
    time: float | int,
    *,
    nearest: int = 32,
    among: Int64[Tensor, " b"] | None = None,
) -> int | str:
    """The bone that the surfels next to a point follow most, at a time: the one to fix a thing to that is put there.

    Args:
        carrier: a field moved by bones or rigidly.
        point_in_world: [3] scene units.
        time: seconds.
        nearest: how many surfels are asked.
        among: bones to choose from, by those surfels that follow one of them; all when left out.

    Returns:
        a bone's number; "root" for a carrier that moves rigidly.

    Raises:
        InputError: a carrier that stands still.
    """
    warp = _moving_warp(carrier)
    if isinstance(warp, RigidWarp):
        return ROOT
    away = (carrier.at(time).centers - point_in_world.to(carrier.canonical.centers)).square().sum(-1)
    if among is not None:
        follows = (torch.isin(warp.weight_indices, among) & (warp.weights > 0)).any(1)
        away = torch.where(follows, away, torch.inf)
    rows = away.topk(min(nearest, len(away)), largest=False).indices
    share = torch.zeros(len(warp.rest_translations), dtype=warp.weights.dtype, device=warp.weights.device)
    share.index_add_(0, warp.weight_indices[rows].flatten(), warp.weights[rows].flatten())
    if among is not None:
        return int(among[share[among].argmax()])
    return int(share.argmax())


def attach_to_bone(
    asset: Field, carrier: Field, bone: int | str, bone_from_asset: Similarity, *, size: float | None = None
) -> Field:
    """The asset fixed to a bone of the carrier, at all times.

    An asset that stands still gets the very splines of the bone, so that its pose in the bone's frame is constant but
    for rounding.  One that moves keeps its own motion on top; a product of motions that no single spline can be is
    fitted, to 2e-5 radians and 2e-5 of the carrier's size.

    Args:
        asset: the field to attach, with its own motion.
        carrier: the field with the bone.
        bone: number of the bone, or "root".
        bone_from_asset: where the asset's world sits in the bone's frame, and how large.
        size: of the carrier, scene units; that of its surfels when left out.

    Returns:
        the attached asset alone, in the dtype of the asset.

    Raises:
        InputError: no such bone, a carrier without motion, or a motion too fast to fit.
    """
    carried = _splines(carrier, bone)
    if size is None:
        centers = carrier.canonical.centers
        size = float((centers.amax(0) - centers.amin(0)).norm()) if len(centers) else 1.0
    held = place(asset, bone_from_asset)
    return replace(held, warp=_carried(held.warp, carried, max(size, 1e-9), held))


def _moving_warp(carrier: Field) -> RigidWarp | BonesWarp:
    warp = carrier.warp.underlying
    if isinstance(warp, RigidWarp | BonesWarp):
        return warp
    raise InputError(
        "bone", expected="a carrier moved by bones or rigidly", got=type(warp).__name__, fix="insert the asset instead"
    )


def _splines(carrier: Field, bone: int | str) -> list[SE3Spline]:
    """The motions whose product, first to last, is world_from_bone; one or two."""
    warp = _moving_warp(carrier)
    if isinstance(warp, RigidWarp):
        if bone == ROOT:
            return [warp.path]
        choices = '"root"'
    else:
        roots = [] if warp.root is None else [warp.root]
        count = len(warp.rest_translations)
        if bone == ROOT and roots:
            return roots
        if isinstance(bone, int) and not isinstance(bone, bool) and 0 <= bone < count:
            path = warp.path
            row = replace(path, rotations_wxyz=path.rotations_wxyz[bone], translations=path.translations[bone])
            return [*roots, row]
        choices = f"0 to {count - 1}" + (' or "root"' if roots else "")
    raise InputError("bone", expected=choices, got=repr(bone), fix="choose a bone that the carrier has")


def _carried(warp: Warp, carried: Sequence[SE3Spline], size: float, held: Field) -> Warp:
    """`warp`, which moves in the bone's frame, as seen from the world."""
    centers = held.canonical.centers
    alike = [spline.to(centers.dtype).to(centers.device) for spline in carried]
    match warp:
        case IdentityWarp():
            return one_bone(alike[0] if len(alike) > 1 else None, alike[-1], centers)
        case RigidWarp():
            return one_bone(_product(carried, size).to(centers.dtype), warp.path, centers)
        case BonesWarp():
            warp, root = _without_still_root(warp)
            return replace(warp, root=_product([*carried, *root], size).to(centers.dtype))
        case ResidualWarp():
            return replace(warp, base=_carried(warp.base, carried, size, held))
    raise InputError(
        "attach_to_bone",
        expected="an asset with an identity, rigid, bones or residual warp",
        got=type(warp).__name__,
        fix="attach it while it stands still",
    )


def one_bone(root: SE3Spline | None, path: SE3Spline, centers: Tensor) -> BonesWarp:
    """All points on one bone whose rest pose is the identity."""
    count = len(centers)
    first = centers.new_zeros(count, 4)
    first[:, 0] = 1
    return BonesWarp(
        root=root,
        rest_rotations_wxyz=centers.new_tensor([[1.0, 0, 0, 0]]),
        rest_translations=centers.new_zeros(1, 3),
        path=replace(path, rotations_wxyz=path.rotations_wxyz[None], translations=path.translations[None]),
        weight_indices=torch.zeros(count, 4, dtype=torch.int64, device=centers.device),
        weights=first,
    )


def _without_still_root(warp: BonesWarp) -> tuple[BonesWarp, list[SE3Spline]]:
    """The warp with a root that stands still moved into the bones' paths; and the root, unless it was that."""
    root = warp.root
    if root is None:
        return warp, []
    rotation, translation = root.rotations_wxyz[:1], root.translations[:1]
    if bool((root.rotations_wxyz == rotation).all()) and bool((root.translations == translation).all()):
        return replace(warp, root=None, path=moved_spline(warp.path, rotation[0], translation[0])), []
    return warp, [root]


def _product(splines: Sequence[SE3Spline], size: float) -> SE3Spline:
    """The motions one after the other, the last applied first, as one spline: itself where there is only one."""
    if len(splines) == 1:
        return splines[0]
    start, end = min(s.start for s in splines), max(s.end for s in splines)
    step = min(s.step for s in splines)
    while True:
        per_step = max(1, math.ceil((end - start) / step))
        times, checks = (torch.linspace(start, end, n * per_step + 1, dtype=torch.float64) for n in (4, 7))
        fitted = SE3Spline.fit(times, *to_rotation_translation(_matrices(splines, times)), step=step)
        apart = (from_rotation_translation(*fitted.at(checks)) - _matrices(splines, checks)).abs()
        if float(apart[:, :3, :3].max()) <= _FIT_ERROR and float(apart[:, :3, 3].max()) <= _FIT_ERROR * size:
            return fitted
        step = step / 2  # a motion too fast for this ends with the fit's own error about too many controls


def _matrices(splines: Sequence[SE3Spline], times: Tensor) -> Tensor:
    """[T, 4, 4] products of the motions."""
    product = torch.eye(4, dtype=torch.float64)
    for spline in splines:
        product = product @ from_rotation_translation(*spline.to(torch.float64).to("cpu").at(times))
    return product
