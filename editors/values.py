"""Frozen dataclasses as JSON and back, by their type hints: one strict reader and one writer for all edits.

A dataclass is an object of its fields; those at their default are left out when written.  A family (`Tagged`) is an
object whose `kind` says which member of the family it is.  Understands text, numbers, bool, Literal, None, tuples,
dataclasses and families; knows nothing of what edits mean.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from abc import ABC
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Literal, Union, cast

from recon4d.core import InputError, SceneFormatError
from recon4d.scene.document import Node

FIX = "see docs/editing.md for what each kind of edit and selection takes"
MAX_ITEMS = 4_000_000
_EXACT = 2**53


class Tagged(ABC):
    """Base of families of dataclasses that are told apart by `kind`; a direct subclass is a family.

    A member is declared as `class Box(Selection, kind="box")`.
    """

    kind: ClassVar[str] = ""
    members: ClassVar[dict[str, type[Tagged]]]

    def __init_subclass__(cls, kind: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if Tagged in cls.__bases__:
            cls.members = {}
        elif kind:
            cls.kind = kind
            cls.members[kind] = cls


def to_json(value: Any) -> Any:
    """The JSON value of a dataclass, or of what one may hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        document: dict[str, Any] = {"kind": value.kind} if isinstance(value, Tagged) else {}
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            if not (_has_default(field) and item == _default(field)):
                document[field.name] = to_json(item)
        return document
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        # 1 and 1.0 are equal values, and equal values have equal bytes.
        return int(value)
    return value


def from_json(node: Node, kind: Any) -> Any:
    """The value of a JSON node that should be of the type `kind`.

    Raises:
        SceneFormatError: naming file and field, where it is of another type, has a key too many or too few, or holds a
            value that the dataclass refuses.
    """
    origin = typing.get_origin(kind)
    if origin is Literal:
        return node.choice(*typing.get_args(kind))
    if origin in (Union, types.UnionType):
        return _one_of(node, typing.get_args(kind))
    if origin is tuple:
        return _tuple(node, typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Tagged):
        return _dataclass(node, _member(node, kind), tagged=True)
    if dataclasses.is_dataclass(kind):
        return _dataclass(node, cast(type, kind), tagged=False)
    if kind is bool:
        if not isinstance(node.value, bool):
            raise node.error("true or false", fix=FIX)
        return node.value
    if kind is float:
        return node.number()
    if kind is int:
        return node.whole(least=-(2**63), most=2**63 - 1)
    if kind is str:
        return node.text()
    raise TypeError(f"no JSON form for {kind}")


@cache
def hints_of(kind: type) -> Mapping[str, Any]:
    """Type of each field of a dataclass."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def required(kind: type) -> list[str]:
    """Fields of a dataclass without a default."""
    return [field.name for field in dataclasses.fields(kind) if not _has_default(field)]


def _member(node: Node, family: type[Tagged]) -> type[Tagged]:
    if family.kind:
        return family
    members = node.members()
    known = ", ".join(sorted(family.members))
    if "kind" not in members:
        raise node.error(f"an object with a kind, one of {known}", "no 'kind'", fix=FIX)
    name = members["kind"].value
    if not isinstance(name, str) or name not in family.members:
        raise members["kind"].error(f"one of {known}", fix=FIX)
    return family.members[name]


def _dataclass(node: Node, kind: type, *, tagged: bool) -> Any:
    members = node.members()
    hints = hints_of(kind)
    if tagged:
        given = members.pop("kind", None)
        if given is None or given.value != cast(type[Tagged], kind).kind:
            raise node.error(f"kind {cast(type[Tagged], kind).kind!r}", "another kind", fix=FIX)
    for name in members:
        if name not in hints:
            raise node.error(f"the keys {', '.join(hints)}", f"an unknown key {name[:60]!r}", fix=FIX)
    for name in required(kind):
        if name not in members:
            raise node.error(f"the keys {', '.join(required(kind))}", f"no {name!r}", fix=FIX)
    values = {name: from_json(member, hints[name]) for name, member in members.items()}
    try:
        return kind(**values)
    except SceneFormatError:
        raise
    except InputError as error:
        place = f"{node.field}.{error.what}" if node.field else error.what
        file = f"{node.file}: " if node.file else ""
        raise SceneFormatError(f"{file}{place}", expected=error.expected, got=error.got, fix=error.fix) from None


def _one_of(node: Node, options: tuple[Any, ...]) -> Any:
    """The option that goes with the kind of JSON value that is there."""
    if node.value is None and type(None) in options:
        return None
    options = tuple(option for option in options if option is not type(None))
    if len(options) > 1:
        listed = isinstance(node.value, list)
        options = tuple(option for option in options if (typing.get_origin(option) is tuple) == listed) or options
    return from_json(node, options[0])


def _tuple(node: Node, items: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(items) == 2 and items[1] is Ellipsis:
        # Long lists of numbers (ranges, runs of masks) would cost a node for each.
        if items[0] is int and isinstance(node.value, list) and len(node.value) <= MAX_ITEMS:
            if all(type(value) is int and abs(value) < 2**63 for value in node.value):
                return tuple(node.value)
            raise node.error("whole numbers", "a list with something else", fix=FIX)
        return tuple(from_json(item, items[0]) for item in node.items(at_most=MAX_ITEMS))
    return tuple(from_json(item, kind) for item, kind in zip(node.items(count=len(items)), items, strict=True))


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default is not dataclasses.MISSING else cast(Any, field.default_factory)()
