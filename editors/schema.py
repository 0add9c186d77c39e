"""The JSON schema of edits documents and scripts, made from the dataclasses; nothing is written twice."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from typing import Any, Literal, Union

from recon4d.editors.document import FORMAT, FORMAT_VERSION
from recon4d.editors.edits.base import Edit
from recon4d.editors.selections.base import Selection
from recon4d.editors.values import Tagged, hints_of, required, to_json


def json_schema() -> dict[str, Any]:
    """The schema (JSON Schema, draft 2020-12) of an edits document."""
    definitions: dict[str, Any] = {}
    edits = {"type": "array", "items": _schema(Edit, definitions)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "recon4d edits",
        "type": "object",
        "properties": {"format": {"const": FORMAT}, "format_version": {"const": FORMAT_VERSION}, "edits": edits},
        "required": ["format", "format_version", "edits"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def kinds_of(family: type[Tagged]) -> dict[str, type[Tagged]]:
    """The members of a family by kind, sorted."""
    return dict(sorted(family.members.items()))


def summary(kind: type) -> str:
    """The first paragraph of a class's docstring, on one line."""
    text = inspect.getdoc(kind) or ""
    return " ".join(text.partition("\n\n")[0].split())


def descriptions(kind: type) -> dict[str, str]:
    """What the docstrings of a dataclass and its bases say about each attribute."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        text = inspect.cleandoc(base.__doc__ or "")
        _, _, attributes = text.partition("Attributes:\n")
        for match in re.finditer(r"^ {4}([\w, ]+): (.*(?:\n {5,}.*)*)", attributes, flags=re.MULTILINE):
            for name in match[1].split(", "):
                found[name] = " ".join(match[2].split())
    return found


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(option, definitions) for option in arguments]}
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return {"type": "array", "items": _schema(arguments[0], definitions)}
        items = [_schema(item, definitions) for item in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items), "items": False}
    if kind in (Edit, Selection):
        name = kind.__name__
        if name not in definitions:
            definitions[name] = {}
            members = kinds_of(kind).values()
            definitions[name] = {"oneOf": [_schema(member, definitions) for member in members]}
        return {"$ref": f"#/$defs/{name}"}
    if dataclasses.is_dataclass(kind):
        return _object(typing.cast(type, kind), definitions)
    plain = {bool: "boolean", float: "number", int: "integer", str: "string", type(None): "null"}
    return {"type": plain[kind]}


def _object(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind.__name__ in definitions:
        return {"$ref": f"#/$defs/{kind.__name__}"}
    definitions[kind.__name__] = {}
    told = descriptions(kind)
    properties: dict[str, Any] = {}
    if issubclass(kind, Tagged):
        properties["kind"] = {"const": kind.kind}
    for field in dataclasses.fields(kind):
        schema = _schema(hints_of(kind)[field.name], definitions)
        if field.name in told:
            schema = {**schema, "description": told[field.name]}
        if field.default is not dataclasses.MISSING:
            schema = {**schema, "default": to_json(field.default)}
        properties[field.name] = schema
    definitions[kind.__name__] = {
        "type": "object",
        "description": summary(kind),
        "properties": properties,
        "required": (["kind"] if issubclass(kind, Tagged) else []) + required(kind),
        "additionalProperties": False,
    }
    return {"$ref": f"#/$defs/{kind.__name__}"}
