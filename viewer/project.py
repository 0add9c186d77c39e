"""The scene that all windows look at, and the edits on it: one document, many windows.

Every change is an operation of `recon4d.editors`: the stack that it leads to is evaluated before it takes the place of
the present one, so that a change that cannot be made leaves everything as it is.  Saving, undo and redo are those of
the editors' journal, which outlives the program; a scene that lies in no folder has them in memory.

Does NOT know viser, and never changes arrays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from recon4d.core import InputError
from recon4d.editors import EditStack, SceneView
from recon4d.editors.edits.base import Edit
from recon4d.editors.evaluate import evaluate_state
from recon4d.editors.history import Add, History, Operation
from recon4d.editors.journal import EditsChangedError
from recon4d.editors.journal import Session as Journal
from recon4d.editors.state import State
from recon4d.scene import Scene, load
from recon4d.viewer.notes import Notes, read_notes, write_notes

Listener = Callable[[], None]


class Project:
    """A scene, its edits, and what else the viewer keeps beside it.

    Args:
        scene: the base, never changed.
        folder: where it lies and edits are saved; None keeps them in memory only.

    Raises:
        SceneFormatError: the edits or the viewer's notes cannot be read.
        InputError: an edit cannot be made.
    """

    def __init__(self, scene: Scene, folder: Path | None = None) -> None:
        self.scene, self.folder = scene, folder
        self.notes = Notes() if folder is None else read_notes(folder)
        self.trouble: str | None = None  # why the last change could not be saved
        self.conflict = False  # whether another program has changed the edits meanwhile
        self._journal = None if folder is None else Journal(folder)
        self._memory = History()
        self._listeners: list[Listener] = []
        self._lock = threading.RLock()
        self._state = self._evaluated(self.stack)
        self._view = self._seen()

    @staticmethod
    def open(folder: Path) -> Project:
        """The scene in a folder with its edits; raises as the constructor does."""
        return Project(load(folder), folder)

    @property
    def view(self) -> SceneView:
        """What is to be seen."""
        return self._view

    @property
    def state(self) -> State:
        """What selections are made on; knows hidden layers too."""
        return self._state

    @property
    def history(self) -> History:
        """All stacks that there were."""
        return self._memory if self._journal is None else self._journal.history

    @property
    def stack(self) -> EditStack:
        """The present edits."""
        return self.history.stack

    def listen(self, listener: Listener) -> None:
        """Have a function called after every change."""
        with self._lock:
            self._listeners.append(listener)

    def forget(self, listener: Listener) -> None:
        """Call a function no more."""
        with self._lock:
            self._listeners = [one for one in self._listeners if one != listener]

    def add(self, *edits: Edit) -> Edit:
        """Put edits at the end; the last one as it stands in the stack, with its id.

        Raises:
            InputError: they cannot be made, or not be saved; nothing has changed then.
        """
        return self._do(Add(edits)).edits[-1]

    def do(self, operation: Operation) -> None:
        """Make an operation on the stack, which undo takes back.

        Raises:
            InputError: it cannot be made, or not be saved; nothing has changed then.
        """
        self._do(operation)

    def undo(self) -> None:
        """Take the last operation back; InputError where there is none."""
        self._change(History.undo, Journal.undo)

    def redo(self) -> None:
        """Make what was undone again; InputError where there is nothing."""
        self._change(History.redo, Journal.redo)

    def reload(self) -> None:
        """Take over what another program has made of the edits.

        Raises:
            SceneFormatError: they cannot be read; everything stays as it is.
            InputError: one of them cannot be made.
        """
        if self._journal is None:
            return
        with self._lock:
            state = self._evaluated(self._journal.reload())
            self.conflict, self.trouble = False, None
            self._state, self._view = state, self._seen(state)
        self._tell()

    def with_edit(self, edit: Edit) -> SceneView:
        """What one more edit would make of the scene; changes nothing."""
        return self._evaluated(self.stack.add(edit)).view()

    def note(self, notes: Notes) -> None:
        """Keep other notes; not undone by undo.

        Raises:
            InputError: they cannot be saved.
        """
        with self._lock:
            if self.folder is not None:
                write_notes(notes, self.folder)
            self.notes = notes
            self._view = self._seen()
        self._tell()

    def replace_scene(self, scene: Scene) -> None:
        """Look at another scene in the place of this one, as while it is being made; the edits stay."""
        with self._lock:
            self.scene = scene
            self._state = self._evaluated(self.stack)
            self._view = self._seen()
        self._tell()

    def _do(self, operation: Operation) -> EditStack:
        def change(history: History) -> History | None:
            after = history.do(operation)
            return None if after.stack == history.stack else after

        return self._change(change, lambda journal: journal.do(operation))

    def _change(self, change: Callable[[History], History | None], save: Callable[[Journal], object]) -> EditStack:
        """The stack after a change; listeners are told when other threads may make the next one already."""
        try:
            with self._lock:
                after = change(self.history)
                if after is None:
                    return self.stack
                self._step(after, save)
                stack = self.stack
        except EditsChangedError:
            self.conflict = True
            self._tell()  # all windows offer to reload
            raise
        self._tell()
        return stack

    def _step(self, after: History, save: Callable[[Journal], object]) -> None:
        state = self._evaluated(after.stack)
        if self._journal is None:
            self._memory = after
        else:
            try:
                save(self._journal)
                self.trouble = None
            except EditsChangedError:
                raise
            except InputError as error:
                self.trouble = f"{error.got}. {error.fix[:1].upper()}{error.fix[1:]}."
                raise
        self._state, self._view = state, self._seen(state)

    def _evaluated(self, stack: EditStack) -> State:
        return evaluate_state(self.scene, stack, folder=self.folder)

    def _seen(self, state: State | None = None) -> SceneView:
        view, metres = (state or self._state).view(), self.notes.metres_per_unit
        return view if metres is None else replace(view, metres_per_unit=metres)

    def _tell(self) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener()
