"""Puts one thing in another's place, or one's motion on another: same bones, other surfels.

The new surfels are laid over the old ones by `align_shapes` and follow the bones that the nearest old ones follow.
Displacements on top of bones were fitted to the old shape and are left behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import InputError, SE3Spline, Similarity, quaternion
from recon4d.core.rigid import align_similarity
from recon4d.editors.shapes.aligning import align_shapes
from recon4d.editors.shapes.attaching import one_bone
from recon4d.editors.shapes.carrying import carry
from recon4d.editors.shapes.placing import moved_spline, place
from recon4d.editors.shapes.skinning import strongest, transfer_weights
from recon4d.editors.shapes.surface import normals_of
from recon4d.field import BonesWarp, Field, IdentityWarp, RigidWarp, Warp

SMOOTHING = 0.03
"""Usual smoothing of weights along the new surface, as a share of the subject's size."""

_OPAQUE = 0.1


def replace_subject(
    subject: Field,
    asset: Field,
    *,
    subject_from_asset: Similarity | None = None,
    yaw_degrees: float | int | None = None,
    up: Sequence[float | int] = (0.0, 0.0, 1.0),
    stretch: bool = False,
    smoothing: float | int = SMOOTHING,
) -> Field:
    """The asset in the subject's place, moved by the subject's bones.

    Args:
        subject: the field whose bones and motion are kept; its surfels only say where the bones' flesh is.
        asset: the field whose surfels are taken, in their canonical state, z up; its own motion is left out.
        subject_from_asset: where the asset goes in the subject's canonical space; found automatically when None.
        yaw_degrees: turn of the asset about up; found automatically when None.
        up: which way is up in the subject's canonical space.
        stretch: make the asset as long, wide and high as the subject, instead of one scale for all.
        smoothing: of the weights along the asset's surface, as a share of the subject's size.

    Returns:
        a field with the asset's surfels and ids, in the subject's dtype.

    Raises:
        InputError: too few surfels to lay over each other, or an option out of range.
    """
    if not 0 <= smoothing <= 1:
        raise InputError("smoothing", expected="0 to 1", got=repr(smoothing), fix=f"{SMOOTHING} is usual")
    old, new = _opaque(subject), _opaque(asset)
    pose = subject_from_asset
    if pose is None:
        pose = align_shapes(new, old, target_up=up, yaw_degrees=yaw_degrees)
    laid = place(replace(asset, warp=IdentityWarp()).to(subject.canonical.centers), pose)
    if stretch:
        laid = _stretched(laid, old, pose)
    return replace(laid, warp=_bound(laid, subject, float(smoothing)))


def retarget(
    source: Field,
    target: Field,
    *,
    mapping: Mapping[int, int] | None = None,
    source_from_target: Similarity | None = None,
    yaw_degrees: float | int | None = None,
    up: Sequence[float | int] = (0.0, 0.0, 1.0),
    anchor: float | int | None = None,
    smoothing: float | int = SMOOTHING,
) -> Field:
    """The target moved like the source: its own surfels, the source's bones in the target's size and place.

    Bones of the target are matched with those of the source that are nearest at rest once the shapes lie over each
    other.  A target without bones takes the weights of the nearest surface, as `replace_subject` does.

    Args:
        source: the field with the motion, moved by bones or rigidly.
        target: the field that is to move so; its own motion is replaced.
        mapping: for bones of the target, the source's bones; the others are matched automatically.
        source_from_target: how the target's canonical shape lies over the source's; found automatically when None.
        yaw_degrees, up: for finding it; see `replace_subject`.
        anchor: a time in seconds at which the target shall be where its own motion had it, as near as a rigid motion
            can bring it; None leaves it where its canonical state is.
        smoothing: of weights that are looked up, as a share of the source's size.

    Returns:
        the target with another warp.

    Raises:
        InputError: a source that stands still, or a mapping of bones that are not there.
    """
    warp = source.warp.underlying
    if not isinstance(warp, BonesWarp | RigidWarp):
        raise InputError(
            "source", expected="a field moved by bones or rigidly", got=type(warp).__name__, fix="choose another"
        )
    pose = source_from_target
    if pose is None:
        pose = align_shapes(_opaque(target), _opaque(source), target_up=up, yaw_degrees=yaw_degrees)
    own = target.warp.underlying
    if isinstance(warp, BonesWarp) and isinstance(own, BonesWarp):
        bound = _rebound(warp, own, pose, mapping or {})
    elif mapping:
        raise InputError(
            "mapping", expected="none for things without bones", got=repr(dict(mapping)), fix="leave it out"
        )
    else:
        laid = place(replace(target, warp=IdentityWarp()).to(source.canonical.centers), pose)
        followed = _bound(laid, source, float(smoothing))
        # A rigid motion becomes one bone, whose rest pose takes up what comes before the motion.
        bound = followed if isinstance(followed, BonesWarp) else one_bone(None, warp.path, laid.canonical.centers)
    moved = replace(target, warp=_seen_from(bound, pose).to(target.canonical.centers))
    if anchor is None:
        return moved
    back = align_similarity(moved.at(anchor).centers.double(), target.at(anchor).centers.double(), with_scale=False)
    return place(moved, back)


