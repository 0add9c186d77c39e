"""The controls of single values, each built in the container that is open, and each with a function that reads it.

A value that nobody touches is given back as it was: what a control shows in few digits or bits changes nothing.

Does NOT know which values a dataclass has: `forms` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from recon4d.core import InputError
from recon4d.editors.cameras import View
from recon4d.editors.keys import Span
from recon4d.editors.selections.base import Selection
from recon4d.viewer.pointing import view_of
from recon4d.viewer.text import escaped, shown
from recon4d.viewer.wording import hint_of, words

if TYPE_CHECKING:
    from recon4d.viewer.session import Session


class Asking:
    """What a control knows of the form that it stands in: whose it is, and of which dataclass."""

    session: Session
    kind: type


Getter = Callable[[], Any]
Maker = Callable[[Any, str, Any, str], Getter]  # of a form, a name, the value to begin with, a note
_MANY = 8  # layers, beyond which they are typed


def kept(make: Maker) -> Maker:
    """The same control, which gives the value that it began with, to the last bit, until somebody touches it."""

    def made(form: Asking, name: str, start: Any, note: str) -> Getter:
        get = make(form, name, start, note)
        if start is None:
            return get
        begin = get()
        return lambda: start if (now := get()) == begin else now

    return made


def selection(form: Asking, name: str, start: Any, note: str) -> Getter:
    """What is selected."""
    if isinstance(start, Selection):
        # An edit that is changed keeps what it was made for, unless the artist says otherwise.
        again = form.session.gui.add_checkbox(
            "Use what is selected now", False, hint="Otherwise it keeps the surfels that it was made for"
        )
        return lambda: form.session.selecting.needed() if again.value else start
    return form.session.selecting.needed


def view(form: Asking, name: str, start: Any, note: str) -> Getter:
    """From where the client looks, and when."""
    return lambda: start if isinstance(start, View) else view_of(form.session)


def switch(form: Asking, name: str, start: Any, note: str) -> Getter:
    """Yes or no."""
    control = form.session.gui.add_checkbox(words(name), bool(start), hint=hint_of(note))
    return lambda: bool(control.value)


@kept
def whole(form: Asking, name: str, start: Any, note: str) -> Getter:
    """A whole number."""
    control = form.session.gui.add_number(words(name), int(start or 0), step=1, hint=hint_of(note))
    return lambda: int(control.value)


@kept
def number(form: Asking, name: str, start: Any, note: str) -> Getter:
    """A number."""
    begin = _first_number(form, name) if start is None else float(start)
    control = form.session.gui.add_number(words(name), begin, step=0.01, hint=hint_of(note))
    return lambda: float(control.value)


def _first_number(form: Asking, name: str) -> float:
    clock = form.session.playback
    known = {"start": clock.first, "end": clock.last, "time": clock.time, "at": clock.time, "fps": 24.0}
    return {**known, "factor": 1.0, "amount": 1.0}.get(name, 0.1)


def choice(form: Asking, name: str, start: Any, note: str, options: tuple[Any, ...]) -> Getter:
    """One of some words."""
    control = form.session.gui.add_dropdown(
        words(name), options, initial_value=start if start in options else options[0], hint=hint_of(note)
    )
    return lambda: control.value


@kept
def color(form: Asking, name: str, start: Any, note: str) -> Getter:
    """A colour, channels 0 to 1."""
    begin = tuple(round(255 * channel) for channel in start or (0.25, 0.45, 0.85))
    control = form.session.gui.add_rgb(words(name), begin, hint=hint_of(note))
    return lambda: tuple(channel / 255 for channel in control.value)


@kept
def vector(form: Asking, name: str, start: Any, note: str) -> Getter:
    """Three numbers."""
    control = form.session.gui.add_vector3(words(name), start or (0.0, 0.0, 0.0), step=0.01, hint=hint_of(note))
    return lambda: tuple(float(value) for value in control.value)


@kept
def factors(form: Asking, name: str, start: Any, note: str) -> Getter:
    """A factor, or three along the axes where they differ."""
    begin = start if isinstance(start, tuple) else (float(start or 1.0),) * 3
    control = form.session.gui.add_vector3(words(name), begin, step=0.01, hint=hint_of(note))

    def get() -> float | tuple[float, ...]:
        factors = tuple(float(value) for value in control.value)
        return factors[0] if len(set(factors)) == 1 else factors

    return get


@kept
def span(form: Asking, name: str, start: Any, note: str) -> Getter:
    """A range of time."""
    clock = form.session.playback
    begin = start if isinstance(start, Span) else Span(clock.first, max(clock.last, clock.first + 1e-3))
    gui = form.session.gui
    first = gui.add_number("From (s)", begin.start, step=0.01, hint="When it begins, seconds")
    last = gui.add_number("To (s)", begin.end, step=0.01, hint="When it ends, seconds")
    fade = gui.add_number("Fade (s)", begin.fade, min=0.0, step=0.01, hint="It comes and goes softly within this time")
    return lambda: Span(float(first.value), float(last.value), float(fade.value))


@kept
def layers(form: Asking, name: str, start: Any, note: str) -> Getter:
    """Layers that are there."""
    gui, names = form.session.gui, [layer.name for layer in form.session.project.state.layers]
    # An edit that is changed may name layers that are gone, as those that it made one of.
    names += [one for one in start or () if one not in names]
    if len(names) > _MANY:
        control = gui.add_text(words(name), ", ".join(start or ()), hint=hint_of(note + " Names with commas between."))
        return lambda: tuple(part.strip() for part in control.value.split(",") if part.strip())
    with gui.add_folder(words(name)):
        gui.add_markdown(escaped(note, 200))
        boxes = {one: gui.add_checkbox(shown(one, 40), one in (start or ())) for one in names}
    return lambda: tuple(one for one, box in boxes.items() if box.value)


@kept
def wholes(form: Asking, name: str, start: Any, note: str) -> Getter:
    """Whole numbers with commas between."""
    text = ", ".join(str(number) for number in start or ())
    control = form.session.gui.add_text(words(name), text, hint=hint_of(note + " Numbers with commas between."))

    def get() -> tuple[int, ...]:
        try:
            return tuple(int(part) for part in control.value.replace(",", " ").split())
        except ValueError:
            raise InputError(
                words(name), expected="whole numbers with commas between", got=repr(control.value[:40]), fix="as 3, 4"
            ) from None

    return get
