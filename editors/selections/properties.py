"""Selections by what surfels are: value ranges of a histogram, and the bones that move them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from recon4d.core import InputError, quaternion
from recon4d.editors.colors import SH_CONSTANT
from recon4d.editors.keys import Vector, check_finite
from recon4d.editors.selections.base import Selection, centers_at, layers_of, shown_at
from recon4d.editors.selections.spatial import check_direction
from recon4d.editors.state import State
from recon4d.field import BonesWarp
from recon4d.field.rows import take
from recon4d.scene import Layer

Property = Literal["opacity", "size", "x", "y", "z", "normal", "speed", "red", "green", "blue"]

_SPEED_STEP = 1 / 120  # seconds between the two moments that a speed is taken from


@dataclass(frozen=True)
class ValueRange(Selection, kind="values"):
    """Surfels with a value in a range: a stretch of a histogram.

    Attributes:
        value: opacity; size (the larger standard deviation); x, y or z of the centre; normal (degrees between the
            surfel's normal and `direction`); speed (scene units per second); red, green or blue (0 to 1, without what
            depends on the view).
        low: least value, none when left out.
        high: greatest value, none when left out.
        time: seconds at which places, normals and speeds are taken; canonical places and normals where left out,
            the middle of the scene for speed.
        direction: for normals.
        layers: names of layers to stay within; all layers when empty.
    """

    value: Property
    low: float | None = None
    high: float | None = None
    time: float | None = None
    direction: Vector = (0.0, 0.0, 1.0)
    layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("low", "high", "time"):
            if getattr(self, name) is not None:
                check_finite(name, getattr(self, name))
        check_direction("direction", self.direction)
        if self.low is None and self.high is None:
            raise InputError("low", expected="low, high or both", got="neither", fix="give an end of the range")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise InputError("low", expected="low <= high", got=f"{self.low:g} > {self.high:g}", fix="swap them")

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        if self.time is not None:
            state.check_times("time", [self.time])
        found = {}
        for layer in layers_of(state, self.layers):
            values = values_of(layer, self.value, state, self.time, self.direction)
            mask = torch.ones(len(values), dtype=torch.bool)
            if self.low is not None:
                mask &= values >= self.low
            if self.high is not None:
                mask &= values <= self.high
            found[layer.name] = mask
        return found


@dataclass(frozen=True)
class ByBones(Selection, kind="bones"):
    """Surfels that follow some bones of a layer.

    Attributes:
        layer: name.
        bones: numbers of bones.
        least: share of a surfel's weight that these bones have together, at least.
    """

    layer: str
    bones: tuple[int, ...]
    least: float = 0.5

    def __post_init__(self) -> None:
        if not self.bones:
            raise InputError("bones", expected="at least one bone", got="none", fix="name a bone")
        if not 0 < self.least <= 1:
            raise InputError("least", expected="a share in (0, 1]", got=repr(self.least), fix="0.5 is a good choice")

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        layer = state.layer(self.layer)
        warp = bones_of(layer, "layer")
        count = len(warp.rest_translations)
        for i, bone in enumerate(self.bones):
            if not 0 <= bone < count:
                raise InputError(f"bones[{i}]", expected=f"0 to {count - 1}", got=str(bone), fix="see `--what bones`")
        if layer not in state.selectable:
            return {}
        chosen = torch.zeros(count, dtype=warp.weights.dtype)
        chosen[list(self.bones)] = 1
        return {layer.name: (warp.weights * chosen[warp.weight_indices]).sum(-1) >= self.least - 1e-6}


def bones_of(layer: Layer, what: str) -> BonesWarp:
    """The bones of a layer; InputError on `what` when it has none."""
    warp = layer.field.warp.underlying
    if not isinstance(warp, BonesWarp):
        raise InputError(
            what, expected="a layer with bones", got=f"{layer.name!r}, which has none", fix="another layer"
        )
    return warp


def values_of(layer: Layer, value: Property, state: State, time: float | None, direction: Vector) -> Tensor:
    """[N] the values of a histogram."""
    surfels = layer.field.canonical
    if value == "opacity":
        return surfels.opacities
    if value == "size":
        return surfels.scales.amax(-1)
    if value in ("x", "y", "z"):
        return centers_at(layer, time)[:, "xyz".index(value)]
    if value == "speed":
        middle = (state.first + state.last) / 2 if time is None else time
        before, after = (shown_at(layer, middle + half).centers for half in (-_SPEED_STEP / 2, _SPEED_STEP / 2))
        return (after - before).norm(dim=-1) / _SPEED_STEP
    if value == "normal":
        shown = surfels if time is None else shown_at(layer, time)
        axis = quaternion.to_matrix(shown.rotations_wxyz)[:, :, 2]
        wanted = torch.nn.functional.normalize(torch.tensor(direction).to(axis), dim=0)
        return torch.rad2deg(torch.acos((axis @ wanted).clamp(-1, 1)))
    return colors_of(layer)[:, ("red", "green", "blue").index(value)]


def colors_of(layer: Layer, mask: Tensor | None = None) -> Tensor:
    """[N, 3] display colours without what depends on the view, or those of a mask; grey for features that are none."""
    surfels = layer.field.canonical

    def chosen(colors: Tensor) -> Tensor:
        return colors if mask is None else take(colors, mask)

    if surfels.sh is not None:
        return (0.5 + chosen(surfels.sh)[:, 0] * SH_CONSTANT).clamp(0, 1)
    assert surfels.features is not None  # Surfels holds one of the two
    features = chosen(surfels.features)
    return features if features.shape[1] == 3 else features.mean(1, keepdim=True).expand(-1, 3)
