"""Losses on images: colours, structure, masks."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.losses._blur import blur

# The constants of Wang et al. 2004 for values in [0, 1].
_C1, _C2 = 0.01**2, 0.03**2


def color_error(
    image: Float[Tensor, "h w c"], target: Float[Tensor, "h w c"], weight: Float[Tensor, "h w 1"] | None = None
) -> Float[Tensor, ""]:
    """Mean absolute difference of colours, weighted by pixel where `weight` (>= 0) is given."""
    difference = (image - target).abs()
    if weight is None:
        return difference.mean()
    return (difference * weight).sum() / (weight.sum() * image.shape[-1]).clamp_min(torch.finfo(image.dtype).tiny)


def dssim(image: Float[Tensor, "h w c"], target: Float[Tensor, "h w c"]) -> Float[Tensor, ""]:
    """Structural dissimilarity, the mean of (1 - SSIM) / 2 over all pixels and channels, in [0, 1].

    SSIM of Wang et al. 2004 with an 11 x 11 Gaussian window of sigma 1.5 for values in [0, 1]; windows that reach over
    the border see black in both images (as 3D Gaussian Splatting does), so that border pixels count.  Differentiable in
    `image`; `target` is taken as a constant.
    """
    x = image.movedim(-1, 0).contiguous()
    y = target.detach().movedim(-1, 0).contiguous()
    mean_x, square_x, product = blur(torch.cat([x, x * x, x * y])).chunk(3)
    mean_y, square_y = blur(torch.cat([y, y * y])).chunk(2)
    mean_product = mean_x * mean_y
    squared_means = mean_x * mean_x + mean_y * mean_y
    luminance_above, luminance_below = 2 * mean_product + _C1, squared_means + _C1
    structure_above = 2 * (product - mean_product) + _C2
    structure_below = square_x + square_y - squared_means + _C2
    similarity = (luminance_above * structure_above) / (luminance_below * structure_below)
    return 0.5 - 0.5 * similarity.mean()


def mask_error(alpha: Float[Tensor, "h w 1"], mask: Float[Tensor, "h w 1"]) -> Float[Tensor, ""]:
    """Mean absolute difference of the rendered coverage and the subject's mask, both in [0, 1]."""
    return (alpha - mask).abs().mean()
