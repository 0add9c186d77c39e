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

_STILL = ("scales", "opacities", "sh", "features")
_MOVING = ("centers", "rotations_wxyz", "world_from_canonical_wxyz")


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
    _still: dict[bool, tuple[dict[str, tuple[Tensor | None, ...]], Surfels]] = field(
        default_factory=dict, repr=False, init=False
    )

    def at(self, time: float | int) -> Surfels:
        """The surfaces of all layers at one moment (seconds) as one set of surfels, in the order of the layers."""
        return self._merged(time, appearance=False)

    def appearance_at(self, time: float | int) -> Surfels:
        """The surfels to draw in colour, as `at`."""
        return self._merged(time, appearance=True)

    def _merged(self, time: float | int, *, appearance: bool) -> Surfels:
        parts = [_posed(layer, time, appearance=appearance) for layer in self.layers]
        if len(parts) == 1:
            return parts[0]
        # What no time changes is the same tensors again, and need not be put together again.
        still = {name: tuple(getattr(part, name) for part in parts) for name in _STILL}
        known = self._still.get(appearance)
        if known is not None:
            changed = [name for name in _STILL if not _same(still[name], known[0][name])]
            if not set(changed) & {"sh", "features"}:
                moving = {name: torch.cat([getattr(part, name) for part in parts]) for name in (*_MOVING, *changed)}
                return known[1].replace(**moving)
        merged = merge_surfels(parts)
        if all(part.world_from_canonical_wxyz is not None for part in parts):
            self._still[appearance] = (still, merged)
        return merged


def _same(some: tuple[Tensor | None, ...], others: tuple[Tensor | None, ...]) -> bool:
    return all(a is b for a, b in zip(some, others, strict=True))


def _posed(layer: Layer, time: float | int, *, appearance: bool) -> Surfels:
    field = layer.field
    moment = torch.tensor([time], dtype=torch.float64, device=field.canonical.centers.device)
    if isinstance(field, EditedField):
        return first_moment(field.stepped(moment, appearance=appearance, fused=True))
    return first_moment(pose(field, moment, appearance=appearance))
