"""Makes a part of a subject larger or smaller, at all times, without tearing it from the rest.

The part is a set of surfels; the others do not move.  The part grows about a pivot, by default the middle of where it
joins the rest, and the growth fades in over a band inside its border.  Skinning weights stay, so the part grows alike
at every time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon4d.core import InputError
from recon4d.editors.shapes.carrying import carry
from recon4d.field import Field

LARGEST_FACTOR = 100.0


def scale_region(
    field: Field,
    selected: Bool[Tensor, " n"],
    factor: float | int | Sequence[float | int],
    *,
    pivot: Sequence[float | int] | None = None,
    falloff: float | int | None = None,
) -> Field:
    """The field with a part scaled about a pivot in its canonical state.

    Args:
        field: N surfels.
        selected: [N] the part.
        factor: of its size, or three factors along the canonical axes; each in (0, 100].
        pivot: [3] the canonical place that stays; None takes `joint_of`.
        falloff: width in scene units of the band inside the part's border over which the factor fades in from 1; 0
            makes a hard edge.  None takes 30 % of the part's greatest depth.

    Raises:
        InputError: an empty part, or a number out of range.
    """
    count = int(selected.sum())
    if selected.shape != (len(field),) or count == 0:
        raise InputError("selected", expected=f"some of {len(field)} surfels", got="none", fix="select the part")
    factors = np.broadcast_to(np.asarray(factor, np.float64), 3) if np.size(factor) in (1, 3) else np.zeros(3)
    if not (np.isfinite(factors).all() and (factors > 0).all() and (factors <= LARGEST_FACTOR).all()):
        raise InputError(
            "factor", expected=f"one or three numbers in (0, {LARGEST_FACTOR:g}]", got=repr(factor), fix="use 1.5, say"
        )
    if falloff is not None and not (np.isfinite(falloff) and falloff >= 0):
        raise InputError("falloff", expected="a length >= 0", got=repr(falloff), fix="leave it out")
    centers = field.canonical.centers.detach().double().cpu()
    middle = np.asarray(joint_of(field, selected) if pivot is None else pivot, np.float64)
    if middle.shape != (3,) or not np.isfinite(middle).all():
        raise InputError("pivot", expected="three finite numbers", got=repr(pivot), fix="leave it out")
    rows = selected.cpu().nonzero()[:, 0]
    away = centers[rows].numpy() - middle
    share, slope = _fading(centers, selected.cpu(), falloff)
    growth = factors - 1
    moved = centers[rows].numpy() + share[:, None] * growth * away
    jacobians = np.eye(3) + share[:, None, None] * np.diag(growth) + (growth * away)[:, :, None] * slope[:, None, :]
    return carry(
        field,
        selected.to(field.canonical.centers.device),
        torch.from_numpy(moved).to(field.canonical.centers),
        torch.from_numpy(jacobians).to(field.canonical.centers),
    )


def joint_of(field: Field, selected: Bool[Tensor, " n"]) -> Float[np.ndarray, "3"]:
    """[3] the middle of where a part joins the rest in the canonical state; its own middle where it touches nothing.

    The part's surfels next to the rest are those that are nearer to it than three times the usual gap between surfels.
    """
    from scipy.spatial import cKDTree

    centers = field.canonical.centers.detach().double().cpu().numpy()
    part, rest = centers[selected.cpu().numpy()], centers[~selected.cpu().numpy()]
    if len(rest) and len(part) > 1:
        gap = float(np.median(cKDTree(part).query(part, k=2)[0][:, 1]))
        border = part[cKDTree(rest).query(part)[0] <= 3 * gap]
        if len(border):
            return border.mean(0)
    return part.mean(0)


def _fading(
    centers: Tensor, selected: Tensor, falloff: float | int | None
) -> tuple[Float[np.ndarray, "m"], Float[np.ndarray, "m 3"]]:
    """How much of the growth each selected surfel takes part in, 0 to 1, and the gradient of that in space."""
    from scipy.spatial import cKDTree

    part, rest = centers[selected].numpy(), centers[~selected].numpy()
    full, flat = np.ones(len(part)), np.zeros((len(part), 3))
    if not len(rest):
        return full, flat
    depth, nearest = cKDTree(rest).query(part)
    # The 95th percentile, because a stray surfel of the part may be far from everything.
    width = 0.3 * float(np.quantile(depth, 0.95)) if falloff is None else float(falloff)
    if width <= 0:
        return full, flat
    along = np.clip(depth / width, 0, 1)
    share = along * along * (3 - 2 * along)
    away = (part - rest[nearest]) / np.maximum(depth, 1e-12)[:, None]
    return share, (6 * along * (1 - along) / width)[:, None] * away
