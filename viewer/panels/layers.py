"""The layers: an eye and a lock for each, how many surfels it has, and a click to select it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recon4d.editors import InLayers
from recon4d.editors.edits.base import Edit
from recon4d.editors.edits.organise import Hide, Lock
from recon4d.editors.history import Remove
from recon4d.viewer.text import shown

if TYPE_CHECKING:
    from recon4d.scene import Layer
    from recon4d.viewer.session import Session


_HINT = "Hidden layers are not drawn or exported; selections leave locked ones alone"


class LayersPanel:
    """A folder for each layer."""

    def __init__(self, session: Session, container: Any) -> None:
        self.session, self.container = session, container
        self._folders: list[Any] = []
        self._known: tuple[object, ...] = ()
        session.on_change.append(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the layers as they are now."""
        view = self.session.project.view
        hidden = {layer.name for layer in view.hidden}
        # In the order of the state, so that a layer that is hidden keeps its place.
        layers = self.session.project.state.layers
        known = tuple(
            (layer.name, layer.kind, len(layer.field), layer.name in hidden, layer.name in view.locked)
            for layer in layers
        )
        if known == self._known:
            return
        self._known = known
        for folder in self._folders:
            folder.remove()
        self._folders = []
        with self.container:
            for layer in layers:
                self._folders.append(self._row(layer, layer.name in hidden, layer.name in view.locked))

    def _row(self, layer: Layer, hidden: bool, locked: bool) -> Any:
        gui, session = self.session.gui, self.session
        folder = gui.add_folder(shown(layer.name, 40))
        with folder:
            kind = "object" if layer.kind == "object" else "background"
            notes = "".join(text for on, text in ((hidden, ", hidden"), (locked, ", locked")) if on)
            gui.add_markdown(f"{kind}{notes} \u00b7 {len(layer.field):,} surfels")
            buttons = gui.add_button_group(
                "", ("Show" if hidden else "Hide", "Unlock" if locked else "Lock", "Select"), hint=_HINT
            )
        buttons.on_click(session.guarded(lambda _: self._press(layer.name, buttons.value)))
        return folder

    def _press(self, name: str, button: str) -> None:
        session = self.session
        if button == "Select":
            session.selecting.take(InLayers((name,)))
            return
        edit: Edit
        if button in ("Hide", "Show"):
            edit = Hide(layers=(name,), hidden=button == "Hide", name=f"{button} {name}"[:120])
        else:
            edit = Lock(layers=(name,), locked=button == "Lock", name=f"{button} {name}"[:120])
        stack = session.project.stack
        last = stack.edits[-1] if stack.edits else None
        if isinstance(last, Hide | Lock) and type(last) is type(edit) and last.layers == (name,):
            session.project.do(Remove(last.id))  # there and back again is no edit
        else:
            session.project.add(edit)
