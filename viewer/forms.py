"""Controls for a dataclass of the editors, made from its type hints and the notes on its attributes.

Any edit whose values are numbers, texts, choices, colours, vectors, times and keys gets a form without a line of code
here; a new kind of edit is offered as soon as the editors know it.  The present selection, view and time go in where
an edit asks for them.

Does NOT know what edits do.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from recon4d.editors import AssetFile
from recon4d.editors.cameras import View
from recon4d.editors.keys import EASES, Key, Span, Vector
from recon4d.editors.motions import PoseKey
from recon4d.editors.selections.base import Selection
from recon4d.editors.values import hints_of
from recon4d.viewer import fields, names
from recon4d.viewer.fields import Asking, Getter, Maker
from recon4d.viewer.wording import hint_of, notes_of, words

if TYPE_CHECKING:
    from recon4d.viewer.session import Session

# What every edit has, and the history changes; and what the editors find out about a file by themselves.
_OWN = ("id", "name", "enabled", "group", "sha256")
_AMOUNTS = ("amount", "factor", "value")


def can_fill(kind: type) -> bool:
    """Whether a form can give every value that has no default."""
    hints = hints_of(kind)
    needed = [one.name for one in dataclasses.fields(kind) if _needed(one)]
    return all(name not in _OWN and _maker(name, hints[name]) is not None for name in needed)


class Form(Asking):
    """The controls of one dataclass, built in the container that is open.

    Args:
        session: whose selection, view and time go in.
        kind: the dataclass.
        start: one to begin with; what the form does not ask for stays as it is there.
    """

    def __init__(self, session: Session, kind: type, start: Any = None) -> None:
        self.session, self.kind, self._old = session, kind, start
        self._getters: dict[str, Getter] = {}
        notes, hints = notes_of(kind), hints_of(kind)
        # What must be given comes first: it is what the edit is about.
        asked = [field for field in dataclasses.fields(kind) if field.name not in _OWN]
        for field in sorted(asked, key=lambda field: not _needed(field)):
            begin = _start(field) if start is None else getattr(start, field.name)
            maker = _maker(field.name, hints[field.name])
            if maker is not None:
                self._getters[field.name] = maker(self, field.name, begin, notes.get(field.name, ""))

    def values(self) -> dict[str, Any]:
        """What the controls say.

        Raises:
            InputError: the edit needs a selection and there is none, or a text cannot be read.
        """
        return {name: get() for name, get in self._getters.items()}

    def make(self, **more: Any) -> Any:
        """The dataclass; `more` goes before the controls.

        Raises:
            InputError: a value is wrong.
        """
        values = {name: value for name, value in self.values().items() if name not in more} | more
        return self.kind(**values) if self._old is None else dataclasses.replace(self._old, **values)

    def peek(self, name: str) -> Any:
        """One value, None where there is no such control."""
        return self._getters[name]() if name in self._getters else None


def _needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _start(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def _maker(name: str, hint: Any) -> Maker | None:
    """What builds the controls of a value; None for values that forms cannot give."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _optional_maker(name, arguments)
    if origin is Literal:
        return lambda form, label, start, note: fields.choice(form, label, start, note, arguments)
    if origin is tuple:
        return _tuple_maker(name, arguments)
    if isinstance(hint, type) and issubclass(hint, Selection):
        return fields.selection
    plain: dict[Any, Maker] = {
        bool: fields.switch, int: fields.whole, float: fields.number, str: names.text, View: fields.view,
        Span: fields.span,
    }  # fmt: skip
    if hint in plain:
        return plain[hint]
    if hint is AssetFile:
        return _asset
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and can_fill(hint):
        return lambda form, label, start, note: _nested(form, label, start, hint)
    return None


def _optional_maker(name: str, arguments: tuple[Any, ...]) -> Maker | None:
    rest = tuple(argument for argument in arguments if argument is not type(None))
    if float in rest and Vector in rest:
        return fields.factors
    inner = _maker(name, rest[0]) if len(rest) == 1 else None
    if inner is None or inner is fields.selection:
        return inner
    return lambda form, label, start, note: _optional(form, label, start, note, inner)


