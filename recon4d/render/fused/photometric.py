"""The colour loss of an image and its gradient in one sweep: L1 and structural dissimilarity."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from recon4d.render.fused.cuda_steps import ssim
from recon4d.render.fused.native import function, kernels_for


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
    if image.device.type == "cuda":
        absolute = (image - target).abs().mean()
        return (1 - dssim) * absolute + dssim * (0.5 - 0.5 * ssim(image, target).mean()) if dssim else absolute
    return _Photometric.apply(image.movedim(-1, 0).contiguous(), target.movedim(-1, 0).contiguous(), float(dssim))


class _Photometric(torch.autograd.Function):
    """Planes [C, H, W]."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, target: Tensor, share: float) -> Tensor:
        gradient = torch.empty_like(image) if ctx.needs_input_grad[0] else None
        threads, kernels = torch.get_num_threads(), kernels_for(image.dtype)
        loss, _ = function("photometric", image.dtype)(
            image.detach(), target.detach(), share, gradient, threads, kernels
        )
        ctx.save_for_backward(gradient)
        return torch.tensor(loss, dtype=image.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        # A pass over the image that the usual case, a plain summand of the loss, does not need.
        scaled = gradient if float(upstream[0]) == 1 else gradient * upstream[0]
        return scaled, None, None
