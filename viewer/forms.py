"""Controls for a dataclass of the editors, made from its type hints and the notes on its attributes.

Any edit whose values are numbers, texts, choices, colours, vectors, times and keys gets a form without a line of code
here; a new kind of edit is offered as soon as the editors know it.  The present selection, view and time go in where
an edit asks for them.

Does NOT know what edits do.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import re
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from recon4d.core import InputError
from recon4d.editors.cameras import View
from recon4d.editors.keys import EASES, Key, Span, Vector
from recon4d.editors.motions import PoseKey
from recon4d.editors.selections.base import Selection
from recon4d.editors.values import hints_of
from recon4d.viewer.pointing import view_of
from recon4d.viewer.text import escaped, shown

if TYPE_CHECKING:
    from recon4d.viewer.session import Session

Getter = Callable[[], Any]
# What every edit has, and the history changes; and what the editors find out about a file by themselves.
_OWN = ("id", "name", "enabled", "group", "sha256")
_MANY = 8  # layers, beyond which they are typed
_AMOUNTS = ("amount", "factor", "value")


def words(name: str) -> str:
    """A name of the code for people: "name_part" is "Name part", "color" is "Colour"."""
    text = name.replace("_", " ").replace("color", "colour").strip()
    return text[:1].upper() + text[1:]


def notes_of(kind: type) -> dict[str, str]:
    """What the docstring of a dataclass says of each attribute, on one line each."""
    found: dict[str, str] = {}
    text = inspect.getdoc(kind) or ""
    _, _, listed = text.partition("Attributes:\n")
    name = ""
    for line in listed.splitlines():
        if begun := re.match(r"    (\w+): (.*)", line):
            name = begun[1]
            found[name] = begun[2]
        elif name and line.startswith("        "):
            found[name] += " " + line.strip()
    return found


def summary_of(kind: type) -> str:
    """The first sentence of a dataclass's docstring."""
    return (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")


def can_fill(kind: type) -> bool:
    """Whether a form can give every value that has no default."""
    hints = hints_of(kind)
    return all(_maker(one.name, hints[one.name]) is not None for one in dataclasses.fields(kind) if _needed(one))


class Form:
    """The controls of one dataclass, built in the container that is open.

    Args:
        session: whose selection, view and time go in.
        kind: the dataclass.
        given: values to begin with.
    """

    def __init__(self, session: Session, kind: type, given: Mapping[str, Any] | None = None) -> None:
        self.session, self.kind = session, kind
        self._getters: dict[str, Getter] = {}
        notes, hints = notes_of(kind), hints_of(kind)
        # What must be given comes first: it is what the edit is about.
        fields = sorted(dataclasses.fields(kind), key=lambda field: _start(field) is not None or not _needed(field))
        for field in fields:
            if field.name in _OWN:
                continue
            start = (given or {}).get(field.name, _start(field))
            maker = _maker(field.name, hints[field.name])
            if maker is not None:
                self._getters[field.name] = maker(self, field.name, start, notes.get(field.name, ""))

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
        return self.kind(**({name: value for name, value in self.values().items() if name not in more} | more))

    def peek(self, name: str) -> Any:
        """One value, None where there is no such control."""
        return self._getters[name]() if name in self._getters else None


Maker = Callable[[Form, str, Any, str], Getter]


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
        return lambda form, label, start, note: _choice(form, label, start, note, arguments)
    if origin is tuple:
        return _tuple_maker(name, arguments)
    if isinstance(hint, type) and issubclass(hint, Selection):
        return _selection
    plain: dict[Any, Maker] = {bool: _switch, int: _whole, float: _number, str: _text, View: _view, Span: _span}
    if hint in plain:
        return plain[hint]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and can_fill(hint):
        return lambda form, label, start, note: _nested(form, label, start, hint)
    return None


def _optional_maker(name: str, arguments: tuple[Any, ...]) -> Maker | None:
    rest = tuple(argument for argument in arguments if argument is not type(None))
    if float in rest and Vector in rest:
        return _factors
    inner = _maker(name, rest[0]) if len(rest) == 1 else None
    if inner is None or inner is _selection:
        return inner
    return lambda form, label, start, note: _optional(form, label, start, note, inner)


def _tuple_maker(name: str, arguments: tuple[Any, ...]) -> Maker | None:
    if arguments == (float, float, float):
        return _color if "color" in name else _vector
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        of = arguments[0]
        if of is str and name in ("layers", "names"):
            return _layers
        if of is int:
            return _wholes
        if of in (Key, PoseKey):
            return lambda form, label, start, note: _keys(form, label, start, note, of)
        if dataclasses.is_dataclass(of) and isinstance(of, type) and can_fill(of):
            return lambda form, label, start, note: _single(form, label, start, of)
    return None


def _selection(form: Form, name: str, start: Any, note: str) -> Getter:
    if isinstance(start, Selection):
        # An edit that is changed keeps what it was made for, unless the artist says otherwise.
        again = form.session.gui.add_checkbox(
            "Use what is selected now", False, hint="Otherwise it keeps the surfels that it was made for"
        )
        return lambda: form.session.selecting.needed() if again.value else start
    return form.session.selecting.needed


def _view(form: Form, name: str, start: Any, note: str) -> Getter:
    return lambda: start if isinstance(start, View) else view_of(form.session)


def _switch(form: Form, name: str, start: Any, note: str) -> Getter:
    control = form.session.gui.add_checkbox(words(name), bool(start), hint=_hint(note))
    return lambda: bool(control.value)


def _whole(form: Form, name: str, start: Any, note: str) -> Getter:
    control = form.session.gui.add_number(words(name), int(start or 0), step=1, hint=_hint(note))
    return lambda: int(control.value)


def _number(form: Form, name: str, start: Any, note: str) -> Getter:
    begin = _first_number(form, name) if start is None else float(start)
    control = form.session.gui.add_number(words(name), begin, step=0.01, hint=_hint(note))
    return lambda: float(control.value)


def _first_number(form: Form, name: str) -> float:
    clock = form.session.playback
    return {"start": clock.first, "end": clock.last, "time": clock.time, "factor": 1.0, "amount": 1.0}.get(name, 0.1)


def _text(form: Form, name: str, start: Any, note: str) -> Getter:
    gui, state = form.session.gui, form.session.project.state
    if name in ("layer", "attach_to") and not start:
        names = [layer.name for layer in state.layers]
        if names and "new" not in note:
            control: Any = gui.add_dropdown(words(name), [shown(one) for one in names], hint=_hint(note))
            by_label = {shown(one): one for one in names}
            return lambda: by_label[control.value]
        if name == "layer" and start is None:
            start = _free_name(form, names)
    if name in ("source", "file", "path", "asset"):
        return _asset(form, name, start, note)
    control = gui.add_text(words(name), str(start or ""), hint=_hint(note))
    return lambda: str(control.value)


def _free_name(form: Form, taken: list[str]) -> str:
    """A name for a new layer: of the file that is brought in, else plain."""
    uploaded = form.session.shared.uploads.names()
    brings = any(one.name == "asset" for one in dataclasses.fields(form.kind))
    base = PurePath(uploaded[-1]).stem[:100] if brings and uploaded else "new"
    return next(name for i in itertools.count(1) if (name := base if i == 1 else f"{base} {i}") not in taken)


def _asset(form: Form, name: str, start: Any, note: str) -> Getter:
    uploaded = form.session.shared.uploads.names()
    if not uploaded:
        form.session.gui.add_markdown("*Bring a file in first: drop it on the page, or use Upload.*")
        return lambda: str(start or "")
    control = form.session.gui.add_dropdown(
        words(name), uploaded, initial_value=start if start in uploaded else uploaded[-1], hint=_hint(note)
    )
    return lambda: form.session.shared.uploads.reference(control.value)


def _choice(form: Form, name: str, start: Any, note: str, options: tuple[Any, ...]) -> Getter:
    control = form.session.gui.add_dropdown(
        words(name), options, initial_value=start if start in options else options[0], hint=_hint(note)
    )
    return lambda: control.value


def _color(form: Form, name: str, start: Any, note: str) -> Getter:
    color = start or (0.25, 0.45, 0.85)
    control = form.session.gui.add_rgb(
        words(name),
        tuple(round(255 * c) for c in color),
        hint=_hint(note),
    )
    return lambda: tuple(channel / 255 for channel in control.value)


def _vector(form: Form, name: str, start: Any, note: str) -> Getter:
    control = form.session.gui.add_vector3(words(name), start or (0.0, 0.0, 0.0), step=0.01, hint=_hint(note))
    return lambda: tuple(float(value) for value in control.value)


def _factors(form: Form, name: str, start: Any, note: str) -> Getter:
    begin = start if isinstance(start, tuple) else (float(start or 1.0),) * 3
    control = form.session.gui.add_vector3(words(name), begin, step=0.01, hint=_hint(note))

    def get() -> float | tuple[float, ...]:
        factors = tuple(float(value) for value in control.value)
        return factors[0] if len(set(factors)) == 1 else factors

    return get


def _span(form: Form, name: str, start: Any, note: str) -> Getter:
    clock = form.session.playback
    begin = start if isinstance(start, Span) else Span(clock.first, max(clock.last, clock.first + 1e-3))
    gui = form.session.gui
    first = gui.add_number("From (s)", begin.start, step=0.01, hint="When it begins, seconds")
    last = gui.add_number("To (s)", begin.end, step=0.01, hint="When it ends, seconds")
    fade = gui.add_number("Fade (s)", begin.fade, min=0.0, step=0.01, hint="It comes and goes softly within this time")
    return lambda: Span(float(first.value), float(last.value), float(fade.value))


def _optional(form: Form, name: str, start: Any, note: str, inner: Maker) -> Getter:
    gui = form.session.gui
    label = "Only for a part of the time" if name == "during" else f"Set {words(name).lower()}"
    use = gui.add_checkbox(label, start is not None, hint=_hint(note))
    folder = gui.add_folder(words("time range" if name == "during" else name), visible=start is not None)
    with folder:
        get = inner(form, name, start, note)

    def switch(_: Any) -> None:
        folder.visible = bool(use.value)

    use.on_update(switch)
    return lambda: get() if use.value else None


def _layers(form: Form, name: str, start: Any, note: str) -> Getter:
    gui, names = form.session.gui, [layer.name for layer in form.session.project.state.layers]
    if len(names) > _MANY:
        control = gui.add_text(words(name), ", ".join(start or ()), hint=_hint(note + " Names with commas between."))
        return lambda: tuple(part.strip() for part in control.value.split(",") if part.strip())
    with gui.add_folder(words(name)):
        gui.add_markdown(escaped(note, 200))
        boxes = {one: gui.add_checkbox(shown(one, 40), one in (start or ())) for one in names}
    return lambda: tuple(one for one, box in boxes.items() if box.value)


def _wholes(form: Form, name: str, start: Any, note: str) -> Getter:
    text = ", ".join(str(number) for number in start or ())
    control = form.session.gui.add_text(words(name), text, hint=_hint(note + " Numbers with commas between."))

    def get() -> tuple[int, ...]:
        try:
            return tuple(int(part) for part in control.value.replace(",", " ").split())
        except ValueError:
            raise InputError(
                words(name), expected="whole numbers with commas between", got=repr(control.value[:40]), fix="as 3, 4"
            ) from None

    return get


def _nested(form: Form, name: str, start: Any, kind: type) -> Getter:
    with form.session.gui.add_folder(words(name)):
        inner = Form(form.session, kind, None if start is None else vars(start))
    return inner.make


def _single(form: Form, name: str, start: Any, kind: type) -> Getter:
    with form.session.gui.add_folder(words(name)):
        inner = Form(form.session, kind, vars(start[0]) if start else None)
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
        buttons = gui.add_button_group("", ("Key", "Clear keys"))

    def tell() -> None:
        listed.content = "Keys at " + ", ".join(f"{time:.2f} s" for time in sorted(known)) if known else "No keys yet."

    def press(_: Any) -> None:
        if buttons.value == "Clear keys":
            known.clear()
        else:
            time = session.playback.time
            known[time] = _key(form, kind, time, ease.value)
        tell()

    buttons.on_click(session.guarded(press))
    tell()
    return lambda: tuple(known[time] for time in sorted(known))


def _key(form: Form, kind: type, time: float, ease: Any) -> Any:
    if kind is PoseKey:
        values = {name: form.peek(name) for name in ("translate", "rotate", "scale")}
        return PoseKey(time, ease=ease, **{name: value for name, value in values.items() if value is not None})
    value = next((found for name in _AMOUNTS if (found := form.peek(name)) is not None), time)
    return Key(time, float(value), ease)


def _hint(note: str) -> str | None:
    return shown(note, 300) if note else None
