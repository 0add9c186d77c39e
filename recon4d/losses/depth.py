"""Losses on depth: against maps in the scene's units, in units of their own, or of what is nearer alone.

For the last, scale and shift are open, as networks leave them.  Inverse depths are aligned in closed form, as by
Ranftl et al. (TPAMI 2022), but through mean and standard deviation, whose gradients are smooth.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_FEWEST = 16  # Pixels that make a comparison worth having.
_LEAST_RELIEF = 1e-3  # Of the mean: below it, rendered depth counts as flat and is not blown up to relief.
_FLAT = 1e-6  # Deviation over the largest value that is rounding, not relief.
_LEAST_DEVIATION = 1e-2  # Of the mean: what a deviation counts for at least, where units are known.
_SAMPLE = 20_000  # Pixels that quantiles are taken over.
_FENCE = 3.0  # Times the range from the 10th to the 90th percentile.


def relative_depth_error(
    depth: Float[Tensor, "h w 1"],
    inverse: Float[Tensor, "h w 1"],
    weight: Float[Tensor, "h w 1"] | None = None,
    *,
    delta: float = 0.2,
) -> Float[Tensor, ""]:
    """Huber distance of standardised inverse depths, mean over the pixels where both are known.

    Both are brought to mean 0 and standard deviation 1 over the same pixels, so any positive scale and any shift of
    `inverse`, and any scale of the scene, change nothing; relief that is turned inside out costs more than none.  Wild
    values of the target, far outside the range of most, are left out.  0 where fewer than 16 pixels are known, or the
    target is flat.

    Args:
        depth: [H, W, 1] rendered camera z, scene units, 0 where nothing is.
        inverse: [H, W, 1] target, scale * (1 / z) + shift with unknown scale > 0 and shift; NaN where unknown.
        weight: [H, W, 1] >= 0, for example the rendered coverage within a mask; taken as a constant.
        delta: standard deviations up to which errors count quadratically (e^2 / 2), beyond linearly.
    """
    compared = _compared(depth, inverse, weight)
    if compared is None:
        return (depth * 0).sum()
    rendered, target, share = compared
    if bool(_variance(target, share).sqrt() <= _FLAT * (target.abs() * (share > 0)).max()):
        return (depth * 0).sum()
    return _huber(_standardised(rendered, share, _LEAST_RELIEF) - _standardised(target, share, 0.0), share, delta)


def inverse_depth_error(
    depth: Float[Tensor, "h w 1"],
    inverse: Float[Tensor, "h w 1"],
    weight: Float[Tensor, "h w 1"] | None = None,
    *,
    units_known: bool,
    delta: float = 0.2,
) -> Float[Tensor, ""]:
    """Huber distance of inverse depths, mean over the pixels where both are known.

    In standard deviations of the target, but those of a flat one count as a hundredth of its mean.  Wild values of the
    target are left out.  0 where fewer than 16 pixels are known.

    Args:
        depth: [H, W, 1] rendered camera z, scene units, 0 where nothing is.
        inverse: [H, W, 1] target, 1 / z; NaN where unknown.
        weight: [H, W, 1] >= 0, taken as a constant.
        units_known: the target is in 1 / scene units; else its scale is the one that fits best, by least squares.
        delta: standard deviations up to which errors count quadratically (e^2 / 2), beyond linearly.
    """
    compared = _compared(depth, inverse, weight)
    if compared is None:
        return (depth * 0).sum()
    rendered, target, share = compared
    if not units_known:
        square = (share * target.square()).sum().clamp_min(torch.finfo(target.dtype).tiny)
        target = target * ((share * rendered * target).sum() / square)
    constant = target.detach()
    least = (_LEAST_DEVIATION * (share * constant).sum()).square() + torch.finfo(target.dtype).tiny
    return _huber((rendered - target) * _variance(constant, share).clamp_min(least).rsqrt(), share, delta)


def _compared(
    depth: Float[Tensor, "h w 1"], inverse: Float[Tensor, "h w 1"], weight: Float[Tensor, "h w 1"] | None
) -> tuple[Float[Tensor, "h w 1"], Float[Tensor, "h w 1"], Float[Tensor, "h w 1"]] | None:
    """Rendered and wanted inverse depth and the share of every pixel; None where there is too little to compare."""
    known = inverse.isfinite() & (depth > 0)
    if weight is not None:
        known &= weight > 0
    if int(known.sum()) < _FEWEST:
        return None
    # Unknown values are replaced, not left out: gathering the known ones takes longer than all the rest.
    target = torch.where(known, inverse, 0)
    share = known.to(target.dtype) if weight is None else weight.detach() * known
    share = share * _within_fence(target, known)
    share = share / share.sum()
    return 1 / torch.where(known, depth, 1), target, share


def _huber(error: Float[Tensor, "h w 1"], share: Float[Tensor, "h w 1"], delta: float) -> Float[Tensor, ""]:
    size = error.abs()
    return (share * torch.where(size > delta, delta * (size - 0.5 * delta), 0.5 * error.square())).sum()


def _within_fence(values: Float[Tensor, "h w 1"], known: Bool[Tensor, "h w 1"]) -> Bool[Tensor, "h w 1"]:
    """Values that do not lie far outside the range of most of the known ones; all where most are equal."""
    step = -(-known.numel() // _SAMPLE)
    some = values.flatten()[::step][known.flatten()[::step]]
    if len(some) == 0:
        return known
    low, high = (torch.kthvalue(some, 1 + round(share * (len(some) - 1))).values for share in (0.1, 0.9))
    reach = _FENCE * (high - low)
    return ((values >= low - reach) & (values <= high + reach)) | (reach <= 0)


def _standardised(
    values: Float[Tensor, "h w 1"], share: Float[Tensor, "h w 1"], least_relief: float
) -> Float[Tensor, "h w 1"]:
    """Values with mean 0 and standard deviation 1, or less where their deviation is below a share of their mean."""
    mean = (share * values).sum()
    least = (least_relief * mean.detach()).square() + torch.finfo(values.dtype).tiny
    return (values - mean) * _variance(values, share).clamp_min(least).rsqrt()


def _variance(values: Float[Tensor, "h w 1"], share: Float[Tensor, "h w 1"]) -> Float[Tensor, ""]:
    return (share * (values - (share * values).sum()).square()).sum()
