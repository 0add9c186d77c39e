"""`edits.json`, version 1: an edit stack as a document.

    {"format": "recon4d-edits", "format_version": 1, "edits": [{"kind": "delete", "id": "delete-1", ...}, ...]}

What each kind of edit holds is in its dataclass, `docs/editing.md`, and the schema of `schema.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from recon4d.core import InputError, SceneFormatError
from recon4d.editors.edits.base import Edit
from recon4d.editors.stack import EditStack
from recon4d.editors.values import FIX, from_json, to_json
from recon4d.scene.document import Node, parse

FORMAT = "recon4d-edits"
FORMAT_VERSION = 1
MAX_DOCUMENT_BYTES = 256 * 2**20
MAX_EDITS = 100_000


def stack_to_json(stack: EditStack) -> dict[str, Any]:
    """The document of a stack."""
    return {"format": FORMAT, "format_version": FORMAT_VERSION, "edits": [to_json(edit) for edit in stack.edits]}


def stack_to_bytes(stack: EditStack) -> bytes:
    """The document as it is written: one line for each edit, the same bytes for the same stack."""
    lines = [json.dumps(to_json(edit), separators=(", ", ": "), allow_nan=False) for edit in stack.edits]
    edits = "[\n  " + ",\n  ".join(lines) + "\n ]" if lines else "[]"
    return f'{{\n "format": "{FORMAT}",\n "format_version": {FORMAT_VERSION},\n "edits": {edits}\n}}\n'.encode("ascii")


def stack_from_json(document: Node) -> EditStack:
    """The stack of a document.

    Raises:
        SceneFormatError: naming the place, where it is no such document.
    """
    members = document.members()
    for key in ("format", "format_version", "edits"):
        if key not in members:
            raise document.error("the keys format, format_version, edits", f"no {key!r}", fix=FIX)
    for key in members:
        if key not in ("format", "format_version", "edits"):
            raise document.error("the keys format, format_version, edits", f"an unknown key {key[:60]!r}", fix=FIX)
    members["format"].choice(FORMAT)
    version = members["format_version"].whole(least=1, most=2**31)
    if version > FORMAT_VERSION:
        newer = "the edits were saved by a newer recon4d; upgrade this one to read them"
        raise members["format_version"].error(f"at most {FORMAT_VERSION}", fix=newer)
    return _stack(document, edits_from_json(members["edits"]))


def edits_from_json(node: Node) -> list[Edit]:
    """The edits of a list; errors name each edit by its place and id."""
    return [edit_from_json(_labelled(item)) for item in node.items(at_most=MAX_EDITS)]


def edit_from_json(node: Node) -> Edit:
    """The edit of its JSON."""
    edit: Edit = from_json(node, Edit)
    return edit


def script_from_bytes(data: bytes, file: str) -> tuple[Edit, ...]:
    """The edits of a script: an edits document, a list of edits, or one edit; ids may be left out.

    Raises:
        SceneFormatError: naming the place, where it is none of these.
    """
    node = parse(data, file)
    if isinstance(node.value, list):
        return tuple(edits_from_json(node))
    if isinstance(node.value, dict) and "format" not in node.value and "kind" in node.value:
        return (edit_from_json(node),)
    return stack_from_json(node).edits


def _stack(node: Node, edits: Iterable[Edit]) -> EditStack:
    try:
        return EditStack(tuple(edits))
    except SceneFormatError:
        raise
    except InputError as error:
        where = f"{node.file}: {error.what}"
        raise SceneFormatError(where, expected=error.expected, got=error.got, fix=error.fix) from None


def _labelled(node: Node) -> Node:
    """The node of an edit with the edit's id in its place, for errors that people can follow."""
    name = node.value.get("id") if isinstance(node.value, dict) else None
    label = f"{node.field or 'edits'} ({name[:64]})" if isinstance(name, str) and name else node.field
    return Node(node.file, label, node.value)
