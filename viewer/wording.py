"""What the code calls things, in words for people: from the names and the docstrings of dataclasses.

Does NOT know what they do.
"""

from __future__ import annotations

import inspect
import re

from recon4d.viewer.text import shown


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


def hint_of(note: str) -> str | None:
    """What a control says while the mouse rests on it."""
    return shown(note, 300) if note else None
