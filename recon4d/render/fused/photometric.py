"""The colour loss of an image and its gradient in one sweep: L1 and structural dissimilarity."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from recon4d.render.fused import native
from recon4d.render.fused.cuda_steps import ssim


def photometric_error(
    image: Float[Tensor, "h w c"], target: Float[Tensor, "h w c"], dssim: float = 0.2
) -> Float[Tensor, ""]:
    """(1 - dssim) times the mean absolute difference plus dssim times the structural dissimilarity.

    Equals (1 - dssim) * `losses.color_error(image, target)` + dssim * `losses.dssim(image, target)`, so with dssim = 1
    the latter alone.  The gradient goes to `image` only and is computed together with the value, so it is wasted where
    nobody asks for it although the image requires one.

    Args:
        image, target: values in [0, 1]; fastest where they are views of planes [C, H, W].
        dssim: share of the structural dissimilarity, in [0, 1].
    """
    return photometric_errors(image, target, dssim)[0]


def photometric_errors(
    image: Float[Tensor, "h w c"], target: Float[Tensor, "h w c"], dssim: float = 0.2
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """`photometric_error`, and the mean squared difference, of which PSNR is made, as a constant."""
    if native.kind(image.device) == "cuda":
        difference = image - target
        loss = (1 - dssim) * difference.abs().mean()
        if dssim:
            loss = loss + dssim * (0.5 - 0.5 * ssim(image, target).mean())
        return loss, difference.detach().square().mean()
    planes = (images.movedim(-1, 0).contiguous() for images in (image, target))
    loss, mean_square = _Photometric.apply(*planes, float(dssim))
    return loss, mean_square


class _Photometric(torch.autograd.Function):
    """Planes [C, H, W]."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, target: Tensor, share: float) -> tuple[Tensor, Tensor]:
        gradient = torch.empty_like(image) if ctx.needs_input_grad[0] else None
        threads, kernels = torch.get_num_threads(), native.kernels_for(image.dtype)
        values = native.function("photometric", image.dtype)(
            image.detach(), target.detach(), share, gradient, threads, kernels
        )
        ctx.save_for_backward(gradient)
        loss, mean_square = (torch.tensor(value, dtype=image.dtype) for value in values)
        ctx.mark_non_differentiable(mean_square)
        return loss, mean_square

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        # A pass over the image that the usual case, a plain summand of the loss, does not need.
        scaled = gradient if float(upstream[0]) == 1 else gradient * upstream[0]
        return scaled, None, None
