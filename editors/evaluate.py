"""From a scene and an edit stack to what is to be seen: pure, and cached by the edits so far.

The cache is keyed by what the edits do (not by their names or places), so that undo, redo, a changed last edit and a
disabled one find what was computed before.  It holds a bounded amount of memory and dies with its scene.
"""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from collections import OrderedDict
from dataclasses import fields, is_dataclass
from pathlib import Path

import torch

from recon4d.core import InputError
from recon4d.editors.edits.base import Edit
from recon4d.editors.riding import settle
from recon4d.editors.sanity import check_sane
from recon4d.editors.stack import EditStack, fingerprint
from recon4d.editors.state import State
from recon4d.editors.store import load_stack
from recon4d.editors.view import SceneView
from recon4d.scene import Scene, load

MAX_CACHED_BYTES = 1 << 30
_LEAST_CACHED_BYTES = 32 << 20
_TIMES_BASE = 32  # as much as the scene itself takes: small scenes are evaluated again in no time
MAX_CACHED_STATES = 128
_EVERY = 50  # beside the last two, so many edits apart states are kept


def evaluate(scene: Scene, stack: EditStack, *, folder: str | os.PathLike[str] | None = None) -> SceneView:
    """The scene with the edits applied, in order; those that are not enabled are skipped.

    The same scene and stack give the same numbers.  The scene itself is never changed.

    Args:
        scene: the base.
        stack: the edits.
        folder: that of the scene, from which paths of assets go.

    Raises:
        InputError: an edit cannot be made; names the edit, the field, and what would be valid.
    """
    return evaluate_state(scene, stack, folder=folder).view()


def evaluate_state(scene: Scene, stack: EditStack, *, folder: str | os.PathLike[str] | None = None) -> State:
    """As `evaluate`: the state after the last edit, which knows hidden layers too."""
    enabled = [edit for edit in stack.edits if edit.enabled]
    place = None if folder is None else Path(folder)
    keys = [str(place).encode()]
    for edit in enabled:
        keys.append(hashlib.sha256(keys[-1] + fingerprint(edit)).digest())
    cache = _cache_of(scene)
    done, state = cache.longest(keys)
    if state is None:
        done, state = 0, State.of(scene, place)
        cache.bound(sum(_memory(state).values()))
    with torch.no_grad():
        for i in range(done, len(enabled)):
            state = apply(enabled[i], state)
            if i >= len(enabled) - 2 or (i + 1) % _EVERY == 0:
                cache.keep(keys[i + 1], state)
    return state


def apply(edit: Edit, state: State) -> State:
    """The state after one more edit.

    Raises:
        InputError: the edit cannot be made; names the edit, the field, and what would be valid.
    """
    try:
        made = settle(edit.apply(state))
        check_sane(state, made)
        return made
    except InputError as error:
        named = f"edit {edit.id!r} ({edit.kind})" + (f" {edit.name!r}" if edit.name else "")
        raise InputError(f"{named}: {error.what}", expected=error.expected, got=error.got, fix=error.fix) from error


def open_view(path: str | os.PathLike[str]) -> SceneView:
    """The scene in the folder `path` with its edits applied once; without an edits.json, the scene as it is.

    Raises:
        SceneFormatError: the scene or its edits cannot be read.
        InputError: an edit cannot be made.
    """
    return evaluate(load(path), load_stack(path), folder=path)


class _Cache:
    """States by key, the latest used last; forgets the oldest when they hold too much memory."""

    def __init__(self) -> None:
        self._states: OrderedDict[bytes, tuple[State, dict[int, int]]] = OrderedDict()
        self._lock = threading.Lock()
        self._most_bytes = MAX_CACHED_BYTES

    def bound(self, base_bytes: int) -> None:
        """Hold no more than becomes a scene of that size."""
        self._most_bytes = min(MAX_CACHED_BYTES, max(_LEAST_CACHED_BYTES, _TIMES_BASE * base_bytes))

    def longest(self, keys: list[bytes]) -> tuple[int, State | None]:
        """The state that most of the edits have led to, and how many."""
        with self._lock:
            for i in range(len(keys) - 1, 0, -1):
                if keys[i] in self._states:
                    self._states.move_to_end(keys[i])
                    return i, self._states[keys[i]][0]
        return 0, None

    def keep(self, key: bytes, state: State) -> None:
        """Remember a state."""
        with self._lock:
            self._states[key] = (state, _memory(state))
            self._states.move_to_end(key)
            while len(self._states) > MAX_CACHED_STATES or (len(self._states) > 1 and self._bytes() > self._most_bytes):
                self._states.popitem(last=False)

    def _bytes(self) -> int:
        held: dict[int, int] = {}
        for _, memory in self._states.values():
            held |= memory
        return sum(held.values())


_caches: weakref.WeakKeyDictionary[Scene, _Cache] = weakref.WeakKeyDictionary()


def _cache_of(scene: Scene) -> _Cache:
    return _caches.setdefault(scene, _Cache())


def _memory(state: State) -> dict[int, int]:
    """Bytes by place of the arrays of a state, those of its fields' steps too; states share most of them."""
    held: dict[int, int] = {}
    for layer in state.layers:
        _weigh(layer.field, held)
    return held


def _weigh(value: object, held: dict[int, int]) -> None:
    if isinstance(value, torch.Tensor):
        storage = value.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
    elif isinstance(value, list | tuple):
        for one in value:
            _weigh(one, held)
    elif is_dataclass(value):
        for field in fields(value):
            _weigh(getattr(value, field.name), held)
