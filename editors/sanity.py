"""What an edit made must be a scene that can be drawn and saved: no number beyond what floats hold.

Edits check their own numbers; many that are sane one by one may not be together.
"""

from __future__ import annotations

from torch import Tensor

from recon4d.core import InputError
from recon4d.editors.edited_field import EditedField
from recon4d.editors.motions import factors_of
from recon4d.editors.state import State
from recon4d.editors.steps import MoveStep
from recon4d.field import Field

_LARGEST = 1e12  # the squares of larger ones are near the end of float32
_SMALLEST = 1e-18


def check_sane(before: State, after: State) -> None:
    """InputError where an edit made numbers that no scene can hold; looks only at what it has changed.

    Raises:
        InputError: naming the layer and what of it.
    """
    known = {id(layer.field): layer.field for layer in before.layers}
    tensors = {id(tensor) for field in known.values() for tensor in _tensors(field).values()}
    for layer in after.layers:
        if id(layer.field) in known:
            continue
        for name, tensor in _tensors(layer.field).items():
            if id(tensor) not in tensors:
                _check(layer.name, name, tensor)
        if isinstance(layer.field, EditedField):
            _check_steps(layer.name, layer.field)


def _tensors(field: Field) -> dict[str, Tensor]:
    return {**field.canonical.tensors(), **field.warp.tensors()}


def _check(layer: str, name: str, tensor: Tensor) -> None:
    if not tensor.is_floating_point() or not tensor.numel():
        return
    least, most = (float(x) for x in tensor.aminmax())
    if not (least >= -_LARGEST and most <= _LARGEST):  # not a number is neither
        worst = most if not most <= _LARGEST else least
        raise _too_large(layer, name, f"{worst:g}")
    if name == "scales" and least < _SMALLEST:
        expected, fix = f"sizes of at least {_SMALLEST:g}", "scale by factors nearer to 1"
        raise InputError(f"layer {layer!r}: {name}", expected=expected, got=f"{least:g}", fix=fix)


def _check_steps(layer: str, field: EditedField) -> None:
    """How far and how large moves over time may make things in the worst case, one on top of the other."""
    if not len(field):
        return
    reach = max(float(field.canonical.centers.abs().max()), float(field.canonical.scales.max()))
    for step in field.steps:
        if isinstance(step, MoveStep):
            poses = step.keys or (step.rest,)
            grown = max(max(1.0, *factors_of(pose.scale)) for pose in poses)
            reach = reach * grown + max(abs(x) for pose in poses for x in pose.translate)
    if reach > _LARGEST:
        raise _too_large(layer, "moves over time", f"up to {reach:g}")


def _too_large(layer: str, name: str, got: str) -> InputError:
    expected = f"numbers up to {_LARGEST:g}"
    return InputError(f"layer {layer!r}: {name}", expected=expected, got=got, fix="use smaller numbers")
