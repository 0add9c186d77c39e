"""The target of a training step in one sweep: bytes of an image over a background."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from recon4d.render.fused.native import function, kernels_for


def compose(
    pixels: UInt8[Tensor, "h w 4"], background: Float[Tensor, " 3"]
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w 1"]]:
    """Premultiplied bytes over a colour: red, green and blue / 255 + (1 - coverage / 255) * background.

    Not differentiable.

    Args:
        pixels: [H, W, 4] colour times coverage, and coverage; may be a box of a larger image.
        background: colour in [0, 1]; its type is that of the results.

    Returns:
        The image [H, W, 3] and its coverage [H, W, 1], both views of planes, as `rasterize` returns its images.
    """
    height, width = pixels.shape[:2]
    if pixels.stride()[1:] != (4, 1):
        pixels = pixels.contiguous()
    planes = torch.empty(4, height, width, dtype=background.dtype)
    color, mask = planes[:3], planes[3:]
    function("compose", background.dtype)(
        pixels,
        background.detach().contiguous(),
        color,
        mask,
        torch.get_num_threads(),
        kernels_for(background.dtype),
    )
    return color.permute(1, 2, 0), mask.permute(1, 2, 0)
