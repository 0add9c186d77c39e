"""Surfels that follow bones, as one kernel: weights by distance, blending of transforms, turning of surfels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from recon4d.core import InputError
from recon4d.render.fused.native import function, kernels_for

_IS_DUAL = {"linear": False, "dual_quaternion": True}


def skin(
    centers: Float[Tensor, "n 3"],
    rotations_wxyz: Float[Tensor, "n 4"],
    slots: Int64[Tensor, "n 4"],
    correction: Float[Tensor, "n 4"],
    rest: Float[Tensor, "b 3"],
    log_radii: Float[Tensor, "b 3"],
    bone_rotations: Float[Tensor, "t b 4"],
    bone_translations: Float[Tensor, "t b 3"],
    *,
    blend: Literal["linear", "dual_quaternion"] = "linear",
) -> tuple[Float[Tensor, "t n 3"], Float[Tensor, "t n 4"], Float[Tensor, "t n 4"]]:
    """Surfels at every time, from the transforms of the bones.

    A surfel's weights are the softmax over its slots of correction - sum over axes of ((center - rest) / radius)^2.
    Centres count as constants there; with B < 4 bones, slots from B on weigh nothing.  The rest equals
    `field.blending.blend_linear` or `blend_dual_quaternion`.  Gradients reach every array but `slots` and `rest`.

    Args:
        centers, rotations_wxyz: [N, 3] and [N, 4] surfels in the canonical state; rotations of any length.
        slots: [N, 4] bones of each surfel, in [0, B).
        correction: [N, 4] added to the logits of the weights.
        rest: [B, 3] places of the bones at rest, scene units.
        log_radii: [B, 3] logarithms of the bones' radii along each axis.
        bone_rotations, bone_translations: [T, B, 4] unit quaternions and [T, B, 3] of world_from_canonical.
        blend: "linear" or "dual_quaternion".

    Returns:
        centers [T, N, 3]; rotations [T, N, 4], which are turns times `rotations_wxyz`; and turns [T, N, 4], unit
        quaternions of world_from_canonical.

    Raises:
        InputError: when a slot names no bone.
    """
    arrays = (centers, rotations_wxyz, correction, log_radii, bone_rotations, bone_translations)
    moved, rotations, turns = _Skin.apply(_IS_DUAL[blend], slots, rest, *arrays)
    return moved, rotations, turns


class _Skin(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dual: bool, slots: Tensor, rest: Tensor, *arrays: Tensor) -> tuple[Tensor, ...]:
        count, times, dtype = len(arrays[0]), len(arrays[4]), rest.dtype
        inputs = [array.detach().contiguous() for array in (*arrays, slots, rest)]
        outputs = tuple(torch.empty(times, count, width, dtype=dtype) for width in (3, 4, 4))
        weights = torch.empty(count, 4, dtype=dtype)
        known = function("skin", dtype)(
            *_arguments(inputs), dual, *outputs, weights, torch.get_num_threads(), kernels_for(dtype)
        )
        if not known:
            raise InputError(
                "skin: slots",
                expected=f"bones from 0 to {len(rest) - 1}",
                got=f"numbers from {int(slots.min())} to {int(slots.max())}",
                fix="let every slot name a bone",
            )
        ctx.dual = dual
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(weights, *inputs)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        weights, *inputs = ctx.saved_tensors
        dtype = weights.dtype
        gradients = [
            torch.empty_like(array) if wanted else None
            for array, wanted in zip(inputs[:6], ctx.needs_input_grad[3:], strict=True)
        ]
        function("skin_backward", dtype)(
            *_arguments(inputs),
            ctx.dual,
            weights,
            *(None if v is None else v.contiguous() for v in upstream),
            *gradients,
            torch.get_num_threads(),
            kernels_for(dtype),
        )
        return None, None, None, *gradients


def _arguments(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """In the order of the native functions."""
    centers, rotations, correction, log_radii, bone_rotations, bone_translations, slots, rest = inputs
    return centers, rotations, slots, correction, log_radii, rest, bone_rotations, bone_translations
