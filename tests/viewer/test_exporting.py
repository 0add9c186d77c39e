"""Exports as the output panel asks for them: with what was chosen, in every format that can be written here."""

from __future__ import annotations

import json
import struct
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recon4d.export.formats import FORMATS, export_scene
from recon4d.viewer import Project
from recon4d.viewer.exporting import Moment, options_of, request_of
from recon4d.viewer.forms import Form
from recon4d.viewer.inputs import Inputs
from recon4d.viewer.jobs import Job
from recon4d.viewer.panels.output import OutputPanel
from recon4d.viewer.playback import Playback
from tests.viewer.paper import Page


@pytest.fixture
def session(folder: Path) -> Any:
    project = Project.open(folder)
    return SimpleNamespace(
        gui=Page(), project=project, playback=Playback(project.view.frame_times.numpy(), 0.25), on_change=[],
        upkeep=nullcontext(), guarded=lambda action: action,
        shared=SimpleNamespace(inputs=Inputs(project.scene, folder, None)),
        told=[], notify=lambda *words, **_: session.told.append(words), client=SimpleNamespace(),
    )  # fmt: skip


@pytest.fixture
def panel(session: Any, monkeypatch: pytest.MonkeyPatch) -> OutputPanel:
    """The panel, whose requests are kept and not made."""
    made = OutputPanel(session, session.gui.add_folder("Output"))
    session.asked = []

    def begin(_: str, work: Any) -> None:
        monkeypatch.setattr(
            "recon4d.viewer.panels.output.export_scene",
            lambda view, name, request: (
                session.asked.append((name, request)) or SimpleNamespace(numbers={}, warnings=(), files=(request.path,))
            ),
        )
        work(Job("export", lambda *_: None, lambda *_: None), session.project.folder)

    monkeypatch.setattr(made, "_begin", begin)
    return made


def press(session: Any, label: str) -> None:
    session.gui.controls[label].set(True)


def test_what_is_chosen_is_asked_for(session: Any, panel: OutputPanel):
    page = session.gui.controls
    page["Faces"].set(500)
    page["Texture"].set("vertex")
    page["Morph"].set(True)
    page["Fill holes"].set(True)
    page["ball"].set(True)
    page["Set fps"].set(True)
    page["Fps"].set(12.0)
    press(session, "Output/Export/Export")
    ((name, request),) = session.asked
    assert name == "glb"
    assert (request.faces, request.texture, request.morph, request.fill_holes) == (500, "vertex", True, True)
    assert (request.layers, request.fps, request.at) == (("ball",), 12.0, None)
    assert request.scene_path == session.project.folder


def test_each_format_offers_what_it_heeds(session: Any, panel: OutputPanel):
    heeded = {name: {field.name for field in fields(options_of(name))} for name in FORMATS}
    assert heeded["glb"] > heeded["obj-sequence"] > heeded["nerfstudio"] > heeded["splats"]
    assert {"faces", "texture", "morph"} <= heeded["usd"]
    page = session.gui.controls
    page["Format"].set("Gaussian splats of one moment (splats)")
    assert panel.options.kind is Moment
    page["Set at"].set(True)
    press(session, "Output/Export/Export")
    assert session.asked[0][1].at == 0.25  # the moment that was shown


def test_the_film_that_was_named_gives_the_texture(session: Any, panel: OutputPanel, tmp_path: Path):
    session.shared.inputs = Inputs(session.project.scene, session.project.folder, tmp_path / "film.mp4")
    press(session, "Output/Export/Export")
    assert session.asked[0][1].frames == tmp_path / "film.mp4"


def test_a_glb_has_the_faces_that_were_chosen(session: Any, tmp_path: Path):
    form, page = Form(session, options_of("glb")), session.gui.controls
    page["Faces"].set(300)
    page["Texture"].set("vertex")
    page["blob"].set(True)
    request = request_of(form.make(), tmp_path / "blob.glb", scene_path=None, frames=None, progress=lambda *_: None)
    export_scene(session.project.view, "glb", request)
    content = (tmp_path / "blob.glb").read_bytes()
    document = json.loads(content[20 : 20 + struct.unpack_from("<I", content, 12)[0]])
    meshes = [primitive for mesh in document["meshes"] for primitive in mesh["primitives"]]
    assert 50 < sum(document["accessors"][one["indices"]]["count"] for one in meshes) // 3 <= 300
    assert all("COLOR_0" in one["attributes"] for one in meshes)
