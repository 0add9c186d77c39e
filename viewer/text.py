"""Texts of users in a page that renders Markdown and HTML: what they wrote is shown as they wrote it.

Does NOT know what the texts are about.
"""

from __future__ import annotations

import html
import re

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~>$:@/])")
_LONGEST = 120


def shown(text: object, longest: int = _LONGEST) -> str:
    """A text on one line of bounded length, without characters that cannot be seen; for plain labels and values."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= longest else line[: longest - 1] + "\u2026"


def escaped(text: object, longest: int = _LONGEST) -> str:
    """As `shown`, safe in Markdown and in HTML: no mark-up, no links, no tags."""
    line = html.escape(shown(text, longest), quote=True)
    # HTML entities hold no character that Markdown treats as its own, but for # in numeric ones, which escape() makes
    # of the apostrophe: protect everything outside entities.
    parts = re.split(r"(&(?:amp|lt|gt|quot|#x27);)", line)
    return "".join(part if i % 2 else _MARKDOWN.sub(r"\\\1", part) for i, part in enumerate(parts))
