"""What an edit stack makes of a scene: a scene like any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Int64
from torch import Tensor

from recon4d.core import Surfels
from recon4d.editors.edited_field import EditedField, first_moment
from recon4d.editors.posing import pose
from recon4d.scene import Layer, Scene, merge_surfels

Part = Mapping[str, Int64[Tensor, " m"]]


@dataclass(frozen=True, eq=False)
class SceneView(Scene):
    """A scene with edits applied, to be used wherever a `Scene` is.

    What is deleted or hidden is not in it.  Layers whose edits are all timeless have a plain `Field`; others have an
    `EditedField`.

    Attributes:
        hidden: layers that are there but not shown.
        locked: names of layers that selections leave alone.
        parts: named parts: ids [M] of their surfels by layer.
    """

    hidden: tuple[Layer, ...] = ()
    locked: frozenset[str] = frozenset()
    parts: Mapping[str, Part] = field(default_factory=dict)

    def at(self, time: float | int) -> Surfels:
        """The surfaces of all layers at one moment (seconds) as one set of surfels, in the order of the layers."""
        return merge_surfels([_posed(layer, time, appearance=False) for layer in self.layers])

    def appearance_at(self, time: float | int) -> Surfels:
        """The surfels to draw in colour, as `at`."""
        return merge_surfels([_posed(layer, time, appearance=True) for layer in self.layers])


def _posed(layer: Layer, time: float | int, *, appearance: bool) -> Surfels:
    field = layer.field
    moment = torch.tensor([time], dtype=torch.float64, device=field.canonical.centers.device)
    if isinstance(field, EditedField):
        return first_moment(field.stepped(moment, appearance=appearance, fused=True))
    return first_moment(pose(field, moment, appearance=appearance))
