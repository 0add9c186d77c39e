"""Every edit that the viewer offers: made by its form, put into the scene, and opened again without a change."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import trimesh

from recon4d.core import InputError
from recon4d.editors import AssetFile, Delete, InLayers, Insert, MergeLayers, Recolor, RenameLayer, Retarget
from recon4d.editors.edits.base import Edit
from recon4d.editors.values import hints_of
from recon4d.field import Field
from recon4d.scene import Layer, Scene, save
from recon4d.viewer import Project
from recon4d.viewer.forms import Form
from recon4d.viewer.names import FILES, LAYERS, NEW_LAYERS
from recon4d.viewer.panels.edit import edit_kinds
from recon4d.viewer.playback import Playback
from recon4d.viewer.selecting import Selecting
from recon4d.viewer.uploads import Uploads
from tests.export.scenes import TIMES, blob, layered_scene, two_bones
from tests.viewer.paper import Page


def twin_scene() -> Scene:
    """A bending blob, a second one beside it, a ball and a wall."""
    scene = layered_scene()
    surfels = blob(300, 0.5, (0.2, 0.7, 0.3), seed=3, shift=(0.0, 2.0, 0.0))
    twin = Layer("twin", "object", Field(surfels, torch.arange(len(surfels)), two_bones(surfels)))
    return Scene(TIMES, scene.cameras, [*scene.layers, twin])


@pytest.fixture
def session(tmp_path: Path) -> Any:
    """A session of a scene with two files in it."""
    folder = tmp_path / "clip.r4d"
    save(twin_scene(), folder)
    (folder / "assets").mkdir()
    for i, name in enumerate(("hat.glb", "vase.glb")):
        trimesh.creation.icosphere(1, 0.3 + 0.2 * i).export(folder / "assets" / name)
    found = session_on(Project.open(folder))
    found.selecting.take(InLayers(("blob",)))
    return found


def session_on(project: Project) -> Any:
    """What forms ask of a session."""
    return SimpleNamespace(
        gui=Page(),
        upkeep=nullcontext(),
        project=project,
        selecting=Selecting(project, lambda: None),
        playback=Playback(project.view.frame_times.double().numpy(), 0.25),
        guarded=lambda action: action,
        shared=SimpleNamespace(uploads=Uploads(project.folder)),
    )


# What a person sets where the controls cannot know it.
SET: dict[str, dict[str, Any]] = {
    "attach": {"Layer": "ball", "To": "blob"},
    "insert": {"Asset/Path": "hat.glb", "Asset/Surfels": 200},
    "loop": {"End": 0.5},
    "merge": {"Layers/blob": True, "Layers/twin": True, "Into": "both"},
    "pose": {"Bones/Rotate": (0.0, 0.0, 30.0)},
    "remove": {"Views": 2},
    "rename_layer": {"To": "cloud"},
    "replace": {"Layer": "blob", "Asset/Path": "vase.glb", "Asset/Surfels": 200},
    "retarget": {"Layer": "twin", "Source": "blob", "Set yaw": True, "Yaw/Yaw": 0.0},
    "retime": {"Animate/Shows the moment (s)": 0.75, "Animate/Key/Clear keys": "Key"},
    "deform": {"Handles/Center": (0.5, 0.0, 0.0), "Handles/Radius": 0.4, "Handles/Translate": (0.2, 0.0, 0.0)},
    "scale_part": {"Factor": (1.5, 1.5, 1.5)},
    "speed": {"Factor": 0.5},
}
KINDS = sorted(edit_kinds().values(), key=lambda kind: kind.kind)


def filled(session: Any, kind: type[Edit]) -> Form:
    """The form of a kind of edit as a person fills it in."""
    form = Form(session, kind)
    for label, value in SET.get(kind.kind, {}).items():
        session.gui.controls[label].set(value)
    return form


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_edit_is_made_and_opened_again_as_it_is(session: Any, kind: type[Edit]):
    made = session.project.add(filled(session, kind).make(name="mine"))
    assert type(made) is kind
    again = session_on(session.project)
    assert Form(again, kind, made).make() == made


def test_a_layer_takes_over_the_motion_of_another(session: Any):
    made = filled(session, Retarget).make()
    assert (made.layer, made.source, made.asset) == ("twin", "blob", None)
    before = session.project.view.layer("twin").field
    session.project.add(made)
    after = session.project.view.layer("twin").field
    assert not torch.allclose(before.at(1.0).centers, after.at(1.0).centers, atol=1e-3)


def test_motion_comes_from_a_file_where_no_layer_is_named(session: Any):
    form, page = Form(session, Retarget), session.gui.controls
    page["Set asset"].set(True)
    page["Asset/Asset/Path"].set("vase.glb")
    made = form.make()
    assert made.source == ""
    assert made.asset == AssetFile("assets/vase.glb")


def test_an_inserted_file_stays_the_one_that_it_was(session: Any):
    old = session.project.add(
        Insert(asset=AssetFile("assets/hat.glb", sha256="ab" * 32, surfels=7), layer="hat", enabled=False, group="g")
    )
    form, page = Form(session, Insert, old), session.gui.controls
    assert page["Path"].value == "hat.glb"
    assert form.make() == old
    page["Scale"].set(2.0)
    assert form.make() == dataclasses.replace(old, scale=2.0)
    page["Path"].set("vase.glb")
    assert form.make().asset == AssetFile("assets/vase.glb", surfels=7)


def test_a_file_that_is_elsewhere_is_offered_still(session: Any):
    old = Insert(asset=AssetFile("/far/away/hat.glb", sha256="ab" * 32), layer="hat")
    assert Form(session, Insert, old).make() == old
    session.shared.uploads = Uploads(None)  # and where there is no other file
    assert Form(session, Insert, old).make() == old


def test_layers_that_an_edit_took_away_are_offered_still(session: Any):
    project = session.project
    renamed = project.add(RenameLayer(layer="blob", to="cloud"))
    merged = project.add(MergeLayers(layers=("twin", "ball"), into="both"))
    assert [layer.name for layer in project.state.layers] == ["cloud", "wall", "both"]
    assert Form(session, RenameLayer, renamed).make() == renamed
    assert Form(session, MergeLayers, merged).make() == merged


def test_numbers_that_nobody_touches_keep_every_digit(session: Any):
    old = Recolor(select=InLayers(("blob",)), color=(0.123456, 1 / 3, 0.7), amount=1 / 3)
    form, page = Form(session, Recolor, old), session.gui.controls
    assert form.make() == old
    page["Colour"].set((31, 85, 200))
    assert form.make().color == (31 / 255, 85 / 255, 200 / 255)


def test_a_moment_is_shown_at_another(session: Any):
    form = filled(session, edit_kinds()["Retime"])
    assert [(key.time, key.value) for key in form.make().keys] == [(0.25, 0.75)]


def test_every_text_of_an_edit_is_known_for_what_it_is():
    """A new text is looked at by somebody: is it a layer, a file, or words?"""
    free = {("rename_layer", "to"), ("merge", "into"), ("duplicate", "layer"), ("AssetFile", "action"),
            ("AssetFile", "layer")}  # fmt: skip
    known = LAYERS.items() | NEW_LAYERS.items() | FILES.items()
    named = {(_name(kind), name) for kind, texts in known for name in texts} | free
    found = {
        (_name(kind), name)
        for kind in (*KINDS, AssetFile)
        for name, hint in hints_of(kind).items()
        if hint in (str, str | None) and name not in ("id", "name", "group", "sha256")
    }
    assert found == named


def _name(kind: type) -> str:
    return str(getattr(kind, "kind", kind.__name__))


def test_what_a_mesh_brought_in_has_no_form():
    assert "Mesh edit" not in edit_kinds()


def test_an_edit_that_needs_a_layer_or_a_file_says_so(session: Any):
    Form(session, Retarget)
    with pytest.raises(InputError, match="a layer or an asset"):
        Form(session, Retarget).make()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_form_opens_on_a_scene_from_which_all_was_deleted(tmp_path: Path, kind: type[Edit]):
    save(twin_scene(), tmp_path / "clip.r4d")
    project = Project.open(tmp_path / "clip.r4d")
    project.add(Delete(select=InLayers(tuple(layer.name for layer in project.view.layers))))
    assert not project.state.layers
    session = session_on(project)
    form = Form(session, kind)
    needs_a_layer = "layer" in LAYERS.get(kind, ())
    assert any("no layer left" in text for text in session.gui.texts) == needs_a_layer
    # Made or refused with a line that says why, never with an error of the program.
    with pytest.raises(InputError) if needs_a_layer else suppress(InputError):
        project.add(form.make())
