"""The loss between blended normals and the normals of the rendered depth, and its gradient in one sweep."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from recon4d.render.fused.native import function, kernels_for


def normal_consistency(
    normal: Float[Tensor, "h w 3"],
    alpha: Float[Tensor, "h w 1"],
    depth: Float[Tensor, "h w 1"],
    K: Float[Tensor, "3 3"],
) -> Float[Tensor, ""]:
    """1 - cosine between the blended normal and that of the rendered depth: equals `losses.normal_consistency`.

    Gradients reach `normal` and `depth` and are computed together with the value; `alpha` and `K` are constants (the
    definition differentiates with respect to `K`, this does not).

    Args:
        normal: [H, W, 3] blended normals in the camera frame, of any length; fastest as a view of planes [3, H, W].
        alpha: [H, W, 1] coverage in [0, 1].
        depth: [H, W, 1] camera-frame z.
        K: intrinsics of the image in pixels.  H and W are at least 3.
    """
    return _NormalConsistency.apply(normal.movedim(-1, 0).contiguous(), depth[..., 0].contiguous(), alpha, K)


class _NormalConsistency(torch.autograd.Function):
    """Planes."""

    @staticmethod
    def forward(ctx: Any, normal: Tensor, depth: Tensor, alpha: Tensor, K: Tensor) -> Tensor:
        wanted = ctx.needs_input_grad[:2]
        gradients = [torch.empty_like(a) if want else None for a, want in zip((normal, depth), wanted, strict=True)]
        value = function("normal_consistency", depth.dtype)(
            normal.detach(),
            alpha.detach()[..., 0].contiguous(),
            depth.detach(),
            K.detach().contiguous(),
            *gradients,
            torch.get_num_threads(),
            kernels_for(depth.dtype),
        )
        ctx.save_for_backward(*gradients)
        return torch.tensor(value, dtype=depth.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        normal, depth = (None if g is None else g * upstream[0] for g in ctx.saved_tensors)
        return normal, depth, None, None
