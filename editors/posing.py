"""Moving surfels by their warp: `Field.at_times`, by the fused kernel where the machine and the warp allow it.

The kernel computes its weights from distances to bones; here they are given, so radii are made so large that distances
vanish and the logarithms of the weights go in as corrections.  Both ways agree to rounding.
"""

from __future__ import annotations

from collections.abc import MutableMapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from recon4d.core import Surfels
from recon4d.editors.bone_frames import can_be_quick, transforms_at
from recon4d.field import BonesWarp, Field
from recon4d.render import fused

_MIN_BONES = 4  # with fewer the kernel ignores slots
# Logarithm of a radius beside which every distance vanishes; not so large that squares over it become denormal numbers,
# with which processors calculate a hundred times more slowly.
_FAR = 25.0
_LEAST = 1e-30  # weights below count for nothing, for the same reason
_NOTHING = -1000.0  # logarithm of a weight that is exactly 0 then


def pose(field: Field, times: Float[Tensor, " t"], *, appearance: bool = False) -> Surfels:
    """The surfels of a plain field at T moments (seconds), as its `at_times` or `appearance_at_times`.

    Where a gradient is wanted it is those: the kernel is for looking, not for learning.
    """
    canonical = field.canonical
    moved = None
    if isinstance(field.warp, BonesWarp) and can_be_quick(*_floats(field, field.warp)):
        moved = _skinned(canonical, field.warp, times)
    if moved is None:
        return field.appearance_at_times(times) if appearance else field.at_times(times)
    return field.refined.appearance_of(moved) if appearance and field.refined is not None else moved


_logs: MutableMapping[Tensor, tuple[int, Tensor]] = WeakTensorKeyDictionary()


def _logarithms(weights: Tensor) -> Tensor:
    """Logarithms of weights, kept as long as the tensor is and is not written to: they take longer than the kernel."""
    known = _logs.get(weights)
    if known is None or known[0] != weights._version:
        given = weights.detach()
        known = _logs[weights] = (weights._version, given.log().masked_fill_(given < _LEAST, _NOTHING))
    return known[1]


def _floats(field: Field, warp: BonesWarp) -> list[Tensor]:
    tensors = (*field.canonical.tensors().values(), *warp.tensors().values())
    return [tensor for tensor in tensors if tensor.is_floating_point()]


def _skinned(canonical: Surfels, warp: BonesWarp, times: Tensor) -> Surfels:
    rotations, translations = transforms_at(warp, times)
    rest = warp.rest_translations
    missing = _MIN_BONES - len(rest)
    if missing > 0:
        pad = torch.nn.functional.pad
        rest = pad(rest, (0, 0, 0, missing))
        translations = pad(translations, (0, 0, 0, missing))
        identity = rotations.new_tensor([1.0, 0.0, 0.0, 0.0]).expand(len(times), missing, 4)
        rotations = torch.cat([rotations, identity], 1)
    centers, turned, turns = fused.skin(
        canonical.centers.detach(),
        canonical.rotations_wxyz.detach(),
        warp.weight_indices,
        _logarithms(warp.weights),
        rest.detach(),
        torch.full_like(rest, _FAR),
        rotations,
        translations,
        blend=warp.blend,
    )
    return canonical.replace(centers=centers, rotations_wxyz=turned, world_from_canonical_wxyz=turns)
