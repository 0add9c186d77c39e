"""Edits that take surfels away, copy them, or move them between layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from recon4d.core import InputError
from recon4d.editors.edits.base import Edit
from recon4d.editors.merging import merge_fields
from recon4d.editors.riding import renamed, riders
from recon4d.editors.selections.base import Selection, resolve
from recon4d.editors.state import Masks, State, new_ids
from recon4d.field import Field
from recon4d.field.rows import rows_of
from recon4d.scene import Layer


@dataclass(frozen=True, kw_only=True)
class Delete(Edit, kind="delete"):
    """Take surfels away; layers that have none left go too.

    Attributes:
        select: which.
    """

    select: Selection

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        return without(state, resolve(self.select, state))


@dataclass(frozen=True, kw_only=True)
class Duplicate(Edit, kind="duplicate"):
    """Copy surfels; the copies move as the originals do and have ids of their own.

    Attributes:
        select: which.
        layer: name of a new layer for the copies; they stay in the layers of the originals where it is empty.
    """

    select: Selection
    layer: str = ""

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        masks = resolve(self.select, state)
        if self.layer:
            field, kind = _taken(state, masks)
            return _with_new(state, self.layer, kind, _renumbered(field, self.id))

        def copied(field: Field, mask: torch.Tensor) -> Field:
            rows = rows_of(mask)
            ids = torch.cat([field.ids, new_ids(self.id, len(rows), field.ids)])
            return replace(field.select(torch.cat([torch.arange(len(field)), rows])), ids=ids)

        return state.with_fields(masks, copied)


@dataclass(frozen=True, kw_only=True)
class Separate(Edit, kind="separate"):
    """Move surfels to a layer of their own; they keep their ids and their motion.

    Attributes:
        select: which.
        layer: name of the new layer.
    """

    select: Selection
    layer: str

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        masks = resolve(self.select, state)
        field, kind = _taken(state, masks)
        # The old layer may be gone, and the new one take over its name.
        left = without(state, masks)
        if len(torch.unique(field.ids)) < len(field):
            field = _renumbered(field, self.id)
        apart = _with_new(left, self.layer, kind, field)
        for name, mask in masks.items():
            apart = renamed(apart, name, self.layer, rows_of(mask))
        return apart


@dataclass(frozen=True, kw_only=True)
class MergeLayers(Edit, kind="merge"):
    """Make one layer of several.  Surfels whose ids another layer before has too get new ones.

    Attributes:
        layers: names, at least two; the first lends its place and its kind.
        into: name of the merged layer; that of the first where it is empty.
    """

    layers: tuple[str, ...]
    into: str = ""

    def check(self) -> None:
        """See `Edit.check`."""
        if len(set(self.layers)) < 2:
            raise InputError("layers", expected="two layers or more", got=str(list(self.layers)), fix="name them")

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        chosen = [state.layer(name, f"layers[{i}]") for i, name in enumerate(self.layers)]
        for layer in chosen:
            if layer.name in state.locked:
                raise InputError("layers", expected="layers that are not locked", got=repr(layer.name), fix="unlock it")
        fields = []
        taken = torch.empty(0, dtype=torch.int64)
        for i, layer in enumerate(chosen):
            ids = layer.field.ids.clone()
            again = torch.nonzero(torch.isin(ids, taken))[:, 0]
            ids[again] = new_ids(self.id, len(again), torch.cat([taken, ids]), salt=i)
            taken = torch.cat([taken, ids])
            fields.append(replace(layer.field, ids=ids))
        first = chosen[0]
        merged = Layer(self.into or first.name, first.kind, merge_fields(fields))
        gone = frozenset(layer.name for layer in chosen[1:])
        place = [layer.name for layer in state.layers if layer.name not in gone].index(first.name)
        rest = state.without_layers(gone | {first.name})
        rest.check_new_name(merged.name, "into")
        for layer in chosen:
            for rider, _ in riders(rest, layer.name):
                got, fix = f"{layer.name!r}, which carries {rider.name!r}", f"attach {rider.name!r} after merging"
                raise InputError("layers", expected="layers on which no other rides", got=got, fix=fix)
        return replace(rest, layers=(*rest.layers[:place], merged, *rest.layers[place:]))


def without(state: State, masks: Masks) -> State:
    """The state without some surfels, and without layers that have none left."""
    gone = frozenset(name for name, mask in masks.items() if bool(mask.all()))
    kept = {name: mask for name, mask in masks.items() if name not in gone}
    return state.without_layers(gone).with_fields(kept, lambda field, mask: field.select(rows_of(~mask)))


def _taken(state: State, masks: Masks) -> tuple[Field, str]:
    """The selected surfels as one field, and the kind of layer that they are in."""
    layers = [layer for layer in state.layers if layer.name in masks]
    fields = [layer.field.select(rows_of(masks[layer.name])) for layer in layers]
    return (fields[0] if len(fields) == 1 else merge_fields(fields)), layers[0].kind


def _renumbered(field: Field, edit: str) -> Field:
    return replace(field, ids=new_ids(edit, len(field), field.ids))


def _with_new(state: State, name: str, kind: str, field: Field) -> State:
    state.check_new_name(name, "layer")
    return state.with_layer(Layer(name, kind, field))  # type: ignore[arg-type]
