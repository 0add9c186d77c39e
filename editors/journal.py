"""The journal beside `edits.json`: every operation as one line, appended as it happens, so that a crash loses nothing.

    {"journal": "recon4d-edits", "version": 1, "base": [edits]}          the stack that it starts from
    {"do": OPERATION, "after": HASH} | {"undo": true, "after": HASH} | {"redo": true, "after": HASH}

HASH is that of the stack that the line led to.  A torn or damaged last line is dropped.  The journal is ahead of
`edits.json` by one operation at most; where it is not, because edits.json was changed by hand, it is started anew.

Several programs may have one scene open.  Each writes with the folder locked, and only on top of what it knows: where
another has written since, the operation is refused, and nothing of either is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from recon4d.core import InputError, SceneFormatError
from recon4d.editors.document import MAX_EDITS, edit_from_json
from recon4d.editors.edits.base import Edit
from recon4d.editors.history import History, Operation
from recon4d.editors.stack import EditStack
from recon4d.editors.store import FILE, cannot_write, load_stack, read_limited, save_stack
from recon4d.editors.values import from_json, to_json
from recon4d.scene.document import Node, canonical_bytes, parse
from recon4d.scene.folder import locked

JOURNAL = "edits.journal"
_FORMAT = "recon4d-edits"
_VERSION = 1
_TAIL = 4096  # bytes at the end of a journal by which, with its size, it is known again

_Stamp = tuple[bytes, int, bytes]


class EditsChangedError(InputError):
    """Another program has changed the edits since this one read them; `Session.reload` reads them anew."""


class Session:
    """The edits of one scene folder, with undo that outlives the program; saved after every operation.

    Attributes:
        folder: of the scene.
        history: all stacks; replaced, never changed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the edits of the scene in the folder `path`.

        Raises:
            SceneFormatError: edits.json cannot be read or is damaged.
        """
        self.folder = Path(path)
        self.reload()

    def reload(self) -> EditStack:
        """Read the edits and their history anew, as another program may have left them; the stack of now.

        Raises:
            SceneFormatError: edits.json cannot be read or is damaged; the session stays as it was.
        """
        with _alone(self.folder):
            stored = load_stack(self.folder)
            recovered = _recover(self.folder, stored)
            history = History(stored) if recovered is None else recovered
            if history.stack != stored:
                # A crash came between the journal and the document.
                save_stack(history.stack, self.folder)
            self.history = history
            self._is_new = recovered is None
            self._stamp = _stamp_of(self.folder)
        return self.stack

    @property
    def stack(self) -> EditStack:
        """The present edits."""
        return self.history.stack

    def do(self, operation: Operation) -> EditStack:
        """Make an operation; the stack after it, which is on the disk.

        Raises:
            InputError: it cannot be done, or the folder cannot be written; nothing has changed then.
            EditsChangedError: another program has changed the edits; nothing has changed then either.
        """
        return self._step(self.history.do(operation), {"do": to_json(operation)})

    def undo(self) -> EditStack:
        """Take the last operation back; InputError where there is none."""
        return self._step(self.history.undo(), {"undo": True})

    def redo(self) -> EditStack:
        """Make what was undone again; InputError where there is nothing."""
        return self._step(self.history.redo(), {"redo": True})

    def _step(self, history: History, line: dict[str, Any]) -> EditStack:
        with _alone(self.folder):
            if _stamp_of(self.folder) != self._stamp:
                raise EditsChangedError(
                    "edits",
                    expected="the edits that this program knows",
                    got="others: another program changed the edits",
                    fix="reload them, and make the change again",
                )
            try:
                self._append(history, line)
                save_stack(history.stack, self.folder)
            finally:
                self._stamp = _stamp_of(self.folder)
        return history.stack

    def _append(self, history: History, line: dict[str, Any]) -> None:
        """Write an operation down; from here on it is made, even if edits.json cannot be replaced any more."""
        try:
            if self._is_new:
                # From here on a document that is not there was taken away by somebody.
                save_stack(self.stack, self.folder)
                start = {"journal": _FORMAT, "version": _VERSION, "base": [to_json(e) for e in self.stack.edits]}
                _write(self.folder, [start], anew=True)
            _write(self.folder, [{**line, "after": stack_hash(history.stack)}], anew=False)
        except OSError as error:
            raise cannot_write(self.folder / JOURNAL, error) from error
        self._is_new = False
        self.history = history


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other programs from writing edits; a folder that is not there, or is closed to us, has none to write."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            held.enter_context(locked(folder, exclusive=True))
        yield


def _stamp_of(folder: Path) -> _Stamp:
    """What tells the edits and the journal on the disk from others."""
    document = hashlib.sha256()
    with contextlib.suppress(OSError), open(folder / FILE, "rb") as stream:
        document.update(b"there")
        while piece := stream.read(1 << 20):
            document.update(piece)
    size, tail = -1, b""
    with contextlib.suppress(OSError), open(folder / JOURNAL, "rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _TAIL))
        tail = stream.read(_TAIL)
    return document.digest(), size, tail


def stack_hash(stack: EditStack) -> str:
    """Hash of a stack, names and all."""
    digest = hashlib.sha256()
    for edit in stack.edits:
        digest.update(_edit_hash(edit))
    return digest.hexdigest()[:32]


@lru_cache(maxsize=65_536)
def _edit_hash(edit: Edit) -> bytes:
    return hashlib.sha256(canonical_bytes(to_json(edit))).digest()


def _write(folder: Path, lines: list[dict[str, Any]], *, anew: bool) -> None:
    """Append lines and bring them to the disk; after a torn line a new one is begun."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(folder / JOURNAL, flags | (os.O_TRUNC if anew else 0), 0o666)
    with open(descriptor, "r+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        if end:
            stream.seek(end - 1)
            if stream.read(1) != b"\n":
                stream.write(b"\n")
        for line in lines:
            stream.write(json.dumps(line, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n")
        stream.flush()
        os.fsync(descriptor)


def _recover(folder: Path, stored: EditStack) -> History | None:
    """The history of the journal; None where there is none that belongs to the stored stack."""
    if not (folder / JOURNAL).is_file() or not (folder / FILE).is_file():
        return None
    try:
        lines = read_limited(folder, JOURNAL).split(b"\n")
        history, before = _replay(lines, str(folder / JOURNAL))
    except InputError:
        return None
    # The journal is written first, so the stored stack is the present one or that before.
    return history if stored in (history.stack, before.stack) else None


def _replay(lines: list[bytes], file: str) -> tuple[History, History]:
    """The history of the lines, up to the first that does not fit, and the history before the last of them."""
    start = parse(lines[0], file)
    members = start.object("journal", "version", "base")
    members["journal"].choice(_FORMAT)
    members["version"].whole(least=1, most=_VERSION)
    history = History(EditStack(tuple(edit_from_json(node) for node in members["base"].items(at_most=MAX_EDITS))))
    before = history
    for line in lines[1:]:
        if not line:
            continue
        try:
            after, history_after = _line(parse(line, file), history)
        except InputError:
            continue  # torn by a crash; where it is not the last, those after it decide whether they fit
        if stack_hash(history_after.stack) != after:
            break
        before, history = history, history_after
    return history, before


def _line(node: Node, history: History) -> tuple[str, History]:
    members = node.members()
    after = members["after"].text() if "after" in members else ""
    if "do" in members:
        operation: Operation = from_json(members["do"], Operation)
        return after, history.do(operation)
    if "undo" in members:
        return after, history.undo()
    if "redo" in members:
        return after, history.redo()
    raise SceneFormatError(node.file, expected="do, undo or redo", got="another line", fix="remove the journal")
