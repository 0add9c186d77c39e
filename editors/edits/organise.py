"""Edits that change no surfel: named parts, locked and hidden layers, names of layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recon4d.core import InputError
from recon4d.editors.edits.base import MAX_NAME, Edit
from recon4d.editors.riding import renamed
from recon4d.editors.selections.base import Selection, resolve
from recon4d.editors.state import State
from recon4d.scene import Layer


@dataclass(frozen=True, kw_only=True)
class NamePart(Edit, kind="name_part"):
    """Give a selection a name, by which edits after this one find the same surfels: "left ear".

    Attributes:
        part: the name; a part of that name from before is replaced.
        select: which surfels.
    """

    part: str
    select: Selection

    def check(self) -> None:
        """See `Edit.check`."""
        if not (1 <= len(self.part) <= MAX_NAME and self.part.isprintable()):
            expected, got = f"1 to {MAX_NAME} printable characters", repr(self.part[:80])
            raise InputError("part", expected=expected, got=got, fix="choose a plain name")

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        masks = resolve(self.select, state)
        ids = {name: state.layer(name).field.ids[mask] for name, mask in masks.items()}
        return replace(state, parts={**state.parts, self.part: ids})


@dataclass(frozen=True, kw_only=True)
class Lock(Edit, kind="lock"):
    """Lock layers: nothing selects them, so edits after this one leave them alone.

    Attributes:
        layers: names.
        locked: false unlocks them.
    """

    layers: tuple[str, ...]
    locked: bool = True

    def check(self) -> None:
        """See `Edit.check`."""
        check_some("layers", self.layers)

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        names = known_names(state, self.layers)
        return replace(state, locked=state.locked | names if self.locked else state.locked - names)


@dataclass(frozen=True, kw_only=True)
class Hide(Edit, kind="hide"):
    """Hide layers: they are not shown, rendered or exported, and nothing selects them.

    Attributes:
        layers: names.
        hidden: false shows them again.
    """

    layers: tuple[str, ...]
    hidden: bool = True

    def check(self) -> None:
        """See `Edit.check`."""
        check_some("layers", self.layers)

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        names = known_names(state, self.layers)
        return replace(state, hidden=state.hidden | names if self.hidden else state.hidden - names)


@dataclass(frozen=True, kw_only=True)
class RenameLayer(Edit, kind="rename_layer"):
    """Give a layer another name.

    Attributes:
        layer: its name so far.
        to: the new name.
    """

    layer: str
    to: str

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        old = state.layer(self.layer)
        if self.to == self.layer:
            return state
        state.check_new_name(self.to, "to")

        def swapped(names: frozenset[str]) -> frozenset[str]:
            return frozenset(self.to if name == self.layer else name for name in names)

        layers = tuple(Layer(self.to, x.kind, x.field) if x is old else x for x in state.layers)
        parts = {
            part: {self.to if name == self.layer else name: ids for name, ids in of.items()}
            for part, of in state.parts.items()
        }
        changed = replace(state, layers=layers, hidden=swapped(state.hidden), locked=swapped(state.locked), parts=parts)
        return renamed(changed, self.layer, self.to)


def known_names(state: State, names: tuple[str, ...], what: str = "layers") -> frozenset[str]:
    """The names, all of them names of layers; InputError otherwise."""
    return frozenset(state.layer(name, f"{what}[{i}]").name for i, name in enumerate(names))


def check_some(what: str, names: tuple[str, ...]) -> None:
    """InputError for no names."""
    if not names:
        raise InputError(what, expected="at least one layer", got="none", fix="name a layer")
