"""Shapes of the messages that a page sends: the keys and types that viser declares, and the values of its controls.

viser believes what it is sent: it sets whatever attribute of a control a message names, and fails later where a value
is of another type.  Does NOT know sizes and bounds of a connection; `gate` does.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any, cast, get_type_hints

import msgspec
from viser import UploadedFile, _messages

MAX_SPOT = 100.0  # window sizes from the window's corner, at most, of a place that is pointed at


class ShapeError(Exception):
    """A message that has another shape than those of its kind."""


@lru_cache(maxsize=64)
def _declared(kind: str) -> tuple[type, frozenset[str], frozenset[str]]:
    """What a kind of message must look like, the keys that it must have, and those that it may have."""
    cls = next(one for one in _messages.Message.get_subclasses() if one.__name__ == kind)
    hints = get_type_hints(cls)
    fields = [field for field in dataclasses.fields(cast(Any, cls)) if field.name in hints]
    needed = frozenset(field.name for field in fields if field.init)
    shape = msgspec.defstruct(kind, [(name, hints[name]) for name in needed])
    return shape, needed, frozenset(field.name for field in fields)


def check_shape(message: dict[str, Any]) -> None:
    """Let a message through that has the keys of its kind and nothing else, all of their types.

    Raises:
        ShapeError: it is another.
    """
    shape, needed, known = _declared(message["type"])
    keys = message.keys() - {"type"}
    if not needed <= keys <= known:
        raise ShapeError("a message with other keys than the page sends")
    if not isinstance(message.get("owner", ""), str):
        raise ShapeError("a message of nobody")
    try:
        msgspec.convert({name: message[name] for name in needed}, shape)
    except msgspec.ValidationError:
        raise ShapeError("a message with a value of another type") from None
    spots = [value for name, value in message.items() if name.endswith("screen_pos")]
    if any(abs(x) > MAX_SPOT for x in _numbers(spots)):
        raise ShapeError("a place far from the window")
    if message["type"] == "ScenePointerMessage":
        _check_pointer(message)


def _check_pointer(message: dict[str, Any]) -> None:
    clicks = message["event_type"] == "click"
    rays = message["ray_origin"], message["ray_direction"]
    if len(message["screen_pos"]) < (1 if clicks else 2) or (clicks and None in rays):
        raise ShapeError("a click without a place")


def _numbers(value: Any) -> list[float]:
    if isinstance(value, list):
        return [x for item in value for x in _numbers(item)]
    return [float(value)]


def check_value(control: Any, updates: dict[str, Any]) -> bool:
    """Whether a control may be given a value; false where it has changed meanwhile and does not offer it any more.

    Args:
        control: viser's handle.
        updates: of the message.

    Raises:
        ShapeError: no page sends this to such a control.
    """
    if not _is_like(updates["value"], control.value):
        raise ShapeError("a control's value of another type")
    return _is_offered(updates["value"], control)


def _is_like(value: Any, known: Any) -> bool:
    if isinstance(known, UploadedFile):
        return False  # files come in parts
    if isinstance(known, bool):
        return isinstance(value, bool)
    if isinstance(known, int | float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(known, tuple):
        same = isinstance(value, list) and len(value) == len(known)
        return same and all(_is_like(one, other) for one, other in zip(value, known, strict=True))
    return isinstance(value, str)


def _is_offered(value: Any, control: Any) -> bool:
    options = getattr(control, "options", None)
    if options is not None:
        return value in options
    low, high = (getattr(control, name, None) for name in ("min", "max"))
    if isinstance(value, int | float) and not isinstance(value, bool):
        # While somebody types, the page may send what it corrects a moment later.
        return (low is None or value >= low - 1e-6) and (high is None or value <= high + 1e-6)
    return True


def takes_files(control: object) -> bool:
    """Whether a control of the page is one that files are brought in by."""
    return isinstance(cast(Any, control).value if hasattr(control, "value") else None, UploadedFile)
