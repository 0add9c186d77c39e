"""Steps of training as single CUDA kernels: Adam for what was seen, and SSIM.

Plain functions of tensors on one CUDA device; on any other device use `torch.optim` and `recon4d.losses`, which mean
the same.  Knows no schedule, no loss weights and no parameter names.  Imports without the CUDA module, too.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int32
from torch import Tensor
from torch.autograd.function import once_differentiable

from recon4d.core import InputError
from recon4d.render.fused.native import cuda_function
from recon4d.render.streams import current_stream


def adam_step(
    parameters: Float[Tensor, "n *width"],
    gradients: Float[Tensor, "n *width"],
    first_moments: Float[Tensor, "n *width"],
    second_moments: Float[Tensor, "n *width"],
    steps: Int32[Tensor, " n"],
    seen: Float[Tensor, " n"],
    *,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-15,
) -> None:
    """One step of Adam (Kingma and Ba 2015), in place, for the rows that were seen.

    Rows with `seen` <= 0 keep their parameters and moments; each row counts its own steps for the bias correction.

    Args:
        parameters, gradients, first_moments, second_moments: N rows of numbers; moments start as zeros.
        steps: how often each row was seen before; advanced here.
        seen: `RasterOutput.radii` of the frame, or their largest over a batch.
        learning_rate, betas, epsilon: as `torch.optim.Adam`'s.

    Raises:
        InputError: when an array is not contiguous.
    """
    arrays = (parameters, gradients, first_moments, second_moments, steps, seen)
    if not all(array.is_contiguous() for array in arrays):
        raise InputError("adam_step", expected="contiguous arrays", got="a strided one", fix="call .contiguous()")
    rows = parameters.shape[0]
    flat = [array.detach().view(rows, -1) if rows else array.detach().view(0, 1) for array in arrays[:4]]
    step = cuda_function("adam_step", parameters.dtype)
    step(*flat, steps, seen.detach(), learning_rate, *betas, epsilon, current_stream(parameters))


def ssim(image: Float[Tensor, "h w c"], target: Float[Tensor, "h w c"]) -> Float[Tensor, "h w c"]:
    """Structural similarity (Wang et al. 2004) at every pixel of images with values in [0, 1], 1 where they are alike.

    11 x 11 Gaussian window of sigma 1.5, zeros outside, as `recon4d.losses.dssim`.  The gradient goes to `image` only.
    """
    planes = _Ssim.apply(image.permute(2, 0, 1).contiguous(), target.detach().permute(2, 0, 1).contiguous())
    return planes.permute(1, 2, 0)


class _Ssim(torch.autograd.Function):
    """Planes [C, H, W]."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, target: Tensor) -> Tensor:
        similarity = torch.empty_like(image)
        partials = image.new_empty(3, *image.shape) if ctx.needs_input_grad[0] else None
        forward = cuda_function("ssim_forward", image.dtype)
        forward(image.detach(), target, similarity, partials, current_stream(image))
        ctx.save_for_backward(image, target, partials)
        return similarity

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, None]:
        image, target, partials = ctx.saved_tensors
        gradient = torch.empty_like(image)
        backward = cuda_function("ssim_backward", image.dtype)
        backward(image.detach(), target, partials, upstream[0].contiguous(), gradient, current_stream(image))
        return gradient, None
