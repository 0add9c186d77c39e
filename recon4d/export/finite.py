"""Whether a scene's numbers can be written: finite, and not so large that sums of them are not.  Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recon4d.core import InputError
from recon4d.field import Field
from recon4d.scene import Layer

_LARGEST = 1e15  # squares and sums of such numbers still are numbers in float32
_AT_ONCE = 1 << 20  # surfels that are posed at once


def check_finite(layer: Layer, times: Sequence[float]) -> None:
    """Refuse a layer that cannot be written at some moments.

    A plain field is a bounded mean of the numbers that it is made of, so that these say it all, and its ends are posed
    to be sure.  Edits over time can do anything at any moment: what they make is posed at every one.

    Raises:
        InputError: naming the layer, the moment and what is wrong.
    """
    field = layer.field
    refined = {} if field.refined is None else {f"refined {k}": t for k, t in field.refined.tensors().items()}
    _check(layer, "", {**field.canonical.tensors(), **field.warp.tensors(), **refined})
    moments = [times[0], times[-1]] if type(field) is Field else list(times)
    step = max(1, _AT_ONCE // max(1, len(field)))
    for begin in range(0, len(moments), step):
        some = moments[begin : begin + step]
        with torch.no_grad():
            posed = field.appearance_at_times(some).tensors()
        told = f"{some[0]:g} s" if len(some) == 1 else f"{some[0]:g} to {some[-1]:g} s"
        _check(layer, f" at {told}", posed)


def _check(layer: Layer, when: str, tensors: dict[str, Tensor]) -> None:
    # Comparing with NaN is false, and the greatest of numbers among which is NaN is NaN.
    wrong = [
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and tensor.numel() and not bool(tensor.detach().abs().amax() <= _LARGEST)
    ]
    if wrong:
        raise InputError(
            f"layer {layer.name!r}{when}",
            expected="finite numbers",
            got=f"NaN, infinity, or numbers beyond {_LARGEST:g} in {', '.join(wrong)}",
            fix="export a scene that recon4d can load, or undo the edit that made them",
        )
