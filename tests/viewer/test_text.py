"""Texts of users are shown as they wrote them, whatever they hold."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon4d.viewer.text import escaped, shown


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '<img src=x onerror="alert(1)">',
        "[click](javascript:alert(1))",
        "![x](http://evil.example/x.png)",
        "# heading",
        "**bold** `code`",
        "a | b",
        "http://evil.example",
        "&lt;b&gt;",
    ],
)
def test_mark_up_is_taken_away(text: str):
    safe = escaped(text)
    assert "<" not in safe
    assert not re.search(r"(?<!\\)[`*_\[\]()#|!~]", safe)
    assert "://" not in safe
    assert unescaped(safe) == text


@given(st.text(max_size=200))
def test_escaping_shows_what_was_written(text: str):
    safe = escaped(text, 300)
    assert "<" not in safe
    assert ">" not in safe
    assert unescaped(safe) == shown(text, 300)


def unescaped(safe: str) -> str:
    """What Markdown and HTML show of a text."""
    return html.unescape(re.sub(r"\\([^A-Za-z0-9\s])", r"\1", safe))


def test_lines_are_bounded_and_printable():
    assert shown("a\nb\tc\x00d\u202ee") == "a b c d e"
    assert len(shown("x" * 1000)) == 120
    assert shown("x" * 1000, 10) == "x" * 9 + "\u2026"
