"""The project: edits go through the editors, are saved at once, and come back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recon4d.core import InputError, SceneFormatError
from recon4d.editors import Delete, InLayers, load_stack, open_view
from recon4d.editors.edits.color import Recolor
from recon4d.editors.history import Enable, Move, Remove
from recon4d.scene import Scene, content_hash
from recon4d.viewer import Project
from recon4d.viewer.notes import FILE, CameraKey, Notes, read_notes, write_notes

BALL = InLayers(("ball",))
RED = Recolor(select=BALL, color=(1.0, 0.0, 0.0))
KEYS = (
    CameraKey(0.0, 0.1, (1.0, 2.0, 3.0), (1.0, 0.0, 0.0, 0.0), 40.0),
    CameraKey(1.5, 0.6, (0.0, 2.0, 3.0), (0.0, 1.0, 0.0, 0.0), 50.0),
)


def test_an_edit_is_seen_and_saved_at_once(folder: Path):
    project = Project.open(folder)
    told: list[int] = []
    project.listen(lambda: told.append(len(project.view.layers)))
    edit = project.add(Delete(select=BALL))
    assert edit.id == "delete-1"
    assert [layer.name for layer in project.view.layers] == ["blob", "wall"]
    assert told == [2]
    assert [layer.name for layer in open_view(folder).layers] == ["blob", "wall"]


def test_the_base_is_never_written(folder: Path):
    before = content_hash(folder)
    project = Project.open(folder)
    project.add(RED)
    project.add(Delete(select=BALL))
    project.undo()
    assert content_hash(folder) == before


def test_undo_and_redo_outlive_the_program(folder: Path):
    project = Project.open(folder)
    project.add(RED)
    project.add(Delete(select=BALL))
    project.undo()
    again = Project.open(folder)
    assert len(again.stack) == 1
    again.redo()
    assert len(again.stack) == 2
    again.undo()
    again.undo()
    assert len(again.stack) == 0
    with pytest.raises(InputError, match="undo"):
        again.undo()


def test_an_edit_that_cannot_be_made_changes_nothing(folder: Path):
    project = Project.open(folder)
    project.add(RED)
    view = project.view
    with pytest.raises(InputError, match="no such layer"):
        project.add(Delete(select=InLayers(("no such layer",))))
    assert project.view is view
    assert len(load_stack(folder)) == 1
    assert len(project.history.past) == 1


def test_edits_are_switched_moved_and_removed(folder: Path):
    project = Project.open(folder)
    first, second = project.add(RED), project.add(Delete(select=InLayers(("wall",))))
    project.do(Enable(second.id, enabled=False))
    assert len(project.view.layers) == 3
    project.do(Move(second.id, 0))
    assert [edit.id for edit in project.stack.edits] == [second.id, first.id]
    project.do(Remove(second.id))
    assert [edit.id for edit in project.stack.edits] == [first.id]
    for _ in range(3):
        project.undo()
    assert [edit.id for edit in project.stack.edits] == [first.id, second.id]
    assert len(project.view.layers) == 2


def test_a_preview_changes_nothing(folder: Path):
    project = Project.open(folder)
    assert len(project.with_edit(Delete(select=BALL)).layers) == 2
    assert len(project.view.layers) == 3
    assert len(project.stack) == 0


def test_a_scene_in_memory_is_edited_too(scene: Scene):
    project = Project(scene)
    project.add(Delete(select=BALL))
    project.undo()
    project.redo()
    assert len(project.view.layers) == 2
    project.replace_scene(Scene(scene.frame_times, scene.cameras, scene.layers[1:]))
    assert [layer.name for layer in project.view.layers] == ["wall"]


def test_trouble_with_the_disk_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch):
    project = Project.open(folder)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recon4d.editors.journal._write", full)
    with pytest.raises(InputError, match="No space left"):
        project.add(RED)
    assert project.trouble is not None
    assert "No space left" in project.trouble
    assert len(project.stack) == 0
    monkeypatch.undo()
    project.add(RED)
    assert project.trouble is None


def test_notes_come_back(folder: Path):
    project = Project.open(folder)
    project.note(Notes(KEYS, 0.25))
    again = Project.open(folder)
    assert again.notes == Notes(KEYS, 0.25)
    assert again.view.metres_per_unit == 0.25
    assert again.scene.metres_per_unit is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "JSON"),
        ("[]", "an object"),
        ('{"format": "other", "format_version": 1, "metres_per_unit": null, "keys": []}', "format"),
        ('{"format": "recon4d-viewer", "format_version": 2, "metres_per_unit": null, "keys": []}', "format_version"),
        ('{"format": "recon4d-viewer", "format_version": 1, "metres_per_unit": -1, "keys": []}', "metres_per_unit"),
        ('{"format": "recon4d-viewer", "format_version": 1, "metres_per_unit": null, "keys": [{}]}', "keys"),
        ('{"format": "recon4d-viewer", "format_version": 1, "metres_per_unit": null}', "keys"),
    ],
)
def test_damaged_notes_are_refused(folder: Path, text: str, said: str):
    (folder / FILE).write_text(text)
    with pytest.raises(SceneFormatError, match=said):
        read_notes(folder)


def test_keys_in_disorder_are_refused(folder: Path):
    write_notes(Notes((KEYS[1], KEYS[0])), folder)
    with pytest.raises(SceneFormatError, match="increase"):
        read_notes(folder)


def test_keys_with_impossible_values_are_refused(folder: Path):
    for wrong in (replace(KEYS[0], fov_degrees=0.0), replace(KEYS[0], rotation_wxyz=(0.0, 0.0, 0.0, 0.0))):
        write_notes(Notes((wrong,)), folder)
        with pytest.raises(SceneFormatError):
            read_notes(folder)
