"""What the compiled backends share around their `torch.autograd.Function`s: argument order, passes, image layout.

Draws nothing itself and knows no device.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from recon4d.core import Surfels
from recon4d.render.arguments import channel_count
from recon4d.render.output import RasterOutput

ARRAYS = (
    "centers",
    "rotations_wxyz",
    "scales",
    "opacities",
    "sh",
    "features",
    "world_from_canonical_wxyz",
    "screen_offsets",
    "background",
)
"""The differentiable arrays of a batch in the order of the native functions; the cameras follow."""


def draw_in_passes(
    draw: Callable[[Surfels, list[Tensor | None]], tuple[Tensor, ...]],
    max_channels: int,
    surfels: Surfels,
    background: Tensor | None,
    screen_offsets: Tensor | None,
) -> RasterOutput:
    """Draw surfels with any number of channels by a function that blends at most `max_channels`.

    The first pass brings the geometry, further ones their colours only.

    Args:
        draw: from surfels and their arrays in the order of `ARRAYS` to the planes color [B, C, H, W], alpha, depth,
            depth_median [B, H, W], normal [B, 3, H, W], distortion [B, H, W], and radii [B, N].
        max_channels: most channels of one call, those of `sh` among them.
        surfels: any number of channels.
        background: [C] or None.
        screen_offsets: [N, 2], [B, N, 2] or None.
    """
    total, features = channel_count(surfels), surfels.features
    if features is None or total <= max_channels:
        arrays = {**surfels.tensors(), "screen_offsets": screen_offsets, "background": background}
        return _as_images(draw(surfels, [arrays.get(name) for name in ARRAYS]))
    outputs = []
    others = total - features.shape[-1]  # channels of sh, which the first pass brings
    for first in range(0, total, max_channels):
        last = first + max_channels
        some = surfels.replace(features=features[..., max(0, first - others) : last - others].contiguous())
        if first > 0:
            some = some.replace(sh=None)
        behind = None if background is None else background[first:last].contiguous()
        outputs.append(draw_in_passes(draw, max_channels, some, behind, screen_offsets))
    color = torch.cat([output.color for output in outputs], dim=-1)
    return RasterOutput(**{**outputs[0].tensors(), "color": color})


def _as_images(planes: tuple[Tensor, ...]) -> RasterOutput:
    color, alpha, depth, depth_median, normal, distortion, radii = planes
    return RasterOutput(
        color=color.permute(0, 2, 3, 1),
        alpha=alpha[..., None],
        depth=depth[..., None],
        depth_median=depth_median[..., None],
        normal=normal.permute(0, 2, 3, 1),
        distortion=distortion[..., None],
        radii=radii,
    )
