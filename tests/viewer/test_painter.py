"""The painter: small before full, the newest wish only, and never stopped by a picture that fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from recon4d.viewer.painter import Painter, Wish


@pytest.fixture
def painter() -> Iterator[Painter[tuple[int, int]]]:
    one: Painter[tuple[int, int]] = Painter()
    yield one
    one.stop()


def test_small_comes_before_full(painter: Painter[tuple[int, int]]):
    shown: list[tuple[tuple[int, int], bool]] = []
    done = threading.Event()

    def show(picture: tuple[int, int], full: bool) -> None:
        shown.append((picture, full))
        if full:
            done.set()

    painter.wish("a", Wish(800, 450, lambda w, h: (w, h), show))
    assert done.wait(20)
    assert shown == [((320, 180), False), ((800, 450), True)]


def test_quick_pictures_need_no_small_ones(painter: Painter[tuple[int, int]]):
    shown: list[tuple[tuple[int, int], bool]] = []
    for _ in range(2):
        done = threading.Event()

        def show(picture: tuple[int, int], full: bool, done: threading.Event = done) -> None:
            shown.append((picture, full))
            if full:
                done.set()

        painter.wish("a", Wish(800, 450, lambda w, h: (w, h), show))
        assert done.wait(20)
    assert shown[2:] == [((800, 450), True)]


def test_only_the_newest_wish_of_a_client_counts(painter: Painter[tuple[int, int]]):
    begun, go, done = threading.Event(), threading.Event(), threading.Event()
    shown: list[str] = []

    def slow(width: int, height: int) -> tuple[int, int]:
        begun.set()
        go.wait(20)
        return width, height

    painter.wish("a", Wish(100, 100, slow, lambda picture, full: shown.append("first")))
    assert begun.wait(20)
    painter.wish("a", Wish(100, 100, lambda w, h: (w, h), lambda picture, full: shown.append("second")))
    painter.wish("a", Wish(100, 100, lambda w, h: (w, h), lambda picture, full: shown.append("third")))
    painter.wish(
        "b", Wish(100, 100, lambda w, h: (w, h), lambda picture, full: (shown.append("other"), full and done.set()))
    )
    go.set()
    assert done.wait(20)
    assert [one for i, one in enumerate(shown) if one not in shown[:i]] == ["third", "other"]


def test_a_client_that_moves_on_gets_no_old_picture(painter: Painter[tuple[int, int]]):
    begun, go, done = threading.Event(), threading.Event(), threading.Event()
    shown: list[str] = []

    def slow(width: int, height: int) -> tuple[int, int]:
        begun.set()
        go.wait(20)
        return width, height

    painter.wish("a", Wish(100, 100, slow, lambda picture, full: shown.append("stale")))
    assert begun.wait(20)
    painter.forget("a")
    go.set()
    painter.wish("b", Wish(100, 100, lambda w, h: (w, h), lambda picture, full: done.set()))
    assert done.wait(20)
    assert shown == []


def test_a_picture_that_fails_ends_nothing(painter: Painter[tuple[int, int]], caplog: pytest.LogCaptureFixture):
    done = threading.Event()

    def fail(width: int, height: int) -> tuple[int, int]:
        raise RuntimeError("broken")

    painter.wish("a", Wish(100, 100, fail, lambda picture, full: None))
    painter.wish("b", Wish(100, 100, lambda w, h: (w, h), lambda picture, full: done.set()))
    assert done.wait(20)
    assert "broken" in caplog.text
