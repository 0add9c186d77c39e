"""Texts of edits that name something which is there: a layer, a file; and names for what is new.

Which texts these are is said for each dataclass: `source` is a layer for one edit and might be a file for another.

Does NOT know what edits do with them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import PurePath
from typing import Any

from recon4d.editors import (
    AssetFile,
    Attach,
    Insert,
    PoseBones,
    RemoveObject,
    RenameLayer,
    ReplaceSubject,
    Retarget,
    Separate,
)
from recon4d.viewer.fields import Asking, Getter
from recon4d.viewer.text import shown
from recon4d.viewer.wording import hint_of, words

LAYERS: Mapping[type, tuple[str, ...]] = {
    Attach: ("layer", "to"),
    PoseBones: ("layer",),
    RemoveObject: ("background",),
    RenameLayer: ("layer",),
    ReplaceSubject: ("layer",),
    Retarget: ("layer", "source"),
}
NEW_LAYERS: Mapping[type, tuple[str, ...]] = {Insert: ("layer",), Separate: ("layer",)}
FILES: Mapping[type, tuple[str, ...]] = {AssetFile: ("path",)}
_NONE = "\u2014"  # a layer that may be left out


def text(form: Asking, name: str, start: Any, note: str) -> Getter:
    """The control of a text, by what it names."""
    if name in LAYERS.get(form.kind, ()):
        return _layer(form, name, start, note)
    if name in FILES.get(form.kind, ()):
        return _file(form, name, start, note)
    if name in NEW_LAYERS.get(form.kind, ()) and not start:
        start = _free_name(form)
    control = form.session.gui.add_text(words(name), str(start or ""), hint=hint_of(note))
    return lambda: str(control.value)


def _layer(form: Asking, name: str, start: Any, note: str) -> Getter:
    names = [layer.name for layer in form.session.project.state.layers]
    # An edit that is changed may name a layer that edits after it have renamed or taken away.
    names += [start] if start and start not in names else []
    options = labelled(names)
    if start == "":
        options = {_NONE: "", **options}
    if not options:
        form.session.gui.add_markdown("*There is no layer left: undo what took the last one away, or bring one in.*")
        return lambda: ""
    return _of(form, name, options, start, note)


def _file(form: Asking, name: str, start: Any, note: str) -> Getter:
    uploads = form.session.shared.uploads
    by_label = {one: uploads.reference(one) for one in uploads.names()}
    if start and start not in by_label.values():
        by_label |= labelled([start])
    if not by_label:
        form.session.gui.add_markdown("*Bring a file in first: drop it on the page, or use Upload.*")
        return lambda: ""
    return _of(form, name, by_label, start or list(by_label.values())[-1], note)


def _of(form: Asking, name: str, options: Mapping[str, str], start: Any, note: str) -> Getter:
    """A choice among values by their labels, with the present one in force."""
    label = next((one for one, value in options.items() if value == start), next(iter(options)))
    control = form.session.gui.add_dropdown(words(name), tuple(options), initial_value=label, hint=hint_of(note))
    return lambda: options[control.value]


def labelled(values: Iterable[str]) -> dict[str, str]:
    """Values by labels for people, which differ even where the values look alike."""
    found: dict[str, str] = {}
    for value in values:
        plain = shown(value)
        found[next(x for i in itertools.count(1) if (x := plain if i == 1 else f"{plain} ({i})") not in found)] = value
    return found


def _free_name(form: Asking) -> str:
    """A name for a new layer: of the file that is brought in, else plain."""
    uploaded = form.session.shared.uploads.names()
    taken = {layer.name for layer in form.session.project.state.layers}
    brings = any(one.name == "asset" for one in fields(form.kind))
    base = PurePath(uploaded[-1]).stem[:100] if brings and uploaded else "new"
    return next(name for i in itertools.count(1) if (name := base if i == 1 else f"{base} {i}") not in taken)
