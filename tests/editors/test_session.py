"""Stacks, history, the journal, and the command."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recon4d.cli import main
from recon4d.core import InputError
from recon4d.editors import (
    Delete,
    EditsChangedError,
    EditStack,
    Ids,
    InLayers,
    Insert,
    Opacity,
    Recolor,
    Session,
    evaluate,
    load_stack,
    open_view,
)
from recon4d.editors.history import Add, Enable, Group, History, Move, Remove, Rename, Replace, SetStack
from recon4d.editors.journal import JOURNAL
from recon4d.scene import content_hash, load, save
from tests.editors.scenes import ball, scene

A = Delete(select=InLayers(("a",)), id="a")
B = Opacity(select=InLayers(("b",)), id="b", group="light")
C = Recolor(select=InLayers(("c",)), id="c", color=(1, 0, 0))
STACK = EditStack((A, B, C))


def test_operations_give_new_stacks():
    ids = lambda stack: [edit.id for edit in stack.edits]  # noqa: E731
    assert ids(Move("c", 0).apply(STACK)) == ["c", "a", "b"]
    assert ids(Remove("b").apply(STACK)) == ["a", "c"]
    assert ids(Add((Delete(select=InLayers(("d",))),), 1).apply(STACK)) == ["a", "delete-1", "b", "c"]
    assert Enable(group="light", enabled=False).apply(STACK).edit("b").enabled is False
    assert Rename("a", "off").apply(STACK).edit("a").name == "off"
    assert [edit.group for edit in Group(("a", "c"), "g").apply(STACK).edits] == ["g", "light", "g"]
    assert Replace("b", Delete(select=InLayers(("x",)))).apply(STACK).edit("b").kind == "delete"
    assert SetStack((C,)).apply(STACK) == EditStack((C,))
    assert ids(STACK) == ["a", "b", "c"]
    for wrong in (Remove("x"), Move("a", 3), Enable(group="none"), Add((A,))):
        with pytest.raises(InputError):
            wrong.apply(STACK)


def test_undo_and_redo_walk_along_all_stacks():
    history = History(STACK)
    stacks = [STACK]
    for operation in (Remove("b"), Move("c", 0), Rename("c", "red")):
        history = history.do(operation)
        stacks.append(history.stack)
    for stack in stacks[-2::-1]:
        history = history.undo()
        assert history.stack == stack
    with pytest.raises(InputError, match="something to undo"):
        history.undo()
    for stack in stacks[1:]:
        history = history.redo()
        assert history.stack == stack
    with pytest.raises(InputError, match="something undone"):
        history.redo()
    assert history.undo().do(Remove("a")).future == ()


def test_a_session_survives_the_program(tmp_path: Path):
    session = Session(tmp_path)
    session.do(Add((A, B)))
    session.do(Move("b", 0))
    session.undo()
    later = Session(tmp_path)
    assert later.stack == load_stack(tmp_path) == EditStack((A, B))
    assert [edit.id for edit in later.redo().edits] == ["b", "a"]
    assert later.undo() == EditStack((A, B))
    assert later.undo() == EditStack()


def test_a_crash_between_journal_and_document_loses_nothing(tmp_path: Path):
    session = Session(tmp_path)
    session.do(Add((A,)))
    before = (tmp_path / "edits.json").read_bytes()
    session.do(Add((B,)))
    (tmp_path / "edits.json").write_bytes(before)
    assert Session(tmp_path).stack == EditStack((A, B))
    assert load_stack(tmp_path) == EditStack((A, B))


def test_a_document_that_is_taken_away_starts_anew(tmp_path: Path):
    session = Session(tmp_path)
    session.do(Add((A,)))
    (tmp_path / "edits.json").unlink()
    later = Session(tmp_path)
    assert later.stack == EditStack()
    assert later.history.past == ()
    assert later.do(Add((B,))) == EditStack((B,))
    assert Session(tmp_path).undo() == EditStack()


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_torn_last_line_is_dropped(tmp_path: Path, cut: int):
    session = Session(tmp_path)
    session.do(Add((A,)))
    session.do(Add((B,)))
    whole = (tmp_path / JOURNAL).read_bytes()
    # Cut within the last line: a crash while it was appended, before edits.json was replaced.
    (tmp_path / JOURNAL).write_bytes(whole[:-cut])
    (tmp_path / "edits.json").write_bytes(
        json.dumps({"format": "recon4d-edits", "format_version": 1, "edits": [json.loads(_line(A))]}).encode()
    )
    torn = Session(tmp_path)
    # A line that lacks its end of line only is whole.
    assert torn.stack == (EditStack((A, B)) if cut == 1 else EditStack((A,)))
    torn.do(Add((C,)))
    again = Session(tmp_path)
    assert again.stack == torn.stack
    assert again.undo() == (EditStack((A, B)) if cut == 1 else EditStack((A,)))


def test_two_programs_lose_neither_edits_nor_history(tmp_path: Path):
    one, other = Session(tmp_path), Session(tmp_path)
    one.do(Add((A,)))
    # The other knows a folder without edits.
    with pytest.raises(EditsChangedError, match="another program changed the edits"):
        other.do(Add((B,)))
    assert other.stack == EditStack()
    assert other.reload() == EditStack((A,))
    other.do(Add((B,)))
    for change in (lambda: one.do(Add((C,))), one.undo):
        with pytest.raises(EditsChangedError):
            change()
    assert one.stack == EditStack((A,))
    assert load_stack(tmp_path) == Session(tmp_path).stack == EditStack((A, B))
    one.reload()
    assert one.do(Add((C,))) == STACK
    later = Session(tmp_path)
    assert later.stack == STACK
    assert [later.undo() for _ in range(3)] == [EditStack((A, B)), EditStack((A,)), EditStack()]


def test_edits_that_another_program_made_and_took_back_are_seen(tmp_path: Path):
    one = Session(tmp_path)
    one.do(Add((A,)))
    one.do(Add((B,)))
    one.undo()
    other = Session(tmp_path)
    other.do(Add((C,)))
    other.undo()
    # The edits are those that this one knows, but what can be done again is not.
    with pytest.raises(EditsChangedError):
        one.redo()
    one.reload()
    assert one.redo() == EditStack((A, C))
    assert Session(tmp_path).undo() == EditStack((A,))


def test_many_writers_at_once_lose_nothing(tmp_path: Path):
    # Locks are of opened files, so that threads stand for programs.
    def write(name: str) -> None:
        session = Session(tmp_path)
        for i in range(8):
            edit = Opacity(select=InLayers(("x",)), id=f"{name}{i}")
            while True:
                try:
                    session.do(Add((edit,)))
                    break
                except EditsChangedError:
                    session.reload()

    with ThreadPoolExecutor(3) as writers:
        list(writers.map(write, "abc"))
    session = Session(tmp_path)
    assert sorted(edit.id for edit in session.stack.edits) == [f"{name}{i}" for name in "abc" for i in range(8)]
    assert load_stack(tmp_path) == session.stack
    assert len(session.history.past) == 24


def test_a_session_goes_on_after_its_own_write_failed(tmp_path: Path, monkeypatch):
    session = Session(tmp_path)
    session.do(Add((A,)))

    def full(*_: object) -> None:
        raise InputError("disk", expected="space", got="none", fix="make some")

    with monkeypatch.context() as patch:
        patch.setattr("recon4d.editors.journal.save_stack", full)
        with pytest.raises(InputError, match="disk"):
            session.do(Add((B,)))
    # Journalled it was, so it is made; what is on the disk is nobody else's.
    assert session.do(Add((C,))) == STACK
    assert Session(tmp_path).undo() == EditStack((A, B))


def _line(edit) -> str:
    from recon4d.editors.values import to_json

    return json.dumps(to_json(edit))


def test_a_document_changed_by_hand_wins_over_the_journal(tmp_path: Path):
    session = Session(tmp_path)
    session.do(Add((A,)))
    text = (tmp_path / "edits.json").read_text().replace('"a"', '"z"')
    (tmp_path / "edits.json").write_text(text)
    later = Session(tmp_path)
    assert [edit.id for edit in later.stack.edits] == ["z"]
    assert later.history.past == ()
    (tmp_path / JOURNAL).write_bytes(b"\x00garbage\n")
    assert [edit.id for edit in Session(tmp_path).stack.edits] == ["z"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "s.r4d"
    save(scene(300), path)
    return path


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main(["edit", *map(str, arguments)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_the_command_edits_undoes_and_lists(folder: Path, tmp_path: Path, capsys):
    base = content_hash(folder)
    script = tmp_path / "script.json"
    script.write_text(
        '[{"kind": "delete", "select": {"kind": "ids", "layer": "ball", "ranges": [0, 99]}},'
        ' {"kind": "opacity", "select": {"kind": "layer", "names": ["animal"]}, "factor": 0.5}]'
    )
    code, out, _ = run(capsys, folder, script, "--dry-run")
    assert code == 0
    assert "2 edits would be in the stack" in out
    assert not (folder / "edits.json").exists()
    code, out, _ = run(capsys, folder, script)
    assert code == 0
    assert "added: delete-1, opacity-1" in out
    assert "ball: 200 surfels (300 before)" in out
    assert len(open_view(folder).layer("ball").field) == 200
    assert run(capsys, folder, "--disable", "delete-1")[0] == 0
    assert len(open_view(folder).layer("ball").field) == 300
    code, out, _ = run(capsys, folder, "--list")
    assert "disabled" in out
    assert "2 edits; 2 to undo, 0 to redo" in out
    assert run(capsys, folder, "--undo")[0] == run(capsys, folder, "--undo")[0] == 0
    assert load_stack(folder) == EditStack()
    assert run(capsys, folder, "--redo")[0] == 0
    assert content_hash(folder) == base


def ids(folder: Path) -> list[str]:
    return [edit.id for edit in load_stack(folder).edits]


def test_the_command_orders_names_and_groups(folder: Path, tmp_path: Path, capsys):
    script = tmp_path / "script.json"
    edit = '{"kind": "opacity", "id": "ID", "select": {"kind": "layer", "names": ["ball"]}, "factor": 0.5}'
    script.write_text("[" + ", ".join(edit.replace("ID", name) for name in "abc") + "]")
    assert run(capsys, folder, script, "--replace")[0] == 0
    for place, order in (("0", "cab"), ("after:a", "acb"), ("2", "abc"), ("before:b", "acb"), ("before:a", "cab")):
        assert run(capsys, folder, "--move", "c", place)[0] == 0
        assert ids(folder) == list(order)
    assert run(capsys, folder, "--rename", "a", "fade out")[0] == 0
    assert load_stack(folder).edit("a").name == "fade out"
    assert run(capsys, folder, "--group", "light", "a", "c")[0] == 0
    assert [edit.group for edit in load_stack(folder).edits] == ["light", "light", ""]
    assert run(capsys, folder, "--disable", "light")[0] == 0
    assert [edit.enabled for edit in load_stack(folder).edits] == [False, False, True]
    assert run(capsys, folder, "--enable", "light")[0] == run(capsys, folder, "--group", "", "a")[0] == 0
    edits = load_stack(folder).edits
    assert [(edit.group, edit.enabled) for edit in edits] == [("light", True), ("", True), ("", True)]
    assert run(capsys, folder, "--undo")[0] == 0
    assert load_stack(folder).edit("a").group == "light"
    before = load_stack(folder)
    for arguments, said in (
        (("--move", "c", "3"), "place: expected 0 to 2, or before:ID or after:ID"),
        (("--move", "c", "before:c"), "place: expected 0 to 2"),
        (("--move", "c", "after:x"), "edit: expected 'a', 'b', got 'x'"),
        (("--move", "x", "0"), "edit: expected 'c', 'a', 'b', got 'x'"),
        (("--rename", "x", "y"), "edit: expected"),
        (("--group", "g"), "--group: expected a name and ids"),
        (("--group", "g", "x"), "edit: expected"),
        (("--disable", "dark"), "edit: expected"),
        (("--move", "c", "0", "--undo"), "got --undo and --move"),
    ):
        code, _, err = run(capsys, folder, *arguments)
        assert (code, len(err.splitlines())) == (2, 1)
        assert said in err
    assert load_stack(folder) == before


def test_the_command_works_on_what_another_program_saves_meanwhile(folder: Path, tmp_path: Path, capsys, monkeypatch):
    script = tmp_path / "script.json"
    script.write_text('{"kind": "opacity", "id": "mine", "select": {"kind": "all"}, "factor": 0.5}')
    theirs = iter([Opacity(select=InLayers(("ball",)), id="theirs", factor=0.5)])

    def tried(*arguments: object, **options: object):
        for edit in theirs:
            Session(folder).do(Add((edit,)))
        return evaluate(*arguments, **options)

    monkeypatch.setattr("recon4d.cli.edit.evaluate", tried)
    before = ids(folder)
    assert run(capsys, folder, script)[0] == 0
    assert ids(folder) == [*before, "theirs", "mine"]
    assert run(capsys, folder, "--undo")[0] == 0
    assert ids(folder) == [*before, "theirs"]


def test_the_command_refuses_and_changes_nothing(folder: Path, tmp_path: Path, capsys):
    before = load_stack(folder)
    script = tmp_path / "script.json"
    script.write_text('{"kind": "delete", "id": "x", "select": {"kind": "layer", "names": ["cat"]}}')
    code, _, err = run(capsys, folder, script)
    assert code == 2
    assert err.startswith(
        "recon4d: edit 'x' (delete): select.names: expected one of 'animal', 'ball', 'floor', got 'cat'"
    )
    assert len(err.splitlines()) == 1
    for arguments in (
        [folder],
        [folder, script, "--undo"],
        [folder, tmp_path / "none.json"],
        [folder, "--remove", "y"],
    ):
        assert run(capsys, *arguments)[0] == 2
    assert load_stack(folder) == before


def test_files_of_a_script_come_along(folder: Path, tmp_path: Path, capsys):
    from dataclasses import replace

    from recon4d.field import IdentityWarp
    from recon4d.scene import Layer, Scene

    thing = replace(ball(), warp=IdentityWarp())
    other = scene(50)
    save(Scene(other.frame_times, other.cameras, [Layer("thing", "object", thing)]), tmp_path / "thing.r4d")
    script = tmp_path / "script.json"
    script.write_text('{"kind": "insert", "asset": {"path": "thing.r4d"}, "layer": "thing", "size": 0.5}')
    assert run(capsys, folder, script)[0] == 0
    (insert,) = [edit for edit in load_stack(folder).edits if isinstance(edit, Insert)]
    assert insert.asset.path.startswith("assets/thing-")
    assert (folder / insert.asset.path / "scene.json").is_file()
    inserted = open_view(folder).layer("thing").field
    extent = inserted.canonical.centers.amax(0) - inserted.canonical.centers.amin(0)
    assert float(extent.max()) == pytest.approx(0.5, abs=1e-4)
    assert bool((inserted.ids >= 1 << 62).all())
    (folder / insert.asset.path / "scene.json").write_text("{}")
    code = main(["render", str(folder), "-o", str(tmp_path / "x.png")])
    assert code == 2
    assert "insert-1" in capsys.readouterr().err
    # What brought the damaged thing in can still be taken back.
    assert run(capsys, folder, "--undo")[0] == 0


def test_ids_beyond_the_layer_are_refused(folder: Path):
    stack = EditStack((Delete(select=Ids("ball", (300, 400))),))
    with pytest.raises(InputError, match="ids of layer 'ball', from 0 to 299"):
        evaluate(load(folder), stack)
