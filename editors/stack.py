"""The edit stack: an ordered list of edits that never changes; every operation gives a new one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256

from recon4d.core import InputError
from recon4d.editors.edits.base import Edit
from recon4d.editors.values import to_json
from recon4d.scene.document import canonical_bytes


@dataclass(frozen=True)
class EditStack:
    """Edits in the order in which they are applied; all have ids, and no two the same.

    Attributes:
        edits: in order.
    """

    edits: tuple[Edit, ...] = ()

    def __post_init__(self) -> None:
        taken: set[str] = set()
        for edit in self.edits:
            if edit.id in taken:
                raise InputError("id", expected="ids that differ", got=f"{edit.id!r} twice", fix="leave one id out")
            if edit.id:
                taken.add(edit.id)
        if len(taken) < len(self.edits):
            object.__setattr__(self, "edits", _with_ids(self.edits))

    def __len__(self) -> int:
        return len(self.edits)

    def edit(self, edit_id: str) -> Edit:
        """The edit of that id; InputError when there is none."""
        return self.edits[self.index(edit_id)]

    def index(self, edit_id: str) -> int:
        """Place of the edit of that id; InputError when there is none."""
        for i, edit in enumerate(self.edits):
            if edit.id == edit_id:
                return i
        known = ", ".join(repr(edit.id) for edit in self.edits[:12]) + (", ..." if len(self.edits) > 12 else "")
        raise InputError(
            "edit", expected=known or "an edit; the stack is empty", got=repr(edit_id[:80]), fix="see --list"
        )

    def add(self, *edits: Edit, at: int | None = None) -> EditStack:
        """With more edits, at the end or before place `at`."""
        place = len(self.edits) if at is None else at
        if not 0 <= place <= len(self.edits):
            raise InputError(
                "at", expected=f"0 to {len(self.edits)}", got=str(place), fix="choose a place in the stack"
            )
        return EditStack((*self.edits[:place], *edits, *self.edits[place:]))

    def remove(self, edit_id: str) -> EditStack:
        """Without one edit."""
        place = self.index(edit_id)
        return EditStack((*self.edits[:place], *self.edits[place + 1 :]))

    def replace(self, edit_id: str, edit: Edit) -> EditStack:
        """With another edit in the place of one; it takes over the id where it has none."""
        place = self.index(edit_id)
        return EditStack(
            (*self.edits[:place], edit if edit.id else replace(edit, id=edit_id), *self.edits[place + 1 :])
        )

    def move(self, edit_id: str, to: int) -> EditStack:
        """With one edit moved to place `to` of the new order."""
        edit = self.edit(edit_id)
        return self.remove(edit_id).add(edit, at=to)

    def place_for(self, edit_id: str, where: str) -> int:
        """The place that `move` asks for, in words: "3", "before:ID" or "after:ID" of another edit."""
        self.index(edit_id)
        side, colon, other = where.partition(":")
        if colon and side in ("before", "after") and other != edit_id:
            return self.remove(edit_id).index(other) + (side == "after")
        if where.isascii() and where.isdigit() and len(where) < 10 and int(where) < len(self.edits):
            return int(where)
        expected = f"0 to {len(self.edits) - 1}, or before:ID or after:ID of another edit"
        raise InputError("place", expected=expected, got=repr(where[:80]), fix="see --list")

    def enable(self, edit_id: str, enabled: bool = True) -> EditStack:
        """With one edit enabled or disabled."""
        return self._changed(lambda e: e.id == edit_id, edit_id, enabled=enabled)

    def enable_group(self, group: str, enabled: bool = True) -> EditStack:
        """With all edits of a group enabled or disabled."""
        if not any(edit.group == group for edit in self.edits) or not group:
            known = ", ".join(sorted({repr(edit.group) for edit in self.edits if edit.group})) or "no groups"
            raise InputError("group", expected=known, got=repr(group[:80]), fix="check the spelling")
        return self._changed(lambda e: e.group == group, None, enabled=enabled)

    def rename(self, edit_id: str, name: str) -> EditStack:
        """With another name for one edit."""
        return self._changed(lambda e: e.id == edit_id, edit_id, name=name)

    def group(self, edit_ids: Iterable[str], group: str) -> EditStack:
        """With some edits in a group; the empty name takes them out of theirs."""
        wanted = {self.edit(edit_id).id for edit_id in edit_ids}
        return self._changed(lambda e: e.id in wanted, None, group=group)

    def _changed(self, chosen: Callable[[Edit], bool], edit_id: str | None, **values: object) -> EditStack:
        if edit_id is not None:
            self.index(edit_id)
        return EditStack(tuple(replace(e, **values) if chosen(e) else e for e in self.edits))  # type: ignore[arg-type]


@lru_cache(maxsize=65_536)
def fingerprint(edit: Edit) -> bytes:
    """Hash of what an edit does: of all but its name and group."""
    return sha256(canonical_bytes(to_json(replace(edit, name="", group="")))).digest()


def _with_ids(edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
    """Edits without an id get their kind and a number that no other has."""
    taken = {edit.id for edit in edits}
    last: dict[str, int] = {}
    for known in taken:
        match = re.fullmatch(r"(.+)-(\d{1,9})", known)
        if match:
            last[match[1]] = max(last.get(match[1], 0), int(match[2]))
    named = []
    for edit in edits:
        if not edit.id:
            number = last[edit.kind] = last.get(edit.kind, 0) + 1
            edit = replace(edit, id=f"{edit.kind}-{number}")
        named.append(edit)
    return tuple(named)
