"""First steps and keys, and a way to invite another browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recon4d.viewer.text import escaped

if TYPE_CHECKING:
    from recon4d.viewer.session import Session

FIRST_STEPS = """
**Look.** Drag to turn, right-drag to move, wheel to come closer. Play below.

**Select.** Under *Edit*, take a tool and click or draw on the scene. What is selected turns blue.

**Edit.** Choose *what*, set its values, press *Apply*. *Only for a part of the time* keeps it to some seconds.

**Undo.** Everything can be taken back: Ctrl+Z, or *History* on the left. Your film is never changed.

**Output.** Render a film, export to a game engine, or make a page to share.
"""
KEYS = """
| key | what |
|---|---|
| Space | play, pause |
| Left, Right | one frame back, on |
| Ctrl+Z, Ctrl+Shift+Z | undo, redo |
| Delete | delete what is selected |
| G, R, S | move, turn, scale it |
| Q, W, B, L | click, rectangle, brush, lasso |
| Enter, Esc | close the polygon; let go |
| A, I | select all, invert |
| K | add a camera key |
| F | back to the input camera |
| Ctrl+K | all commands |
"""


class HelpPanel:
    """Texts, and invitations."""

    def __init__(self, session: Session, container: Any) -> None:
        self.session = session
        gui = session.gui
        with container:
            gui.add_markdown(FIRST_STEPS)
            with gui.add_folder("Keys"):
                gui.add_markdown(KEYS)
            self.invite = gui.add_button("Invite another browser", icon="user-plus")
        self.invite.on_click(session.guarded(lambda _: self._invite()))

    def _invite(self) -> None:
        gui = self.session.gui
        with gui.add_modal("Invite another browser") as modal:
            gui.add_markdown("This link works once, for one browser that can reach this machine:")
            gui.add_text("Link", self.session.shared.link())
            gui.add_markdown(escaped("Whoever has it can edit the scene."))
            close = gui.add_button("Close")
        close.on_click(lambda _: modal.close())
