"""Losses on image motion: optical flow and point tracks."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def flow_error(
    flow: Float[Tensor, "h w 2"],
    target: Float[Tensor, "h w 2"],
    weight: Float[Tensor, "h w 1"] | None = None,
    *,
    delta: float = 1.0,
) -> Float[Tensor, ""]:
    """Huber distance between two flow fields in pixels, mean over the pixels where the target is known.

    Args:
        flow: [H, W, 2] predicted displacements in pixels, x right, y down.
        target: [H, W, 2] measured ones, NaN where unknown.
        weight: [H, W, 1] >= 0, for example the rendered coverage or a confidence.
        delta: pixels up to which errors count quadratically (e^2 / 2), beyond linearly (delta (e - delta / 2)).
    """
    known = target.isfinite().all(-1)
    # Unknown values are replaced before the difference: a NaN times zero would be NaN, in the gradient too.
    distance = _huber(flow - torch.where(known[..., None], target, flow.detach()), delta)
    share = known.to(flow.dtype) if weight is None else weight[..., 0] * known
    return (share * distance).sum() / share.sum().clamp_min(torch.finfo(flow.dtype).tiny)


def track_error(
    points: Float[Tensor, "*batch p 2"],
    target: Float[Tensor, "*batch p 2"],
    visible: Bool[Tensor, "*batch p"],
    *,
    delta: float = 2.0,
) -> Float[Tensor, ""]:
    """Huber distance between projected points and their measured tracks in pixels, mean over the visible ones.

    Args:
        points: [..., P, 2] where points of the model are seen, pixels.
        target: [..., P, 2] where they were tracked to; anything, NaN too, where not visible.
        visible: [..., P] whether the track is known.
        delta: pixels up to which errors count quadratically (e^2 / 2), beyond linearly (delta (e - delta / 2)).
    """
    distance = _huber(points - torch.where(visible[..., None], target, points.detach()), delta)
    return (distance * visible).sum() / visible.sum().clamp_min(1)


def _huber(difference: Tensor, delta: float) -> Tensor:
    """Huber function of vector lengths, with finite gradients at zero."""
    square = difference.square().sum(-1)
    far = square > delta * delta
    length = torch.where(far, square, 1.0).sqrt()
    return torch.where(far, delta * (length - 0.5 * delta), 0.5 * square)
