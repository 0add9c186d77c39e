"""Work that follows the hand."""

from __future__ import annotations

import threading

import pytest

from recon4d.core import InputError
from recon4d.viewer.latest import Latest
from tests.viewer.browser import until


class Slow:
    """Work that waits to be let on, and counts."""

    def __init__(self) -> None:
        self.begun, self.ended, self.together, self.most = 0, 0, 0, 0
        self.on = threading.Semaphore(0)
        self.latest = Latest(self.work)

    def work(self) -> None:
        self.begun += 1
        self.together += 1
        self.most = max(self.most, self.together)
        assert self.on.acquire(timeout=60)
        self.together -= 1
        self.ended += 1


def test_what_is_asked_meanwhile_is_done_once_afterwards():
    slow = Slow()
    slow.latest.ask()
    until(lambda: slow.begun == 1, "the first")
    for _ in range(5):
        slow.latest.ask()
    slow.on.release(9)
    until(lambda: slow.ended == 2, "the second")
    slow.latest.drop()
    assert (slow.begun, slow.ended, slow.most) == (2, 2, 1)


def test_nothing_comes_after_it_is_dropped():
    slow = Slow()
    slow.latest.ask()
    until(lambda: slow.begun == 1, "the first")
    slow.latest.ask()
    dropped = threading.Event()

    def drop() -> None:
        slow.latest.drop()
        dropped.set()

    dropping = threading.Thread(target=drop)
    dropping.start()
    assert not dropped.wait(0.3)  # it waits for what is being done
    assert slow.ended == 0
    slow.on.release(9)
    assert dropped.wait(60)
    assert (slow.begun, slow.ended) == (1, 1)
    dropping.join()


def test_it_can_be_asked_again_after_it_failed(caplog: pytest.LogCaptureFixture):
    done: list[int] = []

    def work() -> None:
        done.append(len(done))
        if len(done) == 1:
            raise RuntimeError("torn")

    latest = Latest(work)
    latest.ask()
    until(lambda: done, "the first")
    latest.drop()
    latest.ask()
    until(lambda: len(done) == 2, "the second")
    assert "torn" in caplog.text


def test_what_cannot_be_made_any_more_is_no_error(caplog: pytest.LogCaptureFixture):
    """The hand may hold what somebody else has just deleted."""
    done: list[int] = []

    def work() -> None:
        done.append(1)
        raise InputError("selection", expected="something that is selected", got="nothing", fix="select")

    latest = Latest(work)
    latest.ask()
    until(lambda: len(done) == 1, "the first")
    latest.drop()
    latest.ask()
    until(lambda: len(done) == 2, "the second")
    latest.drop()
    assert not caplog.records
