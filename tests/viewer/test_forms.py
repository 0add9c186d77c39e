"""Forms for edits, made from their type hints: with a page that only remembers its controls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from recon4d.core import InputError
from recon4d.editors import InLayers
from recon4d.editors.edits.base import Edit
from recon4d.editors.edits.color import Recolor
from recon4d.editors.edits.move import Transform
from recon4d.editors.keys import Key, Span
from recon4d.editors.motions import PoseKey
from recon4d.scene import Scene
from recon4d.viewer import Project
from recon4d.viewer.forms import Form, can_fill
from recon4d.viewer.panels.edit import edit_kinds
from recon4d.viewer.playback import Playback
from recon4d.viewer.selecting import Selecting
from recon4d.viewer.wording import notes_of, summary_of, words
from tests.viewer.paper import Page


@pytest.fixture
def session(scene: Scene) -> Any:
    project = Project(scene)
    return SimpleNamespace(
        gui=Page(),
        project=project,
        selecting=Selecting(project, lambda: None),
        playback=Playback(scene.frame_times.numpy(), 0.25),
        guarded=lambda action: action,
        shared=SimpleNamespace(uploads=SimpleNamespace(names=lambda: ("hat.glb",), reference=lambda n: f"assets/{n}")),
    )


@pytest.mark.parametrize("kind", list(edit_kinds().values()), ids=lambda kind: kind.kind)
def test_every_offered_edit_has_a_form(session: Any, kind: type[Edit]):
    session.selecting.take(InLayers(("ball",)))
    form = Form(session, kind)
    assert set(form.values()) <= {field for field in kind.__dataclass_fields__}
    assert summary_of(kind)


def test_the_usual_edits_are_offered():
    kinds = {kind.kind for kind in edit_kinds().values()}
    assert kinds >= {
        "recolor", "grade", "opacity", "delete", "duplicate", "separate", "merge", "transform", "scale_part", "insert",
        "attach", "freeze", "speed", "reverse", "loop", "trim", "retime", "pose",
    }  # fmt: skip
    assert next(iter(edit_kinds())) == "Recolour"


def test_a_recolouring_for_a_part_of_the_time(session: Any):
    session.selecting.take(InLayers(("ball",)))
    form, page = Form(session, Recolor), session.gui.controls
    page["Colour"].set((255, 0, 51))
    page["Mode"].set("flat")
    page["Only for a part of the time"].set(True)
    page["To (s)"].set(0.5)
    page["Fade (s)"].set(0.1)
    made = form.make(name="red")
    assert made == Recolor(
        select=InLayers(("ball",)), color=(1.0, 0.0, 0.2), mode="flat", during=Span(0.0, 0.5, 0.1), name="red"
    )
    session.project.add(made)
    assert type(session.project.view.layer("ball").field).__name__ == "EditedField"


def test_an_edit_needs_a_selection(session: Any):
    with pytest.raises(InputError, match="selection"):
        Form(session, Recolor).make()


def test_keys_are_set_at_the_moment_that_is_shown(session: Any):
    session.selecting.take(InLayers(("ball",)))
    form, page = Form(session, Transform), session.gui.controls
    page["Translate"].set((0.0, 0.0, 0.5))
    page["Scale"].set((2.0, 2.0, 2.0))
    page["Key/Clear keys"].set("Key")
    session.playback.seek(0.75)
    page["Translate"].set((1.0, 0.0, 0.0))
    page["Ease"].set("linear")
    page["Key/Clear keys"].set("Key")
    made = form.make()
    assert made.scale == 2.0
    assert made.keys == (
        PoseKey(0.25, (0.0, 0.0, 0.5), scale=2.0),
        PoseKey(0.75, (1.0, 0.0, 0.0), scale=2.0, ease="linear"),
    )
    page["Key/Clear keys"].set("Clear keys")
    assert form.make().keys == ()


def test_keys_of_amounts(session: Any):
    session.selecting.take(InLayers(("ball",)))
    form, page = Form(session, Recolor), session.gui.controls
    page["Amount"].set(0.5)
    page["Key/Clear keys"].set("Key")
    assert form.make().keys == (Key(0.25, 0.5),)


def test_an_edit_that_is_changed_keeps_its_surfels(session: Any):
    before = Recolor(select=InLayers(("wall",)), color=(0.0, 1.0, 0.0), amount=0.7)
    session.selecting.take(InLayers(("ball",)))
    form, page = Form(session, Recolor, before), session.gui.controls
    assert form.make() == before
    page["Use what is selected now"].set(True)
    assert form.make().select == InLayers(("ball",))


def test_stretches_along_axes(session: Any):
    session.selecting.take(InLayers(("ball",)))
    form, page = Form(session, Transform), session.gui.controls
    page["Scale"].set((1.0, 2.0, 1.0))
    assert form.make().scale == (1.0, 2.0, 1.0)


def test_wrong_values_are_told_by_the_edit(session: Any):
    session.selecting.take(InLayers(("ball",)))
    form, page = Form(session, Recolor), session.gui.controls
    page["Amount"].set(3.0)
    with pytest.raises(InputError, match="amount"):
        form.make()


def test_notes_come_from_the_documents():
    assert notes_of(Recolor)["color"].startswith("red, green, blue")
    assert "carried by its motion" in notes_of(Transform)["frame"]
    assert words("name_part") == "Name part"
    assert words("recolor") == "Recolour"


def test_what_forms_cannot_give_is_not_offered():
    from recon4d.editors.edits.color import Paint

    assert not can_fill(Paint)
    assert "Paint" not in edit_kinds()
