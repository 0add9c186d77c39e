"""`recon4d edit`: edits of a scene, by script."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from recon4d.cli.console import print_line, print_table
from recon4d.core import InputError
from recon4d.editors import Edit, EditStack, SceneView, Session, evaluate, json_schema
from recon4d.editors.asset_files import adopt, located
from recon4d.editors.document import MAX_DOCUMENT_BYTES, script_from_bytes
from recon4d.editors.history import Add, Enable, Operation, Remove, SetStack
from recon4d.scene import Scene, load


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
    text: str | None
    model: Path | None


def edit_scene(path: Path, script: Path | None, options: EditOptions, *, quiet: bool) -> None:
    """Change the edits of the scene in the folder `path`, and say what came of it unless `quiet`."""
    _check_one(script, options)
    scene = load(path)
    session = Session(path)
    before = session.stack
    if options.list:
        _print_stack(session.stack, session)
        return
    if options.undo or options.redo:
        history = session.history.undo() if options.undo else session.history.redo()
        view = evaluate(scene, history.stack, folder=path)
        if not options.dry_run:
            session.undo() if options.undo else session.redo()
        stack = history.stack
    else:
        if options.text is not None:
            tried: Operation = Add((_suggested(scene, before, path, options, quiet=quiet),))
            final: Operation | None = tried
        else:
            tried, final = _operation(script, options, path, adopted=False), None
        stack = tried.apply(before)
        # Everything is tried before anything is written.
        view = evaluate(scene, stack, folder=path)
        if not options.dry_run:
            stack = session.do(final or _operation(script, options, path, adopted=True))
    if not quiet:
        _report(scene, before, stack, view, dry_run=options.dry_run)


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
        "--text": options.text is not None,
    }
    given = [name for name, there in named.items() if there]
    if len(given) != 1:
        expected = "one of a script, --list, --undo, --redo, --remove, --enable, --disable or --text"
        raise InputError("edit", expected=expected, got=" and ".join(given) or "none", fix="see recon4d edit --help")
    if (options.text is None) != (options.model is None):
        got = "--text alone" if options.model is None else "--model alone"
        raise InputError("--text", expected="--text and --model together", got=got, fix="see docs/editing.md")
    if options.replace and script is None:
        raise InputError("--replace", expected="a script", got="none", fix="name the script that takes over")


def _operation(script: Path | None, options: EditOptions, folder: Path, *, adopted: bool) -> Operation:
    """What the options ask for; `adopted` copies the files of a script into the scene's folder."""
    if script is not None:
        edits = script_from_bytes(_read(script), str(script))
        if not edits:
            raise InputError(str(script), expected="at least one edit", got="none", fix="see docs/editing.md")
        edits = (adopt if adopted else located)(edits, script.resolve().parent, folder)
        return SetStack(edits) if options.replace else Add(edits)
    if options.remove is not None:
        return Remove(options.remove)
    name = options.enable if options.enable is not None else options.disable
    assert name is not None  # one of them is given
    return Enable(id=name, enabled=options.enable is not None)


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
