"""Moves that hold at all times, put into the canonical surfels and the bones, so that no step is needed for them.

A part that is moved in the frame C(t) of a bone goes to C S C^-1 p(t).  With p(t) a blend of T_b(t) p over bones b,
that is the blend of C S C^-1 T_b S^-1 over S p.  So the canonical part is moved by S and follows copies of its bones
with these motions, which are rigid as long as S scales all axes alike.  The copy of the bone that carries the frame is
the bone itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recon4d.core import SE3Spline, Surfels, quaternion
from recon4d.editors.motions import Motion, moved
from recon4d.editors.shapes import turn_colors
from recon4d.editors.splines import moments_of, refit
from recon4d.field import BonesWarp, Field, IdentityWarp, Refined, RigidWarp
from recon4d.field.rows import rows_of, take


@dataclass(frozen=True, eq=False)
class Folded:
    """A field with a move put into it.

    Attributes:
        field: the field.
        copy_of: [B] for each bone that there was, the one that the moved surfels follow now; None where they keep them.
    """

    field: Field
    copy_of: Tensor | None = None


def fold(
    field: Field, mask: Tensor, motion: Motion, pivot: Tensor, bone: int | None, shares: Tensor | None
) -> Folded | None:
    """The field with some surfels moved in the layer's frame at all times; None where that takes a step.

    Args:
        field: a plain field.
        mask: [N] which surfels.
        motion: one moment, T = 1, in canonical space.
        pivot: [3] its fixed point there.
        bone: carries the frame; None for the root, the path, or the world.
        shares: [M] how far each of them goes; None is all the way.
    """
    warp, copy_of = field.warp, None
    if isinstance(warp, BonesWarp) and motion.uniform:
        warp, copy_of = _with_copies(warp, mask, motion, pivot, bone, shares)
    elif not isinstance(warp, IdentityWarp | RigidWarp | BonesWarp):
        return None
    return Folded(replace(moved_canonical(field, mask, motion, pivot, shares), warp=warp), copy_of)


def moved_canonical(field: Field, mask: Tensor, motion: Motion, pivot: Tensor, shares: Tensor | None) -> Field:
    """The field with some canonical surfels moved, however they are drawn; the warp stays as it is."""
    rows = rows_of(mask)
    plain = _moved_once(field, rows, motion, pivot, shares)
    refined = field.refined
    if refined is not None:
        shown = replace(field, canonical=refined.appearance_of(field.canonical), refined=None)
        drawn = _moved_once(shown, rows, motion, pivot, shares)
        back = quaternion.conjugate(quaternion.normalize(plain.rotations_wxyz))
        own = refined.rotations_wxyz.clone()
        own[rows] = quaternion.multiply(back, drawn.rotations_wxyz)[rows]
        refined = Refined(own, drawn.scales)
    if plain.sh is not None and plain.sh.shape[1] > 1:
        sh = plain.sh.clone()
        sh[rows] = turn_colors(sh[rows], motion.turn_wxyz[0].to(sh))
        plain = plain.replace(sh=sh)
    return replace(field, canonical=plain, refined=refined)


def _moved_once(field: Field, rows: Tensor, motion: Motion, pivot: Tensor, shares: Tensor | None) -> Surfels:
    surfels = field.canonical
    batched = surfels.replace(centers=surfels.centers[None], rotations_wxyz=surfels.rotations_wxyz[None])
    state = moved(batched, rows, motion, pivot, None, shares)
    return state.replace(centers=state.centers[0], rotations_wxyz=state.rotations_wxyz[0], scales=state.scales[0])


def _with_copies(
    warp: BonesWarp, mask: Tensor, motion: Motion, pivot: Tensor, bone: int | None, shares: Tensor | None
) -> tuple[BonesWarp, Tensor | None]:
    """The warp with copies of the bones that the moved surfels follow, the surfels bound to them, and `copy_of`."""
    rows = rows_of(mask)
    indices, weights = take(warp.weight_indices, rows), take(warp.weights, rows)
    together = torch.zeros(len(warp.rest_translations), dtype=weights.dtype)
    used = rows_of(together.index_add(0, indices.flatten(), weights.flatten()) > 0)
    copied = used[used != bone] if bone is not None else used
    if not len(copied):
        return warp, None
    whole = bool(mask.all()) and shares is None
    rotations, translations, rest_rotations, rest_translations = _moved_bones(warp, copied, motion, pivot, bone)
    if whole:
        # Nothing follows the old ones any more.
        old = warp.path
        path = replace(
            old,
            rotations_wxyz=old.rotations_wxyz.index_copy(0, copied, rotations),
            translations=old.translations.index_copy(0, copied, translations),
        )
        moved = replace(
            warp,
            path=path,
            rest_rotations_wxyz=warp.rest_rotations_wxyz.index_copy(0, copied, rest_rotations),
            rest_translations=warp.rest_translations.index_copy(0, copied, rest_translations),
        )
        return moved, None
    count = len(warp.rest_translations)
    copy_of = torch.arange(count)
    copy_of[copied] = count + torch.arange(len(copied))
    bound, shared = _mixed(indices, weights, copy_of, shares)
    all_indices = warp.weight_indices.index_copy(0, rows, bound)
    all_weights = warp.weights.index_copy(0, rows, shared)
    path = replace(
        warp.path,
        rotations_wxyz=torch.cat([warp.path.rotations_wxyz, rotations]),
        translations=torch.cat([warp.path.translations, translations]),
    )
    extended = replace(
        warp,
        path=path,
        rest_rotations_wxyz=torch.cat([warp.rest_rotations_wxyz, rest_rotations]),
        rest_translations=torch.cat([warp.rest_translations, rest_translations]),
        weight_indices=all_indices,
        weights=all_weights,
    )
    return extended, copy_of


def _mixed(indices: Tensor, weights: Tensor, copy_of: Tensor, shares: Tensor | None) -> tuple[Tensor, Tensor]:
    """Bindings to the copies; surfels that go part of the way follow both, by their four strongest."""
    if shares is None:
        return copy_of[indices], weights
    part = shares.to(weights)[:, None]
    apart = copy_of[indices] != indices
    both = torch.cat([indices, copy_of[indices]], 1)
    strength = torch.cat(
        [torch.where(apart, (1 - part) * weights, weights), torch.where(apart, part * weights, 0.0)], 1
    )
    best, slots = strength.topk(4, dim=1)
    return both.gather(1, slots), best / best.sum(1, keepdim=True)


def _moved_bones(
    warp: BonesWarp, bones: Tensor, motion: Motion, pivot: Tensor, bone: int | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Control poses [B, K, ...] and rest poses [B, ...] of the copies of some bones."""
    dtype = warp.rest_translations.dtype
    turn, factor = motion.turn_wxyz[0].double(), motion.factors[0, 0].double()
    middle, shift = pivot.double(), motion.shift[0].double()

    def similar(points: Tensor) -> Tensor:
        return middle + shift + factor * quaternion.rotate(turn, points - middle)

    rest_rotations = quaternion.multiply(turn, quaternion.normalize(warp.rest_rotations_wxyz[bones].double()))
    rest_translations = similar(warp.rest_translations[bones].double())
    path = warp.path
    chosen = SE3Spline(path.rotations_wxyz[bones].double(), path.translations[bones].double(), path.start, path.step)
    if bone is None:
        # A motion that stays the same takes the controls along: exact.
        rotations = quaternion.multiply(turn, chosen.rotations_wxyz)
        translations = similar(chosen.translations)
    else:
        rest = quaternion.conjugate(quaternion.normalize(warp.rest_rotations_wxyz[bone].double()))
        place_at_rest = warp.rest_translations[bone].double()

        def carried(turns: Tensor, places: Tensor, frame_turn: Tensor, frame_place: Tensor) -> tuple[Tensor, Tensor]:
            """Poses of the copies, where the carrying bone has the pose that is given."""
            frame_turn = quaternion.multiply(frame_turn, rest)
            frame_place = frame_place - quaternion.rotate(frame_turn, place_at_rest)
            local = quaternion.rotate(quaternion.conjugate(frame_turn), places - frame_place)
            turned = quaternion.multiply(quaternion.multiply(frame_turn, turn), quaternion.conjugate(frame_turn))
            return quaternion.multiply(turned, turns), quaternion.rotate(frame_turn, similar(local)) + frame_place

        carrier = SE3Spline(path.rotations_wxyz[bone].double(), path.translations[bone].double(), path.start, path.step)
        near = carried(
            chosen.rotations_wxyz,
            chosen.translations,
            quaternion.normalize(carrier.rotations_wxyz),
            carrier.translations,
        )
        times = moments_of(path)
        fitted = refit(replace(chosen, rotations_wxyz=near[0]), *carried(*chosen.at(times), *carrier.at(times)))
        rotations, translations = fitted.rotations_wxyz, fitted.translations
    return tuple(x.to(dtype) for x in (rotations, translations, rest_rotations, rest_translations))  # type: ignore[return-value]
