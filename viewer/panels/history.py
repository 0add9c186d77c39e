"""The history: every edit in order, which can be taken back, left out, moved, changed and removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from recon4d.editors.history import Enable, Move, Remove
from recon4d.viewer.text import escaped, shown

if TYPE_CHECKING:
    from recon4d.editors.edits.base import Edit
    from recon4d.viewer.session import Session

_SHOWN = 40  # edits that have rows; older ones are counted


class HistoryPanel:
    """Undo and redo, and a folder for each edit, the newest first.

    Args:
        session: whose.
        container: to build in.
        change: called with an edit whose values are to be changed.
    """

    def __init__(self, session: Session, container: Any, change: Callable[[Edit], None]) -> None:
        self.session, self.container, self._change = session, container, change
        self._folders: list[Any] = []
        self._known: object = None
        gui = session.gui
        with container:
            self.buttons = gui.add_button_group("", ("Undo", "Redo"), hint="Ctrl+Z, Ctrl+Shift+Z")
            self.words = gui.add_markdown("")
        self.buttons.on_click(session.guarded(lambda _: self.undo() if self.buttons.value == "Undo" else self.redo()))
        session.on_change.append(self.refresh)
        self.refresh()

    def undo(self) -> None:
        """Take the last change back."""
        if self.session.project.history.past:
            self.session.project.undo()
        else:
            self.session.notify("Nothing to undo", seconds=2.0)

    def redo(self) -> None:
        """Make the change again that was taken back last."""
        if self.session.project.history.future:
            self.session.project.redo()
        else:
            self.session.notify("Nothing to redo", seconds=2.0)

    def refresh(self) -> None:
        """Show the edits as they are now."""
        project = self.session.project
        edits = project.stack.edits
        self.words.content = self._summary()
        if edits == self._known:
            return
        self._known = edits
        for folder in self._folders:
            folder.remove()
        self._folders = []
        with self.container:
            for edit in list(reversed(edits))[:_SHOWN]:
                self._folders.append(self._row(edit))
            if len(edits) > _SHOWN:
                older = self.session.gui.add_markdown(f"and {len(edits) - _SHOWN} older edits")
                self._folders.append(older)

    def _summary(self) -> str:
        project = self.session.project
        if project.folder is None:
            saved = "Edits are kept in memory only."
        elif project.trouble:
            saved = f"**Not saved:** {escaped(project.trouble, 300)}"
        else:
            saved = "All changes are saved."
        count = len(project.stack)
        return f"{'No edits yet' if not count else f'{count} edit' + 's' * (count > 1)} \u00b7 {saved}"

    def _row(self, edit: Edit) -> Any:
        gui = self.session.gui
        title = shown(edit.name or edit.id, 40)
        folder = gui.add_folder(title if edit.enabled else f"{title} (off)", expand_by_default=False)
        with folder:
            gui.add_markdown(escaped(f"{edit.kind}, {edit.id}"))
            first = gui.add_button_group("", ("Off" if edit.enabled else "On", "Change", "Remove"))
            second = gui.add_button_group("", ("Earlier", "Later"), hint="Edits are made in order, the oldest first")
        first.on_click(self.session.guarded(lambda _: self._press(edit, first.value)))
        second.on_click(self.session.guarded(lambda _: self._press(edit, second.value)))
        return folder

    def _press(self, edit: Edit, button: str) -> None:
        project = self.session.project
        stack, place = project.stack, project.stack.index(edit.id)
        if button in ("On", "Off"):
            project.do(Enable(edit.id, enabled=button == "On"))
        elif button == "Remove":
            project.do(Remove(edit.id))
        elif button == "Change":
            self._change(edit)
        else:
            target = place + (1 if button == "Later" else -1)
            project.do(Move(edit.id, min(max(target, 0), len(stack) - 1)))
