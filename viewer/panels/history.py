"""The history: every edit in order, which can be taken back, left out, moved, changed and removed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from recon4d.editors.history import Enable, Group, Move, Remove, Rename
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
            self.reload = gui.add_button(
                "Reload the edits",
                color="yellow",
                icon="refresh",
                visible=False,
                hint="Another program has changed them",
            )
            self.groups = gui.add_folder("Groups", visible=False)
        self._group_rows: list[Any] = []
        self.reload.on_click(session.guarded(lambda _: session.project.reload()))
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
        self.words.content, self.reload.visible = self._summary(), project.conflict
        if edits == self._known:
            return
        self._known = edits
        for folder in self._folders:
            folder.remove()
        self._folders = []
        self._show_groups(edits)
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
        elif project.conflict:
            saved = "**Another program has changed the edits.** Reload them to go on."
        elif project.trouble:
            saved = f"**Not saved:** {escaped(project.trouble, 300)}"
        else:
            saved = "All changes are saved."
        count = len(project.stack)
        return f"{'No edits yet' if not count else f'{count} edit' + 's' * (count > 1)} \u00b7 {saved}"

    def _show_groups(self, edits: tuple[Edit, ...]) -> None:
        """Buttons for each group, which switch all of its edits."""
        for row in self._group_rows:
            row.remove()
        names = sorted({edit.group for edit in edits if edit.group})[:_SHOWN]
        self.groups.visible, self._group_rows = bool(names), []
        with self.groups:
            for name in names:
                count = sum(edit.group == name for edit in edits)
                label = f"{shown(name, 30)} ({count})"
                row = self.session.gui.add_button_group(label, ("On", "Off"), hint="All edits of the group")
                row.on_click(self.session.guarded(partial(self._switch, name, row)))
                self._group_rows.append(row)

    def _switch(self, group: str, row: Any, _: Any) -> None:
        self.session.project.do(Enable(group=group, enabled=row.value == "On"))

    def _row(self, edit: Edit) -> Any:
        gui = self.session.gui
        title = shown(edit.name or edit.id, 40)
        title = f"{shown(edit.group, 20)} \u00b7 {title}" if edit.group else title
        folder = gui.add_folder(title if edit.enabled else f"{title} (off)", expand_by_default=False)
        with folder:
            gui.add_markdown(escaped(f"{edit.kind}, {edit.id}"))
            first = gui.add_button_group("", ("Off" if edit.enabled else "On", "Change", "Remove"))
            second = gui.add_button_group(
                "", ("Earlier", "Later", "Name"), hint="Edits are made in order, the oldest first"
            )
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
        elif button == "Name":
            self._ask_name(edit)
        else:
            target = place + (1 if button == "Later" else -1)
            project.do(Move(edit.id, min(max(target, 0), len(stack) - 1)))

    def _ask_name(self, edit: Edit) -> None:
        """Ask for another name and group."""
        gui, guarded = self.session.gui, self.session.guarded
        with gui.add_modal("Name and group") as modal:
            name = gui.add_text("Name", edit.name)
            group = gui.add_text(
                "Group", edit.group, hint="Edits of one group are switched together; empty is no group"
            )
            done = gui.add_button("Set", color="orange")
            close = gui.add_button("Close")

        def give(_: Any) -> None:
            modal.close()
            self.name(edit.id, name.value.strip(), group.value.strip())

        done.on_click(guarded(give))
        close.on_click(lambda _: modal.close())

    def name(self, edit_id: str, name: str, group: str) -> None:
        """Give an edit another name and group; each that is another can be undone by itself."""
        project = self.session.project
        if name != project.stack.edit(edit_id).name:
            project.do(Rename(edit_id, name))
        if group != project.stack.edit(edit_id).group:
            project.do(Group((edit_id,), group))
