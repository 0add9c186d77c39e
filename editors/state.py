"""What the evaluation of a stack passes from edit to edit: layers with their flags, named parts, and the timeline."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from recon4d.core import InputError
from recon4d.editors.ride_step import released
from recon4d.editors.view import Part, SceneView
from recon4d.field import Field
from recon4d.scene import Layer, Scene

Masks = Mapping[str, Bool[Tensor, " n"]]

_NEW = 1 << 62  # ids from here on belong to surfels that edits have made


@dataclass(frozen=True, eq=False)
class State:
    """A scene in the middle of its edits; every change gives a new one.

    Attributes:
        scene: frame times, cameras, scale and provenance; its layers do not count.
        layers: all layers, hidden ones too, in order.
        hidden: names of layers that are not shown and that nothing selects.
        locked: names of layers that nothing selects.
        parts: named parts: ids of their surfels by layer; ids that are gone mean nothing.
        folder: of the scene, from which paths of assets go; None where there is none.
        origins: for layers whose bones edits have copied: [B] the bone that each is a copy of, or itself.
    """

    scene: Scene
    layers: tuple[Layer, ...]
    hidden: frozenset[str] = frozenset()
    locked: frozenset[str] = frozenset()
    parts: Mapping[str, Part] = field(default_factory=dict)
    folder: Path | None = None
    origins: Mapping[str, Int64[Tensor, " b"]] = field(default_factory=dict)

    @staticmethod
    def of(scene: Scene, folder: Path | None = None) -> State:
        """The state that no edit has touched."""
        # Without the scene itself, so that states which are kept for it do not keep it alive.
        timeline = Scene(scene.frame_times, scene.cameras, [], scene.metres_per_unit, scene.provenance)
        return State(timeline, tuple(scene.layers), folder=folder)

    def view(self) -> SceneView:
        """What is to be seen."""
        layers = tuple(_shown(layer) for layer in self.layers)
        return SceneView(
            frame_times=self.scene.frame_times,
            cameras=self.scene.cameras,
            layers=[layer for layer in layers if layer.name not in self.hidden],
            metres_per_unit=self.scene.metres_per_unit,
            provenance=self.scene.provenance,
            hidden=tuple(layer for layer in layers if layer.name in self.hidden),
            locked=self.locked,
            parts=self.parts,
        )

    @property
    def first(self) -> float:
        """First second of the timeline."""
        return float(self.scene.frame_times[0])

    @property
    def last(self) -> float:
        """Last second of the timeline."""
        return float(self.scene.frame_times[-1])

    @property
    def selectable(self) -> list[Layer]:
        """Layers that are neither hidden nor locked."""
        return [layer for layer in self.layers if layer.name not in self.hidden | self.locked]

    def layer(self, name: str, what: str = "layer") -> Layer:
        """The layer of that name, hidden or not; InputError on `what` when there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(repr(layer.name) for layer in self.layers)
        raise InputError(what, expected=f"one of {names or 'no layers'}", got=repr(name[:80]), fix="check the spelling")

    def check_new_name(self, name: str, what: str) -> None:
        """InputError unless a layer may be called that."""
        if not (1 <= len(name) <= 128 and name.isprintable() and name.strip() == name):
            raise InputError(what, expected="1 to 128 printable characters", got=repr(name[:80]), fix="another name")
        if any(layer.name == name for layer in self.layers):
            raise InputError(what, expected="a name that no layer has", got=repr(name), fix="another name")

    def check_times(self, what: str, times: Sequence[float]) -> None:
        """InputError unless the times lie within the timeline."""
        for time in times:
            if not self.first - 1e-6 <= time <= self.last + 1e-6:
                expected = f"seconds from {self.first:g} to {self.last:g}, the times of the scene"
                raise InputError(what, expected=expected, got=f"{time:g}", fix="choose times within the scene")

    def with_field(self, name: str, field: Field) -> State:
        """With another field in a layer."""
        return replace(self, layers=tuple(Layer(x.name, x.kind, field) if x.name == name else x for x in self.layers))

    def with_fields(self, masks: Masks, change: Callable[[Field, Tensor], Field]) -> State:
        """With the fields of the layers in `masks` changed, each by its mask."""
        layers = tuple(
            Layer(x.name, x.kind, change(x.field, masks[x.name])) if x.name in masks else x for x in self.layers
        )
        return replace(self, layers=layers)

    def with_layer(self, layer: Layer) -> State:
        """With one more layer at the end."""
        return replace(self, layers=(*self.layers, layer))

    def without_layers(self, names: frozenset[str]) -> State:
        """Without some layers."""
        return replace(
            self,
            layers=tuple(layer for layer in self.layers if layer.name not in names),
            hidden=self.hidden - names,
            locked=self.locked - names,
        )


def _shown(layer: Layer) -> Layer:
    """The layer for others, who know nothing of layers that ride."""
    field = released(layer.field)
    return layer if field is layer.field else Layer(layer.name, layer.kind, field)


def new_ids(edit: str, count: int, taken: Int64[Tensor, " n"], *, salt: int = 0) -> Int64[Tensor, " m"]:
    """Ids of surfels that an edit makes: the same for the same edit and count, and none of `taken`.

    Bit 62 is set, which ids of a reconstruction never have; below it stand 30 bits of the hash of the edit's id and 32
    bits that count.

    Args:
        edit: id of the edit.
        count: how many, below 2^32.
        taken: ids that are in use beside the new ones.
        salt: tells apart several lots of one edit.
    """
    while True:
        digest = hashlib.sha256(f"{salt} {edit}".encode()).digest()
        first = _NEW | (int.from_bytes(digest[:4], "big") >> 2) << 32
        ids = torch.arange(count, dtype=torch.int64) + first
        if not bool(torch.isin(taken, ids).any()):
            return ids
        salt += 1_000_003
