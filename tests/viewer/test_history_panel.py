"""The history panel: names and groups, and edits that another program has changed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recon4d.editors import InLayers, Opacity, Recolor
from recon4d.editors import Session as Journal
from recon4d.editors.history import Add, Rename
from recon4d.editors.journal import EditsChangedError
from recon4d.viewer import Project
from recon4d.viewer.panels.history import HistoryPanel
from recon4d.viewer.session import Session
from tests.viewer.paper import Page


@pytest.fixture
def session(folder: Path) -> Any:
    project, told = Project.open(folder), []
    session = SimpleNamespace(gui=Page(), project=project, told=told, on_change=[], guarded=lambda action: action)
    session.notify = lambda *words, **_: told.append(words)
    project.listen(lambda: [refresh() for refresh in session.on_change])
    project.add(Recolor(select=InLayers(("ball",)), color=(1.0, 0.0, 0.0), id="red"))
    project.add(Opacity(select=InLayers(("wall",)), factor=0.5, id="half"))
    return session


@pytest.fixture
def panel(session: Any) -> HistoryPanel:
    return HistoryPanel(session, session.gui.add_folder("History"), lambda _: None)


def test_an_edit_gets_a_name_and_a_group(session: Any, panel: HistoryPanel):
    page, project = session.gui.controls, session.project
    page["History/red/Earlier/Later/Name"].set("Name")
    page["Name and group/Name"].set("a red ball")
    page["Name and group/Group"].set("colours")
    page["Name and group/Set"].set(True)
    red = project.stack.edit("red")
    assert (red.name, red.group) == ("a red ball", "colours")
    assert "History/colours \u00b7 a red ball/Earlier/Later/Name" in page
    project.undo()
    assert project.stack.edit("red").group == ""


def test_a_group_is_switched_as_one(session: Any, panel: HistoryPanel):
    page, project = session.gui.controls, session.project
    assert not panel.groups.visible
    for edit in ("red", "half"):
        panel.name(edit, "", "looks")
    assert panel.groups.visible
    page["Groups/On/Off"].set("Off")
    assert [edit.enabled for edit in project.stack.edits] == [False, False]
    project.undo()
    assert [edit.enabled for edit in project.stack.edits] == [True, True]
    for edit in ("red", "half"):
        panel.name(edit, "", "")
    assert not panel.groups.visible


def test_what_another_program_has_written_is_not_lost(session: Any, panel: HistoryPanel, folder: Path):
    project = session.project
    assert not panel.reload.visible
    Journal(folder).do(Rename("red", "theirs"))
    with pytest.raises(EditsChangedError):
        project.undo()
    assert panel.reload.visible
    assert "Another program" in panel.words.content
    assert Journal(folder).stack.edit("red").name == "theirs"
    assert project.stack.edit("red").name == ""
    panel.reload.set(True)
    assert not panel.reload.visible
    assert project.stack.edit("red").name == "theirs"
    project.undo()
    assert Journal(folder).stack == project.stack
    assert project.stack.edit("red").name == ""


def test_edits_of_another_program_are_seen_after_a_reload(session: Any, panel: HistoryPanel, folder: Path):
    Journal(folder).do(Add((Opacity(select=InLayers(("ball",)), factor=0.25),)))
    session.project.reload()
    opacities = session.project.view.layer("ball").field.canonical.opacities
    assert float(opacities.max()) == pytest.approx(0.95 * 0.25, abs=1e-3)


def test_the_artist_is_told_what_to_do():
    told: list[tuple[str, ...]] = []
    window = SimpleNamespace(notify=lambda *words, **_: told.append(words))

    def fail() -> None:
        raise EditsChangedError("edits", expected="a", got="b", fix="c")

    assert not Session.attempt(window, fail)  # type: ignore[arg-type]
    assert "Reload" in told[0][1]
