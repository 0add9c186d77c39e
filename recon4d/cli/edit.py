"""`recon4d edit`: edits of a scene, by script."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from recon4d.cli.console import print_line, print_table
from recon4d.core import InputError
from recon4d.editors import Edit, EditsChangedError, EditStack, SceneView, Session, evaluate, json_schema
from recon4d.editors.asset_files import adopt, located
from recon4d.editors.document import MAX_DOCUMENT_BYTES, script_from_bytes
from recon4d.editors.history import Add, Enable, Group, Move, Operation, Remove, Rename, SetStack
from recon4d.scene import Scene, load

_ATTEMPTS = 5  # at writing edits that other programs change at the same time


@dataclass(frozen=True)
class EditOptions:
    """The command's options, named and described in `app.edit`."""

    dry_run: bool
    replace: bool
    undo: bool
    redo: bool
    list: bool
    remove: str | None
    enable: str | None
    disable: str | None
    move: tuple[str, str] | None
    rename: tuple[str, str] | None
    group: tuple[str, ...] | None
    text: str | None
    model: Path | None


def edit_scene(path: Path, script: Path | None, options: EditOptions, *, quiet: bool) -> None:
    """Change the edits of the scene in the folder `path`, and say what came of it unless `quiet`."""
    _check_one(script, options)
    scene = load(path)
    session = Session(path)
    if options.list:
        _print_stack(session.stack, session)
        return
    for left in range(_ATTEMPTS - 1, -1, -1):
        before = session.stack
        try:
            stack, view = _changed(session, scene, script, options, quiet=quiet)
            break
        except EditsChangedError:
            # A viewer, say, saved an edit while this one was tried: try it on what is there now.
            if not left:
                raise
            session.reload()
    if not quiet:
        _report(scene, before, stack, view, dry_run=options.dry_run)


def _changed(
    session: Session, scene: Scene, script: Path | None, options: EditOptions, *, quiet: bool
) -> tuple[EditStack, SceneView]:
    """Make the change, or only try it; the stack after it and what that shows."""
    path = session.folder
    if options.undo or options.redo:
        stack = (session.history.undo() if options.undo else session.history.redo()).stack
        view = evaluate(scene, stack, folder=path)
        if not options.dry_run:
            session.undo() if options.undo else session.redo()
        return stack, view
    if options.text is not None:
        tried: Operation = Add((_suggested(scene, session.stack, path, options, quiet=quiet),))
    else:
        tried = _operation(script, options, session, adopted=False)
    stack = tried.apply(session.stack)
    # Everything is tried before anything is written.
    view = evaluate(scene, stack, folder=path)
    if not options.dry_run:
        stack = session.do(tried if script is None else _operation(script, options, session, adopted=True))
    return stack, view


def print_schema() -> None:
    """Print the JSON schema of edits."""
    print_line(json.dumps(json_schema(), indent=1))


def _check_one(script: Path | None, options: EditOptions) -> None:
    named = {
        "a script": script is not None,
        "--undo": options.undo,
        "--redo": options.redo,
        "--list": options.list,
        "--remove": options.remove is not None,
        "--enable": options.enable is not None,
        "--disable": options.disable is not None,
        "--move": options.move is not None,
        "--rename": options.rename is not None,
        "--group": options.group is not None,
        "--text": options.text is not None,
    }
    given = [name for name, there in named.items() if there]
    if len(given) != 1:
        names = list(named)
        expected = f"one of {', '.join(names[:-1])} or {names[-1]}"
        raise InputError("edit", expected=expected, got=" and ".join(given) or "none", fix="see recon4d edit --help")
    if (options.text is None) != (options.model is None):
        got = "--text alone" if options.model is None else "--model alone"
        raise InputError("--text", expected="--text and --model together", got=got, fix="see docs/editing.md")
    if options.replace and script is None:
        raise InputError("--replace", expected="a script", got="none", fix="name the script that takes over")


