"""Where bones take points at given times, as one kernel: `BonesWarp.transforms_at` for bones that rest unturned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.autograd.function import once_differentiable

from recon4d.core import InputError
from recon4d.render.fused.native import function


def bone_transforms(
    bone_rotations: Float[Tensor, "b k 4"],
    bone_translations: Float[Tensor, "b k 3"],
    bone_start: float,
    bone_step: float,
    root_rotations: Float[Tensor, "r 4"],
    root_translations: Float[Tensor, "r 3"],
    root_start: float,
    root_step: float,
    rest: Float[Tensor, "b 3"],
    times: Float64[Tensor, " t"],
) -> tuple[Float[Tensor, "t b 4"], Float[Tensor, "t b 3"]]:
    """World_from_canonical of every bone at every time: root(t) o path(t) o inverse(rest).

    Equals `BonesWarp.transforms_at` with rest rotations of identity and the paths `SE3Spline(rotations, translations,
    start, step)`.  Gradients reach the four arrays of control poses; `rest` and `times` are constants.

    Args:
        bone_rotations, bone_translations: K >= 4 control poses of root_from_bone for each of B bones.
        bone_start, bone_step: their times in seconds.
        root_rotations, root_translations, root_start, root_step: the same of world_from_root.
        rest: [B, 3] places of the bones at rest.
        times: [T] seconds, float64 whatever the type of the others.

    Returns:
        [T, B, 4] unit quaternions and [T, B, 3] translations.

    Raises:
        InputError: when a time is not finite.
    """
    spans = (bone_start, bone_step, root_start, root_step)
    controls = (bone_rotations, bone_translations, root_rotations, root_translations)
    rotations, translations = _BoneTransforms.apply(spans, times, rest, *controls)
    return rotations, translations


class _BoneTransforms(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, spans: tuple[float, float, float, float], times: Tensor, rest: Tensor, *controls: Tensor
    ) -> tuple[Tensor, Tensor]:
        arrays = [array.detach().contiguous() for array in (*controls, rest, times)]
        bones = rest.shape[0]
        rotations, translations = rest.new_empty(len(times), bones, 4), rest.new_empty(len(times), bones, 3)
        if not function("bone_transforms", rest.dtype)(*_arguments(spans, arrays), rotations, translations):
            raise InputError(
                "bone_transforms: times",
                expected="finite numbers",
                got="one that is not",
                fix="leave out the times without a known pose",
            )
        ctx.spans = spans
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*arrays)
        return rotations, translations

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        arrays = ctx.saved_tensors
        gradients = [
            torch.zeros_like(array) if wanted else None
            for array, wanted in zip(arrays[:4], ctx.needs_input_grad[3:], strict=True)
        ]
        function("bone_transforms_backward", arrays[0].dtype)(
            *_arguments(ctx.spans, arrays),
            *(None if v is None else v.contiguous() for v in upstream),
            *gradients[:2],
            *(None if g is None else g[None] for g in gradients[2:]),
        )
        return None, None, None, *gradients


def _arguments(spans: tuple[float, ...], arrays: Sequence[Tensor]) -> tuple[Any, ...]:
    """In the order of the native functions; the root is one path like the bones'."""
    bone_rotations, bone_translations, root_rotations, root_translations, rest, times = arrays
    root = (root_rotations[None], root_translations[None])
    return bone_rotations, bone_translations, *spans[:2], *root, *spans[2:], rest, times
