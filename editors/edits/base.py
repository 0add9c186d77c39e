"""What every edit is."""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass

from recon4d.core import InputError
from recon4d.editors.state import State
from recon4d.editors.values import Tagged
from recon4d.scene import Layer

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_NAME = 128


@dataclass(frozen=True, kw_only=True)
class Edit(Tagged):
    """One change of a scene.

    Attributes:
        id: tells edits of a stack apart; letters, digits, dots and dashes.  Given by the stack where it is empty.
        name: for people.
        enabled: an edit that is not is skipped.
        group: edits of one group are enabled and disabled together; empty is no group.
    """

    id: str = ""
    name: str = ""
    enabled: bool = True
    group: str = ""

    def __post_init__(self) -> None:
        if self.id and not _ID.fullmatch(self.id):
            expected = "up to 64 letters, digits, dots and dashes"
            raise InputError("id", expected=expected, got=repr(self.id[:80]), fix="leave it out to have one given")
        for what in ("name", "group"):
            text = getattr(self, what)
            if len(text) > MAX_NAME or not (text == "" or text.isprintable()):
                raise InputError(
                    what, expected=f"up to {MAX_NAME} printable characters", got=repr(text[:80]), fix="shorten it"
                )
        self.check()

    def check(self) -> None:
        """InputError for values that are wrong whatever the scene."""
        return

    @abstractmethod
    def apply(self, state: State) -> State:
        """The scene after the edit; pure.

        Raises:
            InputError: the edit cannot be made on this scene; names the field, and what would be valid.
        """


def free_layer(state: State, name: str, what: str) -> Layer:
    """The layer of that name; InputError when there is none, or it is locked."""
    layer = state.layer(name, what)
    if name in state.locked:
        raise InputError(what, expected="a layer that is not locked", got=repr(name), fix="unlock it")
    return layer
