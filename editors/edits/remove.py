"""Edits that take surfels away, copy them, or move them between layers."""

from __future__ import annotations

from dataclasses import dataclass

from recon4d.editors.edits.base import Edit
from recon4d.editors.selections.base import Selection, resolve
from recon4d.editors.state import State


@dataclass(frozen=True, kw_only=True)
class Delete(Edit, kind="delete"):
    """Take surfels away; layers that have none left go too.

    Attributes:
        select: which.
    """

    select: Selection

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        masks = resolve(self.select, state)
        gone = frozenset(name for name, mask in masks.items() if bool(mask.all()))
        kept = {name: mask for name, mask in masks.items() if name not in gone}
        return state.without_layers(gone).with_fields(kept, lambda field, mask: field.select(~mask))
