"""Surfels as the page's splats: 32 bytes each, ready to be sent.

The page draws three-dimensional Gaussians from covariances in half precision.  A surfel becomes one that is nearly
flat; everything is packed in units `GRAIN` times smaller than the page's, because half floats would lose the
covariances of fine surfels.  The picture is close to that of our rasterizer, which the page shows when its camera
rests.

Does NOT know time, layers or viser.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt32
from torch import Tensor

from recon4d.core import Surfels, quaternion
from recon4d.core.spherical_harmonics import coefficients_from_color
from recon4d.viewer.space import Space

GRAIN = 64.0  # packed units in a page unit; the node's scale is 1 / GRAIN
THICKNESS = 0.02  # of the third axis, as a share of the smaller of the other two
_MOST = 65_000.0  # what a half float can hold
_DC = float(1.0 / coefficients_from_color(torch.tensor([[1.5, 1.5, 1.5]]))[0, 0, 0])  # colour of a coefficient of 1

Buffer = UInt32[np.ndarray, "n 8"]


def base_colors(surfels: Surfels) -> Float[Tensor, "n 3"]:
    """Display sRGB of surfels without the part that depends on the view."""
    if surfels.sh is not None:
        return 0.5 + _DC * surfels.sh[..., 0, :]
    assert surfels.features is not None  # Surfels holds one of the two
    return surfels.features[..., :3]


def pack(surfels: Surfels, space: Space, colors: Float[Tensor, "n 3"] | None = None) -> Buffer:
    """The page's buffer of N surfels at one moment, without batch axes.

    Layout of a row: x, y, z as float32; 4 bytes for the page; the upper triangle of the covariance as 6 half floats;
    red, green, blue and opacity as bytes.

    Args:
        surfels: in the world.
        space: of the page.
        colors: display sRGB in place of their own.
    """
    with torch.no_grad():
        unit = space.factor * GRAIN
        centers = (surfels.centers - surfels.centers.new_tensor(space.middle)) * unit
        turn = quaternion.normalize(surfels.rotations_wxyz)
        u, v = surfels.scales.unbind(-1)
        covariance = _covariances(turn, torch.stack([u, v, THICKNESS * torch.minimum(u, v)], -1) * unit)
        color = base_colors(surfels) if colors is None else colors
        rgba = torch.cat([color, surfels.opacities[:, None]], 1).clamp(0, 1).mul(255).round().to(torch.uint8)
    buffer = np.zeros((len(surfels), 8), dtype=np.uint32)
    buffer[:, 0:3] = centers.float().cpu().numpy().view(np.uint32)
    buffer[:, 4:7] = covariance.clamp(-_MOST, _MOST).half().cpu().numpy().view(np.uint32)
    buffer[:, 7] = rgba.cpu().numpy().view(np.uint32)[:, 0]
    return buffer


def _covariances(turn_wxyz: Float[Tensor, "n 4"], sizes: Float[Tensor, "n 3"]) -> Float[Tensor, "n 6"]:
    """Upper triangles of R diag(sizes^2) R^T, row by row; written out, which is several times quicker than matrices."""
    axes = quaternion.to_matrix(turn_wxyz) * sizes[:, None, :]
    x, y, z = axes.unbind(1)
    pairs = ((x, x), (x, y), (x, z), (y, y), (y, z), (z, z))
    return torch.stack([(a * b).sum(-1) for a, b in pairs], -1)