def _tuple_maker(name: str, arguments: tuple[Any, ...]) -> Maker | None:
    if arguments == (float, float, float):
        return fields.color if "color" in name else fields.vector
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        of = arguments[0]
        if of is str and name in ("layers", "names"):
            return fields.layers
        if of is int:
            return fields.wholes
        if of in (Key, PoseKey):
            return lambda form, label, start, note: _keys(form, label, start, note, of)
        if dataclasses.is_dataclass(of) and isinstance(of, type) and can_fill(of):
            return lambda form, label, start, note: _single(form, label, start, of)
    return None


def _optional(form: Form, name: str, start: Any, note: str, inner: Maker) -> Getter:
    gui = form.session.gui
    label = "Only for a part of the time" if name == "during" else f"Set {words(name).lower()}"
    use = gui.add_checkbox(label, start is not None, hint=hint_of(note))
    folder = gui.add_folder(words("time range" if name == "during" else name), visible=start is not None)
    with folder:
        get = inner(form, name, start, note)

    def switch(_: Any) -> None:
        folder.visible = bool(use.value)

    use.on_update(switch)
    return lambda: get() if use.value else None


def _nested(form: Form, name: str, start: Any, kind: type) -> Getter:
    with form.session.gui.add_folder(words(name)):
        inner = Form(form.session, kind, start)
    return inner.make


def _asset(form: Form, name: str, start: Any, note: str) -> Getter:
    """A file: its hash holds for as long as it is the same."""
    with form.session.gui.add_folder(words(name)):
        inner = Form(form.session, AssetFile, start)

    def get() -> AssetFile:
        made: AssetFile = inner.make()
        return made if start is None or made.path == start.path else dataclasses.replace(made, sha256="")

    return get


def _single(form: Form, name: str, start: Any, kind: type) -> Getter:
    with form.session.gui.add_folder(words(name)):
        inner = Form(form.session, kind, start[0] if start else None)
    rest = tuple(start[1:]) if start else ()
    return lambda: (inner.make(), *rest)


def _keys(form: Form, name: str, start: Any, note: str, kind: type) -> Getter:
    """Keys over time, each with the values that the form has when it is set."""
    gui, session = form.session.gui, form.session
    known: dict[float, Any] = {key.time: key for key in start or ()}
    with gui.add_folder("Animate", expand_by_default=bool(known)):
        gui.add_markdown("Go to a moment, set the values above, and press **Key**. Two keys or more make a motion.")
        listed = gui.add_markdown("")
        ease = gui.add_dropdown(
            "Ease", EASES, initial_value="smooth", hint="How the key is reached from the one before"
        )
        # Where the form has no amount that a key could hold, the key says which moment is shown.
        shows = (
            None
            if kind is PoseKey or _has_amount(form.kind)
            else gui.add_number(
                "Shows the moment (s)", session.playback.time, step=0.01, hint="What is seen at the moment of the key"
            )
        )
        buttons = gui.add_button_group("", ("Key", "Clear keys"))

    def tell() -> None:
        listed.content = "Keys at " + ", ".join(f"{time:.2f} s" for time in sorted(known)) if known else "No keys yet."

    def press(_: Any) -> None:
        if buttons.value == "Clear keys":
            known.clear()
        else:
            time = session.playback.time
            shown = None if shows is None else float(shows.value)
            known[time] = _key(form, kind, time, ease.value, shown)
        tell()

    buttons.on_click(session.guarded(press))
    tell()
    return lambda: tuple(known[time] for time in sorted(known))


def _has_amount(kind: type) -> bool:
    return any(field.name in _AMOUNTS for field in dataclasses.fields(kind))


def _key(form: Form, kind: type, time: float, ease: Any, shown: float | None) -> Any:
    if kind is PoseKey:
        values = {name: form.peek(name) for name in ("translate", "rotate", "scale")}
        return PoseKey(time, ease=ease, **{name: value for name, value in values.items() if value is not None})
    value = next(found for name in _AMOUNTS if (found := form.peek(name)) is not None) if shown is None else shown
    return Key(time, float(value), ease)