def _operation(script: Path | None, options: EditOptions, session: Session, *, adopted: bool) -> Operation:
    """What the options ask for; `adopted` copies the files of a script into the scene's folder."""
    if script is not None:
        edits = script_from_bytes(_read(script), str(script))
        if not edits:
            raise InputError(str(script), expected="at least one edit", got="none", fix="see docs/editing.md")
        edits = (adopt if adopted else located)(edits, script.resolve().parent, session.folder)
        return SetStack(edits) if options.replace else Add(edits)
    if options.remove is not None:
        return Remove(options.remove)
    if options.move is not None:
        moved, where = options.move
        return Move(moved, session.stack.place_for(moved, where))
    if options.rename is not None:
        return Rename(*options.rename)
    if options.group is not None:
        if len(options.group) < 2:
            got = "a name alone" if options.group else "nothing"
            raise InputError("--group", expected="a name and ids of edits", got=got, fix="see recon4d edit --help")
        return Group(options.group[1:], options.group[0])
    name = options.enable if options.enable is not None else options.disable
    assert name is not None  # one of them is given
    edits, groups = session.stack.edits, {edit.group for edit in session.stack.edits if edit.group}
    is_group = name in groups and all(edit.id != name for edit in edits)
    return Enable(id="" if is_group else name, group=name if is_group else "", enabled=options.enable is not None)


def _suggested(scene: Scene, stack: EditStack, path: Path, options: EditOptions, *, quiet: bool) -> Edit:
    """The edit that a sentence asks for, seen from the middle input camera."""
    from recon4d.editors.text_guided import suggest_edit

    assert options.text is not None  # `_check_one` has seen to both
    assert options.model is not None
    view = evaluate(scene, stack, folder=path)
    middle = len(view.cameras) // 2
    found = suggest_edit(options.text, view, view.cameras[middle], view.frame_times[middle].item(), options.model)
    if not quiet:
        print_line(f"understood: {found.request}, of {found.target!r}")
    return found.edit


def _read(script: Path) -> bytes:
    try:
        with open(script, "rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        got = error.strerror or str(error)
        raise InputError(str(script), expected="a script that can be read", got=got, fix="check the path") from error
    if len(data) > MAX_DOCUMENT_BYTES:
        got = "a larger file"
        raise InputError(str(script), expected=f"at most {MAX_DOCUMENT_BYTES} bytes", got=got, fix="split it")
    return data


def _print_stack(stack: EditStack, session: Session) -> None:
    rows = [
        [str(i), edit.id, edit.kind, edit.name, edit.group, "" if edit.enabled else "disabled"]
        for i, edit in enumerate(stack.edits)
    ]
    if rows:
        print_table(["", "id", "kind", "name", "group", ""], rows)
    undone, done = len(session.history.future), len(session.history.past)
    print_line(f"{_count(len(rows), 'edit')}; {done} to undo, {undone} to redo")


def _report(scene: Scene, before: EditStack, after: EditStack, view: SceneView, *, dry_run: bool) -> None:
    verb = "would be" if dry_run else "are"
    known = {edit.id for edit in before.edits}
    new = [edit.id for edit in after.edits if edit.id not in known]
    gone = sorted(known - {edit.id for edit in after.edits})
    if new:
        print_line(f"added: {', '.join(new[:20])}" + (f" and {len(new) - 20} more" if len(new) > 20 else ""))
    if gone:
        print_line(f"removed: {', '.join(gone[:20])}" + (f" and {len(gone) - 20} more" if len(gone) > 20 else ""))
    off = sum(not edit.enabled for edit in after.edits)
    disabled = f", {off} of them disabled" if off else ""
    print_line(f"{_count(len(after), 'edit')} {verb} in the stack{disabled}")
    counts = {layer.name: len(layer.field) for layer in scene.layers}
    for layer in view.layers:
        old = counts.get(layer.name)
        was = "new" if old is None else "as before" if old == len(layer.field) else f"{old:,} before"
        print_line(f"  {layer.name}: {len(layer.field):,} surfels ({was})")
    shown = {layer.name for layer in view.layers}
    for name in [layer.name for layer in view.hidden]:
        print_line(f"  {name}: hidden")
    for name in counts.keys() - shown - {layer.name for layer in view.hidden}:
        print_line(f"  {name}: not there any more")


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"
