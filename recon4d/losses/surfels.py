"""Losses on the surfels themselves: opacities that decide, sizes that stay small."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def opacity_entropy(opacities: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Mean binary entropy in bits, in [0, 1]: 0 where every surfel is fully there or not at all.

    Gradients are finite at 0 and 1 too.
    """
    if not opacities.numel():
        return opacities.sum()
    tiny = torch.finfo(opacities.dtype).eps
    p = opacities.clamp(tiny, 1 - tiny)
    bits = -(p * p.log2() + (1 - p) * (1 - p).log2())
    # Clamping leaves a few millionths of a bit at both ends.
    return torch.where((opacities <= tiny) | (opacities >= 1 - tiny), 0.0, bits).mean()


def scale_excess(scales: Float[Tensor, "n 2"], longest: float) -> Float[Tensor, ""]:
    """Mean over surfels of how far the larger standard deviation is above `longest`, in units of `longest`."""
    return (scales.amax(-1) / longest - 1).clamp_min(0).sum() / max(scales.shape[0], 1)


def anisotropy_excess(scales: Float[Tensor, "n 2"], ratio: float) -> Float[Tensor, ""]:
    """Mean over surfels of log(larger / (ratio * smaller)) where it is positive: no needles beyond `ratio` to 1.

    Scales must be > 0.
    """
    logs = scales.log()
    return (logs.amax(-1) - logs.amin(-1) - math.log(ratio)).clamp_min(0).sum() / max(scales.shape[0], 1)
