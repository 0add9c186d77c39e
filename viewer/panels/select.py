"""Selecting: the tools, how they combine, and what can be done with a selection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recon4d.core import InputError
from recon4d.editors import All, Part
from recon4d.editors.edits.organise import NamePart
from recon4d.editors.selections.surface import Grow, Shrink
from recon4d.viewer.selecting import HOWS
from recon4d.viewer.text import escaped, shown
from recon4d.viewer.tools import HINTS, TOOLS

if TYPE_CHECKING:
    from recon4d.viewer.bench import Bench

_STEP = 0.04  # of the subject's radius, that a selection grows or shrinks by


class SelectPanel:
    """The controls of `tools` and `selecting`."""

    def __init__(self, bench: Bench, container: Any) -> None:
        self.bench, session = bench, bench.session
        self.session = session
        gui, tools = session.gui, bench.tools
        with container:
            self.tool = gui.add_dropdown("Tool", TOOLS, initial_value=tools.tool, hint="What the mouse does")
            self.words = gui.add_markdown(escaped(HINTS[tools.tool]))
            self.how = gui.add_button_group("Selection", HOWS, hint="Shift adds and Ctrl takes away, whatever is set")
            self.reach = gui.add_slider(
                "Reach",
                0.01,
                1.0,
                0.01,
                session.reach,
                hint="Of clicks, parts and the brush; the subject's radius is 1",
            )
            self.tolerance = gui.add_slider("Colour likeness", 0.02, 0.6, 0.01, tools.tolerance, visible=False)
            self.size = gui.add_vector3("Size", bench.region.size, min=(0.02,) * 3, step=0.05, visible=False)
            self.paint = gui.add_rgb("Paint", (51, 102, 230), visible=False)
            self.through = gui.add_checkbox("Also what is hidden behind", tools.through)
            self.count = gui.add_markdown("")
            self.more = gui.add_button_group("", ("None", "All", "Invert", "Back"), hint="Back is the selection before")
            self.grow = gui.add_button_group("", ("Grow", "Shrink"))
            with gui.add_folder("Named parts", expand_by_default=False):
                self.part_name = gui.add_text("Name", "", hint="A name for what is selected, as: left ear")
                self.name_part = gui.add_button("Name the selection")
                self.parts = gui.add_dropdown("Parts", ("none yet",))
                self.take_part = gui.add_button("Select the part")
        guarded = session.guarded
        self.tool.on_update(guarded(lambda _: tools.take(self.tool.value)))
        self.how.on_click(guarded(lambda _: self._set_how()))
        self.reach.on_update(guarded(lambda _: setattr(session, "reach", float(self.reach.value))))
        self.tolerance.on_update(guarded(lambda _: setattr(tools, "tolerance", float(self.tolerance.value))))
        self.through.on_update(guarded(lambda _: setattr(tools, "through", bool(self.through.value))))
        self.more.on_click(guarded(lambda _: self._press(self.more.value)))
        self.grow.on_click(guarded(lambda _: self._resize(self.grow.value)))
        self.size.on_update(guarded(lambda _: self._set_size()))
        self.paint.on_update(guarded(lambda _: self._set_paint()))
        self.name_part.on_click(guarded(lambda _: self._name()))
        self.take_part.on_click(guarded(lambda _: self._take_part()))
        tools.on_tool.append(self.refresh)
        session.on_selection.append(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the tool and the selection as they are now."""
        tools, selecting = self.bench.tools, self.session.selecting
        if self.tool.value != tools.tool:
            self.tool.value = tools.tool
        self.words.content = escaped(HINTS[tools.tool])
        self.tolerance.visible = tools.tool == "Colour"
        self.size.visible = tools.tool in ("Box", "Ball")
        self.paint.visible = tools.tool == "Paint"
        count = len(selecting)
        layers = ", ".join(escaped(name, 30) for name in selecting.marks)
        self.count.content = f"**{count:,} surfels** selected in {layers}" if count else "Nothing is selected."
        parts = tuple(shown(name) for name in sorted(self.session.project.view.parts)) or ("none yet",)
        if self.parts.options != parts:
            self.parts.options = parts

    def _set_how(self) -> None:
        self.bench.tools.how = self.how.value
        self.session.notify(f"Selections are now: {self.how.value}", seconds=1.5)

    def _set_size(self) -> None:
        x, y, z = (max(0.01, float(side)) for side in self.size.value)
        self.bench.region.resize((x, y, z))

    def _set_paint(self) -> None:
        red, green, blue = (channel / 255 for channel in self.paint.value)
        self.bench.tools.paint = (red, green, blue)

    def _press(self, button: str) -> None:
        selecting = self.session.selecting
        if button == "None":
            selecting.clear()
        elif button == "All":
            selecting.take(All())
        elif button == "Invert":
            selecting.invert()
        elif not selecting.back():
            self.session.notify("There is no selection before this one", seconds=2.0)

    def _resize(self, button: str) -> None:
        selecting = self.session.selecting
        distance = _STEP / self.session.shared.space.factor
        kind = Grow if button == "Grow" else Shrink
        selecting.take(kind(of=selecting.needed(), distance=distance))

    def _name(self) -> None:
        name = self.part_name.value.strip()
        if not name:
            raise InputError("name", expected="a name for the part", got="none", fix="type one, as: left ear")
        self.session.project.add(NamePart(part=name, select=self.session.selecting.needed(), name=f"Name {name}"[:120]))

    def _take_part(self) -> None:
        by_label = {shown(name): name for name in self.session.project.view.parts}
        if self.parts.value not in by_label:
            raise InputError("parts", expected="a part", got="none", fix="name a selection first")
        self.session.selecting.take(Part(by_label[self.parts.value]))
