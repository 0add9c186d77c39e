"""Losses that make surfels lie on one surface and face along its normal.

Both work on what was rendered in the warped state: normals are compared where and when they are seen, not in the
canonical state (Vidu4D's warped-state normal regularisation).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_HALF_COVERED = 0.5


def normals_from_depth(depth: Float[Tensor, "h w 1"], K: Float[Tensor, "3 3"]) -> Float[Tensor, "rows columns 3"]:
    """Unit normals of a depth map in the camera frame, facing the camera, by central differences.

    Args:
        depth: [H, W, 1] camera-frame z at the pixel centres, scene units, H and W >= 3.
        K: intrinsics of the image in pixels.

    Returns:
        [H - 2, W - 2, 3] normals of the inner pixels; zero where the depth map has no slope to speak of (all zeros).
    """
    height, width = depth.shape[:2]
    x = (torch.arange(width, dtype=depth.dtype, device=depth.device) + 0.5 - K[0, 2]) / K[0, 0]
    y = (torch.arange(height, dtype=depth.dtype, device=depth.device) + 0.5 - K[1, 2]) / K[1, 1]
    # Channels first: planes are contiguous, which is twice as fast as interleaved triples.
    z = depth[..., 0]
    points = torch.stack([z * x, z * y[:, None], z])
    du = points[:, 1:-1, 2:] - points[:, 1:-1, :-2]
    dv = points[:, 2:, 1:-1] - points[:, :-2, 1:-1]
    # In OpenCV axes the cross product of right and down points along +z, away from the camera; hence dv x du.
    normal = torch.stack(
        [
            dv[1] * du[2] - dv[2] * du[1],
            dv[2] * du[0] - dv[0] * du[2],
            dv[0] * du[1] - dv[1] * du[0],
        ]
    )
    return _unit(normal, 0).movedim(0, -1)


def normal_consistency(
    normal: Float[Tensor, "h w 3"],
    alpha: Float[Tensor, "h w 1"],
    depth: Float[Tensor, "h w 1"],
    K: Float[Tensor, "3 3"],
) -> Float[Tensor, ""]:
    """1 - cosine between the blended normal and the normal of the rendered depth, in [0, 2].

    A true cosine: both are of unit length, so that a wrong direction cannot be made cheap by a short normal.  Mean over
    the inner pixels weighted by coverage, which is taken as a constant (or the loss could be lowered by fading); pixels
    whose depth normal would reach over a pixel less than half covered do not count.  0 where none counts.

    Args:
        normal: [H, W, 3] blended normals in the camera frame, facing the camera, of any length.
        alpha: [H, W, 1] coverage in [0, 1].
        depth: [H, W, 1] camera-frame z, 0 where nothing is.
        K: intrinsics of the image in pixels.
    """
    from_depth = normals_from_depth(depth, K)
    covered = alpha.detach()[..., 0]
    solid = covered >= _HALF_COVERED
    known = solid[1:-1, 2:] & solid[1:-1, :-2] & solid[2:, 1:-1] & solid[:-2, 1:-1]
    weight = covered[1:-1, 1:-1] * known
    cosine = (_unit(normal[1:-1, 1:-1], -1) * from_depth).sum(-1)
    return (weight * (1 - cosine)).sum() / weight.sum().clamp_min(1)


def distortion_error(distortion: Float[Tensor, "h w 1"], depth_scale: float) -> Float[Tensor, ""]:
    """Mean spread of the surfels along each ray, without a unit (2DGS's depth distortion, on inverse depths).

    Args:
        distortion: [H, W, 1] half the double sum of w_i w_j (1/z_i - 1/z_j)^2, in 1 / scene units^2.
        depth_scale: z^2 / size, where z is the subject's distance from the camera and size its extent; then a spread
            over a distance d counts about (d / size)^2, however far the camera is.
    """
    return distortion.mean() * depth_scale**2


def _unit(vectors: Tensor, dim: int) -> Tensor:
    """Vectors of unit length along an axis; zero, with a zero gradient, where the length is."""
    square = vectors.square().sum(dim, keepdim=True)
    nothing = square <= torch.finfo(vectors.dtype).tiny
    return torch.where(nothing, 0.0, vectors * torch.where(nothing, 1.0, square).rsqrt())
