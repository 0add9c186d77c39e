"""All panels of one session, and where they stand in the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon4d.viewer.bench import Bench
from recon4d.viewer.overlays import Meshes, Trails
from recon4d.viewer.panels.edit import EditPanel
from recon4d.viewer.panels.help import HelpPanel
from recon4d.viewer.panels.history import HistoryPanel
from recon4d.viewer.panels.layers import LayersPanel
from recon4d.viewer.panels.looking import LookingPanel
from recon4d.viewer.panels.output import OutputPanel
from recon4d.viewer.panels.review import ReviewPanel
from recon4d.viewer.panels.select import SelectPanel
from recon4d.viewer.panels.selecting_more import MaskPanel, PlanePanel, ValuesPanel
from recon4d.viewer.panels.timeline import TimelinePanel

if TYPE_CHECKING:
    from recon4d.viewer.session import Session

_LEFT = 270  # pixels
_RIGHT = 330


class Window:
    """The controls of one browser: layers and history on the left, tools on the right, the timeline below."""

    def __init__(self, session: Session) -> None:
        self.bench = Bench(session)
        gui = session.gui
        gui.main_panel.dock_right()
        gui.main_panel.set_width(_RIGHT)
        tabs = gui.add_tab_group()
        edit, look = tabs.add_tab("Edit", "edit"), tabs.add_tab("Look", "eye")
        output, first_steps = tabs.add_tab("Output", "movie"), tabs.add_tab("Help", "help")
        self.timeline = TimelinePanel(session)
        with edit:
            select_folder = gui.add_folder("Select")
        self.select = SelectPanel(self.bench, select_folder)
        self.values = ValuesPanel(self.bench, select_folder)
        self.plane = PlanePanel(self.bench, select_folder)
        self.mask = MaskPanel(self.bench, select_folder)
        self.edit = EditPanel(self.bench, edit)
        self.looking = LookingPanel(session, look)
        self.review = ReviewPanel(self.bench, look)
        self.output = OutputPanel(session, output)
        self.help = HelpPanel(session, first_steps)
        left = gui.add_panel()
        self.layers = LayersPanel(session, left.add_tab("Layers", "stack-2"))
        self.history = HistoryPanel(session, left.add_tab("History", "history"), self.edit.change)
        self.overlays = (Trails(session), Meshes(session))
        left.dock_left()
        left.set_width(_LEFT)
        self.timeline.panel.float(x=60, y=-10, width=560)