def _opaque(field: Field) -> Float[np.ndarray, "n 3"]:
    shown = field.canonical.opacities >= _OPAQUE
    return field.canonical.centers[shown].detach().double().cpu().numpy()


def _stretched(laid: Field, old: Float[np.ndarray, "m 3"], pose: Similarity) -> Field:
    """The field as large as the old points along each of the asset's own axes, about its middle."""
    axes = quaternion.to_matrix(pose.rotation_wxyz).double()
    centers = laid.canonical.centers
    own = centers.double() @ axes
    there = torch.from_numpy(old) @ axes

    def ends(points: Tensor) -> tuple[Tensor, Tensor]:
        some = points[:: max(1, len(points) // 100_000)]
        return some.quantile(0.005, 0), some.quantile(0.995, 0)

    (low, high), (old_low, old_high) = ends(own), ends(there)
    factors = ((old_high - old_low) / (high - low).clamp_min(1e-12)).clamp(0.2, 5.0)
    moved = ((own - (low + high) / 2) * factors + (old_low + old_high) / 2) @ axes.mT
    jacobian = (axes * factors) @ axes.mT
    everything = torch.ones(len(laid), dtype=torch.bool, device=centers.device)
    return carry(laid, everything, moved.to(centers), jacobian.to(centers).expand(len(laid), 3, 3))


def _bound(laid: Field, subject: Field, smoothing: float) -> Warp:
    """The subject's warp, bound to other surfels that lie over its own."""
    warp = subject.warp.underlying
    if not isinstance(warp, BonesWarp):
        return warp
    old = subject.canonical.opacities >= _OPAQUE
    kept = subject.select(old) if bool(old.any()) else subject
    flesh = kept.warp.underlying
    assert isinstance(flesh, BonesWarp)
    centers = kept.canonical.centers.detach().double().cpu().numpy()
    indices, weights = transfer_weights(
        centers,
        normals_of(kept.canonical),
        (flesh.weight_indices, flesh.weights),
        laid.canonical.centers.detach().double().cpu().numpy(),
        normals_of(laid.canonical),
        bones=len(warp.rest_translations),
        smoothing=smoothing * float(np.linalg.norm(np.ptp(centers, axis=0))),
    )
    device = warp.weights.device
    return replace(warp, weight_indices=indices.to(device), weights=weights.to(warp.weights))


def _rebound(warp: BonesWarp, own: BonesWarp, source_from_target: Similarity, mapping: Mapping[int, int]) -> BonesWarp:
    """The source's bones, bound to the target's surfels by the bones that these follow now."""
    count, own_count = len(warp.rest_translations), len(own.rest_translations)
    for mine, theirs in mapping.items():
        if not 0 <= mine < own_count or not 0 <= theirs < count:
            raise InputError(
                "mapping",
                expected=f"bones 0 to {own_count - 1} of the target to 0 to {count - 1} of the source",
                got=f"{mine} to {theirs}",
                fix="use numbers of bones that are there",
            )
    there = source_from_target.transform_points(own.rest_translations.double().cpu())
    match = torch.cdist(there, warp.rest_translations.double().cpu()).argmin(1)
    for mine, theirs in mapping.items():
        match[mine] = theirs
    dense = torch.zeros(len(own.weights), count, dtype=torch.float64)
    dense.scatter_add_(1, match[own.weight_indices.cpu()], own.weights.double().cpu())
    indices, weights = strongest(dense.numpy())
    device = warp.weights.device
    return replace(warp, weight_indices=indices.to(device), weights=weights.to(warp.weights))


def _seen_from(warp: BonesWarp, source_from_target: Similarity) -> Warp:
    """target_from_source o warp o source_from_target.

    With x_source = s A x + g: bones at rest and their paths only shrink by s, A and g go into the root in front and
    the rest poses behind.  Both are exact, because splines move with their controls.
    """
    back = source_from_target.inverse()
    like = warp.rest_translations
    scale, rotation = back.scale.to(like), quaternion.normalize(back.rotation_wxyz.to(like))
    shift = back.translation.to(like)
    root = warp.root
    if root is None:
        one = like.new_tensor([1.0, 0, 0, 0])
        root = SE3Spline.constant(one, torch.zeros_like(shift), start=warp.path.start, step=warp.path.step)
    smaller = replace(root, translations=root.translations * scale)
    return replace(
        warp,
        root=moved_spline(smaller, rotation, shift),
        path=replace(warp.path, translations=warp.path.translations * scale),
        rest_rotations_wxyz=quaternion.multiply(rotation, quaternion.normalize(warp.rest_rotations_wxyz)),
        rest_translations=quaternion.rotate(rotation, like * scale) + shift,
    )
