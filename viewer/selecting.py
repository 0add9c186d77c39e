"""What one client has selected: a selection as data, and the surfels that it is now.

What was drawn on the screen is kept as the ids that it hit: an edit then changes what the artist saw marked, whatever
other edits do before it.  Selections of whole layers, parts and bones stay what they are called.

Does NOT change the scene.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor

from recon4d.core import InputError
from recon4d.editors import All, Ids, InLayers, Invert, Part, to_ranges
from recon4d.editors.selections.base import Selection, chosen
from recon4d.editors.selections.combine import Union
from recon4d.editors.state import State
from recon4d.viewer.project import Project

How = Literal["New", "Add", "Remove", "Intersect"]
HOWS: tuple[How, ...] = ("New", "Add", "Remove", "Intersect")
MOST_UNDO = 200
_BY_NAME = (All, InLayers, Part)


class Selecting:
    """The selection of one client.

    Args:
        project: whose surfels.
        changed: called when other surfels are to be marked.
    """

    def __init__(self, project: Project, changed: Callable[[], None]) -> None:
        self._project, self._changed = project, changed
        # Edits come from other threads, and other clients: what is marked is kept with the state that it belongs to.
        self._lock = threading.RLock()
        self.selection: Selection | None = None
        self.marked: tuple[State, Mapping[str, Tensor]] = (project.state, {})
        self.previewed: dict[str, Tensor] | None = None
        self._past: list[Selection | None] = []

    def __len__(self) -> int:
        """How many surfels are selected."""
        return sum(int(mask.sum()) for mask in self.marks.values())

    def take(self, selection: Selection, how: How = "New") -> int:
        """Select something; how many surfels are selected then.

        Raises:
            InputError: the selection cannot be made.
        """
        with self._lock:
            state = self._project.state
            found = chosen(selection, state)
            if how == "New" and isinstance(selection, _BY_NAME):
                self._set(selection if found else None, found, state)
            else:
                found = combined(self._marks_in(state), found, how)
                self._set(frozen(found, state), found, state)
        self._changed()
        return len(self)

    def would_be(self, selection: Selection, how: How) -> dict[str, Tensor]:
        """What would be marked if something were selected.

        Raises:
            InputError: the selection cannot be made.
        """
        with self._lock:
            state = self._project.state
            return combined(self._marks_in(state), chosen(selection, state), how)

    def invert(self) -> int:
        """Select everything else."""
        return self.take(Invert(self.selection) if self.selection is not None else All())

    def clear(self) -> None:
        """Select nothing."""
        if self.selection is not None:
            with self._lock:
                self._set(None, {}, self._project.state)
            self._changed()

    def back(self) -> bool:
        """The selection before this one; whether there was one."""
        with self._lock:
            if not self._past:
                return False
            self.selection = self._past.pop()
            self.refresh()
        self._changed()
        return True

    def preview(self, marks: Mapping[str, Tensor] | None) -> None:
        """Mark surfels as if they were selected, until the selection is made; None marks what is selected again."""
        self.previewed = None if marks is None else dict(marks)
        self._changed()

    @property
    def marks(self) -> Mapping[str, Tensor]:
        """[N] which surfels are selected, of each layer that has any, in the state that `marked` names."""
        return self.marked[1]

    @property
    def shown(self) -> Mapping[str, Tensor]:
        """The surfels to mark."""
        return self.marks if self.previewed is None else self.previewed

    def refresh(self) -> None:
        """Find the selected surfels in the scene as it is now; nothing is selected where they are gone."""
        with self._lock:
            state = self._project.state
            self.marked, self.previewed = (state, self._found(state)), None
            if not self.marks:
                self.selection = None

    def needed(self) -> Selection:
        """The selection, for an edit.

        Raises:
            InputError: nothing is selected.
        """
        if self.selection is None or not self.marks:
            raise InputError(
                "selection",
                expected="something that is selected",
                got="nothing",
                fix="choose a tool under Select, and click or draw on the scene",
            )
        return self.selection

    def _found(self, state: State) -> dict[str, Tensor]:
        """The selected surfels of a state; nothing where they are gone."""
        if self.selection is None:
            return {}
        try:
            return dict(chosen(self.selection, state))
        except InputError:
            return {}

    def _marks_in(self, state: State) -> Mapping[str, Tensor]:
        return self.marks if self.marked[0] is state else self._found(state)

    def _set(self, selection: Selection | None, marks: Mapping[str, Tensor], state: State) -> None:
        self._past = [*self._past, self.selection][-MOST_UNDO:]
        self.selection, self.marked, self.previewed = selection, (state, dict(marks)), None


def combined(old: Mapping[str, Tensor], new: Mapping[str, Tensor], how: How) -> dict[str, Tensor]:
    """Masks by layer of two selections set against each other; layers without selected surfels are left out."""
    names = {**old, **new}
    found = {}
    for name in names:
        a, b = old.get(name), new.get(name)
        if how == "New" or a is None:
            mask = b if how in ("New", "Add") else None
        elif b is None:
            mask = a if how in ("Add", "Remove") else None
        else:
            mask = {"Add": a | b, "Remove": a & ~b, "Intersect": a & b}[how]
        if mask is not None and bool(mask.any()):
            found[name] = mask
    return found


def frozen(marks: Mapping[str, Tensor], state: State) -> Selection | None:
    """The selection of exactly these surfels; None for none."""
    parts: list[Selection] = []
    for name, mask in marks.items():
        if bool(mask.all()):
            parts.append(InLayers((name,)))
        else:
            parts.append(Ids(name, to_ranges(state.layer(name).field.ids[mask])))
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else Union(tuple(parts))
