"""Editing: a form for every kind of edit that the editors know, the gizmo, and files that are brought in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from recon4d.editors.edits.base import Edit
from recon4d.editors.history import Replace
from recon4d.editors.keys import Span
from recon4d.viewer.forms import Form, can_fill
from recon4d.viewer.panels.incoming import on_file
from recon4d.viewer.text import escaped, shown
from recon4d.viewer.uploads import SUFFIXES
from recon4d.viewer.wording import notes_of, summary_of, words

if TYPE_CHECKING:
    from recon4d.viewer.bench import Bench

FIRST = ("recolor", "delete", "transform", "opacity", "grade", "duplicate")  # what artists reach for most
# What other panels and tools make, and what is made of a file that an export wrote (`recon4d import-mesh`).
_ELSEWHERE = ("paint", "name_part", "hide", "lock", "mesh_edit")


def edit_kinds() -> dict[str, type[Edit]]:
    """The edits that forms can make, by their name for people."""
    members = {kind: cls for kind, cls in Edit.members.items() if kind not in _ELSEWHERE and can_fill(cls)}
    order = [kind for kind in FIRST if kind in members] + sorted(kind for kind in members if kind not in FIRST)
    return {words(kind): members[kind] for kind in order}  # type: ignore[misc]


_LAST = 1e9  # the order of what stands below the form, which is built anew again and again


class EditPanel:
    """The gizmo, and one form at a time."""

    def __init__(self, bench: Bench, container: Any) -> None:
        self.bench, session = bench, bench.session
        self.session, self.container = session, container
        self.kinds = edit_kinds()
        self._changing: Edit | None = None
        gui, guarded = session.gui, session.guarded
        with container:
            with gui.add_folder("Move by hand"):
                self.move = gui.add_button_group(
                    "", ("Move", "Turn", "Done"), hint="Arrows and rings on the selection; drag them (G, R, Esc)"
                )
                self.factor = gui.add_number("Scale", 1.2, min=0.01, max=100.0, step=0.05)
                self.scale = gui.add_button("Scale the selection", hint="About its middle (S)")
            with gui.add_folder("Deform", expand_by_default=False):
                gui.add_markdown("Place handles by clicks on the surface, and pull them.")
                self.place = gui.add_button("Place handles")
                self.pins = gui.add_checkbox("The next ones pin", False, hint="Pinned places stay where they are")
                self.deform = gui.add_button_group("", ("Apply", "Clear"))
            self.folder = gui.add_folder("Edit")
            with self.folder:
                self.kind = gui.add_dropdown(
                    "What", tuple(self.kinds), hint="All edits; what they act on is selected first"
                )
                self.words = gui.add_markdown("")
                self.name = gui.add_text("Name", "", hint="For the history; may stay empty", order=_LAST)
                self.apply = gui.add_button("Apply", color="orange", icon="check", order=_LAST + 1)
                self.cancel = gui.add_button("Keep it as it was", visible=False, order=_LAST + 2)
            with gui.add_folder("Bring in a file", expand_by_default=False):
                gui.add_markdown(f"Drop a file ({', '.join(SUFFIXES)}) on the page, or choose one here.")
                self.upload = gui.add_upload_button("Upload", icon="upload", mime_type=",".join(SUFFIXES))
        self.form: Form | None = None
        self._fields: Any = None
        self.kind.on_update(guarded(lambda _: self._open(self.kinds[self.kind.value])))
        self.apply.on_click(guarded(lambda _: self._apply()))
        self.cancel.on_click(guarded(lambda _: self._stop_changing()))
        self.move.on_click(guarded(lambda _: self._move(self.move.value)))
        self.scale.on_click(guarded(lambda _: bench.gizmo.scale(float(self.factor.value))))
        on_file(session, self.upload, self._take_file)
        self.place.on_click(guarded(lambda _: bench.tools.take("Handles")))
        self.pins.on_update(guarded(lambda _: setattr(bench.handles, "pins", bool(self.pins.value))))
        self.deform.on_click(guarded(lambda _: self._deform(self.deform.value)))
        bench.gizmo.during = self._during
        self._open(self.kinds[self.kind.value])

    def change(self, edit: Edit) -> None:
        """Open the form of an edit that is there, to give it other values."""
        if type(edit) not in self.kinds.values():
            self.session.notify("This edit has no form", "Remove it, and make it again.", seconds=4.0)
            return
        self._changing = edit
        self._open(type(edit), edit)
        self.name.value = edit.name
        self.apply.label = f"Change {shown(edit.name or edit.id, 30)}"
        self.cancel.visible = True

    def open_kind(self, kind: str) -> None:
        """Open the form of a kind of edit."""
        if words(kind) in self.kinds:
            self.kind.value = words(kind)
            self._open(self.kinds[words(kind)])

    def _open(self, kind: type[Edit], start: Edit | None = None) -> None:
        with self.session.upkeep:
            self._show_form(kind, start)

    def _show_form(self, kind: type[Edit], start: Edit | None) -> None:
        if start is None:
            self._stop_changing(reopen=False)
        self.words.content = escaped(summary_of(kind), 300)
        if self._fields is not None:
            self._fields.remove()
        gui = self.session.gui
        with self.folder:
            self._fields = gui.add_folder("Values")
            with self._fields:
                if "select" in notes_of(kind):
                    gui.add_markdown("Acts on what is selected.")
                self.form = Form(self.session, kind, start)

    def _apply(self) -> None:
        assert self.form is not None
        project, changing = self.session.project, self._changing
        made: Edit = self.form.make(name=self.name.value.strip()[:120])
        if changing is not None:
            now = project.stack.edit(changing.id)  # may have been switched off or grouped meanwhile
            project.do(Replace(now.id, replace(made, enabled=now.enabled, group=now.group)))
            self._stop_changing()
        else:
            project.add(made)
        self.name.value = ""
        self.session.notify("Done", "Ctrl+Z takes it back.", seconds=2.0)

    def _stop_changing(self, *, reopen: bool = True) -> None:
        if self._changing is None:
            return
        self._changing = None
        self.apply.label, self.cancel.visible = "Apply", False
        if reopen:
            self._open(self.kinds[self.kind.value])

    def _move(self, button: str) -> None:
        if button == "Done":
            self.bench.gizmo.hide()
        else:
            self.bench.gizmo.show(turns=button == "Turn")

    def _deform(self, button: str) -> None:
        if button == "Apply":
            self.bench.handles.apply()
            self.bench.tools.take("Look")
        else:
            self.bench.handles.clear()

    def _during(self) -> Span | None:
        """The time range of an open form, which then holds for the gizmo too."""
        if self.form is None or self.form.kind.__name__ != "Transform":
            return None
        span = self.form.peek("during")
        return span if isinstance(span, Span) else None

    def _take_file(self, name: str, content: bytes) -> None:
        kept = self.session.shared.uploads.take(name, content)
        self.session.notify("The file is here", f"{kept}: choose Insert under Edit to put it into the scene.")
        if self.form is not None and self._changing is None:
            self._open(self.kinds[self.kind.value])
