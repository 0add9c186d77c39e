"""Operations on a stack as values, and the history that undo and redo walk along; no operation has undo code."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace

from recon4d.core import InputError
from recon4d.editors.edits.base import Edit
from recon4d.editors.stack import EditStack
from recon4d.editors.values import Tagged


@dataclass(frozen=True)
class Operation(Tagged):
    """One change of a stack."""

    @abstractmethod
    def apply(self, stack: EditStack) -> EditStack:
        """The stack after it; InputError where it cannot be done."""


@dataclass(frozen=True)
class Add(Operation, kind="add"):
    """Add edits.

    Attributes:
        edits: in order.
        at: the place of the first; the end when left out.
    """

    edits: tuple[Edit, ...]
    at: int | None = None

    def apply(self, stack: EditStack) -> EditStack:
        """See `Operation.apply`."""
        return stack.add(*self.edits, at=self.at)


@dataclass(frozen=True)
class Remove(Operation, kind="remove"):
    """Remove an edit.

    Attributes:
        id: of the edit.
    """

    id: str

    def apply(self, stack: EditStack) -> EditStack:
        """See `Operation.apply`."""
        return stack.remove(self.id)


@dataclass(frozen=True)
class Replace(Operation, kind="replace"):
    """Put another edit in the place of one.

    Attributes:
        id: of the edit so far.
        edit: the new one.
    """

    id: str
    edit: Edit

    def apply(self, stack: EditStack) -> EditStack:
        """See `Operation.apply`."""
        return stack.replace(self.id, self.edit)


@dataclass(frozen=True)
class Move(Operation, kind="move"):
    """Change the order.

    Attributes:
        id: of the edit.
        to: its new place.
    """

    id: str
    to: int

    def apply(self, stack: EditStack) -> EditStack:
        """See `Operation.apply`."""
        return stack.move(self.id, self.to)


@dataclass(frozen=True)
class Enable(Operation, kind="enable"):
    """Enable or disable an edit, or all of a group.

    Attributes:
        id: of the edit.
        group: of edits, where no id is given.
        enabled: false disables.
    """

    id: str = ""
    group: str = ""
    enabled: bool = True

    def apply(self, stack: EditStack) -> EditStack:
        """See `Operation.apply`."""
        if self.id:
            return stack.enable(self.id, self.enabled)
        return stack.enable_group(self.group, self.enabled)


@dataclass(frozen=True)
class Rename(Operation, kind="rename"):
    """Give an edit another name.

    Attributes:
        id: of the edit.
        name: the new name.
    """

    id: str
    name: str

    def apply(self, stack: EditStack) -> EditStack:
        """See `Operation.apply`."""
        return stack.rename(self.id, self.name)


@dataclass(frozen=True)
class Group(Operation, kind="group"):
    """Put edits in a group.

    Attributes:
        ids: of the edits.
        group: its name; the empty name takes them out of theirs.
    """

    ids: tuple[str, ...]
    group: str

    def apply(self, stack: EditStack) -> EditStack:
        """See `Operation.apply`."""
        return stack.group(self.ids, self.group)


@dataclass(frozen=True)
class SetStack(Operation, kind="set"):
    """Put another stack in the place of the whole.

    Attributes:
        edits: of the new stack.
    """

    edits: tuple[Edit, ...]

    def apply(self, stack: EditStack) -> EditStack:
        """See `Operation.apply`."""
        return EditStack(self.edits)


@dataclass(frozen=True)
class History:
    """All stacks that there were, and where we are; never changes.

    Attributes:
        stack: the present one.
        past: those before, the latest last.
        future: those that were undone, the next last.
    """

    stack: EditStack = field(default_factory=EditStack)
    past: tuple[EditStack, ...] = ()
    future: tuple[EditStack, ...] = ()

    def do(self, operation: Operation) -> History:
        """After one more operation; what was undone is forgotten."""
        return History(operation.apply(self.stack), (*self.past, self.stack))

    def undo(self) -> History:
        """One operation back.

        Raises:
            InputError: there is none.
        """
        if not self.past:
            raise InputError("undo", expected="something to undo", got="the first stack", fix="make an edit first")
        return replace(self, stack=self.past[-1], past=self.past[:-1], future=(*self.future, self.stack))

    def redo(self) -> History:
        """Forward again by one operation that was undone.

        Raises:
            InputError: there is none.
        """
        if not self.future:
            raise InputError("redo", expected="something undone", got="nothing", fix="undo first")
        return replace(self, stack=self.future[-1], past=(*self.past, self.stack), future=self.future[:-1])
