"""Checks of the numbers inside arrays: finite, and in the range that they mean something in.

Those of surfels read every array, so `rasterize` does not run them up front: each backend does, at the moment that
costs it least.  Shapes and types are the business of `arguments`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recon4d.core import InputError, Surfels
from recon4d.render.constants import MIN_QUATERNION_NORM


def raise_bad_values(surfels: Surfels) -> None:
    """Raise if any surfel holds a value that has no image.

    Args:
        surfels: N surfels, or B states of them.

    Raises:
        InputError: names the array, how many entries are bad and the first of them.  Bad are NaN and infinity anywhere,
            quaternions of norm <= 1e-12 or too long to be normalised, scales < 0 and opacities outside [0, 1].
    """
    arrays = {name: tensor.detach() for name, tensor in surfels.tensors().items()}
    raise_not_finite(**{f"surfels.{name}": array for name, array in arrays.items()})
    for name in ("rotations_wxyz", "world_from_canonical_wxyz"):
        if name in arrays:
            norm = torch.linalg.vector_norm(arrays[name], dim=-1)
            usable = (norm > MIN_QUATERNION_NORM) & torch.isfinite(norm)
            _raise_where(~usable, f"surfels.{name}", "quaternions that can be normalised", "use (1, 0, 0, 0) for none")
    _raise_where(arrays["scales"] < 0, "surfels.scales", "standard deviations >= 0", "take exp() of a free parameter")
    opacities = arrays["opacities"]
    outside = (opacities < 0) | (opacities > 1)
    _raise_where(outside, "surfels.opacities", "numbers in [0, 1]", "take sigmoid() of a free parameter")


def raise_not_finite(**arrays: Tensor | None) -> None:
    """Raise if any array (by the name the caller knows it under; None is skipped) holds NaN or infinity.

    Raises:
        InputError: names the array, how many entries are bad and the first of them.
    """
    for name, array in arrays.items():
        if array is not None:
            _raise_where(~torch.isfinite(array), name, "finite numbers", "find where it became NaN or infinite")


def _raise_where(bad: Tensor, what: str, expected: str, fix: str) -> None:
    if bool(bad.any()):
        first = [int(i) for i in bad.nonzero()[0]]
        raise InputError(
            what,
            expected=expected,
            got=f"{int(bad.sum())} bad of {bad.numel()}, the first at index {first}",
            fix=fix,
        )
