"""Keys and the command palette (Ctrl+K): what artists know from other programs.

Does NOT do anything itself: every command calls a panel or a tool.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from recon4d.editors import All, Delete

if TYPE_CHECKING:
    from recon4d.viewer.bench import Bench
    from recon4d.viewer.panels.window import Window
    from recon4d.viewer.session import Session

Action = Callable[[], Any]


def register(session: Session, window: Window) -> None:
    """Tell the page of all commands of one client."""
    bench, selecting = window.bench, session.selecting
    tools = bench.tools
    commands: tuple[tuple[str, Any, Any, Action], ...] = (
        ("Play or pause", "space", None, window.timeline.toggle),
        ("One frame back", "arrowleft", None, lambda: window.timeline.step(-1)),
        ("One frame on", "arrowright", None, lambda: window.timeline.step(1)),
        ("Undo", "Z", "cmd/ctrl", window.history.undo),
        ("Redo", "Z", "cmd/ctrl+shift", window.history.redo),
        ("Redo (as elsewhere)", "Y", "cmd/ctrl", window.history.redo),
        ("Delete the selection", "delete", None, lambda: _delete(session)),
        ("Move the selection", "G", None, lambda: bench.gizmo.show(turns=False)),
        ("Turn the selection", "R", None, lambda: bench.gizmo.show(turns=True)),
        ("Scale the selection", "S", None, lambda: bench.gizmo.scale(float(window.edit.factor.value))),
        ("Recolour the selection", "C", None, lambda: window.edit.open_kind("recolor")),
        ("Duplicate the selection", "D", "shift", lambda: window.edit.open_kind("duplicate")),
        ("Look around (no tool)", "V", None, lambda: tools.take("Look")),
        ("Select by click", "Q", None, lambda: tools.take("Click")),
        ("Select by rectangle", "W", None, lambda: tools.take("Rectangle")),
        ("Select by brush", "B", None, lambda: tools.take("Brush")),
        ("Select by lasso", "L", None, lambda: tools.take("Lasso")),
        ("Select by polygon", "P", None, lambda: tools.take("Polygon")),
        ("Close the polygon, take the box", "enter", None, tools.finish),
        ("Let go", "escape", None, lambda: _let_go(bench)),
        ("Select all", "A", None, lambda: selecting.take(All())),
        ("Select nothing", "A", "shift", selecting.clear),
        ("Invert the selection", "I", None, selecting.invert),
        ("The selection before", "Z", "shift", selecting.back),
        ("Add a camera key", "K", None, window.output.add_key),
        ("Save a snapshot", None, None, window.output.save_snapshot),
        ("Look from the input camera", "F", None, window.review.look),
    )
    for label, key, modifier, action in commands:
        command = session.gui.add_command(label, hotkey=key, modifier=modifier)
        command.on_trigger(session.guarded(partial(_run, action)))


def _run(action: Action, _: Any) -> None:
    action()


def _delete(session: Session) -> None:
    selection = session.selecting.needed()
    session.project.add(Delete(select=selection, name="Delete"))


def _let_go(bench: Bench) -> None:
    bench.gizmo.hide()
    bench.handles.clear()
    bench.tools.take("Look")
